/* SPDX-License-Identifier: MIT */
#include <l4vio/queue.h>

#include "core/ordering.h"
#include "core/split.h"
#include "core/tracing.h"

_Static_assert(sizeof(struct l4vio_queue_slot) == 16, "private state is 16 bytes per entry");
_Static_assert(sizeof(struct l4vio_descriptor) == 16, "shadow descriptors are 16 bytes");

int l4vio_queue_break(struct l4vio_queue *queue, const char *text, uint64_t value)
{
    queue->broken = l4vio_fail(&queue->broken_error, L4VIO_EBADPROTO, text, value);
    queue->buffer_level = queue->broken;
    l4vio_count(&queue->counters.broken, 1);
    l4vio_trace_event(queue->trace, L4VIO_TRACE_BROKEN, queue->index,
                      (uint64_t)(int64_t)L4VIO_EBADPROTO, value);
    return queue->broken;
}

static bool aligned(const void *local, uint64_t device_address, unsigned align)
{
    return local && ((uintptr_t)local | device_address) % align == 0;
}

static int check_config(const struct l4vio_queue_config *config, struct l4vio_error *error)
{
    if (!l4vio_virtqueue_size_valid(config->size))
        return l4vio_fail(error, L4VIO_EINVAL, "queue size is not a power of two from 1 to 32768",
                          config->size);
    if (!aligned(config->desc, config->desc_address, VIRTQ_DESC_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL,
                          "descriptor table is missing or not aligned to 16 bytes",
                          config->desc_address);
    if (!aligned(config->avail, config->avail_address, VIRTQ_AVAIL_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL,
                          "available ring is missing or not aligned to 2 bytes",
                          config->avail_address);
    if (!aligned(config->used, config->used_address, VIRTQ_USED_ALIGN))
        return l4vio_fail(error, L4VIO_EINVAL, "used ring is missing or not aligned to 4 bytes",
                          config->used_address);
    if (!config->slots)
        return l4vio_fail(error, L4VIO_EINVAL, "queue has no slots", 0);
    return L4VIO_OK;
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
    };
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

int l4vio_queue_initialize_rings(struct l4vio_queue *queue)
{
    if (queue->live)
        return L4VIO_EBUSY;

    l4vio_split_initialize(queue);
    if (queue->descriptors)
        initialize_ids(queue);
    queue->detach_entry = 0;
    queue->broken = L4VIO_OK;
    queue->buffer_level = queue->descriptors ? L4VIO_EINVAL : L4VIO_OK;
    queue->broken_error = (struct l4vio_error){0};
    return L4VIO_OK;
}

int l4vio_queue_add(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count)
{
    if (queue->buffer_level != L4VIO_OK)
        return queue->buffer_level;
    return l4vio_split_add(queue, requests, count);
}

void l4vio_queue_publish(struct l4vio_queue *queue)
{
    uint16_t added = (uint16_t)(queue->avail_index - queue->published_index);
    if (added == 0 || queue->broken)
        return;

    l4vio_split_publish(queue);
    queue->published_index = queue->avail_index;
    l4vio_count(&queue->counters.added, added);
}

bool l4vio_queue_needs_kick(struct l4vio_queue *queue)
{
    if (queue->kick_index == queue->published_index || queue->broken)
        return false;

    queue->kick_index = queue->published_index;
    /* The index has to be visible before we look: the device does the reverse (B4). */
    l4vio_full_barrier();
    if (l4vio_split_wants_kick(queue))
        return true;
    l4vio_count(&queue->counters.kicks_suppressed, 1);
    l4vio_trace_event(queue->trace, L4VIO_TRACE_KICK_SUPPRESSED, queue->index,
                      queue->published_index, 0);
    return false;
}

int l4vio_queue_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                         unsigned max)
{
    if (queue->buffer_level != L4VIO_OK)
        return queue->buffer_level;
    return l4vio_split_get_used(queue, completions, max);
}

bool l4vio_queue_has_used(const struct l4vio_queue *queue)
{
    return queue->broken || l4vio_split_has_used(queue);
}

bool l4vio_queue_arm(struct l4vio_queue *queue)
{
    l4vio_split_set_interrupts(queue, true);
    queue->interrupts_off = false;
    /* The device must see the flag before we look again, or both sides wait for the other (B6). */
    l4vio_full_barrier();
    return l4vio_queue_has_used(queue);
}

void l4vio_queue_disarm(struct l4vio_queue *queue)
{
    if (queue->interrupts_off)
        return;
    l4vio_split_set_interrupts(queue, false);
    queue->interrupts_off = true;
}

bool l4vio_queue_device_disarmed(const struct l4vio_queue *queue)
{
    return l4vio_split_device_disarmed(queue);
}

int l4vio_queue_detach(struct l4vio_queue *queue, void **cookies, unsigned max)
{
    if (queue->live)
        return L4VIO_EBUSY;

    /* Goes on where the last call stopped, so that many small calls do not start over each time. */
    unsigned taken = 0;
    while (l4vio_queue_in_flight(queue) != 0 && taken < max) {
        uint16_t entry = queue->detach_entry;
        queue->detach_entry = (uint16_t)((entry + 1u) & queue->mask);
        if (l4vio_slot_count(&queue->slots[entry]) != 0)
            cookies[taken++] = l4vio_split_take_back(queue, entry);
    }
    /* As if it had not been added: there is nothing to publish, and nothing to kick for. */
    queue->published_index = queue->avail_index;
    queue->kick_index = queue->avail_index;
    return (int)taken;
}

int l4vio_queue_broken_error(const struct l4vio_queue *queue, struct l4vio_error *error)
{
    if (queue->broken && error)
        *error = queue->broken_error;
    return queue->broken;
}

unsigned l4vio_queue_dump(const struct l4vio_queue *queue, struct l4vio_queue_dump_line *lines,
                          unsigned max)
{
    const struct l4vio_queue_counters *counters = &queue->counters;
    const struct l4vio_queue_dump_line all[] = {
        {"index", queue->index},
        {"size", queue->size},
        {"live", queue->live},
        {"broken", queue->broken != 0},
        {"avail_index", queue->avail_index},
        {"published_index", queue->published_index},
        {"used_index", queue->used_index},
        {"free", queue->free_count},
        {"in_flight", l4vio_queue_in_flight(queue)},
        {"disarmed", queue->interrupts_off},
        {"driver_notify_index", queue->driver_notify_index},
        {"device_notify_index", queue->device_notify_index},
        {"desc_address", queue->desc_address},
        {"avail_address", queue->avail_address},
        {"used_address", queue->used_address},
        {"added", counters->added},
        {"completed", counters->completed},
        {"kicks_sent", counters->kicks_sent},
        {"kicks_suppressed", counters->kicks_suppressed},
        {"wakeups", counters->wakeups},
        {"spurious_wakeups", counters->spurious_wakeups},
        {"clamped_lengths", counters->clamped_lengths},
        {"broken_count", counters->broken},
    };
    unsigned count = sizeof(all) / sizeof(all[0]);
    if (count > max)
        count = max;
    for (unsigned i = 0; i < count; i++)
        lines[i] = all[i];
    return count;
}
