"""Training in several processes, one per device, with gradients averaged over all of them.

* Batches: process r of n takes the batches r, r + n, r + 2n, …
* Gradients: `World.wrap` puts the network into DistributedDataParallel, which averages them during
  the backward pass. All processes start from the weights of rank 0 and make the same steps, so
  their weights stay equal.
* Batch norm: every process normalises by the statistics of its own rows, which are thousands of
  voxels. Running statistics are those of rank 0, sent to the others before every step.
* Files: only rank 0 writes.
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

# A process that waits longer for the others fails. Encoding images is the longest wait.
_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: number of this process among all.
        size: number of processes.
        local_rank: number of this process on its machine, which is the number of its GPU.
        device_type: ``cpu`` or ``cuda``.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device_type: str = "cpu"

    @property
    def is_rank_0(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        if self.device_type == "cpu":
            return torch.device("cpu")
        return torch.device(self.device_type, self.local_rank)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network to call in training: gradients are averaged over all processes.

        The weights of rank 0 are sent to all processes. A loss may leave out a part of the network.
        """
        if self.size == 1:
            return network
        return DistributedDataParallel(
            network,
            device_ids=None if self.device_type == "cpu" else [self.local_rank],
            find_unused_parameters=True,
        )

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the mean of each number over all processes; it also waits for all of them.

        Args:
            values: as many numbers in every process.
        """
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        means: list[float] = (total / self.size).tolist()
        return means


SINGLE_PROCESS = World()


def without_gradient_sync(network: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which backward passes only add to the gradients of this process."""
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


@contextmanager
def process_group(world: World, *, init_method: str = "env://") -> Iterator[World]:
    """Connect the processes of a world until the block ends; a single process needs nothing.

    Args:
        world: this process.
        init_method: PyTorch's ``init_method``: how the processes find each other. The default is
            for processes started by torchrun.
    """
    if world.size == 1:
        yield world
        return
    if world.device_type != "cpu":
        torch.cuda.set_device(world.device)
    distributed.init_process_group(
        "gloo" if world.device_type == "cpu" else "nccl",
        init_method=init_method,
        rank=world.rank,
        world_size=world.size,
        timeout=_TIMEOUT,
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
    endpoint: str | None = None,
) -> list[str]:
    """Return the torchrun command line that starts a module in several processes.

    Args:
        module: module that is run as ``python -m module``.
        arguments: arguments of every process.
        processes: number of processes on each machine, one per GPU.
        nodes: number of machines; the same command is run on each.
        endpoint: host:port of one of them, for more than one machine.

    Raises:
        UsageError: E_USAGE: a number below 1, or several machines without an endpoint.
    """
    if processes < 1 or nodes < 1:
        raise UsageError(
            "E_USAGE",
            "--gpus",
            f"{processes} processes on {nodes} machines is not a training",
            "Give numbers from 1 on.",
        )
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    if nodes == 1:
        command.append("--standalone")
    elif endpoint is None:
        raise UsageError(
            "E_USAGE",
            "--nodes",
            f"{nodes} machines need a rendezvous address",
            "Name host:port of one of them.",
        )
    else:
        command += [
            f"--nnodes={nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={endpoint}",
            "--rdzv-id=clip3d",
        ]
    return [*command, "-m", module, *arguments]
