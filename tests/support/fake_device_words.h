/* SPDX-License-Identifier: MIT */
/* Little-endian words of shared memory, for devices written by hand: they take nothing of the library's. */
#ifndef FAKE_DEVICE_WORDS_H
#define FAKE_DEVICE_WORDS_H

#include <stdint.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LE16(value) __builtin_bswap16(value)
#define LE32(value) __builtin_bswap32(value)
#else
#define LE16(value) (value)
#define LE32(value) (value)
#endif

static inline uint16_t get16(const void *at, int order)
{
    return LE16(__atomic_load_n((const uint16_t *)at, order));
}

static inline void put16(void *at, uint16_t value, int order)
{
    __atomic_store_n((uint16_t *)at, LE16(value), order);
}

static inline uint32_t get32(const void *at)
{
    return LE32(__atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED));
}

static inline void put32(void *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)at, LE32(value), __ATOMIC_RELAXED);
}

#endif
