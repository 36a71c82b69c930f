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
    unsigned descriptors = process_descriptors();
    for (unsigned i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct l4vio_l4 *l4;
        assert_int_equal(open_victim(&victim, scripts[i], 0), 0);
        l4 = victim.transport.self;
        assert_int_equal(l4->calls->set_status(l4->calls_self, 1, in(&victim, 5000000000u), NULL),
                         L4VIO_EBADPROTO);
        assert_int_equal(l4->calls->set_status(l4->calls_self, 1, in(&victim, 5000000000u), NULL),
                         L4VIO_EPIPE);
        assert_int_equal(l4->calls->peer_alive(l4->calls_self), L4VIO_EPIPE);
        close_victim(&victim);
    }
    assert_int_equal(process_descriptors(), descriptors);
}

static int ask_for_page(struct victim *victim)
{
    struct l4vio_l4 *l4 = victim->transport.self;
    struct l4vio_dataspace dataspace;
    uint64_t offset = 0;

    return l4->calls->device_config(l4->calls_self, &dataspace, &offset, in(victim, 5000000000u),
                                    NULL);
}

static int ask_for_notification(struct victim *victim)
{
    struct l4vio_l4 *l4 = victim->transport.self;
    struct l4vio_notification notification;

    return l4->calls->device_notification(l4->calls_self, 0, &notification, in(victim, 5000000000u),
                                          NULL);
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
    unsigned descriptors = process_descriptors();
    assert_int_equal(open_victim(&victim, script_no_descriptor, 0), 0);
    assert_int_equal(ask_for_page(&victim), L4VIO_EBADPROTO);
    close_victim(&victim);
    assert_int_equal(open_victim(&victim, script_two_descriptors, 0), 0);
    assert_int_equal(ask_for_page(&victim), L4VIO_EBADPROTO);
    close_victim(&victim);
    assert_int_equal(open_victim(&victim, script_event_for_page, 0), 0);
    assert_int_equal(ask_for_page(&victim), L4VIO_EINVAL);
    close_victim(&victim);
    assert_int_equal(open_victim(&victim, script_surplus, 0), 0); /* Memory, not an eventfd. */
    assert_int_equal(ask_for_notification(&victim), L4VIO_EINVAL);
    close_victim(&victim);
    assert_int_equal(process_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_answers_end_the_connection_for_good),
        cmocka_unit_test(wrong_descriptors_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
