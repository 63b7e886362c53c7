"""What a sensor captures: points and the surfaces they lie on, before intensities and colours."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32, U8, U16, Rng
from weights.recipe.simulate.ray_casting import Returns


@dataclass(frozen=True, slots=True)
class Capture:
    """P points and the surfaces they lie on.

    Attributes:
        xyz: (P, 3) float32, world metres.
        label: (P,) uint16, indices into ``concept_names()``.
        range_m: (P,) float32, distance from the sensor in metres.
        cosine: (P,) float32 in 0…1, of the angle of incidence.
        normal: (P, 3) float32, unit normals towards the sensor.
        material: (P,) uint8, indices into ``material_names()``.
        color: (P, 3) uint8 sRGB of the surfaces in white light.
        share: (P,) float32, the share of the light that panes and mirrors on the way leave.
    """

    xyz: F32
    label: U16
    range_m: F32
    cosine: F32
    normal: F32
    material: U8
    color: U8
    share: F32

    @classmethod
    def from_returns(cls, xyz: F32, returns: Returns) -> "Capture":
        """Return the points (P, 3) of P returns with what is known of their surfaces."""
        return cls(
            np.asarray(xyz, dtype=np.float32),
            returns.label,
            returns.range_m,
            returns.cosine,
            returns.normal,
            returns.material,
            returns.color,
            returns.share,
        )

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Capture":
        return Capture(*(getattr(self, field.name)[rows] for field in fields(self)))


def joined(captures: Iterable[Capture]) -> Capture:
    """Return one capture with all points of several captures, at least one, in their order."""
    parts = list(captures)
    columns = [[getattr(part, field.name) for part in parts] for field in fields(Capture)]
    return Capture(*(np.concatenate(column) for column in columns))


def thinned(capture: Capture, size_m: float, rng: Rng) -> Capture:
    """Return one random point of each occupied cube of ``size_m`` metres."""
    # `np.unique` takes the first point of a cube in the shuffled order.
    order = rng.permutation(len(capture))
    cells = np.floor(capture.xyz[order] / size_m).astype(np.int64)
    key = (cells[:, 0] * 1_000_003 + cells[:, 1]) * 1_000_003 + cells[:, 2]
    _, first = np.unique(key, return_index=True)
    return capture[order[first]]
