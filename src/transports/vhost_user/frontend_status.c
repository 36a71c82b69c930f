/* SPDX-License-Identifier: MIT */
/* The device status: the back end's own where it has one, else what the messages amount to. */
#include <time.h>

#include <l4vio/wire/status.h>

#include "core/bytes.h"
#include "platforms/linux/eventfd.h"
#include "platforms/linux/linux.h"
#include "transports/vhost_user/frontend.h"

/* All bits that a status has room for (VIRTIO 1.4, section 2.1). */
#define STATUS_BITS UINT64_C(0xff)

int l4vio_frontend_get_status(void *self, uint32_t *status)
{
    struct l4vio_vhost_user *frontend = self;

    if (atomic_load(&frontend->socket) < 0)
        return L4VIO_EPIPE;
    *status = atomic_load(&frontend->status);
    if (atomic_load(&frontend->needs_reset))
        *status |= VIRTIO_STATUS_NEEDS_RESET;
    return L4VIO_OK;
}

/* Tells the back end the status and takes over what it makes of it. */
static int exchange_status(struct l4vio_vhost_user *frontend, uint32_t *status,
                           uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct l4vio_vhost_message message =
        l4vio_frontend_number(VHOST_USER_SET_STATUS, *status);
    uint64_t outcome = 0;

    if (!l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_STATUS))
        return L4VIO_OK;
    int result = l4vio_frontend_tell_more(frontend, &message, deadline_ns, error);
    /* What it refused shows in what it has. */
    if (result == L4VIO_OK || result == L4VIO_EINVAL)
        result = l4vio_frontend_ask_number(frontend, VHOST_USER_GET_STATUS, &outcome, deadline_ns,
                                           error);
    if (result < 0)
        return result;
    if (outcome & ~STATUS_BITS)
        return l4vio_frontend_give_up(frontend, L4VIO_EBADPROTO,
                                      "the back end has a status that is none", outcome, error);
    *status = (uint32_t)outcome;
    return L4VIO_OK;
}

/* An error of before the reset is none of after it. */
static void forget_errors(struct l4vio_vhost_user *frontend)
{
    pthread_mutex_lock(&frontend->lock);
    frontend->resets++;
    l4vio_eventfd_drain(frontend->err_fd);
    atomic_store(&frontend->needs_reset, false);
    pthread_mutex_unlock(&frontend->lock);
}

/* A device may take its time for a reset. */
static int await_zero(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    const struct timespec pause = {0, 1000000};
    uint64_t status = 0;

    do {
        if (l4vio_linux_deadline(0) >= deadline_ns)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "the device does not finish its reset",
                              status);
        nanosleep(&pause, NULL);
        int result =
            l4vio_frontend_ask_number(frontend, VHOST_USER_GET_STATUS, &status, deadline_ns, error);
        if (result < 0)
            return result;
    } while (status);
    return L4VIO_OK;
}

/*
 * Every ring is stopped by the message that all back ends know, whatever else they have to say of a reset:
 * some take the status for a note only.
 */
static int reset(struct l4vio_vhost_user *frontend, uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_RESET_DEVICE);
    uint32_t status = 0;
    int result = L4VIO_OK;

    for (uint32_t i = 0; i < frontend->info.queue_count && result == L4VIO_OK; i++) {
        if (frontend->rings[i].started)
            result = l4vio_frontend_stop_ring(frontend, i, deadline_ns, error);
    }
    if (result == L4VIO_OK && frontend->touched &&
        l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
        result = l4vio_frontend_tell(frontend, &message, deadline_ns, error);
    if (result == L4VIO_OK)
        result = exchange_status(frontend, &status, deadline_ns, error);
    if (result == L4VIO_OK && status)
        result = await_zero(frontend, deadline_ns, error);
    if (result < 0)
        return result;
    forget_errors(frontend);
    /* What a back end that is gone has left of requests is for its successor. */
    if (frontend->touched)
        l4vio_frontend_drop_inflight(frontend);
    for (uint32_t i = 0; i < frontend->info.queue_count; i++)
        frontend->rings[i].known = false;
    memset(&frontend->accepted, 0, sizeof(frontend->accepted));
    frontend->touched = false;
    atomic_store(&frontend->status, 0);
    return L4VIO_OK;
}

/* Clears FEATURES_OK in `status` if the back end does not want them. */
static int send_features(struct l4vio_vhost_user *frontend, uint32_t *status, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    const struct l4vio_features *accepted = &frontend->accepted;
    uint64_t features = accepted->word[0] | (uint64_t)accepted->word[1] << 32;

    features |= frontend->info.features & UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
    frontend->touched = true;
    const struct l4vio_vhost_message message =
        l4vio_frontend_number(VHOST_USER_SET_FEATURES, features);
    int result = l4vio_frontend_tell(frontend, &message, deadline_ns, error);
    if (result == L4VIO_EINVAL) {
        *status &= ~VIRTIO_STATUS_FEATURES_OK;
        return L4VIO_OK;
    }
    return result;
}

static int enable_rings(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                        struct l4vio_error *error)
{
    int result = L4VIO_OK;

    for (uint32_t i = 0; i < frontend->info.queue_count && result == L4VIO_OK; i++) {
        if (frontend->rings[i].started)
            result = l4vio_frontend_enable_ring(frontend, i, deadline_ns, error);
    }
    return result;
}

int l4vio_frontend_set_status(void *self, uint32_t status, uint64_t deadline_ns,
                              struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    uint32_t added = status & ~atomic_load(&frontend->status);
    int result = L4VIO_OK;

    if (atomic_load(&frontend->dead))
        return l4vio_fail(error, L4VIO_EPIPE, "the back end is gone", 0);
    if (status == 0)
        return reset(frontend, deadline_ns, error);
    if (added & VIRTIO_STATUS_FEATURES_OK)
        result = send_features(frontend, &status, deadline_ns, error);
    if (result == L4VIO_OK && added & VIRTIO_STATUS_DRIVER_OK)
        result = enable_rings(frontend, deadline_ns, error);
    if (result == L4VIO_OK)
        result = exchange_status(frontend, &status, deadline_ns, error);
    if (result == L4VIO_OK)
        atomic_store(&frontend->status, status);
    return result;
}
