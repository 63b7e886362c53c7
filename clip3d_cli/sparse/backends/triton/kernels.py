# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
# ruff: noqa: PLR0913, N803, N806 - kernels take pointers and strides; constants are upper case
"""The GPU kernels of the Triton backend: maps, convolution, gradient of the weights.

Every kernel writes each number once, by one program, in an order that does not depend on how
programs are scheduled: no atomics, so the same bits come out of every run.

Row numbers are int32; offsets into features are computed in int64, as a large cloud's features
hold more than 2³¹ numbers.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows", "first_step"])
def find_neighbours(
    keys,
    table,
    ranks,
    rows,
    first_step,
    step_x,
    step_y,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Fill ``table`` (SIZE³, rows) with the row of every neighbour, −1 where there is none.

    One binary search a column of the kernel: in key order its cells lie side by side.
    ``first_step`` is the largest power of two up to ``rows``. ``ranks`` (rows,) gets the place
    in Gray-code order of the set of neighbours (of columns that hold any, for SIZE 5), so that
    rows sorted by it see nearly the same offsets as those beside them. The far neighbours, which
    are the rarest, decide first: blocks of 64 rows of a scan then meet a tenth fewer offsets.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = row < rows
    key = tl.load(keys + row, mask=here, other=0)
    seen = tl.zeros((BLOCK,), tl.int32)
    # The next free bit for the middle, the faces, the edges and the corners, a byte each.
    free_bits = 0 + (1 << 8) + (7 << 16) + (19 << 24)
    for column in range(SIZE * SIZE):
        dx, dy = column // SIZE - SIZE // 2, column % SIZE - SIZE // 2
        wanted = key + (dx * step_x + dy * step_y - SIZE // 2)
        place = tl.zeros((BLOCK,), tl.int64)
        step = first_step
        while step > 0:
            ahead = place + step
            inside = here & (ahead <= rows)
            below = inside & (tl.load(keys + (ahead - 1), mask=inside, other=0) < wanted)
            place = tl.where(below, ahead, place)
            step = step // 2
        for along in tl.static_range(SIZE):
            inside = here & (place < rows)
            found = inside & (tl.load(keys + place, mask=inside, other=0) == wanted + along)
            offset = column * SIZE + along
            answer = tl.where(found, place, -1).to(tl.int32)
            tl.store(table + rows.to(tl.int64) * offset + row, answer, mask=here)
            place += found.to(tl.int64)
            bit = column
            if SIZE == 3:
                far = dx * dx + dy * dy + (along - 1) * (along - 1)
                bit = (free_bits >> (8 * far)) & 255
                free_bits += 1 << (8 * far)
            seen |= found.to(tl.int32) << bit
    seen ^= seen >> 1
    seen ^= seen >> 2
    seen ^= seen >> 4
    seen ^= seen >> 8
    seen ^= seen >> 16
    tl.store(ranks + row, seen, mask=here)


@triton.jit(do_not_specialize=["rows"])
def arrange_blocks(
    table,
    order,
    rows,
    targets,
    neighbours,
    offsets,
    counts,
    OFFSETS: tl.constexpr,
    HEIGHT: tl.constexpr,
):
    """Cut rows in the order ``order`` into blocks, each with the offsets that occur in it.

    A block b has ``targets`` (HEIGHT) rows, −1 after the last, and ``counts[b]`` offsets; the
    s-th of them is ``offsets[b, s]``, with the source rows ``neighbours[b, s]`` (HEIGHT).
    """
    block = tl.program_id(0).to(tl.int64)
    inner = tl.arange(0, HEIGHT)
    place = block * HEIGHT + inner
    here = place < rows
    target = tl.load(order + place, mask=here, other=-1)
    tl.store(targets + place, target.to(tl.int32))
    count = 0
    for offset in range(OFFSETS):
        source = tl.load(table + rows.to(tl.int64) * offset + target, mask=here, other=-1)
        if tl.max(source, axis=0) >= 0:
            slot = block * OFFSETS + count
            tl.store(neighbours + slot * HEIGHT + inner, source)
            tl.store(offsets + slot, offset)
            count += 1
    tl.store(counts + block, count)


@triton.jit
def _add_products(
    sums,
    feats,
    feats_stride,
    channels_in,
    weight,
    weight_strides,
    channels_out,
    columns,
    block,
    lists,
    OFFSETS: tl.constexpr,
    HEIGHT: tl.constexpr,
    DEPTH: tl.constexpr,
    MIRRORED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``sums`` (HEIGHT, columns) + what one tensor of features adds to the rows of a block."""
    neighbours, offsets, counts = lists
    stride_offset, stride_in, stride_out = weight_strides
    inner = tl.arange(0, HEIGHT)
    chunks = tl.cdiv(channels_in, DEPTH)
    # One loop over offsets and chunks: only then are loads of the next offset under way early.
    for step in range(tl.load(counts + block) * chunks):
        slot = block * OFFSETS + step // chunks
        depth = (step % chunks) * DEPTH + tl.arange(0, DEPTH)
        source = tl.load(neighbours + slot * HEIGHT + inner)
        left = tl.load(
            feats + source.to(tl.int64)[:, None] * feats_stride + depth[None, :],
            mask=(source >= 0)[:, None] & (depth < channels_in)[None, :],
            other=0.0,
        )
        offset = tl.load(offsets + slot)
        if MIRRORED:
            offset = OFFSETS - 1 - offset
        right = tl.load(
            weight
            + offset.to(tl.int64) * stride_offset
            + depth[:, None] * stride_in
            + columns[None, :] * stride_out,
            mask=(depth < channels_in)[:, None] & (columns < channels_out)[None, :],
            other=0.0,
        )
        sums = tl.dot(left.to(right.dtype), right, sums, input_precision=PRECISION)
    return sums


@triton.jit
def convolve_blocks(
    first,
    first_stride,
    first_channels,
    second,
    second_stride,
    second_channels,
    weight,
    stride_offset,
    stride_in,
    stride_out,
    result,
    channels_out,
    targets,
    neighbours,
    offsets,
    counts,
    scale,
    shift,
    residual,
    residual_stride,
    OFFSETS: tl.constexpr,
    MIRRORED: tl.constexpr,
    RELU: tl.constexpr,
    PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Write ``result`` (rows, channels_out): a program computes WIDTH columns of one block.

    ``second`` stands beside ``first``: its weights follow. It, scale, shift and residual may be
    None. MIRRORED reads the offsets from the other end. Sums are float32.
    """
    widths = tl.cdiv(channels_out, WIDTH)
    block = (tl.program_id(0) // widths).to(tl.int64)
    columns = (tl.program_id(0) % widths) * WIDTH + tl.arange(0, WIDTH)
    lists = (neighbours, offsets, counts)
    strides = (stride_offset, stride_in, stride_out)
    sums = tl.zeros((HEIGHT, WIDTH), tl.float32)
    sums = _add_products(
        sums, first, first_stride, first_channels, weight, strides, channels_out, columns,
        block, lists, OFFSETS, HEIGHT, DEPTH, MIRRORED, PRECISION,
    )  # fmt: skip
    if second is not None:
        below = weight + first_channels * stride_in
        sums = _add_products(
            sums, second, second_stride, second_channels, below, strides, channels_out, columns,
            block, lists, OFFSETS, HEIGHT, DEPTH, MIRRORED, PRECISION,
        )  # fmt: skip
    wanted = columns < channels_out
    if scale is not None:
        sums *= tl.load(scale + columns, mask=wanted, other=0.0)[None, :]
    if shift is not None:
        sums += tl.load(shift + columns, mask=wanted, other=0.0)[None, :]
    target = tl.load(targets + block * HEIGHT + tl.arange(0, HEIGHT)).to(tl.int64)[:, None]
    wanted = (target >= 0) & wanted[None, :]
    if residual is not None:
        beside = tl.load(residual + target * residual_stride + columns[None, :], mask=wanted)
        sums += beside.to(tl.float32)
    if RELU:
        sums = tl.where(sums < 0, 0.0, sums)  # unlike maximum, keeps what is not a number
    place = result + target * channels_out + columns[None, :]
    tl.store(place, sums.to(result.dtype.element_ty), mask=wanted)


@triton.jit(do_not_specialize=["blocks", "splits"])
def weight_gradient(
    feats,
    feats_stride,
    channels_in,
    grad,
    grad_stride,
    channels_out,
    partial,
    partial_channels,
    targets,
    neighbours,
    slots,
    slot_counts,
    blocks,
    splits,
    OFFSETS: tl.constexpr,
    HALF: tl.constexpr,
    PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH_IN: tl.constexpr,
    WIDTH_OUT: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Write ``partial`` (splits, OFFSETS, partial_channels, channels_out) in float32.

    A program sums featsᵀ grad over its share of the blocks in which one offset occurs:
    ``slots[offset]`` (blocks) lists them, as block · OFFSETS + place in the block's list.
    With HALF, float32 is rounded to bfloat16 before it is multiplied.
    """
    widths = tl.cdiv(channels_out, WIDTH_OUT)
    into = (tl.program_id(0) // widths) * WIDTH_IN + tl.arange(0, WIDTH_IN)
    out = (tl.program_id(0) % widths) * WIDTH_OUT + tl.arange(0, WIDTH_OUT)
    offset, split = tl.program_id(1), tl.program_id(2)
    count = tl.load(slot_counts + offset)
    share = tl.cdiv(count, splits)
    begin = tl.minimum(split * share, count)
    end = tl.minimum(begin + share, count)
    sums = tl.zeros((WIDTH_IN, WIDTH_OUT), tl.float32)
    PARTS: tl.constexpr = HEIGHT // DEPTH
    for step in range(begin * PARTS, end * PARTS):
        slot = tl.load(slots + offset.to(tl.int64) * blocks + step // PARTS).to(tl.int64)
        inner = (step % PARTS) * DEPTH + tl.arange(0, DEPTH)
        source = tl.load(neighbours + slot * HEIGHT + inner).to(tl.int64)
        target = tl.load(targets + (slot // OFFSETS) * HEIGHT + inner).to(tl.int64)
        left = tl.load(
            feats + source[:, None] * feats_stride + into[None, :],
            mask=(source >= 0)[:, None] & (into < channels_in)[None, :],
            other=0.0,
        )
        right = tl.load(
            grad + target[:, None] * grad_stride + out[None, :],
            mask=(source >= 0)[:, None] & (out < channels_out)[None, :],
            other=0.0,
        )
        if HALF and left.dtype == tl.float32:
            left, right = left.to(tl.bfloat16), right.to(tl.bfloat16)
        sums = tl.dot(tl.trans(left), right, sums, input_precision=PRECISION)
    row = (split.to(tl.int64) * OFFSETS + offset) * partial_channels + into
    place = partial + row[:, None] * channels_out + out[None, :]
    tl.store(place, sums, mask=(into < channels_in)[:, None] & (out < channels_out)[None, :])
