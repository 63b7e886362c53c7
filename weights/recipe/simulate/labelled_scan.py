"""The result of a simulation: a labelled scan."""

from typing import NamedTuple

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.primitives import F32, F64, U8, U16, Rng
from weights.recipe.simulate.radiometry import Camera, LaserResponse
from weights.recipe.simulate.ray_casting import RayCaster


class Scan(NamedTuple):
    """A labelled scan.

    Attributes:
        xyz: (N, 3) float32, world metres.
        label: (N,) uint16, indices into ``concept_names()``.
        description: kind of scene, sensor and its main parameters.
        rgb: (N, 3) uint8 colours, or None.
        intensity: (N,) float32 in 0…1, or None.
        sensor: (3,) the sensor's position in world metres, if it has one.
        empty_rows: rows at the sensor's origin that the file has for rays without a return.
    """

    xyz: F32
    label: U16
    description: str
    rgb: U8 | None = None
    intensity: F32 | None = None
    sensor: F64 | None = None
    empty_rows: int = 0


def finished(
    capture: Capture,
    description: str,
    rng: Rng,
    *,
    response: LaserResponse | None,
    camera: Camera | None,
    caster: RayCaster | None = None,
) -> Scan:
    """Return a capture as a scan.

    Args:
        capture: the points.
        description: kind of scene, sensor and its main parameters.
        rng: draws noise.
        response: makes the intensities; None for none.
        camera: makes the colours; None for none.
        caster: the scene, for shadows in the colours.
    """
    return Scan(
        capture.xyz,
        capture.label,
        description,
        None if camera is None else camera.colors(capture, rng, caster),
        None if response is None else response.intensity(capture, rng),
    )
