/* SPDX-License-Identifier: MIT */
/*
 * B5 and the rest of the ordering, at work: the driver in one thread, a device written by hand in a
 * second one, with data behind the indexes that both sides check. Neither side sleeps, so nothing
 * here depends on a kick. Under the thread sanitizer a missing acquire or release is an error by
 * itself, on any machine.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_ring.h"

#define SIZE     64
#define REQUESTS 200000u

/* One per cookie: plain memory, ordered by the ring alone. */
struct exchange {
    uint32_t question;
    uint32_t answer;
};

struct run {
    struct ring_fixture *fixture;
    struct exchange exchange[SIZE];
    unsigned wrong; /* Seen by the device. */
};

static uint32_t answer_to(uint32_t question)
{
    return question * 2654435761u ^ 0x5bd1e995u;
}

/* Completes everything in bursts, the last of a burst first, until all were seen. */
static void *device_side(void *argument)
{
    struct run *run = argument;
    struct fake_device_ring *ring = &run->fixture->device;
    uint16_t burst[8];

    for (unsigned done = 0; done < REQUESTS;) {
        unsigned count = 0;
        while (count < 1 + done % 8 && fake_device_next(ring, &burst[count]))
            count++;
        if (count == 0)
            sched_yield();
        done += count;
        while (count-- > 0) {
            struct fake_device_descriptor descriptor = fake_device_descriptor(ring, burst[count]);
            struct exchange *exchange = &run->exchange[descriptor.address % SIZE];
            if (descriptor.flags != VIRTQ_DESC_F_WRITE || descriptor.length_bytes != 4)
                run->wrong++;
            exchange->answer = answer_to(exchange->question);
            fake_device_complete(ring, burst[count], exchange->question % 5);
        }
    }
    return NULL;
}

/* Clause D-2.7.13.3.1-1. */
static void data_behind_the_indexes_is_seen(void **state)
{
    (void)state;
    static struct run run;
    struct l4vio_completion done[SIZE];
    unsigned free_list[SIZE];
    unsigned free_count = SIZE;
    unsigned sent = 0;
    unsigned received = 0;
    unsigned wrong = 0;
    pthread_t device;

    run.fixture = ring_fixture_create(SIZE, BUFFER_LEVEL);
    struct l4vio_queue *queue = &run.fixture->queue;
    for (unsigned i = 0; i < SIZE; i++)
        free_list[i] = i;
    assert_int_equal(pthread_create(&device, NULL, device_side, &run), 0);
    while (received < REQUESTS) {
        for (unsigned n = 0; n < 1 + sent % 7 && free_count && sent < REQUESTS; n++) {
            struct exchange *exchange = &run.exchange[free_list[--free_count]];
            struct l4vio_buffer buffer = {.address = free_list[free_count], .length_bytes = 4};
            struct l4vio_request request = {.buffers = &buffer, .writable = 1, .cookie = exchange};
            exchange->question = sent++;
            exchange->answer = 0;
            assert_int_equal(l4vio_queue_add(queue, &request, 1), 1);
        }
        l4vio_queue_publish(queue);
        int count = l4vio_queue_get_used(queue, done, SIZE);
        assert_true(count >= 0);
        for (int i = 0; i < count; i++) {
            struct exchange *exchange = done[i].cookie;
            wrong += exchange->answer != answer_to(exchange->question);
            wrong += done[i].length_bytes != exchange->question % 5;
            free_list[free_count++] = (unsigned)(exchange - run.exchange);
        }
        received += (unsigned)count;
        if (count == 0)
            sched_yield();
    }
    assert_int_equal(pthread_join(device, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(run.wrong, 0);
    assert_int_equal(l4vio_queue_room(queue), SIZE);
    struct l4vio_queue_counters counters;
    l4vio_queue_counters(queue, &counters);
    assert_int_equal(counters.completed, REQUESTS);
    /* An answer of 4 bytes at most: nothing to clamp. */
    assert_int_equal(queue->counters.clamped_lengths, 0);
    ring_fixture_free(run.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_behind_the_indexes_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
