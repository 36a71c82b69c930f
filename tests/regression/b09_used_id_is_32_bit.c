/* SPDX-License-Identifier: MIT */
/*
 * B9: the used id was cut to 16 bits: FFFFh was swallowed, 10000h aliased 0. Packed buffer ids have
 * 16 bits on the ring; none of them is swallowed or aliased either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_rig.h"

static void assert_breaks(uint16_t size, uint32_t id)
{
    struct ring_rig *rig = ring_rig_create(size, BUFFER_LEVEL);
    struct l4vio_completion done;
    struct l4vio_error error;

    assert_int_equal(ring_rig_add(rig, 8, 1), 1); /* entry 0 */
    l4vio_queue_publish(&rig->queue);
    ring_rig_complete_id(rig, id, 8);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, &done, 1), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(&rig->queue, &error), L4VIO_EBADPROTO);
    assert_int_equal(error.value, id);
    ring_rig_free(rig);
}

static void used_id_is_not_cut_at_buffer_level(void **state)
{
    (void)state;
    assert_breaks(8, 0xffff);
    assert_breaks(8, 0x100);
    assert_breaks(32768, 0x8000);
    assert_breaks(32768, 0xffff);
    if (ring_rig_has(L4VIO_F_RING_PACKED))
        return;
    assert_breaks(8, 0x10000);
    assert_breaks(8, 0xffff0000);
    assert_breaks(32768, 0x80000000);
}

static void used_id_is_not_cut_at_descriptor_level(void **state)
{
    (void)state;
    static const uint32_t ids[] = {0xffff, 0x10000, 0x80000000};
    unsigned count = ring_rig_has(L4VIO_F_RING_PACKED) ? 1 : 3;
    for (unsigned i = 0; i < count; i++) {
        struct ring_rig *rig = ring_rig_create(8, DESCRIPTOR_LEVEL);
        struct l4vio_queue *queue = &rig->queue;
        uint16_t id = l4vio_descriptor_alloc(queue);
        l4vio_descriptor_get(queue, id)->length_bytes = 8;
        assert_int_equal(l4vio_descriptor_enqueue(queue, id), L4VIO_OK);
        ring_rig_complete_id(rig, ids[i], 0);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
        assert_int_equal(l4vio_queue_broken_error(queue, NULL), L4VIO_EBADPROTO);
        assert_int_equal(l4vio_descriptor_free(queue, id, id), L4VIO_EBUSY);
        ring_rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_id_is_not_cut_at_buffer_level),
        cmocka_unit_test(used_id_is_not_cut_at_descriptor_level),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
