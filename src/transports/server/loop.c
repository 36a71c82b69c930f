/* SPDX-License-Identifier: MIT */
/* The main thread: accepts, hears calls, minds the time, ends clients. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "platforms/linux/socket.h"
#include "transports/server/server.h"

#define EVENTS          64
#define ACCEPTS_AT_ONCE 16

/* How often a client that is to listen is tried. */
#define CONNECT_PERIOD_NS UINT64_C(100000000)

/* How often a driver that writes to `cmd` without telling is looked at, before and after DRIVER_OK. */
#define LOOK_STARTING_NS UINT64_C(2000000)
#define LOOK_LIVE_NS     UINT64_C(50000000)

void l4vio_client_poll(struct l4vio_served_client *client, bool on)
{
    if (client->polled == on || client->socket < 0)
        return;
    client->polled = on;
    if (!on)
        epoll_ctl(client->server->epoll, EPOLL_CTL_DEL, client->socket, NULL);
    else if (l4vio_server_watch(client->server->epoll, client->socket, EPOLLIN,
                                l4vio_client_event(client, L4VIO_SOURCE_SOCKET)) < 0)
        l4vio_client_end(client, "cannot be listened to");
}

void l4vio_client_end(struct l4vio_served_client *client, const char *why)
{
    struct l4vio_server *server = client->server;

    if (client->state == L4VIO_CLIENT_ENDING)
        return;
    l4vio_server_log(server, "client %u: %s", client->generation, why);
    if (client->state == L4VIO_CLIENT_READY)
        atomic_fetch_add(&server->gone, 1);
    else
        server->silent--;
    l4vio_client_poll(client, false);
    l4vio_socket_hang_up(client->socket);
    client->socket = -1;
    client->state = L4VIO_CLIENT_ENDING;
    server->protocol->abandon(client);
    if (l4vio_client_stop(client, L4VIO_SERVER_ALL_QUEUES))
        l4vio_client_resume(client);
}

void l4vio_client_welcome(struct l4vio_served_client *client)
{
    client->state = L4VIO_CLIENT_READY;
    client->server->silent--;
    atomic_fetch_add(&client->server->accepted, 1);
    l4vio_server_log(client->server, "client %u: uid %u, pid %d", client->generation,
                     (unsigned)client->uid, (int)client->pid);
}

static bool allowed(const struct l4vio_server_config *config, uid_t uid)
{
    if (!config->allowed_uids)
        return uid == geteuid() || uid == 0;
    for (unsigned i = 0; i < config->allowed_uid_count; i++) {
        if (config->allowed_uids[i] == uid)
            return true;
    }
    return false;
}

static void refuse(struct l4vio_server *server, int fd, int code, const char *why, uid_t uid)
{
    server->protocol->refuse(fd, code);
    l4vio_socket_hang_up(fd);
    atomic_fetch_add(&server->refused, 1);
    l4vio_server_log(server, "refused uid %u: %s", (unsigned)uid, why);
}

/* A descriptor kept for the purpose lets us tell the client, instead of leaving it in the backlog. */
static void refuse_without_descriptor(struct l4vio_server *server)
{
    if (server->reserve < 0) /* Somebody else was quicker last time. */
        server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (server->reserve < 0)
        return;
    close(server->reserve);
    int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        refuse(server, fd, L4VIO_EBUSY, "descriptors have run out", (uid_t)-1);
    server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Lets in who is at the other end of a socket, or does not. */
static void admit(struct l4vio_server *server, int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
        !allowed(&server->config, peer.uid)) {
        refuse(server, fd, L4VIO_EPERM, "not on the list", peer.uid);
        return;
    }
    struct l4vio_served_client *client = l4vio_client_new(server, fd);
    if (!client) {
        refuse(server, fd, L4VIO_EBUSY, "as many clients as allowed are here", peer.uid);
        return;
    }
    client->uid = peer.uid;
    client->pid = peer.pid;
    server->silent++;
    l4vio_client_poll(client, true);
}

/* Whether there is no room, and who comes has to wait. */
static bool is_full(const struct l4vio_server *server)
{
    return server->protocol->waits_outside &&
           atomic_load(&server->client_count) >= server->config.quotas.clients;
}

/* Returns whether there may be another one. */
static bool accept_one(struct l4vio_server *server)
{
    if (is_full(server))
        return false;
    int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            refuse_without_descriptor(server);
        return errno == ECONNABORTED || errno == EINTR;
    }
    admit(server, fd);
    return true;
}

/* Listens while there is room, and not while the server is ending. */
static void mind_listener(struct l4vio_server *server)
{
    struct l4vio_event event = {.slot = L4VIO_SERVER_SLOT, .source = L4VIO_SOURCE_LISTEN};
    bool wanted = server->listener.fd >= 0 && !server->ending && !is_full(server);

    if (wanted == server->listening)
        return;
    if (!wanted)
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listener.fd, NULL);
    else if (l4vio_server_watch(server->epoll, server->listener.fd, EPOLLIN, event) < 0)
        return; /* Next time. */
    server->listening = wanted;
}

/* Nobody is here who could be listened to: goes to them. */
static void mind_connection(struct l4vio_server *server, uint64_t now, uint64_t *next)
{
    if (server->ending || atomic_load(&server->client_count))
        return;
    if (now >= server->next_connect_ns) {
        server->next_connect_ns = now + CONNECT_PERIOD_NS;
        int fd = l4vio_server_connect(server);
        if (fd >= 0)
            admit(server, fd);
        else if (!server->connect_told)
            l4vio_server_log(server, "nobody listens at %s yet", server->path);
        server->connect_told = fd < 0;
    }
    if (server->next_connect_ns < *next)
        *next = server->next_connect_ns;
}

static void begin_end(struct l4vio_server *server)
{
    if (server->ending)
        return;
    server->ending = true;
    mind_listener(server);
    for (unsigned i = 0; i < server->config.quotas.clients; i++) {
        if (server->clients[i])
            l4vio_client_end(server->clients[i], "the server stops");
    }
}

/* A worker has something to tell: a device failed, or a client has become quiet. */
static void look_after_clients(struct l4vio_server *server)
{
    uint64_t count;
    ssize_t got = read(server->wake, &count, sizeof(count));

    (void)got;
    l4vio_control_enter(server);
    for (unsigned i = 0; i < server->config.quotas.clients; i++) {
        struct l4vio_served_client *client = server->clients[i];
        if (client && server->protocol->woken && client->device_made)
            server->protocol->woken(client);
        if (client)
            l4vio_client_tell_failure(client);
    }
    l4vio_control_leave(server);
    for (unsigned i = 0; server->stopping && i < server->config.quotas.clients; i++) {
        if (server->clients[i] && server->clients[i]->stopping)
            l4vio_client_resume(server->clients[i]);
    }
}

static void server_event(struct l4vio_server *server, struct l4vio_event event)
{
    switch (event.source) {
    case L4VIO_SOURCE_LISTEN:
        /* Both events may come at once. */
        for (int i = 0; i < ACCEPTS_AT_ONCE && !server->ending && accept_one(server); i++)
            ;
        break;
    case L4VIO_SOURCE_STOP:
        begin_end(server);
        break;
    case L4VIO_SOURCE_WAKE:
        look_after_clients(server);
        break;
    default:
        l4vio_worker_event(&server->workers[0], event);
        break;
    }
}

static void handle_event(struct l4vio_server *server, struct l4vio_event event)
{
    struct l4vio_served_client *client;

    if (event.slot == L4VIO_SERVER_SLOT) {
        server_event(server, event);
        return;
    }
    client = l4vio_client_find(server, event);
    if (!client)
        return;
    if (event.source == L4VIO_SOURCE_SOCKET) {
        server->protocol->receive(client);
        return;
    }
    if (!server->config.thread_per_queue)
        l4vio_worker_event(&server->workers[0], event);
    server->protocol->heard(client, event.source);
}

/* Clients that have been silent for too long. */
static void mind_hellos(struct l4vio_server *server, uint64_t now, uint64_t *next)
{
    for (unsigned i = 0; server->silent && i < server->config.quotas.clients; i++) {
        struct l4vio_served_client *client = server->clients[i];
        if (!client || client->state != L4VIO_CLIENT_HELLO)
            continue;
        if (now >= client->deadline_ns) {
            atomic_fetch_add(&server->refused, 1);
            l4vio_client_end(client, "did not say hello in time");
        } else if (client->deadline_ns < *next) {
            *next = client->deadline_ns;
        }
    }
}

static void mind_commands(struct l4vio_server *server, uint64_t now, uint64_t *next)
{
    uint64_t period = UINT64_MAX;
    bool due = now >= server->next_look_ns;

    for (unsigned i = 0; i < server->config.quotas.clients; i++) {
        struct l4vio_served_client *client = server->clients[i];
        if (!client || client->state != L4VIO_CLIENT_READY)
            continue;
        if (due)
            server->protocol->look(client);
        uint64_t its = l4vio_device_live(client->device) ? LOOK_LIVE_NS : LOOK_STARTING_NS;
        period = its < period ? its : period;
    }
    if (period == UINT64_MAX)
        return;
    if (due)
        server->next_look_ns = now + period;
    if (server->next_look_ns < *next)
        *next = server->next_look_ns;
}

/* What is due by the clock; returns how long epoll_wait may sleep, in milliseconds. */
static int mind_time(struct l4vio_server *server)
{
    uint64_t next = UINT64_MAX;
    bool busy = !server->config.thread_per_queue && server->workers[0].head;

    if (server->silent || server->config.cmd_mode || server->config.connect) {
        uint64_t now = l4vio_linux_deadline(0);
        if (server->config.connect)
            mind_connection(server, now, &next);
        else
            mind_hellos(server, now, &next);
        if (server->config.cmd_mode)
            mind_commands(server, now, &next);
        if (!busy && next != UINT64_MAX)
            return next > now ? (int)((next - now) / 1000000 + 1) : 0;
    }
    return busy ? 0 : -1;
}

static void loop(struct l4vio_server *server)
{
    struct epoll_event events[EVENTS];

    while (!server->ending || atomic_load(&server->client_count)) {
        /* Time may end a client, too, and make room for the next one. */
        int timeout_ms = mind_time(server);
        mind_listener(server);
        int count = epoll_wait(server->epoll, events, EVENTS, timeout_ms);
        for (int i = 0; i < count; i++)
            handle_event(server, l4vio_server_event(events[i].data.u64));
        if (!server->config.thread_per_queue)
            l4vio_worker_turn(&server->workers[0]);
    }
}

int l4vio_server_run(struct l4vio_server *server, struct l4vio_error *error)
{
    uint64_t count;

    server->ending = false;
    server->stopping = 0;
    server->silent = 0;
    server->next_look_ns = 0;
    server->next_connect_ns = 0;
    server->connect_told = false;
    server->listening = false;
    int result = l4vio_workers_start(server, error);
    if (result < 0)
        return result;
    mind_listener(server);
    if (!server->config.connect && !server->listening)
        result = l4vio_fail(error, L4VIO_ENOMEM, "epoll does not take the socket", (uint64_t)errno);
    else
        loop(server);
    l4vio_workers_stop(server);
    ssize_t got = read(server->stop, &count, sizeof(count));
    (void)got;
    return result;
}
