/* SPDX-License-Identifier: MIT */
/* A driver that names memory which it has not shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void publish_buffer(struct raw_driver *driver, uint64_t address, uint32_t length_bytes)
{
    raw_desc(&raw_table(driver, 0)[0], address, length_bytes, RAW_WRITE, 0);
    raw_publish(driver, 0, 0);
}

static void null_address_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, 0, 16);
    raw_expect_broken(driver);
}

static void address_below_the_region_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, RAW_BASE - 1, 16);
    raw_expect_broken(driver);
}

static void address_past_the_region_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, RAW_BASE + RAW_MEMORY_BYTES, 1);
    raw_expect_broken(driver);
}

static void buffer_over_the_end_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, RAW_BASE + RAW_MEMORY_BYTES - 15, 16);
    raw_expect_broken(driver);
}

static void buffer_that_wraps_around_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, UINT64_MAX - 7, 16);
    raw_expect_broken(driver);
}

static void length_that_wraps_around_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, RAW_BASE + 1, UINT32_MAX);
    raw_expect_broken(driver);
}

static void local_address_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, (uint64_t)(uintptr_t)driver->memory, 16);
    raw_expect_broken(driver);
}

static void buffer_up_to_the_end_is_taken(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, RAW_BASE + RAW_MEMORY_BYTES - 16, 16);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_ptr_equal(driver->segments[0].base, driver->memory + RAW_MEMORY_BYTES - 16);
}

static void empty_buffer_is_not_looked_up(void **state)
{
    struct raw_driver *driver = *state;
    publish_buffer(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable + driver->chain.writable, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(null_address_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(address_below_the_region_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(address_past_the_region_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(buffer_over_the_end_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(buffer_that_wraps_around_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(length_that_wraps_around_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(local_address_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(buffer_up_to_the_end_is_taken, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(empty_buffer_is_not_looked_up, raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_bad_address", tests, NULL, NULL);
}
