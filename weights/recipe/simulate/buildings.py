"""Houses, blocks, halls and towers with relief: windows, balconies, roofs, porches.

A building's front lies on y = 0 facing −y, centred on x = 0; its body reaches to +y.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import Rng, Soup, box, join, quads, slab, soup


@dataclass(frozen=True, slots=True)
class Mass:
    """A building's measures in metres and the names of its parts."""

    wide: float
    deep: float
    floors: int
    floor_m: float
    roof: str
    wall_concept: str = "building"
    roof_concept: str = "building"

    @property
    def eaves_m(self) -> float:
        """Height of the walls in metres."""
        return self.floors * self.floor_m + 0.3


@dataclass(frozen=True, slots=True)
class Openings:
    """How windows repeat over a wall: metres, and their share that has glass."""

    pitch: float
    wide: float
    high: float
    sill: float
    recess: float


def draw_openings(rng: Rng, floor_m: float) -> Openings:
    """Return a random pattern of windows for floors ``floor_m`` high."""
    pitch = float(rng.uniform(1.8, 4.0))
    wide = pitch * float(rng.choice([rng.uniform(0.3, 0.6), 0.85]))
    high = floor_m * float(rng.choice([rng.uniform(0.35, 0.55), 0.75]))
    sill = min(floor_m - high - 0.2, float(rng.uniform(0.3, 1.0)))
    return Openings(pitch, wide, high, max(sill, 0.1), float(rng.uniform(0.04, 0.3)))


def facade(mass: Mass, wide: float, openings: Openings) -> Soup:
    """Return a wall along x in y = 0, ``wide`` metres, with its windows set back to +y."""
    columns = max(int((wide - 0.8) / openings.pitch), 0)
    first = (wide - columns * openings.pitch) / 2 + (openings.pitch - openings.wide) / 2
    left = first + np.arange(columns) * openings.pitch
    low = np.arange(mass.floors) * mass.floor_m + openings.sill
    x = (
        np.concatenate([[0.0], np.stack([left, left + openings.wide], axis=1).ravel(), [wide]])
        - wide / 2
    )
    z = np.concatenate(
        [[-3.5], np.stack([low, low + openings.high], axis=1).ravel(), [mass.eaves_m]]
    )
    i, j = (
        grid.ravel()
        for grid in np.meshgrid(np.arange(len(x) - 1), np.arange(len(z) - 1), indexing="ij")
    )
    pane = (i % 2 == 1) & (j % 2 == 1)
    wall = _panels(x, z, (i[~pane], j[~pane]), 0.0)
    glass = _panels(x, z, (i[pane], j[pane]), openings.recess)
    parts = [quads(mass.wall_concept, wall), quads(mass.wall_concept, glass, 0.8)]
    if len(glass) and openings.recess > 0.1:
        front = glass.copy()
        front[:, :, 1] = 0.0
        follow = [1, 2, 3, 0]
        jambs = np.stack([front, front[:, follow], glass[:, follow], glass], axis=2)
        parts.append(quads(mass.wall_concept, jambs))
    return join(parts)


def _panels(
    x: NDArray[np.float64],
    z: NDArray[np.float64],
    cell: tuple[NDArray[np.int64], NDArray[np.int64]],
    y: float,
) -> NDArray[np.float64]:
    i, j = cell
    depth = np.full(len(i), y)
    corners = [(x[i], z[j]), (x[i + 1], z[j]), (x[i + 1], z[j + 1]), (x[i], z[j + 1])]
    return np.stack([np.stack([a, depth, b], axis=1) for a, b in corners], axis=1)


def roof(mass: Mass, rng: Rng) -> Soup:
    """Return the cover of a building: flat with parapet, gable, hip or shed."""
    over = float(rng.uniform(0.1, 0.6))
    w, d, e = mass.wide / 2 + over, mass.deep + over, mass.eaves_m
    if mass.roof == "flat":
        return _flat_roof(mass, rng)
    rise = float(rng.uniform(0.25, 0.6)) * mass.deep / 2 * (1.5 if mass.roof == "gable" else 1.0)
    name, middle = mass.roof_concept, mass.deep / 2
    if mass.roof == "shed":
        return quads(
            name, [[(-w, -over, e), (w, -over, e), (w, d, e + rise * 0.6), (-w, d, e + rise * 0.6)]]
        )
    inset = min(mass.deep / 2, w * 0.8) if mass.roof == "hip" else 0.0
    a, b = (-w + inset, middle, e + rise), (w - inset, middle, e + rise)
    fl, fr, br, bl = (-w, -over, e), (w, -over, e), (w, d, e), (-w, d, e)
    planes = quads(name, [[fl, fr, b, a], [br, bl, a, b]])
    if mass.roof == "hip":
        return join([planes, soup(name, [[fl, a, bl], [fr, b, br]])])
    # The gable's triangle belongs to the wall below it.
    ends = [
        [
            (s * mass.wide / 2, 0, e),
            (s * mass.wide / 2, mass.deep, e),
            (s * mass.wide / 2, middle, e + rise),
        ]
        for s in (-1, 1)
    ]
    return join([planes, soup(mass.wall_concept, ends), _on_roof(mass, rng, rise)])


def _on_roof(mass: Mass, rng: Rng, rise: float) -> Soup:
    x = float(rng.uniform(-0.35, 0.35)) * mass.wide
    parts = []
    if rng.random() < 0.6:
        parts.append(
            box(
                mass.roof_concept,
                (0.7, 0.6, rise * 0.6 + 1.0),
                (x, mass.deep * 0.6, mass.eaves_m + rise * 0.5),
            )
        )
    if rng.random() < 0.4:
        for at in (-0.25, 0.25):
            size = (1.6, mass.deep * 0.3, min(1.5, rise * 0.7))
            parts.append(
                box(
                    mass.roof_concept,
                    size,
                    (at * mass.wide, mass.deep * 0.2, mass.eaves_m + rise * 0.12),
                )
            )
    return join(parts)


def _flat_roof(mass: Mass, rng: Rng) -> Soup:
    w, d, e, name = mass.wide / 2, mass.deep, mass.eaves_m, mass.roof_concept
    parts = [quads(name, [[(-w, 0, e), (w, 0, e), (w, d, e), (-w, d, e)]])]
    rim = float(rng.choice([0.0, 0.3, 0.9]))
    if rim:
        parts += [slab(name, (-w, y, e), (w, y + 0.25, e + rim)) for y in (0, d - 0.25)]
        parts += [slab(name, (x, 0, e), (x + 0.25, d, e + rim)) for x in (-w, w - 0.25)]
    for _ in range(int(rng.integers(0, 4)) + int(mass.wide * mass.deep / 400)):
        size = rng.uniform(0.8, 3.5, 3)
        at = (
            float(rng.uniform(-w + 2, max(w - 2, -w + 2.1))),
            float(rng.uniform(1.5, max(d - 1.5, 1.6))),
            e,
        )
        parts.append(box(name, (float(size[0]), float(size[1]), float(size[2]) * 0.7), at))
    return join(parts)


def _balconies(mass: Mass, rng: Rng) -> Soup:
    name, wide, out = mass.wall_concept, float(rng.uniform(1.5, 3.5)), float(rng.uniform(0.8, 1.6))
    spots = np.arange(
        -mass.wide / 2 + wide, mass.wide / 2 - wide / 2, wide * float(rng.uniform(1.6, 3))
    )
    parts = []
    for floor in range(1, mass.floors):
        z = floor * mass.floor_m
        for x in spots:
            parts.append(
                slab(name, (float(x) - wide / 2, -out, z - 0.15), (float(x) + wide / 2, 0.0, z))
            )
            front = [
                [
                    (x - wide / 2, -out, z),
                    (x + wide / 2, -out, z),
                    (x + wide / 2, -out, z + 1),
                    (x - wide / 2, -out, z + 1),
                ]
            ]
            sides = [
                [
                    (x + s * wide / 2, -out, z),
                    (x + s * wide / 2, 0, z),
                    (x + s * wide / 2, 0, z + 1),
                    (x + s * wide / 2, -out, z + 1),
                ]
                for s in (-1, 1)
            ]
            parts.append(quads(name, front + sides, float(rng.choice([0.5, 1.0]))))
    return join(parts)


def _porch(mass: Mass, rng: Rng) -> Soup:
    x, out = float(rng.uniform(-0.3, 0.3)) * mass.wide, float(rng.uniform(1, 2.5))
    wide, top = float(rng.uniform(1.6, 4)), mass.floor_m * 0.95
    name = mass.wall_concept
    parts = [box(name, (wide, out, 0.2), (x, -out / 2, top), taper=(0.9, 0.9))]
    parts += [box(name, (0.15, 0.15, top), (x + s * wide * 0.45, -out * 0.9, 0)) for s in (-1, 1)]
    parts += [
        box(
            "stairs", (wide * 0.8, 0.35 * (3 - k), 0.16), (x, -out - 0.1 - 0.17 * (3 - k), 0.16 * k)
        )
        for k in range(3)
    ]
    return join(parts)


def building(mass: Mass, rng: Rng, *, detail: bool = True) -> Soup:
    """Return a whole building with four walls and roof; ``detail`` adds what sticks out."""
    openings = draw_openings(rng, mass.floor_m)
    front = facade(mass, mass.wide, openings)
    side = facade(mass, mass.deep, openings)
    parts = [
        front,
        front.moved((0, mass.deep, 0), np.pi),
        side.moved((-mass.wide / 2, mass.deep / 2, 0), -np.pi / 2),
        side.moved((mass.wide / 2, mass.deep / 2, 0), np.pi / 2),
        roof(mass, rng),
    ]
    if detail:
        if mass.floors > 1 and rng.random() < 0.35:
            parts.append(_balconies(mass, rng))
        if rng.random() < 0.45:
            parts.append(_porch(mass, rng))
        if rng.random() < 0.4:
            parts.append(_bay(mass, rng))
    return join(parts)


def _bay(mass: Mass, rng: Rng) -> Soup:
    """Return a lower wing, a garage or a bay at the front."""
    wide = mass.wide * float(rng.uniform(0.25, 0.6))
    high = mass.floor_m * (1 + int(mass.floors > 2 and rng.random() < 0.5))
    out = float(rng.uniform(0.4, 4.0))
    x = float(rng.choice([-1, 1])) * (mass.wide - wide) / 2
    wing = Mass(
        wide,
        out,
        1,
        high,
        str(rng.choice(["flat", "gable", "shed"])),
        mass.wall_concept,
        mass.roof_concept,
    )
    wall = [
        slab(mass.wall_concept, (x - wide / 2, -out, -1), (x + wide / 2, -out + 0.15, high)),
        slab(mass.wall_concept, (x - wide / 2, -out, -1), (x - wide / 2 + 0.15, 0, high)),
        slab(mass.wall_concept, (x + wide / 2 - 0.15, -out, -1), (x + wide / 2, 0, high)),
    ]
    return join([*wall, roof(wing, rng).moved((x, -out, 0))])


def draw_mass(rng: Rng, kind: str, wide: float, roof_concept: str = "building") -> Mass:
    """Return the measures of a house, a block, a tower or a hall about ``wide`` metres wide."""
    table = {
        "house": ((7, 12), (1, 3), (2.5, 3.0), ["gable", "gable", "hip", "hip", "flat", "shed"]),
        "terrace": ((8, 12), (2, 5), (2.7, 3.3), ["gable", "gable", "flat"]),
        "block": ((10, 20), (3, 8), (2.8, 3.6), ["flat", "flat", "hip"]),
        "tower": ((15, 28), (8, 25), (3.0, 3.8), ["flat"]),
        "hall": ((15, 40), (1, 2), (4.5, 8.0), ["flat", "flat", "gable", "shed"]),
        "shed": ((2.5, 5), (1, 2), (2.1, 2.8), ["gable", "flat", "shed"]),
    }
    deep, floors, floor_m, roofs = table[kind]
    return Mass(
        wide,
        float(rng.uniform(*deep)),
        int(rng.integers(*floors)),
        float(rng.uniform(*floor_m)),
        str(rng.choice(roofs)),
        roof_concept=roof_concept,
    )
