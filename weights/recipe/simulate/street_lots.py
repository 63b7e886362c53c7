"""Lots along a street: buildings, front gardens, driveways, hedges and fences between neighbours.

``side`` is 1 on the left of the road and −1 on its right. Buildings face the road.
"""

import numpy as np

from weights.recipe.simulate import barriers, gardens, vegetation
from weights.recipe.simulate.buildings import street_building
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.mesh_catalogue import draw_from_catalogue
from weights.recipe.simulate.primitives import Mesh, Rng, box
from weights.recipe.simulate.scene_builder import SceneBuilder
from weights.recipe.simulate.street_furniture import scaffolding
from weights.recipe.simulate.street_kinds import StreetKind


class Lot:
    """A lot beside the road.

    Attributes:
        middle: s of its middle in metres.
        side: 1 left of the road, −1 right of it.
        edge: |t| where it begins, behind the strips beside the road.
        front: |t| of its building's front.
        width: metres along the road.
        bushes: mean number of bushes in the front garden.
    """

    def __init__(
        self, side: int, along: tuple[float, float], across: tuple[float, float], bushes: float
    ) -> None:
        """Store the measures: ``along`` is middle and width, ``across`` edge and front."""
        self.side, self.bushes = side, bushes
        self.middle, self.width = along
        self.edge, self.front = across

    @property
    def yard_m(self) -> float:
        """Depth of the front garden in metres."""
        return self.front - self.edge


def strip_width(plan: GroundPlan, side: int) -> float:
    """Return the width in metres of all strips beside the road on one side."""
    return sum(strip.width for strip in (plan.left if side > 0 else plan.right))


def is_near_crossing(plan: GroundPlan, s: float, margin: float) -> bool:
    """Return whether ``s`` is within ``margin`` metres of a crossing road."""
    return any(abs(s - center) < half + margin for center, half in plan.crossings)


def add_lots(builder: SceneBuilder, kind: StreetKind) -> None:
    """Divide both sides of the street into lots with buildings, gardens, driveways and fences."""
    rng, plan = builder.rng, builder.plan
    (narrowest, widest), setback = kind.lot
    built = float(rng.choice([0.35, 0.9, 0.95, 0.95]))
    bordered = float(rng.uniform(*kind.borders))
    bushes = float(rng.choice([0.5, 1.5, 4.0, 9.0])) * float(np.clip(kind.lot[1][1] / 5, 0.2, 1))
    for side in (1, -1):
        edge = plan.half_width + strip_width(plan, side)
        if kind.buildings and rng.random() < 0.15:
            _add_grove(builder, side, edge)
            continue
        # Neighbours keep to one building line, mostly.
        line_m, keeps_line = float(rng.uniform(*setback)), rng.random() < 0.6
        for start, end in _between_crossings(plan, side):
            for middle, width in _divided(rng, start, end, (narrowest, widest)):
                setback_m = line_m if keeps_line else float(rng.uniform(*setback))
                lot = Lot(side, (middle, width), (edge, edge + setback_m), bushes)
                if kind.buildings and rng.random() < built:
                    _add_building(builder, kind, lot)
                _add_yard(builder, kind, lot, bordered)
        if kind.buildings:
            _line_crossings(builder, kind, side, built)


def _between_crossings(plan: GroundPlan, side: int) -> list[tuple[float, float]]:
    """Return (start, end) along s of the land between crossing roads and their strips."""
    strips = strip_width(plan, side)
    ends = sorted(
        (center - half - strips, center + half + strips) for center, half in plan.crossings
    )
    edges = [-105.0, *(edge for pair in ends for edge in pair), 105.0]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 6]


def _divided(
    rng: Rng, start: float, end: float, widths: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return (middle, width) of lots of random widths that fill a range."""
    lots, s = [], start
    while s < end - 3:
        width = min(float(rng.uniform(*widths)), end - s)
        # A remainder that is too narrow belongs to the last lot.
        if end - s - width < widths[0] * 0.5:
            width = end - s
        lots.append((s + width / 2, width))
        s += width
    return lots


def _line_crossings(builder: SceneBuilder, kind: StreetKind, side: int, built: float) -> None:
    """Add buildings that face crossing roads, behind those of the main road."""
    rng, plan = builder.rng, builder.plan
    for center, half in plan.crossings:
        for toward in (1, -1):
            line = half + strip_width(plan, side) + float(rng.uniform(*kind.lot[1]))
            t = plan.half_width + 28.0
            while t < 68:
                width = float(min(rng.uniform(*kind.lot[0]), 20.0))
                if rng.random() < built * 0.8:
                    building_kind = str(rng.choice(kind.buildings))
                    mesh = street_building(rng, building_kind, width * 0.9, detail=False)
                    where = (center + toward * line, side * (t + width / 2))
                    builder.place(mesh, *where, -np.pi / 2 if toward > 0 else np.pi / 2)
                t += width


def _add_building(builder: SceneBuilder, kind: StreetKind, lot: Lot) -> None:
    """Add a building on a lot, at times with a shed or another building behind it."""
    rng = builder.rng
    building_kind = str(rng.choice(kind.buildings))
    is_dense = kind.lot[1][1] < 3 or building_kind == "terrace"
    width = lot.width * float(rng.uniform(0.97, 1.0) if is_dense else rng.uniform(0.5, 0.8))
    facing = 0.0 if lot.side > 0 else np.pi
    ready_made = draw_building(builder) if rng.random() < 0.12 else None
    if ready_made is not None and np.ptp(ready_made.triangles[..., 0]) < lot.width * 1.1:
        builder.place(ready_made, lot.middle, lot.side * lot.front, facing, lift=-0.1)
        return
    is_near = abs(lot.middle - builder.sensor[0]) < 25
    mesh = street_building(rng, building_kind, min(width, 60.0), detail=is_near)
    skew = 0.0 if is_dense or rng.random() < 0.7 else float(rng.normal(0, 0.2))
    builder.place(mesh, lot.middle, lot.side * lot.front, facing + skew, lift=-0.1)
    if is_near and rng.random() < 0.05:
        site = scaffolding(rng, width, float(rng.uniform(5, 12)))
        builder.place(site, lot.middle, lot.side * (lot.front - 0.4), facing)
    if rng.random() < 0.3 and not is_dense:
        shed = street_building(rng, "shed", float(rng.uniform(3, 6)), detail=False)
        angle = float(rng.choice([0, np.pi / 2, np.pi]))
        builder.place(shed, lot.middle + lot.width * 0.35, lot.side * (lot.front + 8), angle)
    if rng.random() < 0.4:
        behind = street_building(rng, building_kind, width, detail=False)
        s = lot.middle + float(rng.normal(0, 4))
        builder.place(behind, s, lot.side * (lot.front + float(rng.uniform(24, 34))), facing)


def draw_building(builder: SceneBuilder) -> Mesh | None:
    """Return a ready-made building whose front is on y = 0 and faces −y, if there is one."""
    mesh = draw_from_catalogue(builder.catalogue, "facade wall", builder.rng)
    if mesh is None:
        return None
    return mesh.moved((0.0, float(-mesh.triangles[..., 1].min()), 0.0))


def _add_yard(builder: SceneBuilder, kind: StreetKind, lot: Lot, bordered: float) -> None:
    """Add trees, bushes, a driveway, borders and garden things to a lot."""
    rng = builder.rng
    _add_plants(builder, kind, lot)
    if lot.yard_m > 4 and kind.buildings and rng.random() < 0.6:
        _add_driveway(builder, lot, lot.middle + lot.width * float(rng.choice([-0.38, 0.38])))
    if rng.random() < bordered:
        _add_front_border(builder, lot)
    if rng.random() < bordered and lot.yard_m > 1.5:
        _add_side_border(builder, lot)
    if kind.buildings and lot.yard_m > 2 and rng.random() < 0.35:
        _add_garden_piece(builder, lot)


def _add_plants(builder: SceneBuilder, kind: StreetKind, lot: Lot) -> None:
    rng, side = builder.rng, lot.side
    for _ in range(int(rng.uniform(*kind.yard_trees) + rng.random())):
        s = lot.middle + float(rng.uniform(-0.5, 0.5)) * lot.width
        t = lot.edge + float(rng.uniform(0.5, max(lot.yard_m, 22)))
        in_building = kind.buildings and lot.front - 1.5 < t < lot.front + 14
        if not in_building and not builder.is_on_road(s, side * t, 1.0):
            builder.plant_tree(s, side * t, float(rng.uniform(3, 14)))
    for _ in range(int(rng.poisson(lot.bushes if kind.buildings else 4))):
        s = lot.middle + float(rng.uniform(-0.5, 0.5)) * lot.width
        t = lot.edge + float(rng.uniform(0.5, max(lot.yard_m, 1) if kind.buildings else 20))
        if not builder.is_on_road(s, side * t, 1.0):
            widest = 2.2 if kind.buildings else 3.5
            builder.plant_bush(s, side * t, float(rng.uniform(0.5, widest)))
    if rng.random() < 0.1 * lot.bushes:
        _add_thicket(builder, lot)


def _add_thicket(builder: SceneBuilder, lot: Lot) -> None:
    """Add a dense band of shrubs along the sidewalk or between two neighbours."""
    rng = builder.rng
    width = float(rng.uniform(0.8, 2.2))
    if rng.random() < 0.6 or lot.yard_m < 3:
        start, end = lot.middle - lot.width / 2, lot.middle + lot.width / 2
        if rng.random() < 0.5:
            start, end = sorted(float(at) for at in rng.uniform(start, end, 2))
        places = [(s, lot.edge + width * 0.5) for s in np.arange(start, end, width * 0.6)]
    else:
        s = lot.middle + lot.width / 2
        places = [(s, t) for t in np.arange(lot.edge + 0.5, lot.front + 8, width * 0.6)]
    for s, t in places:
        at = float(s), lot.side * float(t + rng.normal(0, 0.2))
        if not builder.is_on_road(*at, 1.0):
            builder.plant_bush(*at, width * float(rng.uniform(0.7, 1.3)))


def _add_grove(builder: SceneBuilder, side: int, edge: float) -> None:
    """Add trees and shrubs along one side of the street, as at parks, railways and banks."""
    rng, plan = builder.rng, builder.plan
    depth, spacing = float(rng.uniform(3, 18)), float(rng.uniform(2.5, 7))
    low, high = sorted(float(height) for height in rng.uniform(4, 18, 2))
    for s in np.arange(-90, 90, spacing):
        for t in np.arange(edge + 1, edge + depth, spacing):
            at = float(s + rng.normal(0, 1)), side * float(t + rng.normal(0, 0.8))
            if builder.is_on_road(*at, strip_width(plan, side) + 0.5):
                continue
            if rng.random() < 0.5:
                builder.plant_tree(*at, float(rng.uniform(low, high)))
            else:
                builder.plant_bush(*at, float(rng.uniform(0.8, 3.5)))
    if rng.random() < 0.3:
        builder.place(barriers.fence(rng, 60.0), builder.sensor[0], side * (edge + 0.5))


def _add_driveway(builder: SceneBuilder, lot: Lot, s: float) -> None:
    """Add a driveway at ``s``, mostly with a vehicle, at times with a carport or a garage."""
    rng, side = builder.rng, lot.side
    t = sorted((side * (builder.plan.half_width + 0.3), side * (lot.front + 4)))
    surface = str(rng.choice(["driveway", "driveway", "gravel"]))
    builder.cover((s - 1.5, s + 1.5, t[0], t[1]), surface)
    angle = float(rng.choice([-1, 1])) * np.pi / 2
    if rng.random() < 0.6 and lot.yard_m > 5:
        vehicle = builder.draw_vehicle(parked=True)
        if np.ptp(vehicle.triangles[:, :, 0]) < 6.5:
            turn = angle + float(rng.normal(0, 0.03))
            builder.place(vehicle, s, side * (lot.front - 3.0), turn)
    if rng.random() < 0.2:
        builder.place(gardens.carport(rng), s, side * (lot.front + 0.5), angle)
    if rng.random() < 0.3:
        gate = barriers.gate(rng, 3.0)
        builder.place(gate, s, side * (lot.edge + 0.3), 0.0)


def _add_front_border(builder: SceneBuilder, lot: Lot) -> None:
    """Add a hedge, a fence or a wall between the sidewalk and the garden, with a gap."""
    rng = builder.rng
    gap = float(rng.uniform(1.0, 4.0))
    at = lot.middle + float(rng.uniform(-0.4, 0.4)) * lot.width
    start, end = lot.middle - lot.width / 2, lot.middle + lot.width / 2
    # All parts of a lot's border are alike: the same random numbers make them.
    seed = int(rng.integers(2**31))
    is_hedge = rng.random() < 0.45
    for s0, s1 in ((start, at - gap / 2), (at + gap / 2, end)):
        length = s1 - s0
        if length < 0.8:
            continue
        alike = np.random.default_rng(seed)
        mesh = (
            vegetation.hedge(alike, length, float(alike.uniform(0.6, 2.2)))
            if is_hedge
            else barriers.fence(alike, length)
        )
        depth = 0.6 if is_hedge else 0.2
        builder.place(mesh.painted(alike), (s0 + s1) / 2, lot.side * (lot.edge + depth))
    if rng.random() < 0.4 and gap < 2:
        builder.place(barriers.gate(rng, gap), at, lot.side * (lot.edge + 0.2))


def _add_side_border(builder: SceneBuilder, lot: Lot) -> None:
    """Add a hedge or a fence between two neighbours, from the sidewalk inwards."""
    rng = builder.rng
    length = max(lot.yard_m + float(rng.uniform(0, 14)), 2.0)
    if rng.random() < 0.5:
        mesh = vegetation.hedge(rng, length, float(rng.uniform(0.8, 2.4)))
    else:
        mesh = barriers.fence(rng, length)
    t = lot.side * (lot.edge + 0.3 + length / 2)
    builder.place(mesh, lot.middle + lot.width / 2, t, np.pi / 2)


def _add_garden_piece(builder: SceneBuilder, lot: Lot) -> None:
    """Add one or two things such as a swing, a woodpile or bins to the front garden."""
    rng = builder.rng
    for _ in range(int(rng.integers(1, 3))):
        s = lot.middle + float(rng.uniform(-0.45, 0.45)) * lot.width
        t = lot.edge + float(rng.uniform(1, max(lot.yard_m - 0.5, 1.2)))
        mesh = draw_garden_piece(builder)
        if np.abs(mesh.triangles[..., :2]).max() < max(lot.yard_m, 2):
            builder.place(mesh, s, lot.side * t, float(rng.uniform(0, 6.28)))


def draw_garden_piece(builder: SceneBuilder) -> Mesh:
    """Return a random thing of gardens and playgrounds."""
    rng = builder.rng
    if rng.random() < 0.35:
        name = str(rng.choice((*gardens.GARDEN_READY_MADE, *gardens.GARDEN_PIECES)))
        mesh = builder.draw_ready_made(name)
        if mesh is not None:
            return mesh
    names = list(gardens.GARDEN_PIECES)
    name = names[int(rng.integers(len(names)))]
    if name == "wheelbarrow" and rng.random() < 0.5:
        return _bins(rng)
    return gardens.GARDEN_PIECES[name](rng)


def _bins(rng: Rng) -> Mesh:
    """Return a box that houses wheeled bins."""
    return box("dumpster", (0.8, float(rng.choice([0.7, 1.4, 2.1])), 1.2)).made_of("wood")
