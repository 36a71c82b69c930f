/* SPDX-License-Identifier: MIT */
#ifndef L4VIO_DRIVER_SLEEP_H
#define L4VIO_DRIVER_SLEEP_H

#include <l4vio/driver.h>

/* Most queues that one call waits for. */
#define L4VIO_DRIVER_WAIT_QUEUES_MAX 64u
/* Longest sleep when some change of the peer cannot wake us. */
#define L4VIO_DRIVER_SLICE_NS UINT64_C(100000000)

/* What to sleep on: the notifications of some queues, each once, and that of the configuration. */
struct l4vio_driver_sleep {
    /* One more for the configuration's. */
    struct l4vio_notification notifications[L4VIO_DRIVER_WAIT_QUEUES_MAX + 1];
    uint16_t indexes[L4VIO_DRIVER_WAIT_QUEUES_MAX];
    unsigned index_count;
    const struct l4vio_notification *config; /* NULL if it is one of the above, or not managed. */
};

/* EEXIST if the index of a queue is not managed, EPIPE if not connected. */
int l4vio_driver_sleep_init(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep,
                            struct l4vio_queue *const *queues, unsigned count);

/*
 * Sleeps once; what ended the sleep does not end the next one. Returns 0 if something woke us, EAGAIN at the end of
 * a slice, ETIMEDOUT once the deadline has passed, or the platform's error.
 */
int l4vio_driver_sleep(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep,
                       uint64_t deadline_ns);

/* By the status alone, cheap: EIO the device gave up or we are not live, EPIPE no status to read. */
int l4vio_driver_device_fault(const struct l4vio_driver *driver);

/* After waking to empty rings: also EPIPE if the peer is gone. */
int l4vio_driver_sleep_fault(struct l4vio_driver *driver, struct l4vio_driver_sleep *sleep);

#endif
