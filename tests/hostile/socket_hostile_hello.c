/* SPDX-License-Identifier: MIT */
/* A server that answers the hello wrongly, late, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_peer.h"
#include "socket_victim.h"
#include "usage.h"

static int say(int socket, const struct l4vio_unix_hello *hello, size_t size)
{
    unsigned char bytes[256] = {0};
    struct l4vio_unix_hello theirs;

    if (peer_receive(socket, &theirs, sizeof(theirs), NULL) != (int)sizeof(theirs))
        return -1;
    memcpy(bytes, hello, sizeof(*hello));
    peer_send(socket, bytes, size, NULL, 0);
    return 0;
}

static int wrong_magic(int socket)
{
    struct l4vio_unix_hello hello = peer_hello();
    hello.magic = 1;
    return say(socket, &hello, sizeof(hello));
}

static int too_short(int socket)
{
    struct l4vio_unix_hello hello = peer_hello();
    return say(socket, &hello, sizeof(hello) - 1);
}

static int too_long(int socket)
{
    struct l4vio_unix_hello hello = peer_hello();
    return say(socket, &hello, 200);
}

static int other_version(int socket)
{
    struct l4vio_unix_hello hello = peer_hello();
    hello.version = l4vio_swap32(7);
    return say(socket, &hello, sizeof(hello));
}

static int positive_result(int socket)
{
    struct l4vio_unix_hello hello = peer_hello();
    hello.result = l4vio_swap32(5);
    return say(socket, &hello, sizeof(hello));
}

static int hang_up(int socket)
{
    (void)socket;
    return 0;
}

static int with_descriptor(int socket)
{
    struct l4vio_unix_hello hello = peer_hello();
    struct l4vio_unix_hello theirs;
    int fd = peer_memory(4096);

    peer_receive(socket, &theirs, sizeof(theirs), NULL);
    peer_send(socket, &hello, sizeof(hello), &fd, 1);
    close(fd);
    return 0;
}

static int say_nothing(int socket)
{
    return peer_hangs_up(socket) ? 0 : -1;
}

static void wrong_hellos_are_refused(void **state)
{
    struct victim victim;
    const struct {
        int (*script)(int socket);
        int result;
    } cases[] = {{wrong_magic, L4VIO_EBADPROTO},     {too_short, L4VIO_EBADPROTO},
                 {too_long, L4VIO_EBADPROTO},        {other_version, L4VIO_ENOSYS},
                 {positive_result, L4VIO_EBADPROTO}, {hang_up, L4VIO_EPIPE},
                 {with_descriptor, L4VIO_EBADPROTO}};

    (void)state;
    unsigned descriptors = usage_now().descriptors;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(victim_open(&victim, cases[i].script, 0), cases[i].result);
        victim_close(&victim);
    }
    assert_int_equal(usage_now().descriptors, descriptors);
}

static void silent_server_times_out(void **state)
{
    struct victim victim;

    (void)state;
    assert_int_equal(victim_open(&victim, say_nothing, SHORT_NS), L4VIO_ETIMEDOUT);
    victim_close(&victim);
}

static void socket_of_another_kind_is_told_apart(void **state)
{
    struct victim victim;

    (void)state;
    assert_int_equal(victim_open(&victim, hang_up, 0), L4VIO_EPIPE);
    char other[96];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(other, sizeof(other), "%s/stream", victim.server.folder);
    memcpy(address.sun_path, other, strlen(other) + 1);
    int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(stream, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(stream, 1), 0);
    assert_int_equal(l4vio_l4_client_connect(other, &victim.platform, 0, &victim.client,
                                             &victim.transport, NULL),
                     L4VIO_EBADPROTO);
    close(stream);
    unlink(other);
    victim_close(&victim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_hellos_are_refused),
        cmocka_unit_test(silent_server_times_out),
        cmocka_unit_test(socket_of_another_kind_is_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
