"""The point network with a closed head beside its text head, and what both learn from truth."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from clip3d_cli.core.vocabulary import ClassEmbeddings
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.head_cosine import head_agreement, head_cosines
from clip3d_cli.training.losses import IGNORED, right_words_loss
from clip3d_cli.training.option_types import NonNegative
from clip3d_cli.training.supervised.batches import LabelledBatch
from clip3d_cli.training.supervised.lovasz import lovasz_softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedOptions:
    """Table ``[loss]`` of a fine-tuning: what is added to the cross-entropy of the closed head."""

    lovasz_weight: Annotated[
        NonNegative,
        Meta(
            description="factor of the Lovász-softmax loss beside cross-entropy; CLIP2Scene has 1"
        ),
    ] = 1.0
    words_weight: Annotated[
        NonNegative,
        Meta(
            description="factor of the same two losses of the text head with the words of the "
            "classes, so that it still answers words; 0 does not train the text head"
        ),
    ] = 1.0
    keep_weight: Annotated[
        NonNegative,
        Meta(
            description="factor of 1 − cosine to the text vectors of the start weights, so that "
            "words of no class are answered as before; costs a second pass through the network"
        ),
    ] = 0.0
    linear_probe: Annotated[
        bool, Meta(description="train the closed head only; the encoder does not change")
    ] = False


class FineTuner(nn.Module):
    """A point encoder and a linear closed head on its trunk: gives the loss of a batch.

    The fine-tuning of CLIP2Scene (Chen et al., CVPR 2023) and SLidR (Sautier et al., CVPR 2022):
    cross-entropy and Lovász-softmax through a head of the data set's classes. The head that
    answers words learns beside it.

    Attributes:
        encoder: with its text head.
        closed: (K, C), the head of the K classes.

    Args:
        encoder: what is fine-tuned; its network has a ``trunk`` and a linear ``head``.
        words: of the K classes that truth counts, in the encoder's space.
        options: what is minimised.
        dtype: of the features inside the network: bfloat16 for mixed precision.

    Raises:
        SetupError: E_SPACE_MISMATCH: the words live in another space.
    """

    word_vectors: Tensor
    accepted: Tensor
    logit_scale: Tensor

    def __init__(
        self,
        encoder: PointEncoder,
        words: ClassEmbeddings,
        options: SupervisedOptions,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        encoder.space.require(words.space, "the classes' words")
        self.encoder = encoder
        self.options = options
        self._dtype = dtype
        classes = len(words.vocabulary)
        self.closed = nn.Linear(self._head.in_features, classes)
        is_of_class = torch.from_numpy(words.class_of_vector) == torch.arange(classes)[:, None]
        # The last column: none of these words, which is right for no class.
        accepted = functional.pad(is_of_class, (0, 1))
        self.register_buffer("accepted", accepted, persistent=False)
        self.register_buffer("word_vectors", torch.from_numpy(words.vectors), persistent=False)
        scale = torch.tensor(encoder.spec.logit_scale)
        self.register_buffer("logit_scale", scale, persistent=False)
        # In a list, or it would be a part of this network and of its checkpoints.
        self._start: list[PointEncoder] = []
        if options.linear_probe:
            encoder.requires_grad_(requires_grad=False)
        elif options.keep_weight:
            start = copy.deepcopy(encoder).eval()
            self._start.append(start.requires_grad_(requires_grad=False))

    def train(self, mode: bool = True) -> FineTuner:
        """Put into training mode; the encoder of a linear probe stays in evaluation mode."""
        super().train(mode)
        if self.options.linear_probe:
            # The running statistics of its norms would move in training mode.
            self.encoder.eval()
        return self

    def forward(self, batch: LabelledBatch, done: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, (), and its parts: only those that are trained.

        Args:
            batch: on the network's device.
            done: how many steps were done before; nothing here depends on it.
        """
        options = self.options
        with torch.no_grad() if options.linear_probe else nullcontext():
            trunk = self._trunk(self.encoder, batch.voxels)
        told, truth = _judged(trunk, batch.truth)
        logits = self.closed(told)
        entropy = functional.cross_entropy(logits, truth, reduction="sum")
        parts = {"cross_entropy": entropy / max(1, len(truth))}
        if options.lovasz_weight:
            lovasz = lovasz_softmax(logits.softmax(dim=1), truth)
            parts["lovasz"] = options.lovasz_weight * lovasz
        if not options.linear_probe:
            parts |= self._of_words(told, truth)
            parts |= self._of_start(trunk, batch.voxels)
        return torch.stack(list(parts.values())).sum(), parts

    def answers(self, batch: LabelledBatch) -> tuple[Tensor, Tensor, Tensor]:
        """What both heads say of the J judged voxels, and the truth.

        Args:
            batch: on the network's device.

        Returns:
            (J, W) the text head's cosines with the words, (J, K) the closed head's logits,
            (J,) int64 the truth.
        """
        told, truth = _judged(self._trunk(self.encoder, batch.voxels), batch.truth)
        return head_cosines(told, self._head, self.word_vectors), self.closed(told), truth

    @property
    def _head(self) -> nn.Linear:
        return _head_of(self.encoder)

    def _trunk(self, encoder: PointEncoder, voxels: SparseTensor) -> Tensor:
        """(M, C): what the heads read."""
        plan = Plan(voxels.cells, encoder.backend)
        run = cast(Callable[..., Tensor], encoder.network.trunk)
        return run(voxels.with_feats(voxels.feats.to(self._dtype)), plan).float()

    def _of_words(self, told: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """How far the text head's answers are from the words of the truth."""
        options = self.options
        if not options.words_weight:
            return {}
        cosines = head_cosines(told, self._head, self.word_vectors)
        loss = right_words_loss(cosines, self.accepted[truth], self.logit_scale)
        if options.lovasz_weight:
            shares = functional.pad(cosines * self.logit_scale, (0, 1)).softmax(dim=1)
            # A class has the shares of all of its words.
            of_class = shares @ self.accepted.T.to(shares.dtype)
            loss = loss + options.lovasz_weight * lovasz_softmax(of_class, truth)
        return {"words": options.words_weight * loss}

    def _of_start(self, trunk: Tensor, voxels: SparseTensor) -> dict[str, Tensor]:
        """How far the text head's answers are from those of the start."""
        if not self.options.keep_weight:
            return {}
        start = self._start[0].to(trunk.device)
        with torch.no_grad():
            before = self._trunk(start, voxels)
        kept = head_agreement(trunk, self._head, before, _head_of(start))
        return {"keep": self.options.keep_weight * (1 - kept.mean())}


def _judged(trunk: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and classes of judged voxels alone."""
    judged = torch.nonzero(truth != IGNORED)[:, 0]
    # Not by a mask: its gradient is scattered row by row, which takes as long as a network.
    return trunk.index_select(0, judged), truth[judged]


def _head_of(encoder: PointEncoder) -> nn.Linear:
    return cast(nn.Linear, encoder.network.head)
