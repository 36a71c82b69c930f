/* SPDX-License-Identifier: MIT */
/* A driver's queues are what was negotiated, or are not attached; what it insists on is there, or named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_transport.h"
#include "loopback_device.h"

enum { ring_size = 8, ring_bytes = 4096 };

static const unsigned fixed_bits[] = {L4VIO_F_RING_PACKED, L4VIO_F_EVENT_IDX, L4VIO_F_IN_ORDER,
                                      L4VIO_F_ORDER_PLATFORM, L4VIO_F_NOTIFICATION_DATA};
enum { fixed_count = sizeof(fixed_bits) / sizeof(fixed_bits[0]) };

/* A queue with these features, in memory that nobody looks at. */
static void make_queue(struct l4vio_queue *queue, const struct l4vio_features *features,
                       uint16_t size)
{
    static _Alignas(64) unsigned char memory[ring_bytes];
    static _Alignas(64) unsigned char tables[ring_size * 2 * 16];
    static struct l4vio_queue_slot slots[16];
    struct l4vio_virtqueue_layout layout;
    assert_int_equal(l4vio_virtqueue_layout_for(size, features, &layout), 0);
    struct l4vio_queue_config config = {
        .size = size,
        .desc = memory,
        .avail = memory + layout.avail_offset,
        .used = memory + layout.used_offset,
        .desc_address = 0x200000,
        .avail_address = 0x200000 + layout.avail_offset,
        .used_address = 0x200000 + layout.used_offset,
        .slots = slots,
        .features = *features,
    };
    if (l4vio_features_has(features, L4VIO_F_INDIRECT_DESC))
        config.indirect = (struct l4vio_indirect_tables){
            .memory = tables, .device_address = 0x300000, .entries = 2};
    assert_int_equal(l4vio_queue_init(queue, &config, NULL), 0);
}

static struct fake_transport *connected(const struct l4vio_features *accepted)
{
    struct fake_transport *fake = fake_transport_new();
    fake->identity.offered = l4vio_features_or(&fake->identity.offered, accepted);
    fake->driver_config.allowed = *accepted;
    fake_transport_connect(fake);
    return fake;
}

static void queue_is_attached_with_what_was_accepted_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= fixed_count; i++) {
        struct l4vio_features accepted = {{0}};
        if (i < fixed_count)
            l4vio_features_set(&accepted, fixed_bits[i]);
        struct fake_transport *fake = connected(&accepted);
        for (unsigned j = 0; j <= fixed_count; j++) {
            struct l4vio_features made = {{0}};
            struct l4vio_queue queue;
            struct l4vio_error error = {0};
            if (i == j)
                continue;
            if (j < fixed_count)
                l4vio_features_set(&made, fixed_bits[j]);
            make_queue(&queue, &made, ring_size);
            assert_int_equal(l4vio_driver_attach_queue(&fake->driver, &queue, &error),
                             L4VIO_EINVAL);
            assert_true((i < fixed_count && error.value == fixed_bits[i]) ||
                        (j < fixed_count && error.value == fixed_bits[j]));
            assert_false(l4vio_queue_ready(&queue));
        }
        assert_int_equal(fake->calls[FAKE_CONFIG_QUEUE], 0);
        struct l4vio_features settled = l4vio_driver_features(&fake->driver);
        struct l4vio_queue queue;
        make_queue(&queue, &settled, ring_size);
        assert_int_equal(l4vio_driver_attach_queue(&fake->driver, &queue, NULL), 0);
        fake_transport_free(fake);
    }
}

static void tables_need_not_be_used_but_must_be_negotiated(void **state)
{
    struct l4vio_features none = {{0}};
    struct l4vio_features indirect = none;
    struct l4vio_error error = {0};
    struct l4vio_queue queue;
    (void)state;
    l4vio_features_set(&indirect, L4VIO_F_INDIRECT_DESC);
    struct fake_transport *fake = connected(&none);
    make_queue(&queue, &indirect, ring_size);
    assert_int_equal(l4vio_driver_attach_queue(&fake->driver, &queue, &error), L4VIO_EINVAL);
    assert_int_equal(error.value, L4VIO_F_INDIRECT_DESC);
    fake_transport_free(fake);

    fake = connected(&indirect);
    make_queue(&queue, &none, ring_size);
    assert_int_equal(l4vio_driver_attach_queue(&fake->driver, &queue, NULL), 0);
    fake_transport_free(fake);
}

/* The seed's order: queues first, the device offers everything, nothing of it is wanted. */
static void caller_without_ring_features_gets_none(void **state)
{
    struct l4vio_features ring, none = {{0}};
    struct l4vio_queue queue;
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    l4vio_ring_features(&ring);
    fake->identity.offered = l4vio_features_or(&fake->identity.offered, &ring);
    fake_transport_connect(fake);
    make_queue(&queue, &none, ring_size);
    assert_int_equal(l4vio_driver_attach_queue(&fake->driver, &queue, NULL), 0);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), 0);
    struct l4vio_features accepted = l4vio_features_and(&fake->accepted, &ring);
    assert_true(l4vio_features_empty(&accepted));
    fake_transport_free(fake);
}

static void packed_queues_may_have_any_size(void **state)
{
    struct l4vio_features packed = {{0}};
    struct l4vio_queue queue;
    (void)state;
    l4vio_features_set(&packed, L4VIO_F_RING_PACKED);
    struct fake_transport *fake = connected(&packed);
    make_queue(&queue, &packed, 7);
    assert_int_equal(l4vio_driver_attach_queue(&fake->driver, &queue, NULL), 0);
    assert_int_equal(fake->setups[0].size, 7);
    assert_int_equal(l4vio_driver_config_queue(&fake->driver, 1, 9, 0x1000, 0x2000, 0x3000, NULL),
                     0);
    /* The driver's event suppression is aligned to 4, an available ring to 2. */
    assert_int_equal(l4vio_driver_config_queue(&fake->driver, 1, 9, 0x1000, 0x2002, 0x3000, NULL),
                     L4VIO_EINVAL);
    fake_transport_free(fake);

    memset(&packed, 0, sizeof(packed));
    fake = connected(&packed);
    assert_int_equal(l4vio_driver_config_queue(&fake->driver, 1, 9, 0x1000, 0x2000, 0x3000, NULL),
                     L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_config_queue(&fake->driver, 1, 8, 0x1000, 0x2002, 0x3000, NULL),
                     0);
    fake_transport_free(fake);
}

/* Clauses D-2.2.1-4b, and what the caller is told. */
static void expect_missing(struct fake_transport *fake, unsigned bit, const char *part_of_text)
{
    struct l4vio_error error = {0};
    l4vio_features_set(&fake->driver_config.required, bit);
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_negotiate(&fake->driver, &error), L4VIO_ENOSYS);
    assert_int_equal(error.value, bit);
    assert_non_null(strstr(error.text, part_of_text));
    assert_true(fake->failed_written);
    assert_int_equal(fake->calls[FAKE_SET_FEATURES], 0);
    fake_transport_free(fake);
}

static void driver_gives_up_without_what_it_requires(void **state)
{
    static const struct l4vio_feature_dependency rule = {.bit = 5, .needs = 6, .or_needs = 6};
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    l4vio_features_set(&fake->driver_config.allowed, 5);
    expect_missing(fake, 5, "does not offer");

    fake = fake_transport_new();
    l4vio_features_set(&fake->identity.offered, 5);
    expect_missing(fake, 5, "driver does not have");

    fake = fake_transport_new();
    l4vio_features_set(&fake->identity.offered, L4VIO_F_NOTIFICATION_DATA);
    l4vio_features_set(&fake->driver_config.allowed, L4VIO_F_NOTIFICATION_DATA);
    l4vio_features_set(&fake->properties.not_carried, L4VIO_F_NOTIFICATION_DATA);
    expect_missing(fake, L4VIO_F_NOTIFICATION_DATA, "transport does not carry");

    fake = fake_transport_new();
    l4vio_features_set(&fake->identity.offered, 5);
    l4vio_features_set(&fake->driver_config.allowed, 5);
    fake->driver_config.dependencies = &rule;
    fake->driver_config.dependency_count = 1;
    expect_missing(fake, 5, "depends on");

    fake = fake_transport_new();
    l4vio_features_set(&fake->identity.offered, 5);
    l4vio_features_set(&fake->driver_config.allowed, 5);
    l4vio_features_set(&fake->driver_config.required, 5);
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_negotiate(&fake->driver, NULL), 0);
    fake_transport_free(fake);
}

static void features_are_empty_before_they_are_settled(void **state)
{
    struct l4vio_features wanted = {{0}};
    (void)state;
    l4vio_features_set(&wanted, L4VIO_F_EVENT_IDX);
    struct fake_transport *fake = connected(&wanted);
    struct l4vio_features before = l4vio_driver_features(&fake->driver);
    assert_true(l4vio_features_empty(&before));
    assert_int_equal(l4vio_driver_negotiate(&fake->driver, NULL), 0);
    struct l4vio_features after = l4vio_driver_features(&fake->driver);
    assert_true(l4vio_features_has(&after, L4VIO_F_EVENT_IDX));
    assert_true(l4vio_features_has(&after, L4VIO_F_VERSION_1));
    fake_transport_free(fake);
}

/* Section 2.9: the queue index, and where the next request will be. */
static void kick_carries_its_value_over_loopback(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct loopback_device *device = loopback_device_new();
        struct loopback_queue queue;
        device->carries_kick_data = true;
        l4vio_features_set(&device->offered, L4VIO_F_NOTIFICATION_DATA);
        if (packed)
            l4vio_features_set(&device->offered, L4VIO_F_RING_PACKED);
        device->config.allowed = device->offered;
        loopback_device_connect(device);
        assert_int_equal(l4vio_driver_negotiate(&device->driver, NULL), 0);
        loopback_queue_attach(device, &queue, 1, false);
        assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), 0);
        assert_int_equal(l4vio_device_kick_data(&device->device, 1), 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(loopback_queue_add(&queue, 64, &queue), 1);
        assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), 0);
        /* Packed: two descriptors each, and the wrap counter of the first round in bit 15. */
        uint32_t position = packed ? 6u | 0x8000u : 3u;
        uint32_t data = l4vio_device_kick_data(&device->device, 1);
        assert_int_equal(data, 1u | position << 16);
        struct l4vio_device_queue *ring = l4vio_device_queue(&device->device, 1);
        assert_true(l4vio_device_queue_kicked(ring, data));
        uint32_t lie = packed ? data | 0x100u << 16 : data + (1u << 16);
        assert_false(l4vio_device_queue_kicked(ring, lie));
        assert_int_equal(l4vio_device_kick_data(&device->device, 7), 0);
        loopback_device_stop(device);
    }
}

static void port_that_carries_no_kick_data_does_not_offer_it(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    l4vio_features_set(&device->offered, L4VIO_F_NOTIFICATION_DATA);
    device->config.allowed = device->offered;
    loopback_device_connect(device);
    assert_false(l4vio_features_has(&device->driver.identity.offered, L4VIO_F_NOTIFICATION_DATA));
    struct l4vio_device_page_config page = device->page.config;
    struct l4vio_device_page other;
    l4vio_features_set(&device->device.config.required, L4VIO_F_NOTIFICATION_DATA);
    assert_int_equal(l4vio_device_page_init(&other, &page, NULL), L4VIO_EINVAL);
    l4vio_features_clear(&device->device.config.required, L4VIO_F_NOTIFICATION_DATA);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_is_attached_with_what_was_accepted_only),
        cmocka_unit_test(tables_need_not_be_used_but_must_be_negotiated),
        cmocka_unit_test(caller_without_ring_features_gets_none),
        cmocka_unit_test(packed_queues_may_have_any_size),
        cmocka_unit_test(driver_gives_up_without_what_it_requires),
        cmocka_unit_test(features_are_empty_before_they_are_settled),
        cmocka_unit_test(kick_carries_its_value_over_loopback),
        cmocka_unit_test(port_that_carries_no_kick_data_does_not_offer_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
