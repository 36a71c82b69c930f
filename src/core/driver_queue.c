/* SPDX-License-Identifier: MIT */
#include <l4vio/virtqueue.h>

#include "core/driver_private.h"
#include "core/ring_format.h"

static int size_max(struct l4vio_driver *driver, uint32_t queue, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (l4vio_driver_unconnected(driver))
        return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
    if (queue >= driver->identity.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such queue", queue);
    int max = transport->ops->queue_size_max(transport->self, queue, error);
    if (l4vio_driver_outcome(driver, max) < 0)
        return max;
    return max ? max : l4vio_fail(error, L4VIO_ERANGE, "the device has no such queue", queue);
}

int l4vio_driver_queue_size_max(struct l4vio_driver *driver, uint32_t queue,
                                struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int max = size_max(driver, queue, error);
    l4vio_driver_unlock(driver);
    return max;
}

static int check_setup(struct l4vio_driver *driver, uint32_t queue,
                       const struct l4vio_queue_setup *setup, struct l4vio_error *error)
{
    int max = size_max(driver, queue, error);
    if (max < 0)
        return max;
    bool packed = l4vio_features_has(&driver->accepted, L4VIO_F_RING_PACKED);
    if (!l4vio_virtqueue_size_allowed(setup->size, &driver->accepted))
        return l4vio_fail(error, L4VIO_EINVAL,
                          packed ? "queue size not from 1 to 32768"
                                 : "queue size not a power of two up to 32768",
                          setup->size);
    if (setup->size > max)
        return l4vio_fail(error, L4VIO_EINVAL, "queue size above what the device allows",
                          (uint64_t)max);
    uint64_t avail_align = packed ? VIRTQ_EVENT_SUPPRESS_ALIGN : VIRTQ_AVAIL_ALIGN;
    if (setup->desc_address % VIRTQ_DESC_ALIGN || setup->avail_address & (avail_align - 1u) ||
        setup->used_address % VIRTQ_USED_ALIGN)
        return l4vio_fail(error, L4VIO_EINVAL, "an area of the queue is not aligned",
                          setup->desc_address);
    return L4VIO_OK;
}

static int configure(struct l4vio_driver *driver, uint32_t queue,
                     const struct l4vio_queue_setup *setup, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = transport->ops->config_queue(transport->self, queue, setup,
                                              l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return l4vio_driver_give_up(driver, result);
    if (driver->queue_end <= queue)
        driver->queue_end = queue + 1u;
    l4vio_driver_trace(driver, L4VIO_TRACE_QUEUE_READY, queue, setup->size, 0);
    return L4VIO_OK;
}

/* The index by which the device hears of a queue: its own choice where it makes one. */
static int device_index(struct l4vio_driver *driver, uint32_t queue, uint16_t *index,
                        struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (transport->ops->device_notify_index) {
        int fixed = transport->ops->device_notify_index(transport->self, queue, error);
        if (l4vio_driver_outcome(driver, fixed) < 0)
            return fixed;
        *index = (uint16_t)fixed;
    }
    if (*index >= driver->identity.notification_count)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such notification index", *index);
    return L4VIO_OK;
}

/* Gets the object for kicks: into the array, or into the queue if its index is beyond the array. */
static int fetch_kick(struct l4vio_driver *driver, struct l4vio_queue *queue, uint16_t index,
                      struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (!queue || index < driver->notification_count)
        return l4vio_driver_fetch_notification(driver, index, error);
    struct l4vio_notification object = {.handle = L4VIO_NO_HANDLE};
    int result = transport->ops->get_notification(transport->self, index, &object,
                                                  l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return result;
    queue->kick_handle = object.handle;
    queue->kick_fetched = true;
    return L4VIO_OK;
}

static void drop_kick(struct l4vio_driver *driver, struct l4vio_queue *queue)
{
    if (!queue->kick_fetched)
        return;
    struct l4vio_notification object = {.handle = queue->kick_handle};
    l4vio_driver_release_notification(driver, &object);
    queue->kick_fetched = false;
}

/* Features first, then queues (B10), whatever the caller's order. */
static int config_queue(struct l4vio_driver *driver, uint32_t index,
                        struct l4vio_queue_setup *setup, struct l4vio_queue *queue,
                        struct l4vio_error *error)
{
    int result = l4vio_driver_settle(driver, error);
    if (result == L4VIO_OK)
        result = check_setup(driver, index, setup, error);
    if (result == L4VIO_OK)
        result = device_index(driver, index, &setup->device_notify_index, error);
    if (result == L4VIO_OK)
        result = fetch_kick(driver, queue, setup->device_notify_index, error);
    return result ? result : configure(driver, index, setup, error);
}

int l4vio_driver_config_queue(struct l4vio_driver *driver, uint32_t queue, uint16_t size,
                              uint64_t desc_address, uint64_t avail_address, uint64_t used_address,
                              struct l4vio_error *error)
{
    struct l4vio_queue_setup setup = {.size = size,
                                      .desc_address = desc_address,
                                      .avail_address = avail_address,
                                      .used_address = used_address};
    l4vio_driver_lock(driver);
    int result = config_queue(driver, queue, &setup, NULL, error);
    l4vio_driver_unlock(driver);
    return result;
}

static int check_attach(struct l4vio_driver *driver, const struct l4vio_queue *queue,
                        struct l4vio_error *error)
{
    if (queue->live)
        return l4vio_fail(error, L4VIO_EBUSY, "the queue is live already", queue->index);
    if (queue->broken)
        return l4vio_fail(error, queue->broken, "the queue is broken: initialise its rings first",
                          queue->index);
    /* The device would begin at index 0, and carry out once more what it finds there. */
    if (queue->rings_used && !queue->resumes)
        return l4vio_fail(error, L4VIO_EINVAL, "the rings were in use: initialise them first",
                          queue->index);
    if (queue->resumes && !driver->properties.tracks_in_flight)
        return l4vio_fail(error, L4VIO_ENOSYS, "the device keeps no record of requests in flight",
                          queue->index);
    /* Objects that the library did not make may be bound later, at any index of the device. */
    uint32_t indexes =
        driver->manage ? driver->notification_count : driver->identity.notification_count;
    if (queue->driver_notify_index >= indexes)
        return l4vio_fail(error, L4VIO_ERANGE, "no notification object for this index",
                          queue->driver_notify_index);
    return L4VIO_OK;
}

/* The device works by what was accepted: a queue that works otherwise would be two formats at once. */
static int check_features(const struct l4vio_driver *driver, const struct l4vio_queue *queue,
                          struct l4vio_error *error)
{
    const struct {
        unsigned bit;
        bool used;
        const char *text;
    } rules[] = {
        {L4VIO_F_RING_PACKED, queue->packed, "RING_PACKED: queue not as was negotiated"},
        {L4VIO_F_EVENT_IDX, queue->event_idx, "EVENT_IDX: queue not as was negotiated"},
        {L4VIO_F_IN_ORDER, queue->in_order, "IN_ORDER: queue not as was negotiated"},
        {L4VIO_F_ORDER_PLATFORM, queue->order_platform, "ORDER_PLATFORM: queue not as negotiated"},
        {L4VIO_F_NOTIFICATION_DATA, queue->notification_data,
         "NOTIFICATION_DATA: queue not as was negotiated"},
    };
    for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (l4vio_features_has(&driver->accepted, rules[i].bit) != rules[i].used)
            return l4vio_fail(error, L4VIO_EINVAL, rules[i].text, rules[i].bit);
    }
    /* Tables need not be used: without them a queue only sends no such descriptors. */
    if (queue->indirect.memory && !l4vio_features_has(&driver->accepted, L4VIO_F_INDIRECT_DESC))
        return l4vio_fail(error, L4VIO_EINVAL, "INDIRECT_DESC: a queue with tables, not negotiated",
                          L4VIO_F_INDIRECT_DESC);
    return L4VIO_OK;
}

static int attach(struct l4vio_driver *driver, struct l4vio_queue *queue, struct l4vio_error *error)
{
    int result = l4vio_driver_settle(driver, error);
    if (result == L4VIO_OK)
        result = check_attach(driver, queue, error);
    if (result == L4VIO_OK)
        result = check_features(driver, queue, error);
    if (result)
        return result;
    struct l4vio_queue_setup setup = {.size = queue->size,
                                      .driver_notify_index = queue->driver_notify_index,
                                      .device_notify_index = queue->device_notify_index,
                                      .desc_address = queue->desc_address,
                                      .avail_address = queue->avail_address,
                                      .used_address = queue->used_address};
    if (queue->resumes) {
        setup.resumes = true;
        setup.avail_position = queue->format->kick_position(queue);
        setup.used_position = queue->format->used_position(queue);
    }
    result = config_queue(driver, queue->index, &setup, queue, error);
    queue->device_notify_index = setup.device_notify_index;
    /* Without an answer the device may have taken the queue: it counts as live until a reset. */
    if (result && result != L4VIO_ETIMEDOUT && result != L4VIO_EPIPE) {
        drop_kick(driver, queue);
        return result;
    }
    queue->live = true;
    queue->resumes = false;
    queue->rings_used = true;
    queue->recorded = driver->properties.tracks_in_flight;
    queue->next = driver->queues;
    driver->queues = queue;
    return result;
}

int l4vio_driver_attach_queue(struct l4vio_driver *driver, struct l4vio_queue *queue,
                              struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = attach(driver, queue, error);
    l4vio_driver_unlock(driver);
    return result;
}

static void forget_queue(struct l4vio_driver *driver, struct l4vio_queue *queue)
{
    struct l4vio_queue **link = &driver->queues;
    while (*link && *link != queue)
        link = &(*link)->next;
    if (*link)
        *link = queue->next;
    queue->next = NULL;
    queue->live = false;
    drop_kick(driver, queue);
}

void l4vio_driver_drop_kicks(struct l4vio_driver *driver)
{
    for (struct l4vio_queue *queue = driver->queues; queue; queue = queue->next)
        drop_kick(driver, queue);
}

void l4vio_driver_forget_queues(struct l4vio_driver *driver)
{
    while (driver->queues)
        forget_queue(driver, driver->queues);
}

static int reset_queue(struct l4vio_driver *driver, struct l4vio_queue *queue,
                       struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = l4vio_driver_check_usable(driver, error);
    if (result)
        return result;
    if (!queue->live)
        return l4vio_fail(error, L4VIO_EINVAL, "the queue is not live", queue->index);
    if (!transport->ops->reset_queue)
        return l4vio_fail(error, L4VIO_ENOSYS, "one queue alone cannot be reset here",
                          queue->index);
    queue->recorded = false;
    result = transport->ops->reset_queue(transport->self, queue->index,
                                         l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return result;
    forget_queue(driver, queue);
    l4vio_driver_trace(driver, L4VIO_TRACE_RESET, queue->index, 0, 0);
    return L4VIO_OK;
}

int l4vio_driver_reset_queue(struct l4vio_driver *driver, struct l4vio_queue *queue,
                             struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = reset_queue(driver, queue, error);
    l4vio_driver_unlock(driver);
    return result;
}

int l4vio_driver_notify(struct l4vio_driver *driver, struct l4vio_queue *queue)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (driver->state != L4VIO_DRIVER_LIVE) {
        /* Until DRIVER_OK the queue itself remembers: its kick index stays behind. */
        return l4vio_driver_check_usable(driver, NULL);
    }
    const uint64_t kick_index = queue->kick_index;
    const uint16_t kick_place = queue->kick_place;
    if (!l4vio_queue_needs_kick(queue))
        return L4VIO_OK;
    struct l4vio_notification to_device = {.handle = queue->kick_handle};
    if (!queue->kick_fetched) {
        if (queue->device_notify_index >= driver->notification_count)
            return L4VIO_ERANGE;
        to_device = driver->notifications[queue->device_notify_index].to_device;
    }
    int result = transport->ops->kick(transport->self, queue->index, l4vio_queue_kick_data(queue),
                                      &to_device);
    if (result) {
        /* Still owed: the next call decides anew. */
        queue->kick_index = kick_index;
        queue->kick_place = kick_place;
        return result;
    }
    l4vio_count(&queue->counters.kicks_sent, 1);
    l4vio_driver_trace(driver, L4VIO_TRACE_KICK, queue->index, queue->published_index, 0);
    return L4VIO_OK;
}

int l4vio_driver_send_kicks(struct l4vio_driver *driver)
{
    for (struct l4vio_queue *queue = driver->queues; queue; queue = queue->next) {
        int result = l4vio_driver_notify(driver, queue);
        if (result)
            return result;
    }
    return L4VIO_OK;
}

int l4vio_driver_send(struct l4vio_driver *driver, struct l4vio_queue *queue, uint16_t head)
{
    int result = l4vio_descriptor_enqueue(queue, head);
    return result ? result : l4vio_driver_notify(driver, queue);
}
