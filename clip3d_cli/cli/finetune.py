"""``clip3d finetune``: train a point network on labelled scans."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clip3d_cli.cli.options import (
    SCENES,
    AsJson,
    DatasetName,
    NoProgress,
    Quiet,
    Root,
    Verbose,
)
from clip3d_cli.cli.training import (
    TRAINING,
    ConfigFile,
    Device,
    DryRun,
    Gpus,
    Meet,
    Nodes,
    Resume,
    RunFolder,
    Settings,
    Split,
)
from clip3d_cli.errors import UsageError

if TYPE_CHECKING:
    from clip3d_cli.cli.terminal import Reporter
    from clip3d_cli.pipelines.finetune.run import FinetuneResult

_SCRATCH = "scratch"


def finetune(
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    fraction: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Use the labels of this share of the scenes: 0.01 takes every 100th scene, "
            "starting with the first. Default: 1, all scenes.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Use at most N scenes of a split, spread evenly over it; applied before the "
            "fraction.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    output: RunFolder = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|NAME|scratch",
            help="Weights to start from, trained on any data; scratch for a randomly initialised "
            "network. Default: the weights shipped with clip3d.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    linear_probe: Annotated[
        bool,
        typer.Option(
            "--linear-probe",
            help="Train one linear layer on top of the frozen network.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    config: ConfigFile = None,
    settings: Settings = None,
    resume: Resume = False,
    device: Device = None,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    meet: Meet = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Train a point network on labelled scans, starting from weights that know words.

    The network learns the classes of the data set in a closed head, and keeps a text head for any
    words: use clip3d label --weights RUN/points.safetensors with --head closed, or with --classes
    "any,words". At the end, both heads are evaluated on val, as clip3d eval does. Configuration
    comes from the defaults, the preset of the data set, --config, --set, and other options; later
    ones override earlier ones. SIGTERM and Ctrl-C save a checkpoint and exit with code 130;
    --resume continues to the same result.

    \b
    Examples:
      clip3d finetune --dataset nuscenes --root DIR --fraction 0.01 -o runs/a
      clip3d finetune --dataset folder --root DIR --from runs/p/points.safetensors -o runs/b
      clip3d finetune --dataset scannet --root DIR --linear-probe --gpus 2 -o runs/c
      clip3d finetune --resume -o runs/a
    """  # noqa: D301
    from clip3d_cli.cli.distributed import Processes, launch, rank_from_environment
    from clip3d_cli.cli.terminal import Reporter
    from clip3d_cli.cli.training import (
        TrainingRequest,
        absolute,
        finish,
        print_plan,
        resolve_config,
        training_process,
    )

    reporter = Reporter(quiet, verbose, not no_progress)
    request = TrainingRequest(
        command="finetune",
        folder=output,
        flags={
            "data.dataset": dataset,
            "data.root": absolute(root),
            "data.split": split,
            "data.fraction": _checked_fraction(fraction),
            "data.limit": limit,
            "start.weights": _start_weights(start),
            "loss.linear_probe": linear_probe or None,
            "run.device": device,
        },
        config=config,
        settings=tuple(settings or ()),
        resume=resume,
        processes=Processes(gpus, nodes, meet),
        as_json=as_json,
    )
    request.check(needs_folder=not dry_run)
    with reporter.busy("starting"):
        # PyTorch takes seconds to import: errors that can be found without it were raised above.
        from clip3d_cli.pipelines.finetune.config import RESUMABLE_KEYS, FinetuneConfig, preset
        from clip3d_cli.pipelines.finetune.run import finetune as train
        from clip3d_cli.pipelines.finetune.run import open_scenes

    defaults = FinetuneConfig()
    settled = resolve_config(request, defaults, preset, RESUMABLE_KEYS)
    if dry_run:
        return print_plan(request, settled, *open_scenes(settled), reporter)
    if request.processes.total > 1 and rank_from_environment() is None:
        device_name = settled.run.device
        return launch(request.processes, device_name, lambda: open_scenes(settled), reporter)
    with training_process(request, settled, defaults, reporter) as process:
        result = train(
            settled,
            output or Path(),
            resume=resume,
            world=process.world,
            command_line=process.command_line,
            callbacks=process.callbacks,
        )
        if process.world.is_rank_0 and result.finished:
            print_finetuned(result, reporter)
        entries = {
            "labelled_scenes": result.labelled,
            "split": result.split or None,
            "evaluations": {
                head: each.document.as_json() for head, each in result.evaluations.items()
            },
            "before": None if result.before is None else result.before.document.as_json(),
        }
        return finish(request, process, result, entries)


def print_finetuned(result: FinetuneResult, reporter: Reporter) -> None:
    """Print where the weights are, the scores of both heads, and the next commands."""
    if reporter.quiet:
        return
    reporter.info(f"{result.steps:,} steps done; weights in {result.weights}")
    if result.evaluations:
        _print_scores(result, reporter)
    else:
        reporter.info("not evaluated: no other split has labels, or data.eval_split is empty")
    label = ["clip3d", "label", "scan.ply", "--weights", str(result.weights)]
    reporter.info(f"next: {shlex.join([*label, '--head', 'closed'])}")
    reporter.info(f"or any words: {shlex.join([*label, '--classes', 'car,tree,plastic bag'])}")


def _print_scores(result: FinetuneResult, reporter: Reporter) -> None:
    """Print a row for each class that is present: points, and IoU of the start and both heads."""
    from clip3d_cli.cli.eval_output import percent
    from clip3d_cli.cli.terminal import count_of, print_table, stderr_console, with_color
    from clip3d_cli.metrics.scores import metric_name
    from clip3d_cli.pipelines.evaluate.run import EvalOptions
    from clip3d_cli.pipelines.finetune.run import HEADS

    evaluation_of = {f"{head} head IoU": result.evaluations[head].evaluation for head in HEADS}
    if result.before is not None:
        evaluation_of = {"before IoU": result.before.evaluation, **evaluation_of}
    evaluations = list(evaluation_of.values())
    first = evaluations[0]
    if not first.points:
        reporter.info(f"split {result.split}: no point has ground truth, so there are no scores")
        return
    convention = EvalOptions().convention
    scores = [each.scores(convention) for each in evaluations]
    points, absent = first.confusion.true_points, scores[0].absent
    rows: list[tuple[Any, ...]] = []
    for index, entry in enumerate(first.vocabulary.classes):
        if index not in absent:
            ious = (percent(each.iou[index]) for each in scores)
            rows.append((with_color(entry.name, entry.color), f"{points[index]:,}", *ious))
    rows.append(("mIoU", f"{points.sum():,}", *(percent(each.mean_iou) for each in scores)))
    reporter.info(f"split {result.split}, {count_of(first.scenes, 'scene')}:")
    columns = ("class", "points", *evaluation_of)
    print_table(stderr_console(), columns, rows, numbers=1 + len(evaluation_of))
    if result.before is not None and scores[0].mean_iou > max(s.mean_iou for s in scores[1:]):
        reporter.warning(
            result.weights,
            f"the weights it started from were better on {result.split}, with words alone",
        )
    reporter.info(metric_name(convention, first.rules))
    files = " and ".join(f"eval.{result.split}.{head}.json" for head in HEADS)
    reporter.info(f"details: {files} in {result.folder}")
    if absent:
        names = ", ".join(first.vocabulary.names[index] for index in absent)
        reporter.info(f"absent, and left out of the mean: {names}")


def _checked_fraction(fraction: float | None) -> float | None:
    if fraction is not None and not 0 < fraction <= 1:
        raise UsageError(
            "E_USAGE",
            "--fraction",
            f"{fraction:g} is not above 0 and at most 1",
            "0.01 takes one scene in a hundred, 1 takes all.",
        )
    return fraction


def _start_weights(start: str | None) -> str | None:
    """Return the weights of --from, as a path that is valid from any working directory.

    Raises:
        SetupError: the file does not exist, or is a pickle.
    """
    from clip3d_cli.cli.training import absolute
    from clip3d_cli.weights_files import find_weights, is_weights_name

    if start is None or start == _SCRATCH:
        return start
    path = find_weights(start)
    return start if is_weights_name(start) else absolute(path)
