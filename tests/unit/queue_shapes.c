/* SPDX-License-Identifier: MIT */
/*
 * Requests of one buffer go a straight path through the ring, all others a general one, and a batch
 * may change from one to the other at any place, in every format. Here are all sequences of four requests of each
 * shape, in one call and in single calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_rig.h"

#define LENGTH 4

enum shape { READABLE, WRITABLE, BOTH, EMPTY, SHAPES };

static const struct l4vio_buffer buffers[] = {
    {.address = 0x1000, .length_bytes = 16},
    {.address = 0x2000, .length_bytes = 32},
};
static const struct l4vio_buffer empty = {.address = 0x3000};

/* The number'th sequence, and its entries in the ring up to the first that is refused. */
static unsigned make_sequence(const struct ring_rig *rig, unsigned number,
                              struct l4vio_request *requests, unsigned size, unsigned *entries)
{
    unsigned taken = 0;
    bool refused = false;
    *entries = 0;
    for (unsigned i = 0; i < LENGTH; i++, number /= SHAPES) {
        enum shape shape = number % SHAPES;
        requests[i] = (struct l4vio_request){
            .buffers = shape == EMPTY ? &empty : buffers,
            .readable = shape == READABLE || shape == BOTH,
            .writable = shape != READABLE,
            .cookie = &requests[i],
        };
        unsigned needs = ring_rig_entries(rig, shape == BOTH ? 2 : 1);
        refused = refused || shape == EMPTY || *entries + needs > size;
        if (!refused) {
            *entries += needs;
            taken++;
        }
    }
    return taken;
}

static uint32_t writable_bytes(const struct l4vio_request *request)
{
    return request->writable ? request->buffers[request->readable].length_bytes : 0;
}

/* What the device sees of one request. */
static struct ring_rig_request assert_available(struct ring_rig *rig,
                                                const struct l4vio_request *request)
{
    struct ring_rig_request seen;
    unsigned count = request->readable + request->writable;

    assert_true(ring_rig_next(rig, &seen));
    assert_int_equal(seen.count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(seen.pieces[i].address, request->buffers[i].address);
        assert_int_equal(seen.pieces[i].length_bytes, request->buffers[i].length_bytes);
        assert_int_equal(seen.pieces[i].writable, i >= request->readable);
    }
    return seen;
}

static int add(struct l4vio_queue *queue, const struct l4vio_request *requests, bool single)
{
    if (!single)
        return l4vio_queue_add(queue, requests, LENGTH);
    for (int i = 0; i < LENGTH; i++) {
        int result = l4vio_queue_add(queue, &requests[i], 1);
        if (result != 1)
            return i ? i : result;
    }
    return LENGTH;
}

static int take(struct l4vio_queue *queue, struct l4vio_completion *done, bool single)
{
    int taken = 0;
    if (!single)
        return l4vio_queue_get_used(queue, done, LENGTH);
    while (l4vio_queue_get_used(queue, &done[taken], 1) == 1)
        taken++;
    return taken;
}

static void check_sequence(struct ring_rig *rig, unsigned number, bool single)
{
    struct l4vio_queue *queue = &rig->queue;
    const unsigned size = l4vio_queue_size(queue);
    struct l4vio_request requests[LENGTH];
    struct l4vio_completion done[LENGTH];
    struct ring_rig_request seen[LENGTH];
    unsigned entries;
    unsigned expected = make_sequence(rig, number, requests, size, &entries);

    int added = add(queue, requests, single);
    if (expected == 0)
        assert_int_equal(added, L4VIO_EINVAL);
    else
        assert_int_equal(added, expected);
    assert_int_equal(l4vio_queue_room(queue), size - entries);
    assert_int_equal(l4vio_queue_in_flight(queue), expected);
    l4vio_queue_publish(queue);
    for (unsigned i = 0; i < expected; i++)
        seen[i] = assert_available(rig, &requests[i]);

    /* The last one first, where that is allowed. */
    const bool in_order = ring_rig_has(L4VIO_F_IN_ORDER);
    for (unsigned i = 0; i < expected; i++) {
        unsigned which = in_order ? i : expected - 1 - i;
        ring_rig_complete(rig, &seen[which], writable_bytes(&requests[which]));
    }
    assert_int_equal(take(queue, done, single), expected);
    for (unsigned i = 0; i < expected; i++) {
        const struct l4vio_request *request = &requests[in_order ? i : expected - 1 - i];
        assert_ptr_equal(done[i].cookie, request);
        assert_int_equal(done[i].length_bytes, writable_bytes(request));
    }
    assert_int_equal(l4vio_queue_room(queue), size);
    assert_int_equal(l4vio_queue_in_flight(queue), 0);
}

/* Of the queue of 4, some sequences need more entries than there are; the queue of 8 takes all. */
static void check_all(uint16_t size, bool single)
{
    struct ring_rig *rig = ring_rig_create(size, BUFFER_LEVEL);
    for (unsigned number = 0; number < SHAPES * SHAPES * SHAPES * SHAPES; number++)
        check_sequence(rig, number, single);
    ring_rig_free(rig);
}

static void batches_of_every_mix_come_back(void **state)
{
    (void)state;
    check_all(8, false);
    check_all(4, false);
}

static void single_requests_of_every_mix_come_back(void **state)
{
    (void)state;
    check_all(8, true);
    check_all(4, true);
}

/* What the device may not write, behind good elements of each shape. */
static void a_bad_element_behind_any_mix_breaks_the_queue(void **state)
{
    (void)state;
    for (unsigned number = 0; number < SHAPES * SHAPES * SHAPES * SHAPES; number++) {
        struct ring_rig *rig = ring_rig_create(16, BUFFER_LEVEL);
        struct l4vio_request requests[LENGTH];
        struct l4vio_completion done[LENGTH];
        unsigned entries;
        unsigned count = make_sequence(rig, number, requests, 16, &entries);
        if (count > 1) {
            struct ring_rig_request seen[LENGTH];
            assert_int_equal(l4vio_queue_add(&rig->queue, requests, LENGTH), count);
            l4vio_queue_publish(&rig->queue);
            for (unsigned i = 0; i < count; i++)
                seen[i] = assert_available(rig, &requests[i]);
            for (unsigned i = 0; i + 1 < count; i++)
                ring_rig_complete(rig, &seen[i], 0);
            /* The first again; or an id out of range, the low bits of which are one in flight. */
            uint32_t bad =
                number % 2 ? seen[0].id : seen[count - 1].id + (rig->packed ? 16 : 0x10000);
            ring_rig_complete_id(rig, bad, 0);
            assert_int_equal(l4vio_queue_get_used(&rig->queue, done, LENGTH), count - 1);
            assert_int_equal(l4vio_queue_get_used(&rig->queue, done, LENGTH), L4VIO_EBADPROTO);
            assert_int_equal(l4vio_queue_in_flight(&rig->queue), 1);
        }
        ring_rig_free(rig);
    }
}

/* At the very end of room, in both paths and both directions. */
static void a_full_queue_takes_no_single_request(void **state)
{
    struct ring_rig *rig = ring_rig_create(2, BUFFER_LEVEL);
    struct l4vio_request requests[LENGTH] = {{.buffers = buffers, .writable = 1},
                                             {.buffers = buffers, .readable = 1},
                                             {.buffers = buffers, .writable = 1},
                                             {.buffers = buffers, .readable = 1}};
    (void)state;

    assert_int_equal(l4vio_queue_add(&rig->queue, requests, LENGTH), 2);
    for (unsigned i = 0; i < LENGTH; i++)
        assert_int_equal(l4vio_queue_add(&rig->queue, &requests[i], 1), L4VIO_EAGAIN);
    assert_int_equal(l4vio_queue_add(&rig->queue, requests, LENGTH), L4VIO_EAGAIN);
    assert_int_equal(l4vio_queue_in_flight(&rig->queue), 2);
    ring_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_every_mix_come_back),
        cmocka_unit_test(single_requests_of_every_mix_come_back),
        cmocka_unit_test(a_bad_element_behind_any_mix_breaks_the_queue),
        cmocka_unit_test(a_full_queue_takes_no_single_request),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
