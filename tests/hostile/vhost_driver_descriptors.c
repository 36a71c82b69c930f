/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of every kind where one is expected, far too many of them, descriptors that are full or closed
 * at the other end; clients that flood, that stop in the middle, that come in crowds. Nothing blocks, nothing
 * is left open, the next client is served.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_attacker.h"

#define FULL  UINT64_C(0xfffffffffffffffe)
#define MANY  253u /* As many as the kernel passes at once. */
#define FLOOD 20000u

static void live(struct vhost_attacker *attacker, struct socket_server *server)
{
    vhost_attacker_open(attacker, server);
    assert_int_equal(vhost_attacker_live(attacker), 0);
}

static void kinds_of_descriptors(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;
    int pair[2], channel[2];

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    live(&attacker, &server);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(channel, O_CLOEXEC), 0);
    const int kinds[] = {
        pair[0],
        channel[0],
        attacker.memory_fd,
        attacker.socket,
        open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        open("/dev/zero", O_RDWR | O_CLOEXEC),
        open("/dev/null", O_PATH | O_CLOEXEC),
        epoll_create1(EPOLL_CLOEXEC),
    };
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint32_t request = RAW_SET_VRING_KICK; request <= RAW_SET_VRING_ERR; request++) {
            /* Sockets may be triggered, but not its own connection, which would never end then. */
            int expected = i != 0 || request == RAW_SET_VRING_KICK;
            if (vhost_attacker_tell_number(&attacker, request, 0, kinds[i]) != expected)
                fail_msg("request %u, descriptor %u", request, i);
        }
        /* Only a connected stream socket is a channel. */
        int result = vhost_attacker_tell(&attacker, RAW_SET_BACKEND_REQ_FD, NULL, 0, kinds[i]);
        assert_int_equal(result, i != 0);
    }
    assert_int_equal(vhost_attacker_tell(&attacker, RAW_SET_BACKEND_REQ_FD, NULL, 0, -1), 1);
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_VRING_CALL, 0, attacker.call),
                     0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    for (unsigned i = 4; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        close(kinds[i]);
    close(pair[0]);
    close(pair[1]);
    close(channel[0]);
    close(channel[1]);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    socket_server_end(&server);
}

/* Counters that are full, pipes that nobody reads, the other end closed, one eventfd for everything. */
static void descriptors_that_take_nothing_more(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;
    const uint64_t full = FULL;
    int channel[2];

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    uint64_t count;
    (void)!read(attacker.call, &count, sizeof(count));
    assert_int_equal(write(attacker.call, &full, sizeof(full)), sizeof(full));
    assert_int_equal(write(attacker.err, &full, sizeof(full)), sizeof(full));
    int blocking = fcntl(attacker.call, F_GETFL);
    assert_int_equal(fcntl(attacker.call, F_SETFL, blocking & ~O_NONBLOCK), 0);
    for (int i = 0; i < 20; i++) {
        struct raw_used used;
        vhost_attacker_submit(&attacker, VIRTIO_BLK_T_IN);
        while (!raw_ring_get_used(&attacker.ring, &used)) {}
    }
    assert_int_equal(fcntl(attacker.call, F_SETFL, blocking | O_NONBLOCK), 0);

    assert_int_equal(pipe2(channel, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(channel[1], &full, sizeof(full)) == (ssize_t)sizeof(full)) {}
    assert_int_equal(fcntl(channel[1], F_SETFL, 0), 0);
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_VRING_CALL, 0, channel[1]), 0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    close(channel[0]);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    close(channel[1]);

    for (uint32_t request = RAW_SET_VRING_KICK; request <= RAW_SET_VRING_ERR; request++) {
        assert_int_equal(vhost_attacker_tell_number(&attacker, request, 0, attacker.kick), 0);
        assert_int_equal(vhost_attacker_tell_number(&attacker, request, 1, attacker.kick), 0);
    }
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static bool send_many(int socket, const void *bytes, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(MANY * sizeof(int))];
    } control = {0};
    struct iovec iovec = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(MANY * sizeof(int));
    for (unsigned i = 0; i < MANY; i++)
        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &fd, sizeof(int));
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

static void as_many_descriptors_as_go_into_a_message(void **state)
{
    const uint32_t header[3] = {RAW_GET_FEATURES, 1, 0};
    struct socket_server server;
    struct vhost_attacker attacker;
    struct raw_message reply;

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    live(&attacker, &server);
    for (int i = 0; i < 50; i++) {
        /* In one piece, and byte by byte. */
        assert_true(send_many(attacker.socket, header, sizeof(header), attacker.kick));
        assert_true(raw_backend_receive(attacker.socket, &reply));
    }
    const struct usage now = usage_now();
    for (size_t i = 0; i < sizeof(header); i++)
        assert_true(send_many(attacker.socket, (const char *)header + i, 1, attacker.kick));
    assert_true(raw_backend_receive(attacker.socket, &reply));
    assert_int_equal(usage_now().descriptors, now.descriptors);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    socket_server_end(&server);
}

/* It sends, and does not read: we let go of it before anything grows. */
static void questions_whose_answers_nobody_takes(void **state)
{
    static const uint32_t requests[] = {RAW_GET_FEATURES, RAW_GET_INFLIGHT_FD, RAW_GET_CONFIG};
    static const uint32_t sizes[] = {0, 24, 12};
    const uint64_t payloads[][3] = {{0}, {0, 0, 1 | ATTACK_QUEUE_SIZE << 16}, {UINT64_C(64) << 32}};
    struct socket_server server;

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    for (unsigned k = 0; k < 3; k++) {
        struct vhost_attacker attacker;
        unsigned sent = 0;
        vhost_attacker_open(&attacker, &server);
        assert_int_equal(vhost_attacker_live(&attacker), 0);
        while (sent < FLOOD &&
               vhost_attacker_send(&attacker, requests[k], 1, payloads[k], sizes[k], NULL, 0))
            sent++;
        assert_true(sent < FLOOD);
        vhost_attacker_close(&attacker);
    }
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    socket_server_end(&server);
}

/* Who says nothing at all, or half of a message, is let go after a while; who has spoken may be silent. */
static void half_messages(void **state)
{
    const uint32_t header[3] = {RAW_SET_FEATURES, 1, 8};
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.config.quotas.hello_timeout_ms = 100;
    vhost_attacked_run(&server);
    for (size_t bytes = 0; bytes <= sizeof(header); bytes += 4) {
        struct vhost_attacker attacker;
        vhost_attacker_open(&attacker, &server);
        raw_backend_send_bytes(attacker.socket, header, bytes, NULL, 0);
        if (!vhost_attacker_is_hung_up(&attacker))
            fail_msg("%zu bytes", bytes);
        vhost_attacker_close(&attacker);
    }
    struct vhost_attacker attacker;
    live(&attacker, &server);
    assert_true(raw_backend_send_bytes(attacker.socket, header, 5, NULL, 0));
    /* Its rings go on, and the others wait outside. */
    for (int i = 0; i < 30; i++)
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    assert_true(socket_server_has_clients(&server, 1));
    assert_true(socket_server_logged(&server, "uid"));
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

/* All come at once, and most go away before they are let in. */
static void crowds_of_clients(void **state)
{
    struct socket_server server;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sockets[200];

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    strncpy(address.sun_path, server.path, sizeof(address.sun_path) - 1);
    for (int round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 200; i++) {
            sockets[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            (void)!connect(sockets[i], (struct sockaddr *)&address, sizeof(address));
        }
        for (unsigned i = 0; i < 200; i++)
            close(sockets[i]);
    }
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    socket_server_end(&server);
}

/* What comes in while there is no number left for it is refused, and the connection goes on. */
static void no_descriptors_left(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;
    struct rlimit limit;

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(attacker.call);
    close(lowest);
    const struct rlimit few = {(rlim_t)lowest, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_VRING_CALL, 0, attacker.call),
                     1);
    assert_int_equal(vhost_attacker_add_region(&attacker, ATTACK_GUEST * 2, 4096, ATTACK_USER * 2,
                                               0, attacker.memory_fd),
                     1);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_VRING_CALL, 0, attacker.call),
                     0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_descriptors),
        cmocka_unit_test(descriptors_that_take_nothing_more),
        cmocka_unit_test(as_many_descriptors_as_go_into_a_message),
        cmocka_unit_test(questions_whose_answers_nobody_takes),
        cmocka_unit_test(half_messages),
        cmocka_unit_test(crowds_of_clients),
        cmocka_unit_test(no_descriptors_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
