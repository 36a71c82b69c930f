/* SPDX-License-Identifier: MIT */
/*
 * The driver's queue in one thread against the device's queue in another, over plain memory: every
 * combination of format and ring features, several sizes each, with random batches, shapes of
 * requests, orders of completion, suppression, sleeps, delays and yields. Nothing may be lost, come
 * twice, come out of order (in-order), carry somebody else's data, or hang: a side that sleeps and is
 * not woken within the limit has lost a wake-up, and the run fails with the state of both.
 *
 *   ring_formats [OPERATIONS [SEED [COMBINATION]]]
 *
 * Operations are requests over all combinations together. Under the thread sanitizer the data behind
 * the rings is checked for its ordering as well.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <l4vio/device_queue.h>
#include <l4vio/queue.h>

#include "core/ordering.h"

/* Enough to wrap 16-bit indexes in every combination. */
#define OPERATIONS_TO_WRAP (COMBINATIONS * UINT64_C(70000))
#define OPERATIONS_DEFAULT 10000000u
#define SLEEP_LIMIT_S      60
#define SIZE_MAX_HERE      256u
#define PIECES_MAX         4u
#define BATCH_MAX          64u
#define PIECE_BYTES        8u
#define BASE               UINT64_C(0x200000)

/* What a combination is made of. */
static const struct {
    unsigned bit;
    const char *name;
} features[] = {
    {L4VIO_F_RING_PACKED, "packed"},
    {L4VIO_F_EVENT_IDX, "event_idx"},
    {L4VIO_F_INDIRECT_DESC, "indirect"},
    {L4VIO_F_IN_ORDER, "in_order"},
    {L4VIO_F_ORDER_PLATFORM, "order_platform"},
};
#define FEATURES     (sizeof(features) / sizeof(features[0]))
#define COMBINATIONS (1u << FEATURES)

static uint64_t operations = OPERATIONS_DEFAULT;
static uint64_t seed;
static const char *only; /* This combination, or all. */

/* Shared memory: rings, tables and data. Plain memory for the data: the rings order it. */
struct shared {
    _Alignas(64) unsigned char rings[16 * SIZE_MAX_HERE + 16 * SIZE_MAX_HERE + 256];
    _Alignas(64) unsigned char tables[SIZE_MAX_HERE * PIECES_MAX * 16];
    _Alignas(64) uint64_t data[SIZE_MAX_HERE][PIECES_MAX];
};

/* What the driver knows of a request. */
struct request {
    uint64_t sequence;
    uint32_t writable_bytes;
    bool in_flight;
};

struct run {
    struct shared *shared;
    struct l4vio_features features;
    uint16_t size;
    bool in_order;
    uint64_t total;
    struct l4vio_queue queue;
    struct l4vio_queue_slot slots[SIZE_MAX_HERE];
    struct l4vio_device_queue device;
    struct l4vio_device_queue_slot device_slots[SIZE_MAX_HERE];
    struct l4vio_device_region region;
    struct l4vio_device_memory memory;
    sem_t kick;
    sem_t interrupt;
    struct request requests[SIZE_MAX_HERE];
    uint16_t idle[SIZE_MAX_HERE]; /* Requests that are not in flight. */
    unsigned idle_count;
    uint64_t sent;
    uint64_t received;
    uint64_t random_driver;
    uint64_t random_device;
    int stop; /* Set by the side that fails. */
    const char *wrong;
    uint64_t wrong_value;
};

static uint32_t pick(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 33) % below);
}

static bool stopped(struct run *run)
{
    return __atomic_load_n(&run->stop, __ATOMIC_ACQUIRE) != 0;
}

static bool fails(struct run *run, const char *text, uint64_t value)
{
    int first = 0;
    if (__atomic_compare_exchange_n(&run->stop, &first, 1, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        run->wrong = text;
        run->wrong_value = value;
    }
    sem_post(&run->kick);
    sem_post(&run->interrupt);
    return false;
}

/* Now and then, some time passes. */
static void dawdle(uint64_t *state)
{
    uint32_t what = pick(state, 64);
    if (what == 0)
        sched_yield();
    if (what < 4)
        for (uint32_t i = pick(state, 200); i > 0; i--)
            l4vio_relax();
}

/* Returns false when nobody comes. */
static bool sleep_until_posted(sem_t *object)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += SLEEP_LIMIT_S;
    while (sem_timedwait(object, &limit) != 0)
        if (errno != EINTR)
            return false;
    while (sem_trywait(object) == 0)
        continue;
    return true;
}

/* How a side behaves for a while. */
struct mood {
    uint32_t left;
    uint32_t batch;
    uint32_t window; /* Requests in flight at most: with few, a lost wake-up is a hang at once. */
    bool sleeps;
};

static void change_mood(struct mood *mood, uint64_t *state, uint16_t size)
{
    if (mood->left-- != 0)
        return;
    mood->left = 1 + pick(state, 400);
    mood->batch = 1 + pick(state, pick(state, 2) ? BATCH_MAX : 4);
    mood->window = pick(state, 3) ? size : 1 + pick(state, 3);
    /* Small rings would sleep all the time. */
    mood->sleeps = pick(state, size < 64 ? 24 : 3) == 0;
}

static uint64_t answer_to(uint64_t question)
{
    return question * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x5bd1e995);
}

static uint64_t address_of(struct run *run, const void *at)
{
    return BASE + (uint64_t)((const unsigned char *)at - (const unsigned char *)run->shared);
}

/* Pieces of 8 bytes: the question in the first readable one, the answer in the first writable one. */
static bool send_one(struct run *run)
{
    struct l4vio_buffer buffers[PIECES_MAX];
    uint32_t most = run->size < PIECES_MAX ? run->size : PIECES_MAX;
    uint32_t pieces = 1 + pick(&run->random_driver, most);
    uint32_t writable = pieces == 1 ? 1 : 1 + pick(&run->random_driver, pieces - 1);
    uint16_t number = run->idle[run->idle_count - 1];
    struct request *request = &run->requests[number];
    uint64_t *data = run->shared->data[number];

    for (uint32_t i = 0; i < pieces; i++)
        buffers[i] = (struct l4vio_buffer){.address = address_of(run, &data[i]),
                                           .length_bytes = PIECE_BYTES};
    struct l4vio_request add = {.buffers = buffers,
                                .readable = (uint16_t)(pieces - writable),
                                .writable = (uint16_t)writable,
                                .cookie = request};
    /* Of one piece, question and answer share it. */
    data[0] = run->sent;
    if (pieces > writable)
        data[pieces - writable] = 0;
    int result = l4vio_queue_add(&run->queue, &add, 1);
    if (result == L4VIO_EAGAIN)
        return false;
    if (result != 1)
        return fails(run, "add refuses a request", (uint64_t)(int64_t)result);
    request->sequence = run->sent++;
    request->writable_bytes = writable * PIECE_BYTES;
    request->in_flight = true;
    run->idle_count--;
    return true;
}

/* The written length follows from the question, so that the driver can check it. */
static uint32_t written_for(uint64_t question, uint32_t writable_bytes)
{
    uint64_t mixed = answer_to(question) >> 40;
    return mixed % 4 ? writable_bytes : PIECE_BYTES;
}

static bool check_completion(struct run *run, const struct l4vio_completion *done)
{
    struct request *request = done->cookie;
    uint16_t number = (uint16_t)(request - run->requests);

    if (number >= run->size || !request->in_flight)
        return fails(run, "a completion of nothing in flight", number);
    if (run->in_order && request->sequence != run->received)
        return fails(run, "completions out of order", request->sequence);
    if (done->length_bytes != written_for(request->sequence, request->writable_bytes))
        return fails(run, "wrong length", done->length_bytes);
    bool found = false;
    for (unsigned i = 0; i < PIECES_MAX; i++)
        found |= run->shared->data[number][i] == answer_to(request->sequence);
    if (!found)
        return fails(run, "wrong answer", request->sequence);
    request->in_flight = false;
    run->idle[run->idle_count++] = number;
    run->received++;
    return true;
}

/* Returns how many, or -1. */
static int harvest(struct run *run, uint32_t most)
{
    struct l4vio_completion done[BATCH_MAX];
    int count = l4vio_queue_get_used(&run->queue, done, most);
    if (count < 0) {
        struct l4vio_error error = {0};
        l4vio_queue_broken_error(&run->queue, &error);
        fails(run, error.text ? error.text : "the driver's queue broke", error.value);
        return -1;
    }
    for (int i = 0; i < count; i++)
        if (!check_completion(run, &done[i]))
            return -1;
    return count;
}

static void publish_and_kick(struct run *run)
{
    l4vio_queue_publish(&run->queue);
    if (l4vio_queue_needs_kick(&run->queue))
        sem_post(&run->kick);
}

/* Nothing to take and nothing to send. */
static void driver_waits(struct run *run, bool sleeps)
{
    publish_and_kick(run);
    if (!sleeps) {
        l4vio_queue_disarm(&run->queue);
        sched_yield();
        return;
    }
    unsigned in_flight = l4vio_queue_in_flight(&run->queue);
    bool some;
    if (pick(&run->random_driver, 2))
        some = l4vio_queue_arm(&run->queue);
    else
        some = l4vio_queue_arm_after(&run->queue, 1 + pick(&run->random_driver, in_flight));
    if (!some && !sleep_until_posted(&run->interrupt))
        fails(run, "the driver sleeps for ever", in_flight);
    if (pick(&run->random_driver, 2))
        l4vio_queue_disarm(&run->queue);
}

static void *driver_side(void *argument)
{
    struct run *run = argument;
    struct mood mood = {0};

    while (run->received < run->total && !stopped(run)) {
        change_mood(&mood, &run->random_driver, run->size);
        uint32_t count = 1 + pick(&run->random_driver, mood.batch);
        bool sent = false;
        while (count-- && run->idle_count && run->sent < run->total &&
               run->sent - run->received < mood.window && send_one(run))
            sent = true;
        if (sent && pick(&run->random_driver, 8))
            publish_and_kick(run);
        dawdle(&run->random_driver);
        int taken = harvest(run, 1 + pick(&run->random_driver, mood.batch));
        if (taken < 0)
            break;
        if (taken == 0 && !sent)
            driver_waits(run, mood.sleeps);
    }
    return NULL;
}

/* Chains that the device has and has not finished. */
struct held {
    struct l4vio_device_used used[SIZE_MAX_HERE];
    unsigned count;
};

/* Whether there was one. */
static bool take_one(struct run *run, struct held *held, uint64_t expected)
{
    struct l4vio_device_segment segments[PIECES_MAX];
    struct l4vio_device_chain chain;
    uint64_t question = 0;
    int result = l4vio_device_queue_next(&run->device, &chain, segments, PIECES_MAX);
    if (result < 0)
        return fails(run, run->device.broken_error.text, run->device.broken_error.value);
    if (result == 0)
        return false;
    if (chain.writable == 0 || chain.writable_bytes != chain.writable * (uint64_t)PIECE_BYTES)
        return fails(run, "a chain of another shape", chain.writable_bytes);
    memcpy(&question, segments[0].base, sizeof(question));
    if (question != expected)
        return fails(run, "a chain out of its turn", question);
    uint64_t answer = answer_to(question);
    memcpy(segments[chain.readable].base, &answer, sizeof(answer));
    held->used[held->count++] = (struct l4vio_device_used){
        .head = chain.head,
        .entries = chain.entries,
        .written_bytes = written_for(question, (uint32_t)chain.writable_bytes)};
    return true;
}

/* Some of them, in any order. */
static unsigned finish_some(struct run *run, struct held *held, unsigned count)
{
    for (unsigned i = held->count; i > 1; i--) {
        unsigned other = pick(&run->random_device, i);
        struct l4vio_device_used used = held->used[i - 1];
        held->used[i - 1] = held->used[other];
        held->used[other] = used;
    }
    held->count -= count;
    l4vio_device_queue_finish(&run->device, &held->used[held->count], count);
    return count;
}

static void notify(struct run *run)
{
    if (l4vio_device_queue_needs_notify(&run->device))
        sem_post(&run->interrupt);
}

static void device_waits(struct run *run, bool sleeps)
{
    notify(run);
    if (!sleeps) {
        l4vio_device_queue_disarm(&run->device);
        sched_yield();
        return;
    }
    if (!l4vio_device_queue_arm(&run->device) && !sleep_until_posted(&run->kick))
        fails(run, "the device sleeps for ever", run->device.in_flight);
    if (pick(&run->random_device, 2))
        l4vio_device_queue_disarm(&run->device);
}

static void *device_side(void *argument)
{
    struct run *run = argument;
    struct held held = {.count = 0};
    struct mood mood = {0};
    uint64_t taken = 0;
    uint64_t finished = 0;

    while (finished < run->total && !stopped(run)) {
        change_mood(&mood, &run->random_device, run->size);
        uint32_t count = 1 + pick(&run->random_device, mood.batch);
        bool some = false;
        while (count-- && take_one(run, &held, taken)) {
            taken++;
            some = true;
        }
        dawdle(&run->random_device);
        /* What is held is finished at last when nothing new comes. */
        if (held.count && (!some || pick(&run->random_device, 2))) {
            finished += finish_some(run, &held, 1 + pick(&run->random_device, held.count));
            if (pick(&run->random_device, 4))
                notify(run);
        } else if (!some && !stopped(run)) {
            device_waits(run, mood.sleeps);
        }
    }
    notify(run);
    return NULL;
}

static void init_driver(struct run *run, const struct l4vio_virtqueue_layout *layout)
{
    struct l4vio_error error = {0};
    unsigned char *rings = run->shared->rings;
    bool tables = run->size >= 2;
    struct l4vio_queue_config config = {
        .size = run->size,
        .strict = true,
        .desc = rings + layout->desc_offset,
        .avail = rings + layout->avail_offset,
        .used = rings + layout->used_offset,
        .desc_address = address_of(run, rings + layout->desc_offset),
        .avail_address = address_of(run, rings + layout->avail_offset),
        .used_address = address_of(run, rings + layout->used_offset),
        .slots = run->slots,
        .features = run->features,
        .indirect = {.memory = tables ? run->shared->tables : NULL,
                     .device_address = address_of(run, run->shared->tables),
                     .entries = (uint16_t)(run->size < PIECES_MAX ? run->size : PIECES_MAX)},
    };
    int result = l4vio_queue_init(&run->queue, &config, &error);
    if (result != L4VIO_OK)
        fail_msg("driver: %s (%llu)", error.text, (unsigned long long)error.value);
}

static void init_device(struct run *run)
{
    struct l4vio_error error = {0};
    l4vio_device_memory_init(&run->memory, &run->region, 1, 0);
    struct l4vio_device_region region = {
        .device_address = BASE, .size_bytes = sizeof(struct shared), .base = run->shared};
    assert_int_equal(l4vio_device_memory_add(&run->memory, &region, NULL), L4VIO_OK);
    struct l4vio_device_queue_config config = {.size = run->size,
                                               .desc_address = run->queue.desc_address,
                                               .avail_address = run->queue.avail_address,
                                               .used_address = run->queue.used_address,
                                               .features = run->features,
                                               .slots = run->device_slots};
    int result = l4vio_device_queue_init(&run->device, &config, &run->memory, &error);
    if (result != L4VIO_OK)
        fail_msg("device: %s (%llu)", error.text, (unsigned long long)error.value);
}

static struct run *create_run(unsigned combination, uint16_t size, uint64_t total)
{
    struct run *run = aligned_alloc(64, (sizeof(*run) + 63u) & ~(size_t)63u);
    assert_non_null(run);
    memset(run, 0, sizeof(*run));
    run->shared = aligned_alloc(64, sizeof(*run->shared));
    assert_non_null(run->shared);
    memset(run->shared, 0xa5, sizeof(*run->shared));
    for (unsigned i = 0; i < FEATURES; i++)
        if (combination >> i & 1u)
            l4vio_features_set(&run->features, features[i].bit);
    run->in_order = l4vio_features_has(&run->features, L4VIO_F_IN_ORDER);
    run->size = size;
    run->total = total;
    run->random_driver = (seed + combination) * 2654435761u + size;
    run->random_device = run->random_driver ^ UINT64_C(0x5bd1e995cafe);
    for (uint16_t i = 0; i < size; i++)
        run->idle[run->idle_count++] = i;
    sem_init(&run->kick, 0, 0);
    sem_init(&run->interrupt, 0, 0);

    struct l4vio_virtqueue_layout layout;
    assert_int_equal(l4vio_virtqueue_layout_for(size, &run->features, &layout), L4VIO_OK);
    assert_true(layout.size_bytes <= sizeof(run->shared->rings));
    init_driver(run, &layout);
    init_device(run);
    return run;
}

static void print_state(struct run *run)
{
    struct l4vio_queue_dump_line lines[32];
    unsigned count = l4vio_queue_dump(&run->queue, lines, 32);
    fprintf(stderr, "size %u, sent %llu, received %llu: %s (%llu)\n", run->size,
            (unsigned long long)run->sent, (unsigned long long)run->received, run->wrong,
            (unsigned long long)run->wrong_value);
    for (unsigned i = 0; i < count; i++)
        fprintf(stderr, "  driver %s %llu\n", lines[i].name, (unsigned long long)lines[i].value);
    fprintf(stderr, "  device in flight %u, taken %llu, finished %llu\n", run->device.in_flight,
            (unsigned long long)run->device.counters.taken,
            (unsigned long long)run->device.counters.finished);
}

static void exchange(unsigned combination, uint16_t size, uint64_t total)
{
    struct run *run = create_run(combination, size, total);
    pthread_t device;

    assert_int_equal(pthread_create(&device, NULL, device_side, run), 0);
    driver_side(run);
    assert_int_equal(pthread_join(device, NULL), 0);
    if (run->wrong)
        print_state(run);
    assert_null(run->wrong);
    assert_int_equal(run->received, total);
    assert_int_equal(l4vio_queue_in_flight(&run->queue), 0);
    assert_int_equal(l4vio_queue_room(&run->queue), size);
    assert_int_equal(run->queue.counters.clamped_lengths, 0);
    sem_destroy(&run->kick);
    sem_destroy(&run->interrupt);
    free(run->shared);
    free(run);
}

static void name_combination(unsigned combination, char *name, size_t size)
{
    size_t at = (size_t)snprintf(name, size, "%s", combination & 1u ? "packed" : "split");
    for (unsigned i = 1; i < FEATURES; i++)
        if (combination >> i & 1u)
            at += (size_t)snprintf(name + at, size - at, "+%s", features[i].name);
}

/* Clauses V-2.7.8.2-1, V-2.7.8.2-2 and V-6.2-5. */
static void nothing_is_lost_doubled_or_reordered(void **state)
{
    static const uint16_t split_sizes[] = {1, 2, 8, 32};
    static const uint16_t packed_sizes[] = {1, 3, 7, 50};
    unsigned combination = (unsigned)(uintptr_t)*state;
    const uint16_t *sizes = combination & 1u ? packed_sizes : split_sizes;
    char name[64];
    name_combination(combination, name, sizeof(name));
    if (only && strcmp(only, name) != 0)
        skip();
    uint64_t total = operations / COMBINATIONS;
    if (total < SIZE_MAX_HERE)
        total = SIZE_MAX_HERE;

    /* Small rings wait for each other most of the time: a share of the operations is enough. */
    uint64_t small = total / 40;
    for (unsigned i = 0; i < 4; i++)
        exchange(combination, sizes[i], small);
    exchange(combination, SIZE_MAX_HERE, total - 4 * small);
}

/* Less where every operation takes long; an emulator says so by the environment. */
static uint64_t default_operations(void)
{
    const char *given = getenv("L4VIO_STRESS_OPERATIONS");
    if (given)
        return strtoull(given, NULL, 0);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return OPERATIONS_TO_WRAP;
#else
    return OPERATIONS_DEFAULT;
#endif
}

int main(int argc, char **argv)
{
    static char names[COMBINATIONS][64];
    struct CMUnitTest tests[COMBINATIONS];
    bool known = argc <= 3;

    operations = argc > 1 ? strtoull(argv[1], NULL, 0) : default_operations();
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    only = argc > 3 ? argv[3] : NULL;
    fprintf(stderr, "%llu operations, seed %llu\n", (unsigned long long)operations,
            (unsigned long long)seed);
    for (unsigned i = 0; i < COMBINATIONS; i++) {
        name_combination(i, names[i], sizeof(names[i]));
        known |= only && strcmp(only, names[i]) == 0;
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = nothing_is_lost_doubled_or_reordered,
                                       .initial_state = (void *)(uintptr_t)i};
    }
    if (!known) {
        fprintf(stderr, "no combination is called %s\n", only);
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
