/* What the drivers ask of the kernels, and which kernels there are. */
#ifndef CLIP3D_KERNELS_H
#define CLIP3D_KERNELS_H

#include <stddef.h>

#include "internal.h"

/* One call of c3d_convolve or c3d_weight_gradient, checked. */
typedef struct {
    const c3d_map *map;            /* or NULL: one offset, every row sees itself */
    int32_t direction;             /* 0 fills targets, 1 fills sources */
    int32_t offsets;
    int32_t centre;                /* or -1 */
    const c3d_rows *source;
    const c3d_rows *target;        /* what is filled, or its gradient */
    const c3d_epilogue *epilogue;  /* never NULL in c3d_convolve */
    const char *packed;            /* the matrix of offset 0 */
    int64_t packed_step;           /* bytes from one offset's matrix to the next */
} c3d_job;

/* Rows of the target (from a whole granule on) and columns of it (from a whole panel on). */
typedef struct {
    int64_t row;
    int64_t rows;
    int32_t column;
    int32_t columns;
} c3d_tile;

/* Pairs of one offset. Both lists are NULL where every row sees itself, from `first` on. */
typedef struct {
    const int32_t *targets;
    const int32_t *sources;
    int64_t first;
    int64_t count;
} c3d_pairs;

/* One way to compute products. Sizes are of one offset's matrix, already in its packed direction;
 * scratch is aligned to 64 bytes. */
typedef struct {
    int32_t layout;         /* of packed weights; no two kernels share one */
    int32_t panel;          /* blocks of columns start at multiples of this */
    int32_t column_block;   /* columns of a tile where rows are plenty; a multiple of panel */
    int64_t (*packed_bytes)(int32_t cin, int32_t cout);
    /* element (i, j) of the matrix stands at weight[i * row_pitch + j * column_pitch] */
    void (*pack)(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
                 int32_t cout, void *packed);
    int64_t (*tile_bytes)(const c3d_job *job, int64_t rows, int32_t columns); /* of scratch */
    void (*tile)(const c3d_job *job, const c3d_tile *tile, void *scratch);
    int64_t sums_bytes;     /* of a gradient's task: they stay in a core's cache while pairs pass */
    int32_t channel_group;  /* channels of the source in a task are a multiple of this */
    int64_t (*gradient_bytes)(const c3d_job *job); /* of scratch */
    /* sums[i * pitch + j] = sum over the pairs of source[., channel + i] * target[., j] for
     * i < channels; pitch is a multiple of 32 and whole rows of it may be overwritten */
    void (*gradient)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel,
                     int32_t channels, float *sums, int64_t pitch, void *scratch);
} c3d_kernels;

/* The kernels in use for a way of computing products; C3D_EXACT, C3D_HIGH or C3D_FAST. */
const c3d_kernels *c3d_kernels_for(int32_t products);

extern const c3d_kernels c3d_kernels_portable, c3d_kernels_avx2, c3d_kernels_avx512;
extern const c3d_kernels c3d_kernels_amx_high, c3d_kernels_amx_fast;
extern const c3d_kernels c3d_kernels_wide; /* and these two: in builds for tests */
extern const c3d_kernels c3d_kernels_amx_emulated_high, c3d_kernels_amx_emulated_fast;

/* Whether the CPU and the kernel let this process use AMX; asks for leave. */
int32_t c3d_amx_usable(void);

/* The pairs of an offset whose targets lie in rows row ... row + rows - 1 (whole granules). */
static inline c3d_pairs c3d_pairs_of(const c3d_job *job, int32_t offset, int64_t row, int64_t rows)
{
    c3d_pairs pairs = {NULL, NULL, row, rows};
    if (offset == job->centre)
        return pairs;
    const int32_t *starts = job->map->starts[job->direction] + offset;
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

/* Whether the matrices have other numbers of rows than the map. */
static inline int32_t c3d_bad_lengths(const c3d_job *job)
{
    int64_t rows = job->target->rows;
    int64_t filled = job->map ? job->map->length[job->direction] : rows;
    int64_t seen = job->map ? job->map->length[1 - job->direction] : rows;
    return rows != filled || job->source->rows != seen;
}

/* How many multiply-adds all pairs are. */
static inline double c3d_work_of(const c3d_job *job)
{
    double pairs = job->map ? (double)c3d_map_pairs(job->map) : (double)job->target->rows;
    return pairs * job->source->channels * job->target->channels;
}

#endif
