/* SPDX-License-Identifier: MIT */
/* Packed ring: in what order a batch comes into view, indirect tables, and what a reset hands back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_packed.h"

static const unsigned ways[] = {0, PACKED_IN_ORDER, PACKED_ORDER_PLATFORM,
                                PACKED_IN_ORDER | PACKED_ORDER_PLATFORM};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* Clauses D-2.8.17-6 and D-2.8.21.1.1-1: the first descriptor of a batch is written last, by the
 * publishing, when all the others are as they shall be. */
static void the_first_descriptor_of_a_batch_is_written_last(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned turn = 0; turn < 14; turn++) {
            struct packed_fixture *fixture = packed_fixture_create(7, ways[way]);
            struct fake_packed_descriptor before[7];
            packed_fixture_spin(fixture, turn);
            uint16_t first = (uint16_t)(turn % 7);
            uint16_t flags = fake_packed_at(&fixture->device, first).flags;
            for (unsigned i = 0; i < 3; i++)
                assert_int_equal(packed_fixture_add(fixture, 1 + i, 8, i), 1);

            assert_false(fake_packed_is_available(&fixture->device));
            assert_int_equal(fake_packed_at(&fixture->device, first).flags, flags);
            for (uint16_t place = 0; place < 7; place++)
                before[place] = fake_packed_at(&fixture->device, place);
            l4vio_queue_publish(&fixture->queue);
            for (uint16_t place = 0; place < 7; place++) {
                struct fake_packed_descriptor now = fake_packed_at(&fixture->device, place);
                assert_int_equal(now.address, before[place].address);
                if (place != first) {
                    assert_int_equal(now.flags, before[place].flags);
                    assert_int_equal(now.id, before[place].id);
                    assert_int_equal(now.length_bytes, before[place].length_bytes);
                }
            }
            assert_int_equal(fake_packed_use_all(&fixture->device, 8), 3);
            l4vio_queue_publish(&fixture->queue); /* Of nothing. */
            assert_false(fake_packed_is_available(&fixture->device));
            packed_fixture_free(fixture);
        }
    }
}

static void rings_are_initialised(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(9, ways[way]);
        for (uint16_t place = 0; place < 9; place++) {
            struct fake_packed_descriptor at = fake_packed_at(&fixture->device, place);
            assert_int_equal(at.address | at.length_bytes | at.id | at.flags, 0);
        }
        assert_int_equal(fake_packed_driver_event(&fixture->device), 0);
        assert_false(l4vio_queue_device_disarmed(&fixture->queue));
        packed_fixture_free(fixture);
    }
}

/* Clauses D-2.8.19-1, D-2.8.19-2 and D-2.8.19-4: one descriptor with the flag alone, and a table in
 * which only WRITE is ever set, each request its own. */
static void requests_of_several_buffers_go_into_tables(void **state)
{
    const struct l4vio_buffer buffers[] = {
        {.address = 0x1122334455667788, .length_bytes = 1},
        {.address = 0x2000, .length_bytes = 20},
        {.address = 0x3000, .length_bytes = 300},
        {.address = 0x4000, .length_bytes = 4000},
        {.address = 0x5000, .length_bytes = 50000},
    };
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(9, ways[way] | PACKED_INDIRECT);
        struct l4vio_queue *queue = &fixture->queue;
        struct l4vio_completion done[9];
        for (unsigned round = 0; round < 20; round++) {
            struct l4vio_request requests[] = {
                {.buffers = buffers, .readable = 2, .writable = 1, .cookie = "three"},
                {.buffers = buffers, .writable = 1, .cookie = "one"},
                {.buffers = buffers, .readable = 1, .writable = 3, .cookie = "four"},
                {.buffers = buffers, .readable = 5, .cookie = "five"},
                {.buffers = buffers, .readable = 2, .cookie = "two"},
            };
            assert_int_equal(l4vio_queue_add(queue, requests, 5), 5);
            assert_int_equal(l4vio_queue_room(queue), 0);
            l4vio_queue_publish(queue);
            for (unsigned i = 0; i < 5; i++) {
                unsigned count = requests[i].readable + requests[i].writable;
                struct fake_packed_buffer seen;
                assert_true(fake_packed_next(&fixture->device, &seen));
                assert_int_equal(seen.entries, count == 5 ? 5 : 1);
                struct fake_packed_descriptor at = fake_packed_at(&fixture->device, seen.place);
                assert_int_equal(!!(at.flags & FAKE_PACKED_INDIRECT), count > 1 && count < 5);
                if (at.flags & FAKE_PACKED_INDIRECT) {
                    assert_int_equal(at.flags & (FAKE_PACKED_NEXT | FAKE_PACKED_WRITE), 0);
                    assert_int_equal(at.length_bytes, 16 * count);
                    uint64_t offset = at.address - PACKED_TABLES_ADDRESS;
                    assert_true(offset % 64 == 0 && offset < 9 * 64);
                    for (unsigned n = 0; n < count; n++) {
                        struct fake_packed_descriptor entry =
                            fake_packed_in_table(fixture->tables + offset, n);
                        assert_int_equal(entry.address, buffers[n].address);
                        assert_int_equal(entry.length_bytes, buffers[n].length_bytes);
                        assert_int_equal(entry.flags,
                                         n < requests[i].readable ? 0 : FAKE_PACKED_WRITE);
                    }
                }
                fake_packed_use(&fixture->device, seen.id, seen.entries, 1);
            }
            assert_int_equal(l4vio_queue_get_used(queue, done, 9), 5);
            for (unsigned i = 0; i < 5; i++) {
                assert_ptr_equal(done[i].cookie, requests[i].cookie);
                assert_int_equal(done[i].length_bytes, requests[i].writable ? 1 : 0);
            }
        }
        packed_fixture_free(fixture);
    }
}

/* A table of a request in flight is not given to another, in whatever order they end. */
static void tables_in_flight_are_not_written(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way += 2) {
        struct packed_fixture *fixture = packed_fixture_create(8, ways[way] | PACKED_INDIRECT);
        struct l4vio_completion done;
        struct fake_packed_buffer seen[8];
        uint32_t bytes[8];
        for (unsigned i = 0; i < 500; i++) {
            unsigned which = i < 8 ? i : i * 7 % 8;
            if (i >= 8) {
                for (unsigned n = 0; n < 3; n++) {
                    const unsigned char *table = fixture->tables + 64 * (size_t)seen[which].id;
                    assert_int_equal(fake_packed_in_table(table, n).length_bytes, bytes[which]);
                }
                fake_packed_use(&fixture->device, seen[which].id, 1, 0);
                assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
                assert_int_equal((uintptr_t)done.cookie, which);
            }
            bytes[which] = i + 1;
            assert_int_equal(packed_fixture_add(fixture, 3, bytes[which], which), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_true(fake_packed_next(&fixture->device, &seen[which]));
        }
        packed_fixture_free(fixture);
    }
}

static void bad_requests_for_tables_are_refused(void **state)
{
    const struct l4vio_buffer empty[] = {{.length_bytes = 1}, {.length_bytes = 0}};
    const struct l4vio_buffer huge[] = {{.length_bytes = UINT32_MAX}, {.length_bytes = 1}};
    struct l4vio_request requests[] = {
        {.buffers = empty, .readable = 2},
        {.buffers = empty, .readable = 1, .writable = 1},
        {.buffers = huge, .writable = 2},
    };
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(4, ways[way] | PACKED_INDIRECT);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[i], 1), L4VIO_EINVAL);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 4);
        packed_fixture_spin(fixture, 9);
        packed_fixture_free(fixture);
    }
}

/* What was published, what was not, and what hid for a while, each once. */
static void detach_hands_back_every_cookie_once_after_a_reset(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct packed_fixture *fixture = packed_fixture_create(20, ways[way]);
        struct l4vio_queue *queue = &fixture->queue;
        struct l4vio_completion done;
        struct fake_packed_buffer first;
        void *cookies[3];
        unsigned seen = 0;
        int count;

        packed_fixture_spin(fixture, 15);
        for (uintptr_t i = 0; i < 5; i++)
            assert_int_equal(packed_fixture_add(fixture, 1 + (unsigned)i % 3, 4, i), 1);
        l4vio_queue_publish(queue);
        for (uintptr_t i = 5; i < 9; i++)
            assert_int_equal(packed_fixture_add(fixture, 1 + (unsigned)i % 3, 4, i), 1);
        assert_true(fake_packed_next(&fixture->device, &first));
        fake_packed_use(&fixture->device, first.id, first.entries, 4);
        assert_int_equal(l4vio_queue_get_used(queue, &done, 1), 1);
        assert_int_equal((uintptr_t)done.cookie, 0);
        assert_int_equal(l4vio_queue_detach(queue, cookies, 3), L4VIO_EBUSY);
        assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_EBUSY);
        packed_fixture_reset(fixture);
        while ((count = l4vio_queue_detach(queue, cookies, 3)) > 0) {
            for (int i = 0; i < count; i++) {
                assert_false(seen & 1u << (uintptr_t)cookies[i]);
                seen |= 1u << (uintptr_t)cookies[i];
            }
        }
        assert_int_equal(count, 0);
        assert_int_equal(seen, 0x1fe);
        assert_int_equal(l4vio_queue_room(queue), 20);
        assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_OK);
        assert_int_equal(l4vio_queue_room(queue), 20);
        queue->live = true;
        /* Nor is anything left of what hid. */
        assert_int_equal(packed_fixture_add(fixture, 1, 4, 10), 1);
        l4vio_queue_publish(queue);
        assert_int_equal(fake_packed_use_all(&fixture->device, 4), 1);
        assert_int_equal(packed_fixture_add(fixture, 1, 4, 11), 1);
        assert_int_equal(l4vio_queue_get_used(queue, &done, 1), 1);
        assert_int_equal((uintptr_t)done.cookie, 10);
        l4vio_queue_publish(queue);
        assert_int_equal(fake_packed_use_all(&fixture->device, 4), 1);
        assert_int_equal(l4vio_queue_get_used(queue, &done, 1), 1);
        assert_int_equal((uintptr_t)done.cookie, 11);
        packed_fixture_spin(fixture, 50);
        packed_fixture_free(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_descriptor_of_a_batch_is_written_last),
        cmocka_unit_test(rings_are_initialised),
        cmocka_unit_test(requests_of_several_buffers_go_into_tables),
        cmocka_unit_test(tables_in_flight_are_not_written),
        cmocka_unit_test(bad_requests_for_tables_are_refused),
        cmocka_unit_test(detach_hands_back_every_cookie_once_after_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
