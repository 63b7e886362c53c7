/* What the parts of the library share with each other, and with nobody else. */
#ifndef CLIP3D_INTERNAL_H
#define CLIP3D_INTERNAL_H

#include "engine.h"

#define C3D_GRANULE 128      /* rows; tiles are whole granules */
#define C3D_MAX_OFFSETS 125  /* of a 5^3 kernel */

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

#endif
