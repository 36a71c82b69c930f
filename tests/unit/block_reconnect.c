/* SPDX-License-Identifier: MIT */
/* The block driver over l4 while its server dies and somebody comes back, or nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <l4vio/block_sync.h>
#include <l4vio/session.h>

#include "reconnect_rig.h"

#define REQUESTS   16u
#define PIECE      4096u
#define LONG_MS    20000u
#define DISK_PIECE (RECONNECT_DISK_BYTES / PIECE)

struct fixture {
    struct reconnect_rig rig;
    struct l4vio_region data, shared;
    struct l4vio_block_segment segments[REQUESTS];
    struct l4vio_block_request requests[REQUESTS];
    unsigned done[REQUESTS]; /* Times that `done` was called. */
    unsigned order[REQUESTS];
    unsigned all_done;
};

static void count_done(struct l4vio_block_request *request, void *context)
{
    struct fixture *f = context;
    unsigned i = (unsigned)(request - f->requests);
    f->done[i]++;
    f->order[f->all_done++ % REQUESTS] = i;
}

static void make_requests(struct fixture *f)
{
    struct l4vio_driver *driver = &f->rig.block.driver;
    assert_int_equal(l4vio_driver_allocate(driver, REQUESTS * PIECE, &f->data, NULL), 0);
    assert_int_equal(l4vio_driver_allocate(driver, 4096, &f->shared, NULL), 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct l4vio_block_request *request = &f->requests[i];
        assert_int_equal(
            l4vio_block_request_init(request, &f->shared, (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES),
            0);
        f->segments[i] = (struct l4vio_block_segment){&f->data, (uint64_t)i * PIECE, PIECE};
        request->type = L4VIO_BLOCK_WRITE;
        request->segments = &f->segments[i];
        request->segment_count = 1;
        request->sector = (uint64_t)i * (PIECE / 512);
        request->done = count_done;
        request->context = f;
        memset((uint8_t *)f->data.base + (size_t)i * PIECE, (int)(i + 1), PIECE);
    }
}

static struct fixture *fixture_new(uint32_t queues)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    reconnect_rig_start(&f->rig, queues);
    return f;
}

static struct fixture *fixture_open(uint32_t queues)
{
    struct fixture *f = fixture_new(queues);
    reconnect_rig_open(&f->rig);
    make_requests(f);
    return f;
}

static void fixture_free(struct fixture *f)
{
    reconnect_rig_end(&f->rig);
    free(f);
}

static void submit_all(struct fixture *f)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(
            l4vio_block_submit(&f->rig.block, i % f->rig.block.queue_count, &f->requests[i], NULL),
            0);
}

static int come_back(struct fixture *f, struct l4vio_error *error)
{
    return l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, LONG_MS), error);
}

static void drain(struct fixture *f)
{
    for (uint32_t q = 0; q < f->rig.block.queue_count; q++)
        assert_int_equal(
            l4vio_block_drain(&f->rig.block, q, reconnect_rig_deadline(&f->rig, LONG_MS)), 0);
}

/* All were carried out, and `done` was called once for each. */
static void check_all_written(struct fixture *f)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(f->done[i], 1);
        assert_int_equal(f->requests[i].result, 0);
        assert_int_equal(f->requests[i].done_bytes, PIECE);
        assert_int_equal(reconnect_rig_image_byte(&f->rig, i * PIECE), i + 1);
    }
}

static void requests_in_flight_are_sent_again(void **state)
{
    struct fixture *f = fixture_open(2);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    assert_int_equal(l4vio_block_drain(&f->rig.block, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->all_done, 0);
    drain(f);
    check_all_written(f);
    assert_int_equal(f->rig.block.reconnects.count, 1);
    assert_int_equal(f->rig.block.reconnects.submitted_again, REQUESTS);
    assert_int_equal(f->rig.block.reconnects.failed, 0);
    fixture_free(f);
}

static struct fixture *fixture_with_record(void)
{
    struct fixture *f = fixture_new(2);
    f->rig.tracks_in_flight = true;
    reconnect_rig_open(&f->rig);
    make_requests(f);
    return f;
}

static void a_device_with_a_record_is_left_to_it(void **state)
{
    struct fixture *f = fixture_with_record();
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    /* Also if it dies once more in the middle of it. */
    f->rig.operations = 0;
    f->rig.kill_before = 12;
    assert_int_equal(come_back(f, NULL), 0);
    assert_true(f->rig.resumed >= 2);
    drain(f);
    check_all_written(f);
    assert_int_equal(f->rig.block.reconnects.submitted_again, 0);
    assert_int_equal(f->rig.block.reconnects.resumed, REQUESTS);
    fixture_free(f);
}

/* One that is there and well is reset before it is left: so it has no record any more. */
static void a_device_that_was_reset_has_no_record(void **state)
{
    struct fixture *f = fixture_with_record();
    (void)state;
    submit_all(f);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->rig.resumed, 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

/* The record is of all queues: one that cannot go on takes the others with it. */
static void all_queues_go_on_or_none(void **state)
{
    struct fixture *f = fixture_with_record();
    struct l4vio_queue *queue = &f->rig.queues[1];
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    /* More used than there is: written by a device gone mad. */
    ((uint16_t *)(uintptr_t)queue->used)[1] = 0x7fff;
    assert_int_equal(l4vio_block_poll(&f->rig.block, 1, 1), L4VIO_EBADPROTO);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->rig.resumed, 0);
    drain(f);
    check_all_written(f);
    assert_int_equal(f->rig.block.reconnects.submitted_again, REQUESTS);
    assert_int_equal(f->rig.block.reconnects.resumed, 0);
    fixture_free(f);
}

/* Both the last device and the new one need it: one has written it, the other reads it. */
static void without_a_record_of_the_last_device_everything_is_sent_again(void **state)
{
    (void)state;
    for (unsigned last_had_one = 0; last_had_one < 2; last_had_one++) {
        struct fixture *f = last_had_one ? fixture_with_record() : fixture_open(2);
        reconnect_rig_freeze(&f->rig);
        submit_all(f);
        reconnect_rig_kill(&f->rig);
        reconnect_rig_restart(&f->rig);
        f->rig.tracks_in_flight = !last_had_one;
        assert_int_equal(come_back(f, NULL), 0);
        assert_int_equal(f->rig.resumed, 0);
        drain(f);
        check_all_written(f);
        assert_int_equal(f->rig.block.reconnects.submitted_again, REQUESTS);
        fixture_free(f);
    }
}

static void an_idle_driver_comes_back_too(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->rig.block.reconnects.submitted_again, 0);
    submit_all(f);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

/* The wires of a server that is there and well are cut, too. */
static void a_device_that_lives_is_left_and_found_again(void **state)
{
    struct fixture *f = fixture_open(2);
    (void)state;
    submit_all(f);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

static void the_deadline_passes_and_another_call_finds_it(void **state)
{
    struct fixture *f = fixture_open(2);
    struct l4vio_error error = {0};
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    unlink(f->rig.server.path);
    uint64_t deadline_ns = reconnect_rig_deadline(&f->rig, 50);
    assert_int_equal(l4vio_block_reconnect(&f->rig.block, deadline_ns, &error), L4VIO_ETIMEDOUT);
    assert_string_equal(error.text, "the device did not come back in time");
    assert_true(reconnect_rig_deadline(&f->rig, 0) >= deadline_ns);
    /* Everything is still the caller's to wait for. */
    assert_int_equal(f->all_done, 0);
    assert_int_equal(l4vio_block_drain(&f->rig.block, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    struct l4vio_block_request extra;
    assert_int_equal(l4vio_block_request_init(&extra, &f->shared, 2048), 0);
    extra.type = L4VIO_BLOCK_FLUSH;
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &extra, NULL), L4VIO_EPIPE);
    assert_int_equal(l4vio_block_wait_room(&f->rig.block, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

static void closing_instead_cancels(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    assert_int_equal(l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, 0), NULL),
                     L4VIO_ETIMEDOUT);
    l4vio_block_close(&f->rig.block);
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(f->done[i], 1);
        assert_int_equal(f->requests[i].result, L4VIO_ECANCELED);
    }
    assert_int_equal(l4vio_block_reconnect(&f->rig.block, L4VIO_FOREVER, NULL), L4VIO_EPIPE);
    fixture_free(f);
}

/* Death before each of the operations of a reconnect, until it is past all of them. */
static void it_may_die_again_at_every_step(void **state)
{
    (void)state;
    for (unsigned step = 1;; step++) {
        struct fixture *f = fixture_open(2);
        assert_int_equal(l4vio_block_set_writeback(&f->rig.block, false, NULL), 0);
        reconnect_rig_freeze(&f->rig);
        submit_all(f);
        reconnect_rig_kill(&f->rig);
        reconnect_rig_restart(&f->rig);
        f->rig.operations = 0;
        f->rig.kill_before = step;
        assert_int_equal(come_back(f, NULL), 0);
        bool past_all = f->rig.operations < step;
        f->rig.kill_before = 0;
        /* The last steps are the kicks: who dies then is missed by the next wait. */
        if (l4vio_driver_fail_state(&f->rig.block.driver))
            assert_int_equal(come_back(f, NULL), 0);
        drain(f);
        check_all_written(f);
        fixture_free(f);
        if (past_all)
            return;
        assert_true(step < 200);
    }
}

/* Somebody is there and answers nothing: that is no excuse. */
static void a_server_that_hangs_does_not_stretch_the_deadline(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    f->rig.operations = 0;
    f->rig.freeze_before = 3;
    uint64_t latest_ns = reconnect_rig_deadline(&f->rig, 3000);
    assert_int_equal(
        l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, 300), NULL),
        L4VIO_ETIMEDOUT);
    assert_true(reconnect_rig_deadline(&f->rig, 0) < latest_ns);
    f->rig.freeze_before = 0;
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

/* Our own old connection may be what fills it. */
static void a_full_server_is_waited_for(void **state)
{
    struct fixture *f = fixture_open(1);
    struct l4vio_l4_client *other;
    struct l4vio_transport transport;
    (void)state;
    reconnect_rig_kill(&f->rig);
    f->rig.options.clients_max = 1;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(
        l4vio_l4_client_connect(f->rig.server.path, &f->rig.platform, 0, &other, &transport, NULL),
        0);
    assert_int_equal(
        l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, 50), NULL),
        L4VIO_ETIMEDOUT);
    l4vio_l4_client_free(other);
    assert_int_equal(come_back(f, NULL), 0);
    submit_all(f);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

static void parts_go_on_where_they_were(void **state)
{
    struct fixture *f = fixture_new(1);
    struct l4vio_block_segment segments[100];
    (void)state;
    /* Parts of 14 segments. */
    f->rig.config.queue_size = 16;
    reconnect_rig_open(&f->rig);
    make_requests(f);
    for (unsigned i = 0; i < 100; i++) {
        segments[i] = (struct l4vio_block_segment){&f->data, (uint64_t)i * 512, 512};
        memset((uint8_t *)f->data.base + (size_t)i * 512, (int)(i + 1), 512);
    }
    struct l4vio_block_request *request = &f->requests[0];
    request->segments = segments;
    request->segment_count = 100;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, request, NULL), 0);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    /* And in the middle of it. */
    while (request->done_bytes == 0)
        l4vio_block_poll(&f->rig.block, 0, 1);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    assert_int_equal(request->result, 0);
    assert_int_equal(request->done_bytes, 100 * 512);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(reconnect_rig_image_byte(&f->rig, i * 512), i + 1);
    fixture_free(f);
}

/* Completed and not yet seen: that is an outcome, and nothing is done again. */
static void what_was_completed_is_taken_first(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    f->requests[0].type = L4VIO_BLOCK_READ;
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
    while (!l4vio_queue_has_used(&f->rig.queues[0]))
        usleep(100);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->done[0], 1);
    assert_int_equal(f->requests[0].result, 0);
    assert_int_equal(f->rig.block.reconnects.submitted_again, 0);
    fixture_free(f);
}

/* The queue is read in the order of submission, whatever the order of the slots is. */
static void the_order_of_submission_is_kept(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    /* Mixes the free list. */
    for (unsigned round = 0; round < 3; round++) {
        submit_all(f);
        drain(f);
    }
    f->all_done = 0;
    reconnect_rig_freeze(&f->rig);
    unsigned first[REQUESTS];
    for (unsigned i = 0; i < REQUESTS; i++) {
        first[i] = (i * 7u + 3u) % REQUESTS;
        f->requests[first[i]].type = L4VIO_BLOCK_FLUSH;
        assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[first[i]], NULL), 0);
    }
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    for (unsigned i = 1; i < REQUESTS; i++)
        assert_true(f->requests[first[i - 1]].order < f->requests[first[i]].order ||
                    !f->requests[first[i - 1]].in_flight);
    drain(f);
    fixture_free(f);
}

static void check_named_failures(struct fixture *f, unsigned first, int result)
{
    drain(f);
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(f->done[i], 1);
        assert_int_equal(f->requests[i].result, i < first ? 0 : result);
    }
    assert_int_equal(f->rig.block.reconnects.failed, REQUESTS - first);
}

static void a_smaller_device_fails_what_is_past_its_end(void **state)
{
    struct fixture *f = fixture_open(2);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    assert_int_equal(truncate(f->rig.image, 10 * PIECE), 0);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->rig.block.info.capacity_sectors, 10 * PIECE / 512);
    check_named_failures(f, 10, L4VIO_ERANGE);
    fixture_free(f);
}

static void a_read_only_device_fails_writes(void **state)
{
    struct fixture *f = fixture_open(2);
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        f->requests[i].type = L4VIO_BLOCK_READ;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    f->rig.options.read_only = true;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_true(f->rig.block.info.read_only);
    check_named_failures(f, 6, L4VIO_EROFS);
    fixture_free(f);
}

static void larger_blocks_fail_what_does_not_fit_them(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    for (unsigned i = 8; i < REQUESTS; i++)
        f->segments[i].length_bytes = 512;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    f->rig.block_bytes = PIECE;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    check_named_failures(f, 8, L4VIO_EINVAL);
    fixture_free(f);
}

static void check_other_device(struct fixture *f, const char *text, uint64_t value)
{
    struct l4vio_error error = {0};
    assert_int_equal(come_back(f, &error), L4VIO_ENODEV);
    assert_string_equal(error.text, text);
    assert_int_equal(error.value, value);
    assert_int_equal(f->all_done, 0);
}

/* And when the right one is there in the end, all is well. */
static void fewer_queues_are_refused(void **state)
{
    struct fixture *f = fixture_open(3);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    f->rig.options.queue_count = 2;
    reconnect_rig_restart(&f->rig);
    check_other_device(f, "the device that came back has fewer queues than are in use", 2);
    reconnect_rig_kill(&f->rig);
    f->rig.options.queue_count = 4;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

static void a_feature_less_is_refused_and_one_more_is_not_taken(void **state)
{
    struct fixture *f = fixture_new(1);
    (void)state;
    f->rig.options.refused.word[0] = UINT32_C(1) << VIRTIO_BLK_F_DISCARD;
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    reconnect_rig_open(&f->rig);
    make_requests(f);
    const struct l4vio_features accepted = l4vio_driver_features(&f->rig.block.driver);
    assert_false(l4vio_driver_feature_negotiated(&f->rig.block.driver, VIRTIO_BLK_F_DISCARD));
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    f->rig.options.refused.word[0] = 0;
    reconnect_rig_restart(&f->rig);
    l4vio_features_set(&f->rig.hidden, L4VIO_F_EVENT_IDX);
    check_other_device(f, "the device that came back lacks a feature that is in use",
                       L4VIO_F_EVENT_IDX);
    l4vio_features_clear(&f->rig.hidden, L4VIO_F_EVENT_IDX);
    assert_int_equal(come_back(f, NULL), 0);
    const struct l4vio_features again = l4vio_driver_features(&f->rig.block.driver);
    assert_memory_equal(&accepted, &again, sizeof(accepted));
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

static void a_request_type_less_fails_those_requests(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    for (unsigned i = 12; i < REQUESTS; i++) {
        f->requests[i].type = L4VIO_BLOCK_DISCARD;
        f->requests[i].sector_count = 8;
    }
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    f->rig.options.refused.word[0] = UINT32_C(1) << VIRTIO_BLK_F_DISCARD;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    check_named_failures(f, 12, L4VIO_ENOSYS);
    fixture_free(f);
}

static void a_smaller_queue_is_refused(void **state)
{
    struct fixture *f = fixture_open(1);
    struct l4vio_error error = {0};
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    f->rig.options.queue_size_max = 32;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, &error), L4VIO_EINVAL);
    assert_int_equal(error.value, 32);
    f->rig.options.queue_size_max = 0;
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

static void the_cache_mode_is_chosen_again(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    assert_int_equal(l4vio_block_get_writeback(&f->rig.block), 1);
    assert_int_equal(l4vio_block_set_writeback(&f->rig.block, false, NULL), 0);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(l4vio_block_get_writeback(&f->rig.block), 0);
    assert_int_equal(l4vio_block_recover(&f->rig.block, NULL), 0);
    assert_int_equal(l4vio_block_get_writeback(&f->rig.block), 0);
    fixture_free(f);
}

static void submit_more(struct l4vio_block_request *request, void *context)
{
    struct fixture *f = context;
    count_done(request, context);
    request->type = L4VIO_BLOCK_READ;
    request->done = count_done;
    assert_int_equal(l4vio_block_submit(&f->rig.block, request->queue, request, NULL), 0);
}

/* `done` of a request that the new device does not take is called when the queue runs. */
static void done_may_submit(void **state)
{
    struct fixture *f = fixture_open(1);
    (void)state;
    f->requests[0].done = submit_more;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
    reconnect_rig_kill(&f->rig);
    f->rig.options.read_only = true;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    assert_int_equal(f->done[0], 1);
    drain(f);
    assert_int_equal(f->done[0], 2);
    assert_int_equal(f->requests[0].result, 0);
    fixture_free(f);
}

static struct fixture *fixture_by_itself(unsigned ms)
{
    struct fixture *f = fixture_new(1);
    f->rig.config.reconnect_ns = ms * UINT64_C(1000000);
    reconnect_rig_open(&f->rig);
    make_requests(f);
    return f;
}

static void waiting_calls_reconnect_by_themselves(void **state)
{
    struct fixture *f = fixture_by_itself(LONG_MS);
    struct l4vio_block_bounce bounces[4];
    struct l4vio_block_pool pool;
    uint8_t text[8192], back[8192];
    (void)state;
    assert_int_equal(l4vio_block_pool_init(&pool, &f->rig.block, 0, bounces, 4, 4096, NULL), 0);
    memset(text, 'x', sizeof(text));
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(
        l4vio_block_pool_write(&pool, 0, text, sizeof(text), L4VIO_FOREVER, NULL, NULL), 0);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(l4vio_block_pool_flush(&pool, L4VIO_FOREVER, NULL), 0);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(l4vio_block_pool_read(&pool, 0, back, sizeof(back), L4VIO_FOREVER, NULL, NULL),
                     0);
    assert_memory_equal(text, back, sizeof(text));
    assert_int_equal(f->rig.block.reconnects.count, 3);
    assert_int_equal(l4vio_block_pool_release(&pool, NULL), 0);
    fixture_free(f);
}

static void waiting_calls_give_up_in_time(void **state)
{
    struct fixture *f = fixture_by_itself(100);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    submit_all(f);
    reconnect_rig_kill(&f->rig);
    /* The caller's own deadline comes first, and is what it always is. */
    assert_int_equal(
        l4vio_block_wait(&f->rig.block, &f->requests[0], reconnect_rig_deadline(&f->rig, 5)),
        L4VIO_ETIMEDOUT);
    struct l4vio_block_request extra;
    assert_int_equal(l4vio_block_request_init(&extra, &f->shared, 2048), 0);
    extra.type = L4VIO_BLOCK_FLUSH;
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &extra, NULL), L4VIO_EAGAIN);
    uint64_t latest_ns = reconnect_rig_deadline(&f->rig, LONG_MS);
    assert_int_equal(l4vio_block_wait(&f->rig.block, &f->requests[0], L4VIO_FOREVER), L4VIO_EPIPE);
    assert_true(reconnect_rig_deadline(&f->rig, 0) < latest_ns);
    assert_int_equal(l4vio_block_wait_room(&f->rig.block, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(come_back(f, NULL), 0);
    drain(f);
    check_all_written(f);
    fixture_free(f);
}

/* The time runs anew each time that it goes away. */
static void each_return_has_its_own_time(void **state)
{
    struct fixture *f = fixture_by_itself(2000);
    (void)state;
    for (unsigned times = 1; times <= 2; times++) {
        uint64_t end_ns = reconnect_rig_deadline(&f->rig, 2100);
        reconnect_rig_kill(&f->rig);
        reconnect_rig_restart(&f->rig);
        f->requests[0].type = L4VIO_BLOCK_FLUSH;
        assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
        assert_int_equal(l4vio_block_wait(&f->rig.block, &f->requests[0], L4VIO_FOREVER), 0);
        assert_int_equal(f->rig.block.reconnects.count, times);
        if (times == 1)
            assert_int_equal(
                f->rig.platform.ops->wait(f->rig.platform.self, NULL, 0, L4VIO_NO_HANDLE, end_ns),
                L4VIO_ETIMEDOUT);
    }
    fixture_free(f);
}

/* A wait whose request finishes in the reconnect itself does not wait for another one. */
static void a_wait_notices_what_finished_while_reconnecting(void **state)
{
    struct fixture *f = fixture_by_itself(LONG_MS);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
    reconnect_rig_kill(&f->rig);
    f->rig.options.read_only = true;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(
        l4vio_block_wait(&f->rig.block, &f->requests[0], reconnect_rig_deadline(&f->rig, LONG_MS)),
        0);
    assert_int_equal(f->requests[0].result, L4VIO_EROFS);
    fixture_free(f);
}

static void sessions_reconnect_while_they_wait(void **state)
{
    struct fixture *f = fixture_open(1);
    struct l4vio_session_options options = {.reconnect_ns = LONG_MS * UINT64_C(1000000)};
    struct l4vio_session *session;
    struct l4vio_region region;
    struct l4vio_block_request request;
    (void)state;
    assert_int_equal(l4vio_session_open_block(f->rig.server.uri, &options, &session, NULL), 0);
    struct l4vio_block *block = l4vio_session_block(session);
    assert_int_equal(l4vio_driver_allocate(&block->driver, 4096, &region, NULL), 0);
    assert_int_equal(l4vio_block_request_init(&request, &region, 0), 0);
    request.type = L4VIO_BLOCK_FLUSH;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(block, 0, &request, NULL), 0);
    reconnect_rig_kill(&f->rig);
    reconnect_rig_restart(&f->rig);
    while (request.in_flight) {
        assert_int_equal(l4vio_session_wait(&session, 1, reconnect_rig_deadline(&f->rig, LONG_MS)),
                         0);
        l4vio_block_poll(block, 0, 1);
    }
    assert_int_equal(request.result, 0);
    assert_int_equal(block->reconnects.count, 1);
    l4vio_session_close(session);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_flight_are_sent_again),
        cmocka_unit_test(a_device_with_a_record_is_left_to_it),
        cmocka_unit_test(a_device_that_was_reset_has_no_record),
        cmocka_unit_test(all_queues_go_on_or_none),
        cmocka_unit_test(without_a_record_of_the_last_device_everything_is_sent_again),
        cmocka_unit_test(an_idle_driver_comes_back_too),
        cmocka_unit_test(a_device_that_lives_is_left_and_found_again),
        cmocka_unit_test(the_deadline_passes_and_another_call_finds_it),
        cmocka_unit_test(closing_instead_cancels),
        cmocka_unit_test(it_may_die_again_at_every_step),
        cmocka_unit_test(a_server_that_hangs_does_not_stretch_the_deadline),
        cmocka_unit_test(a_full_server_is_waited_for),
        cmocka_unit_test(parts_go_on_where_they_were),
        cmocka_unit_test(what_was_completed_is_taken_first),
        cmocka_unit_test(the_order_of_submission_is_kept),
        cmocka_unit_test(a_smaller_device_fails_what_is_past_its_end),
        cmocka_unit_test(a_read_only_device_fails_writes),
        cmocka_unit_test(larger_blocks_fail_what_does_not_fit_them),
        cmocka_unit_test(fewer_queues_are_refused),
        cmocka_unit_test(a_feature_less_is_refused_and_one_more_is_not_taken),
        cmocka_unit_test(a_request_type_less_fails_those_requests),
        cmocka_unit_test(a_smaller_queue_is_refused),
        cmocka_unit_test(the_cache_mode_is_chosen_again),
        cmocka_unit_test(done_may_submit),
        cmocka_unit_test(waiting_calls_reconnect_by_themselves),
        cmocka_unit_test(waiting_calls_give_up_in_time),
        cmocka_unit_test(each_return_has_its_own_time),
        cmocka_unit_test(a_wait_notices_what_finished_while_reconnecting),
        cmocka_unit_test(sessions_reconnect_while_they_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
