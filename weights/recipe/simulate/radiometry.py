"""Intensities and colours of captured points, with the quirks that real scans of them have."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.materials import (
    linear_of_srgb,
    material_names,
    material_table,
    to_srgb,
)
from weights.recipe.simulate.primitives import F32, U8, Rng
from weights.recipe.simulate.ray_casting import RayCaster


def laser_signal(capture: Capture, rng: Rng, *, wavelength: int = 0) -> F32:
    """Return (P,) the light that comes back from each point, 1 from a white wall met head-on.

    The distance is left out: sensors differ in how they make up for it.

    Args:
        capture: P points.
        rng: draws the grain of surfaces.
        wavelength: 0 for 905 nm, 1 for 1550 nm.
    """
    table, material = material_table(), capture.material
    tint = table.tint[material]
    brightness = linear_of_srgb()[capture.color].mean(axis=1)
    relative = np.clip(brightness / table.brightness[material], 0.1, 2.2)
    reflectance = table.nir[material, wavelength] * (1 - tint + tint * relative)
    # A share above 1 is light that a mirror sent straight back.
    reflectance = np.where(capture.share > 1, 1, reflectance)
    grain = np.exp(rng.normal(0, 1, len(capture)).astype(np.float32) * table.grain[material])
    diffuse = reflectance * np.clip(capture.cosine, 0.01, 1)
    # Prisms and beads return light to where it comes from, at nearly any angle.
    retro = table.retro[material] * np.clip(capture.cosine, 0, 1) ** 0.5
    signal = capture.share * grain * (diffuse + retro)
    return np.asarray(np.minimum(signal, 20), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class LaserResponse:
    """How a LiDAR makes intensities of light.

    Attributes:
        wavelength: 0 for 905 nm, 1 for 1550 nm.
        gain: intensity of a white wall at the reference distance; above 1 it saturates.
        gamma: exponent of the signal.
        falloff: exponent of the distance: 0 where the sensor makes up for it, 2 where it does not.
        reference_m: the distance at which the falloff is 1.
        focus_m: nearer than this, the receiver catches less light; 0 for no such loss.
        noise: standard deviation of the intensity's logarithm.
        levels: number of values that an intensity can have.
        material_gain: (materials,) factor of the signal of each material: surfaces of one kind
            differ more from place to place than within a scan.
    """

    wavelength: int
    gain: float
    gamma: float
    falloff: float
    reference_m: float
    focus_m: float
    noise: float
    levels: int
    material_gain: F32

    def intensity(self, capture: Capture, rng: Rng) -> F32:
        """Return (P,) float32 intensities in 0…1."""
        signal = laser_signal(capture, rng, wavelength=self.wavelength)
        signal = signal * self.material_gain[capture.material]
        range_m = np.maximum(capture.range_m, 0.3)
        light = self.gain * signal**self.gamma
        light = light * (self.reference_m / range_m) ** self.falloff
        if self.focus_m > 0:
            light = light * np.minimum(range_m / self.focus_m, 1)
        light = light * np.exp(rng.normal(0, self.noise, len(capture)))
        steps = np.round(np.clip(light, 0, 1) * (self.levels - 1)) / (self.levels - 1)
        return np.asarray(steps, dtype=np.float32)


def draw_laser_response(rng: Rng, *, airborne: bool = False) -> LaserResponse:
    """Return a random response; users compare intensities within a scan only.

    Args:
        rng: draws it.
        airborne: whether the distance hardly varies, and the sensor often works at 1550 nm.
    """
    return LaserResponse(
        int(rng.random() < (0.5 if airborne else 0.1)),
        float(np.exp(rng.uniform(np.log(0.25), np.log(1.6)))),
        float(rng.choice([1.0, rng.uniform(0.25, 1.1)])),
        float(rng.choice([0.0, rng.uniform(0, 0.6), rng.uniform(0.3, 1.2)])) * (not airborne),
        float(rng.uniform(6, 25)),
        float(rng.choice([0.0, rng.uniform(2, 12)])) * (not airborne),
        float(rng.uniform(0.03, 0.3)),
        int(rng.choice([32, 100, 256, 256, 4096, 65536])),
        np.exp(rng.normal(0, rng.uniform(0.1, 0.5), len(material_names()))).astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class Camera:
    """How a camera sees surfaces: the light of the scene, and the camera's own response.

    Attributes:
        to_sun: (3,) unit vector; unused without sun.
        sun: (3,) linear colour of direct sunlight or of lamps; 0 is none.
        sky: (3,) linear colour of the light from all sides.
        gain: (3,) exposure and white balance of red, green and blue.
        contrast: exponent of the response; 1 is sRGB.
        saturation: 1 is true, 0 grey.
        noise: standard deviation of a channel, of 255.
        shift: by how many measurements the colours are taken from beside the points.
        seen: share of directions around the sensor that the camera covers.
        unseen: the value of all channels elsewhere.
    """

    to_sun: F32
    sun: F32
    sky: F32
    gain: F32
    contrast: float
    saturation: float
    noise: float
    shift: int
    seen: float
    unseen: int

    def colors(self, capture: Capture, rng: Rng, caster: RayCaster | None) -> U8:
        """Return (P, 3) uint8 colours of points.

        Args:
            capture: P points.
            rng: draws noise.
            caster: the scene, for the shadows of the sun; None for none.
        """
        table = material_table()
        albedo = linear_of_srgb()[capture.color]
        grain = rng.normal(0, 0.6, len(capture)) * table.grain[capture.material]
        albedo = albedo * np.exp(grain + _stains(capture.xyz, rng))[:, None]
        light = np.broadcast_to(self.sky, albedo.shape) * (
            # Surfaces that face down see the ground, which is darker than the sky.
            0.75 + 0.25 * capture.normal[:, 2:3]
        )
        if self.sun.any():
            facing = np.clip(capture.normal @ self.to_sun, 0, 1)
            if caster is not None:
                lit = np.flatnonzero(facing > 0)
                start = capture.xyz[lit] + capture.normal[lit] * np.float32(0.04)
                shaded = caster.is_shaded(start.astype(np.float32), self.to_sun)
                facing[lit[shaded]] = 0
            light = light + facing[:, None] * self.sun
        seen = np.clip(albedo * light * self.gain, 0, None)
        # Film-like: what is bright is pressed together before it clips.
        seen = seen / (1 + 0.25 * seen)
        grey = seen.mean(axis=1, keepdims=True)
        seen = grey + (seen - grey) * self.saturation
        values = to_srgb(np.clip(seen, 0, 1).astype(np.float32)) / np.float32(255)
        values = values**self.contrast * 255 + rng.normal(0, self.noise, values.shape)
        colors = np.asarray(np.clip(np.round(values), 0, 255), dtype=np.uint8)
        if self.shift:
            colors = np.roll(colors, self.shift, axis=0)
        if self.seen < 1:
            middle = capture.xyz[:, :2].mean(axis=0)
            azimuth = np.arctan2(*(capture.xyz[:, :2] - middle).T) / (2 * np.pi) + 0.5
            colors[np.mod(azimuth + rng.random(), 1) > self.seen] = self.unseen
        return colors


def _stains(xyz: F32, rng: Rng) -> F32:
    """Return (P,) logarithms of brightness that vary over 0.3 to 6 m: dirt, wear, patches."""
    size_m = np.exp(rng.uniform(np.log(0.3), np.log(6), 5))
    waves = rng.normal(0, 1, (3, 5))
    waves *= 2 * np.pi / (size_m * np.linalg.norm(waves, axis=0))
    phase = (xyz - xyz[:1]) @ waves.astype(np.float32) + rng.uniform(0, 6, 5).astype(np.float32)
    return np.asarray(np.sin(phase).sum(axis=1) * np.float32(rng.uniform(0.01, 0.07)))


def draw_camera(rng: Rng, *, indoor: bool = False) -> Camera:
    """Return a random camera in random light; one in six gives colours that are partly wrong."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.25)
    horizontal = np.cos(elevation)
    to_sun = [horizontal * np.cos(azimuth), horizontal * np.sin(azimuth), np.sin(elevation)]
    overcast = rng.random() < 0.35
    warm = np.array([1.0, 0.93 - 0.1 * (1.25 - elevation), 0.85 - 0.25 * (1.25 - elevation)])
    sun, sky = 2.2 * warm * (not overcast), np.array([0.55, 0.62, 0.75])
    if overcast:
        sky = np.array([1.3, 1.32, 1.36])
    if indoor:
        # Lamps from above, or windows; much of the light comes from the walls.
        to_sun = [0.3 * np.cos(azimuth), 0.3 * np.sin(azimuth), 0.95]
        warmth = float(rng.uniform(0, 1))
        lamp = np.array([1.0, 1 - 0.18 * warmth, 1 - 0.45 * warmth])
        sun, sky = lamp * rng.uniform(0.1, 0.7), lamp * rng.uniform(0.7, 1.1)
    exposure = float(np.exp(rng.normal(0.0, 0.35)))
    balance = np.exp(rng.normal(0, 0.07, 3))
    is_wrong = rng.random() < 1 / 6
    return Camera(
        np.asarray(np.array(to_sun) / np.linalg.norm(to_sun), dtype=np.float32),
        np.asarray(sun, dtype=np.float32),
        np.asarray(sky, dtype=np.float32),
        np.asarray(exposure * balance, dtype=np.float32),
        float(rng.uniform(0.8, 1.3)),
        float(rng.choice([1.0, rng.uniform(0.3, 1.3)])),
        float(rng.uniform(1, 8)),
        int(rng.integers(-12, 13)) if is_wrong else int(rng.integers(-2, 3)),
        float(rng.uniform(0.3, 0.9)) if is_wrong and rng.random() < 0.5 else 1.0,
        int(rng.choice([0, 0, 255])),
    )
