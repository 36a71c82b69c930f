/* SPDX-License-Identifier: MIT */
/*
 * A block device in a thread of its own and a block driver in the caller's, over the loopback
 * transport: both sides see the same addresses, so the thread sanitizer sees every access to the
 * rings and the data.
 */
#ifndef L4VIO_TEST_LOOPBACK_BLOCK_H
#define L4VIO_TEST_LOOPBACK_BLOCK_H

#include <pthread.h>
#include <stdatomic.h>

#include <l4vio/block.h>
#include <l4vio/device_block.h>
#include <l4vio/linux.h>
#include <l4vio/loopback.h>

enum { loopback_block_queues = 2, loopback_block_size = 64, loopback_block_requests = 16 };

struct loopback_block {
    struct l4vio_block block; /* the driver */

    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_loopback loopback;
    struct l4vio_device_page page;
    struct l4vio_dataspace page_memory;
    struct l4vio_device_block device;
    struct l4vio_device_queue_state states[loopback_block_queues];
    struct l4vio_device_block_queue device_queues[loopback_block_queues];
    struct l4vio_device_queue_slot device_slots[loopback_block_queues * loopback_block_size];
    struct l4vio_device_block_request requests[loopback_block_queues * loopback_block_requests];
    struct l4vio_device_region regions[8];
    struct l4vio_queue queues[loopback_block_queues];
    struct l4vio_queue_slot slots[loopback_block_queues * loopback_block_size];
    struct l4vio_driver_notification notifications[loopback_block_queues + 1];
    pthread_mutex_t lock;
    pthread_t thread;
    atomic_bool ending;
};

/* Several may share a store. Aborts with a sentence on failure. */
void loopback_block_start(struct loopback_block *rig, const struct l4vio_block_backend *store,
                          uint16_t queue_size, uint64_t spin_ns);
/* The same with these ring features, and no others, on offer and on the driver's list. */
void loopback_block_start_with(struct loopback_block *rig, const struct l4vio_block_backend *store,
                               uint16_t queue_size, uint64_t spin_ns,
                               const struct l4vio_features *offered,
                               const struct l4vio_features *allowed);
void loopback_block_stop(struct loopback_block *rig);

#endif
