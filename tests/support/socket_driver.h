/* SPDX-License-Identifier: MIT */
/*
 * A driver over the l4 socket for tests: the driver core, a few queues, block requests put together by
 * hand, one at a time per queue or several at once.
 */
#ifndef SOCKET_DRIVER_H
#define SOCKET_DRIVER_H

#include <l4vio/driver.h>
#include <l4vio/l4_unix.h>
#include <l4vio/wire/block.h>

#define SOCKET_DRIVER_QUEUES     4u
#define SOCKET_DRIVER_QUEUE_SIZE 64u
#define SOCKET_DRIVER_DATA_BYTES 4096u
/* Requests per queue that can be under way. */
#define SOCKET_DRIVER_DEPTH 16u

struct socket_driver {
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_l4_client *client;
    struct l4vio_driver driver;
    struct l4vio_driver_notification notifications[SOCKET_DRIVER_QUEUES];
    struct l4vio_region region;
    struct l4vio_queue queues[SOCKET_DRIVER_QUEUES];
    struct l4vio_queue_slot slots[SOCKET_DRIVER_QUEUES][SOCKET_DRIVER_QUEUE_SIZE];
    unsigned queue_count;
};

/* Connects and brings `queues` queues up. 0 or the code of the call that failed (all given back). */
int socket_driver_open(struct socket_driver *driver, const char *path, unsigned queues);
void socket_driver_close(struct socket_driver *driver);
/* Brings the queues up again after l4vio_driver_reset. */
int socket_driver_restart(struct socket_driver *driver);

/* Data of request `number` of a queue, SOCKET_DRIVER_DATA_BYTES. */
unsigned char *socket_driver_data(struct socket_driver *driver, unsigned queue, unsigned number);
/* Starts a request with all of its data; does not kick. */
int socket_driver_start(struct socket_driver *driver, unsigned queue, unsigned number,
                        uint32_t type, uint64_t sector);
/* Shows what was started, kicks if need be, waits until everything is done. 0 or a code. */
int socket_driver_finish(struct socket_driver *driver, unsigned queue);
/* Status byte of a request that is done. */
uint8_t socket_driver_status(struct socket_driver *driver, unsigned queue, unsigned number);
/* The three together, for request 0: the status byte, or a negative code. */
int socket_driver_request(struct socket_driver *driver, unsigned queue, uint32_t type,
                          uint64_t sector);

#endif
