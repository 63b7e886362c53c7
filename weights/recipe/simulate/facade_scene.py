"""A row of buildings along a street, built in detail, with the sidewalk and what stands on it.

The row stands on y = 0 along x and faces −y, where the street is.
"""

import numpy as np

from weights.recipe.simulate import people, vegetation, vehicles
from weights.recipe.simulate import street_furniture as furniture
from weights.recipe.simulate.facades import (
    WALL,
    FacadeStyle,
    draw_facade_plan,
    draw_facade_style,
    facade,
)
from weights.recipe.simulate.mesh_catalogue import Catalogue, draw_from_catalogue
from weights.recipe.simulate.primitives import Mesh, Rng, box, labelled_mesh, merge, quads

GROUND_FLOORS = ("shops", "shops", "shops", "house", "windows", "garages")


def draw_row(rng: Rng, catalogue: Catalogue) -> tuple[Mesh, float]:
    """Return a random row of one to four buildings, and half its length in metres.

    Args:
        rng: draws everything.
        catalogue: ready-made meshes of what stands on the sidewalk.
    """
    count = int(rng.choice([1, 1, 2, 2, 3, 4]))
    widths = rng.uniform(5, 22, count)
    x = -widths.sum() / 2
    parts = []
    for width in widths:
        # Buildings of one row stand a little before or behind each other.
        back = float(rng.choice([0.0, 0.0, rng.uniform(0, 1.2)]))
        parts.append(_building(rng, float(width)).moved((x + float(width) / 2, back, 0)))
        x += float(width)
    half = float(widths.sum() / 2)
    parts.append(_street(rng, half))
    parts += _on_the_sidewalk(rng, catalogue, half)
    return merge(part.painted(rng) for part in parts), half


def _building(rng: Rng, width: float) -> Mesh:
    """Return the street side of a building with its gable, roof and side walls."""
    style = draw_facade_style(rng, detail=True)
    floors = int(rng.choice([1, 2, 2, 3, 3, 4, 5]))
    ground = str(rng.choice(GROUND_FLOORS))
    plan = draw_facade_plan(rng, width, floors, float(rng.uniform(2.7, 3.6)), ground)
    front = facade(rng, plan, style)
    # A building has one colour, so it is painted before the parts of others are added.
    top, half = float(plan.floor_levels[-1]), width / 2
    depth = float(rng.uniform(4, 9))
    sides = quads(
        WALL,
        [
            [
                (s * half, 0, -0.3),
                (s * half, depth, -0.3),
                (s * half, depth, top),
                (s * half, 0, top),
            ]
            for s in (-1, 1)
        ],
    ).made_of(style.wall)
    return merge([front, sides, _top(rng, style, width, top, depth)]).painted(rng)


def _top(rng: Rng, style: FacadeStyle, width: float, top: float, depth: float) -> Mesh:
    """Return a gable towards the street, a roof that falls towards it, or a parapet."""
    half = width / 2
    kind = str(rng.choice(["gable", "eaves", "parapet", "parapet"]))
    if kind == "parapet":
        rise = float(rng.uniform(0.1, 1.2))
        edge = quads(
            WALL, [[(-half, 0, top), (half, 0, top), (half, 0, top + rise), (-half, 0, top + rise)]]
        )
        deck = quads(
            "roof", [[(-half, 0, top), (half, 0, top), (half, depth, top), (-half, depth, top)]]
        )
        return merge([edge.made_of(style.wall), deck.made_of("bitumen")])
    rise = width * float(rng.uniform(0.15, 0.45)) if kind == "gable" else float(rng.uniform(1, 3.5))
    over = float(rng.uniform(0.1, 0.6))
    if kind == "eaves":
        slope = [
            [
                (-half, -over, top - 0.1),
                (half, -over, top - 0.1),
                (half, depth, top + rise),
                (-half, depth, top + rise),
            ]
        ]
        return merge(
            [quads("roof", slope), box("downpipe", (width, 0.14, 0.12), (0, -over, top - 0.15))]
        )
    ridge = float(rng.uniform(-0.3, 0.3)) * width
    triangle = labelled_mesh(WALL, [[(-half, 0, top), (half, 0, top), (ridge, 0, top + rise)]])
    planes = [
        [
            (s * half, -over, top),
            (ridge, -over, top + rise),
            (ridge, depth, top + rise),
            (s * half, depth, top),
        ]
        for s in (-1, 1)
    ]
    parts = [triangle.made_of(style.wall), quads("roof", planes)]
    if rise > 2 and rng.random() < 0.7:
        parts.append(_gable_window(rng, width, (ridge, top, rise)))
    return merge(parts)


def _gable_window(rng: Rng, width: float, apex: tuple[float, float, float]) -> Mesh:
    """Return glazing in a gable: a rectangle, or panes whose upper edge follows the roof.

    Args:
        rng: draws it.
        width: the gable's width in metres.
        apex: x of the ridge, height of the eaves, and rise of the ridge above them in metres.
    """
    ridge, top, rise = apex
    # Panes lie before the wall, so light must not pass them.
    if rng.random() < 0.5:
        size = min(1.4, rise * 0.4)
        corners = [(ridge - size / 2, -0.01, top + 0.2), (ridge + size / 2, -0.01, top + 0.2)]
        corners += [(x, y, top + 0.2 + size) for x, y, _ in corners[::-1]]
        return quads("window", [corners]).made_of("blank_glass")
    panes = []
    for side in (-1, 1):
        near, far = 0.5, width * 0.36
        upper = [top + rise * (1 - at / (width / 2 + abs(ridge))) - 0.4 for at in (near, far)]
        x0, x1 = ridge + side * near, ridge + side * far
        low = top + 0.15
        panes.append(
            [
                (x0, -0.01, low),
                (x1, -0.01, low),
                (x1, -0.01, max(upper[1], low)),
                (x0, -0.01, max(upper[0], low)),
            ]
        )
    return quads("window", panes).made_of("blank_glass")


def _street(rng: Rng, half: float) -> Mesh:
    """Return sidewalk, curb and road before the row."""
    wide, rise = float(rng.uniform(1.5, 5)), float(rng.uniform(0.05, 0.18))
    far, edge = half + 25, -wide
    strips = [
        quads("sidewalk", [[(-far, 3, 0), (far, 3, 0), (far, edge, -0.02), (-far, edge, -0.02)]]),
        quads(
            "curb",
            [
                [
                    (-far, edge, -0.02),
                    (far, edge, -0.02),
                    (far, edge - 0.03, -rise),
                    (-far, edge - 0.03, -rise),
                ]
            ],
        ),
        quads(
            "road",
            [
                [
                    (-far, edge - 0.03, -rise),
                    (far, edge - 0.03, -rise),
                    (far, -30, -rise),
                    (-far, -30, -rise),
                ]
            ],
        ),
    ]
    return merge(strips)


def _on_the_sidewalk(rng: Rng, catalogue: Catalogue, half: float) -> list[Mesh]:
    """Return people, plants, bicycles, boards and poles on the sidewalk, and parked vehicles."""
    parts = []
    for _ in range(int(rng.poisson(half * 0.25))):
        x, y = float(rng.uniform(-half, half)), -float(rng.uniform(0.4, 2.5))
        mesh = _thing(rng, catalogue)
        parts.append(mesh.painted(rng).moved((x, y, 0.0), float(rng.uniform(0, 6.28))))
    if rng.random() < 0.35:
        for x in np.arange(-half - 8, half + 8, 6.5):
            if rng.random() < 0.4:
                vehicle = vehicles.draw_vehicle(rng).painted(rng)
                parts.append(vehicle.moved((float(x), -float(rng.uniform(4.5, 5.5)), -0.12)))
    return parts


def _thing(rng: Rng, catalogue: Catalogue) -> Mesh:
    """Return something that stands on a sidewalk."""
    makers = (
        people.person,
        lambda r: vegetation.bush(r, float(r.uniform(0.4, 1.0)), "plant"),
        furniture.trash_can,
        furniture.bench,
        lambda _: vehicles.bicycle(),
        furniture.traffic_sign,
        lambda r: furniture.planter(r),
        lambda r: box("box", (0.4, 0.5, float(r.uniform(0.3, 0.9)))),
        furniture.cafe_table,
        lambda r: vehicles.motorcycle(r),
    )
    if rng.random() < 0.4:
        concept = str(rng.choice(["person", "bicycle", "bench", "motorcycle", "trash can"]))
        ready_made = draw_from_catalogue(catalogue, concept, rng)
        if ready_made is not None:
            return ready_made
    return makers[int(rng.integers(len(makers)))](rng)
