/* SPDX-License-Identifier: MIT */
/*
 * A ring format behind a device queue: everything that touches the ring. queue.c knows set-up,
 * notifications and health only. split.c and packed.c each give one set of functions per way of
 * working (in order or not); l4vio_device_queue_init chooses by the negotiated features, so that no
 * call on the way of a chain asks again.
 */
#ifndef L4VIO_DEVICES_RING_H
#define L4VIO_DEVICES_RING_H

#include <l4vio/device_queue.h>

#include "core/ordering.h"

struct l4vio_device_ring {
    /* The way of a chain, as the calls of device_queue.h. */
    struct l4vio_device_queue_ops ops;
    /* The same with ORDER_PLATFORM: barriers that drivers behind other things than CPUs heed. */
    struct l4vio_device_queue_ops order_platform_ops;
    /* Once the queue is broken: what is in flight can still be handed back. */
    struct l4vio_device_queue_ops broken_ops;
    /* While the queue is held. */
    struct l4vio_device_queue_ops held_ops;

    /* Puts indexes to where they begin and writes what the device owns. All else is 0. Returns 0, or
     * a negative code: then nothing is written. */
    int (*initialize)(struct l4vio_device_queue *queue,
                      const struct l4vio_device_queue_resume *resume, struct l4vio_error *error);

    /* l4vio_device_queue_position. */
    void (*position)(const struct l4vio_device_queue *queue, uint16_t *avail, uint16_t *used);

    /* Puts the chain that was taken last back; 0 or L4VIO_EINVAL. At least one is in flight. */
    int (*rewind)(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain);

    /* Does the driver want a notification for the last `unannounced` entries, at least one? The
     * caller has done the barrier. */
    bool (*wants_notification)(const struct l4vio_device_queue *queue);

    /* Asks for kicks, of the next entry if that can be said, or for none. Without a barrier. */
    void (*set_kicks)(struct l4vio_device_queue *queue, bool wanted);

    /* Marks what was written to the ring since the used position was this; what set_kicks has written. */
    void (*log_used)(const struct l4vio_device_queue *queue, uint16_t since);
    void (*log_kicks)(const struct l4vio_device_queue *queue);

    /* May the next available entry be where a kick says? It may be an old kick. */
    bool (*position_fits)(const struct l4vio_device_queue *queue, uint16_t position);
};

extern const struct l4vio_device_ring l4vio_device_split;
extern const struct l4vio_device_ring l4vio_device_split_in_order;
extern const struct l4vio_device_ring l4vio_device_packed;
extern const struct l4vio_device_ring l4vio_device_packed_in_order;
/* The same with a record of what is in flight. */
extern const struct l4vio_device_ring l4vio_device_split_recorded;
extern const struct l4vio_device_ring l4vio_device_split_in_order_recorded;
extern const struct l4vio_device_ring l4vio_device_packed_recorded;
extern const struct l4vio_device_ring l4vio_device_packed_in_order_recorded;

/* Breaks the queue for good, counts and traces it. The cold end of every check. Returns
 * L4VIO_EBADPROTO. */
int l4vio_device_queue_break(struct l4vio_device_queue *queue, const char *text, uint64_t value);

/* Asks for kicks or for none, and logs that if the ring is logged. */
void l4vio_device_queue_set_kicks(struct l4vio_device_queue *queue, bool wanted);

/* The calls of a queue whose ring is logged. */
extern const struct l4vio_device_queue_ops l4vio_device_logged_ops;

/* Whether what is written to the ring is to be marked. */
static inline bool l4vio_device_queue_logs(const struct l4vio_device_queue *queue)
{
    return queue->log && queue->log_used;
}

/* Sets `ops` to those of the state that the queue is in. */
void l4vio_device_queue_choose_ops(struct l4vio_device_queue *queue);

/* `next` of a queue that is not set up or held, or broken; `has_avail` of all of them. */
int l4vio_device_no_next(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max);
int l4vio_device_broken_next(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                             struct l4vio_device_segment *segments, unsigned segments_max);
bool l4vio_device_nothing_avail(const struct l4vio_device_queue *queue);

/* Load of what the driver publishes, store of what we publish, in the order that was negotiated. */
static inline uint16_t l4vio_device_load_index(const l4vio_le16 *from, bool order_platform)
{
    uint16_t index = l4vio_load16_acquire(from);
    if (order_platform)
        l4vio_platform_acquire_barrier();
    return index;
}

static inline void l4vio_device_publish_index(l4vio_le16 *to, uint16_t index, bool order_platform)
{
    if (order_platform)
        l4vio_platform_release_barrier();
    l4vio_store16_release(to, index);
}

#endif
