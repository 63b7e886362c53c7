"""The network in fine-tuning: a point encoder with a closed head beside its text head."""

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

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.head_cosine import head_cosines, paired_head_cosines
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
    """A point encoder with a linear closed head beside its text head; it returns a batch's loss.

    The fine-tuning of CLIP2Scene (Chen et al., CVPR 2023) and SLidR (Sautier et al., CVPR 2022):
    cross-entropy and Lovász-softmax of a head with the classes of the data set. The text head
    is trained beside it.

    Attributes:
        encoder: point encoder with its text head.
        closed: (C → K), head of the K classes.
        options: what is minimised.
        accepted: (K, W + 1) bool, the words of each class; the last column is "none of these".

    Args:
        encoder: encoder to fine-tune; its network has a ``trunk`` and a linear ``head``.
        words: words of the K classes of the ground truth, in the encoder's feature space.
        options: what is minimised.
        dtype: data type of the features inside the network; bfloat16 for mixed precision.

    Raises:
        SetupError: E_SPACE_MISMATCH: the words are of another feature space.
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
        # "None of these words" is right for no class.
        accepted = functional.pad(is_of_class, (0, 1))
        self.register_buffer("accepted", accepted, persistent=False)
        self.register_buffer("word_vectors", torch.from_numpy(words.vectors), persistent=False)
        scale = torch.tensor(encoder.spec.logit_scale)
        self.register_buffer("logit_scale", scale, persistent=False)
        # In a list, so that PyTorch does not make it a part of this network and its checkpoints.
        self._start_encoder: list[PointEncoder] = []
        if options.linear_probe:
            encoder.requires_grad_(requires_grad=False)
        elif options.keep_weight:
            start = copy.deepcopy(encoder).eval()
            self._start_encoder.append(start.requires_grad_(requires_grad=False))

    def train(self, mode: bool = True) -> FineTuner:
        """Set training mode; the encoder of a linear probe stays in evaluation mode."""
        super().train(mode)
        if self.options.linear_probe:
            # In training mode the running statistics of its norms would change.
            self.encoder.eval()
        return self

    def forward(self, batch: LabelledBatch, steps_done: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, (), and the parts that it is the sum of.

        Args:
            batch: batch on the network's device.
            steps_done: number of steps done before; this loss does not depend on it.

        Returns:
            The loss, and of the parts ``cross_entropy``, ``lovasz``, ``words`` and ``keep`` those
            with a weight above 0.
        """
        options = self.options
        with torch.no_grad() if options.linear_probe else nullcontext():
            trunk = self._trunk(self.encoder, batch.voxels)
        labelled, truth = _labelled_rows(trunk, batch.truth)
        logits = self.closed(labelled)
        entropy = functional.cross_entropy(logits, truth, reduction="sum")
        parts = {"cross_entropy": entropy / max(1, len(truth))}
        if options.lovasz_weight:
            lovasz = lovasz_softmax(logits.softmax(dim=1), truth)
            parts["lovasz"] = options.lovasz_weight * lovasz
        if not options.linear_probe:
            parts |= self._words_loss(labelled, truth)
            parts |= self._keep_loss(trunk, batch.voxels)
        return torch.stack(list(parts.values())).sum(), parts

    def predict(self, batch: LabelledBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output of both heads for the J voxels with ground truth, and their classes.

        Args:
            batch: batch on the network's device.

        Returns:
            (J, W) cosines of the text head with the words, (J, K) logits of the closed head, and
            (J,) int64 ground truth.
        """
        labelled, truth = _labelled_rows(self._trunk(self.encoder, batch.voxels), batch.truth)
        return head_cosines(labelled, self._head, self.word_vectors), self.closed(labelled), truth

    @property
    def _head(self) -> nn.Linear:
        return _text_head(self.encoder)

    def _trunk(self, encoder: PointEncoder, voxels: SparseTensor) -> Tensor:
        """Return the features in front of the heads, (M, C) float32."""
        plan = Plan(voxels.cells, encoder.backend)
        run = cast(Callable[..., Tensor], encoder.network.trunk)
        return run(voxels.with_feats(voxels.feats.to(self._dtype)), plan).float()

    def _words_loss(self, labelled: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the loss of the text head against the words of the right classes.

        Args:
            labelled: (J, C) features of voxels with ground truth.
            truth: (J,) their classes.
        """
        options = self.options
        if not options.words_weight:
            return {}
        cosines = head_cosines(labelled, self._head, self.word_vectors)
        loss = right_words_loss(cosines, self.accepted[truth], self.logit_scale)
        if options.lovasz_weight:
            # (J, W + 1) softmax over the words and "none of these"; a class has the sum of the
            # shares of its words.
            shares = functional.pad(cosines * self.logit_scale, (0, 1)).softmax(dim=1)
            of_class = shares @ self.accepted.T.to(shares.dtype)  # (J, K)
            loss = loss + options.lovasz_weight * lovasz_softmax(of_class, truth)
        return {"words": options.words_weight * loss}

    def _keep_loss(self, trunk: Tensor, voxels: SparseTensor) -> dict[str, Tensor]:
        """Return 1 − cosine between the text vectors now and those of the start weights."""
        if not self.options.keep_weight:
            return {}
        start = self._start_encoder[0].to(trunk.device)
        with torch.no_grad():
            start_trunk = self._trunk(start, voxels)
        cosines = paired_head_cosines(trunk, self._head, start_trunk, _text_head(start))
        return {"keep": self.options.keep_weight * (1 - cosines.mean())}


def _labelled_rows(trunk: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features and classes of the voxels with ground truth."""
    rows = torch.nonzero(truth != IGNORED)[:, 0]
    # index_select, not a mask: the gradient of a mask takes as long as the whole network.
    return trunk.index_select(0, rows), truth[rows]


def _text_head(encoder: PointEncoder) -> nn.Linear:
    return cast(nn.Linear, encoder.network.head)
