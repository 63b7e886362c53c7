"""Evaluation of a training's weights on a split with ground truth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.splits import limit_scenes
from clip3d_cli.encoders.closed_head import closed_classes
from clip3d_cli.encoders.spec import HeadName
from clip3d_cli.encoders.weights_file import file_sha256
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.pipelines.evaluate.document import (
    EvaluationDocument,
    EvaluationSetup,
    evaluation_document,
)
from clip3d_cli.pipelines.evaluate.run import (
    EvalOptions,
    Evaluation,
    evaluate,
    network_predictor,
    require_vocabulary,
)
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder


@dataclass(frozen=True, slots=True, eq=False)
class WeightsEvaluation:
    """Evaluation of a weights file.

    Attributes:
        evaluation: counts and scores.
        document: the same as a JSON document, with the models that predicted.
    """

    evaluation: Evaluation
    document: EvaluationDocument


@dataclass(frozen=True, slots=True, eq=False)
class WeightsEvaluator:
    """Evaluates weights files on one split and device, as ``clip3d eval`` does.

    Attributes:
        dataset: data set with ground truth.
        split: its split.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        limit: largest number of scenes, evenly spaced; 0 for all.
        templates: sentences around the words of the classes; at least one for a text head.
        words: embedded classes of the data set by the name of the text encoder, in these
            templates. Text encoders that are not among them are opened, once each.
    """

    dataset: Dataset
    split: str
    device: str = "cpu"
    limit: int = 0
    templates: Sequence[str] = ()
    words: Mapping[str, ClassEmbeddings] = field(default_factory=dict)
    _opened: dict[str, ClassEmbeddings] = field(default_factory=dict, init=False, repr=False)

    def evaluate(self, weights: Path, head: HeadName = "text") -> WeightsEvaluation:
        """Evaluate one head of a weights file.

        Raises:
            Clip3DError: the weights, the scenes or the text encoder cannot be opened.
        """
        began = time.perf_counter()
        options = EvalOptions()
        # Opened as `clip3d label` opens it: what is measured is what users get.
        opened = open_encoder(weights, self.device, head=head)
        spec = opened.encoder.spec
        vocabulary = require_vocabulary(self.dataset)
        if head == "closed":
            classes = closed_classes(spec.closed, vocabulary)
        else:
            classes = self._embedded(spec.text_encoder)
        scenes = limit_scenes(self.dataset.scenes(self.split), self.limit)
        predict = network_predictor(opened.encoder, classes)
        evaluation = evaluate(self.dataset, scenes, predict, options)
        setup = EvaluationSetup(
            dataset=self.dataset.name,
            root=self.dataset.root,
            split=self.split,
            words=vocabulary,
            templates=tuple(self.templates),
            text_encoder=spec.text_encoder if head == "text" else None,
            head=head,
            weights=weights,
            sha256=file_sha256(weights),
            device=self.device,
            backend=opened.backend,
            precision=opened.precision,
            seconds={"all": time.perf_counter() - began},
        )
        return WeightsEvaluation(evaluation, evaluation_document(evaluation, options, setup))

    def _embedded(self, text_encoder: str) -> ClassEmbeddings:
        """Return the classes embedded by a text encoder, which is opened at most once."""
        known = self.words.get(text_encoder) or self._opened.get(text_encoder)
        if known is None:
            vocabulary = require_vocabulary(self.dataset)
            known = embed_vocabulary(vocabulary, open_text_encoder(text_encoder), self.templates)
            self._opened[text_encoder] = known
        return known
