/* SPDX-License-Identifier: MIT */
/* The device's list of the driver's memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <l4vio/device_memory.h>

#define CAPACITY 4u

static unsigned char bytes[0x4000];
static struct l4vio_device_region regions[CAPACITY];
static struct l4vio_device_memory memory;

static int setup(void **state)
{
    (void)state;
    l4vio_device_memory_init(&memory, regions, CAPACITY, 0);
    return 0;
}

static int add(uint64_t device_address, uint64_t size_bytes, void *base)
{
    struct l4vio_device_region region = {
        .device_address = device_address, .size_bytes = size_bytes, .base = base};
    struct l4vio_error error = {0};
    int result = l4vio_device_memory_add(&memory, &region, &error);
    assert_int_equal(error.code, result);
    assert_int_equal(error.text != NULL, result != 0);
    return result;
}

static void *translate(uint64_t device_address, uint64_t length_bytes)
{
    return l4vio_device_memory_translate(&memory, device_address, length_bytes);
}

static void empty_list_translates_nothing(void **state)
{
    (void)state;
    assert_null(translate(0, 0));
    assert_null(translate(0, 1));
    assert_null(translate(UINT64_MAX, 1));
}

static void range_is_translated_in_its_region(void **state)
{
    (void)state;
    assert_int_equal(add(0x3000, 0x1000, bytes), 0);
    assert_int_equal(add(0x1000, 0x1000, bytes + 0x1000), 0);
    assert_int_equal(add(0x2000, 0x800, bytes + 0x2000), 0);

    assert_ptr_equal(translate(0x3000, 0x1000), bytes);
    assert_ptr_equal(translate(0x3fff, 1), bytes + 0xfff);
    assert_ptr_equal(translate(0x1010, 0x20), bytes + 0x1010);
    assert_ptr_equal(translate(0x27ff, 1), bytes + 0x27ff);
    assert_ptr_equal(translate(0x27ff, 0), bytes + 0x27ff);
    assert_null(translate(0xfff, 1));
    assert_null(translate(0x2800, 0));
    assert_null(translate(0x2fff, 1));
    assert_null(translate(0x27ff, 2));
    assert_null(translate(0x4000, 0));
    assert_null(translate(0x3001, 0x1000));
    assert_null(translate(0x3001, UINT64_MAX));
}

static void range_over_two_regions_is_not_translated(void **state)
{
    (void)state;
    assert_int_equal(add(0x1000, 0x1000, bytes), 0);
    assert_int_equal(add(0x2000, 0x1000, bytes + 0x1000), 0);
    assert_null(translate(0x1fff, 2));
}

static void region_may_end_with_the_address_space(void **state)
{
    (void)state;
    assert_int_equal(add(UINT64_MAX - 0xfff, 0x1000, bytes), 0);
    assert_ptr_equal(translate(UINT64_MAX, 1), bytes + 0xfff);
    assert_null(translate(UINT64_MAX, 2));
    assert_null(translate(UINT64_MAX - 0x1000, 1));
}

static void bad_ranges_are_refused(void **state)
{
    (void)state;
    assert_int_equal(add(0x1000, 0, bytes), L4VIO_EINVAL);
    assert_int_equal(add(UINT64_MAX - 0xfff, 0x1001, bytes), L4VIO_EINVAL);
    assert_int_equal(add(1, UINT64_MAX, bytes), 0);
    assert_int_equal(memory.count, 1);
}

static void overlap_is_refused(void **state)
{
    (void)state;
    assert_int_equal(add(0x2000, 0x1000, bytes), 0);
    assert_int_equal(add(0x2000, 0x1000, bytes), L4VIO_EINVAL);
    assert_int_equal(add(0x1001, 0x1000, bytes), L4VIO_EINVAL);
    assert_int_equal(add(0x2fff, 0x1000, bytes), L4VIO_EINVAL);
    assert_int_equal(add(0x2800, 0x10, bytes), L4VIO_EINVAL);
    assert_int_equal(add(0x1000, 0x3000, bytes), L4VIO_EINVAL);
    assert_int_equal(add(0x1000, 0x1000, bytes), 0);
    assert_int_equal(add(0x3000, 0x1000, bytes), 0);
}

static void full_table_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CAPACITY; i++)
        assert_int_equal(add(i * 0x1000u, 0x1000, bytes), 0);
    assert_int_equal(add(0x10000, 0x1000, bytes), L4VIO_ENOMEM);
    assert_int_equal(l4vio_device_memory_remove(&memory, 0x1000, 0x1000, NULL), 0);
    assert_int_equal(add(0x10000, 0x1000, bytes), 0);
}

static void quota_of_bytes_is_kept(void **state)
{
    (void)state;
    l4vio_device_memory_init(&memory, regions, CAPACITY, 0x2000);
    assert_int_equal(add(0, 0x1000, bytes), 0);
    assert_int_equal(add(0x1000, 0x1001, bytes), L4VIO_ENOMEM);
    assert_int_equal(add(0x1000, UINT64_MAX - 0x1000, bytes), L4VIO_ENOMEM);
    assert_int_equal(add(0x1000, 0x1000, bytes), 0);
    assert_int_equal(add(0x2000, 1, bytes), L4VIO_ENOMEM);
    assert_int_equal(l4vio_device_memory_remove(&memory, 0, 0x1000, NULL), 0);
    assert_int_equal(memory.mapped_bytes, 0x1000);
    assert_int_equal(add(0x2000, 0x1000, bytes), 0);
}

static void only_a_whole_region_is_removed(void **state)
{
    (void)state;
    assert_int_equal(l4vio_device_memory_remove(&memory, 0, 0x1000, NULL), L4VIO_ENOENT);
    assert_int_equal(add(0x1000, 0x1000, bytes), 0);
    assert_int_equal(l4vio_device_memory_remove(&memory, 0x1000, 0x800, NULL), L4VIO_ENOENT);
    assert_int_equal(l4vio_device_memory_remove(&memory, 0x1800, 0x800, NULL), L4VIO_ENOENT);
    assert_int_equal(l4vio_device_memory_remove(&memory, 0, 0x2000, NULL), L4VIO_ENOENT);
    assert_int_equal(l4vio_device_memory_remove(&memory, 0x1000, 0x1000, NULL), 0);
    assert_null(translate(0x1000, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(empty_list_translates_nothing, setup),
        cmocka_unit_test_setup(range_is_translated_in_its_region, setup),
        cmocka_unit_test_setup(range_over_two_regions_is_not_translated, setup),
        cmocka_unit_test_setup(region_may_end_with_the_address_space, setup),
        cmocka_unit_test_setup(bad_ranges_are_refused, setup),
        cmocka_unit_test_setup(overlap_is_refused, setup),
        cmocka_unit_test_setup(full_table_is_refused, setup),
        cmocka_unit_test_setup(quota_of_bytes_is_kept, setup),
        cmocka_unit_test_setup(only_a_whole_region_is_removed, setup),
    };
    return cmocka_run_group_tests_name("device_memory", tests, NULL, NULL);
}
