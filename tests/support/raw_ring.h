/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a ring of either format, written by hand: descriptors, indexes, rounds and
 * event suppression as bytes, so that a test can do what no driver may. raw_queue puts one in front
 * of a device queue that nothing else is behind.
 */
#ifndef RAW_RING_H
#define RAW_RING_H

#include <l4vio/device_queue.h>

#define RAW_READ  0u
#define RAW_WRITE VIRTQ_DESC_F_WRITE
#define RAW_NEXT  VIRTQ_DESC_F_NEXT

/* A buffer of a chain. */
struct raw_piece {
    uint64_t address;
    uint32_t length_bytes;
    unsigned flags; /* RAW_READ, RAW_WRITE, VIRTQ_DESC_F_INDIRECT. */
};

/* A used element. */
struct raw_used {
    uint32_t id;
    uint32_t length_bytes;
    unsigned flags; /* Packed. */
};

struct raw_ring {
    bool packed;
    uint16_t size;
    void *desc;
    void *avail;
    void *used;
    uint16_t avail_index; /* Packed: place of the next descriptor. */
    uint16_t used_index;  /* Packed: place of the next used one. */
    bool avail_round;     /* Packed: the wrap counters. */
    bool used_round;
    uint16_t *entries; /* `size`, by head or id: descriptors of its chain. */
};

/* Begins with empty, zeroed areas. */
void raw_ring_init(struct raw_ring *ring, bool packed, uint16_t size, void *desc, void *avail,
                   void *used, uint16_t *entries);
/*
 * Makes a chain available, as a driver has to. Split: the descriptors from `id` on. Packed: the next
 * places, all with the id, the first one last.
 */
void raw_ring_publish(struct raw_ring *ring, uint16_t id, const struct raw_piece *pieces,
                      unsigned count);
/* Takes the next used element; it stands for one chain. */
bool raw_ring_get_used(struct raw_ring *ring, struct raw_used *used);
/* Passes over so many more chains, which have so many ring entries: in order, one used element may
 * stand for several. */
void raw_ring_skip_used(struct raw_ring *ring, unsigned chains, unsigned entries);

/* Packed: writes a descriptor at a place, available or not in the round that it would be in now. */
void raw_packed_desc(struct raw_ring *ring, unsigned place, struct raw_piece piece, uint16_t id,
                     unsigned flags);
/* Packed: AVAIL and USED of a descriptor that is available at a place from `avail_index` on. */
unsigned raw_packed_bits(const struct raw_ring *ring, unsigned place);
/* Packed: goes on behind so many descriptors. */
void raw_packed_advance(struct raw_ring *ring, unsigned entries);
/* Packed: what the driver asks for, what the device asks for. */
void raw_packed_want(struct raw_ring *ring, unsigned flags, unsigned place, bool round);
struct virtq_event_suppress *raw_packed_device_event(struct raw_ring *ring);

/* A device queue with a ring in front of it. */
#define RAW_QUEUE_BASE  UINT64_C(0x40000000) /* Device address of the data. */
#define RAW_QUEUE_RINGS UINT64_C(0x10000000) /* Device address of the rings. */
#define RAW_QUEUE_DATA  0x10000u             /* Bytes of data. */
#define RAW_QUEUE_PARTS 64u

struct raw_queue {
    struct raw_ring ring;
    struct l4vio_device_queue queue;
    struct l4vio_device_queue_config config;
    struct l4vio_device_queue_slot *slots;
    struct l4vio_device_memory memory;
    struct l4vio_device_region regions[2];
    unsigned char *rings;
    uint16_t *entries;
    unsigned char *data; /* RAW_QUEUE_DATA bytes. */
    struct l4vio_device_chain chain;
    struct l4vio_device_segment segments[RAW_QUEUE_PARTS];
};

/* Features: bits of L4VIO_F_ that end with -1. */
struct raw_queue *raw_queue_new(uint16_t size, const int *features);
void raw_queue_free(struct raw_queue *rig);
/* Another device comes after the one that is there, which is forgotten; the rings stay as they are. */
int raw_queue_resume(struct raw_queue *rig, const struct l4vio_device_queue_resume *resume);
/* One writable buffer of `length_bytes` at the beginning of the data. */
void raw_queue_publish(struct raw_queue *rig, uint16_t id, uint32_t length_bytes);
/* A chain of `count` such buffers. */
void raw_queue_publish_many(struct raw_queue *rig, uint16_t id, unsigned count,
                            uint32_t length_bytes);
/* The device takes a chain into `chain`. */
int raw_queue_take(struct raw_queue *rig);
/* The device hands a chain back that was taken. */
void raw_queue_finish(struct raw_queue *rig, const struct l4vio_device_chain *chain,
                      uint32_t written_bytes);

#endif
