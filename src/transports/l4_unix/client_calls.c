/* SPDX-License-Identifier: MIT */
/* The calls, client side: one at a time, answers in order, everything in them checked. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/l4_unix/client.h"

/* A call on its way. */
struct exchange {
    struct l4vio_unix_call call;    /* Wire order but for the sequence. */
    int fd;                         /* To pass, or -1. */
    bool returns_fd;                /* A successful answer carries one. */
    struct l4vio_unix_packet reply; /* The answer. */
};

static struct exchange make_exchange(uint32_t opcode, uint32_t argument)
{
    return (struct exchange){
        .call = {.opcode = l4vio_swap32(opcode), .argument = l4vio_swap32(argument)}, .fd = -1};
}

/* From now on every call says L4VIO_EPIPE, and those who wait for the peer wake up. */
static int give_up(struct l4vio_l4_client *client, int code, const char *text,
                   struct l4vio_error *error)
{
    atomic_store(&client->dead, true);
    shutdown(client->socket, SHUT_RDWR);
    return l4vio_fail(error, code, text, 0);
}

static int too_late(struct l4vio_error *error)
{
    return l4vio_fail(error, L4VIO_ETIMEDOUT, "the server does not answer", 0);
}

static int wait_socket(const struct l4vio_l4_client *client, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct pollfd poll_fd = {.fd = client->socket, .events = POLLIN};
    struct timespec storage;
    int ready = ppoll(&poll_fd, 1, l4vio_linux_timeout(deadline_ns, &storage), NULL);

    return ready == 0 ? too_late(error) : L4VIO_OK;
}

/* Receives the next answer that is due; its sequence says whose it is. */
static int receive_reply(struct l4vio_l4_client *client, struct l4vio_unix_packet *packet,
                         uint64_t deadline_ns, struct l4vio_error *error)
{
    int result;

    while ((result = l4vio_unix_receive(client->socket, packet)) == L4VIO_EAGAIN) {
        result = wait_socket(client, deadline_ns, error);
        if (result < 0)
            return result;
    }
    if (result == L4VIO_EPIPE)
        return give_up(client, L4VIO_EPIPE, "the server is gone", error);
    if (result < 0)
        return give_up(client, L4VIO_EBADPROTO, "the server sent an oversized packet", error);
    if (packet->size != sizeof(packet->u.reply) ||
        l4vio_swap32(packet->u.reply.sequence) != client->next_reply) {
        l4vio_socket_close_fds(&packet->fds);
        return give_up(client, L4VIO_EBADPROTO, "the server sent what is no answer", error);
    }
    client->next_reply++;
    return L4VIO_OK;
}

/* Answers to calls that timed out are thrown away; calls are not piled up without end. */
static int make_room(struct l4vio_l4_client *client, uint64_t deadline_ns,
                     struct l4vio_error *error)
{
    struct l4vio_unix_packet stale;

    while (client->next_sequence - client->next_reply >= L4VIO_UNIX_UNANSWERED_MAX) {
        int result = receive_reply(client, &stale, deadline_ns, error);
        if (result < 0)
            return result;
        l4vio_socket_close_fds(&stale.fds);
    }
    return L4VIO_OK;
}

static int send_call(struct l4vio_l4_client *client, const struct exchange *exchange,
                     uint64_t deadline_ns, struct l4vio_error *error)
{
    int result;

    while ((result = l4vio_unix_send(client->socket, &exchange->call, sizeof(exchange->call),
                                     exchange->fd)) == L4VIO_EAGAIN) {
        if (!l4vio_socket_await_room(client->socket, deadline_ns))
            return too_late(error);
    }
    if (result < 0)
        return give_up(client, L4VIO_EPIPE, "the server is gone", error);
    return L4VIO_OK;
}

/* The server's word is checked before anybody acts on it. */
static int check_reply(struct l4vio_l4_client *client, const struct exchange *exchange,
                       struct l4vio_error *error)
{
    const struct l4vio_unix_reply *reply = &exchange->reply.u.reply;
    bool valid = false;
    int result = l4vio_unix_decode_result(l4vio_swap32(reply->result), &valid);
    unsigned fds = exchange->returns_fd && valid && result == 0 ? 1 : 0;

    if (valid && fds && reply->opcode == exchange->call.opcode && exchange->reply.fds.lost)
        return l4vio_fail(error, L4VIO_ENOMEM, "descriptors have run out", 0);
    if (!valid || reply->opcode != exchange->call.opcode || exchange->reply.fds.count != fds)
        return give_up(client, L4VIO_EBADPROTO, "the server's answer is not valid", error);
    if (result < 0)
        return l4vio_fail(error, result, "the device refused the call",
                          l4vio_swap32(reply->opcode));
    return L4VIO_OK;
}

static int run_locked(struct l4vio_l4_client *client, struct exchange *exchange,
                      uint64_t deadline_ns, struct l4vio_error *error)
{
    if (atomic_load(&client->dead) || client->socket < 0)
        return l4vio_fail(error, L4VIO_EPIPE, "the server is gone", 0);
    int result = make_room(client, deadline_ns, error);
    if (result < 0)
        return result;
    uint32_t sequence = client->next_sequence;
    exchange->call.sequence = l4vio_swap32(sequence);
    result = send_call(client, exchange, deadline_ns, error);
    if (result < 0)
        return result;
    client->next_sequence++;
    for (;;) {
        result = receive_reply(client, &exchange->reply, deadline_ns, error);
        if (result < 0)
            return result;
        if (l4vio_swap32(exchange->reply.u.reply.sequence) == sequence)
            break;
        l4vio_socket_close_fds(&exchange->reply.fds);
    }
    result = check_reply(client, exchange, error);
    if (result < 0)
        l4vio_socket_close_fds(&exchange->reply.fds);
    return result;
}

static int run(struct l4vio_l4_client *client, struct exchange *exchange, uint64_t deadline_ns,
               struct l4vio_error *error)
{
    if (!l4vio_turn_take(&client->turn, deadline_ns))
        return l4vio_fail(error, L4VIO_ETIMEDOUT, "another call is still waiting", 0);
    int result = run_locked(client, exchange, deadline_ns, error);
    l4vio_turn_end(&client->turn);
    return result;
}

static int set_status(void *self, uint32_t status, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct exchange exchange = make_exchange(L4VIO_CALL_SET_STATUS, status);
    return run(self, &exchange, deadline_ns, error);
}

static int config_queue(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct exchange exchange = make_exchange(L4VIO_CALL_CONFIG_QUEUE, queue);
    return run(self, &exchange, deadline_ns, error);
}

static int register_ds(void *self, const struct l4vio_dataspace *dataspace, uint64_t base,
                       uint64_t offset_bytes, uint64_t size_bytes, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct exchange exchange = make_exchange(L4VIO_CALL_REGISTER_DS, 0);

    if (dataspace->handle < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "dataspace without a descriptor", 0);
    exchange.call.base = l4vio_swap64(base);
    exchange.call.offset = l4vio_swap64(offset_bytes);
    exchange.call.size = l4vio_swap64(size_bytes);
    exchange.fd = (int)dataspace->handle;
    return run(self, &exchange, deadline_ns, error);
}

static int device_config(void *self, struct l4vio_dataspace *dataspace, uint64_t *offset_bytes,
                         uint64_t deadline_ns, struct l4vio_error *error)
{
    struct exchange exchange = make_exchange(L4VIO_CALL_DEVICE_CONFIG, 0);
    uint64_t size_bytes = 0;

    exchange.returns_fd = true;
    int result = run(self, &exchange, deadline_ns, error);
    if (result < 0)
        return result;
    int fd = l4vio_socket_take_fd(&exchange.reply.fds);
    result = l4vio_linux_check_memfd(fd, &size_bytes, error);
    if (result < 0) {
        l4vio_socket_close_foreign(fd);
        return result;
    }
    dataspace->base = NULL;
    dataspace->size_bytes = size_bytes;
    dataspace->handle = fd;
    *offset_bytes = l4vio_swap64(exchange.reply.u.reply.offset);
    return L4VIO_OK;
}

static int device_notification(void *self, uint32_t index, struct l4vio_notification *out,
                               uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4_client *client = self;
    struct exchange exchange = make_exchange(L4VIO_CALL_DEVICE_NOTIFICATION, index);

    exchange.returns_fd = true;
    int result = run(client, &exchange, deadline_ns, error);
    if (result < 0)
        return result;
    int fd = l4vio_socket_take_fd(&exchange.reply.fds);
    result = l4vio_linux_check_eventfd(fd, error);
    if (result < 0) {
        l4vio_socket_close_foreign(fd);
        return result;
    }
    l4vio_linux_adopt_notification(&client->platform);
    out->handle = fd;
    return L4VIO_OK;
}

static int icu_info(void *self, uint32_t *count, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct exchange exchange = make_exchange(L4VIO_UNIX_ICU_INFO, 0);
    int result = run(self, &exchange, deadline_ns, error);

    if (result == L4VIO_OK)
        *count = l4vio_swap32(exchange.reply.u.reply.value);
    return result;
}

static int icu_bind(void *self, uint32_t index, const struct l4vio_notification *notification,
                    uint64_t deadline_ns, struct l4vio_error *error)
{
    struct exchange exchange = make_exchange(L4VIO_UNIX_ICU_BIND, index);

    if (notification->handle < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "notification without a descriptor", index);
    exchange.fd = (int)notification->handle;
    return run(self, &exchange, deadline_ns, error);
}

static int unregister_ds(void *self, uint64_t base, uint64_t size_bytes, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    struct l4vio_l4_client *client = self;
    struct exchange exchange = make_exchange(L4VIO_UNIX_UNREGISTER_DS, 0);

    if (!(client->extensions & L4VIO_UNIX_EXTENSION_UNREGISTER))
        return l4vio_fail(error, L4VIO_ENOSYS, "the server cannot take memory back", 0);
    exchange.call.base = l4vio_swap64(base);
    exchange.call.size = l4vio_swap64(size_bytes);
    return run(client, &exchange, deadline_ns, error);
}

static int reset_queue(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4_client *client = self;
    struct exchange exchange = make_exchange(L4VIO_UNIX_RESET_QUEUE, queue);

    if (!(client->extensions & L4VIO_UNIX_EXTENSION_RESET_QUEUE))
        return l4vio_fail(error, L4VIO_ENOSYS, "the server cannot reset one queue", 0);
    return run(client, &exchange, deadline_ns, error);
}

static int peer_alive(void *self)
{
    struct l4vio_l4_client *client = self;
    struct pollfd poll_fd = {.fd = client->socket, .events = POLLRDHUP};

    if (atomic_load(&client->dead) || client->socket < 0)
        return L4VIO_EPIPE;
    if (poll(&poll_fd, 1, 0) <= 0)
        return L4VIO_OK;
    atomic_store(&client->dead, true);
    return L4VIO_EPIPE;
}

static intptr_t peer_handle(void *self)
{
    const struct l4vio_l4_client *client = self;
    return client->socket < 0 ? L4VIO_NO_HANDLE : (intptr_t)client->socket;
}

static void close_connection(void *self)
{
    struct l4vio_l4_client *client = self;

    atomic_store(&client->dead, true);
    if (client->socket >= 0)
        l4vio_socket_hang_up(client->socket);
    client->socket = -1;
}

const struct l4vio_l4_calls l4vio_l4_client_calls = {
    .set_status = set_status,
    .config_queue = config_queue,
    .register_ds = register_ds,
    .device_config = device_config,
    .device_notification = device_notification,
    .icu_info = icu_info,
    .icu_bind = icu_bind,
    .unregister_ds = unregister_ds,
    .reset_queue = reset_queue,
    .peer_alive = peer_alive,
    .peer_handle = peer_handle,
    .close = close_connection,
    .reconnect = l4vio_l4_client_reconnect,
};
