"""Fences, walls, railings, gates and crash barriers; each stands along x, centred on the origin."""

import numpy as np

from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    instanced,
    merge,
    quads,
    tube,
)


def fence(rng: Rng, length: float) -> Mesh:
    """Return a fence ("fence") or a garden wall ("wall") along x, ``length`` metres long."""
    style = str(
        rng.choice(
            ["slats", "boards", "mesh", "mesh", "rails", "wall", "wall and bars", "iron", "iron"]
        )
    )
    height = float(rng.uniform(0.8, 2.1))
    posts = [
        box("fence", (0.1, 0.1, height), (float(x), 0, 0))
        for x in np.arange(-length / 2, length / 2 + 0.1, 2.4)
    ]
    half_length = length / 2
    if style == "wall and bars":
        foot = float(rng.uniform(0.3, 0.6))
        wall = box_between("wall", (-half_length, -0.12, -0.4), (half_length, 0.12, foot))
        pillars = [
            box("wall", (0.4, 0.36, height), (float(x), 0, 0))
            for x in np.arange(-half_length + 0.2, half_length, 2.8)
        ]
        bars = iron_bars(length, foot, height - 0.1)
        return merge([wall.made_of(str(rng.choice(["brick", "stone", "plaster"]))), *pillars, bars])
    if style == "wall":
        stone = str(rng.choice(["brick", "stone", "plaster", "concrete"]))
        return merge(
            [
                box_between("wall", (-half_length, -0.12, -0.4), (half_length, 0.12, height)),
                box_between(
                    "wall", (-half_length, -0.17, height), (half_length, 0.17, height + 0.06)
                ),
            ]
        ).made_of(stone)
    if style == "mesh":
        mesh = [
            [
                (-half_length, 0, 0),
                (half_length, 0, 0),
                (half_length, 0, height),
                (-half_length, 0, height),
            ]
        ]
        steel = [
            tube("fence", (x, 0, 0), (x, 0, height), 0.025, sides=5)
            for x in np.arange(-half_length, half_length + 0.1, 2.4)
        ]
        return merge([*steel, quads("fence", mesh, float(rng.uniform(0.15, 0.4)))]).made_of("wire")
    if style == "iron":
        return iron_bars(length, 0.05, height)
    rails = [
        box_between("fence", (-half_length, -0.03, z), (half_length, 0.03, z + 0.08))
        for z in (0.25 * height, 0.85 * height)
    ]
    if style == "rails":
        return merge([*posts, *rails])
    step = {"slats": 0.16, "boards": 0.2}[style]
    width = {"slats": 0.09, "boards": 0.19}[style]
    x = np.arange(-half_length, half_length, step)
    zero = np.zeros(len(x))
    corners = [
        (x, zero + 0.05),
        (x + width, zero + 0.05),
        (x + width, zero + height),
        (x, zero + height),
    ]
    # (slats, 4 corners, 3): one upright quadrilateral per slat.
    slats = np.stack([np.stack([a, zero + 0.05, b], axis=1) for a, b in corners], axis=1)
    return merge([*posts, *rails, quads("fence", slats)])


def iron_bars(length: float, low: float, high: float, concept: str = "fence") -> Mesh:
    """Return upright bars between two rails, from z = ``low`` to ``high``."""
    half = length / 2
    x = np.arange(-half, half, 0.12)
    bar = box(concept, (0.016, 0.016, high - low))
    rails = [
        box_between(concept, (-half, -0.02, z), (half, 0.02, z + 0.04)) for z in (low, high - 0.06)
    ]
    posts = [
        box(concept, (0.05, 0.05, high), (float(at), 0, 0))
        for at in np.arange(-half, half + 0.1, 2.5)
    ]
    bars = instanced(bar, np.stack([x, 0 * x, np.full(len(x), low)], axis=1))
    return merge([bars, *rails, *posts]).made_of("steel")


def railing(rng: Rng, length: float) -> Mesh:
    """Return a pedestrian railing of steel."""
    if rng.random() < 0.5:
        return iron_bars(length, 0.1, 1.05, "railing")
    posts = [
        tube("railing", (x, 0, 0), (x, 0, 1.0), 0.03)
        for x in np.arange(-length / 2, length / 2 + 0.1, 1.8)
    ]
    rails = [tube("railing", (-length / 2, 0, z), (length / 2, 0, z), 0.025) for z in (0.5, 1.0)]
    return merge([*posts, *rails])


def gate(rng: Rng, width: float) -> Mesh:
    """Return a gate with two posts, closed or ajar."""
    height, wood = float(rng.uniform(0.9, 1.8)), rng.random() < 0.5
    posts = [box("wall", (0.3, 0.3, height + 0.2), (s * width / 2, 0, 0)) for s in (-1, 1)]
    leaf = (
        box_between("gate", (0, -0.03, 0.1), (width - 0.3, 0.03, height)).made_of("boards")
        if wood
        else iron_bars(width - 0.3, 0.1, height, "gate").moved(((width - 0.3) / 2, 0, 0))
    )
    angle = float(rng.choice([0.0, 0.0, rng.uniform(0.3, 1.5)]))
    return merge([*posts, leaf.moved((-width / 2 + 0.15, 0, 0), angle)])


def noise_barrier(rng: Rng, length: float) -> Mesh:
    """Return a noise barrier of panels between posts."""
    height = float(rng.uniform(2, 5))
    posts = [
        box("noise barrier", (0.2, 0.3, height + 0.1), (float(x), 0, 0))
        for x in np.arange(-length / 2, length / 2 + 0.1, 4)
    ]
    panel = box_between("noise barrier", (-length / 2, -0.08, 0), (length / 2, 0.08, height))
    style = str(rng.choice(["concrete", "sheet_metal", "wood", "frosted_glass"]))
    return merge([merge(posts).made_of("steel"), panel.made_of(style)])


def retaining_wall(rng: Rng, length: float, height: float) -> Mesh:
    """Return a wall of stone or gabions that holds back a slope on +y."""
    material = str(rng.choice(["stone", "concrete", "brick", "gravel"]))
    return box_between(
        "retaining wall", (-length / 2, -0.25, -0.5), (length / 2, 0.35, height)
    ).made_of(material)


def guard_rail(length: float) -> Mesh:
    """Return a steel crash barrier along x, ``length`` metres long."""
    half_length = length / 2
    posts = [
        box("guard rail", (0.1, 0.12, 0.7), (float(x), 0.1, 0))
        for x in np.arange(-half_length, half_length, 2.0)
    ]
    bands = [
        box_between(
            "guard rail",
            (-half_length, -0.03 * k, 0.45 + 0.13 * k),
            (half_length, 0.05, 0.57 + 0.13 * k),
        )
        for k in (0, 1)
    ]
    return merge([*posts, *bands])


def road_barrier(rng: Rng, length: float = 3.0) -> Mesh:
    """Return a concrete barrier of ``length`` metres or planks on trestles, along x."""
    draw = rng.random()
    if draw < 0.5:
        return box("barrier", (length, 0.6, 0.85), taper=(1, 0.35))
    if draw < 0.65:
        # A water-filled one of plastic.
        body = box("barrier", (1.2, 0.45, 0.8), taper=(1, 0.5)).made_of("warning_plastic")
        return instanced(body, [(x, 0, 0) for x in np.arange(-length / 2 + 0.6, length / 2, 1.25)])
    if draw < 0.8:
        # A barrier fence of steel tubes.
        return iron_bars(min(length, 2.4), 0.15, 1.1, "barrier")
    plank = [
        box_between("barrier", (-1, -0.02, z), (1, 0.02, z + 0.2)).made_of("reflective_band")
        for z in (0.55, 0.85)
    ]
    return merge(
        [
            *plank,
            *(
                tube("barrier", (s * 0.9, y, 0), (s * 0.9, 0, 1.05), 0.03)
                for s in (-1, 1)
                for y in (-0.3, 0.3)
            ),
        ]
    )
