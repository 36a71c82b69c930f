/* SPDX-License-Identifier: MIT */
/* Clients that come when the server is asked to stop: it stops, they are not let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "socket_peer.h"
#include "socket_server.h"

#define PEERS 3

/* Both are there when the loop first looks: the wish to stop comes first. */
static void client_in_the_backlog_does_not_keep_the_server(void **state)
{
    struct socket_server server;
    struct l4vio_unix_hello hello = peer_hello();
    struct l4vio_server_counters counters;
    int peers[PEERS];

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        socket_server_init(&server);
        server.config.thread_per_queue = threads;
        socket_server_open(&server);
        for (int i = 0; i < PEERS; i++) {
            peers[i] = peer_connect(server.path);
            assert_true(peer_send(peers[i], &hello, sizeof(hello), NULL, 0));
        }
        l4vio_server_stop(server.server);
        assert_int_equal(l4vio_server_run(server.server, NULL), 0);
        l4vio_server_counters_read(server.server, &counters);
        assert_int_equal(counters.clients, 0);
        assert_int_equal(counters.clients_accepted, 0);
        socket_server_end(&server);
        for (int i = 0; i < PEERS; i++) {
            assert_true(peer_hangs_up(peers[i]));
            close(peers[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_in_the_backlog_does_not_keep_the_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
