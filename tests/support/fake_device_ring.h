/* SPDX-License-Identifier: MIT */
/*
 * A device side of the split ring written by hand, from the offsets of the specification, on raw
 * memory. It does what a test tells it to, right or wrong, and shares no code with the library.
 */
#ifndef FAKE_DEVICE_RING_H
#define FAKE_DEVICE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <l4vio/descriptors.h>

/* The device's view. `avail_seen` and `used_index` are its own, free-running. */
struct fake_device_ring {
    uint16_t size;
    unsigned char *desc;
    unsigned char *avail;
    unsigned char *used;
    uint16_t avail_seen;
    uint16_t used_index;
    uint16_t kicked_index; /* EVENT_IDX: used_index at the last decision of wants_interrupt. */
};

/* A descriptor as the device reads it. */
struct fake_device_descriptor {
    uint64_t address;
    uint32_t length_bytes;
    uint16_t flags;
    uint16_t next;
};

void fake_device_ring_init(struct fake_device_ring *ring, uint16_t size, void *desc, void *avail,
                           void *used);

/* What the driver wrote. */
uint16_t fake_device_avail_index(const struct fake_device_ring *ring);
uint16_t fake_device_avail_flags(const struct fake_device_ring *ring);
uint16_t fake_device_avail_entry(const struct fake_device_ring *ring, uint16_t index);
struct fake_device_descriptor fake_device_descriptor(const struct fake_device_ring *ring,
                                                     uint16_t entry);

/* The next head that was made available, if there is one. */
bool fake_device_next(struct fake_device_ring *ring, uint16_t *head);

/* Completes properly: element, then index. */
void fake_device_complete(struct fake_device_ring *ring, uint32_t id, uint32_t length_bytes);

/*
 * In order: completes `count` requests by one element, with the head of the last one. It lies where
 * the first of the batch would.
 */
void fake_device_complete_batch(struct fake_device_ring *ring, uint32_t last_id,
                                uint32_t length_bytes, uint16_t count);

/* Takes and completes everything with this length, in order; returns how many. */
unsigned fake_device_complete_all(struct fake_device_ring *ring, uint32_t length_bytes);

/* Single writes, in any order that a test likes. */
void fake_device_put_element(struct fake_device_ring *ring, uint16_t index, uint32_t id,
                             uint32_t length_bytes);
void fake_device_put_used_index(struct fake_device_ring *ring, uint16_t index);
void fake_device_put_used_flags(struct fake_device_ring *ring, uint16_t flags);

/* EVENT_IDX: what the driver asked for, and what the device asks for. */
uint16_t fake_device_used_event(const struct fake_device_ring *ring);
void fake_device_put_avail_event(struct fake_device_ring *ring, uint16_t index);
/* Whether what was completed since the last call is to be told, by the formula of the specification. */
bool fake_device_wants_interrupt(struct fake_device_ring *ring);

/* A queue with its memory, and the device side of it. */
struct ring_fixture {
    struct l4vio_virtqueue_layout layout;
    unsigned char
        *memory; /* layout.size_bytes, filled with 0xa5 before the queue is initialised. */
    struct l4vio_queue_slot *slots;
    struct l4vio_descriptor *descriptors;
    void *tables; /* Indirect tables of FIXTURE_TABLE_ENTRIES, at their local address, or NULL. */
    struct l4vio_queue_config config;
    struct l4vio_queue queue;
    struct fake_device_ring device;
};

enum ring_fixture_level { BUFFER_LEVEL, DESCRIPTOR_LEVEL };

/* Descriptors per indirect table, where the queue has as many. */
#define FIXTURE_TABLE_ENTRIES 8

/* Fails the test when there is no memory. The queue is live afterwards. */
struct ring_fixture *ring_fixture_create(uint16_t size, enum ring_fixture_level level);
/* The same with features negotiated: L4VIO_F_ numbers, ended by RING_FIXTURE_END. */
#define RING_FIXTURE_END (-1)
struct ring_fixture *ring_fixture_create_with(uint16_t size, enum ring_fixture_level level,
                                              const int *features);
/* The queue was reset: it is not live any more, and its device side starts anew. */
void ring_fixture_reset(struct ring_fixture *fixture);
void ring_fixture_free(struct ring_fixture *fixture);

/* Adds one request of one writable buffer of so many bytes; returns what l4vio_queue_add did. */
int ring_fixture_add(struct ring_fixture *fixture, uint32_t writable_bytes, uintptr_t cookie);

/* Moves the free-running indexes on by completing `requests` requests of one buffer. */
void ring_fixture_spin(struct ring_fixture *fixture, unsigned requests);

#endif
