"""The point network of CLIP2Scene with all that it needs to learn from pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from clip3d_cli.core.vocabulary import ClassEmbeddings
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
    self_words,
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
    """A point encoder and the learned maps of Eq. 2: gives the loss of a batch.

    Args:
        encoder: what is pretrained; its network has a ``trunk`` and a linear ``head``.
        words: the classes that pixels are told apart by.
        options: what is minimised.
        steps: how many there will be.
        seed: seed of the run; it decides in which steps self-training switches.
        dtype: of the features inside the network: bfloat16 for mixed precision.
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
        self._mentor: list[Clip2Scene] = []
        self.register_buffer("word_vectors", torch.from_numpy(words.vectors), persistent=False)
        classes = torch.from_numpy(words.class_of_vector.astype("int64"))
        self.register_buffer("class_of_word", classes, persistent=False)
        if options.heads == "separate":
            head = self._head
            self.point_map = nn.Linear(head.in_features, head.out_features)
            self.pixel_map = nn.Linear(head.out_features, head.out_features, bias=False)
            # Pixels start in the space of the words that weigh them.
            nn.init.eye_(self.pixel_map.weight)

    def follow(self, mentor: nn.Module) -> None:
        """Take the own words of another learner, kept in evaluation mode: the weights' average.

        Raises:
            UsageError: E_CONFIG: it is this learner, as no average is kept.
        """
        if mentor is self:
            fault = "'average' needs an average of the weights, and none is kept"
            remedy = "Set optimizer.average_decay=0.998."
            raise UsageError("E_CONFIG", "loss.own_words", fault, remedy)
        # In a list, or it would be a part of this network.
        self._mentor = [cast(Clip2Scene, mentor.eval())]

    def forward(self, batch: PosedBatch, done: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, (), and its parts.

        Args:
            batch: on the network's device.
            done: how many steps were done before.
        """
        trunk = self._trunk(batch)
        pairs, loss = self._semantic(trunk, batch, done)
        semantic = self.options.semantic_weight * loss
        consistency = self.options.consistency_weight * self._consistency(trunk, pairs, batch)
        agree = (self_words(pairs.vectors, self._words) == batch.pair_word).float()
        return semantic + consistency, {
            "semantic": semantic,
            "consistency": consistency,
            "agreement": agree.sum() / max(1, len(agree)),
        }

    def pair_vectors(self, batch: PosedBatch) -> Tensor:
        """(P, D) float32, unit length: the vector of every pair's point."""
        raw = self._head(self._trunk(batch)[batch.pair_row])
        return functional.normalize(raw.float(), dim=1, eps=1e-6)

    @property
    def _words(self) -> Words:
        return Words(self.word_vectors, self.class_of_word)

    @property
    def _head(self) -> nn.Linear:
        return cast(nn.Linear, self.encoder.network.head)

    def _trunk(self, batch: PosedBatch) -> Tensor:
        """(M, C): what the heads read."""
        voxels = batch.voxels.with_feats(batch.voxels.feats.to(self._dtype))
        plan = Plan(voxels.cells, self.encoder.backend)
        run = cast(Callable[..., Tensor], self.encoder.network.trunk)
        return run(voxels, plan).float()

    def _semantic(self, trunk: Tensor, batch: PosedBatch, done: int) -> tuple[Pairs, Tensor]:
        options, words = self.options, self._words
        started = done >= self._start
        rows, image_words, pixels = batch.pair_row, batch.pair_word, batch.pixels
        if options.unseen and started:
            rows = torch.cat((rows, batch.unseen_row))
            image_words = functional.pad(image_words, (0, len(batch.unseen_row)), value=NO_WORD)
        raw = self._head(trunk[rows])
        own = self._own_words(raw, batch, rows) if started else image_words
        word = choose_words(
            image_words,
            own,
            mode=options.self_training,
            started=started,
            coin=_coin(self._seed, done) if started else 0.0,
            unseen=options.unseen,
        )
        seen = raw[: len(batch.pair_row)]
        if options.semantic in ("kl", "cosine"):
            pairs = Pairs(seen, word[: len(seen)], pixels)
            loss = semantic_loss(options.semantic, pairs, words, temperature=options.temperature)
        else:
            every = Pairs(raw, word)
            loss = semantic_loss(options.semantic, every, words, temperature=options.temperature)
        return Pairs(seen, word[: len(seen)], pixels), loss

    @torch.no_grad()
    def _own_words(self, raw: Tensor, batch: PosedBatch, rows: Tensor) -> Tensor:
        if self.options.own_words == "average":
            mentor = self._mentor[0]
            raw = mentor._head(mentor._trunk(batch)[rows])
        return self_words(functional.normalize(raw, dim=1), self._words)

    def _consistency(self, trunk: Tensor, pairs: Pairs, batch: PosedBatch) -> Tensor:
        options = self.options
        if options.consistency == "none" or options.consistency_weight == 0:
            return 0 * pairs.raw.sum()
        members = trunk[batch.member_row]
        if options.heads == "separate":
            points, pixels = self.point_map(members), self.pixel_map(batch.pixels)
        else:
            points, pixels = self._head(members), batch.pixels
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


def _coin(seed: int, done: int) -> float:
    """A random number in [0, 1) for one step, the same in every process and after a resume."""
    return float(np.random.default_rng((seed, done)).random())
