/* SPDX-License-Identifier: MIT */
/* What clients say, checked, and what they get for an answer. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/l4_unix/server.h"

/* A call in the machine's byte order. */
struct call {
    uint32_t opcode, sequence, argument;
    uint64_t base, offset, size;
    bool clean; /* Reserved and unused fields are 0. */
};

/* Fields of a call that mean something. */
enum { USES_ARGUMENT = 1, USES_RANGE = 2, USES_OFFSET = 4, USES_FD = 8 };

static unsigned fields_of(uint32_t opcode)
{
    switch (opcode) {
    case L4VIO_CALL_SET_STATUS:
    case L4VIO_CALL_CONFIG_QUEUE:
    case L4VIO_CALL_DEVICE_NOTIFICATION:
    case L4VIO_UNIX_RESET_QUEUE:
        return USES_ARGUMENT;
    case L4VIO_CALL_REGISTER_DS:
        return USES_RANGE | USES_OFFSET | USES_FD;
    case L4VIO_UNIX_ICU_BIND:
        return USES_ARGUMENT | USES_FD;
    case L4VIO_UNIX_UNREGISTER_DS:
        return USES_RANGE;
    default:
        return 0;
    }
}

static struct call decode(const struct l4vio_unix_call *wire)
{
    struct call call = {.opcode = l4vio_swap32(wire->opcode),
                        .sequence = l4vio_swap32(wire->sequence),
                        .argument = l4vio_swap32(wire->argument),
                        .base = l4vio_swap64(wire->base),
                        .offset = l4vio_swap64(wire->offset),
                        .size = l4vio_swap64(wire->size)};
    unsigned fields = fields_of(call.opcode);

    call.clean = wire->reserved == 0 && ((fields & USES_ARGUMENT) || call.argument == 0) &&
                 ((fields & USES_RANGE) || (call.base == 0 && call.size == 0)) &&
                 ((fields & USES_OFFSET) || call.offset == 0);
    return call;
}

static int check_window(const struct l4vio_served_client *client, const struct call *call,
                        uint64_t available)
{
    if (call->size == 0 || call->base % L4VIO_PAGE_BYTES || call->offset % L4VIO_PAGE_BYTES ||
        call->size > UINT64_MAX - call->offset || call->size > UINT64_MAX - call->base)
        return L4VIO_EINVAL;
    if (call->offset > available || call->size > available - call->offset)
        return L4VIO_ERANGE;
    /* The quota of all regions together is the device's to check; this one is never mapped. */
    return call->size > client->server->config.quotas.mapped_bytes ? L4VIO_ENOMEM : L4VIO_OK;
}

/* Mapped before the device hears of it, so that the workers do not wait for the kernel. */
static int register_memory(struct l4vio_served_client *client, const struct call *call, int fd)
{
    struct l4vio_device_region region = {.device_address = call->base, .size_bytes = call->size};
    uint64_t available = 0;
    int result = l4vio_linux_check_memfd(fd, &available, NULL);

    if (result == L4VIO_OK)
        result = check_window(client, call, available);
    if (result == L4VIO_OK)
        result = l4vio_memfd_map(fd, call->offset, call->size, &region.base, NULL);
    l4vio_socket_close_foreign(fd); /* The mapping stays. */
    if (result < 0)
        return result;
    l4vio_control_enter(client->server);
    result = l4vio_device_add_region(client->device, &region, NULL);
    l4vio_control_leave(client->server);
    if (result < 0)
        l4vio_memfd_unmap(region.base, region.size_bytes);
    return result;
}

static int bind_notification(struct l4vio_served_client *client, const struct call *call, int fd)
{
    struct l4vio_server *server = client->server;
    struct l4vio_notification old = {.handle = fd};
    int result = call->argument >= l4vio_l4_indexes(server) ? L4VIO_ERANGE
                                                            : l4vio_linux_check_eventfd(fd, NULL);

    if (result < 0) {
        l4vio_socket_close_foreign(fd);
        return result;
    }
    l4vio_linux_adopt_notification(&server->platform);
    l4vio_control_enter(server);
    old = l4vio_l4_served(client)->to_driver[call->argument];
    l4vio_l4_served(client)->to_driver[call->argument].handle = fd;
    l4vio_control_leave(server);
    server->platform.ops->notification_destroy(server->platform.self, &old);
    return L4VIO_OK;
}

/* Calls that change the device's state. */
static int change(struct l4vio_served_client *client, const struct call *call)
{
    struct l4vio_device *device = client->device;
    int result;

    l4vio_control_enter(client->server);
    l4vio_client_tell_failure(client);
    switch (call->opcode) {
    case L4VIO_CALL_SET_STATUS:
        result = call->argument > 0xff
                     ? L4VIO_EINVAL
                     : l4vio_device_page_set_status(&l4vio_l4_served(client)->page, call->argument);
        break;
    case L4VIO_CALL_CONFIG_QUEUE:
        result =
            l4vio_device_page_config_queue(&l4vio_l4_served(client)->page, call->argument, NULL);
        break;
    case L4VIO_UNIX_RESET_QUEUE:
        result = l4vio_device_reset_queue(device, call->argument);
        break;
    default:
        result = l4vio_device_remove_region(device, call->base, call->size);
        break;
    }
    l4vio_client_tell_failure(client);
    l4vio_client_activate(client);
    l4vio_control_leave(client->server);
    return result;
}

/* `fd` is the call's descriptor, ours from here on; `out` is what to pass back, borrowed. */
static int carry_out(struct l4vio_served_client *client, const struct call *call, int fd, int *out,
                     struct l4vio_unix_reply *reply)
{
    switch (call->opcode) {
    case L4VIO_CALL_SET_STATUS:
    case L4VIO_CALL_CONFIG_QUEUE:
    case L4VIO_UNIX_RESET_QUEUE:
    case L4VIO_UNIX_UNREGISTER_DS:
        return change(client, call);
    case L4VIO_CALL_REGISTER_DS:
        return register_memory(client, call, fd);
    case L4VIO_CALL_DEVICE_CONFIG:
        *out = (int)l4vio_l4_served(client)->page_memory.handle;
        return L4VIO_OK;
    case L4VIO_CALL_DEVICE_NOTIFICATION:
        if (call->argument >= l4vio_l4_indexes(client->server))
            return L4VIO_ERANGE;
        *out = (int)l4vio_l4_served(client)->to_device[call->argument].handle;
        return L4VIO_OK;
    case L4VIO_UNIX_ICU_INFO:
        reply->value = l4vio_swap32(l4vio_l4_indexes(client->server));
        return L4VIO_OK;
    case L4VIO_UNIX_ICU_BIND:
        return bind_notification(client, call, fd);
    default:
        return L4VIO_ENOSYS;
    }
}

static bool known(uint32_t opcode)
{
    return fields_of(opcode) != 0 || opcode == L4VIO_CALL_DEVICE_CONFIG ||
           opcode == L4VIO_UNIX_ICU_INFO;
}

/* Answers one call. A client that does not take its answers is let go. */
static void answer(struct l4vio_served_client *client, struct l4vio_unix_packet *packet)
{
    struct call call = decode(&packet->u.call);
    struct l4vio_unix_reply reply = {.opcode = packet->u.call.opcode,
                                     .sequence = packet->u.call.sequence};
    unsigned fds = fields_of(call.opcode) & USES_FD ? 1 : 0;
    int result = L4VIO_EINVAL;
    int out = -1;

    if (!known(call.opcode))
        result = L4VIO_ENOSYS;
    else if (packet->fds.lost)
        result = L4VIO_ENOMEM;
    else if (call.clean && packet->fds.count == fds)
        result = carry_out(client, &call, l4vio_socket_take_fd(&packet->fds), &out, &reply);
    l4vio_socket_close_fds(&packet->fds);
    reply.result = l4vio_swap32(l4vio_unix_encode_result(result));
    if (l4vio_unix_send(client->socket, &reply, sizeof(reply), result < 0 ? -1 : out) < 0)
        l4vio_client_end(client, "does not take its answers");
}

/* Calls that take memory away from the device wait until the service has let go of it. */
static bool needs_quiet(const struct l4vio_unix_call *wire, uint32_t *queue)
{
    *queue = L4VIO_SERVER_ALL_QUEUES;
    switch (l4vio_swap32(wire->opcode)) {
    case L4VIO_CALL_SET_STATUS: {
        uint32_t status = l4vio_swap32(wire->argument);
        return status == 0 || (status & VIRTIO_STATUS_FAILED);
    }
    case L4VIO_CALL_CONFIG_QUEUE:
    case L4VIO_UNIX_RESET_QUEUE:
        *queue = l4vio_swap32(wire->argument);
        return *queue < L4VIO_SERVER_QUEUES_MAX;
    default:
        return false;
    }
}

static void handle_call(struct l4vio_served_client *client, struct l4vio_unix_packet *packet)
{
    if (packet->size != sizeof(packet->u.call)) {
        l4vio_socket_close_fds(&packet->fds);
        atomic_fetch_add(&client->server->protocol_errors, 1);
        l4vio_client_end(client, "sent a packet of wrong size");
        return;
    }
    uint32_t queue;
    if (!needs_quiet(&packet->u.call, &queue)) {
        answer(client, packet);
        return;
    }
    struct l4vio_l4_served *own = l4vio_l4_served(client);
    own->waiting = *packet;
    own->call_waits = true;
    if (l4vio_client_stop(client, queue))
        l4vio_client_resume(client);
    else
        l4vio_client_poll(client, false);
}

static int check_hello(const struct l4vio_unix_packet *packet, const char **why)
{
    const struct l4vio_unix_hello *hello = &packet->u.hello;

    *why = "hello is not valid";
    if (packet->size != sizeof(*hello) || packet->fds.count || packet->fds.lost ||
        l4vio_swap32(hello->magic) != L4VIO_UNIX_MAGIC)
        return L4VIO_EBADPROTO;
    *why = "speaks another version";
    if (l4vio_swap32(hello->version) != L4VIO_UNIX_VERSION)
        return L4VIO_ENOSYS;
    *why = "hello has reserved fields set";
    if (hello->result || hello->extensions ||
        !l4vio_unix_all_zero(hello->reserved, sizeof(hello->reserved)))
        return L4VIO_EINVAL;
    return L4VIO_OK;
}

static void send_hello(int socket, int result)
{
    struct l4vio_unix_hello hello = {.magic = l4vio_swap32(L4VIO_UNIX_MAGIC),
                                     .version = l4vio_swap32(L4VIO_UNIX_VERSION),
                                     .result = l4vio_swap32(l4vio_unix_encode_result(result)),
                                     .extensions = l4vio_swap32(L4VIO_UNIX_EXTENSION_UNREGISTER |
                                                                L4VIO_UNIX_EXTENSION_RESET_QUEUE)};

    l4vio_unix_send(socket, &hello, sizeof(hello), -1);
}

static void handle_hello(struct l4vio_served_client *client, struct l4vio_unix_packet *packet)
{
    struct l4vio_error error = {0};
    const char *why = NULL;
    int result = check_hello(packet, &why);

    l4vio_socket_close_fds(&packet->fds);
    if (result == L4VIO_OK) {
        l4vio_control_enter(client->server);
        result = l4vio_client_make_device(client, &error);
        l4vio_control_leave(client->server);
        why = error.text ? error.text : "device cannot be made";
    }
    if (result != L4VIO_EBADPROTO)
        send_hello(client->socket, result);
    if (result < 0) {
        atomic_fetch_add(&client->server->refused, 1);
        l4vio_client_end(client, why);
        return;
    }
    l4vio_client_welcome(client);
}

static void receive(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;
    struct l4vio_event self = l4vio_client_event(client, 0);
    struct l4vio_unix_packet packet;

    for (unsigned i = 0; i < server->config.quotas.calls_per_turn; i++) {
        /* Each call may be the client's last, or may have to wait. */
        if (l4vio_client_find(server, self) != client || client->state == L4VIO_CLIENT_ENDING ||
            l4vio_l4_served(client)->call_waits)
            return;
        int result = l4vio_unix_receive(client->socket, &packet);
        if (result == L4VIO_EAGAIN)
            return;
        if (result < 0) {
            if (result == L4VIO_EBADPROTO)
                atomic_fetch_add(&server->protocol_errors, 1);
            l4vio_client_end(client,
                             result == L4VIO_EBADPROTO ? "sent an oversized packet" : "has gone");
            return;
        }
        if (client->state == L4VIO_CLIENT_HELLO)
            handle_hello(client, &packet);
        else
            handle_call(client, &packet);
    }
}

/* Commands that take memory away from the device, or may: as with calls. */
static bool command_needs_quiet(uint32_t cmd, uint32_t *queue)
{
    uint32_t command = cmd >> 24;
    uint32_t argument = cmd & 0xffffffu;

    *queue = command == L4VIO_PAGE_CMD_CFG_QUEUE ? argument : L4VIO_SERVER_ALL_QUEUES;
    return command == L4VIO_PAGE_CMD_SET_STATUS ||
           (command == L4VIO_PAGE_CMD_CFG_QUEUE && argument < L4VIO_SERVER_QUEUES_MAX);
}

static void run_command(struct l4vio_served_client *client, uint32_t cmd)
{
    l4vio_control_enter(client->server);
    l4vio_client_tell_failure(client);
    l4vio_device_page_run_cmd(&l4vio_l4_served(client)->page, cmd);
    l4vio_client_tell_failure(client);
    l4vio_client_activate(client);
    l4vio_control_leave(client->server);
}

/* Read once: a driver that writes another command meanwhile could have us wait for the service. */
static void look(struct l4vio_served_client *client)
{
    if (client->state != L4VIO_CLIENT_READY || client->stopping)
        return;
    uint32_t cmd = l4vio_device_page_read_cmd(&l4vio_l4_served(client)->page);
    if (cmd == 0)
        return;
    uint32_t queue;
    if (!command_needs_quiet(cmd, &queue)) {
        run_command(client, cmd);
        return;
    }
    l4vio_l4_served(client)->waiting_command = cmd;
    if (l4vio_client_stop(client, queue))
        l4vio_client_resume(client);
}

static void resume(struct l4vio_served_client *client)
{
    struct l4vio_server *server = client->server;
    struct l4vio_l4_served *own = l4vio_l4_served(client);
    struct l4vio_event self = l4vio_client_event(client, 0);

    if (own->waiting_command) {
        uint32_t cmd = own->waiting_command;
        own->waiting_command = 0;
        run_command(client, cmd);
    }
    if (own->call_waits) {
        own->call_waits = false;
        answer(client, &own->waiting);
        if (l4vio_client_find(server, self) == client)
            l4vio_client_poll(client, true);
    }
}

/* Index 0 announces commands, the last one configuration. */
static void heard(struct l4vio_served_client *client, uint16_t source)
{
    if (source == 0 || source == client->server->config.service.queue_count)
        look(client);
}

static void abandon(struct l4vio_served_client *client)
{
    struct l4vio_l4_served *own = l4vio_l4_served(client);

    own->waiting_command = 0;
    if (own->call_waits)
        l4vio_socket_close_fds(&own->waiting.fds);
    own->call_waits = false;
}

const struct l4vio_server_protocol *l4vio_l4_protocol(void)
{
    static const struct l4vio_server_protocol protocol = {
        .socket_type = SOCK_SEQPACKET,
        .client_bytes = sizeof(struct l4vio_l4_served),
        .has_cmd_mode = true,
        .clients = 64,
        .hello_timeout_ms = 2000,
        .begin = l4vio_l4_client_begin,
        .make = l4vio_l4_client_make,
        .release_region = l4vio_l4_client_release,
        .receive = receive,
        .heard = heard,
        .look = look,
        .resume = resume,
        .abandon = abandon,
        .forget = l4vio_l4_client_forget,
        .end = l4vio_l4_client_end,
        .refuse = send_hello,
    };
    return &protocol;
}
