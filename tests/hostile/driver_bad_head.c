/* SPDX-License-Identifier: MIT */
/* A driver that names heads or buffer ids which do not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void head_just_past_the_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, RAW_QUEUE_SIZE);
    raw_expect_broken(driver);
}

static void head_of_all_ones_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, UINT16_MAX);
    raw_expect_broken(driver);
}

static void last_head_is_taken(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, RAW_QUEUE_SIZE - 1);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.head, RAW_QUEUE_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(head_just_past_the_table_breaks_queue),
        RAW_EVERY(head_of_all_ones_breaks_queue),
        RAW_EVERY(last_head_is_taken),
    };
    return cmocka_run_group_tests_name("driver_bad_head", tests, NULL, NULL);
}
