/* Kernel maps onto the same cells: which rows see which, found by walking sorted keys. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define STEP_X ((int64_t)1 << (2 * C3D_AXIS_BITS))
#define STEP_Y ((int64_t)1 << C3D_AXIS_BITS)
#define AFTER_ALL INT64_MAX
#define LAST_KEY ((int64_t)511 << (3 * C3D_AXIS_BITS)) /* no key, moved by an offset, reaches it */
#define MAX_HALF (C3D_MAX_OFFSETS / 2)
#define RANGE 1024 /* rows that one thread walks at a time */

/* What the walk over some rows found, until it is known where it belongs. */
typedef struct {
    int32_t *rows;             /* of every list its targets, then its sources */
    int32_t first[MAX_HALF];   /* place of the range's pairs in each list */
    int32_t count[MAX_HALF];
} walked;

static int64_t lower_bound(const int64_t *keys, int64_t n, int64_t wanted) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (keys[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The keys with sentinels behind them; NULL if there is no memory or these are no sorted keys. */
static int64_t *padded_keys(const int64_t *keys, int64_t n) {
    int64_t *padded = malloc((size_t)(n + 5) * sizeof *padded);
    if (!padded) return NULL;
    int64_t before = -1;
    int wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        wrong |= keys[i] <= before;
        before = padded[i] = keys[i];
    }
    if (wrong || before >= LAST_KEY) {
        free(padded);
        return NULL;
    }
    for (int64_t i = n; i < n + 5; i++) padded[i] = AFTER_ALL;
    return padded;
}

/* The pairs of some rows with the cells `step` … `step + width - 1` further on. In key order the
 * cells of a column along z lie side by side: one pointer finds all of them. */
static inline __attribute__((always_inline)) void walk(const int64_t *keys, int64_t n,
                                                       int64_t begin, int64_t end, int64_t step,
                                                       int32_t width, int32_t *lists,
                                                       int32_t *count) {
    int64_t near = lower_bound(keys, n, keys[begin] + step);
    for (int64_t row = begin; row < end; row++) {
        int64_t wanted = keys[row] + step;
        while (keys[near] < wanted) near++;
        int64_t seen = near;
        for (int32_t d = 0; d < width; d++) {
            int32_t *list = lists + (int64_t)d * 2 * RANGE + count[d];
            int32_t found = keys[seen] == wanted + d;
            list[0] = (int32_t)row;
            list[RANGE] = (int32_t)seen;
            count[d] += found;
            seen += found;
        }
    }
}

static void walk_columns(const int64_t *keys, int64_t n, int64_t begin, int64_t end, int32_t size,
                         int32_t *lists, int32_t *count) {
    int32_t reach = size / 2, half = size * size * size / 2;
    if (reach == 1) walk(keys, n, begin, end, 1, 1, lists, count);
    else walk(keys, n, begin, end, 1, 2, lists, count);
    for (int32_t column = size * size / 2 + 1; column < size * size; column++) {
        int64_t step = (column / size - reach) * STEP_X + (column % size - reach) * STEP_Y - reach;
        int32_t h = column * size - half - 1;
        int32_t *own = lists + (int64_t)h * 2 * RANGE;
        if (size == 3) walk(keys, n, begin, end, step, 3, own, count + h);
        else walk(keys, n, begin, end, step, 5, own, count + h);
    }
}

/* Keep what a walk found in a block of its own size. */
static int keep(const int32_t *lists, int32_t half, walked *range) {
    int64_t total = 0, at = 0;
    for (int32_t h = 0; h < half; h++) total += range->count[h];
    range->rows = c3d_room(2 * total * (int64_t)sizeof(int32_t));
    if (!range->rows) return 0;
    for (int32_t h = 0; h < half; h++)
        for (int32_t side = 0; side < 2; side++) {
            memcpy(range->rows + at, lists + (2 * h + side) * (int64_t)RANGE,
                   (size_t)range->count[h] * sizeof(int32_t));
            at += range->count[h];
        }
    return 1;
}

static int walk_ranges(const int64_t *keys, int64_t n, int32_t size, walked *ranges,
                       int32_t threads) {
    int32_t half = size * size * size / 2;
    int64_t count = (n + RANGE - 1) / RANGE;
    int failed = 0;
    (void)threads;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        int32_t *lists = c3d_room((int64_t)half * 2 * RANGE * (int64_t)sizeof(int32_t));
        failed |= !lists;
#pragma omp for schedule(dynamic)
        for (int64_t r = 0; r < count; r++) {
            int64_t end = (r + 1) * RANGE < n ? (r + 1) * RANGE : n;
            if (!lists) continue;
            walk_columns(keys, n, r * RANGE, end, size, lists, ranges[r].count);
            failed |= !keep(lists, half, &ranges[r]);
        }
        free(lists);
    }
    return !failed;
}

/* Every list gets its place, and every range its place in each list. */
static int64_t place_lists(c3d_map *map, walked *ranges, int64_t count) {
    int32_t half = map->offsets / 2;
    int64_t pairs = 0;
    for (int32_t h = 0; h < half; h++) {
        int32_t k = half + 1 + h;
        for (int64_t r = 0; r < count; r++) {
            ranges[r].first[h] = (int32_t)map->count[k];
            map->count[k] += ranges[r].count[h];
        }
        map->count[half - 1 - h] = map->count[k];
        pairs += map->count[k];
    }
    return pairs;
}

static void point_at_lists(c3d_map *map) {
    int32_t half = map->offsets / 2;
    int64_t at = 0;
    for (int32_t h = 0; h < half; h++) {
        int32_t k = half + 1 + h, mirror = half - 1 - h;
        for (int side = 0; side < 2; side++) {
            const int32_t *rows = (const int32_t *)map->memory[side] + at;
            map->rows[side][k] = map->rows[1 - side][mirror] = rows;
        }
        at += map->count[k];
    }
}

static void fill_lists(c3d_map *map, const walked *ranges, int64_t count, int32_t threads) {
    int32_t half = map->offsets / 2;
    (void)threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < count; r++) {
        const int32_t *from = ranges[r].rows;
        for (int32_t h = 0; h < half; h++)
            for (int side = 0; side < 2; side++) {
                int64_t place = map->rows[side][half + 1 + h] - (int32_t *)map->memory[side];
                memcpy((int32_t *)map->memory[side] + place + ranges[r].first[h], from,
                       (size_t)ranges[r].count[h] * sizeof(int32_t));
                from += ranges[r].count[h];
            }
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int32_t h = 0; h < half; h++)
        for (int side = 0; side < 2; side++) {
            int32_t k = half + 1 + h, mirror = half - 1 - h;
            int32_t *own = (int32_t *)map->memory[2 + side] + k;
            int32_t *other = (int32_t *)map->memory[3 - side] + mirror;
            c3d_find_starts(map->rows[side][k], map->count[k], map->granules[0], map->offsets, own);
            for (int64_t g = 1; g <= map->granules[0]; g++)
                other[g * map->offsets] = own[g * map->offsets];
        }
}

c3d_map *c3d_map_submanifold(const int64_t *keys, int64_t n, int32_t size, int32_t threads) {
    if (n < 0 || n > INT32_MAX || (size != 1 && size != 3 && size != 5) || threads < 1) return NULL;
    int32_t offsets = size * size * size;
    int64_t count = size == 1 ? 0 : (n + RANGE - 1) / RANGE;
    c3d_map *map = c3d_map_new(offsets, offsets / 2, n, n);
    int64_t *padded = padded_keys(keys, n);
    walked *ranges = calloc((size_t)count + 1, sizeof *ranges);
    int good = map && padded && ranges;
    if (good && count) good = walk_ranges(padded, n, size, ranges, threads);
    if (good) good = c3d_map_allocate(map, place_lists(map, ranges, count));
    if (good) {
        point_at_lists(map);
        fill_lists(map, ranges, count, threads);
    }
    for (int64_t r = 0; ranges && r < count; r++) free(ranges[r].rows);
    free(ranges);
    free(padded);
    if (good) return map;
    c3d_map_free(map);
    return NULL;
}
