"""Options that several commands share, each with one help text."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

MODEL = "Model"
SCENES = "Scenes"
SPEECH = "What is said"
WORDS = "Words"


class Precision(str, Enum):
    """The number formats of the network."""

    auto = "auto"
    exact = "exact"
    high = "high"
    fast = "fast"


DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="nuscenes, semantickitti, scannet, scannet200, pandaset, or folder for scenes of "
        "your own (docs/folder.md says how they lie).",
        rich_help_panel=SCENES,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder of the data set.", rich_help_panel=SCENES),
]
Templates = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help='Sentences around each word, such as "a {} in a scene": none, photo, scene, '
        "clip2scene, or a file with one a line. Their vectors are averaged. By default photo.",
        rich_help_panel=WORDS,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="The point network, a safetensors file; by default the one clip3d brings.",
        rich_help_panel=MODEL,
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="mini, or openclip[:MODEL/TAG]; by default the one the weights name. It must live in "
        "the same space as the weights.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="auto|cpu|cuda|cuda:N|mps", help="Where it runs.", rich_help_panel=MODEL),
]
PrecisionChoice = Annotated[
    Precision,
    typer.Option(
        help="exact: float32; high: errors below 5e-5 (1e-3 on a GPU); fast: half precision, "
        "where there are instructions for it.",
        rich_help_panel=MODEL,
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Of the convolutions: auto, native, triton, torchsparse, spconv or torch.",
        rich_help_panel=MODEL,
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Of all randomness.", rich_help_panel=MODEL)
]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=SPEECH)
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only errors.", rich_help_panel=SPEECH)]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Also what was chosen, and why.", rich_help_panel=SPEECH),
]
NoProgress = Annotated[
    bool, typer.Option("--no-progress", help="No moving bar.", rich_help_panel=SPEECH)
]
