"""Two scans of ScanNet v2 in its official layout: one exported by SensReader, one of the 25k."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement
from posed_camera import CX, CY, FX, FY, POINT, WORLD_FROM_CAMERA, write_depth, write_image

EXPORTED, SAMPLED = "scene0191_00", "scene0568_00"
NYU40 = (0, 1, 2, 39, 40, 13)


def write_mesh(path: Path, points: int, labels: np.ndarray | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    xyz = np.random.default_rng(points).uniform((-1, 4, 1), (3, 9, 4), (points, 3))
    xyz[0] = POINT[0]
    names = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    names += [("alpha", "u1")] + ([("label", "<u2")] if labels is not None else [])
    rows = np.zeros(points, dtype=names)
    for place, axis in enumerate("xyz"):
        rows[axis] = xyz[:, place]
    rows["red"] = np.arange(points) % 200
    if labels is not None:
        rows["label"] = labels
    faces = np.array([((0, 1, 2),)], dtype=[("vertex_indices", "i4", (3,))])
    PlyData(
        [PlyElement.describe(rows, "vertex"), PlyElement.describe(faces, "face")], byte_order="<"
    ).write(path)


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(" ".join(f"{n:f}" for n in row) for row in matrix) + "\n")


def intrinsics(fx: float = FX, fy: float = FY, cx: float = CX, cy: float = CY) -> np.ndarray:
    matrix = np.eye(4)
    matrix[[0, 1, 0, 1], [0, 1, 2, 2]] = fx, fy, cx, cy
    return matrix


def write_scan(root: Path, name: str) -> None:
    scan = root / "scans" / name
    write_mesh(scan / f"{name}_vh_clean_2.ply", 60, None)
    write_mesh(scan / f"{name}_vh_clean_2.labels.ply", 60, np.resize(NYU40, 60))
    facts = "axisAlignment = 1 0 0 4 0 1 0 5 0 0 1 6 0 0 0 1\ncolorHeight = 80\ncolorWidth = 128\n"
    (scan / f"{name}.txt").write_text(facts, encoding="utf-8")


def write_tree(root: Path) -> None:
    for name in (EXPORTED, SAMPLED):
        write_scan(root, name)
    exported = root / "scans" / EXPORTED
    for number in (2, 9, 10):
        write_image(exported / "color" / f"{number}.jpg")
        write_depth(exported / "depth" / f"{number}.png")
        lost = np.full((4, 4), -np.inf)
        pose = lost if number == 9 else WORLD_FROM_CAMERA
        write_matrix(exported / "pose" / f"{number}.txt", pose)
    write_matrix(exported / "intrinsic" / "intrinsic_color.txt", intrinsics())
    sampled = root / "scannet_frames_25k" / SAMPLED
    write_image(sampled / "color" / "000100.jpg")
    write_depth(sampled / "depth" / "000100.png")
    write_matrix(sampled / "pose" / "000100.txt", WORLD_FROM_CAMERA)
    write_matrix(sampled / "intrinsics_color.txt", intrinsics())
