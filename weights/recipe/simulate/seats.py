"""What people sit and lie on; backs toward −x, on z = 0."""

import numpy as np

from weights.recipe.simulate.primitives import Rng, Soup, ball, box, join, loft, quads, slab, tube


def legs(name: str, wide: float, deep: float, high: float, thick: float = 0.05) -> list[Soup]:
    """Return four legs of a piece ``wide`` by ``deep`` metres, ``high`` tall."""
    return [
        box(name, (thick, thick, high), (x * (deep / 2 - thick), y * (wide / 2 - thick), 0))
        for x in (-1, 1)
        for y in (-1, 1)
    ]


def chair(rng: Rng, name: str = "chair") -> Soup:
    """Return a chair with four legs and a back."""
    wide, seat, back = (
        float(rng.uniform(0.4, 0.52)),
        float(rng.uniform(0.42, 0.48)),
        float(rng.uniform(0.35, 0.6)),
    )
    parts = [
        box(name, (wide, wide, 0.05), (0, 0, seat - 0.05)),
        *legs(name, wide, wide, seat - 0.05, 0.035),
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
            *legs("stool", 0.32, 0.32, high - 0.05, 0.03),
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
