"""A ``clip3d label`` command line, checked and planned before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli import registry
from clip3d_cli.commands.door import error_entry, exit_code, refusal_of, report
from clip3d_cli.commands.label_plan import Failed, Plan, Targets, plan_jobs
from clip3d_cli.commands.label_show import run_document
from clip3d_cli.commands.terminal import Voice, give, give_json
from clip3d_cli.core.words import Vocabulary
from clip3d_cli.errors import UsageError
from clip3d_cli.formats.contract import ReadOptions
from clip3d_cli.formats.files import inspect_cloud
from clip3d_cli.text.templates import read_templates, template_sets, templates_named

if TYPE_CHECKING:
    from clip3d_cli.encoders.spec import HeadName
    from clip3d_cli.sparse.backend import Precision

USUAL_TEMPLATES = "photo"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which models are asked for.

    Attributes:
        weights: the file of the point network.
        text_encoder: its name, with model and tag after a colon; None takes the weights' own.
        templates: sentences around words, each with one ``{}``; for the text head.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: of the network's matrix products.
        backend: ``auto``, or a name of kind ``backends`` in the registry.
        seed: of all randomness.
        head: ``text`` answers any words, ``closed`` the classes the weights were trained on.
    """

    weights: Path
    text_encoder: str | None
    templates: tuple[str, ...]
    device: str = "auto"
    precision: Precision | Literal["auto"] = "auto"
    backend: str = "auto"
    seed: int = 0
    head: HeadName = "text"


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """How files are labelled.

    Attributes:
        choice: the models.
        reading: how files are read.
        voice: hears what happens.
        voxel_m: the edge of a voxel, metres; None takes the weights' that suits.
        tile_m: the widest tile, metres; None cuts only what does not fit.
        unknown_threshold: points whose winner scores less are unlabeled, 0…1.
        ranking: how many classes to rank per point; 0 for none.
        overwrite: replace results that are there.
    """

    choice: EngineChoice
    reading: ReadOptions
    voice: Voice
    voxel_m: float | None = None
    tile_m: float | None = None
    unknown_threshold: float = 0.0
    ranking: int = 0
    overwrite: bool = False


def run_label(
    sources: Sequence[Path],
    targets: Targets,
    vocabulary: Vocabulary,
    request: LabelRequest,
    *,
    as_json: bool,
    dry_run: bool,
) -> int:
    """The exit code of labelling files.

    Raises:
        Clip3DError: nothing was labelled, because of the command line or this machine.
    """
    plan = plan_jobs(sources, targets, request.reading, request.voice)
    if dry_run:
        plan, points = _looked_into(plan, request.reading)
    for each in plan.failed:
        report(each.refusal, each.refusal)
    code = exit_code([each.refusal for each in plan.failed], len(sources) - len(plan.failed))
    if dry_run:
        _show_plan(plan, points, vocabulary, request, as_json=as_json)
        return code
    if not plan.jobs:
        if as_json:
            give_json(run_document(plan.failed, None))
        return code
    with request.voice.busy("starting"):
        # Torch takes seconds to import: everything that can be refused without it has been.
        from clip3d_cli.commands.label_run import label_jobs

    return label_jobs(plan, vocabulary, request, as_json=as_json)


def chosen_templates(name: str | None) -> tuple[str, ...]:
    """The sentences around words: a named set, a user's file, or the usual set.

    Raises:
        UsageError: there is no such set or file, or a line of the file has no place for a word.
    """
    if name is None:
        return templates_named(USUAL_TEMPLATES)
    if name in template_sets():
        return templates_named(name)
    path = Path(name)
    return read_templates(path) if path.suffix or path.is_file() else templates_named(name)


def known_text_encoder(name: str | None) -> str | None:
    """The name itself, such as ``mini`` or ``openclip:ViT-B-32/openai``.

    Raises:
        UsageError: there is no text encoder of that kind.
    """
    if name is None:
        return None
    kind, colon, _ = name.partition(":")
    if kind not in registry.names("text_encoders"):
        raise registry.unknown_name("--text-encoder", name, registry.names("text_encoders"))
    if colon and kind == "mini":
        raise UsageError(
            "E_UNKNOWN_NAME", "--text-encoder", "mini is one model", "Write --text-encoder mini."
        )
    return name


def _looked_into(plan: Plan, reading: ReadOptions) -> tuple[Plan, list[int]]:
    """The plan without the inputs that a look into them refuses, and the points of its jobs."""
    jobs, points, failed = [], [], [*plan.failed]
    for job in plan.jobs:
        try:
            points.append(inspect_cloud(job.source, reading).points)
            jobs.append(job)
        except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
            failed.append(Failed(job.source, refusal_of(error)))
    return Plan(plan.sources, tuple(jobs), tuple(failed)), points


def _show_plan(
    plan: Plan,
    points: Sequence[int],
    vocabulary: Vocabulary,
    request: LabelRequest,
    *,
    as_json: bool,
) -> None:
    """Say what a run would do."""
    weights, device = request.choice.weights, request.choice.device
    names = [entry.name for entry in vocabulary.classes]
    if as_json:
        rows = [
            {"input": str(job.source), "output": str(job.target), "points": count}
            for job, count in zip(plan.jobs, points, strict=True)
        ]
        failed = [
            {"input": str(each.source), "error": error_entry(each.refusal)} for each in plan.failed
        ]
        give_json(
            {
                "schema": "clip3d.plan/1",
                "weights": str(weights),
                "device": device,
                "head": request.choice.head,
                "classes": names,
                "jobs": rows,
                "failed": failed,
            }
        )
        return
    give(f"weights {weights}, {request.choice.head} head, device {device}")
    give(f"{len(names)} classes: {', '.join(names)}")
    for job, count in zip(plan.jobs, points, strict=True):
        give(f"{job.source} ({count:,} points) -> {job.target}")
