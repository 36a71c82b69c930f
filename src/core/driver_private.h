/* SPDX-License-Identifier: MIT */
/*
 * What the files of the driver device share: state checks, the lock of the control path, status
 * writes, notifications. None of it takes the lock unless it says so.
 */
#ifndef L4VIO_DRIVER_PRIVATE_H
#define L4VIO_DRIVER_PRIVATE_H

#include <l4vio/driver.h>
#include <l4vio/wire/status.h>

#include "core/tracing.h"

/* Sleep between two looks at something that the device tells us no event of. */
#define L4VIO_DRIVER_PAUSE_NS UINT64_C(1000000)

static inline void l4vio_driver_lock(const struct l4vio_driver *driver)
{
    if (driver->platform.ops->lock)
        driver->platform.ops->lock(driver->platform.self);
}

static inline void l4vio_driver_unlock(const struct l4vio_driver *driver)
{
    if (driver->platform.ops->unlock)
        driver->platform.ops->unlock(driver->platform.self);
}

static inline uint64_t l4vio_driver_now(const struct l4vio_driver *driver)
{
    return driver->platform.ops->now_ns(driver->platform.self);
}

static inline uint64_t l4vio_driver_control_deadline(const struct l4vio_driver *driver)
{
    return l4vio_driver_deadline(driver, driver->control_timeout_ns);
}

/* There is nobody at the other end who is the device. */
static inline bool l4vio_driver_unconnected(const struct l4vio_driver *driver)
{
    return driver->state == L4VIO_DRIVER_CLOSED || driver->state == L4VIO_DRIVER_LOST;
}

/* Connected, and not in the middle of a reset or given up: 0, EPIPE, EINVAL or EIO. */
int l4vio_driver_check_usable(const struct l4vio_driver *driver, struct l4vio_error *error);

static inline void l4vio_driver_trace(const struct l4vio_driver *driver, enum l4vio_trace_kind kind,
                                      uint32_t queue, uint64_t a, uint64_t b)
{
    l4vio_trace_event(driver->trace, kind, queue, a, b);
}

/* Counters of the driver are shared by the threads of all its queues. */
static inline void l4vio_driver_count(uint64_t *counter)
{
#if __SIZEOF_POINTER__ >= 8
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
#else
    (*counter)++;
#endif
}

/* Counts what a transport call returned, and passes it on. */
int l4vio_driver_outcome(struct l4vio_driver *driver, int result);

/* Sleeps a moment, less if the deadline is near. ETIMEDOUT once it has passed, EPIPE if the peer is gone. */
int l4vio_driver_pause(struct l4vio_driver *driver, uint64_t deadline_ns);

/* Adds a bit to the status and reads the outcome back. */
int l4vio_driver_add_status(struct l4vio_driver *driver, uint32_t bit, uint32_t *outcome,
                            struct l4vio_error *error);
/* Writes 0 and reads the status back until it is 0. */
int l4vio_driver_reset_status(struct l4vio_driver *driver, struct l4vio_error *error);
/* Tells the device that the driver gave up because of `code`, which is returned. */
int l4vio_driver_give_up(struct l4vio_driver *driver, int code);
/* As l4vio_driver_negotiate. */
int l4vio_driver_settle(struct l4vio_driver *driver, struct l4vio_error *error);

/* ACKNOWLEDGE, DRIVER, notifications: common to connect and restart. */
int l4vio_driver_begin(struct l4vio_driver *driver, struct l4vio_error *error);

/* Gets the device's object of an index unless we have it. ERANGE beyond the array. */
int l4vio_driver_fetch_notification(struct l4vio_driver *driver, uint32_t index,
                                    struct l4vio_error *error);
/* Gives an object of the device's back; an empty one is fine. */
void l4vio_driver_release_notification(struct l4vio_driver *driver,
                                       struct l4vio_notification *notification);
/* Fetches and, for managed indexes, creates and binds; binds the caller's objects again. */
int l4vio_driver_open_notifications(struct l4vio_driver *driver, struct l4vio_error *error);
/* Gives back what the device handed out. */
void l4vio_driver_drop_fetched(struct l4vio_driver *driver);
/* Ends the means of waiting: they know the peer. New ones are made when they are needed. */
void l4vio_driver_close_waiters(struct l4vio_driver *driver);
/* Gives everything back. */
void l4vio_driver_close_notifications(struct l4vio_driver *driver);

/* Regions: the device knows them no more; shares them again; forgets them all. */
void l4vio_driver_unmap_regions(struct l4vio_driver *driver);
void l4vio_driver_free_quarantine(struct l4vio_driver *driver);
int l4vio_driver_remap_regions(struct l4vio_driver *driver, struct l4vio_error *error);
void l4vio_driver_forget_regions(struct l4vio_driver *driver);

/* Gives back the notifications that queues have of their own. */
void l4vio_driver_drop_kicks(struct l4vio_driver *driver);
/* The device owns nothing of any queue any more; the queues are no longer the driver's. */
void l4vio_driver_forget_queues(struct l4vio_driver *driver);
/* Sends what was held back before DRIVER_OK. */
int l4vio_driver_send_kicks(struct l4vio_driver *driver);

#endif
