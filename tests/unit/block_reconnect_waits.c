/* SPDX-License-Identifier: MIT */
/* Calls that wait reconnect by themselves where that was asked for, and give up in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <l4vio/block_sync.h>
#include <l4vio/session.h>

#include "reconnect_fixture.h"

static struct reconnect_fixture *fixture_by_itself(unsigned ms)
{
    struct reconnect_fixture *f = reconnect_fixture_new(1);
    f->rig.config.reconnect_ns = ms * UINT64_C(1000000);
    reconnect_rig_open(&f->rig);
    reconnect_fixture_make_requests(f);
    return f;
}

static void waiting_calls_reconnect_by_themselves(void **state)
{
    struct reconnect_fixture *f = fixture_by_itself(RECONNECT_LONG_MS);
    struct l4vio_block_bounce bounces[4];
    struct l4vio_block_pool pool;
    uint8_t text[8192], back[8192];
    (void)state;
    assert_int_equal(l4vio_block_pool_init(&pool, &f->rig.block, 0, bounces, 4, 4096, NULL), 0);
    memset(text, 'x', sizeof(text));
    reconnect_rig_replace(&f->rig);
    assert_int_equal(
        l4vio_block_pool_write(&pool, 0, text, sizeof(text), L4VIO_FOREVER, NULL, NULL), 0);
    reconnect_rig_replace(&f->rig);
    assert_int_equal(l4vio_block_pool_flush(&pool, L4VIO_FOREVER, NULL), 0);
    reconnect_rig_replace(&f->rig);
    assert_int_equal(l4vio_block_pool_read(&pool, 0, back, sizeof(back), L4VIO_FOREVER, NULL, NULL),
                     0);
    assert_memory_equal(text, back, sizeof(text));
    assert_int_equal(f->rig.block.reconnects.count, 3);
    assert_int_equal(l4vio_block_pool_release(&pool, NULL), 0);
    reconnect_fixture_free(f);
}

static void waiting_calls_give_up_in_time(void **state)
{
    struct reconnect_fixture *f = fixture_by_itself(100);
    (void)state;
    reconnect_fixture_die(f);
    /* The caller's own deadline comes first, and is what it always is. */
    assert_int_equal(
        l4vio_block_wait(&f->rig.block, &f->requests[0], reconnect_rig_deadline(&f->rig, 5)),
        L4VIO_ETIMEDOUT);
    struct l4vio_block_request extra;
    assert_int_equal(l4vio_block_request_init(&extra, &f->shared, 2048), 0);
    extra.type = L4VIO_BLOCK_FLUSH;
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &extra, NULL), L4VIO_EAGAIN);
    uint64_t latest_ns = reconnect_rig_deadline(&f->rig, RECONNECT_LONG_MS);
    assert_int_equal(l4vio_block_wait(&f->rig.block, &f->requests[0], L4VIO_FOREVER), L4VIO_EPIPE);
    assert_true(reconnect_rig_deadline(&f->rig, 0) < latest_ns);
    assert_int_equal(l4vio_block_wait_room(&f->rig.block, 0, L4VIO_FOREVER), L4VIO_EPIPE);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

/* The time runs anew each time that it goes away. */
static void each_return_has_its_own_time(void **state)
{
    struct reconnect_fixture *f = fixture_by_itself(2000);
    (void)state;
    for (unsigned times = 1; times <= 2; times++) {
        uint64_t end_ns = reconnect_rig_deadline(&f->rig, 2100);
        reconnect_rig_replace(&f->rig);
        f->requests[0].type = L4VIO_BLOCK_FLUSH;
        assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
        assert_int_equal(l4vio_block_wait(&f->rig.block, &f->requests[0], L4VIO_FOREVER), 0);
        assert_int_equal(f->rig.block.reconnects.count, times);
        if (times == 1)
            assert_int_equal(
                f->rig.platform.ops->wait(f->rig.platform.self, NULL, 0, L4VIO_NO_HANDLE, end_ns),
                L4VIO_ETIMEDOUT);
    }
    reconnect_fixture_free(f);
}

/* A wait whose request finishes in the reconnect itself does not wait for another one. */
static void a_wait_notices_what_finished_while_reconnecting(void **state)
{
    struct reconnect_fixture *f = fixture_by_itself(RECONNECT_LONG_MS);
    (void)state;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
    reconnect_rig_kill(&f->rig);
    f->rig.options.read_only = true;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(l4vio_block_wait(&f->rig.block, &f->requests[0],
                                      reconnect_rig_deadline(&f->rig, RECONNECT_LONG_MS)),
                     0);
    assert_int_equal(f->requests[0].result, L4VIO_EROFS);
    reconnect_fixture_free(f);
}

static void sessions_reconnect_while_they_wait(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    struct l4vio_session_options options = {.reconnect_ns = RECONNECT_LONG_MS * UINT64_C(1000000)};
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
    reconnect_rig_replace(&f->rig);
    while (request.in_flight) {
        assert_int_equal(
            l4vio_session_wait(&session, 1, reconnect_rig_deadline(&f->rig, RECONNECT_LONG_MS)), 0);
        l4vio_block_poll(block, 0, 1);
    }
    assert_int_equal(request.result, 0);
    assert_int_equal(block->reconnects.count, 1);
    l4vio_session_close(session);
    reconnect_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_calls_reconnect_by_themselves),
        cmocka_unit_test(waiting_calls_give_up_in_time),
        cmocka_unit_test(each_return_has_its_own_time),
        cmocka_unit_test(a_wait_notices_what_finished_while_reconnecting),
        cmocka_unit_test(sessions_reconnect_while_they_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
