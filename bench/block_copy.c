/* SPDX-License-Identifier: MIT */
/*
 * Bandwidth of copying a whole device: 1 MiB sequential reads through l4:PATH from a memory image
 * into the driver's memory, beside memcpy of the same size in the same run, the faster of two ways. The
 * device copies once; the driver does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/block_rig.h"
#include "support/machine.h"
#include "support/report.h"

enum { part_bytes = 1 << 20, depth = 4 };

/* Of image and copies; --brief takes less. */
static uint64_t store_bytes = 256 << 20;

struct copy {
    struct rig rig;
    struct rig_read reads[depth];
};

static void submit(struct copy *copy, unsigned slot, enum l4vio_block_type type, uint64_t offset)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_block_request *request = &copy->reads[slot].request;
    request->type = type;
    request->sector = offset / 512;
    rig_check(l4vio_block_submit(copy->rig.block, 0, request, &error), "submit", &error);
}

static void finish(struct copy *copy, unsigned slot)
{
    struct l4vio_error error = {0, "wait", 0};
    struct l4vio_block_request *request = &copy->reads[slot].request;
    rig_check(l4vio_block_wait(copy->rig.block, request, L4VIO_FOREVER), "wait", &error);
    error.text = "request failed";
    rig_check(request->result, "request", &error);
}

static double pass_gb_per_s(struct copy *copy, enum l4vio_block_type type)
{
    uint64_t start = now_ns();
    for (unsigned i = 0; i < store_bytes / part_bytes; ++i) {
        if (i >= depth)
            finish(copy, i % depth);
        submit(copy, i % depth, type, (uint64_t)i * part_bytes);
    }
    for (unsigned i = 0; i < depth; ++i)
        finish(copy, i);
    return (double)store_bytes / (double)(now_ns() - start);
}

static void start(struct copy *copy, unsigned client_cpu, unsigned server_cpu)
{
    struct rig_config config = {
        .size_bytes = store_bytes,
        .region_bytes = rig_read_bytes(depth, part_bytes),
        .spin_mode = L4VIO_SPIN_AUTO,
        .server_cpu = server_cpu,
        .client_cpu = client_cpu,
    };
    rig_start(&copy->rig, &config);
    for (unsigned i = 0; i < depth; ++i)
        rig_read_init(&copy->rig, &copy->reads[i], i, depth, part_bytes);
}

/* As the device does it: every block once, into a few blocks that stay in the cache. */
static double memcpy_blocks_gb_per_s(unsigned char *to, const unsigned char *from)
{
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < store_bytes / part_bytes; ++i) {
        memcpy(to + (size_t)(i % depth) * part_bytes, from + (size_t)i * part_bytes, part_bytes);
        keep(to);
    }
    return (double)store_bytes / (double)(now_ns() - begin);
}

struct row {
    const char *what;
    struct samples gb_per_s;
};

static void print(struct report *report, const struct row *row, double limit)
{
    if (row->gb_per_s.count == 0)
        return;
    report_text(report, "what", row->what);
    report_samples(report, "gb_per_s", &row->gb_per_s);
    report_number(report, "of_memcpy", samples_median(&row->gb_per_s) / limit);
    report_end_row(report);
}

int main(int argc, char **argv)
{
    static struct row rows[] = {
        {.what = "memcpy of 256 MiB"},  {.what = "memcpy, into the same 4 MiB"},
        {.what = "l4 read, one CPU"},   {.what = "l4 read, two CPUs"},
        {.what = "l4 write, two CPUs"},
    };
    static struct copy copy;
    static struct bench_options options;
    static struct report report;
    bench_options_parse(&options, argc, argv, "256 MiB sequential by 1 MiB, against memcpy", 0,
                        NULL);
    report_open(&report, &options, "block_copy",
                "l4 over a Unix socket, memory image of 256 MiB, requests of 1 MiB, 4 in flight");
    if (options.brief)
        store_bytes = 32 << 20;
    unsigned char *from = huge_pages(store_bytes);
    unsigned char *to = huge_pages(store_bytes);
    memset(from, 1, store_bytes);
    memset(to, 2, store_bytes);
    for (unsigned i = 0; i < options.rounds; i++) {
        report_progress(&report, "block_copy", i, options.rounds);
        pin_to_cpu(options.cpus[0]);
        samples_add(&rows[0].gb_per_s, memcpy_gb_per_s(to, from, store_bytes));
        samples_add(&rows[1].gb_per_s, memcpy_blocks_gb_per_s(to, from));
        start(&copy, options.cpus[0], options.cpus[0]);
        samples_add(&rows[2].gb_per_s, pass_gb_per_s(&copy, L4VIO_BLOCK_READ));
        rig_stop(&copy.rig);
        if (!options.two_cpus)
            continue;
        start(&copy, options.cpus[0], options.cpus[1]);
        samples_add(&rows[3].gb_per_s, pass_gb_per_s(&copy, L4VIO_BLOCK_READ));
        samples_add(&rows[4].gb_per_s, pass_gb_per_s(&copy, L4VIO_BLOCK_WRITE));
        rig_stop(&copy.rig);
    }
    double limit = samples_median(&rows[0].gb_per_s);
    if (samples_median(&rows[1].gb_per_s) > limit)
        limit = samples_median(&rows[1].gb_per_s);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        print(&report, &rows[i], limit);
    if (!options.two_cpus)
        report_skip(&report, "two CPUs", "this process may use one CPU only");
    report_close(&report);
    return 0;
}
