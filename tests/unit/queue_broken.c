/* SPDX-License-Identifier: MIT */
/* What the device may not write, in any format, at every one of which the queue breaks, or clamps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_rig.h"

static int set_up(void **state)
{
    *state = ring_rig_create(8, BUFFER_LEVEL);
    return 0;
}

static int tear_down(void **state)
{
    ring_rig_free(*state);
    return 0;
}

#define ANY_VALUE UINT64_MAX

/* Broken with this value, and nothing works any more, until the rings are initialised again. */
static void assert_broken(struct ring_rig *rig, uint64_t value)
{
    struct l4vio_queue *queue = &rig->queue;
    struct l4vio_completion done;
    struct l4vio_error error = {0};
    struct ring_rig_request seen;

    while (ring_rig_next(rig, &seen))
        continue;
    assert_int_equal(l4vio_queue_get_used(queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(queue, &error), L4VIO_EBADPROTO);
    assert_int_equal(error.code, L4VIO_EBADPROTO);
    assert_non_null(error.text);
    if (value != ANY_VALUE)
        assert_int_equal(error.value, value);
    assert_int_equal(queue->counters.broken, 1);

    assert_int_equal(l4vio_queue_get_used(queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(ring_rig_add(rig, 8, 0), L4VIO_EBADPROTO);
    l4vio_queue_publish(queue);
    assert_false(ring_rig_next(rig, &seen));
    assert_false(l4vio_queue_needs_kick(queue));
    assert_true(l4vio_queue_has_used(queue));
    assert_true(l4vio_queue_arm(queue));

    void *cookies[8];
    ring_rig_reset(rig);
    unsigned in_flight = l4vio_queue_in_flight(queue);
    assert_int_equal(l4vio_queue_detach(queue, cookies, 8), in_flight);
    assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_OK);
    assert_int_equal(l4vio_queue_broken_error(queue, NULL), L4VIO_OK);
    queue->live = true;
    ring_rig_spin(rig, 9);
}

static void used_id_out_of_range_breaks_queue(void **state)
{
    struct ring_rig *rig = *state;
    ring_rig_add_many(rig, 8, 2);
    ring_rig_complete_id(rig, 8, 0);
    assert_broken(rig, 8);
}

static void used_id_not_in_flight_breaks_queue(void **state)
{
    struct ring_rig *rig = *state;
    ring_rig_add_many(rig, 8, 2);
    ring_rig_complete_id(rig, 5, 0);
    assert_broken(rig, 5);
}

static void used_id_inside_a_chain_breaks_queue(void **state)
{
    struct ring_rig *rig = *state;
    const struct l4vio_buffer buffers[3] = {
        {.length_bytes = 1}, {.length_bytes = 1}, {.length_bytes = 1}};
    struct l4vio_request request = {.buffers = buffers, .readable = 3};
    struct ring_rig_request seen;

    /* In a ring that was not used yet, entries and places follow each other. */
    assert_int_equal(l4vio_queue_add(&rig->queue, &request, 1), 1);
    l4vio_queue_publish(&rig->queue);
    assert_true(ring_rig_next(rig, &seen));
    ring_rig_complete_id(rig, seen.id + 1, 0);
    assert_broken(rig, seen.id + 1);
}

/* The packed format has no used index. */
static void used_index_ahead_breaks_queue(void **state)
{
    struct ring_rig *rig = *state;
    if (rig->packed)
        return;
    ring_rig_add_many(rig, 8, 2);
    fake_device_put_used_index(&rig->split_device, 3);
    assert_broken(rig, 3);
}

static void used_index_behind_breaks_queue(void **state)
{
    struct ring_rig *rig = *state;
    if (rig->packed)
        return;
    ring_rig_spin(rig, 3);
    ring_rig_add_many(rig, 8, 2);
    fake_device_put_used_index(&rig->split_device, 2);
    assert_broken(rig, 2);
}

static void a_request_that_was_not_published_cannot_be_completed(void **state)
{
    struct ring_rig *rig = *state;
    assert_int_equal(ring_rig_add(rig, 8, 0), 1);
    ring_rig_complete_id(rig, 0, 0);
    assert_broken(rig, ANY_VALUE);
}

static void completions_before_the_bad_one_come_first(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_completion done[4];
    struct ring_rig_request seen[3];

    ring_rig_add_many(rig, 8, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(ring_rig_next(rig, &seen[i]));
    ring_rig_complete(rig, &seen[0], 8);
    ring_rig_complete(rig, &seen[1], 7);
    uint32_t bad = rig->packed ? 0x8000 : 0x80000000;
    ring_rig_complete_id(rig, bad, 8);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 4), 2);
    assert_int_equal((uintptr_t)done[1].cookie, 1);
    assert_int_equal(done[1].length_bytes, 7);
    assert_int_equal(l4vio_queue_in_flight(&rig->queue), 1);
    assert_broken(rig, bad);
}

static void used_length_above_the_buffer_is_clamped_and_counted(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_completion done;

    ring_rig_add_many(rig, 8, 1);
    ring_rig_complete_all(rig, UINT32_MAX);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, &done, 1), 1);
    assert_int_equal(done.length_bytes, 8);
    assert_int_equal(rig->queue.counters.clamped_lengths, 1);
    ring_rig_spin(rig, 9);
    assert_int_equal(rig->queue.counters.clamped_lengths, 1);
}

static void used_length_above_the_buffer_breaks_a_strict_queue(void **state)
{
    struct ring_rig *rig = *state;
    ring_rig_reset(rig);
    rig->config.strict = true;
    assert_int_equal(l4vio_queue_init(&rig->queue, &rig->config, NULL), L4VIO_OK);
    rig->queue.live = true;
    ring_rig_add_many(rig, 8, 1);
    ring_rig_complete_all(rig, 9);
    assert_broken(rig, 9);
}

static void count_event(void *self, const struct l4vio_trace_event *event)
{
    struct l4vio_trace_event *seen = self;
    assert_int_equal(seen->queue, 0);
    *seen = *event;
}

static void breaking_is_traced(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_trace_event seen = {0};
    struct l4vio_trace trace = {.event = count_event, .self = &seen};
    struct l4vio_completion done;

    rig->queue.trace = &trace;
    rig->queue.index = 3;
    ring_rig_add_many(rig, 8, 1);
    ring_rig_complete_id(rig, 77, 0);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(seen.kind, L4VIO_TRACE_BROKEN);
    assert_int_equal(seen.queue, 3);
    assert_int_equal(seen.b, 77);
    rig->queue.trace = NULL;
}

#define BROKEN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BROKEN_TEST(used_id_out_of_range_breaks_queue),
        BROKEN_TEST(used_id_not_in_flight_breaks_queue),
        BROKEN_TEST(used_id_inside_a_chain_breaks_queue),
        BROKEN_TEST(used_index_ahead_breaks_queue),
        BROKEN_TEST(used_index_behind_breaks_queue),
        BROKEN_TEST(a_request_that_was_not_published_cannot_be_completed),
        BROKEN_TEST(completions_before_the_bad_one_come_first),
        BROKEN_TEST(used_length_above_the_buffer_is_clamped_and_counted),
        BROKEN_TEST(used_length_above_the_buffer_breaks_a_strict_queue),
        BROKEN_TEST(breaking_is_traced),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
