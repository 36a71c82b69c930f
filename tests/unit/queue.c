/* SPDX-License-Identifier: MIT */
/* The buffer level of a driver queue against a device that behaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static struct ring_fixture *fixture_of(void **state, uint16_t size)
{
    struct ring_fixture *fixture = ring_fixture_create(size, BUFFER_LEVEL);
    *state = fixture;
    return fixture;
}

static int tear_down(void **state)
{
    ring_fixture_free(*state);
    return 0;
}

/* Clauses D-2.7.4.2-1 (readable first), D-2.7.13-1: what the device sees of one request. */
static void a_chain_is_written_as_the_request_says(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    const struct l4vio_buffer buffers[] = {
        {.address = 0x1122334455667788, .length_bytes = 16},
        {.address = 0x2000, .length_bytes = 0x80000000},
        {.address = 0x3000, .length_bytes = 4096},
        {.address = 0x4000, .length_bytes = 1},
    };
    struct l4vio_request request = {.buffers = buffers, .readable = 2, .writable = 2};
    uint16_t entry;

    assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), 1);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 4);
    assert_false(fake_device_next(&fixture->device, &entry));
    l4vio_queue_publish(&fixture->queue);
    assert_true(fake_device_next(&fixture->device, &entry));
    for (unsigned i = 0; i < 4; i++) {
        struct fake_device_descriptor descriptor = fake_device_descriptor(&fixture->device, entry);
        unsigned flags = (i < 3 ? VIRTQ_DESC_F_NEXT : 0u) | (i >= 2 ? VIRTQ_DESC_F_WRITE : 0u);
        assert_int_equal(descriptor.address, buffers[i].address);
        assert_int_equal(descriptor.length_bytes, buffers[i].length_bytes);
        assert_int_equal(descriptor.flags, flags);
        entry = descriptor.next;
    }
    assert_false(fake_device_next(&fixture->device, &entry));
}

static void a_batch_is_published_at_once_and_completed_in_any_order(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];
    uint16_t heads[3];

    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(ring_fixture_add(fixture, 100, i + 1), 1);
    assert_int_equal(fake_device_avail_index(&fixture->device), 0);
    l4vio_queue_publish(&fixture->queue);
    assert_int_equal(fake_device_avail_index(&fixture->device), 3);
    assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(fake_device_next(&fixture->device, &heads[i]));

    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 0);
    fake_device_complete(&fixture->device, heads[2], 30);
    fake_device_complete(&fixture->device, heads[0], 10);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 1), 1);
    assert_int_equal((uintptr_t)done[0].cookie, 3);
    assert_int_equal(done[0].length_bytes, 30);
    fake_device_complete(&fixture->device, heads[1], 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 2);
    assert_int_equal((uintptr_t)done[0].cookie, 1);
    assert_int_equal((uintptr_t)done[1].cookie, 2);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
    assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 0);
    struct l4vio_queue_counters counters;
    l4vio_queue_counters(&fixture->queue, &counters);
    assert_int_equal(counters.added, 3);
    assert_int_equal(counters.completed, 3);
}

static void a_full_queue_says_again_and_takes_part_of_a_batch(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 4);
    const struct l4vio_buffer buffers[5] = {
        {.length_bytes = 1}, {.length_bytes = 1}, {.length_bytes = 1},
        {.length_bytes = 1}, {.length_bytes = 1},
    };
    struct l4vio_request requests[2] = {
        {.buffers = buffers, .readable = 3, .cookie = fixture},
        {.buffers = buffers, .readable = 1, .writable = 1},
    };
    struct l4vio_request whole = {.buffers = buffers, .readable = 4};
    struct l4vio_request too_long = {.buffers = buffers, .readable = 4, .writable = 1};
    struct l4vio_completion done;

    assert_int_equal(l4vio_queue_add(&fixture->queue, &too_long, 1), L4VIO_E2BIG);
    assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 0), 0);
    assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 2), 1);
    assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[1], 1), L4VIO_EAGAIN);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 1);
    l4vio_queue_publish(&fixture->queue);
    assert_int_equal(fake_device_complete_all(&fixture->device, 0), 1);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, &done, 1), 1);
    assert_ptr_equal(done.cookie, fixture);
    assert_int_equal(l4vio_queue_add(&fixture->queue, &whole, 1), 1);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 0);
}

/* A refused request leaves nothing behind: neither in the private state nor for the device. */
static void bad_requests_are_refused(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_buffer empty[] = {{.length_bytes = 1}, {.length_bytes = 0}};
    struct l4vio_buffer huge[] = {{.length_bytes = UINT32_MAX}, {.length_bytes = 1}};
    struct l4vio_buffer largest = {.length_bytes = UINT32_MAX};
    struct l4vio_request requests[] = {
        {.buffers = NULL},
        {.buffers = empty, .readable = 2},
        {.buffers = empty, .readable = 1, .writable = 1},
        {.buffers = huge, .readable = 1, .writable = 1},
        {.buffers = huge, .writable = 2},
    };
    struct l4vio_request good_then_bad[] = {
        {.buffers = &largest, .writable = 1},
        {.buffers = empty, .readable = 2},
    };

    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[i], 1), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
    assert_int_equal(l4vio_queue_avail_index(&fixture->queue), 0);
    assert_int_equal(l4vio_queue_add(&fixture->queue, good_then_bad, 2), 1);
    l4vio_queue_publish(&fixture->queue);
    assert_int_equal(fake_device_avail_index(&fixture->device), 1);
    ring_fixture_spin(fixture, 0);
}

/* The indexes wrap at 65536, for queues of every kind of size. */
static void indexes_wrap(void **state)
{
    static const uint16_t sizes[] = {1, 2, 256, 32768};
    *state = NULL;
    for (unsigned i = 0; i < 4; i++) {
        struct ring_fixture *fixture = ring_fixture_create(sizes[i], BUFFER_LEVEL);
        unsigned batch = sizes[i] < 100 ? sizes[i] : 100;
        struct l4vio_completion done[100];

        ring_fixture_spin(fixture, 0xfffe);
        assert_int_equal(l4vio_queue_avail_index(&fixture->queue), 0xfffe);
        for (unsigned round = 0; round < 3; round++) {
            for (uintptr_t n = 0; n < batch; n++)
                assert_int_equal(ring_fixture_add(fixture, 8, n), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_device_complete_all(&fixture->device, 8), batch);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 100), batch);
            for (uintptr_t n = 0; n < batch; n++)
                assert_int_equal((uintptr_t)done[n].cookie, n);
        }
        assert_int_equal(l4vio_queue_avail_index(&fixture->queue), (uint16_t)(0xfffe + 3 * batch));
        ring_fixture_free(fixture);
    }
}

static void the_largest_queue_fills_to_the_last_entry(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 32768);
    static struct l4vio_completion done[32768];
    static unsigned char seen[32768];

    for (unsigned round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < 32768; i++)
            assert_int_equal(ring_fixture_add(fixture, 4, i), 1);
        assert_int_equal(ring_fixture_add(fixture, 4, 0), L4VIO_EAGAIN);
        assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 32768);
        l4vio_queue_publish(&fixture->queue);
        assert_int_equal(fake_device_complete_all(&fixture->device, 4), 32768);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 32768), 32768);
        for (unsigned i = 0; i < 32768; i++)
            seen[(uintptr_t)done[i].cookie]++;
    }
    for (unsigned i = 0; i < 32768; i++)
        assert_int_equal(seen[i], 2);
}

static void kicks_follow_what_the_device_asks_for(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    assert_false(l4vio_queue_needs_kick(&fixture->queue));
    ring_fixture_add(fixture, 4, 0);
    assert_false(l4vio_queue_needs_kick(&fixture->queue));
    l4vio_queue_publish(&fixture->queue);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
    assert_false(l4vio_queue_needs_kick(&fixture->queue));

    fake_device_put_used_flags(&fixture->device, VIRTQ_USED_F_NO_NOTIFY);
    assert_true(l4vio_queue_device_disarmed(&fixture->queue));
    ring_fixture_add(fixture, 4, 0);
    l4vio_queue_publish(&fixture->queue);
    assert_false(l4vio_queue_needs_kick(&fixture->queue));
    assert_int_equal(fixture->queue.counters.kicks_suppressed, 1);
    fake_device_put_used_flags(&fixture->device, (uint16_t)~VIRTQ_USED_F_NO_NOTIFY);
    assert_false(l4vio_queue_device_disarmed(&fixture->queue));
    ring_fixture_add(fixture, 4, 0);
    l4vio_queue_publish(&fixture->queue);
    assert_true(l4vio_queue_needs_kick(&fixture->queue));
}

/* Clause D-2.7.7.1: the flag is 0 or 1; look again after it was cleared. */
static void arm_asks_and_looks_again(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);

    assert_false(l4vio_queue_arm(&fixture->queue));
    l4vio_queue_disarm(&fixture->queue);
    assert_true(l4vio_queue_is_disarmed(&fixture->queue));
    assert_int_equal(fake_device_avail_flags(&fixture->device), VIRTQ_AVAIL_F_NO_INTERRUPT);
    ring_fixture_add(fixture, 4, 0);
    l4vio_queue_publish(&fixture->queue);
    assert_false(l4vio_queue_has_used(&fixture->queue));
    fake_device_complete_all(&fixture->device, 4);
    assert_true(l4vio_queue_has_used(&fixture->queue));
    assert_true(l4vio_queue_arm(&fixture->queue));
    assert_false(l4vio_queue_is_disarmed(&fixture->queue));
    assert_int_equal(fake_device_avail_flags(&fixture->device), 0);
}

static void detach_hands_back_every_cookie_once_after_a_reset(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 16);
    void *cookies[3];
    unsigned seen = 0;
    int count;

    ring_fixture_spin(fixture, 5);
    for (uintptr_t i = 0; i < 10; i++)
        ring_fixture_add(fixture, 4, i);
    assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 3), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_EBUSY);
    ring_fixture_reset(fixture);
    while ((count = l4vio_queue_detach(&fixture->queue, cookies, 3)) > 0) {
        for (int i = 0; i < count; i++) {
            assert_false(seen & 1u << (uintptr_t)cookies[i]);
            seen |= 1u << (uintptr_t)cookies[i];
        }
    }
    assert_int_equal(count, 0);
    assert_int_equal(seen, 0x3ff);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 16);

    assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
    assert_int_equal(fake_device_avail_index(&fixture->device), 0);
    fixture->queue.live = true;
    ring_fixture_spin(fixture, 20);
}

/* What a reset took back was added and not completed; what was not published was neither. */
static void counters_go_on_over_a_reset(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_queue_counters counters;
    void *cookies[2];

    ring_fixture_spin(fixture, 3);
    for (unsigned round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < 3; i++)
            ring_fixture_add(fixture, 4, i);
        l4vio_queue_publish(&fixture->queue);
        ring_fixture_add(fixture, 4, 3);
        ring_fixture_reset(fixture);
        assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 1), 1);
        assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 2), 2);
        assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 2), 1);
        assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
        fixture->queue.live = true;
        ring_fixture_spin(fixture, 2);
    }
    l4vio_queue_counters(&fixture->queue, &counters);
    assert_int_equal(counters.added, 3 + 2 * (3 + 2));
    assert_int_equal(counters.completed, 3 + 2 * 2);
}

static void levels_do_not_mix(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    uint32_t length;

    assert_int_equal(l4vio_descriptor_alloc(&fixture->queue), L4VIO_EOQ);
    assert_null(l4vio_descriptor_get(&fixture->queue, 0));
    assert_int_equal(l4vio_descriptor_enqueue(&fixture->queue, 0), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_find_next_used(&fixture->queue, &length), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_keep(&fixture->queue, 0, 0), L4VIO_EINVAL);
    assert_false(l4vio_descriptor_take_kept(&fixture->queue, 0, &length));
    assert_int_equal(l4vio_descriptor_free(&fixture->queue, 0, 0), L4VIO_EINVAL);
}

static void dump_names_the_state(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_queue_dump_line lines[24];

    ring_fixture_add(fixture, 4, 0);
    unsigned count = l4vio_queue_dump(&fixture->queue, lines, 24);
    assert_in_range(count, 10, 24);
    assert_string_equal(lines[1].name, "size");
    assert_int_equal(lines[1].value, 8);
    assert_int_equal(l4vio_queue_dump(&fixture->queue, lines, 2), 2);
}

#define QUEUE_TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(a_chain_is_written_as_the_request_says),
        QUEUE_TEST(a_batch_is_published_at_once_and_completed_in_any_order),
        QUEUE_TEST(a_full_queue_says_again_and_takes_part_of_a_batch),
        QUEUE_TEST(bad_requests_are_refused),
        cmocka_unit_test(indexes_wrap),
        QUEUE_TEST(the_largest_queue_fills_to_the_last_entry),
        QUEUE_TEST(kicks_follow_what_the_device_asks_for),
        QUEUE_TEST(arm_asks_and_looks_again),
        QUEUE_TEST(detach_hands_back_every_cookie_once_after_a_reset),
        QUEUE_TEST(counters_go_on_over_a_reset),
        QUEUE_TEST(levels_do_not_mix),
        QUEUE_TEST(dump_names_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
