/* SPDX-License-Identifier: MIT */
/* T3: a request that the device completes twice was not noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

/* `apart`: the second completion arrives after the first was taken. */
static void complete_twice(bool apart)
{
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    struct l4vio_completion done[4];
    struct l4vio_error error;
    uint16_t head;

    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
    l4vio_queue_publish(&fixture->queue);
    assert_true(fake_device_next(&fixture->device, &head));
    fake_device_complete(&fixture->device, head, 8);
    if (apart)
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), 1);
    fake_device_complete(&fixture->device, head, 8);
    if (!apart)
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), 1);
    assert_int_equal((uintptr_t)done[0].cookie, 0);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(&fixture->queue, &error), L4VIO_EBADPROTO);
    assert_int_equal(error.value, head);
    assert_string_equal(error.text, "used id not in flight");
    assert_int_equal(l4vio_queue_in_flight(&fixture->queue), 2);
    assert_int_equal(l4vio_queue_get_used(&fixture->queue, done, 4), L4VIO_EBADPROTO);
    ring_fixture_free(fixture);
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
    struct ring_fixture *fixture = ring_fixture_create(8, DESCRIPTOR_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;
    uint16_t ids[2];
    uint16_t head;

    for (unsigned i = 0; i < 2; i++) {
        ids[i] = l4vio_descriptor_alloc(queue);
        l4vio_descriptor_get(queue, ids[i])->length_bytes = 8;
        assert_int_equal(l4vio_descriptor_enqueue(queue, ids[i]), L4VIO_OK);
    }
    assert_true(fake_device_next(&fixture->device, &head));
    fake_device_complete(&fixture->device, head, 0);
    fake_device_complete(&fixture->device, head, 0);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), ids[0]);
    assert_int_equal(l4vio_descriptor_find_next_used(queue, NULL), L4VIO_EOQ);
    assert_int_equal(l4vio_queue_broken_error(queue, NULL), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_descriptor_free(queue, ids[1], ids[1]), L4VIO_EBUSY);
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(double_completion_breaks_queue),
        cmocka_unit_test(double_completion_breaks_queue_at_descriptor_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
