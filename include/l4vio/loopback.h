/* SPDX-License-Identifier: MIT */
/**
 * @file loopback.h
 * Driver and device in one process: for tests, benchmarks and as the smallest example of a transport.
 *
 * Calls are function calls on a device page (device_page.h). The loopback platform needs no operating
 * system: notifications are counters, the clock is virtual, waiting pumps the device (a kick never calls
 * a completion). With another platform (linux.h) and `lock`/`unlock` around the device, driver and
 * device may run in two threads.
 */
#ifndef L4VIO_LOOPBACK_H
#define L4VIO_LOOPBACK_H

#include "device_page.h"
#include "l4.h"
#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Notification indexes of a loopback device. */
#define L4VIO_LOOPBACK_NOTIFICATIONS_MAX 66u

/**
 * A platform without operating system. Caller-allocated; private but for `pump`.
 * The clock advances by `tick_ns` with every look, and jumps to the deadline when the pump says that
 * nothing will happen.
 */
struct l4vio_loopback_platform {
    uint64_t clock_ns;         /**< Virtual time. */
    uint64_t tick_ns;          /**< Advance per look; 0: 100 ns. */
    unsigned char *arena;      /**< Caller's memory for dataspaces, aligned to 4096. */
    uint64_t arena_bytes;      /**< Its size. */
    uint64_t arena_used_bytes; /**< Handed out; blocks are not reused. */
    uint64_t pending[4 * L4VIO_LOOPBACK_NOTIFICATIONS_MAX]; /**< Notification counters. */
    uint32_t notifications;                                 /**< Most that were out at once. */
    uint32_t idle_waits; /**< Waits in a row without an event. After 10000 of them time runs ever
                              faster, so that L4VIO_FOREVER ends too. */
    /** Lets the device work; returns whether it did anything. NULL: nothing happens. */
    bool (*pump)(void *self);
    void *pump_self;      /**< First argument. */
    uint64_t reserved[4]; /**< Room to grow. */
};

/**
 * Makes a platform.
 * @param loopback    caller-allocated
 * @param arena       memory for dataspaces, aligned to 4096
 * @param arena_bytes its size
 * @return the platform
 */
struct l4vio_platform l4vio_loopback_platform_init(struct l4vio_loopback_platform *loopback,
                                                   void *arena, uint64_t arena_bytes);

/** A loopback connection. Caller-allocated; private. */
struct l4vio_loopback {
    struct l4vio_l4 l4;                    /**< Driver side. */
    struct l4vio_device_page *page;        /**< Device side. */
    struct l4vio_platform platform;        /**< For notifications. */
    struct l4vio_dataspace page_dataspace; /**< The config page. */
    struct l4vio_notification to_device[L4VIO_LOOPBACK_NOTIFICATIONS_MAX]; /**< Device's objects. */
    struct l4vio_notification to_driver[L4VIO_LOOPBACK_NOTIFICATIONS_MAX]; /**< Driver's objects. */
    uint32_t notification_count;                                           /**< Indexes. */
    bool dead;                  /**< Tests: the peer is gone. */
    void (*lock)(void *self);   /**< Optional: around every call into the device. */
    void (*unlock)(void *self); /**< Optional. */
    void *lock_self;            /**< First argument. */
    uint64_t reserved[4];       /**< Room to grow. */
};

/**
 * Connects a device page to a loopback transport.
 * @param loopback           caller-allocated, outlives the driver
 * @param page               device side; its trigger function is to be l4vio_loopback_trigger with
 *                           `loopback` as first argument
 * @param page_dataspace     where the page lies
 * @param notification_count indexes, at most L4VIO_LOOPBACK_NOTIFICATIONS_MAX
 * @param platform           creates the notification objects
 * @param transport          filled
 * @param error              filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL, or the platform's error
 */
int l4vio_loopback_init(struct l4vio_loopback *loopback, struct l4vio_device_page *page,
                        const struct l4vio_dataspace *page_dataspace, uint32_t notification_count,
                        const struct l4vio_platform *platform, struct l4vio_transport *transport,
                        struct l4vio_error *error);

/**
 * Gives the device's notification objects back. The driver is disconnected.
 * @param loopback the connection
 */
void l4vio_loopback_end(struct l4vio_loopback *loopback);

/**
 * Triggers the driver's object of an index: for struct l4vio_device_page_config. A device in a thread of
 * its own holds the lock.
 * @param self  struct l4vio_loopback
 * @param index notification index
 */
void l4vio_loopback_trigger(void *self, uint32_t index);

/**
 * The object by which the driver notifies the device, to wait for on the device side.
 * @param loopback the connection
 * @param index    notification index
 * @return the object, NULL out of range
 */
const struct l4vio_notification *l4vio_loopback_kick_object(const struct l4vio_loopback *loopback,
                                                            uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
