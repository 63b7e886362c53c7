"""How a fine-tuning ended, as lines and a table for people and as a document for programs."""

from __future__ import annotations

import shlex
from typing import Any

from clip3d_cli.commands.evaluating.show import percent
from clip3d_cli.commands.terminal import Voice, counted, print_table, stderr_console, swatched
from clip3d_cli.metrics.scores import metric_name
from clip3d_cli.pipelines.evaluate.run import EvalOptions
from clip3d_cli.pipelines.finetune.config import FinetuneConfig
from clip3d_cli.pipelines.finetune.run import HEADS, Finetuned


def show_end(ended: Finetuned, config: FinetuneConfig, voice: Voice) -> None:
    """Say where the weights are, how good both heads are, and what to type next."""
    if voice.quiet:
        return
    voice.note(f"{ended.steps:,} steps done; weights in {ended.weights}")
    if ended.judged:
        _show_judged(ended, voice)
    else:
        voice.note("not judged: no other split has labels, or none was wanted (data.judged)")
    label = ["clip3d", "label", "scan.ply", "--weights", str(ended.weights)]
    voice.note(f"next: {shlex.join([*label, '--head', 'closed'])}")
    voice.note(f"or any words: {shlex.join([*label, '--classes', 'car,tree,plastic bag'])}")


def ending(ended: Finetuned) -> dict[str, Any]:
    """What the run's document says besides the usual: labels, and both heads' evaluations."""
    return {
        "labelled_scenes": ended.labelled,
        "split": ended.split or None,
        "evaluations": {head: judged.document for head, judged in ended.judged.items()},
        "before": None if ended.before is None else ended.before.document,
    }


def _show_judged(ended: Finetuned, voice: Voice) -> None:
    """A row for every class that is there: its points, and the IoU of the start and each head."""
    judged = {f"{head} head IoU": ended.judged[head].evaluation for head in HEADS}
    if ended.before is not None:
        judged = {"before IoU": ended.before.evaluation, **judged}
    evaluations = list(judged.values())
    if not evaluations[0].points:
        voice.note(f"split {ended.split}: no point has truth, so there are no scores")
        return
    convention = EvalOptions().convention
    scores = [each.scores(convention) for each in evaluations]
    points = evaluations[0].confusion.true_points
    vocabulary, absent = evaluations[0].vocabulary, scores[0].absent
    rows: list[tuple[Any, ...]] = []
    for place, entry in enumerate(vocabulary.classes):
        if place not in absent:
            shares = (percent(each.iou[place]) for each in scores)
            rows.append((swatched(entry.name, entry.color), f"{points[place]:,}", *shares))
    rows.append(("mIoU", f"{points.sum():,}", *(percent(each.mean_iou) for each in scores)))
    voice.note(f"split {ended.split}, {counted(evaluations[0].scenes, 'scene')}:")
    columns = ("class", "points", *judged)
    print_table(stderr_console(), columns, rows, numbers=1 + len(judged))
    if ended.before is not None and scores[0].mean_iou > max(s.mean_iou for s in scores[1:]):
        voice.warn(ended.weights, f"the start was better on {ended.split}, by words alone")
    voice.note(metric_name(convention, evaluations[0].rules))
    files = " and ".join(f"eval.{ended.split}.{head}.json" for head in HEADS)
    voice.note(f"in full: {files} in {ended.folder}")
    if absent:
        names = ", ".join(vocabulary.classes[place].name for place in absent)
        voice.note(f"absent, so left out of the mean: {names}")
