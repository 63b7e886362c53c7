/* Packing weights and convolving: the checks, and how the work is cut into tasks. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define MAGIC 0x50443343
#define HEAD_BYTES 64
#define MAX_CHANNELS (1 << 20)
#define MAX_THREADS 1024
#define TILE_ROWS 256   /* at least; more where rows are short: */
#define TILE_BYTES 131072 /* of sums: they stay in a core's cache while all offsets pass */
#define SMALL_WORK 1000000 /* multiply-adds: less is done before a second thread wakes */

/* Stands before packed weights, so that no kernel reads what is not there. */
typedef struct {
    int32_t magic, layout, offsets, cin, cout;
} head;

static int32_t bad_size(int32_t offsets, int32_t cin, int32_t cout, int32_t products)
{
    return offsets < 1 || offsets > C3D_MAX_OFFSETS || cin < 1 || cin > MAX_CHANNELS || cout < 1
        || cout > MAX_CHANNELS || products < C3D_EXACT || products > C3D_FAST;
}

/* Room for either direction: transposed matrices pad another side. */
int64_t c3d_packed_bytes(int32_t offsets, int32_t cin, int32_t cout, int32_t products)
{
    if (bad_size(offsets, cin, cout, products))
        return C3D_BAD_ARGUMENT;
    const c3d_kernels *kernels = c3d_kernels_for(products);
    int64_t there = kernels->packed_bytes(cin, cout), back = kernels->packed_bytes(cout, cin);
    return HEAD_BYTES + offsets * (there > back ? there : back);
}

int32_t c3d_pack(const float *weight, int32_t offsets, int32_t cin, int32_t cout,
                 int64_t offset_pitch, int64_t row_pitch, int32_t transpose, int32_t products,
                 void *packed, int32_t threads)
{
    if (bad_size(offsets, cin, cout, products) || !weight || !packed || row_pitch < cout
        || offset_pitch < 0 || threads < 1 || threads > MAX_THREADS)
        return C3D_BAD_ARGUMENT;
    const c3d_kernels *kernels = c3d_kernels_for(products);
    head info = {MAGIC, kernels->layout, offsets, transpose ? cout : cin, transpose ? cin : cout};
    int64_t rows = transpose ? 1 : row_pitch, columns = transpose ? row_pitch : 1;
    int64_t step = kernels->packed_bytes(info.cin, info.cout);
    memcpy(packed, &info, sizeof info);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int32_t k = 0; k < offsets; k++)
        kernels->pack(weight + k * offset_pitch, rows, columns, info.cin, info.cout,
                      (char *)packed + HEAD_BYTES + k * step);
    return C3D_OK;
}

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

static int64_t cut(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

/* Tiles small enough that every thread has several, and no smaller: each reads all weights. */
static c3d_tile tile_size(const c3d_job *job, const c3d_kernels *kernels, int32_t threads)
{
    int32_t wide = job->target->channels, panel = kernels->panel;
    int64_t rows = job->target->rows;
    c3d_tile size = {0, TILE_ROWS, 0, kernels->column_block};
    if (size.columns > cut(wide, panel) * panel)
        size.columns = (int32_t)cut(wide, panel) * panel;
    while (size.rows * 2 * size.columns * (int64_t)sizeof(float) <= TILE_BYTES)
        size.rows *= 2;
    while (threads > 1 && size.rows > C3D_GRANULE
           && cut(rows, size.rows) * cut(wide, size.columns) < 8 * threads)
        size.rows /= 2;
    while (threads > 1 && size.columns > panel
           && cut(rows, size.rows) * cut(wide, size.columns) < 4 * threads)
        size.columns = (int32_t)cut(size.columns / 2, panel) * panel;
    return size;
}

static void run_tile(const c3d_job *job, const c3d_kernels *kernels, const c3d_tile *size,
                     int64_t task, void *scratch)
{
    int64_t blocks = cut(job->target->channels, size->columns);
    c3d_tile tile = *size;
    tile.row = task / blocks * size->rows;
    tile.column = (int32_t)(task % blocks) * size->columns;
    if (tile.rows > job->target->rows - tile.row)
        tile.rows = job->target->rows - tile.row;
    if (tile.columns > job->target->channels - tile.column)
        tile.columns = job->target->channels - tile.column;
    kernels->tile(job, &tile, scratch);
}

static int32_t run(const c3d_job *job, const c3d_kernels *kernels, int32_t threads)
{
    c3d_tile size = tile_size(job, kernels, threads);
    int64_t blocks = cut(job->target->channels, size.columns);
    int64_t tasks = cut(job->target->rows, size.rows) * blocks;
    size_t bytes = (size_t)cut(kernels->tile_bytes(job, size.rows, size.columns), 64) * 64;
    int32_t no_memory = 0;
    if (threads > tasks)
        threads = (int32_t)tasks;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        void *scratch = aligned_alloc(64, bytes);
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
                     int32_t products, int32_t threads)
{
    static const c3d_epilogue none = {0};
    if (c3d_bad_rows(source) || c3d_bad_rows(target) || !packed || products < C3D_EXACT
        || products > C3D_FAST || threads < 1 || threads > MAX_THREADS)
        return C3D_BAD_ARGUMENT;
    const c3d_kernels *kernels = c3d_kernels_for(products);
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
