/* Kernel maps of a level onto itself, found by merging sorted lists of keys.
 *
 * The neighbours at (dx, dy, .) of all cells are the keys themselves, moved by a constant. Both
 * lists are sorted, so a pointer that only moves forward finds the neighbour of one cell after
 * another: a merge instead of a search or a hash table. One such pointer serves a whole column
 * (dx, dy) of the kernel, because in key order the cells of a column along z are consecutive.
 * Only the offsets after the centre are merged; the others are their mirror image.
 *
 * Terms: half is the number of offsets after the centre, (size^3 - 1) / 2; list h is the one of
 * offset half + 1 + h. A range is RANGE consecutive rows, the work of one thread at a time. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define STEP_X ((int64_t)1 << (2 * C3D_AXIS_BITS))
#define STEP_Y ((int64_t)1 << C3D_AXIS_BITS)
#define SENTINEL INT64_MAX
#define LAST_KEY ((int64_t)511 << (3 * C3D_AXIS_BITS)) /* above keys and neighbours */
#define MAX_HALF (C3D_MAX_OFFSETS / 2)
#define RANGE 1024

/* The pairs of one range, until the sizes of all lists, and so their places, are known. */
typedef struct {
    int32_t *rows;             /* targets of list 0, its sources, targets of list 1, ... */
    int32_t first[MAX_HALF];   /* position in each list of the range's first pair */
    int32_t count[MAX_HALF];   /* pairs of each list */
} range_pairs;

static int64_t lower_bound(const int64_t *keys, int64_t n, int64_t wanted) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (keys[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Copy the keys and add sentinels, which end every merge without a test for the end of the list.
 * Five of them, since up to five cells of a column are read from the first one on. NULL if there
 * is no memory or the keys are not sorted, unique and in range. */
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
    for (int64_t i = n; i < n + 5; i++) padded[i] = SENTINEL;
    return padded;
}

/* Columns that are merged at the same time. One alone would wait for its next key to arrive from
 * memory; several wait at once. Both 3^3 and 5^3 kernels have a multiple of 4 columns after the
 * centre's: 4 and 12. */
#define MERGES 4

/* The merge of one range with one column of the kernel. */
typedef struct {
    int64_t step;         /* from a key to the lowest one of the column that it can see */
    int64_t near;         /* first row whose key is not below the one looked for */
    int32_t viewers;      /* number of rows that see any cell of the column: */
    int32_t row[RANGE];   /* these rows, */
    int32_t first[RANGE]; /* and the first row that each of them sees */
} merge;

/* Find the rows that see any of the `width` cells of each column.
 *
 * Nearly free of branches that depend on the cloud, which the CPU could not predict: every row
 * is written to the list, and the list grows only if the row sees something; the pointer moves
 * by up to two with arithmetic, and a loop, which is rarely entered, moves it farther. */
static void find_viewers(const int64_t *keys, int64_t begin, int64_t end, int64_t width,
                       merge *merges) {
    int64_t step[MERGES], place[MERGES];
    int32_t viewers[MERGES] = {0};
    for (int m = 0; m < MERGES; m++) step[m] = merges[m].step, place[m] = merges[m].near;
    for (int64_t row = begin; row < end; row++)
#pragma GCC unroll 4
        for (int m = 0; m < MERGES; m++) {
            int64_t wanted = keys[row] + step[m], near = place[m];
            near += keys[near] < wanted;
            near += keys[near] < wanted;
            while (__builtin_expect(keys[near] < wanted, 0)) near++;
            place[m] = near;
            merges[m].row[viewers[m]] = (int32_t)row;
            merges[m].first[viewers[m]] = (int32_t)near;
            viewers[m] += keys[near] < wanted + width;
        }
    for (int m = 0; m < MERGES; m++) merges[m].viewers = viewers[m];
}

/* Append the pairs of a column to its `width` lists (dz ascending). lists: per list RANGE
 * targets, then RANGE sources. count: (width) pairs of each list, updated. */
static inline __attribute__((always_inline)) void find_pairs(const int64_t *keys,
                                                             const merge *own, int32_t width,
                                                             int32_t *lists, int32_t *count) {
    for (int32_t at = 0; at < own->viewers; at++) {
        int64_t seen = own->first[at], wanted = keys[own->row[at]] + own->step;
        for (int32_t d = 0; d < width; d++) {
            /* Written in any case, counted only if the cell exists; then the next cell of the
             * column can only be the next row. */
            int32_t *list = lists + (int64_t)d * 2 * RANGE + count[d];
            int32_t found = keys[seen] == wanted + d;
            list[0] = own->row[at];
            list[RANGE] = (int32_t)seen;
            count[d] += found;
            seen += found;
        }
    }
}

/* Append the pairs of the rows with the cells above them in their own column (dx = dy = 0, dz >
 * 0). */
static void find_own_column(const int64_t *keys, int64_t begin, int64_t end, int32_t radius,
                            int32_t *lists, int32_t *count) {
    for (int64_t row = begin; row < end; row++) {
        int64_t seen = row + 1;
        for (int32_t d = 0; d < radius; d++) {
            int32_t *list = lists + (int64_t)d * 2 * RANGE + count[d];
            int32_t found = keys[seen] == keys[row] + d + 1;
            list[0] = (int32_t)row;
            list[RANGE] = (int32_t)seen;
            count[d] += found;
            seen += found;
        }
    }
}

/* All pairs of rows begin ... end - 1. lists: (half, 2, RANGE); count: (half), all 0. */
static void find_range(const int64_t *keys, int64_t n, int64_t begin, int64_t end, int32_t size,
                       merge *merges, int32_t *lists, int32_t *count) {
    int32_t radius = size / 2, half = size * size * size / 2, middle = size * size / 2;
    find_own_column(keys, begin, end, radius, lists, count);
    for (int32_t first = middle + 1; first < size * size; first += MERGES) {
        for (int m = 0; m < MERGES; m++) {
            int64_t dx = (first + m) / size - radius, dy = (first + m) % size - radius;
            merges[m].step = dx * STEP_X + dy * STEP_Y - radius;
            merges[m].near = lower_bound(keys, n, keys[begin] + merges[m].step);
            merges[m].viewers = 0;
        }
        find_viewers(keys, begin, end, size, merges);
        for (int m = 0; m < MERGES; m++) {
            int32_t h = (first + m) * size - half - 1; /* list of the column's lowest dz */
            int32_t *own = lists + (int64_t)h * 2 * RANGE;
            /* With a constant width the compiler unrolls the loop over dz. */
            if (size == 3) find_pairs(keys, merges + m, 3, own, count + h);
            else find_pairs(keys, merges + m, 5, own, count + h);
        }
    }
}

/* Copy a range's pairs to memory of their own size. Returns 0 if there is none. */
static int keep_pairs(const int32_t *lists, int32_t half, range_pairs *range) {
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

/* Find the pairs of all ranges. Returns 0 if there is no memory. */
static int find_ranges(const int64_t *keys, int64_t n, int32_t size, range_pairs *ranges,
                       int32_t threads) {
    int32_t half = size * size * size / 2;
    int64_t count = (n + RANGE - 1) / RANGE;
    int failed = 0;
    (void)threads;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        int32_t *lists = c3d_room((int64_t)half * 2 * RANGE * (int64_t)sizeof(int32_t));
        merge *merges = c3d_room(MERGES * (int64_t)sizeof(merge));
#pragma omp for schedule(dynamic)
        for (int64_t r = 0; r < count; r++) {
            int64_t end = (r + 1) * RANGE < n ? (r + 1) * RANGE : n;
            int good = lists && merges;
            if (good) find_range(keys, n, r * RANGE, end, size, merges, lists, ranges[r].count);
            failed |= !good || !keep_pairs(lists, half, &ranges[r]);
        }
        free(lists);
        free(merges);
    }
    return !failed;
}

/* Set the map's counts, and the position of every range in every list. Returns the pairs of one
 * half. */
static int64_t place_ranges(c3d_map *map, range_pairs *ranges, int64_t count) {
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

/* Set rows: the lists of the opposite offset are the same memory with targets and sources
 * exchanged. */
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

/* Copy the ranges' pairs to their places, then find the starts of every list. */
static void fill_lists(c3d_map *map, const range_pairs *ranges, int64_t count, int32_t threads) {
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
            /* The starts of offset k in one direction are those of its mirror in the other. */
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
    range_pairs *ranges = calloc((size_t)count + 1, sizeof *ranges);
    int good = map && padded && ranges;
    if (good && count) good = find_ranges(padded, n, size, ranges, threads);
    if (good) good = c3d_map_allocate(map, place_ranges(map, ranges, count));
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
