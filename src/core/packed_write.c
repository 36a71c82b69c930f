/* SPDX-License-Identifier: MIT */
/*
 * Packed ring: writing of requests of any shape.
 *
 * Descriptors are written while the request is still being checked, with the flags of their round:
 * they are hidden by the first one, which the caller writes. A request that turns out to be wrong
 * leaves nothing that looks available, or a shorter request in its place would end in front of it.
 */
#include "core/packed_lists.h"

void l4vio_packed_initialize(struct l4vio_queue *queue)
{
    struct virtq_packed_desc *ring = packed_ring(queue);
    struct virtq_event_suppress *areas[] = {queue->avail, (void *)(uintptr_t)queue->used};

    for (uint32_t i = 0; i < queue->size; i++) {
        l4vio_store64(&ring[i].addr, 0);
        l4vio_store_packed(&ring[i], 0);
    }
    /* The device's area too, while the device does not know it. */
    for (unsigned i = 0; i < 2; i++) {
        l4vio_store16(&areas[i]->off_wrap, 0);
        l4vio_store16(&areas[i]->flags, VIRTQ_EVENT_F_ENABLE);
    }
    queue->free_head = 0;
    /* All four wrap counters start as 1. */
    queue->next_avail = (VIRTQ_PACKED_DESC_F_AVAIL << 16) | PACKED_WRITE;
    queue->next_used = PACKED_ROUND | PACKED_WRITE;
    queue->kick_place = UINT16_C(1) << VIRTQ_EVENT_WRAP_SHIFT;
    queue->avail_limit = queue->size;
    queue->in_order_end = 0;
    queue->longest = 1;
    queue->hidden_count = 0;
}

void l4vio_packed_undo(const struct l4vio_queue *queue, uint32_t from, uint32_t end)
{
    for (uint32_t at = from; at != end; at = packed_next(at, queue->size)) {
        uint32_t flags = packed_bits(at) & VIRTQ_PACKED_DESC_F_AVAIL ? 0 : PACKED_BITS;
        l4vio_store_packed(&packed_ring(queue)[packed_place(at)], l4vio_packed_word(0, 0, flags));
    }
}

/*
 * At least one buffer. The sum over the writable ones, or less than 0 if the request is not valid; then
 * `*position` is where it ended. The first descriptor's word is not written.
 */
static int64_t write_buffers(const struct l4vio_queue *queue, const struct l4vio_request *request,
                             uint32_t id, uint32_t *position, uint64_t *first)
{
    const struct l4vio_buffer *const buffers = request->buffers;
    const struct l4vio_buffer *const writable = buffers + request->readable;
    const struct l4vio_buffer *const end = writable + request->writable;
    struct packed_cursor at = {.ring = packed_ring(queue),
                               .size = queue->size,
                               .position = *position,
                               .id_and_next = id | VIRTQ_DESC_F_NEXT << 16};
    uint64_t readable_bytes = 0;

    bool good = true;
    for (const struct l4vio_buffer *buffer = buffers; good && buffer != end; buffer++) {
        good = packed_begin(&at, buffer, buffer < writable ? 0 : PACKED_WRITE);
        if (buffer < writable)
            readable_bytes = at.total_bytes;
        if (buffer == buffers)
            *first = at.word;
        else if (good)
            packed_write_word(&at);
    }
    *position = at.position;
    if (!good || at.total_bytes >> 32)
        return -1;

    /* The last has no NEXT. */
    at.word -= (uint64_t)VIRTQ_DESC_F_NEXT << 48;
    if (end - buffers == 1)
        *first = at.word;
    else
        packed_write_word(&at);
    return (int64_t)(at.total_bytes - readable_bytes);
}

/* In a table, of which the descriptor in the ring tells. */
static int64_t write_table(const struct l4vio_queue *queue, const struct l4vio_request *request,
                           uint32_t id, uint32_t *position, uint64_t *first)
{
    const uint32_t at = *position;
    int64_t writable_bytes = l4vio_indirect_write(queue, request, id);
    if (writable_bytes < 0)
        return -1;
    uint32_t length_bytes = l4vio_indirect_bytes((uint32_t)request->readable + request->writable);
    l4vio_store64(&packed_ring(queue)[packed_place(at)].addr, l4vio_indirect_address(queue, id));
    *first = l4vio_packed_word(length_bytes, id, packed_bits(at) | VIRTQ_DESC_F_INDIRECT);
    *position = packed_next(at, queue->size);
    return writable_bytes;
}

int l4vio_packed_write(const struct l4vio_queue *queue, const struct l4vio_request *request,
                       uint32_t id, uint32_t *position, struct packed_request *written)
{
    const uint32_t buffers = (uint32_t)request->readable + request->writable;
    const bool in_table = l4vio_indirect_fits(queue, buffers);
    const uint32_t entries = in_table ? 1 : buffers;
    if (entries - 1u >= l4vio_queue_room(queue)) { /* 0 is refused here too. */
        if (entries == 0)
            return L4VIO_EINVAL;
        return entries > queue->size ? L4VIO_E2BIG : L4VIO_EAGAIN;
    }

    uint32_t at = *position;
    int64_t writable_bytes = in_table ? write_table(queue, request, id, &at, &written->first)
                                      : write_buffers(queue, request, id, &at, &written->first);
    if (writable_bytes < 0) {
        l4vio_packed_undo(queue, *position, at);
        return L4VIO_EINVAL;
    }
    written->writable_bytes = (uint32_t)writable_bytes;
    written->entries = entries;
    *position = at;
    return L4VIO_OK;
}

uint64_t l4vio_packed_write_chain(const struct l4vio_queue *queue, uint16_t head, uint16_t count,
                                  uint32_t id, uint32_t *position)
{
    uint64_t first = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct l4vio_descriptor *shadow = &queue->descriptors[head];
        struct virtq_packed_desc *desc = &packed_ring(queue)[packed_place(*position)];
        uint64_t word =
            l4vio_packed_word(shadow->length_bytes, id, shadow->flags | packed_bits(*position));
        l4vio_store64(&desc->addr, shadow->address);
        if (i == 0)
            first = word;
        else
            l4vio_store_packed(desc, word);
        *position = packed_next(*position, queue->size);
        head = shadow->next;
    }
    return first;
}
