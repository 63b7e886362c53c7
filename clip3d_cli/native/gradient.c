/* The gradient of weights: the checks, and how the work is cut into tasks. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* Rows are cut into segments, so that those which all offsets see stay in the cache that cores share
 * while the offsets pass. Cuts do not depend on threads: nor does the order of sums. */
#define SEGMENT_ROWS 8192
#define MAX_SEGMENTS 64
#define MAX_THREADS 1024
#define SMALL_WORK 1000000

typedef struct {
    c3d_job job;
    const c3d_kernels *kernels;
    float *sums;            /* (segments, offsets, cin, pitch) */
    int64_t pitch;
    int32_t block;          /* channels of a task */
    int32_t blocks;
    int32_t segments;
    int64_t granules;       /* of all rows */
} plan;

static int64_t cut(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

static void lay_out(plan *plan)
{
    const c3d_job *job = &plan->job;
    int32_t cin = job->source->channels;
    plan->pitch = cut(job->target->channels, 32) * 32;
    int32_t group = plan->kernels->channel_group;
    int64_t block = plan->kernels->sums_bytes / 4 / plan->pitch / group * group;
    plan->block = block < group ? group : block > cin ? cin : (int32_t)block;
    plan->blocks = (int32_t)cut(cin, plan->block);
    int64_t segments = cut(job->target->rows, SEGMENT_ROWS);
    plan->segments = segments < 1 ? 1 : segments > MAX_SEGMENTS ? MAX_SEGMENTS : (int32_t)segments;
    plan->granules = cut(job->target->rows, C3D_GRANULE);
}

static float *sums_of(const plan *plan, int32_t segment, int32_t offset, int32_t channel)
{
    int64_t part = (int64_t)segment * plan->job.offsets + offset;
    return plan->sums + (part * plan->job.source->channels + channel) * plan->pitch;
}

/* Segment after segment: threads side by side read the same rows. */
static void run_part(const plan *plan, int64_t task, void *scratch)
{
    const c3d_job *job = &plan->job;
    int32_t channel = (int32_t)(task % plan->blocks) * plan->block;
    int32_t offset = (int32_t)(task / plan->blocks % job->offsets);
    int32_t segment = (int32_t)(task / plan->blocks / job->offsets);
    int32_t left = job->source->channels - channel;
    int64_t row = plan->granules * segment / plan->segments * C3D_GRANULE;
    int64_t end = plan->granules * (segment + 1) / plan->segments * C3D_GRANULE;
    if (end > job->target->rows)
        end = job->target->rows;
    c3d_pairs pairs = c3d_pairs_of(job, offset, row, end - row);
    plan->kernels->gradient(job, &pairs, channel, left < plan->block ? left : plan->block,
                            sums_of(plan, segment, offset, channel), plan->pitch, scratch);
}

/* One row of one offset's gradient: its segments' sums, always in the same order. */
static void add_parts(const plan *plan, int32_t offset, int32_t channel, float *row)
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
    size_t bytes = (size_t)cut(plan->kernels->gradient_bytes(&plan->job), 64) * 64;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : no_memory)
    {
        void *scratch = aligned_alloc(64, bytes);
        no_memory |= !scratch;
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < tasks; task++)
            if (scratch)
                run_part(plan, task, scratch);
        free(scratch);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < (int64_t)plan->job.offsets * cin; row++)
            add_parts(plan, (int32_t)(row / cin), (int32_t)(row % cin),
                      weight_grad + row / cin * offset_pitch + row % cin * row_pitch);
    }
    return no_memory ? C3D_NO_MEMORY : C3D_OK;
}

int32_t c3d_weight_gradient(const c3d_map *map, int32_t reverse, const c3d_rows *source,
                            const c3d_rows *target_grad, float *weight_grad,
                            int64_t offset_pitch, int64_t row_pitch, int32_t products,
                            int32_t threads)
{
    if (c3d_bad_rows(source) || c3d_bad_rows(target_grad) || !weight_grad || offset_pitch < 0
        || row_pitch < target_grad->channels || products < C3D_EXACT || products > C3D_FAST
        || threads < 1 || threads > MAX_THREADS)
        return C3D_BAD_ARGUMENT;
    plan plan = {
        .job = c3d_job_of(map, reverse, source, target_grad),
        .kernels = c3d_kernels_for(products),
    };
    if (c3d_bad_lengths(&plan.job))
        return C3D_BAD_ARGUMENT;
    lay_out(&plan);
    plan.sums = malloc((size_t)plan.segments * (size_t)plan.job.offsets * (size_t)source->channels * (size_t)plan.pitch
                       * sizeof(float));
    if (!plan.sums)
        return C3D_NO_MEMORY;
    int32_t answer = run(&plan, weight_grad, offset_pitch, row_pitch,
                         c3d_work_of(&plan.job) < SMALL_WORK ? 1 : threads);
    free(plan.sums);
    return answer;
}
