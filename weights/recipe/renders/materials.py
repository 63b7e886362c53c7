"""Materials of rendered surfaces: functions that color surface points, by their concept.

Every material returns (n, 3) float32 linear colors in 0…1. Its variants, such as brick or plaster,
are drawn from the random numbers of the point's object, so an object looks the same everywhere.
"""

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.recipe.renders import textures
from weights.recipe.renders.surfaces import SurfacePoints
from weights.recipe.simulate.concepts import coarse_labels, concept_index, concept_names
from weights.recipe.simulate.ground_plan import GroundPlan
from weights.recipe.simulate.materials import palettes
from weights.recipe.simulate.primitives import F32

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Material = Callable[[SurfacePoints, GroundPlan], F32]


def albedo(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return (n, 3) the share of red, green and blue light that surface points reflect."""
    material_of_point = np.array(_material_of_concept())[points.concept]
    color = np.zeros((len(points), 3), dtype=np.float32)
    for name, material in _MATERIALS.items():
        has_material = material_of_point == name
        if has_material.any():
            color[has_material] = material(points[has_material], plan)
    return np.clip(color, 0.005, 0.95)


@lru_cache(maxsize=1)
def material_tables() -> Mapping[str, Any]:
    """Return the contents of ``materials.toml``."""
    text = Path(__file__).with_name("materials.toml").read_text(encoding="utf-8")
    tables: Mapping[str, Any] = tomllib.loads(text)
    return tables


@lru_cache(maxsize=1)
def _material_of_concept() -> tuple[str, ...]:
    rows = material_tables()["materials"]
    material = {concept: name for name, concepts in rows.items() for concept in concepts}
    names = concept_names()
    wholes = [names[label] for label in coarse_labels()]
    return tuple(
        material.get(name, material.get(whole, "other"))
        for name, whole in zip(names, wholes, strict=True)
    )


def palette_color(name: str, random: F32, tint: F32 | float = 0.5) -> F32:
    """Return (n, 3) colors of a palette.

    Args:
        name: a key of the palettes in the simulator's ``materials.toml``.
        random: (n,) in 0…1, chooses the color.
        tint: (n,) in 0…1, from darker to lighter by a quarter.
    """
    palette = palettes()[name]
    row = np.minimum((random * len(palette)).astype(np.int64), len(palette) - 1)
    return np.asarray(palette[row] * (0.75 + 0.5 * np.asarray(tint, np.float32))[..., None])


def scaled(color: F32, factor: F32) -> F32:
    """Return (n, 3) colors, each multiplied by its (n,) factor."""
    return np.asarray(color * factor[:, None])


def replaced(color: F32, where: NDArray[np.bool_], other: F32 | float) -> F32:
    """Return (n, 3) colors with ``other`` where the (n,) mask is True."""
    return np.asarray(np.where(where[:, None], other, color), dtype=np.float32)


def _asphalt(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return asphalt with speckles, cracks and worn white lines."""
    color = palette_color("asphalt", points.random[:, 0], points.random[:, 1])
    brightness = (
        0.75
        + 0.35 * textures.fractal_noise(points.xyz, 3.0)
        + 0.15 * textures.noise(points.xyz, 0.4)
    )
    speckle = (textures.grain(points.xyz, 0.06) - 0.5) * 0.5 * points.resolution(0.06)
    crack = np.abs(textures.noise(points.xyz, 1.7) - 0.5) < 0.006 * points.random[:, 2]
    color = replaced(scaled(color, brightness + speckle), crack, 0.09)
    worn = textures.noise(points.xyz, 0.25) < 0.85
    return replaced(color, _is_line(points, plan) & worn, 0.62)


def _is_line(points: SurfacePoints, plan: GroundPlan) -> NDArray[np.bool_]:
    """Return (n,) where lines are: edge and lane lines, zebra crossings, and parking spaces."""
    s, t = points.plan[:, 0], points.plan[:, 1]
    line = (np.abs(np.abs(t) - plan.half_width + 0.25) < 0.08) & (points.random[:, 3] < 0.6)
    lanes = max(int(plan.half_width / 3.3), 1)
    for lane in range(lanes):
        dashed = np.mod(s, 9.0) < 3.5
        line |= (np.abs(np.abs(t) - lane * plan.half_width / lanes) < 0.09) & dashed
    for center, half in plan.crossings:
        distance = np.abs(s - center) - half
        zebra = (
            (distance > 2)
            & (distance < 5)
            & textures.stripes(t, 1.1)
            & (np.abs(t) < plan.half_width)
        )
        line = (line & (distance > 1)) | zebra
    bays = np.mod(s, 2.6) < 0.12
    return np.where(points.concept == concept_index("parking"), bays, line)


def _paving(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return paving slabs of 0.6 or 1.2 m; curbs are plain."""
    size = np.where(points.random[:, 1] < 0.5, np.float32(0.6), np.float32(1.2))
    in_joint, slab = textures.masonry(
        points.plan[:, 0] / size, points.plan[:, 1] / size, (1.0, 1.0), joint=0.09, shift=0.0
    )
    color = palette_color("paving", points.random[:, 4], points.random[:, 5])
    brightness = 0.8 + 0.3 * textures.fractal_noise(points.xyz, 1.5)
    detail = points.resolution(0.5)
    color = scaled(
        color, brightness * (1 + (slab - 0.5) * 0.5 * detail) * (1 - 0.45 * in_joint * detail)
    )
    return replaced(color, points.concept == concept_index("curb"), 0.42 * brightness[:, None])


def _grass(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return grass with blades, clumps and dry areas."""
    color = palette_color("grass", points.random[:, 6], textures.fractal_noise(points.xyz, 4.0))
    dry = np.clip(textures.fractal_noise(points.xyz, 6.0) * 3 - 1.6, 0, 1)
    color = color + dry[:, None] * np.array([0.10, 0.03, 0.02], dtype=np.float32)
    blade = (textures.grain(points.xyz, 0.05) - 0.5) * (0.3 + 0.9 * points.resolution(0.05))
    clump = (textures.noise(points.xyz, 0.3) - 0.5) * 0.8
    return scaled(color, np.clip(1 + blade + clump, 0.2, 2))


def _bare_ground(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return soil with pale stones."""
    color = palette_color(
        "bare_ground", points.random[:, 7], textures.fractal_noise(points.xyz, 2.0)
    )
    stone = textures.grain(points.xyz, 0.08)
    is_pale = (stone > 0.85) & (points.resolution(0.08) > 0.3)
    return replaced(scaled(color, 0.7 + 0.6 * textures.noise(points.xyz, 0.35)), is_pale, 0.4)


def _wall_or_roof(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return a building of brick, plaster, plates or siding, with windows and a tiled roof."""
    random, along, up = points.random, points.along, points.xyz[:, 2]
    brick_joint, brick_random = textures.masonry(along, up, (0.5, 0.22), joint=0.14)
    plate_joint, plate_random = textures.masonry(along, up, (3.0, 1.5), joint=0.03, shift=0.0)
    detail = points.resolution(0.22)
    bricks = scaled(
        palette_color("brick", random[:, 1], random[:, 2]),
        (1 + (brick_random - 0.5) * 0.7 * detail) * (1 + 0.5 * brick_joint * detail),
    )
    stains = 0.75 + 0.4 * textures.fractal_noise(
        points.xyz * np.array([1, 1, 0.3], np.float32), 2.5
    )
    plaster = scaled(palette_color("plaster", random[:, 1], random[:, 2]), stains)
    plates = scaled(plaster, (0.9 + 0.2 * plate_random) * (1 - 0.5 * plate_joint))
    board = 1 - 0.4 * (np.mod(up, 0.24) < 0.05) * points.resolution(0.2)
    siding = scaled(palette_color("siding", random[:, 1], random[:, 2]), board)
    style = random[:, 0:1]
    wall = np.where(style < 0.4, bricks, np.where(style < 0.7, plaster, plates))
    wall = np.where(style > 0.85, siding, wall)
    is_roof = (points.normal[:, 2] > 0.3) & (points.above > 1.5)
    wall = replaced(wall, is_roof, _roof_color(points))
    is_window = points.is_pane & ~is_roof
    return replaced(wall, is_window, _window_color(points))


def _roof_color(points: SurfacePoints) -> F32:
    in_joint, tile_random = textures.masonry(
        points.along, points.xyz[:, 2], (0.4, 0.25), joint=0.25
    )
    detail = points.resolution(0.3)
    rows = (1 + (tile_random - 0.5) * 0.5 * detail) * (1 - 0.4 * in_joint * detail)
    return scaled(palette_color("roof", points.random[:, 3], points.random[:, 4]), rows)


def _window_color(points: SurfacePoints) -> F32:
    """Return window panes that reflect the sky, some with curtains, and their bars."""
    along, up = points.along, points.xyz[:, 2]
    room_random = textures.lattice_random(
        np.floor(along / 1.9).astype(np.int64), np.floor(up / 2.9).astype(np.int64), 5
    )
    glass = palette_color("glass", points.random[:, 5], room_random)
    reflection = np.clip(textures.noise(points.xyz, 1.2) * 0.5 - 0.1, 0, 1)[:, None]
    glass = glass + reflection * np.array([0.25, 0.32, 0.4], dtype=np.float32)
    glass = replaced(glass, room_random > 0.75, np.array([0.35, 0.32, 0.26], dtype=np.float32))
    is_bar = (np.mod(along, 0.62) < 0.07) | (np.mod(up, 0.9) < 0.06)
    return replaced(glass, is_bar & (points.random[:, 6] < 0.7), 0.55)


def _tree_crown(points: SurfacePoints, plan: GroundPlan) -> F32:
    return _foliage(points, "tree_crown", 1.3)


def _bush(points: SurfacePoints, plan: GroundPlan) -> F32:
    color = _foliage(points, "bush", 1.5)
    bloom = (textures.grain(points.xyz, 0.07) > 0.93) & (points.random[:, 5] < 0.25)
    return replaced(
        color, bloom & (points.resolution(0.07) > 0.2), np.array([0.5, 0.2, 0.3], np.float32)
    )


def _foliage(points: SurfacePoints, name: str, contrast: float) -> F32:
    """Return leaves of a palette, darker at the bottom, that differ with ``contrast``."""
    # A random number per leaf, which is one triangle.
    leaf_random = textures.lattice_random(
        points.triangle, points.triangle // 64, points.triangle // 4096
    )
    shade = 0.45 + 0.75 * np.clip(
        points.above / np.maximum(points.high[:, 2] - points.low[:, 2], 0.3), 0, 1
    )
    color = palette_color(name, points.random[:, 1], points.random[:, 2])
    warm = np.stack([leaf_random * 0.05, leaf_random * 0.03, leaf_random * 0], axis=1).astype(
        np.float32
    )
    return scaled(color + warm, shade * np.exp((leaf_random - 0.5) * contrast))


def _trunk(points: SurfacePoints, plan: GroundPlan) -> F32:
    streak = textures.noise(points.xyz * np.array([1, 1, 0.15], np.float32), 0.08)
    return scaled(palette_color("trunk", points.random[:, 3], points.random[:, 4]), 0.5 + streak)


def _car(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return glossy paint with joints, windows, lamps and tires."""
    color = palette_color("paint", points.random[:, 1], points.random[:, 2])
    shine = np.clip(points.normal[:, 2], 0, 1)[:, None] ** 2 * np.float32(0.22)
    color = color * (1 - 0.15 * np.abs(points.normal[:, 1:2])) + shine
    height = np.maximum(points.high[:, 2] - points.low[:, 2], 0.5)
    in_joint = (np.mod(points.along, 1.1) < 0.03) & (points.above < 0.6 * height)
    color = replaced(color, in_joint & (points.resolution(0.04) > 0), 0.02)
    color = replaced(color, points.is_pane, _glazing(points))
    return replaced(
        color,
        (points.above < 0.21 * height) | _is_lamp(points, height),
        _tires_or_lamps(points, height),
    )


def _glazing(points: SurfacePoints) -> F32:
    """Return dark vehicle windows that reflect the sky."""
    reflection = np.clip(points.normal[:, 2] * 0.5 + textures.noise(points.xyz, 0.5) * 0.25, 0, 1)
    sky = np.array([0.22, 0.27, 0.33], dtype=np.float32)
    return np.asarray(np.float32(0.025) + reflection[:, None] * sky * 0.5)


def _is_lamp(points: SurfacePoints, height: F32) -> NDArray[np.bool_]:
    """Return (n,) where lamps are: near the ends of the bounding box, at 46 % of its height."""
    middle, half = (points.low + points.high) / 2, (points.high - points.low) / 2
    offset = np.abs(points.xyz - middle)[:, :2]
    at_end = (offset[:, 0] > 0.93 * half[:, 0]) & (offset[:, 1] > 0.45 * half[:, 1])
    return np.asarray(at_end & (np.abs(points.above / height - 0.46) < 0.05))


def _tires_or_lamps(points: SurfacePoints, height: F32) -> F32:
    """Return the color of tires and sills low down, and of red or white lamps above."""
    is_low = (points.above < 0.21 * height)[:, None]
    is_rear = (points.xyz[:, 0] < (points.low + points.high)[:, 0] / 2)[:, None]
    lamp = np.where(is_rear, np.array([0.5, 0.02, 0.02]), np.array([0.8, 0.8, 0.7]))
    return np.asarray(np.where(is_low, 0.025, lamp), dtype=np.float32)


def _truck(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return paint with lettering and ribs, and vehicle windows."""
    color = palette_color("truck", points.random[:, 1], points.random[:, 2])
    height = np.maximum(points.high[:, 2] - points.low[:, 2], 1.0)
    level = points.above / height
    in_band = (np.abs(level - 0.55) < 0.09) & (points.random[:, 3] < 0.7)
    letter = textures.lattice_random(
        np.floor(points.along / 0.35).astype(np.int64), points.triangle * 0, 3
    )
    color = replaced(color, in_band & (letter > 0.35), palette_color("truck", points.random[:, 4]))
    rib = (np.mod(points.along, 0.45) < 0.06) & (points.random[:, 5] < 0.6)
    color = scaled(color, 1 - 0.35 * rib * points.resolution(0.1))
    color = replaced(color, points.is_pane, _glazing(points))
    return replaced(color, level < 0.2, 0.03)


def _person(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return shirt, trousers, skin, hair and shoes by height."""
    # People of a group are one object, so the person's number comes from the position.
    person_random = textures.lattice_random(
        np.floor(points.xyz[:, 0] / 0.7).astype(np.int64),
        np.floor(points.xyz[:, 1] / 0.7).astype(np.int64),
        9,
    )
    level = points.above / np.maximum(points.high[:, 2] - points.low[:, 2], 0.8)
    shirt_random = np.mod(person_random + points.random[:, 1], 1)
    shirt = palette_color("shirt", shirt_random, points.random[:, 2])
    striped = textures.stripes(points.xyz[:, 2], 0.14) & (points.random[:, 3] < 0.35)
    shirt = replaced(shirt, striped, palette_color("shirt", points.random[:, 4]))
    legs = palette_color("trousers", np.mod(shirt_random * 3.7, 1), points.random[:, 5])
    head = palette_color("skin", points.random[:, 6])
    color = replaced(shirt, level < 0.5, legs)
    color = replaced(color, level > 0.86, head)
    return replaced(color, (level > 0.955) | (level < 0.05), 0.04)


def _post(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return a streaky post, at times with bright bands."""
    color = palette_color("post", points.random[:, 1], points.random[:, 2])
    in_band = (np.mod(points.above, 1.3) < 0.12) & (points.random[:, 3] < 0.3)
    streak = 0.75 + 0.5 * textures.noise(points.xyz * np.array([1, 1, 0.1], np.float32), 0.06)
    return replaced(scaled(color, streak), in_band, 0.6)


def _fence(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return boards with grain and gaps."""
    color = palette_color("fence", points.random[:, 1], points.random[:, 2])
    board_random = textures.lattice_random(
        np.floor(points.along / 0.18).astype(np.int64), points.triangle * 0, 2
    )
    grain = textures.noise(points.xyz * np.array([1, 1, 0.12], np.float32), 0.05)
    in_gap = (np.mod(points.along, 0.18) < 0.03) * points.resolution(0.1)
    return scaled(color, (0.65 + 0.4 * board_random + 0.3 * grain) * (1 - 0.6 * in_gap))


def _sign(points: SurfacePoints, plan: GroundPlan) -> F32:
    """Return a plate, mostly with a white disc, and with a dark symbol."""
    color = palette_color("sign", points.random[:, 1], points.random[:, 2])
    middle = (points.low + points.high) / 2
    height = points.high[:, 2] - 0.35
    distance = np.hypot(
        np.hypot(points.xyz[:, 0] - middle[:, 0], points.xyz[:, 1] - middle[:, 1]),
        points.xyz[:, 2] - height,
    )
    color = replaced(color, (distance < 0.24) & (points.random[:, 3] < 0.6), 0.75)
    return replaced(color, (distance < 0.12) & (textures.grain(points.xyz, 0.07) > 0.5), 0.05)


def _other(points: SurfacePoints, plan: GroundPlan) -> F32:
    color = palette_color("other", points.random[:, 1], points.random[:, 2])
    return scaled(color, 0.8 + 0.4 * textures.noise(points.xyz, 0.2))


_MATERIALS: Mapping[str, Material] = MappingProxyType(
    {
        "asphalt": _asphalt,
        "paving": _paving,
        "grass": _grass,
        "bare_ground": _bare_ground,
        "building": _wall_or_roof,
        "tree_crown": _tree_crown,
        "bush": _bush,
        "trunk": _trunk,
        "car": _car,
        "truck": _truck,
        "person": _person,
        "post": _post,
        "fence": _fence,
        "sign": _sign,
        "other": _other,
    }
)
