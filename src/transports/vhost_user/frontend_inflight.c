/* SPDX-License-Identifier: MIT */
/*
 * The back end's record of requests in flight: memory that it makes, that we keep while it may be gone, and
 * hand to its successor. We look into none of it.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transports/vhost_user/frontend.h"

static const struct l4vio_frontend_reply record_reply = {
    .size_min = VHOST_USER_INFLIGHT_BYTES_MIN,
    .size_max = VHOST_USER_INFLIGHT_BYTES,
    .may_be_empty = true,
    .with_fd = true,
};

void l4vio_frontend_drop_inflight(struct l4vio_vhost_user *frontend)
{
    struct l4vio_frontend_inflight *inflight = &frontend->inflight;

    if (inflight->fd >= 0)
        l4vio_socket_close_foreign(inflight->fd);
    *inflight = (struct l4vio_frontend_inflight){.fd = -1};
}

/*
 * What is handed on has to be what it claims to be: memory, and as much as it says. Only files in memory have
 * seals, and only of them it is sure that fstat does not wait for somebody, who may be the back end.
 */
static bool is_memory(int fd, const struct vhost_user_inflight *wire)
{
    struct stat status;

    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    uint64_t size = (uint64_t)status.st_size;
    return wire->mmap_size != 0 && wire->mmap_offset <= size &&
           wire->mmap_size <= size - wire->mmap_offset;
}

static int get_record(struct l4vio_vhost_user *frontend, uint16_t queue_size, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_GET_INFLIGHT_FD);
    const uint16_t queues = (uint16_t)frontend->info.queue_count;

    message.header.size = VHOST_USER_INFLIGHT_BYTES;
    message.u.inflight.num_queues = queues;
    message.u.inflight.queue_size = queue_size;
    int result = l4vio_frontend_ask(frontend, &message, &record_reply, deadline_ns, error);
    if (result < 0)
        return result;
    if (message.header.size == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "the back end has no record for queues of this size",
                          queue_size);
    const struct vhost_user_inflight *wire = &message.u.inflight;
    int fd = l4vio_socket_take_fd(&message.fds);
    if (wire->num_queues != queues || wire->queue_size != queue_size || !is_memory(fd, wire)) {
        l4vio_socket_close_foreign(fd);
        return l4vio_frontend_give_up(frontend, L4VIO_EBADPROTO,
                                      "the back end's record of requests is not valid",
                                      wire->mmap_size, error);
    }
    l4vio_frontend_drop_inflight(frontend);
    frontend->inflight.wire = *wire;
    frontend->inflight.fd = fd;
    return L4VIO_OK;
}

static int set_record(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    struct l4vio_frontend_inflight *inflight = &frontend->inflight;
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_SET_INFLIGHT_FD);

    message.header.size = VHOST_USER_INFLIGHT_BYTES;
    message.u.inflight = inflight->wire;
    message.u.inflight.padding = 0;
    message.fds.fd[0] = inflight->fd;
    message.fds.count = 1;
    int result = l4vio_frontend_tell(frontend, &message, deadline_ns, error);
    if (result == L4VIO_OK)
        inflight->told = true;
    return result;
}

static bool any_known(const struct l4vio_vhost_user *frontend)
{
    for (uint32_t i = 0; i < frontend->info.queue_count; i++) {
        if (frontend->rings[i].known)
            return true;
    }
    return false;
}

/* The record is there. Whether this queue may be in it. */
static int check_record(const struct l4vio_vhost_user *frontend, uint32_t queue,
                        const struct l4vio_queue_setup *setup, struct l4vio_error *error)
{
    const struct l4vio_frontend_inflight *inflight = &frontend->inflight;

    if (setup->size > inflight->wire.queue_size)
        return l4vio_fail(error, L4VIO_EINVAL,
                          "the queue is larger than the record of requests allows",
                          inflight->wire.queue_size);
    if (setup->resumes && !inflight->resumed)
        return l4vio_fail(error, L4VIO_EINVAL, "there is no record of this queue's requests",
                          queue);
    /* The record would have the back end carry out what is not in a new ring. */
    if (!setup->resumes && inflight->resumed && !frontend->rings[queue].known)
        return l4vio_fail(error, L4VIO_EINVAL, "the other queues go on, so this one has to", queue);
    return L4VIO_OK;
}

int l4vio_frontend_prepare_inflight(struct l4vio_vhost_user *frontend, uint32_t queue,
                                    const struct l4vio_queue_setup *setup, uint64_t deadline_ns,
                                    struct l4vio_error *error)
{
    struct l4vio_frontend_inflight *inflight = &frontend->inflight;
    int result = L4VIO_OK;

    if (!l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
        return setup->resumes ? l4vio_fail(error, L4VIO_ENOSYS,
                                           "the back end has no record of requests", queue)
                              : L4VIO_OK;
    if (!setup->resumes && !any_known(frontend) &&
        (!inflight->told || setup->size > inflight->wire.queue_size)) {
        inflight->told = false;
        result = get_record(frontend, setup->size, deadline_ns, error);
    }
    if (result == L4VIO_OK)
        result = check_record(frontend, queue, setup, error);
    if (result == L4VIO_OK && !inflight->told)
        result = set_record(frontend, deadline_ns, error);
    return result;
}
