/* What the parts of the library share with each other, and with nobody else. */
#ifndef CLIP3D_INTERNAL_H
#define CLIP3D_INTERNAL_H

#include "engine.h"

#define C3D_GRANULE 128      /* rows; tiles are whole granules */
#define C3D_MAX_OFFSETS 125  /* of a 5^3 kernel */
#define C3D_AXIS_BITS 18     /* of a key: batch (9 bits), x, y, z, high to low */

/* Pairs (target row, source row) of every offset, both ascending: an offset moves all cells alike
 * and so keeps their order. Direction 0 fills targets, direction 1 fills sources.
 *
 * The pairs of offset k in granule g of direction d are
 *     starts[d][g * offsets + k] ... starts[d][(g + 1) * offsets + k] - 1.
 * Pairs of the centre are not stored: every row sees itself; its starts are all 0.
 * In a submanifold map rows[0][k] is rows[1][offsets - 1 - k]: half of the lists are stored. */
struct c3d_map {
    int32_t offsets;
    int32_t centre;                             /* or -1 */
    int64_t length[2];                          /* how many targets, how many sources */
    int64_t granules[2];
    const int32_t *rows[2][C3D_MAX_OFFSETS];    /* [0] targets, [1] sources */
    int64_t count[C3D_MAX_OFFSETS];
    const int32_t *starts[2];                   /* (granules[d] + 1, offsets) */
    void *memory[4];                            /* what c3d_map_free frees */
    int64_t bytes;
};

/* Room for so many bytes, also for none; or NULL. */
void *c3d_room(int64_t bytes);

/* To wake a thread costs more than to walk some thousands of rows. */
static inline int32_t c3d_few_threads(int64_t rows, int32_t threads) {
    int64_t most = rows / 16384 + 1;
    return most < threads ? (int32_t)most : threads;
}

/* A map without pairs yet, or NULL. */
c3d_map *c3d_map_new(int32_t offsets, int32_t centre, int64_t targets, int64_t sources);

/* Room for so many stored pairs, and starts that are all 0. Whether there was memory. */
int c3d_map_allocate(c3d_map *map, int64_t pairs);

/* Where each granule's pairs begin in a list of ascending rows, written `offsets` apart into starts
 * that are all 0. */
void c3d_find_starts(const int32_t *rows, int64_t count, int64_t granules, int32_t offsets,
                     int32_t *starts);

#endif
