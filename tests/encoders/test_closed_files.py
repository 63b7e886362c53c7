"""Weights files with a closed head: writing, reading, and rejecting invalid ones."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from two_heads import both_heads, closed_layer, closed_spec, names, network, tensor

from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.native_encoder import NativeEncoder
from clip3d_cli.encoders.weights_file import read_spec, read_weights
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.errors import SetupError
from clip3d_cli.native.library import engine_status

COUNT = 5
Loader = Callable[[Path], object]


def described(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    fields: dict[str, Any] = json.loads(header["__metadata__"]["clip3d"])
    return fields


def load_closed(path: Path) -> object:
    return load_encoder(path, head="closed")


def load_native(path: Path) -> object:
    if engine_status().fault is not None:
        pytest.skip(f"native: {engine_status().fault}")
    return NativeEncoder.load(path, head="closed")


def test_one_file_keeps_both_heads(tmp_path: Path) -> None:
    text = network()
    path = both_heads(tmp_path, text, COUNT)
    alone, again, closed = tmp_path / "alone", load_encoder(path), load_encoder(path, head="closed")
    save_encoder(text, alone, torch.float32)
    with torch.no_grad():
        assert torch.equal(again(tensor(1)), load_encoder(alone)(tensor(1)))
        assert torch.equal(again(tensor(1)), text(tensor(1)))
    assert (again.spec.head, closed.spec.head) == ("text", "closed")
    assert again.spec.space == text.spec.space
    assert closed.spec.closed == again.spec.closed == read_spec(path).closed
    assert closed.spec.logit_scale == 1.0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["5-1.0.safetensors", "alone"]


def test_the_closed_head_is_written_in_full(tmp_path: Path) -> None:
    layer = closed_layer(network(), COUNT)
    path = tmp_path / "half.safetensors"
    save_encoder(closed_spec(network(), COUNT), path, closed=layer)
    state = load_file(path)
    assert state["head.weight"].dtype == torch.float16
    assert torch.equal(state["closed.weight"], layer.weight)
    assert torch.equal(state["closed.bias"], layer.bias)


def test_a_file_without_a_closed_head_is_as_before_there_were_any(tmp_path: Path) -> None:
    plain, named = tmp_path / "plain", tmp_path / "named"
    save_encoder(network(), plain)
    save_encoder(closed_spec(network(), COUNT), named)
    assert "closed" not in described(plain)
    assert plain.read_bytes() == named.read_bytes()
    assert load_encoder(plain).spec.closed is None


@pytest.mark.parametrize("load", [load_closed, load_native])
def test_a_file_without_a_closed_head_cannot_be_opened_with_it(
    tmp_path: Path, load: Loader
) -> None:
    save_encoder(network(), tmp_path / "plain")
    with pytest.raises(SetupError, match="has no closed head") as caught:
        load(tmp_path / "plain")
    assert caught.value.code == "E_WEIGHTS"
    assert "clip3d finetune" in caught.value.remedy


def test_classes_come_back_with_their_numbers_and_colors(tmp_path: Path) -> None:
    vocabulary = load_vocabulary("nuscenes16")
    text = network()
    spec = dataclasses.replace(text.spec, closed=ClosedHead.of(vocabulary))
    text.spec = spec
    save_encoder(text, tmp_path / "e", closed=closed_layer(text, 16))
    again = read_spec(tmp_path / "e").closed
    assert again == spec.closed
    assert again is not None
    assert again.classes.name == "nuscenes16"
    for found, entry in zip(again.classes.classes, vocabulary.classes, strict=True):
        assert (found.name, found.class_id, found.color) == (
            entry.name,
            entry.class_id,
            entry.color,
        )
        assert found.words == (entry.name,)


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        (nn.Linear(24, COUNT + 1), r"must be \(5, 24\) with a bias, not \(6, 24\)"),
        (nn.Linear(23, COUNT), r"not \(5, 23\)"),
        (nn.Linear(24, COUNT, bias=False), "with a bias"),
    ],
)
def test_a_layer_that_does_not_match_the_specification_is_not_written(
    tmp_path: Path, layer: nn.Linear, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        save_encoder(closed_spec(network(), COUNT), tmp_path / "e", closed=layer)
    with pytest.raises(ValueError, match="needs the specification's closed head"):
        save_encoder(network(), tmp_path / "e", closed=layer)
    assert not [*tmp_path.iterdir()]


def test_an_encoder_opened_with_its_closed_head_is_not_written(tmp_path: Path) -> None:
    closed = load_encoder(both_heads(tmp_path, network(), COUNT), head="closed")
    with pytest.raises(ValueError, match="has no text head"):
        save_encoder(closed, tmp_path / "e")


TENSORS: dict[str, tuple[dict[str, torch.Tensor | None], str]] = {
    "no weight": ({"closed.weight": None}, "missing: closed.weight; unexpected: none"),
    "no layer": (
        {"closed.weight": None, "closed.bias": None},
        "missing: closed.bias, closed.weight",
    ),
    "more classes": (
        {"closed.weight": torch.zeros(6, 24)},
        r"wrong shape: closed.weight \(6, 24\) instead of \(5, 24\)",
    ),
    "other channels": ({"closed.weight": torch.zeros(5, 23)}, r"\(5, 23\) instead of \(5, 24\)"),
    "other bias": ({"closed.bias": torch.zeros(4)}, r"closed.bias \(4,\) instead of \(5,\)"),
    "not finite": ({"closed.bias": torch.full((5,), torch.nan)}, "not finite: closed.bias"),
    "a third layer": ({"closed.other": torch.zeros(1)}, "unexpected: closed.other"),
}
WHOLE: dict[str, Any] = {
    "vocabulary": "numbers",
    "names": names(COUNT),
    "class_ids": [1, 2, 3, 4, 5],
    "colors": [[0, 0, 0]] * COUNT,
    "logit_scale": 1.0,
}
DESCRIPTIONS: dict[str, tuple[Any, str]] = {
    "not described": (None, "has closed.bias, but its specification has no closed head"),
    "no table": ([1], "closed must be an object"),
    "unknown key": ({**WHOLE, "heads": 2}, "closed head: unknown field 'heads'"),
    "no names": ({k: v for k, v in WHOLE.items() if k != "names"}, "names is missing"),
    "names in one": ({**WHOLE, "names": "abcde"}, "names must be a list"),
    "no class": ({**WHOLE, "names": [], "class_ids": [], "colors": []}, "it has no classes"),
    "fewer classes": (
        {key: each[:4] if isinstance(each, list) else each for key, each in WHOLE.items()},
        r"closed.bias \(5,\) instead of \(4,\)",
    ),
    "fewer numbers": (
        {**WHOLE, "class_ids": [1, 2]},
        "class_ids and colors have different lengths",
    ),
    "name twice": ({**WHOLE, "names": [*names(4), "class 0"]}, "repeated names: 'class 0'"),
    "empty name": ({**WHOLE, "names": [*names(4), " "]}, "name ' ' is empty or not printable"),
    "line break": ({**WHOLE, "names": [*names(4), "a\nb"]}, r"'a\\nb' is empty or not printable"),
    "no text": ({**WHOLE, "names": [*names(4), 7]}, "name 7 is not a string"),
    "vocabulary": ({**WHOLE, "vocabulary": None}, "vocabulary must be a string"),
    "class 0": ({**WHOLE, "class_ids": [0, 1, 2, 3, 4]}, "class_ids must be whole numbers 1…65535"),
    "true": ({**WHOLE, "class_ids": [True, 1, 2, 3, 4]}, "class_ids must be whole numbers"),
    "color": ({**WHOLE, "colors": [[0, 0, 256]] * 5}, "color must be three whole numbers"),
    "scale": ({**WHOLE, "logit_scale": 0}, "logit_scale must be above 0, not 0"),
    "scale as text": ({**WHOLE, "logit_scale": "1"}, "logit_scale must be a number"),
}


def refused(load: Loader, path: Path, fault: str) -> None:
    with pytest.raises(SetupError, match=fault) as caught:
        load(path)
    assert caught.value.code == "E_WEIGHTS"
    assert caught.value.where == str(path)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("change", "fault"), TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("load", [load_encoder, load_closed, load_native])
def test_tensors_that_do_not_match_the_specified_head_are_rejected(
    tmp_path: Path, change: dict[str, torch.Tensor | None], fault: str, load: Loader
) -> None:
    path = both_heads(tmp_path, network(), COUNT)
    fields = described(path)
    state = {**load_file(path), **change}
    kept = {name: value for name, value in state.items() if value is not None}
    save_file(kept, path, {"clip3d": json.dumps(fields)})
    refused(load, path, fault)


@pytest.mark.parametrize(("table", "fault"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_invalid_specifications_are_rejected(tmp_path: Path, table: Any, fault: str) -> None:
    path = both_heads(tmp_path, network(), COUNT)
    fields = {**described(path), "closed": table}
    save_file(load_file(path), path, {"clip3d": json.dumps(fields)})
    refused(load_encoder, path, fault)
    if "closed.bias" not in fault:
        refused(read_spec, path, fault)


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"", "is empty"), (b"PK\x03\x04", "PyTorch archive"), (b"x" * 40, "not a complete")],
)
def test_a_specification_is_read_from_weights_files_only(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    path = tmp_path / "e.safetensors"
    path.write_bytes(content)
    refused(read_spec, path, fault)
    whole = both_heads(tmp_path, network(), COUNT)
    assert read_spec(whole) == read_weights(whole)[0]
    path.write_bytes(whole.read_bytes()[:-1])
    refused(read_spec, path, "not a complete safetensors file")
