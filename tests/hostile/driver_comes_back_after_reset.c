/* SPDX-License-Identifier: MIT */
/* An old driver that goes on as if there had been no reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

/* Clause V-2.6.1.1.1-1. */
static void old_queue_is_not_touched(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, 0);
    l4vio_device_page_set_status(&driver->device_page, 0);
    assert_null(l4vio_device_queue(&driver->device, 0));
    assert_int_equal(raw_take(driver, 0), 0);
    l4vio_device_notify(&driver->device, 0);
    struct raw_used used;
    assert_false(raw_ring_get_used(&driver->rings[0], &used));
    assert_int_equal(driver->triggers[1], 0);
}

static void late_result_is_dropped(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    struct l4vio_device_used used = {.head = 0, .entries = 1, .written_bytes = 16};
    struct raw_used seen;
    raw_publish_one(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_device_queue_finish(queue, &used, 1);
    assert_false(l4vio_device_queue_needs_notify(queue));
    assert_false(raw_ring_get_used(&driver->rings[0], &seen));
}

static void queues_of_a_failed_driver_are_not_touched(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 0, 0);
    l4vio_device_page_set_status(&driver->device_page, raw_status(driver) | VIRTIO_STATUS_FAILED);
    assert_true(raw_status(driver) & VIRTIO_STATUS_FAILED);
    assert_int_equal(driver->stop_calls[0], 1);
    assert_int_equal(raw_take(driver, 0), 0);
    assert_false(l4vio_device_live(&driver->device));
    raw_fill_entry(driver, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 0, NULL), L4VIO_EIO);
    l4vio_device_page_set_status(&driver->device_page, 0);
    raw_bring_up(driver);
    raw_expect_works(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(old_queue_is_not_touched),
        RAW_EVERY(late_result_is_dropped),
        RAW_EVERY(queues_of_a_failed_driver_are_not_touched),
    };
    return cmocka_run_group_tests_name("driver_comes_back_after_reset", tests, NULL, NULL);
}
