/* SPDX-License-Identifier: MIT */
/*
 * Block driver: set-up, recovery, end.
 */
#include "drivers/block_private.h"

#include <l4vio/wire/status.h>

#include "core/bytes.h"

#define BLOCK_QUEUE_SIZE_DEFAULT 128u
#define RING_ALIGN_BYTES         64u
/* Indirect tables of one queue take no more, however many entries it has. */
#define TABLE_BYTES_MAX (UINT32_C(4) << 20)
/* Feature bits 0 to 23 are those of the device class (VIRTIO 1.4, section 2.2). */
#define CLASS_FEATURES UINT32_C(0x00ffffff)

/* Switching the cache mode makes sense only if writes can be made durable (clause V-5.2.5.2-1b). */
static const struct l4vio_feature_dependency block_dependencies[] = {
    {VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_FLUSH},
};

void l4vio_block_ring_features(struct l4vio_features *features)
{
    /* The others cost a request more instructions than they save (docs/performance.md). */
    static const uint8_t bits[] = {L4VIO_F_EVENT_IDX, L4VIO_F_ACCESS_PLATFORM, L4VIO_F_RING_RESET};

    *features = (struct l4vio_features){{0}};
    for (unsigned i = 0; i < sizeof(bits); i++)
        l4vio_features_set(features, bits[i]);
}

static void set_features(struct l4vio_driver_config *config)
{
    struct l4vio_features ours, ring;

    l4vio_block_features(&ours);
    l4vio_block_ring_features(&ring);
    if (l4vio_features_empty(&config->allowed))
        config->allowed = l4vio_features_or(&ours, &ring);
    config->allowed = l4vio_features_or(&config->allowed, &config->required);
    /* What the class driver does not implement cannot be allowed by anybody. */
    config->allowed.word[0] &= ours.word[0] | ~CLASS_FEATURES;
    /* What they say is read again, and requests checked again, when the device comes back. */
    config->may_lack = ours;
    config->dependencies = block_dependencies;
    config->dependency_count = sizeof(block_dependencies) / sizeof(block_dependencies[0]);
}

/* Entries per queue: what is wanted and every queue allows, as a power of two if split. */
static int choose_queue_size(struct l4vio_block *block, uint32_t wanted, struct l4vio_error *error)
{
    uint32_t size = 1;

    for (uint32_t queue = 0; queue < block->queue_count; queue++) {
        int most = l4vio_driver_queue_size_max(&block->driver, queue, error);
        if (most < 0)
            return most;
        if (!most)
            return l4vio_fail(error, L4VIO_E2BIG, "a queue of size 0", queue);
        wanted = (uint32_t)l4vio_block_least(wanted, (uint32_t)most);
    }
    wanted = (uint32_t)l4vio_block_least(wanted, VIRTQ_SIZE_MAX);
    if (l4vio_driver_feature_negotiated(&block->driver, L4VIO_F_RING_PACKED))
        size = wanted;
    while (size * 2u <= wanted)
        size *= 2u;
    block->queue_size = (uint16_t)size;
    return L4VIO_OK;
}

/* Queue q has an index of its own if both sides have one to spare, else it shares index 0. */
static uint16_t notify_index(const struct l4vio_block *block,
                             const struct l4vio_block_config *config, uint32_t queue)
{
    const struct l4vio_driver_config *driver = &config->driver;
    uint32_t index = queue + 1u;
    bool room = driver->notifications && index < driver->notification_count &&
                index < block->driver.identity.notification_count;
    return (uint16_t)(room && !config->one_notification ? index : 0u);
}

/* Descriptors per indirect table: for the largest part, unless all tables together are too large. */
static uint32_t table_entries(const struct l4vio_block *block)
{
    if (!l4vio_driver_feature_negotiated(&block->driver, L4VIO_F_INDIRECT_DESC))
        return 0;
    uint32_t entries = block->part_buffers_max + BLOCK_EXTRA_BUFFERS;
    uint32_t room = TABLE_BYTES_MAX / (uint32_t)sizeof(struct virtq_desc);
    while (entries * block->queue_size > room)
        entries--;
    return entries;
}

static int init_queue(struct l4vio_block *block, const struct l4vio_block_config *config,
                      uint32_t queue, const struct l4vio_virtqueue_layout *layout,
                      uint64_t offset_bytes, struct l4vio_error *error)
{
    uint32_t entries = table_entries(block);
    uint8_t *base = (uint8_t *)block->ring_region.base + offset_bytes;
    uint64_t address = block->ring_region.device_address + offset_bytes;
    uint16_t index = notify_index(block, config, queue);
    struct l4vio_queue_config queue_config = {
        .index = queue,
        .size = block->queue_size,
        .desc = base + layout->desc_offset,
        .avail = base + layout->avail_offset,
        .used = base + layout->used_offset,
        .desc_address = address + layout->desc_offset,
        .avail_address = address + layout->avail_offset,
        .used_address = address + layout->used_offset,
        .slots = config->slots + (size_t)queue * block->queue_size,
        .driver_notify_index = index,
        .device_notify_index = index,
        .trace = config->driver.trace,
        .features = l4vio_driver_features(&block->driver),
    };
    if (entries)
        queue_config.indirect = (struct l4vio_indirect_tables){
            .memory = base + layout->size_bytes,
            .device_address = address + layout->size_bytes,
            .entries = (uint16_t)entries,
        };
    return l4vio_queue_init(&block->queues[queue], &queue_config, error);
}

/* Rings and tables of all queues in one region, so that they cost the device one table entry. */
static int init_queues(struct l4vio_block *block, const struct l4vio_block_config *config,
                       struct l4vio_error *error)
{
    struct l4vio_virtqueue_layout layout;
    int result = l4vio_virtqueue_layout_for(block->queue_size, &block->driver.accepted, &layout);
    if (result < 0)
        return l4vio_fail(error, result, "queue size not valid", block->queue_size);

    uint64_t stride = layout.size_bytes + (uint64_t)table_entries(block) * block->queue_size *
                                              sizeof(struct virtq_desc);
    stride = (stride + RING_ALIGN_BYTES - 1u) & ~(RING_ALIGN_BYTES - UINT64_C(1));
    result = l4vio_driver_allocate(&block->driver, stride * block->queue_count, &block->ring_region,
                                   error);
    for (uint32_t queue = 0; result >= 0 && queue < block->queue_count; queue++)
        result = init_queue(block, config, queue, &layout, stride * queue, error);
    return result;
}

int l4vio_block_go_live(struct l4vio_block *block, struct l4vio_error *error)
{
    for (uint32_t queue = 0; queue < block->queue_count; queue++) {
        int result = l4vio_driver_attach_queue(&block->driver, &block->queues[queue], error);
        if (result < 0)
            return result;
    }
    return l4vio_driver_acknowledge(&block->driver, error);
}

static int start(struct l4vio_block *block, const struct l4vio_block_config *config,
                 struct l4vio_error *error)
{
    int result = l4vio_driver_negotiate(&block->driver, error);
    if (result >= 0)
        result = l4vio_block_read_info(block, &block->info, error);
    if (result < 0)
        return result;

    uint32_t wanted = config->queue_count ? config->queue_count : 1u;
    block->queue_count = (uint16_t)l4vio_block_least(wanted, block->info.queue_count);
    wanted = config->queue_size ? config->queue_size : BLOCK_QUEUE_SIZE_DEFAULT;
    result = choose_queue_size(block, wanted, error);
    if (result < 0)
        return result;
    result = l4vio_block_part_buffers(&block->info, block->queue_size, error);
    if (result < 0)
        return result;
    block->part_buffers_max = (uint16_t)result;

    result = init_queues(block, config, error);
    return result < 0 ? result : l4vio_block_go_live(block, error);
}

static int check_config(const struct l4vio_block_config *config, struct l4vio_error *error)
{
    if (!config->queues || !config->slots)
        return l4vio_fail(error, L4VIO_EINVAL, "no queues or no slots", 0);
    if (config->queue_count > L4VIO_BLOCK_QUEUES_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "too many queues", config->queue_count);
    return L4VIO_OK;
}

int l4vio_block_setup(struct l4vio_block *block, const struct l4vio_block_config *config,
                      struct l4vio_error *error)
{
    struct l4vio_driver_config driver_config = config->driver;

    memset(block, 0, sizeof(*block));
    int result = check_config(config, error);
    if (result < 0) {
        /* The transport is ours to close, as in every other failure. */
        if (driver_config.transport.ops)
            driver_config.transport.ops->close(driver_config.transport.self);
        return result;
    }

    driver_config.device_id = VIRTIO_ID_BLOCK;
    set_features(&driver_config);
    result = l4vio_driver_connect(&block->driver, &driver_config, error);
    if (result < 0)
        return result;

    block->queues = config->queues;
    block->reconnect_ns = config->reconnect_ns;
    /* Queues that set-up does not reach must look unused when it is taken back. */
    memset(config->queues, 0,
           sizeof(*config->queues) * (config->queue_count ? config->queue_count : 1u));
    result = start(block, config, error);
    if (result < 0)
        l4vio_block_close(block);
    return result;
}

int l4vio_block_recover(struct l4vio_block *block, struct l4vio_error *error)
{
    if (block->stopping)
        return l4vio_fail(error, L4VIO_EBUSY, "called while requests are being cancelled", 0);
    /* Unless the device confirms, it may still own everything: nothing is handed back. */
    int result = l4vio_driver_reset(&block->driver, error);
    if (result < 0)
        return result;
    l4vio_block_cancel(block);

    result = l4vio_driver_restart(&block->driver, error);
    if (result >= 0)
        result = l4vio_driver_negotiate(&block->driver, error);
    if (result >= 0)
        result = l4vio_block_refresh(block, error);
    if (result >= 0)
        result = l4vio_block_restore_cache_mode(block, error);
    for (uint32_t queue = 0; result >= 0 && queue < block->queue_count; queue++)
        result = l4vio_queue_initialize_rings(&block->queues[queue]);
    return result < 0 ? result : l4vio_block_go_live(block, error);
}

int l4vio_block_reset_queue(struct l4vio_block *block, uint32_t queue, struct l4vio_error *error)
{
    if (queue >= block->queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "no such queue", queue);
    if (block->stopping || block->resetting[queue])
        return l4vio_fail(error, L4VIO_EBUSY, "called while requests are being cancelled", queue);
    struct l4vio_queue *ring = &block->queues[queue];
    /* A reset that went well is not done twice: only the rest of it may have failed. */
    int result = L4VIO_OK;
    if (l4vio_queue_ready(ring))
        result = l4vio_driver_reset_queue(&block->driver, ring, error);
    if (result < 0)
        return result;
    l4vio_block_cancel_queue(block, queue);
    result = l4vio_queue_initialize_rings(ring);
    if (result >= 0)
        result = l4vio_driver_attach_queue(&block->driver, ring, error);
    return result;
}

void l4vio_block_close(struct l4vio_block *block)
{
    l4vio_driver_disconnect(&block->driver);
    l4vio_block_cancel(block);
    /* The queues are the caller's again. */
    block->queue_count = 0;
}
