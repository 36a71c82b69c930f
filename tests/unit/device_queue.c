/* SPDX-License-Identifier: MIT */
/* The device's side of a queue with a driver that keeps the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_driver.h"

static struct l4vio_device_queue *queue_of(struct raw_driver *driver)
{
    return l4vio_device_queue(&driver->device, 0);
}

static void empty_queue_has_nothing(void **state)
{
    struct raw_driver *driver = *state;
    assert_int_equal(raw_take(driver, 0), 0);
    assert_false(l4vio_device_queue_has_avail(queue_of(driver)));
    assert_true(l4vio_device_queue_ready(queue_of(driver)));
}

static void indexes_wrap_around(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned i = 0; i < 70000; i++) {
        uint16_t head = (uint16_t)(i % RAW_QUEUE_SIZE);
        raw_publish_one(driver, 0, head);
        assert_int_equal(raw_take(driver, 0), 1);
        raw_finish(driver, 0, head, i);
        struct virtq_used_elem *elem = &raw_used_ring(driver, 0)[i % RAW_QUEUE_SIZE];
        assert_int_equal(l4vio_load32(&elem->id), head);
        assert_int_equal(l4vio_load32(&elem->len), i);
        assert_int_equal(raw_used_index(driver, 0), (uint16_t)(i + 1));
    }
    assert_int_equal(queue_of(driver)->counters.taken, 70000);
    assert_int_equal(queue_of(driver)->counters.finished, 70000);
}

static void batch_is_shown_in_order(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_used used[3];
    for (uint16_t i = 0; i < 3; i++) {
        raw_publish_one(driver, 0, i);
        assert_int_equal(raw_take(driver, 0), 1);
        used[2 - i] = (struct l4vio_device_used){.head = i, .written_bytes = 100u + i};
    }
    l4vio_device_queue_finish(queue_of(driver), used, 3);
    assert_int_equal(raw_used_index(driver, 0), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(l4vio_load32(&raw_used_ring(driver, 0)[i].id), 2 - i);
        assert_int_equal(l4vio_load32(&raw_used_ring(driver, 0)[i].len), 102 - i);
    }
}

static void more_results_than_chains_are_dropped(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_used used[2] = {{.head = 1}, {.head = 2}};
    raw_publish_one(driver, 0, 1);
    assert_int_equal(raw_take(driver, 0), 1);
    l4vio_device_queue_finish(queue_of(driver), used, 2);
    assert_int_equal(raw_used_index(driver, 0), 1);
    l4vio_device_queue_finish(queue_of(driver), used, 1);
    assert_int_equal(raw_used_index(driver, 0), 1);
}

static void rewound_chains_are_taken_again(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_chain taken[3];
    for (uint16_t i = 0; i < 3; i++)
        raw_publish_one(driver, 0, i);
    for (uint16_t i = 0; i < 3; i++) {
        assert_int_equal(raw_take(driver, 0), 1);
        taken[i] = driver->chain;
    }

    assert_int_equal(l4vio_device_queue_rewind(queue_of(driver), &taken[2]), 0);
    assert_int_equal(l4vio_device_queue_rewind(queue_of(driver), &taken[1]), 0);
    assert_int_equal(queue_of(driver)->in_flight, 1);
    assert_true(l4vio_device_queue_has_avail(queue_of(driver)));
    for (uint16_t i = 1; i < 3; i++) {
        assert_int_equal(raw_take(driver, 0), 1);
        assert_int_equal(driver->chain.head, i);
    }
    assert_int_equal(raw_take(driver, 0), 0);
    for (uint16_t i = 0; i < 3; i++)
        raw_finish(driver, 0, i, 0);
    assert_int_equal(l4vio_device_queue_rewind(queue_of(driver), &taken[2]), L4VIO_EINVAL);
}

/* Clause V-2.7.7.2-3. */
static void driver_is_notified_once_per_result(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = queue_of(driver);
    assert_false(l4vio_device_queue_needs_notify(queue));
    raw_publish_one(driver, 0, 1);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_false(l4vio_device_queue_needs_notify(queue));
    struct l4vio_device_used used = {.head = 1};
    l4vio_device_queue_finish(queue, &used, 1);
    assert_true(l4vio_device_queue_needs_notify(queue));
    assert_false(l4vio_device_queue_needs_notify(queue));
    assert_int_equal(queue->counters.notifications_sent, 1);
}

/* Clause V-2.7.7.2-2. */
static void driver_that_wants_none_is_not_notified(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_store16(&raw_avail(driver, 0)->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
    raw_publish_one(driver, 0, 1);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_finish(driver, 0, 1, 0);
    assert_int_equal(driver->triggers[1], 0);
    assert_int_equal(queue_of(driver)->counters.notifications_suppressed, 1);
    /* Without EVENT_IDX, used_event means nothing (clause V-2.7.7.2-1), nor do other flags. */
    l4vio_store16(&raw_avail(driver, 0)->flags, 0xfffe);
    l4vio_store16(&raw_avail_ring(driver, 0)[RAW_QUEUE_SIZE], 1000);
    raw_expect_works(driver);
}

/* Clauses V-2.7.10.2-1 and V-2.7.10.2-2. */
static void disarmed_queue_asks_for_no_kicks(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = queue_of(driver);
    struct virtq_used *used = raw_used(driver, 0);
    assert_int_equal(l4vio_load16(&used->flags), 0);
    l4vio_device_queue_disarm(queue);
    assert_int_equal(l4vio_load16(&used->flags), VIRTQ_USED_F_NO_NOTIFY);
    assert_false(l4vio_device_queue_arm(queue));
    assert_int_equal(l4vio_load16(&used->flags), 0);

    l4vio_device_queue_disarm(queue);
    raw_publish_one(driver, 0, 0);
    assert_true(l4vio_device_queue_arm(queue));
    assert_int_equal(l4vio_load16(&used->flags), 0);
}

static void disabled_queue_is_empty(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = queue_of(driver);
    struct l4vio_device_used used = {.head = 1};
    raw_publish_one(driver, 0, 1);
    raw_publish_one(driver, 0, 2);
    assert_int_equal(raw_take(driver, 0), 1);
    l4vio_device_queue_disable(queue);

    assert_false(l4vio_device_queue_ready(queue));
    assert_int_equal(raw_take(driver, 0), 0);
    assert_false(l4vio_device_queue_has_avail(queue));
    assert_false(l4vio_device_queue_arm(queue));
    l4vio_device_queue_disarm(queue);
    assert_int_equal(l4vio_device_queue_rewind(queue, &driver->chain), L4VIO_EINVAL);
    l4vio_device_queue_finish(queue, &used, 1);
    assert_false(l4vio_device_queue_needs_notify(queue));
    assert_int_equal(raw_used_index(driver, 0), 0);
}

static void set_up_starts_at_zero(void **state)
{
    struct raw_driver *driver = *state;
    raw_expect_works(driver);
    l4vio_device_queue_disarm(queue_of(driver));
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
    assert_int_equal(driver->stop_calls[0], 1);
    assert_int_equal(driver->stop_calls[1], 0);

    l4vio_store16(&raw_avail(driver, 0)->idx, 0);
    driver->rings[0].avail_index = 0;
    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), 0);
    assert_int_equal(raw_used_index(driver, 0), 0);
    assert_int_equal(l4vio_load16(&raw_used(driver, 0)->flags), 0);
    raw_expect_works(driver);
}

static void trace_hook(void *self, const struct l4vio_trace_event *event)
{
    unsigned *seen = self;
    seen[event->kind]++;
}

static void rare_events_are_traced(void **state)
{
    struct raw_driver *driver = *state;
    unsigned seen[L4VIO_TRACE_PEER_GONE + 1] = {0};
    struct l4vio_trace trace = {.event = trace_hook, .self = seen};
    driver->device.config.trace = &trace;
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_bring_up(driver);
    raw_expect_works(driver);
    raw_publish(driver, 0, UINT16_MAX);
    assert_int_equal(raw_take(driver, 0), L4VIO_EBADPROTO);
    l4vio_device_reset(&driver->device);
    driver->device.config.trace = NULL;

    assert_int_equal(seen[L4VIO_TRACE_STATUS], 4);
    assert_int_equal(seen[L4VIO_TRACE_FEATURES], 1);
    assert_int_equal(seen[L4VIO_TRACE_QUEUE_READY], RAW_QUEUES);
    assert_int_equal(seen[L4VIO_TRACE_MAP], 1);
    assert_int_equal(seen[L4VIO_TRACE_UNMAP], 2);
    assert_int_equal(seen[L4VIO_TRACE_KICK], 1);
    assert_int_equal(seen[L4VIO_TRACE_BROKEN], 1);
    assert_int_equal(seen[L4VIO_TRACE_RESET], 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(empty_queue_has_nothing),
        CASE(indexes_wrap_around),
        CASE(batch_is_shown_in_order),
        CASE(more_results_than_chains_are_dropped),
        CASE(rewound_chains_are_taken_again),
        CASE(driver_is_notified_once_per_result),
        CASE(driver_that_wants_none_is_not_notified),
        CASE(disarmed_queue_asks_for_no_kicks),
        CASE(disabled_queue_is_empty),
        CASE(set_up_starts_at_zero),
        CASE(rare_events_are_traced),
    };
    return cmocka_run_group_tests_name("device_queue", tests, NULL, NULL);
}
