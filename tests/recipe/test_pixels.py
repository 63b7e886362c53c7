"""Rendered pixels: they show what rays hit, by geometry."""

import numpy as np
import pytest

pytest.importorskip("embreex")

from clip3d_cli.core.scenes import moved
from weights.recipe.renders import patterns
from weights.recipe.renders.classes import SKY, scene_classes
from weights.recipe.renders.rig import in_sensor_axes, world_from_sensor
from weights.recipe.renders.spots import Surfaces
from weights.recipe.renders.views import Camera, Light, photograph, seen
from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.layout import Band, Plan, Relief
from weights.recipe.simulate.lidars import Pose
from weights.recipe.simulate.primitives import Soup, box, join, quads
from weights.recipe.simulate.stage import Stage

CAR_ID = 1 + [entry.name for entry in scene_classes()].index("car")


def _stage() -> Stage:
    flat = Relief(np.zeros((1, 4)), (0.0, 0.0), 0.0)
    strips = (Band(2.0, "sidewalk", 0.1),)
    beyond = Band(1e3, "grass", 0.1)
    plan = Plan(4.0, (), strips, strips, beyond, (), (0, 1, 0), flat, (60, 40))
    return Stage(plan, (-30.0, 0.0), np.random.default_rng(0))


def _box_ahead(concept: str = "car") -> tuple[Stage, Soup, Camera]:
    stage = _stage()
    stage.place(box(concept, (2.0, 2.0, 2.0)), 10.0, 0.0)
    toward = np.eye(4)
    toward[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    toward[2, 3] = 1.0
    return stage, stage.finish(), Camera((60, 40), (50.0, 50.0, 29.5, 19.5), toward)


def _picture(stage: Stage, soup: Soup, camera: Camera):
    rng = np.random.default_rng(1)
    surfaces = Surfaces(soup, stage, rng)
    return photograph(Caster(soup), surfaces, stage.plan, (camera, Light.draw(rng)), rng)


def test_a_box_covers_the_pixels_that_geometry_says() -> None:
    shown = _picture(*_box_ahead()).class_id
    # Its face is 2 m wide, 9 m away: 50 · 2 / 9 = 11.1 px about the image's middle.
    columns = np.nonzero(shown == CAR_ID)[1]
    assert abs(np.ptp(columns) + 1 - 11.1) <= 1
    assert columns.mean() == pytest.approx(29.5, abs=0.5)
    assert shown[0, 0] == SKY
    assert shown[39, 29] == 1 + [entry.name for entry in scene_classes()].index("road")


def test_a_place_projects_to_the_pixel_of_its_own_ray() -> None:
    _, _, camera = _box_ahead()
    origin, ways = camera.rays()
    place, depth = camera.pixels((origin + 7 * ways).astype(np.float64))
    column, row = np.meshgrid(np.arange(60), np.arange(40))
    np.testing.assert_allclose(place[:, 0], column.ravel(), atol=1e-3)
    np.testing.assert_allclose(place[:, 1], row.ravel(), atol=1e-3)
    assert (depth > 0).all()


def test_paint_differs_between_classes_and_bodies() -> None:
    images = [_picture(*_box_ahead(concept)).image for concept in ("car", "hedge", "building")]
    faces = [image[16:22, 27:33].reshape(-1, 3).astype(float) for image in images]
    means = np.stack([face.mean(axis=0) for face in faces])
    assert np.linalg.norm(means[0] - means[1]) > 10
    assert np.linalg.norm(means[1] - means[2]) > 10


def test_nets_are_looked_through() -> None:
    net = [[(5, -9, 0), (5, 9, 0), (5, 9, 9), (5, -9, 9)]]
    wall = [[(8, -9, 0), (8, 9, 0), (8, 9, 9), (8, -9, 9)]]
    stage = _stage()
    stage.add(join([quads("fence", net, 0.3), quads("building", wall)]))
    soup = stage.finish()
    surfaces = Surfaces(soup, stage, np.random.default_rng(0))
    ways = np.random.default_rng(0).normal([1, 0, 0.3], [0, 0.2, 0.1], (2000, 3))
    ways = (ways / np.linalg.norm(ways, axis=1, keepdims=True)).astype(np.float32)
    origin = np.array([0, 0, 1], dtype=np.float32)
    triangle, range_m = seen(Caster(soup), surfaces, origin, ways)
    concept = surfaces.concept_of(triangle)
    share = (concept == concept_index("building")).mean()
    assert 0.4 < share < 0.8
    x = (origin + ways * range_m[:, None])[:, 0]
    np.testing.assert_allclose(x[concept == concept_index("building")], 8, atol=1e-3)
    np.testing.assert_allclose(x[concept == concept_index("fence")], 5, atol=1e-3)


def test_bodies_are_told_apart() -> None:
    stage, soup, _ = _box_ahead()
    body = stage.body_of_triangle(soup)
    assert body.max() == 1
    np.testing.assert_array_equal(body == 1, soup.label == concept_index("car"))


def test_world_and_sensor_axes_are_each_others_inverse() -> None:
    pose = Pose((3.0, -2.0, 1.5), 0.7, 0.05, -0.02)
    world = np.random.default_rng(0).normal(0, 20, (50, 3)).astype(np.float32)
    own = in_sensor_axes(world, pose)
    np.testing.assert_allclose(
        moved(world_from_sensor(pose), own.astype(np.float64)), world, atol=1e-4
    )


def test_noise_is_continuous_and_fills_its_range() -> None:
    line = np.zeros((4000, 3), dtype=np.float32)
    line[:, 0] = np.linspace(0, 40, 4000)
    value = patterns.noise(line, 1.0)
    assert np.abs(np.diff(value)).max() < 0.03
    assert value.min() < 0.15
    assert value.max() > 0.85
