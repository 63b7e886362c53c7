"""Furniture and what lies about in rooms; bodies face +x, their back toward −x, on z = 0."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate import seats
from weights.recipe.simulate import small_things as small
from weights.recipe.simulate.primitives import (
    Rng,
    Soup,
    box,
    join,
    slab,
    tube,
)


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
            *seats.legs("table", wide, deep, high - 0.04),
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
        *seats.legs("desk", wide, deep, high - 0.03),
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
        small.monitor(rng).moved((-deep * 0.22, float(y), high))
        for y in np.linspace(-0.3, 0.3, int(rng.integers(1, 3)))
    ]
    if rng.random() < 0.8:
        parts += [*top, box("keyboard", (0.15, 0.43, 0.025), (deep * 0.2, 0, high))]
    if rng.random() < 0.3:
        parts.append(small.laptop().moved((0.05, wide * 0.3, high)))
    return join(
        [*parts, small.litter(rng, (deep * 0.8, wide * 0.9), high, int(rng.integers(0, 6)))]
    )


def cupboard(name: str, rng: Rng, size: tuple[float, float, float]) -> Soup:
    """Return a cupboard of depth, width, height with doors and handles in relief."""
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
            small.litter(rng, (size[0], size[1]), size[2], int(rng.integers(0, 4))),
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
        parts.append(small.table_lamp(rng).moved((0, 0, high)))
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


ROOM_THINGS: Mapping[str, Callable[[Rng], Soup]] = MappingProxyType(
    {
        "table": table,
        "desk": desk,
        "chair": seats.chair,
        "office chair": seats.office_chair,
        "stool": seats.stool,
        "sofa": seats.sofa,
        "armchair": seats.armchair,
        "bed": seats.bed,
        "cabinet": cabinet,
        "wardrobe": wardrobe,
        "nightstand": nightstand,
        "bookshelf": bookshelf,
        "lamp": small.floor_lamp,
        "plant": small.potted_plant,
        "box": small.carton,
        "trash bin": small.trash_bin,
        "bag": small.bag,
        "clothes": small.heap,
    }
)
