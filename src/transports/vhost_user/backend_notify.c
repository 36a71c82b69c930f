/* SPDX-License-Identifier: MIT */
/*
 * Descriptors by which both sides tell each other something. Kicks are eventfds of the front end's, watched
 * edge-triggered and never read. What we trigger is an eventfd, a pipe or a socket;
 * nothing that the front end does with its end makes that wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/vhost_user/backend.h"

/* Full is as good as triggered. */
void l4vio_vhost_back_trigger(const struct l4vio_served_client *client,
                              const struct l4vio_vhost_trigger *trigger)
{
    const struct l4vio_platform *platform = &client->server->platform;
    const struct l4vio_notification object = {.handle = trigger->fd};
    uint64_t one = 1;
    ssize_t written = 0;

    if (trigger->fd < 0)
        return;
    switch (trigger->kind) {
    case L4VIO_VHOST_EVENTFD:
        platform->ops->notification_trigger(platform->self, &object);
        break;
    case L4VIO_VHOST_PIPE:
        written = write(trigger->fd, &one, sizeof(one));
        break;
    case L4VIO_VHOST_SOCKET:
        written = send(trigger->fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    }
    (void)written;
}

static void drop(const struct l4vio_served_client *client, struct l4vio_vhost_trigger *trigger)
{
    const struct l4vio_platform *platform = &client->server->platform;
    struct l4vio_notification object = {.handle = trigger->fd};

    if (trigger->fd >= 0 && trigger->kind != L4VIO_VHOST_EVENTFD)
        l4vio_socket_close_foreign(trigger->fd);
    else
        platform->ops->notification_destroy(platform->self, &object);
    *trigger = (struct l4vio_vhost_trigger){.fd = -1};
}

/*
 * A pipe is opened anew: the flags of what came in are the front end's to change at any time, those of a
 * description of our own are not. For reading, too, so that there is a reader whatever it does.
 */
static int own_pipe(int fd)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* Asked so that no file system has to answer, which may be the client's own. */
static bool is_pipe(int fd)
{
    return fcntl(fd, F_GETPIPE_SZ) > 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* Whether a name of a socket is the path where clients and server meet. */
static bool is_our_path(const struct l4vio_server *server, const struct sockaddr_un *name,
                        socklen_t length)
{
    const size_t start = offsetof(struct sockaddr_un, sun_path);

    return length > start && strncmp(name->sun_path, server->path, length - start) == 0;
}

/*
 * A client's end of a connection to us: held by ourselves, it would keep the connection open when the client
 * is gone, and its place taken.
 */
static bool is_client_end(const struct l4vio_server *server, int fd)
{
    struct sockaddr_un name = {0};
    socklen_t length = sizeof(name);

    if (server->config.connect)
        return getsockname(fd, (struct sockaddr *)&name, &length) == 0 &&
               is_our_path(server, &name, length);
    return getpeername(fd, (struct sockaddr *)&name, &length) == 0 &&
           is_our_path(server, &name, length);
}

static bool is_stream_socket(const struct l4vio_served_client *client, int fd)
{
    int domain = 0, type = 0, listens = 0;
    socklen_t length = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && !listens &&
           !is_client_end(client->server, fd);
}

/* Decides once how it is triggered. The descriptor stays the caller's on failure. */
static int make_trigger(const struct l4vio_served_client *client, int fd,
                        struct l4vio_vhost_trigger *out, struct l4vio_error *error)
{
    if (l4vio_linux_check_eventfd(fd, NULL) == L4VIO_OK) {
        l4vio_linux_adopt_notification(&client->server->platform);
        *out = (struct l4vio_vhost_trigger){.fd = fd};
        return L4VIO_OK;
    }
    if (is_stream_socket(client, fd)) {
        *out = (struct l4vio_vhost_trigger){.fd = fd, .kind = L4VIO_VHOST_SOCKET};
        return L4VIO_OK;
    }
    if (!is_pipe(fd))
        return l4vio_fail(error, L4VIO_EINVAL, "neither eventfd nor pipe", 0);
    int own = own_pipe(fd);
    if (own < 0)
        return l4vio_fail(error, L4VIO_EACCES, "a pipe that cannot be opened", (uint64_t)errno);
    close(fd);
    *out = (struct l4vio_vhost_trigger){.fd = own, .kind = L4VIO_VHOST_PIPE};
    return L4VIO_OK;
}

/* What the messages of descriptors have in common: the ring, and the descriptor or -1. */
static int take(const struct l4vio_served_client *client, struct l4vio_vhost_message *message,
                uint32_t *index, int *fd, struct l4vio_error *error)
{
    uint64_t word = message->u.u64;
    bool none = word & VHOST_USER_VRING_NOFD;

    *index = (uint32_t)(word & VHOST_USER_VRING_INDEX_MASK);
    if (word > (VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NOFD))
        return l4vio_fail(error, L4VIO_EINVAL, "bits without a meaning", word);
    if (*index >= l4vio_vhost_back_queues(client))
        return l4vio_fail(error, L4VIO_ERANGE, "no such ring", *index);
    if (message->fds.count != (none ? 0u : 1u))
        return l4vio_fail(error, L4VIO_EINVAL, "another number of descriptors than it says",
                          message->fds.count);
    *fd = l4vio_socket_take_fd(&message->fds);
    return L4VIO_OK;
}

static int set_trigger(struct l4vio_served_client *client, struct l4vio_vhost_message *message,
                       bool err, struct l4vio_error *error)
{
    struct l4vio_vhost_trigger fresh = {.fd = -1};
    uint32_t index = 0;
    int fd = -1;
    int result = take(client, message, &index, &fd, error);

    if (result < 0)
        return result;
    if (fd >= 0)
        result = make_trigger(client, fd, &fresh, error);
    if (result < 0) {
        l4vio_socket_close_foreign(fd);
        return result;
    }
    struct l4vio_vhost_ring *ring = &l4vio_vhost_served(client)->rings[index];
    struct l4vio_vhost_trigger *trigger = err ? &ring->err : &ring->call;
    drop(client, trigger);
    *trigger = fresh;
    return L4VIO_OK;
}

int l4vio_vhost_back_set_vring_call(struct l4vio_served_client *client,
                                    struct l4vio_vhost_message *message,
                                    struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)reply;
    return set_trigger(client, message, false, error);
}

int l4vio_vhost_back_set_vring_err(struct l4vio_served_client *client,
                                   struct l4vio_vhost_message *message,
                                   struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)reply;
    return set_trigger(client, message, true, error);
}

void l4vio_vhost_back_drop_kick(struct l4vio_served_client *client, uint32_t index)
{
    struct l4vio_vhost_ring *ring = &l4vio_vhost_served(client)->rings[index];
    const struct l4vio_platform *platform = &client->server->platform;
    struct l4vio_notification object = {.handle = ring->kick};

    if (ring->kick < 0)
        return;
    /* The front end holds it, too, so closing alone would not take it out of the set. */
    epoll_ctl(l4vio_worker_of(client->server, index)->epoll, EPOLL_CTL_DEL, ring->kick, NULL);
    platform->ops->notification_destroy(platform->self, &object);
    ring->kick = -1;
}

int l4vio_vhost_back_set_vring_kick(struct l4vio_served_client *client,
                                    struct l4vio_vhost_message *message,
                                    struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    uint32_t index = 0;
    int fd = -1;
    int result = take(client, message, &index, &fd, error);

    (void)reply;
    if (result < 0)
        return result;
    if (fd < 0)
        return l4vio_fail(error, L4VIO_ENOSYS, "rings are not polled: no kick descriptor", index);
    result = l4vio_linux_check_eventfd(fd, error);
    if (result == L4VIO_OK &&
        l4vio_server_watch(l4vio_worker_of(client->server, index)->epoll, fd, EPOLLIN | EPOLLET,
                           l4vio_client_event(client, (uint16_t)index)) < 0)
        result = l4vio_fail(error, L4VIO_ENOMEM, "epoll does not take a kick descriptor", index);
    if (result < 0) {
        l4vio_socket_close_foreign(fd);
        return result;
    }
    l4vio_linux_adopt_notification(&client->server->platform);
    l4vio_vhost_back_drop_kick(client, index);
    struct l4vio_vhost_ring *ring = &l4vio_vhost_served(client)->rings[index];
    ring->kick = fd;
    ring->changing = ring->told = false;
    return L4VIO_OK;
}

void l4vio_vhost_back_drop_triggers(struct l4vio_served_client *client)
{
    struct l4vio_vhost_ring *rings = l4vio_vhost_served(client)->rings;

    for (uint32_t i = 0; rings && i < l4vio_vhost_back_queues(client); i++) {
        drop(client, &rings[i].call);
        drop(client, &rings[i].err);
    }
}

static bool is_broken(const struct l4vio_served_client *client, uint32_t index)
{
    const struct l4vio_device_queue *queue = l4vio_device_queue(client->device, index);

    return queue && queue->broken;
}

void l4vio_vhost_back_tell_rings(const struct l4vio_served_client *client)
{
    const struct l4vio_vhost_ring *rings = l4vio_vhost_served(client)->rings;
    bool any = false;

    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++)
        any = any || is_broken(client, i);
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        if (!any || is_broken(client, i))
            l4vio_vhost_back_trigger(client, &rings[i].err);
    }
}

/* The log changes all the time while it is on: who copies pages looks at it anyway. */
int l4vio_vhost_back_set_log_fd(struct l4vio_served_client *client,
                                struct l4vio_vhost_message *message,
                                struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)client;
    (void)message;
    (void)reply;
    (void)error;
    return L4VIO_OK;
}

void l4vio_vhost_back_drop_channel(struct l4vio_served_client *client)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    if (own->channel < 0)
        return;
    epoll_ctl(client->server->epoll, EPOLL_CTL_DEL, own->channel, NULL);
    l4vio_socket_hang_up(own->channel);
    own->channel = -1;
    own->channel_full = false;
}

int l4vio_vhost_back_set_backend_req_fd(struct l4vio_served_client *client,
                                        struct l4vio_vhost_message *message,
                                        struct l4vio_vhost_message *reply,
                                        struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    (void)reply;
    if (message->fds.count != 1 || !is_stream_socket(client, message->fds.fd[0]))
        return l4vio_fail(error, L4VIO_EINVAL, "not one stream socket", message->fds.count);
    l4vio_vhost_back_drop_channel(client);
    own->channel = l4vio_socket_take_fd(&message->fds);
    /* Edges of room for a message that found none. */
    if (l4vio_server_watch(client->server->epoll, own->channel, EPOLLOUT | EPOLLET,
                           l4vio_client_event(client, L4VIO_VHOST_SOURCE_CHANNEL)) == L4VIO_OK)
        return L4VIO_OK;
    l4vio_vhost_back_drop_channel(client);
    return l4vio_fail(error, L4VIO_ENOMEM, "epoll does not take the channel", 0);
}

void l4vio_vhost_back_tell_config(struct l4vio_served_client *client)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);

    if (own->channel < 0 || !l4vio_vhost_back_has(client, VHOST_USER_PROTOCOL_F_BACKEND_REQ) ||
        !l4vio_vhost_back_has(client, VHOST_USER_PROTOCOL_F_CONFIG))
        return;
    int result = l4vio_vhost_send(own->channel, &message);
    own->channel_full = result == L4VIO_EAGAIN;
    if (result == L4VIO_EPIPE)
        l4vio_vhost_back_drop_channel(client);
}
