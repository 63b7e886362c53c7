"""How the last attention of an image model is read, so that every patch speaks for itself.

CLIP trains the last attention to gather the whole image in one token; read as it is, the patches
say little of where things are. Each function here takes what that attention computes and gives
what replaces its answer: queries, keys and values (heads, L, C), the grid of patches (rows,
columns), values (heads, L, C) back. Tokens before the patches, such as the class token, come
first in L.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Grid = tuple[int, int]

# NACLIP's standard deviation of the neighbourhood, in patches.
_NEIGHBOURHOOD = 5.0


def values_alone(queries: Tensor, keys: Tensor, values: Tensor, grid: Grid) -> Tensor:
    """Every token's own value: MaskCLIP (Zhou, Loy, Dai, ECCV 2022, arXiv 2112.01071), section 3.2.

    An attention in which every token attends to itself alone; the two projections around it
    become convolutions over 1×1 patch.
    """
    return values


def self_self(queries: Tensor, keys: Tensor, values: Tensor, grid: Grid) -> Tensor:
    """Values gathered from like tokens: SCLIP (Wang, Mei, Yuille, ECCV 2024, arXiv 2312.01597).

    The sum of query-query and key-key attention ("correlative self-attention"): a token attends
    to itself at least as much as to most others.
    """
    scale = values.shape[-1] ** -0.5
    of_queries = (queries @ queries.mT * scale).softmax(dim=-1)
    of_keys = (keys @ keys.mT * scale).softmax(dim=-1)
    gathered: Tensor = (of_queries + of_keys) @ values
    return gathered


def neighbours(queries: Tensor, keys: Tensor, values: Tensor, grid: Grid) -> Tensor:
    """Values gathered from like tokens nearby: NACLIP (Hajimiri et al., WACV 2025, 2404.08181).

    Key-key attention whose logits are raised around every patch by a Gaussian of height one.
    """
    logits = keys @ keys.mT * values.shape[-1] ** -0.5
    before = values.shape[-2] - grid[0] * grid[1]
    nearness = functional.pad(_nearness(grid, values), (before, 0, before, 0))
    gathered: Tensor = (logits + nearness).softmax(dim=-1) @ values
    return gathered


def _nearness(grid: Grid, like: Tensor) -> Tensor:
    """(L, L): exp(−d²/2σ²) of the distance d between two patches."""
    rows, columns = (torch.arange(side, dtype=like.dtype, device=like.device) for side in grid)
    places = torch.cartesian_prod(rows, columns)
    square = (places[:, None] - places[None]).square().sum(dim=-1)
    return torch.exp(square / (-2 * _NEIGHBOURHOOD**2))


class Variant(NamedTuple):
    """A way to read the last block of a transformer.

    Attributes:
        mix: what replaces the attention.
        whole_block: whether the block's skip connections and its MLP follow, as they were
            trained; without them ``mix`` alone speaks.
    """

    mix: Callable[[Tensor, Tensor, Tensor, Grid], Tensor]
    whole_block: bool


VARIANTS = {
    # The paper's.
    "value": Variant(values_alone, whole_block=False),
    # What the released code of MaskCLIP, and CLIP2Scene after it, computes for a ViT.
    "value-released": Variant(values_alone, whole_block=True),
    "self": Variant(self_self, whole_block=True),
    "neighbour": Variant(neighbours, whole_block=False),
}
