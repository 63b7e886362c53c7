"""Point encoder in PyTorch: a network with its specification, on any device and backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.scoring import BACKGROUND_LEAD, ClassQuery, RankedClasses
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.sparse.backend import Backend
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

_CPU_ROWS, _GPU_ROWS = 1 << 14, 1 << 18
# Largest number of similarities that are in memory at once.
_SIMILARITIES = 1 << 25
_MIN_VOXELS = 500_000
# Measured on CPUs: about 2 kB of features and, in clip3d's space, 2 kB of vectors.
_BYTES_PER_VOXEL = 4096
_SHARE_OF_FREE_MEMORY = 0.6
_MIN_LENGTH = 1e-6


class PointEncoder(nn.Module):
    """Computes a unit vector in the text space for every voxel, or logits of a closed head.

    Args:
        spec: specification of the network.
        network: network of that specification; with new, random weights if not given.
        backend: computes the convolutions, in its precision; plain PyTorch by default.
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
        self.network = _new_network(spec) if network is None else network
        self.backend = backend

    @property
    def space(self) -> FeatureSpace:
        """Space of the results."""
        return self.spec.space

    @property
    def voxel_sizes_m(self) -> tuple[float, ...]:
        """Edges of the voxels it was trained with, metres."""
        return self.spec.voxel_sizes_m

    @property
    def max_voxels(self) -> int:
        """Number of voxels to compute at once: on a CPU in about 2 GB, on a GPU in free memory.

        Small tiles leave a GPU idle, so it gets as many voxels as fit.
        """
        device = next(self.parameters()).device
        if device.type != "cuda":
            return _MIN_VOXELS
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return max(_MIN_VOXELS, int(_SHARE_OF_FREE_MEMORY * free_bytes / _BYTES_PER_VOXEL))

    @property
    def stride(self) -> int:
        """Edge of the coarsest cells in voxels: a shift by a multiple of it shifts the results."""
        return int(self.network.stride)  # type: ignore[arg-type]

    @property
    def reach(self) -> int:
        """Radius of the receptive field in voxels: an input farther away changes nothing."""
        return int(self.network.reach)  # type: ignore[arg-type]

    def forward(self, tensor: SparseTensor) -> Tensor:
        """Return a vector for every voxel, in the order of the tensor's rows.

        Args:
            tensor: M voxels at stride 1, of one cloud or a batch, with the C channels that
                ``spec.inputs`` names.

        Returns:
            (M, D) float32 unit vectors; with a closed head the logits of its D classes.

        Raises:
            InputError: E_VOXEL_RANGE, a cell that no key can hold.
            ValueError: another number of channels.
        """
        if tensor.feats.shape[1] != len(self.spec.inputs):
            raise ValueError(
                f"the encoder takes {len(self.spec.inputs)} channels "
                f"({', '.join(self.spec.inputs)}), not {tensor.feats.shape[1]}"
            )
        plan = Plan(tensor.cells, self.backend)
        if not self.training:
            tensor = tensor.with_feats(tensor.feats.to(plan.backend.dtype))
        if self.spec.head == "closed":
            return self._logits(tensor, plan)
        feats = self.network(tensor, plan).float()
        # (M, D) is the largest tensor of all: without gradients it is normalized in place.
        in_place = not torch.is_grad_enabled() and feats is not tensor.feats
        return F.normalize(feats, dim=1, eps=_MIN_LENGTH, out=feats if in_place else None)

    def embed(
        self, cells: npt.NDArray[np.int32], channels: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the unit vector of every voxel in the text space.

        Args:
            cells: (M, 3) int32, sorted by x, then y, then z; unique.
            channels: (M, C) float32, the channels that ``spec.inputs`` names.

        Returns:
            (M, D) float32, unit length, in the order of ``cells``.

        Raises:
            InputError: E_VOXEL_RANGE, a cell that no key can hold.
            ValueError: another number of channels, or the encoder was opened with its closed head.
        """
        self.spec.require_text_head()
        with torch.inference_mode():
            vectors: npt.NDArray[np.float32] = self(self._tensor(cells, channels)).cpu().numpy()
        return vectors

    def classify(
        self, cells: npt.NDArray[np.int32], channels: npt.NDArray[np.float32], query: ClassQuery
    ) -> RankedClasses:
        """Return the best classes of every voxel: see `VoxelEncoder`."""
        with torch.inference_mode():
            vectors = self(self._tensor(cells, channels))
            if self.spec.head == "closed":
                return choose(vectors, query, self.spec.logit_scale)
            return compare(vectors, query, self.spec.logit_scale)

    def _tensor(
        self, cells: npt.NDArray[np.int32], channels: npt.NDArray[np.float32]
    ) -> SparseTensor:
        """Return voxels of one cloud as a sparse tensor on the encoder's device."""
        with_batch = torch.zeros((len(cells), 4), dtype=torch.int32)
        with_batch[:, 1:] = torch.from_numpy(cells)
        device = next(self.parameters()).device
        return SparseTensor(with_batch, torch.from_numpy(channels)).to(device)

    def _logits(self, tensor: SparseTensor, plan: Plan) -> Tensor:
        """Return (M, D) float32 logits.

        The head is always computed in float32: in half precision the greatest logits of a voxel
        are often equal.
        """
        network: Any = self.network
        feats = network.trunk(tensor, plan)
        head: nn.Linear = network.head
        return F.linear(feats.float(), head.weight.float(), head.bias.float())


def choose(logits: Tensor, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank the classes of a closed head on the device of the logits, as `rank_by_logits` in numpy.

    Args:
        logits: (M, D) float32, of all classes of the head.
        query: the K classes to rank. A score is the class's probability in the softmax over
            all D classes.
        logit_scale: factor of the logits before the softmax.
    """
    # By index, not by a product with the one-hot rows, which a GPU may compute in TF32.
    columns = torch.from_numpy(query.columns).to(logits.device)
    index = logits[:, columns].topk(query.width, dim=1).indices
    score = torch.softmax(logits * logit_scale, dim=1).gather(1, columns[index])
    fits = np.ones(len(logits), bool)  # a closed head has no "none of these"
    return RankedClasses(index.int().cpu().numpy(), score.cpu().numpy(), fits)


def compare(vectors: Tensor, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank the classes of voxels on the device of the vectors, as `rank_by_similarity` in numpy.

    Args:
        vectors: (M, D) float32, unit length.
        query: the words of K classes, and of the background.
        logit_scale: factor of the similarities before the softmax.
    """
    words = torch.from_numpy(query.words).to(vectors.device)
    words_of_class = _words_of_class(query).to(vectors.device)
    ranking = torch.empty(len(vectors), query.width, dtype=torch.int32, device=vectors.device)
    score = torch.empty(len(vectors), query.width, device=vectors.device)
    fits = torch.empty(len(vectors), dtype=torch.bool, device=vectors.device)
    most = _CPU_ROWS if vectors.device.type == "cpu" else _GPU_ROWS
    # words_of_class is padded to the class with the most words: with very many the number of rows
    # has to be smaller.
    rows = max(1, min(most, _SIMILARITIES // words_of_class.numel()))
    done = 0
    for chunk in torch.split(vectors, rows):
        # (rows, W) → (rows, K, S) → (rows, K): the similarity to the nearest word of each class.
        similarity = chunk @ words.T
        nearest = similarity[:, words_of_class].amax(dim=2)
        best, index = nearest.topk(query.width, dim=1)
        # The class "none of these" has similarity 0 to everything.
        logits = F.pad(nearest * logit_scale, (1, 0))
        part = slice(done, done + len(chunk))
        ranking[part] = index
        score[part] = (best * logit_scale - torch.logsumexp(logits, dim=1, keepdim=True)).exp()
        fits[part] = torch.logsumexp(logits[:, 1:], dim=1) > 0
        if query.background:
            rival = similarity[:, query.class_words :].amax(dim=1) * logit_scale
            fits[part] &= rival <= best[:, 0] * logit_scale + math.log(BACKGROUND_LEAD)
        done += len(chunk)
    # Copied once, because every copy waits until the device is done.
    return RankedClasses(ranking.cpu().numpy(), score.cpu().numpy(), fits.cpu().numpy())


def _words_of_class(query: ClassQuery) -> Tensor:
    """Return (K, S) int64 rows of each class's words; the first word fills up shorter lists."""
    first = query.first_word
    count = np.diff(first, append=query.class_words)
    position = np.arange(count.max())
    return torch.from_numpy(first[:, None] + np.where(position < count[:, None], position, 0))


def _new_network(spec: EncoderSpec) -> nn.Module:
    network: nn.Module = registry.load("point_encoders", spec.architecture)(
        len(spec.inputs), spec.space.dim, **spec.config
    )
    return network
