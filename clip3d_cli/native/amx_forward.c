/* Convolution of a tile of rows by AMX: in bf16, or three times in bf16 for nearly float32. */
#include "amx.h"

#define BLOCKS 4 /* at a time: their rows stay in the caches while all panels pass */
#define PART (ROWS * 64)            /* bytes of a block's numbers in one step */
#define SLOT (ROWS * PANEL)         /* floats of a block's products in one panel */

/* Up to 32 pairs: where their source rows lie as bf16, and where their sums belong. */
typedef struct {
    const char *rows;
    int64_t pitch;       /* bytes from row to row */
    int64_t step;        /* bytes from one step's numbers to the next step's */
    int32_t count;
    int32_t places[ROWS]; /* of their targets in the sums of a panel */
} block;

typedef struct {
    const c3d_job *job;
    const c3d_tile *tile;
    tiles *set;
    int32_t row_parts;    /* 2 if source rows are split into two bf16, else 1 */
    int32_t weight_parts; /* likewise */
    int32_t blocks;       /* how many there are */
    int64_t steps;
    float *sums;          /* [panel][row][PANEL] */
    float *slots;         /* of two products: one is added while the next is computed */
    char *copies;         /* [block][step][part][row][STEP] */
    block block[BLOCKS];
} work;

/* 32 numbers as bf16; with two parts the second is what the first leaves of them. */
INLINE void split(vec first, vec second, int32_t parts, char *place)
{
    numbers near = narrow_two(first, second);
    store_numbers(place, near);
    if (parts == 2)
        store_numbers(place + PART, narrow_two(first - widen_half(near, 0),
                                               second - widen_half(near, 1)));
}

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

static void look_up(const work *work, const c3d_pairs *pairs, int64_t first, char *copies,
                    block *found)
{
    const c3d_rows *source = work->job->source;
    int64_t left = pairs->count - first;
    found->count = left < ROWS ? (int32_t)left : ROWS;
    for (int32_t i = 0; i < found->count; i++) {
        int64_t at = first + i;
        int64_t target = pairs->targets ? pairs->targets[at] : pairs->first + at;
        found->places[i] = (int32_t)(target - work->tile->row) * PANEL;
    }
    if (!pairs->sources && found->count == ROWS && source->type == C3D_BF16
        && source->channels % STEP == 0) {
        found->rows = row_of(source, pairs->first + first, 0);
        found->pitch = source->pitch * 2;
        found->step = 64;
        return;
    }
    found->rows = copies;
    found->pitch = 64;
    found->step = work->row_parts * PART;
    for (int32_t i = 0; i < found->count; i++) {
        int64_t at = first + i;
        copy_numbers(source, pairs->sources ? pairs->sources[at] : pairs->first + at,
                     work->row_parts, copies + i * 64);
    }
}

/* Tiles 0 to 3 += rows @ weights of one step. Below 17 rows the second half is left out: tile
 * products do not mix rows, so no row's sum depends on how many stand beside it. */
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

/* products[row][PANEL] = the block's rows @ a panel of weights. Of the four products of split
 * numbers the smallest is left out; the others' order spares loads. */
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

static void add(const block *block, const float *products, float *sums, int start)
{
    for (int32_t i = 0; i < block->count; i++)
        for (int32_t v = 0; v < PANEL; v += LANES) {
            float *place = sums + block->places[i] + v;
            vec product = load(products + i * PANEL + v);
            store(place, start ? product : load(place) + product);
        }
}

/* Where a block's sums of one panel begin if its products can be stored there at once: all rows
 * follow each other and nothing stands there yet. NULL if they have to be added. */
static float *straight(const block *block, float *sums, int start)
{
    return start && block->count == ROWS ? sums + block->places[0] : NULL;
}

/* While a block's products go through the tiles, those of the block before are added. */
static void multiply_blocks(const work *work, const char *matrix, int start)
{
    int64_t panel_bytes = work->steps * work->weight_parts * 2 * TILE;
    int64_t ends = cut(work->tile->columns, PANEL) * work->blocks;
    const char *panels = matrix + work->tile->column / PANEL * panel_bytes;
    const block *waiting = NULL;
    float *waiting_sums = NULL;
    for (int64_t now = 0; now < ends; now++) {
        const block *block = work->block + now % work->blocks;
        float *sums = work->sums + now / work->blocks * PANEL * work->tile->rows;
        float *place = straight(block, sums, start), *slot = work->slots + now % 2 * SLOT;
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
        int64_t blocks = cut(pairs.count - first, ROWS);
        work->blocks = blocks < BLOCKS ? (int32_t)blocks : BLOCKS;
        for (int32_t b = 0; b < work->blocks; b++)
            look_up(work, &pairs, first + b * ROWS,
                    work->copies + b * work->steps * work->row_parts * PART, work->block + b);
        multiply_blocks(work, matrix, start);
    }
}

static int64_t sums_size(int64_t rows, int32_t columns) { return cut(columns, PANEL) * PANEL * rows; }

static int64_t bytes(const c3d_job *job, int64_t rows, int32_t columns, int parts)
{
    int64_t floats = sums_size(rows, columns) + 2 * SLOT;
    return floats * (int64_t)sizeof(float) + BLOCKS * cut(job->source->channels, STEP) * parts * PART;
}

/* The sums stay in this core's cache until all offsets have passed. */
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
        .steps = cut(job->source->channels, STEP),
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
