/* SPDX-License-Identifier: MIT */
/*
 * Messages that no front end may send, and messages in an order in which none may come: the connection ends,
 * or goes on with the message refused, and the next client is served.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_attacker.h"

#define REQUESTS 50u

static void live(struct vhost_attacker *attacker, struct socket_server *server)
{
    vhost_attacker_open(attacker, server);
    assert_int_equal(vhost_attacker_live(attacker), 0);
}

/* Of every request all sizes around those that are right, on a live device. */
static void sizes_of_every_message(void **state)
{
    static const uint32_t sizes[] = {0,  1,  4,  7,  8,  9,  11,  12,  13,  16,  20,  24,
                                     32, 39, 40, 41, 44, 48, 264, 265, 268, 512, 513, 4000};
    struct socket_server server;

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    for (uint32_t request = 0; request < REQUESTS; request++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct vhost_attacker attacker;
            live(&attacker, &server);
            vhost_attacker_send(&attacker, request, 1u | RAW_FLAG_NEED_REPLY, NULL, sizes[i], NULL,
                                0);
            vhost_attacker_close(&attacker);
        }
    }
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
    socket_server_end(&server);
}

static void headers_that_are_none_end_the_connection(void **state)
{
    static const uint32_t headers[][3] = {
        {RAW_GET_FEATURES, 0, 0},
        {RAW_GET_FEATURES, 2, 0},
        {RAW_GET_FEATURES, 3, 0},
        {RAW_GET_FEATURES, 1, UINT32_MAX},
        {RAW_GET_FEATURES, 1, 0x80000000},
        {RAW_SET_FEATURES, 1, 0x10001},
        {UINT32_MAX, UINT32_MAX, UINT32_MAX},
    };
    struct socket_server server;

    (void)state;
    vhost_attacked_start(&server);
    for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct vhost_attacker attacker;
        live(&attacker, &server);
        assert_true(raw_backend_send_bytes(attacker.socket, headers[i], 12, NULL, 0));
        assert_true(vhost_attacker_is_hung_up(&attacker));
        vhost_attacker_close(&attacker);
    }
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static void requests_that_are_not_known_are_refused(void **state)
{
    static const uint32_t requests[] = {0,  19, 20, 22, 23,   26,        28,
                                        33, 35, 41, 44, 1000, UINT32_MAX};
    struct socket_server server;
    struct vhost_attacker attacker;
    static const unsigned char payload[2048];

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        assert_int_equal(vhost_attacker_tell(&attacker, requests[i], payload, i * 100,
                                             i % 2 ? attacker.kick : -1),
                         1);
    }
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

/* The messages that name a ring by a whole word. */
static void rings_that_are_not_there(void **state)
{
    static const uint32_t requests[] = {RAW_SET_VRING_NUM, RAW_SET_VRING_BASE,
                                        RAW_SET_VRING_ENABLE};
    static const uint32_t indexes[] = {ATTACK_QUEUES, 0xff, 0x100, 0xffff, 0x10000, UINT32_MAX};
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    for (unsigned i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        const uint64_t addresses[5] = {indexes[i], ATTACK_USER, ATTACK_USER, ATTACK_USER, 0};
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(vhost_attacker_tell_state(&attacker, requests[k], indexes[i], 1), 1);
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_SET_VRING_ADDR, addresses, sizeof(addresses), -1),
            1);
        assert_false(vhost_attacker_stop_ring(&attacker, indexes[i], NULL));
    }
    static const uint64_t words[] = {ATTACK_QUEUES, 0xff, 0x200, 0x10000, UINT64_C(1) << 63};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (uint32_t request = RAW_SET_VRING_KICK; request <= RAW_SET_VRING_ERR; request++)
            assert_int_equal(
                vhost_attacker_tell_number(&attacker, request, words[i], attacker.call), 1);
    }
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

/* Those of a split ring do not run, or not at all; the ring comes back with good ones. */
static void sizes_and_places_of_rings(bool packed)
{
    static const uint32_t sizes[] = {0, 3, 5, 17, 32, 1024, 32768, 65535, 65536, UINT32_MAX};
    static const uint32_t bases[] = {1,      15,         16,         0x7fff,     0x8000,
                                     0xffff, 0x00100000, 0x10001000, 0x7fff7fff, UINT32_MAX};
    struct socket_server server;
    struct vhost_attacker attacker;

    vhost_attacked_start(&server);
    vhost_attacker_open(&attacker, &server);
    attacker.features |= packed ? ATTACK_F_PACKED : 0;
    assert_int_equal(vhost_attacker_live(&attacker), 0);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        int result = vhost_attacker_tell_state(&attacker, RAW_SET_VRING_NUM, 0, sizes[i]);
        assert_true(result == 1 || (sizes[i] != 0 && sizes[i] < ATTACK_QUEUE_SIZE));
        vhost_attacker_tell_number(&attacker, RAW_SET_VRING_KICK, 0, attacker.kick);
        vhost_attacker_kick(&attacker);
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    }
    for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        /* The rings are zeroes, so the device finds nothing, or a driver that breaks the rules. */
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        vhost_attacker_tell_state(&attacker, RAW_SET_VRING_BASE, 0, bases[i]);
        vhost_attacker_tell_number(&attacker, RAW_SET_VRING_KICK, 0, attacker.kick);
        vhost_attacker_kick(&attacker);
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    }
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static void sizes_and_places_of_split_rings(void **state)
{
    (void)state;
    sizes_and_places_of_rings(false);
}

static void sizes_and_places_of_packed_rings(void **state)
{
    (void)state;
    sizes_and_places_of_rings(true);
}

static void features_that_are_not_offered(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;
    uint64_t offered = 0;

    (void)state;
    vhost_attacked_start(&server);
    vhost_attacker_open(&attacker, &server);
    assert_int_equal(vhost_attacker_greet(&attacker), 0);
    assert_true(vhost_attacker_ask(&attacker, RAW_GET_FEATURES, &offered));
    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(offered >> bit & 1))
            assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_FEATURES,
                                                        attacker.features | UINT64_C(1) << bit, -1),
                             1);
    }
    /* Without VERSION_1; and of the protocol's own. */
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_FEATURES, 0, -1), 1);
    assert_int_equal(
        vhost_attacker_tell_number(&attacker, RAW_SET_PROTOCOL_FEATURES, UINT64_MAX, -1), 1);
    assert_int_equal(vhost_attacker_set_features(&attacker), 0);
    assert_int_equal(vhost_attacker_share(&attacker), 0);
    assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    /* Others while rings run. */
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_FEATURES,
                                                attacker.features | ATTACK_F_INDIRECT, -1),
                     1);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    socket_server_end(&server);
}

static void configuration_beyond_its_end(void **state)
{
    static const uint32_t ranges[][2] = {{0, 257},          {256, 1},
                                         {255, 2},          {UINT32_MAX, 1},
                                         {1, UINT32_MAX},   {UINT32_MAX, UINT32_MAX},
                                         {0x80000000, 256}, {UINT32_MAX - 3, 8},
                                         {256, 256},        {128, 256}};
    struct socket_server server;

    (void)state;
    vhost_attacked_start(&server);
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (uint32_t request = RAW_GET_CONFIG; request <= RAW_SET_CONFIG; request++) {
            const uint32_t payload[3 + 256] = {ranges[i][0], ranges[i][1], 0};
            struct vhost_attacker attacker;
            live(&attacker, &server);
            vhost_attacker_send(&attacker, request, 1, payload, 12, NULL, 0);
            struct raw_message reply;
            if (request == RAW_GET_CONFIG && raw_backend_receive(attacker.socket, &reply))
                assert_int_equal(reply.size, 0);
            vhost_attacker_send(&attacker, request, 1, payload, 12 + ranges[i][1] % 512, NULL, 0);
            vhost_attacker_close(&attacker);
        }
    }
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static unsigned count_in_log(struct socket_server *server, const char *text)
{
    unsigned count = 0;

    pthread_mutex_lock(&server->log_lock);
    for (const char *at = server->log; (at = strstr(at, text)); at++)
        count++;
    pthread_mutex_unlock(&server->log_lock);
    return count;
}

/* What the operator reads is not the client's to fill. */
static void a_client_cannot_fill_the_log(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    for (uint64_t i = 0; i < 200; i++) {
        const uint64_t addresses[5] = {0, i * 16, i * 16, i * 16, 0};
        vhost_attacker_tell(&attacker, RAW_SET_VRING_ADDR, addresses, sizeof(addresses), -1);
        vhost_attacker_tell_state(&attacker, RAW_SET_VRING_NUM, 77, 0);
    }
    assert_in_range(count_in_log(&server, "cannot run"), 1, 32);
    assert_in_range(count_in_log(&server, "refused"), 1, 32);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

/* A small generator of its own, so that a failure is the same every time. */
static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static uint32_t fill(uint32_t *seed, uint32_t request, uint64_t *payload)
{
    const uint32_t ring = next(seed) % 4;
    const uint64_t where = ATTACK_USER + (next(seed) % 3) * 0x1000;

    payload[0] = ring;
    switch (request) {
    case RAW_SET_FEATURES:
        payload[0] = ATTACK_F_VERSION_1 | (next(seed) % 2 ? ATTACK_F_PROTOCOL : 0) |
                     (next(seed) % 2 ? ATTACK_F_PACKED : 0) | (next(seed) % 2 ? ATTACK_F_LOG : 0);
        return 8;
    case RAW_SET_PROTOCOL_FEATURES:
        payload[0] = (next(seed) % 2 ? RAW_P_STATUS : 0) | RAW_P_REPLY_ACK | RAW_P_CONFIG;
        return 8;
    case RAW_SET_STATUS:
        payload[0] = next(seed) % 3 ? 15 : next(seed) & 0xff;
        return 8;
    case RAW_SET_VRING_NUM:
        payload[0] |= (uint64_t)ATTACK_QUEUE_SIZE << 32;
        return 8;
    case RAW_SET_VRING_BASE:
    case RAW_SET_VRING_ENABLE:
    case RAW_GET_VRING_BASE:
        payload[0] |= (uint64_t)(next(seed) % 3) << 32;
        return 8;
    case RAW_SET_VRING_ADDR:
        payload[1] = where;
        payload[2] = where + 0x1000;
        payload[3] = where + 0x2000;
        payload[4] = next(seed);
        return 40;
    case RAW_SET_VRING_KICK:
    case RAW_SET_VRING_CALL:
    case RAW_SET_VRING_ERR:
    case RAW_SET_BACKEND_REQ_FD:
        return request == RAW_SET_BACKEND_REQ_FD ? 0 : 8;
    case RAW_ADD_MEM_REG:
    case RAW_REM_MEM_REG:
        payload[0] = 0;
        payload[1] = ATTACK_GUEST;
        payload[2] = ATTACK_MEMORY_BYTES;
        payload[3] = ATTACK_USER;
        payload[4] = 0;
        return 40;
    case RAW_SET_MEM_TABLE:
        payload[0] = 1;
        payload[1] = ATTACK_GUEST;
        payload[2] = ATTACK_MEMORY_BYTES;
        payload[3] = ATTACK_USER;
        payload[4] = 0;
        return 40;
    case RAW_GET_CONFIG:
        payload[0] = UINT64_C(24) << 32;
        return 12;
    case ATTACK_SET_LOG_BASE:
        payload[0] = 4096;
        payload[1] = 0;
        return 16;
    case RAW_GET_INFLIGHT_FD:
    case RAW_SET_INFLIGHT_FD:
        payload[0] = 65536;
        payload[1] = 0;
        payload[2] = 2 | ATTACK_QUEUE_SIZE << 16;
        return 24;
    default:
        return 0;
    }
}

static int fd_for(struct vhost_attacker *attacker, uint32_t request)
{
    switch (request) {
    case RAW_SET_VRING_KICK:
        return attacker->kick;
    case RAW_SET_VRING_CALL:
        return attacker->call;
    case RAW_SET_VRING_ERR:
        return attacker->err;
    case RAW_ADD_MEM_REG:
    case RAW_SET_MEM_TABLE:
    case RAW_SET_INFLIGHT_FD:
    case ATTACK_SET_LOG_BASE:
        return attacker->memory_fd;
    default:
        return -1;
    }
}

static void drain(struct vhost_attacker *attacker)
{
    struct raw_message reply;
    struct pollfd poll_fd = {.fd = attacker->socket, .events = POLLIN};

    while (poll(&poll_fd, 1, 0) == 1 && raw_backend_receive(attacker->socket, &reply))
        raw_message_close_fds(&reply);
}

static void random_life(struct socket_server *server, uint32_t seed)
{
    struct vhost_attacker attacker;

    live(&attacker, server);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t payload[8] = {0};
        uint32_t request = next(&seed) % 42;
        uint32_t size = fill(&seed, request, payload);
        int fd = fd_for(&attacker, request);
        bool answered = next(&seed) % 2;
        if (!vhost_attacker_send(&attacker, request, answered ? 9 : 1, payload, size, &fd, fd >= 0))
            break;
        memset(attacker.memory + next(&seed) % 0x3000, (int)(next(&seed) & 0xff), 2);
        vhost_attacker_kick(&attacker);
        if (i % 16 == 0)
            drain(&attacker);
    }
    vhost_attacker_close(&attacker);
}

/* Good messages in no order at all, twice, before features, while rings run and after they were stopped. */
static void every_order_of_messages(void **state)
{
    struct socket_server server;

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    for (uint32_t seed = 1; seed <= 200; seed++)
        random_life(&server, seed * 2654435761u);
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_every_message),
        cmocka_unit_test(headers_that_are_none_end_the_connection),
        cmocka_unit_test(requests_that_are_not_known_are_refused),
        cmocka_unit_test(rings_that_are_not_there),
        cmocka_unit_test(sizes_and_places_of_split_rings),
        cmocka_unit_test(sizes_and_places_of_packed_rings),
        cmocka_unit_test(features_that_are_not_offered),
        cmocka_unit_test(configuration_beyond_its_end),
        cmocka_unit_test(a_client_cannot_fill_the_log),
        cmocka_unit_test(every_order_of_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
