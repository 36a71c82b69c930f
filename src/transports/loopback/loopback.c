/* SPDX-License-Identifier: MIT */
#include <l4vio/loopback.h>

#include "core/bytes.h"

static int gone(struct l4vio_error *error)
{
    return l4vio_fail(error, L4VIO_EPIPE, "the peer is gone", 0);
}

/* What another thread may ask while a test kills the peer. */
static bool is_dead(const struct l4vio_loopback *loopback)
{
    return __atomic_load_n(&loopback->dead, __ATOMIC_RELAXED);
}

static void enter(struct l4vio_loopback *loopback)
{
    if (loopback->lock)
        loopback->lock(loopback->lock_self);
}

static void leave(struct l4vio_loopback *loopback)
{
    if (loopback->unlock)
        loopback->unlock(loopback->lock_self);
}

static int set_status(void *self, uint32_t status, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    enter(loopback);
    int result = l4vio_device_page_set_status(loopback->page, status);
    leave(loopback);
    return result ? l4vio_fail(error, result, "the device refused the status", status) : L4VIO_OK;
}

static int config_queue(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    enter(loopback);
    int result = l4vio_device_page_config_queue(loopback->page, queue, error);
    leave(loopback);
    return result;
}

static int register_ds(void *self, const struct l4vio_dataspace *dataspace, uint64_t base,
                       uint64_t offset_bytes, uint64_t size_bytes, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    if (!dataspace->base)
        return l4vio_fail(error, L4VIO_EINVAL, "a dataspace that is not mapped", 0);
    if (offset_bytes > dataspace->size_bytes || size_bytes > dataspace->size_bytes - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the dataspace", offset_bytes);
    struct l4vio_device_region region = {.device_address = base,
                                         .size_bytes = size_bytes,
                                         .base = (unsigned char *)dataspace->base + offset_bytes};
    enter(loopback);
    int result = l4vio_device_add_region(loopback->page->config.device, &region, error);
    leave(loopback);
    return result;
}

static int unregister_ds(void *self, uint64_t base, uint64_t size_bytes, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    enter(loopback);
    int result = l4vio_device_remove_region(loopback->page->config.device, base, size_bytes);
    leave(loopback);
    return result ? l4vio_fail(error, result, "the device does not give this memory back", base)
                  : L4VIO_OK;
}

static int reset_queue(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    enter(loopback);
    int result = l4vio_device_reset_queue(loopback->page->config.device, queue);
    leave(loopback);
    return result ? l4vio_fail(error, result, "the device does not reset this queue", queue)
                  : L4VIO_OK;
}

static int device_config(void *self, struct l4vio_dataspace *dataspace, uint64_t *offset_bytes,
                         uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    *dataspace = loopback->page_dataspace;
    *offset_bytes = 0;
    return L4VIO_OK;
}

static int check_index(const struct l4vio_loopback *loopback, uint32_t index,
                       struct l4vio_error *error)
{
    if (index < loopback->notification_count)
        return L4VIO_OK;
    return l4vio_fail(error, L4VIO_ERANGE, "the device has no such notification index", index);
}

static int device_notification(void *self, uint32_t index, struct l4vio_notification *out,
                               uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    int result = check_index(loopback, index, error);
    if (result == L4VIO_OK)
        *out = loopback->to_device[index];
    return result;
}

/* Only lent: it stays until the loopback itself ends. */
static void release_notification(void *self, struct l4vio_notification *notification)
{
    (void)self;
    notification->handle = L4VIO_NO_HANDLE;
}

static int icu_info(void *self, uint32_t *count, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    *count = loopback->notification_count;
    return L4VIO_OK;
}

static int icu_bind(void *self, uint32_t index, const struct l4vio_notification *notification,
                    uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    if (is_dead(loopback))
        return gone(error);
    int result = check_index(loopback, index, error);
    if (result)
        return result;
    enter(loopback);
    loopback->to_driver[index] = *notification;
    leave(loopback);
    return L4VIO_OK;
}

static int kick(void *self, uint32_t queue, uint32_t data)
{
    struct l4vio_loopback *loopback = self;
    if (is_dead(loopback))
        return L4VIO_EPIPE;
    /* No lock: a device at work does not keep a kick waiting. */
    l4vio_device_kicked(loopback->page->config.device, queue, data);
    return L4VIO_OK;
}

static int peer_alive(void *self)
{
    return is_dead(self) ? L4VIO_EPIPE : L4VIO_OK;
}

static intptr_t peer_handle(void *self)
{
    (void)self;
    return L4VIO_NO_HANDLE;
}

/* What a device does when its driver goes away: the driver's memory and objects are its own again. */
static void close(void *self)
{
    struct l4vio_loopback *loopback = self;
    enter(loopback);
    l4vio_device_reset(loopback->page->config.device);
    for (uint32_t i = 0; i < loopback->notification_count; i++)
        loopback->to_driver[i].handle = L4VIO_NO_HANDLE;
    leave(loopback);
}

static const struct l4vio_l4_calls loopback_calls = {
    .set_status = set_status,
    .config_queue = config_queue,
    .register_ds = register_ds,
    .device_config = device_config,
    .device_notification = device_notification,
    .release_notification = release_notification,
    .icu_info = icu_info,
    .icu_bind = icu_bind,
    .unregister_ds = unregister_ds,
    .reset_queue = reset_queue,
    .kick = kick,
    .peer_alive = peer_alive,
    .peer_handle = peer_handle,
    .close = close,
};

static int check(const struct l4vio_dataspace *page_dataspace, uint32_t notification_count,
                 struct l4vio_error *error)
{
    if (!page_dataspace->base || page_dataspace->size_bytes < L4VIO_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "no room for the config page",
                          page_dataspace->size_bytes);
    if (notification_count == 0 || notification_count > L4VIO_LOOPBACK_NOTIFICATIONS_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "number of notifications not from 1 to 66",
                          notification_count);
    return L4VIO_OK;
}

static int create_objects(struct l4vio_loopback *loopback, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &loopback->platform;
    for (uint32_t i = 0; i < loopback->notification_count; i++) {
        loopback->to_driver[i].handle = L4VIO_NO_HANDLE;
        loopback->to_device[i].handle = L4VIO_NO_HANDLE;
    }
    for (uint32_t i = 0; i < loopback->notification_count; i++) {
        int result =
            platform->ops->notification_create(platform->self, &loopback->to_device[i], error);
        if (result) {
            l4vio_loopback_end(loopback);
            return result;
        }
    }
    return L4VIO_OK;
}

int l4vio_loopback_init(struct l4vio_loopback *loopback, struct l4vio_device_page *page,
                        const struct l4vio_dataspace *page_dataspace, uint32_t notification_count,
                        const struct l4vio_platform *platform, struct l4vio_transport *transport,
                        struct l4vio_error *error)
{
    memset(loopback, 0, sizeof(*loopback));
    int result = check(page_dataspace, notification_count, error);
    if (result)
        return result;
    loopback->page = page;
    loopback->platform = *platform;
    loopback->page_dataspace = *page_dataspace;
    loopback->notification_count = notification_count;
    result = create_objects(loopback, error);
    if (result)
        return result;
    *transport = l4vio_l4_init(&loopback->l4, &loopback_calls, loopback, platform);
    return L4VIO_OK;
}

void l4vio_loopback_end(struct l4vio_loopback *loopback)
{
    const struct l4vio_platform *platform = &loopback->platform;
    for (uint32_t i = 0; i < loopback->notification_count; i++) {
        if (loopback->to_device[i].handle != L4VIO_NO_HANDLE)
            platform->ops->notification_destroy(platform->self, &loopback->to_device[i]);
    }
    loopback->notification_count = 0;
}

void l4vio_loopback_trigger(void *self, uint32_t index)
{
    struct l4vio_loopback *loopback = self;
    const struct l4vio_platform *platform = &loopback->platform;
    if (is_dead(loopback) || index >= loopback->notification_count ||
        loopback->to_driver[index].handle == L4VIO_NO_HANDLE)
        return;
    platform->ops->notification_trigger(platform->self, &loopback->to_driver[index]);
}

const struct l4vio_notification *l4vio_loopback_kick_object(const struct l4vio_loopback *loopback,
                                                            uint32_t index)
{
    return index < loopback->notification_count ? &loopback->to_device[index] : NULL;
}
