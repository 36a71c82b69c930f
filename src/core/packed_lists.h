/* SPDX-License-Identifier: MIT */
/*
 * Packed ring: lists of descriptors, in the way of requests of several buffers. Descriptors are written
 * while the request is still being checked; one that is refused is undone.
 */
#ifndef L4VIO_CORE_PACKED_LISTS_H
#define L4VIO_CORE_PACKED_LISTS_H

#include "core/indirect.h"
#include "core/packed.h"

/* Where the writing of a list has come to. */
struct packed_cursor {
    struct virtq_packed_desc *ring;
    uint32_t size;
    uint32_t position;
    uint32_t id_and_next; /* Of all of its descriptors: the id, and above it the flag NEXT. */
    uint32_t last;        /* Position of the descriptor written last. */
    uint64_t word;        /* Its word. */
    uint64_t total_bytes;
};

/* Everything of a descriptor but its word. Returns false if the buffer is empty. */
static inline bool packed_begin(struct packed_cursor *at, const struct l4vio_buffer *buffer,
                                uint32_t flags)
{
    const uint32_t position = at->position;
    const uint64_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;
    uint32_t upper = (position & PACKED_ROUND) + at->id_and_next + flags;
    at->word = ((uint64_t)upper << 32) + length_bytes;
    at->total_bytes += length_bytes;
    at->last = position;
    at->position = packed_next(position, at->size);
    l4vio_store64(&at->ring[packed_place(position)].addr, buffer->address);
    return true;
}

static inline void packed_write_word(const struct packed_cursor *at)
{
    l4vio_store_packed(&at->ring[packed_place(at->last)], at->word);
}

/* `count` buffers, at least one. Returns false if there is an empty one. */
static inline bool packed_write_run(struct packed_cursor *at, const struct l4vio_buffer *buffer,
                                    uint32_t count, uint32_t flags)
{
    do {
        if (!packed_begin(at, buffer, flags))
            return false;
        packed_write_word(at);
        buffer++;
    } while (--count != 0);
    return true;
}

/* The whole list of a request, behind a held descriptor. As packed_sum, or less than 0 if it is wrong. */
static inline int64_t packed_write_list(struct packed_cursor *at,
                                        const struct l4vio_request *request)
{
    const uint32_t readable = request->readable;
    const uint32_t writable = request->writable;

    at->total_bytes = 0;
    if (readable && !packed_write_run(at, request->buffers, readable, 0))
        return -1;
    uint64_t readable_bytes = at->total_bytes;
    if (writable && !packed_write_run(at, request->buffers + readable, writable, PACKED_WRITE))
        return -1;
    if (at->total_bytes >> 32)
        return -1;
    at->word -= (uint64_t)VIRTQ_DESC_F_NEXT << 48; /* The last has none. */
    packed_write_word(at);
    return (int64_t)(at->total_bytes - readable_bytes);
}

static inline bool packed_fits_table(const struct l4vio_queue *queue,
                                     const struct l4vio_request *request)
{
    return l4vio_indirect_fits(queue, (uint32_t)request->readable + request->writable);
}

/* From the first descriptor of a request that was not taken on: as if used in the round before. */
void l4vio_packed_undo(const struct l4vio_queue *queue, uint32_t from, uint32_t end);

/*
 * As many lists as there are behind a held descriptor; stops at whatever is not one, wrong, or more than
 * there is room for. Returns how many. In order (a constant in all callers) the id is the place, else
 * it comes from the free list.
 */
__attribute__((always_inline)) static inline uint32_t packed_add_lists(
    struct l4vio_queue *queue, const struct l4vio_request *request, uint32_t count, bool in_order)
{
    struct packed_cursor at = {
        .ring = packed_ring(queue), .size = queue->size, .position = queue->next_avail};
    struct l4vio_queue_slot *const slots = queue->slots;
    const uint32_t all_room = (uint32_t)(queue->avail_limit - queue->avail_index);
    uint32_t room = all_room;
    uint32_t free_head = queue->free_head;
    uint32_t longest = queue->longest;
    uint32_t left = count;

    for (; left != 0; left--, request++) {
        const uint32_t entries = (uint32_t)request->readable + request->writable;
        const uint32_t start = at.position;
        const uint32_t id = in_order ? packed_place(start) : free_head;
        if (entries - 1u >= room || l4vio_indirect_fits(queue, entries))
            break;
        at.id_and_next = id | VIRTQ_DESC_F_NEXT << 16;
        int64_t writable_bytes = packed_write_list(&at, request);
        if (writable_bytes < 0) {
            l4vio_packed_undo(queue, start, at.position);
            at.position = start;
            break;
        }
        struct l4vio_queue_slot *slot = &slots[id];
        if (!in_order)
            free_head = slot->link;
        slot->u.cookie = request->cookie;
        slot->writable_bytes = (uint32_t)writable_bytes;
        slot->link = l4vio_slot_link(in_order ? 0 : free_head, entries);
        room -= entries;
        if (entries > longest)
            longest = entries;
    }
    const uint32_t added = count - left;
    const uint32_t extra_entries = all_room - room - added;
    queue->next_avail = at.position;
    queue->free_head = free_head;
    queue->longest = (uint16_t)longest;
    l4vio_advance(&queue->avail_index, added);
    queue->avail_limit -= extra_entries;
    queue->extra_entries += extra_entries;
    return added;
}

#endif
