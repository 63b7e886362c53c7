"""Which scenes a fine-tuning learns from, and which it is judged on."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_rooms import write_rooms

from clip3d_cli.pipelines.finetune.config import FinetuneConfig
from clip3d_cli.pipelines.finetune.run import evaluation_split, finetune, open_scenes
from clip3d_cli.pipelines.training.config_sources import with_settings


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> FinetuneConfig:
    """Half of four labelled scenes."""
    root = write_rooms(tmp_path_factory.mktemp("data") / "rooms")
    chosen = [f"data.root={root}", "data.fraction=0.5", "start.weights=scratch", "run.workers=0"]
    small = ["encoder.layers=14", "encoder.width=0.25", "batch.scenes=1", "optimizer.steps=1"]
    return with_settings(FinetuneConfig(), [*chosen, *small])


def test_every_second_scene_is_learned_from(config: FinetuneConfig) -> None:
    _, scenes = open_scenes(config)
    assert [scene.name for scene in scenes] == ["a", "c"]
    _, scenes = open_scenes(with_settings(config, ["data.fraction=0.01"]))
    assert [scene.name for scene in scenes] == ["a"]


def test_scenes_without_labels_are_left_out(config: FinetuneConfig, tmp_path: Path) -> None:
    root = write_rooms(tmp_path / "rooms", unlabelled=("a", "c"))
    _, scenes = open_scenes(with_settings(config, [f"data.root={root}", "data.fraction=1"]))
    assert [scene.name for scene in scenes] == ["b", "d"]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ([], "val"),
        (["data.eval_split="], ""),
        (["data.eval_split=train"], "train"),
        # It would be judged by what it has learned.
        (["data.split=val", "data.fraction=1"], ""),
        (["data.split=all", "data.fraction=1"], ""),
        # The first scene alone is not of val.
        (["data.split=all", "data.fraction=0.01"], "val"),
    ],
)
def test_the_judged_split_shares_no_scene(
    config: FinetuneConfig, settings: list[str], found: str
) -> None:
    chosen = with_settings(config, settings)
    dataset, scenes = open_scenes(chosen)
    assert evaluation_split(chosen, dataset, scenes) == found


def test_a_val_that_is_not_there_is_not_judged(config: FinetuneConfig, tmp_path: Path) -> None:
    root = write_rooms(tmp_path / "rooms")
    (root / "splits" / "val.txt").write_text("gone\n")
    chosen = with_settings(config, [f"data.root={root}"])
    assert evaluation_split(chosen, *open_scenes(chosen)) == ""
    (root / "splits" / "val.txt").unlink()
    ended = finetune(with_settings(chosen, ["optimizer.steps=1"]), tmp_path / "run")
    assert (ended.split, dict(ended.evaluations)) == ("", {})
    assert not list((tmp_path / "run").glob("eval*"))
