/* SPDX-License-Identifier: MIT */
/*
 * Block driver: the calls that sleep. None of them takes memory back when its deadline passes.
 */
#include "drivers/block_private.h"

static int wait_used(struct l4vio_block *block, struct l4vio_queue *ring, uint64_t deadline_ns)
{
    if (!l4vio_queue_ready(ring))
        return block->driver.state == L4VIO_DRIVER_LOST ? L4VIO_EPIPE : L4VIO_EIO;
    /* Nobody can wait for what the device was not shown. */
    if (ring->avail_index != ring->published_index)
        (void)l4vio_block_kick(block, ring->index);
    return l4vio_driver_wait_used(&block->driver, ring, deadline_ns);
}

int l4vio_block_wait_finished(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns)
{
    if (queue >= block->queue_count)
        return L4VIO_ERANGE;

    struct l4vio_queue *ring = &block->queues[queue];
    for (;;) {
        int result = l4vio_block_poll(block, queue, block->queue_size);
        if (result != 0)
            return result;
        result = wait_used(block, ring, deadline_ns);
        if (result == L4VIO_EPIPE) {
            unsigned finished = 0;
            result = l4vio_block_come_back(block, deadline_ns, &finished);
            if (finished)
                return (int)finished;
        }
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
    if (!l4vio_queue_ready(&block->queues[queue])) {
        unsigned finished = 0;
        int back = L4VIO_EIO;
        if (block->driver.state == L4VIO_DRIVER_LOST)
            back = l4vio_block_come_back(block, deadline_ns, &finished);
        if (back < 0 || finished)
            return finished ? (int)finished : back;
    }
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
