/* The gradient of one offset's matrix by AMX, in bf16. */
#include "amx.h"

#define PAIRS 128 /* at a time; cuts do not depend on threads: nor does the order of sums */

/* Sixteen columns of two rows as bf16, interleaved; an absent row is zeros. */
typedef struct {
    const c3d_rows *matrix;
    const int32_t *rows; /* of pairs, or NULL: pair p is row p */
    int64_t first;       /* pair */
    int64_t count;
    int64_t column;
    int64_t columns;     /* zeros behind them */
} chunk;

static words two_rows(const chunk *chunk, int64_t pair, int64_t column)
{
    vec both[2];
    for (int i = 0; i < 2; i++) {
        int64_t at = chunk->first + pair + i, left = chunk->columns - column;
        both[i] = (vec){0};
        if (pair + i < chunk->count)
            both[i] = load_columns(chunk->matrix, chunk->rows ? chunk->rows[at] : at,
                                   chunk->column + column, left);
    }
    return (words)interleave(narrow_two(both[0], both[1]));
}

/* [16 columns][step of 32 pairs][two pairs][column][pair of it]: the right side of products. */
static void lay_right(const chunk *chunk, int64_t steps, char *place)
{
    for (int64_t column = 0; column < cut(chunk->columns, ROWS) * ROWS; column += LANES)
        for (int64_t pair = 0; pair < steps * STEP; pair += 2, place += 64)
            store_numbers(place, (numbers)two_rows(chunk, pair, column));
}

/* Sixteen by sixteen: blocks of `width` beside the diagonal change places, then smaller ones. */
static void transpose(words *rows)
{
    const ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int width = 8; width > 0; width /= 2) {
        ints inner = (lane & width) != 0;
        ints upper = lane + (inner & (16 - width)), lower = lane + width + (inner & (16 - width));
        for (int i = 0; i < 16; i++)
            if (!(i & width)) {
                words above = rows[i], below = rows[i + width];
                rows[i] = pick(above, upper, below);
                rows[i + width] = pick(above, lower, below);
            }
    }
}

/* [16 columns][step of 32 pairs][column][pair]: the left side of products. */
static void lay_left(const chunk *chunk, int64_t steps, char *place)
{
    for (int64_t column = 0; column < cut(chunk->columns, ROWS) * ROWS; column += LANES)
        for (int64_t step = 0; step < steps; step++) {
            words rows[16];
            for (int i = 0; i < 16; i++)
                rows[i] = two_rows(chunk, step * STEP + 2 * i, column);
            transpose(rows);
            for (int i = 0; i < 16; i++, place += 64)
                store_numbers(place, (numbers)rows[i]);
        }
}

/* sums (32, 32) (+)= left @ right over a chunk's pairs; sides: [16][step] tiles. */
static void multiply(tiles *set, const char *left, const char *right, int64_t steps, float *sums,
                     int64_t pitch, int start)
{
    int64_t bytes = pitch * (int64_t)sizeof(float);
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
        tile_load(set, 5, right + (steps + step) * TILE, 64);
        tile_load(set, 6, left + step * TILE, 64);
        tile_load(set, 7, left + (steps + step) * TILE, 64);
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

/* Where fewer than 32 channels are left, the rows behind them belong to somebody else. */
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
    return cut(columns, ROWS) * ROWS * PAIRS * (int64_t)sizeof(uint16_t);
}

static void multiply_chunk(tiles *set, const char *left, const char *right, int64_t steps,
                           float *sums, int64_t pitch, int start, int64_t channels)
{
    for (int64_t i = 0; i < channels; i += ROWS, left += 2 * steps * TILE)
        for (int64_t j = 0; j < pitch; j += PANEL) {
            const char *panel = right + j / LANES * steps * TILE;
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
        int64_t steps = cut(count, STEP);
        chunk x = {job->source, pairs->sources, base + done, count, channel, channels};
        chunk g = {job->target, pairs->targets, base + done, count, 0, job->target->channels};
        lay_left(&x, steps, left);
        lay_right(&g, steps, right);
        multiply_chunk(&set, left, right, steps, sums, pitch, done == 0, channels);
    }
    tiles_end(&set);
    if (pairs->count == 0)
        memset(sums, 0, (size_t)(channels * pitch) * sizeof(float));
}
