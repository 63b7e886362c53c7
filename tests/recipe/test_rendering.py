"""Rendered pixels show what geometry says their rays hit."""

import numpy as np
import pytest

pytest.importorskip("embreex")

from clip3d_cli.core.scenes import transform_points
from weights.recipe.renders import textures
from weights.recipe.renders.classes import SKY, scene_classes
from weights.recipe.renders.rendering import Camera, Light, first_visible, render
from weights.recipe.renders.sensor_rig import to_sensor_axes, world_from_sensor
from weights.recipe.renders.surfaces import Surfaces
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.ground_plan import GroundPlan, Strip, Terrain
from weights.recipe.simulate.lidars import Pose
from weights.recipe.simulate.primitives import Mesh, box, merge, quads
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.scene_builder import SceneBuilder

CAR_ID = 1 + [entry.name for entry in scene_classes()].index("car")


def _builder() -> SceneBuilder:
    flat = Terrain(np.zeros((1, 4)), (0.0, 0.0), 0.0)
    strips = (Strip(2.0, "sidewalk", 0.1),)
    beyond = Strip(1e3, "grass", 0.1)
    plan = GroundPlan(4.0, (), strips, strips, beyond, (), (0, 1, 0), flat, (60, 40))
    return SceneBuilder(plan, (-30.0, 0.0), np.random.default_rng(0))


def _box_ahead(concept: str = "car") -> tuple[SceneBuilder, Mesh, Camera]:
    builder = _builder()
    builder.place(box(concept, (2.0, 2.0, 2.0)), 10.0, 0.0)
    toward = np.eye(4)
    toward[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    toward[2, 3] = 1.0
    return builder, builder.build(), Camera((60, 40), (50.0, 50.0, 29.5, 19.5), toward)


def _picture(builder: SceneBuilder, mesh: Mesh, camera: Camera):
    rng = np.random.default_rng(1)
    surfaces = Surfaces(mesh, builder, rng)
    return render(RayCaster(mesh), surfaces, builder.plan, (camera, Light.draw(rng)), rng)


def test_a_box_covers_the_expected_pixels() -> None:
    shown = _picture(*_box_ahead()).class_id
    # Its face is 2 m wide, 9 m away: 50 · 2 / 9 = 11.1 px about the image's middle.
    columns = np.nonzero(shown == CAR_ID)[1]
    assert abs(np.ptp(columns) + 1 - 11.1) <= 1
    assert columns.mean() == pytest.approx(29.5, abs=0.5)
    assert shown[0, 0] == SKY
    assert shown[39, 29] == 1 + [entry.name for entry in scene_classes()].index("road")


def test_a_point_projects_to_the_pixel_of_its_ray() -> None:
    _, _, camera = _box_ahead()
    origin, ways = camera.rays()
    uv, depth = camera.project((origin + 7 * ways).astype(np.float64))
    column, row = np.meshgrid(np.arange(60), np.arange(40))
    np.testing.assert_allclose(uv[:, 0], column.ravel(), atol=1e-3)
    np.testing.assert_allclose(uv[:, 1], row.ravel(), atol=1e-3)
    assert (depth > 0).all()


def test_materials_differ_between_classes() -> None:
    images = [_picture(*_box_ahead(concept)).image for concept in ("car", "hedge", "building")]
    faces = [image[16:22, 27:33].reshape(-1, 3).astype(float) for image in images]
    means = np.stack([face.mean(axis=0) for face in faces])
    assert np.linalg.norm(means[0] - means[1]) > 10
    assert np.linalg.norm(means[1] - means[2]) > 10


def test_cameras_see_through_wire_mesh() -> None:
    net = [[(5, -9, 0), (5, 9, 0), (5, 9, 9), (5, -9, 9)]]
    wall = [[(8, -9, 0), (8, 9, 0), (8, 9, 9), (8, -9, 9)]]
    builder = _builder()
    builder.add(merge([quads("fence", net, 0.3), quads("building", wall)]))
    mesh = builder.build()
    surfaces = Surfaces(mesh, builder, np.random.default_rng(0))
    ways = np.random.default_rng(0).normal([1, 0, 0.3], [0, 0.2, 0.1], (2000, 3))
    ways = (ways / np.linalg.norm(ways, axis=1, keepdims=True)).astype(np.float32)
    origin = np.array([0, 0, 1], dtype=np.float32)
    triangle, range_m = first_visible(RayCaster(mesh), surfaces, origin, ways)
    concept = surfaces.concept_of(triangle)
    share = (concept == concept_index("building")).mean()
    assert 0.4 < share < 0.8
    x = (origin + ways * range_m[:, None])[:, 0]
    np.testing.assert_allclose(x[concept == concept_index("building")], 8, atol=1e-3)
    np.testing.assert_allclose(x[concept == concept_index("fence")], 5, atol=1e-3)


def test_triangles_know_their_object() -> None:
    builder, mesh, _ = _box_ahead()
    object_index = builder.object_of_triangle(mesh)
    assert object_index.max() == 1
    np.testing.assert_array_equal(object_index == 1, mesh.label == concept_index("car"))


def test_world_and_sensor_axes_are_each_others_inverse() -> None:
    pose = Pose((3.0, -2.0, 1.5), 0.7, 0.05, -0.02)
    world = np.random.default_rng(0).normal(0, 20, (50, 3)).astype(np.float32)
    own = to_sensor_axes(world, pose)
    np.testing.assert_allclose(
        transform_points(world_from_sensor(pose), own.astype(np.float64)), world, atol=1e-4
    )


def test_noise_is_continuous_and_fills_its_range() -> None:
    line = np.zeros((4000, 3), dtype=np.float32)
    line[:, 0] = np.linspace(0, 40, 4000)
    value = textures.noise(line, 1.0)
    assert np.abs(np.diff(value)).max() < 0.03
    assert value.min() < 0.15
    assert value.max() > 0.85
