"""The presets: one for each data set, with the figures of the papers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.input_channels import CHANNELS
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.pretrain.config import PretrainConfig, preset
from clip3d_cli.pipelines.training.config import DataOptions
from clip3d_cli.training.toml_text import flatten_tables

DEFAULT = PretrainConfig()
PRESETS = registry.names("datasets")


@pytest.mark.parametrize("dataset", PRESETS)
def test_every_dataset_has_a_preset_that_loads(dataset: str) -> None:
    config = preset(dataset)
    assert config.data.dataset == dataset
    assert config != replace(DEFAULT, data=DataOptions(dataset=dataset)), "no preset was found"
    # It would not start in the middle of somebody's disk.
    assert (config.data.root, config.teacher.features, config.encoder.start) == (".", "", "")


@pytest.mark.parametrize("dataset", PRESETS)
def test_encoders_can_be_built_of_presets(dataset: str) -> None:
    options = preset(dataset).encoder
    shape: dict[str, Any] = {"width": options.width / 8}
    if options.architecture == "minkunet":
        shape["layers"] = options.layers
    space = FeatureSpace("test", 8)
    spec = EncoderSpec(
        options.architecture, shape, options.inputs, options.voxel_sizes_m, space, "mini", 1.0
    )
    assert sum(p.numel() for p in PointEncoder(spec).parameters()) > 0
    assert set(options.inputs) <= set(CHANNELS)


def test_presets_have_the_figures_of_the_paper() -> None:
    # ../shared/research/field.md, 1.6; of ScanNet 1.4 and 1.5 too.
    found = {name: flatten_tables(preset(name).tables()) for name in ("nuscenes", "scannet")}
    wanted = {
        "teacher.model": ("ViT-B-16/openai", "ViT-B-16/openai"),
        "teacher.variant": ("value", "value"),
        "words.templates": ("clip2scene", "clip2scene"),
        "encoder.architecture": ("spvcnn", "minkunet"),
        "encoder.inputs": (["intensity"], ["red", "green", "blue"]),
        "encoder.voxel_sizes_m": ([0.1], [0.05]),
        "encoder.width": (1.0, 1.0),
        "batch.scenes": (4, 8),
        "batch.sweeps": (3, 1),
        "batch.views": (0, 8),
        "batch.merge": (False, False),
        "batch.occlusion": ("none", "depth"),
        "batch.superpoint_m": (0.0, 0.0),
        "batch.augment": (True, True),
        "loss.semantic": ("paper", "paper"),
        "loss.consistency": ("paper", "paper"),
        "loss.temperature": (0.5, 0.5),
        "loss.attention_temperature": (1.0, 1.0),
        "loss.self_training": ("switch", "switch"),
        "optimizer.kind": ("sgd", "sgd"),
        "optimizer.learning_rate": (0.1, 0.1),
        "optimizer.momentum": (0.9, 0.9),
        "optimizer.dampening": (0.1, 0.1),
        "optimizer.weight_decay": (1e-4, 1e-4),
        "optimizer.average_decay": (0.0, 0.0),
        "optimizer.epochs": (20, 30),
        "optimizer.steps": (0, 0),
    }
    for key, figures in wanted.items():
        assert tuple(found[name][key] for name in ("nuscenes", "scannet")) == figures, key
    assert found["nuscenes"]["batch.among"] == 10
    assert found["nuscenes"]["batch.least_depth_m"] == 1.0
    assert found["scannet"]["encoder.layers"] == 14
    assert found["scannet"]["batch.tolerance_m"] == found["scannet"]["batch.cell_m"] == 0.05
    # Self-training begins in the tenth epoch.
    assert round(found["nuscenes"]["loss.start"] * 20) == 10
    assert round(found["scannet"]["loss.start"] * 30) == 10


def test_a_dataset_without_preset_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._ENTRIES["datasets"], "plain", "labelled_rooms:Rooms")
    assert preset("plain") == replace(DEFAULT, data=DataOptions(dataset="plain"))
    with pytest.raises(UsageError, match="there is no 'somebody'"):
        preset("somebody")
