/* SPDX-License-Identifier: MIT */
/*
 * Every set of ring features, negotiated between the block driver and the block device, carries
 * requests that are verified byte by byte. A set that fails says which one it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <l4vio/backends.h>
#include <l4vio/session.h>

#include "block_server.h"
#include "loopback_block.h"
#include "ring_choice.h"

enum {
    queues_max = 2,
    requests_max = 6,
    segments_max = 9,
    segment_bytes = 1024,
    rounds = 8, /* The rings are of 20 entries at most: they wrap several times. */
    packed_size = 20,
    split_size = 16,
    store_bytes = 1 << 20,
    shared_bytes = requests_max * L4VIO_BLOCK_SHARED_BYTES,
    data_bytes = requests_max * segments_max * segment_bytes,
};

/* The sets as they should be and as they are, for the sentence of a failure. */
static const char *what;
static char set_name[RING_CHOICE_NAME_BYTES];

static void expect(bool good, const char *text, long long value)
{
    if (good)
        return;
    fprintf(stderr, "ring_negotiation: %s, %s: %s (%lld)\n", what, set_name, text, value);
    abort();
}

static uint64_t in_ten_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)(now.tv_sec + 10) * 1000000000u;
}

/*
 * Each queue has memory and sectors of its own: where it has a thread of its own, the order between two
 * of them goes through the driver's memory, which the thread sanitizer sees at another address.
 */
struct traffic {
    struct l4vio_block *block;
    uint32_t queue;
    struct l4vio_region region;
    struct l4vio_block_request requests[requests_max];
    struct l4vio_block_segment segments[requests_max][segments_max];
};

static unsigned char *data_of(const struct traffic *traffic, unsigned number)
{
    return (unsigned char *)traffic->region.base + shared_bytes +
           (size_t)number * segments_max * segment_bytes;
}

static void begin(struct traffic *traffic, struct l4vio_block *block, uint32_t queue)
{
    memset(traffic, 0, sizeof(*traffic));
    traffic->block = block;
    traffic->queue = queue;
    int result =
        l4vio_driver_allocate(&block->driver, shared_bytes + data_bytes, &traffic->region, NULL);
    expect(result == 0, "no memory", result);
    for (unsigned i = 0; i < requests_max; i++) {
        result = l4vio_block_request_init(&traffic->requests[i], &traffic->region,
                                          i * L4VIO_BLOCK_SHARED_BYTES);
        expect(result == 0, "request cannot be made", result);
        for (unsigned j = 0; j < segments_max; j++)
            traffic->segments[i][j] = (struct l4vio_block_segment){
                &traffic->region, shared_bytes + ((uint64_t)i * segments_max + j) * segment_bytes,
                segment_bytes};
    }
}

/* One request of each number of segments, as a batch: chains, tables and single buffers side by side. */
static void send_batch(struct traffic *traffic, enum l4vio_block_type type, unsigned round)
{
    uint32_t queue = traffic->queue;
    for (unsigned i = 0; i < requests_max; i++) {
        struct l4vio_block_request *request = &traffic->requests[i];
        request->type = type;
        request->segments = traffic->segments[i];
        request->segment_count = 1 + (i + round) % segments_max;
        request->sector =
            ((queue * requests_max + i) * (uint64_t)(segments_max * segment_bytes)) / 512u;
        int result;
        while ((result = l4vio_block_add(traffic->block, queue, request, NULL)) == L4VIO_EAGAIN) {
            result = l4vio_block_kick(traffic->block, queue);
            expect(result == 0, "kick", result);
            result = l4vio_block_wait_room(traffic->block, queue, in_ten_seconds());
            expect(result >= 0, "wait for room", result);
        }
        expect(result == 0, "request is not taken", result);
    }
    int result = l4vio_block_kick(traffic->block, queue);
    expect(result == 0, "kick", result);
    result = l4vio_block_drain(traffic->block, queue, in_ten_seconds());
    expect(result == 0, "requests do not finish", result);
    for (unsigned i = 0; i < requests_max; i++)
        expect(traffic->requests[i].result == 0, "request failed", traffic->requests[i].result);
}

static unsigned char pattern(unsigned round, unsigned number, size_t at)
{
    return (unsigned char)(round * 31u + number * 7u + at + at / segment_bytes);
}

static void write_and_read(struct traffic *traffic, unsigned round)
{
    for (unsigned i = 0; i < requests_max; i++)
        for (size_t at = 0; at < segments_max * segment_bytes; at++)
            data_of(traffic, i)[at] = pattern(round, i, at);
    send_batch(traffic, L4VIO_BLOCK_WRITE, round);
    memset(data_of(traffic, 0), 0xee, data_bytes);
    send_batch(traffic, L4VIO_BLOCK_READ, round);
    for (unsigned i = 0; i < requests_max; i++) {
        size_t end = (1 + (i + round) % segments_max) * (size_t)segment_bytes;
        for (size_t at = 0; at < end; at++)
            expect(data_of(traffic, i)[at] == pattern(round, i, at), "wrong byte", (long long)at);
        expect(end == segments_max * segment_bytes || data_of(traffic, i)[end] == 0xee,
               "a byte behind the request was written", (long long)end);
    }
}

static void carry_requests(struct l4vio_block *block)
{
    struct traffic traffic[queues_max];
    expect(block->queue_count == queues_max, "queues", block->queue_count);
    for (uint32_t queue = 0; queue < queues_max; queue++)
        begin(&traffic[queue], block, queue);
    for (unsigned round = 0; round < rounds; round++)
        write_and_read(&traffic[round % queues_max], round);
    for (uint32_t queue = 0; queue < queues_max; queue++)
        expect(block->queues[queue].counters.clamped_lengths == 0, "a length above the buffers", 0);
    if (l4vio_driver_feature_negotiated(&block->driver, L4VIO_F_RING_RESET)) {
        int result = l4vio_block_reset_queue(block, 0, NULL);
        expect(result == 0, "queue is not reset", result);
        write_and_read(&traffic[0], 1);
    }
    for (uint32_t queue = 0; queue < queues_max; queue++) {
        int result = l4vio_driver_release(&block->driver, &traffic[queue].region, NULL);
        expect(result == 0, "memory is not given back", result);
    }
}

/* What both sides go by is what both said, and nothing else. */
static void settles_on(const struct l4vio_block *block, unsigned number)
{
    struct l4vio_features accepted = l4vio_driver_features(&block->driver);
    struct l4vio_features expected = ring_choice(number);
    const struct l4vio_queue *ring = &block->queues[0];
    expect(ring_choice_number(&accepted) == number, "other features are accepted",
           ring_choice_number(&accepted));
    expect(ring->packed == l4vio_features_has(&expected, L4VIO_F_RING_PACKED), "packed", 0);
    expect(ring->event_idx == l4vio_features_has(&expected, L4VIO_F_EVENT_IDX), "event_idx", 0);
    expect(ring->in_order == l4vio_features_has(&expected, L4VIO_F_IN_ORDER), "in_order", 0);
    expect(!ring->indirect.memory == !l4vio_features_has(&expected, L4VIO_F_INDIRECT_DESC),
           "indirect tables", 0);
    expect(block->queue_size == (ring->packed ? packed_size : split_size), "queue size",
           block->queue_size);
}

static void over_loopback(const struct l4vio_block_backend *store, unsigned offered,
                          unsigned allowed)
{
    static struct loopback_block rig;
    struct l4vio_features offer = ring_choice(offered);
    struct l4vio_features allow = ring_choice(allowed);
    ring_choice_name(offered & allowed, set_name);
    loopback_block_start_with(&rig, store, packed_size, 0, &offer, &allow);
    settles_on(&rig.block, offered & allowed);
    pthread_mutex_lock(&rig.lock);
    expect(ring_choice_number(&rig.device.device.accepted) == (offered & allowed),
           "the device has settled otherwise", 0);
    pthread_mutex_unlock(&rig.lock);
    carry_requests(&rig.block);
    loopback_block_stop(&rig);
}

static void every_set_carries_requests_over_loopback(void **state)
{
    struct l4vio_block_backend store;
    (void)state;
    what = "loopback";
    assert_int_equal(l4vio_memory_backend_open(store_bytes, &store, NULL), 0);
    for (unsigned number = 0; number < RING_CHOICES; number++)
        over_loopback(&store, number, number);
    l4vio_memory_backend_close(&store);
}

static void driver_accepts_no_more_than_is_offered(void **state)
{
    struct l4vio_block_backend store;
    (void)state;
    what = "loopback, device offers fewer";
    assert_int_equal(l4vio_memory_backend_open(store_bytes, &store, NULL), 0);
    for (unsigned bit = 1; bit < RING_CHOICES; bit <<= 1) {
        over_loopback(&store, bit, RING_CHOICES - 1);
        over_loopback(&store, (RING_CHOICES - 1) & ~bit, RING_CHOICES - 1);
    }
    over_loopback(&store, 0, RING_CHOICES - 1);
    l4vio_memory_backend_close(&store);
}

static void device_settles_for_what_the_driver_accepts(void **state)
{
    struct l4vio_block_backend store;
    (void)state;
    what = "loopback, driver allows fewer";
    assert_int_equal(l4vio_memory_backend_open(store_bytes, &store, NULL), 0);
    for (unsigned bit = 1; bit < RING_CHOICES; bit <<= 1) {
        over_loopback(&store, RING_CHOICES - 1, bit);
        over_loopback(&store, RING_CHOICES - 1, (RING_CHOICES - 1) & ~bit);
    }
    over_loopback(&store, RING_CHOICES - 1, 0);
    over_loopback(&store, 0x55, 0xaa);
    l4vio_memory_backend_close(&store);
}

static void over_socket(const struct block_server *server, unsigned number)
{
    struct l4vio_features none = ring_choice(RING_CHOICES - 1);
    struct l4vio_features wanted = ring_choice(number);
    struct l4vio_session_options options = {
        .queue_count = queues_max,
        .queue_size = packed_size,
        .refused = l4vio_features_minus(&none, &wanted),
        .required = wanted,
    };
    struct l4vio_session *session;
    struct l4vio_error error = {0};
    ring_choice_name(number, set_name);
    int result = l4vio_session_open_block(server->uri, &options, &session, &error);
    expect(result == 0, error.text, result);
    settles_on(l4vio_session_block(session), number);
    carry_requests(l4vio_session_block(session));
    l4vio_session_close(session);
}

static void every_set_over_a_socket(bool vhost_user, struct l4vio_features carried,
                                    const char *const texts[2])
{
    struct block_server server;
    for (int threads = 0; threads < 2; threads++) {
        struct block_server_options options = {
            .vhost_user = vhost_user,
            .size_bytes = store_bytes,
            .queue_count = queues_max,
            .thread_per_queue = threads,
            .thread = true,
            .added = carried,
        };
        const unsigned all = ring_choice_number(&carried);
        what = texts[threads];
        block_server_start(&server, &options);
        /* With two threads a sample: each feature alone, each left out. */
        for (unsigned number = 0; number <= all; number++) {
            unsigned left_out = all & ~number;
            if (number & ~all)
                continue;
            if (!threads || !(number & (number - 1)) || !(left_out & (left_out - 1)))
                over_socket(&server, number);
        }
        block_server_stop(&server);
    }
}

static void every_set_carries_requests_over_a_socket(void **state)
{
    static const char *const texts[] = {"socket, one loop", "socket, thread per queue"};
    struct l4vio_features carried = ring_choice(RING_CHOICES - 1);
    (void)state;
    l4vio_features_clear(&carried, L4VIO_F_NOTIFICATION_DATA);
    every_set_over_a_socket(false, carried, texts);
}

static void every_set_carries_requests_over_vhost_user(void **state)
{
    static const char *const texts[] = {"vhost-user, one loop", "vhost-user, thread per queue"};
    struct l4vio_features carried = ring_choice(RING_CHOICES - 1);
    (void)state;
    l4vio_features_clear(&carried, L4VIO_F_NOTIFICATION_DATA);
    l4vio_features_clear(&carried, L4VIO_F_ACCESS_PLATFORM);
    every_set_over_a_socket(true, carried, texts);
}

static void socket_carries_no_kick_data(void **state)
{
    struct block_server server;
    struct block_server_options options = {
        .size_bytes = store_bytes, .thread = true, .added = ring_choice(RING_CHOICES - 1)};
    struct l4vio_session_options wanted = {.queue_count = 1};
    struct l4vio_session *session;
    struct l4vio_error error = {0};
    (void)state;
    block_server_start(&server, &options);
    l4vio_features_set(&wanted.required, L4VIO_F_NOTIFICATION_DATA);
    assert_int_equal(l4vio_session_open_block(server.uri, &wanted, &session, &error), L4VIO_ENOSYS);
    assert_int_equal(error.value, L4VIO_F_NOTIFICATION_DATA);
    assert_int_equal(l4vio_session_open_any(server.uri, NULL, &session, NULL), 0);
    assert_false(l4vio_features_has(&l4vio_session_driver(session)->identity.offered,
                                    L4VIO_F_NOTIFICATION_DATA));
    l4vio_session_close(session);
    block_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_carries_requests_over_loopback),
        cmocka_unit_test(driver_accepts_no_more_than_is_offered),
        cmocka_unit_test(device_settles_for_what_the_driver_accepts),
        cmocka_unit_test(every_set_carries_requests_over_a_socket),
        cmocka_unit_test(every_set_carries_requests_over_vhost_user),
        cmocka_unit_test(socket_carries_no_kick_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
