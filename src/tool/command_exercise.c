/* SPDX-License-Identifier: MIT */
/* block exercise URI */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/random.h>

#include "tool/exercise.h"
#include "tool/report.h"
#include "tool/tool.h"
#include "tool/values.h"

/* Unless --range is given. */
#define USUAL_RANGE_BYTES (UINT64_C(1) << 30)
#define DEPTH_MAX         1024

static bool seed_given;
static bool json;
static struct exercise_settings settings = {
    .span_ns = UINT64_C(5000000000),
    .depth = 64,
    .request_bytes_max = 256u << 10,
};

static const struct option options[] = {
    {.kind = OPTION_FLAG,
     .name = "write",
     .help = "all kinds of requests, not only reads: THIS DESTROYS WHAT THE DEVICE HOLDS",
     .target = &settings.write},
    {.kind = OPTION_SECONDS,
     .name = "seconds",
     .argument = "SECONDS",
     .help = "time to go on for [5]",
     .target = &settings.span_ns},
    {.kind = OPTION_NUMBER,
     .name = "seed",
     .argument = "N",
     .help = "choose requests as in the run that named this seed [any]",
     .target = &settings.seed,
     .given = &seed_given},
    {.kind = OPTION_NUMBER,
     .name = "depth",
     .argument = "N",
     .help = "requests in flight, at most [64]",
     .target = &settings.depth,
     .min = 1,
     .max = DEPTH_MAX},
    {.kind = OPTION_SIZE,
     .name = "request-size",
     .argument = "SIZE",
     .help = "bytes per request, at most [256K]",
     .target = &settings.request_bytes_max,
     .min = VIRTIO_BLK_SECTOR_BYTES,
     .max = UINT64_C(64) << 20},
    {.kind = OPTION_SIZE,
     .name = "range",
     .argument = "SIZE",
     .help = "use only so much of the device, from its start [all, at most 1G]",
     .target = &settings.range_bytes},
    {.kind = OPTION_FLAG,
     .name = "threads",
     .help = "use each queue from a thread of its own, see --queues",
     .target = &settings.threads},
    {.kind = OPTION_FLAG, .name = "json", .help = "print the result as JSON", .target = &json},
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_block_options},
    {.kind = OPTION_END},
};

static int print_json(const struct client *client, const struct exercise_counts *counts,
                      uint64_t span_ns)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "operation", "exercise",
        "uri", client->uri, "result", "as expected", "seconds", (double)span_ns / 1e9, "seed",
        (json_int_t)settings.seed, "reads", (json_int_t)counts->reads, "writes",
        (json_int_t)counts->writes, "write_zeroes", (json_int_t)counts->zeroes, "discards",
        (json_int_t)counts->discards, "flushes", (json_int_t)counts->flushes, "identities",
        (json_int_t)counts->identities, "bytes", (json_int_t)counts->bytes);
    client_reconnects_json(&client, 1, root);
    bool written = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return written ? TOOL_OK : complain(TOOL_FAILED, "cannot write JSON");
}

static void print_text(const char *uri, const struct exercise_counts *counts, uint64_t span_ns)
{
    char range[VALUE_TEXT_BYTES], moved[VALUE_TEXT_BYTES];
    printf("%s answers as expected: %s in use, %s moved in %.1f s, seed %" PRIu64 "\n", uri,
           format_size(settings.range_bytes, range), format_size(counts->bytes, moved),
           (double)span_ns / 1e9, settings.seed);
    printf("%" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64 " writes of zeroes, %" PRIu64
           " discards, %" PRIu64 " flushes, %" PRIu64 " identities\n",
           counts->reads, counts->writes, counts->zeroes, counts->discards, counts->flushes,
           counts->identities);
}

/* What can be typed again: no longer than it has to be. */
static int choose_seed(void)
{
    uint32_t seed;
    if (seed_given)
        return TOOL_OK;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return complain(TOOL_FAILED, "no random numbers to be had; --seed does without");
    settings.seed = seed;
    return TOOL_OK;
}

static int check(struct client *client)
{
    if (settings.write && client->block->info.read_only)
        return complain(TOOL_FAILED, "%s is read-only; leave --write out", client->uri);
    if (!settings.range_bytes && client_size(client) > USUAL_RANGE_BYTES)
        settings.range_bytes = USUAL_RANGE_BYTES;
    int result = client_check_range(client, 0, &settings.range_bytes);
    if (result == TOOL_OK && !settings.range_bytes)
        result = complain(TOOL_FAILED, "%s is empty", client->uri);
    return result;
}

static int run(char **arguments)
{
    struct client client = {0};
    struct exercise_counts counts;
    settings.request_bytes_max -= settings.request_bytes_max % VIRTIO_BLK_SECTOR_BYTES;
    if (!settings.span_ns)
        return complain(TOOL_USAGE, "--seconds: there is no time to do anything in");
    int result = choose_seed();
    if (result == TOOL_OK)
        result = client_open(&client, arguments[0]);
    if (result != TOOL_OK)
        return result;
    result = check(&client);
    if (result != TOOL_OK) {
        client_close(&client);
        return result;
    }
    uint64_t start = clock_ns();
    result = exercise_run(&client, &settings, &counts);
    uint64_t span = clock_ns() - start;
    if (result == TOOL_OK && json)
        result = print_json(&client, &counts, span);
    else if (result == TOOL_OK)
        print_text(client.uri, &counts, span);
    return result;
}

const struct tool_command command_exercise = {
    .name = "block exercise",
    .arguments = "URI",
    .summary = "Checks a device by a random load; exit code 3 if it returns wrong data",
    .details =
        "Random sizes, places, pieces of memory and numbers of requests in flight; what is read must be\n"
        "what was written, or was there before. Only reads, unless --write is given: then writes, writes\n"
        "of zeroes, discards and flushes too, as far as the device has them.",
    .options = options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
