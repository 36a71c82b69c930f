/* SPDX-License-Identifier: MIT */
/* Queues of the front end: set up, started, stopped. */
#include <l4vio/wire/status.h>

#include "transports/vhost_user/frontend.h"

/* Position of a new packed ring: entry 0, and both wrap counters begin with 1. */
#define PACKED_START UINT32_C(0x80008000)

static const struct l4vio_frontend_reply state_reply = {.size_min = 8, .size_max = 8};

int l4vio_frontend_make_kick(struct l4vio_vhost_user *frontend, uint32_t queue,
                             struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &frontend->platform;
    struct l4vio_frontend_ring *ring = &frontend->rings[queue];

    if (ring->kick.handle != L4VIO_NO_HANDLE)
        return L4VIO_OK;
    return platform->ops->notification_create(platform->self, &ring->kick, error);
}

/* A message that passes an eventfd; without one the back end is told that there is none. */
static struct l4vio_vhost_message with_fd(uint32_t request, uint32_t queue, intptr_t fd)
{
    struct l4vio_vhost_message message = l4vio_frontend_number(request, queue);

    if (fd == L4VIO_NO_HANDLE) {
        message.u.u64 |= VHOST_USER_VRING_NOFD;
        return message;
    }
    message.fds.fd[0] = (int)fd;
    message.fds.count = 1;
    return message;
}

int l4vio_frontend_send_call(struct l4vio_vhost_user *frontend, uint32_t queue,
                             uint64_t deadline_ns, struct l4vio_error *error)
{
    intptr_t call = frontend->bound[frontend->rings[queue].call_index];
    const struct l4vio_vhost_message message = with_fd(VHOST_USER_SET_VRING_CALL, queue, call);

    return l4vio_frontend_tell_more(frontend, &message, deadline_ns, error);
}

int l4vio_frontend_enable_ring(struct l4vio_vhost_user *frontend, uint32_t queue,
                               uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct l4vio_vhost_message message =
        l4vio_frontend_state(VHOST_USER_SET_VRING_ENABLE, queue, 1);

    /* Without protocol features a ring is enabled from the start, and the message unknown. */
    if (!(frontend->info.features & UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES))
        return L4VIO_OK;
    return l4vio_frontend_tell(frontend, &message, deadline_ns, error);
}

static uint32_t first_position(const struct l4vio_vhost_user *frontend,
                               const struct l4vio_queue_setup *setup)
{
    bool packed = l4vio_features_has(&frontend->accepted, L4VIO_F_RING_PACKED);

    if (!setup->resumes)
        return packed ? PACKED_START : 0;
    return packed ? setup->used_position * UINT32_C(0x10001) : setup->used_position;
}

static int send_layout(struct l4vio_vhost_user *frontend, uint32_t queue,
                       const struct l4vio_queue_setup *setup, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct l4vio_vhost_message addresses = l4vio_vhost_request(VHOST_USER_SET_VRING_ADDR);
    const struct l4vio_vhost_message messages[] = {
        l4vio_frontend_state(VHOST_USER_SET_VRING_NUM, queue, setup->size),
        l4vio_frontend_state(VHOST_USER_SET_VRING_BASE, queue, first_position(frontend, setup)),
    };
    int result = L4VIO_OK;

    for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]) && result == L4VIO_OK; i++)
        result = l4vio_frontend_tell_more(frontend, &messages[i], deadline_ns, error);
    if (result < 0)
        return result;
    addresses.header.size = sizeof(addresses.u.addr);
    addresses.u.addr = (struct vhost_user_vring_addr){
        .index = queue,
        .desc_user_addr = setup->desc_address,
        .used_user_addr = setup->used_address,
        .avail_user_addr = setup->avail_address,
    };
    return l4vio_frontend_tell_more(frontend, &addresses, deadline_ns, error);
}

/* The kick comes last: with it the ring may be started. */
static int send_descriptors(struct l4vio_vhost_user *frontend, uint32_t queue, uint64_t deadline_ns,
                            struct l4vio_error *error)
{
    const struct l4vio_frontend_ring *ring = &frontend->rings[queue];
    const struct l4vio_vhost_message err =
        with_fd(VHOST_USER_SET_VRING_ERR, queue, frontend->err_fd);
    const struct l4vio_vhost_message kick =
        with_fd(VHOST_USER_SET_VRING_KICK, queue, ring->kick.handle);
    int result = l4vio_frontend_send_call(frontend, queue, deadline_ns, error);

    if (result == L4VIO_OK)
        result = l4vio_frontend_tell_more(frontend, &err, deadline_ns, error);
    if (result == L4VIO_OK)
        result = l4vio_frontend_tell(frontend, &kick, deadline_ns, error);
    return result;
}

int l4vio_frontend_config_queue(void *self, uint32_t queue, const struct l4vio_queue_setup *setup,
                                uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;

    if (queue >= frontend->info.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such queue", queue);
    if (setup->driver_notify_index >= L4VIO_FRONTEND_INDEXES)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such notification index",
                          setup->driver_notify_index);
    struct l4vio_frontend_ring *ring = &frontend->rings[queue];
    if (ring->started)
        return l4vio_fail(error, L4VIO_EINVAL, "the queue is set up already", queue);
    int result = l4vio_frontend_make_kick(frontend, queue, error);
    if (result == L4VIO_OK)
        result = l4vio_frontend_prepare_inflight(frontend, queue, setup, deadline_ns, error);
    if (result < 0)
        return result;

    ring->size = setup->size;
    ring->call_index = setup->driver_notify_index;
    frontend->touched = true;
    result = send_layout(frontend, queue, setup, deadline_ns, error);
    if (result == L4VIO_OK)
        result = send_descriptors(frontend, queue, deadline_ns, error);
    if (result < 0)
        return result;
    ring->started = true;
    ring->known = true;
    if (atomic_load(&frontend->status) & VIRTIO_STATUS_DRIVER_OK)
        result = l4vio_frontend_enable_ring(frontend, queue, deadline_ns, error);
    return result;
}

int l4vio_frontend_stop_ring(struct l4vio_vhost_user *frontend, uint32_t queue,
                             uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_vhost_message message = l4vio_frontend_state(VHOST_USER_GET_VRING_BASE, queue, 0);
    int result = l4vio_frontend_ask(frontend, &message, &state_reply, deadline_ns, error);

    if (result < 0)
        return result;
    if (message.u.state.index != queue)
        return l4vio_frontend_give_up(frontend, L4VIO_EBADPROTO,
                                      "the back end answers for another queue",
                                      message.u.state.index, error);
    frontend->rings[queue].started = false;
    return L4VIO_OK;
}

int l4vio_frontend_reset_queue(void *self, uint32_t queue, uint64_t deadline_ns,
                               struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;

    if (queue >= frontend->info.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "the device has no such queue", queue);
    /* Others answer while requests are still being carried out. */
    if (!l4vio_features_has(&frontend->accepted, L4VIO_F_RING_RESET))
        return l4vio_fail(error, L4VIO_ENOSYS, "one queue alone cannot be reset here", queue);
    if (!frontend->rings[queue].started)
        return L4VIO_OK;
    return l4vio_frontend_stop_ring(frontend, queue, deadline_ns, error);
}
