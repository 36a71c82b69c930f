/* SPDX-License-Identifier: MIT */
/*
 * Driver side of the packed virtqueue with IN_ORDER (VIRTIO 1.4, section 2.8).
 *
 * Requests are completed in the order they were made available, so there is no free list: a buffer id
 * is the place of the request's first descriptor, which is free when the place is. A used descriptor
 * with the id of a later request stands for all up to that one; which requests those are is known from
 * the entries that each has, so the device never says where to look.
 *
 * Completions known of and not yet taken end with the request at in_order_end - 1; 0: there are none.
 */
#include "core/packed_lists.h"

static void initialize(struct l4vio_queue *queue)
{
    for (uint32_t i = 0; i < queue->size; i++)
        queue->slots[i] = (struct l4vio_queue_slot){.link = 0};
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
            added += packed_add_lists(queue, requests + added, count - added, true);
            if (added == count)
                break;
        }
        const struct l4vio_request *request = &requests[added];
        uint32_t end = queue->next_avail;
        uint32_t head = packed_place(end);
        struct packed_request written;
        result = l4vio_packed_write(queue, request, head, &end, &written);
        if (result < 0)
            break;

        struct l4vio_queue_slot *slot = &queue->slots[head];
        slot->u.cookie = request->cookie;
        slot->writable_bytes = written.writable_bytes;
        slot->link = l4vio_slot_link(0, written.entries);
        packed_put_first(queue, head, written.first);
        queue->next_avail = end;
        packed_count_added(queue, written.entries);
        added++;
    }
    return added ? (int)added : result;
}

/* Writes a request of one buffer but for its word. There is room for it. `id_and_flags` is the word of
 * a writable one without its length. */
static inline bool write_single(struct virtq_packed_desc *desc, struct l4vio_queue_slot *slot,
                                const struct l4vio_request *request, uint64_t id_and_flags,
                                uint64_t *word, bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    uint64_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    /* Sums are one instruction where bits put together would be two. */
    *word = id_and_flags + length_bytes;
    if (!writable)
        *word -= (uint64_t)PACKED_WRITE << 32;
    l4vio_store64(&desc->addr, buffer->address);
    slot->u.cookie = request->cookie;
    slot->writable_bytes = writable ? (uint32_t)length_bytes : 0;
    slot->link = l4vio_slot_link(0, 1);
    return true;
}

/*
 * The straight path. Returns whether this is a request of one buffer; if not, nothing has happened,
 * and add_any finds out what it is. Each direction has its own copy of the code, without a branch.
 */
static inline bool add_single(struct virtq_packed_desc *desc, struct l4vio_queue_slot *slot,
                              const struct l4vio_request *request, uint64_t id_and_flags,
                              uint64_t *word)
{
    uint32_t shape = packed_shape(request);
    if (shape == PACKED_ONE_WRITABLE)
        return write_single(desc, slot, request, id_and_flags, word, true);
    if (shape == PACKED_ONE_READABLE)
        return write_single(desc, slot, request, id_and_flags, word, false);
    return false;
}

/* One request: written behind the one that is held, or held. Each way has its own copy of the code, so
 * that few registers are needed, and none has to be saved. */
__attribute__((always_inline)) static inline bool add_one(struct l4vio_queue *queue,
                                                          const struct l4vio_request *request)
{
    const uint32_t at = queue->next_avail;
    struct virtq_packed_desc *desc = &packed_ring(queue)[packed_place(at)];
    uint64_t word;

    if (queue->avail_index == queue->avail_limit)
        return false;
    struct l4vio_queue_slot *slot = &queue->slots[packed_place(at)];
    if (packed_is_held(queue)) {
        if (!add_single(desc, slot, request, (uint64_t)at << 32, &word))
            return false;
        l4vio_store_packed(desc, word);
    } else {
        if (!add_single(desc, slot, request, (uint64_t)at << 32, &word))
            return false;
        packed_hold(queue, packed_place(at), word);
    }
    queue->next_avail = packed_next(at, queue->size);
    l4vio_advance(&queue->avail_index, 1);
    return true;
}

/* As many requests of one buffer as there are up to the end of the ring, behind a held one. */
static inline uint32_t add_run(struct l4vio_queue *queue, const struct l4vio_request *request,
                               uint32_t count)
{
    const uint32_t at = queue->next_avail;
    struct virtq_packed_desc *const first = &packed_ring(queue)[packed_place(at)];
    struct virtq_packed_desc *const end = first + packed_run(at, count, queue->size);
    struct virtq_packed_desc *desc = first;
    struct l4vio_queue_slot *slot = &queue->slots[packed_place(at)];
    uint64_t id_and_flags = (uint64_t)at << 32;
    uint64_t word;

    for (; desc != end && add_single(desc, slot, request, id_and_flags, &word); desc++) {
        l4vio_store_packed(desc, word);
        slot++;
        request++;
        id_and_flags += UINT64_C(1) << 32;
    }
    uint32_t added = (uint32_t)(desc - first);
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
    uint32_t end = queue->next_avail;
    uint32_t first_place = packed_place(end);
    uint64_t first = l4vio_packed_write_chain(queue, head, count, first_place, &end);

    slots[first_place].writable_bytes = writable_bytes;
    slots[first_place].link = l4vio_slot_link(0, count);
    for (uint32_t left = count, place = first_place; left != 0; left--) {
        slots[place].u.descriptor.id = head;
        slots[head].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        head = queue->descriptors[head].next;
        place = place + 1u == queue->size ? 0 : place + 1u;
    }
    packed_put_first(queue, first_place, first);
    queue->next_avail = end;
    packed_count_added(queue, count);
}

/* Takes the request at a place out of flight and returns its cookie; at the descriptor level all of its
 * private ids become the caller's. */
static inline void *take_out(struct l4vio_queue *queue, uint32_t head, bool descriptor_level)
{
    struct l4vio_queue_slot *slots = queue->slots;
    uint32_t left = l4vio_slot_count(&slots[head]);

    slots[head].link = 0;
    if (!descriptor_level)
        return slots[head].u.cookie;
    for (uint32_t place = head; left != 0; left--) {
        slots[slots[place].u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
        place = place + 1u == queue->size ? 0 : place + 1u;
    }
    return (void *)(uintptr_t)slots[head].u.descriptor.id;
}

/* How far a place is from that of the next completion. */
static uint32_t places_ahead(const struct l4vio_queue *queue, uint32_t place)
{
    uint32_t next = packed_place(queue->next_used);
    return place >= next ? place - next : place + queue->size - next;
}

/*
 * Is this the id of a request that the device may complete? Only those in flight have entries, and in
 * order what is not published comes last.
 */
static bool may_be_used(const struct l4vio_queue *queue, uint32_t id)
{
    if (id >= queue->size ||
        l4vio_slot_count(&queue->slots[l4vio_masked_index(id, queue->size)]) == 0)
        return false;
    return !packed_is_held(queue) ||
           places_ahead(queue, id) < places_ahead(queue, queue->held_place);
}

/*
 * A used descriptor at the place of the next completion: all up to its request are completed. Returns
 * less than 0 if that breaks the queue.
 */
static int learn(struct l4vio_queue *queue, uint64_t word)
{
    uint32_t id = l4vio_packed_id(word);
    if (id >= queue->size)
        return l4vio_queue_break(queue, "used id out of range", id);
    if (!may_be_used(queue, id))
        return l4vio_queue_break(queue, "used id not in flight", id);

    uint32_t length_bytes = packed_used_length(word);
    uint32_t writable_bytes = queue->slots[l4vio_masked_index(id, queue->size)].writable_bytes;
    if (length_bytes > writable_bytes) {
        if (queue->strict)
            return l4vio_queue_break(queue, "used length above the writable size", length_bytes);
        length_bytes = writable_bytes;
        l4vio_count(&queue->counters.clamped_lengths, 1);
    }
    queue->in_order_end = (uint64_t)id + 1u;
    queue->in_order_length = length_bytes;
    return L4VIO_OK;
}

/* Takes up to `max` completions that are known of. Those before the last count as fully written. */
static inline uint32_t take_known(struct l4vio_queue *queue, struct l4vio_completion *completion,
                                  uint32_t max, bool descriptor_level)
{
    const uint32_t last = (uint32_t)queue->in_order_end - 1u;
    uint32_t at = queue->next_used;
    uint32_t all_entries = 0;
    uint32_t taken = 0;

    while (taken < max) {
        const struct l4vio_queue_slot *slot = &queue->slots[packed_place(at)];
        uint32_t entries = l4vio_slot_count(slot);
        bool is_last = packed_place(at) == last;
        completion->length_bytes = is_last ? queue->in_order_length : slot->writable_bytes;
        completion->cookie = take_out(queue, packed_place(at), descriptor_level);
        completion++;
        taken++;
        all_entries += entries;
        at = packed_advance(at, entries, queue->size);
        if (is_last) {
            queue->in_order_end = 0;
            break;
        }
    }
    packed_commit_used(queue, at, all_entries, taken);
    return taken;
}

/*
 * The used descriptor of the next request alone, of any number of entries. Returns whether it is that,
 * and as it should be; if not, nothing has happened.
 */
static inline bool take_next(struct l4vio_queue *queue, struct l4vio_completion *completion,
                             uint64_t word, bool descriptor_level)
{
    const uint32_t at = queue->next_used;
    const uint32_t head = packed_place(at);
    const struct l4vio_queue_slot *slot = &queue->slots[head];
    uint32_t entries = l4vio_slot_count(slot);
    uint32_t length_bytes = packed_used_length(word);
    if (l4vio_packed_id(word) != head || queue->published_index == queue->used_index ||
        entries == 0 || length_bytes > slot->writable_bytes)
        return false;
    completion->length_bytes = length_bytes;
    completion->cookie = take_out(queue, head, descriptor_level);
    packed_commit_used(queue, packed_advance(at, entries, queue->size), entries, 1);
    return true;
}

/* Everything but the straight path; `word` is what is at the place of the next completion, if nothing
 * is known of it. */
__attribute__((always_inline)) static inline int take_any(struct l4vio_queue *queue,
                                                          struct l4vio_completion *completions,
                                                          uint32_t taken, uint32_t max,
                                                          uint64_t word, bool descriptor_level,
                                                          bool order_platform)
{
    while (taken < max) {
        if (queue->in_order_end == 0) {
            if (!packed_is_used(word, queue->next_used))
                break;
            if (take_next(queue, completions + taken, word, descriptor_level)) {
                taken++;
                if (taken < max)
                    word = packed_load(queue, queue->next_used, order_platform);
                continue;
            }
            if (learn(queue, word) < 0)
                break;
        }
        taken += take_known(queue, completions + taken, max - taken, descriptor_level);
        word = packed_load(queue, queue->next_used, order_platform);
    }
    return taken ? (int)taken : queue->broken;
}

__attribute__((noinline)) static int take_rest(struct l4vio_queue *queue,
                                               struct l4vio_completion *completions, uint32_t taken,
                                               uint32_t max, uint64_t word, bool order_platform)
{
    return take_any(queue, completions, taken, max, word, false, order_platform);
}

/*
 * The straight path: the next request, of one entry, alone and as it should be. The id in the used
 * descriptor says that it is this one, so nothing is looked up by it. Returns whether it was; if not,
 * nothing has happened, and take_any finds out what it is, from what was read.
 */
static inline bool take_single(struct l4vio_queue_slot *slot, uint64_t word, uint32_t expected,
                               struct l4vio_completion *completion)
{
    uint32_t length_bytes;
    if (!packed_matches(word, expected, PACKED_ROUND | UINT16_MAX, &length_bytes))
        return false;
    if (slot->link != l4vio_slot_link(0, 1) || length_bytes > slot->writable_bytes)
        return false;
    completion->cookie = slot->u.cookie;
    completion->length_bytes = length_bytes;
    slot->link = 0;
    return true;
}

/* As many completions as go the straight path up to the end of the ring. */
__attribute__((always_inline)) static inline struct packed_taken take_run(
    struct l4vio_queue *queue, struct l4vio_completion *completions, uint32_t max,
    bool order_platform)
{
    const uint64_t in_flight = queue->published_index - queue->used_index;
    const uint32_t at = queue->next_used;
    const struct virtq_packed_desc *const first = &packed_ring(queue)[packed_place(at)];
    const struct virtq_packed_desc *desc = first;
    struct l4vio_queue_slot *slot = &queue->slots[packed_place(at)];
    uint32_t count = packed_run(at, in_flight < max ? (uint32_t)in_flight : max, queue->size);
    const struct virtq_packed_desc *const end = first + count;
    struct packed_taken taken = {0, false, 0};
    uint32_t expected = at;

    for (; desc != end; desc++, slot++, expected++) {
        taken.word =
            order_platform ? l4vio_load_packed_platform(desc) : l4vio_load_packed_acquire(desc);
        if (!take_single(slot, taken.word, expected, completions))
            break;
        completions++;
    }
    taken.stopped = desc != end;
    taken.count = (uint32_t)(desc - first);
    packed_commit_used(queue, packed_advance(at, taken.count, queue->size), taken.count,
                       taken.count);
    return taken;
}

/* `max` is not 0. */
__attribute__((always_inline)) static inline int take_many(struct l4vio_queue *queue,
                                                           struct l4vio_completion *completions,
                                                           uint32_t max, bool order_platform)
{
    struct packed_taken taken = take_run(queue, completions, max, order_platform);
    uint32_t count = taken.count;
    if (!taken.stopped && count != max && packed_place(queue->next_used) == 0) {
        taken = take_run(queue, completions + count, max - count, order_platform);
        count += taken.count;
    }
    if (count == max)
        return (int)count;
    if (!taken.stopped)
        taken.word = packed_load(queue, queue->next_used, order_platform);
    if (!packed_is_used(taken.word, queue->next_used))
        return (int)count;
    return take_rest(queue, completions, count, max, taken.word, order_platform);
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
    if (queue->in_order_end != 0)
        return take_rest(queue, completions, 0, max, 0, order_platform);
    if (max != 1) {
        if (max == 0)
            return 0;
        return order_platform ? take_many_platform(queue, completions, max)
                              : take_many_acquire(queue, completions, max);
    }
    const uint32_t at = queue->next_used;
    uint64_t word = packed_load(queue, at, order_platform);
    if (queue->published_index == queue->used_index ||
        !take_single(&queue->slots[packed_place(at)], word, at, completions))
        return take_rest(queue, completions, 0, 1, word, order_platform);
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
    bool order_platform = queue->order_platform;
    uint64_t word = queue->in_order_end ? 0 : packed_load(queue, queue->next_used, order_platform);
    return take_any(queue, completion, 0, 1, word, true, order_platform);
}

static bool has_used(const struct l4vio_queue *queue)
{
    return queue->in_order_end != 0 ||
           packed_is_used(packed_load(queue, queue->next_used, queue->order_platform),
                          queue->next_used);
}

/* The place behind the request of a used descriptor, as entries from that of the next completion. What
 * is wrong with it l4vio_queue_get_used finds out, which reads it again. */
static uint32_t entries_up_to(const struct l4vio_queue *queue, uint32_t id)
{
    if (!may_be_used(queue, id))
        return queue->size;
    uint32_t masked = l4vio_masked_index(id, queue->size);
    return places_ahead(queue, masked) + l4vio_slot_count(&queue->slots[masked]);
}

/*
 * Whether the device has come past the place at which it was asked for a notification: then it sends
 * none.
 */
static bool has_used_many(const struct l4vio_queue *queue, unsigned completions)
{
    const uint32_t wanted = l4vio_packed_entries_of(queue, completions);
    uint32_t entries = 0;

    if (queue->in_order_end != 0)
        entries = entries_up_to(queue, (uint32_t)queue->in_order_end - 1u);
    while (entries < wanted) {
        uint32_t at = packed_advance(queue->next_used, entries, queue->size);
        uint64_t word = packed_load(queue, at, queue->order_platform);
        if (!packed_is_used(word, at))
            return false;
        uint32_t up_to = entries_up_to(queue, l4vio_packed_id(word));
        if (up_to <= entries)
            return true; /* Completed before: to be refused. */
        entries = up_to;
    }
    return true;
}

static void *take_back(struct l4vio_queue *queue, uint16_t entry)
{
    packed_count_taken_back(queue, l4vio_slot_count(&queue->slots[entry]));
    return take_out(queue, entry, queue->descriptors != NULL);
}

static void publish(struct l4vio_queue *queue)
{
    packed_publish(queue, false);
}

static void publish_platform(struct l4vio_queue *queue)
{
    packed_publish(queue, true);
}

const struct l4vio_ring_format l4vio_packed_in_order = {
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
