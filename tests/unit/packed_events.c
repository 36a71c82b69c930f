/* SPDX-License-Identifier: MIT */
/* Packed ring: when the driver kicks, what it asks the device for, and what a kick carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_packed.h"

#define ENABLE   0u
#define DISABLE  1u
#define DESC     2u
#define RESERVED 3u
#define WRAP     0x8000u

static void publish(struct packed_fixture *fixture, unsigned requests, unsigned buffers)
{
    for (unsigned i = 0; i < requests; i++)
        assert_int_equal(packed_fixture_add(fixture, buffers, 8, i), 1);
    l4vio_queue_publish(&fixture->queue);
}

/* Clause D-2.8.21.3.1-1 is a barrier, which b04 looks at; here is what is decided behind it. */
static void kicks_follow_the_flags_of_the_device(void **state)
{
    static const unsigned features[] = {0, PACKED_EVENT_IDX, PACKED_IN_ORDER};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct packed_fixture *fixture = packed_fixture_create(8, features[i]);
        struct l4vio_queue *queue = &fixture->queue;

        assert_false(l4vio_queue_needs_kick(queue));
        packed_fixture_add(fixture, 1, 8, 0);
        assert_false(l4vio_queue_needs_kick(queue));
        l4vio_queue_publish(queue);
        assert_true(l4vio_queue_needs_kick(queue));
        assert_false(l4vio_queue_needs_kick(queue));

        fake_packed_put_device_event(&fixture->device, DISABLE, 0);
        assert_true(l4vio_queue_device_disarmed(queue));
        publish(fixture, 1, 1);
        assert_false(l4vio_queue_needs_kick(queue));
        assert_int_equal(queue->counters.kicks_suppressed, 1);

        /* The reserved value counts as enabled, and so do bits that mean nothing. */
        fake_packed_put_device_event(&fixture->device, RESERVED, 0);
        assert_false(l4vio_queue_device_disarmed(queue));
        publish(fixture, 1, 1);
        assert_true(l4vio_queue_needs_kick(queue));
        fake_packed_put_device_event(&fixture->device, 0xfffc | ENABLE, 0x1234);
        publish(fixture, 1, 1);
        assert_true(l4vio_queue_needs_kick(queue));
        fake_packed_put_device_event(&fixture->device, 0xfffc | DISABLE, 0x1234);
        publish(fixture, 1, 1);
        assert_false(l4vio_queue_needs_kick(queue));
        packed_fixture_free(fixture);
    }
}

/* Without EVENT_IDX there is no place to wait for. */
static void a_place_without_event_idx_counts_as_enabled(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(8, 0);
    (void)state;
    fake_packed_put_device_event(&fixture->device, DESC, 5 | WRAP);
    publish(fixture, 1, 1);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
    packed_fixture_free(fixture);
}

/* Every place that a device may ask for, every number of requests at once, at every turn of the ring:
 * a kick if and only if a descriptor was put at that place. */
static void kicks_follow_the_place_of_the_device(void **state)
{
    (void)state;
    for (uint16_t size = 1; size <= 6; size++) {
        for (unsigned turn = 0; turn < 2u * size; turn++) {
            for (unsigned count = 1; count <= size; count++) {
                for (unsigned event = 0; event < 2u * size; event++) {
                    struct packed_fixture *fixture = packed_fixture_create(size, PACKED_EVENT_IDX);
                    unsigned off = event % size | (event < size ? WRAP : 0);
                    packed_fixture_spin(fixture, turn);
                    l4vio_queue_needs_kick(&fixture->queue);
                    fake_packed_put_device_event(&fixture->device, DESC, (uint16_t)off);
                    publish(fixture, count, 1);
                    unsigned distance = (event + 2u * size - turn) % (2u * size);
                    assert_int_equal(l4vio_queue_needs_kick(&fixture->queue), distance < count);
                    packed_fixture_free(fixture);
                }
            }
        }
    }
}

/* A kick decision can be left out for long: what was published since is more than a round. */
static void more_than_a_round_without_a_decision_kicks(void **state)
{
    (void)state;
    for (unsigned count = 5; count < 25; count++) {
        for (uint16_t place = 0; place < 4; place++) {
            struct packed_fixture *fixture = packed_fixture_create(4, PACKED_EVENT_IDX);
            packed_fixture_spin(fixture, 3);
            l4vio_queue_needs_kick(&fixture->queue);
            packed_fixture_spin(fixture, count);
            fake_packed_put_device_event(&fixture->device, DESC,
                                         (uint16_t)(place | (count % 2 ? WRAP : 0)));
            assert_true(l4vio_queue_needs_kick(&fixture->queue));
            packed_fixture_free(fixture);
        }
    }
}

/* Nor do the places tell if it was chains that went round. */
static void more_than_a_round_of_chains_kicks(void **state)
{
    (void)state;
    for (uint16_t place = 0; place < 8; place++) {
        struct packed_fixture *fixture = packed_fixture_create(8, PACKED_EVENT_IDX);
        struct l4vio_completion done;
        l4vio_queue_needs_kick(&fixture->queue);
        for (unsigned i = 0; i < 8; i++) {
            publish(fixture, 1, 2);
            assert_int_equal(fake_packed_use_all(&fixture->device, 8), 1);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
        }
        fake_packed_put_device_event(&fixture->device, DESC, (uint16_t)(place | WRAP));
        assert_true(l4vio_queue_needs_kick(&fixture->queue));
        packed_fixture_free(fixture);
    }
}

/* What is added and not published does not count. */
static void requests_that_wait_to_be_published_are_not_kicked_for(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(8, PACKED_EVENT_IDX);
    (void)state;
    publish(fixture, 1, 1);
    for (unsigned i = 0; i < 3; i++)
        packed_fixture_add(fixture, 1, 8, i);
    fake_packed_put_device_event(&fixture->device, DESC, 1 | WRAP);
    assert_false(l4vio_queue_needs_kick(&fixture->queue));
    l4vio_queue_publish(&fixture->queue);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
    packed_fixture_free(fixture);
}

/* A place that the ring does not have: a kick, rather than none for ever. */
static void a_place_outside_the_ring_kicks(void **state)
{
    static const uint16_t places[] = {7, 8, 0x7fff, 7 | WRAP, 0xffff};
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct packed_fixture *fixture = packed_fixture_create(7, PACKED_EVENT_IDX);
        fake_packed_put_device_event(&fixture->device, DESC, places[i]);
        for (unsigned n = 0; n < 20; n++) {
            packed_fixture_spin(fixture, 1);
            assert_true(l4vio_queue_needs_kick(&fixture->queue));
        }
        packed_fixture_free(fixture);
    }
}

static void disarm_and_arm_write_the_flags(void **state)
{
    static const unsigned features[] = {0, PACKED_IN_ORDER};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct packed_fixture *fixture = packed_fixture_create(8, features[i]);
        struct l4vio_queue *queue = &fixture->queue;
        struct l4vio_completion done[2];

        assert_int_equal(fake_packed_driver_event(&fixture->device), ENABLE);
        l4vio_queue_disarm(queue);
        assert_true(l4vio_queue_is_disarmed(queue));
        assert_int_equal(fake_packed_driver_event(&fixture->device), DISABLE << 16);
        publish(fixture, 2, 1);
        assert_false(l4vio_queue_has_used(queue));
        assert_false(l4vio_queue_arm(queue));
        assert_int_equal(fake_packed_driver_event(&fixture->device), ENABLE);
        fake_packed_use_all(&fixture->device, 8);
        assert_true(l4vio_queue_has_used(queue));
        assert_true(l4vio_queue_arm(queue));
        assert_int_equal(l4vio_queue_get_used(queue, done, 2), 2);
        assert_false(l4vio_queue_has_used(queue));
        /* Without EVENT_IDX it is the next one. */
        publish(fixture, 2, 1);
        assert_false(l4vio_queue_arm_after(queue, 2));
        assert_int_equal(fake_packed_driver_event(&fixture->device), ENABLE);
        fake_packed_use_all(&fixture->device, 8);
        assert_true(l4vio_queue_arm_after(queue, 2));
        packed_fixture_free(fixture);
    }
}

/* After `wanted` completions at the latest, and if all have as many entries, not before. */
static void wake_after(unsigned features, unsigned turn, unsigned in_flight, unsigned wanted,
                       unsigned buffers, bool different)
{
    struct packed_fixture *fixture = packed_fixture_create(23, PACKED_EVENT_IDX | features);
    struct l4vio_queue *queue = &fixture->queue;
    struct fake_packed_buffer seen[32];
    struct l4vio_completion done;

    packed_fixture_spin(fixture, turn);
    for (unsigned i = 0; i < in_flight; i++)
        packed_fixture_add(fixture, different ? 1 + i % buffers : buffers, 8, i);
    l4vio_queue_publish(queue);
    for (unsigned i = 0; i < in_flight; i++)
        assert_true(fake_packed_next(&fixture->device, &seen[i]));
    bool armed_late = turn % 2;
    if (!armed_late)
        assert_false(l4vio_queue_arm_after(queue, wanted));
    for (unsigned i = 1; i <= in_flight; i++) {
        unsigned which = features & PACKED_IN_ORDER ? i - 1 : in_flight - i;
        fake_packed_use(&fixture->device, seen[which].id, seen[which].entries, 4);
        /* A driver that comes late either sees them, or is told of the next. */
        if (armed_late && l4vio_queue_arm_after(queue, wanted)) {
            assert_true(different ? i <= wanted : i == wanted);
            break;
        }
        if (!armed_late && fake_packed_has_to_notify(&fixture->device, seen[which].entries)) {
            assert_true(different ? i <= wanted : i == wanted);
            assert_true(l4vio_queue_arm_after(queue, wanted));
            break;
        }
        assert_true(i < wanted);
    }
    assert_int_equal(l4vio_queue_get_used(queue, &done, 1), 1);
    packed_fixture_free(fixture);
}

static void the_device_is_asked_for_a_notification_after_many(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++)
        for (unsigned turn = 0; turn < 46; turn++)
            for (unsigned buffers = 1; buffers <= 4; buffers++)
                for (unsigned in_flight = 1; in_flight * buffers <= 23; in_flight++)
                    for (unsigned wanted = 1; wanted <= in_flight; wanted++) {
                        unsigned features = order ? PACKED_IN_ORDER : 0;
                        wake_after(features, turn, in_flight, wanted, buffers, false);
                        wake_after(features, turn, in_flight, wanted, buffers, true);
                    }
}

/* Some are known of already, by a batch of which a part was taken. */
static void in_order_what_was_taken_in_part_counts(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(16, PACKED_EVENT_IDX | PACKED_IN_ORDER);
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done[8];
    (void)state;

    publish(fixture, 4, 1);
    fake_packed_use_batch(&fixture->device, 8);
    publish(fixture, 4, 1);
    assert_int_equal(l4vio_queue_get_used(queue, done, 1), 1);
    assert_true(l4vio_queue_has_used(queue));
    assert_true(l4vio_queue_arm(queue));
    assert_true(l4vio_queue_arm_after(queue, 3));
    assert_false(l4vio_queue_arm_after(queue, 4));
    fake_packed_use_batch(&fixture->device, 8);
    assert_true(fake_packed_has_to_notify(&fixture->device, 4));
    assert_true(l4vio_queue_arm_after(queue, 7));
    assert_int_equal(l4vio_queue_get_used(queue, done, 8), 7);
    packed_fixture_free(fixture);
}

/* Clause D-2.8.16-3, section 2.9: the first descriptor that is not available, and the wrap counter. */
static void a_kick_carries_the_next_place_and_its_round(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        struct packed_fixture *fixture =
            packed_fixture_create(3, PACKED_NOTIFICATION_DATA | (order ? PACKED_IN_ORDER : 0));
        struct l4vio_queue *queue = &fixture->queue;
        for (unsigned i = 0; i < 13; i++) {
            unsigned expected = (i % 3 | (i / 3 % 2 ? 0 : WRAP)) << 16;
            assert_int_equal(l4vio_queue_kick_data(queue), expected);
            packed_fixture_add(fixture, 1, 8, i);
            assert_int_equal(l4vio_queue_kick_data(queue), expected);
            struct l4vio_completion done;
            l4vio_queue_publish(queue);
            fake_packed_use_all(&fixture->device, 8);
            l4vio_queue_get_used(queue, &done, 1);
        }
        packed_fixture_free(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kicks_follow_the_flags_of_the_device),
        cmocka_unit_test(a_place_without_event_idx_counts_as_enabled),
        cmocka_unit_test(kicks_follow_the_place_of_the_device),
        cmocka_unit_test(more_than_a_round_without_a_decision_kicks),
        cmocka_unit_test(more_than_a_round_of_chains_kicks),
        cmocka_unit_test(requests_that_wait_to_be_published_are_not_kicked_for),
        cmocka_unit_test(a_place_outside_the_ring_kicks),
        cmocka_unit_test(disarm_and_arm_write_the_flags),
        cmocka_unit_test(the_device_is_asked_for_a_notification_after_many),
        cmocka_unit_test(in_order_what_was_taken_in_part_counts),
        cmocka_unit_test(a_kick_carries_the_next_place_and_its_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
