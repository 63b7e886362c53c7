"""The door to point cloud files: inspected, read, and written back with labels.

Files are told apart by their first bytes, never trusted, and never changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from clip3d_cli import registry
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError, OutputError, UsageError
from clip3d_cli.formats.atomic import landing, require_folder, require_new, require_space
from clip3d_cli.formats.exports import (
    SIDECAR,
    classes_json,
    write_label_file,
    write_npz_file,
)
from clip3d_cli.formats.file_checks import read_head, require_file, require_unchanged, stamp_of
from clip3d_cli.formats.format import CloudFacts, Format, ReadOptions
from clip3d_cli.formats.label_fields import require_length
from clip3d_cli.formats.ply.export import write_ply_file
from clip3d_cli.formats.point_checks import surveyed

__all__ = [
    "CloudFacts",
    "ReadOptions",
    "check_target",
    "inspect_cloud",
    "read_cloud",
    "suffixes",
    "target_path",
    "write_labels",
]

_CHEAP_POINTS = 2_000_000
_EXPORTS = (".label", ".npz", ".ply")
_LABEL_BYTES = 16


def suffixes() -> tuple[str, ...]:
    """The suffixes of the files that clip3d reads, lower case."""
    return tuple(suffix for kind in _formats() for suffix in kind.suffixes)


def inspect_cloud(path: Path, options: ReadOptions) -> CloudFacts:
    """What a file says about itself; up to two million points are read and looked at, too.

    Raises:
        InputError: it is not a point cloud, cannot be true, ends early or is corrupt.
    """
    kind, facts = _look(path, options)
    if facts.points > _CHEAP_POINTS or facts.memory > options.max_memory:
        return facts
    return _read(path, options, kind, facts)[1]


def read_cloud(path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
    """The points of a file in its order, in metres, and what there is to say about them.

    Raises:
        InputError: it is not a point cloud, cannot be true, ends early, is corrupt, needs more
            memory than ``options`` allow, or changes while it is read.
    """
    kind, facts = _look(path, options)
    if facts.memory > options.max_memory:
        raise InputError(
            "E_TOO_LARGE",
            path,
            f"takes {facts.memory / 1e9:.1f} GB to read, {options.max_memory / 1e9:.1f} GB allowed",
            "Allow more with --max-memory, or split the file.",
        )
    return _read(path, options, kind, facts)


def target_path(source: Path, out: Path | None) -> Path:
    """Where the labelled copy goes: ``<stem>.clip3d.<ext>`` beside the source, or as asked.

    Args:
        source: the file to be labelled.
        out: a file, a folder for the usual name, or None.
    """
    if out is not None and not out.is_dir():
        return out
    kind = _kind_of(source)
    suffix = source.suffix.lower()
    if suffix not in kind.writes:
        suffix = kind.writes[0]
    # x.copc.laz and x.pcd.bin carry a second suffix that the copy does not deserve.
    stem = source.stem.removesuffix(".copc").removesuffix(".pcd")
    return (out or source.parent) / f"{stem}.clip3d{suffix}"


def check_target(source: Path, target: Path, options: ReadOptions, *, overwrite: bool) -> None:
    """Refuse a target before any work is done: the same checks as before writing.

    Raises:
        UsageError: E_EXISTS, E_SAME_FILE, E_LABEL_FIELD (the source has label fields already),
            or E_UNSUPPORTED (the suffix is of no kind that can be written).
        OutputError: its folder is missing or may not be written.
    """
    kind, facts = _look(source, options)
    possible = dict.fromkeys((*kind.writes, *_EXPORTS))
    suffix = target.suffix.lower()
    if suffix not in possible:
        raise UsageError(
            "E_UNSUPPORTED",
            target,
            f"labels of {kind.name} cannot be written as {suffix or 'a file without suffix'}",
            f"Possible are {', '.join(possible)}.",
        )
    require_folder(target)
    if target.exists() and target.samefile(source):
        raise UsageError(
            "E_SAME_FILE", target, "is the input itself", "clip3d never writes over its input."
        )
    _refuse_existing(target, overwrite)
    if facts.label_fields and suffix in kind.writes and not overwrite:
        raise UsageError(
            "E_LABEL_FIELD",
            source,
            f"already has {', '.join(facts.label_fields)}",
            "Replace them in the copy with --overwrite; the input stays as it is.",
        )


def write_labels(
    labels: Labels,
    source: Path,
    target: Path,
    options: ReadOptions,
    *,
    overwrite: bool = False,
    facts: CloudFacts | None = None,
) -> list[Path]:
    """Write a copy of the source with label fields, and beside it the names of the classes.

    Both appear complete or not at all. A target of another kind takes the labels alone
    (``.label``, ``.npz``) or with the points (``.ply``).

    Args:
        labels: one per point of the source, in its order.
        source: the file that was read.
        target: the file to write.
        options: as the source was read.
        overwrite: replace the target if it exists.
        facts: those that the read gave; a source that changed since is refused.

    Returns:
        The files written.

    Raises:
        UsageError: see ``check_target``.
        InputError: E_CHANGED, or whatever reading the source again finds.
        OutputError: E_NO_SPACE, E_NOT_WRITABLE.
    """
    state = require_file(source)
    stamp = facts.stamp if facts is not None and facts.stamp else stamp_of(state)
    require_unchanged(source, stamp)
    check_target(source, target, options, overwrite=overwrite)
    require_space(target, state.st_size + _LABEL_BYTES * len(labels))
    sidecar = _sidecar_of(target)
    with landing(sidecar) as sidecar_part, landing(target) as target_part:
        sidecar_part.write_text(classes_json(labels), encoding="utf-8")
        _write_part(labels, source, target, target_part, options, facts)
        require_unchanged(source, stamp)
    return [target, sidecar]


def _formats() -> Iterator[Format]:
    return (kind() for kind in registry.parts("formats"))


def _kind_of(path: Path) -> Format:
    head = read_head(path)
    for kind in _formats():
        if kind.sniff(path, head):
            return kind
    raise InputError(
        "E_NOT_A_CLOUD",
        path,
        "is not a point cloud that clip3d reads",
        f"It reads {', '.join(suffixes())}.",
    )


def _look(path: Path, options: ReadOptions) -> tuple[Format, CloudFacts]:
    state = require_file(path)
    kind = _kind_of(path)
    facts = kind.inspect(path, options)
    warnings = facts.warnings
    if path.suffix.lower() not in kind.suffixes:
        warnings = (
            f"the name says {path.suffix or 'nothing'}, the bytes say {kind.name}",
            *warnings,
        )
    return kind, dataclasses.replace(facts, warnings=warnings, stamp=stamp_of(state))


def _read(
    path: Path, options: ReadOptions, kind: Format, facts: CloudFacts
) -> tuple[PointCloud, CloudFacts]:
    cloud, told = kind.read(path, options)
    if facts.stamp is not None:
        require_unchanged(path, facts.stamp)
    extra = tuple(warning for warning in told.warnings if warning not in facts.warnings)
    told = dataclasses.replace(told, warnings=(*facts.warnings, *extra), stamp=facts.stamp)
    return cloud, surveyed(told, cloud)


def _sidecar_of(target: Path) -> Path:
    return target.with_name(target.stem + SIDECAR)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    for path in (target, _sidecar_of(target)):
        require_new(path, overwrite=overwrite)


def _write_part(
    labels: Labels,
    source: Path,
    target: Path,
    part: Path,
    options: ReadOptions,
    facts: CloudFacts | None,
) -> None:
    kind = _kind_of(source)
    suffix = target.suffix.lower()
    if suffix in kind.writes:
        kind.write(labels, source, part, options, suffix)
        _require_whole(kind, target, part, len(labels))
        return
    if suffix == ".ply":
        cloud, _ = read_cloud(source, options)
        require_length(source, len(cloud), labels)
        write_ply_file(labels, cloud, part)
        return
    # The file is unchanged since the read that gave the facts: no need to read it again.
    points = facts.points if facts is not None else len(read_cloud(source, options)[0])
    require_length(source, points, labels)
    if suffix == ".label":
        write_label_file(labels, part)
    else:
        write_npz_file(labels, part)


def _require_whole(kind: Format, target: Path, part: Path, points: int) -> None:
    """Look at the copy again as a reader would, before it takes its name."""
    if target.suffix.lower() not in kind.suffixes:
        return
    written = kind.inspect(part, ReadOptions()).points
    if written != points:
        raise OutputError(
            "E_NOT_WRITABLE",
            target,
            f"came out with {written:,} of {points:,} points",
            "Try again.",
        )
