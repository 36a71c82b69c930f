/* SPDX-License-Identifier: MIT */
/*
 * One queue is reset and started again thousands of times, with requests in flight, while another
 * thread keeps the other queue busy: nothing is lost or handed back twice, nothing of the reset queue's
 * memory is touched afterwards, and the other queue does not notice. With random ring features.
 *
 * Usage: queue_reset [RESETS [SEED]]   (1500 per transport)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/session.h>

#include "block_server.h"
#include "loopback_block.h"
#include "ring_choice.h"

enum {
    request_count = 8,
    data_bytes = 2048,
    slice_sectors = 256, /* Each queue has sectors of its own, and memory. */
    store_bytes = 2 * slice_sectors * 512,
    resets_per_choice = 100,
};

static unsigned resets = 1500;
static uint32_t seed = 1;

struct side;

struct work {
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    struct side *side;
    unsigned finished; /* Times that `done` was called. */
    unsigned sent;
};

/* One queue and its thread. */
struct side {
    struct l4vio_block *block;
    uint32_t queue;
    uint32_t random;
    struct l4vio_region region;
    struct work work[request_count];
    uint64_t completed, cancelled;
};

static const char *where;
static char features[RING_CHOICE_NAME_BYTES];
static atomic_bool ending;

static void check(bool good, const char *what, long long value)
{
    if (good)
        return;
    fprintf(stderr, "queue_reset: %s, %s: %s (%lld)\n", where, features, what, value);
    abort();
}

static uint64_t in_ten_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)(now.tv_sec + 10) * 1000000000u;
}

static uint32_t below(uint32_t *random, uint32_t limit)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random % limit;
}

static unsigned char *data_of(const struct work *work)
{
    return (unsigned char *)work->side->region.base + work->segment.offset_bytes;
}

/* A sector always has the same content, whoever has written it how often. */
static unsigned char content(uint64_t sector, size_t at)
{
    return (unsigned char)(sector * 7u + at * 3u + (sector >> 5) + 1u);
}

static void fill(struct work *work)
{
    for (size_t at = 0; at < data_bytes; at++)
        data_of(work)[at] = content(work->request.sector + at / 512u, at % 512u);
}

static void done(struct l4vio_block_request *request, void *context)
{
    struct work *work = context;
    work->finished++;
    check(work->finished == work->sent, "handed back twice", (long long)work->finished);
    if (request->result == L4VIO_ECANCELED && work->side->queue == 0) {
        work->side->cancelled++;
        return;
    }
    check(request->result == 0, "request failed", request->result);
    for (size_t at = 0; request->type == L4VIO_BLOCK_READ && at < data_bytes; at++)
        check(data_of(work)[at] == content(request->sector + at / 512u, at % 512u), "wrong byte",
              (long long)at);
    work->side->completed++;
}

static void begin(struct side *side, struct l4vio_block *block, uint32_t queue, uint32_t random)
{
    memset(side, 0, sizeof(*side));
    side->block = block;
    side->queue = queue;
    side->random = random * 2654435761u + queue + 1u;
    int result = l4vio_driver_allocate(&block->driver,
                                       request_count * (L4VIO_BLOCK_SHARED_BYTES + data_bytes),
                                       &side->region, NULL);
    check(result == 0, "memory", result);
    for (unsigned i = 0; i < request_count; i++) {
        struct work *work = &side->work[i];
        result = l4vio_block_request_init(&work->request, &side->region,
                                          (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        check(result == 0, "request", result);
        work->side = side;
        work->segment = (struct l4vio_block_segment){
            &side->region, request_count * L4VIO_BLOCK_SHARED_BYTES + (uint64_t)i * data_bytes,
            data_bytes};
        work->request.segments = &work->segment;
        work->request.segment_count = 1;
        work->request.done = done;
        work->request.context = work;
    }
}

static void submit(struct side *side, struct work *work, enum l4vio_block_type type,
                   uint64_t sector)
{
    work->request.type = type;
    work->request.sector = side->queue * (uint64_t)slice_sectors + sector;
    if (type == L4VIO_BLOCK_WRITE)
        fill(work);
    work->sent++;
    int result = l4vio_block_submit(side->block, side->queue, &work->request, NULL);
    check(result == 0, "submit", result);
}

static void submit_random(struct side *side, struct work *work)
{
    bool write = below(&side->random, 3) == 0;
    submit(side, work, write ? L4VIO_BLOCK_WRITE : L4VIO_BLOCK_READ,
           below(&side->random, slice_sectors / 4) * 4);
}

static void drain(struct side *side)
{
    int result = l4vio_block_drain(side->block, side->queue, in_ten_seconds());
    check(result == 0, "drain", result);
}

static void write_slice(struct side *side)
{
    for (uint64_t sector = 0; sector < slice_sectors; sector += data_bytes / 512) {
        submit(side, &side->work[0], L4VIO_BLOCK_WRITE, sector);
        drain(side);
    }
}

static void *load_main(void *argument)
{
    struct side *side = argument;
    while (!atomic_load(&ending)) {
        for (unsigned i = 0; i < request_count; i++)
            if (!side->work[i].request.in_flight)
                submit_random(side, &side->work[i]);
        int result = l4vio_block_wait_room(side->block, side->queue, in_ten_seconds());
        check(result >= 0, "the other queue", result);
    }
    drain(side);
    return NULL;
}

/* Whatever was in flight is the driver's again: the device must not write to it any more. */
static void reset_once(struct side *side)
{
    unsigned count = 1 + below(&side->random, request_count);
    for (unsigned i = 0; i < count; i++)
        submit_random(side, &side->work[i]);
    if (below(&side->random, 2))
        (void)l4vio_block_poll(side->block, 0, below(&side->random, request_count) + 1);
    int result = l4vio_block_reset_queue(side->block, 0, NULL);
    check(result == 0, "reset", result);
    for (unsigned i = 0; i < count; i++) {
        check(side->work[i].finished == side->work[i].sent, "lost", (long long)i);
        memset(data_of(&side->work[i]), 0x11, data_bytes);
    }
    submit_random(side, &side->work[request_count - 1]);
    drain(side);
    for (unsigned i = 0; i + 1 < count; i++)
        for (size_t at = 0; at < data_bytes; at++)
            check(data_of(&side->work[i])[at] == 0x11, "written after the reset", (long long)at);
}

/* Returns how many requests the reset queue and the other one completed, and how many came back. */
static void hammer(struct l4vio_block *block, uint32_t random, unsigned count, uint64_t totals[3])
{
    static struct side reset_side, load_side;
    pthread_t thread;
    check(block->queue_count == 2, "queues", block->queue_count);
    begin(&reset_side, block, 0, random);
    begin(&load_side, block, 1, random);
    write_slice(&reset_side);
    write_slice(&load_side);
    atomic_store(&ending, false);
    check(pthread_create(&thread, NULL, load_main, &load_side) == 0, "thread", 0);
    for (unsigned i = 0; i < count; i++)
        reset_once(&reset_side);
    atomic_store(&ending, true);
    pthread_join(thread, NULL);
    totals[0] += reset_side.completed;
    totals[1] += reset_side.cancelled;
    totals[2] += load_side.completed;
}

static void tell(const uint64_t totals[3])
{
    printf("%-24s %u resets: %llu completed, %llu handed back; %llu on the other queue\n", where,
           resets, (unsigned long long)totals[0], (unsigned long long)totals[1],
           (unsigned long long)totals[2]);
    assert_true(totals[1] > 0 && totals[2] > 0);
}

static unsigned next_choice(uint32_t *random, unsigned round)
{
    /* The first ones are the plain rings of both formats. */
    unsigned number = round < 2 ? round * 4u : below(random, RING_CHOICES);
    ring_choice_name(number, features);
    return number;
}

static void over_loopback(void **state)
{
    static struct loopback_block rig;
    struct l4vio_block_backend store;
    uint32_t random = seed * 31u + 7u;
    uint64_t totals[3] = {0, 0, 0};
    (void)state;
    where = "loopback";
    assert_int_equal(l4vio_memory_backend_open(store_bytes, &store, NULL), 0);
    for (unsigned round = 0; round < resets / resets_per_choice; round++) {
        struct l4vio_features chosen = ring_choice(next_choice(&random, round));
        loopback_block_start_with(&rig, &store, loopback_block_size, 0, &chosen, &chosen);
        hammer(&rig.block, random, resets_per_choice, totals);
        loopback_block_stop(&rig);
    }
    l4vio_memory_backend_close(&store);
    tell(totals);
}

static void over_socket(const struct block_server_options *options)
{
    struct block_server server;
    uint32_t random = seed * 31u + 11u;
    uint64_t totals[3] = {0, 0, 0};
    block_server_start(&server, options);
    for (unsigned round = 0; round < resets / resets_per_choice; round++) {
        struct l4vio_session_options wanted = {.queue_count = 2, .queue_size = 64};
        struct l4vio_error error = {0, "", 0};
        struct l4vio_session *session;
        ring_choice_insist(next_choice(&random, round), &wanted.refused, &wanted.required);
        int result = l4vio_session_open_block(server.uri, &wanted, &session, &error);
        check(result == 0, error.text, result);
        hammer(l4vio_session_block(session), random, resets_per_choice, totals);
        l4vio_session_close(session);
    }
    block_server_stop(&server);
    tell(totals);
}

static void over_socket_thread_per_queue(void **state)
{
    struct block_server_options options = {.size_bytes = store_bytes,
                                           .queue_count = 2,
                                           .thread = true,
                                           .thread_per_queue = true,
                                           .added = ring_choice(RING_CHOICES - 1)};
    (void)state;
    where = "socket, threads, memory";
    over_socket(&options);
}

/* The store completes later, in a turn of its own. */
static void over_socket_file(void **state)
{
    char path[] = "/tmp/l4vio-image-XXXXXX";
    int file = mkstemp(path);
    (void)state;
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, store_bytes), 0);
    close(file);
    struct block_server_options options = {
        .image = path, .queue_count = 2, .thread = true, .added = ring_choice(RING_CHOICES - 1)};
    where = "socket, one loop, file";
    over_socket(&options);
    unlink(path);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        resets = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = (uint32_t)strtoul(argv[2], NULL, 10);
    if (resets < resets_per_choice)
        resets = resets_per_choice;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_loopback),
        cmocka_unit_test(over_socket_thread_per_queue),
        cmocka_unit_test(over_socket_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
