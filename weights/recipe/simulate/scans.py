"""Whole simulated scans: a random scene, a random sensor, and one file per seed."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.mesh_catalogue import read_catalogue
from weights.recipe.simulate.primitives import F32, U8, Rng
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.room_scene import draw_rooms
from weights.recipe.simulate.scene_builder import SceneBuilder
from weights.recipe.simulate.sensors import (
    FlightLine,
    Lidar,
    Pose,
    draw_lidar,
    scan_from_aircraft,
    scan_with_depth_camera,
    scan_with_handheld_lidar,
    scan_with_lidar,
    scan_with_tripod_scanner,
)
from weights.recipe.simulate.street_scene import draw_street
from weights.recipe.simulate.town_scene import TOWN_KINDS, draw_town

MAX_POINTS = 170_000
SCENES = ("driving", "aerial", "indoor")


class Scan(NamedTuple):
    """A labelled scan.

    Attributes:
        xyz: (N, 3) float32, world metres.
        label: (N,) uint8, indices into ``concept_names()``.
        description: kind of scene, sensor and its main parameters.
    """

    xyz: F32
    label: U8
    description: str


def make_scan(scene: str, rng: Rng, meshes: Path | None) -> Scan:
    """Return a random scan.

    Args:
        scene: "driving" (a street from a vehicle), "aerial" (a town) or "indoor" (rooms).
        rng: decides everything.
        meshes: folder with archives of ready-made meshes, or None; see `read_catalogue`.
    """
    if scene == "aerial":
        return aerial_scan(rng)
    if scene == "indoor":
        return indoor_scan(rng, meshes)
    return driving_scan(rng, meshes)


def write_scan(job: tuple[str, int, Path, Path | None]) -> str:
    """Write the scan of one seed as ``SCENE_SEED.npz`` and return a line for the log.

    The file has ``xyz``, ``label``, ``concepts`` (the names of the labels) and ``sensor`` (the
    description). Points are at most `MAX_POINTS`, at a random place and heading.

    Args:
        job: scene, seed, folder to write to, and folder of ready-made meshes or None.
    """
    scene, seed, folder, meshes = job
    start = time.perf_counter()
    # With the scene's name in the seed, scenes of different kinds draw different numbers.
    rng = np.random.default_rng([seed, sum(scene.encode())])
    xyz, label, sensor = make_scan(scene, rng, meshes)
    kept = np.sort(rng.permutation(len(xyz))[:MAX_POINTS])
    origin, yaw = rng.uniform(-200, 200, 3) * [1, 1, 0.1], rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    path = folder / f"{scene}_{seed:06d}.npz"
    part = path.with_suffix(".part.npz")
    np.savez_compressed(
        part,
        xyz=(xyz[kept] @ rotation + origin).astype(np.float32),
        label=label[kept],
        concepts=np.array(concept_names()),
        sensor=np.array(sensor),
    )
    part.rename(path)
    return f"{path.name} {len(kept)} points {sensor} {time.perf_counter() - start:.1f}s"


def driving_scan(rng: Rng, meshes: Path | None = None) -> Scan:
    """Return a scan of a random street from a LiDAR on a vehicle or a robot."""
    scene, builder, street_kind = draw_street(rng, read_catalogue(meshes))
    caster = RayCaster(scene)
    lidar = draw_lidar(rng, street_kind)
    xyz, label, sensor = _drive(caster, builder, lidar, rng)
    if sensor.startswith("pandar64") and rng.random() < 0.7:
        # As PandaSet's vehicle, which has a second LiDAR that looks ahead.
        drawn = draw_lidar(np.random.default_rng(1), "street")
        front = Lidar(
            "front_gt",
            np.linspace(-9, 6, 120, dtype=np.float32),
            (-30, 30),
            0.1,
            drawn.noise_m,
            200.0,
        )
        front_xyz, front_label, _ = _drive(caster, builder, front, rng)
        xyz, label = np.concatenate([xyz, front_xyz]), np.concatenate([label, front_label])
        sensor += "+front_gt"
    return Scan(xyz, _with_lane_markings(builder.plan, xyz, label, rng), f"{street_kind}/{sensor}")


def _drive(caster: RayCaster, builder: SceneBuilder, lidar: Lidar, rng: Rng) -> Scan:
    """Return one to eight sweeps of a LiDAR along the street, merged in world coordinates."""
    on_robot = lidar.name.startswith("os") and rng.random() < 0.6
    height = float(rng.uniform(0.6, 1.3) if on_robot else rng.uniform(1.6, 2.5))
    # Sensors with few beams are mostly used with several sweeps.
    sweep_count = (
        int(rng.choice([1, 1, 1, 2, 3]))
        if len(lidar.elevation_deg) > 32
        else int(rng.choice([1, 2, 4, 8]))
    )
    if lidar.name.startswith("front"):
        sweep_count = 1
    step_m, tilt = float(rng.uniform(0, 1.4)), rng.normal(0, 0.012 if not on_robot else 0.03, 2)
    yaw = builder.plan.heading(builder.sensor[0]) + float(rng.normal(0, 0.05))
    sweeps = []
    for k in range(sweep_count):
        x, y, z = builder.plan.world_point(builder.sensor[0] - k * step_m, builder.sensor[1])
        # The vehicle pitches with the land between its axles, 1.5 m before and behind.
        ahead = np.array([np.cos(yaw), np.sin(yaw)]) * 1.5
        land = builder.plan.terrain.height(
            np.array([x + ahead[0], x - ahead[0]]), np.array([y + ahead[1], y - ahead[1]])
        )
        pitch = float(-np.arctan2(land[0] - land[1], 3.0) + tilt[0])
        pose = Pose((x, y, z + height), yaw, pitch, float(tilt[1]))
        sweeps.append(scan_with_lidar(caster, lidar, pose, rng))
    xyz = np.concatenate([points for points, _ in sweeps])
    label = np.concatenate([labels for _, labels in sweeps])
    return Scan(xyz, label, f"{lidar.name} x{sweep_count} {height:.1f}m")


def _with_lane_markings(plan: GroundPlan, xyz: F32, label: U8, rng: Rng) -> U8:
    """Return labels where road points on painted lines are "lane marking"."""
    s = xyz[:, 0].astype(np.float64)
    t = xyz[:, 1] - plan.bend_at(s)
    if plan.surface != "road" or plan.half_width < 2.8:
        return label
    painted = np.abs(np.abs(t) - plan.half_width + 0.25) < 0.07
    lanes = max(int(plan.half_width / 3.3), 1)
    for k in range(lanes):
        # The middle line (k = 0) is solid on every other street.
        dashed = (np.mod(s, 9.0) < 3.5) | (k == 0 and rng.random() < 0.5)
        painted |= (np.abs(np.abs(t) - k * plan.half_width / lanes) < 0.08) & dashed
    for center, half in plan.crossings:
        distance = np.abs(s - center) - half
        zebra = (distance > 2) & (distance < 5) & (np.mod(t, 1.1) < 0.5)
        painted = (painted & (distance > 1)) | zebra
    marked = painted & (label == concept_index("road")) & (rng.random(len(s)) < 0.95)
    return np.where(marked, np.uint8(concept_index("lane marking")), label)


def aerial_scan(rng: Rng) -> Scan:
    """Return a scan of a random town or landscape from an aircraft."""
    kind = str(rng.choice(list(TOWN_KINDS)))
    density = float(np.exp(rng.uniform(np.log(1.5), np.log(32))))
    # About 115,000 pulses, whatever their density.
    half_size = float(np.clip(0.5 * np.sqrt(115_000 / density), 34, 140))
    caster = RayCaster(draw_town(rng, kind, half_size))
    height_m, heading = float(rng.uniform(300, 1500)), float(rng.uniform(0, 6.28))
    line_count = int(rng.choice([1, 1, 2]))
    max_returns = int(rng.choice([2, 4, 5]))
    parts = []
    for _ in range(line_count):
        offset_m = float(rng.uniform(-0.36, 0.36)) * height_m
        line = FlightLine(height_m, offset_m, heading, density / line_count, max_returns)
        parts.append(scan_from_aircraft(caster, line, half_size, rng))
    xyz = np.concatenate([points for points, _ in parts])
    label = np.concatenate([labels for _, labels in parts])
    # Water reflects most pulses away from the aircraft.
    returned = float(rng.choice([0.02, 0.2, 0.8]))
    kept = (label != concept_index("water")) | (rng.random(len(label)) < returned)
    description = f"{kind}/aerial {density:.0f}/m2 x{line_count} {height_m:.0f}m"
    return Scan(xyz[kept], label[kept], description)


def indoor_scan(rng: Rng, meshes: Path | None) -> Scan:
    """Return a scan of rooms by a depth camera, a tripod scanner or a handheld LiDAR."""
    sensor = str(rng.choice(["camera"] * 6 + ["tripod", "tripod", "carried", "single"]))
    ceiling = sensor in ("tripod", "carried") or rng.random() < 0.6
    scene, floors, kinds = draw_rooms(rng, read_catalogue(meshes), ceiling=bool(ceiling))
    caster = RayCaster(scene)
    area = sum((x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors)
    if sensor == "camera":
        images = int(np.clip(area * rng.uniform(0.6, 1.8), 8, 50))
        xyz, label = scan_with_depth_camera(caster, floors, rng, images)
    elif sensor == "single":
        xyz, label = scan_with_depth_camera(caster, floors, rng, int(rng.integers(2, 5)))
    elif sensor == "tripod":
        xyz, label = scan_with_tripod_scanner(caster, floors, rng)
    else:
        xyz, label = scan_with_handheld_lidar(caster, floors, rng)
    spacing_m = float(rng.uniform(0.01, 0.035) if area < 60 else rng.uniform(0.025, 0.05))
    spacing_m = min(spacing_m, 0.015) if sensor == "single" else spacing_m
    xyz, label = _thinned(xyz, label, spacing_m, rng)
    return Scan(xyz, label, f"{kinds}/{sensor} {spacing_m * 100:.1f}cm")


def _thinned(xyz: F32, label: U8, size_m: float, rng: Rng) -> tuple[F32, U8]:
    """Return one random point of each occupied cube of ``size_m`` metres."""
    # `np.unique` takes the first point of a cube in the shuffled order.
    order = rng.permutation(len(xyz))
    cells = np.floor(xyz[order] / size_m).astype(np.int64)
    key = (cells[:, 0] * 1_000_003 + cells[:, 1]) * 1_000_003 + cells[:, 2]
    _, first = np.unique(key, return_index=True)
    kept = order[first]
    return xyz[kept], label[kept]
