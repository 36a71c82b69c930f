/* SPDX-License-Identifier: MIT */
/*
 * The packed ring's ordering, at work: the driver in one thread, a device written by hand in a second
 * one, with data behind the descriptors that both sides check. The device looks at one place only and
 * finds the whole of a batch behind it, as it should be. Neither side sleeps, so nothing here depends
 * on a kick. Under the thread sanitizer a missing acquire or release is an error by itself.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_device_packed.h"

#define SIZE     61
#define BUFFERS  3u
#define REQUESTS 100000u

/* One per cookie: plain memory, ordered by the ring alone. */
struct exchange {
    uint32_t question;
    uint32_t answer;
};

struct run {
    struct packed_fixture *fixture;
    bool in_order;
    struct exchange exchange[SIZE];
    unsigned wrong; /* Seen by the device. */
};

static uint32_t answer_to(uint32_t question)
{
    return question * 2654435761u ^ 0x5bd1e995u;
}

static void answer(struct run *run, const struct fake_packed_buffer *buffer, uint32_t *length)
{
    struct fake_packed *device = &run->fixture->device;
    struct fake_packed_descriptor first = fake_packed_at(device, buffer->place);
    struct exchange *exchange = &run->exchange[first.address % SIZE];
    for (unsigned i = 0; i < buffer->entries; i++) {
        struct fake_packed_descriptor at =
            fake_packed_at(device, (uint16_t)((buffer->place + i) % SIZE));
        run->wrong += at.id != buffer->id || at.address % SIZE != first.address % SIZE ||
                      at.length_bytes != 4 + i || !(at.flags & FAKE_PACKED_WRITE);
    }
    *length = exchange->question % 5;
    exchange->answer = answer_to(exchange->question);
}

/* Completes everything in bursts: the last of a burst first, or in order, some as a batch. */
static void *device_side(void *argument)
{
    struct run *run = argument;
    struct fake_packed *device = &run->fixture->device;
    struct fake_packed_buffer burst[8];
    uint32_t lengths[8];

    for (unsigned done = 0; done < REQUESTS;) {
        unsigned count = 0;
        unsigned entries = 0;
        while (count < 1 + done % 8 && fake_packed_next(device, &burst[count])) {
            entries += burst[count].entries;
            answer(run, &burst[count], &lengths[count]);
            count++;
        }
        if (count == 0)
            sched_yield();
        else if (run->in_order && done % 3 == 0)
            fake_packed_use(device, burst[count - 1].id, (uint16_t)entries, lengths[count - 1]);
        else
            for (unsigned i = 0; i < count; i++) {
                unsigned which = run->in_order ? i : count - 1 - i;
                fake_packed_use(device, burst[which].id, burst[which].entries, lengths[which]);
            }
        done += count;
    }
    return NULL;
}

static int add(struct l4vio_queue *queue, struct run *run, unsigned which, unsigned buffers)
{
    struct l4vio_buffer list[BUFFERS];
    struct l4vio_request request = {
        .buffers = list, .writable = (uint16_t)buffers, .cookie = &run->exchange[which]};
    for (unsigned i = 0; i < buffers; i++)
        list[i] = (struct l4vio_buffer){.address = which + SIZE * i, .length_bytes = 4 + i};
    return l4vio_queue_add(queue, &request, 1);
}

static void go(unsigned features)
{
    static struct run run;
    struct l4vio_completion done[SIZE];
    unsigned free_list[SIZE];
    unsigned free_count = SIZE;
    unsigned sent = 0;
    unsigned received = 0;
    unsigned wrong = 0;
    pthread_t device;

    run = (struct run){.fixture = packed_fixture_create(SIZE, features),
                       .in_order = features & PACKED_IN_ORDER};
    struct l4vio_queue *queue = &run.fixture->queue;
    for (unsigned i = 0; i < SIZE; i++)
        free_list[i] = i;
    assert_int_equal(pthread_create(&device, NULL, device_side, &run), 0);
    while (received < REQUESTS) {
        for (unsigned n = 0; n < 1 + sent % 7 && free_count && sent < REQUESTS; n++) {
            unsigned which = free_list[free_count - 1];
            run.exchange[which] = (struct exchange){.question = sent};
            if (add(queue, &run, which, 1 + sent % BUFFERS) != 1)
                break;
            free_count--;
            sent++;
        }
        /* Now and then completions are taken before the new requests are shown. */
        if (sent % 5 || free_count == 0)
            l4vio_queue_publish(queue);
        int count = l4vio_queue_get_used(queue, done, 1 + sent % SIZE);
        l4vio_queue_publish(queue);
        assert_true(count >= 0);
        for (int i = 0; i < count; i++) {
            struct exchange *exchange = done[i].cookie;
            wrong += exchange->answer != answer_to(exchange->question);
            if (!run.in_order)
                wrong += done[i].length_bytes != exchange->question % 5;
            else
                wrong += exchange->question != received + (unsigned)i;
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
    assert_int_equal(queue->counters.clamped_lengths, 0);
    packed_fixture_free(run.fixture);
}

/* Clause D-2.8.21.1.1-1. */
static void data_behind_the_descriptors_is_seen(void **state)
{
    (void)state;
    go(0);
}

static void data_behind_batches_is_seen(void **state)
{
    (void)state;
    go(PACKED_IN_ORDER);
}

/* Clause D-6.1-7. */
static void data_is_seen_with_barriers_of_the_platform(void **state)
{
    (void)state;
    go(PACKED_ORDER_PLATFORM);
    go(PACKED_ORDER_PLATFORM | PACKED_IN_ORDER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_behind_the_descriptors_is_seen),
        cmocka_unit_test(data_behind_batches_is_seen),
        cmocka_unit_test(data_is_seen_with_barriers_of_the_platform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
