"""Which columns a headless table of float32 has: decided by what the numbers can mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.formats.format import ReadOptions

KITTI = ("x", "y", "z", "intensity")
NUSCENES = ("x", "y", "z", "intensity", "ring")

_FLOAT_BYTES = 4
_LAYOUTS = (KITTI, NUSCENES)
_SAMPLE = 50_000
_FARTHEST_M = 1e5
_MOST_RINGS = 256
_BRIGHTEST = 65535


def columns_of(path: Path, options: ReadOptions) -> tuple[str, ...]:
    """The columns of a ``.bin`` file: as asked, or the one layout that its numbers fit.

    KITTI stores x, y, z, intensity, and nuScenes (``.pcd.bin``) a ring as well. Sizes are often
    multiples of both, but read with the wrong width the columns mix: intensity turns negative,
    rings are no longer whole.

    Raises:
        UsageError: E_COLUMNS, the names lack x, y or z, or no layout or several fit.
        InputError: E_BAD_SIZE, the size is a multiple of no layout's row.
    """
    size = path.stat().st_size
    if options.columns is not None:
        _check_names(path, options.columns)
        _check_size(path, size, len(options.columns), options)
        return options.columns
    possible = [names for names in _LAYOUTS if size % (_FLOAT_BYTES * len(names)) == 0]
    if not possible:
        raise InputError(
            "E_BAD_SIZE",
            path,
            f"{size:,} bytes are no whole number of points of 4 or 5 float32 columns",
            "The copy was cut off, or name its columns: --columns x,y,z,intensity,ring.",
        )
    if path.name.lower().endswith(".pcd.bin") and NUSCENES in possible:
        return NUSCENES
    values = np.fromfile(path, "<f4", count=_SAMPLE * 20)
    fitting = [names for names in possible if _fits(values, names)]
    if len(fitting) != 1:
        raise UsageError(
            "E_COLUMNS",
            path,
            "its numbers do not tell which columns it has",
            "Name them: --columns x,y,z,intensity or --columns x,y,z,intensity,ring.",
        )
    return fitting[0]


def _fits(values: npt.NDArray[np.float32], names: tuple[str, ...]) -> bool:
    """Whether the columns can mean what their names say."""
    rows = values[: len(values) // len(names) * len(names)].reshape(-1, len(names))
    xyz, intensity = rows[:, :3], rows[:, 3]
    ring = rows[:, 4] if "ring" in names else np.zeros(1, np.float32)
    with np.errstate(invalid="ignore"):  # missing numbers compare as false, which is meant
        near = np.abs(xyz[np.isfinite(xyz)]) < _FARTHEST_M
        bright = (intensity >= 0) & (intensity <= _BRIGHTEST)
        whole = (ring >= 0) & (ring < _MOST_RINGS) & (ring == np.floor(ring))
    return bool(near.all() and bright.all() and whole.all())


def _check_names(path: Path, names: tuple[str, ...]) -> None:
    if not {"x", "y", "z"} <= set(names) or len(set(names)) < len(names):
        raise UsageError(
            "E_COLUMNS",
            path,
            f"the columns {','.join(names)} must hold x, y and z, each name once",
            "Name all columns in order: --columns x,y,z,intensity.",
        )


def _check_size(path: Path, size: int, width: int, options: ReadOptions) -> None:
    rest = size % (_FLOAT_BYTES * width)
    if rest and not options.allow_truncated:
        fault = f"{size:,} bytes are no whole number of points of {width} float32 columns"
        raise InputError(
            "E_BAD_SIZE", path, fault, "Name other --columns, or allow it with --allow-truncated."
        )
