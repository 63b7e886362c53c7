"""Sensors in rooms: depth cameras, tripod scanners and LiDARs that are carried.

Every sensor returns a `Capture`: points and what is known of their surfaces.
"""

import numpy as np

from weights.recipe.simulate.captures import Capture, joined
from weights.recipe.simulate.lidars import Lidar, Pose, scan_with_lidar
from weights.recipe.simulate.primitives import F64, Rng
from weights.recipe.simulate.ray_casting import RayCaster

# Floors of rooms: (x0, x1, y0, y1) in metres.
Floors = list[tuple[float, float, float, float]]


def _draw_viewpoints(rng: Rng, floors: Floors, count: int) -> F64:
    """Return (count, 2) random positions on the floors, sorted by room."""
    area = np.array([(x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors])
    rooms = np.sort(rng.choice(len(floors), count, p=area / area.sum()))
    margin = 0.35
    positions = []
    for x0, x1, y0, y1 in (floors[room] for room in rooms):
        positions.append(
            (rng.uniform(x0 + margin, x1 - margin), rng.uniform(y0 + margin, y1 - margin))
        )
    return np.asarray(positions)


def scan_with_depth_camera(caster: RayCaster, floors: Floors, rng: Rng, images: int) -> Capture:
    """Return the points of several depth images in rooms.

    Args:
        caster: the scene.
        floors: the floors of its rooms.
        rng: draws poses and noise.
        images: number of images, each of 150 by 112 pixels.
    """
    height, pitch_mean = float(rng.uniform(1.2, 1.75)), float(rng.uniform(-0.65, -0.1))
    # (pixels, 3) unit vectors in the camera's axes, x forward: tangents of the viewing angles.
    u, v = np.meshgrid(np.linspace(-0.57, 0.57, 150), np.linspace(-0.43, 0.43, 112))
    pixel_directions = np.stack([np.ones(u.size), -u.ravel(), -v.ravel()], axis=1)
    pixel_directions /= np.linalg.norm(pixel_directions, axis=1, keepdims=True)
    directions, origins = [], []
    for x, y in _draw_viewpoints(rng, floors, images):
        pitch = pitch_mean + float(rng.normal(0, 0.25))
        x0, x1, y0, y1 = next(floor for floor in floors if floor[0] <= x <= floor[1])
        # People point a camera at the middle of the room rather than at the wall beside them.
        yaw = float(np.arctan2((y0 + y1) / 2 - y, (x0 + x1) / 2 - x) + rng.normal(0, 0.9))
        pose = Pose((float(x), float(y), height), yaw, -pitch, float(rng.normal(0, 0.05)))
        directions.append((pixel_directions @ pose.rotation().T).astype(np.float32))
        position = np.array(pose.position, dtype=np.float32)
        origins.append(np.broadcast_to(position, directions[-1].shape))
    all_origins, all_directions = np.concatenate(origins), np.concatenate(directions)
    returns = caster.cast(all_origins, all_directions, rng)
    max_range_m = float(rng.uniform(3.5, 6))
    detected = (
        (returns.range_m > 0.4)
        & (returns.range_m < max_range_m)
        & (rng.random(len(returns.ray)) < 0.3 + 2 * returns.cosine)
    )
    returns = returns[detected]
    ray, range_m = returns.ray, returns.range_m
    # The error of structured light and stereo grows with the square of the range; fusing many
    # images, as scanning software does, keeps it small.
    noise_m = (0.002 + float(rng.uniform(0.0005, 0.003)) * range_m**2).astype(np.float32)
    range_m = range_m + noise_m * rng.normal(size=len(ray)).astype(np.float32)
    xyz = all_origins[ray] + all_directions[ray] * range_m[:, None]
    return Capture.from_returns(np.asarray(xyz, np.float32), returns)


def scan_with_handheld_lidar(caster: RayCaster, floors: Floors, rng: Rng) -> Capture:
    """Return the points of a spinning LiDAR that is carried through rooms."""
    beams = int(rng.choice([16, 32, 64]))
    highest_deg = float(rng.uniform(15, 45))
    lidar = Lidar(
        "carried",
        np.linspace(-highest_deg, highest_deg, beams, dtype=np.float32),
        (0, 360),
        0.6,
        float(rng.uniform(0.005, 0.02)),
        40.0,
        0.4,
    )
    sweeps = []
    for x, y in _draw_viewpoints(rng, floors, max(256 // beams, 6)):
        tilt = rng.normal(0, 0.35, 2)
        position = (float(x), float(y), float(rng.uniform(0.9, 1.8)))
        pose = Pose(position, float(rng.uniform(0, 6)), float(tilt[0]), float(tilt[1]))
        sweeps.append(scan_with_lidar(caster, lidar, pose, rng))
    return joined(sweeps)


def scan_with_tripod_scanner(caster: RayCaster, floors: Floors, rng: Rng) -> Capture:
    """Return the points of a terrestrial laser scanner at one to four positions."""
    beams = np.linspace(-60, 85, 400, dtype=np.float32)
    scans = []
    for x, y in _draw_viewpoints(rng, floors, int(rng.integers(1, 5))):
        lidar = Lidar("tripod", beams, (0, 360), 0.45, 0.002, 60.0, 0.4)
        position = (float(x), float(y), float(rng.uniform(1.2, 1.7)))
        scans.append(scan_with_lidar(caster, lidar, Pose(position, 0.0, 0.0, 0.0), rng))
    return joined(scans)
