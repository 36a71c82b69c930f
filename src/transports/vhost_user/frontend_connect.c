/* SPDX-License-Identifier: MIT */
/* The front end's connection: how it begins, how it begins anew, how it ends. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/wire/ring.h>

#include "core/bytes.h"
#include "platforms/linux/linux.h"
#include "transports/vhost_user/frontend.h"

/* Between two looks for a back end that is not there. */
#define RETRY_NS 10000000

static int accept_until(struct l4vio_vhost_user *frontend, uint64_t deadline_ns, int *out,
                        struct l4vio_error *error)
{
    struct pollfd poll_fd = {.fd = frontend->listener.fd, .events = POLLIN};

    for (;;) {
        *out = accept4(frontend->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (*out >= 0)
            return L4VIO_OK;
        /* Who went away before he was let in is not the one we wait for. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            return l4vio_fail(error, l4vio_linux_code(errno), "a back end cannot be let in",
                              (uint64_t)errno);
        struct timespec storage;
        if (ppoll(&poll_fd, 1, l4vio_linux_timeout(deadline_ns, &storage), NULL) == 0)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "no back end connects", 0);
    }
}

static int open_socket(struct l4vio_vhost_user *frontend, uint64_t deadline_ns, int *out,
                       struct l4vio_error *error)
{
    if (frontend->options.listen)
        return accept_until(frontend, deadline_ns, out, error);
    return l4vio_local_connect(&frontend->address, SOCK_STREAM, deadline_ns, out, error);
}

static void forget_kicks(struct l4vio_vhost_user *frontend)
{
    const struct l4vio_platform *platform = &frontend->platform;

    for (unsigned i = 0; i < L4VIO_VHOST_USER_QUEUES_MAX; i++) {
        struct l4vio_frontend_ring *ring = &frontend->rings[i];
        platform->ops->notification_destroy(platform->self, &ring->kick);
        *ring = (struct l4vio_frontend_ring){.kick = {.handle = L4VIO_NO_HANDLE}};
    }
}

static void forget_device(struct l4vio_vhost_user *frontend)
{
    forget_kicks(frontend);
    l4vio_frontend_forget_memory(frontend);
    l4vio_vhost_reader_drop(&frontend->reader);
    memset(&frontend->accepted, 0, sizeof(frontend->accepted));
    for (unsigned i = 0; i < L4VIO_FRONTEND_INDEXES; i++) {
        if (frontend->bound[i] >= 0)
            close(frontend->bound[i]);
        frontend->bound[i] = -1;
    }
    frontend->config_index = 0;
    frontend->touched = false;
    frontend->inflight.told = false;
    atomic_store(&frontend->status, 0);
    atomic_store(&frontend->needs_reset, false);
}

/* Ends the connection; whoever waits for something in it hears of it. */
static void hang_up(struct l4vio_vhost_user *frontend)
{
    atomic_store(&frontend->dead, true);
    shutdown(atomic_load(&frontend->socket), SHUT_RDWR);
    l4vio_frontend_stop_watching(frontend);
    int socket = atomic_exchange(&frontend->socket, -1);
    if (socket >= 0)
        l4vio_socket_hang_up(socket);
    forget_device(frontend);
}

static int begin(struct l4vio_vhost_user *frontend, uint64_t deadline_ns, struct l4vio_error *error)
{
    int socket = -1;
    int result = open_socket(frontend, deadline_ns, &socket, error);

    if (result < 0)
        return result;
    atomic_store(&frontend->socket, socket);
    atomic_store(&frontend->dead, false);
    result = l4vio_frontend_negotiate(frontend, deadline_ns, error);
    if (result < 0)
        hang_up(frontend);
    return result;
}

static int check_options(const struct l4vio_vhost_user_options *options, struct l4vio_error *error)
{
    if (options->queue_count > L4VIO_VHOST_USER_QUEUES_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "more queues than the protocol can name",
                          options->queue_count);
    if (options->queue_size_max > VIRTQ_SIZE_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "larger queues than there are",
                          options->queue_size_max);
    return L4VIO_OK;
}

static int open_frontend(struct l4vio_vhost_user *frontend, const char *path,
                         struct l4vio_error *error)
{
    int result = check_options(&frontend->options, error);

    if (result == L4VIO_OK)
        result = l4vio_local_address(path, &frontend->address, error);
    if (result == L4VIO_OK && frontend->options.listen)
        result = l4vio_local_listen(&frontend->address, SOCK_STREAM, 1, &frontend->listener, error);
    if (result == L4VIO_OK)
        result = begin(frontend, l4vio_frontend_deadline(frontend), error);
    return result;
}

int l4vio_vhost_user_connect(const char *path, const struct l4vio_platform *platform,
                             const struct l4vio_vhost_user_options *options,
                             struct l4vio_vhost_user **out, struct l4vio_transport *transport,
                             struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = calloc(1, sizeof(*frontend));

    if (!frontend)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", sizeof(*frontend));
    if (options)
        frontend->options = *options;
    frontend->platform = *platform;
    frontend->listener.fd = -1;
    frontend->inflight.fd = -1;
    frontend->stop_fd = frontend->err_fd = frontend->channel_fd = -1;
    atomic_init(&frontend->socket, -1);
    atomic_init(&frontend->dead, true);
    l4vio_turn_init(&frontend->turn);
    pthread_mutex_init(&frontend->lock, NULL);
    for (unsigned i = 0; i < L4VIO_VHOST_USER_QUEUES_MAX; i++)
        frontend->rings[i].kick.handle = L4VIO_NO_HANDLE;
    for (unsigned i = 0; i < L4VIO_FRONTEND_INDEXES; i++)
        frontend->bound[i] = -1;
    forget_device(frontend);
    int result = open_frontend(frontend, path, error);
    if (result < 0) {
        l4vio_vhost_user_free(frontend);
        return result;
    }
    *transport = (struct l4vio_transport){.ops = &l4vio_frontend_ops, .self = frontend};
    *out = frontend;
    return L4VIO_OK;
}

/* Whether another try may go better: nobody there, or one who is just leaving. */
static bool worth_a_try(int result)
{
    return result == L4VIO_ENOENT || result == L4VIO_EPIPE;
}

int l4vio_frontend_reconnect(void *self, struct l4vio_transport_properties *properties,
                             struct l4vio_identity *identity, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    const struct timespec pause = {0, RETRY_NS};
    int result;

    hang_up(frontend);
    frontend->inflight.resumed = frontend->inflight.fd >= 0;
    while (worth_a_try(result = begin(frontend, deadline_ns, error))) {
        if (l4vio_linux_deadline(RETRY_NS) >= deadline_ns)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "no back end came back", 0);
        nanosleep(&pause, NULL);
    }
    if (result == L4VIO_OK)
        result = l4vio_frontend_identify(frontend, properties, identity, deadline_ns, error);
    return result;
}

int l4vio_frontend_peer_alive(void *self)
{
    struct l4vio_vhost_user *frontend = self;
    struct pollfd poll_fd = {.fd = atomic_load(&frontend->socket), .events = POLLRDHUP};

    if (atomic_load(&frontend->dead) || poll_fd.fd < 0)
        return L4VIO_EPIPE;
    if (poll(&poll_fd, 1, 0) <= 0)
        return L4VIO_OK;
    atomic_store(&frontend->dead, true);
    return L4VIO_EPIPE;
}

intptr_t l4vio_frontend_peer_handle(void *self)
{
    struct l4vio_vhost_user *frontend = self;
    int socket = atomic_load(&frontend->socket);

    return socket < 0 ? L4VIO_NO_HANDLE : (intptr_t)socket;
}

void l4vio_frontend_close(void *self)
{
    struct l4vio_vhost_user *frontend = self;

    hang_up(frontend);
    l4vio_frontend_drop_inflight(frontend);
    l4vio_local_unlisten(&frontend->listener);
}

void l4vio_vhost_user_describe(const struct l4vio_vhost_user *connection,
                               struct l4vio_vhost_user_info *info)
{
    *info = connection->info;
}

void l4vio_vhost_user_free(struct l4vio_vhost_user *connection)
{
    if (!connection)
        return;
    l4vio_frontend_close(connection);
    pthread_mutex_destroy(&connection->lock);
    l4vio_turn_destroy(&connection->turn);
    free(connection);
}
