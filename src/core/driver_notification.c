/* SPDX-License-Identifier: MIT */
#include "core/driver_private.h"

int l4vio_driver_fetch_notification(struct l4vio_driver *driver, uint32_t index,
                                    struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (index >= driver->notification_count)
        return l4vio_fail(error, L4VIO_ERANGE, "no room for this notification index", index);
    struct l4vio_driver_notification *notification = &driver->notifications[index];
    if (notification->fetched)
        return L4VIO_OK;
    struct l4vio_notification object = {.handle = L4VIO_NO_HANDLE};
    int result = transport->ops->get_notification(transport->self, index, &object,
                                                  l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return result;
    notification->to_device = object;
    notification->fetched = true;
    return L4VIO_OK;
}

static int bind(struct l4vio_driver *driver, uint32_t index,
                const struct l4vio_notification *object, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = transport->ops->bind_notification(transport->self, index, object,
                                                   l4vio_driver_control_deadline(driver), error);
    return l4vio_driver_outcome(driver, result);
}

/* Creates the object of an index if there is none yet, then tells the device of it. */
static int open_one(struct l4vio_driver *driver, uint32_t index, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &driver->platform;
    struct l4vio_driver_notification *notification = &driver->notifications[index];
    bool of_caller = notification->bound && !notification->managed;
    if (!of_caller && !notification->managed) {
        if (!driver->manage)
            return L4VIO_OK;
        int result =
            platform->ops->notification_create(platform->self, &notification->from_device, error);
        if (result)
            return result;
        notification->managed = true;
    }
    int result = bind(driver, index, &notification->from_device, error);
    if (result == L4VIO_OK)
        notification->bound = true;
    return result;
}

int l4vio_driver_open_notifications(struct l4vio_driver *driver, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = l4vio_driver_fetch_notification(driver, 0, error);
    for (uint32_t i = 0; result == L4VIO_OK && i < driver->notification_count; i++)
        result = open_one(driver, i, error);
    if (result)
        return result;
    driver->config_pending = 0;
    if (driver->config_notify_index >= driver->notification_count && driver->manage)
        return l4vio_fail(error, L4VIO_EINVAL, "no notification for configuration changes",
                          driver->config_notify_index);
    result = transport->ops->set_config_notify(transport->self, driver->config_notify_index, 0);
    if (l4vio_driver_outcome(driver, result))
        return l4vio_fail(error, result, "the notification for configuration changes was refused",
                          driver->config_notify_index);
    return L4VIO_OK;
}

void l4vio_driver_release_notification(struct l4vio_driver *driver,
                                       struct l4vio_notification *notification)
{
    const struct l4vio_transport *transport = &driver->transport;
    const struct l4vio_platform *platform = &driver->platform;
    if (notification->handle == L4VIO_NO_HANDLE)
        return;
    if (transport->ops->release_notification)
        transport->ops->release_notification(transport->self, notification);
    else
        platform->ops->notification_destroy(platform->self, notification);
    notification->handle = L4VIO_NO_HANDLE;
}

void l4vio_driver_drop_fetched(struct l4vio_driver *driver)
{
    for (unsigned i = 0; i < driver->notification_count; i++) {
        struct l4vio_driver_notification *notification = &driver->notifications[i];
        l4vio_driver_release_notification(driver, &notification->to_device);
        notification->fetched = false;
    }
}

/* Destroys the object that we wait for, if it is ours to destroy, and the means of waiting. */
static void close_from_device(struct l4vio_driver *driver,
                              struct l4vio_driver_notification *notification)
{
    const struct l4vio_platform *platform = &driver->platform;
    if (platform->ops->waiter_close)
        platform->ops->waiter_close(platform->self, &notification->waiter);
    if (notification->managed)
        platform->ops->notification_destroy(platform->self, &notification->from_device);
}

void l4vio_driver_close_waiters(struct l4vio_driver *driver)
{
    const struct l4vio_platform *platform = &driver->platform;
    for (unsigned i = 0; platform->ops->waiter_close && i < driver->notification_count; i++)
        platform->ops->waiter_close(platform->self, &driver->notifications[i].waiter);
}

void l4vio_driver_close_notifications(struct l4vio_driver *driver)
{
    l4vio_driver_drop_fetched(driver);
    for (unsigned i = 0; i < driver->notification_count; i++) {
        struct l4vio_driver_notification *notification = &driver->notifications[i];
        close_from_device(driver, notification);
        notification->from_device.handle = L4VIO_NO_HANDLE;
        notification->managed = false;
        notification->bound = false;
    }
}

static void keep_bound(struct l4vio_driver *driver, uint32_t index,
                       const struct l4vio_notification *object)
{
    if (index >= driver->notification_count)
        return;
    struct l4vio_driver_notification *notification = &driver->notifications[index];
    close_from_device(driver, notification);
    notification->from_device = *object;
    notification->managed = false;
    notification->bound = true;
}

int l4vio_driver_bind_notification(struct l4vio_driver *driver, uint32_t index,
                                   const struct l4vio_notification *notification,
                                   struct l4vio_error *error)
{
    if (notification->handle == L4VIO_NO_HANDLE)
        return l4vio_fail(error, L4VIO_EINVAL, "an empty notification", index);
    l4vio_driver_lock(driver);
    int result = l4vio_driver_check_usable(driver, error);
    if (result == L4VIO_OK && index >= driver->identity.notification_count)
        result =
            l4vio_fail(error, L4VIO_ERANGE, "the device has no such notification index", index);
    if (result == L4VIO_OK)
        result = bind(driver, index, notification, error);
    if (result == L4VIO_OK)
        keep_bound(driver, index, notification);
    l4vio_driver_unlock(driver);
    return result;
}

const struct l4vio_notification *l4vio_driver_notification(const struct l4vio_driver *driver,
                                                           uint32_t index)
{
    if (driver->state == L4VIO_DRIVER_CLOSED || index >= driver->notification_count)
        return NULL;
    const struct l4vio_driver_notification *notification = &driver->notifications[index];
    return notification->managed ? &notification->from_device : NULL;
}

intptr_t l4vio_driver_peer_handle(const struct l4vio_driver *driver)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (l4vio_driver_unconnected(driver))
        return L4VIO_NO_HANDLE;
    return transport->ops->peer_handle(transport->self);
}

int l4vio_driver_drain_notification(struct l4vio_driver *driver, uint32_t index)
{
    const struct l4vio_platform *platform = &driver->platform;
    const struct l4vio_notification *notification = l4vio_driver_notification(driver, index);
    if (!notification)
        return L4VIO_EEXIST;
    /* Before draining, so that what arrives afterwards is waited for again. */
    if (index == driver->config_notify_index)
        __atomic_store_n(&driver->config_pending, 0, __ATOMIC_RELAXED);
    return platform->ops->notification_drain(platform->self, notification);
}
