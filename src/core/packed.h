/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the packed virtqueue (VIRTIO 1.4, section 2.8): what both ways of working share.
 *
 * The ring goes round by rounds. In each the driver writes AVAIL and USED bits of its own, so that the
 * device sees what is new, and the device answers with a pair that says used. The driver keeps for
 * both places, where it writes next and where the device does, the bits of the round.
 *
 * Everything is written with its final flags at once but for the first descriptor of a batch, which
 * `publish` writes last: a device that follows the rules does not look behind a descriptor that is not
 * available. That one descriptor is held in the queue: if avail_index is published_index, there is none.
 */
#ifndef L4VIO_CORE_PACKED_H
#define L4VIO_CORE_PACKED_H

#include "core/ordering.h"
#include "core/ring_format.h"

#define PACKED_BITS (VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED)

static inline struct virtq_packed_desc *packed_ring(const struct l4vio_queue *queue)
{
    return queue->desc;
}

static inline bool packed_is_held(const struct l4vio_queue *queue)
{
    return queue->avail_index != queue->published_index;
}

/* The first descriptor of a request: that of a batch is held, the others are behind it. */
static inline void packed_put_first(struct l4vio_queue *queue, uint32_t place, uint64_t word)
{
    if (packed_is_held(queue)) {
        l4vio_store_packed(&packed_ring(queue)[place], word);
        return;
    }
    queue->held_place = (uint16_t)place;
    queue->held_word = word;
}

static inline void packed_publish(struct l4vio_queue *queue, bool order_platform)
{
    uint64_t index = queue->avail_index;
    if (index == queue->published_index)
        return;

    struct virtq_packed_desc *desc = &packed_ring(queue)[queue->held_place];
    if (order_platform)
        l4vio_store_packed_platform(desc, queue->held_word);
    else
        l4vio_store_packed_release(desc, queue->held_word);
    queue->published_index = index;
}

static inline uint64_t packed_load(const struct l4vio_queue *queue, uint32_t place,
                                   bool order_platform)
{
    const struct virtq_packed_desc *desc = &packed_ring(queue)[place];
    return order_platform ? l4vio_load_packed_platform(desc) : l4vio_load_packed_acquire(desc);
}

/* Is this a used descriptor of the round with these bits? */
static inline bool packed_is_used(uint64_t word, uint32_t used_bits)
{
    return (l4vio_packed_flags(word) & PACKED_BITS) == used_bits;
}

/* The length is there only if something was written. */
static inline uint32_t packed_used_length(uint64_t word)
{
    return l4vio_packed_flags(word) & VIRTQ_DESC_F_WRITE ? l4vio_packed_length(word) : 0;
}

/* A place in the ring with the bits of its round. */
struct packed_place {
    uint32_t at;
    uint32_t bits;
};

/* `entries` is at most the size of the ring. */
static inline void packed_advance(struct packed_place *place, uint32_t entries, uint32_t size)
{
    place->at += entries;
    if (place->at >= size) {
        place->at -= size;
        place->bits ^= PACKED_BITS;
    }
}

static inline struct packed_place packed_next_avail(const struct l4vio_queue *queue)
{
    return (struct packed_place){queue->next_avail, queue->avail_bits};
}

static inline void packed_set_next_avail(struct l4vio_queue *queue, struct packed_place place)
{
    queue->next_avail = (uint16_t)place.at;
    queue->avail_bits = (uint16_t)place.bits;
}

static inline struct packed_place packed_next_used(const struct l4vio_queue *queue)
{
    return (struct packed_place){queue->next_used, queue->used_bits};
}

static inline void packed_set_next_used(struct l4vio_queue *queue, struct packed_place place)
{
    queue->next_used = (uint16_t)place.at;
    queue->used_bits = (uint16_t)place.bits;
}

/* One request more, of so many entries. */
static inline void packed_count_added(struct l4vio_queue *queue, uint32_t entries)
{
    l4vio_advance(&queue->avail_index, 1);
    queue->extra_entries += entries - 1u;
    if (entries > queue->longest)
        queue->longest = (uint16_t)entries;
}

/* A request's buffers by number: one comparison tells the shape. */
static inline uint32_t packed_shape(const struct l4vio_request *request)
{
    return request->readable | (uint32_t)request->writable << 16;
}
#define PACKED_ONE_READABLE UINT32_C(1)
#define PACKED_ONE_WRITABLE (UINT32_C(1) << 16)

/* packed_write.c */

/* A request that was written; its first descriptor is not, but is in `first`. */
struct packed_request {
    uint64_t first;
    uint32_t writable_bytes;
    uint32_t entries;
};

/*
 * Writes a request of any shape from `place` on, which moves on. `id` is its buffer id. Otherwise
 * nothing has happened, and the result says why.
 */
int l4vio_packed_write(const struct l4vio_queue *queue, const struct l4vio_request *request,
                       uint32_t id, struct packed_place *place, struct packed_request *written);

/* The same for a checked chain of shadow descriptors; returns the word of the first descriptor. */
uint64_t l4vio_packed_write_chain(const struct l4vio_queue *queue, uint16_t head, uint16_t count,
                                  uint32_t id, struct packed_place *place);

/* All but the slots. */
void l4vio_packed_initialize(struct l4vio_queue *queue);

/* packed_events.c: as struct l4vio_ring_format says. */
bool l4vio_packed_wants_kick(const struct l4vio_queue *queue);
void l4vio_packed_set_interrupts(struct l4vio_queue *queue, unsigned completions);
bool l4vio_packed_device_disarmed(const struct l4vio_queue *queue);
uint16_t l4vio_packed_kick_position(const struct l4vio_queue *queue);

/* Entries that are used for sure once so many completions, at least 1, are there; at least 1. */
uint32_t l4vio_packed_entries_of(const struct l4vio_queue *queue, unsigned completions);

#endif
