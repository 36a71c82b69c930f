/* SPDX-License-Identifier: MIT */
/*
 * The block driver and the block device of this library over the loopback transport: random requests
 * on several queues, compared with a model in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/backends.h>
#include <l4vio/block_sync.h>
#include <l4vio/device_block.h>
#include <l4vio/device_page.h>
#include <l4vio/loopback.h>

#define QUEUES      3u
#define QUEUE_SIZE  32u
#define PER_QUEUE   8u
#define DISK_BYTES  (1024u * 1024u)
#define ARENA_BYTES (4u * 1024u * 1024u)
#define LARGEST     (128u * 1024u)

static struct {
    struct l4vio_loopback_platform os;
    struct l4vio_platform platform;
    struct l4vio_loopback loopback;
    struct l4vio_device_page page;
    struct l4vio_dataspace page_space;
    struct l4vio_block_backend store;
    struct l4vio_block_lane *lane;
    struct l4vio_device_block device;
    struct l4vio_device_queue_state states[QUEUES];
    struct l4vio_device_block_queue device_queues[QUEUES];
    struct l4vio_device_block_request requests[QUEUES * PER_QUEUE];
    struct l4vio_device_region regions[8];
    struct l4vio_block block;
    struct l4vio_queue queues[QUEUES];
    struct l4vio_queue_slot slots[QUEUES * QUEUE_SIZE];
    struct l4vio_driver_notification notifications[QUEUES + 1];
    struct l4vio_block_pool pools[QUEUES];
    struct l4vio_block_bounce bounces[QUEUES][4];
    uint8_t model[DISK_BYTES];
    uint8_t data[LARGEST];
    uint8_t *arena;
    uint64_t random;
} t;

static uint32_t random_below(uint32_t bound)
{
    t.random = t.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(t.random >> 33) % bound;
}

static bool pump(void *self)
{
    bool worked = false;
    (void)self;
    for (uint32_t i = 0; i < QUEUES; i++)
        worked = l4vio_device_block_process(&t.device, i, PER_QUEUE) || worked;
    return worked;
}

static void make_device(struct l4vio_transport *transport)
{
    struct l4vio_error error = {0};

    assert_int_equal(0, l4vio_memory_backend_open(DISK_BYTES, &t.store, &error));
    struct l4vio_device_block_config config = {
        .backend = t.store,
        .id = "loopback",
        .queue_states = t.states,
        .queues = t.device_queues,
        .queue_count = QUEUES,
        .queue_size_max = QUEUE_SIZE,
        .requests = t.requests,
        .requests_per_queue = PER_QUEUE,
        .regions = t.regions,
        .region_count = 8,
    };
    assert_int_equal(0, l4vio_device_block_init(&t.device, &config, &error));
    assert_int_equal(0, t.store.ops->lane_open(t.store.self, &t.lane, &error));
    for (uint32_t i = 0; i < QUEUES; i++)
        l4vio_device_block_set_lane(&t.device, i, t.lane);
    t.platform = l4vio_loopback_platform_init(&t.os, t.arena, ARENA_BYTES);
    t.os.pump = pump;
    assert_int_equal(0, t.platform.ops->dataspace_allocate(t.platform.self, L4VIO_PAGE_BYTES,
                                                           &t.page_space, &error));
    struct l4vio_device_page_config page = {
        .device = &t.device.device,
        .page = t.page_space.base,
        .notification_count = QUEUES + 1,
        .trigger = l4vio_loopback_trigger,
        .trigger_self = &t.loopback,
    };
    assert_int_equal(0, l4vio_device_page_init(&t.page, &page, &error));
    assert_int_equal(0, l4vio_loopback_init(&t.loopback, &t.page, &t.page_space, QUEUES + 1,
                                            &t.platform, transport, &error));
}

static int setup(void **state)
{
    struct l4vio_error error = {0};
    struct l4vio_block_config config = {
        .driver.notifications = t.notifications,
        .driver.notification_count = QUEUES + 1,
        .queue_count = QUEUES,
        .queue_size = QUEUE_SIZE,
        .queues = t.queues,
        .slots = t.slots,
    };
    (void)state;
    memset(&t, 0, sizeof(t));
    t.random = 42;
    t.arena = aligned_alloc(4096, ARENA_BYTES);
    assert_non_null(t.arena);
    make_device(&config.driver.transport);
    config.driver.platform = t.platform;
    assert_int_equal(0, l4vio_block_setup(&t.block, &config, &error));
    assert_int_equal(QUEUES, t.block.queue_count);
    /* Buffers of different sizes: one part each, and several. */
    for (uint32_t i = 0; i < QUEUES; i++)
        assert_int_equal(0, l4vio_block_pool_init(&t.pools[i], &t.block, i, t.bounces[i], 4,
                                                  i ? i * 24576u : 512u, &error));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    l4vio_block_close(&t.block);
    t.store.ops->lane_close(t.store.self, t.lane);
    l4vio_memory_backend_close(&t.store);
    free(t.arena);
    return 0;
}

static void random_requests_agree_with_a_model(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 1500; round++) {
        struct l4vio_block_pool *pool = &t.pools[random_below(QUEUES)];
        uint32_t length = 512u * random_below(random_below(8) ? 24 : LARGEST / 512u);
        uint32_t offset = 512u * random_below((DISK_BYTES - length) / 512u + 1u);
        uint64_t deadline = l4vio_driver_deadline(&t.block.driver, UINT64_C(10000000000));
        uint64_t done = 0;
        switch (random_below(5)) {
        case 0:
        case 1:
            assert_int_equal(
                0, l4vio_block_pool_read(pool, offset, t.data, length, deadline, &done, NULL));
            assert_int_equal(0, memcmp(t.data, t.model + offset, length));
            break;
        case 2:
        case 3:
            memset(t.data, (int)round, length);
            memset(t.model + offset, (int)round, length);
            assert_int_equal(
                0, l4vio_block_pool_write(pool, offset, t.data, length, deadline, &done, NULL));
            break;
        default:
            memset(t.model + offset, 0, length);
            assert_int_equal(0, l4vio_block_pool_zero(pool, offset, length, random_below(2),
                                                      deadline, &done, NULL));
            break;
        }
        assert_int_equal(length, done);
    }
    assert_memory_equal(t.model, l4vio_memory_backend_bytes(&t.store), DISK_BYTES);
}

static void identity_flush_and_recovery(void **state)
{
    char id[VIRTIO_BLK_ID_BYTES + 1];
    struct l4vio_error error = {0};
    (void)state;

    assert_int_equal(0, l4vio_block_pool_id(&t.pools[0], id, L4VIO_FOREVER, &error));
    assert_string_equal("loopback", id);
    assert_int_equal(0, l4vio_block_pool_flush(&t.pools[1], L4VIO_FOREVER, &error));
    l4vio_device_needs_reset(&t.device.device, &error);
    assert_int_equal(L4VIO_EIO, l4vio_block_pool_flush(&t.pools[1], L4VIO_FOREVER, &error));
    assert_int_equal(0, l4vio_block_recover(&t.block, &error));
    assert_int_equal(0, l4vio_block_pool_flush(&t.pools[1], L4VIO_FOREVER, &error));
    random_requests_agree_with_a_model(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_requests_agree_with_a_model, setup, teardown),
        cmocka_unit_test_setup_teardown(identity_flush_and_recovery, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
