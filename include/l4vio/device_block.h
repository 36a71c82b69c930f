/* SPDX-License-Identifier: MIT */
/**
 * @file device_block.h
 * The block device (VIRTIO 1.4, section 5.2) over a backing store: IN, OUT, FLUSH, GET_ID, DISCARD,
 * WRITE_ZEROES, several queues. One object per driver (client); several may share a store.
 *
 * Cache mode: each client has its own. Write-back: a write is durable after the client's next FLUSH;
 * a FLUSH makes durable what any client has completed. Write-through (writeback = 0, or FLUSH not
 * negotiated): each of this client's writes, discards and zeroings is followed by a flush of the store
 * before it completes. The mode of one client does not change that of another.
 *
 * Threads: as device.h; l4vio_device_block_process of different queues may run in different threads.
 */
#ifndef L4VIO_DEVICE_BLOCK_H
#define L4VIO_DEVICE_BLOCK_H

#include "block_backend.h"
#include "device.h"
#include "wire/block.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Data segments per request that the device accepts (seg_max). */
#define L4VIO_DEVICE_BLOCK_SEGMENTS_MAX 126u
/** Descriptors per request: header and status besides. */
#define L4VIO_DEVICE_BLOCK_CHAIN_MAX (L4VIO_DEVICE_BLOCK_SEGMENTS_MAX + 2u)
/** Largest DISCARD or WRITE_ZEROES, sectors per record. */
#define L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX 65536u
/** Range records per DISCARD or WRITE_ZEROES. */
#define L4VIO_DEVICE_BLOCK_RANGES_MAX 16u
/** Bytes of data after which l4vio_device_block_process takes no more requests: 4 MiB. */
#define L4VIO_DEVICE_BLOCK_TURN_BYTES (UINT64_C(4) << 20)

struct l4vio_device_block;

/** A request in work. Caller-allocated memory, private content. */
struct l4vio_device_block_request {
    struct l4vio_block_io io;                /**< Towards the store. */
    struct l4vio_device_block *block;        /**< Owner. */
    struct l4vio_device_block_request *next; /**< Free list, or list of finished ones. */
    uint8_t *status_byte;                    /**< In the driver's memory. */
    uint32_t queue;                          /**< Queue index. */
    uint32_t type;                           /**< Request type. */
    uint64_t sector;                         /**< From the header. */
    uint32_t range_count;                    /**< Records. */
    uint32_t range_index;                    /**< Record to do next. */
    uint32_t written_bytes;                  /**< For the used ring. */
    int result;                              /**< Of the store. */
    uint8_t status;                          /**< VIRTIO_BLK_S_ number. */
    bool submitting;                         /**< Inside the store's submit. */
    bool completed;                          /**< `result` came while `submitting`. */
    bool flushing;                           /**< Write-through: in the flush after the write. */
    struct l4vio_device_chain chain;         /**< The chain. */
    struct virtio_blk_range ranges[L4VIO_DEVICE_BLOCK_RANGES_MAX];      /**< Copied records. */
    struct l4vio_device_segment segments[L4VIO_DEVICE_BLOCK_CHAIN_MAX]; /**< Translated chain. */
};

/** Counters of a block device. */
struct l4vio_device_block_counters {
    uint64_t reads;         /**< Requests to read. */
    uint64_t writes;        /**< Requests to write. */
    uint64_t flushes;       /**< Requests to flush. */
    uint64_t discards;      /**< Requests to discard. */
    uint64_t zeroes;        /**< Requests to write zeroes. */
    uint64_t ids;           /**< Requests for the device's name. */
    uint64_t read_bytes;    /**< Data of the reads that succeeded. */
    uint64_t written_bytes; /**< Data of the writes that succeeded. */
    uint64_t errors;        /**< Requests with a status other than OK. */
};

/** Per queue. Caller-allocated array; private. */
struct l4vio_device_block_queue {
    struct l4vio_device_block_request *free;     /**< Free requests. */
    struct l4vio_device_block_request *finished; /**< To publish, oldest first. */
    struct l4vio_device_block_request **last;    /**< End of that list. */
    struct l4vio_device_block_request *requests; /**< Caller-owned array. */
    unsigned request_count;                      /**< Its length. */
    unsigned in_flight;                          /**< Requests taken and not published. */
    struct l4vio_block_lane *lane;               /**< The serving thread's way into the store. */
    bool processing;                             /**< Results are published at the end. */
    bool stopping;                               /**< Results are dropped. */
    struct l4vio_device_block_counters counters; /**< Of this queue. */
    uint64_t reserved[4];                        /**< Room to grow. */
};

/** How to make a block device. Zero what is not used. */
struct l4vio_device_block_config {
    struct l4vio_block_backend backend;            /**< The store. */
    bool read_only;                                /**< Offer RO even if the store is writable. */
    char id[VIRTIO_BLK_ID_BYTES];                  /**< Identity, NUL padded. */
    struct l4vio_device_queue_state *queue_states; /**< `queue_count`, caller-owned. */
    struct l4vio_device_block_queue *queues;       /**< `queue_count`, caller-owned. */
    uint32_t queue_count;                          /**< At least 1. */
    uint16_t queue_size_max;                       /**< A power of two; 0: 256. */
    struct l4vio_device_block_request *requests;   /**< `queue_count * requests_per_queue`. */
    unsigned requests_per_queue;                   /**< Requests in work per queue: at least 1. */
    struct l4vio_features refused;                 /**< Features not to offer. */
    /** Features of l4vio_ring_features to offer besides the usual ones. */
    struct l4vio_features added;
    struct l4vio_features required; /**< Features that a driver must accept: see device.h. */
    /** `queue_count * queue_size_max`, caller-owned; NULL: IN_ORDER is not offered. */
    struct l4vio_device_queue_slot *queue_slots;
    struct l4vio_device_region *regions; /**< See device.h. */
    unsigned region_count;               /**< See device.h. */
    uint64_t mapped_bytes_max;           /**< See device.h. */
    void (*release_region)(void *self,
                           const struct l4vio_device_region *region); /**< See device.h. */
    void *release_self;                                               /**< See device.h. */
    const struct l4vio_trace *trace;                                  /**< Hook or NULL. */
    uint32_t size_max_bytes; /**< Offer SIZE_MAX with this limit and hold drivers to it; 0: none. */
    uint32_t segments_max;   /**< Hold drivers to this seg_max; 0: offer the largest. */
    /** blk_size to offer: a power of two, 512 to 65536, that the store's size is a multiple of; 0: 512.
     *  Drivers keep to it, but any sector is served. */
    uint32_t logical_block_bytes;
    uint32_t reserved_word; /**< 0. */
    uint64_t reserved[2];   /**< 0. */
};

/** A block device as one driver sees it. Caller-allocated; private. */
struct l4vio_device_block {
    struct l4vio_device device;              /**< The device; give it to a port. */
    struct l4vio_device_block_config config; /**< As given. */
    struct virtio_blk_config blk_config;     /**< Private copy of the configuration. */
    bool read_only;                          /**< RO is offered. */
    uint64_t reserved[8];                    /**< Room to grow. */
};

/**
 * Initialises a block device in reset state.
 * @param block  caller-allocated
 * @param config copied; what it points to is borrowed
 * @param error  filled on failure, may be NULL
 * @return 0 or L4VIO_EINVAL (store size not a multiple of 512 or of the block size, counts of 0, limits out of range, `added`
 *         what there is not, `required` what is not offered)
 */
int l4vio_device_block_init(struct l4vio_device_block *block,
                            const struct l4vio_device_block_config *config,
                            struct l4vio_error *error);

/**
 * Gives a queue its lane into the store. Before requests arrive, from the thread that will serve it.
 * @param block the device
 * @param queue queue index
 * @param lane  from the store, or NULL if it needs none
 */
void l4vio_device_block_set_lane(struct l4vio_device_block *block, uint32_t queue,
                                 struct l4vio_block_lane *lane);

/**
 * Takes and starts up to `max` requests of a queue, fewer once these have
 * L4VIO_DEVICE_BLOCK_TURN_BYTES to move (large requests keep other queues waiting too), and finishes what the store has completed. Results
 * are published and the driver is notified at the end. Never blocks. Chains without room for the
 * status byte, or otherwise malformed, set DEVICE_NEEDS_RESET.
 *
 * With a store that completes later (lane_handle), call it too when the lane's handle is readable. If
 * queues share a lane, results of other queues are published as they come in.
 * @param block the device
 * @param queue queue index
 * @param max   most chains to take
 * @return number of chains taken; 0 if there was none (arm and sleep), or if every request is in work
 *         (l4vio_device_block_in_flight is `requests_per_queue`: sleep on the lane's handle alone,
 *         since arming would say that there is something)
 */
unsigned l4vio_device_block_process(struct l4vio_device_block *block, uint32_t queue, unsigned max);

/**
 * Requests of a queue that were taken and not yet handed back.
 * @param block the device
 * @param queue queue index
 * @return requests
 */
unsigned l4vio_device_block_in_flight(const struct l4vio_device_block *block, uint32_t queue);

/**
 * Sums up the counters of all queues. Exact while no queue is processed; a control call.
 * @param block    the device
 * @param counters filled
 */
void l4vio_device_block_counters_read(const struct l4vio_device_block *block,
                                      struct l4vio_device_block_counters *counters);

/**
 * The store's size changed: offers the new capacity, with a config notification. A control call.
 * @param block the device
 */
void l4vio_device_block_resized(struct l4vio_device_block *block);

#ifdef __cplusplus
}
#endif
#endif
