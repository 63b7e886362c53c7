"""The scans of every epoch of a training, listed once and written down.

Simulated scans may be added while a training runs. At the start of each epoch the new files are
listed in ``scans/NNNN.json`` in the run's folder, with what drawing from them needs to know; they
are used from that epoch on. A resumed training reads the lists that are there, so it draws the same
batches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.core.voxels import choose_voxel_size, count_voxels
from clip3d_cli.errors import InputError
from weights.recipe.points.sources import (
    ScanFile,
    read_scan,
    real_files,
    simulated_files,
)


@dataclass(frozen=True, slots=True)
class ListedScan:
    """A scan, and what must be known of it to draw it.

    Attributes:
        path: the file.
        source: see `ScanFile`.
        table: see `ScanFile`.
        points: number of points.
        voxel_m: voxel edge that labelling would choose.
        voxels: number of voxels of that edge.
        points_of_leaves: number of points of each leaf set, by the leaves joined with "|".
    """

    path: str
    source: str
    table: str
    points: int
    voxel_m: float
    voxels: int
    points_of_leaves: Mapping[str, int]

    @property
    def file(self) -> ScanFile:
        """The file, to read it."""
        return ScanFile(Path(self.path), self.source, self.table)


def list_scan(file: ScanFile, voxel_sizes_m: Sequence[float]) -> ListedScan:
    """Return the entry of a scan.

    Args:
        file: the scan.
        voxel_sizes_m: edges of which labelling chooses.
    """
    scan = read_scan(file)
    voxel_m = choose_voxel_size(scan.cloud.xyz, voxel_sizes_m)
    known = scan.leaf_set_of_point[scan.leaf_set_of_point >= 0]
    counts = np.bincount(known, minlength=len(scan.leaf_sets))
    return ListedScan(
        str(file.path),
        file.source,
        file.table,
        len(scan.cloud),
        voxel_m,
        count_voxels(scan.cloud.xyz, voxel_m),
        {
            "|".join(sorted(leaves)): int(count)
            for leaves, count in zip(scan.leaf_sets, counts, strict=True)
            if count
        },
    )


def read_lists(folder: Path) -> tuple[ListedScan, ...]:
    """Return all scans that the lists of a run have."""
    return tuple(
        ListedScan(**row)
        for path in sorted(folder.glob("[0-9]*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    )


@dataclass(frozen=True, slots=True)
class ScanLists:
    """Lists of scans by epoch.

    Attributes:
        folder: where the lists are written.
        shared: the folder ``../shared/data`` of real scans, or None to train without.
        simulated: folder of simulated scans; see `simulated_files`.
        voxel_sizes_m: edges of which labelling chooses.
    """

    folder: Path
    shared: Path | None
    simulated: Path
    voxel_sizes_m: tuple[float, ...]

    def of_epoch(self, epoch: int) -> tuple[ListedScan, ...]:
        """Return all scans of an epoch, those of earlier epochs first.

        Raises:
            InputError: there is no scan at all.
        """
        scans: list[ListedScan] = []
        for number in range(epoch + 1):
            path = self.folder / f"{number:04d}.json"
            if not path.exists():
                self._write_new(path, scans)
            scans += [ListedScan(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        if not scans:
            raise InputError(
                "E_NOT_FOUND", self.simulated, "has no scan", "Simulate some first: see README.md."
            )
        return tuple(scans)

    def _write_new(self, path: Path, listed: Sequence[ListedScan]) -> None:
        """Write the list of the files that are not listed yet, unless another process did."""
        known = {scan.path for scan in listed}
        files = simulated_files(self.simulated)
        if self.shared is not None:
            files = real_files(self.shared) + files
        rows = [
            asdict(list_scan(file, self.voxel_sizes_m))
            for file in files
            if str(file.path) not in known
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(rows), encoding="utf-8")
        try:
            # Unlike a rename, a link fails if another worker has written the list.
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
