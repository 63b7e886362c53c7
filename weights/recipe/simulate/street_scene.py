"""Street scenes: buildings and yards along a road, trees, street furniture, traffic and people.

Angles are relative to the direction of the main road; 0 faces along +s. ``side`` is 1 on the left
of the road and −1 on its right, where vehicles drive along +s.
"""

from itertools import pairwise

import numpy as np

from weights.recipe.simulate import people, vegetation, vehicles
from weights.recipe.simulate import street_furniture as furniture
from weights.recipe.simulate.buildings import building, draw_shape
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.mesh_catalogue import Catalogue
from weights.recipe.simulate.primitives import Mesh, Rng, box, tube
from weights.recipe.simulate.scene_builder import SceneBuilder, jittered_positions
from weights.recipe.simulate.street_kinds import (
    StreetKind,
    draw_street_kind,
    draw_street_plan,
    street_kinds,
)


def draw_street(
    rng: Rng, catalogue: Catalogue, name: str | None = None
) -> tuple[Mesh, SceneBuilder, str]:
    """Return a random street scene.

    Args:
        rng: random generator of the scene.
        catalogue: ready-made meshes.
        name: the kind of street; None draws one.

    Returns:
        The mesh, the builder with the plan and the sensor's place, and the kind of street.
    """
    name = draw_street_kind(rng) if name is None else name
    kind, plan = street_kinds()[name], draw_street_plan(rng, name)
    # On the right half of a road, and anywhere on a trail.
    sensor_t = (
        -float(rng.uniform(0.3, 0.7)) * plan.half_width
        if name != "trail"
        else float(rng.normal(0, 0.5))
    )
    sensor_s = float(rng.uniform(-30, 30))
    if plan.crossings and rng.random() < 0.4:
        sensor_s = float(np.clip(plan.crossings[0][0] + rng.normal(0, 9), -50, 50))
    builder = SceneBuilder(plan, (sensor_s, sensor_t), rng, catalogue)
    _add_lots(builder, kind)
    if name == "trail":
        _add_wilderness(builder)
    else:
        _add_street_trees(builder, kind)
        _add_lights_and_signs(builder)
        _add_parked_vehicles(builder, kind)
        if rng.random() < 0.15:
            _add_road_works(builder)
    if name == "highway":
        _add_highway_barriers(builder)
    _add_traffic(builder, kind)
    _add_people(builder, kind)
    _add_furniture(builder, kind)
    builder.grow_grass(float(rng.uniform(*kind.grass)), 30000 if name == "trail" else 12000)
    return builder.build(), builder, name


def _strip_width(plan: GroundPlan, side: int) -> float:
    """Return the width in metres of all strips beside the road on one side."""
    return sum(strip.width for strip in (plan.left if side > 0 else plan.right))


def _is_near_crossing(plan: GroundPlan, s: float, margin: float) -> bool:
    return any(abs(s - center) < half + margin for center, half in plan.crossings)


def _add_lots(builder: SceneBuilder, kind: StreetKind) -> None:
    """Divide both sides of the street into lots with buildings, yards, driveways and fences."""
    rng, plan = builder.rng, builder.plan
    (narrowest, widest), setback = kind.lot
    built = float(rng.choice([0.35, 0.9, 0.95]))
    for side in (1, -1):
        edge = plan.half_width + _strip_width(plan, side)
        s = -105.0
        while s < 105:
            width = float(rng.uniform(narrowest, widest))
            middle = s + width / 2
            s += width
            if _is_near_crossing(plan, middle, width / 2 + 4):
                continue
            front = edge + float(rng.uniform(*setback))
            if kind.buildings and rng.random() < built:
                _add_building(builder, kind, (middle, side, front, width))
            _add_yard(builder, kind, (middle, side, edge, front, width))


def _add_building(
    builder: SceneBuilder, kind: StreetKind, lot: tuple[float, int, float, float]
) -> None:
    """Add a building on a lot, at times with a shed or another building behind it.

    Args:
        builder: the scene.
        kind: the kind of street.
        lot: s of its middle, its side, |t| of the building's front, and its width in metres.
    """
    middle, side, front, lot_width = lot
    rng = builder.rng
    building_kind = str(rng.choice(kind.buildings))
    is_dense = kind.lot[1][1] < 3
    width = lot_width * float(rng.uniform(0.95, 1.0) if is_dense else rng.uniform(0.5, 0.8))
    ready_made = (
        builder.draw_ready_made("building") if rng.random() < 0.12 and lot_width > 14 else None
    )
    if ready_made is not None:
        angle = float(rng.choice([0, 0.5, 1, 1.5])) * np.pi
        builder.place(ready_made, middle, side * (front + 8), angle)
        return
    mesh = building(draw_shape(rng, building_kind, min(width, 60.0)), rng, detail=True)
    skew = 0.0 if is_dense or rng.random() < 0.7 else float(rng.normal(0, 0.2))
    builder.place(mesh, middle, side * front, (0.0 if side > 0 else np.pi) + skew, lift=-0.1)
    if rng.random() < 0.3 and not is_dense:
        shed = building(draw_shape(rng, "shed", float(rng.uniform(3, 6))), rng, detail=False)
        angle = float(rng.uniform(-0.2, 3))
        builder.place(shed, middle + lot_width * 0.35, side * (front + 12), angle)
    if rng.random() < 0.5:
        behind = building(draw_shape(rng, building_kind, width), rng, detail=False)
        builder.place(
            behind,
            middle + float(rng.normal(0, 4)),
            side * (front + float(rng.uniform(24, 34))),
            np.pi * (side > 0),
        )


def _add_yard(
    builder: SceneBuilder, kind: StreetKind, lot: tuple[float, int, float, float, float]
) -> None:
    """Add trees, bushes, a driveway, a hedge and a fence to a lot.

    Args:
        builder: the scene.
        kind: the kind of street.
        lot: s of its middle, its side, |t| of its edge and of the building's front, its width.
    """
    middle, side, edge, front, width = lot
    rng, yard_depth = builder.rng, front - edge
    for _ in range(int(rng.uniform(*kind.yard_trees) + rng.random())):
        s, t = (
            middle + float(rng.uniform(-0.5, 0.5)) * width,
            edge + float(rng.uniform(0.5, max(yard_depth, 22))),
        )
        in_building = kind.buildings and front - 1.5 < t < front + 14
        if not in_building and not builder.is_on_road(s, side * t, 1.0):
            builder.plant_tree(s, side * t, float(rng.uniform(3, 14)))
    if yard_depth > 4 and kind.buildings and rng.random() < 0.6:
        s = middle + width * float(rng.choice([-0.38, 0.38]))
        _add_driveway(builder, (s, side, edge, front))
    if yard_depth > 1.5 and rng.random() < 0.45:
        _add_front_hedge(builder, (middle, side, edge + 0.35, width))
    for _ in range(int(rng.poisson(1.2 if kind.buildings else 4))):
        s, t = (
            middle + float(rng.uniform(-0.5, 0.5)) * width,
            edge + float(rng.uniform(0.5, max(yard_depth, 1) if kind.buildings else 20)),
        )
        if not builder.is_on_road(s, side * t, 1.0):
            widest = 2.2 if kind.buildings else 3.5
            builder.place(vegetation.bush(rng, float(rng.uniform(0.5, widest))), s, side * t)
    if rng.random() < 0.4 and kind.buildings and yard_depth > 3:
        fence = furniture.fence(rng, 14.0)
        t = side * (edge + 8 + yard_depth * 0.3)
        builder.place(fence, middle + width / 2, t, np.pi / 2)


def _add_driveway(builder: SceneBuilder, spot: tuple[float, int, float, float]) -> None:
    """Add a driveway, mostly with a car; ``spot`` is s, side, |t| of edge and building front."""
    s, side, edge, front = spot
    rng = builder.rng
    t = sorted((side * (builder.plan.half_width + 0.3), side * (front + 4)))
    surface = str(rng.choice(["driveway", "driveway", "gravel"]))
    builder.cover((s - 1.5, s + 1.5, t[0], t[1]), surface)
    if rng.random() < 0.55 and front - edge > 5:
        vehicle = builder.draw_vehicle(parked=True)
        if np.ptp(vehicle.triangles[:, :, 0]) < 6:
            angle = float(rng.choice([-1, 1])) * np.pi / 2 + float(rng.normal(0, 0.03))
            builder.place(vehicle, s, side * (front - 3.0), angle)


def _add_front_hedge(builder: SceneBuilder, spot: tuple[float, int, float, float]) -> None:
    """Add a hedge or a fence along the street; ``spot`` is s, side, |t| and the lot's width."""
    middle, side, t, width = spot
    rng, length = builder.rng, width * 0.7
    if rng.random() < 0.45:
        mesh = vegetation.hedge(rng, length, float(rng.uniform(0.6, 2)))
    else:
        mesh = furniture.fence(rng, length)
    builder.place(mesh, middle - width * 0.1, side * t)


def _add_wilderness(builder: SceneBuilder) -> None:
    """Add trees, bushes, rocks, logs and a few structures to the sides of a trail."""
    rng, plan = builder.rng, builder.plan
    sensor_s = builder.sensor[0]
    for _ in range(int(rng.uniform(5, 130))):
        s, t = (
            float(rng.uniform(-70, 70)),
            float(rng.choice([-1, 1])) * (plan.half_width + float(rng.gamma(2.0, 9.0)) + 1),
        )
        builder.plant_tree(s, t, float(rng.uniform(2.5, 15)))
    for _ in range(int(rng.uniform(10, 90))):
        s, t = (
            float(rng.normal(sensor_s, 25)),
            float(rng.choice([-1, 1])) * (plan.half_width + float(rng.gamma(1.5, 5.0)) + 0.8),
        )
        builder.place(vegetation.bush(rng, float(rng.uniform(0.6, 4.0))), s, t)
    for _ in range(int(rng.poisson(4))):
        s, t = (
            float(rng.normal(sensor_s, 15)),
            float(rng.choice([-1, 1])) * (plan.half_width + float(rng.uniform(1, 9))),
        )
        if rng.random() < 0.6:
            mesh = vegetation.rock(rng, float(rng.uniform(0.3, 1.6)))
        else:
            mesh = vegetation.log(rng)
        builder.place(mesh, s, t, float(rng.uniform(0, 6)))
    _add_trail_structures(builder)


def _add_trail_structures(builder: SceneBuilder) -> None:
    """Add a fence, barriers and a building beside a trail, each with some probability."""
    rng, plan = builder.rng, builder.plan
    sensor_s = builder.sensor[0]
    if rng.random() < 0.35:
        fence = furniture.fence(rng, 40.0)
        builder.place(fence, sensor_s, float(rng.choice([-1, 1])) * (plan.half_width + 5))
    if rng.random() < 0.2:
        for k in range(5):
            s = sensor_s + 6 + 3.1 * k
            builder.place(furniture.road_barrier(rng), s, plan.half_width + 2)
    if rng.random() < 0.3:
        mesh = building(draw_shape(rng, str(rng.choice(["shed", "hall"])), 12.0), rng)
        builder.place(mesh, sensor_s + float(rng.uniform(-30, 30)), plan.half_width + 18)


def _add_street_trees(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add rows of trees along both edges of the road."""
    rng = builder.rng
    spacing = float(rng.uniform(*kind.tree_spacing))
    if spacing < 5:
        return
    height = float(rng.uniform(4, 14))
    for side in (1, -1):
        for s in jittered_positions(rng, spacing):
            t = side * (builder.plan.half_width + float(rng.uniform(0.9, 1.4)))
            if rng.random() < 0.85 and not builder.is_on_road(float(s), t, 0.5):
                builder.plant_tree(float(s), t, height)


def _add_lights_and_signs(builder: SceneBuilder) -> None:
    """Add street lights, overhead wires, and signs or signals at crossings."""
    rng, plan = builder.rng, builder.plan
    spacing = float(rng.uniform(18, 45))
    light_side = int(rng.choice([1, -1]))
    on_both = rng.random() < 0.5
    for s in jittered_positions(rng, spacing):
        for side in (1, -1) if on_both else (light_side,):
            t = side * (plan.half_width + 0.7)
            builder.place(furniture.street_light(rng), float(s), t, -side * np.pi / 2)
    if rng.random() < 0.4:
        _add_overhead_wires(builder, -light_side * (plan.half_width + 1.2))
    for center, half in plan.crossings:
        for direction, angle in ((1, 0.0), (-1, np.pi)):
            is_signal = rng.random() < 0.5
            mesh = furniture.traffic_light(rng) if is_signal else furniture.traffic_sign(rng)
            s, t = center + direction * (half + 1.2), -direction * (plan.half_width + 1.0)
            builder.place(mesh, s, t, angle)


def _add_overhead_wires(builder: SceneBuilder, t: float) -> None:
    """Add a line of utility poles with wires at ``t`` metres from the middle of the road."""
    rng, height = builder.rng, float(builder.rng.uniform(7, 10))
    tops = []
    for s in np.arange(-100, 101, 32.0):
        builder.place(tube("pole", (0, 0, 0), (0, 0, height), 0.14), float(s), t)
        builder.place(box("pole", (0.12, 2.2, 0.12)), float(s), t, lift=height - 0.5)
        x, y, z = builder.plan.world_point(float(s), t)
        tops.append((x, y, z + height - 0.3))
    for start, end in pairwise(tops):
        builder.add(furniture.wires(start, end, float(rng.uniform(0.3, 1.0))))


def _add_highway_barriers(builder: SceneBuilder) -> None:
    """Add guard rails or concrete barriers, noise barriers, and a gantry with signs."""
    rng, plan = builder.rng, builder.plan
    present = rng.random(3) < [0.6, 0.6, 0.7]
    lines = (plan.half_width + 0.5, -plan.half_width - 0.5, 0.0)
    for t, is_present in zip(lines, present, strict=True):
        is_concrete = t == 0.0 and rng.random() < 0.5
        for s in np.arange(-100, 100, 8.0):
            if is_present:
                mesh = (
                    furniture.road_barrier(rng, 8.0) if is_concrete else furniture.guard_rail(8.0)
                )
                builder.place(mesh, float(s), t)
    if rng.random() < 0.4:
        for s in np.arange(-100, 100, 6.0):
            builder.place(box("wall", (6.1, 0.3, 3.5)), float(s), plan.half_width + 5)
    if rng.random() < 0.5:
        gantry = furniture.sign_gantry(rng, 2 * plan.half_width + 3)
        builder.place(gantry, builder.sensor[0] + float(rng.uniform(15, 60)), 0.0)


def _add_parked_vehicles(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add vehicles along both edges of the road, in the parking lane if there is one."""
    rng, plan = builder.rng, builder.plan
    for side in (1, -1):
        share = float(rng.uniform(*kind.parked)) * (rng.random() < 0.8)
        strips = plan.left if side > 0 else plan.right
        has_lane = bool(strips) and strips[0].concept == "parking"
        offset = strips[0].width / 2 if has_lane else -1.15
        for s in jittered_positions(rng, float(rng.uniform(5.8, 7.5))):
            if rng.random() > share or _is_near_crossing(plan, s, 8):
                continue
            t = side * (plan.half_width + offset + float(rng.normal(0, 0.12)))
            clearance = 2.6 if abs(t - builder.sensor[1]) > 2.4 else 8
            if builder.is_clear_of_sensor(float(s), t, clearance):
                angle = np.pi * (side > 0) + float(rng.normal(0, 0.03))
                builder.place(builder.draw_vehicle(parked=True), float(s), t, angle)


def _add_traffic(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add vehicles and riders on the lanes and at crossings."""
    rng, plan = builder.rng, builder.plan
    lanes = max(int(plan.half_width / 3.3), 1)
    # The street is 200 m long, and counts are per 100 m.
    for _ in range(int(rng.uniform(*kind.traffic) * 2)):
        side = int(rng.choice([1, -1]))
        t = side * plan.half_width * (float(rng.integers(lanes)) + 0.45) / lanes
        s = float(builder.sensor[0] + rng.normal(0, 38))
        if not builder.is_clear_of_sensor(s, t, 7):
            continue
        draw = rng.random()
        # The rider is drawn even where a vehicle is placed.
        rider = people.cyclist(rng) if draw < 0.92 else people.motorcyclist(rng)
        mesh = builder.draw_vehicle(parked=False) if draw < 0.82 else rider
        builder.place(mesh, s, t, np.pi * (side > 0))
    for center, half in plan.crossings:
        for t in np.arange(plan.half_width + 4, 45, 6.5):
            for side in (1, -1):
                if rng.random() < min(0.06 * kind.traffic[1], 0.6):
                    vehicle = builder.draw_vehicle(parked=False)
                    builder.place(vehicle, center + side * half * 0.5, side * t, side * np.pi / 2)


def _add_people(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add people on the sidewalks and, seldom, on the road."""
    rng, plan = builder.rng, builder.plan
    for _ in range(int(rng.uniform(*kind.people) * 2)):
        side = int(rng.choice([1, -1]))
        offset = float(rng.uniform(0.4, max(_strip_width(plan, side), 2.0)))
        s, t = float(rng.normal(builder.sensor[0], 35)), side * (plan.half_width + offset)
        if rng.random() < 0.08:
            t = float(rng.uniform(-1, 1)) * plan.half_width
        if not builder.is_clear_of_sensor(s, t, 2.5):
            continue
        draw, angle = rng.random(), float(rng.choice([0, np.pi]) + rng.normal(0, 0.4))
        if draw < 0.72:
            mesh = people.person(rng)
        elif draw < 0.9:
            mesh = people.group_of_people(rng, int(rng.integers(2, 5)), 1.2)
        else:
            mesh = people.person_with_stroller(rng) if draw < 0.95 else people.cyclist(rng)
        builder.place(mesh, s, t, angle)


def _add_furniture(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add street furniture beside the road, and groups of parked bicycles and motorcycles."""
    rng, plan = builder.rng, builder.plan
    names = list(furniture.STREET_FURNITURE)
    weight = np.array([4, 2, 1.5, 1.5, 1, 0.5, 1.5, 1, 0.7, 1.5, 0.7, 0.5, 5, 1, 1])
    for _ in range(int(rng.uniform(*kind.furniture) * 2)):
        side = int(rng.choice([1, -1]))
        name = str(rng.choice(names, p=weight / weight.sum()))
        s = float(rng.normal(builder.sensor[0], 40))
        at_edge = rng.random() < 0.6
        offset = float(rng.uniform(0.4, 1.2) if at_edge else rng.uniform(1.2, 6))
        t = side * (plan.half_width + offset)
        if builder.is_clear_of_sensor(s, t, 2.5) and not builder.is_on_road(s, t, 0.2):
            mesh = builder.draw_furniture(name)
            # Signs face the traffic, all else faces the road.
            is_sign = name == "traffic sign"
            builder.place(mesh, s, t, np.pi * (side > 0) if is_sign else -side * np.pi / 2)
    for _ in range(int(rng.poisson(kind.people[1] / 8))):
        s, t = (
            float(rng.normal(builder.sensor[0], 30)),
            float(rng.choice([-1, 1])) * (plan.half_width + 1.0),
        )
        for k in range(int(rng.integers(1, 6))):
            mesh = vehicles.bicycle() if rng.random() < 0.7 else vehicles.motorcycle(rng)
            builder.place(mesh, s + 0.6 * k, t, np.pi / 2 + float(rng.normal(0, 0.1)))


def _add_road_works(builder: SceneBuilder) -> None:
    """Add road works beside the lane: cones, barriers, a construction vehicle, a heap of soil."""
    rng, plan = builder.rng, builder.plan
    start, side = (
        builder.sensor[0] + float(rng.uniform(8, 30)) * float(rng.choice([-1, 1])),
        float(rng.choice([-1, 1])),
    )
    t = side * plan.half_width * 0.55
    for k in range(int(rng.integers(4, 14))):
        mesh = furniture.traffic_cone(rng) if rng.random() < 0.6 else furniture.barrel(rng)
        builder.place(mesh, start + 2.2 * k, t + float(rng.normal(0, 0.15)))
    for k in range(int(rng.integers(0, 6))):
        builder.place(furniture.road_barrier(rng), start + 3.1 * k, t + side * 1.0)
    if rng.random() < 0.6:
        machine, angle = vehicles.construction_vehicle(rng), float(rng.uniform(0, 6))
        builder.place(machine, start + 12, side * (plan.half_width + 4), angle)
    heap = vegetation.rock(rng, float(rng.uniform(2, 5)), "terrain")
    builder.place(heap, start + 6, side * (plan.half_width + 3))
