/* SPDX-License-Identifier: MIT */
/**
 * @file platform.h
 * What an operating system (or a board) gives to the library: a clock, memory that can be shared,
 * notifications, a lock for the control path. Shared memory is coherent: there is no cache maintenance.
 *
 * A platform is a table of functions and a `self` pointer. linux.h has the one for Linux,
 * loopback.h one that needs no operating system at all.
 *
 * Threads: `now_ns`, `wait`, `notification_*` may be called from any thread at any time; the rest is
 * called with the platform's lock held or before the object is shared.
 */
#ifndef L4VIO_PLATFORM_H
#define L4VIO_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A deadline that never passes. Deadlines are absolute, in nanoseconds of the platform's clock. */
#define L4VIO_FOREVER UINT64_MAX

/** No operating system object. */
#define L4VIO_NO_HANDLE ((intptr_t)-1)

/** Most notifications of a waiter. */
#define L4VIO_WAITER_NOTIFICATIONS 2u

/** Memory that can be shared with a device. */
struct l4vio_dataspace {
    void *base;          /**< Where it is mapped here, NULL if it is not. */
    uint64_t size_bytes; /**< Its size. */
    intptr_t handle; /**< Linux: memfd. L4Re: capability. L4VIO_NO_HANDLE where there is none. */
};

/**
 * A notification object: "at least one event since you last looked". It collapses: many triggers may
 * be seen as one. Linux: an eventfd, which may be put into a poll loop of one's own.
 */
struct l4vio_notification {
    intptr_t handle; /**< L4VIO_NO_HANDLE: none. */
};

/**
 * What one thread sleeps on again and again, prepared once: some notifications, and the peer. Linux: an
 * edge-triggered epoll set.
 */
struct l4vio_waiter {
    intptr_t handle; /**< L4VIO_NO_HANDLE: none. */
};

/** Functions of a platform. Entries marked optional may be NULL. */
struct l4vio_platform_ops {
    /** Monotonic clock, nanoseconds. */
    uint64_t (*now_ns)(void *self);
    /** Allocates zeroed, mapped, shareable memory of at least `size_bytes` (rounded up to pages). */
    int (*dataspace_allocate)(void *self, uint64_t size_bytes, struct l4vio_dataspace *out,
                              struct l4vio_error *error);
    /**
     * Maps `size_bytes` at `offset_bytes` of a dataspace that the peer handed over (only `handle` is
     * filled), read and write. Checks that the peer cannot take the memory away (Linux: a memfd
     * sealed against shrinking) and that it is large enough. On success `base` and `size_bytes` of
     * the dataspace describe the window. On failure the handle still belongs to the caller.
     */
    int (*dataspace_map)(void *self, struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                         uint64_t size_bytes, struct l4vio_error *error);
    /** Unmaps (if mapped) and gives the handle back. Leaves an empty dataspace. */
    void (*dataspace_free)(void *self, struct l4vio_dataspace *dataspace);
    /** Creates a notification object that we wait for. */
    int (*notification_create)(void *self, struct l4vio_notification *out,
                               struct l4vio_error *error);
    /** Gives a notification object back (created here or received). Leaves an empty one. */
    void (*notification_destroy)(void *self, struct l4vio_notification *notification);
    /** Triggers. Never blocks, whatever the peer did to the object. */
    int (*notification_trigger)(void *self, const struct l4vio_notification *notification);
    /** Takes what is pending. Never blocks. Returns 1 if something was pending, else 0. */
    int (*notification_drain)(void *self, const struct l4vio_notification *notification);
    /**
     * Sleeps until one of the notifications is pending or the peer's state changes (0) or the
     * deadline passes (L4VIO_ETIMEDOUT). Drains nothing. Empty notifications are skipped.
     * `peer_handle` is what the transport's `peer_handle` returned. May return 0 without cause.
     * A platform that cannot watch a peer handle returns 0 at least every 100 ms.
     */
    int (*wait)(void *self, const struct l4vio_notification *notifications, unsigned count,
                intptr_t peer_handle, uint64_t deadline_ns);
    /** Optional: lock of the control path. */
    void (*lock)(void *self);
    /** Optional: its release. */
    void (*unlock)(void *self);
    /**
     * Optional, all three or none: prepares a sleep on 1 to L4VIO_WAITER_NOTIFICATIONS notifications,
     * none of them empty, and on the peer's end.
     */
    int (*waiter_open)(void *self, const struct l4vio_notification *notifications, unsigned count,
                       intptr_t peer_handle, struct l4vio_waiter *out);
    /**
     * As `wait`, but by event: sleeps until one of the notifications is triggered, or was since the last
     * call for this waiter, so that nothing needs draining in between. One thread at a time.
     */
    int (*waiter_wait)(void *self, const struct l4vio_waiter *waiter, uint64_t deadline_ns);
    /** Ends a waiter; an empty one is fine. Leaves an empty one. The notifications may be gone. */
    void (*waiter_close)(void *self, struct l4vio_waiter *waiter);
};

/** A platform: functions and their first argument. Copied by value; `self` is the caller's. */
struct l4vio_platform {
    const struct l4vio_platform_ops *ops; /**< Functions. */
    void *self;                           /**< First argument of each. */
};

#ifdef __cplusplus
}
#endif
#endif
