/* SPDX-License-Identifier: MIT */
/* A driver whose chains have more bytes than a length can say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

#define LARGE (UINT64_C(1) << 40)

/* Chains are only walked here: nobody touches what lies behind. */
static void register_large(struct raw_driver *driver)
{
    struct l4vio_device_region region = {
        .device_address = LARGE, .size_bytes = UINT64_C(1) << 33, .base = driver->memory};
    assert_int_equal(l4vio_device_add_region(&driver->device, &region, NULL), 0);
}

static void chain_of_4_gib_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    register_large(driver);
    const struct raw_piece pieces[] = {{LARGE, UINT32_MAX, RAW_READ}, {LARGE, 1, RAW_WRITE}};
    raw_publish_chain(driver, 0, 0, pieces, 2);
    raw_expect_broken(driver);
}

static void sum_that_wraps_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    register_large(driver);
    const struct raw_piece pieces[] = {{LARGE, 0x80000000u, RAW_READ},
                                       {LARGE, 0x80000000u, RAW_READ},
                                       {LARGE, 0x80000000u, RAW_READ}};
    raw_publish_chain(driver, 0, 0, pieces, 3);
    raw_expect_broken(driver);
}

static void chain_of_one_byte_less_is_taken(void **state)
{
    struct raw_driver *driver = *state;
    register_large(driver);
    const struct raw_piece pieces[] = {{LARGE, UINT32_MAX - 1, RAW_READ}, {LARGE, 1, RAW_WRITE}};
    raw_publish_chain(driver, 0, 0, pieces, 2);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_true(driver->chain.readable_bytes == UINT32_MAX - 1);
    assert_true(driver->chain.writable_bytes == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(chain_of_4_gib_breaks_queue),
        RAW_EVERY(sum_that_wraps_breaks_queue),
        RAW_EVERY(chain_of_one_byte_less_is_taken),
    };
    return cmocka_run_group_tests_name("driver_too_many_bytes", tests, NULL, NULL);
}
