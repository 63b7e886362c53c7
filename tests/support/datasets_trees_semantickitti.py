"""SemanticKITTI in its official layout, written from a world of known points.

All 22 sequences: 00 with 13 frames, the others with one or two. 04 has its poses where KITTI puts
them, 05 no times, 11 to 21 no labels, and 21 no images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]

FRAMES = {"00": 13, "08": 2}
# Two numbers of lidar turn and two of camera: the sequences were recorded with several set-ups.
IMAGE_SIZES = {"00": (124, 38), "08": (122, 37)}
USUAL_SIZE = (123, 37)
P2 = np.array(
    [
        [71.8856, 0, 60.71928, 4.538225],
        [0, 71.8856, 18.52157, -0.01130887],
        [0, 0, 1, 0.003779761],
    ]
)
LIDAR_IN_CAMERA = np.array([-0.01198460, -0.0763, -0.2717806])
# Raw labels in turn: lower 16 bits the class, upper ones the instance.
NUMBERS = (40, 48, 50, 70, 10, 252, 254, 0, 99, 60, 259, 81, 7 << 16 | 10)


def lidar_to_camera() -> tuple[Floats, Floats]:
    """Turn and shift of the lidar's points into camera 0: x right, y down, z ahead."""
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    return _turn((0.004, -0.007, 0.011)) @ axes, LIDAR_IN_CAMERA


def camera_pose(frame: int) -> tuple[Floats, Floats]:
    """Turn and place of camera 0 in its own frame at the start."""
    turn = _turn((0.0, 0.031 * frame, 0.002 * frame))
    return turn, np.array([0.05 * frame**2, -0.01 * frame, 0.9 * frame])


def world_points() -> Floats:
    """(300, 3) points around the way, in the lidar's frame at the start: x ahead, z up."""
    rng = np.random.default_rng(8)
    return rng.uniform((-20, -15, -1.8), (40, 15, 4), (300, 3))


def points_seen(frame: int) -> Floats:
    """(300, 3) the points of the world as the lidar of a frame sees them."""
    turn, shift = lidar_to_camera()
    camera_turn, place = camera_pose(frame)
    at_start = world_points() @ turn.T + shift
    return ((at_start - place) @ camera_turn - shift) @ turn


def write_tree(root: Path) -> None:
    for number in range(22):
        _write_sequence(root / "dataset", f"{number:02d}")


def _write_sequence(root: Path, name: str) -> None:
    folder = root / "sequences" / name
    (folder / "velodyne").mkdir(parents=True)
    frames = range(FRAMES.get(name, 1))
    turn, shift = lidar_to_camera()
    rows = [f"P{camera}: {_text(P2)}" for camera in range(4)] + [f"Tr: {_text_of(turn, shift)}"]
    (folder / "calib.txt").write_text("\n".join(rows) + "\n")
    poses = root / "poses" / f"{name}.txt" if name == "04" else folder / "poses.txt"
    poses.parent.mkdir(exist_ok=True)
    poses.write_text("".join(f"{_text_of(*camera_pose(frame))}\n" for frame in frames))
    if name != "05":
        (folder / "times.txt").write_text("".join(f"{0.1037 * frame:.6e}\n" for frame in frames))
    for frame in frames:
        _write_frame(folder, name, frame)


def _write_frame(folder: Path, name: str, frame: int) -> None:
    rows = np.zeros((300, 4), dtype="<f4")
    rows[:, :3], rows[:, 3] = points_seen(frame), np.arange(300) / 300
    (folder / "velodyne" / f"{frame:06d}.bin").write_bytes(rows.tobytes())
    if int(name) <= 10:
        (folder / "labels").mkdir(exist_ok=True)
        numbers = np.resize(np.array(NUMBERS, dtype="<u4"), 300)
        (folder / "labels" / f"{frame:06d}.label").write_bytes(numbers.tobytes())
    if name != "21":
        (folder / "image_2").mkdir(exist_ok=True)
        image = Image.new("RGB", IMAGE_SIZES.get(name, USUAL_SIZE), (80, 90, 100))
        image.save(folder / "image_2" / f"{frame:06d}.png")


def _turn(angles: tuple[float, float, float]) -> Floats:
    """Turns about x, y and z, one after the other."""
    product = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        single = np.eye(3)
        single[a, a] = single[b, b] = c
        single[a, b], single[b, a] = -s, s
        product = single @ product
    return product


def _text_of(turn: Floats, shift: Floats) -> str:
    return _text(np.column_stack([turn, shift]))


def _text(matrix: Floats) -> str:
    """As KITTI writes numbers: seven digits."""
    return " ".join(f"{number:.6e}" for number in matrix.reshape(-1))
