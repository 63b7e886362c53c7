"""LiDAR models by their data sheets, and random LiDARs of these models.

Sources: the manuals of Velodyne's HDL-64E S2, HDL-32E, VLP-16 and VLP-32C, Hesai's Pandar40 and 64,
Ouster's OS0 and OS1; for the HDL-64E also its calibration files, which give every laser a height,
an azimuth and a range of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.lidars import Lasers, Lidar, ideal_lasers
from weights.recipe.simulate.primitives import F32, Rng


@dataclass(frozen=True, slots=True)
class LidarModel:
    """What a data sheet says.

    Attributes:
        steps_deg: azimuth between measurements, at the usual rates of turning.
        noise_m: range of the standard deviation of measured ranges.
        max_range_m: the farthest returns, for the least and the most sensitive specimen.
        min_range_m: the nearest returns.
    """

    steps_deg: tuple[float, ...]
    noise_m: tuple[float, float]
    max_range_m: tuple[float, float]
    min_range_m: float


MODELS: Mapping[str, LidarModel] = MappingProxyType(
    {
        "hdl64": LidarModel((0.0864, 0.1728, 0.1728, 0.1728, 0.345), (0.008, 0.03), (80, 120), 0.9),
        "hdl32": LidarModel((0.16, 0.16, 0.33), (0.01, 0.03), (70, 100), 0.9),
        "vlp16": LidarModel((0.1, 0.2, 0.4), (0.01, 0.03), (80, 110), 0.5),
        "vlp32": LidarModel((0.1, 0.2, 0.33), (0.01, 0.03), (100, 200), 0.9),
        "pandar40": LidarModel((0.2, 0.4), (0.008, 0.02), (120, 200), 0.4),
        "pandar64": LidarModel((0.2, 0.2, 0.4), (0.008, 0.02), (120, 200), 0.4),
        "os1_64": LidarModel((0.1758, 0.3516, 0.3516), (0.01, 0.05), (60, 120), 0.8),
        "os1_128": LidarModel((0.1758, 0.3516), (0.01, 0.05), (60, 120), 0.8),
        "os0_128": LidarModel((0.1758, 0.3516), (0.01, 0.05), (35, 60), 0.4),
        "os1_64_below": LidarModel((0.1758, 0.3516), (0.01, 0.05), (60, 120), 0.8),
    }
)


def beam_elevations(model: str) -> F32:
    """Return the (B,) beam elevations in degrees of a LiDAR model, from its data sheet.

    Raises:
        KeyError: the model is unknown.
    """
    # First and last elevation and the number of beams.
    uniform = {
        "vlp16": (-15, 15, 16),
        "hdl32": (-30.67, 10.67, 32),
        "os1_64": (-16.6, 16.6, 64),
        "os1_128": (-22.5, 22.5, 128),
        "os0_128": (-45, 45, 128),
        "os1_64_below": (-22.5, 0, 64),
    }
    if model in uniform:
        return np.linspace(*uniform[model], dtype=np.float32)
    # Other models have a dense band around the horizon and fewer beams below and above it.
    dense = {"vlp32": (-4.67, 1.33, 19), "hdl64": (-8.4, 2, 32)}
    dense |= {"pandar40": (-6, 2, 25), "pandar64": (-6, 2, 49)}
    below = {
        "vlp32": [-25, -15.6, -11.3, -8.8, -7.25, -6.15, -5.3],
        "hdl64": list(np.linspace(-24.9, -8.8, 32)),
        "pandar40": [-16, -14, -13, -12, -11, -10, -9, -8, -7],
        "pandar64": [-25, -19, -14, -13, -12, -11, -10, -9, -8, -7],
    }
    above = {"vlp32": [1.67, 2.33, 3.33, 4.67, 7, 15], "hdl64": []}
    above |= {"pandar40": [3, 5, 8, 11, 13, 15], "pandar64": [3, 5, 9, 12, 15]}
    beams = np.concatenate([below[model], np.linspace(*dense[model]), above[model]])
    return beams.astype(np.float32)


def draw_lidar(rng: Rng, street_kind: str) -> Lidar:
    """Return a random spinning LiDAR; no two specimens of a model are equal.

    Args:
        rng: draws the model and its parameters.
        street_kind: "trail" gives the sensors of robots, any other name those of vehicles.
    """
    if street_kind == "trail":
        models = ["os1_64", "os1_64", "os1_128", "hdl64", "hdl32", "os0_128", "vlp32", "vlp16"]
    else:
        models = (
            ["hdl64"] * 8
            + ["pandar64"] * 3
            + ["hdl32"] * 2
            + ["front_gt", "front", "front32", "front32"]
            + ["vlp16", "vlp32", "vlp32", "pandar40", "os1_64", "os1_128", "os1_64_below"]
        )
    name = str(rng.choice(models))
    if name.startswith("front"):
        return _draw_front_lidar(name, rng)
    return draw_specimen(rng, name)


def draw_specimen(rng: Rng, name: str) -> Lidar:
    """Return a random specimen of a model, a key of `MODELS`."""
    model, beams = MODELS[name], beam_elevations(name)
    beams = beams * np.float32(rng.uniform(0.97, 1.04)) + np.float32(rng.uniform(-0.6, 0.6))
    # Each laser of a real LiDAR deviates a little from its nominal angle.
    beams = beams + rng.normal(0, 0.04, len(beams)).astype(np.float32)
    # Noise is mostly as the data sheet says, and more in rain, with ageing or after compression.
    noise_m = float(rng.uniform(*model.noise_m) if rng.random() < 0.85 else rng.uniform(0.03, 0.08))
    lidar = Lidar(
        name,
        beams.astype(np.float32),
        (0.0, 360.0),
        float(rng.choice(model.steps_deg)),
        noise_m,
        float(rng.uniform(*model.max_range_m)),
        model.min_range_m,
        float(rng.choice([0.0, rng.uniform(0, 0.4)])),
        lasers=_draw_lasers(rng, name, len(beams)),
    )
    # Drivers of vehicles ask for the strongest return, sometimes for two.
    return replace(lidar, max_returns=2 if rng.random() < 0.08 else 1)


def _draw_lasers(rng: Rng, name: str, count: int) -> Lasers:
    """Return random deviations of the lasers of one specimen."""
    ideal = ideal_lasers(count)
    lost = np.where(rng.random(count) < 0.06, rng.uniform(0.05, 0.6, count), 0)
    lasers = replace(
        ideal,
        azimuth_deg=rng.uniform(-2, 2, count).astype(np.float32),
        range_m=rng.normal(0, float(rng.uniform(0, 0.008)), count).astype(np.float32),
        gain=np.exp(rng.normal(0, float(rng.uniform(0, 0.12)), count)).astype(np.float32),
        lost=(lost * (rng.random() < 0.4)).astype(np.float32),
    )
    if name.startswith("hdl64"):
        # Two blocks of 32 lasers each, one above the other; rows count from the lowest beam. All
        # lasers of a block leave it at slightly different places.
        upper = np.arange(count) >= 32
        height = np.where(upper, 0.1, 0.0) + rng.normal(0, 0.008, count) - 0.05
        azimuth = np.tile([-4.8, -2.0, 0.9, 3.7], count // 4) + rng.normal(0, 0.2, count)
        return replace(
            lasers,
            height_m=height.astype(np.float32),
            azimuth_deg=azimuth.astype(np.float32),
            range_m=rng.normal(0, float(rng.uniform(0.002, 0.02)), count).astype(np.float32),
            gain=(np.exp(rng.normal(0, 0.15, count)) * np.where(upper, 1, 0.9)).astype(np.float32),
        )
    return lasers


def _draw_front_lidar(name: str, rng: Rng) -> Lidar:
    """Return a LiDAR that sees a sector ahead, such as the PandarGT ("front_gt")."""
    half_sector, low, high, beam_count, step_deg = (30.0, -7.0, 5.0, 100, 0.1)
    if name == "front":
        half_sector = float(rng.uniform(45, 70))
        low, high = float(rng.uniform(-18, -10)), 8.0
        beam_count, step_deg = int(rng.integers(40, 110)), 0.2
    if name == "front32":
        half_sector, low, high = (
            float(rng.uniform(40, 60)),
            float(rng.uniform(-20, -12)),
            float(rng.uniform(1, 8)),
        )
        beam_count, step_deg = 32, float(rng.choice([0.2, 0.4]))
    return Lidar(
        name,
        np.linspace(low, high, beam_count, dtype=np.float32),
        (-half_sector, half_sector),
        step_deg,
        float(rng.uniform(0.008, 0.05)),
        float(rng.uniform(120, 200)),
        mixed=float(rng.choice([0.0, rng.uniform(0, 0.4)])),
        lasers=_draw_lasers(rng, name, beam_count),
    )
