/* SPDX-License-Identifier: MIT */
/**
 * @file wire/ring.h
 * Wire format of the split virtqueue (VIRTIO 1.4, section 2.7). Everything is little-endian: the
 * types below hold bytes as they lie in shared memory, not numbers for arithmetic.
 */
#ifndef L4VIO_WIRE_RING_H
#define L4VIO_WIRE_RING_H

#include <stdint.h>

typedef uint16_t l4vio_le16; /**< 16-bit little-endian number in shared memory or on a wire. */
typedef uint32_t l4vio_le32; /**< 32-bit little-endian number in shared memory or on a wire. */
typedef uint64_t l4vio_le64; /**< 64-bit little-endian number in shared memory or on a wire. */

/** Largest queue size of either ring format. */
#define VIRTQ_SIZE_MAX 32768u

#define VIRTQ_DESC_F_NEXT     1u /**< The buffer goes on at `next`. */
#define VIRTQ_DESC_F_WRITE    2u /**< Device-writable. */
#define VIRTQ_DESC_F_INDIRECT 4u /**< Points to a table of descriptors. */

#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u /**< The driver asks for no notifications. */
#define VIRTQ_USED_F_NO_NOTIFY     1u /**< The device asks for no kicks. */

#define VIRTQ_DESC_ALIGN  16u /**< Alignment of the descriptor table. */
#define VIRTQ_AVAIL_ALIGN 2u  /**< Alignment of the available ring. */
#define VIRTQ_USED_ALIGN  4u  /**< Alignment of the used ring. */

/** Descriptor, 16 bytes. */
struct virtq_desc {
    l4vio_le64 addr;  /**< Device address. */
    l4vio_le32 len;   /**< Bytes. */
    l4vio_le16 flags; /**< VIRTQ_DESC_F_ bits. */
    l4vio_le16 next;  /**< Next descriptor if VIRTQ_DESC_F_NEXT. */
};

/** Head of the available ring; `l4vio_le16 ring[size]` and `used_event` follow. */
struct virtq_avail {
    l4vio_le16 flags; /**< VIRTQ_AVAIL_F_ bits. */
    l4vio_le16 idx;   /**< Free-running producer index. */
};

/** Element of the used ring. */
struct virtq_used_elem {
    l4vio_le32 id;  /**< Head of the chain that was used. */
    l4vio_le32 len; /**< Bytes written. */
};

/** Head of the used ring; `struct virtq_used_elem ring[size]` and `avail_event` follow. */
struct virtq_used {
    l4vio_le16 flags; /**< VIRTQ_USED_F_ bits. */
    l4vio_le16 idx;   /**< Free-running producer index. */
};

#endif
