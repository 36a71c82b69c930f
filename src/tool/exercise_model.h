/* SPDX-License-Identifier: MIT */
/*
 * What every sector of a device must hold: eight bytes of memory per sector. What is written says by
 * itself where and when it was written, so that a wrong sector can be told to be an old one, a misplaced
 * one, or one that was never transferred.
 */
#ifndef L4VIO_TOOL_EXERCISE_MODEL_H
#define L4VIO_TOOL_EXERCISE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a buffer holds before the device writes to it: one of these, in turn, lest old data looks new. */
#define EXERCISE_POISON       0xa5
#define EXERCISE_OTHER_POISON 0x5c

enum { EXERCISE_TEXT_BYTES = 200 };

/* One slice of a device; used by one thread. */
struct exercise_model {
    uint64_t seed;
    uint64_t first_sector, sector_count;
    uint64_t *sectors;
    uint64_t writes; /* Number of the last write. */
};

/* Nothing is known of any sector. */
bool exercise_model_open(struct exercise_model *model, uint64_t seed, uint64_t first_sector,
                         uint64_t sector_count);
void exercise_model_close(struct exercise_model *model);

/* A write of these sectors begins: gives what is to be written, and expects it from now on. */
void exercise_model_write(struct exercise_model *model, uint64_t sector, uint64_t count,
                          unsigned char *data);
/* They hold zeroes; they may hold anything. */
void exercise_model_zero(struct exercise_model *model, uint64_t sector, uint64_t count);
void exercise_model_discard(struct exercise_model *model, uint64_t sector, uint64_t count);

/*
 * Compares what was read. Of a sector that is read for the first time it learns what is there. Returns
 * whether all is as it must be; else `text` says what is not.
 */
bool exercise_model_check(struct exercise_model *model, uint64_t sector, uint64_t count,
                          const unsigned char *data, char text[EXERCISE_TEXT_BYTES]);

/* The next of a row of numbers below `below` that looks random; 0 for 0. */
uint64_t exercise_random(uint64_t *state, uint64_t below);

#endif
