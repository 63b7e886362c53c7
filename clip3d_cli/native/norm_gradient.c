/* Gradients of batch normalization followed by a residual and a ReLU.
 *
 * With n rows, g the gradient before the ReLU, x^ = (x - mean) * inverse_std, and sums over
 * rows:
 *     bias_grad   = sum g
 *     weight_grad = sum g x^
 *     feats_grad  = weight * inverse_std * (g - bias_grad / n - x^ * weight_grad / n)
 * (Ioffe and Szegedy 2015, Section 3). The first pass over the rows computes the sums, the
 * second one the gradients of the rows. */
#include "norm_rows.h"

/* The arguments of c3d_norm_gradient, and what the first pass computes for the second. */
typedef struct {
    const c3d_rows *grad, *result, *feats, *feats_grad, *residual_grad;
    const float *mean;
    cuts cuts;
    float *share;  /* (channels) sum g / n */
    float *slope;  /* (channels) sum g x^ / n * inverse_std: factor of x - mean */
    float *scale;  /* (channels) weight * inverse_std */
} job;

/* The gradient of a row before the ReLU: 0 where the result is 0. In place, or in `room` (2
 * rows). */
static const float *masked_row(const job *job, int64_t row, float *room)
{
    const float *grad = read_row(job->grad, row, room);
    if (!job->result) return grad;
    int32_t channels = job->grad->channels;
    const float *result = read_row(job->result, row, room + channels);
#pragma omp simd
    for (int32_t c = 0; c < channels; c++) {
        float here = grad[c]; /* read in any case, so that the loop has no branch */
        room[c] = result[c] <= 0 ? 0 : here;
    }
    return room;
}

/* The residual is added before the ReLU: its gradient is the masked one itself. */
static void write_residual_grad(const job *job, int64_t row, const float *masked, float *room)
{
    float *written = row_to_write(job->residual_grad, row, room);
    memcpy(written, masked, (size_t)job->grad->channels * sizeof *written);
    write_back(job->residual_grad, row, written);
}

/* First pass over one group. sums: (2, channels), sum g and sum g (x - mean), all 0, written.
 * room: 6 rows. A block is summed in float32, blocks in double precision. */
static void sum_group(const job *job, int64_t group, double *sums, float *room)
{
    int32_t channels = job->grad->channels;
    int64_t first = group * job->cuts.group, stop = least(first + job->cuts.group, job->cuts.rows);
    float *restrict grad_sum = room, *restrict product_sum = room + channels;
    for (int64_t begin = first; begin < stop; begin += job->cuts.block) {
        memset(room, 0, (size_t)channels * 2 * sizeof *room);
        for (int64_t row = begin; row < least(begin + job->cuts.block, stop); row++) {
            const float *grad = masked_row(job, row, room + 2 * channels);
            const float *x = read_row(job->feats, row, room + 4 * channels);
            for (int32_t c = 0; c < channels; c++) {
                grad_sum[c] += grad[c];
                product_sum[c] += grad[c] * (x[c] - job->mean[c]);
            }
            if (job->residual_grad) write_residual_grad(job, row, grad, room + 5 * channels);
        }
        for (int32_t c = 0; c < 2 * channels; c++) sums[c] += room[c];
    }
}

/* Second pass over one group: feats_grad. room: 4 rows. */
static void write_group(const job *job, int64_t group, float *room)
{
    int32_t channels = job->grad->channels;
    int64_t first = group * job->cuts.group, stop = least(first + job->cuts.group, job->cuts.rows);
    const float *mean = job->mean, *share = job->share, *slope = job->slope, *scale = job->scale;
    for (int64_t row = first; row < stop; row++) {
        const float *grad = masked_row(job, row, room);
        const float *x = read_row(job->feats, row, room + 2 * channels);
        float *written = row_to_write(job->feats_grad, row, room + 3 * channels);
#pragma omp simd
        for (int32_t c = 0; c < channels; c++)
            written[c] = scale[c] * (grad[c] - share[c] - (x[c] - mean[c]) * slope[c]);
        write_back(job->feats_grad, row, written);
    }
}

/* Join the groups' sums in order, and prepare the second pass. sums: (groups, 2, channels). */
static void join_sums(const job *job, const double *sums, const float *inverse_std,
                      const float *weight, float *weight_grad, float *bias_grad)
{
    int32_t channels = job->grad->channels;
    for (int32_t c = 0; c < channels; c++) {
        double grad_sum = 0, product_sum = 0, rows = (double)job->cuts.rows;
        for (int64_t group = 0; group < job->cuts.groups; group++) {
            grad_sum += sums[group * 2 * channels + c];
            product_sum += sums[group * 2 * channels + channels + c];
        }
        product_sum *= inverse_std[c];
        if (bias_grad) bias_grad[c] = (float)grad_sum;
        if (weight_grad) weight_grad[c] = (float)product_sum;
        job->share[c] = (float)(grad_sum / rows);
        job->slope[c] = (float)(product_sum / rows * inverse_std[c]);
        job->scale[c] = inverse_std[c] * (weight ? weight[c] : 1.0F);
    }
}

/* One pass over all groups: the first one if there are sums, else the second. */
static int32_t pass(const job *job, double *sums, int32_t threads)
{
    int32_t no_memory = 0;
    size_t channels = (size_t)job->grad->channels;
    threads = (int32_t)least(threads, job->cuts.groups);
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        float *room = malloc(channels * 6 * sizeof *room);
        no_memory |= !room;
#pragma omp for schedule(static)
        for (int64_t group = 0; group < job->cuts.groups; group++) {
            if (!room) continue;
            if (sums) sum_group(job, group, sums + group * 2 * (int64_t)channels, room);
            else write_group(job, group, room);
        }
        free(room);
    }
    return no_memory;
}

int32_t c3d_norm_gradient(const c3d_rows *grad, const c3d_rows *result, const c3d_rows *feats,
                          const float *mean, const float *inverse_std, const float *weight,
                          const c3d_rows *feats_grad, const c3d_rows *residual_grad,
                          float *weight_grad, float *bias_grad, int32_t threads)
{
    if (c3d_bad_rows(grad) || grad->rows < 1 || (result && bad_pair(result, grad))
        || bad_pair(feats, grad) || bad_pair(feats_grad, grad)
        || (residual_grad && bad_pair(residual_grad, grad)) || !mean || !inverse_std
        || bad_threads(threads))
        return C3D_BAD_ARGUMENT;
    size_t channels = (size_t)grad->channels;
    cuts cuts = cut_rows(grad->rows, grad->channels);
    double *sums = calloc((size_t)cuts.groups * 2 * channels, sizeof *sums);
    float *factors = malloc(channels * 3 * sizeof *factors);
    int32_t no_memory = !sums || !factors;
    if (!no_memory) {
        job job = {grad, result, feats, feats_grad, residual_grad, mean, cuts,
                   factors, factors + channels, factors + 2 * channels};
        no_memory = pass(&job, sums, threads);
        if (!no_memory) {
            join_sums(&job, sums, inverse_std, weight, weight_grad, bias_grad);
            /* The residual's gradient is the masked one: with it the second pass needs no mask. */
            if (residual_grad && residual_grad->type == grad->type) {
                job.grad = residual_grad;
                job.result = NULL;
            }
            no_memory = pass(&job, NULL, threads);
        }
    }
    free(sums);
    free(factors);
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}
