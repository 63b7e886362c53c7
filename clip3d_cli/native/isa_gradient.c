/* The gradient of one offset's matrix in float32; compiled once for every instruction set.
 *
 * sums (channels, cout) = sum over the pairs of x^T g, where x is a part of the source row of a
 * pair and g its target row. Pairs are taken in chunks; register blocks of MR x PANEL sums run
 * through a chunk, so the sums are loaded and stored once per chunk and not once per pair. */
#include "isa_forward.h"

#define PAIRS 64 /* pairs of a chunk: their rows stay in the caches while the whole matrix passes */
#define SLICE 24 /* channels of the source that stay in the nearest cache */

typedef struct {
    const float *x[PAIRS]; /* source rows from the part's first channel on, in place or as copies */
    float *g;              /* target rows, [panel][pair][PANEL] */
    float *copies;         /* room for copies of source rows */
    int32_t count;
} chunk;

/* The channels of the source that a task computes, and its sums. */
typedef struct {
    int32_t channel, channels;
    float *sums;   /* (channels, pitch) */
    int64_t pitch;
} part;

/* sums (m, PANEL) (+)= x^T @ g over the pairs of a chunk, in their order. */
INLINE void multiply_pairs(const chunk *pairs, int64_t channel, const float *g, float *sums,
                           int64_t pitch, int m, int start)
{
    vec total[MR][NV]; /* in registers */
    for (int i = 0; i < m; i++)
        for (int v = 0; v < NV; v++)
            total[i][v] = start ? (vec){0} : load(sums + i * pitch + v * LANES);
    for (int32_t p = 0; p < pairs->count; p++, g += PANEL) {
        const float *x = pairs->x[p] + channel;
        __asm__("" : "+r"(x)); /* one address; GCC would keep one per channel */
        vec right[NV];
        for (int v = 0; v < NV; v++)
            right[v] = load(g + v * LANES);
        for (int i = 0; i < m; i++)
            for (int v = 0; v < NV; v++)
                total[i][v] += right[v] * x[i];
    }
    for (int i = 0; i < m; i++)
        for (int v = 0; v < NV; v++)
            store(sums + i * pitch + v * LANES, total[i][v]);
}

/* With constant m the compiler keeps the sums in registers. */
#define CHANNELS(m) \
    case m: \
        multiply_pairs(pairs, channel, g, sums, pitch, m, start); \
        break;

static void multiply_group(const chunk *pairs, int64_t channel, const float *g, float *sums,
                           int64_t pitch, int m, int start)
{
    switch (m) {
        CHANNELS(1) CHANNELS(2) CHANNELS(3) CHANNELS(4) CHANNELS(5) CHANNELS(6)
#if MR > 6
        CHANNELS(7) CHANNELS(8) CHANNELS(9) CHANNELS(10) CHANNELS(11) CHANNELS(12)
#endif
    }
}

static int64_t padded(int64_t columns, int64_t to) { return (columns + to - 1) / to * to; }

int64_t ISA(gradient_bytes)(const c3d_job *job)
{
    int64_t x = padded(job->source->channels, LANES), g = padded(job->target->channels, PANEL);
    return PAIRS * (x + g) * (int64_t)sizeof(float);
}

/* Copy a target row to one pair's place in every panel; g: [panel][pair][PANEL] from that pair
 * on. */
static void copy_panels(const c3d_rows *target, int64_t row, float *g)
{
    int64_t wide = target->channels, whole = target->type == C3D_F32 ? wide / PANEL * PANEL : 0;
    const float *place = row_of(target, row, 0);
    for (int64_t j = 0; j < whole; j += PANEL)
        for (int v = 0; v < PANEL; v += LANES)
            store(g + j * PAIRS + v, load(place + j + v));
    for (int64_t j = whole; j < wide; j += PANEL)
        copy_row(target, row, j, wide - j, PANEL, g + j * PAIRS);
}

/* Rows at a distance of 1 kB or a multiple fall into the same few sets of a cache and evict each
 * other; copies at another distance do not. */
static int needs_copy(const c3d_rows *source)
{
    return source->type == C3D_BF16 || source->pitch % 256 == 0;
}

/* Fill a chunk: pairs from number `done` on. */
static void look_up(const c3d_job *job, const c3d_pairs *pairs, int64_t done, const part *part,
                    chunk *chunk)
{
    const c3d_rows *source = job->source;
    int64_t step = padded(part->channels, LANES);
    int copy = needs_copy(source);
    for (int32_t p = 0; p < chunk->count; p++) {
        int64_t at = done + p;
        int64_t source_row = pairs->sources ? pairs->sources[at] : pairs->first + at;
        int64_t target_row = pairs->targets ? pairs->targets[at] : pairs->first + at;
        float *copied = chunk->copies + p * step;
        chunk->x[p] = copy ? copied : row_of(source, source_row, part->channel);
        if (copy)
            copy_row(source, source_row, part->channel, part->channels, step, copied);
        copy_panels(job->target, target_row, chunk->g + p * PANEL);
    }
}

INLINE void prefetch_row(const c3d_rows *matrix, int64_t row, int32_t channel, int32_t channels)
{
    const char *place = row_of(matrix, row, channel);
    const char *end = row_of(matrix, row, channel + channels);
    for (; place < end; place += 64)
        __builtin_prefetch(place);
}

/* Prefetch rows of the next chunk, a part of them in every step of this one. Inlined, because GCC
 * removes calls of a function that only prefetches. */
INLINE void prefetch(const c3d_job *job, const c3d_pairs *pairs, int64_t first, int64_t end,
                     const part *part)
{
    for (int64_t at = first; at < end && at < pairs->count; at++) {
        int64_t source_row = pairs->sources ? pairs->sources[at] : pairs->first + at;
        int64_t target_row = pairs->targets ? pairs->targets[at] : pairs->first + at;
        prefetch_row(job->source, source_row, part->channel, part->channels);
        prefetch_row(job->target, target_row, 0, job->target->channels);
    }
}

/* One panel of some channels, in groups of nearly equal size, as in the forward pass. */
static void multiply_slice(const chunk *chunk, int32_t channel, int32_t end, int32_t column,
                           const part *part, int start)
{
    int32_t groups = (end - channel + MR - 1) / MR;
    const float *g = chunk->g + column * PAIRS;
    for (int32_t group = 0; group < groups; group++) {
        int32_t c = channel + (end - channel) * group / groups;
        int32_t next = channel + (end - channel) * (group + 1) / groups;
        multiply_group(chunk, c, g, part->sums + c * part->pitch + column, part->pitch, next - c,
                       start);
    }
}

static void add_chunk(const c3d_job *job, const c3d_pairs *pairs, int64_t done, const part *part,
                      chunk *chunk)
{
    int64_t cout = job->target->channels, slices = (part->channels + SLICE - 1) / SLICE;
    int64_t steps = slices * (padded(cout, PANEL) / PANEL), next = done + PAIRS, step = 0;
    chunk->count = (int32_t)(pairs->count - done < PAIRS ? pairs->count - done : PAIRS);
    look_up(job, pairs, done, part, chunk);
    for (int64_t slice = 0; slice < slices; slice++) {
        int32_t first = (int32_t)(part->channels * slice / slices);
        int32_t end = (int32_t)(part->channels * (slice + 1) / slices);
        for (int32_t column = 0; column < cout; column += PANEL, step++) {
            prefetch(job, pairs, next + PAIRS * step / steps, next + PAIRS * (step + 1) / steps,
                     part);
            multiply_slice(chunk, first, end, column, part, done == 0);
        }
    }
}

void ISA(gradient)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel, int32_t channels,
                   float *sums, int64_t pitch, void *scratch)
{
    part part = {channel, channels, sums, pitch};
    chunk chunk = {.g = scratch};
    chunk.copies = chunk.g + PAIRS * padded(job->target->channels, PANEL);
    for (int64_t done = 0; done < pairs->count; done += PAIRS)
        add_chunk(job, pairs, done, &part, &chunk);
    if (pairs->count == 0)
        memset(sums, 0, (size_t)(channels * pitch) * sizeof(float));
}
