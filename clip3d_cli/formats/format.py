"""The interface of a file format, the options of a read, and the facts about a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud

_MEMORY_IF_UNKNOWN = 8 << 30
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_budget() -> int:
    """Return the bytes that reading a file may take by default.

    It is three quarters of the smallest of these: the machine's memory, the limit of the
    container (cgroup v2), and the address space limit of the process.
    """
    limits = [_MEMORY_IF_UNKNOWN]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):  # not on Windows
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if _CONTAINER_LIMIT.is_file():
        text = _CONTAINER_LIMIT.read_text().strip()
        limits += [int(text)] if text.isdigit() else []
    limits += _process_limit()
    return min(limits) * 3 // 4


def _process_limit() -> list[int]:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return []
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if soft == resource.RLIM_INFINITY else [soft]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options for reading a point cloud file.

    Attributes:
        columns: column names of a ``.bin`` file or ``.npy`` table, in file order, such as
            ``("x", "y", "z", "intensity", "ring")``. None infers them from the values.
        allow_truncated: read the points that are there when a file ends early, instead of
            raising E_TRUNCATED.
        max_memory: bytes that a read may take; a larger file raises E_TOO_LARGE.
    """

    columns: tuple[str, ...] | None = None
    allow_truncated: bool = False
    max_memory: int = field(default_factory=memory_budget)


@dataclass(frozen=True, slots=True, eq=False)
class CloudFacts:
    """Facts about a point cloud file, from its header and, once it was read, from its points.

    Attributes:
        format: name and version of the format, for people, such as "LAS 1.4 point format 6".
        points: number of points that a read returns.
        fields: name and dtype of every column, such as "intensity uint16".
        bounds: (2, 3) float64, metres: low and high corner. None if unknown.
        crs: name of the coordinate reference system. None if the file has none.
        notes: remarks for people.
        warnings: remarks on what may surprise a user.
        label_fields: names of the label columns that the file has already.
        memory: bytes that reading the file takes, an estimate.
    """

    format: str
    points: int
    fields: tuple[str, ...]
    bounds: npt.NDArray[np.float64] | None = None
    crs: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    label_fields: tuple[str, ...] = ()
    memory: int = 0


class FormatFile(Protocol):
    """A file of one format whose header was parsed; its points were not read yet.

    Attributes:
        facts: facts from the header, checked against the size of the file.
    """

    facts: CloudFacts

    def read(self) -> tuple[PointCloud, tuple[str, ...]]:
        """Return the points in file order, in metres, and notes about their values.

        Raises:
            InputError: the file ends early or is corrupt.
        """

    def write_copy(self, labels: Labels, target: Path, suffix: str) -> None:
        """Write a copy of the file with label columns.

        Args:
            labels: N labels, one per point in file order.
            target: file to write; the name may have any suffix.
            suffix: one of the ``writes`` of the format; it selects the kind of copy.

        Raises:
            InputError: the number of labels differs from the number of points, or the file is
                corrupt.
            OutputError: the copy cannot be written.
        """


class Format(Protocol):
    """A file format. A new one needs a class with these members and an entry in the registry.

    Attributes:
        name: name in the registry.
        suffixes: lower-case suffixes of the files that it reads.
        writes: lower-case suffixes of the labelled copies that it writes, the default first.
    """

    name: str
    suffixes: tuple[str, ...]
    writes: tuple[str, ...]

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether a file is of this format, by its first bytes (at most 4096)."""

    def open(self, path: Path, options: ReadOptions) -> FormatFile:
        """Parse the header of a file and check it against the file's size.

        Raises:
            InputError: the header is invalid or contradicts the size of the file.
        """
