"""``--head closed`` from the command line to the files, and what info says of such weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from command_line import CommandLine
from torch import nn

from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.weights_files import DEFAULT_WEIGHTS

NAMES = ("car", "road", "wall", "tree")
IDS = (10, 40, 50, 70)


@pytest.fixture(scope="session")
def two_heads(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained weights, with a closed head of four classes."""
    encoder = load_encoder(tiny_weights / f"{DEFAULT_WEIGHTS}.safetensors")
    rows = zip(NAMES, IDS, strict=True)
    classes = tuple(SemanticClass(name, (name,), number, (1, 2, 3)) for name, number in rows)
    head = ClosedHead.of(Vocabulary("street", classes))
    torch.manual_seed(1)
    layer = nn.Linear(encoder.network.get_parameter("head.weight").shape[1], len(NAMES))
    path = tmp_path_factory.mktemp("closed") / "points.safetensors"
    spec = dataclasses.replace(encoder.spec, closed=head, provenance={"trained_by": "a test"})
    save_encoder(PointEncoder(spec, encoder.network), path, closed=layer)
    return path


def vertices(path: Path) -> tuple[np.ndarray, np.ndarray]:
    vertex = plyfile.PlyData.read(path)["vertex"]
    return np.asarray(vertex["scalar_label"]), np.asarray(vertex["scalar_score"])


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_labels_by_the_trained_classes(
    clip3d: CommandLine, scan: Path, two_heads: Path, backend: str
) -> None:
    options = ("--head", "closed", "--weights", two_heads, "--backend", backend)
    said = clip3d("label", scan, *options, "--json", "-v")
    assert said.code == 0, said.err
    assert "head: closed, 4 classes, 4 requested" in said.err
    document = said.document
    assert (document["head"], document["text_encoder"]) == ("closed", None)
    assert document["space"] == {"name": "classes/street", "dim": 4}
    assert document["vocabulary"] == "street"
    (result,) = document["results"]
    assert [(each["name"], each["id"]) for each in result["classes"]] == [
        *zip(NAMES, IDS, strict=True)
    ]
    labels, score = vertices(scan.with_name("scan.clip3d.ply"))
    assert set(labels.tolist()) <= set(IDS)
    assert (score > 0.25).all()
    sidecar = json.loads(scan.with_name("scan.clip3d.classes.json").read_text())
    assert [entry["id"] for entry in sidecar["classes"]] == [*IDS]


def test_some_of_the_classes_in_the_order_given(
    clip3d: CommandLine, scan: Path, two_heads: Path
) -> None:
    options = ("--head", "closed", "--weights", two_heads)
    said = clip3d("label", scan, *options, "--classes", "tree,car", "--json")
    (result,) = said.document["results"]
    assert [(each["name"], each["id"]) for each in result["classes"]] == [("tree", 1), ("car", 2)]
    labels, some = vertices(scan.with_name("scan.clip3d.ply"))
    assert set(labels.tolist()) <= {1, 2}
    assert clip3d("label", scan, *options, "--overwrite").code == 0
    _, all_of_them = vertices(scan.with_name("scan.clip3d.ply"))
    assert (some <= all_of_them + 1e-6).all()


def test_the_text_head_answers_as_it_did(clip3d: CommandLine, scan: Path, two_heads: Path) -> None:
    written = []
    for weights in ((), ("--weights", two_heads)):
        said = clip3d(
            "label", scan, "--classes", "car,tire", *weights, "--json", "-o", "a.ply", "--overwrite"
        )
        assert said.document["head"] == "text"
        assert said.document["text_encoder"] == "tiny"
        written.append(scan.with_name("a.ply").read_bytes())
    assert written[0] == written[1]


def test_a_plan_names_the_head_and_its_classes(
    clip3d: CommandLine, scan: Path, two_heads: Path
) -> None:
    said = clip3d("label", scan, "--head", "closed", "--weights", two_heads, "--dry-run", "--json")
    assert said.document["head"] == "closed"
    assert said.document["classes"] == [*NAMES]
    said = clip3d("label", scan, "--head", "closed", "--weights", two_heads, "--dry-run")
    assert f"4 classes: {', '.join(NAMES)}" in said.out


@pytest.mark.parametrize(
    ("options", "code", "fault", "hint"),
    [
        (["--classes", "car,tre"], 2, "E_CLASSES]: classes: the closed head was not", "tree?"),
        (
            ["--vocabulary", "asprs"],
            2,
            "asprs: the closed head was not trained on 'unclass",
            "It knows: car, road",
        ),
        (["--templates", "photo"], 2, "E_USAGE]: --templates: has no effect", "Leave it out"),
        (["--text-encoder", "mini"], 2, "E_USAGE]: --text-encoder: has no effect", "--head text"),
        (["--classes", "car", "--vocabulary", "asprs"], 2, "both --classes and", "Use either"),
        (["--weights", DEFAULT_WEIGHTS], 4, "E_WEIGHTS", "Train one with clip3d finetune"),
    ],
)
def test_refusals(
    clip3d: CommandLine,
    scan: Path,
    two_heads: Path,
    options: list[str],
    code: int,
    fault: str,
    hint: str,
) -> None:
    said = clip3d("label", scan, "--weights", two_heads, "--head", "closed", *options)
    assert said.code == code, said.err
    error, remedy = said.err.splitlines()
    assert fault in error
    assert hint in remedy
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]


def test_info_says_what_weights_can_do(
    clip3d: CommandLine, scan: Path, two_heads: Path, tiny_weights: Path
) -> None:
    said = clip3d("info", two_heads, scan)
    assert said.code == 0, said.err
    for part in (
        "points.safetensors: clip3d weights",
        "minkunet (layers 14, width 0.25)",
        "inputs   one, height_near",
        "voxels   0.2, 0.4 m",
        "any, in tests/tiny (16), by tiny",
        "closed   4 classes of street: car, road, wall, tree",
        "note     trained_by: a test",
        "scan.ply: PLY",
    ):
        assert part in said.out
    assert "no head of fixed" in clip3d("info", tiny_weights / "other-space.safetensors").out


def test_info_of_weights_as_a_document(
    clip3d: CommandLine, two_heads: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.safetensors").write_bytes(two_heads.read_bytes()[:1000])
    other = tiny_weights / "other-space.safetensors"
    said = clip3d("info", two_heads, other, "cut.safetensors", "--json")
    assert said.code == 3
    both, one, cut = said.document["results"]
    assert both["closed"]["vocabulary"] == "street"
    rows = [(each["name"], each["id"]) for each in both["closed"]["classes"]]
    assert rows == [*zip(NAMES, IDS, strict=True)]
    assert both["bytes"] == two_heads.stat().st_size
    assert both["numbers"] == one["numbers"] > 10_000
    assert one["closed"] is None
    assert cut["error"]["code"] == "E_WEIGHTS"
