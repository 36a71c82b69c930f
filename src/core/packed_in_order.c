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
#include "core/packed.h"

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

    for (; added != count; added++) {
        const struct l4vio_request *request = &requests[added];
        struct packed_place place = packed_next_avail(queue);
        struct packed_request written;
        result = l4vio_packed_write(queue, request, place.at, &place, &written);
        if (result < 0)
            break;

        struct l4vio_queue_slot *slot = &queue->slots[queue->next_avail];
        slot->u.cookie = request->cookie;
        slot->writable_bytes = written.writable_bytes;
        slot->link = l4vio_slot_link(0, written.entries);
        packed_put_first(queue, queue->next_avail, written.first);
        packed_set_next_avail(queue, place);
        packed_count_added(queue, written.entries);
    }
    return added ? (int)added : result;
}

/* Writes a request of one buffer but for its word. There is room for it. */
static inline bool write_single(struct virtq_packed_desc *desc, struct l4vio_queue_slot *slot,
                                const struct l4vio_request *request, uint64_t id_and_flags,
                                uint64_t *word, bool writable)
{
    const struct l4vio_buffer *buffer = request->buffers;
    uint32_t length_bytes = buffer->length_bytes;
    if (length_bytes == 0)
        return false;

    *word = id_and_flags | length_bytes;
    if (writable)
        *word |= l4vio_packed_word(0, 0, VIRTQ_DESC_F_WRITE);
    l4vio_store64(&desc->addr, buffer->address);
    slot->u.cookie = request->cookie;
    slot->writable_bytes = writable ? length_bytes : 0;
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

/* One request: held, or written behind the one that is. */
static inline int add_one(struct l4vio_queue *queue, const struct l4vio_request *request)
{
    struct packed_place place = packed_next_avail(queue);
    uint64_t word;

    if (l4vio_queue_room(queue) == 0 ||
        !add_single(&packed_ring(queue)[place.at], &queue->slots[place.at], request,
                    l4vio_packed_word(0, place.at, place.bits), &word))
        return 0;
    packed_put_first(queue, place.at, word);
    packed_advance(&place, 1, queue->size);
    packed_set_next_avail(queue, place);
    l4vio_advance(&queue->avail_index, 1);
    return 1;
}

/* As many requests of one buffer as there are up to the end of the ring, behind a held one. */
static inline uint32_t add_run(struct l4vio_queue *queue, const struct l4vio_request *request,
                               uint32_t count)
{
    struct packed_place place = packed_next_avail(queue);
    uint32_t run = queue->size - place.at;
    if (count < run)
        run = count;
    struct virtq_packed_desc *desc = &packed_ring(queue)[place.at];
    struct l4vio_queue_slot *slot = &queue->slots[place.at];
    uint64_t id_and_flags = l4vio_packed_word(0, place.at, place.bits);
    const uint64_t next_id = l4vio_packed_word(0, 1, 0);
    uint32_t left = run;
    uint64_t word;

    for (; left != 0 && add_single(desc, slot, request, id_and_flags, &word); left--) {
        l4vio_store_packed(desc, word);
        desc++;
        slot++;
        request++;
        id_and_flags += next_id;
    }
    packed_advance(&place, run - left, queue->size);
    packed_set_next_avail(queue, place);
    l4vio_advance(&queue->avail_index, run - left);
    return run - left;
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
    uint32_t room = l4vio_queue_room(queue);
    if (count - added < room)
        room = count - added;
    uint32_t run = add_run(queue, requests + added, room);
    if (run != room && queue->next_avail == 0)
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
    struct packed_place place = packed_next_avail(queue);
    uint32_t first_place = place.at;
    uint64_t first = l4vio_packed_write_chain(queue, head, count, first_place, &place);

    slots[first_place].writable_bytes = writable_bytes;
    slots[first_place].link = l4vio_slot_link(0, count);
    struct packed_place at = packed_next_avail(queue);
    for (uint32_t left = count; left != 0; left--) {
        slots[at.at].u.descriptor.id = head;
        slots[head].u.descriptor.link = L4VIO_ID_IN_FLIGHT;
        head = queue->descriptors[head].next;
        packed_advance(&at, 1, queue->size);
    }
    packed_put_first(queue, first_place, first);
    packed_set_next_avail(queue, place);
    packed_count_added(queue, count);
}

/* Takes the request at a place out of flight and returns its cookie; at the descriptor level all of its
 * private ids become the caller's. */
static inline void *take_out(struct l4vio_queue *queue, uint32_t at, bool descriptor_level)
{
    struct l4vio_queue_slot *slots = queue->slots;
    struct packed_place place = {at, 0};
    uint32_t left = l4vio_slot_count(&slots[at]);

    slots[at].link = 0;
    if (!descriptor_level)
        return slots[at].u.cookie;
    for (; left != 0; left--) {
        slots[slots[place.at].u.descriptor.id].u.descriptor.link = L4VIO_ID_HELD;
        packed_advance(&place, 1, queue->size);
    }
    return (void *)(uintptr_t)slots[at].u.descriptor.id;
}

/* So many are taken, up to this place; the slots say the rest. */
static inline void commit_used(struct l4vio_queue *queue, struct packed_place place,
                               uint32_t entries, uint32_t taken)
{
    packed_set_next_used(queue, place);
    l4vio_advance(&queue->used_index, taken);
    if (entries != taken)
        queue->extra_entries -= entries - taken;
}

/* How far a place is from that of the next completion. */
static uint32_t places_ahead(const struct l4vio_queue *queue, uint32_t place)
{
    return place >= queue->next_used ? place - queue->next_used
                                     : place + queue->size - queue->next_used;
}

/*
 * Is this the id of a request that the device may complete? Only those in flight have entries, and in
 * order what is not published comes last.
 */
static bool may_be_used(const struct l4vio_queue *queue, uint32_t id)
{
    if (queue->published_index == queue->used_index || id >= queue->size ||
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
    struct packed_place place = packed_next_used(queue);
    uint32_t all_entries = 0;
    uint32_t taken = 0;

    while (taken < max) {
        const struct l4vio_queue_slot *slot = &queue->slots[place.at];
        uint32_t entries = l4vio_slot_count(slot);
        bool is_last = place.at == last;
        completion->length_bytes = is_last ? queue->in_order_length : slot->writable_bytes;
        completion->cookie = take_out(queue, place.at, descriptor_level);
        completion++;
        taken++;
        all_entries += entries;
        packed_advance(&place, entries, queue->size);
        if (is_last) {
            queue->in_order_end = 0;
            break;
        }
    }
    commit_used(queue, place, all_entries, taken);
    return taken;
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
            if (!packed_is_used(word, queue->used_bits) || learn(queue, word) < 0)
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
static inline bool take_single(struct l4vio_queue_slot *slot, uint64_t word, uint64_t expected,
                               struct l4vio_completion *completion)
{
    const uint64_t compared = l4vio_packed_word(0, UINT16_MAX, PACKED_BITS);
    if (((word ^ expected) & compared) != 0)
        return false;
    uint32_t length_bytes = packed_used_length(word);
    if (l4vio_slot_count(slot) != 1 || length_bytes > slot->writable_bytes)
        return false;
    completion->cookie = slot->u.cookie;
    completion->length_bytes = length_bytes;
    slot->link = 0;
    return true;
}

/* What the straight path is about to do, or has done. */
struct run {
    uint32_t taken;
    bool stopped; /* By `word`, which was read at the place that it stopped at. */
    uint64_t word;
};

/* As many completions as go the straight path up to the end of the ring. */
static inline struct run take_run(struct l4vio_queue *queue, struct l4vio_completion *completions,
                                  uint32_t max, bool order_platform)
{
    const uint64_t in_flight = queue->published_index - queue->used_index;
    struct packed_place place = packed_next_used(queue);
    const struct virtq_packed_desc *desc = &packed_ring(queue)[place.at];
    struct l4vio_queue_slot *slot = &queue->slots[place.at];
    uint64_t expected = l4vio_packed_word(0, place.at, place.bits);
    uint32_t count = queue->size - place.at;
    if (max < count)
        count = max;
    if (in_flight < count)
        count = (uint32_t)in_flight;
    struct run run = {0, false, 0};
    uint32_t left = count;

    for (; left != 0; left--) {
        run.word =
            order_platform ? l4vio_load_packed_platform(desc) : l4vio_load_packed_acquire(desc);
        if (!take_single(slot, run.word, expected, completions))
            break;
        completions++;
        desc++;
        slot++;
        expected += l4vio_packed_word(0, 1, 0);
    }
    run.stopped = left != 0;
    run.taken = count - left;
    packed_advance(&place, run.taken, queue->size);
    commit_used(queue, place, run.taken, run.taken);
    return run;
}

/* `max` is not 0. */
__attribute__((always_inline)) static inline int take_many(struct l4vio_queue *queue,
                                                           struct l4vio_completion *completions,
                                                           uint32_t max, bool order_platform)
{
    struct run run = take_run(queue, completions, max, order_platform);
    uint32_t taken = run.taken;
    if (!run.stopped && taken != max && queue->next_used == 0) {
        run = take_run(queue, completions + taken, max - taken, order_platform);
        taken += run.taken;
    }
    if (taken == max)
        return (int)taken;
    if (!run.stopped)
        run.word = packed_load(queue, queue->next_used, order_platform);
    if (!packed_is_used(run.word, queue->used_bits))
        return (int)taken;
    return take_rest(queue, completions, taken, max, run.word, order_platform);
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
    struct packed_place place = packed_next_used(queue);
    uint64_t word = packed_load(queue, queue->next_used, order_platform);
    if (!packed_is_used(word, place.bits))
        return 0;
    if (queue->published_index == queue->used_index ||
        !take_single(&queue->slots[place.at], word, l4vio_packed_word(0, place.at, place.bits),
                     completions))
        return take_rest(queue, completions, 0, 1, word, order_platform);
    packed_advance(&place, 1, queue->size);
    commit_used(queue, place, 1, 1);
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
                          queue->used_bits);
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
        struct packed_place place = packed_next_used(queue);
        packed_advance(&place, entries, queue->size);
        uint64_t word = packed_load(queue, place.at, queue->order_platform);
        if (!packed_is_used(word, place.bits))
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
    queue->extra_entries -= l4vio_slot_count(&queue->slots[entry]) - 1u;
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
    .take_back = take_back,
};
