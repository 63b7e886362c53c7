/* Detection of AMX, packing of weights for it, and the tables of its kernels. */
#include "amx.h"

#ifndef C3D_AMX_EMULATED
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#define REQUEST_PERMISSION 0x1023 /* ARCH_REQ_XCOMP_PERM: Linux grants AMX on request */
#define TILE_DATA 18 /* number of the state component XTILEDATA */
#endif

int32_t c3d_amx_usable(void)
{
    unsigned a, b, c, d, bf16, most;
    /* CPUID leaf 7: bits AMX-BF16 (22) and AMX-TILE (24) of EDX, then AVX512_BF16 (5) of EAX. */
    if (!__get_cpuid_count(7, 0, &most, &b, &c, &d) || most < 1 || !(d >> 22 & d >> 24 & 1))
        return 0;
    if (!__get_cpuid_count(7, 1, &bf16, &b, &c, &d) || !(bf16 >> 5 & 1))
        return 0;
    /* Leaf 0x1d: at least 8 tiles of 16 rows of 64 bytes. */
    if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d) || b >> 16 < 8 || (b & 0xffff) < 64
        || (c & 0xffff) < 16)
        return 0;
#ifdef __linux__
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return 0;
#endif
}
#endif

static int64_t matrix_bytes(int32_t cin, int32_t cout, int parts)
{
    return ceil_divide(cout, PANEL) * ceil_divide(cin, STEP) * parts * 2 * TILE;
}

/* Sixteen columns of row i of the matrix, zeros outside of it. */
static vec weights_of(const float *weight, int64_t row_pitch, int64_t column_pitch, int64_t i,
                      int64_t j, int32_t cin, int32_t cout)
{
    vec part = {0};
    for (int64_t lane = 0; i < cin && lane < LANES && j + lane < cout; lane++)
        part[lane] = weight[i * row_pitch + (j + lane) * column_pitch];
    return part;
}

/* To [panel of 32 columns][step of 32 rows][part][16 columns][pair of rows][column][row of the
 * pair]: the last three are a tile, in the order that the tile product reads. Part 0 is the
 * weight rounded to bf16, part 1 (only in HIGH) the rest, weight - part 0, as bf16: together
 * about 16 significant bits. */
static void pack(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
                 int32_t cout, int parts, char *place)
{
    for (int64_t j = 0; j < cout; j += PANEL)
        for (int64_t i = 0; i < cin; i += STEP, place += parts * 2 * TILE)
            for (int64_t at = 0; at < STEP; at++) { /* 16 pairs of rows, times 2 tiles */
                int64_t row = i + at / 2 * 2, column = j + at % 2 * LANES;
                char *here = place + at % 2 * TILE + at / 2 * 64;
                vec even = weights_of(weight, row_pitch, column_pitch, row, column, cin, cout);
                vec odd = weights_of(weight, row_pitch, column_pitch, row + 1, column, cin, cout);
                numbers near = narrow_two(even, odd);
                store_numbers(here, interleave(near));
                if (parts == 2)
                    store_numbers(here + 2 * TILE,
                                  interleave(narrow_two(even - widen_half(near, 0),
                                                        odd - widen_half(near, 1))));
            }
}

static int64_t bytes_high(int32_t cin, int32_t cout) { return matrix_bytes(cin, cout, 2); }
static int64_t bytes_fast(int32_t cin, int32_t cout) { return matrix_bytes(cin, cout, 1); }

static void pack_high(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
                      int32_t cout, void *packed)
{
    pack(weight, row_pitch, column_pitch, cin, cout, 2, packed);
}

static void pack_fast(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
                      int32_t cout, void *packed)
{
    pack(weight, row_pitch, column_pitch, cin, cout, 1, packed);
}

const c3d_kernels AMX(kernels, high) = {
    .layout = AMX_LAYOUT,
    .panel = PANEL,
    .column_block = 256,
    .packed_bytes = bytes_high,
    .pack = pack_high,
    .tile_bytes = AMX(tile_bytes, high),
    .tile = AMX(tile, high),
    .sums_bytes = SUMS_BYTES,
    .channel_group = CHANNEL_GROUP,
    .gradient_bytes = ISA(gradient_bytes), /* gradients of weights stay float32 */
    .gradient = ISA(gradient),
};

const c3d_kernels AMX(kernels, fast) = {
    .layout = AMX_LAYOUT + 1,
    .panel = PANEL,
    .column_block = 256,
    .packed_bytes = bytes_fast,
    .pack = pack_fast,
    .tile_bytes = AMX(tile_bytes, fast),
    .tile = AMX(tile, fast),
    .sums_bytes = 262144, /* every CPU with AMX has a second-level cache of 2 MB per core */
    .channel_group = ROWS,
    .gradient_bytes = AMX(gradient_bytes, fast),
    .gradient = AMX(gradient, fast),
};
