/* SPDX-License-Identifier: MIT */
/*
 * A block device served over a Unix socket by a process of its own on a CPU of its own, and a session
 * to it: what the block benchmarks measure. Exits when something fails.
 */
#ifndef L4VIO_BENCH_BLOCK_RIG_H
#define L4VIO_BENCH_BLOCK_RIG_H

#include <l4vio/backends.h>
#include <l4vio/session.h>

#include <sys/types.h>

struct rig_config {
    const char *file; /* NULL: a memory image of the server. */
    enum l4vio_file_engine engine;
    uint64_t size_bytes; /* Of the memory image. */
    uint64_t region_bytes;
    enum l4vio_spin_mode spin_mode; /* Of both sides; FIXED: they sleep at once. */
    struct l4vio_features features; /* Ring features besides the usual ones. */
    unsigned server_cpu;
    unsigned client_cpu;
    uint16_t queue_size; /* 0: the default. */
};

struct rig {
    char folder[32];
    char path[48];
    pid_t server; /* 0: somebody else's. */
    struct l4vio_session *session;
    struct l4vio_block *block;
    struct l4vio_region region;
};

void rig_check(int result, const char *what, const struct l4vio_error *error);
void rig_start(struct rig *rig, const struct rig_config *config);
/* To a device that somebody else serves; the rig is zero but for that. */
void rig_connect(struct rig *rig, const char *uri, const struct rig_config *config);
void rig_stop(struct rig *rig);

/* A read of `length_bytes` into the region, submitted, not kicked. */
struct rig_read {
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
};
void rig_read_init(struct rig *rig, struct rig_read *read, unsigned number, unsigned reads,
                   uint32_t length_bytes);
/* Region bytes that so many reads of that length need. */
uint64_t rig_read_bytes(unsigned reads, uint32_t length_bytes);

/* The next of a row of numbers below `below` that looks random. */
uint32_t rig_random(uint32_t *state, uint32_t below);

#endif
