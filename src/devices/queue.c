/* SPDX-License-Identifier: MIT */
#include <l4vio/device_queue.h>

#include <l4vio/virtqueue.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "core/tracing.h"
#include "devices/chain.h"

static const l4vio_le16 *avail_ring(const struct l4vio_device_queue *queue)
{
    return (const l4vio_le16 *)(queue->avail + 1);
}

static struct virtq_used_elem *used_ring(const struct l4vio_device_queue *queue)
{
    return (struct virtq_used_elem *)(queue->used + 1);
}

/* Translates one area; both addresses are aligned, so that every field is one access. */
static int translate_area(const struct l4vio_device_memory *memory, uint64_t device_address,
                          uint64_t size_bytes, uint32_t align_bytes, void **area,
                          struct l4vio_error *error)
{
    if (device_address % align_bytes)
        return l4vio_fail(error, L4VIO_EINVAL, "an area of a queue is not aligned", device_address);
    *area = l4vio_device_memory_translate(memory, device_address, size_bytes);
    if (!*area)
        return l4vio_fail(error, L4VIO_EFAULT, "an area of a queue is outside registered memory",
                          device_address);
    if ((uintptr_t)*area % align_bytes)
        return l4vio_fail(error, L4VIO_EINVAL, "an area of a queue is not aligned in memory",
                          device_address);
    return L4VIO_OK;
}

int l4vio_device_queue_init(struct l4vio_device_queue *queue,
                            const struct l4vio_device_queue_config *config,
                            const struct l4vio_device_memory *memory, struct l4vio_error *error)
{
    memset(queue, 0, sizeof(*queue));
    if (l4vio_features_has(&config->features, L4VIO_F_RING_PACKED) ||
        l4vio_features_has(&config->features, L4VIO_F_EVENT_IDX) ||
        l4vio_features_has(&config->features, L4VIO_F_IN_ORDER) ||
        l4vio_features_has(&config->features, L4VIO_F_ORDER_PLATFORM))
        return l4vio_fail(error, L4VIO_ENOSYS, "a ring feature that this queue has not", 0);
    if (!l4vio_virtqueue_size_valid(config->size))
        return l4vio_fail(error, L4VIO_EINVAL, "the size of a queue is not a power of two",
                          config->size);

    void *desc = NULL;
    void *avail = NULL;
    void *used = NULL;
    int result =
        translate_area(memory, config->desc_address, l4vio_virtqueue_desc_bytes(config->size),
                       VIRTQ_DESC_ALIGN, &desc, error);
    if (!result)
        result =
            translate_area(memory, config->avail_address, l4vio_virtqueue_avail_bytes(config->size),
                           VIRTQ_AVAIL_ALIGN, &avail, error);
    if (!result)
        result =
            translate_area(memory, config->used_address, l4vio_virtqueue_used_bytes(config->size),
                           VIRTQ_USED_ALIGN, &used, error);
    if (result)
        return result;

    queue->desc = desc;
    queue->avail = avail;
    queue->used = used;
    queue->memory = memory;
    queue->size = config->size;
    queue->indirect = l4vio_features_has(&config->features, L4VIO_F_INDIRECT_DESC);
    queue->index = config->index;
    queue->trace = config->trace;
    /* The driver has zeroed them if it keeps the rules; what we own says what we mean anyway. */
    l4vio_store16(&queue->used->flags, 0);
    l4vio_store16_release(&queue->used->idx, 0);
    return L4VIO_OK;
}

void l4vio_device_queue_disable(struct l4vio_device_queue *queue)
{
    queue->size = 0;
    queue->in_flight = 0;
    queue->desc = NULL;
    queue->avail = NULL;
    queue->used = NULL;
    queue->memory = NULL;
}

static int break_queue(struct l4vio_device_queue *queue, const struct l4vio_error *why)
{
    queue->broken = why->code;
    queue->broken_error = *why;
    queue->counters.broken++;
    l4vio_trace_event(queue->trace, L4VIO_TRACE_BROKEN, queue->index, (uint64_t)(int64_t)why->code,
                      why->value);
    return why->code;
}

/* Entries that the driver has made available and that were not looked at, or a negative code. */
static int look(struct l4vio_device_queue *queue, struct l4vio_error *error)
{
    if (queue->seen_index == queue->avail_index)
        queue->seen_index = l4vio_load16_acquire(&queue->avail->idx);
    uint16_t pending = (uint16_t)(queue->seen_index - queue->avail_index);
    /* Chains in flight still own descriptors: all together there cannot be more than the size. */
    if ((uint32_t)pending + queue->in_flight > queue->size)
        return l4vio_fail(error, L4VIO_EBADPROTO, "the available index runs ahead",
                          queue->seen_index);
    return pending;
}

int l4vio_device_queue_next(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                            struct l4vio_device_segment *segments, unsigned segments_max)
{
    if (queue->size == 0)
        return 0;
    if (queue->broken)
        return queue->broken;

    struct l4vio_error error = {0};
    int pending = look(queue, &error);
    if (pending == 0)
        return 0;
    if (pending < 0)
        return break_queue(queue, &error);

    uint16_t head = l4vio_load16(&avail_ring(queue)[queue->avail_index & (queue->size - 1u)]);
    if (head >= queue->size) {
        l4vio_fail(&error, L4VIO_EBADPROTO, "the head of a chain is out of range", head);
        return break_queue(queue, &error);
    }
    *chain = (struct l4vio_device_chain){.head = head, .entries = 1, .segments = segments};
    if (l4vio_device_chain_walk(queue, head, chain, segments_max, &error))
        return break_queue(queue, &error);

    queue->avail_index++;
    queue->in_flight++;
    queue->counters.taken++;
    return 1;
}

int l4vio_device_queue_rewind(struct l4vio_device_queue *queue,
                              const struct l4vio_device_chain *chain)
{
    (void)chain;
    if (queue->in_flight == 0)
        return L4VIO_EINVAL;
    queue->avail_index--;
    queue->in_flight--;
    queue->counters.taken--;
    return L4VIO_OK;
}

void l4vio_device_queue_finish(struct l4vio_device_queue *queue,
                               const struct l4vio_device_used *used, unsigned count)
{
    if (count > queue->in_flight)
        count = queue->in_flight;
    if (count == 0)
        return;

    for (unsigned i = 0; i < count; i++) {
        struct virtq_used_elem *elem = &used_ring(queue)[queue->used_index & (queue->size - 1u)];
        l4vio_store32(&elem->id, used[i].head);
        l4vio_store32(&elem->len, used[i].written_bytes);
        queue->used_index++;
    }
    queue->in_flight = (uint16_t)(queue->in_flight - count);
    queue->counters.finished += count;
    queue->published_index = queue->used_index;
    l4vio_store16_release(&queue->used->idx, queue->published_index);
}

bool l4vio_device_queue_needs_notify(struct l4vio_device_queue *queue)
{
    if (queue->size == 0 || queue->notify_index == queue->published_index)
        return false;
    queue->notify_index = queue->published_index;

    /* used.idx has to be visible before the driver's wish is read: it writes its wish, then looks
     * at used.idx. */
    l4vio_full_barrier();
    if (l4vio_load16(&queue->avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT) {
        queue->counters.notifications_suppressed++;
        l4vio_trace_event(queue->trace, L4VIO_TRACE_KICK_SUPPRESSED, queue->index,
                          queue->published_index, 0);
        return false;
    }
    queue->counters.notifications_sent++;
    l4vio_trace_event(queue->trace, L4VIO_TRACE_KICK, queue->index, queue->published_index, 0);
    return true;
}

bool l4vio_device_queue_has_avail(const struct l4vio_device_queue *queue)
{
    if (!l4vio_device_queue_ready(queue))
        return false;
    return l4vio_load16_acquire(&queue->avail->idx) != queue->avail_index;
}

static void set_kicks_off(struct l4vio_device_queue *queue, bool off)
{
    if (!l4vio_device_queue_ready(queue) || queue->kicks_off == off)
        return;
    queue->kicks_off = off;
    l4vio_store16(&queue->used->flags, off ? VIRTQ_USED_F_NO_NOTIFY : 0u);
}

bool l4vio_device_queue_arm(struct l4vio_device_queue *queue)
{
    set_kicks_off(queue, false);
    /* Without it the look could come before the driver sees that kicks are wanted: a chain that is
     * made available in between is never seen (S6). */
    l4vio_full_barrier();
    return l4vio_device_queue_has_avail(queue);
}

void l4vio_device_queue_disarm(struct l4vio_device_queue *queue)
{
    set_kicks_off(queue, true);
}
