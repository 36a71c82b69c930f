/* SPDX-License-Identifier: MIT */
/* A driver that takes memory back which the device works with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static int remove_memory(struct raw_driver *driver)
{
    return l4vio_device_remove_region(&driver->device, RAW_BASE, RAW_MEMORY_BYTES);
}

static void memory_of_a_ready_queue_stays(void **state)
{
    struct raw_driver *driver = *state;
    assert_int_equal(remove_memory(driver), L4VIO_EBUSY);
    assert_int_equal(driver->released, 0);
    raw_expect_works(driver);
}

static void memory_of_a_chain_in_flight_stays(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_region region = {
        .device_address = 0x1000, .size_bytes = 4096, .base = driver->page_bytes};
    assert_int_equal(l4vio_device_add_region(&driver->device, &region, NULL), 0);
    raw_publish_one(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_remove_region(&driver->device, 0x1000, 4096), L4VIO_EBUSY);
    raw_finish(driver, 0, 0, 0);
    assert_int_equal(l4vio_device_remove_region(&driver->device, 0x1000, 4096), 0);
    assert_int_equal(driver->released, 1);
}

static void memory_goes_once_all_queues_are_reset(void **state)
{
    struct raw_driver *driver = *state;
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
    assert_int_equal(remove_memory(driver), L4VIO_EBUSY);
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 1), 0);
    assert_int_equal(remove_memory(driver), 0);
    assert_int_equal(driver->released, 1);
    assert_int_equal(remove_memory(driver), L4VIO_ENOENT);
}

static void part_of_a_region_is_not_a_region(void **state)
{
    struct raw_driver *driver = *state;
    assert_int_equal(l4vio_device_remove_region(&driver->device, RAW_BASE, 4096), L4VIO_ENOENT);
    assert_int_equal(l4vio_device_remove_region(&driver->device, RAW_BASE + 4096, 4096),
                     L4VIO_ENOENT);
}

/* The queue knows the place from the buffer before. */
static void check_memory_taken_back(struct raw_driver *driver, uint64_t address)
{
    struct l4vio_device_region region = {
        .device_address = address, .size_bytes = 4096, .base = driver->page_bytes};
    assert_int_equal(l4vio_device_add_region(&driver->device, &region, NULL), 0);
    raw_publish_piece(driver, 0, 0, address, 16, RAW_WRITE);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_finish(driver, 0, 0, 0);
    assert_int_equal(l4vio_device_remove_region(&driver->device, address, 4096), 0);
    raw_publish_piece(driver, 0, 0, address, 16, RAW_WRITE);
    raw_expect_broken(driver);
}

static void buffer_in_memory_taken_back_breaks_queue(void **state)
{
    check_memory_taken_back(*state, RAW_BASE - 0x10000);
    check_memory_taken_back(*state, RAW_BASE + 2 * RAW_MEMORY_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(memory_of_a_ready_queue_stays),
        RAW_EVERY(memory_of_a_chain_in_flight_stays),
        RAW_EVERY(memory_goes_once_all_queues_are_reset),
        RAW_EVERY(part_of_a_region_is_not_a_region),
        RAW_EVERY(buffer_in_memory_taken_back_breaks_queue),
    };
    return cmocka_run_group_tests_name("driver_removes_memory_in_use", tests, NULL, NULL);
}
