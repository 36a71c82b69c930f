/* SPDX-License-Identifier: MIT */
/* S3: a chain is bounded by the queue size and by 2^32 bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void cyclic_chain_ends(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 0, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_DATA, 0, RAW_NEXT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
    assert_int_equal(driver->device.failure.value, RAW_QUEUE_SIZE);
}

static void byte_total_does_not_overflow(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_region region = {.device_address = UINT64_C(1) << 40,
                                         .size_bytes = UINT64_C(1) << 32,
                                         .base = driver->memory};
    assert_int_equal(l4vio_device_add_region(&driver->device, &region, NULL), 0);
    raw_desc(&raw_table(driver, 0)[0], region.device_address, UINT32_MAX, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], region.device_address, 17, RAW_READ, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cyclic_chain_ends, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(byte_total_does_not_overflow, raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("s03_cyclic_chain_ends", tests, NULL, NULL);
}
