"""The intensity of LiDAR returns, from the reflectance of each concept in ``reflectance.toml``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from weights.recipe.simulate.concepts import concept_names
from weights.recipe.simulate.primitives import F32, U8, Rng

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def draw_reflectance(rng: Rng) -> F32:
    """Return the reflectance of every concept in one street, (concepts,) float32 in 0…1."""
    table = reflectance_table()
    names = concept_names()
    means = [table["concept"].get(name, table["default"]) for name in names]
    factor = np.exp(rng.normal(0, table["spread"], len(names)))
    reflectance: F32 = np.clip(np.array(means) * factor, 0, 1).astype(np.float32)
    return reflectance


def draw_intensity(reflectance: F32, concept: U8, rng: Rng) -> F32:
    """Return calibrated intensities of points.

    Args:
        reflectance: (concepts,) as `draw_reflectance` returns it.
        concept: (P,) uint8, the concept of each point.
        rng: draws the variation between points of one concept.

    Returns:
        (P,) float32 in 0…1.
    """
    factor = np.exp(rng.normal(0, reflectance_table()["grain"], len(concept)))
    intensity: F32 = np.clip(reflectance[concept] * factor, 0, 1).astype(np.float32)
    return intensity


def reflectance_table() -> dict[str, Any]:
    """Return the contents of ``reflectance.toml``."""
    text = Path(__file__).with_name("reflectance.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    return table
