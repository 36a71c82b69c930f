/* SPDX-License-Identifier: MIT */
/*
 * The seed's block API over block.h.
 */
#include <l4vio/block_seed.h>

#include "core/bytes.h"
#include "drivers/block_private.h"

enum seed_state { SEED_FREE, SEED_OPEN, SEED_SENT, SEED_DONE };

/* The record that a handle names, or NULL if the handle is stale. */
static struct l4vio_block_seed_request *find(struct l4vio_block_seed *seed,
                                             struct l4vio_block_handle handle)
{
    if (!handle.generation || handle.index >= seed->count)
        return NULL;
    struct l4vio_block_seed_request *record = &seed->requests[handle.index];
    if (record->generation != handle.generation || record->state == SEED_FREE)
        return NULL;
    return record;
}

/* Gives the place a new generation: every handle to it is stale from now on. */
static void free_record(struct l4vio_block_seed_request *record)
{
    record->state = SEED_FREE;
    record->generation++;
    if (!record->generation)
        record->generation = 1;
}

static void request_done(struct l4vio_block_request *request, void *context)
{
    struct l4vio_block_seed_request *record = context;
    struct l4vio_block_seed *seed = record->seed;
    l4vio_block_callback *callback = record->callback;
    struct l4vio_block_handle handle = {
        .index = (uint32_t)(record - seed->requests),
        .generation = record->generation,
    };

    record->state = SEED_DONE;
    if (!callback)
        return;
    /* B3: the callback is detached before it runs, and may free the request or start others. */
    record->callback = NULL;
    callback(seed, handle, request->result, request->done_bytes, record->context);
    if (find(seed, handle) == record && record->state == SEED_DONE)
        free_record(record);
}

int l4vio_block_seed_init(struct l4vio_block_seed *seed, struct l4vio_block *block, uint32_t queue,
                          struct l4vio_block_seed_request *requests, uint32_t count,
                          struct l4vio_error *error)
{
    memset(seed, 0, sizeof(*seed));
    if (!requests || !count)
        return l4vio_fail(error, L4VIO_EINVAL, "no records", count);
    if (queue >= block->queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "no such queue", queue);
    int result = l4vio_driver_allocate(&block->driver, (uint64_t)count * L4VIO_BLOCK_SHARED_BYTES,
                                       &seed->shared, error);
    if (result < 0)
        return result;

    seed->block = block;
    seed->queue = queue;
    seed->requests = requests;
    seed->count = count;
    for (uint32_t i = 0; i < count; i++) {
        memset(&requests[i], 0, sizeof(requests[i]));
        requests[i].seed = seed;
        requests[i].generation = 1;
    }
    return L4VIO_OK;
}

int l4vio_block_start_request(struct l4vio_block_seed *seed, uint64_t sector,
                              enum l4vio_block_type type, l4vio_block_callback *callback,
                              void *context, struct l4vio_block_handle *handle)
{
    for (uint32_t i = 0; i < seed->count; i++) {
        struct l4vio_block_seed_request *record = &seed->requests[i];
        if (record->state != SEED_FREE)
            continue;
        int result = l4vio_block_request_init(&record->request, &seed->shared,
                                              (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        if (result < 0)
            return result;
        record->request.type = type;
        record->request.sector = sector;
        record->request.segments = record->segments;
        record->request.done = request_done;
        record->request.context = record;
        record->callback = callback;
        record->context = context;
        record->state = SEED_OPEN;
        *handle = (struct l4vio_block_handle){.index = i, .generation = record->generation};
        return L4VIO_OK;
    }
    return L4VIO_EAGAIN;
}

int l4vio_block_add_block(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                          const struct l4vio_region *region, uint64_t offset_bytes,
                          uint64_t length_bytes)
{
    struct l4vio_block_seed_request *record = find(seed, handle);
    uint64_t address;

    if (!record || record->state != SEED_OPEN)
        return L4VIO_EINVAL;
    if (!region || l4vio_region_address(region, offset_bytes, length_bytes, &address) < 0)
        return L4VIO_EFAULT;
    struct l4vio_block_request *request = &record->request;
    if (request->segment_count == L4VIO_BLOCK_SEED_BLOCKS_MAX)
        return L4VIO_E2BIG;
    record->segments[request->segment_count++] = (struct l4vio_block_segment){
        .region = region,
        .offset_bytes = offset_bytes,
        .length_bytes = length_bytes,
    };
    return L4VIO_OK;
}

/* DISCARD and WRITE_ZEROES have no data: the blocks say how long the range is. */
static int set_range(struct l4vio_block_request *request, struct l4vio_error *error)
{
    uint64_t total = 0;

    if (request->type != L4VIO_BLOCK_DISCARD && request->type != L4VIO_BLOCK_WRITE_ZEROES)
        return L4VIO_OK;
    for (uint32_t i = 0; i < request->segment_count; i++) {
        if (request->segments[i].length_bytes > UINT64_MAX - total)
            return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device", i);
        total += request->segments[i].length_bytes;
    }
    if (total % VIRTIO_BLK_SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "length not a multiple of 512", total);
    request->sector_count = total / VIRTIO_BLK_SECTOR_BYTES;
    return L4VIO_OK;
}

static int send_record(struct l4vio_block_seed *seed, struct l4vio_block_seed_request *record,
                       struct l4vio_error *error)
{
    if (!record || record->state != SEED_OPEN)
        return l4vio_fail(error, L4VIO_EINVAL, "a stale handle, or the request was sent", 0);
    int result = set_range(&record->request, error);
    if (result < 0)
        return result;
    result = l4vio_block_submit(seed->block, seed->queue, &record->request, error);
    if (result >= 0)
        record->state = SEED_SENT;
    return result;
}

int l4vio_block_send_request(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                             struct l4vio_error *error)
{
    return send_record(seed, find(seed, handle), error);
}

int l4vio_block_process_request(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                                uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_block_seed_request *record = find(seed, handle);
    int result;

    /* The caller waits: it learns the outcome from the return value, not from the callback. */
    if (record && record->state == SEED_OPEN)
        record->callback = NULL;
    while ((result = send_record(seed, record, error)) == L4VIO_EAGAIN) {
        result = l4vio_block_wait_room(seed->block, seed->queue, deadline_ns);
        if (result >= 0 && l4vio_block_expired(seed->block, deadline_ns))
            result = L4VIO_ETIMEDOUT;
        if (result < 0)
            return l4vio_fail(error, result, "no room in the queue", 0);
    }
    if (result < 0)
        return result;
    result = l4vio_block_wait(seed->block, &record->request, deadline_ns);
    if (result < 0)
        return l4vio_fail(error, result, "the request did not finish", 0);
    if (record->request.result < 0)
        return l4vio_fail(error, record->request.result, "the request failed",
                          record->request.status);
    return L4VIO_OK;
}

int l4vio_block_free_request(struct l4vio_block_seed *seed, struct l4vio_block_handle handle)
{
    struct l4vio_block_seed_request *record = find(seed, handle);
    if (!record)
        return L4VIO_EINVAL;
    if (record->state == SEED_SENT)
        return L4VIO_EBUSY;
    free_record(record);
    return L4VIO_OK;
}

int l4vio_block_process_used_queue(struct l4vio_block_seed *seed)
{
    return l4vio_block_poll(seed->block, seed->queue, seed->block->queue_size);
}

int l4vio_block_seed_release(struct l4vio_block_seed *seed, struct l4vio_error *error)
{
    for (uint32_t i = 0; i < seed->count; i++)
        if (seed->requests[i].state == SEED_SENT)
            return l4vio_fail(error, L4VIO_EBUSY, "a request is in flight", i);
    /* The memory went with the connection if that has ended. */
    if (!seed->shared.base)
        return L4VIO_OK;
    return l4vio_driver_release(&seed->block->driver, &seed->shared, error);
}
