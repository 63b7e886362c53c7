"""What hangs on walls and under ceilings, and columns.

What hangs on a wall has its back at x = 0 and faces +x; its z is the height above the floor. What
hangs under a ceiling has the ceiling at z = 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish, plain_finish
from weights.recipe.simulate.household import draw_small_object, television, turned
from weights.recipe.simulate.materials import palettes
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    merge,
    polyline_tube,
    quads,
    tube,
)
from weights.recipe.simulate.storage import row_of_books


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _patchwork(
    rng: Rng, concept: str, width: float, z_range: tuple[float, float], x: float, material: str
) -> Mesh:
    """Return a coloured picture: a plane of patches whose colours change smoothly."""
    columns, rows = int(rng.integers(3, 9)), int(rng.integers(3, 9))
    names = ("paint", "shirt", "tree_crown", "plaster", "sign")
    palette = palettes()[names[int(rng.integers(len(names)))]]
    pick = palette[rng.integers(len(palette), size=(columns, rows))]
    pick = pick * 0.6 + np.roll(pick, 1, axis=0) * 0.2 + np.roll(pick, 1, axis=1) * 0.2
    y = np.linspace(-width / 2, width / 2, columns + 1)
    z = np.linspace(*z_range, rows + 1)
    return merge(
        Finish(material, pick[i, j]).on(
            quads(
                concept,
                [
                    [
                        (x, y[i], z[j]),
                        (x, y[i + 1], z[j]),
                        (x, y[i + 1], z[j + 1]),
                        (x, y[i], z[j + 1]),
                    ]
                ],
            )
        )
        for i in range(columns)
        for j in range(rows)
    )


def picture(rng: Rng) -> Mesh:
    """Return a framed picture, a canvas or a poster."""
    width = _between(rng, 0.2, 1.3)
    height = float(np.clip(width * rng.uniform(0.55, 1.5), 0.2, 1.3))
    low = _between(rng, 1.35, 1.7) - height / 2
    is_poster = rng.random() < 0.25
    thick = 0.004 if is_poster else _between(rng, 0.012, 0.05)
    edge = 0.0 if is_poster else float(rng.choice([0.0, _between(rng, 0.015, 0.06)]))
    frame = draw_finish(rng, "wood", "screen", "chrome", "ceiling_paint")
    body = frame.on(box_between("picture", (0, -width / 2, low), (thick, width / 2, low + height)))
    face = _patchwork(
        rng, "picture", width - 2 * edge, (low + edge, low + height - edge), thick + 0.003, "paper"
    )
    return merge([body, face])


def mirror(rng: Rng) -> Mesh:
    """Return a mirror with or without a frame, rectangular or round."""
    width, height = _between(rng, 0.35, 1.1), _between(rng, 0.45, 1.5)
    low = max(_between(rng, 0.25, 1.1), 0.1)
    frame, thick = draw_finish(rng, "wood", "chrome", "screen"), _between(rng, 0.01, 0.04)
    if rng.random() < 0.2:
        radius, z = width / 2, low + width / 2
        disc = tube("mirror", (0, 0, z), (thick, 0, z), radius, sides=24)
        return merge(
            [
                frame.on(disc),
                tube("mirror", (thick, 0, z), (thick + 0.003, 0, z), radius * 0.93, sides=24),
            ]
        )
    edge = float(rng.choice([0.0, _between(rng, 0.02, 0.07)]))
    body = box_between("mirror", (0, -width / 2, low), (thick, width / 2, low + height))
    pane = box_between(
        "mirror",
        (thick, -width / 2 + edge, low + edge),
        (thick + 0.004, width / 2 - edge, low + height - edge),
    )
    return merge([frame.on(body), pane])


def whiteboard(rng: Rng) -> Mesh:
    """Return a whiteboard or a blackboard with a tray, marks and eraser."""
    concept = str(rng.choice(["whiteboard", "whiteboard", "whiteboard", "blackboard"]))
    width, height, low = _between(rng, 0.8, 4.0), _between(rng, 0.8, 1.3), _between(rng, 0.75, 1.0)
    frame = draw_finish(rng, "steel", "chrome", "wood")
    colors = {"whiteboard": (0.72, 0.73, 0.73), "blackboard": (0.03, 0.07, 0.05)}
    surface = plain_finish("whiteboard" if concept == "whiteboard" else "plastic", colors[concept])
    parts = [
        frame.on(box_between(concept, (0, -width / 2, low), (0.02, width / 2, low + height))),
        surface.on(
            box_between(
                concept,
                (0.02, -width / 2 + 0.02, low + 0.02),
                (0.022, width / 2 - 0.02, low + height - 0.02),
            )
        ),
        frame.on(box_between(concept, (0, -width * 0.3, low - 0.02), (0.08, width * 0.3, low))),
    ]
    ink = (0.05, 0.08, 0.3) if concept == "whiteboard" else (0.6, 0.6, 0.58)
    for _ in range(int(rng.integers(0, 8))):
        y, z = _between(rng, -0.45, 0.35) * width, low + _between(rng, 0.15, 0.85) * height
        line = box_between(concept, (0.022, y, z), (0.024, y + _between(rng, 0.05, 0.5), z + 0.03))
        parts.append(Finish("paper", np.array(ink, dtype=np.float32)).on(line))
    return merge(parts)


def bulletin_board(rng: Rng) -> Mesh:
    """Return a board of cork or felt with papers pinned to it."""
    width, height, low = _between(rng, 0.6, 2.4), _between(rng, 0.5, 1.2), _between(rng, 0.9, 1.25)
    parts = [
        draw_finish(rng, "wood", "steel").on(
            box_between("bulletin board", (0, -width / 2, low), (0.02, width / 2, low + height))
        ),
        draw_finish(rng, "cardboard", "fabric").on(
            box_between(
                "bulletin board",
                (0.02, -width / 2 + 0.03, low + 0.03),
                (0.022, width / 2 - 0.03, low + height - 0.03),
            )
        ),
    ]
    for _ in range(int(rng.integers(2, 12))):
        y, z = _between(rng, -0.42, 0.3) * width, low + _between(rng, 0.08, 0.65) * height
        sheet = box_between("bulletin board", (0.022, y, z), (0.025, y + 0.2, z + 0.28))
        parts.append(draw_finish(rng, "paper", "ceiling_paint", "ceiling_paint").on(sheet))
    return merge(parts)


def projector_screen(rng: Rng) -> Mesh:
    """Return a projection screen that is let down from its case."""
    width, low, high = _between(rng, 1.6, 3.0), _between(rng, 0.8, 1.2), _between(rng, 2.2, 2.5)
    case = box_between(
        "projector screen", (0, -width / 2 - 0.1, high), (0.1, width / 2 + 0.1, high + 0.1)
    )
    sheet = box_between("projector screen", (0.05, -width / 2, low), (0.053, width / 2, high))
    white = plain_finish("whiteboard", (0.72, 0.72, 0.71))
    return white.on(case, sheet)


def wall_television(rng: Rng) -> Mesh:
    """Return a television that hangs on a wall."""
    return television(rng, on_wall=True).moved((0, 0, _between(rng, 0.9, 1.5)))


def wall_clock(rng: Rng) -> Mesh:
    """Return a round clock."""
    z, radius = _between(rng, 1.8, 2.2), _between(rng, 0.11, 0.2)
    rim = draw_finish(rng, "screen", "wood", "chrome").on(
        tube("clock", (0, 0, z), (0.04, 0, z), radius, sides=16)
    )
    face = plain_finish("paper", (0.72, 0.72, 0.7)).on(
        tube("clock", (0.04, 0, z), (0.043, 0, z), radius * 0.88, sides=16)
    )
    return merge([rim, face])


def wall_shelf(rng: Rng) -> Mesh:
    """Return a board on a wall with books or other things."""
    width, z, depth = _between(rng, 0.5, 1.4), _between(rng, 1.2, 1.75), _between(rng, 0.18, 0.28)
    parts = [
        draw_finish(rng, "wood", "ceiling_paint").on(
            box("shelf", (depth, width, 0.03), (depth / 2, 0, z))
        )
    ]
    if rng.random() < 0.6:
        parts.append(
            row_of_books(rng, width * _between(rng, 0.3, 0.9), 0.27, depth).moved(
                (depth / 2, 0, z + 0.03)
            )
        )
    else:
        for y in np.arange(-width / 2 + 0.12, width / 2 - 0.1, 0.25):
            parts.append(draw_small_object(rng, most_m=0.22).moved((depth / 2, float(y), z + 0.03)))
    return merge(parts)


def radiator(rng: Rng) -> Mesh:
    """Return a radiator: ribs, or a flat panel with grooves, or a towel radiator."""
    width, height = _between(rng, 0.5, 2.0), _between(rng, 0.4, 0.7)
    finish = draw_finish(rng, "ceiling_paint", "ceiling_paint", "steel")
    if rng.random() < 0.5:
        ribs = [
            box("radiator", (0.1, 0.045, height), (0.09, float(y), 0.12))
            for y in np.arange(-width / 2, width / 2, 0.06)
        ]
        return finish.on(*ribs)
    panel = box("radiator", (0.07, width, height), (0.08, 0, 0.12))
    grooves = [
        box("radiator", (0.01, 0.02, height * 0.9), (0.12, float(y), 0.12 + height * 0.05))
        for y in np.arange(-width / 2 + 0.03, width / 2, 0.045)
    ]
    valve = tube("radiator", (0.08, width / 2, 0.2), (0.08, width / 2 + 0.1, 0.2), 0.025)
    return finish.on(panel, *grooves, valve)


def air_conditioner(rng: Rng) -> Mesh:
    """Return an air conditioner under the ceiling."""
    width, low = _between(rng, 0.7, 1.0), _between(rng, 2.0, 2.2)
    body = box("air conditioner", (0.2, width, 0.28), (0.1, 0, low), taper=(1.1, 1))
    slot = box("air conditioner", (0.01, width * 0.9, 0.04), (0.2, 0, low + 0.03))
    finish = draw_finish(rng, "appliance", "ceiling_paint")
    return merge([finish.on(body), finish.darker(0.4).on(slot)])


def coat_hooks(rng: Rng) -> Mesh:
    """Return a board with hooks and coats."""
    width, z = _between(rng, 0.5, 1.3), _between(rng, 1.5, 1.75)
    parts = [
        draw_finish(rng, "wood", "steel").on(box("coat rack", (0.03, width, 0.1), (0.015, 0, z)))
    ]
    for y in np.arange(-width / 2 + 0.1, width / 2, 0.17):
        parts.append(
            draw_finish(rng, "chrome").on(
                tube(
                    "coat rack",
                    (0.02, float(y), z + 0.03),
                    (0.08, float(y), z + 0.05),
                    0.01,
                    sides=4,
                )
            )
        )
        if rng.random() < 0.55:
            drop, concept = (
                _between(rng, 0.35, 1.0),
                str(rng.choice(["clothes", "clothes", "bag", "towel"])),
            )
            cloth = box(
                concept, (0.13, 0.26, drop), (0.09, float(y), z + 0.02 - drop), taper=(0.6, 0.4)
            )
            parts.append(draw_finish(rng, "fabric", "trousers", "leather").on(cloth))
    return merge(parts)


def _plate(concept: str, size: tuple[float, float, float], z: float, finish: Finish) -> Mesh:
    return finish.on(box(concept, size, (size[0] / 2, 0, z)))


def light_switch(rng: Rng) -> Mesh:
    """Return a light switch."""
    return _plate(
        "light switch",
        (0.012, 0.085, 0.085),
        _between(rng, 1.0, 1.2),
        draw_finish(rng, "ceiling_paint", "screen"),
    )


def power_socket(rng: Rng) -> Mesh:
    """Return one to four power sockets."""
    width = 0.085 * int(rng.integers(1, 5))
    return _plate(
        "power socket",
        (0.012, width, 0.085),
        float(rng.choice([0.25, 0.3, 1.05])),
        draw_finish(rng, "ceiling_paint"),
    )


def exit_sign(rng: Rng) -> Mesh:
    """Return a green or red exit sign."""
    color = (0.03, 0.4, 0.12) if rng.random() < 0.7 else (0.5, 0.04, 0.03)
    return _plate(
        "exit sign", (0.04, 0.3, 0.15), _between(rng, 2.1, 2.3), plain_finish("sign_back", color)
    )


def fire_extinguisher(rng: Rng) -> Mesh:
    """Return a fire extinguisher on a wall."""
    z = float(rng.choice([0.02, _between(rng, 0.5, 0.9)]))
    body = tube("fire extinguisher", (0.1, 0, z), (0.1, 0, z + 0.48), 0.08, sides=12)
    head = box("fire extinguisher", (0.06, 0.14, 0.09), (0.1, 0, z + 0.48))
    hose = polyline_tube(
        "fire extinguisher",
        [(0.1, 0.05, z + 0.52), (0.14, 0.12, z + 0.35), (0.12, 0.1, z + 0.1)],
        0.012,
    )
    return merge(
        [
            plain_finish("car_paint", (0.5, 0.03, 0.03)).on(body),
            draw_finish(rng, "rubber").on(head, hose),
        ]
    )


def phone_or_intercom(rng: Rng) -> Mesh:
    """Return an intercom."""
    return _plate("intercom", (0.05, 0.1, 0.22), 1.4, draw_finish(rng, "appliance"))


def paper_dispenser(rng: Rng) -> Mesh:
    """Return a dispenser of paper towels or soap, or a hand dryer."""
    concept = str(rng.choice(["paper towel", "soap dispenser", "hand dryer"]))
    size = {
        "paper towel": (0.12, 0.3, 0.38),
        "soap dispenser": (0.1, 0.1, 0.2),
        "hand dryer": (0.18, 0.28, 0.32),
    }[concept]
    return _plate(
        concept, size, _between(rng, 1.05, 1.3), draw_finish(rng, "appliance", "chrome", "plastic")
    )


def wall_lamp(rng: Rng) -> Mesh:
    """Return a lamp on a wall."""
    z = _between(rng, 1.5, 1.9)
    shade = turned("wall lamp", [(0.06, z), (0.1, z + 0.18)]).moved((0.13, 0, 0))
    arm = tube("wall lamp", (0, 0, z + 0.02), (0.13, 0, z + 0.05), 0.014)
    return merge(
        [
            draw_finish(rng, "frosted_glass", "curtain").on(shade),
            draw_finish(rng, "chrome", "steel").on(
                arm, box("wall lamp", (0.02, 0.1, 0.14), (0.01, 0, z - 0.03))
            ),
        ]
    )


def pipe(rng: Rng) -> Mesh:
    """Return a pipe that runs up a wall."""
    radius, x = _between(rng, 0.015, 0.07), 0.1
    return draw_finish(rng, "steel", "ceiling_paint", "chrome").on(
        tube("pipe", (x, 0, 0), (x, 0, 2.4), radius, sides=9)
    )


def fuse_box(rng: Rng) -> Mesh:
    """Return a flat metal box, labelled as a cabinet."""
    size = (0.1, _between(rng, 0.3, 0.6), _between(rng, 0.4, 0.9))
    return _plate("cabinet", size, _between(rng, 1.0, 1.4), draw_finish(rng, "appliance", "steel"))


def handrail(rng: Rng) -> Mesh:
    """Return a handrail along a wall, as in hospitals."""
    width = _between(rng, 1.0, 3.0)
    return draw_finish(rng, "wood", "steel", "plastic").on(
        box("handrail", (0.05, width, 0.12), (0.07, 0, 0.85))
    )


WALL_OBJECTS: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "picture": picture,
        "mirror": mirror,
        "whiteboard": whiteboard,
        "bulletin board": bulletin_board,
        "projector screen": projector_screen,
        "television": wall_television,
        "clock": wall_clock,
        "shelf": wall_shelf,
        "radiator": radiator,
        "air conditioner": air_conditioner,
        "coat rack": coat_hooks,
        "light switch": light_switch,
        "power socket": power_socket,
        "exit sign": exit_sign,
        "fire extinguisher": fire_extinguisher,
        "intercom": phone_or_intercom,
        "dispenser": paper_dispenser,
        "wall lamp": wall_lamp,
        "pipe": pipe,
        "fuse box": fuse_box,
        "handrail": handrail,
    }
)


def ceiling_objects(
    rng: Rng, size: tuple[float, float, float], style: str
) -> tuple[Mesh, list[tuple[float, float, float]]]:
    """Return lamps, beams, pipes and the like under a ceiling, and where the lamps are.

    Args:
        rng: draws them.
        size: width, depth and height of the room in metres.
        style: "grid" for the panels or tubes of offices, "single" for a lamp or spots of homes,
            "hall" for high halls with beams and pipes.

    Returns:
        The mesh in the room's frame, and (x, y, z) of each lamp in metres.
    """
    width, depth, height = size
    is_hall = style == "hall"
    parts, lamps = (
        _grid_of_lamps(rng, size, is_hall) if style != "single" else _home_lamps(rng, size)
    )
    if style == "grid":
        parts += _ceiling_extras(rng, size)
    if rng.random() < (0.6 if is_hall else 0.12):
        parts += _beams(rng, size)
    if rng.random() < (0.5 if is_hall else 0.05):
        for y in rng.uniform(0.3, depth - 0.3, 3):
            ends = (0, float(y), height - 0.25), (width, float(y), height - 0.25)
            run = tube("pipe", *ends, _between(rng, 0.03, 0.16), sides=9)
            parts.append(draw_finish(rng, "steel", "ceiling_paint").on(run))
    if style == "single" and rng.random() < 0.08:
        parts.append(_ceiling_fan(rng).moved((width / 2, depth / 2, height)))
    return merge(parts), lamps


_Lamps = tuple[list[Mesh], list[tuple[float, float, float]]]


def _grid_of_lamps(rng: Rng, size: tuple[float, float, float], is_hall: bool) -> _Lamps:
    """Return rows of like lamps, and where they are."""
    width, depth, height = size
    kind = str(rng.choice(["tube", "pendant"] if is_hall else ["panel", "tube", "pendant"]))
    steps = _between(rng, 1.8, 3.0), _between(rng, 1.8, 3.0)
    spots = [
        (float(x), float(y))
        for x in np.arange(1.2, width - 0.4, steps[0])
        for y in np.arange(1.0, depth - 0.4, steps[1])
    ]
    meshes = [_grid_lamp(rng, kind).moved((x, y, height)) for x, y in spots]
    return meshes, [(x, y, height - 0.1) for x, y in spots]


def _home_lamps(rng: Rng, size: tuple[float, float, float]) -> _Lamps:
    """Return a hanging lamp, a dome or spots, and where they are."""
    width, depth, height = size
    middle = (width / 2, depth / 2, height)
    if rng.random() < 0.5:
        return [_pendant(rng, height).moved(middle)], [(*middle[:2], height - 0.3)]
    if rng.random() < 0.6:
        radius = _between(rng, 0.14, 0.3)
        dome = ellipsoid("ceiling light", (0, 0, 0), (radius, radius, 0.1), 14)
        mesh = draw_finish(rng, "frosted_glass").on(dome).moved(middle)
        return [mesh], [(*middle[:2], height - 0.1)]
    spot = tube("ceiling light", (0, 0, -0.02), (0, 0, 0.0), 0.05, sides=10)
    spot = draw_finish(rng, "chrome").on(spot)
    places = [
        (float(x), float(y))
        for x in np.arange(0.8, width - 0.4, 1.3)
        for y in np.arange(0.8, depth - 0.4, 1.3)
    ]
    meshes = [spot.moved((x, y, height)) for x, y in places]
    return meshes, [(x, y, height - 0.05) for x, y in places]


def _grid_lamp(rng: Rng, kind: str) -> Mesh:
    if kind == "panel":
        size = (0.6, float(rng.choice([0.6, 1.2])), 0.05)
        return plain_finish("frosted_glass", (0.85, 0.85, 0.83)).on(
            box("ceiling light", size, (0, 0, -0.03))
        )
    if kind == "tube":
        drop = float(rng.choice([0.06, _between(rng, 0.2, 0.6)]))
        lamp = box("ceiling light", (0.14, 1.2, 0.07), (0, 0, -drop))
        wires = [
            tube("ceiling light", (0, y, -drop), (0, y, 0), 0.004, sides=4) for y in (-0.5, 0.5)
        ]
        return plain_finish("frosted_glass", (0.8, 0.8, 0.78)).on(lamp, *wires)
    drop = _between(rng, 0.3, 0.8)
    shade = turned("ceiling light", [(0.04, -drop + 0.16), (0.2, -drop)], 12)
    return draw_finish(rng, "steel", "screen").on(
        shade, tube("ceiling light", (0, 0, -drop + 0.16), (0, 0, 0), 0.008, sides=4)
    )


def _pendant(rng: Rng, height: float) -> Mesh:
    """Return a hanging lamp or a chandelier."""
    drop = _between(rng, 0.2, max(min(0.9, height - 1.9), 0.25))
    rod = draw_finish(rng, "steel", "chrome")
    if rng.random() < 0.2:
        ring, c = [], "chandelier"
        for a in np.linspace(0, 2 * np.pi, int(rng.integers(5, 9)), endpoint=False):
            tip = (0.3 * np.cos(a), 0.3 * np.sin(a), -drop)
            ring.append(tube(c, (0, 0, -drop + 0.1), tip, 0.012, sides=4))
            ring.append(ellipsoid(c, (tip[0], tip[1], -drop + 0.06), (0.04, 0.04, 0.07), 7))
        return rod.on(*ring, tube(c, (0, 0, -drop + 0.1), (0, 0, 0), 0.012))
    c, radius = "ceiling light", _between(rng, 0.1, 0.28)
    kind = str(rng.choice(["ball", "cone", "drum"]))
    shapes = {
        "ball": ellipsoid(c, (0, 0, -drop), (radius, radius, radius * 0.9), 14),
        "cone": turned(c, [(0.03, -drop + radius), (radius, -drop)], 14),
        "drum": turned(c, [(radius, -drop), (radius, -drop + 0.2)], 16),
    }
    return merge(
        [
            draw_finish(rng, "frosted_glass", "curtain", "steel").on(shapes[kind]),
            rod.on(tube(c, (0, 0, -drop), (0, 0, 0), 0.007, sides=4)),
        ]
    )


def _ceiling_fan(rng: Rng) -> Mesh:
    finish = draw_finish(rng, "wood", "ceiling_paint")
    blades = [
        box("fan", (0.6, 0.13, 0.01), (0.36, 0, -0.25)).moved((0, 0, 0), float(a))
        for a in np.linspace(0, 6.28, 5)[:-1]
    ]
    return finish.on(*blades, tube("fan", (0, 0, -0.3), (0, 0, 0), 0.05))


def _ceiling_extras(rng: Rng, size: tuple[float, float, float]) -> list[Mesh]:
    """Return vents, smoke detectors and a projector under the ceiling of an office."""
    width, depth, height = size
    parts = []
    for _ in range(int(rng.integers(0, 4))):
        spot = (_between(rng, 0.5, width - 0.4), _between(rng, 0.5, depth - 0.4), height)
        if rng.random() < 0.5:
            shape = draw_finish(rng, "ceiling_paint", "steel").on(
                box("vent", (0.5, 0.5, 0.02), (0, 0, -0.02))
            )
        else:
            shape = draw_finish(rng, "ceiling_paint").on(
                tube("smoke detector", (0, 0, -0.05), (0, 0, 0), 0.06, sides=10)
            )
        parts.append(shape.moved(spot))
    if rng.random() < 0.2:
        device = box("projector", (0.3, 0.35, 0.12), (0, 0, -0.6))
        pole = tube("projector", (0, 0, -0.5), (0, 0, 0), 0.02)
        parts.append(
            draw_finish(rng, "appliance").on(device, pole).moved((width * 0.5, depth * 0.5, height))
        )
    return parts


def _beams(rng: Rng, size: tuple[float, float, float]) -> list[Mesh]:
    width, depth, height = size
    drop, wide = _between(rng, 0.12, 0.5), _between(rng, 0.12, 0.5)
    finish = draw_finish(rng, "wood", "concrete", "ceiling_paint", "steel")
    return [
        finish.on(
            box_between("beam", (float(x), 0, height - drop), (float(x) + wide, depth, height))
        )
        for x in np.arange(1.0, width - wide, _between(rng, 1.5, 5))
    ]


def column(rng: Rng, height: float) -> Mesh:
    """Return a column of ``height`` metres, round or rectangular."""
    thickness = _between(rng, 0.2, 0.7)
    finish = draw_finish(rng, "concrete", "wall_paint", "plaster", "tile")
    if rng.random() < 0.4:
        return finish.on(tube("column", (0, 0, 0), (0, 0, height), thickness / 2, sides=16))
    return finish.on(box("column", (thickness, thickness * _between(rng, 0.7, 1.4), height)))


def stairs(rng: Rng) -> Mesh:
    """Return a flight of stairs that rises towards −x, with a railing."""
    width, count = _between(rng, 0.8, 1.5), int(rng.integers(6, 15))
    rise, tread = _between(rng, 0.16, 0.19), _between(rng, 0.25, 0.3)
    finish, is_open = draw_finish(rng, "wood", "concrete", "tile", "carpet"), rng.random() < 0.3
    steps = []
    for k in range(count):
        x, top = -tread * k + tread * count / 2, rise * (k + 1)
        tall = 0.05 if is_open else top
        steps.append(box("stairs", (tread + 0.03, width, tall), (x, 0, top - tall)))
    meshes = [finish.on(*steps)]
    if rng.random() < 0.7:
        y = width / 2 - 0.04
        ends = [
            (tread * count / 2, y, rise + 0.9),
            (-tread * count / 2 + tread, y, rise * count + 0.9),
        ]
        bars = [tube("railing", ends[0], ends[1], 0.025)]
        bars += [
            tube(
                "railing",
                (-tread * k + tread * count / 2, y, rise * (k + 1)),
                (-tread * k + tread * count / 2, y, rise * (k + 1) + 0.9),
                0.012,
                sides=4,
            )
            for k in range(count)
        ]
        meshes.append(draw_finish(rng, "wood", "steel", "chrome").on(*bars))
    return merge(meshes)


def rug(rng: Rng) -> Mesh:
    """Return a rug, rectangular or round, plain, with a border or with stripes."""
    width, depth = _between(rng, 0.6, 2.8), _between(rng, 0.5, 2.2)
    finish = draw_finish(rng, "carpet", "fabric")
    if rng.random() < 0.2:
        return finish.on(tube("rug", (0, 0, 0), (0, 0, 0.012), depth / 2, sides=24))
    thick = _between(rng, 0.006, 0.02)
    parts = [finish.on(box("rug", (depth, width, thick)))]
    other = draw_finish(rng, "carpet", "fabric")
    kind = str(rng.choice(["plain", "border", "stripes"]))
    if kind == "border":
        parts.append(other.on(box("rug", (depth * 0.8, width * 0.85, thick + 0.001))))
    elif kind == "stripes":
        parts += [
            other.on(box("rug", (depth, width * 0.06, thick + 0.001), (0, float(y), 0)))
            for y in np.linspace(-0.4, 0.4, 5) * width
        ]
    return merge(parts)


def partition(rng: Rng) -> Mesh:
    """Return a partition between desks, or a folding screen, along y."""
    width, height = _between(rng, 1.0, 2.0), _between(rng, 1.1, 1.8)
    finish = draw_finish(rng, "fabric", "upholstery", "wood")
    panel = finish.on(box("partition", (0.05, width, height - 0.06), (0, 0, 0.06)))
    feet = [box("partition", (0.4, 0.05, 0.06), (0, y, 0)) for y in (-width * 0.4, width * 0.4)]
    mesh = merge([panel, draw_finish(rng, "steel").on(*feet)])
    if rng.random() < 0.15:
        glass = box("partition", (0.01, width, 0.35), (0, 0, height))
        mesh = merge([mesh, glass.made_of("glass")])
    return replace(mesh)
