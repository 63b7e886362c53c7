/* The epilogue, and the table of one instruction set's kernels. */
#include "isa_forward.h"

/* Address of element (row, column) of a float32 matrix; NULL for NULL. */
static const float *floats_of(const c3d_rows *matrix, int64_t row, int64_t column)
{
    return matrix ? row_of(matrix, row, column) : NULL;
}

/* The epilogue of one vector without relu, for any storage type and a part of a vector; `left`
 * columns of it are in the row. The order is that of c3d_epilogue. */
INLINE vec finish_part(const c3d_epilogue *epilogue, vec value, int64_t row, int64_t column,
                       int64_t left)
{
    /* Scale and shift as matrices of one row, so that load_part reads them. */
    c3d_rows scale = {(void *)epilogue->scale, 1, 0, 0, C3D_F32};
    c3d_rows shift = {(void *)epilogue->shift, 1, 0, 0, C3D_F32};
    if (epilogue->base)
        value += load_part(epilogue->base, row, column, left);
    if (epilogue->scale)
        value *= load_part(&scale, 0, column, left);
    if (epilogue->shift)
        value += load_part(&shift, 0, column, left);
    if (epilogue->residual)
        value += load_part(epilogue->residual, row, column, left);
    return value;
}

/* Bitwise: clears numbers below 0. NaN is not below 0, so it stays; max(value, 0) would lose it. */
INLINE vec relu_of(vec value)
{
    return (vec)((ints)value & ~(value < 0));
}

/* The fast path where all matrices are float32: the columns of a row that fill whole vectors.
 * Returns the number of columns done. */
static int64_t finish_floats(const c3d_job *job, const c3d_tile *tile, const float *sums,
                             int64_t row)
{
    const c3d_epilogue *epilogue = job->epilogue;
    int64_t at = tile->row + row, first = tile->column, whole = tile->columns / LANES * LANES;
    const float *base = floats_of(epilogue->base, at, first);
    const float *residual = floats_of(epilogue->residual, at, first);
    const float *scale = epilogue->scale, *shift = epilogue->shift;
    float *target = row_of(job->target, at, first);
    int relu = epilogue->relu;
    for (int64_t j = 0; j < whole; j += LANES) {
        vec value = load(sums + (j / PANEL * tile->rows + row) * PANEL + j % PANEL);
        value = base ? value + load(base + j) : value;
        value = scale ? value * load(scale + first + j) : value;
        value = shift ? value + load(shift + first + j) : value;
        value = residual ? value + load(residual + j) : value;
        store(target + j, relu ? relu_of(value) : value);
    }
    return whole;
}

/* Whether all matrices of the epilogue are float32. */
static int all_floats(const c3d_job *job)
{
    const c3d_rows *base = job->epilogue->base, *residual = job->epilogue->residual;
    return job->target->type == C3D_F32 && (!base || base->type == C3D_F32)
        && (!residual || residual->type == C3D_F32);
}

void ISA(finish)(const c3d_job *job, const c3d_tile *tile, const float *sums)
{
    int floats = all_floats(job);
    for (int64_t row = 0; row < tile->rows; row++) {
        int64_t j = floats ? finish_floats(job, tile, sums, row) : 0; /* columns done */
        for (; j < tile->columns; j += LANES) {
            int64_t at = tile->row + row, column = tile->column + j, left = tile->columns - j;
            vec value = load(sums + (j / PANEL * tile->rows + row) * PANEL + j % PANEL);
            value = finish_part(job->epilogue, value, at, column, left);
            store_part(job->target, at, column, left,
                       job->epilogue->relu ? relu_of(value) : value);
        }
    }
}

const c3d_kernels ISA(kernels) = {
    .layout = C3D_LAYOUT,
    .panel = PANEL,
    .column_block = 256 / PANEL * PANEL, /* 256 or the next lower multiple of the panel */
    .packed_bytes = ISA(packed_bytes),
    .pack = ISA(pack),
    .tile_bytes = ISA(tile_bytes),
    .tile = ISA(tile),
    .sums_bytes = SUMS_BYTES,
    .channel_group = CHANNEL_GROUP,
    .gradient_bytes = ISA(gradient_bytes),
    .gradient = ISA(gradient),
};
