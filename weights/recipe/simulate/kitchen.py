"""Built-in kitchens: base cabinets, worktop, sink, stove, oven, hood, wall cabinets, refrigerator.

A run stands on z = 0 along y with its back at x = 0 and faces +x. Drawers and doors below the
worktop are "kitchen cabinet", the worktop is "counter".
"""

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish, plain_finish
from weights.recipe.simulate.household import SMALL_OBJECTS, turned
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    merge,
    polyline_tube,
    quads,
    tube,
)
from weights.recipe.simulate.storage import fronts

_DEPTH = 0.6
_ON_COUNTER = (
    "kettle", "coffee machine", "toaster", "microwave", "bottle", "bottle", "cup", "bowl", "plate",
    "pot", "soap bottle", "jar", "jar", "paper towel", "plant", "box", "flower",
)  # fmt: skip


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def kitchen_run(rng: Rng, length: float, *, with_sink: bool = True) -> Mesh:
    """Return a run of kitchen units of about ``length`` metres, centred on y = 0.

    Args:
        rng: draws the units.
        length: metres along y.
        with_sink: whether the run has sink, stove and refrigerator, as far as they fit.
    """
    cabinet = draw_finish(rng, "wood", "wall_paint", "appliance")
    worktop = draw_finish(rng, "tile", "stone", "wood", "steel", "concrete")
    height, units = _between(rng, 0.86, 0.95), _draw_units(rng, length, with_sink)
    total = sum(width for _, width in units)
    y, parts, tops = -total / 2, [], []
    low_spans: list[tuple[float, float, str]] = []
    for kind, width in units:
        middle = y + width / 2
        if kind in ("refrigerator", "tall"):
            piece = (
                refrigerator(rng, width)
                if kind == "refrigerator"
                else _tall_unit(rng, width, cabinet)
            )
            parts.append(piece.moved((_DEPTH / 2 + 0.02, middle, 0)))
        else:
            parts.append(_base_unit(rng, kind, width, height, cabinet).moved((0, middle, 0)))
            low_spans.append((y, y + width, kind))
        y += width
    for start, end, kind in low_spans:
        tops.append(_worktop(rng, kind, (start, end), height, worktop))
        if kind in ("sink", "stove"):
            continue
        if rng.random() < 0.8:
            tops.append(_things(rng, (start, end), height))
    parts += tops
    if low_spans:
        parts += _wall_units(rng, low_spans, height, cabinet)
        if rng.random() < 0.6:
            low, high = low_spans[0][0], low_spans[-1][1]
            tiles = quads(
                "indoor wall",
                [
                    [
                        (0.005, low, height),
                        (0.005, high, height),
                        (0.005, high, height + 0.55),
                        (0.005, low, height + 0.55),
                    ]
                ],
            )
            parts.append(draw_finish(rng, "tile", "ceramic", "stone").on(tiles))
    return merge(parts)


def _draw_units(rng: Rng, length: float, with_sink: bool) -> list[tuple[str, float]]:
    """Return kinds and widths of units from left to right that fill ``length`` metres."""
    wanted = []
    if with_sink:
        wanted += [("sink", _between(rng, 0.6, 0.9)), ("stove", 0.6)]
        if rng.random() < 0.6:
            wanted.append(("dishwasher", 0.6))
    units = [
        unit
        for unit in wanted
        if length >= sum(width for _, width in wanted[: wanted.index(unit) + 1])
    ]
    remaining = length - sum(width for _, width in units)
    ends: list[tuple[str, float]] = []
    if with_sink and remaining > 0.75 and rng.random() < 0.75:
        ends.append(("refrigerator", _between(rng, 0.58, 0.9)))
    if remaining > 1.9 and rng.random() < 0.35:
        ends.append(("tall", 0.6))
    remaining -= sum(width for _, width in ends)
    while remaining > 0.3:
        width = min(_between(rng, 0.4, 0.9), remaining)
        units.append((str(rng.choice(["drawers", "doors", "doors"])), width))
        remaining -= width
    units = [units[i] for i in rng.permutation(len(units))]
    for end in ends:
        units = [end, *units] if rng.random() < 0.5 else [*units, end]
    return units


def _base_unit(rng: Rng, kind: str, width: float, height: float, finish: Finish) -> Mesh:
    """Return what stands below the worktop."""
    depth, toe, top = _DEPTH - 0.03, 0.1, height - 0.035
    size = (depth, width, top - toe)
    if kind == "dishwasher" and rng.random() < 0.6:
        steel = draw_finish(rng, "appliance", "steel")
        body = box_between(
            "dishwasher", (0.01, -width / 2 + 0.003, toe), (depth + 0.01, width / 2 - 0.003, top)
        )
        panel = box_between(
            "dishwasher", (depth, -width / 2, top - 0.1), (depth + 0.02, width / 2, top - 0.01)
        )
        handle = box("dishwasher", (0.03, width * 0.7, 0.02), (depth + 0.04, 0, top - 0.13))
        return merge([steel.on(body), steel.darker(0.6).on(panel, handle)])
    if kind == "stove":
        return _oven(rng, width, toe, top, depth)
    concept = "kitchen cabinet"
    body = finish.on(box(concept, size, (depth / 2, 0, toe)))
    plinth = finish.darker(0.5).on(
        box(concept, (depth - 0.06, width, toe), (depth / 2 - 0.03, 0, 0))
    )
    columns = 1 if width < 0.55 else 2
    rows = (
        [1.0] * int(rng.integers(2, 5))
        if kind == "drawers"
        else ([1.0] if kind == "sink" or rng.random() < 0.5 else [3.0, 1.0])
    )
    front = fronts(
        concept, rng, size, finish, columns=1 if kind == "drawers" else columns, rows=rows
    )
    return merge([body, plinth, front.moved((depth / 2, 0, toe))])


def _oven(rng: Rng, width: float, toe: float, top: float, depth: float) -> Mesh:
    """Return an oven below the worktop, with a door of glass and knobs."""
    steel = draw_finish(rng, "appliance", "steel", "screen")
    body = box_between(
        "oven", (0.01, -width / 2 + 0.003, 0.02), (depth + 0.01, width / 2 - 0.003, top)
    )
    door = box_between(
        "oven",
        (depth + 0.01, -width / 2 + 0.02, toe + 0.1),
        (depth + 0.03, width / 2 - 0.02, top - 0.14),
    )
    pane = box_between(
        "oven",
        (depth + 0.03, -width / 2 + 0.08, toe + 0.2),
        (depth + 0.033, width / 2 - 0.08, top - 0.24),
    )
    handle = box("oven", (0.03, width * 0.75, 0.02), (depth + 0.06, 0, top - 0.19))
    knobs = [
        tube(
            "oven", (depth + 0.01, float(y), top - 0.06), (depth + 0.04, float(y), top - 0.06), 0.02
        )
        for y in np.linspace(-0.35, 0.35, 5) * width
    ]
    return merge(
        [
            steel.on(body, door, *knobs),
            draw_finish(rng, "screen").on(pane),
            draw_finish(rng, "chrome").on(handle),
        ]
    )


def _worktop(rng: Rng, kind: str, span: tuple[float, float], height: float, finish: Finish) -> Mesh:
    """Return a piece of worktop with what is let into it."""
    y0, y1 = span
    low, front = height - 0.035, _DEPTH + 0.02
    whole = box_between("counter", (0, y0, low), (front, y1, height))
    middle, width = (y0 + y1) / 2, y1 - y0
    if kind == "stove":
        if rng.random() < 0.5:
            glass = box_between(
                "stove", (0.06, middle - 0.29, height), (0.56, middle + 0.29, height + 0.008)
            )
            return merge([finish.on(whole), draw_finish(rng, "screen").on(glass)])
        plate = box_between(
            "stove", (0.05, middle - 0.29, height), (0.57, middle + 0.29, height + 0.02)
        )
        burners = [
            tube(
                "stove",
                (x, middle + y, height + 0.02),
                (x, middle + y, height + 0.045),
                0.08,
                sides=10,
            )
            for x in (0.18, 0.42)
            for y in (-0.14, 0.14)
        ]
        return merge(
            [
                finish.on(whole),
                draw_finish(rng, "steel", "screen").on(plate),
                draw_finish(rng, "rubber").on(*burners),
            ]
        )
    if kind != "sink":
        return finish.on(whole)
    half, x0, x1, bottom = min(width * 0.42, 0.4), 0.1, 0.52, height - 0.19
    around = [
        box_between("counter", (0, y0, low), (x0, y1, height)),
        box_between("counter", (x1, y0, low), (front, y1, height)),
        box_between("counter", (x0, y0, low), (x1, middle - half, height)),
        box_between("counter", (x0, middle + half, low), (x1, y1, height)),
    ]
    edges = [(x0, middle - half), (x1, middle - half), (x1, middle + half), (x0, middle + half)]
    walls = [
        [
            (*edges[i], height + 0.004),
            (*edges[(i + 1) % 4], height + 0.004),
            (*edges[(i + 1) % 4], bottom),
            (*edges[i], bottom),
        ]
        for i in range(4)
    ]
    basin = [quads("sink", [*walls, [(*edge, bottom) for edge in edges]])]
    if half > 0.33 and rng.random() < 0.5:
        basin.append(box_between("sink", (x0, middle + 0.02, bottom), (x1, middle + 0.04, height)))
    tap = faucet(rng, 0.3).moved((0.06, middle, height))
    return merge(
        [finish.on(*around), draw_finish(rng, "steel", "chrome", "ceramic").on(*basin), tap]
    )


def faucet(rng: Rng, height: float) -> Mesh:
    """Return a tap whose spout reaches towards +x."""
    reach = height * _between(rng, 0.5, 0.8)
    path = [
        (0, 0, 0),
        (0, 0, height * 0.85),
        (reach * 0.3, 0, height),
        (reach, 0, height * 0.9),
        (reach, 0, height * 0.75),
    ]
    lever = box("faucet", (0.09, 0.02, 0.015), (0.02, 0.04, height * 0.35))
    return draw_finish(rng, "chrome").on(polyline_tube("faucet", path, 0.013, sides=5), lever)


def _things(rng: Rng, span: tuple[float, float], height: float) -> Mesh:
    """Return things on a piece of worktop."""
    parts, y = [], span[0] + 0.08
    while y < span[1] - 0.1:
        if rng.random() < 0.55:
            name = _ON_COUNTER[int(rng.integers(len(_ON_COUNTER)))]
            thing = SMALL_OBJECTS[name](rng)
            if np.abs(thing.triangles[..., 1]).max() < 0.3:
                parts.append(
                    thing.moved(
                        (_between(rng, 0.14, 0.42), y + 0.08, height), float(rng.normal(0, 0.3))
                    )
                )
        y += _between(rng, 0.18, 0.4)
    return merge(parts)


def _wall_units(
    rng: Rng, spans: list[tuple[float, float, str]], height: float, finish: Finish
) -> list[Mesh]:
    """Return wall cabinets above the units, with a hood above the stove."""
    parts = []
    lower, tall, depth = (
        height + _between(rng, 0.45, 0.6),
        _between(rng, 0.55, 0.9),
        _between(rng, 0.3, 0.36),
    )
    has_cabinets = rng.random() < 0.8
    for start, end, kind in spans:
        middle, width = (start + end) / 2, end - start
        if kind == "stove":
            parts.append(range_hood(rng, width).moved((0, middle, lower)))
        elif has_cabinets and rng.random() < 0.85:
            size = (depth, width, tall)
            body = finish.on(box("kitchen cabinet", size, (depth / 2, 0, 0)))
            if rng.random() < 0.12:
                board = [
                    box("kitchen cabinet", (depth, width, 0.02), (depth / 2, 0, float(z)))
                    for z in (0, tall / 2)
                ]
                jars = [
                    SMALL_OBJECTS[name](rng).moved((depth / 2, float(y), z))
                    for name, y, z in (
                        ("jar", -0.1, 0.02),
                        ("plate", 0.1, 0.02),
                        ("bowl", 0.0, tall / 2 + 0.02),
                    )
                ]
                parts.append(merge([finish.on(*board), *jars]).moved((0, middle, lower)))
                continue
            front = fronts(
                "kitchen cabinet", rng, size, finish, columns=1 if width < 0.55 else 2, rows=[1.0]
            )
            parts.append(merge([body, front.moved((depth / 2, 0, 0))]).moved((0, middle, lower)))
    return parts


def range_hood(rng: Rng, width: float) -> Mesh:
    """Return a cooker hood with a chimney, or a flat one."""
    steel = draw_finish(rng, "steel", "appliance", "chrome")
    if rng.random() < 0.6:
        shape = [
            box("range hood", (0.48, width, 0.2), (0.24, 0, 0.05), taper=(0.5, 0.4)),
            box("range hood", (0.26, 0.26, 0.6), (0.14, 0, 0.2)),
        ]
    else:
        shape = [box("range hood", (0.45, width, 0.12), (0.23, 0, 0.05))]
    return steel.on(*shape)


def refrigerator(rng: Rng, width: float | None = None) -> Mesh:
    """Return a refrigerator, centred on the origin: one or two doors, side by side, or small."""
    wide = _between(rng, 0.52, 0.95) if width is None else width
    depth = _between(rng, 0.55, 0.72)
    height = (
        _between(rng, 0.82, 1.2)
        if width is None and rng.random() < 0.15
        else _between(rng, 1.45, 2.0)
    )
    finish, concept = draw_finish(rng, "appliance", "appliance", "steel"), "refrigerator"
    body = box(concept, (depth, wide, height))
    kind = "one" if height < 1.3 else str(rng.choice(["two", "two", "one", "side"]))
    split = height * float(rng.choice([_between(rng, 0.3, 0.45), _between(rng, 0.62, 0.75)]))
    doors = {
        "one": [(-wide / 2, wide / 2, 0.04, height)],
        "two": [
            (-wide / 2, wide / 2, 0.04, split - 0.005),
            (-wide / 2, wide / 2, split + 0.005, height),
        ],
        "side": [(-wide / 2, -0.004, 0.04, height), (0.004, wide / 2, 0.04, height)],
    }[kind]
    parts = [
        finish.on(
            body,
            *(
                box_between(concept, (depth / 2, y0, z0), (depth / 2 + 0.045, y1, z1))
                for y0, y1, z0, z1 in doors
            ),
        )
    ]
    metal = draw_finish(rng, "chrome", "steel")
    for number, (y0, y1, z0, z1) in enumerate(doors):
        y = (y1 - 0.05 if number == 0 else y0 + 0.05) if kind == "side" else y1 - 0.06
        tall = min((z1 - z0) * 0.5, 0.6)
        z = z0 + 0.1 if z0 > 0.5 else z1 - 0.1 - tall
        parts.append(metal.on(box(concept, (0.035, 0.025, tall), (depth / 2 + 0.07, y, z))))
    for _ in range(int(rng.choice([0, 0, 2, 5]))):
        y0, y1, z0, z1 = doors[int(rng.integers(len(doors)))]
        note = box(
            concept,
            (0.004, 0.12, 0.15),
            (
                depth / 2 + 0.048,
                _between(rng, y0 + 0.1, y1 - 0.1),
                _between(rng, max(z0, 0.9), max(z1 - 0.2, 0.95)),
            ),
        )
        parts.append(draw_finish(rng, "paper").on(note))
    if rng.random() < 0.25:
        parts.append(SMALL_OBJECTS["box"](rng).moved((0, 0, height)))
    return merge(parts)


def _tall_unit(rng: Rng, width: float, finish: Finish) -> Mesh:
    """Return a tall kitchen cabinet, at times with a built-in oven or microwave."""
    height, concept = _between(rng, 1.95, 2.25), "kitchen cabinet"
    size = (_DEPTH, width, height)
    parts = [
        finish.on(box(concept, size)),
        fronts(concept, rng, size, finish, columns=1, rows=[1.2, 0.9, 1.0]),
    ]
    if rng.random() < 0.6:
        inner = str(rng.choice(["oven", "microwave"]))
        front = box_between(
            inner, (_DEPTH / 2, -width / 2 + 0.02, 0.85), (_DEPTH / 2 + 0.03, width / 2 - 0.02, 1.4)
        )
        parts.append(draw_finish(rng, "screen", "steel").on(front))
    return merge(parts)


def stove(rng: Rng) -> Mesh:
    """Return a stove that stands alone, centred on the origin: hob, oven and a panel behind."""
    width = _between(rng, 0.5, 0.9)
    parts = [
        _oven(rng, width, 0.08, 0.88, 0.57),
        _worktop(
            rng, "stove", (-width / 2, width / 2), 0.915, draw_finish(rng, "appliance", "steel")
        ).named("stove"),
    ]
    if rng.random() < 0.5:
        parts.append(
            draw_finish(rng, "appliance", "steel").on(
                box_between("stove", (0, -width / 2, 0.9), (0.05, width / 2, 1.08))
            )
        )
    return merge(parts).moved((-0.3, 0, 0))


def island(rng: Rng) -> Mesh:
    """Return a kitchen island with a worktop, centred on the origin."""
    length, depth, height = (
        _between(rng, 1.2, 2.4),
        _between(rng, 0.6, 0.95),
        _between(rng, 0.88, 1.0),
    )
    finish, concept = draw_finish(rng, "wood", "wall_paint"), "kitchen cabinet"
    size = (depth, length, height - 0.04)
    top = box("counter", (depth + 0.25, length + 0.1, 0.04), (-0.1, 0, height - 0.04))
    front = fronts(concept, rng, size, finish, columns=max(int(length / 0.5), 1), rows=[3.0, 1.0])
    return merge(
        [finish.on(box(concept, size)), front, draw_finish(rng, "tile", "stone", "wood").on(top)]
    )


def bar_counter(rng: Rng, length: float) -> Mesh:
    """Return a counter of a bar, a reception or a shop, centred on the origin."""
    depth, height = _between(rng, 0.55, 0.8), _between(rng, 0.95, 1.15)
    body = draw_finish(rng, "wood", "wall_paint", "brick").on(
        box("counter", (depth * 0.8, length, height - 0.05))
    )
    top = draw_finish(rng, "wood", "stone", "steel").on(
        box("counter", (depth, length + 0.05, 0.05), (0, 0, height - 0.05))
    )
    parts = [body, top]
    if rng.random() < 0.5:
        parts.append(
            SMALL_OBJECTS["cash register"](rng).moved(
                (0, _between(rng, -0.3, 0.3) * length, height), float(np.pi)
            )
        )
    for y in np.arange(-length / 2 + 0.3, length / 2 - 0.2, 0.5):
        if rng.random() < 0.4:
            name = str(rng.choice(["bottle", "plant", "box", "paper", "cup", "monitor"]))
            parts.append(
                SMALL_OBJECTS[name](rng).moved((0, float(y), height), float(rng.uniform(0, 6)))
            )
    return merge(parts)


def trash_can_pedal(rng: Rng) -> Mesh:
    """Return a pedal bin of a kitchen."""
    return plain_finish("chrome", (0.5, 0.5, 0.5)).on(
        turned("trash bin", [(0.13, 0), (0.13, 0.55), (0.1, 0.62), (0.01, 0.63)], 14)
    )
