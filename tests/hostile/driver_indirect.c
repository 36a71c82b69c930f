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
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void indirect_with_next_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT | RAW_NEXT);
    raw_expect_broken(driver);
}

static void empty_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 0, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void table_of_half_an_entry_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 24, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void table_outside_memory_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_MEMORY_BYTES, 16, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void table_over_the_end_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_MEMORY_BYTES - 16, 32, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void next_past_the_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_NEXT, 1);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void cycle_in_a_table_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 0, RAW_NEXT, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void table_chain_longer_than_queue_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i <= RAW_QUEUE_SIZE; i++)
        raw_table_entry(driver, RAW_TABLE + i * 16u, RAW_BASE + RAW_DATA, 0,
                        i < RAW_QUEUE_SIZE ? RAW_NEXT : 0, (uint16_t)(i + 1));
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, (RAW_QUEUE_SIZE + 1) * 16,
                      VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void second_table_in_a_chain_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_NEXT, 1);
    raw_table_entry(driver, RAW_TABLE + 16, RAW_BASE + RAW_TABLE + 256, 16, VIRTQ_DESC_F_INDIRECT,
                    0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 32, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void table_entry_outside_memory_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE - 16, 16, RAW_READ, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void table_without_the_feature_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_page_set_status(&driver->device_page, 0);
    l4vio_features_clear(&driver->features, L4VIO_F_INDIRECT_DESC);
    raw_bring_up(driver);
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

/* Empty entries make no segment: their number is bounded all the same. */
static void table_of_too_many_empty_entries_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i <= RAW_QUEUE_SIZE; i++)
        raw_table_entry(driver, RAW_TABLE + i * 16u, 0, 0, 0, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, (RAW_QUEUE_SIZE + 1) * 16,
                      VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

/* Packed tables have no such flag: what it says is a buffer, and checked as one. */
static void flags_of_entries_lead_nowhere(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16,
                    VIRTQ_DESC_F_INDIRECT | RAW_NEXT | 0xff80, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable, 1);
    assert_ptr_equal(driver->segments[0].base, driver->memory + RAW_DATA);
}

static void table_behind_a_buffer_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    const struct raw_piece pieces[] = {{RAW_BASE + RAW_DATA, 16, RAW_READ},
                                       {RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT}};
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish_chain(driver, 0, 0, pieces, 2);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_SPLIT(nested_table_breaks_queue),
        RAW_EVERY(indirect_with_next_breaks_queue),
        RAW_EVERY(empty_table_breaks_queue),
        RAW_EVERY(table_of_half_an_entry_breaks_queue),
        RAW_EVERY(table_outside_memory_breaks_queue),
        RAW_EVERY(table_over_the_end_breaks_queue),
        RAW_SPLIT(next_past_the_table_breaks_queue),
        RAW_SPLIT(cycle_in_a_table_breaks_queue),
        RAW_SPLIT(table_chain_longer_than_queue_breaks_queue),
        RAW_SPLIT(second_table_in_a_chain_breaks_queue),
        RAW_EVERY(table_entry_outside_memory_breaks_queue),
        RAW_EVERY(table_without_the_feature_breaks_queue),
        RAW_PACKED_RING(table_of_too_many_empty_entries_breaks_queue),
        RAW_PACKED_RING(flags_of_entries_lead_nowhere),
        RAW_PACKED_RING(table_behind_a_buffer_breaks_queue),
    };
    return cmocka_run_group_tests_name("driver_indirect", tests, NULL, NULL);
}
