/* SPDX-License-Identifier: MIT */
/* Descriptors that are too many, too few, or not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
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

static struct l4vio_unix_call registration(uint64_t size)
{
    return (struct l4vio_unix_call){.opcode = l4vio_swap32(L4VIO_CALL_REGISTER_DS),
                                    .base = l4vio_swap64(0x200000),
                                    .size = l4vio_swap64(size)};
}

static void wrong_number_is_refused_and_nothing_leaks(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call call = registration(4096);
    struct l4vio_unix_call status = {.opcode = l4vio_swap32(L4VIO_CALL_SET_STATUS),
                                     .argument = l4vio_swap32(1)};
    struct l4vio_unix_call unknown = {.opcode = l4vio_swap32(2)};
    struct l4vio_unix_reply reply;
    int fds[4];

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    for (int i = 0; i < 4; i++)
        fds[i] = peer_memory(4096);
    unsigned descriptors = usage_now().descriptors;
    for (unsigned count = 0; count <= 4; count++) {
        assert_true(peer_send(peer, &call, sizeof(call), fds, count));
        assert_int_equal(peer_receive(peer, &reply, sizeof(reply), NULL), sizeof(reply));
        assert_int_equal((int)l4vio_swap32(reply.result), count == 1 ? 0 : L4VIO_EINVAL);
    }
    assert_int_equal(peer_call(peer, &status, fds[0], NULL), L4VIO_EINVAL);
    assert_int_equal(peer_call(peer, &unknown, fds[0], NULL), L4VIO_ENOSYS);
    assert_int_equal(usage_now().descriptors, descriptors);
    close(peer);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    socket_server_end(&server);
}

static void truncated_control_message_ends_the_connection(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call call = registration(4096);
    int fds[32];

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    for (int i = 0; i < 32; i++)
        fds[i] = peer_memory(4096);
    unsigned descriptors = usage_now().descriptors;
    for (unsigned count = 5; count <= 32; count += 9) {
        int peer = peer_connect_hello(server.path);
        assert_true(peer_send(peer, &call, sizeof(call), fds, count));
        assert_true(peer_hangs_up(peer));
        close(peer);
        assert_true(socket_server_has_clients(&server, 0));
        assert_int_equal(usage_now().descriptors, descriptors);
    }
    for (int i = 0; i < 32; i++)
        close(fds[i]);
    assert_still_serves(&server);
    socket_server_end(&server);
}

static void wrong_kinds_are_refused(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call call = registration(4096);
    struct l4vio_unix_call bind = {.opcode = l4vio_swap32(L4VIO_UNIX_ICU_BIND)};
    int event = eventfd(0, EFD_CLOEXEC);
    int good = peer_memory(4096);
    int unsealed = memfd_create("test", MFD_CLOEXEC);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    assert_int_equal(ftruncate(unsealed, 4096), 0);
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    const int no_memory[] = {event, unsealed, zero, null, peer};
    for (unsigned i = 0; i < sizeof(no_memory) / sizeof(no_memory[0]); i++)
        assert_int_equal(peer_call(peer, &call, no_memory[i], NULL), L4VIO_EINVAL);
    const int no_event[] = {good, zero, null, peer};
    for (unsigned i = 0; i < sizeof(no_event) / sizeof(no_event[0]); i++)
        assert_int_equal(peer_call(peer, &bind, no_event[i], NULL), L4VIO_EINVAL);
    assert_int_equal(peer_call(peer, &call, good, NULL), 0);
    assert_int_equal(peer_call(peer, &bind, event, NULL), 0);
    close(peer);
    assert_true(socket_server_has_clients(&server, 0));
    close(event);
    close(good);
    close(unsealed);
    close(zero);
    close(null);
    socket_server_end(&server);
}

static int sealed(unsigned seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* Another description of the same file. */
static int reopened(int fd, int flags)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

/* They are what is wanted, nearly. */
static void odd_kinds_are_refused(void **state)
{
    struct socket_server server;
    struct l4vio_unix_call call = registration(4096);
    struct l4vio_unix_call large = registration(8192);
    struct l4vio_unix_call bind = {.opcode = l4vio_swap32(L4VIO_UNIX_ICU_BIND)};
    int good = peer_memory(4096);
    int event = eventfd(0, EFD_CLOEXEC);
    int semaphore = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    const int odd[] = {
        sealed(F_SEAL_SHRINK),
        sealed(F_SEAL_GROW),
        sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
        sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE),
        reopened(good, O_RDONLY),
        reopened(good, O_PATH),
        reopened(event, O_PATH),
        open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600),
        epoll_create1(EPOLL_CLOEXEC),
    };

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    int peer = peer_connect_hello(server.path);
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        assert_int_equal(peer_call(peer, &call, odd[i], NULL), L4VIO_EINVAL);
        assert_int_equal(peer_call(peer, &bind, odd[i], NULL), L4VIO_EINVAL);
    }
    assert_int_equal(peer_call(peer, &large, good, NULL), L4VIO_ERANGE);
    /* How its owner reads it is its owner's business. */
    assert_int_equal(peer_call(peer, &bind, semaphore, NULL), 0);
    close(peer);
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        close(odd[i]);
    close(good);
    close(event);
    close(semaphore);
    assert_still_serves(&server);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_number_is_refused_and_nothing_leaks),
        cmocka_unit_test(truncated_control_message_ends_the_connection),
        cmocka_unit_test(wrong_kinds_are_refused),
        cmocka_unit_test(odd_kinds_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
