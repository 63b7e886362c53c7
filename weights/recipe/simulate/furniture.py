"""Furniture and small objects in rooms: seats, beds, tables, cabinets, shelves, lamps, boxes.

A piece stands on z = 0 and faces +x, with its back towards −x. Width is along y, depth along x.
What is attached to walls, floors and ceilings is in `room_fixtures`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    loft,
    merge,
    quads,
    random_triangles,
    tube,
)


def legs(
    concept: str, width: float, depth: float, height: float, thickness: float = 0.05
) -> list[Mesh]:
    """Return four legs at the corners of a rectangle; all measures are in metres."""
    return [
        box(
            concept,
            (thickness, thickness, height),
            (x * (depth / 2 - thickness), y * (width / 2 - thickness), 0),
        )
        for x in (-1, 1)
        for y in (-1, 1)
    ]


def chair(rng: Rng, concept: str = "chair") -> Mesh:
    """Return a chair with four legs and a backrest, at times with armrests."""
    width, seat_height, back_height = (
        float(rng.uniform(0.4, 0.52)),
        float(rng.uniform(0.42, 0.48)),
        float(rng.uniform(0.35, 0.6)),
    )
    parts = [
        box(concept, (width, width, 0.05), (0, 0, seat_height - 0.05)),
        *legs(concept, width, width, seat_height - 0.05, 0.035),
    ]
    lean = float(rng.uniform(0, 0.12))
    slats = 1 if rng.random() < 0.6 else 4
    for y in np.linspace(-width / 2, width / 2, slats + 1)[:-1]:
        slat_width = width / slats * (1 if slats == 1 else 0.5)
        backrest = [
            [
                (-width / 2, y, seat_height),
                (-width / 2, y + slat_width, seat_height),
                (-width / 2 - lean, y + slat_width, seat_height + back_height),
                (-width / 2 - lean, y, seat_height + back_height),
            ]
        ]
        parts.append(quads(concept, backrest))
        parts.append(quads(concept, np.asarray(backrest) - [0.03, 0, 0]))
    if rng.random() < 0.3:
        parts += [
            box_between(
                concept,
                (-width / 2, s * width / 2 - 0.025, seat_height + 0.2),
                (width * 0.35, s * width / 2 + 0.025, seat_height + 0.24),
            )
            for s in (-1, 1)
        ]
    return merge(parts)


def office_chair(rng: Rng) -> Mesh:
    """Return an office chair on five castors, mostly with armrests."""
    concept, seat_height = "office chair", float(rng.uniform(0.44, 0.55))
    parts = [
        box(concept, (0.48, 0.5, 0.08), (0, 0, seat_height - 0.08)),
        tube(concept, (0, 0, 0.1), (0, 0, seat_height), 0.035),
    ]
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        foot = (0.31 * np.cos(angle), 0.31 * np.sin(angle), 0.06)
        parts += [
            tube(concept, (0, 0, 0.12), foot, 0.025, sides=4),
            ellipsoid(concept, foot, (0.035, 0.035, 0.05), 6),
        ]
    back_height = float(rng.uniform(0.45, 0.7))
    parts.append(
        box_between(
            concept,
            (-0.27, -0.22, seat_height + 0.08),
            (-0.2, 0.22, seat_height + 0.08 + back_height),
        )
    )
    if rng.random() < 0.7:
        parts += [
            box_between(
                concept,
                (-0.2, s * 0.28 - 0.03, seat_height + 0.2),
                (0.1, s * 0.28 + 0.03, seat_height + 0.24),
            )
            for s in (-1, 1)
        ]
        parts += [
            box(concept, (0.04, 0.03, 0.25), (0, s * 0.28, seat_height - 0.04)) for s in (-1, 1)
        ]
    return merge(parts)


def stool(rng: Rng) -> Mesh:
    """Return a stool with a round seat and four legs."""
    height = float(rng.uniform(0.42, 0.75))
    return merge(
        [
            tube("stool", (0, 0, height - 0.05), (0, 0, height), 0.18, sides=12),
            *legs("stool", 0.32, 0.32, height - 0.05, 0.03),
        ]
    )


def sofa(rng: Rng, concept: str = "sofa") -> Mesh:
    """Return a sofa with two to four seats, or an armchair with one."""
    seats = 1 if concept == "armchair" else int(rng.integers(2, 5))
    seat_width, depth, seat_height = (
        float(rng.uniform(0.55, 0.75)),
        float(rng.uniform(0.8, 1.0)),
        float(rng.uniform(0.38, 0.46)),
    )
    width, back_height = seats * seat_width, float(rng.uniform(0.7, 0.95))
    parts = [
        box(concept, (depth, width, seat_height - 0.15), (0, 0, 0.05)),
        box(
            concept, (0.22, width, back_height - 0.05), (-depth / 2 + 0.11, 0, 0.05), taper=(0.7, 1)
        ),
    ]
    parts += [
        box(
            concept,
            (depth, 0.18, seat_height + 0.18),
            (0, s * (width / 2 + 0.09), 0.03),
            taper=(1, 0.9),
        )
        for s in (-1, 1)
    ]
    for k in range(seats):
        y = (k + 0.5) * seat_width - width / 2
        parts += [
            box(
                concept,
                (depth - 0.25, seat_width * 0.97, 0.14),
                (0.1, y, seat_height - 0.1),
                taper=(0.95, 0.95),
            ),
            box(
                concept,
                (0.16, seat_width * 0.95, 0.42),
                (-depth / 2 + 0.28, y, seat_height),
                taper=(0.6, 0.95),
            ),
        ]
        if rng.random() < 0.3:
            parts.append(
                pillow(rng).moved((-0.05, y, seat_height + 0.05), float(rng.uniform(0, 3)))
            )
    return merge(parts)


def armchair(rng: Rng) -> Mesh:
    """Return an armchair."""
    return sofa(rng, "armchair")


def pillow(rng: Rng) -> Mesh:
    """Return a pillow or a cushion."""
    return ellipsoid(
        "pillow",
        (0, 0, 0.1),
        (float(rng.uniform(0.15, 0.25)), float(rng.uniform(0.2, 0.35)), 0.1),
        10,
    )


def bed(rng: Rng) -> Mesh:
    """Return a bed with mattress, pillows and a wavy blanket; its head is towards −x."""
    width, length, height = (
        float(rng.choice([0.9, 1.0, 1.4, 1.6, 1.8])),
        float(rng.uniform(1.95, 2.1)),
        float(rng.uniform(0.4, 0.62)),
    )
    parts = [
        box("bed", (length, width, height - 0.2), (0, 0, 0.05)),
        box("bed", (length * 0.98, width * 0.98, 0.22), (0, 0, height - 0.2), taper=(0.97, 0.97)),
    ]
    if rng.random() < 0.8:
        parts.append(
            box(
                "bed", (0.08, width + 0.1, float(rng.uniform(0.7, 1.2))), (-length / 2 - 0.04, 0, 0)
            )
        )
    count = 1 if width < 1.2 else 2
    parts += [
        pillow(rng).moved((-length / 2 + 0.3, (k - (count - 1) / 2) * 0.7, height - 0.02))
        for k in range(count)
    ]
    blanket_start = float(rng.uniform(-0.2, 0.3)) * length
    x, y = np.meshgrid(
        np.linspace(blanket_start, length / 2 + 0.03, 14),
        np.linspace(-width / 2 - 0.04, width / 2 + 0.04, 12),
        indexing="ij",
    )
    z = height + 0.04 + 0.025 * np.sin(5 * x + 3 * y) + rng.normal(0, 0.012, x.shape)
    z[:, [0, -1]] = height * 0.5
    parts.append(
        loft("blanket" if rng.random() < 0.5 else "bed", np.stack([x, y, z], axis=-1), closed=False)
    )
    return merge(parts)


def small_objects(rng: Rng, area: tuple[float, float], height: float, count: int) -> Mesh:
    """Return ``count`` small objects, such as cups and books, on a horizontal surface.

    Args:
        rng: draws the objects.
        area: extents of the surface along x and y in metres.
        height: height of the surface in metres.
        count: number of objects.
    """
    concepts = ["book", "cup", "clutter", "clutter", "bottle", "bowl", "box"]
    parts = []
    for _ in range(count):
        x, y = (float(rng.uniform(-0.45, 0.45)) * extent for extent in area)
        concept = str(rng.choice(concepts))
        if concept in ("cup", "bottle", "bowl"):
            radius, object_height = {
                "cup": (0.04, 0.1),
                "bottle": (0.04, 0.27),
                "bowl": (0.09, 0.07),
            }[concept]
            parts.append(
                tube(
                    concept,
                    (x, y, height),
                    (x, y, height + object_height),
                    radius,
                    end_radius=radius * 0.8,
                    sides=8,
                )
            )
        else:
            size = rng.uniform(0.05, 0.28, 3)
            parts.append(
                box(
                    concept,
                    (float(size[0]), float(size[1]), float(size[2]) * 0.4),
                    (x, y, height),
                    yaw=float(rng.uniform(0, 3)),
                )
            )
    return merge(parts)


def monitor(rng: Rng) -> Mesh:
    """Return a computer monitor on its stand."""
    width = float(rng.uniform(0.42, 0.7))
    return merge(
        [
            box("monitor", (0.04, width, width * 0.58), (0, 0, 0.12)),
            box("monitor", (0.03, 0.06, 0.2), (-0.03, 0, 0)),
            box("monitor", (0.18, 0.22, 0.015)),
        ]
    )


def laptop() -> Mesh:
    """Return an open laptop."""
    lid = [[(-0.12, -0.17, 0.02), (-0.12, 0.17, 0.02), (-0.19, 0.17, 0.24), (-0.19, -0.17, 0.24)]]
    return merge([box("laptop", (0.24, 0.34, 0.02)), quads("laptop", lid)])


def standing_lamp(rng: Rng) -> Mesh:
    """Return a lamp that stands on the floor."""
    height = float(rng.uniform(1.3, 1.9))
    return merge(
        [
            tube("lamp", (0, 0, 0), (0, 0, 0.03), 0.15, sides=10),
            tube("lamp", (0, 0, 0), (0, 0, height), 0.015),
            tube("lamp", (0, 0, height - 0.3), (0, 0, height), 0.22, end_radius=0.14, sides=10),
        ]
    )


def table_lamp(rng: Rng) -> Mesh:
    """Return a table lamp."""
    height = float(rng.uniform(0.3, 0.55))
    return merge(
        [
            tube("lamp", (0, 0, 0), (0, 0, height), 0.03),
            tube("lamp", (0, 0, height * 0.55), (0, 0, height), 0.15, end_radius=0.1, sides=10),
        ]
    )


def potted_plant(rng: Rng) -> Mesh:
    """Return a plant in a pot, all of the concept "plant"."""
    height = float(rng.uniform(0.3, 1.8))
    pot_radius = min(0.1 + height * 0.1, 0.25)
    leaves = rng.normal(0, 1, (int(150 + 250 * height), 3)) * [
        height * 0.17,
        height * 0.17,
        height * 0.2,
    ] + [0, 0, pot_radius * 2 + height * 0.55]
    leaves[:, 2] = np.maximum(leaves[:, 2], pot_radius * 1.6)
    stem = tube("plant", (0, 0, 0), (0, 0, height * 0.7), 0.02)
    return merge(
        [
            tube(
                "plant",
                (0, 0, 0),
                (0, 0, pot_radius * 1.8),
                pot_radius * 0.8,
                end_radius=pot_radius,
                sides=10,
            ),
            stem,
            random_triangles("plant", leaves, float(rng.uniform(0.03, 0.1)), rng),
        ]
    )


def stacked_boxes(rng: Rng) -> Mesh:
    """Return one to three boxes on top of each other."""
    parts, height = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.2, 0.55, 3)
        parts.append(
            box(
                "box",
                (float(size[0]), float(size[1]), float(size[2])),
                (0, 0, height),
                yaw=float(rng.uniform(-0.3, 0.3)),
            )
        )
        height += float(size[2])
    return merge(parts)


def waste_bin(rng: Rng) -> Mesh:
    """Return a waste bin, whose concept is "trash bin"."""
    height = float(rng.uniform(0.28, 0.7))
    return tube(
        "trash bin", (0, 0, 0), (0, 0, height), height * 0.33, end_radius=height * 0.4, sides=10
    )


def bag(rng: Rng) -> Mesh:
    """Return a backpack or a bag on the floor."""
    return ellipsoid(str(rng.choice(["backpack", "bag"])), (0, 0, 0.2), (0.14, 0.18, 0.22), 10)


def textile_pile(rng: Rng) -> Mesh:
    """Return a pile of clothes, towels, blankets or clutter."""
    concept = str(rng.choice(["clothes", "clutter", "towel", "blanket"]))
    return merge(
        ellipsoid(concept, (float(x), float(y), 0.03), (0.2, 0.15, float(rng.uniform(0.05, 0.14))))
        for x, y in rng.normal(0, 0.12, (4, 2))
    )


def table(rng: Rng) -> Mesh:
    """Return a round or a rectangular table, of the height of a dining or a coffee table."""
    height = float(rng.choice([0.42, 0.74, 0.74, 0.76]))
    if rng.random() < 0.3:
        radius = float(rng.uniform(0.3, 0.75))
        return merge(
            [
                tube("table", (0, 0, height - 0.04), (0, 0, height), radius, sides=16),
                tube("table", (0, 0, 0), (0, 0, height), 0.05),
                tube("table", (0, 0, 0), (0, 0, 0.03), radius * 0.6, sides=10),
            ]
        )
    width, depth = float(rng.uniform(0.6, 2.4)), float(rng.uniform(0.5, 1.1))
    return merge(
        [
            box("table", (depth, width, 0.04), (0, 0, height - 0.04)),
            *legs("table", width, depth, height - 0.04),
        ]
    )


def desk(rng: Rng) -> Mesh:
    """Return a desk, mostly with drawers, monitors, a keyboard and small objects."""
    width, depth, height = (
        float(rng.uniform(1.0, 1.8)),
        float(rng.uniform(0.55, 0.85)),
        float(rng.uniform(0.7, 0.77)),
    )
    parts = [
        box("desk", (depth, width, 0.03), (0, 0, height - 0.03)),
        *legs("desk", width, depth, height - 0.03),
    ]
    if rng.random() < 0.6:
        parts.append(
            box(
                "desk",
                (depth * 0.85, 0.4, 0.55),
                (0, float(rng.choice([-1, 1])) * (width / 2 - 0.22), 0.08),
            )
        )
    if rng.random() < 0.5:
        parts.append(
            box_between(
                "desk", (-depth / 2, -width / 2, 0.25), (-depth / 2 + 0.02, width / 2, height)
            )
        )
    monitors = [
        monitor(rng).moved((-depth * 0.22, float(y), height))
        for y in np.linspace(-0.3, 0.3, int(rng.integers(1, 3)))
    ]
    if rng.random() < 0.8:
        parts += [*monitors, box("keyboard", (0.15, 0.43, 0.025), (depth * 0.2, 0, height))]
    if rng.random() < 0.3:
        parts.append(laptop().moved((0.05, width * 0.3, height)))
    return merge(
        [*parts, small_objects(rng, (depth * 0.8, width * 0.9), height, int(rng.integers(0, 6)))]
    )


def box_with_doors(concept: str, rng: Rng, size: tuple[float, float, float]) -> Mesh:
    """Return a box with doors and handles in relief on its front.

    Args:
        concept: the concept of all triangles.
        rng: draws the size of the doors.
        size: depth, width and height in metres.
    """
    depth, width, height = size
    columns, rows = (
        max(int(width / rng.uniform(0.4, 0.7)), 1),
        max(int(height / rng.uniform(0.35, 1.4)), 1),
    )
    parts = [box(concept, (depth, width, height))]
    for i in range(columns):
        for j in range(rows):
            y, z = -width / 2 + (i + 0.5) * width / columns, 0.05 + j * (height - 0.05) / rows
            parts.append(
                box(
                    concept,
                    (0.02, width / columns - 0.02, (height - 0.05) / rows - 0.02),
                    (depth / 2 + 0.01, y, z),
                )
            )
            parts.append(
                box(
                    concept,
                    (0.03, 0.02, 0.1),
                    (
                        depth / 2 + 0.035,
                        y + width / columns * 0.35,
                        z + (height - 0.05) / rows * 0.5,
                    ),
                )
            )
    return merge(parts)


def cabinet(rng: Rng) -> Mesh:
    """Return a low or a tall cabinet with up to three small objects on it."""
    size = (
        float(rng.uniform(0.35, 0.6)),
        float(rng.uniform(0.5, 1.8)),
        float(rng.choice([rng.uniform(0.5, 1.1), rng.uniform(1.2, 2.0)])),
    )
    return merge(
        [
            box_with_doors("cabinet", rng, size),
            small_objects(rng, (size[0], size[1]), size[2], int(rng.integers(0, 4))),
        ]
    )


def wardrobe(rng: Rng) -> Mesh:
    """Return a tall wardrobe."""
    return box_with_doors(
        "wardrobe",
        rng,
        (float(rng.uniform(0.5, 0.65)), float(rng.uniform(0.8, 2.4)), float(rng.uniform(1.8, 2.4))),
    )


def nightstand(rng: Rng) -> Mesh:
    """Return a nightstand, mostly with a lamp."""
    height = float(rng.uniform(0.45, 0.65))
    parts = [box_with_doors("nightstand", rng, (0.4, float(rng.uniform(0.4, 0.55)), height))]
    if rng.random() < 0.6:
        parts.append(table_lamp(rng).moved((0, 0, height)))
    return merge(parts)


def bookshelf(rng: Rng) -> Mesh:
    """Return an open bookshelf with books, clutter and gaps on its shelves."""
    depth, width, height = (
        float(rng.uniform(0.25, 0.4)),
        float(rng.uniform(0.6, 2.2)),
        float(rng.uniform(0.9, 2.3)),
    )
    shelves = max(int(height / rng.uniform(0.28, 0.4)), 2)
    concept, shelf_height = "bookshelf", height / shelves
    parts = [
        box_between(
            concept,
            (-depth / 2, s * width / 2 - 0.015, 0),
            (depth / 2, s * width / 2 + 0.015, height),
        )
        for s in (-1, 1)
    ]
    parts += [
        box_between(
            concept,
            (-depth / 2, -width / 2, k * shelf_height),
            (depth / 2, width / 2, k * shelf_height + 0.025),
        )
        for k in range(shelves + 1)
    ]
    if rng.random() < 0.8:
        parts.append(
            box_between(
                concept, (-depth / 2 - 0.01, -width / 2, 0), (-depth / 2, width / 2, height)
            )
        )
    fullness = float(rng.uniform(0.2, 1.0))
    for k in range(shelves):
        y = -width / 2 + 0.03
        while y < width / 2 - 0.08:
            thickness = float(rng.uniform(0.04, 0.3))
            if rng.random() < fullness:
                size = (
                    depth * float(rng.uniform(0.5, 0.9)),
                    min(thickness, width / 2 - y),
                    shelf_height * float(rng.uniform(0.5, 0.85)),
                )
                parts.append(
                    box(
                        "book" if rng.random() < 0.8 else "clutter",
                        size,
                        (-0.03, y + thickness / 2, k * shelf_height + 0.025),
                    )
                )
            y += thickness + 0.01
    return merge(parts)


FURNITURE: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "table": table,
        "desk": desk,
        "chair": chair,
        "office chair": office_chair,
        "stool": stool,
        "sofa": sofa,
        "armchair": armchair,
        "bed": bed,
        "cabinet": cabinet,
        "wardrobe": wardrobe,
        "nightstand": nightstand,
        "bookshelf": bookshelf,
        "lamp": standing_lamp,
        "plant": potted_plant,
        "box": stacked_boxes,
        "trash bin": waste_bin,
        "bag": bag,
        "clothes": textile_pile,
    }
)
