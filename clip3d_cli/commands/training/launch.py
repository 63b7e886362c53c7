"""Several processes that train together, started and watched by torchrun's own code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping

from clip3d_cli.commands.door import INTERRUPTED
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.commands.training.asked import Asked, Machines
from clip3d_cli.commands.training.kind import Config, End, Training
from clip3d_cli.commands.training.rank import LEFT_ALONE, device_type_of_many
from clip3d_cli.errors import Clip3DError, SetupError
from clip3d_cli.training.distributed import launch_command

_MODULE = "clip3d_cli"
_TORCHRUN = "torch.distributed.run"


def launch(training: Training[Config, End], config: Config, asked: Asked, voice: Voice) -> int:
    """The exit code of processes that train together; one that fails has said why.

    Raises:
        Clip3DError: the scenes or GPUs are not there, a process was killed, or the machines did
            not meet.
    """
    machines = asked.machines
    kind = device_type_of_many(config.run.device)
    processes = _processes(machines, kind)
    # What every process would refuse is refused once.
    training.open_scenes(config)
    if kind == "cpu":
        share = max(1, (os.cpu_count() or 1) // processes)
        os.environ.setdefault("OMP_NUM_THREADS", str(share))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Otherwise PyTorch's C++ side tells every process's users about its own settings.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    command = launch_command(
        _MODULE,
        sys.argv[1:],
        processes=processes,
        nodes=machines.nodes,
        meeting_point=machines.meet,
    )
    voice.detail(f"processes: {processes} on each of {machines.nodes} machines")
    return _watched(command[command.index(_TORCHRUN) + 1 :])


def _processes(machines: Machines, kind: str) -> int:
    import torch

    if kind == "cpu":
        return machines.gpus or 1
    here = torch.cuda.device_count()
    if (machines.gpus or 1) > here:
        raise SetupError(
            "E_DEVICE", "--gpus", f"this machine has {here} GPUs", f"Say --gpus {here}."
        )
    return machines.gpus or here


def _watched(arguments: list[str]) -> int:
    """Run torchrun in this process: as a program it would end every stop with its traceback."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import main

    if not os.environ.get("CLIP3D_DEBUG"):
        logging.disable(logging.CRITICAL)
    try:
        main(arguments)
    except SignalException:
        # It has passed the signal on and waited: the first process has said what it saved.
        return INTERRUPTED
    except ChildFailedError as failed:
        return _code_of({each.local_rank: each.exitcode for each in failed.failures.values()})
    except (RendezvousError, OSError) as error:
        raise SetupError(
            "E_SYSTEM",
            "--meet",
            f"the machines did not find each other: {error}",
            "Give every machine the same command, and see that the port is open.",
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return 0


def _code_of(code_of_rank: Mapping[int, int]) -> int:
    """The exit code of the process that failed by itself, which has said why."""
    # torchrun ends the others by SIGTERM, to which one that does not train yet says INTERRUPTED.
    by_others = (LEFT_ALONE, INTERRUPTED)
    said = [code for code in code_of_rank.values() if code > 0 and code not in by_others]
    if said:
        return max(said)
    for local_rank, code in code_of_rank.items():
        if code < 0 and code != -signal.SIGTERM:
            raise Clip3DError(
                "E_SYSTEM",
                f"process {local_rank}",
                f"was killed by signal {-code}",
                "Perhaps memory ran out: lower batch.scenes. --resume goes on from the last "
                "checkpoint.",
            )
    return INTERRUPTED if INTERRUPTED in code_of_rank.values() else 1
