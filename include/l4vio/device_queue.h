/* SPDX-License-Identifier: MIT */
/**
 * @file device_queue.h
 * The device's side of a virtqueue, split or packed: takes chains, checks every number in them, hands
 * results back. `features` of the configuration chooses format and ring features.
 *
 * The available ring and the descriptors belong to a driver that may do anything at any time: each
 * value is read once into a local and checked. A head or next index out of range (S1), a chain longer
 * than the queue (S3, so a cycle ends), 2^32 bytes or more in all (S3), an address outside registered
 * memory, a readable descriptor after a writable one (S5), an indirect table where none is allowed or
 * nested (S4), or more chains in flight and available than the queue has entries breaks the queue:
 * sticky until it is set up again.
 *
 * The specification allows a chain of exactly 2^32 bytes; here the limit is one byte less, which is
 * what the length of a used element can say. Chain length counts buffers: the entries of an indirect
 * table, not the descriptor that points to it. A descriptor of length 0 counts and has no segment.
 *
 * Threads: one thread at a time per queue.
 */
#ifndef L4VIO_DEVICE_QUEUE_H
#define L4VIO_DEVICE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

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

/**
 * The result of a chain, with everything that has to be handed back.
 * @param chain         as taken
 * @param written_bytes bytes written to its writable segments
 * @return the result
 */
static inline struct l4vio_device_used l4vio_device_chain_used(
    const struct l4vio_device_chain *chain, uint32_t written_bytes)
{
    struct l4vio_device_used used = {chain->head, chain->entries, written_bytes};
    return used;
}

struct l4vio_device_queue_slot;

/** Counters of a device queue. */
struct l4vio_device_queue_counters {
    uint64_t taken;                    /**< Chains taken. */
    uint64_t finished;                 /**< Chains handed back. */
    uint64_t notifications_sent;       /**< Notifications to the driver. */
    uint64_t notifications_suppressed; /**< Notifications that the driver did not want. */
    uint64_t kicks;                    /**< Kicks seen, counted by whoever waits for them. */
    uint64_t broken;                   /**< Times that the queue was broken. */
    uint64_t reserved[4];              /**< 0. */
};

/** How a queue is set up; addresses are the driver's device addresses. */
struct l4vio_device_queue_config {
    uint32_t index;                  /**< Queue index. */
    uint16_t size;                   /**< Entries; a power of two if split. */
    uint64_t desc_address;           /**< Descriptor table. */
    uint64_t avail_address;          /**< Available ring. */
    uint64_t used_address;           /**< Used ring. */
    const struct l4vio_trace *trace; /**< Hook or NULL. */
    /** What was negotiated. RING_PACKED, EVENT_IDX, INDIRECT_DESC, IN_ORDER and ORDER_PLATFORM matter. */
    struct l4vio_features features;
    /** `size` private records, caller-owned, for IN_ORDER; may be NULL without it. */
    struct l4vio_device_queue_slot *slots;
    uint64_t reserved[4]; /**< 0. */
};

/** Private record per ring entry. The caller provides the memory, the library the content. */
struct l4vio_device_queue_slot {
    uint32_t writable_bytes; /**< Of the chain taken at this place in the order. */
    uint32_t written_bytes;  /**< Once finished. */
    uint16_t head;           /**< Of the chain. */
    uint16_t entries;        /**< Of the chain. */
    uint16_t state;          /**< Free, taken, finished. */
    uint16_t place;          /**< By head: place in the order. */
};

/** The device's side of a virtqueue. Caller-allocated; private. */
struct l4vio_device_queue {
    const struct virtq_desc *desc;            /**< Shared, read only. */
    const struct virtq_avail *avail;          /**< Shared, read only. */
    struct virtq_used *used;                  /**< Shared, written only. */
    const struct l4vio_device_memory *memory; /**< For translation. */
    uint16_t size;                            /**< Entries; 0: not set up. */
    uint16_t avail_index;                     /**< Next available entry to look at. */
    uint16_t seen_index;                      /**< Value of avail.idx when last read. */
    uint16_t used_index;                      /**< Next used entry to write. */
    uint16_t published_index;                 /**< Value in used.idx. */
    uint16_t notify_index;           /**< Value in used.idx at the last decision to notify. */
    uint16_t in_flight;              /**< Chains taken and not handed back. */
    bool indirect;                   /**< INDIRECT_DESC is negotiated. */
    bool kicks_off;                  /**< What was last written to used.flags. */
    int broken;                      /**< 0 or the sticky code. */
    struct l4vio_error broken_error; /**< Why. */
    uint32_t index;                  /**< Queue index. */
    const struct l4vio_trace *trace; /**< Hook or NULL. */
    struct l4vio_device_queue_counters counters; /**< Counters. */
    uint64_t reserved[8];                        /**< Room to grow. */
};

/**
 * Sets a queue up: translates its areas and starts at index 0.
 * @param queue  caller-allocated
 * @param config copied
 * @param memory the driver's memory; must stay unchanged while the queue is in use
 * @param error  filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL bad size or alignment, L4VIO_EFAULT an area outside registered memory
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
int l4vio_device_queue_next(struct l4vio_device_queue *queue, struct l4vio_device_chain *chain,
                            struct l4vio_device_segment *segments, unsigned segments_max);

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
 * Hands chains back, in the given order, and shows them to the driver at once. More results than
 * chains are in flight are dropped: after l4vio_device_queue_disable all are.
 * @param queue the queue
 * @param used  results
 * @param count number of results
 */
void l4vio_device_queue_finish(struct l4vio_device_queue *queue,
                               const struct l4vio_device_used *used, unsigned count);

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
bool l4vio_device_queue_has_avail(const struct l4vio_device_queue *queue);

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
