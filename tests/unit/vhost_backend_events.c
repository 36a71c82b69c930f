/* SPDX-License-Identifier: MIT */
/*
 * What both sides tell each other over vhost-user besides messages: kicks, calls, errors, configuration; memory
 * that is cut short; clients that come in other ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "raw_frontend.h"

#define BIT(number) (UINT64_C(1) << (number))

/* Fills it up, with a description that would wait from now on. */
static void fill(int fd)
{
    char bytes[4096] = {0};

    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    while (write(fd, bytes, 1) > 0)
        ;
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

static void works_with_call(struct raw_frontend *front, int ends[2])
{
    char bytes[8];

    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_CALL, 0, ends[1]), 0);
    front_expect_works(front, 0);
    assert_true(front_triggered(ends[0], 5000));
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_CALL, 0, ends[1]), 0);
    fill(ends[1]);
    for (int i = 0; i < 5; i++)
        front_expect_works(front, 0);
    assert_int_equal(read(ends[0], bytes, sizeof(bytes)), sizeof(bytes));
    close(ends[0]); /* Nobody reads. */
    close(ends[1]);
    for (int i = 0; i < 5; i++)
        front_expect_works(front, 0);
}

static void calls_may_go_through_a_pipe(void **state)
{
    struct raw_frontend *front = *state;
    int ends[2];

    front_up(front);
    assert_int_equal(pipe(ends), 0);
    works_with_call(front, ends);
}

static void calls_may_go_through_a_socket(void **state)
{
    struct raw_frontend *front = *state;
    int ends[2];

    front_up(front);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    works_with_call(front, ends);
}

static void a_full_eventfd_stops_nobody(void **state)
{
    struct raw_frontend *front = *state;
    uint64_t most = UINT64_MAX - 1;

    front_up(front);
    front_sync(front);
    front_triggered(front->call[0], 0); /* Whatever a ring says when it begins. */
    assert_int_equal(write(front->call[0], &most, sizeof(most)), sizeof(most));
    int flags = fcntl(front->call[0], F_GETFL);
    assert_int_equal(fcntl(front->call[0], F_SETFL, flags & ~O_NONBLOCK), 0);
    for (int i = 0; i < 5; i++)
        front_expect_works(front, 0);
}

static void who_polls_is_not_called(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_CALL, VHOST_USER_VRING_NOFD | 0, -1),
                     0);
    front_triggered(front->call[0], 0);
    front_expect_works(front, 0);
    assert_false(front_triggered(front->call[0], 0));
}

static void kicks_need_a_descriptor(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD | 0, -1),
                     1);
    assert_true(socket_server_logged(&front->server, "rings are not polled"));
    front_expect_works(front, 0); /* By the old one. */
}

static void other_descriptors_are_refused(void **state)
{
    struct raw_frontend *front = *state;
    int ends[2];
    const uint32_t requests[] = {VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
                                 VHOST_USER_SET_VRING_ERR};

    front_up(front);
    assert_int_equal(pipe(ends), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(front_ask_u64(front, requests[i], 0, front->memory_fd), 1);
        assert_int_equal(front_ask_u64(front, requests[i], 0, ends[0]), 1);
        assert_int_equal(front_ask_u64(front, requests[i], FRONT_QUEUES, front->err[0]), 1);
        assert_int_equal(front_ask_u64(front, requests[i], 0x200, front->err[0]), 1);
        assert_int_equal(front_ask_u64(front, requests[i], 0, -1), 1);
        assert_int_equal(front_ask_u64(front, requests[i], VHOST_USER_VRING_NOFD, front->err[0]),
                         1);
    }
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_KICK, 0, ends[1]), 1);
    close(ends[0]);
    close(ends[1]);
    front_expect_works(front, 0);
}

static void kicks_may_be_replaced_and_shared(void **state)
{
    struct raw_frontend *front = *state;
    int first = front->kick[0];

    front_up(front);
    front->kick[0] = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_KICK, 0, front->kick[0]), 0);
    front_expect_works(front, 0);
    close(front->kick[0]);
    front->kick[0] = first;
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_KICK, 0, front->kick[1]), 0);
    front_publish(front, 0, 0, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 1);
    assert_int_equal(front_complete(front, 0), 0);
    front_expect_works(front, 1);
}

/* Configuration. */

static struct vhost_user_config *get_config(struct raw_frontend *front, uint32_t offset,
                                            uint32_t size)
{
    struct vhost_user_config config = {.offset = offset, .size = size};

    front_send(front, VHOST_USER_GET_CONFIG, 0, &config, VHOST_USER_CONFIG_HEADER_BYTES + size,
               NULL, 0);
    struct l4vio_vhost_message *answer = front_receive(front, VHOST_USER_GET_CONFIG);
    if (answer->header.size == 0)
        return NULL;
    assert_int_equal(answer->header.size, VHOST_USER_CONFIG_HEADER_BYTES + size);
    assert_int_equal(answer->u.config.offset, offset);
    assert_int_equal(answer->u.config.size, size);
    return &answer->u.config;
}

static uint64_t set_config(struct raw_frontend *front, uint32_t offset, uint8_t value,
                           uint32_t flags)
{
    struct vhost_user_config config = {
        .offset = offset, .size = 1, .flags = flags, .payload = {value}};

    return front_ask(front, VHOST_USER_SET_CONFIG, &config, VHOST_USER_CONFIG_HEADER_BYTES + 1,
                     NULL, 0);
}

static void configuration_is_read_and_partly_written(void **state)
{
    struct raw_frontend *front = *state;
    const uint32_t writeback = offsetof(struct virtio_blk_config, writeback);
    uint64_t capacity;

    front_up(front);
    memcpy(&capacity, get_config(front, 0, 60)->payload, sizeof(capacity));
    assert_int_equal(capacity, SOCKET_STORE_BYTES / 512);
    assert_int_equal(get_config(front, 200, 56)->payload[0], 0);
    assert_null(get_config(front, 200, 57));
    assert_null(get_config(front, UINT32_MAX, 1));
    assert_int_equal(get_config(front, writeback, 1)->payload[0], 1);
    assert_int_equal(set_config(front, writeback, 0, 0), 0);
    assert_int_equal(get_config(front, writeback, 1)->payload[0], 0);
    assert_int_equal(set_config(front, 0, 1, 0), 1);
    assert_int_equal(set_config(front, 300, 1, 0), 1);
    assert_int_equal(set_config(front, 0, 1, VHOST_USER_CONFIG_FLAG_MIGRATION), 0);
    memcpy(&capacity, get_config(front, 0, 8)->payload, sizeof(capacity));
    assert_int_equal(capacity, SOCKET_STORE_BYTES / 512);
}

static void changes_are_told_over_the_channel(void **state)
{
    struct raw_frontend *front = *state;
    struct l4vio_vhost_reader reader = {0};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    front_up(front);
    assert_int_equal(front_ask(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &front->memory_fd, 1),
                     1);
    assert_int_equal(front_ask(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, NULL, 0), 1);
    assert_int_equal(front_ask(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
    front_break(front, 0); /* DEVICE_NEEDS_RESET is a change that a driver is told of. */
    struct pollfd poll_fd = {.fd = pair[0], .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 5000), 1);
    assert_int_equal(l4vio_vhost_receive(pair[0], &reader), 0);
    assert_int_equal(reader.message.header.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
    assert_int_equal(reader.message.header.size, 0);
    close(pair[0]);
    close(pair[1]);
    front_expect_others_served(front);
}

/* A channel that nobody reads: told when there is room. */
static void a_full_channel_waits(void **state)
{
    struct raw_frontend *front = *state;
    char bytes[4096];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    front_up(front);
    assert_int_equal(front_ask(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
    fill(pair[1]);
    front_break(front, 0);
    assert_true(front_triggered(front->err[0], 5000));
    front_sync(front);
    struct vhost_user_header header = {0};
    ssize_t got, last = 0;
    struct pollfd poll_fd = {.fd = pair[0], .events = POLLIN};
    while (last < (ssize_t)sizeof(header) && poll(&poll_fd, 1, 5000) == 1) {
        got = recv(pair[0], bytes, sizeof(bytes), 0);
        assert_true(got > 0);
        for (ssize_t i = 0; i + (ssize_t)sizeof(header) <= got; i++) {
            memcpy(&header, bytes + i, sizeof(header));
            if (header.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)
                last = sizeof(header);
        }
    }
    assert_int_equal(last, sizeof(header));
    close(pair[0]);
    close(pair[1]);
}

/* Memory that is cut short. */

static struct l4vio_server *_Atomic guarded;

static void on_fault(int number, siginfo_t *info, void *context)
{
    struct l4vio_server *server = atomic_load(&guarded);

    (void)context;
    if (!server || !l4vio_server_memory_fault(server, info->si_addr))
        signal(number, SIG_DFL);
}

static void memory_that_is_cut_short_needs_a_reset(void **state)
{
    struct raw_frontend *front = *state;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    const int kept = 0x10000; /* The rings stay. */

    sigaction(SIGBUS, &action, NULL);
    atomic_store(&guarded, front->server.server);
    front_up(front);
    front_expect_works(front, 0);
    front_publish(front, 0, 0, VIRTIO_BLK_T_IN, 0);
    assert_int_equal(ftruncate(front->memory_fd, kept), 0);
    front_kick(front, 0);
    assert_true(front_triggered(front->err[0], 5000));
    front_sync(front);
    assert_true(socket_server_logged(&front->server, "cut its memory short"));

    /* It is not lost for ever. */
    assert_int_equal(ftruncate(front->memory_fd, FRONT_MEMORY_BYTES), 0);
    assert_int_equal(front_ask(front, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++)
        front_fresh_ring(front, i);
    front_up(front);
    front_expect_works(front, 0);
    front_expect_works(front, 1);
    atomic_store(&guarded, NULL);
    signal(SIGBUS, SIG_DFL);
}

/* Clients that come in other ways. */

static int listen_at(struct raw_frontend *front)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, front->server.path, sizeof(front->server.path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void a_server_may_go_to_its_client(void **state)
{
    struct raw_frontend *front = front_new(FRONT_SPLIT);

    (void)state;
    front->server.config.connect = true;
    socket_server_start(&front->server); /* Nobody listens yet. */
    int listener = listen_at(front);
    for (int i = 0; i < 2; i++) {
        front->socket = accept(listener, NULL, NULL);
        assert_true(front->socket >= 0);
        for (uint32_t j = 0; j < FRONT_QUEUES; j++)
            front_fresh_ring(front, j);
        front_up(front);
        front_expect_works(front, 0);
        front_hang_up(front); /* It comes again. */
    }
    close(listener);
    assert_int_equal(unlink(front->server.path), 0);
    front_free(front);
}

static void who_says_nothing_is_let_go(void **state)
{
    struct raw_frontend *front = front_new(FRONT_SPLIT);

    (void)state;
    front->server.config.quotas.hello_timeout_ms = 50;
    front_start(front);
    front_expect_end(front);
    front_connect(front);
    front_up(front);
    front_expect_works(front, 0);
    front_free(front);
}

static void queues_may_have_threads_of_their_own(void **state)
{
    struct raw_frontend *front = front_new(FRONT_PACKED);

    (void)state;
    front->server.config.thread_per_queue = true;
    front_start(front);
    front_up(front);
    for (int i = 0; i < 20; i++) {
        front_expect_works(front, 0);
        front_publish(front, 1, 6, VIRTIO_BLK_T_IN, 0);
        front_kick(front, 1);
        front_stop_ring(front, 0);
        front_ring(front, 0);
        front_complete(front, 1);
    }
    front_free(front);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_EVERY(calls_may_go_through_a_pipe),
        FRONT_EVERY(calls_may_go_through_a_socket),
        FRONT_ONE(a_full_eventfd_stops_nobody),
        FRONT_ONE(who_polls_is_not_called),
        FRONT_ONE(kicks_need_a_descriptor),
        FRONT_ONE(other_descriptors_are_refused),
        FRONT_EVERY(kicks_may_be_replaced_and_shared),
        FRONT_ONE(configuration_is_read_and_partly_written),
        FRONT_EVERY(changes_are_told_over_the_channel),
        FRONT_ONE(a_full_channel_waits),
        FRONT_EVERY(memory_that_is_cut_short_needs_a_reset),
        cmocka_unit_test(a_server_may_go_to_its_client),
        cmocka_unit_test(who_says_nothing_is_let_go),
        cmocka_unit_test(queues_may_have_threads_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
