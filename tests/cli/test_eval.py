"""``clip3d eval`` from the command line to its document, on a small tree of every data set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from datasets_trees_folder import room
from tiny_text import TinyTextEncoder

from clip3d_cli import __version__, registry
from clip3d_cli.core.scenes import transform_points
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.labelling.label import label_cloud
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.templates import load_templates
from clip3d_cli.weights_files import DEFAULT_WEIGHTS

DATASETS = registry.names("datasets")


def counted_by_hand(dataset: Dataset, split: str, weights: Path) -> list[Any]:
    """What `label_cloud` says of all points of all scenes, counted one by one."""
    vocabulary = dataset.vocabulary
    assert vocabulary is not None
    classes = embed_vocabulary(vocabulary, TinyTextEncoder(), load_templates("photo"))
    encoder = open_encoder(weights).encoder
    counts = np.zeros((len(vocabulary), len(vocabulary) + 1), dtype=int)
    for scene in dataset.scenes(split):
        truth = dataset.ground_truth(scene)
        if truth is None:
            continue
        cloud = dataset.cloud(scene.sweeps[0])
        cloud.xyz[:] = transform_points(scene.sweeps[0].world_from_sensor, cloud.xyz)
        for true, said in zip(truth, label_cloud(cloud, encoder, classes).class_index, strict=True):
            if true >= 0:
                counts[true, said] += 1  # −1 is the last column
    return counts.tolist()


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_judged_by_what_label_says(
    clip3d: CommandLine, trees: dict[str, Path], tiny_weights: Path, name: str
) -> None:
    said = clip3d("eval", "--dataset", name, "--root", trees[name], "--json")
    assert said.code == 0, said.err
    document = said.document
    dataset = registry.load("datasets", name)(trees[name])
    usual = {"nuscenes": "mini_val", "semantickitti": "val", "folder": "val"}
    assert document["split"] == usual.get(name, dataset.splits()[0])
    wanted = counted_by_hand(
        dataset, document["split"], tiny_weights / f"{DEFAULT_WEIGHTS}.safetensors"
    )
    assert document["confusion"] == wanted
    assert document["points"] == sum(map(sum, wanted)) > 0
    assert f"{document['points']:,} points" in said.err
    assert "mIoU" in said.err
    for entry in document["classes"]:
        assert (entry["points"] == 0) == (entry["name"] in document["absent"])
    if document["absent"]:
        assert f"absent: {', '.join(document['absent'])}" in said.err


def test_label_itself_gives_the_same_counts(clip3d: CommandLine, mine: Path) -> None:
    """Users' own command line, on the scan of which the truth is known."""
    judged = clip3d("eval", "--dataset", "folder", "--root", mine, "--json").document
    words = mine / "vocabulary.toml"
    scan = mine / "hall" / "cloud.ply"
    assert clip3d("label", scan, "--classes", words, "-o", "hall.npz").code == 0
    index_of_id = {entry.class_id: k for k, entry in enumerate(Vocabulary.read(words).classes)}
    counts = np.zeros((2, 3), dtype=int)
    truth = np.load(mine / "hall" / "labels.npy")
    for true, label in zip(truth, np.load("hall.npz")["label"], strict=True):
        if true:
            counts[index_of_id[int(true)], index_of_id[int(label)]] += 1
    assert judged["confusion"] == counts.tolist()


SHARES = {"miou", "macc", "fwiou", "accuracy"}
KEYS = {
    "schema", "clip3d", "dataset", "root", "split", "scenes", "scenes_without_truth", "points",
    "metric", "vocabulary", "words", "templates", "text_encoder", "head", "weights", "device",
    "backend", "precision", "scores", "classes", "absent", "confusion", "bands", "foreground",
    "harmonic", "panoptic", "seconds",
}  # fmt: skip


def test_the_document_says_what_was_judged_and_by_what(
    clip3d: CommandLine, mine: Path, tiny_weights: Path
) -> None:
    said = clip3d("eval", "--dataset", "folder", "--root", mine, "--split", "all", "--json", "-q")
    assert (said.code, said.err) == (0, "")
    document = said.document
    assert set(document) == KEYS
    weights = tiny_weights / f"{DEFAULT_WEIGHTS}.safetensors"
    told = {
        "schema": "clip3d.eval/1",
        "clip3d": __version__,
        "dataset": "folder",
        "root": str(mine),
        "split": "all",
        "scenes": 1,
        "scenes_without_truth": 1,
        "points": 133,
        "vocabulary": {"name": "vocabulary", "classes": ["floor", "box"]},
        "words": {"floor": ["floor"], "box": ["box"]},
        "templates": ["a photo of a {}."],
        "text_encoder": "tiny",
        "head": "text",
        "weights": {
            "path": str(weights),
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        "bands": [],
        "foreground": None,
        "harmonic": None,
        "panoptic": None,
        "absent": [],
    }
    assert {key: document[key] for key in told} == told
    assert document["metric"]["convention"] == "present"
    assert document["metric"]["name"].startswith("mIoU over present classes")
    assert set(document["seconds"]) == {"load", "label", "read and count"}
    counts = np.array(document["confusion"])
    assert counts.shape == (2, 3)
    hits, truth, answers = np.diagonal(counts), counts.sum(axis=1), counts[:, :2].sum(axis=0)
    iou, accuracy = hits / (truth + answers - hits), hits / truth
    assert [entry["name"] for entry in document["classes"]] == ["floor", "box"]
    assert [entry["id"] for entry in document["classes"]] == [3, 1]
    assert [entry["points"] for entry in document["classes"]] == truth.tolist() == [66, 67]
    assert [entry["iou"] for entry in document["classes"]] == pytest.approx(iou.tolist())
    assert [entry["accuracy"] for entry in document["classes"]] == pytest.approx(accuracy.tolist())
    assert document["scores"] == pytest.approx(
        {
            "miou": iou.mean(),
            "macc": accuracy.mean(),
            "fwiou": (iou * truth).sum() / 133,
            "accuracy": hits.sum() / 133,
        }
    )


def test_everything_that_can_be_asked_for(clip3d: CommandLine, mine: Path) -> None:
    xyz = room()
    away = np.hypot(*xyz[:, :2].T)
    edge = round(float(np.median(away)), 2)
    options = ("--bands", f"{edge}, 1000", "--ignore", "floor", "--novel", "box")
    said = clip3d("eval", "--dataset", "folder", "--root", mine, *options, "--json")
    assert said.code == 0, said.err
    document = said.document
    of_class = {entry["name"]: entry["iou"] for entry in document["classes"]}
    assert document["foreground"] == {"ignored": ["floor"], "miou": of_class["box"]}
    both = of_class["floor"] + of_class["box"]
    harmonic = document["harmonic"]
    assert harmonic.pop("novel") == ["box"]
    assert harmonic == pytest.approx(
        {
            "base": of_class["floor"],
            "novel_miou": of_class["box"],
            "hiou": 2 * of_class["floor"] * of_class["box"] / both,
        }
    )
    judged = np.load(mine / "hall" / "labels.npy") > 0
    near = int((judged & (away < edge)).sum())
    bands = document["bands"]
    assert [band["points"] for band in bands] == [near, 133 - near, 0]
    assert [(band["from_m"], band["to_m"]) for band in bands] == [
        (0.0, edge),
        (edge, 1000.0),
        (1000.0, None),
    ]
    assert {key: bands[2][key] for key in SHARES} == dict.fromkeys(SHARES)
    for text in ("foreground mIoU ", "hIoU ", f"0 to {edge:g} m", "1000 m and beyond"):
        assert text in said.err


@pytest.mark.parametrize("name", ["nuscenes", "semantickitti"])
def test_objects_are_judged_where_they_are_told_apart(
    clip3d: CommandLine, trees: dict[str, Path], name: str
) -> None:
    said = clip3d("eval", "--dataset", name, "--root", trees[name], "--panoptic", "--json")
    assert said.code == 0, said.err
    panoptic = said.document["panoptic"]
    assert set(panoptic) == {"pq", "sq", "rq", "pq_dagger", "things", "stuff", "link_m", "classes"}
    assert [entry["name"] for entry in panoptic["classes"]] == [
        entry["name"] for entry in said.document["classes"]
    ]
    per_class = [entry["pq"] for entry in panoptic["classes"] if entry["pq"] is not None]
    assert panoptic["pq"] == pytest.approx(sum(per_class) / len(per_class))
    assert "PQ†" in said.err


@pytest.mark.parametrize("metric", ["official", "reference"])
def test_other_conventions_say_so(clip3d: CommandLine, trees: dict[str, Path], metric: str) -> None:
    where = ("--dataset", "semantickitti", "--root", trees["semantickitti"])
    usual = clip3d("eval", *where, "--json").document
    other = clip3d("eval", *where, "--json", "--metric", metric).document
    assert other["metric"]["convention"] == metric
    assert other["metric"]["name"] != usual["metric"]["name"]
    assert other["confusion"] == usual["confusion"]
    assert other["scores"]["miou"] != usual["scores"]["miou"]


def test_prompts_give_some_classes_other_words(
    clip3d: CommandLine, mine: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.toml"
    prompts.write_text('[[class]]\nname = "box"\nwords = ["crate", "carton"]\n', encoding="utf-8")
    where = ("eval", "--dataset", "folder", "--root", mine, "--json", "--prompts", prompts)
    document = clip3d(*where, "--templates", "none").document
    assert document["words"] == {"floor": ["floor"], "box": ["crate", "carton"]}
    assert document["templates"] == ["{}"]
    # Only the words are taken from the file.
    assert [entry["id"] for entry in document["classes"]] == [3, 1]
    prompts.write_text(
        '[[class]]\nname = "box"\nwords = ["floor"]\n[[class]]\nname = "floor"\nwords = ["box"]\n'
    )
    exchanged = clip3d(*where).document
    usual = clip3d("eval", "--dataset", "folder", "--root", mine, "--json").document
    assert [row[:2][::-1] for row in exchanged["confusion"]] == [
        row[:2] for row in usual["confusion"]
    ]


def test_the_document_goes_into_a_file(clip3d: CommandLine, mine: Path, tmp_path: Path) -> None:
    where = ("eval", "--dataset", "folder", "--root", mine, "-o", "found.json")
    said = clip3d(*where, "--json")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "found.json").read_text()) == said.document
    assert "written: found.json" in said.err
    again = clip3d(*where)
    assert again.code == 2
    assert "error[E_EXISTS]: found.json: exists already" in again.err
    assert clip3d(*where, "--overwrite", "-q").code == 0


def test_limit_spreads_over_the_split(clip3d: CommandLine, trees: dict[str, Path]) -> None:
    where = ("eval", "--dataset", "semantickitti", "--root", trees["semantickitti"], "--json")
    assert clip3d(*where, "--split", "train", "--limit", 3).document["scenes"] == 3
