/* SPDX-License-Identifier: MIT */
/*
 * A device class of one's own, served over the socket: text comes back in capitals. Queue 1 answers at
 * once; queue 0 too, or, if the service holds it, once the worker's handle says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "socket_server.h"
#include "upper_driver.h"

#define CAPACITY   2u
#define SEGMENTS   4u
#define TEXT_BYTES 64u

struct upper_service {
    bool hold;      /* Queue 0 waits for `released`. */
    bool stubborn;  /* Even when it is to stop. */
    bool forgetful; /* Makes devices without the client's regions. */
    int refuse;     /* With this code. */
    int handle;     /* Eventfd of the worker of queue 0. */
    unsigned workers;
    bool released; /* Of that worker alone. */
    atomic_uint made, destroyed, held, held_most, turns, stops;
    struct l4vio_device_region regions[2];
};

struct held {
    struct l4vio_device_chain chain;
    struct l4vio_device_segment segments[SEGMENTS];
};

struct upper {
    struct upper_service *service;
    struct l4vio_device device;
    struct l4vio_device_queue_state queues[UPPER_QUEUES];
    struct held held[CAPACITY];
    unsigned held_count;
    void *worker[UPPER_QUEUES];
};

static int create(void *self, const struct l4vio_service_client *client, void **instance,
                  struct l4vio_device **device, struct l4vio_error *error)
{
    struct upper_service *service = self;

    if (service->refuse)
        return l4vio_fail(error, service->refuse, "not today", 0);
    struct upper *upper = calloc(1, sizeof(*upper));
    struct l4vio_device_config config = {
        .device_id = UPPER_DEVICE_ID,
        .queues = upper->queues,
        .queue_count = UPPER_QUEUES,
        .queue_size_max = UPPER_QUEUE_SIZE,
        .regions = service->forgetful ? service->regions : client->regions,
        .region_count = service->forgetful ? 2 : client->region_count,
        .mapped_bytes_max = client->mapped_bytes_max,
        .release_region = client->release_region,
        .release_self = client->release_self,
        .trace = client->trace,
    };
    upper->service = service;
    int result = l4vio_device_init(&upper->device, &config, error);
    *instance = upper;
    *device = &upper->device;
    atomic_fetch_add(&service->made, 1);
    return result;
}

static void destroy(void *self, void *instance)
{
    struct upper_service *service = self;

    free(instance);
    atomic_fetch_add(&service->destroyed, 1);
}

static void answer(struct l4vio_device_queue *ring, const struct l4vio_device_chain *chain)
{
    char text[TEXT_BYTES];
    uint64_t length = l4vio_device_chain_read(chain, 0, text, sizeof(text));

    for (uint64_t i = 0; i < length; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    uint64_t written_bytes = l4vio_device_chain_write(chain, 0, text, length);
    struct l4vio_device_used used = l4vio_device_chain_used(ring, chain, (uint32_t)written_bytes);
    l4vio_device_queue_finish(ring, &used, 1);
}

static unsigned process_at_once(void *instance, uint32_t queue, unsigned max)
{
    struct upper *upper = instance;
    struct l4vio_device_queue *ring = l4vio_device_queue(&upper->device, queue);
    struct held now;
    unsigned taken = 0;

    while (taken < max && l4vio_device_queue_next(ring, &now.chain, now.segments, SEGMENTS) == 1) {
        answer(ring, &now.chain);
        taken++;
    }
    l4vio_device_notify(&upper->device, queue);
    return taken;
}

static void let_go(struct upper *upper, bool answered)
{
    for (unsigned i = 0; answered && i < upper->held_count; i++)
        answer(l4vio_device_queue(&upper->device, 0), &upper->held[i].chain);
    atomic_fetch_sub(&upper->service->held, upper->held_count);
    upper->held_count = 0;
}

static void signal_handle(const struct upper_service *service)
{
    uint64_t one = 1;

    assert_int_equal(write(service->handle, &one, sizeof(one)), sizeof(one));
}

static unsigned stop_held(struct upper *upper)
{
    struct upper_service *service = upper->service;

    if (upper->held_count && service->stubborn && !service->released) {
        if (atomic_fetch_add(&service->stops, 1) == 0)
            signal_handle(service); /* Comes back when it is read. */
    } else {
        let_go(upper, false);
    }
    return 0;
}

static unsigned process_held(void *instance, uint32_t queue, unsigned max)
{
    struct upper *upper = instance;
    struct upper_service *service = upper->service;
    unsigned taken = 0;

    if (queue != 0)
        return max ? process_at_once(instance, queue, max) : 0;
    if (max == 0)
        return stop_held(upper);
    struct l4vio_device_queue *ring = l4vio_device_queue(&upper->device, 0);
    atomic_fetch_add(&service->turns, 1);
    if (service->released)
        let_go(upper, true);
    while (taken < max && upper->held_count < CAPACITY) {
        struct held *held = &upper->held[upper->held_count];
        if (l4vio_device_queue_next(ring, &held->chain, held->segments, SEGMENTS) != 1)
            break;
        upper->held_count++;
        taken++;
        if (atomic_fetch_add(&service->held, 1) + 1 > atomic_load(&service->held_most))
            atomic_store(&service->held_most, atomic_load(&service->held));
        if (service->released)
            let_go(upper, true);
    }
    l4vio_device_notify(&upper->device, 0);
    return taken;
}

static unsigned in_flight(void *instance, uint32_t queue)
{
    return queue == 0 ? ((struct upper *)instance)->held_count : 0;
}

static bool full(void *instance, uint32_t queue)
{
    return in_flight(instance, queue) == CAPACITY;
}

/* The context of the first worker is the service, that of others something else. */
static int worker_open(void *self, void **worker, struct l4vio_error *error)
{
    struct upper_service *service = self;

    (void)error;
    *worker = service->workers++ == 0 ? self : &service->workers;
    return 0;
}

static void worker_close(void *self, void *worker)
{
    struct upper_service *service = self;

    assert_true(worker == self || worker == &service->workers);
    service->workers--;
}

static intptr_t worker_handle(void *self, void *worker)
{
    return worker == self ? ((struct upper_service *)self)->handle : -1;
}

static void worker_ready(void *self, void *worker)
{
    struct upper_service *service = self;
    uint64_t count;

    assert_ptr_equal(worker, self);
    assert_int_equal(read(service->handle, &count, sizeof(count)), sizeof(count));
    service->released = true;
}

static bool awaits(void *instance, uint32_t queue)
{
    return in_flight(instance, queue) != 0;
}

static void set_worker(void *instance, uint32_t queue, void *worker)
{
    struct upper *upper = instance;

    assert_null(upper->worker[queue]);
    upper->worker[queue] = worker;
    if (queue == 0)
        assert_ptr_equal(worker, upper->service);
}

static const struct l4vio_service_ops least_ops = {
    .create = create, .destroy = destroy, .process = process_at_once};

static const struct l4vio_service_ops held_ops = {
    .create = create,
    .destroy = destroy,
    .process = process_held,
    .in_flight = in_flight,
    .full = full,
    .worker_open = worker_open,
    .worker_close = worker_close,
    .worker_handle = worker_handle,
    .worker_ready = worker_ready,
    .awaits = awaits,
    .set_worker = set_worker,
};

static void start(struct socket_server *server, struct upper_service *service, bool threads)
{
    socket_server_init(server);
    service->handle = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->config.thread_per_queue = threads;
    server->config.service = (struct l4vio_service){.ops = service->hold ? &held_ops : &least_ops,
                                                    .self = service,
                                                    .queue_count = UPPER_QUEUES};
    socket_server_start(server);
}

static void end(struct socket_server *server, struct upper_service *service)
{
    socket_server_end(server);
    assert_int_equal(atomic_load(&service->made), atomic_load(&service->destroyed));
    assert_int_equal(atomic_load(&service->held), 0);
    assert_int_equal(service->workers, 0);
    close(service->handle);
}

static void assert_serves(struct upper_driver *driver, unsigned queue)
{
    assert_int_equal(upper_driver_send(driver, queue, 0, "hello, device"), 0);
    assert_int_equal(upper_driver_receive(driver, queue), 0);
    assert_string_equal(upper_driver_answer(driver, queue, 0), "HELLO, DEVICE");
}

static void two_clients_at_once_are_served(void **state)
{
    for (int threads = 0; threads < 2; threads++) {
        struct upper_service service = {0};
        struct socket_server server;
        struct upper_driver one, two;

        (void)state;
        start(&server, &service, threads);
        assert_int_equal(upper_driver_open(&one, server.path), 0);
        assert_int_equal(upper_driver_open(&two, server.path), 0);
        assert_int_equal(one.driver.identity.device_id, UPPER_DEVICE_ID);
        for (unsigned i = 0; i < 100; i++) {
            assert_serves(i % 2 ? &one : &two, i / 2 % UPPER_QUEUES);
            assert_serves(&one, i % UPPER_QUEUES);
        }
        upper_driver_close(&one);
        assert_serves(&two, 0);
        assert_true(socket_server_has_clients(&server, 1));
        assert_int_equal(atomic_load(&service.destroyed), 1);
        upper_driver_close(&two);
        end(&server, &service);
    }
}

static void a_full_queue_is_left_alone_until_something_is_finished(void **state)
{
    for (int threads = 0; threads < 2; threads++) {
        struct upper_service service = {.hold = true};
        struct socket_server server;
        struct upper_driver driver;

        (void)state;
        start(&server, &service, threads);
        assert_int_equal(upper_driver_open(&driver, server.path), 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(upper_driver_send(&driver, 0, i, "held"), 0);
        for (unsigned i = 0; i < 300; i++)
            assert_serves(&driver, 1);
        assert_true(atomic_load(&service.turns) < 100);
        assert_true(atomic_load(&service.held_most) <= CAPACITY);
        signal_handle(&service);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(upper_driver_receive(&driver, 0), 0);
        assert_string_equal(upper_driver_answer(&driver, 0, 2), "HELD");
        upper_driver_close(&driver);
        end(&server, &service);
    }
}

static bool held_soon(struct upper_service *service)
{
    for (int i = 0; i < 5000 && atomic_load(&service->held) == 0; i++)
        usleep(1000);
    return atomic_load(&service->held) != 0;
}

static void reset_waits_for_what_is_in_flight(void **state)
{
    for (int threads = 0; threads < 2; threads++) {
        struct upper_service service = {.hold = true, .stubborn = true};
        struct socket_server server;
        struct upper_driver driver;

        (void)state;
        start(&server, &service, threads);
        assert_int_equal(upper_driver_open(&driver, server.path), 0);
        assert_int_equal(upper_driver_send(&driver, 0, 0, "held"), 0);
        assert_true(held_soon(&service));
        assert_int_equal(l4vio_driver_reset(&driver.driver, NULL), 0);
        assert_true(atomic_load(&service.stops) > 0);
        assert_int_equal(atomic_load(&service.held), 0);
        assert_int_equal(upper_driver_restart(&driver), 0);
        assert_serves(&driver, 0);
        upper_driver_close(&driver);
        end(&server, &service);
    }
}

static void client_that_vanishes_leaves_nothing(void **state)
{
    for (int threads = 0; threads < 2; threads++) {
        struct upper_service service = {.hold = true, .stubborn = true};
        struct socket_server server;
        struct upper_driver gone, other;

        (void)state;
        start(&server, &service, threads);
        assert_int_equal(upper_driver_open(&other, server.path), 0);
        assert_int_equal(upper_driver_open(&gone, server.path), 0);
        assert_int_equal(upper_driver_send(&gone, 0, 0, "held"), 0);
        assert_true(held_soon(&service));
        upper_driver_vanish(&gone);
        assert_true(socket_server_has_clients(&server, 1));
        assert_int_equal(atomic_load(&service.destroyed), 1);
        assert_int_equal(atomic_load(&service.held), 0);
        assert_serves(&other, 0);
        assert_serves(&other, 1);
        upper_driver_close(&gone);
        upper_driver_close(&other);
        end(&server, &service);
    }
}

static void broken_queue_needs_a_reset(void **state)
{
    struct upper_service service = {0};
    struct l4vio_server_counters counters;
    struct socket_server server;
    struct upper_driver driver;

    (void)state;
    start(&server, &service, false);
    assert_int_equal(upper_driver_open(&driver, server.path), 0);
    assert_int_equal(upper_driver_send_outside(&driver, 0), 0);
    assert_int_equal(upper_driver_receive(&driver, 0), L4VIO_EIO);
    assert_true(l4vio_driver_fail_state(&driver.driver));
    assert_int_equal(l4vio_driver_reset(&driver.driver, NULL), 0);
    assert_int_equal(upper_driver_restart(&driver), 0);
    assert_serves(&driver, 0);
    l4vio_server_counters_read(server.server, &counters);
    assert_int_equal(counters.device_failures, 1);
    upper_driver_close(&driver);
    end(&server, &service);
}

static void refused_client_hears_the_code_of_the_service(void **state)
{
    struct upper_service service = {.refuse = L4VIO_EBUSY};
    struct socket_server server;
    struct upper_driver driver;

    (void)state;
    start(&server, &service, false);
    assert_int_equal(upper_driver_open(&driver, server.path), L4VIO_EBUSY);
    assert_true(socket_server_logged(&server, "not today"));
    end(&server, &service);
}

static void device_without_the_quotas_is_not_served(void **state)
{
    struct upper_service service = {.forgetful = true};
    struct socket_server server;
    struct upper_driver driver;

    (void)state;
    start(&server, &service, false);
    assert_int_equal(upper_driver_open(&driver, server.path), L4VIO_EINVAL);
    assert_true(socket_server_has_clients(&server, 0));
    assert_int_equal(atomic_load(&service.destroyed), 1);
    end(&server, &service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_clients_at_once_are_served),
        cmocka_unit_test(a_full_queue_is_left_alone_until_something_is_finished),
        cmocka_unit_test(reset_waits_for_what_is_in_flight),
        cmocka_unit_test(client_that_vanishes_leaves_nothing),
        cmocka_unit_test(broken_queue_needs_a_reset),
        cmocka_unit_test(refused_client_hears_the_code_of_the_service),
        cmocka_unit_test(device_without_the_quotas_is_not_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
