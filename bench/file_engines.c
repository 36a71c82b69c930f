/* SPDX-License-Identifier: MIT */
/*
 * What the ways to a file cost the server: random 4 KiB reads straight through the store, without
 * driver and ring. `thread_ns` is the time of the thread: what it waits for, and what other threads
 * of the kernel do for it, is not in it. The ways take turns.
 */
#include <l4vio/backends.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/machine.h"
#include "support/report.h"

enum { depth_max = 128, read_bytes = 4096, image_bytes = 256 << 20, ways_max = 8 };

static unsigned depth = 32;
static unsigned requests = 50000;

static const struct way {
    const char *name;
    enum l4vio_file_engine engine;
    bool fixed;
} ways[ways_max] = {
    {"sync", L4VIO_FILE_ENGINE_SYNC, false},
    {"map", L4VIO_FILE_ENGINE_MAP, false},
    {"auto", L4VIO_FILE_ENGINE_AUTO, false},
    {"auto, fixed buffers", L4VIO_FILE_ENGINE_AUTO, true},
    {"io_uring", L4VIO_FILE_ENGINE_URING, false},
    {"io_uring, fixed buffers", L4VIO_FILE_ENGINE_URING, true},
    {"direct", L4VIO_FILE_ENGINE_DIRECT, false},
    {"direct, fixed buffers", L4VIO_FILE_ENGINE_DIRECT, true},
};

struct figures {
    struct samples thread_ns, elapsed_ns;
    struct l4vio_file_counters counters;
};

struct run {
    struct l4vio_block_backend store;
    struct l4vio_block_lane *lane;
    uint64_t blocks;
    uint64_t random;
    unsigned idle[depth_max];
    unsigned idle_count;
    struct l4vio_block_io ios[depth_max];
    struct l4vio_device_segment segments[depth_max];
    unsigned char *memory;
};

static double thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void done(struct l4vio_block_io *io, int result)
{
    struct run *run = io->context;
    if (result < 0) {
        fprintf(stderr, "file_engines: reading: %s\n", l4vio_error_name(result));
        exit(1);
    }
    run->idle[run->idle_count++] = (unsigned)(io - run->ios);
}

static void submit(struct run *run)
{
    const struct l4vio_block_backend_ops *ops = run->store.ops;
    unsigned slot = run->idle[--run->idle_count];
    run->random = run->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    run->segments[slot] =
        (struct l4vio_device_segment){run->memory + (size_t)slot * read_bytes, read_bytes};
    run->ios[slot] = (struct l4vio_block_io){
        .op = L4VIO_BLOCK_OP_READ,
        .segment_count = 1,
        .segments = &run->segments[slot],
        .offset_bytes = (run->random >> 33) % run->blocks * read_bytes,
        .length_bytes = read_bytes,
        .done = done,
        .context = run,
    };
    ops->submit(run->store.self, run->lane, &run->ios[slot]);
}

static void work(struct run *run, unsigned count)
{
    const struct l4vio_block_backend_ops *ops = run->store.ops;
    while (count) {
        unsigned batch = run->idle_count < count ? run->idle_count : count;
        count -= batch;
        for (unsigned i = 0; i < batch; i++)
            submit(run);
        if (ops->flush_submissions)
            ops->flush_submissions(run->store.self, run->lane);
        if (ops->poll)
            ops->poll(run->store.self, run->lane, run->idle_count == 0);
    }
    while (run->idle_count < depth)
        ops->poll(run->store.self, run->lane, true);
}

/* Returns whether the file can be read this way. */
static bool measure(const char *path, const struct way *way, unsigned round,
                    struct figures *figures)
{
    static struct run run;
    struct l4vio_block_backend_info info;
    struct l4vio_file_counters warm;
    size_t bytes = (size_t)depth * read_bytes;
    run = (struct run){.random = round + 1};
    if (l4vio_file_backend_open(path, true, way->engine, &run.store, NULL) < 0)
        return false;
    run.memory = shared_pages(bytes);
    memset(run.memory, 0, bytes);
    run.store.ops->info(run.store.self, &info);
    run.blocks = info.size_bytes / read_bytes;
    if (run.store.ops->lane_open(run.store.self, &run.lane, NULL) < 0)
        return false;
    if (way->fixed && run.store.ops->region_added)
        run.store.ops->region_added(run.store.self, run.memory, bytes);
    for (unsigned i = 0; i < depth; i++)
        run.idle[run.idle_count++] = i;
    work(&run, requests / 10 + 1);
    l4vio_file_backend_counters_read(&run.store, &warm);
    double start = thread_ns();
    uint64_t begin = now_ns();
    work(&run, requests);
    samples_add(&figures->thread_ns, (thread_ns() - start) / requests);
    samples_add(&figures->elapsed_ns, (double)(now_ns() - begin) / requests);
    l4vio_file_backend_counters_read(&run.store, &figures->counters);
    figures->counters.ring_submits -= warm.ring_submits;
    figures->counters.fixed_requests -= warm.fixed_requests;
    if (way->fixed && run.store.ops->region_added)
        run.store.ops->region_removed(run.store.self, run.memory, bytes);
    run.store.ops->lane_close(run.store.self, run.lane);
    l4vio_file_backend_close(&run.store);
    free_pages(run.memory, bytes);
    return true;
}

static void make_image(char *path)
{
    unsigned char *data = shared_pages(image_bytes);
    int fd = mkstemp(path);
    memset(data, 0x5a, image_bytes);
    if (fd < 0 || write(fd, data, image_bytes) != image_bytes) {
        perror(path);
        exit(1);
    }
    close(fd);
    free_pages(data, image_bytes);
}

static void report_way(struct report *report, const struct way *way, const struct figures *figures)
{
    const struct l4vio_file_counters *counters = &figures->counters;
    report_text(report, "way", way->name);
    report_samples(report, "thread_ns", &figures->thread_ns);
    report_samples(report, "elapsed_ns", &figures->elapsed_ns);
    report_number(report, "submits_per_request", (double)counters->ring_submits / requests);
    report_number(report, "fixed_per_request", (double)counters->fixed_requests / requests);
    report_end_row(report);
}

int main(int argc, char **argv)
{
    static struct figures figures[ways_max];
    static struct report report;
    struct bench_options options;
    const char *file = NULL, *depth_text = NULL;
    const struct bench_option own[] = {
        {"file", "image or block device, not written [one of 256 MiB in /dev/shm]", &file},
        {"depth", "reads in flight, up to 128 [32]", &depth_text},
        {NULL, NULL, NULL},
    };
    char path[] = "/dev/shm/l4vio-bench-XXXXXX";
    bool usable[ways_max];
    bench_options_parse(&options, argc, argv, "random 4 KiB reads of a file, by every engine", 1,
                        own);
    if (options.brief)
        requests = 1000;
    if (depth_text)
        depth = (unsigned)atoi(depth_text);
    if (depth < 1 || depth > depth_max) {
        fprintf(stderr, "file_engines: --depth is 1 to %d\n", depth_max);
        return 2;
    }
    if (!file)
        make_image(path);
    report_open(&report, &options, "file_engines",
                "random 4 KiB reads straight through the store, time of the thread");
    for (unsigned i = 0; i < options.rounds; i++) {
        for (unsigned w = 0; w < ways_max; w++)
            usable[w] = measure(file ? file : path, &ways[w], i, &figures[w]);
    }
    if (!file)
        unlink(path);
    for (unsigned w = 0; w < ways_max; w++) {
        if (usable[w])
            report_way(&report, &ways[w], &figures[w]);
        else
            report_skip(&report, ways[w].name, "the file cannot be opened this way");
    }
    report_close(&report);
    return 0;
}
