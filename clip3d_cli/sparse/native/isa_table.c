/* What becomes of a tile's sums, and the table of one instruction set's kernels. */
#include "isa_forward.h"

static void finish_row(const c3d_job *job, const c3d_tile *tile, const float *sums, int64_t row)
{
    const c3d_epilogue *epilogue = job->epilogue;
    int64_t at = tile->row + row;
    for (int64_t j = 0; j < tile->columns; j += LANES) {
        int64_t column = tile->column + j, left = tile->columns - j;
        c3d_rows scale = {(void *)epilogue->scale, 1, 0, 0, C3D_F32};
        c3d_rows shift = {(void *)epilogue->shift, 1, 0, 0, C3D_F32};
        vec value = load(sums + (j / PANEL * tile->rows + row) * PANEL + j % PANEL);
        if (epilogue->base)
            value += load_part(epilogue->base, at, column, left);
        if (epilogue->scale)
            value *= load_part(&scale, 0, column, left);
        if (epilogue->shift)
            value += load_part(&shift, 0, column, left);
        if (epilogue->residual)
            value += load_part(epilogue->residual, at, column, left);
        if (epilogue->relu) /* NaN is not below 0: it stays */
            value = (vec)((ints)value & ~(value < 0));
        store_part(job->target, at, column, left, value);
    }
}

void ISA(finish)(const c3d_job *job, const c3d_tile *tile, const float *sums)
{
    for (int64_t row = 0; row < tile->rows; row++)
        finish_row(job, tile, sums, row);
}

const c3d_kernels ISA(kernels) = {
    .layout = C3D_LAYOUT,
    .panel = PANEL,
    .column_block = 256 / PANEL * PANEL,
    .packed_bytes = ISA(packed_bytes),
    .pack = ISA(pack),
    .tile_bytes = ISA(tile_bytes),
    .tile = ISA(tile),
    .gradient_bytes = ISA(gradient_bytes),
    .gradient = ISA(gradient),
};
