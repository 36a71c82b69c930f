/* SPDX-License-Identifier: MIT */
/* Every wait ends when the peer dies, after what was completed before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loopback_device.h"

/* The device dies the next time that it would work. */
static struct loopback_device *dying(struct loopback_queue *queue, bool descriptors)
{
    struct loopback_device *device = loopback_device_new();
    loopback_device_live(device, queue, descriptors);
    device->asleep = true;
    device->die_next = true;
    return device;
}

static void wait_returns_when_peer_dies(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = dying(&queue, true);
    (void)state;
    assert_int_equal(l4vio_driver_wait(&device->driver, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_true(l4vio_driver_fail_state(&device->driver));
    loopback_device_stop(device);
}

static void wait_for_next_used_returns_when_peer_dies(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = dying(&queue, true);
    uint16_t head = loopback_queue_chain(&queue, 16);
    (void)state;
    assert_int_equal(l4vio_driver_send(&device->driver, &queue.queue, head), L4VIO_OK);
    assert_int_equal(
        l4vio_driver_wait_for_next_used(&device->driver, &queue.queue, NULL, L4VIO_FOREVER),
        L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void send_and_wait_returns_when_peer_dies(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = dying(&queue, true);
    uint16_t head = loopback_queue_chain(&queue, 16);
    (void)state;
    assert_int_equal(
        l4vio_driver_send_and_wait(&device->driver, &queue.queue, head, NULL, L4VIO_FOREVER),
        L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void waits_of_the_buffer_level_return_when_peer_dies(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = dying(&queue, false);
    struct l4vio_driver *driver = &device->driver;
    struct l4vio_queue *one = &queue.queue;
    (void)state;
    while (loopback_queue_add(&queue, 16, NULL) == 1)
        continue;
    assert_int_equal(l4vio_driver_wait_used(driver, one, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_wait_any(driver, &one, 1, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_wait_room(driver, one, 2, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_drain(driver, one, NULL, NULL, L4VIO_FOREVER), L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void completions_before_the_death_are_delivered(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = dying(&queue, true);
    uint16_t head = loopback_queue_chain(&queue, 16);
    (void)state;
    /* Works once more, without a notification, then dies. */
    device->asleep = false;
    device->silent = true;
    assert_int_equal(l4vio_driver_send(&device->driver, &queue.queue, head), L4VIO_OK);
    assert_int_equal(
        l4vio_driver_wait_for_next_used(&device->driver, &queue.queue, NULL, L4VIO_FOREVER), head);
    assert_int_equal(
        l4vio_driver_wait_for_next_used(&device->driver, &queue.queue, NULL, L4VIO_FOREVER),
        L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void control_calls_report_dead_peer(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = dying(&queue, true);
    struct l4vio_driver *driver = &device->driver;
    struct l4vio_region region;
    (void)state;
    device->loopback.dead = true;
    assert_int_equal(l4vio_driver_allocate(driver, 4096, &region, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_reset_queue(driver, &queue.queue, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_reset(driver, NULL), L4VIO_EPIPE);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_returns_when_peer_dies),
        cmocka_unit_test(wait_for_next_used_returns_when_peer_dies),
        cmocka_unit_test(send_and_wait_returns_when_peer_dies),
        cmocka_unit_test(waits_of_the_buffer_level_return_when_peer_dies),
        cmocka_unit_test(completions_before_the_death_are_delivered),
        cmocka_unit_test(control_calls_report_dead_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
