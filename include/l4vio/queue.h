/* SPDX-License-Identifier: MIT */
/**
 * @file queue.h
 * The driver's side of a virtqueue, buffer level: batches of requests in, batches of completions out.
 * descriptors.h has the descriptor level of the seed over the same state. Both ring formats, split and
 * packed, and every ring feature are behind the same calls: `features` of the configuration chooses.
 *
 * Everything the driver decides by is private: free lists, indexes, in-flight records lie in the
 * caller's private memory (`slots`), never in the ring. Shared memory is written for the device and
 * not read back; what the device writes is read once and checked.
 *
 * A used id that is out of range or not in flight, or a used index that runs ahead, breaks the
 * queue: every later call returns L4VIO_EBADPROTO until l4vio_queue_initialize_rings. A used length above
 * the writable size of the chain is clamped and counted, in strict mode it breaks the queue.
 *
 * A request that is added and not published counts as not in flight, with one exception: a split queue
 * without IN_ORDER has no record of which those are. There a device that lies may have such a one
 * completed in the place of one that it has, though never more in all than were published. So publish
 * before taking completions where that matters.
 *
 * Threads: one thread at a time per queue; different queues are independent.
 */
#ifndef L4VIO_QUEUE_H
#define L4VIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "features.h"
#include "trace.h"
#include "virtqueue.h"
#include "wire/ring.h"

#ifdef __cplusplus
extern "C" {
#endif

struct l4vio_driver;
struct l4vio_descriptor;
struct l4vio_queue;
struct l4vio_ring_format;

/** One contiguous piece of a request, by device address. */
struct l4vio_buffer {
    uint64_t address;      /**< Device address of the first byte. */
    uint32_t length_bytes; /**< At least 1. */
    uint32_t reserved;     /**< 0. */
};

/**
 * One request: `readable` buffers that the device reads, then `writable` buffers that it writes.
 * Caller-owned; not referenced after l4vio_queue_add returns.
 */
struct l4vio_request {
    const struct l4vio_buffer *buffers; /**< `readable + writable` buffers, readable ones first. */
    uint16_t readable;                  /**< Number of device-readable buffers. */
    uint16_t writable;                  /**< Number of device-writable buffers. */
    void *cookie;                       /**< Handed back on completion. Any value. */
};

/** One completed request. */
struct l4vio_completion {
    void *cookie;          /**< The request's. */
    uint32_t length_bytes; /**< Bytes written by the device, at most the writable size. */
};

/** Private record per queue entry: 16 bytes. The caller provides the memory, the library the content. */
struct l4vio_queue_slot {
    union {
        void *cookie; /**< Buffer level: of the request whose head this entry is. */
        struct {
            uint16_t id;     /**< Descriptor level: private head id of the chain at this entry. */
            uint16_t link;   /**< Descriptor level: state or list link of private id. */
            uint32_t length; /**< Descriptor level: length of a kept completion. */
        } descriptor;        /**< Descriptor level. */
        uint64_t force_size; /**< Makes the union 8 bytes on every machine. */
    } u;                     /**< Level-dependent part. */
    uint32_t writable_bytes; /**< Writable size of the chain whose head this is. */
    uint32_t link;           /**< Low half: next entry of chain or free list. High half: entries of
                                  the chain, 0: not the head of a chain in flight. */
};

/** Counters of a queue, by l4vio_queue_counters. They only grow (and wrap). */
struct l4vio_queue_counters {
    uint64_t added;            /**< Requests made available. */
    uint64_t completed;        /**< Requests handed back. */
    uint64_t kicks_sent;       /**< Notifications sent to the device. */
    uint64_t kicks_suppressed; /**< Notifications that the device did not want. */
    uint64_t wakeups;          /**< Returns from sleep. */
    uint64_t spurious_wakeups; /**< Of these, with nothing in the used ring. */
    uint64_t clamped_lengths;  /**< Used lengths above the writable size. */
    uint64_t broken;           /**< Times that the queue was broken. */
    uint64_t reserved[4];      /**< 0. */
};

/**
 * Memory for indirect tables (INDIRECT_DESC): one table per ring entry, so that every request in
 * flight has one and none is ever allocated. A request of 2 to `entries` buffers goes into a table and
 * takes one entry of the ring; a longer one takes a chain of entries, as without tables.
 */
struct l4vio_indirect_tables {
    void *memory; /**< `size * entries * 16` bytes, local address, aligned to 16; or NULL. */
    uint64_t device_address; /**< Device address of the first byte. */
    uint16_t entries;        /**< Descriptors per table: 2 to the size of the queue. */
    uint16_t reserved[3];    /**< 0. */
};

/**
 * How to set a queue up. Zero what is not used.
 *
 * The three areas are those of the split format. With RING_PACKED `desc` is the descriptor ring,
 * `avail` the driver's and `used` the device's event suppression area, 4 bytes each aligned to 4; the
 * specification calls them descriptor area, driver area and device area in both formats.
 */
struct l4vio_queue_config {
    uint32_t index;                 /**< Queue index at the device. */
    uint16_t size;                  /**< Entries: 1 to 32768; a power of two if split. */
    bool strict;                    /**< A used length above the writable size breaks the queue. */
    void *desc;                     /**< Descriptor table, local address, aligned to 16. */
    void *avail;                    /**< Available ring, local address, aligned to 2. */
    void *used;                     /**< Used ring, local address, aligned to 4. */
    uint64_t desc_address;          /**< Device address of the descriptor table. */
    uint64_t avail_address;         /**< Device address of the available ring. */
    uint64_t used_address;          /**< Device address of the used ring. */
    struct l4vio_queue_slot *slots; /**< `size` private records, caller-owned, outlive the queue. */
    struct l4vio_descriptor
        *descriptors;                /**< `size` shadow descriptors for the descriptor level, or
                                               NULL for the buffer level. Never both on one queue. */
    uint16_t driver_notify_index;    /**< Notification index, device to driver. */
    uint16_t device_notify_index;    /**< Notification index, driver to device. */
    const struct l4vio_trace *trace; /**< Trace hook, or NULL. */
    /**
     * What was negotiated, e.g. l4vio_driver_features. RING_PACKED, EVENT_IDX, IN_ORDER,
     * ORDER_PLATFORM and NOTIFICATION_DATA change how the queue works; other bits do not matter here.
     */
    struct l4vio_features features;
    /** Used if INDIRECT_DESC is in `features`; not with the descriptor level. */
    struct l4vio_indirect_tables indirect;
    uint64_t reserved[4]; /**< 0. */
};

/**
 * Calls of a queue that depend on format, features, level and health, private to the library: chosen
 * once by l4vio_queue_init, replaced by refusals when the queue breaks. So the hot path asks nothing.
 */
struct l4vio_queue_ops {
    /** l4vio_queue_add. */
    int (*add)(struct l4vio_queue *queue, const struct l4vio_request *requests, unsigned count);
    /** l4vio_queue_publish. */
    void (*publish)(struct l4vio_queue *queue);
    /** l4vio_queue_get_used. */
    int (*get_used)(struct l4vio_queue *queue, struct l4vio_completion *completions, unsigned max);
};

/**
 * The driver's side of a virtqueue. Caller-allocated; all fields are private to the library. What a
 * request touches comes first.
 */
struct l4vio_queue {
    struct l4vio_queue_ops ops;     /**< Of the format, or refusals. */
    void *desc;                     /**< Shared: descriptor area. */
    void *avail;                    /**< Shared, written only: driver area. */
    const void *used;               /**< Shared, read only: device area. */
    struct l4vio_queue_slot *slots; /**< Private records. */
    uint32_t mask;                  /**< Split: entries - 1. */
    uint32_t free_head;             /**< First free entry or id, in the way of the format. */
    /* Counts of requests since the rings were initialised. The low 16 bits are what the rings call
     * an index; so no call has to count besides. */
    uint64_t avail_index;     /**< Added. */
    uint64_t published_index; /**< Shown to the device. */
    uint64_t used_index;      /**< Handed back. */
    uint32_t extra_entries;   /**< Entries in flight above one per request. */
    /* Packed: a place in the ring in the lower half, and in the upper one the AVAIL and USED bits of the
     * round that it is in. */
    uint32_t next_avail;    /**< Of the next descriptor to write. */
    uint32_t next_used;     /**< Of the next descriptor to be used. */
    uint64_t avail_limit;   /**< Packed: avail_index of a full queue. */
    uint16_t held_place;    /**< Packed: place of the first descriptor that is not published. */
    uint16_t longest;       /**< Packed: most entries that a request ever had. */
    uint16_t hidden_count;  /**< Packed: requests not published that look as if not in flight. */
    uint16_t hidden_last;   /**< Id of the last of them. */
    uint16_t kick_place;    /**< Packed: next_avail at the last kick decision, bit 15: the round. */
    uint16_t size;          /**< Entries. */
    uint16_t detach_entry;  /**< Where l4vio_queue_detach goes on. */
    bool strict;            /**< See the configuration. */
    bool packed;            /**< RING_PACKED. */
    bool event_idx;         /**< EVENT_IDX. */
    bool in_order;          /**< IN_ORDER. */
    bool order_platform;    /**< ORDER_PLATFORM. */
    bool notification_data; /**< NOTIFICATION_DATA. */
    bool interrupts_off;    /**< Whether the device was last asked for no notifications. */
    bool live;              /**< The device may own memory of this queue. */
    bool kick_fetched;      /**< kick_handle is valid. */
    bool rings_used;        /**< A device has known these rings since they were initialised. */
    int broken;             /**< 0, or the sticky error code. */
    bool resumes;           /**< To be attached with its rings as they are. */
    bool detached; /**< A request was taken out of the rings that a device may find in them. */
    bool recorded; /**< The last device that knew these rings kept a record of what it took. */
    uint64_t kick_index;   /**< published_index at the last kick decision. */
    uint64_t armed_index;  /**< EVENT_IDX: used_index at the notification asked for last. */
    uint64_t in_order_end; /**< In order: completions known of, up to this request. */
    uint64_t held_word; /**< Packed: length, id and flags of the descriptor at held_place: written
                                 by publish. */
    uint32_t in_order_length; /**< Packed, in order: used length of the last one known of. */
    struct l4vio_descriptor *descriptors;   /**< Shadow descriptors or NULL. */
    uint16_t id_free_head;                  /**< Descriptor level: first free private id. */
    uint16_t kept_head;                     /**< Descriptor level: first kept completion. */
    uint16_t kept_tail;                     /**< Descriptor level: last kept completion. */
    uint16_t driver_notify_index;           /**< Device to driver. */
    uint16_t device_notify_index;           /**< Driver to device. */
    const struct l4vio_ring_format *format; /**< Ring code of the format. */
    struct l4vio_indirect_tables indirect;  /**< Or memory NULL. */
    struct l4vio_error broken_error;        /**< Why. */
    uint32_t index;                         /**< Queue index at the device. */
    uint64_t desc_address;                  /**< Device address. */
    uint64_t avail_address;                 /**< Device address. */
    uint64_t used_address;                  /**< Device address. */
    struct l4vio_queue *next;               /**< Driver's list of attached queues. */
    const struct l4vio_trace *trace;        /**< Hook or NULL. */
    struct l4vio_queue_counters counters;   /**< `added` and `completed` but for the indexes above:
                                                 l4vio_queue_counters has the sums. */
    intptr_t kick_handle;                   /**< Driver to device, of this queue alone. */
    uint64_t reserved[6];                   /**< Room to grow. */
};

/**
 * Initialises a queue and writes every byte of its rings that a device may look at (B15).
 *
 * The seed's `init_queue`, both forms: with one block of memory take the addresses from
 * l4vio_virtqueue_layout.
 *
 * @param queue  caller-allocated
 * @param config copied
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     initialised, not yet known to the device
 * @retval L4VIO_EINVAL size 0, above 32768, or split and not a power of two (B16); an area missing or
 *                      not aligned; no slots; indirect tables missing entries or alignment, or with
 *                      the descriptor level
 */
int l4vio_queue_init(struct l4vio_queue *queue, const struct l4vio_queue_config *config,
                     struct l4vio_error *error);

/**
 * Puts a queue that is not live back to its first state: empty rings, all entries free, not broken.
 * Cookies in flight are forgotten: call l4vio_queue_detach first. The seed's `initialize_rings`.
 *
 * @param queue an initialised queue
 * @retval L4VIO_OK    done
 * @retval L4VIO_EBUSY the queue is live: reset the device or the queue first
 */
int l4vio_queue_initialize_rings(struct l4vio_queue *queue);

/**
 * Adds requests in order; the device sees them with the next l4vio_queue_publish.
 *
 * @param queue    a queue of the buffer level
 * @param requests array, not referenced afterwards
 * @param count    number of requests
 * @return the number added, which may be less than `count` when the queue fills up, or:
 * @retval L4VIO_EAGAIN    not even the first fits now; wait for room
 * @retval L4VIO_E2BIG     the first needs more entries than the queue has at all
 * @retval L4VIO_EINVAL    the first has no buffer, an empty buffer, or 2^32 bytes or more in all; or
 *                         the queue is one of the descriptor level
 * @retval L4VIO_EBADPROTO the queue is broken
 */
inline int l4vio_queue_add(struct l4vio_queue *queue, const struct l4vio_request *requests,
                           unsigned count)
{
    return queue->ops.add(queue, requests, count);
}

/**
 * Shows all added requests to the device, at once. Does nothing if there are none.
 * @param queue the queue
 */
inline void l4vio_queue_publish(struct l4vio_queue *queue)
{
    queue->ops.publish(queue);
}

/**
 * Tells whether the device wants a notification for what was published since the last call. The full
 * barrier of clause D-2.7.13.4.1-1 is inside (B4). Counts kicks_suppressed if not.
 * @param queue the queue
 * @return whether to notify the device
 */
bool l4vio_queue_needs_kick(struct l4vio_queue *queue);

/**
 * Takes completed requests.
 *
 * @param queue       a queue of the buffer level
 * @param completions filled
 * @param max         room in `completions`
 * @return number of completions, 0 if there is none now, or:
 * @retval L4VIO_EBADPROTO the queue is broken (completions before the bad one are still returned
 *                         first); l4vio_queue_broken_error says why
 * @retval L4VIO_EINVAL    the queue is one of the descriptor level
 */
inline int l4vio_queue_get_used(struct l4vio_queue *queue, struct l4vio_completion *completions,
                                unsigned max)
{
    return queue->ops.get_used(queue, completions, max);
}

/**
 * Looks whether the used ring has something that was not taken yet. A broken queue has.
 * @param queue the queue
 * @return whether l4vio_queue_get_used would return something other than 0
 */
bool l4vio_queue_has_used(const struct l4vio_queue *queue);

/**
 * Asks the device for a notification of the next completion and looks again, with a full barrier in
 * between. Sleep only if this returns false (B6).
 * @param queue the queue
 * @return true if there is something in the used ring already: do not sleep
 */
bool l4vio_queue_arm(struct l4vio_queue *queue);

/**
 * Asks the device for a notification only once `completions` more requests have been used, and looks
 * again. With EVENT_IDX; without it as l4vio_queue_arm. A device that has fewer in flight never gets
 * there, so what is in flight and published is the most that is asked for. A packed ring counts entries:
 * if requests in flight have different numbers of them, the notification may come after fewer requests,
 * never after more of those that are in flight now. If shorter ones are added, ask again.
 * @param queue       the queue
 * @param completions at least 1
 * @return true if so many are in the used ring already, or the device is past the place where it was
 *         asked for a notification: do not sleep
 */
bool l4vio_queue_arm_after(struct l4vio_queue *queue, unsigned completions);

/**
 * Asks the device for no notifications: for polling. A hint only.
 * @param queue the queue
 */
void l4vio_queue_disarm(struct l4vio_queue *queue);

/**
 * Tells what was last asked for. The seed's `no_notify_guest`.
 * @param queue the queue
 * @return whether the device was asked for no notifications
 */
static inline bool l4vio_queue_is_disarmed(const struct l4vio_queue *queue)
{
    return queue->interrupts_off;
}

/**
 * Tells whether the device currently asks for no kicks. The seed's `no_notify_host`. For a decision
 * whether to kick use l4vio_queue_needs_kick, which has the barrier.
 * @param queue the queue
 * @return whether the device asks for no kicks
 */
bool l4vio_queue_device_disarmed(const struct l4vio_queue *queue);

/**
 * After a reset of the device or of this queue, or once the connection has ended: hands back the
 * cookies of requests that were in flight, in no special order. Call until it returns 0.
 *
 * @param queue   the queue
 * @param cookies filled
 * @param max     room in `cookies`
 * @return number of cookies, or:
 * @retval L4VIO_EBUSY the queue is live: the device may still own the memory (B8)
 */
int l4vio_queue_detach(struct l4vio_queue *queue, void **cookies, unsigned max);

/**
 * Instead of l4vio_queue_detach and l4vio_queue_initialize_rings, after l4vio_driver_reconnect: the queue is
 * to be attached again with its rings as they are, because the new peer has a record of what the last
 * one had taken (`tracks_in_flight` of the transport's properties). Requests in flight stay in flight: those
 * that were taken and not finished are finished by the new peer, those that were not taken are taken by it.
 * The record is one for all queues of a device: either all of them are resumed, or none is.
 * Requests that are added and not published stay so.
 *
 * Completions come first: take them until there are none, so that the place where the next one is to come
 * is known. A notification is owed for what is in flight; l4vio_driver_notify sends it.
 *
 * @param queue a queue that is not live
 * @retval L4VIO_OK        attach it next
 * @retval L4VIO_EBUSY     the queue is live
 * @retval L4VIO_EAGAIN    there are completions to take first
 * @retval L4VIO_EINVAL    requests were detached, or no device has known the queue, or the last one had no
 *                         record of requests in flight, or it was reset
 * @retval L4VIO_EBADPROTO the queue is broken
 */
int l4vio_queue_resume(struct l4vio_queue *queue);

/**
 * Free entries: a request of up to that many l4vio_queue_entries fits now.
 * @param queue the queue
 * @return entries
 */
static inline unsigned l4vio_queue_room(const struct l4vio_queue *queue)
{
    return queue->size - (uint32_t)(queue->avail_index - queue->used_index) - queue->extra_entries;
}

/**
 * Entries of the ring that a request takes: one if it goes into an indirect table, else one per buffer.
 * @param queue   the queue, of the buffer level
 * @param buffers of the request, at least 1
 * @return entries
 */
static inline unsigned l4vio_queue_entries(const struct l4vio_queue *queue, unsigned buffers)
{
    return queue->indirect.memory && buffers <= queue->indirect.entries ? 1 : buffers;
}

/**
 * Requests that the device owns (added and not taken back).
 * @param queue the queue
 * @return requests
 */
static inline unsigned l4vio_queue_in_flight(const struct l4vio_queue *queue)
{
    return (unsigned)(queue->avail_index - queue->used_index);
}

/**
 * Number of entries. The seed's `num`.
 * @param queue the queue
 * @return entries
 */
static inline uint16_t l4vio_queue_size(const struct l4vio_queue *queue)
{
    return queue->size;
}

/**
 * Index of the next request to be made available, with what is not published yet. The seed's avail
 * index getter; private state, never read back from shared memory (T2).
 * @param queue the queue
 * @return free-running index
 */
static inline uint16_t l4vio_queue_avail_index(const struct l4vio_queue *queue)
{
    return (uint16_t)queue->avail_index;
}

/**
 * Tells whether the device knows this queue. The seed's `ready`.
 * @param queue the queue
 * @return whether it is live
 */
static inline bool l4vio_queue_ready(const struct l4vio_queue *queue)
{
    return queue->live;
}

/**
 * What a kick of this queue carries (section 2.9): the queue index, and with NOTIFICATION_DATA the
 * place of the next request in the upper half.
 * @param queue the queue
 * @return the value for the transport
 */
uint32_t l4vio_queue_kick_data(const struct l4vio_queue *queue);

/**
 * Why a queue is broken.
 * @param queue the queue
 * @param error filled if it is broken
 * @return 0 if it is not broken, else the error code
 */
int l4vio_queue_broken_error(const struct l4vio_queue *queue, struct l4vio_error *error);

/**
 * The counters of a queue, as they are now. Any thread may ask.
 * @param queue    the queue
 * @param counters filled
 */
void l4vio_queue_counters(const struct l4vio_queue *queue, struct l4vio_queue_counters *counters);

/** One field of a dump. */
struct l4vio_queue_dump_line {
    const char *name; /**< Static name of the field. */
    uint64_t value;   /**< Its value. */
};

/**
 * The state of a queue as names and numbers, for logs (the seed's `dump`; this library prints
 * nothing itself).
 * @param queue the queue
 * @param lines filled
 * @param max   room in `lines`; 24 is enough
 * @return number of lines filled
 */
unsigned l4vio_queue_dump(const struct l4vio_queue *queue, struct l4vio_queue_dump_line *lines,
                          unsigned max);

#ifdef __cplusplus
}
#endif
#endif
