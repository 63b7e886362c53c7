"""The network in training: a point encoder, and the scale of its similarities to words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from clip3d_cli.encoders.concepts import Concept
from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.training.losses import right_words_losses
from weights.recipe.points.batches import Batch

_MAX_LOGIT_SCALE = 100


class WordLearner(nn.Module):
    """A point encoder and the logit scale of its similarities, trained together."""

    def __init__(self, encoder: PointEncoder) -> None:
        """Start from an encoder and the logit scale of its spec."""
        super().__init__()
        if not isinstance(encoder.network, MinkUNet):
            raise TypeError("this loss needs the trunk of a MinkUNet")
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(math.log(encoder.spec.logit_scale)))

    @property
    def logit_scale(self) -> Tensor:
        """Factor of the similarities, at most 100."""
        return self.log_scale.exp().clamp(max=_MAX_LOGIT_SCALE)

    def trunk(self, batch: Batch) -> Tensor:
        """Return (T, C) features of the target rows of a batch."""
        network = cast(MinkUNet, self.encoder.network)
        feats = network.trunk(batch.voxels, Plan(batch.voxels.cells, self.encoder.backend))
        return feats[batch.target_rows]

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted mean of `right_words_losses` over the target rows of a batch."""
        feats = self.trunk(batch)
        head = cast(MinkUNet, self.encoder.network).head
        scale = self.logit_scale
        losses = []
        counts = [len(queries[0].meaning) for queries in batch.targets]
        for rows, queries in zip(torch.split(feats, counts), batch.targets, strict=True):
            of_queries = [
                right_words_losses(
                    similarities(rows, head, query.vectors), query.accepted[query.meaning], scale
                )
                for query in queries
            ]
            losses.append(torch.stack(of_queries).mean(dim=0))
        weights = batch.target_weights
        return (torch.cat(losses) * weights).sum() / weights.sum().clamp(min=1e-6)

    def finished_encoder(
        self, provenance: dict[str, str], concepts: tuple[Concept, ...]
    ) -> PointEncoder:
        """Return the encoder with its learned logit scale and what it was trained on in its spec.

        Args:
            provenance: how it was trained.
            concepts: what its words stood for; how well it knows each is measured afterwards, by
                `weights.recipe.points.write_concepts`.
        """
        scale = float(self.logit_scale.detach())
        spec = replace(
            self.encoder.spec, logit_scale=scale, provenance=provenance, concepts=concepts
        )
        return PointEncoder(spec, self.encoder.network).eval()


def similarities(feats: Tensor, head: nn.Linear, words: Tensor) -> Tensor:
    """Return the cosines of the head's vectors and words, without making the vectors.

    The vector of a voxel is H x + b. Its product with a word w is x · Hᵀw + b · w, and its squared
    length xᵀ(HᵀH)x + 2 x · Hᵀb + b · b: products with C numbers instead of D, a tenth of the time.

    Args:
        feats: (P, C), x.
        head: H (D, C) and b (D,).
        words: (W, D), unit length.

    Returns:
        (P, W).
    """
    weight, bias = head.weight, head.bias
    dots = feats @ (words @ weight).T + words @ bias
    squared = ((feats @ (weight.T @ weight)) * feats).sum(dim=1)
    squared = squared + 2 * (feats @ (weight.T @ bias)) + bias @ bias
    return dots * torch.rsqrt(squared.clamp(min=1e-6))[:, None]
