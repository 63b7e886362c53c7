"""Equal rows of whole numbers brought together, fast.

Rows come as columns: numpy walks a column many times as fast as it walks rows of three.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_KEY_BITS = 62


def row_keys(columns: Sequence[Integers]) -> Integers:
    """(N,) one number ≥ 0 per row, in the rows' lexicographic order.

    Args:
        columns: each (N,) int64, N ≥ 1; the first counts most.
    """
    keys: Integers = columns[0] - columns[0].min()
    for column in columns[1:]:
        low, high = int(column.min()), int(column.max())
        if (int(keys.max()) + 1) * (high - low + 1) > 1 << _KEY_BITS:
            # As far apart as only stray points are: their places in order are small numbers.
            keys, column = _ranks(keys), _ranks(column)
            low, high = 0, int(column.max())
        keys *= high - low + 1
        keys += column
        keys -= low
    return keys


def sort_keys(keys: Integers) -> tuple[Integers, Integers]:
    """The order that sorts keys, equal ones as they come, and the keys in that order.

    Args:
        keys: (N,) int64, all ≥ 0, N ≥ 1.
    """
    place_bits = (len(keys) - 1).bit_length()
    if int(keys.max()) >> (_KEY_BITS - place_bits):
        order = np.argsort(keys, kind="stable")
        return order, keys[order]
    # Numbers are sorted many times as fast as places: so the places go along inside the numbers.
    packed = keys << place_bits
    packed |= np.arange(len(keys))
    packed.sort()
    return packed & ((1 << place_bits) - 1), packed >> place_bits


def run_starts(keys: Integers) -> Integers:
    """Where each run of equal keys begins, for N ≥ 1 keys."""
    starts = np.flatnonzero(keys[1:] != keys[:-1])
    starts += 1
    return np.concatenate((np.zeros(1, dtype=np.int64), starts))


def group_rows(columns: Sequence[Integers]) -> tuple[Integers, Integers]:
    """Group equal rows, in lexicographic order of the groups.

    Args:
        columns: each (N,) int64, N ≥ 1; the first counts most.

    Returns:
        the first row of each of M groups (M,), and the group of every row (N,).
    """
    order, keys = sort_keys(row_keys(columns))
    starts = run_starts(keys)
    group = np.empty(len(keys), dtype=np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    return order[starts], group


def _ranks(column: Integers) -> Integers:
    ranks: Integers = np.unique(column, return_inverse=True)[1].reshape(-1)
    return ranks
