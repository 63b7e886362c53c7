"""nuScenes in its official layout, written from a world of known points.

The ten scenes of v1.0-mini: two in full, which is 19 sweeps of which two are key frames, and eight
with one key frame. The vehicle drives and turns; every camera fires at a time of its own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]

VERSION = "v1.0-mini"
FULL_SCENES = ("scene-0061", "scene-0103")
SCENES = (
    "scene-0061", "scene-0103", "scene-0553", "scene-0655", "scene-0757",
    "scene-0796", "scene-0916", "scene-1077", "scene-1094", "scene-1100",
)  # fmt: skip
KEY_SWEEPS = (12, 18)
IMAGE_SIZE = (160, 90)
INTRINSICS = np.array([[126.6417, 0, 81.6267], [0, 126.6417, 49.1507], [0, 0, 1]])
LIDAR_SHIFT = np.array([0.943713, 0.0, 1.84023])
# Channel: where it looks (degrees left of the front), where it stands, and when it fires after the
# lidar (s).
CAMERAS = {
    "CAM_FRONT": (0.6, (1.70079, 0.01595, 1.51095), 0.012),
    "CAM_FRONT_RIGHT": (-56.4, (1.55084, -0.49340, 1.49574), 0.020),
    "CAM_BACK_RIGHT": (-110.0, (1.01482, -0.48056, 1.56239), 0.028),
    "CAM_BACK": (179.8, (0.02833, 0.00345, 1.57910), 0.037),
    "CAM_BACK_LEFT": (108.1, (1.03569, 0.48479, 1.59097), -0.003),
    "CAM_FRONT_LEFT": (55.1, (1.52387, 0.49463, 1.50932), 0.004),
}
# Numbers of lidarseg: the points of the world are labelled with these in turn.
NUMBERS = (24, 26, 28, 30, 17, 2, 6, 0, 31, 13)
CATEGORIES = (
    "noise", "animal", "human.pedestrian.adult", "human.pedestrian.child",
    "human.pedestrian.construction_worker", "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer", "human.pedestrian.stroller",
    "human.pedestrian.wheelchair", "movable_object.barrier", "movable_object.debris",
    "movable_object.pushable_pullable", "movable_object.trafficcone",
    "static_object.bicycle_rack", "vehicle.bicycle", "vehicle.bus.bendy", "vehicle.bus.rigid",
    "vehicle.car", "vehicle.construction", "vehicle.emergency.ambulance",
    "vehicle.emergency.police", "vehicle.motorcycle", "vehicle.trailer", "vehicle.truck",
    "flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain", "static.manmade",
    "static.other", "static.vegetation", "vehicle.ego",
)  # fmt: skip
# Of these, cars and pedestrians come as objects.
THINGS = (2, 6, 17)
EGO_RETURNS = np.array([[0.3, -0.4, -0.5], [-0.7, 0.2, -0.4]])

_START_US = 1_532_402_927_600_000
_SWEEP_S = 0.05


def turn_z(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def turn_x(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def ego_at(time_s: float) -> tuple[Floats, Floats]:
    """Turn and place of the vehicle in the map, seconds after the start of its scene."""
    turn = turn_z(0.3 + 0.4 * time_s) @ turn_x(0.01 + 0.02 * time_s)
    return turn, np.array([411.3 + 9 * time_s, 1180.9 + 2.5 * time_s, 0.0])


def lidar_turn() -> Floats:
    return turn_z(-np.pi / 2 + 0.01) @ turn_x(0.013)


def camera_turn(channel: str) -> Floats:
    """Vehicle from camera: the camera's z looks ahead, its y down."""
    ahead = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    return turn_z(np.deg2rad(CAMERAS[channel][0])) @ ahead @ turn_x(0.008)


def world_points() -> Floats:
    """(400, 3) points around the vehicle's way, in the map."""
    rng = np.random.default_rng(61)
    angle, distance = rng.uniform(0, 2 * np.pi, 400), rng.uniform(6, 30, 400)
    height = rng.uniform(-0.05, 4.0, 400)
    around = np.stack([distance * np.cos(angle), distance * np.sin(angle), height], axis=1)
    return around + ego_at(0.5)[1]


def time_of_sweep(sweep: int) -> float:
    return sweep * _SWEEP_S


def token(*parts: object) -> str:
    """A token of 32 hexadecimal digits, as nuScenes has them."""
    return hashlib.md5("-".join(str(part) for part in parts).encode()).hexdigest()


def panoptic_numbers(points: int) -> npt.NDArray[np.uint16]:
    """(N,) category * 1000 + object: two objects a category; every 50th point is in two boxes."""
    numbers = np.resize(np.array(NUMBERS), points)
    objects = np.where(np.isin(numbers, THINGS), 1 + np.arange(points) // 201, 0)
    return np.where(np.arange(points) % 50 == 4, 0, numbers * 1000 + objects).astype(np.uint16)


def write_tree(root: Path) -> None:
    tables: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in (
            "scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "lidarseg",
            "panoptic",
        )
    }  # fmt: skip
    tables["sensor"] = [
        {"token": token("s", name), "channel": name, "modality": kind}
        for name, kind in [
            *((name, "camera") for name in CAMERAS),
            ("LIDAR_TOP", "lidar"),
            ("RADAR_FRONT", "radar"),
        ]
    ]
    tables["category"] = [
        {"token": token("c", name), "name": name, "description": "", "index": index}
        for index, name in enumerate(CATEGORIES)
    ]
    for name in SCENES:
        _write_scene(root, name, tables)
    folder = root / VERSION
    folder.mkdir(parents=True)
    for name in ("sample_data", "ego_pose"):  # rows come in no order
        np.random.default_rng(len(name)).shuffle(tables[name])
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0), encoding="utf-8")


def _write_scene(root: Path, name: str, tables: dict[str, list[dict[str, Any]]]) -> None:
    full = name in FULL_SCENES
    keys, sweeps = (KEY_SWEEPS, KEY_SWEEPS[-1] + 1) if full else ((1,), 2)
    samples = [token(name, "k", key) for key in keys]
    ends = {"first_sample_token": samples[0], "last_sample_token": samples[-1]}
    tables["scene"].append(
        {"token": token(name), "name": name, "nbr_samples": len(samples), "description": "", **ends}
    )
    tables["sample"] += [
        {
            "token": own,
            "timestamp": _time_us(time_of_sweep(key)),
            "scene_token": token(name),
            "prev": before,
            "next": after,
        }
        for key, own, before, after in zip(
            keys, samples, ["", *samples], [*samples[1:], ""], strict=False
        )
    ]
    _add_sensors(name, tables)
    for sweep in range(sweeps):
        _write_sweep(root, name, sweep, keys, tables)
    for key in keys:
        for channel in CAMERAS:
            _write_image(root, name, key, channel, tables)


def _add_sensors(name: str, tables: dict[str, list[dict[str, Any]]]) -> None:
    placed = [("LIDAR_TOP", lidar_turn(), LIDAR_SHIFT), ("RADAR_FRONT", np.eye(3), LIDAR_SHIFT)]
    placed += [(c, camera_turn(c), np.array(CAMERAS[c][1])) for c in CAMERAS]
    tables["calibrated_sensor"] += [
        {
            "token": token(name, channel),
            "sensor_token": token("s", channel),
            "translation": shift.tolist(),
            "rotation": _quaternion(turn),
            "camera_intrinsic": INTRINSICS.tolist() if channel in CAMERAS else [],
        }
        for channel, turn, shift in placed
    ]


def _write_sweep(
    root: Path, scene: str, sweep: int, keys: tuple[int, ...], tables: dict[str, list[Any]]
) -> None:
    folder = "samples" if sweep in keys else "sweeps"
    file = f"{folder}/LIDAR_TOP/{scene}__LIDAR_TOP__{sweep:02d}.pcd.bin"
    turn, place = ego_at(time_of_sweep(sweep))
    in_vehicle = (world_points() - place) @ turn
    xyz = np.concatenate([(in_vehicle - LIDAR_SHIFT) @ lidar_turn(), EGO_RETURNS])
    rows = np.zeros((len(xyz), 5), dtype="<f4")
    rows[:, :3], rows[:, 3], rows[:, 4] = xyz, np.arange(len(xyz)) % 256, np.arange(len(xyz)) % 32
    _file(root, file).write_bytes(rows.tobytes())
    following = min(key for key in keys if key >= sweep)
    row = _row(scene, "LIDAR_TOP", sweep, following, file, time_of_sweep(sweep))
    row |= {"is_key_frame": sweep in keys, "fileformat": "pcd", "height": 0, "width": 0}
    row["prev"] = token(scene, "LIDAR_TOP", sweep - 1) if sweep else ""
    radar = _row(scene, "RADAR_FRONT", sweep, following, "sweeps/RADAR_FRONT/x.pcd", 0.0)
    tables["sample_data"] += [row, radar]
    tables["ego_pose"] += [_ego_row(row, time_of_sweep(sweep)), _ego_row(radar, 0.0)]
    if sweep in keys:
        labels = f"lidarseg/{VERSION}/{row['token']}_lidarseg.bin"
        numbers = np.resize(np.array(NUMBERS, dtype="u1"), len(rows))
        _file(root, labels).write_bytes(numbers.tobytes())
        tables["lidarseg"].append(
            {"token": row["token"], "filename": labels, "sample_data_token": row["token"]}
        )
        objects = f"panoptic/{VERSION}/{row['token']}_panoptic.npz"
        np.savez_compressed(_file(root, objects), data=panoptic_numbers(len(rows)))
        tables["panoptic"].append(tables["lidarseg"][-1] | {"filename": objects})


def _write_image(
    root: Path, scene: str, key: int, channel: str, tables: dict[str, list[Any]]
) -> None:
    time_s = time_of_sweep(key) + CAMERAS[channel][2]
    file = f"samples/{channel}/{scene}__{channel}__{key:02d}.jpg"
    Image.new("RGB", IMAGE_SIZE, (90, 120, 60)).save(_file(root, file))
    row = _row(scene, channel, key, key, file, time_s)
    row |= {"is_key_frame": True, "width": IMAGE_SIZE[0], "height": IMAGE_SIZE[1]}
    between = _row(scene, channel, f"{key}+", key, f"sweeps/{channel}/x.jpg", time_s + 0.08)
    tables["sample_data"] += [row, between]
    tables["ego_pose"] += [_ego_row(row, time_s), _ego_row(between, time_s + 0.08)]


def _row(
    scene: str, channel: str, number: object, key: int, file: str, time_s: float
) -> dict[str, Any]:
    own = token(scene, channel, number)
    return {
        "token": own,
        "sample_token": token(scene, "k", key),
        "ego_pose_token": own,
        "calibrated_sensor_token": token(scene, channel),
        "timestamp": _time_us(time_s),
        "fileformat": "jpg",
        "is_key_frame": False,
        "height": IMAGE_SIZE[1],
        "width": IMAGE_SIZE[0],
        "filename": file,
        "prev": "",
        "next": "",
    }


def _ego_row(row: dict[str, Any], time_s: float) -> dict[str, Any]:
    turn, place = ego_at(time_s)
    return {
        "token": row["ego_pose_token"],
        "timestamp": row["timestamp"],
        "rotation": _quaternion(turn),
        "translation": place.tolist(),
    }


def _time_us(time_s: float) -> int:
    return _START_US + round(time_s * 1e6)


def _file(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _quaternion(turn: Floats) -> list[float]:
    """(w, x, y, z): the eigenvector of Bar-Itzhack's matrix, good for every turn."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn
    k = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(k / 3)[1][:, -1]
    return [float(w), float(x), float(y), float(z)]
