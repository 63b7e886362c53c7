/* The gradient of one offset's matrix by AMX, in bf16.
 *
 * sums (channels, cout) = X^T G over chunks of pairs. A tile product sums over 32 consecutive
 * numbers of a row, so both sides need pairs along their rows: G as pairs of rows (which is how
 * the right side is stored), X transposed. */
#include "amx.h"

#define PAIRS 128 /* pairs of a chunk, whatever the number of threads: the order of sums is fixed */

/* Some columns of the rows of some pairs. */
typedef struct {
    const c3d_rows *matrix;
    const int32_t *rows; /* row of every pair, or NULL: pair p is row first + p */
    int64_t first;
    int64_t count;
    int64_t column;
    int64_t columns;     /* zeros follow */
} chunk;

/* Address of a pair's row; NULL after the last pair. */
static const void *row_at(const chunk *chunk, int64_t pair)
{
    int64_t at = chunk->first + pair;
    if (pair >= chunk->count)
        return NULL;
    return row_of(chunk->matrix, chunk->rows ? chunk->rows[at] : at, chunk->column);
}

/* Sixteen columns of two rows as bf16: one row's, then the other's. */
INLINE numbers two_floats(const float *even, const float *odd)
{
    return narrow_two(load(even), load(odd));
}

INLINE numbers two_halves(const uint16_t *even, const uint16_t *odd)
{
    numbers both;
    memcpy(&both, even, 32);
    memcpy((char *)&both + 32, odd, 32);
    return both;
}

/* The same for rows that may be missing (NULL) or have fewer columns. */
static numbers two_parts(const chunk *chunk, const void *even, const void *odd, int64_t column)
{
    c3d_rows rows = {(void *)even, 1, 0, 0, chunk->matrix->type};
    vec first = load_columns(&rows, 0, column, even ? chunk->columns - column : 0);
    rows.data = (void *)odd;
    return narrow_two(first, load_columns(&rows, 0, column, odd ? chunk->columns - column : 0));
}

/* Bytes from sixteen columns to the next: an odd number of cache lines, so that they do not fall
 * into the same few sets of a cache and evict each other. */
static int64_t group_bytes(int64_t steps) { return steps * TILE + 64; }

/* Copy a chunk to [16 columns][step of 32 pairs][two pairs][column][pair of the two]: the last
 * three are a tile as tile products read it on their right side. */
static void lay_out(const chunk *chunk, int64_t steps, char *place)
{
    int64_t group = group_bytes(steps), end = ceil_divide(chunk->columns, ROWS) * ROWS;
    for (int64_t pair = 0; pair < steps * STEP; pair += 2, place += 64) {
        const void *even = row_at(chunk, pair), *odd = row_at(chunk, pair + 1);
        int64_t whole = odd ? chunk->columns / LANES * LANES : 0, j = 0;
        char *here = place;
        if (chunk->matrix->type == C3D_F32)
            for (; j < whole; j += LANES, here += group)
                store_numbers(here, interleave(two_floats((const float *)even + j,
                                                          (const float *)odd + j)));
        else
            for (; j < whole; j += LANES, here += group)
                store_numbers(here, interleave(two_halves((const uint16_t *)even + j,
                                                          (const uint16_t *)odd + j)));
        for (; j < end; j += LANES, here += group)
            store_numbers(here, interleave(two_parts(chunk, even, odd, j)));
    }
}

/* Exchange the off-diagonal blocks of `width` x `width` words in every block of twice that. */
INLINE void exchange(words *rows, int width)
{
    const ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ints inner = (lane & width) != 0;
    ints upper = lane + (inner & (16 - width)), lower = lane + width + (inner & (16 - width));
    for (int i = 0; i < 16; i++)
        if (!(i & width)) {
            words above = rows[i], below = rows[i + width];
            rows[i] = pick(above, upper, below);
            rows[i + width] = pick(above, lower, below);
        }
}

/* Transpose a tile of 16 x 16 words; a word is one column's numbers of two pairs. Before, a row
 * is two pairs; after, it is a column, as tile products read it on their left side. */
static void transpose(char *tile)
{
    words rows[16];
    memcpy(rows, tile, TILE);
    exchange(rows, 8);
    exchange(rows, 4);
    exchange(rows, 2);
    exchange(rows, 1);
    memcpy(tile, rows, TILE);
}

static void transpose_all(int64_t columns, int64_t steps, char *place)
{
    for (int64_t j = 0; j < ceil_divide(columns, ROWS) * ROWS;
         j += LANES, place += group_bytes(steps))
        for (int64_t step = 0; step < steps; step++)
            transpose(place + step * TILE);
}

/* sums (32, 32) (+)= left @ right over the pairs of a chunk. */
static void multiply(tiles *set, const char *left, const char *right, int64_t steps, float *sums,
                     int64_t pitch, int start)
{
    int64_t bytes = pitch * (int64_t)sizeof(float), group = group_bytes(steps);
    tiles_sync();
    if (start) {
        tile_zero(set, 0);
        tile_zero(set, 1);
        tile_zero(set, 2);
        tile_zero(set, 3);
    } else {
        tile_load(set, 0, sums, bytes);
        tile_load(set, 1, sums + 16, bytes);
        tile_load(set, 2, sums + 16 * pitch, bytes);
        tile_load(set, 3, sums + 16 * pitch + 16, bytes);
    }
    for (int64_t step = 0; step < steps; step++) {
        tile_load(set, 4, right + step * TILE, 64);
        tile_load(set, 5, right + group + step * TILE, 64);
        tile_load(set, 6, left + step * TILE, 64);
        tile_load(set, 7, left + group + step * TILE, 64);
        tile_multiply(set, 0, 6, 4);
        tile_multiply(set, 1, 6, 5);
        tile_multiply(set, 2, 7, 4);
        tile_multiply(set, 3, 7, 5);
    }
    tile_store(set, 0, sums, bytes);
    tile_store(set, 1, sums + 16, bytes);
    tile_store(set, 2, sums + 16 * pitch, bytes);
    tile_store(set, 3, sums + 16 * pitch + 16, bytes);
    tiles_sync();
}

/* With fewer than 32 channels left the rows after them belong to another task: through a copy. */
static void multiply_edge(tiles *set, const char *left, const char *right, int64_t steps,
                          float *sums, int64_t pitch, int start, int64_t channels)
{
    float block[ROWS * PANEL] __attribute__((aligned(64))) = {0};
    for (int64_t i = 0; i < channels && !start; i++)
        memcpy(block + i * PANEL, sums + i * pitch, PANEL * sizeof(float));
    multiply(set, left, right, steps, block, PANEL, start);
    for (int64_t i = 0; i < channels; i++)
        memcpy(sums + i * pitch, block + i * PANEL, PANEL * sizeof(float));
}

static int64_t side_bytes(int64_t columns)
{
    return ceil_divide(columns, ROWS) * 2 * group_bytes(PAIRS / STEP);
}

static void multiply_chunk(tiles *set, const char *left, const char *right, int64_t steps,
                           float *sums, int64_t pitch, int start, int64_t channels)
{
    for (int64_t i = 0; i < channels; i += ROWS, left += 2 * group_bytes(steps))
        for (int64_t j = 0; j < pitch; j += PANEL) {
            const char *panel = right + j / LANES * group_bytes(steps);
            float *place = sums + i * pitch + j;
            if (channels - i < ROWS)
                multiply_edge(set, left, panel, steps, place, pitch, start, channels - i);
            else
                multiply(set, left, panel, steps, place, pitch, start);
        }
}

int64_t AMX(gradient_bytes, fast)(const c3d_job *job)
{
    return side_bytes(job->source->channels) + side_bytes(job->target->channels);
}

void AMX(gradient, fast)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel,
                         int32_t channels, float *sums, int64_t pitch, void *scratch)
{
    tiles set;
    char *left = scratch, *right = left + side_bytes(channels);
    int64_t base = pairs->targets ? 0 : pairs->first;
    tiles_begin(&set);
    for (int64_t done = 0; done < pairs->count; done += PAIRS) {
        int64_t count = pairs->count - done < PAIRS ? pairs->count - done : PAIRS;
        int64_t steps = ceil_divide(count, STEP);
        chunk x = {job->source, pairs->sources, base + done, count, channel, channels};
        chunk g = {job->target, pairs->targets, base + done, count, 0, job->target->channels};
        lay_out(&x, steps, left);
        transpose_all(channels, steps, left);
        lay_out(&g, steps, right);
        multiply_chunk(&set, left, right, steps, sums, pitch, done == 0, channels);
    }
    tiles_end(&set);
    if (pairs->count == 0)
        memset(sums, 0, (size_t)(channels * pitch) * sizeof(float));
}
