"""Between the voxels of a plan and points inside them: trilinear reading and mean pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from clip3d_cli.sparse.keys import unpack
from clip3d_cli.sparse.lattice import AFTER_ALL, BIAS, STEP_BATCH, STEP_X, STEP_Y
from clip3d_cli.sparse.plan import Plan


def read_trilinear(feats: Tensor, plan: Plan, stride: int, offsets: Tensor | None) -> Tensor:
    """What a level's features are at one point in every finest voxel.

    A cell's features stand at its middle. A point between eight middles takes their mean,
    weighted by nearness along each axis; where cells are empty the rest share their weight.

    Args:
        feats: (M', C) at ``stride``, in plan order.
        plan: of M finest voxels.
        stride: 1, 2, 4, …
        offsets: (M, 3) floating, −0.5…0.5 finest cells from the voxel's middle to the point, in
            plan order; None puts every point in the middle.

    Returns:
        (M, C), in plan order.
    """
    if stride == 1 and offsets is None:
        return feats
    rows, weights = _corners(plan, stride, offsets)
    read: Tensor = F.embedding_bag(
        rows, feats, per_sample_weights=weights.to(feats.dtype), mode="sum"
    )
    return read


def pool_mean(feats: Tensor, plan: Plan, stride: int) -> Tensor:
    """The mean of the finest voxels in every cell of a level: (M, C) → (M', C), plan order."""
    if stride == 1:
        return feats
    rows = plan.ancestor_rows(stride)
    cells = len(plan.level(stride))
    count = torch.bincount(rows, minlength=cells).unsqueeze(1)
    total = feats.new_zeros(cells, feats.shape[1]).index_add(0, rows, feats)
    return total / count


def _corners(plan: Plan, stride: int, offsets: Tensor | None) -> tuple[Tensor, Tensor]:
    """The rows of the eight cells around every point, (M, 8), and their weights, which sum to 1."""
    cells = unpack(plan.level(1).keys, 1)
    wide = cells[:, 1:].div(stride, rounding_mode="floor")
    # Whole cells apart from their parts: Apple's GPU has no float64, and in float32 the sum of a
    # far cell and an offset would lose the offset's digits.
    inside = (cells[:, 1:] - wide * stride).float() + 0.5
    if offsets is not None:
        inside = inside + offsets
    place = inside / stride - 0.5
    low = place.floor()
    part = place - low
    keys = plan.level(stride).keys
    padded = torch.cat((keys, keys.new_tensor([AFTER_ALL])))
    field = wide.long() + low.long() + BIAS // stride
    base = (
        cells[:, 0].long() * STEP_BATCH + field[:, 0] * STEP_X + field[:, 1] * STEP_Y + field[:, 2]
    )
    rows, weights = [], []
    for dx in (0, 1):
        for dy in (0, 1):
            wanted = base + (dx * STEP_X + dy * STEP_Y)
            for dz in (0, 1):
                row = torch.searchsorted(keys, wanted + dz)
                share = _share(part[:, 0], dx) * _share(part[:, 1], dy) * _share(part[:, 2], dz)
                found = padded[row] == wanted + dz
                rows.append(torch.where(found, row, 0))
                weights.append(torch.where(found, share, 0.0))
    shares = torch.stack(weights, dim=1)
    return torch.stack(rows, dim=1), shares / shares.sum(dim=1, keepdim=True)


def _share(part: Tensor, step: int) -> Tensor:
    return part if step else 1 - part
