"""Replacements for the last attention of an image model, which give every patch its own vector.

CLIP trains the last attention to collect the whole image in one token. With that attention, the
output of a patch says little about what is at its place. The functions here take the queries, keys
and values of that attention, each (heads, L, C), and the grid of patches (rows, columns). They
return what replaces its output: (heads, L, C). L counts the tokens of the patches in row-major
order; tokens that are not patches, such as the class token, come before them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Grid = tuple[int, int]

# Standard deviation of NACLIP's Gaussian, in patches.
_SIGMA = 5.0


def value_path(queries: Tensor, keys: Tensor, values: Tensor, grid: Grid) -> Tensor:
    """Return the value of every token itself.

    This is attention in which every token attends only to itself. The projections before and after
    it then act on every patch alone, like 1×1 convolutions.

    Source: MaskCLIP (Zhou, Loy, Dai, ECCV 2022, arXiv 2112.01071), section 3.2.
    """
    return values


def self_self_attention(queries: Tensor, keys: Tensor, values: Tensor, grid: Grid) -> Tensor:
    """Return values weighted by query-query and by key-key similarity.

    A token is usually among the tokens most similar to itself, so that its own value has a large
    weight.

    Source: SCLIP, correlative self-attention (Wang, Mei, Yuille, ECCV 2024, arXiv 2312.01597).
    """
    scale = values.shape[-1] ** -0.5
    query_weights = (queries @ queries.mT * scale).softmax(dim=-1)  # (heads, L, L)
    key_weights = (keys @ keys.mT * scale).softmax(dim=-1)  # (heads, L, L)
    attended: Tensor = (query_weights + key_weights) @ values
    return attended


def neighbour_attention(queries: Tensor, keys: Tensor, values: Tensor, grid: Grid) -> Tensor:
    """Return values averaged over similar tokens nearby.

    The weights come from key-key similarity, to which a Gaussian of height 1 around every patch is
    added before the softmax.

    Source: NACLIP (Hajimiri et al., WACV 2025, arXiv 2404.08181).
    """
    logits = keys @ keys.mT * values.shape[-1] ** -0.5  # (heads, L, L)
    # Tokens before the patches, such as the class token, have no place in the image: zeros.
    others = values.shape[-2] - grid[0] * grid[1]
    nearness = functional.pad(_nearness(grid, values), (others, 0, others, 0))  # (L, L)
    attended: Tensor = (logits + nearness).softmax(dim=-1) @ values
    return attended


def _nearness(grid: Grid, like: Tensor) -> Tensor:
    """Return exp(−d²/2σ²) of the distance d between each two of P patches: (P, P)."""
    rows, columns = (torch.arange(side, dtype=like.dtype, device=like.device) for side in grid)
    patches = torch.cartesian_prod(rows, columns)  # (P, 2) row and column, row-major
    squared = (patches[:, None] - patches[None]).square().sum(dim=-1)
    return torch.exp(squared / (-2 * _SIGMA**2))


class Variant(NamedTuple):
    """A way to compute the last block of a transformer.

    Attributes:
        attention: replacement for the attention of the block.
        whole_block: whether the skip connections and the MLP of the block are kept. Without them,
            the output of the attention is the output of the block.
    """

    attention: Callable[[Tensor, Tensor, Tensor, Grid], Tensor]
    whole_block: bool


VARIANTS = {
    # As in MaskCLIP's paper.
    "value": Variant(value_path, whole_block=False),
    # As the released code of MaskCLIP and of CLIP2Scene computes it for a ViT.
    "value-released": Variant(value_path, whole_block=True),
    "self": Variant(self_self_attention, whole_block=True),
    "neighbour": Variant(neighbour_attention, whole_block=False),
}
