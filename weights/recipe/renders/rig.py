"""The sensors on the vehicle: one spinning LiDAR, four cameras, and where they stand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.recipe.renders.views import Camera
from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.lidars import Lidar, Pose, elevations
from weights.recipe.simulate.primitives import F32, Rng
from weights.recipe.simulate.stage import Stage

F64 = NDArray[np.float64]
SIZE = (320, 192)
SWEEPS = 5
_RAYS = 34_000
_YAWS_DEG = (0.0, 58.0, -58.0, 180.0)


def draw_sensor(rng: Rng) -> Lidar:
    """A spinning sensor of 32 to 64 beams and about 34,000 shots a turn."""
    kind = str(rng.choice(["hdl32", "pandar40", "hdl64", "pandar64", "os1_64"]))
    beams = elevations(kind) + rng.normal(0, 0.04, len(elevations(kind))).astype(np.float32)
    step = 360 * len(beams) / _RAYS
    return Lidar(kind, beams.astype(np.float32), (0.0, 360.0), step, 0.015, 90.0)


@dataclass(frozen=True, slots=True)
class Track:
    """Where the vehicle goes: its sensor's poses, the key frame's first."""

    poses: tuple[Pose, ...]


def draw_track(stage: Stage, caster: Caster, rng: Rng) -> Track:
    """Five poses, each 0.8 to 2 m behind the last where nothing stands in the way."""
    height, tilt = float(rng.uniform(1.7, 2.2)), rng.normal(0, 0.01, 2)
    for step in (float(rng.uniform(0.8, 2.0)), 0.5, 0.2):
        poses = tuple(_pose(stage, -k * step, height, tilt) for k in range(SWEEPS))
        if all(_is_free(caster, pose, height) for pose in poses):
            break
    return Track(poses)


def _pose(stage: Stage, ahead: float, height: float, tilt: NDArray[np.float64]) -> Pose:
    s, t = stage.ego[0] + ahead, stage.ego[1]
    x, y, z = stage.plan.ground_at(s, t)
    turn = stage.plan.heading(s)
    reach = np.array([np.cos(turn), np.sin(turn)]) * 1.5
    rise = stage.plan.relief.hills(
        np.array([x + reach[0], x - reach[0]]), np.array([y + reach[1], y - reach[1]])
    )
    pitch = float(-np.arctan2(rise[0] - rise[1], 3.0) + tilt[0])
    return Pose((x, y, z + height), turn, pitch, float(tilt[1]))


def _is_free(caster: Caster, pose: Pose, height: float) -> bool:
    """Whether the sensor has the ground right below it, and nothing close around."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(64)], axis=1)
    ways = np.concatenate([ring, [[0.0, 0.0, -1.0]]]).astype(np.float32)
    starts = np.broadcast_to(np.asarray(pose.at, dtype=np.float32), ways.shape)
    triangle, range_m, _ = caster.first(starts, ways)
    range_m = np.where(triangle < 0, np.inf, range_m)
    return bool(range_m[-1] > height - 0.3 and range_m[:-1].min() > 1.2)


def world_from_sensor(pose: Pose) -> F64:
    """(4, 4) float64, rigid to double precision."""
    matrix = np.eye(4)
    turn = pose.rotation().astype(np.float64)
    left, _, right = np.linalg.svd(turn)
    matrix[:3, :3] = left @ right
    matrix[:3, 3] = pose.at
    return matrix


def draw_cameras(pose: Pose, rng: Rng) -> tuple[Camera, ...]:
    """Four cameras about the LiDAR: ahead, to both sides of that, and behind."""
    base = world_from_sensor(pose)
    # Columns: the camera's right, down and forward in the vehicle's axes.
    optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    cameras = []
    for yaw_deg in np.array(_YAWS_DEG) + rng.normal(0, 3, len(_YAWS_DEG)):
        field = np.radians(rng.uniform(68, 78))
        yaw, pitch = np.radians(yaw_deg), float(rng.normal(0.04, 0.02))
        own = np.eye(4)
        own[:3, :3] = Pose((0, 0, 0), float(yaw), pitch, 0.0).rotation() @ optical
        left, _, right = np.linalg.svd(own[:3, :3])
        own[:3, :3] = left @ right
        reach = float(rng.uniform(0.2, 0.8))
        own[:3, 3] = [reach * np.cos(yaw), reach * np.sin(yaw), -float(rng.uniform(0.1, 0.4))]
        focal = SIZE[0] / 2 / float(np.tan(field / 2))
        middle = ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2)
        cameras.append(Camera(SIZE, (focal, focal, *middle), base @ own))
    return tuple(cameras)


def in_sensor_axes(xyz: F32, pose: Pose) -> F32:
    """(n, 3) float32 world points seen from the sensor."""
    matrix = world_from_sensor(pose)
    return np.asarray((xyz.astype(np.float64) - matrix[:3, 3]) @ matrix[:3, :3], dtype=np.float32)
