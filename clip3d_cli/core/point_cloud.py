"""Point clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array


@dataclass(frozen=True, slots=True)
class PointCloud:
    """N points in a right-handed frame with z up.

    Attributes:
        xyz: (N, 3) float64, metres. At 5,000,000 m from the origin, as in UTM, float32 has steps
            of half a metre.
        rgb: (N, 3) uint8 colors, or None.
        intensity: (N,) float32 intensities, 0…1, or None.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape.
    """

    xyz: npt.NDArray[np.float64]
    rgb: npt.NDArray[np.uint8] | None = None
    intensity: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        validate_array("xyz", self.xyz, np.float64, (None, 3))
        if self.rgb is not None:
            validate_array("rgb", self.rgb, np.uint8, (len(self.xyz), 3))
        if self.intensity is not None:
            validate_array("intensity", self.intensity, np.float32, (len(self.xyz),))

    def __len__(self) -> int:
        return len(self.xyz)

    def select(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> PointCloud:
        """Return some of the points.

        Args:
            rows: (P,) int64 rows, in the order of the result; or (N,) bool, True for the points
                to keep.
        """
        return PointCloud(
            self.xyz[rows],
            None if self.rgb is None else self.rgb[rows],
            None if self.intensity is None else self.intensity[rows],
        )
