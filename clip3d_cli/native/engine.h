/* Sparse convolution on CPUs: the whole interface of the library.
 *
 * It is plain C with pointers as arguments and knows neither Python nor PyTorch, so one build
 * serves all versions of both. No function keeps a pointer that it was given. Every result has
 * the same bits for any number of threads: each number is computed by one thread, in an order of
 * operations that depends on the sizes only. Functions return C3D_OK or a negative error code;
 * they never print and never exit. */
#ifndef CLIP3D_ENGINE_H
#define CLIP3D_ENGINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* all other symbols of the library are hidden */

#define C3D_ABI 3 /* version of this interface */

enum { C3D_OK = 0, C3D_NO_MEMORY = -1, C3D_BAD_ARGUMENT = -2 };

/* How the elements of a matrix are stored. */
enum { C3D_F32 = 0, C3D_BF16 = 1 };

/* Precision of products; sums are always float32.
 * EXACT: float32. HIGH: three bf16 products of split float32 numbers, relative error below 5e-5.
 * FAST: bf16. On a CPU without bf16 matrix instructions all three compute in float32; bf16 rows can
 * still be read and written. */
enum { C3D_EXACT = 0, C3D_HIGH = 1, C3D_FAST = 2 };

/* A matrix of rows: element (i, j) is data[i * pitch + j]. Columns have no gaps. */
typedef struct {
    void *data;
    int64_t rows;
    int64_t pitch;    /* elements from one row to the next, at least channels */
    int32_t channels;
    int32_t type;     /* C3D_F32 or C3D_BF16 */
} c3d_rows;

/* What is applied to a sum before it is written: y = relu((sum + base) * scale + shift + residual).
 * A part that is NULL or 0 is left out. base and residual may be the very rows that are written. */
typedef struct {
    const float *scale;        /* (channels), or NULL */
    const float *shift;        /* (channels), or NULL */
    const c3d_rows *base;      /* or NULL */
    const c3d_rows *residual;  /* or NULL */
    int32_t relu;
} c3d_epilogue;

/* ------------------------------------------------------------------ the machine */

int32_t c3d_abi(void);

/* Name of the instruction set in use: "amx", "avx512", "avx2" or "portable". */
const char *c3d_isa(void);

/* Select another instruction set, for tests and comparisons. C3D_BAD_ARGUMENT if this CPU or
 * this build does not have it. Packed weights are valid only with the instruction set they were
 * packed for. */
int32_t c3d_use_isa(const char *name);

/* Default number of threads: OMP_NUM_THREADS, else the CPUs this process may run on; 1 if the
 * library was built without OpenMP. */
int32_t c3d_max_threads(void);

/* Make this process keep the memory it frees, to use it again. Features of hundreds of megabytes
 * are allocated and freed in every layer, and to get a page from the system again costs more
 * than to fill it. Has no effect with C libraries other than glibc. */
void c3d_keep_memory(void);

/* ------------------------------------------------------------------ kernel maps */

/* Which rows see which, for every offset of a kernel; the layout is in internal.h. */
typedef struct c3d_map c3d_map;

/* Find the parents of cells: the cells of twice the stride that contain them. keys: (n), sorted,
 * unique; for their bits see key_layout.py. parent_keys: room for n, written, sorted and unique.
 * parent_rows: (n), written, row of each cell's parent. Returns the number of parents. */
int64_t c3d_coarsen(const int64_t *keys, int64_t n, int64_t *parent_keys, int32_t *parent_rows);

/* The map of a centred kernel of 1, 3 or 5 cells onto the same cells. NULL if there is no memory or
 * an argument is invalid. */
c3d_map *c3d_map_submanifold(const int64_t *keys, int64_t n, int32_t size, int32_t threads);

/* The map of a kernel of 2 cells from fine cells (sources) to their parents (targets). NULL if
 * there is no memory or an argument is invalid. */
c3d_map *c3d_map_strided(const int64_t *fine_keys, int64_t n_fine, const int32_t *parent_rows,
                         int64_t n_coarse, int32_t threads);

void c3d_map_free(c3d_map *map);
int64_t c3d_map_pairs(const c3d_map *map);  /* number of pairs, those of the centre included */
int64_t c3d_map_bytes(const c3d_map *map);

/* ------------------------------------------------------------------ convolution */

/* Pack a weight once for the instruction set in use.
 * weight: float32 (offsets, cin, cout), offsets with x slowest, rows of a matrix without gaps.
 * row_pitch and offset_pitch are in elements, so that a slice of the input channels can be packed.
 * With transpose the packed matrices are (cout, cin): the gradient with respect to the input
 * multiplies by those. */
int64_t c3d_packed_bytes(int32_t offsets, int32_t cin, int32_t cout, int32_t precision);
int32_t c3d_pack(const float *weight, int32_t offsets, int32_t cin, int32_t cout,
                 int64_t offset_pitch, int64_t row_pitch, int32_t transpose, int32_t precision,
                 void *packed, int32_t threads);

/* target[o] = epilogue(sum over offsets k and their pairs (o, i) of source[i] @ weight[k]).
 * reverse = 0: from the map's sources to its targets; 1: in the other direction.
 * map = NULL is a linear layer: one offset, every row sees itself. */
int32_t c3d_convolve(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                     const void *packed, const c3d_rows *target, const c3d_epilogue *epilogue,
                     int32_t precision, int32_t threads);

/* weight_grad[k] = sum over pairs (o, i) of offset k of source[i]^T @ target_grad[o].
 * weight_grad: float32 (offsets, cin, cout), with pitches as in c3d_pack; overwritten. */
int32_t c3d_weight_gradient(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                            const c3d_rows *target_grad, float *weight_grad,
                            int64_t offset_pitch, int64_t row_pitch, int32_t precision,
                            int32_t threads);

/* ------------------------------------------------------------------ batch normalization */

/* Mean and (biased) variance of every column. mean, variance: (channels), written. */
int32_t c3d_moments(const c3d_rows *feats, float *mean, float *variance, int32_t threads);

/* result = relu(feats * scale + shift + residual). residual may be NULL; result may be the rows of
 * feats or residual. */
int32_t c3d_scale_shift(const c3d_rows *feats, const float *scale, const float *shift,
                        const c3d_rows *residual, int32_t relu, const c3d_rows *result,
                        int32_t threads);

/* Gradients of y = relu((x - mean) * inverse_std * weight + bias + residual), where mean and
 * inverse_std are those of the columns of x = feats.
 * grad: gradient of y. result: y, of which only the signs are used; NULL if there was no relu.
 * weight: (channels), or NULL for ones. feats_grad: written. residual_grad: written, the gradient
 * before the relu; NULL if there was no residual. weight_grad, bias_grad: (channels), written, or
 * NULL. */
int32_t c3d_norm_gradient(const c3d_rows *grad, const c3d_rows *result, const c3d_rows *feats,
                          const float *mean, const float *inverse_std, const float *weight,
                          const c3d_rows *feats_grad, const c3d_rows *residual_grad,
                          float *weight_grad, float *bias_grad, int32_t threads);

/* ------------------------------------------------------------------ LZF, for PCD files */

/* Decompress an LZF stream into exactly target_bytes bytes. C3D_BAD_ARGUMENT if the stream is
 * damaged or holds another number of bytes; the target may be partly written then. */
int32_t c3d_lzf_decompress(const uint8_t *source, int64_t source_bytes, uint8_t *target,
                           int64_t target_bytes);

/* The most bytes that compressing so many bytes can take. */
int64_t c3d_lzf_max_bytes(int64_t source_bytes);

/* Compress into a target with room for c3d_lzf_max_bytes(source_bytes). Returns the bytes written,
 * or C3D_NO_MEMORY. */
int64_t c3d_lzf_compress(const uint8_t *source, int64_t source_bytes, uint8_t *target);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
