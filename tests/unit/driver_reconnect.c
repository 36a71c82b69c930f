/* SPDX-License-Identifier: MIT */
/* The driver core finds another peer in the place of the one that is gone, or nobody, or something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include <l4vio/wire/status.h>

#include "fake_device_ring.h"
#include "fake_transport.h"

#define SECOND_NS UINT64_C(1000000000)

/* What the reconnect of the transport answers, and saw. */
static struct {
    int result;
    unsigned calls;
    unsigned handed_out;
    unsigned statuses;
    uint64_t now_ns;
} op;

static int reconnect(void *self, struct l4vio_transport_properties *properties,
                     struct l4vio_identity *identity, uint64_t deadline_ns,
                     struct l4vio_error *error)
{
    struct fake_transport *fake = self;
    op.calls++;
    op.handed_out = fake->handed_out;
    op.statuses = fake->statuses;
    op.now_ns = fake->platform.ops->now_ns(fake->platform.self);
    (void)deadline_ns;
    if (op.result)
        return l4vio_fail(error, op.result, "told to fail", 0);
    fake->dead = false;
    fake->status = 0;
    *properties = fake->properties;
    *identity = fake->identity;
    return L4VIO_OK;
}

/* With a live queue that has one request in flight, and a region. */
struct fixture {
    struct fake_transport *fake;
    struct l4vio_driver *driver;
    struct l4vio_region region;
    struct ring_fixture *ring;
    struct l4vio_queue *queue;
};

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    op.result = 0;
    op.calls = 0;
    f->fake = fake_transport_new();
    f->driver = &f->fake->driver;
    f->fake->ops.reconnect = reconnect;
    l4vio_features_set(&f->fake->driver_config.allowed, 3);
    l4vio_features_set(&f->fake->driver_config.allowed, 5);
    l4vio_features_set(&f->fake->driver_config.allowed, 7);
    l4vio_features_set(&f->fake->driver_config.may_lack, 5);
    l4vio_features_set(&f->fake->identity.offered, 3);
    l4vio_features_set(&f->fake->identity.offered, 5);
    fake_transport_connect(f->fake);
    assert_int_equal(l4vio_driver_allocate(f->driver, 4096, &f->region, NULL), 0);
    f->ring = ring_fixture_create(8, BUFFER_LEVEL);
    f->queue = &f->ring->queue;
    f->ring->config.index = 1;
    assert_int_equal(l4vio_queue_init(f->queue, &f->ring->config, NULL), 0);
    assert_int_equal(l4vio_driver_attach_queue(f->driver, f->queue, NULL), 0);
    assert_int_equal(l4vio_driver_acknowledge(f->driver, NULL), 0);
    struct l4vio_buffer buffer = {.address = f->region.device_address, .length_bytes = 8};
    struct l4vio_request request = {.buffers = &buffer, .writable = 1, .cookie = f};
    assert_int_equal(l4vio_queue_add(f->queue, &request, 1), 1);
    l4vio_queue_publish(f->queue);
    return f;
}

static void fixture_free(struct fixture *f)
{
    fake_transport_free(f->fake);
    if (f->ring)
        ring_fixture_free(f->ring);
    free(f);
}

static uint64_t deadline(struct fixture *f, uint64_t span_ns)
{
    return l4vio_driver_deadline(f->driver, span_ns);
}

static void check_detached(struct fixture *f)
{
    void *cookie = NULL;
    assert_false(l4vio_queue_ready(f->queue));
    assert_int_equal(l4vio_queue_detach(f->queue, &cookie, 1), 1);
    assert_ptr_equal(cookie, f);
}

static void afterwards_it_is_as_after_a_reset(void **state)
{
    struct fixture *f = fixture_new();
    void *cookie;
    (void)state;
    const intptr_t bound = f->fake->bound[0].handle;
    const uint64_t address = f->region.device_address;
    const unsigned maps = f->fake->calls[FAKE_MAP];
    f->fake->dead = true;
    f->fake->bound[0].handle = L4VIO_NO_HANDLE;
    assert_int_equal(l4vio_queue_detach(f->queue, &cookie, 1), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_reconnect(f->driver, deadline(f, SECOND_NS), NULL), 0);
    assert_int_equal(op.calls, 1);
    assert_int_equal(op.handed_out, 0);
    assert_int_equal(f->fake->status, 0);
    check_detached(f);
    assert_true(l4vio_driver_config_changed(f->driver));
    assert_false(l4vio_driver_config_changed(f->driver));

    assert_int_equal(l4vio_driver_restart(f->driver, NULL), 0);
    assert_int_equal(f->fake->bound[0].handle, bound);
    assert_int_equal(f->fake->calls[FAKE_MAP], maps + 1);
    assert_int_equal(f->fake->mapped_address, address);
    assert_int_equal(l4vio_queue_initialize_rings(f->queue), 0);
    assert_int_equal(l4vio_driver_attach_queue(f->driver, f->queue, NULL), 0);
    assert_int_equal(l4vio_driver_acknowledge(f->driver, NULL), 0);
    assert_true(f->fake->status & VIRTIO_STATUS_DRIVER_OK);
    assert_false(l4vio_driver_fail_state(f->driver));
    fixture_free(f);
}

static void every_state_but_closed_is_good_enough(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->reset_hangs = true;
    assert_int_equal(l4vio_driver_reset(f->driver, NULL), L4VIO_ETIMEDOUT);
    f->fake->reset_hangs = false;
    f->fake->dead = true;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    check_detached(f);
    assert_int_equal(l4vio_driver_restart(f->driver, NULL), 0);
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    f->fake->properties.stops_on_reset = false;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_driver_reset(f->driver, NULL), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    l4vio_driver_disconnect(f->driver);
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), L4VIO_EPIPE);
    fixture_free(f);
}

static void a_transport_may_not_have_it(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->ops.reconnect = NULL;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), L4VIO_ENOSYS);
    /* And nothing has happened. */
    assert_true(l4vio_queue_ready(f->queue));
    assert_int_equal(f->driver->state, L4VIO_DRIVER_LIVE);
    fixture_free(f);
}

static void check_lost(struct fixture *f)
{
    struct l4vio_error error = {0};
    uint8_t byte;
    uint64_t address;
    assert_true(l4vio_driver_fail_state(f->driver));
    assert_int_equal(l4vio_driver_peer_handle(f->driver), L4VIO_NO_HANDLE);
    assert_false(l4vio_driver_config_changed(f->driver));
    assert_int_equal(l4vio_driver_reset(f->driver, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_restart(f->driver, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_negotiate(f->driver, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_acknowledge(f->driver, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_read_config(f->driver, 0, &byte, 1, 1, &error), L4VIO_EPIPE);
    assert_string_equal(error.text, "the connection is lost: reconnect first");
    assert_int_equal(l4vio_driver_queue_size_max(f->driver, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_notify(f->driver, f->queue), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_wait_used(f->driver, f->queue, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_wait(f->driver, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_int_equal(
        l4vio_driver_register_dataspace(f->driver, &f->region.dataspace, 0, 4096, &address, NULL),
        L4VIO_EPIPE);
}

static void nobody_comes_and_later_somebody_does(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->dead = true;
    op.result = L4VIO_ETIMEDOUT;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), L4VIO_ETIMEDOUT);
    check_lost(f);
    check_detached(f);
    op.result = 0;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_driver_restart(f->driver, NULL), 0);
    fixture_free(f);
}

static void who_comes_may_die_at_once(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->dead = true;
    f->fake->fail_op = FAKE_SET_STATUS;
    f->fake->fail_at = f->fake->calls[FAKE_SET_STATUS] + 1;
    f->fake->fail_code = L4VIO_EPIPE;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), L4VIO_EPIPE);
    check_lost(f);
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    fixture_free(f);
}

/* It is there and does not know us: no status is written, not even at the end. */
static void check_left_alone(struct fixture *f, const char *text, uint64_t value)
{
    struct l4vio_error error = {0};
    const unsigned statuses = f->fake->statuses;
    f->fake->dead = true;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, &error), L4VIO_ENODEV);
    assert_string_equal(error.text, text);
    assert_int_equal(error.value, value);
    check_lost(f);
    assert_int_equal(f->fake->statuses, statuses);
}

static void another_device_is_left_alone(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->identity.device_id++;
    check_left_alone(f, "the device that came back is of another class", FAKE_DEVICE_ID + 1);
    f->fake->identity.device_id--;
    f->fake->identity.queue_count = 1;
    check_left_alone(f, "the device that came back has fewer queues than are in use", 1);
    f->fake->identity.queue_count = FAKE_QUEUES;
    f->fake->properties.driver_chooses_addresses = false;
    check_left_alone(f, "the device that came back has other device addresses", 0);
    f->fake->properties.driver_chooses_addresses = true;
    l4vio_features_clear(&f->fake->identity.offered, 3);
    check_left_alone(f, "the device that came back lacks a feature that is in use", 3);
    const unsigned statuses = f->fake->statuses;
    l4vio_driver_disconnect(f->driver);
    assert_int_equal(f->fake->statuses, statuses);
    fixture_free(f);
}

static void fewer_notification_indexes_are_refused(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct l4vio_driver_notification notifications[3];
    (void)state;
    assert_non_null(f);
    op.result = 0;
    f->fake = fake_transport_new();
    f->driver = &f->fake->driver;
    f->fake->ops.reconnect = reconnect;
    f->fake->driver_config.notifications = notifications;
    f->fake->driver_config.notification_count = 3;
    fake_transport_connect(f->fake);
    f->fake->identity.notification_count = 2;
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, &error), L4VIO_ENODEV);
    assert_int_equal(error.value, 2);
    f->fake->identity.notification_count = 3;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    fixture_free(f);
}

static void the_same_features_are_accepted(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->dead = true;
    /* One more that the driver would have liked: too late. One less that it can do without. */
    l4vio_features_set(&f->fake->identity.offered, 7);
    l4vio_features_clear(&f->fake->identity.offered, 5);
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_driver_restart(f->driver, NULL), 0);
    assert_int_equal(l4vio_driver_negotiate(f->driver, NULL), 0);
    assert_true(l4vio_driver_feature_negotiated(f->driver, 3));
    assert_false(l4vio_driver_feature_negotiated(f->driver, 5));
    assert_false(l4vio_driver_feature_negotiated(f->driver, 7));
    fixture_free(f);
}

static void a_peer_that_answers_is_reset_before(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    const unsigned statuses = f->fake->statuses;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(op.statuses, statuses + 1);
    assert_int_equal(f->fake->status_log[statuses], 0);
    fixture_free(f);
}

static void a_peer_that_hangs_takes_half_of_the_time_at_most(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    f->fake->reset_hangs = true;
    uint64_t end_ns = deadline(f, SECOND_NS);
    op.result = L4VIO_ETIMEDOUT;
    assert_int_equal(l4vio_driver_reconnect(f->driver, end_ns, NULL), L4VIO_ETIMEDOUT);
    assert_true(op.now_ns < end_ns - SECOND_NS / 4);
    check_detached(f);
    fixture_free(f);
}

static void memory_of_a_call_that_timed_out_is_given_back(void **state)
{
    struct fixture *f = fixture_new();
    struct l4vio_region region;
    (void)state;
    f->fake->fail_op = FAKE_MAP;
    f->fake->fail_at = f->fake->calls[FAKE_MAP] + 1;
    f->fake->fail_code = L4VIO_ETIMEDOUT;
    assert_int_equal(l4vio_driver_allocate(f->driver, 4096, &region, NULL), L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_driver_allocate(f->driver, 4096, &region, NULL), L4VIO_EBUSY);
    f->fake->dead = true;
    assert_int_equal(l4vio_driver_reconnect(f->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_driver_restart(f->driver, NULL), 0);
    assert_int_equal(l4vio_driver_allocate(f->driver, 4096, &region, NULL), 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(afterwards_it_is_as_after_a_reset),
        cmocka_unit_test(every_state_but_closed_is_good_enough),
        cmocka_unit_test(a_transport_may_not_have_it),
        cmocka_unit_test(nobody_comes_and_later_somebody_does),
        cmocka_unit_test(who_comes_may_die_at_once),
        cmocka_unit_test(another_device_is_left_alone),
        cmocka_unit_test(fewer_notification_indexes_are_refused),
        cmocka_unit_test(the_same_features_are_accepted),
        cmocka_unit_test(a_peer_that_answers_is_reset_before),
        cmocka_unit_test(a_peer_that_hangs_takes_half_of_the_time_at_most),
        cmocka_unit_test(memory_of_a_call_that_timed_out_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
