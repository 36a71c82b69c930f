/* SPDX-License-Identifier: MIT */
/*
 * A device side of the packed ring written by hand, from the offsets of the specification, on raw
 * memory. It does what a test tells it to, right or wrong, and shares no code with the library.
 */
#ifndef FAKE_DEVICE_PACKED_H
#define FAKE_DEVICE_PACKED_H

#include <stdbool.h>
#include <stdint.h>

#include <l4vio/descriptors.h>

/* The device's view: where it looks next and where it writes next, each with its wrap counter. */
struct fake_packed {
    uint16_t size;
    unsigned char *ring;
    unsigned char *driver_area;
    unsigned char *device_area;
    uint16_t next_avail;
    bool avail_wrap;
    uint16_t next_used;
    bool used_wrap;
};

/* A descriptor as the device reads it. */
struct fake_packed_descriptor {
    uint64_t address;
    uint32_t length_bytes;
    uint16_t id;
    uint16_t flags;
};

/* A buffer that was made available. */
struct fake_packed_buffer {
    uint16_t id; /* In the last descriptor. */
    uint16_t entries;
    uint16_t place; /* Of the first. */
};

#define FAKE_PACKED_NEXT     0x0001u
#define FAKE_PACKED_WRITE    0x0002u
#define FAKE_PACKED_INDIRECT 0x0004u
#define FAKE_PACKED_AVAIL    0x0080u
#define FAKE_PACKED_USED     0x8000u

void fake_packed_init(struct fake_packed *device, uint16_t size, void *ring, void *driver_area,
                      void *device_area);

/* What lies at a place of the ring; an entry of an indirect table. */
struct fake_packed_descriptor fake_packed_at(const struct fake_packed *device, uint16_t place);
struct fake_packed_descriptor fake_packed_in_table(const void *table, unsigned entry);

/* Is the descriptor at the device's next place available? */
bool fake_packed_is_available(const struct fake_packed *device);

/* The next buffer that was made available, if there is one. Fails the test if a list of descriptors
 * does not end, or goes on at one that is not available. */
bool fake_packed_next(struct fake_packed *device, struct fake_packed_buffer *buffer);

/* Completes properly, at the next place, and moves on by `entries`. The WRITE flag is set if
 * `length_bytes` is not 0. */
void fake_packed_use(struct fake_packed *device, uint16_t id, uint16_t entries,
                     uint32_t length_bytes);

/* Takes and completes everything with this length, in order; returns how many. */
unsigned fake_packed_use_all(struct fake_packed *device, uint32_t length_bytes);

/* Takes everything and completes it with one used descriptor; returns how many. */
unsigned fake_packed_use_batch(struct fake_packed *device, uint32_t length_bytes);

/* A used descriptor at any place, with any bits. */
void fake_packed_put(struct fake_packed *device, uint16_t place, uint16_t id, uint32_t length_bytes,
                     uint16_t flags);

/* At the device's next place, marked as used, without moving on. */
void fake_packed_put_used(struct fake_packed *device, uint16_t id, uint32_t length_bytes);

/* Event suppression: flags in the upper half, place and wrap counter in the lower one. */
uint32_t fake_packed_driver_event(const struct fake_packed *device);
void fake_packed_put_device_event(struct fake_packed *device, uint16_t flags, uint16_t off_wrap);

/* Whether a device that came from `old` places ago to its next_used now has to notify the driver. */
bool fake_packed_has_to_notify(const struct fake_packed *device, uint16_t moved);

/* A queue with its memory, and the device side of it. */
struct packed_fixture {
    struct l4vio_virtqueue_layout layout;
    unsigned char *memory; /* Filled with 0xa5 before the queue is initialised. */
    unsigned char *tables;
    struct l4vio_queue_slot *slots;
    struct l4vio_descriptor *descriptors;
    struct l4vio_queue_config config;
    struct l4vio_queue queue;
    struct fake_packed device;
};

/* Features besides RING_PACKED. */
#define PACKED_EVENT_IDX         (1u << 0)
#define PACKED_IN_ORDER          (1u << 1)
#define PACKED_INDIRECT          (1u << 2) /* Tables of four entries, or of the queue's size if less. */
#define PACKED_ORDER_PLATFORM    (1u << 3)
#define PACKED_NOTIFICATION_DATA (1u << 4)
#define PACKED_STRICT            (1u << 5) /* Not a feature: `strict`. */
#define PACKED_DESCRIPTOR_LEVEL  (1u << 6) /* Neither. */

/* Device address of the tables. */
#define PACKED_TABLES_ADDRESS UINT64_C(0x40000000)

/* Fails the test when there is no memory. The queue is live afterwards. */
struct packed_fixture *packed_fixture_create(uint16_t size, unsigned features);
/* The queue was reset: it is not live any more, and its device side starts anew. */
void packed_fixture_reset(struct packed_fixture *fixture);
void packed_fixture_free(struct packed_fixture *fixture);

/* Adds one request of so many writable buffers of so many bytes; what l4vio_queue_add returned. */
int packed_fixture_add(struct packed_fixture *fixture, unsigned buffers, uint32_t bytes,
                       uintptr_t cookie);

/* Moves the places on by completing `requests` requests of one buffer. */
void packed_fixture_spin(struct packed_fixture *fixture, unsigned requests);

#endif
