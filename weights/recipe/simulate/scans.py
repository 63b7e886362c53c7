"""Whole simulated scans: a random scene, a random sensor, and one file per seed."""

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weights.recipe.simulate.captures import Capture, joined
from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.mesh_catalogue import read_catalogue
from weights.recipe.simulate.primitives import F32, U8, U16, Rng, quads
from weights.recipe.simulate.radiometry import (
    Camera,
    LaserResponse,
    draw_camera,
    draw_laser_response,
)
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
        label: (N,) uint16, indices into ``concept_names()``.
        description: kind of scene, sensor and its main parameters.
        rgb: (N, 3) uint8 colours, or None.
        intensity: (N,) float32 in 0…1, or None.
    """

    xyz: F32
    label: U16
    description: str
    rgb: U8 | None = None
    intensity: F32 | None = None


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

    The file has ``xyz``, ``label``, ``concepts`` (the names of the labels), ``sensor`` (the
    description) and, where the sensor has them, ``rgb`` (uint8) and ``intensity`` (float32 in
    0…1). Points are at most `MAX_POINTS`, at a random place and heading.

    Args:
        job: scene, seed, folder to write to, and folder of ready-made meshes or None.
    """
    scene, seed, folder, meshes = job
    start = time.perf_counter()
    # With the scene's name in the seed, scenes of different kinds draw different numbers.
    rng = np.random.default_rng([seed, sum(scene.encode())])
    scan = make_scan(scene, rng, meshes)
    kept = np.sort(rng.permutation(len(scan.xyz))[:MAX_POINTS])
    origin, yaw = rng.uniform(-200, 200, 3) * [1, 1, 0.1], rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    arrays = {
        "xyz": (scan.xyz[kept] @ rotation + origin).astype(np.float32),
        "label": scan.label[kept],
        "concepts": np.array(concept_names()),
        "sensor": np.array(scan.description),
    }
    if scan.rgb is not None:
        arrays["rgb"] = scan.rgb[kept]
    if scan.intensity is not None:
        arrays["intensity"] = scan.intensity[kept]
    path = folder / f"{scene}_{seed:06d}.npz"
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)
    part.rename(path)
    seconds = time.perf_counter() - start
    return f"{path.name} {len(kept)} points {scan.description} {seconds:.1f}s"


def _finished(
    capture: Capture,
    description: str,
    rng: Rng,
    *,
    response: LaserResponse | None,
    camera: Camera | None,
    caster: RayCaster | None = None,
) -> Scan:
    """Return a capture as a scan.

    Args:
        capture: the points.
        description: kind of scene, sensor and its main parameters.
        rng: draws noise.
        response: makes the intensities; None for none.
        camera: makes the colours; None for none.
        caster: the scene, for shadows in the colours.
    """
    return Scan(
        capture.xyz,
        capture.label,
        description,
        None if camera is None else camera.colors(capture, rng, caster),
        None if response is None else response.intensity(capture, rng),
    )


def driving_scan(rng: Rng, meshes: Path | None = None) -> Scan:
    """Return a scan of a random street from a LiDAR on a vehicle or a robot."""
    scene, builder, street_kind = draw_street(rng, read_catalogue(meshes))
    caster = RayCaster(scene)
    lidar = draw_lidar(rng, street_kind)
    capture, sensor = _drive(caster, builder, lidar, rng)
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
        capture = joined([capture, _drive(caster, builder, front, rng)[0]])
        sensor += "+front_gt"
    marked = _with_lane_markings(builder.plan, capture, rng)
    response = draw_laser_response(rng)
    camera = draw_camera(rng) if rng.random() < 0.15 else None
    description = f"{street_kind}/{sensor}"
    return _finished(marked, description, rng, response=response, camera=camera, caster=caster)


def _drive(caster: RayCaster, builder: SceneBuilder, lidar: Lidar, rng: Rng) -> tuple[Capture, str]:
    """Return one to eight sweeps of a LiDAR along the street, and a description of the sensor."""
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
    return joined(sweeps), f"{lidar.name} x{sweep_count} {height:.1f}m"


def _with_lane_markings(plan: GroundPlan, capture: Capture, rng: Rng) -> Capture:
    """Return a capture where road points on painted lines are "lane marking"."""
    s = capture.xyz[:, 0].astype(np.float64)
    t = capture.xyz[:, 1] - plan.bend_at(s)
    if plan.surface != "road" or plan.half_width < 2.8:
        return capture
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
    marked = painted & (capture.label == concept_index("road")) & (rng.random(len(s)) < 0.95)
    paint = quads("lane marking", np.zeros((1, 4, 3))).painted(rng)
    return replace(
        capture,
        label=np.where(marked, paint.label[0], capture.label),
        material=np.where(marked, paint.material[0], capture.material),
        color=np.where(marked[:, None], paint.color[0], capture.color),
    )


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
    capture = joined(parts)
    # Water reflects most pulses away from the aircraft.
    returned = float(rng.choice([0.02, 0.2, 0.8]))
    is_water = capture.label == concept_index("water")
    capture = capture[~is_water | (rng.random(len(capture)) < returned)]
    description = f"{kind}/aerial {density:.0f}/m2 x{line_count} {height_m:.0f}m"
    response = draw_laser_response(rng, airborne=True)
    camera = draw_camera(rng) if rng.random() < 0.5 else None
    return _finished(capture, description, rng, response=response, camera=camera, caster=caster)


def indoor_scan(rng: Rng, meshes: Path | None) -> Scan:
    """Return a scan of rooms by a depth camera, a tripod scanner or a handheld LiDAR."""
    sensor = str(rng.choice(["camera"] * 6 + ["tripod", "tripod", "carried", "single"]))
    ceiling = sensor in ("tripod", "carried") or rng.random() < 0.6
    scene, floors, kinds = draw_rooms(rng, read_catalogue(meshes), ceiling=bool(ceiling))
    caster = RayCaster(scene)
    area = sum((x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors)
    if sensor == "camera":
        images = int(np.clip(area * rng.uniform(0.6, 1.8), 8, 50))
        capture = scan_with_depth_camera(caster, floors, rng, images)
    elif sensor == "single":
        capture = scan_with_depth_camera(caster, floors, rng, int(rng.integers(2, 5)))
    elif sensor == "tripod":
        capture = scan_with_tripod_scanner(caster, floors, rng)
    else:
        capture = scan_with_handheld_lidar(caster, floors, rng)
    spacing_m = float(rng.uniform(0.01, 0.035) if area < 60 else rng.uniform(0.025, 0.05))
    spacing_m = min(spacing_m, 0.015) if sensor == "single" else spacing_m
    capture = _thinned(capture, spacing_m, rng)
    has_laser = sensor in ("tripod", "carried")
    response = draw_laser_response(rng) if has_laser else None
    camera = draw_camera(rng, indoor=True) if not has_laser or rng.random() < 0.5 else None
    description = f"{kinds}/{sensor} {spacing_m * 100:.1f}cm"
    return _finished(capture, description, rng, response=response, camera=camera)


def _thinned(capture: Capture, size_m: float, rng: Rng) -> Capture:
    """Return one random point of each occupied cube of ``size_m`` metres."""
    # `np.unique` takes the first point of a cube in the shuffled order.
    order = rng.permutation(len(capture))
    cells = np.floor(capture.xyz[order] / size_m).astype(np.int64)
    key = (cells[:, 0] * 1_000_003 + cells[:, 1]) * 1_000_003 + cells[:, 2]
    _, first = np.unique(key, return_index=True)
    return capture[order[first]]
