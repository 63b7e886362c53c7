"""Furniture and what lies about in rooms; bodies face +x, their back toward −x, on z = 0."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.primitives import (
    Rng,
    Soup,
    ball,
    box,
    join,
    loft,
    quads,
    shards,
    slab,
    tube,
)


def _legs(name: str, wide: float, deep: float, high: float, thick: float = 0.05) -> list[Soup]:
    return [
        box(name, (thick, thick, high), (x * (deep / 2 - thick), y * (wide / 2 - thick), 0))
        for x in (-1, 1)
        for y in (-1, 1)
    ]


def table(rng: Rng) -> Soup:
    """Return a dining, coffee or round table."""
    high = float(rng.choice([0.42, 0.74, 0.74, 0.76]))
    if rng.random() < 0.3:
        radius = float(rng.uniform(0.3, 0.75))
        return join(
            [
                tube("table", (0, 0, high - 0.04), (0, 0, high), radius, sides=16),
                tube("table", (0, 0, 0), (0, 0, high), 0.05),
                tube("table", (0, 0, 0), (0, 0, 0.03), radius * 0.6, sides=10),
            ]
        )
    wide, deep = float(rng.uniform(0.6, 2.4)), float(rng.uniform(0.5, 1.1))
    return join(
        [
            box("table", (deep, wide, 0.04), (0, 0, high - 0.04)),
            *_legs("table", wide, deep, high - 0.04),
        ]
    )


def desk(rng: Rng) -> Soup:
    """Return a desk with drawers and, mostly, a screen, a keyboard and papers."""
    wide, deep, high = (
        float(rng.uniform(1.0, 1.8)),
        float(rng.uniform(0.55, 0.85)),
        float(rng.uniform(0.7, 0.77)),
    )
    parts = [
        box("desk", (deep, wide, 0.03), (0, 0, high - 0.03)),
        *_legs("desk", wide, deep, high - 0.03),
    ]
    if rng.random() < 0.6:
        parts.append(
            box(
                "desk",
                (deep * 0.85, 0.4, 0.55),
                (0, float(rng.choice([-1, 1])) * (wide / 2 - 0.22), 0.08),
            )
        )
    if rng.random() < 0.5:
        parts.append(slab("desk", (-deep / 2, -wide / 2, 0.25), (-deep / 2 + 0.02, wide / 2, high)))
    top = [
        monitor(rng).moved((-deep * 0.22, float(y), high))
        for y in np.linspace(-0.3, 0.3, int(rng.integers(1, 3)))
    ]
    if rng.random() < 0.8:
        parts += [*top, box("keyboard", (0.15, 0.43, 0.025), (deep * 0.2, 0, high))]
    if rng.random() < 0.3:
        parts.append(laptop().moved((0.05, wide * 0.3, high)))
    return join([*parts, _litter(rng, (deep * 0.8, wide * 0.9), high, int(rng.integers(0, 6)))])


def _litter(rng: Rng, area: tuple[float, float], high: float, count: int) -> Soup:
    """Return small things on a surface ``area`` metres in x and y."""
    names = ["book", "cup", "clutter", "clutter", "bottle", "bowl", "box"]
    parts = []
    for _ in range(count):
        x, y = (float(rng.uniform(-0.45, 0.45)) * side for side in area)
        name = str(rng.choice(names))
        if name in ("cup", "bottle", "bowl"):
            radius, tall = {"cup": (0.04, 0.1), "bottle": (0.04, 0.27), "bowl": (0.09, 0.07)}[name]
            parts.append(
                tube(name, (x, y, high), (x, y, high + tall), radius, tip=radius * 0.8, sides=8)
            )
        else:
            size = rng.uniform(0.05, 0.28, 3)
            parts.append(
                box(
                    name,
                    (float(size[0]), float(size[1]), float(size[2]) * 0.4),
                    (x, y, high),
                    yaw=float(rng.uniform(0, 3)),
                )
            )
    return join(parts)


def monitor(rng: Rng) -> Soup:
    """Return a computer screen on its foot."""
    wide = float(rng.uniform(0.42, 0.7))
    return join(
        [
            box("monitor", (0.04, wide, wide * 0.58), (0, 0, 0.12)),
            box("monitor", (0.03, 0.06, 0.2), (-0.03, 0, 0)),
            box("monitor", (0.18, 0.22, 0.015)),
        ]
    )


def laptop() -> Soup:
    """Return an open laptop."""
    lid = [[(-0.12, -0.17, 0.02), (-0.12, 0.17, 0.02), (-0.19, 0.17, 0.24), (-0.19, -0.17, 0.24)]]
    return join([box("laptop", (0.24, 0.34, 0.02)), quads("laptop", lid)])


def chair(rng: Rng, name: str = "chair") -> Soup:
    """Return a chair with four legs and a back."""
    wide, seat, back = (
        float(rng.uniform(0.4, 0.52)),
        float(rng.uniform(0.42, 0.48)),
        float(rng.uniform(0.35, 0.6)),
    )
    parts = [
        box(name, (wide, wide, 0.05), (0, 0, seat - 0.05)),
        *_legs(name, wide, wide, seat - 0.05, 0.035),
    ]
    lean = float(rng.uniform(0, 0.12))
    slats = 1 if rng.random() < 0.6 else 4
    for y in np.linspace(-wide / 2, wide / 2, slats + 1)[:-1]:
        width = wide / slats * (1 if slats == 1 else 0.5)
        rest = [
            [
                (-wide / 2, y, seat),
                (-wide / 2, y + width, seat),
                (-wide / 2 - lean, y + width, seat + back),
                (-wide / 2 - lean, y, seat + back),
            ]
        ]
        parts.append(quads(name, rest))
        parts.append(quads(name, np.asarray(rest) - [0.03, 0, 0]))
    if rng.random() < 0.3:
        parts += [
            slab(
                name,
                (-wide / 2, s * wide / 2 - 0.025, seat + 0.2),
                (wide * 0.35, s * wide / 2 + 0.025, seat + 0.24),
            )
            for s in (-1, 1)
        ]
    return join(parts)


def office_chair(rng: Rng) -> Soup:
    """Return a swivel chair on five feet."""
    name, seat = "office chair", float(rng.uniform(0.44, 0.55))
    parts = [
        box(name, (0.48, 0.5, 0.08), (0, 0, seat - 0.08)),
        tube(name, (0, 0, 0.1), (0, 0, seat), 0.035),
    ]
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        tip = (0.31 * np.cos(angle), 0.31 * np.sin(angle), 0.06)
        parts += [
            tube(name, (0, 0, 0.12), tip, 0.025, sides=4),
            ball(name, tip, (0.035, 0.035, 0.05), 6),
        ]
    back = float(rng.uniform(0.45, 0.7))
    parts.append(slab(name, (-0.27, -0.22, seat + 0.08), (-0.2, 0.22, seat + 0.08 + back)))
    if rng.random() < 0.7:
        parts += [
            slab(name, (-0.2, s * 0.28 - 0.03, seat + 0.2), (0.1, s * 0.28 + 0.03, seat + 0.24))
            for s in (-1, 1)
        ]
        parts += [box(name, (0.04, 0.03, 0.25), (0, s * 0.28, seat - 0.04)) for s in (-1, 1)]
    return join(parts)


def stool(rng: Rng) -> Soup:
    """Return a stool."""
    high = float(rng.uniform(0.42, 0.75))
    return join(
        [
            tube("stool", (0, 0, high - 0.05), (0, 0, high), 0.18, sides=12),
            *_legs("stool", 0.32, 0.32, high - 0.05, 0.03),
        ]
    )


def sofa(rng: Rng, name: str = "sofa") -> Soup:
    """Return a sofa or, with one seat, an armchair."""
    seats = 1 if name == "armchair" else int(rng.integers(2, 5))
    each, deep, seat = (
        float(rng.uniform(0.55, 0.75)),
        float(rng.uniform(0.8, 1.0)),
        float(rng.uniform(0.38, 0.46)),
    )
    wide, back = seats * each, float(rng.uniform(0.7, 0.95))
    parts = [
        box(name, (deep, wide, seat - 0.15), (0, 0, 0.05)),
        box(name, (0.22, wide, back - 0.05), (-deep / 2 + 0.11, 0, 0.05), taper=(0.7, 1)),
    ]
    parts += [
        box(name, (deep, 0.18, seat + 0.18), (0, s * (wide / 2 + 0.09), 0.03), taper=(1, 0.9))
        for s in (-1, 1)
    ]
    for k in range(seats):
        y = (k + 0.5) * each - wide / 2
        parts += [
            box(name, (deep - 0.25, each * 0.97, 0.14), (0.1, y, seat - 0.1), taper=(0.95, 0.95)),
            box(name, (0.16, each * 0.95, 0.42), (-deep / 2 + 0.28, y, seat), taper=(0.6, 0.95)),
        ]
        if rng.random() < 0.3:
            parts.append(pillow(rng).moved((-0.05, y, seat + 0.05), float(rng.uniform(0, 3))))
    return join(parts)


def armchair(rng: Rng) -> Soup:
    """Return an armchair."""
    return sofa(rng, "armchair")


def pillow(rng: Rng) -> Soup:
    """Return a cushion."""
    return ball(
        "pillow",
        (0, 0, 0.1),
        (float(rng.uniform(0.15, 0.25)), float(rng.uniform(0.2, 0.35)), 0.1),
        10,
    )


def bed(rng: Rng) -> Soup:
    """Return a bed with mattress, pillows and a blanket; its head toward −x."""
    wide, long, high = (
        float(rng.choice([0.9, 1.0, 1.4, 1.6, 1.8])),
        float(rng.uniform(1.95, 2.1)),
        float(rng.uniform(0.4, 0.62)),
    )
    parts = [
        box("bed", (long, wide, high - 0.2), (0, 0, 0.05)),
        box("bed", (long * 0.98, wide * 0.98, 0.22), (0, 0, high - 0.2), taper=(0.97, 0.97)),
    ]
    if rng.random() < 0.8:
        parts.append(
            box("bed", (0.08, wide + 0.1, float(rng.uniform(0.7, 1.2))), (-long / 2 - 0.04, 0, 0))
        )
    count = 1 if wide < 1.2 else 2
    parts += [
        pillow(rng).moved((-long / 2 + 0.3, (k - (count - 1) / 2) * 0.7, high - 0.02))
        for k in range(count)
    ]
    start = float(rng.uniform(-0.2, 0.3)) * long
    x, y = np.meshgrid(
        np.linspace(start, long / 2 + 0.03, 14),
        np.linspace(-wide / 2 - 0.04, wide / 2 + 0.04, 12),
        indexing="ij",
    )
    z = high + 0.04 + 0.025 * np.sin(5 * x + 3 * y) + rng.normal(0, 0.012, x.shape)
    z[:, [0, -1]] = high * 0.5
    parts.append(
        loft("blanket" if rng.random() < 0.5 else "bed", np.stack([x, y, z], axis=-1), closed=False)
    )
    return join(parts)


def cupboard(name: str, rng: Rng, size: tuple[float, float, float]) -> Soup:
    """Return a closed cupboard of depth, width, height with doors, drawers and handles in relief."""
    deep, wide, high = size
    columns, rows = (
        max(int(wide / rng.uniform(0.4, 0.7)), 1),
        max(int(high / rng.uniform(0.35, 1.4)), 1),
    )
    parts = [box(name, (deep, wide, high))]
    for i in range(columns):
        for j in range(rows):
            y, z = -wide / 2 + (i + 0.5) * wide / columns, 0.05 + j * (high - 0.05) / rows
            parts.append(
                box(
                    name,
                    (0.02, wide / columns - 0.02, (high - 0.05) / rows - 0.02),
                    (deep / 2 + 0.01, y, z),
                )
            )
            parts.append(
                box(
                    name,
                    (0.03, 0.02, 0.1),
                    (deep / 2 + 0.035, y + wide / columns * 0.35, z + (high - 0.05) / rows * 0.5),
                )
            )
    return join(parts)


def cabinet(rng: Rng) -> Soup:
    """Return a low or tall cabinet, at times with things on it."""
    size = (
        float(rng.uniform(0.35, 0.6)),
        float(rng.uniform(0.5, 1.8)),
        float(rng.choice([rng.uniform(0.5, 1.1), rng.uniform(1.2, 2.0)])),
    )
    return join(
        [
            cupboard("cabinet", rng, size),
            _litter(rng, (size[0], size[1]), size[2], int(rng.integers(0, 4))),
        ]
    )


def wardrobe(rng: Rng) -> Soup:
    """Return a tall wardrobe."""
    return cupboard(
        "wardrobe",
        rng,
        (float(rng.uniform(0.5, 0.65)), float(rng.uniform(0.8, 2.4)), float(rng.uniform(1.8, 2.4))),
    )


def nightstand(rng: Rng) -> Soup:
    """Return a nightstand, mostly with a lamp."""
    high = float(rng.uniform(0.45, 0.65))
    parts = [cupboard("nightstand", rng, (0.4, float(rng.uniform(0.4, 0.55)), high))]
    if rng.random() < 0.6:
        parts.append(table_lamp(rng).moved((0, 0, high)))
    return join(parts)


def bookshelf(rng: Rng) -> Soup:
    """Return an open shelf with rows of books and gaps."""
    deep, wide, high = (
        float(rng.uniform(0.25, 0.4)),
        float(rng.uniform(0.6, 2.2)),
        float(rng.uniform(0.9, 2.3)),
    )
    rows = max(int(high / rng.uniform(0.28, 0.4)), 2)
    name, step = "bookshelf", high / rows
    parts = [
        slab(name, (-deep / 2, s * wide / 2 - 0.015, 0), (deep / 2, s * wide / 2 + 0.015, high))
        for s in (-1, 1)
    ]
    parts += [
        slab(name, (-deep / 2, -wide / 2, k * step), (deep / 2, wide / 2, k * step + 0.025))
        for k in range(rows + 1)
    ]
    if rng.random() < 0.8:
        parts.append(slab(name, (-deep / 2 - 0.01, -wide / 2, 0), (-deep / 2, wide / 2, high)))
    full = float(rng.uniform(0.2, 1.0))
    for k in range(rows):
        y = -wide / 2 + 0.03
        while y < wide / 2 - 0.08:
            thick = float(rng.uniform(0.04, 0.3))
            if rng.random() < full:
                size = (
                    deep * float(rng.uniform(0.5, 0.9)),
                    min(thick, wide / 2 - y),
                    step * float(rng.uniform(0.5, 0.85)),
                )
                parts.append(
                    box(
                        "book" if rng.random() < 0.8 else "clutter",
                        size,
                        (-0.03, y + thick / 2, k * step + 0.025),
                    )
                )
            y += thick + 0.01
    return join(parts)


def floor_lamp(rng: Rng) -> Soup:
    """Return a standing lamp."""
    tall = float(rng.uniform(1.3, 1.9))
    return join(
        [
            tube("lamp", (0, 0, 0), (0, 0, 0.03), 0.15, sides=10),
            tube("lamp", (0, 0, 0), (0, 0, tall), 0.015),
            tube("lamp", (0, 0, tall - 0.3), (0, 0, tall), 0.22, tip=0.14, sides=10),
        ]
    )


def table_lamp(rng: Rng) -> Soup:
    """Return a small lamp."""
    tall = float(rng.uniform(0.3, 0.55))
    return join(
        [
            tube("lamp", (0, 0, 0), (0, 0, tall), 0.03),
            tube("lamp", (0, 0, tall * 0.55), (0, 0, tall), 0.15, tip=0.1, sides=10),
        ]
    )


def potted_plant(rng: Rng) -> Soup:
    """Return a plant in its pot."""
    tall = float(rng.uniform(0.3, 1.8))
    pot = min(0.1 + tall * 0.1, 0.25)
    leaves = rng.normal(0, 1, (int(150 + 250 * tall), 3)) * [
        tall * 0.17,
        tall * 0.17,
        tall * 0.2,
    ] + [0, 0, pot * 2 + tall * 0.55]
    leaves[:, 2] = np.maximum(leaves[:, 2], pot * 1.6)
    stem = tube("plant", (0, 0, 0), (0, 0, tall * 0.7), 0.02)
    return join(
        [
            tube("plant", (0, 0, 0), (0, 0, pot * 1.8), pot * 0.8, tip=pot, sides=10),
            stem,
            shards("plant", leaves, float(rng.uniform(0.03, 0.1)), rng),
        ]
    )


def carton(rng: Rng) -> Soup:
    """Return a box or a few of them stacked."""
    parts, high = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.2, 0.55, 3)
        parts.append(
            box(
                "box",
                (float(size[0]), float(size[1]), float(size[2])),
                (0, 0, high),
                yaw=float(rng.uniform(-0.3, 0.3)),
            )
        )
        high += float(size[2])
    return join(parts)


def trash_bin(rng: Rng) -> Soup:
    """Return a waste bin."""
    tall = float(rng.uniform(0.28, 0.7))
    return tube("trash bin", (0, 0, 0), (0, 0, tall), tall * 0.33, tip=tall * 0.4, sides=10)


def bag(rng: Rng) -> Soup:
    """Return a backpack or a bag on the floor."""
    return ball(str(rng.choice(["backpack", "bag"])), (0, 0, 0.2), (0.14, 0.18, 0.22), 10)


def heap(rng: Rng) -> Soup:
    """Return a heap of clothes or clutter."""
    name = str(rng.choice(["clothes", "clutter", "towel", "blanket"]))
    return join(
        ball(name, (float(x), float(y), 0.03), (0.2, 0.15, float(rng.uniform(0.05, 0.14))))
        for x, y in rng.normal(0, 0.12, (4, 2))
    )


ROOM_THINGS: Mapping[str, Callable[[Rng], Soup]] = MappingProxyType(
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
        "lamp": floor_lamp,
        "plant": potted_plant,
        "box": carton,
        "trash bin": trash_bin,
        "bag": bag,
        "clothes": heap,
    }
)
