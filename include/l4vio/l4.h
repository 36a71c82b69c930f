/* SPDX-License-Identifier: MIT */
/**
 * @file l4.h
 * The L4-VIRTIO transport, driver side, without the wire: config page plus calls. Whoever can carry the
 * calls (a Unix socket, L4Re IPC, a function call) gets a transport from it.
 *
 * The config page is checked once (alignment by the caller, magic, version, queue array inside the page:
 * T4) and what the driver decides by is kept privately (T5).
 */
#ifndef L4VIO_L4_H
#define L4VIO_L4_H

#include "platform.h"
#include "transport.h"
#include "wire/l4_page.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The calls of l4-virtio. All return 0 or a negative code; see transport.h for deadlines. */
struct l4vio_l4_calls {
    /** Call 0. */
    int (*set_status)(void *self, uint32_t status, uint64_t deadline_ns, struct l4vio_error *error);
    /** Call 1. */
    int (*config_queue)(void *self, uint32_t queue, uint64_t deadline_ns,
                        struct l4vio_error *error);
    /** Call 3. */
    int (*register_ds)(void *self, const struct l4vio_dataspace *dataspace, uint64_t base,
                       uint64_t offset_bytes, uint64_t size_bytes, uint64_t deadline_ns,
                       struct l4vio_error *error);
    /**
     * Call 4: fills `dataspace->handle` and the offset of the page in it. The transport maps it, and
     * gives it back on close. If `base` is filled too, it is mapped already and stays the callee's.
     */
    int (*device_config)(void *self, struct l4vio_dataspace *dataspace, uint64_t *offset_bytes,
                         uint64_t deadline_ns, struct l4vio_error *error);
    /** Call 5. */
    int (*device_notification)(void *self, uint32_t index, struct l4vio_notification *out,
                               uint64_t deadline_ns, struct l4vio_error *error);
    /** Optional: gives such an object back. NULL: the platform's notification_destroy does. */
    void (*release_notification)(void *self, struct l4vio_notification *notification);
    /** ICU info: number of notification indexes. */
    int (*icu_info)(void *self, uint32_t *count, uint64_t deadline_ns, struct l4vio_error *error);
    /** ICU bind. */
    int (*icu_bind)(void *self, uint32_t index, const struct l4vio_notification *notification,
                    uint64_t deadline_ns, struct l4vio_error *error);
    /** Optional extension: takes registered memory back. */
    int (*unregister_ds)(void *self, uint64_t base, uint64_t size_bytes, uint64_t deadline_ns,
                         struct l4vio_error *error);
    /** Optional extension: stops one queue. */
    int (*reset_queue)(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error);
    /**
     * Optional: carries what a kick says (transport.h) to the device, before the queue's notification is
     * triggered. Never blocks. NULL: a kick says nothing, and NOTIFICATION_DATA is not carried.
     */
    int (*kick)(void *self, uint32_t queue, uint32_t data);
    /** See transport.h. */
    int (*peer_alive)(void *self);
    /** See transport.h. */
    intptr_t (*peer_handle)(void *self);
    /** Ends the connection. */
    void (*close)(void *self);
    /**
     * Optional: ends the connection if it is still there, and makes a new one to the same place, as
     * `reconnect` of transport.h. NULL: the transport cannot.
     */
    int (*reconnect)(void *self, uint64_t deadline_ns, struct l4vio_error *error);
};

/** An L4-VIRTIO transport. Caller-allocated; private. */
struct l4vio_l4 {
    const struct l4vio_l4_calls *calls; /**< Calls. */
    void *calls_self;                   /**< Their first argument. */
    struct l4vio_platform platform;     /**< For mapping the page, and for waiting in cmd mode. */
    struct l4vio_dataspace dataspace;   /**< Where the config page lies. */
    void *page;                         /**< The config page, NULL if there is none. */
    uint32_t queues_offset;             /**< Checked once. */
    uint32_t queue_count;               /**< Checked once. */
    uint32_t seen_generation;           /**< For acknowledge. */
    uint16_t config_kick_index;         /**< Notification index of config_kick. */
    bool page_borrowed;                 /**< The page is not ours to unmap. */
    struct l4vio_notification config_kick; /**< cmd mode and config writes: tells the device. */
    bool cmd_mode;                         /**< Feature 160 is on offer. */
    bool memory_survives_reset;            /**< Property. */
    bool open;                             /**< Not closed yet. */
    uint64_t reserved[4];                  /**< Room to grow. */
};

/**
 * Makes a transport from calls. Nothing is sent before the driver core calls identify.
 * @param l4         caller-allocated, must stay until closed
 * @param calls      functions
 * @param calls_self their first argument
 * @param platform   copied
 * @return the transport, to put into struct l4vio_driver_config
 */
struct l4vio_transport l4vio_l4_init(struct l4vio_l4 *l4, const struct l4vio_l4_calls *calls,
                                     void *calls_self, const struct l4vio_platform *platform);

#ifdef __cplusplus
}
#endif
#endif
