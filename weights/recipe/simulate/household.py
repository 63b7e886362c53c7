"""Things of a household: lamps, plants, bags, boxes, clothes, electronics, and small objects.

A thing stands on z = 0 and faces +x.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.finishes import draw_finish, plain_finish
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    loft,
    merge,
    polyline_tube,
    quads,
    random_triangles,
    tube,
)
from weights.recipe.simulate.seating import pillow


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def turned(concept: str, profile: list[tuple[float, float]], sides: int = 10) -> Mesh:
    """Return a body of revolution about z through (radius, height) pairs in metres."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = [
        np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(sides, height)], axis=1)
        for radius, height in profile
    ]
    return loft(concept, np.stack(rings))


def floor_lamp(rng: Rng) -> Mesh:
    """Return a lamp that stands on the floor: with a shade, an arc or three legs."""
    concept, height = "floor lamp", _between(rng, 1.3, 1.95)
    frame, shade = (
        draw_finish(rng, "steel", "chrome", "wood"),
        draw_finish(rng, "curtain", "frosted_glass"),
    )
    radius, tall = _between(rng, 0.12, 0.24), _between(rng, 0.18, 0.35)
    kind = str(rng.choice(["shade", "shade", "arc", "tripod"]))
    if kind == "arc":
        reach = _between(rng, 0.4, 1.0)
        path = [
            (0, 0, 0.03),
            (0, 0, height * 0.7),
            (reach * 0.3, 0, height),
            (reach, 0, height - 0.1),
        ]
        stand = polyline_tube(concept, path, 0.014)
        head = turned(concept, [(0.03, height - 0.1), (radius, height - 0.28)]).moved((reach, 0, 0))
        foot = tube(concept, (0, 0, 0), (0, 0, 0.04), 0.17, sides=12)
        return merge([frame.on(stand, foot), shade.on(head)])
    if kind == "tripod":
        stand = merge(
            tube(
                concept,
                (0.25 * np.cos(a), 0.25 * np.sin(a), 0),
                (0, 0, height - tall),
                0.016,
                sides=5,
            )
            for a in (0.3, 2.4, 4.5)
        )
    else:
        stand = merge(
            [
                tube(concept, (0, 0, 0), (0, 0, height - 0.05), 0.014),
                tube(concept, (0, 0, 0), (0, 0, 0.03), _between(rng, 0.11, 0.17), sides=12),
            ]
        )
    head = turned(
        concept, [(radius, height - tall), (radius * _between(rng, 0.5, 1.0), height)], 14
    )
    return merge([frame.on(stand), shade.on(head)])


def table_lamp(rng: Rng) -> Mesh:
    """Return a table lamp with a shade, or a desk lamp with an arm."""
    concept, height = "table lamp", _between(rng, 0.28, 0.62)
    base, shade = (
        draw_finish(rng, "ceramic", "wood", "steel", "plastic"),
        draw_finish(rng, "curtain", "frosted_glass"),
    )
    if rng.random() < 0.3:
        path = [(0, 0, 0.02), (-0.1, 0, height * 0.6), (0.12, 0, height)]
        head = tube(
            concept, (0.12, 0, height), (0.2, 0, height - 0.1), 0.03, end_radius=0.07, sides=9
        )
        foot = tube(concept, (0, 0, 0), (0, 0, 0.02), 0.09, sides=10)
        return base.on(polyline_tube(concept, path, 0.01), head, foot)
    radius, tall = _between(rng, 0.09, 0.2), height * _between(rng, 0.35, 0.5)
    belly = _between(rng, 0.03, 0.09)
    body = turned(
        concept,
        [
            (belly * 1.1, 0),
            (belly * 0.5, height * 0.1),
            (belly, height * 0.3),
            (0.015, height - tall),
        ],
    )
    head = turned(
        concept, [(radius, height - tall), (radius * _between(rng, 0.5, 1.0), height)], 12
    )
    return merge([base.on(body), shade.on(head)])


def plant(rng: Rng, height: float | None = None) -> Mesh:
    """Return a plant in a pot: bushy, with long leaves, a small tree, or a cactus."""
    tall = _between(rng, 0.3, 1.9) if height is None else height
    pot_radius = min(0.07 + tall * 0.09, 0.24)
    pot_height = pot_radius * _between(rng, 1.3, 2.2)
    pot = draw_finish(rng, "ceramic", "brick", "plastic", "wood").on(
        turned(
            "plant",
            [
                (pot_radius * 0.75, 0),
                (pot_radius, pot_height),
                (pot_radius * 0.85, pot_height * 0.95),
            ],
        )
    )
    kind = str(rng.choice(["bushy", "bushy", "long", "long", "tree", "cactus"]))
    leaf = draw_finish(rng, "bush", "leaves")
    rise = max(tall - pot_height, 0.1)
    if kind == "cactus":
        body = ellipsoid(
            "plant",
            (0, 0, pot_height + rise * 0.45),
            (pot_radius * 0.55, pot_radius * 0.55, rise * 0.55),
            8,
        )
        return merge([pot, leaf.on(body)])
    if kind == "long":
        blades = []
        for _ in range(int(rng.integers(10, 26))):
            way, reach = float(rng.uniform(0, 6.28)), rise * _between(rng, 0.2, 0.7)
            blade, up = _between(rng, 0.01, 0.035), rise * _between(rng, 0.5, 1.0)
            spine = np.array(
                [
                    [0, 0, 0],
                    [reach * 0.35, 0, up * 0.7],
                    [reach * 0.8, 0, up],
                    [reach, 0, up * 0.75],
                ]
            )
            width = np.array([0.4, 1.0, 0.8, 0.05]) * blade
            edges = np.stack([spine + np.outer(width, [0, s, 0]) for s in (-1, 1)], axis=1)
            blades.append(loft("plant", edges, closed=False).moved((0, 0, pot_height * 0.9), way))
        return merge([pot, leaf.on(*blades)])
    count = int(120 + 260 * tall)
    spread = np.array([rise * 0.2, rise * 0.2, rise * 0.2])
    middle = pot_height + rise * (0.75 if kind == "tree" else 0.5)
    leaves = rng.normal(0, 1, (count, 3)) * spread + [0, 0, middle]
    leaves[:, 2] = np.maximum(leaves[:, 2], pot_height)
    stem = tube("plant", (0, 0, pot_height * 0.5), (0, 0, middle), 0.008 + 0.01 * tall)
    foliage = random_triangles("plant", leaves, _between(rng, 0.03, 0.09), rng)
    return merge([pot, draw_finish(rng, "bark").on(stem), leaf.on(foliage)])


def flowers(rng: Rng) -> Mesh:
    """Return a vase with flowers."""
    height, radius = _between(rng, 0.15, 0.3), _between(rng, 0.04, 0.08)
    heads = rng.normal(0, 1, (20, 3)) * [0.07, 0.07, 0.05] + [0, 0, height + 0.15]
    stems = rng.normal(0, 1, (20, 3)) * [0.04, 0.04, 0.06] + [0, 0, height + 0.04]
    return merge(
        [
            vase(rng, height, radius),
            draw_finish(rng, "fabric").on(random_triangles("flower", heads, 0.045, rng)),
            draw_finish(rng, "leaves").on(random_triangles("flower", stems, 0.03, rng)),
        ]
    )


def vase(rng: Rng, height: float | None = None, radius: float | None = None) -> Mesh:
    """Return a vase."""
    tall = _between(rng, 0.12, 0.45) if height is None else height
    wide = tall * _between(rng, 0.15, 0.35) if radius is None else radius
    profile = [
        (wide * 0.6, 0),
        (wide, tall * 0.35),
        (wide * _between(rng, 0.4, 0.9), tall * 0.8),
        (wide * 0.8, tall),
    ]
    return draw_finish(rng, "ceramic", "plastic", "frosted_glass").on(turned("vase", profile))


def carton(rng: Rng, size: tuple[float, float, float] | None = None) -> Mesh:
    """Return a cardboard box, closed or with its flaps open."""
    depth, width, height = size or tuple(float(v) for v in rng.uniform(0.2, 0.6, 3))
    finish = draw_finish(rng, "cardboard", "cardboard", "cardboard", "plastic")
    if rng.random() < 0.7:
        tape = box("box", (depth * 1.002, 0.05, height * 1.003))
        return merge([finish.on(box("box", (depth, width, height))), finish.darker(1.2).on(tape)])
    walls = [box("box", (0.006, width, height), (s * depth / 2, 0, 0)) for s in (-1, 1)]
    walls += [box("box", (depth, 0.006, height), (0, s * width / 2, 0)) for s in (-1, 1)]
    flaps = [
        quads(
            "box",
            [
                [
                    (-depth / 2, s * width / 2, height),
                    (depth / 2, s * width / 2, height),
                    (depth / 2, s * width * 0.8, height + 0.08),
                    (-depth / 2, s * width * 0.8, height + 0.08),
                ]
            ],
        )
        for s in (-1, 1)
    ]
    return finish.on(box("box", (depth, width, height * 0.4)), *walls, *flaps)


def cartons(rng: Rng) -> Mesh:
    """Return one to four boxes on top of each other."""
    parts, height = [], 0.0
    for _ in range(int(rng.choice([1, 1, 2, 3, 4]))):
        one = carton(rng).moved(
            (float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03)), height),
            float(rng.normal(0, 0.15)),
        )
        parts.append(one)
        height = float(one.triangles[..., 2].max())
    return merge(parts)


def crate(rng: Rng) -> Mesh:
    """Return an open crate of plastic or wood, at times full."""
    depth, width, height = (
        _between(rng, 0.3, 0.45),
        _between(rng, 0.4, 0.65),
        _between(rng, 0.18, 0.35),
    )
    finish = draw_finish(rng, "plastic", "wood")
    walls = [box("crate", (0.015, width, height), (s * depth / 2, 0, 0)) for s in (-1, 1)]
    walls += [box("crate", (depth, 0.015, height), (0, s * width / 2, 0)) for s in (-1, 1)]
    parts = [finish.on(*walls, box("crate", (depth, width, 0.015)))]
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(2, 6))):
            spot = (_between(rng, -0.3, 0.3) * depth, _between(rng, -0.3, 0.3) * width, 0.02)
            parts.append(draw_small_object(rng, most_m=0.3).moved(spot))
    return merge(parts)


def trash_bin(rng: Rng) -> Mesh:
    """Return a waste bin, round, square or with a lid, empty or with a bag."""
    height, finish = (
        _between(rng, 0.26, 0.8),
        draw_finish(rng, "plastic", "steel", "chrome", "rubber"),
    )
    wide = height * _between(rng, 0.3, 0.45)
    if rng.random() < 0.5:
        body = turned(
            "trash bin",
            [
                (0.01, 0.01),
                (wide * 0.85, 0.0),
                (wide, height),
                (wide * 0.95, height - 0.01),
                (wide * 0.8, 0.03),
                (0.01, 0.03),
            ],
            14,
        )
        lid = ellipsoid("trash bin", (0, 0, height), (wide, wide, wide * 0.4), 12)
    else:
        side = wide * 1.5
        body = box("trash bin", (side, side * 1.2, height), taper=(1.1, 1.1))
        lid = box("trash bin", (side * 1.15, side * 1.35, 0.04), (0, 0, height))
    parts = [finish.on(body)]
    if rng.random() < 0.5:
        parts.append(finish.darker(0.8).on(lid))
    return merge(parts)


def bag(rng: Rng) -> Mesh:
    """Return a handbag, a shopping bag, or a bag of rubbish on the floor."""
    kind = str(rng.choice(["handbag", "shopping", "sack"]))
    finish = draw_finish(rng, "leather", "fabric", "plastic", "paper")
    if kind == "sack":
        lumps = [
            ellipsoid("bag", rng.normal(0, 0.06, 3) + [0, 0, 0.22], (0.2, 0.22, 0.22), 9)
            for _ in range(3)
        ]
        return finish.on(*lumps)
    width, height = _between(rng, 0.25, 0.45), _between(rng, 0.22, 0.4)
    body = box("bag", (width * 0.4, width, height), taper=(0.6, 0.95))
    handles = [
        polyline_tube(
            "bag",
            [
                (s * 0.03, -width * 0.25, height),
                (s * 0.03, 0, height + 0.16),
                (s * 0.03, width * 0.25, height),
            ],
            0.008,
        )
        for s in (-1, 1)
    ]
    return finish.on(body, *handles)


def backpack(rng: Rng) -> Mesh:
    """Return a backpack that stands or lies."""
    height, width = _between(rng, 0.38, 0.55), _between(rng, 0.26, 0.36)
    finish = draw_finish(rng, "fabric", "fabric", "leather")
    body = ellipsoid("backpack", (0, 0, height / 2), (0.13, width / 2, height / 2), 12)
    pocket = ellipsoid("backpack", (0.1, 0, height * 0.35), (0.07, width * 0.38, height * 0.25), 9)
    straps = [
        polyline_tube(
            "backpack",
            [
                (-0.1, s * 0.08, height * 0.85),
                (-0.2, s * 0.1, height * 0.5),
                (-0.1, s * 0.12, height * 0.12),
            ],
            0.015,
        )
        for s in (-1, 1)
    ]
    mesh = finish.on(body, pocket, *straps)
    if rng.random() < 0.3:
        mesh = mesh.transformed([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]).moved((-height / 2, 0, 0.17))
    return mesh


def suitcase(rng: Rng) -> Mesh:
    """Return a suitcase with a handle."""
    depth, width, height = (
        _between(rng, 0.2, 0.32),
        _between(rng, 0.34, 0.5),
        _between(rng, 0.48, 0.75),
    )
    finish = draw_finish(rng, "plastic", "car_paint", "fabric")
    handle = polyline_tube(
        "suitcase",
        [
            (-depth / 2, -0.09, height),
            (-depth / 2, -0.09, height + 0.3),
            (-depth / 2, 0.09, height + 0.3),
            (-depth / 2, 0.09, height),
        ],
        0.01,
    )
    ribs = [
        box("suitcase", (0.01, 0.02, height * 0.9), (depth / 2, float(y), 0.03))
        for y in np.linspace(-0.4, 0.4, 5) * width
    ]
    return merge(
        [
            finish.on(box("suitcase", (depth, width, height)), *ribs),
            draw_finish(rng, "chrome").on(handle),
        ]
    )


def textile_pile(rng: Rng, concept: str = "clothes") -> Mesh:
    """Return a heap of cloth on a surface."""
    finishes = [draw_finish(rng, "fabric", "linen", "trousers") for _ in range(3)]
    size = _between(rng, 0.12, 0.3)
    return merge(
        finishes[int(rng.integers(3))].on(
            ellipsoid(
                concept,
                (float(x), float(y), 0.03),
                (size, size * 0.8, _between(rng, 0.04, 0.13)),
                9,
            )
        )
        for x, y in rng.normal(0, 0.6 * size, (5, 2))
    )


def folded_cloth(rng: Rng, concept: str) -> Mesh:
    """Return a folded stack of cloth, such as towels."""
    parts, height = [], 0.0
    for _ in range(int(rng.integers(1, 5))):
        thick = _between(rng, 0.03, 0.07)
        parts.append(
            draw_finish(rng, "linen", "fabric").on(
                box(concept, (0.28, 0.36, thick), (0, 0, height), yaw=float(rng.normal(0, 0.06)))
            )
        )
        height += thick
    return merge(parts)


def basket(rng: Rng) -> Mesh:
    """Return a basket or laundry hamper, at times with clothes."""
    height, wide = _between(rng, 0.22, 0.65), _between(rng, 0.17, 0.27)
    finish = draw_finish(rng, "wood", "boards", "plastic")
    body = turned(
        "basket",
        [(0.01, 0.02), (wide * 0.85, 0), (wide, height), (wide * 0.96, height), (wide * 0.8, 0.04)],
        14,
    )
    parts = [finish.on(body)]
    if rng.random() < 0.5:
        parts.append(textile_pile(rng).moved((0, 0, height * 0.75), scale=wide / 0.35))
    return merge(parts)


def bucket(rng: Rng) -> Mesh:
    """Return a bucket with a handle."""
    body = turned("bucket", [(0.01, 0.01), (0.11, 0), (0.14, 0.28), (0.13, 0.28), (0.1, 0.02)], 14)
    handle = polyline_tube(
        "bucket", [(0, -0.14, 0.27), (0, -0.08, 0.4), (0, 0.08, 0.4), (0, 0.14, 0.27)], 0.005
    )
    return draw_finish(rng, "plastic", "steel").on(body, handle)


def broom(rng: Rng) -> Mesh:
    """Return a broom or a mop that stands upright."""
    concept = str(rng.choice(["broom", "mop"]))
    stick = draw_finish(rng, "wood", "plastic").on(tube(concept, (0, 0, 0.1), (0, 0, 1.4), 0.012))
    head = box(concept, (0.07, 0.34, 0.12), taper=(0.6, 0.8))
    return merge([stick, draw_finish(rng, "plastic", "linen").on(head)])


def vacuum_cleaner(rng: Rng) -> Mesh:
    """Return a vacuum cleaner with its hose."""
    finish = draw_finish(rng, "car_paint", "plastic")
    body = ellipsoid("vacuum cleaner", (0, 0, 0.14), (0.2, 0.14, 0.13), 12)
    hose = polyline_tube(
        "vacuum cleaner",
        [(0.15, 0, 0.2), (0.35, 0.05, 0.6), (0.5, 0.2, 0.9), (0.55, 0.3, 0.1)],
        0.02,
    )
    return merge([finish.on(body), draw_finish(rng, "rubber").on(hose)])


def monitor(rng: Rng) -> Mesh:
    """Return a computer monitor on its stand."""
    width = _between(rng, 0.42, 0.8)
    tall, lift = width * _between(rng, 0.5, 0.62), _between(rng, 0.08, 0.18)
    frame = draw_finish(rng, "screen", "rubber", "steel")
    panel = box("monitor", (0.03, width, tall), (0, 0, lift))
    face = box("monitor", (0.004, width - 0.02, tall - 0.02), (0.016, 0, lift + 0.01))
    stand = [
        box("monitor", (0.03, 0.05, lift + 0.1), (-0.03, 0, 0)),
        box("monitor", (0.18, 0.24, 0.015)),
    ]
    glow = (
        plain_finish("screen", tuple(rng.uniform(0.02, 0.6, 3)))
        if rng.random() < 0.4
        else draw_finish(rng, "screen")
    )
    return merge([frame.on(panel, *stand), glow.on(face)])


def television(rng: Rng, *, on_wall: bool = False) -> Mesh:
    """Return a flat television on a foot, or one without a foot whose back is at x = 0."""
    width = _between(rng, 0.65, 1.6)
    tall, lift = width * 0.57, 0.0 if on_wall else _between(rng, 0.04, 0.1)
    x = 0.05 if on_wall else 0.0
    frame = draw_finish(rng, "screen", "rubber")
    panel = box("television", (0.06, width, tall), (x, 0, lift), taper=(1, 1))
    face = box("television", (0.004, width - 0.03, tall - 0.03), (x + 0.032, 0, lift + 0.015))
    glow = (
        plain_finish("screen", tuple(rng.uniform(0.02, 0.5, 3)))
        if rng.random() < 0.15
        else draw_finish(rng, "screen")
    )
    parts = [frame.on(panel), glow.on(face)]
    if on_wall:
        parts.append(frame.on(box("television", (0.04, 0.3, 0.3), (0.01, 0, tall / 2 - 0.15))))
    elif rng.random() < 0.5:
        parts.append(
            frame.on(
                box("television", (0.22, width * 0.4, 0.015)),
                box("television", (0.03, 0.1, lift + 0.05)),
            )
        )
    else:
        parts.append(
            frame.on(
                *(
                    box("television", (0.22, 0.03, lift + 0.02), (0, s * width * 0.35, 0))
                    for s in (-1, 1)
                )
            )
        )
    return merge(parts)


def laptop(rng: Rng) -> Mesh:
    """Return an open laptop."""
    width, lean = _between(rng, 0.3, 0.38), _between(rng, 0.03, 0.14)
    depth, finish = width * 0.7, draw_finish(rng, "steel", "rubber", "appliance")
    hinge = -depth / 2
    lid = [
        [
            (hinge, -width / 2, 0.02),
            (hinge, width / 2, 0.02),
            (hinge - lean, width / 2, depth),
            (hinge - lean, -width / 2, depth),
        ]
    ]
    back = np.asarray(lid) - [0.008, 0, 0]
    return merge(
        [
            finish.on(box("laptop", (depth, width, 0.02)), quads("laptop", back)),
            draw_finish(rng, "screen").on(quads("laptop", lid)),
        ]
    )


def computer_tower(rng: Rng) -> Mesh:
    """Return the case of a desktop computer."""
    size = (_between(rng, 0.35, 0.5), _between(rng, 0.15, 0.21), _between(rng, 0.33, 0.48))
    front = box(
        "computer tower", (0.01, size[1] * 0.9, size[2] * 0.9), (size[0] / 2, 0, size[2] * 0.05)
    )
    finish = draw_finish(rng, "screen", "appliance", "steel")
    return merge([finish.on(box("computer tower", size)), finish.darker(1.3).on(front)])


def printer(rng: Rng) -> Mesh:
    """Return a printer for a desk."""
    size = (_between(rng, 0.34, 0.46), _between(rng, 0.38, 0.5), _between(rng, 0.16, 0.34))
    finish = draw_finish(rng, "appliance", "screen")
    tray = box("printer", (0.12, size[1] * 0.6, 0.015), (size[0] / 2 + 0.05, 0, 0.05))
    lid = box("printer", (size[0] * 0.9, size[1] * 0.9, 0.03), (0, 0, size[2]))
    return merge([finish.on(box("printer", size)), finish.darker(0.7).on(tray, lid)])


def copier(rng: Rng) -> Mesh:
    """Return a photocopier on the floor."""
    size = (_between(rng, 0.6, 0.75), _between(rng, 0.6, 1.1), _between(rng, 0.85, 1.05))
    finish = draw_finish(rng, "appliance")
    lid = box("copier", (size[0] * 0.9, size[1] * 0.8, 0.1), (0, 0, size[2]))
    trays = [
        box("copier", (0.02, size[1] * 0.8, 0.13), (size[0] / 2, 0, float(z)))
        for z in (0.08, 0.24, 0.4)
    ]
    out = box("copier", (size[0] * 0.6, 0.3, 0.03), (0, size[1] / 2 + 0.12, size[2] * 0.7))
    return merge([finish.on(box("copier", size), lid), finish.darker(0.8).on(*trays, out)])


def speaker(rng: Rng) -> Mesh:
    """Return a loudspeaker, small or as tall as a chair."""
    height = float(rng.choice([_between(rng, 0.2, 0.4), _between(rng, 0.8, 1.1)]))
    width = _between(rng, 0.14, 0.26)
    body = box("speaker", (width * 1.1, width, height))
    cones = [
        tube("speaker", (width * 0.55, 0, z), (width * 0.56 + 0.01, 0, z), width * 0.36, sides=12)
        for z in (height * 0.3, height * 0.75)
    ]
    return merge(
        [draw_finish(rng, "wood", "screen").on(body), draw_finish(rng, "rubber").on(*cones)]
    )


def fan(rng: Rng) -> Mesh:
    """Return a fan on a stand."""
    height = float(rng.choice([_between(rng, 0.35, 0.5), _between(rng, 1.0, 1.3)]))
    radius = _between(rng, 0.15, 0.24)
    stand = [
        tube("fan", (0, 0, 0), (0, 0, height - radius), 0.018),
        tube("fan", (0, 0, 0), (0, 0, 0.03), radius * 0.8, sides=12),
    ]
    cage = tube("fan", (-0.05, 0, height), (0.05, 0, height), radius, sides=16)
    finish = draw_finish(rng, "plastic", "appliance", "chrome")
    hub = tube("fan", (-0.14, 0, height), (0.06, 0, height), 0.05, sides=8)
    caged = replace(cage, opacity=np.full_like(cage.opacity, 0.4))
    return finish.on(*stand, caged, hub)


def open_book(rng: Rng) -> Mesh:
    """Return a book that lies closed, or a small stack of books."""
    parts, height = [], 0.0
    for _ in range(int(rng.choice([1, 1, 2, 3, 5]))):
        thick = _between(rng, 0.01, 0.05)
        size = (_between(rng, 0.15, 0.24), _between(rng, 0.2, 0.31), thick)
        cover = draw_finish(rng, "paper", "fabric")
        parts.append(cover.on(box("book", size, (0, 0, height), yaw=float(rng.normal(0, 0.3)))))
        height += thick
    return merge(parts)


def papers(rng: Rng) -> Mesh:
    """Return loose sheets of paper, or a thin stack."""
    sheet = plain_finish("paper", (0.7, 0.7, 0.68))
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        spot = (float(rng.normal(0, 0.08)), float(rng.normal(0, 0.1)), 0.0)
        parts.append(
            box(
                "paper",
                (0.297, 0.21, _between(rng, 0.002, 0.03)),
                spot,
                yaw=float(rng.uniform(0, 3)),
            )
        )
    return sheet.on(*parts)


def mug(rng: Rng) -> Mesh:
    """Return a cup or a mug."""
    radius, height = _between(rng, 0.035, 0.05), _between(rng, 0.07, 0.13)
    body = turned(
        "cup",
        [
            (0.005, 0.005),
            (radius * 0.85, 0),
            (radius, height),
            (radius * 0.9, height),
            (radius * 0.75, 0.01),
        ],
        10,
    )
    handle = polyline_tube(
        "cup",
        [(0, radius, height * 0.2), (0, radius + 0.03, height * 0.5), (0, radius, height * 0.8)],
        0.006,
    )
    return draw_finish(rng, "ceramic", "ceramic", "plastic", "paper").on(body, handle)


def bottle(rng: Rng) -> Mesh:
    """Return a bottle, of water, wine or a detergent."""
    concept = "bottle"
    radius, height = _between(rng, 0.03, 0.055), _between(rng, 0.18, 0.34)
    profile = [
        (0.005, 0),
        (radius, 0.005),
        (radius, height * 0.6),
        (0.015, height * 0.8),
        (0.014, height),
    ]
    return draw_finish(rng, "plastic", "frosted_glass").on(turned(concept, profile, 9))


def bowl(rng: Rng) -> Mesh:
    """Return a bowl, at times with fruit."""
    radius, height = _between(rng, 0.07, 0.16), _between(rng, 0.05, 0.1)
    body = turned(
        "bowl",
        [
            (0.005, 0.01),
            (radius * 0.4, 0),
            (radius, height),
            (radius * 0.95, height),
            (radius * 0.4, 0.012),
        ],
        12,
    )
    parts = [draw_finish(rng, "ceramic", "wood", "steel").on(body)]
    if rng.random() < 0.3:
        for x, y in rng.uniform(-0.5, 0.5, (5, 2)) * radius:
            fruit = ellipsoid("fruit", (float(x), float(y), height * 0.8), (0.038, 0.038, 0.038), 6)
            parts.append(
                plain_finish(
                    "plastic",
                    [(0.5, 0.08, 0.05), (0.6, 0.25, 0.03), (0.3, 0.4, 0.05)][int(rng.integers(3))],
                ).on(fruit)
            )
    return merge(parts)


def plate(rng: Rng) -> Mesh:
    """Return a plate, or a stack of them."""
    count, radius = int(rng.choice([1, 1, 1, 4])), _between(rng, 0.09, 0.14)
    body = [
        turned(
            "plate", [(0.005, 0.008 * k), (radius * 0.6, 0.008 * k), (radius, 0.008 * k + 0.02)], 14
        )
        for k in range(count)
    ]
    return draw_finish(rng, "ceramic").on(*body)


def pot(rng: Rng) -> Mesh:
    """Return a cooking pot or a frying pan."""
    concept = str(rng.choice(["pot", "pan"]))
    radius, height = (
        _between(rng, 0.09, 0.15),
        0.05 if concept == "pan" else _between(rng, 0.09, 0.2),
    )
    body = turned(
        concept,
        [
            (0.005, 0.005),
            (radius * 0.95, 0),
            (radius, height),
            (radius * 0.95, height),
            (radius * 0.9, 0.01),
        ],
        14,
    )
    handle = (
        box(concept, (0.18, 0.025, 0.015), (radius + 0.09, 0, height - 0.03))
        if concept == "pan"
        else box(concept, (0.03, 0.09, 0.015), (radius + 0.015, 0, height - 0.03))
    )
    return draw_finish(rng, "chrome", "steel", "rubber").on(body, handle)


def kettle(rng: Rng) -> Mesh:
    """Return a kettle."""
    body = turned("kettle", [(0.01, 0), (0.09, 0), (0.08, 0.15), (0.05, 0.2), (0.01, 0.22)], 12)
    handle = polyline_tube("kettle", [(0, 0.08, 0.04), (0, 0.14, 0.12), (0, 0.06, 0.2)], 0.012)
    return draw_finish(rng, "chrome", "plastic", "appliance").on(body, handle)


def coffee_machine(rng: Rng) -> Mesh:
    """Return a coffee machine."""
    height, width = _between(rng, 0.3, 0.42), _between(rng, 0.18, 0.34)
    parts = [
        box("coffee machine", (0.12, width, height), (-0.08, 0, 0)),
        box("coffee machine", (0.28, width, 0.06)),
        box("coffee machine", (0.28, width, height * 0.35), (0, 0, height * 0.65)),
        turned("coffee machine", [(0.01, 0.06), (0.06, 0.06), (0.055, 0.16)]).moved((0.07, 0, 0)),
    ]
    return draw_finish(rng, "screen", "chrome", "appliance").on(*parts)


def toaster(rng: Rng) -> Mesh:
    """Return a toaster."""
    parts = [
        box("toaster", (0.17, 0.28, 0.19), taper=(0.85, 0.95)),
        box("toaster", (0.02, 0.03, 0.02), (0, 0.15, 0.12)),
    ]
    return draw_finish(rng, "chrome", "appliance", "plastic").on(*parts)


def microwave(rng: Rng) -> Mesh:
    """Return a microwave oven."""
    width, height = _between(rng, 0.44, 0.55), _between(rng, 0.25, 0.32)
    finish = draw_finish(rng, "appliance", "steel", "screen")
    door = box(
        "microwave", (0.01, width * 0.68, height * 0.85), (0.18, -width * 0.12, height * 0.07)
    )
    return merge(
        [finish.on(box("microwave", (0.35, width, height))), draw_finish(rng, "screen").on(door)]
    )


def soap_bottle(rng: Rng) -> Mesh:
    """Return a bottle of soap, shampoo or a cleaning agent, with a pump or a spray head."""
    radius, height = _between(rng, 0.025, 0.045), _between(rng, 0.12, 0.24)
    body = turned(
        "soap bottle",
        [
            (0.005, 0),
            (radius, 0.004),
            (radius, height * 0.7),
            (0.012, height * 0.78),
            (0.01, height),
        ],
        8,
    )
    head = box("soap bottle", (0.06, 0.02, 0.02), (0.02, 0, height))
    return draw_finish(rng, "plastic", "ceramic").on(body, head)


def tissue_roll(rng: Rng, concept: str = "toilet paper") -> Mesh:
    """Return a roll of paper, standing."""
    radius, height = (0.055, 0.1) if concept == "toilet paper" else (0.06, 0.24)
    return plain_finish("paper", (0.75, 0.75, 0.74)).on(
        tube(concept, (0, 0, 0), (0, 0, height), radius, sides=12)
    )


def clock(rng: Rng) -> Mesh:
    """Return an alarm clock."""
    finish = draw_finish(rng, "plastic", "screen")
    return finish.on(box("clock", (0.06, _between(rng, 0.08, 0.16), _between(rng, 0.06, 0.12))))


def picture_frame(rng: Rng) -> Mesh:
    """Return a framed photograph that stands."""
    width, height = _between(rng, 0.1, 0.22), _between(rng, 0.13, 0.25)
    frame = draw_finish(rng, "wood", "chrome").on(box("picture", (0.015, width, height)))
    photo = plain_finish("paper", tuple(rng.uniform(0.05, 0.6, 3))).on(
        box("picture", (0.003, width * 0.8, height * 0.8), (0.008, 0, height * 0.1))
    )
    leaning = np.array([[1, 0, -0.2], [0, 1, 0], [0, 0, 1]])
    return merge([frame, photo]).transformed(leaning).moved((0.05, 0, 0))


def statue(rng: Rng) -> Mesh:
    """Return a figurine."""
    height = _between(rng, 0.12, 0.5)
    profile = [
        (height * 0.2, 0),
        (height * 0.2, height * 0.08),
        (height * 0.1, height * 0.12),
        (height * 0.16, height * 0.5),
        (height * 0.06, height * 0.75),
        (height * 0.1, height * 0.88),
        (0.003, height),
    ]
    return draw_finish(rng, "stone", "ceramic", "wood", "chrome").on(turned("statue", profile, 9))


def candle(rng: Rng) -> Mesh:
    """Return a candle."""
    return draw_finish(rng, "linen").on(
        tube(
            "candle",
            (0, 0, 0),
            (0, 0, _between(rng, 0.06, 0.25)),
            _between(rng, 0.012, 0.04),
            sides=8,
        )
    )


def teddy_bear(rng: Rng) -> Mesh:
    """Return a sitting teddy bear."""
    size, c = _between(rng, 0.2, 0.5), "teddy bear"
    balls = [
        ((0, 0, 0.3), (0.2, 0.22, 0.3)),
        ((0.03, 0, 0.75), (0.2, 0.22, 0.2)),
        ((0, 0.17, 0.93), (0.05, 0.08, 0.08)),
        ((0, -0.17, 0.93), (0.05, 0.08, 0.08)),
    ]
    balls += [((0.3, s * 0.16, 0.1), (0.25, 0.1, 0.1)) for s in (-1, 1)] + [
        ((0.1, s * 0.28, 0.42), (0.16, 0.08, 0.09)) for s in (-1, 1)
    ]
    shapes = [ellipsoid(c, np.array(p) * size, tuple(np.array(h) * size), 8) for p, h in balls]
    return draw_finish(rng, "upholstery", "linen").on(*shapes)


def ball(rng: Rng) -> Mesh:
    """Return a ball."""
    radius = _between(rng, 0.05, 0.15)
    return draw_finish(rng, "fabric", "leather", "plastic").on(
        ellipsoid("ball", (0, 0, radius), (radius,) * 3, 12)
    )


def toy(rng: Rng) -> Mesh:
    """Return a toy of coloured blocks."""
    return merge(
        draw_finish(rng, "plastic", "warning_plastic").on(
            box(
                "toy",
                (_between(rng, 0.03, 0.12), _between(rng, 0.03, 0.12), _between(rng, 0.03, 0.12)),
                (float(x), float(y), 0),
                yaw=float(rng.uniform(0, 3)),
            )
        )
        for x, y in rng.normal(0, 0.08, (int(rng.integers(2, 6)), 2))
    )


def remote_control(rng: Rng) -> Mesh:
    """Return a remote control."""
    return draw_finish(rng, "screen").on(box("remote control", (0.17, 0.045, 0.02)))


def phone(rng: Rng) -> Mesh:
    """Return a telephone for a desk."""
    finish = draw_finish(rng, "screen", "appliance")
    return finish.on(
        box("phone", (0.2, 0.18, 0.06), taper=(0.7, 1)),
        box("phone", (0.2, 0.05, 0.04), (0, -0.07, 0.05)),
    )


def keyboard(rng: Rng) -> Mesh:
    """Return a computer keyboard."""
    return draw_finish(rng, "screen", "appliance").on(box("keyboard", (0.15, 0.44, 0.025)))


def mouse(rng: Rng) -> Mesh:
    """Return a computer mouse."""
    return draw_finish(rng, "screen", "appliance").on(
        ellipsoid("mouse", (0, 0, 0.012), (0.055, 0.03, 0.022), 7)
    )


def binder(rng: Rng) -> Mesh:
    """Return a few binders that stand beside each other."""
    return merge(
        draw_finish(rng, "paper", "plastic").on(
            box("binder", (0.28, 0.07, 0.31), (0, 0.075 * k, 0))
        )
        for k in range(int(rng.integers(1, 6)))
    )


def paper_tray(rng: Rng) -> Mesh:
    """Return trays for letters."""
    parts = [
        box("letter tray", (0.34, 0.25, 0.012), (0, 0, 0.07 * k))
        for k in range(int(rng.integers(1, 4)))
    ]
    posts = [
        box("letter tray", (0.01, 0.01, 0.07 * len(parts)), (x, y, 0))
        for x in (-0.16, 0.16)
        for y in (-0.12, 0.12)
    ]
    return draw_finish(rng, "plastic", "steel").on(*parts, *posts)


def pen_holder(rng: Rng) -> Mesh:
    """Return a cup of pens."""
    cup = turned("pen", [(0.035, 0), (0.04, 0.1), (0.035, 0.1)], 8)
    pens = [
        tube("pen", (0, 0, 0.02), (float(x), float(y), 0.17), 0.005, sides=4)
        for x, y in rng.normal(0, 0.03, (5, 2))
    ]
    return draw_finish(rng, "plastic", "steel").on(cup, *pens)


def jar(rng: Rng) -> Mesh:
    """Return a jar or a tin."""
    concept, radius, height = (
        str(rng.choice(["jar", "can"])),
        _between(rng, 0.03, 0.06),
        _between(rng, 0.08, 0.2),
    )
    return draw_finish(rng, "chrome", "ceramic", "paper").on(
        turned(
            concept, [(0.005, 0), (radius, 0.003), (radius, height), (0.005, height + 0.004)], 10
        )
    )


def toolbox(rng: Rng) -> Mesh:
    """Return a toolbox with a handle."""
    body = box("toolbox", (0.22, 0.45, 0.2), taper=(0.7, 1))
    handle = polyline_tube(
        "toolbox", [(0, -0.12, 0.2), (0, -0.12, 0.27), (0, 0.12, 0.27), (0, 0.12, 0.2)], 0.012
    )
    return draw_finish(rng, "warning_plastic", "car_paint").on(body, handle)


def globe(rng: Rng) -> Mesh:
    """Return a globe on its foot."""
    ball_part = plain_finish("plastic", (0.1, 0.25, 0.5)).on(
        ellipsoid("globe", (0, 0, 0.25), (0.13, 0.13, 0.13), 12)
    )
    foot = draw_finish(rng, "wood", "chrome").on(
        tube("globe", (0, 0, 0), (0, 0, 0.13), 0.08, end_radius=0.02, sides=10)
    )
    return merge([ball_part, foot])


def helmet(rng: Rng) -> Mesh:
    """Return a helmet."""
    return draw_finish(rng, "car_paint").on(
        ellipsoid("helmet", (0, 0, 0.1), (0.15, 0.12, 0.13), 10)
    )


def shoe(rng: Rng) -> Mesh:
    """Return one shoe with its toe towards +x."""
    finish = draw_finish(rng, "leather", "fabric", "rubber")
    return finish.on(
        box("shoe", (0.26, 0.09, 0.05), taper=(0.95, 0.8)),
        box("shoe", (0.13, 0.08, _between(rng, 0.05, 0.12)), (-0.06, 0, 0.05), taper=(0.8, 0.8)),
    )


def pair_of_shoes(rng: Rng) -> Mesh:
    """Return two shoes beside each other."""
    one = shoe(rng)
    return merge([one, one.moved((float(rng.normal(0, 0.04)), 0.12, 0), float(rng.normal(0, 0.2)))])


def hand_truck(rng: Rng) -> Mesh:
    """Return a hand truck."""
    finish, c = draw_finish(rng, "car_paint", "steel"), "hand truck"
    rails = [tube(c, (0, y, 0.1), (-0.25, y, 1.2), 0.016) for y in (-0.18, 0.18)]
    bars = [
        tube(c, (-0.22 * z, -0.18, z + 0.05), (-0.22 * z, 0.18, z + 0.05), 0.013)
        for z in (0.2, 0.6, 1.1)
    ]
    wheels = [
        tube(c, (-0.1, y - 0.03, 0.12), (-0.1, y + 0.03, 0.12), 0.12, sides=12)
        for y in (-0.22, 0.22)
    ]
    return merge(
        [
            finish.on(*rails, *bars, box(c, (0.25, 0.4, 0.015), (0.12, 0, 0.02))),
            draw_finish(rng, "rubber").on(*wheels),
        ]
    )


def trolley(rng: Rng) -> Mesh:
    """Return a cart with two or three boards on castors."""
    c, (depth, width, height) = (
        "trolley",
        (_between(rng, 0.4, 0.55), _between(rng, 0.6, 0.95), _between(rng, 0.75, 1.0)),
    )
    finish = draw_finish(rng, "chrome", "steel", "plastic")
    boards = [
        box(c, (depth, width, 0.03), (0, 0, float(z)))
        for z in np.linspace(0.15, height - 0.1, int(rng.integers(2, 4)))
    ]
    posts = [
        tube(c, (x, y, 0.06), (x, y, height), 0.014)
        for x in (-depth / 2, depth / 2)
        for y in (-width / 2, width / 2)
    ]
    wheels = [
        ellipsoid(c, (x, y, 0.05), (0.05, 0.02, 0.05), 7)
        for x in (-depth / 2, depth / 2)
        for y in (-width / 2, width / 2)
    ]
    parts = [finish.on(*boards, *posts), draw_finish(rng, "rubber").on(*wheels)]
    for _ in range(int(rng.integers(0, 5))):
        spot = (_between(rng, -0.3, 0.3) * depth, _between(rng, -0.4, 0.4) * width, height - 0.07)
        parts.append(draw_small_object(rng, most_m=0.35).moved(spot))
    return merge(parts)


def iv_stand(rng: Rng) -> Mesh:
    """Return a stand for infusions, with a bag."""
    c, height = "iv stand", _between(rng, 1.7, 2.0)
    finish = draw_finish(rng, "chrome")
    feet = [
        tube(c, (0, 0, 0.06), (0.3 * np.cos(a), 0.3 * np.sin(a), 0.04), 0.013)
        for a in np.linspace(0, 6.28, 6)[:-1]
    ]
    arm = tube(c, (0, -0.15, height), (0, 0.15, height), 0.008)
    sack = box("iv stand", (0.03, 0.12, 0.22), (0, 0.13, height - 0.27))
    return merge(
        [
            finish.on(tube(c, (0, 0, 0.05), (0, 0, height), 0.013), arm, *feet),
            draw_finish(rng, "linen").on(sack),
        ]
    )


def medical_monitor(rng: Rng) -> Mesh:
    """Return a monitor of vital signs on a stand."""
    c, height = "medical monitor", _between(rng, 1.1, 1.5)
    body = box(c, (0.16, 0.34, 0.28), (0, 0, height))
    face = box(c, (0.005, 0.28, 0.2), (0.083, 0, height + 0.05))
    stand = [
        tube(c, (0, 0, 0.05), (0, 0, height), 0.025),
        *(
            tube(c, (0, 0, 0.06), (0.28 * np.cos(a), 0.28 * np.sin(a), 0.04), 0.018)
            for a in np.linspace(0, 6.28, 6)[:-1]
        ),
    ]
    basket_part = box(c, (0.2, 0.25, 0.14), (0, 0, height * 0.6))
    return merge(
        [
            draw_finish(rng, "appliance").on(body, *stand, basket_part),
            draw_finish(rng, "screen").on(face),
        ]
    )


def vending_machine(rng: Rng) -> Mesh:
    """Return a vending machine."""
    size = (_between(rng, 0.75, 0.9), _between(rng, 0.85, 1.2), _between(rng, 1.75, 1.95))
    finish, c = draw_finish(rng, "car_paint", "screen"), "vending machine"
    pane = box(
        c,
        (0.01, size[1] * 0.6, size[2] * 0.6),
        (size[0] / 2 + 0.01, -size[1] * 0.12, size[2] * 0.3),
    )
    panel = box(
        c,
        (0.02, size[1] * 0.2, size[2] * 0.35),
        (size[0] / 2 + 0.01, size[1] * 0.34, size[2] * 0.4),
    )
    return merge(
        [
            finish.on(box(c, size)),
            draw_finish(rng, "screen").on(pane),
            draw_finish(rng, "steel").on(panel),
        ]
    )


def cash_register(rng: Rng) -> Mesh:
    """Return a cash register."""
    c = "cash register"
    return draw_finish(rng, "screen", "appliance").on(
        box(c, (0.4, 0.42, 0.12)),
        box(c, (0.05, 0.32, 0.25), (-0.05, 0, 0.15)),
        box(c, (0.05, 0.08, 0.1), (-0.05, 0, 0.1)),
    )


def easel(rng: Rng) -> Mesh:
    """Return an easel or a flip chart."""
    c, height = "easel", _between(rng, 1.6, 1.9)
    frame = draw_finish(rng, "wood", "steel")
    stand = [tube(c, (0.1, s * 0.35, 0), (-0.1, s * 0.2, height), 0.02) for s in (-1, 1)] + [
        tube(c, (-0.6, 0, 0), (-0.1, 0, height), 0.02)
    ]
    board = box_between(c, (-0.02, -0.35, 0.8), (0.02, 0.35, height))
    return merge([frame.on(*stand), plain_finish("whiteboard", (0.7, 0.7, 0.68)).on(board)])


def yoga_mat(rng: Rng) -> Mesh:
    """Return a yoga mat on the floor."""
    return draw_finish(rng, "fabric").on(box("yoga mat", (1.8, 0.6, 0.01)))


def dumbbell(rng: Rng) -> Mesh:
    """Return a dumbbell."""
    c = "dumbbell"
    return draw_finish(rng, "rubber", "steel").on(
        tube(c, (0, -0.12, 0.06), (0, 0.12, 0.06), 0.015),
        *(tube(c, (0, s * 0.1, 0.06), (0, s * 0.16, 0.06), 0.06, sides=8) for s in (-1, 1)),
    )


def person_like_mannequin(rng: Rng) -> Mesh:
    """Return a mannequin without a head, on a stand."""
    c = "mannequin"
    body = turned(c, [(0.05, 0.85), (0.17, 0.95), (0.13, 1.15), (0.19, 1.42), (0.06, 1.52)], 12)
    stand = [tube(c, (0, 0, 0), (0, 0, 0.9), 0.02), tube(c, (0, 0, 0), (0, 0, 0.02), 0.2, sides=12)]
    return merge(
        [
            draw_finish(rng, "linen", "fabric").on(body),
            draw_finish(rng, "wood", "chrome").on(*stand),
        ]
    )


# Small objects by the concept that the receptacles of `room_kinds.toml` ask for.
SMALL_OBJECTS: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "book": open_book,
        "paper": papers,
        "cup": mug,
        "bottle": bottle,
        "bowl": bowl,
        "plate": plate,
        "pot": pot,
        "kettle": kettle,
        "coffee machine": coffee_machine,
        "toaster": toaster,
        "microwave": microwave,
        "soap bottle": soap_bottle,
        "toilet paper": tissue_roll,
        "paper towel": lambda rng: tissue_roll(rng, "paper towel"),
        "clock": clock,
        "picture": picture_frame,
        "statue": statue,
        "candle": candle,
        "teddy bear": teddy_bear,
        "ball": ball,
        "toy": toy,
        "remote control": remote_control,
        "phone": phone,
        "keyboard": keyboard,
        "mouse": mouse,
        "binder": binder,
        "letter tray": paper_tray,
        "pen": pen_holder,
        "jar": jar,
        "vase": vase,
        "flower": flowers,
        "table lamp": table_lamp,
        "plant": lambda rng: plant(rng, _between(rng, 0.15, 0.5)),
        "laptop": laptop,
        "monitor": monitor,
        "printer": printer,
        "speaker": speaker,
        "towel": lambda rng: folded_cloth(rng, "towel"),
        "clothes": textile_pile,
        "box": lambda rng: carton(
            rng, (_between(rng, 0.08, 0.35), _between(rng, 0.08, 0.35), _between(rng, 0.08, 0.35))
        ),
        "basket": lambda rng: basket(rng).moved(scale=0.5),
        "television": television,
        "globe": globe,
        "toolbox": toolbox,
        "helmet": helmet,
        "cash register": cash_register,
        "bag": bag,
        "pillow": pillow,
        "computer tower": computer_tower,
    }
)
_ANYWHERE = (
    "book", "book", "vase", "box", "box", "plant", "picture", "clock", "statue", "jar", "bottle",
    "candle", "toy", "teddy bear", "speaker", "basket", "cup", "bowl", "binder", "globe", "helmet",
)  # fmt: skip


def draw_small_object(rng: Rng, *, most_m: float) -> Mesh:
    """Return a random small object, scaled down where it is higher or longer than ``most_m``."""
    mesh = SMALL_OBJECTS[_ANYWHERE[int(rng.integers(len(_ANYWHERE)))]](rng)
    extent = np.ptp(mesh.triangles.reshape(-1, 3), axis=0).max()
    return mesh.moved(yaw=float(rng.normal(0, 0.5)), scale=min(1.0, most_m / float(extent)))
