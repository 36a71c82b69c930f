/* SPDX-License-Identifier: MIT */
#include <l4vio/device_page.h>

#include "core/ordering.h"

#define CMD_ARGUMENT_BITS 24u

static struct l4vio_page_header *header(const struct l4vio_device_page *page)
{
    return page->config.page;
}

static struct l4vio_page_queue *entry(const struct l4vio_device_page *page, uint32_t queue)
{
    unsigned char *array = (unsigned char *)page->config.page + page->queues_offset;
    return (struct l4vio_page_queue *)(void *)array + queue;
}

/* By which index the driver kicks a queue. */
static uint16_t kick_index(const struct l4vio_device_page *page, uint32_t queue)
{
    return page->config.kick_per_queue ? (uint16_t)queue : 0;
}

/* Words where it can, so that a driver that reads fields of 32 bits does not see half of one. */
static void show_config(const struct l4vio_device_page *page, uint32_t offset_bytes,
                        uint32_t size_bytes)
{
    const uint8_t *from = page->config.device->config.config;
    uint8_t *to = (uint8_t *)page->config.page + L4VIO_PAGE_CONFIG_OFFSET;
    uint32_t end = offset_bytes + size_bytes;
    for (uint32_t i = offset_bytes; i < end;) {
        if (i % 4 == 0 && end - i >= 4) {
            uint32_t word = from[i] | (uint32_t)from[i + 1] << 8 | (uint32_t)from[i + 2] << 16 |
                            (uint32_t)from[i + 3] << 24;
            l4vio_store32((l4vio_le32 *)(void *)(to + i), word);
            i += 4;
        } else {
            l4vio_store8(to + i, from[i]);
            i++;
        }
    }
}

static void clear_words(void *from, uint32_t size_bytes)
{
    l4vio_le32 *word = from;
    for (uint32_t i = 0; i < size_bytes / 4; i++)
        l4vio_store32(&word[i], 0);
}

/* What the page has to say after a reset, whatever the driver has written over it. The status comes
 * last, `cmd` once it is carried out, and cfg_driver_notify_index stays the driver's. */
static void show_all(const struct l4vio_device_page *page)
{
    const struct l4vio_device *device = page->config.device;
    struct l4vio_page_header *to = header(page);

    l4vio_store32(&to->magic, L4VIO_PAGE_MAGIC);
    l4vio_store32(&to->version, L4VIO_PAGE_VERSION);
    l4vio_store32(&to->device, device->config.device_id);
    l4vio_store32(&to->vendor,
                  device->config.vendor_id ? device->config.vendor_id : L4VIO_VENDOR_L4RE);
    l4vio_store32(&to->num_queues, device->config.queue_count);
    l4vio_store32(&to->queues_offset, page->queues_offset);
    l4vio_store32(&to->cfg_device_notify_index, 0);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++) {
        l4vio_store32(&to->dev_features_map[i], device->config.offered.word[i]);
        l4vio_store32(&to->driver_features_map[i], 0);
    }
    show_config(page, 0, device->config.config_bytes);
    l4vio_store32_release(&to->generation, device->generation);

    for (uint32_t i = 0; i < device->config.queue_count; i++) {
        struct l4vio_page_queue *queue = entry(page, i);
        clear_words(queue, sizeof(*queue));
        l4vio_store16(&queue->num_max, device->config.queues[i].size_max);
        l4vio_store16(&queue->device_notify_index, kick_index(page, i));
    }
}

static void publish_status(void *self, uint32_t status)
{
    struct l4vio_device_page *page = self;
    if (status == 0)
        show_all(page);
    l4vio_store32_release(&header(page)->status, status);
}

static void publish_queue(void *self, uint32_t queue, bool ready)
{
    l4vio_store16_release(&entry(self, queue)->ready, ready);
}

/* A driver that reads meanwhile finds another generation afterwards than before. */
static void publish_config(void *self, uint32_t offset_bytes, uint32_t size_bytes,
                           uint32_t generation)
{
    struct l4vio_device_page *page = self;
    l4vio_store32(&header(page)->generation, generation - 1);
    l4vio_full_barrier();
    show_config(page, offset_bytes, size_bytes);
    l4vio_store32_release(&header(page)->generation, generation);
}

static void trigger(const struct l4vio_device_page *page, uint32_t index)
{
    if (index < page->config.notification_count && page->config.trigger)
        page->config.trigger(page->config.trigger_self, index);
}

static void notify_queue(void *self, uint32_t queue)
{
    struct l4vio_device_page *page = self;
    trigger(page, page->config.device->config.queues[queue].driver_notify_index);
}

static void notify_config(void *self)
{
    struct l4vio_device_page *page = self;
    trigger(page, l4vio_load32(&header(page)->cfg_driver_notify_index));
}

static uint8_t read_driver_config(void *self, uint32_t offset_bytes)
{
    struct l4vio_device_page *page = self;
    if (offset_bytes >= page->config.device->config.config_bytes)
        return 0;
    return l4vio_load8((const uint8_t *)page->config.page + L4VIO_PAGE_CONFIG_OFFSET +
                       offset_bytes);
}

static const struct l4vio_device_port_ops port_ops = {.publish_status = publish_status,
                                                      .publish_queue = publish_queue,
                                                      .publish_config = publish_config,
                                                      .notify_queue = notify_queue,
                                                      .notify_config = notify_config,
                                                      .read_driver_config = read_driver_config};

int l4vio_device_page_init(struct l4vio_device_page *page,
                           const struct l4vio_device_page_config *config, struct l4vio_error *error)
{
    struct l4vio_device *device = config->device;
    if (!config->page || (uintptr_t)config->page % L4VIO_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "the config page is not page-aligned", 0);
    if (config->notification_count == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "a device without notification indexes", 0);
    if (config->kick_per_queue && config->notification_count < device->config.queue_count)
        return l4vio_fail(error, L4VIO_EINVAL, "fewer notification indexes than queues",
                          config->notification_count);
    if (!config->carries_kick_data &&
        l4vio_features_has(&device->config.required, L4VIO_F_NOTIFICATION_DATA))
        return l4vio_fail(error, L4VIO_EINVAL,
                          "NOTIFICATION_DATA is required, and this port does not carry it", 0);

    uint64_t offset =
        (L4VIO_PAGE_CONFIG_OFFSET + (uint64_t)device->config.config_bytes + 7u) & ~UINT64_C(7);
    uint64_t end = offset + device->config.queue_count * (uint64_t)sizeof(struct l4vio_page_queue);
    if (end > L4VIO_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_E2BIG,
                          "configuration and queues do not fit into the config page",
                          device->config.queue_count);

    *page = (struct l4vio_device_page){.config = *config, .queues_offset = (uint32_t)offset};
    if (config->cmd_mode)
        l4vio_features_set(&device->config.offered, L4VIO_F_L4_CMD_CONFIG);
    if (!config->carries_kick_data)
        l4vio_features_clear(&device->config.offered, L4VIO_F_NOTIFICATION_DATA);
    l4vio_device_set_port(device, &port_ops, page);
    clear_words(config->page, L4VIO_PAGE_BYTES);
    publish_status(page, 0);
    return L4VIO_OK;
}

int l4vio_device_page_set_status(struct l4vio_device_page *page, uint32_t status)
{
    struct l4vio_features features = {0};
    if (status & VIRTIO_STATUS_FEATURES_OK) {
        for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
            features.word[i] = l4vio_load32(&header(page)->driver_features_map[i]);
    }
    l4vio_device_set_status(page->config.device, status, &features);
    return L4VIO_OK;
}

int l4vio_device_page_config_queue(struct l4vio_device_page *page, uint32_t queue,
                                   struct l4vio_error *error)
{
    if (queue >= page->config.device->config.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "no such queue", queue);

    const struct l4vio_page_queue *from = entry(page, queue);
    if (l4vio_load16_acquire(&from->ready) == 0) {
        if (!l4vio_device_queue(page->config.device, queue))
            return l4vio_fail(error, L4VIO_EINVAL, "the queue entry does not say ready", queue);
        return l4vio_device_reset_queue(page->config.device, queue);
    }

    struct l4vio_queue_setup setup = {.size = l4vio_load16(&from->num),
                                      .driver_notify_index =
                                          l4vio_load16(&from->driver_notify_index),
                                      .device_notify_index = kick_index(page, queue),
                                      .desc_address = l4vio_load64(&from->desc_addr),
                                      .avail_address = l4vio_load64(&from->avail_addr),
                                      .used_address = l4vio_load64(&from->used_addr)};
    if (setup.driver_notify_index >= page->config.notification_count) {
        publish_queue(page, queue, page->config.device->config.queues[queue].ready);
        return l4vio_fail(error, L4VIO_EINVAL, "no such notification index",
                          setup.driver_notify_index);
    }
    return l4vio_device_config_queue(page->config.device, queue, &setup, error);
}

/* Carries a command out; returns the queue that was notified, or UINT32_MAX. */
static uint32_t carry_out(struct l4vio_device_page *page, uint32_t command, uint32_t argument)
{
    const struct l4vio_device *device = page->config.device;
    switch (command) {
    case L4VIO_PAGE_CMD_SET_STATUS:
        l4vio_device_page_set_status(page, argument);
        break;
    case L4VIO_PAGE_CMD_CFG_QUEUE:
        /* No error code travels back: the driver re-reads `ready`. */
        l4vio_device_page_config_queue(page, argument, NULL);
        break;
    case L4VIO_PAGE_CMD_CFG_CHANGED:
        if (device->config.ops && device->config.ops->config_written)
            device->config.ops->config_written(device->config.ops_self, 0,
                                               device->config.config_bytes);
        break;
    case L4VIO_PAGE_CMD_NOTIFY_QUEUE:
        if (argument < device->config.queue_count)
            return argument;
        break;
    default: /* Not for us: the driver only finds that we have looked. */
        break;
    }
    return UINT32_MAX;
}

uint32_t l4vio_device_page_read_cmd(const struct l4vio_device_page *page)
{
    return page->config.cmd_mode ? l4vio_load32_acquire(&header(page)->cmd) : 0;
}

uint32_t l4vio_device_page_run_cmd(struct l4vio_device_page *page, uint32_t cmd)
{
    uint32_t argument = cmd & ((UINT32_C(1) << CMD_ARGUMENT_BITS) - 1);
    uint32_t notified = carry_out(page, cmd >> CMD_ARGUMENT_BITS, argument);
    /* Only now: the driver takes it for the answer. */
    l4vio_store32_release(&header(page)->cmd, 0);
    return notified;
}

int l4vio_device_page_poll_cmd(struct l4vio_device_page *page, uint32_t *queue)
{
    uint32_t cmd = l4vio_device_page_read_cmd(page);
    uint32_t notified = cmd ? l4vio_device_page_run_cmd(page, cmd) : UINT32_MAX;
    if (queue)
        *queue = notified;
    return cmd != 0;
}
