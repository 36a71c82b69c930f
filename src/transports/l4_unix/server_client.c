/* SPDX-License-Identifier: MIT */
/* A client's storage, device and descriptors. */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/l4_unix/server.h"

struct l4vio_served_client *l4vio_client_new(struct l4vio_l4_server *server, int socket)
{
    for (unsigned slot = 0; slot < server->config.quotas.clients; slot++) {
        if (server->clients[slot])
            continue;
        struct l4vio_served_client *client = calloc(1, sizeof(*client));
        if (!client)
            return NULL;
        client->server = server;
        client->slot = (uint16_t)slot;
        client->generation = ++server->next_generation;
        client->socket = socket;
        client->page_memory.handle = L4VIO_NO_HANDLE;
        client->deadline_ns = l4vio_linux_deadline(
            (uint64_t)server->config.quotas.hello_timeout_ms * UINT64_C(1000000));
        /* Workers look clients up by slot. */
        l4vio_control_enter(server);
        server->clients[slot] = client;
        l4vio_control_leave(server);
        atomic_fetch_add(&server->client_count, 1);
        return client;
    }
    return NULL;
}

struct l4vio_served_client *l4vio_client_find(const struct l4vio_l4_server *server,
                                              struct l4vio_event event)
{
    if (event.slot >= server->config.quotas.clients)
        return NULL;
    struct l4vio_served_client *client = server->clients[event.slot];
    return client && client->generation == event.generation ? client : NULL;
}

/* Device to driver; called by the worker of a queue, or with control. */
static void trigger(void *self, uint32_t index)
{
    struct l4vio_served_client *client = self;
    const struct l4vio_platform *platform = &client->server->platform;

    if (index < client->server->index_count && client->to_driver[index].handle >= 0)
        platform->ops->notification_trigger(platform->self, &client->to_driver[index]);
}

static void release_region(void *self, const struct l4vio_device_region *region)
{
    (void)self;
    l4vio_memfd_unmap(region->base, region->size_bytes);
}

static bool allocate(struct l4vio_served_client *client)
{
    const struct l4vio_l4_server *server = client->server;
    uint32_t queues = server->config.service.queue_count;
    uint32_t indexes = server->index_count;

    client->regions = calloc(server->config.quotas.regions, sizeof(*client->regions));
    client->queues = calloc(queues, sizeof(*client->queues));
    client->to_device = calloc(indexes, sizeof(*client->to_device));
    client->to_driver = calloc(indexes, sizeof(*client->to_driver));
    /* Each for itself: what is here is closed, whatever else there was no memory for. */
    for (uint32_t i = 0; client->to_device && i < indexes; i++)
        client->to_device[i].handle = L4VIO_NO_HANDLE;
    for (uint32_t i = 0; client->to_driver && i < indexes; i++)
        client->to_driver[i].handle = L4VIO_NO_HANDLE;
    for (uint32_t i = 0; client->queues && i < queues; i++) {
        client->queues[i] = (struct l4vio_served_queue){.client = client, .index = i};
        l4vio_spin_init(&client->queues[i].spin, server->config.spin_mode, server->config.spin_ns);
    }
    return client->regions && client->queues && client->to_device && client->to_driver;
}

/* What protects the server is the device's to keep: a service that forgot is told at once. */
static int check_device(const struct l4vio_served_client *client, struct l4vio_error *error)
{
    const struct l4vio_l4_server_config *config = &client->server->config;
    const struct l4vio_device_config *device = &client->device->config;

    if (device->queue_count != config->service.queue_count)
        return l4vio_fail(error, L4VIO_EINVAL, "the device has another number of queues",
                          device->queue_count);
    if (device->regions != client->regions || device->region_count > config->quotas.regions ||
        device->mapped_bytes_max == 0 || device->mapped_bytes_max > config->quotas.mapped_bytes ||
        device->release_region != release_region)
        return l4vio_fail(error, L4VIO_EINVAL, "the device does not use what the server gave it",
                          0);
    return L4VIO_OK;
}

static int make_device(struct l4vio_served_client *client, struct l4vio_error *error)
{
    const struct l4vio_l4_server_config *config = &client->server->config;
    const struct l4vio_service *service = &config->service;
    struct l4vio_service_client given = {
        .regions = client->regions,
        .region_count = config->quotas.regions,
        .mapped_bytes_max = config->quotas.mapped_bytes,
        .release_region = release_region,
        .release_self = client,
        .trace = config->trace,
    };
    int result =
        service->ops->create(service->self, &given, &client->instance, &client->device, error);

    if (result == L4VIO_OK)
        result = check_device(client, error);
    for (uint32_t i = 0; result == L4VIO_OK && i < service->queue_count; i++) {
        if (service->ops->set_worker)
            service->ops->set_worker(client->instance, i,
                                     l4vio_worker_of(client->server, i)->context);
    }
    return result;
}

static int make_page(struct l4vio_served_client *client, struct l4vio_error *error)
{
    const struct l4vio_l4_server *server = client->server;
    const struct l4vio_platform *platform = &server->platform;
    int result = platform->ops->dataspace_allocate(platform->self, L4VIO_PAGE_BYTES,
                                                   &client->page_memory, error);

    if (result < 0)
        return result;
    struct l4vio_device_page_config page = {
        .device = client->device,
        .page = client->page_memory.base,
        .cmd_mode = server->config.cmd_mode,
        .notification_count = server->index_count,
        .kick_per_queue = true,
        .trigger = trigger,
        .trigger_self = client,
    };
    return l4vio_device_page_init(&client->page, &page, error);
}

/*
 * Edge-triggered, and never read: every kick is an event, whatever the counter says, and a driver that
 * plays with the counter only loses kicks of its own.
 */
static int watch_kicks(struct l4vio_served_client *client, struct l4vio_error *error)
{
    struct l4vio_l4_server *server = client->server;
    const struct l4vio_platform *platform = &server->platform;
    struct l4vio_event event = {.generation = client->generation, .slot = client->slot};

    for (uint32_t i = 0; i < server->index_count; i++) {
        int result =
            platform->ops->notification_create(platform->self, &client->to_device[i], error);
        if (result < 0)
            return result;
        int fd = (int)client->to_device[i].handle;
        bool of_queue = i < server->config.service.queue_count;
        int epoll = of_queue ? l4vio_worker_of(server, i)->epoll : server->epoll;
        event.source = (uint16_t)i;
        result = l4vio_server_watch(epoll, fd, EPOLLIN | EPOLLET, event);
        /* By index 0 a driver also tells of commands, which are the main thread's. */
        if (result == L4VIO_OK && i == 0 && epoll != server->epoll && server->config.cmd_mode)
            result = l4vio_server_watch(server->epoll, fd, EPOLLIN | EPOLLET, event);
        if (result < 0)
            return l4vio_fail(error, result, "epoll does not take a notification", i);
    }
    return L4VIO_OK;
}

int l4vio_client_make_device(struct l4vio_served_client *client, struct l4vio_error *error)
{
    if (!allocate(client))
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    int result = make_device(client, error);
    if (result == L4VIO_OK)
        result = make_page(client, error);
    if (result == L4VIO_OK)
        result = watch_kicks(client, error);
    client->device_made = result == L4VIO_OK;
    return result;
}

/* The driver holds the other ends, so closing alone would not take them out of the sets. */
static void unwatch_kicks(struct l4vio_served_client *client)
{
    struct l4vio_l4_server *server = client->server;

    for (uint32_t i = 0; client->to_device && i < server->index_count; i++) {
        int fd = (int)client->to_device[i].handle;
        if (fd < 0)
            continue;
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, NULL);
        if (i < server->config.service.queue_count)
            epoll_ctl(l4vio_worker_of(server, i)->epoll, EPOLL_CTL_DEL, fd, NULL);
    }
}

static void free_descriptors(struct l4vio_served_client *client)
{
    const struct l4vio_platform *platform = &client->server->platform;

    for (uint32_t i = 0; i < client->server->index_count; i++) {
        if (client->to_device)
            platform->ops->notification_destroy(platform->self, &client->to_device[i]);
        if (client->to_driver)
            platform->ops->notification_destroy(platform->self, &client->to_driver[i]);
    }
    platform->ops->dataspace_free(platform->self, &client->page_memory);
    if (client->socket >= 0)
        l4vio_socket_hang_up(client->socket);
}

/* With control, and quiet. */
static void free_client(struct l4vio_served_client *client)
{
    struct l4vio_l4_server *server = client->server;
    const struct l4vio_service *service = &server->config.service;

    unwatch_kicks(client);
    for (unsigned i = 0; i < server->worker_count; i++)
        l4vio_worker_forget(&server->workers[i], client);
    server->clients[client->slot] = NULL;
    if (client->device_made)
        l4vio_device_reset(client->device);
    if (client->device)
        service->ops->destroy(service->self, client->instance);
    free_descriptors(client);
    free(client->regions);
    free(client->queues);
    free(client->to_device);
    free(client->to_driver);
    free(client);
    /* Last, so that whoever sees no client sees nothing of it left either. */
    atomic_fetch_sub(&server->client_count, 1);
}

unsigned l4vio_client_in_flight(const struct l4vio_served_client *client, uint32_t queue)
{
    const struct l4vio_service_ops *ops = client->server->config.service.ops;

    return ops->in_flight ? ops->in_flight(client->instance, queue) : 0;
}

/* Whether the service holds none of the client's requests, or of those of one queue. */
static bool is_quiet(const struct l4vio_served_client *client, uint32_t queue)
{
    for (uint32_t i = 0; client->device_made && i < client->server->config.service.queue_count;
         i++) {
        if ((i == queue || queue == L4VIO_SERVER_ALL_QUEUES) && l4vio_client_in_flight(client, i))
            return false;
    }
    return true;
}

bool l4vio_client_stop(struct l4vio_served_client *client, uint32_t queue)
{
    l4vio_control_enter(client->server);
    bool quiet = is_quiet(client, queue);
    if (!quiet) {
        /* The end of a client comes on top of what it is waiting for. */
        client->server->stopping += !client->stopping;
        client->stopping = true;
        client->stopping_queue = queue;
        l4vio_client_activate(client);
    }
    l4vio_control_leave(client->server);
    return quiet;
}

/* Returns whether nothing is in flight any more; a client that was to end is gone then. */
bool l4vio_client_go_on(struct l4vio_served_client *client)
{
    struct l4vio_l4_server *server = client->server;

    l4vio_control_enter(server);
    bool ending = client->state == L4VIO_CLIENT_ENDING;
    bool quiet = is_quiet(client, client->stopping && !ending ? client->stopping_queue
                                                              : L4VIO_SERVER_ALL_QUEUES);
    if (quiet && client->stopping) {
        client->stopping = false;
        server->stopping--;
        l4vio_client_activate(client);
    }
    if (quiet && ending)
        free_client(client);
    l4vio_control_leave(server);
    return quiet;
}

void l4vio_client_activate(struct l4vio_served_client *client)
{
    for (uint32_t i = 0; client->device_made && i < client->server->config.service.queue_count; i++)
        l4vio_worker_activate(l4vio_worker_of(client->server, i), &client->queues[i]);
}

void l4vio_client_tell_failure(struct l4vio_served_client *client)
{
    const struct l4vio_device *device = client->device;

    if (!client->device_made || device->failures == client->failures_told)
        return;
    atomic_fetch_add(&client->server->device_failures, device->failures - client->failures_told);
    client->failures_told = device->failures;
    l4vio_server_log(client->server, "client %u: device needs a reset: %s (%llu)",
                     client->generation, device->failure.text ? device->failure.text : "?",
                     (unsigned long long)device->failure.value);
}
