/* Declarations of the AMX kernels, and the few instructions that they use.
 *
 * AMX has eight tile registers of 16 rows of 64 bytes. One instruction computes sums += x @ w,
 * where sums is 16 x 16 float32, x 16 rows of 32 bf16, and w 32 x 16 bf16, stored as 16 rows of
 * 16 pairs: the two numbers of a pair are consecutive rows of the matrix.
 *
 * The kernels are compiled for CPUs with AMX and, with C3D_AMX_EMULATED, for any CPU: then
 * amx_emulated.h computes the same bits in plain C, slowly, so that the kernels are tested on
 * CPUs without AMX. */
#ifndef CLIP3D_AMX_H
#define CLIP3D_AMX_H

#define C3D_LANES 16
#ifdef C3D_AMX_EMULATED
#define C3D_ISA wide
#define AMX(name, way) c3d_##name##_amx_emulated_##way
#define AMX_LAYOUT 14
#else
#define C3D_ISA avx512
#define AMX(name, way) c3d_##name##_amx_##way
#define AMX_LAYOUT 4
#endif

#include "isa_forward.h"

#define STEP 32                       /* numbers that one tile product sums over */
#define ROWS 32                       /* rows of a block: two tiles */
#define TILE 1024                     /* bytes of a tile: 16 rows of 64 bytes */

typedef uint16_t numbers __attribute__((vector_size(64))); /* 32 bf16 */
typedef uint16_t loose_numbers __attribute__((vector_size(64), aligned(2), may_alias));

#ifdef C3D_AMX_EMULATED
#include "amx_emulated.h"
#else
#include <immintrin.h>

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* The eight tiles are registers of the CPU; only the emulation needs memory for them. */
typedef struct {
} tiles;

INLINE void tiles_begin(tiles *set)
{
    static const tile_shapes shapes = {
        1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    (void)set;
    _tile_loadconfig(&shapes);
}

INLINE void tiles_end(tiles *set)
{
    (void)set;
    _tile_release();
}

/* GCC does not know that tile loads and stores access memory: this keeps it from moving other
 * accesses past them. */
INLINE void tiles_sync(void) { __asm__ volatile("" ::: "memory"); }

#define tile_zero(set, n) \
    do { \
        (void)(set); \
        _tile_zero(n); \
    } while (0)
#define tile_load(set, n, place, pitch) \
    do { \
        (void)(set); \
        _tile_loadd(n, place, pitch); \
    } while (0)
#define tile_store(set, n, place, pitch) \
    do { \
        (void)(set); \
        _tile_stored(n, place, pitch); \
    } while (0)
#define tile_multiply(set, sums, x, w) \
    do { \
        (void)(set); \
        _tile_dpbf16ps(sums, x, w); \
    } while (0)

/* 32 floats as bf16, the nearest, ties to even; numbers below 2^-126 become 0. */
INLINE numbers narrow_two(vec first, vec second)
{
    return (numbers)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

/* Lane j of the result is lane lanes[j] of `first`, or lane lanes[j] - 16 of `second`. */
INLINE words pick(words first, ints lanes, words second)
{
    return (words)_mm512_permutex2var_epi32((__m512i)first, (__m512i)lanes, (__m512i)second);
}

/* a0 ... a15 b0 ... b15 as a0 b0 a1 b1 ... a15 b15. */
INLINE numbers interleave(numbers both)
{
    static const numbers order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                  8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return (numbers)_mm512_permutexvar_epi16((__m512i)order, (__m512i)both);
}

/* The first or the second half of 32 bf16 as floats. */
INLINE vec widen_half(numbers both, int second)
{
    __m512i whole = (__m512i)both;
    __m256i half = second ? _mm512_extracti64x4_epi64(whole, 1) : _mm512_castsi512_si256(whole);
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
}
#endif

INLINE void store_numbers(void *place, numbers value) { *(loose_numbers *)place = value; }

/* A vector from element (row, column) on; only `columns` numbers are in the row, zeros follow.
 * columns may be 0 or negative: then nothing is read. */
INLINE vec load_columns(const c3d_rows *matrix, int64_t row, int64_t column, int64_t columns)
{
    return columns > 0 ? load_part(matrix, row, column, columns) : (vec){0};
}

INLINE int64_t ceil_divide(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

int64_t AMX(tile_bytes, high)(const c3d_job *job, int64_t rows, int32_t columns);
int64_t AMX(tile_bytes, fast)(const c3d_job *job, int64_t rows, int32_t columns);
void AMX(tile, high)(const c3d_job *job, const c3d_tile *tile, void *scratch);
void AMX(tile, fast)(const c3d_job *job, const c3d_tile *tile, void *scratch);
int64_t AMX(gradient_bytes, fast)(const c3d_job *job);
void AMX(gradient, fast)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel,
                         int32_t channels, float *sums, int64_t pitch, void *scratch);

#endif
