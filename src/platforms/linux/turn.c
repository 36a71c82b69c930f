/* SPDX-License-Identifier: MIT */
#include "platforms/linux/turn.h"

#include <time.h>

#include <l4vio/platform.h>

void l4vio_turn_init(struct l4vio_turn *turn)
{
    pthread_mutex_init(&turn->lock, NULL);
    pthread_cond_init(&turn->free, NULL);
    turn->busy = false;
}

void l4vio_turn_destroy(struct l4vio_turn *turn)
{
    pthread_cond_destroy(&turn->free);
    pthread_mutex_destroy(&turn->lock);
}

/*
 * A flag and a condition rather than pthread_mutex_clocklock, which thread sanitizers of this age do
 * not know. The deadline is on the clock that nobody sets.
 */
bool l4vio_turn_take(struct l4vio_turn *turn, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(deadline_ns % UINT64_C(1000000000))};
    int result = 0;

    pthread_mutex_lock(&turn->lock);
    while (turn->busy && result == 0)
        result = deadline_ns == L4VIO_FOREVER
                     ? pthread_cond_wait(&turn->free, &turn->lock)
                     : pthread_cond_clockwait(&turn->free, &turn->lock, CLOCK_MONOTONIC, &until);
    const bool taken = !turn->busy;
    turn->busy = true;
    pthread_mutex_unlock(&turn->lock);
    return taken;
}

void l4vio_turn_end(struct l4vio_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->busy = false;
    pthread_cond_signal(&turn->free);
    pthread_mutex_unlock(&turn->lock);
}
