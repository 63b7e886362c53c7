"""Checks of an input file before its points are read, and the errors that formats share."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from clip3d_cli.errors import InputError

HEAD_BYTES = 4096

# A header that claims more than this many times the points that fit is wrong, not cut off.
_MAX_CUT_FACTOR = 1000
# First bytes (lower case) of files that are often mistaken for point clouds.
_OTHER_FILES = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself", "Run git lfs pull."),
    (b"<!doctype html", "is an HTML page", "The server sent an error page; download it again."),
    (b"<html", "is an HTML page", "The server sent an error page; download it again."),
    (b"<?xml", "is an XML document", "The server sent an error message; download it again."),
    (b"\x1f\x8b", "is a gzip archive", "Unpack it first: gunzip."),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", "Unpack it first."),
    (b"astm-e57", "is an E57 file, which clip3d does not read", "Convert it to LAZ or PLY."),
)


def require_file(path: Path) -> os.stat_result:
    """Return the ``stat`` of a regular, readable file that is not empty.

    Raises:
        InputError: E_NOT_FOUND, with a file of a similar name if there is one; E_NO_INPUT for a
            folder; E_NOT_A_CLOUD for a pipe, device or socket; E_EMPTY_FILE; E_PERMISSION.
    """
    try:
        state = path.stat()
    except PermissionError as error:
        raise _no_permission(path) from error
    except (OSError, ValueError) as error:
        raise InputError("E_NOT_FOUND", path, "does not exist", _sibling_hint(path)) from error
    if stat.S_ISDIR(state.st_mode):
        raise InputError("E_NO_INPUT", path, "is a folder", "Name the files in it.")
    if not stat.S_ISREG(state.st_mode):
        raise InputError(
            "E_NOT_A_CLOUD", path, "is not a regular file", "Pipes and devices cannot be labelled."
        )
    if state.st_size == 0:
        raise InputError("E_EMPTY_FILE", path, "has no bytes", "Download or export it again.")
    return state


def read_head(path: Path) -> bytes:
    """Return the first 4096 bytes of a file.

    Raises:
        InputError: E_PERMISSION; E_NOT_A_CLOUD for a web page, a Git LFS pointer or an archive.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except PermissionError as error:
        raise _no_permission(path) from error
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()  # behind a byte order mark and white space
    for magic, fault, remedy in _OTHER_FILES:
        if text.startswith(magic):
            raise InputError("E_NOT_A_CLOUD", path, fault, remedy)
    return head


def stamp_of(state: os.stat_result) -> tuple[int, int]:
    """Return size in bytes and time of change in nanoseconds: both stay unless a file changes."""
    return state.st_size, state.st_mtime_ns


def require_unchanged(path: Path, stamp: tuple[int, int]) -> None:
    """Raise if a file is no longer the one that was opened.

    Args:
        path: the file.
        stamp: its ``stamp_of`` when it was opened.

    Raises:
        InputError: E_CHANGED: size or time of change differ.
    """
    if stamp_of(require_file(path)) != stamp:
        raise InputError(
            "E_CHANGED", path, "changed while it was being labelled", "Label it again."
        )


def checked_point_count(path: Path, claimed: int, available: int, allow_truncated: bool) -> int:
    """Return how many points to read.

    Args:
        path: the file.
        claimed: number of points that the header claims.
        available: number of points that fit into the file.
        allow_truncated: whether fewer points than claimed are accepted.

    Raises:
        InputError: E_TRUNCATED: the file ends early and that is not allowed; E_COUNT_MISMATCH: the
            claim is so far off that the header must be wrong.
    """
    if available >= claimed:
        return claimed
    if claimed > _MAX_CUT_FACTOR * max(available, 1):
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"the header says {claimed:,} points, the file has room for {available:,}",
            "The header is wrong or the file is not what it says; export it again.",
        )
    if allow_truncated:
        return available
    raise truncated(path, f"the header says {claimed:,} points, data ends after {available:,}")


def truncated(path: Path, fault: str) -> InputError:
    """Return the error for a file that ends early."""
    return InputError(
        "E_TRUNCATED",
        path,
        fault,
        "The file is incomplete: copy or download it again. clip3d label --allow-truncated "
        "takes the points that are there.",
    )


def bad_header(path: Path, fault: str) -> InputError:
    """Return the error for a header that is invalid or contradicts the file."""
    return InputError("E_BAD_HEADER", path, fault, "Export the file again.")


def _no_permission(path: Path) -> InputError:
    return InputError("E_PERMISSION", path, "may not be read", "Change its permissions.")


def _sibling_hint(path: Path) -> str:
    if path.is_symlink():
        return "It is a link to a file that does not exist."
    try:
        siblings = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return "Its folder does not exist either."
    stem = path.stem.lower()
    same = [name for name in siblings if Path(name).stem.lower() == stem]
    near = same or difflib.get_close_matches(path.name, siblings, n=1)
    return f"Did you mean {near[0]}?" if near else "Check the path."
