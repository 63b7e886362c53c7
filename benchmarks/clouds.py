"""Simulated clouds to compare engines on, the same on every machine.

``lidar`` is one turn of a 64-beam scanner in a street, in cells of 5 cm; ``room`` is a furnished
room in cells of 2 cm; ``million`` is twelve turns along the street.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BEAMS = 64
AZIMUTHS = 1472
BEAM_DEGREES = (-24.8, 2.0)
SENSOR_HEIGHT_M = 1.73
FARTHEST_M = 90.0
RANGE_NOISE_M = 0.02
STREET_LENGTH_M = 240.0
TWIGS = 12
ROOM_M = (4.6, 3.4, 2.5)
ROOM_THINGS = 5


def lidar(share: float = 1.0) -> NDArray[np.int32]:
    """Return (M, 4) int32 batch, x, y, z of one scan, or of a sector with ``share`` of it."""
    return voxels(street_scan(0.0, 0, share), 0.05)


def room(share: float = 1.0) -> NDArray[np.int32]:
    """Return (M, 4) int32 batch, x, y, z of a room, or of ``share`` of its length."""
    return voxels(room_points(share), 0.02)


def million(share: float = 1.0) -> NDArray[np.int32]:
    """Return (M, 4) int32 batch, x, y, z of twelve scans, each 25 m after the one before."""
    scans = [street_scan(25.0 * (number - 5.5), number, share) for number in range(12)]
    return voxels(np.concatenate(scans), 0.05)


CLOUDS: dict[str, Callable[[float], NDArray[np.int32]]] = {
    "lidar": lidar,
    "room": room,
    "million": million,
}


def voxels(xyz: Floats, size_m: float) -> NDArray[np.int32]:
    """Return (M, 4) int32 occupied cells: batch 0, x, y, z; none negative, x slowest."""
    cells = np.floor(xyz / size_m).astype(np.int32)
    cells = np.unique(cells - cells.min(axis=0), axis=0)
    return np.insert(cells, 0, 0, axis=1)


def street_scan(along_m: float, seed: int, share: float) -> Floats:
    """Return (P, 3) metres: points that the scanner sees at ``along_m`` along the street."""
    draw = np.random.default_rng(seed)
    origin = np.array([along_m, 0.0, SENSOR_HEIGHT_M])
    pitch = np.radians(np.linspace(*BEAM_DEGREES, BEAMS))[:, None]
    turn = np.linspace(-np.pi, np.pi, AZIMUTHS, endpoint=False)[: int(AZIMUTHS * share)]
    across = np.cos(pitch) * np.sin(turn)
    rays = np.stack(
        (np.cos(pitch) * np.cos(turn), across, np.broadcast_to(np.sin(pitch), across.shape)), axis=2
    )
    range_m = cast(origin, turn, rays, street())
    seen = range_m < FARTHEST_M
    range_m = range_m[seen] + draw.normal(0, RANGE_NOISE_M, int(seen.sum()))
    return origin + rays[seen] * range_m[:, None]


def street() -> Floats:
    """Return (B, 2, 3) metres: low and high corners of the boxes of a street."""
    draw = np.random.default_rng(7)
    end = STREET_LENGTH_M
    boxes = [[(-end, -80.0, -1.0), (end, 80.0, 0.0)]]
    for side in (-1, 1):
        boxes.append(roadside_box(side, (-end, 6.8, -1.0), (2 * end, 70.0, 1.15)))
        at = -end
        while at < end:
            front, length = 10 + draw.uniform(0, 6), draw.uniform(8, 25)
            boxes.append(roadside_box(side, (at, front, 0.0), (length, 15.0, draw.uniform(5, 18))))
            at += length + draw.choice([0.0, 3.0, 9.0])
        for x in np.arange(-end, end, 6.5):
            if draw.random() < 0.55:
                boxes.append(
                    roadside_box(side, (x + draw.uniform(0, 2), 4.6, 0.0), (4.3, 1.8, 1.5))
                )
            if draw.random() < 0.6:
                boxes.append(roadside_box(side, (x, 7.4, 0.0), (0.25, 0.25, draw.uniform(3, 8))))
            for _ in range(draw.integers(0, TWIGS)):
                middle = draw.normal((x, 7.6, 3.2), (1.3, 1.0, 1.1))
                boxes.append(roadside_box(side, middle, draw.uniform(0.05, 0.4, 3)))
    return np.array(boxes)


def roadside_box(side: int, corner: Any, size: Any) -> list[Any]:
    """Return the low and high corner of a box left (1) or right (-1) of the street's middle."""
    low, high = np.asarray(corner), np.add(corner, size)
    ends = sorted((side * low[1], side * high[1]))
    return [(low[0], ends[0], low[2]), (high[0], ends[1], high[2])]


def cast(origin: Floats, turn: Floats, rays: Floats, boxes: Floats) -> Floats:
    """Return (beams, azimuths) metres along every ray to the first box, infinite without one.

    Only the azimuths that a box covers are tested.
    """
    nearest = np.full(rays.shape[:2], np.inf)
    with np.errstate(divide="ignore"):
        inverse = 1 / rays
    for low, high in boxes - origin:
        columns = covered(turn, low, high)
        one, other = low * inverse[:, columns], high * inverse[:, columns]
        enter = np.minimum(one, other).max(axis=2)
        leave = np.maximum(one, other).min(axis=2)
        hit = (enter < leave) & (enter > 0)
        nearest[:, columns] = np.minimum(nearest[:, columns], np.where(hit, enter, np.inf))
    return nearest


def covered(turn: Floats, low: Floats, high: Floats) -> NDArray[np.bool_] | slice:
    """Return which azimuths a box covers, seen from the origin; all, if the origin is inside."""
    if low[0] <= 0 <= high[0] and low[1] <= 0 <= high[1]:
        return slice(None)
    middle = np.arctan2(low[1] + high[1], low[0] + high[0])
    corners = [np.arctan2(y, x) for x in (low[0], high[0]) for y in (low[1], high[1])]
    reach = max(abs(wrapped(corner - middle)) for corner in corners)
    return np.abs(wrapped(turn - middle)) <= reach


def wrapped(angle: Any) -> Any:
    """Return the same angles between −π and π."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def room_points(share: float, density: float = 1520.0) -> Floats:
    """Return (P, 3) metres: ``density`` points per square metre on walls and furniture."""
    draw = np.random.default_rng(11)
    length, width, height = ROOM_M
    faces = [rectangle(draw, density, (0, 0, z), (length, width, 0)) for z in (0.0, height)]
    faces += [rectangle(draw, density, (0, y, 0), (length, 0, height)) for y in (0.0, width)]
    faces += [rectangle(draw, density, (x, 0, 0), (0, width, height)) for x in (0.0, length)]
    for _ in range(ROOM_THINGS):
        size = draw.uniform((0.4, 0.4, 0.4), (1.4, 0.9, 1.3))
        corner = draw.uniform((0, 0, 0), (length - size[0], width - size[1], 0.01))
        for axis in range(3):
            flat = size.copy()
            flat[axis] = 0
            for step in (0.0, size[axis]):
                start = corner.copy()
                start[axis] += step
                faces.append(rectangle(draw, density, start, flat))
    xyz = np.concatenate(faces) + draw.normal(0, 0.002, (sum(map(len, faces)), 3))
    return xyz[xyz[:, 0] < length * share]


def rectangle(draw: np.random.Generator, density: float, corner: Any, size: Any) -> Floats:
    """Return (P, 3) random points on an axis-parallel rectangle with a corner and edge lengths."""
    edges = np.asarray(size, dtype=np.float64)
    area = float(np.prod(edges[edges > 0]))
    return np.asarray(corner) + draw.random((int(area * density), 3)) * edges
