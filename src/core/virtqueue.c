/* SPDX-License-Identifier: MIT */
#include <l4vio/virtqueue.h>

#include <l4vio/wire/ring.h>

/* The device writes the used ring all the time: it does not share a cache line with what we write. */
#define CACHE_LINE_BYTES 64u

static uint64_t round_up(uint64_t bytes, uint64_t align)
{
    return (bytes + align - 1u) & ~(align - 1u);
}

bool l4vio_virtqueue_size_valid(uint32_t size)
{
    return size != 0 && size <= VIRTQ_SIZE_MAX && (size & (size - 1u)) == 0;
}

uint64_t l4vio_virtqueue_desc_bytes(uint16_t size)
{
    return sizeof(struct virtq_desc) * (uint64_t)size;
}

/* Both rings end in a 16-bit event index, which is there whether or not it was negotiated. */
uint64_t l4vio_virtqueue_avail_bytes(uint16_t size)
{
    return sizeof(struct virtq_avail) + sizeof(l4vio_le16) * ((uint64_t)size + 1u);
}

uint64_t l4vio_virtqueue_used_bytes(uint16_t size)
{
    return sizeof(struct virtq_used) + sizeof(struct virtq_used_elem) * (uint64_t)size +
           sizeof(l4vio_le16);
}

int l4vio_virtqueue_layout(uint32_t size, struct l4vio_virtqueue_layout *layout)
{
    if (!l4vio_virtqueue_size_valid(size))
        return L4VIO_EINVAL;

    uint16_t entries = (uint16_t)size;
    layout->desc_offset = 0;
    layout->avail_offset = l4vio_virtqueue_desc_bytes(entries);
    layout->used_offset =
        round_up(layout->avail_offset + l4vio_virtqueue_avail_bytes(entries), CACHE_LINE_BYTES);
    layout->size_bytes =
        round_up(layout->used_offset + l4vio_virtqueue_used_bytes(entries), CACHE_LINE_BYTES);
    return L4VIO_OK;
}
