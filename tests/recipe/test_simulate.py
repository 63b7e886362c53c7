"""The simulator: rays hit the right triangles, labels follow, and seeds decide everything."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex")

from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.ground_plan import GroundPlan, Strip, Terrain
from weights.recipe.simulate.lidar_models import beam_elevations
from weights.recipe.simulate.lidars import Lidar, Pose, scan_with_lidar
from weights.recipe.simulate.primitives import box, merge, quads, tube
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.scans import make_scan, write_scan

DOWN = np.array([[0.0, 0.0, -1.0]], dtype=np.float32)


def _plane(z: float, opacity: float = 1.0, concept: str = "road"):
    corners = [[(-500, -500, z), (500, -500, z), (500, 500, z), (-500, 500, z)]]
    return quads(concept, corners, opacity)


def _plan() -> GroundPlan:
    strips = (Strip(0.2, "curb", 0.15), Strip(2.0, "sidewalk", 0.15))
    flat = Terrain(np.zeros((1, 4)), (0.0, 0.0), 0.0)
    return GroundPlan(
        4.0, ((20.0, 3.0),), strips, strips, Strip(1e3, "grass", 0.1), (), (0, 1, 0), flat, (60, 40)
    )


def test_a_ray_meets_a_slanted_plane_where_geometry_says() -> None:
    way = np.array([[1.0, 0.0, -1.0]], dtype=np.float32) / np.sqrt(2).astype(np.float32)
    hits = RayCaster(_plane(-3.0)).cast(np.zeros((1, 3), np.float32), way, np.random.default_rng(0))
    assert hits.range_m == pytest.approx(3 * np.sqrt(2), abs=1e-4)
    assert hits.cosine == pytest.approx(np.sqrt(0.5), abs=1e-4)


def test_the_nearest_triangle_gives_the_label() -> None:
    scene = merge([_plane(0.0), box("car", (2, 2, 1.5)), box("truck", (1, 1, 1.0), (5, 0, 0))])
    start = np.array([[0, 0, 10], [5, 0, 10], [9, 0, 10]], dtype=np.float32)
    hits = RayCaster(scene).cast(start, np.repeat(DOWN, 3, axis=0), np.random.default_rng(0))
    names = {int(ray): concept_names()[c] for ray, c in zip(hits.ray, hits.label, strict=True)}
    assert names == {0: "car", 1: "truck", 2: "road"}
    assert np.sort(hits.range_m) == pytest.approx([8.5, 9.0, 10.0], abs=1e-3)


def test_rays_pass_transparent_triangles_and_stop_at_opaque_ones() -> None:
    scene = merge([_plane(5.0, 0.5, "tree crown"), _plane(0.0), _plane(-1.0, 1.0, "terrain")])
    start = np.tile(np.array([[0, 0, 10]], dtype=np.float32), (4000, 1))
    caster, rng = RayCaster(scene), np.random.default_rng(0)
    hits = caster.cast(start, np.repeat(DOWN, 4000, axis=0), rng, max_returns=3)
    counts = np.bincount(hits.label, minlength=256)
    assert counts[concept_index("tree crown")] == pytest.approx(2000, abs=150)
    assert counts[concept_index("road")] == 4000
    assert counts[concept_index("terrain")] == 0


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [("vlp16", -15, 15), ("hdl32", -30.67, 10.67), ("hdl64", -24.9, 2), ("pandar64", -25, 15)],
)
def test_beams_leave_at_their_elevation(model: str, low: float, high: float) -> None:
    beams = beam_elevations(model)
    assert (beams.min(), beams.max()) == pytest.approx((low, high), abs=1e-4)
    lidar = Lidar(model, beams, (0, 360), 2.0, 0.0, 1e4, 0.0)
    room = box("wall", (60, 60, 60), (0, 0, -30))
    capture = scan_with_lidar(
        RayCaster(room), lidar, Pose((0, 0, 0), 0, 0, 0), np.random.default_rng(0)
    )
    xyz = capture.xyz
    seen = np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    off = np.abs(seen[:, None] - beams[None, :]).min(axis=1)
    assert len(beams) == int("".join(c for c in model.split("_")[-1] if c.isdigit()))
    assert off.max() < 0.1


def test_a_pose_tilts_the_beams() -> None:
    lidar = Lidar("one", np.zeros(1, np.float32), (0, 1), 1.0, 0.0, 1e4, 0.0)
    wall = quads("wall", [[(10, -50, -50), (10, 50, -50), (10, 50, 50), (10, -50, 50)]])
    pose = Pose((0.0, 0.0, 2.0), 0.0, np.radians(10), 0.0)
    xyz = scan_with_lidar(RayCaster(wall), lidar, pose, np.random.default_rng(1)).xyz
    assert xyz[0, 0] == pytest.approx(10, abs=0.01)
    assert xyz[0, 2] == pytest.approx(2 - 10 * np.tan(np.radians(10)), abs=0.1)


def test_the_plan_names_road_curb_and_sidewalk_in_turn() -> None:
    s = np.array([-30.0, -30, -30, -30, 20])
    t = np.array([0.0, 4.1, 5.0, 20, 20])
    label, rise = _plan().surface_at(s, t)
    names = [concept_names()[c] for c in label]
    assert names == ["road", "curb", "sidewalk", "grass", "road"]
    assert rise[2] - rise[0] == pytest.approx(0.15 - 0.08, abs=1e-6)


def test_curbs_are_rounded_at_the_corners_of_a_crossing() -> None:
    # 1 m from both edges: inside the 5 m fillet, still road; 4.5 m from both: off it.
    away = _plan().road_distance(np.array([24.0, 27.5]), np.array([5.0, 8.5]))
    assert away == pytest.approx([5 - np.hypot(4, 4), 5 - np.hypot(0.5, 0.5)], abs=1e-6)


def test_objects_are_placed_on_the_ground_mesh() -> None:
    plan = _plan()
    start = np.array([[-12.3, 5.2, 9.0], [3.3, -1.0, 9.0]], dtype=np.float32)
    caster = RayCaster(plan.mesh(np.random.default_rng(0)))
    hits = caster.cast(start, np.repeat(DOWN, 2, axis=0), np.random.default_rng(0))
    z = 9.0 - hits.range_m[np.argsort(hits.ray)]
    expected = [plan.world_point(-12.3, 5.2)[2], plan.world_point(3.3, -1.0)[2]]
    assert z == pytest.approx(expected, abs=0.03)


def test_a_tube_without_length_has_finite_corners() -> None:
    assert np.isfinite(tube("pole", (1, 1, 1), (1, 1, 1), 0.1).triangles).all()


@pytest.mark.parametrize("kind", ["driving", "aerial", "indoor"])
def test_the_seed_decides_the_scan(kind: str) -> None:
    first = make_scan(kind, np.random.default_rng(7), None)
    again = make_scan(kind, np.random.default_rng(7), None)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert len(first[0]) > 2000 and np.isfinite(first[0]).all()
    assert len(np.unique(first[1])) >= 5


def test_a_written_scan_reads_back(tmp_path: Path) -> None:
    write_scan(("indoor", 3, tmp_path, None))
    [path] = tmp_path.iterdir()
    with np.load(path) as stored:
        assert path.name == "indoor_000003.npz"
        assert stored["xyz"].dtype == np.float32 and stored["xyz"].shape[1] == 3
        assert stored["label"].dtype == np.uint16 and len(stored["label"]) == len(stored["xyz"])
        assert stored["label"].max() < len(stored["concepts"])


def test_catalogue_meshes_have_their_true_size(shared_data: Path) -> None:
    from weights.recipe.simulate.mesh_catalogue import read_catalogue

    catalogue = read_catalogue(shared_data)
    extent = {
        name: np.ptp(entry.mesh.triangles.reshape(-1, 3), axis=0)
        for name, entry in catalogue.items()
    }
    assert len(catalogue) > 80
    assert extent["hatchback"].max() == pytest.approx(4.0, abs=0.1)
    assert extent["sh_ford_focus"].max() == pytest.approx(4.4, abs=0.2)
    assert all(np.isfinite(size).all() for size in extent.values())


def test_shared_triangles_are_hit_like_copied_ones() -> None:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    from weights.recipe.simulate.embree_geometry import add_triangles

    rng = np.random.default_rng(0)
    triangles = rng.normal(0, 3, (500, 1, 3)) + rng.normal(0, 0.5, (500, 3, 3))
    corners = triangles.astype(np.float32)
    directions = rng.normal(size=(3000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shared, copied = EmbreeScene(), EmbreeScene()
    kept = [add_triangles(shared, corners.copy()), TriangleMesh(copied, corners)]
    hits = [
        scene.run(np.zeros((3000, 3), np.float32), directions.astype(np.float32), output=True)
        for scene in (shared, copied)
    ]
    assert kept and (hits[0]["primID"] != hits[0]["primID"].max()).sum() > 200
    for name in ("primID", "tfar", "Ng"):
        assert np.array_equal(hits[0][name], hits[1][name])
