/* SPDX-License-Identifier: MIT */
/* A driver whose available index is not possible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

#include "core/ordering.h"

static void index_one_too_far_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_store16(&raw_avail(driver, 0)->idx, RAW_QUEUE_SIZE + 1);
    raw_expect_broken(driver);
}

static void index_that_goes_back_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_expect_works(driver);
    l4vio_store16(&raw_avail(driver, 0)->idx, 0);
    raw_expect_broken(driver);
}

static void more_than_the_ring_with_what_is_in_flight_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i < RAW_QUEUE_SIZE; i++) {
        raw_publish_one(driver, 0, i);
        assert_int_equal(raw_take(driver, 0), 1);
    }
    raw_publish_one(driver, 0, 0);
    raw_expect_broken(driver);
}

static void full_ring_is_taken(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i < RAW_QUEUE_SIZE; i++)
        raw_publish_one(driver, 0, i);
    for (uint16_t i = 0; i < RAW_QUEUE_SIZE; i++)
        assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(raw_take(driver, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(index_one_too_far_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(index_that_goes_back_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(more_than_the_ring_with_what_is_in_flight_breaks_queue,
                                        raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(full_ring_is_taken, raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_avail_runs_ahead", tests, NULL, NULL);
}
