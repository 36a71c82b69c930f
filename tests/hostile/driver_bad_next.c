/* SPDX-License-Identifier: MIT */
/* A driver whose chains lead out of the descriptor table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void next_just_past_the_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 16, RAW_NEXT, RAW_QUEUE_SIZE);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void next_of_all_ones_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 16, RAW_NEXT, UINT16_MAX);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void next_without_the_flag_is_not_looked_at(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 16, RAW_READ, UINT16_MAX);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(next_just_past_the_table_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(next_of_all_ones_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(next_without_the_flag_is_not_looked_at, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_bad_next", tests, NULL, NULL);
}
