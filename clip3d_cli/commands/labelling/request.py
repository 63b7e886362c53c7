"""A ``clip3d label`` command line, checked and planned before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip3d_cli.commands.door import error_entry, exit_code, refusal_of, report
from clip3d_cli.commands.labelling.asked import LabelRequest
from clip3d_cli.commands.labelling.plan import Failed, Plan, Targets, plan_jobs
from clip3d_cli.commands.labelling.show import run_document
from clip3d_cli.commands.terminal import give, give_json
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.formats.cloud_file import inspect_cloud
from clip3d_cli.formats.format import ReadOptions


def run_label(
    sources: Sequence[Path],
    targets: Targets,
    vocabulary: Vocabulary,
    request: LabelRequest,
    *,
    as_json: bool,
    dry_run: bool,
) -> int:
    """The exit code of labelling files.

    Raises:
        Clip3DError: nothing was labelled, because of the command line or this machine.
    """
    plan = plan_jobs(sources, targets, request.reading, request.voice)
    if dry_run:
        plan, points = _looked_into(plan, request.reading)
    for each in plan.failed:
        report(each.refusal, each.refusal)
    code = exit_code([each.refusal for each in plan.failed], len(sources) - len(plan.failed))
    if dry_run:
        _show_plan(plan, points, vocabulary, request, as_json=as_json)
        return code
    if not plan.jobs:
        if as_json:
            give_json(run_document(plan.failed, None))
        return code
    with request.voice.busy("starting"):
        # Torch takes seconds to import: everything that can be refused without it has been.
        from clip3d_cli.commands.labelling.run import label_jobs

    return label_jobs(plan, vocabulary, request, as_json=as_json)


def _looked_into(plan: Plan, reading: ReadOptions) -> tuple[Plan, list[int]]:
    """The plan without the inputs that a look into them refuses, and the points of its jobs."""
    jobs, points, failed = [], [], [*plan.failed]
    for job in plan.jobs:
        try:
            points.append(inspect_cloud(job.source, reading).points)
            jobs.append(job)
        except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
            failed.append(Failed(job.source, refusal_of(error)))
    return Plan(plan.sources, tuple(jobs), tuple(failed)), points


def _show_plan(
    plan: Plan,
    points: Sequence[int],
    vocabulary: Vocabulary,
    request: LabelRequest,
    *,
    as_json: bool,
) -> None:
    """Say what a run would do."""
    weights, device = request.choice.weights, request.choice.device
    names = [entry.name for entry in vocabulary.classes]
    if as_json:
        rows = [
            {"input": str(job.source), "output": str(job.target), "points": count}
            for job, count in zip(plan.jobs, points, strict=True)
        ]
        failed = [
            {"input": str(each.source), "error": error_entry(each.refusal)} for each in plan.failed
        ]
        give_json(
            {
                "schema": "clip3d.plan/1",
                "weights": str(weights),
                "device": device,
                "head": request.choice.head,
                "classes": names,
                "jobs": rows,
                "failed": failed,
            }
        )
        return
    give(f"weights {weights}, {request.choice.head} head, device {device}")
    give(f"{len(names)} classes: {', '.join(names)}")
    for job, count in zip(plan.jobs, points, strict=True):
        give(f"{job.source} ({count:,} points) -> {job.target}")
