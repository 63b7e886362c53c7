/* Convolution of a tile of rows by AMX: in bf16 (FAST), or as three bf16 products (HIGH).
 *
 * HIGH splits a float32 number a into a0 = bf16(a) and a1 = bf16(a - a0), and computes
 *     a b = a0 b0 + a0 b1 + a1 b0;
 * the product a1 b1, about 2^-16 of the whole, is left out.
 *
 * A block is up to 32 pairs, two tiles of rows; a panel is 32 columns, two tiles of weights. A
 * product of both fills four tiles of sums. */
#include "amx.h"

#define BLOCKS 4 /* blocks at a time: their rows stay in the caches while all panels pass */
#define PART (ROWS * 64)            /* bytes of a block's bf16 numbers of one step of 32 channels */
#define SLOT (ROWS * PANEL)         /* floats of a block's products in one panel */

/* Up to 32 pairs: where their source rows are as bf16, and where their sums are. */
typedef struct {
    const char *rows;
    int64_t pitch;       /* bytes from row to row */
    int64_t step;        /* bytes from one step's numbers to the next step's */
    int32_t count;
    int32_t places[ROWS]; /* of the target rows in the sums of a panel */
} block;

typedef struct {
    const c3d_job *job;
    const c3d_tile *tile;
    tiles *set;
    int32_t row_parts;    /* 2 if source rows are split into two bf16, else 1 */
    int32_t weight_parts; /* likewise */
    int32_t blocks;       /* number of blocks in use */
    int64_t steps;        /* of 32 input channels */
    float *sums;          /* [panel][row][PANEL] */
    float *slots;         /* two products: one is added while the next is computed */
    char *copies;         /* [block][step][part][row][STEP] */
    block block[BLOCKS];
} work;

/* Store 32 numbers as bf16; with two parts also the rest, number - bf16(number), as bf16. */
INLINE void split(vec first, vec second, int32_t parts, char *place)
{
    numbers near = narrow_two(first, second);
    store_numbers(place, near);
    if (parts == 2)
        store_numbers(place + PART, narrow_two(first - widen_half(near, 0),
                                               second - widen_half(near, 1)));
}

/* Convert a source row to [step][part][32]; the rows of a block are 64 bytes apart. */
static void copy_numbers(const c3d_rows *source, int64_t row, int32_t parts, char *place)
{
    int64_t wide = source->channels, whole = wide / STEP * STEP, c = 0;
    const float *floats = row_of(source, row, 0);
    const uint16_t *shorts = row_of(source, row, 0);
    if (source->type == C3D_F32)
        for (; c < whole; c += STEP, place += parts * PART)
            split(load(floats + c), load(floats + c + LANES), parts, place);
    else
        for (; c < whole; c += STEP, place += parts * PART)
            memcpy(place, shorts + c, 64);
    if (c < wide)
        split(load_part(source, row, c, wide - c),
              load_columns(source, row, c + LANES, wide - c - LANES), parts, place);
}

/* Fill a block: pairs from number `first` on. Tile loads need rows at equal distances, so rows
 * are copied to `copies`; only whole blocks of bf16 rows at the centre, which are consecutive,
 * are read in place. */
static void look_up(const work *work, const c3d_pairs *pairs, int64_t first, char *copies,
                    block *block)
{
    const c3d_rows *source = work->job->source;
    int64_t pairs_left = pairs->count - first;
    block->count = pairs_left < ROWS ? (int32_t)pairs_left : ROWS;
    for (int32_t i = 0; i < block->count; i++) {
        int64_t at = first + i;
        int64_t target = pairs->targets ? pairs->targets[at] : pairs->first + at;
        block->places[i] = (int32_t)(target - work->tile->row) * PANEL;
    }
    if (!pairs->sources && block->count == ROWS && source->type == C3D_BF16
        && source->channels % STEP == 0) {
        block->rows = row_of(source, pairs->first + first, 0);
        block->pitch = source->pitch * 2;
        block->step = 64;
        return;
    }
    block->rows = copies;
    block->pitch = 64;
    block->step = work->row_parts * PART;
    for (int32_t i = 0; i < block->count; i++) {
        int64_t at = first + i;
        copy_numbers(source, pairs->sources ? pairs->sources[at] : pairs->first + at,
                     work->row_parts, copies + i * 64);
    }
}

/* Tiles 0 to 3 += rows (6, 7) @ weights (4, 5) of one step. With at most 16 rows the second half
 * is left out. Tile products do not mix rows, so no row's sum depends on the number of rows
 * beside it. */
#define MULTIPLY(both) \
    do { \
        tile_multiply(set, 0, 6, 4); \
        tile_multiply(set, 1, 6, 5); \
        if (both) { \
            tile_multiply(set, 2, 7, 4); \
            tile_multiply(set, 3, 7, 5); \
        } \
    } while (0)

#define LOAD_ROWS(place, both) \
    do { \
        tile_load(set, 6, place, pitch); \
        if (both) \
            tile_load(set, 7, (place) + 16 * pitch, pitch); \
    } while (0)

#define LOAD_WEIGHTS(place) \
    do { \
        tile_load(set, 4, place, 64); \
        tile_load(set, 5, (place) + TILE, 64); \
    } while (0)

/* products[row][PANEL] = the block's rows @ a panel of weights. With split numbers three of the
 * four products are computed, in an order that needs the fewest loads: a1 b0, a0 b0, a0 b1. */
static void multiply(const work *work, const block *block, const char *panel, float *products)
{
    tiles *set = work->set;
    const char *rows = block->rows;
    int64_t pitch = block->pitch, row_bytes = PANEL * sizeof(float);
    int both = block->count > 16, split_rows = work->row_parts == 2;
    int split_weights = work->weight_parts == 2;
    tile_zero(set, 0);
    tile_zero(set, 1);
    tile_zero(set, 2);
    tile_zero(set, 3);
    tiles_sync();
    for (int64_t step = 0; step < work->steps; step++, rows += block->step) {
        LOAD_WEIGHTS(panel);
        if (split_rows) {
            LOAD_ROWS(rows + PART, both);
            MULTIPLY(both);
        }
        LOAD_ROWS(rows, both);
        MULTIPLY(both);
        if (split_weights) {
            LOAD_WEIGHTS(panel + 2 * TILE);
            MULTIPLY(both);
        }
        panel += work->weight_parts * 2 * TILE;
    }
    tile_store(set, 0, products, row_bytes);
    tile_store(set, 1, products + 16, row_bytes);
    if (both) {
        tile_store(set, 2, products + 16 * PANEL, row_bytes);
        tile_store(set, 3, products + 16 * PANEL + 16, row_bytes);
    }
    tiles_sync();
}

/* Add the products of a block to the sums of its target rows. start: write them instead. */
static void add(const block *block, const float *products, float *sums, int start)
{
    for (int32_t i = 0; i < block->count; i++)
        for (int32_t v = 0; v < PANEL; v += LANES) {
            float *place = sums + block->places[i] + v;
            vec product = load(products + i * PANEL + v);
            store(place, start ? product : load(place) + product);
        }
}

/* Address of a block's sums in one panel if its products can be stored there directly: the rows
 * of the centre are consecutive, and it is the first offset. NULL if the products have to be
 * added. */
static float *direct_place(const block *block, float *sums, int start)
{
    return start && block->count == ROWS ? sums + block->places[0] : NULL;
}

/* Multiply all blocks with all panels. While the products of one block are computed in the
 * tiles, those of the block before are added, so that tiles and vector units work at the same
 * time. */
static void multiply_blocks(const work *work, const char *matrix, int start)
{
    int64_t panel_bytes = work->steps * work->weight_parts * 2 * TILE;
    int64_t ends = ceil_divide(work->tile->columns, PANEL) * work->blocks;
    const char *panels = matrix + work->tile->column / PANEL * panel_bytes;
    const block *waiting = NULL;
    float *waiting_sums = NULL;
    for (int64_t now = 0; now < ends; now++) {
        const block *block = work->block + now % work->blocks;
        float *sums = work->sums + now / work->blocks * PANEL * work->tile->rows;
        float *place = direct_place(block, sums, start), *slot = work->slots + now % 2 * SLOT;
        multiply(work, block, panels + now / work->blocks * panel_bytes, place ? place : slot);
        if (waiting)
            add(waiting, work->slots + (now + 1) % 2 * SLOT, waiting_sums, start);
        waiting = place ? NULL : block;
        waiting_sums = sums;
    }
    if (waiting)
        add(waiting, work->slots + (ends + 1) % 2 * SLOT, waiting_sums, start);
}

static void multiply_offset(work *work, int32_t offset, int start)
{
    c3d_pairs pairs = c3d_pairs_of(work->job, offset, work->tile->row, work->tile->rows);
    const char *matrix = work->job->packed + offset * work->job->packed_step;
    for (int64_t first = 0; first < pairs.count; first += BLOCKS * ROWS) {
        int64_t blocks = ceil_divide(pairs.count - first, ROWS);
        work->blocks = blocks < BLOCKS ? (int32_t)blocks : BLOCKS;
        for (int32_t b = 0; b < work->blocks; b++)
            look_up(work, &pairs, first + b * ROWS,
                    work->copies + b * work->steps * work->row_parts * PART, work->block + b);
        multiply_blocks(work, matrix, start);
    }
}

static int64_t sums_size(int64_t rows, int32_t columns)
{
    return ceil_divide(columns, PANEL) * PANEL * rows;
}

static int64_t bytes(const c3d_job *job, int64_t rows, int32_t columns, int parts)
{
    int64_t floats = sums_size(rows, columns) + 2 * SLOT;
    return floats * (int64_t)sizeof(float)
        + BLOCKS * ceil_divide(job->source->channels, STEP) * parts * PART;
}

/* One tile, as ISA(tile) in float32. Scratch: sums, two slots of products, copies of rows. bf16
 * rows are not split, as they have no rest. */
static void run(const c3d_job *job, const c3d_tile *tile, float *scratch, int32_t parts)
{
    tiles set;
    int64_t size = sums_size(tile->rows, tile->columns);
    work work = {
        .job = job,
        .tile = tile,
        .set = &set,
        .row_parts = job->source->type == C3D_BF16 ? 1 : parts,
        .weight_parts = parts,
        .steps = ceil_divide(job->source->channels, STEP),
        .sums = scratch,
        .slots = scratch + size,
        .copies = (char *)(scratch + size + 2 * SLOT),
    };
    tiles_begin(&set);
    if (job->centre >= 0)
        multiply_offset(&work, job->centre, 1);
    else
        memset(work.sums, 0, (size_t)size * sizeof(float));
    for (int32_t offset = 0; offset < job->offsets; offset++)
        if (offset != job->centre)
            multiply_offset(&work, offset, 0);
    tiles_end(&set);
    ISA(finish)(job, tile, work.sums);
}

int64_t AMX(tile_bytes, high)(const c3d_job *job, int64_t rows, int32_t columns)
{
    return bytes(job, rows, columns, 2);
}

int64_t AMX(tile_bytes, fast)(const c3d_job *job, int64_t rows, int32_t columns)
{
    return bytes(job, rows, columns, 1);
}

void AMX(tile, high)(const c3d_job *job, const c3d_tile *tile, void *scratch)
{
    run(job, tile, scratch, 2);
}

void AMX(tile, fast)(const c3d_job *job, const c3d_tile *tile, void *scratch)
{
    run(job, tile, scratch, 1);
}
