"""What a fine-tuning begins with: a network from a file or a fresh one, and the classes' words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from clip3d_cli.core.vocabulary import ClassEmbeddings, Vocabulary
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_file import file_sha256, read_spec
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.finetune.config import SCRATCH, FinetuneConfig
from clip3d_cli.pipelines.training.encoder import fresh_encoder, stored_encoder
from clip3d_cli.registry import DEFAULT_WEIGHTS, weights_path
from clip3d_cli.sparse.backend import backend_named
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder
from clip3d_cli.text.templates import templates_named
from clip3d_cli.training.distributed import World
from clip3d_cli.training.supervised.model import FineTuner

_FRESH_TEXT_ENCODER = "mini"


@dataclass(frozen=True, slots=True)
class Start:
    """A file that a fine-tuning begins with.

    Attributes:
        path: the file.
        spec: what its network is.
        sha256: of the file.
    """

    path: Path
    spec: EncoderSpec
    sha256: str

    def closed_head_of(self, vocabulary: Vocabulary) -> nn.Linear | None:
        """The closed head of the file if it knows just these classes, in this order."""
        closed, names = self.spec.closed, tuple(entry.name for entry in vocabulary.classes)
        if closed is None or closed.names != names:
            return None
        head: nn.Linear = load_encoder(self.path, head="closed").network.head  # type: ignore[assignment]
        return head


def open_start(config: FinetuneConfig) -> Start | None:
    """The file that a configuration begins with, or None for a fresh network.

    Raises:
        SetupError: E_WEIGHTS: there is no such file, or it holds no encoder.
        UsageError: E_CONFIG: it is not the file that the configuration recorded.
    """
    asked = config.start
    if asked.weights == SCRATCH:
        return None
    path = weights_path(asked.weights or DEFAULT_WEIGHTS)
    spec, sha256 = read_spec(path), file_sha256(path)
    if asked.sha256 not in ("", sha256):
        raise UsageError(
            "E_CONFIG",
            path,
            f"is another file than the configuration tells of: its SHA-256 is {sha256}, not "
            f"{asked.sha256}",
            "Name that file with --from, or begin a new run with --set start.sha256=.",
        )
    return Start(path, spec, sha256)


def embedded_words(
    config: FinetuneConfig, start: Start | None, vocabulary: Vocabulary
) -> tuple[str, ClassEmbeddings]:
    """The name of the text encoder, and what it makes of the words of the classes.

    Raises:
        UsageError: there is no such text encoder or set of templates.
        SetupError: its weights are missing.
    """
    own = _FRESH_TEXT_ENCODER if start is None else start.spec.text_encoder
    name = config.words.text_encoder or own
    text = open_text_encoder(name)
    return name, embed_vocabulary(vocabulary, text, templates_named(config.words.templates))


def fresh_tuner(
    config: FinetuneConfig,
    start: Start | None,
    text_encoder: str,
    words: ClassEmbeddings,
    world: World,
) -> FineTuner:
    """What is fine-tuned, on its device: new weights, of the closed head too, follow from the seed.

    Raises:
        SetupError: E_SPACE_MISMATCH: points and words live in different spaces; E_WEIGHTS.
    """
    torch.manual_seed(config.run.seed)
    backend = backend_named(config.run.backend, world.device, precision="exact")
    if start is None:
        encoder = fresh_encoder(config.encoder, words.space, text_encoder, backend)
    else:
        what = f"the text encoder {text_encoder}"
        sizes = config.start.voxels_m
        encoder = stored_encoder(start.path, words.space, what, backend, voxel_sizes_m=sizes)
        # It may be another one of the same space.
        encoder.spec = replace(encoder.spec, text_encoder=text_encoder)
    dtype = torch.bfloat16 if config.run.precision == "bf16" else torch.float32
    tuner = FineTuner(encoder, words, config.loss, dtype=dtype)
    known = None if start is None else start.closed_head_of(words.vocabulary)
    if known is not None:
        tuner.closed.load_state_dict(known.state_dict())
    return tuner.to(world.device)


def start_notes(config: FinetuneConfig, start: Start | None, vocabulary: Vocabulary) -> list[str]:
    """What a user should know of the start, a line each."""
    if start is None:
        return [f"start: a fresh {config.encoder.architecture}"]
    lines = [f"start: {start.path}"]
    closed = start.spec.closed
    if closed is not None and start.closed_head_of(vocabulary) is None:
        lines.append(
            f"its closed head of {len(closed.names)} classes ({closed.vocabulary}) is replaced "
            f"by one of {len(vocabulary)} ({vocabulary.name})"
        )
    elif closed is not None:
        lines.append("its closed head knows these classes, and goes on from what it has learned")
    was = start.spec.voxel_sizes_m
    if config.start.voxels_m not in ((), was):
        sizes = [", ".join(f"{size:g}" for size in each) for each in (was, config.start.voxels_m)]
        lines.append(f"it was trained with voxels of {sizes[0]} m, and goes on with {sizes[1]} m")
    return lines
