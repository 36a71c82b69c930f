/* SPDX-License-Identifier: MIT */
/* Features are settled before the first queue, whatever the caller's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#include "fake_transport.h"

#define WITH_FEATURES (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK)

static void queue_before_acknowledge(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(
        l4vio_driver_config_queue(&fake->driver, 0, 16, 0x200000, 0x201000, 0x202000, NULL),
        L4VIO_OK);
    assert_true(fake_transport_first(fake, FAKE_SET_FEATURES) <
                fake_transport_first(fake, FAKE_CONFIG_QUEUE));
    assert_int_equal(fake->status, WITH_FEATURES);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(fake->status, WITH_FEATURES | VIRTIO_STATUS_DRIVER_OK);
    assert_int_equal(fake->calls[FAKE_SET_FEATURES], 1);
    fake_transport_free(fake);
}

static void negotiate_before_queue(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_negotiate(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_negotiate(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(
        l4vio_driver_config_queue(&fake->driver, 0, 16, 0x200000, 0x201000, 0x202000, NULL),
        L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(fake->calls[FAKE_SET_FEATURES], 1);
    fake_transport_free(fake);
}

static void acknowledge_alone_settles(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    static const uint32_t expected[] = {0, VIRTIO_STATUS_ACKNOWLEDGE,
                                        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER,
                                        WITH_FEATURES, WITH_FEATURES | VIRTIO_STATUS_DRIVER_OK};
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(fake->statuses, 5);
    assert_memory_equal(fake->status_log, expected, sizeof(expected));
    /* A second time it does nothing. */
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(fake->statuses, 5);
    fake_transport_free(fake);
}

static void no_queue_if_features_are_refused(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    fake->refuse_features = true;
    fake_transport_connect(fake);
    assert_int_equal(
        l4vio_driver_config_queue(&fake->driver, 0, 16, 0x200000, 0x201000, 0x202000, NULL),
        L4VIO_EINVAL);
    assert_int_equal(fake->calls[FAKE_CONFIG_QUEUE], 0);
    fake_transport_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_before_acknowledge),
        cmocka_unit_test(negotiate_before_queue),
        cmocka_unit_test(acknowledge_alone_settles),
        cmocka_unit_test(no_queue_if_features_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
