/* SPDX-License-Identifier: MIT */
/* The descriptor level over every format: ids, chains, kept completions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "descriptor_chain.h"
#include "ring_rig.h"

static int set_up(void **state)
{
    *state = ring_rig_create(8, DESCRIPTOR_LEVEL);
    return 0;
}

static int tear_down(void **state)
{
    ring_rig_free(*state);
    return 0;
}

static void every_descriptor_is_given_once_and_cleared(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    unsigned seen = 0;

    for (unsigned i = 0; i < 8; i++) {
        uint16_t id = l4vio_descriptor_alloc(queue);
        assert_in_range(id, 0, 7);
        seen |= 1u << id;
        assert_int_equal(l4vio_descriptor_get(queue, id)->length_bytes, 0);
        l4vio_descriptor_get(queue, id)->length_bytes = 99;
    }
    assert_int_equal(seen, 0xff);
    assert_int_equal(l4vio_descriptor_alloc(queue), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_free(queue, 3, 3), L4VIO_OK);
    assert_null(l4vio_descriptor_get(queue, 3));
    assert_int_equal(l4vio_descriptor_alloc(queue), 3);
    assert_int_equal(l4vio_descriptor_get(queue, 3)->length_bytes, 0);
    assert_null(l4vio_descriptor_get(queue, 8));
    assert_null(l4vio_descriptor_get(queue, L4VIO_EOQ));
}

static void a_chain_goes_to_the_device_and_comes_back(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    uint32_t length = 0;
    struct ring_rig_request seen;

    /* An id is not a ring entry: make them differ. */
    uint16_t other = l4vio_descriptor_alloc(queue);
    uint16_t head = make_chain(queue, 3, 2);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_OK);
    assert_true(ring_rig_next(rig, &seen));
    assert_int_equal(seen.entries, 3);
    assert_int_equal(seen.count, 3);
    uint16_t id = head;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(seen.pieces[i].address, 0x1000u * id);
        assert_int_equal(seen.pieces[i].length_bytes, 16);
        assert_int_equal(seen.pieces[i].writable,
                         (queue->descriptors[id].flags & VIRTQ_DESC_F_WRITE) != 0);
        assert_null(l4vio_descriptor_get(queue, id));
        id = queue->descriptors[id].next;
    }
    assert_non_null(l4vio_descriptor_get(queue, other));
    ring_rig_complete(rig, &seen, 32);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), head);
    assert_int_equal(length, 32);
    assert_non_null(l4vio_descriptor_get(queue, head));
    assert_int_equal(l4vio_descriptor_free(queue, head, tail_of(queue, head)), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_free(queue, other, other), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    make_chain(queue, 8, 0);
}

/* Clauses D-2.7.4.2-1 and D-2.7.5.2-1. */
static void bad_chains_are_refused_and_stay_with_the_caller(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    uint16_t head = make_chain(queue, 3, 1);
    uint16_t second = queue->descriptors[head].next;
    struct l4vio_descriptor good = queue->descriptors[second];
    struct l4vio_descriptor *bad = &queue->descriptors[second];

    bad->next = head; /* a cycle */
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    bad->next = second;
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    bad->next = 8; /* out of range */
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    bad->next = 7; /* free */
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    *bad = good;
    bad->length_bytes = 0;
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    bad->length_bytes = UINT32_MAX; /* 2^32 and more in all */
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    *bad = good;
    bad->flags |= VIRTQ_DESC_F_INDIRECT;
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    *bad = good;
    queue->descriptors[head].flags |= VIRTQ_DESC_F_WRITE; /* writable before readable */
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
    queue->descriptors[head].flags = VIRTQ_DESC_F_NEXT;

    assert_int_equal(l4vio_descriptor_enqueue(queue, L4VIO_EOQ), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_enqueue(queue, 7), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_in_flight(queue), 0);
    struct ring_rig_request none;
    assert_false(ring_rig_next(rig, &none));
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_EINVAL);
}

static void free_takes_all_or_nothing(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    uint16_t head = make_chain(queue, 3, 0);
    uint16_t second = queue->descriptors[head].next;
    uint16_t tail = tail_of(queue, head);
    uint16_t other = l4vio_descriptor_alloc(queue);

    assert_int_equal(l4vio_descriptor_free(queue, head, other), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_free(queue, second, head), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_free(queue, 8, 8), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_free(queue, L4VIO_EOQ, L4VIO_EOQ), L4VIO_EINVAL);
    assert_non_null(l4vio_descriptor_get(queue, head));
    assert_int_equal(l4vio_descriptor_free(queue, head, second), L4VIO_OK);
    assert_null(l4vio_descriptor_get(queue, second));
    assert_non_null(l4vio_descriptor_get(queue, tail));
    assert_int_equal(l4vio_descriptor_free(queue, head, head), L4VIO_EINVAL);
    assert_int_equal(l4vio_descriptor_free(queue, tail, tail), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_free(queue, other, other), L4VIO_OK);
    make_chain(queue, 8, 0);
    assert_int_equal(l4vio_descriptor_alloc(queue), L4VIO_EOQ);
}

static void kept_completions_come_first_and_in_order(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    uint16_t heads[4];
    uint32_t length;

    for (unsigned i = 0; i < 4; i++) {
        heads[i] = make_chain(queue, 2, 1);
        assert_int_equal(l4vio_descriptor_enqueue(queue, heads[i]), L4VIO_OK);
    }
    assert_int_equal(l4vio_descriptor_keep(queue, heads[0], 1), L4VIO_EINVAL);
    ring_rig_complete_all(rig, 16);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), heads[i]);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(l4vio_descriptor_keep(queue, heads[i], 10 + i), L4VIO_OK);
        assert_int_equal(l4vio_descriptor_keep(queue, heads[i], 10 + i), L4VIO_EINVAL);
    }
    assert_null(l4vio_descriptor_get(queue, heads[1]));
    assert_int_equal(l4vio_descriptor_free(queue, heads[1], heads[1]), L4VIO_EINVAL);
    assert_false(l4vio_descriptor_take_kept(queue, heads[3], &length));
    assert_true(l4vio_descriptor_take_kept(queue, heads[2], &length));
    assert_int_equal(length, 12);
    assert_int_equal(l4vio_descriptor_keep(queue, heads[2], 22), L4VIO_OK);
    assert_true(l4vio_descriptor_take_kept(queue, heads[1], NULL));
    assert_false(l4vio_descriptor_take_kept(queue, heads[1], NULL));

    assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), heads[0]);
    assert_int_equal(length, 10);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), heads[2]);
    assert_int_equal(length, 22);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), heads[3]);
    assert_int_equal(length, 16);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), L4VIO_EOQ);
}

static void detach_gives_the_ids_back_to_the_caller(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    void *cookies[8];

    uint16_t spare = l4vio_descriptor_alloc(queue);
    uint16_t first = make_chain(queue, 3, 1);
    uint16_t second = make_chain(queue, 2, 1);
    assert_int_equal(l4vio_descriptor_enqueue(queue, first), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_enqueue(queue, second), L4VIO_OK);
    assert_int_equal(l4vio_queue_detach(queue, cookies, 8), L4VIO_EBUSY);
    ring_rig_reset(rig);
    assert_int_equal(l4vio_queue_detach(queue, cookies, 8), 2);
    uintptr_t a = (uintptr_t)cookies[0];
    uintptr_t b = (uintptr_t)cookies[1];
    assert_true((a == first && b == second) || (a == second && b == first));
    assert_int_equal(l4vio_queue_detach(queue, cookies, 8), 0);
    assert_int_equal(l4vio_descriptor_free(queue, first, tail_of(queue, first)), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_free(queue, second, tail_of(queue, second)), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_free(queue, spare, spare), L4VIO_OK);
    assert_int_equal(l4vio_queue_room(queue), 8);
    make_chain(queue, 8, 0);
}

static void a_broken_queue_finds_nothing_but_what_was_kept(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;
    uint16_t first = make_chain(queue, 1, 1);
    uint16_t second = make_chain(queue, 1, 1);

    assert_int_equal(l4vio_descriptor_enqueue(queue, first), L4VIO_OK);
    ring_rig_complete_all(rig, 16);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), first);
    assert_int_equal(l4vio_descriptor_enqueue(queue, second), L4VIO_OK);
    ring_rig_complete_id(rig, 8, 0);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_queue_broken_error(queue, NULL), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_descriptor_keep(queue, first, 16), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), first);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_enqueue(queue, first), L4VIO_EBADPROTO);
}

static void initialised_again_all_ids_are_free(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_queue *queue = &rig->queue;

    assert_int_equal(l4vio_descriptor_enqueue(queue, make_chain(queue, 3, 1)), L4VIO_OK);
    uint16_t held = l4vio_descriptor_alloc(queue);
    assert_int_equal(l4vio_descriptor_keep(queue, held, 0), L4VIO_OK);
    ring_rig_reset(rig);
    assert_int_equal(l4vio_queue_initialize_rings(queue), L4VIO_OK);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_enqueue(queue, make_chain(queue, 8, 1)), L4VIO_OK);
}

static void buffer_level_calls_are_refused(void **state)
{
    struct ring_rig *rig = *state;
    struct l4vio_completion done;
    assert_int_equal(ring_rig_add(rig, 4, 0), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, &done, 1), L4VIO_EINVAL);
}

static void the_largest_queue_works(void **state)
{
    (void)state;
    struct ring_rig *rig = ring_rig_create(32768, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &rig->queue;
    uint32_t length;

    for (unsigned round = 0; round < 3; round++) {
        uint16_t head = make_chain(queue, 32768, 1);
        assert_int_equal(l4vio_descriptor_alloc(queue), L4VIO_EOQ);
        assert_int_equal(l4vio_descriptor_enqueue(queue, head), L4VIO_OK);
        assert_int_equal(l4vio_queue_room(queue), 0);
        ring_rig_complete_all(rig, 16);
        assert_int_equal(l4vio_descriptor_find_next_used(queue, &length), head);
        assert_int_equal(l4vio_descriptor_free(queue, head, tail_of(queue, head)), L4VIO_OK);
    }
    ring_rig_free(rig);
}

#define DESCRIPTOR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESCRIPTOR_TEST(every_descriptor_is_given_once_and_cleared),
        DESCRIPTOR_TEST(a_chain_goes_to_the_device_and_comes_back),
        DESCRIPTOR_TEST(bad_chains_are_refused_and_stay_with_the_caller),
        DESCRIPTOR_TEST(free_takes_all_or_nothing),
        DESCRIPTOR_TEST(kept_completions_come_first_and_in_order),
        DESCRIPTOR_TEST(detach_gives_the_ids_back_to_the_caller),
        DESCRIPTOR_TEST(a_broken_queue_finds_nothing_but_what_was_kept),
        DESCRIPTOR_TEST(initialised_again_all_ids_are_free),
        DESCRIPTOR_TEST(buffer_level_calls_are_refused),
        cmocka_unit_test(the_largest_queue_works),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
