"""A vector for every patch, from the image towers of open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clip3d_cli.teachers.attention import Grid, Variant

Layer = tuple[Tensor, Tensor | None]


def transformer_features(tower: Any, pixels: Tensor, variant: Variant) -> Tensor:
    """(h, w, D) of a VisionTransformer: one vector a patch.

    All blocks but the last run as they are; the last one's attention is replaced. Where a model
    pools by attention (CoCa), that is the last attention: all blocks run, and every token gives
    its value to the pool as if it were asked alone.

    Args:
        tower: its sides and parts are named as in ``open_clip.transformer``.
        pixels: (1, 3, H, W) normalised; H and W whole multiples of a patch.
        variant: how the last attention is read.
    """
    tokens, grid = _embedded(tower, pixels)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    if tower.attn_pool is None:
        tokens = _last_block(last, tokens, grid, variant)
    else:
        tokens = _pool_values(tower.attn_pool, last(tokens))
    # The first token is the class token.
    vectors: Tensor = tower.ln_post(tokens[0, 1:]) @ tower.proj
    return vectors.reshape(*grid, -1)


def residual_features(tower: Any, pixels: Tensor, variant: Variant) -> Tensor:
    """(h, w, D) of a ModifiedResNet: one vector for every 32×32 pixels.

    Its one attention is the pool at the end. It has no skip connection, so that a variant's
    ``whole_block`` is nothing here. As in MaskCLIP, the pool's position embeddings are left out:
    they belong to the grid of the training images, and a value says what is at a place, not
    where it is.

    Args:
        tower: its parts are named as in ``open_clip.modified_resnet``.
        pixels: (1, 3, H, W) normalised; H and W whole multiples of 32.
        variant: how the pool's attention is read.
    """
    feats = tower.stem(pixels)
    for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        feats = layer(feats)
    grid = (feats.shape[2], feats.shape[3])
    pool = tower.attnpool
    layers = [(layer.weight, layer.bias) for layer in (pool.q_proj, pool.k_proj, pool.v_proj)]
    mixed = _mixed(feats[0].flatten(1).T, layers, pool.num_heads, grid, variant)
    vectors: Tensor = pool.c_proj(mixed)
    return vectors.reshape(*grid, -1)


def _embedded(tower: Any, pixels: Tensor) -> tuple[Tensor, Grid]:
    """(1, 1 + h·w, C) tokens, the class token first, and the grid (h, w)."""
    feats = tower.conv1(pixels)
    grid = (feats.shape[2], feats.shape[3])
    patches = feats.flatten(2).mT
    tokens = torch.cat([tower.class_embedding.expand(1, 1, -1), patches], dim=1)
    places = positions(tower.positional_embedding, tower.grid_size, grid)
    embedded: Tensor = tower.ln_pre(tokens + places)
    return embedded, grid


def positions(learned: Tensor, trained: Grid, grid: Grid) -> Tensor:
    """(1 + h·w, C) position embeddings for a grid, from those for the grid of training.

    Those of the patches are interpolated bicubically between patch centres, as open_clip does
    when it loads weights for another image size; the class token's own comes first and stays.
    """
    if grid == trained:
        return learned
    image = learned[1:].reshape(*trained, -1).permute(2, 0, 1)[None]
    image = functional.interpolate(
        image, size=grid, mode="bicubic", antialias=True, align_corners=False
    )
    return torch.cat([learned[:1], image[0].flatten(1).T])


def _last_block(block: Any, tokens: Tensor, grid: Grid, variant: Variant) -> Tensor:
    attention = block.attn
    layers = list(
        zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    )
    mixed = _mixed(block.ln_1(tokens[0]), layers, attention.num_heads, grid, variant)
    attended: Tensor = block.ls_1(attention.out_proj(mixed))[None]
    if not variant.whole_block:
        return attended
    tokens = tokens + attended
    whole: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return whole


def _pool_values(pool: Any, tokens: Tensor) -> Tensor:
    attention = pool.attn
    weight = attention.v_proj_weight
    if weight is None:
        weight = attention.in_proj_weight.chunk(3)[2]
    values = functional.linear(pool.ln_k(tokens), weight, attention.in_proj_bias.chunk(3)[2])
    pooled: Tensor = attention.out_proj(values)
    return pooled


def _mixed(
    tokens: Tensor, layers: Sequence[Layer], heads: int, grid: Grid, variant: Variant
) -> Tensor:
    """(L, C) of (L, C) tokens: their queries, keys and values, mixed head by head."""
    parts = (
        functional.linear(tokens, *layer).reshape(len(tokens), heads, -1).transpose(0, 1)
        for layer in layers
    )
    queries, keys, values = parts
    return variant.mix(queries, keys, values, grid).transpose(0, 1).flatten(1)
