/* SPDX-License-Identifier: MIT */
/* S5: only writable descriptors are written to, and they come last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "raw_driver.h"

/* Clauses V-2.7.5.1-1a and V-2.8.15-1a. */
static void readable_memory_is_not_written(void **state)
{
    struct raw_driver *driver = *state;
    memset(driver->memory + RAW_DATA, 0x55, 64);
    const struct raw_piece pieces[] = {{RAW_BASE + RAW_DATA, 32, RAW_READ},
                                       {RAW_BASE + RAW_DATA + 32, 8, RAW_WRITE}};
    raw_publish_chain(driver, 0, 0, pieces, 2);
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
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_DATA, 32, RAW_READ);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 0, "x", 1), 0);
}

static void readable_after_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    const struct raw_piece pieces[] = {{RAW_BASE + RAW_DATA, 8, RAW_WRITE},
                                       {RAW_BASE + RAW_DATA, 8, RAW_READ}};
    raw_publish_chain(driver, 0, 0, pieces, 2);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(readable_memory_is_not_written),
        RAW_EVERY(readable_only_chain_takes_no_byte),
        RAW_EVERY(readable_after_writable_breaks_queue),
    };
    return cmocka_run_group_tests_name("s05_write_flag_is_checked", tests, NULL, NULL);
}
