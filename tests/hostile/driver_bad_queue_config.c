/* SPDX-License-Identifier: MIT */
/* A driver that sets queues up wrongly: refused, and the next try may be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

#include "core/ordering.h"

static struct l4vio_page_queue *reset_and_fill(struct raw_driver *driver)
{
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_negotiate(driver);
    raw_fill_entry(driver, 0);
    return raw_queue_entry(driver, 0);
}

static void expect_refused(struct raw_driver *driver)
{
    struct l4vio_error error = {0};
    unsigned ready_calls = driver->ready_calls[0];
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, &error), L4VIO_EINVAL);
    assert_int_equal(error.code, L4VIO_EINVAL);
    assert_non_null(error.text);
    assert_int_equal(l4vio_load16(&raw_queue_entry(driver, 0)->ready), 0);
    assert_int_equal(driver->ready_calls[0], ready_calls);
    assert_null(l4vio_device_queue(&driver->device, 0));

    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), 0);
    assert_int_equal(driver->ready_calls[0], ready_calls + 1);
}

/* A region that begins at an even device address need not do so in memory. */
static void areas_that_are_not_aligned_in_memory_are_refused(void **state)
{
    _Alignas(16) static unsigned char memory[0x4000];
    struct l4vio_device_region regions[3];
    struct l4vio_device_memory device_memory;
    struct l4vio_device_queue queue;

    (void)state;
    for (unsigned shifted = 0; shifted <= 3; shifted++) {
        l4vio_device_memory_init(&device_memory, regions, 3, 0);
        for (unsigned i = 0; i < 3; i++) {
            struct l4vio_device_region region = {.device_address = i * UINT64_C(0x1000),
                                                 .size_bytes = 0x1000,
                                                 .base = memory + i * 0x1000 + (i == shifted)};
            assert_int_equal(l4vio_device_memory_add(&device_memory, &region, NULL), 0);
        }
        struct l4vio_device_queue_config config = {
            .size = 16, .desc_address = 0, .avail_address = 0x1000, .used_address = 0x2000};
        assert_int_equal(l4vio_device_queue_init(&queue, &config, &device_memory, NULL),
                         shifted < 3 ? L4VIO_EINVAL : 0);
    }
}

static void size_of_zero_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store16(&entry->num, 0);
    expect_refused(driver);
}

static void size_that_is_no_power_of_two_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store16(&entry->num, 12);
    expect_refused(driver);
}

static void size_above_the_largest_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store16(&entry->num, 2 * RAW_QUEUE_SIZE);
    expect_refused(driver);
}

static void size_above_32768_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store16(&entry->num, UINT16_MAX);
    expect_refused(driver);
}

static void table_that_is_not_aligned_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->desc_addr, RAW_BASE + 8);
    expect_refused(driver);
}

static void available_ring_that_is_not_aligned_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->avail_addr, RAW_BASE + RAW_AVAIL + 1);
    expect_refused(driver);
}

static void used_ring_that_is_not_aligned_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->used_addr, RAW_BASE + RAW_USED + 2);
    expect_refused(driver);
}

static void table_outside_memory_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->desc_addr, 0);
    expect_refused(driver);
}

static void available_ring_over_the_end_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->avail_addr, RAW_BASE + RAW_MEMORY_BYTES - 36);
    expect_refused(driver);
}

static void used_ring_over_the_end_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->used_addr, RAW_BASE + RAW_MEMORY_BYTES - 132);
    expect_refused(driver);
}

static void address_that_wraps_around_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store64(&entry->desc_addr, UINT64_MAX - 15);
    expect_refused(driver);
}

static void notification_index_that_does_not_exist_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_page_queue *entry = reset_and_fill(driver);
    l4vio_store16(&entry->driver_notify_index, RAW_NOTIFY);
    expect_refused(driver);
}

static void queue_that_does_not_exist_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, RAW_QUEUES, &error),
                     L4VIO_ERANGE);
    assert_int_equal(error.value, RAW_QUEUES);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, UINT32_MAX, NULL),
                     L4VIO_ERANGE);
    assert_int_equal(l4vio_device_reset_queue(&driver->device, UINT32_MAX), L4VIO_ERANGE);
    raw_expect_works(driver);
}

static void queue_that_is_ready_stays_as_it_is(void **state)
{
    struct raw_driver *driver = *state;
    raw_fill_entry(driver, 0);
    l4vio_store16(&raw_queue_entry(driver, 0)->num, 4);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_load16(&raw_queue_entry(driver, 0)->ready), 1);
    raw_expect_works(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(size_of_zero_is_refused, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(size_that_is_no_power_of_two_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(size_above_the_largest_is_refused, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(size_above_32768_is_refused, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(table_that_is_not_aligned_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(available_ring_that_is_not_aligned_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(used_ring_that_is_not_aligned_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test(areas_that_are_not_aligned_in_memory_are_refused),
        cmocka_unit_test_setup_teardown(table_outside_memory_is_refused, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(available_ring_over_the_end_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(used_ring_over_the_end_is_refused, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(address_that_wraps_around_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(notification_index_that_does_not_exist_is_refused,
                                        raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(queue_that_does_not_exist_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(queue_that_is_ready_stays_as_it_is, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_bad_queue_config", tests, NULL, NULL);
}
