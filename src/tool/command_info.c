/* SPDX-License-Identifier: MIT */
/* info URI */
#include <l4vio/names.h>
#include <l4vio/wire/status.h>

#include <stdio.h>
#include <string.h>

#include "tool/client.h"
#include "tool/info.h"
#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

static bool json;
static uint32_t named_class;

static int choose_class(const char *name)
{
    named_class = l4vio_class_by_name(name);
    if (named_class)
        return TOOL_OK;
    char words[600] = "";
    size_t used = 0;
    for (uint32_t id = l4vio_class_next(0); id && used < sizeof words; id = l4vio_class_next(id))
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", used ? ", " : "",
                                 l4vio_class_word(id));
    return complain(TOOL_USAGE, "--class: there is no class '%s'; these are known: %s", name,
                    words);
}

static const struct option options[] = {
    {.kind = OPTION_FLAG, .name = "json", .help = "print JSON", .target = &json},
    {.kind = OPTION_CALL,
     .name = "class",
     .argument = "NAME",
     .help = "class of a vhost-user device, which does not tell it: block, net, fs, ..., or an id",
     .call = choose_class},
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_options},
    {.kind = OPTION_END},
};

uint32_t info_queues_shown(const struct info *info)
{
    uint32_t count = info->identity.queue_count;
    return count < INFO_QUEUES_MAX ? count : INFO_QUEUES_MAX;
}

/* What a connected driver knows of its device. */
static int ask_driver(struct info *info, struct l4vio_driver *driver)
{
    const struct l4vio_transport *transport = &driver->transport;
    struct l4vio_error error = {0};
    int result = transport->ops->get_status(transport->self, &info->status);
    if (result < 0)
        return complain(TOOL_NO_DEVICE, "%s went away", info->uri);
    info->has_status = true;
    info->identity = driver->identity;
    info->class_source = INFO_FROM_DEVICE;
    info->has_queue_sizes = true;
    for (uint32_t q = 0; q < info_queues_shown(info); ++q)
        info->queue_size_max[q] = l4vio_driver_queue_size_max(driver, q, NULL);
    uint32_t size = transport->ops->config_size(transport->self);
    if (size > sizeof info->config)
        size = sizeof info->config;
    result = l4vio_driver_read_config(driver, 0, info->config, size, size % 4 ? 1 : 4, &error);
    if (result < 0)
        return client_open_failed(info->uri, result, &error);
    info->config_bytes = size;
    return TOOL_OK;
}

static int ask_block(struct info *info, struct client *client)
{
    info->settled = true;
    info->accepted = client->block->driver.accepted;
    client_request(client, L4VIO_BLOCK_GET_ID);
    int result = client_run(client, "id", "");
    if (result != TOOL_OK && result != TOOL_FAILED)
        return result;
    if (result == TOOL_OK) {
        l4vio_block_request_id(&client->request, info->id);
        info->has_id = true;
    }
    return ask_driver(info, &client->block->driver);
}

static int ask_block_at(struct info *info)
{
    struct client client = {0};
    int result = client_open(&client, info->uri);
    if (result == TOOL_OK)
        result = ask_block(info, &client);
    client_close(&client);
    return result;
}

/*
 * A server of L4-VIRTIO makes a device of its own for every client, so there is nobody to disturb: a block
 * device is opened anew by its driver, to show accepted features and identity.
 */
static int ask_any(struct info *info)
{
    struct l4vio_session_options session_options = client_session_options();
    struct l4vio_error error = {0};
    struct l4vio_session *session;
    client_begin_opening(info->uri);
    int result = l4vio_session_open_any(info->uri, &session_options, &session, &error);
    signals_end_opening();
    if (result < 0)
        return client_open_failed(info->uri, result, &error);
    struct l4vio_driver *driver = l4vio_session_driver(session);
    bool is_block = driver->identity.device_id == VIRTIO_ID_BLOCK;
    result = is_block ? TOOL_OK : ask_driver(info, driver);
    l4vio_session_close(session);
    return is_block ? ask_block_at(info) : result;
}

/* Who does not tell the class of a device leaves it to the option, or to a guess. */
static int settle_class(struct info *info)
{
    struct l4vio_identity *identity = &info->identity;
    if (info->class_source == INFO_FROM_DEVICE && named_class && named_class != identity->device_id)
        return complain(TOOL_USAGE, "--class: %s itself says that its class is %u (%s)", info->uri,
                        (unsigned)identity->device_id, l4vio_device_name(identity->device_id));
    if (info->class_source == INFO_FROM_DEVICE)
        return TOOL_OK;
    identity->device_id = named_class;
    info->class_source = INFO_FROM_OPTION;
    if (named_class)
        return TOOL_OK;
    identity->device_id = l4vio_class_guess(&identity->offered, info->config, info->config_bytes);
    info->class_source = identity->device_id ? INFO_GUESSED : INFO_UNKNOWN;
    return TOOL_OK;
}

static int run(char **arguments)
{
    static struct info info;
    info.uri = arguments[0];
    if (!client_settings.timeout_ns)
        return complain(TOOL_USAGE, "--timeout: there is no time to wait in");
    int result = info_is_vhost_user(info.uri)
                     ? info_ask_vhost_user(&info, client_settings.timeout_ns)
                     : ask_any(&info);
    if (result == TOOL_OK)
        result = settle_class(&info);
    if (result != TOOL_OK)
        return result;
    if (!json)
        info_print(&info);
    else if (!info_print_json(&info))
        return complain(TOOL_FAILED, "cannot write JSON");
    return TOOL_OK;
}

const struct tool_command command_info = {
    .name = "info",
    .arguments = "URI",
    .summary = "Shows a device of any class: identity, features, queues, configuration by name",
    .details =
        "A vhost-user device does not tell its class: --class names it, else it is guessed where\n"
        "only one class fits its features and its configuration. Nothing is set up on such a\n"
        "device: it is only asked.",
    .options = options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
