"""Scans of facades and streets from near: mobile mapping vehicles and tripods outdoors."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from weights.recipe.simulate.captures import Capture, joined, thinned
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.driving_scans import with_lane_markings
from weights.recipe.simulate.facade_scene import draw_row
from weights.recipe.simulate.labelled_scan import Scan, finished
from weights.recipe.simulate.lidars import Lidar, Pose, scan_with_lidar
from weights.recipe.simulate.mesh_catalogue import read_catalogue
from weights.recipe.simulate.mobile_mapping import draw_profile_scanner, scan_along_path
from weights.recipe.simulate.primitives import F64, Rng
from weights.recipe.simulate.radiometry import draw_camera, draw_laser_response
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.scene_builder import SceneBuilder
from weights.recipe.simulate.street_scene import draw_street

_STREETS = ("residential", "suburb", "downtown", "oldtown", "commercial", "campus")


def mobile_scan(rng: Rng, meshes: Path | None = None) -> Scan:
    """Return a scan of a row of facades, or of a street, by a profile scanner or a tripod."""
    if rng.random() < 0.65:
        return facade_scan(rng, meshes)
    return street_survey(rng, meshes)


def facade_scan(rng: Rng, meshes: Path | None = None) -> Scan:
    """Return a scan of a row of facades from 3 to 15 m, points 2 to 10 cm apart."""
    row, half = draw_row(rng, read_catalogue(meshes))
    caster = RayCaster(row)
    distance_m = float(rng.uniform(3.5, 15))
    spacing_m = float(np.exp(rng.uniform(np.log(0.02), np.log(0.1))))
    # Rather denser than that, to be thinned afterwards.
    scanner = draw_profile_scanner(rng, spacing_m * 0.8, distance_m)
    scanner = replace(scanner, highest_deg=100.0)
    x = np.arange(-half - 12, half + 12, 0.5)
    sway = float(rng.uniform(0, 0.4)) * np.sin(x / float(rng.uniform(5, 20)))
    path = np.stack([x, -distance_m + sway, np.full(len(x), -0.12)], axis=1)
    parts = [scan_along_path(caster, scanner, path, rng)]
    if scanner.skew_deg and rng.random() < 0.6:
        parts.append(
            scan_along_path(caster, replace(scanner, skew_deg=-scanner.skew_deg), path, rng)
        )
    capture = joined(parts)
    capture = capture[
        (np.abs(capture.xyz[:, 0]) < half + 1) & (capture.xyz[:, 1] > -distance_m * 0.7)
    ]
    if rng.random() < 0.7:
        capture = thinned(capture, spacing_m, rng)
    sensor = f"profile {distance_m:.0f}m {spacing_m * 100:.0f}cm"
    if rng.random() < 0.55:
        capture = _facade_alone(capture, rng)
        sensor += " cut out"
    return _with_values(capture, f"facade/{sensor}", caster, rng)


def _facade_alone(capture: Capture, rng: Rng) -> Capture:
    """Return what data sets of facades label: walls, windows and doors, and nothing else.

    Lowered shutters of shops count as doors, those of windows as windows. At times a part is cut
    off, as data sets are made of single buildings.
    """
    label = capture.label.copy()
    for part, whole in (("garage door", "door"), ("shutter", "window")):
        label[label == concept_index(part)] = concept_index(whole)
    kept = np.isin(label, [concept_index(name) for name in ("facade wall", "window", "door")])
    low, high = np.quantile(capture.xyz[kept, 0], [0, 1]) if kept.any() else (0.0, 0.0)
    if high - low > 16 and rng.random() < 0.7:
        start = float(rng.uniform(low, high - 12))
        kept &= (capture.xyz[:, 0] > start) & (
            capture.xyz[:, 0] < start + float(rng.uniform(9, 24))
        )
    # Labelling tools cut at a distance behind the wall.
    kept &= capture.xyz[:, 1] < float(rng.uniform(0.8, 2))
    return replace(capture, label=label)[kept]


def street_survey(rng: Rng, meshes: Path | None = None) -> Scan:
    """Return a scan of a street by a vehicle with profile scanners, or from one to four tripods."""
    scene, builder, street_kind = draw_street(
        rng, read_catalogue(meshes), str(rng.choice(_STREETS))
    )
    caster = RayCaster(scene)
    spacing_m = float(rng.uniform(0.04, 0.12))
    if rng.random() < 0.6:
        sensor = "profile"
        capture = _driven(caster, builder, spacing_m, rng)
    else:
        sensor = "tripod outdoors"
        capture = _from_tripods(caster, builder, rng)
    half = float(rng.uniform(18, 40))
    place = np.array(builder.plan.world_point(*builder.sensor)[:2])
    capture = capture[np.abs(capture.xyz[:, :2] - place).max(axis=1) < half]
    capture = thinned(capture, spacing_m, rng)
    capture = with_lane_markings(builder.plan, capture, rng)
    return _with_values(capture, f"{street_kind}/{sensor} {spacing_m * 100:.0f}cm", caster, rng)


def _driven(caster: RayCaster, builder: SceneBuilder, spacing_m: float, rng: Rng) -> Capture:
    """Return the points of one or two profile scanners that are driven along the street."""
    scanner = draw_profile_scanner(rng, spacing_m, 10.0)
    path = _path(builder)
    parts = [scan_along_path(caster, scanner, path, rng, max_rays=400_000)]
    if scanner.skew_deg:
        other = replace(scanner, skew_deg=-scanner.skew_deg)
        parts.append(scan_along_path(caster, other, path, rng, max_rays=400_000))
    return joined(parts)


def _path(builder: SceneBuilder) -> F64:
    """Return (N, 3) points of the ground on the sensor's lane, 80 m of it."""
    s, t = builder.sensor
    return np.array([builder.plan.world_point(s + d, t) for d in np.arange(-40, 40, 1.0)])


def _from_tripods(caster: RayCaster, builder: SceneBuilder, rng: Rng) -> Capture:
    """Return the points of one to four tripods on sidewalks and road."""
    plan, (s, t) = builder.plan, builder.sensor
    beams = np.linspace(-55, 75, 330, dtype=np.float32)
    noise_m = float(np.exp(rng.uniform(np.log(0.001), np.log(0.006))))
    lidar = Lidar("tripod", beams, (0, 360), 0.42, noise_m, float(rng.uniform(50, 150)), 0.6, 0.15)
    captures = []
    for _ in range(int(rng.integers(1, 4))):
        where = plan.world_point(s + float(rng.normal(0, 12)), t + float(rng.normal(0, 2)))
        pose = Pose((where[0], where[1], where[2] + float(rng.uniform(1.4, 1.8))), 0.0, 0.0, 0.0)
        captures.append(scan_with_lidar(caster, lidar, pose, rng))
    return joined(captures)


def _with_values(capture: Capture, description: str, caster: RayCaster, rng: Rng) -> Scan:
    return finished(
        capture,
        description,
        rng,
        response=draw_laser_response(rng),
        camera=draw_camera(rng) if rng.random() < 0.4 else None,
        caster=caster,
    )
