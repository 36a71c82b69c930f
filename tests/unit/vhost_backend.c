/* SPDX-License-Identifier: MIT */
/* Devices over vhost-user: what a front end hears, what it may say, how a device begins, goes on and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_frontend.h"

#define BIT(number) (UINT64_C(1) << (number))

static void requests_are_served(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    for (int i = 0; i < 20; i++) {
        front_expect_works(front, 0);
        front_expect_works(front, 1);
    }
    assert_true(front_triggered(front->call[0], 5000));
}

static void requests_are_served_with_status(void **state)
{
    struct raw_frontend *front = *state;

    front->protocol_features |= FRONT_STATUS;
    front_up(front);
    assert_int_equal(front_get_u64(front, VHOST_USER_GET_STATUS), 15);
    front_expect_works(front, 0);
}

static void offers_are_those_of_the_device_and_the_protocol(void **state)
{
    struct raw_frontend *front = *state;
    uint64_t features = front_get_u64(front, VHOST_USER_GET_FEATURES);

    assert_true(features & BIT(VHOST_USER_F_PROTOCOL_FEATURES));
    assert_true(features & BIT(VHOST_F_LOG_ALL));
    assert_true(features & BIT(L4VIO_F_VERSION_1));
    assert_true(features & BIT(L4VIO_F_RING_PACKED));
    assert_false(features & BIT(L4VIO_F_NOTIFICATION_DATA));
    assert_false(features & BIT(L4VIO_F_ACCESS_PLATFORM));
    front_negotiate(front);
    assert_int_equal(front_get_u64(front, VHOST_USER_GET_PROTOCOL_FEATURES),
                     FRONT_PROTOCOL | FRONT_STATUS);
    assert_int_equal(front_get_u64(front, VHOST_USER_GET_QUEUE_NUM), FRONT_QUEUES);
    assert_int_equal(front_get_u64(front, VHOST_USER_GET_MAX_MEM_SLOTS), 64);
}

static void what_is_not_offered_is_refused(void **state)
{
    struct raw_frontend *front = *state;

    front_negotiate(front);
    assert_int_equal(
        front_ask_u64(front, VHOST_USER_SET_FEATURES, BIT(L4VIO_F_VERSION_1) | BIT(63), -1), 1);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_PROTOCOL_FEATURES, BIT(14), -1), 1);
    assert_true(socket_server_logged(&front->server, "a feature that is not offered"));
    /* What was said before is still in force. */
    front_share(front);
    front_ring(front, 0);
    front_expect_works(front, 0);
}

static void a_set_that_the_device_refuses_starts_no_ring(void **state)
{
    struct raw_frontend *front = *state;

    front_negotiate(front);
    front_share(front);
    /* Without VERSION_1. */
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, 0, -1), 1);
    front_ring(front, 0);
    front_publish(front, 0, 0, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 0);
    assert_false(front_completes(front, 0));
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, BIT(L4VIO_F_VERSION_1), -1), 0);
    assert_int_equal(front_complete(front, 0), 0);
}

static void other_features_need_stopped_rings(void **state)
{
    struct raw_frontend *front = *state;
    uint64_t features =
        BIT(L4VIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(L4VIO_F_INDIRECT_DESC);

    front_up(front);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features, -1), 1);
    front_expect_works(front, 0);
    front_stop_ring(front, 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features, -1), 1);
    front_stop_ring(front, 1);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features, -1), 0);
    front_ring(front, 0);
    front_expect_works(front, 0);
}

static void a_ring_goes_on_where_it_stopped(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    for (int i = 0; i < 7; i++) { /* Not a whole number of rounds. */
        front_expect_works(front, 0);
        front_stop_ring(front, 0);
        front_publish(front, 0, 6, VIRTIO_BLK_T_IN, 0);
        front_kick(front, 0);
        assert_false(raw_ring_get_used(&front->rings[0], &(struct raw_used){0}));
        front_ring(front, 0);
        assert_int_equal(front_complete(front, 0), 6);
    }
    front_expect_works(front, 1);
}

static void positions_are_told(void **state)
{
    struct raw_frontend *front = *state;
    bool packed = front->features & FRONT_PACKED;

    front_up(front);
    assert_int_equal(front_stop_ring(front, 1), packed ? 0x80008000u : 0);
    front_expect_works(front, 0);
    assert_int_equal(front_stop_ring(front, 0), packed ? 0x80068006u : 2);
    /* Once more: it has stopped there. */
    assert_int_equal(front_stop_ring(front, 0), packed ? 0x80068006u : 2);
}

static void a_connection_goes_on_where_the_last_one_stopped(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    for (int i = 0; i < 5; i++)
        front_expect_works(front, 0);
    front_stop_ring(front, 0);
    front_hang_up(front);
    front_connect(front);
    front->bases[1] = front->features & FRONT_PACKED ? 0x80008000u : 0;
    front_up(front);
    front_expect_works(front, 0);
}

/* Who knows no wrap counters says 0. */
static void a_fresh_packed_ring_may_begin_at_0(void **state)
{
    struct raw_frontend *front = *state;

    front->bases[0] = front->bases[1] = 0;
    front_up(front);
    front_expect_works(front, 0);
    front_stop_ring(front, 0);
    /* And who knows one position says that alone. */
    front->bases[0] &= 0xffffu;
    front_ring(front, 0);
    front_expect_works(front, 0);
}

/* In every second round, 0 is a place like another one. */
static void a_packed_ring_may_stop_at_0(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    for (int i = 0; i < 8; i++) /* 16 chains of 3: three rounds. */
        front_expect_works(front, 0);
    assert_int_equal(front_stop_ring(front, 0), 0);
    front_ring(front, 0);
    front_expect_works(front, 0);
}

static void disabled_rings_wait(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    assert_int_equal(front_ask_state(front, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
    front_publish(front, 0, 0, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 0);
    assert_false(front_completes(front, 0));
    front_expect_works(front, 1);
    assert_int_equal(front_ask_state(front, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(front_complete(front, 0), 0);
}

static void one_client_is_served_after_the_other(void **state)
{
    struct raw_frontend *front = *state;
    int first = front->socket;

    front_up(front);
    front_connect(front); /* Waits. */
    int second = front->socket;
    front_send(front, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
    front->socket = first;
    front_expect_works(front, 0);
    front_hang_up(front);
    front->socket = second;
    front_receive(front, VHOST_USER_GET_FEATURES);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++)
        front_fresh_ring(front, i);
    front_up(front);
    front_expect_works(front, 0);
}

static void unknown_requests_are_refused_and_nothing_else(void **state)
{
    struct raw_frontend *front = *state;
    unsigned char payload[100] = {0};

    front_up(front);
    assert_int_equal(front_ask(front, 999, payload, sizeof(payload), NULL, 0), 1);
    assert_int_equal(front_ask(front, VHOST_USER_IOTLB_MSG, payload, 32, NULL, 0), 1);
    assert_int_equal(front_ask(front, VHOST_USER_POSTCOPY_ADVISE, NULL, 0, NULL, 0), 1);
    front_send(front, 1000, 0, payload, 8, NULL, 0);
    front_expect_works(front, 0);
}

static void a_wrong_size_ends_the_connection(void **state)
{
    struct raw_frontend *front = *state;
    unsigned char payload[100] = {0};

    front_negotiate(front);
    front_send(front, VHOST_USER_SET_FEATURES, 0, payload, 12, NULL, 0);
    front_expect_end(front);
    assert_true(socket_server_logged(&front->server, "SET_FEATURES with 12 bytes of payload"));
    front_connect(front);
    front_up(front);
    front_expect_works(front, 0);
}

static void broken_rules_need_a_reset_and_no_more(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    front_break(front, 0);
    assert_true(front_triggered(front->err[0], 5000));
    assert_false(front_triggered(front->err[1], 0));
    front_publish(front, 1, 0, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 1);
    assert_false(front_completes(front, 1));
    assert_true(socket_server_logged(&front->server, "device needs a reset"));

    /* By RESET_DEVICE. */
    assert_int_equal(front_ask(front, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    front_fresh_ring(front, 0);
    front_fresh_ring(front, 1);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES,
                                   front->features | BIT(L4VIO_F_VERSION_1) |
                                       BIT(VHOST_USER_F_PROTOCOL_FEATURES),
                                   -1),
                     0);
    front_ring(front, 0); /* The memory is still known. */
    front_expect_works(front, 0);

    /* By stopping every ring. */
    front_break(front, 0);
    assert_true(front_triggered(front->err[0], 5000));
    front_stop_ring(front, 0);
    front_stop_ring(front, 1);
    front_fresh_ring(front, 0);
    front_ring(front, 0);
    front_expect_works(front, 0);
}

static void a_status_of_0_is_a_reset(void **state)
{
    struct raw_frontend *front = *state;

    front->protocol_features |= FRONT_STATUS;
    front_up(front);
    front_break(front, 0);
    assert_true(front_triggered(front->err[0], 5000));
    assert_int_equal(front_get_u64(front, VHOST_USER_GET_STATUS), 15 | 0x40);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_STATUS, 0, -1), 0);
    assert_int_equal(front_get_u64(front, VHOST_USER_GET_STATUS), 0);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++)
        front_fresh_ring(front, i);
    front_up(front);
    front_expect_works(front, 0);
}

/* Some leave out ACKNOWLEDGE and DRIVER until the end. */
static void a_status_in_another_order_is_taken(void **state)
{
    struct raw_frontend *front = *state;
    uint64_t features =
        front->features | BIT(L4VIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES);

    front->protocol_features = FRONT_PROTOCOL | FRONT_STATUS;
    front_send(front, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &front->protocol_features, 8, NULL, 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features, -1), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_STATUS, 8, -1), 0);
    front_share(front);
    front_ring(front, 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_STATUS, 15, -1), 0);
    front_expect_works(front, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_EVERY(requests_are_served),
        FRONT_EVERY(requests_are_served_with_status),
        FRONT_ONE(offers_are_those_of_the_device_and_the_protocol),
        FRONT_EVERY(what_is_not_offered_is_refused),
        FRONT_ONE(a_set_that_the_device_refuses_starts_no_ring),
        FRONT_ONE(other_features_need_stopped_rings),
        FRONT_EVERY(a_ring_goes_on_where_it_stopped),
        FRONT_EVERY(positions_are_told),
        FRONT_EVERY(a_connection_goes_on_where_the_last_one_stopped),
        FRONT_WITH("packed: ", a_fresh_packed_ring_may_begin_at_0, front_setup_packed),
        FRONT_WITH("packed: ", a_packed_ring_may_stop_at_0, front_setup_packed),
        FRONT_EVERY(disabled_rings_wait),
        FRONT_EVERY(one_client_is_served_after_the_other),
        FRONT_ONE(unknown_requests_are_refused_and_nothing_else),
        FRONT_ONE(a_wrong_size_ends_the_connection),
        FRONT_EVERY(broken_rules_need_a_reset_and_no_more),
        FRONT_EVERY(a_status_of_0_is_a_reset),
        FRONT_ONE(a_status_in_another_order_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
