/* SPDX-License-Identifier: MIT */
/* S5: only writable descriptors are written to, and they come last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "raw_driver.h"

static void readable_memory_is_not_written(void **state)
{
    struct raw_driver *driver = *state;
    memset(driver->memory + RAW_DATA, 0x55, 64);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 32, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_DATA + 32, 8, RAW_WRITE, 0);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    unsigned char data[64];
    memset(data, 0xaa, sizeof(data));
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 0, data, sizeof(data)), 8);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(driver->memory[RAW_DATA + i], i >= 32 && i < 40 ? 0xaa : 0x55);
}

static void readable_only_chain_takes_no_byte(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 32, RAW_READ, 0);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 0, "x", 1), 0);
}

static void readable_after_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 8, RAW_WRITE | RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_DATA, 8, RAW_READ, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readable_memory_is_not_written, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(readable_only_chain_takes_no_byte, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(readable_after_writable_breaks_queue, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("s05_write_flag_is_checked", tests, NULL, NULL);
}
