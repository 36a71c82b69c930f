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

#include "fake_device_ring.h"

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
    struct ring_fixture *fixture = ring_fixture_create(4, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    uint16_t mine = enqueue_one(queue);
    uint16_t foreign = enqueue_one(queue);
    uint16_t entry;
    void *cookie;

    /* The foreign one completes first: only that one is the caller's again. */
    assert_true(fake_device_next(&fixture->device, &entry));
    assert_true(fake_device_next(&fixture->device, &entry));
    fake_device_complete(&fixture->device, entry, 8);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), foreign);
    assert_int_equal(l4vio_descriptor_free(queue, mine, mine), L4VIO_EBUSY);
    assert_int_equal(l4vio_descriptor_free(queue, foreign, foreign), L4VIO_OK);

    /* A completion that is wrong frees nothing either, nor does anything before the reset. */
    fake_device_complete(&fixture->device, 3, 8);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_descriptor_free(queue, mine, mine), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_detach(queue, &cookie, 1), L4VIO_EBUSY);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(l4vio_descriptor_alloc(queue), mine);
    assert_int_equal(l4vio_descriptor_alloc(queue), L4VIO_EOQ);

    ring_fixture_reset(fixture);
    assert_int_equal(l4vio_queue_detach(queue, &cookie, 1), 1);
    assert_int_equal((uintptr_t)cookie, mine);
    assert_int_equal(l4vio_descriptor_free(queue, mine, mine), L4VIO_OK);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_in_flight_is_not_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
