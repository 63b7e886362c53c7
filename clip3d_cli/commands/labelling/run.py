"""The labelling of files: load the models once, then read, label and write file after file."""

from __future__ import annotations

import time

from clip3d_cli.commands.door import exit_code, placed, refusal_of, report
from clip3d_cli.commands.engine import Engine, load_engine
from clip3d_cli.commands.labelling.asked import LabelRequest
from clip3d_cli.commands.labelling.plan import Failed, Job, Plan
from clip3d_cli.commands.labelling.show import (
    Labelled,
    Outcome,
    run_document,
    show_line,
    show_table,
)
from clip3d_cli.commands.terminal import give_json
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.formats.cloud_file import read_cloud, write_labels
from clip3d_cli.labelling.class_counts import class_shares
from clip3d_cli.labelling.label import LabelOptions, label_cloud, voxel_for


def label_jobs(plan: Plan, vocabulary: Vocabulary, request: LabelRequest, *, as_json: bool) -> int:
    """The exit code of labelling files, one after another; one bad file does not stop others.

    Args:
        plan: what to label; inputs refused before count as failed.
        vocabulary: the classes.
        request: how to label.
        as_json: give one document on stdout.

    Raises:
        Clip3DError: the models cannot be had.
    """
    engine = load_engine(request.choice, vocabulary, request.voice)
    outcomes: list[Outcome] = [*plan.failed]
    outcomes += [_outcome(job, engine, request) for job in plan.jobs]
    show_table(outcomes, request.voice)
    if as_json:
        outcomes.sort(key=lambda outcome: plan.sources.index(outcome.source))
        give_json(run_document(outcomes, engine))
    refusals = [each.refusal for each in outcomes if isinstance(each, Failed)]
    return exit_code(refusals, len(plan.sources) - len(refusals))


def label_file(job: Job, engine: Engine, request: LabelRequest) -> Labelled:
    """Read, label and write one file.

    Raises:
        Clip3DError: it cannot be read, labelled or written.
    """
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(step: str) -> None:
        seconds[step] = time.perf_counter() - began - sum(seconds.values())

    cloud, facts = read_cloud(job.source, request.reading)
    for warning in facts.warnings:
        request.voice.warn(job.source, warning)
    lap("read")
    options = LabelOptions(
        voxel_m=request.voxel_m or voxel_for(cloud, engine.encoder),
        tile_m=request.tile_m,
        unknown_threshold=request.unknown_threshold,
        ranking=request.ranking,
    )
    request.voice.detail(f"{job.source}: voxels of {options.voxel_m} m")
    labels = label_cloud(
        cloud, engine.encoder, engine.classes, options, progress=request.voice.progress
    )
    lap("label")
    job.target.parent.mkdir(parents=True, exist_ok=True)
    written = write_labels(
        labels,
        job.source,
        job.target,
        request.reading,
        overwrite=request.overwrite,
        facts=facts,
    )
    lap("write")
    return Labelled(
        source=job.source,
        points=len(cloud),
        shares=tuple(class_shares(labels)),
        voxel_m=options.voxel_m,
        written=tuple(written),
        seconds=seconds,
        warnings=facts.warnings,
    )


def _outcome(job: Job, engine: Engine, request: LabelRequest) -> Outcome:
    try:
        done = label_file(job, engine, request)
    except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
        refusal = placed(refusal_of(error), job.source)
        report(refusal, error)
        return Failed(job.source, refusal)
    show_line(done, request.voice)
    return done
