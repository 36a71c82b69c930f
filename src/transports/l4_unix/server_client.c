/* SPDX-License-Identifier: MIT */
/* A client's config page and notifications. */
#include <stdlib.h>
#include <sys/epoll.h>

#include "platforms/linux/linux.h"
#include "transports/l4_unix/server.h"

void l4vio_l4_client_begin(struct l4vio_served_client *client)
{
    l4vio_l4_served(client)->page_memory.handle = L4VIO_NO_HANDLE;
}

/* Device to driver; called by the worker of a queue, or with control. */
static void trigger(void *self, uint32_t index)
{
    struct l4vio_served_client *client = self;
    const struct l4vio_l4_served *own = l4vio_l4_served(client);
    const struct l4vio_platform *platform = &client->server->platform;

    if (index < l4vio_l4_indexes(client->server) && own->to_driver[index].handle >= 0)
        platform->ops->notification_trigger(platform->self, &own->to_driver[index]);
}

void l4vio_l4_client_release(void *client, const struct l4vio_device_region *region)
{
    (void)client;
    l4vio_memfd_unmap(region->base, region->size_bytes);
}

static bool allocate(const struct l4vio_served_client *client)
{
    struct l4vio_l4_served *own = l4vio_l4_served(client);
    uint32_t indexes = l4vio_l4_indexes(client->server);

    own->to_device = calloc(indexes, sizeof(*own->to_device));
    own->to_driver = calloc(indexes, sizeof(*own->to_driver));
    /* Each for itself: what is here is closed, whatever else there was no memory for. */
    for (uint32_t i = 0; own->to_device && i < indexes; i++)
        own->to_device[i].handle = L4VIO_NO_HANDLE;
    for (uint32_t i = 0; own->to_driver && i < indexes; i++)
        own->to_driver[i].handle = L4VIO_NO_HANDLE;
    return own->to_device && own->to_driver;
}

static int make_page(struct l4vio_served_client *client, struct l4vio_error *error)
{
    struct l4vio_l4_served *own = l4vio_l4_served(client);
    const struct l4vio_server *server = client->server;
    const struct l4vio_platform *platform = &server->platform;
    int result = platform->ops->dataspace_allocate(platform->self, L4VIO_PAGE_BYTES,
                                                   &own->page_memory, error);

    if (result < 0)
        return result;
    struct l4vio_device_page_config page = {
        .device = client->device,
        .page = own->page_memory.base,
        .cmd_mode = server->config.cmd_mode,
        .notification_count = l4vio_l4_indexes(server),
        .kick_per_queue = true,
        .trigger = trigger,
        .trigger_self = client,
    };
    return l4vio_device_page_init(&own->page, &page, error);
}

/*
 * Edge-triggered, and never read: every kick is an event, whatever the counter says, and a driver that
 * plays with the counter only loses kicks of its own.
 */
static int watch_kicks(struct l4vio_served_client *client, struct l4vio_error *error)
{
    struct l4vio_l4_served *own = l4vio_l4_served(client);
    struct l4vio_server *server = client->server;
    const struct l4vio_platform *platform = &server->platform;

    for (uint32_t i = 0; i < l4vio_l4_indexes(server); i++) {
        int result = platform->ops->notification_create(platform->self, &own->to_device[i], error);
        if (result < 0)
            return result;
        int fd = (int)own->to_device[i].handle;
        bool of_queue = i < server->config.service.queue_count;
        int epoll = of_queue ? l4vio_worker_of(server, i)->epoll : server->epoll;
        struct l4vio_event event = l4vio_client_event(client, (uint16_t)i);
        result = l4vio_server_watch(epoll, fd, EPOLLIN | EPOLLET, event);
        /* By index 0 a driver also tells of commands, which are the main thread's. */
        if (result == L4VIO_OK && i == 0 && epoll != server->epoll && server->config.cmd_mode)
            result = l4vio_server_watch(server->epoll, fd, EPOLLIN | EPOLLET, event);
        if (result < 0)
            return l4vio_fail(error, result, "epoll does not take a notification", i);
    }
    return L4VIO_OK;
}

int l4vio_l4_client_make(struct l4vio_served_client *client, struct l4vio_error *error)
{
    if (!allocate(client))
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    int result = make_page(client, error);
    return result < 0 ? result : watch_kicks(client, error);
}

/* The driver holds the other ends, so closing alone would not take them out of the sets. */
void l4vio_l4_client_forget(struct l4vio_served_client *client)
{
    const struct l4vio_l4_served *own = l4vio_l4_served(client);
    struct l4vio_server *server = client->server;

    for (uint32_t i = 0; own->to_device && i < l4vio_l4_indexes(server); i++) {
        int fd = (int)own->to_device[i].handle;
        if (fd < 0)
            continue;
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, NULL);
        if (i < server->config.service.queue_count)
            epoll_ctl(l4vio_worker_of(server, i)->epoll, EPOLL_CTL_DEL, fd, NULL);
    }
}

void l4vio_l4_client_end(struct l4vio_served_client *client)
{
    struct l4vio_l4_served *own = l4vio_l4_served(client);
    const struct l4vio_platform *platform = &client->server->platform;

    for (uint32_t i = 0; i < l4vio_l4_indexes(client->server); i++) {
        if (own->to_device)
            platform->ops->notification_destroy(platform->self, &own->to_device[i]);
        if (own->to_driver)
            platform->ops->notification_destroy(platform->self, &own->to_driver[i]);
    }
    platform->ops->dataspace_free(platform->self, &own->page_memory);
    free(own->to_device);
    free(own->to_driver);
}
