"""What is said at the end of a fine-tuning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.cli.finetune import print_finetuned
from clip3d_cli.cli.terminal import Reporter
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.evaluate.run import Evaluation
from clip3d_cli.pipelines.evaluate.weights import WeightsEvaluation
from clip3d_cli.pipelines.finetune.run import FinetuneResult

WARNING = (
    "warning: run/points.safetensors: the weights it started from were better on val, with words "
    "alone"
)


def judged(right: int) -> WeightsEvaluation:
    """So many of ten points of each of two classes were answered right."""
    counts = np.array([[right, 10 - right, 0], [10 - right, right, 0]], dtype=np.int64)
    words, confusion = Vocabulary.from_names(["car", "tree"]), ConfusionMatrix(counts)
    evaluation = Evaluation(
        words, confusion, bands=(), panoptic=None, scenes=1, scenes_without_ground_truth=0
    )
    return WeightsEvaluation(evaluation, {})


@pytest.mark.parametrize(
    ("before", "closed", "text", "warns"),
    [(9, 4, 8, True), (7, 6, 8, False), (7, 8, 6, False), (None, 2, 2, False)],
)
def test_a_start_that_was_better_is_said(
    capsys: pytest.CaptureFixture[str], before: int | None, closed: int, text: int, warns: bool
) -> None:
    ended = FinetuneResult(
        finished=True,
        steps=10,
        folder=Path("run"),
        weights=Path("run/points.safetensors"),
        labelled=1,
        split="val",
        evaluations={"closed": judged(closed), "text": judged(text)},
        before=None if before is None else judged(before),
    )
    print_finetuned(ended, Reporter(bars=False))
    said = capsys.readouterr().err
    assert (WARNING in said) == warns
    assert ("before IoU" in said) == (before is not None)
