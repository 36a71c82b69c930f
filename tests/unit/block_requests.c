/* SPDX-License-Identifier: MIT */
/* Asynchronous requests: every type, the parts they are cut into, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

static int setup(void **state)
{
    *state = rig_started();
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* Submits to queue 0, waits, returns the outcome. */
static int run(struct scripted_disk *rig, struct l4vio_block_request *request)
{
    struct l4vio_error error = {0};
    int result = l4vio_block_submit(&rig->block, 0, request, &error);
    if (result < 0)
        return result;
    assert_int_equal(0, l4vio_block_wait(&rig->block, request, rig_soon(rig)));
    assert_false(request->in_flight);
    return request->result;
}

static void read_brings_the_bytes_of_the_disk(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 3, 512, 1024);
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(1024, request.done_bytes);
    assert_memory_equal((uint8_t *)rig->data.base + 512, rig->disk + 3 * 512, 1024);
    assert_int_equal(1, rig->logged);
}

static void write_changes_the_disk_and_nothing_else(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    uint8_t before[RIG_DISK_BYTES];

    memcpy(before, rig->disk, sizeof(before));
    memset(rig->data.base, 0xa5, 4096);
    rig_prepare(rig, &request, 5, &segment, L4VIO_BLOCK_WRITE, 8, 0, 2048);
    assert_int_equal(0, run(rig, &request));
    memset(before + 8 * 512, 0xa5, 2048);
    assert_memory_equal(before, rig->disk, sizeof(before));
}

static void flush_and_get_id_carry_no_sector(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    char id[VIRTIO_BLK_ID_BYTES + 1];

    rig_prepare(rig, &request, 1, &segment, L4VIO_BLOCK_FLUSH, 77, 0, 512);
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(0, rig->log[0].sector);
    assert_int_equal(16, rig->log[0].readable_bytes);
    assert_int_equal(1, rig->log[0].writable_bytes);

    rig_prepare(rig, &request, 1, &segment, L4VIO_BLOCK_GET_ID, 77, 0, 512);
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(0, rig->log[1].sector);
    assert_int_equal(VIRTIO_BLK_ID_BYTES + 1, rig->log[1].writable_bytes);
    l4vio_block_request_id(&request, id);
    assert_string_equal("twenty characters id", id);
}

/* Clauses D-2.8.17-1 and D-2.8.19-3. */
static void large_transfer_goes_in_parts_within_size_max_and_seg_max(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    /* 8 buffers of 4096 bytes per part. */
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 200 * 1024);
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(200 * 1024, request.done_bytes);
    assert_memory_equal(rig->data.base, rig->disk, 200 * 1024);
    assert_int_equal(7, rig->logged);
    for (unsigned i = 0; i < rig->logged; i++) {
        assert_int_equal(i * 64, rig->log[i].sector);
        assert_in_range(rig->log[i].writable, 2, 9);
        assert_true(rig->log[i].largest_bytes <= 4096);
    }
}

static void parts_end_at_sectors_whatever_the_segments(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segments[24];
    uint64_t offset = 0;

    /* Odd pieces: 100, 300, 700, 100, ... : a part of 8 of them never ends at a sector. */
    rig_prepare(rig, &request, 0, segments, L4VIO_BLOCK_READ, 2, 0, 512);
    for (unsigned i = 0; i < 24; i++) {
        uint64_t length = i == 23 ? 0 : i % 3 == 0 ? 100u : i % 3 == 1 ? 300u : 700u;
        if (i == 23)
            length = (512u - offset % 512u) + 512u;
        segments[i] = (struct l4vio_block_segment){&rig->data, offset, length};
        offset += length;
    }
    request.segment_count = 24;
    assert_int_equal(0, offset % 512);
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(offset, request.done_bytes);
    assert_memory_equal(rig->data.base, rig->disk + 1024, offset);
    assert_true(rig->logged >= 3);
    for (unsigned i = 0; i < rig->logged; i++) {
        assert_int_equal(0, (rig->log[i].writable_bytes - 1) % 512);
        assert_in_range(rig->log[i].writable, 2, 9);
    }
}

static void sector_in_more_pieces_than_a_part_has_is_refused(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segments[16];
    struct l4vio_error error = {0};

    /* The first part is good: the refusal must come before anything was sent. */
    rig_prepare(rig, &request, 0, segments, L4VIO_BLOCK_WRITE, 0, 0, 4096);
    segments[0].length_bytes = 1024;
    for (unsigned i = 1; i < 16; i++)
        segments[i] = (struct l4vio_block_segment){&rig->data, 8192 + i * 64, i == 15 ? 64 : 32};
    request.segment_count = 16;
    assert_int_equal(L4VIO_E2BIG, l4vio_block_submit(&rig->block, 0, &request, &error));
    assert_non_null(strstr(error.text, "queue too small for a request"));
    assert_false(request.in_flight);
    assert_int_equal(0, rig->logged);
}

static void discard_is_split_at_limit_and_alignment(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_DISCARD, 3, 0, 512);
    request.sector_count = 200;
    request.unmap = true;
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(200 * 512, request.done_bytes);
    uint64_t next = 3;
    for (unsigned i = 0; i < rig->logged; i++) {
        const struct virtio_blk_range *range = &rig->log[i].range;
        assert_int_equal(0, rig->log[i].sector);
        assert_int_equal(32, rig->log[i].readable_bytes);
        assert_int_equal(next, l4vio_swap64(range->sector));
        assert_true(l4vio_swap32(range->num_sectors) <= 64);
        /* Clause D-5.2.6.1-14: unmap is for WRITE_ZEROES only. */
        assert_int_equal(0, l4vio_swap32(range->flags));
        next += l4vio_swap32(range->num_sectors);
        assert_true(next == 203 || next % 8 == 0);
    }
    assert_int_equal(203, next);
    assert_int_equal(0, rig->disk[202 * 512]);
}

static void write_zeroes_is_split_and_says_unmap(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_WRITE_ZEROES, 1, 0, 512);
    request.sector_count = 100;
    request.unmap = true;
    assert_int_equal(0, run(rig, &request));
    assert_int_equal(3, rig->logged);
    assert_int_equal(48, l4vio_swap32(rig->log[0].range.num_sectors));
    assert_int_equal(4, l4vio_swap32(rig->log[2].range.num_sectors));
    assert_int_equal(VIRTIO_BLK_RANGE_F_UNMAP, l4vio_swap32(rig->log[2].range.flags));
}

/* Fails the second part. */
static void serve_second_fails(struct scripted_disk *rig, uint32_t queue,
                               const struct l4vio_device_chain *chain)
{
    uint8_t status;
    uint32_t length = rig_carry_out(rig, queue, chain, &status);
    rig_set_status(chain, rig->logged == 2 ? VIRTIO_BLK_S_IOERR : status);
    rig_answer(rig, queue, chain->head, length);
}

static void failed_part_stops_the_request_and_done_bytes_tells_how_far(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->serve = serve_second_fails;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 128 * 1024);
    assert_int_equal(L4VIO_EIO, run(rig, &request));
    assert_int_equal(VIRTIO_BLK_S_IOERR, request.status);
    assert_int_equal(32 * 1024, request.done_bytes);
    assert_int_equal(2, rig->logged);
}

static void wrong_requests_are_refused(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    struct l4vio_error error = {0};
    struct l4vio_block *block = &rig->block;
    uint64_t end = RIG_DISK_BYTES / 512;

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 511);
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add(block, 0, &request, &error));
    segment.length_bytes = 0;
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add(block, 0, &request, &error));
    request.segment_count = 0;
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add(block, 0, &request, &error));
    rig_prepare(rig, &request, 0, &segment, (enum l4vio_block_type)5, 0, 0, 512);
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add(block, 0, &request, &error));

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 512);
    assert_int_equal(L4VIO_ERANGE, l4vio_block_add(block, RIG_QUEUES, &request, &error));
    request.sector = end;
    assert_int_equal(L4VIO_ERANGE, l4vio_block_add(block, 0, &request, &error));
    request.sector = UINT64_MAX;
    assert_int_equal(L4VIO_ERANGE, l4vio_block_add(block, 0, &request, &error));
    request.type = L4VIO_BLOCK_DISCARD;
    request.sector = 1;
    request.sector_count = UINT64_MAX;
    assert_int_equal(L4VIO_ERANGE, l4vio_block_add(block, 0, &request, &error));
    request.sector_count = 0;
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add(block, 0, &request, &error));

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 256 * 1024 - 512, 1024);
    assert_int_equal(L4VIO_EFAULT, l4vio_block_add(block, 0, &request, &error));
    segment.offset_bytes = UINT64_MAX - 511;
    assert_int_equal(L4VIO_EFAULT, l4vio_block_add(block, 0, &request, &error));

    memset(&request, 0, sizeof(request));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add(block, 0, &request, &error));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_request_init(&request, &rig->shared, 32));
    assert_int_equal(L4VIO_EFAULT, l4vio_block_request_init(&request, &rig->shared, 64 * 64));
    assert_int_equal(0, rig->logged);
}

static void request_in_flight_is_refused_and_a_full_queue_says_again(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request requests[64];
    struct l4vio_block_segment segments[64];
    unsigned added = 0;
    int result = 0;

    while (added < 64 && result == 0) {
        rig_prepare(rig, &requests[added], added, &segments[added], L4VIO_BLOCK_READ, added,
                    added * 512u, 512);
        result = l4vio_block_add(&rig->block, 0, &requests[added], NULL);
        if (result == 0)
            added++;
    }
    assert_int_equal(L4VIO_EAGAIN, result);
    assert_int_equal(64 / 3, added);
    assert_int_equal(L4VIO_EBUSY, l4vio_block_add(&rig->block, 0, &requests[0], NULL));
    /* Nothing was shown to the device yet. */
    rig_pump(rig);
    assert_int_equal(0, rig->logged);
    assert_true(l4vio_block_wait_room(&rig->block, 0, rig_soon(rig)) > 0);
    assert_int_equal(0, l4vio_block_add(&rig->block, 0, &requests[added], NULL));
    assert_int_equal(0, l4vio_block_drain(&rig->block, 0, rig_soon(rig)));
    for (unsigned i = 0; i <= added; i++)
        assert_int_equal(0, requests[i].result);
    assert_memory_equal(rig->data.base, rig->disk, (added + 1) * 512u);
}

static void requests_of_many_parts_share_a_small_queue(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request requests[12];
    struct l4vio_block_segment segments[12];

    rig->take_max = 1;
    for (unsigned i = 0; i < 240; i++)
        memset((uint8_t *)rig->data.base + i * 1024u, (int)i, 1024);
    for (unsigned i = 0; i < 12; i++) {
        int result;
        rig_prepare(rig, &requests[i], i, &segments[i], L4VIO_BLOCK_WRITE, i * 40, i * 20480,
                    20480);
        while ((result = l4vio_block_submit(&rig->block, 1, &requests[i], NULL)) == L4VIO_EAGAIN)
            assert_true(l4vio_block_wait_room(&rig->block, 1, rig_soon(rig)) >= 0);
        assert_int_equal(0, result);
    }
    assert_int_equal(0, l4vio_block_drain(&rig->block, 1, rig_soon(rig)));
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(0, requests[i].result);
        assert_int_equal(20480, requests[i].done_bytes);
    }
    assert_memory_equal(rig->data.base, rig->disk, 240 * 1024);
}

struct again {
    struct scripted_disk *rig;
    unsigned accepted;
    unsigned refused;
};

/* Takes the room that it had at once again, if it gets it. */
static void submit_again(struct l4vio_block_request *request, void *context)
{
    struct again *again = context;
    if (again->accepted == 1000)
        return;
    if (l4vio_block_submit(&again->rig->block, 2, request, NULL) == 0)
        again->accepted++;
    else
        again->refused++;
}

static void part_that_waits_for_room_is_not_starved_by_small_requests(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request large, small[20];
    struct l4vio_block_segment pieces[9], segments[20];
    struct again again = {.rig = rig};

    /* The first part is one buffer, as the pieces behind it make no sector within 8; the second 8. */
    rig->take_max = 2;
    rig_prepare(rig, &large, 31, pieces, L4VIO_BLOCK_READ, 0, 0, 512);
    for (unsigned i = 1; i < 9; i++)
        pieces[i] = (struct l4vio_block_segment){&rig->data, 448 + i * 64, 64};
    large.segment_count = 9;
    assert_int_equal(0, l4vio_block_submit(&rig->block, 2, &large, NULL));
    for (unsigned i = 0; i < 20; i++) {
        rig_prepare(rig, &small[i], i, &segments[i], L4VIO_BLOCK_READ, i * 8, 4096 + i * 4096,
                    4096);
        small[i].done = submit_again;
        small[i].context = &again;
        assert_int_equal(0, l4vio_block_submit(&rig->block, 2, &small[i], NULL));
    }
    assert_int_equal(1, l4vio_queue_room(&rig->queues[2]));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &large, rig_soon(rig)));
    assert_int_equal(0, large.result);
    assert_true(again.accepted < 100);
    assert_true(again.refused > 0);
    assert_memory_equal(rig->data.base, rig->disk, 1024);
    again.accepted = 1000;
    assert_int_equal(0, l4vio_block_drain(&rig->block, 2, rig_soon(rig)));
}

/* A device that takes 0.3 s for each part. */
static void serve_slowly(struct scripted_disk *rig, uint32_t queue,
                         const struct l4vio_device_chain *chain)
{
    rig->os.clock_ns += UINT64_C(300000000);
    rig_serve_honestly(rig, queue, chain);
}

/* The device answers before the driver gets to sleep. */
static void answer_at_once(void *self, const struct l4vio_trace_event *event)
{
    if (event->kind == L4VIO_TRACE_KICK)
        rig_pump(self);
}

static void parts_that_complete_do_not_extend_the_deadline(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_new();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    struct l4vio_trace trace = {answer_at_once, rig};

    rig->setup.driver.trace = &trace;
    rig->serve = serve_slowly;
    assert_int_equal(0, rig_start(rig, NULL));
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 200 * 1024);
    uint64_t deadline = rig_soon(rig);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_wait(&rig->block, &request, deadline));
    assert_true(request.in_flight);
    assert_in_range(request.done_bytes, 3 * 32768, 5 * 32768);
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, L4VIO_FOREVER));
    assert_int_equal(0, request.result);
    rig_free(rig);
}

static void poll_takes_no_more_than_asked(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request requests[4];
    struct l4vio_block_segment segments[4];

    for (unsigned i = 0; i < 4; i++) {
        rig_prepare(rig, &requests[i], i, &segments[i], L4VIO_BLOCK_READ, i, i * 512u, 512);
        assert_int_equal(0, l4vio_block_add(&rig->block, 3, &requests[i], NULL));
    }
    assert_int_equal(0, l4vio_block_kick(&rig->block, 3));
    rig_pump(rig);
    assert_int_equal(3, l4vio_block_poll(&rig->block, 3, 3));
    assert_int_equal(1, l4vio_block_poll(&rig->block, 3, 3));
    assert_int_equal(0, l4vio_block_poll(&rig->block, 3, 3));
    assert_int_equal(L4VIO_ERANGE, l4vio_block_poll(&rig->block, RIG_QUEUES, 3));
}

static void wait_times_out_and_takes_nothing_back(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->stalled = 1;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 512);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_drain(&rig->block, 0, rig_soon(rig)));
    assert_true(request.in_flight);
    assert_int_equal(L4VIO_EBUSY, l4vio_block_submit(&rig->block, 0, &request, NULL));
    rig->stalled = 0;
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(0, request.result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(read_brings_the_bytes_of_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(write_changes_the_disk_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_and_get_id_carry_no_sector, setup, teardown),
        cmocka_unit_test_setup_teardown(large_transfer_goes_in_parts_within_size_max_and_seg_max,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(parts_end_at_sectors_whatever_the_segments, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sector_in_more_pieces_than_a_part_has_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(discard_is_split_at_limit_and_alignment, setup, teardown),
        cmocka_unit_test_setup_teardown(write_zeroes_is_split_and_says_unmap, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_part_stops_the_request_and_done_bytes_tells_how_far,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_requests_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(request_in_flight_is_refused_and_a_full_queue_says_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(requests_of_many_parts_share_a_small_queue, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(part_that_waits_for_room_is_not_starved_by_small_requests,
                                        setup, teardown),
        cmocka_unit_test(parts_that_complete_do_not_extend_the_deadline),
        cmocka_unit_test_setup_teardown(poll_takes_no_more_than_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(wait_times_out_and_takes_nothing_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
