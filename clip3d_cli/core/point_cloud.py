"""Point clouds, and the voxels and tiles that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array


@dataclass(frozen=True, slots=True)
class PointCloud:
    """Points in metres, right-handed, z up.

    Attributes:
        xyz: (N, 3) float64, metres. float64 because at 5,000,000 m a float32 steps by half a metre.
        rgb: (N, 3) uint8, or None.
        intensity: (N,) float32 in 0…1, or None.
    """

    xyz: npt.NDArray[np.float64]
    rgb: npt.NDArray[np.uint8] | None = None
    intensity: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_array("xyz", self.xyz, np.float64, (None, 3))
        if self.rgb is not None:
            check_array("rgb", self.rgb, np.uint8, (len(self.xyz), 3))
        if self.intensity is not None:
            check_array("intensity", self.intensity, np.float32, (len(self.xyz),))

    def __len__(self) -> int:
        return len(self.xyz)

    def only(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> PointCloud:
        """The points of some rows, in their order, or where an (N,) mask is True."""
        return PointCloud(
            self.xyz[rows],
            None if self.rgb is None else self.rgb[rows],
            None if self.intensity is None else self.intensity[rows],
        )


@dataclass(frozen=True, slots=True)
class VoxelGrid:
    """The occupied cells of a lattice, and the cell of every point.

    Attributes:
        cells: (M, 3) int32, sorted by x, then y, then z; unique.
        voxel_of_point: (N,) int64, rows of ``cells``.
        origin: (3,) float64, metres: the low corner of cell (0, 0, 0).
        size_m: the edge of a cell, metres.
    """

    cells: npt.NDArray[np.int32]
    voxel_of_point: npt.NDArray[np.int64]
    origin: npt.NDArray[np.float64]
    size_m: float

    def __post_init__(self) -> None:
        check_array("cells", self.cells, np.int32, (None, 3))
        check_array("voxel_of_point", self.voxel_of_point, np.int64, (None,))
        check_array("origin", self.origin, np.float64, (3,))

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """(M, 3) float64, metres: the middle of every cell."""
        return self.origin + (self.cells + 0.5) * self.size_m


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a cloud, with a halo of neighbours that lend it context.

    Attributes:
        points: (P,) int64, rows of the cloud, halo included.
        own: (P,) bool, True where this tile answers for the point: over all tiles, every
            point is owned once.
    """

    points: npt.NDArray[np.int64]
    own: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        check_array("points", self.points, np.int64, (None,))
        check_array("own", self.own, np.bool_, (len(self.points),))
