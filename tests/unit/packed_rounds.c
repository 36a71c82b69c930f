/* SPDX-License-Identifier: MIT */
/*
 * The buffer level of a packed queue against a device that behaves: every small size and the largest,
 * completions in any order and in order, requests of every length that cross the end of the ring.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_device_packed.h"

static const unsigned ways[] = {
    0,
    PACKED_IN_ORDER,
    PACKED_EVENT_IDX | PACKED_ORDER_PLATFORM,
    PACKED_EVENT_IDX | PACKED_IN_ORDER | PACKED_ORDER_PLATFORM,
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* Clauses D-2.8.17-3 and D-2.8.17-6, section 2.8.6: what the device sees of one request. */
static void a_list_is_written_as_the_request_says(void **state)
{
    (void)state;
    const struct l4vio_buffer buffers[] = {
        {.address = 0x1122334455667788, .length_bytes = 16},
        {.address = 0x2000, .length_bytes = 0x80000000},
        {.address = 0x3000, .length_bytes = 4096},
        {.address = 0x4000, .length_bytes = 1},
    };
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(7, ways[way]);
        struct l4vio_request request = {.buffers = buffers, .readable = 2, .writable = 2};
        struct fake_packed_buffer seen;

        packed_fixture_spin(fixture, 5); /* So that it crosses the end. */
        assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), 1);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 3);
        assert_false(fake_packed_is_available(&fixture->device));
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_packed_next(&fixture->device, &seen));
        assert_int_equal(seen.place, 5);
        assert_int_equal(seen.entries, 4);
        for (unsigned i = 0; i < 4; i++) {
            uint16_t place = (uint16_t)((5 + i) % 7);
            struct fake_packed_descriptor at = fake_packed_at(&fixture->device, place);
            unsigned flags = (i < 3 ? FAKE_PACKED_NEXT : 0u) | (i >= 2 ? FAKE_PACKED_WRITE : 0u) |
                             (5 + i < 7 ? FAKE_PACKED_AVAIL : FAKE_PACKED_USED);
            assert_int_equal(at.address, buffers[i].address);
            assert_int_equal(at.length_bytes, buffers[i].length_bytes);
            assert_int_equal(at.flags, flags);
            assert_int_equal(at.id, seen.id);
        }
        assert_false(fake_packed_is_available(&fixture->device));
        packed_fixture_free(fixture);
    }
}

static struct l4vio_queue_counters counters_of(const struct l4vio_queue *queue)
{
    struct l4vio_queue_counters counters;
    l4vio_queue_counters(queue, &counters);
    return counters;
}

/* Some hundred requests of all lengths that fit, a few at a time: many times around. */
static void go_round(uint16_t size, unsigned features)
{
    struct packed_fixture *fixture = packed_fixture_create(size, features);
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done[16];
    uintptr_t sent = 0;
    uintptr_t received = 0;

    for (unsigned round = 0; round < 300; round++) {
        unsigned longest = size < 5 ? size : 5;
        while (packed_fixture_add(fixture, 1 + (unsigned)sent % longest, 8, sent) == 1)
            if (++sent % 3 == 0)
                break;
        l4vio_queue_publish(queue);
        assert_int_equal(l4vio_queue_in_flight(queue), sent - received);
        fake_packed_use_all(&fixture->device, 5 + round % 3);
        for (;;) {
            int count = l4vio_queue_get_used(queue, done, 1 + round % 4);
            assert_true(count >= 0);
            if (count == 0)
                break;
            for (int i = 0; i < count; i++) {
                assert_int_equal((uintptr_t)done[i].cookie, received++);
                assert_int_equal(done[i].length_bytes, 5 + round % 3);
            }
        }
        assert_int_equal(received, sent);
        assert_int_equal(l4vio_queue_room(queue), size);
    }
    assert_in_range(sent, 300, 900);
    assert_int_equal(counters_of(queue).added, sent);
    assert_int_equal(counters_of(queue).completed, sent);
    assert_int_equal(queue->counters.clamped_lengths, 0);
    packed_fixture_free(fixture);
}

static void every_small_size_goes_round(void **state)
{
    (void)state;
    for (uint16_t size = 1; size <= 9; size++)
        for (unsigned way = 0; way < WAYS; way++)
            go_round(size, ways[way]);
}

/* Two batches that fill the ring to the last entry, by one call and by single ones. */
static void fill(uint16_t size, unsigned features)
{
    struct packed_fixture *fixture = packed_fixture_create(size, features);
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_request *requests = calloc(size, sizeof(*requests));
    struct l4vio_completion *done = calloc(size, sizeof(*done));
    struct l4vio_buffer buffer = {.address = 0x1000, .length_bytes = 4};

    assert_non_null(requests);
    assert_non_null(done);
    for (uintptr_t i = 0; i < size; i++)
        requests[i] = (struct l4vio_request){.buffers = &buffer,
                                             .readable = i % 3 == 0,
                                             .writable = i % 3 != 0,
                                             .cookie = (void *)i};
    packed_fixture_spin(fixture, size / 2u);
    for (unsigned round = 0; round < 4; round++) {
        if (round % 2)
            assert_int_equal(l4vio_queue_add(queue, requests, size), size);
        else
            for (unsigned i = 0; i < size; i++)
                assert_int_equal(l4vio_queue_add(queue, &requests[i], 1), 1);
        assert_int_equal(l4vio_queue_add(queue, requests, 1), L4VIO_EAGAIN);
        assert_int_equal(l4vio_queue_in_flight(queue), size);
        l4vio_queue_publish(queue);
        assert_int_equal(fake_packed_use_all(&fixture->device, 4), size);
        assert_int_equal(l4vio_queue_get_used(queue, done, size), size);
        assert_int_equal(l4vio_queue_get_used(queue, done, size), 0);
        for (unsigned i = 0; i < size; i++) {
            assert_int_equal((uintptr_t)done[i].cookie, i);
            assert_int_equal(done[i].length_bytes, i % 3 ? 4 : 0);
        }
    }
    free(requests);
    free(done);
    packed_fixture_free(fixture);
}

static void a_ring_fills_to_the_last_entry(void **state)
{
    static const uint16_t sizes[] = {1, 2, 3, 5, 8, 9, 255, 32767, 32768};
    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (unsigned way = 0; way < WAYS; way++)
            fill(sizes[i], ways[way]);
}

/* The free-running counts wrap at 65536, and no size of ring divides that but powers of two. */
static void counts_wrap(void **state)
{
    static const uint16_t sizes[] = {1, 3, 7, 64};
    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned way = 0; way < 2; way++) {
            struct packed_fixture *fixture = packed_fixture_create(sizes[i], ways[way]);
            packed_fixture_spin(fixture, 0x10002);
            assert_int_equal(l4vio_queue_avail_index(&fixture->queue), 2);
            packed_fixture_free(fixture);
        }
    }
}

/* One list that is the whole of the largest ring. */
static void the_longest_list_fits(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(32768, ways[way]);
        struct l4vio_buffer *buffers = calloc(32768, sizeof(*buffers));
        struct l4vio_request request = {.buffers = buffers, .writable = 32768, .cookie = buffers};
        struct fake_packed_buffer seen;
        struct l4vio_completion done;

        assert_non_null(buffers);
        for (unsigned i = 0; i < 32768; i++)
            buffers[i].length_bytes = 2;
        packed_fixture_spin(fixture, 3);
        for (unsigned round = 0; round < 3; round++) {
            assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), 1);
            /* It is not the device's before it is published. */
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 0);
            l4vio_queue_publish(&fixture->queue);
            assert_true(fake_packed_next(&fixture->device, &seen));
            assert_int_equal(seen.entries, 32768);
            fake_packed_use(&fixture->device, seen.id, seen.entries, 65536);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
            assert_ptr_equal(done.cookie, buffers);
            assert_int_equal(done.length_bytes, 65536);
        }
        free(buffers);
        packed_fixture_free(fixture);
    }
}

#define MANY 13u

/* Taken by the device in order, completed in any: the driver follows by the entries of each id. */
static void completions_come_in_any_order(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(31, 0);
    struct l4vio_completion done[MANY];
    struct fake_packed_buffer pending[64];
    uintptr_t cookies[64];
    unsigned count = 0;
    uintptr_t sent = 0;
    unsigned random = 1;
    (void)state;

    for (unsigned step = 0; step < 20000; step++) {
        random = random * 1103515245u + 12345u;
        while (count < 32 && packed_fixture_add(fixture, 1 + random % 5, 64, sent) == 1) {
            l4vio_queue_publish(&fixture->queue);
            cookies[count] = sent++;
            assert_true(fake_packed_next(&fixture->device, &pending[count++]));
            random = random * 1103515245u + 12345u;
        }
        unsigned uses = 1 + (random >> 16) % count;
        uintptr_t expected[64];
        for (unsigned i = 0; i < uses; i++) {
            random = random * 1103515245u + 12345u;
            unsigned one = (random >> 16) % count;
            expected[i] = cookies[one];
            fake_packed_use(&fixture->device, pending[one].id, pending[one].entries,
                            (uint32_t)(cookies[one] % 60u));
            count--;
            pending[one] = pending[count];
            cookies[one] = cookies[count];
        }
        for (unsigned i = 0; i < uses;) {
            int taken = l4vio_queue_get_used(&fixture->queue, done, 1 + step % MANY);
            assert_true(taken > 0);
            for (int n = 0; n < taken; n++, i++) {
                assert_int_equal((uintptr_t)done[n].cookie, expected[i]);
                assert_int_equal(done[n].length_bytes, expected[i] % 60u);
            }
        }
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, MANY), 0);
    }
    packed_fixture_free(fixture);
}

/* Completions taken between adding and publishing, which is when ids go back and forth. */
static void completions_are_taken_while_requests_wait_to_be_published(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(12, ways[way]);
        struct l4vio_queue *queue = &fixture->queue;
        struct l4vio_completion done[16];
        uintptr_t sent = 0;
        uintptr_t received = 0;
        unsigned in_device = 0;

        for (unsigned step = 0; step < 3000; step++) {
            while (packed_fixture_add(fixture, 1 + (unsigned)sent % 3, 8, sent) == 1) {
                sent++;
                int count = l4vio_queue_get_used(queue, done, 1 + step % 3);
                assert_true(count >= 0 && (unsigned)count <= in_device);
                for (int i = 0; i < count; i++)
                    assert_int_equal((uintptr_t)done[i].cookie, received++);
                in_device -= (unsigned)count;
                if (sent % 4 == step % 4)
                    break;
            }
            l4vio_queue_publish(queue);
            in_device += fake_packed_use_all(&fixture->device, 8);
            if (l4vio_queue_room(queue) < 4) {
                int count = l4vio_queue_get_used(queue, done, 2);
                assert_int_equal(count, 2);
                assert_int_equal((uintptr_t)done[0].cookie, received++);
                assert_int_equal((uintptr_t)done[1].cookie, received++);
                in_device -= 2;
            }
        }
        assert_true(sent > 3000);
        packed_fixture_free(fixture);
    }
}

static void a_full_ring_says_again_and_takes_part_of_a_batch(void **state)
{
    (void)state;
    const struct l4vio_buffer buffers[6] = {
        {.length_bytes = 1}, {.length_bytes = 1}, {.length_bytes = 1},
        {.length_bytes = 1}, {.length_bytes = 1}, {.length_bytes = 1},
    };
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(5, ways[way]);
        struct l4vio_request requests[2] = {
            {.buffers = buffers, .readable = 4, .cookie = fixture},
            {.buffers = buffers, .readable = 1, .writable = 1},
        };
        struct l4vio_request whole = {.buffers = buffers, .readable = 5};
        struct l4vio_request too_long = {.buffers = buffers, .readable = 5, .writable = 1};
        struct l4vio_completion done;

        assert_int_equal(l4vio_queue_add(&fixture->queue, &too_long, 1), L4VIO_E2BIG);
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 0), 0);
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 2), 1);
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 0), 0);
        assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[1], 1), L4VIO_EAGAIN);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_int_equal(fake_packed_use_all(&fixture->device, 0), 1);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 0), 0);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
        assert_ptr_equal(done.cookie, fixture);
        assert_int_equal(l4vio_queue_add(&fixture->queue, &whole, 1), 1);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 0);
        packed_fixture_free(fixture);
    }
}

/* What a refused request wrote does not look available, whatever is put in its place. */
static void bad_requests_leave_nothing_behind(void **state)
{
    (void)state;
    const struct l4vio_buffer good[] = {{.length_bytes = 1}, {.length_bytes = 2}};
    const struct l4vio_buffer empty[] = {
        {.length_bytes = 1}, {.length_bytes = 2}, {.length_bytes = 3}, {.length_bytes = 0}};
    const struct l4vio_buffer huge[] = {
        {.length_bytes = 5}, {.length_bytes = UINT32_MAX}, {.length_bytes = 1}};
    const struct l4vio_request bad[] = {
        {.buffers = NULL},
        {.buffers = empty + 3, .readable = 1},
        {.buffers = empty + 3, .writable = 1},
        {.buffers = empty, .readable = 4},
        {.buffers = empty, .readable = 2, .writable = 2},
        {.buffers = huge, .readable = 1, .writable = 2},
        {.buffers = huge, .writable = 3},
    };
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned i = 0; i < 20 * sizeof(bad) / sizeof(bad[0]); i++) {
            struct packed_fixture *fixture = packed_fixture_create(9, ways[way]);
            struct l4vio_request requests[] = {
                {.buffers = good, .writable = (uint16_t)(1 + i % 2)},
                bad[i / 20],
                {.buffers = good, .writable = 1},
            };
            struct l4vio_completion done[4];
            unsigned turn = i / 2 % 10;

            packed_fixture_spin(fixture, turn);
            assert_int_equal(l4vio_queue_add(&fixture->queue, &bad[i / 20], 1), L4VIO_EINVAL);
            assert_int_equal(l4vio_queue_room(&fixture->queue), 9);
            assert_int_equal(l4vio_queue_avail_index(&fixture->queue), turn);
            assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 3), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_packed_use_all(&fixture->device, 1), 1);
            assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[2], 1), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_packed_use_all(&fixture->device, 1), 1);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), 2);
            packed_fixture_spin(fixture, 20);
            packed_fixture_free(fixture);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_written_as_the_request_says),
        cmocka_unit_test(every_small_size_goes_round),
        cmocka_unit_test(a_ring_fills_to_the_last_entry),
        cmocka_unit_test(counts_wrap),
        cmocka_unit_test(the_longest_list_fits),
        cmocka_unit_test(completions_come_in_any_order),
        cmocka_unit_test(completions_are_taken_while_requests_wait_to_be_published),
        cmocka_unit_test(a_full_ring_says_again_and_takes_part_of_a_batch),
        cmocka_unit_test(bad_requests_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
