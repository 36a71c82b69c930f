/* SPDX-License-Identifier: MIT */
/*
 * Fixed buffers of a ring: parts of the memory that drivers share, pinned once instead of for every
 * request. What is used often is registered, in windows of 2 MiB, into a table with a bounded number
 * of slots; the rest, and all of it where the kernel refuses, goes the usual way.
 *
 * What is pinned is bounded by the table (128 MiB for each lane) and by RLIMIT_MEMLOCK, whatever a
 * driver shares. A window never reaches beyond its region, and goes with it.
 *
 * Threads: a table is used by its lane's thread; regions come and go in another, hence the locks.
 */
#ifndef L4VIO_BACKENDS_FIXED_H
#define L4VIO_BACKENDS_FIXED_H

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define L4VIO_FIXED_SLOTS 64u

struct l4vio_fixed_table;

/* Per store: the regions of all its drivers, and the tables of all its lanes. */
struct l4vio_fixed_regions {
    pthread_mutex_t lock; /* Before that of a table. */
    struct l4vio_fixed_region *regions;
    unsigned count;
    unsigned capacity;
    struct l4vio_fixed_table *tables;
};

struct l4vio_fixed_slot {
    uintptr_t base;
    uint64_t size_bytes; /* 0: empty. */
    uint8_t uses;        /* Since it was last in the way of another window. */
    bool registered;
    unsigned batch; /* Of the last request that names it. */
};

/* Per lane. */
struct l4vio_fixed_table {
    pthread_mutex_t lock;
    struct io_uring *ring; /* NULL: no fixed buffers here. */
    struct l4vio_fixed_regions *regions;
    struct l4vio_fixed_slot slots[L4VIO_FIXED_SLOTS];
    unsigned batch;      /* Requests since the kernel had them all: it does not know them yet. */
    uint64_t registered; /* Counters: written by one thread at a time, read by any. */
    uint64_t refused;
    struct l4vio_fixed_table *next;
};

void l4vio_fixed_init(struct l4vio_fixed_regions *regions);
void l4vio_fixed_destroy(struct l4vio_fixed_regions *regions);

/* Without memory for it, a region is just not used. */
void l4vio_fixed_region_added(struct l4vio_fixed_regions *regions, void *base, uint64_t size_bytes);
/* Nothing that lies there is in flight. Nothing of it stays registered. */
void l4vio_fixed_region_removed(struct l4vio_fixed_regions *regions, void *base,
                                uint64_t size_bytes);

/* A ring's table. Does without where the kernel has no such thing. */
void l4vio_fixed_open(struct l4vio_fixed_table *table, struct l4vio_fixed_regions *regions,
                      struct io_uring *ring);
void l4vio_fixed_close(struct l4vio_fixed_table *table);

/* Index of the fixed buffer that a range lies in, or -1. Takes note of the use. */
int l4vio_fixed_find(struct l4vio_fixed_table *table, const void *base, uint64_t length_bytes);

/* A counter that one thread at a time writes. */
static inline void l4vio_fixed_count(uint64_t *counter)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* The kernel has all requests that name fixed buffers, and holds these as long as it needs them. */
static inline void l4vio_fixed_submitted(struct l4vio_fixed_table *table)
{
    table->batch++;
}

#endif
