/* SPDX-License-Identifier: MIT */
/*
 * Descriptors whose close waits: sockets that linger for an hour over data that nobody takes. Whoever
 * receives one and closes it last would wait that long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_driver.h"
#include "socket_peer.h"
#include "socket_server.h"

#define LINGER_SECONDS 3600

struct trap {
    int fd;   /* To be passed. */
    int sink; /* Its other end, which takes nothing. */
};

static void make_trap(struct trap *trap)
{
    static const unsigned char bytes[65536];
    struct linger linger = {.l_onoff = 1, .l_linger = LINGER_SECONDS};
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    trap->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(trap->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    trap->sink = accept(listener, NULL, NULL);
    assert_true(trap->sink >= 0);
    close(listener);
    while (send(trap->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(setsockopt(trap->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

static void pass(int peer, uint32_t opcode, unsigned count)
{
    struct l4vio_unix_call call = {.opcode = l4vio_swap32(opcode), .size = l4vio_swap64(4096)};
    struct trap trap;
    int fds[32];

    if (opcode == L4VIO_UNIX_ICU_BIND)
        call.size = 0;
    make_trap(&trap);
    for (unsigned i = 0; i < count; i++)
        fds[i] = trap.fd;
    assert_true(peer_send(peer, &call, sizeof(call), fds, count));
    assert_int_equal(fcntl(trap.sink, F_SETFD, FD_CLOEXEC), 0);
    close(trap.fd); /* From now on it is the receiver's alone. */
    /* The other end stays open, for as long as the process lives. */
}

static void assert_still_serves(struct socket_server *server)
{
    static struct socket_driver driver;

    assert_int_equal(socket_driver_open(&driver, server->path, 1), 0);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_OUT, 0), 0);
    socket_driver_close(&driver);
}

static void server_does_not_wait_for_a_lingering_socket(void **state)
{
    static const uint32_t opcodes[] = {L4VIO_CALL_REGISTER_DS, L4VIO_UNIX_ICU_BIND,
                                       L4VIO_CALL_CONFIG_QUEUE};
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    for (unsigned i = 0; i < 3; i++) {
        struct l4vio_unix_reply reply;
        int peer = peer_connect_hello(server.path);
        pass(peer, opcodes[i], 1);
        assert_int_equal(peer_receive(peer, &reply, sizeof(reply), NULL), sizeof(reply));
        assert_true((int)l4vio_swap32(reply.result) < 0);
        assert_still_serves(&server);
        close(peer);
    }
    socket_server_end(&server);
}

/* More than a packet may carry: the surplus is closed just as carefully. */
static void surplus_lingering_sockets_do_not_hold_the_server_up(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    pass(peer, L4VIO_CALL_REGISTER_DS, 32);
    assert_true(peer_hangs_up(peer));
    close(peer);
    assert_still_serves(&server);
    socket_server_end(&server);
}

/* Packets that the server does not come to read, since it ends the connection over the first. */
static void unread_lingering_sockets_do_not_hold_the_server_up(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    socket_server_open(&server);
    int peer = peer_connect(server.path);
    assert_true(peer_send(peer, "?", 1, NULL, 0));
    for (int i = 0; i < 4; i++)
        pass(peer, L4VIO_CALL_REGISTER_DS, 1);
    assert_true(peer_send(peer, "", 0, NULL, 0));
    pass(peer, L4VIO_CALL_REGISTER_DS, 2);
    socket_server_run(&server);
    assert_true(peer_hangs_up(peer));
    close(peer);
    assert_still_serves(&server);
    socket_server_end(&server);
}

static int answer_with_a_trap(int socket)
{
    struct l4vio_unix_call call;
    struct trap trap;

    if (!peer_answer_hello(socket) || !peer_receive_call(socket, &call))
        return 1;
    make_trap(&trap);
    bool sent = peer_reply(socket, &call, 0, trap.fd);
    close(trap.fd);
    return sent ? 0 : 1;
}

static void client_does_not_wait_for_a_lingering_socket(void **state)
{
    static struct socket_driver driver;
    struct peer_server server;

    (void)state;
    peer_server_start(&server, answer_with_a_trap);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), L4VIO_EINVAL);
    assert_int_equal(peer_server_end(&server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_does_not_wait_for_a_lingering_socket),
        cmocka_unit_test(surplus_lingering_sockets_do_not_hold_the_server_up),
        cmocka_unit_test(unread_lingering_sockets_do_not_hold_the_server_up),
        cmocka_unit_test(client_does_not_wait_for_a_lingering_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
