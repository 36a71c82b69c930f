/* SPDX-License-Identifier: MIT */
#include "platforms/linux/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/error.h>

#include "platforms/linux/linux.h"

/* Between two tries that nothing tells the right time for. */
#define RETRY_NS 1000000

int l4vio_socket_send(int socket, const void *bytes, size_t size, const int *fds, unsigned count)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(L4VIO_SOCKET_FDS_MAX * sizeof(int))];
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
    for (;;) {
        ssize_t sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        /* The kernel takes what is as small as our messages whole. */
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

bool l4vio_socket_await_room(int socket, uint64_t deadline_ns)
{
    struct pollfd poll_fd = {.fd = socket, .events = POLLOUT};
    const struct timespec pause = {0, RETRY_NS};
    struct timespec storage;

    if (ppoll(&poll_fd, 1, l4vio_linux_timeout(deadline_ns, &storage), NULL) == 0 ||
        l4vio_linux_deadline(0) >= deadline_ns)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/*
 * The last one to close a socket that lingers over unsent data waits for its peer, even if the socket is
 * non-blocking. On anything but a socket this has no effect.
 */
void l4vio_socket_close_foreign(int fd)
{
    const struct linger none = {0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

/* Takes what there is room for, and closes the rest. */
static void collect(struct msghdr *message, struct l4vio_socket_fds *fds)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (fds->count < L4VIO_SOCKET_FDS_MAX) {
                fds->fd[fds->count++] = fd;
            } else {
                l4vio_socket_close_foreign(fd);
                fds->surplus = true;
            }
        }
    }
    if (message->msg_flags & MSG_CTRUNC) {
        l4vio_socket_close_fds(fds);
        fds->lost = true;
    }
}

int l4vio_socket_receive(int socket, void *bytes, size_t size, size_t *got, bool *cut,
                         struct l4vio_socket_fds *fds)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_LEN(L4VIO_SOCKET_PASSED_FDS * sizeof(int))];
    } control;
    struct iovec iovec = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_LEN(L4VIO_SOCKET_PASSED_FDS * sizeof(int))};
    ssize_t received;

    memset(&control.header, 0, sizeof(control.header));
    do {
        received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    *got = received > 0 ? (size_t)received : 0;
    if (cut)
        *cut = received >= 0 && (message.msg_flags & MSG_TRUNC);
    if (received < 0)
        return errno == EAGAIN ? L4VIO_EAGAIN : L4VIO_EPIPE;
    collect(&message, fds);
    if (received > 0)
        return L4VIO_OK;
    /* The end; an empty packet is taken for it. */
    l4vio_socket_close_fds(fds);
    return L4VIO_EPIPE;
}

int l4vio_socket_take_fd(struct l4vio_socket_fds *fds)
{
    if (fds->count != 1)
        return -1;
    fds->count = 0;
    return fds->fd[0];
}

void l4vio_socket_close_fds(struct l4vio_socket_fds *fds)
{
    for (unsigned i = 0; i < fds->count; i++)
        l4vio_socket_close_foreign(fds->fd[i]);
    fds->count = 0;
}

/* An empty packet looks like the end; one behind the other they are not worth more looks than this. */
#define ENDS_MAX 16

void l4vio_socket_hang_up(int socket)
{
    struct l4vio_socket_fds fds = {0};
    unsigned char bytes[256];
    size_t got;
    int ends = 0;

    /* The peer can send nothing more. */
    shutdown(socket, SHUT_RDWR);
    while (ends < ENDS_MAX) {
        int result = l4vio_socket_receive(socket, bytes, sizeof(bytes), &got, NULL, &fds);
        if (result == L4VIO_EAGAIN)
            break;
        ends = result == L4VIO_EPIPE ? ends + 1 : 0;
        l4vio_socket_close_fds(&fds);
    }
    close(socket);
}
