/* SPDX-License-Identifier: MIT */
/*
 * S6: a full barrier stands between asking for kicks and looking at the ring again. Two threads play
 * the race: the driver makes a chain available and reads whether a kick is wanted, the device asks
 * for kicks and looks. If neither sees the other, the request sleeps for ever. With the barrier that
 * cannot happen, so the test cannot fail by chance; without it, x86 shows it within a second
 * where two processors are at hand.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_driver.h"

#define ROUNDS     200000u
#define SECONDS    2
#define SPIN_LIMIT 1000u

struct race {
    struct raw_driver *driver;
    uint32_t round;    /* The device has begun. */
    uint32_t answered; /* The driver has finished. */
    bool kicked;
};

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Spins, but lets the other one run where there is only one processor. */
static void wait_until(const uint32_t *word, uint32_t value)
{
    for (unsigned spins = 0; l4vio_private_load32(word) != value; spins++) {
        if (spins < SPIN_LIMIT)
            l4vio_relax();
        else
            nanosleep(&(struct timespec){.tv_nsec = 1}, NULL);
    }
}

/* What was asked for, of the chain that was just made available. */
static bool wants_kick(struct raw_driver *driver)
{
    const struct raw_ring *ring = &driver->rings[0];
    if (!ring->packed)
        return !(l4vio_load16(&raw_used(driver, 0)->flags) & VIRTQ_USED_F_NO_NOTIFY);
    const struct virtq_event_suppress *event = ring->used;
    uint16_t flags = l4vio_load16_acquire(&event->flags);
    return flags != VIRTQ_EVENT_F_DISABLE;
}

static void *drive(void *argument)
{
    struct race *race = argument;
    for (uint32_t round = 1; round != 0; round++) {
        for (unsigned spins = 0;; spins++) {
            uint32_t seen = l4vio_private_load32(&race->round);
            if (seen == round)
                break;
            if (seen == UINT32_MAX)
                return NULL;
            if (spins >= SPIN_LIMIT)
                nanosleep(&(struct timespec){.tv_nsec = 1}, NULL);
        }
        raw_publish_piece(race->driver, 0, 0, RAW_BASE + RAW_DATA, 1, RAW_READ);
        l4vio_full_barrier();
        race->kicked = wants_kick(race->driver);
        l4vio_private_store32(&race->answered, round);
    }
    return NULL;
}

static void no_chain_is_lost_between_arm_and_sleep(void **state)
{
    struct race race = {.driver = *state};
    struct l4vio_device_queue *queue = l4vio_device_queue(&race.driver->device, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drive, &race), 0);

    uint64_t end_ns = now_ns() + SECONDS * UINT64_C(1000000000);
    unsigned lost = 0;
    for (uint32_t round = 1; round <= ROUNDS && !lost && now_ns() < end_ns; round++) {
        l4vio_device_queue_disarm(queue);
        l4vio_private_store32(&race.round, round);
        /* The driver needs a while to notice: meet it at every point of what it does. */
        for (unsigned delay = round % 512; delay; delay--)
            __asm__ volatile("");
        bool found = l4vio_device_queue_arm(queue);
        wait_until(&race.answered, round);
        lost += !found && !race.kicked;
        assert_int_equal(raw_take(race.driver, 0), 1);
        raw_finish(race.driver, 0, 0, 0);
    }
    l4vio_private_store32(&race.round, UINT32_MAX);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {RAW_SPLIT(no_chain_is_lost_between_arm_and_sleep),
                                       RAW_PACKED_RING(no_chain_is_lost_between_arm_and_sleep)};
    return cmocka_run_group_tests_name("s06", tests, NULL, NULL);
}
