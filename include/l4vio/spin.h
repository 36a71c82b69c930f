/* SPDX-License-Identifier: MIT */
/**
 * @file spin.h
 * How long to look at a ring before going to sleep. Waking a thread on another CPU takes from a few to
 * a hundred microseconds, finding an index changed in a cache line takes less than one; but where the
 * peer needs this very CPU, or is slow, looking is for nothing.
 *
 * Both sides of the library use it, driver.h and l4_unix.h by way of a mode in their configuration;
 * a program with a poll loop of its own may do so too:
 *
 *     uint64_t span_ns = l4vio_spin_begin(&spin);       // the ring is empty
 *     ... look for at most span_ns ...
 *     l4vio_spin_found(&spin, after_ns);                // or
 *     l4vio_spin_failed(&spin);                         // then arm, look again, sleep
 *
 * L4VIO_SPIN_AUTO learns from each outcome:
 * - what is found, is found soon: the span shrinks to twice the time that it took lately, and not
 *   below an eighth of the most; a find that came late is remembered for some hundred that came soon;
 * - in vain: the span doubles, up to the most; a peer that was asleep itself has to wake up first;
 * - in vain for the most: the next wait does not spin at all, then the next 3, 7, up to 2047, with one
 *   wait of the full span in between that may find out that things have changed;
 * - found again: back to spinning at once, and what was learnt of failures counts for an eighth.
 *
 * So a wait is at most `max_ns` dearer than sleeping at once, and on average, where spinning never helps,
 * 1/2048 of that.
 *
 * Plain arithmetic: no clock, no memory. Threads: one at a time.
 */
#ifndef L4VIO_SPIN_H
#define L4VIO_SPIN_H

#include <stdint.h>

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most that L4VIO_SPIN_AUTO spins if the configuration does not say: what a dear wake-up costs. */
#define L4VIO_SPIN_MAX_NS UINT64_C(100000)

/** When to stop looking and sleep. */
enum l4vio_spin_mode {
    L4VIO_SPIN_FIXED = 0, /**< After `spin_ns`, every time; 0: at once. */
    L4VIO_SPIN_AUTO = 1,  /**< After a time learnt from experience, at most `spin_ns`; 0: 100 us. */
    L4VIO_SPIN_ALWAYS = 2, /**< Never: a CPU of one's own, and for measurement. */
};

/** What was learnt. Caller-allocated, content private to the library. */
struct l4vio_spin {
    uint64_t max_ns;     /**< Most, or the fixed time. */
    uint32_t span_ns;    /**< AUTO: next time to spin. */
    uint32_t typical_ns; /**< AUTO: what it took lately. */
    uint32_t skip;       /**< AUTO: waits not to spin in. */
    uint16_t failures;   /**< AUTO: level of failure. */
    uint16_t mode;       /**< enum l4vio_spin_mode. */
};

/**
 * Starts without experience: L4VIO_SPIN_AUTO spins for the most.
 * @param spin    filled
 * @param mode    one of enum l4vio_spin_mode; anything else is L4VIO_SPIN_FIXED
 * @param spin_ns see enum l4vio_spin_mode
 */
void l4vio_spin_init(struct l4vio_spin *spin, enum l4vio_spin_mode mode, uint64_t spin_ns);

/**
 * A wait begins: the ring is empty.
 * @param spin initialised
 * @return how long to look at it in ns: 0 not at all, L4VIO_FOREVER without end. Unless it is 0, tell of
 *         the outcome, or of none if something else ended the wait
 */
uint64_t l4vio_spin_begin(struct l4vio_spin *spin);

/**
 * Something was found while spinning.
 * @param spin     initialised
 * @param after_ns time since the wait began, as far as known: an earlier reading of the clock will do, so
 *                 that finding something needs none
 */
void l4vio_spin_found(struct l4vio_spin *spin, uint64_t after_ns);

/**
 * The time that l4vio_spin_begin gave is over and nothing was found.
 * @param spin initialised
 */
void l4vio_spin_failed(struct l4vio_spin *spin);

#ifdef __cplusplus
}
#endif
#endif
