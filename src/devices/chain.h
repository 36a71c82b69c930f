/* SPDX-License-Identifier: MIT */
/* What both ring formats do with the buffers of a chain: check, translate, add up. */
#ifndef L4VIO_DEVICES_CHAIN_H
#define L4VIO_DEVICES_CHAIN_H

#include "devices/memory.h"
#include "devices/ring.h"

/* A chain describes less than 2^32 bytes: `written_bytes` of the used ring cannot say 2^32. */
#define L4VIO_DEVICE_CHAIN_BYTES_MAX UINT64_C(0xffffffff)

/*
 * A descriptor of either format as read, once: what is checked is what is used. The last 8 bytes are
 * one number (l4vio_packed_word): two values go from function to function in registers.
 */
struct l4vio_device_entry {
    uint64_t address;
    uint64_t word;
};

static inline struct l4vio_device_entry l4vio_device_entry_at(const void *table, uint32_t index)
{
    const struct virtq_packed_desc *desc = (const struct virtq_packed_desc *)table + index;
    return (struct l4vio_device_entry){l4vio_load64(&desc->addr), l4vio_load_packed(desc)};
}

/* The same where it lies anywhere. */
struct l4vio_device_entry l4vio_device_entry_unaligned(const unsigned char *at);

/* Of an indirect table, which may lie anywhere, aligned or not. */
static inline struct l4vio_device_entry l4vio_device_table_entry(const void *table, uint32_t index)
{
    if (__builtin_expect((uintptr_t)table % _Alignof(struct virtq_desc) != 0, 0))
        return l4vio_device_entry_unaligned((const unsigned char *)table + (uint64_t)index * 16u);
    return l4vio_device_entry_at(table, index);
}

static inline uint32_t l4vio_device_entry_length(struct l4vio_device_entry entry)
{
    return l4vio_packed_length(entry.word);
}

/* Where memory of the driver lies here, or NULL. */
void *l4vio_device_chain_look_up(struct l4vio_device_queue *queue, uint64_t address,
                                 uint64_t length_bytes);

/* The same. Most of it lies where the last one did. */
static inline void *l4vio_device_chain_translate(struct l4vio_device_queue *queue, uint64_t address,
                                                 uint64_t length_bytes)
{
    void *base = l4vio_device_region_translate(queue->region, address, length_bytes);
    if (__builtin_expect(base != NULL, 1))
        return base;
    return l4vio_device_chain_look_up(queue, address, length_bytes);
}

/*
 * One store: whoever hands the chain back copies both by one load, which would have to wait for two
 * stores to reach the cache.
 */
static inline void l4vio_device_chain_name(struct l4vio_device_chain *chain, uint32_t head,
                                           uint32_t entries)
{
    const uint16_t both[2] = {(uint16_t)head, (uint16_t)entries};
    _Static_assert(offsetof(struct l4vio_device_chain, head) == 0, "head comes first");
    _Static_assert(offsetof(struct l4vio_device_chain, entries) == 2, "entries comes next");
    memcpy(chain, both, sizeof(both));
}

/*
 * The straight path: fills a chain of one buffer that is not empty and lies where the last one did.
 * If it is another one, the way of all chains finds out what.
 */
static inline bool l4vio_device_chain_single(const struct l4vio_device_queue *queue,
                                             struct l4vio_device_chain *chain,
                                             struct l4vio_device_segment *segments,
                                             unsigned segments_max, struct l4vio_device_entry entry,
                                             uint32_t head, uint32_t flags)
{
    const struct l4vio_device_region *region = queue->region;
    uint64_t length_bytes = l4vio_device_entry_length(entry);
    uint64_t offset_bytes = entry.address - region->device_address;
    if ((flags & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT)) || segments_max == 0)
        return false;
    /* As l4vio_device_region_translate; of length 0 neither. */
    if (offset_bytes >= region->size_bytes ||
        length_bytes - 1u >= region->size_bytes - offset_bytes)
        return false;

    segments->base = (unsigned char *)region->base + offset_bytes;
    segments->length_bytes = length_bytes;
    chain->segments = segments;
    l4vio_device_chain_name(chain, head, 1);
    uint32_t writable = flags / VIRTQ_DESC_F_WRITE & 1u;
    uint64_t writable_bytes = writable ? length_bytes : 0;
    chain->readable = (uint16_t)(writable ^ 1u);
    chain->writable = (uint16_t)writable;
    chain->readable_bytes = length_bytes - writable_bytes;
    chain->writable_bytes = writable_bytes;
    return true;
}

/* A chain of any number of buffers while it is walked along. */
struct l4vio_device_walk {
    struct l4vio_device_segment *at;  /* Next segment. */
    struct l4vio_device_segment *end; /* Behind the last one. */
    uint64_t total_bytes;             /* So far. */
    bool writable;                    /* There was a writable buffer. */
};

static inline struct l4vio_device_walk l4vio_device_walk_begin(
    struct l4vio_device_chain *chain, struct l4vio_device_segment *segments, unsigned segments_max)
{
    chain->segments = segments;
    chain->readable = 0;
    chain->readable_bytes = 0;
    return (struct l4vio_device_walk){.at = segments, .end = segments + segments_max};
}

/* All readable buffers were added. */
static inline void l4vio_device_walk_turn(struct l4vio_device_walk *walk,
                                          struct l4vio_device_chain *chain)
{
    chain->readable = (uint16_t)(walk->at - chain->segments);
    chain->readable_bytes = walk->total_bytes;
    walk->writable = true;
}

/* Adds a buffer: 0, or the queue is broken. */
static inline int l4vio_device_walk_add(struct l4vio_device_queue *queue,
                                        struct l4vio_device_walk *walk,
                                        struct l4vio_device_chain *chain,
                                        struct l4vio_device_entry entry, bool writable)
{
    uint64_t length_bytes = l4vio_device_entry_length(entry);
    if (writable != walk->writable) {
        if (!writable)
            return l4vio_device_queue_break(queue, "a readable descriptor after a writable one",
                                            entry.address);
        l4vio_device_walk_turn(walk, chain);
    }
    /* Nothing is accessed, so its address does not matter. */
    if (length_bytes == 0)
        return L4VIO_OK;
    if (walk->at == walk->end)
        return l4vio_device_queue_break(queue, "a chain has more segments than the device takes",
                                        (uint64_t)(walk->at - chain->segments));
    void *base = l4vio_device_chain_translate(queue, entry.address, length_bytes);
    if (!base)
        return l4vio_device_queue_break(queue, "a buffer outside registered memory", entry.address);
    walk->at->base = base;
    walk->at->length_bytes = length_bytes;
    walk->at++;
    walk->total_bytes += length_bytes; /* Of at most 32768: cannot wrap. */
    return L4VIO_OK;
}

/* All buffers were added: 0, or the queue is broken. */
static inline int l4vio_device_walk_end(struct l4vio_device_queue *queue,
                                        struct l4vio_device_walk *walk,
                                        struct l4vio_device_chain *chain)
{
    if (!walk->writable)
        l4vio_device_walk_turn(walk, chain);
    if (walk->total_bytes > L4VIO_DEVICE_CHAIN_BYTES_MAX)
        return l4vio_device_queue_break(queue, "a chain of 2^32 bytes or more", walk->total_bytes);
    chain->writable = (uint16_t)(walk->at - chain->segments - chain->readable);
    chain->writable_bytes = walk->total_bytes - chain->readable_bytes;
    return L4VIO_OK;
}

/*
 * The table that an indirect descriptor points to, or NULL: the queue is broken. `next`: the
 * descriptor is not the last one of its chain.
 */
const void *l4vio_device_chain_table(struct l4vio_device_queue *queue,
                                     struct l4vio_device_entry entry, bool next, uint32_t *entries);

#endif
