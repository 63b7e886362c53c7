"""The models of a labelling run, loaded once for all its files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clip3d_cli.commands.engine_choice import EngineChoice
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.core.vocabulary import ClassEmbeddings, Vocabulary
from clip3d_cli.encoders.closed_head import closed_classes
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.encoders.weights_file import file_sha256
from clip3d_cli.labelling.devices import choose_device
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.text.embed import embed_vocabulary, truncated_words
from clip3d_cli.text.encoder import TextEncoder, open_text_encoder

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Engine:
    """A point network and the words it is compared with, ready on a device.

    Attributes:
        encoder: compares voxels with words, or judges them by its closed head.
        classes: the words' vectors, of the same space, or rows of the closed head.
        weights: the file of the network.
        sha256: of that file.
        text_encoder: the name of what embedded the words; None through a closed head.
        device: where the network is.
        backend: the name of what computes its convolutions.
        precision: of its matrix products: ``exact``, ``high`` or ``fast``.
        seconds: by step.
        warnings: about words.
    """

    encoder: VoxelEncoder
    classes: ClassEmbeddings
    weights: Path
    sha256: str
    text_encoder: str | None
    device: str
    backend: str
    precision: str
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]


def load_engine(choice: EngineChoice, vocabulary: Vocabulary, voice: Voice) -> Engine:
    """The models of a choice, on its device, with the words of a vocabulary embedded.

    Through a closed head no word is embedded: the vocabulary names some of its classes.

    Raises:
        UsageError: the closed head was not trained on one of the classes.
        SetupError: weights or a package are missing, the weights have no such head, or words and
            points live in different spaces.
    """
    began = time.perf_counter()
    device, reason = choose_device(choice.device)
    points = open_encoder(
        choice.weights,
        device,
        backend=choice.backend,
        precision=choice.precision,
        seed=choice.seed,
        head=choice.head,
    )
    voice.note(f"device: {device} ({reason})")
    spec = points.encoder.spec
    voice.detail(f"weights: {choice.weights}")
    voice.detail(f"engine: {points.engine}; precision {points.precision}")
    name: str | None = None
    warnings: tuple[str, ...] = ()
    if choice.head == "closed":
        voice.detail(f"head: closed, {spec.space.dim} classes, {len(vocabulary)} asked for")
        classes = closed_classes(spec, vocabulary)
    else:
        name = choice.text_encoder or spec.text_encoder
        voice.detail(f"words: {len(choice.templates)} templates, embedded by {name}")
        text = open_text_encoder(name)
        spec.space.require(text.space, f"the text encoder {name}")
        warnings = _warnings(vocabulary, text, choice, voice)
        classes = embed_vocabulary(vocabulary, text, choice.templates)
    return Engine(
        encoder=points.encoder,
        classes=classes,
        weights=choice.weights,
        sha256=file_sha256(choice.weights),
        text_encoder=name,
        device=device,
        backend=points.backend,
        precision=points.precision,
        seconds={"load": time.perf_counter() - began},
        warnings=warnings,
    )


def _warnings(
    vocabulary: Vocabulary, text: TextEncoder, choice: EngineChoice, voice: Voice
) -> tuple[str, ...]:
    """What is to be said about words that are too long; the voice has said it."""
    warnings = tuple(
        f"{word[:_SHOWN]!r}... is longer than the text encoder reads: its end is not seen"
        for word in truncated_words(vocabulary, text, choice.templates)
    )
    for warning in warnings:
        voice.warn("--classes", warning)
    return warnings
