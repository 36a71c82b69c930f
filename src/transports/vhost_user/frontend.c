/* SPDX-License-Identifier: MIT */
/* vhost-user as a transport: the operations, and those of them that need no message. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/vhost_user/frontend.h"

/* No back end says how large its queues may be; QEMU's go up to here. */
#define QUEUE_SIZE_DEFAULT 1024

static int no_queue(uint32_t queue, struct l4vio_error *error)
{
    return l4vio_fail(error, L4VIO_ERANGE, "the device has no such queue", queue);
}

static int set_features(void *self, const struct l4vio_features *accepted,
                        struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;

    for (unsigned i = 2; i < L4VIO_FEATURE_WORDS; i++) {
        if (accepted->word[i])
            return l4vio_fail(error, L4VIO_EINVAL, "more feature bits than the protocol has",
                              accepted->word[i]);
    }
    frontend->accepted = *accepted;
    return L4VIO_OK;
}

static int queue_size_max(void *self, uint32_t queue, struct l4vio_error *error)
{
    const struct l4vio_vhost_user *frontend = self;

    if (queue >= frontend->info.queue_count)
        return no_queue(queue, error);
    return frontend->options.queue_size_max ? (int)frontend->options.queue_size_max
                                            : QUEUE_SIZE_DEFAULT;
}

static int device_notify_index(void *self, uint32_t queue, struct l4vio_error *error)
{
    const struct l4vio_vhost_user *frontend = self;

    return queue < frontend->info.queue_count ? (int)queue : no_queue(queue, error);
}

/* The index after the last queue's is of the configuration: the back end wants to hear nothing of it. */
static int get_notification(void *self, uint32_t index, struct l4vio_notification *out,
                            uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    (void)deadline_ns;

    out->handle = L4VIO_NO_HANDLE;
    if (index == frontend->info.queue_count)
        return L4VIO_OK;
    if (index > frontend->info.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such notification index", index);
    int result = l4vio_frontend_make_kick(frontend, index, error);
    *out = frontend->rings[index].kick;
    return result;
}

/* They are lent: the back end goes on listening to them. */
static void release_notification(void *self, struct l4vio_notification *notification)
{
    (void)self;
    notification->handle = L4VIO_NO_HANDLE;
}

static int bind_notification(void *self, uint32_t index,
                             const struct l4vio_notification *notification, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    int result = L4VIO_OK;

    if (index > frontend->info.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such notification index", index);
    int fd = fcntl((int)notification->handle, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return l4vio_fail(error, l4vio_linux_code(errno), "a descriptor cannot be duplicated",
                          (uint64_t)errno);
    pthread_mutex_lock(&frontend->lock);
    if (frontend->bound[index] >= 0)
        close(frontend->bound[index]);
    frontend->bound[index] = fd;
    pthread_mutex_unlock(&frontend->lock);
    for (uint32_t i = 0; i < frontend->info.queue_count && result == L4VIO_OK; i++) {
        if (frontend->rings[i].started && frontend->rings[i].call_index == index)
            result = l4vio_frontend_send_call(frontend, i, deadline_ns, error);
    }
    return result;
}

static int set_config_notify(void *self, uint16_t driver_notify_index,
                             uint16_t device_notify_index_of_config)
{
    struct l4vio_vhost_user *frontend = self;
    (void)device_notify_index_of_config;

    if (driver_notify_index > frontend->info.queue_count)
        return L4VIO_ERANGE;
    pthread_mutex_lock(&frontend->lock);
    frontend->config_index = driver_notify_index;
    pthread_mutex_unlock(&frontend->lock);
    return L4VIO_OK;
}

static uint32_t generation(void *self)
{
    struct l4vio_vhost_user *frontend = self;

    return atomic_load(&frontend->generation);
}

static uint32_t acknowledge(void *self)
{
    struct l4vio_vhost_user *frontend = self;
    uint32_t now = atomic_load(&frontend->generation);

    if (atomic_exchange(&frontend->seen_generation, now) == now)
        return L4VIO_INTERRUPT_RING;
    return L4VIO_INTERRUPT_RING | L4VIO_INTERRUPT_CONFIG;
}

static int kick(void *self, uint32_t queue, uint32_t data,
                const struct l4vio_notification *to_device)
{
    const struct l4vio_vhost_user *frontend = self;
    const struct l4vio_platform *platform = &frontend->platform;
    (void)queue;
    (void)data;

    return platform->ops->notification_trigger(platform->self, to_device);
}

static uint32_t config_size(void *self)
{
    const struct l4vio_vhost_user *frontend = self;

    return frontend->info.config_bytes;
}

const struct l4vio_transport_ops l4vio_frontend_ops = {
    .identify = l4vio_frontend_identify,
    .get_status = l4vio_frontend_get_status,
    .set_status = l4vio_frontend_set_status,
    .set_features = set_features,
    .queue_size_max = queue_size_max,
    .device_notify_index = device_notify_index,
    .config_queue = l4vio_frontend_config_queue,
    .reset_queue = l4vio_frontend_reset_queue,
    .map = l4vio_frontend_map,
    .unmap = l4vio_frontend_unmap,
    .bind_notification = bind_notification,
    .get_notification = get_notification,
    .release_notification = release_notification,
    .acknowledge = acknowledge,
    .kick = kick,
    .set_config_notify = set_config_notify,
    .read_config = l4vio_frontend_read_config,
    .write_config = l4vio_frontend_write_config,
    .config_size = config_size,
    .generation = generation,
    .peer_alive = l4vio_frontend_peer_alive,
    .peer_handle = l4vio_frontend_peer_handle,
    .close = l4vio_frontend_close,
    .reconnect = l4vio_frontend_reconnect,
};
