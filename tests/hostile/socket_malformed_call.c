/* SPDX-License-Identifier: MIT */
/* Calls of wrong size, with reserved bits, with unknown opcodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_driver.h"
#include "socket_peer.h"
#include "socket_server.h"

/* The server lives on and serves the next client. */
static void assert_still_serves(struct socket_server *server)
{
    static struct socket_driver driver;

    assert_int_equal(socket_driver_open(&driver, server->path, 1), 0);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_OUT, 0), 0);
    socket_driver_close(&driver);
}

static void wrong_size_ends_the_connection(void **state)
{
    struct socket_server server;
    unsigned char bytes[4096] = {0};
    const size_t sizes[] = {1, 8, 24, 39, 41, 64, 65, 4096};

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int peer = peer_connect_hello(server.path);
        assert_true(peer_send(peer, bytes, sizes[i], NULL, 0));
        assert_true(peer_hangs_up(peer));
        close(peer);
    }
    struct l4vio_server_counters counters;
    l4vio_server_counters_read(server.server, &counters);
    assert_int_equal(counters.protocol_errors, sizeof(sizes) / sizeof(sizes[0]));
    assert_still_serves(&server);
    socket_server_end(&server);
}

static void unknown_opcodes_are_answered_and_the_connection_stays(void **state)
{
    struct socket_server server;
    const uint32_t opcodes[] = {2, 6, 0xff, 0x102, 0x1ff, 0x202, 0x7fffffff, 0xffffffff};

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    for (unsigned i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
        assert_int_equal(peer_simple(peer, opcodes[i], 7), L4VIO_ENOSYS);
    assert_int_equal(peer_simple(peer, L4VIO_CALL_SET_STATUS, 1), 0);
    close(peer);
    socket_server_end(&server);
}

static void fields_that_mean_nothing_must_be_zero(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    for (unsigned field = 0; field < 5; field++) {
        struct l4vio_unix_call call = {.opcode = l4vio_swap32(L4VIO_CALL_DEVICE_CONFIG)};
        switch (field) {
        case 0:
            call.argument = 1;
            break;
        case 1:
            call.reserved = 1;
            break;
        case 2:
            call.base = 1;
            break;
        case 3:
            call.offset = 1;
            break;
        default:
            call.size = 1;
            break;
        }
        assert_int_equal(peer_call(peer, &call, -1, NULL), L4VIO_EINVAL);
    }
    close(peer);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_size_ends_the_connection),
        cmocka_unit_test(unknown_opcodes_are_answered_and_the_connection_stays),
        cmocka_unit_test(fields_that_mean_nothing_must_be_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
