"""Fine-tuning that stops and goes on, in one process or several."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from labelled_sample import parks, tuner_of
from small_state import train

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.checkpoints import Checkpoints, read_snapshot, write_snapshot
from clip3d_cli.training.distributed import World, process_group
from clip3d_cli.training.loop import Loss
from clip3d_cli.training.signals import stop_on_signals
from clip3d_cli.training.state import LoopOptions, Snapshot, TrainState
from clip3d_cli.training.supervised.batches import LabelledBatch

# A child process imports this file and the shared fixtures.
_CHILD_PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

ADAM = LoopOptions(6, 0.01, warmup_steps=2, average_decay=0.9, head_factor=5.0)
SGD = LoopOptions(6, 0.02, 1e-4, warmup_steps=0, optimizer="sgd", head_factor=100.0)
PLAIN = LoopOptions(6, 0.01, warmup_steps=0, average_decay=0)


def state_of(options: LoopOptions, seed: int = 1, **losses: Any) -> TrainState:
    """From the same start; the closed head and what is drawn beside it by another seed."""
    return TrainState(tuner_of(seed=seed, **losses), options)


def loss_of(network: Any, batch: LabelledBatch, done: int) -> Loss:
    answer: Loss = network(batch, done)
    return answer


def until(state: TrainState, last: int, workers: int = 0) -> None:
    with stop_on_signals() as stop:

        def ask(*_: object) -> None:
            stop.requested = state.steps_done >= last

        batches = BatchLoader(parks(3, scenes=2, points=700), workers)
        assert train(state, batches, loss_of, ask, stop=stop) == (last == state.options.steps)


def same(one: Snapshot, two: Snapshot) -> bool:
    return set(one.tensors) == set(two.tensors) and all(
        torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors
    )


@pytest.mark.parametrize(
    ("options", "losses"),
    [
        (ADAM, {"keep_weight": 0.5}),
        (SGD, {"words_weight": 0.0}),
        (ADAM, {"linear_probe": True}),
        (PLAIN, {}),
    ],
    ids=["adamw", "sgd", "probe", "plain"],
)
def test_a_resumed_fine_tuning_ends_with_the_same_bits(
    options: LoopOptions, losses: dict[str, Any], tmp_path: Path
) -> None:
    whole = state_of(options, **losses)
    until(whole, 6)
    first = state_of(options, **losses)
    until(first, 3)
    Checkpoints(tmp_path).save(first.snapshot())
    second = state_of(options, seed=99, **losses)
    found = Checkpoints(tmp_path).load_latest()
    assert found is not None
    second.restore(found.snapshot)
    until(second, 6, workers=1)
    assert same(second.snapshot(), whole.snapshot())
    assert not same(second.snapshot(), first.snapshot())


def _as_before_head_factors(snapshot: Snapshot) -> Snapshot:
    options = dict(snapshot.scalars["options"])
    del options["head_factor"]
    return Snapshot(snapshot.tensors, {**snapshot.scalars, "options": options})


def test_a_snapshot_of_before_goes_on_to_the_same_bits() -> None:
    whole, first = state_of(PLAIN), state_of(PLAIN)
    until(whole, 6)
    until(first, 2)
    second = state_of(PLAIN, seed=99)
    second.restore(_as_before_head_factors(first.snapshot()))
    until(second, 6)
    assert same(second.snapshot(), whole.snapshot())


def test_a_snapshot_of_before_had_no_other_rate_for_heads() -> None:
    old = _as_before_head_factors(state_of(PLAIN).snapshot())
    with pytest.raises(Clip3DError, match=r"head_factor 1\.0 instead of 5\.0"):
        state_of(replace(PLAIN, head_factor=5.0)).restore(old)


def test_a_snapshot_that_lacks_what_was_always_there_is_refused() -> None:
    snapshot = state_of(PLAIN).snapshot()
    options = {name: v for name, v in snapshot.scalars["options"].items() if name != "steps"}
    with pytest.raises(Clip3DError, match="steps None instead of 6"):
        scalars = {**snapshot.scalars, "options": options}
        state_of(PLAIN).restore(Snapshot(snapshot.tensors, scalars))


def child(rank: int, folder: Path, linear_probe: bool) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    losses = {"linear_probe": linear_probe, "words_weight": 0.0}
    state = state_of(replace(SGD, steps=2), seed=rank, **losses)
    batches = BatchLoader(parks(3, scenes=1, points=700))
    with process_group(World(rank, 2), init_method=f"file://{folder}/meet") as world:
        train(state, batches, loss_of, world=world)
    write_snapshot(state.snapshot(), folder / f"rank-{rank}")


@pytest.mark.slow
@pytest.mark.parametrize("linear_probe", [False, True])
def test_two_processes_keep_one_network(linear_probe: bool, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = {_CHILD_PATHS}\n"
        "from pathlib import Path\n"
        "from test_supervised_resume import child\n"
        "child(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == 'True')"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), str(tmp_path), str(linear_probe)],
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
    first, second = (read_snapshot(tmp_path / f"rank-{rank}").tensors for rank in range(2))
    start = state_of(SGD, seed=0).snapshot().tensors
    for name, weight in first.items():
        if not name.startswith("network/"):
            continue
        # Running statistics go to the others before a step, and not after the last one.
        if linear_probe or "running" not in name:
            assert torch.equal(weight, second[name]), name
        trained = name.startswith("network/closed.") or not (linear_probe or ".head." in name)
        assert torch.equal(weight, start[name]) != trained, name
