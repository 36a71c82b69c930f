/* SPDX-License-Identifier: MIT */
/*
 * A driver, the memory that it shares, and a device queue that keeps a record of what is in flight: all of it
 * can be copied at any moment, as if the device had died there, and a new device resumes on the copy.
 */
#ifndef INFLIGHT_WORLD_H
#define INFLIGHT_WORLD_H

#include "raw_ring.h"

#define WORLD_SIZE_MAX 16u
#define WORLD_BYTES    0x4000u

/* Bits of world_new. */
enum {
    WORLD_PACKED = 1,
    WORLD_IN_ORDER = 2,
    WORLD_EVENT_IDX = 4,
};

/* A request of the driver. */
struct world_request {
    uint32_t serial;
    uint16_t id;
    uint16_t entries; /* Of the ring. */
    bool writable;    /* It has a place for an answer. */
};

struct world_chain {
    struct l4vio_device_chain chain;
    struct l4vio_device_segment segments[WORLD_SIZE_MAX];
    uint32_t serial;
};

struct world {
    unsigned char *memory; /* WORLD_BYTES, shared: rings, record, data. */
    uint16_t size;
    unsigned options;
    unsigned random;

    /* The driver. */
    struct raw_ring ring;
    uint16_t ring_entries[WORLD_SIZE_MAX];
    struct world_request outstanding[WORLD_SIZE_MAX]; /* In the order of publishing. */
    unsigned outstanding_count;
    uint32_t serial; /* Of the next request. */

    /* The device. */
    struct l4vio_device_queue_config config;
    struct l4vio_device_queue queue;
    struct l4vio_device_memory map;
    struct l4vio_device_region region;
    struct l4vio_device_queue_slot slots[WORLD_SIZE_MAX];
    struct l4vio_device_inflight_slot inflight_slots[WORLD_SIZE_MAX];
    struct world_chain held[WORLD_SIZE_MAX]; /* Taken and not finished. */
    unsigned held_count;
};

struct world *world_new(uint16_t size, unsigned options, unsigned seed);
void world_free(struct world *world);
/* Where the device writes down what is in flight. */
void *world_record(const struct world *world);
/* The driver and the shared memory as they are now. No device. */
struct world *world_copy(const struct world *world);
/* A device comes: at the beginning of the ring if there is no record yet. */
int world_resume(struct world *world);
unsigned world_random(struct world *world, unsigned below);

/* The driver publishes a request; false: no room. */
bool world_publish(struct world *world);
/* The driver takes everything that is used: each must be outstanding, with its answer. Returns the number. */
unsigned world_collect(struct world *world);
/* The device takes a chain; false if there is none. */
bool world_take(struct world *world);
/* The device finishes so many of what it holds, any, by one call. */
void world_finish(struct world *world, unsigned count);
/* The device puts the chain back that it took last. */
void world_rewind(struct world *world);
/* Someone does something. */
void world_step(struct world *world);

/*
 * The device of this world dies now: what a successor on a copy takes must be all outstanding requests that are
 * not used, in order; each is used once in the end; and the ring goes on.
 */
void world_check_death(const struct world *world);
/* For a store of the device that is under test: checks the death after it, in the world that runs. */
void world_cut(void);
/* Runs a world for so many steps; a death is checked after every store, within recoveries every `nested`th. Returns the
 * number of deaths. */
unsigned long world_run(uint16_t size, unsigned options, unsigned seed, unsigned steps,
                        unsigned nested);

#endif
