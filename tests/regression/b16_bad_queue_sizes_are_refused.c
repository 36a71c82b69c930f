/* SPDX-License-Identifier: MIT */
/* B16: queue sizes of 0, not a power of two, or above 32768 were accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static bool is_good(uint32_t size)
{
    for (unsigned bit = 0; bit <= 15; bit++) {
        if (size == 1u << bit)
            return true;
    }
    return false;
}

static void sizes_are_powers_of_two_from_1_to_32768(void **state)
{
    (void)state;
    static const uint32_t beyond[] = {0x10000, 0x10001, 0x18000, 0x80000000, UINT32_MAX};
    struct l4vio_virtqueue_layout layout;

    for (uint32_t size = 0; size <= 0xffff; size++) {
        assert_int_equal(l4vio_virtqueue_size_valid(size), is_good(size));
        assert_int_equal(l4vio_virtqueue_layout(size, &layout),
                         is_good(size) ? L4VIO_OK : L4VIO_EINVAL);
    }
    for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        assert_false(l4vio_virtqueue_size_valid(beyond[i]));
        assert_int_equal(l4vio_virtqueue_layout(beyond[i], &layout), L4VIO_EINVAL);
    }
}

static void init_refuses_bad_sizes_and_says_which(void **state)
{
    (void)state;
    static const uint16_t sizes[] = {0, 3, 6, 255, 257, 32767, 32769, 65535};
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct l4vio_queue_config config = fixture->config;
        struct l4vio_queue queue;
        struct l4vio_error error = {0};
        config.size = sizes[i];
        assert_int_equal(l4vio_queue_init(&queue, &config, &error), L4VIO_EINVAL);
        assert_int_equal(error.code, L4VIO_EINVAL);
        assert_int_equal(error.value, sizes[i]);
        assert_non_null(error.text);
        assert_int_equal(l4vio_queue_init(&queue, &config, NULL), L4VIO_EINVAL);
    }
    ring_fixture_free(fixture);
}

/* Clause D-2.7.1-1. */
static void init_refuses_missing_and_unaligned_areas(void **state)
{
    (void)state;
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    struct l4vio_queue_config bad[10];
    for (unsigned i = 0; i < 10; i++)
        bad[i] = fixture->config;
    bad[0].desc = NULL;
    bad[1].avail = NULL;
    bad[2].used = NULL;
    bad[3].slots = NULL;
    bad[4].desc = (char *)bad[4].desc + 8;
    bad[5].avail = (char *)bad[5].avail + 1;
    bad[6].used = (char *)bad[6].used + 2;
    bad[7].desc_address = 8;
    bad[8].avail_address = 1;
    bad[9].used_address = 2;
    for (unsigned i = 0; i < 10; i++) {
        struct l4vio_queue queue;
        struct l4vio_error error = {0};
        assert_int_equal(l4vio_queue_init(&queue, &bad[i], &error), L4VIO_EINVAL);
        assert_int_equal(error.code, L4VIO_EINVAL);
    }
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_two_from_1_to_32768),
        cmocka_unit_test(init_refuses_bad_sizes_and_says_which),
        cmocka_unit_test(init_refuses_missing_and_unaligned_areas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
