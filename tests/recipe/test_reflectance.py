"""Intensities of rendered scenes follow the material, and do not change the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("embreex")

from weights.recipe.renders import scenes
from weights.recipe.renders.reflectance import draw_intensity, draw_reflectance
from weights.recipe.renders.scenes import SceneJob, write_scene
from weights.recipe.simulate.concepts import concept_index, concept_names


def test_intensities_are_calibrated_and_follow_the_material() -> None:
    means: dict[str, list[float]] = {"road": [], "grass": [], "traffic sign": []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reflectance = draw_reflectance(rng)
        assert (reflectance.shape, reflectance.dtype) == ((len(concept_names()),), np.float32)
        for name, found in means.items():
            concept = np.full(300, concept_index(name), dtype=np.uint16)
            bright = draw_intensity(reflectance, concept, rng)
            assert (bright.shape, bright.dtype) == ((300,), np.float32)
            assert 0 <= bright.min() < bright.max() <= 1
            found.append(float(bright.mean()))
    # In every street, and by about what the table says.
    assert all(road < grass for road, grass in zip(means["road"], means["grass"], strict=True))
    assert np.mean(means["road"]) == pytest.approx(0.12, rel=0.25)
    assert np.mean(means["grass"]) == pytest.approx(0.5, rel=0.25)
    # Streets differ.
    assert np.std(means["road"]) > 0.1 * np.mean(means["road"])


def test_points_of_one_material_differ() -> None:
    rng = np.random.default_rng(0)
    concept = np.array([concept_index("road")] * 500, dtype=np.uint16)
    bright = draw_intensity(draw_reflectance(rng), concept, rng)
    assert 0.15 < bright.std() / bright.mean() < 0.4


@pytest.mark.slow
def test_intensity_draws_change_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scene(SceneJob(3, tmp_path / "as it is"))

    def more_draws(reflectance: Any, concept: Any, rng: np.random.Generator) -> Any:
        rng.random(1000)
        return draw_intensity(reflectance, concept, rng)

    monkeypatch.setattr(scenes, "draw_intensity", more_draws)
    write_scene(SceneJob(3, tmp_path / "otherwise"))
    one, other = (tmp_path / name / "street_000003" for name in ("as it is", "otherwise"))
    images = sorted(path.relative_to(one) for path in one.rglob("*.jpg"))
    assert len(images) == 4
    for path in [*images, Path("labels.npy"), Path("cameras.json")]:
        assert (one / path).read_bytes() == (other / path).read_bytes(), path
    clouds = [np.load(root / "cloud.npy") for root in (one, other)]
    np.testing.assert_array_equal(clouds[0][:, :3], clouds[1][:, :3])
    assert (clouds[0][:, 3] != clouds[1][:, 3]).any()
    assert clouds[0][:, 3].min() >= 0
    assert clouds[0][:, 3].max() <= 1
