/* SPDX-License-Identifier: MIT */
/* Marks what the device writes to the driver's memory in a dirty log. */
#include <l4vio/device.h>
#include <l4vio/virtqueue.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "devices/device_private.h"
#include "devices/memory.h"
#include "devices/packed.h"
#include "devices/split.h"

void l4vio_dirty_log_mark(const struct l4vio_dirty_log *log, uint64_t device_address,
                          uint64_t length_bytes)
{
    if (length_bytes == 0)
        return;
    uint64_t last_address = device_address + (length_bytes - 1);
    if (last_address < device_address)
        last_address = UINT64_MAX;
    uint64_t page = device_address / L4VIO_DIRTY_LOG_PAGE_BYTES;
    uint64_t last = last_address / L4VIO_DIRTY_LOG_PAGE_BYTES;
    uint8_t *bits = log->bits;

    /* Ends with the log, so the number of turns does not depend on the length alone. */
    for (; page <= last && page / 8 < log->size_bytes; page++)
        l4vio_or8_release(&bits[page / 8], (uint8_t)(1u << page % 8));
}

/* The region that a local address lies in, or NULL. */
static const struct l4vio_device_region *region_at(const struct l4vio_device_memory *memory,
                                                   const void *at)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct l4vio_device_region *region = &memory->regions[i];
        if ((uintptr_t)at - (uintptr_t)region->base < region->size_bytes)
            return region;
    }
    return NULL;
}

void l4vio_device_log_local(const struct l4vio_device_queue *queue, const void *at,
                            uint64_t length_bytes)
{
    const struct l4vio_device_region *region = queue->memory ? region_at(queue->memory, at) : NULL;
    if (!region)
        return;
    uint64_t offset_bytes = (uintptr_t)at - (uintptr_t)region->base;
    if (length_bytes > region->size_bytes - offset_bytes)
        length_bytes = region->size_bytes - offset_bytes;
    l4vio_dirty_log_mark(queue->log, region->device_address + offset_bytes, length_bytes);
}

/* The cold end of l4vio_device_chain_used. */
void l4vio_device_chain_log(const struct l4vio_device_queue *queue,
                            const struct l4vio_device_chain *chain)
{
    const struct l4vio_device_segment *segments = chain->segments + chain->readable;
    for (unsigned i = 0; i < chain->writable; i++)
        l4vio_device_log_local(queue, segments[i].base, segments[i].length_bytes);
}

static int next_logged(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                       struct l4vio_device_segment *segments, unsigned segments_max)
{
    return queue->logged_ops->next(queue, chain, segments, segments_max);
}

/* Marked once it is written: who reads the log meanwhile would copy what is not there yet. */
static void finish_logged(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                          unsigned count)
{
    uint16_t since;
    uint16_t now;
    l4vio_device_queue_position(queue, NULL, &since);
    queue->logged_ops->finish(queue, used, count);
    l4vio_device_queue_position(queue, NULL, &now);
    if (now != since)
        queue->ring->log_used(queue, since);
}

static bool has_avail_logged(const struct l4vio_device_queue *queue)
{
    return queue->logged_ops->has_avail(queue);
}

const struct l4vio_device_queue_ops l4vio_device_logged_ops = {next_logged, finish_logged,
                                                               has_avail_logged};

/* Elements from one index to another one, and the index. In order, not all of them were written. */
void l4vio_split_log_used(const struct l4vio_device_queue *queue, uint16_t since)
{
    uint64_t elements = queue->log_used_address + sizeof(struct virtq_used);
    uint32_t count = (uint16_t)(queue->used_index - since);
    uint32_t place = l4vio_split_place(queue, since);
    uint32_t first = count < queue->size - place ? count : queue->size - place;
    uint64_t bytes = sizeof(struct virtq_used_elem);
    l4vio_dirty_log_mark(queue->log, elements + place * bytes, first * bytes);
    l4vio_dirty_log_mark(queue->log, elements, (count - first) * bytes);
    l4vio_dirty_log_mark(queue->log, queue->log_used_address, sizeof(struct virtq_used));
}

void l4vio_split_log_kicks(const struct l4vio_device_queue *queue)
{
    uint64_t event = sizeof(struct virtq_used) + queue->size * sizeof(struct virtq_used_elem);
    if (queue->event_idx)
        l4vio_dirty_log_mark(queue->log, queue->log_used_address + event, sizeof(l4vio_le16));
    else
        l4vio_dirty_log_mark(queue->log, queue->log_used_address, sizeof(l4vio_le16));
}

/* From one place to another one; the same in another round is all round the ring. */
void l4vio_packed_log_used(const struct l4vio_device_queue *queue, uint16_t since)
{
    uint32_t from = since & ~(1u << VIRTQ_EVENT_WRAP_SHIFT);
    uint32_t to = queue->used_index;
    const struct virtq_packed_desc *ring = l4vio_packed_ring(queue);
    uint32_t first = to > from ? to - from : queue->size - from;
    l4vio_device_log_local(queue, ring + from, first * sizeof(*ring));
    if (to <= from)
        l4vio_device_log_local(queue, ring, to * sizeof(*ring));
}

void l4vio_packed_log_kicks(const struct l4vio_device_queue *queue)
{
    l4vio_device_log_local(queue, queue->used, sizeof(struct virtq_event_suppress));
}

/* Setting a ring up writes to it, more than once if there is a record of what was in flight. */
static void log_all(const struct l4vio_device_queue *queue)
{
    /* Only positions of packed rings have bits. */
    if (queue->avail_bits)
        l4vio_device_log_local(queue, queue->desc, l4vio_virtqueue_desc_bytes(queue->size));
    else
        l4vio_dirty_log_mark(queue->log, queue->log_used_address,
                             l4vio_virtqueue_used_bytes(queue->size));
    queue->ring->log_kicks(queue);
}

void l4vio_device_apply_log(struct l4vio_device *device, uint32_t index)
{
    const struct l4vio_device_queue_state *state = &device->config.queues[index];
    struct l4vio_device_queue *queue = &device->config.queues[index].queue;
    bool logged = l4vio_device_queue_logs(queue);
    queue->log = device->log.bits ? &device->log : NULL;
    queue->log_used = state->log_used;
    queue->log_used_address = state->log_used_address;
    l4vio_device_queue_choose_ops(queue);
    if (queue->size && !logged && l4vio_device_queue_logs(queue))
        log_all(queue);
}

void l4vio_device_set_log(struct l4vio_device *device, const struct l4vio_dirty_log *log)
{
    device->log = log ? *log : (struct l4vio_dirty_log){0};
    for (uint32_t i = 0; i < device->config.queue_count; i++)
        l4vio_device_apply_log(device, i);
}

void l4vio_device_queue_log_used(struct l4vio_device *device, uint32_t queue, bool on,
                                 uint64_t address)
{
    if (queue >= device->config.queue_count)
        return;
    device->config.queues[queue].log_used = on;
    device->config.queues[queue].log_used_address = address;
    l4vio_device_apply_log(device, queue);
}
