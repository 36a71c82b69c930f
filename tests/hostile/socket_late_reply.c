/* SPDX-License-Identifier: MIT */
/* A server that answers after the deadline, or never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_peer.h"
#include "socket_server.h"

#include <l4vio/driver.h>

#define SHORT_NS UINT64_C(30000000)

/* Connects to a played server; the calls of the transport are made by hand. */
struct victim {
    struct peer_server server;
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_l4_client *client;
    struct l4vio_transport transport;
};

static int open_victim(struct victim *victim, int (*script)(int socket), uint64_t timeout_ns)
{
    struct l4vio_error error = {0};

    assert_int_equal(l4vio_linux_open(&victim->linux_platform, &victim->platform, NULL), 0);
    victim->client = NULL;
    peer_server_start(&victim->server, script);
    return l4vio_l4_client_connect(victim->server.path, &victim->platform, timeout_ns,
                                   &victim->client, &victim->transport, &error);
}

static void close_victim(struct victim *victim)
{
    l4vio_l4_client_free(victim->client);
    assert_int_equal(peer_server_end(&victim->server), 0);
    l4vio_linux_close(victim->linux_platform);
}

static uint64_t in(const struct victim *victim, uint64_t span_ns)
{
    return victim->platform.ops->now_ns(victim->platform.self) + span_ns;
}

#define CALLS 3

/* Answers nothing until three calls have come, then all of them, each with a descriptor. */
static int answer_late(int socket)
{
    struct l4vio_unix_call calls[CALLS];
    int memory = peer_memory(4096);

    if (!peer_answer_hello(socket))
        return -1;
    for (int i = 0; i < CALLS; i++) {
        if (!peer_receive_call(socket, &calls[i]))
            return -1;
    }
    for (int i = 0; i < CALLS; i++)
        peer_reply(socket, &calls[i], 0, memory);
    close(memory);
    return peer_hangs_up(socket) ? 0 : -1;
}

static int answer_nothing(int socket)
{
    struct l4vio_unix_call call;
    int count = 0;

    if (!peer_answer_hello(socket))
        return -1;
    while (peer_receive_call(socket, &call))
        count++;
    return count == 32 ? 0 : -1;
}

static int ask_for_page(struct victim *victim, uint64_t span_ns)
{
    struct l4vio_l4 *l4 = victim->transport.self;
    struct l4vio_dataspace dataspace;
    uint64_t offset = 0;
    int result =
        l4->calls->device_config(l4->calls_self, &dataspace, &offset, in(victim, span_ns), NULL);

    if (result == L4VIO_OK)
        close((int)dataspace.handle);
    return result;
}

static void late_answers_are_dropped_and_the_right_one_is_found(void **state)
{
    struct victim victim;

    (void)state;
    unsigned descriptors = process_descriptors();
    assert_int_equal(open_victim(&victim, answer_late, 0), 0);
    for (int i = 0; i < CALLS - 1; i++)
        assert_int_equal(ask_for_page(&victim, SHORT_NS), L4VIO_ETIMEDOUT);
    assert_int_equal(ask_for_page(&victim, 5000000000u), L4VIO_OK);
    close_victim(&victim);
    assert_int_equal(process_descriptors(), descriptors);
}

static void calls_without_answer_are_bounded(void **state)
{
    struct victim victim;

    (void)state;
    assert_int_equal(open_victim(&victim, answer_nothing, 0), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(ask_for_page(&victim, 1000000), L4VIO_ETIMEDOUT);
    close_victim(&victim);
}

static int hang_up_during_a_call(int socket)
{
    struct l4vio_unix_call call;

    return peer_answer_hello(socket) && peer_receive_call(socket, &call) ? 0 : -1;
}

static void server_that_dies_during_a_call_is_noticed_at_once(void **state)
{
    struct victim victim;

    (void)state;
    assert_int_equal(open_victim(&victim, hang_up_during_a_call, 0), 0);
    assert_int_equal(ask_for_page(&victim, L4VIO_FOREVER / 4), L4VIO_EPIPE);
    assert_int_equal(ask_for_page(&victim, L4VIO_FOREVER / 4), L4VIO_EPIPE);
    close_victim(&victim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_answers_are_dropped_and_the_right_one_is_found),
        cmocka_unit_test(calls_without_answer_are_bounded),
        cmocka_unit_test(server_that_dies_during_a_call_is_noticed_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
