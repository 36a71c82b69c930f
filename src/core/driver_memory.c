/* SPDX-License-Identifier: MIT */
#include "core/bytes.h"
#include "core/driver_private.h"

/* Page-rounded linear allocator. `next` is 0 once the last page of the address space is given out. */
static int next_device_address(struct l4vio_driver *driver, uint64_t size_bytes, uint64_t *address,
                               struct l4vio_error *error)
{
    uint64_t first = driver->next_device_address;
    uint64_t mask = L4VIO_DEVICE_PAGE_BYTES - 1;
    if (first == 0 || first > driver->last_device_address || size_bytes > UINT64_MAX - mask)
        return l4vio_fail(error, L4VIO_ENOMEM, "device addresses are used up", size_bytes);
    uint64_t rounded = (size_bytes + mask) & ~mask;
    if (rounded - 1 > driver->last_device_address - first)
        return l4vio_fail(error, L4VIO_ENOMEM, "device addresses are used up", size_bytes);
    driver->next_device_address = first + rounded;
    *address = first;
    return L4VIO_OK;
}

static int check_range(const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                       uint64_t size_bytes, struct l4vio_error *error)
{
    if (offset_bytes % L4VIO_DEVICE_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "offset not on a page", offset_bytes);
    if (size_bytes == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "no memory to share", 0);
    if (offset_bytes > dataspace->size_bytes || size_bytes > dataspace->size_bytes - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the dataspace",
                          dataspace->size_bytes);
    return L4VIO_OK;
}

/* Shares memory at `*device_address`, or where the transport puts it. */
static int map(struct l4vio_driver *driver, const struct l4vio_dataspace *dataspace,
               uint64_t offset_bytes, uint64_t size_bytes, uint64_t *device_address,
               struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = transport->ops->map(transport->self, dataspace, offset_bytes, size_bytes,
                                     device_address, l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return result;
    l4vio_driver_trace(driver, L4VIO_TRACE_MAP, UINT32_MAX, *device_address, size_bytes);
    return L4VIO_OK;
}

static int share(struct l4vio_driver *driver, const struct l4vio_dataspace *dataspace,
                 uint64_t offset_bytes, uint64_t size_bytes, uint64_t *device_address,
                 struct l4vio_error *error)
{
    int result = l4vio_driver_check_usable(driver, error);
    if (result == L4VIO_OK)
        result = check_range(dataspace, offset_bytes, size_bytes, error);
    if (result)
        return result;

    uint64_t before = driver->next_device_address;
    uint64_t address = 0;
    if (driver->properties.driver_chooses_addresses)
        result = next_device_address(driver, size_bytes, &address, error);
    if (result)
        return result;
    result = map(driver, dataspace, offset_bytes, size_bytes, &address, error);
    if (result == L4VIO_OK)
        *device_address = address;
    else if (result != L4VIO_ETIMEDOUT)
        /* After a timeout the device may have taken it: the addresses stay allotted. */
        driver->next_device_address = before;
    return result;
}

int l4vio_driver_register_dataspace(struct l4vio_driver *driver,
                                    const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                                    uint64_t size_bytes, uint64_t *device_address,
                                    struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = share(driver, dataspace, offset_bytes, size_bytes, device_address, error);
    l4vio_driver_unlock(driver);
    return result;
}

static void fill_region(struct l4vio_region *region, const struct l4vio_dataspace *dataspace,
                        uint64_t offset_bytes, uint64_t size_bytes, uint64_t device_address)
{
    memset(region, 0, sizeof(*region));
    if (dataspace->base)
        region->base = (unsigned char *)dataspace->base + offset_bytes;
    region->size_bytes = size_bytes;
    region->device_address = device_address;
    region->dataspace = *dataspace;
    region->dataspace_offset_bytes = offset_bytes;
    region->mapped = true;
}

int l4vio_driver_register_region(struct l4vio_driver *driver,
                                 const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                                 uint64_t size_bytes, struct l4vio_region *region,
                                 struct l4vio_error *error)
{
    uint64_t device_address = 0;
    l4vio_driver_lock(driver);
    int result = share(driver, dataspace, offset_bytes, size_bytes, &device_address, error);
    if (result == L4VIO_OK) {
        fill_region(region, dataspace, offset_bytes, size_bytes, device_address);
        region->next = driver->regions;
        driver->regions = region;
    }
    l4vio_driver_unlock(driver);
    return result;
}

static int take_dataspace(struct l4vio_driver *driver, uint64_t size_bytes,
                          struct l4vio_dataspace *dataspace, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &driver->platform;
    int result = l4vio_driver_check_usable(driver, error);
    if (result)
        return result;
    /* There is room for one, and a device that does not answer gets no more memory. */
    if (driver->quarantine.size_bytes)
        return l4vio_fail(error, L4VIO_EBUSY,
                          "memory of a call that timed out is in quarantine: reset the device",
                          driver->quarantine.size_bytes);
    return platform->ops->dataspace_allocate(platform->self, size_bytes, dataspace, error);
}

int l4vio_driver_allocate(struct l4vio_driver *driver, uint64_t size_bytes,
                          struct l4vio_region *region, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &driver->platform;
    struct l4vio_dataspace dataspace = {.handle = L4VIO_NO_HANDLE};
    if (size_bytes == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "no memory to share", 0);
    l4vio_driver_lock(driver);
    int result = take_dataspace(driver, size_bytes, &dataspace, error);
    l4vio_driver_unlock(driver);
    if (result)
        return result;

    result =
        l4vio_driver_register_region(driver, &dataspace, 0, dataspace.size_bytes, region, error);
    l4vio_driver_lock(driver);
    if (result == L4VIO_OK)
        region->owned = true;
    else if (result == L4VIO_ETIMEDOUT)
        /* A timeout only reports: the device may have taken the memory all the same. */
        driver->quarantine = dataspace;
    else
        platform->ops->dataspace_free(platform->self, &dataspace);
    l4vio_driver_unlock(driver);
    return result;
}

void l4vio_driver_free_quarantine(struct l4vio_driver *driver)
{
    const struct l4vio_platform *platform = &driver->platform;
    if (driver->quarantine.size_bytes)
        platform->ops->dataspace_free(platform->self, &driver->quarantine);
    driver->quarantine = (struct l4vio_dataspace){.handle = L4VIO_NO_HANDLE};
}

static bool overlaps(const struct l4vio_region *region, uint64_t address)
{
    return address >= region->device_address &&
           address - region->device_address < region->size_bytes;
}

static bool in_use(const struct l4vio_driver *driver, const struct l4vio_region *region)
{
    for (const struct l4vio_queue *queue = driver->queues; queue; queue = queue->next) {
        if (!queue->live)
            continue;
        if (l4vio_queue_in_flight(queue) || overlaps(region, queue->desc_address) ||
            overlaps(region, queue->avail_address) || overlaps(region, queue->used_address))
            return true;
    }
    return false;
}

static int take_back(struct l4vio_driver *driver, struct l4vio_region *region,
                     struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    /* First: a queue stays live after a reset on which the device may not have stopped. */
    if (in_use(driver, region))
        return l4vio_fail(error, L4VIO_EBUSY, "a queue uses this memory: reset it first",
                          region->device_address);
    if (!region->mapped)
        return L4VIO_OK;
    if (!transport->ops->unmap)
        return l4vio_fail(error, L4VIO_ENOSYS, "memory stays shared while connected",
                          region->device_address);
    int result = transport->ops->unmap(transport->self, region->device_address, region->size_bytes,
                                       l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return result;
    l4vio_driver_trace(driver, L4VIO_TRACE_UNMAP, UINT32_MAX, region->device_address,
                       region->size_bytes);
    region->mapped = false;
    return L4VIO_OK;
}

static void drop_region(struct l4vio_driver *driver, struct l4vio_region *region)
{
    const struct l4vio_platform *platform = &driver->platform;
    if (region->owned)
        platform->ops->dataspace_free(platform->self, &region->dataspace);
    region->owned = false;
    region->mapped = false;
    region->base = NULL;
    region->next = NULL;
}

static int release(struct l4vio_driver *driver, struct l4vio_region *region,
                   struct l4vio_error *error)
{
    struct l4vio_region **link = &driver->regions;
    while (*link && *link != region)
        link = &(*link)->next;
    if (!*link)
        return l4vio_fail(error, L4VIO_EINVAL, "not a region of this driver", 0);
    int result = take_back(driver, region, error);
    if (result)
        return result;
    *link = region->next;
    drop_region(driver, region);
    return L4VIO_OK;
}

int l4vio_driver_release(struct l4vio_driver *driver, struct l4vio_region *region,
                         struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = release(driver, region, error);
    l4vio_driver_unlock(driver);
    return result;
}

int l4vio_region_address(const struct l4vio_region *region, uint64_t offset_bytes,
                         uint64_t length_bytes, uint64_t *device_address)
{
    if (offset_bytes > region->size_bytes || length_bytes > region->size_bytes - offset_bytes)
        return L4VIO_EFAULT;
    *device_address = region->device_address + offset_bytes;
    return L4VIO_OK;
}

void l4vio_driver_unmap_regions(struct l4vio_driver *driver)
{
    for (struct l4vio_region *region = driver->regions; region; region = region->next)
        region->mapped = false;
}

int l4vio_driver_remap_regions(struct l4vio_driver *driver, struct l4vio_error *error)
{
    for (struct l4vio_region *region = driver->regions; region; region = region->next) {
        if (region->mapped)
            continue;
        uint64_t address = region->device_address;
        int result = map(driver, &region->dataspace, region->dataspace_offset_bytes,
                         region->size_bytes, &address, error);
        if (result)
            return result;
        region->mapped = true;
        /* Descriptors of the caller may name the old address. */
        if (address != region->device_address)
            return l4vio_fail(error, L4VIO_EIO, "memory moved in the device's address space",
                              address);
    }
    return L4VIO_OK;
}

void l4vio_driver_forget_regions(struct l4vio_driver *driver)
{
    struct l4vio_region *region = driver->regions;
    l4vio_driver_free_quarantine(driver);
    driver->regions = NULL;
    while (region) {
        struct l4vio_region *next = region->next;
        drop_region(driver, region);
        region = next;
    }
}
