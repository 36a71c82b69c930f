/* SPDX-License-Identifier: MIT */
/*
 * A block device in memory, served over a Unix socket by a process of its own on a CPU of its own,
 * and a session to it: what the block benchmarks measure.
 */
#ifndef L4VIO_BENCH_BLOCK_RIG_H
#define L4VIO_BENCH_BLOCK_RIG_H

#include <l4vio/backends.h>
#include <l4vio/block_service.h>
#include <l4vio/l4_unix.h>
#include <l4vio/session.h>

#include "measure.h"

struct rig {
    char folder[32];
    char uri[64];
    pid_t server;
    struct l4vio_session *session;
    struct l4vio_block *block;
    struct l4vio_region region;
};

static inline void rig_check(int result, const char *what, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s (%llu): %s\n", what, error->text, (unsigned long long)error->value,
            l4vio_error_name(result));
    exit(1);
}

static inline void rig_serve(const char *path, uint64_t size_bytes, uint64_t spin_ns, int ready)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_l4_server_config config = {.path = path, .spin_ns = spin_ns};
    struct l4vio_block_service_config block = {.id = NULL};
    struct l4vio_l4_server *server;
    rig_check(l4vio_memory_backend_open(size_bytes, &block.backend, &error), "store", &error);
    memset(l4vio_memory_backend_bytes(&block.backend), 0x5a, size_bytes);
    rig_check(l4vio_block_service_open(&block, &config.service, &error), "service", &error);
    rig_check(l4vio_l4_server_open(&config, &server, &error), "serve", &error);
    if (write(ready, "r", 1) != 1)
        _exit(1);
    rig_check(l4vio_l4_server_run(server, &error), "serve", &error);
    _exit(0);
}

/* spin_ns: for both sides; 0: sleep at once. */
static inline void rig_start(struct rig *rig, uint64_t size_bytes, uint64_t region_bytes,
                             uint64_t spin_ns, unsigned server_cpu, unsigned client_cpu)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_session_options options = {.spin_ns = spin_ns};
    int ready[2];
    char byte;
    char path[48];
    snprintf(rig->folder, sizeof(rig->folder), "/tmp/l4vio-bench-XXXXXX");
    if (!mkdtemp(rig->folder) || pipe(ready)) {
        perror("scratch folder");
        exit(1);
    }
    snprintf(path, sizeof(path), "%s/sock", rig->folder);
    snprintf(rig->uri, sizeof(rig->uri), "l4:%s", path);
    rig->server = spawn();
    if (rig->server == 0) {
        pin_to_cpu(server_cpu);
        rig_serve(path, size_bytes, spin_ns, ready[1]);
    }
    pin_to_cpu(client_cpu);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        exit(1);
    close(ready[0]);
    rig_check(l4vio_session_open_block(rig->uri, &options, &rig->session, &error), "open", &error);
    rig->block = l4vio_session_block(rig->session);
    rig_check(l4vio_driver_allocate(&rig->block->driver, region_bytes, &rig->region, &error),
              "memory", &error);
    /* Touched once, so that no page fault is measured. */
    memset(rig->region.base, 0, region_bytes);
}

static inline void rig_stop(struct rig *rig)
{
    char path[48];
    l4vio_session_close(rig->session);
    reap(rig->server);
    snprintf(path, sizeof(path), "%s/sock", rig->folder);
    unlink(path);
    rmdir(rig->folder);
}

#endif
