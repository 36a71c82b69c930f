/* SPDX-License-Identifier: MIT */
/* The config page: what it shows, what is read from it, the cmd register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_driver.h"

#define UP                                                                          \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | \
     VIRTIO_STATUS_DRIVER_OK)

static void expect_fresh_page(struct raw_driver *driver)
{
    struct l4vio_page_header *page = driver->page;
    assert_int_equal(l4vio_load32(&page->magic), L4VIO_PAGE_MAGIC);
    assert_int_equal(l4vio_load32(&page->version), L4VIO_PAGE_VERSION);
    assert_int_equal(l4vio_load32(&page->device), VIRTIO_ID_BLOCK);
    assert_int_equal(l4vio_load32(&page->vendor), L4VIO_VENDOR_L4RE);
    assert_int_equal(l4vio_load32(&page->num_queues), RAW_QUEUES);
    assert_int_equal(l4vio_load32(&page->queues_offset), 0x100 + 24);
    assert_int_equal(l4vio_load32(&page->status), 0);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++) {
        assert_int_equal(l4vio_load32(&page->dev_features_map[i]),
                         driver->device.config.offered.word[i]);
        assert_int_equal(l4vio_load32(&page->driver_features_map[i]), 0);
    }
    assert_memory_equal(driver->page_bytes + L4VIO_PAGE_CONFIG_OFFSET, driver->config,
                        RAW_CONFIG_BYTES);
    struct l4vio_page_queue empty = {0};
    l4vio_store16(&empty.num_max, RAW_QUEUE_SIZE);
    for (uint32_t i = 0; i < RAW_QUEUES; i++)
        assert_memory_equal(raw_queue_entry(driver, i), &empty, sizeof(empty));
}

static void page_shows_the_device(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_reset(&driver->device);
    expect_fresh_page(driver);
}

static void reset_mends_the_page(void **state)
{
    struct raw_driver *driver = *state;
    memset(driver->page_bytes, 0x5a, L4VIO_PAGE_BYTES);
    l4vio_device_page_set_status(&driver->device_page, 0);
    expect_fresh_page(driver);
    raw_bring_up(driver);
    raw_expect_works(driver);
}

static void notifications_go_to_the_index_of_each(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_one(driver, 1, 0);
    assert_int_equal(raw_take(driver, 1), 1);
    raw_finish(driver, 1, 0, 0);
    assert_int_equal(driver->triggers[2], 1);
    assert_int_equal(driver->triggers[1], 0);

    l4vio_store32(&driver->page->cfg_driver_notify_index, 7);
    assert_int_equal(l4vio_device_write_config(&driver->device, 0, "x", 1), 0);
    assert_int_equal(driver->triggers[7], 1);
    /* One that does not exist notifies nobody. */
    l4vio_store32(&driver->page->cfg_driver_notify_index, RAW_NOTIFY);
    assert_int_equal(l4vio_device_write_config(&driver->device, 0, "y", 1), 0);
    l4vio_store32(&driver->page->cfg_driver_notify_index, UINT32_MAX);
    assert_int_equal(l4vio_device_write_config(&driver->device, 0, "z", 1), 0);
    assert_int_equal(driver->triggers[7] + driver->triggers[0], 1);
}

static void driver_config_is_read_live(void **state)
{
    struct raw_driver *driver = *state;
    const struct l4vio_device *device = &driver->device;
    driver->page_bytes[L4VIO_PAGE_CONFIG_OFFSET + 19] = 0x77;
    assert_int_equal(device->port->read_driver_config(device->port_self, 19), 0x77);
    assert_int_equal(device->port->read_driver_config(device->port_self, 20), 0);
    assert_int_equal(device->port->read_driver_config(device->port_self, UINT32_MAX), 0);
    assert_int_equal(driver->config[19], 0);
}

static void entry_that_says_not_ready_takes_the_queue_away(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_store16(&raw_queue_entry(driver, 1)->ready, 0);
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 1, NULL), 0);
    assert_int_equal(driver->stop_calls[1], 1);
    assert_null(l4vio_device_queue(&driver->device, 1));
    assert_int_equal(l4vio_device_page_config_queue(&driver->device_page, 1, NULL), L4VIO_EINVAL);
    raw_expect_works(driver);
}

static void kick_indexes_are_shown_and_not_read_back(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_page_config config = driver->device_page.config;
    config.kick_per_queue = true;
    assert_int_equal(l4vio_device_page_init(&driver->device_page, &config, NULL), 0);
    for (uint32_t i = 0; i < RAW_QUEUES; i++)
        assert_int_equal(l4vio_load16(&raw_queue_entry(driver, i)->device_notify_index), i);
    l4vio_device_reset(&driver->device);
    l4vio_store16(&raw_queue_entry(driver, 1)->device_notify_index, 5);
    raw_bring_up(driver);
    assert_int_equal(driver->states[1].device_notify_index, 1);

    config.notification_count = RAW_QUEUES - 1;
    assert_int_equal(l4vio_device_page_init(&driver->device_page, &config, NULL), L4VIO_EINVAL);
}

static void page_that_cannot_be_is_refused(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_page_config good = driver->device_page.config;
    struct l4vio_device_page_config bad = good;
    struct l4vio_device_page page;
    bad.page = driver->page_bytes + 64;
    assert_int_equal(l4vio_device_page_init(&page, &bad, NULL), L4VIO_EINVAL);
    bad.page = NULL;
    assert_int_equal(l4vio_device_page_init(&page, &bad, NULL), L4VIO_EINVAL);
    bad = good;
    bad.notification_count = 0;
    assert_int_equal(l4vio_device_page_init(&page, &bad, NULL), L4VIO_EINVAL);
}

static void as_many_queues_as_fit_are_taken(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue_state states[96];
    struct l4vio_device device;
    struct l4vio_device_config config = driver->device.config;
    struct l4vio_device_page_config page_config = driver->device_page.config;
    struct l4vio_device_page page;
    void *other = aligned_alloc(4096, 4096);
    assert_non_null(other);
    page_config.device = &device;
    page_config.page = other;
    config.queues = states;
    config.queue_count = 95; /* 4096 - 256 - 24, by 40 */
    assert_int_equal(l4vio_device_init(&device, &config, NULL), 0);
    assert_int_equal(l4vio_device_page_init(&page, &page_config, NULL), 0);
    config.queue_count = 96;
    assert_int_equal(l4vio_device_init(&device, &config, NULL), 0);
    assert_int_equal(l4vio_device_page_init(&page, &page_config, NULL), L4VIO_E2BIG);
    free(other);
}

static void command(struct raw_driver *driver, uint32_t cmd, uint32_t argument, uint32_t queue)
{
    uint32_t notified = 0;
    l4vio_store32_release(&driver->page->cmd, cmd << 24 | argument);
    assert_int_equal(l4vio_device_page_poll_cmd(&driver->device_page, &notified), 1);
    assert_int_equal(notified, queue);
    assert_int_equal(l4vio_load32(&driver->page->cmd), 0);
}

static void commands_bring_the_device_up(void **state)
{
    (void)state;
    struct raw_driver driver;
    raw_driver_init(&driver, RAW_CMD_MODE);
    uint32_t none = UINT32_MAX;
    uint32_t queue = 0;
    assert_int_equal(l4vio_device_page_poll_cmd(&driver.device_page, &queue), 0);
    assert_int_equal(queue, none);
    assert_true(l4vio_load32(&driver.page->dev_features_map[5]) & 1u);

    memset(driver.memory, 0, RAW_DATA);
    raw_register(&driver);
    command(&driver, L4VIO_PAGE_CMD_SET_STATUS, VIRTIO_STATUS_ACKNOWLEDGE, none);
    command(&driver, L4VIO_PAGE_CMD_SET_STATUS, 3, none);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&driver.page->driver_features_map[i], driver.features.word[i]);
    command(&driver, L4VIO_PAGE_CMD_SET_STATUS, 11, none);
    raw_fill_entry(&driver, 0);
    command(&driver, L4VIO_PAGE_CMD_CFG_QUEUE, 0, none);
    assert_int_equal(l4vio_load16(&raw_queue_entry(&driver, 0)->ready), 1);
    command(&driver, L4VIO_PAGE_CMD_SET_STATUS, UP, none);
    assert_int_equal(raw_status(&driver), UP);
    command(&driver, L4VIO_PAGE_CMD_CFG_CHANGED, 0, none);
    assert_int_equal(driver.config_written_calls, 1);
    command(&driver, L4VIO_PAGE_CMD_NOTIFY_QUEUE, 1, 1);
    raw_expect_works(&driver);

    /* Refused ones: the driver finds out by what it reads. */
    raw_fill_entry(&driver, 1);
    l4vio_store16(&raw_queue_entry(&driver, 1)->num, 3);
    command(&driver, L4VIO_PAGE_CMD_CFG_QUEUE, 1, none);
    assert_int_equal(l4vio_load16(&raw_queue_entry(&driver, 1)->ready), 0);
    command(&driver, L4VIO_PAGE_CMD_CFG_QUEUE, 0xffffff, none);
    command(&driver, L4VIO_PAGE_CMD_NOTIFY_QUEUE, RAW_QUEUES, none);
    command(&driver, L4VIO_PAGE_CMD_NOTIFY_QUEUE, 0xffffff, none);
    command(&driver, 0x03, 0, none);
    command(&driver, 0xff, 0xffffff, none);
    command(&driver, L4VIO_PAGE_CMD_NONE, 1, none);
    raw_expect_works(&driver);

    command(&driver, L4VIO_PAGE_CMD_SET_STATUS, 0, none);
    assert_int_equal(raw_status(&driver), 0);
    raw_driver_free(&driver);
}

static void commands_are_ignored_where_they_are_not_offered(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_store32(&driver->page->cmd, (uint32_t)L4VIO_PAGE_CMD_SET_STATUS << 24);
    assert_int_equal(l4vio_device_page_poll_cmd(&driver->device_page, NULL), 0);
    assert_int_equal(raw_status(driver), UP);
    assert_false(l4vio_load32(&driver->page->dev_features_map[5]) & 1u);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(page_shows_the_device),
        CASE(reset_mends_the_page),
        CASE(notifications_go_to_the_index_of_each),
        CASE(driver_config_is_read_live),
        CASE(entry_that_says_not_ready_takes_the_queue_away),
        CASE(kick_indexes_are_shown_and_not_read_back),
        CASE(page_that_cannot_be_is_refused),
        CASE(as_many_queues_as_fit_are_taken),
        cmocka_unit_test(commands_bring_the_device_up),
        CASE(commands_are_ignored_where_they_are_not_offered),
    };
    return cmocka_run_group_tests_name("device_page", tests, NULL, NULL);
}
