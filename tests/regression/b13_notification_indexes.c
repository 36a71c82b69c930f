/* SPDX-License-Identifier: MIT */
/* Every notification index counts: of queues, both ways, and of the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loopback_device.h"

static void queue_is_notified_by_its_own_index(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queue;
    (void)state;
    device->notifications = notifications;
    device->notification_count = 4;
    device->config.config_notify_index = 3;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 1, 16, 2, false);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);

    uint64_t deadline = loopback_device_in_ms(device, 1000);
    assert_int_equal(l4vio_driver_wait(&device->driver, 2, deadline), L4VIO_OK);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 0), 0);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 1), 0);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 3), 0);
    assert_true(l4vio_queue_has_used(&queue.queue));
    loopback_device_stop(device);
}

/* A wait takes the notifications of its queue's index, and leaves those of others alone. */
static void wait_for_a_queue_sleeps_on_its_own_index(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queue;
    (void)state;
    device->notifications = notifications;
    device->notification_count = 4;
    device->config.config_notify_index = 3;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 1, 16, 2, false);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);

    l4vio_loopback_trigger(&device->loopback, 0);
    l4vio_loopback_trigger(&device->loopback, 2);
    assert_int_equal(
        l4vio_driver_wait_used(&device->driver, &queue.queue, loopback_device_in_ms(device, 50)),
        L4VIO_ETIMEDOUT);
    assert_int_equal(queue.queue.counters.spurious_wakeups, 1);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 2), 0);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 0), 1);
    loopback_device_stop(device);
}

static void configuration_is_announced_by_its_own_index(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queue;
    uint8_t byte = 99;
    (void)state;
    device->notifications = notifications;
    device->notification_count = 4;
    device->config.config_notify_index = 3;
    loopback_device_live(device, &queue, false);
    assert_false(l4vio_driver_config_changed(&device->driver));
    assert_int_equal(l4vio_device_write_config(&device->device, 0, &byte, 1), L4VIO_OK);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 0), 0);
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 3), 1);
    assert_true(l4vio_driver_config_changed(&device->driver));
    assert_false(l4vio_driver_config_changed(&device->driver));
    loopback_device_stop(device);
}

static void device_is_kicked_by_the_index_that_it_fixed(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queue;
    (void)state;
    device->notifications = notifications;
    device->notification_count = 4;
    device->kick_per_queue = true;
    loopback_device_connect(device);
    loopback_queue_attach(device, &queue, 2, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);
    assert_int_equal(
        l4vio_driver_wait_used(&device->driver, &queue.queue, loopback_device_in_ms(device, 1000)),
        L4VIO_OK);
    assert_int_equal(device->kicks[0], 0);
    assert_int_equal(device->kicks[2], 1);
    loopback_device_stop(device);
}

static void index_that_the_device_has_not_is_refused(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 0, 16, 1, false);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_ERANGE);
    /* A hostile device fixes one that does not exist. */
    loopback_device_entry(device, 0)->device_notify_index = 0xffff;
    queue.queue.driver_notify_index = 0;
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_ERANGE);
    assert_false(l4vio_queue_ready(&queue.queue));
    loopback_device_stop(device);
}

static void array_longer_than_the_device_is_used_in_part(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[LOOPBACK_DEVICE_NOTIFICATIONS + 2];
    (void)state;
    device->notifications = notifications;
    device->notification_count = LOOPBACK_DEVICE_NOTIFICATIONS + 2;
    loopback_device_connect(device);
    assert_int_equal(device->driver.notification_count, LOOPBACK_DEVICE_NOTIFICATIONS);
    assert_non_null(l4vio_driver_notification(&device->driver, LOOPBACK_DEVICE_NOTIFICATIONS - 1));
    assert_null(l4vio_driver_notification(&device->driver, LOOPBACK_DEVICE_NOTIFICATIONS));
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_is_notified_by_its_own_index),
        cmocka_unit_test(wait_for_a_queue_sleeps_on_its_own_index),
        cmocka_unit_test(configuration_is_announced_by_its_own_index),
        cmocka_unit_test(device_is_kicked_by_the_index_that_it_fixed),
        cmocka_unit_test(index_that_the_device_has_not_is_refused),
        cmocka_unit_test(array_longer_than_the_device_is_used_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
