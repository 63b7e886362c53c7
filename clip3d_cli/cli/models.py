"""Check and open the models that a command line names, and report what was opened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from clip3d_cli import registry
from clip3d_cli.cli.classes import RequestedClasses, refuse_text_options
from clip3d_cli.cli.terminal import Reporter, count_of
from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.background import Background
from clip3d_cli.labelling.labeller import BackgroundChoice, Labeller, ModelChoice
from clip3d_cli.labelling.warnings import LabelWarning
from clip3d_cli.text.templates import select_templates
from clip3d_cli.weights_files import DEFAULT_WEIGHTS, find_weights

_SHOWN_LETTERS = 60


def model_choice(
    weights: str | None,
    text_encoder: str | None,
    templates: str | None,
    head: Literal["text", "closed"] = "text",
    **where: Any,
) -> ModelChoice:
    """Check the names of models, before anything is loaded, and return the choice.

    Args:
        weights: value of ``--weights``.
        text_encoder: value of ``--text-encoder``.
        templates: value of ``--templates``.
        head: which head of the network answers.
        **where: ``device``, ``precision`` and ``backend``.

    Raises:
        UsageError: a name is unknown, or an option about words is given for a closed head.
        SetupError: the weights do not exist, or are a pickle.
    """
    if head == "closed":
        refuse_text_options({"--templates": templates, "--text-encoder": text_encoder})
    if text_encoder is not None:
        kind, colon, _ = text_encoder.partition(":")
        if kind not in registry.names("text_encoders"):
            known = registry.names("text_encoders")
            raise registry.unknown_name_error("--text-encoder", text_encoder, known)
        if colon and kind == "mini":
            raise UsageError(
                "E_UNKNOWN_NAME",
                "--text-encoder",
                "mini is a single model",
                "Use --text-encoder mini.",
            )
    return ModelChoice(
        weights=find_weights(weights or DEFAULT_WEIGHTS),
        text_encoder=text_encoder,
        templates=select_templates(templates or "photo"),
        head=head,
        **where,
    )


@dataclass(frozen=True, slots=True, eq=False)
class OpenModel:
    """The opened models, and the classes in their feature space.

    Attributes:
        labeller: point encoder and text encoder.
        classes: embedded classes.
        background: what competes with them.
        warnings: warnings about words.
        load_seconds: how long opening and embedding took.
    """

    labeller: Labeller
    classes: ClassEmbeddings
    background: Background | None
    warnings: tuple[LabelWarning, ...]
    load_seconds: float


def open_model(
    choice: ModelChoice,
    vocabulary: Vocabulary,
    reporter: Reporter,
    background: BackgroundChoice = "none",
    requested: RequestedClasses | None = None,
) -> OpenModel:
    """Open the models and embed the classes; report device, engine and words.

    Args:
        choice: which models.
        vocabulary: classes to label.
        reporter: reports what was opened, and warnings about words.
        background: what competes with them: see `Labeller.embed_background`.
        requested: the classes as the user gave them. Only words given by hand are checked, and
            replaced by the words that stand for them.

    Raises:
        UsageError: the closed head was not trained on one of the classes, or a class looks like
            several.
        SetupError: weights or packages are missing, or words and points live in different spaces.
    """
    began = time.perf_counter()
    with reporter.busy("starting"):
        labeller = Labeller(choice)
    reporter.info(f"device: {labeller.device} ({labeller.device_reason})")
    reporter.detail(f"weights: {labeller.weights}")
    reporter.detail(f"engine: {labeller.engine}; precision {labeller.precision}")
    if labeller.text_encoder is None:
        trained = labeller.spec.space.dim
        reporter.detail(f"head: closed, {trained} classes, {len(vocabulary)} requested")
    else:
        templates = count_of(len(labeller.templates), "template")
        reporter.detail(f"words: {templates}, text encoder {labeller.text_encoder}")
    warnings = [] if requested is None else [*requested.warnings]
    is_checked = requested is not None and requested.by_hand and choice.head == "text"
    if is_checked:
        warnings += labeller.word_checker.warnings(vocabulary)
    warnings += (
        LabelWarning(
            "W_LONG_WORD",
            "--classes",
            f"{word[:_SHOWN_LETTERS]!r}... is too long for the text encoder, which ignores its end",
            "Name the class in fewer words.",
        )
        for word in labeller.truncated_words(vocabulary)
    )
    for warning in warnings:
        reporter.warn(warning)
    classes = labeller.embed_classes(vocabulary, by_hand=is_checked)
    rivals = labeller.embed_background(background, classes)
    seconds = time.perf_counter() - began
    return OpenModel(labeller, classes, rivals, tuple(warnings), seconds)
