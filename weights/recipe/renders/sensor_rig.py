"""The sensors of the recording vehicle: one spinning LiDAR and four cameras, and their poses."""

import numpy as np

from weights.recipe.renders.rendering import Camera
from weights.recipe.simulate.lidar_models import beam_elevations
from weights.recipe.simulate.lidars import Lidar, Pose
from weights.recipe.simulate.primitives import F32, F64, Rng
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.scene_builder import SceneBuilder

# Width and height of images in pixels.
IMAGE_SIZE = (320, 192)
SWEEPS = 5
_MEASUREMENTS_PER_SWEEP = 34_000
_CAMERA_YAWS_DEG = (0.0, 58.0, -58.0, 180.0)


def draw_sensor(rng: Rng) -> Lidar:
    """Return a spinning LiDAR with 32 to 64 beams and about 34,000 measurements per sweep."""
    model = str(rng.choice(["hdl32", "pandar40", "hdl64", "pandar64", "os1_64"]))
    elevations = beam_elevations(model)
    beams = elevations + rng.normal(0, 0.04, len(elevations)).astype(np.float32)
    step_deg = 360 * len(beams) / _MEASUREMENTS_PER_SWEEP
    return Lidar(model, beams.astype(np.float32), (0.0, 360.0), step_deg, 0.015, 90.0)


def draw_lidar_poses(builder: SceneBuilder, caster: RayCaster, rng: Rng) -> tuple[Pose, ...]:
    """Return the LiDAR's poses in five sweeps, the key frame first and the earlier ones after it.

    Neighbouring poses are 0.8 to 2 m apart, or closer where the vehicle would hit an object.
    """
    height, tilt = float(rng.uniform(1.7, 2.2)), rng.normal(0, 0.01, 2)
    for step in (float(rng.uniform(0.8, 2.0)), 0.5, 0.2):
        poses = tuple(_pose_on_road(builder, -k * step, height, tilt) for k in range(SWEEPS))
        if all(_is_free(caster, pose, height) for pose in poses):
            break
    return poses


def _pose_on_road(builder: SceneBuilder, ahead: float, height: float, tilt: F64) -> Pose:
    """Return the LiDAR's pose ``ahead`` metres from the scene's sensor position."""
    s, t = builder.sensor[0] + ahead, builder.sensor[1]
    x, y, z = builder.plan.world_point(s, t)
    yaw = builder.plan.heading(s)
    # The vehicle pitches with the land between its axles, 1.5 m before and behind.
    axle = np.array([np.cos(yaw), np.sin(yaw)]) * 1.5
    land = builder.plan.terrain.height(
        np.array([x + axle[0], x - axle[0]]), np.array([y + axle[1], y - axle[1]])
    )
    pitch = float(-np.arctan2(land[0] - land[1], 3.0) + tilt[0])
    return Pose((x, y, z + height), yaw, pitch, float(tilt[1]))


def _is_free(caster: RayCaster, pose: Pose, height: float) -> bool:
    """Return whether a sensor has the ground below it and no object within 1.2 m around it."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle), np.zeros(64)], axis=1)
    directions = np.concatenate([around, [[0.0, 0.0, -1.0]]]).astype(np.float32)
    starts = np.broadcast_to(np.asarray(pose.position, dtype=np.float32), directions.shape)
    triangle, range_m, _ = caster.first_hit(starts, directions)
    range_m = np.where(triangle < 0, np.inf, range_m)
    return bool(range_m[-1] > height - 0.3 and range_m[:-1].min() > 1.2)


def world_from_sensor(pose: Pose) -> F64:
    """Return a pose as a (4, 4) float64 transform that is rigid to double precision."""
    matrix = np.eye(4)
    matrix[:3, :3] = _nearest_rotation(pose.rotation().astype(np.float64))
    matrix[:3, 3] = pose.position
    return matrix


def _nearest_rotation(matrix: F64) -> F64:
    """Return the rotation nearest to a (3, 3) matrix that is one but for rounding."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)


def draw_cameras(pose: Pose, rng: Rng) -> tuple[Camera, ...]:
    """Return four cameras around the LiDAR at ``pose``: ahead, left, right and behind."""
    base = world_from_sensor(pose)
    # Columns: the camera's right, down and forward in the vehicle's axes.
    vehicle_from_optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    cameras = []
    for yaw_deg in np.array(_CAMERA_YAWS_DEG) + rng.normal(0, 3, len(_CAMERA_YAWS_DEG)):
        field_of_view = np.radians(rng.uniform(68, 78))
        yaw, pitch = np.radians(yaw_deg), float(rng.normal(0.04, 0.02))
        sensor_from_camera = np.eye(4)
        rotation = Pose((0, 0, 0), float(yaw), pitch, 0.0).rotation() @ vehicle_from_optical
        sensor_from_camera[:3, :3] = _nearest_rotation(rotation)
        distance = float(rng.uniform(0.2, 0.8))
        sensor_from_camera[:3, 3] = [
            distance * np.cos(yaw),
            distance * np.sin(yaw),
            -float(rng.uniform(0.1, 0.4)),
        ]
        focal = IMAGE_SIZE[0] / 2 / float(np.tan(field_of_view / 2))
        middle = ((IMAGE_SIZE[0] - 1) / 2, (IMAGE_SIZE[1] - 1) / 2)
        cameras.append(Camera(IMAGE_SIZE, (focal, focal, *middle), base @ sensor_from_camera))
    return tuple(cameras)


def to_sensor_axes(xyz: F32, pose: Pose) -> F32:
    """Return (n, 3) float32 world points in the axes of a sensor at ``pose``."""
    matrix = world_from_sensor(pose)
    return np.asarray((xyz.astype(np.float64) - matrix[:3, 3]) @ matrix[:3, :3], dtype=np.float32)
