"""Which file becomes which: found before any model is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip3d_cli.commands.door import refusal_of
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.errors import Clip3DError, InputError, OutputError, UsageError
from clip3d_cli.formats.atomic import require_folder
from clip3d_cli.formats.cloud_file import check_target, target_path
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.format import ReadOptions


@dataclass(frozen=True, slots=True)
class Targets:
    """Where results go.

    Attributes:
        file: -o, for one input; a folder takes any number.
        folder: -O, for any number; made if missing.
        overwrite: replace what is there.
        skip_existing: leave out inputs whose result is there.
    """

    file: Path | None = None
    folder: Path | None = None
    overwrite: bool = False
    skip_existing: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One file to label.

    Attributes:
        source: what is read.
        target: what is written; never an input of this or another job.
    """

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Failed:
    """An input that could not be labelled, and why."""

    source: Path
    refusal: Clip3DError


@dataclass(frozen=True, slots=True)
class Plan:
    """What to label, and the inputs that cannot be, each in the order given."""

    sources: tuple[Path, ...]
    jobs: tuple[Job, ...]
    failed: tuple[Failed, ...]


def plan_jobs(
    sources: Sequence[Path], targets: Targets, reading: ReadOptions, voice: Voice
) -> Plan:
    """Which files to label, each with a target of its own.

    Looks at headers only, and writes nothing.

    Raises:
        UsageError: a target is there already, is an input, or is the target of two inputs.
        OutputError: a target's folder is missing or may not be written.
    """
    _refuse_one_for_many(sources, targets)
    if targets.folder is not None:
        _require_room_for(targets.folder)
    jobs, failed = [], []
    for source in sources:
        try:
            jobs.append(Job(source, _target_of(source, targets)))
        except (InputError, OSError) as error:
            failed.append(Failed(source, refusal_of(error)))
    _refuse_collisions(jobs, sources)
    kept = []
    for job in jobs:
        if targets.skip_existing and job.target.exists():
            voice.note(f"{job.source}: skipped, {job.target} is there")
            continue
        try:
            # A folder still to be made holds nothing that could be in the way.
            if targets.folder is None or targets.folder.is_dir():
                check_target(job.source, job.target, reading, overwrite=targets.overwrite)
            kept.append(job)
        except (InputError, OSError) as error:
            failed.append(Failed(job.source, refusal_of(error)))
    return Plan(tuple(sources), tuple(kept), tuple(failed))


def _target_of(source: Path, targets: Targets) -> Path:
    require_file(source)
    if targets.folder is not None:
        return targets.folder / target_path(source, None).name
    return target_path(source, targets.file)


def _refuse_one_for_many(sources: Sequence[Path], targets: Targets) -> None:
    if targets.file is None:
        return
    if targets.folder is not None:
        raise UsageError("E_USAGE", "-o", "and -O cannot both be given", "Give one of them.")
    if len(sources) > 1 and not targets.file.is_dir():
        raise UsageError(
            "E_USAGE", "-o", f"names one file for {len(sources)} inputs", "Use -O DIR instead."
        )


def _require_room_for(folder: Path) -> None:
    """Refuse a folder that is none, or that cannot be made."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise OutputError("E_NOT_WRITABLE", there, "is not a folder", "Name another with -O.")
    require_folder(there / "result")


def _refuse_collisions(jobs: Sequence[Job], sources: Sequence[Path]) -> None:
    places = {_place(source) for source in sources}
    job_of_stem: dict[Path, Job] = {}
    for job in jobs:
        place = _place(job.target)
        if place in places:
            raise UsageError(
                "E_SAME_FILE",
                job.target,
                f"is the result of {job.source} and also an input",
                "Inputs are never written over: choose another name with -o or -O.",
            )
        # Without its suffix: the file that names the classes is shared by a stem.
        first = job_of_stem.setdefault(place.with_suffix(""), job)
        if first is not job:
            raise UsageError(
                "E_SAME_FILE",
                job.target,
                f"would be the result of both {first.source} and {job.source}",
                "Label them in two runs, or into two folders with -O.",
            )


def _place(path: Path) -> Path:
    """What a path leads to: links to one file are one place."""
    return Path(os.path.realpath(path))
