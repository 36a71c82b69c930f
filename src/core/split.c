/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the split virtqueue (VIRTIO 1.4, section 2.7), requests coming back in any order.
 *
 * The links between descriptors are kept in the private slots, for free entries and for chains in
 * flight alike: adding a chain takes a run off the front of the free list, completing it puts the
 * run back, and no link is ever read from the ring (T1). Descriptors are written while their entries
 * are still free, so a request that turns out to be wrong half-way is just not taken.
 *
 * The free list ends in `size`, which is no entry: an empty one is noticed without a count.
 */
#include "core/split.h"
#include "core/bytes.h"
#include "core/indirect.h"

/*
 * Links of slots here. A request of one entry in flight has 0: with its writable size that is a number
 * of 64 bits that no used length is above, unless it is too long. All other slots have the bit LINK,
 * which makes it a negative number, the index of another entry below, and between these, if it is the
 * head of a longer chain in flight, its entries less one.
 */
#define LINK UINT32_C(0x80000000)

/* Of a slot that is the head of nothing in flight. Its first half, or of `free_head`. */
static inline uint32_t link_to(uint32_t entry)
{
    return LINK | entry;
}
static inline uint32_t linked(uint32_t link)
{
    return link & UINT16_MAX;
}

static inline uint32_t entries_of(const struct l4vio_queue_slot *slot)
{
    uint32_t above = (slot->link & ~LINK) >> 16;
    return slot->link == 0 || above ? above + 1u : 0;
}

/* Is this a request of one entry in flight, with at least so many writable bytes? */
static inline bool single_has(const struct l4vio_queue_slot *slot, uint32_t length_bytes)
{
#if __SIZEOF_POINTER__ >= 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    int64_t both;
    __builtin_memcpy(
        &both, (const unsigned char *)slot + offsetof(struct l4vio_queue_slot, writable_bytes),
        sizeof(both));
    return (int64_t)length_bytes <= both;
#else
    return slot->link == 0 && length_bytes <= slot->writable_bytes;
#endif
}

/* Makes it one. */
static inline void hold_single(struct l4vio_queue_slot *slot, uint32_t writable_bytes)
{
#if __SIZEOF_POINTER__ >= 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    int64_t both = writable_bytes;
    __builtin_memcpy((unsigned char *)slot + offsetof(struct l4vio_queue_slot, writable_bytes),
                     &both, sizeof(both));
#else
    slot->writable_bytes = writable_bytes;
    slot->link = 0;
#endif
}

static void initialize(struct l4vio_queue *queue)
{
    l4vio_split_initialize_areas(queue);
    for (uint32_t i = 0; i < queue->size; i++)
        queue->slots[i] = (struct l4vio_queue_slot){.link = link_to(i + 1u)};
    queue->free_head = link_to(0);
}

/* Where the writing of a chain has come to. */
struct cursor {
    struct virtq_desc *table;
    struct l4vio_queue_slot *slots;
    const struct l4vio_buffer *buffer;
    uint64_t total_bytes; /* Of all buffers so far. */
    uint32_t entry;       /* The next free entry. */
    uint32_t last;        /* The entry written last. */
};

__attribute__((always_inline)) static inline void write_descriptor(struct cursor *at,
                                                                   uint64_t address,
                                                                   uint32_t length_bytes,
                                                                   uint16_t flags)
{
    struct virtq_desc *desc = &at->table[at->entry];
    at->last = at->entry;
    at->entry = linked(at->slots[at->entry].link);
    l4vio_store64(&desc->addr, address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store16(&desc->flags, flags);
    l4vio_store16(&desc->next, (uint16_t)at->entry);
}

/* Buffers up to `end`, all of which go on. Returns false if there is an empty one. */
__attribute__((always_inline)) static inline bool write_buffers(struct cursor *at,
                                                                const struct l4vio_buffer *end,
                                                                uint16_t flags)
{
    for (; at->buffer != end; at->buffer++) {
        uint32_t length_bytes = at->buffer->length_bytes;
        if (length_bytes == 0)
            return false;
        write_descriptor(at, at->buffer->address, length_bytes, flags);
        at->total_bytes += length_bytes;
    }
    return true;
}

/* At least one buffer. Returns whether the request is valid, with the sum over the writable ones. */
__attribute__((always_inline)) static inline bool write_chain(struct cursor *at,
                                                              const struct l4vio_request *request,
                                                              uint32_t *writable_bytes)
{
    const struct l4vio_buffer *const writable = request->buffers + request->readable;
    const struct l4vio_buffer *const end = writable + request->writable;

    at->buffer = request->buffers;
    at->total_bytes = 0;
    if (!write_buffers(at, writable, VIRTQ_DESC_F_NEXT))
        return false;
    uint64_t readable_bytes = at->total_bytes;
    if (at->buffer != end) {
        if (!write_buffers(at, end, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE))
            return false;
        l4vio_store16(&at->table[at->last].flags, VIRTQ_DESC_F_WRITE);
    } else {
        l4vio_store16(&at->table[at->last].flags, 0);
    }
    *writable_bytes = (uint32_t)(at->total_bytes - readable_bytes);
    return at->total_bytes >> 32 == 0;
}

/*
 * Marks the chain that was written from `head` to the cursor as in flight. The head links to the last
 * entry and the last one to the second, so that a chain is put back without a walk.
 */
static inline void hold_chain(const struct cursor *at, uint32_t head, uint32_t entries,
                              uint32_t writable_bytes)
{
    struct l4vio_queue_slot *slot = &at->slots[head];
    slot->writable_bytes = writable_bytes;
    at->slots[at->last].link = slot->link;
    slot->link = entries == 1 ? 0 : link_to(at->last | (entries - 1u) << 16);
}

/* One descriptor that points to a table; as write_chain. */
static inline bool write_table(const struct l4vio_queue *queue, struct cursor *at,
                               const struct l4vio_request *request, uint32_t *writable_bytes)
{
    uint32_t table = at->entry;
    uint32_t buffers = (uint32_t)request->readable + request->writable;
    int64_t bytes = l4vio_indirect_write(queue, request, table);
    if (bytes < 0)
        return false;
    *writable_bytes = (uint32_t)bytes;
    write_descriptor(at, l4vio_indirect_address(queue, table), l4vio_indirect_bytes(buffers),
                     VIRTQ_DESC_F_INDIRECT);
    return true;
}

/* Requests of any number of buffers, from number `added` on. `tables` is a constant in both callers. */
__attribute__((always_inline)) static inline int add_by(struct l4vio_queue *queue,
                                                        const struct l4vio_request *requests,
                                                        unsigned added, unsigned count, bool tables)
{
    struct cursor at = {
        .table = queue->desc, .slots = queue->slots, .entry = linked(queue->free_head)};
    const struct l4vio_request *request = requests + added;
    const struct l4vio_request *const first = request;
    const struct l4vio_request *const end = requests + count;
    uint32_t room = l4vio_queue_room(queue);
    const uint32_t room_before = room;
    uint32_t head = at.entry;
    int refusal = L4VIO_OK;

    for (; request != end; request++) {
        uint32_t entries = (uint32_t)request->readable + request->writable;
        bool table = tables && l4vio_indirect_fits(queue, entries);
        if ((table ? 0 : entries - 1u) >= room) { /* No buffer is refused here too. */
            refusal = split_no_room(queue, entries);
            break;
        }
        uint32_t writable_bytes;
        if (table ? !write_table(queue, &at, request, &writable_bytes)
                  : !write_chain(&at, request, &writable_bytes)) {
            refusal = L4VIO_EINVAL;
            break;
        }
        if (table)
            entries = 1;
        hold_chain(&at, head, entries, writable_bytes);
        at.slots[head].u.cookie = request->cookie;
        split_make_available(queue, queue->avail_index, head);
        l4vio_advance(&queue->avail_index, 1);
        room -= entries;
        head = at.entry;
    }
    uint32_t done = (uint32_t)(request - first);
    queue->free_head = link_to(head);
    queue->extra_entries += room_before - room - done;
    added += done;
    return added ? (int)added : refusal;
}

__attribute__((noinline)) static int add_with_tables(struct l4vio_queue *queue,
                                                     const struct l4vio_request *requests,
                                                     unsigned added, unsigned count)
{
    return add_by(queue, requests, added, count, true);
}

/* The request that the straight path stopped at, and the rest. */
__attribute__((noinline)) static int add_any(struct l4vio_queue *queue,
                                             const struct l4vio_request *requests, unsigned added,
                                             unsigned count)
{
    if (queue->indirect.memory)
        return add_with_tables(queue, requests, added, count);
    return add_by(queue, requests, added, count, false);
}

/*
 * Where the straight path writes to the available ring: the loop walks it; a single request finds its
 * place when it is known to be needed.
 */
struct available {
    l4vio_le16 *at;
    bool walked; /* A constant in all callers: `at` is valid. */
};

/* Writes a request of one buffer: nothing to link, nothing to sum up. There is room for it. */
static inline bool write_single(const struct l4vio_queue *queue,
                                const struct l4vio_request *request, struct available available,
                                uint32_t *head, bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    const uint32_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    if (!available.walked)
        available.at = &split_avail_ring(queue)[split_place(queue, queue->avail_index)];
    l4vio_store16(available.at, (uint16_t)*head);
    struct virtq_desc *desc = &split_table(queue)[linked(*head)];
    struct l4vio_queue_slot *slot = &queue->slots[linked(*head)];
    /*
     * The link first: the next request waits for it, and a load just behind a store to the same place
     * in another page (the descriptor may be that) waits as well on some machines.
     */
    *head = slot->link;
    l4vio_store64(&desc->addr, buffer->address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store_flags_next(desc, writable ? VIRTQ_DESC_F_WRITE : 0, 0);
    slot->u.cookie = request->cookie;
    hold_single(slot, writable ? length_bytes : 0);
    return true;
}

/*
 * The straight path. Returns whether this is a request of one buffer; if not, nothing has happened,
 * and add_any finds out what it is. Each direction has its own copy of the code, without a branch.
 */
static inline bool add_single(const struct l4vio_queue *queue, const struct l4vio_request *request,
                              struct available available, uint32_t *head)
{
    if (request->readable == 0 && request->writable == 1)
        return write_single(queue, request, available, head, true);
    if (request->readable == 1 && request->writable == 0)
        return write_single(queue, request, available, head, false);
    return false;
}

/* From request number `added` on, up to the end of the ring; then, if that is not all, once more. */
__attribute__((noinline)) static int add_many(struct l4vio_queue *queue,
                                              const struct l4vio_request *requests, unsigned added,
                                              unsigned count)
{
    const struct l4vio_request *request = requests + added;
    const uint32_t place = split_place(queue, queue->avail_index);
    const uint32_t room = l4vio_queue_room(queue);
    uint32_t run = queue->size - place;
    if (run > count - added)
        run = count - added;
    if (run > room)
        run = room;
    struct available available = {.at = &split_avail_ring(queue)[place], .walked = true};
    const l4vio_le16 *const end = available.at + run;
    uint32_t head = queue->free_head;

    while (available.at != end && add_single(queue, request, available, &head)) {
        available.at++;
        request++;
    }
    uint32_t left = (uint32_t)(end - available.at);
    queue->free_head = head;
    l4vio_advance(&queue->avail_index, run - left);
    added += run - left;
    if (added == count)
        return (int)count;
    return left == 0 && run != room ? add_many(queue, requests, added, count)
                                    : add_any(queue, requests, added, count);
}

/* One request is done without a loop, so that nothing has to be saved for one. */
static int add(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count)
{
    if (count != 1)
        return add_many(queue, requests, 0, count);
    uint32_t head = queue->free_head;
    const struct available unknown = {.at = NULL, .walked = false};
    if (linked(head) > queue->mask || !add_single(queue, requests, unknown, &head))
        return add_any(queue, requests, 0, 1);
    queue->free_head = head;
    l4vio_advance(&queue->avail_index, 1);
    return 1;
}

static void add_chain(struct l4vio_queue *queue, uint16_t head, uint16_t count,
                      uint32_t writable_bytes)
{
    struct cursor at = {
        .table = queue->desc, .slots = queue->slots, .entry = linked(queue->free_head)};
    uint32_t first = at.entry;
    uint16_t id = head;

    for (uint32_t i = 0; i < count; i++) {
        const struct l4vio_descriptor *shadow = &queue->descriptors[id];
        queue->slots[at.entry].u.descriptor.id = id;
        queue->slots[id].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        write_descriptor(&at, shadow->address, shadow->length_bytes, shadow->flags);
        id = shadow->next;
    }
    hold_chain(&at, first, count, writable_bytes);
    split_make_available(queue, queue->avail_index, first);
    l4vio_advance(&queue->avail_index, 1);
    queue->free_head = link_to(at.entry);
    queue->extra_entries += count - 1u;
}

/* Puts the chain of a head, of so many entries, in front of the free list. */
static inline void put_back(struct l4vio_queue_slot *slots, struct l4vio_queue_slot *slot,
                            uint32_t entries, uint32_t free_head)
{
    if (entries == 1) {
        slot->link = free_head;
        return;
    }
    struct l4vio_queue_slot *last = &slots[linked(slot->link)];
    slot->link = last->link;
    last->link = free_head;
}

/* The ids of a chain that was put back become the caller's. */
static void give_back_ids(struct l4vio_queue_slot *slots, const struct l4vio_queue_slot *slot,
                          uint32_t entries)
{
    for (;; slot = &slots[linked(slot->link)]) {
        slots[slot->u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
        if (--entries == 0)
            return;
    }
}

/* Breaks the queue by an element that was refused; says what is wrong with it. */
static void break_by_element(struct l4vio_queue *queue, struct split_used_element used)
{
    if (used.id > queue->mask)
        l4vio_queue_break(queue, "used id out of range", used.id);
    else if (entries_of(&queue->slots[used.id]) == 0)
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
                                                          struct split_used_element used,
                                                          bool descriptor_level)
{
    const struct virtq_used_elem *ring = split_used_ring(queue);
    const uint32_t first = (uint32_t)queue->used_index;
    uint32_t free_head = queue->free_head;
    uint32_t taken = 0;
    uint32_t entries = 0;

    for (;; used = split_read_used(&ring[(first + taken) & queue->mask])) {
        struct l4vio_queue_slot *slot = &queue->slots[used.id & queue->mask];
        uint32_t chain = entries_of(slot);
        if (used.id > queue->mask || chain == 0)
            break;
        completion->length_bytes = used.length;
        if (used.length > slot->writable_bytes) {
            if (queue->strict)
                break;
            completion->length_bytes = slot->writable_bytes;
            l4vio_count(&queue->counters.clamped_lengths, 1);
        }
        completion->cookie = split_slot_cookie(slot, descriptor_level);
        completion++;
        put_back(queue->slots, slot, chain, free_head);
        if (descriptor_level)
            give_back_ids(queue->slots, slot, chain);
        entries += chain;
        free_head = link_to(used.id);
        if (++taken == count)
            break;
    }
    queue->free_head = free_head;
    queue->extra_entries -= entries - taken;
    l4vio_advance(&queue->used_index, taken);
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
    struct split_used_element used = {.id = id, .length = length};
    return take_any(queue, completions, before, count, used, false);
}

/*
 * The straight path: a request of one entry that comes back as it should. Returns whether it was; if
 * not, nothing has happened, and take_any finds out what it is, from what was read.
 */
static inline bool take_single(const struct l4vio_queue *queue, struct split_used_element used,
                               struct l4vio_completion *completion, uint32_t free_head)
{
    if (used.id > queue->mask)
        return false;
    struct l4vio_queue_slot *slot = &queue->slots[used.id & queue->mask];
    if (!single_has(slot, used.length))
        return false;
    completion->cookie = slot->u.cookie;
    completion->length_bytes = used.length;
    slot->link = free_head;
    return true;
}

/* `count` is not 0 and all of it is there. `before` as for take_any. */
__attribute__((noinline)) static int take_many(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions,
                                               uint32_t before, uint32_t count)
{
    const uint32_t place = split_place(queue, queue->used_index);
    uint32_t run = queue->size - place;
    if (run > count)
        run = count;
    const struct virtq_used_elem *element = &split_used_ring(queue)[place];
    const struct virtq_used_elem *const end = element + run;
    uint32_t free_head = queue->free_head;
    struct split_used_element used;

    do {
        used = split_read_used(element);
        if (!take_single(queue, used, completions, free_head))
            break;
        free_head = link_to(used.id);
        completions++;
    } while (++element != end);
    uint32_t left = (uint32_t)(end - element);
    uint32_t taken = run - left;
    queue->free_head = free_head;
    l4vio_advance(&queue->used_index, taken);
    if (taken == count)
        return (int)(before + taken);
    if (left != 0)
        return take_rest(queue, completions, before + taken, count - taken, used.id, used.length);
    return take_many(queue, completions, before + taken, count - taken);
}

/* How many there are, at most `max`: more than none and not just one, or something is wrong. */
__attribute__((noinline)) static int take_pending(struct l4vio_queue *queue,
                                                  struct l4vio_completion *completions,
                                                  unsigned max, uint32_t device_index)
{
    uint32_t pending = (uint16_t)(device_index - queue->used_index);
    if (split_runs_ahead(queue, pending))
        return l4vio_split_break_by_index(queue, (uint16_t)device_index);
    if (max < pending)
        pending = max;
    return pending ? take_many(queue, completions, 0, pending) : 0;
}

/*
 * One completion where all that was published is done, so that nothing can run ahead, has a path
 * without a loop.
 */
static inline int get_used_by(struct l4vio_queue *queue, struct l4vio_completion *completions,
                              unsigned max, bool platform)
{
    const struct virtq_used *used_area = split_used(queue);
    uint16_t device_index = split_load_used_index(queue, platform);
    if (max != 1 || device_index != (uint16_t)queue->published_index)
        return take_pending(queue, completions, max, device_index);
    if (queue->used_index == queue->published_index)
        return 0;

    struct split_used_element used =
        split_read_used(&split_elements(used_area)[split_place(queue, queue->used_index)]);
    if (!take_single(queue, used, completions, queue->free_head))
        return take_rest(queue, completions, 0, 1, used.id, used.length);
    queue->free_head = link_to(used.id);
    l4vio_advance(&queue->used_index, 1);
    return 1;
}

static int get_used(struct l4vio_queue *queue, struct l4vio_completion *completions, unsigned max)
{
    return get_used_by(queue, completions, max, false);
}

static int get_used_platform(struct l4vio_queue *queue, struct l4vio_completion *completions,
                             unsigned max)
{
    return get_used_by(queue, completions, max, true);
}

static int get_used_chain(struct l4vio_queue *queue, struct l4vio_completion *completion)
{
    uint16_t device_index = split_load_used_index(queue, queue->order_platform);
    uint32_t pending = (uint16_t)(device_index - queue->used_index);
    if (split_runs_ahead(queue, pending))
        return l4vio_split_break_by_index(queue, device_index);
    if (pending == 0)
        return 0;
    struct split_used_element used =
        split_read_used(&split_used_ring(queue)[split_place(queue, queue->used_index)]);
    return take_any(queue, completion, 0, 1, used, true);
}

static uint32_t entries_at(const struct l4vio_queue *queue, uint16_t entry)
{
    return entries_of(&queue->slots[entry]);
}

static void *take_back(struct l4vio_queue *queue, uint16_t entry)
{
    bool descriptor_level = queue->descriptors != NULL;
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    void *cookie = split_slot_cookie(slot, descriptor_level);

    uint32_t entries = entries_of(slot);

    put_back(queue->slots, slot, entries, queue->free_head);
    if (descriptor_level)
        give_back_ids(queue->slots, slot, entries);
    queue->free_head = link_to(entry);
    queue->extra_entries -= entries - 1u;
    return cookie;
}

const struct l4vio_ring_format l4vio_split = {
    .ops = {.add = add, .publish = l4vio_split_publish, .get_used = get_used},
    .order_platform_ops = {.add = add,
                           .publish = l4vio_split_publish_platform,
                           .get_used = get_used_platform},
    .initialize = initialize,
    .add_chain = add_chain,
    .get_used_chain = get_used_chain,
    .wants_kick = l4vio_split_wants_kick,
    .has_used = l4vio_split_has_used,
    .has_used_many = l4vio_split_has_used_many,
    .set_interrupts = l4vio_split_set_interrupts,
    .device_disarmed = l4vio_split_device_disarmed,
    .kick_position = l4vio_split_kick_position,
    .used_position = l4vio_split_used_position,
    .forget_device = l4vio_split_forget_device,
    .entries_at = entries_at,
    .take_back = take_back,
};
