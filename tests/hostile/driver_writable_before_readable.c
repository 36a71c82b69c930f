/* SPDX-License-Identifier: MIT */
/* A driver that mixes readable and writable buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw_driver.h"

static void readable_after_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    const struct raw_piece pieces[] = {{RAW_BASE + RAW_DATA, 16, RAW_WRITE},
                                       {RAW_BASE + RAW_DATA, 16, RAW_READ}};
    raw_publish_chain(driver, 0, 0, pieces, 2);
    raw_expect_broken(driver);
}

static void readable_after_an_empty_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    const struct raw_piece pieces[] = {{0, 0, RAW_WRITE}, {RAW_BASE + RAW_DATA, 16, RAW_READ}};
    raw_publish_chain(driver, 0, 0, pieces, 2);
    raw_expect_broken(driver);
}

static void readable_entry_after_a_writable_one_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_table_entry(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_WRITE | RAW_NEXT, 1);
    raw_table_entry(driver, RAW_TABLE + 16, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish_piece(driver, 0, 0, RAW_BASE + RAW_TABLE, 32, VIRTQ_DESC_F_INDIRECT);
    raw_expect_broken(driver);
}

static void readable_in_a_table_after_writable_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_DATA, 16, RAW_WRITE | RAW_NEXT, 1);
    raw_desc(&raw_table(driver, 0)[1], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    raw_desc_at(driver, RAW_TABLE, RAW_BASE + RAW_DATA, 16, RAW_READ, 0);
    raw_publish(driver, 0, 0);
    raw_expect_broken(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_EVERY(readable_after_writable_breaks_queue),
        RAW_EVERY(readable_after_an_empty_writable_breaks_queue),
        RAW_EVERY(readable_entry_after_a_writable_one_breaks_queue),
        RAW_SPLIT(readable_in_a_table_after_writable_breaks_queue),
    };
    return cmocka_run_group_tests_name("driver_writable_before_readable", tests, NULL, NULL);
}
