/* SPDX-License-Identifier: MIT */
/*
 * Block driver: the calls that sleep. None of them takes memory back when its deadline passes.
 */
#include "drivers/block_private.h"

int l4vio_block_wait_finished(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns)
{
    if (queue >= block->queue_count)
        return L4VIO_ERANGE;

    struct l4vio_queue *ring = &block->queues[queue];
    for (;;) {
        int result = l4vio_block_poll(block, queue, block->queue_size);
        if (result != 0)
            return result;
        if (!l4vio_queue_ready(ring))
            return L4VIO_EIO;
        /* Nobody can wait for what the device was not shown. */
        if (ring->avail_index != ring->published_index)
            (void)l4vio_block_kick(block, queue);
        result = l4vio_driver_wait_used(&block->driver, ring, deadline_ns);
        if (result < 0)
            return result;
        /* Parts that complete are not an outcome: a long request must not outlast the deadline. */
        if (l4vio_block_expired(block, deadline_ns)) {
            result = l4vio_block_poll(block, queue, block->queue_size);
            return result ? result : L4VIO_ETIMEDOUT;
        }
    }
}

int l4vio_block_wait(struct l4vio_block *block, struct l4vio_block_request *request,
                     uint64_t deadline_ns)
{
    while (request->in_flight) {
        int result = l4vio_block_wait_finished(block, request->queue, deadline_ns);
        if (!request->in_flight)
            break;
        if (result < 0)
            return result;
        if (l4vio_block_expired(block, deadline_ns))
            return L4VIO_ETIMEDOUT;
    }
    return L4VIO_OK;
}

/* The largest part fits: whatever is submitted next will not be turned away for lack of room. */
static bool has_room(const struct l4vio_block *block, uint32_t queue)
{
    const struct l4vio_queue *ring = &block->queues[queue];
    unsigned buffers = (unsigned)block->part_buffers_max + BLOCK_EXTRA_BUFFERS;
    return !block->waiting[queue] && l4vio_queue_room(ring) >= l4vio_queue_entries(ring, buffers);
}

int l4vio_block_wait_room(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns)
{
    if (queue >= block->queue_count)
        return L4VIO_ERANGE;
    if (!l4vio_queue_ready(&block->queues[queue]))
        return L4VIO_EIO;
    int result = l4vio_block_poll(block, queue, block->queue_size);
    if (result != 0)
        return result;
    if (has_room(block, queue))
        return 0;
    return l4vio_block_wait_finished(block, queue, deadline_ns);
}

int l4vio_block_drain(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns)
{
    if (queue >= block->queue_count)
        return L4VIO_ERANGE;
    while (l4vio_queue_in_flight(&block->queues[queue]) || block->waiting[queue]) {
        int result = l4vio_block_wait_finished(block, queue, deadline_ns);
        if (result < 0)
            return result;
        if (l4vio_block_expired(block, deadline_ns) &&
            (l4vio_queue_in_flight(&block->queues[queue]) || block->waiting[queue]))
            return L4VIO_ETIMEDOUT;
    }
    return L4VIO_OK;
}
