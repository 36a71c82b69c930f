/* SPDX-License-Identifier: MIT */
/* T3: a request that the device completes twice was not noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ring_rig.h"

/* `apart`: the second completion arrives after the first was taken. */
static void complete_twice(bool apart)
{
    struct ring_rig *rig = ring_rig_create(8, BUFFER_LEVEL);
    struct l4vio_completion done[4];
    struct l4vio_error error;
    struct ring_rig_request seen;

    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(ring_rig_add(rig, 8, i), 1);
    l4vio_queue_publish(&rig->queue);
    assert_true(ring_rig_next(rig, &seen));
    ring_rig_complete(rig, &seen, 8);
    if (apart)
        assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 4), 1);
    ring_rig_complete(rig, &seen, 8);
    if (!apart)
        assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 4), 1);
    assert_int_equal((uintptr_t)done[0].cookie, 0);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 4), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(&rig->queue, &error), L4VIO_EBADPROTO);
    assert_int_equal(error.value, seen.id);
    assert_non_null(strstr(error.text, "not in flight"));
    assert_int_equal(l4vio_queue_in_flight(&rig->queue), 2);
    assert_int_equal(l4vio_queue_get_used(&rig->queue, done, 4), L4VIO_EBADPROTO);
    ring_rig_free(rig);
}

static void double_completion_breaks_queue(void **state)
{
    (void)state;
    complete_twice(false);
    complete_twice(true);
}

static void double_completion_breaks_queue_at_descriptor_level(void **state)
{
    (void)state;
    struct ring_rig *rig = ring_rig_create(8, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &rig->queue;
    uint16_t ids[2];
    struct ring_rig_request seen;

    for (unsigned i = 0; i < 2; i++) {
        ids[i] = l4vio_descriptor_alloc(queue);
        l4vio_descriptor_get(queue, ids[i])->length_bytes = 8;
        assert_int_equal(l4vio_descriptor_enqueue(queue, ids[i]), L4VIO_OK);
    }
    assert_true(ring_rig_next(rig, &seen));
    ring_rig_complete(rig, &seen, 0);
    ring_rig_complete(rig, &seen, 0);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), ids[0]);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_queue_broken_error(queue, NULL), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_descriptor_free(queue, ids[1], ids[1]), L4VIO_EBUSY);
    ring_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(double_completion_breaks_queue),
        cmocka_unit_test(double_completion_breaks_queue_at_descriptor_level),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
