/* SPDX-License-Identifier: MIT */
/* A driver at the descriptor level for a device that gives text back in capitals (tests/unit/service.c). */
#ifndef UPPER_DRIVER_H
#define UPPER_DRIVER_H

#include <l4vio/descriptors.h>
#include <l4vio/driver.h>
#include <l4vio/l4_unix.h>

#define UPPER_DEVICE_ID  0x7eu
#define UPPER_QUEUES     2u
#define UPPER_QUEUE_SIZE 8u

struct upper_driver {
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_l4_client *client;
    struct l4vio_driver driver;
    struct l4vio_driver_notification notifications[UPPER_QUEUES];
    struct l4vio_region region;
    struct l4vio_queue queues[UPPER_QUEUES];
    struct l4vio_queue_slot slots[UPPER_QUEUES][UPPER_QUEUE_SIZE];
    struct l4vio_descriptor descriptors[UPPER_QUEUES][UPPER_QUEUE_SIZE];
};

/* 0 or the code of the call that failed (all given back). */
int upper_driver_open(struct upper_driver *driver, const char *path);
/* Brings the queues up again after l4vio_driver_reset. */
int upper_driver_restart(struct upper_driver *driver);
void upper_driver_close(struct upper_driver *driver);
/* Hangs up without a reset, as the end of a process does; close it all the same. */
void upper_driver_vanish(struct upper_driver *driver);
/* Sends text as request `number`, 0 to 3, of a queue. 0 or a code. */
int upper_driver_send(struct upper_driver *driver, unsigned queue, unsigned number,
                      const char *text);
/* Sends a request for memory that the device has not got. */
int upper_driver_send_outside(struct upper_driver *driver, unsigned queue);
/* Waits for the next request to be answered. 0 or a code. */
int upper_driver_receive(struct upper_driver *driver, unsigned queue);
/* What the device wrote. */
const char *upper_driver_answer(struct upper_driver *driver, unsigned queue, unsigned number);

#endif
