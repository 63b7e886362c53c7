"""The intensity of LiDAR returns, from the simulator's table of materials.

The renderer colours surfaces by textures and not by the simulator's face colours, so it also takes
one reflectance for each concept of a street rather than the simulator's response of a sensor.
"""

import numpy as np

from weights.recipe.simulate.materials import material_of_concept, material_table
from weights.recipe.simulate.primitives import F32, U16, Rng

# Standard deviations of the logarithm: between streets, and between the points of one concept.
_SPREAD, _GRAIN = 0.2, 0.25


def draw_reflectance(rng: Rng) -> F32:
    """Return the reflectance of every concept in one street, (concepts,) float32 in 0…1."""
    table, material = material_table(), material_of_concept()
    # What returns light to its source, such as a traffic sign, is as bright as can be.
    means = table.nir[material, 0] + table.retro[material]
    factor = np.exp(rng.normal(0, _SPREAD, len(means)))
    reflectance: F32 = np.clip(means * factor, 0, 1).astype(np.float32)
    return reflectance


def draw_intensity(reflectance: F32, concept: U16, rng: Rng) -> F32:
    """Return calibrated intensities of points.

    Args:
        reflectance: (concepts,) as `draw_reflectance` returns it.
        concept: (P,) uint16, the concept of each point.
        rng: draws the variation between points of one concept.

    Returns:
        (P,) float32 in 0…1.
    """
    factor = np.exp(rng.normal(0, _GRAIN, len(concept)))
    intensity: F32 = np.clip(reflectance[concept] * factor, 0, 1).astype(np.float32)
    return intensity
