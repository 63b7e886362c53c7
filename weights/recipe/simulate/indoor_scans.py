"""Scans of rooms: fused depth images, single images, terrestrial and hand-held laser scanners."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.captures import Capture, joined, thinned
from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.depth_fusion import FusionOptions, fuse
from weights.recipe.simulate.depth_images import (
    draw_depth_camera,
    draw_path,
    drifted,
    free_spots,
    take_images,
)
from weights.recipe.simulate.labelled_scan import Scan
from weights.recipe.simulate.lidars import Lidar, Pose, scan_with_lidar
from weights.recipe.simulate.materials import material_index, to_srgb
from weights.recipe.simulate.pieces import read_pieces
from weights.recipe.simulate.primitives import F32, F64, U8, U16, Mesh, Rng
from weights.recipe.simulate.radiometry import draw_laser_response
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.room import Rectangle
from weights.recipe.simulate.room_light import RoomLight, draw_room_light
from weights.recipe.simulate.room_scene import RoomScene, draw_rooms

# Sensors and how often each is drawn.
SENSORS = {
    "fusion": 0.50,
    "tripod images": 0.10,
    "terrestrial": 0.11,
    "slam": 0.08,
    "phone": 0.08,
    "photos": 0.06,
    "images": 0.07,
}
# Scans of more than this are thinned to it in most data sets of fused rooms.
_USUAL_POINTS = 50_000
_MOST_AREA_M2 = 90.0
_OUTDOORS = (
    "building", "grass", "road", "sidewalk", "tree crown", "tree trunk", "railing",
)  # fmt: skip


def indoor_scan(rng: Rng, meshes: Path | None, sensor: str | None = None) -> Scan:
    """Return a scan of random rooms.

    Args:
        rng: decides everything.
        meshes: folder with archives of ready-made meshes, or None; see `read_pieces`.
        sensor: a name of `SENSORS`; None draws one.
    """
    if sensor is None:
        share = np.array(list(SENSORS.values()))
        sensor = str(rng.choice(list(SENSORS), p=share / share.sum()))
    scene = draw_rooms(rng, read_pieces(meshes), ceiling=bool(rng.random() < 0.95))
    floors = _scanned_rooms(scene, rng)
    caster = RayCaster(_as_measured(scene.mesh, rng))
    light = draw_room_light(rng, scene)
    if sensor in ("fusion", "phone", "photos", "tripod images"):
        xyz, label, rgb = _fused(caster, floors, light, rng, sensor)
        scan = Scan(xyz, label, "", _with_faults(rgb, rng))
    elif sensor == "images":
        scan = _images(caster, floors, light, rng)
    elif sensor == "terrestrial":
        scan = _terrestrial(caster, floors, light, rng)
    else:
        scan = _carried(caster, floors, rng)
    scan = _view_through_windows(scan, scene, rng)
    return scan._replace(xyz=scan.xyz @ _turn(rng).T, description=f"{scene.kinds}/{sensor}")


def _scanned_rooms(scene: RoomScene, rng: Rng) -> list[Rectangle]:
    """Return the floors of the rooms that are scanned: one, or a few that are not too large."""
    wanted = int(rng.choice([1, 1, 2, len(scene.floors)]))
    chosen: list[Rectangle] = []
    area = 0.0
    first = int(rng.integers(len(scene.floors)))
    # Rooms near the first one come next.
    middle = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for x0, x1, y0, y1 in scene.floors])
    order = np.argsort(np.linalg.norm(middle - middle[first], axis=1))
    for number in order[:wanted]:
        x0, x1, y0, y1 = scene.floors[int(number)]
        if chosen and area + (x1 - x0) * (y1 - y0) > _MOST_AREA_M2:
            break
        area += (x1 - x0) * (y1 - y0)
        chosen.append(scene.floors[int(number)])
    return chosen


def _as_measured(mesh: Mesh, rng: Rng) -> Mesh:
    """Return the scene as this scanner meets it: some mirrors and panes are as if opaque.

    Whether a mirror shows a room behind it or itself, and whether a pane is seen, depends on the
    sensor, the light and the dirt.
    """
    material = mesh.material.copy()
    if rng.random() < 0.6:
        material[material == material_index("mirror")] = material_index("whiteboard")
    if rng.random() < 0.35:
        pane = material == material_index("glass")
        # Both triangles of a pane, and their neighbours, are alike.
        lot = rng.random(len(material) // 64 + 1)[np.arange(len(material)) // 64]
        material[pane & (lot < 0.6)] = material_index("frosted_glass")
    return replace(mesh, material=material)


def _view_through_windows(scan: Scan, scene: RoomScene, rng: Rng) -> Scan:
    """Return a scan where what is outdoors has no label, or counts as the window.

    Annotators of depth images often count what is close behind a pane as the window. Many scans
    are cut off near the walls.
    """
    outdoors = np.isin(scan.label, [concept_index(name) for name in _OUTDOORS])
    floors = np.asarray(scene.floors)
    low, high = floors[:, [0, 2]].min(axis=0), floors[:, [1, 3]].max(axis=0)
    # (N,) metres outside of the rectangle around all rooms.
    away = np.maximum(low - scan.xyz[:, :2], scan.xyz[:, :2] - high).max(axis=1)
    is_pane = outdoors & (away < 2) & (rng.random() < 0.4)
    label = np.where(outdoors, np.uint16(concept_index("unlabeled")), scan.label)
    label = np.where(is_pane, np.uint16(concept_index("window")), label)
    reach = float(rng.choice([3.0, 10.0, np.inf]))
    kept = away < reach
    return scan._replace(
        xyz=scan.xyz[kept],
        label=label[kept],
        rgb=None if scan.rgb is None else scan.rgb[kept],
        intensity=None if scan.intensity is None else scan.intensity[kept],
    )


def _turn(rng: Rng) -> F32:
    """Return a (3, 3) rotation by up to 3°: many scans are not quite upright."""
    angles = rng.normal(0, 0.012, 2) * (rng.random() < 0.5)
    tilt = np.array([[1, 0, angles[0]], [0, 1, angles[1]], [-angles[0], -angles[1], 1]])
    return tilt.astype(np.float32)


def _fused(
    caster: RayCaster, floors: list[Rectangle], light: RoomLight, rng: Rng, sensor: str
) -> tuple[F32, U16, F32]:
    """Return vertices, labels and colours of a room fused from depth images."""
    area = sum((x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors)
    kind = {"fusion": "structured", "tripod images": "tripod"}.get(sensor, sensor)
    camera = draw_depth_camera(rng, kind)
    if sensor == "tripod images":
        poses = _tripod_poses(rng, caster, floors)
        estimated = drifted(rng, poses, 0.003, 0.001)
    else:
        frames = int(np.clip(area * rng.uniform(2.2, 5.0), 26, 90))
        coverage = float(rng.choice([1.0, 1.0, rng.uniform(0.35, 1.0)]))
        poses = draw_path(rng, caster, floors, frames, coverage=coverage)
        drift = float(rng.choice([0.004, 0.008, 0.015, 0.03]))
        estimated = drifted(rng, poses, drift, drift * 0.4)
    measured = take_images(caster, camera, poses, estimated, light, rng)
    # Walls must not lie along the grid of the fusion.
    yaw = float(rng.uniform(0, 2 * np.pi))
    measured = replace(
        measured,
        origin=_about_z(measured.origin, yaw),
        direction=_about_z(measured.direction, yaw),
    )
    voxel = float(np.exp(rng.uniform(np.log(0.014), np.log(0.032))))
    if sensor == "phone":
        voxel = float(rng.uniform(0.03, 0.06))
    voxel = voxel * float(np.clip(area / 40, 1, 1.6))
    clean = rng.random() < 0.7
    options = FusionOptions(
        voxel,
        float(np.clip(rng.uniform(0.04, 0.1), 2.6 * voxel, 4.5 * voxel)),
        float(rng.choice([0.2, 0.5, 1.0])),
        voxel * float(rng.choice([rng.uniform(1.1, 1.8)] * 4 + [0.0])),
        float(rng.choice([0.0, 0.3, 0.6])),
        float(rng.choice([0.0, 0.5, 0.8])),
        int(rng.integers(20, 200)) if clean else 4,
    )
    xyz, label, rgb = fuse(measured, options, rng)
    if len(xyz) > _USUAL_POINTS and rng.random() < 0.65:
        kept = np.sort(rng.permutation(len(xyz))[:_USUAL_POINTS])
        xyz, label, rgb = xyz[kept], label[kept], rgb[kept]
    return _about_z(xyz, -yaw), label, rgb


def _about_z(xyz: F32, yaw: float) -> F32:
    """Return (N, 3) points turned about z by an angle in radians."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = xyz.T
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1).astype(np.float32)


def _tripod_poses(rng: Rng, caster: RayCaster, floors: list[Rectangle]) -> list[Pose]:
    """Return poses of a head that takes three rings of images at a few places per room."""
    poses = []
    for floor in floors:
        x0, x1, y0, y1 = floor
        places = int(np.clip((x1 - x0) * (y1 - y0) / rng.uniform(7, 16), 1, 5))
        height = float(rng.uniform(1.3, 1.6))
        for x, y in free_spots(rng, caster, floor, places, height)[:places]:
            start = float(rng.uniform(0, 2 * np.pi))
            for pitch in (-0.7, 0.0, 0.7):
                for turn in np.arange(6) * np.pi / 3:
                    position = (float(x), float(y), height)
                    poses.append(Pose(position, start + float(turn), pitch, 0.0))
    return poses[:54]


def _images(caster: RayCaster, floors: list[Rectangle], light: RoomLight, rng: Rng) -> Scan:
    """Return the pixels of one to four depth images, not fused."""
    camera = draw_depth_camera(rng, str(rng.choice(["structured", "structured", "phone"])))
    camera = replace(camera, columns=256, rows=192, noise_patch=camera.noise_patch * 2)
    count = int(rng.choice([1, 1, 2, 4]))
    path = draw_path(rng, caster, floors[:1], 24, coverage=0.4)
    for _ in range(6):
        first = int(rng.integers(len(path)))
        poses = [path[(first + k) % len(path)] for k in range(count)]
        estimated = drifted(rng, poses, 0.01, 0.004) if count > 1 else poses
        measured = take_images(caster, camera, poses, estimated, light, rng)
        # An image of nothing but a near wall says little.
        if len(measured.range_m) > 8000 and len(np.unique(measured.label)) > 3:
            break
    xyz = measured.origin + measured.direction * measured.range_m[:, None]
    rgb = _with_faults(measured.rgb, rng)
    kept = np.arange(len(xyz))
    if rng.random() < 0.6:
        size = float(rng.uniform(0.008, 0.03))
        _, kept = np.unique(np.floor(xyz / size).astype(np.int64), axis=0, return_index=True)
    return Scan(xyz[kept], measured.label[kept], "", rgb[kept] if rgb is not None else None)


def _terrestrial(caster: RayCaster, floors: list[Rectangle], light: RoomLight, rng: Rng) -> Scan:
    """Return a scan from a few positions of a laser scanner on a tripod, mostly with colours."""
    step = float(rng.uniform(0.22, 0.45))
    beams = np.arange(-62, 90, step, dtype=np.float32)
    # Data sets for tests of robustness add noise of up to 8 cm.
    usual = rng.random() < 0.9
    scans = []
    for floor in floors:
        x0, x1, y0, y1 = floor
        places = int(np.clip((x1 - x0) * (y1 - y0) / rng.uniform(10, 30), 1, 3))
        height = float(rng.uniform(1.2, 1.8))
        for x, y in free_spots(rng, caster, floor, places, height)[:places]:
            noise = float(rng.uniform(0.001, 0.005)) if usual else float(rng.uniform(0.01, 0.08))
            lidar = Lidar("terrestrial", beams, (0, 360), step, noise, 60.0, 0.4, mixed=0.5)
            pose = Pose((float(x), float(y), height), float(rng.uniform(0, 6)), 0.0, 0.0)
            scans.append(scan_with_lidar(caster, lidar, pose, rng))
    capture = thinned(joined(scans), float(rng.uniform(0.008, 0.035)), rng)
    rgb = _photographed(capture, light, caster, rng) if rng.random() < 0.75 else None
    intensity = draw_laser_response(rng).intensity(capture, rng) if rng.random() < 0.7 else None
    return Scan(capture.xyz, capture.label, "", rgb, intensity)


def _carried(caster: RayCaster, floors: list[Rectangle], rng: Rng) -> Scan:
    """Return a scan of a spinning LiDAR that is carried through rooms, 1 to 4 cm noisy."""
    beams = int(rng.choice([16, 16, 32, 64]))
    highest = float(rng.uniform(15, 45))
    elevation = np.linspace(-highest, highest, beams, dtype=np.float32)
    noise, error = float(rng.uniform(0.006, 0.03)), float(rng.choice([0.005, 0.015, 0.03]))
    sweeps = []
    for floor in floors:
        height = float(rng.uniform(1.0, 1.9))
        spots = free_spots(rng, caster, floor, max(240 // beams // len(floors), 4), height)
        for x, y in spots:
            tilt = rng.normal(0, 0.5, 2)
            lidar = Lidar("carried", elevation, (0, 360), 0.5, noise, 40.0, 0.4, mixed=0.4)
            pose = Pose(
                (float(x), float(y), height),
                float(rng.uniform(0, 6)),
                float(tilt[0]),
                float(tilt[1]),
            )
            sweep = scan_with_lidar(caster, lidar, pose, rng)
            # The estimated pose of each sweep is a little wrong.
            shift = rng.normal(0, error, 3) * [1, 1, 0.5]
            sweeps.append(replace(sweep, xyz=sweep.xyz + shift.astype(np.float32)))
    capture = thinned(joined(sweeps), float(rng.uniform(0.015, 0.05)), rng)
    intensity = draw_laser_response(rng).intensity(capture, rng) if rng.random() < 0.6 else None
    return Scan(capture.xyz, capture.label, "", None, intensity)


def _photographed(capture: Capture, light: RoomLight, caster: RayCaster, rng: Rng) -> U8 | None:
    """Return colours of points as the panorama of a scanner has them."""
    linear = light.seen(capture, caster, rng)
    target = float(np.exp(rng.uniform(np.log(0.18), np.log(0.5))))
    gain = target / max(float(np.percentile(linear.mean(axis=1), 60)), 1e-4)
    value = linear * gain * np.exp(rng.normal(0, 0.07, 3)).astype(np.float32)
    # High dynamic range images are pressed together before they clip.
    value = value / (1 + 0.4 * value)
    srgb = to_srgb(np.clip(value, 0, 1).astype(np.float32)).astype(np.float32)
    return _with_faults(srgb + rng.normal(0, 3, srgb.shape), rng)


def _with_faults(rgb: F32 | F64, rng: Rng) -> U8 | None:
    """Return uint8 colours: as they are, or grey, or none, as some files have them."""
    kind = float(rng.random())
    if kind < 0.06:
        return None
    values = np.clip(np.nan_to_num(rgb), 0, 255)
    if kind < 0.10:
        values = np.repeat(values.mean(axis=1, keepdims=True), 3, axis=1)
    return np.asarray(np.round(values), dtype=np.uint8)


def label_names(label: U16) -> NDArray[np.str_]:
    """Return the names of the labels that occur, for descriptions and tests."""
    return np.asarray(concept_names())[np.unique(label)]
