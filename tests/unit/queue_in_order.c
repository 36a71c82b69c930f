/* SPDX-License-Identifier: MIT */
/* IN_ORDER on the split ring, driver side: order of the table, used elements that stand for many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static struct ring_fixture *fixture_with(void **state, uint16_t size, enum ring_fixture_level level)
{
    const int features[] = {L4VIO_F_IN_ORDER, RING_FIXTURE_END};
    struct ring_fixture *fixture = ring_fixture_create_with(size, level, features);
    *state = fixture;
    return fixture;
}

static struct ring_fixture *fixture_of(void **state, uint16_t size)
{
    return fixture_with(state, size, BUFFER_LEVEL);
}

static int tear_down(void **state)
{
    ring_fixture_free(*state);
    return 0;
}

/* A request of `readable` buffers of 10 bytes and `writable` ones of 100. */
static int add(struct ring_fixture *fixture, uint16_t readable, uint16_t writable, uintptr_t cookie)
{
    struct l4vio_buffer buffers[8];
    struct l4vio_request request = {
        .buffers = buffers, .readable = readable, .writable = writable, .cookie = (void *)cookie};
    for (unsigned i = 0; i < 8; i++)
        buffers[i] = (struct l4vio_buffer){.address = 0x1000 * (i + 1u),
                                           .length_bytes = i < readable ? 10 : 100};
    return l4vio_queue_add(&fixture->queue, &request, 1);
}

/* `count` requests of one writable buffer of 8 bytes, with cookies from 0. */
static void publish(struct ring_fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
    l4vio_queue_publish(&fixture->queue);
}

static void assert_done(const struct l4vio_completion *done, uintptr_t cookie, uint32_t length)
{
    assert_int_equal((uintptr_t)done->cookie, cookie);
    assert_int_equal(done->length_bytes, length);
}

/* Clause D-2.7.5.2-2, over the end of the table. */
static void entries_are_taken_in_the_order_of_the_table(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];
    uint16_t head;
    unsigned expected = 0;

    for (unsigned round = 0; round < 50; round++) {
        unsigned buffers = 1 + round % 4;
        assert_int_equal(
            add(fixture, (uint16_t)(buffers / 2), (uint16_t)(buffers - buffers / 2), 7), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_device_next(&fixture->device, &head));
        assert_int_equal(head, expected % 8);
        for (unsigned i = 0; i < buffers; i++, expected++) {
            struct fake_device_descriptor descriptor =
                fake_device_descriptor(&fixture->device, (uint16_t)(expected % 8));
            unsigned flags = (i + 1 < buffers ? VIRTQ_DESC_F_NEXT : 0u) |
                             (i >= buffers / 2 ? VIRTQ_DESC_F_WRITE : 0u);
            assert_int_equal(descriptor.flags, flags);
            assert_int_equal(descriptor.address, 0x1000 * (i + 1u));
            if (flags & VIRTQ_DESC_F_NEXT)
                assert_int_equal(descriptor.next, (expected + 1) % 8);
        }
        fake_device_complete(&fixture->device, head, 5);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 1);
        assert_done(&done[0], 7, 5);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
    }
}

static void one_element_completes_a_batch(void **state)
{
    static const unsigned starts[] = {0, 6, 65530, 3};
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        ring_fixture_spin(fixture, starts[i]);
        uint16_t first = l4vio_queue_avail_index(&fixture->queue);
        publish(fixture, 7);
        fake_device_complete_batch(&fixture->device, (first + 4u) % 8, 3, 5);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 5);
        for (unsigned n = 0; n < 5; n++)
            assert_done(&done[n], n, n == 4 ? 3 : 8);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 0);
        /* The next element lies behind the batch. */
        fake_device_complete_batch(&fixture->device, (first + 6u) % 8, 9, 2);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 2);
        assert_done(&done[0], 5, 8);
        assert_done(&done[1], 6, 8); /* Clamped. */
        fixture->device.avail_seen = (uint16_t)(fixture->device.avail_seen + 7);
    }
    assert_int_equal(fixture->queue.counters.clamped_lengths, 4);
}

static void a_batch_is_taken_in_pieces(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];

    ring_fixture_spin(fixture, 5);
    publish(fixture, 8);
    fake_device_complete_batch(&fixture->device, (5 + 3) % 8, 1, 4);
    fake_device_complete_batch(&fixture->device, (5 + 5) % 8, 2, 2);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 1), 1);
    assert_done(&done[0], 0, 8);
    assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 7);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 1);
    assert_true(l4vio_queue_has_used(&fixture->queue));
    assert_true(l4vio_queue_arm(&fixture->queue));
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 0), 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
    assert_done(&done[1], 2, 8);
    /* The rest of the batch, and of the next one. */
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
    assert_done(&done[0], 3, 1);
    assert_done(&done[1], 4, 8);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 1);
    assert_done(&done[0], 5, 2);
    assert_false(l4vio_queue_has_used(&fixture->queue));
    fake_device_complete_batch(&fixture->device, (5 + 7) % 8, 4, 2);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 2);
    assert_done(&done[1], 7, 4);
}

/* What was told of once is not asked of the ring again. */
static void an_index_that_goes_back_changes_nothing_of_what_is_known(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];

    publish(fixture, 4);
    fake_device_complete_batch(&fixture->device, 3, 1, 4);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
    fake_device_put_used_index(&fixture->device, 2);
    fake_device_put_element(&fixture->device, 0, 0, 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
    assert_done(&done[1], 3, 1);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), L4VIO_EBADPROTO);
}

static void chains_of_any_length_are_skipped_over(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 16);
    struct l4vio_completion done[8];

    for (unsigned round = 0; round < 40; round++) {
        uint16_t heads[5];
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(add(fixture, (uint16_t)(i % 3), (uint16_t)(1 + (i + round) % 2), i),
                             1);
        l4vio_queue_publish(&fixture->queue);
        for (unsigned i = 0; i < 5; i++)
            assert_true(fake_device_next(&fixture->device, &heads[i]));
        fake_device_complete_batch(&fixture->device, heads[3], 50, 4);
        fake_device_complete_batch(&fixture->device, heads[4], 60, 1);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 3), 3);
        for (unsigned i = 0; i < 3; i++)
            assert_done(&done[i], i, 100 * (1 + (i + round) % 2));
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 2);
        assert_done(&done[0], 3, 50);
        assert_done(&done[1], 4, 60);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 16);
    }
}

static void a_full_queue_says_again(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 4);
    struct l4vio_completion done[4];

    assert_int_equal(add(fixture, 4, 1, 0), L4VIO_E2BIG);
    assert_int_equal(add(fixture, 0, 0, 0), L4VIO_EINVAL);
    ring_fixture_spin(fixture, 3);
    assert_int_equal(add(fixture, 2, 1, 0), 1);
    assert_int_equal(add(fixture, 1, 1, 1), L4VIO_EAGAIN);
    assert_int_equal(add(fixture, 0, 1, 1), 1);
    assert_int_equal(add(fixture, 0, 1, 2), L4VIO_EAGAIN);
    l4vio_queue_publish(&fixture->queue);
    fake_device_complete_batch(&fixture->device, 2, 7, 2);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), 2);
    assert_done(&done[0], 0, 100);
    assert_done(&done[1], 1, 7);
    fixture->device.avail_seen = (uint16_t)(fixture->device.avail_seen + 2);
    ring_fixture_spin(fixture, 9);
}

static void large_batches_stop_where_the_queue_is_full(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_buffer buffer = {.length_bytes = 8};
    struct l4vio_buffer empty = {0};
    struct l4vio_request requests[12];
    struct l4vio_completion done[12];

    for (uintptr_t i = 0; i < 12; i++)
        requests[i] =
            (struct l4vio_request){.buffers = &buffer, .writable = 1, .cookie = (void *)i};
    for (unsigned round = 0; round < 20; round++) {
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 3), 3);
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 12), 5);
        assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 12), L4VIO_EAGAIN);
        l4vio_queue_publish(&fixture->queue);
        assert_int_equal(fake_device_complete_all(&fixture->device, 8), 8);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 12), 8);
        for (unsigned i = 0; i < 8; i++)
            assert_done(&done[i], i < 3 ? i : i - 3, 8);
        ring_fixture_spin(fixture, 3);
    }
    requests[2].buffers = &empty;
    assert_int_equal(l4vio_queue_add(&fixture->queue, requests, 4), 2);
    assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[2], 1), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 6);
}

/* Three requests of entries 0; 1 and 2; 3 have been published, a fourth of entry 4 has not. */
static void breaks(uint32_t id, uint16_t index, bool strict, uint32_t length, int before)
{
    void *state;
    struct ring_fixture *fixture = fixture_of(&state, 8);
    struct l4vio_completion done[8];
    void *cookies[8];

    fixture->queue.strict = strict;
    add(fixture, 0, 1, 0);
    add(fixture, 1, 1, 1);
    add(fixture, 0, 1, 2);
    l4vio_queue_publish(&fixture->queue);
    add(fixture, 0, 1, 3);
    if (before) {
        fake_device_complete(&fixture->device, 0, 1);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 1);
    }
    fake_device_put_element(&fixture->device, fixture->device.used_index, id, length);
    fake_device_put_used_index(&fixture->device, index);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), L4VIO_EBADPROTO);
    assert_int_equal(ring_fixture_add(fixture, 8, 0), L4VIO_EBADPROTO);
    ring_fixture_reset(fixture);
    assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 8), 4 - before);
    assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
    ring_fixture_free(fixture);
}

static void wrong_elements_break_the_queue(void **state)
{
    *state = NULL;
    breaks(8, 1, false, 0, 0);          /* Out of range. */
    breaks(0x10000, 1, false, 0, 0);    /* The same in 16 bits. */
    breaks(UINT32_MAX, 3, false, 0, 0); /* The largest. */
    breaks(5, 3, false, 0, 0);          /* Free. */
    breaks(4, 3, false, 0, 0);          /* Not published. */
    breaks(2, 3, false, 0, 0);          /* Not a head. */
    breaks(1, 1, false, 0, 0);          /* Further than used.idx says. */
    breaks(3, 2, false, 0, 0);          /* The same. */
    breaks(0, 2, false, 0, 1);          /* Used before. */
    breaks(3, 4, false, 0, 0);          /* used.idx ahead. */
    breaks(3, 0xffff, false, 0, 0);     /* used.idx went back. */
    breaks(0, 1, true, 101, 0);         /* A length that was not there. */
    breaks(1, 2, true, 101, 0);         /* The same, of a batch. */
}

/* With requests of one entry each the id is checked by arithmetic. Entries 7, 0 and 1 are in flight. */
static void wrong_elements_break_a_queue_of_single_buffers(void **state)
{
    static const struct {
        uint32_t id;
        uint16_t count;
        int result;
    } cases[] = {
        {7, 1, 1},
        {0, 2, 2},
        {1, 3, 3},
        {6, 1, L4VIO_EBADPROTO},     /* Used before. */
        {5, 3, L4VIO_EBADPROTO},     /* The same, long ago. */
        {2, 3, L4VIO_EBADPROTO},     /* Free. */
        {0, 1, L4VIO_EBADPROTO},     /* Further than used.idx says. */
        {1, 2, L4VIO_EBADPROTO},     /* The same. */
        {8 + 7, 1, L4VIO_EBADPROTO}, /* Out of range. */
        {1, 4, L4VIO_EBADPROTO},     /* used.idx ahead. */
    };
    *state = NULL;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        void *own;
        struct ring_fixture *fixture = fixture_of(&own, 8);
        struct l4vio_completion done[8];
        ring_fixture_spin(fixture, 7);
        publish(fixture, 3);
        fake_device_complete_batch(&fixture->device, cases[i].id, 8, cases[i].count);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), cases[i].result);
        ring_fixture_free(fixture);
    }
}

/* Table and ring do not end at the same request once there was a chain. */
static void an_id_behind_the_table_breaks_the_queue(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];
    uint16_t head;

    assert_int_equal(add(fixture, 1, 2, 0), 1);
    l4vio_queue_publish(&fixture->queue);
    assert_true(fake_device_next(&fixture->device, &head));
    fake_device_complete(&fixture->device, head, 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 1);
    publish(fixture, 8); /* Entries 3 to 7 and 0 to 2, at places 1 to 7 and 0. */
    for (uint32_t id = 3; id <= 9; id++)
        fake_device_complete(&fixture->device, id, 8);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 5);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), L4VIO_EBADPROTO);
}

static void good_completions_come_before_the_error(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];

    publish(fixture, 6);
    fake_device_complete_batch(&fixture->device, 2, 5, 3);
    fake_device_complete(&fixture->device, 2, 5);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 3);
    assert_done(&done[2], 2, 5);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), L4VIO_EBADPROTO);
}

static void detach_hands_back_what_was_not_taken(void **state)
{
    struct ring_fixture *fixture = fixture_of(state, 8);
    struct l4vio_completion done[8];
    void *cookies[8];
    unsigned seen = 0;

    ring_fixture_spin(fixture, 5);
    publish(fixture, 6);
    fake_device_complete_batch(&fixture->device, 0, 5, 4);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
    ring_fixture_reset(fixture);
    assert_int_equal(l4vio_queue_detach(&fixture->queue, cookies, 8), 4);
    for (unsigned i = 0; i < 4; i++)
        seen |= 1u << (uintptr_t)cookies[i];
    assert_int_equal(seen, 0x3c);
    assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
    fixture->queue.live = true;
    publish(fixture, 8);
    fake_device_complete_batch(&fixture->device, 7, 5, 8);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 8), 8);
    assert_done(&done[7], 7, 5);
}

static uint16_t enqueue(struct ring_fixture *fixture, unsigned count)
{
    uint16_t head = L4VIO_EOQ;
    for (unsigned i = 0; i < count; i++) {
        uint16_t id = l4vio_descriptor_alloc(&fixture->queue);
        assert_int_not_equal(id, L4VIO_EOQ);
        *l4vio_descriptor_get(&fixture->queue, id) = (struct l4vio_descriptor){
            .length_bytes = 16,
            .flags = (uint16_t)(VIRTQ_DESC_F_WRITE | (i ? VIRTQ_DESC_F_NEXT : 0u)),
            .next = head,
        };
        head = id;
    }
    assert_int_equal(l4vio_descriptor_enqueue(&fixture->queue, head), L4VIO_OK);
    return head;
}

static void the_descriptor_level_takes_batches_one_by_one(void **state)
{
    struct ring_fixture *fixture = fixture_with(state, 8, DESCRIPTOR_LEVEL);

    for (unsigned round = 0; round < 30; round++) {
        uint16_t ids[3];
        uint16_t head = 0;
        uint32_t length;
        for (unsigned i = 0; i < 3; i++) {
            ids[i] = enqueue(fixture, 1 + (i + round) % 3);
            assert_true(fake_device_next(&fixture->device, &head));
        }
        fake_device_complete_batch(&fixture->device, head, 4, 3);
        for (unsigned i = 0; i < 3; i++) {
            uint16_t id = l4vio_descriptor_find_next_used(&fixture->queue, &length);
            assert_int_equal(id, ids[i]);
            assert_int_equal(length, i == 2 ? 4 : 16 * (1 + (i + round) % 3));
            uint16_t tail = id;
            while (l4vio_descriptor_get(&fixture->queue, tail)->flags & VIRTQ_DESC_F_NEXT)
                tail = l4vio_descriptor_get(&fixture->queue, tail)->next;
            assert_int_equal(l4vio_descriptor_free(&fixture->queue, id, tail), L4VIO_OK);
        }
        assert_int_equal(l4vio_descriptor_find_next_used(&fixture->queue, &length), L4VIO_EOQ);
    }
    assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
}

#define QUEUE_TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(entries_are_taken_in_the_order_of_the_table),
        QUEUE_TEST(one_element_completes_a_batch),
        QUEUE_TEST(a_batch_is_taken_in_pieces),
        QUEUE_TEST(an_index_that_goes_back_changes_nothing_of_what_is_known),
        QUEUE_TEST(chains_of_any_length_are_skipped_over),
        QUEUE_TEST(a_full_queue_says_again),
        QUEUE_TEST(large_batches_stop_where_the_queue_is_full),
        cmocka_unit_test(wrong_elements_break_the_queue),
        cmocka_unit_test(wrong_elements_break_a_queue_of_single_buffers),
        QUEUE_TEST(an_id_behind_the_table_breaks_the_queue),
        QUEUE_TEST(good_completions_come_before_the_error),
        QUEUE_TEST(detach_hands_back_what_was_not_taken),
        QUEUE_TEST(the_descriptor_level_takes_batches_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
