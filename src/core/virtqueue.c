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

bool l4vio_virtqueue_size_allowed(uint32_t size, const struct l4vio_features *features)
{
    if (l4vio_features_has(features, L4VIO_F_RING_PACKED))
        return size != 0 && size <= VIRTQ_SIZE_MAX;
    return l4vio_virtqueue_size_valid(size);
}

/* The two event suppression areas are written by different sides: a cache line each. */
static void layout_packed(uint32_t size, struct l4vio_virtqueue_layout *layout)
{
    layout->desc_offset = 0;
    layout->avail_offset =
        round_up(sizeof(struct virtq_packed_desc) * (uint64_t)size, CACHE_LINE_BYTES);
    layout->used_offset = layout->avail_offset + CACHE_LINE_BYTES;
    layout->size_bytes = layout->used_offset + CACHE_LINE_BYTES;
}

int l4vio_virtqueue_layout_for(uint32_t size, const struct l4vio_features *features,
                               struct l4vio_virtqueue_layout *layout)
{
    if (!l4vio_virtqueue_size_allowed(size, features))
        return L4VIO_EINVAL;
    if (!l4vio_features_has(features, L4VIO_F_RING_PACKED))
        return l4vio_virtqueue_layout(size, layout);
    layout_packed(size, layout);
    return L4VIO_OK;
}
