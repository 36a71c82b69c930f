/* SPDX-License-Identifier: MIT */
/*
 * T1: the free list lay in the descriptor table, so the device could steer the driver's writes. Here
 * the device fills the whole table with anything after each step; nothing may change by that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static void scribble(struct ring_fixture *fixture, unsigned value)
{
    memset(fixture->device.desc, (int)value, l4vio_virtqueue_desc_bytes(fixture->config.size));
}

/* Follows the chain in the table as a device would; returns a mask of its entries. */
static unsigned entries_of(struct ring_fixture *fixture, uint16_t head, unsigned count)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < count; i++) {
        struct fake_device_descriptor descriptor = fake_device_descriptor(&fixture->device, head);
        assert_in_range(head, 0, 7);
        assert_false(mask & 1u << head);
        mask |= 1u << head;
        assert_int_equal(!!(descriptor.flags & VIRTQ_DESC_F_NEXT), i + 1 < count);
        head = descriptor.next;
    }
    return mask;
}

static void scribbled_descriptors_change_nothing_at_buffer_level(void **state)
{
    (void)state;
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    const struct l4vio_buffer buffers[4] = {
        {.length_bytes = 4}, {.length_bytes = 4}, {.length_bytes = 4}, {.length_bytes = 4}};
    struct l4vio_request request = {.buffers = buffers, .readable = 2, .writable = 2};
    struct l4vio_completion done[2];

    for (unsigned round = 0; round < 256; round++) {
        uint16_t first;
        uint16_t second;
        scribble(fixture, round);
        assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_device_next(&fixture->device, &first));
        unsigned mask = entries_of(fixture, first, 4);
        scribble(fixture, ~round & 0xff);
        assert_int_equal(l4vio_queue_add(&fixture->queue, &request, 1), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_true(fake_device_next(&fixture->device, &second));
        mask |= entries_of(fixture, second, 4);
        assert_int_equal(mask, 0xff);
        scribble(fixture, round);
        fake_device_complete(&fixture->device, round % 2 ? first : second, 8);
        fake_device_complete(&fixture->device, round % 2 ? second : first, 8);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 2), 2);
        assert_int_equal(l4vio_queue_room(&fixture->queue), 8);
    }
    ring_fixture_free(fixture);
}

static void scribbled_descriptors_change_nothing_at_descriptor_level(void **state)
{
    (void)state;
    struct ring_fixture *fixture = ring_fixture_create(8, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    for (unsigned round = 0; round < 256; round++) {
        uint16_t ids[2];
        uint16_t head;
        scribble(fixture, round);
        for (unsigned i = 0; i < 2; i++)
            ids[i] = l4vio_descriptor_alloc(queue);
        *l4vio_descriptor_get(queue, ids[0]) = (struct l4vio_descriptor){
            .length_bytes = 4, .flags = VIRTQ_DESC_F_NEXT, .next = ids[1]};
        *l4vio_descriptor_get(queue, ids[1]) =
            (struct l4vio_descriptor){.length_bytes = 4, .flags = VIRTQ_DESC_F_WRITE};
        assert_int_equal(l4vio_descriptor_enqueue(queue, ids[0]), L4VIO_OK);
        assert_true(fake_device_next(&fixture->device, &head));
        entries_of(fixture, head, 2);
        scribble(fixture, ~round & 0xff);
        fake_device_complete(&fixture->device, head, 4);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), ids[0]);
        scribble(fixture, round);
        assert_int_equal(l4vio_descriptor_free(queue, ids[0], ids[1]), L4VIO_OK);
    }
    assert_int_equal(l4vio_queue_room(queue), 8);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scribbled_descriptors_change_nothing_at_buffer_level),
        cmocka_unit_test(scribbled_descriptors_change_nothing_at_descriptor_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
