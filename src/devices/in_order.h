/* SPDX-License-Identifier: MIT */
/*
 * IN_ORDER: results leave in the order in which the chains were taken. The record of a chain lies at
 * the place in the ring where it was taken (split: of the available ring); another field of the same
 * array says by head or id where that is.
 */
#ifndef L4VIO_DEVICES_IN_ORDER_H
#define L4VIO_DEVICES_IN_ORDER_H

#include "devices/ring.h"

/* Is a head or id, which is below the size, that of a chain in flight? */
static inline bool l4vio_in_order_has(const struct l4vio_device_queue *queue, uint32_t head)
{
    const struct l4vio_device_queue_slot *slot = &queue->slots[queue->slots[head].place];
    return slot->state != 0 && slot->head == head;
}

enum { L4VIO_IN_ORDER_FREE, L4VIO_IN_ORDER_TAKEN, L4VIO_IN_ORDER_FINISHED };

/* Records a chain that was taken at a place. Head and entries are at hand: not read back. */
static inline void l4vio_in_order_take(struct l4vio_device_queue *queue, uint32_t place,
                                       const struct l4vio_device_chain *chain, uint32_t head,
                                       uint32_t entries)
{
    struct l4vio_device_queue_slot *slot = &queue->slots[place];
    slot->writable_bytes = (uint32_t)chain->writable_bytes;
    slot->head = (uint16_t)head;
    slot->entries = (uint16_t)entries;
    slot->state = L4VIO_IN_ORDER_TAKEN;
    queue->slots[head].place = (uint16_t)place;
}

/* Takes the record of the chain at a place back; false if it is not that chain, or finished. */
bool l4vio_in_order_rewind(struct l4vio_device_queue *queue, uint32_t place,
                           const struct l4vio_device_chain *chain);

/* What the device class hands back: taken from the front. */
struct l4vio_in_order_results {
    const struct l4vio_device_used *next;
    const struct l4vio_device_used *end;
};

/* Chains that one used entry stands for. */
struct l4vio_in_order_run {
    uint32_t chains;
    uint32_t entries;       /* Of the ring. */
    uint32_t head;          /* Of the last chain. */
    uint32_t written_bytes; /* To the last chain. */
};

/*
 * Makes the next run, from the place where the first chain in flight was taken, out of results and of
 * what was kept of earlier ones. All its chains but the last one were written completely: that is what
 * a driver assumes of those that it does not hear of. False if the first chain is not finished: then
 * all results are kept. Those of chains that are not in flight are refused and counted.
 */
bool l4vio_in_order_next(struct l4vio_device_queue *queue, uint32_t place,
                         struct l4vio_in_order_results *results, struct l4vio_in_order_run *run);

#endif
