/* SPDX-License-Identifier: MIT */
/* A client that does not begin with a proper hello is let go; others are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_driver.h"
#include "socket_peer.h"
#include "socket_server.h"
#include "usage.h"

/* The server lives on and serves the next client. */
static void assert_still_serves(struct socket_server *server)
{
    static struct socket_driver driver;

    assert_int_equal(socket_driver_open(&driver, server->path, 1), 0);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_OUT, 0), 0);
    socket_driver_close(&driver);
}

static void wrong_first_packets_end_the_connection(void **state)
{
    struct socket_server server;
    unsigned char garbage[4096];
    struct l4vio_unix_hello hello;
    struct l4vio_unix_call call = {.opcode = 0};
    int event = eventfd(0, EFD_CLOEXEC);

    (void)state;
    memset(garbage, 0x5a, sizeof(garbage));
    socket_server_init(&server);
    socket_server_start(&server);
    unsigned descriptors = usage_now().descriptors;
    const size_t sizes[] = {1, 31, 32, 33, 64, 65, 4096};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int peer = peer_connect(server.path);
        assert_true(peer_send(peer, garbage, sizes[i], NULL, 0));
        assert_true(peer_hangs_up(peer));
        close(peer);
    }
    /* A call before the hello. */
    int peer = peer_connect(server.path);
    assert_true(peer_send(peer, &call, sizeof(call), NULL, 0));
    assert_true(peer_hangs_up(peer));
    close(peer);
    /* A good hello that brings a descriptor. */
    hello = peer_hello();
    peer = peer_connect(server.path);
    assert_true(peer_send(peer, &hello, sizeof(hello), &event, 1));
    assert_true(peer_hangs_up(peer));
    close(peer);
    assert_true(socket_server_has_clients(&server, 0));
    assert_int_equal(usage_now().descriptors, descriptors);
    close(event);
    assert_still_serves(&server);
    socket_server_end(&server);
}

static void other_version_is_told_ours(void **state)
{
    struct socket_server server;
    struct l4vio_unix_hello hello = peer_hello();

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    hello.version = l4vio_swap32(L4VIO_UNIX_VERSION + 1);
    int peer = peer_connect(server.path);
    assert_true(peer_send(peer, &hello, sizeof(hello), NULL, 0));
    assert_int_equal(peer_receive(peer, &hello, sizeof(hello), NULL), sizeof(hello));
    assert_int_equal(l4vio_swap32(hello.version), L4VIO_UNIX_VERSION);
    assert_int_equal((int)l4vio_swap32(hello.result), L4VIO_ENOSYS);
    assert_true(peer_hangs_up(peer));
    close(peer);
    socket_server_end(&server);
}

static void reserved_fields_of_the_hello_must_be_zero(void **state)
{
    struct socket_server server;
    struct l4vio_unix_hello hello = peer_hello();

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    hello.reserved[3] = l4vio_swap32(1);
    int peer = peer_connect(server.path);
    assert_true(peer_send(peer, &hello, sizeof(hello), NULL, 0));
    assert_int_equal(peer_receive(peer, &hello, sizeof(hello), NULL), sizeof(hello));
    assert_int_equal((int)l4vio_swap32(hello.result), L4VIO_EINVAL);
    assert_true(peer_hangs_up(peer));
    close(peer);
    socket_server_end(&server);
}

static void silent_client_is_let_go_in_time(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.config.quotas.hello_timeout_ms = 50;
    server.config.quotas.clients = 1;
    socket_server_start(&server);
    int peer = peer_connect(server.path);
    assert_true(peer_hangs_up(peer));
    assert_true(socket_server_logged(&server, "did not say hello"));
    close(peer);
    assert_still_serves(&server);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_first_packets_end_the_connection),
        cmocka_unit_test(other_version_is_told_ours),
        cmocka_unit_test(reserved_fields_of_the_hello_must_be_zero),
        cmocka_unit_test(silent_client_is_let_go_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
