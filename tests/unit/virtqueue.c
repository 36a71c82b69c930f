/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <l4vio/virtqueue.h>
#include <l4vio/wire/ring.h>

/* The sizes of section 2.7: 16 n, 6 + 2 n, 6 + 8 n. */
static void area_sizes_are_those_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(l4vio_virtqueue_desc_bytes(1), 16);
    assert_int_equal(l4vio_virtqueue_avail_bytes(1), 8);
    assert_int_equal(l4vio_virtqueue_used_bytes(1), 14);
    assert_int_equal(l4vio_virtqueue_desc_bytes(256), 4096);
    assert_int_equal(l4vio_virtqueue_avail_bytes(256), 518);
    assert_int_equal(l4vio_virtqueue_used_bytes(256), 2054);
    assert_int_equal(l4vio_virtqueue_desc_bytes(32768), 524288);
    assert_int_equal(l4vio_virtqueue_avail_bytes(32768), 65542);
    assert_int_equal(l4vio_virtqueue_used_bytes(32768), 262150);
}

/* Clause D-2.7.1-1. */
static void layout_is_aligned_and_does_not_overlap(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= VIRTQ_SIZE_MAX; size *= 2) {
        struct l4vio_virtqueue_layout layout;
        uint16_t entries = (uint16_t)size;
        assert_int_equal(l4vio_virtqueue_layout(size, &layout), L4VIO_OK);
        assert_int_equal(layout.desc_offset % 16, 0);
        assert_int_equal(layout.avail_offset % 2, 0);
        assert_int_equal(layout.used_offset % 64, 0);
        assert_true(layout.desc_offset + l4vio_virtqueue_desc_bytes(entries) <=
                    layout.avail_offset);
        assert_true(layout.avail_offset + l4vio_virtqueue_avail_bytes(entries) <=
                    layout.used_offset);
        assert_true(layout.used_offset + l4vio_virtqueue_used_bytes(entries) <= layout.size_bytes);
    }
}

static void wire_structures_have_the_sizes_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct virtq_desc), 16);
    assert_int_equal(offsetof(struct virtq_desc, len), 8);
    assert_int_equal(offsetof(struct virtq_desc, flags), 12);
    assert_int_equal(offsetof(struct virtq_desc, next), 14);
    assert_int_equal(sizeof(struct virtq_avail), 4);
    assert_int_equal(offsetof(struct virtq_avail, idx), 2);
    assert_int_equal(sizeof(struct virtq_used_elem), 8);
    assert_int_equal(offsetof(struct virtq_used_elem, len), 4);
    assert_int_equal(sizeof(struct virtq_used), 4);
    assert_int_equal(offsetof(struct virtq_used, idx), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(area_sizes_are_those_of_the_specification),
        cmocka_unit_test(layout_is_aligned_and_does_not_overlap),
        cmocka_unit_test(wire_structures_have_the_sizes_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
