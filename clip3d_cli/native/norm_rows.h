/* Rows of numbers, cut into groups and blocks, read and written as floats. */
#ifndef CLIP3D_NORM_ROWS_H
#define CLIP3D_NORM_ROWS_H

#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define BLOCK_FLOATS 16384 /* of a block of rows: it stays in a core's cache for a second look */
#define BLOCK_ROWS 128     /* at most: sums of so many stay exact enough in float32 */
#define GROUPS 64          /* at most, whose sums are joined in order, whatever the threads */
#define MAX_THREADS 1024

/* Rows cut into groups, each summed by one thread, block after block. Depends on sizes alone. */
typedef struct {
    int64_t rows;
    int64_t block;
    int64_t group;
    int64_t groups;
} cut;

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline cut cut_rows(int64_t rows, int32_t channels)
{
    cut made = {rows, least(BLOCK_ROWS, BLOCK_FLOATS / channels + 1), 0, 0};
    int64_t blocks = (rows + made.block - 1) / made.block;
    made.group = (blocks + GROUPS - 1) / GROUPS * made.block;
    made.groups = rows ? (rows + made.group - 1) / made.group : 0;
    return made;
}

static inline float widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* To bf16, the nearest, ties to even. NaN stays NaN: its payload could carry into the sign. */
static inline uint16_t narrow(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(number != number ? bits >> 16 | 0x40 : rounded);
}

/* A row, as it lies there or widened into `room`. */
static inline const float *read_row(const c3d_rows *rows, int64_t row, float *room)
{
    if (rows->type == C3D_F32) return (const float *)rows->data + row * rows->pitch;
    const uint16_t *halves = (const uint16_t *)rows->data + row * rows->pitch;
    for (int32_t c = 0; c < rows->channels; c++) room[c] = widen(halves[c]);
    return room;
}

/* Where to write a row; keep_row then brings it to its place. */
static inline float *row_to_write(const c3d_rows *rows, int64_t row, float *room)
{
    return rows->type == C3D_F32 ? (float *)rows->data + row * rows->pitch : room;
}

static inline void keep_row(const c3d_rows *rows, int64_t row, const float *room)
{
    if (rows->type == C3D_F32) return;
    uint16_t *halves = (uint16_t *)rows->data + row * rows->pitch;
    for (int32_t c = 0; c < rows->channels; c++) halves[c] = narrow(room[c]);
}

static inline int32_t bad_pair(const c3d_rows *rows, const c3d_rows *like)
{
    return c3d_bad_rows(rows) || rows->rows != like->rows || rows->channels != like->channels;
}

static inline int32_t bad_threads(int32_t threads) { return threads < 1 || threads > MAX_THREADS; }

#endif
