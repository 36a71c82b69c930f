/* SPDX-License-Identifier: MIT */
/*
 * What both halves of the split ring with IN_ORDER share: adding, and taking what was used.
 *
 * Entries are taken in the order of the table (clause D-2.7.5.2-2), so there is no free list: what is
 * in flight lies from `next_used` to `next_avail`. One used element may stand for many requests: it
 * lies at the place of the first and has the head of the last, whose length it tells; the others
 * count as written in full. `in_order_end` is where the last such element reaches to. Up to there
 * requests are handed back without a look at the ring.
 *
 * A slot's link has the entries of the request whose head it is, and is 0 else.
 */
#ifndef L4VIO_SPLIT_IN_ORDER_H
#define L4VIO_SPLIT_IN_ORDER_H

#include "core/split.h"

static inline uint32_t split_least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The entry so many behind another one. */
static inline uint32_t split_behind(const struct l4vio_queue *queue, uint32_t entry,
                                    uint32_t entries)
{
    return (entry + entries) & queue->mask;
}

/* The ids of the request at an entry become the caller's. */
static inline void split_give_back_ids(struct l4vio_queue *queue, uint32_t entry, uint32_t entries)
{
    for (; entries != 0; entries--, entry = split_behind(queue, entry, 1))
        queue->slots[queue->slots[entry].u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
}

/* As in struct l4vio_ring_format. */
int l4vio_split_in_order_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                                  unsigned max);
int l4vio_split_in_order_get_used_platform(struct l4vio_queue *queue,
                                           struct l4vio_completion *completions, unsigned max);
int l4vio_split_in_order_get_used_chain(struct l4vio_queue *queue,
                                        struct l4vio_completion *completion);

#endif
