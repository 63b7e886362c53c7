"""Street furniture: lamps, poles, signs, signals, wires, bins, benches, things of building sites.

A piece stands on the origin and faces +x, unless its function says otherwise. Signs and signals
face −x, towards traffic that drives along +x.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.barriers import road_barrier
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    fan,
    instanced,
    loft,
    merge,
    polyline_tube,
    quads,
    tube,
)


def street_light(rng: Rng) -> Mesh:
    """Return a lamp on a mast, with or without an arm along +x."""
    height, concept = float(rng.uniform(4, 11)), "street light"
    mast = tube(concept, (0, 0, 0), (0, 0, height), float(rng.uniform(0.06, 0.11)), end_radius=0.05)
    if rng.random() < 0.3:
        return merge([mast, ellipsoid(concept, (0, 0, height + 0.2), (0.25, 0.25, 0.3))])
    arm_length = float(rng.uniform(0.8, 3))
    arm = polyline_tube(
        concept,
        [(0, 0, height), (arm_length * 0.5, 0, height + 0.35), (arm_length, 0, height + 0.4)],
        0.04,
    )
    return merge([mast, arm, box(concept, (0.7, 0.3, 0.12), (arm_length + 0.2, 0, height + 0.35))])


def traffic_sign(rng: Rng) -> Mesh:
    """Return a traffic sign on its post, or a wide one on two posts."""
    concept, size = "traffic sign", float(rng.uniform(0.25, 0.45))
    lower_edge = float(rng.uniform(1.6, 2.6))
    sides = int(rng.choice([3, 4, 8, 16]))
    plate = _plate(size, sides)
    parts = [
        tube("pole", (0, 0, 0), (0, 0, lower_edge + size), 0.035),
        plate.moved((-0.05, 0, lower_edge + size)),
    ]
    if rng.random() < 0.3:
        parts.append(box(concept, (0.02, 0.6, 0.25), (-0.05, 0, lower_edge - 0.3)))
    if rng.random() < 0.15:
        width = float(rng.uniform(1, 3))
        parts = [
            tube("pole", (0, s * width * 0.4, 0), (0, s * width * 0.4, 3.2), 0.05) for s in (-1, 1)
        ]
        parts.append(box(concept, (0.04, width, float(rng.uniform(0.8, 2))), (-0.06, 0, 1.4)))
    return merge(parts)


def _plate(size: float, sides: int) -> Mesh:
    """Return a regular polygon of ``sides`` corners with radius ``size`` metres, facing −x."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / sides
    rim = np.stack([np.zeros(sides), size * np.sin(angle), size * np.cos(angle)], axis=1)
    front = fan("traffic sign", rim)
    return merge([front, front.moved((0.012, 0, 0)).made_of("sign_back")])


def traffic_light(rng: Rng) -> Mesh:
    """Return a traffic light on a post, at times with more on an arm along +y, over the road."""
    concept, parts = "traffic light", [tube("pole", (0, 0, 0), (0, 0, 3.4), 0.07)]
    lenses = [
        tube(concept, (-0.3, 0, z), (-0.27, 0, z), 0.1, sides=8).made_of("tail_light")
        for z in (0.18, 0.47, 0.76)
    ]
    case = box(concept, (0.25, 0.32, 0.95), (-0.15, 0, 0)).made_of("rubber")
    head = merge([case, *lenses])
    parts.append(head.moved((0, 0, 2.3)))
    if rng.random() < 0.5:
        arm_length = float(rng.uniform(3, 8))
        parts += [
            tube("pole", (0, 0, 0), (0, 0, 6), 0.11),
            tube("pole", (0, 0, 5.8), (0, arm_length, 6.1), 0.07),
            head.moved((0, arm_length, 5.3)),
            head.moved((0, arm_length * 0.55, 5.2)),
        ]
    return merge(parts)


def sign_gantry(rng: Rng, span: float) -> Mesh:
    """Return a gantry with two signs, ``span`` metres wide along y."""
    height = float(rng.uniform(6, 7.5))
    legs = [tube("pole", (0, s * span / 2, 0), (0, s * span / 2, height), 0.2) for s in (-1, 1)]
    beam = [
        box_between(
            "pole", (-0.3, -span / 2, height - 0.5 * k), (0.3, span / 2, height - 0.5 * k + 0.12)
        )
        for k in (0, 2)
    ]
    boards = [
        box("traffic sign", (0.1, 3.0, 2.2), (-0.4, float(y), height - 1.4))
        for y in rng.uniform(-span / 3, span / 3, 2)
    ]
    return merge([*legs, *beam, *boards])


def wires(start: tuple[float, float, float], end: tuple[float, float, float], sag: float) -> Mesh:
    """Return three wires, 0.9 m apart, that sag by ``sag`` metres between two crossarms.

    Args:
        start: middle of the first crossarm in metres.
        end: middle of the second.
        sag: metres.
    """
    fraction = np.linspace(0, 1, 9)
    line = np.asarray(start) + fraction[:, None] * (np.asarray(end) - np.asarray(start))
    line[:, 2] -= 4 * sag * fraction * (1 - fraction)
    across = np.cross(np.asarray(end) - np.asarray(start), [0, 0, 1.0])
    across /= np.linalg.norm(across) + 1e-9
    return merge(
        polyline_tube("power line", line + across * offset, 0.02, sides=3)
        for offset in (-0.9, 0, 0.9)
    )


def traffic_cone(rng: Rng) -> Mesh:
    """Return a traffic cone."""
    height = float(rng.uniform(0.45, 1.0))
    return merge(
        [
            tube(
                "traffic cone",
                (0, 0, 0.03),
                (0, 0, height),
                height * 0.2,
                end_radius=0.03,
                sides=10,
            ),
            tube(
                "traffic cone",
                (0, 0, height * 0.55),
                (0, 0, height * 0.75),
                height * 0.12,
                end_radius=height * 0.085,
                sides=10,
            ).made_of("reflective_band"),
            box("traffic cone", (height * 0.5, height * 0.5, 0.04)).made_of("rubber"),
        ]
    )


def barrel(rng: Rng) -> Mesh:
    """Return an upright barrel."""
    height = float(rng.uniform(0.8, 1.1))
    return tube("barrel", (0, 0, 0), (0, 0, height), 0.3, end_radius=0.26, sides=12)


def trash_can(rng: Rng) -> Mesh:
    """Return a round litter bin or a wheeled bin."""
    if rng.random() < 0.5:
        return tube(
            "trash can",
            (0, 0, 0),
            (0, 0, float(rng.uniform(0.8, 1.1))),
            float(rng.uniform(0.2, 0.35)),
            sides=10,
        )
    body = box("trash can", (0.5, 0.45, 0.95), taper=(1.25, 1.2))
    return merge([body, box("trash can", (0.7, 0.6, 0.08), (0, 0, 0.95))])


def dumpster(rng: Rng) -> Mesh:
    """Return a large waste container."""
    return box(
        "dumpster",
        (float(rng.uniform(1.4, 2.2)), float(rng.uniform(1.2, 4)), float(rng.uniform(1.1, 1.6))),
        (0, 0, 0.1),
        taper=(1.15, 1.0),
    )


def bench(rng: Rng) -> Mesh:
    """Return a bench, with or without a backrest."""
    length = float(rng.uniform(1.2, 2.2))
    parts = [box_between("bench", (-0.2, -length / 2, 0.42), (0.25, length / 2, 0.47))]
    parts += [box("bench", (0.4, 0.08, 0.43), (0, s * length * 0.42, 0)) for s in (-1, 1)]
    if rng.random() < 0.7:
        parts.append(box_between("bench", (-0.26, -length / 2, 0.55), (-0.2, length / 2, 0.9)))
    return merge(parts)


def mailbox(rng: Rng) -> Mesh:
    """Return a mailbox on a post, or a public one."""
    if rng.random() < 0.5:
        return merge(
            [box("mailbox", (0.1, 0.1, 1.0)), box("mailbox", (0.5, 0.2, 0.25), (0, 0, 1.0))]
        )
    return box("mailbox", (0.5, 0.55, 1.3), taper=(0.9, 0.9)).made_of("warning_plastic")


def fire_hydrant(rng: Rng) -> Mesh:
    """Return a fire hydrant."""
    height = float(rng.uniform(0.6, 0.85))
    return merge(
        [
            tube("fire hydrant", (0, 0, 0), (0, 0, height), 0.13, sides=8),
            ellipsoid("fire hydrant", (0, 0, height), (0.15, 0.15, 0.12)),
            tube("fire hydrant", (0, -0.24, height * 0.65), (0, 0.24, height * 0.65), 0.07),
        ]
    )


def planter(rng: Rng) -> Mesh:
    """Return a planter without plants."""
    return box(
        "planter",
        (float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.6, 2.5)), 0.6),
        taper=(1.1, 1.05),
    )


def bus_stop(rng: Rng) -> Mesh:
    """Return a bus shelter that is open towards +x, with a bench."""
    length, concept = float(rng.uniform(2.5, 5)), "bus stop"
    half_length = length / 2
    back = [
        [
            (-0.7, -half_length, 0.2),
            (-0.7, half_length, 0.2),
            (-0.7, half_length, 2.3),
            (-0.7, -half_length, 2.3),
        ]
    ]
    ends = [
        [
            (-0.7, s * half_length, 0.2),
            (0.5, s * half_length, 0.2),
            (0.5, s * half_length, 2.3),
            (-0.7, s * half_length, 2.3),
        ]
        for s in (-1, 1)
    ]
    posts = [
        tube(concept, (x, s * half_length, 0), (x, s * half_length, 2.5), 0.05)
        for x in (-0.7, 0.5)
        for s in (-1, 1)
    ]
    return merge(
        [
            quads(concept, back + ends).made_of("glass"),
            box_between(concept, (-0.8, -half_length - 0.1, 2.4), (0.8, half_length + 0.1, 2.52)),
            *posts,
            bench(rng).moved((-0.35, 0, 0)),
        ]
    )


def billboard(rng: Rng) -> Mesh:
    """Return a billboard on a post."""
    width, lower_edge = float(rng.uniform(1.2, 6)), float(rng.uniform(0.3, 4))
    return merge(
        [
            box("pole", (0.2, 0.2, lower_edge + 0.5)),
            box("billboard", (0.2, width, width * 0.6), (0, 0, lower_edge)),
        ]
    )


def utility_cabinet(rng: Rng) -> Mesh:
    """Return a utility cabinet ("utility box")."""
    size = (
        float(rng.uniform(0.3, 0.5)),
        float(rng.uniform(0.6, 1.6)),
        float(rng.uniform(0.9, 1.6)),
    )
    return merge(
        [
            box("utility box", size),
            box("utility box", (size[0] + 0.06, size[1] + 0.06, 0.05), (0, 0, size[2])),
        ]
    )


def cafe_table(rng: Rng) -> Mesh:
    """Return a café table with chairs, at times with a parasol."""
    parts = [
        tube("table", (0, 0, 0.7), (0, 0, 0.74), 0.4, sides=12),
        tube("table", (0, 0, 0), (0, 0, 0.7), 0.04),
    ]
    for angle in rng.uniform(0, 6.28, int(rng.integers(1, 5))):
        chair = merge(
            [
                box("chair", (0.42, 0.42, 0.04), (0, 0, 0.43)),
                box_between("chair", (-0.22, -0.2, 0.43), (-0.18, 0.2, 0.85)),
                *(
                    tube("chair", (x, y, 0), (x, y, 0.43), 0.02, sides=4)
                    for x in (-0.18, 0.18)
                    for y in (-0.18, 0.18)
                ),
            ]
        )
        position = (0.75 * float(np.cos(angle)), 0.75 * float(np.sin(angle)), 0.0)
        parts.append(chair.moved(position, float(angle) + np.pi))
    if rng.random() < 0.4:
        parts += [
            tube("parasol", (0, 0, 0), (0, 0, 2.5), 0.03).made_of("steel"),
            tube("parasol", (0, 0, 2.1), (0, 0, 2.6), 1.4, end_radius=0.05, sides=8),
        ]
    return merge(parts)


def clutter_pile(rng: Rng) -> Mesh:
    """Return a pile of crates, at times with a kiosk, all of the concept "clutter"."""
    parts = []
    for _ in range(int(rng.integers(1, 7))):
        size = rng.uniform(0.2, 1.3, 3)
        position = (float(rng.normal(0, 0.6)), float(rng.normal(0, 0.6)), 0.0)
        body = box("clutter", (float(size[0]), float(size[1]), float(size[2])), position)
        parts.append(body.moved(yaw=float(rng.uniform(0, 3))))
    if rng.random() < 0.15:
        parts.append(box("clutter", (2.0, 2.4, 2.6), (0, 0, 0), taper=(1.0, 0.95)))
    return merge(parts)


def bollard(rng: Rng) -> Mesh:
    """Return a bollard of steel, stone or plastic, at times with a reflecting band."""
    height, radius = float(rng.uniform(0.55, 1.1)), float(rng.uniform(0.04, 0.15))
    style = str(rng.choice(["steel", "concrete", "warning_plastic", "stone"]))
    post = tube("bollard", (0, 0, 0), (0, 0, height), radius, sides=10).made_of(style)
    parts = [
        post,
        ellipsoid("bollard", (0, 0, height), (radius, radius, radius * 0.6)).made_of(style),
    ]
    if rng.random() < 0.4:
        band = tube(
            "bollard", (0, 0, height * 0.75), (0, 0, height * 0.85), radius * 1.06, sides=10
        )
        parts.append(band.made_of("reflective_band"))
    return merge(parts)


def parking_meter(rng: Rng) -> Mesh:
    """Return a parking meter on a post, or a ticket machine."""
    if rng.random() < 0.5:
        head = box("parking meter", (0.16, 0.22, 0.4), (0, 0, 1.1), taper=(0.8, 0.7)).made_of(
            "plastic"
        )
        return merge([tube("parking meter", (0, 0, 0), (0, 0, 1.1), 0.03), head])
    concept = "ticket machine"
    screen = box(concept, (0.02, 0.2, 0.15), (0.17, 0, 1.25)).made_of("screen")
    return merge([box(concept, (0.32, 0.42, float(rng.uniform(1.5, 1.8)))), screen])


def charging_station(rng: Rng) -> Mesh:
    """Return a charging station for cars with a cable."""
    concept, height = "charging station", float(rng.uniform(1.2, 2.0))
    cable = polyline_tube(concept, [(0.12, 0.15, 1.0), (0.3, 0.25, 0.4), (0.14, 0.05, 0.9)], 0.02)
    return merge([box(concept, (0.25, 0.4, height)), cable.made_of("rubber")])


def bike_rack(rng: Rng) -> Mesh:
    """Return a row of hoops to lock bicycles to, along y."""
    count, step = int(rng.integers(2, 9)), float(rng.uniform(0.4, 0.9))
    hoop = polyline_tube(
        "bike rack", [(-0.3, 0, 0), (-0.3, 0, 0.7), (0.3, 0, 0.7), (0.3, 0, 0)], 0.025
    )
    y = (np.arange(count) - count / 2) * step
    return instanced(hoop, np.stack([0 * y, y, 0 * y], axis=1))


def advertising_column(rng: Rng) -> Mesh:
    """Return a round advertising column or an upright poster case."""
    if rng.random() < 0.5:
        radius, height = float(rng.uniform(0.55, 0.8)), float(rng.uniform(2.6, 3.4))
        body = tube("advertising column", (0, 0, 0), (0, 0, height), radius, sides=16)
        cap = tube(
            "advertising column", (0, 0, height), (0, 0, height + 0.3), radius * 1.1, sides=16
        )
        return merge([body, cap.made_of("steel")])
    frame = box("billboard", (0.25, 1.35, 2.5)).made_of("steel")
    return merge([frame, box("billboard", (0.27, 1.15, 1.7), (0, 0, 0.6))])


def phone_booth(rng: Rng) -> Mesh:
    """Return a phone booth of glass with a telephone."""
    concept = "phone booth"
    posts = [
        box(concept, (0.08, 0.08, 2.2), (x, y, 0)) for x in (-0.42, 0.42) for y in (-0.42, 0.42)
    ]
    panes = [
        quads(
            concept, [[(0.42, -0.4, 0.2), (0.42, 0.4, 0.2), (0.42, 0.4, 2.1), (0.42, -0.4, 2.1)]]
        ).moved(yaw=float(angle))
        for angle in (0, np.pi / 2, np.pi)
    ]
    roof = box(concept, (1.0, 1.0, 0.2), (0, 0, 2.15))
    device = box(concept, (0.2, 0.25, 0.5), (-0.3, 0, 1.0)).made_of("steel")
    return merge([merge([*posts, roof]).made_of("truck_paint"), *panes, device])


def kiosk(rng: Rng) -> Mesh:
    """Return a kiosk with a counter, a canopy and an opening towards +x."""
    width, depth, height = float(rng.uniform(2, 4)), float(rng.uniform(1.8, 2.6)), 2.5
    back = [
        box_between("kiosk", (-depth / 2, -width / 2, 0), (-depth / 2 + 0.06, width / 2, height)),
        *(
            box_between("kiosk", (-depth / 2, y, 0), (depth / 2, y + 0.06, height))
            for y in (-width / 2, width / 2 - 0.06)
        ),
        box_between("kiosk", (depth / 2 - 0.06, -width / 2, 0), (depth / 2, width / 2, 1.0)),
        box_between(
            "kiosk",
            (-depth / 2 - 0.2, -width / 2 - 0.2, height),
            (depth / 2 + 0.7, width / 2 + 0.2, height + 0.15),
        ),
    ]
    goods = box("kiosk", (0.4, width * 0.8, 0.9), (-0.3, 0, 0.9)).made_of("paper")
    return merge([*back, goods])


def flagpole(rng: Rng) -> Mesh:
    """Return a flagpole, mostly with a flag."""
    height = float(rng.uniform(5, 10))
    parts = [tube("flagpole", (0, 0, 0), (0, 0, height), 0.06, end_radius=0.03)]
    if rng.random() < 0.75:
        width, drop = float(rng.uniform(1.0, 2.5)), float(rng.uniform(0.8, 1.5))
        x = np.linspace(0.05, width, 9)
        wave = 0.15 * np.sin(x * 4 + rng.uniform(0, 6))
        top = np.stack([x, wave, np.full(9, height - 0.1) - 0.2 * x], axis=1)
        corners = [
            [top[k], top[k + 1], top[k + 1] - [0, 0, drop], top[k] - [0, 0, drop]] for k in range(8)
        ]
        parts.append(quads("flag", corners))
    return merge(parts)


def street_name_sign(rng: Rng) -> Mesh:
    """Return one or two street name signs on a post."""
    height = float(rng.uniform(2.2, 3.0))
    parts = [tube("pole", (0, 0, 0), (0, 0, height), 0.03)]
    for k in range(int(rng.integers(1, 3))):
        plate = box(
            "street name sign",
            (0.015, float(rng.uniform(0.6, 1.1)), 0.18),
            (0, 0, height - 0.2 - 0.22 * k),
        )
        parts.append(plate.moved(yaw=k * np.pi / 2).made_of("sign_plate"))
    return merge(parts)


def direction_sign(rng: Rng) -> Mesh:
    """Return a large direction sign on two posts, towards −x."""
    width, height = float(rng.uniform(1.5, 3.5)), float(rng.uniform(0.8, 2.2))
    low = float(rng.uniform(1.0, 2.2))
    posts = [
        tube("pole", (0, s * width * 0.35, 0), (0, s * width * 0.35, low + height), 0.06)
        for s in (-1, 1)
    ]
    board = box_between("traffic sign", (-0.09, -width / 2, low), (-0.06, width / 2, low + height))
    back = box_between("traffic sign", (-0.06, -width / 2, low), (-0.05, width / 2, low + height))
    return merge([*posts, board, back.made_of("sign_back")])


def traffic_mirror(rng: Rng) -> Mesh:
    """Return a convex mirror on a post, or a speed camera."""
    if rng.random() < 0.5:
        case = box("speed camera", (0.35, 0.4, 0.9), (0, 0, 1.3))
        return merge([tube("speed camera", (0, 0, 0), (0, 0, 1.3), 0.08), case.made_of("plastic")])
    disc = ellipsoid("traffic mirror", (-0.12, 0, 2.6), (0.06, 0.35, 0.35), 12).made_of("mirror")
    rim = tube("traffic mirror", (-0.1, 0, 2.6), (-0.04, 0, 2.6), 0.4, sides=14).made_of(
        "warning_plastic"
    )
    return merge([tube("pole", (0, 0, 0), (0, 0, 2.7), 0.04), rim, disc])


def drinking_fountain(rng: Rng) -> Mesh:
    """Return a drinking fountain or a small transformer house."""
    if rng.random() < 0.5:
        return merge(
            [
                tube("drinking fountain", (0, 0, 0), (0, 0, 0.85), 0.15, sides=10),
                tube(
                    "drinking fountain", (0, 0, 0.85), (0, 0, 0.95), 0.15, end_radius=0.28, sides=10
                ),
            ]
        )
    size = (float(rng.uniform(1.5, 3)), float(rng.uniform(1.5, 3)), float(rng.uniform(1.6, 2.6)))
    roof = box("transformer", (size[0] + 0.2, size[1] + 0.2, 0.15), (0, 0, size[2]))
    return merge([box("transformer", size), roof.made_of("sheet_metal")])


def fountain(rng: Rng) -> Mesh:
    """Return a basin with water and a column, or a monument on a plinth."""
    if rng.random() < 0.5:
        radius = float(rng.uniform(1.2, 3))
        angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        rings = np.stack(
            [
                circle * radius,
                circle * radius + [0, 0, 0.6],
                circle * radius * 0.88 + [0, 0, 0.6],
                circle * radius * 0.86 + [0, 0, 0.2],
            ]
        )
        water = fan("water", circle * radius * 0.87 + [0, 0, 0.42])
        column = tube(
            "fountain", (0, 0, 0), (0, 0, float(rng.uniform(1, 2.5))), 0.2, end_radius=0.1
        )
        return merge([loft("fountain", rings), water, column])
    width, height = float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.8, 2.5))
    figure = merge(
        [
            tube("monument", (0, 0, height), (0, 0, height + 1.6), 0.35, end_radius=0.2, sides=8),
            ellipsoid("monument", (0, 0, height + 1.8), (0.16, 0.16, 0.22)),
        ]
    )
    return merge(
        [box("monument", (width, width, height), taper=(0.8, 0.8)), figure.made_of("steel")]
    )


def shopping_cart(rng: Rng) -> Mesh:
    """Return a shopping cart."""
    concept = "shopping cart"
    basket = box(concept, (0.8, 0.5, 0.45), (0.05, 0, 0.55), taper=(1.15, 1.1), opacity=0.4)
    legs = [
        tube(concept, (x, y, 0.08), (x * 0.8, y, 0.55), 0.015, sides=4)
        for x in (0.35, -0.35)
        for y in (-0.22, 0.22)
    ]
    handle = tube(concept, (-0.5, -0.25, 1.0), (-0.5, 0.25, 1.0), 0.02)
    return merge([basket, *legs, handle])


def portable_toilet(rng: Rng) -> Mesh:
    """Return a portable toilet cabin."""
    body = box("portable toilet", (1.1, 1.1, 2.1))
    roof = box("portable toilet", (1.15, 1.15, 0.2), (0, 0, 2.1), taper=(0.8, 0.8))
    door = box_between("portable toilet", (0.55, -0.4, 0.1), (0.57, 0.4, 2.0)).made_of("plastic")
    return merge([body, roof.made_of("frosted_glass"), door])


def shipping_container(rng: Rng) -> Mesh:
    """Return a shipping container with ribs, along x."""
    length = float(rng.choice([6.06, 6.06, 12.19]))
    x = np.arange(-length / 2, length / 2, 0.3)
    rib = box("shipping container", (0.12, 2.5, 2.4), (0, 0, 0.1))
    body = box("shipping container", (length, 2.44, 2.59))
    return merge([body, instanced(rib, np.stack([x, 0 * x, 0 * x], axis=1))])


def scaffolding(rng: Rng, length: float, height: float) -> Mesh:
    """Return scaffolding along x, 1 m deep towards −y, at times with a net."""
    concept, parts = "scaffolding", []
    levels = np.arange(0, height, 2.0)
    for x in np.arange(-length / 2, length / 2 + 0.1, 2.5):
        for y in (0.0, -0.9):
            parts.append(tube(concept, (x, y, 0), (x, y, float(levels[-1]) + 1.8), 0.025, sides=4))
    for z in levels[1:]:
        deck = box_between(concept, (-length / 2, -0.9, z - 0.05), (length / 2, 0, z)).made_of(
            "wood"
        )
        rail = [
            tube(concept, (-length / 2, -0.9, z + up), (length / 2, -0.9, z + up), 0.025, sides=4)
            for up in (0.5, 1.0)
        ]
        parts += [deck, *rail]
    if rng.random() < 0.4:
        half, top = length / 2, float(levels[-1]) + 1.8
        net = quads(
            concept,
            [[(-half, -0.95, 0.3), (half, -0.95, 0.3), (half, -0.95, top), (-half, -0.95, top)]],
            0.6,
        )
        parts.append(net.made_of("curtain"))
    return merge(parts)


def heap(rng: Rng) -> Mesh:
    """Return a heap of soil, sand, gravel or snow-free rubble."""
    radius = float(rng.uniform(0.7, 3))
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    rings = np.stack(
        [
            circle * radius * f * rng.uniform(0.85, 1.15, (14, 1)) + [0, 0, radius * 0.55 * (1 - f)]
            for f in (1.0, 0.75, 0.45, 0.15)
        ]
    )
    material = str(rng.choice(["bare_ground", "sand", "gravel", "bare_ground"]))
    return merge([loft("heap", rings), fan("heap", rings[-1])]).made_of(material)


def cable_drum(rng: Rng) -> Mesh:
    """Return a cable drum, a stack of pallets or pipes."""
    draw = rng.random()
    if draw < 0.35:
        radius, half = float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.3, 0.6))
        parts = [tube("cable drum", (0, -half, radius), (0, half, radius), radius * 0.6, sides=12)]
        parts += [
            tube(
                "cable drum", (0, s * half, radius), (0, s * half + 0.06, radius), radius, sides=14
            )
            for s in (-1, 1)
        ]
        return merge(parts)
    if draw < 0.7:
        planks = [
            box("pallet", (1.2, 0.12, 0.025), (0, y, 0.12)) for y in np.linspace(-0.35, 0.35, 6)
        ]
        blocks = [box("pallet", (1.2, 0.1, 0.12), (0, y, 0)) for y in (-0.35, 0, 0.35)]
        layer = merge([*planks, *blocks]).made_of("wood")
        return instanced(layer, [(0, 0, 0.15 * k) for k in range(int(rng.integers(1, 9)))])
    radius = float(rng.uniform(0.1, 0.5))
    pipes = [
        tube(
            "pipe",
            (-2, radius * 2 * (k + 0.5 * row), radius * (1 + 1.7 * row)),
            (2, radius * 2 * (k + 0.5 * row), radius * (1 + 1.7 * row)),
            radius,
            sides=10,
        )
        for row in range(2)
        for k in range(3 - row)
    ]
    return merge(pipes).made_of(str(rng.choice(["concrete", "plastic", "steel"])))


# A key that is also a concept can be replaced by a catalogue mesh of that concept.
STREET_FURNITURE: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "trash can": trash_can,
        "bench": bench,
        "mailbox": mailbox,
        "fire hydrant": fire_hydrant,
        "traffic cone": traffic_cone,
        "barrel": barrel,
        "planter": planter,
        "bus stop": bus_stop,
        "billboard": billboard,
        "utility box": utility_cabinet,
        "dumpster": dumpster,
        "barrier": road_barrier,
        "traffic sign": traffic_sign,
        "café table": cafe_table,
        "clutter pile": clutter_pile,
        "bollard": bollard,
        "parking meter": parking_meter,
        "charging station": charging_station,
        "bike rack": bike_rack,
        "advertising column": advertising_column,
        "phone booth": phone_booth,
        "kiosk": kiosk,
        "flagpole": flagpole,
        "street name sign": street_name_sign,
        "direction sign": direction_sign,
        "traffic mirror": traffic_mirror,
        "drinking fountain": drinking_fountain,
        "fountain": fountain,
        "shopping cart": shopping_cart,
        "portable toilet": portable_toilet,
        "cable drum": cable_drum,
        "traffic light": traffic_light,
    }
)
# How often each is drawn, in the order of `STREET_FURNITURE`.
FURNITURE_WEIGHTS = (
    *(8, 4, 2, 2, 2, 1, 3, 2, 1.5, 4, 1.5, 1, 9, 2, 1.5),
    *(5, 2, 1.5, 2, 1, 0.5, 0.7, 1, 2, 1.5, 1, 0.8, 0.4, 1, 0.5, 1, 1),
)
