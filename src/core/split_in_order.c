/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the split virtqueue with IN_ORDER: requests come back in the order in which they were
 * made available (VIRTIO 1.4, sections 2.7.5.2 and 2.7.8).
 *
 * Entries are taken in the order of the table (clause D-2.7.5.2-2), so there is no free list: what is
 * in flight lies from `next_used` to `next_avail`. One used element may stand for many requests: it
 * lies at the place of the first and has the head of the last, whose length it tells; the others
 * count as written in full. `in_order_end` is where the last such element reaches to. Up to there
 * requests are handed back without a look at the ring.
 *
 * A slot's link has the entries of the request whose head it is, and is 0 else.
 */
#include "core/indirect.h"
#include "core/split.h"

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

static inline uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t behind(const struct l4vio_queue *queue, uint32_t entry, uint32_t entries)
{
    return (entry + entries) & queue->mask;
}

static inline void write_descriptor(struct virtq_desc *desc, uint64_t address,
                                    uint32_t length_bytes, uint32_t flags, uint32_t next)
{
    l4vio_store64(&desc->addr, address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store_flags_next(desc, flags, next);
}

/* Writes a request that fits from this entry on. Returns the writable bytes, or less than 0 if the
 * request is not valid: then it is not taken, and what was written does not matter. */
static int64_t write_chain(const struct l4vio_queue *queue, const struct l4vio_request *request,
                           uint32_t entry)
{
    const struct l4vio_buffer *buffer = request->buffers;
    const struct l4vio_buffer *const writable = buffer + request->readable;
    const struct l4vio_buffer *const end = writable + request->writable;
    uint64_t total_bytes = 0;
    uint64_t readable_bytes = 0;

    for (; buffer != end; buffer++) {
        uint32_t flags = buffer + 1 != end ? VIRTQ_DESC_F_NEXT : 0;
        uint32_t next = behind(queue, entry, 1);
        if (buffer->length_bytes == 0)
            return -1;
        total_bytes += buffer->length_bytes;
        if (buffer >= writable)
            flags |= VIRTQ_DESC_F_WRITE;
        else
            readable_bytes = total_bytes;
        write_descriptor(&split_table(queue)[entry], buffer->address, buffer->length_bytes, flags,
                         next);
        entry = next;
    }
    return total_bytes >> 32 ? -1 : (int64_t)(total_bytes - readable_bytes);
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
    queue->next_avail = (uint16_t)behind(queue, entry, entries);
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

static inline bool write_single(const struct places *at, const struct l4vio_request *request,
                                bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    const uint32_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    l4vio_store16(at->available, (uint16_t)at->entry);
    write_descriptor(at->desc, buffer->address, length_bytes, writable ? VIRTQ_DESC_F_WRITE : 0, 0);
    at->slot->u.cookie = request->cookie;
    at->slot->writable_bytes = writable ? length_bytes : 0;
    at->slot->link = l4vio_slot_link(0, 1);
    return true;
}

/* The straight path, for requests of one buffer. If it is none, nothing has happened. */
static inline bool add_single(const struct places *at, const struct l4vio_request *request)
{
    if (request->readable == 0 && request->writable == 1)
        return write_single(at, request, true);
    if (request->readable == 1 && request->writable == 0)
        return write_single(at, request, false);
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
        least(queue->size - split_place(queue, queue->avail_index), queue->size - at.entry);
    run = least(run, least(count - added, room));
    const uint32_t end = at.entry + run;

    while (at.entry != end && add_single(&at, request)) {
        at.available++;
        at.desc++;
        at.slot++;
        at.entry++;
        request++;
    }
    uint32_t left = end - at.entry;
    queue->next_avail = (uint16_t)(at.entry & queue->mask);
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
    struct places at = next_places(queue);
    if (l4vio_queue_room(queue) == 0 || !add_single(&at, requests))
        return add_any(queue, requests, 0, 1);
    queue->next_avail = (uint16_t)behind(queue, at.entry, 1);
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
        uint32_t next = behind(queue, entry, 1);
        queue->slots[entry].u.descriptor.id = id;
        queue->slots[id].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        write_descriptor(&split_table(queue)[entry], shadow->address, shadow->length_bytes,
                         shadow->flags, next);
        entry = next;
        id = shadow->next;
    }
    hold(queue, first, count, writable_bytes);
}

/* The ids of the request at an entry become the caller's. */
static void give_back_ids(struct l4vio_queue *queue, uint32_t entry, uint32_t entries)
{
    for (; entries != 0; entries--, entry = behind(queue, entry, 1))
        queue->slots[queue->slots[entry].u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
}

/* Hands back `count` requests, at least one, that are known to be done. */
static inline void hand_back(struct l4vio_queue *queue, struct l4vio_completion *completions,
                             uint32_t count, bool descriptor_level)
{
    struct l4vio_completion *const end = completions + count;
    uint32_t entry = queue->next_used;
    uint32_t all_entries = 0;

    do {
        struct l4vio_queue_slot *slot = &queue->slots[entry];
        uint32_t entries = l4vio_slot_count(slot);
        completions->cookie = split_slot_cookie(slot, descriptor_level);
        completions->length_bytes = slot->writable_bytes;
        slot->link = 0;
        if (descriptor_level)
            give_back_ids(queue, entry, entries);
        all_entries += entries;
        entry = behind(queue, entry, entries);
    } while (++completions != end);

    queue->next_used = (uint16_t)entry;
    queue->extra_entries -= all_entries - count;
    l4vio_advance(&queue->used_index, count);
    if (queue->used_index == queue->in_order_end)
        end[-1].length_bytes = queue->in_order_length;
}

static inline uint32_t known(const struct l4vio_queue *queue)
{
    return queue->in_order_end > queue->used_index
               ? (uint32_t)(queue->in_order_end - queue->used_index)
               : 0;
}

/* How many requests an element stands for, whose last one has this head; 0: it is none of them. */
static uint32_t count_to(const struct l4vio_queue *queue, uint32_t id, uint32_t pending)
{
    if (id > queue->mask)
        return 0;
    uint32_t count = ((id - queue->next_used) & queue->mask) + 1u;
    if (queue->extra_entries == 0) /* One entry each. */
        return count <= pending ? count : 0;

    uint32_t entry = queue->next_used;
    for (count = 1; entry != id; count++) {
        if (count == pending)
            return 0;
        entry = behind(queue, entry, l4vio_slot_count(&queue->slots[entry]));
    }
    return count;
}

static inline struct split_used_element read_next(const struct l4vio_queue *queue)
{
    return split_read_used(&split_used_ring(queue)[split_place(queue, queue->used_index)]);
}

/* All checks of an element that stands for at most `pending` requests. Returns 0, or the error. */
static int accept(struct l4vio_queue *queue, struct split_used_element used, uint32_t pending)
{
    uint32_t count = count_to(queue, used.id, pending);
    if (count == 0)
        return l4vio_queue_break(queue,
                                 used.id > queue->mask
                                     ? "used id out of range"
                                     : "used id not in flight, or behind the used index",
                                 used.id);

    uint32_t writable_bytes = queue->slots[used.id & queue->mask].writable_bytes;
    if (used.length > writable_bytes) {
        if (queue->strict)
            return l4vio_queue_break(queue, "used length above the writable size", used.length);
        used.length = writable_bytes;
        l4vio_count(&queue->counters.clamped_lengths, 1);
    }
    queue->in_order_end = queue->used_index + count;
    queue->in_order_length = used.length;
    return L4VIO_OK;
}

/*
 * Takes up to `max` requests, of which `taken` were taken before; nothing is known, the next element has
 * been read already, and the device says that it has used all up to the request `limit`.
 */
__attribute__((always_inline)) static inline int take_by(
    struct l4vio_queue *queue, struct l4vio_completion *completions, uint32_t taken, uint32_t max,
    uint64_t limit, struct split_used_element used, bool descriptor_level)
{
    for (;;) {
        int result = accept(queue, used, (uint32_t)(limit - queue->used_index));
        if (result < 0)
            return taken ? (int)taken : result;
        uint32_t count = least(known(queue), max - taken);
        hand_back(queue, completions + taken, count, descriptor_level);
        taken += count;
        if (taken == max || queue->used_index == limit)
            return (int)taken;
        used = read_next(queue);
    }
}

__attribute__((noinline)) static int take_rest(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions, uint32_t taken,
                                               uint32_t max, uint64_t limit,
                                               struct split_used_element used)
{
    return take_by(queue, completions, taken, max, limit, used, false);
}

/* An element for the oldest request alone, of one entry, as it should be. */
static inline bool take_single(struct l4vio_queue_slot *slot, struct split_used_element used,
                               uint32_t entry, struct l4vio_completion *completion)
{
    if (used.id != entry || used.length > slot->writable_bytes)
        return false;
    completion->cookie = slot->u.cookie;
    completion->length_bytes = used.length;
    slot->link = 0;
    return true;
}

/*
 * The straight path, as take_rest, while an element each comes for requests of one entry each: up to
 * the end of ring or table; then, if that is not all, once more.
 */
__attribute__((noinline)) static int take_many(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions, uint32_t taken,
                                               uint32_t max, uint64_t limit)
{
    const uint32_t place = split_place(queue, queue->used_index);
    uint32_t entry = queue->next_used;
    const struct virtq_used_elem *element = &split_used_ring(queue)[place];
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    struct l4vio_completion *completion = completions + taken;
    struct split_used_element used = split_read_used(element);
    if (queue->extra_entries != 0)
        return take_rest(queue, completions, taken, max, limit, used);

    uint32_t run = least(queue->size - place, queue->size - entry);
    run = least(run, least(max - taken, (uint32_t)(limit - queue->used_index)));
    const uint32_t end = entry + run;
    while (take_single(slot, used, entry, completion)) {
        slot++;
        completion++;
        if (++entry == end)
            break;
        used = split_read_used(++element);
    }
    uint32_t left = end - entry;
    queue->next_used = (uint16_t)(entry & queue->mask);
    l4vio_advance(&queue->used_index, run - left);
    taken += run - left;
    if (left != 0)
        return take_rest(queue, completions, taken, max, limit, used);
    if (taken == max || queue->used_index == limit)
        return (int)taken;
    return take_many(queue, completions, taken, max, limit);
}

/* Not just one, or not all that was published; or something is wrong. `max` is not 0. */
__attribute__((noinline)) static int take_pending(struct l4vio_queue *queue,
                                                  struct l4vio_completion *completions,
                                                  uint32_t taken, unsigned max,
                                                  uint32_t device_index)
{
    uint32_t pending = (uint16_t)(device_index - queue->used_index);
    if (split_runs_ahead(queue, pending)) {
        int result = l4vio_split_break_by_index(queue, (uint16_t)device_index);
        return taken ? (int)taken : result;
    }
    if (pending == 0)
        return (int)taken;
    return take_many(queue, completions, taken, max, queue->used_index + pending);
}

/* What an element told of before, and then the ring. */
__attribute__((noinline)) static int take_known(struct l4vio_queue *queue,
                                                struct l4vio_completion *completions, unsigned max)
{
    uint32_t count = least(known(queue), max);
    if (count == 0)
        return 0;
    hand_back(queue, completions, count, false);
    if (count == max)
        return (int)count;
    return take_pending(queue, completions, count, max,
                        split_load_used_index(queue, queue->order_platform));
}

static inline int get_used_by(struct l4vio_queue *queue, struct l4vio_completion *completions,
                              unsigned max, bool platform)
{
    if (queue->in_order_end > queue->used_index || max == 0)
        return take_known(queue, completions, max);
    uint16_t device_index = split_load_used_index(queue, platform);
    if (max != 1 || device_index != (uint16_t)queue->published_index || queue->extra_entries != 0)
        return take_pending(queue, completions, 0, max, device_index);
    if (queue->used_index == queue->published_index)
        return 0;

    struct split_used_element used = read_next(queue);
    uint32_t entry = queue->next_used;
    if (!take_single(&queue->slots[entry], used, entry, completions))
        return take_rest(queue, completions, 0, 1, queue->published_index, used);
    queue->next_used = (uint16_t)behind(queue, entry, 1);
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
    if (known(queue) != 0) {
        hand_back(queue, completion, 1, true);
        return 1;
    }
    uint16_t device_index = split_load_used_index(queue, queue->order_platform);
    uint32_t pending = (uint16_t)(device_index - queue->used_index);
    if (split_runs_ahead(queue, pending))
        return l4vio_split_break_by_index(queue, device_index);
    if (pending == 0)
        return 0;
    return take_by(queue, completion, 0, 1, queue->used_index + pending, read_next(queue), true);
}

static void *take_back(struct l4vio_queue *queue, uint16_t entry)
{
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    uint32_t entries = l4vio_slot_count(slot);
    bool descriptor_level = queue->descriptors != NULL;
    void *cookie = split_slot_cookie(slot, descriptor_level);

    if (descriptor_level)
        give_back_ids(queue, entry, entries);
    slot->link = 0;
    queue->extra_entries -= entries - 1u;
    return cookie;
}

const struct l4vio_ring_format l4vio_split_in_order = {
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
    .take_back = take_back,
};
