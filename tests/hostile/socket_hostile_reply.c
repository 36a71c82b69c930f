/* SPDX-License-Identifier: MIT */
/* A server whose answers are wrong in size, order, result, or in what comes with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_peer.h"
#include "socket_victim.h"
#include "usage.h"

/* Gives the answer that the wrong() function makes of a right one. */
static int answer_wrongly(int socket, void (*wrong)(struct l4vio_unix_reply *), size_t size,
                          unsigned fds)
{
    struct l4vio_unix_call call;
    unsigned char bytes[256] = {0};
    int memory[4];

    if (!peer_answer_hello(socket) || !peer_receive_call(socket, &call))
        return -1;
    struct l4vio_unix_reply reply = {.opcode = call.opcode, .sequence = call.sequence};
    if (wrong)
        wrong(&reply);
    memcpy(bytes, &reply, sizeof(reply));
    for (unsigned i = 0; i < fds; i++)
        memory[i] = peer_memory(4096);
    peer_send(socket, bytes, size, memory, fds);
    for (unsigned i = 0; i < fds; i++)
        close(memory[i]);
    return peer_hangs_up(socket) ? 0 : -1;
}

static void other_opcode(struct l4vio_unix_reply *reply)
{
    reply->opcode = l4vio_swap32(99);
}

static void other_sequence(struct l4vio_unix_reply *reply)
{
    reply->sequence = l4vio_swap32(l4vio_swap32(reply->sequence) + 1);
}

static void positive(struct l4vio_unix_reply *reply)
{
    reply->result = l4vio_swap32(1);
}

static void not_a_code(struct l4vio_unix_reply *reply)
{
    reply->result = l4vio_swap32(0x80000000);
}

static void refusal(struct l4vio_unix_reply *reply)
{
    reply->result = l4vio_swap32((uint32_t)L4VIO_EIO);
}

static int script_opcode(int socket)
{
    return answer_wrongly(socket, other_opcode, sizeof(struct l4vio_unix_reply), 0);
}
static int script_sequence(int socket)
{
    return answer_wrongly(socket, other_sequence, sizeof(struct l4vio_unix_reply), 0);
}
static int script_positive(int socket)
{
    return answer_wrongly(socket, positive, sizeof(struct l4vio_unix_reply), 0);
}
static int script_not_a_code(int socket)
{
    return answer_wrongly(socket, not_a_code, sizeof(struct l4vio_unix_reply), 0);
}
static int script_short(int socket)
{
    return answer_wrongly(socket, NULL, sizeof(struct l4vio_unix_reply) - 1, 0);
}
static int script_long(int socket)
{
    return answer_wrongly(socket, NULL, 200, 0);
}
static int script_surplus(int socket)
{
    return answer_wrongly(socket, NULL, sizeof(struct l4vio_unix_reply), 1);
}
static int script_surplus_on_error(int socket)
{
    return answer_wrongly(socket, refusal, sizeof(struct l4vio_unix_reply), 1);
}

static void wrong_answers_end_the_connection_for_good(void **state)
{
    struct victim victim;
    int (*const scripts[])(int) = {script_opcode,     script_sequence,        script_positive,
                                   script_not_a_code, script_short,           script_long,
                                   script_surplus,    script_surplus_on_error};

    (void)state;
    unsigned descriptors = usage_now().descriptors;
    for (unsigned i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct l4vio_l4 *l4;
        assert_int_equal(victim_open(&victim, scripts[i], 0), 0);
        l4 = victim.transport.self;
        assert_int_equal(
            l4->calls->set_status(l4->calls_self, 1, victim_in(&victim, 5000000000u), NULL),
            L4VIO_EBADPROTO);
        assert_int_equal(
            l4->calls->set_status(l4->calls_self, 1, victim_in(&victim, 5000000000u), NULL),
            L4VIO_EPIPE);
        assert_int_equal(l4->calls->peer_alive(l4->calls_self), L4VIO_EPIPE);
        victim_close(&victim);
    }
    assert_int_equal(usage_now().descriptors, descriptors);
}

static int ask_for_page(struct victim *victim)
{
    struct l4vio_l4 *l4 = victim->transport.self;
    struct l4vio_dataspace dataspace;
    uint64_t offset = 0;

    return l4->calls->device_config(l4->calls_self, &dataspace, &offset,
                                    victim_in(victim, 5000000000u), NULL);
}

static int ask_for_notification(struct victim *victim)
{
    struct l4vio_l4 *l4 = victim->transport.self;
    struct l4vio_notification notification;

    return l4->calls->device_notification(l4->calls_self, 0, &notification,
                                          victim_in(victim, 5000000000u), NULL);
}

static int script_no_descriptor(int socket)
{
    return answer_wrongly(socket, NULL, sizeof(struct l4vio_unix_reply), 0);
}
static int script_two_descriptors(int socket)
{
    return answer_wrongly(socket, NULL, sizeof(struct l4vio_unix_reply), 2);
}

static int script_event_for_page(int socket)
{
    struct l4vio_unix_call call;
    int event = eventfd(0, EFD_CLOEXEC);

    if (!peer_answer_hello(socket) || !peer_receive_call(socket, &call))
        return -1;
    peer_reply(socket, &call, 0, event);
    close(event);
    return peer_hangs_up(socket) ? 0 : -1;
}

static void wrong_descriptors_are_refused(void **state)
{
    struct victim victim;

    (void)state;
    unsigned descriptors = usage_now().descriptors;
    assert_int_equal(victim_open(&victim, script_no_descriptor, 0), 0);
    assert_int_equal(ask_for_page(&victim), L4VIO_EBADPROTO);
    victim_close(&victim);
    assert_int_equal(victim_open(&victim, script_two_descriptors, 0), 0);
    assert_int_equal(ask_for_page(&victim), L4VIO_EBADPROTO);
    victim_close(&victim);
    assert_int_equal(victim_open(&victim, script_event_for_page, 0), 0);
    assert_int_equal(ask_for_page(&victim), L4VIO_EINVAL);
    victim_close(&victim);
    assert_int_equal(victim_open(&victim, script_surplus, 0), 0); /* Memory, not an eventfd. */
    assert_int_equal(ask_for_notification(&victim), L4VIO_EINVAL);
    victim_close(&victim);
    assert_int_equal(usage_now().descriptors, descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_answers_end_the_connection_for_good),
        cmocka_unit_test(wrong_descriptors_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
