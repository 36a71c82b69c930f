/* SPDX-License-Identifier: MIT */
/*
 * Event suppression of the device queue, both formats and directions: with flags, with event indexes,
 * with places in the ring. Positions are counted without wrapping here; what lies in the ring is made
 * from them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_ring.h"

#define SPLIT            ((const int[]){-1})
#define SPLIT_EVENT_IDX  ((const int[]){L4VIO_F_EVENT_IDX, -1})
#define PACKED           ((const int[]){L4VIO_F_RING_PACKED, -1})
#define PACKED_EVENT_IDX ((const int[]){L4VIO_F_RING_PACKED, L4VIO_F_EVENT_IDX, -1})

static bool round_of(const struct raw_queue *rig, uint64_t position)
{
    return position / rig->ring.size % 2 == 0;
}

/* One request there and back, without a look at who wants to know. */
static void use_one(struct raw_queue *rig)
{
    raw_queue_publish(rig, 0, 4);
    assert_int_equal(raw_queue_take(rig), 1);
    raw_queue_finish(rig, &rig->chain, 0);
    struct raw_used used;
    assert_true(raw_ring_get_used(&rig->ring, &used));
}

static l4vio_le16 *used_event(struct raw_queue *rig)
{
    return (l4vio_le16 *)rig->ring.avail + 2 + rig->ring.size;
}

static l4vio_le16 *avail_event(struct raw_queue *rig)
{
    return (
        l4vio_le16 *)(void *)((struct virtq_used_elem *)(void *)((l4vio_le16 *)rig->ring.used + 2) +
                              rig->ring.size);
}

static uint16_t used_flags(struct raw_queue *rig)
{
    return l4vio_load16((l4vio_le16 *)rig->ring.used);
}

/* The driver asks for a notification of the entry at a position. */
static void want_position(struct raw_queue *rig, uint64_t position)
{
    if (rig->ring.packed)
        raw_packed_want(&rig->ring, VIRTQ_EVENT_F_DESC, (unsigned)(position % rig->ring.size),
                        round_of(rig, position));
    else
        l4vio_store16(used_event(rig), (uint16_t)position);
}

/* Would a driver kick that has made the entries from `before` to `after` available? */
static bool driver_kicks(struct raw_queue *rig, uint64_t before, uint64_t after)
{
    if (!rig->ring.packed) {
        if (!rig->queue.event_idx)
            return !(used_flags(rig) & VIRTQ_USED_F_NO_NOTIFY);
        assert_int_equal(used_flags(rig), 0); /* Clause V-2.7.10.2-3. */
        return (uint16_t)(after - l4vio_load16(avail_event(rig)) - 1u) < (uint16_t)(after - before);
    }
    const struct virtq_event_suppress *event = raw_packed_device_event(&rig->ring);
    unsigned flags = l4vio_load16(&event->flags);
    if (flags != VIRTQ_EVENT_F_DESC)
        return flags == VIRTQ_EVENT_F_ENABLE;
    unsigned place = l4vio_load16(&event->off_wrap) & 0x7fffu;
    bool round = l4vio_load16(&event->off_wrap) >> VIRTQ_EVENT_WRAP_SHIFT;
    for (uint64_t at = before; at != after; at++)
        if (at % rig->ring.size == place && round_of(rig, at) == round)
            return true;
    return false;
}

/* Random batches, decisions left out, and wishes: the answer is whether the place was passed. */
static void check_notifications(uint16_t size, const int *features)
{
    struct raw_queue *rig = raw_queue_new(size, features);
    uint64_t now = 0;
    uint64_t decided = 0;
    for (unsigned step = 0; step < 3000; step++) {
        uint64_t wanted = now + (unsigned)rand() % size;
        want_position(rig, wanted);
        bool before = decided <= wanted && wanted < now;
        assert_false(before); /* The driver has seen what was used: it waits for what comes. */
        for (unsigned batches = 1 + (unsigned)rand() % 3; batches; batches--)
            for (unsigned i = (unsigned)rand() % (size + 1u); i; i--, now++)
                use_one(rig);
        /* More than a round of entries past the wish: the same place of the next round is not meant. */
        if (now > wanted + size)
            want_position(rig, wanted = now - 1);
        if (rand() % 4 == 0)
            continue;
        assert_int_equal(l4vio_device_queue_needs_notify(&rig->queue),
                         decided <= wanted && wanted < now);
        assert_false(l4vio_device_queue_needs_notify(&rig->queue));
        decided = now;
    }
    raw_queue_free(rig);
}

/* Clauses V-2.7.7.2-5, V-2.7.7.2-6. */
static void driver_is_notified_when_its_place_is_passed(void **state)
{
    (void)state;
    srand(1);
    for (uint16_t size = 1; size <= 64; size = (uint16_t)(size * 2))
        check_notifications(size, SPLIT_EVENT_IDX);
    for (uint16_t size = 1; size <= 20; size++)
        check_notifications(size, PACKED_EVENT_IDX);
}

/* The place that was passed before the last decision counts no more. */
static void wish_that_was_answered_is_not_answered_again(void **state)
{
    const int *const formats[] = {SPLIT_EVENT_IDX, PACKED_EVENT_IDX};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct raw_queue *rig = raw_queue_new(4, formats[f]);
        for (unsigned i = 0; i < 20; i += 2) {
            want_position(rig, i);
            use_one(rig);
            assert_true(l4vio_device_queue_needs_notify(&rig->queue));
            use_one(rig);
            assert_false(l4vio_device_queue_needs_notify(&rig->queue));
        }
        raw_queue_free(rig);
    }
}

static void index_wraps_between_wish_and_result(void **state)
{
    struct raw_queue *rig = raw_queue_new(4, SPLIT_EVENT_IDX);
    (void)state;
    for (unsigned i = 0; i < 65535; i++)
        use_one(rig);
    assert_true(l4vio_device_queue_needs_notify(&rig->queue));
    l4vio_store16(used_event(rig), 0);
    use_one(rig);
    assert_false(l4vio_device_queue_needs_notify(&rig->queue));
    use_one(rig);
    assert_true(l4vio_device_queue_needs_notify(&rig->queue));
    raw_queue_free(rig);
}

/* So many entries without a decision that 16 bits cannot tell them from none. */
static void decision_after_65536_entries_is_one(void **state)
{
    struct raw_queue *rig = raw_queue_new(4, SPLIT_EVENT_IDX);
    (void)state;
    l4vio_store16(used_event(rig), 65535);
    for (unsigned i = 0; i < 65536; i++)
        use_one(rig);
    assert_true(l4vio_device_queue_needs_notify(&rig->queue));
    raw_queue_free(rig);
}

/* Clause V-2.7.7.2-4. */
static void flag_means_nothing_with_event_idx(void **state)
{
    struct raw_queue *rig = raw_queue_new(8, SPLIT_EVENT_IDX);
    (void)state;
    l4vio_store16((l4vio_le16 *)rig->ring.avail, VIRTQ_AVAIL_F_NO_INTERRUPT);
    want_position(rig, 0);
    use_one(rig);
    assert_true(l4vio_device_queue_needs_notify(&rig->queue));
    raw_queue_free(rig);
}

static void packed_flags_say_always_or_never(void **state)
{
    static const struct {
        unsigned flags;
        bool expected;
    } cases[] = {{VIRTQ_EVENT_F_ENABLE, true},
                 {VIRTQ_EVENT_F_DISABLE, false},
                 {3, true},      /* Reserved. */
                 {0xfffc, true}, /* Reserved bits beside it. */
                 {0xfffd, false},
                 {VIRTQ_EVENT_F_ENABLE, true}};
    (void)state;
    for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
        struct raw_queue *rig = raw_queue_new(5, event_idx ? PACKED_EVENT_IDX : PACKED);
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            raw_packed_want(&rig->ring, cases[i].flags, 4, false);
            use_one(rig);
            assert_int_equal(l4vio_device_queue_needs_notify(&rig->queue), cases[i].expected);
        }
        assert_int_equal(rig->queue.counters.notifications_sent, 4);
        assert_int_equal(rig->queue.counters.notifications_suppressed, 2);
        raw_queue_free(rig);
    }
}

static void place_means_nothing_without_event_idx(void **state)
{
    struct raw_queue *rig = raw_queue_new(5, PACKED);
    (void)state;
    raw_packed_want(&rig->ring, VIRTQ_EVENT_F_DESC, 3, false);
    use_one(rig);
    assert_true(l4vio_device_queue_needs_notify(&rig->queue));
    raw_queue_free(rig);
}

static void place_outside_the_ring_harms_nobody(void **state)
{
    struct raw_queue *rig = raw_queue_new(5, PACKED_EVENT_IDX);
    (void)state;
    for (unsigned place = 0; place < 0x8000; place += 3) {
        raw_packed_want(&rig->ring, VIRTQ_EVENT_F_DESC, place, place % 2);
        use_one(rig);
        l4vio_device_queue_needs_notify(&rig->queue);
    }
    raw_packed_want(&rig->ring, VIRTQ_EVENT_F_ENABLE, 0, false);
    use_one(rig);
    assert_true(l4vio_device_queue_needs_notify(&rig->queue));
    raw_queue_free(rig);
}

static void publish_some(struct raw_queue *rig, unsigned count, uint64_t *position)
{
    for (unsigned i = 0; i < count; i++, ++*position)
        raw_queue_publish(rig, (uint16_t)(*position % rig->ring.size), 4);
}

static void use_all(struct raw_queue *rig)
{
    struct raw_used used;
    while (raw_queue_take(rig) == 1)
        raw_queue_finish(rig, &rig->chain, 0);
    while (raw_ring_get_used(&rig->ring, &used))
        ;
}

/* A queue that was armed is kicked by what comes next; one that polls is not. */
static void check_kicks(uint16_t size, const int *features)
{
    struct raw_queue *rig = raw_queue_new(size, features);
    uint64_t position = 0;
    for (unsigned step = 0; step < 2000; step++) {
        assert_false(l4vio_device_queue_arm(&rig->queue));
        unsigned count = 1 + (unsigned)rand() % size;
        uint64_t before = position;
        if (rand() % 3) {
            publish_some(rig, count, &position);
            assert_true(driver_kicks(rig, before, position));
            if (rand() % 2) {
                assert_true(l4vio_device_queue_arm(&rig->queue));
                assert_true(driver_kicks(rig, before, position));
            }
            use_all(rig);
        }
        l4vio_device_queue_disarm(&rig->queue);
        before = position;
        publish_some(rig, count, &position);
        assert_false(driver_kicks(rig, before, position));
        use_all(rig);
    }
    raw_queue_free(rig);
}

/* Clause V-2.7.10.2-4. */
static void armed_queue_is_kicked_and_polled_one_is_not(void **state)
{
    (void)state;
    srand(2);
    for (uint16_t size = 1; size <= 16; size = (uint16_t)(size * 2)) {
        check_kicks(size, SPLIT);
        check_kicks(size, SPLIT_EVENT_IDX);
    }
    for (uint16_t size = 1; size <= 11; size++) {
        check_kicks(size, PACKED);
        check_kicks(size, PACKED_EVENT_IDX);
    }
}

/* With EVENT_IDX one kick is enough until the queue is armed again. */
static void second_batch_needs_no_kick(void **state)
{
    const int *const formats[] = {SPLIT_EVENT_IDX, PACKED_EVENT_IDX};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct raw_queue *rig = raw_queue_new(8, formats[f]);
        uint64_t position = 0;
        for (unsigned round = 0; round < 9; round++) {
            assert_false(l4vio_device_queue_arm(&rig->queue));
            publish_some(rig, 3, &position);
            assert_true(driver_kicks(rig, position - 3, position));
            publish_some(rig, 2, &position);
            assert_false(driver_kicks(rig, position - 2, position));
            use_all(rig);
        }
        raw_queue_free(rig);
    }
}

static void first_request_of_all_kicks(void **state)
{
    const int *const formats[] = {SPLIT, SPLIT_EVENT_IDX, PACKED, PACKED_EVENT_IDX};
    (void)state;
    for (unsigned f = 0; f < 4; f++) {
        struct raw_queue *rig = raw_queue_new(8, formats[f]);
        raw_queue_publish(rig, 0, 4);
        assert_true(driver_kicks(rig, 0, 1));
        raw_queue_free(rig);
    }
}

static uint32_t kick(uint32_t queue, unsigned place, bool round)
{
    return queue | place << 16 | (uint32_t)round << 31;
}

/* Section 2.9: a hint, checked against the ring, counted if it does not fit. */
static void kick_data_is_checked(void **state)
{
    (void)state;
    struct raw_queue *split = raw_queue_new(8, (const int[]){L4VIO_F_NOTIFICATION_DATA, -1});
    use_one(split);
    raw_queue_publish(split, 0, 4);
    assert_true(l4vio_device_queue_kicked(&split->queue, kick(7, 2, false)));
    assert_true(l4vio_device_queue_kicked(&split->queue, kick(7, 1, false))); /* An old one. */
    assert_false(l4vio_device_queue_kicked(&split->queue, kick(7, 3, false)));
    assert_false(l4vio_device_queue_kicked(&split->queue, kick(6, 2, false)));
    assert_int_equal(split->queue.counters.kicks, 4);
    assert_int_equal(split->queue.counters.wrong_kicks, 2);
    assert_int_equal(raw_queue_take(split), 1);
    raw_queue_free(split);

    struct raw_queue *packed =
        raw_queue_new(5, (const int[]){L4VIO_F_RING_PACKED, L4VIO_F_NOTIFICATION_DATA, -1});
    for (unsigned i = 0; i < 4; i++)
        use_one(packed);
    assert_true(l4vio_device_queue_kicked(&packed->queue, kick(7, 4, true)));
    assert_false(l4vio_device_queue_kicked(&packed->queue, kick(7, 0, false)));
    raw_queue_publish(packed, 0, 4);
    assert_true(l4vio_device_queue_kicked(&packed->queue, kick(7, 0, false)));
    assert_true(l4vio_device_queue_kicked(&packed->queue, kick(7, 3, true)));
    assert_false(l4vio_device_queue_kicked(&packed->queue, kick(7, 5, true)));
    assert_int_equal(packed->queue.counters.wrong_kicks, 2);
    assert_int_equal(raw_queue_take(packed), 1);
    raw_queue_free(packed);
}

static void kick_without_data_is_counted(void **state)
{
    struct raw_queue *rig = raw_queue_new(8, SPLIT);
    (void)state;
    assert_true(l4vio_device_queue_kicked(&rig->queue, UINT32_MAX));
    l4vio_device_queue_disable(&rig->queue);
    assert_true(l4vio_device_queue_kicked(&rig->queue, 0));
    assert_int_equal(rig->queue.counters.kicks, 2);
    assert_int_equal(rig->queue.counters.wrong_kicks, 0);
    raw_queue_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_is_notified_when_its_place_is_passed),
        cmocka_unit_test(wish_that_was_answered_is_not_answered_again),
        cmocka_unit_test(index_wraps_between_wish_and_result),
        cmocka_unit_test(decision_after_65536_entries_is_one),
        cmocka_unit_test(flag_means_nothing_with_event_idx),
        cmocka_unit_test(packed_flags_say_always_or_never),
        cmocka_unit_test(place_means_nothing_without_event_idx),
        cmocka_unit_test(place_outside_the_ring_harms_nobody),
        cmocka_unit_test(armed_queue_is_kicked_and_polled_one_is_not),
        cmocka_unit_test(second_batch_needs_no_kick),
        cmocka_unit_test(first_request_of_all_kicks),
        cmocka_unit_test(kick_data_is_checked),
        cmocka_unit_test(kick_without_data_is_counted),
    };
    return cmocka_run_group_tests_name("device_events", tests, NULL, NULL);
}
