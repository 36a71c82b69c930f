/* SPDX-License-Identifier: MIT */
/*
 * Reads per second through vhost-user: our driver at QEMU's storage daemon (io_uring, iothread), against
 * fio over NBD to the same daemon and image, and against fio on the image in its own process; and our
 * driver at our own device. What the daemon can do at most stands beside it: its rings alone (a device
 * that reads nothing), its block layer alone (qemu-img bench), the CPUs that it keeps busy.
 *
 * One queue, driver or fio on one CPU, device on the other. fio on the file may use both: io_uring has
 * threads of the kernel's, and so has the daemon's.
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

enum { loads = 3 };

static uint64_t store_bytes = UINT64_C(1) << 30; /* --brief takes less. */

/* The last one alone with --brief. */
static const struct peer_load load_list[loads] = {
    {false, 4096, 1}, {false, 4096, 64}, {false, 4096, 32}};

enum who {
    fio_file,
    qemu_img,
    fio_nbd,
    daemon_adaptive,
    daemon_sleeping,
    daemon_spinning,
    daemon_nothing,
    own_mapped,
    own_sleeping,
    own_io_uring,
    contenders
};

static const char *const names[contenders] = {
    [fio_file] = "fio io_uring, file",
    [qemu_img] = "qemu-img bench, file",
    [fio_nbd] = "fio NBD, storage daemon",
    [daemon_adaptive] = "storage daemon",
    [daemon_sleeping] = "storage daemon, driver sleeps at once",
    [daemon_spinning] = "storage daemon, driver never sleeps",
    [daemon_nothing] = "storage daemon, reads nothing",
    [own_mapped] = "l4vio serve, mapped",
    [own_sleeping] = "l4vio serve, mapped, driver sleeps at once",
    [own_io_uring] = "l4vio serve, io_uring",
};

enum socket { disk, nothing, nbd, mapped, by_io_uring, sockets };

static struct {
    struct bench_options options;
    struct report report;
    char folder[40];
    char image[64];
    char socket[sockets][64];
    pid_t server[sockets];
    bool missing[contenders];
    struct samples per_s[loads][contenders];
    struct samples cpus[loads][contenders];
} bench;

static void miss(enum who who, const char *why)
{
    bench.missing[who] = true;
    report_skip(&bench.report, names[who], why);
}

static void miss_all(enum who first, enum who last, const char *why)
{
    for (enum who who = first; who <= last; who++)
        miss(who, why);
}

/* --- files, servers, and their end --- */

static void remove_files(void)
{
    unlink(bench.image);
    for (unsigned i = 0; i < sockets; i++)
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
    static const char *const socket_names[sockets] = {"disk", "nothing", "nbd", "mapped",
                                                      "io_uring"};
    const struct sigaction action = {.sa_handler = on_signal};
    static unsigned char block[1 << 20];
    snprintf(bench.folder, sizeof(bench.folder), "/dev/shm/l4vio-bench-XXXXXX");
    if (!mkdtemp(bench.folder)) {
        perror(bench.folder);
        exit(1);
    }
    snprintf(bench.image, sizeof(bench.image), "%s/image", bench.folder);
    for (unsigned i = 0; i < sockets; i++)
        snprintf(bench.socket[i], sizeof(bench.socket[i]), "%s/%s", bench.folder, socket_names[i]);
    atexit(remove_files);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    memset(block, 0x5a, sizeof(block));
    FILE *file = fopen(bench.image, "w");
    for (uint64_t i = 0; file && i < store_bytes / sizeof(block); i++)
        if (fwrite(block, sizeof(block), 1, file) != 1)
            break;
    if (!file || ferror(file) || fclose(file) != 0) {
        perror(bench.image);
        exit(1);
    }
}

static void start_daemon(void)
{
    struct peer_daemon daemon = {bench.image, bench.socket[disk], bench.socket[nothing],
                                 bench.socket[nbd], bench.options.cpus[1]};
    if (!peer_exists("qemu-storage-daemon"))
        miss_all(fio_nbd, daemon_nothing, "no qemu-storage-daemon");
    else if ((bench.server[disk] = peer_storage_daemon(&daemon)) == 0)
        miss_all(fio_nbd, daemon_nothing, "qemu-storage-daemon does not start");
    bench.server[nothing] = bench.server[nbd] = bench.server[disk];
}

static void start_own(enum socket socket, const char *engine, enum who first, enum who last)
{
    bench.server[socket] =
        peer_own_server(bench.image, engine, bench.socket[socket], bench.options.cpus[1]);
    if (!bench.server[socket])
        miss_all(first, last, "our own server does not start");
}

static void start_peers(void)
{
    if (!peer_exists("fio")) {
        miss(fio_file, "no fio");
        miss(fio_nbd, "no fio");
    }
    if (!peer_exists("qemu-img"))
        miss(qemu_img, "no qemu-img");
    start_daemon();
    start_own(mapped, "map", own_mapped, own_sleeping);
    start_own(by_io_uring, "io_uring", own_io_uring, own_io_uring);
}

/* --- measuring --- */

static double driver_per_s(enum socket socket, enum l4vio_spin_mode spin_mode,
                           const struct peer_load *load)
{
    struct rig rig = {.folder = ""};
    struct rig_config config = {
        .region_bytes = load_region_bytes(load),
        .spin_mode = spin_mode,
        .client_cpu = bench.options.cpus[0],
        .queue_size = load_queue_size,
    };
    char uri[96];
    snprintf(uri, sizeof(uri), "vhost-user:%s", bench.socket[socket]);
    rig_connect(&rig, uri, &config);
    double per_s = load_per_s(&rig, load, store_bytes, bench.options.seconds);
    rig_stop(&rig);
    return per_s;
}

static double fio_nbd_per_s(const struct peer_load *load)
{
    char uri[128];
    snprintf(uri, sizeof(uri), "--uri=nbd+unix:///bench?socket=%s", bench.socket[nbd]);
    return peer_fio("nbd", uri, load, (int)bench.options.cpus[0], bench.options.seconds);
}

static double fio_file_per_s(const struct peer_load *load)
{
    char file[128];
    snprintf(file, sizeof(file), "--filename=%s", bench.image);
    return peer_fio("io_uring", file, load, -1, bench.options.seconds);
}

static double per_s(enum who who, const struct peer_load *load)
{
    switch (who) {
    case fio_file:
        return fio_file_per_s(load);
    case qemu_img:
        return peer_qemu_img(bench.image, load->depth, bench.options.cpus[1],
                             bench.options.seconds);
    case fio_nbd:
        return fio_nbd_per_s(load);
    case daemon_adaptive:
        return driver_per_s(disk, L4VIO_SPIN_AUTO, load);
    case daemon_sleeping:
        return driver_per_s(disk, L4VIO_SPIN_FIXED, load);
    case daemon_spinning:
        return driver_per_s(disk, L4VIO_SPIN_ALWAYS, load);
    case daemon_nothing:
        return driver_per_s(nothing, L4VIO_SPIN_AUTO, load);
    case own_mapped:
        return driver_per_s(mapped, L4VIO_SPIN_AUTO, load);
    case own_sleeping:
        return driver_per_s(mapped, L4VIO_SPIN_FIXED, load);
    case own_io_uring:
        return driver_per_s(by_io_uring, L4VIO_SPIN_AUTO, load);
    case contenders:
        break;
    }
    return -1;
}

static pid_t server_of(enum who who)
{
    if (who >= fio_nbd && who <= daemon_nothing)
        return bench.server[disk];
    if (who == own_mapped || who == own_sleeping)
        return bench.server[mapped];
    return who == own_io_uring ? bench.server[by_io_uring] : 0;
}

static void measure(enum who who, unsigned load)
{
    if (bench.missing[who])
        return;
    pid_t server = server_of(who);
    uint64_t cpu_ns = server ? peer_cpu_ns(server) : 0;
    uint64_t start = now_ns();
    double value = per_s(who, &load_list[load]);
    if (value <= 0) {
        miss(who, "failed");
        return;
    }
    samples_add(&bench.per_s[load][who], value);
    if (server)
        samples_add(&bench.cpus[load][who],
                    (double)(peer_cpu_ns(server) - cpu_ns) / (double)(now_ns() - start));
}

static void print_load(unsigned load)
{
    double own = samples_median(&bench.per_s[load][daemon_adaptive]);
    for (enum who who = 0; who < contenders; who++) {
        const struct samples *samples = &bench.per_s[load][who];
        double cpus = samples_median(&bench.cpus[load][who]);
        if (samples->count == 0)
            continue;
        report_text(&bench.report, "who", names[who]);
        report_text(&bench.report, "load", "random 4 KiB");
        report_number(&bench.report, "depth", load_list[load].depth);
        report_samples(&bench.report, "per_s", samples);
        report_number(&bench.report, "server_cpus", server_of(who) ? cpus : 0);
        report_number(&bench.report, "our_driver_is", own / samples_median(samples));
        report_end_row(&bench.report);
    }
}

int main(int argc, char **argv)
{
    bench_options_parse(&bench.options, argc, argv, "reads per second through vhost-user", 0.5,
                        NULL);
    report_open(&bench.report, &bench.options, "vhost_user",
                "image of 1 GiB in /dev/shm, one queue; our_driver_is: its reads from the storage "
                "daemon, waiting adaptively, times the row");
    unsigned first = bench.options.brief ? loads - 1 : 0;
    if (bench.options.brief)
        store_bytes = 32 << 20;
    if (bench.options.two_cpus) {
        make_image();
        start_peers();
    } else {
        report_skip(&bench.report, "everything", "this process may use one CPU only");
    }
    for (unsigned round = 0; bench.options.two_cpus && round < bench.options.rounds; round++) {
        for (unsigned load = first; load < loads; load++) {
            for (enum who who = 0; who < contenders; who++) {
                report_progress(&bench.report, names[who],
                                (round * loads + load) * contenders + who,
                                bench.options.rounds * loads * contenders);
                measure(who, load);
            }
        }
    }
    for (unsigned load = first; load < loads; load++)
        print_load(load);
    report_close(&bench.report);
    for (unsigned i = 0; i < sockets; i++)
        if (bench.server[i] && i != nothing && i != nbd)
            reap(bench.server[i]);
    return 0;
}
