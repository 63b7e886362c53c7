"""What a fine-tuning refuses before it writes anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled_rooms import write_rooms
from small_start import SPACE, saved

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.errors import Clip3DError
from clip3d_cli.pipelines.finetune.config import FinetuneConfig
from clip3d_cli.pipelines.finetune.run import finetune
from clip3d_cli.pipelines.training.config_sources import with_settings


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("data") / "rooms")


@pytest.fixture(scope="module")
def config(rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneConfig:
    start = saved(tmp_path_factory.mktemp("start") / "start.safetensors")
    chosen = [f"data.root={rooms}", f"start.weights={start}", "optimizer.steps=1", "run.workers=0"]
    return with_settings(FinetuneConfig(), chosen)


def refusal_of(config: FinetuneConfig, run: Path, settings: list[str]) -> Clip3DError:
    with pytest.raises(Clip3DError) as refusal:
        finetune(with_settings(config, settings), run)
    assert not run.exists()
    return refusal.value


@pytest.mark.parametrize(
    ("setting", "code", "fault"),
    [
        ("data.split=test", "E_DATASET", "split test: none of its 1 scenes has labels"),
        ("data.split=trian", "E_UNKNOWN_NAME", "there is no 'trian'"),
        ("data.eval_split=vaal", "E_UNKNOWN_NAME", "there is no 'vaal'"),
        ("start.weights=gone.safetensors", "E_WEIGHTS", "is not there"),
        ("start.weights=scrach", "E_WEIGHTS", "scrach: is not in"),
        ("words.text_encoder=maxi", "E_UNKNOWN_NAME", "there is no 'maxi'"),
        ("words.templates=poto", "E_UNKNOWN_NAME", "there is no 'poto'"),
        ("start.sha256=abc", "E_CONFIG", "is not the file that the run was started from"),
    ],
)
def test_options_are_refused_first(
    config: FinetuneConfig, tmp_path: Path, setting: str, code: str, fault: str
) -> None:
    refusal = refusal_of(config, tmp_path / "run", [setting])
    assert refusal.code == code
    assert fault in str(refusal)
    assert refusal.remedy


def test_a_start_is_no_folder(
    config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "earlier").mkdir()
    refusal = refusal_of(config, tmp_path / "run", ["start.weights=earlier"])
    assert (refusal.code, refusal.fault) == ("E_WEIGHTS", "is a folder")


def test_labels_need_a_vocabulary(config: FinetuneConfig, tmp_path: Path) -> None:
    root = write_rooms(tmp_path / "rooms")
    (root / "vocabulary.toml").unlink()
    refusal = refusal_of(config, tmp_path / "run", [f"data.root={root}"])
    assert (refusal.code, "vocabulary.toml" in refusal.remedy) == ("E_DATASET", True)


def test_labels_must_count(config: FinetuneConfig, tmp_path: Path) -> None:
    root = write_rooms(tmp_path / "rooms")
    for path in root.glob("[abcd]/labels.npy"):
        np.save(path, np.zeros(600, dtype=np.int64))
    refusal = refusal_of(config, tmp_path / "run", [f"data.root={root}"])
    assert "no label of a and the next scenes is of a class that counts" in str(refusal)
    np.save(root / "b" / "labels.npy", np.ones(5, dtype=np.int64))
    refusal = refusal_of(config, tmp_path / "run", [f"data.root={root}"])
    assert refusal.code == "E_COUNT_MISMATCH"


def test_points_and_words_share_a_space(config: FinetuneConfig, tmp_path: Path) -> None:
    for space in (FeatureSpace("openclip/ViT-B-16/openai", 512), replace(SPACE, dim=256)):
        start = saved(tmp_path / "other.safetensors", space)
        refusal = refusal_of(config, tmp_path / "run", [f"start.weights={start}"])
        assert refusal.code == "E_SPACE_MISMATCH"
        assert "the text encoder mini" in str(refusal)


def test_scans_have_what_the_start_reads(config: FinetuneConfig, tmp_path: Path) -> None:
    start = saved(tmp_path / "bright.safetensors", inputs=("one", "intensity"))
    refusal = refusal_of(config, tmp_path / "run", [f"start.weights={start}"])
    assert "intensity" in str(refusal)


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_start(config: FinetuneConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert finetune(config, run).finished
    before = sorted((path, path.read_bytes()) for path in run.rglob("*") if path.is_file())
    other = saved(tmp_path / "other.safetensors", replace(SPACE))
    other.write_bytes(other.read_bytes().replace(b"a test", b"b test"))
    for settings in ([f"start.weights={other}"], ["start.weights=scratch"], ["data.fraction=0.5"]):
        with pytest.raises(Clip3DError) as refusal:
            finetune(with_settings(config, settings), run, resume=True)
        assert refusal.value.code == "E_CONFIG", settings
    assert before == sorted((path, path.read_bytes()) for path in run.rglob("*") if path.is_file())
