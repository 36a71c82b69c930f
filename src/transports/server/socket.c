/* SPDX-License-Identifier: MIT */
/* The socket's file: made with mode 0600, a stale one replaced, removed only if it is ours. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/server/server.h"

#define LOCK_TRIES 200

/*
 * Two servers that start at once could both find the same stale socket, and the slower one would
 * remove the new socket of the faster one. A lock on the folder keeps them apart; it is advice only, so
 * somebody who holds it for ever does not keep us from starting.
 */
static int lock_folder(const char *path)
{
    char folder[108];
    const struct timespec pause = {0, 5000000};
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        memcpy(folder, ".", 2);
    else {
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
static int clear_path(const struct sockaddr_un *address, int socket_type, struct l4vio_error *error)
{
    struct stat status;

    if (lstat(address->sun_path, &status) < 0) {
        if (errno == ENOENT)
            return L4VIO_OK;
        return l4vio_fail(error, errno == ENOTDIR ? L4VIO_ENOENT : l4vio_linux_code(errno),
                          "the socket's folder cannot be used", (uint64_t)errno);
    }
    if (!S_ISSOCK(status.st_mode))
        return l4vio_fail(error, L4VIO_EEXIST, "the path is there and is not a socket", 0);
    int probe = socket(AF_UNIX, socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return l4vio_fail(error, l4vio_linux_code(errno), "socket cannot be created",
                          (uint64_t)errno);
    int result = connect(probe, (const struct sockaddr *)address, sizeof(*address));
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
static int bind_and_listen(struct l4vio_server *server, const struct sockaddr_un *address,
                           struct l4vio_error *error)
{
    struct stat status;

    if (fchmod(server->listener, S_IRUSR | S_IWUSR) < 0 ||
        bind(server->listener, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        if (errno == EADDRINUSE)
            return l4vio_fail(error, L4VIO_EEXIST, "the path is in use by a live server", 0);
        return l4vio_fail(error, errno == ENOENT ? L4VIO_ENOENT : L4VIO_EACCES,
                          "the socket cannot be created at this path", (uint64_t)errno);
    }
    if (chmod(address->sun_path, S_IRUSR | S_IWUSR) < 0 || lstat(address->sun_path, &status) < 0 ||
        !S_ISSOCK(status.st_mode))
        return l4vio_fail(error, L4VIO_EACCES, "the socket's mode cannot be set", (uint64_t)errno);
    server->socket_device = status.st_dev;
    server->socket_inode = status.st_ino;
    server->socket_made = true;
    if (listen(server->listener, 64) < 0)
        return l4vio_fail(error, L4VIO_EACCES, "cannot listen", (uint64_t)errno);
    return L4VIO_OK;
}

int l4vio_server_listen(struct l4vio_server *server, struct l4vio_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, server->path, sizeof(server->path));
    server->listener =
        socket(AF_UNIX, server->protocol->socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0)
        return l4vio_fail(error, l4vio_linux_code(errno), "socket cannot be created",
                          (uint64_t)errno);
    int folder = lock_folder(server->path);
    int result = clear_path(&address, server->protocol->socket_type, error);
    if (result == L4VIO_OK)
        result = bind_and_listen(server, &address, error);
    if (folder >= 0)
        close(folder);
    return result;
}

int l4vio_server_connect(const struct l4vio_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, server->protocol->socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, server->path, sizeof(server->path));
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

void l4vio_server_unlisten(struct l4vio_server *server)
{
    struct stat status;

    if (server->listener >= 0)
        close(server->listener);
    server->listener = -1;
    if (server->socket_made && lstat(server->path, &status) == 0 &&
        status.st_dev == server->socket_device && status.st_ino == server->socket_inode)
        unlink(server->path);
    server->socket_made = false;
}
