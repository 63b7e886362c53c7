"""Towns and landscapes as an aircraft sees them: a grid of streets, and blocks between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate import barriers, vegetation, waterside
from weights.recipe.simulate import large_structures as structures
from weights.recipe.simulate import street_furniture as furniture
from weights.recipe.simulate.buildings import BuildingShape, building, draw_shape
from weights.recipe.simulate.ground_plan import GroundPlan, Strip, Terrain
from weights.recipe.simulate.primitives import (
    Mesh,
    Point3,
    Rng,
    box,
    merge,
    tube,
)
from weights.recipe.simulate.scene_builder import SceneBuilder
from weights.recipe.simulate.vehicles import draw_vehicle
from weights.recipe.simulate.waters import Water, draw_water

# For each kind of town, the weight of each kind of block.
TOWN_KINDS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "oldtown": {"perimeter": 7, "park": 2, "square": 1, "towers": 0.3},
        "suburb": {"houses": 8, "park": 2, "forest": 0.7, "field": 0.5, "hall": 0.5},
        "works": {"hall": 5, "industry": 3, "field": 1.5, "lot": 2, "houses": 0.5},
        "highrise": {"towers": 5, "perimeter": 2, "park": 1, "lot": 1},
        "village": {"houses": 4, "farm": 2, "field": 2, "forest": 3, "hall": 0.7},
        "forest": {"forest": 6, "farm": 0.5, "field": 2, "houses": 0.4},
        "mixed": {
            "perimeter": 2,
            "houses": 2,
            "hall": 2,
            "towers": 1,
            "park": 2,
            "field": 1,
            "forest": 1,
            "farm": 0.7,
            "industry": 0.7,
        },
    }
)

# How often which water is there; see `draw_outlines`.
_WATERS: Mapping[str, float] = MappingProxyType(
    {"none": 0.5, "lake": 0.13, "ponds": 0.08, "shore": 0.04, "river": 0.11, "canal": 0.14}
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block between streets.

    Attributes:
        bounds: (s0, s1, t0, t1) in metres of the plan.
        kind: a key of ``_FILLERS``.
    """

    bounds: tuple[float, float, float, float]
    kind: str

    def draw_point(self, rng: Rng, margin: float = 1.0) -> tuple[float, float]:
        """Return a random (s, t) at least ``margin`` metres inside the block."""
        s0, s1, t0, t1 = self.bounds
        return (
            float(rng.uniform(s0 + margin, max(s1 - margin, s0 + margin + 0.1))),
            float(rng.uniform(t0 + margin, max(t1 - margin, t0 + margin + 0.1))),
        )

    @property
    def area(self) -> float:
        """The area in square metres."""
        s0, s1, t0, t1 = self.bounds
        return (s1 - s0) * (t1 - t0)


def draw_town(rng: Rng, kind: str, half_size: float) -> Mesh:
    """Return a random town or landscape.

    Args:
        rng: random generator of the scene.
        kind: a key of ``TOWN_KINDS``.
        half_size: the town reaches to ±half_size metres in both directions.
    """
    water = str(rng.choice(list(_WATERS), p=list(_WATERS.values())))
    plan, blocks = _draw_plan(rng, kind, half_size, water)
    # The sensor is too far away for objects to keep clear of it.
    builder = SceneBuilder(plan, (1e6, 1e6), rng)
    for block in blocks:
        _FILLERS[block.kind](builder, block)
    _fill_streets(builder)
    if plan.waters:
        waterside.add_bridges(builder)
        waterside.add_on_water(builder)
    if rng.random() < 0.25:
        _add_high_voltage_line(builder, float(rng.uniform(0, 3.1)))
    if rng.random() < 0.1:
        _add_railway(builder)
    if rng.random() < 0.12:
        waterside.add_overpass(builder)
    return builder.build()


def _draw_plan(rng: Rng, kind: str, half_size: float, water: str) -> tuple[GroundPlan, list[Block]]:
    """Return the ground plan of a town and its blocks; ``water`` is a key of ``_WATERS``."""
    # Canals and broad rivers are in flat land, lakes and brooks in any.
    is_flat = water in ("canal", "shore") or (water != "none" and rng.random() < 0.5)
    spacing = (45, 80) if kind in ("oldtown", "suburb", "mixed") else (70, 150)
    crossings = _draw_streets(rng, half_size, *spacing)
    parallels = _draw_streets(rng, half_size, *spacing)
    rise = float(rng.uniform(0.05, 0.15))
    sidewalk = (
        Strip(0.16, "curb", rise),
        Strip(float(rng.uniform(1.2, 3.5)), "sidewalk", rise),
    )
    strips = (Strip(1.0, "gravel", 0.0),) if kind in ("forest", "village") else sidewalk
    hills_m = 0.0 if is_flat else float(rng.uniform(0, 6)) * (rng.random() < 0.6)
    wave_number = 2 * np.pi / rng.uniform(60, 250, (3, 1))
    direction = rng.uniform(0, 6.28, (3, 1))
    waves = np.concatenate(
        [
            hills_m * rng.uniform(0.2, 0.7, (3, 1)),
            wave_number * np.cos(direction),
            wave_number * np.sin(direction),
            # The phase: any angle will do.
            direction,
        ],
        axis=1,
    )
    steepness = float(rng.choice([0.02, 0.03, 0.12], p=[0.5, 0.35, 0.15]))
    slope = (
        (0.0, 0.0)
        if is_flat
        else (float(rng.normal(0, steepness)), float(rng.normal(0, steepness)))
    )
    beyond = Strip(1e3, str(rng.choice(["grass", "grass", "terrain"])), rise)
    main = parallels[len(parallels) // 2] if parallels else (0.0, 3.5)
    # The main road is at t = 0, so the other parallel roads move with it.
    others = tuple((center - main[0], half) for center, half in parallels if center != main[0])
    bend = (
        float(rng.uniform(0, 14)) * (rng.random() < 0.6),
        float(2 * np.pi / rng.uniform(150, 400)),
        float(direction[0, 0]),
    )
    plan = GroundPlan(
        main[1],
        tuple(crossings),
        strips,
        strips,
        beyond,
        (),
        bend,
        Terrain(waves, slope, float(rng.uniform(0.01, 0.06))),
        (half_size + 15, half_size + 15),
        parallels=others,
        grid=(1.0, 400.0),
    )
    strip_width = sum(strip.width for strip in strips)
    if water != "none":
        drawn = [
            draw_water(
                rng, water, half_size, lambda s, t: plan.terrain.height(s, t + plan.bend_at(s))
            )
            for _ in range(6)
        ]
        arch_m = float(rng.choice([0.0, rng.uniform(0, 1.5)]))
        best = min(drawn, key=lambda water: _bridged_share(plan, water))
        plan = replace(plan, waters=(best,), deck_m=strip_width, arch_m=arch_m)
    kinds = TOWN_KINDS[kind]
    weight = np.array(list(kinds.values()))
    blocks = [
        Block((s0, s1, t0, t1), str(rng.choice(list(kinds), p=weight / weight.sum())))
        for s0, s1 in _gaps(crossings, half_size, strip_width)
        for t0, t1 in _gaps([(0.0, plan.half_width), *others], half_size, strip_width)
    ]
    return plan, blocks


def _bridged_share(plan: GroundPlan, water: Water) -> float:
    """Return the share of the roads that would be on bridges, 0.1 if none would be.

    Roads that run in a river along its length are on bridges that nobody would build.
    """
    grid = np.arange(-plan.half_size[0], plan.half_size[0], 2.0)
    s, t = np.meshgrid(grid, grid)
    on_road = plan.road_distance(s, t) < 0
    share = float((water.distance(s, t)[on_road] < 0).mean()) if on_road.any() else 0.0
    return share if share > 0 else 0.1


def _draw_streets(
    rng: Rng, half_size: float, nearest: float, farthest: float
) -> list[tuple[float, float]]:
    """Return (position, half width) of parallel streets, ``nearest`` to ``farthest`` m apart."""
    streets, position = [], -half_size + float(rng.uniform(0, farthest))
    while position < half_size - 10:
        streets.append((position, float(rng.uniform(2.2, 6.5))))
        position += float(rng.uniform(nearest, farthest))
    return streets


def _gaps(
    streets: list[tuple[float, float]], half_size: float, strip_width: float
) -> list[tuple[float, float]]:
    """Return (start, end) of the gaps of more than 8 m between streets and their strips."""
    edges = [(-half_size - 10, 0.0), *sorted(streets), (half_size + 10, 0.0)]
    gaps = [
        (a + half_a + strip_width, b - half_b - strip_width)
        for (a, half_a), (b, half_b) in pairwise(edges)
    ]
    return [gap for gap in gaps if gap[1] - gap[0] > 8]


def _draw_house(rng: Rng, kind: str, width: float) -> Mesh:
    """Return a building whose roof is "roof", at times with a wing."""
    mesh = building(draw_shape(rng, kind, width, "roof"), rng, detail=rng.random() < 0.5)
    if rng.random() < 0.3 and width > 8:
        wing = building(draw_shape(rng, kind, width * 0.5, "roof"), rng, detail=False)
        position = (float(rng.uniform(-0.25, 0.25)) * width, float(rng.uniform(5, 9)), 0.0)
        return merge([mesh, wing.moved(position, np.pi / 2 * float(rng.integers(4)))])
    return mesh


def _line_with_buildings(
    builder: SceneBuilder, block: Block, kind: str, gap: tuple[float, float], setback: float
) -> None:
    """Line the four sides of a block with buildings that face outwards.

    Args:
        builder: the scene.
        block: the block.
        kind: kind of building.
        gap: range of the distance between neighbours in metres.
        setback: distance from the block's edge in metres.
    """
    rng = builder.rng
    s0, s1, t0, t1 = block.bounds
    # Start and end along each side, the side's position across, and the buildings' angle.
    sides = [
        ((s0, s1), t0, 0.0),
        ((s0, s1), t1, np.pi),
        ((t0 + 14, t1 - 14), s0, -np.pi / 2),
        ((t0 + 14, t1 - 14), s1, np.pi / 2),
    ]
    for (start, end), line, angle in sides:
        position = start + float(rng.uniform(0, 2))
        while position < end - 6:
            width = float(min(rng.uniform(7, 15), end - position))
            middle = position + width / 2
            inward = setback + float(rng.uniform(0, 1.5)) * (setback > 0)
            mesh = _draw_house(rng, kind, width)
            if angle in (0.0, np.pi):
                builder.place(mesh, middle, line + inward * (1 if angle == 0 else -1), angle)
            else:
                builder.place(mesh, line + inward * (1 if angle < 0 else -1), middle, angle)
            position += width + float(rng.uniform(*gap))


def _add_trees(
    builder: SceneBuilder, block: Block, count: int, height: tuple[float, float]
) -> None:
    """Add ``count`` trees, with heights in metres from a range, and half as many bushes."""
    for _ in range(count):
        builder.plant_tree(*block.draw_point(builder.rng), float(builder.rng.uniform(*height)))
    for _ in range(count // 2):
        width = float(builder.rng.uniform(0.6, 3))
        builder.plant_bush(*block.draw_point(builder.rng), width)


def _fill_perimeter(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with closed rows of buildings around a courtyard."""
    kind = str(builder.rng.choice(["terrace", "block", "terrace"]))
    _line_with_buildings(builder, block, kind, (0, 0.4), 0.0)
    builder.cover(block.bounds, str(builder.rng.choice(["sidewalk", "grass", "terrain"])))
    _add_trees(builder, block, int(builder.rng.uniform(0, 14)), (4, 16))


def _fill_houses(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with detached houses and gardens."""
    rng = builder.rng
    _line_with_buildings(builder, block, "house", (3, 14), float(rng.uniform(3, 8)))
    _add_trees(builder, block, int(block.area / float(rng.uniform(70, 350))), (3, 16))
    for _ in range(int(block.area / 500)):
        s, t = block.draw_point(rng)
        if rng.random() < 0.5:
            border = vegetation.hedge(rng, 10, float(rng.uniform(0.8, 2)))
        else:
            border = barriers.fence(rng, 12)
        builder.place(border, s, t, float(rng.choice([0, np.pi / 2])))
        if rng.random() < 0.5:
            shed = _draw_house(rng, "shed", float(rng.uniform(3, 6)))
            builder.place(shed, *block.draw_point(rng, 4), float(rng.choice([0, 1.57])))
        if rng.random() < 0.6:
            vehicle = draw_vehicle(rng)
            builder.place(vehicle, *block.draw_point(rng), float(rng.choice([0, 1.57])))


def _fill_hall(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with one large hall and a parking lot."""
    rng = builder.rng
    s0, s1, t0, t1 = block.bounds
    width = (s1 - s0) * float(rng.uniform(0.3, 0.7))
    depth = (t1 - t0) * float(rng.uniform(0.25, 0.6))
    drawn = draw_shape(rng, "hall", width, "roof")
    shape = BuildingShape(
        width, depth, drawn.floors, drawn.floor_height, drawn.roof, roof_concept="roof"
    )
    mesh = building(shape, rng, detail=False)
    t = t0 + float(rng.uniform(0.1, 0.9)) * (t1 - t0 - depth)
    builder.place(mesh, (s0 + s1) / 2, t)
    builder.cover(block.bounds, str(rng.choice(["parking", "parking", "grass", "gravel"])))
    _park_vehicles(builder, block, 0.35)
    _add_trees(builder, block, int(rng.uniform(0, 10)), (3, 10))


def _park_vehicles(builder: SceneBuilder, block: Block, occupancy: float = 0.6) -> None:
    """Fill up to three rows of parking spaces, each space with probability ``occupancy``."""
    rng = builder.rng
    s0, s1, t0, t1 = block.bounds
    for t in np.arange(t0 + 4, min(t1 - 4, t0 + 60), 12.0)[: int(rng.integers(1, 4))]:
        for s in np.arange(s0 + 3, s1 - 3, 2.8):
            if rng.random() < occupancy:
                builder.place(draw_vehicle(rng), float(s), float(t), np.pi / 2)


def _fill_towers(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with towers, trees and a parking lot."""
    rng = builder.rng
    for _ in range(int(np.clip(block.area / 2500, 1, 4))):
        tower = _draw_house(rng, "tower", float(rng.uniform(14, 32)))
        builder.place(tower, *block.draw_point(rng, 12), float(rng.choice([0, 1.57, 0.5])))
    _add_trees(builder, block, int(block.area / float(rng.uniform(80, 400))), (4, 18))
    _park_vehicles(builder, block, 0.3)


def _fill_park(builder: SceneBuilder, block: Block) -> None:
    builder.cover(block.bounds, "grass")
    trees = int(block.area / float(builder.rng.uniform(60, 400)))
    _add_trees(builder, block, trees, (4, 20))


def _fill_forest(builder: SceneBuilder, block: Block) -> None:
    builder.cover(block.bounds, str(builder.rng.choice(["terrain", "grass"])))
    trees = min(int(block.area / float(builder.rng.uniform(22, 60))), 260)
    _add_trees(builder, block, trees, (7, 24))


def _fill_field(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with a field, at times with a row of bushes at its edge."""
    rng = builder.rng
    builder.cover(block.bounds, str(rng.choice(["grass", "grass", "terrain"])))
    s0, s1, t0, _ = block.bounds
    if rng.random() < 0.5:
        for s in np.arange(s0, s1, 4.0):
            builder.plant_bush(float(s), t0 + float(rng.normal(1, 0.5)), float(rng.uniform(1.5, 4)))
    _add_trees(builder, block, int(rng.uniform(0, 5)), (4, 16))


def _fill_square(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with a paved square, mostly with a building on it."""
    builder.cover(block.bounds, "sidewalk")
    _add_trees(builder, block, int(builder.rng.uniform(0, 14)), (4, 10))
    if builder.rng.random() < 0.6:
        mesh = _draw_house(builder.rng, "block", 18.0)
        builder.place(mesh, *block.draw_point(builder.rng, 12))


def _fill_farm(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with a farm, its fields, and at times greenhouses or a turbine."""
    rng = builder.rng
    builder.cover(block.bounds, str(rng.choice(["grass", "terrain", "grass"])))
    s0, s1, t0, t1 = block.bounds
    if rng.random() < 0.4:
        size = (s1 - s0) * float(rng.uniform(0.3, 0.8)), (t1 - t0) * float(rng.uniform(0.3, 0.8))
        houses = structures.greenhouses(rng, size)
        builder.place(houses, (s0 + s1) / 2, (t0 + t1) / 2)
    else:
        farm = structures.farm(rng)
        builder.place(farm, *block.draw_point(rng, 15), float(rng.uniform(0, 6.28)))
    if rng.random() < 0.2:
        builder.place(structures.wind_turbine(rng), *block.draw_point(rng, 8))
    _add_trees(builder, block, int(rng.uniform(0, 10)), (4, 16))


def _fill_industry(builder: SceneBuilder, block: Block) -> None:
    """Fill a block with tanks, containers, heaps, a crane and a hall."""
    rng = builder.rng
    builder.cover(block.bounds, str(rng.choice(["parking", "gravel", "terrain"])))
    makers = (
        *(structures.storage_tanks, structures.container_yard, structures.silo),
        *(structures.heaps, structures.tower_crane, structures.water_tower),
    )
    for _ in range(int(np.clip(block.area / 2000, 1, 4))):
        mesh = makers[int(rng.integers(len(makers)))](rng)
        builder.place(mesh, *block.draw_point(rng, 15), float(rng.choice([0, 1.57, 0.6])))
    if rng.random() < 0.5:
        hall = _draw_house(rng, "hall", float(rng.uniform(15, 40)))
        builder.place(hall, *block.draw_point(rng, 20), float(rng.choice([0, 1.57])))
    _park_vehicles(builder, block, 0.2)


_FILLERS: Mapping[str, Callable[[SceneBuilder, Block], None]] = MappingProxyType(
    {
        "perimeter": _fill_perimeter,
        "houses": _fill_houses,
        "hall": _fill_hall,
        "lot": _park_vehicles,
        "towers": _fill_towers,
        "park": _fill_park,
        "forest": _fill_forest,
        "field": _fill_field,
        "square": _fill_square,
        "farm": _fill_farm,
        "industry": _fill_industry,
    }
)


def _fill_streets(builder: SceneBuilder) -> None:
    """Add vehicles, trees and street lights along the main road and its parallels."""
    rng, plan = builder.rng, builder.plan
    streets = [(0.0, plan.half_width), *plan.parallels]
    tree_probability, height = float(rng.choice([0.0, 0.1, 0.6])), float(rng.uniform(5, 13))
    vehicle_probability = float(rng.uniform(0.02, 0.5))
    for center, half in streets:
        for s in np.arange(-plan.half_size[0], plan.half_size[0], 7.0):
            side = float(rng.choice([-1, 1]))
            if rng.random() < vehicle_probability:
                t = center + side * (half - 1.2)
                builder.place(draw_vehicle(rng), float(s), t, np.pi * (side > 0))
            if rng.random() < tree_probability:
                builder.plant_tree(float(s), center + side * (half + 1.2), height)
            if rng.random() < 0.08:
                t = center + side * (half + 0.7)
                builder.place(furniture.street_light(rng), float(s), t, -side * 1.57)


def _add_high_voltage_line(builder: SceneBuilder, angle: float) -> None:
    """Add a line of transmission towers with five wires across the scene.

    Args:
        builder: the scene.
        angle: direction of the line in the plan in radians.
    """
    rng, far = builder.rng, builder.plan.half_size[0]
    height, spacing = float(rng.uniform(18, 40)), float(rng.uniform(60, 140))
    offset, feet = float(rng.uniform(-0.5, 0.5)) * far, []
    for along in np.arange(-far, far + spacing, spacing):
        s = float(np.cos(angle) * along - np.sin(angle) * offset)
        t = float(np.sin(angle) * along + np.cos(angle) * offset)
        x, y, z = builder.plan.world_point(s, t)
        builder.add(_transmission_tower(height).moved((x, y, z), angle))
        feet.append((x, y, z))
    # Each wire's height as a fraction of the tower's, and its distance to the left in metres.
    wires = ((0.95, 0.0), (0.75, 4.0), (0.75, -4.0), (0.6, 5.0), (0.6, -5.0))
    for a, b in pairwise(feet):
        for up, left in wires:
            shift = np.array([-np.sin(angle) * left, np.cos(angle) * left, up * height])
            start, end = (tuple(float(v) for v in np.asarray(foot) + shift) for foot in (a, b))
            builder.add(_sagging_wire(start, end, spacing * 0.03))


def _sagging_wire(start: tuple[float, ...], end: tuple[float, ...], sag: float) -> Mesh:
    fraction = np.linspace(0, 1, 13)[:, None]
    line = np.asarray(start) * (1 - fraction) + np.asarray(end) * fraction
    line[:, 2] -= 4 * sag * fraction[:, 0] * (1 - fraction[:, 0])
    return merge(tube("power line", line[i], line[i + 1], 0.05, sides=3) for i in range(12))


def _add_railway(builder: SceneBuilder) -> None:
    """Add a railway across the scene where the land is even enough, along t."""
    rng, plan = builder.rng, builder.plan
    far = plan.half_size[1]
    s = float(rng.uniform(-0.8, 0.8)) * far
    heights = [plan.world_point(s, float(t))[2] for t in np.linspace(-far, far, 9)]
    if np.ptp(heights) < 2:
        x, y, _ = plan.world_point(s, 0.0)
        track = structures.railway(rng, 2 * far)
        builder.add(track.moved((x, y, float(np.max(heights))), np.pi / 2))


def _transmission_tower(height: float) -> Mesh:
    """Return a lattice tower whose four legs are a tenth as far apart at the top."""
    concept = "transmission tower"
    feet = [(-2.5, -2.5), (2.5, -2.5), (2.5, 2.5), (-2.5, 2.5)]
    parts = [tube(concept, (x, y, 0), (x * 0.1, y * 0.1, height), 0.12, sides=4) for x, y in feet]
    levels = np.linspace(0, 0.95, 8)
    for low, high in pairwise(levels):
        for (ax, ay), (bx, by) in zip(feet, feet[1:] + feet[:1], strict=True):
            start: Point3 = (ax * (1 - 0.9 * low), ay * (1 - 0.9 * low), height * low)
            end = (bx * (1 - 0.9 * high), by * (1 - 0.9 * high), height * high)
            parts.append(tube(concept, start, end, 0.07, sides=4))
    parts += [
        box(concept, (0.5, width, 0.5), (0, 0, height * up))
        for up, width in ((0.75, 8.5), (0.6, 10.5))
    ]
    return merge(parts)
