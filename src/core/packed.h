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

static inline void packed_hold(struct l4vio_queue *queue, uint32_t place, uint64_t word)
{
    queue->held_place = (uint16_t)place;
    queue->held_word = word;
}

/* The first descriptor of a request: that of a batch is held, the others are behind it. */
static inline void packed_put_first(struct l4vio_queue *queue, uint32_t place, uint64_t word)
{
    if (packed_is_held(queue))
        l4vio_store_packed(&packed_ring(queue)[place], word);
    else
        packed_hold(queue, place, word);
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

/* The upper half of a descriptor's word: the id, and above it the flags. */
static inline uint32_t packed_upper(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* In the upper half of a word. */
#define PACKED_WRITE (VIRTQ_DESC_F_WRITE << 16)

/* The length is there only if something was written. */
static inline uint32_t packed_used_length(uint64_t word)
{
    return packed_upper(word) & PACKED_WRITE ? l4vio_packed_length(word) : 0;
}

/*
 * Whether the upper half of a word is as that of a position, looking only at the bits of `mask`. The WRITE
 * bit is likely to be there, as in the position: then the same comparison says that the length is.
 */
static inline bool packed_matches(uint64_t word, uint32_t position, uint32_t mask,
                                  uint32_t *length_bytes)
{
    uint32_t difference = packed_upper(word) ^ position;
    *length_bytes = l4vio_packed_length(word);
    if ((difference & (mask | PACKED_WRITE)) == 0)
        return true;
    *length_bytes = 0;
    return (difference & mask) == 0;
}

/*
 * A position: a place in the ring, and above it the AVAIL and USED bits of the round, with the WRITE bit,
 * which is always set: so it is the upper half of the word of a writable descriptor whose id is its place.
 */
static inline uint32_t packed_place(uint32_t position)
{
    return position & UINT16_MAX;
}
static inline uint32_t packed_bits(uint32_t position)
{
    return (position >> 16) & PACKED_BITS;
}
#define PACKED_ROUND (PACKED_BITS << 16)

/* `entries` is at most the size of the ring, so the place never runs over into the bits. */
static inline uint32_t packed_advance(uint32_t position, uint32_t entries, uint32_t size)
{
    position += entries;
    return packed_place(position) < size ? position : (position - size) ^ PACKED_ROUND;
}
static inline uint32_t packed_next(uint32_t position, uint32_t size)
{
    position++;
    return (uint16_t)position != (uint16_t)size ? position : (position - size) ^ PACKED_ROUND;
}

static inline uint64_t packed_load(const struct l4vio_queue *queue, uint32_t position,
                                   bool order_platform)
{
    const struct virtq_packed_desc *desc = &packed_ring(queue)[packed_place(position)];
    return order_platform ? l4vio_load_packed_platform(desc) : l4vio_load_packed_acquire(desc);
}

/* Is this a used descriptor of the round that the position is in? */
static inline bool packed_is_used(uint64_t word, uint32_t position)
{
    return ((packed_upper(word) ^ position) & PACKED_ROUND) == 0;
}

/* How many descriptors of those there are up to the end of the ring. */
static inline uint32_t packed_run(uint32_t position, uint32_t count, uint32_t size)
{
    uint32_t run = size - packed_place(position);
    return count < run ? count : run;
}

/* What a straight path through used descriptors did. */
struct packed_taken {
    uint32_t count;
    bool stopped; /* By `word`, which was read at the position that it stopped at. */
    uint64_t word;
};

/* So many are taken, of so many entries, up to this position; the slots say the rest. */
static inline void packed_commit_used(struct l4vio_queue *queue, uint32_t position,
                                      uint32_t entries, uint32_t taken)
{
    queue->next_used = position;
    queue->avail_limit += entries;
    l4vio_advance(&queue->used_index, taken);
    if (entries != taken)
        queue->extra_entries -= entries - taken;
}

/* One request more, of so many entries. */
static inline void packed_count_added(struct l4vio_queue *queue, uint32_t entries)
{
    l4vio_advance(&queue->avail_index, 1);
    queue->avail_limit -= entries - 1u;
    queue->extra_entries += entries - 1u;
    if (entries > queue->longest)
        queue->longest = (uint16_t)entries;
}

/* One that was added is none any more; the caller counts it. */
static inline void packed_count_taken_back(struct l4vio_queue *queue, uint32_t entries)
{
    queue->avail_limit += entries - 1u;
    queue->extra_entries -= entries - 1u;
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
 * Writes a request of any shape from `*position` on, which moves on. `id` is its buffer id. If the
 * result is not 0 nothing has happened, and it says why.
 */
int l4vio_packed_write(const struct l4vio_queue *queue, const struct l4vio_request *request,
                       uint32_t id, uint32_t *position, struct packed_request *written);

/* The same for a checked chain of shadow descriptors; returns the word of the first descriptor. */
uint64_t l4vio_packed_write_chain(const struct l4vio_queue *queue, uint16_t head, uint16_t count,
                                  uint32_t id, uint32_t *position);

/* All but the slots. */
void l4vio_packed_initialize(struct l4vio_queue *queue);

/* packed_events.c: as struct l4vio_ring_format says. */
bool l4vio_packed_wants_kick(const struct l4vio_queue *queue);
void l4vio_packed_set_interrupts(struct l4vio_queue *queue, unsigned completions);
bool l4vio_packed_device_disarmed(const struct l4vio_queue *queue);
uint16_t l4vio_packed_kick_position(const struct l4vio_queue *queue);
uint16_t l4vio_packed_used_position(const struct l4vio_queue *queue);
void l4vio_packed_forget_device(struct l4vio_queue *queue);

/* Entries that are used for sure once so many completions, at least 1, are there; at least 1. */
uint32_t l4vio_packed_entries_of(const struct l4vio_queue *queue, unsigned completions);

#endif
