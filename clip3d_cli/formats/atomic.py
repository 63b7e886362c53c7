"""Files that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clip3d_cli.errors import OutputError, UsageError

# Letters of up to four bytes each, in names of at most 255 bytes.
_LONGEST_STEM = 60
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def landing(target: Path) -> Iterator[Path]:
    """A new file beside the target, which takes its place when the block ends well.

    Whatever ends the block otherwise, an interrupt included, removes the file.

    Raises:
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    part = part_beside(target)
    try:
        part.touch(exist_ok=False)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise write_refusal(target, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def require_space(target: Path, need: int) -> None:
    """Refuse to begin a file that the disk has no room for.

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
    """Refuse a target whose folder is missing or may not be written.

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
    """Refuse to write a file over what is there, unless that was asked for.

    Raises:
        UsageError: E_EXISTS: a folder, or a file that may not be replaced.
    """
    if target.is_dir():
        raise UsageError("E_EXISTS", target, "is a folder", "Name another file with -o.")
    if target.exists() and not overwrite:
        raise UsageError(
            "E_EXISTS", target, "exists already", "Replace it with --overwrite, or use -o."
        )


def part_beside(target: Path) -> Path:
    """Where to write what shall become the target: a name beside it that nothing has yet."""
    return target.with_name(f"{target.name[:_LONGEST_STEM]}.{secrets.token_hex(4)}.part")


def write_refusal(target: Path, error: OSError) -> OutputError:
    """The refusal of a target that the system would not let us write."""
    if error.errno in _FULL:
        return OutputError(
            "E_NO_SPACE", target, "the disk is full", "Free some space, or write elsewhere."
        )
    fault = f"cannot be written: {error.strerror or error}"
    return OutputError("E_NOT_WRITABLE", target, fault, "Write elsewhere with -o.")
