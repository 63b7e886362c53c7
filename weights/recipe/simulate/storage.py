"""Storage: cabinets, dressers, wardrobes, shelves with books and boxes, lockers, racks.

A piece stands on z = 0 and faces +x, with its back towards −x. Width is along y, depth along x.
"""

from itertools import pairwise

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish
from weights.recipe.simulate.household import draw_small_object, shoe
from weights.recipe.simulate.primitives import Mesh, Rng, box, box_between, merge, tube
from weights.recipe.simulate.seating import legs

Size = tuple[float, float, float]


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def fronts(
    concept: str, rng: Rng, size: Size, finish: Finish, *, columns: int, rows: list[float]
) -> Mesh:
    """Return doors or drawers in relief with handles, for a body of (depth, width, height).

    Args:
        concept: the concept of all triangles.
        rng: draws the handles.
        size: depth, width and height of the body in metres.
        finish: of the fronts.
        columns: number of fronts beside each other.
        rows: heights of the rows relative to each other, from below.
    """
    depth, width, height = size
    handle = draw_finish(rng, "chrome", "steel", "wood")
    kind = str(rng.choice(["bar", "knob", "upright", "none"]))
    gap, relief = 0.006, 0.018
    edges = np.concatenate([[0.0], np.cumsum(rows)]) / sum(rows) * height
    parts = []
    for i in range(columns):
        y = -width / 2 + (i + 0.5) * width / columns
        for low, high in pairwise(edges):
            panel = (relief, width / columns - 2 * gap, float(high - low) - 2 * gap)
            parts.append(
                finish.on(box(concept, panel, (depth / 2 + relief / 2, y, float(low) + gap)))
            )
            x, is_drawer = depth / 2 + relief + 0.015, high - low < 0.45
            z = float(low + high) / 2 if is_drawer else float(high) - 0.15
            edge = width / columns / 2 - 0.05
            if kind == "bar" and is_drawer:
                parts.append(
                    handle.on(box(concept, (0.03, min(0.16, panel[1] * 0.5), 0.015), (x, y, z)))
                )
            elif kind == "knob" or (kind == "bar" and not is_drawer):
                spot = (x, y if is_drawer else y + edge * (1 if i % 2 == 0 else -1), z)
                parts.append(handle.on(box(concept, (0.03, 0.03, 0.03), spot)))
            elif kind == "upright":
                spot = (x, y + (0 if is_drawer else edge * (1 if i % 2 == 0 else -1)), z - 0.07)
                parts.append(
                    handle.on(box(concept, (0.03, 0.015, 0.14 if not is_drawer else 0.03), spot))
                )
    return merge(parts)


def _body(concept: str, rng: Rng, size: Size, finish: Finish) -> Mesh:
    """Return a closed body, at times on legs, a plinth, or with a wider top board."""
    depth, width, height = size
    lift = float(rng.choice([0.0, 0.0, 0.06, 0.12]))
    parts = [box(concept, (depth, width, height - lift), (0, 0, lift))]
    if lift > 0.1:
        parts += legs(concept, width, depth, lift, 0.04)
    elif lift > 0:
        parts.append(box(concept, (depth - 0.06, width - 0.02, lift), (-0.02, 0, 0)))
    if rng.random() < 0.4:
        parts.append(box(concept, (depth + 0.04, width + 0.04, 0.025), (0.01, 0, height - 0.005)))
    return finish.on(*parts)


def _cabinet(concept: str, rng: Rng, size: Size, columns: int, rows: list[float]) -> Mesh:
    finish = draw_finish(rng, "wood", "wood", "wall_paint", "appliance")
    front = finish if rng.random() < 0.6 else draw_finish(rng, "wood", "wall_paint")
    return merge(
        [
            _body(concept, rng, size, finish),
            fronts(concept, rng, size, front, columns=columns, rows=rows),
        ]
    )


def cabinet(rng: Rng) -> Mesh:
    """Return a cabinet, low or tall, with doors and drawers, some with glass or open shelves."""
    size = (
        _between(rng, 0.3, 0.6),
        _between(rng, 0.5, 1.8),
        float(rng.choice([_between(rng, 0.6, 1.1), _between(rng, 1.2, 2.1)])),
    )
    columns = max(int(size[1] / _between(rng, 0.4, 0.65)), 1)
    rows = [1.0] if size[2] < 1.1 else [1.0, _between(rng, 0.8, 2.0)]
    if rng.random() < 0.3:
        rows = [1.0, *([0.3] * int(rng.integers(1, 3)))]
    return _cabinet("cabinet", rng, size, columns, rows)


def dresser(rng: Rng) -> Mesh:
    """Return a chest of drawers."""
    size = (_between(rng, 0.4, 0.55), _between(rng, 0.6, 1.7), _between(rng, 0.65, 1.2))
    return _cabinet(
        "dresser", rng, size, max(int(size[1] / 0.65), 1), [1.0] * int(rng.integers(3, 6))
    )


def nightstand(rng: Rng) -> Mesh:
    """Return a nightstand with drawers, or with an open compartment."""
    size = (_between(rng, 0.33, 0.5), _between(rng, 0.35, 0.6), _between(rng, 0.42, 0.68))
    if rng.random() < 0.35:
        finish, (depth, width, height) = draw_finish(rng, "wood"), size
        parts = [
            *legs("nightstand", width, depth, height, 0.04),
            *(box("nightstand", (depth, width, 0.03), (0, 0, z)) for z in (height - 0.03, 0.12)),
            box("nightstand", (depth * 0.95, width * 0.95, 0.13), (0, 0, height - 0.16)),
        ]
        return finish.on(*parts)
    return _cabinet("nightstand", rng, size, 1, [1.0] * int(rng.integers(1, 4)))


def tv_stand(rng: Rng) -> Mesh:
    """Return a low cabinet for a television, with open and closed compartments."""
    depth, width, height = (
        _between(rng, 0.35, 0.5),
        _between(rng, 0.9, 2.2),
        _between(rng, 0.35, 0.6),
    )
    finish, concept = draw_finish(rng, "wood", "wood", "wall_paint"), "tv stand"
    if rng.random() < 0.5:
        return _cabinet(concept, rng, (depth, width, height), int(rng.integers(2, 5)), [1.0])
    boards = [
        box(concept, (depth, width, 0.03), (0, 0, z)) for z in (0.05, height * 0.5, height - 0.03)
    ]
    sides = [
        box(concept, (depth, 0.03, height - 0.05), (0, float(y), 0.05))
        for y in np.linspace(-width / 2, width / 2, int(rng.integers(3, 5)))
    ]
    back = box(concept, (0.01, width, height), (-depth / 2, 0, 0))
    player = box("stereo", (depth * 0.6, 0.4, 0.08), (0, -width * 0.25, height * 0.5 + 0.03))
    parts = [finish.on(*boards, *sides, back)]
    if rng.random() < 0.6:
        parts.append(draw_finish(rng, "screen").on(player))
    return merge(parts)


def file_cabinet(rng: Rng) -> Mesh:
    """Return a filing cabinet of metal with two to four drawers, or wider."""
    count = int(rng.integers(2, 5))
    size = (_between(rng, 0.5, 0.65), float(rng.choice([0.42, 0.42, 0.8])), count * 0.32 + 0.05)
    finish = draw_finish(rng, "appliance", "steel")
    body = finish.on(box("file cabinet", size))
    return merge(
        [
            body,
            fronts("file cabinet", rng, size, finish.darker(0.93), columns=1, rows=[1.0] * count),
        ]
    )


def wardrobe(rng: Rng) -> Mesh:
    """Return a tall wardrobe, closed, with mirrors, or open with clothes."""
    size = (_between(rng, 0.5, 0.66), _between(rng, 0.8, 2.6), _between(rng, 1.8, 2.4))
    if rng.random() < 0.2:
        return _open_wardrobe(rng, size)
    columns = max(int(size[1] / _between(rng, 0.42, 0.8)), 1)
    rows = [1.0] if rng.random() < 0.7 else [0.15, 1.0]
    mesh = _cabinet("wardrobe", rng, size, columns, rows)
    if rng.random() < 0.2:
        width = size[1] / columns - 0.04
        y = -size[1] / 2 + size[1] / columns * (int(rng.integers(columns)) + 0.5)
        pane = box("mirror", (0.006, width, size[2] - 0.3), (size[0] / 2 + 0.022, y, 0.15))
        mesh = merge([mesh, pane])
    return mesh


def _open_wardrobe(rng: Rng, size: Size) -> Mesh:
    depth, width, height = size
    finish, concept = draw_finish(rng, "wood", "wall_paint"), "wardrobe"
    parts = [
        *(box(concept, (depth, 0.025, height), (0, y, 0)) for y in (-width / 2, width / 2)),
        *(
            box(concept, (depth, width, 0.025), (0, 0, z))
            for z in (0.08, height * 0.85, height - 0.03)
        ),
        box(concept, (0.01, width, height), (-depth / 2, 0, 0)),
    ]
    rod = tube(concept, (0, -width / 2, height * 0.8), (0, width / 2, height * 0.8), 0.014)
    clothes = hanging_clothes(rng, width * 0.92, height * 0.8)
    return merge([finish.on(*parts), rod.made_of("chrome"), clothes])


def hanging_clothes(rng: Rng, width: float, height: float) -> Mesh:
    """Return clothes on hangers along y, hanging from ``height``."""
    parts, y = [], -width / 2
    while y < width / 2:
        thick = _between(rng, 0.03, 0.09)
        if rng.random() < 0.8:
            drop = _between(rng, 0.55, 1.15)
            spot = (float(rng.normal(0, 0.02)), y + thick / 2, height - 0.06 - drop)
            shape = box("clothes", (_between(rng, 0.38, 0.5), thick, drop), spot, taper=(0.75, 0.5))
            parts.append(draw_finish(rng, "fabric", "trousers").on(shape))
        y += thick + 0.01
    return merge(parts)


def clothes_rack(rng: Rng) -> Mesh:
    """Return a rail on a frame with clothes."""
    width, height = _between(rng, 0.8, 1.6), _between(rng, 1.3, 1.7)
    frame = draw_finish(rng, "chrome", "steel", "wood")
    parts = [tube("clothes rack", (0, -width / 2, height), (0, width / 2, height), 0.015)]
    for y in (-width / 2, width / 2):
        parts.append(tube("clothes rack", (0, y, 0.04), (0, y, height), 0.015))
        parts.append(tube("clothes rack", (-0.25, y, 0.04), (0.25, y, 0.04), 0.015))
    return merge([frame.on(*parts), hanging_clothes(rng, width * 0.85, height)])


def coat_rack(rng: Rng) -> Mesh:
    """Return a standing coat rack with coats and bags."""
    height, frame = _between(rng, 1.6, 1.85), draw_finish(rng, "wood", "steel")
    parts = [
        frame.on(
            tube("coat rack", (0, 0, 0), (0, 0, height), 0.022),
            tube("coat rack", (0, 0, 0), (0, 0, 0.03), 0.22, sides=12),
        )
    ]
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        way = np.array([np.cos(angle), np.sin(angle)])
        tip = (0.16 * way[0], 0.16 * way[1], height - 0.02)
        parts.append(frame.on(tube("coat rack", (0, 0, height - 0.15), tip, 0.012, sides=4)))
        if rng.random() < 0.5:
            drop = _between(rng, 0.5, 1.0)
            spot = (0.17 * way[0], 0.17 * way[1], height - 0.1 - drop)
            coat = box(
                "clothes",
                (0.16, _between(rng, 0.3, 0.45), drop),
                spot,
                yaw=float(angle),
                taper=(0.5, 0.5),
            )
            parts.append(draw_finish(rng, "fabric", "trousers").on(coat))
    return merge(parts)


def row_of_books(rng: Rng, width: float, height: float, depth: float) -> Mesh:
    """Return books that stand beside each other along y, with the room's side at +x = depth/2."""
    parts, y = [], -width / 2
    while y < width / 2 - 0.015:
        thick = min(_between(rng, 0.012, 0.055), width / 2 - y)
        if rng.random() < 0.06:
            y += _between(rng, 0.03, 0.2)
            continue
        size = (depth * _between(rng, 0.6, 0.95), thick * 0.95, height * _between(rng, 0.6, 0.97))
        spot = (depth / 2 - size[0] / 2 - _between(rng, 0, 0.03), y + thick / 2, 0)
        parts.append(draw_finish(rng, "paper", "paper", "fabric").on(box("book", size, spot)))
        y += thick
    return merge(parts)


def _shelf_contents(rng: Rng, kind: str, width: float, height: float, depth: float) -> Mesh:
    """Return what stands on one board of a shelf."""
    parts: list[Mesh] = []
    if kind == "books":
        fill = _between(rng, 0.3, 1.0) * width
        shift = (width - fill) / 2 * float(rng.choice([-1, 1]))
        parts.append(row_of_books(rng, fill, height, depth).moved((0, shift, 0)))
        if fill < 0.6 * width and rng.random() < 0.6:
            spot = (0, -np.sign(shift) * width * 0.3, 0)
            parts.append(draw_small_object(rng, most_m=height * 0.9).moved((0, float(spot[1]), 0)))
        return merge(parts)
    y = -width / 2 + 0.05
    while y < width / 2 - 0.1:
        step = _between(rng, 0.1, 0.45)
        if rng.random() < 0.7:
            if kind == "boxes":
                size = (
                    depth * _between(rng, 0.6, 1.0),
                    min(step, width / 2 - y) * 0.9,
                    height * _between(rng, 0.4, 0.95),
                )
                concept = str(rng.choice(["box", "box", "basket", "binder", "crate"]))
                finish = draw_finish(rng, "cardboard", "plastic", "paper")
                parts.append(finish.on(box(concept, size, (0, y + step / 2, 0))))
            else:
                parts.append(
                    draw_small_object(rng, most_m=min(height * 0.9, 0.4)).moved(
                        (0, y + step / 2, 0)
                    )
                )
        y += step
    return merge(parts)


def shelving(concept: str, rng: Rng, size: Size, contents: list[str]) -> Mesh:
    """Return open shelving of (depth, width, height) with contents on each board."""
    depth, width, height = size
    finish = draw_finish(rng, "wood", "wood", "steel", "wall_paint")
    count = max(int(height / _between(rng, 0.28, 0.42)), 1)
    step = (height - 0.06) / count
    columns = max(round(width / _between(rng, 0.6, 1.1)), 1)
    is_frame = finish.material == "steel"
    if is_frame:
        uprights = legs(concept, width, depth, height, 0.035)
    else:
        uprights = [
            box(concept, (depth, 0.025, height), (0, float(y), 0))
            for y in np.linspace(-width / 2 + 0.012, width / 2 - 0.012, columns + 1)
        ]
    boards = [
        box(concept, (depth, width, 0.025), (0, 0, min(0.05 + k * step, height - 0.025)))
        for k in range(count + 1)
    ]
    parts = [finish.on(*uprights, *boards)]
    if rng.random() < 0.7 and not is_frame:
        parts.append(finish.on(box(concept, (0.008, width, height), (-depth / 2 + 0.004, 0, 0))))
    fullness = _between(rng, 0.3, 1.0)
    for k in range(count):
        for i in range(columns):
            if rng.random() > fullness:
                continue
            y = -width / 2 + (i + 0.5) * width / columns
            kind = str(rng.choice(contents))
            filled = _shelf_contents(rng, kind, width / columns - 0.05, step - 0.04, depth * 0.9)
            parts.append(filled.moved((0, y, 0.05 + k * step + 0.026)))
    return merge(parts)


def bookshelf(rng: Rng) -> Mesh:
    """Return an open bookshelf with books and other things."""
    size = (_between(rng, 0.24, 0.38), _between(rng, 0.5, 2.4), _between(rng, 0.8, 2.3))
    mesh = shelving("bookshelf", rng, size, ["books", "books", "books", "objects", "boxes"])
    if rng.random() < 0.2:
        doors = (size[0], size[1], size[2] * 0.35)
        front = fronts(
            "bookshelf",
            rng,
            doors,
            draw_finish(rng, "wood"),
            columns=max(int(size[1] / 0.5), 1),
            rows=[1.0],
        )
        mesh = merge([mesh, front])
    return mesh


def shelf(rng: Rng) -> Mesh:
    """Return shelving with boxes and other things."""
    size = (_between(rng, 0.28, 0.6), _between(rng, 0.5, 1.8), _between(rng, 0.6, 2.2))
    return shelving("shelf", rng, size, ["boxes", "objects", "boxes", "books"])


def pallet_rack(rng: Rng) -> Mesh:
    """Return a heavy rack with pallets of boxes."""
    depth, width, height = _between(rng, 0.8, 1.1), _between(rng, 1.8, 3.6), _between(rng, 2.0, 4.5)
    posts, beams = (
        draw_finish(rng, "steel", "car_paint"),
        draw_finish(rng, "warning_plastic", "steel"),
    )
    concept, count = "pallet rack", max(int(height / 1.3), 1)
    step = height / (count + 0.3)
    parts = [posts.on(*legs(concept, width, depth, height, 0.09))]
    for side in (-1, 1):
        for k in range(count * 2):
            z = k * step / 2
            parts.append(
                posts.on(
                    tube(
                        concept,
                        (-depth / 2, side * width / 2, z),
                        (depth / 2, side * width / 2, z + step / 2),
                        0.02,
                        sides=4,
                    )
                )
            )
    for k in range(count + 1):
        z = max(k * step - 0.12, 0.0)
        if k:
            parts.append(
                beams.on(
                    *(box(concept, (0.05, width, 0.12), (x, 0, z)) for x in (-depth / 2, depth / 2))
                )
            )
        y = -width / 2 + 0.15
        while y < width / 2 - 0.7:
            load = _between(rng, 0.6, 1.1)
            if rng.random() < 0.75:
                parts.append(
                    pallet_of_boxes(
                        rng, (depth * 0.95, min(load, width / 2 - y), step * 0.75)
                    ).moved((0, y + load / 2, z + 0.12))
                )
            y += load + 0.1
    return merge(parts)


def pallet_of_boxes(rng: Rng, size: Size) -> Mesh:
    """Return a pallet with layers of boxes, at most of (depth, width, height) metres."""
    depth, width, height = size
    parts = [
        box("pallet", (depth, width / 8, 0.02), (0, float(y), 0.11))
        for y in np.linspace(-width * 0.43, width * 0.43, 6)
    ]
    parts += [
        box("pallet", (0.1, width, 0.11), (x, 0, 0)) for x in (-depth * 0.42, 0, depth * 0.42)
    ]
    wood = draw_finish(rng, "wood")
    layers = max(int((height - 0.13) / _between(rng, 0.2, 0.45) * _between(rng, 0.4, 1)), 1)
    across = max(int(width / _between(rng, 0.3, 0.6)), 1)
    tall, wide = (height - 0.13) / layers, width / across
    finish = draw_finish(rng, "cardboard", "cardboard", "plastic")
    cartons = []
    for k in range(layers):
        for i in range(across):
            if k == layers - 1 and rng.random() < 0.3:
                continue
            spot = (float(rng.normal(0, 0.01)), -width / 2 + (i + 0.5) * wide, 0.13 + k * tall)
            cartons.append(box("box", (depth * 0.9, wide * 0.97, tall * 0.99), spot))
    return merge([wood.on(*parts), finish.on(*cartons)])


def lockers(rng: Rng) -> Mesh:
    """Return a row of lockers of metal."""
    columns, rows = int(rng.integers(2, 8)), int(rng.choice([1, 1, 2, 3]))
    size = (_between(rng, 0.4, 0.52), columns * _between(rng, 0.28, 0.4), _between(rng, 1.6, 1.95))
    finish = draw_finish(rng, "car_paint", "appliance", "steel")
    body = finish.on(box("locker", size))
    return merge(
        [body, fronts("locker", rng, size, finish.darker(0.9), columns=columns, rows=[1.0] * rows)]
    )


def shoe_rack(rng: Rng) -> Mesh:
    """Return a low open rack with shoes."""
    depth, width, height = 0.3, _between(rng, 0.6, 1.1), _between(rng, 0.35, 1.0)
    finish, count = draw_finish(rng, "wood", "steel"), max(int(height / 0.22), 1)
    parts = [finish.on(*legs("shoe rack", width, depth, height, 0.03))]
    for k in range(count + 1):
        z = 0.06 + k * (height - 0.08) / max(count, 1)
        parts.append(finish.on(box("shoe rack", (depth, width, 0.02), (0, 0, z))))
        y = -width / 2 + 0.08
        while y < width / 2 - 0.1 and k < count:
            if rng.random() < 0.6:
                parts.append(shoe(rng).moved((0, y, z + 0.02)))
            y += 0.12
    return merge(parts)


def display_case(rng: Rng) -> Mesh:
    """Return a cabinet with panes and things in it."""
    depth, width, height = (
        _between(rng, 0.35, 0.5),
        _between(rng, 0.6, 1.6),
        _between(rng, 1.0, 2.0),
    )
    body = shelving("display case", rng, (depth, width, height), ["objects", "objects", "books"])
    pane = box("display case", (0.006, width, height * 0.9), (depth / 2 + 0.005, 0, height * 0.05))
    return merge([body, pane.made_of("glass")])


def server_rack(rng: Rng) -> Mesh:
    """Return a closed rack of computers, black."""
    size = (_between(rng, 0.7, 1.0), 0.6, _between(rng, 1.2, 2.1))
    finish = draw_finish(rng, "screen")
    units = [
        box("server rack", (0.02, 0.5, 0.04), (size[0] / 2 + 0.01, 0, float(z)))
        for z in np.arange(0.1, size[2] - 0.1, 0.055)
        if rng.random() < 0.8
    ]
    return merge([finish.on(box("server rack", size)), draw_finish(rng, "steel").on(*units)])


def trunk(rng: Rng) -> Mesh:
    """Return a trunk or chest with a lid."""
    size = (_between(rng, 0.4, 0.55), _between(rng, 0.7, 1.2), _between(rng, 0.4, 0.55))
    finish = draw_finish(rng, "wood", "leather")
    lid = box_between(
        "trunk",
        (-size[0] / 2 - 0.01, -size[1] / 2 - 0.01, size[2] * 0.72),
        (size[0] / 2 + 0.01, size[1] / 2 + 0.01, size[2]),
    )
    return merge([finish.on(box("trunk", size)), finish.darker(0.85).on(lid)])
