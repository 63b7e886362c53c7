"""Street scenes: buildings and yards along a road, trees, street furniture, traffic and people.

Angles are relative to the direction of the main road; 0 faces along +s. ``side`` is 1 on the left
of the road and −1 on its right, where vehicles drive along +s.
"""

from itertools import pairwise

import numpy as np

from weights.recipe.simulate import barriers, people, vehicles
from weights.recipe.simulate import street_furniture as furniture
from weights.recipe.simulate.mesh_catalogue import Catalogue, draw_from_catalogue
from weights.recipe.simulate.offroad_scene import add_wilderness
from weights.recipe.simulate.primitives import Mesh, Rng, box, merge, tube
from weights.recipe.simulate.scene_builder import SceneBuilder, jittered_positions
from weights.recipe.simulate.street_kinds import (
    StreetKind,
    draw_street_kind,
    draw_street_plan,
    street_kinds,
)
from weights.recipe.simulate.street_lots import (
    add_lots,
    draw_garden_piece,
    is_near_crossing,
    strip_width,
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
    if plan.crossings and rng.random() < 0.25:
        sensor_s = float(np.clip(plan.crossings[0][0] + rng.normal(0, 9), -50, 50))
    builder = SceneBuilder(plan, (sensor_s, sensor_t), rng, catalogue)
    add_lots(builder, kind)
    if name == "trail":
        add_wilderness(builder)
    else:
        _add_street_trees(builder, kind)
        _add_lights_and_signs(builder)
        _add_parked_vehicles(builder, kind)
        if rng.random() < 0.2:
            _add_road_works(builder)
        if rng.random() < 0.25:
            _add_on_road(builder)
        if rng.random() < 0.12:
            _add_playground(builder)
        if rng.random() < 0.06:
            _add_tram(builder)
    if name == "highway":
        _add_highway_barriers(builder)
    _add_traffic(builder, kind)
    _add_people(builder, kind)
    _add_furniture(builder, kind)
    builder.grow_grass(float(rng.uniform(*kind.grass)), 30000 if name == "trail" else 12000)
    return builder.build(), builder, name


def _add_street_trees(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add rows of trees along both edges of the road."""
    rng = builder.rng
    spacing = float(rng.uniform(*kind.tree_spacing))
    if spacing < 5:
        return
    height, has_guards = float(rng.uniform(4, 14)), rng.random() < 0.12
    for side in (1, -1):
        for s in jittered_positions(rng, spacing):
            t = side * (builder.plan.half_width + float(rng.uniform(0.9, 1.4)))
            if rng.random() < 0.85 and not builder.is_on_road(float(s), t, 0.5):
                builder.plant_tree(float(s), t, height)
                if has_guards:
                    builder.place(_tree_guard(), float(s), t)


def _tree_guard() -> Mesh:
    """Return four posts with rails around a tree."""
    posts = [
        box("tree guard", (0.06, 0.06, 1.3), (x, y, 0)) for x in (-0.5, 0.5) for y in (-0.5, 0.5)
    ]
    rails = [
        tube("tree guard", a, b, 0.02, sides=4)
        for a, b in (
            ((-0.5, -0.5, 1.1), (0.5, -0.5, 1.1)),
            ((-0.5, 0.5, 1.1), (0.5, 0.5, 1.1)),
            ((-0.5, -0.5, 1.1), (-0.5, 0.5, 1.1)),
        )
    ]
    return merge([*posts, *rails])


def _add_lights_and_signs(builder: SceneBuilder) -> None:
    """Add street lights, overhead wires, and signs or signals at crossings."""
    rng, plan = builder.rng, builder.plan
    spacing = float(rng.uniform(18, 45))
    light_side = int(rng.choice([1, -1]))
    on_both, is_ready_made = rng.random() < 0.5, rng.random() < 0.25
    for s in jittered_positions(rng, spacing):
        for side in (1, -1) if on_both else (light_side,):
            t = side * (plan.half_width + 0.7)
            ready_made = builder.draw_ready_made("street light") if is_ready_made else None
            light = ready_made or furniture.street_light(rng)
            builder.place(light, float(s), t, -side * np.pi / 2)
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
        builder.place(tube("pole", (0, 0, 0), (0, 0, height), 0.14).made_of("wood"), float(s), t)
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
                mesh = barriers.road_barrier(rng, 8.0) if is_concrete else barriers.guard_rail(8.0)
                builder.place(mesh, float(s), t)
    if rng.random() < 0.4:
        alike = int(rng.integers(2**31))
        for s in np.arange(-100, 100, 8.0):
            panel = barriers.noise_barrier(np.random.default_rng(alike), 8.0)
            builder.place(panel, float(s), plan.half_width + 5)
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
            if rng.random() > share or is_near_crossing(plan, s, 8):
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
        mesh = builder.draw_vehicle(parked=False) if draw < 0.75 else _rider(builder)
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
        offset = float(rng.uniform(0.4, max(strip_width(plan, side), 2.0)))
        s, t = float(rng.normal(builder.sensor[0], 35)), side * (plan.half_width + offset)
        if rng.random() < 0.08:
            t = float(rng.uniform(-1, 1)) * plan.half_width
        if not builder.is_clear_of_sensor(s, t, 2.5):
            continue
        angle = float(rng.choice([0, np.pi]) + rng.normal(0, 0.4))
        builder.place(_on_foot(builder), s, t, angle)
    _add_animals(builder)


def _on_foot(builder: SceneBuilder) -> Mesh:
    """Return a person, a group, or somebody with a stroller, in a wheelchair, on a scooter."""
    rng = builder.rng
    draw = rng.random()
    if draw < 0.66:
        return builder.draw_person()
    if draw < 0.84:
        return _group(builder, int(rng.integers(2, 6)), float(rng.uniform(0.8, 1.6)))
    makers = (
        *(people.person_with_stroller, people.person_with_stroller),
        *(people.person_in_wheelchair, people.scooter_rider, people.cyclist),
    )
    return makers[int(rng.integers(len(makers)))](rng)


def _add_animals(builder: SceneBuilder) -> None:
    """Add dogs, cats, birds or horses beside the road."""
    rng, plan = builder.rng, builder.plan
    for _ in range(int(rng.poisson(0.6))):
        concept = str(rng.choice(["dog", "dog", "cat", "bird", "horse"]))
        animal = builder.draw_ready_made(concept) or people.bird(rng)
        s, side = float(rng.normal(builder.sensor[0], 25)), int(rng.choice([1, -1]))
        t = side * (plan.half_width + float(rng.uniform(0.5, 4)))
        builder.place(animal, s, t, float(rng.uniform(0, 6.28)))


def _group(builder: SceneBuilder, count: int, radius: float) -> Mesh:
    """Return people who stand together, about ``radius`` metres around the origin."""
    rng, members = builder.rng, []
    for _ in range(count):
        x, y = rng.normal(0, radius / 2, 2)
        # Mostly they face each other.
        yaw = float(np.arctan2(-y, -x) + rng.normal(0, 0.7))
        member = builder.draw_person().painted(rng)
        members.append(member.moved((float(x), float(y), 0), yaw))
    return merge(members)


def _rider(builder: SceneBuilder) -> Mesh:
    """Return a cyclist or a motorcyclist, a third of them on a ready-made vehicle."""
    rng = builder.rng
    concept = str(rng.choice(["bicycle", "bicycle", "motorcycle", "motor scooter"]))
    ready_made = (
        draw_from_catalogue(builder.catalogue, concept, rng) if rng.random() < 0.35 else None
    )
    if concept == "bicycle":
        return people.cyclist(rng, ready_made)
    return people.motorcyclist(rng, ready_made)


def _two_wheeler(builder: SceneBuilder) -> Mesh:
    """Return a parked bicycle, motorcycle, scooter or kick scooter."""
    rng = builder.rng
    if rng.random() < 0.5:
        concept = str(rng.choice(["bicycle"] * 4 + ["motorcycle", "motor scooter", "kick scooter"]))
        ready_made = builder.draw_ready_made(concept)
        if ready_made is not None:
            return ready_made
    draw = rng.random()
    if draw < 0.6:
        return vehicles.bicycle()
    if draw < 0.85:
        return vehicles.motorcycle(rng, str(rng.choice(["motorcycle", "motor scooter"])))
    return vehicles.kick_scooter(rng) if draw < 0.95 else vehicles.cargo_bike(rng)


def _add_furniture(builder: SceneBuilder, kind: StreetKind) -> None:
    """Add street furniture beside the road, and groups of parked bicycles and motorcycles."""
    rng, plan = builder.rng, builder.plan
    names = list(furniture.STREET_FURNITURE)
    weight = np.array(furniture.FURNITURE_WEIGHTS)
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
            is_sign = name in ("traffic sign", "direction sign", "traffic light")
            builder.place(mesh, s, t, np.pi * (side > 0) if is_sign else -side * np.pi / 2)
    for _ in range(int(rng.poisson(kind.people[1] / 8))):
        s, t = (
            float(rng.normal(builder.sensor[0], 30)),
            float(rng.choice([-1, 1])) * (plan.half_width + 1.0),
        )
        for k in range(int(rng.integers(1, 8))):
            angle = np.pi / 2 + float(rng.normal(0, 0.1))
            builder.place(_two_wheeler(builder), s + 0.65 * k, t, angle)
    if rng.random() < 0.3:
        # A row of bollards or a railing at the curb.
        side, start = int(rng.choice([1, -1])), float(rng.normal(builder.sensor[0], 20))
        alike = int(rng.integers(2**31))
        mesh = furniture.bollard(np.random.default_rng(alike)).painted(rng)
        if rng.random() < 0.3:
            railing = barriers.railing(rng, 12.0)
            builder.place(railing, start, side * (plan.half_width + 0.45))
        else:
            for k in range(int(rng.integers(3, 14))):
                builder.place(mesh, start + 1.6 * k, side * (plan.half_width + 0.45))


def _add_on_road(builder: SceneBuilder) -> None:
    """Add traffic islands with signs and bollards, or speed bumps, to the road."""
    rng, plan = builder.rng, builder.plan
    s = builder.sensor[0] + float(rng.choice([-1, 1])) * float(rng.uniform(7, 30))
    if rng.random() < 0.5 and plan.half_width > 3.5:
        island = box("traffic island", (float(rng.uniform(2, 8)), 1.2, 0.14), taper=(0.98, 0.9))
        builder.place(island, s, 0.0)
        post = furniture.traffic_sign(rng) if rng.random() < 0.6 else furniture.bollard(rng)
        builder.place(post, s, 0.0, float(rng.choice([0, np.pi])), lift=0.12)
    else:
        bump = box("speed bump", (0.9, plan.half_width * 1.9, 0.06), taper=(0.4, 1))
        builder.place(bump.made_of(str(rng.choice(["asphalt", "rubber", "road_paint"]))), s, 0.0)


def _add_playground(builder: SceneBuilder) -> None:
    """Add a playground beside the road, on sand or grass, with a fence."""
    rng, plan = builder.rng, builder.plan
    side = int(rng.choice([1, -1]))
    s = float(rng.normal(builder.sensor[0], 18))
    near = plan.half_width + strip_width(plan, side) + 2
    low, high = sorted((side * near, side * (near + 14)))
    if is_near_crossing(plan, s, 14):
        return
    builder.cover((s - 10, s + 10, low, high), str(rng.choice(["sand", "sand", "grass"])))
    for _ in range(int(rng.integers(3, 9))):
        where = (s + float(rng.uniform(-9, 9)), side * (near + float(rng.uniform(1, 13))))
        builder.place(draw_garden_piece(builder), *where, float(rng.uniform(0, 6.28)))
    builder.place(barriers.fence(rng, 20.0), s, side * (near - 0.5))


def _add_tram(builder: SceneBuilder) -> None:
    """Add rails in the road, poles with a wire above it, and mostly a tram."""
    rng, plan = builder.rng, builder.plan
    t = -plan.half_width * 0.3
    for offset in (-0.72, 0.72):
        for s in np.arange(-100, 100, 5.0):
            rail = box("railway track", (5.05, 0.06, 0.015)).made_of("steel")
            builder.place(rail, float(s), t + offset)
    for s in np.arange(-90, 91, 30.0):
        builder.place(tube("pole", (0, 0, 0), (0, 0, 7), 0.12), float(s), plan.half_width + 0.6)
        arm = tube("pole", (0, 0, 6.3), (0, -(plan.half_width + 0.6 - t), 6.1), 0.04)
        builder.place(arm, float(s), plan.half_width + 0.6)
    for s in np.arange(-90, 90, 30.0):
        ends = [builder.plan.world_point(float(s) + d, t) for d in (0, 30)]
        points = [(x, y, z + 5.8) for x, y, z in ends]
        builder.add(tube("power line", points[0], points[1], 0.012, sides=3))
    if rng.random() < 0.7:
        s = builder.sensor[0] + float(rng.choice([-1, 1])) * float(rng.uniform(25, 60))
        builder.place(vehicles.tram(rng), s, t)


def _add_road_works(builder: SceneBuilder) -> None:
    """Add road works beside the lane: cones, barriers, machines, heaps, containers, pipes."""
    rng, plan = builder.rng, builder.plan
    start, side = (
        builder.sensor[0] + float(rng.uniform(8, 30)) * float(rng.choice([-1, 1])),
        float(rng.choice([-1, 1])),
    )
    t = side * plan.half_width * 0.55
    for k in range(int(rng.integers(4, 14))):
        draw = rng.random()
        mesh = furniture.traffic_cone(rng) if draw < 0.6 else furniture.barrel(rng)
        builder.place(mesh, start + 2.2 * k, t + float(rng.normal(0, 0.15)))
    alike = int(rng.integers(2**31))
    for k in range(int(rng.integers(0, 8))):
        mesh = barriers.road_barrier(np.random.default_rng(alike))
        builder.place(mesh, start + 3.1 * k, t + side * 1.0)
    if rng.random() < 0.7:
        machine, angle = vehicles.construction_vehicle(rng), float(rng.uniform(0, 6))
        builder.place(machine, start + 12, side * (plan.half_width + 4), angle)
    makers = (
        *(furniture.heap, furniture.heap, furniture.cable_drum, furniture.cable_drum),
        *(furniture.portable_toilet, furniture.shipping_container, furniture.dumpster),
    )
    for _ in range(int(rng.integers(1, 6))):
        maker = makers[int(rng.integers(len(makers)))]
        where = (
            start + float(rng.uniform(0, 22)),
            side * (plan.half_width + float(rng.uniform(2, 9))),
        )
        builder.place(maker(rng), *where, float(rng.uniform(0, 6.28)))
