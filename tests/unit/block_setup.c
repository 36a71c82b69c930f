/* SPDX-License-Identifier: MIT */
/* Set-up of the block driver: features, limits, queues; cache mode, refresh, recovery, end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "fake_transport.h"
#include "scripted_disk.h"

static void features_are_those_of_the_driver_with_their_dependencies(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error;

    for (unsigned bit = 0; bit < 24; bit++)
        l4vio_features_set(&rig->offered, bit);
    l4vio_features_clear(&rig->offered, VIRTIO_BLK_F_FLUSH);
    /* The caller's own list cannot bring in what the driver does not implement. */
    memset(rig->setup.driver.allowed.word, 0xff, sizeof(uint32_t));
    assert_int_equal(0, rig_start(rig, &error));
    struct l4vio_driver *driver = &rig->block.driver;
    assert_true(l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_SEG_MAX));
    assert_true(l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_RO));
    assert_false(l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_ZONED));
    assert_false(l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_SECURE_ERASE));
    assert_false(l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_FLUSH));
    assert_false(l4vio_driver_feature_negotiated(driver, VIRTIO_BLK_F_CONFIG_WCE));
    assert_true(rig->block.info.read_only);
    rig_free(rig);
}

static void info_tells_the_configuration(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error;

    rig->config.blk_size = l4vio_swap32(4096);
    rig->config.physical_block_exp = 3;
    rig->config.opt_io_size = l4vio_swap32(16);
    assert_int_equal(0, rig_start(rig, &error));
    const struct l4vio_block_info *info = &rig->block.info;
    assert_int_equal(RIG_DISK_BYTES / 512, info->capacity_sectors);
    assert_int_equal(4096, info->block_bytes);
    assert_int_equal(4096, info->size_max_bytes);
    assert_int_equal(8, info->segment_max);
    assert_int_equal(RIG_QUEUES, info->queue_count);
    assert_true(info->topology);
    assert_int_equal(3, info->physical_block_exponent);
    assert_int_equal(16, info->optimal_io_blocks);
    assert_int_equal(64, info->max_discard_sectors);
    assert_int_equal(8, info->discard_alignment_sectors);
    assert_int_equal(48, info->max_write_zeroes_sectors);
    assert_true(info->write_zeroes_may_unmap && info->flush && info->discard && info->config_wce);
    assert_int_equal(8, rig->block.part_buffers_max);
    rig_free(rig);
}

static void fields_without_feature_are_not_looked_at(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error;

    memset(&rig->config, 0xff, sizeof(rig->config));
    rig->config.capacity = l4vio_swap64(64);
    memset(&rig->offered, 0, sizeof(rig->offered));
    assert_int_equal(0, rig_start(rig, &error));
    const struct l4vio_block_info *info = &rig->block.info;
    assert_int_equal(0, info->size_max_bytes);
    assert_int_equal(0, info->segment_max);
    assert_int_equal(512, info->block_bytes);
    assert_int_equal(1, info->queue_count);
    assert_int_equal(1, rig->block.queue_count);
    assert_int_equal(0, info->max_discard_sectors);
    assert_false(info->topology || info->discard || info->write_zeroes || info->flush);

    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    static const enum l4vio_block_type types[] = {L4VIO_BLOCK_FLUSH, L4VIO_BLOCK_DISCARD,
                                                  L4VIO_BLOCK_WRITE_ZEROES};
    for (unsigned i = 0; i < 3; i++) {
        rig_prepare(rig, &request, 0, &segment, types[i], 0, 0, 512);
        assert_int_equal(L4VIO_ENOSYS, l4vio_block_submit(&rig->block, 0, &request, &error));
    }
    rig_free(rig);
}

static void queue_size_is_a_power_of_two_that_both_allow(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error;

    rig->setup.queue_size = 100;
    assert_int_equal(0, rig_start(rig, &error));
    assert_int_equal(64, rig->block.queue_size);
    rig_free(rig);

    rig = rig_new();
    rig->queue_size_max = 32;
    rig->setup.queue_size = 100;
    assert_int_equal(0, rig_start(rig, &error));
    assert_int_equal(32, rig->block.queue_size);
    rig_free(rig);
}

static void queue_too_small_for_a_request_is_refused_with_a_sentence(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error = {0};

    rig->queue_size_max = 2;
    assert_int_equal(L4VIO_E2BIG, rig_start(rig, &error));
    assert_non_null(strstr(error.text, "queue too small for a request"));
    rig_free(rig);

    /* Four entries are enough for one buffer of data. */
    rig = rig_new();
    rig->queue_size_max = 4;
    assert_int_equal(0, rig_start(rig, &error));
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 64 * 1024);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, &error));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(0, request.result);
    assert_memory_equal(rig->data.base, rig->disk, 64 * 1024);
    rig_free(rig);
}

/* Nothing was sent, but the transport is taken over all the same, as in every other failure. */
static void configuration_without_storage_is_refused_and_the_transport_closed(void **state)
{
    (void)state;
    struct l4vio_queue queue;
    struct l4vio_queue_slot slot;
    struct l4vio_block_config configs[] = {
        {.slots = &slot},
        {.queues = &queue},
        {.queues = &queue, .slots = &slot, .queue_count = L4VIO_BLOCK_QUEUES_MAX + 1},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct fake_transport *fake = fake_transport_new();
        struct l4vio_block block;
        configs[i].driver = fake->driver_config;
        assert_int_equal(L4VIO_EINVAL, l4vio_block_setup(&block, &configs[i], NULL));
        assert_int_equal(1, fake->closed);
        fake_transport_free(fake);
    }
}

static void each_queue_has_its_notification_index_where_there_is_room(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_error error;

    for (uint32_t i = 0; i < RIG_QUEUES; i++)
        assert_int_equal(i + 1, rig->states[i].driver_notify_index);
    rig_free(rig);

    rig = rig_new();
    rig->setup.driver.notification_count = 3;
    assert_int_equal(0, rig_start(rig, &error));
    assert_int_equal(2, rig->states[1].driver_notify_index);
    assert_int_equal(0, rig->states[2].driver_notify_index);
    rig_free(rig);

    rig = rig_new();
    rig->setup.one_notification = true;
    assert_int_equal(0, rig_start(rig, &error));
    for (uint32_t i = 0; i < RIG_QUEUES; i++)
        assert_int_equal(0, rig->states[i].driver_notify_index);
    rig_free(rig);
}

static void every_queue_carries_requests(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();

    assert_int_equal(RIG_QUEUES, rig->block.queue_count);
    for (uint32_t i = 0; i < RIG_QUEUES; i++) {
        struct l4vio_block_request request;
        struct l4vio_block_segment segment;
        rig_prepare(rig, &request, i, &segment, L4VIO_BLOCK_READ, i, i * 512, 512);
        assert_int_equal(0, l4vio_block_submit(&rig->block, i, &request, NULL));
        assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
        assert_int_equal(0, request.result);
        assert_int_equal(i, rig->log[i].queue);
    }
    rig_free(rig);
}

static void read_only_device_refuses_writes_here_already(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error;
    static const enum l4vio_block_type types[] = {L4VIO_BLOCK_WRITE, L4VIO_BLOCK_DISCARD,
                                                  L4VIO_BLOCK_WRITE_ZEROES};

    l4vio_features_set(&rig->offered, VIRTIO_BLK_F_RO);
    assert_int_equal(0, rig_start(rig, &error));
    for (unsigned i = 0; i < 3; i++) {
        struct l4vio_block_request request;
        struct l4vio_block_segment segment;
        rig_prepare(rig, &request, 0, &segment, types[i], 0, 0, 512);
        assert_int_equal(L4VIO_EROFS, l4vio_block_submit(&rig->block, 0, &request, &error));
    }
    assert_int_equal(0, rig->logged);
    rig_free(rig);
}

static void cache_mode_is_switched_where_the_device_can(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_error error;

    assert_int_equal(0, l4vio_block_set_writeback(&rig->block, true, &error));
    assert_int_equal(1, l4vio_block_get_writeback(&rig->block));
    assert_int_equal(0, l4vio_block_set_writeback(&rig->block, false, &error));
    assert_int_equal(0, l4vio_block_get_writeback(&rig->block));
    rig_free(rig);

    /* FLUSH without CONFIG_WCE: assume write-back (clause D-5.2.5.1-3). */
    rig = rig_new();
    l4vio_features_clear(&rig->offered, VIRTIO_BLK_F_CONFIG_WCE);
    assert_int_equal(0, rig_start(rig, &error));
    assert_int_equal(L4VIO_ENOSYS, l4vio_block_set_writeback(&rig->block, true, &error));
    assert_int_equal(1, l4vio_block_get_writeback(&rig->block));
    rig_free(rig);

    /* Neither: assume write-through (clause D-5.2.5.1-2). */
    rig = rig_new();
    l4vio_features_clear(&rig->offered, VIRTIO_BLK_F_CONFIG_WCE);
    l4vio_features_clear(&rig->offered, VIRTIO_BLK_F_FLUSH);
    assert_int_equal(0, rig_start(rig, &error));
    assert_int_equal(0, l4vio_block_get_writeback(&rig->block));
    rig_free(rig);
}

static void refresh_reads_a_new_capacity(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_error error;
    l4vio_le64 capacity = l4vio_swap64(16);

    assert_false(l4vio_driver_config_changed(&rig->block.driver));
    assert_int_equal(0, l4vio_device_write_config(&rig->device, 0, &capacity, sizeof(capacity)));
    assert_true(l4vio_driver_config_changed(&rig->block.driver));
    assert_int_equal(0, l4vio_block_refresh(&rig->block, &error));
    assert_int_equal(16, rig->block.info.capacity_sectors);
    rig_free(rig);
}

struct cancelled {
    struct scripted_disk *rig;
    unsigned count;
    int resubmit;
    int nested;
};

static void count_cancelled(struct l4vio_block_request *request, void *context)
{
    struct cancelled *cancelled = context;
    assert_int_equal(L4VIO_ECANCELED, request->result);
    cancelled->count++;
    cancelled->resubmit = l4vio_block_submit(&cancelled->rig->block, 0, request, NULL);
    cancelled->nested = l4vio_block_recover(&cancelled->rig->block, NULL);
}

static void recover_cancels_what_is_in_flight_and_starts_again(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_request requests[8];
    struct l4vio_block_segment segments[8];
    struct cancelled cancelled = {.rig = rig};
    struct l4vio_error error = {0};

    rig->stalled = 1;
    for (unsigned i = 0; i < 8; i++) {
        rig_prepare(rig, &requests[i], i, &segments[i], L4VIO_BLOCK_READ, 0, i * 512u, 512);
        requests[i].done = count_cancelled;
        requests[i].context = &cancelled;
        assert_int_equal(0, l4vio_block_submit(&rig->block, i % RIG_QUEUES, &requests[i], NULL));
    }
    l4vio_device_needs_reset(&rig->device, &error);
    assert_int_equal(L4VIO_EIO, l4vio_block_wait(&rig->block, &requests[0], rig_soon(rig)));
    assert_int_equal(0, cancelled.count);
    assert_int_equal(0, l4vio_block_recover(&rig->block, &error));
    assert_int_equal(8, cancelled.count);
    assert_int_equal(L4VIO_EAGAIN, cancelled.resubmit);
    assert_int_equal(L4VIO_EBUSY, cancelled.nested);

    rig->stalled = 0;
    for (unsigned i = 0; i < 8; i++) {
        requests[i].done = NULL;
        assert_int_equal(0, l4vio_block_submit(&rig->block, i % RIG_QUEUES, &requests[i], &error));
        assert_int_equal(0, l4vio_block_wait(&rig->block, &requests[i], rig_soon(rig)));
        assert_int_equal(0, requests[i].result);
    }
    rig_free(rig);
}

static void close_cancels_and_may_be_called_twice(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->stalled = 1;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 512);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    l4vio_block_close(&rig->block);
    assert_int_equal(L4VIO_ECANCELED, request.result);
    assert_false(request.in_flight);
    assert_int_equal(L4VIO_ERANGE, l4vio_block_submit(&rig->block, 0, &request, NULL));
    l4vio_block_close(&rig->block);
    rig_free(rig);
}

static void wait_reports_a_dead_peer(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->stalled = 1;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 512);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    rig->loopback.dead = true;
    assert_int_equal(L4VIO_EPIPE, l4vio_block_wait(&rig->block, &request, L4VIO_FOREVER));
    assert_true(request.in_flight);
    l4vio_block_close(&rig->block);
    assert_int_equal(L4VIO_ECANCELED, request.result);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_are_those_of_the_driver_with_their_dependencies),
        cmocka_unit_test(info_tells_the_configuration),
        cmocka_unit_test(fields_without_feature_are_not_looked_at),
        cmocka_unit_test(queue_size_is_a_power_of_two_that_both_allow),
        cmocka_unit_test(queue_too_small_for_a_request_is_refused_with_a_sentence),
        cmocka_unit_test(configuration_without_storage_is_refused_and_the_transport_closed),
        cmocka_unit_test(each_queue_has_its_notification_index_where_there_is_room),
        cmocka_unit_test(every_queue_carries_requests),
        cmocka_unit_test(read_only_device_refuses_writes_here_already),
        cmocka_unit_test(cache_mode_is_switched_where_the_device_can),
        cmocka_unit_test(refresh_reads_a_new_capacity),
        cmocka_unit_test(recover_cancels_what_is_in_flight_and_starts_again),
        cmocka_unit_test(close_cancels_and_may_be_called_twice),
        cmocka_unit_test(wait_reports_a_dead_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
