/* SPDX-License-Identifier: MIT */
/* Packed rings with a record of what is in flight: the plain ones, and the record kept beside them. */
#include "core/bytes.h"
#include "devices/chain.h"
#include "devices/in_order.h"
#include "devices/inflight.h"
#include "devices/packed.h"

static int initialize_over(const struct l4vio_device_ring *ring, struct l4vio_device_queue *queue,
                           const struct l4vio_device_queue_resume *resume,
                           struct l4vio_error *error)
{
    struct l4vio_device_queue_resume at = *resume;
    int result = l4vio_inflight_begin(queue, resume, true, error);
    if (result)
        return result;
    int predecessor = l4vio_inflight_check(queue, error);
    if (predecessor < 0)
        return predecessor;
    if (predecessor)
        result = l4vio_inflight_packed_resume(queue, &at, error);
    if (!result)
        result = ring->initialize(queue, &at, error);
    if (!result && !predecessor)
        l4vio_inflight_packed_new(queue);
    return result;
}

/* A descriptor as the predecessor has recorded it, read once. Where its chain goes on was checked. */
static struct l4vio_device_entry recorded_entry(const struct l4vio_device_queue *queue, uint32_t at)
{
    const struct vhost_user_inflight_packed *region = queue->inflight.region;
    const struct vhost_user_inflight_packed_desc *entry =
        (const struct vhost_user_inflight_packed_desc *)(const void *)(region + 1) + at;
    uint32_t flags = l4vio_record_load16(&entry->flags) & ~VIRTQ_DESC_F_NEXT;
    return (struct l4vio_device_entry){
        l4vio_record_load64(&entry->addr),
        l4vio_packed_word(l4vio_record_load32(&entry->len), 0, flags),
    };
}

/* Reads the chain that begins with an entry and checks it; its entries, or the queue is broken. */
static int walk_recorded(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max,
                         uint32_t first)
{
    struct l4vio_device_walk walk = l4vio_device_walk_begin(chain, segments, segments_max);
    const struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    uint32_t last = slots[first].last;
    uint32_t at = first;
    int entries = 1;
    for (;; entries++) {
        struct l4vio_device_entry entry = recorded_entry(queue, at);
        uint32_t flags = l4vio_packed_flags(entry.word);
        int result;
        if (!(flags & VIRTQ_DESC_F_INDIRECT))
            result = l4vio_device_walk_add(queue, &walk, chain, entry, flags & VIRTQ_DESC_F_WRITE);
        else if (first == last)
            result = l4vio_packed_walk_table(queue, &walk, chain, entry);
        else
            result =
                l4vio_device_queue_break(queue, "an indirect descriptor in a chain", entry.address);
        if (result)
            return result;
        if (at == last)
            break;
        at = slots[at].next;
    }
    int result = l4vio_device_walk_end(queue, &walk, chain);
    return result ? result : entries;
}

/* The next chain of a predecessor: what lies in the ring may be something else by now. */
static int resubmit(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                    struct l4vio_device_segment *segments, unsigned segments_max)
{
    uint16_t first = queue->inflight.resubmit;
    int entries = walk_recorded(queue, chain, segments, segments_max, first);
    if (entries < 0)
        return entries;
    uint32_t id = (uint32_t)queue->inflight.slots[first].counter;
    l4vio_device_chain_name(chain, id, (uint32_t)entries);
    if (queue->slots) {
        uint32_t place = queue->inflight.place;
        l4vio_in_order_take(queue, place, chain, id, (uint32_t)entries);
        place += (uint32_t)entries;
        queue->inflight.place = (uint16_t)(place >= queue->size ? place - queue->size : place);
    }
    l4vio_inflight_give_out(queue);
    queue->counters.taken++;
    return 1;
}

static int next_over(const struct l4vio_device_ring *ring, struct l4vio_device_queue *queue,
                     struct l4vio_device_chain *chain, struct l4vio_device_segment *segments,
                     unsigned segments_max)
{
    if (queue->inflight.resubmit != L4VIO_INFLIGHT_NONE)
        return resubmit(queue, chain, segments, segments_max);
    uint32_t place = queue->avail_index;
    int result = ring->order_platform_ops.next(queue, chain, segments, segments_max);
    if (result <= 0 || l4vio_inflight_packed_take(queue, chain, place))
        return result;
    ring->rewind(queue, chain);
    queue->counters.taken--;
    return l4vio_device_queue_break(queue, "a buffer id is in flight already", chain->head);
}

static bool has_avail(const struct l4vio_device_queue *queue)
{
    return queue->inflight.resubmit != L4VIO_INFLIGHT_NONE ||
           l4vio_device_packed.ops.has_avail(queue);
}

static void publish(struct l4vio_device_queue *queue, struct l4vio_packed_writer *writer)
{
    if (!writer->first)
        return;
    l4vio_inflight_packed_moving(queue, writer->at);
    l4vio_packed_publish(queue, writer, true);
    l4vio_inflight_packed_moved(queue, writer->chains);
    *writer = (struct l4vio_packed_writer){.at = l4vio_packed_used_position(queue)};
}

/*
 * A batch that goes all round the ring ends at the place where it began, which those take for no
 * batch who compare places only: it is cut in two.
 */
static void finish(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                   unsigned count)
{
    struct l4vio_packed_writer writer = {.at = l4vio_packed_used_position(queue)};
    for (const struct l4vio_device_used *end = used + count; used != end; used++) {
        if (used->entries - 1u >= queue->in_flight_entries - writer.entries ||
            !l4vio_inflight_has(queue, used->head)) {
            queue->counters.refused_results++;
            continue;
        }
        if (writer.entries + used->entries >= queue->size)
            publish(queue, &writer);
        l4vio_inflight_packed_batch(queue, used->head);
        l4vio_packed_write_used(queue, &writer, used->head, used->written_bytes, 1, used->entries);
    }
    publish(queue, &writer);
}

/* The ids of a run, from the records of IN_ORDER, which stay until their places are taken again. */
static void batch_run(struct l4vio_device_queue *queue, struct l4vio_packed_position at,
                      uint32_t chains)
{
    for (; chains; chains--) {
        const struct l4vio_device_queue_slot *slot = &queue->slots[at.place];
        l4vio_inflight_packed_batch(queue, slot->head);
        at = l4vio_packed_ahead(queue, at, slot->entries);
    }
}

static void finish_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                            unsigned count)
{
    struct l4vio_packed_writer writer = {.at = l4vio_packed_used_position(queue)};
    struct l4vio_in_order_results results = {used, used + count};
    struct l4vio_in_order_run run;

    while (l4vio_in_order_next(queue, writer.at.place, &results, &run)) {
        if (writer.entries + run.entries >= queue->size)
            publish(queue, &writer);
        batch_run(queue, writer.at, run.chains);
        l4vio_packed_write_used(queue, &writer, run.head, run.written_bytes, run.chains,
                                run.entries);
    }
    publish(queue, &writer);
}

static int rewind_over(const struct l4vio_device_ring *ring, struct l4vio_device_queue *queue,
                       const struct l4vio_device_chain *chain)
{
    if (!l4vio_inflight_has(queue, chain->head))
        return L4VIO_EINVAL;
    uint16_t first = queue->inflight.slots[chain->head].first;
    if (queue->inflight.slots[first].order == L4VIO_INFLIGHT_TAKEN) {
        int result = ring->rewind(queue, chain);
        if (!result)
            l4vio_inflight_packed_rewind(queue, chain->head);
        return result;
    }
    if (queue->slots) {
        uint32_t place = queue->inflight.place;
        place = (place < chain->entries ? place + queue->size : place) - chain->entries;
        if (place >= queue->size || !l4vio_in_order_rewind(queue, place, chain))
            return L4VIO_EINVAL;
        queue->inflight.place = (uint16_t)place;
    }
    l4vio_inflight_wait_again(queue, first);
    return L4VIO_OK;
}

/* One function per way of working. */
static int initialize_plain(struct l4vio_device_queue *queue,
                            const struct l4vio_device_queue_resume *resume,
                            struct l4vio_error *error)
{
    return initialize_over(&l4vio_device_packed, queue, resume, error);
}

static int initialize_in_order(struct l4vio_device_queue *queue,
                               const struct l4vio_device_queue_resume *resume,
                               struct l4vio_error *error)
{
    return initialize_over(&l4vio_device_packed_in_order, queue, resume, error);
}

static int next_plain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max)
{
    return next_over(&l4vio_device_packed, queue, chain, segments, segments_max);
}

static int next_in_order(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max)
{
    return next_over(&l4vio_device_packed_in_order, queue, chain, segments, segments_max);
}

static int rewind_plain(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    return rewind_over(&l4vio_device_packed, queue, chain);
}

static int rewind_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    return rewind_over(&l4vio_device_packed_in_order, queue, chain);
}

const struct l4vio_device_ring l4vio_device_packed_recorded = {
    .ops = {next_plain, finish, has_avail},
    .order_platform_ops = {next_plain, finish, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish, l4vio_device_nothing_avail},
    .initialize = initialize_plain,
    .position = l4vio_packed_position,
    .rewind = rewind_plain,
    .wants_notification = l4vio_packed_wants_notification,
    .set_kicks = l4vio_packed_set_kicks,
    .log_used = l4vio_packed_log_used,
    .log_kicks = l4vio_packed_log_kicks,
    .position_fits = l4vio_packed_position_fits,
};

const struct l4vio_device_ring l4vio_device_packed_in_order_recorded = {
    .ops = {next_in_order, finish_in_order, has_avail},
    .order_platform_ops = {next_in_order, finish_in_order, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish_in_order, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish_in_order, l4vio_device_nothing_avail},
    .initialize = initialize_in_order,
    .position = l4vio_packed_position,
    .rewind = rewind_in_order,
    .wants_notification = l4vio_packed_wants_notification,
    .set_kicks = l4vio_packed_set_kicks,
    .log_used = l4vio_packed_log_used,
    .log_kicks = l4vio_packed_log_kicks,
    .position_fits = l4vio_packed_position_fits,
};
