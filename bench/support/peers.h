/* SPDX-License-Identifier: MIT */
/*
 * Other people's programs that the block benchmark is held against: fio, and qemu-storage-daemon as an
 * NBD server. Each may be missing.
 */
#ifndef L4VIO_BENCH_PEERS_H
#define L4VIO_BENCH_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Is there a program of that name in PATH? */
bool peer_exists(const char *program);

/* One kind of load. */
struct peer_load {
    bool sequential;
    uint32_t block_bytes;
    unsigned depth;
};

/*
 * fio's reads per second, or less than 0 if it failed. `target` is an option of the engine,
 * "--filename=PATH" or "--uri=URI"; `cpu` less than 0: any.
 */
double peer_fio(const char *engine, const char *target, const struct peer_load *load, int cpu,
                double seconds);

/* An NBD server of an image on a socket, with that `aio`; 0 if it does not come up. */
pid_t peer_nbd_server(const char *image, const char *socket, const char *aio, unsigned cpu);

/*
 * A storage daemon (io_uring, iothread) that serves one image as a vhost-user block device at `disk` and
 * by NBD at `nbd`, and at `nothing` a vhost-user block device that reads nothing: what its rings alone
 * cost. 0 if it does not come up.
 */
struct peer_daemon {
    const char *image, *disk, *nothing, *nbd;
    unsigned cpu;
};
pid_t peer_storage_daemon(const struct peer_daemon *daemon);

/* Our own tool as a vhost-user device of an image, by that engine; 0 if it does not come up. */
pid_t peer_own_server(const char *image, const char *engine, const char *socket, unsigned cpu);

/* Reads per second of 4 KiB by QEMU's block layer with io_uring, no device about it; less than 0: failed. */
double peer_qemu_img(const char *image, unsigned depth, unsigned cpu, double seconds);

/* CPU time of a process and all its threads. */
uint64_t peer_cpu_ns(pid_t process);

#endif
