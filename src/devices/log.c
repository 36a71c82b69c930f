/* SPDX-License-Identifier: MIT */
/* Marks what the device writes to the driver's memory in a dirty log. */
#include <l4vio/device.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "devices/device_private.h"
#include "devices/memory.h"

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

void l4vio_device_chain_log(const struct l4vio_device_queue *queue,
                            const struct l4vio_device_chain *chain)
{
    const struct l4vio_device_segment *segments = chain->segments + chain->readable;
    for (unsigned i = 0; i < chain->writable; i++)
        l4vio_device_log_local(queue, segments[i].base, segments[i].length_bytes);
}

void l4vio_device_set_log(struct l4vio_device *device, const struct l4vio_dirty_log *log)
{
    device->log = log ? *log : (struct l4vio_dirty_log){0};
    for (uint32_t i = 0; i < device->config.queue_count; i++)
        device->config.queues[i].queue.log = device->log.bits ? &device->log : NULL;
}

void l4vio_device_queue_log_used(struct l4vio_device *device, uint32_t queue, bool on,
                                 uint64_t address)
{
    if (queue >= device->config.queue_count)
        return;
    device->config.queues[queue].log_used = on;
    device->config.queues[queue].log_used_address = address;
}
