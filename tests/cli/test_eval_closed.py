"""``clip3d eval`` of weights with a closed head."""

from __future__ import annotations

from pathlib import Path

import torch
from command_line import CommandLine
from tiny_text import SPACE
from torch import nn

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import save_encoder


def write_closed(
    path: Path, names: list[str], inputs: tuple[str, ...] = ("one", "height_near")
) -> Path:
    """Untrained weights with a text head and a closed one for these classes."""
    torch.manual_seed(1)
    config = {"layers": 14, "width": 0.25}
    head = ClosedHead.of(Vocabulary.from_names(names, "mine"))
    spec = EncoderSpec("minkunet", config, inputs, (0.4,), SPACE, "tiny", 20.0, closed=head)
    encoder = PointEncoder(spec)
    channels = int(encoder.network.get_parameter("head.weight").shape[1])
    save_encoder(encoder, path, closed=nn.Linear(channels, len(names)))
    return path


def test_a_channel_that_a_scan_lacks_is_missing_in_that_scan(
    clip3d: CommandLine, mine: Path, tmp_path: Path
) -> None:
    weights = write_closed(tmp_path / "colors.safetensors", ["box"], inputs=("red",))
    said = clip3d("eval", "--dataset", "folder", "--root", mine, "--weights", weights)
    assert said.code == 1
    assert f"error[E_NO_CHANNEL]: {mine / 'hall' / 'cloud.ply'}: " in said.err


def test_a_closed_head_answers_where_it_knows_all_classes(
    clip3d: CommandLine, mine: Path, tmp_path: Path
) -> None:
    weights = write_closed(tmp_path / "tuned.safetensors", ["tree", "box", "floor"])
    where = ("eval", "--dataset", "folder", "--root", mine, "--weights", weights, "--json")
    said = clip3d(*where)
    assert "with the closed head" in said.err
    document = said.document
    assert (document["head"], document["text_encoder"]) == ("closed", None)
    assert (document["words"], document["templates"]) == ({}, [])
    assert clip3d(*where, "--head", "closed").document["confusion"] == document["confusion"]
    by_words = clip3d(*where, "--templates", "none")
    assert by_words.document["head"] == "text"
    assert clip3d(*where, "--head", "text").document["head"] == "text"
    refused = clip3d(*where, "--head", "closed", "--templates", "none")
    assert refused.code == 2
    assert "error[E_USAGE]: --templates: has no effect with --head closed" in refused.err
    fewer = write_closed(tmp_path / "fewer.safetensors", ["tree", "box"])
    other = ("eval", "--dataset", "folder", "--root", mine, "--weights", fewer, "--json")
    assert clip3d(*other).document["head"] == "text"
    refused = clip3d(*other, "--head", "closed")
    assert refused.code == 2
    assert "error[E_CLASSES]" in refused.err
    assert "'floor'" in refused.err
