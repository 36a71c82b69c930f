/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end of the library with a raw back end at its other end, and the driver core over it:
 * for tests of the front end. A test changes the offer, then connects, then brings the driver up, as far as
 * it needs.
 */
#ifndef VHOST_RIG_H
#define VHOST_RIG_H

#include <l4vio/driver.h>
#include <l4vio/linux.h>
#include <l4vio/vhost_user.h>

#include "raw_backend.h"

#define VHOST_RIG_QUEUE_SIZE 16u
#define VHOST_RIG_QUEUES     2u
#define VHOST_RIG_TIMEOUT_NS UINT64_C(5000000000)

struct vhost_rig {
    struct raw_backend *backend;
    struct l4vio_linux *linux_platform; /* NULL: borrowed. */
    struct l4vio_platform platform;
    struct l4vio_vhost_user_options options;
    struct l4vio_vhost_user *connection;
    struct l4vio_transport transport;
    struct l4vio_driver driver;
    bool driving; /* The driver has the transport. */
    struct l4vio_features allowed;
    uint64_t control_timeout_ns;
    struct l4vio_driver_notification notifications[VHOST_RIG_QUEUES + 1];
    struct l4vio_region region; /* Rings, and data behind them. */
    uint64_t data_offset;
    struct l4vio_queue queues[VHOST_RIG_QUEUES];
    struct l4vio_queue_slot slots[VHOST_RIG_QUEUES][VHOST_RIG_QUEUE_SIZE];
};

/* Nothing runs yet; `backend` has its default offer. */
struct vhost_rig *vhost_rig_new(void);
/* The same with the platform of another one, which takes long to make: for many of them. */
struct vhost_rig *vhost_rig_new_beside(const struct vhost_rig *other);
/* Starts the back end and connects. 0 or the code of l4vio_vhost_user_connect. */
int vhost_rig_connect(struct vhost_rig *rig, struct l4vio_error *error);
/* Connects if nobody did, and the driver over it: up to DRIVER. */
int vhost_rig_drive(struct vhost_rig *rig, struct l4vio_error *error);
/* The same, and memory, features, one queue per index below `queues`, DRIVER_OK. */
int vhost_rig_bring_up(struct vhost_rig *rig, unsigned queues, struct l4vio_error *error);
/* Makes one writable buffer available on a queue and kicks. */
int vhost_rig_submit(struct vhost_rig *rig, unsigned queue);
/* The back end's turn: uses buffer `head` of a split queue with `length_bytes`, and calls. */
void vhost_rig_use(struct vhost_rig *rig, unsigned queue, uint16_t head, uint32_t length_bytes);
/* A deadline of 5 s. */
uint64_t vhost_rig_deadline(const struct vhost_rig *rig);
/* Ends everything. */
void vhost_rig_free(struct vhost_rig *rig);

#endif
