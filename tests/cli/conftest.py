from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch
from command_line import CommandLine, Said
from small_runs import quick_settings, write_scenes
from tiny_text import SPACE

from clip3d_cli import registry
from clip3d_cli.cli.app import app
from clip3d_cli.cli.doctor import synthetic_street, write_scan
from clip3d_cli.cli.errors import run
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.weights_files import DEFAULT_WEIGHTS


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of untrained weights: the way from words to files is tested, not its wisdom."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    config = {"layers": 14, "width": 0.25}
    spec = EncoderSpec("minkunet", config, ("one", "height_near"), (0.2, 0.4), SPACE, "tiny", 20.0)
    save_encoder(PointEncoder(spec), folder / f"{DEFAULT_WEIGHTS}.safetensors")
    elsewhere = dataclasses.replace(spec, space=FeatureSpace("tests/other", 16))
    save_encoder(PointEncoder(elsewhere), folder / "other-space.safetensors")
    return folder


@pytest.fixture
def clip3d(
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """Runs a command line in a folder of its own, with the untrained weights."""
    monkeypatch.setenv("CLIP3D_WEIGHTS", str(tiny_weights))
    monkeypatch.setitem(registry._ENTRIES["text_encoders"], "tiny", "tiny_text:TinyTextEncoder")
    monkeypatch.delenv("CLIP3D_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def command_line(*arguments: object) -> Said:
        code = run(app, [str(each) for each in arguments])
        return Said(code, *capsys.readouterr())

    return command_line


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A PLY of 1,000 points: a road, a car, a wall."""
    path = tmp_path / "scan.ply"
    write_scan(path, synthetic_street()[::20])
    return path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes to learn from and one to judge; nobody changes them."""
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a training that takes a second."""
    return quick_settings(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def wanted(scenes: Path, quick: list[str]) -> list[str]:
    """A command line of a pretraining that lacks only a folder for the run."""
    return ["pretrain", "--dataset", "folder", "--root", str(scenes), *quick]


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The root of every data set's tree; nobody changes them."""
    roots = {}
    for name in registry.names("datasets"):
        roots[name] = tmp_path_factory.mktemp(name)
        importlib.import_module(f"datasets_trees_{name}").write_tree(roots[name])
    return roots


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The tree of one's own scenes, in a folder that may be changed."""
    importlib.import_module("datasets_trees_folder").write_tree(tmp_path / "mine")
    return tmp_path / "mine"
