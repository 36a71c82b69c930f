/* SPDX-License-Identifier: MIT */
#include "tool/exercise_model.h"

#include <l4vio/wire/block.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES VIRTIO_BLK_SECTOR_BYTES
#define SECTOR_WORDS (SECTOR_BYTES / sizeof(uint64_t))

/* What a sector must hold: one of these, the number of the write, or LEARNT and a hash. */
#define ZEROES    UINT64_C(0)
#define UNSEEN    UINT64_C(1) /* Whatever is there stays there. */
#define DISCARDED UINT64_C(2) /* Anything, each time anew. */
#define LEARNT    (UINT64_C(1) << 63)
/* The first write is this one. */
#define WRITES_BEFORE UINT64_C(2)

/* splitmix64 */
static uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

uint64_t exercise_random(uint64_t *state, uint64_t below)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return below ? mix(*state) % below : 0;
}

bool exercise_model_open(struct exercise_model *model, uint64_t seed, uint64_t first_sector,
                         uint64_t sector_count)
{
    *model = (struct exercise_model){.seed = seed,
                                     .first_sector = first_sector,
                                     .sector_count = sector_count,
                                     .writes = WRITES_BEFORE};
    model->sectors = malloc(sector_count * sizeof *model->sectors);
    for (uint64_t i = 0; model->sectors && i < sector_count; ++i)
        model->sectors[i] = UNSEEN;
    return model->sectors != NULL;
}

void exercise_model_close(struct exercise_model *model)
{
    free(model->sectors);
    model->sectors = NULL;
}

/* Seed, sector and write in clear, then words that depend on all three. */
static void make(const struct exercise_model *model, uint64_t sector, uint64_t write,
                 uint64_t words[SECTOR_WORDS])
{
    uint64_t state = mix(model->seed ^ mix(sector ^ mix(write)));
    words[0] = model->seed;
    words[1] = sector;
    words[2] = write;
    for (unsigned i = 3; i < SECTOR_WORDS; ++i)
        words[i] = mix(state + i);
}

static uint64_t hash(const unsigned char *data)
{
    uint64_t words[SECTOR_WORDS];
    uint64_t sum = 0;
    memcpy(words, data, sizeof words);
    for (unsigned i = 0; i < SECTOR_WORDS; ++i)
        sum = mix(sum ^ words[i]);
    return sum | LEARNT;
}

static bool all_are(const unsigned char *data, int byte)
{
    return data[0] == byte && memcmp(data, data + 1, SECTOR_BYTES - 1) == 0;
}

static void set(struct exercise_model *model, uint64_t sector, uint64_t count, uint64_t value)
{
    for (uint64_t i = 0; i < count; ++i)
        model->sectors[sector - model->first_sector + i] = value;
}

void exercise_model_write(struct exercise_model *model, uint64_t sector, uint64_t count,
                          unsigned char *data)
{
    uint64_t write = ++model->writes;
    set(model, sector, count, write);
    for (uint64_t i = 0; i < count; ++i) {
        uint64_t words[SECTOR_WORDS];
        make(model, sector + i, write, words);
        memcpy(data + i * SECTOR_BYTES, words, sizeof words);
    }
}

void exercise_model_zero(struct exercise_model *model, uint64_t sector, uint64_t count)
{
    set(model, sector, count, ZEROES);
}

void exercise_model_discard(struct exercise_model *model, uint64_t sector, uint64_t count)
{
    set(model, sector, count, DISCARDED);
}

static bool is_write(uint64_t expected)
{
    return expected > WRITES_BEFORE && !(expected & LEARNT);
}

/* What is there, in words. */
static void tell_found(const struct exercise_model *model, uint64_t sector,
                       const unsigned char *data, char *text, size_t room)
{
    uint64_t words[SECTOR_WORDS], whole[SECTOR_WORDS];
    memcpy(words, data, sizeof words);
    make(model, words[1], words[2], whole);
    if (all_are(data, 0))
        snprintf(text, room, "zeroes");
    else if (all_are(data, EXERCISE_POISON) || all_are(data, EXERCISE_OTHER_POISON))
        snprintf(text, room, "nothing that the device has written");
    else if (words[0] != model->seed)
        snprintf(text, room, "something else");
    else if (words[1] == sector)
        snprintf(text, room, "%swrite %" PRIu64,
                 memcmp(words, whole, sizeof words) ? "parts of " : "", words[2] - WRITES_BEFORE);
    else
        snprintf(text, room, "what write %" PRIu64 " has for sector %" PRIu64,
                 words[2] - WRITES_BEFORE, words[1]);
}

static void tell(const struct exercise_model *model, uint64_t sector, uint64_t expected,
                 const unsigned char *data, char text[EXERCISE_TEXT_BYTES])
{
    char wanted[40] = "what was there before";
    char found[80];
    if (expected == ZEROES)
        snprintf(wanted, sizeof wanted, "zeroes");
    else if (is_write(expected))
        snprintf(wanted, sizeof wanted, "write %" PRIu64, expected - WRITES_BEFORE);
    tell_found(model, sector, data, found, sizeof found);
    snprintf(text, EXERCISE_TEXT_BYTES, "sector %" PRIu64 " must hold %s and holds %s", sector,
             wanted, found);
}

static bool holds(const struct exercise_model *model, uint64_t sector, uint64_t expected,
                  const unsigned char *data)
{
    uint64_t words[SECTOR_WORDS];
    if (expected == ZEROES)
        return all_are(data, 0);
    if (expected & LEARNT)
        return hash(data) == expected;
    make(model, sector, expected, words);
    return memcmp(words, data, sizeof words) == 0;
}

bool exercise_model_check(struct exercise_model *model, uint64_t sector, uint64_t count,
                          const unsigned char *data, char text[EXERCISE_TEXT_BYTES])
{
    for (uint64_t i = 0; i < count; ++i, data += SECTOR_BYTES) {
        uint64_t *expected = &model->sectors[sector + i - model->first_sector];
        if (*expected == DISCARDED)
            continue;
        if (*expected == UNSEEN) {
            *expected = hash(data);
            continue;
        }
        if (holds(model, sector + i, *expected, data))
            continue;
        tell(model, sector + i, *expected, data, text);
        return false;
    }
    return true;
}
