/* SPDX-License-Identifier: MIT */
/**
 * @file virtqueue.h
 * Sizes and offsets of the parts of a virtqueue, split (VIRTIO 1.4, section 2.7) or packed (section
 * 2.8), for driver and device side alike.
 */
#ifndef L4VIO_VIRTQUEUE_H
#define L4VIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "features.h"

#ifdef __cplusplus
extern "C" {
#endif

/** No descriptor: end of queue. The seed's `Eoq`. */
#define L4VIO_EOQ UINT16_C(0xffff)

/**
 * Where the three areas of a virtqueue lie in one block of memory. All in bytes. Packed: descriptor
 * ring, driver event suppression, device event suppression.
 */
struct l4vio_virtqueue_layout {
    uint64_t desc_offset;  /**< Descriptor table, aligned to 16. */
    uint64_t avail_offset; /**< Available ring, aligned to 2. */
    uint64_t used_offset;  /**< Used ring, aligned to 4 and put on a cache line of its own. */
    uint64_t size_bytes;   /**< The whole block; the block must be aligned to 64. */
};

/**
 * Tells whether a split virtqueue may have this size: a power of two, 1 to 32768.
 * @param size entries
 * @return whether it is valid
 */
bool l4vio_virtqueue_size_valid(uint32_t size);
/**
 * Size of the descriptor table.
 * @param size entries
 * @return bytes
 */
uint64_t l4vio_virtqueue_desc_bytes(uint16_t size);
/**
 * Size of the available ring, with used_event.
 * @param size entries
 * @return bytes
 */
uint64_t l4vio_virtqueue_avail_bytes(uint16_t size);
/**
 * Size of the used ring, with avail_event.
 * @param size entries
 * @return bytes
 */
uint64_t l4vio_virtqueue_used_bytes(uint16_t size);
/**
 * Lays the three areas out in one block.
 * @param size   entries
 * @param layout filled on success
 * @return 0, or L4VIO_EINVAL for a size that is not valid
 */
int l4vio_virtqueue_layout(uint32_t size, struct l4vio_virtqueue_layout *layout);
/**
 * Tells whether a virtqueue with these features may have this size: packed any from 1 to 32768.
 * @param size     entries
 * @param features RING_PACKED matters
 * @return whether it is valid
 */
bool l4vio_virtqueue_size_allowed(uint32_t size, const struct l4vio_features *features);
/**
 * Lays the three areas out in one block, in the format that was negotiated.
 * @param size     entries
 * @param features RING_PACKED matters
 * @param layout   filled on success
 * @return 0, or L4VIO_EINVAL for a size that is not valid
 */
int l4vio_virtqueue_layout_for(uint32_t size, const struct l4vio_features *features,
                               struct l4vio_virtqueue_layout *layout);

#ifdef __cplusplus
}
#endif
#endif
