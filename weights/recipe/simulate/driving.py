"""Driving scans: a street seen from a vehicle's or robot's LiDAR."""

from pathlib import Path

import numpy as np

from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.layout import Plan
from weights.recipe.simulate.lidars import Lidar, Pose, draw_lidar, scan
from weights.recipe.simulate.meshes import models
from weights.recipe.simulate.primitives import F32, U8, Rng
from weights.recipe.simulate.stage import Stage
from weights.recipe.simulate.streets import street

Scan = tuple[F32, U8, str]


def driving_scan(rng: Rng, folder: Path | None = None) -> Scan:
    """Return points (N, 3) in metres, labels (N,) and the sensor's description."""
    scene, stage, name = street(rng, models(folder))
    caster = Caster(scene)
    lidar = draw_lidar(rng, name)
    xyz, label, sensor = _drive(caster, stage, lidar, rng)
    if sensor.startswith("pandar64") and rng.random() < 0.7:
        front = draw_lidar(np.random.default_rng(1), "street")
        front = Lidar(
            "front_gt",
            np.linspace(-9, 6, 120, dtype=np.float32),
            (-30, 30),
            0.1,
            front.noise_m,
            200.0,
        )
        ahead, ahead_label, _ = _drive(caster, stage, front, rng)
        xyz, label = np.concatenate([xyz, ahead]), np.concatenate([label, ahead_label])
        sensor += "+front_gt"
    return xyz, _marked(stage.plan, xyz, label, rng), f"{name}/{sensor}"


def _drive(caster: Caster, stage: Stage, lidar: Lidar, rng: Rng) -> Scan:
    robot = lidar.name.startswith("os") and rng.random() < 0.6
    height = float(rng.uniform(0.6, 1.3) if robot else rng.uniform(1.6, 2.5))
    sweeps = (
        int(rng.choice([1, 1, 1, 2, 3]))
        if len(lidar.elevation_deg) > 32
        else int(rng.choice([1, 2, 4, 8]))
    )
    if lidar.name.startswith("front"):
        sweeps = 1
    speed, tilt = float(rng.uniform(0, 1.4)), rng.normal(0, 0.012 if not robot else 0.03, 2)
    turn = stage.plan.heading(stage.ego[0]) + float(rng.normal(0, 0.05))
    found = []
    for k in range(sweeps):
        s = stage.ego[0] - k * speed
        x, y, z = stage.plan.ground_at(s, stage.ego[1])
        ahead = np.array([np.cos(turn), np.sin(turn)]) * 1.5
        rise = stage.plan.relief.hills(
            np.array([x + ahead[0], x - ahead[0]]), np.array([y + ahead[1], y - ahead[1]])
        )
        pitch = float(-np.arctan2(rise[0] - rise[1], 3.0) + tilt[0])
        found.append(
            scan(caster, lidar, Pose((x, y, z + height), turn, pitch, float(tilt[1])), rng)
        )
    xyz = np.concatenate([points for points, _ in found])
    label = np.concatenate([labels for _, labels in found])
    return xyz, label, f"{lidar.name} x{sweeps} {height:.1f}m"


def _marked(plan: Plan, xyz: F32, label: U8, rng: Rng) -> U8:
    """Return labels in which road points on painted lines are lane markings."""
    s = xyz[:, 0].astype(np.float64)
    t = xyz[:, 1] - plan.sway_at(s)
    if plan.track != "road" or plan.half_road < 2.8:
        return label
    on = np.abs(np.abs(t) - plan.half_road + 0.25) < 0.07
    lanes = max(int(plan.half_road / 3.3), 1)
    for k in range(lanes):
        dashed = (np.mod(s, 9.0) < 3.5) | (k == 0 and rng.random() < 0.5)
        on |= (np.abs(np.abs(t) - k * plan.half_road / lanes) < 0.08) & dashed
    for at, half in plan.crossings:
        away = np.abs(s - at) - half
        on = (on & (away > 1)) | ((away > 2) & (away < 5) & (np.mod(t, 1.1) < 0.5))
    painted = on & (label == concept_index("road")) & (rng.random(len(s)) < 0.95)
    return np.where(painted, np.uint8(concept_index("lane marking")), label)
