/* SPDX-License-Identifier: MIT */
/* Messages of the front end: one exchange at a time, everything in an answer checked. */
#include <poll.h>
#include <sys/socket.h>

#include "platforms/linux/linux.h"
#include "transports/vhost_user/frontend.h"

#define DEFAULT_TIMEOUT_NS UINT64_C(5000000000)

static const struct l4vio_frontend_reply number_reply = {.size_min = 8, .size_max = 8};

uint64_t l4vio_frontend_deadline(const struct l4vio_vhost_user *frontend)
{
    uint64_t span_ns = frontend->options.timeout_ns;

    return l4vio_linux_deadline(span_ns ? span_ns : DEFAULT_TIMEOUT_NS);
}

struct l4vio_vhost_message l4vio_frontend_number(uint32_t request, uint64_t number)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(request);

    message.header.size = sizeof(message.u.u64);
    message.u.u64 = number;
    return message;
}

struct l4vio_vhost_message l4vio_frontend_state(uint32_t request, uint32_t index, uint32_t num)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(request);

    message.header.size = sizeof(message.u.state);
    message.u.state = (struct vhost_user_vring_state){.index = index, .num = num};
    return message;
}

int l4vio_frontend_give_up(struct l4vio_vhost_user *frontend, int code, const char *text,
                           uint64_t value, struct l4vio_error *error)
{
    atomic_store(&frontend->dead, true);
    /* Whoever sleeps on the peer's end wakes up. */
    shutdown(atomic_load(&frontend->socket), SHUT_RDWR);
    return l4vio_fail(error, code, text, value);
}

/* The stream has no sequence numbers: an answer that comes too late would be taken for another one's. */
static int too_late(struct l4vio_vhost_user *frontend, uint32_t request, struct l4vio_error *error)
{
    return l4vio_frontend_give_up(frontend, L4VIO_ETIMEDOUT, "the back end does not answer",
                                  request, error);
}

static int wait_socket(struct l4vio_vhost_user *frontend, uint32_t request, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct pollfd poll_fd = {.fd = atomic_load(&frontend->socket), .events = POLLIN};
    struct timespec storage;
    int ready = ppoll(&poll_fd, 1, l4vio_linux_timeout(deadline_ns, &storage), NULL);

    return ready == 0 ? too_late(frontend, request, error) : L4VIO_OK;
}

static int gone(struct l4vio_vhost_user *frontend, uint32_t request, struct l4vio_error *error)
{
    return l4vio_frontend_give_up(frontend, L4VIO_EPIPE, "the back end has hung up", request,
                                  error);
}

static int send_request(struct l4vio_vhost_user *frontend,
                        const struct l4vio_vhost_message *message, uint64_t deadline_ns,
                        struct l4vio_error *error)
{
    const uint32_t request = message->header.request;
    int result;

    while ((result = l4vio_vhost_send(atomic_load(&frontend->socket), message)) == L4VIO_EAGAIN) {
        if (!l4vio_socket_await_room(atomic_load(&frontend->socket), deadline_ns))
            return too_late(frontend, request, error);
    }
    return result < 0 ? gone(frontend, request, error) : L4VIO_OK;
}

static int receive_reply(struct l4vio_vhost_user *frontend, uint32_t request, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    int result;

    while ((result = l4vio_vhost_receive(atomic_load(&frontend->socket), &frontend->reader)) ==
           L4VIO_EAGAIN) {
        result = wait_socket(frontend, request, deadline_ns, error);
        if (result < 0)
            return result;
    }
    if (result == L4VIO_EPIPE)
        return gone(frontend, request, error);
    if (result < 0)
        return l4vio_frontend_give_up(frontend, L4VIO_EBADPROTO, "what answers is no back end",
                                      request, error);
    return L4VIO_OK;
}

static bool valid_reply(const struct l4vio_vhost_message *reply, uint32_t request,
                        const struct l4vio_frontend_reply *expected)
{
    const uint32_t size = reply->header.size;
    /* Back ends that copy the flags of the request leave NEED_REPLY in. */
    const uint32_t flags = reply->header.flags & ~VHOST_USER_NEED_REPLY;
    const bool empty = size == 0 && expected->may_be_empty;
    const unsigned fds = expected->with_fd && !empty ? 1 : 0;

    if (reply->header.request != request || flags != (VHOST_USER_VERSION | VHOST_USER_REPLY))
        return false;
    if (!empty && (size < expected->size_min || size > expected->size_max))
        return false;
    return reply->fds.count == fds && !reply->fds.surplus;
}

/* The back end's word is checked before anybody acts on it. */
static int take_reply(struct l4vio_vhost_user *frontend, struct l4vio_vhost_message *message,
                      const struct l4vio_frontend_reply *expected, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    const uint32_t request = message->header.request;
    struct l4vio_vhost_message *reply = &frontend->reader.message;
    int result = receive_reply(frontend, request, deadline_ns, error);

    if (result < 0)
        return result;
    if (reply->fds.lost && expected->with_fd)
        return l4vio_fail(error, L4VIO_ENOMEM, "descriptors have run out", request);
    if (!valid_reply(reply, request, expected)) {
        l4vio_socket_close_fds(&reply->fds);
        return l4vio_frontend_give_up(frontend, L4VIO_EBADPROTO,
                                      "the back end's answer is not valid", request, error);
    }
    *message = *reply;
    reply->fds.count = 0;
    return L4VIO_OK;
}

static int begin(struct l4vio_vhost_user *frontend, uint64_t deadline_ns, struct l4vio_error *error)
{
    if (!l4vio_turn_take(&frontend->turn, deadline_ns))
        return l4vio_fail(error, L4VIO_ETIMEDOUT, "another call is still waiting", 0);
    if (!atomic_load(&frontend->dead))
        return L4VIO_OK;
    l4vio_turn_end(&frontend->turn);
    return l4vio_fail(error, L4VIO_EPIPE, "the back end is gone", 0);
}

int l4vio_frontend_ask(struct l4vio_vhost_user *frontend, struct l4vio_vhost_message *message,
                       const struct l4vio_frontend_reply *expected, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    int result = begin(frontend, deadline_ns, error);

    if (result < 0)
        return result;
    result = send_request(frontend, message, deadline_ns, error);
    if (result == L4VIO_OK)
        result = take_reply(frontend, message, expected, deadline_ns, error);
    l4vio_turn_end(&frontend->turn);
    return result;
}

int l4vio_frontend_ask_number(struct l4vio_vhost_user *frontend, uint32_t request, uint64_t *number,
                              uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(request);
    int result = l4vio_frontend_ask(frontend, &message, &number_reply, deadline_ns, error);

    if (result == L4VIO_OK)
        *number = message.u.u64;
    return result;
}

static int tell_with_ack(struct l4vio_vhost_user *frontend,
                         const struct l4vio_vhost_message *message, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    struct l4vio_vhost_message exchange = *message;
    int result;

    exchange.header.flags |= VHOST_USER_NEED_REPLY;
    result = l4vio_frontend_ask(frontend, &exchange, &number_reply, deadline_ns, error);
    if (result == L4VIO_OK && exchange.u.u64 != 0)
        result = l4vio_fail(error, L4VIO_EINVAL, "the back end refused a message",
                            message->header.request);
    return result;
}

int l4vio_frontend_tell_more(struct l4vio_vhost_user *frontend,
                             const struct l4vio_vhost_message *message, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    if (l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_REPLY_ACK))
        return tell_with_ack(frontend, message, deadline_ns, error);

    int result = begin(frontend, deadline_ns, error);
    if (result < 0)
        return result;
    result = send_request(frontend, message, deadline_ns, error);
    l4vio_turn_end(&frontend->turn);
    return result;
}

int l4vio_frontend_tell(struct l4vio_vhost_user *frontend,
                        const struct l4vio_vhost_message *message, uint64_t deadline_ns,
                        struct l4vio_error *error)
{
    uint64_t features = 0;
    int result = l4vio_frontend_tell_more(frontend, message, deadline_ns, error);

    if (result < 0 || l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_REPLY_ACK))
        return result;
    /* Messages are carried out one after the other: who answers this one is done with the others. */
    return l4vio_frontend_ask_number(frontend, VHOST_USER_GET_FEATURES, &features, deadline_ns,
                                     error);
}

int l4vio_frontend_try_request(struct l4vio_vhost_user *frontend, uint32_t request)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(request);

    if (!l4vio_turn_take(&frontend->turn, 0))
        return L4VIO_EAGAIN;
    int result = L4VIO_EPIPE;
    if (!atomic_load(&frontend->dead))
        result = l4vio_vhost_send(atomic_load(&frontend->socket), &message);
    if (result == L4VIO_OK)
        return result;
    if (result != L4VIO_EAGAIN)
        gone(frontend, request, NULL);
    l4vio_turn_end(&frontend->turn);
    return result;
}

int l4vio_frontend_try_reply(struct l4vio_vhost_user *frontend, uint32_t request, uint64_t *number)
{
    struct l4vio_vhost_message *reply = &frontend->reader.message;
    int result = l4vio_vhost_receive(atomic_load(&frontend->socket), &frontend->reader);

    if (result == L4VIO_EAGAIN)
        return result;
    if (result == L4VIO_OK && !valid_reply(reply, request, &number_reply)) {
        l4vio_socket_close_fds(&reply->fds);
        result = L4VIO_EBADPROTO;
    }
    if (result == L4VIO_OK)
        *number = reply->u.u64;
    else
        l4vio_frontend_give_up(frontend, result, "the back end's answer is not valid", request,
                               NULL);
    l4vio_turn_end(&frontend->turn);
    return result;
}
