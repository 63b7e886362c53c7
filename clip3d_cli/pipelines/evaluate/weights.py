"""How good the weights of a training are, on a split of which the truth is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip3d_cli.core.vocabulary import ClassEmbeddings
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.splits import limit_scenes
from clip3d_cli.encoders.closed_head import closed_classes
from clip3d_cli.encoders.spec import EncoderSpec, HeadName
from clip3d_cli.encoders.weights_file import file_sha256
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.pipelines.evaluate.document import About, evaluation_document
from clip3d_cli.pipelines.evaluate.run import (
    EvalOptions,
    Evaluation,
    evaluate,
    judged_vocabulary,
    network_answer,
)
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What `judge_weights` found.

    Attributes:
        evaluation: for Python.
        document: the same for programs, with who answered.
    """

    evaluation: Evaluation
    document: dict[str, Any]


def judge_weights(
    weights: Path,
    dataset: Dataset,
    split: str,
    *,
    limit: int = 0,
    templates: Sequence[str] = (),
    head: HeadName = "text",
) -> Judged:
    """What ``clip3d eval`` says of a file of weights, on the CPU.

    Args:
        weights: as a training saved them.
        dataset: with truth.
        split: of it.
        limit: judge at most so many of its scenes, spread evenly; 0 for all.
        templates: sentences around the words of the classes; at least one for the text head.
        head: which one answers.

    Raises:
        Clip3DError: the weights, the scenes or the text encoder cannot be had.
    """
    began = time.perf_counter()
    options = EvalOptions()
    # As `clip3d label` opens them: what is measured is what users get.
    opened = open_encoder(weights, head=head)
    spec = opened.encoder.spec
    vocabulary = judged_vocabulary(dataset)
    classes = _classes(spec, dataset, templates)
    scenes = limit_scenes(dataset.scenes(split), limit)
    evaluation = evaluate(dataset, scenes, network_answer(opened.encoder, classes), options)
    about = About(
        dataset=dataset.name,
        root=dataset.root,
        split=split,
        words=vocabulary,
        templates=tuple(templates),
        text_encoder=spec.text_encoder if head == "text" else None,
        head=head,
        weights=weights,
        sha256=file_sha256(weights),
        device="cpu",
        backend=opened.backend,
        precision=opened.precision,
        seconds={"all": time.perf_counter() - began},
    )
    return Judged(evaluation, evaluation_document(evaluation, options, about))


def _classes(spec: EncoderSpec, dataset: Dataset, templates: Sequence[str]) -> ClassEmbeddings:
    vocabulary = judged_vocabulary(dataset)
    if spec.head == "closed":
        return closed_classes(spec, vocabulary)
    return embed_vocabulary(vocabulary, open_text_encoder(spec.text_encoder), templates)
