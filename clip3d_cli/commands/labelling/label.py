"""``clip3d label``: the main job."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clip3d_cli.commands.options import (
    MODEL,
    SPEECH,
    WORDS,
    AsJson,
    Backend,
    Device,
    NoProgress,
    Precision,
    PrecisionChoice,
    Quiet,
    Seed,
    Templates,
    TextEncoder,
    Verbose,
    Weights,
)

_RESULT = "Result"
_INPUT = "Input"
# Below these, a scan falls into so many tiles that labelling would not end in a day.
_LEAST_VOXEL_M = 0.0001
_LEAST_TILE_M = 1.0


class Head(str, Enum):
    """What judges a point."""

    text = "text"
    closed = "closed"


class Scores(str, Enum):
    """What is written beside the winning class."""

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
            help='The classes: "car,tire,plastic bag"; @classes.txt with one a line; or a '
            "classes.toml. Synonyms: car=sedan|van.",
            rich_help_panel=WORDS,
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A set of classes that clip3d brings; see clip3d vocabularies.",
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
            help="The labelled copy; by default scan.clip3d.ply beside scan.ply.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--out-dir",
            metavar="DIR",
            help="The folder of the labelled copies; made if missing.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace results that are there.", rich_help_panel=_RESULT
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out inputs whose result is there.",
            rich_help_panel=_RESULT,
        ),
    ] = False,
    unknown_threshold: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="0..1",
            help="Points whose best score is lower stay unlabeled.",
            rich_help_panel=_RESULT,
        ),
    ] = 0.0,
    scores: Annotated[
        Scores,
        typer.Option(
            help="Write the winner and its score, or the k best of each.", rich_help_panel=_RESULT
        ),
    ] = Scores.top1,
    top_k: Annotated[
        int,
        typer.Option(min=1, metavar="K", help="The k of --scores topk.", rich_help_panel=_RESULT),
    ] = 3,
    weights: Weights = None,
    head: Annotated[
        Head,
        typer.Option(
            help="text: any words; closed: the classes the weights were fine-tuned on.",
            rich_help_panel=MODEL,
        ),
    ] = Head.text,
    text_encoder: TextEncoder = None,
    device: Device = "auto",
    precision: PrecisionChoice = Precision.auto,
    backend: Backend = "auto",
    voxel: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="The edge of a voxel; by default the one of the weights' sizes that suits the "
            "density.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    tile: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="The widest tile; by default only what does not fit is cut. Labels do not "
            "depend on it.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    seed: Seed = 0,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="x,y,z,...",
            help="The columns of a .bin or .npy that does not say.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    allow_truncated: Annotated[
        bool,
        typer.Option(
            "--allow-truncated",
            help="Label the points that are there when a file ends early.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What reading a file may take, such as 8GB, or 50% of the usual, which is three "
            "quarters of the machine's.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what would be done; load no model, write nothing.",
            rich_help_panel=SPEECH,
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Label every point of scans by words.

    Each point takes the class whose words lie nearest to it. Writes a copy of each scan with two
    more fields, label and score; 0 means unlabeled, and the classes count from 1 in the order
    given (a vocabulary brings its own numbers). Every point stays the same point in the same
    place, with all its other fields. With several inputs a failure does not stop the others
    (exit code 3).

    \b
    Examples:
      clip3d label scan.ply --classes "car,tire,plastic bag"
      clip3d label 000000.bin --vocabulary semantickitti -o 000000.label
    """  # noqa: D301
    from clip3d_cli.commands.classes import asked_vocabulary
    from clip3d_cli.commands.engine_choice import (
        EngineChoice,
        chosen_templates,
        known_text_encoder,
        refuse_text_options,
    )
    from clip3d_cli.commands.labelling.asked import LabelRequest
    from clip3d_cli.commands.labelling.plan import Targets
    from clip3d_cli.commands.labelling.request import run_label
    from clip3d_cli.commands.reading import length, reading_options
    from clip3d_cli.commands.terminal import Voice
    from clip3d_cli.registry import DEFAULT_WEIGHTS, weights_path

    voice = Voice(quiet, verbose, not no_progress)
    if head is Head.closed:
        refuse_text_options(templates, text_encoder)
    choice = EngineChoice(
        weights=weights_path(weights or DEFAULT_WEIGHTS),
        text_encoder=known_text_encoder(text_encoder),
        templates=chosen_templates(templates),
        device=device,
        precision=precision.value,
        backend=backend,
        seed=seed,
        head=head.value,
    )
    words = asked_vocabulary(choice, classes, vocabulary, voice)
    request = LabelRequest(
        choice=choice,
        reading=reading_options(columns, allow_truncated=allow_truncated, max_memory=max_memory),
        voxel_m=length("--voxel", voxel, _LEAST_VOXEL_M),
        tile_m=length("--tile", tile, _LEAST_TILE_M),
        unknown_threshold=unknown_threshold,
        ranking=top_k if scores is Scores.topk else 0,
        overwrite=overwrite,
        voice=voice,
    )
    targets = Targets(output, out_dir, overwrite, skip_existing)
    return run_label(inputs, targets, words, request, as_json=as_json, dry_run=dry_run)
