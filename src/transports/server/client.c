/* SPDX-License-Identifier: MIT */
/* A client's storage and device, and the stops of its queues. */
#include <stdlib.h>

#include "platforms/linux/linux.h"
#include "platforms/linux/socket.h"
#include "transports/server/server.h"

/* Memory for a client and what the protocol keeps of it. */
static struct l4vio_served_client *allocate_client(size_t own_bytes)
{
    struct l4vio_served_client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    client->own = calloc(1, own_bytes);
    if (client->own)
        return client;
    free(client);
    return NULL;
}

struct l4vio_served_client *l4vio_client_new(struct l4vio_server *server, int socket)
{
    for (unsigned slot = 0; slot < server->config.quotas.clients; slot++) {
        if (server->clients[slot])
            continue;
        struct l4vio_served_client *client = allocate_client(server->protocol->client_bytes);
        if (!client)
            return NULL;
        client->server = server;
        client->slot = (uint16_t)slot;
        client->generation = ++server->next_generation;
        client->socket = socket;
        client->deadline_ns = l4vio_linux_deadline(
            (uint64_t)server->config.quotas.hello_timeout_ms * UINT64_C(1000000));
        server->protocol->begin(client);
        /* Workers look clients up by slot. */
        l4vio_control_enter(server);
        server->clients[slot] = client;
        l4vio_control_leave(server);
        atomic_fetch_add(&server->client_count, 1);
        return client;
    }
    return NULL;
}

struct l4vio_served_client *l4vio_client_find(const struct l4vio_server *server,
                                              struct l4vio_event event)
{
    if (event.slot >= server->config.quotas.clients)
        return NULL;
    struct l4vio_served_client *client = server->clients[event.slot];
    return client && client->generation == event.generation ? client : NULL;
}

static bool allocate(struct l4vio_served_client *client)
{
    const struct l4vio_server *server = client->server;
    uint32_t queues = server->config.service.queue_count;

    client->regions = calloc(server->config.quotas.regions, sizeof(*client->regions));
    client->queues = calloc(queues, sizeof(*client->queues));
    for (uint32_t i = 0; client->queues && i < queues; i++) {
        client->queues[i] = (struct l4vio_served_queue){.client = client, .index = i};
        l4vio_spin_init(&client->queues[i].spin, server->config.spin_mode, server->config.spin_ns);
    }
    return client->regions && client->queues;
}

/* What protects the server is the device's to keep: a service that forgot is told at once. */
static int check_device(const struct l4vio_served_client *client, struct l4vio_error *error)
{
    const struct l4vio_server_config *config = &client->server->config;
    const struct l4vio_device_config *device = &client->device->config;

    if (device->queue_count != config->service.queue_count)
        return l4vio_fail(error, L4VIO_EINVAL, "the device has another number of queues",
                          device->queue_count);
    if (device->regions != client->regions || device->region_count > config->quotas.regions ||
        device->mapped_bytes_max == 0 || device->mapped_bytes_max > config->quotas.mapped_bytes ||
        device->release_region != client->server->protocol->release_region)
        return l4vio_fail(error, L4VIO_EINVAL, "the device does not use what the server gave it",
                          0);
    return L4VIO_OK;
}

static int make_device(struct l4vio_served_client *client, struct l4vio_error *error)
{
    const struct l4vio_server_config *config = &client->server->config;
    const struct l4vio_service *service = &config->service;
    struct l4vio_service_client given = {
        .regions = client->regions,
        .region_count = config->quotas.regions,
        .mapped_bytes_max = config->quotas.mapped_bytes,
        .release_region = client->server->protocol->release_region,
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

int l4vio_client_make_device(struct l4vio_served_client *client, struct l4vio_error *error)
{
    if (!allocate(client))
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    int result = make_device(client, error);
    if (result == L4VIO_OK)
        result = client->server->protocol->make(client, error);
    client->device_made = result == L4VIO_OK;
    return result;
}

/* Ports whose memory survives a reset leave it here. */
static void take_device_back(struct l4vio_device *device)
{
    l4vio_device_reset(device);
    while (device->memory.count) {
        struct l4vio_device_region region = device->memory.regions[0];
        if (l4vio_device_remove_region(device, region.device_address, region.size_bytes) < 0)
            return;
    }
}

/* With control, and quiet. */
static void free_client(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;
    const struct l4vio_service *service = &server->config.service;

    server->protocol->forget(client);
    for (unsigned i = 0; i < server->worker_count; i++)
        l4vio_worker_forget(&server->workers[i], client);
    server->clients[client->slot] = NULL;
    if (client->device_made)
        take_device_back(client->device);
    if (client->device)
        service->ops->destroy(service->self, client->instance);
    server->protocol->end(client);
    if (client->socket >= 0)
        l4vio_socket_hang_up(client->socket);
    free(client->regions);
    free(client->queues);
    free(client->own);
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

/* A second stop waits for both; the end of a client does not wait for what was put off. */
bool l4vio_client_stop(struct l4vio_served_client *client, uint32_t queue)
{
    l4vio_control_enter(client->server);
    bool second = client->stopping;
    client->server->stopping += !second;
    client->stopping_queue =
        second && client->stopping_queue != queue ? L4VIO_SERVER_ALL_QUEUES : queue;
    client->stopping = true;
    bool quiet = is_quiet(client, client->stopping_queue) &&
                 (!second || client->state == L4VIO_CLIENT_ENDING);
    client->put_off = client->put_off || !quiet;
    if (!quiet)
        l4vio_client_activate(client);
    l4vio_control_leave(client->server);
    return quiet;
}

/* The client may take what it wants again, after what was put off has run. */
static void go(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;

    l4vio_control_enter(server);
    if (client->stopping) {
        client->stopping = client->put_off = false;
        server->stopping--;
        l4vio_client_activate(client);
    }
    l4vio_control_leave(server);
}

void l4vio_client_resume(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;
    struct l4vio_event self = l4vio_client_event(client, 0);

    l4vio_control_enter(server);
    bool ending = client->state == L4VIO_CLIENT_ENDING;
    bool quiet = is_quiet(client, client->stopping_queue);
    if (quiet && ending) {
        server->stopping--;
        free_client(client);
    }
    l4vio_control_leave(server);
    if (!quiet || ending)
        return;
    server->protocol->resume(client);
    if (l4vio_client_find(server, self) == client && client->state != L4VIO_CLIENT_ENDING)
        go(client);
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
