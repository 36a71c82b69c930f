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
    struct raw_used used;
    raw_publish_one(driver, 0, 5);
    raw_publish_one(driver, 0, 5);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_finish(driver, 0, 5, 0);
    raw_finish(driver, 0, 5, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(raw_ring_get_used(&driver->rings[0], &used));
        assert_int_equal(used.id, 5);
    }
    raw_expect_works(driver);
}

/* In order, the head says which place in the order a result has: there is one for each. */
static void head_in_flight_twice_in_order_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, 4);
    raw_publish_one(driver, 0, 5);
    raw_publish_one(driver, 0, 5);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_finish(driver, 0, 5, 0); /* Waits for 4: still in flight. */
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_SPLIT(head_in_flight_twice_harms_nobody_else),
        RAW_PACKED_RING(head_in_flight_twice_harms_nobody_else),
        RAW_WITH("split: ", head_in_flight_twice_in_order_breaks_queue, raw_setup_in_order),
        RAW_WITH("packed: ", head_in_flight_twice_in_order_breaks_queue, raw_setup_packed_in_order),
    };
    return cmocka_run_group_tests_name("driver_same_head_twice", tests, NULL, NULL);
}
