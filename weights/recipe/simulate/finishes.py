"""Finishes: a material with a colour of its own, which several parts of a piece share."""

from typing import NamedTuple

import numpy as np

from weights.recipe.simulate.materials import draw_color, material_index
from weights.recipe.simulate.primitives import F32, Mesh, Rng, merge


class Finish(NamedTuple):
    """A material and its linear colour (3,), as `Mesh.made_of` takes them."""

    material: str
    color: F32

    def on(self, *parts: Mesh) -> Mesh:
        """Return one mesh of all parts with this finish."""
        return merge(parts).made_of(self.material, self.color)

    def darker(self, factor: float) -> "Finish":
        """Return the finish with its colour multiplied by a factor."""
        return Finish(self.material, np.clip(self.color * factor, 0.003, 0.95).astype(np.float32))


def draw_finish(rng: Rng, *materials: str) -> Finish:
    """Return one of several materials in a random colour of its palette."""
    material = materials[int(rng.integers(len(materials)))]
    return Finish(material, draw_color(material_index(material), rng))


def plain_finish(material: str, color: tuple[float, float, float]) -> Finish:
    """Return a material in a given linear colour."""
    return Finish(material, np.asarray(color, dtype=np.float32))
