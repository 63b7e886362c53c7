/* The gradient of weights: the checks, and how the work is cut into tasks. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define SEGMENT_PAIRS 8192 /* cuts do not depend on threads: nor does the order of sums */
#define MAX_SEGMENTS 16
#define MAX_THREADS 1024
#define SMALL_WORK 1000000

typedef struct {
    c3d_job job;
    const c3d_kernels *kernels;
    float *sums;            /* (parts, cin, pitch) */
    int64_t pitch;
    int32_t block;          /* channels of a task */
    int32_t blocks;
    int32_t parts;          /* segments of all offsets */
    int32_t first_part[C3D_MAX_OFFSETS + 1];
} plan;

static int64_t cut(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

static c3d_pairs all_pairs(const c3d_job *job, int32_t offset)
{
    return c3d_pairs_of(job, offset, 0, job->target->rows);
}

static void lay_out(plan *plan)
{
    const c3d_job *job = &plan->job;
    int32_t cin = job->source->channels;
    plan->pitch = cut(job->target->channels, 32) * 32;
    int32_t group = plan->kernels->channel_group;
    int64_t block = plan->kernels->sums_bytes / 4 / plan->pitch / group * group;
    plan->block = block < group ? group : block > cin ? cin : (int32_t)block;
    plan->blocks = (int32_t)cut(cin, plan->block);
    plan->parts = 0;
    for (int32_t k = 0; k < job->offsets; k++) {
        int64_t segments = cut(all_pairs(job, k).count, SEGMENT_PAIRS);
        plan->first_part[k] = plan->parts;
        plan->parts += segments < 1 ? 1 : segments > MAX_SEGMENTS ? MAX_SEGMENTS
                                                                  : (int32_t)segments;
    }
    plan->first_part[job->offsets] = plan->parts;
}

static void run_part(const plan *plan, int64_t task, void *scratch)
{
    const c3d_job *job = &plan->job;
    int32_t part = (int32_t)(task / plan->blocks), offset = 0;
    int32_t channel = (int32_t)(task % plan->blocks) * plan->block;
    int32_t left = job->source->channels - channel;
    while (plan->first_part[offset + 1] <= part)
        offset++;
    c3d_pairs pairs = all_pairs(job, offset);
    int64_t segments = plan->first_part[offset + 1] - plan->first_part[offset];
    int64_t segment = part - plan->first_part[offset];
    int64_t first = pairs.count * segment / segments;
    pairs.count = pairs.count * (segment + 1) / segments - first;
    pairs.targets = pairs.targets ? pairs.targets + first : NULL;
    pairs.sources = pairs.sources ? pairs.sources + first : NULL;
    pairs.first += first;
    plan->kernels->gradient(job, &pairs, channel, left < plan->block ? left : plan->block,
                            plan->sums + ((int64_t)part * job->source->channels + channel)
                                             * plan->pitch,
                            plan->pitch, scratch);
}

/* One row of one offset's gradient: its segments' sums, always in the same order. */
static void add_parts(const plan *plan, int32_t offset, int32_t channel, float *row)
{
    int32_t cin = plan->job.source->channels, cout = plan->job.target->channels;
    for (int32_t part = plan->first_part[offset]; part < plan->first_part[offset + 1]; part++) {
        const float *sums = plan->sums + ((int64_t)part * cin + channel) * plan->pitch;
        int first = part == plan->first_part[offset];
        for (int32_t j = 0; j < cout; j++)
            row[j] = first ? sums[j] : row[j] + sums[j];
    }
}

static int32_t run(plan *plan, float *weight_grad, int64_t offset_pitch, int64_t row_pitch,
                   int32_t threads)
{
    int32_t cin = plan->job.source->channels, no_memory = 0;
    int64_t tasks = (int64_t)plan->parts * plan->blocks;
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

static int32_t bad_job(const c3d_job *job)
{
    int64_t filled = job->map ? job->map->length[job->direction] : job->target->rows;
    int64_t seen = job->map ? job->map->length[1 - job->direction] : job->target->rows;
    return job->target->rows != filled || job->source->rows != seen;
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
        .job = {
            .map = map,
            .direction = reverse != 0,
            .offsets = map ? map->offsets : 1,
            .centre = map ? map->centre : 0,
            .source = source,
            .target = target_grad,
        },
        .kernels = c3d_kernels_for(products),
    };
    if (bad_job(&plan.job))
        return C3D_BAD_ARGUMENT;
    lay_out(&plan);
    double work = (double)(map ? c3d_map_pairs(map) : target_grad->rows) * source->channels
        * target_grad->channels;
    plan.sums = malloc((size_t)plan.parts * (size_t)source->channels * (size_t)plan.pitch
                       * sizeof(float));
    if (!plan.sums)
        return C3D_NO_MEMORY;
    int32_t answer = run(&plan, weight_grad, offset_pitch, row_pitch,
                         work < SMALL_WORK ? 1 : threads);
    free(plan.sums);
    return answer;
}
