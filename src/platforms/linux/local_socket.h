/* SPDX-License-Identifier: MIT */
/* Unix sockets by path: connecting with a deadline, and listening in a place that a dead process may have left. */
#ifndef L4VIO_PLATFORMS_LINUX_LOCAL_SOCKET_H
#define L4VIO_PLATFORMS_LINUX_LOCAL_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <l4vio/error.h>

/* Fills an address: L4VIO_EINVAL for a path that is empty or too long. */
int l4vio_local_address(const char *path, struct sockaddr_un *address, struct l4vio_error *error);

/*
 * Connects; `type` is SOCK_STREAM or SOCK_SEQPACKET. The descriptor is non-blocking and close-on-exec.
 * L4VIO_ENOENT nobody listens there, L4VIO_EACCES, L4VIO_EBADPROTO a socket of another type,
 * L4VIO_ETIMEDOUT no room in the backlog.
 */
int l4vio_local_connect(const struct sockaddr_un *address, int type, uint64_t deadline_ns, int *fd,
                        struct l4vio_error *error);

/* A socket that listens, and its file: removed only if it is still ours. */
struct l4vio_local_listener {
    int fd; /* Non-blocking, close-on-exec; -1: none. */
    struct sockaddr_un address;
    dev_t device;
    ino_t inode;
    bool made;
};

/*
 * Listens, mode 0600; the socket of a dead process is replaced. L4VIO_EEXIST somebody listens there, or it
 * is no socket. On failure there is nothing to give back.
 */
int l4vio_local_listen(const struct sockaddr_un *address, int type, int backlog,
                       struct l4vio_local_listener *listener, struct l4vio_error *error);
void l4vio_local_unlisten(struct l4vio_local_listener *listener);

#endif
