/* SPDX-License-Identifier: MIT */
/* Clauses of the packed ring that no other test has at its heart. docs/clauses.tsv lists all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/virtqueue.h>

#include "core/ordering.h"
#include "fake_device_packed.h"
#include "raw_ring.h"

#define FEATURES(...) ((const int[]){L4VIO_F_RING_PACKED, __VA_ARGS__, -1})
#define NONE          -1

/* Clause D-2.8.11-1: 16, 4 and 4 bytes, in both kinds of address, and the layout keeps it. */
static void areas_are_aligned(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(7, 0);
    const struct l4vio_queue_config good = fixture->config;
    struct l4vio_queue queue;
    struct l4vio_virtqueue_layout layout;
    (void)state;
    for (unsigned off = 0; off < 16; off++) {
        struct l4vio_queue_config config[6] = {good, good, good, good, good, good};
        config[0].desc = (unsigned char *)good.desc + off;
        config[1].desc_address = good.desc_address + off;
        config[2].avail = (unsigned char *)good.avail + off;
        config[3].avail_address = good.avail_address + off;
        config[4].used = (unsigned char *)good.used + off;
        config[5].used_address = good.used_address + off;
        for (unsigned i = 0; i < 6; i++) {
            bool aligned = off % (i < 2 ? 16 : 4) == 0;
            /* A good one would be initialised over memory that is not its own. */
            if (!aligned)
                assert_int_equal(l4vio_queue_init(&queue, &config[i], NULL), L4VIO_EINVAL);
        }
    }
    assert_int_equal(l4vio_queue_init(&queue, &good, NULL), L4VIO_OK);
    for (uint32_t size = 1; size < 300; size++) {
        assert_int_equal(l4vio_virtqueue_layout_for(size, &good.features, &layout), L4VIO_OK);
        assert_int_equal(layout.desc_offset % 16, 0);
        assert_int_equal(layout.avail_offset % 4, 0);
        assert_int_equal(layout.used_offset % 4, 0);
    }
    packed_fixture_free(fixture);
}

/* Clauses V-2.8.12-1 and V-2.8.12-2: taken as the ring has them, whatever their ids; handed back as they
 * are finished. */
static void ring_order_in_and_order_of_completion_out(void **state)
{
    static const uint16_t ids[] = {4, 0, 5, 2, 1};
    static const unsigned finished[] = {3, 0, 4, 1, 2};
    struct raw_queue *rig = raw_queue_new(6, FEATURES(NONE));
    struct l4vio_device_chain chains[5];
    struct raw_used used;
    (void)state;
    for (unsigned round = 0; round < 13; round++) {
        for (unsigned i = 0; i < 5; i++)
            raw_queue_publish(rig, ids[i], 8);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(raw_queue_take(rig), 1);
            assert_int_equal(rig->chain.head, ids[i]);
            chains[i] = rig->chain;
        }
        for (unsigned i = 0; i < 5; i++)
            raw_queue_finish(rig, &chains[finished[i]], i);
        for (unsigned i = 0; i < 5; i++) {
            assert_true(raw_ring_get_used(&rig->ring, &used));
            assert_int_equal(used.id, ids[finished[i]]);
        }
        assert_false(raw_ring_get_used(&rig->ring, &used));
    }
    raw_queue_free(rig);
}

/* Clause V-2.8.15-3: a used descriptor is the driver's, who may do anything with it. */
static void used_descriptors_are_left_alone(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 8; turn++) {
        struct raw_queue *rig = raw_queue_new(4, FEATURES(NONE));
        struct virtq_packed_desc *ring = rig->ring.desc;
        struct l4vio_device_chain chains[4];
        struct raw_used used;
        for (unsigned i = 0; i < turn; i++) {
            raw_queue_publish(rig, 0, 8);
            assert_int_equal(raw_queue_take(rig), 1);
            raw_queue_finish(rig, &rig->chain, 0);
            assert_true(raw_ring_get_used(&rig->ring, &used));
        }
        for (uint16_t i = 0; i < 4; i++)
            raw_queue_publish(rig, i, 8);
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(raw_queue_take(rig), 1);
            chains[i] = rig->chain;
        }
        unsigned char mark[sizeof(*ring)];
        memset(mark, 0x5a, sizeof(mark));
        raw_queue_finish(rig, &chains[0], 1);
        assert_true(raw_ring_get_used(&rig->ring, &used));
        memcpy(&ring[turn % 4], mark, sizeof(mark));
        for (unsigned i = 1; i < 4; i++)
            raw_queue_finish(rig, &chains[i], 1);
        l4vio_device_queue_arm(&rig->queue);
        l4vio_device_queue_disarm(&rig->queue);
        assert_memory_equal(&ring[turn % 4], mark, sizeof(mark));
        raw_queue_free(rig);
    }
}

/* Clauses D-2.8.16-1 and D-2.8.16-2: what is available is not written again before it is used. */
static void available_descriptors_are_left_alone(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 14; turn++) {
        struct packed_fixture *fixture = packed_fixture_create(7, PACKED_EVENT_IDX);
        struct l4vio_queue *queue = &fixture->queue;
        struct l4vio_completion done[7];
        struct fake_packed_descriptor before[7];
        packed_fixture_spin(fixture, turn);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
        l4vio_queue_publish(queue);
        for (uint16_t i = 0; i < 3; i++)
            before[i] = fake_packed_at(&fixture->device, (uint16_t)((turn + i) % 7));

        assert_int_equal(packed_fixture_add(fixture, 2, 8, 3), 1);
        assert_int_equal(packed_fixture_add(fixture, 3, 8, 4), L4VIO_EAGAIN);
        l4vio_queue_publish(queue);
        l4vio_queue_needs_kick(queue);
        assert_int_equal(packed_fixture_add(fixture, 2, 8, 5), 1);
        l4vio_queue_publish(queue);
        assert_int_equal(packed_fixture_add(fixture, 1, 8, 6), L4VIO_EAGAIN);
        l4vio_queue_arm(queue);
        l4vio_queue_disarm(queue);
        assert_int_equal(l4vio_queue_get_used(queue, done, 7), 0);
        for (uint16_t i = 0; i < 3; i++) {
            struct fake_packed_descriptor at =
                fake_packed_at(&fixture->device, (uint16_t)((turn + i) % 7));
            assert_int_equal(at.address, before[i].address);
            assert_int_equal(at.length_bytes, before[i].length_bytes);
            assert_int_equal(at.id, before[i].id);
            assert_int_equal(at.flags, before[i].flags);
        }
        assert_int_equal(fake_packed_use_all(&fixture->device, 8), 5);
        assert_int_equal(l4vio_queue_get_used(queue, done, 7), 5);
        packed_fixture_free(fixture);
    }
}

/* Clauses D-2.8.17-2, D-2.8.17-4 and D-2.8.17-5: all of a list or nothing of it, at every room there
 * is. */
static void list_without_room_shows_nothing(void **state)
{
    (void)state;
    for (unsigned taken = 0; taken <= 5; taken++) {
        for (unsigned length = 1; length <= 6; length++) {
            struct packed_fixture *fixture = packed_fixture_create(5, 0);
            int expected = length > 5 ? L4VIO_E2BIG : length > 5 - taken ? L4VIO_EAGAIN : 1;
            for (unsigned i = 0; i < taken; i++)
                assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(packed_fixture_add(fixture, length, 8, 9), expected);
            l4vio_queue_publish(&fixture->queue);
            assert_int_equal(fake_packed_use_all(&fixture->device, 8), taken + (expected == 1));
            packed_fixture_free(fixture);
        }
    }
}

/* Clause D-2.8.19-1: without the feature a request is a list, even if there is memory for tables. */
static void tables_need_the_feature(void **state)
{
    struct packed_fixture *fixture = packed_fixture_create(8, PACKED_INDIRECT);
    struct l4vio_queue_config config = fixture->config;
    struct l4vio_buffer buffers[3] = {
        {.length_bytes = 8}, {.length_bytes = 8}, {.length_bytes = 8}};
    struct l4vio_request request = {.buffers = buffers, .readable = 1, .writable = 2};
    struct l4vio_queue queue;
    (void)state;
    assert_non_null(config.indirect.memory);
    l4vio_features_clear(&config.features, L4VIO_F_INDIRECT_DESC);
    assert_int_equal(l4vio_queue_init(&queue, &config, NULL), L4VIO_OK);
    assert_int_equal(l4vio_queue_add(&queue, &request, 1), 1);
    l4vio_queue_publish(&queue);
    for (uint16_t i = 0; i < 3; i++)
        assert_false(fake_packed_at(&fixture->device, i).flags & FAKE_PACKED_INDIRECT);
    assert_int_equal(l4vio_queue_room(&queue), 5);
    packed_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(areas_are_aligned),
        cmocka_unit_test(ring_order_in_and_order_of_completion_out),
        cmocka_unit_test(used_descriptors_are_left_alone),
        cmocka_unit_test(available_descriptors_are_left_alone),
        cmocka_unit_test(list_without_room_shows_nothing),
        cmocka_unit_test(tables_need_the_feature),
    };
    return cmocka_run_group_tests_name("clauses_packed", tests, NULL, NULL);
}
