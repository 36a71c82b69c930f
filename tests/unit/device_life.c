/* SPDX-License-Identifier: MIT */
/* Bring-up, refusals by the class, needs-reset, reset, configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_driver.h"

#define UP_TO_DRIVER (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)
#define UP           (UP_TO_DRIVER | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)

static void bring_up_tells_the_class(void **state)
{
    struct raw_driver *driver = *state;
    assert_int_equal(raw_status(driver), UP);
    assert_int_equal(driver->driver_ok_calls, 1);
    assert_int_equal(driver->ready_calls[0], 1);
    assert_int_equal(driver->ready_calls[1], 1);
    /* Once: the same bits again are no step. */
    l4vio_device_page_set_status(&driver->device_page, UP);
    assert_int_equal(driver->driver_ok_calls, 1);
}

static void queue_before_features_is_served(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_register(driver);
    memset(driver->memory, 0, RAW_DATA);
    driver->rings[0].avail_index = 0;
    l4vio_device_page_set_status(&driver->device_page, UP_TO_DRIVER);
    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), 0);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&driver->page->driver_features_map[i], driver->features.word[i]);
    l4vio_device_page_set_status(&driver->device_page, UP);
    raw_expect_works(driver);

    /* What was negotiated afterwards holds for it too. */
    raw_desc_at(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 6, RAW_READ, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
}

/* Of a driver that is up to DRIVER. */
static void accept_features(struct raw_driver *driver)
{
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&driver->page->driver_features_map[i], driver->features.word[i]);
    l4vio_device_page_set_status(&driver->device_page, UP_TO_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

/* What lies in the memory of a queue that is ready is not such a ring: the set is refused, and another
 * may be tried. */
static void features_that_ready_queues_were_not_set_up_with_are_refused(void **state)
{
    static const unsigned bits[] = {L4VIO_F_RING_PACKED, L4VIO_F_EVENT_IDX, L4VIO_F_IN_ORDER,
                                    L4VIO_F_ORDER_PLATFORM};
    struct raw_driver *driver = *state;
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        struct l4vio_features kept = driver->features;
        l4vio_features_set(&driver->device.config.offered, bits[i]);
        l4vio_features_set(&driver->features, bits[i]);
        l4vio_device_page_set_status(&driver->device_page, 0);
        raw_register(driver);
        memset(driver->memory, 0, RAW_DATA);
        driver->rings[0].avail_index = 0;
        l4vio_device_page_set_status(&driver->device_page, UP_TO_DRIVER);
        raw_fill_entry(driver, 0);
        assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), 0);
        accept_features(driver);
        assert_int_equal(raw_status(driver), UP_TO_DRIVER);
        driver->features = kept;
        accept_features(driver);
        assert_int_equal(raw_status(driver), UP_TO_DRIVER | VIRTIO_STATUS_FEATURES_OK);
        l4vio_device_page_set_status(&driver->device_page, UP);
        raw_expect_works(driver);
    }
}

/* Clauses V-6.2-4 and V-6.2-6: a device may insist. */
static void required_features_must_be_accepted(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_features_set(&driver->device.config.offered, L4VIO_F_ACCESS_PLATFORM);
    l4vio_features_set(&driver->device.config.required, L4VIO_F_ACCESS_PLATFORM);
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_device_page_set_status(&driver->device_page, UP_TO_DRIVER);
    accept_features(driver);
    assert_int_equal(raw_status(driver), UP_TO_DRIVER);
    l4vio_features_set(&driver->features, L4VIO_F_ACCESS_PLATFORM);
    accept_features(driver);
    assert_int_equal(raw_status(driver), UP_TO_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

static void class_may_refuse_features(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    driver->check_features_result = L4VIO_EINVAL;
    raw_negotiate(driver);
    assert_int_equal(raw_status(driver), UP_TO_DRIVER);
    assert_true(l4vio_features_empty(&driver->device.accepted));

    /* The driver may try again. */
    driver->check_features_result = 0;
    l4vio_device_page_set_status(&driver->device_page, UP_TO_DRIVER | VIRTIO_STATUS_FEATURES_OK);
    assert_int_equal(raw_status(driver), UP_TO_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

static void broken_dependency_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    const struct l4vio_feature_dependency rule = {
        .bit = L4VIO_F_INDIRECT_DESC, .needs = 5, .or_needs = 5};
    driver->device.config.dependencies = &rule;
    driver->device.config.dependency_count = 1;
    l4vio_features_set(&driver->device.config.offered, 5);
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_negotiate(driver);
    assert_int_equal(raw_status(driver), UP_TO_DRIVER);
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_features_set(&driver->features, 5);
    raw_bring_up(driver);
}

static void class_may_refuse_a_queue(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_negotiate(driver);
    raw_fill_entry(driver, 0);
    driver->queue_ready_result = L4VIO_ENOMEM;
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_load16(&raw_queue_entry(driver, 0)->ready), 0);
    assert_null(l4vio_device_queue(&driver->device, 0));
}

static void class_that_cannot_start_needs_reset(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    driver->driver_ok_result = L4VIO_EIO;
    unsigned notified = driver->triggers[0];
    raw_negotiate(driver);
    l4vio_device_page_set_status(&driver->device_page, UP);
    assert_int_equal(raw_status(driver), UP | VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(driver->triggers[0], notified + 1);
    assert_int_equal(driver->device.failure.code, L4VIO_EIO);
    assert_int_equal(driver->device.failures, 1);
}

static void first_reason_for_reset_is_kept(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_error first = {.code = L4VIO_EIO, .text = "first", .value = 1};
    struct l4vio_error second = {.code = L4VIO_ENOMEM, .text = "second", .value = 2};
    l4vio_device_needs_reset(&driver->device, &first);
    l4vio_device_needs_reset(&driver->device, &second);
    assert_int_equal(driver->device.failure.value, 1);
    assert_int_equal(driver->device.failures, 1);
    assert_int_equal(driver->triggers[0], 1);
}

static void reset_takes_everything_back(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_reset(&driver->device);
    assert_int_equal(raw_status(driver), 0);
    assert_int_equal(driver->reset_calls, 1);
    assert_int_equal(driver->stop_calls[0], 1);
    assert_int_equal(driver->stop_calls[1], 1);
    assert_int_equal(driver->released, 1);
    assert_int_equal(driver->device.resets, 1);
    for (uint32_t i = 0; i < RAW_QUEUES; i++) {
        assert_null(l4vio_device_queue(&driver->device, i));
        assert_int_equal(l4vio_load16(&raw_queue_entry(driver, i)->ready), 0);
        assert_int_equal(l4vio_load16(&raw_queue_entry(driver, i)->num), 0);
    }
    assert_null(l4vio_device_queue(&driver->device, RAW_QUEUES));
    raw_bring_up(driver);
    raw_expect_works(driver);
}

static void queue_is_reset_alone(void **state)
{
    struct raw_driver *driver = *state;
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 1), 0);
    assert_int_equal(driver->stop_calls[1], 1);
    assert_int_equal(driver->stop_calls[0], 0);
    assert_int_equal(l4vio_load16(&raw_queue_entry(driver, 1)->ready), 0);
    assert_null(l4vio_device_queue(&driver->device, 1));
    raw_expect_works(driver);
    /* Nothing to do the second time. */
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 1), 0);
    assert_int_equal(driver->stop_calls[1], 1);
    raw_fill_entry(driver, 1);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 1, NULL), 0);
}

static void configuration_change_is_announced(void **state)
{
    struct raw_driver *driver = *state;
    uint32_t generation = l4vio_load32(&driver->page->generation);
    const uint8_t *shown = driver->page_bytes + L4VIO_PAGE_CONFIG_OFFSET;
    assert_int_equal(l4vio_device_write_config(&driver->device, 3, "capacity!", 9), 0);
    assert_memory_equal(shown, "\0\0\0capacity!\0", 13);
    assert_memory_equal(driver->config, shown, RAW_CONFIG_BYTES);
    assert_int_equal(l4vio_load32(&driver->page->generation), generation + 2);
    assert_int_equal(driver->triggers[0], 1);

    assert_int_equal(l4vio_device_write_config(&driver->device, RAW_CONFIG_BYTES, "", 0), 0);
    assert_int_equal(l4vio_device_write_config(&driver->device, RAW_CONFIG_BYTES, "x", 1),
                     L4VIO_ERANGE);
    assert_int_equal(l4vio_device_write_config(&driver->device, UINT32_MAX, "x", 1), L4VIO_ERANGE);
    assert_int_equal(l4vio_device_write_config(&driver->device, 1, "x", UINT32_MAX), L4VIO_ERANGE);
    assert_int_equal(driver->triggers[0], 1);
}

static void change_without_driver_notifies_nobody(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_reset(&driver->device);
    assert_int_equal(l4vio_device_write_config(&driver->device, 0, "x", 1), 0);
    assert_int_equal(driver->page_bytes[L4VIO_PAGE_CONFIG_OFFSET], 'x');
    assert_int_equal(driver->triggers[0], 0);
}

static void bad_devices_are_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device device;
    struct l4vio_device_config good = driver->device.config;
    struct l4vio_device_config bad = good;
    struct l4vio_device_queue_state states[RAW_QUEUES];
    good.queues = bad.queues = states;
    assert_int_equal(l4vio_device_init(&device, &good, NULL), 0);
    bad.queue_count = 0;
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
    bad = good;
    bad.queue_size_max = 24;
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
    bad = good;
    bad.config = NULL;
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
    bad = good;
    l4vio_features_set(&bad.required, L4VIO_F_ACCESS_PLATFORM);
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
}

/* Clauses V-2.2.2-1 and V-2.2.2-3: nothing that the device has not, nothing without what it needs. */
static void offers_that_cannot_be_honoured_are_refused(void **state)
{
    static const struct l4vio_feature_dependency rule = {.bit = 5, .needs = 6, .or_needs = 6};
    struct l4vio_device device;
    struct l4vio_device_queue_state states[1];
    struct l4vio_device_queue_slot slots[16];
    struct l4vio_device_config good = {.device_id = 1,
                                       .queues = states,
                                       .queue_count = 1,
                                       .queue_size_max = 16,
                                       .queue_slots = slots,
                                       .dependencies = &rule,
                                       .dependency_count = 1};
    (void)state;
    l4vio_ring_features(&good.offered);
    assert_int_equal(l4vio_device_init(&device, &good, NULL), 0);
    assert_true(l4vio_features_has(&device.config.offered, L4VIO_F_VERSION_1));

    struct l4vio_device_config bad = good;
    bad.queue_slots = NULL; /* IN_ORDER needs them. */
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
    l4vio_features_clear(&bad.offered, L4VIO_F_IN_ORDER);
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), 0);
    static const uint8_t reserved[] = {24, 27, 37, 39, 41, 42, 49};
    for (unsigned i = 0; i < sizeof(reserved); i++) {
        bad = good;
        l4vio_features_set(&bad.offered, reserved[i]);
        assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
    }
    bad = good;
    l4vio_features_set(&bad.offered, 5);
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), L4VIO_EINVAL);
    l4vio_features_set(&bad.offered, 6);
    assert_int_equal(l4vio_device_init(&device, &bad, NULL), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bring_up_tells_the_class),
        CASE(queue_before_features_is_served),
        CASE(features_that_ready_queues_were_not_set_up_with_are_refused),
        CASE(required_features_must_be_accepted),
        CASE(class_may_refuse_features),
        CASE(broken_dependency_is_refused),
        CASE(class_may_refuse_a_queue),
        CASE(class_that_cannot_start_needs_reset),
        CASE(first_reason_for_reset_is_kept),
        CASE(reset_takes_everything_back),
        CASE(queue_is_reset_alone),
        CASE(configuration_change_is_announced),
        CASE(change_without_driver_notifies_nobody),
        CASE(bad_devices_are_refused),
        CASE(offers_that_cannot_be_honoured_are_refused),
    };
    return cmocka_run_group_tests_name("device_life", tests, NULL, NULL);
}
