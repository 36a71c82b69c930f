/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the split virtqueue with IN_ORDER: requests come back in the order in which they were
 * made available (VIRTIO 1.4, sections 2.7.5.2 and 2.7.8).
 *
 * What is added: entries are taken in the order of the table (clause D-2.7.5.2-2). See split_in_order.h.
 */
#include "core/split_in_order.h"
#include "core/indirect.h"

static void initialize(struct l4vio_queue *queue)
{
    l4vio_split_initialize_areas(queue);
    for (uint32_t i = 0; i < queue->size; i++)
        queue->slots[i] = (struct l4vio_queue_slot){0};
    queue->next_avail = 0;
    queue->next_used = 0;
    queue->in_order_end = 0;
    queue->in_order_length = 0;
}

static inline void write_descriptor(struct virtq_desc *desc, uint64_t address,
                                    uint32_t length_bytes, uint32_t flags, uint32_t next)
{
    l4vio_store64(&desc->addr, address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store_flags_next(desc, flags, next);
}

/* Where the writing of a chain has come to. */
struct cursor {
    const struct l4vio_buffer *buffer;
    uint64_t total_bytes; /* Of all buffers so far. */
    uint32_t entry;       /* The next one. */
    uint32_t last;        /* The one written last. */
};

/* Buffers up to `end`, all of which go on. Returns false if there is an empty one. */
__attribute__((always_inline)) static inline bool write_buffers(const struct l4vio_queue *queue,
                                                                struct cursor *at,
                                                                const struct l4vio_buffer *end,
                                                                uint16_t flags)
{
    for (; at->buffer != end; at->buffer++) {
        struct virtq_desc *desc = &split_table(queue)[at->entry];
        uint32_t length_bytes = at->buffer->length_bytes;
        if (length_bytes == 0)
            return false;
        at->last = at->entry;
        at->entry = split_behind(queue, at->entry, 1);
        l4vio_store64(&desc->addr, at->buffer->address);
        l4vio_store32(&desc->len, length_bytes);
        l4vio_store16(&desc->flags, flags);
        l4vio_store16(&desc->next, (uint16_t)at->entry);
        at->total_bytes += length_bytes;
    }
    return true;
}

/* Writes a request that fits from this entry on. Returns the writable bytes, or less than 0 if the
 * request is not valid: then it is not taken, and what was written does not matter. */
__attribute__((always_inline)) static inline int64_t write_chain(
    const struct l4vio_queue *queue, const struct l4vio_request *request, uint32_t entry)
{
    const struct l4vio_buffer *const writable = request->buffers + request->readable;
    const struct l4vio_buffer *const end = writable + request->writable;
    struct cursor at = {.buffer = request->buffers, .entry = entry};
    uint16_t last_flags = 0;

    if (!write_buffers(queue, &at, writable, VIRTQ_DESC_F_NEXT))
        return -1;
    uint64_t readable_bytes = at.total_bytes;
    if (at.buffer != end) {
        if (!write_buffers(queue, &at, end, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE))
            return -1;
        last_flags = VIRTQ_DESC_F_WRITE;
    }
    l4vio_store16(&split_table(queue)[at.last].flags, last_flags);
    return at.total_bytes >> 32 ? -1 : (int64_t)(at.total_bytes - readable_bytes);
}

static int64_t write_table(const struct l4vio_queue *queue, const struct l4vio_request *request,
                           uint32_t entry)
{
    uint32_t buffers = (uint32_t)request->readable + request->writable;
    int64_t writable_bytes = l4vio_indirect_write(queue, request, entry);
    if (writable_bytes >= 0)
        write_descriptor(&split_table(queue)[entry], l4vio_indirect_address(queue, entry),
                         l4vio_indirect_bytes(buffers), VIRTQ_DESC_F_INDIRECT, 0);
    return writable_bytes;
}

static inline void hold(struct l4vio_queue *queue, uint32_t entry, uint32_t entries,
                        uint32_t writable_bytes)
{
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    slot->writable_bytes = writable_bytes;
    slot->link = l4vio_slot_link(0, entries);
    split_make_available(queue, queue->avail_index, entry);
    queue->next_avail = split_behind(queue, entry, entries);
    queue->extra_entries += entries - 1u;
    l4vio_advance(&queue->avail_index, 1);
}

/* Requests of any number of buffers: the one that the straight path stopped at, and the rest. */
__attribute__((noinline)) static int add_any(struct l4vio_queue *queue,
                                             const struct l4vio_request *requests, unsigned added,
                                             unsigned count)
{
    int refusal = L4VIO_OK;

    for (; added != count; added++) {
        const struct l4vio_request *request = &requests[added];
        uint32_t entry = queue->next_avail;
        uint32_t buffers = (uint32_t)request->readable + request->writable;
        bool table = l4vio_indirect_fits(queue, buffers);
        if ((table ? 0 : buffers - 1u) >=
            l4vio_queue_room(queue)) { /* No buffer: refused here too. */
            refusal = split_no_room(queue, buffers);
            break;
        }
        int64_t writable_bytes =
            table ? write_table(queue, request, entry) : write_chain(queue, request, entry);
        if (writable_bytes < 0) {
            refusal = L4VIO_EINVAL;
            break;
        }
        queue->slots[entry].u.cookie = request->cookie;
        hold(queue, entry, table ? 1 : buffers, (uint32_t)writable_bytes);
    }
    return added ? (int)added : refusal;
}

/* Where the straight path has come to. */
struct places {
    l4vio_le16 *available;
    struct virtq_desc *desc;
    struct l4vio_queue_slot *slot;
    uint32_t entry;
};

static inline struct places next_places(const struct l4vio_queue *queue)
{
    uint32_t entry = queue->next_avail;
    struct places at = {
        .available = &split_avail_ring(queue)[split_place(queue, queue->avail_index)],
        .desc = &split_table(queue)[entry],
        .slot = &queue->slots[entry],
        .entry = entry,
    };
    return at;
}

/* `walked` is a constant: the loop knows the places, a single request finds them when it is known that
 * they are needed. */
static inline bool write_single(const struct l4vio_queue *queue,
                                const struct l4vio_request *request, struct places at, bool walked,
                                bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    const uint32_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    if (!walked)
        at = next_places(queue);
    l4vio_store16(at.available, (uint16_t)at.entry);
    write_descriptor(at.desc, buffer->address, length_bytes, writable ? VIRTQ_DESC_F_WRITE : 0, 0);
    at.slot->u.cookie = request->cookie;
    at.slot->writable_bytes = writable ? length_bytes : 0;
    at.slot->link = l4vio_slot_link(0, 1);
    return true;
}

/* The straight path, for requests of one buffer. If it is none, nothing has happened. */
static inline bool add_single(const struct l4vio_queue *queue, const struct l4vio_request *request,
                              struct places at, bool walked)
{
    if (request->readable == 0 && request->writable == 1)
        return write_single(queue, request, at, walked, true);
    if (request->readable == 1 && request->writable == 0)
        return write_single(queue, request, at, walked, false);
    return false;
}

/* From request number `added` on, to the end of ring or table; then, if that is not all, once more. */
__attribute__((noinline)) static int add_many(struct l4vio_queue *queue,
                                              const struct l4vio_request *requests, unsigned added,
                                              unsigned count)
{
    const struct l4vio_request *request = requests + added;
    const uint32_t room = l4vio_queue_room(queue);
    struct places at = next_places(queue);
    uint32_t run =
        split_least(queue->size - split_place(queue, queue->avail_index), queue->size - at.entry);
    run = split_least(run, split_least(count - added, room));
    const uint32_t end = at.entry + run;

    while (at.entry != end && add_single(queue, request, at, true)) {
        at.available++;
        at.desc++;
        at.slot++;
        at.entry++;
        request++;
    }
    uint32_t left = end - at.entry;
    queue->next_avail = at.entry & queue->mask;
    l4vio_advance(&queue->avail_index, run - left);
    added += run - left;
    if (added == count)
        return (int)count;
    return left == 0 && run != room ? add_many(queue, requests, added, count)
                                    : add_any(queue, requests, added, count);
}

static int add(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count)
{
    if (count != 1)
        return add_many(queue, requests, 0, count);
    const struct places unknown = {0};
    if (l4vio_queue_room(queue) == 0 || !add_single(queue, requests, unknown, false))
        return add_any(queue, requests, 0, 1);
    queue->next_avail = split_behind(queue, queue->next_avail, 1);
    l4vio_advance(&queue->avail_index, 1);
    return 1;
}

static void add_chain(struct l4vio_queue *queue, uint16_t head, uint16_t count,
                      uint32_t writable_bytes)
{
    uint32_t first = queue->next_avail;
    uint32_t entry = first;
    uint16_t id = head;

    for (uint32_t i = 0; i < count; i++) {
        const struct l4vio_descriptor *shadow = &queue->descriptors[id];
        uint32_t next = split_behind(queue, entry, 1);
        queue->slots[entry].u.descriptor.id = id;
        queue->slots[id].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        write_descriptor(&split_table(queue)[entry], shadow->address, shadow->length_bytes,
                         shadow->flags, next);
        entry = next;
        id = shadow->next;
    }
    hold(queue, first, count, writable_bytes);
}

static void *take_back(struct l4vio_queue *queue, uint16_t entry)
{
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    uint32_t entries = l4vio_slot_count(slot);
    bool descriptor_level = queue->descriptors != NULL;
    void *cookie = split_slot_cookie(slot, descriptor_level);

    if (descriptor_level)
        split_give_back_ids(queue, entry, entries);
    slot->link = 0;
    queue->extra_entries -= entries - 1u;
    return cookie;
}

const struct l4vio_ring_format l4vio_split_in_order = {
    .ops = {.add = add, .publish = l4vio_split_publish, .get_used = l4vio_split_in_order_get_used},
    .order_platform_ops = {.add = add,
                           .publish = l4vio_split_publish_platform,
                           .get_used = l4vio_split_in_order_get_used_platform},
    .initialize = initialize,
    .add_chain = add_chain,
    .get_used_chain = l4vio_split_in_order_get_used_chain,
    .wants_kick = l4vio_split_wants_kick,
    .has_used = l4vio_split_has_used,
    .has_used_many = l4vio_split_has_used_many,
    .set_interrupts = l4vio_split_set_interrupts,
    .device_disarmed = l4vio_split_device_disarmed,
    .kick_position = l4vio_split_kick_position,
    .used_position = l4vio_split_used_position,
    .forget_device = l4vio_split_forget_device,
    .take_back = take_back,
};
