/* SPDX-License-Identifier: MIT */
/*
 * A block driver over l4 whose server dies and comes back, in a process of its own, with an image file. Between
 * driver and transport every operation may be counted, and the server killed just before one of them.
 */
#ifndef L4VIO_TEST_RECONNECT_RIG_H
#define L4VIO_TEST_RECONNECT_RIG_H

#include <l4vio/block.h>
#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>

#include "block_server.h"

#define RECONNECT_QUEUES_MAX 4u
#define RECONNECT_SLOTS      64u
#define RECONNECT_DISK_BYTES (UINT64_C(1) << 20)

struct reconnect_rig {
    struct block_server server;
    struct block_server_options options; /* Change before a start. */
    char image[96];
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_l4_client *client;
    struct l4vio_transport inner;
    struct l4vio_transport_ops ops; /* What the driver calls. */
    struct l4vio_queue queues[RECONNECT_QUEUES_MAX];
    struct l4vio_queue_slot slots[RECONNECT_QUEUES_MAX * RECONNECT_SLOTS];
    struct l4vio_driver_notification notifications[RECONNECT_QUEUES_MAX + 1];
    struct l4vio_block_config config; /* Change before reconnect_rig_open. */
    struct l4vio_block block;
    unsigned operations;    /* Control operations since it was set to 0. */
    unsigned kill_before;   /* The server dies before this one, and is started again; 0: never. */
    unsigned freeze_before; /* It stands still before this one; 0: never. */
    uint32_t block_bytes;   /* What the driver reads, if not 0. */
    /*
     * The device says that it has a record of requests in flight. It has none: one that comes back begins at the
     * first entry of the ring, which is right as long as nothing has ever been used.
     */
    bool tracks_in_flight;
    unsigned resumed;             /* Queues that were set up with their rings as they are. */
    struct l4vio_features hidden; /* Not offered by the device that comes back. */
};

/* The image and the server. */
void reconnect_rig_start(struct reconnect_rig *rig, uint32_t queue_count);
/* The driver. Fails the test. */
void reconnect_rig_open(struct reconnect_rig *rig);
/* Closes the driver, stops the server if it runs, removes everything. */
void reconnect_rig_end(struct reconnect_rig *rig);

/* The server stands still: what is submitted stays in flight. */
void reconnect_rig_freeze(struct reconnect_rig *rig);
void reconnect_rig_kill(struct reconnect_rig *rig);
void reconnect_rig_restart(struct reconnect_rig *rig);
/* Kills it and starts it again. */
void reconnect_rig_replace(struct reconnect_rig *rig);

/* So long from now. */
uint64_t reconnect_rig_deadline(const struct reconnect_rig *rig, unsigned ms);
/* A byte of the image. */
unsigned reconnect_rig_image_byte(const struct reconnect_rig *rig, uint64_t offset);

#endif
