/* SPDX-License-Identifier: MIT */
/* The areas of a split ring as the device sees them, and how it shows results. */
#ifndef L4VIO_DEVICES_SPLIT_H
#define L4VIO_DEVICES_SPLIT_H

#include "devices/ring.h"

static inline const struct virtq_avail *l4vio_split_avail(const struct l4vio_device_queue *queue)
{
    return queue->avail;
}

static inline struct virtq_used *l4vio_split_used(const struct l4vio_device_queue *queue)
{
    return queue->used;
}

static inline const l4vio_le16 *l4vio_split_avail_ring(const struct l4vio_device_queue *queue)
{
    return (const l4vio_le16 *)(const void *)(l4vio_split_avail(queue) + 1);
}

static inline struct virtq_used_elem *l4vio_split_used_ring(const struct l4vio_device_queue *queue)
{
    return (struct virtq_used_elem *)(void *)(l4vio_split_used(queue) + 1);
}

/* Behind the rings, with EVENT_IDX. */
static inline const l4vio_le16 *l4vio_split_used_event(const struct l4vio_device_queue *queue)
{
    return &l4vio_split_avail_ring(queue)[queue->size];
}

static inline l4vio_le16 *l4vio_split_avail_event(const struct l4vio_device_queue *queue)
{
    return (l4vio_le16 *)(void *)&l4vio_split_used_ring(queue)[queue->size];
}

static inline uint32_t l4vio_split_place(const struct l4vio_device_queue *queue, uint32_t index)
{
    return index & (queue->size - 1u);
}

static inline void l4vio_split_write_used(const struct l4vio_device_queue *queue, uint32_t index,
                                          uint32_t head, uint32_t written_bytes)
{
    struct virtq_used_elem *elem = &l4vio_split_used_ring(queue)[l4vio_split_place(queue, index)];
    l4vio_store32(&elem->id, head);
    l4vio_store32(&elem->len, written_bytes);
}

/* Shows what was written up to an index. */
static inline void l4vio_split_publish(struct l4vio_device_queue *queue, uint32_t index,
                                       uint32_t chains, bool order_platform)
{
    queue->used_index = (uint16_t)index;
    queue->in_flight = (uint16_t)(queue->in_flight - chains);
    queue->unannounced += chains;
    queue->counters.finished += chains;
    l4vio_device_publish_index(&l4vio_split_used(queue)->idx, (uint16_t)index, order_platform);
}

/* Reads the chain of a head, which is below the size, and checks it: 0, or the queue is broken. */
int l4vio_split_walk(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                     struct l4vio_device_segment *segments, unsigned segments_max, uint32_t head);

/* What rings with a record have in common with those without: see ring.h. */
void l4vio_split_position(const struct l4vio_device_queue *queue, uint16_t *avail, uint16_t *used);
bool l4vio_split_wants_notification(const struct l4vio_device_queue *queue);
void l4vio_split_set_kicks(struct l4vio_device_queue *queue, bool wanted);
void l4vio_split_log_used(const struct l4vio_device_queue *queue, uint16_t since);
void l4vio_split_log_kicks(const struct l4vio_device_queue *queue);
bool l4vio_split_position_fits(const struct l4vio_device_queue *queue, uint16_t position);

#endif
