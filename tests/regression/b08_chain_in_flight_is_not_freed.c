/* SPDX-License-Identifier: MIT */
/*
 * B8, at the descriptor level: a failed or foreign completion must not free a chain that the device
 * still owns. Such memory comes back by a reset only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_rig.h"

static uint16_t enqueue_one(struct l4vio_queue *queue)
{
    uint16_t id = l4vio_descriptor_alloc(queue);
    *l4vio_descriptor_get(queue, id) =
        (struct l4vio_descriptor){.length_bytes = 8, .flags = VIRTQ_DESC_F_WRITE};
    assert_int_equal(l4vio_descriptor_enqueue(queue, id), L4VIO_OK);
    return id;
}

static void chain_in_flight_is_not_freed(void **state)
{
    (void)state;
    struct ring_rig *rig = ring_rig_create(4, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &rig->queue;
    /* In order, the first of two is the one that can complete first. */
    bool in_order = ring_rig_has(L4VIO_F_IN_ORDER);
    uint16_t first = enqueue_one(queue);
    uint16_t second = enqueue_one(queue);
    uint16_t foreign = in_order ? first : second;
    uint16_t mine = in_order ? second : first;
    struct ring_rig_request seen;
    void *cookie;

    /* The foreign one completes first: only that one is the caller's again. */
    assert_true(ring_rig_next(rig, &seen));
    if (!in_order)
        assert_true(ring_rig_next(rig, &seen));
    ring_rig_complete(rig, &seen, 8);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), foreign);
    assert_int_equal(l4vio_descriptor_free(queue, mine, mine), L4VIO_EBUSY);
    assert_int_equal(l4vio_descriptor_free(queue, foreign, foreign), L4VIO_OK);

    /* A completion that is wrong frees nothing either, nor does anything before the reset. */
    ring_rig_complete_id(rig, 3, 8);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_free(queue, mine, mine), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_detach(queue, &cookie, 1), L4VIO_EBUSY);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(l4vio_descriptor_alloc(queue), mine);
    assert_int_equal(l4vio_descriptor_alloc(queue), L4VIO_EOQ);

    ring_rig_reset(rig);
    assert_int_equal(l4vio_queue_detach(queue, &cookie, 1), 1);
    assert_int_equal((uintptr_t)cookie, mine);
    assert_int_equal(l4vio_descriptor_free(queue, mine, mine), L4VIO_OK);
    ring_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_in_flight_is_not_freed),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
