"""The network of CLIP2Scene in training: a point encoder with the losses of pairs and cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.errors import UsageError
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.training.clip2scene.batches import PosedBatch
from clip3d_cli.training.clip2scene.loss_variants import (
    Pairs,
    Semantic,
    SpatialTemporal,
    semantic_loss,
    spatial_temporal_loss,
)
from clip3d_cli.training.clip2scene.losses import NO_WORD, Cells, Words
from clip3d_cli.training.clip2scene.targets import (
    CellWord,
    SelfTraining,
    cell_texts,
    cell_words,
    choose_words,
    nearest_words,
)
from clip3d_cli.training.option_types import NonNegative, Positive

Heads = Literal["separate", "shared"]
OwnWords = Literal["own", "average"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOptions:
    """Table ``[loss]`` of a pretraining: the defaults are those of the paper."""

    semantic: Annotated[
        Semantic,
        Meta(
            description="semantic loss: paper (Eq. 1), code (of the released code), cross_entropy, "
            "kl or cosine"
        ),
    ] = "paper"
    semantic_weight: Annotated[
        NonNegative, Meta(description="factor of the semantic loss; 0 leaves it out")
    ] = 1.0
    temperature: Annotated[Positive, Meta(description="temperature τ of the semantic loss")] = 0.5
    consistency: Annotated[
        SpatialTemporal,
        Meta(
            description="spatial-temporal loss: paper (Eq. 2 to 4), code (of the released code) or "
            "none"
        ),
    ] = "paper"
    consistency_weight: Annotated[
        NonNegative, Meta(description="factor of the spatial-temporal loss; 0 leaves it out")
    ] = 1.0
    attention_temperature: Annotated[
        Positive, Meta(description="temperature λ of the attention of Eq. 4")
    ] = 1.0
    cell_word: Annotated[
        CellWord,
        Meta(description="text of a grid cell: the commonest word of its pixels, or the first"),
    ] = "commonest"
    heads: Annotated[
        Heads,
        Meta(
            description="linear layers before Eq. 2: separate learns one for points and one for "
            "pixels; shared takes the vectors that are compared with words"
        ),
    ] = "separate"
    self_training: Annotated[
        SelfTraining,
        Meta(
            description="target words of a step once self-training has begun: switch takes the "
            "images' or the network's own at random, image the images', own the network's own"
        ),
    ] = "switch"
    start: Annotated[
        NonNegative, Meta(description="share of the steps after which self-training begins")
    ] = 0.5
    own_words: Annotated[
        OwnWords,
        Meta(
            description="weights that predict the network's own words: own for the current ones, "
            "average for their moving average (self-distillation, as SAS)"
        ),
    ] = "own"
    unseen: Annotated[
        bool,
        Meta(
            description="train points that no image sees on the network's own words, once "
            "self-training has begun"
        ),
    ] = False


class Clip2Scene(nn.Module):
    """A point encoder with the projections of Eq. 2, which returns the loss of a batch.

    Attributes:
        encoder: the point encoder that is trained.
        options: what is minimised.

    Args:
        encoder: its network has a ``trunk`` and a linear ``head``.
        words: classes that pixels are labelled with.
        options: what is minimised.
        steps: number of steps of the whole training, from which the start of self-training follows.
        seed: seed of the run; it decides in which steps self-training uses the network's own words.
        dtype: data type of the features inside the network; bfloat16 for mixed precision.
    """

    word_vectors: Tensor
    class_of_word: Tensor

    def __init__(
        self,
        encoder: PointEncoder,
        words: ClassEmbeddings,
        options: LossOptions,
        *,
        steps: int,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.options = options
        self._seed = seed
        self._start = round(options.start * steps)
        self._dtype = dtype
        # In a list, so that PyTorch does not make it a part of this network and its checkpoints.
        self._ema_model: list[Clip2Scene] = []
        self.register_buffer("word_vectors", torch.from_numpy(words.vectors), persistent=False)
        classes = torch.from_numpy(words.class_of_vector.astype("int64"))
        self.register_buffer("class_of_word", classes, persistent=False)
        if options.heads == "separate":
            head = self._head
            self.point_map = nn.Linear(head.in_features, head.out_features)
            self.pixel_map = nn.Linear(head.out_features, head.out_features, bias=False)
            # The texts that weigh pixels (Eq. 4) are of the teacher's space: start in that space.
            nn.init.eye_(self.pixel_map.weight)

    def use_ema_model(self, model: nn.Module) -> None:
        """Predict the own words with the moving average of the weights (``own_words = average``).

        Args:
            model: the averaged copy of this network; it is put into evaluation mode.

        Raises:
            UsageError: E_CONFIG: it is this network itself, because no average is kept.
        """
        if model is self:
            fault = "'average' needs a moving average of the weights, and none is kept"
            remedy = "Set optimizer.average_decay=0.998."
            raise UsageError("E_CONFIG", "loss.own_words", fault, remedy)
        self._ema_model = [cast(Clip2Scene, model.eval())]

    def forward(self, batch: PosedBatch, steps_done: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, (), and its parts.

        Args:
            batch: batch on the network's device.
            steps_done: number of steps done before.

        Returns:
            The loss, and the parts ``semantic`` and ``consistency`` (whose sum it is) and
            ``agreement``, the share of pairs whose own word is that of the image.
        """
        trunk = self._trunk(batch)
        pairs, loss = self._semantic(trunk, batch, steps_done)
        semantic = self.options.semantic_weight * loss
        consistency = self.options.consistency_weight * self._consistency(trunk, pairs, batch)
        agrees = (nearest_words(pairs.vectors, self._words) == batch.pair_word).float()
        return semantic + consistency, {
            "semantic": semantic,
            "consistency": consistency,
            "agreement": agrees.sum() / max(1, len(agrees)),
        }

    def pair_vectors(self, batch: PosedBatch) -> Tensor:
        """Return the vector of every pair's point, (P, D) float32, unit length."""
        raw = self._head(self._trunk(batch)[batch.pair_row])
        return functional.normalize(raw.float(), dim=1, eps=1e-6)

    @property
    def _words(self) -> Words:
        return Words(self.word_vectors, self.class_of_word)

    @property
    def _head(self) -> nn.Linear:
        return cast(nn.Linear, self.encoder.network.head)

    def _trunk(self, batch: PosedBatch) -> Tensor:
        """Return the features in front of the heads, (M, C) float32."""
        voxels = batch.voxels.with_feats(batch.voxels.feats.to(self._dtype))
        plan = Plan(voxels.cells, self.encoder.backend)
        run = cast(Callable[..., Tensor], self.encoder.network.trunk)
        return run(voxels, plan).float()

    def _semantic(self, trunk: Tensor, batch: PosedBatch, steps_done: int) -> tuple[Pairs, Tensor]:
        """Return the P pairs of the batch with their target words, and the semantic loss."""
        options, words = self.options, self._words
        started = steps_done >= self._start
        rows, image_words, pixels = batch.pair_row, batch.pair_word, batch.pixels
        if options.unseen and started:
            # The P rows of pairs are followed by U rows of voxels that no image sees.
            rows = torch.cat((rows, batch.unseen_row))
            image_words = functional.pad(image_words, (0, len(batch.unseen_row)), value=NO_WORD)
        raw = self._head(trunk[rows])
        own = self._own_words(raw, batch, rows) if started else image_words
        word = choose_words(
            image_words,
            own,
            mode=options.self_training,
            started=started,
            coin=_coin(self._seed, steps_done) if started else 0.0,
            unseen=options.unseen,
        )
        seen = raw[: len(batch.pair_row)]
        pairs = Pairs(seen, word[: len(seen)], pixels)
        # These two compare with the pixel, which unseen voxels do not have.
        needs_pixels = options.semantic in ("kl", "cosine")
        loss = semantic_loss(
            options.semantic,
            pairs if needs_pixels else Pairs(raw, word),
            words,
            temperature=options.temperature,
        )
        return pairs, loss

    @torch.no_grad()
    def _own_words(self, raw: Tensor, batch: PosedBatch, rows: Tensor) -> Tensor:
        """Return the word that the network, or its moving average, predicts for each row."""
        if self.options.own_words == "average":
            average = self._ema_model[0]
            raw = average._head(average._trunk(batch)[rows])
        return nearest_words(functional.normalize(raw, dim=1), self._words)

    def _consistency(self, trunk: Tensor, pairs: Pairs, batch: PosedBatch) -> Tensor:
        """Return the spatial-temporal loss of the voxels and pixels in the batch's grid cells."""
        options = self.options
        if options.consistency == "none" or options.consistency_weight == 0:
            return 0 * pairs.raw.sum()
        members = trunk[batch.member_row]
        if options.heads == "separate":
            points, pixels = self.point_map(members), self.pixel_map(batch.pixels)
        else:
            points, pixels = self._head(members), batch.pixels
        # The texts are always those of the images, also after self-training has begun.
        texts = cell_texts(
            cell_words(batch.pair_word, batch.pair_cell, batch.cells, how=options.cell_word),
            self._words,
        )
        return spatial_temporal_loss(
            options.consistency,
            functional.normalize(points, dim=1, eps=1e-6),
            functional.normalize(pixels, dim=1, eps=1e-6),
            Cells(batch.member_cell, batch.pair_cell, texts),
            temperature=options.attention_temperature,
        )


def _coin(seed: int, steps_done: int) -> float:
    """Return a random number in [0, 1) for a step, the same in every process and when resumed."""
    return float(np.random.default_rng((seed, steps_done)).random())
