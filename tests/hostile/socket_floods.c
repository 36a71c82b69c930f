/* SPDX-License-Identifier: MIT */
/* Clients that ask for more and more: connections, regions, bindings, calls without taking answers, kicks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
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

static void connections_without_end_stay_within_the_quota(void **state)
{
    struct socket_server server;
    struct l4vio_server_counters counters;
    int peers[200];

    (void)state;
    socket_server_init(&server);
    server.config.quotas.clients = 8;
    socket_server_start(&server);
    for (int i = 0; i < 200; i++)
        peers[i] = peer_connect(server.path);
    l4vio_server_counters_read(server.server, &counters);
    assert_true(counters.clients <= 8);
    for (int i = 0; i < 200; i++)
        close(peers[i]);
    assert_true(socket_server_has_clients(&server, 0));
    assert_still_serves(&server);
    socket_server_end(&server);
}

static void regions_without_end_stay_within_the_quota(void **state)
{
    struct socket_server server;
    int memory = peer_memory(1 << 20);

    (void)state;
    socket_server_init(&server);
    server.config.quotas.regions = 1000;
    server.config.quotas.mapped_bytes = 16 << 20;
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    unsigned mappings = usage_now().mappings;
    for (unsigned i = 0; i < 100; i++) {
        struct l4vio_unix_call call = {.opcode = l4vio_swap32(L4VIO_CALL_REGISTER_DS),
                                       .base = l4vio_swap64((uint64_t)i << 20),
                                       .size = l4vio_swap64(1 << 20)};
        assert_int_equal(peer_call(peer, &call, memory, NULL), i < 16 ? 0 : L4VIO_ENOMEM);
    }
    assert_int_equal(usage_now().mappings, mappings + 16);
    close(peer);
    close(memory);
    assert_true(socket_server_has_clients(&server, 0));
    socket_server_end(&server);
}

static void rebinding_without_end_keeps_one_descriptor(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call bind = {.opcode = l4vio_swap32(L4VIO_UNIX_ICU_BIND)};
    int event = eventfd(0, EFD_CLOEXEC);

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    unsigned descriptors = usage_now().descriptors;
    for (int i = 0; i < 500; i++)
        assert_int_equal(peer_call(peer, &bind, event, NULL), 0);
    assert_int_equal(usage_now().descriptors, descriptors + 1);
    close(peer);
    close(event);
    socket_server_end(&server);
}

/* The answers fill the socket; the server does not wait, it lets the client go. */
static void client_that_takes_no_answers_is_let_go(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call call = {.opcode = l4vio_swap32(L4VIO_UNIX_ICU_INFO)};

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    for (int i = 0; i < 100000 && peer_send(peer, &call, sizeof(call), NULL, 0); i++)
        ;
    assert_true(peer_hangs_up(peer));
    assert_true(socket_server_logged(&server, "does not take its answers"));
    close(peer);
    assert_still_serves(&server);
    socket_server_end(&server);
}

struct storm {
    int fd;
    atomic_bool end;
};

static void *kick_on_and_on(void *argument)
{
    struct storm *storm = argument;
    uint64_t one = 1;

    while (!atomic_load(&storm->end)) {
        ssize_t written = write(storm->fd, &one, sizeof(one));
        (void)written;
    }
    return NULL;
}

static void storm_of_kicks_does_not_starve_others(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call call = {.opcode = l4vio_swap32(L4VIO_CALL_DEVICE_NOTIFICATION)};
    struct storm storm = {.fd = -1};
    static struct socket_driver driver;
    pthread_t thread;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    assert_int_equal(peer_call(peer, &call, -1, &storm.fd), 0);
    atomic_init(&storm.end, false);
    assert_int_equal(pthread_create(&thread, NULL, kick_on_and_on, &storm), 0);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_OUT, 0), 0);
    socket_driver_close(&driver);
    atomic_store(&storm.end, true);
    pthread_join(thread, NULL);
    close(storm.fd);
    close(peer);
    socket_server_end(&server);
}

/* Every descriptor of the process is in use: the next client is told, and the one after is served. */
static void clients_are_refused_when_descriptors_run_out(void **state)
{
    struct socket_server server;
    struct rlimit limit;
    struct rlimit low;
    unsigned char bytes[64];

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    assert_true(socket_server_has_clients(&server, 0));
    int peer = peer_connect(server.path);
    close(peer);
    assert_true(socket_server_has_clients(&server, 0));
    peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server.path, strlen(server.path) + 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)peer; /* No number is free below, but for the reserve. */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int connected = connect(peer, (const struct sockaddr *)&address, sizeof(address));
    int got = peer_receive(peer, bytes, sizeof(bytes), NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(connected, 0);
    assert_int_equal(got, sizeof(struct l4vio_unix_hello));
    close(peer);
    assert_still_serves(&server);
    socket_server_end(&server);
}

/* Every descriptor number is in use from now on. */
static struct rlimit use_up_descriptors(void)
{
    struct rlimit limit;
    int lowest = dup(STDERR_FILENO);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    close(lowest);
    const struct rlimit low = {.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    return limit;
}

/* A descriptor that does not arrive fails the call that it came with, not the connection. */
static void call_fails_alone_when_descriptors_run_out(void **state)
{
    struct socket_server server;
    static struct socket_driver driver;
    struct l4vio_unix_call call = {.opcode = l4vio_swap32(L4VIO_CALL_REGISTER_DS),
                                   .size = l4vio_swap64(4096)};
    struct l4vio_notification got = {.handle = L4VIO_NO_HANDLE};
    int memory = peer_memory(4096);

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
    const struct l4vio_transport *transport = &driver.driver.transport;
    uint64_t deadline_ns = l4vio_driver_deadline(&driver.driver, UINT64_C(5000000000));

    struct rlimit limit = use_up_descriptors();
    int of_server = peer_call(peer, &call, memory, NULL);
    int of_client = transport->ops->get_notification(transport->self, 0, &got, deadline_ns, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(of_server, L4VIO_ENOMEM);
    assert_int_equal(of_client, L4VIO_ENOMEM);

    assert_int_equal(peer_call(peer, &call, memory, NULL), 0);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_OUT, 0), 0);
    socket_driver_close(&driver);
    close(peer);
    close(memory);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_without_end_stay_within_the_quota),
        cmocka_unit_test(regions_without_end_stay_within_the_quota),
        cmocka_unit_test(rebinding_without_end_keeps_one_descriptor),
        cmocka_unit_test(client_that_takes_no_answers_is_let_go),
        cmocka_unit_test(storm_of_kicks_does_not_starve_others),
        cmocka_unit_test(clients_are_refused_when_descriptors_run_out),
        cmocka_unit_test(call_fails_alone_when_descriptors_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
