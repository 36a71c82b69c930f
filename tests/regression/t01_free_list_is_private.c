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

#include "ring_rig.h"

/* What the device sees is what was asked for, whatever it has written there before. */
static void assert_four_pieces(const struct ring_rig_request *seen)
{
    assert_int_equal(seen->count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(seen->pieces[i].length_bytes, 4 + i);
        assert_int_equal(seen->pieces[i].writable, i >= 2);
    }
}

static void scribbled_descriptors_change_nothing_at_buffer_level(void **state)
{
    (void)state;
    struct ring_rig *rig = ring_rig_create(8, BUFFER_LEVEL);
    const struct l4vio_buffer buffers[4] = {
        {.length_bytes = 4}, {.length_bytes = 5}, {.length_bytes = 6}, {.length_bytes = 7}};
    struct l4vio_request request = {.buffers = buffers, .readable = 2, .writable = 2};
    struct l4vio_completion done[2];

    for (unsigned round = 0; round < 256; round++) {
        struct ring_rig_request seen[2];
        ring_rig_scribble_descriptors(rig, round);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(l4vio_queue_add(&rig->queue, &request, 1), 1);
            l4vio_queue_publish(&rig->queue);
            assert_true(ring_rig_next(rig, &seen[i]));
            assert_four_pieces(&seen[i]);
            ring_rig_scribble_descriptors(rig, ~round & 0xff);
        }
        assert_int_not_equal(seen[0].id, seen[1].id);
        /* The other one first, now and then, where that is allowed. */
        unsigned first = ring_rig_has(L4VIO_F_IN_ORDER) ? 0 : round % 2;
        ring_rig_complete(rig, &seen[first], 8);
        ring_rig_complete(rig, &seen[1 - first], 8);
        assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 2), 2);
        assert_int_equal(l4vio_queue_room(&rig->queue), 8);
    }
    ring_rig_free(rig);
}

static void scribbled_descriptors_change_nothing_at_descriptor_level(void **state)
{
    (void)state;
    struct ring_rig *rig = ring_rig_create(8, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &rig->queue;
    for (unsigned round = 0; round < 256; round++) {
        uint16_t ids[2];
        struct ring_rig_request seen;
        ring_rig_scribble_descriptors(rig, round);
        for (unsigned i = 0; i < 2; i++)
            ids[i] = l4vio_descriptor_alloc(queue);
        *l4vio_descriptor_get(queue, ids[0]) = (struct l4vio_descriptor){
            .length_bytes = 4, .flags = VIRTQ_DESC_F_NEXT, .next = ids[1]};
        *l4vio_descriptor_get(queue, ids[1]) =
            (struct l4vio_descriptor){.length_bytes = 4, .flags = VIRTQ_DESC_F_WRITE};
        assert_int_equal(l4vio_descriptor_enqueue(queue, ids[0]), L4VIO_OK);
        assert_true(ring_rig_next(rig, &seen));
        assert_int_equal(seen.count, 2);
        ring_rig_scribble_descriptors(rig, ~round & 0xff);
        ring_rig_complete(rig, &seen, 4);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), ids[0]);
        ring_rig_scribble_descriptors(rig, round);
        assert_int_equal(l4vio_descriptor_free(queue, ids[0], ids[1]), L4VIO_OK);
    }
    assert_int_equal(l4vio_queue_room(queue), 8);
    ring_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scribbled_descriptors_change_nothing_at_buffer_level),
        cmocka_unit_test(scribbled_descriptors_change_nothing_at_descriptor_level),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
