/* SPDX-License-Identifier: MIT */
/* Serving queues: turn by turn, so that no client and no queue keeps the others waiting. */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ordering.h"
#include "platforms/linux/linux.h"
#include "transports/server/server.h"

/* Chains that one queue gets served before the next one has its turn. */
#define CHAINS_PER_TURN 32u

/* Looks at the rings between two looks at the descriptors, while spinning. */
#define LOOKS_PER_TURN 64

#define EVENTS 64

struct l4vio_worker *l4vio_worker_of(struct l4vio_server *server, uint32_t queue)
{
    return &server->workers[server->worker_count > 1 ? queue : 0];
}

static void append(struct l4vio_worker *worker, struct l4vio_served_queue *queue)
{
    queue->active = true;
    queue->next = NULL;
    *worker->tail = queue;
    worker->tail = &queue->next;
}

void l4vio_worker_activate(struct l4vio_worker *worker, struct l4vio_served_queue *queue)
{
    queue->due = true;
    if (!queue->active)
        append(worker, queue);
}

void l4vio_worker_forget(struct l4vio_worker *worker, const struct l4vio_served_client *client)
{
    struct l4vio_served_queue **link = &worker->head;

    while (*link) {
        if ((*link)->client == client) {
            (*link)->active = false;
            *link = (*link)->next;
        } else {
            link = &(*link)->next;
        }
    }
    worker->tail = link;
}

/* What the service has in work comes back through the worker's descriptor, where it has one. */
static bool must_poll(const struct l4vio_worker *worker, const struct l4vio_served_client *client,
                      uint32_t queue)
{
    return worker->service_fd < 0 && l4vio_client_in_flight(client, queue) != 0;
}

/* Takes no more, only completions in. */
static bool serve_stopped(struct l4vio_worker *worker, struct l4vio_served_client *client,
                          uint32_t queue)
{
    const struct l4vio_service_ops *ops = worker->server->config.service.ops;

    if (ops->in_flight)
        ops->process(client->instance, queue, 0);
    return must_poll(worker, client, queue);
}

/* The ring is empty: look a while longer, or ask for kicks and look again. */
static bool go_to_sleep(struct l4vio_served_queue *queue, struct l4vio_device_queue *ring)
{
    if (!queue->spinning) {
        queue->spin_span_ns = l4vio_spin_begin(&queue->spin);
        queue->spin_start_ns = queue->spin_now_ns = 0;
        queue->spinning = queue->spin_span_ns != 0;
    }
    if (queue->spinning)
        return true;
    queue->due = l4vio_device_queue_arm(ring);
    return queue->due;
}

static void found_something(struct l4vio_served_queue *queue)
{
    if (queue->spinning)
        l4vio_spin_found(&queue->spin, queue->spin_now_ns - queue->spin_start_ns);
    queue->spinning = false;
}

/* Serves one queue for one turn; returns whether it wants another one. */
static bool serve(struct l4vio_worker *worker, struct l4vio_served_queue *queue, unsigned *worked)
{
    struct l4vio_served_client *client = queue->client;
    const struct l4vio_service_ops *ops = worker->server->config.service.ops;
    struct l4vio_device_queue *ring = l4vio_device_queue(client->device, queue->index);
    bool due = queue->due;

    queue->due = false;
    if (queue->off || l4vio_client_stops(client, queue->index) || !ring ||
        !l4vio_device_live(client->device)) {
        queue->spinning = false;
        return serve_stopped(worker, client, queue->index);
    }
    if (queue->spinning && !due && !l4vio_device_queue_has_avail(ring))
        return true;

    unsigned before = l4vio_client_in_flight(client, queue->index);
    l4vio_device_queue_disarm(ring);
    unsigned taken = ops->process(client->instance, queue->index, CHAINS_PER_TURN);
    if (taken)
        found_something(queue);
    if (taken || l4vio_client_in_flight(client, queue->index) != before)
        *worked += taken + 1;
    if (!l4vio_device_live(client->device)) {
        l4vio_server_signal(worker->server->wake); /* It has just failed: for the log. */
        return must_poll(worker, client, queue->index);
    }
    queue->due =
        must_poll(worker, client, queue->index) || (taken && l4vio_device_queue_has_avail(ring));
    if (queue->due)
        return true;
    if (ops->full && ops->full(client->instance, queue->index)) {
        queue->spinning = false;
        return false; /* A completion brings it back. */
    }
    return go_to_sleep(queue, ring);
}

/* With the lock: every queue that is active now gets one turn. Counts the work that was done. */
static void round_of_turns(struct l4vio_worker *worker, unsigned *worked)
{
    struct l4vio_served_queue *queue = worker->head;

    worker->head = NULL;
    worker->tail = &worker->head;
    while (queue) {
        struct l4vio_served_queue *next = queue->next;
        queue->active = false;
        if (serve(worker, queue, worked))
            append(worker, queue);
        queue = next;
    }
}

/* Whether a queue that looks in vain is to go on. */
static bool goes_on(struct l4vio_served_queue *queue, uint64_t now)
{
    if (queue->spin_start_ns == 0)
        queue->spin_start_ns = now;
    queue->spin_now_ns = now;
    if (now - queue->spin_start_ns < queue->spin_span_ns)
        return true;
    l4vio_spin_failed(&queue->spin);
    queue->spinning = false;
    struct l4vio_device_queue *ring = l4vio_device_queue(queue->client->device, queue->index);
    queue->due = ring && l4vio_device_queue_arm(ring);
    return queue->due;
}

/* The only look at the clock, after many at the rings; and none if nothing spins. */
static void mind_spins(struct l4vio_worker *worker)
{
    struct l4vio_served_queue *queue = worker->head;
    uint64_t now = 0;

    worker->head = NULL;
    worker->tail = &worker->head;
    while (queue) {
        struct l4vio_served_queue *next = queue->next;
        queue->active = false;
        if (queue->spinning && now == 0)
            now = l4vio_linux_deadline(0);
        if (!queue->spinning || goes_on(queue, now))
            append(worker, queue);
        queue = next;
    }
}

/* Whether the worker has queues of the client that stop, and nothing of them is in flight. */
static bool has_let_go(const struct l4vio_worker *worker, const struct l4vio_served_client *client)
{
    bool any = false;

    for (uint32_t i = worker->first; i < worker->end; i++) {
        if (!l4vio_client_stops(client, i))
            continue;
        if (l4vio_client_in_flight(client, i))
            return false;
        any = true;
    }
    return any;
}

/*
 * Tells the main thread, which has put something off until then. Not by the queue's own turn: queues of a
 * worker share its way into the store, so the last completion may come in by the turn of another queue, or
 * of another client.
 */
static void tell_main_thread(struct l4vio_worker *worker)
{
    const struct l4vio_server *server = worker->server;

    for (unsigned i = 0; server->stopping && i < server->config.quotas.clients; i++) {
        const struct l4vio_served_client *client = server->clients[i];
        if (client && client->put_off && client->device_made && has_let_go(worker, client))
            l4vio_server_signal(server->wake);
    }
}

/*
 * One turn of the worker: as much work as one queue may have done at once, or a number of looks, then
 * the descriptors are looked at again, by which other clients ask for their turn.
 */
void l4vio_worker_turn(struct l4vio_worker *worker)
{
    unsigned worked = 0;

    for (int i = 0; i < LOOKS_PER_TURN && worked <= CHAINS_PER_TURN; i++) {
        round_of_turns(worker, &worked);
        if (!worker->head)
            break;
        l4vio_relax();
    }
    if (worker->head)
        mind_spins(worker);
    tell_main_thread(worker);
}

/* Of which queue something came, only the queues can tell. */
static void service_ready(struct l4vio_worker *worker)
{
    const struct l4vio_server *server = worker->server;
    const struct l4vio_service *service = &server->config.service;

    if (service->ops->worker_ready)
        service->ops->worker_ready(service->self, worker->context);
    for (unsigned slot = 0; slot < server->config.quotas.clients; slot++) {
        struct l4vio_served_client *client = server->clients[slot];
        if (!client || !client->device_made)
            continue;
        for (uint32_t i = worker->first; i < worker->end; i++) {
            if (!service->ops->awaits || service->ops->awaits(client->instance, i))
                l4vio_worker_activate(worker, &client->queues[i]);
        }
    }
}

/* A kick. Drivers that know one index only kick all their queues by index 0. */
static void kicked(struct l4vio_worker *worker, struct l4vio_served_client *client, uint32_t index)
{
    for (uint32_t i = worker->first; i < worker->end; i++) {
        struct l4vio_device_queue *ring = l4vio_device_queue(client->device, i);
        if (!ring)
            continue;
        if (i == index)
            l4vio_device_queue_kicked(ring, i);
        if (i == index || (index == 0 && l4vio_device_queue_has_avail(ring)))
            l4vio_worker_activate(worker, &client->queues[i]);
    }
}

void l4vio_worker_event(struct l4vio_worker *worker, struct l4vio_event event)
{
    if (event.slot == L4VIO_SERVER_SLOT) {
        if (event.source == L4VIO_SOURCE_SERVICE)
            service_ready(worker);
        if (event.source == L4VIO_SOURCE_WAKE && worker->wake >= 0) {
            uint64_t count;
            ssize_t got = read(worker->wake, &count, sizeof(count));
            (void)got;
        }
        return;
    }
    struct l4vio_served_client *client = l4vio_client_find(worker->server, event);
    if (client && client->device_made)
        kicked(worker, client, event.source);
}

/*
 * The main thread goes first: a mutex alone would let a busy worker take it again and again. In the
 * main thread itself nobody ever waits here.
 */
static void worker_enter(struct l4vio_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (atomic_load(&worker->wanted))
        pthread_cond_wait(&worker->free, &worker->lock);
}

void l4vio_control_enter(struct l4vio_server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        atomic_store(&server->workers[i].wanted, true);
        pthread_mutex_lock(&server->workers[i].lock);
    }
}

void l4vio_control_leave(struct l4vio_server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct l4vio_worker *worker = &server->workers[i];
        bool wake = worker->started && worker->head;
        atomic_store(&worker->wanted, false);
        pthread_cond_signal(&worker->free);
        pthread_mutex_unlock(&worker->lock);
        if (wake)
            l4vio_server_signal(worker->wake);
    }
}

static int open_context(struct l4vio_worker *worker, struct l4vio_error *error)
{
    const struct l4vio_service *service = &worker->server->config.service;
    struct l4vio_event event = {.slot = L4VIO_SERVER_SLOT, .source = L4VIO_SOURCE_SERVICE};

    worker->service_fd = -1;
    if (service->ops->worker_open) {
        int result = service->ops->worker_open(service->self, &worker->context, error);
        if (result < 0)
            return result;
        worker->context_open = true;
    }
    if (service->ops->worker_handle)
        worker->service_fd = (int)service->ops->worker_handle(service->self, worker->context);
    if (worker->service_fd >= 0 &&
        l4vio_server_watch(worker->epoll, worker->service_fd, EPOLLIN, event) < 0)
        return l4vio_fail(error, L4VIO_ENOMEM, "epoll does not take the service's descriptor", 0);
    return L4VIO_OK;
}

static void close_context(struct l4vio_worker *worker)
{
    const struct l4vio_service *service = &worker->server->config.service;

    if (worker->service_fd >= 0)
        epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->service_fd, NULL);
    if (worker->context_open && service->ops->worker_close)
        service->ops->worker_close(service->self, worker->context);
    worker->context = NULL;
    worker->context_open = false;
    worker->service_fd = -1;
}

static void *worker_main(void *argument)
{
    struct l4vio_worker *worker = argument;
    struct epoll_event events[EVENTS];
    bool busy = false;

    while (!atomic_load(&worker->server->workers_end)) {
        int count = epoll_wait(worker->epoll, events, EVENTS, busy ? 0 : -1);
        worker_enter(worker);
        for (int i = 0; i < count; i++)
            l4vio_worker_event(worker, l4vio_server_event(events[i].data.u64));
        l4vio_worker_turn(worker);
        busy = worker->head != NULL;
        pthread_mutex_unlock(&worker->lock);
    }
    return NULL;
}

/* Signals are for the threads of the program; a fault is its own thread's, or ends the process. */
static int start_thread(struct l4vio_worker *worker, struct l4vio_error *error)
{
    sigset_t all, old;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code)
        return l4vio_fail(error, L4VIO_ENOMEM, "thread cannot be created", (uint64_t)code);
    worker->started = true;
    return L4VIO_OK;
}

static int open_worker(struct l4vio_server *server, unsigned number, struct l4vio_error *error)
{
    struct l4vio_worker *worker = &server->workers[number];
    struct l4vio_event event = {.slot = L4VIO_SERVER_SLOT, .source = L4VIO_SOURCE_WAKE};
    bool threads = server->config.thread_per_queue;

    worker->server = server;
    worker->first = number;
    worker->end = threads ? number + 1 : server->config.service.queue_count;
    worker->tail = &worker->head;
    worker->epoll = server->epoll;
    worker->wake = -1;
    if (threads) {
        worker->epoll = epoll_create1(EPOLL_CLOEXEC);
        worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (worker->epoll < 0 || worker->wake < 0 ||
            l4vio_server_watch(worker->epoll, worker->wake, EPOLLIN, event) < 0)
            return l4vio_fail(error, L4VIO_ENOMEM, "descriptors have run out", (uint64_t)errno);
    }
    int result = open_context(worker, error);
    return result < 0 || !threads ? result : start_thread(worker, error);
}

int l4vio_workers_start(struct l4vio_server *server, struct l4vio_error *error)
{
    int result = L4VIO_OK;

    atomic_store(&server->workers_end, false);
    for (unsigned i = 0; i < server->worker_count; i++) {
        server->workers[i] = (struct l4vio_worker){.epoll = -1, .wake = -1, .service_fd = -1};
        server->workers[i].server = server;
        pthread_mutex_init(&server->workers[i].lock, NULL);
        pthread_cond_init(&server->workers[i].free, NULL);
    }
    for (unsigned i = 0; result == L4VIO_OK && i < server->worker_count; i++)
        result = open_worker(server, i, error);
    if (result < 0)
        l4vio_workers_stop(server);
    return result;
}

void l4vio_workers_stop(struct l4vio_server *server)
{
    atomic_store(&server->workers_end, true);
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct l4vio_worker *worker = &server->workers[i];
        if (worker->started) {
            l4vio_server_signal(worker->wake);
            pthread_join(worker->thread, NULL);
            worker->started = false;
        }
        close_context(worker);
        if (worker->wake >= 0)
            close(worker->wake);
        if (worker->epoll >= 0 && worker->epoll != server->epoll)
            close(worker->epoll);
        pthread_mutex_destroy(&worker->lock);
        pthread_cond_destroy(&worker->free);
    }
}
