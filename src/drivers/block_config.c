/* SPDX-License-Identifier: MIT */
/*
 * Block driver: features, device configuration and its limits, cache mode.
 */
#include "core/ordering.h"
#include "drivers/block_private.h"

/* Above this a "preferred block size" or physical block is no advice that anybody can follow. */
#define BLOCK_BYTES_MAX             (UINT32_C(1) << 20)
#define PHYSICAL_BLOCK_EXPONENT_MAX 16u

/* What the caller chose. */
enum { CACHE_AS_IT_IS = 0, CACHE_WRITETHROUGH = 1, CACHE_WRITEBACK = 2 };

#define FIELD(name) ((uint32_t)offsetof(struct virtio_blk_config, name))

void l4vio_block_features(struct l4vio_features *features)
{
    static const uint8_t bits[] = {
        VIRTIO_BLK_F_SIZE_MAX,   VIRTIO_BLK_F_SEG_MAX,      VIRTIO_BLK_F_RO, VIRTIO_BLK_F_BLK_SIZE,
        VIRTIO_BLK_F_FLUSH,      VIRTIO_BLK_F_TOPOLOGY,     VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_DISCARD,
        VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_WRITE_ZEROES,
    };

    *features = (struct l4vio_features){{0}};
    for (unsigned i = 0; i < sizeof(bits); i++)
        l4vio_features_set(features, bits[i]);
}

static int read8(struct l4vio_block *block, uint32_t offset, uint8_t *out,
                 struct l4vio_error *error)
{
    return l4vio_driver_read_config(&block->driver, offset, out, 1, 1, error);
}

static int read16(struct l4vio_block *block, uint32_t offset, uint16_t *out,
                  struct l4vio_error *error)
{
    l4vio_le16 wire = 0;
    int result = l4vio_driver_read_config(&block->driver, offset, &wire, 2, 2, error);
    *out = l4vio_swap16(wire);
    return result;
}

static int read32(struct l4vio_block *block, uint32_t offset, uint32_t *out,
                  struct l4vio_error *error)
{
    l4vio_le32 wire = 0;
    int result = l4vio_driver_read_config(&block->driver, offset, &wire, 4, 4, error);
    *out = l4vio_swap32(wire);
    return result;
}

static int read_capacity(struct l4vio_block *block, struct l4vio_block_info *info,
                         struct l4vio_error *error)
{
    l4vio_le64 wire = 0;
    int result = l4vio_driver_read_config(&block->driver, FIELD(capacity), &wire, 8, 8, error);
    if (result < 0)
        return result;
    info->capacity_sectors = l4vio_swap64(wire);
    if (info->capacity_sectors > UINT64_MAX / VIRTIO_BLK_SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EBADPROTO, "the device claims 2^64 bytes or more",
                          info->capacity_sectors);
    return L4VIO_OK;
}

/*
 * Size limits, where there are devices that mean something by 0: with seg_max they take one segment, with
 * size_max (QEMU's vhost-user-blk export) there is no limit.
 */
static int read_size_limits(struct l4vio_block *block, struct l4vio_block_info *info,
                            struct l4vio_error *error)
{
    if (l4vio_driver_feature_negotiated(&block->driver, VIRTIO_BLK_F_SIZE_MAX)) {
        int result = read32(block, FIELD(size_max), &info->size_max_bytes, error);
        if (result < 0)
            return result;
    }
    if (l4vio_driver_feature_negotiated(&block->driver, VIRTIO_BLK_F_SEG_MAX)) {
        int result = read32(block, FIELD(seg_max), &info->segment_max, error);
        if (result < 0)
            return result;
        if (!info->segment_max)
            info->segment_max = 1;
    }
    return L4VIO_OK;
}

/* Block size and topology are advice: nonsense is ignored, not fatal. */
static int read_geometry(struct l4vio_block *block, struct l4vio_block_info *info,
                         struct l4vio_error *error)
{
    uint32_t bytes = VIRTIO_BLK_SECTOR_BYTES;
    int result = L4VIO_OK;

    if (l4vio_driver_feature_negotiated(&block->driver, VIRTIO_BLK_F_BLK_SIZE))
        result = read32(block, FIELD(blk_size), &bytes, error);
    if (result < 0)
        return result;
    bool valid =
        bytes >= VIRTIO_BLK_SECTOR_BYTES && bytes <= BLOCK_BYTES_MAX && !(bytes & (bytes - 1u));
    info->block_bytes = valid ? bytes : VIRTIO_BLK_SECTOR_BYTES;

    if (!l4vio_driver_feature_negotiated(&block->driver, VIRTIO_BLK_F_TOPOLOGY))
        return L4VIO_OK;
    result = read8(block, FIELD(physical_block_exp), &info->physical_block_exponent, error);
    if (result >= 0)
        result = read8(block, FIELD(alignment_offset), &info->alignment_offset_blocks, error);
    if (result >= 0)
        result = read16(block, FIELD(min_io_size), &info->minimum_io_blocks, error);
    if (result >= 0)
        result = read32(block, FIELD(opt_io_size), &info->optimal_io_blocks, error);
    info->topology = info->physical_block_exponent <= PHYSICAL_BLOCK_EXPONENT_MAX;
    return result;
}

/* A limit of 0 means that the device names none. */
static int read_range_limits(struct l4vio_block *block, struct l4vio_block_info *info,
                             struct l4vio_error *error)
{
    int result = L4VIO_OK;

    if (info->discard) {
        result = read32(block, FIELD(max_discard_sectors), &info->max_discard_sectors, error);
        if (result >= 0)
            result = read32(block, FIELD(max_discard_seg), &info->max_discard_segments, error);
        if (result >= 0)
            result = read32(block, FIELD(discard_sector_alignment),
                            &info->discard_alignment_sectors, error);
        if (!info->max_discard_sectors)
            info->max_discard_sectors = UINT32_MAX;
        if (!info->max_discard_segments)
            info->max_discard_segments = 1;
    }
    if (result >= 0 && info->write_zeroes) {
        uint8_t may_unmap = 0;
        result =
            read32(block, FIELD(max_write_zeroes_sectors), &info->max_write_zeroes_sectors, error);
        if (result >= 0)
            result =
                read32(block, FIELD(max_write_zeroes_seg), &info->max_write_zeroes_segments, error);
        if (result >= 0)
            result = read8(block, FIELD(write_zeroes_may_unmap), &may_unmap, error);
        if (!info->max_write_zeroes_sectors)
            info->max_write_zeroes_sectors = UINT32_MAX;
        if (!info->max_write_zeroes_segments)
            info->max_write_zeroes_segments = 1;
        info->write_zeroes_may_unmap = may_unmap != 0;
    }
    return result;
}

static int read_queue_count(struct l4vio_block *block, struct l4vio_block_info *info,
                            struct l4vio_error *error)
{
    uint16_t count = 1;
    if (l4vio_driver_feature_negotiated(&block->driver, VIRTIO_BLK_F_MQ)) {
        int result = read16(block, FIELD(num_queues), &count, error);
        if (result < 0)
            return result;
    }
    if (!block->driver.identity.queue_count)
        return l4vio_fail(error, L4VIO_EBADPROTO, "the device has no queue", 0);
    info->queue_count =
        (uint32_t)l4vio_block_least(count ? count : 1u, block->driver.identity.queue_count);
    return L4VIO_OK;
}

int l4vio_block_read_info(struct l4vio_block *block, struct l4vio_block_info *info,
                          struct l4vio_error *error)
{
    const struct l4vio_driver *driver = &block->driver;
    /* A device that offers RO refuses writes whether the bit was accepted or not. */
    struct l4vio_block_info fresh = {
        .read_only = l4vio_features_has(&driver->identity.offered, VIRTIO_BLK_F_RO),
        .flush = l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_FLUSH),
        .discard = l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_DISCARD),
        .write_zeroes = l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_WRITE_ZEROES),
        .config_wce = l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_CONFIG_WCE),
    };

    int result = read_capacity(block, &fresh, error);
    if (result >= 0)
        result = read_size_limits(block, &fresh, error);
    if (result >= 0)
        result = read_geometry(block, &fresh, error);
    if (result >= 0)
        result = read_range_limits(block, &fresh, error);
    if (result >= 0)
        result = read_queue_count(block, &fresh, error);
    if (result < 0)
        return result;
    *info = fresh;
    return L4VIO_OK;
}

int l4vio_block_part_buffers(const struct l4vio_block_info *info, uint16_t queue_size,
                             struct l4vio_error *error)
{
    if (queue_size < BLOCK_EXTRA_BUFFERS + 1u)
        return l4vio_fail(error, L4VIO_E2BIG,
                          "queue too small for a request: header, data and status need 3 entries",
                          queue_size);

    uint64_t buffers = l4vio_block_least(queue_size, BLOCK_BUFFERS_MAX) - BLOCK_EXTRA_BUFFERS;
    if (info->segment_max)
        buffers = l4vio_block_least(buffers, info->segment_max);
    if (info->size_max_bytes && buffers * info->size_max_bytes < VIRTIO_BLK_SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_E2BIG,
                          "queue too small for a request: size_max, seg_max and queue size allow "
                          "less than one sector",
                          buffers * info->size_max_bytes);
    return (int)buffers;
}

int l4vio_block_refresh(struct l4vio_block *block, struct l4vio_error *error)
{
    struct l4vio_block_info info;
    int result = l4vio_block_read_info(block, &info, error);
    if (result < 0)
        return result;
    int buffers = l4vio_block_part_buffers(&info, block->queue_size, error);
    if (buffers < 0)
        return buffers;
    block->info = info;
    block->part_buffers_max = (uint16_t)buffers;
    return L4VIO_OK;
}

int l4vio_block_set_writeback(struct l4vio_block *block, bool writeback, struct l4vio_error *error)
{
    uint8_t value = writeback;
    if (!block->info.config_wce)
        return l4vio_fail(error, L4VIO_ENOSYS, "the device cannot switch its cache mode", 0);
    int result = l4vio_driver_write_config(&block->driver, FIELD(writeback), &value, 1, error);
    if (result >= 0)
        block->cache_mode = writeback ? CACHE_WRITEBACK : CACHE_WRITETHROUGH;
    return result;
}

int l4vio_block_restore_cache_mode(struct l4vio_block *block, struct l4vio_error *error)
{
    const struct l4vio_driver *driver = &block->driver;
    uint8_t value = block->cache_mode == CACHE_WRITEBACK;
    if (block->cache_mode == CACHE_AS_IT_IS)
        return L4VIO_OK;
    if (!l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_CONFIG_WCE)) {
        /* Without FLUSH its writes are durable when they complete. */
        if (value || !l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_FLUSH))
            return L4VIO_OK;
        return l4vio_fail(error, L4VIO_ENODEV,
                          "the device that came back cannot be made write-through", 0);
    }
    return l4vio_driver_write_config(&block->driver, FIELD(writeback), &value, 1, error);
}

int l4vio_block_get_writeback(struct l4vio_block *block)
{
    uint8_t value = 0;
    /* Clauses D-5.2.5.1-2 and -3 say what to assume of a device that cannot be asked. */
    if (!block->info.config_wce)
        return block->info.flush;
    int result = read8(block, FIELD(writeback), &value, NULL);
    return result < 0 ? result : value != 0;
}
