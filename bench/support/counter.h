/* SPDX-License-Identifier: MIT */
/*
 * Counts loads of the calling thread that miss its first-level data cache. While what a thread touches
 * fits there, these are the lines that came from the other CPU.
 */
#ifndef L4VIO_BENCH_COUNTER_H
#define L4VIO_BENCH_COUNTER_H

#include <stdint.h>

/* A counter of this thread, running, or -1: the machine has none or does not let us. */
int counter_open(void);
uint64_t counter_read(int counter);
void counter_close(int counter);

#endif
