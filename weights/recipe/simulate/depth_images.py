"""Depth images of rooms with colour, as depth cameras, phones and photographs give them.

Approximations: a camera is a pinhole without lens distortion of its colours; light of structured
patterns is not traced, but its shadow beside near objects, its noise, which grows with the square
of the distance, and its gaps on dark, shiny and grazing surfaces are drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.depth_fusion import Measured
from weights.recipe.simulate.lidars import Pose
from weights.recipe.simulate.materials import material_index, material_table, to_srgb
from weights.recipe.simulate.primitives import F32, Rng
from weights.recipe.simulate.radiometry import laser_signal
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.room import Rectangle
from weights.recipe.simulate.room_light import RoomLight

_FRAMES_PER_CAST = 16


@dataclass(frozen=True, slots=True)
class DepthCamera:
    """A camera that measures depth.

    Attributes:
        columns: pixels across.
        rows: pixels down.
        tangents: tangents of half the viewing angles, across and down.
        range_m: nearest and farthest range.
        focal_baseline: focal length in pixels times baseline in metres; the error of a disparity
            of 1 pixel is range² / this.
        disparity_noise: standard deviation of disparities in pixels.
        disparity_step: quantum of disparities in pixels; 0 for none.
        noise_patch: pixels over which noise is alike.
        bias: relative error of ranges that varies smoothly over the image.
        blur: standard deviation in pixels of the smoothing of depths; phones smooth much.
        edge_loss: probability that a pixel at an edge has no depth.
        dark_loss: signal, relative to a white wall at 1 m, at which half of the pixels are lost.
        textureless_loss: share of patches of plain surfaces without depth, as for photographs.
        shine_loss: probability that a patch of a shiny surface has no depth.
    """

    columns: int
    rows: int
    tangents: tuple[float, float]
    range_m: tuple[float, float]
    focal_baseline: float
    disparity_noise: float
    disparity_step: float
    noise_patch: int
    bias: float
    blur: float
    edge_loss: float
    dark_loss: float
    textureless_loss: float = 0.0
    shine_loss: float = 0.5

    def directions(self) -> F32:
        """Return (rows · columns, 3) unit vectors in the camera's axes, x forward."""
        u = np.linspace(-self.tangents[0], self.tangents[0], self.columns)
        v = np.linspace(-self.tangents[1], self.tangents[1], self.rows)
        grid_u, grid_v = np.meshgrid(u, v)
        rays = np.stack([np.ones(grid_u.size), -grid_u.ravel(), -grid_v.ravel()], axis=1)
        unit = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        return np.asarray(unit, dtype=np.float32)


def draw_depth_camera(rng: Rng, kind: str) -> DepthCamera:
    """Return a random camera.

    Args:
        rng: draws its parameters.
        kind: "structured" (light patterns, as ScanNet's sensor), "phone" (a phone's LiDAR with
            smoothed depths), "tripod" (a rotating head of depth cameras), or "photos".
    """
    if kind == "phone":
        return DepthCamera(
            112, 84, (0.57, 0.43), (0.3, 5.0), 60.0, float(rng.uniform(0.05, 0.2)), 0.0, 8,
            float(rng.uniform(0, 0.012)), float(rng.uniform(1.0, 2.2)), 0.1, 0.004, 0.0, 0.15,
        )  # fmt: skip
    if kind == "photos":
        return DepthCamera(
            128, 96, (0.6, 0.45), (0.3, 12.0), 260.0, float(rng.uniform(0.2, 1.2)), 0.0, 6,
            float(rng.uniform(0, 0.006)), float(rng.uniform(0.3, 1.0)), 0.35, 0.0,
            float(rng.uniform(0.1, 0.7)), 0.7,
        )  # fmt: skip
    if kind == "tripod":
        return DepthCamera(
            160, 160, (1.0, 1.0), (0.5, 8.0), 90.0, float(rng.uniform(0.05, 0.2)), 0.05, 4,
            float(rng.uniform(0, 0.006)), 0.3, 0.4, 0.002, 0.0, 0.4,
        )  # fmt: skip
    return DepthCamera(
        144, 108, (0.57, 0.43), (0.35, float(rng.uniform(3.2, 5.5))), 43.0,
        float(rng.uniform(0.1, 0.35)), 0.125, int(rng.choice([3, 4, 6])),
        float(rng.uniform(0, 0.012)), float(rng.uniform(0.4, 1.0)), float(rng.uniform(0.35, 0.8)),
        float(rng.uniform(0.004, 0.02)), 0.0, float(rng.uniform(0.3, 0.9)),
    )  # fmt: skip


def draw_path(
    rng: Rng, caster: RayCaster, floors: list[Rectangle], frames: int, *, coverage: float
) -> list[Pose]:
    """Return camera poses of a hand-held walk through rooms.

    Half of the frames turn on the spot, half look at something from nearby.

    Args:
        rng: draws the walk.
        caster: the scene, so that nobody walks through furniture.
        floors: the floors of the rooms.
        frames: number of poses.
        coverage: share of directions and of the floor that is looked at, 0…1.
    """
    area = np.array([(x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors])
    per_room = np.maximum((frames * area / area.sum()).astype(int), 8)
    poses: list[Pose] = []
    height = float(rng.uniform(1.15, 1.75))
    # Most people look down at furniture, and hardly at the ceiling.
    usual_pitch = float(rng.choice([rng.uniform(0.3, 0.65), rng.uniform(0.0, 0.4)]))
    for floor, count in zip(floors, per_room, strict=True):
        spots = free_spots(rng, caster, floor, max(int(count) // 6, 3), height)
        middle = float(rng.uniform(0, 2 * np.pi))
        half_view = np.pi * coverage + 0.35
        for number in range(int(count)):
            x, y = spots[number * len(spots) // int(count)]
            z = height + float(rng.normal(0, 0.12))
            if rng.random() < 0.5:
                share = (number * 0.618) % 1
                yaw = middle + (2 * share - 1) * half_view + float(rng.normal(0, 0.2))
                pitch = usual_pitch + float(rng.normal(0, 0.2))
            else:
                x0, x1, y0, y1 = floor
                target = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(0.0, 1.5)])
                way = target - [x, y, z]
                yaw = float(np.arctan2(way[1], way[0]))
                if coverage < 0.95 and np.cos(yaw - middle) < np.cos(half_view):
                    yaw = middle + float(rng.uniform(-1, 1)) * half_view
                pitch = float(np.arctan2(-way[2], np.hypot(way[0], way[1])))
            poses.append(Pose((float(x), float(y), z), yaw, pitch, float(rng.normal(0, 0.06))))
    return poses


def free_spots(
    rng: Rng, caster: RayCaster, floor: Rectangle, count: int, height: float
) -> NDArray[np.float64]:
    """Return (count, 2) positions with nothing within 0.3 m at the camera's height, on a walk."""
    x0, x1, y0, y1 = floor
    margin = 0.3
    tried = np.stack(
        [
            rng.uniform(min(x0 + margin, x1), max(x1 - margin, x0), 12 * count),
            rng.uniform(min(y0 + margin, y1), max(y1 - margin, y0), 12 * count),
        ],
        axis=1,
    )
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ways = np.stack([np.cos(angle), np.sin(angle), np.zeros(8)], axis=1).astype(np.float32)
    origin = np.column_stack([tried, np.full(len(tried), height)]).astype(np.float32)
    # (tries · 8) rays around each position.
    _, range_m, _ = caster.first_hit(np.repeat(origin, 8, axis=0), np.tile(ways, (len(tried), 1)))
    nearest = range_m.reshape(-1, 8).min(axis=1)
    free = tried[nearest > 0.3]
    if len(free) < count:
        free = np.concatenate([free, tried[np.argsort(-nearest)][:count]])
    free = free[:count]
    # A walk goes to the nearest spot that it has not been at.
    order, left = [0], set(range(1, len(free)))
    while left:
        here = free[order[-1]]
        order.append(min(left, key=lambda k: float(np.hypot(*(free[k] - here)))))
        left.remove(order[-1])
    return np.asarray(free[order])


def drifted(rng: Rng, poses: list[Pose], position_m: float, angle_rad: float) -> list[Pose]:
    """Return estimated poses: the true ones with errors that change slowly along the path."""
    count = len(poses)
    walk = ndimage.gaussian_filter1d(rng.normal(size=(count, 5)), max(count / 8, 1), axis=0)
    walk = walk / max(float(walk.std()), 1e-9) + rng.normal(0, 0.15, (count, 5))
    shift, turn = walk[:, :3] * position_m, walk[:, 3:] * angle_rad
    return [
        Pose(
            (
                float(pose.position[0] + shift[k, 0]),
                float(pose.position[1] + shift[k, 1]),
                float(pose.position[2] + shift[k, 2]),
            ),
            pose.yaw + float(turn[k, 0]),
            pose.pitch + float(turn[k, 1]),
            pose.roll,
        )
        for k, pose in enumerate(poses)
    ]


def take_images(
    caster: RayCaster,
    camera: DepthCamera,
    poses: list[Pose],
    estimated: list[Pose],
    light: RoomLight | None,
    rng: Rng,
) -> Measured:
    """Return all measured pixels of images from some poses, placed at the estimated poses.

    Args:
        caster: the scene.
        camera: the camera.
        poses: the true pose of each image.
        estimated: the pose that software estimated for each image.
        light: the light for colours; None for images without colour.
        rng: draws noise and gaps.
    """
    exposure = _Exposure(rng, len(poses))
    parts = []
    for first in range(0, len(poses), _FRAMES_PER_CAST):
        chunk = slice(first, first + _FRAMES_PER_CAST)
        shots = _Shots(first, poses[chunk], estimated[chunk])
        parts.append(_images(caster, camera, shots, light, exposure, rng))
    columns = ("origin", "direction", "range_m", "true_range_m", "label", "rgb")
    return Measured(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


class _Exposure:
    """Automatic exposure and white balance of a moving camera."""

    def __init__(self, rng: Rng, images: int) -> None:
        self.target = float(np.exp(rng.uniform(np.log(0.16), np.log(0.6))))
        self.balance = np.exp(rng.normal(0, 0.08, 3))
        wander = ndimage.gaussian_filter1d(rng.normal(size=(images, 4)), 3, axis=0)
        self.wander = np.exp(wander * [0.35, 0.06, 0.06, 0.06])
        # 0 is a fixed exposure, 1 one that follows each image wholly.
        self.follows = float(rng.choice([0.3, 0.7, 1.0]))
        self.saturation = float(rng.uniform(0.7, 1.2))
        self.blur = float(rng.uniform(0.3, 1.3))
        self.noise = float(rng.uniform(1, 6))
        self.mean: float | None = None


@dataclass(frozen=True, slots=True)
class _Shots:
    """Successive images: the number of the first, and true and estimated poses."""

    first: int
    poses: list[Pose]
    estimated: list[Pose]


def _images(
    caster: RayCaster,
    camera: DepthCamera,
    shots: _Shots,
    light: RoomLight | None,
    exposure: _Exposure,
    rng: Rng,
) -> Measured:
    """Return the measured pixels of a few successive images."""
    true_poses, estimated = shots.poses, shots.estimated
    count, shape = len(true_poses), (camera.rows, camera.columns)
    rays = camera.directions()
    directions = np.concatenate([rays @ pose.rotation().T for pose in true_poses]).astype(
        np.float32
    )
    origins = np.repeat(
        np.array([pose.position for pose in true_poses], dtype=np.float32), len(rays), axis=0
    )
    returns = caster.cast(origins, directions, rng)
    xyz = origins[returns.ray] + directions[returns.ray] * returns.range_m[:, None]
    capture = Capture.from_returns(xyz, returns)
    # (F, rows, columns) images; depth is the range, NaN where nothing is met.
    ranges = np.full(count * len(rays), np.nan, dtype=np.float32)
    ranges[returns.ray] = returns.range_m
    depth = ranges.reshape(count, *shape)
    measured = _with_noise(camera, depth, rng)
    valid = _is_valid(camera, capture, returns.ray, depth, measured, rng)
    colors = np.zeros((count, *shape, 3), dtype=np.float32)
    if light is not None:
        linear = light.seen(capture, caster, rng)
        flat = np.full((count * len(rays), 3), float(np.median(linear)) * 2, dtype=np.float32)
        flat[returns.ray] = linear
        colors = _developed(flat.reshape(count, *shape, 3), exposure, shots.first, rng)
    # Rows of `returns`, and so of `capture`, in the order of pixels.
    row_of_pixel = np.full(count * len(rays), -1, dtype=np.int64)
    row_of_pixel[returns.ray] = np.arange(len(returns.ray))
    pixel = np.flatnonzero(valid.ravel() & (row_of_pixel >= 0))
    image = pixel // len(rays)
    turned = np.concatenate([rays @ pose.rotation().T for pose in estimated]).astype(np.float32)
    where = np.array([pose.position for pose in estimated], dtype=np.float32)
    return Measured(
        where[image],
        turned[pixel],
        measured.ravel()[pixel],
        depth.ravel()[pixel],
        capture.label[row_of_pixel[pixel]],
        colors.reshape(-1, 3)[pixel],
    )


def _with_noise(camera: DepthCamera, depth: F32, rng: Rng) -> F32:
    """Return measured ranges: smoothed, biased, noisy and quantised like disparities."""
    smooth = depth
    if camera.blur > 0:
        known = np.isfinite(depth)
        filled = np.where(known, depth, 0)
        sigma = (0, camera.blur, camera.blur)
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, mode="nearest")
        blurred = ndimage.gaussian_filter(filled, sigma, mode="nearest") / np.maximum(weight, 1e-3)
        # Edges stay sharp where depth steps: there the smoothed depth is far from the true one.
        limit = 0.02 * depth if camera.blur < 1.5 else 0.3 * depth
        smooth = np.where(np.abs(blurred - depth) < limit, blurred, depth)
    patch = camera.noise_patch
    coarse = rng.normal(size=(len(depth), depth.shape[1] // patch + 2, depth.shape[2] // patch + 2))
    wide = np.repeat(np.repeat(coarse, patch, axis=1), patch, axis=2)
    wide = ndimage.uniform_filter(wide, (0, patch, patch))[:, : depth.shape[1], : depth.shape[2]]
    fine = rng.normal(size=depth.shape)
    noise = (1.6 * wide + 0.5 * fine) * camera.disparity_noise
    disparity = camera.focal_baseline / np.maximum(smooth, 0.05) + noise
    if camera.disparity_step > 0:
        step = camera.disparity_step
        disparity = np.round(disparity / step) * step
    u = np.linspace(-1, 1, depth.shape[2])[None, None, :]
    v = np.linspace(-1, 1, depth.shape[1])[None, :, None]
    bias = 1 + camera.bias * (u**2 + v**2 - 0.6)
    return np.asarray(camera.focal_baseline / np.maximum(disparity, 1e-3) * bias, dtype=np.float32)


def _is_valid(
    camera: DepthCamera,
    capture: Capture,
    pixel: NDArray[np.int64],
    depth: F32,
    measured: F32,
    rng: Rng,
) -> NDArray[np.bool_]:
    """Return (F, rows, columns) which pixels have a depth."""
    shape = depth.shape
    valid = np.isfinite(depth) & (depth > camera.range_m[0])
    valid &= measured < camera.range_m[1] * rng.normal(1, 0.04, (shape[0], 1, 1))
    table, draw = material_table(), rng.random(shape).astype(np.float32)
    kept = np.ones(depth.size, dtype=np.bool_)
    # Patches, not single pixels, are lost: the drawn numbers are alike within a few pixels.
    patch = np.repeat(
        np.repeat(rng.random((shape[0], shape[1] // 5 + 1, shape[2] // 5 + 1)), 5, 1), 5, 2
    )
    patch = patch[:, : shape[1], : shape[2]].ravel()[pixel]
    if camera.dark_loss > 0:
        signal = laser_signal(capture, rng) / np.maximum(capture.range_m, 0.5) ** 2
        lost = 1 / (1 + (signal / camera.dark_loss) ** 2.5)
        kept[pixel] &= (0.6 * patch + 0.4 * draw.ravel()[pixel]) > lost
    shiny = table.mirror[capture.material]
    kept[pixel] &= ~((shiny > 0.04) & (patch < camera.shine_loss * np.minimum(shiny * 5, 1)))
    grazing = capture.cosine < 0.12 + 0.12 * patch
    kept[pixel] &= ~grazing
    if camera.textureless_loss > 0:
        names = (
            "wall_paint",
            "ceiling_paint",
            "ceramic",
            "appliance",
            "whiteboard",
            "screen",
            "plaster",
        )
        plain = np.isin(capture.material, [material_index(name) for name in names])
        kept[pixel] &= ~(plain & (patch < camera.textureless_loss))
    # Light that came by way of a mirror shows a room behind it: annotators leave that out, and
    # many cameras do not measure it.
    ghost = capture.label == concept_index("unlabeled")
    kept[pixel] &= ~(ghost & (patch < 0.5))
    valid &= kept.reshape(shape)
    # Edges: neighbours differ by more than a twentieth of the depth.
    filled = np.where(np.isfinite(depth), depth, 50)
    near = ndimage.minimum_filter(filled, (1, 3, 3))
    far = ndimage.maximum_filter(filled, (1, 3, 3))
    edge = far - near > 0.05 * near
    valid &= ~(edge & (draw < camera.edge_loss))
    # The shadow of the projector: background to the left of something near.
    shadow = ndimage.minimum_filter(filled, (1, 1, 5), origin=(0, 0, -2))
    valid &= ~((filled - shadow > 0.3) & (draw < camera.edge_loss))
    return np.asarray(valid)


def _developed(linear: F32, exposure: _Exposure, first: int, rng: Rng) -> F32:
    """Return (F, rows, columns, 3) sRGB values 0…255 of linear images, as a camera exposes them."""
    images = len(linear)
    blurred = ndimage.gaussian_filter(linear, (0, exposure.blur, exposure.blur, 0))
    brightness = np.array([float(np.percentile(image, 60)) for image in blurred.mean(axis=3)])
    if exposure.mean is None:
        exposure.mean = float(np.exp(np.log(np.maximum(brightness, 1e-4)).mean()))
    reference = (
        exposure.mean ** (1 - exposure.follows) * np.maximum(brightness, 1e-4) ** exposure.follows
    )
    wander = exposure.wander[first : first + images]
    gain = exposure.target / reference * wander[:, 0]
    value = blurred * gain[:, None, None, None]
    value = value * (exposure.balance * wander[:, 1:])[:, None, None, :]
    u = np.linspace(-1, 1, linear.shape[2])[None, None, :, None]
    v = np.linspace(-1, 1, linear.shape[1])[None, :, None, None]
    value = value * (1 - 0.12 * (u**2 + v**2))
    grey = value.mean(axis=3, keepdims=True)
    value = grey + (value - grey) * exposure.saturation
    srgb = to_srgb(np.clip(value, 0, 1).astype(np.float32)).astype(np.float32)
    return np.clip(srgb + rng.normal(0, exposure.noise, srgb.shape), 0, 255).astype(np.float32)
