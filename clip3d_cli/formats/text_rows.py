"""Points as lines of numbers: parsed into one array, and copied with words added."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.label_fields import LabelColumn


def parse_lines(path: Path, lines: Sequence[bytes], width: int) -> npt.NDArray[np.float64]:
    """Return the numbers of N lines, (N, width) float64.

    Args:
        path: the file, for messages.
        lines: lines of numbers separated by white space.
        width: how many numbers every line must have.

    Raises:
        InputError: E_PARSE: a word is no number, or a line has another number of words.
    """
    if not lines:
        return np.empty((0, width))
    try:
        values = np.loadtxt(lines, np.float64, comments=None, ndmin=2, encoding="latin-1")
    except ValueError as error:
        raise _not_numbers(path, f"a point is not numbers: {error}") from error
    if values.shape != (len(lines), width):
        raise _not_numbers(
            path, f"points have {values.shape[1]} values, the header says they have {width}"
        )
    return values


def label_words(added: Sequence[LabelColumn]) -> list[bytes]:
    """Return the text to append to every point's line, one text per row of the columns.

    Floats are written with nine digits, which restore a float32 exactly.
    """
    texts = [
        [b"%d" % value for value in column.values.tolist()]
        if column.values.dtype.kind == "u"
        else [b"%.9g" % value for value in column.values.tolist()]
        for column in added
    ]
    return [b" ".join(words) for words in zip(*texts, strict=True)]


def with_words(line: bytes, words: bytes) -> bytes:
    """Return a line with words appended before the white space at its end."""
    text = line.rstrip()
    return b"%b %b%b" % (text, words, line[len(text) :])


def _not_numbers(path: Path, fault: str) -> InputError:
    return InputError("E_PARSE", path, fault, "Export the file again.")
