/* SPDX-License-Identifier: MIT */
/**
 * @file wire/l4_page.h
 * Wire format of L4-VIRTIO's config page: one 4 KiB page that driver and device share. All numbers
 * are little-endian. Offsets are checked at compile time in src/transports/l4/page_layout.c.
 */
#ifndef L4VIO_WIRE_L4_PAGE_H
#define L4VIO_WIRE_L4_PAGE_H

#include "ring.h"

#define L4VIO_PAGE_BYTES         4096u       /**< Size of the config page. */
#define L4VIO_PAGE_MAGIC         0x74726976u /**< "virt", little-endian. */
#define L4VIO_PAGE_VERSION       2u          /**< The only version. */
#define L4VIO_PAGE_CONFIG_OFFSET 0x100u      /**< Where the device-specific configuration begins. */
#define L4VIO_VENDOR_L4RE        0x44u       /**< Vendor id of L4Re's devices. */

/** The config page up to the device-specific configuration. */
struct l4vio_page_header {
    l4vio_le32 magic;                   /**< 000 L4VIO_PAGE_MAGIC. */
    l4vio_le32 version;                 /**< 004 L4VIO_PAGE_VERSION. */
    l4vio_le32 device;                  /**< 008 device id. */
    l4vio_le32 vendor;                  /**< 00c vendor id. */
    l4vio_le32 dev_features;            /**< 010 unused by L4. */
    l4vio_le32 dev_features_sel;        /**< 014 unused by L4. */
    l4vio_le32 reserved_018[2];         /**< 018 */
    l4vio_le32 driver_features;         /**< 020 unused by L4. */
    l4vio_le32 driver_features_sel;     /**< 024 unused by L4. */
    l4vio_le32 num_queues;              /**< 028 number of queues. */
    l4vio_le32 queues_offset;           /**< 02c byte offset of the queue array in this page. */
    l4vio_le32 queue_sel;               /**< 030 unused by L4. */
    l4vio_le32 queue_num_max;           /**< 034 unused by L4. */
    l4vio_le32 queue_num;               /**< 038 unused by L4. */
    l4vio_le32 reserved_03c[2];         /**< 03c */
    l4vio_le32 queue_ready;             /**< 044 unused by L4. */
    l4vio_le32 reserved_048[2];         /**< 048 */
    l4vio_le32 queue_notify;            /**< 050 unused by L4. */
    l4vio_le32 reserved_054[3];         /**< 054 */
    l4vio_le32 irq_status;              /**< 060 unused upstream. */
    l4vio_le32 irq_ack;                 /**< 064 unused upstream. */
    l4vio_le32 reserved_068[2];         /**< 068 */
    l4vio_le32 status;                  /**< 070 written by the device only. */
    l4vio_le32 cfg_driver_notify_index; /**< 074 config changes, device to driver. */
    l4vio_le32 cfg_device_notify_index; /**< 078 config changes, driver to device. */
    l4vio_le32 cmd;                     /**< 07c only with feature 160. */
    l4vio_le64 queue_desc;              /**< 080 unused by L4. */
    l4vio_le32 reserved_088[2];         /**< 088 */
    l4vio_le64 queue_avail;             /**< 090 unused by L4. */
    l4vio_le32 reserved_098[2];         /**< 098 */
    l4vio_le64 queue_used;              /**< 0a0 unused by L4. */
    l4vio_le32 reserved_0a8;            /**< 0a8 */
    l4vio_le32 shm_sel;                 /**< 0ac unused by L4. */
    l4vio_le64 shm_len;                 /**< 0b0 unused by L4. */
    l4vio_le64 shm_base;                /**< 0b8 unused by L4. */
    l4vio_le32 dev_features_map[6];     /**< 0c0 offered features. */
    l4vio_le32 reserved_0d8[2];         /**< 0d8 */
    l4vio_le32 driver_features_map[6];  /**< 0e0 accepted features. */
    l4vio_le32 reserved_0f8;            /**< 0f8 */
    l4vio_le32 generation;              /**< 0fc changes whenever the configuration does. */
};

/** Entry of the queue array, 40 bytes on every machine. */
struct l4vio_page_queue {
    l4vio_le16 num_max;             /**< 0 largest size, by the device. */
    l4vio_le16 num;                 /**< 2 size, by the driver while ready is 0. */
    l4vio_le16 ready;               /**< 4 by the driver. */
    l4vio_le16 driver_notify_index; /**< 6 device to driver. */
    l4vio_le64 desc_addr;           /**< 8 by the driver while ready is 0. */
    l4vio_le64 avail_addr;          /**< 16 by the driver while ready is 0. */
    l4vio_le64 used_addr;           /**< 24 by the driver while ready is 0. */
    l4vio_le16 device_notify_index; /**< 32 driver to device. */
    l4vio_le16 reserved_034[3];     /**< 34 explicit padding to 40 bytes. */
};

/** Commands in the top byte of `cmd`; the low 24 bits are the argument. */
enum l4vio_page_cmd {
    L4VIO_PAGE_CMD_NONE = 0x00,         /**< The device has looked. */
    L4VIO_PAGE_CMD_SET_STATUS = 0x01,   /**< Argument: status. */
    L4VIO_PAGE_CMD_CFG_QUEUE = 0x02,    /**< Argument: queue. */
    L4VIO_PAGE_CMD_CFG_CHANGED = 0x04,  /**< The driver wrote device configuration. */
    L4VIO_PAGE_CMD_NOTIFY_QUEUE = 0x08, /**< Argument: queue. */
};

/** Opcodes of the device calls. Frozen; 2 is retired. */
enum l4vio_call {
    L4VIO_CALL_SET_STATUS = 0,          /**< u32 status. */
    L4VIO_CALL_CONFIG_QUEUE = 1,        /**< u32 queue. */
    L4VIO_CALL_REGISTER_DS = 3,         /**< Dataspace, u64 base, offset, size. */
    L4VIO_CALL_DEVICE_CONFIG = 4,       /**< Returns dataspace and byte offset. */
    L4VIO_CALL_DEVICE_NOTIFICATION = 5, /**< u32 index; returns a notification object. */
};

#endif
