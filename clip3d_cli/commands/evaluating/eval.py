"""``clip3d eval``: how well weights label scenes of which the truth is known."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clip3d_cli.commands.options import (
    MODEL,
    SCENES,
    WORDS,
    AsJson,
    Backend,
    DatasetName,
    Device,
    NoProgress,
    Precision,
    PrecisionChoice,
    Quiet,
    Root,
    Seed,
    Templates,
    TextEncoder,
    Verbose,
    Weights,
)

_JUDGED = "What is judged"
_RESULT = "Result"


class Head(str, Enum):
    """What the points' features are compared with."""

    auto = "auto"
    text = "text"
    closed = "closed"


class Metric(str, Enum):
    """What a class that is not there counts in a mean."""

    present = "present"
    official = "official"
    reference = "reference"


def evaluate(
    dataset: DatasetName = None,
    root: Root = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which scenes; by default val (or mini_val) where there is one, else the first.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Only so many scenes, spread evenly over the split.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    metric: Annotated[
        Metric,
        typer.Option(
            help="What a class without true points counts in the mean. present: nothing; official: "
            "what the data set's own code says; reference: what CLIP2Scene's code says.",
            rich_help_panel=_JUDGED,
        ),
    ] = Metric.present,
    bands: Annotated[
        str | None,
        typer.Option(
            metavar="METRES",
            help="Also judge by distance from the sensor: 20,40 gives 0-20, 20-40 and beyond.",
            rich_help_panel=_JUDGED,
        ),
    ] = None,
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSES",
            help='Also give the mean IoU without these, such as "wall,floor".',
            rich_help_panel=_JUDGED,
        ),
    ] = None,
    novel: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSES",
            help='Classes unseen in training, such as "sofa,desk": also give their mean IoU, that '
            "of the others, and the harmonic mean of both.",
            rich_help_panel=_JUDGED,
        ),
    ] = None,
    panoptic: Annotated[
        bool,
        typer.Option(
            "--panoptic",
            help="Also judge objects, which are connected points of one class.",
            rich_help_panel=_JUDGED,
        ),
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Other words for some of the classes: a TOML file with [[class]] tables, as "
            "clip3d vocabularies explains.",
            rich_help_panel=WORDS,
        ),
    ] = None,
    templates: Templates = None,
    weights: Weights = None,
    head: Annotated[
        Head,
        typer.Option(
            help="closed: the classes that weights were fine-tuned on; text: any words; auto: "
            "closed where it knows all classes that are judged.",
            rich_help_panel=MODEL,
        ),
    ] = Head.auto,
    text_encoder: TextEncoder = None,
    device: Device = "auto",
    precision: PrecisionChoice = Precision.auto,
    backend: Backend = "auto",
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The JSON document as a file, for clip3d report.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the file of -o.", rich_help_panel=_RESULT),
    ] = False,
    submission: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the answers as the benchmark's server takes them, also for a split whose "
            "truth is kept secret.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Judge weights on scenes of which the truth is known.

    Every point of every key frame is labelled just as clip3d label does it, with the words of the
    data set's classes, and every point that has truth is judged; a point without an answer is a
    miss. docs/evaluation.md defines each figure.

    \b
    Examples:
      clip3d eval --dataset nuscenes --root DIR
      clip3d eval --dataset folder --root my_scans/ --weights runs/a/points.safetensors
      clip3d eval --dataset semantickitti --root DIR --split test --submission send/
    """  # noqa: D301
    from clip3d_cli.commands.engine_choice import (
        EngineChoice,
        chosen_templates,
        known_text_encoder,
    )
    from clip3d_cli.commands.evaluating.asked import EvalAsked
    from clip3d_cli.commands.evaluating.request import run_eval
    from clip3d_cli.commands.terminal import Voice
    from clip3d_cli.registry import DEFAULT_WEIGHTS, weights_path

    asked = EvalAsked(
        dataset=dataset,
        root=root,
        split=split,
        limit=limit,
        metric=metric.value,
        bands=bands,
        ignore=ignore,
        novel=novel,
        panoptic=panoptic,
        prompts=prompts,
        head=head.value,
        templates=templates,
        text_encoder=text_encoder,
        output=output,
        overwrite=overwrite,
        submission=submission,
        as_json=as_json,
    )
    choice = EngineChoice(
        weights=weights_path(weights or DEFAULT_WEIGHTS),
        text_encoder=known_text_encoder(text_encoder),
        templates=chosen_templates(templates),
        device=device,
        precision=precision.value,
        backend=backend,
        seed=seed,
    )
    return run_eval(asked, choice, Voice(quiet, verbose, not no_progress))
