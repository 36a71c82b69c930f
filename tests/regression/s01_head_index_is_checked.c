/* SPDX-License-Identifier: MIT */
/* S1: the head index from the available ring is checked before it is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void head_index_out_of_range_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned head = RAW_QUEUE_SIZE; head <= UINT16_MAX; head += 4099) {
        raw_publish(driver, 0, (uint16_t)head);
        raw_expect_broken(driver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(head_index_out_of_range_breaks_queue, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("s01_head_index_is_checked", tests, NULL, NULL);
}
