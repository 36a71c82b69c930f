/* SPDX-License-Identifier: MIT */
/* Features of device and protocol, and the status, which most front ends leave to us. */
#include "core/ordering.h"
#include "transports/vhost_user/backend.h"

#define BIT(number) (UINT64_C(1) << (number))

/* What is said among the features and is not the device's. */
#define OWN_FEATURES (BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VHOST_F_LOG_ALL))

#define PROTOCOL_FEATURES                                                                       \
    (BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |                     \
     BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |            \
     BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |            \
     BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | \
     BIT(VHOST_USER_PROTOCOL_F_STATUS))

#define DRIVER_HERE (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)
#define DEVICE_DEAD (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)

static uint64_t offered(const struct l4vio_served_client *client)
{
    const struct l4vio_features *features = &client->device->config.offered;

    return features->word[0] | (uint64_t)features->word[1] << 32 | OWN_FEATURES;
}

static struct l4vio_features chosen(const struct l4vio_served_client *client)
{
    uint64_t features = l4vio_vhost_served(client)->features & ~OWN_FEATURES;

    return (struct l4vio_features){.word = {(uint32_t)features, (uint32_t)(features >> 32)}};
}

static uint32_t status(const struct l4vio_served_client *client)
{
    return l4vio_private_load32(&client->device->status);
}

static void set_status(const struct l4vio_served_client *client, uint32_t bits)
{
    struct l4vio_features features = chosen(client);

    l4vio_device_set_status(client->device, bits, &features);
}

bool l4vio_vhost_back_packed(const struct l4vio_served_client *client)
{
    return l4vio_vhost_served(client)->features >> L4VIO_F_RING_PACKED & 1u;
}

int l4vio_vhost_back_get_features(struct l4vio_served_client *client,
                                  struct l4vio_vhost_message *message,
                                  struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)message;
    (void)error;
    reply->u.u64 = offered(client);
    reply->header.size = sizeof(reply->u.u64);
    return L4VIO_VHOST_REPLY;
}

/* Begins anew: rings and features are gone, memory and what is said about the rings stay. */
static void reset(struct l4vio_served_client *client)
{
    l4vio_vhost_back_rings_stop(client);
    l4vio_device_reset(client->device);
}

static int settle(const struct l4vio_served_client *client, struct l4vio_error *error)
{
    set_status(client, DRIVER_HERE);
    set_status(client, DRIVER_HERE | VIRTIO_STATUS_FEATURES_OK);
    if (status(client) & VIRTIO_STATUS_FEATURES_OK)
        return L4VIO_OK;
    return l4vio_fail(error, L4VIO_EINVAL, "the device does not take these features",
                      l4vio_vhost_served(client)->features);
}

bool l4vio_vhost_back_unsettles(const struct l4vio_served_client *client, uint64_t features)
{
    const struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    bool same = own->features_set && !((own->features ^ features) & ~BIT(VHOST_F_LOG_ALL));

    return !same || (status(client) & DEVICE_DEAD) || !(status(client) & VIRTIO_STATUS_FEATURES_OK);
}

int l4vio_vhost_back_set_features(struct l4vio_served_client *client,
                                  struct l4vio_vhost_message *message,
                                  struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    uint64_t features = message->u.u64;

    (void)reply;
    if (features & ~offered(client))
        return l4vio_fail(error, L4VIO_EINVAL, "a feature that is not offered",
                          features & ~offered(client));
    bool settled = status(client) & (VIRTIO_STATUS_FEATURES_OK | DEVICE_DEAD);
    bool unsettles = l4vio_vhost_back_unsettles(client, features);
    if (unsettles && l4vio_vhost_back_rings_busy(client))
        return l4vio_fail(error, L4VIO_EBUSY, "other features while rings run", features);
    if (unsettles && settled)
        reset(client);
    own->features = features;
    own->features_set = true;
    l4vio_vhost_back_apply_log(client);
    if (!unsettles || (!settled && l4vio_vhost_back_has(client, VHOST_USER_PROTOCOL_F_STATUS)))
        return L4VIO_OK;
    return settle(client, error);
}

int l4vio_vhost_back_get_protocol_features(struct l4vio_served_client *client,
                                           struct l4vio_vhost_message *message,
                                           struct l4vio_vhost_message *reply,
                                           struct l4vio_error *error)
{
    (void)client;
    (void)message;
    (void)error;
    reply->u.u64 = PROTOCOL_FEATURES;
    reply->header.size = sizeof(reply->u.u64);
    return L4VIO_VHOST_REPLY;
}

int l4vio_vhost_back_set_protocol_features(struct l4vio_served_client *client,
                                           struct l4vio_vhost_message *message,
                                           struct l4vio_vhost_message *reply,
                                           struct l4vio_error *error)
{
    (void)reply;
    if (message->u.u64 & ~PROTOCOL_FEATURES)
        return l4vio_fail(error, L4VIO_EINVAL, "a protocol feature that is not offered",
                          message->u.u64 & ~PROTOCOL_FEATURES);
    l4vio_vhost_served(client)->protocol_features = message->u.u64;
    return L4VIO_OK;
}

int l4vio_vhost_back_reset_device(struct l4vio_served_client *client,
                                  struct l4vio_vhost_message *message,
                                  struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    (void)message;
    (void)reply;
    (void)error;
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++)
        l4vio_vhost_back_ring_reset(client, i);
    reset(client);
    l4vio_vhost_back_forget_inflight(client);
    own->features = 0;
    own->features_set = false;
    l4vio_vhost_back_apply_log(client);
    return L4VIO_OK;
}

/* Some front ends leave out what comes before FEATURES_OK. */
int l4vio_vhost_back_set_status(struct l4vio_served_client *client,
                                struct l4vio_vhost_message *message,
                                struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    uint64_t bits = message->u.u64;

    if (bits > UINT8_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "a status of more than 8 bits", bits);
    if (bits == 0)
        return l4vio_vhost_back_reset_device(client, message, reply, error);
    if (bits & VIRTIO_STATUS_FEATURES_OK)
        bits |= DRIVER_HERE;
    if (bits & VIRTIO_STATUS_FAILED)
        l4vio_vhost_back_rings_stop(client);
    set_status(client, (uint32_t)bits);
    if ((bits & VIRTIO_STATUS_FEATURES_OK) && !(status(client) & VIRTIO_STATUS_FEATURES_OK))
        return l4vio_fail(error, L4VIO_EINVAL, "the device does not take these features",
                          l4vio_vhost_served(client)->features);
    return L4VIO_OK;
}

int l4vio_vhost_back_get_status(struct l4vio_served_client *client,
                                struct l4vio_vhost_message *message,
                                struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)message;
    (void)error;
    reply->u.u64 = status(client);
    reply->header.size = sizeof(reply->u.u64);
    return L4VIO_VHOST_REPLY;
}

static bool any_ring_runs(const struct l4vio_served_client *client)
{
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        if (l4vio_vhost_back_ring_runs(client, i))
            return true;
    }
    return false;
}

void l4vio_vhost_back_mind_status(struct l4vio_served_client *client)
{
    uint32_t bits = status(client);

    if (l4vio_vhost_back_has(client, VHOST_USER_PROTOCOL_F_STATUS))
        return;
    if ((bits & DEVICE_DEAD) && !any_ring_runs(client)) {
        reset(client);
        if (l4vio_vhost_served(client)->features_set)
            settle(client, NULL);
        return;
    }
    if ((bits & VIRTIO_STATUS_FEATURES_OK) && !(bits & (VIRTIO_STATUS_DRIVER_OK | DEVICE_DEAD)) &&
        l4vio_vhost_back_rings_busy(client))
        set_status(client, bits | VIRTIO_STATUS_DRIVER_OK);
}
