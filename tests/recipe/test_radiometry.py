"""Materials, colours and intensities: light passes panes, is mirrored, and numbers follow."""

import numpy as np
import pytest

pytest.importorskip("embreex")

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.materials import (
    draw_color,
    linear_of_srgb,
    material_index,
    material_names,
    material_of_concept,
    material_table,
    to_srgb,
)
from weights.recipe.simulate.primitives import Mesh, box, merge, quads
from weights.recipe.simulate.radiometry import draw_camera, draw_laser_response, laser_signal
from weights.recipe.simulate.ray_casting import RayCaster, Returns

AHEAD = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)


def _upright(x: float, concept: str) -> Mesh:
    return quads(concept, [[(x, -50, -50), (x, 50, -50), (x, 50, 50), (x, -50, 50)]])


def _cast(scene: Mesh, directions: np.ndarray = AHEAD, rays: int = 2000) -> Returns:
    ways = np.tile(directions / np.linalg.norm(directions), (rays, 1)).astype(np.float32)
    starts = np.zeros((rays, 3), np.float32)
    return RayCaster(scene.painted(np.random.default_rng(1))).cast(
        starts, ways, np.random.default_rng(0)
    )


def _captured(scene: Mesh, directions: np.ndarray = AHEAD) -> Capture:
    hits = _cast(scene, directions)
    return Capture.from_returns(hits.range_m[:, None] * np.ones((1, 3), np.float32), hits)


def test_light_passes_a_pane_and_shows_what_is_behind() -> None:
    scene = merge([_upright(5, "window").made_of("glass"), _upright(9, "curtain")])
    hits = _cast(scene, np.array([[1.0, 0.5, 0.0]]))
    behind = hits.label == concept_index("curtain")
    passes = material_table().passes[material_index("glass")]
    assert behind.mean() == pytest.approx(passes, abs=0.04)
    assert hits.range_m[behind] == pytest.approx(9 * np.hypot(1, 0.5), abs=0.01)
    assert (hits.share[behind] < 0.7).all()


def test_a_mirror_shows_what_is_before_it_behind_itself_without_ground_truth() -> None:
    scene = merge([_upright(4, "mirror"), _upright(-3, "car")])
    hits = _cast(scene, np.array([[1.0, 0.4, 0.0]]))
    mirrored = hits.label == concept_index("unlabeled")
    assert mirrored.mean() > 0.8
    assert hits.range_m[mirrored] == pytest.approx(11 * np.hypot(1, 0.4), abs=0.05)
    assert set(hits.label[~mirrored]) <= {concept_index("mirror")}


def test_a_mirror_met_head_on_is_brighter_than_a_wall() -> None:
    mirror, wall = (_captured(_upright(4, name)) for name in ("mirror", "indoor wall"))
    rng = np.random.default_rng(0)
    assert mirror.share.min() == 2
    assert laser_signal(mirror, rng).mean() > laser_signal(wall, rng).mean() * 1.5
    assert (mirror.label == concept_index("mirror")).all()


def test_signs_shine_and_tyres_do_not() -> None:
    rng = np.random.default_rng(0)
    signal = {
        name: float(np.median(laser_signal(_captured(_upright(4, "car").made_of(name)), rng)))
        for name in ("sign_plate", "plaster", "asphalt", "rubber")
    }
    assert signal["sign_plate"] > 3 * signal["plaster"] > 6 * signal["asphalt"]
    assert signal["asphalt"] > signal["rubber"]


def test_leaves_are_darker_at_1550_nm() -> None:
    leaves, rng = _captured(_upright(4, "bush")), np.random.default_rng(0)
    short, long = (float(laser_signal(leaves, rng, wavelength=w).mean()) for w in (0, 1))
    assert long < 0.7 * short


def test_a_dark_car_returns_less_than_a_white_one() -> None:
    rng, signal = np.random.default_rng(0), {}
    for name, color in (("dark", (0.02, 0.02, 0.02)), ("white", (0.7, 0.7, 0.7))):
        capture = _captured(_upright(4, "car").made_of("car_paint", color))
        signal[name] = float(laser_signal(capture, rng).mean())
    assert signal["white"] > 4 * signal["dark"]


@pytest.mark.parametrize("seed", range(8))
def test_intensities_and_colours_are_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = merge(
        [_upright(20, "building"), box("car", (2, 2, 2), (6, 0, -1)), _upright(3, "bush")]
    )
    capture = _captured(scene, np.array([[1.0, 0.1 * seed, 0.1]]))
    intensity = draw_laser_response(rng, airborne=seed % 2 == 0).intensity(capture, rng)
    assert intensity.dtype == np.float32 and intensity.shape == (len(capture),)
    assert 0 <= intensity.min() <= intensity.max() <= 1
    colors = draw_camera(rng, indoor=seed % 3 == 0).colors(capture, rng, RayCaster(scene))
    assert colors.dtype == np.uint8 and colors.shape == (len(capture), 3)


def test_the_sun_lights_what_faces_it_and_leaves_the_shade_dark() -> None:
    ground = quads("sidewalk", [[(-9, -9, 0), (9, -9, 0), (9, 9, 0), (-9, 9, 0)]])
    scene = merge([ground, quads("roof", [[(0, -9, 3), (9, -9, 3), (9, 9, 3), (0, 9, 3)]])])
    caster = RayCaster(scene)
    points = np.array([[-8, 0, 0.05], [8, 0, 0.05]], np.float32)
    up = np.array([0.0, 0.0, 1.0], np.float32)
    assert caster.is_shaded(points, up).tolist() == [False, True]


def test_objects_get_one_colour_for_each_material_and_keep_what_was_painted() -> None:
    red = box("car", (1, 1, 1)).made_of("car_paint", (0.5, 0.0, 0.0))
    mesh = merge([red, box("car", (1, 1, 1)), box("car", (1, 1, 1)).made_of("rubber")])
    painted = mesh.painted(np.random.default_rng(3))
    assert painted.color.any(axis=1).all()
    assert len(np.unique(painted.color, axis=0)) == 3
    assert np.array_equal(painted.color[:12], red.color)
    assert np.array_equal(painted.painted(np.random.default_rng(4)).color, painted.color)


def test_every_concept_has_a_material_and_every_material_a_colour() -> None:
    assert len(material_of_concept()) == len(concept_names())
    rng, table = np.random.default_rng(0), material_table()
    for index, name in enumerate(material_names()):
        color = draw_color(index, rng)
        assert color.min() > 0 and color.max() < 1, name
        assert table.mirror[index] + table.passes[index] <= 1, name
        assert 0 < table.nir[index].min() <= table.nir[index].max() < 1, name


def test_srgb_values_survive_the_round_trip() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_srgb(linear_of_srgb()[values]), values)
