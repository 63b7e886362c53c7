"""Vectors of patches from the image towers of open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clip3d_cli.teachers.attention import Grid, Variant

# Weight and bias of a linear layer.
Layer = tuple[Tensor, Tensor | None]


def transformer_features(tower: Any, pixels: Tensor, variant: Variant) -> Tensor:
    """Return a vector for each patch from a VisionTransformer.

    All blocks but the last one run unchanged, and the attention of the last one is replaced. A
    model that pools by attention (CoCa) has its last attention in the pool: there all blocks run,
    and every token passes its value through the pool alone.

    Args:
        tower: VisionTransformer of ``open_clip.transformer``.
        pixels: (1, 3, H, W) normalised; H and W are multiples of the patch.
        variant: replacement for the last attention.

    Returns:
        (h, w, D), not normalised to unit length.
    """
    tokens, grid = _embed_patches(tower, pixels)  # (1, 1 + h·w, C)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    if tower.attn_pool is None:
        tokens = _last_block(last, tokens, grid, variant)
    else:
        tokens = _pool_values(tower.attn_pool, last(tokens))
    # The class token comes first, and is left out.
    vectors: Tensor = tower.ln_post(tokens[0, 1:]) @ tower.proj
    return vectors.reshape(*grid, -1)


def residual_features(tower: Any, pixels: Tensor, variant: Variant) -> Tensor:
    """Return a vector for every 32×32 pixels from a ModifiedResNet.

    Its only attention is the pool at the end. That has no skip connection and no MLP, so that
    ``variant.whole_block`` changes nothing. The position embeddings of the pool are left out, as in
    MaskCLIP: they belong to the grid of the training images, and a value is about what is at a
    place, not about where it is.

    Args:
        tower: ModifiedResNet of ``open_clip.modified_resnet``.
        pixels: (1, 3, H, W) normalised; H and W are multiples of 32.
        variant: replacement for the attention of the pool.

    Returns:
        (h, w, D), not normalised to unit length.
    """
    feats = tower.stem(pixels)
    for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        feats = layer(feats)  # in the end (1, C, h, w)
    grid = (feats.shape[2], feats.shape[3])
    pool = tower.attnpool
    layers = [(layer.weight, layer.bias) for layer in (pool.q_proj, pool.k_proj, pool.v_proj)]
    tokens = feats[0].flatten(1).T  # (h·w, C)
    vectors: Tensor = pool.c_proj(_attend(tokens, layers, pool.num_heads, grid, variant))
    return vectors.reshape(*grid, -1)


def _embed_patches(tower: Any, pixels: Tensor) -> tuple[Tensor, Grid]:
    """Return the tokens (1, 1 + h·w, C), the class token first, and the grid (h, w)."""
    feats = tower.conv1(pixels)  # (1, C, h, w)
    grid = (feats.shape[2], feats.shape[3])
    patches = feats.flatten(2).mT  # (1, h·w, C)
    tokens = torch.cat([tower.class_embedding.expand(1, 1, -1), patches], dim=1)
    embeddings = positions(tower.positional_embedding, tower.grid_size, grid)
    embedded: Tensor = tower.ln_pre(tokens + embeddings)
    return embedded, grid


def positions(learned: Tensor, trained: Grid, grid: Grid) -> Tensor:
    """Return position embeddings for a grid of any size.

    Those of the patches are interpolated bicubically between the centres of patches, as open_clip
    does when it loads weights for another image size. That of the class token stays as it is.

    Args:
        learned: (1 + rows·columns, C) embeddings for the grid of the training images, that of the
            class token first.
        trained: that grid.
        grid: the grid to return embeddings for, (h, w).

    Returns:
        (1 + h·w, C).
    """
    if grid == trained:
        return learned
    image = learned[1:].reshape(*trained, -1).permute(2, 0, 1)[None]  # (1, C, rows, columns)
    image = functional.interpolate(
        image, size=grid, mode="bicubic", antialias=True, align_corners=False
    )
    return torch.cat([learned[:1], image[0].flatten(1).T])


def _last_block(block: Any, tokens: Tensor, grid: Grid, variant: Variant) -> Tensor:
    """Return the output (1, L, C) of a block whose attention is replaced."""
    attention = block.attn
    # One matrix (3·C, C) holds the projections to queries, keys and values.
    layers = list(
        zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    )
    mixed = _attend(block.ln_1(tokens[0]), layers, attention.num_heads, grid, variant)
    attended: Tensor = block.ls_1(attention.out_proj(mixed))[None]
    if not variant.whole_block:
        return attended
    tokens = tokens + attended
    output: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return output


def _pool_values(pool: Any, tokens: Tensor) -> Tensor:
    """Return the output of an attentional pool for every token, if it attended to that alone."""
    attention = pool.attn
    weight = attention.v_proj_weight
    if weight is None:
        # PyTorch joins the three projections if the inputs of all of them have one width.
        weight = attention.in_proj_weight.chunk(3)[2]
    values = functional.linear(pool.ln_k(tokens), weight, attention.in_proj_bias.chunk(3)[2])
    pooled: Tensor = attention.out_proj(values)
    return pooled


def _attend(
    tokens: Tensor, layers: Sequence[Layer], heads: int, grid: Grid, variant: Variant
) -> Tensor:
    """Apply the attention of a variant.

    Args:
        tokens: (L, C).
        layers: projections to queries, keys and values.
        heads: number of heads.
        grid: grid of the patches, which are the last tokens.
        variant: the attention.

    Returns:
        (L, C), the heads side by side.
    """
    # Each (heads, L, C / heads).
    queries, keys, values = (
        functional.linear(tokens, *layer).reshape(len(tokens), heads, -1).transpose(0, 1)
        for layer in layers
    )
    return variant.attention(queries, keys, values, grid).transpose(0, 1).flatten(1)
