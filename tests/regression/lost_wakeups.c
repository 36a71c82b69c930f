/* SPDX-License-Identifier: MIT */
/* Ways to sleep for good although there is, or will be, something to do: each was one once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_packed.h"
#include "fake_device_ring.h"
#include "loopback_device.h"

/* A driver that is armed for the next completion goes on adding; what it adds may be shorter than what
 * was in flight then, and done first. */
static void the_next_completion_is_told_of_even_if_it_was_added_later(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 20; turn++) {
        struct packed_fixture *fixture = packed_fixture_create(10, PACKED_EVENT_IDX);
        struct fake_packed_buffer seen[2];
        packed_fixture_spin(fixture, turn);
        packed_fixture_add(fixture, 3, 8, 0);
        l4vio_queue_publish(&fixture->queue);
        assert_false(l4vio_queue_arm(&fixture->queue));
        packed_fixture_add(fixture, 1, 8, 1);
        l4vio_queue_publish(&fixture->queue);
        for (unsigned i = 0; i < 2; i++)
            assert_true(fake_packed_next(&fixture->device, &seen[i]));
        fake_packed_use(&fixture->device, seen[1].id, seen[1].entries, 8);
        assert_true(fake_packed_has_to_notify(&fixture->device, seen[1].entries));
        packed_fixture_free(fixture);
    }
}

/* What is not published the device cannot complete: to wait for it too is to wait for ever. */
static void nothing_is_waited_for_that_was_not_published_packed(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        unsigned features = PACKED_EVENT_IDX | (order ? PACKED_IN_ORDER : 0);
        struct packed_fixture *fixture = packed_fixture_create(16, features);
        for (unsigned i = 0; i < 5; i++) {
            packed_fixture_add(fixture, 1, 8, i);
            if (i == 1)
                l4vio_queue_publish(&fixture->queue);
        }
        assert_false(l4vio_queue_arm_after(&fixture->queue, 5));
        assert_int_equal(fake_packed_use_all(&fixture->device, 8), 2);
        assert_true(fake_packed_has_to_notify(&fixture->device, 1));
        assert_true(l4vio_queue_arm_after(&fixture->queue, 5));
        packed_fixture_free(fixture);
    }
}

static void nothing_is_waited_for_that_was_not_published_split(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        const int features[] = {L4VIO_F_EVENT_IDX, order ? L4VIO_F_IN_ORDER : RING_FIXTURE_END,
                                RING_FIXTURE_END};
        struct ring_fixture *fixture = ring_fixture_create_with(16, BUFFER_LEVEL, features);
        for (unsigned i = 0; i < 5; i++) {
            ring_fixture_add(fixture, 8, i);
            if (i == 1)
                l4vio_queue_publish(&fixture->queue);
        }
        fake_device_wants_interrupt(&fixture->device);
        assert_false(l4vio_queue_arm_after(&fixture->queue, 5));
        assert_int_equal(fake_device_complete_all(&fixture->device, 8), 2);
        assert_true(fake_device_wants_interrupt(&fixture->device));
        assert_true(l4vio_queue_arm_after(&fixture->queue, 5));
        ring_fixture_free(fixture);
    }
}

static struct loopback_device *live_with_event_idx(struct loopback_queue *queue, bool packed)
{
    struct loopback_device *device = loopback_device_new();
    l4vio_features_set(&device->offered, L4VIO_F_EVENT_IDX);
    l4vio_features_set(&device->config.allowed, L4VIO_F_EVENT_IDX);
    if (packed) {
        l4vio_features_set(&device->offered, L4VIO_F_RING_PACKED);
        l4vio_features_set(&device->config.allowed, L4VIO_F_RING_PACKED);
    }
    loopback_device_connect(device);
    assert_int_equal(l4vio_driver_negotiate(&device->driver, NULL), L4VIO_OK);
    loopback_queue_attach(device, queue, 0, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_true(queue->queue.event_idx);
    assert_int_equal(queue->queue.packed, packed);
    return device;
}

/* With EVENT_IDX one wish is good for one notification: whoever waits for the next one wishes again. */
static void to_wait_for_a_notification_is_to_ask_for_it(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct loopback_queue queue;
        struct loopback_device *device = live_with_event_idx(&queue, packed);
        struct l4vio_completion done[2];
        for (unsigned i = 0; i < 200; i++) {
            assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
            assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);
            assert_int_equal(
                l4vio_driver_wait(&device->driver, 0, loopback_device_in_ms(device, 100)),
                L4VIO_OK);
            assert_int_equal(l4vio_queue_get_used(&queue.queue, done, 2), 1);
        }
        loopback_device_stop(device);
    }
}

/* A wish for a notification after many is not made smaller by waiting for it. */
static void a_wish_that_is_still_to_come_is_left_alone(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct loopback_queue queue;
        struct loopback_device *device = live_with_event_idx(&queue, packed);
        device->quota = 2;
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
        assert_false(l4vio_queue_arm_after(&queue.queue, 8));
        assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);
        assert_int_equal(l4vio_driver_wait(&device->driver, 0, loopback_device_in_ms(device, 100)),
                         L4VIO_OK);
        assert_true(l4vio_queue_arm_after(&queue.queue, 8));
        loopback_device_stop(device);
    }
}

static int kick_fails(void *self, uint32_t queue, uint32_t data,
                      const struct l4vio_notification *to_device)
{
    (void)self;
    (void)queue;
    (void)data;
    (void)to_device;
    return L4VIO_EAGAIN;
}

/* A kick that could not be sent is still owed. */
static void a_kick_that_failed_is_sent_by_the_next_call(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct loopback_queue queue;
        struct loopback_device *device = live_with_event_idx(&queue, packed);
        const struct l4vio_transport_ops *working = device->driver.transport.ops;
        struct l4vio_transport_ops failing = *working;
        failing.kick = kick_fails;
        assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
        device->driver.transport.ops = &failing;
        assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_EAGAIN);
        device->driver.transport.ops = working;
        assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);
        assert_int_equal(queue.queue.counters.kicks_sent, 1);
        assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue,
                                                loopback_device_in_ms(device, 100)),
                         L4VIO_OK);
        loopback_device_stop(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_completion_is_told_of_even_if_it_was_added_later),
        cmocka_unit_test(nothing_is_waited_for_that_was_not_published_packed),
        cmocka_unit_test(nothing_is_waited_for_that_was_not_published_split),
        cmocka_unit_test(to_wait_for_a_notification_is_to_ask_for_it),
        cmocka_unit_test(a_wish_that_is_still_to_come_is_left_alone),
        cmocka_unit_test(a_kick_that_failed_is_sent_by_the_next_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
