/* SPDX-License-Identifier: MIT */
/* A hostile block device: what it may answer to a request, and what the driver makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

struct attack {
    bool write_status;
    uint8_t status;
    bool set_length;
    uint32_t length;
    unsigned times;
    bool raw_id;
    uint32_t id;
    uint16_t last_head; /* Of the last chain that was taken. */
};

static struct attack attack;

static void serve(struct scripted_disk *rig, uint32_t queue, const struct l4vio_device_chain *chain)
{
    uint8_t status;
    uint32_t length = rig_carry_out(rig, queue, chain, &status);

    attack.last_head = chain->head;
    if (attack.write_status)
        rig_set_status(chain, attack.status);
    if (attack.set_length)
        length = attack.length;
    for (unsigned i = 0; i < attack.times; i++)
        rig_answer_raw(rig, queue, attack.raw_id ? attack.id : chain->head, length);
}

static int setup(void **state)
{
    struct scripted_disk *rig = rig_started();
    rig->serve = serve;
    attack = (struct attack){.write_status = true, .times = 1};
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* One request of 1024 bytes; returns its result, or that of the wait. */
static int run(struct scripted_disk *rig, enum l4vio_block_type type)
{
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig_prepare(rig, &request, 0, &segment, type, 0, 0, 1024);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    int result = l4vio_block_wait(&rig->block, &request, rig_soon(rig));
    if (result < 0) {
        assert_true(request.in_flight);
        l4vio_block_close(&rig->block);
        assert_int_equal(L4VIO_ECANCELED, request.result);
        return result;
    }
    return request.result;
}

static void status_decides_and_unknown_ones_are_an_error(void **state)
{
    struct scripted_disk *rig = *state;
    static const struct {
        uint8_t status;
        int result;
    } rows[] = {
        {0, L4VIO_OK},          {1, L4VIO_EIO},         {2, L4VIO_ENOSYS},
        {3, L4VIO_EBADPROTO},   {6, L4VIO_EBADPROTO},   {0x80, L4VIO_EBADPROTO},
        {254, L4VIO_EBADPROTO}, {255, L4VIO_EBADPROTO},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        attack.status = rows[i].status;
        assert_int_equal(rows[i].result, run(rig, L4VIO_BLOCK_READ));
        assert_int_equal(rows[i].result, run(rig, L4VIO_BLOCK_WRITE));
        assert_int_equal(rows[i].result, run(rig, L4VIO_BLOCK_FLUSH));
        assert_int_equal(rows[i].result, run(rig, L4VIO_BLOCK_DISCARD));
    }
}

static void status_that_was_never_written_is_an_error(void **state)
{
    struct scripted_disk *rig = *state;

    /* A good request first: its status must not be taken for that of the next. */
    assert_int_equal(0, run(rig, L4VIO_BLOCK_WRITE));
    attack.write_status = false;
    assert_int_equal(L4VIO_EBADPROTO, run(rig, L4VIO_BLOCK_WRITE));
    assert_int_equal(L4VIO_EBADPROTO, run(rig, L4VIO_BLOCK_READ));
}

/* Clauses D-2.7.8.3-1a and D-2.7.8.3-1b. */
static void read_that_says_ok_but_wrote_less_is_an_error(void **state)
{
    struct scripted_disk *rig = *state;
    static const struct {
        uint32_t length;
        int result;
    } rows[] = {
        {0, L4VIO_EBADPROTO},    {1, L4VIO_EBADPROTO}, {512, L4VIO_EBADPROTO},
        {1023, L4VIO_EBADPROTO}, {1024, L4VIO_OK},     {1025, L4VIO_OK},
    };
    attack.set_length = true;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        attack.length = rows[i].length;
        assert_int_equal(rows[i].result, run(rig, L4VIO_BLOCK_READ));
        /* Stock servers report all kinds of lengths for what they did not write. */
        assert_int_equal(0, run(rig, L4VIO_BLOCK_WRITE));
        assert_int_equal(0, run(rig, L4VIO_BLOCK_FLUSH));
    }
}

static void length_that_is_too_large_is_clamped(void **state)
{
    struct scripted_disk *rig = *state;

    attack.set_length = true;
    attack.length = UINT32_MAX;
    assert_int_equal(0, run(rig, L4VIO_BLOCK_READ));
    assert_int_equal(0, run(rig, L4VIO_BLOCK_WRITE));
    assert_memory_equal(rig->data.base, rig->disk, 1024);
}

static void identity_is_what_was_written_and_ends(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    char id[VIRTIO_BLK_ID_BYTES + 1];
    static const uint32_t lengths[] = {UINT32_MAX, 21, 20, 5, 0};

    attack.set_length = true;
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        attack.length = lengths[i];
        rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_GET_ID, 0, 0, 512);
        assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
        assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
        memset(id, 'x', sizeof(id));
        l4vio_block_request_id(&request, id);
        assert_int_equal(lengths[i] < 20 ? lengths[i] : 20, strlen(id));
    }
}

static void wrong_used_id_breaks_the_queue_and_keeps_the_memory(void **state)
{
    struct scripted_disk *rig = *state;
    static const uint32_t ids[] = {64, 63, 0xffff, 0x10000, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (i) {
            rig_free(rig);
            rig = rig_started();
            rig->serve = serve;
            *state = rig;
        }
        attack.raw_id = true;
        attack.id = ids[i];
        assert_int_equal(L4VIO_EBADPROTO, run(rig, L4VIO_BLOCK_READ));
    }
}

static void second_completion_of_a_request_breaks_the_queue(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request requests[2];
    struct l4vio_block_segment segments[2];
    struct l4vio_error error = {0};

    attack.times = 0;
    for (unsigned i = 0; i < 2; i++) {
        rig_prepare(rig, &requests[i], i, &segments[i], L4VIO_BLOCK_READ, 0, i * 512, 512);
        assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &requests[i], &error));
    }
    rig_pump(rig);
    rig_answer_raw(rig, 0, attack.last_head, 513);
    assert_int_equal(1, l4vio_block_poll(&rig->block, 0, 8));
    assert_false(requests[1].in_flight);
    rig_answer_raw(rig, 0, attack.last_head, 513);
    assert_int_equal(L4VIO_EBADPROTO, l4vio_block_poll(&rig->block, 0, 8));
    assert_true(requests[0].in_flight);
    assert_int_equal(L4VIO_EBADPROTO, l4vio_block_submit(&rig->block, 0, &requests[1], &error));
    /* Other queues go on, and recovery brings this one back. */
    attack.times = 1;
    assert_int_equal(0, l4vio_block_submit(&rig->block, 1, &requests[1], &error));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &requests[1], rig_soon(rig)));
    assert_int_equal(0, l4vio_block_recover(&rig->block, &error));
    assert_int_equal(L4VIO_ECANCELED, requests[0].result);
    assert_int_equal(0, run(rig, L4VIO_BLOCK_READ));
}

static void more_completions_than_requests_break_the_queue(void **state)
{
    struct scripted_disk *rig = *state;

    attack.times = 2;
    assert_int_equal(L4VIO_EBADPROTO, run(rig, L4VIO_BLOCK_READ));
}

static void device_that_never_answers_costs_the_deadline(void **state)
{
    struct scripted_disk *rig = *state;

    attack.times = 0;
    assert_int_equal(L4VIO_ETIMEDOUT, run(rig, L4VIO_BLOCK_READ));
}

/* Answers the first part at once and withholds the second: the request is not done. */
static void serve_first_part(struct scripted_disk *rig, uint32_t queue,
                             const struct l4vio_device_chain *chain)
{
    if (rig->logged == 0)
        rig_serve_honestly(rig, queue, chain);
}

static void half_a_request_is_no_completion(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->serve = serve_first_part;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 65536);
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_true(request.in_flight);
    assert_int_equal(32768, request.done_bytes);
    l4vio_block_close(&rig->block);
}

/* Writes over everything that it was given, readable or not, before it answers. */
static void serve_scribbling(struct scripted_disk *rig, uint32_t queue,
                             const struct l4vio_device_chain *chain)
{
    uint8_t status;
    uint32_t length = rig_carry_out(rig, queue, chain, &status);
    for (unsigned i = 0; i < chain->readable; i++)
        memset(chain->segments[i].base, 0xee, chain->segments[i].length_bytes);
    rig_set_status(chain, status);
    rig_answer(rig, queue, chain->head, length);
}

static void header_that_the_device_overwrote_is_not_believed(void **state)
{
    struct scripted_disk *rig = *state;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;

    rig->serve = serve_scribbling;
    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_DISCARD, 0, 0, 512);
    request.sector_count = 300;
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(0, request.result);
    assert_int_equal(300 * 512, request.done_bytes);
    assert_int_equal(5, rig->logged);
    assert_int_equal(256, l4vio_swap64(rig->log[4].range.sector));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(status_decides_and_unknown_ones_are_an_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(status_that_was_never_written_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(read_that_says_ok_but_wrote_less_is_an_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(length_that_is_too_large_is_clamped, setup, teardown),
        cmocka_unit_test_setup_teardown(identity_is_what_was_written_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_used_id_breaks_the_queue_and_keeps_the_memory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(second_completion_of_a_request_breaks_the_queue, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_completions_than_requests_break_the_queue, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(device_that_never_answers_costs_the_deadline, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(half_a_request_is_no_completion, setup, teardown),
        cmocka_unit_test_setup_teardown(header_that_the_device_overwrote_is_not_believed, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
