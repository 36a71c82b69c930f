/* SPDX-License-Identifier: MIT */
/*
 * T2: the producer index was re-read from the available ring. Here the device changes all of that
 * ring after each step; the driver goes on with its own index.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_ring.h"

static void a_changed_available_index_is_not_believed(void **state)
{
    (void)state;
    struct ring_fixture *fixture = ring_fixture_create(8, BUFFER_LEVEL);
    struct l4vio_queue *queue = &fixture->queue;

    for (unsigned i = 0; i < 300; i++) {
        struct l4vio_completion done;
        memset(fixture->device.avail, (int)(i & 0xff), l4vio_virtqueue_avail_bytes(8));
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
        l4vio_queue_publish(queue);
        assert_int_equal(fake_device_avail_index(&fixture->device), i + 1);
        assert_int_equal(l4vio_queue_avail_index(queue), i + 1);
        uint16_t head = fake_device_avail_entry(&fixture->device, (uint16_t)i);
        assert_in_range(head, 0, 7);
        memset(fixture->device.avail, (int)(~i & 0xff), l4vio_virtqueue_avail_bytes(8));
        fake_device_complete(&fixture->device, head, 8);
        assert_int_equal(l4vio_queue_get_used(queue, &done, 1), 1);
        assert_int_equal((uintptr_t)done.cookie, i);
    }
    assert_false(l4vio_queue_is_disarmed(queue));
    ring_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_available_index_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
