"""Checkpoints on disk: whole, cut off, changed, or on a full disk."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_state import same

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.checkpoints import Checkpoints, read_snapshot, write_snapshot
from clip3d_cli.training.state import Snapshot


def test_snapshots_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "a/scalar": torch.tensor(3),
        "b.half": torch.randn(4).bfloat16(),
        "c": torch.zeros(0, 5),
        "d": torch.tensor([True, False]),
    }
    snapshot = Snapshot(tensors, {"done": 7, "options": {"name": "ä", "rate": 0.1}})
    write_snapshot(snapshot, tmp_path / "x.safetensors")
    assert same(read_snapshot(tmp_path / "x.safetensors"), snapshot)


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
    assert Checkpoints(tmp_path / "none").load_latest() is None


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 40, 200, -1])
def test_a_truncated_checkpoint_is_passed_over(tmp_path: Path, keep: int) -> None:
    checkpoints = _saved(tmp_path, 1, 2)
    newest = checkpoints.paths()[0]
    newest.write_bytes(newest.read_bytes()[:keep])
    found = checkpoints.load_latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == 1
    assert [fault.code for fault in found.unreadable] == ["E_CORRUPT"]
    assert newest.name in found.unreadable[0].where


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
        checkpoints.load_latest()
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
    assert checkpoints.load_latest() is not None


KILLED = """
import os, signal
from pathlib import Path
import torch
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.state import Snapshot

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
    found = Checkpoints(tmp_path).load_latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == 1
    assert found.unreadable == ()
    _saved(tmp_path, 2)
    assert list(tmp_path.glob("*.part")) == []
