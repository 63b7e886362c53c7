"""Images of a scene: one ray per subpixel, materials, sunlight, haze, and a camera's response."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip3d_cli.core.scenes import invert_pose
from weights.recipe.renders import textures
from weights.recipe.renders.classes import SKY, class_id_of_concept
from weights.recipe.renders.materials import albedo
from weights.recipe.renders.surfaces import SurfacePoints, Surfaces
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.primitives import F32, F64, U8, Rng
from weights.recipe.simulate.ray_casting import RayCaster

Ints = NDArray[np.int64]
# Rays per pixel along each axis; a pixel's color is their mean.
_SUBPIXELS = 2
# Concepts whose triangles are leaves and blades.
_LEAFY = ("tree crown", "bush", "hedge", "grass")


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        size: width and height in pixels.
        intrinsics: fx, fy, cx, cy in pixels; (0, 0) is the middle of the upper left pixel.
        world_from_camera: (4, 4) rigid transform in metres; x right, y down, z forward.
    """

    size: tuple[int, int]
    intrinsics: tuple[float, float, float, float]
    world_from_camera: F64

    def rays(self, subpixels: int = 1) -> tuple[F32, F32]:
        """Return the rays through all pixels, row by row.

        Args:
            subpixels: rays per pixel along each axis.

        Returns:
            The camera's position (3,) in world metres, and (height · subpixels · width ·
            subpixels, 3) unit directions in the world.
        """
        width, height = self.size
        fx, fy, cx, cy = self.intrinsics
        # Pixel coordinates of the subpixels' middles: −0.5 to 0.5 around a pixel's middle.
        u = (np.arange(width * subpixels) + 0.5) / subpixels - 0.5
        v = (np.arange(height * subpixels) + 0.5) / subpixels - 0.5
        grid_u, grid_v = np.meshgrid((u - cx) / fx, (v - cy) / fy)
        in_camera = np.stack([grid_u, grid_v, np.ones_like(grid_u)], axis=-1).reshape(-1, 3)
        in_camera /= np.linalg.norm(in_camera, axis=1, keepdims=True)
        directions = in_camera @ self.world_from_camera[:3, :3].T
        return self.world_from_camera[:3, 3].astype(np.float32), directions.astype(np.float32)

    def project(self, xyz: F64) -> tuple[F64, F64]:
        """Return the (n, 2) pixel columns and rows of (n, 3) world points, and their (n,) depth."""
        camera_from_world = invert_pose(self.world_from_camera)
        in_camera = xyz @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        fx, fy, cx, cy = self.intrinsics
        depth = in_camera[:, 2]
        divisor = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        u, v = fx * in_camera[:, 0] / divisor + cx, fy * in_camera[:, 1] / divisor + cy
        return np.stack([u, v], axis=1), depth


@dataclass(frozen=True, slots=True)
class Light:
    """The light of a scene; colors are linear red, green, blue.

    Attributes:
        to_sun: (3,) unit vector.
        sun: (3,) color of direct sunlight.
        sky: (3,) color of the light from the whole sky.
        horizon: (3,) color of the sky at the horizon, and of haze.
        zenith: (3,) color of the sky at the zenith.
        haze_m: distance over which haze replaces 63 % of a color.
        clouds: cloud cover, 0…1.
    """

    to_sun: F32
    sun: F32
    sky: F32
    horizon: F32
    zenith: F32
    haze_m: float
    clouds: float

    @classmethod
    def draw(cls, rng: Rng) -> "Light":
        """Return the light of a random hour and weather."""
        azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.25)
        to_sun = [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
        clouds = float(rng.choice([0.0, rng.uniform(0, 0.6), rng.uniform(0.6, 1.0)]))
        # The lower the sun, the redder its light.
        warm = np.array([1.0, 0.95 - 0.12 * (1.25 - elevation), 0.88 - 0.3 * (1.25 - elevation)])
        grey = np.array([0.75, 0.76, 0.78])
        blue = np.array([0.25, 0.45, 0.85])
        sky = (1 - clouds) * np.array([0.42, 0.5, 0.62]) + clouds * grey
        return cls(
            np.asarray(to_sun, dtype=np.float32),
            (2.0 * (1 - 0.85 * clouds) * warm).astype(np.float32),
            (sky * (0.55 + 0.35 * clouds)).astype(np.float32),
            ((1 - clouds) * np.array([0.72, 0.8, 0.9]) + clouds * grey).astype(np.float32),
            ((1 - clouds) * blue + clouds * grey * 0.8).astype(np.float32),
            float(rng.uniform(200, 900)),
            clouds,
        )

    def sky_color(self, directions: F32) -> F32:
        """Return the (n, 3) colors of the sky with clouds in (n, 3) directions."""
        rise = np.clip(directions[:, 2:3], 0, 1) ** 0.6
        color = self.horizon * (1 - rise) + self.zenith * rise
        # Directions on a plane above the scene, so that clouds shrink towards the horizon.
        on_plane = directions / (np.abs(directions[:, 2:3]) + 0.15)
        density = textures.fractal_noise(on_plane.astype(np.float32), 1.1)
        cloud = np.clip(density * 3 - 1.9 + self.clouds, 0, 1)
        return np.asarray(color + cloud[:, None] * (0.92 - color) * 0.8, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A rendered image and its ground truth.

    Attributes:
        image: (height, width, 3) uint8.
        class_id: (height, width) uint8, the class at each pixel's middle: 0 none, 255 sky.
    """

    image: U8
    class_id: U8


def render(
    caster: RayCaster, surfaces: Surfaces, plan: GroundPlan, view: tuple[Camera, Light], rng: Rng
) -> Photograph:
    """Return the image that a camera takes of a scene.

    Args:
        caster: the scene.
        surfaces: its triangles and objects.
        plan: its ground plan, for the lines on roads.
        view: the camera and the light.
        rng: draws exposure, white balance and noise.
    """
    camera, light = view
    origin, directions = camera.rays(_SUBPIXELS)
    triangle, range_m = first_visible(caster, surfaces, origin, directions)
    color = light.sky_color(directions)
    hit = np.flatnonzero(triangle >= 0)
    points = surfaces.points(origin, directions[hit], triangle[hit], range_m[hit])
    color[hit] = _shaded(caster, points, albedo(points, plan), light)
    width, height = camera.size
    # (height, subpixels, width, subpixels, 3): the mean over the subpixels of each pixel.
    pixels = color.reshape(height, _SUBPIXELS, width, _SUBPIXELS, 3).mean(axis=(1, 3))
    # A pixel's middle is between its subpixels, so the ground truth needs its own rays.
    origin, directions = camera.rays()
    middle, _ = first_visible(caster, surfaces, origin, directions)
    class_id = class_id_of_concept()[surfaces.concept_of(middle)]
    class_id = np.where(middle >= 0, class_id, np.uint8(SKY))
    image = _camera_response(pixels, rng)
    return Photograph(image, class_id.reshape(height, width).astype(np.uint8))


def first_visible(
    caster: RayCaster, surfaces: Surfaces, origin: F32, directions: F32
) -> tuple[Ints, F32]:
    """Return the triangle that each of n rays shows, −1 for the sky, and its range in metres.

    Most rays pass through wire mesh; any other triangle is opaque to cameras.

    Args:
        caster: the scene.
        surfaces: its triangles.
        origin: (3,) metres.
        directions: (n, 3) unit vectors.
    """
    starts = np.broadcast_to(origin, directions.shape)
    triangle, range_m, _ = caster.first_hit(starts, directions)
    wire_mesh = np.flatnonzero(surfaces.is_wire_mesh(triangle))
    if len(wire_mesh):
        hit = origin + directions[wire_mesh] * range_m[wire_mesh, None]
        passing = wire_mesh[textures.grain(hit, 0.04) > 0.4]
        # Go on 2 cm behind the wire mesh.
        travelled_m = np.asarray(range_m[passing] + 0.02)
        starts = origin + directions[passing] * travelled_m[:, None]
        triangle[passing], further_m, _ = caster.first_hit(starts, directions[passing])
        range_m[passing] = travelled_m + further_m
    return triangle, range_m


def _shaded(caster: RayCaster, points: SurfacePoints, color: F32, light: Light) -> F32:
    """Return (n, 3) colors in sunlight or shadow, with light from the sky, and with haze."""
    incidence = np.clip(points.normal @ light.to_sun, 0, 1)
    # Leaves and blades scatter light: without this, their random slopes would look like noise.
    leafy = np.isin(points.concept, [concept_index(name) for name in _LEAFY])
    incidence = np.where(leafy, 0.35 + 0.35 * incidence, incidence)
    lit = np.flatnonzero(incidence > 0)
    start = points.xyz[lit] + 0.03 * points.normal[lit] + 0.02 * light.to_sun
    to_sun = np.broadcast_to(light.to_sun, start.shape)
    in_shadow = caster.first_hit(start, to_sun)[0] >= 0
    # Foliage lets some light through to what is behind it.
    incidence[lit[in_shadow]] *= np.where(leafy[lit[in_shadow]], 0.45, 0.0)
    visible_sky = 0.55 + 0.45 * points.normal[:, 2:3]
    shaded = color * (light.sun * incidence[:, None] + light.sky * visible_sky)
    clear = np.exp(-points.range_m / np.float32(light.haze_m))[:, None]
    return np.asarray(shaded * clear + light.horizon * (1 - clear), dtype=np.float32)


def _camera_response(light: F32, rng: Rng) -> U8:
    """Return a uint8 image of linear light: exposure, white balance, noise and tone curve."""
    brightness = np.percentile(light.mean(axis=2), 60)
    exposure = float(rng.uniform(0.85, 1.2)) * (0.24 / max(float(brightness), 0.05)) ** 0.6
    balance = rng.normal(1, 0.04, 3)
    noisy = light * exposure * balance
    noisy = noisy + rng.normal(0, 1, light.shape) * (0.004 + 0.02 * np.sqrt(np.clip(noisy, 0, 1)))
    # Highlights fade to white instead of being cut off.
    compressed = 1 - np.exp(-1.4 * np.clip(noisy, 0, None))
    return np.asarray(255 * np.clip(compressed, 0, 1) ** (1 / 2.2) + 0.5, dtype=np.uint8)
