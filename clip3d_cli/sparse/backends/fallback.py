"""Plain PyTorch implementations for backends without a kernel of their own."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.sparse.backend import Epilogue, Features


def concatenate(feats: Features) -> Tensor:
    """Return features as one tensor, (M, sum of C); a single tensor is returned as it is."""
    if isinstance(feats, Tensor):
        return feats
    return feats[0] if len(feats) == 1 else torch.cat(feats, dim=1)


def apply_epilogue(sums: Tensor, epilogue: Epilogue | None) -> Tensor:
    """Apply an epilogue to (M, C) sums in place, and return them."""
    if epilogue is None:
        return sums
    if epilogue.scale is not None:
        sums *= epilogue.scale.to(sums.dtype)
    if epilogue.shift is not None:
        sums += epilogue.shift.to(sums.dtype)
    if epilogue.residual is not None:
        sums += epilogue.residual
    return F.relu_(sums) if epilogue.relu else sums


class TorchBatchNorm:
    """Mixin with the batch normalization of a backend that has no kernel of its own for it."""

    def batch_norm(
        self, feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
    ) -> Tensor:
        """Return relu(batch_norm(feats) + residual): see `Backend.batch_norm`."""
        # Not norm(feats): a subclass's forward may be the caller.
        normalized: Tensor = nn.BatchNorm1d.forward(norm, feats)
        if residual is not None:
            normalized = normalized + residual
        return F.relu(normalized) if relu else normalized
