/* SPDX-License-Identifier: MIT */
/* block read URI [FILE], block write URI [FILE], block verify URI FILE */
#include <inttypes.h>
#include <stdio.h>

#include "tool/files.h"
#include "tool/report.h"
#include "tool/stream.h"
#include "tool/tool.h"

static uint64_t offset_bytes;
static uint64_t length_bytes;
static bool length_given;
static bool pad;

#define OFFSET_OPTION                                                                      \
    {                                                                                      \
        .kind = OPTION_SIZE, .name = "offset", .argument = "SIZE",                         \
        .help = "first byte on the device, a multiple of 512 [0]", .target = &offset_bytes \
    }

static const struct option read_options[] = {
    OFFSET_OPTION,
    {.kind = OPTION_SIZE,
     .name = "length",
     .argument = "SIZE",
     .help = "bytes, a multiple of 512 [up to the end of the device]",
     .target = &length_bytes,
     .given = &length_given},
    {.kind = OPTION_GROUP, .name = "Copy options", .group = stream_options},
    {.kind = OPTION_END},
};

static const struct option write_options[] = {
    OFFSET_OPTION,
    {.kind = OPTION_SIZE,
     .name = "length",
     .argument = "SIZE",
     .help = "bytes to take from the file [all]",
     .target = &length_bytes,
     .given = &length_given},
    {.kind = OPTION_FLAG,
     .name = "pad",
     .help = "fill the last sector with zeroes if the file ends inside it",
     .target = &pad},
    {.kind = OPTION_GROUP, .name = "Copy options", .group = stream_options},
    {.kind = OPTION_END},
};

static const struct option verify_options[] = {
    OFFSET_OPTION,
    {.kind = OPTION_GROUP, .name = "Copy options", .group = stream_options},
    {.kind = OPTION_END},
};

static int finish(struct stream *stream, struct client *client, struct stream_end *file, int result)
{
    client_close(client);
    stream_free(stream);
    int closed = file_close(file);
    return result == TOOL_OK ? closed : result;
}

static int run_read(char **arguments)
{
    struct client client = {0};
    struct stream stream = {.verb = "read", .past_verb = "read"};
    if (length_given && !length_bytes)
        return complain(TOOL_USAGE, "--length: there is nothing to read");
    int result = stream_check_json(arguments[1]);
    if (result == TOOL_OK)
        result = client_open(&client, arguments[0]);
    if (result != TOOL_OK)
        return result;

    stream.source = (struct stream_end){&client, -1, false, arguments[0], offset_bytes};
    stream.target = (struct stream_end){.fd = -1, .name = arguments[1] ? arguments[1] : "-"};
    stream.length_bytes = length_bytes;
    result = client_check_range(&client, offset_bytes, &stream.length_bytes);
    if (result == TOOL_OK)
        result = file_open_target(&stream.target, stream.length_bytes);
    uint64_t start = clock_ns();
    if (result == TOOL_OK)
        result = stream_run(&stream);
    result = finish(&stream, &client, &stream.target, result);
    return result == TOOL_OK ? stream_report(&stream, "read", clock_ns() - start) : result;
}

/* Takes --length into account, and checks that the device has room. */
static int check_write(struct stream *stream, const struct client *client)
{
    uint64_t length = stream->length_bytes;
    if (length_given) {
        if (length != STREAM_TO_END && length_bytes > length)
            return complain(TOOL_FAILED, "%s has %" PRIu64 " bytes, fewer than --length %" PRIu64,
                            stream->source.name, length, length_bytes);
        length = length_bytes;
        stream->length_bytes = length;
    }
    if (client->block->info.read_only)
        return complain(TOOL_FAILED, "%s is read-only; nothing was written", client->uri);
    if (length == 0 || length == STREAM_TO_END)
        length = VIRTIO_BLK_SECTOR_BYTES;
    else if (length % VIRTIO_BLK_SECTOR_BYTES && !stream->pad)
        return file_needs_padding(&stream->source, length);
    else if (stream->pad)
        length +=
            (VIRTIO_BLK_SECTOR_BYTES - length % VIRTIO_BLK_SECTOR_BYTES) % VIRTIO_BLK_SECTOR_BYTES;
    return client_check_range(client, stream->target.offset_bytes, &length);
}

static int run_write(char **arguments)
{
    struct client client = {0};
    struct stream stream = {.verb = "write", .past_verb = "written", .pad = pad};
    int result = client_open(&client, arguments[0]);
    if (result != TOOL_OK)
        return result;

    stream.source = (struct stream_end){.fd = -1, .name = arguments[1] ? arguments[1] : "-"};
    stream.target = (struct stream_end){&client, -1, false, arguments[0], offset_bytes};
    result = file_open_source(&stream.source, &stream.length_bytes);
    if (result == TOOL_OK)
        result = check_write(&stream, &client);
    uint64_t start = clock_ns();
    if (result == TOOL_OK)
        result = stream_run(&stream);
    result = finish(&stream, &client, &stream.source, result);
    return result == TOOL_OK ? stream_report(&stream, "wrote", clock_ns() - start) : result;
}

/* The device may be larger than the file; what lies beyond it is not looked at. */
static int compare(struct stream *stream, struct client *client)
{
    uint64_t file_bytes = stream->length_bytes;
    if (stream->target.sequential)
        return complain(TOOL_USAGE, "%s is not a file with positions", stream->target.name);
    if (!file_bytes)
        return complain(TOOL_FAILED, "%s is empty", stream->target.name);
    uint64_t whole = file_bytes - file_bytes % VIRTIO_BLK_SECTOR_BYTES;
    if (whole != file_bytes)
        return complain(TOOL_FAILED, "%s has %" PRIu64 " bytes, not a multiple of 512",
                        stream->target.name, file_bytes);
    int result = client_check_range(client, offset_bytes, &file_bytes);
    return result == TOOL_OK ? stream_run(stream) : result;
}

static int run_verify(char **arguments)
{
    struct client client = {0};
    struct stream stream = {.verb = "verify", .past_verb = "compared", .compare = true};
    int result = client_open(&client, arguments[0]);
    if (result != TOOL_OK)
        return result;

    stream.source = (struct stream_end){&client, -1, false, arguments[0], offset_bytes};
    stream.target = (struct stream_end){.fd = -1, .name = arguments[1]};
    result = file_open_source(&stream.target, &stream.length_bytes);
    uint64_t start = clock_ns();
    if (result == TOOL_OK)
        result = compare(&stream, &client);
    result = finish(&stream, &client, &stream.target, result);
    if (result == TOOL_OK)
        result = stream_report(&stream, "equal:", clock_ns() - start);
    if (result == TOOL_OK && stream.different)
        return complain(TOOL_DIFFERENT,
                        "%s and %s differ: first at byte %" PRIu64 " of the file, byte %" PRIu64
                        " of the device",
                        arguments[0], stream.target.name, stream.difference,
                        offset_bytes + stream.difference);
    return result;
}

const struct tool_command command_read = {
    .name = "block read",
    .arguments = "URI [FILE]",
    .summary = "Reads a range of a device into a file or to standard output",
    .options = read_options,
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run_read,
};

const struct tool_command command_write = {
    .name = "block write",
    .arguments = "URI [FILE]",
    .summary = "Writes a file, or standard input, to a device",
    .options = write_options,
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run_write,
};

const struct tool_command command_verify = {
    .name = "block verify",
    .arguments = "URI FILE",
    .summary = "Compares a device with a file; exit code 3 if they differ",
    .details = "Compares as many bytes as the file has, and tells where the first difference is.",
    .options = verify_options,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run_verify,
};
