"""Simulated rooms: labels by construction, panes, fusion of depth images, and all scanners."""

import numpy as np
import pytest

pytest.importorskip("embreex")

from weights.recipe.simulate.bathroom import bathtub, sink, toilet
from weights.recipe.simulate.beds import bed, bunk_bed
from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.depth_fusion import FusionOptions, Measured, fuse
from weights.recipe.simulate.floor_plan import draw_floor_plan, room_kinds
from weights.recipe.simulate.indoor_scans import SENSORS, indoor_scan
from weights.recipe.simulate.kitchen import refrigerator
from weights.recipe.simulate.openings import Opening, door, window
from weights.recipe.simulate.pieces import read_pieces
from weights.recipe.simulate.primitives import box_between, merge
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.room_scene import draw_rooms
from weights.recipe.simulate.wall_objects import mirror, picture, whiteboard

SEEDS = range(12)


def _names(labels: np.ndarray) -> set[str]:
    return {concept_names()[int(label)] for label in np.unique(labels)}


@pytest.mark.parametrize(
    ("generator", "concepts", "others"),
    [
        (bed, {"bed"}, {"pillow", "blanket"}),
        (bunk_bed, {"bunk bed"}, {"pillow", "blanket"}),
        (toilet, {"toilet"}, {"toilet paper", "toilet brush"}),
        (
            bathtub,
            {"bathtub"},
            {"faucet", "soap bottle", "shower head", "shower curtain", "shower"},
        ),
        (refrigerator, {"refrigerator"}, {"box"}),
        (picture, {"picture"}, set()),
        (mirror, {"mirror"}, set()),
        (whiteboard, {"whiteboard", "blackboard"}, set()),
    ],
)
def test_pieces_consist_of_what_they_are_named(generator, concepts, others) -> None:
    for seed in SEEDS:
        mesh = generator(np.random.default_rng(seed))
        names = _names(mesh.label)
        assert len(names & concepts) == 1 and names <= concepts | others
        extent = np.ptp(mesh.triangles.reshape(-1, 3), axis=0)
        assert np.isfinite(mesh.triangles).all() and extent.max() < 4.2


def test_shapes_of_a_piece_differ_by_seed() -> None:
    corners = [sink(np.random.default_rng(seed)).triangles.reshape(-1, 3) for seed in SEEDS]
    assert len({np.ptp(xyz, axis=0).round(3).tobytes() for xyz in corners}) == len(SEEDS)


def test_rays_meet_frames_of_windows_and_mostly_pass_their_panes() -> None:
    opening = Opening(0, 0.0, 1.6, 0.9, 2.1, "window")
    behind = box_between("building", (-9, -9.2, -9), (9, -9, 9))
    start = np.random.default_rng(0).uniform((0, 1, 0.9), (1.6, 1, 2.1), (4000, 3))
    way = np.tile(np.array([[0, -1, 0]], dtype=np.float32), (4000, 1))
    passed = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        caster = RayCaster(merge([window(opening, rng), behind]))
        hits = caster.cast(start.astype(np.float32), way, rng)
        assert "window" in _names(hits.label)
        passed.append((hits.label == concept_index("building")).mean())
    assert max(passed) > 0.5 and min(passed) < 0.9


def test_doors_stay_in_their_opening_or_swing_into_the_room() -> None:
    opening = Opening(0, 0.0, 0.9, 0.0, 2.05, "door")
    for seed in SEEDS:
        corners = door(opening, np.random.default_rng(seed)).triangles.reshape(-1, 3)
        assert corners[:, 2].max() < 2.3 and corners[:, 2].min() > -0.05
        assert np.abs(corners[:, 1]).max() < 1.1


def test_rooms_of_a_plan_do_not_overlap() -> None:
    for seed in SEEDS:
        plan = draw_floor_plan(np.random.default_rng(seed), 2.5)
        floors = np.array([room.floor for room in plan])
        assert {room.kind for room in plan} <= set(room_kinds())
        for i, (a0, a1, b0, b1) in enumerate(floors):
            for c0, c1, d0, d1 in floors[i + 1 :]:
                overlap = min(a1, c1) - max(a0, c0), min(b1, d1) - max(b0, d0)
                assert min(overlap) < 0.02


def test_rooms_have_floors_walls_doors_and_furniture() -> None:
    for seed in range(4):
        scene = draw_rooms(np.random.default_rng(seed), read_pieces(None), ceiling=True)
        names = _names(scene.mesh.label)
        assert {"floor", "indoor wall", "ceiling"} <= names
        assert len(names) >= 6
        assert scene.mesh.triangles[..., 2].max() < scene.height + 40


def _pixels_of_a_step(noise_m: float, rng: np.random.Generator) -> Measured:
    """Return pixels of a floor at z = 0 and a table at z = 0.7, seen from above."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 240)] * 2), axis=-1).reshape(-1, 2)
    on_table = np.abs(grid).max(axis=1) < 0.5
    points = np.column_stack([grid, np.where(on_table, 0.7, 0.0)])
    origin = np.tile([0.0, 0.0, 2.5], (len(points), 1))
    way = points - origin
    range_m = np.linalg.norm(way, axis=1)
    label = np.where(on_table, concept_index("table"), concept_index("floor"))
    return Measured(
        origin.astype(np.float32),
        (way / range_m[:, None]).astype(np.float32),
        (range_m + rng.normal(0, noise_m, len(points))).astype(np.float32),
        range_m.astype(np.float32),
        label.astype(np.uint16),
        np.where(on_table[:, None], [200, 10, 10], [10, 10, 200]).astype(np.float32),
    )


def test_fusion_averages_noise_and_keeps_labels_and_colours() -> None:
    rng = np.random.default_rng(0)
    options = FusionOptions(0.02, 0.06, 0.1, 0.03, 0.3, 0.0, 20)
    xyz, label, rgb = fuse(_pixels_of_a_step(0.01, rng), options, rng)
    inner = np.abs(xyz[:, :2]).max(axis=1) < 0.4
    assert inner.sum() > 200
    assert np.std(xyz[inner, 2]) < 0.006
    assert np.median(xyz[inner, 2]) == pytest.approx(0.7, abs=0.01)
    assert (label[inner] == concept_index("table")).mean() > 0.99
    assert rgb[inner].mean(axis=0) == pytest.approx([200, 10, 10], abs=5)


def test_fusion_spaces_vertices_like_voxels_and_drops_small_patches() -> None:
    rng = np.random.default_rng(1)
    measured = _pixels_of_a_step(0.0, rng)
    options = FusionOptions(0.02, 0.06, 0.1, 0.04, 0.0, 0.0, 4)
    coarse, _, _ = fuse(measured, options, rng)
    fine, _, _ = fuse(measured, FusionOptions(0.02, 0.06, 0.1, 0.0, 0.0, 0.0, 4), rng)
    assert len(coarse) < 0.5 * len(fine)
    none, _, _ = fuse(measured, FusionOptions(0.02, 0.06, 0.1, 0.04, 0.0, 0.0, 10**6), rng)
    assert len(none) == 0


@pytest.mark.slow
@pytest.mark.parametrize("sensor", list(SENSORS))
def test_every_scanner_gives_a_scan_that_its_seed_decides(sensor: str) -> None:
    first, again = (indoor_scan(np.random.default_rng(21), None, sensor) for _ in range(2))
    assert np.array_equal(first.xyz, again.xyz) and np.array_equal(first.label, again.label)
    assert len(first.xyz) > 2000 and np.isfinite(first.xyz).all()
    assert len(first.label) == len(first.xyz) and len(_names(first.label)) >= 4
    if first.rgb is not None:
        assert first.rgb.dtype == np.uint8 and first.rgb.shape == first.xyz.shape
    if first.intensity is not None:
        assert first.intensity.min() >= 0 and first.intensity.max() <= 1
