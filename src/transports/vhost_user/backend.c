/* SPDX-License-Identifier: MIT */
/* What front ends say: checked, put off while it would disturb, carried out, answered. */
#include "transports/vhost_user/backend.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ordering.h"

/* Sizes of payloads. The longer one is for those that have two. */
struct request {
    const char *name; /* NULL: not known. */
    uint32_t bytes, other_bytes;
    l4vio_vhost_handler *carry_out;
};

/* Its fixed part; then the payload says how long it is. */
#define VARIABLE 0x80000000u

#define NOTHING 0u
#define U64     ((uint32_t)sizeof(uint64_t))
#define STATE   ((uint32_t)sizeof(struct vhost_user_vring_state))
#define SINGLE  ((uint32_t)sizeof(struct vhost_user_single_memory_region))
#define RECORD  ((uint32_t)sizeof(struct vhost_user_inflight))
#define TABLE   8u /* Before the regions. */

static l4vio_vhost_handler ignore;

/* An entry; `other` is a second size that is right. */
#define ENTRY(request, bytes, other, function) \
    [VHOST_USER_##request] = {#request, bytes, other, function}

static const struct request requests[] = {
    ENTRY(GET_FEATURES, NOTHING, NOTHING, l4vio_vhost_back_get_features),
    ENTRY(SET_FEATURES, U64, U64, l4vio_vhost_back_set_features),
    ENTRY(SET_OWNER, NOTHING, NOTHING, ignore),
    ENTRY(RESET_OWNER, NOTHING, NOTHING, l4vio_vhost_back_reset_owner),
    ENTRY(SET_MEM_TABLE, TABLE | VARIABLE, TABLE | VARIABLE, l4vio_vhost_back_set_mem_table),
    ENTRY(SET_LOG_BASE, sizeof(struct vhost_user_log), U64, l4vio_vhost_back_set_log_base),
    ENTRY(SET_LOG_FD, NOTHING, U64, l4vio_vhost_back_set_log_fd),
    ENTRY(SET_VRING_NUM, STATE, STATE, l4vio_vhost_back_set_vring_num),
    ENTRY(SET_VRING_ADDR, sizeof(struct vhost_user_vring_addr),
          sizeof(struct vhost_user_vring_addr), l4vio_vhost_back_set_vring_addr),
    ENTRY(SET_VRING_BASE, STATE, STATE, l4vio_vhost_back_set_vring_base),
    ENTRY(GET_VRING_BASE, STATE, STATE, l4vio_vhost_back_get_vring_base),
    ENTRY(SET_VRING_KICK, U64, U64, l4vio_vhost_back_set_vring_kick),
    ENTRY(SET_VRING_CALL, U64, U64, l4vio_vhost_back_set_vring_call),
    ENTRY(SET_VRING_ERR, U64, U64, l4vio_vhost_back_set_vring_err),
    ENTRY(GET_PROTOCOL_FEATURES, NOTHING, NOTHING, l4vio_vhost_back_get_protocol_features),
    ENTRY(SET_PROTOCOL_FEATURES, U64, U64, l4vio_vhost_back_set_protocol_features),
    ENTRY(GET_QUEUE_NUM, NOTHING, NOTHING, l4vio_vhost_back_get_queue_num),
    ENTRY(SET_VRING_ENABLE, STATE, STATE, l4vio_vhost_back_set_vring_enable),
    ENTRY(SET_BACKEND_REQ_FD, NOTHING, U64, l4vio_vhost_back_set_backend_req_fd),
    ENTRY(GET_CONFIG, VHOST_USER_CONFIG_HEADER_BYTES | VARIABLE, VHOST_USER_CONFIG_HEADER_BYTES,
          l4vio_vhost_back_get_config),
    ENTRY(SET_CONFIG, VHOST_USER_CONFIG_HEADER_BYTES | VARIABLE,
          VHOST_USER_CONFIG_HEADER_BYTES | VARIABLE, l4vio_vhost_back_set_config),
    ENTRY(GET_INFLIGHT_FD, RECORD, VHOST_USER_INFLIGHT_BYTES, l4vio_vhost_back_get_inflight_fd),
    ENTRY(SET_INFLIGHT_FD, RECORD, VHOST_USER_INFLIGHT_BYTES, l4vio_vhost_back_set_inflight_fd),
    ENTRY(RESET_DEVICE, NOTHING, NOTHING, l4vio_vhost_back_reset_device),
    ENTRY(GET_MAX_MEM_SLOTS, NOTHING, NOTHING, l4vio_vhost_back_max_mem_slots),
    ENTRY(ADD_MEM_REG, SINGLE, SINGLE, l4vio_vhost_back_add_mem_reg),
    ENTRY(REM_MEM_REG, SINGLE, SINGLE, l4vio_vhost_back_rem_mem_reg),
    ENTRY(SET_STATUS, U64, U64, l4vio_vhost_back_set_status),
    ENTRY(GET_STATUS, NOTHING, NOTHING, l4vio_vhost_back_get_status),
};

static int ignore(struct l4vio_served_client *client, struct l4vio_vhost_message *message,
                  struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)client;
    (void)message;
    (void)reply;
    (void)error;
    return L4VIO_OK;
}

int l4vio_vhost_back_get_queue_num(struct l4vio_served_client *client,
                                   struct l4vio_vhost_message *message,
                                   struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)message;
    (void)error;
    reply->u.u64 = l4vio_vhost_back_queues(client);
    reply->header.size = sizeof(reply->u.u64);
    return L4VIO_VHOST_REPLY;
}

static const struct request *find_request(uint32_t number)
{
    if (number >= sizeof(requests) / sizeof(requests[0]) || !requests[number].name)
        return NULL;
    return &requests[number];
}

/* Those that are answered whatever comes of them. */
static bool has_answer(uint32_t number)
{
    switch (number) {
    case VHOST_USER_GET_FEATURES:
    case VHOST_USER_GET_PROTOCOL_FEATURES:
    case VHOST_USER_GET_VRING_BASE:
    case VHOST_USER_GET_QUEUE_NUM:
    case VHOST_USER_GET_CONFIG:
    case VHOST_USER_GET_INFLIGHT_FD:
    case VHOST_USER_GET_MAX_MEM_SLOTS:
    case VHOST_USER_GET_STATUS:
    case VHOST_USER_SET_LOG_BASE:
        return true;
    default:
        return false;
    }
}

/* Front ends that know no more than two regions always send two. Too many are refused later. */
static bool has_table_size(const struct l4vio_vhost_message *message)
{
    uint32_t count = message->u.memory.nregions;
    uint32_t room = (message->header.size - TABLE) / (uint32_t)sizeof(message->u.memory.regions[0]);

    return count <= room || count > VHOST_USER_REGIONS_MAX;
}

static bool has_size(const struct l4vio_vhost_message *message, uint32_t bytes)
{
    uint32_t size = message->header.size;

    if (!(bytes & VARIABLE))
        return size == bytes;
    bytes &= ~VARIABLE;
    if (size < bytes)
        return false;
    if (message->header.request == VHOST_USER_SET_MEM_TABLE)
        return size <= sizeof(struct vhost_user_memory) && has_table_size(message);
    return size - bytes == message->u.config.size;
}

static void log_refusal(struct l4vio_served_client *client, const char *name,
                        const struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    if (own->refusals++ < L4VIO_VHOST_REFUSALS_TOLD)
        l4vio_server_log(client->server, "client %u: %s refused: %s (%llu)", client->generation,
                         name, error->text ? error->text : "?", (unsigned long long)error->value);
    else if (own->refusals == L4VIO_VHOST_REFUSALS_TOLD + 1)
        l4vio_server_log(client->server, "client %u: more refusals are not told",
                         client->generation);
}

/* Sends what there is to say; a front end that does not take its answers is let go. */
static void answer(struct l4vio_served_client *client, const struct l4vio_vhost_message *message,
                   int result, struct l4vio_vhost_message *reply)
{
    bool acknowledged = (message->header.flags & VHOST_USER_NEED_REPLY) &&
                        l4vio_vhost_back_has(client, VHOST_USER_PROTOCOL_F_REPLY_ACK);

    if (result != L4VIO_VHOST_REPLY && !has_answer(message->header.request)) {
        if (!acknowledged)
            return;
        reply->u.u64 = result < 0;
        reply->header.size = sizeof(reply->u.u64);
    } else if (message->header.request == VHOST_USER_SET_LOG_BASE && result < 0) {
        reply->u.u64 = 1;
        reply->header.size = sizeof(reply->u.u64);
    }
    reply->header.flags |= VHOST_USER_REPLY;
    result = l4vio_vhost_send(client->socket, reply);
    l4vio_socket_close_fds(&reply->fds);
    if (result < 0)
        l4vio_client_end(client, result == L4VIO_EPIPE ? "has gone" : "does not take its answers");
}

static void run(struct l4vio_served_client *client)
{
    struct l4vio_vhost_message *message = &l4vio_vhost_served(client)->reader.message;
    struct l4vio_vhost_message reply = l4vio_vhost_request(message->header.request);
    const struct request *request = find_request(message->header.request);
    struct l4vio_error error = {0};
    int result;

    l4vio_control_enter(client->server);
    l4vio_client_tell_failure(client);
    if (message->fds.lost || message->fds.surplus)
        result = l4vio_fail(&error, L4VIO_ENOMEM, "no room for its descriptors", 0);
    else
        result = request->carry_out(client, message, &reply, &error);
    l4vio_vhost_back_mind_status(client);
    l4vio_vhost_back_rings_start(client);
    l4vio_vhost_back_mind_status(client);
    l4vio_client_tell_failure(client);
    l4vio_client_activate(client);
    l4vio_control_leave(client->server);
    l4vio_socket_close_fds(&message->fds);
    if (result < 0)
        log_refusal(client, request->name, &error);
    answer(client, message, result, &reply);
}

static bool ring_stops(const struct l4vio_served_client *client, uint32_t index, uint32_t *queue)
{
    *queue = index;
    return index < l4vio_vhost_back_queues(client) && l4vio_vhost_back_ring_runs(client, index);
}

/* What takes memory or a ring away from the device waits until the service has let go of it. */
static bool needs_quiet(const struct l4vio_served_client *client,
                        const struct l4vio_vhost_message *message, uint32_t *queue)
{
    *queue = L4VIO_SERVER_ALL_QUEUES;
    switch (message->header.request) {
    case VHOST_USER_SET_FEATURES:
        return l4vio_vhost_back_unsettles(client, message->u.u64);
    case VHOST_USER_SET_STATUS:
        return message->u.u64 == 0 || (message->u.u64 & VIRTIO_STATUS_FAILED);
    case VHOST_USER_SET_MEM_TABLE:
    case VHOST_USER_REM_MEM_REG:
    case VHOST_USER_RESET_DEVICE:
    case VHOST_USER_RESET_OWNER:
        return true;
    case VHOST_USER_SET_VRING_ADDR:
        return ring_stops(client, message->u.addr.index, queue);
    case VHOST_USER_SET_VRING_ENABLE:
    case VHOST_USER_SET_VRING_NUM:
    case VHOST_USER_SET_VRING_BASE:
    case VHOST_USER_GET_VRING_BASE:
        return ring_stops(client, message->u.state.index, queue);
    default:
        return false;
    }
}

static void end_for(struct l4vio_served_client *client, const char *why)
{
    atomic_fetch_add(&client->server->protocol_errors, 1);
    l4vio_client_end(client, why);
}

/* What a newer front end may say is no reason to end the connection. */
static void refuse_unknown(struct l4vio_served_client *client, struct l4vio_vhost_message *message)
{
    struct l4vio_vhost_message reply = l4vio_vhost_request(message->header.request);
    struct l4vio_error error = {0};

    l4vio_fail(&error, L4VIO_ENOSYS, "not known here", message->header.request);
    log_refusal(client, "a request", &error);
    l4vio_socket_close_fds(&message->fds);
    answer(client, message, L4VIO_ENOSYS, &reply);
}

static void handle(struct l4vio_served_client *client)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    struct l4vio_vhost_message *message = &own->reader.message;
    const struct request *request = find_request(message->header.request);
    uint32_t queue;

    if (!request) {
        refuse_unknown(client, message);
        return;
    }
    if (!has_size(message, request->bytes) && !has_size(message, request->other_bytes)) {
        l4vio_server_log(client->server, "client %u: %s with %u bytes of payload",
                         client->generation, request->name, message->header.size);
        end_for(client, "sent a message of wrong size");
        return;
    }
    if (!needs_quiet(client, message, &queue)) {
        run(client);
        return;
    }
    own->waits = true;
    if (l4vio_client_stop(client, queue))
        l4vio_client_resume(client);
    else
        l4vio_client_poll(client, false);
}

static void resume(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;
    struct l4vio_event self = l4vio_client_event(client, 0);

    if (!l4vio_vhost_served(client)->waits)
        return;
    l4vio_vhost_served(client)->waits = false;
    run(client);
    if (l4vio_client_find(server, self) == client)
        l4vio_client_poll(client, true);
}

/* The first message: whatever it says, there is somebody. */
static bool greet(struct l4vio_served_client *client)
{
    struct l4vio_error error = {0};

    l4vio_control_enter(client->server);
    int result = l4vio_client_make_device(client, &error);
    l4vio_control_leave(client->server);
    if (result < 0) {
        atomic_fetch_add(&client->server->refused, 1);
        l4vio_client_end(client, error.text ? error.text : "device cannot be made");
        return false;
    }
    l4vio_client_welcome(client);
    return true;
}

static void receive(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;
    struct l4vio_event self = l4vio_client_event(client, 0);

    for (unsigned i = 0; i < server->config.quotas.calls_per_turn; i++) {
        /* Each message may be the client's last, or may have to wait. */
        if (l4vio_client_find(server, self) != client || client->state == L4VIO_CLIENT_ENDING ||
            l4vio_vhost_served(client)->waits)
            return;
        int result = l4vio_vhost_receive(client->socket, &l4vio_vhost_served(client)->reader);
        if (result == L4VIO_EAGAIN)
            return;
        if (result == L4VIO_EBADPROTO) {
            end_for(client, "sent what is not a message");
            return;
        }
        if (result < 0) {
            l4vio_client_end(client, "has gone");
            return;
        }
        if (client->state == L4VIO_CLIENT_READY || greet(client))
            handle(client);
    }
}

static void begin(struct l4vio_served_client *client)
{
    l4vio_vhost_served(client)->channel = -1;
}

static int make(struct l4vio_served_client *client, struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    struct l4vio_device *device = client->device;
    uint32_t queues = l4vio_vhost_back_queues(client);

    if (l4vio_features_has(&device->config.required, L4VIO_F_NOTIFICATION_DATA) ||
        l4vio_features_has(&device->config.required, L4VIO_F_ACCESS_PLATFORM))
        return l4vio_fail(error, L4VIO_EINVAL, "a feature is required that vhost-user has not", 0);
    if (device->config.config_bytes > VHOST_USER_CONFIG_BYTES)
        return l4vio_fail(error, L4VIO_E2BIG, "more configuration than a message carries",
                          device->config.config_bytes);
    own->rings = calloc(queues, sizeof(*own->rings));
    own->regions = calloc(client->server->config.quotas.regions, sizeof(*own->regions));
    for (uint32_t i = 0; own->rings && i < queues; i++)
        own->rings[i].kick = own->rings[i].call.fd = own->rings[i].err.fd = -1;
    if (!own->rings || !own->regions)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    for (uint32_t i = 0; i < queues; i++)
        client->queues[i].off = true;
    /* A kick says nothing but that it is one; addresses are what the memory table says. */
    l4vio_features_clear(&device->config.offered, L4VIO_F_NOTIFICATION_DATA);
    l4vio_features_clear(&device->config.offered, L4VIO_F_ACCESS_PLATFORM);
    l4vio_device_set_port(device, &l4vio_vhost_back_port, client);
    l4vio_vhost_back_port.publish_status(client, 0);
    return L4VIO_OK;
}

static void heard(struct l4vio_served_client *client, uint16_t source)
{
    if (source != L4VIO_VHOST_SOURCE_CHANNEL || !l4vio_vhost_served(client)->channel_full)
        return;
    l4vio_control_enter(client->server);
    l4vio_vhost_back_tell_config(client);
    l4vio_control_leave(client->server);
}

/* The handler of the fault has put FAILED there, so that the workers stop; this says why. */
static void fail_for_memory(struct l4vio_served_client *client)
{
    struct l4vio_error why = {.code = L4VIO_EFAULT, .text = "the driver has cut its memory short"};
    uint32_t status = l4vio_private_load32(&client->device->status);

    l4vio_vhost_served(client)->lost_seen = true;
    l4vio_private_store32(&client->device->status, status & ~(uint32_t)VIRTIO_STATUS_FAILED);
    l4vio_device_needs_reset(client->device, &why);
    client->device->failure = why; /* Also of what a ring of zeroes has led to. */
}

static void woken(struct l4vio_served_client *client)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    if (!own->lost_seen && l4vio_client_lost_memory(client))
        fail_for_memory(client);
    if (own->failures_seen != client->device->failures)
        l4vio_vhost_back_tell_rings(client);
    own->failures_seen = client->device->failures;
    if (atomic_exchange(&own->config_changed, false))
        l4vio_vhost_back_tell_config(client);
}

static void abandon(struct l4vio_served_client *client)
{
    l4vio_vhost_reader_drop(&l4vio_vhost_served(client)->reader);
    l4vio_vhost_served(client)->waits = false;
}

static void forget(struct l4vio_served_client *client)
{
    for (uint32_t i = 0; l4vio_vhost_served(client)->rings && i < l4vio_vhost_back_queues(client);
         i++)
        l4vio_vhost_back_drop_kick(client, i);
    l4vio_vhost_back_drop_channel(client);
}

static void end(struct l4vio_served_client *client)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    l4vio_vhost_back_drop_triggers(client);
    l4vio_vhost_back_drop_records(client);
    free(own->rings);
    free(own->regions);
}

/* The protocol has no word for it. */
static void refuse(int socket, int code)
{
    (void)socket;
    (void)code;
}

const struct l4vio_server_protocol *l4vio_vhost_user_protocol(void)
{
    static const struct l4vio_server_protocol protocol = {
        .socket_type = SOCK_STREAM,
        .client_bytes = sizeof(struct l4vio_vhost_served),
        .can_connect = true,
        .waits_outside = true,
        .clients = 1,
        .hello_timeout_ms = 10000,
        .mappings = VHOST_USER_REGIONS_MAX + 4, /* A table beside the old one, logs, records. */
        .begin = begin,
        .make = make,
        .release_region = l4vio_vhost_back_release,
        .receive = receive,
        .heard = heard,
        .woken = woken,
        .resume = resume,
        .abandon = abandon,
        .forget = forget,
        .end = end,
        .refuse = refuse,
    };
    return &protocol;
}
