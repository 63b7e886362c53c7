"""Water, bridges and large structures of scenes that are seen from the air."""

from types import MappingProxyType

import numpy as np
import pytest

pytest.importorskip("embreex")

from weights.recipe.simulate import large_structures, town_scene
from weights.recipe.simulate.aerial_scans import aerial_scan, with_water_returns
from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.waters import draw_water

WATER, BRIDGE = concept_index("water"), concept_index("bridge")


@pytest.mark.parametrize("kind", ["lake", "ponds", "shore", "river", "canal"])
def test_water_lies_below_the_land_at_its_shore(kind: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        water = draw_water(rng, kind, 80.0, lambda s, t: 0.05 * s + 0.02 * t)
        grid = np.linspace(-80, 80, 161)
        s, t = np.meshgrid(grid, grid)
        distance = water.distance(s, t)
        assert np.isfinite(distance).all()
        # The land rises from the shore, just above the water, to what it is without water.
        land = np.full(3, water.level_m + 5.0)
        bank = water.bank_height(np.array([0.0, water.bank_m / 2, water.bank_m]), land)
        assert bank[0] == pytest.approx(water.level_m + water.edge_m)
        assert (np.diff(bank) > 0).all() and bank[2] == pytest.approx(land[2])


def test_roads_cross_water_on_bridges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(town_scene, "_WATERS", MappingProxyType({"river": 1.0}))
    bridges = 0
    for seed in range(6):
        scene = town_scene.draw_town(np.random.default_rng(seed), "suburb", 60.0)
        surface = scene.triangles[scene.label == WATER]
        if not len(surface):
            continue
        # Pools in gardens are water, too.
        level = float(np.median(surface[..., 2]))
        assert np.mean(np.abs(surface[..., 2] - level).max(axis=1) < 1e-3) > 0.95
        decks = scene.triangles[scene.label == BRIDGE]
        bridges += len(decks) > 0
        if len(decks):
            assert np.median(decks[..., 2]) > level
    assert bridges >= 2


def test_only_points_on_water_are_lost() -> None:
    count = 4000
    label = np.where(np.arange(count) % 2, WATER, concept_index("grass")).astype(np.uint16)
    xyz = np.random.default_rng(0).uniform(0, 100, (count, 3)).astype(np.float32)
    ones = np.ones(count, dtype=np.float32)
    up = np.tile(np.array([0, 0, 1], np.float32), (count, 1))
    material, color = np.zeros(count, np.uint8), np.zeros((count, 3), np.uint8)
    capture = Capture(xyz, label, 500 * ones, 0.99 * ones, up, material, color, ones)
    shares = []
    for seed in range(40):
        kept = with_water_returns(capture, np.random.default_rng(seed))
        assert (kept.label != WATER).sum() == count // 2
        assert kept.share.min() > 0 and kept.share.max() <= 1
        shares.append((kept.label == WATER).mean())
    assert min(shares) == 0 and max(shares) > 0.3


@pytest.mark.parametrize(
    ("make", "concept"),
    [
        (large_structures.silo, "silo"),
        (large_structures.barn, "barn"),
        (large_structures.wind_turbine, "wind turbine"),
        (large_structures.water_tower, "water tower"),
        (large_structures.tower_crane, "crane"),
        (large_structures.container_yard, "shipping container"),
        (large_structures.farm, "barn"),
    ],
)
def test_large_structures_are_what_they_are_named(make: object, concept: str) -> None:
    for seed in range(4):
        mesh = make(np.random.default_rng(seed))  # type: ignore[operator]
        assert concept_index(concept) in mesh.label
        assert np.isfinite(mesh.triangles).all() and mesh.triangles[..., 2].max() > 1.5


def test_the_seed_decides_a_scan_with_water(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(town_scene, "_WATERS", MappingProxyType({"lake": 1.0}))
    first, again = (aerial_scan(np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first.xyz, again.xyz) and np.array_equal(first.label, again.label)
    assert len(first.xyz) > 10_000
