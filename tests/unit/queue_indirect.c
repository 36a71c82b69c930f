/* SPDX-License-Identifier: MIT */
/* INDIRECT_DESC on the split ring, driver side: which requests go into a table, and what lies there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static const int any_order[] = {L4VIO_F_INDIRECT_DESC, RING_FIXTURE_END};
static const int in_order[] = {L4VIO_F_INDIRECT_DESC, L4VIO_F_IN_ORDER, RING_FIXTURE_END};
static const int *const orders[] = {any_order, in_order};

static int add(struct ring_fixture *fixture, uint16_t readable, uint16_t writable, uintptr_t cookie)
{
    struct l4vio_buffer buffers[40];
    struct l4vio_request request = {
        .buffers = buffers, .readable = readable, .writable = writable, .cookie = (void *)cookie};
    for (unsigned i = 0; i < 40; i++)
        buffers[i] = (struct l4vio_buffer){.address = 0x1000 * (i + 1u), .length_bytes = i + 1u};
    return l4vio_queue_add(&fixture->queue, &request, 1);
}

/* The table that the descriptor in the ring points to, as a descriptor table. */
static struct fake_device_ring table_at(struct ring_fixture *fixture, uint16_t entry,
                                        unsigned buffers)
{
    struct fake_device_descriptor descriptor = fake_device_descriptor(&fixture->device, entry);
    assert_int_equal(descriptor.flags, VIRTQ_DESC_F_INDIRECT);
    assert_int_equal(descriptor.length_bytes, 16 * buffers);
    struct fake_device_ring table = {.desc = (unsigned char *)(uintptr_t)descriptor.address};
    return table;
}

/* Clauses D-2.7.5.3.1-1, D-2.7.5.3.1-2, D-2.7.5.3.1-4 and D-2.7.5.3.1-5. */
static void a_request_of_several_buffers_takes_one_entry(void **state)
{
    *state = NULL;
    for (unsigned order = 0; order < 2; order++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, orders[order]);
        struct l4vio_completion done;
        for (unsigned round = 0; round < 30; round++) {
            uint16_t readable = (uint16_t)(round % 4);
            uint16_t writable = (uint16_t)(round % 5 + (readable < 2 ? 2u - readable : 0u));
            unsigned buffers = readable + writable;
            uint16_t head;
            assert_int_equal(add(fixture, readable, writable, round), 1);
            assert_int_equal(l4vio_queue_room(&fixture->queue), 7);
            l4vio_queue_publish(&fixture->queue);
            assert_true(fake_device_next(&fixture->device, &head));
            struct fake_device_ring table = table_at(fixture, head, buffers);
            for (unsigned i = 0; i < buffers; i++) {
                struct fake_device_descriptor at = fake_device_descriptor(&table, (uint16_t)i);
                assert_int_equal(at.address, 0x1000 * (i + 1u));
                assert_int_equal(at.length_bytes, i + 1);
                assert_int_equal(at.flags, (i + 1 < buffers ? VIRTQ_DESC_F_NEXT : 0u) |
                                               (i >= readable ? VIRTQ_DESC_F_WRITE : 0u));
                if (i + 1 < buffers)
                    assert_int_equal(at.next, i + 1);
            }
            uint32_t writable_bytes = 0;
            for (unsigned i = readable; i < buffers; i++)
                writable_bytes += i + 1;
            fake_device_complete(&fixture->device, head, 1000);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
            assert_int_equal((uintptr_t)done.cookie, round);
            assert_int_equal(done.length_bytes, writable_bytes);
        }
        ring_fixture_free(fixture);
    }
}

static void one_buffer_and_very_many_take_no_table(void **state)
{
    *state = NULL;
    for (unsigned order = 0; order < 2; order++) {
        struct ring_fixture *fixture = ring_fixture_create_with(32, BUFFER_LEVEL, orders[order]);
        struct l4vio_completion done[4];
        uint16_t head;
        assert_int_equal(add(fixture, 1, 0, 0), 1);
        assert_int_equal(add(fixture, FIXTURE_TABLE_ENTRIES - 1, 1, 1), 1);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 30);
        assert_int_equal(add(fixture, FIXTURE_TABLE_ENTRIES, 1, 2), 1);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 30 - FIXTURE_TABLE_ENTRIES - 1);
        assert_int_equal(add(fixture, 30, 1, 3), L4VIO_EAGAIN);
        assert_int_equal(add(fixture, 32, 1, 3), L4VIO_E2BIG);
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_device_next(&fixture->device, &head));
        assert_int_equal(fake_device_descriptor(&fixture->device, head).flags, 0);
        fake_device_complete(&fixture->device, head, 0);
        assert_true(fake_device_next(&fixture->device, &head));
        table_at(fixture, head, FIXTURE_TABLE_ENTRIES);
        fake_device_complete(&fixture->device, head, FIXTURE_TABLE_ENTRIES);
        assert_true(fake_device_next(&fixture->device, &head));
        assert_int_equal(fake_device_descriptor(&fixture->device, head).flags, VIRTQ_DESC_F_NEXT);
        fake_device_complete(&fixture->device, head, 0);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), 3);
        for (uintptr_t i = 0; i < 3; i++)
            assert_int_equal((uintptr_t)done[i].cookie, i);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 32);
        ring_fixture_free(fixture);
    }
}

/* Behind a request with a table a single buffer goes another way than alone. */
static void one_buffer_in_a_mixed_batch_takes_no_table(void **state)
{
    struct l4vio_buffer buffers[2] = {{.length_bytes = 4}, {.length_bytes = 4}};
    struct l4vio_request requests[3] = {
        {.buffers = buffers, .readable = 1},
        {.buffers = buffers, .readable = 1, .writable = 1},
        {.buffers = buffers, .writable = 1},
    };
    *state = NULL;
    for (unsigned order = 0; order < 2; order++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, orders[order]);
        static const uint16_t flags[] = {0, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_WRITE};
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 3), 3);
        l4vio_queue_publish(&fixture->queue);
        for (unsigned i = 0; i < 3; i++) {
            uint16_t head;
            assert_true(fake_device_next(&fixture->device, &head));
            assert_int_equal(fake_device_descriptor(&fixture->device, head).flags, flags[i]);
        }
        ring_fixture_free(fixture);
    }
}

/* Every entry has a table of its own: what is in flight is not written over. */
static void a_queue_can_be_full_of_tables(void **state)
{
    *state = NULL;
    for (unsigned order = 0; order < 2; order++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, orders[order]);
        struct l4vio_completion done[8];
        uint64_t seen[8];
        for (unsigned round = 0; round < 3; round++) {
            for (uintptr_t i = 0; i < 8; i++)
                assert_int_equal(add(fixture, 1, (uint16_t)(1 + i % 7), i), 1);
            assert_int_equal(add(fixture, 1, 1, 9), L4VIO_EAGAIN);
            assert_int_equal(add(fixture, 1, 0, 9), L4VIO_EAGAIN);
            l4vio_queue_publish(&fixture->queue);
            for (unsigned i = 0; i < 8; i++) {
                uint16_t head;
                assert_true(fake_device_next(&fixture->device, &head));
                table_at(fixture, head, 2 + i % 7);
                seen[i] = fake_device_descriptor(&fixture->device, head).address;
                for (unsigned before = 0; before < i; before++)
                    assert_int_not_equal(seen[before], seen[i]);
                fake_device_complete(&fixture->device, head, 2);
            }
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 8);
            for (uintptr_t i = 0; i < 8; i++)
                assert_int_equal((uintptr_t)done[i].cookie, i);
            ring_fixture_spin(fixture, 3);
        }
        ring_fixture_free(fixture);
    }
}

static void bad_requests_leave_nothing_behind(void **state)
{
    struct l4vio_buffer empty[] = {{.length_bytes = 1}, {.length_bytes = 0}};
    struct l4vio_buffer huge[] = {{.length_bytes = UINT32_MAX}, {.length_bytes = 1}};
    struct l4vio_request requests[] = {
        {.buffers = empty, .readable = 2},
        {.buffers = empty, .readable = 1, .writable = 1},
        {.buffers = huge, .readable = 1, .writable = 1},
        {.buffers = huge, .writable = 2},
        {.buffers = huge, .readable = 2},
    };
    *state = NULL;

    for (unsigned order = 0; order < 2; order++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, orders[order]);
        for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
            assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[i], 1), L4VIO_EINVAL);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
        assert_int_equal(l4vio_queue_avail_index(&fixture->queue), 0);
        ring_fixture_spin(fixture, 20);
        ring_fixture_free(fixture);
    }
}

static void detach_frees_the_entries_of_tables(void **state)
{
    *state = NULL;
    for (unsigned order = 0; order < 2; order++) {
        struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, orders[order]);
        void *cookies[8];
        add(fixture, 1, 1, 1);
        add(fixture, 2, 2, 2);
        l4vio_queue_publish(&fixture->queue);
        ring_fixture_reset(fixture);
        assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 8), 2);
        assert_int_equal((uintptr_t)cookies[0] + (uintptr_t)cookies[1], 3);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
        ring_fixture_free(fixture);
    }
}

/* Clause D-2.7.5.3.1-1. */
static void tables_without_the_feature_are_not_used(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, any_order);
    *state = NULL;
    assert_int_equal(l4vio_features_clear(&fixture->config.features, L4VIO_F_INDIRECT_DESC),
                     L4VIO_OK);
    assert_int_equal(l4vio_queue_init(&fixture->queue, &fixture->config, NULL), L4VIO_OK);
    assert_int_equal(add(fixture, 1, 2, 0), 1);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 5);
    ring_fixture_free(fixture);
}

/* Clause D-2.7.5.3.1-3. */
static void odd_tables_are_refused(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create_with(8, BUFFER_LEVEL, any_order);
    const struct l4vio_queue_config good = fixture->config;
    struct l4vio_queue_config config;
    struct l4vio_queue queue;
    struct l4vio_descriptor descriptors[8];
    struct l4vio_error error = {0};
    *state = NULL;

    static const uint16_t entries[] = {0, 1, 9, UINT16_MAX};
    for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        config = good;
        config.indirect.entries = entries[i];
        assert_int_equal(l4vio_queue_init(&queue, &config, &error), L4VIO_EINVAL);
        assert_int_equal(error.value, entries[i]);
    }
    config = good;
    config.indirect.memory = (unsigned char *)good.indirect.memory + 8;
    assert_int_equal(l4vio_queue_init(&queue, &config, NULL), L4VIO_EINVAL);
    config = good;
    config.indirect.device_address += 8;
    assert_int_equal(l4vio_queue_init(&queue, &config, NULL), L4VIO_EINVAL);
    config = good;
    config.descriptors = descriptors;
    assert_int_equal(l4vio_queue_init(&queue, &config, NULL), L4VIO_EINVAL);
    config.indirect.memory = NULL;
    assert_int_equal(l4vio_queue_init(&queue, &config, NULL), L4VIO_OK);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_of_several_buffers_takes_one_entry),
        cmocka_unit_test(one_buffer_and_very_many_take_no_table),
        cmocka_unit_test(one_buffer_in_a_mixed_batch_takes_no_table),
        cmocka_unit_test(a_queue_can_be_full_of_tables),
        cmocka_unit_test(bad_requests_leave_nothing_behind),
        cmocka_unit_test(detach_frees_the_entries_of_tables),
        cmocka_unit_test(tables_without_the_feature_are_not_used),
        cmocka_unit_test(odd_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
