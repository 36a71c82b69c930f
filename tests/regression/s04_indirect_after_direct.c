/* SPDX-License-Identifier: MIT */
/* S4: an indirect table after ordinary descriptors is the rest of the chain; nested ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

/* Clause V-2.7.5.3.2-2. */
static void indirect_after_direct_is_followed(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 8, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_TABLE, 32, VIRTQ_DESC_F_INDIRECT | RAW_WRITE,
             0);
    raw_desc_at(driver, RAW_TABLE, RAW_BASE + RAW_DATA + 64, 4, RAW_NEXT, 1);
    raw_desc_at(driver, RAW_TABLE + 16, RAW_BASE + RAW_DATA + 128, 2, RAW_WRITE, 0);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable, 2);
    assert_int_equal(driver->chain.writable, 1);
    assert_int_equal(driver->chain.readable_bytes, 12);
    assert_int_equal(driver->chain.writable_bytes, 2);
    assert_ptr_equal(driver->segments[1].base, driver->memory + RAW_DATA + 64);
    assert_ptr_equal(driver->segments[2].base, driver->memory + RAW_DATA + 128);
}

static void nested_indirect_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 8, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_desc_at(driver, RAW_TABLE, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(indirect_after_direct_is_followed, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(nested_indirect_is_refused, raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("s04_indirect_after_direct", tests, NULL, NULL);
}
