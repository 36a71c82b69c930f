/* SPDX-License-Identifier: MIT */
/* Packed ring with IN_ORDER: one used descriptor for a batch, taken whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_packed.h"

static const unsigned ways[] = {PACKED_IN_ORDER, PACKED_IN_ORDER | PACKED_ORDER_PLATFORM};

/* The last of a batch has the length in the used descriptor, those before are as if fully written. */
static void a_batch_is_completed_by_its_last_request(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        for (unsigned turn = 0; turn < 20; turn++) {
            struct packed_fixture *fixture = packed_fixture_create(10, ways[way]);
            struct l4vio_completion done[10];
            packed_fixture_spin(fixture, turn);
            for (unsigned i = 0; i < 5; i++)
                assert_int_equal(packed_fixture_add(fixture, 1 + i % 3, 100 + i, i), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_packed_use_batch(&fixture->device, 7), 5);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 10), 5);
            for (unsigned i = 0; i < 5; i++) {
                assert_int_equal((uintptr_t)done[i].cookie, i);
                assert_int_equal(done[i].length_bytes, i < 4 ? (1 + i % 3) * (100 + i) : 7);
            }
            assert_int_equal(l4vio_queue_room(&fixture->queue), 10);
            assert_false(l4vio_queue_has_used(&fixture->queue));
            packed_fixture_spin(fixture, 20);
            packed_fixture_free(fixture);
        }
    }
}

/* Batches of all sizes, taken in pieces of all sizes, with new requests in between. */
static void a_batch_is_taken_in_pieces(void **state)
{
    (void)state;
    for (unsigned batch = 1; batch <= 7; batch++) {
        for (unsigned piece = 1; piece <= 8; piece++) {
            struct packed_fixture *fixture = packed_fixture_create(13, ways[piece % 2]);
            struct l4vio_queue *queue = &fixture->queue;
            struct l4vio_completion done[8];
            uintptr_t sent = 0;
            uintptr_t received = 0;
            for (unsigned round = 0; round < 200; round++) {
                for (unsigned i = 0; i < batch; i++)
                    if (packed_fixture_add(fixture, 1 + (unsigned)sent % 3, 8, sent) == 1)
                        sent++;
                l4vio_queue_publish(queue);
                /* The device does not wait until all is taken. */
                if (round % 3 != 2)
                    fake_packed_use_batch(&fixture->device, 3);
                int count = l4vio_queue_get_used(queue, done, piece);
                assert_true(count >= 0 && count <= (int)piece);
                for (int i = 0; i < count; i++)
                    assert_int_equal((uintptr_t)done[i].cookie, received++);
                assert_int_equal(l4vio_queue_in_flight(queue), sent - received);
            }
            assert_true(received > 100);
            packed_fixture_free(fixture);
        }
    }
}

/* Nothing that was added behind a batch comes with it. */
static void what_comes_behind_a_batch_is_not_completed(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(8, PACKED_IN_ORDER);
    struct l4vio_completion done[8];
    (void)state;

    for (unsigned i = 0; i < 3; i++)
        packed_fixture_add(fixture, 1, 8, i);
    l4vio_queue_publish(&fixture->queue);
    fake_packed_use_batch(&fixture->device, 8);
    for (unsigned i = 3; i < 6; i++)
        packed_fixture_add(fixture, 1, 8, i);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
    l4vio_queue_publish(&fixture->queue);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 1);
    assert_int_equal((uintptr_t)done[0].cookie, 2);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 1), 0);
    assert_int_equal(fake_packed_use_all(&fixture->device, 8), 3);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 3);
    packed_fixture_free(fixture);
}

/* The whole ring in one batch, of which the used descriptor is where the first was. */
static void a_batch_may_be_the_whole_ring(void **state)
{
    (void)state;
    for (uint16_t size = 1; size <= 9; size++) {
        struct packed_fixture *fixture = packed_fixture_create(size, PACKED_IN_ORDER);
        struct l4vio_completion done[9];
        for (unsigned round = 0; round < 5; round++) {
            packed_fixture_spin(fixture, 1);
            for (unsigned i = 0; i < size; i++)
                assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_packed_use_batch(&fixture->device, 8), size);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), size);
        }
        packed_fixture_free(fixture);
    }
}

/* A reset in the middle of a batch that is known to be complete: what was not taken is detached. */
static void a_reset_forgets_what_is_known(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(8, PACKED_IN_ORDER);
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done[8];
    void *cookies[8];
    (void)state;

    for (uintptr_t i = 0; i < 5; i++)
        packed_fixture_add(fixture, 1, 8, i);
    l4vio_queue_publish(queue);
    fake_packed_use_batch(&fixture->device, 8);
    assert_int_equal(l4vio_queue_get_used(queue, done, 2), 2);
    packed_fixture_reset(fixture);
    assert_int_equal(l4vio_queue_detach(queue, cookies, 8), 3);
    assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_OK);
    queue->live = true;
    assert_false(l4vio_queue_has_used(queue));
    assert_int_equal(l4vio_queue_get_used(queue, done, 8), 0);
    packed_fixture_spin(fixture, 20);
    packed_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_completed_by_its_last_request),
        cmocka_unit_test(a_batch_is_taken_in_pieces),
        cmocka_unit_test(what_comes_behind_a_batch_is_not_completed),
        cmocka_unit_test(a_batch_may_be_the_whole_ring),
        cmocka_unit_test(a_reset_forgets_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
