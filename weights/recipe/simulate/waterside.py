"""Bridges over water and roads, and what floats on water or stands at its shore."""

from itertools import pairwise

import numpy as np

from weights.recipe.simulate import vegetation, vehicles
from weights.recipe.simulate.primitives import F64, Mesh, Point3, box_between, merge, quads, tube
from weights.recipe.simulate.scene_builder import SceneBuilder

# Distance between points along a road at which a bridge is built, in metres.
_STEP_M = 1.0


def add_bridges(builder: SceneBuilder) -> None:
    """Add sides, parapets and superstructures where roads cross water, and footbridges."""
    rng, plan = builder.rng, builder.plan
    far_s, far_t = plan.half_size
    along_s = [(center, half, True) for center, half in ((0.0, plan.half_width), *plan.parallels)]
    along_t = [(center, half, False) for center, half in plan.crossings]
    for center, half, is_along_s in (*along_s, *along_t):
        far = far_s if is_along_s else far_t
        steps = np.arange(-far + 1, far - 1, _STEP_M)
        at = (steps, np.full(len(steps), center))
        wet = _is_wet(builder, *(at if is_along_s else at[::-1]))
        style = str(rng.choice(["wall", "wall", "railing", "railing", "none"]))
        has_arch = rng.random() < 0.12
        for start, end in _runs(wet):
            ends = steps[[start, end]] + [-2.0, 2.0]
            deck = (float(ends[0]), float(ends[1]), center, half + plan.deck_m)
            builder.add(_deck_sides(builder, deck, is_along_s, style))
            if has_arch and ends[1] - ends[0] > 15:
                builder.add(_arches(builder, deck, is_along_s))
    if rng.random() < 0.5:
        _add_footbridge(builder)


def _is_wet(builder: SceneBuilder, s: F64, t: F64) -> F64:
    waters = builder.plan.waters
    return np.asarray(np.min([water.distance(s, t) for water in waters], axis=0) < 0.5)


def _runs(wet: F64) -> list[tuple[int, int]]:
    """Return (first, last) of each run of true values."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], wet.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edge[::2], edge[1::2], strict=True)]


def _line(builder: SceneBuilder, ends: tuple[float, float], t: float, is_along_s: bool) -> F64:
    """Return (N, 3) world points of the ground on a line along s (or t) of the plan."""
    steps = np.linspace(*ends, max(int((ends[1] - ends[0]) / 2), 2))
    places = [(step, t) if is_along_s else (t, step) for step in steps]
    return np.array([builder.plan.world_point(float(s), float(t)) for s, t in places])


def _strip(concept: str, line: F64, low_m: float, high_m: float) -> Mesh:
    """Return an upright strip along (N, 3) points, from ``low_m`` to ``high_m`` above them."""
    low, high = line + [0, 0, low_m], line + [0, 0, high_m]
    corners = np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1)
    return quads(concept, corners)


def _deck_sides(
    builder: SceneBuilder, deck: tuple[float, float, float, float], is_along_s: bool, style: str
) -> Mesh:
    """Return the sides of a bridge's deck with parapets or railings.

    Args:
        builder: the scene.
        deck: its start and end along its road, the road's middle, and half its width, in metres.
        is_along_s: whether the road runs along s.
        style: "wall", "railing" or "none".
    """
    start, end, center, half = deck
    rng = builder.rng
    height, thick = float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.15, 0.5))
    parts = []
    for side in (-1, 1):
        line = _line(builder, (start, end), center + side * (half - 0.1), is_along_s)
        parts.append(_strip("bridge", line, -float(rng.uniform(0.5, 1.5)), 0.0))
        if style == "wall":
            inner = _line(builder, (start, end), center + side * (half - thick), is_along_s)
            inner[:, 2] = line[:, 2]
            top = np.stack([line[:-1], line[1:], inner[1:], inner[:-1]], axis=1) + [0, 0, height]
            parts += [
                _strip("bridge", line, 0.0, height),
                _strip("bridge", inner, 0.0, height),
                quads("bridge", top),
            ]
        elif style == "railing":
            rails = _strip("bridge", line, 0.1, height)
            parts += [
                _strip("bridge", line, height - 0.08, height),
                # Bars, of which a pulse meets a few.
                quads("bridge", rails.triangles[::2][:, [0, 1, 2, 2]], 0.25),
            ]
    return merge(parts)


def _arches(
    builder: SceneBuilder, deck: tuple[float, float, float, float], is_along_s: bool
) -> Mesh:
    """Return an arch with hangers at both sides of a deck; see `_deck_sides`."""
    start, end, center, half = deck
    rise, parts = float(builder.rng.uniform(0.12, 0.2)) * (end - start), []
    for side in (-1, 1):
        line = _line(builder, (start, end), center + side * (half - 0.3), is_along_s)
        share = np.linspace(-1, 1, len(line))
        arch = line + np.stack([share * 0, share * 0, rise * (1 - share**2)], axis=1)
        for a, b in pairwise(arch):
            parts.append(tube("bridge", a, b, 0.35, sides=5))
        parts += [tube("bridge", a, b, 0.06, sides=3) for a, b in zip(line, arch, strict=True)]
    return merge(parts).made_of("steel")


def _add_footbridge(builder: SceneBuilder) -> None:
    """Add a narrow bridge across water, away from the roads, where the water is narrow."""
    rng, plan = builder.rng, builder.plan
    far = plan.half_size[0]
    for _ in range(20):
        s, t, angle = (float(v) for v in rng.uniform([-far, -far, 0], [far, far, np.pi]))
        along = np.arange(-40, 40.1, _STEP_M)
        line_s, line_t = s + np.cos(angle) * along, t + np.sin(angle) * along
        wet = _is_wet(builder, line_s, line_t)
        middle = [run for run in _runs(wet) if run[0] > 2 and run[1] < len(wet) - 3]
        if not middle or builder.is_on_road(s, t, 6):
            continue
        first, last = middle[0][0] - 2, middle[0][1] + 2
        if np.abs([line_s[[first, last]], line_t[[first, last]]]).max() > far:
            continue
        ends = [plan.world_point(float(line_s[k]), float(line_t[k])) for k in (first, last)]
        builder.add(footbridge(builder, np.array(ends[0]), np.array(ends[1])))
        return


def footbridge(builder: SceneBuilder, start: F64, end: F64) -> Mesh:
    """Return a narrow bridge between two points of the ground, flat or arched, with railings."""
    rng = builder.rng
    half, arch = float(rng.uniform(0.6, 2.2)), float(rng.choice([0.0, rng.uniform(0.3, 1.5)]))
    share = np.linspace(0, 1, 13)[:, None]
    line = start + share * (end - start)
    line[:, 2] += 0.15 + arch * 4 * (share * (1 - share))[:, 0]
    direction = (end - start)[:2] / max(float(np.linalg.norm((end - start)[:2])), 0.1)
    left = np.array([-direction[1], direction[0], 0.0])
    edges = line + half * left, line - half * left
    deck = quads(
        "bridge", np.stack([edges[0][:-1], edges[0][1:], edges[1][1:], edges[1][:-1]], axis=1)
    )
    sides = [_strip("bridge", edge, -0.35, 0.0) for edge in edges]
    rails = []
    for edge in edges:
        rails.append(_strip("bridge", edge, 0.9, 1.05))
        rails += [tube("bridge", p, p + [0, 0, 1.0], 0.05, sides=4) for p in edge]
    return merge([deck, *sides, *rails]).made_of("wood" if rng.random() < 0.5 else "concrete")


def add_overpass(builder: SceneBuilder) -> None:
    """Add a road on pillars or embankments across the scene, with parapets and vehicles."""
    rng, far = builder.rng, builder.plan.half_size[0]
    height, half_width = float(rng.uniform(4.5, 9)), float(rng.uniform(2.0, 10))
    # The deck is where pillars carry it; at its ends, banks of earth do.
    span = float(rng.uniform(0.12, 1.0)) * far
    t = float(rng.uniform(-0.5, 0.5)) * far
    ends = (-span, span)
    parapet = float(rng.uniform(0.5, 1.2))
    parts = [
        box_between("bridge", (ends[0], -half_width, height - 1), (ends[1], half_width, height))
    ]
    for side in (-1, 1):
        outer, inner = side * half_width, side * (half_width - 0.35)
        corner = (ends[0], min(outer, inner), height)
        parts.append(box_between("bridge", corner, (ends[1], max(outer, inner), height + parapet)))
    for x in np.arange(-span + 8, span, 22.0):
        pillar = ((x - 0.7, -half_width * 0.4, -3.0), (x + 0.7, half_width * 0.4, height - 1))
        parts.append(box_between("bridge", *pillar))
    parts += [_ramp(side, span, 2 * far, height, half_width) for side in (-1, 1)]
    for x in rng.uniform(-far, far, int(rng.integers(2, 12))):
        lane = float(rng.choice([-0.5, 0.5])) * half_width
        if abs(x) < span and half_width > 3:
            vehicle = vehicles.draw_vehicle(rng, parked=False).painted(rng)
            parts.append(vehicle.moved((float(x), lane, height)))
    z = builder.plan.world_point(0, t)[2]
    angle = float(rng.choice([0.0, rng.uniform(-0.4, 0.4), 1.57, rng.uniform(1.2, 1.9)]))
    builder.add(merge(parts).moved((0, t, z), angle))


def _ramp(side: int, start: float, end: float, height: float, half_width: float) -> Mesh:
    """Return a bank of earth with a road on it that falls from a bridge to the ground."""
    low = start + height / 0.06
    roof: list[list[Point3]] = [
        [
            (side * start, -half_width, height),
            (side * low, -half_width, 0.0),
            (side * low, half_width, 0.0),
            (side * start, half_width, height),
        ]
    ]
    slopes = [
        [
            (side * start, k * half_width, height),
            (side * low, k * half_width, 0.0),
            (side * low, k * half_width, -3.0),
            (side * start, k * (half_width + 1.6 * (height + 3)), -3.0),
        ]
        for k in (-1, 1)
    ]
    return merge([quads("road", roof), quads("grass", slopes)])


def add_on_water(builder: SceneBuilder) -> None:
    """Add boats, piers, and reed and trees along the shore."""
    rng, plan = builder.rng, builder.plan
    far, alive = plan.half_size[0], float(rng.choice([0, 0.5, 1, 2]))
    reed = float(rng.choice([0.0, 0.0, 1.0, 3.0]))
    wood = float(rng.choice([0.0, 0.5, 2.0]))
    for _ in range(int(60 * max(alive, reed, wood))):
        s, t = (float(v) for v in rng.uniform(-far, far, 2))
        water = min(plan.waters, key=lambda w: float(w.distance(np.array([s]), np.array([t]))[0]))
        shore_m = float(water.distance(np.array([s]), np.array([t]))[0])
        if builder.is_on_road(s, t, plan.deck_m + 2):
            continue
        x, y, z = plan.world_point(s, t)
        yaw = float(rng.uniform(0, 6.28))
        if -far < shore_m < -3 and rng.random() < 0.15 * alive:
            boat = vehicles.boat(rng)
            if np.abs(boat.triangles[..., 0]).max() < -shore_m:
                builder.add(boat.moved((x, y, water.level_m), yaw))
        elif -7 < shore_m < -3 and rng.random() < 0.1 * alive:
            builder.add(_pier(builder, s, t, water.level_m))
        elif -2.5 < shore_m < 1 and rng.random() < 0.3 * reed:
            size = (float(rng.uniform(3, 12)), float(rng.uniform(1.5, 4)))
            plants = vegetation.stand_of_stalks(rng, "reed", size, float(rng.uniform(1, 2.5)))
            builder.add(plants.moved((x, y, max(z, water.level_m)), yaw))
        elif 1 < shore_m < 8 and rng.random() < 0.3 * wood:
            builder.plant_tree(s, t, float(rng.uniform(4, 16)))


def _pier(builder: SceneBuilder, s: float, t: float, level_m: float) -> Mesh:
    """Return a wooden deck on posts from (s, t) to the shore."""
    rng, plan = builder.rng, builder.plan
    length, half = float(rng.uniform(6, 18)), float(rng.uniform(0.6, 1.5))
    top = float(rng.uniform(0.3, 1.0))
    # Towards land: along the gradient of the distance to the shore.
    step = 0.5
    slope = np.array(
        [
            plan.water_distance(s + step, t) - plan.water_distance(s - step, t),
            plan.water_distance(s, t + step) - plan.water_distance(s, t - step),
        ]
    )
    posts = [
        box_between("pier", (x - 0.1, y - 0.1, -1.0), (x + 0.1, y + 0.1, top))
        for x in np.arange(0, length, 3.0)
        for y in (-half, half)
    ]
    deck = box_between("pier", (0, -half, top - 0.15), (length, half, top))
    x, y, _ = plan.world_point(s, t)
    yaw = float(np.arctan2(slope[1], slope[0])) + plan.heading(s)
    return merge([deck, *posts]).made_of("wood").moved((x, y, level_m), yaw)
