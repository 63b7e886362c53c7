"""Photographs of a scene: a ray for every pixel, paint, sun, haze and a camera's faults."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip3d_cli.core.scenes import inverse_pose
from weights.recipe.renders import patterns
from weights.recipe.renders.classes import SKY, class_id_of_concept
from weights.recipe.renders.paints import albedo
from weights.recipe.renders.spots import Spots, Surfaces
from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.layout import Plan
from weights.recipe.simulate.primitives import F32, U8, Rng

Ints = NDArray[np.int64]
F64 = NDArray[np.float64]
# Rays a pixel along each axis; the mean of their light is the pixel's.
_FINE = 2


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        size: width and height, px.
        intrinsics: fx, fy, cx, cy in px; pixel (0, 0) is the middle of the upper left pixel.
        world_from_camera: (4, 4) rigid, metres; x to the right, y down, z forward.
    """

    size: tuple[int, int]
    intrinsics: tuple[float, float, float, float]
    world_from_camera: F64

    def rays(self, fine: int = 1) -> tuple[F32, F32]:
        """The camera's place (3,), and (height · fine · width · fine, 3) unit directions."""
        wide, high = self.size
        fx, fy, cx, cy = self.intrinsics
        # Between -0.5 and 0.5 about the pixel's middle.
        u = (np.arange(wide * fine) + 0.5) / fine - 0.5
        v = (np.arange(high * fine) + 0.5) / fine - 0.5
        grid_u, grid_v = np.meshgrid((u - cx) / fx, (v - cy) / fy)
        own = np.stack([grid_u, grid_v, np.ones_like(grid_u)], axis=-1).reshape(-1, 3)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        turned = own @ self.world_from_camera[:3, :3].T
        return self.world_from_camera[:3, 3].astype(np.float32), turned.astype(np.float32)

    def pixels(self, xyz: F64) -> tuple[F64, F64]:
        """(n, 2) columns and rows of world points, and their (n,) depth in metres."""
        back = inverse_pose(self.world_from_camera)
        own = xyz @ back[:3, :3].T + back[:3, 3]
        fx, fy, cx, cy = self.intrinsics
        depth = own[:, 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        place = np.stack([fx * own[:, 0] / safe + cx, fy * own[:, 1] / safe + cy], axis=1)
        return place, depth


@dataclass(frozen=True, slots=True)
class Light:
    """A scene's light: linear colors, 0…1."""

    to_sun: F32
    sun: F32
    sky: F32
    horizon: F32
    zenith: F32
    haze_m: float
    cover: float

    @classmethod
    def draw(cls, rng: Rng) -> "Light":
        """Some hour and weather."""
        angle, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.25)
        way = [np.cos(rise) * np.cos(angle), np.cos(rise) * np.sin(angle), np.sin(rise)]
        cover = float(rng.choice([0.0, rng.uniform(0, 0.6), rng.uniform(0.6, 1.0)]))
        warm = np.array([1.0, 0.95 - 0.12 * (1.25 - rise), 0.88 - 0.3 * (1.25 - rise)])
        grey = np.array([0.75, 0.76, 0.78])
        blue = np.array([0.25, 0.45, 0.85])
        sky = (1 - cover) * np.array([0.42, 0.5, 0.62]) + cover * grey
        return cls(
            np.asarray(way, dtype=np.float32),
            (2.0 * (1 - 0.85 * cover) * warm).astype(np.float32),
            (sky * (0.55 + 0.35 * cover)).astype(np.float32),
            ((1 - cover) * np.array([0.72, 0.8, 0.9]) + cover * grey).astype(np.float32),
            ((1 - cover) * blue + cover * grey * 0.8).astype(np.float32),
            float(rng.uniform(200, 900)),
            cover,
        )

    def sky_color(self, directions: F32) -> F32:
        """(n, 3): the sky in some directions, with clouds."""
        rise = np.clip(directions[:, 2:3], 0, 1) ** 0.6
        color = self.horizon * (1 - rise) + self.zenith * rise
        flat = directions / (np.abs(directions[:, 2:3]) + 0.15)
        cloud = np.clip(patterns.clouds(flat.astype(np.float32), 1.1) * 3 - 1.9 + self.cover, 0, 1)
        return np.asarray(color + cloud[:, None] * (0.92 - color) * 0.8, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image and what its pixels show.

    Attributes:
        image: (height, width, 3) uint8.
        class_id: (height, width) uint8 at every pixel's middle: 0 not judged, 255 sky.
    """

    image: U8
    class_id: U8


def photograph(
    caster: Caster, surfaces: Surfaces, plan: Plan, view: tuple[Camera, Light], rng: Rng
) -> Photograph:
    """Take one picture."""
    camera, light = view
    origin, directions = camera.rays(_FINE)
    triangle, range_m = seen(caster, surfaces, origin, directions)
    color = light.sky_color(directions)
    met = np.flatnonzero(triangle >= 0)
    spots = surfaces.spots(origin, directions[met], triangle[met], range_m[met])
    color[met] = _lit(caster, spots, albedo(spots, plan), light)
    wide, high = camera.size
    fine = color.reshape(high, _FINE, wide, _FINE, 3).mean(axis=(1, 3))
    # A pixel's middle lies between its rays, so what it shows needs a ray of its own.
    origin, directions = camera.rays()
    middle, _ = seen(caster, surfaces, origin, directions)
    shown = np.where(middle >= 0, class_id_of_concept()[surfaces.concept_of(middle)], np.uint8(SKY))
    return Photograph(_developed(fine, rng), shown.reshape(high, wide).astype(np.uint8))


def seen(caster: Caster, surfaces: Surfaces, origin: F32, directions: F32) -> tuple[Ints, F32]:
    """(n,) the triangle that each ray shows (-1 none) and its range; nets are looked through."""
    starts = np.broadcast_to(origin, directions.shape)
    triangle, range_m, _ = caster.first(starts, directions)
    net = np.flatnonzero(surfaces.is_net(triangle))
    if len(net):
        at = origin + directions[net] * range_m[net, None]
        through = net[patterns.grain(at, 0.04) > 0.4]
        onward = np.asarray(range_m[through] + 0.02)
        further = origin + directions[through] * onward[:, None]
        triangle[through], more, _ = caster.first(further, directions[through])
        range_m[through] = onward + more
    return triangle, range_m


def _lit(caster: Caster, spots: Spots, color: F32, light: Light) -> F32:
    slant = np.clip(spots.normal @ light.to_sun, 0, 1)
    # Leaves and blades scatter light: their random slants would look like noise.
    leafy = np.isin(spots.concept, [concept_index(name) for name in _LEAFY])
    slant = np.where(leafy, 0.35 + 0.35 * slant, slant)
    bright = np.flatnonzero(slant > 0)
    start = spots.xyz[bright] + 0.03 * spots.normal[bright] + 0.02 * light.to_sun
    way = np.broadcast_to(light.to_sun, start.shape)
    blocked = caster.first(start, way)[0] >= 0
    slant[bright[blocked]] *= np.where(leafy[bright[blocked]], 0.45, 0.0)
    open_sky = 0.55 + 0.45 * spots.normal[:, 2:3]
    shaded = color * (light.sun * slant[:, None] + light.sky * open_sky)
    clear = np.exp(-spots.range_m / np.float32(light.haze_m))[:, None]
    return np.asarray(shaded * clear + light.horizon * (1 - clear), dtype=np.float32)


_LEAFY = ("tree crown", "bush", "hedge", "grass")


def _developed(light: F32, rng: Rng) -> U8:
    """Exposure, white balance, noise and the curve of a camera."""
    bright = np.percentile(light.mean(axis=2), 60)
    exposure = float(rng.uniform(0.85, 1.2)) * (0.24 / max(float(bright), 0.05)) ** 0.6
    balance = rng.normal(1, 0.04, 3)
    noisy = light * exposure * balance
    noisy = noisy + rng.normal(0, 1, light.shape) * (0.004 + 0.02 * np.sqrt(np.clip(noisy, 0, 1)))
    # A soft shoulder: highlights fade to white and are not cut.
    soft = 1 - np.exp(-1.4 * np.clip(noisy, 0, None))
    return np.asarray(255 * np.clip(soft, 0, 1) ** (1 / 2.2) + 0.5, dtype=np.uint8)
