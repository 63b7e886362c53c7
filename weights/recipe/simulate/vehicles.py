"""Cars, vans, trucks, buses, trailers, construction vehicles and two-wheelers.

A vehicle stands on the origin and faces +x.
"""

import numpy as np

from weights.recipe.simulate.primitives import (
    F64,
    Mesh,
    Point3,
    Rng,
    box,
    box_between,
    fan,
    loft,
    merge,
    quads,
    torus,
    tube,
)

# For each style the ranges of length, width and height in metres, then the roof line from the front
# bumper to the rear: x as fractions of the length, z as fractions of the height.
_CAR_STYLES = {
    "sedan": (
        (4.3, 5.0),
        (1.72, 1.9),
        (1.38, 1.5),
        [0, 0.04, 0.27, 0.44, 0.56, 0.70, 0.86, 0.97, 1],
        [0.5, 0.6, 0.69, 0.97, 1, 0.97, 0.74, 0.71, 0.5],
    ),
    "hatch": (
        (3.5, 4.4),
        (1.62, 1.82),
        (1.44, 1.58),
        [0, 0.04, 0.24, 0.42, 0.6, 0.88, 0.97, 1],
        [0.45, 0.58, 0.68, 0.97, 1, 0.95, 0.68, 0.45],
    ),
    "wagon": (
        (4.4, 5.0),
        (1.75, 1.9),
        (1.42, 1.55),
        [0, 0.04, 0.26, 0.42, 0.55, 0.90, 0.98, 1],
        [0.48, 0.6, 0.68, 0.97, 1, 0.96, 0.66, 0.45],
    ),
    "suv": (
        (4.3, 5.1),
        (1.82, 2.02),
        (1.62, 1.9),
        [0, 0.03, 0.25, 0.38, 0.5, 0.92, 0.985, 1],
        [0.45, 0.6, 0.66, 0.96, 1, 0.97, 0.64, 0.4],
    ),
    "coupe": (
        (4.1, 4.8),
        (1.75, 1.95),
        (1.2, 1.38),
        [0, 0.04, 0.33, 0.52, 0.62, 0.9, 1],
        [0.42, 0.58, 0.7, 0.98, 1, 0.75, 0.55],
    ),
    "minivan": (
        (4.5, 5.2),
        (1.8, 2.0),
        (1.7, 1.95),
        [0, 0.03, 0.16, 0.36, 0.5, 0.95, 0.99, 1],
        [0.4, 0.5, 0.6, 0.96, 1, 0.97, 0.6, 0.35],
    ),
    "cargo": (
        (4.9, 7.0),
        (1.95, 2.1),
        (2.1, 2.8),
        [0, 0.03, 0.12, 0.26, 0.36, 0.98, 0.995, 1],
        [0.3, 0.42, 0.5, 0.93, 1, 1, 0.6, 0.25],
    ),
    "pickup": (
        (5.1, 6.0),
        (1.85, 2.05),
        (1.72, 1.98),
        [0, 0.03, 0.24, 0.35, 0.44, 0.56, 0.62, 0.63],
        [0.45, 0.6, 0.66, 0.97, 1, 0.98, 0.66, 0.64],
    ),
}


def draw_vehicle(rng: Rng, *, parked: bool = True) -> Mesh:
    """Return a random vehicle: two thirds cars, then vans, pickups, trucks, buses, trailers."""
    draw = rng.random()
    if draw < 0.66:
        return car(
            rng, str(rng.choice(["sedan", "hatch", "wagon", "suv", "suv", "coupe", "sedan"])), "car"
        )
    if draw < 0.78:
        return car(rng, str(rng.choice(["minivan", "cargo"])), "van")
    if draw < 0.85:
        return car(rng, "pickup", "pickup truck")
    rare = (
        *([truck] * 5 + [bus] * 3 + [semi_truck] * 2 + [special_truck] * 3),
        motorhome,
        *([trailer, trailer] if parked else [tram]),
    )
    return rare[int(rng.integers(len(rare)))](rng)


def _lower_body(
    concept: str, length: float, width: float, upper_edge: F64, clearance: float
) -> Mesh:
    """Return the body below the windows.

    Args:
        concept: the concept of all triangles.
        length: metres.
        width: metres.
        upper_edge: (S, 2) x and z in metres of S cross sections from front to rear.
        clearance: height of the underside in metres.
    """
    x, top_z = upper_edge[:, 0], upper_edge[:, 1]
    # 0 in the middle of the car, 1 at its ends, where the body is narrower and its floor higher.
    end_fraction = np.clip(np.abs(x / length) * 2, 0, 1)
    half_width = width / 2 * (1 - 0.14 * end_fraction**6)
    bottom = clearance + 0.12 * np.clip(end_fraction - 0.85, 0, 1) / 0.15
    middle = (bottom + top_z) / 2
    # Each cross section has eight corners: y as fractions of half the width, and z.
    ring_y = [-0.9, -1.0, -0.97, -0.86, 0.86, 0.97, 1.0, 0.9]
    ring_z = [bottom, middle, top_z - 0.06, top_z, top_z, top_z - 0.06, middle, bottom]
    rings = np.stack(
        [
            np.stack([x, half_width * y, level], axis=1)
            for y, level in zip(ring_y, ring_z, strict=True)
        ],
        1,
    )
    return merge([loft(concept, rings), fan(concept, rings[0]), fan(concept, rings[-1])])


def _cabin(concept: str, x: F64, z: F64, belt_line: float, width: float) -> Mesh:
    """Return roof, pillars and windows, where the roof line is above the belt line.

    Args:
        concept: the concept of all triangles.
        x: (S,) metres, the roof line's stations from front to rear.
        z: (S,) metres, its heights.
        belt_line: height of the lower edge of the side windows in metres.
        width: metres.
    """
    lower_half, upper_half = width / 2 * 0.96, width / 2 * 0.80
    parts = []
    for i in range(len(x) - 1):
        height_fractions = [
            (max(level, belt_line) - belt_line) / max(z.max() - belt_line, 0.1)
            for level in (z[i], z[i + 1])
        ]
        half_widths = [lower_half + (upper_half - lower_half) * s for s in height_fractions]
        a, b = (x[i], max(z[i], belt_line)), (x[i + 1], max(z[i + 1], belt_line))
        steep = abs(b[1] - a[1]) > 0.25 * abs(b[0] - a[0])
        roof = [
            [
                (a[0], -half_widths[0], a[1]),
                (a[0], half_widths[0], a[1]),
                (b[0], half_widths[1], b[1]),
                (b[0], -half_widths[1], b[1]),
            ]
        ]
        # Steep parts of the roof line are windscreen and rear window.
        panel = quads(concept, roof)
        parts.append(panel.made_of("car_glass") if steep else panel)
        for side in (-1.0, 1.0):
            pane = [
                [
                    (a[0], side * lower_half, belt_line),
                    (a[0], side * half_widths[0], a[1]),
                    (b[0], side * half_widths[1], b[1]),
                    (b[0], side * lower_half, belt_line),
                ]
            ]
            parts.append(quads(concept, pane).made_of("car_glass"))
            if i:
                parts.append(
                    tube(
                        concept,
                        (a[0], side * lower_half, belt_line),
                        (a[0], side * half_widths[0], a[1]),
                        0.05,
                        sides=4,
                    )
                )
    return merge(parts)


def car(rng: Rng, style: str, concept: str) -> Mesh:
    """Return a passenger car, van or pickup with the middle of its underside at the origin.

    Args:
        rng: draws the measures.
        style: a key of ``_CAR_STYLES``.
        concept: the concept of all triangles.
    """
    length_range, width_range, height_range, x_fractions, z_fractions = _CAR_STYLES[style]
    length, width, height = (
        float(rng.uniform(*span)) for span in (length_range, width_range, height_range)
    )
    x = (0.5 - np.array(x_fractions)) * length
    z = np.array(z_fractions) * height + rng.normal(0, 0.01, len(z_fractions))
    belt_line = height * (0.5 if style == "cargo" else 0.64)
    clearance = float(rng.uniform(0.16, 0.3))
    top = np.stack([x, np.minimum(z, belt_line + 0.04)], axis=1)
    parts = [_cabin(concept, x, z, belt_line, width)]
    if style == "pickup":
        bed = [[(-0.13 - 0.37 * f) * length, belt_line - 0.06] for f in (0.02, 0.98, 1.0)]
        top = np.concatenate([top[:-1], np.array(bed) * [1, 1]])
        inner = box_between(
            concept,
            (-0.48 * length, -width * 0.4, belt_line - 0.04),
            (-0.16 * length, width * 0.4, belt_line - 0.03),
        )
        parts += [inner, _bed_rails(concept, length, width, belt_line, rng)]
    if style == "cargo":
        parts.append(_cargo_walls(concept, x, z, belt_line, width))
    parts.append(_lower_body(concept, length, width, top, clearance))
    radius = float(rng.uniform(0.29, 0.36)) * (1.12 if style in ("suv", "pickup", "cargo") else 1.0)
    axle, track = length * float(rng.uniform(0.28, 0.32)), width / 2 - 0.08
    parts.append(
        wheels(concept, [(s * axle, t * track) for s in (-1, 1) for t in (-1, 1)], radius, 0.22)
    )
    parts.append(_interior(concept, length, width, belt_line).made_of("upholstery"))
    parts.append(_plates_and_lamps(concept, length, width, (clearance + 0.22, belt_line * 0.72)))
    mirror = [
        box(concept, (0.1, 0.2, 0.14), (length * 0.17, s * (width / 2 + 0.08), belt_line))
        for s in (-1, 1)
    ]
    return merge(parts + mirror)


def _bed_rails(concept: str, length: float, width: float, belt_line: float, rng: Rng) -> Mesh:
    rail_height = float(rng.uniform(0.12, 0.3))
    back, front, half_width = -0.5 * length, -0.14 * length, width / 2 * 0.97
    sides = [
        box_between(
            concept,
            (back, s * half_width, belt_line - 0.1),
            (front, s * (half_width - 0.07), belt_line + rail_height),
        )
        for s in (-1, 1)
    ]
    gate = box_between(
        concept,
        (back, -half_width, belt_line - 0.1),
        (back + 0.07, half_width, belt_line + rail_height),
    )
    load = [
        box(concept, (length * 0.3, width * 0.8, rail_height + 0.3), (-0.32 * length, 0, belt_line))
    ]
    return merge([*sides, gate, *(load if rng.random() < 0.25 else [])])


def _cargo_walls(concept: str, x: F64, z: F64, belt_line: float, width: float) -> Mesh:
    back, front, top = float(x.min()) + 0.03, float(x[4]) - 0.3, float(z.max()) - 0.02
    return box(
        concept,
        (front - back, width * 0.95, top - belt_line),
        ((front + back) / 2, 0, belt_line),
        taper=(1, 0.88),
    )


def _interior(concept: str, length: float, width: float, belt_line: float) -> Mesh:
    seats = [
        box(concept, (0.25, 0.5, 0.75), (at * length, side * width * 0.22, belt_line - 0.45))
        for at in (0.0, -0.2)
        for side in (-1, 1)
    ]
    return merge(
        [*seats, box(concept, (0.3, width * 0.75, 0.12), (length * 0.2, 0, belt_line - 0.12))]
    )


def wheels(concept: str, positions: list[tuple[float, float]], radius: float, width: float) -> Mesh:
    """Return wheels that stand on the ground at (x, y) positions, all in metres."""
    tires = [
        tube(concept, (x, y - width / 2, radius), (x, y + width / 2, radius), radius, sides=10)
        for x, y in positions
    ]
    rims = [
        tube(
            concept,
            (x, y - width * 0.53, radius),
            (x, y + width * 0.53, radius),
            radius * 0.62,
            sides=8,
        )
        for x, y in positions
    ]
    return merge([merge(tires).made_of("rubber"), merge(rims).made_of("chrome")])


def _plates_and_lamps(
    concept: str, length: float, width: float, levels: tuple[float, float]
) -> Mesh:
    """Return number plates and lamps at both ends of a vehicle.

    Args:
        concept: the concept of all triangles.
        length: metres.
        width: metres.
        levels: heights of the plates and of the lamps in metres.
    """
    plate, lamp = levels
    ends = [
        box_between(
            concept,
            (s * length / 2, -0.26, plate),
            (s * (length / 2 + 0.02), 0.26, plate + 0.11),
        ).made_of("number_plate")
        for s in (-1, 1)
    ]
    lamps = [
        box_between(
            concept,
            (s * (length / 2 - 0.1), t * width * 0.42 - 0.15, lamp),
            (s * (length / 2 + 0.01), t * width * 0.42 + 0.13, lamp + 0.14),
        ).made_of("frosted_glass" if s > 0 else "tail_light")
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    return merge([*ends, *lamps])


def truck(rng: Rng) -> Mesh:
    """Return a truck with a box, a flat bed, a tank or a dump body."""
    cab_length, width = float(rng.uniform(1.6, 2.2)), float(rng.uniform(2.1, 2.5))
    load_length, cab_height = float(rng.uniform(3.5, 7.5)), float(rng.uniform(2.2, 3.0))
    deck_height = float(rng.uniform(0.8, 1.2))
    front = load_length / 2
    parts = [cab("truck", rng, (cab_length, width, cab_height), front + 0.15)]
    style = rng.choice(["box", "box", "flat", "tank", "tipper"])
    load_height = float(rng.uniform(1.9, 2.8))
    if style == "box":
        parts.append(box("truck", (load_length, width, load_height), (0, 0, deck_height)))
    elif style == "tank":
        parts.append(
            tube("truck", (-front, 0, deck_height + 1), (front, 0, deck_height + 1), 1.05, sides=12)
        )
    elif style == "tipper":
        parts.append(
            box("truck", (load_length, width * 0.85, 1.3), (0, 0, deck_height), taper=(1.08, 1.15))
        )
    parts.append(box("truck", (load_length, width, 0.15), (0, 0, deck_height - 0.15)))
    parts.append(box("truck", (load_length + cab_length, 0.9, 0.3), (cab_length / 2, 0, 0.5)))
    axles = [
        (x, s * (width / 2 - 0.18))
        for x in (front + cab_length * 0.5, -front * 0.55, -front * 0.8)
        for s in (-1, 1)
    ]
    parts.append(wheels("truck", axles, 0.48, 0.3))
    return merge(parts)


def cab(concept: str, rng: Rng, size: Point3, back: float) -> Mesh:
    """Return a driver's cab of (length, width, height) ``size`` whose rear is at x = ``back``."""
    length, width, height = size
    belt_line = height * 0.58
    hood_length = float(rng.choice([0.0, 0.0, 0.9]))
    parts = [
        box_between(concept, (back, -width / 2, 0.45), (back + length, width / 2, belt_line)),
        box(
            concept,
            (length, width, height - belt_line),
            (back + length / 2, 0, belt_line),
            taper=(0.9, 0.92),
        ).made_of("car_glass"),
        box_between(
            concept,
            (back, -width * 0.45, height - 0.1),
            (back + length * 0.9, width * 0.45, height),
        ),
        box_between(concept, (back, -width / 2, belt_line), (back + 0.1, width / 2, height)),
    ]
    if hood_length:
        parts.append(
            box_between(
                concept,
                (back + length, -width * 0.4, 0.5),
                (back + length + hood_length, width * 0.4, belt_line * 0.95),
            )
        )
    return merge(parts)


def semi_truck(rng: Rng) -> Mesh:
    """Return a tractor ("truck") with a semi-trailer ("trailer")."""
    length, width, height = float(rng.uniform(9, 13.6)), 2.5, float(rng.uniform(2.4, 2.9))
    back, front = -length / 2, length / 2
    tractor = cab("truck", rng, (2.2, 2.5, float(rng.uniform(3.0, 3.9))), front + 0.3)
    frame = box("truck", (4.5, 0.9, 0.4), (front - 0.3, 0, 0.6))
    body = box("trailer", (length, width, height), (0, 0, 1.15))
    if rng.random() < 0.25:
        body = box("trailer", (length, width, 0.25), (0, 0, 1.15))
    axles = [(back + at, s * 1.05) for at in (0.9, 2.2, 3.5) for s in (-1, 1)]
    truck_axles = [
        (front + 1.6, 1.05),
        (front + 1.6, -1.05),
        (front - 1.2, 1.05),
        (front - 1.2, -1.05),
    ]
    return merge(
        [
            tractor,
            frame,
            body,
            wheels("trailer", axles, 0.5, 0.4),
            wheels("truck", truck_axles, 0.5, 0.4),
        ]
    )


def bus(rng: Rng) -> Mesh:
    """Return a city bus or coach with windows and seats."""
    length, width, height = float(rng.uniform(8.5, 13)), 2.5, float(rng.uniform(2.9, 3.8))
    belt_line = float(rng.uniform(1.2, 1.6))
    parts = [
        box_between("bus", (-length / 2, -width / 2, 0.3), (length / 2, width / 2, belt_line)),
        box(
            "bus",
            (length, width, height - belt_line - 0.45),
            (0, 0, belt_line),
            taper=(0.99, 0.97),
        ).made_of("car_glass"),
        box("bus", (length * 0.99, width * 0.96, 0.45), (0, 0, height - 0.45), taper=(0.97, 0.88)),
    ]
    for x in np.arange(-length / 2, length / 2 + 0.1, 1.5):
        parts += [
            box(
                "bus", (0.12, 0.05, height - belt_line), (float(x), s * width / 2 * 0.99, belt_line)
            )
            for s in (-1, 1)
        ]
    parts += [
        box("bus", (0.45, 1.8, 0.7), (float(x), 0, 0.9)).made_of("upholstery")
        for x in np.arange(-length / 2 + 1, length / 2 - 1, 0.9)
    ]
    axles = [(x, s * 1.1) for x in (length * 0.3, -length * 0.27) for s in (-1, 1)]
    parts.append(_plates_and_lamps("bus", length, width, (0.5, 0.8)))
    return merge([*parts, wheels("bus", axles, 0.48, 0.3)])


def trailer(rng: Rng) -> Mesh:
    """Return a car trailer ("trailer") or a caravan ("caravan")."""
    style = rng.choice(["open", "box", "caravan"])
    length, height = float(rng.uniform(2, 5)), {"open": 0.5, "box": 1.6, "caravan": 2.0}[str(style)]
    concept = "caravan" if style == "caravan" else "trailer"
    parts = [
        box(
            concept,
            (length, 1.8 if concept == "trailer" else 2.2, height),
            (0, 0, 0.55),
            taper=(0.92 if style == "caravan" else 1.0, 0.97),
        ),
        tube(concept, (length / 2, 0, 0.5), (length / 2 + 1.3, 0, 0.5), 0.06).made_of("steel"),
        wheels(concept, [(0, 0.95), (0, -0.95)], 0.3, 0.2),
    ]
    if style == "caravan":
        parts += [
            box_between(
                concept, (-length * 0.3, s * 1.1, 1.5), (length * 0.1, s * 1.12, 2.0)
            ).made_of("car_glass")
            for s in (-1, 1)
        ]
    return merge(parts)


def construction_vehicle(rng: Rng) -> Mesh:
    """Return an excavator, a wheel loader, a road roller or a bulldozer."""
    style = str(rng.choice(["excavator", "wheel loader", "road roller", "bulldozer"]))
    name = style
    body = [
        box(name, (1.6, 1.3, 1.6), (0.2, 0.4, 1.2), taper=(0.85, 0.9)).made_of("car_glass"),
        box(name, (2.8, 2.4, 0.9), (-0.6, 0, 1.0)),
    ]
    if style == "excavator":
        boom_height, boom_length = float(rng.uniform(3, 5)), float(rng.uniform(2.5, 4.5))
        boom = [
            tube(name, (0.6, 0, 1.6), (boom_length, 0, boom_height), 0.25),
            tube(name, (boom_length, 0, boom_height), (boom_length + 1.8, 0, 1.2), 0.2),
            box(name, (0.9, 1.0, 0.9), (boom_length + 1.6, 0, 0.5), taper=(0.6, 1)),
        ]
        tracks = [box(name, (3.6, 0.55, 0.85), (0, s * 1.15, 0.0), taper=(1.1, 1)) for s in (-1, 1)]
        return merge([*body, *boom, *tracks])
    if style == "wheel loader":
        arms = [tube(name, (0.8, s * 0.8, 1.5), (3.0, s * 0.8, 0.7), 0.13) for s in (-1, 1)]
        bucket = box(name, (1.0, 2.6, 1.0), (3.4, 0, 0.1), taper=(0.5, 1))
        axles = [(x, s * 1.1) for x in (1.3, -1.4) for s in (-1, 1)]
        return merge([*body, *arms, bucket, wheels(name, axles, 0.75, 0.5)])
    if style == "bulldozer":
        blade = box(name, (0.25, 3.0, 1.1), (2.3, 0, 0.1)).made_of("steel")
        tracks = [box(name, (3.4, 0.5, 0.9), (0, s * 1.0, 0.0), taper=(0.8, 1)) for s in (-1, 1)]
        return merge([*body, blade, *(track.made_of("steel") for track in tracks)])
    drums = [tube(name, (x, -0.9, 0.65), (x, 0.9, 0.65), 0.65, sides=14) for x in (1.6, -1.5)]
    return merge([*body, *drums])


def special_truck(rng: Rng) -> Mesh:
    """Return a concrete mixer, a garbage truck, a fire truck, a tank truck or a dump truck."""
    concept = str(
        rng.choice(["concrete mixer", "garbage truck", "fire truck", "tank truck", "dump truck"])
    )
    length, front = float(rng.uniform(5, 7)), 3.2
    height = float(rng.uniform(2.6, 3.1))
    parts = [
        cab(concept, rng, (2.0, 2.45, height), front - 0.4),
        box(concept, (length + 2, 0.9, 0.4), (0, 0, 0.6)).made_of("steel"),
    ]
    back = front - 0.5 - length
    if concept == "concrete mixer":
        parts += [
            tube(concept, (front - 1, 0, 1.9), (0, 0, 2.2), 0.6, end_radius=1.2, sides=14),
            tube(concept, (0, 0, 2.2), (back + 0.6, 0, 2.7), 1.2, end_radius=0.5, sides=14),
            box(concept, (0.6, 0.7, 1.0), (back + 0.2, 0, 1.2), taper=(0.5, 0.6)).made_of("steel"),
        ]
    elif concept == "garbage truck":
        parts += [
            box_between(concept, (back + 1.2, -1.2, 1.0), (front - 0.6, 1.2, 3.2)),
            box_between(concept, (back, -1.15, 0.7), (back + 1.2, 1.15, 2.9)),
            *(tube(concept, (back, y, 0.6), (back, y, 2.4), 0.05) for y in (-1.1, 1.1)),
        ]
    elif concept == "fire truck":
        ladder = [
            box_between(concept, (back + 0.3, y, 3.1), (front, y + 0.06, 3.2)).made_of("steel")
            for y in (-0.35, 0.3)
        ]
        parts += [box_between(concept, (back, -1.22, 0.8), (front - 0.6, 1.22, 2.9)), *ladder]
    elif concept == "tank truck":
        parts.append(
            tube(concept, (back, 0, 1.9), (front - 0.7, 0, 1.9), 1.05, sides=14).made_of("steel")
        )
    else:
        parts += [
            box(concept, (length, 2.4, 1.4), (front - 0.7 - length / 2, 0, 1.0), taper=(1.1, 1.05)),
            box(
                concept, (length * 0.7, 1.6, 0.6), (back + length * 0.5, 0, 2.4), taper=(0.4, 0.4)
            ).made_of("bare_ground"),
        ]
    axles = [(x, s * 1.05) for x in (front + 0.6, back + 1.0, back + 2.3) for s in (-1, 1)]
    return merge([*parts, wheels(concept, axles, 0.5, 0.32)])


def motorhome(rng: Rng) -> Mesh:
    """Return a camper van with a living space above the cab."""
    length, height = float(rng.uniform(5.8, 7.2)), float(rng.uniform(2.8, 3.1))
    concept = "motorhome"
    back, front = -length / 2, length / 2
    panes = [
        box_between(concept, (x, s * 1.12, 1.5), (x + 1.0, s * 1.14, 2.1)).made_of("car_glass")
        for s in (-1, 1)
        for x in (back + 0.8, back + 2.4)
    ]
    parts = [
        box_between(concept, (back, -1.12, 0.5), (front - 1.6, 1.12, height)),
        box_between(concept, (front - 1.7, -1.1, 2.0), (front - 0.6, 1.1, height)),
        cab(concept, rng, (1.6, 2.0, 2.1), front - 1.6),
        *panes,
    ]
    axles = [(x, s * 0.9) for x in (front - 0.9, back + 1.6) for s in (-1, 1)]
    return merge([*parts, wheels(concept, axles, 0.36, 0.22)])


def tram(rng: Rng) -> Mesh:
    """Return a tram of two or three parts, with windows and a pantograph."""
    count, part_length = int(rng.integers(2, 4)), float(rng.uniform(7, 10))
    parts = []
    for k in range(count):
        x0 = (k - count / 2) * (part_length + 0.5)
        x1 = x0 + part_length
        parts += [
            box_between("tram", (x0, -1.2, 0.25), (x1, 1.2, 1.1)),
            box_between("tram", (x0, -1.2, 1.1), (x1, 1.2, 2.6)).made_of("car_glass"),
            box_between("tram", (x0, -1.2, 2.6), (x1, 1.2, 3.4)),
            *(
                box_between("tram", (x, y, 1.1), (x + 0.12, y + 0.05, 2.6))
                for x in np.arange(x0, x1, 1.4)
                for y in (-1.22, 1.17)
            ),
            box_between("tram", (x1, -1.0, 0.5), (x1 + 0.5, 1.0, 3.2)).made_of("rubber"),
        ]
    parts += [
        tube("tram", (-0.8, 0, 3.4), (0.4, 0, 4.6), 0.04, sides=4),
        tube("tram", (0.4, -0.7, 4.6), (0.4, 0.7, 4.6), 0.04, sides=4),
    ]
    return merge(parts)


def tractor(rng: Rng) -> Mesh:
    """Return a farm tractor, at times with a trailer or a hay load."""
    concept = "tractor"
    large, small = float(rng.uniform(0.75, 0.95)), float(rng.uniform(0.4, 0.55))
    parts = [
        box_between(concept, (0.1, -0.4, 0.7), (2.0, 0.4, 1.5)),
        box(concept, (1.4, 1.5, 1.3), (-0.7, 0, 1.4), taper=(0.85, 0.85)).made_of("car_glass"),
        box(concept, (1.3, 1.4, 0.1), (-0.7, 0, 2.65)),
        box_between(concept, (-1.4, -0.6, 0.8), (0.1, 0.6, 1.4)),
        wheels(concept, [(-0.8, 0.85), (-0.8, -0.85)], large, 0.5),
        wheels(concept, [(1.4, 0.75), (1.4, -0.75)], small, 0.3),
        tube(concept, (1.2, 0.3, 1.5), (1.2, 0.3, 2.4), 0.05).made_of("steel"),
    ]
    if rng.random() < 0.4:
        parts += [
            box("trailer", (4.0, 2.2, 0.9), (-4.5, 0, 1.0), taper=(1.05, 1.1)),
            wheels("trailer", [(-5.2, 0.95), (-5.2, -0.95)], 0.45, 0.3),
        ]
    return merge(parts)


def golf_cart(rng: Rng) -> Mesh:
    """Return a golf cart or a quad bike."""
    if rng.random() < 0.5:
        concept = "quad bike"
        return merge(
            [
                box(concept, (1.4, 0.5, 0.35), (0, 0, 0.4), taper=(0.8, 0.8)),
                box(concept, (0.7, 0.35, 0.12), (-0.2, 0, 0.75)).made_of("rubber"),
                tube(concept, (0.45, -0.4, 1.0), (0.45, 0.4, 1.0), 0.025),
                wheels(concept, [(x, y) for x in (0.6, -0.6) for y in (0.45, -0.45)], 0.28, 0.22),
            ]
        )
    concept = "golf cart"
    posts = [
        tube(concept, (x, y, 0.7), (x * 0.8, y, 1.85), 0.025, sides=4)
        for x in (0.9, -0.7)
        for y in (-0.5, 0.5)
    ]
    return merge(
        [
            box(concept, (2.3, 1.15, 0.45), (0, 0, 0.25)),
            box(concept, (0.5, 1.05, 0.4), (-0.3, 0, 0.6)).made_of("upholstery"),
            box(concept, (1.6, 1.1, 0.06), (0, 0, 1.85)),
            *posts,
            wheels(concept, [(x, y) for x in (0.8, -0.8) for y in (0.5, -0.5)], 0.22, 0.2),
        ]
    )


def cargo_bike(rng: Rng) -> Mesh:
    """Return a bicycle with a box before the handlebar."""
    load = box("cargo bike", (0.75, 0.6, 0.5), (0.85, 0, 0.3), taper=(1.15, 1.15)).made_of("wood")
    wheel = [torus("cargo bike", (1.45, 0, 0.26), 0.24, 0.03).made_of("rubber")]
    return merge([bicycle("cargo bike"), load, *wheel])


def kick_scooter(rng: Rng) -> Mesh:
    """Return an electric kick scooter."""
    concept = "kick scooter"
    return merge(
        [
            box_between(concept, (-0.5, -0.08, 0.1), (0.35, 0.08, 0.15)),
            tube(concept, (0.42, 0, 0.12), (0.3, 0, 1.12), 0.025),
            tube(concept, (0.3, -0.25, 1.12), (0.3, 0.25, 1.12), 0.018),
            wheels(concept, [(0.45, 0.0), (-0.5, 0.0)], 0.11, 0.05),
        ]
    )


def boat(rng: Rng) -> Mesh:
    """Return a boat that floats at z = 0: a rowboat, a motorboat, a sailboat or a barge."""
    concept = str(rng.choice(["rowboat", "motorboat", "sailboat", "barge"]))
    length, width, height = {
        "rowboat": (3.5, 1.3, 0.45),
        "motorboat": (float(rng.uniform(5, 9)), 2.4, 1.0),
        "sailboat": (float(rng.uniform(6, 11)), 2.6, 1.0),
        "barge": (float(rng.uniform(15, 38)), 5.0, 1.3),
    }[concept]
    station = np.array([-0.5, -0.45, 0.0, 0.3, 0.45, 0.5])
    half = np.array([0.7, 0.85, 1.0, 0.8, 0.35, 0.04]) * width / 2
    rings = np.stack(
        [
            np.stack([station * length, -half, np.full(6, height)], axis=1),
            np.stack([station * length, -half * 0.6, np.full(6, -0.2)], axis=1),
            np.stack([station * length, half * 0.6, np.full(6, -0.2)], axis=1),
            np.stack([station * length, half, np.full(6, height)], axis=1),
        ],
        axis=1,
    )
    parts = [loft(concept, rings, closed=False)]
    if concept == "rowboat":
        parts += [box(concept, (0.25, width * 0.85, 0.04), (x, 0, 0.3)) for x in (-0.7, 0.4)]
    else:
        deck = np.concatenate([rings[:, 0], rings[::-1, 3]])
        parts.append(fan(concept, deck - [0, 0, 0.15]))
        parts.append(
            box(
                concept,
                (length * 0.3, width * 0.65, 1.1),
                (-length * 0.15, 0, height - 0.15),
                taper=(0.85, 0.85),
            )
        )
    if concept == "sailboat":
        parts += [
            tube(concept, (0.3, 0, height), (0.3, 0, height + length * 1.2), 0.07).made_of("steel"),
            tube(concept, (0.3, 0, height + 1), (-length * 0.4, 0, height + 1), 0.05),
        ]
    return merge(parts)


def bicycle(concept: str = "bicycle") -> Mesh:
    """Return a bicycle standing along x."""
    wheels = [torus(concept, (x, 0, 0.34), 0.33, 0.025) for x in (0.52, -0.5)]
    joints: list[tuple[Point3, Point3]] = [
        ((-0.5, 0, 0.34), (0, 0, 0.3)),
        ((0, 0, 0.3), (-0.15, 0, 0.85)),
        ((-0.15, 0, 0.8), (0.38, 0, 0.85)),
        ((0, 0, 0.3), (0.4, 0, 0.75)),
        ((0.36, 0, 0.98), (0.52, 0, 0.34)),
        ((-0.5, 0, 0.34), (-0.13, 0, 0.75)),
        ((0.34, -0.28, 1.0), (0.34, 0.28, 1.0)),
    ]
    rods = [tube(concept, a, b, 0.02, sides=4) for a, b in joints]
    saddle = box(concept, (0.26, 0.14, 0.06), (-0.17, 0, 0.87)).made_of("rubber")
    return merge([*(wheel.made_of("rubber") for wheel in wheels), *rods, saddle])


def motorcycle(rng: Rng, concept: str = "motorcycle") -> Mesh:
    """Return a motorcycle or scooter standing along x."""
    half_wheelbase = float(rng.uniform(0.62, 0.75))
    parts = [
        tube(
            concept,
            (s * half_wheelbase, -0.07, 0.31),
            (s * half_wheelbase, 0.07, 0.31),
            0.31,
            sides=10,
        ).made_of("rubber")
        for s in (-1, 1)
    ]
    parts += [
        box(concept, (0.75, 0.3, 0.4), (0.05, 0, 0.3)),
        box(concept, (0.5, 0.3, 0.25), (0.2, 0, 0.7), taper=(0.6, 0.7)),
        box(concept, (0.7, 0.28, 0.12), (-0.35, 0, 0.72)),
        tube(concept, (half_wheelbase, 0, 0.31), (0.4, 0, 1.0), 0.05),
        tube(concept, (0.4, -0.35, 1.02), (0.4, 0.35, 1.02), 0.02),
    ]
    if rng.random() < 0.4:
        parts.append(box(concept, (0.4, 0.4, 0.35), (-0.65, 0, 0.85)))
    return merge(parts)
