/* SPDX-License-Identifier: MIT */
/**
 * @file transport.h
 * How a driver reaches a device: one table of operations. The driver core (driver.h) is the only
 * caller; it serialises all of them but `kick`, `acknowledge`, `generation`, `peer_alive`,
 * `peer_handle` and `get_status` with the platform's lock.
 *
 * A transport knows its wire and nothing of device classes. What a device says is read once, checked
 * and kept privately; everything it says may be a lie.
 */
#ifndef L4VIO_TRANSPORT_H
#define L4VIO_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "features.h"
#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What kind of transport this is. Fixed once connected. */
struct l4vio_transport_properties {
    bool memory_survives_reset;    /**< Registered memory is still known after a device reset. */
    bool driver_chooses_addresses; /**< `map` takes the device address; else it returns it. */
    bool stops_on_reset;           /**< Status 0 means that the device touches memory no more. */
    /**
     * The peer's record of requests in flight outlives it: after `reconnect` a queue may be set up again
     * with its rings as they are (`resumes` of struct l4vio_queue_setup).
     */
    bool tracks_in_flight;
    /** Feature bits of the transport itself that it implements: added to the driver's list. */
    struct l4vio_features own_features;
    /** Feature bits that it cannot carry: taken off whatever the driver's list says. */
    struct l4vio_features not_carried;
};

/** What the device is. Read once at connect. */
struct l4vio_identity {
    uint32_t device_id;            /**< VIRTIO_ID_ number. */
    uint32_t vendor_id;            /**< Vendor. */
    uint32_t queue_count;          /**< Number of queues. */
    uint32_t notification_count;   /**< Number of notification indexes, at least 1. */
    struct l4vio_features offered; /**< Offered features. */
};

/** Where a queue lies and who is told what. Addresses are device addresses. */
struct l4vio_queue_setup {
    uint16_t size;                /**< Entries. */
    uint16_t driver_notify_index; /**< Notification index, device to driver. */
    uint16_t device_notify_index; /**< Notification index, driver to device. */
    uint16_t reserved;            /**< 0. */
    uint64_t desc_address;        /**< Descriptor table. */
    uint64_t avail_address;       /**< Available ring (driver area). */
    uint64_t used_address;        /**< Used ring (device area). */
    /**
     * After `reconnect`, with `tracks_in_flight`: the rings are as the last peer left them, and its record
     * of this queue holds. If false, the rings are new, and so is the record: empty.
     *
     * The two positions count as the rings do: split, the 16-bit index; packed, the place in bits 0 to 14
     * and the wrap counter in bit 15. What is before `used_position` was used and taken, and nothing
     * behind it was used: the peer goes on using there. Requests from there up to `avail_position` are
     * available: those that the record says were taken are to be carried out, then the others. Where the
     * wire has but one number to tell (vhost-user: SET_VRING_BASE), it is `used_position`, for both
     * halves of it if packed.
     */
    bool resumes;
    uint16_t avail_position; /**< Of the next request to be made available. 0 unless `resumes`. */
    uint16_t used_position;  /**< Of the next one to be used. 0 unless `resumes`. */
};

/** Bits of `acknowledge`. */
enum l4vio_interrupt_bit {
    L4VIO_INTERRUPT_RING = 1,   /**< A used ring may have something. */
    L4VIO_INTERRUPT_CONFIG = 2, /**< The configuration or the status may have changed. */
};

/**
 * Functions of a transport. `deadline_ns` bounds calls that wait for the peer: L4VIO_ETIMEDOUT; a dead
 * peer is L4VIO_EPIPE. Entries marked optional may be NULL (the driver core then says
 * L4VIO_ENOSYS).
 */
struct l4vio_transport_ops {
    /** Fills properties and identity. Called first. L4VIO_ENODEV: not a device of ours. */
    int (*identify)(void *self, struct l4vio_transport_properties *properties,
                    struct l4vio_identity *identity, uint64_t deadline_ns,
                    struct l4vio_error *error);
    /** Reads the device status afresh. Cheap: may be called on every wake-up, from any thread. */
    int (*get_status)(void *self, uint32_t *status);
    /** Writes the status; 0 resets. Success does not mean that the device agreed: re-read it. */
    int (*set_status)(void *self, uint32_t status, uint64_t deadline_ns, struct l4vio_error *error);
    /** Writes the whole accepted set. Takes effect with FEATURES_OK. */
    int (*set_features)(void *self, const struct l4vio_features *accepted,
                        struct l4vio_error *error);
    /** Largest size of a queue, 0 if there is no such queue, or an error. */
    int (*queue_size_max)(void *self, uint32_t queue, struct l4vio_error *error);
    /**
     * Optional: the notification index, driver to device, that the device has fixed for a queue, or an
     * error. NULL: the driver chooses.
     */
    int (*device_notify_index)(void *self, uint32_t queue, struct l4vio_error *error);
    /** Sets a queue up and makes it ready. */
    int (*config_queue)(void *self, uint32_t queue, const struct l4vio_queue_setup *setup,
                        uint64_t deadline_ns, struct l4vio_error *error);
    /** Optional: stops one queue; when it returns 0 the device touches its memory no more. */
    int (*reset_queue)(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error);
    /** Shares memory; `device_address` in or out, see `driver_chooses_addresses`. */
    int (*map)(void *self, const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
               uint64_t size_bytes, uint64_t *device_address, uint64_t deadline_ns,
               struct l4vio_error *error);
    /** Optional: takes shared memory back. */
    int (*unmap)(void *self, uint64_t device_address, uint64_t size_bytes, uint64_t deadline_ns,
                 struct l4vio_error *error);
    /** Binds the object by which the device notifies us. */
    int (*bind_notification)(void *self, uint32_t index,
                             const struct l4vio_notification *notification, uint64_t deadline_ns,
                             struct l4vio_error *error);
    /**
     * Gets the object by which we notify the device; the caller gives it back with
     * release_notification. An empty one (L4VIO_NO_HANDLE) means that `kick` needs none.
     */
    int (*get_notification)(void *self, uint32_t index, struct l4vio_notification *out,
                            uint64_t deadline_ns, struct l4vio_error *error);
    /** Optional: gives such an object back. NULL: the platform's notification_destroy does. */
    void (*release_notification)(void *self, struct l4vio_notification *notification);
    /** Takes pending interrupt causes: L4VIO_INTERRUPT_ bits. Call before draining rings. Any thread. */
    uint32_t (*acknowledge)(void *self);
    /**
     * Notifies the device of a queue. `to_device` is what get_notification gave for the queue's
     * device_notify_index; `data` is the kick value (VIRTIO 1.4, 2.9: queue index, and the position
     * with NOTIFICATION_DATA). Never blocks.
     */
    int (*kick)(void *self, uint32_t queue, uint32_t data,
                const struct l4vio_notification *to_device);
    /** Says which index announces config changes, device to driver and driver to device. */
    int (*set_config_notify)(void *self, uint16_t driver_notify_index,
                             uint16_t device_notify_index);
    /**
     * Reads device configuration in units of `width_bytes` (1, 2, 4, 8), which divides the size;
     * values arrive in wire order (little-endian). The generation loop is the driver core's.
     */
    int (*read_config)(void *self, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                       uint32_t width_bytes, struct l4vio_error *error);
    /** Writes one field of device configuration, wire order, and tells the device. */
    int (*write_config)(void *self, uint32_t offset_bytes, const void *data, uint32_t width_bytes,
                        uint64_t deadline_ns, struct l4vio_error *error);
    /** Number of bytes of device configuration that can be read. */
    uint32_t (*config_size)(void *self);
    /** Configuration generation. */
    uint32_t (*generation)(void *self);
    /** 0 while the peer lives, L4VIO_EPIPE afterwards. Cheap, from any thread. */
    int (*peer_alive)(void *self);
    /** What the platform's wait can watch to notice a dead peer, or L4VIO_NO_HANDLE. */
    intptr_t (*peer_handle)(void *self);
    /** Ends the connection; the device no longer sees our memory. The transport is unusable then. */
    void (*close)(void *self);
    /**
     * Optional: ends the connection if it is still there, and makes a new one to the same place. Tries again
     * until `deadline_ns` while nobody is there, or whoever is there hangs up or is full: a path may vanish
     * and come back. A peer that is there and is not what it should be is an error at once.
     *
     * On success the transport is as after `identify`, with a device of status 0: no memory is known to the
     * peer, no queue set up, nothing bound, and what was handed out before is void (the driver core has given
     * it back before the call). Fills `properties` and `identity` anew; the core checks that it is a device
     * like the last one.
     *
     * On failure there is no connection: calls say L4VIO_EPIPE, and this one may be called again.
     * L4VIO_ETIMEDOUT: nobody came in time.
     */
    int (*reconnect)(void *self, struct l4vio_transport_properties *properties,
                     struct l4vio_identity *identity, uint64_t deadline_ns,
                     struct l4vio_error *error);
};

/** A transport: functions and their first argument. Copied by value; `self` is the caller's. */
struct l4vio_transport {
    const struct l4vio_transport_ops *ops; /**< Functions. */
    void *self;                            /**< First argument of each. */
};

#ifdef __cplusplus
}
#endif
#endif
