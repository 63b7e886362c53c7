/* Kernel maps: their memory, coarser levels, and the maps between a level and the next coarser
 * one. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BLOCK 4096 /* rows that one thread sorts into slots at a time */

void *c3d_room(int64_t bytes) { return malloc(bytes > 0 ? (size_t)bytes : 1); }

void c3d_map_free(c3d_map *map) {
    if (!map) return;
    for (int i = 0; i < 4; i++) free(map->memory[i]);
    free(map);
}

int64_t c3d_map_bytes(const c3d_map *map) { return map->bytes; }

int64_t c3d_map_pairs(const c3d_map *map) {
    int64_t pairs = map->centre >= 0 ? map->length[0] : 0;
    for (int32_t k = 0; k < map->offsets; k++) pairs += map->count[k];
    return pairs;
}

c3d_map *c3d_map_new(int32_t offsets, int32_t centre, int64_t targets, int64_t sources) {
    c3d_map *map = calloc(1, sizeof *map);
    if (!map) return NULL;
    map->offsets = offsets;
    map->centre = centre;
    map->length[0] = targets;
    map->length[1] = sources;
    for (int d = 0; d < 2; d++) map->granules[d] = (map->length[d] + C3D_GRANULE - 1) / C3D_GRANULE;
    return map;
}

/* memory: [0] rows of targets, [1] rows of sources, [2] and [3] starts of directions 0 and 1. */
int c3d_map_allocate(c3d_map *map, int64_t pairs) {
    int64_t list = pairs * (int64_t)sizeof(int32_t);
    int64_t table[2];
    for (int d = 0; d < 2; d++)
        table[d] = (map->granules[d] + 1) * map->offsets * (int64_t)sizeof(int32_t);
    map->memory[0] = c3d_room(list);
    map->memory[1] = c3d_room(list);
    map->memory[2] = calloc(1, (size_t)table[0]);
    map->memory[3] = calloc(1, (size_t)table[1]);
    map->bytes = (int64_t)sizeof *map + 2 * list + table[0] + table[1];
    for (int d = 0; d < 2; d++) map->starts[d] = map->memory[2 + d];
    return map->memory[0] && map->memory[1] && map->memory[2] && map->memory[3];
}

void c3d_find_starts(const int32_t *rows, int64_t count, int64_t granules, int32_t offsets,
                     int32_t *starts) {
    /* The start of granule g + 1 is the position after the last pair of granule g: the pairs of a
     * granule overwrite it one after another, and the last one stays. */
    for (int64_t at = 0; at < count; at++)
        starts[(rows[at] / C3D_GRANULE + 1) * (int64_t)offsets] = (int32_t)(at + 1);
    /* A granule without pairs ends where the one before it ended. */
    for (int64_t g = 1; g <= granules; g++)
        if (starts[g * offsets] == 0) starts[g * offsets] = starts[(g - 1) * offsets];
}

/* ------------------------------------------------------------------ coarser levels
 *
 * The parents of sorted cells are not sorted: with the keys' order x, y, z, the children
 * (2i, y, z) of all y come before the children (2i + 1, y, z). But cells whose x and y have equal
 * parities have sorted parents, so they form four sorted streams, and merging the streams gives
 * sorted unique parents in linear time, without a sort. */

#define HALF_MASK (((int64_t)1 << (C3D_AXIS_BITS - 1)) - 1)
/* The lower 17 of the 18 bits of the fields x, y and z. */
#define HALF_FIELDS \
    (HALF_MASK << (2 * C3D_AXIS_BITS) | HALF_MASK << C3D_AXIS_BITS | HALF_MASK)
#define BATCH_FIELD ((int64_t)511 << (3 * C3D_AXIS_BITS))

/* One shift halves x, y and z; the mask removes the bit that each field moved into the next. */
static int64_t parent_of(int64_t key) { return (key & BATCH_FIELD) | (key >> 1 & HALF_FIELDS); }

static int64_t odd_x(int64_t key) { return key >> (2 * C3D_AXIS_BITS) & 1; }
static int64_t odd_y(int64_t key) { return key >> C3D_AXIS_BITS & 1; }

/* Cells of one parity of x and y. Their parents ascend; the two children of a parent (z even and
 * odd) are consecutive. */
typedef struct {
    int64_t *parents; /* keys of the cells' parents */
    int32_t *rows;    /* rows of the cells */
    int64_t at;       /* number of cells */
} stream;

/* Give every stream its place in shared memory, with one more element for a sentinel. The sizes
 * come from three sums: counting into four counters would make every addition wait for the one
 * before. */
static void place_streams(const int64_t *keys, int64_t n, int64_t *parents, int32_t *rows,
                          stream streams[4]) {
    int64_t x = 0, y = 0, both = 0, begin = 0; /* cells with odd x, with odd y, with both odd */
    for (int64_t row = 0; row < n; row++) {
        x += odd_x(keys[row]);
        y += odd_y(keys[row]);
        both += odd_x(keys[row]) & odd_y(keys[row]);
    }
    int64_t sizes[4] = {n - x - y + both, y - both, x - both, both};
    for (int s = 0; s < 4; s++) {
        streams[s] = (stream){parents + begin, rows + begin, 0};
        begin += sizes[s] + 1;
    }
}

static void split_streams(const int64_t *keys, int64_t n, stream streams[4]) {
    for (int64_t row = 0; row < n; row++) {
        stream *own = streams + 2 * odd_x(keys[row]) + odd_y(keys[row]);
        own->parents[own->at] = parent_of(keys[row]);
        own->rows[own->at++] = (int32_t)row;
    }
    /* Sentinels: a parent that is never the least, and a row n that receives writes of no use. */
    for (int s = 0; s < 4; s++) {
        streams[s].parents[streams[s].at] = INT64_MAX;
        streams[s].rows[streams[s].at] = (int32_t)n;
    }
}

/* Merge the streams: parent_keys gets the unique parents, rows (n + 1) the parent's row of every
 * cell. Returns the number of parents.
 *
 * There are no branches that depend on the cloud, which the CPU could not predict: in every step
 * the parent's row is written to the first cell of all four streams. A cell whose parent is a
 * later one is written again when that parent comes. */
static int64_t merge_streams(const stream streams[4], int64_t *parent_keys, int32_t *rows) {
    int64_t parents = 0, last = -1, at[4] = {0, 0, 0, 0};
    for (;;) {
        int64_t head[4];
        for (int s = 0; s < 4; s++) head[s] = streams[s].parents[at[s]];
        int64_t low = head[0] < head[1] ? head[0] : head[1];
        int64_t high = head[2] < head[3] ? head[2] : head[3];
        int64_t parent = low < high ? low : high;
        if (parent == INT64_MAX) return parents;
        parents += parent != last;
        last = parent_keys[parents - 1] = parent;
        for (int s = 0; s < 4; s++) {
            rows[streams[s].rows[at[s]]] = (int32_t)(parents - 1);
            at[s] += head[s] == parent;
        }
    }
}

int64_t c3d_coarsen(const int64_t *keys, int64_t n, int64_t *parent_keys, int32_t *parent_rows) {
    if (n < 0 || n >= INT32_MAX) return C3D_BAD_ARGUMENT;
    /* Four sentinels in the streams, and row n of the sentinels in the merged rows. */
    int64_t *parents = c3d_room((n + 4) * (int64_t)sizeof *parents);
    int32_t *rows = c3d_room((n + 4) * (int64_t)sizeof *rows);
    int32_t *merged = c3d_room((n + 1) * (int64_t)sizeof *merged);
    int64_t count = C3D_NO_MEMORY;
    if (parents && rows && merged) {
        stream streams[4];
        place_streams(keys, n, parents, rows, streams);
        split_streams(keys, n, streams);
        count = merge_streams(streams, parent_keys, merged);
        if (n) memcpy(parent_rows, merged, (size_t)n * sizeof *merged);
    }
    free(parents);
    free(rows);
    free(merged);
    return count;
}

/* ------------------------------------------------------------------ strided maps
 *
 * Offset k of a kernel of 2^3 cells pairs a parent with its child in slot k. Every fine cell is in
 * exactly one pair: the map is a counting sort of the fine cells by slot. */

static int32_t child_slot(int64_t key) {
    return (int32_t)(odd_x(key) << 2 | odd_y(key) << 1 | (key & 1));
}

/* Count the cells of every slot in the blocks of rows before each block.
 * before: (blocks + 1, 8), all 0, written. Returns 0 if a row is not that of a parent. */
static int count_slots(const int64_t *keys, int64_t n, const int32_t *parent_rows,
                       int64_t n_coarse, int64_t *before, int32_t threads) {
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
    int wrong = 0;
    (void)threads;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(| : wrong)
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t row = b * BLOCK; row < n && row < (b + 1) * BLOCK; row++) {
            before[(b + 1) * 8 + child_slot(keys[row])]++;
            wrong |= parent_rows[row] < 0 || parent_rows[row] >= n_coarse;
        }
    for (int64_t at = 8; at < (blocks + 1) * 8; at++) before[at] += before[at - 8];
    return !wrong;
}

/* Write every cell's pair; the counts before its block say where, so blocks are independent. */
static void fill_slots(c3d_map *map, const int64_t *keys, const int32_t *parent_rows,
                       const int64_t *before, int32_t threads) {
    int64_t n = map->length[1], blocks = (n + BLOCK - 1) / BLOCK;
    (void)threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int32_t *targets = map->memory[0], *sources = map->memory[1];
        int64_t place[8]; /* of the next pair of each slot, in both lists */
        for (int32_t k = 0; k < 8; k++) place[k] = map->rows[0][k] - targets + before[b * 8 + k];
        for (int64_t row = b * BLOCK; row < n && row < (b + 1) * BLOCK; row++) {
            int64_t at = place[child_slot(keys[row])]++;
            targets[at] = parent_rows[row];
            sources[at] = (int32_t)row;
        }
    }
}

/* Cells of one slot have different parents, in the order of the cells; otherwise parent_rows are
 * not those of these keys. */
static int ascends(const int32_t *rows, int64_t count) {
    for (int64_t at = 1; at < count; at++)
        if (rows[at] <= rows[at - 1]) return 0;
    return 1;
}

/* Check the lists and find their starts, in both directions. Returns 0 if a list does not
 * ascend. */
static int finish_slots(c3d_map *map, int32_t threads) {
    int wrong = 0;
    (void)threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic) reduction(| : wrong)
    for (int32_t k = 0; k < 8; k++) {
        wrong |= !ascends(map->rows[0][k], map->count[k]);
        for (int d = 0; d < 2; d++)
            c3d_find_starts(map->rows[d][k], map->count[k], map->granules[d], 8,
                            (int32_t *)map->memory[2 + d] + k);
    }
    return !wrong;
}

c3d_map *c3d_map_strided(const int64_t *fine_keys, int64_t n_fine, const int32_t *parent_rows,
                         int64_t n_coarse, int32_t threads) {
    if (n_fine < 0 || n_fine > INT32_MAX || n_coarse < 0 || n_coarse > n_fine || threads < 1)
        return NULL;
    int64_t blocks = (n_fine + BLOCK - 1) / BLOCK, at = 0;
    threads = c3d_few_threads(n_fine, threads);
    c3d_map *map = c3d_map_new(8, -1, n_coarse, n_fine);
    int64_t *before = calloc((size_t)(blocks + 1) * 8, sizeof *before);
    int good = map && before && c3d_map_allocate(map, n_fine) &&
               count_slots(fine_keys, n_fine, parent_rows, n_coarse, before, threads);
    if (good) {
        for (int32_t k = 0; k < 8; k++) {
            map->count[k] = before[blocks * 8 + k];
            for (int d = 0; d < 2; d++) map->rows[d][k] = (int32_t *)map->memory[d] + at;
            at += map->count[k];
        }
        fill_slots(map, fine_keys, parent_rows, before, threads);
        good = finish_slots(map, threads);
    }
    free(before);
    if (good) return map;
    c3d_map_free(map);
    return NULL;
}
