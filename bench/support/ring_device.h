/* SPDX-License-Identifier: MIT */
/* A device side with as little in it as can be, for measuring the driver's side in one thread. */
#ifndef BENCH_RING_DEVICE_H
#define BENCH_RING_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

struct ring_device {
    uint16_t size;
    bool packed;
    bool batched; /* One used entry for all that is found: IN_ORDER only. */
    void *desc;
    void *avail;
    void *used;
    uint16_t at;    /* Split: index of the next request; packed: place of its descriptor. */
    bool odd_round; /* Packed: the bit of the descriptors of this round is 0. */
};

/* Completes what was made available, in order, with four bytes written. */
void ring_device_complete(struct ring_device *device);

#endif
