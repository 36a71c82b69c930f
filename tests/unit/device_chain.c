/* SPDX-License-Identifier: MIT */
/* Chains: walking and copying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "raw_driver.h"

#define DATA (RAW_BASE + RAW_DATA)

/* Three readable pieces (3, 0 and 4 bytes), two writable ones (2 and 5). */
static void publish_pieces(struct raw_driver *driver)
{
    struct virtq_desc *table = raw_table(driver, 0);
    memcpy(driver->memory + RAW_DATA, "abcdefg", 7);
    raw_desc(&table[4], DATA, 3, RAW_NEXT, 2);
    raw_desc(&table[2], 0, 0, RAW_NEXT, 9);
    raw_desc(&table[9], DATA + 3, 4, RAW_NEXT, 1);
    raw_desc(&table[1], DATA + 100, 2, RAW_WRITE | RAW_NEXT, 0);
    raw_desc(&table[0], DATA + 200, 5, RAW_WRITE, 7);
    raw_publish(driver, 0, 4);
}

static void pieces_are_in_order(void **state)
{
    struct raw_driver *driver = *state;
    publish_pieces(driver);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.head, 4);
    assert_int_equal(driver->chain.readable, 2);
    assert_int_equal(driver->chain.writable, 2);
    assert_int_equal(driver->chain.readable_bytes, 7);
    assert_int_equal(driver->chain.writable_bytes, 7);
    assert_ptr_equal(driver->chain.segments, driver->segments);
    assert_ptr_equal(driver->segments[1].base, driver->memory + RAW_DATA + 3);
    assert_int_equal(driver->segments[1].length_bytes, 4);
    assert_ptr_equal(driver->segments[2].base, driver->memory + RAW_DATA + 100);
}

static void reading_crosses_pieces(void **state)
{
    struct raw_driver *driver = *state;
    publish_pieces(driver);
    assert_int_equal(raw_take(driver, 0), 1);
    static const char text[] = "abcdefg\0";
    char out[16];
    for (unsigned offset = 0; offset <= 8; offset++) {
        memset(out, 0, sizeof(out));
        unsigned expected = offset < 7 ? 7 - offset : 0;
        assert_int_equal(l4vio_device_chain_read(&driver->chain, offset, out, sizeof(out)),
                         expected);
        assert_memory_equal(out, &text[offset], expected);
    }
    assert_int_equal(l4vio_device_chain_read(&driver->chain, 2, out, 2), 2);
    assert_memory_equal(out, "cd", 2);
    assert_int_equal(l4vio_device_chain_read(&driver->chain, UINT64_MAX, out, 1), 0);
}

static void writing_crosses_pieces(void **state)
{
    struct raw_driver *driver = *state;
    publish_pieces(driver);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 1, "uvwxyz0123", 10), 6);
    assert_memory_equal(driver->memory + RAW_DATA + 100, "\0u\0", 3);
    assert_memory_equal(driver->memory + RAW_DATA + 200, "vwxyz\0", 6);
    assert_memory_equal(driver->memory + RAW_DATA, "abcdefg", 7);
    assert_int_equal(l4vio_device_chain_write(&driver->chain, 7, "!", 1), 0);
}

static void table_may_lie_anywhere(void **state)
{
    struct raw_driver *driver = *state;
    for (uint32_t shift = 0; shift < 16; shift++) {
        uint32_t at = RAW_TABLE + shift;
        raw_desc_at(driver, at, DATA, 6, RAW_NEXT, 2);
        raw_desc_at(driver, at + 16, 0, 1, 0, 0);
        raw_desc_at(driver, at + 32, DATA + 8, 7, RAW_WRITE, 0);
        raw_desc(&raw_table(driver, 0)[0], RAW_BASE + at, 48, VIRTQ_DESC_F_INDIRECT, 0);
        raw_publish(driver, 0, 0);
        assert_int_equal(raw_take(driver, 0), 1);
        assert_int_equal(driver->chain.readable_bytes, 6);
        assert_int_equal(driver->chain.writable_bytes, 7);
        raw_finish(driver, 0, 0, 0);
    }
}

/* Clause V-2.7.5.3.2-1. */
static void write_flag_of_an_indirect_descriptor_is_ignored(void **state)
{
    struct raw_driver *driver = *state;
    raw_desc_at(driver, RAW_TABLE, DATA, 6, RAW_READ, 0);
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, 16, VIRTQ_DESC_F_INDIRECT | RAW_WRITE,
             0);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable, 1);
    assert_int_equal(driver->chain.writable, 0);
}

static void table_as_long_as_the_queue_is_taken(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i < RAW_QUEUE_SIZE; i++)
        raw_desc_at(driver, RAW_TABLE + i * 16u, DATA, 1, i + 1u < RAW_QUEUE_SIZE ? RAW_NEXT : 0,
                    (uint16_t)(i + 1));
    raw_desc(&raw_table(driver, 0)[0], RAW_BASE + RAW_TABLE, RAW_QUEUE_SIZE * 16,
             VIRTQ_DESC_F_INDIRECT, 0);
    raw_publish(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.readable, RAW_QUEUE_SIZE);
}

/* Clauses V-2.7.4.1-2 and V-2.8.18-2. */
static void more_segments_than_the_caller_takes_break_the_queue(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    publish_pieces(driver);
    assert_int_equal(l4vio_device_queue_next(queue, &driver->chain, driver->segments, 4), 1);
    assert_int_equal(l4vio_device_queue_rewind(queue, &driver->chain), 0);
    assert_int_equal(l4vio_device_queue_next(queue, &driver->chain, driver->segments, 3),
                     L4VIO_EBADPROTO);
    assert_int_equal(queue->broken_error.value, 3);
}

static void caller_without_segments_takes_empty_chains_only(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    raw_publish_piece(driver, 0, 0, 0, 0, RAW_WRITE);
    assert_int_equal(l4vio_device_queue_next(queue, &driver->chain, NULL, 0), 1);
    raw_publish_one(driver, 0, 1);
    assert_int_equal(l4vio_device_queue_next(queue, &driver->chain, NULL, 0), L4VIO_EBADPROTO);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(pieces_are_in_order),
        CASE(reading_crosses_pieces),
        CASE(writing_crosses_pieces),
        CASE(table_may_lie_anywhere),
        CASE(write_flag_of_an_indirect_descriptor_is_ignored),
        CASE(table_as_long_as_the_queue_is_taken),
        CASE(more_segments_than_the_caller_takes_break_the_queue),
        CASE(caller_without_segments_takes_empty_chains_only),
    };
    return cmocka_run_group_tests_name("device_chain", tests, NULL, NULL);
}
