/* SPDX-License-Identifier: MIT */
/* A driver that misuses indirect tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void nested_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void indirect_with_next_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT | RAW_NEXT,
             1);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void empty_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 0, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void table_of_half_an_entry_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 24, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void table_outside_memory_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_MEMORY_BYTES, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void table_over_the_end_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_MEMORY_BYTES - 16, 32, VIRTQ_DESC_F_INDIRECT,
             0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void next_past_the_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_DATA, 16, RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void cycle_in_a_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_DATA, 0, RAW_NEXT, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void table_chain_longer_than_queue_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i <= RAW_QUEUE_SIZE; i++)
        raw_desc_at(driver, RAW_TABLE + i * 16u, RAW_BASE + RAW_DATA, 0,
                    i < RAW_QUEUE_SIZE ? RAW_NEXT : 0, (uint16_t)(i + 1));
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, (RAW_QUEUE_SIZE + 1) * 16,
             VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void second_table_in_a_chain_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_DATA, 16, RAW_NEXT, 1);
    raw_desc_at(driver, RAW_TABLE + 1 * 16, RAW_BASE + RAW_TABLE + 256, 16, VIRTQ_DESC_F_INDIRECT,
                0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 32, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void table_entry_outside_memory_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE - 16, 16, RAW_READ, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

static void table_without_the_feature_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_features_clear(&driver->features, L4VIO_F_INDIRECT_DESC);
    raw_bring_up(driver);
    raw_desc_at(driver, RAW_TABLE + 0 * 16, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nested_table_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(indirect_with_next_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(empty_table_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(table_of_half_an_entry_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(table_outside_memory_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(table_over_the_end_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(next_past_the_table_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(cycle_in_a_table_breaks_queue, raw_setup, raw_teardown),
        cmocka_unit_test_setup_teardown(table_chain_longer_than_queue_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(second_table_in_a_chain_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(table_entry_outside_memory_breaks_queue, raw_setup,
                                        raw_teardown),
        cmocka_unit_test_setup_teardown(table_without_the_feature_breaks_queue, raw_setup,
                                        raw_teardown),
    };
    return cmocka_run_group_tests_name("driver_indirect", tests, NULL, NULL);
}
