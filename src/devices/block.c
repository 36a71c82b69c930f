/* SPDX-License-Identifier: MIT */
/* The block device as it is offered: features, configuration, life. */
#include "devices/block.h"

#include <stddef.h>

#include "core/bytes.h"
#include "core/ordering.h"

#define WRITEBACK_OFFSET ((uint32_t)offsetof(struct virtio_blk_config, writeback))
#define QUEUE_SIZE_USUAL 256u
#define VIRTIO_ID_BLOCK  2u
#define TOPOLOGY_EXP_MAX 8u /* 128 KiB: larger blocks are not told. */
#define SECTOR_BYTES     VIRTIO_BLK_SECTOR_BYTES
#define BLOCK_BYTES_MAX  65536u

/* The cache mode a driver finds: it may switch it later if CONFIG_WCE is negotiated. */
static void show_writeback(struct l4vio_device_block *block, uint8_t writeback)
{
    const struct l4vio_device *device = &block->device;
    uint8_t shown = block->blk_config.writeback;
    if (device->port && device->port->read_driver_config)
        shown = device->port->read_driver_config(device->port_self, WRITEBACK_OFFSET);
    if (shown != writeback || block->blk_config.writeback != writeback)
        l4vio_device_write_config(&block->device, WRITEBACK_OFFSET, &writeback, 1);
}

/* Clause V-5.2.5.2-2: without FLUSH there is no way to make cached data durable. */
static int check_features(void *self, const struct l4vio_features *accepted)
{
    bool flush = l4vio_features_has(accepted, VIRTIO_BLK_F_FLUSH);
    if (l4vio_features_has(accepted, VIRTIO_BLK_F_CONFIG_WCE))
        show_writeback(self, flush ? 1 : 0);
    return L4VIO_OK;
}

static void queue_stop(void *self, uint32_t queue)
{
    l4vio_block_queue_stop(self, queue);
}

static void reset(void *self)
{
    struct l4vio_device_block *block = self;
    for (uint32_t i = 0; i < block->config.queue_count; i++)
        l4vio_block_queue_stop(block, i);
    show_writeback(block, 1);
}

static void region_added(void *self, const struct l4vio_device_region *region)
{
    const struct l4vio_block_backend *store = &((struct l4vio_device_block *)self)->config.backend;
    if (store->ops->region_added)
        store->ops->region_added(store->self, region->base, region->size_bytes);
}

static void region_removed(void *self, const struct l4vio_device_region *region)
{
    const struct l4vio_block_backend *store = &((struct l4vio_device_block *)self)->config.backend;
    if (store->ops->region_removed)
        store->ops->region_removed(store->self, region->base, region->size_bytes);
}

static const struct l4vio_device_ops block_ops = {
    .check_features = check_features,
    .queue_stop = queue_stop,
    .reset = reset,
    .region_added = region_added,
    .region_removed = region_removed,
};

/*
 * Ring features that cost nothing where a driver does not accept them. ORDER_PLATFORM is not among them:
 * this device is a CPU's program.
 */
static struct l4vio_features ring_features(const struct l4vio_device_block *block)
{
    struct l4vio_features offered = {0};
    l4vio_ring_features(&offered);
    l4vio_features_clear(&offered, L4VIO_F_ORDER_PLATFORM);
    offered = l4vio_features_or(&offered, &block->config.added);
    if (!block->config.queue_slots)
        l4vio_features_clear(&offered, L4VIO_F_IN_ORDER);
    return offered;
}

static struct l4vio_features features(const struct l4vio_device_block *block,
                                      const struct l4vio_block_backend_info *info)
{
    struct l4vio_features offered = ring_features(block);
    static const uint8_t always[] = {
        VIRTIO_BLK_F_SEG_MAX,  VIRTIO_BLK_F_BLK_SIZE,   VIRTIO_BLK_F_FLUSH,
        VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_MQ,
    };
    for (unsigned i = 0; i < sizeof(always); i++)
        l4vio_features_set(&offered, always[i]);
    if (block->config.size_max_bytes)
        l4vio_features_set(&offered, VIRTIO_BLK_F_SIZE_MAX);
    if (block->read_only)
        l4vio_features_set(&offered, VIRTIO_BLK_F_RO);
    else
        l4vio_features_set(&offered, VIRTIO_BLK_F_WRITE_ZEROES);
    if (!block->read_only && info->discard)
        l4vio_features_set(&offered, VIRTIO_BLK_F_DISCARD);
    offered = l4vio_features_minus(&offered, &block->config.refused);

    /* Clause V-5.2.5.2-1b; RO is no matter of taste: writes fail anyway. */
    if (!l4vio_features_has(&offered, VIRTIO_BLK_F_FLUSH))
        l4vio_features_clear(&offered, VIRTIO_BLK_F_CONFIG_WCE);
    if (block->read_only)
        l4vio_features_set(&offered, VIRTIO_BLK_F_RO);
    return offered;
}

static uint32_t logical_block_bytes(const struct l4vio_device_block_config *config)
{
    return config->logical_block_bytes ? config->logical_block_bytes : SECTOR_BYTES;
}

/* Of the logical blocks per physical one. */
static uint8_t physical_block_exp(uint32_t block_bytes, uint32_t logical_bytes)
{
    uint8_t exp = 0;
    while (exp < TOPOLOGY_EXP_MAX && block_bytes >= logical_bytes << (exp + 1u))
        exp++;
    return exp;
}

/* Fields of features that are not offered stay 0, and so does the padding (clause V-5.2.5.2-3). */
static void fill_config(struct l4vio_device_block *block, const struct l4vio_features *offered,
                        const struct l4vio_block_backend_info *info)
{
    struct virtio_blk_config *config = &block->blk_config;
    uint32_t logical_bytes = logical_block_bytes(&block->config);
    uint8_t exp = physical_block_exp(info->block_bytes, logical_bytes);
    *config = (struct virtio_blk_config){0};
    l4vio_store64(&config->capacity, info->size_bytes / SECTOR_BYTES);
    if (l4vio_features_has(offered, VIRTIO_BLK_F_SIZE_MAX))
        l4vio_store32(&config->size_max, block->config.size_max_bytes);
    if (l4vio_features_has(offered, VIRTIO_BLK_F_SEG_MAX))
        l4vio_store32(&config->seg_max, block->config.segments_max
                                            ? block->config.segments_max
                                            : L4VIO_DEVICE_BLOCK_SEGMENTS_MAX);
    /* Drivers take blk_size for the smallest transfer; the device itself takes any sector. */
    if (l4vio_features_has(offered, VIRTIO_BLK_F_BLK_SIZE))
        l4vio_store32(&config->blk_size, logical_bytes);
    if (l4vio_features_has(offered, VIRTIO_BLK_F_TOPOLOGY)) {
        config->physical_block_exp = exp;
        l4vio_store16(&config->min_io_size, (uint16_t)(1u << exp));
        /* A power of two: machines that cannot divide need no help. */
        l4vio_store32(&config->opt_io_size, info->optimal_io_bytes >> __builtin_ctz(logical_bytes));
    }
    config->writeback = 1;
    if (l4vio_features_has(offered, VIRTIO_BLK_F_MQ))
        l4vio_store16(&config->num_queues, (uint16_t)block->config.queue_count);
    if (l4vio_features_has(offered, VIRTIO_BLK_F_DISCARD)) {
        l4vio_store32(&config->max_discard_sectors, L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX);
        l4vio_store32(&config->max_discard_seg, L4VIO_DEVICE_BLOCK_RANGES_MAX);
        l4vio_store32(&config->discard_sector_alignment, (logical_bytes / SECTOR_BYTES) << exp);
    }
    if (l4vio_features_has(offered, VIRTIO_BLK_F_WRITE_ZEROES)) {
        l4vio_store32(&config->max_write_zeroes_sectors, L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX);
        l4vio_store32(&config->max_write_zeroes_seg, L4VIO_DEVICE_BLOCK_RANGES_MAX);
        config->write_zeroes_may_unmap = info->zero_unmaps;
    }
}

static int check_config(const struct l4vio_device_block_config *config,
                        const struct l4vio_block_backend_info *info, struct l4vio_error *error)
{
    if (info->size_bytes % SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "the store's size is not a multiple of 512 bytes",
                          info->size_bytes);
    uint32_t logical_bytes = logical_block_bytes(config);
    if (logical_bytes < SECTOR_BYTES || logical_bytes > BLOCK_BYTES_MAX ||
        (logical_bytes & (logical_bytes - 1)))
        return l4vio_fail(error, L4VIO_EINVAL, "block size is not a power of two from 512 to 65536",
                          logical_bytes);
    if (info->size_bytes & (logical_bytes - 1u))
        return l4vio_fail(error, L4VIO_EINVAL,
                          "the store's size is not a multiple of the block size", info->size_bytes);
    if (config->queue_count == 0 || config->queue_count > UINT16_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "number of queues", config->queue_count);
    if (!config->queues || !config->requests || config->requests_per_queue == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "a block device without requests",
                          config->requests_per_queue);
    if (config->segments_max > L4VIO_DEVICE_BLOCK_SEGMENTS_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "more segments than a request has",
                          config->segments_max);
    struct l4vio_features ring;
    l4vio_ring_features(&ring);
    ring = l4vio_features_minus(&config->added, &ring);
    if (!l4vio_features_empty(&ring))
        return l4vio_fail(error, L4VIO_EINVAL, "an added feature that is none of the rings'", 0);
    if (config->size_max_bytes % SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "size_max is not a multiple of 512 bytes",
                          config->size_max_bytes);
    return L4VIO_OK;
}

int l4vio_device_block_init(struct l4vio_device_block *block,
                            const struct l4vio_device_block_config *config,
                            struct l4vio_error *error)
{
    struct l4vio_block_backend_info info = {0};
    config->backend.ops->info(config->backend.self, &info);
    int result = check_config(config, &info, error);
    if (result)
        return result;

    *block = (struct l4vio_device_block){
        .config = *config,
        .read_only = config->read_only || info.read_only,
    };
    struct l4vio_features offered = features(block, &info);
    fill_config(block, &offered, &info);
    for (uint32_t i = 0; i < config->queue_count; i++)
        l4vio_block_queue_init(block, i);
    struct l4vio_device_config device = {
        .device_id = VIRTIO_ID_BLOCK,
        .offered = offered,
        .required = config->required,
        .queues = config->queue_states,
        .queue_count = config->queue_count,
        .queue_size_max = config->queue_size_max ? config->queue_size_max : QUEUE_SIZE_USUAL,
        .queue_slots = config->queue_slots,
        .config = (uint8_t *)&block->blk_config,
        .config_bytes = sizeof(block->blk_config),
        .regions = config->regions,
        .region_count = config->region_count,
        .mapped_bytes_max = config->mapped_bytes_max,
        .ops = &block_ops,
        .ops_self = block,
        .release_region = config->release_region,
        .release_self = config->release_self,
        .trace = config->trace,
        .writable_offset_bytes = WRITEBACK_OFFSET,
        .writable_bytes = 1,
    };
    return l4vio_device_init(&block->device, &device, error);
}

void l4vio_device_block_resized(struct l4vio_device_block *block)
{
    struct l4vio_block_backend_info info = {0};
    block->config.backend.ops->info(block->config.backend.self, &info);
    l4vio_le64 capacity;
    l4vio_store64(&capacity, info.size_bytes / SECTOR_BYTES);
    l4vio_device_write_config(&block->device, offsetof(struct virtio_blk_config, capacity),
                              &capacity, sizeof(capacity));
}

void l4vio_device_block_counters_read(const struct l4vio_device_block *block,
                                      struct l4vio_device_block_counters *counters)
{
    *counters = (struct l4vio_device_block_counters){0};
    for (uint32_t i = 0; i < block->config.queue_count; i++) {
        const struct l4vio_device_block_counters *queue = &block->config.queues[i].counters;
        counters->reads += queue->reads;
        counters->writes += queue->writes;
        counters->flushes += queue->flushes;
        counters->discards += queue->discards;
        counters->zeroes += queue->zeroes;
        counters->ids += queue->ids;
        counters->read_bytes += queue->read_bytes;
        counters->written_bytes += queue->written_bytes;
        counters->errors += queue->errors;
    }
}
