/* SPDX-License-Identifier: MIT */
/* One exerciser for all queues, or one for each queue in a thread of its own. */
#include <pthread.h>
#include <stdlib.h>

#include "tool/exercise.h"
#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

struct job {
    struct exerciser exerciser;
    int (*work)(struct exerciser *exerciser);
    pthread_t thread;
    int exit_code;
};

static void *job_main(void *argument)
{
    struct job *job = argument;
    job->exit_code = job->work(&job->exerciser);
    client_crew_leave(job->exerciser.client);
    return NULL;
}

/* All do the same; the first job is the caller's own. */
static int run_jobs(struct job *jobs, unsigned count, int (*work)(struct exerciser *exerciser))
{
    unsigned started = 1;
    for (unsigned i = 0; i < count; ++i)
        jobs[i].work = work;
    client_crew_begin(jobs->exerciser.client, count);
    while (started < count &&
           pthread_create(&jobs[started].thread, NULL, job_main, &jobs[started]) == 0)
        started += 1;
    if (started == count)
        job_main(&jobs[0]);
    else
        jobs[0].exit_code = complain(TOOL_FAILED, "cannot start a thread for each queue");
    /* Nobody waits for those who never came. */
    for (unsigned i = started; started < count && i <= count; ++i)
        client_crew_leave(jobs->exerciser.client);
    int exit_code = TOOL_OK;
    for (unsigned i = 0; i < started; ++i) {
        if (i > 0)
            pthread_join(jobs[i].thread, NULL);
        if (exit_code == TOOL_OK)
            exit_code = jobs[i].exit_code;
    }
    return exit_code;
}

/* Equal slices of whole blocks, and a share of the depth, at least one request. */
static int setup_jobs(struct job *jobs, unsigned count, struct client *client,
                      const struct exercise_settings *settings)
{
    uint64_t block_sectors = client->block->info.block_bytes / VIRTIO_BLK_SECTOR_BYTES;
    if (!block_sectors)
        block_sectors = 1;
    uint64_t blocks = settings->range_bytes / VIRTIO_BLK_SECTOR_BYTES / block_sectors;
    uint64_t end_ns = clock_ns() + settings->span_ns;
    unsigned depth = (unsigned)settings->depth / count;
    if (blocks < count)
        return complain(TOOL_FAILED, "%s is too small to be exercised", client->uri);
    if (settings->request_bytes_max / VIRTIO_BLK_SECTOR_BYTES < block_sectors)
        return complain(TOOL_USAGE, "--request-size: the blocks of %s have %u bytes", client->uri,
                        (unsigned)client->block->info.block_bytes);
    int result = TOOL_OK;
    for (unsigned i = 0; i < count && result == TOOL_OK; ++i) {
        struct exerciser *exerciser = &jobs[i].exerciser;
        uint64_t first = blocks * i / count;
        uint64_t end = blocks * (i + 1) / count;
        exerciser->client = client;
        exerciser->settings = settings;
        exerciser->first_queue = i;
        exerciser->queue_count = count == 1 ? client->block->queue_count : 1;
        exerciser->block_sectors = block_sectors;
        exerciser->end_ns = end_ns;
        result = exerciser_setup(exerciser, depth ? depth : 1, first * block_sectors,
                                 (end - first) * block_sectors);
    }
    return result;
}

static void add_counts(struct exercise_counts *sum, const struct exercise_counts *counts)
{
    sum->reads += counts->reads;
    sum->writes += counts->writes;
    sum->zeroes += counts->zeroes;
    sum->discards += counts->discards;
    sum->flushes += counts->flushes;
    sum->identities += counts->identities;
    sum->bytes += counts->bytes;
}

int exercise_run(struct client *client, const struct exercise_settings *settings,
                 struct exercise_counts *counts)
{
    unsigned count = settings->threads ? client->block->queue_count : 1;
    struct job *jobs = calloc(count, sizeof *jobs);
    if (!jobs) {
        client_close(client);
        return complain(TOOL_FAILED, "out of memory");
    }
    int result = setup_jobs(jobs, count, client, settings);
    if (result == TOOL_OK)
        result = run_jobs(jobs, count, exerciser_run);
    if (result == TOOL_OK && settings->write && !signals_pending())
        result = client_flush(client);
    if (result == TOOL_OK && !signals_pending())
        result = run_jobs(jobs, count, exerciser_read_back);
    if (result == TOOL_OK && signals_pending())
        result =
            complain(TOOL_SIGNAL + signals_pending(), "exercising %s interrupted", client->uri);
    for (unsigned i = 0; i < count && result != TOOL_OK; ++i)
        jobs[i].exerciser.exit_code = result; /* What is cancelled now is nobody's failure. */
    client_close(client);                     /* Before the memory of its requests goes. */
    *counts = (struct exercise_counts){0};
    for (unsigned i = 0; i < count; ++i) {
        add_counts(counts, &jobs[i].exerciser.counts);
        exerciser_free(&jobs[i].exerciser);
    }
    free(jobs);
    return result;
}
