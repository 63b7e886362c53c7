"""The first look at an input: what is not a point cloud is refused before anything is read."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from clip3d_cli.errors import InputError

HEAD_BYTES = 4096

_LIE_FACTOR = 1000
_IMPOSTORS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself", "Run git lfs pull."),
    (b"<!doctype html", "is an HTML page", "The download gave an error page; fetch it again."),
    (b"<html", "is an HTML page", "The download gave an error page; fetch it again."),
    (b"<?xml", "is an XML document", "The download gave an error message; fetch it again."),
    (b"\x1f\x8b", "is a gzip archive", "Unpack it first: gunzip."),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", "Unpack it first."),
    (b"astm-e57", "is an E57 file, which clip3d does not read", "Convert it to LAZ or PLY."),
)


def require_file(path: Path) -> os.stat_result:
    """The ``stat`` of a regular, readable file that is not empty.

    Raises:
        InputError: it is none of these; a sibling of nearly the same name is suggested.
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
        raise InputError("E_EMPTY_FILE", path, "has no bytes", "Fetch or export it again.")
    return state


def read_head(path: Path) -> bytes:
    """The first bytes of a file, none of which say that it is something else than a cloud.

    Raises:
        InputError: it may not be read, or is a web page, a Git LFS pointer or an archive.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except PermissionError as error:
        raise _no_permission(path) from error
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, fault, remedy in _IMPOSTORS:
        if text.startswith(magic):
            raise InputError("E_NOT_A_CLOUD", path, fault, remedy)
    return head


def stamp_of(state: os.stat_result) -> tuple[int, int]:
    """Size and time of change: what must not move while a file is read."""
    return state.st_size, state.st_mtime_ns


def require_unchanged(path: Path, stamp: tuple[int, int]) -> None:
    """Refuse a file that is no longer what it was.

    Raises:
        InputError: size or time of change differ from the stamp.
    """
    if stamp_of(require_file(path)) != stamp:
        raise InputError(
            "E_CHANGED", path, "changed while it was being labelled", "Label it again."
        )


def usable_points(path: Path, claimed: int, held: int, allow_truncated: bool) -> int:
    """How many points to take where a header claims one number and the file holds another.

    Raises:
        InputError: E_TRUNCATED where the file ends early and that was not allowed,
            E_COUNT_MISMATCH where the claim cannot be true.
    """
    if held >= claimed:
        return claimed
    if claimed > _LIE_FACTOR * max(held, 1):
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"the header says {claimed:,} points, the file has room for {held:,}",
            "The header is wrong or the file is not what it says; export it again.",
        )
    if allow_truncated:
        return held
    raise truncated(path, f"the header says {claimed:,} points, data ends after {held:,}")


def truncated(path: Path, fault: str) -> InputError:
    """The refusal of a file that ends early."""
    return InputError(
        "E_TRUNCATED",
        path,
        fault,
        "The copy was cut off: fetch it again. clip3d label --allow-truncated takes what is there.",
    )


def bad_header(path: Path, fault: str) -> InputError:
    """The refusal of a header that says what cannot be true."""
    return InputError("E_BAD_HEADER", path, fault, "Export the file again.")


def _no_permission(path: Path) -> InputError:
    return InputError("E_PERMISSION", path, "may not be read", "Change its permissions.")


def _sibling_hint(path: Path) -> str:
    if path.is_symlink():
        return "It is a link that leads nowhere."
    try:
        siblings = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return "Its folder does not exist either."
    stem = path.stem.lower()
    same = [name for name in siblings if Path(name).stem.lower() == stem]
    near = same or difflib.get_close_matches(path.name, siblings, n=1)
    return f"Did you mean {near[0]}?" if near else "Check the path."
