/* SPDX-License-Identifier: MIT */
/*
 * A driver queue and a device side written by hand, whatever the format and the features: for tests
 * that hold for all of them. A test program runs its tests once per combination:
 *
 *     int failed = 0;
 *     while (ring_rig_next_combination())
 *         failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
 *     return failed;
 *
 * L4VIO_TEST_RING in the environment names the only combination to run, as ring_rig_name does.
 */
#ifndef RING_RIG_H
#define RING_RIG_H

#include "fake_device_packed.h"
#include "fake_device_ring.h"

/* The combination that the tests run with now. The first call chooses the first one. */
bool ring_rig_next_combination(void);
const char *ring_rig_name(void); /* "split", "packed+event_idx+in_order", ... */
bool ring_rig_has(enum l4vio_feature_bit bit);

/* A queue with its memory, and the device side of it. */
struct ring_rig {
    struct l4vio_virtqueue_layout layout;
    unsigned char *memory; /* Filled with 0xa5 before the queue is initialised. */
    unsigned char *tables; /* Indirect tables, whose device address is the local one; or NULL. */
    struct l4vio_queue_slot *slots;
    struct l4vio_descriptor *descriptors;
    struct l4vio_queue_config config;
    struct l4vio_queue queue;
    bool packed;
    struct fake_device_ring split_device;
    struct fake_packed packed_device;
};

#define RIG_TABLE_ENTRIES 4 /* Of the indirect tables, if the queue has as many. */
#define RIG_PIECES_MAX    8

/* A request as the device finds it, indirect or not. */
struct ring_rig_request {
    uint32_t id;      /* Head, or buffer id. */
    uint16_t entries; /* Of the ring. */
    unsigned count;   /* Of pieces, of which so many at most are listed. */
    struct {
        uint64_t address;
        uint32_t length_bytes;
        bool writable;
    } pieces[RIG_PIECES_MAX];
};

/* Fails the test when there is no memory. The queue is live afterwards. */
struct ring_rig *ring_rig_create(uint16_t size, enum ring_fixture_level level);
void ring_rig_free(struct ring_rig *rig);
/* The queue was reset: it is not live any more, and its device side starts anew. */
void ring_rig_reset(struct ring_rig *rig);

/* Adds one request of one writable buffer; returns what l4vio_queue_add did. */
int ring_rig_add(struct ring_rig *rig, uint32_t writable_bytes, uintptr_t cookie);
/* Adds and publishes so many, with the cookies 0, 1, ... */
void ring_rig_add_many(struct ring_rig *rig, uint32_t writable_bytes, unsigned count);
/* Moves indexes and places on by completing `requests` requests of one buffer. */
void ring_rig_spin(struct ring_rig *rig, unsigned requests);
/* Ring entries that a request of so many buffers takes. */
unsigned ring_rig_entries(const struct ring_rig *rig, unsigned buffers);

/* The next request that was made available, if there is one. */
bool ring_rig_next(struct ring_rig *rig, struct ring_rig_request *request);
/* Completes it at the next place of the used ring. */
void ring_rig_complete(struct ring_rig *rig, const struct ring_rig_request *request,
                       uint32_t length_bytes);
/* Completes something with any id that the format can say. */
void ring_rig_complete_id(struct ring_rig *rig, uint32_t id, uint32_t length_bytes);
/* Takes and completes everything with this length, in order; returns how many. */
unsigned ring_rig_complete_all(struct ring_rig *rig, uint32_t length_bytes);

/* The device asks for a kick at the next request, or for none. */
void ring_rig_ask_for_kicks(struct ring_rig *rig, bool on);
/* Does the driver ask for a notification of the next completion? */
bool ring_rig_interrupt_wanted(const struct ring_rig *rig);

/* Fills descriptors and tables with a byte, as a device may at any time. */
void ring_rig_scribble_descriptors(struct ring_rig *rig, unsigned value);

#endif
