/* SPDX-License-Identifier: MIT */
/*
 * A driver written by hand, which may do what no driver may: it writes descriptors, indexes and the
 * config page as bytes. In front of it stands a device that does nothing but record what it is told.
 *
 * The driver's memory is one region: the rings of queue n at RAW_QUEUE_BYTES * n, data from RAW_DATA on.
 */
#ifndef RAW_DRIVER_H
#define RAW_DRIVER_H

#include <l4vio/device_page.h>

#include "raw_ring.h"

#define RAW_BASE         UINT64_C(0x10000000) /* Device address of the driver's memory. */
#define RAW_MEMORY_BYTES 0x10000u
#define RAW_QUEUE_BYTES  0x2000u
#define RAW_AVAIL        0x1000u /* From the beginning of a queue's memory. */
#define RAW_USED         0x1800u
#define RAW_TABLE        0x7000u /* For indirect tables. */
#define RAW_DATA         0x8000u
#define RAW_QUEUES       2u
#define RAW_QUEUE_SIZE   16u
#define RAW_SEGMENTS     16u
#define RAW_REGIONS      4u
#define RAW_NOTIFY       8u
#define RAW_CONFIG_BYTES 20u

struct raw_driver {
    unsigned char *memory;          /* RAW_MEMORY_BYTES, the driver's. */
    unsigned char *page_bytes;      /* The config page. */
    struct l4vio_page_header *page; /* The same. */
    struct l4vio_device device;
    struct l4vio_device_page device_page;
    struct l4vio_device_queue_state states[RAW_QUEUES];
    struct l4vio_device_region regions[RAW_REGIONS];
    uint8_t config[RAW_CONFIG_BYTES];
    struct l4vio_features features; /* What bring_up accepts. */
    struct raw_ring rings[RAW_QUEUES];
    uint16_t ring_entries[RAW_QUEUES][RAW_QUEUE_SIZE];
    struct l4vio_device_queue_slot slots[RAW_QUEUES * RAW_QUEUE_SIZE];

    /* What the device was told. */
    unsigned ready_calls[RAW_QUEUES];
    unsigned stop_calls[RAW_QUEUES];
    unsigned driver_ok_calls;
    unsigned reset_calls;
    unsigned config_written_calls;
    unsigned released;
    unsigned triggers[RAW_NOTIFY];

    /* What the device is to answer. */
    int queue_ready_result;
    int driver_ok_result;
    int check_features_result;

    /* A chain as last taken. */
    struct l4vio_device_chain chain;
    struct l4vio_device_segment segments[RAW_SEGMENTS];
    uint16_t entries[RAW_QUEUES][RAW_QUEUE_SIZE]; /* By head, of the chains taken. */
};

/* Options of raw_driver_init. */
enum {
    RAW_CMD_MODE = 1,
    RAW_NO_INDIRECT = 2, /* INDIRECT_DESC is not offered. */
    RAW_PACKED = 4,      /* The others are offered and accepted if given. */
    RAW_EVENT_IDX = 8,
    RAW_IN_ORDER = 16,
    RAW_ORDER_PLATFORM = 32,
    RAW_ALL_FEATURES =
        RAW_NO_INDIRECT | RAW_PACKED | RAW_EVENT_IDX | RAW_IN_ORDER | RAW_ORDER_PLATFORM,
};

void raw_driver_init(struct raw_driver *driver, unsigned options);
void raw_driver_free(struct raw_driver *driver);

/* For cmocka: a driver and a device that are live, as the state of a test; and its end. */
int raw_setup(void **state);
int raw_setup_packed(void **state);
int raw_setup_in_order(void **state); /* With EVENT_IDX. */
int raw_setup_packed_in_order(void **state);
int raw_teardown(void **state);

/* A test by itself, and in every format. */
#define RAW_WITH(prefix, name, setup)                 \
    {                                                 \
        prefix #name, name, setup, raw_teardown, NULL \
    }
#define RAW_SPLIT(name)       RAW_WITH("split: ", name, raw_setup)
#define RAW_PACKED_RING(name) RAW_WITH("packed: ", name, raw_setup_packed)
#define RAW_EVERY(name)                                         \
    RAW_SPLIT(name), RAW_PACKED_RING(name),                     \
        RAW_WITH("split in order: ", name, raw_setup_in_order), \
        RAW_WITH("packed in order: ", name, raw_setup_packed_in_order)

/* Registers the memory. */
void raw_register(struct raw_driver *driver);
/* Writes `features` and the status up to FEATURES_OK; registers the memory before. */
void raw_negotiate(struct raw_driver *driver);
/* Writes the entry of a queue as it ought to be, `ready` among it. */
struct l4vio_page_queue *raw_queue_entry(struct raw_driver *driver, uint32_t queue);
void raw_fill_entry(struct raw_driver *driver, uint32_t queue);
/* Begins a ring anew: for another set-up of its queue. */
void raw_begin_ring(struct raw_driver *driver, uint32_t queue);
/* Everything up to DRIVER_OK, with fresh rings. */
void raw_bring_up(struct raw_driver *driver);
uint32_t raw_status(const struct raw_driver *driver);

struct virtq_desc *raw_table(struct raw_driver *driver, uint32_t queue);
struct virtq_avail *raw_avail(struct raw_driver *driver, uint32_t queue);
struct virtq_used *raw_used(struct raw_driver *driver, uint32_t queue);
l4vio_le16 *raw_avail_ring(struct raw_driver *driver, uint32_t queue);
struct virtq_used_elem *raw_used_ring(struct raw_driver *driver, uint32_t queue);
uint16_t raw_used_index(struct raw_driver *driver, uint32_t queue);

void raw_desc(struct virtq_desc *desc, uint64_t address, uint32_t length_bytes, unsigned flags,
              uint16_t next);
/* Entries of a table at byte `offset` of the memory: for indirect tables, aligned or not. */
void raw_desc_at(struct raw_driver *driver, uint32_t offset, uint64_t address,
                 uint32_t length_bytes, unsigned flags, uint16_t next);
/* The same in the format of the ring; packed tables have no `next`. */
void raw_table_entry(struct raw_driver *driver, uint32_t offset, uint64_t address,
                     uint32_t length_bytes, unsigned flags, uint16_t next);
/* Makes a chain available, in the format of the ring. */
void raw_publish_chain(struct raw_driver *driver, uint32_t queue, uint16_t id,
                       const struct raw_piece *pieces, unsigned count);
/* A chain of one buffer. */
void raw_publish_piece(struct raw_driver *driver, uint32_t queue, uint16_t id, uint64_t address,
                       uint32_t length_bytes, unsigned flags);
/* Split: makes a head available: ring entry and index. */
void raw_publish(struct raw_driver *driver, uint32_t queue, uint16_t head);
/* One writable buffer of 16 bytes of data that belong to the id, in the format of the ring. */
void raw_publish_one(struct raw_driver *driver, uint32_t queue, uint16_t head);

/* The device takes a chain into `chain`. */
int raw_take(struct raw_driver *driver, uint32_t queue);
/* The device hands a head back. */
void raw_finish(struct raw_driver *driver, uint32_t queue, uint16_t head, uint32_t written_bytes);

/* One request there and back, on queue 0. */
void raw_expect_works(struct raw_driver *driver);
/* The next chain breaks queue 0: it stays broken, the driver is told, and a reset helps. */
void raw_expect_broken(struct raw_driver *driver);

#endif
