/* SPDX-License-Identifier: MIT */
/* EVENT_IDX on the split ring, driver side: which index asks for a notification, in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static struct ring_fixture *fixture_of(void **state, uint16_t size)
{
    const int features[] = {L4VIO_F_EVENT_IDX, RING_FIXTURE_END};
    struct ring_fixture *fixture = ring_fixture_create_with(size, BUFFER_LEVEL, features);
    *state = fixture;
    return fixture;
}

static int tear_down(void **state)
{
    ring_fixture_free(*state);
    return 0;
}

static void publish(struct ring_fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
    l4vio_queue_publish(&fixture->queue);
}

static void take_all(struct ring_fixture *fixture)
{
    struct l4vio_completion done[16];
    int count;
    fake_device_complete_all(&fixture->device, 8);
    while ((count = l4vio_queue_get_used(&fixture->queue, done, 16)) > 0)
        continue;
    assert_int_equal(count, 0);
}

/* Nothing is in flight, and the next request has this index. */
static void go_to(struct ring_fixture *fixture, uint16_t index)
{
    uint16_t left = (uint16_t)(index - l4vio_queue_avail_index(&fixture->queue));
    ring_fixture_spin(fixture, left);
    l4vio_queue_needs_kick(&fixture->queue);
    assert_int_equal(l4vio_queue_avail_index(&fixture->queue), index);
}

/* Clauses D-2.7.10.1-6 and D-2.7.10.1-7: an index among those published since the last decision, also
 * where they wrap, and several publications may have gone by. */
static void a_kick_is_wanted_when_avail_event_was_passed(void **state)
{
    static const uint16_t starts[] = {0, 3, 0xfffb, 0xfffe, 0xffff, 0x7ffe};
    struct ring_fixture *fixture = fixture_of(state, 8);

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (int distance = -3; distance < 8; distance++) {
            uint16_t start = (uint16_t)(starts[i] + 16u * (unsigned)(distance + 3));
            go_to(fixture, start);
            fake_device_put_avail_event(&fixture->device, (uint16_t)(start + distance));
            publish(fixture, 2);
            publish(fixture, 3);
            assert_int_equal(l4vio_queue_needs_kick(&fixture->queue),
                             distance >= 0 && distance < 5);
            assert_false(l4vio_queue_needs_kick(&fixture->queue));
            take_all(fixture);
        }
    }
}

static void so_many_that_the_index_does_not_tell_are_kicked_for(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    fake_device_put_avail_event(&fixture->device, 0x8000);
    ring_fixture_spin(fixture, 0x7fff);
    assert_false(l4vio_queue_needs_kick(&fixture->queue));
    fake_device_put_avail_event(&fixture->device, 0x7fff - 5);
    ring_fixture_spin(fixture, 0xffff);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
    fake_device_put_avail_event(&fixture->device, 0x7ffe - 5);
    ring_fixture_spin(fixture, 0x10000);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
    fake_device_put_avail_event(&fixture->device, 0x1000);
    ring_fixture_spin(fixture, 0x10003);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
}

/* Clauses D-2.7.10.1-5 and D-2.7.10.1-2. */
static void flags_and_event_are_not_mixed_up(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    fake_device_put_used_flags(&fixture->device, VIRTQ_USED_F_NO_NOTIFY);
    publish(fixture, 1);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));

    struct ring_fixture *flags = ring_fixture_create(8, BUFFER_LEVEL);
    fake_device_put_avail_event(&flags->device, 100);
    publish(flags, 1);
    assert_true(l4vio_queue_needs_kick(&flags->queue));
    fake_device_put_avail_event(&flags->device, 1);
    fake_device_put_used_flags(&flags->device, VIRTQ_USED_F_NO_NOTIFY);
    publish(flags, 1);
    assert_false(l4vio_queue_needs_kick(&flags->queue));
    ring_fixture_free(flags);
}

/* Clauses D-2.7.7.1-3 and D-2.7.7.1-4. */
static void arm_asks_for_the_next_completion(void **state)
{
    static const uint16_t starts[] = {0, 5, 0xfffe, 0xffff};
    struct ring_fixture *fixture = fixture_of(state, 8);

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        go_to(fixture, starts[i]);
        fake_device_wants_interrupt(&fixture->device);
        assert_false(l4vio_queue_arm(&fixture->queue));
        assert_int_equal(fake_device_used_event(&fixture->device), starts[i]);
        assert_int_equal(fake_device_avail_flags(&fixture->device), 0);
        publish(fixture, 3);
        fake_device_complete_all(&fixture->device, 8);
        assert_true(fake_device_wants_interrupt(&fixture->device));
        assert_true(l4vio_queue_arm(&fixture->queue));
        take_all(fixture);
        /* Once told is enough. */
        ring_fixture_spin(fixture, 2);
        assert_false(fake_device_wants_interrupt(&fixture->device));
    }
}

static void arm_after_asks_for_the_nth_completion(void **state)
{
    static const uint16_t starts[] = {0, 0xfffc, 0xffff};
    struct ring_fixture *fixture = fixture_of(state, 8);
    uint16_t head;

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        go_to(fixture, starts[i]);
        fake_device_wants_interrupt(&fixture->device);
        publish(fixture, 5);
        assert_false(l4vio_queue_arm_after(&fixture->queue, 4));
        assert_int_equal(fake_device_used_event(&fixture->device), (uint16_t)(starts[i] + 3));
        for (unsigned n = 1; n <= 5; n++) {
            assert_true(fake_device_next(&fixture->device, &head));
            fake_device_complete(&fixture->device, head, 8);
            assert_int_equal(fake_device_wants_interrupt(&fixture->device), n == 4);
        }
        assert_true(l4vio_queue_arm_after(&fixture->queue, 4));
        assert_true(l4vio_queue_arm_after(&fixture->queue, 100)); /* Cut to what is in flight. */
        assert_int_equal(fake_device_used_event(&fixture->device), (uint16_t)(starts[i] + 4));
        take_all(fixture);
    }
}

static void a_disarmed_queue_is_not_told_of_completions(void **state)
{
    static const uint16_t starts[] = {0, 9, 0xffff};
    struct ring_fixture *fixture = fixture_of(state, 8);

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        go_to(fixture, starts[i]);
        fake_device_wants_interrupt(&fixture->device);
        l4vio_queue_arm(&fixture->queue);
        l4vio_queue_disarm(&fixture->queue);
        assert_true(l4vio_queue_is_disarmed(&fixture->queue));
        assert_int_equal(fake_device_avail_flags(&fixture->device), 0);
        for (unsigned n = 0; n < 3; n++) {
            publish(fixture, 8);
            take_all(fixture);
            assert_false(fake_device_wants_interrupt(&fixture->device));
        }
    }
}

/* The place of the event lies in a cache line of the device's interest: it is left alone if it is
 * behind already. */
static void disarm_writes_only_what_is_ahead(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    ring_fixture_spin(fixture, 4);
    assert_int_equal(fake_device_used_event(&fixture->device), 0);
    l4vio_queue_disarm(&fixture->queue);
    assert_int_equal(fake_device_used_event(&fixture->device), 0);
    l4vio_queue_arm(&fixture->queue);
    assert_int_equal(fake_device_used_event(&fixture->device), 4);
    l4vio_queue_disarm(&fixture->queue);
    assert_int_equal(fake_device_used_event(&fixture->device), 3);
}

static void the_device_is_seen_to_ask_for_nothing(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    assert_false(l4vio_queue_device_disarmed(&fixture->queue));
    publish(fixture, 2);
    assert_true(l4vio_queue_device_disarmed(&fixture->queue));
    fake_device_put_avail_event(&fixture->device, 2);
    assert_false(l4vio_queue_device_disarmed(&fixture->queue));
}

/* Both start anew with the rings. */
static void events_start_anew_with_the_rings(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    ring_fixture_spin(fixture, 100);
    l4vio_queue_arm(&fixture->queue);
    l4vio_queue_disarm(&fixture->queue);
    ring_fixture_reset(fixture);
    assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
    fixture->queue.live = true;
    assert_int_equal(fake_device_used_event(&fixture->device), 0);
    assert_false(l4vio_queue_is_disarmed(&fixture->queue));
    publish(fixture, 1);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
    l4vio_queue_disarm(&fixture->queue);
    assert_int_equal(fake_device_used_event(&fixture->device), 0xffff);
    ring_fixture_reset(fixture);
    assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
    l4vio_queue_disarm(&fixture->queue);
    assert_int_equal(fake_device_used_event(&fixture->device), 0xffff);
}

#define QUEUE_TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(a_kick_is_wanted_when_avail_event_was_passed),
        QUEUE_TEST(so_many_that_the_index_does_not_tell_are_kicked_for),
        QUEUE_TEST(flags_and_event_are_not_mixed_up),
        QUEUE_TEST(arm_asks_for_the_next_completion),
        QUEUE_TEST(arm_after_asks_for_the_nth_completion),
        QUEUE_TEST(a_disarmed_queue_is_not_told_of_completions),
        QUEUE_TEST(disarm_writes_only_what_is_ahead),
        QUEUE_TEST(the_device_is_seen_to_ask_for_nothing),
        QUEUE_TEST(events_start_anew_with_the_rings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
