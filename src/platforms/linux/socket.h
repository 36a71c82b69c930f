/* SPDX-License-Identifier: MIT */
/*
 * Bytes with descriptors over Unix sockets, for every protocol here. Nothing waits without a deadline, no
 * descriptor that nobody took stays open, and no peer can make closing one wait.
 */
#ifndef L4VIO_PLATFORMS_LINUX_SOCKET_H
#define L4VIO_PLATFORMS_LINUX_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most descriptors that a message of any protocol here has use for. */
#define L4VIO_SOCKET_FDS_MAX 8u

/* As many as the kernel passes at once: it drops none by itself, which might wait (SCM_MAX_FD). */
#define L4VIO_SOCKET_PASSED_FDS 253u

/* Descriptors that came in: close-on-exec, the receiver's. */
struct l4vio_socket_fds {
    int fd[L4VIO_SOCKET_FDS_MAX];
    unsigned count;
    bool surplus; /* There were more than have room: those are closed. */
    bool lost;    /* There were some, but this process has no room for more descriptors. */
};

/*
 * Sends all of it or nothing, with `count` descriptors, which stay the caller's.
 * 0, L4VIO_EAGAIN the socket is full, or L4VIO_EPIPE.
 */
int l4vio_socket_send(int socket, const void *bytes, size_t size, const int *fds, unsigned count);

/*
 * After L4VIO_EAGAIN: waits until another try to send may go better; false: the deadline has passed. That the
 * socket has room is not enough, since descriptors on their way count, too, and for them nothing tells.
 */
bool l4vio_socket_await_room(int socket, uint64_t deadline_ns);

/*
 * Receives at most `size` bytes and adds descriptors to those that are there already. `cut`, if not NULL,
 * tells that a packet was longer. 0, L4VIO_EAGAIN there is nothing, L4VIO_EPIPE the end.
 */
int l4vio_socket_receive(int socket, void *bytes, size_t size, size_t *got, bool *cut,
                         struct l4vio_socket_fds *fds);

/* Takes the only descriptor out, -1 if there is not exactly one. */
int l4vio_socket_take_fd(struct l4vio_socket_fds *fds);

/* Closes the descriptors that nobody took. */
void l4vio_socket_close_fds(struct l4vio_socket_fds *fds);

/* Closes a descriptor of the peer's that may be anything, without waiting for what it stands for. */
void l4vio_socket_close_foreign(int fd);

/* Closes a connection, and what is still on its way to us as carefully. */
void l4vio_socket_hang_up(int socket);

#endif
