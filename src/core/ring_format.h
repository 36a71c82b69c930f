/* SPDX-License-Identifier: MIT */
/*
 * A ring format behind a driver queue: everything that touches the ring. queue.c and descriptors.c
 * know requests, ids and errors only. split.c and packed.c each give one set of functions per way of
 * working (in order or not); l4vio_queue_init chooses by the negotiated features, so that no call on
 * the way of a request asks again.
 */
#ifndef L4VIO_RING_FORMAT_H
#define L4VIO_RING_FORMAT_H

#include "core/ordering.h"
#include "core/queue_state.h"

struct l4vio_ring_format {
    /*
     * The way of a request, buffer level: as the calls of queue.h, on a queue that is not broken.
     * `publish` does nothing if nothing was added.
     * They move avail_index, published_index and used_index on, and keep extra_entries: from these
     * l4vio_queue_room, l4vio_queue_in_flight and the counters follow.
     */
    struct l4vio_queue_ops ops;
    /* The same with ORDER_PLATFORM: barriers that devices other than CPUs heed. */
    struct l4vio_queue_ops order_platform_ops;

    /* Writes every byte of the three areas and puts places and free list to their first state. The
     * counts of requests, and `extra_entries`, are the caller's business: 0. */
    void (*initialize)(struct l4vio_queue *queue);

    /*
     * Descriptor level: copies a chain of `count` shadow descriptors that was checked, for which there
     * is room, into the ring. `writable_bytes` is the sum over its writable part.
     */
    void (*add_chain)(struct l4vio_queue *queue, uint16_t head, uint16_t count,
                      uint32_t writable_bytes);

    /*
     * Descriptor level: takes one completion; its ids are held by the caller again. The cookie is the
     * private head id. Returns 1, 0 if there is none, or an error.
     */
    int (*get_used_chain)(struct l4vio_queue *queue, struct l4vio_completion *completion);

    /* Does the device want a notification for what was published since the last call? The caller has
     * done the barrier; `kick_index` and `kick_place` still say where the last call was. */
    bool (*wants_kick)(const struct l4vio_queue *queue);

    /* Is there anything in the used ring that was not taken? */
    bool (*has_used)(const struct l4vio_queue *queue);

    /* Are there so many completions, at least 1, that were not taken? */
    bool (*has_used_many)(const struct l4vio_queue *queue, unsigned completions);

    /*
     * Asks for a notification once `completions` more are used, at least 1 and at most what is in
     * flight (or 1); 0: for none. Without a barrier.
     */
    void (*set_interrupts)(struct l4vio_queue *queue, unsigned completions);

    /* What the device asked for last: no kicks at all? Without a barrier. */
    bool (*device_disarmed)(const struct l4vio_queue *queue);

    /* Upper half of the kick value with NOTIFICATION_DATA: place and round of the next request. */
    uint16_t (*kick_position)(const struct l4vio_queue *queue);

    /* Place and round of the next completion, in the same way. */
    uint16_t (*used_position)(const struct l4vio_queue *queue);

    /*
     * While no device knows the queue: takes back what the last one asked for, so that from `used_index` on
     * a kick is wanted.
     */
    void (*forget_device)(struct l4vio_queue *queue);

    /*
     * Entries of the request in flight whose head is at `entry`, 0 if there is none. NULL: the slot says
     * it, as l4vio_slot_count.
     */
    uint32_t (*entries_at)(const struct l4vio_queue *queue, uint16_t entry);

    /* Takes one chain out of flight that the device no longer owns, and returns its cookie. The
     * caller counts it. */
    void *(*take_back)(struct l4vio_queue *queue, uint16_t entry);
};

extern const struct l4vio_ring_format l4vio_split;
extern const struct l4vio_ring_format l4vio_split_in_order;
extern const struct l4vio_ring_format l4vio_packed;
extern const struct l4vio_ring_format l4vio_packed_in_order;

#endif
