/* SPDX-License-Identifier: MIT */
/* Chains at the descriptor level, for tests of any ring format. */
#ifndef DESCRIPTOR_CHAIN_H
#define DESCRIPTOR_CHAIN_H

#include <stdint.h>

#include <l4vio/descriptors.h>

/* A chain of so many new descriptors of 16 bytes, the last `writable` of them writable; its head. */
uint16_t make_chain(struct l4vio_queue *queue, unsigned count, unsigned writable);

/* The last id of a chain that the caller holds. */
uint16_t tail_of(struct l4vio_queue *queue, uint16_t id);

#endif
