/* SPDX-License-Identifier: MIT */
/* The load of one thread. */
#include "tool/exercise.h"

#include <l4vio/names.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

/* Memory of a slot begins on a cache line. */
#define LINE_BYTES UINT64_C(64)

/* What is said of a failure is put together in memory of the client's. */
static pthread_mutex_t complaints = PTHREAD_MUTEX_INITIALIZER;

static void request_done(struct l4vio_block_request *request, void *context);

static void setup_slots(struct exerciser *exerciser)
{
    for (unsigned i = exerciser->slot_count; i-- > 0;) {
        struct exercise_slot *slot = &exerciser->slots[i];
        slot->exerciser = exerciser;
        slot->queue = exerciser->first_queue + i % exerciser->queue_count;
        slot->data_offset_bytes = i * exerciser->slot_bytes;
        l4vio_block_request_init(&slot->request, &exerciser->requests,
                                 (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        slot->request.done = request_done;
        slot->request.context = slot;
        slot->next = exerciser->idle;
        exerciser->idle = slot;
    }
}

int exerciser_setup(struct exerciser *exerciser, unsigned depth, uint64_t first_sector,
                    uint64_t sector_count)
{
    const struct exercise_settings *settings = exerciser->settings;
    struct l4vio_driver *driver = &exerciser->client->block->driver;
    struct l4vio_error error = {0};
    uint64_t bytes =
        settings->request_bytes_max + (uint64_t)EXERCISE_SEGMENTS_MAX * EXERCISE_GAP_BYTES;
    exerciser->slot_bytes = (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    exerciser->slot_count = depth;
    exerciser->random = settings->seed ^ (uint64_t)exerciser->first_queue << 32;
    exerciser->slots = calloc(depth, sizeof *exerciser->slots);
    exerciser->scratch = malloc(settings->request_bytes_max);
    if (!exerciser->slots || !exerciser->scratch ||
        !exercise_model_open(&exerciser->model, settings->seed, first_sector, sector_count))
        return complain(TOOL_FAILED, "out of memory; --range and --request-size take less");
    int result =
        l4vio_driver_allocate(driver, depth * exerciser->slot_bytes, &exerciser->data, &error);
    if (result == 0)
        result = l4vio_driver_allocate(driver, (uint64_t)depth * L4VIO_BLOCK_SHARED_BYTES,
                                       &exerciser->requests, &error);
    if (result == 0) {
        setup_slots(exerciser);
        return TOOL_OK;
    }
    char text[200];
    l4vio_error_format(&error, text, sizeof text);
    return complain(TOOL_FAILED, "cannot share memory with %s: %s", exerciser->client->uri, text);
}

static const char *operation(const struct exercise_slot *slot)
{
    switch (slot->request.type) {
    case L4VIO_BLOCK_READ:
        return "a read";
    case L4VIO_BLOCK_WRITE:
        return "a write";
    case L4VIO_BLOCK_FLUSH:
        return "a flush";
    case L4VIO_BLOCK_GET_ID:
        return "a request for the identity";
    case L4VIO_BLOCK_DISCARD:
        return "a discard";
    case L4VIO_BLOCK_WRITE_ZEROES:
        return "a write of zeroes";
    }
    return "a request";
}

/* Of a request, or if that is NULL of the device. The first complaint counts. */
static int fail(struct exerciser *exerciser, const struct exercise_slot *slot, int code)
{
    int exit_code;
    pthread_mutex_lock(&complaints);
    const char *reason = client_reason(exerciser->client, code, &exit_code);
    if (exerciser->exit_code == TOOL_OK && !slot)
        exerciser->exit_code =
            complain(exit_code, "exercising %s failed: %s", exerciser->client->uri, reason);
    else if (exerciser->exit_code == TOOL_OK)
        exerciser->exit_code = complain(exit_code,
                                        "%s of %" PRIu64 " sectors at sector %" PRIu64
                                        " of %s failed: %s (seed %" PRIu64 ")",
                                        operation(slot), slot->count, slot->sector,
                                        exerciser->client->uri, reason, exerciser->settings->seed);
    pthread_mutex_unlock(&complaints);
    return code;
}

static void differs(struct exerciser *exerciser, const char *text)
{
    pthread_mutex_lock(&complaints);
    if (exerciser->exit_code == TOOL_OK)
        exerciser->exit_code = complain(TOOL_DIFFERENT, "%s is wrong: %s (seed %" PRIu64 ")",
                                        exerciser->client->uri, text, exerciser->settings->seed);
    pthread_mutex_unlock(&complaints);
}

static void count(struct exercise_counts *counts, const struct exercise_slot *slot)
{
    switch (slot->request.type) {
    case L4VIO_BLOCK_READ:
        counts->reads += 1;
        counts->bytes += slot->count * VIRTIO_BLK_SECTOR_BYTES;
        break;
    case L4VIO_BLOCK_WRITE:
        counts->writes += 1;
        counts->bytes += slot->count * VIRTIO_BLK_SECTOR_BYTES;
        break;
    case L4VIO_BLOCK_FLUSH:
        counts->flushes += 1;
        break;
    case L4VIO_BLOCK_GET_ID:
        counts->identities += 1;
        break;
    case L4VIO_BLOCK_DISCARD:
        counts->discards += 1;
        break;
    case L4VIO_BLOCK_WRITE_ZEROES:
        counts->zeroes += 1;
        break;
    }
}

static void request_done(struct l4vio_block_request *request, void *context)
{
    struct exercise_slot *slot = context;
    struct exerciser *exerciser = slot->exerciser;
    char text[EXERCISE_TEXT_BYTES];
    exerciser->in_flight -= 1;
    slot->busy = false;
    slot->next = exerciser->idle;
    exerciser->idle = slot;
    /* Older devices have no identity: they may say so. */
    if (request->type == L4VIO_BLOCK_GET_ID && request->result == L4VIO_ENOSYS)
        return;
    if (request->result < 0) {
        fail(exerciser, slot, request->result);
        return;
    }
    count(&exerciser->counts, slot);
    if (request->type == L4VIO_BLOCK_READ && !exercise_check_read(exerciser, slot, text))
        differs(exerciser, text);
}

/* Takes a slot off the idle list and adds its request; false if there is no room for it. */
static bool add(struct exerciser *exerciser, struct exercise_slot *slot, uint64_t *kick)
{
    int result = l4vio_block_add(exerciser->client->block, slot->queue, &slot->request, NULL);
    if (result < 0 && result != L4VIO_EAGAIN)
        fail(exerciser, slot, result);
    if (result < 0)
        return false;
    exerciser->in_flight += 1;
    slot->busy = true;
    *kick |= UINT64_C(1) << slot->queue;
    return true;
}

static void kick_queues(struct exerciser *exerciser, uint64_t kick)
{
    for (uint32_t q = 0; kick; ++q, kick >>= 1)
        if (kick & 1) {
            int result = client_kick(exerciser->client, q);
            if (result < 0)
                fail(exerciser, NULL, result);
        }
}

static void wait_for_some(struct exerciser *exerciser, uint64_t deadline)
{
    int result;
    if (exerciser->queue_count == exerciser->client->block->queue_count)
        result = client_wait(&exerciser->client, 1, deadline);
    else /* The other queues are other threads', so a wait for the whole session would do for none. */
        result = client_wait_queue(exerciser->client, exerciser->first_queue, deadline);
    if (result < 0)
        fail(exerciser, NULL, result);
}

static bool goes_on(const struct exerciser *exerciser)
{
    return exerciser->exit_code == TOOL_OK && !signals_pending();
}

/* Takes what has completed; if it is nothing, waits. */
static void take_completions(struct exerciser *exerciser)
{
    uint64_t deadline = client_deadline();
    while (goes_on(exerciser) && exerciser->in_flight) {
        int taken = 0;
        for (uint32_t i = 0; i < exerciser->queue_count; ++i) {
            int result =
                l4vio_block_poll(exerciser->client->block, exerciser->first_queue + i, 256);
            if (result < 0) {
                fail(exerciser, NULL, result);
                return;
            }
            taken += result;
        }
        if (taken)
            return;
        wait_for_some(exerciser, deadline);
    }
}

/* A request that finds no room stays with its slot: the model knows of it already. */
static void drain_for(struct exerciser *exerciser, struct exercise_slot *slot, uint64_t *kick)
{
    while (goes_on(exerciser) && !add(exerciser, slot, kick)) {
        kick_queues(exerciser, *kick);
        *kick = 0;
        take_completions(exerciser);
    }
}

static void add_requests(struct exerciser *exerciser)
{
    uint64_t kick = 0;
    /* Bounded: where there is no room, slots become idle while others are added. */
    for (unsigned i = 0; i < exerciser->slot_count && goes_on(exerciser); ++i) {
        struct exercise_slot *slot = exerciser->idle;
        if (!slot || exerciser->in_flight >= exerciser->depth || !exercise_choose(exerciser, slot))
            break;
        exerciser->idle = slot->next;
        drain_for(exerciser, slot, &kick);
    }
    kick_queues(exerciser, kick);
}

int exerciser_run(struct exerciser *exerciser)
{
    uint64_t turn = 0;
    while (goes_on(exerciser) && clock_ns() < exerciser->end_ns) {
        if (turn++ % 64 == 0)
            exerciser->depth =
                1 + (unsigned)exercise_random(&exerciser->random, exerciser->slot_count);
        add_requests(exerciser);
        take_completions(exerciser);
    }
    while (goes_on(exerciser) && exerciser->in_flight)
        take_completions(exerciser);
    return exerciser->exit_code;
}

int exerciser_read_back(struct exerciser *exerciser)
{
    uint64_t most = exerciser->settings->request_bytes_max / VIRTIO_BLK_SECTOR_BYTES;
    uint64_t sector = exerciser->model.first_sector;
    uint64_t end = sector + exerciser->model.sector_count;
    while (goes_on(exerciser) && (sector < end || exerciser->in_flight)) {
        uint64_t kick = 0;
        while (sector < end && exerciser->idle) {
            struct exercise_slot *slot = exerciser->idle;
            uint64_t length = end - sector < most ? end - sector : most;
            exercise_prepare_read(exerciser, slot, sector, length);
            exerciser->idle = slot->next;
            drain_for(exerciser, slot, &kick);
            sector += length;
        }
        kick_queues(exerciser, kick);
        take_completions(exerciser);
    }
    return exerciser->exit_code;
}

void exerciser_free(struct exerciser *exerciser)
{
    exercise_model_close(&exerciser->model);
    free(exerciser->scratch);
    free(exerciser->slots);
}
