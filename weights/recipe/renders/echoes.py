"""How bright a LiDAR's returns are: by what sent them back."""

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


def street_reflectance(rng: Rng) -> F32:
    """(concepts,) float32, 0…1: what each concept sends back in one street."""
    table = _table()
    names = concept_names()
    usual = [table["concept"].get(name, table["usual"]) for name in names]
    factor = np.exp(rng.normal(0, table["spread"], len(names)))
    bounded: F32 = np.clip(np.array(usual) * factor, 0, 1).astype(np.float32)
    return bounded


def intensity(reflectance: F32, concept: U8, rng: Rng) -> F32:
    """(P,) float32, 0…1: a sensor's calibrated intensity of points on (P,) concepts."""
    bright = reflectance[concept] * np.exp(rng.normal(0, _table()["grain"], len(concept)))
    bounded: F32 = np.clip(bright, 0, 1).astype(np.float32)
    return bounded


def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("reflectance.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    return table
