/* SPDX-License-Identifier: MIT */
/* Block device, SCSI host, file system, persistent memory, RPMB (VIRTIO 1.4, 5.2, 5.6, 5.11, 5.19, 5.12). */
#include <l4vio/wire/block.h>

#include "host/class.h"

/* Block device. */

static const struct l4vio_name block_features[] = {
    {0, "BARRIER"}, /* Legacy. */
    {VIRTIO_BLK_F_SIZE_MAX, "SIZE_MAX"},
    {VIRTIO_BLK_F_SEG_MAX, "SEG_MAX"},
    {VIRTIO_BLK_F_GEOMETRY, "GEOMETRY"},
    {VIRTIO_BLK_F_RO, "RO"},
    {VIRTIO_BLK_F_BLK_SIZE, "BLK_SIZE"},
    {7, "SCSI"}, /* Legacy. */
    {VIRTIO_BLK_F_FLUSH, "FLUSH"},
    {VIRTIO_BLK_F_TOPOLOGY, "TOPOLOGY"},
    {VIRTIO_BLK_F_CONFIG_WCE, "CONFIG_WCE"},
    {VIRTIO_BLK_F_MQ, "MQ"},
    {VIRTIO_BLK_F_DISCARD, "DISCARD"},
    {VIRTIO_BLK_F_WRITE_ZEROES, "WRITE_ZEROES"},
    {VIRTIO_BLK_F_LIFETIME, "LIFETIME"},
    {VIRTIO_BLK_F_SECURE_ERASE, "SECURE_ERASE"},
    {VIRTIO_BLK_F_ZONED, "ZONED"},
};

static const struct l4vio_name cache_modes[] = {{0, "write-through"}, {1, "write-back"}};

static const struct l4vio_name zone_models[] = {
    {0, "none"}, {1, "host-managed"}, {2, "host-aware"}};

static const struct l4vio_config_field block_fields[] = {
    {CLASS_FIELD("capacity", 0, 8), CLASS_UNIT("sectors", 512), CLASS_ALWAYS},
    {CLASS_FIELD("size_max", 8, 4), CLASS_UNIT("bytes", 1), CLASS_BY(VIRTIO_BLK_F_SIZE_MAX)},
    {CLASS_FIELD("seg_max", 12, 4), CLASS_UNIT("segments", 0), CLASS_BY(VIRTIO_BLK_F_SEG_MAX)},
    {CLASS_FIELD("cylinders", 16, 2), CLASS_BY(VIRTIO_BLK_F_GEOMETRY)},
    {CLASS_FIELD("heads", 18, 1), CLASS_BY(VIRTIO_BLK_F_GEOMETRY)},
    {CLASS_FIELD("sectors", 19, 1), CLASS_BY(VIRTIO_BLK_F_GEOMETRY)},
    {CLASS_FIELD("blk_size", 20, 4), CLASS_UNIT("bytes", 1), CLASS_BY(VIRTIO_BLK_F_BLK_SIZE),
     .least = 512},
    {CLASS_FIELD("physical_block_exp", 24, 1), CLASS_BY(VIRTIO_BLK_F_TOPOLOGY), .most = 31},
    {CLASS_FIELD("alignment_offset", 25, 1), CLASS_UNIT("blocks", 0),
     CLASS_BY(VIRTIO_BLK_F_TOPOLOGY)},
    {CLASS_FIELD("min_io_size", 26, 2), CLASS_UNIT("blocks", 0), CLASS_BY(VIRTIO_BLK_F_TOPOLOGY)},
    {CLASS_FIELD("opt_io_size", 28, 4), CLASS_UNIT("blocks", 0), CLASS_BY(VIRTIO_BLK_F_TOPOLOGY)},
    {CLASS_FIELD("writeback", 32, 1), CLASS_CHOICE(cache_modes), CLASS_BY(VIRTIO_BLK_F_CONFIG_WCE),
     .most = 1},
    {CLASS_FIELD("num_queues", 34, 2), CLASS_BY(VIRTIO_BLK_F_MQ), .least = 1},
    {CLASS_FIELD("max_discard_sectors", 36, 4), CLASS_UNIT("sectors", 512),
     CLASS_BY(VIRTIO_BLK_F_DISCARD)},
    {CLASS_FIELD("max_discard_seg", 40, 4), CLASS_UNIT("segments", 0),
     CLASS_BY(VIRTIO_BLK_F_DISCARD)},
    {CLASS_FIELD("discard_sector_alignment", 44, 4), CLASS_UNIT("sectors", 512),
     CLASS_BY(VIRTIO_BLK_F_DISCARD)},
    {CLASS_FIELD("max_write_zeroes_sectors", 48, 4), CLASS_UNIT("sectors", 512),
     CLASS_BY(VIRTIO_BLK_F_WRITE_ZEROES)},
    {CLASS_FIELD("max_write_zeroes_seg", 52, 4), CLASS_UNIT("segments", 0),
     CLASS_BY(VIRTIO_BLK_F_WRITE_ZEROES)},
    {CLASS_FIELD("write_zeroes_may_unmap", 56, 1), .kind = L4VIO_FIELD_BOOLEAN,
     CLASS_BY(VIRTIO_BLK_F_WRITE_ZEROES)},
    {CLASS_FIELD("max_secure_erase_sectors", 60, 4), CLASS_UNIT("sectors", 512),
     CLASS_BY(VIRTIO_BLK_F_SECURE_ERASE)},
    {CLASS_FIELD("max_secure_erase_seg", 64, 4), CLASS_UNIT("segments", 0),
     CLASS_BY(VIRTIO_BLK_F_SECURE_ERASE)},
    {CLASS_FIELD("secure_erase_sector_alignment", 68, 4), CLASS_UNIT("sectors", 512),
     CLASS_BY(VIRTIO_BLK_F_SECURE_ERASE)},
    {CLASS_FIELD("zone_sectors", 72, 4), CLASS_UNIT("sectors", 512), CLASS_BY(VIRTIO_BLK_F_ZONED)},
    {CLASS_FIELD("max_open_zones", 76, 4), CLASS_UNIT("zones", 0), CLASS_BY(VIRTIO_BLK_F_ZONED)},
    {CLASS_FIELD("max_active_zones", 80, 4), CLASS_UNIT("zones", 0), CLASS_BY(VIRTIO_BLK_F_ZONED)},
    {CLASS_FIELD("max_append_sectors", 84, 4), CLASS_UNIT("sectors", 512),
     CLASS_BY(VIRTIO_BLK_F_ZONED)},
    {CLASS_FIELD("write_granularity", 88, 4), CLASS_UNIT("bytes", 1), CLASS_BY(VIRTIO_BLK_F_ZONED)},
    {CLASS_FIELD("model", 92, 1), CLASS_CHOICE(zone_models), CLASS_BY(VIRTIO_BLK_F_ZONED),
     .most = 2},
};

static const struct l4vio_class_queue block_queues[] = {{"requestq#", CLASS_NO_FEATURE}};

const struct l4vio_class l4vio_class_block = {
    CLASS_TABLE(block_features), NULL, 0, CLASS_TABLE(block_fields),
    CLASS_TABLE(block_queues),   NULL,
};

/* SCSI host. */

static const struct l4vio_name scsi_features[] = {
    {0, "INOUT"},
    {1, "HOTPLUG"},
    {2, "CHANGE"},
    {3, "T10_PI"},
};

static const struct l4vio_config_field scsi_fields[] = {
    {CLASS_FIELD("num_queues", 0, 4), CLASS_ALWAYS, .least = 1, .most = 65535},
    {CLASS_FIELD("seg_max", 4, 4), CLASS_UNIT("segments", 0), CLASS_ALWAYS},
    {CLASS_FIELD("max_sectors", 8, 4), CLASS_UNIT("sectors", 512), CLASS_ALWAYS},
    {CLASS_FIELD("cmd_per_lun", 12, 4), CLASS_UNIT("commands", 0), CLASS_ALWAYS},
    {CLASS_FIELD("event_info_size", 16, 4), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("sense_size", 20, 4), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("cdb_size", 24, 4), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("max_channel", 28, 2), CLASS_ALWAYS},
    {CLASS_FIELD("max_target", 30, 2), CLASS_ALWAYS},
    {CLASS_FIELD("max_lun", 32, 4), CLASS_ALWAYS},
};

static const struct l4vio_class_queue scsi_queues[] = {
    {"controlq", CLASS_NO_FEATURE},
    {"eventq", CLASS_NO_FEATURE},
    {"requestq#", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_scsi = {
    CLASS_TABLE(scsi_features), NULL, 0, CLASS_TABLE(scsi_fields), CLASS_TABLE(scsi_queues), NULL,
};

/* File system. */

enum { FS_NOTIFICATION = 0 };

static const struct l4vio_name fs_features[] = {{FS_NOTIFICATION, "NOTIFICATION"}};

static const struct l4vio_config_field fs_fields[] = {
    {CLASS_ARRAY("tag", 0, 1, 36), .kind = L4VIO_FIELD_TEXT, CLASS_ALWAYS},
    {CLASS_FIELD("num_request_queues", 36, 4), CLASS_ALWAYS, .least = 1, .most = 65535},
    {CLASS_FIELD("notify_buf_size", 40, 4), CLASS_UNIT("bytes", 1), CLASS_BY(FS_NOTIFICATION)},
};

static const struct l4vio_class_queue fs_queues[] = {
    {"hiprio", CLASS_NO_FEATURE},
    {"notification", FS_NOTIFICATION},
    {"requestq#", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_fs = {
    CLASS_TABLE(fs_features), NULL, 0, CLASS_TABLE(fs_fields), CLASS_TABLE(fs_queues), NULL,
};

/* Persistent memory. */

static const struct l4vio_name pmem_features[] = {{0, "SHMEM_REGION"}};

static const struct l4vio_config_field pmem_fields[] = {
    {CLASS_FIELD("start", 0, 8), CLASS_ALWAYS},
    {CLASS_FIELD("size", 8, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
};

static const struct l4vio_class_queue pmem_queues[] = {{"req_vq", CLASS_NO_FEATURE}};

const struct l4vio_class l4vio_class_pmem = {
    CLASS_TABLE(pmem_features), NULL, 0, CLASS_TABLE(pmem_fields), CLASS_TABLE(pmem_queues), NULL,
};

/* Replay protected memory. */

static const struct l4vio_config_field rpmb_fields[] = {
    {CLASS_FIELD("capacity", 0, 1), CLASS_UNIT("units", UINT64_C(128) * 1024), CLASS_ALWAYS,
     .most = 0x80},
    {CLASS_FIELD("max_wr_cnt", 1, 1), CLASS_UNIT("blocks", 256), CLASS_ALWAYS},
    {CLASS_FIELD("max_rd_cnt", 2, 1), CLASS_UNIT("blocks", 256), CLASS_ALWAYS},
};

static const struct l4vio_class_queue rpmb_queues[] = {{"requestq", CLASS_NO_FEATURE}};

const struct l4vio_class l4vio_class_rpmb = {
    NULL, 0, NULL, 0, CLASS_TABLE(rpmb_fields), CLASS_TABLE(rpmb_queues), NULL,
};
