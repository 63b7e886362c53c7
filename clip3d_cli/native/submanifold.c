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

/* Where the walks through neighbouring columns stand, several at once: each one alone would only
 * wait for its next key. */
#define WALKS 4

typedef struct {
    int64_t step;      /* from a key to the lowest that is looked for */
    int64_t near;      /* the first row not below it */
    int32_t seers;     /* how many rows see something in the column: */
    int32_t row[RANGE];
    int32_t first[RANGE]; /* and the first that they see */
} walk;

/* Which rows see any of the `width` cells from `step` on. Without branches that depend on the
 * cloud, but for a rare one. */
static void find_seers(const int64_t *keys, int64_t begin, int64_t end, int64_t width,
                       walk *walks) {
    int64_t step[WALKS], place[WALKS];
    int32_t seers[WALKS] = {0};
    for (int w = 0; w < WALKS; w++) step[w] = walks[w].step, place[w] = walks[w].near;
    for (int64_t row = begin; row < end; row++)
#pragma GCC unroll 4
        for (int w = 0; w < WALKS; w++) {
            int64_t wanted = keys[row] + step[w], near = place[w];
            near += keys[near] < wanted;
            near += keys[near] < wanted;
            while (__builtin_expect(keys[near] < wanted, 0)) near++;
            place[w] = near;
            walks[w].row[seers[w]] = (int32_t)row;
            walks[w].first[seers[w]] = (int32_t)near;
            seers[w] += keys[near] < wanted + width;
        }
    for (int w = 0; w < WALKS; w++) walks[w].seers = seers[w];
}

/* The pairs of the seers. In key order the cells of a column along z lie side by side, so that
 * the others that a row sees follow the first. */
static inline __attribute__((always_inline)) void find_pairs(const int64_t *keys,
                                                             const walk *own, int32_t width,
                                                             int32_t *lists, int32_t *count) {
    for (int32_t at = 0; at < own->seers; at++) {
        int64_t seen = own->first[at], wanted = keys[own->row[at]] + own->step;
        for (int32_t d = 0; d < width; d++) {
            int32_t *list = lists + (int64_t)d * 2 * RANGE + count[d];
            int32_t found = keys[seen] == wanted + d;
            list[0] = own->row[at];
            list[RANGE] = (int32_t)seen;
            count[d] += found;
            seen += found;
        }
    }
}

/* The pairs of some rows with the cells above them in their own column. */
static void walk_own_column(const int64_t *keys, int64_t begin, int64_t end, int32_t reach,
                            int32_t *lists, int32_t *count) {
    for (int64_t row = begin; row < end; row++) {
        int64_t seen = row + 1;
        for (int32_t d = 0; d < reach; d++) {
            int32_t *list = lists + (int64_t)d * 2 * RANGE + count[d];
            int32_t found = keys[seen] == keys[row] + d + 1;
            list[0] = (int32_t)row;
            list[RANGE] = (int32_t)seen;
            count[d] += found;
            seen += found;
        }
    }
}

static void walk_columns(const int64_t *keys, int64_t n, int64_t begin, int64_t end, int32_t size,
                         walk *walks, int32_t *lists, int32_t *count) {
    int32_t reach = size / 2, half = size * size * size / 2, middle = size * size / 2;
    walk_own_column(keys, begin, end, reach, lists, count);
    for (int32_t first = middle + 1; first < size * size; first += WALKS) {
        for (int w = 0; w < WALKS; w++) {
            int64_t dx = (first + w) / size - reach, dy = (first + w) % size - reach;
            walks[w].step = dx * STEP_X + dy * STEP_Y - reach;
            walks[w].near = lower_bound(keys, n, keys[begin] + walks[w].step);
            walks[w].seers = 0;
        }
        find_seers(keys, begin, end, size, walks);
        for (int w = 0; w < WALKS; w++) {
            int32_t h = (first + w) * size - half - 1;
            int32_t *own = lists + (int64_t)h * 2 * RANGE;
            if (size == 3) find_pairs(keys, walks + w, 3, own, count + h);
            else find_pairs(keys, walks + w, 5, own, count + h);
        }
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
        walk *walks = c3d_room(WALKS * (int64_t)sizeof(walk));
#pragma omp for schedule(dynamic)
        for (int64_t r = 0; r < count; r++) {
            int64_t end = (r + 1) * RANGE < n ? (r + 1) * RANGE : n;
            int good = lists && walks;
            if (good) walk_columns(keys, n, r * RANGE, end, size, walks, lists, ranges[r].count);
            failed |= !good || !keep(lists, half, &ranges[r]);
        }
        free(lists);
        free(walks);
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
    threads = c3d_few_threads(n, threads);
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
