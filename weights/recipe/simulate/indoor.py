"""Indoor scans: rooms seen by a depth camera, a carried LiDAR or a scanner on a tripod."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.driving import Scan
from weights.recipe.simulate.interiors import interior
from weights.recipe.simulate.lidars import Lidar, Pose, scan
from weights.recipe.simulate.meshes import models
from weights.recipe.simulate.primitives import F32, U8, Rng

Floors = list[tuple[float, float, float, float]]


def _stands(rng: Rng, floors: Floors, count: int) -> NDArray[np.float64]:
    """Return (count, 2) places on the floors, in the order of a walk through the rooms."""
    area = np.array([(x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors])
    which = np.sort(rng.choice(len(floors), count, p=area / area.sum()))
    margin = 0.35
    places = []
    for x0, x1, y0, y1 in (floors[k] for k in which):
        places.append(
            (rng.uniform(x0 + margin, x1 - margin), rng.uniform(y0 + margin, y1 - margin))
        )
    return np.asarray(places)


def depth_frames(caster: Caster, floors: Floors, rng: Rng, frames: int) -> tuple[F32, U8]:
    """Return points and labels that ``frames`` pictures of a depth camera give together."""
    tall, down = float(rng.uniform(1.2, 1.75)), float(rng.uniform(-0.65, -0.1))
    u, v = np.meshgrid(np.linspace(-0.57, 0.57, 150), np.linspace(-0.43, 0.43, 112))
    way = np.stack([np.ones(u.size), -u.ravel(), -v.ravel()], axis=1)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    directions, origins = [], []
    for x, y in _stands(rng, floors, frames):
        pitch = down + float(rng.normal(0, 0.25))
        x0, x1, y0, y1 = next(floor for floor in floors if floor[0] <= x <= floor[1])
        # People point a camera at the room, seldom at the wall beside them.
        yaw = float(np.arctan2((y0 + y1) / 2 - y, (x0 + x1) / 2 - x) + rng.normal(0, 0.9))
        pose = Pose((float(x), float(y), tall), yaw, -pitch, float(rng.normal(0, 0.05)))
        directions.append((way @ pose.rotation().T).astype(np.float32))
        origins.append(np.broadcast_to(np.array(pose.at, dtype=np.float32), directions[-1].shape))
    start, aim = np.concatenate(origins), np.concatenate(directions)
    hits = caster.cast(start, aim, rng)
    reach = float(rng.uniform(3.5, 6))
    kept = (
        (hits.range_m > 0.4)
        & (hits.range_m < reach)
        & (rng.random(len(hits.ray)) < 0.3 + 2 * hits.cosine)
    )
    ray, range_m = hits.ray[kept], hits.range_m[kept]
    # Depth from a pattern or from stereo errs with the square of the range; fusion averages it.
    spread = (0.002 + float(rng.uniform(0.0005, 0.003)) * range_m**2).astype(np.float32)
    range_m = range_m + spread * rng.normal(size=len(ray)).astype(np.float32)
    xyz = start[ray] + aim[ray] * range_m[:, None]
    return xyz.astype(np.float32), hits.label[kept]


def walked_lidar(caster: Caster, floors: Floors, rng: Rng) -> tuple[F32, U8]:
    """Return what a small spinning LiDAR sees when it is carried through the rooms."""
    beams = int(rng.choice([16, 32, 64]))
    half = float(rng.uniform(15, 45))
    lidar = Lidar(
        "carried",
        np.linspace(-half, half, beams, dtype=np.float32),
        (0, 360),
        0.6,
        float(rng.uniform(0.005, 0.02)),
        40.0,
        0.4,
    )
    found = []
    for x, y in _stands(rng, floors, max(256 // beams, 6)):
        tilt = rng.normal(0, 0.35, 2)
        at = (float(x), float(y), float(rng.uniform(0.9, 1.8)))
        found.append(
            scan(
                caster,
                lidar,
                Pose(at, float(rng.uniform(0, 6)), float(tilt[0]), float(tilt[1])),
                rng,
            )
        )
    return np.concatenate([p for p, _ in found]), np.concatenate([c for _, c in found])


def tripod(caster: Caster, floors: Floors, rng: Rng) -> tuple[F32, U8]:
    """Return what a surveyor's scanner sees from one to four places."""
    found = []
    for x, y in _stands(rng, floors, int(rng.integers(1, 5))):
        lidar = Lidar(
            "tripod", np.linspace(-60, 85, 400, dtype=np.float32), (0, 360), 0.45, 0.002, 60.0, 0.4
        )
        at = (float(x), float(y), float(rng.uniform(1.2, 1.7)))
        found.append(scan(caster, lidar, Pose(at, 0.0, 0.0, 0.0), rng))
    return np.concatenate([p for p, _ in found]), np.concatenate([c for _, c in found])


def thin(xyz: F32, label: U8, size_m: float, rng: Rng) -> tuple[F32, U8]:
    """Keep one random point in each cube of ``size_m`` metres."""
    order = rng.permutation(len(xyz))
    cells = np.floor(xyz[order] / size_m).astype(np.int64)
    key = (cells[:, 0] * 1_000_003 + cells[:, 1]) * 1_000_003 + cells[:, 2]
    _, first = np.unique(key, return_index=True)
    kept = order[first]
    return xyz[kept], label[kept]


def indoor_scan(rng: Rng, folder: Path | None) -> Scan:
    """Return points (N, 3) in metres, labels (N,) and a description of rooms and scanner."""
    way = str(rng.choice(["camera"] * 6 + ["tripod", "tripod", "carried", "single"]))
    ceiling = way in ("tripod", "carried") or rng.random() < 0.6
    scene, floors, kinds = interior(rng, models(folder), ceiling=bool(ceiling))
    caster = Caster(scene)
    area = sum((x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors)
    if way == "camera":
        xyz, label = depth_frames(
            caster, floors, rng, int(np.clip(area * rng.uniform(0.6, 1.8), 8, 50))
        )
    elif way == "single":
        xyz, label = depth_frames(caster, floors, rng, int(rng.integers(2, 5)))
    elif way == "tripod":
        xyz, label = tripod(caster, floors, rng)
    else:
        xyz, label = walked_lidar(caster, floors, rng)
    fine = float(rng.uniform(0.01, 0.035) if area < 60 else rng.uniform(0.025, 0.05))
    size_m = min(fine, 0.015) if way == "single" else fine
    xyz, label = thin(xyz, label, size_m, rng)
    return xyz, label, f"{kinds}/{way} {size_m * 100:.1f}cm"
