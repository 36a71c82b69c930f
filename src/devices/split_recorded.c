/* SPDX-License-Identifier: MIT */
/* Split rings with a record of what is in flight: the plain ones, and the record kept beside them. */
#include "core/bytes.h"
#include "devices/chain.h"
#include "devices/in_order.h"
#include "devices/inflight.h"
#include "devices/split.h"

static int initialize_over(const struct l4vio_device_ring *ring, struct l4vio_device_queue *queue,
                           const struct l4vio_device_queue_resume *resume,
                           struct l4vio_error *error)
{
    struct l4vio_device_queue_resume at = *resume;
    int result = l4vio_inflight_begin(queue, resume, false, error);
    if (result)
        return result;
    int predecessor = l4vio_inflight_check(queue, error);
    if (predecessor < 0)
        return predecessor;
    if (predecessor)
        result = l4vio_inflight_split_resume(queue, &at, error);
    if (!result)
        result = ring->initialize(queue, &at, error);
    if (!result && !predecessor)
        l4vio_inflight_split_new(queue);
    return result;
}

/* The next chain of a predecessor, read from its descriptors, which are still the device's. */
static int resubmit(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                    struct l4vio_device_segment *segments, unsigned segments_max)
{
    uint16_t head = queue->inflight.resubmit;
    int result = l4vio_split_walk(queue, chain, segments, segments_max, head);
    if (result)
        return result;
    if (queue->slots) {
        l4vio_in_order_take(queue, queue->inflight.place, chain, head, 1);
        queue->inflight.place = (uint16_t)l4vio_split_place(queue, queue->inflight.place + 1u);
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
    int result = ring->ops.next(queue, chain, segments, segments_max);
    if (result <= 0 || l4vio_inflight_split_take(queue, chain->head))
        return result;
    ring->rewind(queue, chain);
    queue->counters.taken--;
    return l4vio_device_queue_break(queue, "the head of a chain is in flight already", chain->head);
}

static bool has_avail(const struct l4vio_device_queue *queue)
{
    return queue->inflight.resubmit != L4VIO_INFLIGHT_NONE ||
           l4vio_device_split.ops.has_avail(queue);
}

static void finish(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                   unsigned count)
{
    const struct l4vio_device_used *end = used + count;
    uint32_t index = queue->used_index;
    uint32_t chains = 0;
    for (const struct l4vio_device_used *at = used; at != end; at++) {
        if (!l4vio_inflight_has(queue, at->head)) {
            queue->counters.refused_results++;
            continue;
        }
        l4vio_inflight_split_batch(queue, at->head);
        l4vio_split_write_used(queue, index++, at->head, at->written_bytes);
        chains++;
    }
    if (chains == 0)
        return;
    l4vio_split_publish(queue, index, chains, true);
    /* Of those that were refused nothing is in flight either, unless it waits. */
    for (const struct l4vio_device_used *at = used; at != end; at++) {
        if (at->head < queue->size && queue->inflight.slots[at->head].first == L4VIO_INFLIGHT_NONE)
            l4vio_inflight_split_clear(queue, at->head);
    }
    l4vio_inflight_split_cleared(queue);
}

/* The heads of a run, from the records of IN_ORDER, which stay until their places are taken again. */
static void batch_run(struct l4vio_device_queue *queue, uint32_t index, uint32_t chains)
{
    for (; chains; chains--)
        l4vio_inflight_split_batch(queue, queue->slots[l4vio_split_place(queue, index++)].head);
}

static void finish_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                            unsigned count)
{
    struct l4vio_in_order_results results = {used, used + count};
    struct l4vio_in_order_run run;
    uint32_t first = queue->used_index;
    uint32_t index = first;

    while (l4vio_in_order_next(queue, l4vio_split_place(queue, index), &results, &run)) {
        batch_run(queue, index, run.chains);
        l4vio_split_write_used(queue, index, run.head, run.written_bytes);
        index += run.chains;
    }
    if (index == first)
        return;
    l4vio_split_publish(queue, index, index - first, true);
    for (uint32_t at = first; at != index; at++)
        l4vio_inflight_split_clear(queue, queue->slots[l4vio_split_place(queue, at)].head);
    l4vio_inflight_split_cleared(queue);
}

static int rewind_over(const struct l4vio_device_ring *ring, struct l4vio_device_queue *queue,
                       const struct l4vio_device_chain *chain)
{
    if (!l4vio_inflight_has(queue, chain->head))
        return L4VIO_EINVAL;
    if (queue->inflight.slots[chain->head].order == L4VIO_INFLIGHT_TAKEN) {
        int result = ring->rewind(queue, chain);
        if (!result)
            l4vio_inflight_split_rewind(queue, chain->head);
        return result;
    }
    if (queue->slots) {
        uint32_t place = l4vio_split_place(queue, queue->inflight.place - 1u);
        if (!l4vio_in_order_rewind(queue, place, chain))
            return L4VIO_EINVAL;
        queue->inflight.place = (uint16_t)place;
    }
    l4vio_inflight_wait_again(queue, chain->head);
    return L4VIO_OK;
}

/* One function per way of working. */
static int initialize_plain(struct l4vio_device_queue *queue,
                            const struct l4vio_device_queue_resume *resume,
                            struct l4vio_error *error)
{
    return initialize_over(&l4vio_device_split, queue, resume, error);
}

static int initialize_in_order(struct l4vio_device_queue *queue,
                               const struct l4vio_device_queue_resume *resume,
                               struct l4vio_error *error)
{
    return initialize_over(&l4vio_device_split_in_order, queue, resume, error);
}

static int next_plain(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                      struct l4vio_device_segment *segments, unsigned segments_max)
{
    return next_over(&l4vio_device_split, queue, chain, segments, segments_max);
}

static int next_in_order(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max)
{
    return next_over(&l4vio_device_split_in_order, queue, chain, segments, segments_max);
}

static int rewind_plain(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    return rewind_over(&l4vio_device_split, queue, chain);
}

static int rewind_in_order(struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain)
{
    return rewind_over(&l4vio_device_split_in_order, queue, chain);
}

const struct l4vio_device_ring l4vio_device_split_recorded = {
    .ops = {next_plain, finish, has_avail},
    .order_platform_ops = {next_plain, finish, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish, l4vio_device_nothing_avail},
    .initialize = initialize_plain,
    .position = l4vio_split_position,
    .rewind = rewind_plain,
    .wants_notification = l4vio_split_wants_notification,
    .set_kicks = l4vio_split_set_kicks,
    .log_used = l4vio_split_log_used,
    .log_kicks = l4vio_split_log_kicks,
    .position_fits = l4vio_split_position_fits,
};

const struct l4vio_device_ring l4vio_device_split_in_order_recorded = {
    .ops = {next_in_order, finish_in_order, has_avail},
    .order_platform_ops = {next_in_order, finish_in_order, has_avail},
    .broken_ops = {l4vio_device_broken_next, finish_in_order, l4vio_device_nothing_avail},
    .held_ops = {l4vio_device_no_next, finish_in_order, l4vio_device_nothing_avail},
    .initialize = initialize_in_order,
    .position = l4vio_split_position,
    .rewind = rewind_in_order,
    .wants_notification = l4vio_split_wants_notification,
    .set_kicks = l4vio_split_set_kicks,
    .log_used = l4vio_split_log_used,
    .log_kicks = l4vio_split_log_kicks,
    .position_fits = l4vio_split_position_fits,
};
