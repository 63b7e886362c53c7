"""Features between voxels and the points inside them: trilinear interpolation and mean pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from clip3d_cli.sparse.key_layout import BIAS, KEY_SENTINEL, STEP_BATCH, STEP_X, STEP_Y
from clip3d_cli.sparse.keys import unpack_keys
from clip3d_cli.sparse.plan import Plan


def interpolate_trilinear(feats: Tensor, plan: Plan, stride: int, offsets: Tensor | None) -> Tensor:
    """Interpolate a level's features at one point in every finest voxel.

    The features of a cell are located at its middle. A point takes the mean of the eight nearest
    middles, weighted by nearness along each axis; weights of empty cells are distributed over the
    occupied ones.

    Args:
        feats: (M', C), rows of the level at ``stride``, in plan order.
        plan: plan of M finest voxels.
        stride: 1, 2, 4, …
        offsets: (M, 3) floating point, in plan order: from a voxel's middle to its point,
            −0.5…0.5 finest cells; None places every point in the middle.

    Returns:
        (M, C), in plan order.

    Source: devoxelization of Liu et al., "Point-Voxel CNN for Efficient 3D Deep Learning" (2019).
    """
    if stride == 1 and offsets is None:
        return feats
    rows, weights = _corner_cells(plan, stride, offsets)
    interpolated: Tensor = F.embedding_bag(
        rows, feats, per_sample_weights=weights.to(feats.dtype), mode="sum"
    )
    return interpolated


def pool_mean(feats: Tensor, plan: Plan, stride: int) -> Tensor:
    """Return the mean features of the finest voxels in every cell of a level.

    Args:
        feats: (M, C), rows of the finest level, in plan order.
        plan: plan of the M finest voxels.
        stride: 1, 2, 4, …

    Returns:
        (M', C), rows of the level at ``stride``, in plan order.
    """
    if stride == 1:
        return feats
    rows = plan.ancestor_rows(stride)
    cells = len(plan.level(stride))
    count = torch.bincount(rows, minlength=cells).unsqueeze(1)
    total = feats.new_zeros(cells, feats.shape[1]).index_add(0, rows, feats)
    return total / count


def _corner_cells(plan: Plan, stride: int, offsets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the eight cells around every point.

    Returns:
        (M, 8) int64 rows at ``stride``, 0 where a cell is empty; (M, 8) float32 weights, 0 where
        a cell is empty, each row of sum 1.
    """
    cells = unpack_keys(plan.level(1).keys, 1)
    # (M, 3): the coarse cell that contains each voxel.
    coarse = cells[:, 1:].div(stride, rounding_mode="floor")
    # (M, 3): the point in its coarse cell, in finest cells. Whole cells are kept apart from
    # fractions: Apple's GPU has no float64, and in float32 the sum of a large coordinate and an
    # offset would lose the digits of the offset.
    within_cell = (cells[:, 1:] - coarse * stride).float() + 0.5
    if offsets is not None:
        within_cell = within_cell + offsets
    # In coarse cells, measured from the middle of the coarse cell: −0.5…0.5. ``low`` (−1 or 0)
    # is the lower of the two middles around the point, ``fraction`` the way to the upper one.
    from_middle = within_cell / stride - 0.5
    low = from_middle.floor()
    fraction = from_middle - low
    keys = plan.level(stride).keys
    padded = torch.cat((keys, keys.new_tensor([KEY_SENTINEL])))
    # (M,) int64: the key of the corner cell with the lowest x, y and z.
    field = coarse.long() + low.long() + BIAS // stride
    lowest_corner = (
        cells[:, 0].long() * STEP_BATCH + field[:, 0] * STEP_X + field[:, 1] * STEP_Y + field[:, 2]
    )
    rows, weights = [], []
    for dx in (0, 1):
        for dy in (0, 1):
            column = lowest_corner + (dx * STEP_X + dy * STEP_Y)
            for dz in (0, 1):
                row = torch.searchsorted(keys, column + dz)
                weight = (
                    _axis_weight(fraction[:, 0], dx)
                    * _axis_weight(fraction[:, 1], dy)
                    * _axis_weight(fraction[:, 2], dz)
                )
                is_occupied = padded[row] == column + dz
                rows.append(torch.where(is_occupied, row, 0))
                weights.append(torch.where(is_occupied, weight, 0.0))
    unnormalized = torch.stack(weights, dim=1)
    # The point's own coarse cell is occupied and weighs at least 1/8: no division by zero.
    return torch.stack(rows, dim=1), unnormalized / unnormalized.sum(dim=1, keepdim=True)


def _axis_weight(fraction: Tensor, step: int) -> Tensor:
    """Weight of the lower (``step`` 0) or upper (1) middle along one axis."""
    return fraction if step else 1 - fraction
