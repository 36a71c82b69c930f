/* SPDX-License-Identifier: MIT */
/* Reads per second of a block device, by one thread: so many in flight, added and taken in batches. */
#ifndef L4VIO_BENCH_BLOCK_LOAD_H
#define L4VIO_BENCH_BLOCK_LOAD_H

#include "block_rig.h"
#include "peers.h"

enum { load_depth_max = 128, load_queue_size = 512 };

/* Region bytes that the load needs. */
uint64_t load_region_bytes(const struct peer_load *load);

/* Reads of a connected rig, of its first `store_bytes`. */
double load_per_s(struct rig *rig, const struct peer_load *load, uint64_t store_bytes,
                  double seconds);

#endif
