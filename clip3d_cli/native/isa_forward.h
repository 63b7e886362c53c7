/* The float32 kernels of one instruction set; their names end with its name. */
#ifndef CLIP3D_ISA_FORWARD_H
#define CLIP3D_ISA_FORWARD_H

#include "isa_vector.h"

#define SUMS_BYTES 147456 /* sums of a gradient's task: they stay in a core's second-level cache */
#define CHANNEL_GROUP 24 /* channels: a multiple of MR for every instruction set */

int64_t ISA(packed_bytes)(int32_t cin, int32_t cout);
void ISA(pack)(const float *weight, int64_t row_pitch, int64_t column_pitch, int32_t cin,
               int32_t cout, void *packed);
int64_t ISA(tile_bytes)(const c3d_job *job, int64_t rows, int32_t columns);
void ISA(tile)(const c3d_job *job, const c3d_tile *tile, void *scratch);
int64_t ISA(gradient_bytes)(const c3d_job *job);
void ISA(gradient)(const c3d_job *job, const c3d_pairs *pairs, int32_t channel, int32_t channels,
                   float *sums, int64_t pitch, void *scratch);

/* Apply the epilogue to a tile's sums, [panel][row][PANEL], and write the result. */
void ISA(finish)(const c3d_job *job, const c3d_tile *tile, const float *sums);

#endif
