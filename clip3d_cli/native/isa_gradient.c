/* The gradient of one offset's matrix in float32; compiled once for every instruction set. */
#include "isa_forward.h"

#define PAIRS 64 /* at a time: their rows stay in the caches while the whole matrix passes */
#define SLICE 24 /* channels of the source that stay in the nearest cache */

typedef struct {
    const float *x[PAIRS]; /* rows of the source, from the first channel on */
    float *g;              /* rows of the target, [panel][pair][PANEL] */
    float *copies;         /* room for copies of rows of the source */
    int32_t count;
} chunk;

/* The channels of the source in whose sums a task ends. */
typedef struct {
    int32_t channel, channels;
    float *sums;
    int64_t pitch;
} part;

/* sums (m, PANEL) (+)= x^T @ g over the pairs. */
INLINE void multiply_pairs(const chunk *pairs, int64_t channel, const float *g, float *sums,
                           int64_t pitch, int m, int start)
{
    vec total[MR][NV];
    for (int i = 0; i < m; i++)
        for (int v = 0; v < NV; v++)
            total[i][v] = start ? (vec){0} : load(sums + i * pitch + v * LANES);
    for (int32_t p = 0; p < pairs->count; p++, g += PANEL) {
        const float *x = pairs->x[p] + channel;
        __asm__("" : "+r"(x)); /* one address: GCC would keep one a channel, and run out */
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

/* Rows that lie a large power of two apart fall into the same few places of a cache: copies do
 * not. */
static int needs_copy(const c3d_rows *source)
{
    return source->type == C3D_BF16 || source->pitch % 256 == 0;
}

static void look_up(const c3d_job *job, const c3d_pairs *pairs, int64_t done, const part *part,
                    chunk *found)
{
    const c3d_rows *source = job->source;
    int64_t step = padded(part->channels, LANES);
    int copy = needs_copy(source);
    for (int32_t p = 0; p < found->count; p++) {
        int64_t at = done + p;
        int64_t seen = pairs->sources ? pairs->sources[at] : pairs->first + at;
        int64_t filled = pairs->targets ? pairs->targets[at] : pairs->first + at;
        float *copied = found->copies + p * step;
        found->x[p] = copy ? copied : row_of(source, seen, part->channel);
        if (copy)
            copy_row(source, seen, part->channel, part->channels, step, copied);
        copy_panels(job->target, filled, found->g + p * PANEL);
    }
}

INLINE void fetch_row(const c3d_rows *matrix, int64_t row, int32_t channel, int32_t channels)
{
    const char *place = row_of(matrix, row, channel), *end = row_of(matrix, row, channel + channels);
    for (; place < end; place += 64)
        __builtin_prefetch(place);
}

/* Rows of the next chunk, a share of them at every step of this one. Inline: GCC takes a function
 * that only prefetches for one that does nothing. */
INLINE void fetch(const c3d_job *job, const c3d_pairs *pairs, int64_t first, int64_t end,
                  const part *part)
{
    for (int64_t at = first; at < end && at < pairs->count; at++) {
        int64_t seen = pairs->sources ? pairs->sources[at] : pairs->first + at;
        int64_t filled = pairs->targets ? pairs->targets[at] : pairs->first + at;
        fetch_row(job->source, seen, part->channel, part->channels);
        fetch_row(job->target, filled, 0, job->target->channels);
    }
}

/* Groups of near equal size, as in the forward pass. */
static void multiply_slice(const chunk *found, int32_t channel, int32_t end, int32_t column,
                           const part *part, int start)
{
    int32_t groups = (end - channel + MR - 1) / MR;
    const float *g = found->g + column * PAIRS;
    for (int32_t group = 0; group < groups; group++) {
        int32_t c = channel + (end - channel) * group / groups;
        int32_t next = channel + (end - channel) * (group + 1) / groups;
        multiply_group(found, c, g, part->sums + c * part->pitch + column, part->pitch, next - c,
                       start);
    }
}

static void add_chunk(const c3d_job *job, const c3d_pairs *pairs, int64_t done, const part *part,
                      chunk *found)
{
    int64_t cout = job->target->channels, slices = (part->channels + SLICE - 1) / SLICE;
    int64_t steps = slices * (padded(cout, PANEL) / PANEL), next = done + PAIRS, step = 0;
    found->count = (int32_t)(pairs->count - done < PAIRS ? pairs->count - done : PAIRS);
    look_up(job, pairs, done, part, found);
    for (int64_t slice = 0; slice < slices; slice++) {
        int32_t first = (int32_t)(part->channels * slice / slices);
        int32_t end = (int32_t)(part->channels * (slice + 1) / slices);
        for (int32_t column = 0; column < cout; column += PANEL, step++) {
            fetch(job, pairs, next + PAIRS * step / steps, next + PAIRS * (step + 1) / steps, part);
            multiply_slice(found, first, end, column, part, done == 0);
        }
    }
}

void ISA(gradient)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel, int32_t channels,
                   float *sums, int64_t pitch, void *scratch)
{
    part part = {channel, channels, sums, pitch};
    chunk found = {.g = scratch};
    found.copies = found.g + PAIRS * padded(job->target->channels, PANEL);
    for (int64_t done = 0; done < pairs->count; done += PAIRS)
        add_chunk(job, pairs, done, &part, &found);
    if (pairs->count == 0)
        memset(sums, 0, (size_t)(channels * pitch) * sizeof(float));
}
