/* SPDX-License-Identifier: MIT */
/*
 * The block driver against a device that a test scripts: everything below the class is real (loopback
 * transport, config page, device queue), the class is a function of the test. Requests are recorded.
 */
#ifndef L4VIO_TESTS_SCRIPTED_DISK_H
#define L4VIO_TESTS_SCRIPTED_DISK_H

#include <l4vio/block.h>
#include <l4vio/block_seed.h>
#include <l4vio/block_sync.h>
#include <l4vio/device_page.h>
#include <l4vio/loopback.h>

#define RIG_DISK_BYTES  (256u * 1024u)
#define RIG_QUEUES      4u
#define RIG_QUEUE_SIZE  256u
#define RIG_LOG_ENTRIES 256u

/* One chain as the device saw it. */
struct rig_entry {
    uint32_t queue;
    uint32_t type;
    uint64_t sector;
    uint16_t readable;       /* Descriptors. */
    uint16_t writable;       /* Descriptors. */
    uint64_t readable_bytes; /* Header included. */
    uint64_t writable_bytes; /* Status included. */
    uint64_t largest_bytes;  /* Largest data descriptor. */
    struct virtio_blk_range range;
};

struct scripted_disk {
    /* Set between rig_init and rig_start. */
    struct virtio_blk_config config;
    struct l4vio_features offered;
    uint16_t queue_size_max;
    uint32_t device_queues;
    struct l4vio_block_config setup;
    /* May be set at any time: plays the device; NULL is an honest disk. */
    void (*serve)(struct scripted_disk *rig, uint32_t queue,
                  const struct l4vio_device_chain *chain);
    unsigned stalled;  /* The device takes nothing. */
    unsigned take_max; /* Most chains per turn; 0: all. */
    void *test;        /* The test's own. */

    /* The driver. */
    struct l4vio_block block;
    struct l4vio_queue queues[RIG_QUEUES];
    struct l4vio_queue_slot slots[RIG_QUEUES * RIG_QUEUE_SIZE];
    struct l4vio_driver_notification notifications[RIG_QUEUES + 1];
    struct l4vio_region data;   /* 256 KiB of shared memory for tests. */
    struct l4vio_region shared; /* Shared parts of 64 requests. */

    /* The device. */
    uint8_t disk[RIG_DISK_BYTES];
    struct rig_entry log[RIG_LOG_ENTRIES];
    unsigned logged;
    uint16_t entries[RIG_QUEUES][RIG_QUEUE_SIZE]; /* By head, of the chains taken. */
    struct l4vio_device device;
    struct l4vio_device_queue_state states[RIG_QUEUES];
    struct l4vio_device_queue_slot device_slots[RIG_QUEUES * RIG_QUEUE_SIZE];
    struct l4vio_device_region regions[16];
    struct l4vio_device_page page;
    struct l4vio_dataspace page_space;
    struct l4vio_loopback loopback;
    struct l4vio_loopback_platform os;
    struct l4vio_platform platform;
    void *arena;
};

/* A disk of RIG_DISK_BYTES with every feature of the driver; disk bytes tell their place. */
struct scripted_disk *rig_new(void);
/* Connects; the result of l4vio_block_setup. */
int rig_start(struct scripted_disk *rig, struct l4vio_error *error);
/* As rig_new and rig_start, which must succeed. */
struct scripted_disk *rig_started(void);
/* Takes down and frees. */
void rig_free(struct scripted_disk *rig);

/* Gives request i a shared part and makes it one of `length` bytes at `offset` of rig->data. */
void rig_prepare(struct scripted_disk *rig, struct l4vio_block_request *request, unsigned i,
                 struct l4vio_block_segment *segment, enum l4vio_block_type type, uint64_t sector,
                 uint64_t offset_bytes, uint64_t length_bytes);
/* A deadline one virtual second away. */
uint64_t rig_soon(const struct scripted_disk *rig);
/* Lets the device work once. */
bool rig_pump(void *rig);

/* What a serve function needs. */
void rig_serve_honestly(struct scripted_disk *rig, uint32_t queue,
                        const struct l4vio_device_chain *chain);
/* Carries a chain out without answering; returns the bytes written, status included. */
uint32_t rig_carry_out(struct scripted_disk *rig, uint32_t queue,
                       const struct l4vio_device_chain *chain, uint8_t *status);
/* Writes the status byte. */
void rig_set_status(const struct l4vio_device_chain *chain, uint8_t status);
/* Answers through the device queue. */
void rig_answer(struct scripted_disk *rig, uint32_t queue, uint16_t head, uint32_t length_bytes);
/* Writes any used element into the ring; packed: a used descriptor, of one entry. */
void rig_answer_raw(struct scripted_disk *rig, uint32_t queue, uint32_t id, uint32_t length_bytes);

#endif
