/* SPDX-License-Identifier: MIT */
/*
 * `info` at a vhost-user back end: connects, reads what there is to read, and hangs up. No feature of the
 * device is set, no status, no queue, no memory: the device does not get to know of it.
 */
#include <string.h>

#include <l4vio/linux.h>

#include "tool/client.h"
#include "tool/info.h"
#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

#define CONFIG_TRIES 16u

static const char connects[] = "vhost-user:";
static const char listens[] = "vhost-user-listen:";

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool info_is_vhost_user(const char *uri)
{
    return begins(uri, connects) || begins(uri, listens);
}

static int failed(const char *uri, int code, const struct l4vio_error *error)
{
    char span[VALUE_TEXT_BYTES];
    if (code == L4VIO_ETIMEDOUT && begins(uri, connects))
        return complain(
            TOOL_NO_DEVICE,
            "%s does not answer within %s; most back ends serve one client at a time: it "
            "may be busy with another",
            uri, format_span(client_settings.timeout_ns, span));
    return client_open_failed(uri, code, error);
}

/* Again while it changes, but not for ever. */
static int read_config(struct info *info, const struct l4vio_transport *transport,
                       struct l4vio_error *error)
{
    const struct l4vio_transport_ops *ops = transport->ops;
    uint32_t size = ops->config_size(transport->self);
    if (size > sizeof info->config)
        size = sizeof info->config;
    for (unsigned tries = 0; size && tries < CONFIG_TRIES; ++tries) {
        uint32_t generation = ops->generation(transport->self);
        int result =
            ops->read_config(transport->self, 0, info->config, size, size % 4 ? 1 : 4, error);
        if (result < 0)
            return result;
        if (generation == ops->generation(transport->self))
            break;
    }
    info->config_bytes = size;
    return 0;
}

static int ask(struct info *info, struct l4vio_vhost_user *connection,
               const struct l4vio_transport *transport, uint64_t deadline_ns,
               struct l4vio_error *error)
{
    struct l4vio_transport_properties properties = {0};
    int result =
        transport->ops->identify(transport->self, &properties, &info->identity, deadline_ns, error);
    if (result == 0)
        result = read_config(info, transport, error);
    if (result < 0)
        return failed(info->uri, result, error);
    l4vio_vhost_user_describe(connection, &info->vhost_user);
    info->is_vhost_user = true;
    info->tracks_in_flight = properties.tracks_in_flight;
    /* As they came, with the protocol's own: the transport has taken those off for the driver. */
    info->identity.offered.word[0] = (uint32_t)info->vhost_user.features;
    info->identity.offered.word[1] = (uint32_t)(info->vhost_user.features >> 32);
    return TOOL_OK;
}

int info_ask_vhost_user(struct info *info, uint64_t timeout_ns)
{
    struct l4vio_error error = {0};
    struct l4vio_platform platform;
    struct l4vio_linux *linux_platform;
    struct l4vio_transport transport;
    struct l4vio_vhost_user *connection = NULL;
    struct l4vio_vhost_user_options options = {
        .timeout_ns = timeout_ns,
        .listen = begins(info->uri, listens),
    };
    const char *path = strchr(info->uri, ':') + 1;
    uint64_t deadline_ns = clock_ns() + timeout_ns;
    int result = l4vio_linux_open(&linux_platform, &platform, &error);
    if (result < 0)
        return failed(info->uri, result, &error);
    client_begin_opening(info->uri);
    result = l4vio_vhost_user_connect(path, &platform, &options, &connection, &transport, &error);
    if (result < 0)
        result = failed(info->uri, result, &error);
    else
        result = ask(info, connection, &transport, deadline_ns, &error);
    l4vio_vhost_user_free(connection);
    signals_end_opening();
    l4vio_linux_close(linux_platform);
    return result;
}
