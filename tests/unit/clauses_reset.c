/* SPDX-License-Identifier: MIT */
/* Reset of a single queue (section 2.6.1). models/queue_reset.pml has the order of things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "loopback_device.h"
#include "raw_driver.h"

static void set_up_again(struct raw_driver *driver, uint16_t size)
{
    raw_begin_ring(driver, 0);
    driver->rings[0].size = size;
    raw_fill_entry(driver, 0);
    l4vio_store16(&raw_queue_entry(driver, 0)->num, size);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), 0);
    assert_int_equal(l4vio_device_queue(&driver->device, 0)->size, size);
}

/* Clause V-2.6.1.1.1-1: neither what was taken nor what comes is worked on, and nobody is notified. */
static void reset_queue_does_nothing(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    unsigned char before[RAW_QUEUE_BYTES];
    struct l4vio_device_used used = {.head = 1, .entries = 1};
    raw_publish_one(driver, 0, 1);
    raw_publish_one(driver, 0, 2);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
    assert_int_equal(driver->stop_calls[0], 1);
    assert_int_equal(driver->stop_calls[1], 0);

    raw_publish_one(driver, 0, 3);
    memcpy(before, driver->memory, sizeof(before));
    assert_null(l4vio_device_queue(&driver->device, 0));
    l4vio_device_queue_finish(queue, &used, 1);
    l4vio_device_queue_arm(queue);
    l4vio_device_queue_disarm(queue);
    assert_false(l4vio_device_queue_needs_notify(queue));
    assert_int_equal(l4vio_device_queue_next(queue, &driver->chain, driver->segments, RAW_SEGMENTS),
                     0);
    l4vio_device_notify(&driver->device, 0);
    assert_int_equal(driver->triggers[1], 0);
    assert_memory_equal(driver->memory, before, sizeof(before));
    /* The other queue is as it was. */
    raw_publish_one(driver, 1, 1);
    assert_int_equal(raw_take(driver, 1), 1);
}

/* Clause V-2.6.1.1.1-2: positions, rounds, wishes and what was in flight, wherever they were. */
static void reset_puts_everything_back(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned turn = 0; turn < 40; turn++) {
        for (unsigned i = 0; i < turn; i++)
            raw_expect_works(driver);
        raw_publish_one(driver, 0, 5);
        assert_int_equal(raw_take(driver, 0), 1);
        l4vio_device_queue_disarm(l4vio_device_queue(&driver->device, 0));
        assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
        set_up_again(driver, RAW_QUEUE_SIZE);
        assert_int_equal(l4vio_device_queue(&driver->device, 0)->in_flight, 0);
        assert_int_equal(raw_take(driver, 0), 0);
        raw_expect_works(driver);
        assert_int_equal(raw_used_index(driver, 0) == 1, !driver->rings[0].packed);
    }
}

/* Clause V-2.6.1.2.1-1: the size that was written last is the one in force. */
static void queue_may_come_back_with_another_size(void **state)
{
    struct raw_driver *driver = *state;
    static const uint16_t sizes[] = {4, 16, 8, 4};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
        set_up_again(driver, sizes[i]);
        for (unsigned n = 0; n < 3u * sizes[i]; n++)
            raw_expect_works(driver);
    }
}

/* Clauses D-2.6.1.1.2-2 and D-2.6.1.2.2-1: after the reset was confirmed, everything comes back, and the
 * whole set-up is done again, here with another size and other memory. */
static void driver_sets_a_queue_up_afresh(void **state)
{
    struct loopback_device *device = loopback_device_new();
    static struct loopback_queue old, fresh;
    void *cookies[4];
    (void)state;
    loopback_device_live(device, &old, false);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&old, 64, device), 1);
    assert_int_equal(l4vio_driver_release(&device->driver, &old.rings, NULL), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_detach(&old.queue, cookies, 4), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_reset_queue(&device->driver, &old.queue, NULL), L4VIO_OK);
    assert_null(l4vio_device_queue(&device->device, 0));
    assert_int_equal(l4vio_queue_detach(&old.queue, cookies, 4), 1);
    assert_int_equal(l4vio_driver_release(&device->driver, &old.rings, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_release(&device->driver, &old.data, NULL), L4VIO_OK);

    device->asleep = false;
    loopback_queue_init(device, &fresh, 0, 32, 0, false);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &fresh.queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_device_queue(&device->device, 0)->size, 32);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(loopback_queue_add(&fresh, 64, NULL), 1);
        assert_int_equal(l4vio_driver_drain(&device->driver, &fresh.queue, NULL, NULL,
                                            loopback_device_in_ms(device, 1000)),
                         L4VIO_OK);
    }
    loopback_device_stop(device);
}

static int reset_that_fails(void *self, uint32_t queue, uint64_t deadline_ns,
                            struct l4vio_error *error)
{
    (void)self;
    (void)queue;
    (void)deadline_ns;
    return l4vio_fail(error, L4VIO_ETIMEDOUT, "no answer", 0);
}

/* Clause D-2.6.1.1.2-1: what was not confirmed did not happen; the device still owns everything. */
static void reset_without_an_answer_gives_nothing_back(void **state)
{
    struct loopback_device *device = loopback_device_new();
    static struct loopback_queue queue;
    void *cookie;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&queue, 64, device), 1);
    struct l4vio_transport_ops ops = *device->driver.transport.ops;
    ops.reset_queue = reset_that_fails;
    device->driver.transport.ops = &ops;
    assert_int_equal(l4vio_driver_reset_queue(&device->driver, &queue.queue, NULL),
                     L4VIO_ETIMEDOUT);
    assert_true(l4vio_queue_ready(&queue.queue));
    assert_int_equal(l4vio_queue_detach(&queue.queue, &cookie, 1), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_release(&device->driver, &queue.data, NULL), L4VIO_EBUSY);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(reset_queue_does_nothing),
        RAW_EVERY(reset_puts_everything_back),
        RAW_SPLIT(queue_may_come_back_with_another_size),
        RAW_PACKED_RING(queue_may_come_back_with_another_size),
        cmocka_unit_test(driver_sets_a_queue_up_afresh),
        cmocka_unit_test(reset_without_an_answer_gives_nothing_back),
    };
    return cmocka_run_group_tests_name("clauses_reset", tests, NULL, NULL);
}
