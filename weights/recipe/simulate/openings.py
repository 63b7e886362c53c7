"""Doors and windows with their frames, panes, blinds and curtains.

Everything is built in a wall's frame: x along the wall, the room on +y, z up. A door is its leaf
and its frame; a window is its frame, bars, pane and sill.
"""

from dataclasses import dataclass, replace

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish, plain_finish
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    loft,
    merge,
    quads,
    tube,
)


@dataclass(frozen=True, slots=True)
class Opening:
    """A hole in a wall.

    Attributes:
        wall: number of the wall.
        start: position of its left edge on the wall in metres.
        width: metres.
        sill: height of its lower edge above the floor in metres.
        top: height of its upper edge above the floor in metres.
        kind: "door", "window", "passage" (the other side of a neighbouring room's door) or "gap"
            (an opening without a door).
        outside: what is behind: "outdoors", "space" (a piece of another room) or "room".
    """

    wall: int
    start: float
    width: float
    sill: float
    top: float
    kind: str
    outside: str = "outdoors"


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def door(opening: Opening, rng: Rng, *, public: bool = False) -> Mesh:
    """Return a door: a frame and mostly one or two leaves, closed, ajar or open.

    Args:
        opening: where it is.
        rng: draws its looks.
        public: whether it is a door of an office or a corridor, with glass and steel.
    """
    a, b, top = opening.start, opening.start + opening.width, opening.top
    paint = draw_finish(rng, "wood", "wood", "ceiling_paint", "wall_paint")
    if public:
        paint = draw_finish(rng, "wood", "steel", "wall_paint", "ceiling_paint")
    frame = paint if rng.random() < 0.6 else draw_finish(rng, "wood", "steel", "ceiling_paint")
    casing, depth = _between(rng, 0.03, 0.11), _between(rng, 0.01, 0.03)
    parts = [
        box_between("door", (a - casing, -0.12, 0), (a + 0.03, depth, top)),
        box_between("door", (b - 0.03, -0.12, 0), (b + casing, depth, top)),
        box_between("door", (a - casing, -0.12, top - 0.03), (b + casing, depth, top + casing)),
    ]
    meshes = [frame.on(*parts)]
    if rng.random() < 0.07:
        return merge(meshes)
    clear = opening.width - 0.06
    if opening.width > 1.35:
        for side in (0, 1):
            leaf = _leaf(rng, clear / 2, top - 0.04, paint, public)
            meshes.append(_hung(rng, leaf, a + 0.03, clear, side, clear / 2))
    elif public and rng.random() < 0.06:
        meshes.append(_elevator_doors(rng, a, b, top))
    else:
        leaf = _leaf(rng, clear, top - 0.04, paint, public)
        meshes.append(_hung(rng, leaf, a + 0.03, clear, int(rng.integers(2)), clear))
    return merge(meshes)


def _hung(rng: Rng, leaf: Mesh, start: float, clear: float, side: int, width: float) -> Mesh:
    """Return a leaf of some width on its hinges at the left (0) or right (1) jamb."""
    angle = float(
        rng.choice([0.0, 0.0, 0.0, 0.0, _between(rng, 0.1, 0.6), _between(rng, 0.9, 1.9)])
    )
    recess = -_between(rng, 0.0, 0.07) if angle == 0 else 0.0
    if side:
        leaf = leaf.transformed(np.diag([-1.0, 1, 1]))
        return leaf.moved((start + clear, recess, 0), -angle)
    return leaf.moved((start, recess, 0), angle)


def _leaf(rng: Rng, width: float, top: float, finish: Finish, public: bool) -> Mesh:
    """Return a leaf from x = 0 to ``width`` whose room side is at y = 0, with a handle."""
    kind = str(rng.choice(["flat", "flat", "panels", "panels", "half glass", "glass", "window"]))
    thick, low = 0.04, 0.008
    parts: list[Mesh] = []
    if kind in ("half glass", "glass", "window"):
        low_pane = {
            "half glass": _between(rng, 0.9, 1.1),
            "glass": 0.14,
            "window": _between(rng, 1.1, 1.4),
        }[kind]
        high_pane = top - (0.14 if kind != "window" else _between(rng, 0.2, 0.5))
        edge = 0.1 if kind != "window" else width * _between(rng, 0.25, 0.4)
        parts += [
            finish.on(
                box_between("door", (0, -thick, low), (edge, 0, top)),
                box_between("door", (width - edge, -thick, low), (width, 0, top)),
                box_between("door", (edge, -thick, low), (width - edge, 0, low_pane)),
                box_between("door", (edge, -thick, high_pane), (width - edge, 0, top)),
            )
        ]
        pane = quads(
            "door",
            [
                [
                    (edge, -thick / 2, low_pane),
                    (width - edge, -thick / 2, low_pane),
                    (width - edge, -thick / 2, high_pane),
                    (edge, -thick / 2, high_pane),
                ]
            ],
        )
        parts.append(pane.made_of("glass" if rng.random() < 0.6 else "frosted_glass"))
        if kind == "half glass" and rng.random() < 0.5:
            bars = [
                box_between("door", (edge, -thick, float(z)), (width - edge, 0, float(z) + 0.02))
                for z in np.linspace(low_pane, high_pane, 5)[1:-1]
            ]
            parts.append(finish.on(*bars))
    else:
        parts.append(finish.on(box_between("door", (0, -thick, low), (width, 0, top))))
        if kind == "panels":
            relief = finish.darker(_between(rng, 0.85, 1.1))
            rows = (
                [(0.12, 0.42), (0.5, 0.92)]
                if rng.random() < 0.6
                else [(0.08, 0.3), (0.36, 0.62), (0.68, 0.94)]
            )
            for low_share, high_share in rows:
                for x0, x1 in (
                    ((0.12, 0.46), (0.54, 0.88)) if rng.random() < 0.6 else ((0.14, 0.86),)
                ):
                    parts.append(
                        relief.on(
                            box_between(
                                "door",
                                (x0 * width, 0, low_share * top),
                                (x1 * width, 0.012, high_share * top),
                            )
                        )
                    )
    metal = draw_finish(rng, "chrome", "steel")
    x, z = width - 0.07, _between(rng, 0.95, 1.08)
    if public and rng.random() < 0.3:
        parts.append(
            metal.on(box_between("door", (0.08, 0.02, z - 0.03), (width - 0.05, 0.07, z + 0.03)))
        )
    else:
        parts.append(
            metal.on(
                box_between("door", (x - 0.02, 0, z - 0.1), (x + 0.02, 0.01, z + 0.08)),
                box_between("door", (x - 0.12, 0.03, z - 0.012), (x + 0.01, 0.055, z + 0.012)),
            )
        )
    if public and rng.random() < 0.3:
        parts.append(metal.on(box_between("door", (0.02, 0, 0.02), (width - 0.02, 0.004, 0.25))))
    return merge(parts)


def _elevator_doors(rng: Rng, a: float, b: float, top: float) -> Mesh:
    middle, finish = (a + b) / 2, draw_finish(rng, "steel", "chrome")
    return finish.on(
        box_between("elevator", (a, -0.1, 0), (middle - 0.004, -0.07, top)),
        box_between("elevator", (middle + 0.004, -0.1, 0), (b, -0.07, top)),
    )


def window(opening: Opening, rng: Rng) -> Mesh:
    """Return a window, mostly recessed, with a sill, and at times blinds or curtains."""
    a, b, low, high = opening.start, opening.start + opening.width, opening.sill, opening.top
    depth = _between(rng, 0.02, 0.3)
    back = -depth
    frame = draw_finish(rng, "ceiling_paint", "ceiling_paint", "wood", "steel", "screen")
    reveal = [[(x, back, low), (x, 0, low), (x, 0, high), (x, back, high)] for x in (a, b)]
    reveal.append([(a, back, high), (b, back, high), (b, 0, high), (a, 0, high)])
    # A deep reveal is part of the wall, a shallow one part of the window.
    parts = [quads("indoor wall" if depth > 0.12 else "window", reveal)]
    reach = _between(rng, 0.0, 0.2)
    sill = box_between("window", (a - 0.03, back, low - 0.03), (b + 0.03, reach, low))
    parts.append(draw_finish(rng, "ceiling_paint", "stone", "wood").on(sill))
    parts.append(_frame_and_panes(rng, opening, back, frame))
    if rng.random() < 0.3:
        casing, z0 = _between(rng, 0.04, 0.1), low - 0.03
        trim = [
            box_between("window", (a - casing, 0, z0), (a, 0.02, high + casing)),
            box_between("window", (b, 0, z0), (b + casing, 0.02, high + casing)),
            box_between("window", (a - casing, 0, high), (b + casing, 0.02, high + casing)),
        ]
        parts.append(frame.on(*trim))
    if rng.random() < 0.35:
        parts.append(_blind(rng, opening, back + 0.06 if depth > 0.12 else 0.03))
    if rng.random() < 0.45:
        parts.append(curtains(rng, (a, b), (low, high)))
    return merge(parts)


def _frame_and_panes(rng: Rng, opening: Opening, back: float, frame: Finish) -> Mesh:
    """Return the frame, its bars, a handle and the panes between them."""
    a, b, low, high = opening.start, opening.start + opening.width, opening.sill, opening.top
    bar, thick = _between(rng, 0.03, 0.08), _between(rng, 0.04, 0.08)
    columns = max(round(opening.width / _between(rng, 0.6, 1.5)), 1)
    x = np.linspace(a, b, columns + 1)
    rows = [low, high]
    if rng.random() < 0.35 and high - low > 1.0:
        rows = [low, high - (high - low) * _between(rng, 0.2, 0.5), high]
    if rng.random() < 0.12:
        rows = list(np.linspace(low, high, 4))
        x = np.linspace(a, b, columns * 2 + 1)
    bars = [
        box_between(
            "window", (float(v) - bar / 2, back, low), (float(v) + bar / 2, back + thick, high)
        )
        for v in x[1:-1]
    ]
    bars += [
        box_between("window", (v, back, low), (v + w, back + thick, high))
        for v, w in ((a, bar), (b - bar, bar))
    ]
    bars += [
        box_between("window", (a, back, float(z) - bar / 2), (b, back + thick, float(z) + bar / 2))
        for z in rows
    ]
    y = back + thick * 0.4
    pane = quads("window", [[(a, y, low), (b, y, low), (b, y, high), (a, y, high)]])
    kind = str(
        rng.choice(
            ["glass", "glass", "glass", "frosted_glass", "bright"], p=[0.3, 0.3, 0.2, 0.08, 0.12]
        )
    )
    if kind == "bright":
        # Seen against the light, a pane can be measured itself: nearly white, dirty or tinted.
        shown = plain_finish("frosted_glass", (0.8, 0.82, 0.85)).on(pane)
    else:
        shown = pane.made_of(kind)
    handle = box(
        "window",
        (0.03, 0.04, 0.12),
        (float(x[min(1, len(x) - 1)]) - bar, back + thick + 0.02, (low + high) / 2),
    )
    return merge([frame.on(*bars), shown, draw_finish(rng, "chrome").on(handle)])


def _blind(rng: Rng, opening: Opening, y: float) -> Mesh:
    """Return a venetian, roller or vertical blind, lowered some way."""
    a, b, low, high = opening.start, opening.start + opening.width, opening.sill, opening.top
    finish = draw_finish(rng, "ceiling_paint", "ceiling_paint", "linen", "wood", "steel")
    lowered = high - (high - low) * float(rng.choice([_between(rng, 0.15, 0.6), 1.0]))
    kind = str(rng.choice(["venetian", "venetian", "roller", "vertical"]))
    head = box_between("blind", (a + 0.01, y, high - 0.05), (b - 0.01, y + 0.05, high))
    if kind == "roller":
        cloth = quads(
            "blind",
            [
                [
                    (a + 0.02, y, lowered),
                    (b - 0.02, y, lowered),
                    (b - 0.02, y, high),
                    (a + 0.02, y, high),
                ]
            ],
        )
        return finish.on(head, cloth)
    if kind == "vertical":
        slats = []
        for x in np.arange(a + 0.05, b - 0.03, 0.1):
            turn = 0.05 * np.array([np.cos(0.6), np.sin(0.6)])
            slats.append(
                [
                    (x - turn[0], y + 0.02 - turn[1], low),
                    (x + turn[0], y + 0.02 + turn[1], low),
                    (x + turn[0], y + 0.02 + turn[1], high),
                    (x - turn[0], y + 0.02 - turn[1], high),
                ]
            )
        return finish.on(head, quads("blind", slats))
    tilt = _between(rng, -0.02, 0.02)
    slats = [
        [
            (a + 0.02, y, float(z) - tilt),
            (b - 0.02, y, float(z) - tilt),
            (b - 0.02, y + 0.035, float(z) + tilt),
            (a + 0.02, y + 0.035, float(z) + tilt),
        ]
        for z in np.arange(lowered, high - 0.04, 0.04)
    ]
    return finish.on(head, quads("blind", slats))


def hanging_cloth(concept: str, rng: Rng, width: float, z_range: tuple[float, float]) -> Mesh:
    """Return a hanging cloth with folds, ``width`` metres along x.

    Args:
        concept: the concept of all triangles.
        rng: draws the folds.
        width: metres.
        z_range: heights of the lower and the upper edge in metres.
    """
    x = np.linspace(-width / 2, width / 2, max(int(width * 26), 10))
    depth, pitch = _between(rng, 0.015, 0.05), _between(rng, 28, 60)
    phase = _between(rng, 0, 6) + np.cumsum(rng.normal(0, 0.12, len(x)))
    edges = [
        np.stack(
            [x * spread, depth * np.sin(x * pitch + phase) * factor, np.full(len(x), z)], axis=1
        )
        for spread, factor, z in (
            (_between(rng, 0.85, 1.05), 1.4, z_range[0]),
            (0.97, 1.0, (z_range[0] + z_range[1]) / 2),
            (1.0, 0.7, z_range[1]),
        )
    ]
    return loft(concept, np.stack(edges), closed=False)


def curtains(rng: Rng, x_range: tuple[float, float], z_range: tuple[float, float]) -> Mesh:
    """Return curtains on a rod before a window, drawn to the sides or closed, at times sheer."""
    (a, b), (low, high) = x_range, z_range
    lower = float(rng.choice([0.03, max(low - 0.15, 0.03)]))
    upper = high + _between(rng, 0.05, 0.22)
    y, cloth = _between(rng, 0.07, 0.13), draw_finish(rng, "curtain", "curtain", "fabric")
    over = _between(rng, 0.05, 0.3)
    parts = []
    closed = _between(rng, 0.15, 1.0) if rng.random() < 0.7 else 1.0
    half = (b - a) / 2 + over
    for side, middle in ((-1, a - over), (1, b + over)):
        width = half * closed * _between(rng, 0.8, 1.0)
        if rng.random() < 0.9:
            piece = hanging_cloth("curtain", rng, width, (lower, upper))
            parts.append(cloth.on(piece).moved((middle - side * width / 2, y, 0)))
    if rng.random() < 0.25:
        sheer = hanging_cloth("curtain", rng, b - a + over, (lower, upper))
        thin = replace(sheer, opacity=np.full_like(sheer.opacity, 0.6))
        parts.append(
            plain_finish("curtain", (0.75, 0.75, 0.73)).on(thin).moved(((a + b) / 2, y * 0.5, 0))
        )
    rod = tube(
        "curtain", (a - over - 0.1, y, upper + 0.02), (b + over + 0.1, y, upper + 0.02), 0.014
    )
    return merge([*parts, draw_finish(rng, "chrome", "wood", "steel").on(rod)])
