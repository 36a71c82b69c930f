/* SPDX-License-Identifier: MIT */
/*
 * Malformed block requests. What has room for an answer gets IOERR; what has not fails the device,
 * which works again after a reset. Nothing reaches the store.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
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

static void expect_works_after_reset(struct block_rig *rig)
{
    assert_true(rig->status & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(rig->config_notifications, 1);
    assert_false(block_rig_used(rig, 0, NULL));
    assert_string_equal(rig_store_log(rig), "");
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    l4vio_device_reset(&rig->block.device);
    block_rig_live(rig);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 512), VIRTIO_BLK_S_OK);
}

static void chain_without_status_fails_the_device(void **state)
{
    struct block_rig *rig = *state;
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_OUT, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    block_rig_piece(rig, 0, RIG_OUT, 512, false);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    expect_works_after_reset(rig);
}

static void chain_with_empty_status_fails_the_device(void **state)
{
    struct block_rig *rig = *state;
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_FLUSH, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    block_rig_piece(rig, 0, RIG_IN, 0, true);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    expect_works_after_reset(rig);
}

static void empty_chain_fails_the_device(void **state)
{
    struct block_rig *rig = *state;
    block_rig_piece(rig, 0, RIG_HEADER, 0, false);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    expect_works_after_reset(rig);
}

static void address_outside_memory_fails_the_device(void **state)
{
    struct block_rig *rig = *state;
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    block_rig_piece(rig, 0, RIG_MEMORY_BYTES - 512, 513, true);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    expect_works_after_reset(rig);
}

/* One segment more than seg_max promises room for. */
static void too_many_segments_fail_the_device(void **state)
{
    struct block_rig *rig = *state;
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    for (unsigned i = 0; i < L4VIO_DEVICE_BLOCK_CHAIN_MAX; i++)
        block_rig_piece(rig, 0, RIG_IN, 512, true);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 0);
    expect_works_after_reset(rig);
}

static void short_header_is_an_io_error(void **state)
{
    struct block_rig *rig = *state;
    for (uint32_t bytes = 0; bytes < 16; bytes++) {
        block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 0);
        rig->memory[RIG_IN + 512] = RIG_POISON;
        block_rig_piece(rig, 0, RIG_HEADER, bytes, false);
        block_rig_piece(rig, 0, RIG_IN, 513, true);
        block_rig_publish(rig, 0);
        assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 1);
        assert_true(block_rig_used(rig, 0, NULL));
        assert_int_equal(rig->used_length, 0);
        assert_int_equal(rig->memory[RIG_IN + 512], VIRTIO_BLK_S_IOERR);
    }
    assert_string_equal(rig_store_log(rig), "");
    assert_int_equal(rig->status & VIRTIO_STATUS_NEEDS_RESET, 0);
}

/* A read whose status lies inside its data: the status is written last and stays. */
static void status_inside_the_data_survives(void **state)
{
    struct block_rig *rig = *state;
    memset(rig_store_bytes(rig), 0x77, 512);
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    block_rig_piece(rig, 0, RIG_IN, 512, true);
    block_rig_piece(rig, 0, RIG_IN + 100, 1, true);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 1);
    assert_int_equal(rig->memory[RIG_IN + 100], VIRTIO_BLK_S_OK);
    assert_int_equal(rig->memory[RIG_IN + 101], 0x77);
}

/* The header is copied once: a read into the header's own memory changes nothing. */
static void header_overwritten_by_its_own_request(void **state)
{
    struct block_rig *rig = *state;
    memset(rig_store_bytes(rig), 0xff, 512);
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    block_rig_piece(rig, 0, RIG_HEADER, 512, true);
    block_rig_piece(rig, 0, RIG_IN, 1, true);
    block_rig_publish(rig, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 1);
    assert_true(block_rig_used(rig, 0, NULL));
    assert_int_equal(rig->used_length, 513);
    assert_int_equal(rig->memory[RIG_IN], VIRTIO_BLK_S_OK);
}

/* Records are checked in a copy: changing them afterwards leads nowhere. */
static void records_changed_after_the_check_have_no_effect(void **state)
{
    struct block_rig *rig = *state;
    memset(rig_store_bytes(rig), 0x55, RIG_STORE_BYTES);
    block_rig_range(rig, 0, 0, 1, 0);
    block_rig_range(rig, 1, 1, 1, 0);
    rig->store.hold = true;
    block_rig_send(rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 8), 1);
    block_rig_range(rig, 1, 2, 0x1000, 0);
    rig_store_release(&rig->store);
    rig_store_release(&rig->store);
    assert_true(block_rig_used(rig, 0, NULL));
    assert_int_equal(rig_store_bytes(rig)[512], 0);
    assert_int_equal(rig_store_bytes(rig)[1024], 0x55);
    rig->store.hold = false;
}

/* Chains of random pieces; the device answers, or fails and comes back. */
static void random_chains_do_no_harm(void **state)
{
    struct block_rig *rig = *state;
    uint64_t seed = 88172645463325252u;
    for (unsigned round = 0; round < 20000; round++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint32_t type = seed % 16u;
        uint64_t sector = seed & 1u ? seed >> 40u : seed;
        unsigned readable = seed >> 8u & 3u;
        unsigned writable = seed >> 10u & 3u;
        block_rig_header(rig, RIG_OUT, type, sector);
        for (unsigned i = 0; i < readable + writable; i++) {
            uint32_t bytes = (uint32_t)(seed >> (12u + 5u * i)) % 1040u;
            bool out = i < readable;
            block_rig_piece(rig, 0, i == 0 ? RIG_OUT : RIG_IN, bytes, !out);
        }
        if (readable + writable == 0)
            block_rig_piece(rig, 0, RIG_OUT, 16, false);
        block_rig_publish(rig, 0);
        l4vio_device_block_process(&rig->block, 0, 8);
        assert_int_equal(l4vio_device_block_in_flight(&rig->block, 0), 0);
        rig->store.log_count = 0;
        if (rig->status & VIRTIO_STATUS_NEEDS_RESET) {
            l4vio_device_reset(&rig->block.device);
            block_rig_live(rig);
        } else {
            assert_true(block_rig_used(rig, 0, NULL));
        }
    }
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 512), VIRTIO_BLK_S_OK);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(chain_without_status_fails_the_device),
        CASE(chain_with_empty_status_fails_the_device),
        CASE(empty_chain_fails_the_device),
        CASE(address_outside_memory_fails_the_device),
        CASE(too_many_segments_fail_the_device),
        CASE(short_header_is_an_io_error),
        CASE(status_inside_the_data_survives),
        CASE(header_overwritten_by_its_own_request),
        CASE(records_changed_after_the_check_have_no_effect),
        CASE(random_chains_do_no_harm),
    };
    return cmocka_run_group_tests_name("block_requests", tests, NULL, NULL);
}
