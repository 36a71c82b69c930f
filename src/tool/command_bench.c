/* SPDX-License-Identifier: MIT */
/* block bench URI */
#include <l4vio/wire/block.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "tool/bench.h"
#include "tool/report.h"
#include "tool/tool.h"
#include "tool/values.h"

#define RANDOM_BYTES     UINT64_C(4096)
#define SEQUENTIAL_BYTES (UINT64_C(1) << 20)
#define SEQUENTIAL_DEPTH 8u
#define DEPTH_MAX        1024u
#define DEPTHS_MAX       16u

static struct {
    bool write;
    bool json;
    bool threads;
    uint64_t span_ns;
    uint64_t range_bytes;
    unsigned depths[DEPTHS_MAX];
    unsigned depth_count;
} settings = {.span_ns = UINT64_C(2000000000), .depths = {1, 32, 128}, .depth_count = 3};

static int parse_depths(const char *value)
{
    char text[100];
    settings.depth_count = 0;
    if (strlen(value) >= sizeof text)
        return complain(TOOL_USAGE, "--depths: '%s' is too long", value);
    memcpy(text, value, strlen(value) + 1);
    char *rest = text;
    for (char *word; (word = strsep(&rest, ","));) {
        uint64_t depth = 0;
        const char *wrong = parse_number(word, &depth);
        if (wrong || depth < 1 || depth > DEPTH_MAX || settings.depth_count == DEPTHS_MAX)
            return complain(TOOL_USAGE,
                            "--depths: '%s' is not a list of up to %u numbers from 1 to %u", value,
                            DEPTHS_MAX, DEPTH_MAX);
        settings.depths[settings.depth_count++] = (unsigned)depth;
    }
    return TOOL_OK;
}

static const struct option options[] = {
    {.kind = OPTION_FLAG,
     .name = "write",
     .help = "measure writes too: THIS DESTROYS WHAT THE DEVICE HOLDS",
     .target = &settings.write},
    {.kind = OPTION_SECONDS,
     .name = "seconds",
     .argument = "SECONDS",
     .help = "time per step [2]",
     .target = &settings.span_ns},
    {.kind = OPTION_CALL,
     .name = "depths",
     .argument = "N,N,...",
     .help = "requests in flight for random access [1,32,128]",
     .call = parse_depths},
    {.kind = OPTION_SIZE,
     .name = "range",
     .argument = "SIZE",
     .help = "use only so much of the device, from its start [all]",
     .target = &settings.range_bytes},
    {.kind = OPTION_FLAG,
     .name = "threads",
     .help = "use each queue from a thread of its own, see --queues",
     .target = &settings.threads},
    {.kind = OPTION_FLAG, .name = "json", .help = "print JSON", .target = &settings.json},
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_block_options},
    {.kind = OPTION_END},
};

static void print_step(const struct bench_step *step, const struct bench_result *result)
{
    char size[VALUE_TEXT_BYTES], p50[VALUE_TEXT_BYTES], p95[VALUE_TEXT_BYTES];
    char p99[VALUE_TEXT_BYTES], most[VALUE_TEXT_BYTES], name[32];
    double seconds = (double)result->span_ns / 1e9;
    const struct histogram *latency = &result->latency;
    snprintf(name, sizeof name, "%s %s", step->sequential ? "seq" : "random",
             step->write ? "write" : "read");
    printf("%-13s%7s%6u%11.0f%9.0f%11s%11s%11s%11s\n", name, format_size(step->request_bytes, size),
           result->depth, (double)result->requests / seconds, (double)result->bytes / 1e6 / seconds,
           format_span(histogram_percentile(latency, 0.50), p50),
           format_span(histogram_percentile(latency, 0.95), p95),
           format_span(histogram_percentile(latency, 0.99), p99),
           format_span(latency->max_ns, most));
    fflush(stdout);
}

static json_t *step_json(const struct bench_step *step, const struct bench_result *result)
{
    const struct histogram *latency = &result->latency;
    double seconds = (double)result->span_ns / 1e9;
    return json_pack(
        "{s:s, s:s, s:I, s:i, s:i, s:f, s:I, s:f, s:f, s:{s:I, s:I, s:I, s:I, s:I}}", "operation",
        step->write ? "write" : "read", "pattern", step->sequential ? "sequential" : "random",
        "request_bytes", (json_int_t)step->request_bytes, "depth", (int)step->depth,
        "depth_reached", (int)result->depth, "seconds", seconds, "requests",
        (json_int_t)result->requests, "iops", (double)result->requests / seconds,
        "bytes_per_second", (double)result->bytes / seconds, "latency_ns", "mean",
        (json_int_t)histogram_mean(latency), "p50", (json_int_t)histogram_percentile(latency, 0.50),
        "p95", (json_int_t)histogram_percentile(latency, 0.95), "p99",
        (json_int_t)histogram_percentile(latency, 0.99), "max", (json_int_t)latency->max_ns);
}

static int run_step(struct bench_crew *bench, const struct bench_step *step, json_t *steps)
{
    static struct bench_result result; /* Too large for a stack. */
    int exit_code = bench_run(bench, step, &result);
    if (exit_code != TOOL_OK)
        return exit_code;
    if (result.depth < step->depth)
        fprintf(stderr,
                "l4vio: only %u of %u requests fit into the queues; --queues and --queue-size, of "
                "the server too, make room\n",
                result.depth, step->depth);
    if (settings.json)
        json_array_append_new(steps, step_json(step, &result));
    else
        print_step(step, &result);
    return TOOL_OK;
}

static int run_all(struct bench_crew *bench, uint64_t range_bytes, json_t *steps)
{
    int result = TOOL_OK;
    if (!settings.json)
        printf("%-13s%7s%6s%11s%9s%11s%11s%11s%11s\n", "step", "size", "depth", "IOPS", "MB/s",
               "p50", "p95", "p99", "max");
    for (int write = 0; write <= (settings.write ? 1 : 0) && result == TOOL_OK; ++write) {
        struct bench_step step = {.write = write,
                                  .request_bytes = RANDOM_BYTES,
                                  .span_ns = settings.span_ns,
                                  .range_bytes = range_bytes};
        for (unsigned i = 0; i < settings.depth_count && result == TOOL_OK; ++i) {
            step.depth = settings.depths[i];
            result = run_step(bench, &step, steps);
        }
        step.sequential = true;
        step.request_bytes = range_bytes < SEQUENTIAL_BYTES ? RANDOM_BYTES : SEQUENTIAL_BYTES;
        step.depth = SEQUENTIAL_DEPTH;
        if (result == TOOL_OK)
            result = run_step(bench, &step, steps);
    }
    return result;
}

static int print_json(const struct client *client, json_t *steps)
{
    json_t *root =
        json_pack("{s:s, s:I, s:i, s:i, s:O}", "uri", client->uri, "capacity_bytes",
                  (json_int_t)client_size(client), "queues", (int)client->block->queue_count,
                  "queue_size", (int)client->block->queue_size, "steps", steps);
    client_reconnects_json(&client, 1, root);
    bool written = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return written ? TOOL_OK : complain(TOOL_FAILED, "cannot write JSON");
}

static int measure(struct client *client)
{
    struct bench_crew bench = {0};
    uint64_t range = settings.range_bytes;
    unsigned depth_max = SEQUENTIAL_DEPTH;
    for (unsigned i = 0; i < settings.depth_count; ++i)
        if (settings.depths[i] > depth_max)
            depth_max = settings.depths[i];
    uint64_t random_bytes = depth_max * RANDOM_BYTES;
    uint64_t sequential_bytes = SEQUENTIAL_DEPTH * SEQUENTIAL_BYTES;

    int result = client_check_range(client, 0, &range);
    if (result == TOOL_OK && range < RANDOM_BYTES)
        result = complain(TOOL_FAILED, "%s is too small to measure: %" PRIu64 " bytes", client->uri,
                          range);
    if (result == TOOL_OK && settings.write && client->block->info.read_only)
        result = complain(TOOL_FAILED, "%s is read-only; leave --write out", client->uri);
    if (result == TOOL_OK)
        result = bench_setup(&bench, client, settings.threads, depth_max,
                             random_bytes > sequential_bytes ? random_bytes : sequential_bytes);
    json_t *steps = json_array();
    if (result == TOOL_OK)
        result = run_all(&bench, range, steps);
    if (result == TOOL_OK && settings.json)
        result = print_json(client, steps);
    json_decref(steps);
    client_close(client); /* Before the memory of its requests goes. */
    bench_free(&bench);
    return result;
}

static int run(char **arguments)
{
    struct client client = {0};
    if (!settings.span_ns)
        return complain(TOOL_USAGE, "--seconds: there is no time to measure in");
    if (!client_settings.queue_size)
        client_settings.queue_size = 1024; /* Room for depth 128 and more. */
    int result = client_open(&client, arguments[0]);
    return result == TOOL_OK ? measure(&client) : result;
}

const struct tool_command command_bench = {
    .name = "block bench",
    .arguments = "URI",
    .summary = "Measures requests per second, bandwidth, latency",
    .details =
        "4 KiB random requests at several depths, then 1 MiB sequential ones at depth 8. Only reads,\n"
        "unless --write is given.",
    .options = options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
