/* SPDX-License-Identifier: MIT */
#include "socket_peer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/ordering.h"

#define PEER_FDS    32u
#define PATIENCE_MS 5000

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

int peer_connect(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

struct l4vio_unix_hello peer_hello(void)
{
    return (struct l4vio_unix_hello){.magic = l4vio_swap32(L4VIO_UNIX_MAGIC),
                                     .version = l4vio_swap32(L4VIO_UNIX_VERSION)};
}

int peer_connect_hello(const char *path)
{
    struct l4vio_unix_hello hello = peer_hello();
    int fd = peer_connect(path);

    assert_true(peer_send(fd, &hello, sizeof(hello), NULL, 0));
    assert_int_equal(peer_receive(fd, &hello, sizeof(hello), NULL), sizeof(hello));
    assert_int_equal(hello.result, 0);
    return fd;
}

bool peer_send(int socket, const void *bytes, size_t size, const int *fds, unsigned count)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(PEER_FDS * sizeof(int))];
    } control;
    struct iovec iovec = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1};

    if (count) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

static void take_fds(struct msghdr *message, int *fd)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int received;
            memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (fd && *fd < 0)
                *fd = received;
            else
                close(received);
        }
    }
}

int peer_receive(int socket, void *bytes, size_t size, int *fd)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(PEER_FDS * sizeof(int))];
    } control;
    struct iovec iovec = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.space)};
    struct pollfd poll_fd = {.fd = socket, .events = POLLIN};

    if (fd)
        *fd = -1;
    if (poll(&poll_fd, 1, PATIENCE_MS) != 1)
        return PEER_SILENCE;
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return PEER_CLOSED;
    take_fds(&message, fd);
    return (int)got;
}

int peer_call(int socket, const struct l4vio_unix_call *call, int fd, int *fd_out)
{
    struct l4vio_unix_reply reply;

    assert_true(peer_send(socket, call, sizeof(*call), &fd, fd >= 0 ? 1 : 0));
    assert_int_equal(peer_receive(socket, &reply, sizeof(reply), fd_out), sizeof(reply));
    assert_int_equal(reply.opcode, call->opcode);
    assert_int_equal(reply.sequence, call->sequence);
    return (int)l4vio_swap32(reply.result);
}

int peer_simple(int socket, uint32_t opcode, uint32_t argument)
{
    struct l4vio_unix_call call = {.opcode = l4vio_swap32(opcode),
                                   .argument = l4vio_swap32(argument)};

    return peer_call(socket, &call, -1, NULL);
}

bool peer_hangs_up(int socket)
{
    unsigned char bytes[128];
    int got;

    while ((got = peer_receive(socket, bytes, sizeof(bytes), NULL)) >= 0)
        ;
    return got == PEER_CLOSED;
}

int peer_memory(uint64_t bytes)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_not_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), -1);
    return fd;
}

static void *serve(void *argument)
{
    struct peer_server *server = argument;
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

    server->result = fd < 0 ? -1 : server->script(fd);
    if (fd >= 0)
        close(fd);
    return NULL;
}

void peer_server_start(struct peer_server *server, int (*script)(int socket))
{
    strcpy(server->folder, "/tmp/l4vio-test-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->path, sizeof(server->path), "%s/socket", server->folder);
    struct sockaddr_un address = address_of(server->path);
    server->script = script;
    server->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

int peer_server_end(struct peer_server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
    unlink(server->path);
    rmdir(server->folder);
    return server->result;
}

bool peer_answer_hello(int socket)
{
    struct l4vio_unix_hello hello;

    if (peer_receive(socket, &hello, sizeof(hello), NULL) != (int)sizeof(hello))
        return false;
    hello = peer_hello();
    hello.extensions = l4vio_swap32(3);
    return peer_send(socket, &hello, sizeof(hello), NULL, 0);
}

bool peer_receive_call(int socket, struct l4vio_unix_call *call)
{
    return peer_receive(socket, call, sizeof(*call), NULL) == (int)sizeof(*call);
}

bool peer_reply(int socket, const struct l4vio_unix_call *call, int result, int fd)
{
    struct l4vio_unix_reply reply = {.opcode = call->opcode,
                                     .sequence = call->sequence,
                                     .result = l4vio_swap32((uint32_t)result)};

    return peer_send(socket, &reply, sizeof(reply), &fd, fd >= 0 ? 1 : 0);
}
