/* SPDX-License-Identifier: MIT */
/* Device side of the split virtqueue (VIRTIO 1.4, section 2.7). */
#include "devices/split.h"
#include "core/bytes.h"
#include "devices/chain.h"
#include "devices/in_order.h"

/* The driver has zeroed them if it keeps the rules; what we own says what we mean anyway. */
static int initialize(struct l4vio_device_queue *queue,
                      const struct l4vio_device_queue_resume *resume, struct l4vio_error *error)
{
    (void)error;
    if (resume) {
        queue->avail_index = resume->avail;
        queue->used_index = resume->used_in_ring
                                ? l4vio_load16_acquire(&l4vio_split_used(queue)->idx)
                                : resume->used;
    }
    queue->seen_index = queue->avail_index;
    queue->kick_index = queue->avail_index;
    l4vio_store16(&l4vio_split_used(queue)->flags, 0);
    if (queue->event_idx)
        l4vio_store16(l4vio_split_avail_event(queue), queue->kick_index);
    l4vio_store16_release(&l4vio_split_used(queue)->idx, queue->used_index);
    return L4VIO_OK;
}

void l4vio_split_position(const struct l4vio_device_queue *queue, uint16_t *avail, uint16_t *used)
{
    *avail = queue->avail_index;
    *used = queue->used_index;
}

static inline uint32_t flags_of(struct l4vio_device_entry entry)
{
    return l4vio_packed_id(entry.word);
}

static inline uint32_t next_of(struct l4vio_device_entry entry)
{
    return l4vio_packed_flags(entry.word);
}

/* Follows an indirect table; the chain may have `left` more buffers. */
static int walk_table(struct l4vio_device_queue *queue, struct l4vio_device_walk *walk,
                      struct l4vio_device_chain *chain, struct l4vio_device_entry entry,
                      uint32_t left)
{
    uint32_t entries;
    const void *table =
        l4vio_device_chain_table(queue, entry, flags_of(entry) & VIRTQ_DESC_F_NEXT, &entries);
    if (!table)
        return L4VIO_EBADPROTO;
    for (uint32_t index = 0;;) {
        entry = l4vio_device_table_entry(table, index);
        uint32_t flags = flags_of(entry);
        if (flags & VIRTQ_DESC_F_INDIRECT)
            return l4vio_device_queue_break(
                queue, "an indirect descriptor inside an indirect table", entry.address);
        /* A cycle ends here too: clause D-2.7.5.3.1-3. */
        if (left-- == 0)
            return l4vio_device_queue_break(queue, "a chain longer than the queue", queue->size);
        int result = l4vio_device_walk_add(queue, walk, chain, entry, flags & VIRTQ_DESC_F_WRITE);
        if (result)
            return result;
        if (!(flags & VIRTQ_DESC_F_NEXT))
            return L4VIO_OK;
        index = next_of(entry);
        if (index >= entries)
            return l4vio_device_queue_break(queue, "the next descriptor is out of range", index);
    }
}

/* Follows a chain from its first descriptor, which was read already. */
__attribute__((always_inline)) static inline int walk_chain(struct l4vio_device_queue *queue,
                                                            struct l4vio_device_walk *walk,
                                                            struct l4vio_device_chain *chain,
                                                            struct l4vio_device_entry entry)
{
    for (uint32_t left = queue->size;;) {
        uint32_t flags = flags_of(entry);
        if (flags & VIRTQ_DESC_F_INDIRECT)
            return walk_table(queue, walk, chain, entry, left);
        /* A cycle ends here: no chain has more buffers than the queue has entries. */
        if (left-- == 0)
            return l4vio_device_queue_break(queue, "a chain longer than the queue", queue->size);
        int result = l4vio_device_walk_add(queue, walk, chain, entry, flags & VIRTQ_DESC_F_WRITE);
        if (result)
            return result;
        if (!(flags & VIRTQ_DESC_F_NEXT))
            return L4VIO_OK;
        uint32_t next = next_of(entry);
        if (next >= queue->size)
            return l4vio_device_queue_break(queue, "the next descriptor is out of range", next);
        entry = l4vio_device_entry_at(queue->desc, next);
    }
}

/* The chain is what was taken: it is in flight now. */
static inline int commit(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain,
                         uint32_t head, bool in_order)
{
    if (in_order)
        l4vio_in_order_take(queue, l4vio_split_place(queue, queue->avail_index), chain, head, 1);
    queue->avail_index++;
    queue->in_flight++;
    queue->counters.taken++;
    return 1;
}

/* Any chain; its head is checked, and in its place. */
static int take_chain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max,
                      struct l4vio_device_entry first)
{
    struct l4vio_device_walk walk = l4vio_device_walk_begin(chain, segments, segments_max);
    int result = walk_chain(queue, &walk, chain, first);
    if (!result)
        result = l4vio_device_walk_end(queue, &walk, chain);
    if (result)
        return result;
    return commit(queue, chain, chain->head, queue->slots != NULL);
}

int l4vio_split_walk(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                     struct l4vio_device_segment *segments, unsigned segments_max, uint32_t head)
{
    struct l4vio_device_walk walk = l4vio_device_walk_begin(chain, segments, segments_max);
    l4vio_device_chain_name(chain, head, 1);
    int result = walk_chain(queue, &walk, chain, l4vio_device_entry_at(queue->desc, head));
    return result ? result : l4vio_device_walk_end(queue, &walk, chain);
}

/* Reads the available index. Entries that were not looked at, or a negative code. */
static inline int look(struct l4vio_device_queue *queue)
{
    uint16_t index = l4vio_device_load_index(&l4vio_split_avail(queue)->idx, queue->order_platform);
    uint16_t pending = (uint16_t)(index - queue->avail_index);
    /* Chains in flight still own descriptors: all together there cannot be more than the size. */
    if ((uint32_t)pending + queue->in_flight > queue->size)
        return l4vio_device_queue_break(queue, "the available index runs ahead", index);
    queue->seen_index = index;
    return pending;
}

static int next_plain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max);
static int next_in_order(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max);

/* Once everything that was seen is taken: looks, and begins again. */
static int take_after_look(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                           struct l4vio_device_segment *segments, unsigned segments_max)
{
    int pending = look(queue);
    if (pending <= 0)
        return pending;
    return queue->slots ? next_in_order(queue, chain, segments, segments_max)
                        : next_plain(queue, chain, segments, segments_max);
}

/*
 * Calls stand at the ends of the straight path only, so that nothing has to be saved for them.
 */
__attribute__((always_inline)) static inline int take(struct l4vio_device_queue *queue,
                                                      struct l4vio_device_chain *chain,
                                                      struct l4vio_device_segment *segments,
                                                      unsigned segments_max, bool in_order)
{
    if (queue->avail_index == queue->seen_index)
        return take_after_look(queue, chain, segments, segments_max);

    uint32_t head =
        l4vio_load16(&l4vio_split_avail_ring(queue)[l4vio_split_place(queue, queue->avail_index)]);
    if (head >= queue->size)
        return l4vio_device_queue_break(queue, "the head of a chain is out of range", head);
    if (in_order && l4vio_in_order_has(queue, head))
        return l4vio_device_queue_break(queue, "the head of a chain is in flight already", head);
    struct l4vio_device_entry first = l4vio_device_entry_at(queue->desc, head);
    if (!l4vio_device_chain_single(queue, chain, segments, segments_max, first, head,
                                   flags_of(first))) {
        l4vio_device_chain_name(chain, head, 1);
        return take_chain(queue, chain, segments, segments_max, first);
    }
    return commit(queue, chain, head, in_order);
}

__attribute__((always_inline)) static inline void hand_back(struct l4vio_device_queue *queue,
                                                            const struct l4vio_device_used *used,
                                                            unsigned count, bool order_platform)
{
    if (count > queue->in_flight) {
        queue->counters.refused_results += count - queue->in_flight;
        count = queue->in_flight;
    }
    if (count == 0)
        return;

    uint32_t index = queue->used_index;
    for (const struct l4vio_device_used *end = used + count; used != end; used++)
        l4vio_split_write_used(queue, index++, used->head, used->written_bytes);
    l4vio_split_publish(queue, index, count, order_platform);
}

/* One element for a run of chains lies where that of the first one would; the index skips the rest. */
__attribute__((always_inline)) static inline void hand_back_in_order(
    struct l4vio_device_queue *queue, const struct l4vio_device_used *used, unsigned count,
    bool order_platform)
{
    struct l4vio_in_order_run run;
    struct l4vio_in_order_results results = {used, used + count};
    uint32_t index = queue->used_index;
    uint32_t chains = 0;

    while (l4vio_in_order_next(queue, l4vio_split_place(queue, index), &results, &run)) {
        l4vio_split_write_used(queue, index, run.head, run.written_bytes);
        index += run.chains;
        chains += run.chains;
    }
    if (chains)
        l4vio_split_publish(queue, index, chains, order_platform);
}

static bool has_avail(const struct l4vio_device_queue *queue)
{
    return l4vio_load16_acquire(&l4vio_split_avail(queue)->idx) != queue->avail_index;
}

static int rewind(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    (void)chain;
    queue->avail_index--;
    queue->in_flight--;
    return L4VIO_OK;
}

static int rewind_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    if (!l4vio_in_order_rewind(queue, l4vio_split_place(queue, queue->avail_index - 1u), chain))
        return L4VIO_EINVAL;
    return rewind(queue, chain);
}

bool l4vio_split_wants_notification(const struct l4vio_device_queue *queue)
{
    if (!queue->event_idx)
        return !(l4vio_load16(&l4vio_split_avail(queue)->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
    /* Clause V-2.7.7.2-5: is the entry that it waits for among the last ones? */
    uint16_t since =
        (uint16_t)(queue->used_index - l4vio_load16(l4vio_split_used_event(queue)) - 1u);
    return since < queue->unannounced;
}

/*
 * With EVENT_IDX one kick is asked for by its entry, and none by an entry that has passed: nothing
 * has to be written if the driver has passed what it was asked for last.
 */
void l4vio_split_set_kicks(struct l4vio_device_queue *queue, bool wanted)
{
    if (!queue->event_idx) {
        l4vio_store16(&l4vio_split_used(queue)->flags,
                      (uint16_t)(wanted ? 0u : VIRTQ_USED_F_NO_NOTIFY));
        return;
    }
    uint16_t entry = wanted ? queue->avail_index : (uint16_t)(queue->avail_index - 1u);
    if (entry == queue->kick_index || (!wanted && queue->kick_index != queue->avail_index))
        return;
    queue->kick_index = entry;
    l4vio_store16(l4vio_split_avail_event(queue), entry);
}

/* The index only grows, so no kick says more than the ring shows. */
bool l4vio_split_position_fits(const struct l4vio_device_queue *queue, uint16_t position)
{
    uint16_t ahead = (uint16_t)(position - l4vio_load16_acquire(&l4vio_split_avail(queue)->idx));
    return ahead == 0 || ahead > queue->size;
}

/* One function per way of working: the flags are constants in each. */
static int next_plain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max)
{
    return take(queue, chain, segments, segments_max, false);
}

static int next_in_order(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max)
{
    return take(queue, chain, segments, segments_max, true);
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

const struct l4vio_device_ring l4vio_device_split = {
    .ops = {next_plain, finish_plain, has_avail},
    .order_platform_ops = {next_plain, finish_platform, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish_platform, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish_platform, l4vio_device_nothing_avail},
    .initialize = initialize,
    .position = l4vio_split_position,
    .rewind = rewind,
    .wants_notification = l4vio_split_wants_notification,
    .set_kicks = l4vio_split_set_kicks,
    .log_used = l4vio_split_log_used,
    .log_kicks = l4vio_split_log_kicks,
    .position_fits = l4vio_split_position_fits,
};

const struct l4vio_device_ring l4vio_device_split_in_order = {
    .ops = {next_in_order, finish_in_order, has_avail},
    .order_platform_ops = {next_in_order, finish_in_order_platform, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish_in_order_platform, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish_in_order_platform, l4vio_device_nothing_avail},
    .initialize = initialize,
    .position = l4vio_split_position,
    .rewind = rewind_in_order,
    .wants_notification = l4vio_split_wants_notification,
    .set_kicks = l4vio_split_set_kicks,
    .log_used = l4vio_split_log_used,
    .log_kicks = l4vio_split_log_kicks,
    .position_fits = l4vio_split_position_fits,
};
