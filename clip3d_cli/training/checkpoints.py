"""Checkpoints: snapshots on disk, each complete or absent.

A checkpoint is a safetensors file, so reading it cannot run code. Its metadata hold the scalars as
JSON, and a checksum of the tensors.
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

_METADATA_KEY = "clip3d-training"
_LAYOUT_VERSION = 1
_FILE_NAME = re.compile(r"step-(\d{8,})\.safetensors")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCheckpoint:
    """Newest checkpoint that can be read.

    Attributes:
        path: its file.
        snapshot: its content.
        unreadable: errors of newer checkpoints that cannot be read.
    """

    path: Path
    snapshot: Snapshot
    unreadable: tuple[Clip3DError, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Checkpoints of one run, in a folder that nothing else writes to.

    Attributes:
        folder: it is created when the first checkpoint is saved.
        keep_last: number of checkpoints that are kept.
    """

    folder: Path
    keep_last: int = 2

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then remove old checkpoints and remains of interrupted writes.

        Returns:
            The file, which is named after the number of steps done.

        Raises:
            OutputError: E_NO_SPACE or E_NOT_WRITABLE; the older checkpoints still exist.
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
        """Return the files of all checkpoints, the newest first."""
        steps = {
            path: int(match[1])
            for path in self.folder.glob("*")
            if (match := _FILE_NAME.fullmatch(path.name))
        }
        return sorted(steps, key=lambda path: -steps[path])

    def load_latest(self) -> LoadedCheckpoint | None:
        """Return the newest checkpoint that can be read; None if there is no checkpoint.

        Raises:
            InputError: E_CORRUPT: none of the checkpoints can be read; the error of the newest.
        """
        faults: list[Clip3DError] = []
        for path in self.paths():
            try:
                return LoadedCheckpoint(path, read_snapshot(path), tuple(faults))
            except InputError as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return None


def write_snapshot(snapshot: Snapshot, target: Path) -> None:
    """Write a snapshot to a file, completely or not at all.

    Raises:
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    metadata = {
        "layout": _LAYOUT_VERSION,
        "scalars": snapshot.scalars,
        "crc32": _checksum(snapshot.tensors),
    }
    blob = save(snapshot.tensors, {_METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    with atomic_write(target) as part:
        part.write_bytes(blob)


def read_snapshot(path: Path) -> Snapshot:
    """Read a file that `write_snapshot` wrote.

    Raises:
        InputError: E_CORRUPT: the file is missing, truncated, changed, or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = json.loads((file.metadata() or {})[_METADATA_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        scalars, checksum = metadata["scalars"], metadata["crc32"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, f"is not a whole checkpoint: {error}") from error
    if metadata.get("layout") != _LAYOUT_VERSION:
        raise _corrupt(path, f"has layout {metadata.get('layout')}, not {_LAYOUT_VERSION}")
    if _checksum(tensors) != checksum:
        raise _corrupt(path, "was changed after it was written: its checksum is wrong")
    return Snapshot(tensors, scalars)


def _checksum(tensors: dict[str, Tensor]) -> int:
    """Return the CRC-32 of all names and bytes, in the order of the names."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        # A tensor without dimensions has no bytes view, one with a single dimension has.
        raw = tensors[name].reshape(-1).view(torch.uint8).numpy()
        total = zlib.crc32(raw.data, total)
    return total


def _corrupt(path: Path, fault: str) -> InputError:
    return InputError("E_CORRUPT", path, fault, "Remove it to resume from the checkpoint before.")
