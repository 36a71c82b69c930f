/* SPDX-License-Identifier: MIT */
/* Inside of the device's list of memory, for the device queue. */
#ifndef L4VIO_DEVICES_MEMORY_H
#define L4VIO_DEVICES_MEMORY_H

#include <l4vio/device_memory.h>

#include "core/bytes.h"

/* The region that contains an address, or NULL. */
const struct l4vio_device_region *l4vio_device_memory_find(const struct l4vio_device_memory *memory,
                                                           uint64_t device_address);

/*
 * Where a range lies, or NULL if it is not all in this region. A region of no bytes contains nothing;
 * an address below the region makes an offset that is larger than any region.
 */
static inline void *l4vio_device_region_translate(const struct l4vio_device_region *region,
                                                  uint64_t device_address, uint64_t length_bytes)
{
    uint64_t offset_bytes = device_address - region->device_address;
    if (offset_bytes >= region->size_bytes || length_bytes > region->size_bytes - offset_bytes)
        return NULL;
    return (unsigned char *)region->base + offset_bytes;
}

#endif
