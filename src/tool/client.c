/* SPDX-License-Identifier: MIT */
#include "tool/client.h"

#include <l4vio/names.h>
#include <l4vio/wire/status.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"
#include "tool/values.h"

/* A signal may come just before a sleep; this bounds how long it waits. */
#define SLICE_NS UINT64_C(100000000)

static int choose_features(const char *list)
{
    return features_take_list(&client_settings.features, list);
}

static int refuse_feature(const char *name)
{
    return features_take_no(&client_settings.features, name);
}

struct client_settings client_settings = {
    .timeout_ns = UINT64_C(10000000000),
    .poll.mode = L4VIO_SPIN_AUTO,
};

const struct option client_options[] = {
    {.kind = OPTION_SECONDS,
     .name = "timeout",
     .argument = "SECONDS",
     .help = "give up when the device completes nothing for so long [10]",
     .target = &client_settings.timeout_ns},
    {.kind = OPTION_NUMBER,
     .name = "queues",
     .argument = "N",
     .help = "queues to set up [1]",
     .target = &client_settings.queues,
     .min = 1,
     .max = L4VIO_BLOCK_QUEUES_MAX},
    {.kind = OPTION_NUMBER,
     .name = "queue-size",
     .argument = "N",
     .help = "entries per queue; a power of two unless RING_PACKED [128]",
     .target = &client_settings.queue_size,
     .min = 1,
     .max = 32768},
    {.kind = OPTION_POLL,
     .name = "poll",
     .argument = "HOW",
     .help = "look at the ring before sleeping: auto, never, always, 50us [auto]",
     .target = &client_settings.poll},
    {.kind = OPTION_CALL,
     .name = "features",
     .argument = "LIST",
     .help = "insist on features, or do not accept them: +RING_PACKED,-MQ",
     .call = choose_features},
    {.kind = OPTION_PREFIX,
     .name = "no-",
     .argument = "FEATURE",
     .help = "do not accept a feature: --no-mq, --no-discard",
     .call = refuse_feature},
    {.kind = OPTION_END},
};

const struct option client_block_options[] = {
    {.kind = OPTION_SECONDS,
     .name = "reconnect",
     .argument = "SECONDS",
     .help = "when the device goes away, wait so long for its return, and go on",
     .target = &client_settings.reconnect_ns},
    {.kind = OPTION_FLAG,
     .name = "write-through",
     .help = "tell the device to keep nothing that was written in a cache",
     .target = &client_settings.write_through},
    {.kind = OPTION_GROUP, .group = client_options},
    {.kind = OPTION_END},
};

struct l4vio_session_options client_session_options(void)
{
    struct l4vio_session_options options;
    memset(&options, 0, sizeof options);
    options.queue_count = (uint16_t)client_settings.queues;
    options.queue_size = (uint16_t)client_settings.queue_size;
    options.timeout_ns = client_settings.timeout_ns;
    options.spin_mode = client_settings.poll.mode;
    options.spin_ns = client_settings.poll.spin_ns;
    options.refused = client_settings.features.off;
    options.required = client_settings.features.on;
    return options;
}

static bool listens(const char *uri)
{
    return strncmp(uri, "vhost-user-listen:", 18) == 0;
}

/*
 * Devices may be opened for as long as --timeout, and the library does not look at signals. Nothing has begun that
 * would have to be ended, but a socket of ours goes with us; not one that was there before.
 */
void client_begin_opening(const char *uri)
{
    const char *path = listens(uri) ? strchr(uri, ':') + 1 : NULL;
    signals_begin_opening(path && access(path, F_OK) != 0 ? path : NULL);
}

static int wrong_device(const char *uri, uint64_t device_id)
{
    if (!device_id || device_id == VIRTIO_ID_BLOCK || device_id > UINT32_MAX)
        return complain(TOOL_NO_DEVICE, "%s is not a virtio device of version 1", uri);
    return complain(TOOL_NO_DEVICE,
                    "%s is not a block device but of class %" PRIu64
                    " (%s); 'l4vio info' shows what can be said of it",
                    uri, device_id, l4vio_device_name((uint32_t)device_id));
}

/* Somebody insists on a feature that is not to be had. */
static int no_such_feature(const char *uri, const struct l4vio_error *error)
{
    struct l4vio_features feature = {{0}};
    char name[FEATURES_TEXT_BYTES];
    l4vio_features_set(&feature, (unsigned)error->value);
    return complain(TOOL_NO_DEVICE, "cannot use %s with +%s: %s; 'l4vio info' lists what it offers",
                    uri, features_text(&feature, name), error->text);
}

int client_open_failed(const char *uri, int code, const struct l4vio_error *error)
{
    char text[200];
    char span[VALUE_TEXT_BYTES];
    struct stat status;
    l4vio_error_format(error, text, sizeof text);
    const char *path = strchr(uri, ':') ? strchr(uri, ':') + 1 : "";
    if (!l4vio_session_is_uri(uri) || !*path)
        return complain(TOOL_USAGE,
                        "'%s' is not a device; devices are written l4:PATH, vhost-user:PATH or "
                        "vhost-user-listen:PATH",
                        uri);
    switch (code) {
    case L4VIO_ENOENT:
        if (listens(uri))
            return complain(TOOL_NO_DEVICE, "cannot listen at %s: its directory does not exist",
                            path);
        if (stat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
            return complain(TOOL_NO_DEVICE,
                            "%s is not a socket, so no server listens there; 'l4vio serve block' "
                            "makes a device of an image file",
                            path);
        return complain(TOOL_NO_DEVICE,
                        "no device at %s: nobody listens there; check the path, or start "
                        "'l4vio serve block --listen %s ...'",
                        uri, uri);
    case L4VIO_EEXIST:
        return complain(TOOL_NO_DEVICE, "cannot listen at %s: %s", path, error->text);
    case L4VIO_EACCES:
        return complain(TOOL_NO_DEVICE,
                        "no permission to open %s: the socket belongs to the user of its server",
                        uri);
    case L4VIO_EPERM:
        return complain(TOOL_NO_DEVICE,
                        "the server of %s refuses user id %u; it may be started with "
                        "--allow-uid %u",
                        uri, (unsigned)geteuid(), (unsigned)geteuid());
    case L4VIO_EBADPROTO:
        return complain(TOOL_NO_DEVICE, "%s is not the socket of %s (%s)", uri,
                        uri[0] == 'v' ? "a vhost-user back end" : "an L4-VIRTIO server",
                        error->text);
    case L4VIO_EBUSY:
        return complain(TOOL_NO_DEVICE,
                        "the server of %s has as many clients as it takes; try again later, or "
                        "start it with a larger --max-clients",
                        uri);
    case L4VIO_ETIMEDOUT:
        return complain(TOOL_NO_DEVICE, "%s does not answer within %s (%s)%s", uri,
                        format_span(client_settings.timeout_ns, span), text,
                        strncmp(uri, "vhost-user:", 11) == 0
                            ? "; it may be serving another client, which takes all of it"
                            : "");
    case L4VIO_EPIPE:
        return complain(TOOL_NO_DEVICE, "the server of %s went away while connecting (%s)", uri,
                        text);
    case L4VIO_ENOSYS:
        if (error->value < L4VIO_FEATURE_BITS &&
            l4vio_features_has(&client_settings.features.on, (unsigned)error->value))
            return no_such_feature(uri, error);
        return complain(TOOL_NO_DEVICE, "cannot open %s: %s", uri, text);
    case L4VIO_ENODEV:
        return wrong_device(uri, error->value);
    case L4VIO_ENOMEM:
        return complain(TOOL_NO_DEVICE,
                        "cannot use %s: no more memory can be shared; larger --max-regions and "
                        "--max-mapped of the server allow more",
                        uri);
    case L4VIO_ERANGE: /* vhost-user does not tell of what class a device is. */
        return complain(TOOL_NO_DEVICE,
                        "%s is not a block device: it has no configuration of one; 'l4vio info' "
                        "shows what can be said of it",
                        uri);
    case L4VIO_E2BIG:
        return complain(TOOL_NO_DEVICE, "cannot use %s: %s (%" PRIu64 ")", uri, error->text,
                        error->value);
    case L4VIO_EINVAL:
        return complain(TOOL_NO_DEVICE, "cannot open %s: %s", uri, error->text);
    default:
        return complain(TOOL_NO_DEVICE, "cannot open %s: %s", uri, text);
    }
}

/* --write-through: what has been written is durable, so no device that dies takes it with it. */
static int write_through(struct client *client)
{
    struct l4vio_error error = {0};
    if (!client_settings.write_through || !client_has_cache(client))
        return TOOL_OK;
    if (!client->block->info.config_wce)
        return complain(TOOL_FAILED, "%s has no CONFIG_WCE, so nobody can tell it to write through",
                        client->uri);
    int result = client_write_through(client, &error);
    if (result == 0)
        return TOOL_OK;
    return complain(TOOL_FAILED, "cannot tell %s to write through: %s", client->uri,
                    error.text ? error.text : l4vio_error_name(result));
}

static int open_once(struct client *client, struct l4vio_error *error)
{
    struct l4vio_session_options options = client_session_options();
    int result = l4vio_session_open_block(client->uri, &options, &client->session, error);
    if (result < 0)
        return result;
    client->block = l4vio_session_block(client->session);
    result = l4vio_driver_allocate(&client->block->driver, L4VIO_BLOCK_SHARED_BYTES,
                                   &client->region, error);
    if (result < 0)
        client_close(client);
    return result;
}

/* Whether a device that was there a moment ago may be there again in a moment. */
static bool may_return(int result)
{
    return result == L4VIO_EPIPE || result == L4VIO_ENOENT || result == L4VIO_EBUSY ||
           result == L4VIO_ETIMEDOUT;
}

/* --reconnect holds for a device that dies while it is being opened, but nobody waits for a wrong path. */
static int open_patiently(struct client *client, struct l4vio_error *error)
{
    const struct timespec pause = {0, 10000000};
    uint64_t end_ns = clock_ns() + client_settings.reconnect_ns;
    int result = open_once(client, error);
    bool goes_on = client_settings.reconnect_ns && result == L4VIO_EPIPE;
    while (goes_on && may_return(result) && clock_ns() < end_ns) {
        nanosleep(&pause, NULL);
        result = open_once(client, error);
    }
    return result;
}

int client_open(struct client *client, const char *uri)
{
    if (!client_settings.timeout_ns)
        return complain(TOOL_USAGE, "--timeout: there is no time to wait in");
    struct l4vio_error error = {0};
    memset(client, 0, sizeof *client);
    client->uri = uri;
    client_begin_opening(uri);
    int result = open_patiently(client, &error);
    signals_end_opening();
    if (result < 0)
        return client_open_failed(uri, result, &error);
    result = write_through(client);
    if (result != TOOL_OK)
        client_close(client);
    return result;
}

void client_close(struct client *client)
{
    /* Whoever presses Ctrl-C does not want to wait for a device that may be stuck. */
    if (client->lost || signals_pending())
        l4vio_session_abandon(client->session);
    else
        l4vio_session_close(client->session);
    client->session = NULL;
}

uint64_t client_deadline(void)
{
    return clock_ns() + client_settings.timeout_ns;
}

int client_wait(struct client *const *clients, unsigned count, uint64_t deadline_ns)
{
    struct l4vio_session *sessions[L4VIO_SESSION_WAIT_MAX];
    for (unsigned i = 0; i < count; ++i) {
        sessions[i] = clients[i]->session;
        deadline_ns = client_extend(clients[i], deadline_ns);
    }
    if (signals_pending())
        return L4VIO_OK;
    uint64_t slice_end = clock_ns() + SLICE_NS;
    int result =
        l4vio_session_wait(sessions, count, slice_end < deadline_ns ? slice_end : deadline_ns);
    if (result == L4VIO_ETIMEDOUT && clock_ns() < deadline_ns)
        return L4VIO_OK;
    for (unsigned i = 0; i < count && result == L4VIO_EPIPE; ++i) {
        const struct l4vio_transport *transport = &clients[i]->block->driver.transport;
        if (transport->ops->peer_alive(transport->self) < 0)
            return client_come_back(clients[i]);
    }
    return result;
}

int client_wait_queue(struct client *client, uint32_t queue, uint64_t deadline_ns)
{
    struct l4vio_block *block = client->block;
    deadline_ns = client_extend(client, deadline_ns);
    uint64_t slice_end = clock_ns() + SLICE_NS;
    int result = l4vio_driver_wait_used(&block->driver, &block->queues[queue],
                                        slice_end < deadline_ns ? slice_end : deadline_ns);
    if (result == L4VIO_ETIMEDOUT && clock_ns() < deadline_ns)
        return L4VIO_OK;
    return result == L4VIO_EPIPE ? client_come_back(client) : result;
}

int client_kick(struct client *client, uint32_t queue)
{
    int result = l4vio_block_kick(client->block, queue);
    return result == L4VIO_EPIPE && client_settings.reconnect_ns ? L4VIO_OK : result;
}

uint64_t client_size(const struct client *client)
{
    /* A device may claim any capacity; files end at INT64_MAX. */
    uint64_t sectors = client->block->info.capacity_sectors;
    uint64_t most = (uint64_t)INT64_MAX / VIRTIO_BLK_SECTOR_BYTES;
    return (sectors < most ? sectors : most) * VIRTIO_BLK_SECTOR_BYTES;
}

int client_check_range(const struct client *client, uint64_t offset, uint64_t *length)
{
    uint64_t size = client_size(client);
    uint64_t values[] = {offset, *length};
    static const char *const names[] = {"offset", "length"};
    for (int i = 0; i < 2; ++i) {
        uint64_t excess = values[i] % VIRTIO_BLK_SECTOR_BYTES;
        /* A length of 0 would be no help. */
        uint64_t near =
            i == 1 && values[i] == excess ? VIRTIO_BLK_SECTOR_BYTES : values[i] - excess;
        if (excess)
            return complain(TOOL_USAGE,
                            "%s %" PRIu64 " is not a multiple of 512, the sector size of a block "
                            "device; %" PRIu64 " is",
                            names[i], values[i], near);
    }
    if (offset > size)
        return complain(TOOL_FAILED,
                        "offset %" PRIu64 " is past the end of %s, which has %" PRIu64 " bytes",
                        offset, client->uri, size);
    if (!*length)
        *length = size - offset;
    if (*length > size - offset)
        return complain(TOOL_FAILED,
                        "%" PRIu64 " bytes from offset %" PRIu64 " are past the end of %s, which "
                        "has %" PRIu64 " bytes",
                        *length, offset, client->uri, size);
    return TOOL_OK;
}

const char *client_reason(struct client *client, int code, int *exit_code)
{
    static char text[160];
    char span[VALUE_TEXT_BYTES];
    struct l4vio_error broken = {0};
    *exit_code = TOOL_NO_DEVICE;
    client->lost = true;
    switch (code) {
    case L4VIO_EPIPE:
        if (!client->not_back.text)
            return "the device is gone";
        if (client->not_back.code == L4VIO_ETIMEDOUT)
            snprintf(text, sizeof text, "the device is gone, and did not come back within %s",
                     format_span(client_settings.reconnect_ns, span));
        else
            snprintf(text, sizeof text, "the device is gone; %s (%" PRIu64 ")",
                     client->not_back.text, client->not_back.value);
        return text;
    case L4VIO_ETIMEDOUT:
        snprintf(text, sizeof text, "the device has completed nothing for %s",
                 format_span(client_settings.timeout_ns, span));
        return text;
    case L4VIO_EBADPROTO:
        for (unsigned q = 0; q < client->block->queue_count; ++q)
            if (l4vio_queue_broken_error(&client->block->queues[q], &broken) < 0)
                break;
        snprintf(text, sizeof text, "the device broke the protocol (%s)",
                 broken.text ? broken.text : "queue broken");
        return text;
    default:
        break;
    }
    client->lost = false;
    if (l4vio_driver_fail_state(&client->block->driver))
        return "the device has failed and needs a reset";
    *exit_code = TOOL_FAILED;
    switch (code) {
    case L4VIO_EIO:
        return "the device reports an I/O error";
    case L4VIO_EROFS:
        return "the device is read-only";
    case L4VIO_ENOSYS:
        return "the device does not support this";
    case L4VIO_ERANGE:
        return "past the end of the device";
    case L4VIO_E2BIG:
        return "the queue is too small for the request; use a larger --queue-size";
    default:
        return l4vio_error_name(code);
    }
}

static int run_failed(struct client *client, const char *what, int code, const char *so_far)
{
    int exit_code;
    const char *reason = client_reason(client, code, &exit_code);
    return complain(exit_code, "%s of %s failed: %s%s", what, client->uri, reason, so_far);
}

int client_run(struct client *client, const char *what, const char *so_far)
{
    struct l4vio_block_request *request = &client->request;
    uint64_t deadline = client_deadline();
    uint64_t seen = 0;
    int result = l4vio_block_submit(client->block, 0, request, NULL);
    if (result < 0)
        return run_failed(client, what, result, so_far);
    while (result >= 0 && request->in_flight) {
        result = client_wait(&client, 1, deadline);
        int polled = l4vio_block_poll(client->block, 0, 64);
        if (polled < 0)
            result = polled;
        if (request->done_bytes != seen) { /* A part of it: the device is at work. */
            seen = request->done_bytes;
            deadline = client_deadline();
        }
        if (signals_pending())
            return complain(TOOL_SIGNAL + signals_pending(), "%s of %s interrupted%s", what,
                            client->uri, so_far);
    }
    if (!request->in_flight)
        result = request->result;
    return result < 0 ? run_failed(client, what, result, so_far) : TOOL_OK;
}

struct l4vio_block_request *client_request(struct client *client, enum l4vio_block_type type)
{
    l4vio_block_request_init(&client->request, &client->region, 0);
    client->request.type = type;
    return &client->request;
}

int client_flush(struct client *client)
{
    if (!client->block->info.flush)
        return TOOL_OK;
    client_request(client, L4VIO_BLOCK_FLUSH);
    return client_run(client, "flush", "");
}
