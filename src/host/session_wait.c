/* SPDX-License-Identifier: MIT */
#include "host/session.h"

#include <poll.h>
#include <time.h>

static const struct l4vio_notification *queue_notification(const struct l4vio_session *session,
                                                           uint32_t queue)
{
    return l4vio_driver_notification(&session->block.driver,
                                     session->queues[queue].driver_notify_index);
}

int l4vio_session_queue_fd(const struct l4vio_session *session, uint32_t queue)
{
    if (!session->is_block || queue >= session->block.queue_count)
        return L4VIO_ERANGE;
    const struct l4vio_notification *notification = queue_notification(session, queue);
    return notification ? (int)notification->handle : L4VIO_ERANGE;
}

void l4vio_session_drain(struct l4vio_session *session, uint32_t queue)
{
    if (session->is_block && queue < session->block.queue_count)
        l4vio_driver_drain_notification(&session->block.driver,
                                        session->queues[queue].driver_notify_index);
}

static bool any_used(struct l4vio_session *const *sessions, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            if (l4vio_queue_has_used(&sessions[i]->queues[q]))
                return true;
    return false;
}

static bool spin(struct l4vio_session *const *sessions, unsigned count, uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &sessions[0]->platform;
    uint64_t span_ns = sessions[0]->options.spin_ns;
    if (!span_ns)
        return false;
    uint64_t now = platform->ops->now_ns(platform->self);
    uint64_t end = span_ns < deadline_ns - now ? now + span_ns : deadline_ns;
    do {
        if (any_used(sessions, count))
            return true;
    } while (platform->ops->now_ns(platform->self) < end);
    return false;
}

static bool arm(struct l4vio_session *const *sessions, unsigned count)
{
    bool used = false;
    for (unsigned i = 0; i < count; ++i)
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            used |= l4vio_queue_arm(&sessions[i]->queues[q]);
    return used;
}

/* A device that is gone or failed will not wake anybody any more. */
static int health(struct l4vio_session *session)
{
    const struct l4vio_transport *transport = &session->block.driver.transport;
    if (transport->ops->peer_alive(transport->self) < 0)
        return L4VIO_EPIPE;
    return l4vio_driver_fail_state(&session->block.driver) ? L4VIO_EIO : L4VIO_OK;
}

static unsigned add_handle(struct pollfd *fds, unsigned count, intptr_t handle, short events)
{
    if (handle < 0)
        return count;
    fds[count] = (struct pollfd){.fd = (int)handle, .events = events};
    return count + 1;
}

static int sleep_until(struct l4vio_session *const *sessions, unsigned count, uint64_t deadline_ns)
{
    struct pollfd fds[L4VIO_SESSION_WAIT_MAX * (L4VIO_BLOCK_QUEUES_MAX + 1u)];
    unsigned used = 0;
    for (unsigned i = 0; i < count; ++i) {
        /* Only its end counts: a device that talks out of turn must not keep us awake. */
        used =
            add_handle(fds, used, l4vio_driver_peer_handle(&sessions[i]->block.driver), POLLRDHUP);
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            used = add_handle(fds, used, l4vio_session_queue_fd(sessions[i], q), POLLIN);
    }
    const struct l4vio_platform *platform = &sessions[0]->platform;
    uint64_t now = platform->ops->now_ns(platform->self);
    if (now >= deadline_ns)
        return L4VIO_ETIMEDOUT;
    struct timespec left = {
        .tv_sec = (time_t)((deadline_ns - now) / UINT64_C(1000000000)),
        .tv_nsec = (long)((deadline_ns - now) % UINT64_C(1000000000)),
    };
    int ready = ppoll(fds, used, deadline_ns == L4VIO_FOREVER ? NULL : &left, NULL);
    return ready == 0 ? L4VIO_ETIMEDOUT : L4VIO_OK;
}

int l4vio_session_wait(struct l4vio_session *const *sessions, unsigned count, uint64_t deadline_ns)
{
    if (count == 0 || count > L4VIO_SESSION_WAIT_MAX)
        return L4VIO_EINVAL;
    if (any_used(sessions, count) || spin(sessions, count, deadline_ns) || arm(sessions, count))
        return L4VIO_OK;
    for (unsigned i = 0; i < count; ++i) {
        int result = health(sessions[i]);
        if (result < 0)
            return any_used(sessions, count) ? L4VIO_OK : result;
    }
    int result = sleep_until(sessions, count, deadline_ns);
    for (unsigned i = 0; i < count; ++i)
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            l4vio_session_drain(sessions[i], q);
    return result;
}
