"""What surfaces look like: paints that give every place its color, by what it is part of."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from weights.recipe.renders import patterns
from weights.recipe.renders.colors import color_of, looks, over, times
from weights.recipe.renders.spots import Spots
from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.layout import Plan
from weights.recipe.simulate.primitives import F32

Paint = Callable[[Spots, Plan], F32]


def _asphalt(spots: Spots, plan: Plan) -> F32:
    color = color_of("asphalt", spots.draws[:, 0], spots.draws[:, 1])
    rough = 0.75 + 0.35 * patterns.clouds(spots.xyz, 3.0) + 0.15 * patterns.noise(spots.xyz, 0.4)
    speck = (patterns.grain(spots.xyz, 0.06) - 0.5) * 0.5 * spots.fine(0.06)
    crack = np.abs(patterns.noise(spots.xyz, 1.7) - 0.5) < 0.006 * spots.draws[:, 2]
    color = over(times(color, rough + speck), crack, 0.09)
    worn = patterns.noise(spots.xyz, 0.25) < 0.85
    return over(color, _painted(spots, plan) & worn, 0.62)


def _painted(spots: Spots, plan: Plan) -> NDArray[np.bool_]:
    """Where lines are: at the edge, between lanes, at crossings, and between parking bays."""
    s, t = spots.plan[:, 0], spots.plan[:, 1]
    edge = (np.abs(np.abs(t) - plan.half_road + 0.25) < 0.08) & (spots.draws[:, 3] < 0.6)
    lanes = max(int(plan.half_road / 3.3), 1)
    for lane in range(lanes):
        dashed = np.mod(s, 9.0) < 3.5
        edge |= (np.abs(np.abs(t) - lane * plan.half_road / lanes) < 0.09) & dashed
    for at, half in plan.crossings:
        away = np.abs(s - at) - half
        zebra = (away > 2) & (away < 5) & patterns.stripes(t, 1.1) & (np.abs(t) < plan.half_road)
        edge = (edge & (away > 1)) | zebra
    bays = np.mod(s, 2.6) < 0.12
    return np.where(spots.concept == concept_index("parking"), bays, edge)


def _slabs(spots: Spots, plan: Plan) -> F32:
    size = np.where(spots.draws[:, 1] < 0.5, np.float32(0.6), np.float32(1.2))
    seam, stone = patterns.masonry(
        spots.plan[:, 0] / size, spots.plan[:, 1] / size, (1.0, 1.0), joint=0.09, shift=0.0
    )
    color = color_of("slabs", spots.draws[:, 4], spots.draws[:, 5])
    dirt = 0.8 + 0.3 * patterns.clouds(spots.xyz, 1.5)
    clear = spots.fine(0.5)
    color = times(color, dirt * (1 + (stone - 0.5) * 0.5 * clear) * (1 - 0.45 * seam * clear))
    return over(color, spots.concept == concept_index("curb"), 0.42 * dirt[:, None])


def _grass(spots: Spots, plan: Plan) -> F32:
    color = color_of("grass", spots.draws[:, 6], patterns.clouds(spots.xyz, 4.0))
    dry = np.clip(patterns.clouds(spots.xyz, 6.0) * 3 - 1.6, 0, 1)
    color = color + dry[:, None] * np.array([0.10, 0.03, 0.02], dtype=np.float32)
    blade = (patterns.grain(spots.xyz, 0.05) - 0.5) * (0.3 + 0.9 * spots.fine(0.05))
    clump = (patterns.noise(spots.xyz, 0.3) - 0.5) * 0.8
    return times(color, np.clip(1 + blade + clump, 0.2, 2))


def _soil(spots: Spots, plan: Plan) -> F32:
    color = color_of("soil", spots.draws[:, 7], patterns.clouds(spots.xyz, 2.0))
    stone = patterns.grain(spots.xyz, 0.08)
    pale = (stone > 0.85) & (spots.fine(0.08) > 0.3)
    return over(times(color, 0.7 + 0.6 * patterns.noise(spots.xyz, 0.35)), pale, 0.4)


def _house(spots: Spots, plan: Plan) -> F32:
    draws, along, up = spots.draws, spots.along, spots.xyz[:, 2]
    brick_seam, brick = patterns.masonry(along, up, (0.5, 0.22), joint=0.14)
    block_seam, block = patterns.masonry(along, up, (3.0, 1.5), joint=0.03, shift=0.0)
    near = spots.fine(0.22)
    bricks = times(
        color_of("brick", draws[:, 1], draws[:, 2]),
        (1 + (brick - 0.5) * 0.7 * near) * (1 + 0.5 * brick_seam * near),
    )
    stain = 0.75 + 0.4 * patterns.clouds(spots.xyz * np.array([1, 1, 0.3], np.float32), 2.5)
    plaster = times(color_of("plaster", draws[:, 1], draws[:, 2]), stain)
    plates = times(plaster, (0.9 + 0.2 * block) * (1 - 0.5 * block_seam))
    board = 1 - 0.4 * (np.mod(up, 0.24) < 0.05) * spots.fine(0.2)
    siding = times(color_of("siding", draws[:, 1], draws[:, 2]), board)
    kind = draws[:, 0:1]
    wall = np.where(kind < 0.4, bricks, np.where(kind < 0.7, plaster, plates))
    wall = np.where(kind > 0.85, siding, wall)
    top = (spots.normal[:, 2] > 0.3) & (spots.above > 1.5)
    wall = over(wall, top, _roof(spots))
    return over(wall, (spots.solid == np.float32(0.8)) & ~top, _window(spots))


def _roof(spots: Spots) -> F32:
    seam, tile = patterns.masonry(spots.along, spots.xyz[:, 2], (0.4, 0.25), joint=0.25)
    clear = spots.fine(0.3)
    rows = (1 + (tile - 0.5) * 0.5 * clear) * (1 - 0.4 * seam * clear)
    return times(color_of("roof", spots.draws[:, 3], spots.draws[:, 4]), rows)


def _window(spots: Spots) -> F32:
    """Panes that mirror the sky, some with curtains, and their bars."""
    along, up = spots.along, spots.xyz[:, 2]
    room = patterns.chance(
        np.floor(along / 1.9).astype(np.int64), np.floor(up / 2.9).astype(np.int64), 5
    )
    glass = color_of("glass", spots.draws[:, 5], room)
    mirror = np.clip(patterns.noise(spots.xyz, 1.2) * 0.5 - 0.1, 0, 1)[:, None]
    glass = glass + mirror * np.array([0.25, 0.32, 0.4], dtype=np.float32)
    glass = over(glass, room > 0.75, np.array([0.35, 0.32, 0.26], dtype=np.float32))
    bar = (np.mod(along, 0.62) < 0.07) | (np.mod(up, 0.9) < 0.06)
    return over(glass, bar & (spots.draws[:, 6] < 0.7), 0.55)


def _leaves(spots: Spots, plan: Plan) -> F32:
    return _foliage(spots, "leaves", 1.3)


def _bush(spots: Spots, plan: Plan) -> F32:
    color = _foliage(spots, "bush", 1.5)
    bloom = (patterns.grain(spots.xyz, 0.07) > 0.93) & (spots.draws[:, 5] < 0.25)
    return over(color, bloom & (spots.fine(0.07) > 0.2), np.array([0.5, 0.2, 0.3], np.float32))


def _foliage(spots: Spots, name: str, spread: float) -> F32:
    leaf = patterns.chance(spots.triangle, spots.triangle // 64, spots.triangle // 4096)
    depth = 0.45 + 0.75 * np.clip(
        spots.above / np.maximum(spots.high[:, 2] - spots.low[:, 2], 0.3), 0, 1
    )
    color = color_of(name, spots.draws[:, 1], spots.draws[:, 2])
    warm = np.stack([leaf * 0.05, leaf * 0.03, leaf * 0], axis=1).astype(np.float32)
    return times(color + warm, depth * np.exp((leaf - 0.5) * spread))


def _bark(spots: Spots, plan: Plan) -> F32:
    streak = patterns.noise(spots.xyz * np.array([1, 1, 0.15], np.float32), 0.08)
    return times(color_of("bark", spots.draws[:, 3], spots.draws[:, 4]), 0.5 + streak)


def _car(spots: Spots, plan: Plan) -> F32:
    color = color_of("paint", spots.draws[:, 1], spots.draws[:, 2])
    shine = np.clip(spots.normal[:, 2], 0, 1)[:, None] ** 2 * np.float32(0.22)
    color = color * (1 - 0.15 * np.abs(spots.normal[:, 1:2])) + shine
    tall = np.maximum(spots.high[:, 2] - spots.low[:, 2], 0.5)
    seam = (np.mod(spots.along, 1.1) < 0.03) & (spots.above < 0.6 * tall)
    color = over(color, seam & (spots.fine(0.04) > 0), 0.02)
    color = over(color, spots.solid < 1, _glazing(spots))
    return over(color, (spots.above < 0.21 * tall) | _lamps(spots, tall), _trim(spots, tall))


def _glazing(spots: Spots) -> F32:
    mirror = np.clip(spots.normal[:, 2] * 0.5 + patterns.noise(spots.xyz, 0.5) * 0.25, 0, 1)
    sky = np.array([0.22, 0.27, 0.33], dtype=np.float32)
    return np.asarray(np.float32(0.025) + mirror[:, None] * sky * 0.5)


def _lamps(spots: Spots, tall: F32) -> NDArray[np.bool_]:
    """Where lamps sit: near the ends of the box, at two fifths of its height."""
    middle, half = (spots.low + spots.high) / 2, (spots.high - spots.low) / 2
    off = np.abs(spots.xyz - middle)[:, :2]
    end = (off[:, 0] > 0.93 * half[:, 0]) & (off[:, 1] > 0.45 * half[:, 1])
    return np.asarray(end & (np.abs(spots.above / tall - 0.46) < 0.05))


def _trim(spots: Spots, tall: F32) -> F32:
    """Tyres and sills below, lamps above."""
    low = (spots.above < 0.21 * tall)[:, None]
    red = (spots.xyz[:, 0] < (spots.low + spots.high)[:, 0] / 2)[:, None]
    lamp = np.where(red, np.array([0.5, 0.02, 0.02]), np.array([0.8, 0.8, 0.7]))
    return np.asarray(np.where(low, 0.025, lamp), dtype=np.float32)


def _lorry(spots: Spots, plan: Plan) -> F32:
    color = color_of("lorry", spots.draws[:, 1], spots.draws[:, 2])
    tall = np.maximum(spots.high[:, 2] - spots.low[:, 2], 1.0)
    level = spots.above / tall
    band = (np.abs(level - 0.55) < 0.09) & (spots.draws[:, 3] < 0.7)
    sign = patterns.chance(np.floor(spots.along / 0.35).astype(np.int64), spots.triangle * 0, 3)
    color = over(color, band & (sign > 0.35), color_of("lorry", spots.draws[:, 4]))
    ribs = (np.mod(spots.along, 0.45) < 0.06) & (spots.draws[:, 5] < 0.6)
    color = times(color, 1 - 0.35 * ribs * spots.fine(0.1))
    color = over(color, spots.solid < 1, _glazing(spots))
    return over(color, level < 0.2, 0.03)


def _person(spots: Spots, plan: Plan) -> F32:
    who = patterns.chance(
        np.floor(spots.xyz[:, 0] / 0.7).astype(np.int64),
        np.floor(spots.xyz[:, 1] / 0.7).astype(np.int64),
        9,
    )
    level = spots.above / np.maximum(spots.high[:, 2] - spots.low[:, 2], 0.8)
    draw = np.mod(who + spots.draws[:, 1], 1)
    shirt = color_of("shirt", draw, spots.draws[:, 2])
    striped = patterns.stripes(spots.xyz[:, 2], 0.14) & (spots.draws[:, 3] < 0.35)
    shirt = over(shirt, striped, color_of("shirt", spots.draws[:, 4]))
    legs = color_of("trousers", np.mod(draw * 3.7, 1), spots.draws[:, 5])
    head = color_of("skin", spots.draws[:, 6])
    color = over(shirt, level < 0.5, legs)
    color = over(color, level > 0.86, head)
    return over(color, (level > 0.955) | (level < 0.05), 0.04)


def _post(spots: Spots, plan: Plan) -> F32:
    color = color_of("post", spots.draws[:, 1], spots.draws[:, 2])
    banded = (np.mod(spots.above, 1.3) < 0.12) & (spots.draws[:, 3] < 0.3)
    streak = 0.75 + 0.5 * patterns.noise(spots.xyz * np.array([1, 1, 0.1], np.float32), 0.06)
    return over(times(color, streak), banded, 0.6)


def _fence(spots: Spots, plan: Plan) -> F32:
    color = color_of("fence", spots.draws[:, 1], spots.draws[:, 2])
    board = patterns.chance(np.floor(spots.along / 0.18).astype(np.int64), spots.triangle * 0, 2)
    vein = patterns.noise(spots.xyz * np.array([1, 1, 0.12], np.float32), 0.05)
    gap = (np.mod(spots.along, 0.18) < 0.03) * spots.fine(0.1)
    return times(color, (0.65 + 0.4 * board + 0.3 * vein) * (1 - 0.6 * gap))


def _sign(spots: Spots, plan: Plan) -> F32:
    color = color_of("sign", spots.draws[:, 1], spots.draws[:, 2])
    middle = (spots.low + spots.high) / 2
    height = spots.high[:, 2] - 0.35
    off = np.hypot(
        np.hypot(spots.xyz[:, 0] - middle[:, 0], spots.xyz[:, 1] - middle[:, 1]),
        spots.xyz[:, 2] - height,
    )
    color = over(color, (off < 0.24) & (spots.draws[:, 3] < 0.6), 0.75)
    return over(color, (off < 0.12) & (patterns.grain(spots.xyz, 0.07) > 0.5), 0.05)


def _other(spots: Spots, plan: Plan) -> F32:
    color = color_of("other", spots.draws[:, 1], spots.draws[:, 2])
    return times(color, 0.8 + 0.4 * patterns.noise(spots.xyz, 0.2))


_PAINTS: Mapping[str, Paint] = MappingProxyType(
    {
        "asphalt": _asphalt,
        "slabs": _slabs,
        "grass": _grass,
        "soil": _soil,
        "house": _house,
        "leaves": _leaves,
        "bush": _bush,
        "bark": _bark,
        "car": _car,
        "lorry": _lorry,
        "person": _person,
        "post": _post,
        "fence": _fence,
        "sign": _sign,
        "other": _other,
    }
)


@lru_cache(maxsize=1)
def _paint_of_concept() -> tuple[str, ...]:
    rows = looks()["paints"]
    paint = {concept: name for name, concepts in rows.items() for concept in concepts}
    return tuple(paint.get(concept, "other") for concept in concept_names())


def albedo(spots: Spots, plan: Plan) -> F32:
    """(n, 3): the share of red, green and blue light that every place gives back."""
    table = np.array(_paint_of_concept())[spots.concept]
    color = np.zeros((len(spots), 3), dtype=np.float32)
    for name, paint in _PAINTS.items():
        mine = table == name
        if mine.any():
            color[mine] = paint(spots[mine], plan)
    return np.clip(color, 0.005, 0.95)
