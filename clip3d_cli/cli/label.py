"""``clip3d label``: label every point of scans by words."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip3d_cli.cli.options import (
    INPUT,
    MODEL,
    OUTPUT,
    RESULT,
    WORDS,
    AsJson,
    Backend,
    Columns,
    Device,
    NoProgress,
    Precision,
    PrecisionChoice,
    Quiet,
    Templates,
    TextEncoder,
    Units,
    UpAxis,
    UpChoice,
    Verbose,
    Weights,
)
from clip3d_cli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from clip3d_cli.cli.label_output import Failed, LabelledFile
    from clip3d_cli.cli.models import OpenModel
    from clip3d_cli.cli.terminal import Reporter
    from clip3d_cli.core.vocabulary import Vocabulary
    from clip3d_cli.formats.cloud_file import CloudFile
    from clip3d_cli.formats.format import ReadOptions
    from clip3d_cli.labelling.label import LabelOptions
    from clip3d_cli.labelling.labeller import ModelChoice

# With smaller values a scan has so many voxels or tiles that labelling takes more than a day.
_MIN_VOXEL_M = 0.0001
_MIN_TILE_M = 1.0
_STEPS = ("read", "label", "write")


class Head(str, Enum):
    """Which head of the network labels points."""

    text = "text"
    closed = "closed"


class QualityChoice(str, Enum):
    """How much time labelling may take."""

    fast = "fast"
    best = "best"


class Scores(str, Enum):
    """Which scores are written."""

    top1 = "top1"
    topk = "topk"


def label(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT", readable=False, help="Scans: PLY, LAS, LAZ, PCD, BIN, NPY, NPZ."
        ),
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help='Classes: "car,tire,plastic bag"; @classes.txt, one class per line; classes.csv; '
            "or classes.toml. Synonyms: car=sedan|van.",
            rich_help_panel=WORDS,
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A set of classes shipped with clip3d; clip3d vocabularies lists them.",
            rich_help_panel=WORDS,
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|WORDS",
            help="What competes with the classes: points that it wins are unlabeled. auto: "
            "everyday words, unless the classes fit nearly all points; none: every point gets its "
            'nearest class; or words: "tree,wall". Default: auto for --classes, none for '
            "--vocabulary.",
            rich_help_panel=WORDS,
        ),
    ] = None,
    templates: Templates = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Labelled copy. Default: scan.clip3d.ply beside scan.ply.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--out-dir",
            metavar="DIR",
            help="Folder for the labelled copies; it is created if missing.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing results.", rich_help_panel=RESULT),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Skip inputs whose result exists already.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    unknown_threshold: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="0..1",
            help="Leave points unlabeled if their best score is lower.",
            rich_help_panel=RESULT,
        ),
    ] = 0.0,
    scores: Annotated[
        Scores,
        typer.Option(
            help="Write the best class and its score, or the best k of each.",
            rich_help_panel=RESULT,
        ),
    ] = Scores.top1,
    top_k: Annotated[
        int,
        typer.Option(
            min=1, metavar="K", help="Number of classes of --scores topk.", rich_help_panel=RESULT
        ),
    ] = 3,
    weights: Weights = None,
    head: Annotated[
        Head,
        typer.Option(
            help="text: any words; closed: the classes that the weights were fine-tuned on.",
            rich_help_panel=MODEL,
        ),
    ] = Head.text,
    text_encoder: TextEncoder = None,
    quality: Annotated[
        QualityChoice,
        typer.Option(
            help="best: average three passes over the scan, turned and with smaller voxels. Takes "
            "about three times as long; +0.7 mIoU on average over 17 real scans.",
            rich_help_panel=MODEL,
        ),
    ] = QualityChoice.fast,
    device: Device = "auto",
    precision: PrecisionChoice = Precision.auto,
    backend: Backend = "auto",
    voxel: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Voxel edge. Default: one of the sizes of the weights, chosen by the density of "
            "the scan.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    tile: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Maximum tile width. Default: the scan is cut only where it does not fit into "
            "memory. Labels do not depend on it.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    columns: Columns = None,
    units: Units = None,
    up: UpAxis = UpChoice.z,
    allow_truncated: Annotated[
        bool,
        typer.Option(
            "--allow-truncated",
            help="Label the points that are there when a file ends early.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory that reading a file may take, such as 8GB, or 50% of the default limit "
            "(three quarters of the machine's memory).",
            rich_help_panel=INPUT,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be done; load no model and write nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Label every point of scans by words.

    Each point gets the class with the nearest word, or none if no class fits. clip3d writes a copy
    of each scan with two more fields, label and score. Label 0 means unlabeled; classes are
    numbered from 1 in the order given (a vocabulary has its own numbers). Points keep their order
    and all other fields. With several inputs, a failure does not stop the others (exit code 3).

    \b
    Examples:
      clip3d label scan.ply --classes "car,tire,plastic bag"
      clip3d label 000000.bin --vocabulary semantickitti -o 000000.label
    """  # noqa: D301
    from clip3d_cli.cli.classes import parse_background, parse_classes
    from clip3d_cli.cli.errors import exit_code, print_error
    from clip3d_cli.cli.label_output import Failed, print_summary, run_document
    from clip3d_cli.cli.models import model_choice, open_model
    from clip3d_cli.cli.options import length_m, read_options
    from clip3d_cli.cli.terminal import Reporter, print_json
    from clip3d_cli.labelling.label import LabelOptions
    from clip3d_cli.labelling.labeller import require_quality

    reporter = Reporter(quiet, verbose, not no_progress)
    choice = model_choice(
        weights,
        text_encoder,
        templates,
        head.value,
        device=device,
        precision=precision.value,
        backend=backend,
    )
    requested = parse_classes(classes, vocabulary)
    words = _requested_classes(choice, None if requested is None else requested.vocabulary)
    rivals = parse_background(background, by_name=classes is not None, head=head.value)
    require_quality(quality.value, head.value)
    options = LabelOptions(
        voxel_m=length_m("--voxel", voxel, _MIN_VOXEL_M),
        tile_m=length_m("--tile", tile, _MIN_TILE_M),
        unknown_threshold=unknown_threshold,
        ranking=top_k if scores is Scores.topk else 0,
        up=up.value,
        quality=quality.value,
    )
    jobs, failed = _plan(
        inputs,
        read_options(columns, allow_truncated=allow_truncated, max_memory=max_memory, units=units),
        reporter,
        output=output,
        out_dir=out_dir,
        overwrite=overwrite,
        skip_existing=skip_existing,
    )
    if dry_run:
        return _dry_run(inputs, jobs, failed, choice, words, as_json=as_json)
    for each in failed:
        print_error(each.error, each.error)
    outcomes: list[LabelledFile | Failed] = [*failed]
    model: OpenModel | None = None
    if jobs:
        model = open_model(choice, words, reporter, rivals, requested)
        outcomes += [_label_file(job, model, options, reporter) for job in jobs]
        print_summary(outcomes, reporter)
    if as_json:
        outcomes.sort(key=lambda outcome: inputs.index(outcome.source))
        print_json(run_document(outcomes, model))
    errors = [each.error for each in outcomes if isinstance(each, Failed)]
    return exit_code(errors, len(inputs) - len(errors))


@dataclass(frozen=True, slots=True)
class Job:
    """One file to label.

    Attributes:
        file: the opened file to read.
        target: file to write; it is never an input.
        overwrite: replace the target if it exists.
    """

    file: CloudFile
    target: Path
    overwrite: bool

    @property
    def source(self) -> Path:
        """File to read."""
        return self.file.path


def _label_file(
    job: Job, model: OpenModel, options: LabelOptions, reporter: Reporter
) -> LabelledFile | Failed:
    """Read, label and write one file; report errors instead of raising them."""
    from clip3d_cli.cli.errors import print_error, to_clip3d_error, with_source
    from clip3d_cli.cli.label_output import Failed, LabelledFile, print_line
    from clip3d_cli.labelling.class_counts import count_classes
    from clip3d_cli.labelling.label import label_cloud, suitable_voxel_m
    from clip3d_cli.labelling.scan_checks import check_scan
    from clip3d_cli.labelling.warnings import LabelWarning

    encoder = model.labeller.encoder
    times = [time.perf_counter()]
    try:
        cloud = job.file.read()
        warnings = [
            LabelWarning("W_FILE", str(job.source), text) for text in job.file.facts.warnings
        ]
        voxel_m = options.voxel_m or suitable_voxel_m(cloud, encoder, options.up)
        warnings += check_scan(cloud, str(job.source), up=options.up, voxel_m=voxel_m)
        for warning in warnings:
            reporter.warn(warning)
        times.append(time.perf_counter())
        reporter.detail(f"{job.source}: voxels of {voxel_m} m")
        options = replace(options, voxel_m=voxel_m)
        labels = label_cloud(
            cloud,
            encoder,
            model.classes,
            options,
            background=model.background,
            progress=reporter.progress,
        )
        times.append(time.perf_counter())
        job.target.parent.mkdir(parents=True, exist_ok=True)
        written = job.file.write(labels, job.target, overwrite=job.overwrite)
        times.append(time.perf_counter())
    except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
        converted = with_source(to_clip3d_error(error), job.source)
        print_error(converted, error)
        return Failed(job.source, converted)
    done = LabelledFile(
        source=job.source,
        written=tuple(written),
        counts=tuple(count_classes(labels)),
        points=len(cloud),
        voxel_m=voxel_m,
        seconds={
            step: end - start for step, (start, end) in zip(_STEPS, pairwise(times), strict=True)
        },
        warnings=tuple(warnings),
    )
    print_line(done, reporter)
    return done


def _requested_classes(choice: ModelChoice, words: Vocabulary | None) -> Vocabulary:
    """Return the classes to label; without words, all classes of a closed head.

    Only the metadata of the weights is read.

    Raises:
        UsageError: no classes are given for the text head, or the closed head was not trained on
            one of them.
        SetupError: E_WEIGHTS: the weights have no closed head, and it was requested.
    """
    from clip3d_cli.cli.classes import no_classes
    from clip3d_cli.encoders.closed_head import closed_vocabulary
    from clip3d_cli.encoders.weights_file import read_spec, require_closed

    if choice.head == "closed":
        weights = Path(choice.weights)
        return closed_vocabulary(require_closed(read_spec(weights), weights), words)
    if words is None:
        raise no_classes()
    return words


def _plan(
    sources: Sequence[Path],
    reading: ReadOptions,
    reporter: Reporter,
    *,
    output: Path | None,
    out_dir: Path | None,
    overwrite: bool,
    skip_existing: bool,
) -> tuple[list[Job], list[Failed]]:
    """Find the target of every source, and check what can be checked before labelling.

    Only headers are read, and nothing is written.

    Returns:
        The jobs, and the sources that cannot be labelled.

    Raises:
        UsageError: a target exists, is an input, or is the target of two inputs.
        OutputError: the folder of a target is missing or may not be written.
    """
    from clip3d_cli.cli.errors import to_clip3d_error
    from clip3d_cli.cli.label_output import Failed
    from clip3d_cli.formats.cloud_file import open_cloud

    _check_output_options(sources, output, out_dir)
    jobs, failed = [], []
    for source in sources:
        try:
            file = open_cloud(source, reading)
            if out_dir is None:
                target = file.target_path(output)
            else:
                target = out_dir / file.target_path().name
            jobs.append(Job(file, target, overwrite))
        except (InputError, OSError) as error:
            failed.append(Failed(source, to_clip3d_error(error)))
    _refuse_shared_targets(jobs, sources)
    checked = []
    for job in jobs:
        if skip_existing and job.target.exists():
            reporter.info(f"{job.source}: skipped, because {job.target} exists")
            continue
        try:
            # A folder that does not exist yet holds no file that could be in the way.
            if out_dir is None or out_dir.is_dir():
                job.file.check_target(job.target, overwrite=overwrite)
            checked.append(job)
        except (InputError, OSError) as error:
            failed.append(Failed(job.source, to_clip3d_error(error)))
    return checked, failed


def _check_output_options(
    sources: Sequence[Path], output: Path | None, out_dir: Path | None
) -> None:
    from clip3d_cli.formats.atomic import require_folder

    if output is not None and out_dir is not None:
        raise UsageError("E_USAGE", "-o", "and -O cannot both be given", "Give one of them.")
    if output is not None and len(sources) > 1 and not output.is_dir():
        raise UsageError(
            "E_USAGE", "-o", f"names one file for {len(sources)} inputs", "Use -O DIR instead."
        )
    if out_dir is not None:
        parents = (out_dir, *out_dir.parents)
        existing = next(folder for folder in parents if os.path.lexists(folder))
        if not existing.is_dir():
            raise OutputError(
                "E_NOT_WRITABLE", existing, "is not a folder", "Name another folder with -O."
            )
        require_folder(existing / "result")


def _refuse_shared_targets(jobs: Sequence[Job], sources: Sequence[Path]) -> None:
    """Raise an error if a target is an input, or the target of two inputs."""
    real_sources = {_real(source) for source in sources}
    job_of_stem: dict[Path, Job] = {}
    for job in jobs:
        target = _real(job.target)
        if target in real_sources:
            raise UsageError(
                "E_SAME_FILE",
                job.target,
                f"is the result of {job.source} and also an input",
                "Inputs are never overwritten: choose another name with -o or -O.",
            )
        # By stem, because files that differ in their suffix share one *.classes.json.
        first = job_of_stem.setdefault(target.with_suffix(""), job)
        if first is not job:
            raise UsageError(
                "E_SAME_FILE",
                job.target,
                f"would be the result of both {first.source} and {job.source}",
                "Label them in two runs, or into two folders with -O.",
            )


def _real(path: Path) -> Path:
    """Return the file that a path leads to: two links to one file are the same file."""
    return Path(os.path.realpath(path))


def _dry_run(
    sources: Sequence[Path],
    jobs: Sequence[Job],
    failed: Sequence[Failed],
    choice: ModelChoice,
    vocabulary: Vocabulary,
    *,
    as_json: bool,
) -> int:
    """Read the headers of all sources, print what would be done, and return the exit code."""
    from clip3d_cli.cli.errors import exit_code, print_error, to_clip3d_error
    from clip3d_cli.cli.label_output import Failed, plan_document
    from clip3d_cli.cli.terminal import print_json, print_result

    failed = [*failed]
    planned: list[tuple[Job, int]] = []
    for job in jobs:
        try:
            job.file.read_if_small()
            planned.append((job, job.file.facts.points))
        except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
            failed.append(Failed(job.source, to_clip3d_error(error)))
    for each in failed:
        print_error(each.error, each.error)
    if as_json:
        entries = [
            {"input": str(job.source), "output": str(job.target), "points": points}
            for job, points in planned
        ]
        print_json(plan_document(entries, failed, choice, vocabulary))
    else:
        print_result(f"weights {choice.weights}, {choice.head} head, device {choice.device}")
        print_result(f"{len(vocabulary)} classes: {', '.join(vocabulary.names)}")
        for job, points in planned:
            print_result(f"{job.source} ({points:,} points) -> {job.target}")
    return exit_code([each.error for each in failed], len(sources) - len(failed))
