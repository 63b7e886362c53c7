"""``clip3d pretrain``: train a point network on unlabelled scans and their images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    CHECKS,
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
    from clip3d_cli.pipelines.pretrain.config import PretrainConfig
    from clip3d_cli.pipelines.pretrain.run import PretrainResult

METHODS = ("clip2scene",)
_CHECKED_SCENES = 3


def pretrain(
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Use at most N scenes, spread evenly over the split. Default with --check: 3.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    output: RunFolder = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="clip2scene: each point learns the word that a frozen CLIP predicts at its "
            "pixels, and points of the same place learn similar features.",
            rich_help_panel=TRAINING,
        ),
    ] = METHODS[0],
    config: ConfigFile = None,
    settings: Settings = None,
    resume: Resume = False,
    device: Device = None,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    meet: Meet = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Do not train: draw the points of a few scenes over their images, into -o or "
            "clip3d-check/, and print what share of the points is visible.",
            rich_help_panel=CHECKS,
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Train a point network on unlabelled scans and the images taken with them.

    Run --check first: no loss reveals wrong camera poses. Training needs no labels. A frozen
    image model looks at each image once; its features are cached in the run folder. Configuration
    comes from the defaults, the preset of the data set, --config, --set, and other options; later
    ones override earlier ones. SIGTERM and Ctrl-C save a checkpoint and exit with code 130;
    --resume continues to the same result.

    \b
    Examples:
      clip3d pretrain --dataset folder --root my_scans/ --check
      clip3d pretrain --dataset nuscenes --root DIR -o runs/a --gpus 4
      clip3d pretrain --dataset folder --root my_scans/ -o runs/b --set loss.start=0.3
      clip3d pretrain --resume -o runs/a
    """  # noqa: D301
    from clip3d_cli import registry
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

    if method not in METHODS:
        raise registry.unknown_name_error("--method", method, METHODS)
    if check and (resume or dry_run):
        other = "--resume" if resume else "--dry-run"
        raise UsageError(
            "E_USAGE", "--check", f"and {other} cannot both be given", "--check trains nothing."
        )
    reporter = Reporter(quiet, verbose, not no_progress)
    request = TrainingRequest(
        command="pretrain",
        # With --check, -o is a folder of pictures instead of a run folder.
        folder=None if check else output,
        flags={
            "data.dataset": dataset,
            "data.root": absolute(root),
            "data.split": split,
            "data.limit": limit or (_CHECKED_SCENES if check else None),
            "run.device": device,
        },
        config=config,
        settings=tuple(settings or ()),
        resume=resume,
        processes=Processes(gpus, nodes, meet),
        as_json=as_json,
    )
    request.check(needs_folder=not (check or dry_run))
    with reporter.busy("starting"):
        # PyTorch takes seconds to import: errors that can be found without it were raised above.
        from clip3d_cli.pipelines.pretrain.config import RESUMABLE_KEYS, PretrainConfig, preset
        from clip3d_cli.pipelines.pretrain.run import open_scenes
        from clip3d_cli.pipelines.pretrain.run import pretrain as train

    defaults = PretrainConfig()
    settled = resolve_config(request, defaults, preset, RESUMABLE_KEYS)
    if check:
        from clip3d_cli.cli.pretrain_check import run_check

        return run_check(settled, output or Path("clip3d-check"), reporter, as_json=as_json)
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
            _print_result(result, settled, reporter)
        evaluation = result.evaluation
        document = None if evaluation is None else evaluation.document.as_json()
        return finish(request, process, result, {"evaluation": document})


def _print_result(result: PretrainResult, config: PretrainConfig, reporter: Reporter) -> None:
    """Print where the weights are, their scores, and the next command."""
    from clip3d_cli.cli.eval_output import print_evaluation
    from clip3d_cli.pipelines.evaluate.run import EvalOptions

    if reporter.quiet:
        return
    reporter.info(f"{result.steps:,} steps done; weights in {result.weights}")
    if result.evaluation is not None:
        split = config.data.eval_split
        print_evaluation(result.evaluation.evaluation, EvalOptions(), split, reporter)
    command = ["clip3d", "label", "scan.ply", "--weights", str(result.weights)]
    reporter.info(f"next: {shlex.join([*command, *_word_options(config)])}")


def _word_options(config: PretrainConfig) -> list[str]:
    """Return options of ``clip3d label`` that request the words of the training."""
    words = config.words
    vocabulary = Path(config.data.root) / "vocabulary.toml"
    if words.classes:
        options = ["--classes", ",".join(words.classes)]
    elif words.vocabulary == "dataset":
        options = ["--classes", str(vocabulary) if vocabulary.is_file() else "car,tree,road"]
    else:
        option = "--classes" if Path(words.vocabulary).suffix else "--vocabulary"
        options = [option, words.vocabulary]
    if words.templates != "photo":
        options += ["--templates", words.templates]
    return options
