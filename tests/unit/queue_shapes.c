/* SPDX-License-Identifier: MIT */
/*
 * Requests of one buffer go a straight path through the ring, all others a general one, and a batch
 * may change from one to the other at any place. Here are all sequences of four requests of each
 * shape, in one call and in single calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

#define LENGTH 4

enum shape { READABLE, WRITABLE, BOTH, EMPTY, SHAPES };

static const struct l4vio_buffer buffers[] = {
    {.address = 0x1000, .length_bytes = 16},
    {.address = 0x2000, .length_bytes = 32},
};
static const struct l4vio_buffer empty = {.address = 0x3000};

/* The number'th sequence, and its entries in the ring up to the first that is refused. */
static unsigned make_sequence(unsigned number, struct l4vio_request *requests, unsigned size,
                              unsigned *entries)
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
        unsigned needs = shape == BOTH ? 2 : 1;
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

/* What the device sees of one request. Returns its head. */
static uint16_t assert_available(struct ring_fixture *fixture, const struct l4vio_request *request)
{
    uint16_t head = UINT16_MAX;
    unsigned count = request->readable + request->writable;

    assert_true(fake_device_next(&fixture->device, &head));
    uint16_t entry = head;
    for (unsigned i = 0; i < count; i++) {
        struct fake_device_descriptor descriptor = fake_device_descriptor(&fixture->device, entry);
        assert_int_equal(descriptor.address, request->buffers[i].address);
        assert_int_equal(descriptor.length_bytes, request->buffers[i].length_bytes);
        assert_int_equal(descriptor.flags, (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0u) |
                                               (i >= request->readable ? VIRTQ_DESC_F_WRITE : 0u));
        entry = descriptor.next;
    }
    return head;
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

static void check_sequence(struct ring_fixture *fixture, unsigned number, bool single)
{
    struct l4vio_queue *queue = &fixture->queue;
    const unsigned size = l4vio_queue_size(queue);
    struct l4vio_request requests[LENGTH];
    struct l4vio_completion done[LENGTH];
    uint16_t heads[LENGTH];
    unsigned entries;
    unsigned expected = make_sequence(number, requests, size, &entries);

    int added = add(queue, requests, single);
    if (expected == 0)
        assert_int_equal(added, L4VIO_EINVAL);
    else
        assert_int_equal(added, expected);
    assert_int_equal(l4vio_queue_room(queue), size - entries);
    assert_int_equal(l4vio_queue_in_flight(queue), expected);
    l4vio_queue_publish(queue);
    for (unsigned i = 0; i < expected; i++)
        heads[i] = assert_available(fixture, &requests[i]);

    for (unsigned i = expected; i-- > 0;)
        fake_device_complete(&fixture->device, heads[i], writable_bytes(&requests[i]));
    assert_int_equal(take(queue, done, single), expected);
    for (unsigned i = 0; i < expected; i++) {
        const struct l4vio_request *request = &requests[expected - 1 - i];
        assert_ptr_equal(done[i].cookie, request);
        assert_int_equal(done[i].length_bytes, writable_bytes(request));
    }
    assert_int_equal(l4vio_queue_room(queue), size);
    assert_int_equal(l4vio_queue_in_flight(queue), 0);
}

/* Of the queue of 4, some sequences need more entries than there are; the queue of 8 takes all. */
static void check_all(uint16_t size, bool single)
{
    struct ring_fixture *fixture = ring_fixture_create(size, BUFFER_LEVEL);
    for (unsigned number = 0; number < SHAPES * SHAPES * SHAPES * SHAPES; number++)
        check_sequence(fixture, number, single);
    ring_fixture_free(fixture);
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
        struct ring_fixture *fixture = ring_fixture_create(16, BUFFER_LEVEL);
        struct l4vio_request requests[LENGTH];
        struct l4vio_completion done[LENGTH];
        unsigned entries;
        unsigned count = make_sequence(number, requests, 16, &entries);
        if (count > 1) {
            uint16_t heads[LENGTH];
            assert_int_equal(l4vio_queue_add(&fixture->queue, requests, LENGTH), count);
            l4vio_queue_publish(&fixture->queue);
            for (unsigned i = 0; i < count; i++)
                heads[i] = assert_available(fixture, &requests[i]);
            for (unsigned i = 0; i + 1 < count; i++)
                fake_device_complete(&fixture->device, heads[i], 0);
            /* The first again; or an id whose low bits are one in flight. */
            uint32_t bad = number % 2 ? heads[0] : heads[count - 1] + 0x10000u;
            fake_device_complete(&fixture->device, bad, 0);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, LENGTH), count - 1);
            assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, LENGTH), L4VIO_EBADPROTO);
            assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 1);
        }
        ring_fixture_free(fixture);
    }
}

/* At the very end of room, in both paths and both directions. */
static void a_full_queue_takes_no_single_request(void **state)
{
    struct ring_fixture *fixture = ring_fixture_create(2, BUFFER_LEVEL);
    struct l4vio_request requests[LENGTH] = {{.buffers = buffers, .writable = 1},
                                             {.buffers = buffers, .readable = 1},
                                             {.buffers = buffers, .writable = 1},
                                             {.buffers = buffers, .readable = 1}};
    (void)state;

    assert_int_equal(l4vio_queue_add(&fixture->queue, requests, LENGTH), 2);
    for (unsigned i = 0; i < LENGTH; i++)
        assert_int_equal(l4vio_queue_add(&fixture->queue, &requests[i], 1), L4VIO_EAGAIN);
    assert_int_equal(l4vio_queue_add(&fixture->queue, requests, LENGTH), L4VIO_EAGAIN);
    assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 2);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_every_mix_come_back),
        cmocka_unit_test(single_requests_of_every_mix_come_back),
        cmocka_unit_test(a_bad_element_behind_any_mix_breaks_the_queue),
        cmocka_unit_test(a_full_queue_takes_no_single_request),
    };
    return cmocka_run_group_tests_name("unit/queue_shapes", tests, NULL, NULL);
}
