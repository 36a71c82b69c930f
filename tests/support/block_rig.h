/* SPDX-License-Identifier: MIT */
/*
 * A block device between a raw driver, which writes descriptors as bytes, and a store in memory that
 * records what it is asked for, and can hold or fail it.
 */
#ifndef BLOCK_RIG_H
#define BLOCK_RIG_H

#include <l4vio/backends.h>
#include <l4vio/device_block.h>

#define RIG_BASE         UINT64_C(0x10000000) /* Device address of the driver's memory. */
#define RIG_MEMORY_BYTES 0x100000u
#define RIG_QUEUES       2u
#define RIG_QUEUE_SIZE   256u
#define RIG_QUEUE_BYTES  0x4000u
#define RIG_HEADER       0x10000u /* Where block_rig_do puts the parts of a request. */
#define RIG_OUT          0x20000u
#define RIG_IN           0x60000u
#define RIG_REQUESTS     8u /* In work per queue. */
#define RIG_STORE_BYTES  0x100000u
#define RIG_SECTORS      (RIG_STORE_BYTES / 512u)
#define RIG_LOG          64u
#define RIG_POISON       0xee /* Status before the device writes it. */

/* The store: struct l4vio_block_backend with this as first argument. */
struct rig_store {
    struct l4vio_block_backend memory;
    struct l4vio_block_backend_info info;
    char log[RIG_LOG]; /* R W F D Z U (zero with unmap), as they come in. */
    unsigned log_count;
    bool hold;    /* Operations complete in poll(wait) or rig_store_release. */
    char fail_op; /* This one (as in the log) fails with fail_code. */
    int fail_code;
    unsigned held_count;
    struct l4vio_block_io *held[RIG_LOG];
    unsigned waits; /* Calls of poll that would have blocked. */
};

struct block_rig {
    struct l4vio_device_block block;
    struct l4vio_device_block_config config; /* Change before block_rig_start. */
    struct l4vio_features
        accept; /* All of the class that is offered; change before block_rig_live. */
    struct rig_store store;
    unsigned char *memory; /* The driver's. */
    struct l4vio_device_queue_state states[RIG_QUEUES];
    struct l4vio_device_block_queue queues[RIG_QUEUES];
    struct l4vio_device_block_request requests[RIG_QUEUES * RIG_REQUESTS];
    struct l4vio_device_region regions[2];

    /* What the driver sees. */
    uint8_t shown[sizeof(struct virtio_blk_config)];
    uint32_t status;
    unsigned queue_notifications[RIG_QUEUES];
    unsigned config_notifications;

    /* The raw driver. */
    uint16_t next_desc[RIG_QUEUES];
    uint16_t first_desc[RIG_QUEUES];
    uint16_t pieces[RIG_QUEUES];
    uint16_t avail[RIG_QUEUES];
    uint16_t used[RIG_QUEUES]; /* Looked at so far. */
    uint32_t used_length;      /* Of the last one of queue 0. */
};

struct block_rig *block_rig_new(void);
/* Makes the device from `config`, fills `shown` and `accept`. */
void block_rig_start(struct block_rig *rig);
/* Negotiates `accept`, sets the queues up, DRIVER_OK. */
void block_rig_live(struct block_rig *rig);
/* All three. */
struct block_rig *block_rig_usual(void);
void block_rig_free(struct block_rig *rig);

/* Builds a chain on a queue from pieces of the driver's memory, and makes it available. */
void block_rig_piece(struct block_rig *rig, uint32_t queue, uint32_t offset, uint32_t bytes,
                     bool writable);
void block_rig_publish(struct block_rig *rig, uint32_t queue);
/* Writes a header into the driver's memory. */
void block_rig_header(struct block_rig *rig, uint32_t offset, uint32_t type, uint64_t sector);
/* Writes range record `index` at RIG_OUT. */
void block_rig_range(struct block_rig *rig, unsigned index, uint64_t sector, uint32_t sectors,
                     uint32_t flags);
/* Looks at the next used entry; whether there is one. */
bool block_rig_used(struct block_rig *rig, uint32_t queue, uint32_t *head);

/* Header, `out` readable bytes, `in` writable bytes and the status, in separate descriptors. */
void block_rig_send(struct block_rig *rig, uint32_t queue, uint32_t type, uint64_t sector,
                    uint32_t out, uint32_t in);
/* The same on queue 0, processed; returns the status and fills used_length. */
uint8_t block_rig_do(struct block_rig *rig, uint32_t type, uint64_t sector, uint32_t out,
                     uint32_t in);

/* The store's bytes, and its log as a string. */
unsigned char *rig_store_bytes(struct block_rig *rig);
const char *rig_store_log(struct block_rig *rig);
/* Completes what is held. */
void rig_store_release(struct rig_store *store);

#endif
