/* SPDX-License-Identifier: MIT */
/**
 * @file wire/vhost_user_inflight.h
 * Records of chains in flight as vhost-user lays them out in shared memory (section "Inflight I/O tracking"): one
 * region per queue, a header and an entry per ring entry. All numbers are in the machine's byte order. Memory of
 * zeroes is a region that nobody has used.
 */
#ifndef L4VIO_WIRE_VHOST_USER_INFLIGHT_H
#define L4VIO_WIRE_VHOST_USER_INFLIGHT_H

#include <stdint.h>

/** What `version` says once the region is in use. */
#define VHOST_USER_INFLIGHT_VERSION 1u

/** Entry of a split queue, by head. */
struct vhost_user_inflight_split_desc {
    uint8_t inflight;   /**< 1: taken and not used. */
    uint8_t padding[5]; /**< 0. */
    uint16_t next;      /**< The head that was finished before, of the last batch. */
    uint64_t counter;   /**< Grows with each chain taken. */
};

/** Region of a split queue; `struct vhost_user_inflight_split_desc desc[desc_num]` follows. */
struct vhost_user_inflight_split {
    uint64_t features;        /**< 0. */
    uint16_t version;         /**< VHOST_USER_INFLIGHT_VERSION; 0: not in use. */
    uint16_t desc_num;        /**< Size of the queue. */
    uint16_t last_batch_head; /**< The head that was finished last. */
    uint16_t used_idx;        /**< The used index once the batch was cleared from the entries. */
};

/** Entry of a packed queue: a descriptor that was taken, or free. */
struct vhost_user_inflight_packed_desc {
    uint8_t inflight; /**< First of a chain: 1 taken and not used. */
    uint8_t padding;  /**< 0. */
    uint16_t next;    /**< The next entry of the chain, or of the free ones; desc_num: none. */
    uint16_t last;    /**< First of a chain: its last entry. */
    uint16_t num;     /**< First of a chain: its entries. */
    uint64_t counter; /**< First of a chain: grows with each chain taken. */
    uint16_t id;      /**< As in the ring. */
    uint16_t flags;   /**< As in the ring. */
    uint32_t len;     /**< As in the ring. */
    uint64_t addr;    /**< As in the ring. */
};

/** Region of a packed queue; `struct vhost_user_inflight_packed_desc desc[desc_num]` follows. */
struct vhost_user_inflight_packed {
    uint64_t features;             /**< 0. */
    uint16_t version;              /**< VHOST_USER_INFLIGHT_VERSION; 0: not in use. */
    uint16_t desc_num;             /**< Size of the queue. */
    uint16_t free_head;            /**< The first free entry. */
    uint16_t old_free_head;        /**< The same before what is being done. */
    uint16_t used_idx;             /**< The next place to use. */
    uint16_t old_used_idx;         /**< The same before what is being done. */
    uint8_t used_wrap_counter;     /**< Its round. */
    uint8_t old_used_wrap_counter; /**< The same before what is being done. */
    uint8_t padding[7];            /**< 0. */
};

#endif
