/* SPDX-License-Identifier: MIT */
/* A store that completes when the test says so: resets and deaths meanwhile, and other clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ordering.h"
#include "socket_driver.h"
#include "socket_peer.h"
#include "socket_server.h"
#include "transports/l4_unix/client.h"
#include "usage.h"

#define LANES 8

/* A server of so many queues has 8 requests for each. */
#define MANY_QUEUES 64u

/* Requests at sectors from HELD_SECTOR on wait for the test, others complete at once. */
#define HELD_SECTOR 4096u

struct l4vio_block_lane {
    int event;
    struct l4vio_block_io *held; /* Linked by `reserved[0]`. */
};

struct slow_store {
    pthread_mutex_t lock;
    struct l4vio_block_lane lanes[LANES];
    unsigned lane_count;
    atomic_uint held;
    bool released; /* Nothing is held any more. */
};

static void slow_info(void *self, struct l4vio_block_backend_info *info)
{
    (void)self;
    *info = (struct l4vio_block_backend_info){.size_bytes = SOCKET_STORE_BYTES, .block_bytes = 512};
}

static int slow_lane_open(void *self, struct l4vio_block_lane **out, struct l4vio_error *error)
{
    struct slow_store *store = self;

    (void)error;
    pthread_mutex_lock(&store->lock);
    *out = &store->lanes[store->lane_count++];
    (*out)->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_unlock(&store->lock);
    return 0;
}

static void slow_lane_close(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    assert_null(lane->held);
    close(lane->event);
}

/* Writes to the driver's memory at this moment, as a real store would. */
static void perform(struct l4vio_block_io *io)
{
    for (uint32_t i = 0; io->op == L4VIO_BLOCK_OP_READ && i < io->segment_count; i++)
        memset(io->segments[i].base, 0x77, (size_t)io->segments[i].length_bytes);
    io->done(io, 0);
}

static void slow_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    struct slow_store *store = self;

    pthread_mutex_lock(&store->lock);
    bool hold = io->offset_bytes >= HELD_SECTOR * 512u && !store->released;
    if (hold) {
        io->reserved[0] = (uintptr_t)lane->held;
        lane->held = io;
        atomic_fetch_add(&store->held, 1);
    }
    pthread_mutex_unlock(&store->lock);
    if (!hold)
        perform(io);
}

static struct l4vio_block_io *take_held(struct slow_store *store, struct l4vio_block_lane *lane)
{
    struct l4vio_block_io *io = NULL;

    pthread_mutex_lock(&store->lock);
    if (store->released && lane->held) {
        io = lane->held;
        lane->held = (struct l4vio_block_io *)(uintptr_t)io->reserved[0];
        atomic_fetch_sub(&store->held, 1);
    }
    pthread_mutex_unlock(&store->lock);
    return io;
}

static unsigned slow_poll(void *self, struct l4vio_block_lane *lane, bool wait)
{
    struct slow_store *store = self;
    struct l4vio_block_io *io;
    unsigned count = 0;
    uint64_t events;

    assert_false(wait); /* The server must never need to wait in here. */
    ssize_t got = read(lane->event, &events, sizeof(events));
    (void)got;
    while ((io = take_held(store, lane))) {
        perform(io);
        count++;
    }
    return count;
}

static intptr_t slow_lane_handle(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    return lane->event;
}

static const struct l4vio_block_backend_ops slow_ops = {.info = slow_info,
                                                        .lane_open = slow_lane_open,
                                                        .lane_close = slow_lane_close,
                                                        .submit = slow_submit,
                                                        .poll = slow_poll,
                                                        .lane_handle = slow_lane_handle};

static void release_all(struct slow_store *store)
{
    uint64_t one = 1;

    pthread_mutex_lock(&store->lock);
    store->released = true;
    for (unsigned i = 0; i < store->lane_count; i++)
        assert_int_equal(write(store->lanes[i].event, &one, sizeof(one)), sizeof(one));
    pthread_mutex_unlock(&store->lock);
}

static void start(struct socket_server *server, struct slow_store *store, bool threads,
                  uint32_t queues)
{
    memset(store, 0, sizeof(*store));
    pthread_mutex_init(&store->lock, NULL);
    atomic_init(&store->held, 0);
    socket_server_init(server);
    server->block.backend = (struct l4vio_block_backend){.ops = &slow_ops, .self = store};
    server->block.queue_count = queues;
    server->config.thread_per_queue = threads;
    socket_server_start(server);
}

/* Sends `count` requests per queue that the store holds back; waits until it has that many. */
static void send_held(struct socket_driver *driver, struct slow_store *store, unsigned count,
                      unsigned expected)
{
    for (unsigned queue = 0; queue < 2; queue++) {
        for (unsigned n = 0; n < count; n++)
            assert_int_equal(
                socket_driver_start(driver, queue, n, VIRTIO_BLK_T_IN, HELD_SECTOR + 8 * n), 0);
        l4vio_queue_publish(&driver->queues[queue]);
        assert_int_equal(l4vio_driver_notify(&driver->driver, &driver->queues[queue]), 0);
    }
    while (atomic_load(&store->held) < expected)
        usleep(1000);
}

static void other_client_is_served(const struct socket_server *server)
{
    static struct socket_driver other;

    assert_int_equal(socket_driver_open(&other, server->path, 2), 0);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(socket_driver_request(&other, i % 2, VIRTIO_BLK_T_OUT, 8 * i), 0);
    assert_int_equal(l4vio_driver_reset(&other.driver, NULL), 0);
    socket_driver_close(&other);
}

static void *reset_thread(void *argument)
{
    struct socket_driver *driver = argument;

    return (void *)(intptr_t)l4vio_driver_reset(&driver->driver, NULL);
}

static void reset_waits_for_the_store_without_holding_others_up(void **state)
{
    static struct socket_driver driver;
    struct socket_server server;
    struct slow_store store;
    pthread_t thread;
    void *result;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        start(&server, &store, threads, 2);
        assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
        send_held(&driver, &store, 8, 16);
        assert_int_equal(pthread_create(&thread, NULL, reset_thread, &driver), 0);
        other_client_is_served(&server);
        release_all(&store);
        pthread_join(thread, &result);
        assert_ptr_equal(result, NULL);
        /* The answer to the reset came after the last write to the driver's memory. */
        assert_int_equal(atomic_load(&store.held), 0);
        assert_int_equal(socket_driver_restart(&driver), 0);
        assert_int_equal(socket_driver_request(&driver, 1, VIRTIO_BLK_T_IN, HELD_SECTOR), 0);
        socket_driver_close(&driver);
        socket_server_end(&server);
    }
}

static void *reset_queue_thread(void *argument)
{
    struct socket_driver *driver = argument;

    return (void *)(intptr_t)l4vio_driver_reset_queue(&driver->driver, &driver->queues[0], NULL);
}

/* What was in flight on queue 0 comes back, each once, and it runs again. */
static void detach_and_attach(struct socket_driver *driver, int in_flight)
{
    struct l4vio_queue *ring = &driver->queues[0];
    void *cookies[SOCKET_DRIVER_DEPTH];

    assert_int_equal(l4vio_queue_detach(ring, cookies, SOCKET_DRIVER_DEPTH), in_flight);
    assert_int_equal(l4vio_queue_detach(ring, cookies, SOCKET_DRIVER_DEPTH), 0);
    assert_int_equal(l4vio_queue_initialize_rings(ring), 0);
    assert_int_equal(l4vio_driver_attach_queue(&driver->driver, ring, NULL), 0);
    assert_int_equal(socket_driver_request(driver, 0, VIRTIO_BLK_T_IN, 8), 0);
}

/* Clause D-2.6.1.1.2-1: one queue waits for its own requests, others neither wait nor are waited for. */
static void queue_reset_waits_for_the_store_and_for_no_other_queue(void **state)
{
    static struct socket_driver driver;
    struct socket_server server;
    struct slow_store store;
    pthread_t thread;
    void *result;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        start(&server, &store, threads, 2);
        assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
        send_held(&driver, &store, 4, 8);
        assert_int_equal(pthread_create(&thread, NULL, reset_queue_thread, &driver), 0);
        for (unsigned n = 8; n < SOCKET_DRIVER_DEPTH; n++)
            assert_int_equal(socket_driver_start(&driver, 1, n, VIRTIO_BLK_T_OUT, n), 0);
        l4vio_queue_publish(&driver.queues[1]);
        assert_int_equal(l4vio_driver_notify(&driver.driver, &driver.queues[1]), 0);
        release_all(&store);
        pthread_join(thread, &result);
        assert_ptr_equal(result, NULL);
        /* The store is done with the memory of queue 0: the driver may use it for something else. */
        for (unsigned n = 0; n < 4; n++)
            memset(socket_driver_data(&driver, 0, n), 0x11, SOCKET_DRIVER_DATA_BYTES);
        assert_int_equal(socket_driver_finish(&driver, 1), 0);
        assert_int_equal(socket_driver_request(&driver, 1, VIRTIO_BLK_T_IN, HELD_SECTOR), 0);
        for (unsigned n = 0; n < 4; n++)
            assert_int_equal(socket_driver_data(&driver, 0, n)[n * 1000], 0x11);
        detach_and_attach(&driver, 4);
        socket_driver_close(&driver);
        socket_server_end(&server);
    }
}

/* One request that the store holds back; it has `held` then. */
static void hold_one(struct socket_driver *driver, unsigned queue, struct slow_store *store,
                     unsigned held)
{
    assert_int_equal(socket_driver_start(driver, queue, 0, VIRTIO_BLK_T_IN, HELD_SECTOR), 0);
    l4vio_queue_publish(&driver->queues[queue]);
    assert_int_equal(l4vio_driver_notify(&driver->driver, &driver->queues[queue]), 0);
    while (atomic_load(&store->held) < held)
        usleep(1000);
}

static void queue_reset_does_not_wait_for_requests_of_another_queue(void **state)
{
    static struct socket_driver driver;
    struct socket_server server;
    struct slow_store store;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        start(&server, &store, threads, 2);
        assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
        hold_one(&driver, 1, &store, 1);
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(l4vio_driver_reset_queue(&driver.driver, &driver.queues[0], NULL), 0);
            detach_and_attach(&driver, 0);
        }
        assert_int_equal(atomic_load(&store.held), 1);
        release_all(&store);
        assert_int_equal(socket_driver_finish(&driver, 1), 0);
        assert_int_equal(socket_driver_status(&driver, 1, 0), 0);
        socket_driver_close(&driver);
        socket_server_end(&server);
    }
}

/* The connection ends with requests in flight: memory stays mapped until the store is done. */
static void dead_client_is_cleared_when_the_store_is_done(void **state)
{
    static struct socket_driver driver;
    struct socket_server server;
    struct slow_store store;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        start(&server, &store, threads, 2);
        other_client_is_served(&server);
        assert_true(socket_server_has_clients(&server, 0));
        unsigned descriptors = usage_now().descriptors;
        unsigned mappings = usage_now().mappings;
        assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
        send_held(&driver, &store, 8, 16);
        driver.driver.transport.ops->close(driver.driver.transport.self);
        other_client_is_served(&server);
        assert_true(socket_server_has_clients(&server, 1));
        release_all(&store);
        assert_true(socket_server_has_clients(&server, 0));
        socket_driver_close(&driver);
        assert_int_equal(usage_now().descriptors, descriptors);
        assert_int_equal(usage_now().mappings, mappings);
        socket_server_end(&server);
    }
}

/* One way into the store for both: whoever looks into it takes in the other one's completions, too. */
static void the_last_completion_may_come_in_by_the_turn_of_another_client(void **state)
{
    static struct socket_driver dies, stays;
    struct socket_server server;
    struct slow_store store;

    (void)state;
    start(&server, &store, false, 2);
    assert_int_equal(socket_driver_open(&dies, server.path, 2), 0);
    assert_int_equal(socket_driver_open(&stays, server.path, 2), 0);
    hold_one(&dies, 0, &store, 1);
    hold_one(&stays, 0, &store, 2);
    dies.driver.transport.ops->close(dies.driver.transport.self);
    other_client_is_served(&server); /* So the server has noticed that. */
    /* Nothing tells of this but the next look into the store, which is for the other client. */
    pthread_mutex_lock(&store.lock);
    store.released = true;
    pthread_mutex_unlock(&store.lock);
    assert_int_equal(socket_driver_start(&stays, 0, 1, VIRTIO_BLK_T_OUT, 8), 0);
    assert_int_equal(socket_driver_finish(&stays, 0), 0);
    assert_true(socket_server_has_clients(&server, 1));
    socket_driver_close(&dies);
    socket_driver_close(&stays);
    socket_server_end(&server);
}

static void *release_later(void *argument)
{
    usleep(50000);
    release_all(argument);
    return NULL;
}

static void server_stops_when_the_store_is_done(void **state)
{
    static struct socket_driver driver;
    struct socket_server server;
    struct slow_store store;
    pthread_t thread;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        start(&server, &store, threads, 2);
        assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
        send_held(&driver, &store, 8, 16);
        assert_int_equal(pthread_create(&thread, NULL, release_later, &store), 0);
        socket_server_stop(&server);
        pthread_join(thread, NULL);
        socket_driver_close(&driver);
        socket_server_end(&server);
    }
}

/* More requests than a client has objects for: the ring waits, nothing spins, nothing is lost. */
static void full_store_is_waited_for(void **state)
{
    static struct socket_driver driver;
    struct socket_server server;
    struct slow_store store;

    (void)state;
    start(&server, &store, false, MANY_QUEUES);
    assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
    send_held(&driver, &store, SOCKET_DRIVER_DEPTH, 16);
    assert_int_equal(atomic_load(&store.held), 16);
    release_all(&store);
    for (unsigned queue = 0; queue < 2; queue++) {
        assert_int_equal(socket_driver_finish(&driver, queue), 0);
        for (unsigned n = 0; n < SOCKET_DRIVER_DEPTH; n++) {
            assert_int_equal(socket_driver_status(&driver, queue, n), 0);
            assert_int_equal(socket_driver_data(&driver, queue, n)[4095], 0x77);
        }
    }
    socket_driver_close(&driver);
    socket_server_end(&server);
}

static int reply_of(int peer)
{
    struct l4vio_unix_reply reply;

    assert_int_equal(peer_receive(peer, &reply, sizeof(reply), NULL), sizeof(reply));
    return (int)l4vio_swap32(reply.sequence);
}

/* Answers keep their order, whatever waits. */
static void calls_behind_a_reset_wait_for_it(void **state)
{
    struct socket_server server;
    struct slow_store store;

    (void)state;
    start(&server, &store, false, 2);
    int peer = peer_connect_hello(server.path);
    const uint32_t opcodes[] = {L4VIO_CALL_SET_STATUS, L4VIO_UNIX_ICU_INFO, L4VIO_CALL_SET_STATUS};
    for (uint32_t i = 0; i < 3; i++) {
        struct l4vio_unix_call call = {.opcode = l4vio_swap32(opcodes[i]),
                                       .sequence = l4vio_swap32(i)};
        assert_true(peer_send(peer, &call, sizeof(call), NULL, 0));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(reply_of(peer), i);
    close(peer);
    socket_server_end(&server);
}

#define CHANGING_CLIENTS 16u

/* Writes one command over the other until the server has settled for the one that has to wait. */
static void change_command(struct socket_driver *driver)
{
    struct l4vio_page_header *header = driver->client->l4.page;
    const uint32_t harmless = L4VIO_PAGE_CMD_NOTIFY_QUEUE << 24;
    const uint32_t reset = L4VIO_PAGE_CMD_SET_STATUS << 24;

    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(driver->platform.ops->notification_trigger(
                             driver->platform.self, &driver->driver.notifications[0].to_device),
                         0);
        for (unsigned n = 0; n < 1000; n++) {
            l4vio_store32(&header->cmd, n % 2 ? reset : harmless);
            l4vio_relax();
            l4vio_full_barrier();
        }
    }
}

/* What the server looks at to decide whether to wait is what it carries out. */
static void command_that_changes_does_not_make_the_server_wait(void **state)
{
    static struct socket_driver drivers[CHANGING_CLIENTS];
    struct socket_server server;
    struct slow_store store;

    (void)state;
    start(&server, &store, false, 1);
    socket_server_stop(&server);
    memset(&store.lanes, 0, sizeof(store.lanes));
    store.lane_count = 0;
    server.config.cmd_mode = true;
    socket_server_start(&server);
    for (unsigned i = 0; i < CHANGING_CLIENTS; i++) {
        struct socket_driver *driver = &drivers[i];
        assert_int_equal(socket_driver_open(driver, server.path, 1), 0);
        assert_int_equal(socket_driver_start(driver, 0, 0, VIRTIO_BLK_T_IN, HELD_SECTOR), 0);
        l4vio_queue_publish(&driver->queues[0]);
        assert_int_equal(l4vio_driver_notify(&driver->driver, &driver->queues[0]), 0);
        while (atomic_load(&store.held) <= i)
            usleep(1000);
        change_command(driver);
    }
    release_all(&store);
    for (unsigned i = 0; i < CHANGING_CLIENTS; i++)
        socket_driver_close(&drivers[i]);
    assert_true(socket_server_has_clients(&server, 0));
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reset_waits_for_the_store_without_holding_others_up),
        cmocka_unit_test(queue_reset_waits_for_the_store_and_for_no_other_queue),
        cmocka_unit_test(queue_reset_does_not_wait_for_requests_of_another_queue),
        cmocka_unit_test(dead_client_is_cleared_when_the_store_is_done),
        cmocka_unit_test(the_last_completion_may_come_in_by_the_turn_of_another_client),
        cmocka_unit_test(server_stops_when_the_store_is_done),
        cmocka_unit_test(full_store_is_waited_for),
        cmocka_unit_test(calls_behind_a_reset_wait_for_it),
        cmocka_unit_test(command_that_changes_does_not_make_the_server_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
