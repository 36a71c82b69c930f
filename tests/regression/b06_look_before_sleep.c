/* SPDX-License-Identifier: MIT */
/* One notification for two completions, or none at all, must not block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loopback_device.h"

/* Asleep, the clock jumps to the end of the sleep. */
static void assert_no_sleep(const struct loopback_device *device, uint64_t before)
{
    assert_in_range(device->loopback_platform.clock_ns - before, 0, 1000000);
}

static void one_notification_for_two_completions(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    struct l4vio_driver *driver = &device->driver;
    (void)state;
    loopback_device_live(device, &queue, true);
    uint16_t first = loopback_queue_chain(&queue, 16);
    uint16_t second = loopback_queue_chain(&queue, 16);
    assert_int_equal(l4vio_driver_send(driver, &queue.queue, first), L4VIO_OK);
    assert_int_equal(l4vio_driver_send(driver, &queue.queue, second), L4VIO_OK);
    uint64_t deadline = loopback_device_in_ms(device, 1000);
    assert_int_equal(l4vio_driver_wait_for_next_used(driver, &queue.queue, NULL, deadline), first);
    device->asleep = true;
    uint64_t before = device->loopback_platform.clock_ns;
    assert_int_equal(l4vio_driver_wait_for_next_used(driver, &queue.queue, NULL, deadline), second);
    assert_int_equal(queue.queue.counters.wakeups, 1);
    assert_no_sleep(device, before);
    loopback_device_stop(device);
}

static void completion_without_notification_is_found(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    struct l4vio_driver *driver = &device->driver;
    (void)state;
    loopback_device_live(device, &queue, true);
    uint16_t head = loopback_queue_chain(&queue, 16);
    assert_int_equal(l4vio_driver_send(driver, &queue.queue, head), L4VIO_OK);
    /* It completes while the driver waits for something else, and says nothing. */
    device->silent = true;
    assert_int_equal(l4vio_driver_wait(driver, 0, loopback_device_in_ms(device, 10)),
                     L4VIO_ETIMEDOUT);
    device->asleep = true;
    uint64_t before = device->loopback_platform.clock_ns;
    uint64_t deadline = loopback_device_in_ms(device, 1000);
    assert_int_equal(l4vio_driver_wait_for_next_used(driver, &queue.queue, NULL, deadline), head);
    assert_int_equal(queue.queue.counters.wakeups, 0);
    assert_no_sleep(device, before);
    loopback_device_stop(device);
}

/* The waits that take nothing themselves look first as well. */
static void waits_of_the_buffer_level_look_before_they_sleep(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    struct l4vio_queue *all[] = {&queue.queue};
    struct l4vio_driver *driver = &device->driver;
    (void)state;
    loopback_device_live(device, &queue, false);
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_notify(driver, &queue.queue), L4VIO_OK);
    device->silent = true;
    assert_int_equal(l4vio_driver_wait(driver, 0, loopback_device_in_ms(device, 10)),
                     L4VIO_ETIMEDOUT);
    device->asleep = true;
    uint64_t before = device->loopback_platform.clock_ns;
    uint64_t deadline = loopback_device_in_ms(device, 1000);
    assert_int_equal(l4vio_driver_wait_used(driver, &queue.queue, deadline), L4VIO_OK);
    assert_int_equal(l4vio_driver_wait_any(driver, all, 1, deadline), 0);
    assert_int_equal(queue.queue.counters.wakeups, 0);
    assert_no_sleep(device, before);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_notification_for_two_completions),
        cmocka_unit_test(completion_without_notification_is_found),
        cmocka_unit_test(waits_of_the_buffer_level_look_before_they_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
