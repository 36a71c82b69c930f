/* SPDX-License-Identifier: MIT */
/* What is settled when a connection begins: protocol features, and what the back end says of itself. */
#include <unistd.h>

#include "core/bytes.h"
#include "transports/vhost_user/frontend.h"

/* A feature bit of old that VIRTIO has no more; back ends go on offering it. */
#define NOTIFY_ON_EMPTY 24u

#define BIT(feature) (UINT64_C(1) << (feature))

/* In-band notifications are not among them: they would make a message of every kick. */
static const uint64_t useful_features =
    BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
    BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_CONFIG) |
    BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |
    BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_STATUS);

static int settle_features(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                           struct l4vio_error *error)
{
    struct l4vio_vhost_user_info *info = &frontend->info;
    int result = l4vio_frontend_ask_number(frontend, VHOST_USER_GET_FEATURES, &info->features,
                                           deadline_ns, error);

    if (result < 0 || !(info->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
        return result;
    result = l4vio_frontend_ask_number(frontend, VHOST_USER_GET_PROTOCOL_FEATURES,
                                       &info->protocol_features_offered, deadline_ns, error);
    if (result < 0)
        return result;
    uint64_t used = info->protocol_features_offered & useful_features &
                    ~frontend->options.unused_protocol_features;
    struct l4vio_vhost_message message =
        l4vio_frontend_number(VHOST_USER_SET_PROTOCOL_FEATURES, used);
    /* Not in use before they are set: no answer is asked for. */
    result = l4vio_frontend_tell_more(frontend, &message, deadline_ns, error);
    if (result == L4VIO_OK)
        info->protocol_features_used = used;
    return result;
}

static int count_queues(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                        struct l4vio_error *error)
{
    struct l4vio_vhost_user_info *info = &frontend->info;
    uint64_t count = frontend->options.queue_count ? frontend->options.queue_count : 1;

    info->queue_count_known = l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_MQ);
    if (info->queue_count_known) {
        int result = l4vio_frontend_ask_number(frontend, VHOST_USER_GET_QUEUE_NUM, &count,
                                               deadline_ns, error);
        if (result < 0)
            return result;
    }
    if (count > L4VIO_VHOST_USER_QUEUES_MAX)
        count = L4VIO_VHOST_USER_QUEUES_MAX;
    info->queue_count = (uint32_t)count;
    return L4VIO_OK;
}

static int count_slots(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct l4vio_vhost_user_info *info = &frontend->info;

    info->memory_slots = VHOST_USER_REGIONS_MAX;
    info->memory_slots_known =
        l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
    if (!info->memory_slots_known)
        return L4VIO_OK;
    return l4vio_frontend_ask_number(frontend, VHOST_USER_GET_MAX_MEM_SLOTS, &info->memory_slots,
                                     deadline_ns, error);
}

/* Somebody listens before the back end can have something to say: it may wait for the answer. */
static int listen_to_backend(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    const bool wanted = l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_BACKEND_REQ);
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_SET_BACKEND_REQ_FD);
    int channel = -1;
    int result = l4vio_frontend_start_watching(frontend, wanted ? &channel : NULL, error);

    if (result < 0 || !wanted)
        return result;
    message.fds.fd[0] = channel;
    message.fds.count = 1;
    result = l4vio_frontend_tell(frontend, &message, deadline_ns, error);
    close(channel);
    /* Without the channel it can only not tell. */
    return result == L4VIO_EINVAL ? L4VIO_OK : result;
}

static void draw_conclusions(struct l4vio_vhost_user *frontend)
{
    struct l4vio_vhost_user_info *info = &frontend->info;

    info->stops_on_reset = l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_RESET_DEVICE) ||
                           l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_STATUS);
    info->resets_queues = (info->features & BIT(L4VIO_F_RING_RESET)) != 0;
    info->tells_changes = l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_BACKEND_REQ) &&
                          l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_CONFIG);
}

int l4vio_frontend_negotiate(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    const struct l4vio_vhost_message owner = l4vio_vhost_request(VHOST_USER_SET_OWNER);

    memset(&frontend->info, 0, sizeof(frontend->info));
    frontend->info.device_id = frontend->options.device_id;
    int result = settle_features(frontend, deadline_ns, error);
    if (result == L4VIO_OK)
        result = count_queues(frontend, deadline_ns, error);
    if (result == L4VIO_OK)
        result = count_slots(frontend, deadline_ns, error);
    if (result == L4VIO_OK)
        result = listen_to_backend(frontend, deadline_ns, error);
    if (result == L4VIO_OK)
        result = l4vio_frontend_tell_more(frontend, &owner, deadline_ns, error);
    if (result == L4VIO_OK)
        result = l4vio_frontend_measure_config(frontend, deadline_ns, error);
    draw_conclusions(frontend);
    return result;
}

int l4vio_frontend_identify(void *self, struct l4vio_transport_properties *properties,
                            struct l4vio_identity *identity, uint64_t deadline_ns,
                            struct l4vio_error *error)
{
    const struct l4vio_vhost_user *frontend = self;
    const struct l4vio_vhost_user_info *info = &frontend->info;
    (void)deadline_ns;

    if (atomic_load(&frontend->dead))
        return l4vio_fail(error, L4VIO_EPIPE, "the back end is gone", 0);
    memset(properties, 0, sizeof(*properties));
    properties->memory_survives_reset = true;
    properties->driver_chooses_addresses = true;
    properties->stops_on_reset = info->stops_on_reset;
    properties->tracks_in_flight =
        l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
    /* A kick is an eventfd, and translations of addresses are not sent. */
    l4vio_features_set(&properties->not_carried, L4VIO_F_NOTIFICATION_DATA);
    l4vio_features_set(&properties->not_carried, L4VIO_F_ACCESS_PLATFORM);

    memset(identity, 0, sizeof(*identity));
    identity->device_id = info->device_id;
    identity->queue_count = info->queue_count;
    identity->notification_count = info->queue_count + 1;
    identity->offered.word[0] = (uint32_t)info->features;
    identity->offered.word[1] = (uint32_t)(info->features >> 32);
    /* Of the protocol and of the past: no feature of the device. */
    l4vio_features_clear(&identity->offered, NOTIFY_ON_EMPTY);
    l4vio_features_clear(&identity->offered, VHOST_F_LOG_ALL);
    l4vio_features_clear(&identity->offered, VHOST_USER_F_PROTOCOL_FEATURES);
    return L4VIO_OK;
}
