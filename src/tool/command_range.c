/* SPDX-License-Identifier: MIT */
/* block zero|discard URI, block flush URI, block id URI */
#include <inttypes.h>
#include <stdio.h>

#include "tool/client.h"
#include "tool/report.h"
#include "tool/tool.h"
#include "tool/values.h"

/* One request; small enough to show progress and to end early. */
#define STEP_BYTES (UINT64_C(64) << 20)

static struct {
    uint64_t offset_bytes;
    uint64_t length_bytes;
    bool length_given;
    bool all;
    bool unmap;
} range;

#define RANGE_OPTIONS                                                              \
    {.kind = OPTION_SIZE,                                                          \
     .name = "offset",                                                             \
     .argument = "SIZE",                                                           \
     .help = "first byte, a multiple of 512 [0]",                                  \
     .target = &range.offset_bytes},                                               \
        {.kind = OPTION_SIZE,                                                      \
         .name = "length",                                                         \
         .argument = "SIZE",                                                       \
         .help = "bytes, a multiple of 512",                                       \
         .target = &range.length_bytes,                                            \
         .given = &range.length_given},                                            \
    {                                                                              \
        .kind = OPTION_FLAG, .name = "all", .help = "up to the end of the device", \
        .target = &range.all                                                       \
    }

static const struct option zero_options[] = {
    RANGE_OPTIONS,
    {.kind = OPTION_FLAG,
     .name = "unmap",
     .help = "the device may release the blocks",
     .target = &range.unmap},
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_block_options},
    {.kind = OPTION_END},
};

static const struct option discard_options[] = {
    RANGE_OPTIONS,
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_block_options},
    {.kind = OPTION_END},
};

static const struct option device_options[] = {
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_block_options},
    {.kind = OPTION_END},
};

struct range_command {
    enum l4vio_block_type type;
    const char *verb;
    const char *past_verb;
};

static int run_steps(struct client *client, const struct range_command *command, uint64_t length)
{
    char so_far[100];
    uint64_t done = 0;
    progress_start(command->verb, length);
    while (done < length) {
        uint64_t step = length - done < STEP_BYTES ? length - done : STEP_BYTES;
        struct l4vio_block_request *request = client_request(client, command->type);
        request->sector = (range.offset_bytes + done) / VIRTIO_BLK_SECTOR_BYTES;
        request->sector_count = step / VIRTIO_BLK_SECTOR_BYTES;
        request->unmap = range.unmap;
        snprintf(so_far, sizeof so_far, "; %" PRIu64 " of %" PRIu64 " bytes were %s", done, length,
                 command->past_verb);
        int result = client_run(client, command->verb, so_far);
        if (result != TOOL_OK)
            return result;
        done += step;
        progress_show(done);
    }
    progress_end();
    return TOOL_OK;
}

/* Zeroes that a device had in its cache when it died are written again; a discard is only a hint. */
static int run_durably(struct client *client, const struct range_command *command, uint64_t length)
{
    uint64_t returns;
    int result;
    do {
        returns = client_returns(client);
        result = run_steps(client, command, length);
        if (result == TOOL_OK)
            result = client_flush(client);
    } while (result == TOOL_OK && client_returns(client) != returns && client_has_cache(client) &&
             command->type == L4VIO_BLOCK_WRITE_ZEROES);
    return result;
}

static int run_range(const char *uri, const struct range_command *command)
{
    struct client client = {0};
    if (range.length_given == range.all)
        return complain(TOOL_USAGE, "say what to %s: either --length SIZE or --all", command->verb);
    if (range.length_given && !range.length_bytes)
        return complain(TOOL_USAGE, "--length: there is nothing to %s", command->verb);
    int result = client_open(&client, uri);
    if (result != TOOL_OK)
        return result;

    uint64_t start = clock_ns();
    uint64_t length = range.length_bytes;
    result = client_check_range(&client, range.offset_bytes, &length);
    if (result == TOOL_OK)
        result = run_durably(&client, command, length);
    client_close(&client);
    if (result == TOOL_OK)
        report_done(command->past_verb, length, clock_ns() - start, false);
    return result;
}

static int run_zero(char **arguments)
{
    static const struct range_command zero = {L4VIO_BLOCK_WRITE_ZEROES, "zero", "zeroed"};
    return run_range(arguments[0], &zero);
}

static int run_discard(char **arguments)
{
    static const struct range_command discard = {L4VIO_BLOCK_DISCARD, "discard", "discarded"};
    return run_range(arguments[0], &discard);
}

static int run_flush(char **arguments)
{
    struct client client = {0};
    char span[VALUE_TEXT_BYTES];
    int result = client_open(&client, arguments[0]);
    if (result != TOOL_OK)
        return result;
    uint64_t start = clock_ns();
    bool has_flush = client.block->info.flush;
    result = client_flush(&client);
    client_close(&client);
    if (result == TOOL_OK && has_flush)
        printf("flushed in %s\n", format_span(clock_ns() - start, span));
    else if (result == TOOL_OK)
        puts("nothing to flush: this device's writes are durable when they complete");
    return result;
}

static int run_id(char **arguments)
{
    struct client client = {0};
    int result = client_open(&client, arguments[0]);
    if (result != TOOL_OK)
        return result;
    client_request(&client, L4VIO_BLOCK_GET_ID);
    result = client_run(&client, "id", "");
    if (result == TOOL_OK) {
        char id[VIRTIO_BLK_ID_BYTES + 1];
        l4vio_block_request_id(&client.request, id);
        print_safely(id);
        putchar('\n');
    }
    client_close(&client);
    return result;
}

const struct tool_command command_zero = {
    .name = "block zero",
    .arguments = "URI",
    .summary = "Writes zeroes to a range of a device",
    .options = zero_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_zero,
};

const struct tool_command command_discard = {
    .name = "block discard",
    .arguments = "URI",
    .summary = "Tells a device that the contents of a range are no longer needed",
    .options = discard_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_discard,
};

const struct tool_command command_flush = {
    .name = "block flush",
    .arguments = "URI",
    .summary = "Makes everything durable that was written to a device",
    .options = device_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_flush,
};

const struct tool_command command_id = {
    .name = "block id",
    .arguments = "URI",
    .summary = "Prints the identity of a block device",
    .options = device_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_id,
};
