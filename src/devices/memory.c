/* SPDX-License-Identifier: MIT */
#include "devices/memory.h"

#include "core/bytes.h"

void l4vio_device_memory_init(struct l4vio_device_memory *memory,
                              struct l4vio_device_region *regions, unsigned capacity,
                              uint64_t mapped_bytes_max)
{
    memory->regions = regions;
    memory->capacity = capacity;
    memory->count = 0;
    memory->mapped_bytes = 0;
    memory->mapped_bytes_max = mapped_bytes_max;
}

/* Number of regions that begin at or below an address: the last of them is the only one that can
 * contain it. */
static unsigned regions_up_to(const struct l4vio_device_memory *memory, uint64_t device_address)
{
    unsigned low = 0;
    unsigned high = memory->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (memory->regions[middle].device_address <= device_address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The difference cannot wrap, because the caller knows that the region begins at or below. */
static bool contains(const struct l4vio_device_region *region, uint64_t device_address)
{
    return device_address - region->device_address < region->size_bytes;
}

int l4vio_device_memory_add(struct l4vio_device_memory *memory,
                            const struct l4vio_device_region *region, struct l4vio_error *error)
{
    if (region->size_bytes == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "a region of memory without a byte", 0);
    uint64_t last = region->device_address + (region->size_bytes - 1);
    if (last < region->device_address)
        return l4vio_fail(error, L4VIO_EINVAL, "a region wraps around the address space",
                          region->device_address);

    unsigned place = regions_up_to(memory, region->device_address);
    if (place > 0 && contains(&memory->regions[place - 1], region->device_address))
        return l4vio_fail(error, L4VIO_EINVAL, "a region overlaps one that is there",
                          region->device_address);
    if (place < memory->count && memory->regions[place].device_address <= last)
        return l4vio_fail(error, L4VIO_EINVAL, "a region overlaps one that is there",
                          region->device_address);

    if (memory->count >= memory->capacity)
        return l4vio_fail(error, L4VIO_ENOMEM, "no room for another region", memory->capacity);
    if (memory->mapped_bytes_max &&
        region->size_bytes > memory->mapped_bytes_max - memory->mapped_bytes)
        return l4vio_fail(error, L4VIO_ENOMEM, "the quota of mapped bytes is used up",
                          region->size_bytes);

    struct l4vio_device_region *slot = &memory->regions[place];
    memmove(slot + 1, slot, (memory->count - place) * sizeof(*slot));
    *slot = *region;
    memory->count++;
    memory->mapped_bytes += region->size_bytes;
    return L4VIO_OK;
}

int l4vio_device_memory_remove(struct l4vio_device_memory *memory, uint64_t device_address,
                               uint64_t size_bytes, struct l4vio_device_region *removed)
{
    unsigned place = regions_up_to(memory, device_address);
    if (place == 0)
        return L4VIO_ENOENT;

    struct l4vio_device_region *slot = &memory->regions[place - 1];
    if (slot->device_address != device_address || slot->size_bytes != size_bytes)
        return L4VIO_ENOENT;
    if (removed)
        *removed = *slot;
    memory->mapped_bytes -= size_bytes;
    memory->count--;
    memmove(slot, slot + 1, (memory->count - (place - 1)) * sizeof(*slot));
    /* Queues remember a place of this array: a place that is not in use contains nothing. */
    memory->regions[memory->count] = (struct l4vio_device_region){0};
    return L4VIO_OK;
}

const struct l4vio_device_region *l4vio_device_memory_find(const struct l4vio_device_memory *memory,
                                                           uint64_t device_address)
{
    unsigned place = regions_up_to(memory, device_address);
    if (place == 0 || !contains(&memory->regions[place - 1], device_address))
        return NULL;
    return &memory->regions[place - 1];
}

void *l4vio_device_memory_translate(const struct l4vio_device_memory *memory,
                                    uint64_t device_address, uint64_t length_bytes)
{
    const struct l4vio_device_region *region = l4vio_device_memory_find(memory, device_address);
    return region ? l4vio_device_region_translate(region, device_address, length_bytes) : NULL;
}
