"""Buildings with recessed windows, roofs, balconies, porches and bays.

A building's front wall is on y = 0 and faces −y, centred on x = 0; the building extends to +y.
Walls reach 3.5 m below z = 0, so that no gap opens on sloping ground.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.facades import (
    WALL,
    FacadeStyle,
    draw_facade_plan,
    draw_facade_style,
    facade,
)
from weights.recipe.simulate.materials import material_index
from weights.recipe.simulate.primitives import (
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


@dataclass(frozen=True, slots=True)
class BuildingShape:
    """The measures of a building.

    Attributes:
        width: metres along x.
        depth: metres along y.
        floors: number of floors.
        floor_height: metres.
        roof: "flat", "gable", "hip" or "shed".
        wall_concept: the concept of walls, windows and balconies.
        roof_concept: the concept of the roof.
        extra_m: how much higher the eaves are than the floors together.
    """

    width: float
    depth: float
    floors: int
    floor_height: float
    roof: str
    wall_concept: str = "building"
    roof_concept: str = "building"
    extra_m: float = 0.3

    @property
    def eaves(self) -> float:
        """The height of the walls in metres."""
        return self.floors * self.floor_height + self.extra_m


@dataclass(frozen=True, slots=True)
class Windows:
    """The regular pattern of windows on a wall, in metres.

    Attributes:
        pitch: distance between the middles of neighbouring windows.
        width: width of a window.
        height: height of a window.
        sill: height of a window's lower edge above its floor.
        recess: how far the panes lie behind the wall's surface.
    """

    pitch: float
    width: float
    height: float
    sill: float
    recess: float


def draw_windows(rng: Rng, floor_height: float) -> Windows:
    """Return a random pattern of windows for floors ``floor_height`` metres high."""
    pitch = float(rng.uniform(1.8, 4.0))
    width = pitch * float(rng.choice([rng.uniform(0.3, 0.6), 0.85]))
    height = floor_height * float(rng.choice([rng.uniform(0.35, 0.55), 0.75]))
    sill = min(floor_height - height - 0.2, float(rng.uniform(0.3, 1.0)))
    return Windows(pitch, width, height, max(sill, 0.1), float(rng.uniform(0.04, 0.3)))


def plain_facade(shape: BuildingShape, width: float, windows: Windows, style: FacadeStyle) -> Mesh:
    """Return a wall along x at y = 0, ``width`` metres wide, with windows recessed to +y."""
    # Grid lines x and z; the cells in odd columns and odd rows are windows.
    columns = max(int((width - 0.8) / windows.pitch), 0)
    first = (width - columns * windows.pitch) / 2 + (windows.pitch - windows.width) / 2
    left = first + np.arange(columns) * windows.pitch
    low = np.arange(shape.floors) * shape.floor_height + windows.sill
    x = (
        np.concatenate([[0.0], np.stack([left, left + windows.width], axis=1).ravel(), [width]])
        - width / 2
    )
    z = np.concatenate(
        [[-3.5], np.stack([low, low + windows.height], axis=1).ravel(), [shape.eaves]]
    )
    column, row = (
        grid.ravel()
        for grid in np.meshgrid(np.arange(len(x) - 1), np.arange(len(z) - 1), indexing="ij")
    )
    is_window = (column % 2 == 1) & (row % 2 == 1)
    wall = _panels(x, z, (column[~is_window], row[~is_window]), 0.0)
    panes = _panels(x, z, (column[is_window], row[is_window]), windows.recess)
    parts = [
        quads(shape.wall_concept, wall).made_of(style.wall),
        quads("window", panes).made_of(style.pane),
    ]
    if len(panes) and windows.recess > 0.1:
        # (panes, 4 sides, 4 corners, 3): the reveals between the wall's surface and each pane.
        front = panes.copy()
        front[:, :, 1] = 0.0
        next_corner = [1, 2, 3, 0]
        jambs = np.stack([front, front[:, next_corner], panes[:, next_corner], panes], axis=2)
        parts.append(quads(shape.wall_concept, jambs).made_of(style.wall))
    return merge(parts)


def _panels(
    x: F64,
    z: F64,
    cell: tuple[NDArray[np.int64], NDArray[np.int64]],
    y: float,
) -> F64:
    """Return (cells, 4, 3) corners of the cells (column, row) of a grid at depth ``y``."""
    i, j = cell
    depth = np.full(len(i), y)
    corners = [(x[i], z[j]), (x[i + 1], z[j]), (x[i + 1], z[j + 1]), (x[i], z[j + 1])]
    return np.stack([np.stack([a, depth, b], axis=1) for a, b in corners], axis=1)


def roof(shape: BuildingShape, rng: Rng) -> Mesh:
    """Return the roof of a building, of the shape that ``shape.roof`` names."""
    overhang = float(rng.uniform(0.1, 0.6))
    half_width, rear, eaves = shape.width / 2 + overhang, shape.depth + overhang, shape.eaves
    if shape.roof == "flat":
        return _flat_roof(shape, rng)
    rise = float(rng.uniform(0.25, 0.6)) * shape.depth / 2 * (1.5 if shape.roof == "gable" else 1.0)
    concept, middle = shape.roof_concept, shape.depth / 2
    if shape.roof == "shed":
        return quads(
            concept,
            [
                [
                    (-half_width, -overhang, eaves),
                    (half_width, -overhang, eaves),
                    (half_width, rear, eaves + rise * 0.6),
                    (-half_width, rear, eaves + rise * 0.6),
                ]
            ],
        )
    inset = min(shape.depth / 2, half_width * 0.8) if shape.roof == "hip" else 0.0
    a, b = (-half_width + inset, middle, eaves + rise), (half_width - inset, middle, eaves + rise)
    fl, fr, br, bl = (
        (-half_width, -overhang, eaves),
        (half_width, -overhang, eaves),
        (half_width, rear, eaves),
        (-half_width, rear, eaves),
    )
    planes = quads(concept, [[fl, fr, b, a], [br, bl, a, b]])
    if shape.roof == "hip":
        return merge([planes, labelled_mesh(concept, [[fl, a, bl], [fr, b, br]])])
    # The triangles at both ends of a gable roof are walls.
    ends = [
        [
            (s * shape.width / 2, 0, eaves),
            (s * shape.width / 2, shape.depth, eaves),
            (s * shape.width / 2, middle, eaves + rise),
        ]
        for s in (-1, 1)
    ]
    gables = labelled_mesh(shape.wall_concept, ends)
    return merge([planes, gables, _on_roof(shape, rng, rise)])


def _on_roof(shape: BuildingShape, rng: Rng, rise: float) -> Mesh:
    """Return what a gable roof has that rises ``rise`` metres, each with some probability."""
    x = float(rng.uniform(-0.35, 0.35)) * shape.width
    parts = []
    if rng.random() < 0.6:
        foot = (x, shape.depth * 0.6, shape.eaves + rise * 0.5)
        parts.append(box("chimney", (0.7, 0.6, rise * 0.6 + 1.0), foot))
    if rng.random() < 0.35:
        for center in (-0.25, 0.25):
            size = (1.6, shape.depth * 0.3, min(1.5, rise * 0.7))
            foot = (center * shape.width, shape.depth * 0.2, shape.eaves + rise * 0.12)
            parts.append(box("dormer", size, foot))
            pane = box(
                "window",
                (1.1, 0.02, size[2] * 0.6),
                (foot[0], foot[1] - size[1] / 2, foot[2] + 0.3),
            )
            parts.append(pane.made_of("blank_glass"))
    if rng.random() < 0.3:
        parts.append(_antenna(rng).moved((-x, shape.depth * 0.45, shape.eaves + rise * 0.8)))
    if rng.random() < 0.25:
        concept = str(rng.choice(["solar panel", "skylight"]))
        parts.append(_on_slope(shape, rng, rise, concept))
    return merge(parts)


def _antenna(rng: Rng) -> Mesh:
    """Return a television aerial or a satellite dish."""
    if rng.random() < 0.5:
        dish = ellipsoid("satellite dish", (0, 0, 0.5), (0.4, 0.12, 0.4), 10)
        return merge(
            [tube("satellite dish", (0, 0.1, -0.5), (0, 0.1, 0.5), 0.03).made_of("steel"), dish]
        )
    rods = [
        tube("antenna", (-0.5, 0.15 * k, 1.6), (0.5, 0.15 * k, 1.6), 0.012, sides=3)
        for k in range(5)
    ]
    return merge([tube("antenna", (0, 0.3, -0.5), (0, 0.3, 1.7), 0.03), *rods])


def _on_slope(shape: BuildingShape, rng: Rng, rise: float, concept: str) -> Mesh:
    """Return solar panels or skylights on the front slope of a gable roof."""
    # Fractions along the roof and up its slope, of one rectangle or two.
    count = 1 if concept == "solar panel" else int(rng.integers(1, 4))
    wide = float(rng.uniform(0.4, 0.8)) if concept == "solar panel" else 0.8 / shape.width
    high = float(rng.uniform(0.4, 0.8)) if concept == "solar panel" else 0.25
    parts = []
    for k in range(count):
        x0 = (-wide / 2 if count == 1 else -0.35 + 0.3 * k) * shape.width
        x1, low, top = x0 + wide * shape.width, 0.15, 0.15 + high
        corners = [
            (x, shape.depth / 2 * up, shape.eaves + rise * up + 0.12)
            for x, up in ((x0, low), (x1, low), (x1, top), (x0, top))
        ]
        parts.append(quads(concept, [corners]))
    return merge(parts)


def _flat_roof(shape: BuildingShape, rng: Rng) -> Mesh:
    """Return a flat roof with a parapet and boxes such as ventilation units."""
    half_width, depth, eaves, concept = (
        shape.width / 2,
        shape.depth,
        shape.eaves,
        shape.roof_concept,
    )
    parts = [
        quads(
            concept,
            [
                [
                    (-half_width, 0, eaves),
                    (half_width, 0, eaves),
                    (half_width, depth, eaves),
                    (-half_width, depth, eaves),
                ]
            ],
        )
    ]
    parapet = float(rng.choice([0.0, 0.3, 0.9]))
    if parapet:
        parts += [
            box_between(concept, (-half_width, y, eaves), (half_width, y + 0.25, eaves + parapet))
            for y in (0, depth - 0.25)
        ]
        parts += [
            box_between(concept, (x, 0, eaves), (x + 0.25, depth, eaves + parapet))
            for x in (-half_width, half_width - 0.25)
        ]
    for _ in range(int(rng.integers(0, 4)) + int(shape.width * shape.depth / 400)):
        size = rng.uniform(0.8, 3.5, 3)
        position = (
            float(rng.uniform(-half_width + 2, max(half_width - 2, -half_width + 2.1))),
            float(rng.uniform(1.5, max(depth - 1.5, 1.6))),
            eaves,
        )
        unit = box(concept, (float(size[0]), float(size[1]), float(size[2]) * 0.7), position)
        parts.append(unit.made_of("sheet_metal"))
    if rng.random() < 0.15 and shape.width > 8:
        tilt = [[(-1.0, 0, 0.2), (1.0, 0, 0.2), (1.0, 0.9, 0.7), (-1.0, 0.9, 0.7)]]
        x = np.arange(-half_width + 1.5, half_width - 1, 2.2)
        y = np.arange(1.5, depth - 2, 2.0)
        where = np.stack(np.meshgrid(x, y, [eaves]), axis=-1).reshape(-1, 3)
        parts.append(instanced(quads("solar panel", tilt), where))
    return merge([parts[0].made_of("bitumen"), *parts[1:]])


def _porch(shape: BuildingShape, rng: Rng) -> Mesh:
    x, depth = float(rng.uniform(-0.3, 0.3)) * shape.width, float(rng.uniform(1, 2.5))
    width, top = float(rng.uniform(1.6, 4)), shape.floor_height * 0.95
    concept = "porch"
    parts = [box(concept, (width, depth, 0.2), (x, -depth / 2, top), taper=(0.9, 0.9))]
    parts += [
        box(concept, (0.15, 0.15, top), (x + s * width * 0.45, -depth * 0.9, 0)) for s in (-1, 1)
    ]
    parts += [
        box(
            "stairs",
            (width * 0.8, 0.35 * (3 - k), 0.16),
            (x, -depth - 0.1 - 0.17 * (3 - k), 0.16 * k),
        )
        for k in range(3)
    ]
    return merge(parts)


def building(
    shape: BuildingShape, rng: Rng, *, style: FacadeStyle | None = None, detail: bool = True
) -> Mesh:
    """Return a building with four walls with plain windows, and a roof.

    Args:
        shape: its measures.
        rng: draws windows, roof and details.
        style: materials of walls and panes; None draws them.
        detail: whether to add a porch and a bay, each with some probability.
    """
    style = style or draw_facade_style(rng, detail=False)
    windows = draw_windows(rng, shape.floor_height)
    front = plain_facade(shape, shape.width, windows, style)
    return merge(
        [front, _other_walls(shape, windows, style), *_top_and_details(shape, rng, style, detail)]
    )


def _other_walls(shape: BuildingShape, windows: Windows, style: FacadeStyle) -> Mesh:
    """Return the walls at the back and at both sides."""
    back = plain_facade(shape, shape.width, windows, style)
    side = plain_facade(shape, shape.depth, windows, style)
    return merge(
        [
            back.moved((0, shape.depth, 0), np.pi),
            side.moved((-shape.width / 2, shape.depth / 2, 0), -np.pi / 2),
            side.moved((shape.width / 2, shape.depth / 2, 0), np.pi / 2),
        ]
    )


def _top_and_details(
    shape: BuildingShape, rng: Rng, style: FacadeStyle, detail: bool
) -> list[Mesh]:
    """Return the roof, and at times a porch and a bay."""
    wall = concept_index(shape.wall_concept)
    top = roof(shape, rng)
    # Gables are of the walls' material.
    gable = np.where(top.label == wall, material_index(style.wall), top.material)
    parts = [replace(top, material=gable.astype(np.uint8))]
    if detail and rng.random() < 0.4:
        parts.append(_porch(shape, rng))
    if detail and rng.random() < 0.35:
        parts.append(_bay(shape, rng))
    return parts


# What the ground floor of each kind of building has; see `draw_facade_plan`.
_GROUND_FLOORS = {
    "house": ("house", "house", "garages"),
    "terrace": ("house", "house", "house", "shops"),
    "block": ("shops", "shops", "house", "windows"),
    "tower": ("shops", "windows"),
    "hall": ("garages", "shops", "blank", "windows"),
    "shed": ("garages", "house", "blank"),
}


def street_building(rng: Rng, kind: str, width: float, *, detail: bool) -> Mesh:
    """Return a painted building whose front has doors, windows with frames, shops, balconies.

    Args:
        rng: draws it.
        kind: a kind for `draw_shape`.
        width: metres.
        detail: whether it is seen from near.
    """
    shape = draw_shape(rng, kind, width, "roof")
    style = draw_facade_style(rng, detail=detail)
    if shape.floors > 8:
        return building(replace(shape, wall_concept=WALL), rng, style=style, detail=False)
    ground = str(rng.choice(_GROUND_FLOORS[kind]))
    plan = draw_facade_plan(rng, width, shape.floors, shape.floor_height, ground)
    extra_m = float(plan.floor_levels[-1]) - shape.floors * shape.floor_height
    shape = replace(shape, wall_concept=WALL, extra_m=extra_m)
    windows = draw_windows(rng, shape.floor_height)
    front = facade(rng, plan, style, foot=-3.5)
    others = _other_walls(shape, windows, style)
    with_bay = kind == "house" and ground == "house"
    top = _top_and_details(shape, rng, style, with_bay)
    return merge([front, others, *top]).painted(rng)


def _bay(shape: BuildingShape, rng: Rng) -> Mesh:
    """Return a lower part that stands out at the front, such as a bay or a garage."""
    width = shape.width * float(rng.uniform(0.25, 0.6))
    height = shape.floor_height * (1 + int(shape.floors > 2 and rng.random() < 0.5))
    depth = float(rng.uniform(0.4, 4.0))
    x = float(rng.choice([-1, 1])) * (shape.width - width) / 2
    wing = BuildingShape(
        width,
        depth,
        1,
        height,
        str(rng.choice(["flat", "gable", "shed"])),
        shape.wall_concept,
        shape.roof_concept,
    )
    wall = [
        box_between(
            shape.wall_concept, (x - width / 2, -depth, -1), (x + width / 2, -depth + 0.15, height)
        ),
        box_between(
            shape.wall_concept, (x - width / 2, -depth, -1), (x - width / 2 + 0.15, 0, height)
        ),
        box_between(
            shape.wall_concept, (x + width / 2 - 0.15, -depth, -1), (x + width / 2, 0, height)
        ),
    ]
    return merge([*wall, roof(wing, rng).moved((x, -depth, 0))])


def draw_shape(rng: Rng, kind: str, width: float, roof_concept: str = "building") -> BuildingShape:
    """Return random measures of a building ``width`` metres wide.

    Args:
        rng: draws the measures.
        kind: "house", "terrace", "block", "tower", "hall" or "shed".
        width: metres.
        roof_concept: the concept of the roof.
    """
    # Ranges of depth in metres, floors (the second excluded), floor height in metres; roof shapes.
    ranges_of_kind = {
        "house": ((7, 12), (1, 3), (2.5, 3.0), ["gable", "gable", "hip", "hip", "flat", "shed"]),
        "terrace": ((8, 12), (2, 5), (2.7, 3.3), ["gable", "gable", "flat"]),
        "block": ((10, 20), (3, 8), (2.8, 3.6), ["flat", "flat", "hip"]),
        "tower": ((15, 28), (8, 25), (3.0, 3.8), ["flat"]),
        "hall": ((15, 40), (1, 2), (4.5, 8.0), ["flat", "flat", "gable", "shed"]),
        "shed": ((2.5, 5), (1, 2), (2.1, 2.8), ["gable", "flat", "shed"]),
    }
    depth, floors, floor_height, roofs = ranges_of_kind[kind]
    return BuildingShape(
        width,
        float(rng.uniform(*depth)),
        int(rng.integers(*floors)),
        float(rng.uniform(*floor_height)),
        str(rng.choice(roofs)),
        roof_concept=roof_concept,
    )
