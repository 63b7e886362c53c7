# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
# ruff: noqa: PLR0913, N803, N806 - kernels take pointers and strides; constants are upper case
"""GPU kernels of the Triton backend: kernel maps, convolution, gradient of the weights.

Every number is written once, by one program, and summed in an order that does not depend on how
programs are scheduled: there are no atomics, so every run gives the same bits.

Row numbers are int32. Offsets into features are computed in int64, because the features of a large
cloud hold more than 2³¹ numbers.
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
    """Find the neighbours of every cell at every offset of a centred kernel.

    Args:
        keys: (rows,) int64, sorted and unique.
        table: (SIZE³, rows) int32, written: row of the neighbour, −1 where there is none.
        ranks: (rows,) int32, written: sort key of the row's set of neighbours (of columns with
            any neighbour, for SIZE 5). It is the position of that set in the Gray code, in which
            consecutive sets differ in one element: rows sorted by it see nearly the same offsets
            as the rows beside them. The rarest neighbours, those at the corners, are the highest
            bits, so they decide first: blocks of 64 rows of a scan then have a tenth fewer
            offsets.
        rows: number of cells.
        first_step: largest power of two not above ``rows``.
        step_x: difference of keys along x.
        step_y: difference of keys along y.
        SIZE: edge of the kernel, 3 or 5.
        BLOCK: cells of a program.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = row < rows
    key = tl.load(keys + row, mask=here, other=0)
    seen = tl.zeros((BLOCK,), tl.int32)
    # For SIZE 3: the next free bit of the middle, the faces, the edges and the corners of the
    # kernel, one byte each, starting at bits 0, 1, 7 and 19.
    free_bits = 0 + (1 << 8) + (7 << 16) + (19 << 24)
    # One binary search per column (dx, dy) of the kernel: in key order its cells are consecutive.
    for column in range(SIZE * SIZE):
        dx, dy = column // SIZE - SIZE // 2, column % SIZE - SIZE // 2
        # The lowest key of the column that the cell can see.
        wanted = key + (dx * step_x + dy * step_y - SIZE // 2)
        # Lower bound without branches: ``candidate`` becomes the number of keys below ``wanted``,
        # which is the first row not below it.
        candidate = tl.zeros((BLOCK,), tl.int64)
        step = first_step
        while step > 0:
            ahead = candidate + step
            inside = here & (ahead <= rows)
            below = inside & (tl.load(keys + (ahead - 1), mask=inside, other=0) < wanted)
            candidate = tl.where(below, ahead, candidate)
            step = step // 2
        for along in tl.static_range(SIZE):
            inside = here & (candidate < rows)
            found = inside & (tl.load(keys + candidate, mask=inside, other=0) == wanted + along)
            offset = column * SIZE + along
            neighbour = tl.where(found, candidate, -1).to(tl.int32)
            tl.store(table + rows.to(tl.int64) * offset + row, neighbour, mask=here)
            # Where this cell is occupied, the next of the column can only be the next row.
            candidate += found.to(tl.int64)
            bit = column
            if SIZE == 3:
                # 0 for the middle, 1 for faces, 2 for edges, 3 for corners.
                far = dx * dx + dy * dy + (along - 1) * (along - 1)
                bit = (free_bits >> (8 * far)) & 255
                free_bits += 1 << (8 * far)
            seen |= found.to(tl.int32) << bit
    # Position of the set in the Gray code: every bit is the parity of the bits from it upwards.
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
    """Cut rows into blocks, each with the list of offsets that occur in it.

    Args:
        table: (OFFSETS, rows) int32: source row at every offset, −1 for none.
        order: (rows,) the order of the rows.
        rows: number of target rows.
        targets: (blocks, HEIGHT) int32, written: target rows, −1 after the last.
        neighbours: (blocks, OFFSETS, HEIGHT) int32, written: source rows at each offset of the
            block's list.
        offsets: (blocks, OFFSETS) int32, written: the list of offsets.
        counts: (blocks,) int32, written: length of the list.
        OFFSETS: number of kernel offsets.
        HEIGHT: rows of a block.
    """
    block = tl.program_id(0).to(tl.int64)
    inner = tl.arange(0, HEIGHT)
    position = block * HEIGHT + inner
    here = position < rows
    target = tl.load(order + position, mask=here, other=-1)
    tl.store(targets + position, target.to(tl.int32))
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
    """Return ``sums`` (HEIGHT, columns) plus the products of one tensor of features."""
    neighbours, offsets, counts = lists
    stride_offset, stride_in, stride_out = weight_strides
    inner = tl.arange(0, HEIGHT)
    chunks = tl.cdiv(channels_in, DEPTH)
    # One loop over offsets and chunks of channels: with two nested loops Triton would not start
    # the loads of the next offset before the last chunk of this one.
    for step in range(tl.load(counts + block) * chunks):
        slot = block * OFFSETS + step // chunks
        depth = (step % chunks) * DEPTH + tl.arange(0, DEPTH)
        source = tl.load(neighbours + slot * HEIGHT + inner)
        # (HEIGHT, DEPTH): gathered source rows, 0 where there is no neighbour.
        left = tl.load(
            feats + source.to(tl.int64)[:, None] * feats_stride + depth[None, :],
            mask=(source >= 0)[:, None] & (depth < channels_in)[None, :],
            other=0.0,
        )
        offset = tl.load(offsets + slot)
        if MIRRORED:
            offset = OFFSETS - 1 - offset
        # (DEPTH, columns): the offset's matrix.
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
    """Convolve: a program computes WIDTH columns of the rows of one block.

    Sums are float32. The epilogue is relu(sums · scale + shift + residual).

    Args:
        first: features, (source rows, first_channels), columns contiguous.
        first_stride: numbers from one row of ``first`` to the next.
        first_channels: channels of ``first``.
        second: features whose columns follow those of ``first``, or None.
        second_stride: numbers from one row of ``second`` to the next.
        second_channels: channels of ``second``.
        weight: (OFFSETS, first_channels + second_channels, channels_out), of any strides.
        stride_offset: stride of the weight from offset to offset.
        stride_in: stride of the weight from input channel to input channel.
        stride_out: stride of the weight from output channel to output channel.
        result: (target rows, channels_out), contiguous, written.
        channels_out: channels of the result.
        targets: see `arrange_blocks`, as are the next three.
        neighbours: source rows.
        offsets: lists of offsets.
        counts: lengths of the lists.
        scale: (channels_out,) float32, or None.
        shift: (channels_out,) float32, or None.
        residual: (target rows, channels_out), columns contiguous, or None.
        residual_stride: numbers from one row of ``residual`` to the next.
        OFFSETS: number of kernel offsets.
        MIRRORED: whether the weight's offsets are in reverse order.
        RELU: whether negative results become 0.
        PRECISION: ``input_precision`` of tl.dot.
        HEIGHT: rows of a block.
        WIDTH: columns of a program.
        DEPTH: channels that are multiplied at a time.
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
        second_weight = weight + first_channels * stride_in
        sums = _add_products(
            sums, second, second_stride, second_channels, second_weight, strides, channels_out,
            columns, block, lists, OFFSETS, HEIGHT, DEPTH, MIRRORED, PRECISION,
        )  # fmt: skip
    wanted = columns < channels_out
    if scale is not None:
        sums *= tl.load(scale + columns, mask=wanted, other=0.0)[None, :]
    if shift is not None:
        sums += tl.load(shift + columns, mask=wanted, other=0.0)[None, :]
    target = tl.load(targets + block * HEIGHT + tl.arange(0, HEIGHT)).to(tl.int64)[:, None]
    # (HEIGHT, WIDTH): the last block and the last columns may be incomplete.
    wanted = (target >= 0) & wanted[None, :]
    if residual is not None:
        added = tl.load(residual + target * residual_stride + columns[None, :], mask=wanted)
        sums += added.to(tl.float32)
    if RELU:
        sums = tl.where(sums < 0, 0.0, sums)  # unlike tl.maximum, keeps NaN
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
    """Sum featsᵀ @ grad over the pairs of every offset, in ``splits`` partial sums.

    A program computes WIDTH_IN × WIDTH_OUT numbers of one offset's matrix, over its share of the
    blocks in which the offset occurs.

    Args:
        feats: (source rows, channels_in), columns contiguous.
        feats_stride: numbers from one row of ``feats`` to the next.
        channels_in: channels of ``feats``.
        grad: (target rows, channels_out), columns contiguous.
        grad_stride: numbers from one row of ``grad`` to the next.
        channels_out: channels of ``grad``.
        partial: (splits, OFFSETS, partial_channels, channels_out) float32, written from the first
            channel of ``feats`` on.
        partial_channels: channels of all features side by side.
        targets: see `arrange_blocks`.
        neighbours: see `arrange_blocks`.
        slots: (OFFSETS, blocks) int32: the entries of every offset, block · OFFSETS + position in
            the block's list.
        slot_counts: (OFFSETS,) int32: number of entries of every offset.
        blocks: number of blocks.
        splits: number of partial sums.
        OFFSETS: number of kernel offsets.
        HALF: whether float32 is rounded to bfloat16 before it is multiplied.
        PRECISION: ``input_precision`` of tl.dot.
        HEIGHT: rows of a block.
        WIDTH_IN: channels of ``feats`` of a program.
        WIDTH_OUT: channels of ``grad`` of a program.
        DEPTH: rows that are multiplied at a time; divides HEIGHT.
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
        # (DEPTH, WIDTH_IN) and (DEPTH, WIDTH_OUT), 0 where a row has no neighbour.
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
