/* Vectors of C3D_LANES floats by the vector extensions of GCC and Clang, for any CPU. */
#ifndef CLIP3D_ISA_VECTOR_H
#define CLIP3D_ISA_VECTOR_H

#include <string.h>

#include "kernels.h"

#define LANES C3D_LANES
#if LANES == 16
/* A register block is MR rows by NV vectors of sums: with the operands they fill the registers. */
#define MR 12
#define NV 2
#elif defined(__aarch64__)
#define MR 6
#define NV 4
#else
#define MR 6
#define NV 2
#endif
#define PANEL (NV * LANES) /* columns of a register block */

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define ISA(name) JOIN(c3d_##name##_, C3D_ISA) /* c3d_tile_avx2 and so on */
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
/* The loose types may be at any address: loads and stores of them need no alignment. */
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef uint16_t loose_halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE vec load(const float *place) { return (vec)*(const loose *)place; }
INLINE void store(float *place, vec value) { *(loose *)place = (loose)value; }

/* bf16 to float: the 16 bits are the upper half. */
INLINE vec widen(const uint16_t *place)
{
    halves half = (halves)*(const loose_halves *)place;
    return (vec)(__builtin_convertvector(half, words) << 16);
}

/* Float to bf16, the nearest, ties to even. NaN is handled apart: rounding could carry its
 * payload into the exponent and the sign. */
INLINE void narrow(uint16_t *place, vec value)
{
    words bits = (words)value;
    words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    words nan = (words)(value != value);
    rounded = (rounded & ~nan) | (((bits >> 16) | 0x40) & nan);
    *(loose_halves *)place = (loose_halves)__builtin_convertvector(rounded, halves);
}

/* Address of element (row, column). */
INLINE void *row_of(const c3d_rows *matrix, int64_t row, int64_t column)
{
    int64_t size = matrix->type == C3D_F32 ? 4 : 2;
    return (char *)matrix->data + (row * matrix->pitch + column) * size;
}

/* A vector from element (row, column) on; only `columns` numbers are in the row, zeros follow. */
INLINE vec load_part(const c3d_rows *matrix, int64_t row, int64_t column, int64_t columns)
{
    const void *place = row_of(matrix, row, column);
    int whole = columns >= LANES;
    if (matrix->type == C3D_F32) {
        float part[LANES] = {0};
        if (whole)
            return load(place);
        memcpy(part, place, (size_t)columns * 4);
        return load(part);
    }
    uint16_t part[LANES] = {0};
    if (whole)
        return widen(place);
    memcpy(part, place, (size_t)columns * 2);
    return widen(part);
}

/* Store the first `columns` numbers of a vector from element (row, column) on. */
INLINE void store_part(const c3d_rows *matrix, int64_t row, int64_t column, int64_t columns,
                       vec value)
{
    void *place = row_of(matrix, row, column);
    int whole = columns >= LANES;
    if (matrix->type == C3D_F32) {
        float part[LANES];
        store(whole ? place : part, value);
        if (!whole)
            memcpy(place, part, (size_t)columns * 4);
        return;
    }
    uint16_t part[LANES];
    narrow(whole ? place : part, value);
    if (!whole)
        memcpy(place, part, (size_t)columns * 2);
}

/* Copy a part of a row as floats to `place`, with zeros up to `padded`, a multiple of LANES. */
INLINE void copy_row(const c3d_rows *matrix, int64_t row, int64_t column, int64_t columns,
                     int64_t padded, float *place)
{
    for (int64_t j = 0; j < padded; j += LANES)
        store(place + j, j < columns ? load_part(matrix, row, column + j, columns - j)
                                     : (vec){0});
}

#endif
