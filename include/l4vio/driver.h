/* SPDX-License-Identifier: MIT */
/**
 * @file driver.h
 * The driver device: connects to a device over any transport, negotiates, shares memory, sets queues
 * up, waits, resets, disconnects. The seed's `L4virtio::Driver::Device`; docs/api-map.md maps every
 * C++ member to its function here.
 *
 * Blocking calls are in driver_wait.h, which this header brings along.
 *
 * Order of calls: connect, then register memory, negotiate, attach queues, acknowledge. The first
 * l4vio_driver_config_queue / _attach_queue settles the features if nobody did (B10), so the seed's
 * order (queues before driver_acknowledge) works as well as the specification's.
 *
 * Deadlines are absolute, in nanoseconds of the platform's clock; l4vio_driver_deadline makes one
 * from a time span. A call that times out takes nothing back: what the device owns it still owns.
 *
 * Memory that a device may own is given back by a queue reset, a device reset, or the end of the
 * connection, never by a timeout or an error.
 *
 * Besides the codes that a call names, every call that talks to the device may return
 * L4VIO_ETIMEDOUT (no answer in time), L4VIO_EPIPE (the peer is gone, or not connected), and in a
 * stage that does not allow it L4VIO_EINVAL (reset: restart first) or L4VIO_EIO (the driver gave up:
 * reset first).
 *
 * Threads: l4vio_driver_register_*, _allocate, _release, _bind_notification and the configuration
 * calls are safe from several threads where the platform has a lock. Calls that take a queue follow
 * the queue's rule (one thread at a time). Connect, negotiate, acknowledge, reset, reconnect, disconnect
 * need the driver to themselves.
 */
#ifndef L4VIO_DRIVER_H
#define L4VIO_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "descriptors.h"
#include "error.h"
#include "features.h"
#include "platform.h"
#include "queue.h"
#include "spin.h"
#include "trace.h"
#include "transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/** First device address that the allocator gives out: one superpage, as the seed has it. */
#define L4VIO_FIRST_DEVICE_ADDRESS UINT64_C(0x200000)
/** Page size of the device address space. */
#define L4VIO_DEVICE_PAGE_BYTES UINT64_C(4096)
/** Deadline of control calls if the configuration names none: 5 s. */
#define L4VIO_CONTROL_TIMEOUT_NS UINT64_C(5000000000)

/** Both directions of one notification index. Caller-allocated, content private to the library. */
struct l4vio_driver_notification {
    struct l4vio_notification from_device; /**< We wait for it. */
    struct l4vio_notification to_device;   /**< We trigger it. */
    bool managed;                          /**< from_device was created by the library. */
    bool bound;                            /**< from_device is known to the device. */
    bool fetched;                          /**< to_device was handed out by the device. */
    struct l4vio_spin spin;                /**< How long waits for from_device look first. */
    struct l4vio_waiter waiter;            /**< By which they sleep, or empty. */
    uint64_t reserved[4];                  /**< Room to grow. */
};

/** Memory that is shared with the device. Caller-allocated; fields are for reading only. */
struct l4vio_region {
    void *base;                       /**< Local address of the first byte. */
    uint64_t size_bytes;              /**< Its size. */
    uint64_t device_address;          /**< Device address of the first byte. */
    struct l4vio_dataspace dataspace; /**< Where it lies. */
    uint64_t dataspace_offset_bytes;  /**< Offset in the dataspace, a multiple of the page size. */
    bool owned;                       /**< The library allocated the dataspace. */
    bool mapped;                      /**< The device knows it. */
    struct l4vio_region *next;        /**< Driver's list. */
    uint64_t reserved[4];             /**< Room to grow. */
};

/** How to connect. Zero what is not used. */
struct l4vio_driver_config {
    struct l4vio_transport transport; /**< How to reach the device. */
    struct l4vio_platform platform;   /**< What the operating system gives. */
    uint32_t device_id;               /**< Expected device class; 0: any. */
    /**
     * What this driver implements: features of the class, and those of l4vio_ring_features that it sets
     * its queues up with (l4vio_driver_features says what was accepted). VERSION_1 and the transport's
     * own features are added. A caller who leaves ring features out, as the seed's do, may initialise its
     * queues before the features are settled.
     */
    struct l4vio_features allowed;
    struct l4vio_features refused; /**< Bits to leave out even so. */
    /** Bits without which the driver gives up: see l4vio_driver_negotiate. VERSION_1 always is. */
    struct l4vio_features required;
    const struct l4vio_feature_dependency *dependencies; /**< Rules of the class, or NULL. */
    unsigned dependency_count;                           /**< Number of rules. */
    bool unmanaged_notifications; /**< The caller binds its own objects (the seed's
                                            manage_notify = false). */
    struct l4vio_driver_notification *notifications; /**< One per index used; NULL: index 0 only. */
    unsigned notification_count;                     /**< Number of them. */
    uint16_t config_notify_index;                    /**< Index that announces config changes. */
    uint64_t control_timeout_ns;     /**< Time for one control call; 0: L4VIO_CONTROL_TIMEOUT_NS. */
    uint64_t spin_ns;                /**< Time to look at the ring before sleeping; see spin.h. */
    enum l4vio_spin_mode spin_mode;  /**< How to use it; 0 and 0: sleep at once. */
    uint64_t first_device_address;   /**< 0: L4VIO_FIRST_DEVICE_ADDRESS. */
    uint64_t last_device_address;    /**< Last usable device address; 0: 2^64 - 1. */
    const struct l4vio_trace *trace; /**< Trace hook, or NULL. */
    /** Bits in use that a device may lack when it comes back: see l4vio_driver_reconnect. */
    struct l4vio_features may_lack;
    uint64_t reserved[1]; /**< 0. */
};

/** Stages of a driver's life. */
enum l4vio_driver_state {
    L4VIO_DRIVER_CLOSED = 0,     /**< Not connected. */
    L4VIO_DRIVER_CONNECTED = 1,  /**< ACKNOWLEDGE and DRIVER are set. */
    L4VIO_DRIVER_NEGOTIATED = 2, /**< FEATURES_OK is set. */
    L4VIO_DRIVER_LIVE = 3,       /**< DRIVER_OK is set. */
    L4VIO_DRIVER_RESET = 4,      /**< Reset; may be started again. */
    L4VIO_DRIVER_FAILED = 5,     /**< FAILED was set; only reset or disconnect help. */
    /** No connection: l4vio_driver_reconnect was called and has not succeeded yet. */
    L4VIO_DRIVER_LOST = 6,
};

/** Counters of a driver. */
struct l4vio_driver_counters {
    uint64_t status_writes;  /**< set_status calls, reset included. */
    uint64_t resets;         /**< Device resets. */
    uint64_t config_retries; /**< Config reads repeated because the generation moved. */
    uint64_t control_errors; /**< Transport calls that failed. */
    uint64_t timeouts;       /**< Deadlines that passed. */
    uint64_t reserved[3];    /**< 0. */
};

/** The driver device. Caller-allocated; all fields are private to the library. */
struct l4vio_driver {
    struct l4vio_transport transport;                    /**< Transport. */
    struct l4vio_platform platform;                      /**< Platform. */
    struct l4vio_transport_properties properties;        /**< Of the transport. */
    struct l4vio_identity identity;                      /**< Of the device. */
    struct l4vio_features allowed;                       /**< The driver's list. */
    struct l4vio_features required;                      /**< The driver insists on them. */
    struct l4vio_features accepted;                      /**< Settled features. */
    const struct l4vio_feature_dependency *dependencies; /**< Rules. */
    unsigned dependency_count;                           /**< Number of rules. */
    enum l4vio_driver_state state;                       /**< Stage. */
    uint32_t status;                                     /**< Status bits that we have set. */
    bool manage; /**< Notifications are created by the library. */
    struct l4vio_driver_notification own_notification; /**< Used if the caller gave no array. */
    struct l4vio_driver_notification *notifications;   /**< Array. */
    unsigned notification_count;                       /**< Its length. */
    uint16_t config_notify_index;                      /**< Config changes. */
    uint32_t seen_generation;                          /**< Generation that the caller has seen. */
    uint64_t control_timeout_ns;                       /**< Per control call. */
    uint64_t next_device_address;                      /**< Address allocator. */
    uint64_t last_device_address;                      /**< Its end. */
    struct l4vio_region *regions;                      /**< Registered memory. */
    struct l4vio_queue *queues;                        /**< Attached queues. */
    const struct l4vio_trace *trace;                   /**< Hook or NULL. */
    struct l4vio_driver_counters counters;             /**< Counters. */
    uint32_t config_pending;           /**< A config notification was left pending for its owner. */
    struct l4vio_dataspace quarantine; /**< Memory that the device may have: its call timed out. */
    struct l4vio_features may_lack;    /**< When it comes back. */
    uint32_t queue_end;                /**< One more than the highest queue ever set up. */
    uint64_t reserved[3];              /**< Room to grow. */
};

/**
 * Makes a deadline.
 * @param driver  a driver whose platform is set (connect was called)
 * @param span_ns time from now; L4VIO_FOREVER for no deadline
 * @return absolute deadline
 */
uint64_t l4vio_driver_deadline(const struct l4vio_driver *driver, uint64_t span_ns);

/**
 * Connects: identifies the device, checks its class, resets it, sets ACKNOWLEDGE and DRIVER, checks
 * the fail state, gets the device notification of index 0 and, unless notifications are unmanaged,
 * creates and binds the objects of every index of the array. The seed's `driver_connect`.
 *
 * An array of notifications that is longer than the device has indexes is used in part:
 * `notification_count` of the driver says how many.
 *
 * On failure FAILED is set if the device can still be told (B12; not after a timeout, and not on a
 * device of another class, which is left alone), everything acquired is given back and the transport
 * is closed.
 *
 * @param driver caller-allocated, any content
 * @param config copied
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK        connected
 * @retval L4VIO_EINVAL    config page not aligned, queue array outside the page, configuration not valid
 * @retval L4VIO_ENODEV    wrong magic, version not 2, wrong device class
 * @retval L4VIO_EIO       the device failed during initialisation
 * @retval L4VIO_ENOMEM    out of memory or notification objects
 * @retval L4VIO_ETIMEDOUT the device does not answer, or does not finish the reset
 * @retval L4VIO_EPIPE     the peer is gone
 */
int l4vio_driver_connect(struct l4vio_driver *driver, const struct l4vio_driver_config *config,
                         struct l4vio_error *error);

/**
 * Binds the caller's own notification object to an index. The seed's `bind_notification_irq`. The
 * object stays the caller's; the index is no longer managed by the driver. l4vio_driver_restart binds
 * it again if the index is within the array of notifications.
 *
 * @param driver       connected
 * @param index        notification index
 * @param notification by which the device notifies
 * @param error        filled on failure, may be NULL
 * @return 0 or the call's error: L4VIO_ERANGE no such index, L4VIO_EINVAL, L4VIO_EPIPE, ...
 */
int l4vio_driver_bind_notification(struct l4vio_driver *driver, uint32_t index,
                                   const struct l4vio_notification *notification,
                                   struct l4vio_error *error);

/**
 * The object by which the device notifies of an index, to put into a poll loop of one's own:
 * l4vio_queue_arm first, poll, then l4vio_driver_drain_notification, then take completions.
 * @param driver connected
 * @param index  notification index
 * @return the object, or NULL for an index that is not managed
 */
const struct l4vio_notification *l4vio_driver_notification(const struct l4vio_driver *driver,
                                                           uint32_t index);

/**
 * What tells that the peer is gone, to put into a poll loop of one's own beside the notification.
 * Linux: a descriptor; poll it for POLLRDHUP, not POLLIN, which answers to calls would raise too.
 * Afterwards l4vio_driver_fail_state answers true.
 * @param driver connected
 * @return the handle, or L4VIO_NO_HANDLE if the transport has none or is closed
 */
intptr_t l4vio_driver_peer_handle(const struct l4vio_driver *driver);

/**
 * Takes what is pending on a notification, without blocking.
 * @param driver connected
 * @param index  notification index
 * @return 1 if something was pending, 0 if not, L4VIO_EEXIST for an index that is not managed
 */
int l4vio_driver_drain_notification(struct l4vio_driver *driver, uint32_t index);

/**
 * FAILED or DEVICE_NEEDS_RESET is set. The seed's `fail_state`. Reads the status afresh.
 * @param driver connected
 * @return whether the device is in a fail state; true if the peer is gone
 */
bool l4vio_driver_fail_state(const struct l4vio_driver *driver);

/**
 * Tests a settled feature; valid once features are settled. The seed's `feature_negotiated`.
 * @param driver connected
 * @param bit    any number
 * @return whether it is in the accepted set
 */
bool l4vio_driver_feature_negotiated(const struct l4vio_driver *driver, unsigned bit);

/**
 * The accepted features, for struct l4vio_queue_config; valid once features are settled.
 * @param driver negotiated
 * @return the accepted set, empty before
 */
struct l4vio_features l4vio_driver_features(const struct l4vio_driver *driver);

/**
 * Settles and freezes the features: accepts what is offered, on the driver's list, and complete
 * (B11), writes the whole map, sets FEATURES_OK and reads it back. Does nothing if settled already.
 *
 * @param driver connected
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     settled
 * @retval L4VIO_ENODEV VERSION_1 is not on offer: legacy device
 * @retval L4VIO_ENOSYS a required feature is not on offer, not carried by the transport, not on the
 *                      driver's list, or lacks one that it depends on (value: the bit)
 * @retval L4VIO_EINVAL the device refused the features
 * @retval L4VIO_EIO    the device is in a fail state
 * On failure FAILED is set.
 */
int l4vio_driver_negotiate(struct l4vio_driver *driver, struct l4vio_error *error);

/**
 * Settles the features if nobody did, then sets DRIVER_OK and checks the fail state. The seed's
 * `driver_acknowledge`.
 *
 * @param driver connected
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     the device is live
 * @retval L4VIO_ENODEV legacy device
 * @retval L4VIO_EINVAL the device refused the features
 * @retval L4VIO_EIO    fail state
 */
int l4vio_driver_acknowledge(struct l4vio_driver *driver, struct l4vio_error *error);

/**
 * Allots device addresses for part of a dataspace and shares it. The seed's `register_ds`. Nothing is
 * remembered: after a reset the caller registers again, or uses l4vio_driver_register_region.
 *
 * @param driver         connected
 * @param dataspace      borrowed; must stay until unregistered or disconnected
 * @param offset_bytes   multiple of the page size (B14)
 * @param size_bytes     at least 1; rounded up to whole pages in the device address space
 * @param device_address filled with the device address of the byte at `offset_bytes`
 * @param error          filled on failure, may be NULL
 * @retval L4VIO_OK     shared
 * @retval L4VIO_EINVAL offset not aligned, size 0, or the device does not trust the dataspace
 * @retval L4VIO_ENOMEM device addresses used up, or the device's table is full
 * @retval L4VIO_ERANGE range past the end of the dataspace
 */
int l4vio_driver_register_dataspace(struct l4vio_driver *driver,
                                    const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                                    uint64_t size_bytes, uint64_t *device_address,
                                    struct l4vio_error *error);

/**
 * As l4vio_driver_register_dataspace, remembered as a region: registered again at the same device
 * address by l4vio_driver_restart after a reset, if the transport's memory does not survive one.
 *
 * @param driver       connected
 * @param dataspace    mapped; borrowed, copied by value
 * @param offset_bytes multiple of the page size
 * @param size_bytes   at least 1
 * @param region       caller-allocated, filled; stays in the driver's list until released
 * @param error        filled on failure, may be NULL
 * @return as l4vio_driver_register_dataspace
 */
int l4vio_driver_register_region(struct l4vio_driver *driver,
                                 const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                                 uint64_t size_bytes, struct l4vio_region *region,
                                 struct l4vio_error *error);

/**
 * Allocates shareable memory from the platform and registers it.
 * @param driver     connected
 * @param size_bytes at least 1, rounded up to pages; zeroed
 * @param region     caller-allocated, filled
 * @param error      filled on failure, may be NULL
 * @return as l4vio_driver_register_dataspace; L4VIO_ENOMEM out of memory;
 *         L4VIO_EBUSY after a call that timed out, until the device is reset: the device may have
 *         that memory, it is kept aside
 */
int l4vio_driver_allocate(struct l4vio_driver *driver, uint64_t size_bytes,
                          struct l4vio_region *region, struct l4vio_error *error);

/**
 * Takes a region back from the device and frees it if the library allocated it.
 *
 * @param driver the driver
 * @param region from _register_region or _allocate
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     the device no longer knows it
 * @retval L4VIO_EBUSY  a live queue has requests in flight or has its rings there: reset first
 * @retval L4VIO_EINVAL not a region of this driver
 * @retval L4VIO_ENOSYS this transport cannot take memory back while connected
 */
int l4vio_driver_release(struct l4vio_driver *driver, struct l4vio_region *region,
                         struct l4vio_error *error);

/**
 * Device address of a piece of a region, checked.
 * @param region         the region
 * @param offset_bytes   first byte
 * @param length_bytes   number of bytes
 * @param device_address filled
 * @return 0 or L4VIO_EFAULT if the piece is not inside the region
 */
int l4vio_region_address(const struct l4vio_region *region, uint64_t offset_bytes,
                         uint64_t length_bytes, uint64_t *device_address);

/**
 * Tells the device where a queue lies and makes it ready. The seed's `config_queue`; most callers
 * want l4vio_driver_attach_queue. Settles the features if nobody did.
 *
 * @param driver        connected
 * @param queue         queue index
 * @param size          entries
 * @param desc_address  device address of the descriptor table
 * @param avail_address device address of the available ring
 * @param used_address  device address of the used ring
 * @param error         filled on failure, may be NULL
 * @retval L4VIO_OK     ready
 * @retval L4VIO_EINVAL size 0, above the device's or above 32768; a split queue whose size is not a power
 *                      of two; bad address
 * @retval L4VIO_ERANGE no such queue
 * @retval L4VIO_EIO    the device is failed or not initialised
 * FAILED is set if it is the device that refuses (B12).
 */
int l4vio_driver_config_queue(struct l4vio_driver *driver, uint32_t queue, uint16_t size,
                              uint64_t desc_address, uint64_t avail_address, uint64_t used_address,
                              struct l4vio_error *error);

/**
 * Makes an initialised queue known to the device, with its notification indexes (driver to device: the
 * one that the device has fixed, on transports where it does). The queue is live
 * from then on; the driver keeps a pointer to it until detach or disconnect.
 *
 * @param driver connected
 * @param queue  from l4vio_queue_init; its rings lie in registered memory
 * @param error  filled on failure, may be NULL
 * @return as l4vio_driver_config_queue; L4VIO_ERANGE also for a notification index without object;
 *         L4VIO_EBUSY if the queue is live already; L4VIO_EINVAL also for a queue that was initialised
 *         with other ring features than were accepted (value: the bit), and for one whose rings a device
 *         has known since they were initialised, unless they are to be resumed (l4vio_queue_resume);
 *         L4VIO_ENOSYS then if the device keeps no record of requests in flight
 */
int l4vio_driver_attach_queue(struct l4vio_driver *driver, struct l4vio_queue *queue,
                              struct l4vio_error *error);

/**
 * Stops one queue (RING_RESET, or the transport's own way: L4-VIRTIO has one without that feature),
 * while others run. Afterwards l4vio_queue_detach hands back what was in flight;
 * l4vio_queue_initialize_rings, or l4vio_queue_init with another size or other memory, and
 * l4vio_driver_attach_queue start it again. The seed's `disable`.
 *
 * @param driver connected
 * @param queue  attached
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK        the device touches the queue's memory no more
 * @retval L4VIO_ENOSYS    the device cannot: reset the device
 * @retval L4VIO_ETIMEDOUT the device did not confirm: the queue stays live, try again or reset the device
 */
int l4vio_driver_reset_queue(struct l4vio_driver *driver, struct l4vio_queue *queue,
                             struct l4vio_error *error);

/**
 * Largest queue size that the device allows. The seed's `max_queue_size`.
 * @param driver connected
 * @param queue  queue index
 * @param error  filled on failure, may be NULL
 * @return entries, or L4VIO_ERANGE if there is no such queue, or the transport's error
 */
int l4vio_driver_queue_size_max(struct l4vio_driver *driver, uint32_t queue,
                                struct l4vio_error *error);

/**
 * Makes a descriptor chain available and notifies. The seed's `send`.
 * @param driver live
 * @param queue  attached, of the descriptor level
 * @param head   head of the chain
 * @return 0 or the error of l4vio_descriptor_enqueue or of the notification
 */
int l4vio_driver_send(struct l4vio_driver *driver, struct l4vio_queue *queue, uint16_t head);

/**
 * Notifies the device of a queue unless it asked for no notifications. The seed's `notify`.
 * No notification leaves before DRIVER_OK (clause D-3.1.1-6): then it is remembered and sent by
 * l4vio_driver_acknowledge.
 * @param driver connected
 * @param queue  attached
 * @return 0 or the transport's error (L4VIO_EPIPE)
 */
int l4vio_driver_notify(struct l4vio_driver *driver, struct l4vio_queue *queue);

/**
 * Reads device configuration consistently: repeats while the generation moves (T5).
 *
 * @param driver       connected
 * @param offset_bytes from the start of the device configuration
 * @param out          filled; wire order (little-endian)
 * @param size_bytes   number of bytes, a multiple of the width
 * @param width_bytes  1, 2, 4 or 8: the natural width of the fields
 * @param error        filled on failure, may be NULL
 * @retval L4VIO_OK        read
 * @retval L4VIO_EINVAL    a width that does not exist, or an offset or size not a multiple of it
 * @retval L4VIO_ERANGE    past the end of the configuration
 * @retval L4VIO_ETIMEDOUT the generation never settles
 */
int l4vio_driver_read_config(struct l4vio_driver *driver, uint32_t offset_bytes, void *out,
                             uint32_t size_bytes, uint32_t width_bytes, struct l4vio_error *error);

/**
 * Writes one field of device configuration. Not before the features are settled (D-3.1.1-2b).
 *
 * @param driver       negotiated
 * @param offset_bytes from the start of the device configuration
 * @param data         wire order
 * @param width_bytes  1, 2, 4 or 8
 * @param error        filled on failure, may be NULL
 * @retval L4VIO_OK     written and announced
 * @retval L4VIO_EINVAL features are not settled; width or offset as for reading
 * @retval L4VIO_ERANGE past the end of the configuration
 */
int l4vio_driver_write_config(struct l4vio_driver *driver, uint32_t offset_bytes, const void *data,
                              uint32_t width_bytes, struct l4vio_error *error);

/**
 * Tells whether the configuration changed since the last call (or since connect), by its generation.
 * @param driver connected
 * @return whether to read the configuration again
 */
bool l4vio_driver_config_changed(struct l4vio_driver *driver);

/**
 * Resets the device: status 0, read back until it is 0. All queues stop being live and are forgotten;
 * the objects handed out by the device are dropped; regions are kept for l4vio_driver_restart.
 *
 * @param driver connected
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK        reset; the device owns nothing any more
 * @retval L4VIO_ETIMEDOUT the device did not confirm: it may still own memory, nothing is given back
 *                         before l4vio_driver_disconnect
 * @retval L4VIO_EBUSY     reset, but this transport cannot promise that the device has stopped: as above
 */
int l4vio_driver_reset(struct l4vio_driver *driver, struct l4vio_error *error);

/**
 * After l4vio_driver_reset: ACKNOWLEDGE, DRIVER, notifications and regions again. Recovery from
 * DEVICE_NEEDS_RESET is: reset, detach every queue (its cookies are the requests to send again),
 * restart, initialize_rings and attach_queue for each queue, acknowledge, send again.
 *
 * @param driver reset
 * @param error  filled on failure, may be NULL
 * @return as l4vio_driver_connect
 */
int l4vio_driver_restart(struct l4vio_driver *driver, struct l4vio_error *error);

/**
 * Ends what is left of the connection and makes a new one to the same place, whoever is there then: for
 * a peer that died, stopped answering, or never finished its reset. Allowed in every state but
 * L4VIO_DRIVER_CLOSED.
 *
 * On success the state is as after l4vio_driver_reset, and what comes next is the same: take what the old
 * peer had completed (l4vio_queue_get_used), l4vio_queue_detach or l4vio_queue_resume each queue,
 * l4vio_driver_restart, negotiate, attach, acknowledge. Regions are shared again at the same device
 * addresses. The features that were accepted are accepted again, and no others, since queues and class driver
 * are made for them; the device has to offer them all, but for those of `may_lack` in the configuration, to
 * be of the same class, and to have as many queues and notification indexes as are in use.
 * l4vio_driver_config_changed is true afterwards.
 *
 * Any outcome but "not connected" ends the old connection: nothing is live any more, queues may be detached.
 * A peer that still answers is reset before. One that does not answer may be at work on shared memory until
 * it notices the end of its connection; no protocol tells when that is. Linux closes the socket of a process
 * that dies after its input and output have ended, so of a peer that is dead nothing comes any more. Who
 * gives up on a peer that merely hangs, and then reuses the memory that was in flight, or trusts what is
 * read again, has to make sure that it is gone.
 *
 * Needs the driver to itself, its queues and waits included: another thread must not even be waiting. Handles
 * that were asked for before (l4vio_driver_peer_handle) are void; notification objects stay.
 *
 * @param driver      not closed
 * @param deadline_ns absolute deadline for somebody to be there; resetting a device that does answer takes at
 *                    most a control call more
 * @param error       filled on failure, may be NULL
 * @retval L4VIO_OK        reconnected, and reset
 * @retval L4VIO_EPIPE     not connected; or the new peer is gone already: may be called again
 * @retval L4VIO_ETIMEDOUT nobody came in time, or whoever came does not answer: may be called again
 * @retval L4VIO_ENODEV    another device, left alone: of another class, with fewer queues or notification
 *                         indexes, or without a feature that is in use (value: its number): may be called again
 * @retval L4VIO_ENOSYS    this transport cannot reconnect
 * @return else as the transport's own connecting
 */
int l4vio_driver_reconnect(struct l4vio_driver *driver, uint64_t deadline_ns,
                           struct l4vio_error *error);

/**
 * Ends the connection: resets the device if it answers, closes the transport, gives back
 * notifications that the library created and forgets regions (those it allocated are freed) and
 * queues. l4vio_queue_detach works afterwards. Safe to call twice.
 *
 * @param driver any state
 */
void l4vio_driver_disconnect(struct l4vio_driver *driver);

#ifdef __cplusplus
}
#endif

#include "driver_wait.h"
#endif
