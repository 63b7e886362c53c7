"""``clip3d eval``: evaluate weights on scenes with ground truth."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip3d_cli.cli.options import (
    MODEL,
    RESULT,
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
    Templates,
    TextEncoder,
    Verbose,
    Weights,
)
from clip3d_cli.errors import Clip3DError, UsageError

if TYPE_CHECKING:
    from clip3d_cli.cli.terminal import Reporter
    from clip3d_cli.core.point_cloud import PointCloud
    from clip3d_cli.core.scenes import PosedScene
    from clip3d_cli.core.vocabulary import Vocabulary
    from clip3d_cli.datasets.dataset import Dataset, Submission
    from clip3d_cli.encoders.spec import HeadName
    from clip3d_cli.labelling.labeller import ModelChoice
    from clip3d_cli.pipelines.evaluate.run import ClassIndex, EvalOptions, Predictor

_METRICS = "Metrics"
_DEFAULT_SPLIT = "val"


class Head(str, Enum):
    """Which head of the network labels points."""

    auto = "auto"
    text = "text"
    closed = "closed"


class Metric(str, Enum):
    """How a class without ground truth counts in a mean."""

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
            help="Split to evaluate. Default: val (or mini_val) if there is one, otherwise the "
            "first.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Evaluate at most N scenes, spread evenly over the split.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    metric: Annotated[
        Metric,
        typer.Option(
            help="How a class without ground-truth points counts in means. present: not at all; "
            "official: as in the data set's own code; reference: as in CLIP2Scene's code.",
            rich_help_panel=_METRICS,
        ),
    ] = Metric.present,
    bands: Annotated[
        str | None,
        typer.Option(
            metavar="METRES",
            help="Also evaluate by distance from the sensor: 20,40 gives 0-20 m, 20-40 m and "
            "beyond.",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSES",
            help='Also report the mean IoU without these classes, such as "wall,floor".',
            rich_help_panel=_METRICS,
        ),
    ] = None,
    novel: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSES",
            help='Classes not seen in training, such as "sofa,desk": also report their mean IoU, '
            "that of the other classes, and the harmonic mean of both.",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    panoptic: Annotated[
        bool,
        typer.Option(
            "--panoptic",
            help="Also evaluate objects: connected points of one class.",
            rich_help_panel=_METRICS,
        ),
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Other words for some classes: a TOML file with [[class]] tables (see clip3d "
            "vocabularies --help).",
            rich_help_panel=WORDS,
        ),
    ] = None,
    templates: Templates = None,
    weights: Weights = None,
    head: Annotated[
        Head,
        typer.Option(
            help="closed: the classes that the weights were fine-tuned on; text: any words; auto: "
            "closed if it knows all classes of the data set, otherwise text.",
            rich_help_panel=MODEL,
        ),
    ] = Head.auto,
    text_encoder: TextEncoder = None,
    device: Device = "auto",
    precision: PrecisionChoice = Precision.auto,
    backend: Backend = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the JSON document to a file, for clip3d report.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the file of -o.", rich_help_panel=RESULT),
    ] = False,
    submission: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write predictions in the format of the benchmark's server; also for splits "
            "without public ground truth.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> int:
    """Evaluate weights on scenes with ground truth.

    Every point of every key frame is labelled exactly as clip3d label does, with the words of the
    data set's classes. Every point with ground truth counts; an unlabeled point counts as wrong.
    docs/guides/evaluate.md defines each metric.

    \b
    Examples:
      clip3d eval --dataset nuscenes --root DIR
      clip3d eval --dataset folder --root my_scans/ --weights runs/a/points.safetensors
      clip3d eval --dataset semantickitti --root DIR --split test --submission send/
    """  # noqa: D301
    from clip3d_cli.cli.models import model_choice
    from clip3d_cli.cli.terminal import Reporter
    from clip3d_cli.datasets.splits import default_split, limit_scenes
    from clip3d_cli.pipelines.evaluate.run import EvalOptions, require_options, require_vocabulary

    choice = model_choice(
        weights,
        text_encoder,
        templates,
        device=device,
        precision=precision.value,
        backend=backend,
    )
    data = _open_dataset(dataset, root)
    vocabulary = _with_prompts(require_vocabulary(data), prompts)
    options = EvalOptions(
        convention=metric.value,
        bands_m=_parse_bands(bands),
        ignored=_parse_names(ignore),
        novel=_parse_names(novel),
        panoptic=panoptic,
    )
    require_options(data, options)
    split = split or default_split(data, _DEFAULT_SPLIT)
    scenes = limit_scenes(data.scenes(split), limit or 0)
    if submission is None:
        _require_ground_truth(scenes, split)
    else:
        _require_server(data, limit)
    if output is not None:
        _check_output(output, overwrite, inputs=(Path(choice.weights), prompts))
    text_options = {"--templates": templates, "--text-encoder": text_encoder, "--prompts": prompts}
    choice = dataclasses.replace(
        choice, head=_choose_head(head.value, choice, vocabulary, text_options)
    )
    request = EvalRequest(data, split, scenes, vocabulary, options, choice, submission)
    reporter = Reporter(quiet, verbose, not no_progress)
    return _run(request, output, reporter, as_json=as_json)


@dataclasses.dataclass(frozen=True, slots=True)
class EvalRequest:
    """What to evaluate, once everything that the command line names was found.

    Attributes:
        dataset: the opened data set.
        split: name of the split.
        scenes: scenes to evaluate.
        vocabulary: classes of the ground truth, with the words to use for them.
        options: metrics.
        choice: the models.
        submission: folder for a submission, or None.
    """

    dataset: Dataset
    split: str
    scenes: Sequence[PosedScene]
    vocabulary: Vocabulary
    options: EvalOptions
    choice: ModelChoice
    submission: Path | None


def _run(request: EvalRequest, output: Path | None, reporter: Reporter, *, as_json: bool) -> int:
    """Evaluate, print the scores, and write the results."""
    from clip3d_cli.cli.eval_output import print_evaluation
    from clip3d_cli.cli.models import open_model
    from clip3d_cli.cli.terminal import count_of, print_json
    from clip3d_cli.pipelines.evaluate.document import (
        EvaluationSetup,
        evaluation_document,
        write_document,
    )
    from clip3d_cli.pipelines.evaluate.run import evaluate as evaluate_scenes
    from clip3d_cli.pipelines.evaluate.run import network_predictor

    dataset, options, choice = request.dataset, request.options, request.choice
    with ExitStack() as stack:
        writer = None
        if request.submission is not None:
            open_submission = _submission_class(dataset)
            writer = stack.enter_context(
                open_submission(dataset, request.submission, request.split)
            )
        model = open_model(choice, request.vocabulary, reporter)
        labeller = model.labeller
        began = time.perf_counter()
        predict = _TimedPrediction(network_predictor(labeller.encoder, model.classes))
        evaluation = evaluate_scenes(
            dataset,
            request.scenes,
            predict,
            options,
            submission=writer,
            progress=reporter.progress,
        )
        submitted = None if writer is None else writer.finish()
    rest = time.perf_counter() - began - predict.seconds
    reporter.info(
        f"{count_of(predict.points, 'point')} labelled in {predict.seconds:.1f} s with the "
        f"{choice.head} head"
    )
    print_evaluation(evaluation, options, request.split, reporter)
    setup = EvaluationSetup(
        dataset=dataset.name,
        root=dataset.root,
        split=request.split,
        words=request.vocabulary,
        templates=labeller.templates,
        text_encoder=labeller.text_encoder,
        head=choice.head,
        weights=labeller.weights,
        sha256=labeller.sha256,
        device=labeller.device,
        backend=labeller.backend,
        precision=labeller.precision,
        seconds={"load": model.load_seconds, "label": predict.seconds, "read and count": rest},
    )
    document = evaluation_document(evaluation, options, setup, submission=submitted)
    if submitted is not None:
        reporter.info(f"submission: {submitted}")
    if output is not None:
        write_document(document, output)
        reporter.info(f"written: {output}")
    if as_json:
        print_json(document.as_json())
    return 0


class _TimedPrediction:
    """A prediction function that counts the points it labelled, and the seconds it took."""

    def __init__(self, predict: Predictor) -> None:
        self._predict = predict
        self.seconds = 0.0
        self.points = 0

    def __call__(self, scene: PosedScene, cloud: PointCloud) -> ClassIndex:
        from clip3d_cli.cli.errors import with_source

        began = time.perf_counter()
        try:
            class_index = self._predict(scene, cloud)
        except Clip3DError as error:
            raise with_source(error, scene.sweeps[0].path) from error
        self.seconds += time.perf_counter() - began
        self.points += len(cloud)
        return class_index


def _open_dataset(name: str | None, root: Path | None) -> Dataset:
    """Open the data set of --dataset and --root.

    Raises:
        UsageError: one of them is not given, or there is no such data set.
        InputError: the folder does not have the layout of the data set.
    """
    from clip3d_cli import registry

    known = registry.names("datasets")
    if name is not None and name not in known:
        raise registry.unknown_name_error("--dataset", name, known)
    if name is None or root is None:
        raise UsageError(
            "E_USAGE",
            "--root" if name else "--dataset",
            "is not given",
            f"Use --dataset NAME --root DIR, where NAME is one of {', '.join(known)}.",
        )
    dataset: Dataset = registry.load("datasets", name)(root)
    return dataset


def _with_prompts(vocabulary: Vocabulary, prompts: Path | None) -> Vocabulary:
    """Return the vocabulary with the words of a file for the classes that the file names."""
    from clip3d_cli.core.vocabulary import Vocabulary
    from clip3d_cli.pipelines.evaluate.run import class_indices

    if prompts is None:
        return vocabulary
    if not prompts.is_file():
        raise UsageError("E_CLASSES", "--prompts", f"there is no file {prompts}", "Check the path.")
    words_of_name = {entry.name: entry.words for entry in Vocabulary.read(prompts).classes}
    class_indices(vocabulary, words_of_name, str(prompts))
    classes = (
        dataclasses.replace(entry, words=words_of_name.get(entry.name, entry.words))
        for entry in vocabulary.classes
    )
    return dataclasses.replace(vocabulary, classes=tuple(classes))


def _parse_bands(text: str | None) -> tuple[float, ...]:
    """Return the distances of --bands in metres."""
    from clip3d_cli.pipelines.evaluate.run import EvalOptions

    try:
        bands_m = tuple(float(part) for part in _parse_names(text))
        EvalOptions(bands_m=bands_m)
    except ValueError as error:
        raise UsageError(
            "E_BAD_VALUE",
            "--bands",
            f"{text!r} is not a rising list of distances above 0",
            "Give metres, such as 20,40.",
        ) from error
    return bands_m


def _parse_names(text: str | None) -> tuple[str, ...]:
    parts = (part.strip() for part in (text or "").split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _require_ground_truth(scenes: Sequence[PosedScene], split: str) -> None:
    if not any(scene.ground_truth is not None for scene in scenes):
        raise UsageError(
            "E_DATASET",
            f"split {split}",
            "no scene has ground truth",
            "Evaluate another split, or write predictions for a server with --submission DIR.",
        )


def _submission_class(dataset: Dataset) -> Callable[[Dataset, Path, str], Submission]:
    """Return the class of submissions to the benchmark of a data set.

    Raises:
        UsageError: no benchmark takes submissions.
    """
    from clip3d_cli import registry

    if dataset.submission is not None:
        return dataset.submission
    names = registry.names("datasets")
    servers = [name for name in names if registry.load("datasets", name).submission is not None]
    raise UsageError(
        "E_UNSUPPORTED",
        "--submission",
        f"there is no benchmark server for {dataset.name}",
        f"Submissions can be written for {', '.join(servers)}.",
    )


def _require_server(dataset: Dataset, limit: int | None) -> None:
    _submission_class(dataset)
    if limit is not None:
        raise UsageError(
            "E_USAGE",
            "--submission",
            "and --limit cannot both be given",
            "A benchmark needs predictions for the whole split.",
        )


def _check_output(output: Path, overwrite: bool, inputs: Sequence[Path | None]) -> None:
    """Check the file of -o before anything is evaluated."""
    from clip3d_cli.formats.atomic import require_folder, require_new

    require_folder(output)
    for source in inputs:
        if source is not None and output.exists() and output.samefile(source):
            raise UsageError(
                "E_SAME_FILE", output, "is an input", "clip3d never overwrites its input."
            )
    require_new(output, overwrite=overwrite)


def _choose_head(
    head: str, choice: ModelChoice, vocabulary: Vocabulary, text_options: Mapping[str, object]
) -> HeadName:
    """Return the head to use; auto prefers a closed head that knows all classes."""
    from clip3d_cli.cli.classes import refuse_text_options
    from clip3d_cli.encoders.weights_file import read_spec, require_closed

    weights = Path(choice.weights)
    spec = read_spec(weights)
    if head == "text":
        return "text"
    if head == "closed":
        require_closed(spec, weights)
        refuse_text_options(text_options)
        return "closed"
    trained = set(spec.closed.names) if spec.closed is not None else set()
    knows_all = trained.issuperset(vocabulary.names)
    return "closed" if knows_all and not any(text_options.values()) else "text"
