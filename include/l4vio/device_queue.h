/* SPDX-License-Identifier: MIT */
/**
 * @file device_queue.h
 * The device's side of a virtqueue, split or packed: takes chains, checks every number in them, hands
 * results back. `features` of the configuration chooses format and ring features.
 *
 * The available ring and the descriptors belong to a driver that may do anything at any time: each
 * value is read once into a local and checked. A head, next index or buffer id out of range (S1), a
 * chain longer than the queue (S3, so a cycle ends), 2^32 bytes or more in all (S3), an address
 * outside registered memory, a readable descriptor after a writable one (S5), an indirect table where
 * none is allowed or nested (S4), or more chains in flight and available than the queue has entries
 * breaks the queue: sticky until it is set up again. Packed: so does a chain of which a later
 * descriptor is not available when its first one is. With IN_ORDER: so does a head or id that is in
 * flight already; without, the driver gets what it asked for, twice.
 *
 * The specification allows a chain of exactly 2^32 bytes; here the limit is one byte less, which is
 * what the length of a used element can say. Chain length counts buffers: the entries of an indirect
 * table, not the descriptor that points to it. A descriptor of length 0 counts and has no segment.
 * Packed: where the limit of a table is up to the device, it is the larger one of queue size and
 * `segments_max`; of the flags of its entries only WRITE has a meaning.
 *
 * Threads: one thread at a time per queue.
 */
#ifndef L4VIO_DEVICE_QUEUE_H
#define L4VIO_DEVICE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device_inflight.h"
#include "device_log.h"
#include "device_memory.h"
#include "error.h"
#include "features.h"
#include "trace.h"
#include "virtqueue.h"
#include "wire/ring.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A piece of a chain, translated. */
struct l4vio_device_segment {
    void *base;            /**< Local address. */
    uint64_t length_bytes; /**< Its length. */
};

/** A chain taken from the queue. */
struct l4vio_device_chain {
    uint16_t head;           /**< To hand back: head of the chain, packed: buffer id. */
    uint16_t entries;        /**< To hand back: ring entries that it takes. */
    uint16_t readable;       /**< Number of readable segments, which come first. */
    uint16_t writable;       /**< Number of writable segments. */
    uint64_t readable_bytes; /**< Their sum. */
    uint64_t writable_bytes; /**< Their sum; below 2^32 with the readable ones. */
    struct l4vio_device_segment *segments; /**< The caller's array, filled. */
};

/** A result. */
struct l4vio_device_used {
    uint16_t head;          /**< Of the chain. */
    uint16_t entries;       /**< Of the chain. */
    uint32_t written_bytes; /**< Bytes written to the writable segments. */
};

struct l4vio_device_queue_slot;

/** Counters of a device queue. */
struct l4vio_device_queue_counters {
    uint64_t taken;                    /**< Chains taken. */
    uint64_t finished;                 /**< Chains shown to the driver as used. */
    uint64_t notifications_sent;       /**< Notifications to the driver. */
    uint64_t notifications_suppressed; /**< Notifications that the driver did not want. */
    uint64_t kicks;                    /**< Kicks seen: l4vio_device_queue_kicked. */
    uint64_t broken;                   /**< Times that the queue was broken. */
    uint64_t wrong_kicks;              /**< Kicks whose data did not fit the ring. */
    uint64_t refused_results;          /**< Results of chains that were not in flight. */
    uint64_t reserved[2];              /**< 0. */
};

/**
 * Where a queue goes on that others have worked on before, as l4vio_device_queue_position says it. Zero what is not
 * used.
 *
 * Positions are split: free-running indexes, any will do; packed: bits 0 to 14 the place in the ring, below its size,
 * bit 15 the round (wrap counter), 1 in the first one.
 *
 * If `used` is behind `avail` and there is no record of what is in flight, somebody took chains that nobody will
 * finish: these are for the driver to make available again.
 */
struct l4vio_device_queue_resume {
    uint16_t avail;    /**< Where the next chain is taken. */
    uint16_t used;     /**< Where the next used entry is written. */
    bool used_in_ring; /**< Split: not `used` but what the used ring says. */
    /**
     * Memory for the record of what is in flight (device_inflight.h), aligned to L4VIO_DEVICE_INFLIGHT_ALIGN;
     * borrowed while the queue is set up. NULL: no record.
     */
    void *in_flight;
    uint64_t in_flight_bytes; /**< At least l4vio_device_inflight_bytes of the size. */
    /** `size` private records, caller-owned while the queue is set up, for `in_flight`. */
    struct l4vio_device_inflight_slot *in_flight_slots;
    uint64_t reserved[4]; /**< 0. */
};

/** How a queue is set up; addresses are the driver's device addresses. */
struct l4vio_device_queue_config {
    uint32_t index;                  /**< Queue index. */
    uint16_t size;                   /**< Entries: 1 to 32768; a power of two if split. */
    uint64_t desc_address;           /**< Descriptor table; packed: descriptor ring. */
    uint64_t avail_address;          /**< Available ring; packed: the driver's event suppression. */
    uint64_t used_address;           /**< Used ring; packed: the device's event suppression. */
    const struct l4vio_trace *trace; /**< Hook or NULL. */
    /**
     * What was negotiated. RING_PACKED, EVENT_IDX, INDIRECT_DESC, IN_ORDER, ORDER_PLATFORM and
     * NOTIFICATION_DATA matter.
     */
    struct l4vio_features features;
    /** `size` private records, caller-owned, for IN_ORDER; may be NULL without it. */
    struct l4vio_device_queue_slot *slots;
    const struct l4vio_device_queue_resume *resume; /**< Where to go on; NULL: at the beginning. */
    uint64_t reserved[3];                           /**< 0. */
};

/** Private record per ring entry. The caller provides the memory, the library the content. */
struct l4vio_device_queue_slot {
    uint32_t writable_bytes; /**< By place in the ring: of the chain that was taken there. */
    uint32_t written_bytes;  /**< Once finished. */
    uint16_t head;           /**< Of the chain. */
    uint16_t entries;        /**< Of the chain. */
    uint16_t state;          /**< Free, taken, finished. */
    uint16_t place;          /**< By head: the place where its chain was taken. */
};

struct l4vio_device_queue;
struct l4vio_device_ring;

/**
 * Calls of a queue that depend on format, features and health, private to the library: chosen once by
 * l4vio_device_queue_init, replaced when the queue breaks or is disabled. So the hot path asks nothing.
 */
struct l4vio_device_queue_ops {
    /** l4vio_device_queue_next. */
    int (*next)(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                struct l4vio_device_segment *segments, unsigned segments_max);
    /** l4vio_device_queue_finish. */
    void (*finish)(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                   unsigned count);
    /** l4vio_device_queue_has_avail. */
    bool (*has_avail)(const struct l4vio_device_queue *queue);
};

/**
 * The device's side of a virtqueue. Caller-allocated; private. What a chain touches comes first, in
 * one cache line where lines are 64 bytes.
 */
struct l4vio_device_queue {
    const struct l4vio_device_queue_ops
        *ops;          /**< Of the format, or those of a queue out of work. */
    void *desc;        /**< Shared: descriptor area; packed: written, too. */
    const void *avail; /**< Shared, read only: driver area. */
    void *used;        /**< Shared, written only: device area. */
    const struct l4vio_device_region *region; /**< Where the last address was found. */
    uint16_t size;                            /**< Entries; 0: not set up. */
    uint16_t avail_index;       /**< Next available entry to look at; packed: its place. */
    uint16_t seen_index;        /**< Split: value of avail.idx when last read. */
    uint16_t used_index;        /**< Next used entry to write; packed: its place. */
    uint16_t in_flight;         /**< Chains taken and not handed back. */
    uint16_t in_flight_entries; /**< Packed: their descriptors. */
    uint16_t avail_bits;    /**< Packed: AVAIL and USED of what is available at `avail_index`. */
    uint16_t used_bits;     /**< Packed: AVAIL and USED of what is used at `used_index`. */
    uint32_t unannounced;   /**< Entries used since the last decision to notify. */
    bool indirect;          /**< INDIRECT_DESC is negotiated. */
    bool event_idx;         /**< EVENT_IDX is negotiated. */
    bool order_platform;    /**< ORDER_PLATFORM is negotiated. */
    bool notification_data; /**< NOTIFICATION_DATA is negotiated. */
    struct l4vio_device_queue_slot *slots;       /**< With IN_ORDER: private records. */
    const struct l4vio_device_memory *memory;    /**< For translation. */
    const struct l4vio_dirty_log *log;           /**< What is written is marked here; NULL: not. */
    struct l4vio_device_queue_counters counters; /**< Counters. */
    const struct l4vio_device_ring *ring;        /**< Ring code of the format. */
    bool kicks_off;                              /**< What the driver was told last. */
    uint16_t kick_index;                         /**< EVENT_IDX: the entry that it is to kick at. */
    int broken;                                  /**< 0 or the sticky code. */
    struct l4vio_error broken_error;             /**< Why. */
    uint32_t index;                              /**< Queue index. */
    const struct l4vio_trace *trace;             /**< Hook or NULL. */
    bool held;                                   /**< Nothing is taken. */
    bool log_used;                               /**< What is written to the ring is logged... */
    uint64_t log_used_address;                   /**< ...as if the used ring were here. */
    const struct l4vio_device_queue_ops *logged_ops; /**< Then: those that are logged. */
    struct l4vio_device_inflight inflight;           /**< Record of what is in flight. */
    uint64_t reserved[8];                            /**< Room to grow. */
};

/**
 * Sets a queue up: translates its areas and starts at index 0, or where `resume` says. There may be something in
 * the ring then that no kick will announce, and used entries that no notification has announced.
 * @param queue  caller-allocated
 * @param config copied
 * @param memory the driver's memory; must stay unchanged while the queue is in use
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     set up
 * @retval L4VIO_EINVAL bad size or alignment, IN_ORDER or in-flight record without slots, a position outside the
 *                      ring, a record that does not fit the ring
 * @retval L4VIO_EFAULT an area outside registered memory
 */
int l4vio_device_queue_init(struct l4vio_device_queue *queue,
                            const struct l4vio_device_queue_config *config,
                            const struct l4vio_device_memory *memory, struct l4vio_error *error);

/**
 * Forgets the driver's memory: nothing is touched afterwards, every call finds the queue empty.
 * @param queue the queue
 */
void l4vio_device_queue_disable(struct l4vio_device_queue *queue);

/**
 * Tells where the queue stands, for l4vio_device_queue_resume: where it would take the next chain and write the next
 * used entry. What is in flight lies between the two. Says it of a queue that was disabled, too, until it is set up
 * again.
 * @param queue the queue
 * @param avail filled, may be NULL
 * @param used  filled, may be NULL
 */
void l4vio_device_queue_position(const struct l4vio_device_queue *queue, uint16_t *avail,
                                 uint16_t *used);

/**
 * Chains that were taken and not handed back, and those of a predecessor that wait to be taken.
 * @param queue the queue
 * @return their number
 */
static inline unsigned l4vio_device_queue_in_flight(const struct l4vio_device_queue *queue)
{
    return queue->in_flight;
}

/**
 * Lets the queue seem empty, so that its device takes nothing more, but finishes what it has taken; or lets it go on:
 * then somebody has to look at the ring, whatever was kicked meanwhile. No thread may work on the queue during
 * the call. Setting it up lets it go.
 * @param queue the queue
 * @param held  whether to hold it
 */
void l4vio_device_queue_hold(struct l4vio_device_queue *queue, bool held);

/**
 * Tells whether the queue is set up and not broken.
 * @param queue the queue
 * @return whether it is usable
 */
static inline bool l4vio_device_queue_ready(const struct l4vio_device_queue *queue)
{
    return queue->size != 0 && !queue->broken;
}

/**
 * Takes the next chain, checked and translated.
 * @param queue        the queue
 * @param chain        filled
 * @param segments     the caller's array for the translated segments
 * @param segments_max its length; a longer chain breaks the queue, so give what seg_max promises
 * @return 1 a chain was taken, 0 there is none, L4VIO_EBADPROTO the queue is broken
 */
inline int l4vio_device_queue_next(struct l4vio_device_queue *queue,
                                   struct l4vio_device_chain *chain,
                                   struct l4vio_device_segment *segments, unsigned segments_max)
{
    return queue->ops->next(queue, chain, segments, segments_max);
}

/**
 * Puts the chain that was taken last back: it will be taken again, read and checked anew. Several go
 * back one by one, the last one first.
 * @param queue the queue
 * @param chain as it was taken, not finished
 * @return 0 or L4VIO_EINVAL if no such chain is out
 */
int l4vio_device_queue_rewind(struct l4vio_device_queue *queue,
                              const struct l4vio_device_chain *chain);

/**
 * Hands chains back and shows them to the driver at once: in the given order, or with IN_ORDER in the
 * order in which they were taken, whatever the order of the calls. A result then waits until all
 * chains before it are finished, and one used entry may stand for several chains.
 *
 * Results beyond the chains in flight are refused and counted: after l4vio_device_queue_disable all
 * are. With IN_ORDER so is each result of a chain that is not in flight or was finished before.
 * @param queue the queue
 * @param used  results
 * @param count number of results
 */
inline void l4vio_device_queue_finish(struct l4vio_device_queue *queue,
                                      const struct l4vio_device_used *used, unsigned count)
{
    queue->ops->finish(queue, used, count);
}

/**
 * Marks the writable part of a chain in the log of its queue, which has one. For l4vio_device_chain_used.
 * @param queue the queue
 * @param chain as taken
 */
void l4vio_device_chain_log(const struct l4vio_device_queue *queue,
                            const struct l4vio_device_chain *chain);

/**
 * The result of a chain, with everything that has to be handed back. Everything that the device writes to it was written:
 * if the driver's memory is logged, the whole writable part is marked as written, which the segments must say as
 * they did when the chain was taken.
 * @param queue         which the chain was taken from
 * @param chain         as taken
 * @param written_bytes bytes written to its writable segments
 * @return the result
 */
static inline struct l4vio_device_used l4vio_device_chain_used(
    const struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain,
    uint32_t written_bytes)
{
    struct l4vio_device_used used = {chain->head, chain->entries, written_bytes};
    if (__builtin_expect(queue->log != NULL, 0))
        l4vio_device_chain_log(queue, chain);
    return used;
}

/**
 * Tells whether the driver wants a notification for what was finished since the last call; the full
 * barrier is inside.
 * @param queue the queue
 * @return whether to notify
 */
bool l4vio_device_queue_needs_notify(struct l4vio_device_queue *queue);

/**
 * Looks whether the available ring has something. A queue that is broken or not set up has not.
 * @param queue the queue
 * @return whether there is something to take
 */
inline bool l4vio_device_queue_has_avail(const struct l4vio_device_queue *queue)
{
    return queue->ops->has_avail(queue);
}

/**
 * Asks for kicks and looks again, with a full barrier in between (S6).
 * @param queue the queue
 * @return true if there is something already: do not sleep
 */
bool l4vio_device_queue_arm(struct l4vio_device_queue *queue);

/**
 * Asks for no kicks: while polling.
 * @param queue the queue
 */
void l4vio_device_queue_disarm(struct l4vio_device_queue *queue);

/**
 * Counts a kick and checks what it carries (section 2.9). Only a hint: what is available is read from
 * the ring, so wrong data never harms.
 * @param queue the queue
 * @param data  as the driver gave it: the queue index, and with NOTIFICATION_DATA in the upper half
 *              where the next available entry will be
 * @return whether the data fit the ring; the queue may be looked at in any case
 */
bool l4vio_device_queue_kicked(struct l4vio_device_queue *queue, uint32_t data);

/**
 * Copies from the readable segments of a chain.
 * @param chain        the chain
 * @param offset_bytes first byte, counted over the readable segments
 * @param out          filled
 * @param length_bytes number of bytes
 * @return bytes copied: fewer if the chain is shorter
 */
uint64_t l4vio_device_chain_read(const struct l4vio_device_chain *chain, uint64_t offset_bytes,
                                 void *out, uint64_t length_bytes);

/**
 * Copies into the writable segments of a chain.
 * @param chain        the chain
 * @param offset_bytes first byte, counted over the writable segments
 * @param data         read
 * @param length_bytes number of bytes
 * @return bytes copied: fewer if the chain is shorter
 */
uint64_t l4vio_device_chain_write(const struct l4vio_device_chain *chain, uint64_t offset_bytes,
                                  const void *data, uint64_t length_bytes);

#ifdef __cplusplus
}
#endif
#endif
