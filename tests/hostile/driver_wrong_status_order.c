/* SPDX-License-Identifier: MIT */
/* A driver that takes the steps of bring-up in the wrong order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void expect_needs_reset(struct raw_driver *driver, uint32_t status)
{
    l4vio_device_page_set_status(&driver->device_page, 0);
    unsigned notified = driver->triggers[0];
    unsigned started = driver->driver_ok_calls;
    l4vio_device_page_set_status(&driver->device_page, status);
    assert_true(raw_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
    assert_false(raw_status(driver) & VIRTIO_STATUS_DRIVER_OK);
    assert_false(l4vio_device_live(&driver->device));
    assert_int_equal(driver->driver_ok_calls, started);
    /* DRIVER_OK was never set, so there is nobody to notify (clause V-2.1.2-3). */
    assert_int_equal(driver->triggers[0], notified);

    l4vio_device_page_set_status(&driver->device_page, 0);
    assert_int_equal(raw_status(driver), 0);
    raw_bring_up(driver);
    raw_expect_works(driver);
}

static void driver_without_acknowledge_needs_reset(void **state)
{
    struct raw_driver *driver = *state;
    expect_needs_reset(driver, VIRTIO_STATUS_DRIVER);
}

static void features_ok_without_driver_needs_reset(void **state)
{
    struct raw_driver *driver = *state;
    expect_needs_reset(driver, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_FEATURES_OK);
}

static void driver_ok_without_features_ok_needs_reset(void **state)
{
    struct raw_driver *driver = *state;
    expect_needs_reset(driver,
                       VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK);
}

static void driver_ok_alone_needs_reset(void **state)
{
    struct raw_driver *driver = *state;
    expect_needs_reset(driver, VIRTIO_STATUS_DRIVER_OK);
}

static void bits_that_do_not_exist_are_ignored(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_device_page_set_status(&driver->device_page, 0xffffff00u | VIRTIO_STATUS_ACKNOWLEDGE);
    assert_int_equal(raw_status(driver), VIRTIO_STATUS_ACKNOWLEDGE);
}

static void needs_reset_and_suspend_are_not_the_drivers(void **state)
{
    struct raw_driver *driver = *state;
    uint32_t status = raw_status(driver);
    l4vio_device_page_set_status(&driver->device_page,
                                 status | VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_SUSPEND);
    assert_int_equal(raw_status(driver), status);
    raw_expect_works(driver);
}

static void bits_are_not_taken_back(void **state)
{
    struct raw_driver *driver = *state;
    uint32_t status = raw_status(driver);
    l4vio_device_page_set_status(&driver->device_page, VIRTIO_STATUS_ACKNOWLEDGE);
    assert_int_equal(raw_status(driver), status);
    raw_expect_works(driver);
}

static void nothing_helps_a_failed_device_but_reset(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_error why = {.code = L4VIO_EIO, .text = "a test", .value = 0};
    l4vio_device_needs_reset(&driver->device, &why);
    l4vio_device_page_set_status(&driver->device_page, raw_status(driver));
    assert_true(raw_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
    assert_false(l4vio_device_live(&driver->device));
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), L4VIO_EIO);
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_bring_up(driver);
    raw_expect_works(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(driver_without_acknowledge_needs_reset, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(features_ok_without_driver_needs_reset, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(driver_ok_without_features_ok_needs_reset, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(driver_ok_alone_needs_reset, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(bits_that_do_not_exist_are_ignored, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(needs_reset_and_suspend_are_not_the_drivers, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(bits_are_not_taken_back, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(nothing_helps_a_failed_device_but_reset, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_wrong_status_order", tests, NULL, NULL);
}
