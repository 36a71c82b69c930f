/* SPDX-License-Identifier: MIT */
/* The device's side of a packed ring with a driver that keeps the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_ring.h"

#define FEATURES(...) ((const int[]){L4VIO_F_RING_PACKED, __VA_ARGS__, -1})
#define NONE          -1

static void expect_used(struct raw_queue *rig, uint32_t id, uint32_t length_bytes)
{
    struct raw_used used;
    assert_true(raw_ring_get_used(&rig->ring, &used));
    assert_int_equal(used.id, id);
    assert_int_equal(used.length_bytes, length_bytes);
    assert_int_equal(used.flags & VIRTQ_DESC_F_WRITE, length_bytes ? VIRTQ_DESC_F_WRITE : 0);
}

static void empty_ring_has_nothing(void **state)
{
    struct raw_queue *rig = raw_queue_new(5, FEATURES(NONE));
    (void)state;
    assert_int_equal(raw_queue_take(rig), 0);
    assert_false(l4vio_device_queue_has_avail(&rig->queue));
    assert_true(l4vio_device_queue_ready(&rig->queue));
    assert_int_equal(l4vio_load16(&raw_packed_device_event(&rig->ring)->flags),
                     VIRTQ_EVENT_F_ENABLE);
    raw_queue_free(rig);
}

static void rings_of_any_size_go_round(void **state)
{
    static const uint16_t sizes[] = {1, 2, 3, 7, 16, 100, 255, 256, 32767, 32768};
    (void)state;
    for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct raw_queue *rig = raw_queue_new(sizes[s], FEATURES(NONE));
        for (unsigned i = 0; i < 3u * sizes[s] + 2; i++) {
            uint16_t id = (uint16_t)(i * 7 % sizes[s]);
            raw_queue_publish(rig, id, 1 + i % 9);
            assert_true(l4vio_device_queue_has_avail(&rig->queue));
            assert_int_equal(raw_queue_take(rig), 1);
            assert_int_equal(rig->chain.head, id);
            assert_int_equal(rig->chain.entries, 1);
            assert_int_equal(rig->chain.writable_bytes, 1 + i % 9);
            assert_int_equal(raw_queue_take(rig), 0);
            raw_queue_finish(rig, &rig->chain, i % 3);
            expect_used(rig, id, i % 3);
        }
        raw_queue_free(rig);
    }
}

static void full_ring_is_taken_and_handed_back(void **state)
{
    struct raw_queue *rig = raw_queue_new(6, FEATURES(NONE));
    struct l4vio_device_chain chains[6];
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (uint16_t i = 0; i < 6; i++)
            raw_queue_publish(rig, i, 8);
        for (uint16_t i = 0; i < 6; i++) {
            assert_int_equal(raw_queue_take(rig), 1);
            chains[i] = rig->chain;
        }
        assert_int_equal(raw_queue_take(rig), 0);
        assert_false(l4vio_device_queue_has_avail(&rig->queue));
        for (unsigned i = 6; i-- > 0;)
            raw_queue_finish(rig, &chains[i], i);
        for (unsigned i = 6; i-- > 0;)
            expect_used(rig, i, i);
    }
    raw_queue_free(rig);
}

static void chains_cross_the_end_of_the_ring(void **state)
{
    (void)state;
    for (unsigned length = 1; length <= 7; length++) {
        struct raw_queue *rig = raw_queue_new(7, FEATURES(NONE));
        for (unsigned i = 0; i < 30; i++) {
            uint16_t id = (uint16_t)(i % 7);
            raw_queue_publish_many(rig, id, length, 3);
            assert_int_equal(raw_queue_take(rig), 1);
            assert_int_equal(rig->chain.head, id);
            assert_int_equal(rig->chain.entries, length);
            assert_int_equal(rig->chain.writable, length);
            assert_int_equal(rig->chain.writable_bytes, 3 * length);
            assert_int_equal(raw_queue_take(rig), 0);
            raw_queue_finish(rig, &rig->chain, i);
            expect_used(rig, id, i);
        }
        raw_queue_free(rig);
    }
}

/* Clause V-2.8.18-1; the id is that of the last descriptor. */
static void pieces_are_in_order(void **state)
{
    struct raw_queue *rig = raw_queue_new(8, FEATURES(NONE));
    struct raw_ring *ring = &rig->ring;
    (void)state;
    memcpy(rig->data, "abcdefg", 7);
    raw_packed_desc(ring, 3, (struct raw_piece){RAW_QUEUE_BASE + 200, 5, RAW_WRITE}, 6,
                    raw_packed_bits(ring, 3));
    raw_packed_desc(ring, 2, (struct raw_piece){RAW_QUEUE_BASE + 3, 4, RAW_READ}, 1,
                    raw_packed_bits(ring, 2) | RAW_NEXT);
    raw_packed_desc(ring, 1, (struct raw_piece){0, 0, RAW_READ}, UINT16_MAX,
                    raw_packed_bits(ring, 1) | RAW_NEXT);
    raw_packed_desc(ring, 0, (struct raw_piece){RAW_QUEUE_BASE, 3, RAW_READ}, 5,
                    raw_packed_bits(ring, 0) | RAW_NEXT);
    assert_int_equal(raw_queue_take(rig), 1);
    assert_int_equal(rig->chain.head, 6);
    assert_int_equal(rig->chain.entries, 4);
    assert_int_equal(rig->chain.readable, 2);
    assert_int_equal(rig->chain.writable, 1);
    assert_int_equal(rig->chain.readable_bytes, 7);
    assert_int_equal(rig->chain.writable_bytes, 5);
    assert_ptr_equal(rig->segments[1].base, rig->data + 3);
    char text[8] = {0};
    assert_int_equal(l4vio_device_chain_read(&rig->chain, 0, text, 8), 7);
    assert_string_equal(text, "abcdefg");
    raw_queue_free(rig);
}

static void batch_is_one_row_of_used_descriptors(void **state)
{
    struct raw_queue *rig = raw_queue_new(9, FEATURES(NONE));
    struct l4vio_device_used used[3];
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        for (uint16_t i = 0; i < 3; i++) {
            raw_queue_publish_many(rig, i, i + 1u, 4);
            assert_int_equal(raw_queue_take(rig), 1);
            used[2 - i] = l4vio_device_chain_used(&rig->queue, &rig->chain, i);
        }
        l4vio_device_queue_finish(&rig->queue, used, 3);
        for (unsigned i = 3; i-- > 0;)
            expect_used(rig, i, i);
        struct raw_used none;
        assert_false(raw_ring_get_used(&rig->ring, &none));
    }
    assert_int_equal(rig->queue.counters.finished, 60);
    raw_queue_free(rig);
}

static void results_beyond_what_is_in_flight_are_refused(void **state)
{
    struct raw_queue *rig = raw_queue_new(8, FEATURES(NONE));
    struct raw_used used;
    (void)state;
    raw_queue_publish_many(rig, 1, 2, 4);
    assert_int_equal(raw_queue_take(rig), 1);
    struct l4vio_device_used results[4] = {{.head = 2, .entries = 3},
                                           {.head = 2, .entries = 0},
                                           {.head = 1, .entries = 2, .written_bytes = 8},
                                           {.head = 1, .entries = 2, .written_bytes = 9}};
    for (unsigned i = 0; i < 2; i++)
        l4vio_device_queue_finish(&rig->queue, &results[i], 1);
    l4vio_device_queue_finish(&rig->queue, &results[2], 2);
    assert_int_equal(rig->queue.counters.refused_results, 3);
    expect_used(rig, 1, 8);
    assert_false(raw_ring_get_used(&rig->ring, &used));
    l4vio_device_queue_finish(&rig->queue, &results[2], 1);
    assert_false(raw_ring_get_used(&rig->ring, &used));
    assert_int_equal(rig->queue.in_flight, 0);
    raw_queue_free(rig);
}

static void rewound_chains_are_taken_again(void **state)
{
    struct raw_queue *rig = raw_queue_new(7, FEATURES(NONE));
    struct l4vio_device_chain chains[3];
    (void)state;
    for (unsigned round = 0; round < 14; round++) {
        for (uint16_t i = 0; i < 3; i++)
            raw_queue_publish_many(rig, i, 1u + (i + round) % 3, 4);
        for (unsigned again = 0; again < 2; again++) {
            for (uint16_t i = 0; i < 3; i++) {
                assert_int_equal(raw_queue_take(rig), 1);
                assert_int_equal(rig->chain.head, i);
                chains[i] = rig->chain;
            }
            for (unsigned i = 3; i-- > 0 && !again;)
                assert_int_equal(l4vio_device_queue_rewind(&rig->queue, &chains[i]), 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            raw_queue_finish(rig, &chains[i], 4);
            expect_used(rig, i, 4);
        }
        assert_int_equal(l4vio_device_queue_rewind(&rig->queue, &chains[2]), L4VIO_EINVAL);
    }
    raw_queue_free(rig);
}

/* Random chains, finished in random order and batches, against a list of what was finished. */
static void completion_is_in_any_order(void **state)
{
    (void)state;
    srand(4711);
    for (unsigned run = 0; run < 40; run++) {
        uint16_t size = (uint16_t)(1 + rand() % 40);
        struct raw_queue *rig = raw_queue_new(size, FEATURES(NONE));
        struct l4vio_device_chain chains[40];
        bool in_use[40] = {false};
        unsigned taken = 0;
        unsigned free_entries = size;
        for (unsigned step = 0; step < 1000; step++) {
            unsigned length = 1 + (unsigned)rand() % 4;
            uint16_t id = (uint16_t)(rand() % size);
            if (length <= free_entries && !in_use[id] && rand() % 3) {
                raw_queue_publish_many(rig, id, length, 2);
                in_use[id] = true;
                free_entries -= length;
                assert_int_equal(raw_queue_take(rig), 1);
                assert_int_equal(rig->chain.head, id);
                assert_int_equal(rig->chain.entries, length);
                chains[taken++] = rig->chain;
                continue;
            }
            struct l4vio_device_used used[40];
            unsigned count = taken ? 1 + (unsigned)rand() % taken : 0;
            for (unsigned i = 0; i < count; i++) {
                unsigned which = (unsigned)rand() % taken;
                used[i] = l4vio_device_chain_used(&rig->queue, &chains[which], step + i);
                chains[which] = chains[--taken];
            }
            l4vio_device_queue_finish(&rig->queue, used, count);
            for (unsigned i = 0; i < count; i++) {
                expect_used(rig, used[i].head, step + i);
                in_use[used[i].head] = false;
                free_entries += used[i].entries;
            }
            struct raw_used none;
            assert_false(raw_ring_get_used(&rig->ring, &none));
        }
        assert_int_equal(rig->queue.counters.refused_results, 0);
        raw_queue_free(rig);
    }
}

/* A table in the data: `count` entries of one byte each, flags as given. */
static void write_table(struct raw_queue *rig, uint32_t offset, unsigned count, unsigned flags)
{
    for (unsigned i = 0; i < count; i++) {
        struct virtq_packed_desc desc;
        l4vio_store64(&desc.addr, RAW_QUEUE_BASE + i);
        l4vio_store32(&desc.len, 1);
        l4vio_store16(&desc.id, UINT16_MAX);
        l4vio_store16(&desc.flags, (uint16_t)flags);
        memcpy(rig->data + offset + i * 16u, &desc, sizeof(desc));
    }
}

static void publish_table(struct raw_queue *rig, uint16_t id, uint32_t offset, unsigned count)
{
    struct raw_piece table = {RAW_QUEUE_BASE + offset, count * 16u, VIRTQ_DESC_F_INDIRECT};
    raw_ring_publish(&rig->ring, id, &table, 1);
}

static void table_is_a_row_whose_entries_know_only_write(void **state)
{
    struct raw_queue *rig = raw_queue_new(8, FEATURES(L4VIO_F_INDIRECT_DESC));
    (void)state;
    for (uint32_t shift = 0; shift < 16; shift++) {
        write_table(rig, 1024 + shift, 3, shift % 2 ? 0xfffd : 0);
        write_table(rig, 1024 + shift + 48, 2, 0xffff);
        publish_table(rig, 2, 1024 + shift, 5);
        assert_int_equal(raw_queue_take(rig), 1);
        assert_int_equal(rig->chain.head, 2);
        assert_int_equal(rig->chain.entries, 1);
        assert_int_equal(rig->chain.readable, 3);
        assert_int_equal(rig->chain.writable, 2);
        assert_ptr_equal(rig->segments[2].base, rig->data + 2);
        raw_queue_finish(rig, &rig->chain, 2);
        expect_used(rig, 2, 2);
    }
    raw_queue_free(rig);
}

/* Clause D-2.8.19-3: the limit is the device's, not the queue's. */
static void table_may_be_longer_than_the_queue(void **state)
{
    struct raw_queue *rig = raw_queue_new(4, FEATURES(L4VIO_F_INDIRECT_DESC));
    (void)state;
    write_table(rig, 4096, RAW_QUEUE_PARTS + 1, RAW_WRITE);
    publish_table(rig, 1, 4096, RAW_QUEUE_PARTS);
    assert_int_equal(raw_queue_take(rig), 1);
    assert_int_equal(rig->chain.writable, RAW_QUEUE_PARTS);
    publish_table(rig, 2, 4096, RAW_QUEUE_PARTS + 1);
    assert_int_equal(raw_queue_take(rig), L4VIO_EBADPROTO);
    raw_queue_free(rig);
}

static void set_up_begins_with_round_one(void **state)
{
    struct raw_queue *rig = raw_queue_new(3, FEATURES(NONE));
    (void)state;
    /* A ring of zeros has nothing available, nor has one whose round is over. */
    memset(rig->ring.desc, 0xff, 3 * 16);
    assert_int_equal(raw_queue_take(rig), 0);
    memset(rig->ring.desc, 0, 3 * 16);
    assert_int_equal(raw_queue_take(rig), 0);
    raw_queue_publish(rig, 0, 1);
    assert_int_equal(raw_queue_take(rig), 1);
    l4vio_device_queue_disable(&rig->queue);
    assert_int_equal(raw_queue_take(rig), 0);
    raw_queue_finish(rig, &rig->chain, 1);
    assert_int_equal(rig->queue.counters.refused_results, 1);
    raw_queue_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_ring_has_nothing),
        cmocka_unit_test(rings_of_any_size_go_round),
        cmocka_unit_test(full_ring_is_taken_and_handed_back),
        cmocka_unit_test(chains_cross_the_end_of_the_ring),
        cmocka_unit_test(pieces_are_in_order),
        cmocka_unit_test(batch_is_one_row_of_used_descriptors),
        cmocka_unit_test(results_beyond_what_is_in_flight_are_refused),
        cmocka_unit_test(rewound_chains_are_taken_again),
        cmocka_unit_test(completion_is_in_any_order),
        cmocka_unit_test(table_is_a_row_whose_entries_know_only_write),
        cmocka_unit_test(table_may_be_longer_than_the_queue),
        cmocka_unit_test(set_up_begins_with_round_one),
    };
    return cmocka_run_group_tests_name("device_packed", tests, NULL, NULL);
}
