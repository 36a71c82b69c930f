/* SPDX-License-Identifier: MIT */
/* Driver and device in one thread, end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loopback_device.h"

static void *at(const struct loopback_queue *queue, uint32_t offset_bytes)
{
    return (unsigned char *)queue->data.base + offset_bytes;
}

static void request_comes_back_with_its_data(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    struct l4vio_completion completion;
    int cookie;
    (void)state;
    loopback_device_live(device, &queue, false);
    memset(at(&queue, 0), 0xa5, 1000);

    assert_int_equal(loopback_queue_add(&queue, 1000, &cookie), 1);
    assert_int_equal(l4vio_driver_notify(&device->driver, &queue.queue), L4VIO_OK);
    /* A kick never calls a completion. */
    assert_false(l4vio_queue_has_used(&queue.queue));
    assert_int_equal(
        l4vio_driver_wait_used(&device->driver, &queue.queue, loopback_device_in_ms(device, 1000)),
        L4VIO_OK);
    assert_int_equal(l4vio_queue_get_used(&queue.queue, &completion, 1), 1);
    assert_ptr_equal(completion.cookie, &cookie);
    assert_int_equal(completion.length_bytes, 1000);
    assert_memory_equal(at(&queue, 0), at(&queue, LOOPBACK_DEVICE_DATA_BYTES / 2), 1000);
    loopback_device_stop(device);
}

static void drain_many(struct loopback_device *device, struct loopback_queue *queue, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        while (loopback_queue_add(queue, 64, queue) == 1)
            continue;
        assert_int_equal(l4vio_driver_drain(&device->driver, &queue->queue, NULL, NULL,
                                            loopback_device_in_ms(device, 1000)),
                         L4VIO_OK);
        assert_int_equal(l4vio_queue_in_flight(&queue->queue), 0);
    }
}

static void many_requests_by_calls(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    drain_many(device, &queue, 20000);
    struct l4vio_queue_counters counters;
    l4vio_queue_counters(&queue.queue, &counters);
    assert_true(counters.completed > 65536);
    loopback_device_stop(device);
}

static void many_requests_in_cmd_mode(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->cmd_mode = true;
    loopback_device_live(device, &queue, false);
    assert_true(l4vio_driver_feature_negotiated(&device->driver, L4VIO_F_L4_CMD_CONFIG));
    drain_many(device, &queue, 100);
    loopback_device_stop(device);
}

static void platform_forever_ends_when_nothing_can_happen(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_ETIMEDOUT);
    loopback_device_stop(device);
}

static void platform_arena_is_bounded_and_zeroed(void **state)
{
    static unsigned char arena[3 * 4096] __attribute__((aligned(4096)));
    struct l4vio_loopback_platform loopback;
    struct l4vio_dataspace a;
    struct l4vio_dataspace b;
    (void)state;
    memset(arena, 0xff, sizeof(arena));
    struct l4vio_platform platform = l4vio_loopback_platform_init(&loopback, arena, sizeof(arena));
    assert_int_equal(platform.ops->dataspace_allocate(platform.self, 4097, &a, NULL), L4VIO_OK);
    assert_int_equal(a.size_bytes, 8192);
    assert_int_equal(((unsigned char *)a.base)[8191], 0);
    assert_int_equal(platform.ops->dataspace_allocate(platform.self, 4097, &b, NULL), L4VIO_ENOMEM);
    assert_int_equal(platform.ops->dataspace_allocate(platform.self, UINT64_MAX, &b, NULL),
                     L4VIO_ENOMEM);
    /* Pages once shared are not handed out again. */
    void *before = a.base;
    platform.ops->dataspace_free(platform.self, &a);
    assert_int_equal(platform.ops->dataspace_allocate(platform.self, 4096, &b, NULL), L4VIO_OK);
    assert_ptr_not_equal(before, b.base);
}

static void platform_notifications_are_reused_and_bounded(void **state)
{
    static unsigned char arena[4096] __attribute__((aligned(4096)));
    struct l4vio_loopback_platform loopback;
    struct l4vio_notification first = {.handle = L4VIO_NO_HANDLE};
    struct l4vio_notification next;
    (void)state;
    struct l4vio_platform platform = l4vio_loopback_platform_init(&loopback, arena, sizeof(arena));
    unsigned count = 0;
    while (platform.ops->notification_create(platform.self, &next, NULL) == L4VIO_OK) {
        if (count++ == 0)
            first = next;
    }
    assert_int_equal(count, 4 * L4VIO_LOOPBACK_NOTIFICATIONS_MAX);
    struct l4vio_notification stale = first;
    platform.ops->notification_destroy(platform.self, &first);
    assert_int_equal(platform.ops->notification_trigger(platform.self, &stale), L4VIO_EINVAL);
    assert_int_equal(platform.ops->notification_create(platform.self, &next, NULL), L4VIO_OK);
    assert_int_equal(platform.ops->notification_drain(platform.self, &next), 0);
    assert_int_equal(platform.ops->notification_trigger(platform.self, &next), L4VIO_OK);
    assert_int_equal(platform.ops->notification_drain(platform.self, &next), 1);
    assert_int_equal(platform.ops->notification_drain(platform.self, &next), 0);
}

static void queues_have_kicks_of_their_own(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queues[2];
    (void)state;
    device->kick_per_queue = true;
    loopback_device_connect(device);
    /* The driver has an array of one notification: the second queue keeps its object itself. */
    loopback_queue_attach(device, &queues[0], 0, false);
    loopback_queue_attach(device, &queues[1], 1, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    drain_many(device, &queues[1], 1);
    assert_int_equal(device->kicks[0], 0);
    assert_int_equal(device->kicks[1], 1);
    drain_many(device, &queues[0], 1);
    assert_int_equal(device->kicks[0], 1);
    loopback_device_stop(device);
}

static void init_refuses_what_it_cannot_hold(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_transport transport;
    struct l4vio_dataspace none = {.handle = L4VIO_NO_HANDLE};
    struct l4vio_loopback loopback;
    (void)state;
    loopback_device_start(device);
    assert_int_equal(l4vio_loopback_init(&loopback, &device->page, &none, 1, &device->platform,
                                         &transport, NULL),
                     L4VIO_EINVAL);
    assert_int_equal(l4vio_loopback_init(&loopback, &device->page, &device->page_dataspace, 0,
                                         &device->platform, &transport, NULL),
                     L4VIO_EINVAL);
    assert_int_equal(l4vio_loopback_init(&loopback, &device->page, &device->page_dataspace,
                                         L4VIO_LOOPBACK_NOTIFICATIONS_MAX + 1, &device->platform,
                                         &transport, NULL),
                     L4VIO_EINVAL);
    assert_null(l4vio_loopback_kick_object(&device->loopback, LOOPBACK_DEVICE_NOTIFICATIONS));
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_comes_back_with_its_data),
        cmocka_unit_test(many_requests_by_calls),
        cmocka_unit_test(many_requests_in_cmd_mode),
        cmocka_unit_test(platform_forever_ends_when_nothing_can_happen),
        cmocka_unit_test(platform_arena_is_bounded_and_zeroed),
        cmocka_unit_test(platform_notifications_are_reused_and_bounded),
        cmocka_unit_test(queues_have_kicks_of_their_own),
        cmocka_unit_test(init_refuses_what_it_cannot_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
