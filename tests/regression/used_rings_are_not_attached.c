/* SPDX-License-Identifier: MIT */
/* A device begins a queue at index 0: in rings that were in use it would find requests whose memory was
 * given back long ago, and carry them out once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loopback_device.h"

static struct loopback_device *used_once(struct loopback_queue *queue, bool packed, bool in_flight)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_completion done[2];
    if (packed) {
        l4vio_features_set(&device->offered, L4VIO_F_RING_PACKED);
        l4vio_features_set(&device->config.allowed, L4VIO_F_RING_PACKED);
    }
    loopback_device_connect(device);
    assert_int_equal(l4vio_driver_negotiate(&device->driver, NULL), L4VIO_OK);
    loopback_queue_attach(device, queue, 0, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(loopback_queue_add(queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_notify(&device->driver, &queue->queue), L4VIO_OK);
    if (in_flight)
        return device;
    assert_int_equal(
        l4vio_driver_wait_used(&device->driver, &queue->queue, loopback_device_in_ms(device, 100)),
        L4VIO_OK);
    assert_int_equal(l4vio_queue_get_used(&queue->queue, done, 2), 1);
    return device;
}

static void rings_begin_anew_after_a_queue_reset(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        struct loopback_queue queue;
        struct loopback_device *device = used_once(&queue, way & 1, way & 2);
        struct l4vio_driver *driver = &device->driver;
        struct l4vio_error error = {0};
        void *cookie;
        assert_int_equal(l4vio_driver_reset_queue(driver, &queue.queue, NULL), L4VIO_OK);
        assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), way & 2 ? 1 : 0);
        /* What was taken back is nothing to kick for. */
        assert_false(l4vio_queue_needs_kick(&queue.queue));
        assert_int_equal(l4vio_driver_attach_queue(driver, &queue.queue, &error), L4VIO_EINVAL);
        assert_non_null(error.text);
        assert_false(l4vio_queue_ready(&queue.queue));
        assert_int_equal(l4vio_queue_initialize_rings(&queue.queue), L4VIO_OK);
        assert_int_equal(l4vio_driver_attach_queue(driver, &queue.queue, NULL), L4VIO_OK);
        loopback_device_stop(device);
    }
}

static void rings_begin_anew_after_a_device_reset(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = used_once(&queue, false, false);
    struct l4vio_driver *driver = &device->driver;
    (void)state;
    assert_int_equal(l4vio_driver_reset(driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_restart(driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(driver, &queue.queue, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_initialize_rings(&queue.queue), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(driver, &queue.queue, NULL), L4VIO_OK);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_begin_anew_after_a_queue_reset),
        cmocka_unit_test(rings_begin_anew_after_a_device_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
