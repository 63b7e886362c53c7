"""People on foot, seated, on two-wheelers and with a stroller; they face +x."""

import numpy as np

from weights.recipe.simulate.primitives import (
    Mesh,
    Point3,
    Rng,
    box,
    box_between,
    ellipsoid,
    fan,
    loft,
    merge,
    torus,
    tube,
)
from weights.recipe.simulate.vehicles import bicycle, cargo_bike, kick_scooter, motorcycle


def _torso(concept: str, low: float, high: float, shoulder_width: float, lean: float) -> Mesh:
    """Return a torso from z = low to high; ``lean`` is how far it leans forward per metre."""
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    levels = np.linspace(low, high, 4)
    half_width = np.array([0.95, 0.85, 1.05, 0.55]) * shoulder_width / 2
    rings = np.stack(
        [
            np.stack(
                [
                    0.58 * half * np.cos(angle) + lean * (z - low),
                    half * np.sin(angle),
                    np.full(8, z),
                ],
                axis=1,
            )
            for z, half in zip(levels, half_width, strict=True)
        ]
    )
    return merge([loft(concept, rings), fan(concept, rings[0]), fan(concept, rings[-1])])


def person(rng: Rng, concept: str = "person") -> Mesh:
    """Return a standing or walking person, 1.0 to 1.95 m tall.

    Args:
        rng: draws size, pose and what the person carries.
        concept: the concept of all triangles.
    """
    height = float(
        rng.choice([rng.uniform(1.55, 1.95), rng.uniform(1.55, 1.9), rng.uniform(1.0, 1.5)])
    )
    leg_angle = float(rng.uniform(0, 0.5))
    hip, neck, shoulder_width = 0.5 * height, 0.83 * height, height * float(rng.uniform(0.24, 0.31))
    parts = [_torso(concept, hip - 0.05, neck, shoulder_width, float(rng.uniform(-0.02, 0.08)))]
    for side in (-1.0, 1.0):
        foot = (side * np.sin(leg_angle) * hip * 0.9, side * 0.09, 0.06)
        knee = (side * np.sin(leg_angle) * hip * 0.5 + 0.04, side * 0.1, hip * 0.52)
        leg = [
            tube(concept, (0, side * 0.09, hip), knee, 0.085 * height / 1.7, end_radius=0.06),
            tube(concept, knee, foot, 0.06, end_radius=0.045),
        ]
        parts.append(merge(leg).made_of("trousers"))
        shoe = box(concept, (0.26, 0.1, 0.08), (foot[0] + 0.05, foot[1], 0.0))
        parts.append(shoe.made_of("rubber"))
        parts.append(_arm(concept, rng, side, (shoulder_width, neck), leg_angle))
    parts.append(_head(concept, rng, (0.03, 0.0, height * 0.93), height * 0.07))
    return merge([*parts, *_carried(concept, rng, hip, neck)])


def _head(concept: str, rng: Rng, center: Point3, half_height: float) -> Mesh:
    """Return a head with hair or a helmet."""
    x, y, z = center
    face = ellipsoid(concept, center, (0.1, 0.085, half_height)).made_of("skin")
    top = (x - 0.02, y, z + 0.25 * half_height)
    cap = ellipsoid(concept, top, (0.105, 0.095, half_height * 0.85))
    is_helmet = concept in ("bicyclist", "motorcyclist") and rng.random() < 0.8
    return merge([face, cap.made_of("plastic" if is_helmet else "hair")])


def _arm(concept: str, rng: Rng, side: float, torso: tuple[float, float], leg_angle: float) -> Mesh:
    shoulder_width, neck = torso
    shoulder = (0.0, side * shoulder_width * 0.5, neck - 0.06)
    forward = -side * leg_angle * 0.5 + float(rng.choice([0.0, 0.0, 0.25]))
    elbow = (forward * 0.4, side * shoulder_width * 0.62, neck - 0.32)
    hand = (
        forward + 0.05,
        side * shoulder_width * 0.6,
        neck - 0.32 - (0.26 if forward < 0.2 else 0.02),
    )
    return merge([tube(concept, shoulder, elbow, 0.05), tube(concept, elbow, hand, 0.04)])


def _carried(concept: str, rng: Rng, hip: float, neck: float) -> list[Mesh]:
    """Return a backpack, a bag, an umbrella or nothing; hip and neck are heights in metres."""
    draw = rng.random()
    if draw < 0.15:
        return [box(concept, (0.18, 0.3, 0.45), (-0.22, 0, neck - 0.5)).made_of("plastic")]
    if draw < 0.25:
        return [box(concept, (0.3, 0.12, 0.3), (0, 0.34, hip - 0.35)).made_of("leather")]
    if draw < 0.29:
        return [
            tube(concept, (0.1, 0.2, neck - 0.1), (0.1, 0.1, neck + 0.5), 0.015),
            tube(
                concept,
                (0.1, 0.1, neck + 0.35),
                (0.1, 0.1, neck + 0.6),
                0.5,
                end_radius=0.03,
                sides=8,
            ),
        ]
    return []


def seated(rng: Rng, concept: str, seat_height: float, lean: float) -> Mesh:
    """Return a seated person.

    Args:
        rng: draws the measures.
        concept: the concept of all triangles.
        seat_height: metres.
        lean: how far the torso leans forward per metre of its height.
    """
    neck_height = seat_height + float(rng.uniform(0.5, 0.6))
    reach = lean * (neck_height - seat_height)
    parts = [_torso(concept, seat_height, neck_height, float(rng.uniform(0.38, 0.5)), lean)]
    for side in (-1.0, 1.0):
        knee: Point3 = (0.42, side * 0.14, seat_height - 0.05)
        leg = [
            tube(concept, (0, side * 0.1, seat_height + 0.06), knee, 0.085, end_radius=0.06),
            tube(concept, knee, (0.3, side * 0.14, max(seat_height - 0.5, 0.1)), 0.06),
        ]
        parts += [
            merge(leg).made_of("trousers"),
            tube(
                concept,
                (reach, side * 0.2, neck_height - 0.06),
                (reach + 0.35, side * 0.24, neck_height - 0.28),
                0.045,
            ),
        ]
    return merge([*parts, _head(concept, rng, (reach + 0.06, 0, neck_height + 0.16), 0.14)])


def cyclist(rng: Rng, ready_made: Mesh | None = None) -> Mesh:
    """Return a bicycle with its rider ("bicyclist").

    Args:
        rng: draws the rider and the kind of bicycle.
        ready_made: a bicycle from a catalogue, 0.95 m high at its saddle; None generates one.
    """
    wheels = bicycle() if rng.random() < 0.85 else cargo_bike(rng)
    rider = seated(rng, "bicyclist", 0.88, float(rng.uniform(0.15, 0.6)))
    return merge([ready_made or wheels, rider.moved((-0.15, 0, 0))])


def motorcyclist(rng: Rng, ready_made: Mesh | None = None) -> Mesh:
    """Return a motorcycle, or a ready-made one, with its rider ("motorcyclist")."""
    rider = seated(rng, "motorcyclist", 0.8, float(rng.uniform(0.05, 0.4)))
    return merge([ready_made or motorcycle(rng), rider.moved((-0.2, 0, 0))])


def scooter_rider(rng: Rng) -> Mesh:
    """Return an electric kick scooter with a person on it."""
    return merge([kick_scooter(rng), person(rng).moved((-0.1, 0.0, 0.15))])


def person_in_wheelchair(rng: Rng) -> Mesh:
    """Return a wheelchair with a person in it."""
    concept = "wheelchair"
    wheels = [torus(concept, (0.0, y, 0.3), 0.29, 0.02).made_of("rubber") for y in (-0.3, 0.3)]
    wheels += [torus(concept, (0.4, y, 0.1), 0.08, 0.02, sides=8) for y in (-0.22, 0.22)]
    seat = [
        box(concept, (0.45, 0.42, 0.05), (0.08, 0, 0.47)).made_of("leather"),
        box_between(concept, (-0.2, -0.2, 0.5), (-0.16, 0.2, 0.95)).made_of("leather"),
        *(tube(concept, (-0.2, y, 0.9), (-0.35, y, 0.92), 0.015, sides=4) for y in (-0.22, 0.22)),
    ]
    return merge([*wheels, *seat, seated(rng, "person", 0.52, 0.0)])


def person_with_stroller(rng: Rng) -> Mesh:
    """Return a stroller ("stroller") with the person who pushes it ("person")."""
    frame = [
        box("stroller", (0.7, 0.42, 0.45), (0, 0, 0.45), taper=(0.8, 1)),
        tube("stroller", (-0.3, 0, 0.7), (-0.65, 0, 1.0), 0.02),
    ]
    wheels = [
        torus("stroller", (x, y, 0.13), 0.11, 0.03, sides=8)
        for x in (0.3, -0.3)
        for y in (0.25, -0.25)
    ]
    return merge([*frame, *wheels, person(rng).moved((-0.95, 0, 0))])


def bird(rng: Rng) -> Mesh:
    """Return a bird that stands, such as a pigeon or a crow."""
    size = float(rng.uniform(0.08, 0.16))
    body = ellipsoid("bird", (0, 0, size * 1.6), (size * 1.3, size * 0.6, size * 0.6), 8)
    head = ellipsoid("bird", (size * 1.2, 0, size * 2.4), (size * 0.4, size * 0.35, size * 0.4), 6)
    legs = [tube("bird", (0, y, 0), (0, y, size * 1.2), 0.006, sides=3) for y in (-0.02, 0.02)]
    return merge([body, head, *legs])
