/* SPDX-License-Identifier: MIT */
#include "transports/l4_unix/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <l4vio/error.h>

int l4vio_unix_send(int socket, const void *bytes, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iovec = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1};

    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control.space);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    }
    for (;;) {
        ssize_t sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)size)
            return L4VIO_OK;
        if (sent < 0 && errno == EINTR)
            continue;
        /* ETOOMANYREFS: too many descriptors of this user are on their way in sockets. */
        if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS))
            return L4VIO_EAGAIN;
        return L4VIO_EPIPE;
    }
}

/*
 * The last one to close a socket that lingers over unsent data waits for its peer, even if the socket is
 * non-blocking. On anything but a socket this has no effect.
 */
void l4vio_unix_close_foreign(int fd)
{
    const struct linger none = {0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

/* Takes what has room in a packet, and closes the rest. Returns how many there were. */
static size_t collect_fds(struct msghdr *message, struct l4vio_unix_packet *packet)
{
    size_t total = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        total += count;
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (packet->fd_count < L4VIO_UNIX_PACKET_FDS)
                packet->fds[packet->fd_count++] = fd;
            else
                l4vio_unix_close_foreign(fd);
        }
    }
    return total;
}

int l4vio_unix_receive(int socket, struct l4vio_unix_packet *packet)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_LEN(L4VIO_UNIX_PASSED_FDS * sizeof(int))];
    } control;
    struct iovec iovec = {.iov_base = packet->u.bytes, .iov_len = sizeof(packet->u.bytes)};
    struct msghdr message = {.msg_iov = &iovec,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_LEN(L4VIO_UNIX_PASSED_FDS * sizeof(int))};
    ssize_t got;

    memset(packet, 0, sizeof(*packet));
    memset(&control, 0, sizeof(control));
    do {
        got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? L4VIO_EAGAIN : L4VIO_EPIPE;
    bool surplus = collect_fds(&message, packet) > L4VIO_UNIX_PACKET_FDS;
    if (surplus || (message.msg_flags & MSG_TRUNC)) {
        l4vio_unix_close_fds(packet);
        return L4VIO_EBADPROTO;
    }
    if (message.msg_flags & MSG_CTRUNC) {
        l4vio_unix_close_fds(packet);
        packet->fds_lost = true;
    }
    if (got == 0) { /* The end; an empty packet is taken for it. */
        l4vio_unix_close_fds(packet);
        return L4VIO_EPIPE;
    }
    packet->size = (size_t)got;
    return L4VIO_OK;
}

int l4vio_unix_take_fd(struct l4vio_unix_packet *packet)
{
    if (packet->fd_count != 1)
        return -1;
    packet->fd_count = 0;
    return packet->fds[0];
}

void l4vio_unix_close_fds(struct l4vio_unix_packet *packet)
{
    for (unsigned i = 0; i < packet->fd_count; i++)
        l4vio_unix_close_foreign(packet->fds[i]);
    packet->fd_count = 0;
}

/* An empty packet looks like the end; one behind the other they are not worth more looks than this. */
#define EMPTY_PACKETS_MAX 16

void l4vio_unix_hang_up(int socket)
{
    struct l4vio_unix_packet packet;
    int empty = 0;

    /* The peer can send nothing more. */
    shutdown(socket, SHUT_RDWR);
    while (empty < EMPTY_PACKETS_MAX) {
        int result = l4vio_unix_receive(socket, &packet);
        if (result == L4VIO_EAGAIN)
            break;
        if (result == L4VIO_EPIPE)
            empty++;
        else
            empty = 0;
        l4vio_unix_close_fds(&packet);
    }
    close(socket);
}

bool l4vio_unix_all_zero(const void *bytes, size_t count)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < count; i++) {
        if (byte[i])
            return false;
    }
    return true;
}
