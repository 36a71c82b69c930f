/* SPDX-License-Identifier: MIT */
#include "transports/l4/page.h"

#include "core/ordering.h"

/* The queue array steers what we write where: looked at once, then ours (T4). */
static int check_queues(struct l4vio_l4 *l4, struct l4vio_error *error)
{
    uint32_t count = l4vio_load32(&l4vio_l4_header(l4)->num_queues);
    uint32_t offset = l4vio_load32(&l4vio_l4_header(l4)->queues_offset);
    if (count == 0)
        offset = L4VIO_PAGE_BYTES;
    if (offset % sizeof(uint64_t))
        return l4vio_fail(error, L4VIO_EINVAL, "queue array not aligned", offset);
    if (offset < L4VIO_PAGE_CONFIG_OFFSET || offset > L4VIO_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "queue array outside the config page", offset);
    if (count > (L4VIO_PAGE_BYTES - offset) / sizeof(struct l4vio_page_queue))
        return l4vio_fail(error, L4VIO_EINVAL, "more queues than fit into the config page", count);
    l4->queue_count = count;
    l4->queues_offset = offset;
    return L4VIO_OK;
}

static int check_page(struct l4vio_l4 *l4, struct l4vio_error *error)
{
    const struct l4vio_page_header *header = l4vio_l4_header(l4);
    uint32_t magic = l4vio_load32(&header->magic);
    if (magic != L4VIO_PAGE_MAGIC)
        return l4vio_fail(error, L4VIO_ENODEV, "no VIRTIO config page: wrong magic", magic);
    uint32_t version = l4vio_load32(&header->version);
    if (version != L4VIO_PAGE_VERSION)
        return l4vio_fail(error, L4VIO_ENODEV, "config page of a version other than 2", version);
    return check_queues(l4, error);
}

static int map_page(struct l4vio_l4 *l4, uint64_t offset_bytes, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &l4->platform;
    if (offset_bytes % L4VIO_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "config page not aligned", offset_bytes);
    if (l4->page_borrowed) {
        if (offset_bytes > l4->dataspace.size_bytes ||
            l4->dataspace.size_bytes - offset_bytes < L4VIO_PAGE_BYTES)
            return l4vio_fail(error, L4VIO_ERANGE, "config page outside its dataspace",
                              offset_bytes);
        l4->page = (unsigned char *)l4->dataspace.base + offset_bytes;
    } else {
        int result = platform->ops->dataspace_map(platform->self, &l4->dataspace, offset_bytes,
                                                  L4VIO_PAGE_BYTES, error);
        if (result)
            return result;
        l4->page = l4->dataspace.base;
    }
    if ((uintptr_t)l4->page % L4VIO_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "config page not aligned", (uintptr_t)l4->page);
    return L4VIO_OK;
}

int l4vio_l4_open_page(struct l4vio_l4 *l4, uint64_t deadline_ns, struct l4vio_error *error)
{
    uint64_t offset_bytes = 0;
    l4->dataspace = (struct l4vio_dataspace){.handle = L4VIO_NO_HANDLE};
    int result =
        l4->calls->device_config(l4->calls_self, &l4->dataspace, &offset_bytes, deadline_ns, error);
    if (result)
        return result;
    l4->page_borrowed = l4->dataspace.base != NULL;
    result = map_page(l4, offset_bytes, error);
    if (result == L4VIO_OK)
        result = check_page(l4, error);
    if (result)
        l4vio_l4_close_page(l4);
    return result;
}

void l4vio_l4_close_page(struct l4vio_l4 *l4)
{
    const struct l4vio_platform *platform = &l4->platform;
    if (!l4->page_borrowed && (l4->dataspace.base || l4->dataspace.handle != L4VIO_NO_HANDLE))
        platform->ops->dataspace_free(platform->self, &l4->dataspace);
    l4->dataspace = (struct l4vio_dataspace){.handle = L4VIO_NO_HANDLE};
    l4->page = NULL;
}
