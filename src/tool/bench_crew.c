/* SPDX-License-Identifier: MIT */
/* One bench for all queues, or one for each queue in a thread of its own. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tool/bench.h"
#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

#define PIECE_BYTES (UINT64_C(1) << 20)

struct job {
    struct bench *bench;
    struct bench_step step;
    struct bench_result *result;
    pthread_t thread;
    int exit_code;
};

/* What falls to one of `count`, the first ones getting the rest; at least 1. */
static unsigned share(unsigned depth, unsigned count, unsigned index)
{
    unsigned own = depth / count + (index < depth % count ? 1 : 0);
    return own ? own : 1;
}

int bench_setup(struct bench_crew *crew, struct client *client, bool threads, unsigned depth_max,
                uint64_t data_bytes)
{
    uint32_t queues = client->block->queue_count;
    crew->count = threads ? queues : 1;
    /* Its share, in pieces that hold a whole number of requests of either size. */
    data_bytes = ((data_bytes + crew->count - 1) / crew->count + PIECE_BYTES - 1) / PIECE_BYTES *
                 PIECE_BYTES;
    crew->benches = calloc(crew->count, sizeof *crew->benches);
    crew->results = calloc(crew->count, sizeof *crew->results);
    if (!crew->benches || !crew->results)
        return complain(TOOL_FAILED, "out of memory");
    int result = TOOL_OK;
    for (unsigned i = 0; i < crew->count && result == TOOL_OK; ++i) {
        struct bench *bench = &crew->benches[i];
        bench->client = client;
        bench->first_queue = i;
        bench->queue_count = threads ? 1 : queues;
        result = bench_one_setup(bench, share(depth_max, crew->count, i), data_bytes);
    }
    return result;
}

static void *job_main(void *argument)
{
    struct job *job = argument;
    job->exit_code = bench_one_run(job->bench, &job->step, job->result);
    client_crew_leave(job->bench->client);
    return NULL;
}

static void merge(struct bench_result *sum, const struct bench_result *result)
{
    sum->requests += result->requests;
    sum->bytes += result->bytes;
    sum->depth += result->depth;
    if (result->span_ns > sum->span_ns)
        sum->span_ns = result->span_ns;
    histogram_merge(&sum->latency, &result->latency);
}

/* The first job is the caller's own. */
static int run_jobs(struct job *jobs, unsigned count)
{
    unsigned started = 1;
    client_crew_begin(jobs->bench->client, count);
    while (started < count &&
           pthread_create(&jobs[started].thread, NULL, job_main, &jobs[started]) == 0)
        started += 1;
    if (started == count)
        job_main(&jobs[0]);
    else
        jobs[0].exit_code = complain(TOOL_FAILED, "cannot start a thread for each queue");
    /* Nobody waits for those who never came. */
    for (unsigned i = started; started < count && i <= count; ++i)
        client_crew_leave(jobs->bench->client);
    int exit_code = TOOL_OK;
    for (unsigned i = 0; i < started; ++i) {
        if (i > 0)
            pthread_join(jobs[i].thread, NULL);
        if (exit_code == TOOL_OK)
            exit_code = jobs[i].exit_code;
    }
    return exit_code;
}

int bench_run(struct bench_crew *crew, const struct bench_step *step, struct bench_result *result)
{
    struct job *jobs = calloc(crew->count, sizeof *jobs);
    if (!jobs)
        return complain(TOOL_FAILED, "out of memory");
    for (unsigned i = 0; i < crew->count; ++i) {
        jobs[i] =
            (struct job){.bench = &crew->benches[i], .step = *step, .result = &crew->results[i]};
        jobs[i].step.depth = share(step->depth, crew->count, i);
    }
    int exit_code = run_jobs(jobs, crew->count);
    memset(result, 0, sizeof *result);
    for (unsigned i = 0; i < crew->count; ++i)
        merge(result, &crew->results[i]);
    free(jobs);
    if (exit_code == TOOL_OK && signals_pending())
        return complain(TOOL_SIGNAL + signals_pending(), "bench of %s interrupted",
                        crew->benches[0].client->uri);
    return exit_code;
}

void bench_free(struct bench_crew *crew)
{
    for (unsigned i = 0; crew->benches && i < crew->count; ++i)
        free(crew->benches[i].slots);
    free(crew->benches);
    free(crew->results);
    *crew = (struct bench_crew){0};
}
