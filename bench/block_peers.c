/* SPDX-License-Identifier: MIT */
/*
 * Reads per second through l4 over a Unix socket, from a memory image and from a file in /dev/shm,
 * against fio on the same file in its own process (io_uring, psync) and against what people use to
 * reach a block service in another process: fio over NBD to qemu-storage-daemon on a Unix socket.
 *
 * One queue, one thread on each side. l4 and NBD: driver or fio on one CPU, the service on the other.
 * fio on the file may use both (io_uring has workers). psync has one read at a time whatever the
 * depth, so it is measured once per kind of load.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/block_load.h"
#include "support/machine.h"
#include "support/peers.h"
#include "support/report.h"
#include "support/ring_pair.h"

enum { loads = 4 };

/* Of the image; --brief takes less. */
static uint32_t store_bytes = 256 << 20;

/* The last two alone with --brief. */
static const struct peer_load load_list[loads] = {
    {false, 4096, 1}, {false, 4096, 128}, {false, 4096, 32}, {true, 1 << 20, 4}};

enum who {
    memory_copy,
    l4_memory,
    l4_packed,
    l4_mapped,
    l4_file,
    fio_io_uring,
    fio_psync,
    nbd_threads,
    nbd_io_uring,
    contenders
};

static const char packed_in_order[] = "packed,in_order";
static const char *const names[contenders] = {
    [memory_copy] = "memcpy",
    [l4_memory] = "l4, memory image",
    [l4_packed] = "l4, memory image, packed in order",
    [l4_mapped] = "l4, file, mapped",
    [l4_file] = "l4, file, read",
    [fio_io_uring] = "fio io_uring, file",
    [fio_psync] = "fio psync, file",
    [nbd_threads] = "fio NBD, server threads",
    [nbd_io_uring] = "fio NBD, server io_uring",
};

struct bench {
    struct bench_options options;
    struct report report;
    char folder[40];
    char image[64];
    char socket[contenders][64];
    pid_t server[contenders];
    bool missing[contenders];
    struct samples per_s[loads][contenders];
};

static struct bench bench;

static double l4_per_s(enum who who, const struct peer_load *load)
{
    struct rig rig = {.folder = ""};
    struct rig_config config = {
        .file = who == l4_mapped || who == l4_file ? bench.image : NULL,
        .engine = who == l4_mapped ? L4VIO_FILE_ENGINE_MAP : L4VIO_FILE_ENGINE_AUTO,
        .size_bytes = store_bytes,
        .region_bytes = load_region_bytes(load),
        .spin_mode = L4VIO_SPIN_AUTO,
        .server_cpu = bench.options.cpus[1],
        .client_cpu = bench.options.cpus[0],
        .queue_size = load_queue_size,
    };
    if (who == l4_packed)
        ring_features_parse(packed_in_order, &config.features);
    rig_start(&rig, &config);
    double per_s = load_per_s(&rig, load, store_bytes, bench.options.seconds);
    rig_stop(&rig);
    return per_s;
}

static double memcpy_per_s(const struct peer_load *load)
{
    static unsigned char *from, *to;
    if (!from) {
        from = huge_pages(store_bytes);
        to = huge_pages(1 << 20);
        memset(from, 1, store_bytes);
        memset(to, 1, 1 << 20);
    }
    pin_to_cpu(bench.options.cpus[0]);
    if (!load->sequential)
        return 1e9 / copy_4k_ns(store_bytes, bench.options.seconds / 2);
    unsigned blocks = store_bytes / load->block_bytes;
    uint64_t start = now_ns();
    for (size_t at = 0; at < store_bytes; at += load->block_bytes) {
        memcpy(to, from + at, load->block_bytes);
        keep(to);
    }
    return 1e9 * blocks / (double)(now_ns() - start);
}

static double nbd_per_s(enum who who, const struct peer_load *load)
{
    char uri[128];
    snprintf(uri, sizeof(uri), "--uri=nbd+unix:///bench?socket=%s", bench.socket[who]);
    return peer_fio("nbd", uri, load, (int)bench.options.cpus[0], bench.options.seconds);
}

static double fio_per_s(const char *engine, const struct peer_load *load)
{
    char file[128];
    snprintf(file, sizeof(file), "--filename=%s", bench.image);
    return peer_fio(engine, file, load, -1, bench.options.seconds);
}

static unsigned first_load(void)
{
    return bench.options.brief ? 2 : 0;
}

static bool applies(enum who who, unsigned load)
{
    return who != fio_psync || load == first_load() || load_list[load].sequential;
}

static double per_s(enum who who, const struct peer_load *load)
{
    switch (who) {
    case memory_copy:
        return memcpy_per_s(load);
    case l4_memory:
    case l4_packed:
    case l4_mapped:
    case l4_file:
        return l4_per_s(who, load);
    case fio_io_uring:
        return fio_per_s("io_uring", load);
    case fio_psync:
        return fio_per_s("psync", load);
    default:
        return nbd_per_s(who, load);
    }
}

static void miss(enum who who, const char *why)
{
    bench.missing[who] = true;
    report_skip(&bench.report, names[who], why);
}

static void measure(enum who who, unsigned load)
{
    if (bench.missing[who] || !applies(who, load))
        return;
    double value = per_s(who, &load_list[load]);
    if (value > 0)
        samples_add(&bench.per_s[load][who], value);
    else
        miss(who, "fio failed with it");
}

static void remove_files(void)
{
    unlink(bench.image);
    for (unsigned i = 0; i < contenders; i++)
        if (*bench.socket[i])
            unlink(bench.socket[i]);
    rmdir(bench.folder);
}

static void on_signal(int number)
{
    remove_files();
    _exit(128 + number);
}

static void make_image(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    static unsigned char block[1 << 20];
    snprintf(bench.folder, sizeof(bench.folder), "/dev/shm/l4vio-bench-XXXXXX");
    if (!mkdtemp(bench.folder)) {
        perror(bench.folder);
        exit(1);
    }
    snprintf(bench.image, sizeof(bench.image), "%s/image", bench.folder);
    atexit(remove_files);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    memset(block, 0x5a, sizeof(block));
    FILE *file = fopen(bench.image, "w");
    for (unsigned i = 0; file && i < store_bytes / sizeof(block); i++)
        if (fwrite(block, sizeof(block), 1, file) != 1)
            break;
    if (!file || ferror(file) || fclose(file) != 0) {
        perror(bench.image);
        exit(1);
    }
}

static void start_nbd(enum who who, const char *aio)
{
    if (!peer_exists("qemu-storage-daemon")) {
        miss(who, "no qemu-storage-daemon");
        return;
    }
    snprintf(bench.socket[who], sizeof(bench.socket[who]), "%s/%s", bench.folder, aio);
    bench.server[who] = peer_nbd_server(bench.image, bench.socket[who], aio, bench.options.cpus[1]);
    if (!bench.server[who])
        miss(who, "qemu-storage-daemon does not start");
}

/* The rings may lack a feature. */
static void probe_packed(void)
{
    struct ring_shape shape = {.size = load_queue_size, .batch = 1, .buffers = 1};
    struct l4vio_error error = {0, "", 0};
    struct ring_pair *pair;
    ring_features_parse(packed_in_order, &shape.features);
    if (ring_pair_open(&shape, &pair, &error) < 0)
        miss(l4_packed, error.text);
    else
        ring_pair_close(pair);
}

static void start_peers(void)
{
    probe_packed();
    if (!peer_exists("fio")) {
        for (enum who who = fio_io_uring; who < contenders; who++)
            miss(who, "no fio");
        return;
    }
    start_nbd(nbd_threads, "threads");
    start_nbd(nbd_io_uring, "io_uring");
}

static void print_load(unsigned load)
{
    const struct peer_load *l = &load_list[load];
    double own = samples_median(&bench.per_s[load][l4_memory]);
    for (enum who who = 0; who < contenders; who++) {
        const struct samples *samples = &bench.per_s[load][who];
        if (samples->count == 0)
            continue;
        report_text(&bench.report, "who", names[who]);
        report_text(&bench.report, "load", l->sequential ? "sequential 1 MiB" : "random 4 KiB");
        report_number(&bench.report, "depth",
                      who == fio_psync || who == memory_copy ? 1 : l->depth);
        report_samples(&bench.report, "per_s", samples);
        report_number(&bench.report, "gb_per_s", samples_median(samples) * l->block_bytes / 1e9);
        report_number(&bench.report, "l4_memory_is", own / samples_median(samples));
        report_end_row(&bench.report);
    }
}

int main(int argc, char **argv)
{
    bench_options_parse(&bench.options, argc, argv, "reads per second against fio and NBD", 0.5,
                        NULL);
    report_open(&bench.report, &bench.options, "block_peers",
                "image of 256 MiB, one queue, l4 waits adaptively; l4_memory_is: times the row");
    if (bench.options.brief)
        store_bytes = 32 << 20;
    if (bench.options.two_cpus) {
        make_image();
        start_peers();
    } else {
        report_skip(&bench.report, "everything", "this process may use one CPU only");
    }
    for (unsigned round = 0; bench.options.two_cpus && round < bench.options.rounds; round++) {
        for (unsigned load = first_load(); load < loads; load++) {
            for (enum who who = 0; who < contenders; who++) {
                report_progress(&bench.report, names[who],
                                (round * loads + load) * contenders + who,
                                bench.options.rounds * loads * contenders);
                measure(who, load);
            }
        }
    }
    for (unsigned load = first_load(); load < loads; load++)
        print_load(load);
    report_close(&bench.report);
    for (unsigned i = 0; i < contenders; i++)
        if (bench.server[i])
            reap(bench.server[i]);
    return 0;
}
