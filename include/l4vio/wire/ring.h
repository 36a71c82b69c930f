/* SPDX-License-Identifier: MIT */
/**
 * @file wire/ring.h
 * Wire format of the virtqueues: split (VIRTIO 1.4, section 2.7) and packed (section 2.8). Everything is little-endian: the
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

#define VIRTQ_PACKED_DESC_F_AVAIL \
    0x0080u                              /**< Packed: of this round if equal to the driver's bit. */
#define VIRTQ_PACKED_DESC_F_USED 0x8000u /**< Packed: equal to AVAIL once used. */

#define VIRTQ_EVENT_F_ENABLE  0u /**< Packed: notifications are wanted. */
#define VIRTQ_EVENT_F_DISABLE 1u /**< Packed: notifications are not wanted. */
#define VIRTQ_EVENT_F_DESC    2u /**< Packed: one is wanted at a place of the ring (EVENT_IDX). */

#define VIRTQ_EVENT_WRAP_SHIFT 15u /**< Packed: the round, in `off_wrap`; below it the place. */

#define VIRTQ_DESC_ALIGN  16u /**< Alignment of the descriptor table. */
#define VIRTQ_AVAIL_ALIGN 2u  /**< Alignment of the available ring. */
#define VIRTQ_USED_ALIGN  4u  /**< Alignment of the used ring. */

#define VIRTQ_EVENT_SUPPRESS_ALIGN 4u /**< Packed: alignment of either event suppression area. */

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

/** Descriptor of the packed format, 16 bytes. Note that `id` and `flags` lie where the split one has
 *  `flags` and `next`. */
struct virtq_packed_desc {
    l4vio_le64 addr;  /**< Device address. */
    l4vio_le32 len;   /**< Bytes; used: bytes written. */
    l4vio_le16 id;    /**< Buffer id. */
    l4vio_le16 flags; /**< VIRTQ_DESC_F_ and VIRTQ_PACKED_DESC_F_ bits. */
};

/** Event suppression area of either side, 4 bytes. */
struct virtq_event_suppress {
    l4vio_le16 off_wrap; /**< Place in the ring; bit 15 the round. Valid with VIRTQ_EVENT_F_DESC. */
    l4vio_le16 flags;    /**< VIRTQ_EVENT_F_ value. */
};

#endif
