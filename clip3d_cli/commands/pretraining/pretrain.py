"""``clip3d pretrain``: a point network from images and scans, without labels."""

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
    LOOKING,
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


def pretrain(
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Only so many scenes, spread evenly over the split; with --check by default 3.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    output: RunFolder = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="clip2scene: each point learns the word that a frozen CLIP gives its pixels, and "
            "points of one place learn to agree.",
            rich_help_panel=TRAINING,
        ),
    ] = "clip2scene",
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
            help="Train nothing: draw the points over the images of a few scenes, into -o or "
            "clip3d-check/, and say what share of points is seen.",
            rich_help_panel=LOOKING,
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Train a point network from images and scans, without labels.

    A frozen CLIP looks at the images of scenes whose cameras are known; the network learns to
    see in the points what CLIP sees in the pixels. Afterwards clip3d label takes it with
    --weights RUN/points.safetensors and any words. Options come from the defaults, the presets of
    the data set, --config, --set, and the options here, each before the next. SIGTERM and Ctrl-C
    save the step and leave with exit code 130; --resume goes on to the same result. Start with
    --check: wrong poses teach nothing, and pictures show them.

    \b
    Examples:
      clip3d pretrain --dataset folder --root my_scans/ --check
      clip3d pretrain --dataset nuscenes --root DIR -o runs/a --gpus 4
      clip3d pretrain --dataset folder --root my_scans/ -o runs/b --set loss.start=0.3
      clip3d pretrain --resume -o runs/a
    """  # noqa: D301
    from clip3d_cli.commands.pretraining.request import run_pretrain
    from clip3d_cli.commands.terminal import Voice
    from clip3d_cli.commands.training.asked import Asked, Machines, flags_of, place_of

    asked = Asked(
        folder=output,
        flags=flags_of(
            {
                "data.dataset": dataset,
                "data.root": place_of(root),
                "data.split": split,
                "data.limit": limit or (3 if check else None),
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
    return run_pretrain(method, asked, Voice(quiet, verbose, not no_progress), check=check)
