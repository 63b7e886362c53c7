/* The gradient of one offset's matrix in float32; compiled once for every instruction set. */
#include "isa_forward.h"

#define PAIRS 64 /* at a time: their rows stay in the caches while the whole matrix passes */

/* sums (m, PANEL) (+)= x^T @ g over the pairs; x: (pairs, ., pitch), g: (pairs, PANEL). */
INLINE void multiply_pairs(const float *x, int64_t x_pitch, const float *g, int32_t pairs,
                           float *sums, int64_t pitch, int m, int start)
{
    vec total[MR][NV];
    for (int i = 0; i < m; i++)
        for (int v = 0; v < NV; v++)
            total[i][v] = start ? (vec){0} : load(sums + i * pitch + v * LANES);
    for (int32_t p = 0; p < pairs; p++, x += x_pitch, g += PANEL) {
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
        multiply_pairs(x, x_pitch, g, pairs, sums, pitch, m, start); \
        break;

static void multiply_channels(const float *x, int64_t x_pitch, const float *g, int32_t pairs,
                              float *sums, int64_t pitch, int m, int start)
{
    switch (m) {
        CHANNELS(1) CHANNELS(2) CHANNELS(3) CHANNELS(4) CHANNELS(5) CHANNELS(6)
#if MR > 6
        CHANNELS(7) CHANNELS(8) CHANNELS(9) CHANNELS(10) CHANNELS(11) CHANNELS(12)
#endif
    }
}

static int64_t padded_channels(int64_t channels)
{
    return (channels + LANES - 1) / LANES * LANES;
}

int64_t ISA(gradient_bytes)(const c3d_job *job)
{
    return PAIRS * (padded_channels(job->source->channels) + PANEL) * (int64_t)sizeof(float);
}

static void gather(const c3d_rows *matrix, const int32_t *rows, int64_t first, int32_t count,
                   int32_t column, int32_t columns, int64_t padded, float *place)
{
    for (int32_t p = 0; p < count; p++)
        copy_row(matrix, rows ? rows[first + p] : first + p, column, columns, padded,
                 place + p * padded);
}

void ISA(gradient)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel, int32_t channels,
                   float *sums, int64_t pitch, void *scratch)
{
    int64_t padded = padded_channels(channels), first = pairs->targets ? 0 : pairs->first;
    float *x = scratch, *g = x + PAIRS * padded;
    int32_t groups = (channels + MR - 1) / MR, cout = job->target->channels;
    for (int64_t done = 0; done < pairs->count; done += PAIRS) {
        int32_t count = (int32_t)(pairs->count - done < PAIRS ? pairs->count - done : PAIRS);
        gather(job->source, pairs->sources, first + done, count, channel, channels, padded, x);
        for (int32_t column = 0; column < cout; column += PANEL) {
            int32_t columns = cout - column < PANEL ? cout - column : PANEL;
            gather(job->target, pairs->targets, first + done, count, column, columns, PANEL, g);
            for (int32_t group = 0, c = 0; group < groups; group++) {
                int32_t end = (int32_t)((int64_t)channels * (group + 1) / groups);
                multiply_channels(x + c, padded, g, count, sums + c * pitch + column, pitch,
                                  end - c, done == 0);
                c = end;
            }
        }
    }
    if (pairs->count == 0)
        memset(sums, 0, (size_t)(channels * pitch) * sizeof(float));
}
