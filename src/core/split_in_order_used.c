/* SPDX-License-Identifier: MIT */
/* Driver side of the split virtqueue with IN_ORDER: taking what was used. See split_in_order.h. */
#include "core/split_in_order.h"

/* Hands back `count` requests of any number of entries from `entry` on; returns the entry behind. */
static inline uint32_t hand_back_any(struct l4vio_queue *queue,
                                     struct l4vio_completion *completions, uint32_t entry,
                                     uint32_t count, bool descriptor_level)
{
    const struct l4vio_completion *const end = completions + count;
    uint32_t all_entries = 0;

    do {
        struct l4vio_queue_slot *slot = &queue->slots[entry];
        uint32_t entries = l4vio_slot_count(slot);
        completions->cookie = split_slot_cookie(slot, descriptor_level);
        completions->length_bytes = slot->writable_bytes;
        slot->link = 0;
        if (descriptor_level)
            split_give_back_ids(queue, entry, entries);
        all_entries += entries;
        entry = split_behind(queue, entry, entries);
    } while (++completions != end);
    queue->extra_entries -= all_entries - count;
    return entry;
}

/* The same for requests of one entry each, up to the end of the table. */
static inline void hand_back_run(struct l4vio_queue_slot *slot,
                                 struct l4vio_completion *completions, uint32_t count)
{
    const struct l4vio_completion *const end = completions + count;
    for (; completions != end; completions++, slot++) {
        completions->cookie = slot->u.cookie;
        completions->length_bytes = slot->writable_bytes;
        slot->link = 0;
    }
}

/* Hands back `count` requests, at least one, that are known to be done. */
static inline void hand_back(struct l4vio_queue *queue, struct l4vio_completion *completions,
                             uint32_t count, bool descriptor_level)
{
    uint32_t entry = queue->next_used;
    if (descriptor_level || queue->extra_entries != 0) {
        queue->next_used = hand_back_any(queue, completions, entry, count, descriptor_level);
    } else {
        uint32_t run = split_least(count, queue->size - entry);
        hand_back_run(&queue->slots[entry], completions, run);
        hand_back_run(queue->slots, completions + run, count - run);
        queue->next_used = split_behind(queue, entry, count);
    }
    l4vio_advance(&queue->used_index, count);
    if (queue->used_index == queue->in_order_end)
        completions[count - 1u].length_bytes = queue->in_order_length;
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
        entry = split_behind(queue, entry, l4vio_slot_count(&queue->slots[entry]));
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

/* An element for the oldest request alone, as it should be; if it is not that, nothing has happened. */
static inline bool take_oldest(struct l4vio_queue *queue, struct split_used_element used,
                               struct l4vio_completion *completion, bool descriptor_level)
{
    uint32_t entry = queue->next_used;
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    uint32_t entries = l4vio_slot_count(slot);
    if (used.id != entry || used.length > slot->writable_bytes)
        return false;
    completion->cookie = split_slot_cookie(slot, descriptor_level);
    completion->length_bytes = used.length;
    slot->link = 0;
    if (descriptor_level)
        split_give_back_ids(queue, entry, entries);
    queue->next_used = split_behind(queue, entry, entries);
    queue->extra_entries -= entries - 1u;
    l4vio_advance(&queue->used_index, 1);
    return true;
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
        uint32_t count = 1;
        if (!take_oldest(queue, used, completions + taken, descriptor_level)) {
            int result = accept(queue, used, (uint32_t)(limit - queue->used_index));
            if (result < 0)
                return taken ? (int)taken : result;
            count = split_least(known(queue), max - taken);
            hand_back(queue, completions + taken, count, descriptor_level);
        }
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

    uint32_t run = split_least(queue->size - place, queue->size - entry);
    run = split_least(run, split_least(max - taken, (uint32_t)(limit - queue->used_index)));
    const uint32_t end = entry + run;
    while (take_single(slot, used, entry, completion)) {
        slot++;
        completion++;
        if (++entry == end)
            break;
        used = split_read_used(++element);
    }
    uint32_t left = end - entry;
    queue->next_used = entry & queue->mask;
    l4vio_advance(&queue->used_index, run - left);
    taken += run - left;
    if (left != 0)
        return take_rest(queue, completions, taken, max, limit, used);
    if (taken == max || queue->used_index == limit)
        return (int)taken;
    return take_many(queue, completions, taken, max, limit);
}

/* Not just one, or not all that was published; or something is wrong. */
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
    if (pending == 0 || max == 0)
        return (int)taken;
    return take_many(queue, completions, taken, max, queue->used_index + pending);
}

/* What an element told of before, and then the ring. */
__attribute__((noinline)) static int take_known(struct l4vio_queue *queue,
                                                struct l4vio_completion *completions, unsigned max)
{
    uint32_t count = split_least(known(queue), max);
    if (count == 0)
        return 0;
    hand_back(queue, completions, count, false);
    if (count == max)
        return (int)count;
    return take_pending(queue, completions, count, max,
                        split_load_used_index(queue, queue->order_platform));
}

/* What the straight path of one request found out of the ordinary. */
__attribute__((noinline)) static int take_one(struct l4vio_queue *queue,
                                              struct l4vio_completion *completion, uint32_t id,
                                              uint32_t length)
{
    struct split_used_element used = {.id = id, .length = length};
    return take_rest(queue, completion, 0, 1, queue->published_index, used);
}

/*
 * One completion where all that was published is done, so that nothing can run ahead, has a path
 * without a loop.
 */
static inline int get_used_by(struct l4vio_queue *queue, struct l4vio_completion *completions,
                              unsigned max, bool platform)
{
    const struct virtq_used *used_area = split_used(queue);
    if (queue->in_order_end > queue->used_index)
        return take_known(queue, completions, max);
    uint16_t device_index = split_load_used_index(queue, platform);
    if (max != 1 || device_index != (uint16_t)queue->published_index)
        return take_pending(queue, completions, 0, max, device_index);
    if (queue->used_index == queue->published_index)
        return 0;

    uint32_t entry = queue->next_used;
    struct l4vio_queue_slot *slot = &queue->slots[entry];
    struct split_used_element used =
        split_read_used(&split_elements(used_area)[split_place(queue, queue->used_index)]);
    if (l4vio_slot_count(slot) != 1 || !take_single(slot, used, entry, completions))
        return take_one(queue, completions, used.id, used.length);
    queue->next_used = split_behind(queue, entry, 1);
    l4vio_advance(&queue->used_index, 1);
    return 1;
}

int l4vio_split_in_order_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                                  unsigned max)
{
    return get_used_by(queue, completions, max, false);
}

int l4vio_split_in_order_get_used_platform(struct l4vio_queue *queue,
                                           struct l4vio_completion *completions, unsigned max)
{
    return get_used_by(queue, completions, max, true);
}

int l4vio_split_in_order_get_used_chain(struct l4vio_queue *queue,
                                        struct l4vio_completion *completion)
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
