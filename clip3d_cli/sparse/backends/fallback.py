"""What a backend does in plain PyTorch that has no kernel of its own for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.sparse.backend import Epilogue, Features


def joined(feats: Features) -> Tensor:
    """Features that stand side by side, as one tensor: (M, sum of C)."""
    if isinstance(feats, Tensor):
        return feats
    return feats[0] if len(feats) == 1 else torch.cat(feats, dim=1)


def finish(sums: Tensor, epilogue: Epilogue | None) -> Tensor:
    """An epilogue over (M, C) sums, which are overwritten."""
    if epilogue is None:
        return sums
    if epilogue.scale is not None:
        sums *= epilogue.scale.to(sums.dtype)
    if epilogue.shift is not None:
        sums += epilogue.shift.to(sums.dtype)
    if epilogue.residual is not None:
        sums += epilogue.residual
    return F.relu_(sums) if epilogue.relu else sums


class TorchNorm:
    """The batch normalisation of a backend that has no kernel of its own for it."""

    def normalise(
        self, feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
    ) -> Tensor:
        """See `Backend.normalise`."""
        # Not through norm itself: its own forward is the caller.
        normed: Tensor = nn.BatchNorm1d.forward(norm, feats)
        if residual is not None:
            normed = normed + residual
        return F.relu(normed) if relu else normed
