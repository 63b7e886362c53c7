/* Gradients of batch normalisation with a residual and a ReLU behind it. */
#include "norm_rows.h"

/* What c3d_norm_gradient was given, and what the first pass finds out for the second. */
typedef struct {
    const c3d_rows *grad, *result, *feats, *feats_grad, *residual_grad;
    const float *mean;
    cut cuts;
    float *share;  /* of the gradient's mean, to be taken away */
    float *slope;  /* of what follows the normalised rows, to be taken away */
    float *scale;
} job;

/* The gradient behind the ReLU, in `room` (2 rows) unless it lies ready. */
static const float *masked_row(const job *own, int64_t row, float *room)
{
    const float *grad = read_row(own->grad, row, room);
    if (!own->result) return grad;
    int32_t channels = own->grad->channels;
    const float *result = read_row(own->result, row, room + channels);
#pragma omp simd
    for (int32_t c = 0; c < channels; c++) {
        float here = grad[c]; /* read in any case: so the loop has no branch */
        room[c] = result[c] <= 0 ? 0 : here;
    }
    return room;
}

static void give_residual(const job *own, int64_t row, const float *masked, float *room)
{
    float *kept = row_to_write(own->residual_grad, row, room);
    memcpy(kept, masked, (size_t)own->grad->channels * sizeof *kept);
    keep_row(own->residual_grad, row, kept);
}

/* sums: of the group's gradients, then of their products with what the rows are above the mean.
 * room: 6 rows. */
static void sum_group(const job *own, int64_t group, double *sums, float *room)
{
    int32_t channels = own->grad->channels;
    int64_t first = group * own->cuts.group, stop = least(first + own->cuts.group, own->cuts.rows);
    float *restrict whole = room, *restrict along = room + channels;
    for (int64_t begin = first; begin < stop; begin += own->cuts.block) {
        memset(room, 0, (size_t)channels * 2 * sizeof *room);
        for (int64_t row = begin; row < least(begin + own->cuts.block, stop); row++) {
            const float *grad = masked_row(own, row, room + 2 * channels);
            const float *x = read_row(own->feats, row, room + 4 * channels);
            for (int32_t c = 0; c < channels; c++) {
                whole[c] += grad[c];
                along[c] += grad[c] * (x[c] - own->mean[c]);
            }
            if (own->residual_grad) give_residual(own, row, grad, room + 5 * channels);
        }
        for (int32_t c = 0; c < 2 * channels; c++) sums[c] += room[c];
    }
}

/* room: 4 rows. */
static void turn_group(const job *own, int64_t group, float *room)
{
    int32_t channels = own->grad->channels;
    int64_t first = group * own->cuts.group, stop = least(first + own->cuts.group, own->cuts.rows);
    const float *mean = own->mean, *share = own->share, *slope = own->slope, *scale = own->scale;
    for (int64_t row = first; row < stop; row++) {
        const float *grad = masked_row(own, row, room);
        const float *x = read_row(own->feats, row, room + 2 * channels);
        float *turned = row_to_write(own->feats_grad, row, room + 3 * channels);
#pragma omp simd
        for (int32_t c = 0; c < channels; c++)
            turned[c] = scale[c] * (grad[c] - share[c] - (x[c] - mean[c]) * slope[c]);
        keep_row(own->feats_grad, row, turned);
    }
}

static void join_sums(const job *own, const double *sums, const float *inverse_std,
                      const float *weight, float *weight_grad, float *bias_grad)
{
    int32_t channels = own->grad->channels;
    for (int32_t c = 0; c < channels; c++) {
        double whole = 0, along = 0, rows = (double)own->cuts.rows;
        for (int64_t group = 0; group < own->cuts.groups; group++) {
            whole += sums[group * 2 * channels + c];
            along += sums[group * 2 * channels + channels + c];
        }
        along *= inverse_std[c];
        if (bias_grad) bias_grad[c] = (float)whole;
        if (weight_grad) weight_grad[c] = (float)along;
        own->share[c] = (float)(whole / rows);
        own->slope[c] = (float)(along / rows * inverse_std[c]);
        own->scale[c] = inverse_std[c] * (weight ? weight[c] : 1.0F);
    }
}

/* One pass over all groups: the first if there are sums to fill. */
static int32_t pass(const job *own, double *sums, int32_t threads)
{
    int32_t no_memory = 0;
    size_t channels = (size_t)own->grad->channels;
    threads = (int32_t)least(threads, own->cuts.groups);
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        float *room = malloc(channels * 6 * sizeof *room);
        no_memory |= !room;
#pragma omp for schedule(static)
        for (int64_t group = 0; group < own->cuts.groups; group++) {
            if (!room) continue;
            if (sums) sum_group(own, group, sums + group * 2 * (int64_t)channels, room);
            else turn_group(own, group, room);
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
    cut cuts = cut_rows(grad->rows, grad->channels);
    double *sums = calloc((size_t)cuts.groups * 2 * channels, sizeof *sums);
    float *found = malloc(channels * 3 * sizeof *found);
    int32_t no_memory = !sums || !found;
    if (!no_memory) {
        job own = {grad, result, feats, feats_grad, residual_grad, mean, cuts,
                   found, found + channels, found + 2 * channels};
        no_memory = pass(&own, sums, threads);
        if (!no_memory) {
            join_sums(&own, sums, inverse_std, weight, weight_grad, bias_grad);
            /* Read back, the residual's gradient saves the second look at the ReLU. */
            if (residual_grad && residual_grad->type == grad->type) {
                own.grad = residual_grad;
                own.result = NULL;
            }
            no_memory = pass(&own, NULL, threads);
        }
    }
    free(sums);
    free(found);
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}
