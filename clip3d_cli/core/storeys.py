"""Storeys of a cloud: floors above other floors, and the height below which points are stray.

The ground of `clip3d_cli.core.ground` is found from the lowest points of the cloud. This module
finds the two cases where they are wrong: stray points below everything else, and several floors
above each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import Integers, row_keys, run_starts, sort_keys

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Edge of a square in which storeys are told apart, in metres.
SQUARE_M = 4
# Columns along an edge of a square, as a power of two.
_COLUMN_BITS = 3
# Height of the bins that points are counted in, in metres.
_BIN_M = 0.1

# Blocks, in squares, in which the points are counted that support the lowest ones.
_BLOCK_SQUARES = 2
# Points are stray if less than this share of the points around are as low as they are.
_MIN_SUPPORT = 0.005
# Bins of one layer, and how many layers above and below count as "as low".
_LAYER_BINS = 5
_SUPPORT_LAYERS = 1

# A patch of a floor: two bins of a column with this many points, and with more than this many times
# the points of the bins above them.
_MIN_PATCH_POINTS = 12
_MIN_CONTRAST = 2.0
_CLEAR_BINS = 3
# Patches of neighbouring columns are one floor if they are at most this far apart, in bins.
_MAX_STEP_BINS = 1
_SIDES = 4
# An upper floor has at least this many patches, and one with patches on all sides: a table has
# fewer, and a ledge of a façade is narrow.
_MIN_PATCHES = 16
# It has so many in one of its squares.
_MIN_PATCHES_IN_SQUARE = 6
# Storeys are at least this high, in bins.
_MIN_STOREY_BINS = 18
# An upper floor is above another one in this share of its columns. Under a roof, a sensor in the
# air sees a yard beside it, or single points.
_MIN_ABOVE_OTHER = 0.8
# What distinguishes an upper floor from a ceiling or a roof: in this share of its columns there
# are points 0.8 to 2.3 m above it. Of a floor that is above another one in a small part only, like
# a street above a tunnel, less is required.
_MIN_FURNISHED = 0.1
_SMALL_PART = 0.3
_MIN_FURNISHED_BESIDE = 0.01
_FURNISHED_BINS = (8, 23)
# Points this close below a floor belong to it, in metres.
_BELOW_FLOOR_M = 0.1
_LARGEST_KEY = 1 << 62


@dataclass(frozen=True, slots=True)
class Storeys:
    """The storey of every point, in squares of `SQUARE_M` metres.

    Attributes:
        squares: (S, 2) int64, x and y of the squares, sorted by x, then y.
        bottom_m: (S,) float64 metres, points below are stray.
        top_m: (S,) float64 metres, points above are stray.
        floor_m: (S, F) float64 metres, ascending: where storeys 1, 2, … F of a square begin; inf
            for those that it does not have. F is 0 if no square has two storeys.
        below: (P,) int64, rows of the stray points below the bottom.
        above: (Q,) int64, rows of the stray points above the top.
    """

    squares: Integers
    bottom_m: Floats
    top_m: Floats
    floor_m: Floats
    below: Integers
    above: Integers

    @classmethod
    def find(cls, xyz: Floats) -> Storeys:
        """Find the storeys of a cloud.

        Args:
            xyz: (N, 3) float64, metres, all finite, N ≥ 1.
        """
        bins = _Bins.count(xyz)
        bottom, top = _supported_range(bins)
        floor_m = _upper_floors(bins)
        below = bins.points_in(bins.height < bottom[bins.square])
        above = bins.points_in(bins.height > top[bins.square])
        return cls(bins.squares, bottom * _BIN_M, (top + 1) * _BIN_M, floor_m, below, above)

    @classmethod
    def none(cls) -> Storeys:
        """Return that there are neither upper storeys nor stray points."""
        nothing = np.zeros(0, np.int64)
        edge = np.zeros(1)
        return cls(np.zeros((1, 2), np.int64), edge, edge, np.zeros((1, 0)), nothing, nothing)

    def floors_at(self, squares: Integers) -> Floats:
        """Return ``floor_m`` of some of the squares, (P, F), for (P, 2) int64 x and y."""
        return self.floor_m[_rows_of(self.squares, squares)]

    def of_points(self, xyz: Floats) -> Integers:
        """Return the storey of each point, (P,) int64, for (P, 3) points of the cloud."""
        storey = np.zeros(len(xyz), np.int64)
        if self.floor_m.shape[1]:
            square = self._square_of(xyz)
            for floor_m in self.floor_m.T:
                storey += xyz[:, 2] >= floor_m[square]
        return storey

    def _square_of(self, xyz: Floats) -> Integers:
        return _rows_of(self.squares, np.floor(xyz[:, :2] / SQUARE_M).astype(np.int64))


@dataclass(frozen=True, slots=True)
class _Bins:
    """Occupied bins of B columns × heights, sorted by square, column and height.

    Attributes:
        square: (B,) int64, row of ``squares``.
        column: (B,) int64, number of the column, ascending with the rows.
        height: (B,) int64, z in bins.
        points: (B,) int64, number of points.
        order: (N,) int64, rows of the points, bin by bin.
        column_xy: (C, 2) int64, x and y of each column.
        squares: (S, 2) int64, x and y of the squares, sorted by x, then y.
    """

    square: Integers
    column: Integers
    height: Integers
    points: Integers
    order: Integers
    column_xy: Integers
    squares: Integers

    @classmethod
    def count(cls, xyz: Floats) -> _Bins:
        scale = (1 << _COLUMN_BITS) / SQUARE_M
        x, y = (np.floor(xyz[:, axis] * scale).astype(np.int64) for axis in (0, 1))
        z = np.floor(xyz[:, 2] / _BIN_M).astype(np.int64)
        # By square first. The column within its square is one small number.
        last = (1 << _COLUMN_BITS) - 1
        within = (x & last) << _COLUMN_BITS | (y & last)
        columns = x >> _COLUMN_BITS, y >> _COLUMN_BITS, within, z
        order, keys = sort_keys(row_keys(columns))
        starts = run_starts(keys)
        first = order[starts]
        square_x, square_y, within, height = (column[first] for column in columns)
        points = np.diff(starts, append=len(keys))
        is_new_square = np.ones(len(first), np.bool_)
        is_new_square[1:] = (np.diff(square_x) != 0) | (np.diff(square_y) != 0)
        is_new_column = is_new_square.copy()
        is_new_column[1:] |= np.diff(within) != 0
        squares = np.stack((square_x[is_new_square], square_y[is_new_square]), axis=1)
        column_xy = np.stack((x[first[is_new_column]], y[first[is_new_column]]), axis=1)
        return cls(
            np.cumsum(is_new_square) - 1,
            np.cumsum(is_new_column) - 1,
            height,
            points,
            order,
            column_xy,
            squares,
        )

    def points_in(self, is_wanted: Mask) -> Integers:
        """Return the rows of the points in some bins, for (B,) bool."""
        if not is_wanted.any():
            return np.zeros(0, np.int64)
        return self.order[np.repeat(is_wanted, self.points)]


def _supported_range(bins: _Bins) -> tuple[Floats, Floats]:
    """Return the lowest and the highest bin of each square that is not stray, (S,) each.

    A bin is stray if the points of about its height, in its block and the eight blocks around it,
    are less than `_MIN_SUPPORT` of all points there. Where all bins are stray, the lowest is inf
    and the highest −inf.
    """
    corner = bins.squares // _BLOCK_SQUARES
    order, keys = sort_keys(row_keys((corner[:, 0], corner[:, 1])))
    starts = run_starts(keys)
    blocks = corner[order[starts]]
    block_of_square = np.empty(len(corner), np.int64)
    block_of_square[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))

    # E entries, sorted by block, then height, and the number of points up to each of them.
    block = block_of_square[bins.square]
    layer = bins.height // _LAYER_BINS
    order, keys = sort_keys(row_keys((block, layer)))
    starts = run_starts(keys)
    entry_block, entry_height = block[order[starts]], layer[order[starts]]
    points_before = np.concatenate(([0], np.cumsum(np.add.reduceat(bins.points[order], starts))))
    low, high = int(entry_height.min()), int(entry_height.max())
    span = high - low + 4 * _SUPPORT_LAYERS

    def key_of(block: Integers, height: Integers) -> npt.NDArray[np.int64 | np.complex128]:
        if len(blocks) * span < _LARGEST_KEY:
            return block * span + (height - low)
        # Only stray points are that far apart. Complex numbers sort by real part, then by
        # imaginary part, but they are slow.
        return block + 1j * height

    entry_key = key_of(entry_block, entry_height)
    first = np.searchsorted(entry_block, np.arange(len(blocks)))
    last = np.append(first[1:], len(entry_block))
    around = [_rows_of(blocks, blocks + (dx, dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    total = np.zeros(len(blocks), np.int64)
    for row in around:
        total += np.where(row >= 0, points_before[last[row]] - points_before[first[row]], 0)

    result = []
    # Nearly always the first entry of a block is supported already, and the last one.
    for entry, step, end, nothing in (
        (first.copy(), 1, last, np.inf),
        (last - 1, -1, first - 1, -np.inf),
    ):
        found, waiting = np.full(len(blocks), nothing), np.arange(len(blocks))
        while len(waiting):
            height = entry_height[entry[waiting]]
            support = np.zeros(len(waiting), np.int64)
            for row in around:
                block = row[waiting]
                start = np.searchsorted(entry_key, key_of(block, height - _SUPPORT_LAYERS))
                stop = np.searchsorted(entry_key, key_of(block, height + _SUPPORT_LAYERS), "right")
                support += np.where(block >= 0, points_before[stop] - points_before[start], 0)
            is_supported = support >= _MIN_SUPPORT * total[waiting]
            found[waiting[is_supported]] = height[is_supported]
            waiting = waiting[~is_supported]
            entry[waiting] += step
            waiting = waiting[entry[waiting] != end[waiting]]
        result.append(found[block_of_square])
    lowest, highest = result
    return lowest * _LAYER_BINS, highest * _LAYER_BINS + (_LAYER_BINS - 1)


@dataclass(frozen=True, slots=True)
class _Patches:
    """Horizontal patches of columns, sorted by column, then height; Q of them.

    Attributes:
        row: (Q,) int64, row of the lower bin in `_Bins`.
        square: (Q,) int64, row of ``_Bins.squares``.
        column: (Q,) int64, number of the column in `_Bins`.
        height: (Q,) int64, lower bin.
    """

    row: Integers
    square: Integers
    column: Integers
    height: Integers

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of_rows(cls, bins: _Bins, row: Integers) -> _Patches:
        """Return the patches that begin in some rows of the bins, (Q,) int64."""
        return cls(row, bins.square[row], bins.column[row], bins.height[row])


def _upper_floors(bins: _Bins) -> Floats:
    """Return where upper storeys begin in each square, (S, F) metres, ascending, inf for none."""
    none = np.zeros((len(bins.squares), 0))
    patches = _find_patches(bins)
    if not len(patches):
        return none
    # Patches are sorted by column, then height: the first of a column is the lowest.
    is_first = np.diff(patches.column, prepend=-1) != 0
    lowest = patches.height[is_first][np.cumsum(is_first) - 1]
    is_above = patches.height - lowest >= _MIN_STOREY_BINS
    # Mostly there is no floor above other points, and all is said.
    if is_above.sum() < _MIN_PATCHES or (
        np.bincount(patches.square[is_above]).max() < _MIN_PATCHES_IN_SQUARE
    ):
        return none
    floor, inner = _connected(bins, patches)
    count = int(floor.max()) + 1
    # The part of a floor that is above other points: a street continues beside its tunnel.
    furnished = np.bincount(floor, _have_points_above(bins, patches), count) / np.bincount(
        floor, minlength=count
    )
    # Of the squares in which a floor has a part above others, nearly all of it must be.
    key = floor * len(bins.squares) + patches.square
    own_square = np.unique(key, return_inverse=True)[1].reshape(-1)
    share_above = np.bincount(own_square, is_above) / np.bincount(own_square)
    is_upper = is_above & (share_above[own_square] >= _MIN_ABOVE_OTHER)
    upper = np.bincount(floor, is_upper, count)
    is_wide = (upper >= _MIN_PATCHES) & (np.bincount(floor, inner & is_upper, count) > 0)
    is_small_part = np.bincount(floor, is_above, count) <= _SMALL_PART * np.bincount(floor)
    is_furnished = furnished >= np.where(is_small_part, _MIN_FURNISHED_BESIDE, _MIN_FURNISHED)
    is_accepted = is_upper & (is_wide & is_furnished)[floor]
    if not is_accepted.any():
        return none
    # (L,) the parts of floors in squares, and the lowest of the patches of each but for 5 %.
    row = np.flatnonzero(is_accepted)
    row = row[np.lexsort((patches.height[row], key[row]))]
    starts = run_starts(key[row])
    size = np.diff(starts, append=len(row))
    begin_m = patches.height[row[starts + size // 20]] * _BIN_M - _BELOW_FLOOR_M
    part = row[starts]
    return _with_neighbours(bins, patches.square[part], begin_m, upper[floor[part]])


def _find_patches(bins: _Bins) -> _Patches:
    """Return the patches: two bins of a column that have more points than those above them."""
    rows = len(bins.height)
    inside, above = bins.points.copy(), np.zeros(rows, np.int64)
    for step in range(1, 2 + _CLEAR_BINS):
        # The bins up to so much higher are among so many next rows.
        rise = bins.height[step:] - bins.height[:-step]
        rise = np.where(bins.column[step:] == bins.column[:-step], rise, -1)
        inside[:-step] += np.where(rise == 1, bins.points[step:], 0)
        above[:-step] += np.where((rise > 1) & (rise < 2 + _CLEAR_BINS), bins.points[step:], 0)
    is_patch = (inside >= _MIN_PATCH_POINTS) & (inside >= _MIN_CONTRAST * above)
    row = np.flatnonzero(is_patch)
    # Of two patches that overlap, only the one with more points is one.
    overlap = np.diff(bins.column[row]) == 0
    overlap &= np.diff(bins.height[row]) <= 1
    is_best = np.ones(len(row), np.bool_)
    is_best[:-1] &= ~(overlap & (inside[row[1:]] > inside[row[:-1]]))
    is_best[1:] &= ~(overlap & (inside[row[:-1]] >= inside[row[1:]]))
    return _Patches.of_rows(bins, row[is_best])


def _connected(bins: _Bins, patches: _Patches) -> tuple[Integers, Mask]:
    """Return which patches are one floor.

    Patches of neighbouring columns are part of one floor if they are at about one height.

    Returns:
        (Q,) int64, number of the floor that each patch is part of, from 0; and (Q,) bool, True
        where the floor continues on all four sides.
    """
    first, second = (np.concatenate(side) for side in zip(*_steps(bins, patches), strict=True))
    part = np.arange(len(patches))
    while True:
        least = np.minimum(part[first], part[second])
        before = part.copy()
        np.minimum.at(part, part[first], least)
        np.minimum.at(part, part[second], least)
        part = part[part]
        if (part == before).all() and (part[first] == part[second]).all():
            sides = np.bincount(np.concatenate((first, second)), minlength=len(part))
            return np.unique(part, return_inverse=True)[1].reshape(-1), sides >= _SIDES


def _steps(bins: _Bins, patches: _Patches) -> Iterator[tuple[Integers, Integers]]:
    """Yield pairs of patches at about one height, one column apart, 2 × (P,) int64 rows."""
    by_place = np.lexsort((bins.column_xy[:, 1], bins.column_xy[:, 0]))
    places = bins.column_xy[by_place]
    first = np.searchsorted(patches.column, np.arange(len(places)))
    last = np.searchsorted(patches.column, np.arange(len(places)), "right")
    most = int((last - first).max())
    for shift in ((1, 0), (0, 1)):
        place = _rows_of(places, bins.column_xy + shift)
        neighbour = np.where(place >= 0, by_place[place], -1)[patches.column]
        for slot in range(most):
            there = first[neighbour] + slot
            row = np.flatnonzero((neighbour >= 0) & (there < last[neighbour]))
            there = there[row]
            is_near = np.abs(patches.height[there] - patches.height[row]) <= _MAX_STEP_BINS
            yield row[is_near], there[is_near]


def _have_points_above(bins: _Bins, patches: _Patches) -> Mask:
    """Return for each patch whether its column has points where furniture or walls are, (Q,)."""
    low, high = _FURNISHED_BINS
    found = np.zeros(len(patches), np.bool_)
    for step in range(1, high):
        row = np.minimum(patches.row + step, len(bins.height) - 1)
        rise = bins.height[row] - patches.height
        found |= (bins.column[row] == patches.column) & (rise >= low) & (rise < high)
    return found


def _with_neighbours(bins: _Bins, square: Integers, begin_m: Floats, columns: Integers) -> Floats:
    """Return where storeys begin in each square, (S, F) metres, for floors and squares beside them.

    A floor continues into the walls and under the furniture around it: into neighbouring squares
    that have points below it and above.

    Args:
        bins: bins of the cloud.
        square: (L,) squares with an upper floor.
        begin_m: (L,) where it begins, metres.
        columns: (L,) size of the whole floor in columns. Where two floors are closer than a storey
            is high, the larger one counts: the smaller one is a table.
    """
    squares = len(bins.squares)
    low, high = np.full(squares, np.inf), np.full(squares, -np.inf)
    np.minimum.at(low, bins.square, bins.height)
    np.maximum.at(high, bins.square, bins.height)
    floor_bin = np.floor(begin_m / _BIN_M)
    found_square, found_m, found_columns, is_own = [], [], [], []
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            there = _rows_of(bins.squares, bins.squares[square] + (dx, dy))
            continues = (
                (there >= 0)
                & (low[there] <= floor_bin - _MIN_STOREY_BINS)
                & (high[there] >= floor_bin)
            )
            found_square.append(there[continues])
            found_m.append(begin_m[continues])
            found_columns.append(columns[continues])
            is_own.append(np.full(int(continues.sum()), (dx, dy) == (0, 0)))
    squares_of, begins = np.concatenate(found_square), np.concatenate(found_m)
    order = np.lexsort(
        (begins, ~np.concatenate(is_own), -np.concatenate(found_columns), squares_of)
    )
    found: dict[int, list[float]] = {}
    for place, begin in zip(squares_of[order].tolist(), begins[order].tolist(), strict=True):
        known = found.setdefault(place, [])
        if all(abs(begin - other) >= _MIN_STOREY_BINS * _BIN_M for other in known):
            known.append(begin)
    most = max(len(known) for known in found.values())
    floor_m = np.full((squares, most), np.inf)
    for place, known in found.items():
        floor_m[place, : len(known)] = sorted(known)
    return floor_m


def _rows_of(known: Integers, wanted: Integers) -> Integers:
    """Return the row of each pair in a sorted list of pairs, −1 where it is not in the list.

    Args:
        known: (S, 2) int64, sorted, unique.
        wanted: (P, 2) int64.
    """
    keys, wanted_keys = known[:, 0] + 1j * known[:, 1], wanted[:, 0] + 1j * wanted[:, 1]
    row = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    return np.where(keys[row] == wanted_keys, row, -1)
