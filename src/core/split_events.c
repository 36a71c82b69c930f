/* SPDX-License-Identifier: MIT */
/*
 * Split ring: what does not depend on the order in which requests come back. First state of the rings,
 * publishing, and the suppression of notifications in both directions, with and without EVENT_IDX
 * (VIRTIO 1.4, sections 2.7.7 and 2.7.10).
 */
#include "core/split.h"

static l4vio_le16 *used_event(const struct l4vio_queue *queue)
{
    return &split_avail_ring(queue)[queue->size];
}

static const l4vio_le16 *avail_event(const struct l4vio_queue *queue)
{
    return (const l4vio_le16 *)(const void *)&split_used_ring(queue)[queue->size];
}

static void clear16(l4vio_le16 *to, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        l4vio_store16(&to[i], 0);
}

void l4vio_split_initialize_areas(struct l4vio_queue *queue)
{
    const uint16_t size = queue->size;

    for (uint32_t i = 0; i < size; i++) {
        l4vio_store64(&split_table(queue)[i].addr, 0);
        l4vio_store32(&split_table(queue)[i].len, 0);
        clear16(&split_table(queue)[i].flags, 2);
    }
    /* The device's area too, while the device does not know it (clause D-2.7.10.1-1). */
    clear16((l4vio_le16 *)queue->avail, l4vio_virtqueue_avail_bytes(size) / sizeof(l4vio_le16));
    clear16((l4vio_le16 *)(uintptr_t)queue->used,
            l4vio_virtqueue_used_bytes(size) / sizeof(l4vio_le16));
}

/* Index of what was added, and everything before it (clause D-2.7.13.3.1-1). */
void l4vio_split_publish(struct l4vio_queue *queue)
{
    uint64_t index = queue->avail_index;
    if (index == queue->published_index)
        return;

    l4vio_store16_release(&split_avail(queue)->idx, (uint16_t)index);
    queue->published_index = index;
}

void l4vio_split_publish_platform(struct l4vio_queue *queue)
{
    l4vio_platform_release_barrier();
    l4vio_split_publish(queue);
}

/*
 * Without EVENT_IDX clauses D-2.7.10.1-2 to -4; with it -5 to -7: whether the index that the device
 * waits for is among those published since the last decision. If they are so many that 16 bits do not
 * tell, it may be: then the difference on the left is always less.
 */
bool l4vio_split_wants_kick(const struct l4vio_queue *queue)
{
    if (!queue->event_idx)
        return !l4vio_split_device_disarmed(queue);

    uint64_t since = queue->published_index - queue->kick_index;
    uint16_t event = l4vio_load16(avail_event(queue));
    return (uint16_t)(queue->published_index - event - 1u) < since;
}

/* With EVENT_IDX `flags` stays 0 (clause D-2.7.7.1-3), and what the device may tell is put behind
 * instead, if it is not: it comes round once in 65536 requests. */
static void set_event(struct l4vio_queue *queue, unsigned completions)
{
    if (completions == 0 && (int64_t)(queue->armed_index - queue->used_index) < 0)
        return;
    queue->armed_index = queue->used_index + completions - 1u;
    l4vio_store16(used_event(queue), (uint16_t)queue->armed_index);
}

void l4vio_split_set_interrupts(struct l4vio_queue *queue, unsigned completions)
{
    if (queue->event_idx)
        set_event(queue, completions);
    else
        l4vio_store16(&split_avail(queue)->flags,
                      completions ? UINT16_C(0) : (uint16_t)VIRTQ_AVAIL_F_NO_INTERRUPT);
}

/* With EVENT_IDX the device has no flag for this (clause D-2.7.10.1-5): an index that is behind, and
 * not about to come, means the same. */
bool l4vio_split_device_disarmed(const struct l4vio_queue *queue)
{
    if (!queue->event_idx)
        return (l4vio_load16(&split_used(queue)->flags) & VIRTQ_USED_F_NO_NOTIFY) != 0;
    return (uint16_t)(l4vio_load16(avail_event(queue)) - queue->published_index) > INT16_MAX;
}

/* Low 15 bits are the place, bit 15 counts as the round (section 2.9). */
uint16_t l4vio_split_kick_position(const struct l4vio_queue *queue)
{
    return (uint16_t)queue->published_index;
}

uint16_t l4vio_split_used_position(const struct l4vio_queue *queue)
{
    return (uint16_t)queue->used_index;
}

/* The device's area is ours to write as long as no device knows it. */
void l4vio_split_forget_device(struct l4vio_queue *queue)
{
    struct virtq_used *used = (struct virtq_used *)(uintptr_t)queue->used;
    l4vio_store16(&used->flags, 0);
    if (queue->event_idx)
        l4vio_store16((l4vio_le16 *)(uintptr_t)avail_event(queue), (uint16_t)queue->used_index);
}

static uint16_t pending(const struct l4vio_queue *queue)
{
    return (uint16_t)(split_load_used_index(queue, false) - queue->used_index);
}

bool l4vio_split_has_used(const struct l4vio_queue *queue)
{
    return pending(queue) != 0;
}

bool l4vio_split_has_used_many(const struct l4vio_queue *queue, unsigned completions)
{
    return pending(queue) >= completions;
}

int l4vio_split_break_by_index(struct l4vio_queue *queue, uint16_t device_index)
{
    return l4vio_queue_break(queue, "used index ahead of what is in flight", device_index);
}
