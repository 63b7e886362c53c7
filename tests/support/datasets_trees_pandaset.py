"""Two drives of PandaSet in its official layout, with two frames and two cameras each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pandas_pickles import write_frame
from posed_camera import CX, CY, FX, FY, POINT, WORLD_FROM_CAMERA, write_image, write_json

DRIVES = ("001", "002")
FRAMES = ("00", "01")
CLASSES = {"5": "Vegetation", "7": "Road", "13": "Car", "42": "Other Static Object"}
VEHICLE = {  # a quarter turn to the left about z, at (1, 2, 0)
    "position": {"x": 1.0, "y": 2.0, "z": 0.0},
    "heading": {"w": 0.5**0.5, "x": 0.0, "y": 0.0, "z": 0.5**0.5},
}
CAMERA = {  # world from camera: a quarter turn about x, the other way than camera from world
    "position": dict(zip("xyz", WORLD_FROM_CAMERA[:3, 3].tolist(), strict=True)),
    "heading": {"w": 0.5**0.5, "x": -(0.5**0.5), "y": 0.0, "z": 0.0},
}


def points(seed: int, count: int = 80) -> np.ndarray:
    """(N, 3) points before the camera, the first of them the known one."""
    xyz = np.random.default_rng(seed).uniform((-1, 5, 1), (3, 9, 4), (count, 3))
    xyz[0] = POINT[0]
    return xyz


def write_drive(drive: Path) -> None:
    seconds = [1557539924.5, 1557539924.6]
    for number, frame in enumerate(FRAMES):
        xyz = points(number)
        columns = {axis: xyz[:, place].copy() for place, axis in enumerate("xyz")}
        columns["i"] = np.arange(80) * 3.0
        columns["t"] = np.full(80, seconds[number])
        columns["d"] = np.arange(80) % 2
        write_frame(drive / "lidar" / f"{frame}.pkl.gz", columns)
        labels = np.resize([0, 5, 7, 13, 42], 80)
        write_frame(drive / "annotations" / "semseg" / f"{frame}.pkl.gz", {"class": labels})
        for camera in ("front_camera", "left_camera"):
            write_image(drive / "camera" / camera / f"{frame}.jpg")
    write_json(drive / "annotations" / "semseg" / "classes.json", CLASSES)
    write_json(drive / "lidar" / "poses.json", [VEHICLE, VEHICLE])
    write_json(drive / "lidar" / "timestamps.json", seconds)
    write_json(drive / "meta" / "timestamps.json", seconds)
    for camera in ("front_camera", "left_camera"):
        folder = drive / "camera" / camera
        write_json(folder / "intrinsics.json", {"fx": FX, "fy": FY, "cx": CX, "cy": CY})
        write_json(folder / "poses.json", [CAMERA, CAMERA])
        write_json(folder / "timestamps.json", [second - 0.05 for second in seconds])


def write_tree(root: Path) -> None:
    for name in DRIVES:
        write_drive(root / name)
