/* SPDX-License-Identifier: MIT */
/*
 * Block driver: a new device in the place of one that is gone. What was in flight becomes parts that wait
 * for room, in front of those that waited already; they are added as any others when the queue runs.
 */
#include "drivers/block_private.h"

#include "core/bytes.h"

/* Between two attempts, for a device that dies as soon as it is there. */
#define RETRY_NS UINT64_C(10000000)
/* Lists of 2^n requests while sorting; no queue has more. */
#define SORT_LISTS 17u

/* What comes back, and whom it concerns. */
struct comeback {
    struct l4vio_block_info info;         /* Of the new device. */
    uint16_t part_buffers_max;            /* For it. */
    struct l4vio_block_request *finished; /* `done` is called when all is over; result is set. */
    struct l4vio_block_request **end;     /* Of that list. */
    uint64_t submitted_again;
    uint64_t resumed;
};

static void finish_later(struct comeback *back, struct l4vio_block_request *request, int result)
{
    request->result = result;
    request->next = NULL;
    *back->end = request;
    back->end = &request->next;
}

static struct l4vio_block_request *merge(struct l4vio_block_request *a,
                                         struct l4vio_block_request *b)
{
    struct l4vio_block_request *first = NULL;
    struct l4vio_block_request **end = &first;
    while (a && b) {
        struct l4vio_block_request **least = a->order <= b->order ? &a : &b;
        *end = *least;
        end = &(*least)->next;
        *least = (*least)->next;
    }
    *end = a ? a : b;
    return first;
}

/* lists[n] has 2^n requests, or none: as digits of a number that counts up. */
static void sort_in(struct l4vio_block_request *lists[SORT_LISTS],
                    struct l4vio_block_request *request)
{
    unsigned n = 0;
    request->next = NULL;
    for (; n < SORT_LISTS - 1u && lists[n]; n++) {
        request = merge(lists[n], request);
        lists[n] = NULL;
    }
    lists[n] = merge(lists[n], request);
}

/* Takes everything out of a queue; in the order of submission. */
static struct l4vio_block_request *detach_all(struct l4vio_queue *ring, struct comeback *back)
{
    struct l4vio_block_request *lists[SORT_LISTS] = {NULL};
    struct l4vio_block_request *sorted = NULL;
    void *cookie;
    while (l4vio_queue_detach(ring, &cookie, 1) > 0) {
        l4vio_block_take_back_part(cookie);
        sort_in(lists, cookie);
        back->submitted_again++;
    }
    for (unsigned n = 0; n < SORT_LISTS; n++)
        sorted = merge(lists[n], sorted);
    return sorted;
}

/* `waiting` is a ring of requests, of which the last one is known. Takes it as a list. */
static struct l4vio_block_request *take_waiting(struct l4vio_block *block, uint32_t queue)
{
    struct l4vio_block_request *last = block->waiting[queue];
    if (!last)
        return NULL;
    struct l4vio_block_request *first = last->next;
    last->next = NULL;
    block->waiting[queue] = NULL;
    return first;
}

static void put_waiting(struct l4vio_block *block, struct l4vio_block_request *list)
{
    while (list) {
        struct l4vio_block_request *next = list->next;
        l4vio_block_wait_for_room(block, list);
        list = next;
    }
}

/* What the last device had completed. Its next parts wait for the new one. */
static void take_completed(struct l4vio_block *block, struct l4vio_queue *ring,
                           struct comeback *back)
{
    struct l4vio_completion completion;
    while (!l4vio_queue_ready(ring) && l4vio_queue_get_used(ring, &completion, 1) > 0) {
        struct l4vio_block_request *request = completion.cookie;
        int result;
        if (l4vio_block_part_done(request, &completion, &result))
            finish_later(back, request, result);
        else
            l4vio_block_wait_for_room(block, request);
    }
}

/* The record is one for all queues: it holds for each of them, or for none. */
static bool resume_all(struct l4vio_block *block, struct comeback *back)
{
    back->resumed = 0;
    if (!block->driver.properties.tracks_in_flight)
        return false;
    for (uint32_t queue = 0; queue < block->queue_count; queue++) {
        struct l4vio_queue *ring = &block->queues[queue];
        if (l4vio_queue_resume(ring) < 0)
            return false;
        back->resumed += l4vio_queue_in_flight(ring);
    }
    return true;
}

/* Makes a queue that no device knows any more new. */
static int empty_queue(struct l4vio_block *block, uint32_t queue, struct comeback *back)
{
    struct l4vio_queue *ring = &block->queues[queue];
    struct l4vio_block_request *in_flight = detach_all(ring, back);
    struct l4vio_block_request *waiting = take_waiting(block, queue);
    put_waiting(block, in_flight);
    put_waiting(block, waiting);
    return l4vio_queue_initialize_rings(ring);
}

static int read_device(struct l4vio_block *block, struct comeback *back, struct l4vio_error *error)
{
    int result = l4vio_block_read_info(block, &back->info, error);
    if (result >= 0)
        result = l4vio_block_part_buffers(&back->info, block->queue_size, error);
    if (result < 0)
        return result;
    back->part_buffers_max = (uint16_t)result;
    if (back->info.queue_count < block->queue_count)
        return l4vio_fail(error, L4VIO_ENODEV,
                          "the device that came back has fewer queues than are in use",
                          back->info.queue_count);
    return L4VIO_OK;
}

static int attempt(struct l4vio_block *block, uint64_t deadline_ns, struct comeback *back,
                   struct l4vio_error *error)
{
    struct l4vio_driver *driver = &block->driver;
    int result = l4vio_driver_reconnect(driver, deadline_ns, error);
    for (uint32_t queue = 0; queue < block->queue_count; queue++)
        take_completed(block, &block->queues[queue], back);
    bool resumes = result >= 0 && resume_all(block, back);
    if (result >= 0 && !resumes)
        back->resumed = 0;
    for (uint32_t queue = 0; result >= 0 && !resumes && queue < block->queue_count; queue++)
        result = empty_queue(block, queue, back);
    if (result >= 0)
        result = l4vio_driver_restart(driver, error);
    if (result >= 0)
        result = l4vio_driver_negotiate(driver, error);
    if (result >= 0)
        result = read_device(block, back, error);
    if (result >= 0)
        result = l4vio_block_restore_cache_mode(block, error);
    return result < 0 ? result : l4vio_block_go_live(block, error);
}

/* No control call outlasts the deadline. */
static int attempt_in_time(struct l4vio_block *block, uint64_t deadline_ns, struct comeback *back,
                           struct l4vio_error *error)
{
    struct l4vio_driver *driver = &block->driver;
    const struct l4vio_platform *platform = &driver->platform;
    const uint64_t timeout_ns = driver->control_timeout_ns;
    uint64_t now = platform->ops->now_ns(platform->self);
    uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
    driver->control_timeout_ns = l4vio_block_least(timeout_ns, left_ns);
    int result = attempt(block, deadline_ns, back, error);
    driver->control_timeout_ns = timeout_ns;
    return result;
}

static int attempt_until(struct l4vio_block *block, uint64_t deadline_ns, struct comeback *back,
                         struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &block->driver.platform;
    for (;;) {
        int result = attempt_in_time(block, deadline_ns, back, error);
        /* It died again, or stopped answering. */
        if (result != L4VIO_EPIPE && result != L4VIO_ETIMEDOUT)
            return result;
        uint64_t now = platform->ops->now_ns(platform->self);
        if (now >= deadline_ns)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "the device did not come back in time", 0);
        platform->ops->wait(platform->self, NULL, 0, L4VIO_NO_HANDLE,
                            l4vio_block_least(deadline_ns, now + RETRY_NS));
    }
}

static bool has_range(const struct l4vio_block_request *request)
{
    return request->type == L4VIO_BLOCK_DISCARD || request->type == L4VIO_BLOCK_WRITE_ZEROES;
}

static bool is_aligned(const struct l4vio_block_request *request, uint32_t block_bytes)
{
    uint64_t sectors = request->sector | (has_range(request) ? request->sector_count : 0);
    uint64_t bytes = 0;
    if (request->type == L4VIO_BLOCK_READ || request->type == L4VIO_BLOCK_WRITE)
        for (uint32_t i = 0; i < request->segment_count; i++)
            bytes += request->segments[i].length_bytes;
    return ((sectors * VIRTIO_BLK_SECTOR_BYTES | bytes) & (block_bytes - 1u)) == 0;
}

/* Does the new device take it? */
static int check_again(const struct l4vio_block *block, const struct l4vio_block_request *request,
                       uint32_t block_bytes_before)
{
    int result = l4vio_block_check(block, request, NULL);
    if (result < 0)
        return result;
    uint32_t block_bytes = block->info.block_bytes;
    if (block_bytes > block_bytes_before && !is_aligned(request, block_bytes))
        return L4VIO_EINVAL;
    return L4VIO_OK;
}

static void sort_out(struct l4vio_block *block, uint32_t queue, uint32_t block_bytes_before,
                     struct comeback *back)
{
    struct l4vio_block_request *request = take_waiting(block, queue);
    while (request) {
        struct l4vio_block_request *next = request->next;
        int result = check_again(block, request, block_bytes_before);
        if (result < 0) {
            block->reconnects.failed++;
            finish_later(back, request, result);
        } else {
            l4vio_block_wait_for_room(block, request);
        }
        request = next;
    }
}

/* It is there: what waits is sent. Returns how many requests finished instead. */
static unsigned go_on(struct l4vio_block *block, struct comeback *back)
{
    uint32_t block_bytes_before = block->info.block_bytes;
    unsigned finished = 0;
    block->info = back->info;
    block->part_buffers_max = back->part_buffers_max;
    block->reconnect_end_ns = 0;
    block->reconnects.count++;
    block->reconnects.resumed += back->resumed;
    for (uint32_t queue = 0; queue < block->queue_count; queue++)
        sort_out(block, queue, block_bytes_before, back);
    for (uint32_t queue = 0; queue < block->queue_count; queue++) {
        int result = l4vio_block_poll(block, queue, 0);
        finished += result > 0 ? (unsigned)result : 0;
    }
    return finished;
}

static int reconnect(struct l4vio_block *block, uint64_t deadline_ns, unsigned *finished,
                     struct l4vio_error *error)
{
    struct comeback back = {.end = NULL};
    back.end = &back.finished;
    if (block->stopping)
        return l4vio_fail(error, L4VIO_EBUSY, "called while requests are being cancelled", 0);
    if (block->driver.state == L4VIO_DRIVER_CLOSED)
        return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
    int result = attempt_until(block, deadline_ns, &back, error);
    block->reconnects.submitted_again += back.submitted_again;
    if (result >= 0)
        *finished += go_on(block, &back);
    /* The last thing: whatever they do, everything is as it should be. */
    while (back.finished) {
        struct l4vio_block_request *request = back.finished;
        back.finished = request->next;
        request->next = NULL;
        l4vio_block_finish(request, request->result);
        ++*finished;
    }
    return result < 0 ? result : L4VIO_OK;
}

int l4vio_block_reconnect(struct l4vio_block *block, uint64_t deadline_ns,
                          struct l4vio_error *error)
{
    unsigned finished = 0;
    return reconnect(block, deadline_ns, &finished, error);
}

int l4vio_block_come_back(struct l4vio_block *block, uint64_t deadline_ns, unsigned *finished)
{
    if (!block->reconnect_ns || block->driver.state == L4VIO_DRIVER_CLOSED)
        return L4VIO_EPIPE;
    /* The time runs from when it was missed, however many calls wait for it. */
    if (!block->reconnect_end_ns)
        block->reconnect_end_ns = l4vio_driver_deadline(&block->driver, block->reconnect_ns);
    if (l4vio_block_expired(block, block->reconnect_end_ns))
        return L4VIO_EPIPE;
    int result =
        reconnect(block, l4vio_block_least(deadline_ns, block->reconnect_end_ns), finished, NULL);
    if (result == L4VIO_ENOSYS)
        return L4VIO_EPIPE;
    if (result == L4VIO_ETIMEDOUT && l4vio_block_expired(block, block->reconnect_end_ns))
        return L4VIO_EPIPE;
    return result;
}
