/* SPDX-License-Identifier: MIT */
/**
 * @file device.h
 * The device side: status state machine, features, queues, the driver's memory. It knows nothing of how
 * the driver reaches it: a port (device_page.h for L4-VIRTIO) calls in and is told of changes.
 *
 * The status and everything else the device decides by is private (trusted shadow); the driver only
 * sees copies.
 *
 * Status rules: bits only accumulate (a write that leaves one out does not take it back, clause
 * D-2.1.1-2), 0 resets (queues, features, memory: S7, S8). Setting FEATURES_OK checks the accepted set
 * against the offer, the dependencies and the class, also when DRIVER_OK comes in the same write (S8);
 * if refused, the bit stays clear and the driver may try another set. A set with RING_PACKED, EVENT_IDX,
 * IN_ORDER or ORDER_PLATFORM is refused while queues are ready that were set up before, which is allowed
 * to drivers (as the seed's) that accept none of them: what lies in their memory is not such a ring. DRIVER without ACKNOWLEDGE,
 * FEATURES_OK without DRIVER, or DRIVER_OK without FEATURES_OK set DEVICE_NEEDS_RESET. FAILED takes
 * the queues away; after it, or DEVICE_NEEDS_RESET, only FAILED and 0 have an effect.
 * DEVICE_NEEDS_RESET and SUSPEND written by the driver are ignored.
 *
 * A driver that breaks the rules finds DEVICE_NEEDS_RESET set, with a config notification, and the
 * device usable again after a reset.
 *
 * Threads: the control calls need the device to themselves, but for work on queues: l4vio_device_live,
 * l4vio_device_feature, l4vio_device_queue, l4vio_device_notify, l4vio_device_kicked,
 * l4vio_device_kick_data and l4vio_device_needs_reset may run in the threads of the queues, which ops->queue_stop and ops->reset have to stop: they return only when
 * no thread touches a queue.
 */
#ifndef L4VIO_DEVICE_H
#define L4VIO_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "device_log.h"
#include "device_memory.h"
#include "device_queue.h"
#include "error.h"
#include "features.h"
#include "trace.h"
#include "transport.h"
#include "wire/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct l4vio_device;

/** What a device class implements. Every entry may be NULL. */
struct l4vio_device_ops {
    /** Class rules on the accepted features; a negative code leaves FEATURES_OK clear. */
    int (*check_features)(void *self, const struct l4vio_features *accepted);
    /** A queue was set up. A negative code refuses it. */
    int (*queue_ready)(void *self, uint32_t queue);
    /** A queue is about to be taken away: return only when nothing of it is in use. */
    void (*queue_stop)(void *self, uint32_t queue);
    /** DRIVER_OK was set. A negative code sets DEVICE_NEEDS_RESET. */
    int (*driver_ok)(void *self);
    /** Reset: return only when nothing of the driver's memory is in use; then put the private copy
     *  of the configuration back to what a new driver is to find. */
    void (*reset)(void *self);
    /** The driver wrote device configuration (where the port can tell). */
    void (*config_written)(void *self, uint32_t offset_bytes, uint32_t size_bytes);
    /** The driver shares memory: requests may use it from now on. */
    void (*region_added)(void *self, const struct l4vio_device_region *region);
    /** It is taken away: no request uses it. `release_region` follows. */
    void (*region_removed)(void *self, const struct l4vio_device_region *region);
};

/** What the port (the transport's device side) implements. */
struct l4vio_device_port_ops {
    /** The status changed: show it to the driver. 0: a reset is done; show everything afresh, the
     *  status last. */
    void (*publish_status)(void *self, uint32_t status);
    /** Queue state changed: show `ready`. */
    void (*publish_queue)(void *self, uint32_t queue, bool ready);
    /** Device configuration changed: show it. `generation` is for afterwards; while it is being
     *  shown, generation - 1 is. */
    void (*publish_config)(void *self, uint32_t offset_bytes, uint32_t size_bytes,
                           uint32_t generation);
    /** Notify the driver of a queue. */
    void (*notify_queue)(void *self, uint32_t queue);
    /** Notify the driver of a config or status change. */
    void (*notify_config)(void *self);
    /** Reads one byte of device configuration that the driver may write (read once, live). */
    uint8_t (*read_driver_config)(void *self, uint32_t offset_bytes);
    /** The driver's memory does not go away by a reset: the port removes every region itself
     *  (l4vio_device_remove_region), also when the driver is gone. */
    bool memory_survives_reset;
};

/** A queue of a device. Caller-allocated array; private. */
struct l4vio_device_queue_state {
    struct l4vio_device_queue queue; /**< The ring. */
    uint16_t size_max;               /**< Largest size on offer. */
    uint16_t driver_notify_index;    /**< Device to driver. */
    uint16_t device_notify_index;    /**< Driver to device. */
    bool ready;                      /**< Set up. */
    uint32_t kick_data;              /**< What the last kick said. */
    bool log_used;                   /**< What is written to the ring is logged... */
    uint64_t log_used_address;       /**< ...as if the used ring were here. */
    uint64_t reserved[2];            /**< Room to grow. */
};

/** How to make a device. Zero what is not used. */
struct l4vio_device_config {
    uint32_t device_id; /**< VIRTIO_ID_ number. */
    uint32_t vendor_id; /**< Vendor; 0: L4VIO_VENDOR_L4RE. */
    /**
     * Features of the class, and of l4vio_ring_features; VERSION_1 is added, what the port cannot
     * carry is taken off.
     */
    struct l4vio_features offered;
    /**
     * Offered bits that a driver must accept, or FEATURES_OK is refused (e.g. ACCESS_PLATFORM:
     * clause V-6.2-4).
     */
    struct l4vio_features required;
    const struct l4vio_feature_dependency *dependencies; /**< Rules of the class, or NULL. */
    unsigned dependency_count;                           /**< Number of rules. */
    struct l4vio_device_queue_state *queues;             /**< Caller-owned. */
    uint32_t queue_count;                                /**< At least 1. */
    uint16_t queue_size_max;                             /**< For every queue, a power of two. */
    /** `queue_count * queue_size_max` private records, caller-owned, to offer IN_ORDER; else NULL. */
    struct l4vio_device_queue_slot *queue_slots;
    uint8_t *config;                     /**< Private copy of the device configuration. */
    uint32_t config_bytes;               /**< Its size. */
    struct l4vio_device_region *regions; /**< Caller-owned array for the driver's memory. */
    unsigned region_count;               /**< Quota of regions. */
    uint64_t mapped_bytes_max;           /**< Quota of mapped bytes; 0: none. */
    const struct l4vio_device_ops *ops;  /**< Device class. */
    void *ops_self;                      /**< First argument. */
    /** Called for each region that goes away (removal, reset, end): unmap it. May be NULL. */
    void (*release_region)(void *self, const struct l4vio_device_region *region);
    void *release_self;              /**< First argument. */
    const struct l4vio_trace *trace; /**< Hook or NULL. */
    uint32_t writable_offset_bytes;  /**< Configuration that a driver may write: first byte... */
    uint32_t writable_bytes;         /**< ...and size; 0: none. Ports with a shared page look at
                                          neither. */
    uint64_t reserved[3];            /**< 0. */
};

/** A device, as one driver sees it. Caller-allocated; private. */
struct l4vio_device {
    struct l4vio_device_config config;        /**< As given. */
    const struct l4vio_device_port_ops *port; /**< Port. */
    void *port_self;                          /**< First argument. */
    struct l4vio_features accepted;           /**< Settled features. */
    uint32_t status;                          /**< Trusted status. */
    uint32_t generation;                      /**< Config generation. */
    struct l4vio_device_memory memory;        /**< The driver's memory. */
    struct l4vio_error failure;               /**< Why DEVICE_NEEDS_RESET was last set. */
    uint64_t resets;                          /**< Counter. */
    uint64_t failures;                        /**< Counter: DEVICE_NEEDS_RESET set. */
    struct l4vio_dirty_log log;               /**< As given; without bits: none. */
    uint64_t reserved[6];                     /**< Room to grow. */
};

/**
 * Initialises a device in reset state.
 * @param device caller-allocated
 * @param config copied; what it points to is borrowed
 * @param error  filled on failure, may be NULL
 * @return 0 or L4VIO_EINVAL: counts of 0 or missing storage; an offer with a feature of rings or transport
 *         that there is not, with IN_ORDER but no queue_slots, without a feature that another depends on,
 *         or without one that is required
 */
int l4vio_device_init(struct l4vio_device *device, const struct l4vio_device_config *config,
                      struct l4vio_error *error);

/**
 * Connects the port.
 * @param device    the device
 * @param port      functions
 * @param port_self their first argument
 */
void l4vio_device_set_port(struct l4vio_device *device, const struct l4vio_device_port_ops *port,
                           void *port_self);

/**
 * The driver writes the status; 0 resets. Always succeeds for the driver; the outcome is in the status.
 * @param device          the device
 * @param status          as written
 * @param driver_features the driver's map, read once by the port; looked at when FEATURES_OK is new
 */
void l4vio_device_set_status(struct l4vio_device *device, uint32_t status,
                             const struct l4vio_features *driver_features);

/**
 * The driver sets a queue up.
 * @param device the device
 * @param queue  queue index
 * @param setup  read once by the port
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     ready
 * @retval L4VIO_EIO    the device is failed, or ACKNOWLEDGE or DRIVER is missing
 * @retval L4VIO_ERANGE no such queue
 * @retval L4VIO_EINVAL size, alignment or address not valid; the queue is ready already
 */
int l4vio_device_config_queue(struct l4vio_device *device, uint32_t queue,
                              const struct l4vio_queue_setup *setup, struct l4vio_error *error);

/**
 * The driver sets a queue up that a device has worked on before, perhaps another process: as
 * l4vio_device_config_queue, but it goes on where `resume` says. Notifies the driver once: the predecessor
 * may have died before it did. Whoever works on the queue has to look at it once without a kick; the driver's may have come before.
 * @param device the device
 * @param queue  queue index
 * @param setup  read once by the port
 * @param resume where to go on, and the record of what is in flight; NULL: at the beginning
 * @param error  filled on failure, may be NULL
 * @return as l4vio_device_config_queue; L4VIO_EINVAL also for a position or record that does not fit the queue
 */
int l4vio_device_resume_queue(struct l4vio_device *device, uint32_t queue,
                              const struct l4vio_queue_setup *setup,
                              const struct l4vio_device_queue_resume *resume,
                              struct l4vio_error *error);

/**
 * The driver takes a queue back; other queues go on.
 * @param device the device
 * @param queue  queue index
 * @return 0 or L4VIO_ERANGE
 */
int l4vio_device_reset_queue(struct l4vio_device *device, uint32_t queue);

/**
 * The driver shares memory (already validated and mapped by the transport). No thread may work on a
 * queue meanwhile.
 * @param device the device
 * @param region copied
 * @param error  filled on failure, may be NULL
 * @return as l4vio_device_memory_add; the caller still owns the mapping on failure
 */
int l4vio_device_add_region(struct l4vio_device *device, const struct l4vio_device_region *region,
                            struct l4vio_error *error);

/**
 * The driver takes memory back. Refused while a queue is ready that has its rings there, or while any
 * chain is in flight in any queue: which memory a chain uses is not recorded. The driver tries again,
 * or resets the queue. No thread may work on a queue meanwhile.
 * @param device         the device
 * @param device_address first device address
 * @param size_bytes     size
 * @return 0, L4VIO_ENOENT, or L4VIO_EBUSY a queue's rings lie there or requests are in flight
 */
int l4vio_device_remove_region(struct l4vio_device *device, uint64_t device_address,
                               uint64_t size_bytes);

/**
 * Resets: status 0, queues gone, features cleared, the driver's memory released unless it survives a reset by this port.
 * @param device the device
 */
void l4vio_device_reset(struct l4vio_device *device);

/**
 * Logs from now on what the device writes to the driver's memory: the writable part of each chain that is handed back,
 * and what l4vio_device_queue_log_used is on for; or stops doing so. Stays through a reset. What was written
 * before is not marked. No thread may work on a queue meanwhile.
 * @param device the device
 * @param log    copied, its bits are borrowed; NULL: no log
 */
void l4vio_device_set_log(struct l4vio_device *device, const struct l4vio_dirty_log *log);

/**
 * Logs what the device writes to the ring of a queue, too, while there is a log. Split: the parts of the used ring are
 * marked as if it lay at `address`, which is how the reader of the log knows it. Packed: descriptors and event
 * suppression are marked where they lie. Stays through a reset. No thread may work on the queue meanwhile.
 * @param device  the device
 * @param queue   queue index, set up or not; another one is ignored
 * @param on      whether to do so
 * @param address of the used ring in the log
 */
void l4vio_device_queue_log_used(struct l4vio_device *device, uint32_t queue, bool on,
                                 uint64_t address);

/**
 * Sets DEVICE_NEEDS_RESET; notifies the driver if DRIVER_OK is set (clause V-2.1.2-3). Once: later
 * reasons are dropped until the next reset.
 * @param device the device
 * @param why    kept in `failure`
 */
void l4vio_device_needs_reset(struct l4vio_device *device, const struct l4vio_error *why);

/**
 * The device changed its configuration: writes it into the private copy, bumps the generation before
 * and after it is shown, and notifies the driver if the device is live.
 * @param device       the device
 * @param offset_bytes where
 * @param data         wire order
 * @param size_bytes   number of bytes
 * @return 0 or L4VIO_ERANGE
 */
int l4vio_device_write_config(struct l4vio_device *device, uint32_t offset_bytes, const void *data,
                              uint32_t size_bytes);

/**
 * Tells whether queues may be worked on: DRIVER_OK is set, no reset needed.
 * @param device the device
 * @return whether it is live
 */
bool l4vio_device_live(const struct l4vio_device *device);

/**
 * Tests an accepted feature.
 * @param device the device
 * @param bit    any number
 * @return whether it is accepted
 */
bool l4vio_device_feature(const struct l4vio_device *device, unsigned bit);

/**
 * The ring of a queue.
 * @param device the device
 * @param queue  queue index
 * @return the ring, or NULL if it is not set up
 */
struct l4vio_device_queue *l4vio_device_queue(struct l4vio_device *device, uint32_t queue);

/**
 * The port says what a kick carried (VIRTIO 1.4, section 2.9): kept for
 * l4vio_device_kick_data. The ring is what counts, not this. Any thread.
 * @param device the device
 * @param queue  queue index, any number
 * @param data   the kick value
 */
void l4vio_device_kicked(struct l4vio_device *device, uint32_t queue, uint32_t data);

/**
 * What the last kick of a queue said: the queue index in the low half and, with NOTIFICATION_DATA, the
 * place of the next request in the upper half. A hint by a driver that may lie. Any thread.
 * @param device the device
 * @param queue  queue index
 * @return the value, 0 if there was none since the queue was set up
 */
uint32_t l4vio_device_kick_data(const struct l4vio_device *device, uint32_t queue);

/**
 * After finishing chains: notifies the driver if it wants that. If the queue is broken, sets
 * DEVICE_NEEDS_RESET.
 * @param device the device
 * @param queue  queue index
 */
void l4vio_device_notify(struct l4vio_device *device, uint32_t queue);

#ifdef __cplusplus
}
#endif
#endif
