/* SPDX-License-Identifier: MIT */
/* Requests that are few and large: a queue's turn ends over them, too, so that others have theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "block_rig.h"

#define LARGE_BYTES (512u * 1024u)
#define PER_TURN    ((unsigned)(L4VIO_DEVICE_BLOCK_TURN_BYTES / LARGE_BYTES))

static int setup(void **state)
{
    *state = block_rig_usual();
    return 0;
}

static int teardown(void **state)
{
    block_rig_free(*state);
    return 0;
}

static void large_reads_end_the_turn(void **state)
{
    struct block_rig *rig = *state;

    for (unsigned i = 0; i < PER_TURN + 2; i++)
        block_rig_send(rig, 0, VIRTIO_BLK_T_IN, 0, 0, LARGE_BYTES);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 32), PER_TURN);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 32), 2);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 32), 0);
}

/* All ranges of a request count: here 16 MiB. */
static void many_ranges_end_the_turn(void **state)
{
    struct block_rig *rig = *state;

    for (unsigned i = 0; i < L4VIO_DEVICE_BLOCK_RANGES_MAX; i++)
        block_rig_range(rig, i, 0, RIG_SECTORS, 0);
    for (unsigned i = 0; i < 3; i++)
        block_rig_send(rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0,
                       L4VIO_DEVICE_BLOCK_RANGES_MAX * sizeof(struct virtio_blk_range), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(l4vio_device_block_process(&rig->block, 0, 32), 1);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 32), 0);
}

/* The device says how long a range may be at most; a store that is larger does not change that. */
static void range_above_what_the_device_allows_is_refused(void **state)
{
    struct block_rig *rig = block_rig_new();
    const uint32_t bytes = sizeof(struct virtio_blk_range);

    (void)state;
    rig->store.info.size_bytes = (L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX + UINT64_C(1)) * 512;
    block_rig_start(rig);
    block_rig_live(rig);
    block_rig_range(rig, 0, 0, L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX + 1, 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, bytes, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, bytes, 0), VIRTIO_BLK_S_IOERR);
    assert_string_equal(rig_store_log(rig), "");
    block_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(large_reads_end_the_turn, setup, teardown),
        cmocka_unit_test(range_above_what_the_device_allows_is_refused),
        cmocka_unit_test_setup_teardown(many_ranges_end_the_turn, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
