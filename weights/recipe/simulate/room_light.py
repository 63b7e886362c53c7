"""Light and textures of rooms: what colour a camera would see at a point, before its exposure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.materials import linear_of_srgb, material_index, material_table
from weights.recipe.simulate.primitives import F32, Rng
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.room_scene import RoomScene

# Light is computed once per cube of this size and direction of the surface.
_CELL_M = 0.07
_SKY_RAYS = 6


@dataclass(frozen=True, slots=True)
class RoomLight:
    """Lamps, windows and ambient light of a scene.

    Attributes:
        positions: (L, 3) of lamps and windows in metres.
        colors: (L, 3) linear light at 1 m.
        ambient: (3,) light from all sides.
        texture: parameters of `textured_albedo`.
    """

    positions: F32
    colors: F32
    ambient: F32
    texture: "Texture"

    def seen(self, capture: Capture, caster: RayCaster, rng: Rng) -> F32:
        """Return (P, 3) linear light that points send towards the camera.

        Args:
            capture: P points.
            caster: the scene, for shadows.
            rng: draws the grain of surfaces.
        """
        cell = np.floor(capture.xyz / _CELL_M).astype(np.int64)
        side = np.argmax(np.abs(capture.normal), axis=1)
        facing = side * 2 + (np.take_along_axis(capture.normal, side[:, None], axis=1)[:, 0] > 0)
        low = cell - cell.min(axis=0)
        extent = low.max(axis=0) + 1
        key = ((low[:, 0] * extent[1] + low[:, 1]) * extent[2] + low[:, 2]) * 6 + facing
        _, first, of_point = np.unique(key, return_index=True, return_inverse=True)
        light = self._irradiance(capture[first], caster, rng)
        return textured_albedo(capture, self.texture, rng) * light[of_point]

    def _irradiance(self, capture: Capture, caster: RayCaster, rng: Rng) -> F32:
        """Return (P, 3) the light that falls on points, with shadows and dark corners."""
        start = (capture.xyz + capture.normal * np.float32(0.03)).astype(np.float32)
        light = np.zeros((len(start), 3), dtype=np.float32)
        # Ambient light comes from where nothing is near: the share of free directions.
        free = np.zeros(len(start), dtype=np.float32)
        for _ in range(_SKY_RAYS):
            way = rng.normal(size=(len(start), 3)).astype(np.float32)
            way /= np.linalg.norm(way, axis=1, keepdims=True)
            way = way + capture.normal * np.float32(1.02)
            way /= np.linalg.norm(way, axis=1, keepdims=True)
            triangle, range_m, _ = caster.first_hit(start, way)
            free += np.where(triangle < 0, 1.0, np.minimum(range_m / 0.9, 1.0))
        light += self.ambient * (0.25 + 0.75 * free / _SKY_RAYS)[:, None]
        for position, color in zip(self.positions, self.colors, strict=True):
            way = position - start
            distance = np.linalg.norm(way, axis=1)
            way = way / np.maximum(distance, 1e-3)[:, None]
            cosine = np.einsum("ij,ij->i", way, capture.normal)
            lit = np.flatnonzero((cosine > 0) & (distance < 9))
            if not len(lit):
                continue
            triangle, range_m, _ = caster.first_hit(start[lit], way[lit].astype(np.float32))
            # Lamps have a body, which must not shade its own light.
            clear = (triangle < 0) | (range_m > distance[lit] - 0.35)
            lit = lit[clear]
            strength = cosine[lit] / np.maximum(distance[lit], 0.6) ** 2
            light[lit] += strength[:, None] * color
        return light


def draw_room_light(rng: Rng, scene: RoomScene) -> RoomLight:
    """Return random light of a scene: by day, by lamps, or both; warm or cold."""
    warmth = float(rng.uniform(0, 1))
    lamp_color = np.array([1.0, 1 - 0.2 * warmth, 1 - 0.5 * warmth])
    day_color = np.array([0.85, 0.95, 1.1])
    by_day = float(rng.choice([0.0, rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5)]))
    by_lamp = float(rng.uniform(0.5, 1.6)) if by_day == 0 or rng.random() < 0.6 else 0.0
    positions, colors = [], []
    if by_lamp:
        # Many lamps are as one: a few of them give all the light.
        chosen = rng.permutation(len(scene.lamps))[:5]
        share = 3.0 / max(len(chosen), 1) * max(1.0, len(scene.lamps) / 4)
        for number in chosen:
            positions.append(np.array(scene.lamps[int(number)]) - [0, 0, 0.15])
            colors.append(lamp_color * by_lamp * share * 0.6)
    if by_day:
        for number in rng.permutation(len(scene.windows))[:4]:
            x, y, z, direction = scene.windows[int(number)]
            inwards = np.array([np.cos(direction), np.sin(direction), 0.0])
            positions.append(np.array([x, y, z]) + inwards * 0.3)
            colors.append(day_color * by_day * 1.6)
    ambient = lamp_color * 0.25 * by_lamp + day_color * 0.25 * by_day + 0.12
    return RoomLight(
        np.asarray(positions, dtype=np.float32).reshape(-1, 3),
        np.asarray(colors, dtype=np.float32).reshape(-1, 3),
        np.asarray(ambient, dtype=np.float32),
        draw_texture(rng),
    )


@dataclass(frozen=True, slots=True)
class Texture:
    """Random parameters of surface patterns.

    Attributes:
        turn: direction of floor boards and tiles in radians.
        board_m: width and length of boards.
        tile_m: edge of tiles.
        contrast: how strongly boards, tiles and fibres differ, about 0…1.
        phase: random shift of noise.
    """

    turn: float
    board_m: tuple[float, float]
    tile_m: float
    contrast: float
    phase: F32


def draw_texture(rng: Rng) -> Texture:
    """Return random parameters of surface patterns."""
    return Texture(
        float(rng.choice([0.0, np.pi / 2, np.pi / 4])),
        (float(rng.uniform(0.06, 0.2)), float(rng.uniform(0.5, 2.0))),
        float(rng.choice([0.1, 0.15, 0.3, 0.45, 0.6])),
        float(rng.uniform(0.2, 1.0)),
        rng.uniform(0, 100, 3).astype(np.float32),
    )


def _hash01(*keys: NDArray[np.int64]) -> F32:
    """Return a random number in 0…1 of each tuple of integers."""
    mixed = np.zeros(keys[0].shape, dtype=np.uint64)
    for key, prime in zip(keys, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F), strict=False):
        mixed = (mixed ^ key.astype(np.uint64)) * np.uint64(prime)
        mixed ^= mixed >> np.uint64(15)
    return np.asarray((mixed & np.uint64(0xFFFFFF)) / 0xFFFFFF, dtype=np.float32)


def textured_albedo(capture: Capture, texture: Texture, rng: Rng) -> F32:
    """Return (P, 3) linear colours of surfaces with boards, tiles, grain and dirt.

    Args:
        capture: P points.
        texture: parameters of the patterns.
        rng: draws the grain of single points.
    """
    albedo = linear_of_srgb()[capture.color].astype(np.float32)
    table, xyz = material_table(), capture.xyz + texture.phase
    grain = rng.normal(0, 0.35, len(capture)) * table.grain[capture.material]
    change = grain + _waves(xyz, (0.25, 1.3), 0.05)
    is_flat = np.abs(capture.normal[:, 2]) > 0.7
    cos, sin = np.cos(texture.turn), np.sin(texture.turn)
    along = np.where(is_flat, cos * xyz[:, 0] + sin * xyz[:, 1], xyz[:, 0] + xyz[:, 1])
    across = np.where(is_flat, -sin * xyz[:, 0] + cos * xyz[:, 1], xyz[:, 2])
    wood = np.isin(capture.material, [material_index("parquet"), material_index("wood")])
    is_floor = capture.material == material_index("parquet")
    row = np.floor(across / texture.board_m[0]).astype(np.int64)
    column = np.floor(along / texture.board_m[1] + row * 0.37).astype(np.int64)
    board = (_hash01(row, column) - 0.5) * texture.contrast
    change = change + np.where(is_floor, board, 0)
    fibre = _hash01(
        np.floor(across / 0.012).astype(np.int64), np.floor(along / 0.25).astype(np.int64)
    )
    change = change + np.where(wood, (fibre - 0.5) * 0.25 * texture.contrast, 0)
    tiles = capture.material == material_index("tile")
    u, v = across / texture.tile_m, along / texture.tile_m
    joint = (np.mod(u, 1) < 0.012 / texture.tile_m) | (np.mod(v, 1) < 0.012 / texture.tile_m)
    tile = (_hash01(np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)) - 0.5) * 0.3
    change = change + np.where(tiles, np.where(joint, -0.6, tile * texture.contrast), 0)
    cloth = np.isin(
        capture.material,
        [material_index(name) for name in ("carpet", "upholstery", "linen", "curtain", "fabric")],
    )
    weave = _hash01(*(np.floor(xyz / 0.02).astype(np.int64).T))
    change = change + np.where(cloth, (weave - 0.5) * 0.35 * texture.contrast, 0)
    bricks = capture.material == material_index("brick")
    course = np.floor(xyz[:, 2] / 0.075).astype(np.int64)
    stone = np.floor(along / 0.22 + 0.5 * (course % 2)).astype(np.int64)
    change = change + np.where(bricks, (_hash01(course, stone) - 0.5) * 0.7, 0)
    return np.asarray(albedo * np.exp(np.clip(change, -1.5, 1.0))[:, None], dtype=np.float32)


def _waves(xyz: F32, sizes_m: tuple[float, ...], strength: float) -> F32:
    """Return (P,) smooth noise as a sum of waves in fixed directions."""
    total = np.zeros(len(xyz), dtype=np.float32)
    for number, size in enumerate(sizes_m):
        way = np.array([[1.0, 0.3, 0.5], [-0.4, 1.0, 0.7]])[number % 2] * 2 * np.pi / size
        total += np.sin(xyz @ way.astype(np.float32)) * np.float32(strength)
    return total
