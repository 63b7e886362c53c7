"""Facades: walls with windows, doors, shop fronts, balconies and what is fixed to them.

A facade lies in the plane y = 0 along x, centred on x = 0, and faces −y; z = 0 is the ground.
Panes let light through to curtains, to a room, or to nothing; or they send some of it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.materials import palettes
from weights.recipe.simulate.primitives import (
    F32,
    F64,
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    instanced,
    labelled_mesh,
    merge,
    quads,
    tube,
)

WALL = "facade wall"


@dataclass(frozen=True, slots=True)
class FacadeStyle:
    """What the elements of one facade have in common.

    Attributes:
        wall: material of the wall.
        plinth: material of its foot.
        plinth_m: height of the foot, 0 for none.
        frame_color: (3,) linear colour of window frames.
        frame_m: width of window frames in metres.
        bars: vertical and horizontal bars that divide a window.
        recess_m: how far windows lie behind the wall's surface.
        pane: material of panes.
        behind: what is behind panes: "nothing", "room", "curtain" or "mixed".
        has_shutters: whether there are shutters beside windows.
        has_sills: whether windows have sills that stand out.
        surround_m: width of the frames of stone around windows, 0 for none.
        detail: whether facades are seen from near; otherwise small things are left out.
    """

    wall: str
    plinth: str
    plinth_m: float
    frame_color: F32
    frame_m: float
    bars: tuple[int, int]
    recess_m: float
    pane: str
    behind: str
    has_shutters: bool
    has_sills: bool
    surround_m: float
    detail: bool


def draw_facade_style(rng: Rng, *, detail: bool) -> FacadeStyle:
    """Return a random style."""
    walls = ["plaster"] * 6 + ["brick"] * 3 + ["siding", "stone", "concrete", "wood"]
    frame = palettes()["white"][0] if rng.random() < 0.6 else rng.choice(palettes()["wood"])
    if rng.random() < 0.25:
        frame = np.array([0.08, 0.08, 0.09])
    return FacadeStyle(
        str(rng.choice(walls)),
        str(rng.choice(["stone", "concrete", "plaster", "brick"])),
        float(rng.choice([0, 0, rng.uniform(0.3, 1.0)])),
        np.asarray(frame, dtype=np.float32),
        float(rng.uniform(0.05, 0.12)),
        (int(rng.choice([0, 0, 1, 1, 2])), int(rng.choice([0, 0, 1, 1, 2]))),
        float(rng.choice([0.02, rng.uniform(0.05, 0.3)])),
        str(rng.choice(["glass"] * 4 + ["dirty_glass"] * 4 + ["blank_glass"] * 2)),
        str(rng.choice(["nothing", "room", "curtain", "mixed", "mixed"])),
        bool(rng.random() < 0.15),
        bool(rng.random() < 0.6),
        float(rng.choice([0, 0, rng.uniform(0.08, 0.2)])),
        detail,
    )


@dataclass(frozen=True, slots=True)
class Hole:
    """A rectangle that is cut out of the wall, and what fills it.

    Attributes:
        left: x of its left edge in metres.
        low: z of its lower edge.
        width: metres.
        height: metres.
        kind: "window", "door", "shop", "garage", "passage" or "balcony door".
    """

    left: float
    low: float
    width: float
    height: float
    kind: str


def wall_with_holes(
    x_range: tuple[float, float],
    z_range: tuple[float, float],
    holes: Sequence[Hole],
    style: FacadeStyle,
) -> Mesh:
    """Return the wall between two positions and two heights, without its holes."""
    x_edges = [*x_range, *(edge for hole in holes for edge in (hole.left, hole.left + hole.width))]
    z_edges = [*z_range, *(edge for hole in holes for edge in (hole.low, hole.low + hole.height))]
    if style.plinth_m:
        z_edges.append(style.plinth_m)
    x = np.unique(np.round([edge for edge in x_edges if x_range[0] <= edge <= x_range[1]], 4))
    z = np.unique(np.round([edge for edge in z_edges if z_range[0] <= edge <= z_range[1]], 4))
    middle_x, middle_z = (x[:-1] + x[1:]) / 2, (z[:-1] + z[1:]) / 2
    # (columns, rows) cells of the grid that all edges make.
    is_wall = np.ones((len(middle_x), len(middle_z)), dtype=np.bool_)
    for hole in holes:
        inside_x = (middle_x > hole.left) & (middle_x < hole.left + hole.width)
        inside_z = (middle_z > hole.low) & (middle_z < hole.low + hole.height)
        is_wall &= ~(inside_x[:, None] & inside_z[None, :])
    column, row = np.nonzero(is_wall)
    corners = np.stack(
        [
            _corner(x[column], z[row]),
            _corner(x[column + 1], z[row]),
            _corner(x[column + 1], z[row + 1]),
            _corner(x[column], z[row + 1]),
        ],
        axis=1,
    )
    is_plinth = z[row + 1] <= style.plinth_m + 1e-6
    return merge(
        [
            quads(WALL, corners[~is_plinth]).made_of(style.wall),
            quads(WALL, corners[is_plinth]).made_of(style.plinth),
        ]
    )


def _corner(x: F64, z: F64) -> F64:
    return np.stack([x, np.zeros_like(x), z], axis=1)


def _upright(concept: str, x: tuple[float, float], z: tuple[float, float], y: float) -> Mesh:
    """Return an upright rectangle at depth ``y`` that faces −y and +y."""
    (x0, x1), (z0, z1) = x, z
    return quads(concept, [[(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)]])


def _reveal(concept: str, width: float, height: float, depth: float) -> Mesh:
    """Return the four sides of a hole from the wall's surface to ``depth``, from x = 0, z = 0."""
    x0, x1, z0, z1 = 0.0, width, 0.0, height
    ring = [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]
    sides = [
        [(a[0], 0, a[1]), (b[0], 0, b[1]), (b[0], depth, b[1]), (a[0], depth, a[1])]
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
    ]
    return quads(concept, sides)


def _behind(rng: Rng, style: FacadeStyle, size: tuple[float, float], depth: float) -> list[Mesh]:
    """Return what is seen through a pane of (width, height) metres from x = 0, z = 0.

    Curtains and blinds belong to the window; rooms have no ground truth.
    """
    width, height = size
    kind = style.behind
    if kind == "mixed":
        kind = str(rng.choice(["nothing", "room", "curtain", "curtain", "blind"]))
    parts = []
    if kind in ("curtain", "room") and rng.random() < 0.7:
        share = float(rng.choice([1.0, rng.uniform(0.15, 0.45)]))
        sides = (
            [(0.0, width * share)]
            if share == 1
            else [(0.0, width * share), (width * (1 - share), width)]
        )
        for side in sides:
            parts.append(_folded(rng, side, (0.0, height), depth + float(rng.uniform(0.08, 0.25))))
    if kind == "blind":
        lowered = height * float(rng.uniform(0.3, 1))
        z_range = (height - lowered, height)
        parts.append(_upright("window", (0, width), z_range, depth + 0.06).made_of("plastic"))
    if kind == "room":
        far = depth + float(rng.uniform(0.8, 5))
        room = merge(
            [
                _upright("unlabeled", (-1.5, width + 1.5), (-1, height + 0.4), far),
                quads(
                    "unlabeled",
                    [
                        [
                            (-1.5, depth, z),
                            (width + 1.5, depth, z),
                            (width + 1.5, far, z),
                            (-1.5, far, z),
                        ]
                        for z in (-1.0, height + 0.4)
                    ],
                ),
            ]
        )
        parts.append(room.made_of("wall_paint"))
        for _ in range(int(rng.integers(0, 3))):
            size_m = rng.uniform(0.3, 1.2, 3)
            y = float(rng.uniform(depth + 0.4, max(far - 0.3, depth + 0.5)))
            piece = box(
                "unlabeled",
                (float(size_m[0]), 0.3, float(size_m[2])),
                (float(rng.uniform(0, width)), y, -0.9),
            )
            parts.append(piece.made_of("wood"))
    return parts


def _folded(rng: Rng, x_range: tuple[float, float], z_range: tuple[float, float], y: float) -> Mesh:
    """Return a curtain with folds, labelled as a part of the window."""
    count = max(int((x_range[1] - x_range[0]) / 0.07), 2)
    x = np.linspace(*x_range, count + 1)
    fold = y + 0.03 * np.cos(np.arange(count + 1) * np.pi)
    corners = [
        [
            (x[k], fold[k], z_range[0]),
            (x[k + 1], fold[k + 1], z_range[0]),
            (x[k + 1], fold[k + 1], z_range[1]),
            (x[k], fold[k], z_range[1]),
        ]
        for k in range(count)
    ]
    opacity = float(rng.choice([1.0, 0.5]))
    return quads("window", corners, opacity).made_of("curtain")


def window_unit(rng: Rng, style: FacadeStyle, width: float, height: float) -> Mesh:
    """Return a window whose lower left corner is at x = 0, z = 0, with all that belongs to it."""
    depth, bar = style.recess_m, style.frame_m
    parts = [_reveal(WALL, width, height, depth).made_of(style.wall)]
    frame = [
        box_between("window", (0, depth - 0.03, z), (width, depth + 0.04, z + bar))
        for z in (0.0, height - bar)
    ]
    frame += [
        box_between("window", (x, depth - 0.03, 0), (x + bar, depth + 0.04, height))
        for x in (0.0, width - bar)
    ]
    for number, (length, along_x) in enumerate(((width, True), (height, False))):
        for k in range(style.bars[number]):
            at = length * (k + 1) / (style.bars[number] + 1)
            low = (
                (at - bar * 0.4, depth - 0.02, 0) if along_x else (0, depth - 0.02, at - bar * 0.4)
            )
            high = (
                (at + bar * 0.4, depth + 0.03, height)
                if along_x
                else (width, depth + 0.03, at + bar * 0.4)
            )
            frame.append(box_between("window", low, high))
    parts.append(merge(frame).made_of("plastic", style.frame_color))
    parts.append(_upright("window", (0, width), (0, height), depth).made_of(style.pane))
    parts += _behind(rng, style, (width, height), depth)
    if style.has_sills:
        sill = box_between(WALL, (-0.06, -0.08, -0.06), (width + 0.06, depth, 0.0))
        parts.append(sill.made_of("stone"))
    if style.surround_m:
        s = style.surround_m
        surround = [
            box_between(WALL, (-s, -0.04, -s), (0, 0.01, height + s)),
            box_between(WALL, (width, -0.04, -s), (width + s, 0.01, height + s)),
            box_between(WALL, (0, -0.04, height), (width, 0.01, height + s)),
        ]
        parts.append(merge(surround).made_of("stone"))
    if style.has_shutters:
        panel = width * 0.5
        leaves = [
            box_between("shutter", (x, -0.06, 0), (x + panel, -0.02, height))
            for x in (-panel - 0.03, width + 0.03)
        ]
        parts.append(merge(leaves))
    return merge(parts)


def door_unit(rng: Rng, style: FacadeStyle, width: float, height: float) -> Mesh:
    """Return a door with its frame, at times with panes beside and above it, and steps."""
    depth = float(rng.choice([style.recess_m, rng.uniform(0.1, 0.7)]))
    bar = float(rng.uniform(0.05, 0.1))
    color = rng.choice(palettes()[str(rng.choice(["wood", "paint", "white"]))])
    parts = [_reveal(WALL, width, height, depth).made_of(style.wall)]
    frame = [
        box_between("door", (x, depth - 0.03, 0), (x + bar, depth + 0.05, height))
        for x in (0.0, width - bar)
    ]
    frame.append(
        box_between("door", (0, depth - 0.03, height - bar), (width, depth + 0.05, height))
    )
    # A fanlight above tall doors; panes beside wide ones, or two leaves.
    top = height - bar
    if height > 2.35:
        top = float(rng.uniform(1.98, 2.15))
        frame.append(box_between("door", (0, depth - 0.03, top), (width, depth + 0.05, top + bar)))
        parts.append(_upright("door", (0, width), (top, height), depth).made_of(style.pane))
    left, right = bar, width - bar
    if width > 1.6 and rng.random() < 0.5:
        right = left + 1.0
        frame.append(
            box_between("door", (right, depth - 0.03, 0), (right + bar, depth + 0.05, top))
        )
        parts.append(_upright("door", (right, width), (0, top), depth).made_of(style.pane))
    leaves = (
        [(left, right)]
        if right - left < 1.5
        else [(left, (left + right) / 2), ((left + right) / 2, right)]
    )
    is_glazed = rng.random() < 0.4
    for x0, x1 in leaves:
        parts += _door_leaf(rng, style, (x0, x1, top), depth, color if not is_glazed else None)
    parts.append(merge(frame).made_of("wood", color))
    if is_glazed or rng.random() < 0.3:
        parts += _behind(rng, style, (width, height), depth)
    if style.detail and rng.random() < 0.3:
        steps = int(rng.integers(1, 5))
        parts += [
            box_between(
                "stairs",
                (-0.2, -0.32 * (steps - k), -0.17 * (k + 1)),
                (width + 0.2, depth, -0.17 * k),
            )
            for k in range(steps)
        ]
    return merge(parts)


def _door_leaf(
    rng: Rng, style: FacadeStyle, span: tuple[float, float, float], depth: float, color: F32 | None
) -> list[Mesh]:
    """Return a leaf between two x and of a height, ``span``; without a colour it is of glass."""
    x0, x1, top = span
    handle = box_between("door", (x1 - 0.12, depth - 0.07, 0.95), (x1 - 0.04, depth - 0.01, 1.1))
    parts = [handle.made_of("chrome")]
    if color is None:
        bar = 0.09
        edges = [
            box_between("door", (x0, depth - 0.02, z), (x1, depth + 0.03, z + bar))
            for z in (0.02, top - bar)
        ]
        edges += [
            box_between("door", (x, depth - 0.02, 0.02), (x + bar, depth + 0.03, top))
            for x in (x0, x1 - bar)
        ]
        pane = _upright("door", (x0, x1), (0.02, top), depth).made_of(style.pane)
        return [*parts, merge(edges).made_of("plastic", style.frame_color), pane]
    leaf = [box_between("door", (x0, depth, 0.01), (x1, depth + 0.04, top))]
    if rng.random() < 0.6:
        # Panels that stand out a little.
        leaf += [
            box_between("door", (x0 + 0.12, depth - 0.015, z0), (x1 - 0.12, depth, z1))
            for z0, z1 in ((0.2, 0.9), (1.15, top - 0.15))
        ]
    return [*parts, merge(leaf).made_of("wood", color)]


def garage_door_unit(rng: Rng, style: FacadeStyle, width: float, height: float) -> Mesh:
    """Return a garage door or a lowered rolling shutter with horizontal ribs."""
    depth = float(rng.uniform(0.05, 0.3))
    step = float(rng.choice([0.1, 0.25, 0.5]))
    z = np.arange(0, height, step)
    ribs = [
        [
            (0, depth, a),
            (width, depth, a),
            (width, depth - 0.02, a + step / 2),
            (0, depth - 0.02, a + step / 2),
        ]
        for a in z
    ] + [
        [
            (0, depth - 0.02, a + step / 2),
            (width, depth - 0.02, a + step / 2),
            (width, depth, a + step),
            (0, depth, a + step),
        ]
        for a in z
    ]
    color = rng.choice(palettes()[str(rng.choice(["white", "paint", "chrome", "wood"]))])
    return merge(
        [
            _reveal(WALL, width, height, depth).made_of(style.wall),
            quads("garage door", ribs).made_of("steel", color),
        ]
    )


def shop_front_unit(rng: Rng, style: FacadeStyle, width: float, height: float) -> Mesh:
    """Return a glazed shop front from the ground up.

    What reaches to the ground is a door, its fixed parts too; above a low wall there are windows.
    """
    depth, bar = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.04, 0.1))
    parapet = float(rng.choice([0.0, 0.0, 0.0, rng.uniform(0.3, 0.7)]))
    count = max(round(width / float(rng.uniform(0.8, 1.5))), 1)
    x = np.linspace(0, width, count + 1)
    doors = {int(rng.integers(count))} | (
        {int(rng.integers(count))} if rng.random() < 0.4 else set()
    )
    is_open = rng.random() < 0.3
    transom = float(rng.uniform(2.05, 2.3)) if height > 2.5 else height
    parts = [_reveal(WALL, width, height, depth).made_of(style.wall)]
    frames = []
    for k in range(count):
        x0, x1 = float(x[k]), float(x[k + 1])
        is_door = k in doors or parapet == 0
        concept = "door" if is_door else "window"
        low = 0.0 if is_door else parapet
        if not (k in doors and is_open):
            parts.append(_upright(concept, (x0, x1), (low, transom), depth).made_of(style.pane))
            frames.append(
                box_between(concept, (x0, depth - 0.03, low), (x1, depth + 0.03, low + bar))
            )
        if not is_door:
            parts.append(_upright(WALL, (x0, x1), (0, parapet), depth - 0.02).made_of(style.wall))
        if transom < height:
            parts.append(_upright(concept, (x0, x1), (transom, height), depth).made_of(style.pane))
        frames.append(
            box_between(concept, (x0, depth - 0.03, transom - bar), (x1, depth + 0.03, transom))
        )
        frames += [
            box_between(
                concept, (at - bar / 2, depth - 0.04, low), (at + bar / 2, depth + 0.04, height)
            )
            for at in (x0, x1)
        ]
    parts.append(merge(frames).made_of("steel", style.frame_color))
    parts += _behind(rng, style, (width, height), depth)
    # Goods in the window stand close behind the panes.
    for _ in range(int(rng.integers(0, 6)) * (style.behind != "nothing")):
        size = rng.uniform(0.2, 0.9, 3)
        where = (
            float(rng.uniform(0.2, max(width - 0.2, 0.3))),
            depth + float(rng.uniform(0.3, 1)),
            parapet,
        )
        parts.append(
            box("unlabeled", (float(size[0]), 0.3, float(size[2] * 1.5)), where).made_of("paper")
        )
    return merge(parts)


_UNITS = {
    "window": window_unit,
    "door": door_unit,
    "balcony door": door_unit,
    "shop": shop_front_unit,
    "garage": garage_door_unit,
}


def filled(rng: Rng, style: FacadeStyle, holes: Sequence[Hole]) -> Mesh:
    """Return what fills the holes; holes of one kind and size have one of three fillings each."""
    groups: dict[tuple[str, float, float], list[Hole]] = {}
    for hole in holes:
        groups.setdefault((hole.kind, round(hole.width, 2), round(hole.height, 2)), []).append(hole)
    parts = []
    for (kind, _, _), members in groups.items():
        if kind == "passage":
            parts += [
                _reveal(WALL, hole.width, hole.height, 3.0)
                .made_of(style.wall)
                .moved((hole.left, 0, hole.low))
                for hole in members
            ]
            continue
        for number in range(min(3, len(members))):
            own = members[number::3]
            unit = _UNITS[kind](rng, style, own[0].width, own[0].height)
            # Frames of windows lie 2 mm before the edge of the wall, so that none flickers.
            parts.append(instanced(unit, [(hole.left, 0.0, hole.low) for hole in own]))
    return merge(parts)


def balcony(rng: Rng, width: float, style: FacadeStyle) -> Mesh:
    """Return a balcony, ``width`` metres wide, whose floor is at z = 0; it stands out to −y."""
    depth, half = float(rng.uniform(0.6, 1.6)), width / 2
    slab = box_between("balcony", (-half, -depth, -0.18), (half, 0, 0)).made_of("concrete")
    kind = str(rng.choice(["bars", "bars", "panel", "glass"]))
    sides = [
        ((-half, -depth), (half, -depth)),
        ((-half, -depth), (-half, 0)),
        ((half, -depth), (half, 0)),
    ]
    parts = [slab]
    for (x0, y0), (x1, y1) in sides:
        rail = tube("balcony", (x0, y0, 1.0), (x1, y1, 1.0), 0.03, sides=4).made_of("steel")
        parts.append(rail)
        if kind == "bars":
            count = max(int(np.hypot(x1 - x0, y1 - y0) / 0.13), 2)
            at = np.linspace(0, 1, count)
            feet = np.stack([x0 + (x1 - x0) * at, y0 + (y1 - y0) * at, 0 * at], axis=1)
            bar = box("balcony", (0.02, 0.02, 1.0)).made_of("steel")
            parts.append(instanced(bar, feet))
        else:
            panel = quads(
                "balcony", [[(x0, y0, 0.05), (x1, y1, 0.05), (x1, y1, 0.95), (x0, y0, 0.95)]]
            )
            parts.append(panel.made_of("glass" if kind == "glass" else "siding"))
    if style.detail and rng.random() < 0.4:
        flowers = box("plant", (width * 0.6, 0.2, 0.3), (0, -depth - 0.1, 0.75)).made_of("bush")
        parts.append(flowers)
    return merge(parts)


def awning(rng: Rng, width: float) -> Mesh:
    """Return an awning that hangs from z = 0 down to −y, with a valance."""
    out, down = float(rng.uniform(0.8, 2.2)), float(rng.uniform(0.3, 0.9))
    x0, x1 = -width / 2, width / 2
    cloth = [
        [(x0, 0, 0), (x1, 0, 0), (x1, -out, -down), (x0, -out, -down)],
        [(x0, -out, -down), (x1, -out, -down), (x1, -out, -down - 0.2), (x0, -out, -down - 0.2)],
    ]
    return quads("awning", cloth)


def shop_sign(rng: Rng, width: float) -> Mesh:
    """Return a sign board from z = 0 up, at times with letters that stand out."""
    height = float(rng.uniform(0.35, 1.1))
    thick = float(rng.uniform(0.04, 0.25))
    board = box_between("shop sign", (-width / 2, -thick, 0), (width / 2, 0, height))
    parts = [board]
    if rng.random() < 0.6:
        size = height * 0.55
        at = np.arange(-width * 0.35, width * 0.35, size * 1.15)
        letters = [
            box_between(
                "shop sign",
                (x, -thick - 0.04, height * 0.2),
                (x + size * 0.7, -thick, height * 0.2 + size),
            )
            for x in at
            if rng.random() < 0.85
        ]
        if letters:
            parts.append(merge(letters).made_of("sign_board", rng.choice(palettes()["shirt"])))
    return merge(parts)


def hanging_sign(rng: Rng) -> Mesh:
    """Return a small sign that stands out from the wall at z = 0."""
    out, size = float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.4, 0.9))
    return merge(
        [
            tube("shop sign", (0, 0, size), (0, -out, size), 0.02, sides=4).made_of("steel"),
            box_between("shop sign", (-0.04, -out, 0), (0.04, -out + size, size - 0.05)),
        ]
    )


def downpipe(height: float) -> Mesh:
    """Return a pipe down the wall from ``height`` metres."""
    return tube("downpipe", (0, -0.08, 0), (0, -0.08, height), 0.05)


def wall_lamp(rng: Rng) -> Mesh:
    """Return a lamp on the wall at z = 0."""
    bracket = tube("lamp", (0, 0, 0), (0, -0.2, 0.05), 0.015, sides=4).made_of("steel")
    return merge([bracket, ellipsoid("lamp", (0, -0.25, 0), (0.1, 0.1, 0.14), 6)])


def air_conditioner(rng: Rng) -> Mesh:
    """Return the outer unit of an air conditioner on the wall at z = 0."""
    width = float(rng.uniform(0.7, 0.95))
    return box("air conditioner", (width, 0.3, 0.55), (0, -0.22, 0)).made_of("appliance")


def cornice(width: float, z: float, rng: Rng) -> Mesh:
    """Return a moulding along the wall at height ``z``."""
    out, high = float(rng.uniform(0.05, 0.35)), float(rng.uniform(0.1, 0.35))
    return box_between(WALL, (-width / 2, -out, z), (width / 2, 0.02, z + high)).made_of("stone")


def ivy(rng: Rng, width: float, height: float) -> Mesh:
    """Return leaves that climb a wall from the ground up."""
    count = int(min(width * height * 120, 6000))
    x = rng.normal(0, width / 3, count)
    z = rng.random(count) ** 0.7 * height * np.clip(1 - np.abs(x) / width, 0.1, 1)
    centers = np.stack([x, -np.abs(rng.normal(0.05, 0.06, count)), z], axis=1)
    corners = rng.normal(0, 0.06, (count, 3, 3)) + centers[:, None, :]
    return labelled_mesh("ivy", corners, 0.9).made_of("leaves")


@dataclass(frozen=True, slots=True)
class FacadePlan:
    """The floors and holes of a facade.

    Attributes:
        width: metres.
        floor_levels: (floors + 1,) heights of the floors and of the eaves in metres.
        holes: what is cut out.
        is_shop: whether the ground floor is a row of shop fronts.
    """

    width: float
    floor_levels: NDArray[np.float64]
    holes: tuple[Hole, ...]
    is_shop: bool


def draw_facade_plan(
    rng: Rng, width: float, floors: int, floor_height: float, ground: str
) -> FacadePlan:
    """Return a random facade plan.

    Args:
        rng: draws it.
        width: metres.
        floors: number of floors.
        floor_height: metres.
        ground: what the ground floor has: "shops", "house", "garages", "windows" or "blank".
    """
    first_height = floor_height * (float(rng.uniform(1.0, 1.4)) if ground == "shops" else 1.0)
    levels = np.concatenate(
        [[0.0, first_height], first_height + floor_height * np.arange(1, floors)]
    )
    holes = _ground_holes(rng, width, first_height, ground)
    # Upper floors repeat one row of windows; large glazing happens too.
    pitch = float(rng.uniform(1.5, 3.6))
    is_band = rng.random() < 0.15
    columns = max(int((width - 0.6) / pitch), 1)
    pitch = (width - 0.6) / columns if columns > 1 else pitch
    window_width = min(
        pitch * float(rng.uniform(0.35, 0.65)) if not is_band else pitch * 0.92, width - 0.5
    )
    high = floor_height * float(rng.choice([rng.uniform(0.42, 0.6), 0.78]))
    sill = float(np.clip(floor_height - high - rng.uniform(0.2, 0.5), 0.12, 1.1))
    left = -columns * pitch / 2 + (pitch - window_width) / 2
    skipped = rng.random(columns) < (0.1 if columns > 2 else 0)
    balconies = rng.random(columns) < float(rng.choice([0, 0, 0.4]))
    for floor in range(1, floors):
        for k in range(columns):
            if skipped[k]:
                continue
            x, z = left + k * pitch, float(levels[floor])
            if balconies[k]:
                holes.append(
                    Hole(x, z + 0.02, window_width, min(2.2, floor_height - 0.3), "balcony door")
                )
            else:
                holes.append(Hole(x, z + sill, window_width, high, "window"))
    return FacadePlan(width, levels, tuple(holes), ground == "shops")


def _ground_holes(rng: Rng, width: float, height: float, ground: str) -> list[Hole]:
    """Return the holes of a ground floor, from left to right without overlaps."""
    holes: list[Hole] = []
    x = -width / 2 + float(rng.uniform(0.25, 0.7))
    top = height - float(rng.uniform(0.4, 0.9))
    sill = float(rng.uniform(0.7, 1.1))
    door_at = float(rng.uniform(-0.4, 0.3)) * width
    has_door = ground == "blank"
    while ground != "blank":
        room = width / 2 - 0.25 - x
        if ground == "shops":
            size = min(float(rng.uniform(2.0, 6.0)), room)
            if size < 1.2:
                break
            is_door = rng.random() < 0.15
            wide = min(size, 1.1) if is_door else size
            kind = "door" if is_door else str(rng.choice(["shop"] * 6 + ["garage"]))
            holes.append(Hole(x, 0.02, wide, min(top, 3.4) if not is_door else min(top, 2.3), kind))
            x += wide + float(rng.choice([rng.uniform(0.3, 0.6), rng.uniform(0.6, 1.5)]))
            continue
        if ground == "garages":
            if room < 2.4:
                break
            holes.append(Hole(x, 0.02, 2.4, min(2.1, height - 0.3), "garage"))
            x += 2.4 + float(rng.uniform(0.2, 0.6))
            continue
        if not has_door and x > door_at and room > 1.2:
            wide = float(rng.choice([0.95, 1.0, 1.3, 1.9]))
            wide = min(wide, room)
            holes.append(
                Hole(
                    x,
                    0.02,
                    wide,
                    float(rng.uniform(2.0, max(min(2.7, height - 0.3), 2.05))),
                    "door",
                )
            )
            has_door = True
            x += wide + float(rng.uniform(0.4, 1.5))
            continue
        wide = float(rng.uniform(0.7, 1.8))
        if room < wide:
            break
        holes.append(Hole(x, sill, wide, max(min(top - sill, 1.6), 0.5), "window"))
        x += wide + float(rng.uniform(0.5, 1.8))
    return holes


def facade(rng: Rng, plan: FacadePlan, style: FacadeStyle, *, foot: float = -0.3) -> Mesh:
    """Return a whole facade: wall, holes with their fillings, and what is fixed to it.

    Args:
        rng: draws the details.
        plan: floors and holes.
        style: the common look.
        foot: lower edge of the wall; below 0 on sloping ground.
    """
    half, top = plan.width / 2, float(plan.floor_levels[-1])
    parts = [
        wall_with_holes((-half, half), (foot, top), plan.holes, style),
        filled(rng, style, plan.holes),
    ]
    for hole in plan.holes:
        if hole.kind == "balcony door":
            piece = balcony(rng, hole.width + float(rng.uniform(0.3, 1.2)), style)
            parts.append(piece.moved((hole.left + hole.width / 2, 0, hole.low)))
    if plan.is_shop:
        parts += _shop_extras(rng, plan)
    if style.detail:
        parts += _extras(rng, plan, top)
    return merge(parts)


def _shop_extras(rng: Rng, plan: FacadePlan) -> list[Mesh]:
    """Return signs and awnings above shop fronts."""
    parts = []
    has_signs, has_awnings = rng.random() < 0.75, rng.random() < 0.3
    for hole in plan.holes:
        if hole.kind not in ("shop", "garage"):
            continue
        x, z = hole.left + hole.width / 2, hole.low + hole.height + 0.08
        if has_signs and rng.random() < 0.85:
            parts.append(
                shop_sign(rng, hole.width * float(rng.uniform(0.6, 1.05))).moved((x, 0, z))
            )
        if has_awnings and rng.random() < 0.7:
            parts.append(awning(rng, hole.width).moved((x, 0, z)))
        if rng.random() < 0.15:
            parts.append(hanging_sign(rng).moved((hole.left - 0.2, 0, z)))
    return parts


def _extras(rng: Rng, plan: FacadePlan, top: float) -> list[Mesh]:
    """Return downpipes, lamps, mouldings, air conditioners and ivy, each with some probability."""
    half = plan.width / 2
    parts = []
    if rng.random() < 0.6:
        parts.append(downpipe(top).moved((float(rng.choice([-1, 1])) * (half - 0.12), 0, 0)))
    if rng.random() < 0.4:
        parts.append(cornice(plan.width, top - 0.3, rng))
    if rng.random() < 0.25 and len(plan.floor_levels) > 2:
        parts.append(cornice(plan.width, float(plan.floor_levels[1]) - 0.15, rng))
    for _ in range(int(rng.poisson(0.6))):
        parts.append(
            wall_lamp(rng).moved((float(rng.uniform(-half, half)), 0, float(rng.uniform(2, 3))))
        )
    for _ in range(int(rng.poisson(0.4))):
        where = (
            float(rng.uniform(-half + 0.5, half - 0.5)),
            0.0,
            float(rng.uniform(2.2, max(top - 1, 2.4))),
        )
        parts.append(air_conditioner(rng).moved(where))
    if rng.random() < 0.06:
        where = (float(rng.uniform(-half, half)), 0.0, 0.0)
        parts.append(ivy(rng, float(rng.uniform(1, 3)), float(rng.uniform(2, top))).moved(where))
    return parts
