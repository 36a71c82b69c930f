/* SPDX-License-Identifier: MIT */
/* L4-VIRTIO for the clients of a server: what there is of it per client. */
#ifndef L4VIO_L4_UNIX_SERVER_H
#define L4VIO_L4_UNIX_SERVER_H

#include <l4vio/device_page.h>
#include <l4vio/l4_unix.h>

#include "transports/l4_unix/message.h"
#include "transports/server/server.h"

struct l4vio_l4_served {
    bool call_waits; /* `waiting` is to run once nothing is in flight. */
    struct l4vio_unix_packet waiting;
    uint32_t waiting_command; /* So is this one of the `cmd` register; 0: none. */
    struct l4vio_dataspace page_memory;
    struct l4vio_device_page page;
    struct l4vio_notification *to_device; /* Ours, per index. */
    struct l4vio_notification *to_driver; /* The driver's, per index. */
};

static inline struct l4vio_l4_served *l4vio_l4_served(const struct l4vio_served_client *client)
{
    return client->own;
}

/* Notification indexes: one per queue, one more for configuration. */
static inline uint32_t l4vio_l4_indexes(const struct l4vio_server *server)
{
    return server->config.service.queue_count + 1;
}

/* server_client.c: entries of the protocol. */
void l4vio_l4_client_begin(struct l4vio_served_client *client);
int l4vio_l4_client_make(struct l4vio_served_client *client, struct l4vio_error *error);
void l4vio_l4_client_release(void *client, const struct l4vio_device_region *region);
void l4vio_l4_client_forget(struct l4vio_served_client *client);
void l4vio_l4_client_end(struct l4vio_served_client *client);

#endif
