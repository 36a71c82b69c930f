/* SPDX-License-Identifier: MIT */
/**
 * @file device_memory.h
 * The device's list of the driver's memory: ranges of device addresses and where they are mapped here.
 * Translation is checked for range; nothing outside the list is ever touched.
 *
 * Threads: changes need the device to themselves; translation may run in several threads meanwhile
 * only if nothing changes.
 */
#ifndef L4VIO_DEVICE_MEMORY_H
#define L4VIO_DEVICE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One region of the driver's memory. */
struct l4vio_device_region {
    uint64_t device_address; /**< First device address. */
    uint64_t size_bytes;     /**< Its size. */
    void *base;              /**< Local address of the first byte. */
    void *cookie;            /**< The transport's own. */
};

/** The list. Caller-allocated; private. */
struct l4vio_device_memory {
    struct l4vio_device_region *regions; /**< Caller-owned array, sorted by device address. */
    unsigned capacity;                   /**< Its length. */
    unsigned count;                      /**< Regions in use. */
    uint64_t mapped_bytes;               /**< Sum of all sizes. */
    uint64_t mapped_bytes_max;           /**< Quota; 0: none. */
    uint64_t reserved[4];                /**< Room to grow. */
};

/**
 * Initialises an empty list.
 * @param memory           caller-allocated
 * @param regions          caller-owned array
 * @param capacity         its length: the quota of regions
 * @param mapped_bytes_max quota of bytes; 0: none
 */
void l4vio_device_memory_init(struct l4vio_device_memory *memory,
                              struct l4vio_device_region *regions, unsigned capacity,
                              uint64_t mapped_bytes_max);

/**
 * Adds a region.
 * @param memory the list
 * @param region copied
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     added
 * @retval L4VIO_EINVAL size 0, wraps around the address space, or overlaps a region
 * @retval L4VIO_ENOMEM table full, or quota of bytes used up
 */
int l4vio_device_memory_add(struct l4vio_device_memory *memory,
                            const struct l4vio_device_region *region, struct l4vio_error *error);

/**
 * Removes the region that begins at a device address and has that size (S2: exactly that one).
 * @param memory         the list
 * @param device_address its first device address
 * @param size_bytes     its size
 * @param removed        filled, may be NULL
 * @return 0 or L4VIO_ENOENT
 */
int l4vio_device_memory_remove(struct l4vio_device_memory *memory, uint64_t device_address,
                               uint64_t size_bytes, struct l4vio_device_region *removed);

/**
 * Translates a range; it must lie in one region.
 * @param memory         the list
 * @param device_address first byte
 * @param length_bytes   number of bytes, may be 0 (then any address inside a region will do)
 * @return local address, or NULL
 */
void *l4vio_device_memory_translate(const struct l4vio_device_memory *memory,
                                    uint64_t device_address, uint64_t length_bytes);

#ifdef __cplusplus
}
#endif
#endif
