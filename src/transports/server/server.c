/* SPDX-License-Identifier: MIT */
/* Making, ending and asking a server. */
#include "transports/server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_CLIENTS 1024u
#define MAX_REGIONS 4096u

void l4vio_server_log(struct l4vio_server *server, const char *format, ...)
{
    char line[256];
    va_list arguments;

    if (!server->config.log)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&server->log_lock);
    server->config.log(server->config.log_self, line);
    pthread_mutex_unlock(&server->log_lock);
}

int l4vio_server_watch(int epoll, int fd, uint32_t events, struct l4vio_event event)
{
    uint64_t data =
        (uint64_t)event.generation << 32 | (uint64_t)event.slot << 16 | (uint64_t)event.source;
    struct epoll_event epoll_event = {.events = events, .data.u64 = data};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &epoll_event) < 0 ? L4VIO_ENOMEM : L4VIO_OK;
}

struct l4vio_event l4vio_server_event(uint64_t data)
{
    return (struct l4vio_event){.generation = (uint32_t)(data >> 32),
                                .slot = (uint16_t)(data >> 16),
                                .source = (uint16_t)data};
}

/* An eventfd of our own: nobody else can fill it. Safe in a signal handler. */
void l4vio_server_signal(int fd)
{
    uint64_t one = 1;
    int saved = errno;
    ssize_t written = write(fd, &one, sizeof(one));

    (void)written; /* Full is as good as signalled. */
    errno = saved;
}

static void fill_defaults(struct l4vio_server *server)
{
    struct l4vio_server_config *config = &server->config;
    struct l4vio_server_quotas *quotas = &config->quotas;
    const struct l4vio_server_protocol *protocol = server->protocol;

    quotas->clients = quotas->clients ? quotas->clients : protocol->clients;
    quotas->regions = quotas->regions ? quotas->regions : 64;
    quotas->mapped_bytes = quotas->mapped_bytes ? quotas->mapped_bytes : UINT64_C(16) << 30;
    quotas->calls_per_turn = quotas->calls_per_turn ? quotas->calls_per_turn : 32;
    quotas->hello_timeout_ms =
        quotas->hello_timeout_ms ? quotas->hello_timeout_ms : protocol->hello_timeout_ms;
    server->worker_count = config->thread_per_queue ? config->service.queue_count : 1;
}

static int check_config(const struct l4vio_server *server, struct l4vio_error *error)
{
    const struct l4vio_server_config *config = &server->config;
    const struct l4vio_service *service = &config->service;

    if (config->cmd_mode && !server->protocol->has_cmd_mode)
        return l4vio_fail(error, L4VIO_EINVAL, "this protocol has no cmd mode", 0);
    if (config->connect && !server->protocol->can_connect)
        return l4vio_fail(error, L4VIO_EINVAL, "clients of this protocol do not listen", 0);
    if (!config->path || !*config->path || strlen(config->path) >= sizeof(server->path))
        return l4vio_fail(error, L4VIO_EINVAL, "socket path is empty or too long",
                          config->path ? strlen(config->path) : 0);
    if (!service->ops || !service->ops->create || !service->ops->destroy || !service->ops->process)
        return l4vio_fail(error, L4VIO_EINVAL, "no service, or one that lacks a function", 0);
    if (service->queue_count == 0 || service->queue_count > L4VIO_SERVER_QUEUES_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "not between 1 and 64 queues", service->queue_count);
    if (config->quotas.clients > MAX_CLIENTS || config->quotas.regions > MAX_REGIONS)
        return l4vio_fail(error, L4VIO_EINVAL, "quota is too large",
                          config->quotas.clients > MAX_CLIENTS ? config->quotas.clients
                                                               : config->quotas.regions);
    return L4VIO_OK;
}

static int make_descriptors(struct l4vio_server *server, struct l4vio_error *error)
{
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (server->epoll < 0 || server->stop < 0 || server->wake < 0)
        return l4vio_fail(error, L4VIO_ENOMEM, "descriptors have run out", (uint64_t)errno);
    struct l4vio_event event = {.slot = L4VIO_SERVER_SLOT, .source = L4VIO_SOURCE_STOP};
    int result = l4vio_server_watch(server->epoll, server->stop, EPOLLIN, event);
    event.source = L4VIO_SOURCE_WAKE;
    if (result == L4VIO_OK)
        result = l4vio_server_watch(server->epoll, server->wake, EPOLLIN, event);
    return result < 0 ? l4vio_fail(error, result, "epoll does not take an eventfd", 0) : result;
}

static int make(struct l4vio_server *server, struct l4vio_error *error)
{
    int result = check_config(server, error);
    if (result < 0)
        return result;
    memcpy(server->path, server->config.path, strlen(server->config.path) + 1);
    server->clients = calloc(server->config.quotas.clients, sizeof(struct l4vio_served_client *));
    server->workers = calloc(server->worker_count, sizeof(*server->workers));
    if (server->protocol->mappings)
        server->mapping_count = server->config.quotas.clients *
                                (server->config.quotas.regions + server->protocol->mappings);
    server->mappings = calloc(server->mapping_count + 1u, sizeof(*server->mappings));
    if (!server->clients || !server->workers || !server->mappings)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    result = l4vio_linux_open(&server->linux_platform, &server->platform, error);
    if (result < 0)
        return result;
    if (!server->config.connect)
        result = l4vio_server_listen(server, error);
    return result < 0 ? result : make_descriptors(server, error);
}

int l4vio_server_open(const struct l4vio_server_config *config, struct l4vio_server **out,
                      struct l4vio_error *error)
{
    if (!config->protocol)
        return l4vio_fail(error, L4VIO_EINVAL, "no protocol", 0);
    struct l4vio_server *server = calloc(1, sizeof(*server));
    if (!server)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    server->config = *config;
    server->protocol = config->protocol;
    server->listener.fd = server->epoll = server->stop = server->wake = server->reserve = -1;
    pthread_mutex_init(&server->log_lock, NULL);
    fill_defaults(server);
    int result = make(server, error);
    if (result < 0) {
        l4vio_server_close(server);
        return result;
    }
    for (unsigned i = 0; i < config->allowed_uid_count; i++) {
        if (!config->connect && config->allowed_uids[i] != geteuid() &&
            config->allowed_uids[i] != 0)
            l4vio_server_log(server,
                             "the socket has mode 0600: uid %u also needs write permission on it",
                             config->allowed_uids[i]);
    }
    *out = server;
    return L4VIO_OK;
}

void l4vio_server_stop(struct l4vio_server *server)
{
    l4vio_server_signal(server->stop);
}

void l4vio_server_counters_read(const struct l4vio_server *server,
                                struct l4vio_server_counters *counters)
{
    counters->clients_accepted = atomic_load(&server->accepted);
    counters->clients_refused = atomic_load(&server->refused);
    counters->clients_gone = atomic_load(&server->gone);
    counters->protocol_errors = atomic_load(&server->protocol_errors);
    counters->device_failures = atomic_load(&server->device_failures);
    counters->clients = atomic_load(&server->client_count);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void l4vio_server_close(struct l4vio_server *server)
{
    if (!server)
        return;
    /* l4vio_server_run has ended all clients before it returned. */
    l4vio_local_unlisten(&server->listener);
    close_fd(server->epoll);
    close_fd(server->stop);
    close_fd(server->wake);
    close_fd(server->reserve);
    l4vio_linux_close(server->linux_platform);
    free(server->clients);
    free(server->workers);
    free(server->mappings);
    pthread_mutex_destroy(&server->log_lock);
    free(server);
}
