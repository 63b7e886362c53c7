"""``clip3d finetune``: a point network from labelled scans, on top of one that knows words."""

from __future__ import annotations

from typing import Annotated

import typer

from clip3d_cli.commands.options import (
    SCENES,
    AsJson,
    DatasetName,
    NoProgress,
    Quiet,
    Root,
    Verbose,
)
from clip3d_cli.commands.training.options import (
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


def finetune(
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    fraction: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Use the labels of so many of the scenes: 0.01 takes every 100th, the first "
            "included; by default 1, all.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Take only so many scenes of a split, spread evenly over it, before the fraction.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    output: RunFolder = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|NAME|scratch",
            help="The weights to begin with, of whatever data; by default those that clip3d "
            "brings; scratch for a fresh network.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    linear_probe: Annotated[
        bool,
        typer.Option(
            "--linear-probe",
            help="Train one linear layer on top; the network stays as it is.",
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
    """Train a point network on labelled scans, from weights that know words.

    It learns the classes of the data set in a head of their own, and goes on answering any words
    in the other: clip3d label --weights RUN/points.safetensors --head closed, or --classes
    "any,words". At the end both heads are judged on val, as clip3d eval does. Options come from
    the defaults, the presets of the data set, --config, --set, and the options here, each before
    the next. SIGTERM and Ctrl-C save the step and leave with exit code 130; --resume goes on to
    the same result.

    \b
    Examples:
      clip3d finetune --dataset nuscenes --root DIR --fraction 0.01 -o runs/a
      clip3d finetune --dataset folder --root DIR --from runs/p/points.safetensors -o runs/b
      clip3d finetune --dataset scannet --root DIR --linear-probe --gpus 2 -o runs/c
      clip3d finetune --resume -o runs/a
    """  # noqa: D301
    from clip3d_cli.commands.finetuning.request import place_of_start, run_finetune
    from clip3d_cli.commands.terminal import Voice
    from clip3d_cli.commands.training.asked import Asked, Machines, flags_of, place_of

    asked = Asked(
        folder=output,
        flags=flags_of(
            {
                "data.dataset": dataset,
                "data.root": place_of(root),
                "data.split": split,
                "data.fraction": fraction,
                "data.limit": limit,
                "start.weights": place_of_start(start),
                "loss.linear_probe": linear_probe or None,
                "run.device": device,
            }
        ),
        config=config,
        settings=tuple(settings or ()),
        resume=resume,
        dry_run=dry_run,
        as_json=as_json,
        machines=Machines(gpus, nodes, meet),
    )
    return run_finetune(asked, Voice(quiet, verbose, not no_progress))
