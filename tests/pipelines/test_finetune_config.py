"""Configurations of fine-tunings, and the presets with the figures of the paper."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.input_channels import CHANNELS
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.finetune.config import (
    RESUMABLE_KEYS,
    FinetuneConfig,
    LabelledData,
    preset,
)
from clip3d_cli.pipelines.training.config_sources import read_config, with_settings, with_tables
from clip3d_cli.training.toml_text import flatten_tables, toml_text

DEFAULT = FinetuneConfig()
PRESETS = registry.names("datasets")


@pytest.mark.parametrize("dataset", PRESETS)
def test_every_dataset_has_a_preset_that_loads(dataset: str) -> None:
    config = preset(dataset)
    assert config.data == LabelledData(dataset=dataset)
    assert config != replace(DEFAULT, data=config.data), "no preset was found"
    assert (config.start.weights, config.start.sha256) == ("", "")
    assert set(config.encoder.inputs) <= set(CHANNELS)


@pytest.mark.parametrize("dataset", PRESETS)
def test_fresh_networks_can_be_built_of_presets(dataset: str) -> None:
    options = preset(dataset).encoder
    shape: dict[str, Any] = {"width": options.width / 8}
    if options.architecture == "minkunet":
        shape["layers"] = options.layers
    space = FeatureSpace("test", 8)
    spec = EncoderSpec(
        options.architecture, shape, options.inputs, options.voxel_sizes_m, space, "mini", 1.0
    )
    assert sum(p.numel() for p in PointEncoder(spec).parameters()) > 0


def test_presets_have_the_figures_of_the_released_configurations() -> None:
    # ../shared/research/field.md, 1.6, and config/clip2scene_*_finetune.yaml.
    names = ("nuscenes", "semantickitti", "scannet")
    found = {name: flatten_tables(preset(name).tables()) for name in names}
    wanted = {
        "start.voxels_m": ([0.1], [0.1], [0.05]),
        "encoder.architecture": ("spvcnn", "spvcnn", "minkunet"),
        "encoder.inputs": (["intensity"], ["intensity"], ["red", "green", "blue"]),
        "encoder.voxel_sizes_m": ([0.1], [0.1], [0.05]),
        "encoder.width": (1.0, 1.0, 1.0),
        "batch.scenes": (8, 16, 8),
        "batch.points": (0, 0, 0),
        "batch.augment": (True, True, True),
        "loss.lovasz_weight": (1.0, 1.0, 1.0),
        "loss.linear_probe": (False, False, False),
        "optimizer.kind": ("sgd", "sgd", "sgd"),
        "optimizer.learning_rate": (0.02, 0.02, 0.1),
        "optimizer.head_factor": (100.0, 100.0, 1.0),
        "optimizer.momentum": (0.9, 0.9, 0.9),
        "optimizer.dampening": (0.1, 0.1, 0.1),
        "optimizer.weight_decay": (1e-4, 1e-4, 1e-4),
        "optimizer.average_decay": (0.0, 0.0, 0.0),
        "optimizer.steps": (0, 0, 0),
    }
    for key, figures in wanted.items():
        assert tuple(found[name][key] for name in names) == figures, key
    # SemanticKITTI's says 0: it was last used to judge alone.
    epochs = (found["nuscenes"]["optimizer.epochs"], found["scannet"]["optimizer.epochs"])
    assert epochs == (24, 300)
    assert found["nuscenes"]["optimizer.learning_rate"] * 100 == 2.0
    assert found["scannet"]["encoder.layers"] == 14


def test_a_preset_can_be_like_another() -> None:
    like = flatten_tables(preset("scannet200").tables())
    own = flatten_tables(preset("scannet").tables())
    assert {key for key in own if own[key] != like[key]} == {"data.dataset"}
    with pytest.raises(UsageError, match="there is no 'somebody'"):
        preset("somebody")


@pytest.mark.parametrize("dataset", PRESETS)
def test_a_configuration_survives_toml(dataset: str, tmp_path: Path) -> None:
    config = with_settings(preset(dataset), ["data.fraction=0.01", "loss.keep_weight=0.5"])
    path = tmp_path / "config.toml"
    path.write_text(toml_text(config.tables()), encoding="utf-8")
    assert with_tables(DEFAULT, read_config(path), str(path)) == config


def test_what_may_change_on_resuming_exists() -> None:
    assert set(RESUMABLE_KEYS) <= flatten_tables(DEFAULT.tables()).keys()
    # What would change a result may not.
    assert not {"data.fraction", "start.sha256", "loss.linear_probe", "run.seed"} & set(
        RESUMABLE_KEYS
    )


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("data.fraction=0", "data.fraction: is 0, but must be above 0"),
        ("data.fraction=1.01", "data.fraction: is 1.01, but must be at most 1"),
        ("data.fraction=-0.1", "data.fraction: is -0.1, but must be above 0"),
        ("data.fraction=nan", "data.fraction: is nan, but must be above 0"),
        ("data.fracton=0.1", "there is no key 'fracton'"),
        ("optimizer.head_factor=0", "head_factor: is 0, but must be above 0"),
        ("start.voxels_m=0.1,0", "start.voxels_m[1]: is 0, but must be above 0"),
        ("batch.scenes=0", "batch.scenes: is 0, but must be at least 1"),
        ("loss.semantic=kl", "there is no key 'semantic'"),
        ("teacher.model=x", "there is no key 'teacher'"),
        ("encoder.start=x", "there is no key 'start'"),
    ],
)
def test_settings_without_sense_are_refused(setting: str, fault: str) -> None:
    with pytest.raises(UsageError) as refusal:
        with_settings(DEFAULT, [setting])
    assert refusal.value.code == "E_CONFIG"
    assert str(refusal.value).endswith(fault)
    assert refusal.value.remedy


def test_every_table_is_told_apart() -> None:
    names = [entry.name for entry in fields(FinetuneConfig)]
    assert names == ["data", "start", "words", "encoder", "batch", "loss", "optimizer", "run"]
