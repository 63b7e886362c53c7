"""Two scenes of the folder layout, described by ``cameras.json`` and by ``transforms.json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement
from posed_camera import camera_entry, transforms, write_depth, write_image, write_json

VOCABULARY = """
class = [
  { name = "floor", id = 3 },
  { name = "box", id = 1 },
]
"""


def room(points: int = 200, seed: int = 0) -> np.ndarray:
    """(N, 3) points before the camera."""
    return np.random.default_rng(seed).uniform((-1, 4, 1), (3, 9, 4), (points, 3))


def write_ply(path: Path, xyz: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([tuple(point) for point in xyz], dtype=[(axis, "f8") for axis in "xyz"])
    PlyData([PlyElement.describe(rows, "vertex")]).write(path)


def write_tree(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "vocabulary.toml").write_text(VOCABULARY, encoding="utf-8")
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_text("yard\n", encoding="utf-8")
    (root / "splits" / "val.txt").write_text("# judged\nhall\n", encoding="utf-8")
    hall, yard = root / "hall", root / "yard"
    write_ply(hall / "cloud.ply", room())
    np.save(hall / "labels.npy", np.resize([0, 1, 3], 200))
    write_image(hall / "images" / "a.png")
    write_depth(hall / "depth" / "a.png")
    write_ply(hall / "sweeps" / "earlier.ply", room(50, seed=1) - (0.5, 0, 0))
    shift = np.eye(4)
    shift[0, 3] = 0.5
    camera = camera_entry("images/a.png", depth="depth/a.png", depth_unit_m=0.001, time_s=2.0)
    sweep = {"cloud": "sweeps/earlier.ply", "world_from_sensor": shift.tolist(), "time_s": 1.9}
    write_json(hall / "cameras.json", {"cameras": [camera], "sweeps": [sweep], "time_s": 2.0})
    write_ply(yard / "sparse_pc.ply", room(120))
    write_image(yard / "images" / "b.jpg")
    content = transforms("images/b.jpg", ply_file_path="sparse_pc.ply")
    write_json(yard / "transforms.json", content)
