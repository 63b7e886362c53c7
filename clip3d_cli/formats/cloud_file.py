"""Open, read and label point cloud files of any format.

The format is recognised by the first bytes of a file, not by its name. A file that was opened is
never changed: labels go into a copy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from clip3d_cli import registry
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError, OutputError, UsageError
from clip3d_cli.formats.atomic import atomic_writes, require_folder, require_new, require_space
from clip3d_cli.formats.exports import (
    SIDECAR,
    classes_json,
    write_label_file,
    write_npz_file,
    write_ply_file,
)
from clip3d_cli.formats.file_checks import read_head, require_file, require_unchanged, stamp_of
from clip3d_cli.formats.format import CloudFacts, Format, FormatFile, ReadOptions
from clip3d_cli.formats.label_fields import require_length
from clip3d_cli.formats.point_checks import with_point_facts

__all__ = [
    "CloudFacts",
    "CloudFile",
    "ReadOptions",
    "inspect_cloud",
    "open_cloud",
    "read_cloud",
    "suffixes",
    "write_labels",
]

# Reading this many points takes about a second.
_SMALL_POINTS = 2_000_000
_EXPORTS = (".label", ".npz", ".ply")
_LABEL_BYTES = 16


class CloudFile:
    """A point cloud file that was opened: its header is parsed, its points can be read.

    No file handle is kept. If the file is changed after it was opened, reading and writing raise
    E_CHANGED.

    Args:
        path: file to open.
        options: how to read it.

    Attributes:
        path: the file.
        facts: facts from the header; after ``read`` also those from the points.

    Raises:
        InputError: the file is missing, is no point cloud, or has an invalid header.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        state = require_file(path)
        self.path = path
        self._options = options
        self._stamp = stamp_of(state)
        self._bytes = state.st_size
        self._format = _format_of(path)
        self._file: FormatFile = self._format.open(path, options)
        self._header_facts = _with_suffix_warning(self._file.facts, path, self._format)
        self._was_read = False
        self.facts: CloudFacts = self._header_facts

    def read(self) -> PointCloud:
        """Return the points in file order, in metres; afterwards ``facts`` describe them too.

        Raises:
            InputError: the file ends early, is corrupt, was changed since it was opened, or needs
                more memory than the options allow.
        """
        need, allowed = self._header_facts.memory, self._options.max_memory
        if need > allowed:
            raise InputError(
                "E_TOO_LARGE",
                self.path,
                f"needs {need / 1e9:.1f} GB of memory, {allowed / 1e9:.1f} GB are allowed",
                "Allow more with --max-memory, or split the file.",
            )
        require_unchanged(self.path, self._stamp)
        cloud, notes = self._file.read()
        require_unchanged(self.path, self._stamp)
        facts = dataclasses.replace(
            self._header_facts, points=len(cloud), notes=(*notes, *self._header_facts.notes)
        )
        self.facts = with_point_facts(facts, cloud)
        self._was_read = True
        return cloud

    def read_if_small(self) -> PointCloud | None:
        """Return the points if there are at most two million and memory allows it, else None.

        Raises:
            InputError: see ``read``.
        """
        facts = self._header_facts
        if facts.points > _SMALL_POINTS or facts.memory > self._options.max_memory:
            return None
        return self.read()

    def target_path(self, out: Path | None = None) -> Path:
        """Return where the labelled copy goes.

        Args:
            out: a file, a folder for the default name, or None for the folder of the file. The
                default name is ``scan.clip3d.ply`` for ``scan.ply``.
        """
        if out is not None and not out.is_dir():
            return out
        suffix = self.path.suffix.lower()
        if suffix not in self._format.writes:
            suffix = self._format.writes[0]
        # The copy of x.copc.laz is no COPC file, and that of x.pcd.bin no PCD file.
        stem = self.path.stem.removesuffix(".copc").removesuffix(".pcd")
        return (out or self.path.parent) / f"{stem}.clip3d{suffix}"

    def check_target(self, target: Path, *, overwrite: bool = False) -> None:
        """Raise if ``write`` would reject the target; writes nothing.

        Args:
            target: file to write.
            overwrite: whether existing results and label fields may be replaced.

        Raises:
            UsageError: E_EXISTS; E_SAME_FILE: the target is the file itself; E_LABEL_FIELD: the
                file has label fields already; E_UNSUPPORTED: the suffix cannot be written.
            OutputError: E_NOT_WRITABLE: the folder is missing or may not be written to.
        """
        possible = dict.fromkeys((*self._format.writes, *_EXPORTS))
        suffix = target.suffix.lower()
        if suffix not in possible:
            raise UsageError(
                "E_UNSUPPORTED",
                target,
                f"labels of {self._format.name} cannot be written as "
                f"{suffix or 'a file without suffix'}",
                f"Possible are {', '.join(possible)}.",
            )
        require_folder(target)
        if target.exists() and target.samefile(self.path):
            raise UsageError(
                "E_SAME_FILE", target, "is the input itself", "Write to another file with -o."
            )
        for path in (target, _sidecar_of(target)):
            require_new(path, overwrite=overwrite)
        label_fields = self._header_facts.label_fields
        if label_fields and suffix in self._format.writes and not overwrite:
            raise UsageError(
                "E_LABEL_FIELD",
                self.path,
                f"already has {', '.join(label_fields)}",
                "Replace them in the copy with --overwrite; the input stays as it is.",
            )

    def write(self, labels: Labels, target: Path, *, overwrite: bool = False) -> list[Path]:
        """Write a labelled copy of the file, and beside it a JSON file with the class names.

        A target of another format takes the labels alone (``.label``, ``.npz``) or with the
        points (``.ply``). A file appears under its name only when it is complete, so a write that
        fails leaves an older result as it was.

        Args:
            labels: N labels, one per point in file order.
            target: file to write.
            overwrite: whether existing results and label fields may be replaced.

        Returns:
            The files written, the copy first.

        Raises:
            UsageError: see ``check_target``.
            InputError: E_CHANGED: the file was changed since it was opened, or has another number
                of points than there are labels; E_TRUNCATED, E_CORRUPT: see ``read``.
            OutputError: E_NO_SPACE, E_NOT_WRITABLE.
        """
        require_unchanged(self.path, self._stamp)
        self.check_target(target, overwrite=overwrite)
        require_space(target, self._bytes + _LABEL_BYTES * len(labels))
        sidecar = _sidecar_of(target)
        with atomic_writes(target, sidecar) as (target_part, sidecar_part):
            sidecar_part.write_text(classes_json(labels), encoding="utf-8")
            self._write_part(labels, target, target_part)
            require_unchanged(self.path, self._stamp)
        return [target, sidecar]

    def _write_part(self, labels: Labels, target: Path, part: Path) -> None:
        suffix = target.suffix.lower()
        if suffix in self._format.writes:
            self._file.write_copy(labels, part, suffix)
            self._check_copy(target, part, len(labels))
            return
        if suffix == ".ply":
            cloud = self.read()
            require_length(self.path, len(cloud), labels)
            write_ply_file(labels, cloud, part)
            return
        # The header of a truncated file may count points that are not there.
        points = self.facts.points if self._was_read else len(self.read())
        require_length(self.path, points, labels)
        if suffix == ".label":
            write_label_file(labels, part)
        else:
            write_npz_file(labels, part)

    def _check_copy(self, target: Path, part: Path, points: int) -> None:
        """Parse the header of the copy before it takes its name."""
        if target.suffix.lower() not in self._format.suffixes:
            return
        written = self._format.open(part, ReadOptions()).facts.points
        if written != points:
            raise OutputError(
                "E_NOT_WRITABLE",
                target,
                f"was written with {written:,} of {points:,} points",
                "Try again.",
            )


def open_cloud(path: str | Path, options: ReadOptions | None = None) -> CloudFile:
    """Open a point cloud file: recognise its format and parse its header.

    Args:
        path: PLY, LAS, LAZ, PCD, BIN, NPY or NPZ file.
        options: how to read it; None for the defaults.

    Raises:
        InputError: the file is missing, is no point cloud, or has an invalid header.
        UsageError: E_COLUMNS: the columns of a ``.bin`` or ``.npy`` file must be named.
    """
    return CloudFile(Path(path), ReadOptions() if options is None else options)


def read_cloud(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    allow_truncated: bool = False,
    max_memory: int | None = None,
) -> PointCloud:
    """Read the points of a file, in file order, in metres.

    Args:
        path: PLY, LAS, LAZ, PCD, BIN, NPY or NPZ file.
        columns: column names of a ``.bin`` or ``.npy`` file; None infers them from the values.
        allow_truncated: read the points that are there when the file ends early.
        max_memory: bytes that the read may take; None for three quarters of the machine's.

    Raises:
        InputError: the file is no point cloud, ends early, is corrupt, or needs more memory.
        UsageError: E_COLUMNS: the columns must be named.
    """
    return open_cloud(path, _options(columns, allow_truncated, max_memory)).read()


def inspect_cloud(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    allow_truncated: bool = False,
    max_memory: int | None = None,
) -> CloudFacts:
    """Return the facts about a file; up to two million points are read for it.

    Args:
        path: PLY, LAS, LAZ, PCD, BIN, NPY or NPZ file.
        columns: see ``read_cloud``.
        allow_truncated: see ``read_cloud``.
        max_memory: see ``read_cloud``; the points of a larger file are not read.

    Raises:
        InputError: see ``read_cloud``.
        UsageError: see ``read_cloud``.
    """
    cloud_file = open_cloud(path, _options(columns, allow_truncated, max_memory))
    cloud_file.read_if_small()
    return cloud_file.facts


def write_labels(
    labels: Labels,
    source: str | Path,
    target: str | Path,
    *,
    overwrite: bool = False,
    columns: Sequence[str] | None = None,
    allow_truncated: bool = False,
) -> list[Path]:
    """Write a copy of a file with labels, and beside it a JSON file with the class names.

    Args:
        labels: N labels, one per point in file order.
        source: file that was labelled; it is not changed.
        target: file to write, with the suffix of the source, ``.label``, ``.npz`` or ``.ply``.
        overwrite: whether an existing target and existing label fields may be replaced.
        columns: as the source was read.
        allow_truncated: as the source was read.

    Returns:
        The files written, the copy first.

    Raises:
        UsageError: E_EXISTS, E_SAME_FILE, E_LABEL_FIELD, E_UNSUPPORTED: see
            ``CloudFile.check_target``.
        InputError: E_CHANGED: the source has another number of points than there are labels; or
            the source cannot be read.
        OutputError: E_NO_SPACE, E_NOT_WRITABLE.
    """
    cloud_file = open_cloud(source, _options(columns, allow_truncated, None))
    return cloud_file.write(labels, Path(target), overwrite=overwrite)


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of the files that clip3d reads, lower case."""
    return tuple(suffix for format_ in _formats() for suffix in format_.suffixes)


def _options(
    columns: Sequence[str] | None, allow_truncated: bool, max_memory: int | None
) -> ReadOptions:
    names = None if columns is None else tuple(columns)
    if max_memory is None:
        return ReadOptions(names, allow_truncated)
    return ReadOptions(names, allow_truncated, max_memory)


def _formats() -> Iterator[Format]:
    return (format_class() for format_class in registry.load_all("formats"))


def _format_of(path: Path) -> Format:
    head = read_head(path)
    for format_ in _formats():
        if format_.sniff(path, head):
            return format_
    raise InputError(
        "E_NOT_A_CLOUD",
        path,
        "is not a point cloud that clip3d reads",
        f"It reads {', '.join(suffixes())}.",
    )


def _with_suffix_warning(facts: CloudFacts, path: Path, format_: Format) -> CloudFacts:
    if path.suffix.lower() in format_.suffixes:
        return facts
    warning = f"the suffix is {path.suffix or 'missing'}, but the content is {format_.name}"
    return dataclasses.replace(facts, warnings=(warning, *facts.warnings))


def _sidecar_of(target: Path) -> Path:
    return target.with_name(target.stem + SIDECAR)
