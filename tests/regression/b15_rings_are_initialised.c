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

#include "fake_device_ring.h"

static void assert_clear(const struct ring_fixture *fixture)
{
    uint16_t size = fixture->config.size;
    const struct {
        const unsigned char *at;
        uint64_t bytes;
    } areas[] = {
        {fixture->device.desc, l4vio_virtqueue_desc_bytes(size)},
        {fixture->device.avail, l4vio_virtqueue_avail_bytes(size)},
        {fixture->device.used, l4vio_virtqueue_used_bytes(size)},
    };
    for (unsigned area = 0; area < 3; area++) {
        for (uint64_t i = 0; i < areas[area].bytes; i++)
            assert_int_equal(areas[area].at[i], 0);
    }
}

/* Nothing beyond the exact sizes is written: the gap before the used ring keeps its filling. */
static void assert_gap_untouched(const struct ring_fixture *fixture)
{
    uint64_t end = fixture->layout.avail_offset + l4vio_virtqueue_avail_bytes(fixture->config.size);
    for (uint64_t i = end; i < fixture->layout.used_offset; i++)
        assert_int_equal(fixture->memory[i], 0xa5);
}

static void dirty_memory_is_cleared_and_works(void **state)
{
    (void)state;
    static const uint16_t sizes[] = {1, 16, 512};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned level = BUFFER_LEVEL; level <= DESCRIPTOR_LEVEL; level++) {
            struct ring_fixture *fixture =
                ring_fixture_create(sizes[i], (enum ring_fixture_level)level);
            assert_clear(fixture);
            assert_gap_untouched(fixture);
            assert_false(l4vio_queue_has_used(&fixture->queue));
            if (level == BUFFER_LEVEL)
                ring_fixture_spin(fixture, 3);

            /* And again, after the device has filled it with anything. */
            l4vio_queue_disarm(&fixture->queue);
            memset(fixture->device.desc, 0xff, l4vio_virtqueue_desc_bytes(sizes[i]));
            memset(fixture->device.avail, 0xff, l4vio_virtqueue_avail_bytes(sizes[i]));
            memset(fixture->device.used, 0xff, l4vio_virtqueue_used_bytes(sizes[i]));
            ring_fixture_reset(fixture);
            assert_int_equal(l4vio_queue_initialize_rings(&fixture->queue), L4VIO_OK);
            assert_false(l4vio_queue_is_disarmed(&fixture->queue));
            assert_clear(fixture);
            ring_fixture_free(fixture);
        }
    }
}

static void dirty_private_memory_is_cleared(void **state)
{
    (void)state;
    struct ring_fixture *fixture = ring_fixture_create(4, DESCRIPTOR_LEVEL);
    memset(fixture->slots, 0xff, 4 * sizeof(*fixture->slots));
    memset(fixture->descriptors, 0xff, 4 * sizeof(*fixture->descriptors));
    memset(&fixture->queue, 0xff, sizeof(fixture->queue));
    assert_int_equal(l4vio_queue_init(&fixture->queue, &fixture->config, NULL), L4VIO_OK);
    assert_false(l4vio_queue_ready(&fixture->queue));
    assert_int_equal(l4vio_queue_room(&fixture->queue), 4);
    for (unsigned i = 0; i < 4; i++) {
        uint16_t id = l4vio_descriptor_alloc(&fixture->queue);
        assert_in_range(id, 0, 3);
        assert_int_equal(l4vio_descriptor_get(&fixture->queue, id)->address, 0);
    }
    assert_int_equal(l4vio_descriptor_alloc(&fixture->queue), L4VIO_EOQ);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dirty_memory_is_cleared_and_works),
        cmocka_unit_test(dirty_private_memory_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
