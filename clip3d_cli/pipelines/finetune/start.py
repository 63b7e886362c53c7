"""What a fine-tuning starts from: a weights file or a new network, and the words of the classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_file import file_sha256, read_spec
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.finetune.config import SCRATCH, FinetuneConfig
from clip3d_cli.pipelines.training.encoder import encoder_from_file, new_encoder
from clip3d_cli.sparse.backend import select_backend
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder
from clip3d_cli.text.templates import load_templates
from clip3d_cli.training.distributed import World
from clip3d_cli.training.supervised.model import FineTuner
from clip3d_cli.weights_files import DEFAULT_WEIGHTS, find_weights

_NEW_TEXT_ENCODER = "mini"


@dataclass(frozen=True, slots=True)
class StartWeights:
    """Weights file that a fine-tuning starts from.

    Attributes:
        path: the file.
        spec: its network.
        sha256: SHA-256 of the file.
    """

    path: Path
    spec: EncoderSpec
    sha256: str

    def closed_head_of(self, vocabulary: Vocabulary) -> nn.Linear | None:
        """Return the closed head of the file if it has exactly these classes, in this order."""
        closed, names = self.spec.closed, tuple(entry.name for entry in vocabulary.classes)
        if closed is None or closed.names != names:
            return None
        head: nn.Linear = load_encoder(self.path, head="closed").network.head  # type: ignore[assignment]
        return head


def open_start_weights(config: FinetuneConfig) -> StartWeights | None:
    """Return the weights file of a config, or None for a new network.

    Raises:
        SetupError: E_WEIGHTS: the file does not exist, or holds no encoder.
        UsageError: E_CONFIG: it is not the file that the config was recorded with.
    """
    options = config.start
    if options.weights == SCRATCH:
        return None
    path = find_weights(options.weights or DEFAULT_WEIGHTS)
    spec, sha256 = read_spec(path), file_sha256(path)
    if options.sha256 not in ("", sha256):
        raise UsageError(
            "E_CONFIG",
            path,
            f"is not the file that the run was started from: its SHA-256 is {sha256}, not "
            f"{options.sha256}",
            "Name that file with --from, or start a new run with --set start.sha256=.",
        )
    return StartWeights(path, spec, sha256)


def embed_classes(
    config: FinetuneConfig, start: StartWeights | None, vocabulary: Vocabulary
) -> tuple[str, ClassEmbeddings]:
    """Return the name of the text encoder, and the classes that it embedded.

    Raises:
        UsageError: there is no such text encoder or set of templates.
        SetupError: its weights are missing.
    """
    default = _NEW_TEXT_ENCODER if start is None else start.spec.text_encoder
    name = config.words.text_encoder or default
    text = open_text_encoder(name)
    return name, embed_vocabulary(vocabulary, text, load_templates(config.words.templates))


def initial_model(
    config: FinetuneConfig,
    start: StartWeights | None,
    text_encoder: str,
    words: ClassEmbeddings,
    world: World,
) -> FineTuner:
    """Return the network at its start on its device.

    Random weights, also those of the closed head, follow from the seed.

    Args:
        config: all options.
        start: weights file; None for a new network.
        text_encoder: name of the text encoder that embedded the words.
        words: embedded classes.
        world: device of this process.

    Raises:
        SetupError: E_SPACE_MISMATCH: points and words are of different feature spaces; E_WEIGHTS.
    """
    torch.manual_seed(config.run.seed)
    backend = select_backend(config.run.backend, world.device, precision="exact")
    if start is None:
        encoder = new_encoder(config.encoder, words.space, text_encoder, backend)
    else:
        encoder = encoder_from_file(
            start.path,
            words.space,
            f"the text encoder {text_encoder}",
            backend,
            voxel_sizes_m=config.start.voxels_m,
        )
        # It may be another text encoder of the same feature space.
        encoder.spec = replace(encoder.spec, text_encoder=text_encoder)
    dtype = torch.bfloat16 if config.run.precision == "bf16" else torch.float32
    model = FineTuner(encoder, words, config.loss, dtype=dtype)
    closed_head = None if start is None else start.closed_head_of(words.vocabulary)
    if closed_head is not None:
        model.closed.load_state_dict(closed_head.state_dict())
    return model.to(world.device)


def describe_start(
    config: FinetuneConfig, start: StartWeights | None, vocabulary: Vocabulary
) -> list[str]:
    """Return lines that tell a user what the training starts from."""
    if start is None:
        return [f"start: a new {config.encoder.architecture}"]
    lines = [f"start: {start.path}"]
    closed = start.spec.closed
    if closed is not None and start.closed_head_of(vocabulary) is None:
        lines.append(
            f"its closed head of {len(closed.names)} classes ({closed.vocabulary}) is replaced "
            f"by one of {len(vocabulary)} ({vocabulary.name})"
        )
    elif closed is not None:
        lines.append("its closed head has the same classes, and its training is continued")
    trained_m, chosen_m = start.spec.voxel_sizes_m, config.start.voxels_m
    if chosen_m not in ((), trained_m):
        trained, chosen = (
            ", ".join(f"{size:g}" for size in sizes) for sizes in (trained_m, chosen_m)
        )
        lines.append(f"it was trained with voxels of {trained} m, and continues with {chosen} m")
    return lines
