/* SPDX-License-Identifier: MIT */
/* The block driver over l4 while its server dies and comes back as it was, or nobody does: each request once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reconnect_fixture.h"

static void requests_in_flight_are_sent_again(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(2);
    (void)state;
    reconnect_fixture_die(f);
    assert_int_equal(l4vio_block_drain(&f->rig.block, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->all_done, 0);
    reconnect_fixture_finish(f);
    assert_int_equal(f->rig.block.reconnects.count, 1);
    assert_int_equal(f->rig.block.reconnects.submitted_again, RECONNECT_REQUESTS);
    assert_int_equal(f->rig.block.reconnects.failed, 0);
    reconnect_fixture_free(f);
}

static struct reconnect_fixture *fixture_with_record(void)
{
    struct reconnect_fixture *f = reconnect_fixture_new(2);
    f->rig.tracks_in_flight = true;
    reconnect_rig_open(&f->rig);
    reconnect_fixture_make_requests(f);
    return f;
}

static void a_device_with_a_record_is_left_to_it(void **state)
{
    struct reconnect_fixture *f = fixture_with_record();
    (void)state;
    reconnect_fixture_die(f);
    reconnect_rig_restart(&f->rig);
    /* Also if it dies once more in the middle of it. */
    f->rig.operations = 0;
    f->rig.kill_before = 12;
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_true(f->rig.resumed >= 2);
    reconnect_fixture_finish(f);
    assert_int_equal(f->rig.block.reconnects.submitted_again, 0);
    assert_int_equal(f->rig.block.reconnects.resumed, RECONNECT_REQUESTS);
    reconnect_fixture_free(f);
}

/* One that is there and well is reset before it is left: so it has no record any more. */
static void a_device_that_was_reset_has_no_record(void **state)
{
    struct reconnect_fixture *f = fixture_with_record();
    (void)state;
    reconnect_fixture_submit(f);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->rig.resumed, 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

/* The record is of all queues: one that cannot go on takes the others with it. */
static void all_queues_go_on_or_none(void **state)
{
    struct reconnect_fixture *f = fixture_with_record();
    struct l4vio_queue *queue = &f->rig.queues[1];
    (void)state;
    reconnect_fixture_die(f);
    /* More used than there is: written by a device gone mad. */
    ((uint16_t *)(uintptr_t)queue->used)[1] = 0x7fff;
    assert_int_equal(l4vio_block_poll(&f->rig.block, 1, 1), L4VIO_EBADPROTO);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->rig.resumed, 0);
    reconnect_fixture_finish(f);
    assert_int_equal(f->rig.block.reconnects.submitted_again, RECONNECT_REQUESTS);
    assert_int_equal(f->rig.block.reconnects.resumed, 0);
    reconnect_fixture_free(f);
}

/* Both the last device and the new one need it: one has written it, the other reads it. */
static void without_a_record_of_the_last_device_everything_is_sent_again(void **state)
{
    (void)state;
    for (unsigned last_had_one = 0; last_had_one < 2; last_had_one++) {
        struct reconnect_fixture *f =
            last_had_one ? fixture_with_record() : reconnect_fixture_open(2);
        reconnect_rig_freeze(&f->rig);
        reconnect_fixture_submit(f);
        reconnect_rig_replace(&f->rig);
        f->rig.tracks_in_flight = !last_had_one;
        assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
        assert_int_equal(f->rig.resumed, 0);
        reconnect_fixture_drain(f);
        reconnect_fixture_check(f);
        assert_int_equal(f->rig.block.reconnects.submitted_again, RECONNECT_REQUESTS);
        reconnect_fixture_free(f);
    }
}

static void an_idle_driver_comes_back_too(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->rig.block.reconnects.submitted_again, 0);
    reconnect_fixture_submit(f);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

/* The wires of a server that is there and well are cut, too. */
static void a_device_that_lives_is_left_and_found_again(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(2);
    (void)state;
    reconnect_fixture_submit(f);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

static void the_deadline_passes_and_another_call_finds_it(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(2);
    struct l4vio_error error = {0};
    (void)state;
    reconnect_fixture_die(f);
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
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

static void closing_instead_cancels(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    reconnect_fixture_die(f);
    assert_int_equal(l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, 0), NULL),
                     L4VIO_ETIMEDOUT);
    l4vio_block_close(&f->rig.block);
    for (unsigned i = 0; i < RECONNECT_REQUESTS; i++) {
        assert_int_equal(f->done[i], 1);
        assert_int_equal(f->requests[i].result, L4VIO_ECANCELED);
    }
    assert_int_equal(l4vio_block_reconnect(&f->rig.block, L4VIO_FOREVER, NULL), L4VIO_EPIPE);
    reconnect_fixture_free(f);
}

/* Death before each of the operations of a reconnect, until it is past all of them. */
static void it_may_die_again_at_every_step(void **state)
{
    (void)state;
    for (unsigned step = 1;; step++) {
        struct reconnect_fixture *f = reconnect_fixture_open(2);
        assert_int_equal(l4vio_block_set_writeback(&f->rig.block, false, NULL), 0);
        reconnect_rig_freeze(&f->rig);
        reconnect_fixture_submit(f);
        reconnect_rig_replace(&f->rig);
        f->rig.operations = 0;
        f->rig.kill_before = step;
        assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
        bool past_all = f->rig.operations < step;
        f->rig.kill_before = 0;
        /* The last steps are the kicks: who dies then is missed by the next wait. */
        if (l4vio_driver_fail_state(&f->rig.block.driver))
            assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
        reconnect_fixture_drain(f);
        reconnect_fixture_check(f);
        reconnect_fixture_free(f);
        if (past_all)
            return;
        assert_true(step < 200);
    }
}

/* Somebody is there and answers nothing: that is no excuse. */
static void a_server_that_hangs_does_not_stretch_the_deadline(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    reconnect_fixture_die(f);
    reconnect_rig_restart(&f->rig);
    f->rig.operations = 0;
    f->rig.freeze_before = 3;
    uint64_t latest_ns = reconnect_rig_deadline(&f->rig, 3000);
    assert_int_equal(
        l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, 300), NULL),
        L4VIO_ETIMEDOUT);
    assert_true(reconnect_rig_deadline(&f->rig, 0) < latest_ns);
    f->rig.freeze_before = 0;
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

/* Our own old connection may be what fills it. */
static void a_full_server_is_waited_for(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
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
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_submit(f);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

static void parts_go_on_where_they_were(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_new(1);
    struct l4vio_block_segment segments[100];
    (void)state;
    /* Parts of 14 segments. */
    f->rig.config.queue_size = 16;
    reconnect_rig_open(&f->rig);
    reconnect_fixture_make_requests(f);
    for (unsigned i = 0; i < 100; i++) {
        segments[i] = (struct l4vio_block_segment){&f->data, (uint64_t)i * 512, 512};
        memset((uint8_t *)f->data.base + (size_t)i * 512, (int)(i + 1), 512);
    }
    struct l4vio_block_request *request = &f->requests[0];
    request->segments = segments;
    request->segment_count = 100;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, request, NULL), 0);
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    /* And in the middle of it. */
    while (request->done_bytes == 0)
        l4vio_block_poll(&f->rig.block, 0, 1);
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_drain(f);
    assert_int_equal(request->result, 0);
    assert_int_equal(request->done_bytes, 100 * 512);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(reconnect_rig_image_byte(&f->rig, i * 512), i + 1);
    reconnect_fixture_free(f);
}

/* Completed and not yet seen: that is an outcome, and nothing is done again. */
static void what_was_completed_is_taken_first(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    f->requests[0].type = L4VIO_BLOCK_READ;
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
    while (!l4vio_queue_has_used(&f->rig.queues[0]))
        usleep(100);
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->done[0], 1);
    assert_int_equal(f->requests[0].result, 0);
    assert_int_equal(f->rig.block.reconnects.submitted_again, 0);
    reconnect_fixture_free(f);
}

/* The queue is read in the order of submission, whatever the order of the slots is. */
static void the_order_of_submission_is_kept(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    /* Mixes the free list. */
    for (unsigned round = 0; round < 3; round++) {
        reconnect_fixture_submit(f);
        reconnect_fixture_drain(f);
    }
    f->all_done = 0;
    reconnect_rig_freeze(&f->rig);
    unsigned first[RECONNECT_REQUESTS];
    for (unsigned i = 0; i < RECONNECT_REQUESTS; i++) {
        first[i] = (i * 7u + 3u) % RECONNECT_REQUESTS;
        f->requests[first[i]].type = L4VIO_BLOCK_FLUSH;
        assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[first[i]], NULL), 0);
    }
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    for (unsigned i = 1; i < RECONNECT_REQUESTS; i++)
        assert_true(f->requests[first[i - 1]].order < f->requests[first[i]].order ||
                    !f->requests[first[i - 1]].in_flight);
    reconnect_fixture_drain(f);
    reconnect_fixture_free(f);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
