/* SPDX-License-Identifier: MIT */
/* What the device may not write, at every one of which the queue breaks, or clamps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static int set_up(void **state)
{
    *state = ring_fixture_create(8, BUFFER_LEVEL);
    return 0;
}

static int tear_down(void **state)
{
    ring_fixture_free(*state);
    return 0;
}

static void add_and_publish(struct ring_fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
    l4vio_queue_publish(&fixture->queue);
}

/* Broken with this value, and nothing works any more, until the rings are initialised again. */
static void assert_broken(struct ring_fixture *fixture, uint64_t value)
{
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done;
    struct l4vio_error error = {0};
    uint16_t published = fake_device_avail_index(&fixture->device);

    assert_int_equal(l4vio_queue_get_used(queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(queue, &error), L4VIO_EBADPROTO);
    assert_int_equal(error.code, L4VIO_EBADPROTO);
    assert_non_null(error.text);
    assert_int_equal(error.value, value);
    assert_int_equal(queue->counters.broken, 1);

    fake_device_put_used_index(&fixture->device, (uint16_t)fixture->queue.used_index);
    assert_int_equal(l4vio_queue_get_used(queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(ring_fixture_add(fixture, 8, 0), L4VIO_EBADPROTO);
    l4vio_queue_publish(queue);
    assert_int_equal(fake_device_avail_index(&fixture->device), published);
    assert_false(l4vio_queue_needs_kick(queue));
    assert_true(l4vio_queue_has_used(queue));
    assert_true(l4vio_queue_arm(queue));

    void *cookies[8];
    ring_fixture_reset(fixture);
    unsigned in_flight = l4vio_queue_in_flight(queue);
    assert_int_equal(l4vio_queue_detach(queue, cookies, 8), in_flight);
    assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_OK);
    assert_int_equal(l4vio_queue_broken_error(queue, NULL), L4VIO_OK);
    queue->live = true;
    ring_fixture_spin(fixture, 9);
}

static void used_id_out_of_range_breaks_queue(void **state)
{
    struct ring_fixture *fixture = *state;
    add_and_publish(fixture, 2);
    fake_device_complete(&fixture->device, 8, 0);
    assert_broken(fixture, 8);
}

static void used_id_not_in_flight_breaks_queue(void **state)
{
    struct ring_fixture *fixture = *state;
    add_and_publish(fixture, 2);
    fake_device_complete(&fixture->device, 5, 0);
    assert_broken(fixture, 5);
}

static void used_id_inside_a_chain_breaks_queue(void **state)
{
    struct ring_fixture *fixture = *state;
    const struct l4vio_buffer buffers[3] = {
        {.length_bytes = 1}, {.length_bytes = 1}, {.length_bytes = 1}};
    struct l4vio_request request = {.buffers = buffers, .readable = 3};
    uint16_t head;

    assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), 1);
    l4vio_queue_publish(&fixture->queue);
    assert_true(fake_device_next(&fixture->device, &head));
    uint16_t second = fake_device_descriptor(&fixture->device, head).next;
    fake_device_complete(&fixture->device, second, 0);
    assert_broken(fixture, second);
}

static void used_index_ahead_breaks_queue(void **state)
{
    struct ring_fixture *fixture = *state;
    add_and_publish(fixture, 2);
    fake_device_put_used_index(&fixture->device, 3);
    assert_broken(fixture, 3);
}

static void used_index_behind_breaks_queue(void **state)
{
    struct ring_fixture *fixture = *state;
    ring_fixture_spin(fixture, 3);
    add_and_publish(fixture, 2);
    fake_device_put_used_index(&fixture->device, 2);
    assert_broken(fixture, 2);
}

static void a_request_that_was_not_published_cannot_be_completed(void **state)
{
    struct ring_fixture *fixture = *state;
    assert_int_equal(ring_fixture_add(fixture, 8, 0), 1);
    fake_device_complete(&fixture->device, 0, 0);
    assert_broken(fixture, 1);
}

static void completions_before_the_bad_one_come_first(void **state)
{
    struct ring_fixture *fixture = *state;
    struct l4vio_completion done[4];
    uint16_t heads[3];

    add_and_publish(fixture, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(fake_device_next(&fixture->device, &heads[i]));
    fake_device_complete(&fixture->device, heads[0], 8);
    fake_device_complete(&fixture->device, heads[1], 7);
    fake_device_complete(&fixture->device, 0x80000000, 8);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), 2);
    assert_int_equal((uintptr_t)done[1].cookie, 1);
    assert_int_equal(done[1].length_bytes, 7);
    assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 1);
    assert_broken(fixture, 0x80000000);
}

static void used_length_above_the_buffer_is_clamped_and_counted(void **state)
{
    struct ring_fixture *fixture = *state;
    struct l4vio_completion done;

    add_and_publish(fixture, 1);
    fake_device_complete_all(&fixture->device, UINT32_MAX);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
    assert_int_equal(done.length_bytes, 8);
    assert_int_equal(fixture->queue.counters.clamped_lengths, 1);
    ring_fixture_spin(fixture, 9);
    assert_int_equal(fixture->queue.counters.clamped_lengths, 1);
}

static void used_length_above_the_buffer_breaks_a_strict_queue(void **state)
{
    struct ring_fixture *fixture = *state;
    fixture->queue.strict = true;
    add_and_publish(fixture, 1);
    fake_device_complete_all(&fixture->device, 9);
    assert_broken(fixture, 9);
}

static void count_event(void *self, const struct l4vio_trace_event *event)
{
    struct l4vio_trace_event *seen = self;
    assert_int_equal(seen->queue, 0);
    *seen = *event;
}

static void breaking_is_traced(void **state)
{
    struct ring_fixture *fixture = *state;
    struct l4vio_trace_event seen = {0};
    struct l4vio_trace trace = {.event = count_event, .self = &seen};
    struct l4vio_completion done;

    fixture->queue.trace = &trace;
    fixture->queue.index = 3;
    add_and_publish(fixture, 1);
    fake_device_complete(&fixture->device, 77, 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(seen.kind, L4VIO_TRACE_BROKEN);
    assert_int_equal(seen.queue, 3);
    assert_int_equal(seen.b, 77);
    fixture->queue.trace = NULL;
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}
