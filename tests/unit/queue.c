/* SPDX-License-Identifier: MIT */
/* The buffer level of a driver queue, of every format and with every feature, against a device that behaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_rig.h"

static struct ring_rig *rig_of(void **state, uint16_t size)
{
    struct ring_rig *rig = ring_rig_create(size, BUFFER_LEVEL);
    *state = rig;
    return rig;
}

static int tear_down(void **state)
{
    ring_rig_free(*state);
    return 0;
}

/* Clauses D-2.7.4.2-1 (readable first), D-2.7.13-1: what the device sees of one request. */
static void a_chain_is_written_as_the_request_says(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
    const struct l4vio_buffer buffers[] = {
        {.address = 0x1122334455667788, .length_bytes = 16},
        {.address = 0x2000, .length_bytes = 0x80000000},
        {.address = 0x3000, .length_bytes = 4096},
        {.address = 0x4000, .length_bytes = 1},
    };
    struct l4vio_request request = {.buffers = buffers, .readable = 2, .writable = 2};
    struct ring_rig_request seen;

    assert_int_equal(l4vio_queue_add(&rig->queue, &request, 1), 1);
    assert_int_equal(l4vio_queue_room(&rig->queue), 8 - ring_rig_entries(rig, 4));
    assert_false(ring_rig_next(rig, &seen));
    l4vio_queue_publish(&rig->queue);
    assert_true(ring_rig_next(rig, &seen));
    assert_int_equal(seen.entries, ring_rig_entries(rig, 4));
    assert_int_equal(seen.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(seen.pieces[i].address, buffers[i].address);
        assert_int_equal(seen.pieces[i].length_bytes, buffers[i].length_bytes);
        assert_int_equal(seen.pieces[i].writable, i >= 2);
    }
    assert_false(ring_rig_next(rig, &seen));
}

static void a_batch_is_published_at_once_and_completed_in_any_order(void **state)
{
    static const unsigned any_order[] = {2, 0, 1};
    static const unsigned in_order[] = {0, 1, 2};
    const unsigned *order = ring_rig_has(L4VIO_F_IN_ORDER) ? in_order : any_order;
    struct ring_rig *rig = rig_of(state, 8);
    struct l4vio_queue_counters counters;
    struct l4vio_completion done[8];
    struct ring_rig_request seen[3];

    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(ring_rig_add(rig, 100, i), 1);
    assert_false(ring_rig_next(rig, &seen[0]));
    l4vio_queue_publish(&rig->queue);
    assert_int_equal(l4vio_queue_in_flight(&rig->queue), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(ring_rig_next(rig, &seen[i]));

    assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 8), 0);
    ring_rig_complete(rig, &seen[order[0]], 30);
    ring_rig_complete(rig, &seen[order[1]], 10);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 1), 1);
    assert_int_equal((uintptr_t)done[0].cookie, order[0]);
    assert_int_equal(done[0].length_bytes, 30);
    ring_rig_complete(rig, &seen[order[2]], 0);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 8), 2);
    assert_int_equal((uintptr_t)done[0].cookie, order[1]);
    assert_int_equal((uintptr_t)done[1].cookie, order[2]);
    assert_int_equal(done[1].length_bytes, 0);
    assert_int_equal(l4vio_queue_room(&rig->queue), 8);
    assert_int_equal(l4vio_queue_in_flight(&rig->queue), 0);
    l4vio_queue_counters(&rig->queue, &counters);
    assert_int_equal(counters.added, 3);
    assert_int_equal(counters.completed, 3);
}

/* Of a queue of 8 with tables of 4: requests of 5 buffers take 5 entries in every case. */
static void a_full_queue_says_again_and_takes_part_of_a_batch(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
    struct l4vio_buffer buffers[9];
    struct l4vio_request requests[2] = {
        {.buffers = buffers, .readable = 5, .cookie = rig},
        {.buffers = buffers, .readable = 4, .writable = 1},
    };
    struct l4vio_request whole = {.buffers = buffers, .readable = 8};
    struct l4vio_request too_long = {.buffers = buffers, .readable = 8, .writable = 1};
    struct l4vio_completion done;

    for (unsigned i = 0; i < 9; i++)
        buffers[i] = (struct l4vio_buffer){.length_bytes = 1};
    assert_int_equal(l4vio_queue_add(&rig->queue, &too_long, 1), L4VIO_E2BIG);
    assert_int_equal(l4vio_queue_add(&rig->queue, requests, 0), 0);
    assert_int_equal(l4vio_queue_add(&rig->queue, requests, 2), 1);
    assert_int_equal(l4vio_queue_add(&rig->queue, &requests[1], 1), L4VIO_EAGAIN);
    assert_int_equal(l4vio_queue_room(&rig->queue), 3);
    l4vio_queue_publish(&rig->queue);
    assert_int_equal(ring_rig_complete_all(rig, 0), 1);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, &done, 1), 1);
    assert_ptr_equal(done.cookie, rig);
    assert_int_equal(l4vio_queue_add(&rig->queue, &whole, 1), 1);
    assert_int_equal(l4vio_queue_room(&rig->queue), 0);
}

/* A refused request leaves nothing behind: neither in the private state nor for the device.
 * Clause D-2.7.5.2-1. */
static void bad_requests_are_refused(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
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
        assert_int_equal(l4vio_queue_add(&rig->queue, &requests[i], 1), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_room(&rig->queue), 8);
    assert_int_equal(l4vio_queue_avail_index(&rig->queue), 0);
    assert_int_equal(l4vio_queue_add(&rig->queue, good_then_bad, 2), 1);
    l4vio_queue_publish(&rig->queue);
    assert_int_equal(ring_rig_complete_all(rig, 8), 1);
}

/* Indexes wrap at 65536, places at the end of the ring, for queues of every kind of size. */
static void indexes_wrap(void **state)
{
    static const uint16_t split_sizes[] = {1, 2, 256, 32768};
    static const uint16_t packed_sizes[] = {1, 3, 250, 32767};
    *state = NULL;
    for (unsigned i = 0; i < 4; i++) {
        uint16_t size = ring_rig_has(L4VIO_F_RING_PACKED) ? packed_sizes[i] : split_sizes[i];
        struct ring_rig *rig = ring_rig_create(size, BUFFER_LEVEL);
        unsigned batch = size < 100 ? size : 100;
        struct l4vio_completion done[100];

        ring_rig_spin(rig, 0xfffe);
        assert_int_equal(l4vio_queue_avail_index(&rig->queue), 0xfffe);
        for (unsigned round = 0; round < 3; round++) {
            for (uintptr_t n = 0; n < batch; n++)
                assert_int_equal(ring_rig_add(rig, 8, n), 1);
            l4vio_queue_publish(&rig->queue);
            assert_int_equal(ring_rig_complete_all(rig, 8), batch);
            assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 100), batch);
            for (uintptr_t n = 0; n < batch; n++)
                assert_int_equal((uintptr_t)done[n].cookie, n);
        }
        assert_int_equal(l4vio_queue_avail_index(&rig->queue), (uint16_t)(0xfffe + 3 * batch));
        ring_rig_free(rig);
    }
}

static void the_largest_queue_fills_to_the_last_entry(void **state)
{
    struct ring_rig *rig = rig_of(state, 32768);
    static struct l4vio_completion done[32768];
    unsigned char seen[32768] = {0};

    for (unsigned round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < 32768; i++)
            assert_int_equal(ring_rig_add(rig, 4, i), 1);
        assert_int_equal(ring_rig_add(rig, 4, 0), L4VIO_EAGAIN);
        assert_int_equal(l4vio_queue_in_flight(&rig->queue), 32768);
        l4vio_queue_publish(&rig->queue);
        assert_int_equal(ring_rig_complete_all(rig, 4), 32768);
        assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 32768), 32768);
        for (unsigned i = 0; i < 32768; i++)
            seen[(uintptr_t)done[i].cookie]++;
    }
    for (unsigned i = 0; i < 32768; i++)
        assert_int_equal(seen[i], 2);
}

/* Clauses D-2.7.10.1-3 and D-2.7.10.1-4. */
static void kicks_follow_what_the_device_asks_for(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);

    assert_false(l4vio_queue_needs_kick(&rig->queue));
    ring_rig_add(rig, 4, 0);
    assert_false(l4vio_queue_needs_kick(&rig->queue));
    l4vio_queue_publish(&rig->queue);
    assert_true(l4vio_queue_needs_kick(&rig->queue));
    assert_false(l4vio_queue_needs_kick(&rig->queue));

    /* Event indexes say more than a flag: the device may be silent now and want to hear later. */
    ring_rig_ask_for_kicks(rig, false);
    if (!ring_rig_has(L4VIO_F_EVENT_IDX))
        assert_true(l4vio_queue_device_disarmed(&rig->queue));
    ring_rig_add(rig, 4, 0);
    l4vio_queue_publish(&rig->queue);
    assert_false(l4vio_queue_needs_kick(&rig->queue));
    assert_int_equal(rig->queue.counters.kicks_suppressed, 1);
    ring_rig_ask_for_kicks(rig, true);
    assert_false(l4vio_queue_device_disarmed(&rig->queue));
    ring_rig_add(rig, 4, 0);
    l4vio_queue_publish(&rig->queue);
    assert_true(l4vio_queue_needs_kick(&rig->queue));
}

/* Clause D-2.7.7.1: the flag is 0 or 1; look again after it was cleared.
 * Clause D-2.7.7.1-2. */
static void arm_asks_and_looks_again(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
    struct l4vio_completion done;

    assert_false(l4vio_queue_arm(&rig->queue));
    l4vio_queue_disarm(&rig->queue);
    assert_true(l4vio_queue_is_disarmed(&rig->queue));
    assert_false(ring_rig_interrupt_wanted(rig));
    ring_rig_add(rig, 4, 0);
    l4vio_queue_publish(&rig->queue);
    assert_false(l4vio_queue_has_used(&rig->queue));
    ring_rig_complete_all(rig, 4);
    assert_true(l4vio_queue_has_used(&rig->queue));
    assert_true(l4vio_queue_arm(&rig->queue));
    assert_false(l4vio_queue_is_disarmed(&rig->queue));
    assert_int_equal(l4vio_queue_get_used(&rig->queue, &done, 1), 1);
    assert_false(l4vio_queue_arm(&rig->queue));
    assert_true(ring_rig_interrupt_wanted(rig));
}

static void detach_hands_back_every_cookie_once_after_a_reset(void **state)
{
    struct ring_rig *rig = rig_of(state, 16);
    void *cookies[3];
    unsigned seen = 0;
    int count;

    ring_rig_spin(rig, 5);
    for (uintptr_t i = 0; i < 10; i++)
        ring_rig_add(rig, 4, i);
    assert_int_equal(l4vio_queue_detach(&rig->queue, cookies, 3), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_initialize_rings(&rig->queue), L4VIO_EBUSY);
    ring_rig_reset(rig);
    while ((count = l4vio_queue_detach(&rig->queue, cookies, 3)) > 0) {
        for (int i = 0; i < count; i++) {
            assert_false(seen & 1u << (uintptr_t)cookies[i]);
            seen |= 1u << (uintptr_t)cookies[i];
        }
    }
    assert_int_equal(count, 0);
    assert_int_equal(seen, 0x3ff);
    assert_int_equal(l4vio_queue_room(&rig->queue), 16);

    assert_int_equal(l4vio_queue_initialize_rings(&rig->queue), L4VIO_OK);
    struct ring_rig_request none;
    assert_false(ring_rig_next(rig, &none));
    rig->queue.live = true;
    ring_rig_spin(rig, 20);
}

/* What a reset took back was added and not completed; what was not published was neither. */
static void counters_go_on_over_a_reset(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
    struct l4vio_queue_counters counters;
    void *cookies[2];

    ring_rig_spin(rig, 3);
    for (unsigned round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < 3; i++)
            ring_rig_add(rig, 4, i);
        l4vio_queue_publish(&rig->queue);
        ring_rig_add(rig, 4, 3);
        ring_rig_reset(rig);
        assert_int_equal(l4vio_queue_detach(&rig->queue, cookies, 1), 1);
        assert_int_equal(l4vio_queue_detach(&rig->queue, cookies, 2), 2);
        assert_int_equal(l4vio_queue_detach(&rig->queue, cookies, 2), 1);
        assert_int_equal(l4vio_queue_initialize_rings(&rig->queue), L4VIO_OK);
        rig->queue.live = true;
        ring_rig_spin(rig, 2);
    }
    l4vio_queue_counters(&rig->queue, &counters);
    assert_int_equal(counters.added, 3 + 2 * (3 + 2));
    assert_int_equal(counters.completed, 3 + 2 * 2);
}

static void levels_do_not_mix(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
    uint32_t length;

    assert_int_equal(l4vio_descriptor_alloc(&rig->queue), L4VIO_EOQ);
    assert_null(l4vio_descriptor_get(&rig->queue, 0));
    assert_int_equal(l4vio_descriptor_enqueue(&rig->queue, 0), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_find_next_used(&rig->queue, &length), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_keep(&rig->queue, 0, 0), L4VIO_EINVAL);
    assert_false(l4vio_descriptor_take_kept(&rig->queue, 0, &length));
    assert_int_equal(l4vio_descriptor_free(&rig->queue, 0, 0), L4VIO_EINVAL);
}

static void dump_names_the_state(void **state)
{
    struct ring_rig *rig = rig_of(state, 8);
    struct l4vio_queue_dump_line lines[24];

    ring_rig_add(rig, 4, 0);
    unsigned count = l4vio_queue_dump(&rig->queue, lines, 24);
    assert_in_range(count, 10, 24);
    assert_string_equal(lines[1].name, "size");
    assert_int_equal(lines[1].value, 8);
    assert_int_equal(l4vio_queue_dump(&rig->queue, lines, 2), 2);
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
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
