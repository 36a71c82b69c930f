/* SPDX-License-Identifier: MIT */
/*
 * One at a time, with a deadline: what keeps the calls of a connection apart.
 */
#ifndef L4VIO_PLATFORMS_LINUX_TURN_H
#define L4VIO_PLATFORMS_LINUX_TURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct l4vio_turn {
    pthread_mutex_t lock; /* Guards `busy`. */
    pthread_cond_t free;  /* `busy` became false. */
    bool busy;            /* Somebody has it. */
};

void l4vio_turn_init(struct l4vio_turn *turn);
void l4vio_turn_destroy(struct l4vio_turn *turn);

/* Waits for one's turn; false if the deadline passed first. */
bool l4vio_turn_take(struct l4vio_turn *turn, uint64_t deadline_ns);
void l4vio_turn_end(struct l4vio_turn *turn);

#endif
