/* SPDX-License-Identifier: MIT */
/*
 * Driver queue and device queue in a thread each, each on a CPU of its own, over plain memory: time
 * and cache lines per request, per ring format, feature and batch size.
 *
 * Both sides poll and keep the ring as full as they can. Two bounds stand beside each figure: the
 * cache lines that the format has to move, at the rate at which lines stream between the two CPUs, and
 * the time that the slower side needs alone, with everything in its own cache.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/error.h>

#include "support/counter.h"
#include "support/machine.h"
#include "support/report.h"
#include "support/ring_pair.h"

enum { points_max = 256 };

/* One row of the result. */
struct point {
    struct ring_shape shape;
    struct samples ns;
    struct samples driver_ns;
    struct samples device_ns;
    struct samples line_ns; /* The streaming rate, right beside. */
    struct samples lines;   /* Counted; empty if nothing counts. */
};

static struct point points[points_max];
static unsigned point_count;

/* What the device's thread is told, and tells. */
struct device_thread {
    struct ring_device *device;
    unsigned cpu;
    _Atomic bool stop;
    bool counted;
    uint64_t misses;
};

static void *run_device(void *argument)
{
    struct device_thread *thread = argument;
    pin_to_cpu(thread->cpu);
    int counter = counter_open();
    while (!atomic_load_explicit(&thread->stop, memory_order_relaxed))
        if (!ring_device_turn(thread->device))
            relax();
    thread->counted = counter >= 0;
    thread->misses = thread->counted ? counter_read(counter) : 0;
    counter_close(counter);
    return NULL;
}

static uint64_t run_driver(void *context)
{
    struct ring_driver *driver = context;
    uint64_t done = 0;
    for (unsigned i = 0; i < 64; i++) {
        bool added = ring_driver_add(driver);
        unsigned taken = ring_driver_take(driver);
        done += taken;
        if (!added && !taken)
            relax();
    }
    return done;
}

static void measure_two_threads(struct point *point, struct ring_pair *pair,
                                const struct bench_options *options)
{
    struct device_thread thread = {.device = &pair->device, .cpu = options->cpus[1]};
    pthread_t id;
    if (pthread_create(&id, NULL, run_device, &thread) != 0)
        abort();
    int counter = counter_open();
    uint64_t before = pair->driver.queue.counters.completed;
    ns_per_unit(run_driver, &pair->driver, options->seconds / 10);
    clockid_t device_clock;
    if (pthread_getcpuclockid(id, &device_clock) != 0)
        abort();
    samples_add(&point->ns,
                ns_per_busy_unit(run_driver, &pair->driver, options->seconds, device_clock));
    uint64_t done = pair->driver.queue.counters.completed - before;
    uint64_t misses = counter >= 0 ? counter_read(counter) : 0;
    counter_close(counter);
    atomic_store(&thread.stop, true);
    pthread_join(id, NULL);
    if (counter >= 0 && thread.counted && done)
        samples_add(&point->lines, (double)(misses + thread.misses) / (double)done);
}

static void measure(struct point *point, const struct bench_options *options)
{
    struct ring_pair *pair;
    if (ring_pair_open(&point->shape, &pair, NULL) < 0)
        abort();
    struct ring_alone alone = ring_pair_alone(pair, options->seconds / 4);
    samples_add(&point->driver_ns, alone.driver_ns);
    samples_add(&point->device_ns, alone.device_ns);
    if (options->two_cpus) {
        measure_two_threads(point, pair, options);
        samples_add(&point->line_ns,
                    line_stream_best_ns(options->cpus[0], options->cpus[1], options->seconds / 4));
    }
    ring_pair_close(pair);
}

static int order(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/*
 * The streaming rate is the machine's, not a point's: what a quarter of the points saw or better, so
 * that moments in which it was slow, of which a virtual machine has many, raise no limit.
 */
static double line_rate_ns(void)
{
    double rates[points_max];
    unsigned count = 0;
    for (unsigned i = 0; i < point_count; i++)
        if (points[i].line_ns.count)
            rates[count++] = samples_median(&points[i].line_ns);
    if (count == 0)
        return 0;
    qsort(rates, count, sizeof(rates[0]), order);
    return rates[count / 4];
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void print(struct report *report, const struct point *point)
{
    const struct ring_shape *shape = &point->shape;
    char name[ring_name_bytes];
    double ns = samples_median(&point->ns);
    double least = ring_least_lines(shape);
    double limit = least * line_rate_ns();
    double alone = larger(samples_median(&point->driver_ns), samples_median(&point->device_ns));
    ring_features_name(&shape->features, name);
    report_text(report, "ring", name);
    report_number(report, "buffers", shape->buffers);
    report_text(report, "kicks", shape->kicks ? "decided" : "none");
    report_number(report, "batch", shape->batch);
    report_samples(report, "ns", &point->ns);
    report_number(report, "million_per_s", 1e3 / ns);
    report_samples(report, "driver_ns", &point->driver_ns);
    report_samples(report, "device_ns", &point->device_ns);
    report_number(report, "least_lines", least);
    /* Without a counter: all time taken for lines, so there cannot have been more. */
    report_text(report, "lines_are", point->lines.count ? "counted" : "at most");
    if (point->lines.count)
        report_samples(report, "lines", &point->lines);
    else
        report_number(report, "lines", ns / line_rate_ns());
    report_number(report, "limit_ns", limit);
    report_number(report, "bound_ns", larger(limit, alone));
    report_number(report, "ratio", ns / larger(limit, alone));
    report_end_row(report);
}

static void plan(struct report *report, const char *names, const unsigned *batches,
                 unsigned batch_count, struct ring_shape shape)
{
    struct l4vio_error error = {0, "", 0};
    struct ring_pair *pair;
    char name[ring_name_bytes];
    if (!ring_features_parse(names, &shape.features)) {
        fprintf(stderr, "ring_two_threads: no features '%s'; see --help\n", names);
        exit(2);
    }
    ring_features_name(&shape.features, name);
    for (unsigned i = 0; i < batch_count; i++) {
        shape.batch = batches[i];
        int result = ring_pair_open(&shape, &pair, &error);
        if (result < 0) {
            report_skip(report, name, *error.text ? error.text : l4vio_error_name(result));
            return;
        }
        ring_pair_close(pair);
        if (point_count == points_max)
            abort();
        points[point_count++].shape = shape;
    }
}

static void plan_all(struct report *report, bool brief)
{
    static const unsigned batches[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
    static const unsigned some_batches[] = {1, 8, 32, 128};
    static const unsigned two_batches[] = {1, 32};
    static const char *const formats[] = {"split", "in_order", "packed", "packed,in_order"};
    static const char *const event_idx[] = {"event_idx", "in_order,event_idx", "packed,event_idx",
                                            "packed,in_order,event_idx"};
    static const char *const chains[] = {
        "split",  "indirect",        "in_order",        "in_order,indirect",
        "packed", "packed,indirect", "packed,in_order", "packed,in_order,indirect"};
    struct ring_shape shape = {.size = 512, .buffers = 1};
    for (unsigned i = 0; i < 4; i++)
        plan(report, formats[i], brief ? two_batches : batches, brief ? 2 : 9, shape);
    shape.kicks = true;
    for (unsigned i = 0; i < 4; i++) {
        plan(report, formats[i], some_batches, brief ? 1 : 4, shape);
        plan(report, event_idx[i], some_batches, brief ? 1 : 4, shape);
    }
    shape.kicks = false;
    shape.buffers = 3;
    for (unsigned i = 0; i < 8; i++)
        plan(report, chains[i], two_batches, brief ? 1 : 2, shape);
}

static void plan_one(struct report *report, const char *features, const char *batch,
                     const char *size, const char *buffers, const char *kicks)
{
    unsigned number = (unsigned)strtoul(batch, NULL, 0);
    struct ring_shape shape = {
        .size = (unsigned)strtoul(size, NULL, 0),
        .buffers = (unsigned)strtoul(buffers, NULL, 0),
        .kicks = strcmp(kicks, "yes") == 0,
    };
    plan(report, features, &number, 1, shape);
}

int main(int argc, char **argv)
{
    static struct bench_options options;
    static struct report report;
    const char *features = NULL;
    const char *batch = "32";
    const char *size = "512";
    const char *buffers = "1";
    const char *kicks = "no";
    const struct bench_option own[] = {
        {"features", "packed,event_idx,in_order,indirect or split; one point only", &features},
        {"batch", "of that point: requests per call [32]", &batch},
        {"size", "of that point: ring entries [512]", &size},
        {"buffers", "of that point: buffers per request [1]", &buffers},
        {"kicks", "of that point: decide about kicks, yes or no [no]", &kicks},
        {NULL, NULL, NULL},
    };
    bench_options_parse(&options, argc, argv, "both sides of a ring, a thread each", 0.03, own);
    report_open(&report, &options, "ring_two_threads",
                "both sides poll, pinned to a CPU each, 512 entries unless said");
    if (features)
        plan_one(&report, features, batch, size, buffers, kicks);
    else
        plan_all(&report, options.brief);
    for (unsigned round = 0; round < options.rounds; round++) {
        for (unsigned i = 0; i < point_count; i++) {
            report_progress(&report, "ring_two_threads", round * point_count + i,
                            options.rounds * point_count);
            pin_to_cpu(options.cpus[0]);
            measure(&points[i], &options);
        }
    }
    for (unsigned i = 0; i < point_count; i++)
        print(&report, &points[i]);
    if (!options.two_cpus)
        report_skip(&report, "two threads", "this process may use one CPU only");
    report_close(&report);
    return 0;
}
