"""``clip3d pretrain``: a point network from images and scans, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_DATA = "Scenes"
_TRAINING = "Training"
_MACHINES = "Machines"
_LOOKING = "Looking before training"
_SPEECH = "What is said"


def pretrain(
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="nuscenes, semantickitti, scannet, scannet200, pandaset, or folder for scenes of "
            "your own (docs/folder.md says how they lie).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of the data set.", rich_help_panel=_DATA),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The scenes to learn from; by default train where there is one.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Only so many scenes, spread evenly over the split; with --check by default 3.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="RUN",
            help="The folder of the run: its configuration, metrics, checkpoints, and at the end "
            "points.safetensors.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="clip2scene: each point learns the word that a frozen CLIP gives its pixels, and "
            "points of one place learn to agree.",
            rich_help_panel=_TRAINING,
        ),
    ] = "clip2scene",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Options in TOML; --dry-run prints all that there are. They replace the presets "
            "of the data set.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="One option, such as optimizer.epochs=5 or teacher.model=my_clip/; may be "
            "repeated. It replaces what --config says.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in -o from its last checkpoint, as if it had never stopped. "
            "Its own configuration counts.",
            rich_help_panel=_TRAINING,
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="auto|cpu|cuda|cuda:N", help="Where it runs.", rich_help_panel=_MACHINES
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Train in N processes on this machine, one for each GPU; with --device cpu on "
            "the CPU.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    nodes: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Train on N machines that share the run's folder; give each the same command.",
            rich_help_panel=_MACHINES,
        ),
    ] = 1,
    meet: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the machines find each other: one of them.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Train nothing: draw the points over the images of a few scenes, into -o or "
            "clip3d-check/, and say what share of points is seen.",
            rich_help_panel=_LOOKING,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the whole configuration and say what would be done; load no model, write "
            "nothing.",
            rich_help_panel=_LOOKING,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=_SPEECH),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Only errors.", rich_help_panel=_SPEECH)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="Also what was chosen, and why.", rich_help_panel=_SPEECH
        ),
    ] = False,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="No moving bar.", rich_help_panel=_SPEECH)
    ] = False,
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
    from clip3d_cli.commands.pretrain_request import (
        Asked,
        Machines,
        require_known,
        run_pretrain,
    )
    from clip3d_cli.commands.terminal import Voice

    voice = Voice(quiet, verbose, not no_progress)
    asked = Asked(
        folder=output,
        dataset=dataset,
        root=root,
        split=split,
        limit=limit,
        device=device,
        config=config,
        settings=tuple(settings or ()),
        resume=resume,
        check=check,
        dry_run=dry_run,
        as_json=as_json,
        machines=Machines(gpus, nodes, meet),
    )
    require_known(asked, method)
    return run_pretrain(asked, voice)
