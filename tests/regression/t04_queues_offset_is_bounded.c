/* SPDX-License-Identifier: MIT */
/* A device that lies about its queue array does not steer the driver's writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "loopback_device.h"

static int connect_with(uint32_t offset, uint32_t count)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_error error = {0};
    loopback_device_start(device);
    loopback_device_header(device)->queues_offset = l4vio_swap32(offset);
    loopback_device_header(device)->num_queues = l4vio_swap32(count);
    int rc = l4vio_driver_connect(&device->driver, &device->config, &error);
    assert_int_equal(error.code, rc);
    loopback_device_stop(device);
    return rc;
}

static void array_must_lie_in_the_page(void **state)
{
    static const uint32_t offsets[] = {0,    8,    0x70, 0xf8,     4096 - 32,
                                       4096, 4104, 8192, 1u << 31, UINT32_MAX - 7};
    (void)state;
    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
        assert_int_equal(connect_with(offsets[i], 1), L4VIO_EINVAL);
    assert_int_equal(connect_with(4096 - 40, 1), L4VIO_OK);
    assert_int_equal(connect_with(4096 - 40, 2), L4VIO_EINVAL);
    assert_int_equal(connect_with(0x100, 96), L4VIO_OK);
    assert_int_equal(connect_with(0x100, 97), L4VIO_EINVAL);
    assert_int_equal(connect_with(0x100, UINT32_MAX), L4VIO_EINVAL);
    /* 40 * count is small when it wraps. */
    assert_int_equal(connect_with(0x100, 0x06666667), L4VIO_EINVAL);
    assert_int_equal(connect_with(0x104, 1), L4VIO_EINVAL);
    assert_int_equal(connect_with(UINT32_MAX, 0), L4VIO_OK);
}

static void array_that_moves_later_is_not_followed(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 1, 16, 0, false);
    loopback_device_header(device)->queues_offset = l4vio_swap32(0x70);
    loopback_device_header(device)->num_queues = UINT32_MAX;
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_swap16(loopback_device_entry(device, 1)->num), 16);
    assert_int_equal(l4vio_driver_queue_size_max(&device->driver, LOOPBACK_DEVICE_QUEUES, NULL),
                     L4VIO_ERANGE);
    /* The configuration ends where the array was when it was checked. */
    uint8_t byte;
    assert_int_equal(
        l4vio_driver_read_config(&device->driver, LOOPBACK_DEVICE_CONFIG_BYTES, &byte, 1, 1, NULL),
        L4VIO_ERANGE);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(array_must_lie_in_the_page),
        cmocka_unit_test(array_that_moves_later_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
