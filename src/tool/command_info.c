/* SPDX-License-Identifier: MIT */
/* info URI */
#include <l4vio/wire/status.h>

#include "tool/client.h"
#include "tool/info.h"
#include "tool/report.h"
#include "tool/tool.h"

static bool json;

static const struct option options[] = {
    {.kind = OPTION_FLAG, .name = "json", .help = "print JSON", .target = &json},
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_options},
    {.kind = OPTION_END},
};

/* Reads what it takes a call to know, and prints. */
static int show(struct info *info)
{
    const struct l4vio_transport *transport = &info->driver->transport;
    int result = transport->ops->get_status(transport->self, &info->status);
    if (result < 0)
        return complain(TOOL_NO_DEVICE, "%s went away", info->uri);
    info->queues_shown = info->driver->identity.queue_count < INFO_QUEUES_MAX
                             ? info->driver->identity.queue_count
                             : INFO_QUEUES_MAX;
    for (uint32_t q = 0; q < info->queues_shown; ++q)
        info->queue_size_max[q] = l4vio_driver_queue_size_max(info->driver, q, NULL);
    if (!json)
        info_print(info);
    else if (!info_print_json(info))
        return complain(TOOL_FAILED, "cannot write JSON");
    return TOOL_OK;
}

static int show_block(struct client *client)
{
    struct info info = {
        .uri = client->uri,
        .driver = &client->block->driver,
        .block = client->block,
        .settled = true,
    };
    client_request(client, L4VIO_BLOCK_GET_ID);
    int result = client_run(client, "id", "");
    if (result != TOOL_OK && result != TOOL_FAILED)
        return result;
    if (result == TOOL_OK) {
        l4vio_block_request_id(&client->request, info.id);
        info.has_id = true;
    }
    if (client->block->info.config_wce) {
        int writeback = l4vio_block_get_writeback(client->block);
        info.has_writeback = writeback >= 0;
        info.writeback = writeback == 1;
    }
    return show(&info);
}

static int show_block_at(const char *uri)
{
    struct client client = {0};
    int result = client_open(&client, uri);
    if (result == TOOL_OK)
        result = show_block(&client);
    client_close(&client);
    return result;
}

/* A block device is opened anew by its driver, so that accepted features and identity can be shown. */
static int run(char **arguments)
{
    struct l4vio_session_options session_options = client_session_options();
    struct l4vio_error error = {0};
    struct l4vio_session *session;
    if (!session_options.timeout_ns)
        return complain(TOOL_USAGE, "--timeout: there is no time to wait in");
    int result = l4vio_session_open_any(arguments[0], &session_options, &session, &error);
    if (result < 0)
        return client_open_failed(arguments[0], result, &error);
    struct info info = {.uri = arguments[0], .driver = l4vio_session_driver(session)};
    bool is_block = info.driver->identity.device_id == VIRTIO_ID_BLOCK;
    if (!is_block)
        result = show(&info);
    l4vio_session_close(session);
    return is_block ? show_block_at(arguments[0]) : result;
}

const struct tool_command command_info = {
    .name = "info",
    .arguments = "URI",
    .summary = "Shows a device: identity, status, features, queues, configuration",
    .options = options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
