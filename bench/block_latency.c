/* SPDX-License-Identifier: MIT */
/*
 * Round trip of one 4 KiB read, depth 1, through l4:PATH from a memory image, beside what bounds it
 * with the same placement of the two processes:
 *
 * sleeping: a round trip of two eventfds (write, poll, read).
 * spinning: the copy of 4 KiB that another CPU has in its cache, and six round trips of a cache line
 *           or a microsecond, whichever is more.
 * adaptive: as spinning; how long to look before sleeping is learnt.
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/block_rig.h"
#include "support/machine.h"
#include "support/report.h"

enum { store_bytes = 64 << 20, read_bytes = 4096, line_bytes = 64, round_trips = 6 };

struct reader {
    struct rig rig;
    struct rig_read read;
    uint32_t random;
    bool use_data;
};

/* Whoever reads wants to look at what came: each line of it has to come over. */
static void look_at_data(const struct reader *reader)
{
    const unsigned char *data =
        (const unsigned char *)reader->rig.region.base + reader->read.segment.offset_bytes;
    unsigned sum = 0;
    for (unsigned i = 0; i < read_bytes; i += line_bytes)
        sum += data[i];
    keep(&sum);
}

static uint64_t read_once(void *context)
{
    struct reader *reader = context;
    struct l4vio_block_request *request = &reader->read.request;
    struct l4vio_error error = {0, "", 0};
    request->sector = (uint64_t)rig_random(&reader->random, store_bytes / read_bytes) * 8;
    rig_check(l4vio_block_submit(reader->rig.block, 0, request, &error), "read", &error);
    error.text = "wait";
    rig_check(l4vio_block_wait(reader->rig.block, request, L4VIO_FOREVER), "read", &error);
    rig_check(request->result, "read", &error);
    if (reader->use_data)
        look_at_data(reader);
    return 1;
}

static uint64_t read_some(void *context)
{
    uint64_t count = 0;
    while (count < 16)
        count += read_once(context);
    return count;
}

static double read_ns(enum l4vio_spin_mode spin_mode, const unsigned cpus[2], bool use_data,
                      double seconds)
{
    struct reader reader = {.random = 1, .use_data = use_data};
    struct rig_config config = {
        .size_bytes = store_bytes,
        .region_bytes = rig_read_bytes(1, read_bytes),
        .spin_mode = spin_mode,
        .server_cpu = cpus[1],
        .client_cpu = cpus[0],
    };
    rig_start(&reader.rig, &config);
    rig_read_init(&reader.rig, &reader.read, 0, 1, read_bytes);
    uint64_t (*work)(void *) = spin_mode == L4VIO_SPIN_FIXED ? read_once : read_some;
    ns_per_unit(work, &reader, seconds / 5);
    double result = ns_per_unit(work, &reader, seconds);
    rig_stop(&reader.rig);
    return result;
}

struct row {
    const char *what;
    const char *limit;
    struct samples ns;
    struct samples limit_ns;
};

static void print(struct report *report, const struct row *row)
{
    double ns = samples_median(&row->ns);
    double limit = samples_median(&row->limit_ns);
    if (row->ns.count == 0)
        return;
    report_text(report, "what", row->what);
    report_samples(report, "ns", &row->ns);
    report_samples(report, "limit_ns", &row->limit_ns);
    report_number(report, "ratio", ns / limit);
    report_text(report, "limit", row->limit);
    report_end_row(report);
}

int main(int argc, char **argv)
{
    static struct row one = {.what = "sleeping, one CPU", .limit = "eventfds, one CPU"};
    static struct row two = {.what = "sleeping, two CPUs", .limit = "eventfds, two CPUs"};
    static struct row spin = {.what = "spinning, data used",
                              .limit = "copy + max(6 line round trips, 1 us)"};
    static struct row bare = {.what = "spinning, data not looked at", .limit = "the same"};
    static struct row adaptive = {.what = "adaptive, data used", .limit = "the same"};
    static struct row adaptive_one = {.what = "adaptive, one CPU", .limit = "sleeping, one CPU"};
    static struct bench_options options;
    static struct report report;
    bench_options_parse(&options, argc, argv, "round trip of one 4 KiB read", 0.2, NULL);
    report_open(
        &report, &options, "block_latency",
        "4 KiB read, depth 1, l4 over a Unix socket, memory image, random places of 64 MiB");
    const unsigned *cpus = options.cpus;
    const unsigned same[2] = {cpus[0], cpus[0]};
    for (unsigned i = 0; i < options.rounds; i++) {
        report_progress(&report, "block_latency", i, options.rounds);
        samples_add(&one.limit_ns, eventfd_round_trip_ns(cpus[0], cpus[0], options.seconds));
        double slept = read_ns(L4VIO_SPIN_FIXED, same, true, options.seconds);
        samples_add(&one.ns, slept);
        samples_add(&adaptive_one.limit_ns, slept);
        samples_add(&adaptive_one.ns, read_ns(L4VIO_SPIN_AUTO, same, true, options.seconds));
        if (!options.two_cpus)
            continue;
        samples_add(&two.limit_ns, eventfd_round_trip_ns(cpus[0], cpus[1], options.seconds));
        samples_add(&two.ns, read_ns(L4VIO_SPIN_FIXED, cpus, true, options.seconds));
        double trips = round_trips * line_round_trip_ns(cpus[0], cpus[1], options.seconds / 4);
        double copy = copy_4k_other_cpu_ns(cpus[0], cpus[1], options.seconds / 4);
        samples_add(&spin.limit_ns, copy + (trips > 1000 ? trips : 1000));
        samples_add(&bare.limit_ns, copy + (trips > 1000 ? trips : 1000));
        samples_add(&adaptive.limit_ns, copy + (trips > 1000 ? trips : 1000));
        samples_add(&spin.ns, read_ns(L4VIO_SPIN_ALWAYS, cpus, true, options.seconds));
        samples_add(&adaptive.ns, read_ns(L4VIO_SPIN_AUTO, cpus, true, options.seconds));
        samples_add(&bare.ns, read_ns(L4VIO_SPIN_ALWAYS, cpus, false, options.seconds));
    }
    print(&report, &one);
    print(&report, &adaptive_one);
    print(&report, &two);
    print(&report, &spin);
    print(&report, &bare);
    print(&report, &adaptive);
    if (!options.two_cpus)
        report_skip(&report, "two CPUs", "this process may use one CPU only");
    report_close(&report);
    return 0;
}
