"""A point network together with what must be known to use it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.scoring import ClassQuery, RankedClasses
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.sparse.backend import Backend
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

_CPU_ROWS, _GPU_ROWS = 1 << 14, 1 << 18
_SIMILARITIES = 1 << 25
_LEAST_VOXELS = 500_000
# Measured on CPUs: about 2 kB of features and, in clip3d's space, 2 kB of vectors.
_BYTES_A_VOXEL = 4096
_SHARE_OF_FREE = 0.6


class PointEncoder(nn.Module):
    """Gives every voxel a unit vector in a text space, or the logits of a closed head.

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
        self.network = _fresh_network(spec) if network is None else network
        self.backend = backend

    @property
    def space(self) -> FeatureSpace:
        """Where the answers live."""
        return self.spec.space

    @property
    def voxel_sizes_m(self) -> tuple[float, ...]:
        """The voxel edges it was trained at, metres."""
        return self.spec.voxel_sizes_m

    @property
    def max_voxels(self) -> int:
        """How many voxels it takes at once: on a CPU in two gigabytes, on a GPU in what is free.

        A GPU starves on small tiles: it is given as much as it holds.
        """
        device = next(self.parameters()).device
        if device.type != "cuda":
            return _LEAST_VOXELS
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return max(_LEAST_VOXELS, int(_SHARE_OF_FREE * free_bytes / _BYTES_A_VOXEL))

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

        Through a closed head (``spec.head``) they are the logits of its D classes instead.

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
        if self.spec.head == "closed":
            return self._logits(tensor, plan)
        feats = self.network(tensor, plan).float()
        # 512 channels of every voxel are the most that is ever held: not twice.
        in_place = not torch.is_grad_enabled() and feats is not tensor.feats
        return F.normalize(feats, dim=1, eps=1e-6, out=feats if in_place else None)

    def classify(
        self, cells: npt.NDArray[np.int32], channels: npt.NDArray[np.float32], query: ClassQuery
    ) -> RankedClasses:
        """The nearest classes of every voxel: see `VoxelEncoder`."""
        batched = torch.zeros((len(cells), 4), dtype=torch.int32)
        batched[:, 1:] = torch.from_numpy(cells)
        device = next(self.parameters()).device
        with torch.inference_mode():
            vectors = self(SparseTensor(batched, torch.from_numpy(channels)).to(device))
            if self.spec.head == "closed":
                return choose(vectors, query, self.spec.logit_scale)
            return compare(vectors, query, self.spec.logit_scale)

    def embed(
        self, cells: npt.NDArray[np.int32], channels: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return a unit vector for every voxel: see `VoxelEncoder`."""
        if self.spec.head == "closed":
            raise ValueError("a closed head has no vectors in the text space")
        batched = torch.zeros((len(cells), 4), dtype=torch.int32)
        batched[:, 1:] = torch.from_numpy(cells)
        device = next(self.parameters()).device
        with torch.inference_mode():
            vectors: npt.NDArray[np.float32] = (
                self(SparseTensor(batched, torch.from_numpy(channels)).to(device)).cpu().numpy()
            )
        return vectors

    def _logits(self, tensor: SparseTensor, plan: Plan) -> Tensor:
        """(M, D) float32: the head in float32 always, for halves often tie near the top."""
        network: Any = self.network
        feats = network.trunk(tensor, plan)
        head: nn.Linear = network.head
        return F.linear(feats.float(), head.weight.float(), head.bias.float())


def choose(logits: Tensor, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank a closed head's classes on the logits' device; as `rank_by_logits` does in numpy.

    Args:
        logits: (M, D) float32, of all classes of the head.
        query: K of them; a score is the share of each in the softmax over all D.
        logit_scale: what the logits are multiplied by before the softmax.
    """
    # By index, not by a product with the one-hot rows, which a GPU may round.
    columns = torch.from_numpy(query.columns).to(logits.device)
    index = logits[:, columns].topk(query.width, dim=1).indices
    score = torch.softmax(logits * logit_scale, dim=1).gather(1, columns[index])
    return RankedClasses(index.int().cpu().numpy(), score.cpu().numpy())


def compare(vectors: Tensor, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank the classes of every voxel on the vectors' device; as `rank` does in numpy.

    Args:
        vectors: (M, D) float32, unit length.
        query: the words.
        logit_scale: turns similarity into scores.
    """
    words = torch.from_numpy(query.words).to(vectors.device)
    words_of_class = _words_of_class(query).to(vectors.device)
    ranking = torch.empty(len(vectors), query.width, dtype=torch.int32, device=vectors.device)
    score = torch.empty(len(vectors), query.width, device=vectors.device)
    most = _CPU_ROWS if vectors.device.type == "cpu" else _GPU_ROWS
    # Many words for one class among many would pad the others to as many.
    rows = max(1, min(most, _SIMILARITIES // words_of_class.numel()))
    done = 0
    for chunk in torch.split(vectors, rows):
        nearest = (chunk @ words.T)[:, words_of_class].amax(dim=2)
        best, index = nearest.topk(query.width, dim=1)
        # The class "none of these" has similarity 0 to everything.
        logits = F.pad(nearest * logit_scale, (1, 0))
        here = slice(done, done + len(chunk))
        ranking[here] = index
        score[here] = (best * logit_scale - torch.logsumexp(logits, dim=1, keepdim=True)).exp()
        done += len(chunk)
    # One wait for the device, not one a chunk.
    return RankedClasses(ranking.cpu().numpy(), score.cpu().numpy())


def _words_of_class(query: ClassQuery) -> Tensor:
    """(K, S) int64: the rows of each class's words; short rows repeat their first word."""
    first = query.first_word
    count = np.diff(first, append=len(query.words))
    place = np.arange(count.max())
    return torch.from_numpy(first[:, None] + np.where(place < count[:, None], place, 0))


def _fresh_network(spec: EncoderSpec) -> nn.Module:
    network: nn.Module = registry.load("point_encoders", spec.architecture)(
        len(spec.inputs), spec.space.dim, **spec.config
    )
    return network
