/* SPDX-License-Identifier: MIT */
/*
 * Device side of the packed virtqueue (VIRTIO 1.4, section 2.8). The indexes of the queue are places
 * in the ring here, each with the bits of the round that it is in. A descriptor belongs to the driver
 * again once it is written as used, so places between `used_index` and `avail_index` are ours, and
 * `in_flight_entries` tells an empty ring from a full one.
 */
#include "devices/packed.h"
#include "core/bytes.h"
#include "devices/chain.h"
#include "devices/in_order.h"

static inline struct l4vio_packed_position avail_position(const struct l4vio_device_queue *queue)
{
    return (struct l4vio_packed_position){queue->avail_index, queue->avail_bits};
}

static inline void set_avail_position(struct l4vio_device_queue *queue,
                                      struct l4vio_packed_position at)
{
    queue->avail_index = (uint16_t)at.place;
    queue->avail_bits = (uint16_t)at.bits;
}

/* Of a position as l4vio_device_queue_resume has it. */
static uint32_t place_in(uint32_t position)
{
    return position & ~(1u << VIRTQ_EVENT_WRAP_SHIFT);
}

static bool first_round(uint32_t position)
{
    return position >> VIRTQ_EVENT_WRAP_SHIFT & 1u;
}

/* Both rounds begin with 1: available is AVAIL without USED, used is both. */
static const struct l4vio_device_queue_resume beginning = {.avail = 1u << VIRTQ_EVENT_WRAP_SHIFT,
                                                           .used = 1u << VIRTQ_EVENT_WRAP_SHIFT};

static int initialize(struct l4vio_device_queue *queue,
                      const struct l4vio_device_queue_resume *resume, struct l4vio_error *error)
{
    struct virtq_event_suppress *event = queue->used;
    if (!resume)
        resume = &beginning;
    if (place_in(resume->avail) >= queue->size || place_in(resume->used) >= queue->size)
        return l4vio_fail(error, L4VIO_EINVAL, "a position outside of the ring", resume->avail);
    queue->avail_index = (uint16_t)place_in(resume->avail);
    queue->avail_bits =
        first_round(resume->avail) ? VIRTQ_PACKED_DESC_F_AVAIL : VIRTQ_PACKED_DESC_F_USED;
    queue->used_index = (uint16_t)place_in(resume->used);
    queue->used_bits = first_round(resume->used) ? L4VIO_PACKED_ROUND_BITS : 0;
    l4vio_store16(&event->off_wrap, 0);
    l4vio_store16_release(&event->flags, VIRTQ_EVENT_F_ENABLE);
    return L4VIO_OK;
}

void l4vio_packed_position(const struct l4vio_device_queue *queue, uint16_t *avail, uint16_t *used)
{
    uint32_t avail_round = queue->avail_bits == VIRTQ_PACKED_DESC_F_AVAIL;
    uint32_t used_round = queue->used_bits == L4VIO_PACKED_ROUND_BITS;
    *avail = (uint16_t)(queue->avail_index | avail_round << VIRTQ_EVENT_WRAP_SHIFT);
    *used = (uint16_t)(queue->used_index | used_round << VIRTQ_EVENT_WRAP_SHIFT);
}

static inline uint32_t flags_of(struct l4vio_device_entry entry)
{
    return l4vio_packed_flags(entry.word);
}

/*
 * The descriptor behind one that has NEXT. It was made available before the first one was (clause
 * D-2.8.17-6): the load of that one's flags orders this one. True if it is there.
 */
static inline bool load_following(const struct l4vio_device_queue *queue,
                                  struct l4vio_packed_position at, struct l4vio_device_entry *entry)
{
    *entry = l4vio_device_entry_at(queue->desc, at.place);
    return (flags_of(*entry) & L4VIO_PACKED_ROUND_BITS) == at.bits;
}

/*
 * Follows an indirect table: its entries are a row, and of their flags only WRITE has a meaning. The
 * limit is the device's; empty entries, which make no segment, are bounded by it as well.
 */
int l4vio_packed_walk_table(struct l4vio_device_queue *queue, struct l4vio_device_walk *walk,
                            struct l4vio_device_chain *chain, struct l4vio_device_entry first)
{
    uint32_t entries;
    const void *table =
        l4vio_device_chain_table(queue, first, flags_of(first) & VIRTQ_DESC_F_NEXT, &entries);
    if (!table)
        return L4VIO_EBADPROTO;
    if (entries > VIRTQ_SIZE_MAX ||
        (entries > queue->size && entries > (uint64_t)(walk->end - walk->at)))
        return l4vio_device_queue_break(queue, "an indirect table longer than the device takes",
                                        entries);
    for (uint32_t index = 0; index < entries; index++) {
        struct l4vio_device_entry entry = l4vio_device_table_entry(table, index);
        int result =
            l4vio_device_walk_add(queue, walk, chain, entry, flags_of(entry) & VIRTQ_DESC_F_WRITE);
        if (result)
            return result;
    }
    return L4VIO_OK;
}

/* Follows a list from its first descriptor, which was read already: its id is that of the last one. */
static inline int walk_list(struct l4vio_device_queue *queue, struct l4vio_device_walk *walk,
                            struct l4vio_device_chain *chain, struct l4vio_device_entry entry)
{
    struct l4vio_packed_position at = avail_position(queue);
    uint32_t room = (uint32_t)queue->size - queue->in_flight_entries;
    for (uint32_t entries = 1;; entries++) {
        uint32_t flags = flags_of(entry);
        int result = l4vio_device_walk_add(queue, walk, chain, entry, flags & VIRTQ_DESC_F_WRITE);
        if (result)
            return result;
        if (!(flags & VIRTQ_DESC_F_NEXT)) {
            l4vio_device_chain_name(chain, l4vio_packed_id(entry.word), entries);
            return L4VIO_OK;
        }
        if (entries == room)
            return l4vio_device_queue_break(queue, "a chain longer than what the ring has free",
                                            room);
        at = l4vio_packed_ahead(queue, at, 1);
        if (!load_following(queue, at, &entry))
            return l4vio_device_queue_break(
                queue, "a chain whose later descriptors are not available", at.place);
        if (flags_of(entry) & VIRTQ_DESC_F_INDIRECT)
            return l4vio_device_queue_break(queue, "an indirect descriptor in a chain",
                                            entry.address);
    }
}

/* The chain is what was taken, but for its id: it is in flight now, or the queue is broken. */
static inline int commit(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain,
                         uint32_t id, uint32_t entries, bool in_order)
{
    if (id >= queue->size)
        return l4vio_device_queue_break(queue, "a buffer id is out of range", id);
    if (in_order) {
        if (l4vio_in_order_has(queue, id))
            return l4vio_device_queue_break(queue, "a buffer id is in flight already", id);
        l4vio_in_order_take(queue, queue->avail_index, chain, id, entries);
    }
    set_avail_position(queue, l4vio_packed_ahead(queue, avail_position(queue), entries));
    queue->in_flight_entries = (uint16_t)(queue->in_flight_entries + entries);
    queue->in_flight++;
    queue->counters.taken++;
    return 1;
}

/* Any chain. */
static int take_chain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max,
                      struct l4vio_device_entry first)
{
    struct l4vio_device_walk walk = l4vio_device_walk_begin(chain, segments, segments_max);
    int result;
    l4vio_device_chain_name(chain, l4vio_packed_id(first.word), 1);
    if (flags_of(first) & VIRTQ_DESC_F_INDIRECT)
        result = l4vio_packed_walk_table(queue, &walk, chain, first);
    else
        result = walk_list(queue, &walk, chain, first);
    if (!result)
        result = l4vio_device_walk_end(queue, &walk, chain);
    if (result)
        return result;
    return commit(queue, chain, chain->head, chain->entries, queue->slots != NULL);
}

/*
 * Calls stand at the ends of the straight path only, so that nothing has to be saved for them.
 */
__attribute__((always_inline)) static inline int take(struct l4vio_device_queue *queue,
                                                      struct l4vio_device_chain *chain,
                                                      struct l4vio_device_segment *segments,
                                                      unsigned segments_max, bool in_order,
                                                      bool order_platform)
{
    const struct virtq_packed_desc *desc = &l4vio_packed_ring(queue)[queue->avail_index];
    uint64_t word =
        order_platform ? l4vio_load_packed_platform(desc) : l4vio_load_packed_acquire(desc);
    uint32_t flags = l4vio_packed_flags(word);
    if ((flags & L4VIO_PACKED_ROUND_BITS) != queue->avail_bits)
        return 0;
    /* Everything is in flight: the driver may not have written here. */
    if (queue->in_flight_entries == queue->size)
        return l4vio_device_queue_break(queue, "more descriptors available than the ring has",
                                        queue->size);

    struct l4vio_device_entry first = {l4vio_load64(&desc->addr), word};
    uint32_t id = l4vio_packed_id(word);
    if (!l4vio_device_chain_single(queue, chain, segments, segments_max, first, id, flags))
        return take_chain(queue, chain, segments, segments_max, first);
    return commit(queue, chain, id, 1, in_order);
}

__attribute__((always_inline)) static inline void hand_back(struct l4vio_device_queue *queue,
                                                            const struct l4vio_device_used *used,
                                                            unsigned count, bool order_platform)
{
    struct l4vio_packed_writer writer = {.at = {queue->used_index, queue->used_bits}};
    if (count > queue->in_flight) {
        queue->counters.refused_results += count - queue->in_flight;
        count = queue->in_flight;
    }
    for (const struct l4vio_device_used *end = used + count; used != end; used++) {
        /* Of 0 entries: not of a chain. */
        if (used->entries - 1u >= queue->in_flight_entries - writer.entries) {
            queue->counters.refused_results++;
            continue;
        }
        l4vio_packed_write_used(queue, &writer, used->head, used->written_bytes, 1, used->entries);
    }
    l4vio_packed_publish(queue, &writer, order_platform);
}

/* One descriptor for a run of chains lies where the first one does; the rest is skipped. */
__attribute__((always_inline)) static inline void hand_back_in_order(
    struct l4vio_device_queue *queue, const struct l4vio_device_used *used, unsigned count,
    bool order_platform)
{
    struct l4vio_packed_writer writer = {.at = {queue->used_index, queue->used_bits}};
    struct l4vio_in_order_results results = {used, used + count};
    struct l4vio_in_order_run run;

    while (l4vio_in_order_next(queue, writer.at.place, &results, &run))
        l4vio_packed_write_used(queue, &writer, run.head, run.written_bytes, run.chains,
                                run.entries);
    l4vio_packed_publish(queue, &writer, order_platform);
}

static bool has_avail(const struct l4vio_device_queue *queue)
{
    const struct virtq_packed_desc *desc = &l4vio_packed_ring(queue)[queue->avail_index];
    return (l4vio_load16_acquire(&desc->flags) & L4VIO_PACKED_ROUND_BITS) == queue->avail_bits;
}

/* Where a chain began that ends at `avail_index`. */
static struct l4vio_packed_position behind(const struct l4vio_device_queue *queue, uint32_t entries)
{
    struct l4vio_packed_position at = avail_position(queue);
    if (entries > at.place) {
        at.place += queue->size;
        at.bits ^= L4VIO_PACKED_ROUND_BITS;
    }
    at.place -= entries;
    return at;
}

static int rewind(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    if (chain->entries == 0 || chain->entries > queue->in_flight_entries)
        return L4VIO_EINVAL;
    set_avail_position(queue, behind(queue, chain->entries));
    queue->in_flight_entries = (uint16_t)(queue->in_flight_entries - chain->entries);
    queue->in_flight--;
    return L4VIO_OK;
}

static int rewind_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    if (chain->entries == 0 || chain->entries > queue->in_flight_entries)
        return L4VIO_EINVAL;
    if (!l4vio_in_order_rewind(queue, behind(queue, chain->entries).place, chain))
        return L4VIO_EINVAL;
    return rewind(queue, chain);
}

/*
 * The place that the driver waits for is among the last `unannounced` ones if it lies at most so far
 * back. One more than a round back is the same place of the next round, which has not come yet.
 */
bool l4vio_packed_wants_notification(const struct l4vio_device_queue *queue)
{
    const struct virtq_event_suppress *event = queue->avail;
    uint32_t flags = l4vio_load16_acquire(&event->flags) & 3u;
    if (flags != VIRTQ_EVENT_F_DESC || !queue->event_idx)
        return flags != VIRTQ_EVENT_F_DISABLE;

    uint32_t off_wrap = l4vio_load16(&event->off_wrap);
    uint32_t place = off_wrap & ~(1u << VIRTQ_EVENT_WRAP_SHIFT);
    bool same_round = off_wrap >> VIRTQ_EVENT_WRAP_SHIFT == (queue->used_bits != 0);
    int32_t back = (int32_t)queue->used_index - (int32_t)place + (same_round ? 0 : queue->size);
    return back > 0 && back <= queue->size && (uint32_t)back <= queue->unannounced;
}

void l4vio_packed_set_kicks(struct l4vio_device_queue *queue, bool wanted)
{
    struct virtq_event_suppress *event = queue->used;
    if (!wanted) {
        l4vio_store16(&event->flags, VIRTQ_EVENT_F_DISABLE);
        return;
    }
    if (!queue->event_idx) {
        l4vio_store16(&event->flags, VIRTQ_EVENT_F_ENABLE);
        return;
    }
    uint32_t round = queue->avail_bits == VIRTQ_PACKED_DESC_F_AVAIL;
    l4vio_store16(&event->off_wrap,
                  (uint16_t)(queue->avail_index | round << VIRTQ_EVENT_WRAP_SHIFT));
    l4vio_store16_release(&event->flags, VIRTQ_EVENT_F_DESC);
}

/* Of what is said to be available, at least the first is to be seen. */
bool l4vio_packed_position_fits(const struct l4vio_device_queue *queue, uint16_t position)
{
    uint32_t place = position & ~(1u << VIRTQ_EVENT_WRAP_SHIFT);
    uint32_t round = queue->avail_bits == VIRTQ_PACKED_DESC_F_AVAIL;
    if (place >= queue->size)
        return false;
    bool same_round = (uint32_t)position >> VIRTQ_EVENT_WRAP_SHIFT == round;
    int32_t ahead = (int32_t)place - queue->avail_index + (same_round ? 0 : queue->size);
    if (ahead <= 0 || ahead > queue->size - queue->in_flight_entries)
        return true;
    return has_avail(queue);
}

/* One function per way of working: `in_order` and `order_platform` are constants in each. */
static int next_plain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max)
{
    return take(queue, chain, segments, segments_max, false, false);
}

static int next_platform(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max)
{
    return take(queue, chain, segments, segments_max, false, true);
}

static int next_in_order(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max)
{
    return take(queue, chain, segments, segments_max, true, false);
}

static int next_in_order_platform(struct l4vio_device_queue *queue,
                                  struct l4vio_device_chain *chain,
                                  struct l4vio_device_segment *segments, unsigned segments_max)
{
    return take(queue, chain, segments, segments_max, true, true);
}

static void finish_plain(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                         unsigned count)
{
    hand_back(queue, used, count, false);
}

static void finish_platform(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                            unsigned count)
{
    hand_back(queue, used, count, true);
}

static void finish_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                            unsigned count)
{
    hand_back_in_order(queue, used, count, false);
}

static void finish_in_order_platform(struct l4vio_device_queue *queue,
                                     const struct l4vio_device_used *used, unsigned count)
{
    hand_back_in_order(queue, used, count, true);
}

const struct l4vio_device_ring l4vio_device_packed = {
    .ops = {next_plain, finish_plain, has_avail},
    .order_platform_ops = {next_platform, finish_platform, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish_platform, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish_platform, l4vio_device_nothing_avail},
    .initialize = initialize,
    .position = l4vio_packed_position,
    .rewind = rewind,
    .wants_notification = l4vio_packed_wants_notification,
    .set_kicks = l4vio_packed_set_kicks,
    .log_used = l4vio_packed_log_used,
    .log_kicks = l4vio_packed_log_kicks,
    .position_fits = l4vio_packed_position_fits,
};

const struct l4vio_device_ring l4vio_device_packed_in_order = {
    .ops = {next_in_order, finish_in_order, has_avail},
    .order_platform_ops = {next_in_order_platform, finish_in_order_platform, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish_in_order_platform, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish_in_order_platform, l4vio_device_nothing_avail},
    .initialize = initialize,
    .position = l4vio_packed_position,
    .rewind = rewind_in_order,
    .wants_notification = l4vio_packed_wants_notification,
    .set_kicks = l4vio_packed_set_kicks,
    .log_used = l4vio_packed_log_used,
    .log_kicks = l4vio_packed_log_kicks,
    .position_fits = l4vio_packed_position_fits,
};
