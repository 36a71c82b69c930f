/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the split virtqueue (VIRTIO 1.4, section 2.7).
 *
 * The links between descriptors are kept in the private slots, for free entries and for chains in
 * flight alike: adding a chain takes a run off the front of the free list, completing it puts the
 * run back, and no link is ever read from the ring (T1). Descriptors are written while their entries
 * are still free, so a request that turns out to be wrong half-way is just not taken.
 */
#include "core/split.h"

#include "core/ordering.h"

static inline l4vio_le16 *avail_ring(const struct l4vio_queue *queue)
{
    return (l4vio_le16 *)(void *)(queue->avail + 1);
}

static inline const struct virtq_used_elem *used_ring(const struct l4vio_queue *queue)
{
    return (const struct virtq_used_elem *)(const void *)(queue->used + 1);
}

static void clear16(l4vio_le16 *to, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        l4vio_store16(&to[i], 0);
}

void l4vio_split_initialize(struct l4vio_queue *queue)
{
    const uint16_t size = queue->size;

    for (uint32_t i = 0; i < size; i++) {
        l4vio_store64(&queue->desc[i].addr, 0);
        l4vio_store32(&queue->desc[i].len, 0);
        clear16(&queue->desc[i].flags, 2);
        queue->slots[i] =
            (struct l4vio_queue_slot){.next = (uint16_t)(i + 1u), .writable_bytes = 0, .count = 0};
    }
    /* The device's area too, while the device does not know it (clause D-2.7.10.1-1). */
    clear16((l4vio_le16 *)queue->avail, l4vio_virtqueue_avail_bytes(size) / sizeof(l4vio_le16));
    clear16((l4vio_le16 *)(uintptr_t)queue->used,
            l4vio_virtqueue_used_bytes(size) / sizeof(l4vio_le16));

    queue->avail_index = 0;
    queue->published_index = 0;
    queue->kick_index = 0;
    queue->used_index = 0;
    queue->free_head = 0;
    queue->free_count = size;
    queue->in_flight = 0;
    queue->interrupts_off = false;
}

/* Where the writing of a chain has come to. */
struct cursor {
    struct virtq_desc *desc;
    const struct l4vio_queue_slot *slots;
    uint32_t entry;          /* The next free entry. */
    struct virtq_desc *last; /* The descriptor written last. */
    uint64_t total_bytes;    /* Of all buffers so far. */
};

static inline void write_descriptor(struct cursor *at, uint64_t address, uint32_t length_bytes,
                                    uint16_t flags)
{
    struct virtq_desc *desc = &at->desc[at->entry];
    uint16_t next = at->slots[at->entry].next;

    l4vio_store64(&desc->addr, address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store16(&desc->flags, flags);
    l4vio_store16(&desc->next, next);
    at->last = desc;
    at->entry = next;
    at->total_bytes += length_bytes;
}

/* At least one buffer. Returns the one behind the last, NULL if there is an empty one. */
static inline const struct l4vio_buffer *write_buffers(struct cursor *at,
                                                       const struct l4vio_buffer *buffer,
                                                       uint32_t count, uint16_t flags)
{
    do {
        if (buffer->length_bytes == 0)
            return NULL;
        write_descriptor(at, buffer->address, buffer->length_bytes, flags);
        buffer++;
    } while (--count != 0);
    return buffer;
}

/* The sum over the writable buffers, or less than 0 if the request is not valid. */
static inline int64_t write_request(struct cursor *at, const struct l4vio_request *request)
{
    const struct l4vio_buffer *buffer = request->buffers;
    uint32_t readable = request->readable;
    uint32_t writable = request->writable;

    at->total_bytes = 0;
    if (readable) {
        buffer = write_buffers(at, buffer, readable, VIRTQ_DESC_F_NEXT);
        if (!buffer)
            return -1;
    }
    uint64_t readable_bytes = at->total_bytes;
    if (writable) {
        buffer = write_buffers(at, buffer, writable, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
        if (!buffer)
            return -1;
        l4vio_store16(&at->last->flags, VIRTQ_DESC_F_WRITE);
    } else {
        l4vio_store16(&at->last->flags, 0);
    }
    if (at->total_bytes >> 32)
        return -1;
    return (int64_t)(at->total_bytes - readable_bytes);
}

/* Why a request of so many entries is not taken now. */
static int no_room(const struct l4vio_queue *queue, uint32_t entries)
{
    if (entries == 0)
        return L4VIO_EINVAL;
    return entries > queue->size ? L4VIO_E2BIG : L4VIO_EAGAIN;
}

int l4vio_split_add(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count)
{
    const uint32_t mask = queue->size - 1u;
    const uint16_t first_index = queue->avail_index;
    struct l4vio_queue_slot *slots = queue->slots;
    l4vio_le16 *ring = avail_ring(queue);
    uint32_t avail_index = first_index;
    uint32_t free_count = queue->free_count;
    struct cursor at = {.desc = queue->desc, .slots = slots, .entry = queue->free_head};
    uint32_t head = at.entry;
    int refusal = L4VIO_OK;

    for (const struct l4vio_request *end = requests + count; requests != end; requests++) {
        uint32_t entries = (uint32_t)requests->readable + requests->writable;
        if (entries - 1u >= free_count) { /* 0 is refused here too. */
            refusal = no_room(queue, entries);
            break;
        }
        int64_t writable_bytes = write_request(&at, requests);
        if (writable_bytes < 0) {
            refusal = L4VIO_EINVAL;
            break;
        }
        slots[head].u.cookie = requests->cookie;
        slots[head].writable_bytes = (uint32_t)writable_bytes;
        slots[head].count = (uint16_t)entries;
        l4vio_store16(&ring[avail_index & mask], (uint16_t)head);
        avail_index++;
        free_count -= entries;
        head = at.entry;
    }
    uint16_t added = (uint16_t)(avail_index - first_index);
    queue->avail_index = (uint16_t)avail_index;
    queue->free_count = (uint16_t)free_count;
    queue->free_head = (uint16_t)head;
    queue->in_flight = (uint16_t)(queue->in_flight + added);
    return added ? added : refusal;
}

void l4vio_split_add_chain(struct l4vio_queue *queue, uint16_t head, uint16_t count,
                           uint32_t writable_bytes)
{
    struct l4vio_queue_slot *slots = queue->slots;
    struct cursor at = {.desc = queue->desc, .slots = slots, .entry = queue->free_head};
    uint32_t first = at.entry;
    uint16_t id = head;

    for (uint32_t i = 0; i < count; i++) {
        const struct l4vio_descriptor *shadow = &queue->descriptors[id];
        slots[at.entry].u.descriptor.id = id;
        slots[id].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        write_descriptor(&at, shadow->address, shadow->length_bytes, shadow->flags);
        id = shadow->next;
    }
    slots[first].writable_bytes = writable_bytes;
    slots[first].count = count;
    l4vio_store16(&avail_ring(queue)[queue->avail_index & (queue->size - 1u)], (uint16_t)first);

    queue->avail_index++;
    queue->free_head = (uint16_t)at.entry;
    queue->free_count = (uint16_t)(queue->free_count - count);
    queue->in_flight++;
}

void l4vio_split_publish(struct l4vio_queue *queue)
{
    l4vio_store16_release(&queue->avail->idx, queue->avail_index);
}

bool l4vio_split_wants_kick(const struct l4vio_queue *queue)
{
    return !l4vio_split_device_disarmed(queue);
}

/* The last entry of a chain; at the descriptor level its ids become the caller's on the way. */
static inline struct l4vio_queue_slot *release_entries(struct l4vio_queue_slot *slots,
                                                       struct l4vio_queue_slot *slot,
                                                       bool descriptor_level)
{
    for (uint32_t left = slot->count;;) {
        if (descriptor_level)
            slots[slot->u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
        if (--left == 0)
            return slot;
        slot = &slots[slot->next];
    }
}

static inline void *slot_cookie(const struct l4vio_queue_slot *slot, bool descriptor_level)
{
    return descriptor_level ? (void *)(uintptr_t)slot->u.descriptor.id : slot->u.cookie;
}

/* What is wrong with an id that was refused. */
static void break_by_id(struct l4vio_queue *queue, uint32_t id)
{
    if (id >= queue->size)
        l4vio_queue_break(queue, "used id out of range", id);
    else
        l4vio_queue_break(queue, "used id not in flight", id);
}

/* A length above the writable size: the length to report, or less than 0 if it broke the queue. */
static int64_t clamp_length(struct l4vio_queue *queue, uint32_t length, uint32_t writable_bytes)
{
    if (queue->strict) {
        l4vio_queue_break(queue, "used length above the writable size", length);
        return -1;
    }
    l4vio_count(&queue->counters.clamped_lengths, 1);
    return writable_bytes;
}

/*
 * The one place that reads the used ring, for both levels (the flag is a constant in both callers).
 * Everything the device wrote is read once, into a local, and checked before it is used.
 */
__attribute__((always_inline)) static inline int take_used(struct l4vio_queue *queue,
                                                           struct l4vio_completion *completions,
                                                           unsigned max, bool descriptor_level)
{
    const uint32_t mask = queue->size - 1u;
    const struct virtq_used_elem *ring = used_ring(queue);
    struct l4vio_queue_slot *slots = queue->slots;
    const uint16_t first_index = queue->used_index;
    uint16_t device_index = l4vio_load16_acquire(&queue->used->idx);
    uint32_t pending = (uint16_t)(device_index - first_index);
    /* What is not published yet is not the device's to complete. */
    uint32_t unpublished = (uint16_t)(queue->avail_index - queue->published_index);

    if (pending + unpublished > queue->in_flight)
        return l4vio_queue_break(queue, "used index ahead of what is in flight", device_index);

    uint32_t used_index = first_index;
    uint32_t end_index = first_index + (max < pending ? max : pending);
    uint32_t free_head = queue->free_head;
    uint32_t free_count = queue->free_count;
    for (; used_index != end_index; used_index++, completions++) {
        const struct virtq_used_elem *element = &ring[used_index & mask];
        uint32_t id = l4vio_load32(&element->id);
        uint32_t length = l4vio_load32(&element->len);
        struct l4vio_queue_slot *slot = &slots[id & mask];
        uint32_t count = slot->count;

        if (id > mask || count == 0) {
            break_by_id(queue, id);
            break;
        }
        if (length > slot->writable_bytes) {
            int64_t clamped = clamp_length(queue, length, slot->writable_bytes);
            if (clamped < 0)
                break;
            length = (uint32_t)clamped;
        }
        completions->cookie = slot_cookie(slot, descriptor_level);
        completions->length_bytes = length;

        release_entries(slots, slot, descriptor_level)->next = (uint16_t)free_head;
        slot->count = 0;
        free_head = id;
        free_count += count;
    }
    uint16_t taken = (uint16_t)(used_index - first_index);
    queue->used_index = (uint16_t)used_index;
    queue->free_head = (uint16_t)free_head;
    queue->free_count = (uint16_t)free_count;
    queue->in_flight = (uint16_t)(queue->in_flight - taken);
    l4vio_count(&queue->counters.completed, taken);
    return taken ? taken : queue->broken;
}

int l4vio_split_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                         unsigned max)
{
    return take_used(queue, completions, max, false);
}

int l4vio_split_get_used_chain(struct l4vio_queue *queue, struct l4vio_completion *completion)
{
    return take_used(queue, completion, 1, true);
}

bool l4vio_split_has_used(const struct l4vio_queue *queue)
{
    return l4vio_load16_acquire(&queue->used->idx) != queue->used_index;
}

void l4vio_split_set_interrupts(struct l4vio_queue *queue, bool on)
{
    l4vio_store16(&queue->avail->flags, on ? UINT16_C(0) : (uint16_t)VIRTQ_AVAIL_F_NO_INTERRUPT);
}

bool l4vio_split_device_disarmed(const struct l4vio_queue *queue)
{
    return (l4vio_load16(&queue->used->flags) & VIRTQ_USED_F_NO_NOTIFY) != 0;
}

void *l4vio_split_take_back(struct l4vio_queue *queue, uint16_t entry)
{
    bool descriptor_level = queue->descriptors != NULL;
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    void *cookie = slot_cookie(slot, descriptor_level);

    release_entries(queue->slots, slot, descriptor_level)->next = queue->free_head;
    queue->free_head = entry;
    queue->free_count = (uint16_t)(queue->free_count + slot->count);
    queue->in_flight--;
    slot->count = 0;
    return cookie;
}
