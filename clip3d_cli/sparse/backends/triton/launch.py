"""Launches of the Triton kernels, and the block sizes they are compiled for.

Sizes come from a fixed table, not from a search at run time (autotuning). A search would compile
and time dozens of kernels for every new number of channels, about a minute before the first
result, and its choice, and so the last bits of the results, would differ from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Epilogue, Precision
from clip3d_cli.sparse.backends.triton import kernels as triton_kernels
from clip3d_cli.sparse.backends.triton.maps import Blocks, on_device_of

# Enough programs to occupy the largest GPUs. A constant, so that sums do not depend on the GPU.
_GRADIENT_PROGRAMS = 1024
# With fewer programs parts of a large GPU are idle; then programs are made narrower and more.
FEW_PROGRAMS = 256
_NO_EPILOGUE = Epilogue()


@dataclass(frozen=True, slots=True)
class Tile:
    """Size of what one program computes.

    Attributes:
        width: columns of the result.
        depth: channels (or, for gradients, rows) that are multiplied at a time.
        warps: warps of 32 threads.
        stages: stages of the software pipeline. With five, two gathers of rows are under way at
            once: row numbers are loaded two stages before the rows.
    """

    width: int
    depth: int
    warps: int
    stages: int = 5

    @property
    def compile_options(self) -> dict[str, int | bool]:
        """Options with which Triton compiles a program of this size."""
        return {
            "num_warps": self.warps,
            "num_stages": self.stages,
            # Named because the default differs between versions of Triton.
            "enable_fp_fusion": True,
        }


def multiplied_dtype(feats: torch.dtype, precision: Precision) -> torch.dtype:
    """Return the dtype in which features are multiplied: bfloat16 for float32 in ``fast``."""
    return torch.bfloat16 if precision == "fast" and feats == torch.float32 else feats


def dot_precision(dtype: torch.dtype, precision: Precision) -> str:
    """Return Triton's ``input_precision``; it matters for float32 only."""
    return "tf32" if dtype == torch.float32 and precision != "exact" else "ieee"


def convolution_tile(
    shape: tuple[int, int], channels: tuple[int, ...], out: int, kind: str
) -> Tile:
    """Return the tile of `convolve_blocks`.

    A thread holds at most 64 sums, and a program 99 kB of shared memory, which every GPU since
    Ampere has. The order in which a row is summed depends on the channels only, never on the
    number of rows.

    Args:
        shape: number of blocks, and rows of a block.
        channels: channels of every tensor of features.
        out: channels of the result.
        kind: how products are computed: ``half``, ``tf32`` or ``ieee``.
    """
    (blocks, height), ieee = shape, kind == "ieee"
    few = blocks * -(-out // 128) < FEW_PROGRAMS
    width = _power_of_two(out, 64 if ieee or few else 128)
    if kind == "half" and all(count % 64 == 0 for count in channels):
        depth = 64
    else:
        depth = _power_of_two(max(channels), 16 if ieee else 32)
    return Tile(width, depth, warps=8 if height * width > (4096 if ieee else 8192) else 4)


def gradient_tile(height: int, channels: int, out: int, kind: str) -> tuple[int, Tile]:
    """Return the tile of `weight_gradient`.

    Args:
        height: rows of a block.
        channels: channels of the features.
        out: channels of the gradient of the result.
        kind: how products are computed: ``half``, ``tf32`` or ``ieee``.

    Returns:
        Number of input channels of a program, and the rest of the tile.
    """
    most = 64 if kind == "ieee" else 128
    width_in, width = _power_of_two(channels, most), _power_of_two(out, most)
    depth = min(height, 64 if kind == "half" else 32)
    # Two stages more than a convolution: row numbers in turn wait for the numbers of their blocks.
    return width_in, Tile(width, depth, warps=8 if width_in * width > 8192 else 4, stages=7)


def convolve(
    blocks: Blocks,
    parts: tuple[Tensor, ...],
    weight: Tensor,
    precision: Precision,
    epilogue: Epilogue | None = None,
    *,
    mirrored: bool = False,
) -> Tensor:
    """Return the convolved rows: see `Backend.convolve`.

    Args:
        blocks: the map, in the direction to compute.
        parts: one or two tensors, (source rows, C) each, whose columns are side by side.
        weight: (K, sum of C, Cout), of any strides.
        precision: precision of the products; sums are float32.
        epilogue: applied to every row.
        mirrored: whether the offsets of ``weight`` are in the reverse order of the map's.

    Returns:
        (target rows, Cout), of the dtype of the features.
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
    tile = convolution_tile((count, height), channels, out, _product_kind(weight.dtype, dot))
    fused = epilogue or _NO_EPILOGUE
    # One program per block of rows and per ``tile.width`` columns of the result.
    grid = (count * -(-out // tile.width),)
    with on_device_of(result):
        triton_kernels.convolve_blocks[grid](
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
            **tile.compile_options,
        )
    return result


def weight_gradient(
    blocks: Blocks, parts: tuple[Tensor, ...], grad: Tensor, precision: Precision
) -> Tensor:
    """Return the sum over the pairs of every offset of featsᵀ @ grad.

    Deterministic: partial sums go to a buffer, which is summed in a fixed order; no atomics.

    Args:
        blocks: the map, in the direction of the forward pass.
        parts: features, (source rows, C) each, whose columns are side by side.
        grad: (target rows, Cout), gradient of the result.
        precision: precision of the products; sums are float32.

    Returns:
        (K, sum of C, Cout) float32.
    """
    count, offsets = blocks.offsets.shape
    channels, out = sum(part.shape[1] for part in parts), grad.shape[1]
    if not count:
        return grad.new_zeros((offsets, channels, out), dtype=torch.float32)
    dtype = multiplied_dtype(grad.dtype, precision)
    height = blocks.targets.shape[1]
    slots, slot_counts = blocks.by_offset
    width_in, tile = gradient_tile(height, parts[0].shape[1], out, _product_kind(dtype, "tf32"))
    tiles = -(-channels // width_in) * -(-out // tile.width)
    # The blocks of an offset are divided among so many programs; each writes its own partial sums.
    splits = max(1, min(count, _GRADIENT_PROGRAMS // (offsets * tiles)))
    partial = grad.new_empty((splits, offsets, channels, out), dtype=torch.float32)
    begin = 0
    for part in parts:
        # (splits, K, from this part's channels on, Cout).
        part_sums = partial[:, :, begin:]
        begin += part.shape[1]
        grid = (-(-part.shape[1] // width_in) * -(-out // tile.width), offsets, splits)
        with on_device_of(partial):
            triton_kernels.weight_gradient[grid](
                part,
                part.stride(0),
                part.shape[1],
                grad,
                grad.stride(0),
                out,
                part_sums,
                channels,
                blocks.targets,
                blocks.neighbours,
                slots,
                slot_counts,
                count,
                splits,
                OFFSETS=offsets,
                HALF=dtype != torch.float32,
                PRECISION=dot_precision(dtype, precision),
                HEIGHT=height,
                WIDTH_IN=width_in,
                WIDTH_OUT=tile.width,
                DEPTH=tile.depth,
                **tile.compile_options,
            )
    return partial[0] if splits == 1 else partial.sum(0)


def _product_kind(dtype: torch.dtype, dot: str) -> str:
    return dot if dtype == torch.float32 else "half"


def _power_of_two(count: int, most: int) -> int:
    """Return the power of two at or above ``count``, from 16 (which tl.dot needs) to ``most``."""
    return min(most, max(16, 1 << (count - 1).bit_length()))
