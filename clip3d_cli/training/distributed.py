"""Training on several devices: one process for each, gradients averaged among them.

Batches are dealt in turn: process r of n takes the batches numbered r, r + n, r + 2n, … Every
process counts the same steps; the first one alone writes. The rows of batch normalisation are
normalised by the statistics of their own process, as every process has thousands; the running
statistics are the first one's, which the others take over before every step.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from clip3d_cli.errors import UsageError

_PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class World:
    """One process among those that train together.

    Attributes:
        rank: its number among all.
        size: how many there are.
        local_rank: its number on its machine, which is that of its GPU.
        device_type: ``cpu`` or ``cuda``.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device_type: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        if self.device_type == "cpu":
            return torch.device("cpu")
        return torch.device(self.device_type, self.local_rank)

    def shared(self, network: nn.Module) -> nn.Module:
        """The network with the same weights as in every process, gradients averaged on the way.

        A loss that leaves a part of the network out is allowed.
        """
        if self.size == 1:
            return network
        return DistributedDataParallel(
            network,
            device_ids=None if self.device_type == "cpu" else [self.local_rank],
            find_unused_parameters=True,
        )

    def mean(self, values: Sequence[float]) -> list[float]:
        """The means over all processes of as many numbers in each."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        means: list[float] = (total / self.size).tolist()
        return means


ALONE = World()


def unshared_gradients(network: nn.Module) -> AbstractContextManager[None]:
    """A context in which backward passes do not average gradients yet."""
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


@contextmanager
def joined_world(world: World, *, meeting_point: str = "env://") -> Iterator[World]:
    """The processes of a world, connected until the block ends; one alone connects to nothing.

    Args:
        world: this process.
        meeting_point: PyTorch's ``init_method``; under torchrun the default.
    """
    if world.size == 1:
        yield world
        return
    if world.device_type != "cpu":
        torch.cuda.set_device(world.device)
    distributed.init_process_group(
        "gloo" if world.device_type == "cpu" else "nccl",
        init_method=meeting_point,
        rank=world.rank,
        world_size=world.size,
        timeout=_PATIENCE,
    )
    try:
        yield world
    finally:
        distributed.destroy_process_group()


def launch_command(
    module: str,
    arguments: Sequence[str],
    *,
    processes: int,
    nodes: int = 1,
    meeting_point: str | None = None,
) -> list[str]:
    """The command line that starts a module in several processes, by torchrun.

    Args:
        module: run as ``python -m module``.
        arguments: of every process.
        processes: on each machine, one for each GPU.
        nodes: how many machines; the same command is to be run on each.
        meeting_point: host:port of one of them, for more than one.

    Raises:
        UsageError: E_USAGE: counts below 1, or several nodes without a meeting point.
    """
    if processes < 1 or nodes < 1:
        raise UsageError(
            "E_USAGE", "--gpus", f"{processes} processes on {nodes} machines train nothing"
        )
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    if nodes == 1:
        command.append("--standalone")
    elif meeting_point is None:
        raise UsageError(
            "E_USAGE",
            "--nodes",
            f"{nodes} machines have to meet somewhere",
            "Name host:port of one of them.",
        )
    else:
        command += [
            f"--nnodes={nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={meeting_point}",
            "--rdzv-id=clip3d",
        ]
    return [*command, "-m", module, *arguments]
