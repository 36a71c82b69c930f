/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes of ordinary memory: several bounce buffers in flight, results taken in order.
 */
#include "core/bytes.h"
#include "drivers/block_pool.h"

/* A transfer of bytes in progress. */
struct transfer {
    struct l4vio_block_pool *pool;
    enum l4vio_block_type type;
    uint64_t offset_bytes; /* On the device. */
    uint8_t *user;
    uint64_t length_bytes;
    uint64_t submitted_bytes;
    uint64_t done_bytes;
    uint64_t deadline_ns;
    uint32_t next_submit; /* Buffers are used round and round, so they finish in this order too. */
    uint32_t next_finish;
    uint32_t active; /* Buffers of this transfer that are busy. */
    bool stuck;      /* Waiting failed: the device keeps what it has. */
};

static uint32_t next_index(const struct l4vio_block_pool *pool, uint32_t index)
{
    return index + 1u < pool->buffer_count ? index + 1u : 0;
}

/* Fills the next free buffer and adds it. 1 added, 0 no buffer or no room now. */
static int submit_next(struct transfer *t, struct l4vio_error *error)
{
    struct l4vio_block_pool *pool = t->pool;

    /* Skips buffers in quarantine; an active one means that all others are in use too. */
    while (pool->buffers[t->next_submit].busy) {
        if (pool->buffers[t->next_submit].user)
            return 0;
        t->next_submit = next_index(pool, t->next_submit);
    }
    struct l4vio_block_bounce *bounce = &pool->buffers[t->next_submit];
    struct l4vio_block_request *request = &bounce->request;
    uint64_t length = l4vio_block_least(pool->buffer_bytes, t->length_bytes - t->submitted_bytes);

    bounce->user = t->user + t->submitted_bytes;
    bounce->segment.length_bytes = length;
    request->type = t->type;
    request->sector = (t->offset_bytes + t->submitted_bytes) / VIRTIO_BLK_SECTOR_BYTES;
    request->segments = &bounce->segment;
    request->segment_count = 1;
    if (t->type == L4VIO_BLOCK_WRITE)
        memcpy((uint8_t *)pool->region.base + bounce->segment.offset_bytes, bounce->user,
               (size_t)length);
    int result = l4vio_block_add(pool->block, pool->queue, request, error);
    if (result < 0) {
        bounce->user = NULL;
        return result == L4VIO_EAGAIN ? 0 : result;
    }
    bounce->busy = true;
    t->submitted_bytes += length;
    t->active++;
    t->next_submit = next_index(pool, t->next_submit);
    return 1;
}

/* Oldest active buffer of the transfer: the others between are in quarantine. */
static struct l4vio_block_bounce *oldest(struct transfer *t)
{
    while (!t->pool->buffers[t->next_finish].user)
        t->next_finish = next_index(t->pool, t->next_finish);
    return &t->pool->buffers[t->next_finish];
}

/* Waits for the oldest buffer and takes its outcome. */
static int finish_oldest(struct transfer *t, struct l4vio_error *error)
{
    struct l4vio_block_bounce *bounce = oldest(t);
    struct l4vio_block_request *request = &bounce->request;
    int result = l4vio_block_wait(t->pool->block, request, t->deadline_ns);

    if (result < 0) {
        t->stuck = true;
        return l4vio_block_wait_failure(result, error);
    }
    if (t->type == L4VIO_BLOCK_READ)
        memcpy(bounce->user, (const uint8_t *)t->pool->region.base + bounce->segment.offset_bytes,
               (size_t)request->done_bytes);
    t->done_bytes += request->done_bytes;
    t->active--;
    t->next_finish = next_index(t->pool, t->next_finish);
    bounce->user = NULL;
    bounce->busy = false;
    return l4vio_block_request_failure(request, error);
}

/* Leaves what is still active to the device. */
static void quarantine(struct transfer *t)
{
    while (t->active) {
        struct l4vio_block_bounce *bounce = oldest(t);
        bounce->busy = bounce->request.in_flight;
        bounce->user = NULL;
        t->active--;
    }
}

/*
 * After a failure: the buffers behind the failed one are waited for, so that nothing of this call is
 * written after it returned, unless the device does not answer.
 */
static void abandon(struct transfer *t)
{
    while (t->active && !t->stuck) {
        uint64_t done_bytes = t->done_bytes;
        (void)finish_oldest(t, NULL);
        t->done_bytes = done_bytes;
    }
    quarantine(t);
}

/* One turn: adds what fits, then takes the oldest outcome. */
static int turn(struct transfer *t, struct l4vio_error *error)
{
    int added = 1;

    while (added > 0 && t->submitted_bytes < t->length_bytes)
        added = submit_next(t, error);
    if (t->active)
        (void)l4vio_block_kick(t->pool->block, t->pool->queue);
    if (added < 0) {
        /* What was added before still counts. */
        int result = L4VIO_OK;
        while (t->active && result >= 0)
            result = finish_oldest(t, NULL);
        return added;
    }
    return t->active ? finish_oldest(t, error)
                     : l4vio_block_pool_wait_room(t->pool, t->deadline_ns, error);
}

static int run_transfer(struct transfer *t, struct l4vio_error *error)
{
    int result = l4vio_block_pool_check_range(t->pool, t->offset_bytes, t->length_bytes, error);
    if (result < 0 || !t->length_bytes)
        return result;
    result = l4vio_block_pool_wait_free(t->pool, t->deadline_ns);
    if (result < 0)
        return l4vio_block_wait_failure(result, error);
    while (result >= 0 && t->done_bytes < t->length_bytes)
        result = turn(t, error);
    abandon(t);
    return result;
}

int l4vio_block_pool_read(struct l4vio_block_pool *pool, uint64_t offset_bytes, void *data,
                          uint64_t length_bytes, uint64_t deadline_ns, uint64_t *done_bytes,
                          struct l4vio_error *error)
{
    struct transfer t = {
        .pool = pool,
        .type = L4VIO_BLOCK_READ,
        .offset_bytes = offset_bytes,
        .user = data,
        .length_bytes = length_bytes,
        .deadline_ns = deadline_ns,
    };
    int result = run_transfer(&t, error);
    if (done_bytes)
        *done_bytes = t.done_bytes;
    return result;
}

int l4vio_block_pool_write(struct l4vio_block_pool *pool, uint64_t offset_bytes, const void *data,
                           uint64_t length_bytes, uint64_t deadline_ns, uint64_t *done_bytes,
                           struct l4vio_error *error)
{
    struct transfer t = {
        .pool = pool,
        .type = L4VIO_BLOCK_WRITE,
        .offset_bytes = offset_bytes,
        /* Only read: the record has one pointer for both directions. */
        .user = (uint8_t *)(uintptr_t)data,
        .length_bytes = length_bytes,
        .deadline_ns = deadline_ns,
    };
    int result = run_transfer(&t, error);
    if (done_bytes)
        *done_bytes = t.done_bytes;
    return result;
}
