"""Files that appear under their names only when they are complete."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clip3d_cli.errors import OutputError, UsageError

# Characters of a target's name in that of its part: they take up to four bytes each, and file
# systems allow 255 bytes.
_MAX_STEM = 60
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield an empty file beside the target; it replaces the target when the block ends well.

    If the block raises, also by an interrupt, the file is removed and the target stays as it was.

    Raises:
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    with atomic_writes(target) as (part,):
        yield part


@contextmanager
def atomic_writes(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """Do what ``atomic_write`` does for files that belong together.

    All files are on the disk before the first one takes its name, so a full disk leaves every
    target as it was. An error of the block is reported for the first target.
    """
    parts = tuple(part_path(target) for target in targets)
    try:
        for target, part in zip(targets, parts, strict=True):
            with _write_errors(target):
                part.touch(exist_ok=False)
        with _write_errors(targets[0]):
            yield parts
        for target, part in zip(targets, parts, strict=True):
            with _write_errors(target), part.open("rb+") as file:
                os.fsync(file.fileno())
        for target, part in zip(targets, parts, strict=True):
            with _write_errors(target):
                part.replace(target)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def require_space(target: Path, need: int) -> None:
    """Raise if the disk has no room for a file.

    Args:
        target: file to write.
        need: its size in bytes, an estimate.

    Raises:
        OutputError: E_NO_SPACE, with the bytes needed and free.
    """
    free = shutil.disk_usage(target.parent).free
    if free < need:
        raise OutputError(
            "E_NO_SPACE",
            target,
            f"needs about {need / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free",
            "Free some space, or write elsewhere with -o.",
        )


def require_folder(target: Path) -> None:
    """Raise if the folder of a target is missing or may not be written to.

    Raises:
        OutputError: E_NOT_WRITABLE.
    """
    folder = target.parent
    if not folder.is_dir():
        raise OutputError("E_NOT_WRITABLE", folder, "is not a folder", "Make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            "E_NOT_WRITABLE", folder, "may not be written to", "Write elsewhere with -o."
        )


def require_new(target: Path, *, overwrite: bool) -> None:
    """Raise if a target is a folder, or a file that may not be replaced.

    Args:
        target: file to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        UsageError: E_EXISTS.
    """
    if target.is_dir():
        raise UsageError("E_EXISTS", target, "is a folder", "Name another file with -o.")
    if target.exists() and not overwrite:
        raise UsageError(
            "E_EXISTS", target, "exists already", "Replace it with --overwrite, or use -o."
        )


def part_path(target: Path) -> Path:
    """Return a new name beside the target for the file while it is written: ``….part``."""
    return target.with_name(f"{target.name[:_MAX_STEM]}.{secrets.token_hex(4)}.part")


@contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from error


def write_error(target: Path, error: OSError) -> OutputError:
    """Return the error for a target that the operating system did not let us write."""
    if error.errno in _DISK_FULL:
        return OutputError(
            "E_NO_SPACE", target, "the disk is full", "Free some space, or write elsewhere."
        )
    fault = f"cannot be written: {error.strerror or error}"
    return OutputError("E_NOT_WRITABLE", target, fault, "Write elsewhere with -o.")
