/* SPDX-License-Identifier: MIT */
/* Spinning, by both sides of a socket: it ends when nothing comes, and it keeps nobody waiting. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <l4vio/session.h>

#include "block_server.h"
#include "socket_server.h"
#include "usage.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND      (UINT64_C(1000) * MILLISECOND)

/* Nothing happens for so long, and a tenth of it is plenty for doing nothing. */
#define IDLE_NS      (300 * MILLISECOND)
#define IDLE_CPU_NS  (IDLE_NS / 10)
#define READS        2000
#define ALARM_SECOND 60

/* A client that reads one sector at a time. */
struct reader {
    struct l4vio_session *session;
    struct l4vio_region region;
    struct l4vio_block_segment segment;
    struct l4vio_block_request request;
    atomic_bool end;
};

static void open_reader(struct reader *reader, const char *uri, enum l4vio_spin_mode mode)
{
    struct l4vio_session_options options = {.spin_mode = mode};

    memset(reader, 0, sizeof(*reader));
    assert_int_equal(l4vio_session_open_block(uri, &options, &reader->session, NULL), 0);
    assert_int_equal(
        l4vio_driver_allocate(l4vio_session_driver(reader->session), 4096, &reader->region, NULL),
        0);
    l4vio_block_request_init(&reader->request, &reader->region, 0);
    reader->segment = (struct l4vio_block_segment){&reader->region, 512, 512};
    reader->request.type = L4VIO_BLOCK_READ;
    reader->request.segments = &reader->segment;
    reader->request.segment_count = 1;
}

static int read_once(struct reader *reader)
{
    struct l4vio_block *block = l4vio_session_block(reader->session);
    int result = l4vio_block_submit(block, 0, &reader->request, NULL);

    if (result == 0)
        result = l4vio_block_wait(block, &reader->request,
                                  l4vio_driver_deadline(&block->driver, SECOND * 30));
    return result ? result : reader->request.result;
}

static uint64_t clock_now(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* The server runs in this process, so its time is in here. */
static uint64_t cpu_while_idle(void)
{
    const struct timespec idle = {0, (long)IDLE_NS};
    uint64_t before = clock_now(CLOCK_PROCESS_CPUTIME_ID);

    nanosleep(&idle, NULL);
    return clock_now(CLOCK_PROCESS_CPUTIME_ID) - before;
}

static void start(struct socket_server *server, char uri[100], enum l4vio_spin_mode mode,
                  bool threads)
{
    socket_server_init(server);
    server->block.queue_count = threads ? 2 : 1;
    server->config.thread_per_queue = threads;
    server->config.spin_mode = mode;
    socket_server_start(server);
    snprintf(uri, 100, "l4:%s", server->path);
}

static void idle_server_and_client_sleep(bool threads)
{
    struct socket_server server;
    struct reader reader;
    char uri[100];

    start(&server, uri, L4VIO_SPIN_AUTO, threads);
    open_reader(&reader, uri, L4VIO_SPIN_AUTO);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < READS; i++)
            assert_int_equal(read_once(&reader), 0);
        assert_true(cpu_while_idle() < IDLE_CPU_NS);
    }
    l4vio_session_close(reader.session);
    socket_server_end(&server);
}

static void idle_pair_uses_no_cpu(void **state)
{
    (void)state;
    idle_server_and_client_sleep(false);
}

static void idle_threads_use_no_cpu(void **state)
{
    (void)state;
    idle_server_and_client_sleep(true);
}

/* Once for long, and often for a short time: what is in vain is given up. */
static void waiting_in_vain_uses_no_cpu(void **state)
{
    struct socket_server server;
    struct reader reader;
    char uri[100];

    (void)state;
    start(&server, uri, L4VIO_SPIN_AUTO, false);
    open_reader(&reader, uri, L4VIO_SPIN_AUTO);
    struct l4vio_block *block = l4vio_session_block(reader.session);
    struct l4vio_session *session = reader.session;
    for (unsigned waits = 1; waits <= 60; waits *= 60) {
        uint64_t before = clock_now(CLOCK_PROCESS_CPUTIME_ID);
        for (unsigned i = 0; i < waits; i++) {
            uint64_t deadline = l4vio_driver_deadline(&block->driver, IDLE_NS / waits);
            int result = i % 2
                             ? l4vio_session_wait(&session, 1, deadline)
                             : l4vio_driver_wait_used(&block->driver, &block->queues[0], deadline);
            assert_int_equal(result, L4VIO_ETIMEDOUT);
        }
        assert_true(clock_now(CLOCK_PROCESS_CPUTIME_ID) - before < IDLE_CPU_NS);
    }
    assert_int_equal(read_once(&reader), 0);
    l4vio_session_close(reader.session);
    socket_server_end(&server);
}

static bool has_waiter(const struct reader *reader)
{
    const struct l4vio_driver *driver = &l4vio_session_block(reader->session)->driver;

    for (unsigned i = 0; i < driver->notification_count; i++) {
        if (driver->notifications[i].waiter.handle != L4VIO_NO_HANDLE)
            return true;
    }
    return false;
}

/* What a sleep was prepared with goes with the connection, and survives a reset. */
static void sleeping_leaves_nothing_behind(void **state)
{
    struct usage before = usage_now();
    struct socket_server server;
    struct reader reader;
    char uri[100];

    (void)state;
    start(&server, uri, L4VIO_SPIN_FIXED, false);
    open_reader(&reader, uri, L4VIO_SPIN_FIXED);
    struct l4vio_block *block = l4vio_session_block(reader.session);
    for (unsigned i = 0; i < READS && !has_waiter(&reader); i++)
        assert_int_equal(read_once(&reader), 0);
    assert_true(has_waiter(&reader));
    assert_int_equal(l4vio_block_recover(block, NULL), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(read_once(&reader), 0);
    l4vio_session_close(reader.session);
    socket_server_end(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
}

static void *read_on(void *argument)
{
    struct reader *reader = argument;

    while (!atomic_load(&reader->end)) {
        if (read_once(reader))
            return reader;
    }
    return NULL;
}

static void busy_client_does_not_starve_another(void **state)
{
    static const enum l4vio_spin_mode modes[] = {L4VIO_SPIN_AUTO, L4VIO_SPIN_ALWAYS};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct socket_server server;
        struct reader busy, other;
        pthread_t thread;
        void *failed = NULL;
        char uri[100];

        start(&server, uri, modes[i], false);
        open_reader(&busy, uri, L4VIO_SPIN_AUTO);
        assert_int_equal(pthread_create(&thread, NULL, read_on, &busy), 0);
        /* Comes when the server has work already: the call is heard, too. */
        open_reader(&other, uri, L4VIO_SPIN_FIXED);
        for (unsigned j = 0; j < 200; j++)
            assert_int_equal(read_once(&other), 0);
        atomic_store(&busy.end, true);
        pthread_join(thread, &failed);
        assert_null(failed);
        l4vio_session_close(other.session);
        l4vio_session_close(busy.session);
        socket_server_end(&server);
    }
}

/* No sleep tells of the death, so the spinning side has to ask. */
static void who_never_sleeps_hears_of_the_death_all_the_same(void **state)
{
    struct block_server_options options = {.size_bytes = 1 << 20};

    (void)state;
    for (unsigned by_session = 0; by_session < 2; by_session++) {
        struct block_server server;
        struct reader reader;

        block_server_start(&server, &options);
        open_reader(&reader, server.uri, L4VIO_SPIN_ALWAYS);
        assert_int_equal(read_once(&reader), 0);
        block_server_kill(&server);
        struct l4vio_block *block = l4vio_session_block(reader.session);
        int result = by_session
                         ? l4vio_session_wait(&reader.session, 1, L4VIO_FOREVER)
                         : l4vio_driver_wait_used(&block->driver, &block->queues[0], L4VIO_FOREVER);
        assert_int_equal(result, L4VIO_EPIPE);
        l4vio_session_close(reader.session);
        block_server_stop(&server);
    }
}

/* Hangs end here. */
static int set_alarm(void **state)
{
    (void)state;
    alarm(ALARM_SECOND);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_pair_uses_no_cpu),
        cmocka_unit_test(idle_threads_use_no_cpu),
        cmocka_unit_test(waiting_in_vain_uses_no_cpu),
        cmocka_unit_test(sleeping_leaves_nothing_behind),
        cmocka_unit_test(busy_client_does_not_starve_another),
        cmocka_unit_test(who_never_sleeps_hears_of_the_death_all_the_same),
    };

    return cmocka_run_group_tests(tests, set_alarm, NULL);
}
