"""A point network together with what must be known to use it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli import registry
from clip3d_cli.core.words import FeatureSpace
from clip3d_cli.sparse.backend import Backend
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Everything about an encoder but its weights.

    Attributes:
        architecture: a name of kind ``point_encoders`` in the registry.
        config: keyword arguments of that network, ``in_channels`` and ``out_channels`` apart.
        inputs: the channels it expects, in order.
        voxel_sizes_m: the voxel edges it was trained at, metres.
        space: where its vectors live.
        text_encoder: a name of kind ``text_encoders`` that embeds words in that space.
        logit_scale: what cosines are multiplied by before a softmax over classes.
        provenance: what it was trained on, under which licences, how.

    Raises:
        ValueError: no channels, no voxel sizes, or a size or scale that is not above 0.
    """

    architecture: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    voxel_sizes_m: tuple[float, ...]
    space: FeatureSpace
    text_encoder: str
    logit_scale: float
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("inputs name no channel")
        if not self.voxel_sizes_m:
            raise ValueError("voxel_sizes_m holds no size")
        for number in (*self.voxel_sizes_m, self.logit_scale):
            if not 0 < number < math.inf:
                raise ValueError(f"a voxel size or logit_scale is {number}, not above 0")

    def build(self) -> nn.Module:
        """The network with fresh weights.

        Raises:
            UsageError: no architecture has that name.
            TypeError, ValueError: the configuration does not fit it.
        """
        network: nn.Module = registry.part("point_encoders", self.architecture)(
            len(self.inputs), self.space.dim, **self.config
        )
        return network


class PointEncoder(nn.Module):
    """Gives every voxel a unit vector in a text space.

    Args:
        spec: what the network is.
        network: of that spec; fresh weights if not given.
        backend: computes the convolutions, in its precision; plain PyTorch if not given.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        network: nn.Module | None = None,
        *,
        backend: Backend | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.network = spec.build() if network is None else network
        self.backend = backend

    @property
    def space(self) -> FeatureSpace:
        """Where the vectors live."""
        return self.spec.space

    @property
    def voxel_sizes_m(self) -> tuple[float, ...]:
        """The voxel edges it was trained at, metres."""
        return self.spec.voxel_sizes_m

    @property
    def stride(self) -> int:
        """The edge of the widest cells, in voxels: answers follow shifts by multiples of it."""
        return int(self.network.stride)  # type: ignore[arg-type]

    @property
    def reach(self) -> int:
        """How many voxels away the input can still change an answer."""
        return int(self.network.reach)  # type: ignore[arg-type]

    def forward(self, tensor: SparseTensor) -> Tensor:
        """(M, D) float32, unit length: a vector for every voxel, in the order of the rows.

        Raises:
            InputError: E_VOXEL_RANGE, a cell beyond what keys hold.
            ValueError: the number of channels is not that of ``spec.inputs``.
        """
        if tensor.feats.shape[1] != len(self.spec.inputs):
            raise ValueError(
                f"the encoder takes {len(self.spec.inputs)} channels "
                f"({', '.join(self.spec.inputs)}), not {tensor.feats.shape[1]}"
            )
        plan = Plan(tensor.cells, self.backend)
        if not self.training:
            tensor = tensor.with_feats(tensor.feats.to(plan.backend.dtype))
        feats = self.network(tensor, plan).float()
        # 512 channels of every voxel are the most that is ever held: not twice.
        in_place = not torch.is_grad_enabled() and feats is not tensor.feats
        return F.normalize(feats, dim=1, eps=1e-6, out=feats if in_place else None)
