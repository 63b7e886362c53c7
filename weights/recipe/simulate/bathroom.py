"""Fixtures of bathrooms: toilets, bathtubs, showers, sinks with mirrors, towels.

A fixture stands on z = 0 and faces +x, with its back towards −x. Width is along y, depth along x.
"""

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish, plain_finish
from weights.recipe.simulate.household import SMALL_OBJECTS, turned
from weights.recipe.simulate.kitchen import faucet
from weights.recipe.simulate.openings import hanging_cloth
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    fan,
    loft,
    merge,
    quads,
    tube,
)
from weights.recipe.simulate.storage import fronts


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _white(rng: Rng) -> Finish:
    """Return ceramic: nearly always white."""
    if rng.random() < 0.85:
        value = _between(rng, 0.6, 0.78)
        return plain_finish("ceramic", (value, value, value * 0.98))
    return Finish("ceramic", draw_finish(rng, "linen").color)


def _oval(half_x: float, half_y: float, sides: int = 14) -> np.ndarray:
    """Return (sides, 2) corners of an oval that is pointed towards +x, as toilet seats are."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return np.stack([half_x * np.cos(angle), half_y * np.sin(angle)], axis=1)


def toilet(rng: Rng) -> Mesh:
    """Return a toilet: with a cistern, hung on a wall, or with its cistern in the wall."""
    white, c = _white(rng), "toilet"
    seat, half_x, half_y = (
        _between(rng, 0.37, 0.45),
        _between(rng, 0.22, 0.27),
        _between(rng, 0.17, 0.2),
    )
    x, hung = 0.1, rng.random() < 0.3
    outline = _oval(half_x, half_y)
    levels = [
        (0.55, 0.12 if hung else 0.0),
        (0.6, 0.15),
        (0.8, seat * 0.6),
        (1.0, seat - 0.05),
        (1.02, seat),
    ]
    rings = [
        np.column_stack([outline * scale + [x, 0], np.full(len(outline), z)]) for scale, z in levels
    ]
    parts = [loft(c, np.stack(rings))]
    # The rim, and the inside of the bowl, or a closed lid.
    inner = [
        np.column_stack([outline * scale + [x, 0], np.full(len(outline), z)])
        for scale, z in ((1.02, seat), (0.7, seat), (0.5, seat - 0.15), (0.05, seat - 0.22))
    ]
    if rng.random() < 0.5:
        parts.append(loft(c, np.stack(inner)))
        ring = [
            np.column_stack([outline * scale + [x, 0], np.full(len(outline), z)])
            for scale, z in ((1.03, seat), (1.0, seat + 0.025), (0.65, seat + 0.025), (0.65, seat))
        ]
        parts.append(loft(c, np.stack(ring)))
        if rng.random() < 0.6:
            lid = np.column_stack(
                [
                    np.full(len(outline), x - half_x + 0.02),
                    outline[:, 1],
                    seat + 0.04 + outline[:, 0] + half_x,
                ]
            )
            thick = np.array([-0.025, 0, 0])
            parts += [loft(c, np.stack([lid, lid + thick])), fan(c, lid), fan(c, lid + thick)]
    else:
        cover = [
            np.column_stack([outline * scale + [x, 0], np.full(len(outline), z)])
            for scale, z in (
                (1.03, seat),
                (1.03, seat + 0.035),
                (0.9, seat + 0.045),
                (0.02, seat + 0.05),
            )
        ]
        parts.append(loft(c, np.stack(cover)))
    back = x - half_x
    if rng.random() < 0.75:
        tank = _between(rng, 0.32, 0.42)
        parts += [
            box(
                c, (0.17, _between(rng, 0.34, 0.44), tank), (back - 0.08, 0, seat), taper=(1, 1.05)
            ),
            box(c, (0.19, 0.42, 0.03), (back - 0.08, 0, seat + tank)),
            box(c, (0.2, 0.25, seat - 0.1), (back - 0.05, 0, 0.1 if hung else 0)),
        ]
    else:
        parts.append(box(c, (0.14, 0.3, seat - 0.05), (back - 0.02, 0, 0.1 if hung else 0.0)))
    mesh = white.on(*parts)
    extras = []
    if rng.random() < 0.5:
        side = float(rng.choice([-1, 1])) * 0.42
        brush = turned(
            "toilet brush", [(0.05, 0), (0.05, 0.15), (0.012, 0.17), (0.012, 0.38)]
        ).moved((-0.1, side, 0))
        extras.append(draw_finish(rng, "plastic", "chrome", "ceramic").on(brush))
    if rng.random() < 0.5 and len(extras) == 0:
        roll = SMALL_OBJECTS["toilet paper"](rng).moved((back - 0.08, 0.05, seat + 0.4))
        extras.append(roll)
    return merge([mesh, *extras])


def bidet(rng: Rng) -> Mesh:
    """Return a bidet."""
    outline, height = _oval(0.26, 0.18), _between(rng, 0.36, 0.42)
    levels = [
        (0.6, 0.0),
        (0.7, height * 0.5),
        (1.0, height),
        (0.85, height),
        (0.5, height - 0.12),
        (0.03, height - 0.14),
    ]
    rings = [np.column_stack([outline * scale, np.full(len(outline), z)]) for scale, z in levels]
    return merge(
        [_white(rng).on(loft("bidet", np.stack(rings))), faucet(rng, 0.14).moved((-0.2, 0, height))]
    )


def urinal(rng: Rng) -> Mesh:
    """Return a urinal that hangs on a wall, its back at x = 0."""
    shell = [box_between("urinal", (0, -0.17, 0.6), (0.05, 0.17, 1.2))]
    shell += [box_between("urinal", (0, s * 0.17, 0.55), (0.26, s * 0.14, 1.0)) for s in (-1, 1)]
    shell.append(ellipsoid("urinal", (0.16, 0, 0.6), (0.17, 0.17, 0.12), 12))
    return _white(rng).on(*shell)


def bathtub(rng: Rng) -> Mesh:
    """Return a bathtub along y: built in, or free-standing; at times with a shower curtain."""
    length, depth, height = (
        _between(rng, 1.45, 1.85),
        _between(rng, 0.66, 0.85),
        _between(rng, 0.48, 0.64),
    )
    white, c = _white(rng), "bathtub"
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    # A superellipse: a rectangle with round corners.
    power = 0.35
    unit = np.stack(
        [
            np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power,
            np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power,
        ],
        axis=1,
    )

    def ring(scale_x: float, scale_y: float, z: float) -> np.ndarray:
        return np.column_stack([unit * [depth / 2 * scale_x, length / 2 * scale_y], np.full(20, z)])

    inside = [
        ring(0.84, 0.92, height),
        ring(0.74, 0.84, height * 0.5),
        ring(0.66, 0.74, 0.14),
        ring(0.02, 0.02, 0.12),
    ]
    if rng.random() < 0.25:
        outside = [ring(0.7, 0.75, 0.05), ring(0.9, 0.92, height * 0.5), ring(1.0, 1.0, height)]
        mesh = white.on(loft(c, np.stack([*outside, *inside])))
    else:
        rim = [ring(1.0, 1.0, height - 0.02), ring(1.0, 1.0, height), *inside]
        # An apron around it; a box would hide the inside.
        panels = [
            [(x0, y0, 0), (x1, y1, 0), (x1, y1, height - 0.01), (x0, y0, height - 0.01)]
            for (x0, y0), (x1, y1) in _edges(depth / 2, length / 2)
        ]
        side_finish = white if rng.random() < 0.6 else draw_finish(rng, "tile")
        mesh = merge([white.on(loft(c, np.stack(rim))), side_finish.on(quads(c, panels))])
    tap_y = length / 2 - 0.1
    parts = [mesh, faucet(rng, 0.16).moved((0, tap_y, height), float(-np.pi / 2))]
    if rng.random() < 0.4:
        drop = (_between(rng, 0.15, 0.4), 2.0)
        width = length * _between(rng, 0.25, 1.0)
        cloth = hanging_cloth("shower curtain", rng, width, drop)
        place = (depth / 2 + 0.03, (length - width) / 2 * float(rng.choice([-1, 1])), 0)
        parts.append(
            draw_finish(rng, "curtain", "plastic").on(cloth).moved(place, float(np.pi / 2))
        )
        rod = tube(
            "shower curtain",
            (depth / 2 + 0.03, -length / 2, 2.02),
            (depth / 2 + 0.03, length / 2, 2.02),
            0.013,
        )
        parts.append(draw_finish(rng, "chrome").on(rod))
        parts.append(shower_head(rng).moved((-depth / 2, length / 2 - 0.25, 0)))
    elif rng.random() < 0.25:
        pane = quads(
            "shower",
            [
                [
                    (depth / 2 - 0.02, length / 2 - 0.9, height),
                    (depth / 2 - 0.02, length / 2, height),
                    (depth / 2 - 0.02, length / 2, 2.0),
                    (depth / 2 - 0.02, length / 2 - 0.9, 2.0),
                ]
            ],
        )
        parts += [pane.made_of("glass"), shower_head(rng).moved((-depth / 2, length / 2 - 0.4, 0))]
    for _ in range(int(rng.integers(0, 4))):
        spot = (-depth / 2 + 0.05, _between(rng, -0.45, 0.45) * length, height)
        parts.append(SMALL_OBJECTS["soap bottle"](rng).moved(spot))
    return merge(parts)


def _edges(half_x: float, half_y: float) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    corners = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)]
    return [(corners[i], corners[(i + 1) % 4]) for i in range(4)]


def shower_head(rng: Rng) -> Mesh:
    """Return a shower head on a rail with its mixer, the wall at x = 0."""
    c = "shower head"
    parts = [
        tube(c, (0.05, 0, 1.1), (0.05, 0, 2.0), 0.012),
        tube(c, (0.05, 0, 2.0), (0.2, 0, 2.05), 0.012),
        tube(c, (0.2, 0, 2.05), (0.22, 0, 2.0), 0.03, end_radius=0.08, sides=10),
        box(c, (0.06, 0.24, 0.05), (0.04, 0, 1.1)),
    ]
    return draw_finish(rng, "chrome").on(*parts)


def shower(rng: Rng) -> Mesh:
    """Return a shower in a corner: a tray, panes or a curtain, and the shower head."""
    depth, width = _between(rng, 0.78, 1.1), _between(rng, 0.78, 1.3)
    tray = _white(rng).on(box("shower", (depth, width, _between(rng, 0.03, 0.16))))
    metal, parts = draw_finish(rng, "chrome", "ceiling_paint"), [tray]
    x, y, top = depth / 2, width / 2, _between(rng, 1.85, 2.05)
    if rng.random() < 0.25:
        for span, place, turn in ((width, (x, 0, 0), np.pi / 2), (depth, (0, y, 0), 0.0)):
            cloth = hanging_cloth(
                "shower curtain", rng, span * _between(rng, 0.4, 1.0), (0.15, 1.95)
            )
            parts.append(draw_finish(rng, "curtain").on(cloth).moved(place, float(turn)))
    else:
        panes = [
            [(x, -y, 0.1), (x, y, 0.1), (x, y, top), (x, -y, top)],
            [(-x, y, 0.1), (x, y, 0.1), (x, y, top), (-x, y, top)],
        ]
        kind = "glass" if rng.random() < 0.65 else "frosted_glass"
        parts.append(quads("shower", panes).made_of(kind))
        frame = [
            tube("shower", (px, py, 0), (px, py, top), 0.018, sides=4)
            for px, py in ((x, y), (x, -y), (-x, y), (x, 0))
        ]
        frame += [tube("shower", (x, -y, z), (x, y, z), 0.015, sides=4) for z in (0.12, top)]
        frame += [tube("shower", (-x, y, z), (x, y, z), 0.015, sides=4) for z in (0.12, top)]
        parts.append(metal.on(*frame))
    parts.append(shower_head(rng).moved((-x, 0, 0)))
    return merge(parts)


def sink(rng: Rng) -> Mesh:
    """Return a wash basin: on a pedestal, on the wall, or in a vanity; mostly with a mirror."""
    white, height = _white(rng), _between(rng, 0.8, 0.9)
    kind = str(rng.choice(["pedestal", "wall", "vanity", "vanity"]))
    if kind == "vanity":
        return _vanity(rng, white, height)
    width, depth = _between(rng, 0.38, 0.65), _between(rng, 0.32, 0.48)
    outline = _oval(depth / 2, width / 2, 16)
    outline[:, 0] = np.maximum(outline[:, 0], -depth * 0.42)
    levels = [
        (0.35, height - 0.18),
        (0.75, height - 0.13),
        (1.0, height - 0.02),
        (1.0, height),
        (0.82, height),
        (0.6, height - 0.1),
        (0.03, height - 0.13),
    ]
    rings = [np.column_stack([outline * scale, np.full(16, z)]) for scale, z in levels]
    parts = [white.on(loft("sink", np.stack(rings)))]
    if kind == "pedestal":
        parts.append(
            white.on(
                tube(
                    "sink", (-0.05, 0, 0), (-0.05, 0, height - 0.15), 0.1, end_radius=0.07, sides=10
                )
            )
        )
    else:
        parts.append(
            draw_finish(rng, "chrome").on(
                tube("sink", (-0.05, 0, 0.45), (-0.05, 0, height - 0.15), 0.025)
            )
        )
    parts.append(faucet(rng, _between(rng, 0.12, 0.2)).moved((-depth * 0.38, 0, height)))
    parts += _above_sink(rng, -depth / 2 * 0.84, width, height)
    return merge(parts)


def _vanity(rng: Rng, white: Finish, height: float) -> Mesh:
    """Return a cabinet with one or two basins let into its top."""
    width, depth = _between(rng, 0.55, 1.6), _between(rng, 0.42, 0.55)
    basins = 2 if width > 1.2 else 1
    finish = draw_finish(rng, "wood", "wall_paint")
    low = float(rng.choice([0.0, 0.1, 0.3]))
    size = (depth, width, height - 0.06 - low)
    parts = [
        finish.on(box("cabinet", size, (0, 0, low))),
        fronts(
            "cabinet",
            rng,
            size,
            finish,
            columns=max(int(width / 0.45), 1),
            rows=[1.0] if rng.random() < 0.5 else [1.0, 1.0],
        ).moved((0, 0, low)),
    ]
    top_finish = white if rng.random() < 0.5 else draw_finish(rng, "stone", "tile", "wood")
    concept = "sink" if top_finish is white else "counter"
    parts.append(
        top_finish.on(box(concept, (depth + 0.03, width + 0.02, 0.04), (0.01, 0, height - 0.05)))
    )
    for k in range(basins):
        y = (k - (basins - 1) / 2) * width / 2
        half = min(width / basins * 0.38, 0.26)
        outline = _oval(depth * 0.34, half, 16)
        # The basin stands a little out of the top, and is hollow down to it.
        rise = _between(rng, 0.02, 0.13)
        z = height - 0.012
        levels = [(0.9, z), (1.0, z + rise), (0.9, z + rise), (0.6, z + 0.012), (0.03, z + 0.01)]
        rings = [
            np.column_stack([outline * scale + [0.03, y], np.full(16, level)])
            for scale, level in levels
        ]
        parts.append(white.on(loft("sink", np.stack(rings))))
        parts.append(faucet(rng, _between(rng, 0.14, 0.26)).moved((-depth * 0.36, y, height)))
    for _ in range(int(rng.integers(0, 5))):
        name = str(rng.choice(["soap bottle", "cup", "towel", "plant", "candle"]))
        spot = (-depth * 0.3, _between(rng, -0.46, 0.46) * width, height)
        parts.append(SMALL_OBJECTS[name](rng).moved(spot, scale=0.6 if name == "towel" else 1.0))
    parts += _above_sink(rng, -depth / 2, width, height)
    return merge(parts)


def _above_sink(rng: Rng, x: float, width: float, height: float) -> list[Mesh]:
    """Return a mirror or a mirror cabinet, and a lamp, on the wall behind a sink at ``x``."""
    parts: list[Mesh] = []
    low, tall = height + _between(rng, 0.15, 0.3), _between(rng, 0.5, 1.0)
    wide = max(width * _between(rng, 0.7, 1.1), 0.35)
    if rng.random() < 0.85:
        thick = 0.13 if rng.random() < 0.25 else 0.02
        body = "cabinet" if thick > 0.1 else "mirror"
        case = box_between(body, (x, -wide / 2, low), (x + thick, wide / 2, low + tall))
        pane = box_between(
            "mirror",
            (x + thick, -wide / 2 + 0.01, low + 0.01),
            (x + thick + 0.004, wide / 2 - 0.01, low + tall - 0.01),
        )
        parts += [draw_finish(rng, "ceiling_paint", "wood", "chrome").on(case), pane]
        if rng.random() < 0.5:
            lamp = box_between(
                "wall lamp",
                (x, -wide / 3, low + tall + 0.04),
                (x + 0.1, wide / 3, low + tall + 0.1),
            )
            parts.append(draw_finish(rng, "frosted_glass").on(lamp))
    return parts


def towel_rail(rng: Rng) -> Mesh:
    """Return a rail or hooks on a wall with towels, the wall at x = 0."""
    width, z = _between(rng, 0.4, 0.75), _between(rng, 1.1, 1.5)
    metal = draw_finish(rng, "chrome")
    parts = [
        metal.on(
            tube("towel rack", (0.07, -width / 2, z), (0.07, width / 2, z), 0.01),
            *(tube("towel rack", (0, y, z), (0.07, y, z), 0.012) for y in (-width / 2, width / 2)),
        )
    ]
    y = -width / 2 + 0.02
    while y < width / 2 - 0.15:
        wide = min(_between(rng, 0.2, 0.5), width / 2 - y)
        if rng.random() < 0.85:
            front, back = _between(rng, 0.3, 0.7), _between(rng, 0.25, 0.6)
            sheet = [(0.085, z - front), (0.09, z), (0.07, z + 0.012), (0.05, z), (0.055, z - back)]
            rows = [[(px, y, pz), (px, y + wide, pz)] for px, pz in sheet]
            parts.append(
                draw_finish(rng, "linen", "fabric").on(loft("towel", np.array(rows), closed=False))
            )
        y += wide + 0.04
    return merge(parts)


def paper_holder(rng: Rng) -> Mesh:
    """Return a holder with a roll of toilet paper, the wall at x = 0."""
    z = _between(rng, 0.6, 0.8)
    roll = plain_finish("paper", (0.75, 0.75, 0.74)).on(
        tube("toilet paper", (0.08, -0.05, z), (0.08, 0.05, z), 0.055, sides=12)
    )
    return merge(
        [
            roll,
            draw_finish(rng, "chrome").on(
                box("toilet paper", (0.08, 0.13, 0.02), (0.04, 0, z + 0.055))
            ),
        ]
    )


def washing_machine(rng: Rng, concept: str = "washing machine") -> Mesh:
    """Return a washing machine, a dryer, or one on top of the other."""
    finish, height = draw_finish(rng, "appliance"), _between(rng, 0.82, 0.9)
    if finish.color.mean() < 0.3 and rng.random() < 0.7:
        finish = plain_finish("appliance", (0.7, 0.7, 0.69))
    parts = []
    names = [concept, "clothes dryer"] if rng.random() < 0.15 else [concept]
    for level, name in enumerate(names):
        z = level * height
        ring = tube(name, (0.28, 0, z + height * 0.48), (0.32, 0, z + height * 0.48), 0.2, sides=16)
        pane = tube(
            name, (0.3, 0, z + height * 0.48), (0.335, 0, z + height * 0.48), 0.15, sides=14
        )
        panel = box_between(
            name, (0.29, -0.29, z + height - 0.13), (0.305, 0.29, z + height - 0.02)
        )
        parts += [
            finish.on(box(name, (0.58, 0.6, height), (0, 0, z))),
            finish.darker(0.5).on(ring, panel),
            draw_finish(rng, "screen").on(pane),
        ]
    return merge(parts)


def clothes_dryer(rng: Rng) -> Mesh:
    """Return a tumble dryer."""
    return washing_machine(rng, "clothes dryer")


def toilet_stalls(rng: Rng, count: int) -> Mesh:
    """Return toilets beside each other between partitions, with doors, along y."""
    finish, width, depth = draw_finish(rng, "plastic", "steel", "wall_paint"), 0.95, 1.5
    parts = []
    for k in range(count):
        y = (k - (count - 1) / 2) * width
        parts.append(toilet(rng).moved((-depth / 2 + 0.35, y, 0)))
        angle = float(rng.choice([0.0, _between(rng, 0.3, 1.4)]))
        leaf = box_between("door", (0, 0, 0.15), (0.03, width - 0.25, 1.95))
        parts.append(finish.on(leaf).moved((depth / 2, y - width / 2 + 0.15, 0), -angle))
        parts.append(
            finish.on(
                box_between(
                    "partition",
                    (depth / 2, y - width / 2, 0.15),
                    (depth / 2 + 0.03, y - width / 2 + 0.14, 2.0),
                )
            )
        )
    for k in range(count + 1):
        y = (k - count / 2) * width
        parts.append(
            finish.on(
                box_between("partition", (-depth / 2, y - 0.012, 0.15), (depth / 2, y + 0.012, 2.0))
            )
        )
    return merge(parts)
