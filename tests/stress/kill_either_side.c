/* SPDX-License-Identifier: MIT */
/*
 * kill -9 of either side at random points, 200 times: the other side notices in time, and no
 * descriptor, mapping or file is left (counted). With random ring features.
 *
 * Usage: kill_either_side [TIMES [SEED]]   (200; half of them each side)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/session.h>

#include "block_server.h"
#include "ring_choice.h"
#include "usage.h"

enum { request_count = 16, data_bytes = 16384, store_bytes = 16 << 20, limit_s = 10 };

extern char **environ;

static unsigned times = 200;
static unsigned seed = 1;
static char program[4096];

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_up_to_us(unsigned limit)
{
    usleep((useconds_t)(rand() % (int)limit));
}

/* Requests without end until the peer dies; the error that ended it. */
static int hammer(const char *uri)
{
    struct l4vio_session *session;
    struct l4vio_region region;
    struct l4vio_block_request requests[request_count];
    struct l4vio_block_segment segments[request_count];
    struct l4vio_session_options options = {.timeout_ns = limit_s * 1000000000u, .queue_count = 2};
    ring_choice_insist((unsigned)rand() % RING_CHOICES, &options.refused, &options.required);
    int result = l4vio_session_open_block(uri, &options, &session, NULL);
    if (result)
        return result;
    struct l4vio_block *block = l4vio_session_block(session);
    result = l4vio_driver_allocate(
        &block->driver, request_count * (L4VIO_BLOCK_SHARED_BYTES + data_bytes), &region, NULL);
    for (unsigned i = 0; !result && i < request_count; ++i) {
        segments[i] = (struct l4vio_block_segment){
            &region, request_count * L4VIO_BLOCK_SHARED_BYTES + (uint64_t)i * data_bytes,
            data_bytes};
        result =
            l4vio_block_request_init(&requests[i], &region, (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        requests[i].segments = &segments[i];
        requests[i].segment_count = 1;
    }
    while (!result) {
        for (unsigned i = 0; !result && i < request_count; ++i) {
            if (requests[i].in_flight)
                continue;
            requests[i].type = rand() % 2 ? L4VIO_BLOCK_WRITE : L4VIO_BLOCK_READ;
            /* A part of the device for each queue: the device may serve them in two threads. */
            uint32_t queue = i % block->queue_count;
            uint32_t places = (uint32_t)(store_bytes / data_bytes) / block->queue_count;
            uint32_t place = (uint32_t)rand() % places;
            requests[i].sector =
                (uint64_t)(place * block->queue_count + queue) * (data_bytes / 512);
            result = l4vio_block_submit(block, queue, &requests[i], NULL);
        }
        /* Not for room: with indirect tables there always is, whether the peer lives or not. */
        for (unsigned i = 0; !result && i < block->queue_count; ++i)
            result = l4vio_block_wait(block, &requests[rand() % request_count],
                                      clock_ns() + limit_s * 1000000000ull);
    }
    l4vio_session_close(session);
    return result;
}

static void driver_returns_when_device_is_killed(void **state)
{
    (void)state;
    struct block_server server;
    struct block_server_options options = {
        .size_bytes = store_bytes, .queue_count = 2, .added = ring_choice(RING_CHOICES - 1)};
    struct usage before = usage_now();
    unsigned refused = 0;
    block_server_start(&server, &options);
    for (unsigned i = 0; i < times / 2; ++i) {
        options.thread_per_queue = i % 2;
        /* Something else has to do the killing while we hammer. */
        pid_t victim = server.process;
        pid_t killer = fork();
        if (killer == 0) {
            sleep_up_to_us(20000);
            kill(victim, SIGKILL);
            _exit(0);
        }
        srand(seed + i);
        uint64_t start = clock_ns();
        int result = hammer(server.uri);
        assert_true(clock_ns() - start < limit_s * 1000000000ull);
        /* Killed before, during or after the connection was made. */
        refused += result == L4VIO_ENOENT;
        if (result != L4VIO_EPIPE && result != L4VIO_ENOENT)
            fail_msg("the driver returned %s", l4vio_error_name(result));
        waitpid(killer, NULL, 0);
        block_server_kill(&server);
        block_server_restart(&server, &options);
    }
    block_server_stop(&server);
    struct usage after = usage_now();
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.mappings, before.mappings);
    printf("device killed %u times (%u before the connection)\n", times / 2, refused);
}

static pid_t start_client(const char *uri, unsigned number)
{
    char text[32];
    snprintf(text, sizeof(text), "%u", number);
    char *arguments[] = {program, (char *)(uintptr_t) "--client", (char *)(uintptr_t)uri, text,
                         NULL};
    pid_t child;
    assert_int_equal(posix_spawn(&child, program, NULL, NULL, arguments, environ), 0);
    return child;
}

static void wait_for_clients(const struct block_server *server, unsigned wanted)
{
    struct l4vio_server_counters counters;
    uint64_t end = clock_ns() + limit_s * 1000000000ull;
    do {
        l4vio_server_counters_read(server->server, &counters);
        if (counters.clients == wanted)
            return;
        usleep(200);
    } while (clock_ns() < end);
    fail_msg("%u clients, not %u, after %d s", counters.clients, wanted, limit_s);
}

/* From start to end; afterwards the server has all the threads and descriptors that it will have. */
static void serve_one_client(const struct block_server *server)
{
    struct l4vio_session *session;
    assert_int_equal(l4vio_session_open_block(server->uri, NULL, &session, NULL), 0);
    l4vio_session_close(session);
    wait_for_clients(server, 0);
}

/* The server notices the end of a client by itself; the last thing that goes is what we count. */
static void wait_for_usage(struct usage wanted)
{
    struct usage now = {0, 0};
    uint64_t end = clock_ns() + limit_s * 1000000000ull;
    do {
        now = usage_now();
        if (now.descriptors == wanted.descriptors && now.mappings == wanted.mappings)
            return;
        usleep(200);
    } while (clock_ns() < end);
    fail_msg("%u descriptors and %u mappings, not %u and %u, after %d s", now.descriptors,
             now.mappings, wanted.descriptors, wanted.mappings, limit_s);
}

static void device_cleans_up_when_driver_is_killed(void **state)
{
    (void)state;
    struct usage outside = usage_now();
    for (unsigned per_queue = 0; per_queue < 2; ++per_queue) {
        struct block_server server;
        struct block_server_options options = {
            .size_bytes = store_bytes,
            .queue_count = 2,
            .thread = true,
            .thread_per_queue = per_queue,
            .added = ring_choice(RING_CHOICES - 1),
        };
        block_server_start(&server, &options);
        serve_one_client(&server);
        struct usage before = usage_now();
        for (unsigned i = 0; i < times / 4; ++i) {
            pid_t child = start_client(server.uri, i);
            if (i % 4)
                wait_for_clients(&server, 1);
            sleep_up_to_us(20000);
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
            wait_for_usage(before);
        }
        /* The next client is served. */
        serve_one_client(&server);
        wait_for_usage(before);
        block_server_stop(&server);
    }
    struct usage after = usage_now();
    assert_int_equal(after.descriptors, outside.descriptors);
    assert_int_equal(after.mappings, outside.mappings);
    printf("driver killed %u times\n", times / 4 * 2);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "--client")) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        srand((unsigned)strtoul(argv[3], NULL, 10));
        return hammer(argv[2]) != 0;
    }
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0)
        return 1;
    if (argc > 1)
        times = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = (unsigned)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_returns_when_device_is_killed),
        cmocka_unit_test(device_cleans_up_when_driver_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
