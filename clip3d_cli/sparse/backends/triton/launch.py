"""Block sizes for the Triton kernels, and their launches.

Sizes come from a fixed table instead of a search at run time: a search would compile and time
dozens of kernels whenever a channel count is new, a minute before the first answer, and its
choice, and with it the last bits of the answer, would differ from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Epilogue, Precision
from clip3d_cli.sparse.backends.triton import kernels as triton_kernels
from clip3d_cli.sparse.backends.triton.maps import Blocks, beside

# Enough to occupy the largest GPUs; a constant, so that sums do not depend on the GPU.
_GRADIENT_PROGRAMS = 1024
# Fewer leave parts of a large GPU idle: then programs are made smaller and more.
FEW_PROGRAMS = 256
_NO_EPILOGUE = Epilogue()


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program computes: ``width`` columns, ``depth`` channels or rows at a time.

    Of five stages two gathers are under way: row numbers are read two stages before the rows.
    """

    width: int
    depth: int
    warps: int
    stages: int = 5

    @property
    def options(self) -> dict[str, int | bool]:
        """How Triton compiles a program of this size."""
        # Fusion is named because Triton is about to change its default.
        return {
            "num_warps": self.warps,
            "num_stages": self.stages,
            "enable_fp_fusion": True,
        }


def multiplied_dtype(feats: torch.dtype, precision: Precision) -> torch.dtype:
    """In what dtype features and weights meet: that of features, unless ``fast`` asks for less."""
    return torch.bfloat16 if precision == "fast" and feats == torch.float32 else feats


def dot_precision(dtype: torch.dtype, precision: Precision) -> str:
    """How Triton multiplies float32; half precision knows but one way."""
    return "tf32" if dtype == torch.float32 and precision != "exact" else "ieee"


def convolution_tile(
    shape: tuple[int, int], channels: tuple[int, ...], out: int, kind: str
) -> Tile:
    """The tile of `convolve_blocks`.

    At most 64 sums a thread and 99 kB of shared memory, which every GPU since Ampere has. The
    order in which a row is summed depends on channels only, never on how many rows there are.

    Args:
        shape: how many blocks there are, and their rows.
        channels: of every tensor of features.
        out: channels of the result.
        kind: ``half``, ``tf32`` or ``ieee``.
    """
    (blocks, height), ieee = shape, kind == "ieee"
    few = blocks * -(-out // 128) < FEW_PROGRAMS
    width = _fitting(out, 64 if ieee or few else 128)
    if kind == "half" and all(count % 64 == 0 for count in channels):
        depth = 64
    else:
        depth = _fitting(max(channels), 16 if ieee else 32)
    return Tile(width, depth, warps=8 if height * width > (4096 if ieee else 8192) else 4)


def gradient_tile(height: int, channels: int, out: int, kind: str) -> tuple[int, Tile]:
    """The tile of `weight_gradient`: how many channels of features, and the rest."""
    most = 64 if kind == "ieee" else 128
    tall, width = _fitting(channels, most), _fitting(out, most)
    depth = min(height, 64 if kind == "half" else 32)
    # Two stages more: row numbers in turn wait for the numbers of their blocks.
    return tall, Tile(width, depth, warps=8 if tall * width > 8192 else 4, stages=7)


def convolve(
    blocks: Blocks,
    parts: tuple[Tensor, ...],
    weight: Tensor,
    precision: Precision,
    epilogue: Epilogue | None = None,
    *,
    mirrored: bool = False,
) -> Tensor:
    """The convolved rows: see `Backend.convolve`.

    Args:
        blocks: the map.
        parts: one or two, (sources, C each).
        weight: (K, sum of C, Cout), of any strides.
        precision: of products; sums are float32.
        epilogue: done to every row.
        mirrored: the offsets of ``weight`` run the other way.

    Returns:
        (rows, Cout), of the features' dtype.
    """
    first, second = parts[0], parts[1] if len(parts) > 1 else None
    offsets, _, out = weight.shape
    result = first.new_empty((blocks.rows, out))
    if not result.numel():
        return result
    weight = weight.to(multiplied_dtype(first.dtype, precision))
    dot = dot_precision(weight.dtype, precision)
    count, height = blocks.targets.shape
    channels = tuple(part.shape[1] for part in parts)
    tile = convolution_tile((count, height), channels, out, _kind(weight.dtype, dot))
    fused = epilogue or _NO_EPILOGUE
    with beside(result):
        triton_kernels.convolve_blocks[(count * -(-out // tile.width),)](
            first,
            first.stride(0),
            channels[0],
            second,
            0 if second is None else second.stride(0),
            0 if second is None else channels[1],
            weight,
            *weight.stride(),
            result,
            out,
            blocks.targets,
            blocks.neighbours,
            blocks.offsets,
            blocks.counts,
            fused.scale,
            fused.shift,
            fused.residual,
            0 if fused.residual is None else fused.residual.stride(0),
            OFFSETS=offsets,
            MIRRORED=mirrored,
            RELU=fused.relu,
            PRECISION=dot,
            HEIGHT=height,
            WIDTH=tile.width,
            DEPTH=tile.depth,
            **tile.options,
        )
    return result


def weight_gradient(
    blocks: Blocks, parts: tuple[Tensor, ...], grad: Tensor, precision: Precision
) -> Tensor:
    """(K, sum of C, Cout) float32: for every offset, the sum over pairs of featsᵀ grad.

    Always deterministic: partial sums go to a buffer, which is summed in a fixed order.
    """
    count, offsets = blocks.offsets.shape
    channels, out = sum(part.shape[1] for part in parts), grad.shape[1]
    if not count:
        return grad.new_zeros((offsets, channels, out), dtype=torch.float32)
    kind = multiplied_dtype(grad.dtype, precision)
    height = blocks.targets.shape[1]
    slots, slot_counts = blocks.by_offset
    tall, tile = gradient_tile(height, parts[0].shape[1], out, _kind(kind, "tf32"))
    tiles = -(-channels // tall) * -(-out // tile.width)
    splits = max(1, min(count, _GRADIENT_PROGRAMS // (offsets * tiles)))
    partial = grad.new_empty((splits, offsets, channels, out), dtype=torch.float32)
    begin = 0
    for part in parts:
        place = partial[:, :, begin:]
        begin += part.shape[1]
        grid = (-(-part.shape[1] // tall) * -(-out // tile.width), offsets, splits)
        with beside(partial):
            triton_kernels.weight_gradient[grid](
                part,
                part.stride(0),
                part.shape[1],
                grad,
                grad.stride(0),
                out,
                place,
                channels,
                blocks.targets,
                blocks.neighbours,
                slots,
                slot_counts,
                count,
                splits,
                OFFSETS=offsets,
                HALF=kind != torch.float32,
                PRECISION=dot_precision(kind, precision),
                HEIGHT=height,
                WIDTH_IN=tall,
                WIDTH_OUT=tile.width,
                DEPTH=tile.depth,
                **tile.options,
            )
    return partial[0] if splits == 1 else partial.sum(0)


def _kind(dtype: torch.dtype, dot: str) -> str:
    return dot if dtype == torch.float32 else "half"


def _fitting(count: int, most: int) -> int:
    """The power of two that holds ``count``, between 16, the least tl.dot takes, and ``most``."""
    return min(most, max(16, 1 << (count - 1).bit_length()))
