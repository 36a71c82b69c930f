/* SPDX-License-Identifier: MIT */
#include "core/driver_private.h"
#include "core/driver_sleep.h"
#include "core/ordering.h"
#include "core/queue_state.h"

/* Looks at the ring between two looks at the clock. */
#define SPINS_PER_CLOCK 32u
/* Time between two looks at the peer's health while spinning. */
#define CHECK_NS UINT64_C(1000000)
/* Completions taken at once while draining. */
#define DRAIN_BATCH 16u

/* Where to look: at the used rings, and at completions that were kept if they will do. */
struct look {
    struct l4vio_queue *const *queues;
    unsigned count;
    bool kept_too;
    bool all; /* To be woken once everything in flight is used. */
};

static bool has_kept(const struct l4vio_queue *queue)
{
    return queue->descriptors && queue->kept_head != L4VIO_EOQ;
}

/* Index of a queue with something to take, or -1. */
static int look(const struct look *at)
{
    for (unsigned i = 0; i < at->count; i++) {
        if (l4vio_queue_has_used(at->queues[i]) || (at->kept_too && has_kept(at->queues[i])))
            return (int)i;
    }
    return -1;
}

static void disarm(const struct look *at)
{
    for (unsigned i = 0; i < at->count; i++)
        l4vio_queue_disarm(at->queues[i]);
}

/* Asks for notifications, looks again: see B6. */
static int arm(const struct look *at)
{
    int found = -1;
    for (unsigned i = 0; i < at->count; i++) {
        unsigned completions = at->all ? l4vio_queue_in_flight(at->queues[i]) : 1;
        if (l4vio_queue_arm_after(at->queues[i], completions) && found < 0)
            found = (int)i;
    }
    return found;
}

static int look_often(const struct look *at)
{
    for (unsigned i = 0; i < SPINS_PER_CLOCK; i++) {
        int found = look(at);
        if (found >= 0)
            return found;
        l4vio_relax();
    }
    return -1;
}

/* Whether looking is in vain: a dead device writes no index. */
static bool is_lost(const struct l4vio_driver *driver)
{
    const struct l4vio_transport *transport = &driver->transport;
    return l4vio_driver_device_fault(driver) || transport->ops->peer_alive(transport->self);
}

/*
 * Looks for as long as experience says that it pays. The clock is read after the first looks only:
 * what is found at once needs no reading, and "soon" is exact enough. Index of a queue, or -1: sleep.
 */
static int spin(const struct l4vio_driver *driver, const struct look *at,
                struct l4vio_spin *experience, uint64_t deadline_ns)
{
    uint64_t span_ns = l4vio_spin_begin(experience);
    if (span_ns == 0)
        return -1;
    disarm(at);
    int found = look_often(at);
    uint64_t start = found < 0 ? l4vio_driver_now(driver) : 0;
    uint64_t now = start;
    uint64_t check = start + CHECK_NS;
    while (found < 0) {
        if (now >= deadline_ns)
            return -1;
        if (now - start >= span_ns) {
            l4vio_spin_failed(experience);
            return -1;
        }
        if (now >= check && is_lost(driver))
            return -1;
        if (now >= check)
            check = now + CHECK_NS;
        found = look_often(at);
        if (found < 0)
            now = l4vio_driver_now(driver);
    }
    l4vio_spin_found(experience, now - start);
    return found;
}

static void count_wakeup(const struct l4vio_driver *driver, const struct look *at, int found)
{
    struct l4vio_queue *queue = at->queues[found < 0 ? 0 : found];
    l4vio_count(&queue->counters.wakeups, 1);
    if (found < 0)
        l4vio_count(&queue->counters.spurious_wakeups, 1);
    l4vio_driver_trace(driver, L4VIO_TRACE_WAKE, queue->index, found < 0, 0);
}

/* Sleeps until something was found (returned) or nothing will be (negative code). */
static int sleep_for(struct l4vio_driver *driver, const struct look *at,
                     struct l4vio_driver_sleep *sleep, uint64_t deadline_ns)
{
    for (;;) {
        int found = arm(at);
        if (found >= 0)
            return found;
        int result = l4vio_driver_device_fault(driver);
        if (result == L4VIO_OK)
            result = l4vio_driver_sleep(driver, sleep, deadline_ns);
        found = look(at);
        if (result == L4VIO_OK)
            count_wakeup(driver, at, found);
        if (found >= 0)
            return found;
        int fault = l4vio_driver_sleep_fault(driver, sleep);
        if (fault)
            result = fault;
        if (result != L4VIO_OK && result != L4VIO_EAGAIN) {
            /* What was used before the end is delivered first. */
            found = look(at);
            return found >= 0 ? found : result;
        }
    }
}

/* Counts and traces a wait that was for nothing; returns its code. */
static int gave_up(struct l4vio_driver *driver, int code)
{
    if (code == L4VIO_ETIMEDOUT)
        l4vio_driver_count(&driver->counters.timeouts);
    if (code == L4VIO_EPIPE)
        l4vio_driver_trace(driver, L4VIO_TRACE_PEER_GONE, UINT32_MAX, 0, 0);
    return code;
}

static int wait_for(struct l4vio_driver *driver, const struct look *at, uint64_t deadline_ns)
{
    struct l4vio_driver_sleep sleep;
    int result = l4vio_driver_sleep_init(driver, &sleep, at->queues, at->count);
    if (result == L4VIO_EEXIST)
        return result;
    int found = look(at);
    if (found >= 0)
        return found;
    if (result)
        return result;
    uint16_t index = at->queues[0]->driver_notify_index;
    found = spin(driver, at, &driver->notifications[index].spin, deadline_ns);
    if (found >= 0)
        return found;
    result = sleep_for(driver, at, &sleep, deadline_ns);
    if (result < 0)
        return gave_up(driver, result);
    /* While the caller takes completions, further notifications would be for nothing. */
    disarm(at);
    return result;
}

int l4vio_driver_wait_any(struct l4vio_driver *driver, struct l4vio_queue *const *queues,
                          unsigned count, uint64_t deadline_ns)
{
    if (count == 0 || count > L4VIO_DRIVER_WAIT_QUEUES_MAX)
        return L4VIO_EINVAL;
    struct look at = {.queues = queues, .count = count, .kept_too = true};
    return wait_for(driver, &at, deadline_ns);
}

/* A broken queue has nothing to take. */
static int wait_at(struct l4vio_driver *driver, const struct look *at, uint64_t deadline_ns)
{
    const struct l4vio_queue *queue = at->queues[0];
    int result = wait_for(driver, at, deadline_ns);
    if (result < 0)
        return result;
    return queue->broken && !(at->kept_too && has_kept(queue)) ? queue->broken : L4VIO_OK;
}

static int wait_one(struct l4vio_driver *driver, struct l4vio_queue *queue, bool kept_too,
                    uint64_t deadline_ns)
{
    struct look at = {.queues = &queue, .count = 1, .kept_too = kept_too};
    return wait_at(driver, &at, deadline_ns);
}

int l4vio_driver_wait_used(struct l4vio_driver *driver, struct l4vio_queue *queue,
                           uint64_t deadline_ns)
{
    return wait_one(driver, queue, true, deadline_ns);
}

int l4vio_driver_wait_for_next_used(struct l4vio_driver *driver, struct l4vio_queue *queue,
                                    uint32_t *length_bytes, uint64_t deadline_ns)
{
    if (!queue->descriptors)
        return L4VIO_EINVAL;
    for (;;) {
        uint16_t head = l4vio_descriptor_find_next_used(queue, length_bytes);
        if (head != L4VIO_EOQ)
            return head;
        int result = wait_one(driver, queue, true, deadline_ns);
        if (result)
            return result;
    }
}

int l4vio_driver_send_and_wait(struct l4vio_driver *driver, struct l4vio_queue *queue,
                               uint16_t head, uint32_t *length_bytes, uint64_t deadline_ns)
{
    int result = l4vio_driver_check_usable(driver, NULL);
    if (result == L4VIO_OK && driver->state != L4VIO_DRIVER_LIVE)
        result = L4VIO_EINVAL;
    if (result == L4VIO_OK)
        result = l4vio_driver_send(driver, queue, head);
    while (result == L4VIO_OK) {
        uint32_t length = 0;
        uint16_t used = l4vio_descriptor_take_used(queue, &length);
        if (used == head) {
            if (length_bytes)
                *length_bytes = length;
            return L4VIO_OK;
        }
        /* Somebody else's: kept for whoever asks next, never lost. */
        if (used != L4VIO_EOQ)
            result = l4vio_descriptor_keep(queue, used, length);
        else
            result = wait_one(driver, queue, false, deadline_ns);
    }
    return result;
}

int l4vio_driver_wait_room(struct l4vio_driver *driver, struct l4vio_queue *queue, unsigned entries,
                           uint64_t deadline_ns)
{
    if (queue->broken)
        return queue->broken;
    if (entries > l4vio_queue_size(queue))
        return L4VIO_E2BIG;
    if (l4vio_queue_room(queue) >= entries)
        return 0;
    int result = wait_one(driver, queue, true, deadline_ns);
    return result ? result : 1;
}

int l4vio_driver_drain(struct l4vio_driver *driver, struct l4vio_queue *queue,
                       void (*completed)(void *context, const struct l4vio_completion *completion),
                       void *context, uint64_t deadline_ns)
{
    struct l4vio_completion completions[DRAIN_BATCH];
    /* One interrupt, at the end. What the device is still at when the deadline passes stays there. */
    struct look at = {.queues = &queue, .count = 1, .kept_too = true, .all = true};
    l4vio_queue_publish(queue);
    int result = l4vio_driver_notify(driver, queue);
    /* Even if the device cannot be told: what it has used already is there to be taken. */
    for (;;) {
        int taken = l4vio_queue_get_used(queue, completions, DRAIN_BATCH);
        if (taken < 0)
            return taken;
        for (int i = 0; completed && i < taken; i++)
            completed(context, &completions[i]);
        if (l4vio_queue_in_flight(queue) == 0)
            return L4VIO_OK;
        if (taken == 0 && result == L4VIO_OK)
            result = wait_at(driver, &at, deadline_ns);
        else if (taken == 0)
            return result;
    }
}

/* With EVENT_IDX a wish is good for one notification, and comes true or not while completions are taken:
 * once they are, there is no further one. */
static bool is_silent(const struct l4vio_queue *queue)
{
    return l4vio_queue_is_disarmed(queue) ||
           (queue->event_idx && queue->armed_index < queue->used_index);
}

/*
 * Queues that were told to be silent by an earlier wait speak up again. True if one of them has
 * something of which there was no notification.
 */
static bool arm_silent_queues(const struct l4vio_driver *driver, uint32_t index)
{
    bool missed = false;
    for (struct l4vio_queue *queue = driver->queues; queue; queue = queue->next) {
        if (queue->driver_notify_index == index && is_silent(queue))
            missed |= l4vio_queue_arm(queue);
    }
    return missed;
}

int l4vio_driver_wait(struct l4vio_driver *driver, uint32_t index, uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &driver->platform;
    const struct l4vio_transport *transport = &driver->transport;
    if (l4vio_driver_unconnected(driver))
        return L4VIO_EPIPE;
    const struct l4vio_notification *notification = l4vio_driver_notification(driver, index);
    if (!notification)
        return L4VIO_EEXIST;
    bool missed = arm_silent_queues(driver, index);
    intptr_t peer = transport->ops->peer_handle(transport->self);
    for (;;) {
        if (l4vio_driver_drain_notification(driver, index) > 0 || missed)
            return L4VIO_OK;
        if (transport->ops->peer_alive(transport->self))
            return gave_up(driver, L4VIO_EPIPE);
        uint64_t now = l4vio_driver_now(driver);
        if (now >= deadline_ns)
            return gave_up(driver, L4VIO_ETIMEDOUT);
        uint64_t until = deadline_ns;
        if (peer == L4VIO_NO_HANDLE && deadline_ns - now > L4VIO_DRIVER_SLICE_NS)
            until = now + L4VIO_DRIVER_SLICE_NS;
        platform->ops->wait(platform->self, notification, 1, peer, until);
        transport->ops->acknowledge(transport->self);
    }
}
