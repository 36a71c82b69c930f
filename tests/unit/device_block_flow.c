/* SPDX-License-Identifier: MIT */
/* Many requests at once: batches, stores that complete later, several queues, stop and reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block_rig.h"

static int set_up(void **state)
{
    *state = block_rig_usual();
    return 0;
}

static int tear_down(void **state)
{
    block_rig_free(*state);
    return 0;
}

static unsigned count_used(struct block_rig *rig, uint32_t queue)
{
    unsigned count = 0;
    while (block_rig_used(rig, queue, NULL))
        count++;
    return count;
}

static void batch_is_one_notification(void **state)
{
    struct block_rig *rig = *state;
    for (unsigned i = 0; i < 60; i++)
        block_rig_send(rig, 0, VIRTIO_BLK_T_IN, i, 0, 512);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 50), 50);
    assert_int_equal(rig->queue_notifications[0], 1);
    assert_int_equal(count_used(rig, 0), 50);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 50), 10);
    assert_int_equal(rig->queue_notifications[0], 2);
    assert_int_equal(count_used(rig, 0), 10);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 50), 0);
    assert_int_equal(rig->queue_notifications[0], 2);
}

static void results_come_in_order_of_completion(void **state)
{
    struct block_rig *rig = *state;
    uint32_t head;
    for (uint32_t i = 0; i < 3; i++)
        block_rig_send(rig, 0, VIRTIO_BLK_T_IN, i, 0, 512);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 3), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(block_rig_used(rig, 0, &head));
        assert_int_equal(head, i * 3);
    }
}

static void nothing_happens_before_driver_ok_V_2_1_2_1(void **state)
{
    struct block_rig *rig = *state;
    l4vio_device_reset(&rig->block.device);
    block_rig_live(rig);
    rig->block.device.status &= ~VIRTIO_STATUS_DRIVER_OK;
    block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    assert_int_equal(count_used(rig, 0), 0);
    assert_string_equal(rig_store_log(rig), "");
}

static void requests_in_work_are_bounded(void **state)
{
    struct block_rig *rig = *state;
    rig->store.hold = true;
    for (unsigned i = 0; i < RIG_REQUESTS + 2; i++)
        block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 100), RIG_REQUESTS);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, 0), RIG_REQUESTS);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 100), 0);
    assert_int_equal(count_used(rig, 0), 0);
    rig_store_release(&rig->store);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, 0), 0);
    assert_int_equal(count_used(rig, 0), RIG_REQUESTS);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 100), 2);
    rig_store_release(&rig->store);
    assert_int_equal(count_used(rig, 0), 2);
}

/* A lane may serve several queues; what completes while another is processed is not forgotten. */
static void completion_of_another_queue_is_published(void **state)
{
    struct block_rig *rig = *state;
    rig->store.hold = true;
    block_rig_send(rig, 1, VIRTIO_BLK_T_IN, 0, 0, 512);
    assert_int_equal(l4vio_device_block_process(&rig->block, 1, 1), 1);
    rig_store_release(&rig->store);
    assert_int_equal(count_used(rig, 1), 1);
    assert_int_equal(rig->queue_notifications[1], 1);
    assert_int_equal(rig->queue_notifications[0], 0);
}

static void many_steps_of_a_later_store(void **state)
{
    struct block_rig *rig = *state;
    rig->store.hold = true;
    rig->shown[offsetof(struct virtio_blk_config, writeback)] = 0;
    block_rig_range(rig, 0, 0, 1, 0);
    block_rig_range(rig, 1, 5, 1, VIRTIO_BLK_RANGE_F_UNMAP);
    block_rig_send(rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0);
    l4vio_device_block_process(&rig->block, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(count_used(rig, 0), 0);
        rig_store_release(&rig->store);
    }
    assert_int_equal(count_used(rig, 0), 1);
    assert_string_equal(rig_store_log(rig), "ZUF");
    assert_int_equal(rig->memory[RIG_IN], VIRTIO_BLK_S_OK);
}

static void queue_reset_waits_and_drops_V_2_6_1_1_1_1(void **state)
{
    struct block_rig *rig = *state;
    rig->store.hold = true;
    block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
    block_rig_send(rig, 0, VIRTIO_BLK_T_OUT, 0, 512, 0);
    block_rig_send(rig, 1, VIRTIO_BLK_T_IN, 0, 0, 512);
    rig->memory[RIG_IN + 512] = RIG_POISON;
    l4vio_device_block_process(&rig->block, 0, 8);
    assert_int_equal(l4vio_device_reset_queue(&rig->block.device, 0), 0);
    assert_true(rig->store.waits > 0);
    assert_int_equal(rig->store.held_count, 0);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, 0), 0);
    assert_int_equal(count_used(rig, 0), 0);
    assert_int_equal(rig->queue_notifications[0], 0);
    assert_int_equal(rig->memory[RIG_IN + 512], RIG_POISON);
    rig->store.hold = false;
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 1, 8), 1);
    assert_int_equal(count_used(rig, 1), 1);
}

static void reset_waits_for_every_queue(void **state)
{
    struct block_rig *rig = *state;
    rig->store.hold = true;
    block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
    block_rig_send(rig, 1, VIRTIO_BLK_T_OUT, 0, 512, 0);
    l4vio_device_block_process(&rig->block, 0, 8);
    l4vio_device_block_process(&rig->block, 1, 8);
    l4vio_device_reset(&rig->block.device);
    assert_int_equal(rig->store.held_count, 0);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, 0), 0);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, 1), 0);
    rig->store.hold = false;
    block_rig_live(rig);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 512), VIRTIO_BLK_S_OK);
}

/* A failed device answers nothing more, but its requests come back from the store. */
static void failed_device_drains(void **state)
{
    struct block_rig *rig = *state;
    struct l4vio_error why = {L4VIO_EIO, "test", 0};
    rig->store.hold = true;
    block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
    l4vio_device_block_process(&rig->block, 0, 8);
    l4vio_device_needs_reset(&rig->block.device, &why);
    rig_store_release(&rig->store);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, 0), 0);
    assert_int_equal(count_used(rig, 0), 0);
}

static void queue_out_of_range_is_ignored(void **state)
{
    struct block_rig *rig = *state;
    assert_int_equal(l4vio_device_block_process(&rig->block, RIG_QUEUES, 8), 0);
    assert_int_equal(l4vio_device_block_in_flight(&rig->block, RIG_QUEUES), 0);
    l4vio_device_block_set_lane(&rig->block, RIG_QUEUES, NULL);
}

static void counters_sum_up_the_queues(void **state)
{
    struct block_rig *rig = *state;
    struct l4vio_device_block_counters counters;
    block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
    block_rig_send(rig, 1, VIRTIO_BLK_T_IN, 0, 0, 1024);
    l4vio_device_block_process(&rig->block, 0, 8);
    l4vio_device_block_process(&rig->block, 1, 8);
    assert_int_equal(count_used(rig, 0), 1);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 512, 0), 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_GET_ID, 0, 0, 20), 0);
    l4vio_device_block_counters_read(&rig->block, &counters);
    assert_int_equal(counters.reads, 2);
    assert_int_equal(counters.read_bytes, 1536);
    assert_int_equal(counters.writes, 1);
    assert_int_equal(counters.written_bytes, 512);
    assert_int_equal(counters.ids, 1);
    assert_int_equal(counters.errors, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(batch_is_one_notification),
        CASE(results_come_in_order_of_completion),
        CASE(nothing_happens_before_driver_ok_V_2_1_2_1),
        CASE(requests_in_work_are_bounded),
        CASE(completion_of_another_queue_is_published),
        CASE(many_steps_of_a_later_store),
        CASE(queue_reset_waits_and_drops_V_2_6_1_1_1_1),
        CASE(reset_waits_for_every_queue),
        CASE(failed_device_drains),
        CASE(queue_out_of_range_is_ignored),
        CASE(counters_sum_up_the_queues),
    };
    return cmocka_run_group_tests_name("device_block_flow", tests, NULL, NULL);
}
