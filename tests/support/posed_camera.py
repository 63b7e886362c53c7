"""One camera and one point whose pixel was computed by hand, described in every way.

The camera stands at (1, 2, 3) m and looks along +y; z is up. The point (2, 7, 2.5) lies in its
frame at (1, 0.5, 5): x/z = 0.2, y/z = 0.1, r² = 0.05.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from clip3d_cli.core.scenes import View, invert_pose, transform_points

SIZE = (128, 80)
FX, FY, CX, CY = 100.0, 110.0, 64.5, 40.25
DISTORTION = (0.1, 0.01, 0.001, 0.002)
WORLD_FROM_CAMERA = np.array(
    [[1.0, 0, 0, 1], [0, 0, 1, 2], [0, -1, 0, 3], [0, 0, 0, 1]], dtype=np.float64
)
QUATERNION = (0.5**0.5, 0.5**0.5, 0.0, 0.0)  # camera from world: a quarter turn about x
POINT = np.array([[2.0, 7.0, 2.5]])
PIXEL = (84.5, 51.25)  # 64.5 + 100 · 0.2, 40.25 + 110 · 0.1
# 1 + k1 r² + k2 r⁴ = 1.005025; x: 0.201005 + 2 p1 xy + p2 (r² + 2 x²) = 0.201305;
# y: 0.1005025 + p1 (r² + 2 y²) + 2 p2 xy = 0.1006525.
BENT_PIXEL = (64.5 + 20.1305, 40.25 + 11.071775)


def write_image(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)


def write_depth(path: Path, size: tuple[int, int] = (64, 40), steps: int = 5000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size[::-1], steps, dtype=np.uint16)).save(path)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def pixel_of(view: View, xyz: npt.NDArray[np.float64] = POINT) -> tuple[float, float]:
    """Where a view shows a point, by the equations of OpenCV's manual."""
    x, y, z = transform_points(view.camera_from_world, xyz)[0]
    assert z > 0
    x, y = x / z, y / z
    if view.lens == "fisheye":
        r = np.hypot(x, y)
        angle = np.arctan(r)
        bent = angle * (1 + sum(k * angle ** (2 * i + 2) for i, k in enumerate(view.distortion)))
        x, y = x * bent / r, y * bent / r
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*view.distortion, *(0.0,) * (8 - len(view.distortion)))
        r2 = x * x + y * y
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    u, v, _ = view.intrinsics @ (x, y, 1)
    return float(u), float(v)


def camera_entry(image: str, **changes: Any) -> dict[str, Any]:
    """The camera as ``cameras.json`` describes it."""
    entry = {
        "image": image,
        "intrinsics": [FX, FY, CX, CY],
        "world_from_camera": WORLD_FROM_CAMERA.tolist(),
        "distortion": list(DISTORTION),
    }
    entry.update(changes)
    return {key: value for key, value in entry.items() if value is not None}


def transforms(image: str, **changes: Any) -> dict[str, Any]:
    """The camera as nerfstudio describes it: y up, z back, pixels' middles at 0.5."""
    pose = WORLD_FROM_CAMERA @ np.diag([1.0, -1, -1, 1])
    k1, k2, p1, p2 = DISTORTION
    content = {
        "camera_model": "OPENCV",
        "fl_x": FX, "fl_y": FY, "cx": CX + 0.5, "cy": CY + 0.5, "w": SIZE[0], "h": SIZE[1],
        "k1": k1, "k2": k2, "p1": p1, "p2": p2,
        "applied_transform": [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]],
        "frames": [{"file_path": image, "transform_matrix": pose.tolist()}],
    }  # fmt: skip
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


OPENCV = (FX, FY, CX + 0.5, CY + 0.5, *DISTORTION)
_MODEL_NUMBERS = {
    "SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "RADIAL": 3, "OPENCV": 4,
    "OPENCV_FISHEYE": 5, "FULL_OPENCV": 6, "FOV": 7, "SIMPLE_RADIAL_FISHEYE": 8,
    "RADIAL_FISHEYE": 9, "THIN_PRISM_FISHEYE": 10,
}  # fmt: skip


def write_colmap_text(
    folder: Path, image: str, model: str = "OPENCV", params: tuple[float, ...] = OPENCV
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = " ".join(repr(n) for n in params)
    (folder / "cameras.txt").write_text(
        f"# Camera list\n7 {model} {SIZE[0]} {SIZE[1]} {numbers}\n", encoding="utf-8"
    )
    pose = " ".join(repr(float(n)) for n in (*QUATERNION, *_translation()))
    (folder / "images.txt").write_text(
        f"# Image list\n3 {pose} 7 {image}\n1.5 2.5 -1 7.0 8.0 4\n", encoding="utf-8"
    )


def write_colmap_binary(
    folder: Path, image: str, model: str = "OPENCV", params: tuple[float, ...] = OPENCV
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    head = struct.pack("<QiiQQ", 1, 7, _MODEL_NUMBERS[model], *SIZE)
    (folder / "cameras.bin").write_bytes(head + struct.pack(f"<{len(params)}d", *params))
    row = struct.pack("<Qi7di", 1, 3, *QUATERNION, *_translation(), 7)
    keypoints = struct.pack("<Qddqddq", 2, 1.5, 2.5, -1, 7.0, 8.0, 4)
    (folder / "images.bin").write_bytes(row + image.encode() + b"\0" + keypoints)


def write_colmap_points(folder: Path, xyz: npt.NDArray[np.float64], *, binary: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not binary:
        rows = [f"{n} {x} {y} {z} 10 20 30 0.5 3 0" for n, (x, y, z) in enumerate(xyz)]
        (folder / "points3D.txt").write_text("# points\n" + "\n".join(rows), encoding="utf-8")
        return
    body = struct.pack("<Q", len(xyz))
    for number, point in enumerate(xyz):
        body += struct.pack("<Q3d3BdQii", number, *point, 10, 20, 30, 0.5, 1, 3, 0)
    (folder / "points3D.bin").write_bytes(body)


def _translation() -> npt.NDArray[np.float64]:
    return invert_pose(WORLD_FROM_CAMERA)[:3, 3]
