/* Declarations shared by the sources of the library, not visible to its users. */
#ifndef CLIP3D_INTERNAL_H
#define CLIP3D_INTERNAL_H

#include "engine.h"

#define C3D_GRANULE 128      /* rows; tiles begin at multiples of this and have multiples of it */
#define C3D_MAX_OFFSETS 125  /* offsets of a 5^3 kernel */
#define C3D_AXIS_BITS 18     /* bits of x, y and z in a key: batch (9 bits), x, y, z, high to low */

/* A kernel map: for every offset the pairs (target row, source row), sorted by both. An offset
 * moves all cells by the same vector and so keeps their order.
 *
 * A kernel map is used in two directions: direction 0 fills targets, direction 1 fills sources.
 * To find the pairs of a tile of rows without a search, rows are counted in granules of 128: the
 * pairs of offset k whose filled rows are in granule g of direction d are
 *     starts[d][g * offsets + k] ... starts[d][(g + 1) * offsets + k] - 1.
 *
 * Pairs of the centre are not stored, because every row sees itself; the centre's starts are all
 * 0. In a submanifold map rows[0][k] is rows[1][offsets - 1 - k] (if i sees j at offset k, then
 * j sees i at the opposite offset), so only one half of the lists is stored. */
struct c3d_map {
    int32_t offsets;
    int32_t centre;                             /* offset at which every row sees itself, or -1 */
    int64_t length[2];                          /* number of targets, number of sources */
    int64_t granules[2];                        /* the same in granules */
    const int32_t *rows[2][C3D_MAX_OFFSETS];    /* [0] targets, [1] sources: (count) per offset */
    int64_t count[C3D_MAX_OFFSETS];             /* pairs per offset */
    const int32_t *starts[2];                   /* (granules[d] + 1, offsets) */
    void *memory[4];                            /* lists and starts, freed with the map */
    int64_t bytes;
};

/* malloc, but never NULL for 0 bytes. */
void *c3d_room(int64_t bytes);

/* A thread for every 16384 rows at most: to wake one costs more than to process some thousands. */
static inline int32_t c3d_few_threads(int64_t rows, int32_t threads) {
    int64_t most = rows / 16384 + 1;
    return most < threads ? (int32_t)most : threads;
}

/* A map without memory for pairs, or NULL. */
c3d_map *c3d_map_new(int32_t offsets, int32_t centre, int64_t targets, int64_t sources);

/* Allocate memory for a number of stored pairs, and starts that are all 0. Returns whether it
 * could. */
int c3d_map_allocate(c3d_map *map, int64_t pairs);

/* Find where each granule's pairs begin in a list of ascending rows.
 * rows: (count). starts: one column of a (granules + 1, offsets) table that is all 0, written. */
void c3d_find_starts(const int32_t *rows, int64_t count, int64_t granules, int32_t offsets,
                     int32_t *starts);

#endif
