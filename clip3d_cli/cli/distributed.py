"""Training in several processes, started and supervised by torchrun."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from clip3d_cli.cli.errors import INTERRUPTED
from clip3d_cli.errors import Clip3DError, SetupError, UsageError

if TYPE_CHECKING:
    from clip3d_cli.cli.terminal import Reporter
    from clip3d_cli.training.distributed import World

_MODULE = "clip3d_cli"
_TORCHRUN = "torch.distributed.run"
# Set by torchrun in every process.
_RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
# An error that all processes have is printed by rank 0. torchrun stops the others long before
# this time is over, although it takes seconds to notice that rank 0 ended on a busy machine.
_WAIT_FOR_RANK_0_S = 10.0
# Exit code of a process that ended because another one did, as if stopped by SIGTERM.
PEER_LOST = 143
# What gloo and NCCL report in that case.
_PEER_LOST_MESSAGES = (
    "Connection closed by peer",
    "Connection reset by peer",
    "remote process exited",
)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that a command line requests.

    Attributes:
        per_node: processes on each machine; None if not given.
        nodes: number of machines.
        meet: rendezvous address host:port, for several machines.
    """

    per_node: int | None = None
    nodes: int = 1
    meet: str | None = None

    @property
    def total(self) -> int:
        """Number of processes on all machines."""
        return (self.per_node or 1) * self.nodes

    @property
    def options(self) -> list[str]:
        """Command-line options that request the same processes."""
        given = {"--gpus": self.per_node, "--nodes": self.nodes, "--meet": self.meet}
        options = (pair for pair in given.items() if pair[1] not in (None, 1))
        return [str(word) for pair in options for word in pair]

    def check(self) -> None:
        """Raise an error if the machines cannot find each other.

        Raises:
            UsageError: the rendezvous address is missing, malformed or superfluous.
        """
        if self.meet is None:
            if self.nodes > 1:
                raise UsageError(
                    "E_USAGE",
                    "--nodes",
                    f"{self.nodes} machines need a rendezvous address",
                    "Name one of them: --meet host:29500.",
                )
            return
        if not re.fullmatch(r".+:\d{1,5}", self.meet):
            raise UsageError(
                "E_USAGE", "--meet", f"{self.meet!r} is not host:port", "Use --meet host:29500."
            )
        if self.nodes == 1:
            raise UsageError(
                "E_USAGE", "--meet", "is for several machines", "Add --nodes, such as --nodes 2."
            )


def rank_from_environment() -> tuple[int, int, int] | None:
    """Return rank, number of processes and local rank under torchrun, otherwise None."""
    if not all(name in os.environ for name in _RANK_VARIABLES):
        return None
    rank, size, local_rank = (int(os.environ[name]) for name in _RANK_VARIABLES)
    return rank, size, local_rank


def launch(
    processes: Processes, device: str, check: Callable[[], object], reporter: Reporter
) -> int:
    """Run this command line in several processes by torchrun, and return the exit code.

    Args:
        processes: how many.
        device: ``auto``, ``cpu`` or ``cuda``.
        check: raises errors that every process would raise, before they are started.
        reporter: reports the number of processes.

    Raises:
        Clip3DError: of ``check``; GPUs are missing; a process was killed; or the machines did not
            find each other.
    """
    from clip3d_cli.training.distributed import launch_command

    device_type = device_type_for_all(device)
    per_node = _processes_per_node(processes, device_type)
    check()
    if device_type == "cpu":
        threads = max(1, (os.cpu_count() or 1) // per_node)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # PyTorch's C++ code would otherwise print warnings about its settings in every process.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    command = launch_command(
        _MODULE,
        sys.argv[1:],
        processes=per_node,
        nodes=processes.nodes,
        endpoint=processes.meet,
    )
    reporter.detail(f"processes: {per_node} on each of {processes.nodes} machines")
    return _run_torchrun(command[command.index(_TORCHRUN) + 1 :])


def device_type_for_all(device: str) -> str:
    """Return ``cpu`` or ``cuda``, for several processes that each use a GPU of their own.

    Raises:
        UsageError: a single GPU is named, or there is none and the CPU was not requested.
        SetupError: this machine has no such device.
    """
    from clip3d_cli.labelling.device import choose_device

    if device == "cpu":
        return device
    if device not in ("auto", "cuda"):
        raise UsageError(
            "E_DEVICE",
            "--device",
            f"{device} is one device for all processes",
            "Use --device cuda or --device cpu.",
        )
    chosen, reason = choose_device(device)
    if not chosen.startswith("cuda"):
        raise UsageError(
            "E_DEVICE", "--gpus", reason, "With --device cpu the processes share the CPU."
        )
    return "cuda"


class Signals:
    """Signal handler of one of several processes until the training handles signals itself.

    torchrun forwards the signals that a batch system or a terminal sends to all processes, so that
    each signal arrives twice. The second one must not interrupt the checkpoint that the first one
    requested.
    """

    def __init__(self) -> None:
        self._is_training = False

    def training_started(self) -> None:
        """Ignore signals here: the training saves a checkpoint and stops."""
        self._is_training = True

    def __call__(self, _: int, __: FrameType | None) -> None:
        """Exit, unless the training handles the signal."""
        if not self._is_training:
            raise SystemExit(INTERRUPTED)


@contextmanager
def leave_together(world: World) -> Iterator[Signals]:
    """Handle signals and errors of one of several processes, so that each is reported once.

    Raises:
        SystemExit: another process ended first.
    """
    handler = Signals()
    for number in _SIGNALS:
        signal.signal(number, handler)
    peer_lost = False
    try:
        yield handler
    except Clip3DError:
        if not world.is_rank_0:
            # torchrun stops this process as soon as rank 0 has failed.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            time.sleep(_WAIT_FOR_RANK_0_S)
        raise
    except RuntimeError as error:
        peer_lost = any(message in str(error) for message in _PEER_LOST_MESSAGES)
        if not peer_lost:
            raise
    if peer_lost:
        # The other process or torchrun reports the reason. Raised outside the except block, because
        # the traceback of the error would keep worker processes alive at exit.
        raise SystemExit(PEER_LOST)


@contextmanager
def worker_errors() -> Iterator[None]:
    """Convert PyTorch's error for a killed data-loading worker into one of clip3d.

    Raises:
        Clip3DError: E_SYSTEM.
    """
    try:
        yield
    except RuntimeError as error:
        # An exception inside a worker reads "Caught … in DataLoader worker process 0" instead.
        if "DataLoader worker (pid" not in str(error):
            raise
        raise Clip3DError(
            "E_SYSTEM",
            "a data-loading worker",
            str(error).partition(") ")[2].rstrip(". ") or str(error),
            "It may have run out of memory: lower run.workers or batch.scenes. --resume continues "
            "from the last checkpoint.",
        ) from error


def _processes_per_node(processes: Processes, device_type: str) -> int:
    import torch

    if device_type == "cpu":
        return processes.per_node or 1
    gpus = torch.cuda.device_count()
    if (processes.per_node or 1) > gpus:
        raise SetupError(
            "E_DEVICE", "--gpus", f"this machine has {gpus} GPUs", f"Use --gpus {gpus}."
        )
    return processes.per_node or gpus


def _run_torchrun(arguments: list[str]) -> int:
    """Run torchrun in this process: as a program it would print a traceback at every stop."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import main

    if not os.environ.get("CLIP3D_DEBUG"):
        logging.disable(logging.CRITICAL)
    try:
        main(arguments)
    except SignalException:
        # torchrun forwarded the signal and waited: rank 0 has reported what was saved.
        return INTERRUPTED
    except ChildFailedError as failed:
        return _exit_code({each.local_rank: each.exitcode for each in failed.failures.values()})
    except (RendezvousError, OSError) as error:
        raise SetupError(
            "E_SYSTEM",
            "--meet",
            f"the machines did not find each other: {error}",
            "Run the same command on every machine, and check that the port is open.",
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return 0


def _exit_code(code_of_rank: Mapping[int, int]) -> int:
    """Return the exit code of the process that caused the failure, which has printed the error."""
    # torchrun stops the other processes by SIGTERM; one that does not train yet exits with
    # INTERRUPTED then.
    consequences = (PEER_LOST, INTERRUPTED)
    causes = [code for code in code_of_rank.values() if code > 0 and code not in consequences]
    if causes:
        return max(causes)
    for local_rank, code in code_of_rank.items():
        if code < 0 and code != -signal.SIGTERM:
            raise Clip3DError(
                "E_SYSTEM",
                f"process {local_rank}",
                f"was killed by signal {-code}",
                "It may have run out of memory: lower batch.scenes. --resume continues from the "
                "last checkpoint.",
            )
    return INTERRUPTED if INTERRUPTED in code_of_rank.values() else 1
