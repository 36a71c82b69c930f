/* SPDX-License-Identifier: MIT */
/* The record of what is in flight: its layout, its life, and records that no device has written. */
#include "inflight_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/vhost_user_inflight.h>

#define SIZE 8u

static struct vhost_user_inflight_split *split_of(const struct world *world)
{
    return world_record(world);
}

static struct vhost_user_inflight_split_desc *split_entries(const struct world *world)
{
    return (struct vhost_user_inflight_split_desc *)(void *)(split_of(world) + 1);
}

static struct vhost_user_inflight_packed *packed_of(const struct world *world)
{
    return world_record(world);
}

static struct vhost_user_inflight_packed_desc *packed_entries(const struct world *world)
{
    return (struct vhost_user_inflight_packed_desc *)(void *)(packed_of(world) + 1);
}

static void layouts_are_those_of_the_protocol(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct vhost_user_inflight_split), 16);
    assert_int_equal(sizeof(struct vhost_user_inflight_split_desc), 16);
    assert_int_equal(offsetof(struct vhost_user_inflight_split, used_idx), 14);
    assert_int_equal(offsetof(struct vhost_user_inflight_split_desc, next), 6);
    assert_int_equal(sizeof(struct vhost_user_inflight_packed), 32);
    assert_int_equal(sizeof(struct vhost_user_inflight_packed_desc), 32);
    assert_int_equal(offsetof(struct vhost_user_inflight_packed, used_wrap_counter), 20);
    assert_int_equal(offsetof(struct vhost_user_inflight_packed_desc, counter), 8);
    assert_int_equal(offsetof(struct vhost_user_inflight_packed_desc, addr), 24);
    assert_int_equal(l4vio_device_inflight_bytes(SIZE, false), 192);
    assert_int_equal(l4vio_device_inflight_bytes(SIZE, true), 320);
    assert_int_equal(l4vio_device_inflight_bytes(1, false), 64);
    assert_int_equal(l4vio_device_inflight_bytes(32768, false), 16u * 32768u + 64u);
    assert_int_equal(l4vio_device_inflight_bytes(32768, true), 32u * 32768u + 64u);
}

static void zeroes_become_a_record(void **state)
{
    (void)state;
    struct world *split = world_new(SIZE, 0, 1);
    assert_int_equal(world_resume(split), 0);
    assert_int_equal(split_of(split)->version, 1);
    assert_int_equal(split_of(split)->desc_num, SIZE);
    assert_int_equal(split->queue.in_flight, 0);
    struct world *packed = world_new(SIZE, WORLD_PACKED, 1);
    assert_int_equal(world_resume(packed), 0);
    assert_int_equal(packed_of(packed)->version, 1);
    assert_int_equal(packed_of(packed)->desc_num, SIZE);
    assert_int_equal(packed_of(packed)->used_wrap_counter, 1);
    assert_int_equal(packed_of(packed)->old_used_wrap_counter, 1);
    for (unsigned i = 0; i < SIZE; i++)
        assert_int_equal(packed_entries(packed)[i].next, i + 1);
    world_free(split);
    world_free(packed);
}

/* With a predecessor that kept no record, or finished everything. */
static void new_records_begin_anywhere(void **state)
{
    (void)state;
    struct world *world = world_new(SIZE, 0, 1);
    struct l4vio_device_queue_resume resume = {.avail = 40000,
                                               .used = 40000,
                                               .in_flight = world_record(world),
                                               .in_flight_bytes = 192,
                                               .in_flight_slots = world->inflight_slots};
    struct l4vio_device_queue_config config = world->config;
    config.resume = &resume;
    assert_int_equal(l4vio_device_queue_init(&world->queue, &config, &world->map, NULL), 0);
    assert_int_equal(split_of(world)->used_idx, 40000);
    world_free(world);
}

/* The driver has begun a ring anew, and nobody told the keeper of the record; nothing was in flight. */
static void rings_that_begin_anew_go_on_with_an_idle_record(void **state)
{
    (void)state;
    struct world *world = world_new(SIZE, 0, 1);
    assert_int_equal(world_resume(world), 0);
    split_of(world)->used_idx = 1000;
    split_of(world)->last_batch_head = UINT16_MAX;
    assert_int_equal(world_resume(world), 0);
    assert_int_equal(split_of(world)->used_idx, 0);
    for (unsigned i = 0; i < 200; i++)
        world_step(world);
    world_check_death(world);
    world_free(world);
}

static void places_for_records_are_checked(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world *world = world_new(SIZE, packed ? WORLD_PACKED : 0, 1);
        const struct l4vio_device_queue_resume good = {
            .in_flight = world_record(world),
            .in_flight_bytes = l4vio_device_inflight_bytes(SIZE, packed),
            .in_flight_slots = world->inflight_slots};
        struct l4vio_device_queue_resume wrong[4] = {good, good, good, good};
        wrong[0].in_flight = (unsigned char *)world_record(world) + 4;
        wrong[1].in_flight_bytes--;
        wrong[2].in_flight_bytes = 0;
        wrong[3].in_flight_slots = NULL;
        for (unsigned i = 0; i < 4; i++) {
            struct l4vio_device_queue_config config = world->config;
            config.resume = &wrong[i];
            assert_int_equal(l4vio_device_queue_init(&world->queue, &config, &world->map, NULL),
                             L4VIO_EINVAL);
            assert_false(l4vio_device_queue_ready(&world->queue));
        }
        struct l4vio_device_queue_config config = world->config;
        config.resume = &good;
        assert_int_equal(l4vio_device_queue_init(&world->queue, &config, &world->map, NULL), 0);
        world_free(world);
    }
}

/* Several requests in flight, some of several descriptors, and a few that were used before. */
static struct world *busy_world(unsigned options)
{
    for (unsigned seed = 1;; seed++) {
        struct world *world = world_new(SIZE, options, seed);
        assert_int_equal(world_resume(world), 0);
        for (unsigned i = 0; i < 60; i++)
            world_step(world);
        world_collect(world);
        while (world_publish(world)) {}
        while (world_take(world)) {}
        unsigned several = 0;
        for (unsigned i = 0; i < world->outstanding_count; i++)
            several += world->outstanding[i].entries > 1;
        if (several && world->outstanding_count >= 3 && world->held_count >= 3 &&
            world->outstanding_count < SIZE)
            return world;
        world_free(world);
    }
}

/* Nothing is written by a device that refuses a record. */
static void expect_refused(struct world *world, const char *what)
{
    unsigned char *before = malloc(WORLD_BYTES);
    assert_non_null(before);
    memcpy(before, world->memory, WORLD_BYTES);
    struct l4vio_device_queue_resume resume = {.in_flight = world_record(world),
                                               .in_flight_bytes = 320,
                                               .in_flight_slots = world->inflight_slots};
    struct l4vio_device_queue_config config = world->config;
    config.resume = &resume;
    if (l4vio_device_queue_init(&world->queue, &config, &world->map, NULL) != L4VIO_EINVAL)
        fail_msg("accepted: %s", what);
    assert_false(l4vio_device_queue_ready(&world->queue));
    assert_memory_equal(before, world->memory, WORLD_BYTES);
    free(before);
}

/* A record of its own for each change. */
#define REFUSED(options, change)                   \
    do {                                           \
        struct world *world = busy_world(options); \
        uint16_t first = first_of(world, 0);       \
        uint16_t second = first_of(world, 1);      \
        change;                                    \
        (void)first;                               \
        (void)second;                              \
        expect_refused(world, #change);            \
        world_free(world);                         \
    } while (0)

/* The entry of the record that the n-th request in flight begins with; packed: the longest first. */
static uint16_t first_of(const struct world *world, unsigned n)
{
    unsigned at = n;
    if (!(world->options & WORLD_PACKED))
        return world->outstanding[at].id;
    unsigned longest = 0;
    for (unsigned i = 0; i < world->outstanding_count; i++) {
        if (world->outstanding[i].entries > world->outstanding[longest].entries)
            longest = i;
    }
    at = n == 0 ? longest : (longest == 0 ? 1 : 0);
    return world->inflight_slots[world->outstanding[at].id].first;
}

static void split_records_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    REFUSED(0, split_of(world)->version = 2);
    REFUSED(0, split_of(world)->features = 1);
    REFUSED(0, split_of(world)->desc_num = SIZE / 2);
    REFUSED(0, split_of(world)->used_idx = (uint16_t)(split_of(world)->used_idx - SIZE - 1));
    REFUSED(0, split_of(world)->used_idx++);
    REFUSED(0, split_entries(world)[first].inflight = 2);
    REFUSED(0, (split_of(world)->used_idx--, split_of(world)->last_batch_head = SIZE));
    REFUSED(0, (split_of(world)->used_idx -= 2, split_of(world)->last_batch_head = first,
                split_entries(world)[first].next = UINT16_MAX));
    REFUSED(0, (split_of(world)->used_idx -= 2, split_of(world)->last_batch_head = first,
                split_entries(world)[first].next = first));
    REFUSED(0, split_entries(world)[first].counter = UINT64_MAX);
    REFUSED(0, split_entries(world)[first].counter = split_entries(world)[second].counter);
}

static void packed_records_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    REFUSED(WORLD_PACKED, packed_of(world)->version = 2);
    REFUSED(WORLD_PACKED, packed_of(world)->features = 1);
    REFUSED(WORLD_PACKED, packed_of(world)->desc_num = SIZE + 1);
    REFUSED(WORLD_PACKED, packed_of(world)->used_idx = SIZE);
    REFUSED(WORLD_PACKED, packed_of(world)->old_used_idx = UINT16_MAX);
    REFUSED(WORLD_PACKED, packed_of(world)->used_wrap_counter = 2);
    REFUSED(WORLD_PACKED, packed_of(world)->old_used_wrap_counter = 255);
    REFUSED(WORLD_PACKED, packed_of(world)->old_free_head = SIZE + 1);
    REFUSED(WORLD_PACKED, packed_entries(world)[packed_of(world)->free_head].next = UINT16_MAX);
    REFUSED(WORLD_PACKED,
            packed_entries(world)[packed_of(world)->free_head].next = packed_of(world)->free_head);
    REFUSED(WORLD_PACKED, packed_entries(world)[packed_of(world)->free_head].next = first);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].inflight = 2);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].inflight = 0);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].num = 0);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].num = UINT16_MAX);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].num--);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].last = second);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].last = SIZE);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].next = SIZE);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].next = first);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].next = second);
    REFUSED(WORLD_PACKED, packed_entries(world)[packed_entries(world)[first].last].id = SIZE);
    REFUSED(WORLD_PACKED, packed_entries(world)[packed_entries(world)[first].last].id =
                              packed_entries(world)[packed_entries(world)[second].last].id);
    REFUSED(WORLD_PACKED, packed_entries(world)[first].counter = UINT64_MAX);
    REFUSED(WORLD_PACKED,
            packed_entries(world)[first].counter = packed_entries(world)[second].counter);
}

/* 0, 1, 2 are a chain, and 3 another one that goes on with 1; 4, 5, 6 are free, and 7 is nowhere. */
static void chains_that_share_an_entry_are_refused(void **state)
{
    static const uint16_t next[SIZE] = {1, 2, 0, 1, 5, 6, SIZE, 0};
    (void)state;
    struct world *world = world_new(SIZE, WORLD_PACKED, 1);
    struct vhost_user_inflight_packed_desc *entries = packed_entries(world);
    assert_int_equal(world_resume(world), 0);
    for (uint16_t i = 0; i < SIZE; i++) {
        entries[i].next = next[i];
        entries[i].id = i;
        entries[i].counter = i;
        entries[i].inflight = i == 0 || i == 3;
    }
    packed_of(world)->free_head = 4;
    packed_of(world)->old_free_head = 4;
    entries[0].num = 3;
    entries[0].last = 2;
    entries[3].num = 2;
    entries[3].last = 1;
    expect_refused(world, "an entry of two chains");
    world_free(world);
}

/* Whatever lies there: refused, or a queue that may break, but does no harm. */
static void scribbled_records_do_no_harm(void **state)
{
    static const unsigned options[] = {0, WORLD_IN_ORDER, WORLD_PACKED,
                                       WORLD_PACKED | WORLD_IN_ORDER};
    (void)state;
    for (unsigned turn = 0; turn < 4000; turn++) {
        struct world *world = busy_world(options[turn % 4]);
        unsigned char *record = world_record(world);
        srand(turn);
        for (unsigned i = 0; i < 1u + turn / 4 % 4; i++)
            record[(unsigned)rand() % 200] = (unsigned char)(rand() % 2 ? rand() % 10 : rand());
        struct l4vio_device_queue_resume resume = {
            .in_flight = record, .in_flight_bytes = 320, .in_flight_slots = world->inflight_slots};
        struct l4vio_device_queue_config config = world->config;
        struct l4vio_device_chain chain;
        struct l4vio_device_segment segments[4];
        config.resume = &resume;
        int result = l4vio_device_queue_init(&world->queue, &config, &world->map, NULL);
        for (unsigned i = 0; !result && i < SIZE; i++) {
            if (l4vio_device_queue_next(&world->queue, &chain, segments, 4) != 1)
                break;
            struct l4vio_device_used used = l4vio_device_chain_used(&world->queue, &chain, 0);
            l4vio_device_queue_finish(&world->queue, &used, 1);
        }
        world_free(world);
    }
}

/* Once the queue is set up, what lies in the record is only for the successor. */
static void records_are_not_read_again(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world *world = busy_world(packed ? WORLD_PACKED : 0);
        assert_int_equal(world_resume(world), 0);
        for (unsigned i = 0; i < 400; i++) {
            while (world_take(world)) {}
            /* Of a predecessor, packed, the descriptors themselves are read there when they are due. */
            memset(world_record(world), 0xff, 320);
            world_step(world);
        }
        while (world->held_count)
            world_finish(world, 1);
        world_collect(world);
        assert_int_equal(world->outstanding_count, 0);
        world_free(world);
    }
}

static void heads_in_flight_cannot_come_twice(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world *world = world_new(SIZE, packed ? WORLD_PACKED : 0, 1);
        struct l4vio_device_chain chain;
        struct l4vio_device_segment segments[4];
        assert_int_equal(world_resume(world), 0);
        assert_true(world_publish(world));
        assert_true(world_take(world));
        const struct world_request *request = &world->outstanding[0];
        struct raw_piece piece = {0x10000u, 4, RAW_READ};
        raw_ring_publish(&world->ring, request->id, &piece, 1);
        assert_int_equal(l4vio_device_queue_next(&world->queue, &chain, segments, 4),
                         L4VIO_EBADPROTO);
        assert_int_equal(world->queue.in_flight, 1);
        assert_int_equal(world->queue.counters.taken, 1);
        /* What was taken before can still be handed back, once. */
        world_finish(world, 1);
        assert_int_equal(world->queue.counters.finished, 1);
        world_free(world);
    }
}

static void results_of_what_is_not_in_flight_are_refused(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world *world = busy_world(packed ? WORLD_PACKED : 0);
        unsigned count = world->queue.in_flight;
        uint16_t id = world->outstanding[0].id;
        uint16_t entries = packed ? world->outstanding[0].entries : 1;
        assert_int_equal(world_resume(world), 0);
        /* It waits, and was not given out yet. */
        struct l4vio_device_used used[3] = {{id, entries, 0}, {SIZE, 1, 0}, {UINT16_MAX, 1, 0}};
        l4vio_device_queue_finish(&world->queue, used, 3);
        assert_int_equal(world->queue.counters.refused_results, 3);
        assert_true(world_take(world));
        used[1] = used[0];
        l4vio_device_queue_finish(&world->queue, used, 2);
        assert_int_equal(world->queue.counters.refused_results, 4);
        assert_int_equal(world->queue.in_flight, count - 1);
        world->held_count = 0;
        assert_int_equal(world_resume(world), 0);
        assert_int_equal(world->queue.in_flight, count - 1);
        world_free(world);
    }
}

/* IN_ORDER: a result that waits for its turn was not shown. */
static void results_that_wait_are_in_flight(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world *world = world_new(SIZE, WORLD_IN_ORDER | (packed ? WORLD_PACKED : 0), 1);
        assert_int_equal(world_resume(world), 0);
        for (unsigned i = 0; i < 3; i++) {
            while (!world_publish(world)) {}
            assert_true(world_take(world));
        }
        struct world_chain *held = &world->held[2];
        held->chain.segments = held->segments;
        struct l4vio_device_used used = l4vio_device_chain_used(&world->queue, &held->chain, 0);
        l4vio_device_queue_finish(&world->queue, &used, 1);
        assert_int_equal(world->queue.counters.finished, 0);
        world_check_death(world);
        assert_int_equal(world_resume(world), 0);
        assert_int_equal(world->queue.in_flight, 3);
        world_free(world);
    }
}

static void held_queues_keep_what_waits(void **state)
{
    (void)state;
    struct world *world = busy_world(WORLD_PACKED);
    assert_int_equal(world_resume(world), 0);
    l4vio_device_queue_hold(&world->queue, true);
    assert_false(world_take(world));
    assert_false(l4vio_device_queue_arm(&world->queue));
    l4vio_device_queue_hold(&world->queue, false);
    assert_true(l4vio_device_queue_arm(&world->queue));
    assert_true(world_take(world));
    world_free(world);
}

#if __SIZEOF_POINTER__ >= 8
/* Others store the place and the round of what they are about to show one by one. */
static void places_without_their_round_are_taken_back(void **state)
{
    (void)state;
    struct world *world = NULL;
    for (unsigned turn = 0; turn < 1000; turn++) {
        world = busy_world(WORLD_PACKED);
        for (unsigned i = 0; i < turn % 50; i++)
            world_step(world);
        world_collect(world);
        unsigned next = world->queue.used_index + 3u;
        if (world->queue.in_flight_entries >= 3 && next >= SIZE) {
            packed_of(world)->used_idx = (uint16_t)(next - SIZE);
            world_check_death(world);
        }
        world_free(world);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_those_of_the_protocol),
        cmocka_unit_test(zeroes_become_a_record),
        cmocka_unit_test(new_records_begin_anywhere),
        cmocka_unit_test(rings_that_begin_anew_go_on_with_an_idle_record),
        cmocka_unit_test(places_for_records_are_checked),
        cmocka_unit_test(split_records_that_make_no_sense_are_refused),
        cmocka_unit_test(packed_records_that_make_no_sense_are_refused),
        cmocka_unit_test(chains_that_share_an_entry_are_refused),
        cmocka_unit_test(scribbled_records_do_no_harm),
        cmocka_unit_test(records_are_not_read_again),
        cmocka_unit_test(heads_in_flight_cannot_come_twice),
        cmocka_unit_test(results_of_what_is_not_in_flight_are_refused),
        cmocka_unit_test(results_that_wait_are_in_flight),
        cmocka_unit_test(held_queues_keep_what_waits),
#if __SIZEOF_POINTER__ >= 8
        cmocka_unit_test(places_without_their_round_are_taken_back),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
