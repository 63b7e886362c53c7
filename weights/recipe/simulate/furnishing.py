"""Furnishing of rooms: pieces that a name stands for, what stands on them, and their groups."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate import (
    bathroom,
    beds,
    household,
    kitchen,
    people,
    seating,
    storage,
    tables,
    vehicles,
)
from weights.recipe.simulate import wall_objects as walls
from weights.recipe.simulate.finishes import draw_finish, plain_finish
from weights.recipe.simulate.floor_plan import RoomKind, receptacles
from weights.recipe.simulate.openings import hanging_cloth
from weights.recipe.simulate.pieces import PieceCatalogue
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    merge,
    polyline_tube,
    tube,
)
from weights.recipe.simulate.room import Place, Room
from weights.recipe.simulate.tables import Top, find_top

# How often a piece is ready-made where there are both.
_READY_MADE_PROBABILITY = 0.5


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, max(low, high)))


# Generators of floor-standing pieces by name. Names without one are ready-made only.
_GENERATORS: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "chair": seating.chair,
        "folding chair": seating.folding_chair,
        "office chair": seating.office_chair,
        "stool": seating.stool,
        "bar stool": seating.bar_stool,
        "bench": seating.bench,
        "sofa": seating.sofa,
        "armchair": seating.armchair,
        "ottoman": seating.ottoman,
        "bed": beds.bed,
        "bunk bed": beds.bunk_bed,
        "nightstand": storage.nightstand,
        "cabinet": storage.cabinet,
        "dresser": storage.dresser,
        "wardrobe": storage.wardrobe,
        "tv stand": storage.tv_stand,
        "file cabinet": storage.file_cabinet,
        "bookshelf": storage.bookshelf,
        "shelf": storage.shelf,
        "shoe rack": storage.shoe_rack,
        "clothes rack": storage.clothes_rack,
        "coat rack": storage.coat_rack,
        "locker": storage.lockers,
        "display case": storage.display_case,
        "server rack": storage.server_rack,
        "trunk": storage.trunk,
        "pallet rack": storage.pallet_rack,
        "table": tables.table,
        "dining table": tables.dining_table,
        "coffee table": tables.coffee_table,
        "side table": tables.side_table,
        "desk": tables.desk,
        "workbench": tables.workbench,
        "ironing board": tables.ironing_board,
        "floor lamp": household.floor_lamp,
        "table lamp": household.table_lamp,
        "plant": household.plant,
        "box": household.cartons,
        "crate": household.crate,
        "trash bin": household.trash_bin,
        "recycling bin": lambda rng: household.trash_bin(rng).named("recycling bin"),
        "bag": household.bag,
        "backpack": household.backpack,
        "suitcase": household.suitcase,
        "clothes": household.textile_pile,
        "basket": household.basket,
        "bucket": household.bucket,
        "broom": household.broom,
        "mop": household.broom,
        "vacuum cleaner": household.vacuum_cleaner,
        "copier": household.copier,
        "vending machine": household.vending_machine,
        "fan": household.fan,
        "speaker": household.speaker,
        "shoe": household.pair_of_shoes,
        "hand truck": household.hand_truck,
        "trolley": household.trolley,
        "iv stand": household.iv_stand,
        "medical monitor": household.medical_monitor,
        "easel": household.easel,
        "yoga mat": household.yoga_mat,
        "mannequin": household.person_like_mannequin,
        "dumbbell": household.dumbbell,
        "rug": walls.rug,
        "bath mat": lambda rng: walls.rug(rng).moved(scale=0.45).named("bath mat"),
        "partition": walls.partition,
        "stairs": walls.stairs,
        "refrigerator": kitchen.refrigerator,
        "stove": kitchen.stove,
        "oven": lambda rng: kitchen.stove(rng).named("oven"),
        "kitchen island": kitchen.island,
        "counter": lambda rng: kitchen.bar_counter(rng, _between(rng, 1.4, 3.2)),
        "toilet": bathroom.toilet,
        "bidet": bathroom.bidet,
        "bathtub": bathroom.bathtub,
        "shower": bathroom.shower,
        "sink": bathroom.sink,
        "washing machine": bathroom.washing_machine,
        "clothes dryer": bathroom.clothes_dryer,
        "dishwasher": lambda rng: bathroom.washing_machine(rng, "dishwasher"),
        "pillow": seating.pillow,
        "computer tower": household.computer_tower,
        "mattress": lambda rng: _leaning_mattress(rng),
        "barrel": lambda rng: _barrel(rng),
        "ladder": lambda rng: _ladder(rng),
        "cable": lambda rng: _cable(rng),
        "wine rack": lambda rng: _wine_rack(rng),
        "gas cylinder": lambda rng: _gas_cylinder(rng),
        "bicycle": lambda _: vehicles.bicycle(),
        "person": people.person,
    }
)
# Names of the tables of rooms whose pieces have another concept, or a receptacle of their own.
_CONCEPT_OF_NAME: Mapping[str, str] = MappingProxyType(
    {
        "slippers": "shoe",
        "book table": "table",
        "steel table": "table",
        "restaurant table": "table",
        "office desk": "desk",
        "lockers": "locker",
        "mail shelf": "shelf",
        "bunk": "bunk bed",
        "dining table": "dining table",
        "kitchen island": "kitchen island",
    }
)
# Pieces whose top is no place for things, and from which height a top is searched.
_TOP_RANGE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"bed": (0.3, 0.8), "sofa": (0.3, 0.6), "armchair": (0.3, 0.6), "ottoman": (0.3, 0.6)}
)


class Furnisher:
    """Draws pieces, and furnishes rooms with them.

    Attributes:
        rng: random generator of the scene.
        pieces: ready-made pieces.
        clutter: how many things stand and lie about, relative to a usual room.
    """

    def __init__(self, rng: Rng, pieces: PieceCatalogue) -> None:
        """Start with the catalogue of pieces."""
        self.rng = rng
        self.pieces = pieces
        self.clutter = _between(rng, 0.4, 1.8)

    def draw(self, name: str, *, plain: bool = False) -> Mesh | None:
        """Return a piece by name, mostly with things on it, or None if there is none.

        Args:
            name: a concept, or another name of the tables of rooms.
            plain: whether nothing stands on it.
        """
        mesh = self._draw_bare(_CONCEPT_OF_NAME.get(name, name))
        if mesh is None or plain:
            return mesh
        return self.dressed(mesh, name)

    def _draw_bare(self, concept: str) -> Mesh | None:
        generate = _GENERATORS.get(concept)
        if generate is None or self.rng.random() < _READY_MADE_PROBABILITY:
            ready = self.pieces.draw(concept, self.rng)
            if ready is None and concept in ("dining table", "side table"):
                ready = self.pieces.draw("table", self.rng) if concept == "dining table" else None
                ready = None if ready is None else ready.named(concept)
            if ready is not None:
                stretch = self.rng.normal(1, 0.04, 3) * self.rng.normal(1, 0.03)
                mirrored = np.array([1, self.rng.choice([-1, 1]), 1])
                return ready.transformed(np.diag(stretch * mirrored))
        return None if generate is None else generate(self.rng).painted(self.rng)

    def small(self, concept: str) -> Mesh | None:
        """Return a small object."""
        generate = household.SMALL_OBJECTS.get(concept)
        if generate is None or self.rng.random() < _READY_MADE_PROBABILITY:
            ready = self.pieces.draw(concept, self.rng)
            if ready is not None and np.ptp(ready.triangles.reshape(-1, 3), axis=0).max() < 0.8:
                return ready
        if generate is not None:
            return generate(self.rng).painted(self.rng)
        return None

    def dressed(self, mesh: Mesh, name: str) -> Mesh:
        """Return a piece with small objects on it, as its receptacle in the tables says."""
        table = receptacles().get(name)
        if table is None:
            return mesh
        top = find_top(mesh, *_TOP_RANGE.get(name, (0.25, 1.35)))
        if top is None:
            return mesh
        if name in ("bed", "sofa", "armchair"):
            return self._with_pillows(mesh, top, table)
        names = [
            concept
            for concept, probability in table.items()
            if self.rng.random() < probability * self.clutter
        ]
        return merge([mesh, *self.spread(top, names)])

    def spread(self, top: Top, names: Iterable[str]) -> list[Mesh]:
        """Return small objects at free spots of a top."""
        taken: list[tuple[float, float, float, float]] = []
        parts = []
        for name in names:
            thing = self.small(name)
            if thing is None or not len(thing.triangles):
                continue
            thing = thing.moved(
                yaw=float(self.rng.choice([0.0, self.rng.normal(0, 0.5), self.rng.uniform(0, 6)]))
            )
            corners = thing.triangles.reshape(-1, 3)
            low, high = corners.min(axis=0), corners.max(axis=0)
            for _ in range(4):
                x, y = _between(self.rng, *top.x), _between(self.rng, *top.y)
                x = float(np.clip(x, top.x[0] - low[0], max(top.x[1] - high[0], top.x[0] - low[0])))
                y = float(np.clip(y, top.y[0] - low[1], max(top.y[1] - high[1], top.y[0] - low[1])))
                span = (x + low[0], x + high[0], y + low[1], y + high[1])
                if not any(
                    span[0] < b and span[1] > a and span[2] < d and span[3] > c
                    for a, b, c, d in taken
                ):
                    taken.append(span)
                    parts.append(thing.moved((x, y, top.z - float(low[2]))))
                    break
        return parts

    def _with_pillows(self, mesh: Mesh, top: Top, table: Mapping[str, float]) -> Mesh:
        """Return a bed or a seat with pillows towards its back, and other things."""
        rng, parts = self.rng, [mesh]
        probability = min(table.get("pillow", 0.0), 0.4)
        for y in np.arange(top.y[0] + 0.25, top.y[1] - 0.15, 0.5):
            if rng.random() < probability:
                spot = (top.x[0] + _between(rng, 0.1, 0.25), float(y), top.z)
                parts.append(seating.leaning_pillow(rng).moved(spot, float(rng.normal(0, 0.3))))
        others = [name for name, p in table.items() if name != "pillow" and rng.random() < p * 0.6]
        return merge([*parts, *self.spread(top, others)])

    def furnish(self, room: Room, kind: RoomKind) -> None:
        """Place what a kind of room has."""
        rng, area = self.rng, room.width * room.depth
        fullness = float(rng.choice([_between(rng, 0.7, 1.2), _between(rng, 1.2, 2.2)]))
        self._stand(room, kind, fullness)
        # Rooms that are lived in have more than the usual: what else is at home there.
        more = [entry.partition(":")[0] for entry in kind.at_walls if ":" in entry]
        if more:
            for _ in range(int(rng.poisson(min(0.13 * area, 6.0) * fullness))):
                self._at_wall(room, str(rng.choice(more)))
        for name in _drawn(rng, kind.on_walls, max(fullness, 1.0)):
            self.hang(room, name)
        if kind.scattered:
            for _ in range(int(rng.poisson(min(0.2 * area, 6.0) * self.clutter))):
                self._scatter(room, str(rng.choice(kind.scattered)))
        if rng.random() < 0.08 and area > 9:
            room.place_at_wall(walls.column(rng, room.height), corner=rng.random() < 0.5)

    def _stand(self, room: Room, kind: RoomKind, fullness: float) -> None:
        """Place large groups in the middle, what stands at walls, and then the rest."""
        for name in _drawn(self.rng, kind.in_middle, fullness):
            if name in _MIDDLE_GROUPS and name not in _LATE:
                _MIDDLE_GROUPS[name](self, room)
        for name in _drawn(self.rng, kind.at_walls, fullness):
            self._at_wall(room, name)
        for name in _drawn(self.rng, kind.in_middle, fullness):
            if name in _LATE or name not in _MIDDLE_GROUPS:
                self._in_middle(room, name)

    def _at_wall(self, room: Room, name: str) -> None:
        if name in _WALL_GROUPS:
            _WALL_GROUPS[name](self, room)
            return
        mesh = self.draw(name)
        if mesh is not None:
            corner = name in (
                "shower",
                "refrigerator",
                "floor lamp",
                "plant",
                "trash bin",
                "speaker",
            )
            room.place_at_wall(mesh, corner=corner and self.rng.random() < 0.6)

    def _in_middle(self, room: Room, name: str) -> None:
        if name in _MIDDLE_GROUPS:
            _MIDDLE_GROUPS[name](self, room)
            return
        mesh = self.draw(name)
        if mesh is not None:
            flat = name in ("rug", "bath mat", "yoga mat")
            room.place_anywhere(mesh, keep_clear=not flat)

    def _scatter(self, room: Room, name: str) -> None:
        """Place something on the floor, often beside a wall or a piece."""
        mesh = self.draw(name)
        if mesh is None:
            mesh = self.small(name)
        if mesh is None or not len(mesh.triangles):
            return
        mesh = mesh.moved(yaw=float(self.rng.uniform(0, 6.28)))
        if self.rng.random() < 0.5:
            room.place_at_wall(mesh, 12)
        else:
            room.place_anywhere(mesh)

    def hang(self, room: Room, name: str) -> None:
        """Hang something on a wall."""
        rng = self.rng
        own: dict[str, Callable[[], Mesh]] = {
            "towel rail": lambda: bathroom.towel_rail(rng),
            "paper holder": lambda: bathroom.paper_holder(rng),
            "tool board": self._tool_board,
            "blackboard": lambda: walls.whiteboard(rng),
            "helmet shelf": lambda: walls.wall_shelf(rng),
            "phone": lambda: walls.phone_or_intercom(rng),
            "curtain": self._privacy_curtain,
        }
        if name in own:
            mesh: Mesh | None = own[name]()
        elif name in walls.WALL_OBJECTS:
            mesh = walls.WALL_OBJECTS[name](rng)
        else:
            mesh = self.pieces.draw(name, rng)
            if mesh is not None:
                low = mesh.triangles.reshape(-1, 3).min(axis=0)
                mesh = mesh.moved((float(-low[0]) + 0.005, 0, _between(rng, 1.1, 1.6)))
        if mesh is not None:
            room.hang_on_wall(mesh.painted(rng))

    def _tool_board(self) -> Mesh:
        """Return a board with tools that hang on it."""
        rng = self.rng
        board = draw_finish(rng, "wood", "cardboard").on(
            box("shelf", (0.02, 1.4, 0.8), (0.01, 0, 1.1))
        )
        parts = [board]
        for y in np.arange(-0.6, 0.65, 0.16):
            name = str(rng.choice(["hammer", "saw", "screwdriver", "pliers", "axe"]))
            ready = self.pieces.draw(name, rng)
            if ready is not None:
                # A tool that lies along x hangs along z.
                hung = ready.transformed([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
                low = hung.triangles.reshape(-1, 3).min(axis=0)
                parts.append(
                    hung.moved((float(-low[0]) + 0.03, float(y), _between(rng, 1.35, 1.6)))
                )
        return merge(parts)

    def _privacy_curtain(self) -> Mesh:
        """Return a hospital curtain on a rail from the wall into the room."""
        rng, length = self.rng, _between(self.rng, 1.0, 2.0)
        cloth = hanging_cloth("curtain", rng, length * _between(rng, 0.3, 1.0), (0.3, 2.1))
        rail = tube("curtain", (0.0, 0, 2.12), (length, 0, 2.12), 0.015)
        return merge(
            [
                draw_finish(rng, "curtain").on(cloth).moved((length / 2, 0, 0)),
                draw_finish(rng, "chrome").on(rail),
            ]
        )

    def _computer(self, top: Top) -> tuple[list[Mesh], Top]:
        """Return a computer on a desk's top, and the part of the top that stays free."""
        rng, width = self.rng, top.y[1] - top.y[0]
        count = int(rng.choice([1, 1, 2])) if width > 0.9 else 1
        middle = (top.y[0] + top.y[1]) / 2 + _between(rng, -0.15, 0.15) * width
        kind = str(rng.choice(["monitor", "monitor", "laptop", "computer"]))
        parts = []
        for k in range(count):
            y = middle + (k - (count - 1) / 2) * 0.6
            thing = self.pieces.draw("computer", rng) if kind == "computer" else self.small(kind)
            thing = thing or household.monitor(rng)
            back = float(thing.triangles[..., 0].min())
            parts.append(
                thing.moved((top.x[0] - back + 0.02, y, top.z), float(rng.normal(0, 0.12)))
            )
        if kind == "monitor":
            x = top.x[1] - 0.16
            parts.append(household.keyboard(rng).moved((x, middle, top.z)))
            parts.append(household.mouse(rng).moved((x, middle + 0.32, top.z)))
            if rng.random() < 0.5:
                tower = household.computer_tower(rng)
                place = (0.0, float(rng.choice([top.y[0] + 0.1, top.y[1] - 0.1])), 0.02)
                parts.append(tower.moved(place))
        side = top.y[0] if rng.random() < 0.5 else (middle + 0.35)
        return parts, Top(top.x, (side, min(side + max(width * 0.4, 0.3), top.y[1])), top.z)

    def desk_with_things(self, *, office: bool) -> Mesh:
        """Return a desk with a computer and other things; it is used from +x."""
        rng = self.rng
        desk = self.draw("desk", plain=True) or tables.desk(rng)
        top = find_top(desk, 0.55, 0.95)
        if top is None:
            return desk
        parts, rest = [desk], top
        # Part of the top is for the computer, the rest for other things.
        if rng.random() < (0.85 if office else 0.6):
            things, rest = self._computer(top)
            parts += things
        table = receptacles()["office desk" if office else "desk"]
        names = [
            name
            for name, p in table.items()
            if name not in ("laptop", "monitor") and rng.random() < p * self.clutter
        ]
        return merge([*parts, *self.spread(rest, names)])


def _drawn(rng: Rng, entries: tuple[str, ...], fullness: float) -> list[str]:
    """Return the names of the entries "name:probability" that are drawn."""
    names = []
    for entry in entries:
        name, _, probability = entry.partition(":")
        if rng.random() < float(probability or 1.0) * (
            fullness if probability else min(fullness + 0.2, 1)
        ):
            names.append(name)
    return names


def _leaning_mattress(rng: Rng) -> Mesh:
    return draw_finish(rng, "linen").on(box("mattress", (0.2, 1.9, 0.9), (0.1, 0, 0)))


def _barrel(rng: Rng) -> Mesh:
    profile = [
        (0.27, 0),
        (0.29, 0.03),
        (0.29, 0.42),
        (0.3, 0.44),
        (0.29, 0.46),
        (0.29, 0.85),
        (0.27, 0.88),
        (0.01, 0.86),
    ]
    return draw_finish(rng, "car_paint", "steel", "wood").on(
        household.turned("barrel", profile, 16)
    )


def _ladder(rng: Rng) -> Mesh:
    height, lean = _between(rng, 1.4, 2.4), _between(rng, 0.25, 0.6)
    rails = [
        tube("ladder", (s * lean, y, 0), (0, y * 0.75, height), 0.018, sides=4)
        for y in (-0.24, 0.24)
        for s in (-1, 1)
    ]
    rungs = [
        box("ladder", (0.07, 0.44, 0.025), (lean * (1 - z / height), 0, float(z)))
        for z in np.arange(0.25, height - 0.05, 0.27)
    ]
    return draw_finish(rng, "steel", "wood").on(*rails, *rungs)


def _cable(rng: Rng) -> Mesh:
    points = np.cumsum(rng.normal(0, 0.12, (9, 2)), axis=0)
    line = np.column_stack([points - points.mean(axis=0), np.full(9, 0.008)])
    return draw_finish(rng, "rubber", "warning_plastic").on(polyline_tube("cable", line, 0.008))


def _wine_rack(rng: Rng) -> Mesh:
    width, height = _between(rng, 0.4, 1.0), _between(rng, 0.4, 1.6)
    parts = [
        draw_finish(rng, "wood").on(
            *(
                box("wine rack", (0.28, width, 0.02), (0, 0, float(z)))
                for z in np.arange(0.02, height, 0.13)
            ),
            *(box("wine rack", (0.28, 0.02, height), (0, y, 0)) for y in (-width / 2, width / 2)),
        )
    ]
    for z in np.arange(0.08, height - 0.1, 0.13):
        for y in np.arange(-width / 2 + 0.07, width / 2 - 0.04, 0.11):
            if rng.random() < 0.6:
                parts.append(
                    plain_finish("plastic", (0.03, 0.05, 0.03)).on(
                        tube(
                            "bottle",
                            (-0.12, float(y), float(z)),
                            (0.14, float(y), float(z)),
                            0.038,
                            sides=7,
                        )
                    )
                )
    return merge(parts)


def _gas_cylinder(rng: Rng) -> Mesh:
    height = _between(rng, 0.5, 1.5)
    profile = [
        (0.11, 0),
        (0.115, 0.03),
        (0.115, height * 0.85),
        (0.04, height * 0.95),
        (0.03, height),
    ]
    return draw_finish(rng, "car_paint", "steel").on(household.turned("gas cylinder", profile, 12))


def _bed_group(f: Furnisher, room: Room) -> None:
    """Place a bed with its head to a wall, nightstands beside it and a rug."""
    rng = f.rng
    bed = f.draw("bed")
    if bed is None:
        return
    place = room.place_at_wall(bed, 40)
    if place is None:
        return
    half = float(np.abs(bed.triangles[..., 1]).max())
    back = float(bed.triangles[..., 0].min())
    for side in (-1, 1):
        stand = f.draw("nightstand")
        if stand is not None and rng.random() < 0.75:
            gap = half + float(np.abs(stand.triangles[..., 1]).max()) + _between(rng, 0.02, 0.12)
            own = float(stand.triangles[..., 0].min())
            room.place(stand, place.beside(back - own + 0.02, side * gap))
    if rng.random() < 0.3:
        mesh = walls.rug(rng)
        room.place(mesh, place.beside(0.4, 0.0, np.pi / 2), keep_clear=False)
    if rng.random() < 0.2:
        bench = f.draw("bench" if rng.random() < 0.5 else "trunk", plain=True)
        if bench is not None:
            front = float(bed.triangles[..., 0].max())
            room.place(bench, place.beside(front + 0.35, 0.0))


def _child_bed(f: Furnisher, room: Room) -> None:
    name = str(f.rng.choice(["bed", "bed", "bunk bed", "crib"]))
    mesh = f.draw(name)
    if mesh is not None:
        room.place_at_wall(mesh, 40, corner=bool(f.rng.random() < 0.5))


def _ward_bed(f: Furnisher, room: Room) -> None:
    """Place a hospital bed with its head to a wall, a nightstand and devices."""
    rng = f.rng
    mesh = f.pieces.draw("hospital bed", rng) or beds.bed(rng).named("hospital bed")
    place = room.place_at_wall(mesh, 40)
    if place is None:
        return
    half, back = float(np.abs(mesh.triangles[..., 1]).max()), float(mesh.triangles[..., 0].min())
    for name, side in (("nightstand", 1), ("iv stand", -1), ("medical monitor", -1)):
        piece = f.draw(name)
        if piece is not None and rng.random() < 0.5:
            own = float(piece.triangles[..., 0].min())
            room.place(piece, place.beside(back - own + 0.05, side * (half + 0.38)))


def _desk_group(f: Furnisher, room: Room, *, office: bool | None = None) -> None:
    """Place a desk at a wall, with a chair before it and a bin beside it."""
    rng = f.rng
    is_office = room.style.public if office is None else office
    desk = f.desk_with_things(office=is_office)
    place = room.place_at_wall(desk)
    if place is None:
        return
    front = float(desk.triangles[..., 0].max())
    name = str(
        rng.choice(
            ["office chair", "office chair", "chair"]
            if is_office
            else ["office chair", "chair", "chair"]
        )
    )
    seat = f.draw(name, plain=True)
    if seat is not None and rng.random() < 0.9:
        spot = place.beside(
            front + _between(rng, 0.0, 0.45),
            _between(rng, -0.25, 0.25),
            np.pi + float(rng.normal(0, 0.45)),
        )
        room.place(seat, spot, keep_clear=False)
    if rng.random() < 0.35:
        side = float(np.abs(desk.triangles[..., 1]).max()) + 0.2
        room.place(household.trash_bin(rng), place.beside(0.0, side * float(rng.choice([-1, 1]))))


def _sofa_group(f: Furnisher, room: Room) -> None:
    """Place a television at one wall, a sofa before it, a coffee table, a rug and armchairs."""
    rng = f.rng
    sofa = f.draw("sofa")
    if sofa is None:
        return
    place = room.place_at_wall(sofa, 40)
    if place is None:
        return
    front = float(sofa.triangles[..., 0].max())
    half = float(np.abs(sofa.triangles[..., 1]).max())
    table = f.draw("coffee table")
    if table is not None and rng.random() < 0.75:
        reach = front + _between(rng, 0.3, 0.5) + float(np.abs(table.triangles[..., 0]).max())
        room.place(table, place.beside(reach, _between(rng, -0.2, 0.2)))
    if rng.random() < 0.55:
        room.place(walls.rug(rng), place.beside(front + 0.6, 0.0), keep_clear=False)
    for side in (-1, 1):
        _beside_sofa(f, room, place, (front + 0.7, side * (half + 0.35)))
    if rng.random() < 0.75:
        _television(f, room, place)


def _beside_sofa(f: Furnisher, room: Room, place: Place, spot: tuple[float, float]) -> None:
    """Place an armchair, a side table or nothing at one end of a sofa."""
    rng, (ahead, aside) = f.rng, spot
    if rng.random() < 0.3:
        chair = f.draw("armchair")
        if chair is not None:
            turn = -np.sign(aside) * (np.pi / 2 + float(rng.normal(0, 0.3)))
            room.place(chair, place.beside(ahead, aside, float(turn)))
    elif rng.random() < 0.4:
        stand = f.draw("side table")
        if stand is not None:
            room.place(stand, place.beside(0.0, aside))


def _television(f: Furnisher, room: Room, seat: Place) -> None:
    """Place a television on a stand at the wall that a seat faces."""
    rng = f.rng
    facing = seat.beside(100.0, 0.0)
    # The wall whose inward direction is opposite to where the seat looks.
    across = [np.pi / 2, np.pi, -np.pi / 2, 0.0]
    looks = np.arctan2(facing.y - seat.y, facing.x - seat.x)
    wall = int(np.argmin([np.cos(turn - looks) for turn in across]))
    stand = f.draw("tv stand", plain=True)
    if stand is None:
        return
    top = find_top(stand, 0.2, 1.0)
    screen = f.pieces.draw("television", rng) if rng.random() < 0.4 else None
    screen = screen or household.television(rng)
    if top is not None and rng.random() < 0.9:
        middle = ((top.x[0] + top.x[1]) / 2, (top.y[0] + top.y[1]) / 2, top.z)
        width = top.y[1] - top.y[0]
        names = [
            name for name, p in receptacles()["tv stand"].items() if rng.random() < p * f.clutter
        ]
        beside = Top(top.x, (top.y[0], top.y[0] + width * 0.25), top.z)
        stand = merge([stand, screen.moved(middle), *f.spread(beside, names)])
    room.place_at_wall(stand, 30, wall=wall)


def _armchair_and_lamp(f: Furnisher, room: Room) -> None:
    chair, lamp = f.draw("armchair"), f.draw("floor lamp")
    if chair is None or lamp is None:
        return
    place = room.place_at_wall(chair)
    if place is not None:
        side = float(np.abs(chair.triangles[..., 1]).max()) + 0.3
        room.place(lamp, place.beside(-0.1, side * float(f.rng.choice([-1, 1]))))


def _kitchen(f: Furnisher, room: Room) -> None:
    """Build a kitchen in: one run, an L along two walls, or two runs that face each other."""
    rng = f.rng
    form = str(rng.choice(["one", "one", "corner", "corner", "two"]))
    order = list(rng.permutation(4))
    for wall in order:
        number = int(wall)
        length = room.wall_length(number)
        if length < 1.6:
            continue
        run = min(length - 0.05, _between(rng, 1.8, 4.2))
        mesh = kitchen.kitchen_run(rng, run)
        if room.place_at_wall(mesh, 12, wall=number, corner=True) is None:
            continue
        other = {
            "one": None,
            "corner": (number + int(rng.choice([1, 3]))) % 4,
            "two": (number + 2) % 4,
        }[form]
        if other is not None and room.wall_length(other) > 2.0:
            second = kitchen.kitchen_run(
                rng, min(room.wall_length(other) - 0.7, _between(rng, 1.2, 3.0)), with_sink=False
            )
            room.place_at_wall(second, 16, wall=other)
        return
    for name in ("stove", "sink", "refrigerator", "cabinet"):
        piece = f.draw(name)
        if piece is not None:
            room.place_at_wall(piece)


def _row_of_seats(f: Furnisher, room: Room) -> None:
    """Place seats beside each other at a wall, joined or not."""
    rng = f.rng
    seat = f.draw("chair", plain=True)
    if seat is None:
        return
    width = 2 * float(np.abs(seat.triangles[..., 1]).max()) + _between(rng, 0.0, 0.1)
    count = int(rng.integers(2, 6))
    row = merge(seat.moved((0, (k - (count - 1) / 2) * width, 0)) for k in range(count))
    room.place_at_wall(row)


def _printer_stand(f: Furnisher, room: Room) -> None:
    stand = f.draw("cabinet", plain=True) if f.rng.random() < 0.5 else f.draw("table", plain=True)
    if stand is None:
        return
    top = find_top(stand, 0.3, 1.2)
    if top is not None:
        stand = merge([stand, *f.spread(top, ["printer", "paper", "box"])])
    room.place_at_wall(stand)


def _globe_stand(f: Furnisher, room: Room) -> None:
    room.place_at_wall(household.globe(f.rng).moved(scale=2.2))


def _toilet_stalls(f: Furnisher, room: Room) -> None:
    room.place_at_wall(bathroom.toilet_stalls(f.rng, int(f.rng.integers(1, 4))))


def _urinals(f: Furnisher, room: Room) -> None:
    one = bathroom.urinal(f.rng)
    count = int(f.rng.integers(1, 4))
    row = merge(one.moved((0, (k - (count - 1) / 2) * 0.75, 0)) for k in range(count))
    room.hang_on_wall(row)


def _pallet_stack(f: Furnisher, room: Room) -> None:
    size = (_between(f.rng, 0.8, 1.2), _between(f.rng, 0.8, 1.2), _between(f.rng, 0.4, 1.8))
    room.place_at_wall(storage.pallet_of_boxes(f.rng, size))


def _air_conditioner_unit(f: Furnisher, room: Room) -> None:
    mesh = draw_finish(f.rng, "appliance").on(
        box("air conditioner", (0.6, 0.9, 1.8)),
        box_between("air conditioner", (0.3, -0.4, 1.3), (0.32, 0.4, 1.7)),
    )
    room.place_at_wall(mesh)


def _saw_horse(f: Furnisher, room: Room) -> None:
    mesh = tables.workbench(f.rng).moved(scale=0.8)
    room.place_at_wall(mesh)


_WALL_GROUPS: Mapping[str, Callable[[Furnisher, Room], None]] = MappingProxyType(
    {
        "bed group": _bed_group,
        "child bed": _child_bed,
        "ward bed": _ward_bed,
        "desk group": _desk_group,
        "sofa group": _sofa_group,
        "armchair and lamp": _armchair_and_lamp,
        "kitchen": _kitchen,
        "row of seats": _row_of_seats,
        "printer stand": _printer_stand,
        "globe stand": _globe_stand,
        "toilet stalls": _toilet_stalls,
        "urinals": _urinals,
        "pallet stack": _pallet_stack,
        "air conditioner unit": _air_conditioner_unit,
        "saw horse": _saw_horse,
    }
)


def _seats_around(
    f: Furnisher,
    room: Room,
    standing: tuple[Mesh, Place],
    seat_names: list[str],
    *,
    share: float = 0.85,
    ends: bool = True,
) -> None:
    """Place seats of one kind along the sides of a table that stands at a place."""
    rng, (table, place) = f.rng, standing
    seat = f.draw(str(rng.choice(seat_names)), plain=True)
    if seat is None:
        return
    corners = table.triangles.reshape(-1, 3)
    half_x, half_y = float(np.abs(corners[:, 0]).max()), float(np.abs(corners[:, 1]).max())
    pitch = _between(rng, 0.58, 0.8)
    spots = [
        (side * half_x, float(y), np.pi if side > 0 else 0.0)
        for side in (-1, 1)
        for y in np.arange(-half_y + 0.3, half_y - 0.15, pitch)
    ]
    if ends and half_y > 0.45:
        spots += [(0.0, side * half_y, -side * np.pi / 2) for side in (-1, 1)]
    for x, y, turn in spots:
        if rng.random() < share:
            away = _between(rng, -0.12, 0.4) if rng.random() < 0.8 else _between(rng, 0.3, 0.8)
            out_x = x + np.sign(x) * away if abs(x) > 0 else x
            out_y = y + np.sign(y) * away if abs(x) == 0 else y
            spot = place.beside(
                float(out_x), float(out_y), float(turn) + float(rng.normal(0, 0.22))
            )
            room.place(seat, spot, keep_clear=False)


def _dining_group(f: Furnisher, room: Room) -> None:
    table = f.draw("dining table" if f.rng.random() < 0.7 else "table")
    if table is None:
        return
    for _ in range(8):
        place = Place(
            room.width * _between(f.rng, 0.25, 0.75),
            room.depth * _between(f.rng, 0.25, 0.75),
            float(f.rng.choice([0.0, np.pi / 2])) + float(f.rng.normal(0, 0.04)),
        )
        if room.place(table, place):
            _seats_around(f, room, (table, place), ["chair", "chair", "chair", "stool"])
            return


def _bar_table_group(f: Furnisher, room: Room) -> None:
    rng = f.rng
    top = draw_finish(rng, "wood", "steel")
    table = top.on(
        tube("table", (0, 0, 1.02), (0, 0, 1.06), 0.33, sides=16),
        tube("table", (0, 0, 0), (0, 0, 1.02), 0.04),
        tube("table", (0, 0, 0), (0, 0, 0.03), 0.25, sides=12),
    )
    place = room.place_anywhere(table)
    if place is not None:
        _seats_around(f, room, (table, place), ["bar stool"])


def _meeting_table(f: Furnisher, room: Room) -> None:
    rng = f.rng
    along_x = room.width > room.depth
    length = max(max(room.width, room.depth) * _between(rng, 0.4, 0.65), 1.2)
    table = tables.conference_table(rng, length)
    top = find_top(table, 0.5, 1.0)
    if top is not None:
        names = [
            name
            for name in (
                "laptop",
                "paper",
                "cup",
                "bottle",
                "phone",
                "paper",
                "cup",
                "monitor",
                "book",
                "plant",
            )
            if rng.random() < 0.3 * f.clutter
        ]
        table = merge([table, *f.spread(top, names)])
    place = Place(room.width / 2, room.depth / 2, np.pi / 2 if along_x else 0.0)
    if room.place(table, place):
        _seats_around(
            f, room, (table, place), ["chair", "office chair", "office chair"], share=0.92
        )


def _meeting_corner(f: Furnisher, room: Room) -> None:
    table = tables.conference_table(f.rng, _between(f.rng, 1.4, 2.4))
    place = room.place_anywhere(table)
    if place is not None:
        _seats_around(f, room, (table, place), ["chair", "office chair"])


def _row_desk(rng: Rng, kind: str) -> Mesh:
    """Return a desk for one or two pupils; it is used from −x."""
    width = 0.7 if kind == "single" else 1.3
    finish, legs = draw_finish(rng, "wood", "plastic"), draw_finish(rng, "steel", "chrome")
    parts = [
        finish.on(box("desk", (0.5, width, 0.025), (0, 0, 0.71))),
        legs.on(*seating.legs("desk", width, 0.48, 0.71, 0.03)),
    ]
    if rng.random() < 0.4:
        parts.append(finish.on(box("desk", (0.02, width * 0.9, 0.3), (0.22, 0, 0.38))))
    return merge(parts)


def _used_desk(f: Furnisher, desk: Mesh) -> Mesh:
    """Return a pupil's desk, often with two things on it."""
    if f.rng.random() > 0.5 * f.clutter:
        return desk
    top = Top((-0.2, 0.2), (-0.3, 0.3), 0.735)
    names = f.rng.choice(["book", "paper", "laptop", "pen", "bottle", "bag"], 2)
    return merge([desk, *f.spread(top, [str(name) for name in names])])


def _rows_of_desks(f: Furnisher, room: Room) -> None:
    """Place rows of desks with chairs that face one wall, or rows of chairs alone."""
    rng = f.rng
    kind = str(rng.choice(["single", "double", "double", "school desk", "chairs"]))
    chair = f.draw("chair", plain=True) or seating.chair(rng)
    desk = None
    if kind in ("single", "double"):
        desk = _row_desk(rng, kind)
    elif kind == "school desk":
        ready = f.pieces.draw("school desk", rng)
        chair = ready or chair
    width = 0.75 if desk is None else (0.95 if kind == "single" else 1.6)
    pitch = _between(rng, 0.95, 1.1) if desk is None else _between(rng, 1.2, 1.5)
    messy = _between(rng, 0.01, 0.1)
    xs, ys = np.arange(1.1, room.width - 1.6, pitch), np.arange(0.9, room.depth - 0.6, width)
    for x, y in product(xs, ys):
        dx, dy, turn = (float(value) for value in rng.normal(0, messy, 3))
        spot = Place(float(x) + dx, float(y) + dy, turn)
        if desk is not None and not room.place(_used_desk(f, desk), spot.beside(0.45, 0.0)):
            continue
        for offset in [0.0] if kind != "double" else [-0.33, 0.33]:
            if rng.random() < 0.88:
                ahead, turn = float(rng.normal(0, 0.06)), float(rng.normal(0, 0.15))
                room.place(chair, spot.beside(ahead, offset, turn), keep_clear=desk is None)


def _desk_islands(f: Furnisher, room: Room) -> None:
    """Place pairs of desks face to face, with office chairs and partitions."""
    rng = f.rng
    chair = f.draw("office chair", plain=True) or seating.office_chair(rng)
    with_partitions = rng.random() < 0.5
    for x in np.arange(1.9, room.width - 1.5, _between(rng, 2.9, 3.5)):
        for y in np.arange(1.3, room.depth - 0.9, _between(rng, 1.5, 1.8)):
            for side in (1, -1):
                desk = f.desk_with_things(office=True)
                back = float(desk.triangles[..., 0].min())
                spot = Place(float(x) - side * (back - 0.03), float(y), 0.0 if side > 0 else np.pi)
                if room.place(desk, spot):
                    front = float(desk.triangles[..., 0].max())
                    seat = spot.beside(
                        front + _between(rng, 0.0, 0.4),
                        float(rng.normal(0, 0.15)),
                        np.pi + float(rng.normal(0, 0.5)),
                    )
                    room.place(chair, seat, keep_clear=False)
            if with_partitions:
                panel = walls.partition(rng)
                room.place(panel, Place(float(x), float(y), 0.0), keep_clear=False)


def _restaurant_tables(f: Furnisher, room: Room) -> None:
    rng = f.rng
    table = (
        tables.table(rng)
        if rng.random() < 0.5
        else (f.draw("table", plain=True) or tables.table(rng))
    )
    seats = [str(rng.choice(["chair", "chair", "bench", "bar stool"]))]
    pitch = _between(rng, 1.8, 2.4)
    for x in np.arange(1.1, room.width - 0.8, pitch):
        for y in np.arange(1.1, room.depth - 0.8, pitch):
            if rng.random() < 0.8:
                laid = f.dressed(table, "restaurant table") if rng.random() < 0.7 else table
                place = Place(
                    float(x),
                    float(y),
                    float(rng.choice([0.0, np.pi / 2])) + float(rng.normal(0, 0.05)),
                )
                if room.place(laid, place):
                    _seats_around(
                        f,
                        room,
                        (table, place),
                        seats if seats[0] == "chair" else ["chair"],
                        ends=False,
                    )


def _seats_around_table(f: Furnisher, room: Room) -> None:
    """Place armchairs or sofas around a low table."""
    rng = f.rng
    table = f.draw("coffee table")
    if table is None:
        return
    place = room.place_anywhere(table, 20)
    if place is None:
        return
    reach = float(np.abs(table.triangles[..., :2]).max()) + 0.75
    chair = f.draw(str(rng.choice(["armchair", "armchair", "sofa", "chair"])), plain=True)
    if chair is None:
        return
    for turn in (0.0, np.pi / 2, np.pi, -np.pi / 2):
        if rng.random() < 0.6:
            away = Place(place.x, place.y, turn).beside(reach, 0.0)
            room.place(chair, Place(away.x, away.y, turn + np.pi + float(rng.normal(0, 0.15))))


def _shelf_rows(f: Furnisher, room: Room) -> None:
    """Place rows of shelves back to back across the room."""
    rng = f.rng
    for x in np.arange(1.7, room.width - 1.2, _between(rng, 1.6, 2.2)):
        for y in np.arange(1.6, room.depth - 1.0, 1.9):
            for side in (0.0, np.pi):
                size = (0.3, 1.7, _between(rng, 1.3, 2.0))
                shelf = storage.shelving("bookshelf", rng, size, ["books", "books", "objects"])
                room.place(shelf, Place(float(x), float(y), side).beside(0.16, 0.0))


def _rack_rows(f: Furnisher, room: Room) -> None:
    rng = f.rng
    for x in np.arange(2.5, room.width - 2.0, _between(rng, 3.0, 4.0)):
        for y in np.arange(2.5, room.depth - 2.0, 3.7):
            room.place(storage.pallet_rack(rng), Place(float(x), float(y), 0.0))


def _rack_row(f: Furnisher, room: Room) -> None:
    rack = storage.server_rack(f.rng)
    for y in np.arange(1.0, room.depth - 0.8, 0.62):
        room.place(rack, Place(room.width / 2, float(y), 0.0))


def _columns(f: Furnisher, room: Room) -> None:
    rng = f.rng
    column = walls.column(rng, room.height)
    for x in np.arange(2.5, room.width - 1, _between(rng, 3, 6)):
        room.place(column, Place(float(x), room.depth * float(rng.choice([0.3, 0.5, 0.7])), 0.0))


def _pallet_stack_middle(f: Furnisher, room: Room) -> None:
    size = (_between(f.rng, 0.8, 1.2), _between(f.rng, 0.8, 1.2), _between(f.rng, 0.4, 1.8))
    room.place_anywhere(storage.pallet_of_boxes(f.rng, size))


def _childrens_table(f: Furnisher, room: Room) -> None:
    table = tables.table(f.rng).moved(scale=0.62)
    place = room.place_anywhere(table)
    if place is not None:
        for turn in (0.0, np.pi / 2, np.pi):
            away = Place(place.x, place.y, turn).beside(0.55, 0.0)
            room.place(
                seating.chair(f.rng).moved(scale=0.62),
                Place(away.x, away.y, turn + np.pi),
                keep_clear=False,
            )


def _car(f: Furnisher, room: Room) -> None:
    turn = np.pi / 2 if room.depth > room.width else 0.0
    mesh = vehicles.car(f.rng, "hatch", "car")
    room.place(mesh, Place(room.width / 2, room.depth / 2, float(turn)))


_MIDDLE_GROUPS: Mapping[str, Callable[[Furnisher, Room], None]] = MappingProxyType(
    {
        "dining group": _dining_group,
        "bar table group": _bar_table_group,
        "meeting table": _meeting_table,
        "meeting corner": _meeting_corner,
        "rows of desks": _rows_of_desks,
        "desk islands": _desk_islands,
        "restaurant tables": _restaurant_tables,
        "seats around table": _seats_around_table,
        "shelf rows": _shelf_rows,
        "rack rows": _rack_rows,
        "rack row": _rack_row,
        "columns": _columns,
        "pallet stack": _pallet_stack_middle,
        "children's table": _childrens_table,
        "car": _car,
    }
)
# Groups that take what room the pieces at the walls leave; the others are the room's purpose.
_LATE = frozenset(
    {
        "dining group",
        "bar table group",
        "seats around table",
        "meeting corner",
        "children's table",
        "columns",
        "pallet stack",
        "desk islands",
    }
)
