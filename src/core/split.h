/* SPDX-License-Identifier: MIT */
/* What the two ways of working of the split ring share: any order, and in order. */
#ifndef L4VIO_SPLIT_H
#define L4VIO_SPLIT_H

#include "core/ring_format.h"

static inline struct virtq_desc *split_table(const struct l4vio_queue *queue)
{
    return queue->desc;
}

static inline struct virtq_avail *split_avail(const struct l4vio_queue *queue)
{
    return queue->avail;
}

static inline const struct virtq_used *split_used(const struct l4vio_queue *queue)
{
    return queue->used;
}

static inline l4vio_le16 *split_avail_ring(const struct l4vio_queue *queue)
{
    return (l4vio_le16 *)(void *)(split_avail(queue) + 1);
}

static inline const struct virtq_used_elem *split_elements(const struct virtq_used *used)
{
    return (const struct virtq_used_elem *)(const void *)(used + 1);
}

static inline const struct virtq_used_elem *split_used_ring(const struct l4vio_queue *queue)
{
    return split_elements(split_used(queue));
}

/* Place in either ring of the request with this index. */
static inline uint32_t split_place(const struct l4vio_queue *queue, uint64_t index)
{
    return (uint32_t)index & queue->mask;
}

static inline void split_make_available(const struct l4vio_queue *queue, uint64_t index,
                                        uint32_t head)
{
    l4vio_store16(&split_avail_ring(queue)[split_place(queue, index)], (uint16_t)head);
}

/* What the device wrote, in private: read once. */
struct split_used_element {
    uint32_t id;
    uint32_t length;
};

/* The one place that reads elements of the used ring. */
static inline struct split_used_element split_read_used(const struct virtq_used_elem *element)
{
    struct split_used_element used = {.id = l4vio_load32(&element->id),
                                      .length = l4vio_load32(&element->len)};
    return used;
}

/* Index of the device, and after it everything that it wrote before; with ORDER_PLATFORM as devices
 * write that are not CPUs (section 2.7.14, clause D-6.1-7). */
static inline uint16_t split_load_used_index(const struct l4vio_queue *queue, bool platform)
{
    uint16_t index = l4vio_load16_acquire(&split_used(queue)->idx);
    if (platform)
        l4vio_platform_acquire_barrier();
    return index;
}

/* What is not published yet is not the device's to complete. */
static inline bool split_runs_ahead(const struct l4vio_queue *queue, uint32_t pending)
{
    return pending > (uint16_t)(queue->published_index - queue->used_index);
}

static inline void *split_slot_cookie(const struct l4vio_queue_slot *slot, bool descriptor_level)
{
    return descriptor_level ? (void *)(uintptr_t)slot->u.descriptor.id : slot->u.cookie;
}

/* Why a request of so many entries is not taken now. */
static inline int split_no_room(const struct l4vio_queue *queue, uint32_t entries)
{
    if (entries == 0)
        return L4VIO_EINVAL;
    return entries > queue->size ? L4VIO_E2BIG : L4VIO_EAGAIN;
}

/* The cold end of a used index that is refused. */
int l4vio_split_break_by_index(struct l4vio_queue *queue, uint16_t device_index);

/* Functions of struct l4vio_ring_format that do not depend on the order. */
void l4vio_split_initialize_areas(struct l4vio_queue *queue);
void l4vio_split_publish(struct l4vio_queue *queue);
void l4vio_split_publish_platform(struct l4vio_queue *queue);
bool l4vio_split_wants_kick(const struct l4vio_queue *queue);
void l4vio_split_set_interrupts(struct l4vio_queue *queue, unsigned completions);
bool l4vio_split_device_disarmed(const struct l4vio_queue *queue);
uint16_t l4vio_split_kick_position(const struct l4vio_queue *queue);
uint16_t l4vio_split_used_position(const struct l4vio_queue *queue);
void l4vio_split_forget_device(struct l4vio_queue *queue);
bool l4vio_split_has_used(const struct l4vio_queue *queue);
bool l4vio_split_has_used_many(const struct l4vio_queue *queue, unsigned completions);

#endif
