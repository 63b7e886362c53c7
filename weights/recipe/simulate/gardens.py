"""What stands in gardens and on playgrounds; a piece stands on the origin and faces +x."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    fan,
    loft,
    merge,
    polyline_tube,
    quads,
    random_triangles,
    tube,
)


def swing(rng: Rng) -> Mesh:
    """Return a swing with one to three seats."""
    width, height = float(rng.uniform(1.5, 4)), float(rng.uniform(1.9, 2.6))
    posts = [
        tube("swing", (x, s * width / 2, 0), (0, s * width / 2, height), 0.05)
        for s in (-1, 1)
        for x in (-0.8, 0.8)
    ]
    parts = [*posts, tube("swing", (0, -width / 2, height), (0, width / 2, height), 0.05)]
    for y in np.linspace(-width / 2, width / 2, int(rng.integers(1, 4)) + 2)[1:-1]:
        parts += [
            tube("swing", (0, y + side, 0.5), (0, y + side, height), 0.012, sides=4)
            for side in (-0.22, 0.22)
        ]
        parts.append(box("swing", (0.2, 0.5, 0.04), (0, float(y), 0.47)).made_of("rubber"))
    return merge(parts)


def slide(rng: Rng) -> Mesh:
    """Return a slide with a ladder and a platform."""
    height, length = float(rng.uniform(1.2, 2.5)), float(rng.uniform(2.0, 3.8))
    chute = [
        [(0, -0.25, height), (0, 0.25, height), (length, 0.25, 0.25), (length, -0.25, 0.25)],
        *(
            [(0, y, height), (length, y, 0.25), (length, y, 0.42), (0, y, height + 0.17)]
            for y in (-0.25, 0.25)
        ),
    ]
    posts = [
        tube("slide", (x, y, 0), (x, y, height + 0.8), 0.04)
        for x in (-0.7, 0.0)
        for y in (-0.3, 0.3)
    ]
    rungs = [
        tube("slide", (-0.7, -0.3, z), (-0.7, 0.3, z), 0.025, sides=4)
        for z in np.arange(0.25, height, 0.3)
    ]
    deck = box_between("slide", (-0.7, -0.3, height - 0.05), (0, 0.3, height)).made_of("wood")
    return merge([quads("slide", chute), *posts, *rungs, deck])


def climbing_frame(rng: Rng) -> Mesh:
    """Return a climbing frame of tubes, or a play tower with a roof."""
    concept = "climbing frame"
    if rng.random() < 0.5:
        count, step = int(rng.integers(2, 5)), float(rng.uniform(0.5, 0.9))
        at = np.arange(count + 1) * step - count * step / 2
        levels = np.arange(1, count + 1) * step
        bars = [tube(concept, (x, y, 0), (x, y, levels[-1]), 0.02, sides=4) for x in at for y in at]
        bars += [
            tube(concept, (at[0], y, z), (at[-1], y, z), 0.02, sides=4) for y in at for z in levels
        ]
        bars += [
            tube(concept, (x, at[0], z), (x, at[-1], z), 0.02, sides=4) for x in at for z in levels
        ]
        return merge(bars)
    height = float(rng.uniform(1.2, 2.0))
    posts = [
        box(concept, (0.1, 0.1, height + 1.6), (x, y, 0)) for x in (-0.7, 0.7) for y in (-0.7, 0.7)
    ]
    deck = box(concept, (1.5, 1.5, 0.08), (0, 0, height))
    roof = tube(concept, (0, 0, height + 1.6), (0, 0, height + 2.4), 1.2, end_radius=0.05, sides=4)
    return merge([*posts, deck, roof, slide(rng).moved((1.3, 0, 0))]).made_of("wood")


def seesaw(rng: Rng) -> Mesh:
    """Return a seesaw."""
    length, tilt = float(rng.uniform(2.2, 3.5)), float(rng.choice([-0.3, 0.3]))
    ends = [(-length / 2, 0, 0.55 + tilt), (length / 2, 0, 0.55 - tilt)]
    grips = [
        tube("seesaw", (x * 0.75, -0.2, 0.85 + t), (x * 0.75, 0.2, 0.85 + t), 0.02)
        for x, t in ((-length / 2, tilt * 0.75), (length / 2, -tilt * 0.75))
    ]
    stand = box("seesaw", (0.5, 0.4, 0.55), taper=(0.3, 1))
    return merge([tube("seesaw", ends[0], ends[1], 0.09), *grips, stand])


def sandbox(rng: Rng) -> Mesh:
    """Return a sandbox with sand in it."""
    size = float(rng.uniform(1.2, 3))
    half = size / 2
    rim = [
        box_between("sandbox", (-half, s * half, 0), (half, s * (half + 0.15), 0.3))
        for s in (-1, 1)
    ] + [
        box_between("sandbox", (s * half, -half, 0), (s * (half + 0.15), half, 0.3))
        for s in (-1, 1)
    ]
    sand = quads(
        "sand",
        [[(-half, -half, 0.18), (half, -half, 0.18), (half, half, 0.18), (-half, half, 0.18)]],
    )
    return merge([*rim, sand])


def trampoline(rng: Rng) -> Mesh:
    """Return a garden trampoline with a safety net."""
    radius, level = float(rng.uniform(1.2, 2.2)), float(rng.uniform(0.6, 0.95))
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) * radius
    mat = fan("trampoline", ring * 0.95 + [0, 0, level]).made_of("rubber")
    posts = [tube("trampoline", p, p + [0, 0, level + 1.8], 0.025, sides=4) for p in ring[::2]]
    net = loft(
        "trampoline", np.stack([ring + [0, 0, level], ring + [0, 0, level + 1.8]]), opacity=0.3
    )
    edge = loft("trampoline", np.stack([ring + [0, 0, level], ring + [0, 0, level - 0.12]]))
    return merge([mat, *posts, net.made_of("curtain"), edge.made_of("awning_cloth")])


def picnic_table(rng: Rng) -> Mesh:
    """Return a picnic table with two fixed benches."""
    concept, length = "picnic table", float(rng.uniform(1.5, 2.2))
    tops = [box(concept, (0.75, length, 0.05), (0, 0, 0.72))]
    tops += [box(concept, (0.28, length, 0.05), (s * 0.68, 0, 0.43)) for s in (-1, 1)]
    legs = [
        tube(concept, (s * 0.7, y, 0), (s * 0.25, y, 0.72), 0.04, sides=4)
        for s in (-1, 1)
        for y in (-length * 0.35, length * 0.35)
    ]
    return merge([*tops, *legs])


def barbecue(rng: Rng) -> Mesh:
    """Return a kettle or cart barbecue."""
    if rng.random() < 0.5:
        legs = [
            tube(
                "barbecue",
                (0.3 * np.cos(a), 0.3 * np.sin(a), 0),
                (0.1 * np.cos(a), 0.1 * np.sin(a), 0.6),
                0.015,
            )
            for a in (0, 2.1, 4.2)
        ]
        return merge([ellipsoid("barbecue", (0, 0, 0.8), (0.28, 0.28, 0.25), 12), *legs])
    return merge(
        [
            box("barbecue", (0.5, 1.2, 0.8)),
            box("barbecue", (0.5, 0.7, 0.35), (0, 0, 0.8), taper=(0.6, 1)),
        ]
    )


def woodpile(rng: Rng) -> Mesh:
    """Return a stack of firewood along y, at times under a roof."""
    length, height = float(rng.uniform(1, 4)), float(rng.uniform(0.6, 1.6))
    radius = 0.09
    y, z = np.meshgrid(
        np.arange(-length / 2, length / 2, 2 * radius), np.arange(radius, height, 1.8 * radius)
    )
    logs = [
        tube(
            "woodpile",
            (-0.25, a + float(rng.normal(0, 0.02)), b),
            (0.25 + float(rng.normal(0, 0.05)), a, b),
            radius,
            sides=6,
        )
        for a, b in zip(y.ravel(), z.ravel(), strict=True)
    ]
    return merge(logs)


def hay_bale(rng: Rng) -> Mesh:
    """Return a round or square bale of hay."""
    if rng.random() < 0.5:
        radius = float(rng.uniform(0.6, 0.8))
        return tube("hay bale", (0, -0.6, radius), (0, 0.6, radius), radius, sides=16)
    return box("hay bale", (1.0, 0.5, 0.45))


def pergola(rng: Rng) -> Mesh:
    """Return a pergola or an open pavilion."""
    width, depth, height = (
        float(rng.uniform(2, 4)),
        float(rng.uniform(2, 4)),
        float(rng.uniform(2.1, 2.6)),
    )
    posts = [
        box("pergola", (0.12, 0.12, height), (x * depth / 2, y * width / 2, 0))
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    if rng.random() < 0.5:
        beams = [
            box_between(
                "pergola", (-depth / 2 - 0.3, y, height), (depth / 2 + 0.3, y + 0.06, height + 0.15)
            )
            for y in np.linspace(-width / 2, width / 2, 7)
        ]
        return merge([*posts, *beams])
    roof = tube(
        "pergola",
        (0, 0, height),
        (0, 0, height + 0.9),
        max(width, depth) * 0.75,
        end_radius=0.1,
        sides=4,
    )
    return merge([*posts, roof.made_of(str(rng.choice(["awning_cloth", "wood"])))])


def carport(rng: Rng) -> Mesh:
    """Return a carport on posts."""
    length, width = float(rng.uniform(4.5, 6)), float(rng.uniform(2.6, 5.5))
    posts = [
        box("carport", (0.12, 0.12, 2.3), (x, y, 0))
        for x in (-length / 2, 0, length / 2)
        for y in (-width / 2, width / 2)
    ]
    roof = box_between(
        "carport",
        (-length / 2 - 0.3, -width / 2 - 0.3, 2.3),
        (length / 2 + 0.3, width / 2 + 0.3, 2.45),
    )
    return merge([*posts, roof.made_of(str(rng.choice(["sheet_metal", "wood", "frosted_glass"])))])


def greenhouse(rng: Rng) -> Mesh:
    """Return a garden greenhouse or a long tunnel of foil, along x."""
    length, half = float(rng.uniform(2, 6)), float(rng.uniform(1, 1.8))
    return long_greenhouse(rng, length, half, float(rng.uniform(1.5, 2.0)))


def long_greenhouse(rng: Rng, length: float, half_width: float, wall: float) -> Mesh:
    """Return a greenhouse with a ridge or an arched roof of foil, along x.

    Args:
        rng: draws its style.
        length: metres.
        half_width: half its width in metres.
        wall: height of the walls in metres.
    """
    is_tunnel = rng.random() < 0.4
    if is_tunnel:
        angle = np.linspace(0, np.pi, 11)
        profile = np.stack([half_width * np.cos(angle), half_width * 1.1 * np.sin(angle)], axis=1)
    else:
        profile = np.array(
            [
                [half_width, 0],
                [half_width, wall],
                [0, wall + half_width * 0.6],
                [-half_width, wall],
                [-half_width, 0],
            ]
        )
    rings = np.stack(
        [
            np.stack([np.full(len(profile), x), profile[:, 0], profile[:, 1]], axis=1)
            for x in (-length / 2, length / 2)
        ]
    )
    skin = loft("greenhouse", rings, closed=False)
    ends = merge([fan("greenhouse", rings[0]), fan("greenhouse", rings[1])])
    cover = "frosted_glass" if is_tunnel or rng.random() < 0.5 else "glass"
    ribs = [
        polyline_tube("greenhouse", np.column_stack([np.full(len(profile), x), profile]), 0.03)
        for x in np.linspace(-length / 2, length / 2, max(int(length / 2.5), 2))
    ]
    inside = box("crop", (length * 0.9, half_width * 1.5, 0.7), (0, 0, 0)).made_of("bush")
    return merge([merge([skin, ends]).made_of(cover), merge(ribs).made_of("steel"), inside])


def swimming_pool(rng: Rng) -> Mesh:
    """Return a pool above the ground, with water."""
    radius, height = float(rng.uniform(1.2, 3)), float(rng.uniform(0.5, 1.3))
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) * radius
    wall = loft(
        "swimming pool",
        np.stack([ring, ring + [0, 0, height], ring * 0.95 + [0, 0, height], ring * 0.95]),
    )
    return merge([wall, fan("water", ring * 0.95 + [0, 0, height - 0.1])])


def soccer_goal(rng: Rng) -> Mesh:
    """Return a soccer goal, or a basketball hoop on its post."""
    if rng.random() < 0.4:
        board = box("basketball hoop", (0.05, 1.2, 0.8), (0.5, 0, 2.9)).made_of("whiteboard")
        arm = tube("basketball hoop", (0, 0, 3.0), (0.5, 0, 3.2), 0.05)
        return merge([tube("basketball hoop", (0, 0, 0), (0, 0, 3.1), 0.08), arm, board])
    width, height = float(rng.uniform(1.5, 5)), float(rng.uniform(1.2, 2.2))
    half = width / 2
    frame = polyline_tube(
        "soccer goal", [(0, -half, 0), (0, -half, height), (0, half, height), (0, half, 0)], 0.05
    )
    net = quads(
        "soccer goal",
        [[(0, -half, height), (0, half, height), (-1, half, 0), (-1, -half, 0)]],
        0.25,
    )
    return merge([frame, net.made_of("wire")])


def wheelbarrow(rng: Rng) -> Mesh:
    """Return a wheelbarrow."""
    concept = "wheelbarrow"
    handles = [tube(concept, (0.5, s * 0.1, 0.25), (-0.75, s * 0.28, 0.6), 0.02) for s in (-1, 1)]
    wheel = tube(concept, (0.55, -0.05, 0.18), (0.55, 0.05, 0.18), 0.18, sides=10).made_of("rubber")
    return merge(
        [box(concept, (0.75, 0.55, 0.3), (0.05, 0, 0.35), taper=(1.25, 1.15)), *handles, wheel]
    )


def flower_bed(rng: Rng) -> Mesh:
    """Return a bed of flowers and low plants."""
    length, width = float(rng.uniform(0.8, 4)), float(rng.uniform(0.4, 1.2))
    count = int(min(length * width * 220, 1500))
    centers = rng.uniform(-0.5, 0.5, (count, 3)) * [width, length, 0] + [0, 0, 1]
    centers[:, 2] = rng.random(count) * float(rng.uniform(0.15, 0.5))
    leaves = random_triangles("flower bed", centers, 0.05, rng, 0.9)
    blossoms = random_triangles("flower", centers[::6] + [0, 0, 0.06], 0.04, rng, 0.9)
    return merge([leaves, blossoms.made_of("fabric")])


GARDEN_PIECES: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "swing": swing,
        "slide": slide,
        "climbing frame": climbing_frame,
        "seesaw": seesaw,
        "sandbox": sandbox,
        "trampoline": trampoline,
        "picnic table": picnic_table,
        "barbecue": barbecue,
        "woodpile": woodpile,
        "pergola": pergola,
        "greenhouse": greenhouse,
        "swimming pool": swimming_pool,
        "soccer goal": soccer_goal,
        "wheelbarrow": wheelbarrow,
        "flower bed": flower_bed,
    }
)
# Drawn from the catalogue only, where it has them.
GARDEN_READY_MADE = (
    *("spring rider", "hammock", "dog house", "deck chair", "fountain", "shed", "tent", "snowman"),
    *("dog", "cat", "rabbit", "monument", "well", "parasol"),
)
