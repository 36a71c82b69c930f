/* SPDX-License-Identifier: MIT */
/* The server's socket file, who may connect, quotas, and the result of every call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_driver.h"
#include "socket_peer.h"
#include "socket_server.h"
#include "usage.h"

static int make_nothing(void *self, const struct l4vio_service_client *client, void **instance,
                        struct l4vio_device **device, struct l4vio_error *error)
{
    (void)self, (void)client, (void)instance, (void)device;
    return l4vio_fail(error, L4VIO_EBUSY, "nothing is served", 0);
}

static void destroy_nothing(void *self, void *instance)
{
    (void)self, (void)instance;
}

static unsigned process_nothing(void *instance, uint32_t queue, unsigned max)
{
    (void)instance, (void)queue, (void)max;
    return 0;
}

static const struct l4vio_service_ops nothing_ops = {
    .create = make_nothing, .destroy = destroy_nothing, .process = process_nothing};
static const struct l4vio_service unused_service = {.ops = &nothing_ops, .queue_count = 1};

static int open_server(const struct l4vio_server_config *config)
{
    struct l4vio_server *server = NULL;
    int result = l4vio_server_open(config, &server, NULL);

    if (result == L4VIO_OK)
        l4vio_server_close(server);
    return result;
}

static int connect_client(const char *path)
{
    static struct socket_driver driver;
    int result = socket_driver_open(&driver, path, 1);

    if (result == L4VIO_OK)
        socket_driver_close(&driver);
    return result;
}

static void socket_has_mode_0600_whatever_the_umask(void **state)
{
    struct socket_server server;
    struct stat status;
    const mode_t masks[] = {0, 077, 0277, 0777};

    (void)state;
    for (unsigned i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        socket_server_init(&server);
        mode_t old = umask(masks[i]);
        socket_server_start(&server);
        umask(old);
        assert_int_equal(lstat(server.path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 07777, 0600);
        socket_server_end(&server);
    }
}

static void live_server_keeps_its_path(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    assert_int_equal(open_server(&server.config), L4VIO_EEXIST);
    assert_int_equal(connect_client(server.path), 0);
    socket_server_end(&server);
}

static void stale_socket_is_replaced(void **state)
{
    struct socket_server server;
    struct stat before;
    struct stat after;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    /* A second name keeps the file when the server removes it; nobody listens there then. */
    char other[96];
    snprintf(other, sizeof(other), "%s/other", server.folder);
    assert_int_equal(link(server.path, other), 0);
    socket_server_stop(&server);
    assert_int_equal(rename(other, server.path), 0);
    assert_int_equal(lstat(server.path, &before), 0);
    assert_int_equal(connect_client(server.path), L4VIO_ENOENT);
    socket_server_start(&server);
    assert_int_equal(lstat(server.path, &after), 0);
    assert_int_equal(connect_client(server.path), 0);
    socket_server_end(&server);
}

static void other_files_are_left_alone(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.config.service = unused_service;
    int fd = open(server.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "data", 4), 4);
    close(fd);
    assert_int_equal(open_server(&server.config), L4VIO_EEXIST);
    assert_int_equal(connect_client(server.path), L4VIO_ENOENT);
    assert_int_equal(access(server.path, F_OK), 0);
    unlink(server.path);
    socket_server_end(&server);
}

static void socket_that_is_no_longer_ours_stays(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    unlink(server.path);
    int fd = open(server.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    socket_server_stop(&server);
    assert_int_equal(access(server.path, F_OK), 0);
    unlink(server.path);
    socket_server_end(&server);
}

static void bad_configurations_are_refused(void **state)
{
    struct socket_server server;
    struct l4vio_server_config config;
    char long_path[200];

    (void)state;
    socket_server_init(&server);
    server.config.service = unused_service;
    config = server.config;
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    config.path = long_path;
    assert_int_equal(open_server(&config), L4VIO_EINVAL);
    config.path = "";
    assert_int_equal(open_server(&config), L4VIO_EINVAL);
    config.path = "/nonexistent/folder/socket";
    assert_int_equal(open_server(&config), L4VIO_ENOENT);
    config = server.config;
    config.service.queue_count = 65;
    assert_int_equal(open_server(&config), L4VIO_EINVAL);
    config.service.queue_count = 0;
    assert_int_equal(open_server(&config), L4VIO_EINVAL);
    config = server.config;
    config.service.ops = NULL;
    assert_int_equal(open_server(&config), L4VIO_EINVAL);
    struct l4vio_service_ops lacking = *server.config.service.ops;
    config.service.ops = &lacking;
    lacking.process = NULL;
    assert_int_equal(open_server(&config), L4VIO_EINVAL);
    socket_server_end(&server);
}

static void sixty_four_queues_are_served(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call info = {.opcode = l4vio_swap32(L4VIO_UNIX_ICU_INFO)};
    struct l4vio_unix_reply reply;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        socket_server_init(&server);
        server.block.queue_count = 64;
        server.config.thread_per_queue = threads;
        socket_server_start(&server);
        assert_int_equal(connect_client(server.path), 0);
        int peer = peer_connect_hello(server.path);
        assert_true(peer_send(peer, &info, sizeof(info), NULL, 0));
        assert_int_equal(peer_receive(peer, &reply, sizeof(reply), NULL), sizeof(reply));
        assert_int_equal(l4vio_swap32(reply.value), 65);
        close(peer);
        socket_server_end(&server);
    }
}

static void uid_that_is_not_listed_is_refused(void **state)
{
    struct socket_server server;
    const uint32_t nobody[1] = {geteuid() + 4711};

    (void)state;
    socket_server_init(&server);
    server.config.allowed_uids = nobody;
    server.config.allowed_uid_count = 1;
    socket_server_start(&server);
    for (int i = 0; i < 20; i++)
        assert_int_equal(connect_client(server.path), L4VIO_EPERM);
    assert_true(socket_server_logged(&server, "not on the list"));
    assert_true(socket_server_logged(&server, "mode 0600"));
    socket_server_end(&server);
}

static void clients_above_the_quota_are_refused(void **state)
{
    struct socket_server server;
    int peers[3];

    (void)state;
    socket_server_init(&server);
    server.config.quotas.clients = 3;
    socket_server_start(&server);
    for (int i = 0; i < 3; i++)
        peers[i] = peer_connect_hello(server.path);
    for (int i = 0; i < 20; i++)
        assert_int_equal(connect_client(server.path), L4VIO_EBUSY);
    close(peers[1]);
    assert_true(socket_server_has_clients(&server, 2));
    assert_int_equal(connect_client(server.path), 0);
    close(peers[0]);
    close(peers[2]);
    socket_server_end(&server);
}

static struct l4vio_unix_call registration(uint64_t base, uint64_t offset, uint64_t size)
{
    return (struct l4vio_unix_call){.opcode = l4vio_swap32(L4VIO_CALL_REGISTER_DS),
                                    .base = l4vio_swap64(base),
                                    .offset = l4vio_swap64(offset),
                                    .size = l4vio_swap64(size)};
}

static int register_once(int peer, uint64_t memory, uint64_t base, uint64_t offset, uint64_t size)
{
    struct l4vio_unix_call call = registration(base, offset, size);
    int fd = peer_memory(memory);
    int result = peer_call(peer, &call, fd, NULL);

    close(fd);
    return result;
}

static void each_call_has_its_error_codes(void **state)
{
    struct socket_server server;
    int fd = -1;
    int event = eventfd(0, 0);

    (void)state;
    socket_server_init(&server);
    server.block.queue_count = 2;
    server.config.quotas.regions = 4;
    server.config.quotas.mapped_bytes = 1 << 20;
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);

    assert_int_equal(peer_simple(peer, L4VIO_CALL_CONFIG_QUEUE, 0), L4VIO_EINVAL);
    assert_int_equal(peer_simple(peer, L4VIO_CALL_CONFIG_QUEUE, 2), L4VIO_ERANGE);
    assert_int_equal(peer_simple(peer, L4VIO_CALL_SET_STATUS, 1), L4VIO_OK);
    assert_int_equal(peer_simple(peer, L4VIO_CALL_SET_STATUS, 0x100), L4VIO_EINVAL);
    assert_int_equal(peer_simple(peer, L4VIO_CALL_SET_STATUS, 0), L4VIO_OK);
    assert_int_equal(peer_simple(peer, 2, 0), L4VIO_ENOSYS);
    assert_int_equal(peer_simple(peer, L4VIO_CALL_DEVICE_NOTIFICATION, 3), L4VIO_ERANGE);
    assert_int_equal(peer_simple(peer, L4VIO_UNIX_RESET_QUEUE, 1), L4VIO_OK);
    assert_int_equal(peer_simple(peer, L4VIO_UNIX_RESET_QUEUE, 2), L4VIO_ERANGE);

    struct l4vio_unix_call bind = {.opcode = l4vio_swap32(L4VIO_UNIX_ICU_BIND),
                                   .argument = l4vio_swap32(2)};
    assert_int_equal(peer_call(peer, &bind, event, NULL), L4VIO_OK);
    bind.argument = l4vio_swap32(3);
    assert_int_equal(peer_call(peer, &bind, event, NULL), L4VIO_ERANGE);

    assert_int_equal(register_once(peer, 8192, 0x200000, 0, 8192), L4VIO_OK);
    assert_int_equal(register_once(peer, 8192, 0x201000, 0, 8192), L4VIO_EINVAL); /* Overlap. */
    assert_int_equal(register_once(peer, 8192, 0x300000, 0, 0), L4VIO_EINVAL);
    assert_int_equal(register_once(peer, 8192, 0x300000, 100, 4096), L4VIO_EINVAL);
    assert_int_equal(register_once(peer, 8192, 0x300001, 0, 4096), L4VIO_EINVAL);
    assert_int_equal(register_once(peer, 8192, 0x300000, 12288, 1), L4VIO_ERANGE);
    assert_int_equal(register_once(peer, 8192, 0x300000, 4096, 8192), L4VIO_ERANGE);
    assert_int_equal(register_once(peer, 8192, 0x300000, 4096, UINT64_MAX), L4VIO_EINVAL);
    assert_int_equal(register_once(peer, 8192, UINT64_MAX - 4095, 0, 8192), L4VIO_EINVAL);
    assert_int_equal(register_once(peer, 4 << 20, 0x400000, 0, 4 << 20), L4VIO_ENOMEM);
    struct l4vio_unix_call back = {.opcode = l4vio_swap32(L4VIO_UNIX_UNREGISTER_DS),
                                   .base = l4vio_swap64(0x200000),
                                   .size = l4vio_swap64(4096)};
    assert_int_equal(peer_call(peer, &back, -1, NULL), L4VIO_ENOENT);
    back.size = l4vio_swap64(8192);
    assert_int_equal(peer_call(peer, &back, -1, NULL), L4VIO_OK);

    struct l4vio_unix_call config = {.opcode = l4vio_swap32(L4VIO_CALL_DEVICE_CONFIG)};
    assert_int_equal(peer_call(peer, &config, -1, &fd), L4VIO_OK);
    uint64_t size = 0;
    assert_int_equal(l4vio_linux_check_memfd(fd, &size, NULL), 0);
    assert_true(size >= L4VIO_PAGE_BYTES);
    close(fd);
    close(event);
    close(peer);
    socket_server_end(&server);
}

/* A reset gives table slots and mappings back (S7). */
static void reset_releases_registered_memory(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.config.quotas.regions = 4;
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    unsigned mappings = usage_now().mappings;
    for (int round = 0; round < 5; round++) {
        for (uint64_t i = 0; i < 4; i++)
            assert_int_equal(register_once(peer, 4096, i << 20, 0, 4096), L4VIO_OK);
        assert_int_equal(register_once(peer, 4096, UINT64_C(9) << 20, 0, 4096), L4VIO_ENOMEM);
        assert_int_equal(usage_now().mappings, mappings + 4);
        assert_int_equal(peer_simple(peer, L4VIO_CALL_SET_STATUS, 0), L4VIO_OK);
        assert_int_equal(usage_now().mappings, mappings);
    }
    close(peer);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socket_has_mode_0600_whatever_the_umask),
        cmocka_unit_test(live_server_keeps_its_path),
        cmocka_unit_test(stale_socket_is_replaced),
        cmocka_unit_test(other_files_are_left_alone),
        cmocka_unit_test(socket_that_is_no_longer_ours_stays),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(sixty_four_queues_are_served),
        cmocka_unit_test(uid_that_is_not_listed_is_refused),
        cmocka_unit_test(clients_above_the_quota_are_refused),
        cmocka_unit_test(each_call_has_its_error_codes),
        cmocka_unit_test(reset_releases_registered_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
