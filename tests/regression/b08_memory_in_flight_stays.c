/* SPDX-License-Identifier: MIT */
/* What the device may own is given back by a reset or the end of the connection only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loopback_device.h"

static struct loopback_device *in_flight(struct loopback_queue *queue, uint16_t *head)
{
    struct loopback_device *device = loopback_device_new();
    loopback_device_live(device, queue, true);
    device->asleep = true;
    *head = loopback_queue_chain(queue, 16);
    assert_int_equal(l4vio_driver_send_and_wait(&device->driver, &queue->queue, *head, NULL,
                                                loopback_device_in_ms(device, 50)),
                     L4VIO_ETIMEDOUT);
    return device;
}

static void assert_device_owns(struct loopback_device *device, struct loopback_queue *queue,
                               uint16_t head)
{
    void *cookie;
    assert_int_equal(l4vio_descriptor_free(&queue->queue, head, head), L4VIO_EBUSY);
    assert_null(l4vio_descriptor_get(&queue->queue, head));
    assert_int_equal(l4vio_queue_detach(&queue->queue, &cookie, 1), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_initialize_rings(&queue->queue), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_release(&device->driver, &queue->data, NULL), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_release(&device->driver, &queue->rings, NULL), L4VIO_EBUSY);
    assert_non_null(queue->data.base);
}

static void timeout_gives_nothing_back(void **state)
{
    struct loopback_queue queue;
    uint16_t head;
    struct loopback_device *device = in_flight(&queue, &head);
    (void)state;
    assert_device_owns(device, &queue, head);
    /* It may still complete, and then it is the caller's again. */
    device->asleep = false;
    assert_int_equal(l4vio_driver_wait_for_next_used(&device->driver, &queue.queue, NULL,
                                                     loopback_device_in_ms(device, 1000)),
                     head);
    assert_non_null(l4vio_descriptor_get(&queue.queue, head));
    assert_int_equal(l4vio_driver_release(&device->driver, &queue.data, NULL), L4VIO_OK);
    /* The rings stay the device's as long as the queue is live. */
    assert_int_equal(l4vio_driver_release(&device->driver, &queue.rings, NULL), L4VIO_EBUSY);
    loopback_device_stop(device);
}

static void dead_peer_gives_nothing_back_before_disconnect(void **state)
{
    struct loopback_queue queue;
    uint16_t head;
    struct loopback_device *device = in_flight(&queue, &head);
    (void)state;
    device->loopback.dead = true;
    assert_int_equal(
        l4vio_driver_wait_for_next_used(&device->driver, &queue.queue, NULL, L4VIO_FOREVER),
        L4VIO_EPIPE);
    assert_device_owns(device, &queue, head);
    l4vio_driver_disconnect(&device->driver);
    assert_false(l4vio_queue_ready(&queue.queue));
    assert_null(queue.data.base);
    loopback_device_stop(device);
}

static int status_that_never_settles(void *self, uint32_t status, uint64_t deadline_ns,
                                     struct l4vio_error *error)
{
    (void)self;
    (void)status;
    (void)deadline_ns;
    (void)error;
    return L4VIO_OK;
}

static void unconfirmed_reset_gives_nothing_back(void **state)
{
    struct loopback_queue queue;
    uint16_t head;
    struct loopback_device *device = in_flight(&queue, &head);
    struct l4vio_l4_calls calls = *device->loopback.l4.calls;
    (void)state;
    calls.set_status = status_that_never_settles;
    device->loopback.l4.calls = &calls;
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_ETIMEDOUT);
    assert_device_owns(device, &queue, head);
    assert_int_equal(l4vio_driver_restart(&device->driver, NULL), L4VIO_EINVAL);
    l4vio_driver_disconnect(&device->driver);
    assert_false(l4vio_queue_ready(&queue.queue));
    loopback_device_stop(device);
}

/* Clause D-2.6.1.1.2-2. */
static void queue_reset_gives_back(void **state)
{
    struct loopback_queue queue;
    uint16_t head;
    struct loopback_device *device = in_flight(&queue, &head);
    void *cookie;
    (void)state;
    assert_int_equal(l4vio_driver_reset_queue(&device->driver, &queue.queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), 1);
    assert_int_equal(l4vio_driver_release(&device->driver, &queue.rings, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_release(&device->driver, &queue.data, NULL), L4VIO_OK);
    loopback_device_stop(device);
}

static void device_reset_gives_back(void **state)
{
    struct loopback_queue queue;
    uint16_t head;
    struct loopback_device *device = in_flight(&queue, &head);
    void *cookie;
    (void)state;
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), 1);
    assert_int_equal(l4vio_driver_release(&device->driver, &queue.data, NULL), L4VIO_OK);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeout_gives_nothing_back),
        cmocka_unit_test(dead_peer_gives_nothing_back_before_disconnect),
        cmocka_unit_test(unconfirmed_reset_gives_nothing_back),
        cmocka_unit_test(queue_reset_gives_back),
        cmocka_unit_test(device_reset_gives_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
