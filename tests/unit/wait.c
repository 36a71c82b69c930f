/* SPDX-License-Identifier: MIT */
/* Look, spin, arm, look, sleep: what the API table does not say about waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "loopback_device.h"

static void send_one(struct loopback_device *device, struct loopback_queue *queue)
{
    assert_int_equal(loopback_queue_add(queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_notify(&device->driver, &queue->queue), L4VIO_OK);
}

static int take_all(struct loopback_queue *queue)
{
    struct l4vio_completion completions[64];
    return l4vio_queue_get_used(&queue->queue, completions, 64);
}

/* Two queues on notification 0, one on 2; the configuration on 3. */
static void three_queues(struct loopback_device *device, struct loopback_queue queues[3],
                         struct l4vio_driver_notification notifications[4])
{
    device->notifications = notifications;
    device->notification_count = 4;
    device->config.config_notify_index = 3;
    loopback_device_connect(device);
    for (uint32_t i = 0; i < 3; i++) {
        loopback_queue_init(device, &queues[i], i, 16, i == 2 ? 2 : 0, false);
        assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queues[i].queue, NULL),
                         L4VIO_OK);
    }
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
}

static void any_of_several_queues(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queues[3];
    (void)state;
    three_queues(device, queues, notifications);
    struct l4vio_queue *all[] = {&queues[0].queue, &queues[1].queue, &queues[2].queue};
    for (int round = 0; round < 9; round++) {
        int which = (round * 2) % 3;
        send_one(device, &queues[which]);
        assert_int_equal(l4vio_driver_wait_any(&device->driver, all, 3, L4VIO_FOREVER), which);
        assert_int_equal(take_all(&queues[which]), 1);
    }
    assert_int_equal(l4vio_driver_wait_any(&device->driver, all, 3, 0), L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_driver_wait_any(&device->driver, all, 0, 0), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_wait_any(&device->driver, all, 65, 0), L4VIO_EINVAL);
    loopback_device_stop(device);
}

static void interrupts_are_on_while_asleep_and_off_while_taking(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    send_one(device, &queue);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_true(l4vio_queue_is_disarmed(&queue.queue));
    assert_int_equal(take_all(&queue), 1);
    send_one(device, &queue);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_int_equal(queue.queue.counters.wakeups, 2);
    loopback_device_stop(device);
}

/* A wait that looks at no ring must not sleep on a queue that was told to be silent. */
static void plain_wait_makes_silent_queues_speak(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    l4vio_queue_disarm(&queue.queue);
    send_one(device, &queue);
    assert_int_equal(l4vio_driver_wait(&device->driver, 0, loopback_device_in_ms(device, 100)),
                     L4VIO_OK);
    assert_int_equal(take_all(&queue), 1);
    /* Completed before, unannounced. */
    l4vio_queue_disarm(&queue.queue);
    send_one(device, &queue);
    assert_true(device->loopback_platform.pump(device));
    assert_int_equal(l4vio_driver_wait(&device->driver, 0, loopback_device_in_ms(device, 100)),
                     L4VIO_OK);
    loopback_device_stop(device);
}

static void complete_first(struct loopback_queue *queue)
{
    struct virtq_used *used = (struct virtq_used *)(uintptr_t)queue->queue.used;
    struct virtq_used_elem *ring = (struct virtq_used_elem *)(void *)(used + 1);
    ring[0].id = 0;
    ring[0].len = 0;
    l4vio_store16_release(&used->idx, 1);
}

static struct loopback_queue *silent_queue;

static void complete_silently(struct loopback_device *device)
{
    (void)device;
    if (silent_queue)
        complete_first(silent_queue);
}

static void timeout_looks_once_more(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    send_one(device, &queue);
    silent_queue = &queue;
    device->at_look = complete_silently;
    assert_int_equal(
        l4vio_driver_wait_used(&device->driver, &queue.queue, loopback_device_in_ms(device, 50)),
        L4VIO_OK);
    silent_queue = NULL;
    loopback_device_stop(device);
}

static void completions_come_before_the_failure(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    send_one(device, &queue);
    silent_queue = &queue;
    device->at_look = complete_silently;
    device->break_next = true;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_int_equal(take_all(&queue), 1);
    silent_queue = NULL;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_EIO);
    loopback_device_stop(device);
}

/* The clock of a platform, under which the device completes at the end of the spin. */
static struct l4vio_platform_ops spin_ops;
static unsigned clock_calls;

static uint64_t complete_at_the_end_of_the_spin(void *self)
{
    struct l4vio_loopback_platform *loopback = self;
    if (++clock_calls == 2) {
        complete_silently(NULL);
        loopback->clock_ns += 2000000;
    }
    return ++loopback->clock_ns;
}

/* B6: between the last look and asking for notifications something may be used, unannounced. */
static void arming_looks_again(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->config.spin_ns = 1000000;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    send_one(device, &queue);
    silent_queue = &queue;
    clock_calls = 0;
    spin_ops = *device->platform.ops;
    spin_ops.now_ns = complete_at_the_end_of_the_spin;
    device->driver.platform.ops = &spin_ops;
    unsigned looks = device->looks;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_true(clock_calls >= 2);
    assert_int_equal(device->looks, looks);
    silent_queue = NULL;
    loopback_device_stop(device);
}

static int complete_and_die(void *self)
{
    (void)self;
    complete_silently(NULL);
    return L4VIO_EPIPE;
}

static void last_look_comes_after_the_death(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    send_one(device, &queue);
    struct l4vio_l4_calls calls = *device->loopback.l4.calls;
    calls.peer_alive = complete_and_die;
    device->loopback.l4.calls = &calls;
    silent_queue = &queue;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_int_equal(take_all(&queue), 1);
    silent_queue = NULL;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void count_gone(void *self, const struct l4vio_trace_event *event)
{
    unsigned *count = self;
    *count += event->kind == L4VIO_TRACE_PEER_GONE;
}

static void waits_tell_the_trace_hook_that_the_peer_is_gone(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    unsigned count = 0;
    struct l4vio_trace trace = {.event = count_gone, .self = &count};
    (void)state;
    device->config.trace = &trace;
    loopback_device_live(device, &queue, false);
    device->loopback.dead = true;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_EPIPE);
    assert_int_equal(count, 1);
    assert_int_equal(l4vio_driver_wait(&device->driver, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    assert_int_equal(count, 2);
    loopback_device_stop(device);
}

static void failure_is_seen_by_every_queue(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queues[3];
    (void)state;
    three_queues(device, queues, notifications);
    device->break_next = true;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(l4vio_driver_wait_used(&device->driver, &queues[i].queue, L4VIO_FOREVER),
                         L4VIO_EIO);
    /* And the notification of the configuration is still there for its owner. */
    assert_int_equal(l4vio_driver_wait(&device->driver, 3, 0), L4VIO_OK);
    loopback_device_stop(device);
}

static void config_notification_is_left_for_its_owner(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queues[3];
    uint8_t byte = 9;
    (void)state;
    three_queues(device, queues, notifications);
    assert_int_equal(l4vio_device_write_config(&device->device, 0, &byte, 1), L4VIO_OK);
    device->asleep = true;
    uint64_t looks = device->looks;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queues[0].queue,
                                            loopback_device_in_ms(device, 1000)),
                     L4VIO_ETIMEDOUT);
    /* In slices, not in a hot loop. */
    assert_in_range(device->looks - looks, 10, 12);
    assert_int_equal(queues[0].queue.counters.spurious_wakeups, 1);
    assert_int_equal(l4vio_driver_wait(&device->driver, 3, 0), L4VIO_OK);
    assert_int_equal(l4vio_driver_wait(&device->driver, 3, 0), L4VIO_ETIMEDOUT);
    assert_true(l4vio_driver_config_changed(&device->driver));
    loopback_device_stop(device);
}

static void failure_is_found_behind_a_config_notification(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver_notification notifications[4];
    struct loopback_queue queues[3];
    uint8_t byte = 9;
    (void)state;
    three_queues(device, queues, notifications);
    assert_int_equal(l4vio_device_write_config(&device->device, 0, &byte, 1), L4VIO_OK);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queues[0].queue,
                                            loopback_device_in_ms(device, 1000)),
                     L4VIO_ETIMEDOUT);
    device->break_next = true;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queues[0].queue, L4VIO_FOREVER),
                     L4VIO_EIO);
    assert_int_equal(l4vio_driver_wait(&device->driver, 3, 0), L4VIO_OK);
    loopback_device_stop(device);
}

static void device_that_forgets_driver_ok_is_noticed(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_live(device, &queue, false);
    loopback_device_header(device)->status = 0;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_EIO);
    loopback_device_stop(device);
}

static void spinning_finds_without_sleeping(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->config.spin_ns = 1000000;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    send_one(device, &queue);
    uint64_t before = device->loopback_platform.clock_ns;
    unsigned looks = device->looks;
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, before + 500000),
                     L4VIO_ETIMEDOUT);
    /* Not beyond the deadline, and nothing to sleep for afterwards. */
    assert_in_range(device->loopback_platform.clock_ns - before, 500000, 510000);
    assert_int_equal(device->looks, looks);
    loopback_device_stop(device);
}

static void spinning_in_vain_is_given_up(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->config.spin_mode = L4VIO_SPIN_AUTO;
    loopback_device_live(device, &queue, false);
    const struct l4vio_spin *spin = &device->driver.notifications[0].spin;
    /* The device of this thread works while we sleep, so looking is always in vain. */
    for (unsigned i = 0; i < 100; i++) {
        uint64_t before = device->loopback_platform.clock_ns;
        bool spins = spin->skip == 0;
        send_one(device, &queue);
        assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                         L4VIO_OK);
        assert_int_equal(take_all(&queue), 1);
        uint64_t spent = device->loopback_platform.clock_ns - before;
        assert_true(spins ? spent >= L4VIO_SPIN_MAX_NS : spent < L4VIO_SPIN_MAX_NS / 2);
    }
    assert_true(spin->skip > 0);
    loopback_device_stop(device);
}

static void what_spinning_finds_is_learnt(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->config.spin_mode = L4VIO_SPIN_AUTO;
    loopback_device_live(device, &queue, false);
    device->asleep = true;
    send_one(device, &queue);
    silent_queue = &queue;
    clock_calls = 0;
    spin_ops = *device->platform.ops;
    spin_ops.now_ns = complete_at_the_end_of_the_spin;
    device->driver.platform.ops = &spin_ops;
    struct l4vio_spin *spin = &device->driver.notifications[0].spin;
    spin->max_ns = UINT64_C(3000000000);
    spin->span_ns = UINT32_C(3000000000);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_true(l4vio_queue_is_disarmed(&queue.queue));
    assert_in_range(spin->typical_ns, 1, 3000000);
    silent_queue = NULL;
    loopback_device_stop(device);
}

static void room_by_completions(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    struct l4vio_driver *driver = &device->driver;
    (void)state;
    loopback_device_live(device, &queue, false);
    assert_int_equal(l4vio_driver_wait_room(driver, &queue.queue, 16, 0), 0);
    assert_int_equal(l4vio_driver_wait_room(driver, &queue.queue, 17, 0), L4VIO_E2BIG);
    while (loopback_queue_add(&queue, 16, NULL) == 1)
        continue;
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), L4VIO_EAGAIN);
    assert_int_equal(l4vio_driver_wait_room(driver, &queue.queue, 2, 0), L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_driver_notify(driver, &queue.queue), L4VIO_OK);
    assert_int_equal(l4vio_driver_wait_room(driver, &queue.queue, 2, L4VIO_FOREVER), 1);
    assert_int_equal(take_all(&queue), 8);
    assert_int_equal(l4vio_driver_wait_room(driver, &queue.queue, 2, L4VIO_FOREVER), 0);
    loopback_device_stop(device);
}

static void count_completion(void *context, const struct l4vio_completion *completion)
{
    unsigned *count = context;
    assert_ptr_equal(completion->cookie, context);
    (*count)++;
}

static void drain_hands_completions_over(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    unsigned count = 0;
    (void)state;
    loopback_device_live(device, &queue, false);
    device->quota = 3;
    while (loopback_queue_add(&queue, 16, &count) == 1)
        continue;
    /* Draining shows and announces what was only added. */
    assert_int_equal(l4vio_driver_drain(&device->driver, &queue.queue, count_completion, &count,
                                        loopback_device_in_ms(device, 1000)),
                     L4VIO_OK);
    assert_int_equal(count, 8);
    device->asleep = true;
    assert_int_equal(loopback_queue_add(&queue, 16, &count), 1);
    assert_int_equal(l4vio_driver_drain(&device->driver, &queue.queue, count_completion, &count,
                                        loopback_device_in_ms(device, 10)),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_queue_in_flight(&queue.queue), 1);
    loopback_device_stop(device);
}

static uint64_t interrupts_of_a_drain(bool event_idx)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    unsigned count = 0;
    if (event_idx) {
        l4vio_features_set(&device->offered, L4VIO_F_EVENT_IDX);
        l4vio_features_set(&device->config.allowed, L4VIO_F_EVENT_IDX);
    }
    loopback_device_connect(device);
    assert_int_equal(l4vio_driver_negotiate(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_feature_negotiated(&device->driver, L4VIO_F_EVENT_IDX),
                     event_idx);
    loopback_queue_attach(device, &queue, 0, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    device->quota = 1;
    while (loopback_queue_add(&queue, 16, &count) == 1)
        continue;
    assert_int_equal(
        l4vio_driver_drain(&device->driver, &queue.queue, count_completion, &count, L4VIO_FOREVER),
        L4VIO_OK);
    assert_int_equal(count, 8);
    uint64_t sent = l4vio_device_queue(&device->device, 0)->counters.notifications_sent;
    loopback_device_stop(device);
    return sent;
}

static void draining_asks_for_one_interrupt(void **state)
{
    (void)state;
    assert_int_equal(interrupts_of_a_drain(false), 8);
    assert_int_equal(interrupts_of_a_drain(true), 1);
}

static void not_live_is_an_error(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_connect(device);
    loopback_queue_attach(device, &queue, 0, false);
    assert_int_equal(l4vio_driver_wait_used(&device->driver, &queue.queue, L4VIO_FOREVER),
                     L4VIO_EIO);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_of_several_queues),
        cmocka_unit_test(interrupts_are_on_while_asleep_and_off_while_taking),
        cmocka_unit_test(plain_wait_makes_silent_queues_speak),
        cmocka_unit_test(timeout_looks_once_more),
        cmocka_unit_test(completions_come_before_the_failure),
        cmocka_unit_test(arming_looks_again),
        cmocka_unit_test(last_look_comes_after_the_death),
        cmocka_unit_test(waits_tell_the_trace_hook_that_the_peer_is_gone),
        cmocka_unit_test(failure_is_seen_by_every_queue),
        cmocka_unit_test(config_notification_is_left_for_its_owner),
        cmocka_unit_test(failure_is_found_behind_a_config_notification),
        cmocka_unit_test(device_that_forgets_driver_ok_is_noticed),
        cmocka_unit_test(spinning_finds_without_sleeping),
        cmocka_unit_test(spinning_in_vain_is_given_up),
        cmocka_unit_test(what_spinning_finds_is_learnt),
        cmocka_unit_test(room_by_completions),
        cmocka_unit_test(drain_hands_completions_over),
        cmocka_unit_test(draining_asks_for_one_interrupt),
        cmocka_unit_test(not_live_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
