/* SPDX-License-Identifier: MIT */
/* Requests of the block device: what each type does and answers (clauses V-5.2.6.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block_rig.h"

#define OK     VIRTIO_BLK_S_OK
#define IOERR  VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

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

static void fill_pattern(unsigned char *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(i * 31u + i / 251u);
}

/* Starts again with other features than those offered. */
static void renegotiate(struct block_rig *rig, unsigned without)
{
    l4vio_device_reset(&rig->block.device);
    l4vio_features_clear(&rig->accept, without);
    block_rig_live(rig);
}

static void written_data_reads_back(void **state)
{
    struct block_rig *rig = *state;
    fill_pattern(rig->memory + RIG_OUT, 4096);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 3, 4096, 0), OK);
    assert_int_equal(rig->used_length, 1);
    assert_memory_equal(rig_store_bytes(rig) + 3 * 512, rig->memory + RIG_OUT, 4096);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 3, 0, 4096), OK);
    assert_int_equal(rig->used_length, 4097);
    assert_memory_equal(rig->memory + RIG_IN, rig->memory + RIG_OUT, 4096);
    assert_string_equal(rig_store_log(rig), "WR");
}

/* Cuts a write of 1024 bytes and its read everywhere: clause V-2.7.4.1-1. */
static void framing_does_not_matter_V_2_7_4_1_1(void **state)
{
    struct block_rig *rig = *state;
    unsigned char *memory = rig->memory;
    for (uint32_t cut = 1; cut < 16 + 1024; cut += 37) {
        uint32_t head;
        fill_pattern(memory + RIG_HEADER + 16, 1024);
        memory[RIG_HEADER + 16] = (unsigned char)cut;
        block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_OUT, 7);
        block_rig_piece(rig, 0, RIG_HEADER, cut, false);
        block_rig_piece(rig, 0, RIG_HEADER + cut, 16 + 1024 - cut, false);
        memory[RIG_IN] = RIG_POISON;
        block_rig_piece(rig, 0, RIG_IN, 1, true);
        block_rig_publish(rig, 0);
        l4vio_device_block_process(&rig->block, 0, 1);
        assert_true(block_rig_used(rig, 0, &head));
        assert_int_equal(memory[RIG_IN], OK);
        assert_memory_equal(rig_store_bytes(rig) + 7 * 512, memory + RIG_HEADER + 16, 1024);

        /* Header byte by byte; the status in one piece with the end of the data. */
        uint32_t end = cut < 1024 ? cut : 1024;
        block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 7);
        for (uint32_t i = 0; i < 16; i++)
            block_rig_piece(rig, 0, RIG_HEADER + i, 1, false);
        memset(memory + RIG_IN, RIG_POISON, 1025);
        block_rig_piece(rig, 0, RIG_IN, end, true);
        block_rig_piece(rig, 0, RIG_IN + end, 1025 - end, true);
        block_rig_publish(rig, 0);
        l4vio_device_block_process(&rig->block, 0, 1);
        assert_true(block_rig_used(rig, 0, &head));
        assert_int_equal(memory[RIG_IN + 1024], OK);
        assert_int_equal(rig->used_length, 1025);
        assert_memory_equal(memory + RIG_IN, memory + RIG_HEADER + 16, 1024);
    }
}

static void empty_descriptors_do_not_matter(void **state)
{
    struct block_rig *rig = *state;
    block_rig_header(rig, RIG_HEADER, VIRTIO_BLK_T_IN, 0);
    block_rig_piece(rig, 0, RIG_HEADER, 0, false);
    block_rig_piece(rig, 0, RIG_HEADER, 16, false);
    block_rig_piece(rig, 0, RIG_IN, 0, true);
    block_rig_piece(rig, 0, RIG_IN, 513, true);
    block_rig_piece(rig, 0, RIG_IN + 513, 0, true);
    block_rig_publish(rig, 0);
    rig->memory[RIG_IN + 512] = RIG_POISON;
    l4vio_device_block_process(&rig->block, 0, 1);
    assert_true(block_rig_used(rig, 0, NULL));
    assert_int_equal(rig->memory[RIG_IN + 512], OK);
}

static void capacity_is_the_limit_without_overflow(void **state)
{
    struct block_rig *rig = *state;
    static const uint64_t outside[] = {RIG_SECTORS - 1,   RIG_SECTORS,     RIG_SECTORS + 1,
                                       UINT64_MAX,        UINT64_MAX - 1,  UINT64_C(1) << 55,
                                       UINT64_C(1) << 63, UINT64_MAX / 512};
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, RIG_SECTORS - 2, 0, 1024), OK);
    for (unsigned i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
        assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, outside[i], 0, 1024), IOERR);
        assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, outside[i], 1024, 0), IOERR);
    }
    assert_string_equal(rig_store_log(rig), "R");
}

static void length_is_whole_sectors(void **state)
{
    struct block_rig *rig = *state;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 511), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 513), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 1, 0), IOERR);
    assert_string_equal(rig_store_log(rig), "");
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 0, 0), OK);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, RIG_SECTORS, 0, 0), OK);
    assert_string_equal(rig_store_log(rig), "");
}

/* Every byte that the length covers was written: clause V-2.7.8.2-2. */
static void used_length_is_honest_V_2_7_8_2_2(void **state)
{
    struct block_rig *rig = *state;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, RIG_SECTORS, 0, 512), IOERR);
    assert_int_equal(rig->used_length, 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, RIG_SECTORS, 512, 0), IOERR);
    assert_int_equal(rig->used_length, 1);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 512, 8), OK);
    assert_int_equal(rig->used_length, 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_GET_ID, 0, 0, 30), OK);
    assert_int_equal(rig->used_length, 20);
    rig->store.fail_op = 'R';
    rig->store.fail_code = L4VIO_EIO;
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 512), IOERR);
    assert_int_equal(rig->used_length, 0);
}

static void identity_is_padded_with_zeroes(void **state)
{
    struct block_rig *rig = *state;
    static const char id[VIRTIO_BLK_ID_BYTES] = "rig";
    memset(rig->memory + RIG_IN, 0xff, 32);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_GET_ID, 0, 0, 20), OK);
    assert_int_equal(rig->used_length, 21);
    assert_memory_equal(rig->memory + RIG_IN, id, sizeof(id));
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_GET_ID, 0, 0, 4), OK);
    assert_int_equal(rig->used_length, 5);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_GET_ID, 0, 0, 0), OK);
}

static void unknown_types_are_unsupported_V_5_2_6_2_16(void **state)
{
    struct block_rig *rig = *state;
    static const uint32_t types[] = {2, 3, 5, 7, 10, 14, 15, 16, 18, 20, 22, 24, 26, UINT32_MAX};
    for (unsigned i = 0; i < sizeof(types) / sizeof(*types); i++)
        assert_int_equal(block_rig_do(rig, types[i], 0, 512, 512), UNSUPP);
    assert_string_equal(rig_store_log(rig), "");
}

static void requests_need_their_feature(void **state)
{
    struct block_rig *rig = *state;
    block_rig_range(rig, 0, 0, 1, 0);
    renegotiate(rig, VIRTIO_BLK_F_DISCARD);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 16, 0), UNSUPP);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0), OK);
    renegotiate(rig, VIRTIO_BLK_F_WRITE_ZEROES);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0), UNSUPP);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_FLUSH, 0, 0, 0), OK);
    renegotiate(rig, VIRTIO_BLK_F_FLUSH);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_FLUSH, 0, 0, 0), UNSUPP);
    assert_string_equal(rig_store_log(rig), "ZF");
}

static void errors_of_the_store_are_io_errors(void **state)
{
    struct block_rig *rig = *state;
    static const struct {
        char op;
        int code;
        uint32_t type, out, in;
    } cases[] = {
        {'R', L4VIO_EIO, VIRTIO_BLK_T_IN, 0, 512},
        {'W', L4VIO_ENOSPC, VIRTIO_BLK_T_OUT, 512, 0},
        {'F', L4VIO_EIO, VIRTIO_BLK_T_FLUSH, 0, 0},
        {'D', L4VIO_EIO, VIRTIO_BLK_T_DISCARD, 16, 0},
        {'Z', L4VIO_ENOSPC, VIRTIO_BLK_T_WRITE_ZEROES, 16, 0},
    };
    struct l4vio_device_block_counters counters;
    block_rig_range(rig, 0, 0, 1, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        block_rig_range(rig, 0, 0, 1, 0);
        rig->store.fail_op = cases[i].op;
        rig->store.fail_code = cases[i].code;
        assert_int_equal(block_rig_do(rig, cases[i].type, 0, cases[i].out, cases[i].in), IOERR);
    }
    l4vio_device_block_counters_read(&rig->block, &counters);
    assert_int_equal(counters.errors, 5);
    assert_int_equal(counters.reads, 1);
    assert_int_equal(counters.read_bytes, 0);
    assert_int_equal(counters.written_bytes, 0);
}

static void read_only_device_writes_nothing_V_5_2_6_2_3(void **state)
{
    struct block_rig *rig = block_rig_new();
    (void)state;
    rig->config.read_only = true;
    block_rig_start(rig);
    assert_true(l4vio_features_has(&rig->accept, VIRTIO_BLK_F_RO));
    assert_false(l4vio_features_has(&rig->accept, VIRTIO_BLK_F_DISCARD));
    assert_false(l4vio_features_has(&rig->accept, VIRTIO_BLK_F_WRITE_ZEROES));
    /* Also for a driver that does not want to know. */
    l4vio_features_clear(&rig->accept, VIRTIO_BLK_F_RO);
    block_rig_live(rig);
    memset(rig->memory + RIG_OUT, 0, 64);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_OUT, 0, 512, 0), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 16, 0), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_IN, 0, 0, 512), OK);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_FLUSH, 0, 0, 0), OK);
    assert_string_equal(rig_store_log(rig), "RF");
    block_rig_free(rig);
}

static void discard_with_any_flag_is_unsupported_V_5_2_6_2_5(void **state)
{
    struct block_rig *rig = *state;
    block_rig_range(rig, 0, 0, 1, VIRTIO_BLK_RANGE_F_UNMAP);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 16, 0), UNSUPP);
    block_rig_range(rig, 0, 0, 1, 0);
    block_rig_range(rig, 1, 0, 1, 0x80000000u);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 32, 0), UNSUPP);
    assert_string_equal(rig_store_log(rig), "");
}

static void unknown_flags_are_unsupported_V_5_2_6_2_4(void **state)
{
    struct block_rig *rig = *state;
    /* Even if the range is outside as well. */
    block_rig_range(rig, 0, RIG_SECTORS, 1, 0);
    block_rig_range(rig, 1, 0, 1, 2);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0), UNSUPP);
    assert_string_equal(rig_store_log(rig), "");
}

static void zeroed_ranges_read_as_zeroes_V_5_2_6_2_8(void **state)
{
    struct block_rig *rig = *state;
    unsigned char *bytes = rig_store_bytes(rig);
    memset(bytes, 0xaa, RIG_STORE_BYTES);
    block_rig_range(rig, 0, 1, 1, 0);
    block_rig_range(rig, 1, 0, 0, 0);
    block_rig_range(rig, 2, 100, 64, VIRTIO_BLK_RANGE_F_UNMAP);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 48, 0), OK);
    assert_string_equal(rig_store_log(rig), "ZU");
    for (uint32_t sector = 0; sector < RIG_SECTORS; sector++) {
        bool zero = sector == 1 || (sector >= 100 && sector < 164);
        assert_int_equal(bytes[sector * 512], zero ? 0 : 0xaa);
        assert_int_equal(bytes[sector * 512 + 511], zero ? 0 : 0xaa);
    }
}

static void ranges_are_checked_before_any_is_carried_out(void **state)
{
    struct block_rig *rig = *state;
    static const struct {
        uint64_t sector;
        uint32_t sectors;
    } bad[] = {
        {RIG_SECTORS, 1}, {RIG_SECTORS - 1, 2},   {UINT64_MAX, 1},
        {UINT64_MAX, 2},  {0, RIG_SECTORS + 1},   {0, L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX + 1},
        {0, UINT32_MAX},  {UINT64_C(1) << 55, 8},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        block_rig_range(rig, 0, 0, 1, 0);
        block_rig_range(rig, 1, bad[i].sector, bad[i].sectors, 0);
        assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 32, 0), IOERR);
        assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0), IOERR);
    }
    assert_string_equal(rig_store_log(rig), "");
}

static void sixteen_records_are_taken_and_no_more(void **state)
{
    struct block_rig *rig = *state;
    for (unsigned i = 0; i < 17; i++)
        block_rig_range(rig, i, i, 1, 0);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 16 * 16, 0), OK);
    assert_string_equal(rig_store_log(rig), "DDDDDDDDDDDDDDDD");
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 17 * 16, 0), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 17, 0), IOERR);
    assert_int_equal(block_rig_do(rig, VIRTIO_BLK_T_DISCARD, 0, 0, 0), IOERR);
    assert_int_equal(rig->store.log_count, 16);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(written_data_reads_back),
        CASE(framing_does_not_matter_V_2_7_4_1_1),
        CASE(empty_descriptors_do_not_matter),
        CASE(capacity_is_the_limit_without_overflow),
        CASE(length_is_whole_sectors),
        CASE(used_length_is_honest_V_2_7_8_2_2),
        CASE(identity_is_padded_with_zeroes),
        CASE(unknown_types_are_unsupported_V_5_2_6_2_16),
        CASE(requests_need_their_feature),
        CASE(errors_of_the_store_are_io_errors),
        cmocka_unit_test(read_only_device_writes_nothing_V_5_2_6_2_3),
        CASE(discard_with_any_flag_is_unsupported_V_5_2_6_2_5),
        CASE(unknown_flags_are_unsupported_V_5_2_6_2_4),
        CASE(zeroed_ranges_read_as_zeroes_V_5_2_6_2_8),
        CASE(ranges_are_checked_before_any_is_carried_out),
        CASE(sixteen_records_are_taken_and_no_more),
    };
    return cmocka_run_group_tests_name("device_block", tests, NULL, NULL);
}
