/* SPDX-License-Identifier: MIT */
#include <l4vio/queue.h>

#include "core/ordering.h"
#include "core/ring_format.h"
#include "core/tracing.h"

_Static_assert(sizeof(struct l4vio_queue_slot) == 16, "private state is 16 bytes per entry");
_Static_assert(sizeof(struct l4vio_descriptor) == 16, "shadow descriptors are 16 bytes");

extern inline int l4vio_queue_add(struct l4vio_queue *queue, const struct l4vio_request *requests,
                                  unsigned count);
extern inline void l4vio_queue_publish(struct l4vio_queue *queue);
extern inline int l4vio_queue_get_used(struct l4vio_queue *queue,
                                       struct l4vio_completion *completions, unsigned max);

/* What a broken queue, and the buffer level of a queue of the descriptor level, answer. */
static int broken_add(struct l4vio_queue *queue, const struct l4vio_request *requests,
                      unsigned count)
{
    (void)requests;
    (void)count;
    return queue->broken;
}

static void broken_publish(struct l4vio_queue *queue)
{
    (void)queue;
}

static int broken_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                           unsigned max)
{
    (void)completions;
    (void)max;
    return queue->broken;
}

static const struct l4vio_queue_ops broken_ops = {
    .add = broken_add, .publish = broken_publish, .get_used = broken_get_used};

static int refused_add(struct l4vio_queue *queue, const struct l4vio_request *requests,
                       unsigned count)
{
    (void)queue;
    (void)requests;
    (void)count;
    return L4VIO_EINVAL;
}

static void descriptor_level_publish(struct l4vio_queue *queue)
{
    const struct l4vio_ring_format *format = queue->format;
    if (queue->order_platform)
        format->order_platform_ops.publish(queue);
    else
        format->ops.publish(queue);
}

static int refused_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                            unsigned max)
{
    (void)queue;
    (void)completions;
    (void)max;
    return L4VIO_EINVAL;
}

static const struct l4vio_queue_ops descriptor_level_ops = {
    .add = refused_add, .publish = descriptor_level_publish, .get_used = refused_get_used};

int l4vio_queue_break(struct l4vio_queue *queue, const char *text, uint64_t value)
{
    queue->broken = l4vio_fail(&queue->broken_error, L4VIO_EBADPROTO, text, value);
    queue->ops = broken_ops;
    l4vio_count(&queue->counters.broken, 1);
    l4vio_trace_event(queue->trace, L4VIO_TRACE_BROKEN, queue->index,
                      (uint64_t)(int64_t)L4VIO_EBADPROTO, value);
    return queue->broken;
}

static bool aligned(const void *local, uint64_t device_address, unsigned align)
{
    return local && (((uintptr_t)local | device_address) & (align - 1u)) == 0;
}

static bool has(const struct l4vio_queue_config *config, enum l4vio_feature_bit bit)
{
    return l4vio_features_has(&config->features, bit);
}

static int check_tables(const struct l4vio_queue_config *config, struct l4vio_error *error)
{
    const struct l4vio_indirect_tables *tables = &config->indirect;
    if (!tables->memory || !has(config, L4VIO_F_INDIRECT_DESC))
        return L4VIO_OK;
    if (config->descriptors)
        return l4vio_fail(error, L4VIO_EINVAL, "indirect tables with the descriptor level", 0);
    if (tables->entries < 2 || tables->entries > config->size)
        return l4vio_fail(error, L4VIO_EINVAL,
                          "indirect tables have less than 2 entries or more than the queue",
                          tables->entries);
    if (!aligned(tables->memory, tables->device_address, VIRTQ_DESC_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL, "indirect tables are not aligned to 16 bytes",
                          tables->device_address);
    return L4VIO_OK;
}

static int check_areas(const struct l4vio_queue_config *config, struct l4vio_error *error)
{
    bool packed = has(config, L4VIO_F_RING_PACKED);
    if (!aligned(config->desc, config->desc_address, VIRTQ_DESC_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL,
                          "descriptor table is missing or not aligned to 16 bytes",
                          config->desc_address);
    if (!aligned(config->avail, config->avail_address,
                 packed ? VIRTQ_EVENT_SUPPRESS_ALIGN : VIRTQ_AVAIL_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL,
                          packed ? "driver event suppression is missing or not aligned to 4 bytes"
                                 : "available ring is missing or not aligned to 2 bytes",
                          config->avail_address);
    if (!aligned(config->used, config->used_address, VIRTQ_USED_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL,
                          packed ? "device event suppression is missing or not aligned to 4 bytes"
                                 : "used ring is missing or not aligned to 4 bytes",
                          config->used_address);
    return L4VIO_OK;
}

static int check_config(const struct l4vio_queue_config *config, struct l4vio_error *error)
{
    if (!l4vio_virtqueue_size_allowed(config->size, &config->features))
        return l4vio_fail(error, L4VIO_EINVAL,
                          "queue size is not from 1 to 32768, or split and not a power of two",
                          config->size);
    int result = check_areas(config, error);
    if (result < 0)
        return result;
    if (!config->slots)
        return l4vio_fail(error, L4VIO_EINVAL, "queue has no slots", 0);
    return check_tables(config, error);
}

/* By RING_PACKED and IN_ORDER. */
static const struct l4vio_ring_format *const formats[2][2] = {
    {&l4vio_split, &l4vio_split_in_order},
    {&l4vio_packed, &l4vio_packed_in_order},
};

static const struct l4vio_ring_format *choose_format(const struct l4vio_queue_config *config)
{
    return formats[has(config, L4VIO_F_RING_PACKED)][has(config, L4VIO_F_IN_ORDER)];
}

int l4vio_queue_init(struct l4vio_queue *queue, const struct l4vio_queue_config *config,
                     struct l4vio_error *error)
{
    int result = check_config(config, error);
    if (result < 0)
        return result;

    *queue = (struct l4vio_queue){
        .desc = config->desc,
        .avail = config->avail,
        .used = config->used,
        .slots = config->slots,
        .descriptors = config->descriptors,
        .size = config->size,
        .mask = config->size - 1u,
        .driver_notify_index = config->driver_notify_index,
        .device_notify_index = config->device_notify_index,
        .strict = config->strict,
        .index = config->index,
        .desc_address = config->desc_address,
        .avail_address = config->avail_address,
        .used_address = config->used_address,
        .trace = config->trace,
        .format = choose_format(config),
        .packed = has(config, L4VIO_F_RING_PACKED),
        .event_idx = has(config, L4VIO_F_EVENT_IDX),
        .in_order = has(config, L4VIO_F_IN_ORDER),
        .order_platform = has(config, L4VIO_F_ORDER_PLATFORM),
        .notification_data = has(config, L4VIO_F_NOTIFICATION_DATA),
    };
    if (has(config, L4VIO_F_INDIRECT_DESC))
        queue->indirect = config->indirect;
    return l4vio_queue_initialize_rings(queue);
}

/* All private ids free. */
static void initialize_ids(struct l4vio_queue *queue)
{
    for (uint32_t i = 0; i < queue->size; i++) {
        queue->slots[i].u.descriptor.link = i + 1u < queue->size ? (uint16_t)(i + 1u) : L4VIO_EOQ;
        queue->descriptors[i] = (struct l4vio_descriptor){0};
    }
    queue->id_free_head = 0;
    queue->kept_head = L4VIO_EOQ;
    queue->kept_tail = L4VIO_EOQ;
}

static struct l4vio_queue_ops choose_ops(const struct l4vio_queue *queue)
{
    if (queue->descriptors)
        return descriptor_level_ops;
    return queue->order_platform ? queue->format->order_platform_ops : queue->format->ops;
}

int l4vio_queue_initialize_rings(struct l4vio_queue *queue)
{
    if (queue->live)
        return L4VIO_EBUSY;

    queue->counters.added += queue->published_index;
    queue->counters.completed += queue->used_index;
    queue->avail_index = 0;
    queue->published_index = 0;
    queue->used_index = 0;
    queue->kick_index = 0;
    queue->armed_index = 0;
    queue->extra_entries = 0;
    queue->interrupts_off = false;
    queue->format->initialize(queue);
    if (queue->descriptors)
        initialize_ids(queue);
    queue->detach_entry = 0;
    queue->detached = false;
    queue->resumes = false;
    queue->rings_used = false;
    queue->broken = L4VIO_OK;
    queue->ops = choose_ops(queue);
    queue->broken_error = (struct l4vio_error){0};
    return L4VIO_OK;
}

/* Store before load, between us and the device. */
static void full_barrier(const struct l4vio_queue *queue)
{
    if (queue->order_platform)
        l4vio_platform_full_barrier();
    else
        l4vio_full_barrier();
}

bool l4vio_queue_needs_kick(struct l4vio_queue *queue)
{
    if (queue->kick_index == queue->published_index || queue->broken)
        return false;

    /* What was published has to be visible before we look: the device does the reverse (B4). */
    full_barrier(queue);
    bool wanted = queue->format->wants_kick(queue);
    queue->kick_index = queue->published_index;
    queue->kick_place = queue->format->kick_position(queue);
    if (wanted)
        return true;
    l4vio_count(&queue->counters.kicks_suppressed, 1);
    l4vio_trace_event(queue->trace, L4VIO_TRACE_KICK_SUPPRESSED, queue->index,
                      queue->published_index, 0);
    return false;
}

bool l4vio_queue_has_used(const struct l4vio_queue *queue)
{
    return queue->broken || queue->format->has_used(queue);
}

static bool arm(struct l4vio_queue *queue, unsigned completions)
{
    queue->format->set_interrupts(queue, completions);
    queue->armed_index = queue->used_index + completions - 1u;
    queue->interrupts_off = false;
    /* The device must see the wish before we look again, or both sides wait for the other (B6). */
    full_barrier(queue);
    return queue->broken || queue->format->has_used_many(queue, completions);
}

bool l4vio_queue_arm(struct l4vio_queue *queue)
{
    return arm(queue, 1);
}

bool l4vio_queue_arm_after(struct l4vio_queue *queue, unsigned completions)
{
    /* What is not published the device does not know: to wait for it is to wait for ever. */
    uint64_t in_flight = queue->published_index - queue->used_index;
    if (completions > in_flight)
        completions = (unsigned)in_flight;
    return arm(queue, queue->event_idx && completions > 1 ? completions : 1);
}

void l4vio_queue_disarm(struct l4vio_queue *queue)
{
    if (queue->interrupts_off)
        return;
    queue->format->set_interrupts(queue, 0);
    queue->interrupts_off = true;
}

bool l4vio_queue_device_disarmed(const struct l4vio_queue *queue)
{
    return queue->format->device_disarmed(queue);
}

uint32_t l4vio_queue_kick_data(const struct l4vio_queue *queue)
{
    uint32_t data = queue->index & UINT16_MAX;
    if (queue->notification_data)
        data |= (uint32_t)queue->format->kick_position(queue) << 16;
    return data;
}

static bool is_head(const struct l4vio_queue *queue, uint16_t entry)
{
    if (queue->format->entries_at)
        return queue->format->entries_at(queue, entry) != 0;
    return l4vio_slot_count(&queue->slots[entry]) != 0;
}

int l4vio_queue_detach(struct l4vio_queue *queue, void **cookies, unsigned max)
{
    if (queue->live)
        return L4VIO_EBUSY;

    /* Goes on where the last call stopped, so that many small calls do not start over each time. */
    unsigned taken = 0;
    while (l4vio_queue_in_flight(queue) != 0 && taken < max) {
        uint16_t entry = queue->detach_entry;
        queue->detach_entry = (uint16_t)(entry + 1u == queue->size ? 0 : entry + 1u);
        if (!is_head(queue, entry))
            continue;
        cookies[taken++] = queue->format->take_back(queue, entry);
        queue->avail_index--;
        queue->detached = true;
    }
    /* As if it had not been added: there is nothing to publish, and nothing to kick for. The counter
     * says what was shown to the device, whatever became of it. */
    queue->counters.added += queue->published_index - queue->avail_index;
    queue->published_index = queue->avail_index;
    queue->kick_index = queue->avail_index;
    return (int)taken;
}

int l4vio_queue_resume(struct l4vio_queue *queue)
{
    if (queue->live)
        return L4VIO_EBUSY;
    if (queue->broken)
        return queue->broken;
    if (!queue->rings_used || queue->detached || !queue->recorded)
        return L4VIO_EINVAL;
    if (queue->format->has_used(queue))
        return L4VIO_EAGAIN;
    queue->format->forget_device(queue);
    queue->kick_index = queue->used_index;
    queue->resumes = true;
    return L4VIO_OK;
}

int l4vio_queue_broken_error(const struct l4vio_queue *queue, struct l4vio_error *error)
{
    if (queue->broken && error)
        *error = queue->broken_error;
    return queue->broken;
}

/* One read each: the thread of the queue may be at work. */
static uint64_t read_count(const uint64_t *count)
{
#if __SIZEOF_POINTER__ >= 8
    return __atomic_load_n(count, __ATOMIC_RELAXED);
#else
    return *count;
#endif
}

void l4vio_queue_counters(const struct l4vio_queue *queue, struct l4vio_queue_counters *counters)
{
    const struct l4vio_queue_counters *from = &queue->counters;
    *counters = (struct l4vio_queue_counters){
        .added = read_count(&from->added) + read_count(&queue->published_index),
        .completed = read_count(&from->completed) + read_count(&queue->used_index),
        .kicks_sent = read_count(&from->kicks_sent),
        .kicks_suppressed = read_count(&from->kicks_suppressed),
        .wakeups = read_count(&from->wakeups),
        .spurious_wakeups = read_count(&from->spurious_wakeups),
        .clamped_lengths = read_count(&from->clamped_lengths),
        .broken = read_count(&from->broken),
    };
}

unsigned l4vio_queue_dump(const struct l4vio_queue *queue, struct l4vio_queue_dump_line *lines,
                          unsigned max)
{
    struct l4vio_queue_counters counters;
    l4vio_queue_counters(queue, &counters);
    const struct l4vio_queue_dump_line all[] = {
        {"index", queue->index},
        {"size", queue->size},
        {"live", queue->live},
        {"broken", queue->broken != 0},
        {"avail_index", queue->avail_index & UINT16_MAX},
        {"published_index", queue->published_index & UINT16_MAX},
        {"used_index", queue->used_index & UINT16_MAX},
        {"free", l4vio_queue_room(queue)},
        {"in_flight", l4vio_queue_in_flight(queue)},
        {"disarmed", queue->interrupts_off},
        {"driver_notify_index", queue->driver_notify_index},
        {"device_notify_index", queue->device_notify_index},
        {"desc_address", queue->desc_address},
        {"avail_address", queue->avail_address},
        {"used_address", queue->used_address},
        {"added", counters.added},
        {"completed", counters.completed},
        {"kicks_sent", counters.kicks_sent},
        {"kicks_suppressed", counters.kicks_suppressed},
        {"wakeups", counters.wakeups},
        {"spurious_wakeups", counters.spurious_wakeups},
        {"clamped_lengths", counters.clamped_lengths},
        {"broken_count", counters.broken},
    };
    unsigned count = sizeof(all) / sizeof(all[0]);
    if (count > max)
        count = max;
    for (unsigned i = 0; i < count; i++)
        lines[i] = all[i];
    return count;
}
