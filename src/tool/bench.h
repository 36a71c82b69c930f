/* SPDX-License-Identifier: MIT */
/* Measures a block device: steps of reads or writes at a fixed depth. */
#ifndef L4VIO_TOOL_BENCH_H
#define L4VIO_TOOL_BENCH_H

#include "tool/client.h"
#include "tool/histogram.h"

/* What to measure. */
struct bench_step {
    bool write;
    bool sequential;
    uint64_t request_bytes;
    unsigned depth;
    uint64_t span_ns;
    uint64_t range_bytes; /* Of the device, from its start. */
};

struct bench_result {
    uint64_t requests;
    uint64_t bytes;
    uint64_t span_ns;
    unsigned depth; /* Most requests that were in flight: the queues may be too small. */
    struct histogram latency;
};

struct bench_slot;

/* Memory for steps up to a depth and a request size. Zero before bench_setup. */
struct bench {
    struct client *client;
    uint32_t first_queue, queue_count; /* Those that it uses. */
    struct bench_slot *slots;
    struct l4vio_region data, requests;

    /* The step that runs. */
    const struct bench_step *step;
    struct bench_result *result;
    struct bench_slot *idle;
    unsigned in_flight;
    uint64_t next_request; /* Sequential position, in requests. */
    uint64_t random;
    uint64_t end_ns;
    int exit_code;
};

/* Several of them side by side, each in a thread of its own, or one that uses all queues. */
struct bench_crew {
    unsigned count;
    struct bench *benches;
    struct bench_result *results;
};

/*
 * Complains and returns an exit code on failure. Depths are those of all threads together. The client
 * must be closed before bench_free.
 */
int bench_setup(struct bench_crew *crew, struct client *client, bool threads, unsigned depth_max,
                uint64_t data_bytes);
int bench_run(struct bench_crew *crew, const struct bench_step *step, struct bench_result *result);
void bench_free(struct bench_crew *crew);

/* Of one: with its `client` and queues set. */
int bench_one_setup(struct bench *bench, unsigned depth_max, uint64_t data_bytes);
int bench_one_run(struct bench *bench, const struct bench_step *step, struct bench_result *result);

#endif
