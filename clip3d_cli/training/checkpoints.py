"""Checkpoints: snapshots on disk, each complete or not there at all.

A checkpoint is a safetensors file: nothing in it can run code. Its metadata hold the scalars as
JSON and a checksum of the tensors.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clip3d_cli.errors import Clip3DError, InputError
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.training.state import Snapshot

_KEY = "clip3d-training"
_LAYOUT = 1
_NAME = re.compile(r"step-(\d{8,})\.safetensors")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The newest checkpoint that can be read.

    Attributes:
        path: its file.
        snapshot: what is in it.
        passed_over: why newer ones could not be read.
    """

    path: Path
    snapshot: Snapshot
    passed_over: tuple[Clip3DError, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run, in a folder that nobody else writes to.

    Attributes:
        folder: made when the first is saved.
        keep_last: how many are kept.
    """

    folder: Path
    keep_last: int = 2

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot, then remove all but the newest ones, and what broken writes left.

        Returns:
            its file, named after the steps done.

        Raises:
            OutputError: E_NO_SPACE or E_NOT_WRITABLE; the older checkpoints are all there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"step-{snapshot.scalars['done']:08d}.safetensors"
        write_snapshot(snapshot, target)
        for path in self.paths()[self.keep_last :]:
            path.unlink()
        for path in self.folder.glob("*.part"):
            path.unlink()
        return target

    def paths(self) -> list[Path]:
        """The files of all checkpoints, the one of most steps first."""
        steps = {
            path: int(match[1])
            for path in self.folder.glob("*")
            if (match := _NAME.fullmatch(path.name))
        }
        return sorted(steps, key=lambda path: -steps[path])

    def latest(self) -> Found | None:
        """The newest checkpoint that can be read; None where there is none at all.

        Raises:
            InputError: E_CORRUPT: there are some, and none can be read: of the newest.
        """
        faults: list[Clip3DError] = []
        for path in self.paths():
            try:
                return Found(path, read_snapshot(path), tuple(faults))
            except InputError as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return None


def write_snapshot(snapshot: Snapshot, target: Path) -> None:
    """Write one file, whole or not at all.

    Raises:
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    described = {
        "layout": _LAYOUT,
        "scalars": snapshot.scalars,
        "crc32": _checksum(snapshot.tensors),
    }
    blob = save(snapshot.tensors, {_KEY: json.dumps(described, sort_keys=True)})
    with atomic_write(target) as part:
        part.write_bytes(blob)


def read_snapshot(path: Path) -> Snapshot:
    """What `write_snapshot` wrote.

    Raises:
        InputError: E_CORRUPT: not there, cut off, changed, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            described: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        scalars, checksum = described["scalars"], described["crc32"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, f"is not a whole checkpoint: {error}") from error
    if described.get("layout") != _LAYOUT:
        raise _corrupt(path, f"has layout {described.get('layout')}, not {_LAYOUT}")
    if _checksum(tensors) != checksum:
        raise _corrupt(path, "was changed: its checksum is wrong")
    return Snapshot(tensors, scalars)


def _checksum(tensors: dict[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        # A tensor without dimensions cannot be viewed as bytes.
        raw = tensors[name].reshape(-1).view(torch.uint8).numpy()
        total = zlib.crc32(raw.data, total)
    return total


def _corrupt(path: Path, fault: str) -> InputError:
    return InputError("E_CORRUPT", path, fault, "Remove it to go on from the one before it.")
