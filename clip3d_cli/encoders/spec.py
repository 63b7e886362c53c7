"""What must be known of a point network to use it, apart from its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clip3d_cli.core.words import FeatureSpace


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
