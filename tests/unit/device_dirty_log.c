/* SPDX-License-Identifier: MIT */
/* The dirty log: which pages are marked, when, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/virtqueue.h>

#include "block_rig.h"
#include "core/ordering.h"
#include "raw_driver.h"

#define PAGE      L4VIO_DIRTY_LOG_PAGE_BYTES
#define LOG_BYTES (RAW_BASE / PAGE / 8 + 64)
#define USED_AT   UINT64_C(0x400800) /* Where the log has the used ring: nowhere in memory. */

static uint8_t bits[LOG_BYTES + 64];
static const struct l4vio_dirty_log log_of_all = {bits, LOG_BYTES};

static bool marked(uint64_t address)
{
    uint64_t page = address / PAGE;
    return (unsigned)bits[page / 8] >> page % 8 & 1u;
}

static unsigned marks(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(bits); i++)
        count += (unsigned)__builtin_popcount(bits[i]);
    return count;
}

static void clear(void)
{
    memset(bits, 0, sizeof(bits));
}

static void pages_of_a_range_are_marked(void **state)
{
    (void)state;
    static const struct {
        uint64_t address;
        uint64_t bytes;
        uint64_t first;
        unsigned pages;
    } cases[] = {
        {0, 1, 0, 1},
        {0, 0, 0, 0},
        {PAGE - 1, 1, 0, 1},
        {PAGE - 1, 2, 0, 2},
        {7 * PAGE, PAGE, 7, 1},
        {7 * PAGE, 2 * PAGE, 7, 2},
        {7 * PAGE + 1, 2 * PAGE, 7, 3},
        {UINT64_MAX, 1, 0, 0},
        {(uint64_t)LOG_BYTES * 8 * PAGE, PAGE, 0, 0},
        {((uint64_t)LOG_BYTES * 8 - 1) * PAGE, 9 * PAGE, LOG_BYTES * 8 - 1, 1},
        {((uint64_t)LOG_BYTES * 8 - 2) * PAGE, UINT64_MAX, LOG_BYTES * 8 - 2, 2},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        clear();
        l4vio_dirty_log_mark(&log_of_all, cases[i].address, cases[i].bytes);
        assert_int_equal(marks(), cases[i].pages);
        for (unsigned n = 0; n < cases[i].pages; n++)
            assert_true(marked((cases[i].first + n) * PAGE));
    }
    const struct l4vio_dirty_log empty = {bits, 0};
    clear();
    l4vio_dirty_log_mark(&empty, 0, PAGE);
    assert_int_equal(marks(), 0);
    /* What others have marked stays. */
    memset(bits, 0x55, sizeof(bits));
    l4vio_dirty_log_mark(&log_of_all, 0, 3 * PAGE);
    assert_int_equal(bits[0], 0x57);
    clear();
}

static struct l4vio_device_queue *queue_of(struct raw_driver *driver)
{
    return l4vio_device_queue(&driver->device, 0);
}

/* Takes a chain; its result. */
static struct l4vio_device_used take_one(struct raw_driver *driver)
{
    assert_int_equal(raw_take(driver, 0), 1);
    return l4vio_device_chain_used(queue_of(driver), &driver->chain, 1);
}

/* Before the driver can see the result, and all of it, whatever its length says. */
static void writable_buffers_are_marked(void **state)
{
    struct raw_driver *driver = *state;
    const struct raw_piece pieces[] = {
        {RAW_BASE + RAW_DATA, 2 * PAGE, RAW_READ},
        {RAW_BASE + RAW_DATA + 3 * PAGE - 1, 1, RAW_WRITE},
        {RAW_BASE + RAW_DATA + 4 * PAGE - 1, PAGE + 2, RAW_WRITE},
    };
    struct raw_used used;
    clear();
    l4vio_device_set_log(&driver->device, &log_of_all);
    raw_publish_chain(driver, 0, 0, pieces, 3);
    struct l4vio_device_used result = take_one(driver);
    assert_int_equal(marks(), 4);
    for (unsigned page = 2; page < 6; page++)
        assert_true(marked(RAW_BASE + RAW_DATA + page * PAGE));
    assert_false(raw_ring_get_used(&driver->rings[0], &used));
    l4vio_device_queue_finish(queue_of(driver), &result, 1);
    assert_true(raw_ring_get_used(&driver->rings[0], &used));
    /* The ring is not logged. */
    assert_int_equal(marks(), 4);
}

static void nothing_is_marked_without_a_log(void **state)
{
    struct raw_driver *driver = *state;
    clear();
    for (unsigned i = 0; i < 3; i++) {
        l4vio_device_queue_log_used(&driver->device, 0, true, USED_AT);
        l4vio_device_set_log(&driver->device, i == 1 ? &log_of_all : NULL);
        clear();
        raw_publish_one(driver, 0, (uint16_t)i);
        struct l4vio_device_used result = take_one(driver);
        l4vio_device_queue_finish(queue_of(driver), &result, 1);
        l4vio_device_queue_disarm(queue_of(driver));
        (void)l4vio_device_queue_arm(queue_of(driver));
        assert_int_equal(marks() != 0, i == 1);
    }
}

/* Marked where the log has the ring, and in the page of the element, of the index, of the flags. */
static void split_rings_are_marked_where_their_reader_has_them(void **state)
{
    struct raw_driver *driver = *state;
    struct raw_used used;
    clear();
    l4vio_device_set_log(&driver->device, &log_of_all);
    /* Elements 8 and later are in the next page. */
    uint64_t at = USED_AT / PAGE * PAGE + PAGE - 4 - 8 * 8;
    l4vio_device_queue_log_used(&driver->device, 0, true, at);
    for (unsigned i = 0; i < 40; i++) {
        clear();
        raw_publish_piece(driver, 0, 0, RAW_BASE, 16, RAW_READ);
        struct l4vio_device_used result = take_one(driver);
        assert_int_equal(marks(), 0);
        l4vio_device_queue_finish(queue_of(driver), &result, 1);
        assert_true(raw_ring_get_used(&driver->rings[0], &used));
        assert_true(marked(at));
        assert_int_equal(marked(at + PAGE), i % 16 >= 8);
        assert_int_equal(marks(), i % 16 >= 8 ? 2 : 1);
    }
    clear();
    l4vio_device_queue_disarm(queue_of(driver));
    assert_int_equal(marks(), 1);
    assert_true(marked(at));
    /* A batch around the end. */
    l4vio_device_queue_log_used(&driver->device, 0, true, at);
    struct l4vio_device_used results[16];
    for (uint16_t i = 0; i < 16; i++) {
        raw_publish_piece(driver, 0, i, RAW_BASE, 16, RAW_READ);
        results[i] = take_one(driver);
    }
    clear();
    l4vio_device_queue_finish(queue_of(driver), results, 16);
    assert_int_equal(marks(), 2);
}

static void event_indexes_are_marked_behind_the_ring(void **state)
{
    struct raw_driver *driver = *state;
    uint64_t at = USED_AT / PAGE * PAGE + PAGE - 4 - 16 * 8;
    l4vio_device_set_log(&driver->device, &log_of_all);
    l4vio_device_queue_log_used(&driver->device, 0, true, at);
    raw_publish_piece(driver, 0, 0, RAW_BASE, 16, RAW_READ);
    struct l4vio_device_used result = take_one(driver);
    l4vio_device_queue_finish(queue_of(driver), &result, 1);
    clear();
    (void)l4vio_device_queue_arm(queue_of(driver));
    assert_int_equal(marks(), 1);
    assert_true(marked(at + PAGE));
}

/* Packed: where they lie. */
static void packed_rings_are_marked(void **state)
{
    struct raw_driver *driver = *state;
    struct raw_used used;
    l4vio_device_set_log(&driver->device, &log_of_all);
    l4vio_device_queue_log_used(&driver->device, 0, true, USED_AT);
    for (unsigned i = 0; i < 40; i++) {
        clear();
        raw_publish_piece(driver, 0, 0, RAW_BASE, 16, RAW_READ);
        struct l4vio_device_used result = take_one(driver);
        assert_int_equal(marks(), 0);
        l4vio_device_queue_finish(queue_of(driver), &result, 1);
        assert_true(raw_ring_get_used(&driver->rings[0], &used));
        assert_int_equal(marks(), 1);
        assert_true(marked(RAW_BASE));
    }
    clear();
    l4vio_device_queue_disarm(queue_of(driver));
    assert_int_equal(marks(), 1);
    assert_true(marked(RAW_BASE + RAW_USED));
}

/* Descriptors from a place to a place, around the end, and all of them. */
static void packed_descriptors_are_marked_one_by_one(void **state)
{
    static const int features[] = {L4VIO_F_RING_PACKED, -1};
    (void)state;
    struct raw_queue *rig = raw_queue_new(1024, features);
    struct l4vio_dirty_log log = log_of_all;
    rig->queue.log = &log;
    rig->queue.log_used = true;
    l4vio_device_queue_hold(&rig->queue, false); /* Has it choose its calls again. */
    uint64_t rings = RAW_QUEUE_RINGS;
    static const struct {
        unsigned chains;
        unsigned pages;
    } turns[] = {{1, 1}, {255, 1}, {1, 1}, {600, 3}, {300, 2}, {1024, 4}, {3, 1}};
    for (unsigned turn = 0; turn < sizeof(turns) / sizeof(turns[0]); turn++) {
        struct l4vio_device_used *results = calloc(turns[turn].chains, sizeof(*results));
        assert_non_null(results);
        for (unsigned i = 0; i < turns[turn].chains; i++) {
            struct raw_piece piece = {RAW_QUEUE_BASE, 4, RAW_READ};
            raw_ring_publish(&rig->ring, (uint16_t)i, &piece, 1);
            assert_int_equal(raw_queue_take(rig), 1);
            results[i] = l4vio_device_chain_used(&rig->queue, &rig->chain, 0);
        }
        clear();
        uint64_t place = rig->queue.used_index;
        l4vio_device_queue_finish(&rig->queue, results, turns[turn].chains);
        assert_int_equal(marks(), turns[turn].pages);
        assert_true(marked(rings + place * 16));
        assert_true(marked(rings + (place + turns[turn].chains - 1) % 1024 * 16));
        free(results);
    }
    raw_queue_free(rig);
}

/* A batch around the end of a ring of three pages: the index and the first elements, the last elements. */
static void split_elements_are_marked_around_the_end(void **state)
{
    static const int features[] = {-1};
    struct l4vio_dirty_log log = log_of_all;
    struct raw_used used;
    (void)state;
    struct raw_queue *rig = raw_queue_new(1024, features);
    rig->queue.log = &log;
    rig->queue.log_used = true;
    rig->queue.log_used_address = USED_AT / PAGE * PAGE + PAGE - sizeof(struct virtq_used);
    l4vio_device_queue_hold(&rig->queue, false); /* Has it choose its calls again. */
    for (unsigned i = 0; i < 1020; i++) {
        struct raw_piece piece = {RAW_QUEUE_BASE, 4, RAW_READ};
        raw_ring_publish(&rig->ring, (uint16_t)i, &piece, 1);
        assert_int_equal(raw_queue_take(rig), 1);
        raw_queue_finish(rig, &rig->chain, 0);
        assert_true(raw_ring_get_used(&rig->ring, &used));
    }
    struct l4vio_device_used results[8];
    for (uint16_t i = 0; i < 8; i++) {
        struct raw_piece piece = {RAW_QUEUE_BASE, 4, RAW_READ};
        raw_ring_publish(&rig->ring, i, &piece, 1);
        assert_int_equal(raw_queue_take(rig), 1);
        results[i] = l4vio_device_chain_used(&rig->queue, &rig->chain, 0);
    }
    clear();
    l4vio_device_queue_finish(&rig->queue, results, 8);
    assert_int_equal(marks(), 3);
    for (unsigned page = 0; page < 3; page++)
        assert_true(marked(rig->queue.log_used_address + page * PAGE));
    raw_queue_free(rig);
}

/* Both before the queue is set up and through a reset; and setting it up writes to the ring. */
static void logging_stays_until_it_is_switched_off(void **state)
{
    struct raw_driver *driver = *state;
    l4vio_device_set_log(&driver->device, &log_of_all);
    l4vio_device_queue_log_used(&driver->device, 0, true, USED_AT);
    l4vio_device_queue_log_used(&driver->device, RAW_QUEUES, true, USED_AT);
    l4vio_device_reset(&driver->device);
    raw_begin_ring(driver, 0);
    raw_begin_ring(driver, 1);
    clear();
    raw_bring_up(driver);
    assert_true(marked(USED_AT));
    assert_int_equal(marks(), 1);
    l4vio_device_queue_log_used(&driver->device, 0, false, 0);
    clear();
    raw_publish_one(driver, 0, 0);
    struct l4vio_device_used result = take_one(driver);
    l4vio_device_queue_finish(queue_of(driver), &result, 1);
    assert_int_equal(marks(), 1);
    assert_true(marked(RAW_BASE + RAW_DATA));
}

/* A queue that is held, broken or taken away while it is logged. */
static void logged_queues_are_what_they_are(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = queue_of(driver);
    l4vio_device_set_log(&driver->device, &log_of_all);
    l4vio_device_queue_log_used(&driver->device, 0, true, USED_AT);
    raw_publish_one(driver, 0, 0);
    assert_true(l4vio_device_queue_has_avail(queue));
    l4vio_device_queue_hold(queue, true);
    assert_int_equal(raw_take(driver, 0), 0);
    l4vio_device_queue_hold(queue, false);
    struct l4vio_device_used result = take_one(driver);
    raw_publish_piece(driver, 0, 1, 1, 16, RAW_READ);
    assert_int_equal(raw_take(driver, 0), L4VIO_EBADPROTO);
    clear();
    l4vio_device_queue_finish(queue, &result, 1);
    assert_true(marks() != 0);
    clear();
    l4vio_device_reset_queue(&driver->device, 0);
    l4vio_device_queue_finish(queue, &result, 1);
    (void)l4vio_device_chain_used(queue, &driver->chain, 1);
    assert_int_equal(marks(), 0);
}

#define STATUS_AT 0x90fffu /* The last byte of a page of its own. */

static void send(struct block_rig *rig, uint32_t type, uint32_t data_bytes)
{
    block_rig_header(rig, RIG_HEADER, type, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    if (data_bytes)
        block_rig_piece(rig, 0, RIG_IN, data_bytes, type != VIRTIO_BLK_T_OUT);
    block_rig_piece(rig, 0, STATUS_AT, 1, true);
    block_rig_publish(rig, 0);
    l4vio_device_block_process(&rig->block, 0, 8);
}

/* The data, and the status byte, which is no part of what the store works on. */
static void requests_are_marked_with_their_status(void **state)
{
    (void)state;
    struct block_rig *rig = block_rig_usual();
    l4vio_device_set_log(&rig->block.device, &log_of_all);
    clear();
    send(rig, VIRTIO_BLK_T_IN, 2 * PAGE);
    assert_int_equal(marks(), 3);
    assert_true(marked(RIG_BASE + RIG_IN) && marked(RIG_BASE + RIG_IN + PAGE));
    assert_true(marked(RIG_BASE + STATUS_AT));
    clear();
    send(rig, VIRTIO_BLK_T_OUT, 2 * PAGE);
    assert_int_equal(marks(), 1);
    assert_true(marked(RIG_BASE + STATUS_AT));
    clear();
    send(rig, VIRTIO_BLK_T_FLUSH, 0);
    assert_int_equal(marks(), 1);
    block_rig_free(rig);
}

/* Who knows what a store has written before it failed, or before it was stopped. */
static void failed_and_dropped_reads_are_marked(void **state)
{
    (void)state;
    struct block_rig *rig = block_rig_usual();
    l4vio_device_set_log(&rig->block.device, &log_of_all);
    rig->store.fail_op = 'R';
    rig->store.fail_code = L4VIO_EIO;
    clear();
    send(rig, VIRTIO_BLK_T_IN, 2 * PAGE);
    assert_int_equal(rig->memory[STATUS_AT], VIRTIO_BLK_S_IOERR);
    assert_int_equal(marks(), 3);
    rig->store.fail_op = 0;
    rig->store.hold = true;
    clear();
    send(rig, VIRTIO_BLK_T_IN, 2 * PAGE);
    assert_int_equal(marks(), 0);
    l4vio_device_reset_queue(&rig->block.device, 0);
    assert_true(marked(RIG_BASE + RIG_IN) && marked(RIG_BASE + RIG_IN + PAGE));
    block_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_a_range_are_marked),
        RAW_EVERY(writable_buffers_are_marked),
        RAW_EVERY(nothing_is_marked_without_a_log),
        RAW_SPLIT(split_rings_are_marked_where_their_reader_has_them),
        RAW_WITH("split: ", event_indexes_are_marked_behind_the_ring, raw_setup_in_order),
        RAW_PACKED_RING(packed_rings_are_marked),
        RAW_WITH("in order: ", packed_rings_are_marked, raw_setup_packed_in_order),
        cmocka_unit_test(packed_descriptors_are_marked_one_by_one),
        cmocka_unit_test(split_elements_are_marked_around_the_end),
        RAW_SPLIT(logging_stays_until_it_is_switched_off),
        RAW_EVERY(logged_queues_are_what_they_are),
        cmocka_unit_test(requests_are_marked_with_their_status),
        cmocka_unit_test(failed_and_dropped_reads_are_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
