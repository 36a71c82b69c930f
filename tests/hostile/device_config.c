/* SPDX-License-Identifier: MIT */
/* A hostile block device: absurd configuration, and configuration that changes under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

/* Reads 8 KiB; the bytes must be right. */
static void read_works(struct scripted_disk *rig)
{
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 8, 0, 8192);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(0, request.result);
    assert_memory_equal(rig->data.base, rig->disk + 4096, 8192);
}

static void capacity_above_2_to_the_64_bytes_is_refused(void **state)
{
    (void)state;
    static const uint64_t capacities[] = {UINT64_MAX, UINT64_MAX / 512 + 1};
    for (unsigned i = 0; i < 2; i++) {
        struct scripted_disk *rig = rig_new();
        struct l4vio_error error = {0};
        rig->config.capacity = l4vio_swap64(capacities[i]);
        assert_int_equal(L4VIO_EBADPROTO, rig_start(rig, &error));
        assert_int_equal(capacities[i], error.value);
        rig_free(rig);
    }
}

static void device_without_sectors_takes_no_request(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->config.capacity = 0;
    assert_int_equal(0, rig_start(rig, NULL));
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 512);
    assert_int_equal(L4VIO_ERANGE, l4vio_block_submit(&rig->block, 0, &request, NULL));
    rig_free(rig);
}

static void seg_max_0_is_taken_for_1(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();

    rig->config.seg_max = 0;
    assert_int_equal(0, rig_start(rig, NULL));
    assert_int_equal(1, rig->block.part_buffers_max);
    read_works(rig);
    assert_int_equal(2, rig->logged);
    rig_free(rig);
}

static void seg_max_and_size_max_without_bound_are_bounded(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();

    rig->config.seg_max = l4vio_swap32(UINT32_MAX);
    rig->config.size_max = l4vio_swap32(UINT32_MAX);
    assert_int_equal(0, rig_start(rig, NULL));
    assert_int_equal(62, rig->block.part_buffers_max);
    read_works(rig);
    rig_free(rig);
}

static void size_max_1_is_refused_with_a_sentence(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error = {0};
    rig->config.size_max = l4vio_swap32(1);
    assert_int_equal(L4VIO_E2BIG, rig_start(rig, &error));
    assert_non_null(strstr(error.text, "size_max"));
    rig_free(rig);
}

static void size_max_0_is_no_limit(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    rig->config.size_max = 0;
    assert_int_equal(0, rig_start(rig, NULL));
    assert_int_equal(0, rig->block.info.size_max_bytes);
    read_works(rig);
    rig_free(rig);
}

static void size_max_below_a_sector_works(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {511, 513, 64, 100};
    for (unsigned i = 0; i < 4; i++) {
        struct scripted_disk *rig = rig_new();
        rig->config.size_max = l4vio_swap32(sizes[i]);
        assert_int_equal(0, rig_start(rig, NULL));
        read_works(rig);
        for (unsigned k = 0; k < rig->logged; k++) {
            assert_true(rig->log[k].largest_bytes <= sizes[i]);
            assert_int_equal(0, (rig->log[k].writable_bytes - 1) % 512);
            assert_true(rig->log[k].writable <= 9);
        }
        rig_free(rig);
    }
}

static void num_queues_0_or_more_than_there_are_is_corrected(void **state)
{
    (void)state;
    static const uint16_t counts[] = {0, 1, UINT16_MAX};
    static const uint16_t expected[] = {1, 1, RIG_QUEUES};
    for (unsigned i = 0; i < 3; i++) {
        struct scripted_disk *rig = rig_new();
        rig->config.num_queues = l4vio_swap16(counts[i]);
        assert_int_equal(0, rig_start(rig, NULL));
        assert_int_equal(expected[i], rig->block.queue_count);
        read_works(rig);
        rig_free(rig);
    }
}

static void block_size_that_makes_no_sense_is_ignored(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 511, 513, 1u << 31, UINT32_MAX};
    for (unsigned i = 0; i < 6; i++) {
        struct scripted_disk *rig = rig_new();
        rig->config.blk_size = l4vio_swap32(sizes[i]);
        rig->config.physical_block_exp = 255;
        assert_int_equal(0, rig_start(rig, NULL));
        assert_int_equal(512, rig->block.info.block_bytes);
        assert_false(rig->block.info.topology);
        read_works(rig);
        rig_free(rig);
    }
}

static void block_size_above_a_part_falls_back_to_sectors(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();

    rig->config.blk_size = l4vio_swap32(65536);
    rig->config.seg_max = l4vio_swap32(1);
    assert_int_equal(0, rig_start(rig, NULL));
    assert_int_equal(65536, rig->block.info.block_bytes);
    read_works(rig);
    rig_free(rig);
}

static void range_limits_of_0_mean_no_limit(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->config.max_discard_sectors = 0;
    rig->config.max_discard_seg = 0;
    rig->config.discard_sector_alignment = l4vio_swap32(UINT32_MAX);
    rig->config.max_write_zeroes_sectors = l4vio_swap32(1);
    assert_int_equal(0, rig_start(rig, NULL));
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_DISCARD, 0, 0, 512);
    request.sector_count = RIG_DISK_BYTES / 512;
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(0, request.result);
    assert_int_equal(1, rig->logged);
    request.type = L4VIO_BLOCK_WRITE_ZEROES;
    request.sector_count = 20;
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(0, request.result);
    assert_int_equal(21, rig->logged);
    rig_free(rig);
}

/* The driver refreshes while a request of several parts is under way. */
static void serve_shrinking(struct scripted_disk *rig, uint32_t queue,
                            const struct l4vio_device_chain *chain)
{
    l4vio_le64 capacity = l4vio_swap64(80);
    rig_serve_honestly(rig, queue, chain);
    l4vio_device_write_config(&rig->device, 0, &capacity, sizeof(capacity));
    assert_int_equal(0, l4vio_block_refresh(&rig->block, NULL));
}

static void device_that_shrinks_gets_no_part_past_its_end(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->serve = serve_shrinking;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 65536);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(L4VIO_EIO, request.result);
    assert_int_equal(32768, request.done_bytes);
    assert_int_equal(1, rig->logged);
    rig_free(rig);
}

static void refresh_that_finds_nonsense_changes_nothing(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_error error;
    l4vio_le64 capacity = UINT64_MAX;

    l4vio_device_write_config(&rig->device, 0, &capacity, sizeof(capacity));
    assert_int_equal(L4VIO_EBADPROTO, l4vio_block_refresh(&rig->block, &error));
    assert_int_equal(RIG_DISK_BYTES / 512, rig->block.info.capacity_sectors);
    read_works(rig);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_above_2_to_the_64_bytes_is_refused),
        cmocka_unit_test(device_without_sectors_takes_no_request),
        cmocka_unit_test(seg_max_0_is_taken_for_1),
        cmocka_unit_test(seg_max_and_size_max_without_bound_are_bounded),
        cmocka_unit_test(size_max_1_is_refused_with_a_sentence),
        cmocka_unit_test(size_max_0_is_no_limit),
        cmocka_unit_test(size_max_below_a_sector_works),
        cmocka_unit_test(num_queues_0_or_more_than_there_are_is_corrected),
        cmocka_unit_test(block_size_that_makes_no_sense_is_ignored),
        cmocka_unit_test(block_size_above_a_part_falls_back_to_sectors),
        cmocka_unit_test(range_limits_of_0_mean_no_limit),
        cmocka_unit_test(device_that_shrinks_gets_no_part_past_its_end),
        cmocka_unit_test(refresh_that_finds_nonsense_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
