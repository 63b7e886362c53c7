"""Scans of streets and trails by LiDARs on vehicles and robots."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from weights.recipe.simulate.captures import Capture, joined
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.labelled_scan import Scan, finished
from weights.recipe.simulate.lidar_models import draw_lidar, draw_specimen
from weights.recipe.simulate.lidars import Lidar, Motion, Pose, scan_with_lidar
from weights.recipe.simulate.mesh_catalogue import read_catalogue
from weights.recipe.simulate.primitives import F64, Rng, quads
from weights.recipe.simulate.radiometry import draw_camera, draw_laser_response
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.rosettes import draw_rosette, scan_with_rosette
from weights.recipe.simulate.scene_builder import SceneBuilder
from weights.recipe.simulate.street_scene import draw_street


def driving_scan(rng: Rng, meshes: Path | None = None, street_kind: str | None = None) -> Scan:
    """Return a scan of a random street from LiDARs on a vehicle or a robot.

    Args:
        rng: decides everything.
        meshes: folder with archives of ready-made meshes, or None; see `read_catalogue`.
        street_kind: the kind of street; None draws one.
    """
    scene, builder, street_kind = draw_street(rng, read_catalogue(meshes), street_kind)
    drive = _Drive(RayCaster(scene), builder, rng)
    draw = rng.random()
    if draw < 0.1:
        capture, sensor = drive.with_rosette()
    elif draw < 0.2:
        capture, sensor = drive.with_stack()
    else:
        capture, sensor = drive.with_lidar(draw_lidar(rng, street_kind))
    capture = with_lane_markings(builder.plan, capture, rng)
    scan = finished(
        capture,
        f"{street_kind}/{sensor}",
        rng,
        response=draw_laser_response(rng),
        camera=draw_camera(rng) if rng.random() < 0.12 else None,
        caster=drive.caster,
    )
    # Some files keep a row for every ray, at the origin where nothing came back.
    empty_rows = int(len(capture) * rng.uniform(0.02, 0.2)) if rng.random() < 0.05 else 0
    return scan._replace(sensor=drive.sensor, empty_rows=empty_rows)


class _Drive:
    """A vehicle or robot with sensors on a street.

    Attributes:
        caster: the scene.
        sensor: (3,) position of the sensor in the last sweep in world metres.
    """

    def __init__(self, caster: RayCaster, builder: SceneBuilder, rng: Rng) -> None:
        """Draw how the vehicle stands and moves."""
        self.caster = caster
        self.sensor: F64 = np.zeros(3)
        self._builder, self._rng = builder, rng
        self._yaw = builder.plan.heading(builder.sensor[0]) + float(rng.normal(0, 0.05))
        self._step_m = float(rng.uniform(0, 1.4))
        is_turning = rng.random() < 0.2
        self._motion = Motion(
            self._step_m * 10,
            float(rng.normal(0, 0.3)) if is_turning else 0.0,
            is_removed=bool(rng.random() < 0.8),
        )

    def _pose(self, sweep: int, height_m: float, tilt: F64) -> Pose:
        """Return the sensor's pose in a sweep, 0 the last one."""
        plan, (s, t) = self._builder.plan, self._builder.sensor
        x, y, z = plan.world_point(s - sweep * self._step_m, t)
        # The vehicle pitches with the land between its axles, 1.5 m before and behind.
        ahead = np.array([np.cos(self._yaw), np.sin(self._yaw)]) * 1.5
        land = plan.terrain.height(
            np.array([x + ahead[0], x - ahead[0]]), np.array([y + ahead[1], y - ahead[1]])
        )
        pitch = float(-np.arctan2(land[0] - land[1], 3.0) + tilt[0])
        if sweep == 0:
            self.sensor = np.array([x, y, z + height_m])
        return Pose((x, y, z + height_m), self._yaw, pitch, float(tilt[1]))

    def with_lidar(self, lidar: Lidar) -> tuple[Capture, str]:
        """Return one to eight sweeps of a LiDAR along the street, and what the sensor was."""
        rng = self._rng
        on_robot = lidar.name.startswith("os") and rng.random() < 0.6
        height_m = float(rng.uniform(0.6, 1.3) if on_robot else rng.uniform(1.6, 2.5))
        if lidar.name == "hdl64" and rng.random() < 0.6:
            # As on a station wagon.
            height_m = float(rng.uniform(1.65, 1.85))
        tilt = rng.normal(0, 0.03 if on_robot else 0.012, 2)
        # Sensors with few beams are mostly used with several sweeps.
        sweeps = [1, 1, 1, 1, 2, 3] if len(lidar.elevation_deg) > 32 else [1, 2, 4, 8]
        sweep_count = 1 if lidar.name.startswith("front") else int(rng.choice(sweeps))
        captures = [self._sweep(lidar, height_m, tilt, k) for k in range(sweep_count)]
        sensor = f"{lidar.name} x{sweep_count} {height_m:.1f}m"
        if lidar.name == "pandar64" and rng.random() < 0.7:
            # As PandaSet's vehicle, which has a second LiDAR that looks ahead.
            beams = np.linspace(-9, 6, 120, dtype=np.float32)
            front = Lidar("front_gt", beams, (-30, 30), 0.1, lidar.noise_m, 200.0)
            captures.append(self._sweep(front, height_m, tilt, 0))
            sensor += "+front_gt"
        return joined(captures), sensor

    def _sweep(self, lidar: Lidar, height_m: float, tilt: F64, number: int) -> Capture:
        pose = self._pose(number, height_m, tilt)
        return scan_with_lidar(self.caster, lidar, pose, self._rng, self._motion)

    def with_stack(self) -> tuple[Capture, str]:
        """Return the points of two small LiDARs, one above the other, and what they were."""
        rng = self._rng
        model = str(rng.choice(["vlp32", "vlp32", "vlp16", "hdl32"]))
        height_m, tilt = float(rng.uniform(1.5, 1.9)), rng.normal(0, 0.012, 2)
        sweep_count = int(rng.choice([1, 1, 2, 5]))
        captures = []
        for level in (0, 1):
            lidar = draw_specimen(rng, model)
            if level and rng.random() < 0.5:
                # The upper one hangs upside down.
                lidar = replace(lidar, elevation_deg=-lidar.elevation_deg)
            level_m = height_m + 0.15 * level
            captures += [self._sweep(lidar, level_m, tilt, k) for k in range(sweep_count)]
        return joined(captures), f"two {model} x{sweep_count} {height_m:.1f}m"

    def with_rosette(self) -> tuple[Capture, str]:
        """Return the points of a LiDAR whose laser prisms move, and what it was."""
        rng = self._rng
        rosette = draw_rosette(rng)
        height_m, tilt = float(rng.uniform(0.6, 2.4)), rng.normal(0, 0.03, 2)
        duration_s = float(rng.choice([0.1, 0.1, 0.2, 0.5, 1.0]))
        pose = self._pose(0, height_m, tilt)
        capture = scan_with_rosette(
            self.caster, rosette, pose, rng, duration_s=duration_s, motion=self._motion
        )
        return capture, f"{rosette.name} {duration_s:.1f}s {height_m:.1f}m"


def with_lane_markings(plan: GroundPlan, capture: Capture, rng: Rng) -> Capture:
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
