/* SPDX-License-Identifier: MIT */
/**
 * @file wire/block.h
 * Wire format of the block device (VIRTIO 1.4, section 5.2). Everything is little-endian.
 */
#ifndef L4VIO_WIRE_BLOCK_H
#define L4VIO_WIRE_BLOCK_H

#include "ring.h"

#define VIRTIO_BLK_F_SIZE_MAX     1u  /**< size_max is valid. */
#define VIRTIO_BLK_F_SEG_MAX      2u  /**< seg_max is valid. */
#define VIRTIO_BLK_F_GEOMETRY     4u  /**< Geometry is valid. */
#define VIRTIO_BLK_F_RO           5u  /**< Read-only. */
#define VIRTIO_BLK_F_BLK_SIZE     6u  /**< blk_size is valid. */
#define VIRTIO_BLK_F_FLUSH        9u  /**< FLUSH requests. */
#define VIRTIO_BLK_F_TOPOLOGY     10u /**< Topology fields are valid. */
#define VIRTIO_BLK_F_CONFIG_WCE   11u /**< Cache mode can be switched. */
#define VIRTIO_BLK_F_MQ           12u /**< num_queues is valid. */
#define VIRTIO_BLK_F_DISCARD      13u /**< DISCARD requests. */
#define VIRTIO_BLK_F_WRITE_ZEROES 14u /**< WRITE_ZEROES requests. */
#define VIRTIO_BLK_F_LIFETIME     15u /**< GET_LIFETIME requests. */
#define VIRTIO_BLK_F_SECURE_ERASE 16u /**< SECURE_ERASE requests. */
#define VIRTIO_BLK_F_ZONED        17u /**< Zoned device. */

#define VIRTIO_BLK_T_IN           0u  /**< Read. */
#define VIRTIO_BLK_T_OUT          1u  /**< Write. */
#define VIRTIO_BLK_T_FLUSH        4u  /**< Make writes durable. */
#define VIRTIO_BLK_T_GET_ID       8u  /**< 20 bytes of identity. */
#define VIRTIO_BLK_T_DISCARD      11u /**< Contents no longer needed. */
#define VIRTIO_BLK_T_WRITE_ZEROES 13u /**< Write zeroes. */

#define VIRTIO_BLK_S_OK     0u /**< Done. */
#define VIRTIO_BLK_S_IOERR  1u /**< Failed. */
#define VIRTIO_BLK_S_UNSUPP 2u /**< Not supported. */

#define VIRTIO_BLK_ID_BYTES      20u  /**< Length of GET_ID data. */
#define VIRTIO_BLK_SECTOR_BYTES  512u /**< Unit of every sector number. */
#define VIRTIO_BLK_RANGE_F_UNMAP 1u   /**< Range flag, WRITE_ZEROES only. */

/** Device configuration (at 100h of the config page). */
struct virtio_blk_config {
    l4vio_le64 capacity;                      /**< 0 sectors of 512 bytes. */
    l4vio_le32 size_max;                      /**< 8 SIZE_MAX: bytes per segment. */
    l4vio_le32 seg_max;                       /**< 12 SEG_MAX: segments per request. */
    l4vio_le16 cylinders;                     /**< 16 GEOMETRY. */
    uint8_t heads;                            /**< 18 GEOMETRY. */
    uint8_t sectors;                          /**< 19 GEOMETRY. */
    l4vio_le32 blk_size;                      /**< 20 BLK_SIZE. */
    uint8_t physical_block_exp;               /**< 24 TOPOLOGY. */
    uint8_t alignment_offset;                 /**< 25 TOPOLOGY. */
    l4vio_le16 min_io_size;                   /**< 26 TOPOLOGY, blocks. */
    l4vio_le32 opt_io_size;                   /**< 28 TOPOLOGY, blocks. */
    uint8_t writeback;                        /**< 32 CONFIG_WCE: 0 write-through, 1 write-back. */
    uint8_t unused0;                          /**< 33 */
    l4vio_le16 num_queues;                    /**< 34 MQ. */
    l4vio_le32 max_discard_sectors;           /**< 36 DISCARD. */
    l4vio_le32 max_discard_seg;               /**< 40 DISCARD. */
    l4vio_le32 discard_sector_alignment;      /**< 44 DISCARD. */
    l4vio_le32 max_write_zeroes_sectors;      /**< 48 WRITE_ZEROES. */
    l4vio_le32 max_write_zeroes_seg;          /**< 52 WRITE_ZEROES. */
    uint8_t write_zeroes_may_unmap;           /**< 56 WRITE_ZEROES. */
    uint8_t unused1[3];                       /**< 57 */
    l4vio_le32 max_secure_erase_sectors;      /**< 60 SECURE_ERASE. */
    l4vio_le32 max_secure_erase_seg;          /**< 64 SECURE_ERASE. */
    l4vio_le32 secure_erase_sector_alignment; /**< 68 SECURE_ERASE. */
};

/** Request header, device-readable. */
struct virtio_blk_req_header {
    l4vio_le32 type;     /**< VIRTIO_BLK_T_ number. */
    l4vio_le32 reserved; /**< 0. */
    l4vio_le64 sector;   /**< Start, in 512-byte sectors. */
};

/** Range record of DISCARD and WRITE_ZEROES. */
struct virtio_blk_range {
    l4vio_le64 sector;      /**< Start. */
    l4vio_le32 num_sectors; /**< Length. */
    l4vio_le32 flags;       /**< VIRTIO_BLK_RANGE_F_ bits. */
};

#endif
