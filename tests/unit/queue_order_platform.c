/* SPDX-License-Identifier: MIT */
/*
 * ORDER_PLATFORM on the driver's queue: the calls that order differently do the same otherwise, and the
 * platform's barriers are there where they belong (tests/build/order_platform.sh looks at the code).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static const int split[] = {L4VIO_F_ORDER_PLATFORM, RING_FIXTURE_END};
static const int split_events[] = {L4VIO_F_ORDER_PLATFORM, L4VIO_F_EVENT_IDX, RING_FIXTURE_END};
static const int split_in_order[] = {L4VIO_F_ORDER_PLATFORM, L4VIO_F_IN_ORDER, RING_FIXTURE_END};
static const int *const combinations[] = {split, split_events, split_in_order};
#define COMBINATIONS 3

/* Clause D-6.1-7. */
static void requests_go_and_come(void **state)
{
    *state = NULL;
    for (unsigned i = 0; i < COMBINATIONS; i++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, combinations[i]);
        struct l4vio_completion done[8];
        ring_fixture_spin(fixture, 65533);
        for (unsigned round = 0; round < 5; round++) {
            for (uintptr_t n = 0; n < 8; n++)
                assert_int_equal(ring_fixture_add(fixture, 8, n), 1);
            assert_int_equal(fake_device_complete_all(&fixture->device, 8), 0);
            l4vio_queue_publish(&fixture->queue);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_device_complete_all(&fixture->device, 8), 8);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 1), 1);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done + 1, 8), 7);
            for (uintptr_t n = 0; n < 8; n++)
                assert_int_equal((uintptr_t)done[n].cookie, n);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 0);
        }
        ring_fixture_free(fixture);
    }
}

static void suppression_works_in_both_directions(void **state)
{
    *state = NULL;
    for (unsigned i = 0; i < COMBINATIONS; i++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, combinations[i]);
        ring_fixture_add(fixture, 8, 0);
        l4vio_queue_publish(&fixture->queue);
        assert_true(l4vio_queue_needs_kick(&fixture->queue));
        fake_device_put_used_flags(&fixture->device, VIRTQ_USED_F_NO_NOTIFY);
        fake_device_put_avail_event(&fixture->device, 7);
        ring_fixture_add(fixture, 8, 0);
        l4vio_queue_publish(&fixture->queue);
        assert_false(l4vio_queue_needs_kick(&fixture->queue));
        assert_false(l4vio_queue_arm(&fixture->queue));
        fake_device_complete_all(&fixture->device, 8);
        assert_true(l4vio_queue_arm(&fixture->queue));
        ring_fixture_free(fixture);
    }
}

static void a_broken_queue_stays_broken(void **state)
{
    *state = NULL;
    for (unsigned i = 0; i < COMBINATIONS; i++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, combinations[i]);
        struct l4vio_completion done;
        void *cookie;
        ring_fixture_add(fixture, 8, 0);
        l4vio_queue_publish(&fixture->queue);
        fake_device_complete(&fixture->device, 5, 8);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), L4VIO_EBADPROTO);
        assert_int_equal(ring_fixture_add(fixture, 8, 0), L4VIO_EBADPROTO);
        ring_fixture_reset(fixture);
        assert_int_equal(l4vio_queue_detach(&fixture->queue, &cookie, 1), 1);
        assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
        fixture->queue.live = true;
        ring_fixture_spin(fixture, 20);
        ring_fixture_free(fixture);
    }
}

static void the_descriptor_level_publishes_too(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create_with(8, DESCRIPTOR_LEVEL, split);
    uint32_t length;
    *state = NULL;
    uint16_t id = l4vio_descriptor_alloc(&fixture->queue);
    l4vio_descriptor_get(&fixture->queue, id)->length_bytes = 8;
    assert_int_equal(l4vio_descriptor_enqueue(&fixture->queue, id), L4VIO_OK);
    assert_int_equal(fake_device_complete_all(&fixture->device, 0), 1);
    assert_int_equal(l4vio_descriptor_find_next_used(&fixture->queue, &length), id);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_go_and_come),
        cmocka_unit_test(suppression_works_in_both_directions),
        cmocka_unit_test(a_broken_queue_stays_broken),
        cmocka_unit_test(the_descriptor_level_publishes_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
