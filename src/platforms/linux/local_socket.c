/* SPDX-License-Identifier: MIT */
#include "platforms/linux/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platforms/linux/linux.h"

#define LOCK_TRIES 200

int l4vio_local_address(const char *path, struct sockaddr_un *address, struct l4vio_error *error)
{
    size_t length = strlen(path);

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof(address->sun_path))
        return l4vio_fail(error, L4VIO_EINVAL, "socket path is empty or too long", length);
    memcpy(address->sun_path, path, length + 1);
    return L4VIO_OK;
}

static int open_socket(int type, int *fd, struct l4vio_error *error)
{
    *fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return l4vio_fail(error, l4vio_linux_code(errno), "socket cannot be created",
                          (uint64_t)errno);
    return L4VIO_OK;
}

static int connect_error(int system_error, struct l4vio_error *error)
{
    uint64_t value = (uint64_t)system_error;

    switch (system_error) {
    case ENOENT:
    case ENOTDIR:
        return l4vio_fail(error, L4VIO_ENOENT, "no socket at that path", value);
    case ECONNREFUSED:
        return l4vio_fail(error, L4VIO_ENOENT, "nobody listens at that path", value);
    case EACCES:
    case EPERM:
        return l4vio_fail(error, L4VIO_EACCES, "not allowed to connect", value);
    case EPROTOTYPE:
        return l4vio_fail(error, L4VIO_EBADPROTO, "the socket is of something else", value);
    default:
        return l4vio_fail(error, l4vio_linux_code(system_error), "cannot connect", value);
    }
}

/* A full backlog is the only thing to wait for, and nothing tells when it has room again. */
static int connect_until(int fd, const struct sockaddr_un *address, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    const struct timespec pause = {0, 1000000};

    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return connect_error(errno, error);
        if (l4vio_linux_deadline(0) >= deadline_ns)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "the server accepts no connection", 0);
        nanosleep(&pause, NULL);
    }
    return L4VIO_OK;
}

int l4vio_local_connect(const struct sockaddr_un *address, int type, uint64_t deadline_ns, int *fd,
                        struct l4vio_error *error)
{
    int result = open_socket(type, fd, error);

    if (result < 0)
        return result;
    result = connect_until(*fd, address, deadline_ns, error);
    if (result < 0) {
        close(*fd);
        *fd = -1;
    }
    return result;
}

/*
 * Two servers that start at once could both find the same stale socket, and the slower one would
 * remove the new socket of the faster one. A lock on the folder keeps them apart; it is advice only, so
 * somebody who holds it for ever does not keep us from starting.
 */
static int lock_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const struct timespec pause = {0, 5000000};
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (!slash) {
        memcpy(folder, ".", 2);
    } else {
        length = length ? length : 1;
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        nanosleep(&pause, NULL);
    return fd;
}

/* Removes what a server that died has left behind. */
static int clear_path(const struct sockaddr_un *address, int type, struct l4vio_error *error)
{
    struct stat status;
    int probe = -1;

    if (lstat(address->sun_path, &status) < 0) {
        if (errno == ENOENT)
            return L4VIO_OK;
        return l4vio_fail(error, errno == ENOTDIR ? L4VIO_ENOENT : l4vio_linux_code(errno),
                          "the socket's folder cannot be used", (uint64_t)errno);
    }
    if (!S_ISSOCK(status.st_mode))
        return l4vio_fail(error, L4VIO_EEXIST, "the path is there and is not a socket", 0);
    int result = open_socket(type, &probe, error);
    if (result < 0)
        return result;
    result = connect(probe, (const struct sockaddr *)address, sizeof(*address));
    int code = result < 0 ? errno : 0;
    close(probe);
    if (code != ECONNREFUSED)
        return l4vio_fail(error, L4VIO_EEXIST, "the path is in use by a live server",
                          (uint64_t)code);
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return l4vio_fail(error, L4VIO_EACCES, "a stale socket cannot be removed", (uint64_t)errno);
    return L4VIO_OK;
}

/* Nobody can connect before listen, and by then the mode is right whatever the umask is. */
static int bind_and_listen(struct l4vio_local_listener *listener, int backlog,
                           struct l4vio_error *error)
{
    const char *path = listener->address.sun_path;
    struct stat status;

    if (fchmod(listener->fd, S_IRUSR | S_IWUSR) < 0 ||
        bind(listener->fd, (const struct sockaddr *)&listener->address, sizeof(listener->address)) <
            0) {
        if (errno == EADDRINUSE)
            return l4vio_fail(error, L4VIO_EEXIST, "the path is in use by a live server", 0);
        return l4vio_fail(error, errno == ENOENT ? L4VIO_ENOENT : L4VIO_EACCES,
                          "the socket cannot be created at this path", (uint64_t)errno);
    }
    if (chmod(path, S_IRUSR | S_IWUSR) < 0 || lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return l4vio_fail(error, L4VIO_EACCES, "the socket's mode cannot be set", (uint64_t)errno);
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    listener->made = true;
    if (listen(listener->fd, backlog) < 0)
        return l4vio_fail(error, L4VIO_EACCES, "cannot listen", (uint64_t)errno);
    return L4VIO_OK;
}

int l4vio_local_listen(const struct sockaddr_un *address, int type, int backlog,
                       struct l4vio_local_listener *listener, struct l4vio_error *error)
{
    *listener = (struct l4vio_local_listener){.fd = -1, .address = *address};
    int result = open_socket(type, &listener->fd, error);
    if (result < 0)
        return result;
    int folder = lock_folder(address->sun_path);
    result = clear_path(address, type, error);
    if (result == L4VIO_OK)
        result = bind_and_listen(listener, backlog, error);
    if (folder >= 0)
        close(folder);
    if (result < 0)
        l4vio_local_unlisten(listener);
    return result;
}

void l4vio_local_unlisten(struct l4vio_local_listener *listener)
{
    struct stat status;

    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    if (listener->made && lstat(listener->address.sun_path, &status) == 0 &&
        status.st_dev == listener->device && status.st_ino == listener->inode)
        unlink(listener->address.sun_path);
    listener->made = false;
}
