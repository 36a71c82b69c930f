/* SPDX-License-Identifier: MIT */
/* A driver whose chains never end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void descriptor_that_follows_itself_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 0, RAW_NEXT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void cycle_of_two_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 1, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_DATA, 1, RAW_NEXT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void chain_with_all_descriptors_is_taken(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i < RAW_QUEUE_SIZE; i++)
        raw_desc(&raw_table(driver, 0)[i], RAW_BASE + RAW_DATA, 1,
                 i + 1u < RAW_QUEUE_SIZE ? RAW_NEXT : 0, (uint16_t)(i + 1));
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable, RAW_QUEUE_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(descriptor_that_follows_itself_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(cycle_of_two_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(chain_with_all_descriptors_is_taken, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_cyclic_chain", tests, NULL, NULL);
}
