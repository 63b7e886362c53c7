/* Sparse convolution on CPUs: the whole interface of the library.
 *
 * Plain C, pointers in: nothing here knows Python or PyTorch, so one build serves every version.
 * No function keeps a pointer that it was given. Every result is bitwise the same for any number
 * of threads. Functions return C3D_OK or say by a negative number what is wrong; nothing is
 * printed and nothing exits.
 */
#ifndef CLIP3D_ENGINE_H
#define CLIP3D_ENGINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* the rest of the library is built hidden */

#define C3D_ABI 3

enum { C3D_OK = 0, C3D_NO_MEMORY = -1, C3D_BAD_ARGUMENT = -2 };

/* How a matrix is stored. */
enum { C3D_F32 = 0, C3D_BF16 = 1 };

/* How products are computed, always summed in float32: in float32; as three bf16 products of
 * split float32 numbers (relative error below 5e-5); in bf16. Where the CPU has no bf16 matrix
 * instructions all three compute in float32 (and still read and write bf16 rows). */
enum { C3D_EXACT = 0, C3D_HIGH = 1, C3D_FAST = 2 };

/* A matrix of rows: element (i, j) stands at data[i * pitch + j]. Columns have no gaps. */
typedef struct {
    void *data;
    int64_t rows;
    int64_t pitch;    /* elements from one row to the next */
    int32_t channels;
    int32_t type;     /* C3D_F32 or C3D_BF16 */
} c3d_rows;

/* What becomes of a sum before it is written:
 * y = relu((sum + base) * scale + shift + residual); absent parts are left out.
 * base and residual may be the very rows that are written. */
typedef struct {
    const float *scale;        /* channels, or NULL */
    const float *shift;        /* channels, or NULL */
    const c3d_rows *base;      /* or NULL */
    const c3d_rows *residual;  /* or NULL */
    int32_t relu;
} c3d_epilogue;

/* ------------------------------------------------------------------ the machine */

int32_t c3d_abi(void);

/* The instruction set in use: "amx", "avx512", "avx2" or "portable". */
const char *c3d_isa(void);

/* Use another one, for tests and comparisons. C3D_BAD_ARGUMENT if this CPU or this build lacks it.
 * Packed weights belong to the instruction set they were packed under. */
int32_t c3d_use_isa(const char *name);

/* Threads to use where nothing else is said: OMP_NUM_THREADS, else the CPUs this process may run
 * on; 1 if it was built without OpenMP. */
int32_t c3d_max_threads(void);

/* From now on this process keeps the memory it frees and uses it again. Features come and go by the
 * hundred megabytes, and a page given back costs more to get anew than to fill. Does nothing where
 * the C library cannot (other than glibc). */
void c3d_keep_memory(void);

/* ------------------------------------------------------------------ kernel maps */

/* Which rows see which, for every offset of a kernel; see internal.h. */
typedef struct c3d_map c3d_map;

/* The cells twice as wide that hold these cells. keys: (n), sorted, unique (see keys.py).
 * parent_keys: room for n, filled sorted and unique; parent_rows: (n), each cell's parent.
 * Returns how many parents there are. */
int64_t c3d_coarsen(const int64_t *keys, int64_t n, int64_t *parent_keys, int32_t *parent_rows);

/* The map of a centred kernel of size 1, 3 or 5 onto the same cells. NULL: no memory. */
c3d_map *c3d_map_submanifold(const int64_t *keys, int64_t n, int32_t size, int32_t threads);

/* The map of a kernel of 2 cells from fine cells onto their parents (targets), stride 2. */
c3d_map *c3d_map_strided(const int64_t *fine_keys, int64_t n_fine, const int32_t *parent_rows,
                         int64_t n_coarse, int32_t threads);

void c3d_map_free(c3d_map *map);
int64_t c3d_map_pairs(const c3d_map *map);  /* the centre's included */
int64_t c3d_map_bytes(const c3d_map *map);

/* ------------------------------------------------------------------ convolution */

/* Weights are float32 (offsets, cin, cout), offsets with x slowest, matrices without gaps; they
 * are packed once for the instruction set. With transpose the packed matrices are (cout, cin):
 * what the gradient with respect to the input multiplies by.
 * row_pitch and offset_pitch are in elements, so that a slice of input channels can be packed. */
int64_t c3d_packed_bytes(int32_t offsets, int32_t cin, int32_t cout, int32_t products);
int32_t c3d_pack(const float *weight, int32_t offsets, int32_t cin, int32_t cout,
                 int64_t offset_pitch, int64_t row_pitch, int32_t transpose, int32_t products,
                 void *packed, int32_t threads);

/* target[o] = epilogue(sum over pairs (o, i) of offset k: source[i] @ weight[k]).
 * reverse = 0: from the map's sources to its targets; 1: the other way.
 * map = NULL is a linear layer: one offset, every row sees itself. */
int32_t c3d_convolve(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                     const void *packed, const c3d_rows *target, const c3d_epilogue *epilogue,
                     int32_t products, int32_t threads);

/* weight_grad[k] = sum over pairs (o, i) of offset k: source[i]^T @ target_grad[o], float32
 * (offsets, cin, cout) with the pitches of c3d_pack; overwritten. */
int32_t c3d_weight_gradient(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                            const c3d_rows *target_grad, float *weight_grad,
                            int64_t offset_pitch, int64_t row_pitch, int32_t products,
                            int32_t threads);

/* ------------------------------------------------------------------ batch normalisation */

/* Mean and (biased) variance of every column. */
int32_t c3d_moments(const c3d_rows *feats, float *mean, float *variance, int32_t threads);

/* result = relu(feats * scale + shift + residual); residual may be NULL; result may be feats or
 * residual. */
int32_t c3d_scale_shift(const c3d_rows *feats, const float *scale, const float *shift,
                        const c3d_rows *residual, int32_t relu, const c3d_rows *result,
                        int32_t threads);

/* Gradients of y = relu((x - mean) * inverse_std * weight + bias + residual) where mean and
 * inverse_std are of x's own columns. result: y, needed only for its signs; NULL if there was no
 * relu. residual_grad: NULL if there was no residual, else filled with the gradient behind the relu. */
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
