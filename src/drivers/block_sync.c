/* SPDX-License-Identifier: MIT */
/*
 * Synchronous block calls through a pool of bounce buffers.
 *
 * A buffer is busy from submission until its outcome was taken. A call that gives up leaves its
 * buffers busy with `user` NULL: in quarantine, the device may own them. A later call takes back
 * those that have completed; what they bring is thrown away.
 */
#include <l4vio/block_sync.h>

#include "core/bytes.h"
#include "drivers/block_private.h"

#define BUFFER_COUNT_MAX 65536u
#define BUFFER_BYTES_MAX (UINT32_C(1) << 30)

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

/* Takes back the buffers that left quarantine. Returns the number that are free. */
static uint32_t harvest(struct l4vio_block_pool *pool)
{
    uint32_t free_count = 0;

    for (uint32_t i = 0; i < pool->buffer_count; i++) {
        struct l4vio_block_bounce *bounce = &pool->buffers[i];
        if (bounce->busy && !bounce->request.in_flight)
            bounce->busy = false;
        if (!bounce->busy)
            free_count++;
    }
    return free_count;
}

/* Waits until a buffer is free; at the beginning of a call none is in use but those in quarantine. */
static int wait_free(struct l4vio_block_pool *pool, uint64_t deadline_ns)
{
    int result = l4vio_block_poll(pool->block, pool->queue, pool->block->queue_size);
    while (!harvest(pool)) {
        if (result < 0)
            return result;
        result = l4vio_block_wait_finished(pool->block, pool->queue, deadline_ns);
        if (result >= 0 && !harvest(pool) && l4vio_block_expired(pool->block, deadline_ns))
            return L4VIO_ETIMEDOUT;
    }
    return L4VIO_OK;
}

int l4vio_block_pool_init(struct l4vio_block_pool *pool, struct l4vio_block *block, uint32_t queue,
                          struct l4vio_block_bounce *buffers, uint32_t buffer_count,
                          uint32_t buffer_bytes, struct l4vio_error *error)
{
    memset(pool, 0, sizeof(*pool));
    if (!buffers || !buffer_count || buffer_count > BUFFER_COUNT_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "number of bounce buffers", buffer_count);
    if (!buffer_bytes || buffer_bytes % VIRTIO_BLK_SECTOR_BYTES || buffer_bytes > BUFFER_BYTES_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "bounce buffer size not a multiple of 512",
                          buffer_bytes);
    if (queue >= block->queue_count)
        return l4vio_fail(error, L4VIO_EINVAL, "no such queue", queue);

    uint64_t data_bytes = (uint64_t)buffer_count * buffer_bytes;
    int result = l4vio_driver_allocate(
        &block->driver, data_bytes + (uint64_t)buffer_count * L4VIO_BLOCK_SHARED_BYTES,
        &pool->region, error);
    if (result < 0)
        return result;

    pool->block = block;
    pool->queue = queue;
    pool->buffer_count = buffer_count;
    pool->buffer_bytes = buffer_bytes;
    pool->buffers = buffers;
    /* Data first, so that page-sized buffers are page-aligned. */
    for (uint32_t i = 0; i < buffer_count; i++) {
        buffers[i] = (struct l4vio_block_bounce){
            .segment = {.region = &pool->region, .offset_bytes = (uint64_t)i * buffer_bytes}};
        result = l4vio_block_request_init(&buffers[i].request, &pool->region,
                                          data_bytes + (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        if (result < 0)
            return l4vio_fail(error, result, "shared part of a bounce buffer", i);
    }
    return L4VIO_OK;
}

int l4vio_block_pool_release(struct l4vio_block_pool *pool, struct l4vio_error *error)
{
    if (!pool->block)
        return L4VIO_OK;
    if (pool->queue < pool->block->queue_count)
        (void)l4vio_block_poll(pool->block, pool->queue, pool->block->queue_size);
    if (harvest(pool) != pool->buffer_count)
        return l4vio_fail(error, L4VIO_EBUSY, "the device may own a bounce buffer", 0);
    /* The memory went with the connection if that has ended. */
    if (pool->region.base) {
        int result = l4vio_driver_release(&pool->block->driver, &pool->region, error);
        if (result < 0)
            return result;
    }
    memset(pool, 0, sizeof(*pool));
    return L4VIO_OK;
}

/* Why a finished request failed, in words. */
static int request_failure(const struct l4vio_block_request *request, struct l4vio_error *error)
{
    const char *text = "the request failed";

    switch (request->result) {
    case L4VIO_OK:
        return L4VIO_OK;
    case L4VIO_EIO:
        text = "the device reports an I/O error (status)";
        break;
    case L4VIO_ENOSYS:
        text = "the device does not know the request (status)";
        break;
    case L4VIO_EBADPROTO:
        text = "the device answered with nonsense (status)";
        break;
    case L4VIO_ECANCELED:
        text = "the device was reset";
        break;
    default:
        break;
    }
    return l4vio_fail(error, request->result, text, request->status);
}

static int wait_failure(int result, struct l4vio_error *error)
{
    const char *text = "waiting failed";

    if (result == L4VIO_ETIMEDOUT)
        text = "the device did not answer in time";
    else if (result == L4VIO_EPIPE)
        text = "the device is gone";
    else if (result == L4VIO_EIO)
        text = "the device needs a reset";
    else if (result == L4VIO_EBADPROTO)
        text = "the device broke the protocol";
    return l4vio_fail(error, result, text, 0);
}

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
        return wait_failure(result, error);
    }
    if (t->type == L4VIO_BLOCK_READ)
        memcpy(bounce->user, (const uint8_t *)t->pool->region.base + bounce->segment.offset_bytes,
               (size_t)request->done_bytes);
    t->done_bytes += request->done_bytes;
    t->active--;
    t->next_finish = next_index(t->pool, t->next_finish);
    bounce->user = NULL;
    bounce->busy = false;
    return request_failure(request, error);
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

/* No buffer of ours is in flight and none can be added: others fill the queue. */
static int wait_room(struct l4vio_block_pool *pool, uint64_t deadline_ns, struct l4vio_error *error)
{
    int result = l4vio_block_wait_room(pool->block, pool->queue, deadline_ns);
    if (result >= 0 && l4vio_block_expired(pool->block, deadline_ns))
        result = L4VIO_ETIMEDOUT;
    return result < 0 ? wait_failure(result, error) : L4VIO_OK;
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
    return t->active ? finish_oldest(t, error) : wait_room(t->pool, t->deadline_ns, error);
}

static int check_range(const struct l4vio_block_pool *pool, uint64_t offset_bytes,
                       uint64_t length_bytes, struct l4vio_error *error)
{
    uint64_t size_bytes = pool->block->info.capacity_sectors * VIRTIO_BLK_SECTOR_BYTES;

    if (offset_bytes % VIRTIO_BLK_SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "offset not a multiple of 512", offset_bytes);
    if (length_bytes % VIRTIO_BLK_SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "length not a multiple of 512", length_bytes);
    if (offset_bytes > size_bytes || length_bytes > size_bytes - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device (bytes)", size_bytes);
    return L4VIO_OK;
}

static int run_transfer(struct transfer *t, struct l4vio_error *error)
{
    int result = check_range(t->pool, t->offset_bytes, t->length_bytes, error);
    if (result < 0 || !t->length_bytes)
        return result;
    result = wait_free(t->pool, t->deadline_ns);
    if (result < 0)
        return wait_failure(result, error);
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

/* Sends the request of one free buffer and waits for it; `wanted` says what to send. */
static int one_request(struct l4vio_block_pool *pool, const struct l4vio_block_request *wanted,
                       uint64_t deadline_ns, const struct l4vio_block_request **finished,
                       struct l4vio_error *error)
{
    int result = wait_free(pool, deadline_ns);
    if (result < 0)
        return wait_failure(result, error);
    struct l4vio_block_bounce *bounce = pool->buffers;
    while (bounce->busy)
        bounce++;

    struct l4vio_block_request *request = &bounce->request;
    *finished = request;
    request->done_bytes = 0;
    request->type = wanted->type;
    request->sector = wanted->sector;
    request->sector_count = wanted->sector_count;
    request->unmap = wanted->unmap;
    while ((result = l4vio_block_submit(pool->block, pool->queue, request, error)) ==
           L4VIO_EAGAIN) {
        result = wait_room(pool, deadline_ns, error);
        if (result < 0)
            return result;
    }
    if (result < 0)
        return result;
    bounce->busy = true;
    result = l4vio_block_wait(pool->block, request, deadline_ns);
    if (result < 0)
        return wait_failure(result, error);
    bounce->busy = false;
    return request_failure(request, error);
}

int l4vio_block_pool_flush(struct l4vio_block_pool *pool, uint64_t deadline_ns,
                           struct l4vio_error *error)
{
    struct l4vio_block_request wanted = {.type = L4VIO_BLOCK_FLUSH};
    const struct l4vio_block_request *finished;

    if (!pool->block->info.flush)
        return L4VIO_OK;
    return one_request(pool, &wanted, deadline_ns, &finished, error);
}

int l4vio_block_pool_id(struct l4vio_block_pool *pool, char id[VIRTIO_BLK_ID_BYTES + 1],
                        uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_block_request wanted = {.type = L4VIO_BLOCK_GET_ID};
    const struct l4vio_block_request *finished;

    memset(id, 0, VIRTIO_BLK_ID_BYTES + 1);
    int result = one_request(pool, &wanted, deadline_ns, &finished, error);
    if (result >= 0)
        l4vio_block_request_id(finished, id);
    return result;
}

static int range_request(struct l4vio_block_pool *pool, enum l4vio_block_type type,
                         uint64_t offset_bytes, uint64_t length_bytes, bool unmap,
                         uint64_t deadline_ns, uint64_t *done_bytes, struct l4vio_error *error)
{
    struct l4vio_block_request wanted = {
        .type = type,
        .unmap = unmap,
        .sector = offset_bytes / VIRTIO_BLK_SECTOR_BYTES,
        .sector_count = length_bytes / VIRTIO_BLK_SECTOR_BYTES,
    };
    const struct l4vio_block_request *finished = NULL;

    int result = check_range(pool, offset_bytes, length_bytes, error);
    if (result >= 0 && length_bytes)
        result = one_request(pool, &wanted, deadline_ns, &finished, error);
    if (done_bytes)
        *done_bytes = finished ? finished->done_bytes : 0;
    return result;
}

int l4vio_block_pool_discard(struct l4vio_block_pool *pool, uint64_t offset_bytes,
                             uint64_t length_bytes, uint64_t deadline_ns, uint64_t *done_bytes,
                             struct l4vio_error *error)
{
    return range_request(pool, L4VIO_BLOCK_DISCARD, offset_bytes, length_bytes, false, deadline_ns,
                         done_bytes, error);
}

int l4vio_block_pool_zero(struct l4vio_block_pool *pool, uint64_t offset_bytes,
                          uint64_t length_bytes, bool unmap, uint64_t deadline_ns,
                          uint64_t *done_bytes, struct l4vio_error *error)
{
    return range_request(pool, L4VIO_BLOCK_WRITE_ZEROES, offset_bytes, length_bytes, unmap,
                         deadline_ns, done_bytes, error);
}
