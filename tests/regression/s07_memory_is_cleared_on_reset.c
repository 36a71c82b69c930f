/* SPDX-License-Identifier: MIT */
/* S7: a reset takes registered memory back, so that restarted drivers do not run out of slots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void driver_may_restart_for_ever(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned i = 0; i < 4 * RAW_REGIONS; i++) {
        assert_int_equal(driver->released, i);
        l4vio_device_page_set_status(&driver->device_page, 0);
        assert_int_equal(driver->device.memory.count, 0);
        assert_int_equal(driver->device.memory.mapped_bytes, 0);
        assert_null(l4vio_device_memory_translate(&driver->device.memory, RAW_BASE, 1));
        raw_bring_up(driver);
        raw_expect_works(driver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(driver_may_restart_for_ever, raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("s07_memory_is_cleared_on_reset", tests, NULL, NULL);
}
