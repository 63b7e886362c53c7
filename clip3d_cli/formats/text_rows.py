"""Lines of numbers: parsed at once, and copied with words added at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.label_fields import LabelColumn


def parse_lines(path: Path, lines: Sequence[bytes], width: int) -> npt.NDArray[np.float64]:
    """(N, width) float64 of N lines of words.

    Raises:
        InputError: E_PARSE, a word is no number or a line has another number of words.
    """
    if not lines:
        return np.empty((0, width))
    try:
        values = np.loadtxt(lines, np.float64, comments=None, ndmin=2, encoding="latin-1")
    except ValueError as error:
        raise _unreadable(path, f"a point is not numbers: {error}") from error
    if values.shape != (len(lines), width):
        raise _unreadable(
            path, f"points have {values.shape[1]} values, the header says they have {width}"
        )
    return values


def label_words(added: Sequence[LabelColumn]) -> list[bytes]:
    """What to write at the end of every point's line: numbers that read back as they were."""
    texts = [
        [b"%d" % value for value in column.values.tolist()]
        if column.values.dtype.kind == "u"
        else [b"%.9g" % value for value in column.values.tolist()]
        for column in added
    ]
    return [b" ".join(words) for words in zip(*texts, strict=True)]


def with_words(line: bytes, words: bytes) -> bytes:
    """The line with words behind its own, before the white space at its end."""
    own = line.rstrip()
    return b"%b %b%b" % (own, words, line[len(own) :])


def _unreadable(path: Path, fault: str) -> InputError:
    return InputError("E_PARSE", path, fault, "Export the file again.")
