/* Batch normalization over rows, forward. Memory bandwidth limits it, so these are plain loops
 * that every compiler vectorizes. */
#include "norm_rows.h"

/* ------------------------------------------------------------------ mean and variance
 *
 * The obvious E[x^2] - E[x]^2 loses all digits where the mean is large. Instead every block of
 * rows is read twice, for its mean and for the squares about it, while it is in the cache; blocks
 * are joined in double precision. */

#define AT_ONCE 4 /* rows that are added at once: the sums are loaded and stored once for all */
#define ROOM 8    /* rows of scratch that a block needs: 4 of sums, and AT_ONCE converted ones */

/* AT_ONCE rows of a block; those after its end are `blank`. */
static void read_rows(const c3d_rows *feats, int64_t row, int64_t end, const float *blank,
                      float *room, const float *x[AT_ONCE])
{
    for (int64_t i = 0; i < AT_ONCE; i++)
        x[i] = row + i < end ? read_row(feats, row + i, room + i * feats->channels) : blank;
}

static void add_rows(const float *const x[AT_ONCE], int32_t channels, float *restrict sums)
{
    const float *a = x[0], *b = x[1], *c = x[2], *d = x[3];
    for (int32_t j = 0; j < channels; j++) sums[j] += (a[j] + b[j]) + (c[j] + d[j]);
}

/* Add deviations from the mean, which sum to about 0, and their squares. */
static void add_squares(const float *const x[AT_ONCE], const float *mean, int32_t channels,
                        float *restrict deviations, float *restrict squares)
{
    const float *a = x[0], *b = x[1], *c = x[2], *d = x[3];
    for (int32_t j = 0; j < channels; j++) {
        float p = a[j] - mean[j], q = b[j] - mean[j], r = c[j] - mean[j], s = d[j] - mean[j];
        deviations[j] += (p + q) + (r + s);
        squares[j] += (p * p + q * q) + (r * r + s * s);
    }
}

/* Mean, squares about it and deviations from it of one block: the first three rows of `room` (ROOM,
 * channels). The deviations correct the rounding of the mean. */
static void block_moments(const c3d_rows *feats, int64_t begin, int64_t end, float *room)
{
    int32_t channels = feats->channels;
    float *mean = room, *squares = room + channels, *deviations = room + 2 * channels;
    float *zeros = room + 3 * channels, share = 1.0F / (float)(end - begin);
    const float *x[AT_ONCE];
    memset(room, 0, (size_t)channels * 4 * sizeof *room);
    for (int64_t row = begin; row < end; row += AT_ONCE) {
        read_rows(feats, row, end, zeros, room + 4 * channels, x);
        add_rows(x, channels, mean);
    }
    for (int32_t c = 0; c < channels; c++) mean[c] *= share;
    /* Rows after the end are the mean itself, whose deviation is 0. */
    for (int64_t row = begin; row < end; row += AT_ONCE) {
        read_rows(feats, row, end, mean, room + 4 * channels, x);
        add_squares(x, mean, channels, deviations, squares);
    }
}

/* Join means and squares of two sets of rows (Chan, Golub and LeVeque 1983, Eq. 2.1). */
static void join_moments(double *mean, double *squares, double rows, double other_mean,
                         double other_squares, double other_rows)
{
    double apart = other_mean - *mean, all = rows + other_rows;
    *mean += apart * other_rows / all;
    *squares += other_squares + apart * apart * rows * other_rows / all;
}

/* Moments of one group. moments: (2, channels) means and squares, all 0, written. */
static void group_moments(const c3d_rows *feats, const cuts *cuts, int64_t group, double *moments,
                          float *room)
{
    int32_t channels = feats->channels;
    int64_t first = group * cuts->group, stop = least(first + cuts->group, cuts->rows);
    for (int64_t begin = first; begin < stop; begin += cuts->block) {
        int64_t end = least(begin + cuts->block, stop);
        double count = (double)(end - begin);
        block_moments(feats, begin, end, room);
        for (int32_t c = 0; c < channels; c++) {
            double deviations = room[2 * channels + c];
            join_moments(moments + c, moments + channels + c, (double)(begin - first),
                         room[c] + deviations / count,
                         room[channels + c] - deviations * deviations / count, count);
        }
    }
}

int32_t c3d_moments(const c3d_rows *feats, float *mean, float *variance, int32_t threads)
{
    if (c3d_bad_rows(feats) || feats->rows < 1 || !mean || !variance || bad_threads(threads))
        return C3D_BAD_ARGUMENT;
    int32_t channels = feats->channels, no_memory = 0;
    cuts cuts = cut_rows(feats->rows, channels);
    double *moments = calloc((size_t)cuts.groups * 2 * channels, sizeof *moments);
    if (!moments) return C3D_NO_MEMORY;
    threads = (int32_t)least(threads, cuts.groups);
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        float *room = malloc((size_t)channels * ROOM * sizeof *room);
        no_memory |= !room;
#pragma omp for schedule(static)
        for (int64_t group = 0; group < cuts.groups; group++)
            if (room) group_moments(feats, &cuts, group, moments + group * 2 * channels, room);
        free(room);
    }
    for (int32_t c = 0; c < channels && !no_memory; c++) {
        double *own = moments + c;
        for (int64_t group = 1; group < cuts.groups; group++) {
            const double *other = own + group * 2 * channels;
            int64_t before = group * cuts.group; /* rows joined so far */
            join_moments(own, own + channels, (double)before, *other, other[channels],
                         (double)(least(before + cuts.group, cuts.rows) - before));
        }
        mean[c] = (float)own[0];
        variance[c] = (float)(own[channels] / (double)cuts.rows);
    }
    free(moments);
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}

/* ------------------------------------------------------------------ scale and shift */

/* y may be x or residual itself. omp simd is valid even so: they overlap exactly, so no number
 * is read after it was overwritten. */
static void scale_row(const float *x, const float *scale, const float *shift,
                      const float *residual, int32_t channels, float *y)
{
    if (residual) {
#pragma omp simd
        for (int32_t c = 0; c < channels; c++) y[c] = x[c] * scale[c] + shift[c] + residual[c];
    } else {
#pragma omp simd
        for (int32_t c = 0; c < channels; c++) y[c] = x[c] * scale[c] + shift[c];
    }
}

int32_t c3d_scale_shift(const c3d_rows *feats, const float *scale, const float *shift,
                        const c3d_rows *residual, int32_t relu, const c3d_rows *result,
                        int32_t threads)
{
    if (c3d_bad_rows(feats) || bad_pair(result, feats) || !scale || !shift
        || (residual && bad_pair(residual, feats)) || bad_threads(threads))
        return C3D_BAD_ARGUMENT;
    int32_t channels = feats->channels, no_memory = 0;
    cuts cuts = cut_rows(feats->rows, channels);
    threads = (int32_t)least(threads, cuts.groups + !cuts.groups);
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        float *room = malloc((size_t)channels * 3 * sizeof *room);
        no_memory |= !room;
#pragma omp for schedule(static)
        for (int64_t row = 0; row < feats->rows; row++) {
            if (!room) continue;
            const float *x = read_row(feats, row, room);
            const float *added = residual ? read_row(residual, row, room + channels) : NULL;
            float *y = row_to_write(result, row, room + 2 * channels);
            scale_row(x, scale, shift, added, channels, y);
            for (int32_t c = 0; c < channels && relu; c++)
                y[c] = y[c] < 0 ? 0 : y[c]; /* NaN is not below 0, so it stays */
            write_back(result, row, y);
        }
        free(room);
    }
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}
