/* SPDX-License-Identifier: MIT */
/*
 * The split ring format behind a driver queue. Everything that touches the ring is in split.c;
 * queue.c and descriptors.c know requests, ids and errors only. A second format gives this same set
 * of functions.
 */
#ifndef L4VIO_SPLIT_H
#define L4VIO_SPLIT_H

#include "core/ordering.h"
#include "core/queue_state.h"

/* Writes every byte of the three areas and puts the indexes and the free list to their first state. */
void l4vio_split_initialize(struct l4vio_queue *queue);

/* Buffer level: as l4vio_queue_add, on a queue that is not broken. */
int l4vio_split_add(struct l4vio_queue *queue, const struct l4vio_request *requests,
                    unsigned count);

/*
 * Descriptor level: copies a chain of `count` shadow descriptors that was checked, for which there
 * is room, into the ring. `writable_bytes` is the sum over its writable part.
 */
void l4vio_split_add_chain(struct l4vio_queue *queue, uint16_t head, uint16_t count,
                           uint32_t writable_bytes);

/* Shows what was added to the device. */
static inline void l4vio_split_publish(struct l4vio_queue *queue)
{
    l4vio_store16_release(&queue->avail->idx, queue->avail_index);
}

/* Does the device want a notification for what was published? The caller has done the barrier. */
bool l4vio_split_wants_kick(const struct l4vio_queue *queue);

/* Buffer level: as l4vio_queue_get_used, on a queue that is not broken. */
int l4vio_split_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                         unsigned max);

/*
 * Descriptor level: takes one completion; its ids are held by the caller again. The cookie is the
 * private head id. Returns 1, 0 if there is none, or an error.
 */
int l4vio_split_get_used_chain(struct l4vio_queue *queue, struct l4vio_completion *completion);

/* Is there anything in the used ring that was not taken? */
bool l4vio_split_has_used(const struct l4vio_queue *queue);

/* Asks for notifications, or for none. Without a barrier. */
void l4vio_split_set_interrupts(struct l4vio_queue *queue, bool on);

/* What the device asked for last. Without a barrier. */
bool l4vio_split_device_disarmed(const struct l4vio_queue *queue);

/* Takes one chain out of flight that the device no longer owns, and returns its cookie. */
void *l4vio_split_take_back(struct l4vio_queue *queue, uint16_t entry);

#endif
