/* SPDX-License-Identifier: MIT */
/*
 * Cost per request against the size of the queue and the number of queues, and private memory per
 * entry. One thread plays both sides, a batch at a time: added, served, taken back. So places move
 * through the whole ring, and with a ring beyond a cache each new line has to be fetched: the caches of
 * this CPU stand beside the figures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <l4vio/descriptors.h>
#include <l4vio/error.h>

#include "support/machine.h"
#include "support/report.h"
#include "support/ring_pair.h"

enum { batch = 16, queue_size = 256, queues_max = 64, points_max = 96, formats = 4 };

static const char *const format_names[formats] = {"split", "in_order", "packed", "packed,in_order"};

struct point {
    struct ring_shape shape;
    const char *sweep; /* What changes from this point to the next. */
    unsigned queues;
    uint64_t touched_bytes; /* Of rings and private records, both sides. */
    struct samples ns;
};

static struct point points[points_max];
static unsigned point_count;

struct turn {
    struct ring_pair *pairs[queues_max];
    unsigned queues;
    unsigned next;
};

/* One batch through each of a few queues, one after the other. */
static uint64_t turn(void *context)
{
    struct turn *turn = context;
    for (unsigned i = 0; i < 32; i++) {
        struct ring_pair *pair = turn->pairs[turn->next];
        turn->next = turn->next + 1 < turn->queues ? turn->next + 1 : 0;
        if (!ring_driver_add(&pair->driver) || ring_device_turn(&pair->device) != batch ||
            ring_driver_take(&pair->driver) != batch)
            abort();
    }
    return 32 * batch;
}

static void measure(struct point *point, double seconds)
{
    struct turn context = {.queues = point->queues};
    for (unsigned i = 0; i < point->queues; i++)
        if (ring_pair_open(&point->shape, &context.pairs[i], NULL) < 0)
            abort();
    const struct ring_pair *one = context.pairs[0];
    point->touched_bytes = point->queues * (one->memory_bytes + one->private_bytes);
    ns_per_unit(turn, &context, seconds / 5);
    samples_add(&point->ns, ns_per_busy_unit(turn, &context, seconds, CLOCK_THREAD_CPUTIME_ID));
    for (unsigned i = 0; i < point->queues; i++)
        ring_pair_close(context.pairs[i]);
}

/* false: this format does not exist here. */
static bool plan(struct report *report, const char *format, const char *sweep, unsigned size,
                 unsigned queues)
{
    struct point point = {
        .shape = {.size = size, .batch = batch, .buffers = 1}, .sweep = sweep, .queues = queues};
    struct l4vio_error error = {0, "", 0};
    struct ring_pair *pair;
    char name[ring_name_bytes];
    if (!ring_features_parse(format, &point.shape.features) || point_count == points_max)
        abort();
    ring_features_name(&point.shape.features, name);
    int result = ring_pair_open(&point.shape, &pair, &error);
    if (result < 0) {
        report_skip(report, name, *error.text ? error.text : l4vio_error_name(result));
        return false;
    }
    ring_pair_close(pair);
    points[point_count++] = point;
    return true;
}

static void plan_all(struct report *report, bool brief)
{
    for (unsigned i = 0; i < formats; i++) {
        for (unsigned size = 16; size <= 32768; size *= brief ? 2048 : 2)
            if (!plan(report, format_names[i], "size", size, 1))
                break;
        for (unsigned queues = 1; queues <= queues_max; queues *= brief ? 64 : 2)
            if (!plan(report, format_names[i], "queues", queue_size, queues))
                break;
    }
}

static const char *fits(uint64_t bytes)
{
    long first = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    long second = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (first <= 0 || second <= 0)
        return "unknown";
    if (bytes <= (uint64_t)first)
        return "L1";
    return bytes <= (uint64_t)second ? "L2" : "beyond L2";
}

static void print(struct report *report, const struct point *point)
{
    char name[ring_name_bytes];
    ring_features_name(&point->shape.features, name);
    report_text(report, "ring", name);
    report_text(report, "sweep", point->sweep);
    report_number(report, "size", point->shape.size);
    report_number(report, "queues", point->queues);
    report_samples(report, "ns", &point->ns);
    report_number(report, "touched_kib", (double)point->touched_bytes / 1024);
    report_text(report, "fits", fits(point->touched_bytes));
    report_end_row(report);
}

static void print_bytes(struct report *report, const char *what, size_t bytes)
{
    report_text(report, "private_memory", what);
    report_number(report, "bytes", (double)bytes);
    report_end_row(report);
}

int main(int argc, char **argv)
{
    static struct bench_options options;
    static struct report report;
    bench_options_parse(&options, argc, argv, "cost per request against size and number of queues",
                        0.03, NULL);
    report_open(&report, &options, "ring_sizes",
                "one thread plays both sides, batches of 16, one buffer");
    plan_all(&report, options.brief);
    pin_to_cpu(options.cpus[0]);
    for (unsigned round = 0; round < options.rounds; round++) {
        for (unsigned i = 0; i < point_count; i++) {
            report_progress(&report, "ring_sizes", round * point_count + i,
                            options.rounds * point_count);
            measure(&points[i], options.seconds);
        }
    }
    for (unsigned i = 0; i < point_count; i++)
        print(&report, &points[i]);
    print_bytes(&report, "buffer level", sizeof(struct l4vio_queue_slot));
    print_bytes(&report, "descriptor level",
                sizeof(struct l4vio_queue_slot) + sizeof(struct l4vio_descriptor));
    report_close(&report);
    return 0;
}
