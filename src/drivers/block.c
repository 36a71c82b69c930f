/* SPDX-License-Identifier: MIT */
/*
 * Block driver: requests go in, completions come out.
 */
#include "core/ordering.h"
#include "drivers/block_private.h"

/*
 * Parts that found no room: a ring of requests linked by `next`; waiting[queue] is its tail, so that
 * both ends are at hand.
 */
void l4vio_block_wait_for_room(struct l4vio_block *block, struct l4vio_block_request *request)
{
    struct l4vio_block_request **tail = &block->waiting[request->queue];
    if (*tail) {
        request->next = (*tail)->next;
        (*tail)->next = request;
    } else {
        request->next = request;
    }
    *tail = request;
}

static struct l4vio_block_request *waiting_first(const struct l4vio_block *block, uint32_t queue)
{
    return block->waiting[queue] ? block->waiting[queue]->next : NULL;
}

static void waiting_remove_first(struct l4vio_block *block, uint32_t queue)
{
    struct l4vio_block_request **tail = &block->waiting[queue];
    struct l4vio_block_request *first = (*tail)->next;
    if (first == *tail)
        *tail = NULL;
    else
        (*tail)->next = first->next;
    first->next = NULL;
}

/* B3: nothing of the library refers to the request any more when `done` runs. */
void l4vio_block_finish(struct l4vio_block_request *request, int result)
{
    request->result = result;
    request->in_flight = false;
    if (request->done)
        request->done(request, request->context);
}

static int check_queue(const struct l4vio_block *block, uint32_t queue, struct l4vio_error *error)
{
    if (queue >= block->queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "no such queue", queue);
    return L4VIO_OK;
}

static int not_running(const struct l4vio_block *block, struct l4vio_error *error)
{
    if (block->driver.state != L4VIO_DRIVER_LOST)
        return l4vio_fail(error, L4VIO_EIO, "the device does not run", 0);
    return l4vio_fail(error, block->reconnect_ns ? L4VIO_EAGAIN : L4VIO_EPIPE,
                      "the connection is lost", 0);
}

int l4vio_block_add(struct l4vio_block *block, uint32_t queue, struct l4vio_block_request *request,
                    struct l4vio_error *error)
{
    int result = check_queue(block, queue, error);
    if (result < 0)
        return result;
    if (request->in_flight)
        return l4vio_fail(error, L4VIO_EBUSY, "the request is in flight", 0);
    if (!request->shared_region)
        return l4vio_fail(error, L4VIO_EINVAL, "a request without shared part", 0);
    if (block->stopping || block->resetting[queue])
        return l4vio_fail(error, L4VIO_EAGAIN, "requests are being cancelled", 0);
    if (!l4vio_queue_ready(&block->queues[queue]))
        return not_running(block, error);
    result = l4vio_queue_broken_error(&block->queues[queue], error);
    if (result < 0)
        return result;
    result = l4vio_block_check(block, request, error);
    if (result < 0)
        return result;
    /* Parts of earlier requests come first, or a stream of small requests would starve them. */
    if (block->waiting[queue])
        return l4vio_fail(error, L4VIO_EAGAIN, "no room in the queue", 0);

    request->queue = (uint16_t)queue;
    request->done_bytes = 0;
    request->segment_index = 0;
    request->segment_offset_bytes = 0;
    request->status = BLOCK_STATUS_POISON;
    result = l4vio_block_add_part(block, request, error);
    request->in_flight = result >= 0;
    return result;
}

int l4vio_block_kick(struct l4vio_block *block, uint32_t queue)
{
    int result = check_queue(block, queue, NULL);
    if (result < 0)
        return result;
    if (!l4vio_queue_ready(&block->queues[queue]))
        return L4VIO_EIO;
    l4vio_queue_publish(&block->queues[queue]);
    return l4vio_driver_notify(&block->driver, &block->queues[queue]);
}

int l4vio_block_submit(struct l4vio_block *block, uint32_t queue,
                       struct l4vio_block_request *request, struct l4vio_error *error)
{
    int result = l4vio_block_add(block, queue, request, error);
    if (result < 0)
        return result;
    /*
     * The request is the device's now whether the notification went out or not: a dead peer is
     * reported by the next wait.
     */
    (void)l4vio_block_kick(block, queue);
    return L4VIO_OK;
}

/* Adds the next part of a request, or finishes it if that cannot be done. Returns 1 if it finished. */
static int continue_request(struct l4vio_block *block, struct l4vio_block_request *request)
{
    int result = L4VIO_EAGAIN;
    if (!block->waiting[request->queue])
        result = l4vio_block_add_part(block, request, NULL);
    if (result == L4VIO_EAGAIN) {
        l4vio_block_wait_for_room(block, request);
        return 0;
    }
    if (result >= 0)
        return 0;
    l4vio_block_finish(request, result == L4VIO_EBADPROTO ? result : L4VIO_EIO);
    return 1;
}

/* Adds waiting parts while there is room. Returns the number of requests that finished instead. */
static int continue_waiting(struct l4vio_block *block, uint32_t queue)
{
    int finished = 0;
    struct l4vio_block_request *request;

    while ((request = waiting_first(block, queue))) {
        int result = l4vio_block_add_part(block, request, NULL);
        if (result == L4VIO_EAGAIN)
            break;
        waiting_remove_first(block, queue);
        if (result < 0) {
            l4vio_block_finish(request, result == L4VIO_EBADPROTO ? result : L4VIO_EIO);
            finished++;
        }
    }
    return finished;
}

/*
 * Outcome of a part. The status byte decides, it was poisoned. A READ that says OK must also have
 * written all its data: of the rest nothing may be assumed (clause D-2.7.8.3-1a), so it cannot be
 * handed out as data. Servers that do not count the status byte, or count data of writes, pass.
 */
static int part_result(struct l4vio_block_request *request, uint32_t length_bytes)
{
    const uint8_t *shared =
        (const uint8_t *)request->shared_region->base + request->shared_offset_bytes;

    request->status = l4vio_load8(shared + BLOCK_STATUS_OFFSET);
    switch (request->status) {
    case VIRTIO_BLK_S_OK:
        break;
    case VIRTIO_BLK_S_IOERR:
        return L4VIO_EIO;
    case VIRTIO_BLK_S_UNSUPP:
        return L4VIO_ENOSYS;
    default:
        return L4VIO_EBADPROTO;
    }
    if (request->type == L4VIO_BLOCK_READ && length_bytes < request->part_bytes)
        return L4VIO_EBADPROTO;
    return L4VIO_OK;
}

bool l4vio_block_part_done(struct l4vio_block_request *request,
                           const struct l4vio_completion *completion, int *result)
{
    *result = part_result(request, completion->length_bytes);
    if (*result != L4VIO_OK)
        return true;
    bool last = l4vio_block_all_added(request);
    request->done_bytes += request->type == L4VIO_BLOCK_GET_ID
                               ? l4vio_block_least(completion->length_bytes, VIRTIO_BLK_ID_BYTES)
                               : request->part_bytes;
    return last;
}

/* Takes one completion. Returns 1 if its request finished, 0 if it goes on. */
static int complete(struct l4vio_block *block, const struct l4vio_completion *completion)
{
    struct l4vio_block_request *request = completion->cookie;
    int result;

    if (!l4vio_block_part_done(request, completion, &result))
        return continue_request(block, request);
    l4vio_block_finish(request, result);
    return 1;
}

int l4vio_block_poll(struct l4vio_block *block, uint32_t queue, unsigned max)
{
    int result = check_queue(block, queue, NULL);
    if (result < 0)
        return result;

    struct l4vio_queue *ring = &block->queues[queue];
    int finished = 0;
    result = 0;
    /*
     * One at a time: a callback may poll, wait, recover or close, so nothing that was taken may be
     * waiting in a local array, and the ring may be gone afterwards.
     */
    for (unsigned taken = 0; taken < max && l4vio_queue_ready(ring); taken++) {
        struct l4vio_completion completion;
        result = l4vio_queue_get_used(ring, &completion, 1);
        if (result <= 0)
            break;
        finished += complete(block, &completion);
    }
    if (l4vio_queue_ready(ring)) {
        finished += continue_waiting(block, queue);
        if (ring->avail_index != ring->published_index)
            (void)l4vio_block_kick(block, queue);
    }
    return finished || result >= 0 ? finished : result;
}

void l4vio_block_cancel_queue(struct l4vio_block *block, uint32_t queue)
{
    struct l4vio_block_request *request;
    void *cookie;
    block->resetting[queue] = true;
    while (l4vio_queue_detach(&block->queues[queue], &cookie, 1) > 0)
        l4vio_block_finish(cookie, L4VIO_ECANCELED);
    while ((request = waiting_first(block, queue))) {
        waiting_remove_first(block, queue);
        l4vio_block_finish(request, L4VIO_ECANCELED);
    }
    block->resetting[queue] = false;
}

void l4vio_block_cancel(struct l4vio_block *block)
{
    block->stopping = true;
    for (uint32_t queue = 0; queue < block->queue_count; queue++)
        l4vio_block_cancel_queue(block, queue);
    block->stopping = false;
}

void l4vio_block_request_id(const struct l4vio_block_request *request,
                            char id[VIRTIO_BLK_ID_BYTES + 1])
{
    uint64_t length = l4vio_block_least(request->done_bytes, VIRTIO_BLK_ID_BYTES);
    const struct l4vio_region *region = request->shared_region;
    unsigned i = 0;

    if (request->type == L4VIO_BLOCK_GET_ID && !request->in_flight && region && region->base) {
        const uint8_t *from =
            (const uint8_t *)region->base + request->shared_offset_bytes + BLOCK_ID_OFFSET;
        for (; i < length; i++)
            id[i] = (char)l4vio_load8(from + i);
    }
    for (; i <= VIRTIO_BLK_ID_BYTES; i++)
        id[i] = '\0';
}
