/* Driver of the gradient of weights: checks arguments and cuts the work into tasks.
 *
 * The gradient of an offset is a sum over all of its pairs. Rows are cut into segments; a task
 * sums the pairs of one segment for one offset and a block of input channels. Afterwards the
 * segments' sums are added in order. The cuts depend on the sizes only, not on the number of
 * threads, so neither does the order of summation. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define SEGMENT_ROWS 8192 /* their features stay in the cache that cores share while offsets pass */
#define MAX_SEGMENTS 64
#define MAX_THREADS 1024
#define SMALL_WORK 1000000 /* multiply-adds that take less time than waking a second thread */

typedef struct {
    c3d_job job;
    const c3d_kernels *kernels;
    float *sums;            /* (segments, offsets, cin, pitch) */
    int64_t pitch;          /* cout rounded up to a multiple of 32 */
    int32_t block;          /* input channels of a task */
    int32_t blocks;
    int32_t segments;
    int64_t granules;       /* of all rows; segments are whole granules */
} plan;

static int64_t ceil_divide(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

static void cut_work(plan *plan)
{
    const c3d_job *job = &plan->job;
    int32_t cin = job->source->channels;
    plan->pitch = ceil_divide(job->target->channels, 32) * 32;
    int32_t group = plan->kernels->channel_group;
    /* As many channels as have their sums in a core's cache, in whole groups. */
    int64_t block = plan->kernels->sums_bytes / 4 / plan->pitch / group * group;
    plan->block = block < group ? group : block > cin ? cin : (int32_t)block;
    plan->blocks = (int32_t)ceil_divide(cin, plan->block);
    int64_t segments = ceil_divide(job->target->rows, SEGMENT_ROWS);
    plan->segments = segments < 1 ? 1 : segments > MAX_SEGMENTS ? MAX_SEGMENTS : (int32_t)segments;
    plan->granules = ceil_divide(job->target->rows, C3D_GRANULE);
}

static float *sums_of(const plan *plan, int32_t segment, int32_t offset, int32_t channel)
{
    int64_t part = (int64_t)segment * plan->job.offsets + offset;
    return plan->sums + (part * plan->job.source->channels + channel) * plan->pitch;
}

/* Tasks are numbered by segment, then offset, then block: threads that run at the same time read
 * the same rows. */
static void run_task(const plan *plan, int64_t task, void *scratch)
{
    const c3d_job *job = &plan->job;
    int32_t channel = (int32_t)(task % plan->blocks) * plan->block;
    int32_t offset = (int32_t)(task / plan->blocks % job->offsets);
    int32_t segment = (int32_t)(task / plan->blocks / job->offsets);
    int32_t channels_left = job->source->channels - channel;
    int64_t row = plan->granules * segment / plan->segments * C3D_GRANULE;
    int64_t end = plan->granules * (segment + 1) / plan->segments * C3D_GRANULE;
    if (end > job->target->rows)
        end = job->target->rows;
    c3d_pairs pairs = c3d_pairs_of(job, offset, row, end - row);
    plan->kernels->gradient(job, &pairs, channel,
                            channels_left < plan->block ? channels_left : plan->block,
                            sums_of(plan, segment, offset, channel), plan->pitch, scratch);
}

/* One row (cout) of one offset's gradient: the sums of its segments, always in the same order. */
static void add_segments(const plan *plan, int32_t offset, int32_t channel, float *row)
{
    int32_t cout = plan->job.target->channels;
    for (int32_t segment = 0; segment < plan->segments; segment++) {
        const float *sums = sums_of(plan, segment, offset, channel);
        for (int32_t j = 0; j < cout; j++)
            row[j] = segment ? row[j] + sums[j] : sums[j];
    }
}

static int32_t run(plan *plan, float *weight_grad, int64_t offset_pitch, int64_t row_pitch,
                   int32_t threads)
{
    int32_t cin = plan->job.source->channels, no_memory = 0;
    int64_t tasks = (int64_t)plan->segments * plan->job.offsets * plan->blocks;
    size_t bytes = (size_t)ceil_divide(plan->kernels->gradient_bytes(&plan->job), 64) * 64;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        void *scratch = aligned_alloc(64, bytes);
        no_memory |= !scratch;
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < tasks; task++)
            if (scratch)
                run_task(plan, task, scratch);
        /* The loop above ends with a barrier: all sums are complete. */
        free(scratch);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < (int64_t)plan->job.offsets * cin; row++)
            add_segments(plan, (int32_t)(row / cin), (int32_t)(row % cin),
                         weight_grad + row / cin * offset_pitch + row % cin * row_pitch);
    }
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}

int32_t c3d_weight_gradient(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                            const c3d_rows *target_grad, float *weight_grad,
                            int64_t offset_pitch, int64_t row_pitch, int32_t precision,
                            int32_t threads)
{
    if (c3d_bad_rows(source) || c3d_bad_rows(target_grad) || !weight_grad || offset_pitch < 0
        || row_pitch < target_grad->channels || precision < C3D_EXACT || precision > C3D_FAST
        || threads < 1 || threads > MAX_THREADS)
        return C3D_BAD_ARGUMENT;
    plan plan = {
        .job = c3d_job_of(map, reverse, source, target_grad),
        .kernels = c3d_kernels_for(precision),
    };
    if (c3d_bad_lengths(&plan.job))
        return C3D_BAD_ARGUMENT;
    cut_work(&plan);
    plan.sums = malloc((size_t)plan.segments * (size_t)plan.job.offsets
                       * (size_t)source->channels * (size_t)plan.pitch * sizeof(float));
    if (!plan.sums)
        return C3D_NO_MEMORY;
    int32_t code = run(&plan, weight_grad, offset_pitch, row_pitch,
                       c3d_work_of(&plan.job) < SMALL_WORK ? 1 : threads);
    free(plan.sums);
    return code;
}
