/* SPDX-License-Identifier: MIT */
/* Connecting and the hello. */
#include "transports/l4_unix/client.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "platforms/linux/linux.h"
#include "platforms/linux/local_socket.h"

#define DEFAULT_TIMEOUT_NS UINT64_C(5000000000)
/* Between two attempts to find somebody. Nothing tells when a path comes back. */
#define RETRY_NS 10000000

static int wait_readable(int fd, uint64_t deadline_ns)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct timespec storage;
    int ready = ppoll(&poll_fd, 1, l4vio_linux_timeout(deadline_ns, &storage), NULL);

    return ready == 0 ? L4VIO_ETIMEDOUT : L4VIO_OK;
}

static int check_hello(struct l4vio_l4_client *client, const struct l4vio_unix_packet *packet,
                       struct l4vio_error *error)
{
    const struct l4vio_unix_hello *hello = &packet->u.hello;
    bool valid = false;

    if (packet->size != sizeof(*hello) || packet->fds.count != 0 ||
        l4vio_swap32(hello->magic) != L4VIO_UNIX_MAGIC)
        return l4vio_fail(error, L4VIO_EBADPROTO, "the socket is of something else", packet->size);
    if (l4vio_swap32(hello->version) != L4VIO_UNIX_VERSION)
        return l4vio_fail(error, L4VIO_ENOSYS, "the server speaks another version",
                          l4vio_swap32(hello->version));
    int result = l4vio_unix_decode_result(l4vio_swap32(hello->result), &valid);
    if (!valid || !l4vio_unix_all_zero(hello->reserved, sizeof(hello->reserved)))
        return l4vio_fail(error, L4VIO_EBADPROTO, "the server's hello is not valid", 0);
    if (result == L4VIO_EPERM)
        return l4vio_fail(error, result, "the server refuses this user", 0);
    if (result == L4VIO_EBUSY)
        return l4vio_fail(error, result, "the server has as many clients as it takes", 0);
    if (result < 0)
        return l4vio_fail(error, result, "the server refuses the connection", 0);
    client->extensions = l4vio_swap32(hello->extensions);
    return L4VIO_OK;
}

/*
 * A server that refuses us may answer before it has read our hello, and hang up: sending then fails,
 * and so does the first receive (connection reset), yet the answer lies there to be read.
 */
static int exchange_hello(struct l4vio_l4_client *client, uint64_t deadline_ns,
                          struct l4vio_error *error)
{
    struct l4vio_unix_hello hello = {.magic = l4vio_swap32(L4VIO_UNIX_MAGIC),
                                     .version = l4vio_swap32(L4VIO_UNIX_VERSION)};
    struct l4vio_unix_packet packet;
    unsigned ends = 0;

    l4vio_unix_send(client->socket, &hello, sizeof(hello), -1);
    for (;;) {
        int result = l4vio_unix_receive(client->socket, &packet);
        if (result == L4VIO_OK) {
            result = check_hello(client, &packet, error);
            l4vio_socket_close_fds(&packet.fds);
            return result;
        }
        if (result == L4VIO_EBADPROTO)
            return l4vio_fail(error, result, "the socket is of something else", 0);
        if (result == L4VIO_EPIPE && ++ends == 2)
            return l4vio_fail(error, result,
                              "the server hung up without a hello: it has just ended, or the "
                              "socket is of something else",
                              0);
        if (result == L4VIO_EAGAIN && wait_readable(client->socket, deadline_ns) < 0)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "the server does not answer the hello", 0);
    }
}

static int open_connection(struct l4vio_l4_client *client, uint64_t deadline_ns,
                           struct l4vio_error *error)
{
    int result =
        l4vio_local_connect(&client->address, SOCK_SEQPACKET, deadline_ns, &client->socket, error);
    return result < 0 ? result : exchange_hello(client, deadline_ns, error);
}

int l4vio_l4_client_connect(const char *path, const struct l4vio_platform *platform,
                            uint64_t timeout_ns, struct l4vio_l4_client **out,
                            struct l4vio_transport *transport, struct l4vio_error *error)
{
    struct l4vio_l4_client *client = calloc(1, sizeof(*client));

    if (!client)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    l4vio_turn_init(&client->turn);
    atomic_init(&client->dead, false);
    client->platform = *platform;
    client->socket = -1;
    int result = l4vio_local_address(path, &client->address, error);
    if (result == L4VIO_OK)
        result = open_connection(
            client, l4vio_linux_deadline(timeout_ns ? timeout_ns : DEFAULT_TIMEOUT_NS), error);
    if (result < 0) {
        l4vio_l4_client_free(client);
        return result;
    }
    *transport = l4vio_l4_init(&client->l4, &l4vio_l4_client_calls, client, platform);
    *out = client;
    return L4VIO_OK;
}

/* There may be a server yet: none is there, it is about to end, or it has not noticed our own end. */
static bool may_come(int code)
{
    return code == L4VIO_ENOENT || code == L4VIO_EPIPE || code == L4VIO_EBUSY;
}

int l4vio_l4_client_reconnect(void *self, uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct timespec pause = {0, RETRY_NS};
    struct l4vio_l4_client *client = self;

    for (;;) {
        l4vio_l4_client_calls.close(client);
        client->next_sequence = 0;
        client->next_reply = 0;
        int result = open_connection(client, deadline_ns, error);
        if (result == L4VIO_OK) {
            atomic_store(&client->dead, false);
            return result;
        }
        bool late = l4vio_linux_deadline(0) >= deadline_ns;
        if (!may_come(result) || late) {
            l4vio_l4_client_calls.close(client);
            return may_come(result)
                       ? l4vio_fail(error, L4VIO_ETIMEDOUT, "nobody came back in time", 0)
                       : result;
        }
        nanosleep(&pause, NULL);
    }
}

void l4vio_l4_client_free(struct l4vio_l4_client *client)
{
    if (!client)
        return;
    if (client->socket >= 0)
        l4vio_socket_hang_up(client->socket);
    l4vio_turn_destroy(&client->turn);
    free(client);
}
