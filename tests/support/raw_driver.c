/* SPDX-License-Identifier: MIT */
#include "raw_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"

static int check_features(void *self, const struct l4vio_features *accepted)
{
    struct raw_driver *driver = self;
    (void)accepted;
    return driver->check_features_result;
}

static int queue_ready(void *self, uint32_t queue)
{
    struct raw_driver *driver = self;
    driver->ready_calls[queue]++;
    return driver->queue_ready_result;
}

static void queue_stop(void *self, uint32_t queue)
{
    struct raw_driver *driver = self;
    driver->stop_calls[queue]++;
}

static int driver_ok(void *self)
{
    struct raw_driver *driver = self;
    driver->driver_ok_calls++;
    return driver->driver_ok_result;
}

static void reset(void *self)
{
    struct raw_driver *driver = self;
    driver->reset_calls++;
}

static void config_written(void *self, uint32_t offset_bytes, uint32_t size_bytes)
{
    struct raw_driver *driver = self;
    (void)offset_bytes;
    (void)size_bytes;
    driver->config_written_calls++;
}

static void release_region(void *self, const struct l4vio_device_region *region)
{
    struct raw_driver *driver = self;
    (void)region;
    driver->released++;
}

static void trigger(void *self, uint32_t index)
{
    struct raw_driver *driver = self;
    assert_true(index < RAW_NOTIFY);
    driver->triggers[index]++;
}

static const struct l4vio_device_ops ops = {.check_features = check_features,
                                            .queue_ready = queue_ready,
                                            .queue_stop = queue_stop,
                                            .driver_ok = driver_ok,
                                            .reset = reset,
                                            .config_written = config_written};

void raw_driver_init(struct raw_driver *driver, unsigned options)
{
    memset(driver, 0, sizeof(*driver));
    /* Blocks of their own, so that the address sanitizer sees a step over their ends. */
    driver->memory = aligned_alloc(4096, RAW_MEMORY_BYTES);
    driver->page_bytes = aligned_alloc(4096, L4VIO_PAGE_BYTES);
    assert_non_null(driver->memory);
    assert_non_null(driver->page_bytes);
    memset(driver->memory, 0, RAW_MEMORY_BYTES);
    memset(driver->page_bytes, 0xa5, L4VIO_PAGE_BYTES);
    driver->page = (struct l4vio_page_header *)(void *)driver->page_bytes;

    struct l4vio_device_config config = {.device_id = VIRTIO_ID_BLOCK,
                                         .queues = driver->states,
                                         .queue_count = RAW_QUEUES,
                                         .queue_size_max = RAW_QUEUE_SIZE,
                                         .queue_slots = driver->slots,
                                         .config = driver->config,
                                         .config_bytes = RAW_CONFIG_BYTES,
                                         .regions = driver->regions,
                                         .region_count = RAW_REGIONS,
                                         .ops = &ops,
                                         .ops_self = driver,
                                         .release_region = release_region,
                                         .release_self = driver};
    static const struct {
        unsigned option;
        unsigned bit;
    } features[] = {{RAW_PACKED, L4VIO_F_RING_PACKED},
                    {RAW_EVENT_IDX, L4VIO_F_EVENT_IDX},
                    {RAW_IN_ORDER, L4VIO_F_IN_ORDER},
                    {RAW_ORDER_PLATFORM, L4VIO_F_ORDER_PLATFORM}};
    l4vio_features_set(&driver->features, L4VIO_F_VERSION_1);
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (options & features[i].option) {
            l4vio_features_set(&config.offered, features[i].bit);
            l4vio_features_set(&driver->features, features[i].bit);
        }
    }
    if (!(options & RAW_NO_INDIRECT)) {
        l4vio_features_set(&config.offered, L4VIO_F_INDIRECT_DESC);
        l4vio_features_set(&driver->features, L4VIO_F_INDIRECT_DESC);
    }
    assert_int_equal(l4vio_device_init(&driver->device, &config, NULL), 0);
    for (uint32_t i = 0; i < RAW_QUEUES; i++)
        raw_begin_ring(driver, i);

    struct l4vio_device_page_config page = {.device = &driver->device,
                                            .page = driver->page_bytes,
                                            .cmd_mode = options & RAW_CMD_MODE,
                                            .notification_count = RAW_NOTIFY,
                                            .trigger = trigger,
                                            .trigger_self = driver};
    assert_int_equal(l4vio_device_page_init(&driver->device_page, &page, NULL), 0);
}

void raw_driver_free(struct raw_driver *driver)
{
    l4vio_device_reset(&driver->device);
    free(driver->memory);
    free(driver->page_bytes);
}

static int set_up_with(void **state, unsigned options)
{
    struct raw_driver *driver = malloc(sizeof(*driver));
    assert_non_null(driver);
    raw_driver_init(driver, options);
    raw_bring_up(driver);
    *state = driver;
    return 0;
}

int raw_setup(void **state)
{
    return set_up_with(state, 0);
}

int raw_setup_packed(void **state)
{
    return set_up_with(state, RAW_PACKED);
}

int raw_setup_in_order(void **state)
{
    return set_up_with(state, RAW_EVENT_IDX | RAW_IN_ORDER);
}

int raw_setup_packed_in_order(void **state)
{
    return set_up_with(state, RAW_PACKED | RAW_EVENT_IDX | RAW_IN_ORDER);
}

int raw_teardown(void **state)
{
    raw_driver_free(*state);
    free(*state);
    return 0;
}

void raw_register(struct raw_driver *driver)
{
    struct l4vio_device_region region = {
        .device_address = RAW_BASE, .size_bytes = RAW_MEMORY_BYTES, .base = driver->memory};
    assert_int_equal(l4vio_device_add_region(&driver->device, &region, NULL), 0);
}

void raw_negotiate(struct raw_driver *driver)
{
    raw_register(driver);
    l4vio_device_page_set_status(&driver->device_page, VIRTIO_STATUS_ACKNOWLEDGE);
    l4vio_device_page_set_status(&driver->device_page,
                                 VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&driver->page->driver_features_map[i], driver->features.word[i]);
    l4vio_device_page_set_status(&driver->device_page, VIRTIO_STATUS_ACKNOWLEDGE |
                                                           VIRTIO_STATUS_DRIVER |
                                                           VIRTIO_STATUS_FEATURES_OK);
}

struct l4vio_page_queue *raw_queue_entry(struct raw_driver *driver, uint32_t queue)
{
    struct l4vio_page_queue *array =
        (struct l4vio_page_queue *)(void *)(driver->page_bytes + driver->device_page.queues_offset);
    return &array[queue];
}

void raw_fill_entry(struct raw_driver *driver, uint32_t queue)
{
    struct l4vio_page_queue *entry = raw_queue_entry(driver, queue);
    uint64_t address = RAW_BASE + (uint64_t)queue * RAW_QUEUE_BYTES;
    l4vio_store16(&entry->num, RAW_QUEUE_SIZE);
    l4vio_store16(&entry->driver_notify_index, (uint16_t)(queue + 1));
    l4vio_store64(&entry->desc_addr, address);
    l4vio_store64(&entry->avail_addr, address + RAW_AVAIL);
    l4vio_store64(&entry->used_addr, address + RAW_USED);
    l4vio_store16_release(&entry->ready, 1);
}

void raw_bring_up(struct raw_driver *driver)
{
    memset(driver->memory, 0, RAW_DATA);
    for (uint32_t i = 0; i < RAW_QUEUES; i++)
        raw_begin_ring(driver, i);
    raw_negotiate(driver);
    for (uint32_t i = 0; i < RAW_QUEUES; i++) {
        raw_fill_entry(driver, i);
        assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, i, NULL), 0);
    }
    l4vio_store32(&driver->page->cfg_driver_notify_index, 0);
    l4vio_device_page_set_status(&driver->device_page,
                                 VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
    assert_true(l4vio_device_live(&driver->device));
}

uint32_t raw_status(const struct raw_driver *driver)
{
    return l4vio_load32(&driver->page->status);
}

static void *ring(struct raw_driver *driver, uint32_t queue, uint32_t offset)
{
    return driver->memory + (uint64_t)queue * RAW_QUEUE_BYTES + offset;
}

struct virtq_desc *raw_table(struct raw_driver *driver, uint32_t queue)
{
    return ring(driver, queue, 0);
}

struct virtq_avail *raw_avail(struct raw_driver *driver, uint32_t queue)
{
    return ring(driver, queue, RAW_AVAIL);
}

struct virtq_used *raw_used(struct raw_driver *driver, uint32_t queue)
{
    return ring(driver, queue, RAW_USED);
}

l4vio_le16 *raw_avail_ring(struct raw_driver *driver, uint32_t queue)
{
    return (l4vio_le16 *)(raw_avail(driver, queue) + 1);
}

struct virtq_used_elem *raw_used_ring(struct raw_driver *driver, uint32_t queue)
{
    return (struct virtq_used_elem *)(raw_used(driver, queue) + 1);
}

uint16_t raw_used_index(struct raw_driver *driver, uint32_t queue)
{
    return l4vio_load16_acquire(&raw_used(driver, queue)->idx);
}

void raw_desc(struct virtq_desc *desc, uint64_t address, uint32_t length_bytes, unsigned flags,
              uint16_t next)
{
    l4vio_store64(&desc->addr, address);
    l4vio_store32(&desc->len, length_bytes);
    l4vio_store16(&desc->flags, (uint16_t)flags);
    l4vio_store16(&desc->next, next);
}

void raw_desc_at(struct raw_driver *driver, uint32_t offset, uint64_t address,
                 uint32_t length_bytes, unsigned flags, uint16_t next)
{
    struct virtq_desc desc;
    raw_desc(&desc, address, length_bytes, flags, next);
    memcpy(driver->memory + offset, &desc, sizeof(desc));
}

void raw_table_entry(struct raw_driver *driver, uint32_t offset, uint64_t address,
                     uint32_t length_bytes, unsigned flags, uint16_t next)
{
    struct virtq_packed_desc desc;
    if (!driver->rings[0].packed) {
        raw_desc_at(driver, offset, address, length_bytes, flags, next);
        return;
    }
    l4vio_store64(&desc.addr, address);
    l4vio_store32(&desc.len, length_bytes);
    l4vio_store16(&desc.id, UINT16_MAX);
    l4vio_store16(&desc.flags, (uint16_t)flags);
    memcpy(driver->memory + offset, &desc, sizeof(desc));
}

void raw_begin_ring(struct raw_driver *driver, uint32_t queue)
{
    raw_ring_init(&driver->rings[queue], l4vio_features_has(&driver->features, L4VIO_F_RING_PACKED),
                  RAW_QUEUE_SIZE, ring(driver, queue, 0), ring(driver, queue, RAW_AVAIL),
                  ring(driver, queue, RAW_USED), driver->ring_entries[queue]);
}

void raw_publish(struct raw_driver *driver, uint32_t queue, uint16_t head)
{
    uint16_t index = driver->rings[queue].avail_index++;
    l4vio_store16(&raw_avail_ring(driver, queue)[index % RAW_QUEUE_SIZE], head);
    l4vio_store16_release(&raw_avail(driver, queue)->idx, (uint16_t)(index + 1u));
}

void raw_publish_chain(struct raw_driver *driver, uint32_t queue, uint16_t id,
                       const struct raw_piece *pieces, unsigned count)
{
    raw_ring_publish(&driver->rings[queue], id, pieces, count);
}

void raw_publish_piece(struct raw_driver *driver, uint32_t queue, uint16_t id, uint64_t address,
                       uint32_t length_bytes, unsigned flags)
{
    struct raw_piece piece = {address, length_bytes, flags};
    raw_publish_chain(driver, queue, id, &piece, 1);
}

void raw_publish_one(struct raw_driver *driver, uint32_t queue, uint16_t id)
{
    raw_publish_piece(driver, queue, id, RAW_BASE + RAW_DATA + id * 16u, 16, RAW_WRITE);
}

int raw_take(struct raw_driver *driver, uint32_t queue)
{
    struct l4vio_device_queue *device_queue = l4vio_device_queue(&driver->device, queue);
    if (!device_queue)
        return 0;
    int taken =
        l4vio_device_queue_next(device_queue, &driver->chain, driver->segments, RAW_SEGMENTS);
    if (taken == 1)
        driver->entries[queue][driver->chain.head] = driver->chain.entries;
    return taken;
}

void raw_finish(struct raw_driver *driver, uint32_t queue, uint16_t head, uint32_t written_bytes)
{
    struct l4vio_device_used used = {
        .head = head, .entries = driver->entries[queue][head], .written_bytes = written_bytes};
    l4vio_device_queue_finish(l4vio_device_queue(&driver->device, queue), &used, 1);
    l4vio_device_notify(&driver->device, queue);
}

/* Used elements that nobody looked at. */
static void pass_over_used(struct raw_driver *driver)
{
    struct raw_ring *ring = &driver->rings[0];
    struct raw_used used;
    if (!ring->packed)
        ring->used_index = raw_used_index(driver, 0);
    else
        for (unsigned i = 0; i < RAW_QUEUE_SIZE && raw_ring_get_used(ring, &used); i++)
            ;
}

/* The driver wants to hear of what is used next. */
static void want_notification(struct raw_driver *driver)
{
    struct raw_ring *ring = &driver->rings[0];
    if (ring->packed)
        raw_packed_want(ring, VIRTQ_EVENT_F_ENABLE, 0, false);
    else
        l4vio_store16(&raw_avail_ring(driver, 0)[RAW_QUEUE_SIZE], ring->used_index);
}

void raw_expect_works(struct raw_driver *driver)
{
    unsigned triggers = driver->triggers[1];
    struct raw_used used;
    pass_over_used(driver);
    want_notification(driver);
    raw_publish_one(driver, 0, 3);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.head, 3);
    assert_int_equal(driver->chain.writable_bytes, 16);
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 0, "0123456789abcdef", 16), 16);
    raw_finish(driver, 0, 3, 16);

    assert_memory_equal(driver->memory + RAW_DATA + 3 * 16, "0123456789abcdef", 16);
    assert_true(raw_ring_get_used(&driver->rings[0], &used));
    assert_int_equal(used.id, 3);
    assert_int_equal(used.length_bytes, 16);
    assert_false(raw_ring_get_used(&driver->rings[0], &used));
    assert_int_equal(driver->triggers[1], triggers + 1);
    assert_int_equal(raw_take(driver, 0), 0);
}

void raw_expect_broken(struct raw_driver *driver)
{
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    unsigned notified = driver->triggers[0];
    struct raw_used used;
    pass_over_used(driver);
    assert_int_equal(raw_take(driver, 0), L4VIO_EBADPROTO);
    assert_false(l4vio_device_queue_ready(queue));
    assert_int_equal(queue->broken_error.code, L4VIO_EBADPROTO);
    assert_non_null(queue->broken_error.text);
    assert_int_equal(queue->counters.broken, 1);

    /* It stays broken, whatever the driver does to its ring now. */
    raw_publish_one(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), L4VIO_EBADPROTO);
    assert_false(l4vio_device_queue_has_avail(queue));
    assert_false(l4vio_device_queue_arm(queue));
    assert_false(raw_ring_get_used(&driver->rings[0], &used));

    l4vio_device_notify(&driver->device, 0);
    assert_false(l4vio_device_live(&driver->device));
    assert_true(raw_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(driver->triggers[0], notified + 1);
    assert_ptr_equal(driver->device.failure.text, queue->broken_error.text);

    l4vio_device_page_set_status(&driver->device_page, 0);
    assert_int_equal(raw_status(driver), 0);
    raw_bring_up(driver);
    raw_expect_works(driver);
}
