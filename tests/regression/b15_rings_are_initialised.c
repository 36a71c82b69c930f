/* SPDX-License-Identifier: MIT */
/*
 * B15: flags, rings and descriptors were not initialised in memory that the caller brought. The
 * used ring counts too: the driver clears it before the device knows it (clause D-2.7.10.1-1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ring_rig.h"

struct areas {
    unsigned char *at[3];
    uint64_t bytes[3];
};

static struct areas areas_of(const struct ring_rig *rig)
{
    uint16_t size = rig->config.size;
    struct areas areas = {
        {rig->config.desc, rig->config.avail, rig->memory + rig->layout.used_offset},
        {16u * (uint64_t)size, 4, 4}};
    if (!rig->packed) {
        areas.bytes[1] = l4vio_virtqueue_avail_bytes(size);
        areas.bytes[2] = l4vio_virtqueue_used_bytes(size);
    }
    return areas;
}

static void fill(const struct ring_rig *rig, unsigned value)
{
    struct areas areas = areas_of(rig);
    for (unsigned area = 0; area < 3; area++)
        memset(areas.at[area], (int)value, (size_t)areas.bytes[area]);
}

/* What the device may look at. */
static void assert_clear(const struct ring_rig *rig)
{
    struct areas areas = areas_of(rig);
    for (unsigned area = 0; area < 3; area++)
        for (uint64_t i = 0; i < areas.bytes[area]; i++)
            assert_int_equal(areas.at[area][i], 0);
}

/* Nothing beyond the exact sizes is written: the gap before the device's area keeps its filling. */
static void assert_gap_untouched(const struct ring_rig *rig)
{
    uint64_t end = rig->layout.avail_offset + areas_of(rig).bytes[1];
    for (uint64_t i = end; i < rig->layout.used_offset; i++)
        assert_int_equal(rig->memory[i], 0xa5);
}

static void dirty_memory_is_cleared_and_works(void **state)
{
    (void)state;
    static const uint16_t sizes[] = {1, 16, 512};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned level = BUFFER_LEVEL; level <= DESCRIPTOR_LEVEL; level++) {
            struct ring_rig *rig = ring_rig_create(sizes[i], (enum ring_fixture_level)level);
            assert_clear(rig);
            assert_gap_untouched(rig);
            assert_false(l4vio_queue_has_used(&rig->queue));
            if (level == BUFFER_LEVEL)
                ring_rig_spin(rig, 3);

            /* And again, after the device has filled it with anything. */
            l4vio_queue_disarm(&rig->queue);
            fill(rig, 0xff);
            ring_rig_reset(rig);
            assert_int_equal(l4vio_queue_initialize_rings(&rig->queue), L4VIO_OK);
            assert_false(l4vio_queue_is_disarmed(&rig->queue));
            assert_clear(rig);
            ring_rig_free(rig);
        }
    }
}

static void dirty_private_memory_is_cleared(void **state)
{
    (void)state;
    struct ring_rig *rig = ring_rig_create(4, DESCRIPTOR_LEVEL);
    memset(rig->slots, 0xff, 4 * sizeof(*rig->slots));
    memset(rig->descriptors, 0xff, 4 * sizeof(*rig->descriptors));
    memset(&rig->queue, 0xff, sizeof(rig->queue));
    assert_int_equal(l4vio_queue_init(&rig->queue, &rig->config, NULL), L4VIO_OK);
    assert_false(l4vio_queue_ready(&rig->queue));
    assert_int_equal(l4vio_queue_room(&rig->queue), 4);
    for (unsigned i = 0; i < 4; i++) {
        uint16_t id = l4vio_descriptor_alloc(&rig->queue);
        assert_in_range(id, 0, 3);
        assert_int_equal(l4vio_descriptor_get(&rig->queue, id)->address, 0);
    }
    assert_int_equal(l4vio_descriptor_alloc(&rig->queue), L4VIO_EOQ);
    ring_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dirty_memory_is_cleared_and_works),
        cmocka_unit_test(dirty_private_memory_is_cleared),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
