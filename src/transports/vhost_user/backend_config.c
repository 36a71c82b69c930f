/* SPDX-License-Identifier: MIT */
/* The device configuration, and what the device tells its port. */
#include <string.h>

#include "transports/vhost_user/backend.h"

static void show_config(struct l4vio_served_client *client, uint32_t offset, uint32_t size)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    for (uint32_t i = offset; i < offset + size && i < sizeof(own->config); i++)
        own->config[i] = client->device->config.config[i];
}

/* The front end asks for the status; after a reset the configuration is as a new driver is to find it. */
static void publish_status(void *self, uint32_t status)
{
    struct l4vio_served_client *client = self;

    if (status == 0)
        show_config(client, 0, client->device->config.config_bytes);
}

static void publish_config(void *self, uint32_t offset_bytes, uint32_t size_bytes,
                           uint32_t generation)
{
    (void)generation;
    show_config(self, offset_bytes, size_bytes);
}

/* In the thread of the queue. */
static void notify_queue(void *self, uint32_t queue)
{
    const struct l4vio_served_client *client = self;

    l4vio_vhost_back_trigger(client, &l4vio_vhost_served(client)->rings[queue].call);
}

/* In any thread: the main one tells. */
static void notify_config(void *self)
{
    struct l4vio_served_client *client = self;

    atomic_store(&l4vio_vhost_served(client)->config_changed, true);
    l4vio_server_signal(client->server->wake);
}

static uint8_t read_driver_config(void *self, uint32_t offset_bytes)
{
    const struct l4vio_vhost_served *own = l4vio_vhost_served(self);

    return offset_bytes < sizeof(own->config) ? own->config[offset_bytes] : 0;
}

const struct l4vio_device_port_ops l4vio_vhost_back_port = {
    .memory_survives_reset = true,
    .publish_status = publish_status,
    .publish_config = publish_config,
    .notify_queue = notify_queue,
    .notify_config = notify_config,
    .read_driver_config = read_driver_config,
};

static int check_range(const struct vhost_user_config *config, struct l4vio_error *error)
{
    if (config->size > VHOST_USER_CONFIG_BYTES ||
        config->offset > VHOST_USER_CONFIG_BYTES - config->size)
        return l4vio_fail(error, L4VIO_ERANGE, "beyond the configuration", config->offset);
    return L4VIO_OK;
}

/* Beyond what the device has there is nothing but zeroes. An answer without payload is a refusal. */
int l4vio_vhost_back_get_config(struct l4vio_served_client *client,
                                struct l4vio_vhost_message *message,
                                struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    const struct vhost_user_config *asked = &message->u.config;

    int result = check_range(asked, error);
    if (result < 0)
        return result;
    reply->u.config.offset = asked->offset;
    reply->u.config.size = asked->size;
    reply->u.config.flags = asked->flags;
    memcpy(reply->u.config.payload, own->config + asked->offset, asked->size);
    reply->header.size = VHOST_USER_CONFIG_HEADER_BYTES + asked->size;
    return L4VIO_VHOST_REPLY;
}

/* Only what a driver may write. Migration says the rest, too, which is the device's own to know. */
int l4vio_vhost_back_set_config(struct l4vio_served_client *client,
                                struct l4vio_vhost_message *message,
                                struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    const struct vhost_user_config *config = &message->u.config;
    const struct l4vio_device_config *device = &client->device->config;
    uint32_t first = device->writable_offset_bytes;
    uint32_t end = first + device->writable_bytes;

    (void)reply;
    int result = check_range(config, error);
    if (result < 0)
        return result;
    if (message->header.size != VHOST_USER_CONFIG_HEADER_BYTES + config->size)
        return l4vio_fail(error, L4VIO_EINVAL, "another size than it says", config->size);
    bool migration = config->flags & VHOST_USER_CONFIG_FLAG_MIGRATION;
    for (uint32_t i = 0; i < config->size; i++) {
        uint32_t place = config->offset + i;
        if (place >= first && place < end)
            own->config[place] = config->payload[i];
        else if (!migration)
            result =
                l4vio_fail(error, L4VIO_EACCES, "configuration that a driver cannot write", place);
    }
    if (device->ops && device->ops->config_written)
        device->ops->config_written(device->ops_self, config->offset, config->size);
    return result;
}
