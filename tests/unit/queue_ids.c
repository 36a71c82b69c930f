/* SPDX-License-Identifier: MIT */
/*
 * Whatever has gone on before, in calls and batches of any shape: an id that is not the head of a
 * request in flight is refused, each by itself (defects T3, B9). Split ring, any order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_ring.h"

#define SIZE 16u

struct history {
    struct ring_fixture *fixture;
    uint32_t random;
    uint16_t in_flight[SIZE]; /* Heads, in no order. */
    unsigned count;
};

static unsigned below(struct history *history, unsigned limit)
{
    history->random = history->random * 1664525u + 1013904223u;
    return (history->random >> 16) % limit;
}

static void add_some(struct history *history)
{
    struct l4vio_buffer buffers[4];
    struct l4vio_request requests[8];
    unsigned count = 1 + below(history, 8);
    bool singles = below(history, 2);

    for (unsigned i = 0; i < 4; i++)
        buffers[i] = (struct l4vio_buffer){.length_bytes = 100};
    for (unsigned i = 0; i < count; i++)
        requests[i] = (struct l4vio_request){
            .buffers = buffers,
            .readable = (uint16_t)(singles ? 0 : below(history, 3)),
            .writable = (uint16_t)(singles ? 1 : 1 + below(history, 2)),
        };
    l4vio_queue_add(&history->fixture->queue, requests, count);
    l4vio_queue_publish(&history->fixture->queue);
    while (fake_device_next(&history->fixture->device, &history->in_flight[history->count]))
        history->count++;
}

static void take_some(struct history *history)
{
    struct l4vio_completion done[SIZE];
    unsigned count = below(history, history->count + 1);

    for (unsigned i = 0; i < count; i++) {
        unsigned which = below(history, history->count);
        fake_device_complete(&history->fixture->device, history->in_flight[which], 1);
        history->in_flight[which] = history->in_flight[--history->count];
    }
    while (count != 0) {
        unsigned max = 1 + below(history, SIZE);
        int taken = l4vio_queue_get_used(&history->fixture->queue, done, max);
        assert_int_equal(taken, count < max ? count : max);
        count -= (unsigned)taken;
    }
}

static bool is_in_flight(const struct history *history, uint32_t id)
{
    for (unsigned i = 0; i < history->count; i++)
        if (history->in_flight[i] == id)
            return true;
    return false;
}

/* What becomes of the queue, all of it private and shared, is undone. */
static void try_id(struct history *history, uint32_t id)
{
    struct ring_fixture *fixture = history->fixture;
    const struct ring_fixture before = *fixture;
    struct l4vio_queue_slot slots[SIZE];
    unsigned char memory[2048];
    struct l4vio_completion done[2];

    assert_true(fixture->layout.size_bytes <= sizeof(memory));
    memcpy(slots, fixture->slots, sizeof(slots));
    memcpy(memory, fixture->memory, fixture->layout.size_bytes);
    fake_device_complete(&fixture->device, id, 0);
    int result = l4vio_queue_get_used(&fixture->queue, done, 1 + (id & 1u));
    assert_int_equal(result, is_in_flight(history, id) ? 1 : L4VIO_EBADPROTO);
    memcpy(fixture->memory, memory, fixture->layout.size_bytes);
    memcpy(fixture->slots, slots, sizeof(slots));
    *fixture = before;
}

static void only_ids_in_flight_are_taken(const int *features)
{
    struct history history = {.random = 1,
                              .fixture = ring_fixture_create_with(SIZE, BUFFER_LEVEL, features)};
    for (unsigned round = 0; round < 3000; round++) {
        add_some(&history);
        /* With nothing published to be used, the index alone is wrong. */
        for (uint32_t id = 0; id <= SIZE && history.count != 0; id++)
            try_id(&history, id);
        take_some(&history);
        for (uint32_t id = 0; id <= SIZE && history.count != 0; id++)
            try_id(&history, id);
    }
    ring_fixture_free(history.fixture);
}

static void with_chains(void **state)
{
    const int features[] = {RING_FIXTURE_END};
    *state = NULL;
    only_ids_in_flight_are_taken(features);
}

static void with_tables(void **state)
{
    const int features[] = {L4VIO_F_INDIRECT_DESC, RING_FIXTURE_END};
    *state = NULL;
    only_ids_in_flight_are_taken(features);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_chains),
        cmocka_unit_test(with_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
