/* SPDX-License-Identifier: MIT */
/* What the block device offers, and its cache mode (clauses V-5.2.5.2, V-5.2.6.2-1, -2, -11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block_rig.h"
#include "core/ordering.h"

#define WRITEBACK offsetof(struct virtio_blk_config, writeback)

static int set_up(void **state)
{
    *state = block_rig_new();
    return 0;
}

static int tear_down(void **state)
{
    block_rig_free(*state);
    return 0;
}

static const struct virtio_blk_config *shown(struct block_rig *rig)
{
    return (const struct virtio_blk_config *)(const void *)&rig->block.blk_config;
}

static bool offered(struct block_rig *rig, unsigned bit)
{
    return l4vio_features_has(&rig->block.device.config.offered, bit);
}

static void usual_offer(void **state)
{
    struct block_rig *rig = *state;
    static const unsigned bits[] = {
        VIRTIO_BLK_F_SEG_MAX,  VIRTIO_BLK_F_BLK_SIZE,   VIRTIO_BLK_F_FLUSH,
        VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_MQ,
        VIRTIO_BLK_F_DISCARD,  L4VIO_F_INDIRECT_DESC,   VIRTIO_BLK_F_WRITE_ZEROES,
        L4VIO_F_VERSION_1,     L4VIO_F_EVENT_IDX,       L4VIO_F_RING_PACKED,
        L4VIO_F_RING_RESET,    L4VIO_F_ACCESS_PLATFORM, L4VIO_F_NOTIFICATION_DATA,
    };
    rig->store.info.block_bytes = 4096;
    rig->store.info.optimal_io_bytes = 65536;
    block_rig_start(rig);
    for (unsigned i = 0; i < sizeof(bits) / sizeof(*bits); i++)
        assert_true(offered(rig, bits[i]));
    assert_false(offered(rig, L4VIO_F_ORDER_PLATFORM));
    assert_false(offered(rig, L4VIO_F_IN_ORDER)); /* The rig has no slots for it. */
    assert_false(offered(rig, VIRTIO_BLK_F_RO));
    assert_false(offered(rig, VIRTIO_BLK_F_SIZE_MAX));
    assert_false(offered(rig, VIRTIO_BLK_F_GEOMETRY));
    assert_false(offered(rig, VIRTIO_BLK_F_LIFETIME)); /* V-5.2.6.2-14 */
    assert_false(offered(rig, VIRTIO_BLK_F_SECURE_ERASE));
    assert_false(offered(rig, VIRTIO_BLK_F_ZONED)); /* V-5.2.5.2-4 */
    assert_int_equal(l4vio_load64(&shown(rig)->capacity), RIG_SECTORS);
    assert_int_equal(l4vio_load32(&shown(rig)->seg_max), L4VIO_DEVICE_BLOCK_SEGMENTS_MAX);
    assert_int_equal(l4vio_load32(&shown(rig)->blk_size), 512);
    assert_int_equal(shown(rig)->physical_block_exp, 3);
    assert_int_equal(l4vio_load16(&shown(rig)->min_io_size), 8);
    assert_int_equal(l4vio_load32(&shown(rig)->opt_io_size), 128);
    assert_int_equal(shown(rig)->writeback, 1);
    assert_int_equal(l4vio_load16(&shown(rig)->num_queues), RIG_QUEUES);
    assert_int_equal(l4vio_load32(&shown(rig)->max_discard_sectors), 65536);
    assert_int_equal(l4vio_load32(&shown(rig)->max_discard_seg), 16);
    assert_int_equal(l4vio_load32(&shown(rig)->discard_sector_alignment), 8);
    assert_int_equal(l4vio_load32(&shown(rig)->max_write_zeroes_sectors), 65536);
    assert_int_equal(l4vio_load32(&shown(rig)->max_write_zeroes_seg), 16);
    assert_int_equal(shown(rig)->write_zeroes_may_unmap, 1);
}

static void larger_blocks_are_told_in_their_units(void **state)
{
    struct block_rig *rig = *state;
    rig->config.logical_block_bytes = 4096;
    rig->store.info.block_bytes = 16384;
    rig->store.info.optimal_io_bytes = 65536;
    block_rig_start(rig);
    assert_int_equal(l4vio_load32(&shown(rig)->blk_size), 4096);
    assert_int_equal(l4vio_load64(&shown(rig)->capacity), RIG_SECTORS);
    assert_int_equal(shown(rig)->physical_block_exp, 2);
    assert_int_equal(l4vio_load16(&shown(rig)->min_io_size), 4);
    assert_int_equal(l4vio_load32(&shown(rig)->opt_io_size), 16);
    assert_int_equal(l4vio_load32(&shown(rig)->discard_sector_alignment), 32);
}

static void blocks_larger_than_those_of_the_store(void **state)
{
    struct block_rig *rig = *state;
    rig->config.logical_block_bytes = 4096;
    rig->store.info.block_bytes = 512;
    block_rig_start(rig);
    assert_int_equal(l4vio_load32(&shown(rig)->blk_size), 4096);
    assert_int_equal(shown(rig)->physical_block_exp, 0);
    assert_int_equal(l4vio_load16(&shown(rig)->min_io_size), 1);
    assert_int_equal(l4vio_load32(&shown(rig)->discard_sector_alignment), 8);
}

static void padding_is_zero_V_5_2_5_2_3(void **state)
{
    struct block_rig *rig = *state;
    memset(&rig->block, 0xff, sizeof(rig->block));
    block_rig_start(rig);
    assert_int_equal(shown(rig)->unused0, 0);
    assert_memory_equal(shown(rig)->unused1, "\0\0\0", 3);
    assert_int_equal(l4vio_load32(&shown(rig)->size_max), 0);
    assert_int_equal(l4vio_load32(&shown(rig)->max_secure_erase_sectors), 0);
}

static void store_decides_discard_and_unmap_V_5_2_6_2_9(void **state)
{
    struct block_rig *rig = *state;
    rig->store.info.discard = false;
    rig->store.info.zero_unmaps = false;
    block_rig_start(rig);
    assert_false(offered(rig, VIRTIO_BLK_F_DISCARD));
    assert_int_equal(l4vio_load32(&shown(rig)->max_discard_sectors), 0);
    assert_int_equal(shown(rig)->write_zeroes_may_unmap, 0);
}

static void refused_features_are_not_offered_V_5_2_5_2_1b(void **state)
{
    struct block_rig *rig = *state;
    l4vio_features_set(&rig->config.refused, VIRTIO_BLK_F_FLUSH);
    l4vio_features_set(&rig->config.refused, VIRTIO_BLK_F_MQ);
    rig->store.info.read_only = true;
    l4vio_features_set(&rig->config.refused, VIRTIO_BLK_F_RO);
    block_rig_start(rig);
    assert_false(offered(rig, VIRTIO_BLK_F_FLUSH));
    assert_false(offered(rig, VIRTIO_BLK_F_CONFIG_WCE));
    assert_false(offered(rig, VIRTIO_BLK_F_MQ));
    assert_int_equal(l4vio_load16(&shown(rig)->num_queues), 0);
    assert_true(offered(rig, VIRTIO_BLK_F_RO));
}

static void bad_configurations_are_refused(void **state)
{
    struct block_rig *rig = *state;
    struct l4vio_device_block block;
    struct l4vio_device_block_config config;
    struct l4vio_error error = {0};
    block_rig_start(rig);

    rig->store.info.size_bytes = 1000;
    assert_int_equal(l4vio_device_block_init(&block, &rig->config, &error), L4VIO_EINVAL);
    assert_int_equal(error.value, 1000);
    rig->store.info.size_bytes = RIG_STORE_BYTES;
    config = rig->config;
    config.queue_count = 0;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    config.queue_count = 65536;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    config = rig->config;
    config.requests_per_queue = 0;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    config = rig->config;
    config.queue_size_max = 100;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    config = rig->config;
    config.segments_max = L4VIO_DEVICE_BLOCK_SEGMENTS_MAX + 1;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    config = rig->config;
    config.size_max_bytes = 100;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    static const uint32_t block_sizes[] = {256, 1000, 131072};
    for (unsigned i = 0; i < sizeof(block_sizes) / sizeof(*block_sizes); i++) {
        config = rig->config;
        config.logical_block_bytes = block_sizes[i];
        assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
        assert_int_equal(error.value, block_sizes[i]);
    }
    config.logical_block_bytes = 4096;
    rig->store.info.size_bytes = 4096 + 512;
    assert_int_equal(l4vio_device_block_init(&block, &config, &error), L4VIO_EINVAL);
    assert_int_equal(error.value, 4096 + 512);
}

static void drivers_are_held_to_size_max_and_seg_max(void **state)
{
    struct block_rig *rig = *state;
    rig->config.size_max_bytes = 1024;
    rig->config.segments_max = 2;
    block_rig_start(rig);
    block_rig_live(rig);
    assert_true(offered(rig, VIRTIO_BLK_F_SIZE_MAX));
    assert_int_equal(l4vio_load32(&shown(rig)->size_max), 1024);
    assert_int_equal(l4vio_load32(&shown(rig)->seg_max), 2);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 1024), VIRTIO_BLK_S_OK);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 1536), VIRTIO_BLK_S_IOERR);
    for (uint32_t pieces = 2; pieces <= 3; pieces++) {
        block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_OUT, 0);
        block_rig_piece(rig, 0, RIG_HEADER, 16, false);
        for (uint32_t i = 0; i < pieces; i++)
            block_rig_piece(rig, 0, RIG_OUT + i * 512, 512, false);
        block_rig_piece(rig, 0, RIG_IN, 1, true);
        block_rig_publish(rig, 0);
        l4vio_device_block_process(&rig->block, 0, 1);
        assert_true(block_rig_used(rig, 0, NULL));
        assert_int_equal(rig->memory[RIG_IN], pieces == 2 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
    }
}

static void capacity_follows_the_store_V_5_2_6_2_2(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    block_rig_live(rig);
    uint32_t generation = rig->block.device.generation;
    rig->store.info.size_bytes = 4096;
    l4vio_device_block_resized(&rig->block);
    assert_int_equal(rig->config_notifications, 1);
    assert_int_not_equal(rig->block.device.generation, generation);
    assert_int_equal(l4vio_load64((const l4vio_le64 *)(const void *)rig->shown), 8);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 7, 0, 512), VIRTIO_BLK_S_OK);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 8, 0, 512), VIRTIO_BLK_S_IOERR);
}

static void write_back_does_not_flush(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    block_rig_live(rig);
    block_rig_range(rig, 0, 0, 1, 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 512, 0), 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
    assert_string_equal(rig_store_log(rig), "WF");
}

static void write_through_flushes_each_write_V_5_2_6_2_11(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    block_rig_live(rig);
    memset(rig->memory + RIG_OUT, 0, 512);
    block_rig_range(rig, 0, 0, 1, 0);
    block_rig_range(rig, 1, 4, 1, 0);
    rig->shown[WRITEBACK] = 0;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 8, 512, 0), 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 8, 0, 512), 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 32, 0), 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0), 0);
    assert_string_equal(rig_store_log(rig), "WFRDDFZF");
    rig->shown[WRITEBACK] = 1;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 8, 512, 0), 0);
    assert_string_equal(rig_store_log(rig), "WFRDDFZFW");
}

static void failed_flush_of_write_through_is_an_error(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    block_rig_live(rig);
    rig->shown[WRITEBACK] = 0;
    rig->store.fail_op = 'F';
    rig->store.fail_code = L4VIO_EIO;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 8, 512, 0), VIRTIO_BLK_S_IOERR);
}

static void without_flush_writes_are_stable(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    l4vio_features_clear(&rig->accept, VIRTIO_BLK_F_FLUSH);
    l4vio_features_clear(&rig->accept, VIRTIO_BLK_F_CONFIG_WCE);
    block_rig_live(rig);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 8, 512, 0), 0);
    assert_string_equal(rig_store_log(rig), "WF");
}

static void without_config_wce_the_field_has_no_meaning(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    l4vio_features_clear(&rig->accept, VIRTIO_BLK_F_CONFIG_WCE);
    block_rig_live(rig);
    rig->shown[WRITEBACK] = 0;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 8, 512, 0), 0);
    assert_string_equal(rig_store_log(rig), "W");
}

static void config_wce_without_flush_starts_at_0_V_5_2_5_2_2(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    l4vio_features_clear(&rig->accept, VIRTIO_BLK_F_FLUSH);
    block_rig_live(rig);
    assert_int_equal(rig->shown[WRITEBACK], 0);
    assert_int_equal(rig->config_notifications, 0);
    l4vio_device_reset(&rig->block.device);
    assert_int_equal(rig->shown[WRITEBACK], 1);
}

static void reset_brings_write_back_again(void **state)
{
    struct block_rig *rig = *state;
    block_rig_start(rig);
    block_rig_live(rig);
    rig->shown[WRITEBACK] = 0;
    l4vio_device_reset(&rig->block.device);
    assert_int_equal(rig->shown[WRITEBACK], 1);
    assert_int_equal(rig->config_notifications, 0);
}

/* One driver's cache mode is not another's, though they share the store. */
static void cache_mode_is_per_client(void **state)
{
    struct block_rig *rig = *state;
    struct block_rig *other = block_rig_new();
    block_rig_start(rig);
    block_rig_live(rig);
    other->config.backend = rig->config.backend;
    block_rig_start(other);
    block_rig_live(other);
    other->shown[WRITEBACK] = 0;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 512, 0), 0);
    assert_string_equal(rig_store_log(rig), "W");
    assert_int_equal(block_rig_do(other, VIRTIO_BLK_T_OUT, 0, 512, 0), 0);
    assert_string_equal(rig_store_log(rig), "WWF");
    block_rig_free(other);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(usual_offer),
        CASE(larger_blocks_are_told_in_their_units),
        CASE(blocks_larger_than_those_of_the_store),
        CASE(padding_is_zero_V_5_2_5_2_3),
        CASE(store_decides_discard_and_unmap_V_5_2_6_2_9),
        CASE(refused_features_are_not_offered_V_5_2_5_2_1b),
        CASE(bad_configurations_are_refused),
        CASE(drivers_are_held_to_size_max_and_seg_max),
        CASE(capacity_follows_the_store_V_5_2_6_2_2),
        CASE(write_back_does_not_flush),
        CASE(write_through_flushes_each_write_V_5_2_6_2_11),
        CASE(failed_flush_of_write_through_is_an_error),
        CASE(without_flush_writes_are_stable),
        CASE(without_config_wce_the_field_has_no_meaning),
        CASE(config_wce_without_flush_starts_at_0_V_5_2_5_2_2),
        CASE(reset_brings_write_back_again),
        CASE(cache_mode_is_per_client),
    };
    return cmocka_run_group_tests_name("device_block_config", tests, NULL, NULL);
}
