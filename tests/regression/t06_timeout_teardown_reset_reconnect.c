/* SPDX-License-Identifier: MIT */
/* Timeout, teardown, reset and re-connect, all four. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loopback_device.h"

static void assert_echo(struct loopback_device *device, struct loopback_queue *queue)
{
    memset(queue->data.base, 0x5a, 64);
    assert_int_equal(loopback_queue_add(queue, 64, NULL), 1);
    assert_int_equal(l4vio_driver_drain(&device->driver, &queue->queue, NULL, NULL,
                                        loopback_device_in_ms(device, 1000)),
                     L4VIO_OK);
    assert_memory_equal(queue->data.base,
                        (unsigned char *)queue->data.base + LOOPBACK_DEVICE_DATA_BYTES / 2, 64);
}

static void wait_ends_at_its_deadline(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&queue, 64, NULL), 1);
    uint64_t deadline = loopback_device_in_ms(device, 1234);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, deadline),
                     L4VIO_ETIMEDOUT);
    assert_true(device->loopback_platform.clock_ns >= deadline);
    assert_true(device->loopback_platform.clock_ns - deadline < 1000000);
    assert_int_equal(device->driver.counters.timeouts, 1);
    /* A deadline that has passed already is one look. */
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, 0), L4VIO_ETIMEDOUT);
    loopback_device_stop(device);
}

static void disconnect_gives_everything_back(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    void *cookie;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&queue, 64, device), 1);
    l4vio_driver_disconnect(&device->driver);
    assert_int_equal(device->device.status, 0);
    assert_int_equal(device->device.memory.count, 0);
    assert_int_equal(device->loopback.to_driver[0].handle, L4VIO_NO_HANDLE);
    assert_null(queue.data.base);
    assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), 1);
    assert_ptr_equal(cookie, device);
    assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), 0);
    /* Twice is fine; everything else says that there is no connection. */
    l4vio_driver_disconnect(&device->driver);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_wait(&device->driver, 0, 0), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, 0), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_EPIPE);
    assert_true(l4vio_driver_fail_state(&device->driver));
    loopback_device_stop(device);
}

/* Reset, detach, restart, rings, attach, acknowledge, send again. */
static void recover(struct loopback_device *device, struct loopback_queue *queue, void *cookie)
{
    struct l4vio_driver *driver = &device->driver;
    uint64_t rings = queue->rings.device_address;
    void *lost[4];
    assert_int_equal(l4vio_driver_reset(driver, NULL), L4VIO_OK);
    assert_int_equal(device->device.status, 0);
    assert_false(queue->data.mapped);
    assert_int_equal(l4vio_queue_detach(&queue->queue, lost, 4), 1);
    assert_ptr_equal(lost[0], cookie);
    assert_int_equal(l4vio_driver_restart(driver, NULL), L4VIO_OK);
    assert_true(queue->data.mapped);
    assert_int_equal(queue->rings.device_address, rings);
    assert_int_equal(l4vio_queue_initialize_rings(&queue->queue), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(driver, &queue->queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(driver, NULL), L4VIO_OK);
    assert_echo(device, queue);
}

static void break_and_recover(bool cmd_mode)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    device->cmd_mode = cmd_mode;
    loopback_device_live(device, &queue, false);
    assert_echo(device, &queue);
    for (int round = 0; round < 20; round++) {
        device->break_next = true;
        assert_int_equal(loopback_queue_add(&queue, 64, &round), 1);
        assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);
        assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                         L4VIO_EIO);
        assert_true(l4vio_driver_fail_state(&device->driver));
        assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_EIO);
        recover(device, &queue, &round);
    }
    assert_int_equal(device->driver.counters.resets, 21);
    loopback_device_stop(device);
}

static void device_that_needs_reset_recovers(void **state)
{
    (void)state;
    break_and_recover(false);
}

static void device_that_needs_reset_recovers_in_cmd_mode(void **state)
{
    (void)state;
    break_and_recover(true);
}

/* Clause D-2.6.1.2.2-1. */
static void queue_reset_restarts_one_queue(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    void *cookie;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&queue, 64, device), 1);
    assert_int_equal(l4vio_driver_reset_queue(&device->driver, &queue.queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset_queue(&device->driver, &queue.queue, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), 1);
    assert_int_equal(l4vio_queue_initialize_rings(&queue.queue), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_OK);
    device->asleep = false;
    assert_echo(device, &queue);
    loopback_device_stop(device);
}

static void connection_can_be_made_again(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    for (int round = 0; round < 30; round++) {
        assert_echo(device, &queue);
        l4vio_driver_disconnect(&device->driver);
        l4vio_loopback_end(&device->loopback);
        assert_int_equal(l4vio_loopback_init(&device->loopback, &device->page,
                                             &device->page_dataspace, LOOPBACK_DEVICE_NOTIFICATIONS,
                                             &device->platform, &device->config.transport, NULL),
                         L4VIO_OK);
        assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, NULL), L4VIO_OK);
        loopback_queue_attach(device, &queue, 0, false);
        assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    }
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_ends_at_its_deadline),
        cmocka_unit_test(disconnect_gives_everything_back),
        cmocka_unit_test(device_that_needs_reset_recovers),
        cmocka_unit_test(device_that_needs_reset_recovers_in_cmd_mode),
        cmocka_unit_test(queue_reset_restarts_one_queue),
        cmocka_unit_test(connection_can_be_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
