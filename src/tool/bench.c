/* SPDX-License-Identifier: MIT */
#include "tool/bench.h"

#include <l4vio/names.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

struct bench_slot {
    struct bench *bench;
    struct bench_slot *next; /* Idle list. */
    uint64_t start_ns;
    uint32_t queue;
    struct l4vio_block_segment segment;
    struct l4vio_block_request request;
};

/* What is said of a failure is put together in memory of the client's. */
static pthread_mutex_t complaints = PTHREAD_MUTEX_INITIALIZER;

int bench_one_setup(struct bench *bench, unsigned depth_max, uint64_t data_bytes)
{
    struct client *client = bench->client;
    struct l4vio_driver *driver = &client->block->driver;
    struct l4vio_error error = {0};
    bench->random = UINT64_C(0x9e3779b97f4a7c15) + bench->first_queue;
    bench->slots = calloc(depth_max, sizeof *bench->slots);
    if (!bench->slots)
        return complain(TOOL_FAILED, "out of memory");
    int result = l4vio_driver_allocate(driver, data_bytes, &bench->data, &error);
    if (result == 0)
        result = l4vio_driver_allocate(driver, (uint64_t)depth_max * L4VIO_BLOCK_SHARED_BYTES,
                                       &bench->requests, &error);
    for (unsigned i = 0; i < depth_max && result == 0; ++i) {
        bench->slots[i].bench = bench;
        bench->slots[i].queue = bench->first_queue + i % bench->queue_count;
        result = l4vio_block_request_init(&bench->slots[i].request, &bench->requests,
                                          (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
    }
    if (result == 0)
        return TOOL_OK;
    char text[200];
    l4vio_error_format(&error, text, sizeof text);
    return complain(TOOL_FAILED, "cannot share memory with %s: %s", client->uri, text);
}

static int fail(struct bench *bench, int code)
{
    int exit_code;
    pthread_mutex_lock(&complaints);
    const char *reason = client_reason(bench->client, code, &exit_code);
    if (bench->exit_code == TOOL_OK)
        bench->exit_code =
            complain(exit_code, "%s %s failed: %s", bench->step->write ? "writing" : "reading",
                     bench->client->uri, reason);
    pthread_mutex_unlock(&complaints);
    return code;
}

static uint64_t next_offset(struct bench *bench)
{
    const struct bench_step *step = bench->step;
    uint64_t requests = step->range_bytes / step->request_bytes;
    if (step->sequential)
        return bench->next_request++ % requests * step->request_bytes;
    /* xorshift64 */
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return bench->random % requests * step->request_bytes;
}

static void request_done(struct l4vio_block_request *request, void *context)
{
    struct bench_slot *slot = context;
    struct bench *bench = slot->bench;
    bench->in_flight -= 1;
    slot->next = bench->idle;
    bench->idle = slot;
    if (request->result < 0) {
        fail(bench, request->result);
        return;
    }
    histogram_add(&bench->result->latency, clock_ns() - slot->start_ns);
    bench->result->requests += 1;
    bench->result->bytes += slot->segment.length_bytes;
}

/* Adds what is idle, queue by queue; one kick per queue. */
static void add_requests(struct bench *bench)
{
    struct l4vio_block *block = bench->client->block;
    uint64_t kick = 0;
    while (bench->idle && bench->exit_code == TOOL_OK) {
        struct bench_slot *slot = bench->idle;
        slot->request.type = bench->step->write ? L4VIO_BLOCK_WRITE : L4VIO_BLOCK_READ;
        slot->request.sector = next_offset(bench) / VIRTIO_BLK_SECTOR_BYTES;
        slot->start_ns = clock_ns();
        int result = l4vio_block_add(block, slot->queue, &slot->request, NULL);
        if (result == L4VIO_EAGAIN)
            break;
        if (result < 0) {
            fail(bench, result);
            return;
        }
        bench->idle = slot->next;
        bench->in_flight += 1;
        kick |= UINT64_C(1) << slot->queue;
    }
    if (bench->in_flight > bench->result->depth)
        bench->result->depth = bench->in_flight;
    for (uint32_t q = bench->first_queue; q < bench->first_queue + bench->queue_count; ++q)
        if (kick >> q & 1) {
            int result = client_kick(bench->client, q);
            if (result < 0)
                fail(bench, result);
        }
}

/* With the other queues used by other threads, a wait for the whole session would do for none. */
static int wait_for_some(struct bench *bench, uint64_t deadline)
{
    struct l4vio_block *block = bench->client->block;
    if (bench->queue_count == block->queue_count)
        return client_wait(&bench->client, 1, deadline);
    return client_wait_queue(bench->client, bench->first_queue, deadline);
}

static void take_completions(struct bench *bench)
{
    struct l4vio_block *block = bench->client->block;
    uint64_t deadline = client_deadline();
    while (bench->exit_code == TOOL_OK && bench->in_flight) {
        int taken = 0;
        for (uint32_t i = 0; i < bench->queue_count; ++i) {
            uint32_t q = bench->first_queue + i;
            int result = l4vio_block_poll(block, q, 256);
            if (result < 0) {
                fail(bench, result);
                return;
            }
            taken += result;
        }
        if (taken || signals_pending())
            return;
        int result = wait_for_some(bench, deadline);
        if (result < 0)
            fail(bench, result);
    }
}

static void prepare(struct bench *bench, const struct bench_step *step, struct bench_result *result)
{
    bench->step = step;
    bench->result = result;
    bench->idle = NULL;
    bench->in_flight = 0;
    /* Each its own part, so that a sequence is not read twice. */
    bench->next_request = step->range_bytes / step->request_bytes * bench->first_queue /
                          bench->client->block->queue_count;
    bench->exit_code = TOOL_OK;
    memset(result, 0, sizeof *result);
    for (unsigned i = step->depth; i-- > 0;) {
        struct bench_slot *slot = &bench->slots[i];
        slot->segment = (struct l4vio_block_segment){
            .region = &bench->data,
            .offset_bytes = (uint64_t)i * step->request_bytes,
            .length_bytes = step->request_bytes,
        };
        slot->request.segments = &slot->segment;
        slot->request.segment_count = 1;
        slot->request.done = request_done;
        slot->request.context = slot;
        slot->next = bench->idle;
        bench->idle = slot;
    }
}

int bench_one_run(struct bench *bench, const struct bench_step *step, struct bench_result *result)
{
    prepare(bench, step, result);
    uint64_t start = clock_ns();
    uint64_t end = start + step->span_ns;
    while (bench->exit_code == TOOL_OK && !signals_pending() && clock_ns() < end) {
        add_requests(bench);
        take_completions(bench);
    }
    result->span_ns = clock_ns() - start;
    uint64_t measured_requests = result->requests;
    uint64_t measured_bytes = result->bytes;
    while (bench->exit_code == TOOL_OK && bench->in_flight && !signals_pending())
        take_completions(bench);
    result->requests = measured_requests;
    result->bytes = measured_bytes;
    return bench->exit_code;
}
