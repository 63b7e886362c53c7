"""Pretraining from beginning to end, with a tiny random teacher."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from datasets_trees_folder import write_tree
from other_device import OtherDevice, record_evaluations
from safetensors.torch import load_file
from tiny_clip import VIT, save_model, settings

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.pipelines.evaluate.document import read_document
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.run import PretrainResult, pretrain
from clip3d_cli.pipelines.training.config_sources import with_settings
from clip3d_cli.pipelines.training.run import Callbacks
from clip3d_cli.training.loop import StepReport

SPACE = FeatureSpace("openclip/ViT-B-32/openai", 512)
STEPS, STOPPED = 4, 2


def name_space(teacher: Path, space: str) -> None:
    told = {"space": {"name": space, "dim": 512}, "text_encoder": "mini"}
    (teacher / "clip3d.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "tiny"
    save_model(settings(VIT) | {"embed_dim": 512}, folder)
    name_space(folder, SPACE.name)
    return folder


@pytest.fixture(scope="module")
def config(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """A training of four steps, on two scenes."""
    root = tmp_path_factory.mktemp("scenes")
    write_tree(root)
    chosen = {
        "data.dataset": "folder",
        "data.root": root,
        "data.split": "all",
        "teacher.model": teacher,
        "words.templates": "none",
        "words.classes": "floor,box,tree=bush|shrub",
        "encoder.layers": 14,
        "encoder.width": 0.25,
        "encoder.voxel_sizes_m": "0.4",
        "batch.scenes": 1,
        "batch.pairs": 64,
        "optimizer.steps": STEPS,
        "run.workers": 0,
    }
    return with_settings(PretrainConfig(), [f"{key}={value}" for key, value in chosen.items()])


@pytest.fixture(scope="module")
def done(config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    return pretrain(config, tmp_path_factory.mktemp("runs") / "done")


def stop_after(number: int) -> Callbacks:
    def on_step(step: StepReport) -> None:
        if step.number == number:
            signal.raise_signal(signal.SIGTERM)

    return Callbacks(on_step=on_step)


def test_a_stopped_run_gives_the_same_weights(
    config: PretrainConfig, done: PretrainResult, tmp_path: Path
) -> None:
    assert (done.finished, done.steps) == (True, STEPS)
    stopped = pretrain(config, tmp_path / "run", callbacks=stop_after(STOPPED))
    assert (stopped.finished, stopped.steps, stopped.weights) == (False, STOPPED, None)
    assert not (tmp_path / "run" / "points.safetensors").exists()
    # What another process would have drawn by now.
    torch.manual_seed(12345)
    counts: list[tuple[int, int]] = []
    callbacks = Callbacks(on_start=lambda steps, before: counts.append((steps, before)))
    ended = pretrain(config, tmp_path / "run", resume=True, callbacks=callbacks)
    assert (ended.finished, ended.steps) == (True, STEPS)
    assert counts == [(STEPS, STOPPED)]
    assert done.weights is not None and ended.weights is not None
    assert ended.weights.read_bytes() == done.weights.read_bytes()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_steps_and_seeds_change_the_weights(
    config: PretrainConfig, done: PretrainResult, tmp_path: Path
) -> None:
    """What makes equal files mean something."""
    assert done.weights is not None
    other = pretrain(with_settings(config, ["run.seed=1"]), tmp_path / "run").weights
    assert other is not None
    tensors = [load_file(path) for path in (done.weights, other)]
    assert tensors[0].keys() == tensors[1].keys()
    assert any(not torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_what_is_saved_says_what_it_is(config: PretrainConfig, done: PretrainResult) -> None:
    assert done.weights == done.folder / "points.safetensors"
    encoder = open_encoder(done.weights).encoder
    spec = encoder.spec
    assert (spec.text_encoder, spec.space) == ("mini", SPACE)
    assert (spec.inputs, spec.voxel_sizes_m) == (config.encoder.inputs, (0.4,))
    assert 1 <= spec.logit_scale <= 100
    assert spec.provenance["steps"] == str(STEPS)
    assert spec.provenance["trained_by"] == "clip3d pretrain --method clip2scene"
    assert json.loads(spec.provenance["config"]) == json.loads(json.dumps(config.tables()))


def test_only_some_scenes_are_judged_by(config: PretrainConfig, tmp_path: Path) -> None:
    done = pretrain(
        with_settings(config, ["data.eval_split=val", "optimizer.steps=1"]), tmp_path / "run"
    )
    assert done.evaluation is not None
    written = read_document(tmp_path / "run" / "eval.val.json")
    assert written == done.evaluation.document
    assert (written.points, written.split) == (133, "val")
    judged = done.evaluation.evaluation
    # Two thirds of the points of the hall have truth; the classes are the data set's own.
    assert [entry.name for entry in judged.vocabulary.classes] == ["floor", "box"]
    assert judged.points == 133
    assert judged.confusion.counts.sum(axis=1).tolist() == [66, 67]
    # The yard, which has no truth, is the whole of the other split.
    chosen = with_settings(config, ["data.eval_split=train", "optimizer.steps=1"])
    none = pretrain(chosen, tmp_path / "other").evaluation
    assert none is not None
    assert none.evaluation.points == 0


@pytest.mark.parametrize(("words", "text_encoders"), [("floor,box", ["mini"]), ("", [])])
def test_weights_are_evaluated_on_the_device_that_trained(
    config: PretrainConfig,
    words: str,
    text_encoders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = record_evaluations(monkeypatch)
    chosen = ["data.eval_split=val", "optimizer.steps=1", f"words.classes={words}"]
    done = pretrain(with_settings(config, chosen), tmp_path / "run", world=OtherDevice())
    assert opened.networks == [("points.safetensors", "cpu:0", "text")]
    # The vocabulary of the data set was embedded for the training if it was trained with.
    assert opened.text_encoders == text_encoders
    assert done.evaluation is not None
    assert done.evaluation.document.device == "cpu:0"


def test_a_wrong_teacher_leaves_no_folder(
    config: PretrainConfig, teacher: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(teacher, wrong)
    # Its words would be compared with pixels of another space.
    name_space(wrong, "openclip/ViT-B-16/openai")
    run = tmp_path / "run"
    with pytest.raises(SetupError, match="E_SPACE_MISMATCH"):
        pretrain(with_settings(config, [f"teacher.model={wrong}"]), run)
    assert not run.exists()
    with pytest.raises((SetupError, UsageError)):
        pretrain(with_settings(config, ["teacher.model=nowhere/at-all"]), run)
    assert not run.exists()
    with pytest.raises(UsageError, match=r"E_CONFIG.*loss\.own_words"):
        pretrain(
            with_settings(config, ["loss.own_words=average", "optimizer.average_decay=0"]), run
        )
    assert not run.exists()
    assert pretrain(with_settings(config, ["optimizer.steps=1"]), run).finished


def saved_start(folder: Path, space: FeatureSpace) -> Path:
    """Weights that ask for other channels than the configuration does."""
    shape = {"layers": 14, "width": 0.25}
    spec = EncoderSpec("minkunet", shape, ("one", "height_near"), (0.1,), space, "mini", 14.0)
    torch.manual_seed(3)
    save_encoder(PointEncoder(spec).eval(), folder / "start.safetensors")
    return folder / "start.safetensors"


def test_weights_go_on_with_their_own_inputs(config: PretrainConfig, tmp_path: Path) -> None:
    start = saved_start(tmp_path, SPACE)
    assert len(config.encoder.inputs) != 2
    chosen = with_settings(
        config, [f"encoder.start={start}", "optimizer.steps=1", "optimizer.learning_rate=0"]
    )
    ended = pretrain(chosen, tmp_path / "run")
    assert ended.weights is not None
    assert open_encoder(ended.weights).encoder.spec.inputs == ("one", "height_near")
    before, after = load_file(start), load_file(ended.weights)
    assert before.keys() == after.keys()
    # Nothing was learned: what is saved is what it began with.
    kernels = [name for name, tensor in before.items() if tensor.ndim > 1]
    assert kernels
    assert all(torch.equal(before[name], after[name]) for name in kernels)


def test_weights_of_another_space_are_no_start(config: PretrainConfig, tmp_path: Path) -> None:
    start = saved_start(tmp_path, FeatureSpace("openclip/ViT-B-16/openai", 512))
    with pytest.raises(SetupError, match=r"E_SPACE_MISMATCH.*the teacher"):
        pretrain(with_settings(config, [f"encoder.start={start}"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def words_told(config: PretrainConfig, run: Path, *, resume: bool = False) -> list[str]:
    told: list[str] = []
    pretrain(config, run, resume=resume, callbacks=Callbacks(note=told.append))
    return [name for line in told for name in line.partition("words: ")[2].split(", ")]


def test_words_that_images_do_not_show_are_left_out(config: PretrainConfig, tmp_path: Path) -> None:
    config = with_settings(config, ["optimizer.steps=1"])
    assert words_told(config, tmp_path / "all") == ["floor", "box", "tree"]
    least = with_settings(config, ["words.least_share=0.4"])
    some = words_told(least, tmp_path / "some")
    assert 0 < len(some) < 3
    assert set(some) <= {"floor", "box", "tree"}
    # Going on, the words are found again.
    assert words_told(least, tmp_path / "some", resume=True) == some


def test_words_that_no_image_shows_leave_no_run(
    config: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UsageError("E_CONFIG", "words.least_share", "no word has a share")

    rare = with_settings(config, ["words.least_share=0.01", "optimizer.steps=1"])
    with monkeypatch.context() as patched:
        patched.setattr("clip3d_cli.pipelines.pretrain.run.keep_frequent_words", refuse)
        with pytest.raises(UsageError, match="no word has a share"):
            pretrain(rare, tmp_path / "run")
    # The features are kept; the corrected command begins a run beside them.
    assert not (tmp_path / "run" / "config.toml").exists()
    assert pretrain(rare, tmp_path / "run").finished
