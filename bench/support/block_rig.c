/* SPDX-License-Identifier: MIT */
#include "block_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <l4vio/block_service.h>
#include <l4vio/l4_unix.h>

#include "machine.h"

enum { page_bytes = 4096 };

void rig_check(int result, const char *what, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s (%llu): %s\n", what, error->text, (unsigned long long)error->value,
            l4vio_error_name(result));
    exit(1);
}

static _Noreturn void serve(const struct rig *rig, const struct rig_config *config, int ready)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_server_config server_config = {
        .protocol = l4vio_l4_protocol(), .path = rig->path, .spin_mode = config->spin_mode};
    struct l4vio_block_service_config block = {.queue_size_max = config->queue_size,
                                               .added = config->features};
    struct l4vio_server *server;
    pin_to_cpu(config->server_cpu);
    if (config->file) {
        rig_check(
            l4vio_file_backend_open(config->file, true, config->engine, &block.backend, &error),
            "store", &error);
    } else {
        rig_check(l4vio_memory_backend_open(config->size_bytes, &block.backend, &error), "store",
                  &error);
        memset(l4vio_memory_backend_bytes(&block.backend), 0x5a, config->size_bytes);
    }
    rig_check(l4vio_block_service_open(&block, &server_config.service, &error), "service", &error);
    rig_check(l4vio_server_open(&server_config, &server, &error), "serve", &error);
    if (write(ready, "r", 1) != 1)
        _exit(1);
    rig_check(l4vio_server_run(server, &error), "serve", &error);
    _exit(0);
}

void rig_start(struct rig *rig, const struct rig_config *config)
{
    int ready[2];
    char byte;
    char uri[64];
    snprintf(rig->folder, sizeof(rig->folder), "/tmp/l4vio-bench-XXXXXX");
    if (!mkdtemp(rig->folder) || pipe(ready)) {
        perror("scratch folder");
        exit(1);
    }
    snprintf(rig->path, sizeof(rig->path), "%s/sock", rig->folder);
    snprintf(uri, sizeof(uri), "l4:%s", rig->path);
    rig->server = spawn();
    if (rig->server == 0)
        serve(rig, config, ready[1]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        exit(1);
    close(ready[0]);
    rig_connect(rig, uri, config);
}

void rig_connect(struct rig *rig, const char *uri, const struct rig_config *config)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_session_options options = {.spin_mode = config->spin_mode,
                                            .queue_size = config->queue_size};
    pin_to_cpu(config->client_cpu);
    rig_check(l4vio_session_open_block(uri, &options, &rig->session, &error), "open", &error);
    rig->block = l4vio_session_block(rig->session);
    rig_check(
        l4vio_driver_allocate(&rig->block->driver, config->region_bytes, &rig->region, &error),
        "memory", &error);
    /* Touched once, so that no page fault is measured. */
    memset(rig->region.base, 0, config->region_bytes);
}

void rig_stop(struct rig *rig)
{
    l4vio_session_close(rig->session);
    rig->session = NULL;
    if (!rig->server)
        return;
    reap(rig->server);
    unlink(rig->path);
    rmdir(rig->folder);
}

/* The shared parts of all requests first, then their data, by pages. */
static uint64_t shared_bytes(unsigned reads)
{
    uint64_t bytes = (uint64_t)reads * L4VIO_BLOCK_SHARED_BYTES;
    return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

uint64_t rig_read_bytes(unsigned reads, uint32_t length_bytes)
{
    return shared_bytes(reads) + (uint64_t)reads * length_bytes;
}

void rig_read_init(struct rig *rig, struct rig_read *read, unsigned number, unsigned reads,
                   uint32_t length_bytes)
{
    memset(read, 0, sizeof(*read));
    l4vio_block_request_init(&read->request, &rig->region,
                             (uint64_t)number * L4VIO_BLOCK_SHARED_BYTES);
    read->segment = (struct l4vio_block_segment){
        &rig->region, shared_bytes(reads) + (uint64_t)number * length_bytes, length_bytes};
    read->request.type = L4VIO_BLOCK_READ;
    read->request.segments = &read->segment;
    read->request.segment_count = 1;
}

uint32_t rig_random(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}
