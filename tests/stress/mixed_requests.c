/* SPDX-License-Identifier: MIT */
/*
 * Random mixed requests of several clients on several queues, with random ring features, every byte
 * compared with a model in memory. Server and clients are two processes, or one under the thread
 * sanitizer; or threads over the loopback transport.
 *
 * Usage: mixed_requests [SECONDS [SEED]]   (5 seconds by default)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/session.h>

#include "block_server.h"
#include "loopback_block.h"
#include "ring_choice.h"

#if defined(__SANITIZE_THREAD__)
#define ONE_PROCESS true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ONE_PROCESS true
#endif
#endif
#ifndef ONE_PROCESS
#define ONE_PROCESS false
#endif

enum {
    client_count = 3,
    queue_count = 2,
    request_count = 12,
    slice_sectors = 8192,
    data_sectors_max = 160,
    segments_max = 7,
    sector_bytes = 512,
    run_count = 5,
};

struct client;

struct work {
    struct l4vio_block_request request;
    struct l4vio_block_segment segments[segments_max];
    struct client *client;
    unsigned index;
    bool busy;
    uint64_t first; /* sector in the client's slice */
    uint64_t count;
};

struct client {
    const char *uri; /* NULL: over the loopback transport */
    const struct l4vio_block_backend *store;
    struct loopback_block loopback;
    unsigned number;
    uint32_t random;
    uint64_t end_ns;
    struct l4vio_session *session;
    struct l4vio_block *block;
    struct l4vio_region region;
    struct work work[request_count];
    unsigned char *model;   /* slice_sectors sectors */
    unsigned char *unknown; /* per sector: contents undefined after a discard */
    unsigned in_flight;
    uint64_t requests, bytes, recoveries, reopenings;
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t next_random(struct client *client)
{
    uint32_t x = client->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return client->random = x;
}

static uint32_t below(struct client *client, uint32_t limit)
{
    return next_random(client) % limit;
}

/* The ring features of this thread's client. */
static _Thread_local char ring_name[RING_CHOICE_NAME_BYTES];

static void check(bool good, const char *what, long long value)
{
    if (good)
        return;
    fprintf(stderr, "mixed_requests: %s (%lld), with %s\n", what, value, ring_name);
    abort();
}

static unsigned char *data_of(const struct work *work)
{
    return (unsigned char *)work->client->region.base + request_count * L4VIO_BLOCK_SHARED_BYTES +
           (size_t)work->index * data_sectors_max * sector_bytes;
}

static void compare(const struct work *work)
{
    const struct client *client = work->client;
    for (uint64_t i = 0; i < work->count; ++i) {
        if (client->unknown[work->first + i])
            continue;
        check(!memcmp(data_of(work) + i * sector_bytes,
                      client->model + (work->first + i) * sector_bytes, sector_bytes),
              "read differs from what was written, sector", (long long)(work->first + i));
    }
}

static void finished(struct l4vio_block_request *request, void *context)
{
    struct work *work = context;
    check(request->result == 0, "request failed", request->result);
    if (request->type == L4VIO_BLOCK_READ)
        compare(work);
    work->busy = false;
    --work->client->in_flight;
    ++work->client->requests;
    work->client->bytes += work->count * sector_bytes;
}

/*
 * Data buffer and half of the slice go with the queue: where each queue has a thread of its own, the
 * order between two of them goes through the driver's memory, which the thread sanitizer sees at
 * another address than the server does.
 */
static uint32_t queue_of(const struct work *work)
{
    return work->index % work->client->block->queue_count;
}

/* A range of the slice that no request in flight touches: the model has no order for those. */
static bool choose_range(struct client *client, struct work *work, uint32_t count_max)
{
    uint64_t count = 1 + below(client, count_max);
    uint64_t first = below(client, (uint32_t)(slice_sectors / queue_count - count));
    first += (uint64_t)queue_of(work) * (slice_sectors / queue_count);
    for (unsigned i = 0; i < request_count; ++i) {
        const struct work *other = &client->work[i];
        if (other->busy && first < other->first + other->count && other->first < first + count)
            return false;
    }
    work->first = first;
    work->count = count;
    return true;
}

/* Cuts the data into pieces of any length, in place. */
static void cut(struct client *client, struct work *work)
{
    uint64_t offset = (uint64_t)(data_of(work) - (unsigned char *)client->region.base);
    uint64_t left = work->count * sector_bytes;
    uint32_t pieces = 0;
    while (left) {
        uint64_t length = pieces + 1 == segments_max ? left : 1 + below(client, (uint32_t)left);
        work->segments[pieces++] = (struct l4vio_block_segment){&client->region, offset, length};
        offset += length;
        left -= length;
    }
    work->request.segments = work->segments;
    work->request.segment_count = pieces;
}

static void note_written(struct client *client, const struct work *work, int value)
{
    memset(client->model + work->first * sector_bytes, value, work->count * sector_bytes);
    memset(client->unknown + work->first, 0, work->count);
}

static bool prepare(struct client *client, struct work *work)
{
    static const enum l4vio_block_type types[] = {
        L4VIO_BLOCK_READ,   L4VIO_BLOCK_READ,    L4VIO_BLOCK_READ,         L4VIO_BLOCK_WRITE,
        L4VIO_BLOCK_WRITE,  L4VIO_BLOCK_WRITE,   L4VIO_BLOCK_WRITE,        L4VIO_BLOCK_FLUSH,
        L4VIO_BLOCK_GET_ID, L4VIO_BLOCK_DISCARD, L4VIO_BLOCK_WRITE_ZEROES,
    };
    struct l4vio_block_request *request = &work->request;
    request->type = types[below(client, sizeof(types) / sizeof(types[0]))];
    request->sector = 0;
    request->segment_count = 0;
    work->first = work->count = 0;
    if (request->type == L4VIO_BLOCK_FLUSH || request->type == L4VIO_BLOCK_GET_ID)
        return true;
    if (!choose_range(client, work, data_sectors_max))
        return false;
    request->sector = (uint64_t)client->number * slice_sectors + work->first;
    request->sector_count = work->count;
    request->unmap = below(client, 2);
    if (request->type == L4VIO_BLOCK_DISCARD) {
        memset(client->unknown + work->first, 1, work->count);
        return true;
    }
    if (request->type == L4VIO_BLOCK_WRITE_ZEROES) {
        note_written(client, work, 0);
        return true;
    }
    cut(client, work);
    if (request->type == L4VIO_BLOCK_WRITE) {
        note_written(client, work, 0);
        for (uint64_t i = 0; i < work->count * sector_bytes; i += 4) {
            uint32_t word = next_random(client);
            memcpy(client->model + work->first * sector_bytes + i, &word, 4);
        }
        memcpy(data_of(work), client->model + work->first * sector_bytes,
               work->count * sector_bytes);
    } else {
        memset(data_of(work), 0xa5, work->count * sector_bytes);
    }
    return true;
}

static void submit_some(struct client *client)
{
    for (unsigned i = 0; i < request_count; ++i) {
        struct work *work = &client->work[i];
        if (work->busy || !below(client, 3) || !prepare(client, work))
            continue;
        struct l4vio_error error = {0, "", 0};
        uint32_t queue = queue_of(work);
        work->busy = true;
        ++client->in_flight;
        int result = l4vio_block_submit(client->block, queue, &work->request, &error);
        while (result == L4VIO_EAGAIN) {
            check(l4vio_block_wait_room(client->block, queue, client->end_ns + 60000000000u) >= 0,
                  "no room", 0);
            result = l4vio_block_submit(client->block, queue, &work->request, &error);
        }
        check(result == 0, error.text, result);
    }
}

static void poll_queues(struct client *client)
{
    for (uint32_t queue = 0; queue < client->block->queue_count; ++queue)
        check(l4vio_block_poll(client->block, queue, 64) >= 0, "queue broken", queue);
}

static void drain(struct client *client)
{
    for (uint32_t queue = 0; queue < client->block->queue_count; ++queue) {
        int result = l4vio_block_drain(client->block, queue, clock_ns() + 60000000000u);
        check(result == 0, "drain", result);
    }
    check(client->in_flight == 0, "requests lost", client->in_flight);
}

static void open_session(struct client *client)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_session_options options = {
        .queue_count = queue_count,
        /* From barely enough for one request of all pieces on. */
        .queue_size = (uint16_t)((16u << below(client, 4)) + below(client, 8)),
        .timeout_ns = 60000000000u,
        .spin_ns = below(client, 2) ? 20000 : 0,
    };
    int result = 0;
    unsigned number = below(client, RING_CHOICES);
    ring_choice_name(number, ring_name);
    if (client->uri) {
        ring_choice_insist(number, &options.refused, &options.required);
        result = l4vio_session_open_block(client->uri, &options, &client->session, &error);
        check(result == 0, error.text, result);
        client->block = l4vio_session_block(client->session);
    } else {
        struct l4vio_features ring = ring_choice(number);
        loopback_block_start_with(&client->loopback, client->store, options.queue_size,
                                  options.spin_ns, &ring, &ring);
        client->block = &client->loopback.block;
    }
    result = l4vio_driver_allocate(
        &client->block->driver,
        request_count * (L4VIO_BLOCK_SHARED_BYTES + (uint64_t)data_sectors_max * sector_bytes),
        &client->region, &error);
    check(result == 0, error.text, result);
    for (unsigned i = 0; i < request_count; ++i) {
        struct work *work = &client->work[i];
        memset(work, 0, sizeof(*work));
        work->client = client;
        work->index = i;
        result = l4vio_block_request_init(&work->request, &client->region,
                                          (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        check(result == 0, "request_init", result);
        work->request.done = finished;
        work->request.context = work;
    }
}

static void close_session(struct client *client)
{
    if (client->uri)
        l4vio_session_close(client->session);
    else
        loopback_block_stop(&client->loopback);
}

/* Now and then the connection is recovered or made anew; nothing that completed may be lost. */
static void shake(struct client *client)
{
    struct l4vio_error error = {0, "", 0};
    drain(client);
    if (below(client, 2)) {
        int result = l4vio_block_recover(client->block, &error);
        check(result == 0, error.text, result);
        ++client->recoveries;
        return;
    }
    close_session(client);
    open_session(client);
    ++client->reopenings;
}

static void read_all_back(struct client *client)
{
    const uint64_t half = slice_sectors / queue_count;
    for (uint64_t first = 0; first < slice_sectors;) {
        struct l4vio_error error = {0, "", 0};
        struct work *work = &client->work[first / half];
        uint64_t left = half - first % half;
        work->first = first;
        work->count = left < data_sectors_max ? left : data_sectors_max;
        work->request.type = L4VIO_BLOCK_READ;
        work->request.sector = (uint64_t)client->number * slice_sectors + first;
        cut(client, work);
        work->busy = true;
        ++client->in_flight;
        int result = l4vio_block_submit(client->block, queue_of(work), &work->request, &error);
        check(result == 0, error.text, result);
        drain(client);
        first += work->count;
    }
}

static void *client_main(void *self)
{
    struct client *client = self;
    open_session(client);
    while (clock_ns() < client->end_ns) {
        submit_some(client);
        poll_queues(client);
        if (client->in_flight == request_count || !below(client, 8)) {
            struct l4vio_queue *queues[queue_count];
            for (uint32_t i = 0; i < client->block->queue_count; ++i)
                queues[i] = &client->block->queues[i];
            if (client->in_flight)
                check(l4vio_driver_wait_any(&client->block->driver, queues,
                                            client->block->queue_count,
                                            clock_ns() + 60000000000u) >= 0,
                      "wait", 0);
        }
        if (!below(client, 2000))
            shake(client);
    }
    drain(client);
    read_all_back(client);
    close_session(client);
    return NULL;
}

static unsigned run_seconds = 5;
static uint32_t seed = 1;

/* One client per thread, on the server of `uri` or, if that is NULL, each on a device of its own. */
static void run_clients(const char *uri, const struct l4vio_block_backend *store, const char *name)
{
    struct client *clients = calloc(client_count, sizeof(*clients));
    pthread_t threads[client_count];
    for (unsigned i = 0; i < client_count; ++i) {
        struct client *client = &clients[i];
        client->uri = uri;
        client->store = store;
        client->number = i;
        client->random = seed * 2654435761u + i + 1;
        client->end_ns = clock_ns() + (uint64_t)run_seconds * 1000000000u / run_count;
        client->model = calloc(slice_sectors, sector_bytes);
        client->unknown = calloc(slice_sectors, 1);
        assert_int_equal(pthread_create(&threads[i], NULL, client_main, client), 0);
    }
    uint64_t requests = 0, bytes = 0, recoveries = 0, reopenings = 0;
    for (unsigned i = 0; i < client_count; ++i) {
        pthread_join(threads[i], NULL);
        requests += clients[i].requests;
        bytes += clients[i].bytes;
        recoveries += clients[i].recoveries;
        reopenings += clients[i].reopenings;
        free(clients[i].model);
        free(clients[i].unknown);
    }
    free(clients);
    printf("%-28s %9llu requests, %6llu MiB, %llu recoveries, %llu reconnections\n", name,
           (unsigned long long)requests, (unsigned long long)(bytes >> 20),
           (unsigned long long)recoveries, (unsigned long long)reopenings);
    assert_true(requests > 0);
}

static void run(struct block_server_options *options, const char *name)
{
    struct block_server server;
    options->added = ring_choice(RING_CHOICES - 1);
    block_server_start(&server, options);
    run_clients(server.uri, NULL, name);
    block_server_stop(&server);
}

static void loopback_two_threads_matches_model(void **state)
{
    struct l4vio_block_backend store;
    (void)state;
    assert_int_equal(l4vio_memory_backend_open(
                         (uint64_t)client_count * slice_sectors * sector_bytes, &store, NULL),
                     0);
    run_clients(NULL, &store, "loopback, two threads each");
    l4vio_memory_backend_close(&store);
}

static void memory_one_loop_matches_model(void **state)
{
    (void)state;
    struct block_server_options options = {
        .size_bytes = (uint64_t)client_count * slice_sectors * sector_bytes,
        .queue_count = queue_count,
        .thread = ONE_PROCESS,
    };
    run(&options, "memory, one loop");
}

static void memory_thread_per_queue_matches_model(void **state)
{
    (void)state;
    struct block_server_options options = {
        .size_bytes = (uint64_t)client_count * slice_sectors * sector_bytes,
        .queue_count = queue_count,
        .thread_per_queue = true,
        .thread = ONE_PROCESS,
    };
    run(&options, "memory, thread per queue");
}

static void run_file(bool thread_per_queue, const char *name)
{
    char path[] = "/tmp/l4vio-image-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)client_count * slice_sectors * sector_bytes), 0);
    close(file);
    struct block_server_options options = {
        .image = path,
        .queue_count = queue_count,
        .thread_per_queue = thread_per_queue,
        .thread = ONE_PROCESS,
    };
    run(&options, name);
    unlink(path);
}

static void file_one_loop_matches_model(void **state)
{
    (void)state;
    run_file(false, "file, one loop");
}

static void file_thread_per_queue_matches_model(void **state)
{
    (void)state;
    run_file(true, "file, thread per queue");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        run_seconds = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = (uint32_t)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_two_threads_matches_model),
        cmocka_unit_test(memory_one_loop_matches_model),
        cmocka_unit_test(memory_thread_per_queue_matches_model),
        cmocka_unit_test(file_one_loop_matches_model),
        cmocka_unit_test(file_thread_per_queue_matches_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
