/* SPDX-License-Identifier: MIT */
/* Values of the device are fetched once; configuration is read in one generation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_transport.h"
#include "loopback_device.h"

static void identity_is_fetched_once(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    l4vio_features_set(&device->offered, 5);
    l4vio_features_set(&device->config.allowed, 5);
    l4vio_features_set(&device->config.allowed, 6);
    loopback_device_connect(device);
    struct l4vio_page_header *header = loopback_device_header(device);
    header->device = 1;
    header->dev_features_map[0] = UINT32_MAX;
    header->dev_features_map[1] = 0;
    header->dev_features_map[5] = UINT32_MAX;
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(device->driver.identity.device_id, LOOPBACK_DEVICE_ID);
    assert_true(l4vio_driver_feature_negotiated(&device->driver, 5));
    assert_false(l4vio_driver_feature_negotiated(&device->driver, 6));
    /* What was accepted is not read back either. */
    header->driver_features_map[0] = 0;
    assert_true(l4vio_driver_feature_negotiated(&device->driver, 5));
    loopback_device_stop(device);
}

static void status_is_read_once_per_write(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(fake->calls[FAKE_GET_STATUS], fake->calls[FAKE_SET_STATUS]);
    fake_transport_free(fake);
}

static void read_repeats_while_the_generation_moves(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    uint8_t bytes[8];
    (void)state;
    fake_transport_connect(fake);
    fake->moves = 3;
    assert_int_equal(l4vio_driver_read_config(&fake->driver, 0, bytes, 8, 8, NULL), L4VIO_OK);
    assert_memory_equal(bytes, fake->config, 8);
    assert_int_equal(fake->calls[FAKE_READ_CONFIG], 4);
    assert_int_equal(fake->driver.counters.config_retries, 3);
    fake_transport_free(fake);
}

static void generation_that_never_settles_times_out(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_error error = {0};
    uint8_t bytes[8];
    (void)state;
    fake_transport_connect(fake);
    fake->moves = UINT32_MAX;
    assert_int_equal(l4vio_driver_read_config(&fake->driver, 0, bytes, 8, 4, &error),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(error.code, L4VIO_ETIMEDOUT);
    fake_transport_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_fetched_once),
        cmocka_unit_test(status_is_read_once_per_write),
        cmocka_unit_test(read_repeats_while_the_generation_moves),
        cmocka_unit_test(generation_that_never_settles_times_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
