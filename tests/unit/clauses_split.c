/* SPDX-License-Identifier: MIT */
/* Clauses of the split ring that no other test has at its heart. docs/clauses.tsv lists all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "fake_device_ring.h"
#include "raw_driver.h"

/* Clauses V-2.7.5.1-1b and V-2.8.15-1b: what is writable is not read, however much is asked for. */
static void reading_ends_before_writable_memory(void **state)
{
    struct raw_driver *driver = *state;
    const struct raw_piece pieces[] = {{RAW_BASE + RAW_DATA, 4, RAW_READ},
                                       {RAW_BASE + RAW_DATA + 4, 4, RAW_WRITE}};
    unsigned char data[9];
    memset(data, 0x77, sizeof(data));
    memcpy(driver->memory + RAW_DATA, "readsecr", 8);
    raw_publish_chain(driver, 0, 0, pieces, 2);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_chain_read(&driver->chain, 0, data, 8), 4);
    assert_memory_equal(data, "read\x77\x77\x77\x77", 8);
    assert_int_equal(l4vio_device_chain_read(&driver->chain, 4, data, 4), 0);
    assert_memory_equal(data, "read\x77\x77\x77\x77", 8);
}

/* Clause V-2.7.5.1-2, and the available ring no less. */
static void table_and_available_ring_are_only_read_by_the_device(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    unsigned char before[RAW_USED];
    for (uint16_t round = 0; round < 40; round++) {
        uint16_t head = (uint16_t)(round % RAW_QUEUE_SIZE);
        raw_publish_one(driver, 0, head);
        memcpy(before, driver->memory, sizeof(before));
        l4vio_device_queue_disarm(queue);
        assert_int_equal(raw_take(driver, 0), 1);
        if (round % 4 == 0) {
            assert_int_equal(l4vio_device_queue_rewind(queue, &driver->chain), 0);
            assert_int_equal(raw_take(driver, 0), 1);
        }
        raw_finish(driver, 0, head, 1);
        l4vio_device_queue_arm(queue);
        assert_memory_equal(driver->memory, before, sizeof(before));
    }
}

/* Clause V-2.7.10.2-5, of either format. */
static void kick_without_work_is_tolerated(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    for (unsigned i = 0; i < 50; i++) {
        l4vio_device_queue_kicked(queue, 0);
        assert_int_equal(raw_take(driver, 0), 0);
        assert_false(l4vio_device_queue_arm(queue));
        l4vio_device_notify(&driver->device, 0);
        if (i % 10 == 9)
            raw_expect_works(driver);
    }
    assert_int_equal(queue->counters.kicks, 50);
    assert_int_equal(driver->triggers[1], 5);
}

/* Clause D-2.7.6.1-1: over every call that could be tempted to take something back. */
static void available_index_never_goes_back(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done[8];
    struct l4vio_request bad = {.buffers = NULL};
    uint16_t last = 0;
    (void)state;
    for (unsigned i = 0; i < 70000; i++) {
        unsigned wanted = i % 11;
        unsigned added = 0;
        while (added < wanted && ring_fixture_add(fixture, 8, i) == 1)
            added++;
        assert_int_equal(fake_device_avail_index(&fixture->device), last);
        assert_int_equal(l4vio_queue_add(queue, &bad, 1), L4VIO_EINVAL);
        l4vio_queue_publish(queue);
        last = (uint16_t)(last + added);
        assert_int_equal(fake_device_avail_index(&fixture->device), last);
        l4vio_queue_needs_kick(queue);
        l4vio_queue_disarm(queue);
        l4vio_queue_arm(queue);
        assert_int_equal(fake_device_complete_all(&fixture->device, 8), added);
        assert_int_equal(l4vio_queue_get_used(queue, done, 8), added);
        assert_int_equal(fake_device_avail_index(&fixture->device), last);
    }
    ring_fixture_free(fixture);
}

/* Clauses D-2.7.7.1-1 and D-2.7.7.1-2: 0 wants notifications, 1 does not, and nothing else is
 * written. */
static void available_flags_are_0_or_1(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    (void)state;
    assert_int_equal(fake_device_avail_flags(&fixture->device), 0);
    for (unsigned i = 0; i < 20; i++) {
        l4vio_queue_disarm(queue);
        assert_int_equal(fake_device_avail_flags(&fixture->device), 1);
        ring_fixture_spin(fixture, 3);
        assert_int_equal(fake_device_avail_flags(&fixture->device), 1);
        l4vio_queue_arm(queue);
        assert_int_equal(fake_device_avail_flags(&fixture->device), 0);
        ring_fixture_spin(fixture, 3);
        l4vio_queue_arm_after(queue, 2);
        assert_int_equal(fake_device_avail_flags(&fixture->device), 0);
    }
    ring_fixture_free(fixture);
}

/* Clause D-2.7.7.1-5: whoever is woken for nothing finds nothing, and nothing is wrong. */
static void notification_without_work_is_tolerated(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    struct l4vio_completion done[8];
    (void)state;
    for (uintptr_t i = 0; i < 20; i++) {
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
        l4vio_queue_publish(queue);
        for (unsigned woken = 0; woken < 5; woken++) {
            assert_int_equal(l4vio_queue_get_used(queue, done, 8), 0);
            assert_false(l4vio_queue_has_used(queue));
            assert_false(l4vio_queue_arm(queue));
        }
        assert_int_equal(fake_device_complete_all(&fixture->device, 8), 1);
        assert_int_equal(l4vio_queue_get_used(queue, done, 8), 1);
        assert_int_equal((uintptr_t)done[0].cookie, i);
    }
    assert_int_equal(l4vio_queue_broken_error(queue, NULL), 0);
    ring_fixture_free(fixture);
}

/* Clauses D-2.7.4.2-2 and D-2.7.5.3.1-3: a descriptor per buffer and no more; never more than
 * entries. */
static void chain_has_a_descriptor_per_buffer(void **state)
{
    struct l4vio_buffer buffers[9];
    (void)state;
    for (unsigned i = 0; i < 9; i++)
        buffers[i] = (struct l4vio_buffer){.address = 0x1000 * (i + 1), .length_bytes = 8192};
    for (uint16_t count = 1; count <= 9; count++) {
        struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
        struct l4vio_request request = {.buffers = buffers, .readable = 1};
        request.writable = (uint16_t)(count - 1);
        int expected = count <= 8 ? 1 : L4VIO_E2BIG;
        assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), expected);
        l4vio_queue_publish(&fixture->queue);
        uint16_t entry;
        unsigned length = 0;
        if (fake_device_next(&fixture->device, &entry)) {
            struct fake_device_descriptor at;
            do {
                at = fake_device_descriptor(&fixture->device, entry);
                assert_int_equal(at.length_bytes, 8192);
                entry = at.next;
                length++;
            } while (at.flags & VIRTQ_DESC_F_NEXT);
        }
        assert_int_equal(length, count <= 8 ? count : 0);
        ring_fixture_free(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(reading_ends_before_writable_memory),
        RAW_SPLIT(table_and_available_ring_are_only_read_by_the_device),
        RAW_EVERY(kick_without_work_is_tolerated),
        cmocka_unit_test(available_index_never_goes_back),
        cmocka_unit_test(available_flags_are_0_or_1),
        cmocka_unit_test(notification_without_work_is_tolerated),
        cmocka_unit_test(chain_has_a_descriptor_per_buffer),
    };
    return cmocka_run_group_tests_name("clauses_split", tests, NULL, NULL);
}
