/* SPDX-License-Identifier: MIT */
#include <l4vio/device_queue.h>

#include <l4vio/virtqueue.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "core/tracing.h"
#include "devices/memory.h"
#include "devices/ring.h"

/* The public calls that are inline in the header have a symbol too. */
extern inline int l4vio_device_queue_next(struct l4vio_device_queue *queue,
                                          struct l4vio_device_chain *chain,
                                          struct l4vio_device_segment *segments,
                                          unsigned segments_max);
extern inline void l4vio_device_queue_finish(struct l4vio_device_queue *queue,
                                             const struct l4vio_device_used *used, unsigned count);
extern inline bool l4vio_device_queue_has_avail(const struct l4vio_device_queue *queue);

/* The calls of a queue that is not set up. */
int l4vio_device_no_next(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                         struct l4vio_device_segment *segments, unsigned segments_max)
{
    (void)queue;
    (void)chain;
    (void)segments;
    (void)segments_max;
    return 0;
}

static void refuse_results(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                           unsigned count)
{
    (void)used;
    queue->counters.refused_results += count;
}

static const struct l4vio_device_queue_ops disabled_ops = {l4vio_device_no_next, refuse_results,
                                                           l4vio_device_nothing_avail};

bool l4vio_device_nothing_avail(const struct l4vio_device_queue *queue)
{
    (void)queue;
    return false;
}

int l4vio_device_broken_next(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                             struct l4vio_device_segment *segments, unsigned segments_max)
{
    (void)chain;
    (void)segments;
    (void)segments_max;
    return queue->broken;
}

void l4vio_device_queue_choose_ops(struct l4vio_device_queue *queue)
{
    const struct l4vio_device_ring *ring = queue->ring;
    if (queue->size == 0)
        queue->ops = &disabled_ops;
    else if (queue->broken)
        queue->ops = &ring->broken_ops;
    else if (queue->held)
        queue->ops = &ring->held_ops;
    else
        queue->ops = queue->order_platform ? &ring->order_platform_ops : &ring->ops;
    if (queue->size && l4vio_device_queue_logs(queue)) {
        queue->logged_ops = queue->ops;
        queue->ops = &l4vio_device_logged_ops;
    }
}

void l4vio_device_queue_set_kicks(struct l4vio_device_queue *queue, bool wanted)
{
    queue->ring->set_kicks(queue, wanted);
    if (l4vio_device_queue_logs(queue))
        queue->ring->log_kicks(queue);
}

static bool has(const struct l4vio_device_queue_config *config, unsigned bit)
{
    return l4vio_features_has(&config->features, bit);
}

static const struct l4vio_device_ring *ring_for(const struct l4vio_device_queue_config *config)
{
    static const struct l4vio_device_ring *const rings[2][2][2] = {
        {{&l4vio_device_split, &l4vio_device_split_recorded},
         {&l4vio_device_split_in_order, &l4vio_device_split_in_order_recorded}},
        {{&l4vio_device_packed, &l4vio_device_packed_recorded},
         {&l4vio_device_packed_in_order, &l4vio_device_packed_in_order_recorded}},
    };
    bool recorded = config->resume && config->resume->in_flight;
    return rings[has(config, L4VIO_F_RING_PACKED)][has(config, L4VIO_F_IN_ORDER)][recorded];
}

/* One of the three areas of a queue. */
struct area {
    uint64_t device_address;
    uint64_t size_bytes;
    uint32_t align_bytes; /* A power of two. */
};

/* Both addresses are aligned, so that every field is one access. */
static int translate_area(const struct l4vio_device_memory *memory, struct area area, void **local,
                          struct l4vio_error *error)
{
    if (area.device_address & (area.align_bytes - 1u))
        return l4vio_fail(error, L4VIO_EINVAL, "an area of a queue is not aligned",
                          area.device_address);
    *local = l4vio_device_memory_translate(memory, area.device_address, area.size_bytes);
    if (!*local)
        return l4vio_fail(error, L4VIO_EFAULT, "an area of a queue is outside registered memory",
                          area.device_address);
    if ((uintptr_t)*local & (area.align_bytes - 1u))
        return l4vio_fail(error, L4VIO_EINVAL, "an area of a queue is not aligned in memory",
                          area.device_address);
    return L4VIO_OK;
}

static int translate_areas(struct l4vio_device_queue *queue,
                           const struct l4vio_device_queue_config *config,
                           const struct l4vio_device_memory *memory, struct l4vio_error *error)
{
    bool packed = has(config, L4VIO_F_RING_PACKED);
    uint64_t event_bytes = sizeof(struct virtq_event_suppress);
    const struct area desc = {config->desc_address, l4vio_virtqueue_desc_bytes(config->size),
                              VIRTQ_DESC_ALIGN};
    const struct area avail = {config->avail_address,
                               packed ? event_bytes : l4vio_virtqueue_avail_bytes(config->size),
                               packed ? VIRTQ_EVENT_SUPPRESS_ALIGN : VIRTQ_AVAIL_ALIGN};
    const struct area used = {config->used_address,
                              packed ? event_bytes : l4vio_virtqueue_used_bytes(config->size),
                              packed ? VIRTQ_EVENT_SUPPRESS_ALIGN : VIRTQ_USED_ALIGN};
    void *avail_area = NULL;

    int result = translate_area(memory, desc, &queue->desc, error);
    if (!result)
        result = translate_area(memory, avail, &avail_area, error);
    if (!result)
        result = translate_area(memory, used, &queue->used, error);
    queue->avail = avail_area;
    queue->memory = memory;
    queue->region = l4vio_device_memory_find(memory, config->desc_address);
    return result;
}

int l4vio_device_queue_init(struct l4vio_device_queue *queue,
                            const struct l4vio_device_queue_config *config,
                            const struct l4vio_device_memory *memory, struct l4vio_error *error)
{
    *queue = (struct l4vio_device_queue){
        .ops = &disabled_ops,
        .ring = ring_for(config),
        .indirect = has(config, L4VIO_F_INDIRECT_DESC),
        .event_idx = has(config, L4VIO_F_EVENT_IDX),
        .order_platform = has(config, L4VIO_F_ORDER_PLATFORM),
        .notification_data = has(config, L4VIO_F_NOTIFICATION_DATA),
        .slots = has(config, L4VIO_F_IN_ORDER) ? config->slots : NULL,
        .index = config->index,
        .trace = config->trace,
    };
    if (!l4vio_virtqueue_size_allowed(config->size, &config->features))
        return l4vio_fail(error, L4VIO_EINVAL, "the size of a queue is not possible", config->size);
    if (has(config, L4VIO_F_IN_ORDER)) {
        if (!config->slots)
            return l4vio_fail(error, L4VIO_EINVAL, "no records for IN_ORDER", 0);
        memset(config->slots, 0, config->size * sizeof(*config->slots));
    }
    int result = translate_areas(queue, config, memory, error);
    if (result)
        return result;

    queue->size = config->size;
    result = queue->ring->initialize(queue, config->resume, error);
    if (result)
        queue->size = 0;
    l4vio_device_queue_choose_ops(queue);
    return result;
}

void l4vio_device_queue_disable(struct l4vio_device_queue *queue)
{
    queue->size = 0;
    l4vio_device_queue_choose_ops(queue);
    queue->in_flight = 0;
    queue->unannounced = 0;
    queue->desc = NULL;
    queue->avail = NULL;
    queue->used = NULL;
    queue->region = NULL;
    queue->memory = NULL;
}

__attribute__((cold)) int l4vio_device_queue_break(struct l4vio_device_queue *queue,
                                                   const char *text, uint64_t value)
{
    int code = l4vio_fail(&queue->broken_error, L4VIO_EBADPROTO, text, value);
    queue->broken = code;
    l4vio_device_queue_choose_ops(queue);
    queue->counters.broken++;
    l4vio_trace_event(queue->trace, L4VIO_TRACE_BROKEN, queue->index, (uint64_t)(int64_t)code,
                      value);
    return code;
}

void l4vio_device_queue_position(const struct l4vio_device_queue *queue, uint16_t *avail,
                                 uint16_t *used)
{
    uint16_t positions[2] = {0, 0};
    if (queue->ring)
        queue->ring->position(queue, &positions[0], &positions[1]);
    if (avail)
        *avail = positions[0];
    if (used)
        *used = positions[1];
}

void l4vio_device_queue_hold(struct l4vio_device_queue *queue, bool held)
{
    queue->held = held;
    l4vio_device_queue_choose_ops(queue);
}

int l4vio_device_queue_rewind(struct l4vio_device_queue *queue,
                              const struct l4vio_device_chain *chain)
{
    if (queue->in_flight == 0)
        return L4VIO_EINVAL;
    int result = queue->ring->rewind(queue, chain);
    if (result)
        return result;
    queue->counters.taken--;
    return L4VIO_OK;
}

/* Store before load: what we published or asked for, and what the driver did meanwhile. */
static void barrier_before_look(const struct l4vio_device_queue *queue)
{
    l4vio_full_barrier();
    if (queue->order_platform)
        l4vio_platform_full_barrier();
}

bool l4vio_device_queue_needs_notify(struct l4vio_device_queue *queue)
{
    if (queue->unannounced == 0)
        return false;

    /* What is used has to be visible before the driver's wish is read: it writes its wish, then
     * looks at what is used. */
    barrier_before_look(queue);
    bool wanted = queue->ring->wants_notification(queue);
    queue->unannounced = 0;
    if (wanted) {
        queue->counters.notifications_sent++;
        l4vio_trace_event(queue->trace, L4VIO_TRACE_KICK, queue->index, queue->used_index, 0);
    } else {
        queue->counters.notifications_suppressed++;
        l4vio_trace_event(queue->trace, L4VIO_TRACE_KICK_SUPPRESSED, queue->index,
                          queue->used_index, 0);
    }
    return wanted;
}

bool l4vio_device_queue_arm(struct l4vio_device_queue *queue)
{
    if (!l4vio_device_queue_ready(queue))
        return false;
    if (queue->kicks_off || queue->event_idx) /* Of which entry may have changed. */
        l4vio_device_queue_set_kicks(queue, true);
    queue->kicks_off = false;
    /* Without it the look could come before the driver sees that kicks are wanted: a chain that is
     * made available in between is never seen (S6). */
    barrier_before_look(queue);
    return l4vio_device_queue_has_avail(queue);
}

void l4vio_device_queue_disarm(struct l4vio_device_queue *queue)
{
    if (!l4vio_device_queue_ready(queue) || queue->kicks_off)
        return;
    queue->kicks_off = true;
    l4vio_device_queue_set_kicks(queue, false);
}

bool l4vio_device_queue_kicked(struct l4vio_device_queue *queue, uint32_t data)
{
    queue->counters.kicks++;
    if (!l4vio_device_queue_ready(queue) || !queue->notification_data)
        return true;
    if ((data & UINT16_MAX) == (uint16_t)queue->index &&
        queue->ring->position_fits(queue, (uint16_t)(data >> 16)))
        return true;
    queue->counters.wrong_kicks++;
    return false;
}
