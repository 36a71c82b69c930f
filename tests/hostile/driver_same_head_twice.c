/* SPDX-License-Identifier: MIT */
/* A driver that hands the same descriptors out again while they are in work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void head_in_flight_twice_harms_nobody_else(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, 5);
    raw_publish(driver, 0, 5);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_finish(driver, 0, 5, 0);
    raw_finish(driver, 0, 5, 0);
    assert_int_equal(raw_used_index(driver, 0), 2);
    raw_expect_works(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(head_in_flight_twice_harms_nobody_else, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_same_head_twice", tests, NULL, NULL);
}
