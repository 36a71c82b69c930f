/* SPDX-License-Identifier: MIT */
/* S2: taking memory back removes the region that is named, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <l4vio/device_memory.h>

#define COUNT 8u

static void each_region_can_be_removed_alone(void **state)
{
    (void)state;
    static unsigned char memory[COUNT][16];
    for (unsigned gone = 0; gone < COUNT; gone++) {
        struct l4vio_device_region regions[COUNT];
        struct l4vio_device_memory list;
        l4vio_device_memory_init(&list, regions, COUNT, 0);
        for (unsigned i = 0; i < COUNT; i++) {
            struct l4vio_device_region region = {
                .device_address = i * 16u, .size_bytes = 16, .base = memory[i]};
            assert_int_equal(l4vio_device_memory_add(&list, &region, NULL), 0);
        }

        struct l4vio_device_region removed;
        assert_int_equal(l4vio_device_memory_remove(&list, gone * 16u, 16, &removed), 0);
        assert_ptr_equal(removed.base, memory[gone]);
        assert_int_equal(list.count, COUNT - 1);
        for (unsigned i = 0; i < COUNT; i++) {
            void *expected = i == gone ? NULL : memory[i];
            assert_ptr_equal(l4vio_device_memory_translate(&list, i * 16u, 16), expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_region_can_be_removed_alone)};
    return cmocka_run_group_tests_name("s02", tests, NULL, NULL);
}
