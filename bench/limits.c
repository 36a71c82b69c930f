/* SPDX-License-Identifier: MIT */
/* What this machine can do at best, without anything of l4vio: the limits of every other figure. */
#include <string.h>

#include "support/machine.h"
#include "support/report.h"

enum { memcpy_bytes = 64 << 20, stream_ways = 4 };

struct limits {
    struct samples line, event_one, event_two, memcpy_all, copy_same, copy_random, copy_other;
    struct samples stream[stream_ways];
};

static const unsigned stream_batches[stream_ways] = {0, 8, 32, 128};

static void measure_two_cpus(struct limits *limits, const unsigned cpus[2], double seconds)
{
    samples_add(&limits->line, line_round_trip_ns(cpus[0], cpus[1], seconds));
    samples_add(&limits->event_two, eventfd_round_trip_ns(cpus[0], cpus[1], seconds));
    samples_add(&limits->copy_other, copy_4k_other_cpu_ns(cpus[0], cpus[1], seconds));
    for (unsigned i = 0; i < stream_ways; i++)
        samples_add(&limits->stream[i],
                    line_stream_ns(cpus[0], cpus[1], stream_batches[i], seconds / 2));
}

static void print(struct report *report, const char *what, const char *unit,
                  const struct samples *samples)
{
    if (samples->count == 0)
        return;
    report_text(report, "what", what);
    report_samples(report, "value", samples);
    report_text(report, "unit", unit);
    report_end_row(report);
}

static void print_copy(struct report *report, const char *what, const struct samples *ns)
{
    if (ns->count == 0)
        return;
    report_text(report, "what", what);
    report_samples(report, "value", ns);
    report_text(report, "unit", "ns");
    report_number(report, "gb_per_s", 4096 / samples_median(ns));
    report_end_row(report);
}

static void print_streams(struct report *report, const struct limits *limits)
{
    for (unsigned i = 0; i < stream_ways && limits->stream[i].count; i++) {
        report_text(report, "lines_one_way",
                    stream_batches[i] ? "announced together" : "looked at one by one");
        report_number(report, "batch", stream_batches[i] ? stream_batches[i] : 1);
        report_samples(report, "ns_per_line", &limits->stream[i]);
        report_end_row(report);
    }
}

int main(int argc, char **argv)
{
    static struct limits limits;
    struct bench_options options;
    struct report report;
    bench_options_parse(&options, argc, argv, "what the machine can do at best", 0.05, NULL);
    report_open(&report, &options, "limits", "without anything of l4vio");
    unsigned char *from = huge_pages(memcpy_bytes);
    unsigned char *to = huge_pages(memcpy_bytes);
    memset(from, 1, memcpy_bytes);
    memset(to, 2, memcpy_bytes);
    for (unsigned i = 0; i < options.rounds; i++) {
        report_progress(&report, "limits", i, options.rounds);
        if (options.two_cpus)
            measure_two_cpus(&limits, options.cpus, options.seconds);
        pin_to_cpu(options.cpus[0]);
        samples_add(&limits.event_one,
                    eventfd_round_trip_ns(options.cpus[0], options.cpus[0], options.seconds));
        samples_add(&limits.memcpy_all, memcpy_gb_per_s(to, from, memcpy_bytes));
        samples_add(&limits.copy_same, copy_4k_ns(0, options.seconds / 4));
        samples_add(&limits.copy_random, copy_4k_ns(memcpy_bytes, options.seconds));
    }
    print(&report, "cache line round trip", "ns", &limits.line);
    print(&report, "eventfd round trip, one CPU", "ns", &limits.event_one);
    print(&report, "eventfd round trip, two CPUs", "ns", &limits.event_two);
    print(&report, "memcpy 64 MiB", "GB/s", &limits.memcpy_all);
    print_copy(&report, "copy 4 KiB, same place", &limits.copy_same);
    print_copy(&report, "copy 4 KiB, random of 64 MiB", &limits.copy_random);
    print_copy(&report, "copy 4 KiB, other CPU's cache", &limits.copy_other);
    print_streams(&report, &limits);
    if (!options.two_cpus)
        report_skip(&report, "what two CPUs do", "this process may use one CPU only");
    report_close(&report);
    return 0;
}
