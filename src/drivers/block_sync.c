/* SPDX-License-Identifier: MIT */
/*
 * The pool of bounce buffers: its life, and the calls that are one request. Transfers of bytes are in
 * block_transfer.c.
 *
 * A buffer is busy from submission until its outcome was taken. A call that gives up leaves its
 * buffers busy with `user` NULL: in quarantine, the device may own them. A later call takes back
 * those that have completed; what they bring is thrown away.
 */
#include <l4vio/block_sync.h>

#include "core/bytes.h"
#include "drivers/block_pool.h"

#define BUFFER_COUNT_MAX 65536u
#define BUFFER_BYTES_MAX (UINT32_C(1) << 30)

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

int l4vio_block_pool_wait_free(struct l4vio_block_pool *pool, uint64_t deadline_ns)
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
        return l4vio_fail(error, L4VIO_ERANGE, "no such queue", queue);

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

int l4vio_block_request_failure(const struct l4vio_block_request *request,
                                struct l4vio_error *error)
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
    case L4VIO_ERANGE:
        text = "the device that came back is smaller";
        break;
    case L4VIO_EROFS:
        text = "the device that came back is read-only";
        break;
    case L4VIO_EINVAL:
        text = "the device that came back has larger blocks";
        break;
    default:
        break;
    }
    return l4vio_fail(error, request->result, text, request->status);
}

int l4vio_block_wait_failure(int result, struct l4vio_error *error)
{
    const char *text = "waiting failed";

    if (result == L4VIO_ETIMEDOUT)
        text = "the device did not answer in time";
    else if (result == L4VIO_EPIPE)
        text = "the device is gone";
    else if (result == L4VIO_ENODEV)
        text = "what came back in the place of the device is another one";
    else if (result == L4VIO_EIO)
        text = "the device needs a reset";
    else if (result == L4VIO_EBADPROTO)
        text = "the device broke the protocol";
    return l4vio_fail(error, result, text, 0);
}

int l4vio_block_pool_wait_room(struct l4vio_block_pool *pool, uint64_t deadline_ns,
                               struct l4vio_error *error)
{
    int result = l4vio_block_wait_room(pool->block, pool->queue, deadline_ns);
    if (result >= 0 && l4vio_block_expired(pool->block, deadline_ns))
        result = L4VIO_ETIMEDOUT;
    return result < 0 ? l4vio_block_wait_failure(result, error) : L4VIO_OK;
}

int l4vio_block_pool_check_range(const struct l4vio_block_pool *pool, uint64_t offset_bytes,
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

/* Sends the request of one free buffer and waits for it; `wanted` says what to send. */
static int one_request(struct l4vio_block_pool *pool, const struct l4vio_block_request *wanted,
                       uint64_t deadline_ns, const struct l4vio_block_request **finished,
                       struct l4vio_error *error)
{
    int result = l4vio_block_pool_wait_free(pool, deadline_ns);
    if (result < 0)
        return l4vio_block_wait_failure(result, error);
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
        result = l4vio_block_pool_wait_room(pool, deadline_ns, error);
        if (result < 0)
            return result;
    }
    if (result < 0)
        return result;
    bounce->busy = true;
    result = l4vio_block_wait(pool->block, request, deadline_ns);
    if (result < 0)
        return l4vio_block_wait_failure(result, error);
    bounce->busy = false;
    return l4vio_block_request_failure(request, error);
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

    int result = l4vio_block_pool_check_range(pool, offset_bytes, length_bytes, error);
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
