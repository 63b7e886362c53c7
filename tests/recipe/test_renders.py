"""Rendered scenes as a data set, reproducibility, and the teacher trained on them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("embreex")

import torch
from scipy.spatial import cKDTree

from clip3d_cli import registry
from clip3d_cli.core.cameras import project
from clip3d_cli.core.scenes import transform_points
from clip3d_cli.core.vocabulary import Vocabulary
from weights.recipe.renders.__main__ import write_splits
from weights.recipe.renders.classes import (
    SKY,
    class_id_of_concept,
    scene_classes,
    vocabulary_text,
)
from weights.recipe.renders.crops import CropSizes, caption_words, draw_crops, read_rendered
from weights.recipe.renders.evaluate import TeacherEvaluation, scores
from weights.recipe.renders.image_text_model import (
    ImageTextLearner,
    load_tower,
    model_config,
    save_model,
)
from weights.recipe.renders.scenes import SceneJob, write_scene
from weights.recipe.simulate.concepts import concept_index


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("renders")
    write_scene(SceneJob(3, folder, pixels=True))
    (folder / "vocabulary.toml").write_text(vocabulary_text(), encoding="utf-8")
    write_splits(folder, ["street_000003"], [("train", 0), ("val", 1)])
    return folder


def test_no_concept_belongs_to_two_classes(tmp_path: Path) -> None:
    named = [concept for entry in scene_classes() for concept in entry.concepts]
    assert len(named) == len(set(named))
    table = class_id_of_concept()
    assert table[concept_index("lane marking")] == table[concept_index("road")] == 1
    assert table[concept_index("traffic cone")] == 0
    path = tmp_path / "vocabulary.toml"
    path.write_text(vocabulary_text(), encoding="utf-8")
    classes = Vocabulary.read(path).classes
    assert [entry.name for entry in classes] == [entry.name for entry in scene_classes()]


def test_a_scene_is_read_as_a_data_set(root: Path) -> None:
    dataset = registry.load("datasets", "folder")(root)
    (scene,) = dataset.scenes("val")
    assert dataset.scenes("train") == []
    assert (len(scene.sweeps), len(scene.views)) == (5, 4)
    clouds = [dataset.cloud(sweep) for sweep in scene.sweeps]
    assert all(8_000 < len(cloud) < 36_000 for cloud in clouds)
    assert len(dataset.ground_truth(scene)) == len(clouds[0])
    back = [sweep.world_from_sensor[:3, 3] for sweep in scene.sweeps]
    assert 0.1 < np.linalg.norm(back[0] - back[1]) < 2.2


def test_pixels_where_points_fall_show_the_points_classes(root: Path) -> None:
    dataset = registry.load("datasets", "folder")(root)
    (scene,) = dataset.scenes("val")
    key = scene.sweeps[0]
    xyz = transform_points(key.world_from_sensor, dataset.cloud(key).xyz)
    truth = dataset.ground_truth(scene)
    same, unseen = [], np.ones(len(xyz), dtype=bool)
    for view in scene.views:
        found = project(view, xyz)
        path = view.image.parent.parent / "pixels" / f"{view.image.stem}.png"
        row, column = found.pixels(view.size, view.size).T
        shown = np.asarray(Image.open(path))[row, column].astype(int) - 1
        known = truth[found.point_index] >= 0
        same.append(shown[known] == truth[found.point_index][known])
        unseen[found.point_index] = False
    # The rest is what cameras cannot see from where they stand, edges, and what rays of the LiDAR
    # meet behind panes of cars and between leaves of hedges.
    assert np.concatenate(same).mean() > 0.8
    assert 0.1 < unseen.mean() < 0.6


def test_sweeps_see_one_static_world(root: Path) -> None:
    dataset = registry.load("datasets", "folder")(root)
    (scene,) = dataset.scenes("val")
    first, last = scene.sweeps[0], scene.sweeps[4]
    # The ground looks the same from everywhere.
    own, other = (
        xyz[xyz[:, 2] > -0.7] for xyz in (dataset.cloud(first).xyz, dataset.cloud(last).xyz)
    )
    own = transform_points(first.world_from_sensor, own)
    right, wrong = (
        np.median(cKDTree(transform_points(sweep.world_from_sensor, other)).query(own)[0])
        for sweep in (last, first)
    )
    assert right < 0.5 * wrong


def test_a_seed_decides_everything(root: Path, tmp_path: Path) -> None:
    write_scene(SceneJob(3, tmp_path, pixels=True))
    first, again = root / "street_000003", tmp_path / "street_000003"
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 1 + 1 + 4 + 1 + 4 + 4
    for file in files:
        assert (first / file).read_bytes() == (again / file).read_bytes(), file
    table = json.loads((first / "cameras.json").read_text())
    assert set(table) == {"cameras", "sweeps", "world_from_cloud", "time_s"}


def test_captions_name_what_a_crop_shows_and_nothing_else(root: Path) -> None:
    rendered = read_rendered([root / "street_000003"])
    crops, caption = draw_crops(rendered, 16, 32, CropSizes(), torch.Generator().manual_seed(0))
    assert crops.shape == (16, 3, 32, 32)
    assert float(crops.min()) >= 0
    assert float(crops.max()) <= 1
    assert caption.shape == (16, len(caption_words()))
    named = caption > 0
    assert float(caption.sum(dim=1).max()) == pytest.approx(1)
    assert named.any(dim=1).float().mean() > 0.9
    present = set(rendered.class_id.unique().tolist())
    assert set((named.any(dim=0).nonzero().flatten() + 1).tolist()) <= present


def _learner() -> tuple[ImageTextLearner, dict]:
    torch.manual_seed(0)
    config = model_config(64, 32, 2, 16)
    words = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    return ImageTextLearner(config, words, torch.tensor([0, 0, 1, 2])), config


def test_the_model_learns_which_words_crops_go_with() -> None:
    learner, _ = _learner()
    crops = torch.rand(12, 3, 32, 32) * 0.2
    named = torch.zeros(12, 3)
    for row in range(12):
        crops[row, row % 3] += 0.7
        named[row, row % 3] = 1.0
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    start = float(learner.loss(crops, named).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss = learner.loss(crops, named)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3 * start
    patches = learner.class_probabilities(learner.vectors(crops)[1], 1).argmax(dim=-1)
    assert (patches == torch.arange(12)[:, None] % 3).float().mean() > 0.9


def test_a_saved_model_is_the_teacher_that_was_trained(root: Path, tmp_path: Path) -> None:
    from clip3d_cli.core.embeddings import FeatureSpace
    from clip3d_cli.teachers.openclip import OpenClipTeacher

    learner, config = _learner()
    space = FeatureSpace("openclip/ViT-B-32/openai", 16)
    save_model(learner, config, space, tmp_path / "t", 64)
    teacher = OpenClipTeacher(str(tmp_path / "t"))
    assert teacher.space == space
    image = np.asarray(Image.open(root / "street_000003/images/ahead.jpg"))[:64, :96]
    own = learner.dense(torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255)
    np.testing.assert_allclose(teacher(image), own.numpy(), atol=1e-5)
    # What training calls a patch's vector is what the teacher gives.
    square = torch.from_numpy(image[:, :64].copy()).permute(2, 0, 1).float()[None] / 255
    trained = torch.nn.functional.normalize(learner.vectors(square)[1], dim=-1)[0]
    np.testing.assert_allclose(
        learner.dense(square[0]).flatten(0, 1).numpy(), trained.detach().numpy(), atol=1e-5
    )
    other = ImageTextLearner(config, learner.words, learner.class_of_word)
    load_tower(other, tmp_path / "t")
    assert torch.equal(other.dense(square[0]), learner.dense(square[0]))
    save_model(learner, config, space, tmp_path / "t2", 96)
    assert OpenClipTeacher(str(tmp_path / "t2")).image_px == 96


def test_scores_by_hand() -> None:
    accuracy, mean, iou = scores(np.array([[3, 1, 0], [1, 5, 0], [0, 0, 0]]))
    assert accuracy == pytest.approx(0.8)
    np.testing.assert_allclose(iou, [3 / 5, 5 / 7, np.nan])
    assert mean == pytest.approx((3 / 5 + 5 / 7) / 2)


def test_a_perfect_teacher_scores_all_pixels(root: Path) -> None:
    class Perfect:
        def __init__(self, words: np.ndarray) -> None:
            self.words, self.left = words, []

        def __call__(self, image: np.ndarray) -> np.ndarray:
            return self.words[self.left.pop(0)]

    dataset = registry.load("datasets", "folder")(root)
    (scene,) = dataset.scenes("val")
    evaluation = TeacherEvaluation(dataset, None)
    first = np.array([int(np.argmax(evaluation._classes.class_of_vector == k)) for k in range(11)])
    teacher = Perfect(evaluation._classes.vectors)
    for view in scene.views:
        shown = np.asarray(Image.open(str(view.image).replace("images", "pixels")[:-3] + "png"))
        teacher.left.append(first[np.where((shown == 0) | (shown == SKY), 1, shown) - 1])
    evaluation._teacher = teacher
    evaluation.add(scene)
    assert scores(evaluation.pixels)[0] == 1.0
    assert scores(evaluation.points)[0] > 0.85
    assert 0.3 < evaluation.seen / evaluation.total < 0.9
