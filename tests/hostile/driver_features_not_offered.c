/* SPDX-License-Identifier: MIT */
/* A driver that accepts what the device does not offer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

#include "core/ordering.h"

static void each_bit_that_is_not_offered_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; bit++) {
        if (l4vio_features_has(&driver->device.config.offered, bit))
            continue;
        l4vio_device_page_set_status(&driver->device_page, 0);
        struct l4vio_features good = driver->features;
        l4vio_features_set(&driver->features, bit);
        raw_negotiate(driver);
        driver->features = good;
        assert_false(raw_status(driver) & VIRTIO_STATUS_FEATURES_OK);
        assert_false(l4vio_device_feature(&driver->device, bit));
        assert_false(l4vio_device_feature(&driver->device, L4VIO_F_VERSION_1));
    }
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_bring_up(driver);
}

/* Clause V-6.2-2. */
static void features_without_version_1_are_refused(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_features_clear(&driver->features, L4VIO_F_VERSION_1);
    raw_negotiate(driver);
    assert_false(raw_status(driver) & VIRTIO_STATUS_FEATURES_OK);
}

static void features_written_after_they_are_settled_have_no_effect(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_store32(&driver->page->driver_features_map[0], UINT32_MAX);
    l4vio_device_page_set_status(&driver->device_page, raw_status(driver));
    assert_false(l4vio_device_feature(&driver->device, 0));
    assert_true(l4vio_device_feature(&driver->device, L4VIO_F_VERSION_1));
    raw_expect_works(driver);
}

static void offer_changed_in_the_page_has_no_effect(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&driver->page->dev_features_map[i], UINT32_MAX);
    l4vio_features_set(&driver->features, L4VIO_F_EVENT_IDX);
    raw_negotiate(driver);
    assert_false(raw_status(driver) & VIRTIO_STATUS_FEATURES_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_bit_that_is_not_offered_is_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(features_without_version_1_are_refused, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(features_written_after_they_are_settled_have_no_effect,
                                        raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(offer_changed_in_the_page_has_no_effect, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_features_not_offered", tests, NULL, NULL);
}
