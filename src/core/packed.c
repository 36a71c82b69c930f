/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the packed virtqueue, completions in any order (VIRTIO 1.4, section 2.8).
 *
 * A buffer id is the index of a private slot. Free ids are a list through the slots; a slot in flight
 * says how many entries of the ring its request has, which is all that the driver needs to follow the
 * device through the ring: the device writes used descriptors at places of its own counting.
 *
 * At the descriptor level a chain takes one slot per descriptor, so that each private id has a place.
 *
 * The ids of requests that are not published are the list from the held one on, which ends in the free
 * list. Before a completion is taken while there are such requests, they are made to look as if not in
 * flight (hide_held), until they are published.
 */
#include "core/packed_lists.h"

/* In the upper half of a slot's link, above the number of entries. 32768 of them are never hidden. */
#define HIDDEN UINT32_C(0x8000)

static void initialize(struct l4vio_queue *queue)
{
    for (uint32_t i = 0; i < queue->size; i++)
        queue->slots[i] = (struct l4vio_queue_slot){.link = l4vio_slot_link(i + 1u, 0)};
    l4vio_packed_initialize(queue);
}

/* Requests of any shape: the one that the straight path stopped at, and the rest. */
__attribute__((noinline)) static int add_any(struct l4vio_queue *queue,
                                             const struct l4vio_request *requests, unsigned added,
                                             unsigned count)
{
    int result = L4VIO_OK;

    while (added != count) {
        if (packed_is_held(queue) && !packed_fits_table(queue, &requests[added])) {
            added += packed_add_lists(queue, requests + added, count - added, false);
            if (added == count)
                break;
        }
        const struct l4vio_request *request = &requests[added];
        uint32_t end = queue->next_avail;
        uint32_t id = queue->free_head;
        struct packed_request written;
        result = l4vio_packed_write(queue, request, id, &end, &written);
        if (result < 0)
            break;

        struct l4vio_queue_slot *slot = &queue->slots[id];
        queue->free_head = l4vio_slot_next(slot);
        slot->u.cookie = request->cookie;
        slot->writable_bytes = written.writable_bytes;
        slot->link = l4vio_slot_link(l4vio_slot_next(slot), written.entries);
        packed_put_first(queue, packed_place(queue->next_avail), written.first);
        queue->next_avail = end;
        packed_count_added(queue, written.entries);
        added++;
    }
    return added ? (int)added : result;
}

/* Writes a request of one buffer but for its word. There is a place for it, and `*id`, which then is
 * the next free one. `flags` is the word of a writable one without
 * length and id. */
static inline bool write_single(struct virtq_packed_desc *desc, struct l4vio_queue_slot *slots,
                                uint32_t *id, const struct l4vio_request *request, uint64_t flags,
                                uint64_t *word, bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    uint64_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    struct l4vio_queue_slot *slot = &slots[*id];
    *word = flags + ((uint64_t)*id << 32) + length_bytes;
    if (!writable)
        *word -= (uint64_t)PACKED_WRITE << 32;
    /* The link first: the next request waits for it. A free slot has no entries. */
    *id = slot->link;
    slot->link = *id + l4vio_slot_link(0, 1);
    l4vio_store64(&desc->addr, buffer->address);
    slot->u.cookie = request->cookie;
    slot->writable_bytes = writable ? (uint32_t)length_bytes : 0;
    return true;
}

/*
 * The straight path. Returns whether this is a request of one buffer; if not, nothing has happened,
 * and add_any finds out what it is. Each direction has its own copy of the code, without a branch.
 */
static inline bool add_single(struct virtq_packed_desc *desc, struct l4vio_queue_slot *slots,
                              uint32_t *id, const struct l4vio_request *request, uint64_t flags,
                              uint64_t *word)
{
    uint32_t shape = packed_shape(request);
    if (shape == PACKED_ONE_WRITABLE)
        return write_single(desc, slots, id, request, flags, word, true);
    if (shape == PACKED_ONE_READABLE)
        return write_single(desc, slots, id, request, flags, word, false);
    return false;
}

/* One request: written behind the one that is held, or held. Each way has its own copy of the code, so
 * that few registers are needed, and none has to be saved. */
__attribute__((always_inline)) static inline bool add_one(struct l4vio_queue *queue,
                                                          const struct l4vio_request *request)
{
    const uint32_t at = queue->next_avail;
    struct virtq_packed_desc *desc = &packed_ring(queue)[packed_place(at)];
    const uint64_t flags = (uint64_t)(at & (PACKED_ROUND | PACKED_WRITE)) << 32;
    uint32_t id = queue->free_head;
    uint64_t word;

    if (queue->avail_index == queue->avail_limit)
        return false;
    if (packed_is_held(queue)) {
        if (!add_single(desc, queue->slots, &id, request, flags, &word))
            return false;
        l4vio_store_packed(desc, word);
    } else {
        if (!add_single(desc, queue->slots, &id, request, flags, &word))
            return false;
        packed_hold(queue, packed_place(at), word);
    }
    queue->free_head = id;
    queue->next_avail = packed_next(at, queue->size);
    l4vio_advance(&queue->avail_index, 1);
    return true;
}

/* As many requests of one buffer as there are up to the end of the ring, behind a held one. Not
 * inline, so that the loop has the registers for itself. */
__attribute__((noinline)) static uint32_t add_run(struct l4vio_queue *queue,
                                                  const struct l4vio_request *request,
                                                  uint32_t count)
{
    const uint32_t at = queue->next_avail;
    struct virtq_packed_desc *const first = &packed_ring(queue)[packed_place(at)];
    struct virtq_packed_desc *const end = first + packed_run(at, count, queue->size);
    struct virtq_packed_desc *desc = first;
    struct l4vio_queue_slot *const slots = queue->slots;
    const uint64_t flags = (uint64_t)(at & (PACKED_ROUND | PACKED_WRITE)) << 32;
    uint32_t id = queue->free_head;
    uint64_t word;

    for (; desc != end && add_single(desc, slots, &id, request, flags, &word); desc++) {
        l4vio_store_packed(desc, word);
        request++;
    }
    uint32_t added = (uint32_t)(desc - first);
    queue->free_head = id;
    queue->next_avail = packed_advance(at, added, queue->size);
    l4vio_advance(&queue->avail_index, added);
    return added;
}

__attribute__((noinline)) static int add_many(struct l4vio_queue *queue,
                                              const struct l4vio_request *requests, unsigned count)
{
    unsigned added = 0;
    if (!packed_is_held(queue)) {
        if (count == 0 || !add_one(queue, requests))
            return add_any(queue, requests, 0, count);
        added = 1;
    }
    uint32_t room = (uint32_t)(queue->avail_limit - queue->avail_index);
    if (count - added < room)
        room = count - added;
    uint32_t run = add_run(queue, requests + added, room);
    if (run != room && packed_place(queue->next_avail) == 0)
        run += add_run(queue, requests + added + run, room - run);
    added += run;
    return added == count ? (int)count : add_any(queue, requests, added, count);
}

/* One request is done without a loop, so that nothing has to be saved for one. */
static int add(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count)
{
    if (count != 1)
        return add_many(queue, requests, count);
    return add_one(queue, requests) ? 1 : add_any(queue, requests, 0, 1);
}

static void add_chain(struct l4vio_queue *queue, uint16_t head, uint16_t count,
                      uint32_t writable_bytes)
{
    struct l4vio_queue_slot *slots = queue->slots;
    uint32_t id = queue->free_head;
    uint32_t end = queue->next_avail;
    uint64_t first = l4vio_packed_write_chain(queue, head, count, id, &end);

    slots[id].writable_bytes = writable_bytes;
    slots[id].link = l4vio_slot_link(l4vio_slot_next(&slots[id]), count);
    uint32_t entry = id;
    for (uint32_t left = count; left != 0; left--) {
        slots[entry].u.descriptor.id = head;
        slots[head].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        head = queue->descriptors[head].next;
        entry = l4vio_slot_next(&slots[entry]);
    }
    packed_put_first(queue, packed_place(queue->next_avail), first);
    queue->next_avail = end;
    queue->free_head = entry;
    packed_count_added(queue, count);
}

/* Entries of a request in flight; 0: there is none, or it is hidden. */
static inline uint32_t entries_of(const struct l4vio_queue_slot *slot)
{
    uint32_t entries = l4vio_slot_count(slot);
    return entries > HIDDEN ? 0 : entries;
}

/* Hides what was not hidden yet of the requests that are not published. */
static void hide_held(struct l4vio_queue *queue)
{
    struct l4vio_queue_slot *slots = queue->slots;
    uint32_t held = (uint32_t)(queue->avail_index - queue->published_index);

    while (queue->hidden_count != held) {
        uint32_t id = queue->hidden_count ? l4vio_slot_next(&slots[queue->hidden_last])
                                          : l4vio_packed_id(queue->held_word);
        slots[id].link |= l4vio_slot_link(0, HIDDEN);
        queue->hidden_last = (uint16_t)id;
        queue->hidden_count++;
    }
}

static void show_held(struct l4vio_queue *queue)
{
    uint32_t id = l4vio_packed_id(queue->held_word);
    for (; queue->hidden_count != 0; queue->hidden_count--) {
        queue->slots[id].link &= ~l4vio_slot_link(0, HIDDEN);
        id = l4vio_slot_next(&queue->slots[id]);
    }
}

/*
 * Puts the slot of a request in front of the free list; at the descriptor level all of its slots, and
 * its private ids become the caller's on the way.
 */
static inline void put_back(struct l4vio_queue_slot *slots, struct l4vio_queue_slot *slot,
                            uint32_t free_head, bool descriptor_level)
{
    uint32_t left = descriptor_level ? l4vio_slot_count(slot) : 1;
    slot->link = l4vio_slot_next(slot);
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

/* Breaks the queue by a used descriptor that was refused; says what is wrong with it. */
static void break_by(struct l4vio_queue *queue, uint64_t word)
{
    uint32_t id = l4vio_packed_id(word);
    if (id >= queue->size)
        l4vio_queue_break(queue, "used id out of range", id);
    else if (entries_of(&queue->slots[id]) == 0)
        l4vio_queue_break(queue, "used id not in flight", id);
    else
        l4vio_queue_break(queue, "used length above the writable size", l4vio_packed_length(word));
}

/*
 * Takes up to `max` completions, at least 1. The descriptor at the place of the next one is read
 * already. All checks, and for both levels (the flag is a constant in both callers).
 */
__attribute__((always_inline)) static inline int take_any(struct l4vio_queue *queue,
                                                          struct l4vio_completion *completion,
                                                          uint32_t before, uint32_t max,
                                                          uint64_t word, bool descriptor_level,
                                                          bool order_platform)
{
    const uint32_t size = queue->size;
    uint32_t at = queue->next_used;
    uint32_t free_head = queue->free_head;
    uint32_t all_entries = 0;
    uint32_t taken = 0;
    bool bad = false;

    while (packed_is_used(word, at)) {
        uint32_t id = l4vio_packed_id(word);
        struct l4vio_queue_slot *slot = &queue->slots[l4vio_masked_index(id, size)];
        uint32_t entries = entries_of(slot);
        bad = id >= size || entries == 0;
        if (bad)
            break;
        completion->length_bytes = packed_used_length(word);
        if (completion->length_bytes > slot->writable_bytes) {
            bad = queue->strict;
            if (bad)
                break;
            completion->length_bytes = slot->writable_bytes;
            l4vio_count(&queue->counters.clamped_lengths, 1);
        }
        completion->cookie = slot_cookie(slot, descriptor_level);
        completion++;
        put_back(queue->slots, slot, free_head, descriptor_level);
        free_head = id;
        all_entries += entries;
        at = packed_advance(at, entries, size);
        if (++taken == max)
            break;
        word = packed_load(queue, at, order_platform);
    }
    queue->free_head = free_head;
    packed_commit_used(queue, at, all_entries, taken);
    if (bad)
        break_by(queue, word);
    taken += before;
    return taken ? (int)taken : queue->broken;
}

__attribute__((noinline)) static int take_rest(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions,
                                               uint32_t before, uint32_t max, uint64_t word,
                                               bool order_platform)
{
    return take_any(queue, completions, before, max, word, false, order_platform);
}

/* With requests that are not published: they are not the device's to complete. */
__attribute__((noinline)) static int take_while_held(struct l4vio_queue *queue,
                                                     struct l4vio_completion *completions,
                                                     uint32_t max, bool order_platform)
{
    uint64_t word = packed_load(queue, queue->next_used, order_platform);
    if (!packed_is_used(word, queue->next_used) || max == 0)
        return 0;
    if (queue->published_index == queue->used_index)
        return l4vio_queue_break(queue, "used id not in flight", l4vio_packed_id(word));

    hide_held(queue);
    int result = take_any(queue, completions, 0, max, word, false, order_platform);
    struct l4vio_queue_slot *last = &queue->slots[queue->hidden_last];
    last->link = l4vio_slot_link(queue->free_head, l4vio_slot_count(last));
    return result;
}

/*
 * The straight path: a request of one entry that comes back as it should. Returns whether it was; if
 * not, nothing has happened, and take_any finds out what it is, from what was read.
 */
static inline bool take_single(struct l4vio_queue_slot *slots, uint32_t size, uint64_t word,
                               uint32_t position, struct l4vio_completion *completion,
                               uint32_t *free_head)
{
    uint32_t id = l4vio_packed_id(word);
    uint32_t length_bytes;
    if (!packed_matches(word, position, PACKED_ROUND, &length_bytes) || id >= size)
        return false;
    struct l4vio_queue_slot *slot = &slots[l4vio_masked_index(id, size)];
    if (l4vio_slot_count(slot) != 1 || length_bytes > slot->writable_bytes)
        return false;
    completion->cookie = slot->u.cookie;
    completion->length_bytes = length_bytes;
    slot->link = *free_head;
    *free_head = id;
    return true;
}

/* As many completions as go the straight path up to the end of the ring. */
__attribute__((always_inline)) static inline struct packed_taken take_run(
    struct l4vio_queue *queue, struct l4vio_completion *completions, uint32_t max,
    bool order_platform)
{
    const uint32_t at = queue->next_used;
    const uint32_t size = queue->size;
    const struct virtq_packed_desc *const first = &packed_ring(queue)[packed_place(at)];
    const struct virtq_packed_desc *const end = first + packed_run(at, max, size);
    const struct virtq_packed_desc *desc = first;
    struct l4vio_queue_slot *const slots = queue->slots;
    uint32_t free_head = queue->free_head;
    struct packed_taken taken = {0, false, 0};

    for (; desc != end; desc++) {
        taken.word =
            order_platform ? l4vio_load_packed_platform(desc) : l4vio_load_packed_acquire(desc);
        if (!take_single(slots, size, taken.word, at, completions, &free_head))
            break;
        completions++;
    }
    queue->free_head = free_head;
    taken.stopped = desc != end;
    taken.count = (uint32_t)(desc - first);
    packed_commit_used(queue, packed_advance(at, taken.count, size), taken.count, taken.count);
    return taken;
}

/* `max` is not 0. */
__attribute__((always_inline)) static inline int take_many(struct l4vio_queue *queue,
                                                           struct l4vio_completion *completions,
                                                           uint32_t max, bool order_platform)
{
    struct packed_taken taken = take_run(queue, completions, max, order_platform);
    uint32_t count = taken.count;
    if (!taken.stopped && count != max) {
        taken = take_run(queue, completions + count, max - count, order_platform);
        count += taken.count;
    }
    if (!taken.stopped || !packed_is_used(taken.word, queue->next_used))
        return (int)count;
    return take_rest(queue, completions + count, count, max - count, taken.word, order_platform);
}

__attribute__((noinline)) static int take_many_acquire(struct l4vio_queue *queue,
                                                       struct l4vio_completion *completions,
                                                       uint32_t max)
{
    return take_many(queue, completions, max, false);
}

__attribute__((noinline)) static int take_many_platform(struct l4vio_queue *queue,
                                                        struct l4vio_completion *completions,
                                                        uint32_t max)
{
    return take_many(queue, completions, max, true);
}

__attribute__((always_inline)) static inline int get(struct l4vio_queue *queue,
                                                     struct l4vio_completion *completions,
                                                     unsigned max, bool order_platform)
{
    if (packed_is_held(queue))
        return take_while_held(queue, completions, max, order_platform);
    if (max != 1) {
        if (max == 0)
            return 0;
        return order_platform ? take_many_platform(queue, completions, max)
                              : take_many_acquire(queue, completions, max);
    }
    const uint32_t at = queue->next_used;
    uint64_t word = packed_load(queue, at, order_platform);
    uint32_t free_head = queue->free_head;
    if (!take_single(queue->slots, queue->size, word, at, completions, &free_head))
        return take_rest(queue, completions, 0, 1, word, order_platform);
    queue->free_head = free_head;
    packed_commit_used(queue, packed_next(at, queue->size), 1, 1);
    return 1;
}

static int get_used(struct l4vio_queue *queue, struct l4vio_completion *completions, unsigned max)
{
    return get(queue, completions, max, false);
}

static int get_used_platform(struct l4vio_queue *queue, struct l4vio_completion *completions,
                             unsigned max)
{
    return get(queue, completions, max, true);
}

static int get_used_chain(struct l4vio_queue *queue, struct l4vio_completion *completion)
{
    uint64_t word = packed_load(queue, queue->next_used, queue->order_platform);
    return take_any(queue, completion, 0, 1, word, true, queue->order_platform);
}

static bool has_used(const struct l4vio_queue *queue)
{
    uint64_t word = packed_load(queue, queue->next_used, queue->order_platform);
    return packed_is_used(word, queue->next_used);
}

/*
 * Whether the device has come past the place at which it was asked for a notification: then it sends
 * none. What it says is followed here, not believed: l4vio_queue_get_used reads it again and checks.
 */
static bool has_used_many(const struct l4vio_queue *queue, unsigned completions)
{
    const uint32_t wanted = l4vio_packed_entries_of(queue, completions);
    uint32_t at = queue->next_used;
    uint32_t entries = 0;

    while (entries < wanted) {
        uint64_t word = packed_load(queue, at, queue->order_platform);
        if (!packed_is_used(word, at))
            return false;
        uint32_t id = l4vio_packed_id(word);
        uint32_t of_this = entries_of(&queue->slots[l4vio_masked_index(id, queue->size)]);
        if (id >= queue->size || of_this == 0)
            return true; /* To be refused. */
        entries += of_this;
        at = packed_advance(at, of_this, queue->size);
    }
    return true;
}

static void *take_back(struct l4vio_queue *queue, uint16_t entry)
{
    bool descriptor_level = queue->descriptors != NULL;
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    void *cookie = slot_cookie(slot, descriptor_level);
    uint32_t entries = l4vio_slot_count(slot);

    if (entries > HIDDEN)
        entries -= HIDDEN;
    packed_count_taken_back(queue, entries);
    put_back(queue->slots, slot, queue->free_head, descriptor_level);
    queue->free_head = entry;
    return cookie;
}

static void publish(struct l4vio_queue *queue)
{
    packed_publish(queue, false);
    if (queue->hidden_count != 0)
        show_held(queue);
}

static void publish_platform(struct l4vio_queue *queue)
{
    packed_publish(queue, true);
    if (queue->hidden_count != 0)
        show_held(queue);
}

const struct l4vio_ring_format l4vio_packed = {
    .ops = {.add = add, .publish = publish, .get_used = get_used},
    .order_platform_ops = {.add = add, .publish = publish_platform, .get_used = get_used_platform},
    .initialize = initialize,
    .add_chain = add_chain,
    .get_used_chain = get_used_chain,
    .wants_kick = l4vio_packed_wants_kick,
    .has_used = has_used,
    .has_used_many = has_used_many,
    .set_interrupts = l4vio_packed_set_interrupts,
    .device_disarmed = l4vio_packed_device_disarmed,
    .kick_position = l4vio_packed_kick_position,
    .used_position = l4vio_packed_used_position,
    .forget_device = l4vio_packed_forget_device,
    .take_back = take_back,
};
