"""Tables and desks, and the surfaces of pieces that things stand on.

A table stands on z = 0; the side where one sits at a desk is +x. Width is along y, depth along x.
"""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish, plain_finish
from weights.recipe.simulate.primitives import F64, Mesh, Rng, box, box_between, merge, tube
from weights.recipe.simulate.seating import legs, slanted_legs


@dataclass(frozen=True, slots=True)
class Top:
    """A horizontal rectangle that things can stand on, in the piece's frame.

    Attributes:
        x: first and last x in metres.
        y: first and last y in metres.
        z: height in metres.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    z: float


def find_top(mesh: Mesh, low_m: float = 0.25, high_m: float = 1.3) -> Top | None:
    """Return the largest horizontal level of a piece between two heights, or None.

    The rectangle spans 90 % of the extent of the triangles at that level, or of a round level as
    much as its circle holds.
    """
    corners = mesh.triangles.astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1) / 2
    middle = corners.mean(axis=1)
    flat = (np.abs(normal[:, 2]) > 1.9 * area) & (middle[:, 2] > low_m) & (middle[:, 2] < high_m)
    if not flat.any():
        return None
    level = np.round(middle[flat, 2] / 0.02).astype(np.int64)
    sums = np.bincount(level, area[flat])
    # Of levels of nearly the same area, such as both faces of a board, the highest.
    best = int(np.flatnonzero(sums > 0.8 * sums.max())[-1])
    rows = np.flatnonzero(flat)[np.abs(level - best) <= 1]
    points: F64 = corners[rows].reshape(-1, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    if min(high[0] - low[0], high[1] - low[1]) < 0.15:
        return None
    bounds = float((high[0] - low[0]) * (high[1] - low[1]))
    share = 0.9 if area[rows].sum() > 0.9 * bounds else 0.66
    middle_xy, half = (low + high) / 2, (high - low) / 2 * share
    return Top(
        (float(middle_xy[0] - half[0]), float(middle_xy[0] + half[0])),
        (float(middle_xy[1] - half[1]), float(middle_xy[1] + half[1])),
        float(points[:, 2].max()),
    )


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _table(rng: Rng, concept: str, size: tuple[float, float, float]) -> Mesh:
    """Return a table of (depth, width, height) metres, rectangular or round."""
    depth, width, height = size
    top = draw_finish(rng, "wood", "wood", "wood", "plastic", "tile", "glass")
    base = (
        top
        if top.material == "wood" and rng.random() < 0.7
        else draw_finish(rng, "wood", "steel", "chrome")
    )
    thickness = 0.012 if top.material == "glass" else _between(rng, 0.02, 0.06)
    if top.material == "glass" and rng.random() < 0.6:
        # Most glass tops are frosted or covered, or nothing would be measured of them.
        top = draw_finish(rng, "frosted_glass")
    kind = str(rng.choice(["legs", "legs", "legs", "slanted", "pedestal", "trestle"]))
    if abs(width - depth) < 0.25 and rng.random() < 0.6:
        radius = (width + depth) / 4
        plate = tube(concept, (0, 0, height - thickness), (0, 0, height), radius, sides=22)
        kind = str(rng.choice(["pedestal", "slanted"]))
        width = depth = radius * 1.5
    else:
        plate = box(concept, (depth, width, thickness), (0, 0, height - thickness))
    under = height - thickness
    if kind == "pedestal":
        stand = [
            tube(concept, (0, 0, 0), (0, 0, under), _between(rng, 0.03, 0.07)),
            tube(concept, (0, 0, 0), (0, 0, 0.03), min(width, depth) * 0.35, sides=14),
        ]
    elif kind == "trestle":
        stand = []
        for y in (-width * 0.36, width * 0.36):
            stand += [
                box(concept, (depth * 0.8, 0.06, 0.05), (0, y, 0)),
                box(concept, (0.1, 0.06, under), (0, y, 0)),
                box(concept, (depth * 0.75, 0.06, 0.05), (0, y, under - 0.05)),
            ]
        stand.append(box(concept, (0.05, width * 0.7, 0.08), (0, 0, height * 0.3)))
    elif kind == "slanted":
        stand = [slanted_legs(concept, width * 0.85, depth * 0.85, under, 0.03)]
    else:
        stand = legs(concept, width, depth, under, _between(rng, 0.03, 0.09))
        if rng.random() < 0.6:
            apron = _between(rng, 0.05, 0.1)
            stand.append(box(concept, (depth * 0.9, width * 0.9, apron), (0, 0, under - apron)))
    return merge([top.on(plate), base.on(*stand)])


def table(rng: Rng) -> Mesh:
    """Return a table of any use."""
    return _table(
        rng, "table", (_between(rng, 0.5, 1.1), _between(rng, 0.6, 2.2), _between(rng, 0.66, 0.78))
    )


def dining_table(rng: Rng) -> Mesh:
    """Return a dining table, at times with a tablecloth."""
    depth, width, height = (
        _between(rng, 0.75, 1.1),
        _between(rng, 0.8, 2.4),
        _between(rng, 0.71, 0.78),
    )
    mesh = _table(rng, "dining table", (depth, width, height))
    if rng.random() < 0.15:
        cloth = draw_finish(rng, "linen")
        drop = _between(rng, 0.1, 0.5)
        cover = box("tablecloth", (depth + 0.04, width + 0.04, drop), (0, 0, height - drop + 0.01))
        mesh = merge([mesh, cloth.on(cover)])
    return mesh


def coffee_table(rng: Rng) -> Mesh:
    """Return a coffee table, at times with a lower board."""
    depth, width, height = (
        _between(rng, 0.45, 0.8),
        _between(rng, 0.5, 1.4),
        _between(rng, 0.32, 0.5),
    )
    mesh = _table(rng, "coffee table", (depth, width, height))
    if rng.random() < 0.4:
        board = box("coffee table", (depth * 0.85, width * 0.85, 0.02), (0, 0, height * 0.35))
        mesh = merge([mesh, draw_finish(rng, "wood", "glass").on(board)])
    return mesh


def side_table(rng: Rng) -> Mesh:
    """Return a small table beside a seat."""
    size = _between(rng, 0.32, 0.6)
    return _table(
        rng, "side table", (size, size * _between(rng, 0.9, 1.2), _between(rng, 0.42, 0.68))
    )


def conference_table(rng: Rng, length: float) -> Mesh:
    """Return a long table for meetings, ``length`` metres along y."""
    width, height = _between(rng, 0.9, 1.5), _between(rng, 0.71, 0.76)
    top, base = (
        draw_finish(rng, "wood", "wood", "plastic"),
        draw_finish(rng, "wood", "steel", "chrome"),
    )
    ends = tube(
        "table", (0, -length / 2, height - 0.04), (0, -length / 2, height), width / 2, sides=20
    )
    plate = box("table", (width, length, 0.04), (0, 0, height - 0.04))
    rounded = rng.random() < 0.4
    shapes = [plate, ends, ends.moved((0, length, 0))] if rounded else [plate]
    stands = [
        box("table", (width * 0.5, 0.12, height - 0.04), (0, float(y), 0))
        for y in np.linspace(-length * 0.35, length * 0.35, max(int(length / 1.5), 2))
    ]
    return merge([top.on(*shapes), base.on(*stands)])


def desk(rng: Rng) -> Mesh:
    """Return a desk, straight or with a corner, mostly with drawers; without things on it."""
    width, depth, height = (
        _between(rng, 0.95, 1.9),
        _between(rng, 0.5, 0.85),
        _between(rng, 0.7, 0.78),
    )
    top = draw_finish(rng, "wood", "wood", "plastic")
    base = top if rng.random() < 0.5 else draw_finish(rng, "steel", "wood", "chrome")
    parts = [top.on(box("desk", (depth, width, 0.03), (0, 0, height - 0.03)))]
    side = float(rng.choice([-1, 1]))
    if rng.random() < 0.2:
        length = _between(rng, 0.5, 1.0)
        wing = box(
            "desk",
            (length, 0.55, 0.03),
            (depth / 2 + length / 2, side * (width / 2 - 0.28), height - 0.03),
        )
        parts += [
            top.on(wing),
            base.on(
                box(
                    "desk",
                    (0.05, 0.5, height - 0.03),
                    (depth / 2 + length - 0.03, side * (width / 2 - 0.28), 0),
                )
            ),
        ]
    if rng.random() < 0.5:
        parts.append(base.on(*legs("desk", width, depth, height - 0.03, _between(rng, 0.03, 0.06))))
    else:
        parts += [
            base.on(box("desk", (depth * 0.95, 0.03, height - 0.03), (0, y, 0)))
            for y in (-width / 2 + 0.02, width / 2 - 0.02)
        ]
    if rng.random() < 0.6:
        body = _drawers(rng, (depth * 0.85, 0.4, height - 0.15), base)
        parts.append(body.moved((0, side * (width / 2 - 0.24), 0.1)))
    if rng.random() < 0.5:
        panel = box_between(
            "desk", (-depth / 2, -width / 2, 0.25), (-depth / 2 + 0.02, width / 2, height - 0.03)
        )
        parts.append(base.on(panel))
    if rng.random() < 0.15:
        parts.append(top.on(_hutch(rng, depth, width, height)))
    return merge(parts)


def _drawers(rng: Rng, size: tuple[float, float, float], finish: Finish) -> Mesh:
    """Return a stack of drawers that belongs to a desk."""
    depth, width, height = size
    parts = [box("desk", size)]
    count = int(rng.integers(2, 4))
    for k in range(count):
        z = k * height / count + 0.01
        parts.append(
            box("desk", (0.02, width - 0.02, height / count - 0.02), (depth / 2 + 0.01, 0, z))
        )
        parts.append(
            box("desk", (0.02, 0.12, 0.015), (depth / 2 + 0.03, 0, z + height / count * 0.6))
        )
    return finish.on(*parts)


def _hutch(rng: Rng, depth: float, width: float, height: float) -> Mesh:
    """Return shelves on the back of a desk."""
    x, rise = -depth / 2 + 0.13, _between(rng, 0.3, 0.6)
    boards = [box("desk", (0.26, width, 0.02), (x, 0, height + rise * k)) for k in (0.5, 1.0)]
    sides = [box("desk", (0.26, 0.02, rise), (x, y, height)) for y in (-width / 2, 0, width / 2)]
    return merge([*boards, *sides])


def workbench(rng: Rng) -> Mesh:
    """Return a workbench with a thick top, a shelf below and at times a board behind."""
    width, depth, height = (
        _between(rng, 1.2, 2.4),
        _between(rng, 0.55, 0.8),
        _between(rng, 0.82, 0.95),
    )
    top, base = draw_finish(rng, "wood"), draw_finish(rng, "steel", "wood")
    parts = [
        top.on(box("workbench", (depth, width, 0.06), (0, 0, height - 0.06))),
        base.on(*legs("workbench", width, depth, height - 0.06, 0.07)),
        top.on(box("workbench", (depth * 0.9, width * 0.95, 0.03), (0, 0, 0.2))),
    ]
    if rng.random() < 0.5:
        board = box_between(
            "workbench",
            (-depth / 2 - 0.02, -width / 2, height),
            (-depth / 2, width / 2, height + 0.8),
        )
        parts.append(top.on(board))
    return merge(parts)


def ironing_board(rng: Rng) -> Mesh:
    """Return an ironing board on crossed legs, with or without an iron."""
    height, frame = _between(rng, 0.8, 0.95), draw_finish(rng, "steel", "chrome")
    cloth = draw_finish(rng, "linen")
    concept = "ironing board"
    parts = [cloth.on(box(concept, (0.36, 1.2, 0.04), (0, 0, height - 0.04), taper=(0.96, 0.98)))]
    for x in (-0.14, 0.14):
        parts.append(frame.on(tube(concept, (x, -0.4, 0), (x, 0.35, height - 0.04), 0.012)))
        parts.append(frame.on(tube(concept, (x, 0.4, 0), (x, -0.35, height - 0.04), 0.012)))
    if rng.random() < 0.5:
        iron = box("iron", (0.12, 0.26, 0.13), (0, 0.3, height), taper=(0.4, 0.7))
        parts.append(plain_finish("plastic", (0.3, 0.32, 0.4)).on(iron))
    return merge(parts)
