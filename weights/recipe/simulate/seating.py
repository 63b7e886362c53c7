"""Seats: chairs of many kinds, office chairs, stools, benches, sofas and armchairs.

A seat stands on z = 0 and faces +x, with its back towards −x. Width is along y, depth along x.
"""

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    fan,
    loft,
    merge,
    polyline_tube,
    quads,
    tube,
)


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def legs(
    concept: str, width: float, depth: float, height: float, thickness: float = 0.05
) -> list[Mesh]:
    """Return four legs at the corners of a rectangle; all measures are in metres."""
    return [
        box(
            concept,
            (thickness, thickness, height),
            (x * (depth / 2 - thickness / 2), y * (width / 2 - thickness / 2), 0),
        )
        for x in (-1, 1)
        for y in (-1, 1)
    ]


def slanted_legs(concept: str, width: float, depth: float, height: float, spread: float) -> Mesh:
    """Return four round legs that spread outwards by ``spread`` metres at the floor."""
    return merge(
        tube(
            concept,
            (x * (depth / 2 + spread), y * (width / 2 + spread), 0),
            (x * depth / 2 * 0.8, y * width / 2 * 0.8, height),
            0.016,
            sides=5,
        )
        for x in (-1, 1)
        for y in (-1, 1)
    )


def cushion(concept: str, size: tuple[float, float, float], position: tuple[float, ...]) -> Mesh:
    """Return a cushion: a box of (depth, width, height) whose upper and lower edges are rounded."""
    depth, width, height = size
    levels = [(0.0, 0.93), (0.2, 1.0), (0.75, 1.0), (0.95, 0.93), (1.0, 0.8)]
    corners = np.array([[-1, -1], [0, -1.06], [1, -1], [1.03, 0], [1, 1], [0, 1.06], [-1, 1]]) / 2
    rings = [
        np.column_stack([corners * [depth, width] * scale, np.full(len(corners), level * height)])
        for level, scale in levels
    ]
    return merge([loft(concept, np.stack(rings)), fan(concept, rings[-1])]).moved(
        (float(position[0]), float(position[1]), float(position[2]))
    )


def chair(rng: Rng) -> Mesh:
    """Return a chair: four-legged, cantilever, shell, upholstered, or with armrests."""
    kind = str(rng.choice(["wood", "wood", "slats", "shell", "sled", "upholstered", "tub"]))
    width, seat = _between(rng, 0.4, 0.54), _between(rng, 0.42, 0.48)
    back, depth = _between(rng, 0.33, 0.62), _between(rng, 0.4, 0.52)
    frame = draw_finish(rng, "wood", "wood", "steel", "plastic")
    soft = draw_finish(rng, "upholstery", "leather", "wood", "plastic")
    concept, lean = "chair", _between(rng, 0.02, 0.13)
    if kind == "tub":
        return _tub_chair(rng, concept, soft, frame, seat)
    parts = [_backrest(rng, kind, (width, depth, lean), (seat, seat + back), (frame, soft))]
    if kind == "shell":
        parts.append(soft.on(cushion(concept, (depth, width, 0.06), (0, 0, seat - 0.05))))
        parts.append(frame.on(slanted_legs(concept, width, depth, seat - 0.03, 0.02)))
    elif kind == "sled":
        parts.append(soft.on(cushion(concept, (depth, width, 0.07), (0, 0, seat - 0.06))))
        for y in (-width / 2, width / 2):
            path = [
                (-depth / 2, y, seat + back * 0.9),
                (-depth / 2 * 0.9, y, seat - 0.04),
                (depth / 2, y, seat - 0.04),
                (depth / 2, y, 0.02),
                (-depth / 2 * 0.8, y, 0.02),
            ]
            parts.append(Finish("chrome", frame.color).on(polyline_tube(concept, path, 0.012)))
    else:
        thickness = 0.09 if kind == "upholstered" else 0.04
        surface = soft if kind == "upholstered" or rng.random() < 0.4 else frame
        parts.append(
            surface.on(cushion(concept, (depth, width, thickness), (0, 0, seat - thickness)))
        )
        leg = _between(rng, 0.03, 0.05)
        parts.append(frame.on(*legs(concept, width, depth, seat - 0.03, leg)))
        if rng.random() < 0.4:
            parts.append(frame.on(_stretchers(concept, width, depth, seat * 0.4)))
    if rng.random() < 0.3:
        parts.append(frame.on(_armrests(concept, width, depth, seat, _between(rng, 0.18, 0.25))))
    return merge(parts)


def _backrest(
    rng: Rng,
    kind: str,
    size: tuple[float, float, float],
    z_range: tuple[float, float],
    finishes: tuple[Finish, Finish],
) -> Mesh:
    """Return the backrest of a chair.

    Args:
        rng: draws its shape.
        kind: "slats", "shell", "upholstered", "wood" or another kind of chair.
        size: width and depth of the seat, and how far the back leans, in metres.
        z_range: heights of the seat and of the top in metres.
        finishes: of the frame and of the soft parts.
    """
    concept, (low, high) = "chair", z_range
    (width, depth, lean), (frame, soft) = size, finishes
    x0, x1 = -depth / 2, -depth / 2 - lean
    if kind == "slats":
        posts = [
            tube(concept, (x0, y, low - 0.02), (x1, y, high), 0.018, sides=5)
            for y in (-width / 2 + 0.02, width / 2 - 0.02)
        ]
        if rng.random() < 0.5:
            bars = [
                box_between(
                    concept, (x1 - 0.01, -width / 2, z - 0.03), (x1 + 0.015, width / 2, z + 0.03)
                )
                for z in np.linspace(low + 0.18, high - 0.03, int(rng.integers(2, 5)))
            ]
        else:
            bars = [
                tube(concept, (x0, float(y), low), (x1, float(y), high), 0.009, sides=4)
                for y in np.linspace(-width / 2 + 0.07, width / 2 - 0.07, int(rng.integers(3, 8)))
            ]
            bars.append(
                box_between(
                    concept, (x1 - 0.01, -width / 2, high - 0.06), (x1 + 0.02, width / 2, high)
                )
            )
        return frame.on(*posts, *bars)
    start = low + (0.0 if kind in ("shell", "upholstered") else _between(rng, 0.05, 0.2))
    angle = np.linspace(-1, 1, 7)
    # Rounded backs bulge backwards in their middle.
    bulge = _between(rng, 0.0, 0.06)
    sheet = []
    for z, x in ((start, x0), ((start + high) / 2, (x0 + x1) / 2 - 0.01), (high, x1)):
        curve = x - bulge * (1 - angle**2)
        sheet.append(np.stack([curve, angle * width / 2, np.full(7, z)], axis=1))
    front = np.stack(sheet)
    thickness = 0.07 if kind == "upholstered" else 0.025
    rear = front - np.array([thickness, 0, 0])
    # A closed band around the back: front up, rear down.
    band = np.concatenate([front, rear[::-1], front[:1]])
    panel = loft(concept, band, closed=False)
    sides = [
        quads(concept, [[front[i, j], front[i + 1, j], rear[i + 1, j], rear[i, j]]])
        for j in (0, -1)
        for i in (0, 1)
    ]
    finish = soft if kind != "wood" else frame
    posts = []
    if start > low + 0.02:
        posts = [
            frame.on(tube(concept, (x0, y, low - 0.02), (x1, y, start + 0.08), 0.018, sides=5))
            for y in (-width / 2 + 0.04, width / 2 - 0.04)
        ]
    return merge([finish.on(panel, *sides), *posts])


def _stretchers(concept: str, width: float, depth: float, height: float) -> Mesh:
    return merge(
        [
            box(concept, (depth, 0.02, 0.03), (0, y, height))
            for y in (-width / 2 + 0.02, width / 2 - 0.02)
        ]
    )


def _armrests(concept: str, width: float, depth: float, seat: float, rise: float) -> Mesh:
    parts = []
    for side in (-1, 1):
        y = side * width / 2
        parts.append(
            box_between(
                concept,
                (-depth / 2, y - 0.025, seat + rise),
                (depth * 0.35, y + 0.025, seat + rise + 0.035),
            )
        )
        parts.append(tube(concept, (depth * 0.3, y, seat), (depth * 0.3, y, seat + rise), 0.016))
    return merge(parts)


def _tub_chair(rng: Rng, concept: str, soft: Finish, frame: Finish, seat: float) -> Mesh:
    """Return a chair with a round back that runs into its armrests."""
    radius, top = _between(rng, 0.26, 0.32), seat + _between(rng, 0.25, 0.4)
    angle = np.linspace(np.pi * 0.35, np.pi * 1.65, 13)
    height = seat + (top - seat) * np.clip(1.3 - np.abs(angle - np.pi) / 1.6, 0.35, 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = []
    for scale, z in (
        (1.0, np.full(13, seat - 0.12)),
        (1.05, height),
        (0.85, height),
        (0.82, np.full(13, seat)),
    ):
        rings.append(np.column_stack([circle * radius * scale, z]))
    shell = loft(concept, np.stack(rings), closed=False)
    seat_pad = tube(concept, (0, 0, seat - 0.12), (0, 0, seat), radius * 0.95, sides=12)
    if rng.random() < 0.4:
        base = merge(
            [
                tube(concept, (0, 0, 0.02), (0, 0, seat - 0.1), 0.03),
                tube(concept, (0, 0, 0), (0, 0, 0.025), radius * 0.8, sides=12),
            ]
        )
    else:
        base = slanted_legs(concept, radius * 1.4, radius * 1.4, seat - 0.1, 0.04)
    return merge([soft.on(shell, seat_pad), frame.on(base)])


def folding_chair(rng: Rng) -> Mesh:
    """Return a folding chair, whose legs cross."""
    frame, soft = draw_finish(rng, "steel", "wood"), draw_finish(rng, "plastic", "leather", "wood")
    concept, width, seat, top = "folding chair", 0.44, 0.45, _between(rng, 0.76, 0.86)
    parts = []
    for y in (-width / 2, width / 2):
        parts.append(frame.on(tube(concept, (0.24, y, 0), (-0.22, y, top), 0.012, sides=5)))
        parts.append(frame.on(tube(concept, (-0.25, y, 0), (0.17, y, seat), 0.012, sides=5)))
    parts.append(soft.on(box(concept, (0.38, width, 0.03), (0, 0, seat - 0.02))))
    parts.append(
        soft.on(box_between(concept, (-0.2, -width / 2, top - 0.2), (-0.18, width / 2, top)))
    )
    return merge(parts)


def office_chair(rng: Rng) -> Mesh:
    """Return an office chair on castors or glides, with or without armrests and headrest."""
    concept, seat = "office chair", _between(rng, 0.42, 0.55)
    soft = draw_finish(rng, "upholstery", "upholstery", "leather")
    if rng.random() < 0.5:
        soft = soft.darker(0.3)
    frame = draw_finish(rng, "rubber", "chrome", "plastic")
    width, depth = _between(rng, 0.44, 0.54), _between(rng, 0.42, 0.5)
    parts = [
        soft.on(cushion(concept, (depth, width, _between(rng, 0.06, 0.11)), (0, 0, seat - 0.08))),
        frame.on(tube(concept, (0, 0, 0.08), (0, 0, seat - 0.06), 0.03)),
    ]
    reach = _between(rng, 0.27, 0.33)
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1] + _between(rng, 0, 1):
        foot = (reach * float(np.cos(angle)), reach * float(np.sin(angle)), 0.06)
        parts.append(frame.on(tube(concept, (0, 0, 0.12), foot, 0.022, sides=4)))
        parts.append(frame.on(ellipsoid(concept, foot, (0.03, 0.03, 0.055), 6)))
    back, rise = _between(rng, 0.42, 0.75), _between(rng, 0.06, 0.16)
    angle = np.linspace(-1, 1, 7)
    sheet = []
    for level, lean in ((0.0, 0.02), (0.4, 0.0), (0.8, 0.04), (1.0, 0.09)):
        x = -depth / 2 - lean + 0.06 * (angle**2 - 1) * 0.8
        y = angle * width / 2 * (0.86 + 0.14 * np.sin(level * 3))
        sheet.append(np.stack([x, y, np.full(7, seat + rise + level * back)], axis=1))
    front = np.stack(sheet)
    thickness = 0.02 if rng.random() < 0.3 else 0.07
    band = np.concatenate([front, front[::-1] - np.array([thickness, 0, 0]), front[:1]])
    parts.append(soft.on(loft(concept, band, closed=False)))
    parts.append(
        frame.on(
            tube(
                concept,
                (-depth * 0.3, 0, seat - 0.05),
                (-depth / 2 - 0.06, 0, seat + rise + 0.2),
                0.022,
            )
        )
    )
    if rng.random() < 0.75:
        for side in (-1, 1):
            y = side * (width / 2 + 0.03)
            parts.append(
                frame.on(
                    box(concept, (0.26, 0.07, 0.035), (-0.02, y, seat + 0.2)),
                    tube(
                        concept,
                        (-0.02, y, seat + 0.2),
                        (0, side * width * 0.35, seat - 0.05),
                        0.018,
                    ),
                )
            )
    if rng.random() < 0.2:
        head = seat + rise + back + 0.04
        parts.append(soft.on(cushion(concept, (0.07, 0.3, 0.16), (-depth / 2 - 0.08, 0, head))))
    return merge(parts)


def stool(rng: Rng) -> Mesh:
    """Return a low stool, round or square."""
    finish = draw_finish(rng, "wood", "plastic", "steel")
    top = finish if rng.random() < 0.5 else draw_finish(rng, "leather", "upholstery")
    height, size = _between(rng, 0.38, 0.52), _between(rng, 0.28, 0.42)
    if rng.random() < 0.5:
        seat = tube("stool", (0, 0, height - 0.05), (0, 0, height), size / 2, sides=14)
    else:
        seat = cushion("stool", (size, size, 0.06), (0, 0, height - 0.06))
    base = slanted_legs("stool", size * 0.8, size * 0.8, height - 0.04, _between(rng, 0, 0.05))
    return merge([top.on(seat), finish.on(base)])


def bar_stool(rng: Rng) -> Mesh:
    """Return a bar stool, with or without a low back."""
    concept, height = "bar stool", _between(rng, 0.65, 0.82)
    frame, soft = draw_finish(rng, "chrome", "steel", "wood"), draw_finish(rng, "leather", "wood")
    parts = [soft.on(tube(concept, (0, 0, height - 0.06), (0, 0, height), 0.18, sides=14))]
    if rng.random() < 0.5:
        parts.append(
            frame.on(
                tube(concept, (0, 0, 0.02), (0, 0, height - 0.05), 0.028),
                tube(concept, (0, 0, 0), (0, 0, 0.03), 0.21, sides=14),
            )
        )
    else:
        parts.append(frame.on(slanted_legs(concept, 0.3, 0.3, height - 0.04, 0.06)))
    if rng.random() < 0.4:
        parts.append(
            soft.on(
                box_between(concept, (-0.19, -0.17, height + 0.03), (-0.16, 0.17, height + 0.28))
            )
        )
    return merge(parts)


def bench(rng: Rng) -> Mesh:
    """Return a bench, with or without a back, upholstered or of wood."""
    length, depth, height = (
        _between(rng, 0.9, 2.2),
        _between(rng, 0.35, 0.5),
        _between(rng, 0.42, 0.48),
    )
    frame = draw_finish(rng, "wood", "steel")
    seat = frame if rng.random() < 0.5 else draw_finish(rng, "leather", "upholstery")
    parts = [
        seat.on(cushion("bench", (depth, length, 0.08), (0, 0, height - 0.08))),
        frame.on(*legs("bench", length * 0.9, depth, height - 0.06)),
    ]
    if rng.random() < 0.35:
        back = box_between(
            "bench",
            (-depth / 2 - 0.05, -length / 2, height + 0.1),
            (-depth / 2, length / 2, height + 0.4),
        )
        parts.append(seat.on(back))
    return merge(parts)


def pillow(rng: Rng) -> Mesh:
    """Return a pillow or a cushion that lies flat, of its own colour or of two stripes."""
    width, depth, height = (
        _between(rng, 0.35, 0.72),
        _between(rng, 0.32, 0.5),
        _between(rng, 0.1, 0.2),
    )
    size = np.array([depth, width, height])
    u = np.linspace(-1, 1, 9)
    x, y = np.meshgrid(u, u, indexing="ij")
    # A sewn cushion is thick in the middle and has pointed corners.
    bulge = np.sqrt(np.clip((1 - x**4) * (1 - y**4), 0, None))
    halves = [
        np.stack(
            [x * (0.5 - 0.05 * (y**2 - 1)), y * (0.5 - 0.05 * (x**2 - 1)), 0.5 + sign * bulge / 2],
            axis=-1,
        )
        for sign in (-1, 1)
    ]
    finish = draw_finish(rng, "linen", "upholstery")
    return finish.on(*(loft("pillow", half * size, closed=False) for half in halves))


def leaning_pillow(rng: Rng) -> Mesh:
    """Return a cushion that leans against a back at −x, its foot at z = 0."""
    upright = np.array([[0.35, 0, -0.94], [0, 1, 0], [0.94, 0, 0.35]])
    turned = pillow(rng).transformed(upright)
    low = turned.triangles.reshape(-1, 3).min(axis=0)
    return turned.moved((float(-low[0]), 0.0, float(-low[2])))


def sofa(rng: Rng, concept: str = "sofa") -> Mesh:
    """Return a sofa, straight or with a corner, at times with cushions; or an armchair."""
    soft = draw_finish(rng, "upholstery", "upholstery", "leather")
    is_single = concept == "armchair"
    seats = 1 if is_single else int(rng.integers(2, 5))
    seat_width, depth = _between(rng, 0.5, 0.8), _between(rng, 0.75, 1.05)
    seat, top = _between(rng, 0.36, 0.48), _between(rng, 0.66, 0.98)
    arm, arm_top = _between(rng, 0.06, 0.26), seat + _between(rng, 0.05, 0.25)
    back = _between(rng, 0.12, 0.28)
    width, lift = seats * seat_width, float(rng.choice([0.02, 0.06, 0.12]))
    cushion_height = _between(rng, 0.1, 0.18)
    base = seat - cushion_height
    parts = [
        box(concept, (depth, width, base - lift), (0, 0, lift)),
        box(concept, (back, width, top - lift), (-depth / 2 + back / 2, 0, lift), taper=(0.7, 1)),
    ]
    if rng.random() < 0.9:
        for side in (-1, 1):
            y = side * (width + arm) / 2
            parts.append(box(concept, (depth, arm, arm_top - lift), (0, y, lift), taper=(1, 0.92)))
    loose: list[Mesh] = []
    for k in range(seats):
        y = (k + 0.5) * seat_width - width / 2
        seat_depth = depth - back
        parts.append(
            cushion(concept, (seat_depth, seat_width * 0.98, cushion_height), (back / 2, y, base))
        )
        if rng.random() < 0.8:
            rise = max(top - seat + _between(rng, -0.08, 0.08), 0.2)
            parts.append(
                cushion(
                    concept, (0.2, seat_width * 0.95, rise), (-depth / 2 + back + 0.08, y, seat)
                )
            )
        if rng.random() < 0.35:
            spot = (-depth / 2 + back + 0.12, y + _between(rng, -0.15, 0.15), seat)
            loose.append(leaning_pillow(rng).moved(spot, _between(rng, -0.4, 0.4)))
    if not is_single and rng.random() < 0.3:
        length = _between(rng, 0.5, 1.0)
        y = float(rng.choice([-1, 1])) * (width - seat_width) / 2
        spot = (depth / 2 + length / 2, y, lift)
        parts.append(box(concept, (length, seat_width, base - lift), spot))
        parts.append(
            cushion(concept, (length, seat_width * 0.98, cushion_height), (spot[0], y, base))
        )
    feet = draw_finish(rng, "wood", "chrome").on(*legs(concept, width, depth * 0.9, lift, 0.05))
    if not is_single and rng.random() < 0.25:
        loose.append(_throw(rng, width, (seat, top), depth, back))
    return merge([soft.on(*parts), feet, *loose])


def _throw(rng: Rng, width: float, z_range: tuple[float, float], depth: float, back: float) -> Mesh:
    """Return a blanket over the back and the seat of a sofa."""
    seat, top = z_range
    side = _between(rng, 0.4, 0.9)
    y = np.linspace(-side / 2, side / 2, 6) + _between(rng, -0.3, 0.3) * width
    x0 = -depth / 2
    path = [
        (x0 - 0.03, seat),
        (x0 - 0.02, top + 0.02),
        (x0 + back, top + 0.03),
        (x0 + back + 0.2, seat + 0.05),
        (depth * 0.2, seat + 0.04),
    ]
    rows = [np.stack([np.full(6, x), y, np.full(6, z)], axis=1) for x, z in path]
    return draw_finish(rng, "linen").on(loft("blanket", np.stack(rows), closed=False))


def armchair(rng: Rng) -> Mesh:
    """Return an armchair, at times as a tub chair or with a high back."""
    if rng.random() < 0.25:
        soft, frame = draw_finish(rng, "upholstery", "leather"), draw_finish(rng, "wood", "steel")
        shell = _tub_chair(rng, "armchair", soft, frame, _between(rng, 0.38, 0.45))
        return shell.moved(scale=_between(rng, 1.1, 1.3))
    return sofa(rng, "armchair")


def ottoman(rng: Rng) -> Mesh:
    """Return an ottoman: a padded box or drum without a back."""
    soft = draw_finish(rng, "upholstery", "leather")
    height, size = _between(rng, 0.32, 0.46), _between(rng, 0.45, 0.9)
    if rng.random() < 0.4:
        return soft.on(tube("ottoman", (0, 0, 0.02), (0, 0, height), size / 2, sides=16))
    depth = size * _between(rng, 0.6, 1.0)
    return soft.on(
        box("ottoman", (depth, size, height - 0.14), (0, 0, 0.04)),
        cushion("ottoman", (depth, size, 0.12), (0, 0, height - 0.12)),
    )
