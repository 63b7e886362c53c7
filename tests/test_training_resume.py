"""Trainings that are stopped, killed or cut off, and go on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.checkpoints import Checkpoints, read_snapshot, write_snapshot
from clip3d_cli.training.loop import Loss, train
from clip3d_cli.training.prefetch import Prefetched
from clip3d_cli.training.stopping import stop_on_signals
from clip3d_cli.training.trainee import Kind, LoopOptions, Snapshot, Trainee

ADAM = LoopOptions(6, 0.05, warmup_steps=2, average_decay=0.9)
SGD = LoopOptions(6, 0.1, 1e-4, warmup_steps=0, average_decay=0, optimizer="sgd")
TWICE = LoopOptions(6, 0.05, batches_per_step=2, seed=5)


class Small(nn.Module):
    """Everything that makes resuming hard: running statistics, drop-out, an unused weight."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 2)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        return self.drop(self.linear(self.norm(feats)))


def batch_of(number: int) -> torch.Tensor:
    return torch.randn(16, 3, generator=torch.Generator().manual_seed(number)) + 1


def loss_of(network: nn.Module, batch: torch.Tensor, _: int = 0) -> Loss:
    return (network(batch) - batch[:, :2]).square().mean(), {}


def trainee_of(options: LoopOptions, seed: int = 1) -> Trainee:
    torch.manual_seed(seed)
    return Trainee(Small(), options)


def _until(trainee: Trainee, last: int, workers: int = 0) -> None:
    """Train until a number of steps is done, or to the end."""
    with stop_on_signals() as stop:

        def ask(*_: object) -> None:
            stop.asked = trainee.done >= last

        finished = train(trainee, Prefetched(batch_of, workers), loss_of, ask, stop=stop)
    assert finished == (trainee.done == trainee.options.steps)


def _same(one: Snapshot, two: Snapshot) -> bool:
    return (
        one.scalars == two.scalars
        and set(one.tensors) == set(two.tensors)
        and all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    )


@pytest.mark.parametrize("options", [ADAM, SGD, TWICE], ids=["adamw", "sgd", "twice"])
def test_a_resumed_training_ends_with_the_same_bits(options: LoopOptions, tmp_path: Path) -> None:
    whole = trainee_of(options)
    _until(whole, 6)
    first = trainee_of(options)
    _until(first, 3)
    Checkpoints(tmp_path).save(first.snapshot())
    second = trainee_of(options, seed=99)
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    second.load(found.snapshot)
    assert second.done == 3
    _until(second, 6)
    assert _same(second.snapshot(), whole.snapshot())
    assert not _same(second.snapshot(), first.snapshot())


def test_a_snapshot_does_not_change_while_training_goes_on() -> None:
    trainee = trainee_of(ADAM)
    _until(trainee, 2)
    taken = trainee.snapshot()
    before = {name: value.clone() for name, value in taken.tensors.items()}
    _until(trainee, 4)
    assert all(torch.equal(before[name], value) for name, value in taken.tensors.items())


def test_what_loads_a_snapshot_does_not_share_it() -> None:
    trainee = trainee_of(ADAM)
    _until(trainee, 2)
    taken = trainee.snapshot()
    other = trainee_of(ADAM)
    other.load(taken)
    _until(other, 6)
    assert _same(taken, trainee.snapshot())


def test_workers_make_the_same_batches_after_a_resume() -> None:
    whole, first, second = (trainee_of(ADAM) for _ in range(3))
    _until(whole, 6)
    _until(first, 2, workers=2)
    second.load(first.snapshot())
    _until(second, 6, workers=2)
    assert _same(second.snapshot(), whole.snapshot())


def test_snapshots_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "a/scalar": torch.tensor(3),
        "b.half": torch.randn(4).bfloat16(),
        "c": torch.zeros(0, 5),
        "d": torch.tensor([True, False]),
    }
    snapshot = Snapshot(tensors, {"done": 7, "options": {"name": "ä", "rate": 0.1}})
    write_snapshot(snapshot, tmp_path / "x.safetensors")
    assert _same(read_snapshot(tmp_path / "x.safetensors"), snapshot)


def _saved(folder: Path, *done: int, keep_last: int = 5) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep_last)
    for number in done:
        checkpoints.save(Snapshot({"w": torch.full((50,), float(number))}, {"done": number}))
    return checkpoints


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    (tmp_path / "step-00000001.safetensors.abcd.part").touch()
    (tmp_path / "notes.txt").touch()
    checkpoints = _saved(tmp_path, 1, 2, 10, keep_last=2)
    names = [path.name for path in checkpoints.paths()]
    assert names == ["step-00000010.safetensors", "step-00000002.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", *reversed(names)]


def test_no_checkpoint_is_no_fault(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").latest() is None


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 40, 200, -1])
def test_a_truncated_checkpoint_is_passed_over(tmp_path: Path, keep: int) -> None:
    checkpoints = _saved(tmp_path, 1, 2)
    newest = checkpoints.paths()[0]
    newest.write_bytes(newest.read_bytes()[:keep])
    found = checkpoints.latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == 1
    assert [fault.code for fault in found.passed_over] == ["E_CORRUPT"]
    assert newest.name in found.passed_over[0].where


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = _saved(tmp_path, 1).paths()[0]
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = read_snapshot(path)
        except Clip3DError as fault:
            assert fault.code == "E_CORRUPT"
        else:
            # Scalars have no checksum, and blanks may become other blanks.
            assert torch.equal(found.tensors["w"], torch.ones(50))


def test_checkpoints_that_are_all_broken_are_refused(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, 1, 2)
    for path in checkpoints.paths():
        path.write_bytes(b"PK\x03\x04 pickled")
    with pytest.raises(Clip3DError, match=r"step-00000002.*not a whole checkpoint") as fault:
        checkpoints.latest()
    assert fault.value.code == "E_CORRUPT"


def test_a_full_disk_leaves_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = _saved(tmp_path, 1)

    def full(self: Path, blob: bytes) -> int:
        with self.open("wb") as file:
            file.write(blob[: len(blob) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(Clip3DError) as fault:
            _saved(tmp_path, 2, keep_last=1)
    assert fault.value.code == "E_NO_SPACE"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.safetensors"]
    assert checkpoints.latest() is not None


KILLED = """
import os, signal
from pathlib import Path
import torch
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.trainee import Snapshot

checkpoints = Checkpoints(Path({folder!r}), keep_last=1)
checkpoints.save(Snapshot({{"w": torch.ones(50)}}, {{"done": 1}}))

def half(path, blob):
    with path.open("wb") as file:
        file.write(blob[: len(blob) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

Path.write_bytes = half
checkpoints.save(Snapshot({{"w": torch.ones(50)}}, {{"done": 2}}))
"""


@pytest.mark.slow
def test_a_kill_while_writing_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED.format(folder=str(tmp_path))], check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.part"))) == 1
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == 1
    assert found.passed_over == ()
    _saved(tmp_path, 2)
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rate": 0.1}, "learning_rate 0.05 instead of 0.1"),
        ({"optimizer": "sgd"}, "optimizer 'adamw' instead of 'sgd'"),
    ],
)
def test_other_options_are_refused(change: dict[str, float | Kind], said: str) -> None:
    taken = trainee_of(ADAM).snapshot()
    other = LoopOptions(**{**taken.scalars["options"], **change})
    with pytest.raises(Clip3DError, match=said) as fault:
        trainee_of(other).load(taken)
    assert fault.value.code == "E_CONFIG"


def test_other_networks_are_refused() -> None:
    taken = trainee_of(ADAM).snapshot()
    with pytest.raises(Clip3DError, match="another network") as fault:
        Trainee(nn.Linear(3, 1), ADAM).load(taken)
    assert fault.value.code == "E_CONFIG"


SIGNALLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training_resume import batch_of, loss_of, trainee_of
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.loop import train
from clip3d_cli.training.prefetch import Prefetched
from clip3d_cli.training.stopping import stop_on_signals
from clip3d_cli.training.trainee import LoopOptions

trainee = trainee_of(LoopOptions(10**6))
said = lambda step, _: (time.sleep(0.01), print(step.number, flush=True))
with stop_on_signals() as stop:
    finished = train(trainee, Prefetched(batch_of, {workers}), loss_of, said, stop=stop)
Checkpoints(Path({folder!r})).save(trainee.snapshot())
print("finished" if finished else "stopped", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 2), (signal.SIGINT, 2)])
def test_a_signal_lets_the_step_end_and_the_state_be_saved(
    tmp_path: Path, number: int, workers: int
) -> None:
    tests = str(Path(__file__).parent)
    program = SIGNALLED.format(tests=tests, folder=str(tmp_path), workers=workers)
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    steps = [child.stdout.readline() for _ in range(3)]
    assert steps == ["1\n", "2\n", "3\n"]
    os.killpg(child.pid, number)  # workers too, as torchrun and terminals do
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    *steps, last = said.split()
    assert last == "stopped"
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == int(steps[-1] if steps else 3)


def test_the_second_signal_does_what_it_did_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.01)
            assert stop.asked
            assert heard == []
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
