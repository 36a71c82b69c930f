/* SPDX-License-Identifier: MIT */
/*
 * A hostile device on a packed ring: what it may not write into used descriptors, at every one of which
 * the queue breaks, or clamps. Nothing of it makes the driver look or write outside of its memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_packed.h"

static const unsigned ways[] = {0, PACKED_IN_ORDER, PACKED_ORDER_PLATFORM,
                                PACKED_IN_ORDER | PACKED_ORDER_PLATFORM};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static struct packed_fixture *fixture_with(unsigned way, unsigned requests)
{
    struct packed_fixture *fixture = packed_fixture_create(9, ways[way]);
    packed_fixture_spin(fixture, 5);
    for (unsigned i = 0; i < requests; i++)
        assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
    l4vio_queue_publish(&fixture->queue);
    return fixture;
}

/* Broken with this value, and nothing works any more, until the rings are initialised again. */
static void assert_breaks(struct packed_fixture *fixture, unsigned max, uint64_t value)
{
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done[9];
    struct l4vio_error error = {0};
    void *cookies[9];

    assert_true(l4vio_queue_has_used(queue));
    assert_int_equal(l4vio_queue_get_used(queue, done, max), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(queue, &error), L4VIO_EBADPROTO);
    assert_int_equal(error.value, value);
    assert_int_equal(l4vio_queue_get_used(queue, done, max), L4VIO_EBADPROTO);
    assert_int_equal(packed_fixture_add(fixture, 1, 8, 0), L4VIO_EBADPROTO);
    l4vio_queue_publish(queue);
    assert_false(l4vio_queue_needs_kick(queue));
    assert_true(l4vio_queue_has_used(queue));
    assert_true(l4vio_queue_arm(queue));

    packed_fixture_reset(fixture);
    int in_flight = (int)l4vio_queue_in_flight(queue);
    assert_int_equal(l4vio_queue_detach(queue, cookies, 9), in_flight);
    assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_OK);
    queue->live = true;
    packed_fixture_spin(fixture, 30);
    packed_fixture_free(fixture);
}

static void used_id_out_of_range_breaks_queue(void **state)
{
    static const uint16_t ids[] = {9, 10, 0x7fff, 0x8000, 0xffff};
    (void)state;
    for (unsigned way = 0; way < WAYS; way++)
        for (unsigned i = 0; i < 5; i++)
            for (unsigned max = 1; max <= 2; max++) {
                struct packed_fixture *fixture = fixture_with(way, 2);
                fake_packed_put_used(&fixture->device, ids[i], 8);
                assert_breaks(fixture, max, ids[i]);
            }
}

/* All ids but the two that are in flight. */
static void used_id_not_in_flight_breaks_queue(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (uint16_t id = 0; id < 9; id++) {
            struct packed_fixture *fixture = fixture_with(way, 2);
            struct fake_packed_buffer seen[2];
            assert_true(fake_packed_next(&fixture->device, &seen[0]));
            assert_true(fake_packed_next(&fixture->device, &seen[1]));
            if (id == seen[0].id || id == seen[1].id) {
                packed_fixture_free(fixture);
                continue;
            }
            fake_packed_put_used(&fixture->device, id, 8);
            assert_breaks(fixture, 1 + id % 2, id);
        }
    }
}

static void the_same_id_twice_breaks_queue(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = fixture_with(way, 3);
        struct l4vio_completion done[9];
        struct fake_packed_buffer seen;
        assert_true(fake_packed_next(&fixture->device, &seen));
        fake_packed_use(&fixture->device, seen.id, 1, 8);
        fake_packed_use(&fixture->device, seen.id, 1, 8);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), 1);
        assert_breaks(fixture, 9, seen.id);
    }
}

/* Looking how much there is, before sleeping, comes to an end. */
static void the_same_id_twice_does_not_stop_a_driver_that_arms(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(9, ways[way] | PACKED_EVENT_IDX);
        struct l4vio_completion done[9];
        struct fake_packed_buffer seen;
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_packed_next(&fixture->device, &seen));
        for (unsigned i = 0; i < 4; i++)
            fake_packed_use(&fixture->device, seen.id, 1, 8);
        assert_true(l4vio_queue_arm_after(&fixture->queue, 4));
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), 1);
        assert_breaks(fixture, 9, seen.id);
    }
}

/* Places inside a list are not requests. */
static void used_id_inside_a_list_breaks_queue(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(9, ways[way]);
        struct fake_packed_buffer seen;
        packed_fixture_spin(fixture, 13);
        assert_int_equal(packed_fixture_add(fixture, 4, 8, 0), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_packed_next(&fixture->device, &seen));
        uint16_t id = (uint16_t)((seen.id + 1u) % 9);
        fake_packed_put_used(&fixture->device, id, 8);
        assert_breaks(fixture, 1, id);
    }
}

static void completion_of_nothing_breaks_queue(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (uint16_t id = 0; id < 9; id++) {
            struct packed_fixture *fixture = fixture_with(way, 0);
            fake_packed_put_used(&fixture->device, id, 8);
            assert_breaks(fixture, 1 + id % 2, id);
        }
    }
}

/* Added, but not published: alone, and behind one that is. */
static void a_request_that_was_not_published_cannot_be_completed(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned published = 0; published < 2; published++) {
            for (unsigned which = 0; which < 3; which++) {
                for (unsigned max = 1; max <= 3; max += 2) {
                    struct packed_fixture *fixture = fixture_with(way, published);
                    for (unsigned i = 0; i < 3; i++)
                        assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
                    /* The ids behind the held one are in the ring already. */
                    uint16_t place = (uint16_t)((5u + published + which) % 9);
                    uint16_t id = which ? fake_packed_at(&fixture->device, place).id
                                        : (uint16_t)(fixture->queue.held_word >> 32);
                    fake_packed_put_used(&fixture->device, id, 8);
                    assert_breaks(fixture, max, id);
                }
            }
        }
    }
}

/* A true completion in between does not bring them into view, nor does a look at nothing. */
static void not_even_after_a_good_completion(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = fixture_with(way, 2);
        struct l4vio_completion done[9];
        struct fake_packed_buffer seen;
        assert_true(fake_packed_next(&fixture->device, &seen));
        assert_int_equal(packed_fixture_add(fixture, 1, 8, 7), 1);
        fake_packed_use(&fixture->device, seen.id, 1, 8);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), 1);
        assert_int_equal(packed_fixture_add(fixture, 1, 8, 8), 1);
        uint16_t id = fake_packed_at(&fixture->device, 8).id;
        fake_packed_put_used(&fixture->device, id, 8);
        assert_breaks(fixture, 9, id);
    }
}

/* In order, a batch cannot reach into what is not published. */
static void a_batch_ends_with_what_was_published(void **state)
{
    (void)state;
    for (unsigned way = 1; way < WAYS; way += 2) {
        struct packed_fixture *fixture = fixture_with(way, 3);
        struct l4vio_completion done[9];
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
        fake_packed_use(&fixture->device, 7, 3, 8); /* The last one published. */
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), 3);
        fake_packed_put_used(&fixture->device, 8, 8);
        assert_breaks(fixture, 9, 8);
    }
}

static void completions_before_the_bad_one_come_first(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = fixture_with(way, 3);
        struct l4vio_completion done[9];
        struct fake_packed_buffer seen[2];
        assert_true(fake_packed_next(&fixture->device, &seen[0]));
        assert_true(fake_packed_next(&fixture->device, &seen[1]));
        fake_packed_use(&fixture->device, seen[0].id, 1, 8);
        fake_packed_use(&fixture->device, seen[1].id, 1, 7);
        fake_packed_use(&fixture->device, 0x4000, 1, 7);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), 2);
        assert_int_equal((uintptr_t)done[1].cookie, 1);
        assert_int_equal(done[1].length_bytes, 7);
        assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 1);
        /* It is broken already: what is in the ring is not looked at. */
        fake_packed_put(&fixture->device, fixture->device.next_used, 0, 0, 0);
        assert_breaks(fixture, 9, 0x4000);
    }
}

static void used_length_above_the_buffer_is_clamped_and_counted(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned max = 1; max <= 3; max++) {
            struct packed_fixture *fixture = fixture_with(way, 2);
            struct l4vio_completion done[9];
            fake_packed_use_all(&fixture->device, UINT32_MAX);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, max), max < 2 ? 1 : 2);
            assert_int_equal(done[0].length_bytes, 8);
            assert_int_equal(fixture->queue.counters.clamped_lengths, max < 2 ? 1 : 2);
            packed_fixture_free(fixture);
        }
    }
}

static void used_length_above_the_buffer_breaks_a_strict_queue(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(9, ways[way] | PACKED_STRICT);
        packed_fixture_spin(fixture, 5);
        assert_int_equal(packed_fixture_add(fixture, 1, 8, 0), 1);
        l4vio_queue_publish(&fixture->queue);
        fake_packed_use_all(&fixture->device, 9);
        assert_breaks(fixture, 1 + way % 2, 9);
    }
}

/* Without the WRITE flag nothing was written, whatever the length says. */
static void length_without_the_write_flag_is_none(void **state)
{
    static const uint32_t lengths[] = {5, 0xffff};
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned i = 0; i < 8; i++) {
            struct packed_fixture *fixture = packed_fixture_create(9, ways[way] | PACKED_STRICT);
            unsigned buffers = 1 + i % 2;
            unsigned max = 1 + i / 2 % 2;
            struct l4vio_completion done[2];
            struct fake_packed_buffer seen;
            assert_int_equal(packed_fixture_add(fixture, buffers, 8, 0), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_true(fake_packed_next(&fixture->device, &seen));
            fake_packed_put(&fixture->device, 0, seen.id, lengths[i / 4],
                            FAKE_PACKED_AVAIL | FAKE_PACKED_USED);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, max), 1);
            assert_int_equal(done[0].length_bytes, 0);
            packed_fixture_free(fixture);
        }
    }
}

/* Flags of a used descriptor that mean nothing there. */
static void other_flags_do_not_matter(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = fixture_with(way, 1);
        struct l4vio_completion done[2];
        struct fake_packed_buffer seen;
        assert_true(fake_packed_next(&fixture->device, &seen));
        fake_packed_put(&fixture->device, 5, seen.id, 3, 0xffff);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 1);
        assert_int_equal(done[0].length_bytes, 3);
        packed_fixture_free(fixture);
    }
}

/* Bits of the round before or of none: not used, however often one looks. */
static void descriptors_of_the_wrong_round_are_not_used(void **state)
{
    static const uint16_t flags[] = {0, FAKE_PACKED_AVAIL, FAKE_PACKED_USED};
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned i = 0; i < 3; i++) {
            struct packed_fixture *fixture = fixture_with(way, 1);
            struct l4vio_completion done[2];
            struct fake_packed_buffer seen;
            assert_true(fake_packed_next(&fixture->device, &seen));
            fake_packed_put(&fixture->device, 5, seen.id, 3, flags[i]);
            assert_false(l4vio_queue_has_used(&fixture->queue));
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 1), 0);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 0);
            fake_packed_use(&fixture->device, seen.id, 1, 3);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 1);
            packed_fixture_free(fixture);
        }
    }
}

/* The driver never reads back what it wrote for the device: a device that overwrites all of the ring
 * with what is not used gets new requests as they should be. */
static void a_ring_that_was_scribbled_over_is_not_read_back(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = fixture_with(way, 2);
        struct l4vio_completion done[9];
        struct fake_packed_buffer seen;
        for (uint16_t place = 0; place < 9; place++)
            fake_packed_put(&fixture->device, place, 0x5a5a, 0x12345678, FAKE_PACKED_AVAIL);
        assert_int_equal(packed_fixture_add(fixture, 3, 8, 9), 1);
        l4vio_queue_publish(&fixture->queue);
        fixture->device.next_avail = 7;
        assert_true(fake_packed_next(&fixture->device, &seen));
        assert_int_equal(seen.entries, 3);
        if (way % 2 == 0) {
            fake_packed_use(&fixture->device, seen.id, 3, 24);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 9), 1);
            assert_int_equal((uintptr_t)done[0].cookie, 9);
        }
        assert_int_equal(fixture->queue.broken, L4VIO_OK);
        packed_fixture_free(fixture);
    }
}

/* Any bytes at all in the ring, for long: no crash, no completion twice, none of what is not there. */
static void random_bytes_break_the_queue_at_most(void **state)
{
    static const uint16_t flags[] = {0x8080, 0x8082, 0, 2, 0x80, 0x8000};
    unsigned random = 1;
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        struct packed_fixture *fixture = packed_fixture_create(
            (uint16_t)(1 + round % 9), ways[round % WAYS] | (round % 3 ? 0 : PACKED_EVENT_IDX));
        bool owned[64] = {false};
        for (unsigned step = 0; step < 60; step++) {
            struct l4vio_completion done[4];
            random = random * 1103515245u + 12345u;
            unsigned what = random >> 16;
            uintptr_t cookie = what % 64;
            if (!owned[cookie])
                owned[cookie] = packed_fixture_add(fixture, 1 + what % 3, 8, cookie) == 1;
            if (what % 3)
                l4vio_queue_publish(&fixture->queue);
            uint16_t place = (uint16_t)(what / 3 % fixture->device.size);
            if (what % 5 == 0)
                place = (uint16_t)fixture->queue.next_used;
            fake_packed_put(&fixture->device, place, (uint16_t)(what / 7 % 10), what % 17,
                            flags[what / 11 % 6]);
            l4vio_queue_arm_after(&fixture->queue, what % 4);
            int count = l4vio_queue_get_used(&fixture->queue, done, what % 5);
            for (int i = 0; i < count; i++) {
                assert_true((uintptr_t)done[i].cookie < 64);
                assert_true(owned[(uintptr_t)done[i].cookie]);
                assert_true(done[i].length_bytes <= 24);
                owned[(uintptr_t)done[i].cookie] = false;
            }
            if (count < 0)
                break;
        }
        void *cookies[9];
        packed_fixture_reset(fixture);
        int left = l4vio_queue_detach(&fixture->queue, cookies, 9);
        for (int i = 0; i < left; i++) {
            assert_true(owned[(uintptr_t)cookies[i]]);
            owned[(uintptr_t)cookies[i]] = false;
        }
        for (unsigned i = 0; i < 64; i++)
            assert_false(owned[i]);
        assert_int_equal(l4vio_queue_room(&fixture->queue), fixture->device.size);
        packed_fixture_free(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_id_out_of_range_breaks_queue),
        cmocka_unit_test(used_id_not_in_flight_breaks_queue),
        cmocka_unit_test(the_same_id_twice_breaks_queue),
        cmocka_unit_test(the_same_id_twice_does_not_stop_a_driver_that_arms),
        cmocka_unit_test(used_id_inside_a_list_breaks_queue),
        cmocka_unit_test(completion_of_nothing_breaks_queue),
        cmocka_unit_test(a_request_that_was_not_published_cannot_be_completed),
        cmocka_unit_test(not_even_after_a_good_completion),
        cmocka_unit_test(a_batch_ends_with_what_was_published),
        cmocka_unit_test(completions_before_the_bad_one_come_first),
        cmocka_unit_test(used_length_above_the_buffer_is_clamped_and_counted),
        cmocka_unit_test(used_length_above_the_buffer_breaks_a_strict_queue),
        cmocka_unit_test(length_without_the_write_flag_is_none),
        cmocka_unit_test(other_flags_do_not_matter),
        cmocka_unit_test(descriptors_of_the_wrong_round_are_not_used),
        cmocka_unit_test(a_ring_that_was_scribbled_over_is_not_read_back),
        cmocka_unit_test(random_bytes_break_the_queue_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
