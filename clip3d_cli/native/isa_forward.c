/* Convolution of a tile of rows in float32; compiled once for every instruction set.
 *
 * A tile's sums are in scratch as [panel][row][PANEL]: a panel is PANEL columns, as many as a
 * register block has. Packed weights are [panel][cin][PANEL]. For every offset the tile's pairs
 * are taken in blocks; all panels of a block are computed while its source rows are in the
 * caches. */
#include "isa_forward.h"

#define PAIRS 128 /* pairs of a block at most: their rows stay cached while all panels pass */
#define AHEAD 12  /* pairs: rows are prefetched so far ahead, as long as memory takes */

/* Up to PAIRS pairs of one offset. */
typedef struct {
    const float *sources[PAIRS]; /* source rows, in place or as float copies */
    int32_t places[PAIRS];       /* of the target rows in the sums of a panel */
    int32_t count;
} block;

int64_t ISA(packed_bytes)(int32_t cin, int32_t cout)
{
    int64_t panels = (cout + PANEL - 1) / PANEL;
    return panels * PANEL * cin * (int64_t)sizeof(float);
}

/* To [panel][cin][PANEL], with zeros after the last column. */
void ISA(pack)(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
               int32_t cout, void *packed)
{
    float *place = packed;
    for (int32_t first = 0; first < cout; first += PANEL)
        for (int32_t i = 0; i < cin; i++)
            for (int32_t j = first; j < first + PANEL; j++)
                *place++ = j < cout ? weight[i * row_pitch + j * column_pitch] : 0.0f;
}

/* sums[places[i]] (+)= sources[i] @ panel, for m rows (m <= MR) and the PANEL columns of one panel.
 * Each number is one chain of multiply-adds over the input channels in order, whatever m is, so a
 * row's result does not depend on the rows beside it. start: begin with 0 and not with the sums. */
INLINE void multiply_rows(const float *const *sources, const int32_t *places, int64_t cin,
                          const float *panel, float *sums, int m, int start)
{
    vec total[MR][NV]; /* in registers */
    const float *x[MR];
    for (int i = 0; i < m; i++) {
        x[i] = sources[i];
        for (int v = 0; v < NV; v++)
            total[i][v] = start ? (vec){0} : load(sums + places[i] + v * LANES);
    }
    for (int64_t c = 0; c < cin; c++) {
        vec w[NV];
        for (int v = 0; v < NV; v++)
            w[v] = load(panel + c * PANEL + v * LANES);
        for (int i = 0; i < m; i++)
            for (int v = 0; v < NV; v++)
                total[i][v] += w[v] * x[i][c];
    }
    for (int i = 0; i < m; i++)
        for (int v = 0; v < NV; v++)
            store(sums + places[i] + v * LANES, total[i][v]);
}

/* With constant m and start the compiler keeps the sums in registers. */
#define ROWS(m) \
    case m: \
        if (start) \
            multiply_rows(sources, places, cin, panel, sums, m, 1); \
        else \
            multiply_rows(sources, places, cin, panel, sums, m, 0); \
        break;

static void multiply_group(const float *const *sources, const int32_t *places, int64_t cin,
                           const float *panel, float *sums, int m, int start)
{
    switch (m) {
        ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
#if MR > 6
        ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
#endif
    }
}

INLINE void prefetch_rows(const block *pairs, int32_t first, int32_t end, int64_t cin)
{
    for (int32_t i = first; i < end && i < pairs->count; i++)
        for (int64_t c = 0; c < cin; c += 64 / (int64_t)sizeof(float))
            __builtin_prefetch(pairs->sources[i] + c);
}

/* One panel of a block, in groups of up to MR pairs. The groups have nearly equal sizes: a
 * remainder of one or two rows has too few chains, each of which waits for its own last sum. */
static void multiply_panel(const block *pairs, int64_t cin, const float *panel, float *sums,
                           int start, int prefetch)
{
    int32_t groups = (pairs->count + MR - 1) / MR, done = 0;
    for (int32_t group = 0; group < groups; group++) {
        int32_t end = (int32_t)((int64_t)pairs->count * (group + 1) / groups);
        if (prefetch)
            prefetch_rows(pairs, done + AHEAD, end + AHEAD, cin);
        multiply_group(pairs->sources + done, pairs->places + done, cin, panel, sums, end - done,
                       start);
        done = end;
    }
}

/* Fill a block: pairs from number `first` on. bf16 rows are converted into copies (PAIRS,
 * padded). */
static void look_up(const c3d_job *job, const c3d_tile *tile, const c3d_pairs *pairs,
                    int64_t first, float *copies, block *block)
{
    const c3d_rows *source = job->source;
    int64_t padded = (source->channels + LANES - 1) / LANES * LANES;
    for (int32_t i = 0; i < block->count; i++) {
        int64_t at = first + i;
        int64_t target_row = pairs->targets ? pairs->targets[at] : pairs->first + at;
        int64_t source_row = pairs->sources ? pairs->sources[at] : pairs->first + at;
        block->places[i] = (int32_t)(target_row - tile->row) * PANEL;
        block->sources[i] = row_of(source, source_row, 0);
        if (source->type == C3D_BF16) {
            block->sources[i] = copies + i * padded;
            copy_row(source, source_row, 0, source->channels, padded, copies + i * padded);
        }
    }
}

static void multiply_offset(const c3d_job *job, const c3d_tile *tile, int32_t offset, float *sums,
                            float *copies, int start)
{
    c3d_pairs pairs = c3d_pairs_of(job, offset, tile->row, tile->rows);
    int64_t cin = job->source->channels, blocks = (pairs.count + PAIRS - 1) / PAIRS;
    const float *matrix = (const float *)(job->packed + offset * job->packed_step);
    block block;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = pairs.count * b / blocks; /* blocks of nearly equal size */
        block.count = (int32_t)(pairs.count * (b + 1) / blocks - first);
        look_up(job, tile, &pairs, first, copies, &block);
        /* The panel at a column begins column * cin floats into the matrix, its sums column *
         * rows. */
        for (int32_t column = 0; column < tile->columns; column += PANEL)
            multiply_panel(&block, cin, matrix + (tile->column + column) * cin,
                           sums + column * tile->rows, start, column == 0);
    }
}

static int64_t sums_size(int64_t rows, int32_t columns)
{
    return (columns + PANEL - 1) / PANEL * PANEL * rows;
}

int64_t ISA(tile_bytes)(const c3d_job *job, int64_t rows, int32_t columns)
{
    int64_t padded = (job->source->channels + LANES - 1) / LANES * LANES;
    int64_t copies = job->source->type == C3D_BF16 ? PAIRS * padded : 0;
    return (sums_size(rows, columns) + copies) * (int64_t)sizeof(float);
}

/* The sums stay in this core's cache until all offsets have passed. The centre comes first,
 * because it fills every row: the sums need not be set to 0 before. */
void ISA(tile)(const c3d_job *job, const c3d_tile *tile, void *scratch)
{
    float *sums = scratch, *copies = sums + sums_size(tile->rows, tile->columns);
    if (job->centre >= 0)
        multiply_offset(job, tile, job->centre, sums, copies, 1);
    else
        memset(sums, 0, (size_t)sums_size(tile->rows, tile->columns) * sizeof(float));
    for (int32_t offset = 0; offset < job->offsets; offset++)
        if (offset != job->centre)
            multiply_offset(job, tile, offset, sums, copies, 0);
    ISA(finish)(job, tile, sums);
}
