/* SPDX-License-Identifier: MIT */
/* The descriptor level over a packed ring: chains of private ids, of which the device never hears. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <l4vio/wire/ring.h>

#include "descriptor_chain.h"
#include "fake_device_packed.h"

static const unsigned ways[] = {0, PACKED_IN_ORDER, PACKED_ORDER_PLATFORM,
                                PACKED_IN_ORDER | PACKED_EVENT_IDX};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* Chains of all lengths, completed in the order they came or the other way round, for many rounds. */
static void chains_go_round(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture =
            packed_fixture_create(11, ways[way] | PACKED_DESCRIPTOR_LEVEL);
        struct l4vio_queue *queue = &fixture->queue;
        for (unsigned round = 0; round < 200; round++) {
            uint16_t heads[3];
            struct fake_packed_buffer seen[3];
            for (unsigned i = 0; i < 3; i++) {
                unsigned count = 1 + (round + i) % 4;
                if (l4vio_queue_room(queue) < count)
                    count = l4vio_queue_room(queue);
                heads[i] = make_chain(queue, count, 1);
                assert_int_equal(l4vio_descriptor_enqueue(queue, heads[i]), L4VIO_OK);
                assert_null(l4vio_descriptor_get(queue, heads[i]));
                assert_true(fake_packed_next(&fixture->device, &seen[i]));
                assert_int_equal(seen[i].entries, count);
                struct fake_packed_descriptor at = fake_packed_at(&fixture->device, seen[i].place);
                assert_int_equal(at.address, 0x1000u * heads[i]);
            }
            for (unsigned i = 0; i < 3; i++) {
                unsigned which = way % 2 ? i : 2 - i;
                uint32_t length;
                assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), L4VIO_EOQ);
                fake_packed_use(&fixture->device, seen[which].id, seen[which].entries, 3 + i);
                assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), heads[which]);
                assert_int_equal(length, 3 + i);
                uint16_t tail = tail_of(queue, heads[which]);
                assert_int_equal(l4vio_descriptor_free(queue, heads[which], tail), L4VIO_OK);
            }
            assert_int_equal(l4vio_queue_room(queue), 11);
        }
        packed_fixture_free(fixture);
    }
}

static void a_chain_in_flight_is_not_freed_and_a_full_ring_says_again(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture =
            packed_fixture_create(5, ways[way] | PACKED_DESCRIPTOR_LEVEL);
        struct l4vio_queue *queue = &fixture->queue;
        uint16_t first = make_chain(queue, 3, 0);
        uint16_t second = make_chain(queue, 2, 2);
        assert_int_equal(l4vio_descriptor_enqueue(queue, first), L4VIO_OK);
        assert_int_equal(l4vio_descriptor_enqueue(queue, second), L4VIO_OK);
        assert_int_equal(l4vio_descriptor_free(queue, first, tail_of(queue, first)), L4VIO_EBUSY);
        assert_int_equal(l4vio_descriptor_enqueue(queue, first), L4VIO_EINVAL);
        fake_packed_use_all(&fixture->device, 0);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), first);
        assert_int_equal(l4vio_descriptor_free(queue, second, second), L4VIO_EBUSY);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), second);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
        packed_fixture_free(fixture);
    }
}

/* In order, one used descriptor stands for chains too. */
static void a_batch_of_chains_comes_back_one_by_one(void **state)
{
    struct packed_fixture *fixture =
        packed_fixture_create(8, PACKED_IN_ORDER | PACKED_DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    uint16_t heads[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        heads[i] = make_chain(queue, 1 + i, 1);
        assert_int_equal(l4vio_descriptor_enqueue(queue, heads[i]), L4VIO_OK);
    }
    assert_int_equal(fake_packed_use_batch(&fixture->device, 5), 3);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t length;
        assert_true(l4vio_queue_has_used(queue));
        assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), heads[i]);
        assert_int_equal(length, i < 2 ? 16 : 5);
    }
    assert_false(l4vio_queue_has_used(queue));
    packed_fixture_free(fixture);
}

static void bad_answers_break_the_queue(void **state)
{
    static const uint16_t ids[] = {8, 0x8000, 0xffff, 7};
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned i = 0; i < 4; i++) {
            struct packed_fixture *fixture =
                packed_fixture_create(8, ways[way] | PACKED_DESCRIPTOR_LEVEL);
            struct l4vio_queue *queue = &fixture->queue;
            struct l4vio_error error;
            uint16_t id = make_chain(queue, 2, 1);
            assert_int_equal(l4vio_descriptor_enqueue(queue, id), L4VIO_OK);
            fake_packed_put_used(&fixture->device, ids[i], 4);
            assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
            assert_int_equal(l4vio_queue_broken_error(queue, &error), L4VIO_EBADPROTO);
            assert_int_equal(error.value, ids[i]);
            assert_int_equal(l4vio_descriptor_free(queue, id, id), L4VIO_EBUSY);
            packed_fixture_free(fixture);
        }
    }
}

static void detach_hands_back_heads(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture =
            packed_fixture_create(8, ways[way] | PACKED_DESCRIPTOR_LEVEL);
        struct l4vio_queue *queue = &fixture->queue;
        unsigned expected = 0;
        unsigned seen = 0;
        void *cookies[8];
        for (unsigned i = 0; i < 3; i++) {
            uint16_t head = make_chain(queue, 1 + i, 1);
            assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_OK);
            expected |= 1u << head;
        }
        packed_fixture_reset(fixture);
        assert_int_equal(l4vio_queue_detach(queue, cookies, 8), 3);
        for (unsigned i = 0; i < 3; i++) {
            uint16_t head = (uint16_t)(uintptr_t)cookies[i];
            seen |= 1u << head;
            assert_int_equal(l4vio_descriptor_free(queue, head, tail_of(queue, head)), L4VIO_OK);
        }
        assert_int_equal(seen, expected);
        assert_int_equal(l4vio_queue_room(queue), 8);
        packed_fixture_free(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_go_round),
        cmocka_unit_test(a_chain_in_flight_is_not_freed_and_a_full_ring_says_again),
        cmocka_unit_test(a_batch_of_chains_comes_back_one_by_one),
        cmocka_unit_test(bad_answers_break_the_queue),
        cmocka_unit_test(detach_hands_back_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
