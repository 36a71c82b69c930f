/* SPDX-License-Identifier: MIT */
/* vhost-user messages cut out of a stream, with their descriptors. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <l4vio/error.h>

#include "transports/vhost_user/message.h"

static void make_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static struct l4vio_vhost_message numbered(uint32_t request, uint64_t number)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(request);

    message.header.size = sizeof(message.u.u64);
    message.u.u64 = number;
    return message;
}

static void messages_come_out_as_they_went_in(void **state)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};
    (void)state;

    make_pair(pair);
    for (uint64_t i = 0; i < 3; i++) {
        struct l4vio_vhost_message message = numbered(VHOST_USER_SET_FEATURES, i);
        assert_int_equal(l4vio_vhost_send(pair[0], &message), L4VIO_OK);
    }
    struct l4vio_vhost_message empty = l4vio_vhost_request(VHOST_USER_SET_OWNER);
    assert_int_equal(l4vio_vhost_send(pair[0], &empty), L4VIO_OK);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
        assert_int_equal(reader.message.header.request, VHOST_USER_SET_FEATURES);
        assert_int_equal(reader.message.u.u64, i);
    }
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_int_equal(reader.message.header.request, VHOST_USER_SET_OWNER);
    assert_int_equal(reader.message.header.size, 0);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_EAGAIN);
    close(pair[0]);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_EPIPE);
    close(pair[1]);
}

static void message_in_single_bytes_is_whole_with_the_last(void **state)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};
    struct l4vio_vhost_message message = numbered(VHOST_USER_SET_FEATURES, 0x1122334455667788u);
    unsigned char bytes[sizeof(message.header) + sizeof(uint64_t)];
    (void)state;

    make_pair(pair);
    memcpy(bytes, &message.header, sizeof(message.header));
    memcpy(bytes + sizeof(message.header), &message.u.u64, sizeof(uint64_t));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_EAGAIN);
        assert_int_equal(write(pair[0], &bytes[i], 1), 1);
    }
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_int_equal(reader.message.u.u64, 0x1122334455667788u);
    close(pair[0]);
    close(pair[1]);
}

static void descriptors_arrive_with_their_message_and_no_other(void **state)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};
    struct l4vio_vhost_message message = numbered(VHOST_USER_SET_VRING_KICK, 0);
    (void)state;

    make_pair(pair);
    unsigned before = open_descriptors();
    message.fds.fd[0] = message.fds.fd[1] = pair[0];
    message.fds.count = 2;
    assert_int_equal(l4vio_vhost_send(pair[0], &message), L4VIO_OK);
    message.fds.count = 0;
    assert_int_equal(l4vio_vhost_send(pair[0], &message), L4VIO_OK);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_int_equal(reader.message.fds.count, 2);
    assert_true(fcntl(reader.message.fds.fd[0], F_GETFD) & FD_CLOEXEC);
    /* Nobody took them. */
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_int_equal(reader.message.fds.count, 0);
    assert_int_equal(open_descriptors(), before);
    close(pair[0]);
    close(pair[1]);
}

static void surplus_descriptors_are_closed_and_told_of(void **state)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_SET_OWNER);
    int fds[L4VIO_SOCKET_FDS_MAX];
    (void)state;

    make_pair(pair);
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < L4VIO_SOCKET_FDS_MAX; i++)
        fds[i] = pair[0];
    /* Two parts of one message, with as many descriptors as there is room for, each. */
    unsigned char *header = (unsigned char *)&message.header;
    assert_int_equal(l4vio_socket_send(pair[0], header, 4, fds, L4VIO_SOCKET_FDS_MAX), L4VIO_OK);
    assert_int_equal(l4vio_socket_send(pair[0], header + 4, 8, fds, 1), L4VIO_OK);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_true(reader.message.fds.surplus);
    l4vio_vhost_reader_drop(&reader);
    assert_int_equal(open_descriptors(), before);
    close(pair[0]);
    close(pair[1]);
}

static void unknown_long_payload_is_skipped(void **state)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};
    struct l4vio_vhost_message message = l4vio_vhost_request(1000);
    static const unsigned char junk[3000];
    (void)state;

    make_pair(pair);
    message.header.size = sizeof(junk);
    assert_int_equal(write(pair[0], &message.header, sizeof(message.header)),
                     sizeof(message.header));
    assert_int_equal(write(pair[0], junk, sizeof(junk)), sizeof(junk));
    message = numbered(VHOST_USER_SET_FEATURES, 7);
    assert_int_equal(l4vio_vhost_send(pair[0], &message), L4VIO_OK);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_int_equal(reader.message.header.request, 1000);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_OK);
    assert_int_equal(reader.message.u.u64, 7);
    close(pair[0]);
    close(pair[1]);
}

static void refuse(const struct vhost_user_header *header)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};

    make_pair(pair);
    unsigned before = open_descriptors();
    assert_int_equal(l4vio_socket_send(pair[0], header, sizeof(*header), &pair[0], 1), L4VIO_OK);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_EBADPROTO);
    assert_int_equal(open_descriptors(), before);
    close(pair[0]);
    close(pair[1]);
}

static void wrong_version_and_absurd_length_are_refused(void **state)
{
    (void)state;
    refuse(&(struct vhost_user_header){1, 0, 0});
    refuse(&(struct vhost_user_header){1, 2, 0});
    refuse(&(struct vhost_user_header){1, VHOST_USER_VERSION, L4VIO_VHOST_SKIPPED_BYTES + 1});
    refuse(&(struct vhost_user_header){1, VHOST_USER_VERSION, UINT32_MAX});
}

static void end_in_the_middle_leaves_no_descriptor(void **state)
{
    int pair[2];
    struct l4vio_vhost_reader reader = {0};
    struct l4vio_vhost_message message = numbered(VHOST_USER_SET_VRING_KICK, 0);
    (void)state;

    unsigned before = open_descriptors();
    make_pair(pair);
    assert_int_equal(
        l4vio_socket_send(pair[0], &message.header, sizeof(message.header), &pair[0], 1), L4VIO_OK);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_EAGAIN);
    assert_int_equal(reader.message.fds.count, 1);
    shutdown(pair[0], SHUT_RDWR);
    close(pair[0]);
    assert_int_equal(l4vio_vhost_receive(pair[1], &reader), L4VIO_EPIPE);
    close(pair[1]);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_as_they_went_in),
        cmocka_unit_test(message_in_single_bytes_is_whole_with_the_last),
        cmocka_unit_test(descriptors_arrive_with_their_message_and_no_other),
        cmocka_unit_test(surplus_descriptors_are_closed_and_told_of),
        cmocka_unit_test(unknown_long_payload_is_skipped),
        cmocka_unit_test(wrong_version_and_absurd_length_are_refused),
        cmocka_unit_test(end_in_the_middle_leaves_no_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
