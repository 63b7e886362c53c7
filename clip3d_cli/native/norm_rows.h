/* Rows of numbers for batch normalization: cut into groups and blocks, read and written as
 * floats.
 *
 * Sums over rows have a fixed order whatever the number of threads: rows are cut into at most 64
 * groups, a group is summed by one thread, block after block, and the groups' sums are joined in
 * order. The cuts depend on the sizes only. */
#ifndef CLIP3D_NORM_ROWS_H
#define CLIP3D_NORM_ROWS_H

#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define BLOCK_FLOATS 16384 /* floats of a block: it stays in a core's cache for a second pass */
#define BLOCK_ROWS 128     /* rows of a block at most: float32 sums of so many are exact enough */
#define GROUPS 64          /* groups at most */
#define MAX_THREADS 1024

typedef struct {
    int64_t rows;
    int64_t block;  /* rows of a block */
    int64_t group;  /* rows of a group, a multiple of block */
    int64_t groups;
} cuts;

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline cuts cut_rows(int64_t rows, int32_t channels)
{
    cuts cuts = {rows, least(BLOCK_ROWS, BLOCK_FLOATS / channels + 1), 0, 0};
    int64_t blocks = (rows + cuts.block - 1) / cuts.block;
    cuts.group = (blocks + GROUPS - 1) / GROUPS * cuts.block;
    cuts.groups = rows ? (rows + cuts.group - 1) / cuts.group : 0;
    return cuts;
}

/* bf16 to float: the 16 bits are the upper half. */
static inline float widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Float to bf16, the nearest, ties to even. NaN is handled apart: rounding could carry its
 * payload into the exponent and the sign. */
static inline uint16_t narrow(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(number != number ? bits >> 16 | 0x40 : rounded);
}

/* A row as floats: in place, or converted into `room` (channels). */
static inline const float *read_row(const c3d_rows *rows, int64_t row, float *room)
{
    if (rows->type == C3D_F32) return (const float *)rows->data + row * rows->pitch;
    const uint16_t *halves = (const uint16_t *)rows->data + row * rows->pitch;
    for (int32_t c = 0; c < rows->channels; c++) room[c] = widen(halves[c]);
    return room;
}

/* Where to write a row as floats: in place, or `room`; write_back then converts that. */
static inline float *row_to_write(const c3d_rows *rows, int64_t row, float *room)
{
    return rows->type == C3D_F32 ? (float *)rows->data + row * rows->pitch : room;
}

static inline void write_back(const c3d_rows *rows, int64_t row, const float *room)
{
    if (rows->type == C3D_F32) return;
    uint16_t *halves = (uint16_t *)rows->data + row * rows->pitch;
    for (int32_t c = 0; c < rows->channels; c++) halves[c] = narrow(room[c]);
}

/* Whether rows are invalid or have another shape than `like`. */
static inline int32_t bad_pair(const c3d_rows *rows, const c3d_rows *like)
{
    return c3d_bad_rows(rows) || rows->rows != like->rows || rows->channels != like->channels;
}

static inline int32_t bad_threads(int32_t threads) { return threads < 1 || threads > MAX_THREADS; }

#endif
