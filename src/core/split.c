/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the split virtqueue (VIRTIO 1.4, section 2.7).
 *
 * The links between descriptors are kept in the private slots, for free entries and for chains in
 * flight alike: adding a chain takes a run off the front of the free list, completing it puts the
 * run back, and no link is ever read from the ring (T1). Descriptors are written while their entries
 * are still free, so a request that turns out to be wrong half-way is just not taken.
 */
#include "core/ring_format.h"

#include "core/ordering.h"

static inline struct virtq_desc *table_of(const struct l4vio_queue *queue)
{
    return queue->desc;
}

static inline struct virtq_avail *avail_of(const struct l4vio_queue *queue)
{
    return queue->avail;
}

static inline const struct virtq_used *used_of(const struct l4vio_queue *queue)
{
    return queue->used;
}

static inline l4vio_le16 *avail_ring(const struct l4vio_queue *queue)
{
    return (l4vio_le16 *)(void *)(avail_of(queue) + 1);
}

static inline const struct virtq_used_elem *used_ring(const struct l4vio_queue *queue)
{
    return (const struct virtq_used_elem *)(const void *)(used_of(queue) + 1);
}

static void clear16(l4vio_le16 *to, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        l4vio_store16(&to[i], 0);
}

static void initialize(struct l4vio_queue *queue)
{
    const uint16_t size = queue->size;

    for (uint32_t i = 0; i < size; i++) {
        l4vio_store64(&table_of(queue)[i].addr, 0);
        l4vio_store32(&table_of(queue)[i].len, 0);
        clear16(&table_of(queue)[i].flags, 2);
        queue->slots[i] = (struct l4vio_queue_slot){.link = l4vio_slot_link(i + 1u, 0)};
    }
    /* The device's area too, while the device does not know it (clause D-2.7.10.1-1). */
    clear16((l4vio_le16 *)queue->avail, l4vio_virtqueue_avail_bytes(size) / sizeof(l4vio_le16));
    clear16((l4vio_le16 *)(uintptr_t)queue->used,
            l4vio_virtqueue_used_bytes(size) / sizeof(l4vio_le16));
    queue->free_head = 0;
}

static inline void make_available(const struct l4vio_queue *queue, uint32_t index, uint32_t head)
{
    l4vio_store16(&avail_ring(queue)[index & queue->mask], (uint16_t)head);
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
    uint32_t next = l4vio_slot_next(&at->slots[at->entry]);

    l4vio_store64(&desc->addr, address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store16(&desc->flags, flags);
    l4vio_store16(&desc->next, (uint16_t)next);
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

/* Requests of any number of buffers: the one that the straight path stopped at, and the rest. */
__attribute__((noinline)) static int add_any(struct l4vio_queue *queue,
                                             const struct l4vio_request *requests, unsigned added,
                                             unsigned count)
{
    struct l4vio_queue_slot *slots = queue->slots;
    struct cursor at = {.desc = queue->desc, .slots = slots, .entry = queue->free_head};
    uint32_t avail_index = (uint32_t)queue->avail_index;
    const uint32_t first_index = avail_index;
    uint32_t free_count = l4vio_queue_room(queue);
    uint32_t extra_entries = queue->extra_entries;
    uint32_t head = at.entry;
    const struct l4vio_request *request = requests + added;
    int refusal = L4VIO_OK;

    for (; added != count; added++, request++) {
        uint32_t entries = (uint32_t)request->readable + request->writable;
        if (entries - 1u >= free_count) { /* 0 is refused here too. */
            refusal = no_room(queue, entries);
            break;
        }
        int64_t writable_bytes = write_request(&at, request);
        if (writable_bytes < 0) {
            refusal = L4VIO_EINVAL;
            break;
        }
        struct l4vio_queue_slot *slot = &slots[head];
        slot->u.cookie = request->cookie;
        slot->writable_bytes = (uint32_t)writable_bytes;
        slot->link = l4vio_slot_link(l4vio_slot_next(slot), entries);
        make_available(queue, avail_index++, head);
        free_count -= entries;
        extra_entries += entries - 1u;
        head = at.entry;
    }
    queue->free_head = head;
    l4vio_advance(&queue->avail_index, avail_index - first_index);
    queue->extra_entries = extra_entries;
    return added ? (int)added : refusal;
}

/* Writes a request of one buffer: nothing to link, nothing to sum up. There is room for it. */
static inline bool write_single(const struct l4vio_queue *queue,
                                const struct l4vio_request *request, uint32_t index, uint32_t *head,
                                bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    uint32_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    make_available(queue, index, *head);
    struct virtq_desc *desc = &table_of(queue)[*head];
    struct l4vio_queue_slot *slot = &queue->slots[*head];
    /*
     * The link first: the next request waits for it, and a load just behind a store to the same place
     * in another page (the descriptor may be that) waits as well on some machines.
     */
    *head = l4vio_slot_next(slot);
    slot->link = l4vio_slot_link(*head, 1);

    l4vio_store64(&desc->addr, buffer->address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store16(&desc->flags, writable ? VIRTQ_DESC_F_WRITE : 0);
    slot->u.cookie = request->cookie;
    slot->writable_bytes = writable ? length_bytes : 0;
    return true;
}

/*
 * The straight path. Returns whether this is a request of one buffer; if not, nothing has happened,
 * and add_any finds out what it is. Each direction has its own copy of the code, without a branch.
 */
static inline bool add_single(const struct l4vio_queue *queue, const struct l4vio_request *request,
                              uint32_t index, uint32_t *head)
{
    if (request->readable == 0 && request->writable == 1)
        return write_single(queue, request, index, head, true);
    if (request->readable == 1 && request->writable == 0)
        return write_single(queue, request, index, head, false);
    return false;
}

static inline void commit_added(struct l4vio_queue *queue, uint32_t added, uint32_t head)
{
    queue->free_head = head;
    l4vio_advance(&queue->avail_index, added);
}

__attribute__((noinline)) static int add_many(struct l4vio_queue *queue,
                                              const struct l4vio_request *requests, unsigned count)
{
    const struct l4vio_request *request = requests;
    uint32_t room = l4vio_queue_room(queue);
    if (count < room)
        room = count;
    uint32_t index = (uint32_t)queue->avail_index;
    const uint32_t end = index + room;
    uint32_t head = queue->free_head;

    while (index != end && add_single(queue, request, index, &head)) {
        index++;
        request++;
    }
    unsigned added = room - (end - index);
    commit_added(queue, added, head);
    return added == count ? (int)count : add_any(queue, requests, added, count);
}

/* One request is done without a loop, so that nothing has to be saved for one. */
static int add(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count)
{
    if (count != 1)
        return add_many(queue, requests, count);
    uint32_t head = queue->free_head;
    if (head > queue->mask || !add_single(queue, requests, (uint32_t)queue->avail_index, &head))
        return add_any(queue, requests, 0, 1);
    commit_added(queue, 1, head);
    return 1;
}

static void add_chain(struct l4vio_queue *queue, uint16_t head, uint16_t count,
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
    slots[first].link = l4vio_slot_link(l4vio_slot_next(&slots[first]), count);
    make_available(queue, (uint32_t)queue->avail_index, first);

    l4vio_advance(&queue->avail_index, 1);
    queue->free_head = at.entry;
    queue->extra_entries += count - 1u;
}

/*
 * Puts the chain of a head in front of the free list; at the descriptor level its ids become the
 * caller's on the way.
 */
static inline void put_back(struct l4vio_queue_slot *slots, struct l4vio_queue_slot *slot,
                            uint32_t free_head, bool descriptor_level)
{
    uint32_t left = l4vio_slot_count(slot);
    slot->link = l4vio_slot_next(slot); /* The head of a chain in flight no more. */
    for (;;) {
        if (descriptor_level)
            slots[slot->u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
        if (--left == 0)
            break;
        slot = &slots[slot->link];
    }
    slot->link = free_head;
}

static inline void *slot_cookie(const struct l4vio_queue_slot *slot, bool descriptor_level)
{
    return descriptor_level ? (void *)(uintptr_t)slot->u.descriptor.id : slot->u.cookie;
}

/* What is not published yet is not the device's to complete. */
static inline bool runs_ahead(const struct l4vio_queue *queue, uint16_t device_index)
{
    return (uint16_t)(device_index - queue->used_index) >
           (uint16_t)(queue->published_index - queue->used_index);
}

static int break_by_index(struct l4vio_queue *queue, uint16_t device_index)
{
    return l4vio_queue_break(queue, "used index ahead of what is in flight", device_index);
}

/* What the device wrote, in private: read once. */
struct used {
    uint32_t id;
    uint32_t length;
};

/* The one place that reads elements of the used ring. */
static inline struct used read_used(const struct virtq_used_elem *ring, uint32_t slot)
{
    const struct virtq_used_elem *element = &ring[slot];
    struct used used = {.id = l4vio_load32(&element->id), .length = l4vio_load32(&element->len)};
    return used;
}

/* So many are taken; the slots say the rest. */
static inline void commit_used(struct l4vio_queue *queue, uint32_t taken, uint32_t free_head,
                               uint32_t entries)
{
    queue->free_head = free_head;
    l4vio_advance(&queue->used_index, taken);
    if (entries != taken)
        queue->extra_entries -= entries - taken;
}

/* Breaks the queue by an element that was refused; says what is wrong with it. */
static void break_by_element(struct l4vio_queue *queue, struct used used)
{
    if (used.id > queue->mask)
        l4vio_queue_break(queue, "used id out of range", used.id);
    else if (l4vio_slot_count(&queue->slots[used.id]) == 0)
        l4vio_queue_break(queue, "used id not in flight", used.id);
    else
        l4vio_queue_break(queue, "used length above the writable size", used.length);
}

/*
 * Takes `count` elements, at least one, of which the first is read already. All checks, and for both
 * levels (the flag is a constant in both callers). `before` have been taken by the same call. An id
 * is masked besides, so that not even a mispredicted check looks outside the slots.
 */
__attribute__((always_inline)) static inline int take_any(struct l4vio_queue *queue,
                                                          struct l4vio_completion *completion,
                                                          uint32_t before, uint32_t count,
                                                          struct used used, bool descriptor_level)
{
    const struct virtq_used_elem *ring = used_ring(queue);
    const uint32_t first_index = (uint32_t)queue->used_index;
    uint32_t free_head = queue->free_head;
    uint32_t index = first_index;
    uint32_t entries = 0;

    for (;; used = read_used(ring, index & queue->mask)) {
        struct l4vio_queue_slot *slot = &queue->slots[used.id & queue->mask];
        uint32_t chain = l4vio_slot_count(slot);
        if (used.id > queue->mask || chain == 0)
            break;
        completion->length_bytes = used.length;
        if (used.length > slot->writable_bytes) {
            if (queue->strict)
                break;
            completion->length_bytes = slot->writable_bytes;
            l4vio_count(&queue->counters.clamped_lengths, 1);
        }
        completion->cookie = slot_cookie(slot, descriptor_level);
        completion++;
        put_back(queue->slots, slot, free_head, descriptor_level);
        entries += chain;
        free_head = used.id;
        if (++index == first_index + count)
            break;
    }
    uint32_t taken = index - first_index;
    commit_used(queue, taken, free_head, entries);
    if (taken != count)
        break_by_element(queue, used);
    taken += before;
    return taken ? (int)taken : queue->broken;
}

__attribute__((noinline)) static int take_rest(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions,
                                               uint32_t before, uint32_t count, uint32_t id,
                                               uint32_t length)
{
    struct used used = {.id = id, .length = length};
    return take_any(queue, completions, before, count, used, false);
}

/*
 * The straight path: a request of one buffer that comes back as it should. Returns whether it was; if
 * not, nothing has happened, and take_any finds out what it is, from what was read.
 */
static inline bool take_single(const struct l4vio_queue *queue, struct used used,
                               struct l4vio_completion *completion, uint32_t free_head)
{
    struct l4vio_queue_slot *slot = &queue->slots[used.id & queue->mask];
    if (used.id > queue->mask || l4vio_slot_count(slot) != 1 || used.length > slot->writable_bytes)
        return false;
    completion->cookie = slot->u.cookie;
    completion->length_bytes = used.length;
    slot->link = free_head;
    return true;
}

/* `count` is not 0. */
__attribute__((noinline)) static int take_many(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions, uint32_t count)
{
    uint32_t free_head = queue->free_head;
    uint32_t index = (uint32_t)queue->used_index;
    const uint32_t end = index + count;
    const struct virtq_used_elem *ring = used_ring(queue);
    struct used used;

    do {
        used = read_used(ring, index & queue->mask);
        if (!take_single(queue, used, completions, free_head))
            break;
        free_head = used.id;
        completions++;
    } while (++index != end);
    uint32_t left = end - index;
    commit_used(queue, count - left, free_head, count - left);
    if (left == 0)
        return (int)count;
    return take_rest(queue, completions, count - left, left, used.id, used.length);
}

static int get_used(struct l4vio_queue *queue, struct l4vio_completion *completions, unsigned max)
{
    uint16_t device_index = l4vio_load16_acquire(&used_of(queue)->idx);
    uint32_t index = (uint32_t)queue->used_index;
    uint32_t pending = (uint16_t)(device_index - index);
    if (runs_ahead(queue, device_index))
        return break_by_index(queue, device_index);
    if (max < pending)
        pending = max;
    if (pending == 0)
        return 0;
    if (pending != 1)
        return take_many(queue, completions, pending);

    struct used used = read_used(used_ring(queue), index & queue->mask);
    if (!take_single(queue, used, completions, queue->free_head))
        return take_rest(queue, completions, 0, 1, used.id, used.length);
    commit_used(queue, 1, used.id, 1);
    return 1;
}

static int get_used_chain(struct l4vio_queue *queue, struct l4vio_completion *completion)
{
    uint16_t device_index = l4vio_load16_acquire(&used_of(queue)->idx);
    if (runs_ahead(queue, device_index))
        return break_by_index(queue, device_index);
    if (device_index == (uint16_t)queue->used_index)
        return 0;
    return take_any(queue, completion, 0, 1,
                    read_used(used_ring(queue), (uint32_t)queue->used_index & queue->mask), true);
}

static bool has_used(const struct l4vio_queue *queue)
{
    return l4vio_load16_acquire(&used_of(queue)->idx) != (uint16_t)queue->used_index;
}

static bool has_used_many(const struct l4vio_queue *queue, unsigned completions)
{
    uint16_t pending = (uint16_t)(l4vio_load16_acquire(&used_of(queue)->idx) - queue->used_index);
    return pending >= completions;
}

static void set_interrupts(struct l4vio_queue *queue, unsigned completions)
{
    l4vio_store16(&avail_of(queue)->flags,
                  completions ? UINT16_C(0) : (uint16_t)VIRTQ_AVAIL_F_NO_INTERRUPT);
}

/* Low 15 bits are the place, bit 15 counts as the round (section 2.9). */
static uint16_t kick_position(const struct l4vio_queue *queue)
{
    return (uint16_t)queue->published_index;
}

static bool device_disarmed(const struct l4vio_queue *queue)
{
    return (l4vio_load16(&used_of(queue)->flags) & VIRTQ_USED_F_NO_NOTIFY) != 0;
}

static bool wants_kick(const struct l4vio_queue *queue)
{
    return !device_disarmed(queue);
}

static void *take_back(struct l4vio_queue *queue, uint16_t entry)
{
    bool descriptor_level = queue->descriptors != NULL;
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    void *cookie = slot_cookie(slot, descriptor_level);

    queue->extra_entries -= l4vio_slot_count(slot) - 1u;
    put_back(queue->slots, slot, queue->free_head, descriptor_level);
    queue->free_head = entry;
    return cookie;
}

static void publish(struct l4vio_queue *queue)
{
    uint64_t index = queue->avail_index;
    if (index == queue->published_index)
        return;

    l4vio_store16_release(&avail_of(queue)->idx, (uint16_t)index);
    queue->published_index = index;
}

const struct l4vio_ring_format l4vio_split = {
    .ops = {.add = add, .publish = publish, .get_used = get_used},
    .initialize = initialize,
    .add_chain = add_chain,
    .get_used_chain = get_used_chain,
    .wants_kick = wants_kick,
    .has_used = has_used,
    .has_used_many = has_used_many,
    .set_interrupts = set_interrupts,
    .device_disarmed = device_disarmed,
    .kick_position = kick_position,
    .take_back = take_back,
};
