"""Grouping of equal rows of whole numbers, faster than ``np.unique(axis=0)``.

Rows are passed as columns, because numpy processes a contiguous column many times as fast as rows
of three numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_KEY_BITS = 62


def row_keys(columns: Sequence[Integers]) -> Integers:
    """Return one key per row, so that keys sort as the rows do lexicographically.

    Args:
        columns: C columns, each (N,) int64 with N ≥ 1; the first is the most significant.

    Returns:
        (N,) int64, all ≥ 0; equal exactly for equal rows.
    """
    keys: Integers = columns[0] - columns[0].min()
    for column in columns[1:]:
        low, high = int(column.min()), int(column.max())
        if (int(keys.max()) + 1) * (high - low + 1) > 1 << _KEY_BITS:
            # Only stray points are that far apart. There are at most N different values, so their
            # ranks are small numbers and fit into a key.
            keys, column = _ranks(keys), _ranks(column)
            low, high = 0, int(column.max())
        keys *= high - low + 1
        keys += column
        keys -= low
    return keys


def sort_keys(keys: Integers) -> tuple[Integers, Integers]:
    """Sort keys and keep the order of equal ones.

    Args:
        keys: (N,) int64, all ≥ 0, N ≥ 1.

    Returns:
        (N,) int64 rows in sorted order, and (N,) int64 keys in that order.
    """
    row_bits = (len(keys) - 1).bit_length()
    if int(keys.max()) >> (_KEY_BITS - row_bits):
        order = np.argsort(keys, kind="stable")
        return order, keys[order]
    # Sorting values is many times as fast as argsort, so each row is packed below its key:
    # key << row_bits | row. Rows break ties, which makes the sort stable.
    packed = keys << row_bits
    packed |= np.arange(len(keys))
    packed.sort()
    return packed & ((1 << row_bits) - 1), packed >> row_bits


def run_starts(keys: Integers) -> Integers:
    """Return where each run of equal keys starts, (M,) int64, for (N,) keys with N ≥ 1."""
    starts = np.flatnonzero(keys[1:] != keys[:-1])
    starts += 1
    return np.concatenate((np.zeros(1, dtype=np.int64), starts))


def group_equal_rows(columns: Sequence[Integers]) -> tuple[Integers, Integers]:
    """Group equal rows; groups are in the lexicographic order of their rows.

    Args:
        columns: C columns, each (N,) int64 with N ≥ 1; the first is the most significant.

    Returns:
        (M,) int64, the first row of each group, and (N,) int64, the group of each row.
    """
    order, keys = sort_keys(row_keys(columns))
    starts = run_starts(keys)
    group_of_row = np.empty(len(keys), dtype=np.int64)
    # order lists rows group by group: number the groups, and repeat each number for its rows.
    group_of_row[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    return order[starts], group_of_row


def _ranks(column: Integers) -> Integers:
    """Return the rank of each value among the distinct values, (N,) int64."""
    ranks: Integers = np.unique(column, return_inverse=True)[1].reshape(-1)
    return ranks
