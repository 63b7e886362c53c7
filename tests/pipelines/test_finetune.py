"""Fine-tuning from beginning to end, on rooms that a small network can learn."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_rooms import BOX, write_rooms
from other_device import OtherDevice, record_evaluations
from safetensors.torch import load_file
from small_start import INPUTS, SPACE, saved

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.folder.dataset import Folder
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.concepts import Concept
from clip3d_cli.encoders.weights_file import file_sha256, read_spec
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.pipelines.evaluate.document import read_document
from clip3d_cli.pipelines.evaluate.weights import WeightsEvaluator
from clip3d_cli.pipelines.finetune.config import FinetuneConfig
from clip3d_cli.pipelines.finetune.run import FinetuneResult, _trained_concepts, finetune
from clip3d_cli.pipelines.training.config_sources import with_settings
from clip3d_cli.pipelines.training.run import Callbacks
from clip3d_cli.training.checkpoints import read_snapshot
from clip3d_cli.training.loop import StepReport

STEPS, STOPPED = 4, 2


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("data") / "rooms")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("start") / "start.safetensors")


@pytest.fixture(scope="module")
def config(rooms: Path, start: Path) -> FinetuneConfig:
    """A fine-tuning of four steps."""
    chosen = {
        "data.dataset": "folder",
        "data.root": rooms,
        "data.fraction": 0.5,
        "start.weights": start,
        "words.templates": "none",
        "encoder.layers": 14,
        "encoder.width": 0.25,
        "encoder.voxel_sizes_m": "0.2",
        "batch.scenes": 2,
        "optimizer.steps": STEPS,
        "run.workers": 0,
    }
    return with_settings(FinetuneConfig(), [f"{key}={value}" for key, value in chosen.items()])


@pytest.fixture(scope="module")
def done(config: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    return finetune(config, tmp_path_factory.mktemp("runs") / "done")


def evaluator_of(rooms: Path) -> WeightsEvaluator:
    return WeightsEvaluator(Folder(rooms), "val", templates=("{}",))


def weights_of(ended: FinetuneResult) -> Path:
    assert ended.weights is not None
    return ended.weights


def notes_of(config: FinetuneConfig, run: Path) -> str:
    told: list[str] = []
    finetune(config, run, callbacks=Callbacks(note=told.append))
    return "\n".join(told)


def stop_after(number: int) -> Callbacks:
    def on_step(step: StepReport) -> None:
        if step.number == number:
            signal.raise_signal(signal.SIGTERM)

    return Callbacks(on_step=on_step)


@pytest.mark.slow
def test_both_heads_learn_what_the_labels_say(config: FinetuneConfig, tmp_path: Path) -> None:
    """Were the classes of one head mixed up, it would answer worse than by chance."""
    chosen = ["data.fraction=1", "optimizer.steps=40", "optimizer.learning_rate=0.2"]
    ended = finetune(with_settings(config, [*chosen, "optimizer.head_factor=5"]), tmp_path / "run")
    assert ended.split == "val"
    for head in ("closed", "text"):
        scores = ended.evaluations[head].evaluation.scores()
        assert scores.mean_iou > 0.75, head
        assert scores.points > 500


def test_the_start_is_judged_as_well(
    config: FinetuneConfig, done: FinetuneResult, start: Path, rooms: Path, tmp_path: Path
) -> None:
    before = done.before
    assert before is not None
    expected = evaluator_of(rooms).evaluate(start).evaluation
    assert np.array_equal(before.evaluation.confusion.counts, expected.confusion.counts)
    for change in ("start.weights=scratch", "loss.linear_probe=true"):
        ended = finetune(with_settings(config, [change]), tmp_path / change)
        assert ended.evaluations, change
        assert ended.before is None, change


def test_heads_are_evaluated_on_the_device_that_trained(
    config: FinetuneConfig, done: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = record_evaluations(monkeypatch)
    notes: list[str] = []
    other = finetune(
        config, tmp_path / "run", world=OtherDevice(), callbacks=Callbacks(note=notes.append)
    )
    assert opened.networks == [
        ("points.safetensors", "cpu:0", "closed"),
        ("points.safetensors", "cpu:0", "text"),
        ("start.safetensors", "cpu:0", "text"),
    ]
    # The words were embedded for the training.
    assert opened.text_encoders == []
    assert "evaluating both heads on split val, on cpu:0" in notes
    assert other.before is not None and done.before is not None
    for mine, theirs in (
        (other.before, done.before),
        *((other.evaluations[head], done.evaluations[head]) for head in done.evaluations),
    ):
        assert mine.document.device == "cpu:0"
        assert mine.document.confusion == theirs.document.confusion


def test_classes_without_labels_are_named(
    config: FinetuneConfig, rooms: Path, tmp_path: Path
) -> None:
    assert "no labels" not in notes_of(config, tmp_path / "whole")
    poor = shutil.copytree(rooms, tmp_path / "poor")
    for labels in poor.glob("*/labels.npy"):
        numbers = np.load(labels)
        np.save(labels, np.where(numbers == BOX, 0, numbers))
    told = notes_of(with_settings(config, [f"data.root={poor}"]), tmp_path / "some")
    assert "no labels of box: the network may forget these classes" in told


def test_what_is_saved_says_what_it_is(
    config: FinetuneConfig, done: FinetuneResult, start: Path
) -> None:
    assert weights_of(done) == done.folder / "points.safetensors"
    assert (done.finished, done.steps, done.labelled) == (True, STEPS, 2)
    spec = read_spec(weights_of(done))
    assert (spec.text_encoder, spec.space, spec.inputs) == ("mini", SPACE, INPUTS)
    assert spec.voxel_sizes_m == (0.2,)
    assert spec.closed is not None
    assert (spec.closed.names, spec.closed.class_ids) == (("floor", "box"), (3, 1))
    # Logits are taken as they were trained, cosines are fitted to the words of these classes.
    assert spec.closed.logit_scale == 1.0
    assert spec.logit_scale not in (1.0, read_spec(start).logit_scale)
    assert spec.provenance["trained_by"] == "clip3d finetune"
    assert json.loads(spec.provenance["start"]) == {
        "weights": "start.safetensors",
        "sha256": file_sha256(start),
        "provenance": {"by": "a test"},
    }
    told = {
        key: spec.provenance[key] for key in ("dataset", "fraction", "labelled_scenes", "steps")
    }
    assert told == {"dataset": "folder", "fraction": "0.5", "labelled_scenes": "2", "steps": "4"}
    assert json.loads(spec.provenance["config"])["start"]["sha256"] == file_sha256(start)


def test_the_records_are_what_eval_finds(done: FinetuneResult, rooms: Path) -> None:
    for head in ("closed", "text"):
        document = read_document(done.folder / f"eval.val.{head}.json")
        again = evaluator_of(rooms).evaluate(weights_of(done), head)
        assert (document.head, document.split, document.scenes) == (head, "val", 1)
        assert document.confusion == again.document.confusion
        assert document.weights.sha256 == file_sha256(weights_of(done))


def test_a_stopped_run_gives_the_same_weights(
    config: FinetuneConfig, done: FinetuneResult, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stopped = finetune(config, run, callbacks=stop_after(STOPPED))
    assert (stopped.finished, stopped.steps, stopped.weights) == (False, STOPPED, None)
    assert not list(run.glob("*.safetensors")) + list(run.glob("eval*"))
    # What another process would have drawn by now.
    torch.manual_seed(12345)
    ended = finetune(config, run, resume=True)
    assert (ended.finished, ended.steps) == (True, STEPS)
    assert weights_of(ended).read_bytes() == weights_of(done).read_bytes()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_seeds_change_the_weights(
    config: FinetuneConfig, done: FinetuneResult, tmp_path: Path
) -> None:
    """What makes equal files mean something."""
    other = finetune(with_settings(config, ["run.seed=1"]), tmp_path / "run")
    tensors = [load_file(weights_of(each)) for each in (done, other)]
    assert tensors[0].keys() == tensors[1].keys()
    assert any(not torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_the_head_has_a_rate_of_its_own(config: FinetuneConfig, tmp_path: Path) -> None:
    chosen = ["optimizer.steps=1", "optimizer.head_factor=7", "optimizer.learning_rate=0.5"]
    finetune(with_settings(config, chosen), tmp_path / "run")
    (path,) = (tmp_path / "run" / "checkpoints").iterdir()
    options = read_snapshot(path).scalars["options"]
    assert (options["head_factor"], options["learning_rate"]) == (7.0, 0.5)


def test_half_precision_trains_too(config: FinetuneConfig, tmp_path: Path) -> None:
    chosen = ["optimizer.steps=1", "run.precision=bf16"]
    ended = finetune(with_settings(config, chosen), tmp_path / "run")
    # Weights with a number that is not finite are refused.
    assert load_encoder(weights_of(ended), head="closed").spec.head == "closed"


def test_a_linear_probe_leaves_the_network_as_it_is(
    config: FinetuneConfig, start: Path, tmp_path: Path
) -> None:
    probe = with_settings(config, ["loss.linear_probe=true"])
    ended = finetune(probe, tmp_path / "run")
    before, after = load_file(start), load_file(weights_of(ended))
    assert after.keys() - before.keys() == {"closed.weight", "closed.bias"}
    assert all(torch.equal(before[name], after[name]) for name in before)
    spec = read_spec(weights_of(ended))
    assert spec.logit_scale == read_spec(start).logit_scale
    assert spec.provenance["trained_by"] == "clip3d finetune --linear-probe"
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert {"cross_entropy", "lovasz"} <= json.loads(metrics[0]).keys()
    assert "words" not in json.loads(metrics[0])


def test_a_fresh_network_is_that_of_the_configuration(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    scratch = with_settings(config, ["start.weights=scratch", "optimizer.steps=1"])
    ended = finetune(scratch, tmp_path / "run")
    spec = read_spec(weights_of(ended))
    assert (spec.inputs, spec.space, spec.text_encoder) == (config.encoder.inputs, SPACE, "mini")
    assert json.loads(spec.provenance["start"]) == {"weights": "scratch"}
    assert "start: a new minkunet" in notes_of(scratch, tmp_path / "other")


def test_a_closed_head_of_the_same_classes_goes_on(
    config: FinetuneConfig, done: FinetuneResult, tmp_path: Path
) -> None:
    still = ["optimizer.learning_rate=0", "optimizer.steps=1", f"start.weights={done.weights}"]
    ended = finetune(with_settings(config, still), tmp_path / "run")
    for name in ("closed.weight", "closed.bias"):
        assert torch.equal(load_file(weights_of(done))[name], load_file(weights_of(ended))[name])
    assert "its training is continued" in notes_of(with_settings(config, still), tmp_path / "other")


def test_concepts_of_the_start_come_after_the_classes() -> None:
    vocabulary = Vocabulary.from_names(["box=crate", "floor"])
    before = (Concept("car", ("car", "crate"), iou={"real": 0.5}),)
    assert _trained_concepts(before, vocabulary) == (
        Concept("box", ("box",)),
        Concept("crate", ("crate",)),
        Concept("floor", ("floor",)),
        Concept("car", ("car", "crate")),
    )
    assert _trained_concepts((), vocabulary) == ()


def test_a_closed_head_of_other_classes_is_replaced(config: FinetuneConfig, tmp_path: Path) -> None:
    other = ClosedHead("animals", ("cat", "dog", "cow"), (1, 2, 3), ((0, 0, 0),) * 3)
    start = saved(tmp_path / "animals.safetensors", closed=other)
    chosen = with_settings(config, [f"start.weights={start}", "optimizer.steps=1"])
    told = notes_of(chosen, tmp_path / "run")
    assert "closed head of 3 classes (animals) is replaced by one of 2 (vocabulary)" in told
    closed = read_spec(tmp_path / "run" / "points.safetensors").closed
    assert closed is not None and closed.names == ("floor", "box")


def test_voxels_are_the_starts_own_unless_told_otherwise(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    chosen = with_settings(config, ["start.voxels_m=0.1,0.4", "optimizer.steps=1"])
    told = notes_of(chosen, tmp_path / "run")
    assert "trained with voxels of 0.2 m, and continues with 0.1, 0.4 m" in told
    assert read_spec(tmp_path / "run" / "points.safetensors").voxel_sizes_m == (0.1, 0.4)
    assert "voxels" not in notes_of(
        with_settings(config, ["optimizer.steps=1"]), tmp_path / "other"
    )


def test_a_start_may_move_but_not_change(config: FinetuneConfig, tmp_path: Path) -> None:
    first = finetune(config, tmp_path / "run", callbacks=stop_after(1))
    assert not first.finished
    moved = tmp_path / "moved.safetensors"
    shutil.copy(config.start.weights, moved)
    again = replace(config, start=replace(config.start, weights=str(moved)))
    assert finetune(again, tmp_path / "run", resume=True).finished


def test_the_start_is_of_another_data_set(
    config: FinetuneConfig, done: FinetuneResult, tmp_path: Path
) -> None:
    """Cross-domain: whatever the start learned, its text head takes the words of these classes."""
    root = write_rooms(tmp_path / "rooms")
    words = '[[class]]\nname = "ground"\nid = 3\n[[class]]\nname = "crate"\nid = 1\n'
    (root / "vocabulary.toml").write_text(words)
    chosen = [f"data.root={root}", f"start.weights={done.weights}", "optimizer.steps=1"]
    ended = finetune(with_settings(config, chosen), tmp_path / "run")
    encoder = load_encoder(weights_of(ended), head="closed")
    assert encoder.spec.closed is not None
    assert encoder.spec.closed.names == ("ground", "crate")
    origin = json.loads(encoder.spec.provenance["start"])
    assert json.loads(origin["provenance"]["start"])["weights"] == "start.safetensors"
