"""Surface materials: palettes of colours, and how surfaces answer light of a laser.

A material is an index into ``material_names()``; `material_table` has the numbers of all of them.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class MaterialTable:
    """The properties of M materials; ``materials.toml`` explains them.

    Attributes:
        nir: (M, 2) diffuse reflectance at 905 and 1550 nm, 0…1.
        tint: (M,) how far it follows the brightness of the colour, 0…1.
        mirror: (M,) share of the light that is mirrored at perpendicular incidence.
        passes: (M,) share of the light that goes through.
        retro: (M,) light returned towards the source, relative to a white wall.
        grain: (M,) deviation of the logarithm of the reflectance from point to point.
        brightness: (M,) mean brightness of the material's palette, linear 0…1.
    """

    nir: F32
    tint: F32
    mirror: F32
    passes: F32
    retro: F32
    grain: F32
    brightness: F32


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    text = Path(__file__).with_name("materials.toml").read_text(encoding="utf-8")
    tables: dict[str, Any] = tomllib.loads(text)
    return tables


@lru_cache(maxsize=1)
def palettes() -> dict[str, F32]:
    """Return every palette as (colours, 3) linear red, green and blue, 0…1."""
    rows = _tables()["palettes"].items()
    return {name: np.asarray(colors, dtype=np.float32) for name, colors in rows}


@lru_cache(maxsize=1)
def material_names() -> tuple[str, ...]:
    """Return the names of all materials."""
    return tuple(_tables()["material"])


@lru_cache(maxsize=1)
def _index_of_material() -> dict[str, int]:
    return {name: index for index, name in enumerate(material_names())}


def material_index(name: str) -> int:
    """Return the index of a material.

    Raises:
        KeyError: there is no material of that name.
    """
    return _index_of_material()[name]


@lru_cache(maxsize=1)
def material_of_concept() -> U8:
    """Return (concepts,) the material of a concept whose parts are not given one of their own."""
    material = {
        concept: name for name, concepts in _tables()["concept"].items() for concept in concepts
    }
    # "a|b" is either of two concepts, and of the first one's material.
    names = [name.split("|")[0] for name in concept_names()]
    indices = [material_index(material.get(name, "other")) for name in names]
    return np.array(indices, dtype=np.uint8)


@lru_cache(maxsize=1)
def material_table() -> MaterialTable:
    """Return the properties of all materials."""
    rows = [_tables()["material"][name] for name in material_names()]

    def column(key: str) -> F32:
        return np.array([row.get(key, 0.0) for row in rows], dtype=np.float32)

    means = [float(palettes()[row["palette"]].mean()) for row in rows]
    return MaterialTable(
        np.array([row["nir"] for row in rows], dtype=np.float32),
        column("tint"),
        column("mirror"),
        column("passes"),
        column("retro"),
        column("grain"),
        np.array(means, dtype=np.float32),
    )


def draw_color(material: int, rng: Rng) -> F32:
    """Return a (3,) linear colour of a material, up to a quarter darker or lighter than listed."""
    row = _tables()["material"][material_names()[material]]
    palette = palettes()[row["palette"]]
    color = palette[int(rng.integers(len(palette)))] * float(rng.uniform(0.75, 1.25))
    # A slight cast of its own, or all walls of a palette's colour would be equal.
    cast = rng.normal(1, 0.05, 3)
    return np.asarray(np.clip(color * cast, 0.003, 0.95), dtype=np.float32)


def to_srgb(linear: F32) -> U8:
    """Return 8-bit sRGB values of linear light in 0…1, of any shape."""
    clipped = np.clip(linear, 0, 1)
    curve = np.where(
        clipped <= 0.0031308, 12.92 * clipped, 1.055 * np.power(clipped, 1 / 2.4) - 0.055
    )
    return np.asarray(np.round(curve * 255), dtype=np.uint8)


@lru_cache(maxsize=1)
def linear_of_srgb() -> F32:
    """Return (256,) the linear light of each 8-bit sRGB value."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear, dtype=np.float32)
