/* Driver of packing and convolution: checks arguments and cuts the work into tasks.
 *
 * A task is a tile of the target: some rows and some columns. For its tile it runs through all
 * offsets and adds the products of the offset's pairs to sums that stay in the core's cache;
 * then it applies the epilogue and writes the result, once. Tasks share nothing that they write,
 * so the result does not depend on which thread computes which tile. A number's order of
 * summation is: the centre first, then the other offsets in order; within an offset the input
 * channels in order (by AMX, in the order of its instruction). It depends neither on the size of
 * tiles nor on other rows. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define MAGIC 0x50443343
#define HEAD_BYTES 64 /* one cache line, so that the matrices begin at one */
#define MAX_CHANNELS (1 << 20)
#define MAX_THREADS 1024
#define TILE_ROWS 256   /* rows of a tile at least; more where the rows of sums are short: */
#define TILE_BYTES 131072 /* bytes of sums, which stay in a core's cache while all offsets pass */
#define SMALL_WORK 1000000 /* multiply-adds that take less time than waking a second thread */

/* Precedes packed weights, so that weights of another instruction set or size are recognized. */
typedef struct {
    int32_t magic, layout, offsets, cin, cout;
} head;

static int32_t bad_size(int32_t offsets, int32_t cin, int32_t cout, int32_t precision)
{
    return offsets < 1 || offsets > C3D_MAX_OFFSETS || cin < 1 || cin > MAX_CHANNELS || cout < 1
        || cout > MAX_CHANNELS || precision < C3D_EXACT || precision > C3D_FAST;
}

/* Enough for the matrices as they are and transposed: the two are padded along different sides. */
int64_t c3d_packed_bytes(int32_t offsets, int32_t cin, int32_t cout, int32_t precision)
{
    if (bad_size(offsets, cin, cout, precision))
        return C3D_BAD_ARGUMENT;
    const c3d_kernels *kernels = c3d_kernels_for(precision);
    int64_t direct = kernels->packed_bytes(cin, cout);
    int64_t transposed = kernels->packed_bytes(cout, cin);
    return HEAD_BYTES + offsets * (direct > transposed ? direct : transposed);
}

int32_t c3d_pack(const float *weight, int32_t offsets, int32_t cin, int32_t cout,
                 int64_t offset_pitch, int64_t row_pitch, int32_t transpose, int32_t precision,
                 void *packed, int32_t threads)
{
    if (bad_size(offsets, cin, cout, precision) || !weight || !packed || row_pitch < cout
        || offset_pitch < 0 || threads < 1 || threads > MAX_THREADS)
        return C3D_BAD_ARGUMENT;
    const c3d_kernels *kernels = c3d_kernels_for(precision);
    head info = {MAGIC, kernels->layout, offsets, transpose ? cout : cin, transpose ? cin : cout};
    /* Pitches of the matrix that is packed: of the transposed one they are exchanged. */
    int64_t rows = transpose ? 1 : row_pitch, columns = transpose ? row_pitch : 1;
    int64_t step = kernels->packed_bytes(info.cin, info.cout);
    memcpy(packed, &info, sizeof info);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int32_t k = 0; k < offsets; k++)
        kernels->pack(weight + k * offset_pitch, rows, columns, info.cin, info.cout,
                      (char *)packed + HEAD_BYTES + k * step);
    return C3D_OK;
}

/* Whether base or residual do not have the shape of the target. */
static int32_t bad_part(const c3d_rows *part, const c3d_rows *target)
{
    return part && (c3d_bad_rows(part) || part->rows != target->rows
                    || part->channels != target->channels);
}

static int32_t bad_job(const c3d_job *job, const head *info, const c3d_kernels *kernels)
{
    const c3d_rows *source = job->source, *target = job->target;
    return info->magic != MAGIC || info->layout != kernels->layout
        || info->offsets != job->offsets || info->cin != source->channels
        || info->cout != target->channels || c3d_bad_lengths(job)
        || bad_part(job->epilogue->base, target) || bad_part(job->epilogue->residual, target)
        || (target->rows > 0 && source->data == target->data);
}

static int64_t ceil_divide(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

/* The size of tiles: small enough that every thread gets several, but not smaller, because every
 * tile reads all weights. */
static c3d_tile tile_size(const c3d_job *job, const c3d_kernels *kernels, int32_t threads)
{
    int32_t channels = job->target->channels, panel = kernels->panel;
    int64_t rows = job->target->rows;
    c3d_tile size = {0, TILE_ROWS, 0, kernels->column_block};
    if (size.columns > ceil_divide(channels, panel) * panel)
        size.columns = (int32_t)ceil_divide(channels, panel) * panel;
    while (size.rows * 2 * size.columns * (int64_t)sizeof(float) <= TILE_BYTES)
        size.rows *= 2;
    while (threads > 1 && size.rows > C3D_GRANULE
           && ceil_divide(rows, size.rows) * ceil_divide(channels, size.columns) < 8 * threads)
        size.rows /= 2;
    while (threads > 1 && size.columns > panel
           && ceil_divide(rows, size.rows) * ceil_divide(channels, size.columns) < 4 * threads)
        size.columns = (int32_t)ceil_divide(size.columns / 2, panel) * panel;
    return size;
}

/* Tasks run through the columns of one block of rows before the next: its rows stay in the
 * cache. */
static void run_tile(const c3d_job *job, const c3d_kernels *kernels, const c3d_tile *size,
                     int64_t task, void *scratch)
{
    int64_t column_blocks = ceil_divide(job->target->channels, size->columns);
    c3d_tile tile = *size;
    tile.row = task / column_blocks * size->rows;
    tile.column = (int32_t)(task % column_blocks) * size->columns;
    if (tile.rows > job->target->rows - tile.row)
        tile.rows = job->target->rows - tile.row;
    if (tile.columns > job->target->channels - tile.column)
        tile.columns = job->target->channels - tile.column;
    kernels->tile(job, &tile, scratch);
}

static int32_t run(const c3d_job *job, const c3d_kernels *kernels, int32_t threads)
{
    c3d_tile size = tile_size(job, kernels, threads);
    int64_t column_blocks = ceil_divide(job->target->channels, size.columns);
    int64_t tasks = ceil_divide(job->target->rows, size.rows) * column_blocks;
    /* aligned_alloc takes multiples of the alignment. */
    size_t bytes = (size_t)ceil_divide(kernels->tile_bytes(job, size.rows, size.columns), 64) * 64;
    int32_t no_memory = 0;
    if (threads > tasks)
        threads = (int32_t)tasks;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        void *scratch = aligned_alloc(64, bytes); /* one per thread, for all of its tasks */
        no_memory |= !scratch;
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < tasks; task++)
            if (scratch)
                run_tile(job, kernels, &size, task, scratch);
        free(scratch);
    }
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}

int32_t c3d_convolve(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                     const void *packed, const c3d_rows *target, const c3d_epilogue *epilogue,
                     int32_t precision, int32_t threads)
{
    static const c3d_epilogue none = {0};
    if (c3d_bad_rows(source) || c3d_bad_rows(target) || !packed || precision < C3D_EXACT
        || precision > C3D_FAST || threads < 1 || threads > MAX_THREADS)
        return C3D_BAD_ARGUMENT;
    const c3d_kernels *kernels = c3d_kernels_for(precision);
    head info;
    memcpy(&info, packed, sizeof info);
    c3d_job job = c3d_job_of(map, reverse, source, target);
    job.epilogue = epilogue ? epilogue : &none;
    job.packed = (const char *)packed + HEAD_BYTES;
    job.packed_step = kernels->packed_bytes(source->channels, target->channels);
    if (bad_job(&job, &info, kernels))
        return C3D_BAD_ARGUMENT;
    if (target->rows == 0)
        return C3D_OK;
    return run(&job, kernels, c3d_work_of(&job) < SMALL_WORK ? 1 : threads);
}
