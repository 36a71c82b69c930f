/* SPDX-License-Identifier: MIT */
/* S8: a reset clears the driver's features; FEATURES_OK together with DRIVER_OK is checked as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

#include "core/ordering.h"

#define EVERYTHING                                                                  \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | \
     VIRTIO_STATUS_DRIVER_OK)

static void reset_clears_features(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    assert_true(l4vio_features_empty(&driver->device.accepted));
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        assert_int_equal(l4vio_load32(&driver->page->driver_features_map[i]), 0);
    /* The next driver writes nothing and must not get what the last one had. */
    l4vio_device_page_set_status(&driver->device_page, VIRTIO_STATUS_ACKNOWLEDGE |
                                                           VIRTIO_STATUS_DRIVER |
                                                           VIRTIO_STATUS_FEATURES_OK);
    assert_int_equal(raw_status(driver), VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
}

static void features_are_checked_with_driver_ok_in_one_write(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    unsigned started = driver->driver_ok_calls;
    l4vio_store32(&driver->page->driver_features_map[0], UINT32_MAX);
    l4vio_device_page_set_status(&driver->device_page, EVERYTHING);
    assert_false(raw_status(driver) & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK));
    assert_true(raw_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(driver->driver_ok_calls, started);
}

static void good_features_with_driver_ok_in_one_write_are_accepted(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&driver->page->driver_features_map[i], driver->features.word[i]);
    l4vio_device_page_set_status(&driver->device_page, EVERYTHING);
    assert_int_equal(raw_status(driver), EVERYTHING);
    assert_true(l4vio_device_live(&driver->device));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reset_clears_features, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(features_are_checked_with_driver_ok_in_one_write, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(good_features_with_driver_ok_in_one_write_are_accepted,
                                        raw_setup, raw_teardown),
    };
    return cmocka_run_group_tests_name("s08_features_are_checked_and_cleared", tests, NULL, NULL);
}
