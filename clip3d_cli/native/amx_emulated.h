/* The instructions of amx.h in plain C, with the same bits as Intel's manual specifies: AMX flushes
 * numbers below 2^-126 to 0, in operands and results, and rounds to the nearest, ties to even. */
#ifndef CLIP3D_AMX_EMULATED_H
#define CLIP3D_AMX_EMULATED_H

#include <float.h>
#include <math.h>

typedef struct {
    uint32_t tile[8][16][16]; /* [tile][row][pair of bf16, or float] */
} tiles;

INLINE void tiles_begin(tiles *set) { memset(set, 0, sizeof *set); }
INLINE void tiles_end(tiles *set) { (void)set; }
INLINE void tiles_sync(void) {}

static inline void tile_zero(tiles *set, int n) { memset(set->tile[n], 0, TILE); }

static inline void tile_load(tiles *set, int n, const void *place, int64_t pitch)
{
    for (int row = 0; row < 16; row++)
        memcpy(set->tile[n][row], (const char *)place + row * pitch, 64);
}

static inline void tile_store(const tiles *set, int n, void *place, int64_t pitch)
{
    for (int row = 0; row < 16; row++)
        memcpy((char *)place + row * pitch, set->tile[n][row], 64);
}

/* The float with these bits; a subnormal number is 0. */
static inline float number(uint32_t bits)
{
    float value;
    if (!(bits & 0x7f800000))
        bits &= 0x80000000;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float flushed(float value) { return number(bits_of(value)); }

/* sums += x @ w. Numbers at even and at odd positions are summed in two chains of multiply-adds,
 * and the two sums are added at the end. */
static inline void tile_multiply(tiles *set, int sums, int x, int w)
{
    for (int row = 0; row < 16; row++) {
        float even[16] = {0}, odd[16] = {0};
        for (int k = 0; k < 16; k++) {
            uint32_t left = set->tile[x][row][k];
            for (int j = 0; j < 16; j++) {
                uint32_t right = set->tile[w][k][j];
                even[j] = flushed(fmaf(number(left << 16), number(right << 16), even[j]));
                odd[j] = flushed(fmaf(number(left & 0xffff0000), number(right & 0xffff0000),
                                      odd[j]));
            }
        }
        for (int j = 0; j < 16; j++) {
            float sum = flushed(even[j] + odd[j]);
            set->tile[sums][row][j] = bits_of(flushed(number(set->tile[sums][row][j]) + sum));
        }
    }
}

INLINE numbers narrow_two(vec first, vec second)
{
    numbers result;
    vec parts[2] = {first, second};
    for (int half = 0; half < 2; half++) {
        uint16_t part[16];
        words bits = (words)parts[half];
        narrow(part, (vec)(bits & ~((words)((bits & 0x7f800000) == 0) & 0x7fffffff)));
        memcpy((char *)&result + half * sizeof part, part, sizeof part);
    }
    return result;
}

INLINE vec widen_half(numbers both, int second)
{
    halves part;
    memcpy(&part, (const char *)&both + second * sizeof part, sizeof part);
    return (vec)(__builtin_convertvector(part, words) << 16);
}

INLINE words pick(words first, ints lanes, words second)
{
    words result;
    for (int j = 0; j < 16; j++)
        result[j] = lanes[j] < 16 ? first[lanes[j]] : second[lanes[j] - 16];
    return result;
}

INLINE numbers interleave(numbers both)
{
    numbers result;
    for (int j = 0; j < 16; j++) {
        result[2 * j] = both[j];
        result[2 * j + 1] = both[16 + j];
    }
    return result;
}

#endif
