/* SPDX-License-Identifier: MIT */
#include "host/session.h"

#include <poll.h>
#include <time.h>

#include "core/ordering.h"

/* Looks at the rings between two looks at the clock. */
#define LOOKS_PER_CLOCK 32u
/* Time between two looks at the health of the devices while spinning. */
#define CHECK_NS UINT64_C(1000000)

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

/* A device that is gone or failed will not wake anybody any more. */
static int health(struct l4vio_session *session)
{
    const struct l4vio_transport *transport = &session->block.driver.transport;
    if (transport->ops->peer_alive(transport->self) < 0)
        return L4VIO_EPIPE;
    return l4vio_driver_fail_state(&session->block.driver) ? L4VIO_EIO : L4VIO_OK;
}

static bool all_healthy(struct l4vio_session *const *sessions, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        if (health(sessions[i]) < 0)
            return false;
    return true;
}

static void disarm(struct l4vio_session *const *sessions, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            l4vio_queue_disarm(&sessions[i]->queues[q]);
}

static bool look_often(struct l4vio_session *const *sessions, unsigned count)
{
    for (unsigned i = 0; i < LOOKS_PER_CLOCK; ++i) {
        if (any_used(sessions, count))
            return true;
        l4vio_relax();
    }
    return false;
}

/* By the mode and the experience of the first session's first queue; as in core/driver_wait.c. */
static bool spin(struct l4vio_session *const *sessions, unsigned count, uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &sessions[0]->platform;
    struct l4vio_driver *driver = &sessions[0]->block.driver;
    struct l4vio_spin *experience =
        &driver->notifications[sessions[0]->queues[0].driver_notify_index].spin;
    uint64_t span_ns = l4vio_spin_begin(experience);
    if (span_ns == 0)
        return false;
    disarm(sessions, count);
    bool found = look_often(sessions, count);
    uint64_t start = found ? 0 : platform->ops->now_ns(platform->self);
    uint64_t now = start;
    uint64_t check = start + CHECK_NS;
    while (!found && now < deadline_ns && now - start < span_ns) {
        if (now >= check && !all_healthy(sessions, count))
            return false;
        if (now >= check)
            check = now + CHECK_NS;
        found = look_often(sessions, count);
        if (!found)
            now = platform->ops->now_ns(platform->self);
    }
    if (found)
        l4vio_spin_found(experience, now - start);
    else if (now < deadline_ns)
        l4vio_spin_failed(experience);
    return found;
}

static bool arm(struct l4vio_session *const *sessions, unsigned count)
{
    bool used = false;
    for (unsigned i = 0; i < count; ++i)
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            used |= l4vio_queue_arm(&sessions[i]->queues[q]);
    return used;
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

/* What a failure without a notification, or one that came before we slept, leaves: the status. */
static bool any_failed(struct l4vio_session *const *sessions, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        if (l4vio_driver_fail_state(&sessions[i]->block.driver))
            return true;
    return false;
}

static int come_back(struct l4vio_session *session, uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &session->platform;
    /* The time runs from when it was missed, however many calls wait for it. */
    if (!session->reconnect_end_ns)
        session->reconnect_end_ns =
            l4vio_driver_deadline(&session->block.driver, session->options.reconnect_ns);
    uint64_t end_ns = session->reconnect_end_ns;
    int result =
        l4vio_block_reconnect(&session->block, deadline_ns < end_ns ? deadline_ns : end_ns, NULL);
    if (result == L4VIO_OK)
        session->reconnect_end_ns = 0;
    if (result == L4VIO_ETIMEDOUT && platform->ops->now_ns(platform->self) >= end_ns)
        return L4VIO_EPIPE;
    return result;
}

int l4vio_session_wait(struct l4vio_session *const *sessions, unsigned count, uint64_t deadline_ns)
{
    if (count == 0 || count > L4VIO_SESSION_WAIT_MAX)
        return L4VIO_EINVAL;
    if (any_used(sessions, count) || spin(sessions, count, deadline_ns) || arm(sessions, count))
        return L4VIO_OK;
    int result = L4VIO_OK;
    if (!any_failed(sessions, count))
        result = sleep_until(sessions, count, deadline_ns);
    for (unsigned i = 0; i < count; ++i)
        for (uint32_t q = 0; q < sessions[i]->block.queue_count; ++q)
            l4vio_session_drain(sessions[i], q);
    /* While the caller takes completions, further notifications would be for nothing. */
    disarm(sessions, count);
    for (unsigned i = 0; i < count && !any_used(sessions, count); ++i) {
        int sick = health(sessions[i]);
        if (sick == L4VIO_EPIPE && sessions[i]->options.reconnect_ns)
            return come_back(sessions[i], deadline_ns);
        if (sick < 0)
            return any_used(sessions, count) ? L4VIO_OK : sick;
    }
    return result;
}
