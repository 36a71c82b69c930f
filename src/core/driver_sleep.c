/* SPDX-License-Identifier: MIT */
/*
 * One sleep of a driver that waits for queues: which notifications, for how long, and what to make
 * of waking. driver_wait.c has the calls.
 */
#include "core/driver_sleep.h"

#include "core/driver_private.h"

static bool contains(const struct l4vio_driver_sleep *sleep, uint16_t index)
{
    for (unsigned i = 0; i < sleep->index_count; i++) {
        if (sleep->indexes[i] == index)
            return true;
    }
    return false;
}

int l4vio_driver_sleep_init(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep,
                            struct l4vio_queue *const *queues, unsigned count)
{
    sleep->index_count = 0;
    for (unsigned i = 0; i < count; i++) {
        uint16_t index = queues[i]->driver_notify_index;
        if (contains(sleep, index))
            continue;
        const struct l4vio_notification *notification = l4vio_driver_notification(driver, index);
        if (!notification)
            return driver->state == L4VIO_DRIVER_CLOSED ? L4VIO_EPIPE : L4VIO_EEXIST;
        sleep->notifications[sleep->index_count] = *notification;
        sleep->indexes[sleep->index_count++] = index;
    }
    /* A device that gives up says so with a config notification. */
    sleep->config = NULL;
    if (!contains(sleep, driver->config_notify_index))
        sleep->config = l4vio_driver_notification(driver, driver->config_notify_index);
    return L4VIO_OK;
}

int l4vio_driver_device_fault(const struct l4vio_driver *driver)
{
    const struct l4vio_transport *transport = &driver->transport;
    uint32_t status = 0;
    if (l4vio_driver_unconnected(driver))
        return L4VIO_EPIPE;
    if (driver->state != L4VIO_DRIVER_LIVE)
        return L4VIO_EIO;
    if (transport->ops->get_status(transport->self, &status))
        return L4VIO_EPIPE;
    if (status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_NEEDS_RESET))
        return L4VIO_EIO;
    /* A device that forgot DRIVER_OK will not use another buffer. */
    return status & VIRTIO_STATUS_DRIVER_OK ? L4VIO_OK : L4VIO_EIO;
}

static bool config_left_pending(const struct l4vio_driver *driver)
{
    return __atomic_load_n(&driver->config_pending, __ATOMIC_RELAXED) != 0;
}

/* End of this sleep: the deadline, or a slice if some change of the peer would not wake us. */
static uint64_t sleep_until(const struct l4vio_driver *driver, bool blind, uint64_t now,
                            uint64_t deadline_ns)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (transport->ops->peer_handle(transport->self) != L4VIO_NO_HANDLE && !blind)
        return deadline_ns;
    if (deadline_ns - now > L4VIO_DRIVER_SLICE_NS)
        return now + L4VIO_DRIVER_SLICE_NS;
    return deadline_ns;
}

/*
 * The waiter of a sleep for one index, made when it is first needed; NULL: there is none. A config
 * notification that is left pending does not end its sleeps, only another one does.
 */
static const struct l4vio_waiter *waiter_of(struct l4vio_driver *driver,
                                            const struct l4vio_driver_sleep *sleep)
{
    const struct l4vio_platform *platform = &driver->platform;
    const struct l4vio_transport *transport = &driver->transport;
    intptr_t peer = transport->ops->peer_handle(transport->self);
    if (sleep->index_count != 1 || peer == L4VIO_NO_HANDLE || !platform->ops->waiter_open)
        return NULL;
    struct l4vio_waiter *waiter = &driver->notifications[sleep->indexes[0]].waiter;
    if (waiter->handle != L4VIO_NO_HANDLE)
        return waiter;
    struct l4vio_notification both[2] = {sleep->notifications[0]};
    if (sleep->config)
        both[1] = *sleep->config;
    int result =
        platform->ops->waiter_open(platform->self, both, sleep->config ? 2 : 1, peer, waiter);
    return result ? NULL : waiter;
}

/* Without a waiter: what ended the sleep is taken, so that it does not end the next one. */
static int sleep_and_drain(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep,
                           uint64_t now, uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &driver->platform;
    const struct l4vio_transport *transport = &driver->transport;
    unsigned count = sleep->index_count;
    bool blind = sleep->config && config_left_pending(driver);
    if (sleep->config && !blind)
        sleep->notifications[count++] = *sleep->config;
    uint64_t until = sleep_until(driver, blind, now, deadline_ns);
    l4vio_driver_trace(driver, L4VIO_TRACE_SLEEP, UINT32_MAX, until, 0);
    int result = platform->ops->wait(platform->self, sleep->notifications, count,
                                     transport->ops->peer_handle(transport->self), until);
    transport->ops->acknowledge(transport->self);
    for (unsigned i = 0; i < sleep->index_count; i++)
        l4vio_driver_drain_notification(driver, sleep->indexes[i]);
    return result == L4VIO_ETIMEDOUT && until != deadline_ns ? L4VIO_EAGAIN : result;
}

int l4vio_driver_sleep(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep,
                       uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &driver->platform;
    const struct l4vio_transport *transport = &driver->transport;
    const struct l4vio_waiter *waiter = waiter_of(driver, sleep);
    /* Who has a waiter and no deadline needs no clock. */
    uint64_t now = waiter && deadline_ns == L4VIO_FOREVER ? 0 : l4vio_driver_now(driver);
    if (now >= deadline_ns)
        return L4VIO_ETIMEDOUT;
    if (!waiter)
        return sleep_and_drain(driver, sleep, now, deadline_ns);
    l4vio_driver_trace(driver, L4VIO_TRACE_SLEEP, UINT32_MAX, deadline_ns, 0);
    int result = platform->ops->waiter_wait(platform->self, waiter, deadline_ns);
    transport->ops->acknowledge(transport->self);
    return result;
}

int l4vio_driver_sleep_fault(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep)
{
    const struct l4vio_platform *platform = &driver->platform;
    const struct l4vio_transport *transport = &driver->transport;
    int result = l4vio_driver_device_fault(driver);
    /* We may have drained what others wait for to learn of the failure. */
    if (result == L4VIO_EIO && !sleep->config) {
        const struct l4vio_notification *config =
            l4vio_driver_notification(driver, driver->config_notify_index);
        if (config)
            platform->ops->notification_trigger(platform->self, config);
    }
    if (transport->ops->peer_alive(transport->self))
        result = L4VIO_EPIPE;
    if (result)
        return result;
    /*
     * A config notification without a failure is for whoever waits for configuration changes: it is
     * left pending, and as it would now end every sleep at once, looked for in slices.
     */
    if (sleep->config && !config_left_pending(driver) &&
        platform->ops->wait(platform->self, sleep->config, 1, L4VIO_NO_HANDLE, 0) == L4VIO_OK)
        __atomic_store_n(&driver->config_pending, 1, __ATOMIC_RELAXED);
    return L4VIO_OK;
}
