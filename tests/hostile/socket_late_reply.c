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
#include "socket_victim.h"
#include "usage.h"

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
    int result = l4->calls->device_config(l4->calls_self, &dataspace, &offset,
                                          victim_in(victim, span_ns), NULL);

    if (result == L4VIO_OK)
        close((int)dataspace.handle);
    return result;
}

static void late_answers_are_dropped_and_the_right_one_is_found(void **state)
{
    struct victim victim;

    (void)state;
    unsigned descriptors = usage_now().descriptors;
    assert_int_equal(victim_open(&victim, answer_late, 0), 0);
    for (int i = 0; i < CALLS - 1; i++)
        assert_int_equal(ask_for_page(&victim, SHORT_NS), L4VIO_ETIMEDOUT);
    assert_int_equal(ask_for_page(&victim, 5000000000u), L4VIO_OK);
    victim_close(&victim);
    assert_int_equal(usage_now().descriptors, descriptors);
}

static void calls_without_answer_are_bounded(void **state)
{
    struct victim victim;

    (void)state;
    assert_int_equal(victim_open(&victim, answer_nothing, 0), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(ask_for_page(&victim, 1000000), L4VIO_ETIMEDOUT);
    victim_close(&victim);
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
    assert_int_equal(victim_open(&victim, hang_up_during_a_call, 0), 0);
    assert_int_equal(ask_for_page(&victim, L4VIO_FOREVER / 4), L4VIO_EPIPE);
    assert_int_equal(ask_for_page(&victim, L4VIO_FOREVER / 4), L4VIO_EPIPE);
    victim_close(&victim);
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
