/* SPDX-License-Identifier: MIT */
/* A driver that mixes readable and writable buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void readable_after_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 16, RAW_WRITE | RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void readable_in_a_table_after_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 16, RAW_WRITE | RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_desc_at(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readable_after_writable_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(readable_in_a_table_after_writable_breaks_queue, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_writable_before_readable", tests, NULL, NULL);
}
