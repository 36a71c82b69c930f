/* SPDX-License-Identifier: MIT */
/* A driver that names memory which it has not shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void publish_buffer(struct raw_driver *driver, uint64_t address, uint32_t length_bytes)
{
    raw_publish_piece(driver, 0, 0, address, length_bytes, RAW_WRITE);
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
        RAW_EVERY(null_address_breaks_queue),
        RAW_EVERY(address_below_the_region_breaks_queue),
        RAW_EVERY(address_past_the_region_breaks_queue),
        RAW_EVERY(buffer_over_the_end_breaks_queue),
        RAW_EVERY(buffer_that_wraps_around_breaks_queue),
        RAW_EVERY(length_that_wraps_around_breaks_queue),
        RAW_EVERY(local_address_breaks_queue),
        RAW_EVERY(buffer_up_to_the_end_is_taken),
        RAW_EVERY(empty_buffer_is_not_looked_up),
    };
    return cmocka_run_group_tests_name("driver_bad_address", tests, NULL, NULL);
}
