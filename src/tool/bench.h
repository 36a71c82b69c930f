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
    unsigned depth_max;
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

/* Complains and returns an exit code on failure. The client must be closed before bench_free. */
int bench_setup(struct bench *bench, struct client *client, unsigned depth_max,
                uint64_t data_bytes);
int bench_run(struct bench *bench, const struct bench_step *step, struct bench_result *result);
void bench_free(struct bench *bench);

#endif
