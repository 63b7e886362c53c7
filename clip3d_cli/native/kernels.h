/* Interface between the drivers (convolve.c, gradient.c) and the kernels of an instruction set.
 *
 * A driver checks arguments and cuts the work into tasks; a kernel computes one task on one
 * thread. */
#ifndef CLIP3D_KERNELS_H
#define CLIP3D_KERNELS_H

#include <stddef.h>

#include "internal.h"

/* One call of c3d_convolve or c3d_weight_gradient, after its arguments were checked. */
typedef struct {
    const c3d_map *map;            /* or NULL: one offset, every row sees itself */
    int32_t direction;             /* 0 fills the map's targets, 1 its sources */
    int32_t offsets;
    int32_t centre;                /* or -1 */
    const c3d_rows *source;        /* rows that are read */
    const c3d_rows *target;        /* rows that are filled, or their gradient */
    const c3d_epilogue *epilogue;  /* never NULL in c3d_convolve */
    const char *packed;            /* packed matrix of offset 0 */
    int64_t packed_step;           /* bytes from one offset's matrix to the next */
} c3d_job;

/* A part of the target: rows from a multiple of C3D_GRANULE, columns from a multiple of the
 * panel. */
typedef struct {
    int64_t row;
    int64_t rows;
    int32_t column;
    int32_t columns;
} c3d_tile;

/* Pairs of one offset in a tile. targets and sources: (count) rows. Both are NULL at the centre:
 * then pair p is row first + p of both. */
typedef struct {
    const int32_t *targets;
    const int32_t *sources;
    int64_t first;
    int64_t count;
} c3d_pairs;

/* The kernels of one instruction set and precision. Matrices are those of one offset, already in
 * the direction in which they are multiplied. scratch is aligned to 64 bytes. */
typedef struct {
    int32_t layout;         /* number of the layout of packed weights; no two kernels share one */
    int32_t panel;          /* columns computed at once; tiles begin at multiples of it */
    int32_t column_block;   /* columns of a tile where there are many rows; a multiple of panel */
    int64_t (*packed_bytes)(int32_t cin, int32_t cout);
    /* element (i, j) of the matrix is weight[i * row_pitch + j * column_pitch] */
    void (*pack)(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
                 int32_t cout, void *packed);
    int64_t (*tile_bytes)(const c3d_job *job, int64_t rows, int32_t columns); /* size of scratch */
    /* convolve one tile, epilogue included */
    void (*tile)(const c3d_job *job, const c3d_tile *tile, void *scratch);
    int64_t sums_bytes;     /* sums of a gradient's task: so many stay in a core's cache */
    int32_t channel_group;  /* a gradient's task has a multiple of so many channels of the source */
    int64_t (*gradient_bytes)(const c3d_job *job); /* size of scratch */
    /* sums[i * pitch + j] = sum over the pairs of source[., channel + i] * target[., j], for
     * i < channels. pitch is a multiple of 32; all pitch columns of a row may be overwritten. */
    void (*gradient)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel,
                     int32_t channels, float *sums, int64_t pitch, void *scratch);
} c3d_kernels;

/* The kernels in use for a precision: C3D_EXACT, C3D_HIGH or C3D_FAST. */
const c3d_kernels *c3d_kernels_for(int32_t precision);

extern const c3d_kernels c3d_kernels_portable, c3d_kernels_avx2, c3d_kernels_avx512;
extern const c3d_kernels c3d_kernels_amx_high, c3d_kernels_amx_fast;
extern const c3d_kernels c3d_kernels_wide; /* this and the next two: only in builds for tests */
extern const c3d_kernels c3d_kernels_amx_emulated_high, c3d_kernels_amx_emulated_fast;

/* Whether CPU and operating system let this process use AMX; asks Linux for permission. */
int32_t c3d_amx_usable(void);

/* The pairs of an offset that fill rows row ... row + rows - 1, which are whole granules. */
static inline c3d_pairs c3d_pairs_of(const c3d_job *job, int32_t offset, int64_t row, int64_t rows)
{
    c3d_pairs pairs = {NULL, NULL, row, rows};
    if (offset == job->centre)
        return pairs;
    const int32_t *starts = job->map->starts[job->direction] + offset; /* the offset's column */
    int64_t granule = row / C3D_GRANULE, end = (row + rows + C3D_GRANULE - 1) / C3D_GRANULE;
    int64_t first = starts[granule * job->offsets];
    pairs.targets = job->map->rows[job->direction][offset] + first;
    pairs.sources = job->map->rows[1 - job->direction][offset] + first;
    pairs.first = 0;
    pairs.count = starts[end * job->offsets] - first;
    return pairs;
}

static inline int32_t c3d_bad_rows(const c3d_rows *rows)
{
    return !rows || rows->rows < 0 || rows->channels < 1 || rows->pitch < rows->channels
        || (rows->rows > 0 && !rows->data) || (rows->type != C3D_F32 && rows->type != C3D_BF16);
}

static inline c3d_job c3d_job_of(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                                 const c3d_rows *target)
{
    c3d_job job = {
        .map = map,
        .direction = reverse != 0,
        .offsets = map ? map->offsets : 1,
        .centre = map ? map->centre : 0,
        .source = source,
        .target = target,
    };
    return job;
}

/* Whether source or target have another number of rows than the map. */
static inline int32_t c3d_bad_lengths(const c3d_job *job)
{
    int64_t rows = job->target->rows;
    int64_t filled = job->map ? job->map->length[job->direction] : rows;
    int64_t read = job->map ? job->map->length[1 - job->direction] : rows;
    return rows != filled || job->source->rows != read;
}

/* Number of multiply-adds of all pairs. */
static inline double c3d_work_of(const c3d_job *job)
{
    double pairs = job->map ? (double)c3d_map_pairs(job->map) : (double)job->target->rows;
    return pairs * job->source->channels * job->target->channels;
}

#endif
