"""Training in several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_state import train
from sparse_cells import random_cells
from torch import nn

from clip3d_cli import registry
from clip3d_cli.errors import UsageError
from clip3d_cli.sparse.layers import ResidualBlock
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.checkpoints import read_snapshot, write_snapshot
from clip3d_cli.training.distributed import World, launch_command, process_group
from clip3d_cli.training.loop import Loss, StepReport
from clip3d_cli.training.signals import StopRequest
from clip3d_cli.training.state import LoopOptions, TrainState

# A child process imports this file and the shared fixtures.
_CHILD_PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

OPTIONS = LoopOptions(
    2, 0.5, 0.0, warmup_steps=1, clip_norm=0, average_decay=0, optimizer="sgd", dampening=0
)


class Sparse(nn.Module):
    """A residual block with its normalisations, and a layer that no loss uses."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = registry.load("backends", backend)()
        self.block = ResidualBlock(4, 6)
        self.unused = nn.Linear(2, 2)

    def forward(self, number: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(number)
        plan = Plan(random_cells(150, seed=number), self.backend)
        return self.block(torch.randn(len(plan), 4, generator=draw), plan, 1)


def number_of(number: int) -> int:
    return number


def loss_of(network: nn.Module, number: int, _: int = 0) -> Loss:
    loss = (network(number) - 1).square().mean()
    return loss, {"square": loss, "number": torch.tensor(float(number))}


def sparse_state(backend: str, options: LoopOptions = OPTIONS) -> TrainState:
    torch.manual_seed(0)
    return TrainState(Sparse(backend), options)


def child(rank: int, folder: Path, backend: str, batches_per_step: int, stop_at: int) -> None:
    """What each process does: two steps, or fewer if the second one is told to stop."""
    torch.set_num_threads(1)
    options = LoopOptions(**{**_as_dict(OPTIONS), "batches_per_step": batches_per_step, "steps": 2})
    state = sparse_state(backend, options)
    if rank == 1:
        with torch.no_grad():
            state.network.block.conv1.weight.zero_()  # the first one's weights count
    stop = StopRequest(requested=False)
    seen: list[StepReport] = []

    def hear(step: StepReport) -> None:
        seen.append(step)
        if rank == 0:
            write_snapshot(state.snapshot(), folder / f"after-{state.steps_done}")

    def watched(network: nn.Module, number: int, done: int) -> Loss:
        stop.requested = rank == 1 and done + 1 == stop_at
        return loss_of(network, number)

    with process_group(World(rank, 2), init_method=f"file://{folder}/meet") as world:
        finished = train(state, BatchLoader(number_of), watched, hear, world=world, stop=stop)
    write_snapshot(state.snapshot(), folder / f"rank-{rank}")
    told = [str(finished), *(f"{step.loss:.9g} {step.parts['number']}" for step in seen)]
    (folder / f"told-{rank}").write_text(";".join(told))


def _as_dict(options: LoopOptions) -> dict[str, object]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def _both(folder: Path, backend: str, batches_per_step: int = 1, stop_at: int = 0) -> list[str]:
    program = (
        f"import sys; sys.path[:0] = {_CHILD_PATHS}\n"
        "from pathlib import Path\n"
        "from test_distributed import child\n"
        "rank, folder, backend, *numbers = sys.argv[1:]\n"
        "child(int(rank), Path(folder), backend, *map(int, numbers))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), str(folder), backend]
            + [str(batches_per_step), str(stop_at)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        faults = [process.communicate(timeout=120)[1] for process in children]
    finally:
        for process in children:
            process.kill()
    assert [process.returncode for process in children] == [0, 0], faults
    return [(folder / f"told-{rank}").read_text() for rank in range(2)]


def _mean_step(backend: str, numbers: list[int]) -> tuple[dict[str, torch.Tensor], float]:
    """The weights after one step down the mean of the gradients, each found alone."""
    gradients: dict[str, list[torch.Tensor]] = {}
    losses = []
    for number in numbers:
        network = sparse_state(backend).network.train()
        loss, _ = loss_of(network, number)
        loss.backward()
        losses.append(loss.item())
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                gradients.setdefault(name, []).append(parameter.grad)
    rate = 0.5 * 0.5  # half a cosine, halfway
    weights = {
        name: parameter.detach() - rate * torch.stack(gradients[name]).mean(dim=0)
        for name, parameter in sparse_state(backend).network.named_parameters()
        if name in gradients
    }
    return weights, sum(losses) / len(losses)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "batches_per_step"), [("torch", 1), ("native", 2)])
def test_gradients_are_the_mean_of_both(
    tmp_path: Path, backend: str, batches_per_step: int
) -> None:
    if registry.load("backends", backend)().unavailable_reason() is not None:
        pytest.skip(f"{backend} does not run here")
    said = _both(tmp_path, backend, batches_per_step)
    assert said[0] == said[1], "both know the same losses"
    numbers = list(range(2 * batches_per_step))
    wanted, loss = _mean_step(backend, numbers)
    finished, first, _ = said[0].split(";")
    assert finished == "True"
    assert float(first.split()[0]) == pytest.approx(loss, rel=1e-5)
    assert float(first.split()[1]) == sum(numbers) / len(numbers), "each batch is taken once"
    after = read_snapshot(tmp_path / "after-1").tensors
    for name, weight in wanted.items():
        torch.testing.assert_close(after[f"network/{name}"], weight, rtol=1e-4, atol=1e-6)
    ends = [read_snapshot(tmp_path / f"rank-{rank}").tensors for rank in range(2)]
    for name, value in ends[0].items():
        if "running" not in name:
            assert torch.equal(value, ends[1][name]), name


@pytest.mark.slow
def test_all_stop_when_one_is_asked(tmp_path: Path) -> None:
    for answer in _both(tmp_path, "torch", stop_at=1):
        finished, *steps = answer.split(";")
        assert finished == "False"
        assert len(steps) == 1


def test_a_world_of_one_changes_nothing() -> None:
    network = nn.Linear(2, 1)
    with process_group(World()) as world:
        assert world.is_rank_0
        assert world.wrap(network) is network
        assert world.mean([1.5, 2]) == [1.5, 2]
        assert world.device == torch.device("cpu")
    assert World(1, 2, 1, "cuda").device == torch.device("cuda:1")
    assert not World(1, 2, 1, "cuda").is_rank_0


def test_the_launcher_is_torchrun() -> None:
    one = launch_command("clip3d_cli", ["pretrain", "--resume"], processes=4)
    assert one[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert one[3:] == ["--nproc-per-node=4", "--standalone", "-m", "clip3d_cli"] + [
        "pretrain",
        "--resume",
    ]
    two = launch_command("clip3d_cli", [], processes=8, nodes=2, endpoint="head:29500")
    assert two[4:8] == [
        "--nnodes=2",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=head:29500",
        "--rdzv-id=clip3d",
    ]
    with pytest.raises(UsageError, match="need a rendezvous address"):
        launch_command("clip3d_cli", [], processes=8, nodes=2)
    with pytest.raises(UsageError, match="is not a training"):
        launch_command("clip3d_cli", [], processes=0)
