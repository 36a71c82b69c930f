/* SPDX-License-Identifier: MIT */
/* A driver that sets queues up before it has said who it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void queue_after_reset_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_register(driver);
    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), L4VIO_EIO);
    l4vio_device_page_set_status(&driver->device_page, VIRTIO_STATUS_ACKNOWLEDGE);
    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), L4VIO_EIO);
    l4vio_device_page_set_status(&driver->device_page,
                                 VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queue_after_reset_is_refused, raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_queue_before_driver_bit", tests, NULL, NULL);
}
