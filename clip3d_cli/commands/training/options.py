"""Options of all commands that train, each with one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clip3d_cli.commands.options import SCENES

TRAINING = "Training"
MACHINES = "Machines"
LOOKING = "Looking before training"

Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The scenes to learn from; by default train where there is one.",
        rich_help_panel=SCENES,
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="RUN",
        help="The folder of the run: its configuration, metrics, checkpoints, and at the end "
        "points.safetensors.",
        rich_help_panel=TRAINING,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Options in TOML; --dry-run prints all that there are. They replace the presets "
        "of the data set.",
        rich_help_panel=TRAINING,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="One option, such as optimizer.epochs=5 or run.seed=1; may be repeated. It replaces "
        "what --config says.",
        rich_help_panel=TRAINING,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the run in -o from its last checkpoint, as if it had never stopped. "
        "Its own configuration counts.",
        rich_help_panel=TRAINING,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where it runs.", rich_help_panel=MACHINES),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Train in N processes on this machine, one for each GPU; with --device cpu on the "
        "CPU.",
        rich_help_panel=MACHINES,
    ),
]
Nodes = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Train on N machines that share the run's folder; give each the same command.",
        rich_help_panel=MACHINES,
    ),
]
Meet = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Where the machines find each other: one of them.",
        rich_help_panel=MACHINES,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the whole configuration and say what would be done; load no model, write "
        "nothing.",
        rich_help_panel=LOOKING,
    ),
]
