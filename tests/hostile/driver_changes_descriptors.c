/* SPDX-License-Identifier: MIT */
/* A driver that changes what the device has already read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "raw_driver.h"

#include <l4vio/virtqueue.h>

#include "core/ordering.h"

static void chain_in_work_keeps_what_was_checked(void **state)
{
    struct raw_driver *driver = *state;
    struct raw_used used;
    raw_publish_one(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_desc(&raw_table(driver, 0)[0], 0, UINT32_MAX, UINT16_MAX, UINT16_MAX);
    l4vio_store16(&raw_avail_ring(driver, 0)[0], UINT16_MAX);
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 0, "0123456789abcdef!", 17), 16);
    assert_memory_equal(driver->memory + RAW_DATA, "0123456789abcdef", 16);
    raw_finish(driver, 0, driver->chain.head, 16);
    assert_true(raw_ring_get_used(&driver->rings[0], &used));
    assert_int_equal(used.id, 0);
    assert_int_equal(used.length_bytes, 16);
    raw_expect_works(driver);
}

static void chain_taken_again_is_checked_again(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(
        l4vio_device_queue_rewind(l4vio_device_queue(&driver->device, 0), &driver->chain), 0);
    l4vio_store64(&raw_table(driver, 0)[0].addr, 0); /* In the same place in both formats. */
    raw_expect_broken(driver);
}

static void used_ring_is_never_read_back(void **state)
{
    struct raw_driver *driver = *state;
    memset(raw_used(driver, 0), 0xff, l4vio_virtqueue_used_bytes(RAW_QUEUE_SIZE));
    raw_publish_one(driver, 0, 2);
    assert_int_equal(raw_take(driver, 0), 1);
    raw_finish(driver, 0, 2, 16);
    assert_int_equal(raw_used_index(driver, 0), 1);
    assert_int_equal(l4vio_load32(&raw_used_ring(driver, 0)[0].id), 2);
}

static void queue_entry_changed_while_ready_has_no_effect(void **state)
{
    struct raw_driver *driver = *state;
    memset(raw_queue_entry(driver, 0), 0xff, sizeof(struct l4vio_page_queue));
    raw_expect_works(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(chain_in_work_keeps_what_was_checked),
        RAW_EVERY(chain_taken_again_is_checked_again),
        RAW_SPLIT(used_ring_is_never_read_back),
        RAW_EVERY(queue_entry_changed_while_ready_has_no_effect),
    };
    return cmocka_run_group_tests_name("driver_changes_descriptors", tests, NULL, NULL);
}
