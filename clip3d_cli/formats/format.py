"""What a file format offers, what a caller may ask of it, and what it tells about a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud

_UNKNOWN_MEMORY = 8 << 30
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_budget() -> int:
    """Bytes a read may take: three quarters of what the machine, container and process allow."""
    limits = [_UNKNOWN_MEMORY]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):  # Windows has neither
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
    """How to read a file that does not say everything itself.

    Attributes:
        columns: names of the columns of ``.bin`` and ``.npy``, such as ``("x", "y", "z",
            "intensity", "ring")``; None decides by evidence.
        allow_truncated: take the points that are there when the file ends early.
        max_memory: bytes that a read may justify.
    """

    columns: tuple[str, ...] | None = None
    allow_truncated: bool = False
    max_memory: int = field(default_factory=memory_budget)


@dataclass(frozen=True, slots=True, eq=False)
class CloudFacts:
    """What a file says about itself, and what its points say where they were read.

    Attributes:
        format: kind and version, for people.
        points: how many points a read gives.
        fields: names of the columns with their dtypes.
        bounds: (2, 3) float64, metres: low and high corner, or None where unknown.
        crs: the name of the coordinate reference system, or None.
        notes: facts for people.
        warnings: what may surprise.
        label_fields: the label fields that the file has already.
        memory: bytes that reading takes.
        stamp: size in bytes and time of change in nanoseconds when it was looked at.
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
    stamp: tuple[int, int] | None = None


class Format(Protocol):
    """One kind of file: a class with these, and a row in the registry.

    Attributes:
        name: the registry's name.
        suffixes: of the files it reads, lower case.
        writes: suffixes of the labelled copies it makes, the usual one first.
    """

    name: str
    suffixes: tuple[str, ...]
    writes: tuple[str, ...]

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the first bytes are of this kind."""

    def inspect(self, path: Path, options: ReadOptions) -> CloudFacts:
        """The facts of the header, checked against the file's size; allocates little.

        Raises:
            InputError: the header says what cannot be true.
        """

    def read(self, path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
        """The points, and the facts they add to the header's.

        Raises:
            InputError: the file ends early, or is corrupt.
        """

    def write(
        self, labels: Labels, source: Path, part: Path, options: ReadOptions, suffix: str
    ) -> None:
        """Write a copy of ``source`` with label fields to ``part``, as ``suffix`` asks.

        Raises:
            InputError: the source cannot be copied.
            OutputError: the copy cannot be written.
        """
