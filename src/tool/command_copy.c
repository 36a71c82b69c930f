/* SPDX-License-Identifier: MIT */
/* block copy SRC DST */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tool/files.h"
#include "tool/report.h"
#include "tool/stream.h"
#include "tool/tool.h"

static bool pad;

static const struct option options[] = {
    {.kind = OPTION_FLAG,
     .name = "pad",
     .help = "fill the last sector with zeroes if a file ends inside it",
     .target = &pad},
    {.kind = OPTION_GROUP, .name = "Copy options", .group = stream_options},
    {.kind = OPTION_END},
};

/* Checks that the source fits before anything is written. */
static int check_sizes(const struct stream *stream)
{
    const struct client *target = stream->target.client;
    uint64_t length = stream->length_bytes;
    if (!target || length == STREAM_TO_END)
        return TOOL_OK;
    if (target->block->info.read_only)
        return complain(TOOL_FAILED, "%s is read-only; nothing was written", target->uri);
    if (length > client_size(target))
        return complain(TOOL_FAILED,
                        "%s has %" PRIu64 " bytes and does not fit on %s, which has %" PRIu64
                        "; nothing was written",
                        stream->source.name, length, target->uri, client_size(target));
    if (length % VIRTIO_BLK_SECTOR_BYTES && !stream->pad)
        return file_needs_padding(&stream->source, length);
    return TOOL_OK;
}

static int open_ends(struct stream *stream, struct client clients[2], char **arguments)
{
    struct stream_end *ends[] = {&stream->source, &stream->target};
    for (int i = 0; i < 2; ++i) {
        ends[i]->fd = -1;
        ends[i]->name = arguments[i];
        if (!l4vio_session_is_uri(arguments[i]))
            continue;
        int result = client_open(&clients[i], arguments[i]);
        if (result != TOOL_OK)
            return result;
        ends[i]->client = &clients[i];
    }
    if (stream->source.client)
        stream->length_bytes = client_size(stream->source.client);
    else if (file_open_source(&stream->source, &stream->length_bytes) != TOOL_OK)
        return TOOL_FAILED;
    int result = check_sizes(stream);
    if (result == TOOL_OK && !stream->target.client)
        result = file_open_target(&stream->target, stream->length_bytes);
    return result;
}

static int run(char **arguments)
{
    struct client clients[2] = {0};
    struct stream stream = {.verb = "copy", .past_verb = "copied", .pad = pad};
    if (!l4vio_session_is_uri(arguments[0]) && !l4vio_session_is_uri(arguments[1]))
        return complain(TOOL_USAGE,
                        "neither '%s' nor '%s' is a device (l4:PATH); for two files use cp",
                        arguments[0], arguments[1]);

    int result = stream_check_json(arguments[1]);
    if (result == TOOL_OK)
        result = open_ends(&stream, clients, arguments);
    uint64_t start = clock_ns();
    if (result == TOOL_OK)
        result = stream_run(&stream);
    if (result == TOOL_OK)
        result = file_close(&stream.target);
    if (result == TOOL_OK)
        result = stream_report(&stream, "copied", clock_ns() - start);
    client_close(&clients[1]);
    client_close(&clients[0]);
    stream_free(&stream);
    file_close(&stream.source);
    return result;
}

const struct tool_command command_copy = {
    .name = "block copy",
    .arguments = "SRC DST",
    .summary = "Copies a device to a file, a file to a device, or a device to a device",
    .details =
        "SRC and DST are each l4:PATH or a file; '-' is standard input or output. A file DST is\n"
        "created, or emptied first. Nothing is written if SRC does not fit.",
    .options = options,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run,
};
