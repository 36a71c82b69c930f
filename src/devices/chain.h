/* SPDX-License-Identifier: MIT */
/* What both ring formats do with the buffers of a chain: check, translate, add up. */
#ifndef L4VIO_DEVICES_CHAIN_H
#define L4VIO_DEVICES_CHAIN_H

#include "devices/memory.h"
#include "devices/ring.h"

/* A chain describes less than 2^32 bytes: `written_bytes` of the used ring cannot say 2^32. */
#define L4VIO_DEVICE_CHAIN_BYTES_MAX UINT64_C(0xffffffff)

/* As l4vio_device_chain_translate, where the last address does not say where. */
void *l4vio_device_chain_look_up(struct l4vio_device_queue *queue, uint64_t address,
                                 uint64_t length_bytes);

/* Where memory of the driver lies here, or NULL. Most of it lies where the last one did. */
static inline void *l4vio_device_chain_translate(struct l4vio_device_queue *queue, uint64_t address,
                                                 uint64_t length_bytes)
{
    void *base = l4vio_device_region_translate(queue->region, address, length_bytes);
    if (__builtin_expect(base != NULL, 1))
        return base;
    return l4vio_device_chain_look_up(queue, address, length_bytes);
}

/* A chain of one buffer: 0, or the queue is broken. */
static inline int l4vio_device_chain_single(struct l4vio_device_queue *queue,
                                            struct l4vio_device_chain *chain,
                                            struct l4vio_device_segment *segments,
                                            unsigned segments_max, uint64_t address,
                                            uint32_t length_bytes, bool writable)
{
    uint16_t count = length_bytes != 0;
    chain->readable = writable ? 0 : count;
    chain->writable = writable ? count : 0;
    chain->readable_bytes = writable ? 0 : length_bytes;
    chain->writable_bytes = writable ? length_bytes : 0;
    chain->segments = segments;
    /* Nothing is accessed, so its address does not matter. */
    if (count == 0)
        return L4VIO_OK;
    if (segments_max == 0)
        return l4vio_device_queue_break(queue, "a chain has more segments than the device takes",
                                        0);
    void *base = l4vio_device_chain_translate(queue, address, length_bytes);
    if (!base)
        return l4vio_device_queue_break(queue, "a buffer outside registered memory", address);
    segments->base = base;
    segments->length_bytes = length_bytes;
    return L4VIO_OK;
}

/* A chain of any number of buffers while it is walked along. */
struct l4vio_device_walk {
    struct l4vio_device_segment *segments;
    unsigned segments_max;
    unsigned count;          /* Segments so far. */
    unsigned readable;       /* Readable ones. */
    bool writable;           /* There was a writable buffer. */
    uint64_t total_bytes;    /* So far. */
    uint64_t readable_bytes; /* Of the readable ones. */
};

/* Adds a buffer: 0, or the queue is broken. */
static inline int l4vio_device_walk_add(struct l4vio_device_queue *queue,
                                        struct l4vio_device_walk *walk, uint64_t address,
                                        uint32_t length_bytes, bool writable)
{
    if (writable != walk->writable) {
        if (!writable)
            return l4vio_device_queue_break(queue, "a readable descriptor after a writable one",
                                            walk->count);
        walk->writable = true;
        walk->readable = walk->count;
        walk->readable_bytes = walk->total_bytes;
    }
    /* Nothing is accessed, so its address does not matter. */
    if (length_bytes == 0)
        return L4VIO_OK;
    if (walk->count >= walk->segments_max)
        return l4vio_device_queue_break(queue, "a chain has more segments than the device takes",
                                        walk->segments_max);
    walk->total_bytes += length_bytes;
    if (walk->total_bytes > L4VIO_DEVICE_CHAIN_BYTES_MAX)
        return l4vio_device_queue_break(queue, "a chain of 2^32 bytes or more", length_bytes);
    void *base = l4vio_device_chain_translate(queue, address, length_bytes);
    if (!base)
        return l4vio_device_queue_break(queue, "a buffer outside registered memory", address);
    walk->segments[walk->count].base = base;
    walk->segments[walk->count].length_bytes = length_bytes;
    walk->count++;
    return L4VIO_OK;
}

/* All buffers were added. */
static inline void l4vio_device_walk_end(const struct l4vio_device_walk *walk,
                                         struct l4vio_device_chain *chain)
{
    unsigned readable = walk->writable ? walk->readable : walk->count;
    uint64_t readable_bytes = walk->writable ? walk->readable_bytes : walk->total_bytes;
    chain->readable = (uint16_t)readable;
    chain->writable = (uint16_t)(walk->count - readable);
    chain->readable_bytes = readable_bytes;
    chain->writable_bytes = walk->total_bytes - readable_bytes;
    chain->segments = walk->segments;
}

/*
 * The table that an indirect descriptor points to, or NULL: the queue is broken. `next`: the
 * descriptor is not the last one of its chain.
 */
const void *l4vio_device_chain_table(struct l4vio_device_queue *queue, uint64_t address,
                                     uint32_t length_bytes, bool next, uint32_t *entries);

/* An entry of a table, read once. Third and fourth are flags and next if split, id and flags if packed. */
struct l4vio_device_entry {
    uint64_t address;
    uint32_t length_bytes;
    uint16_t third;
    uint16_t fourth;
};

/* The same where it lies anywhere. */
struct l4vio_device_entry l4vio_device_entry_unaligned(const unsigned char *at);

static inline struct l4vio_device_entry l4vio_device_entry_at(const void *table, uint32_t index)
{
    const struct virtq_desc *desc = (const struct virtq_desc *)table + index;
    return (struct l4vio_device_entry){.address = l4vio_load64(&desc->addr),
                                       .length_bytes = l4vio_load32(&desc->len),
                                       .third = l4vio_load16(&desc->flags),
                                       .fourth = l4vio_load16(&desc->next)};
}

/* Of an indirect table, which may lie anywhere, aligned or not. */
static inline struct l4vio_device_entry l4vio_device_table_entry(const void *table, uint32_t index)
{
    if (__builtin_expect((uintptr_t)table % _Alignof(struct virtq_desc) != 0, 0))
        return l4vio_device_entry_unaligned((const unsigned char *)table + (uint64_t)index * 16u);
    return l4vio_device_entry_at(table, index);
}

#endif
