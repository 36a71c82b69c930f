/* SPDX-License-Identifier: MIT */
/**
 * @file block.h
 * The block driver: asynchronous requests over several queues. Synchronous calls are in block_sync.h,
 * the seed's block API in block_seed.h.
 *
 * A request is an object of the caller's that carries a private part and a shared part (header, range
 * record, status: L4VIO_BLOCK_SHARED_BYTES in registered memory). Completion hands the object back; the
 * shared part belongs to the request, never to a ring slot (B2). Requests larger than the device's
 * limits (size_max, seg_max, discard and write-zeroes limits, queue size) are sent in parts, one after
 * the other, without more memory.
 *
 * Units: `sector` counts 512 bytes whatever the device's block size; lengths are in bytes and
 * multiples of 512.
 *
 * Threads: a queue and its requests belong to one thread at a time; different queues are independent.
 */
#ifndef L4VIO_BLOCK_H
#define L4VIO_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "driver.h"
#include "wire/block.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Shared memory per request: header, range record or id, status. */
#define L4VIO_BLOCK_SHARED_BYTES 64u
/** Queues a block driver can use. */
#define L4VIO_BLOCK_QUEUES_MAX 64u

/** A piece of data of a request. */
struct l4vio_block_segment {
    const struct l4vio_region *region; /**< Registered memory. */
    uint64_t offset_bytes;             /**< First byte in the region. */
    uint64_t length_bytes;             /**< Number of bytes, at least 1. */
};

/** Request types: the specification's numbers. */
enum l4vio_block_type {
    L4VIO_BLOCK_READ = 0,          /**< IN. */
    L4VIO_BLOCK_WRITE = 1,         /**< OUT. */
    L4VIO_BLOCK_FLUSH = 4,         /**< FLUSH. */
    L4VIO_BLOCK_GET_ID = 8,        /**< GET_ID: l4vio_block_request_id gives the text. */
    L4VIO_BLOCK_DISCARD = 11,      /**< DISCARD. */
    L4VIO_BLOCK_WRITE_ZEROES = 13, /**< WRITE_ZEROES. */
};

/** A request. Caller-allocated; must stay until `done` was called or the queue was detached. */
struct l4vio_block_request {
    enum l4vio_block_type type; /**< By the caller. */
    bool unmap;                 /**< By the caller: WRITE_ZEROES may release blocks. */
    uint32_t segment_count;     /**< By the caller: READ and WRITE. */
    uint64_t sector;            /**< By the caller: first sector; FLUSH, GET_ID: 0. */
    uint64_t sector_count;      /**< By the caller: DISCARD and WRITE_ZEROES. */
    const struct l4vio_block_segment *segments; /**< By the caller: stays until completion. */
    /** By the caller: called on completion, from the thread that polls the queue; may submit. NULL: none. */
    void (*done)(struct l4vio_block_request *request, void *context);
    void *context; /**< By the caller: second argument of done. */

    int result; /**< On completion: 0; L4VIO_EIO the device says so, or it shrank between two parts;
                     L4VIO_ENOSYS the device says so; L4VIO_EBADPROTO a status that does not exist or
                     was never written, or a READ that says OK and wrote less than asked for;
                     L4VIO_ECANCELED; after l4vio_block_reconnect also what the device that came back
                     does not take: L4VIO_ERANGE past its end, L4VIO_EROFS, L4VIO_EINVAL not a multiple of
                     its larger blocks, L4VIO_E2BIG, L4VIO_ENOSYS a type that it lacks. */
    uint8_t status;      /**< On completion: status byte of the last part. */
    bool in_flight;      /**< The driver or the device owns it. */
    uint64_t done_bytes; /**< Bytes (or sectors * 512, or bytes of the identity) of the parts that
                              succeeded: everything before is done. Nothing is known of the rest. */

    const struct l4vio_region *shared_region; /**< Private: where the shared part lies. */
    uint64_t shared_offset_bytes;             /**< Private. */
    uint64_t part_bytes;                      /**< Private: size of the part in flight. */
    uint32_t segment_index;                   /**< Private: next segment. */
    uint64_t segment_offset_bytes;            /**< Private: next byte in it. */
    uint16_t queue;                           /**< Private: where it was submitted. */
    struct l4vio_block_request *next;         /**< Private: list link. */
    uint64_t order;       /**< Private: place of its part among all of the queue. */
    uint64_t reserved[1]; /**< Room to grow. */
};

/** What the device can do; read once, consistently. */
struct l4vio_block_info {
    uint64_t capacity_sectors;       /**< Size in sectors of 512 bytes. */
    uint32_t block_bytes;            /**< Preferred block size; 512 if the device says nothing. */
    uint32_t size_max_bytes;         /**< Bytes per segment; 0: no limit. */
    uint32_t segment_max;            /**< Segments per request; 0: no limit. */
    uint32_t queue_count;            /**< Queues of the device. */
    bool read_only;                  /**< RO. */
    bool flush;                      /**< FLUSH. */
    bool discard;                    /**< DISCARD. */
    bool write_zeroes;               /**< WRITE_ZEROES. */
    bool config_wce;                 /**< CONFIG_WCE. */
    bool write_zeroes_may_unmap;     /**< WRITE_ZEROES can release blocks. */
    bool topology;                   /**< The next four fields are valid. */
    uint8_t physical_block_exponent; /**< Logical blocks per physical block, as a power of two. */
    uint8_t alignment_offset_blocks; /**< First aligned block. */
    uint16_t minimum_io_blocks;      /**< Smallest efficient request. */
    uint32_t optimal_io_blocks;      /**< Best request. */
    uint32_t max_discard_sectors;    /**< Per request. */
    uint32_t max_discard_segments;   /**< Records per request. */
    uint32_t discard_alignment_sectors; /**< For splitting. */
    uint32_t max_write_zeroes_sectors;  /**< Per request. */
    uint32_t max_write_zeroes_segments; /**< Records per request. */
    uint32_t reserved[8];               /**< 0. */
};

/** How to set a block driver up. Zero what is not used. */
struct l4vio_block_config {
    /**
     * Transport, platform, timeouts; the block driver fills in device_id and dependencies. If `allowed`
     * is empty, it is made l4vio_block_features with l4vio_block_ring_features; what is `required` is
     * added to it.
     */
    struct l4vio_driver_config driver;
    uint16_t queue_count; /**< Queues wanted; 0: 1. Fewer if the device has fewer. */
    uint16_t queue_size;  /**< Entries wanted; 0: 128. Fewer if the device allows fewer, or if it
                                     is not a power of two and the ring is split. */
    struct l4vio_queue *queues;     /**< `queue_count` queues, caller-owned. */
    struct l4vio_queue_slot *slots; /**< `queue_count * queue_size` records, caller-owned. */
    bool one_notification; /**< All queues share index 0 (the seed's way); else queue q uses
                                            index q + 1 where driver.notifications has room for it. */
    /**
     * Not 0: calls that wait reconnect by themselves (l4vio_block_reconnect) when the device is gone, and say
     * L4VIO_EPIPE only when it has not come back after so long. For drivers that one thread uses.
     */
    uint64_t reconnect_ns;
    uint64_t reserved[3]; /**< 0. */
};

/** What reconnecting did. */
struct l4vio_block_reconnects {
    uint64_t count; /**< Times that the device came back. */
    uint64_t
        submitted_again; /**< Requests in flight that were sent again: the last device may have carried
                                   them out, or begun to. */
    uint64_t resumed;    /**< Requests in flight that were left to the device's own record. */
    uint64_t failed;     /**< Requests in flight that the device that came back does not take. */
};

/** A block driver. Caller-allocated; fields are private to the library unless said otherwise. */
struct l4vio_block {
    struct l4vio_driver driver;      /**< The driver device; may be used for waits and counters. */
    struct l4vio_block_info info;    /**< May be read. */
    struct l4vio_queue *queues;      /**< Queues. */
    uint16_t queue_count;            /**< May be read: queues in use. */
    uint16_t queue_size;             /**< May be read: entries per queue. */
    uint16_t part_buffers_max;       /**< Data buffers per part. */
    struct l4vio_region ring_region; /**< Memory of all rings. */
    struct l4vio_block_request *waiting[L4VIO_BLOCK_QUEUES_MAX]; /**< Parts that found no room. */
    bool stopping; /**< Requests are being finished with L4VIO_ECANCELED. */
    bool resetting[L4VIO_BLOCK_QUEUES_MAX]; /**< The same, of one queue. */
    uint8_t cache_mode;                     /**< Chosen: 0 not, 1 write-through, 2 write-back. */
    uint64_t reconnect_ns;                  /**< See the configuration. */
    uint64_t reconnect_end_ns;              /**< Deadline of the device's return, 0: it is there. */
    struct l4vio_block_reconnects reconnects; /**< May be read. */
    uint64_t reserved[2];                     /**< Room to grow. */
};

/**
 * Features of the class that the block driver implements. Of the rings it implements all of
 * l4vio_ring_features.
 * @param features filled
 */
void l4vio_block_features(struct l4vio_features *features);

/**
 * Ring features that the block driver accepts unless told otherwise: those that make it faster, or cost
 * nothing (docs/performance.md).
 * @param features filled
 */
void l4vio_block_ring_features(struct l4vio_features *features);

/**
 * Connects and sets everything up to DRIVER_OK: allocates and registers ring memory, reads the
 * configuration, attaches the queues. The seed's `setup_device`.
 *
 * @param block  caller-allocated, any content
 * @param config copied
 * @param error  filled on failure, may be NULL
 * @return 0 or as l4vio_driver_connect, _negotiate, _attach_queue; L4VIO_ENODEV not a block device;
 *         L4VIO_E2BIG the device allows too small a queue for any request
 */
int l4vio_block_setup(struct l4vio_block *block, const struct l4vio_block_config *config,
                      struct l4vio_error *error);

/**
 * Reads the configuration again (after a config change notification, clause D-5.2.6.1-1).
 * @param block set up
 * @param error filled on failure, may be NULL
 * @return 0 or as l4vio_driver_read_config
 */
int l4vio_block_refresh(struct l4vio_block *block, struct l4vio_error *error);

/**
 * Gives a request its shared part and clears it.
 * @param request      caller-allocated
 * @param region       registered memory
 * @param offset_bytes multiple of L4VIO_BLOCK_SHARED_BYTES
 * @return 0, or L4VIO_EFAULT outside the region, L4VIO_EINVAL not aligned
 */
int l4vio_block_request_init(struct l4vio_block_request *request, const struct l4vio_region *region,
                             uint64_t offset_bytes);

/**
 * Adds a request without telling the device: for batches. l4vio_block_kick shows them.
 *
 * @param block   set up
 * @param queue   0 to queue_count - 1
 * @param request filled in by the caller
 * @param error   filled on failure, may be NULL
 * @retval L4VIO_OK     added
 * @retval L4VIO_EAGAIN no room: kick, take completions, try again; or the connection is lost and
 *                      l4vio_block_wait_room would reconnect
 * @retval L4VIO_EBUSY  the request is in flight already
 * @retval L4VIO_EINVAL length not a multiple of 512, no segments, request without shared part
 * @retval L4VIO_ERANGE no such queue, or past the end of the device
 * @retval L4VIO_EFAULT a segment outside its region
 * @retval L4VIO_EROFS  write to a read-only device
 * @retval L4VIO_ENOSYS the device does not have this request type
 * @retval L4VIO_E2BIG  the queue is too small for this request: fewer than one data buffer per part
 * @retval L4VIO_EBADPROTO the queue is broken
 * @retval L4VIO_EPIPE  the connection is lost: l4vio_block_reconnect failed
 * @retval L4VIO_EIO    the device does not run: l4vio_block_recover failed, or the driver is closed
 */
int l4vio_block_add(struct l4vio_block *block, uint32_t queue, struct l4vio_block_request *request,
                    struct l4vio_error *error);

/**
 * Shows added requests to the device and notifies it if it wants that.
 * @param block set up
 * @param queue queue
 * @return 0 or the transport's error
 */
int l4vio_block_kick(struct l4vio_block *block, uint32_t queue);

/**
 * Adds one request and kicks.
 * @param block   set up
 * @param queue   queue
 * @param request filled in by the caller
 * @param error   filled on failure, may be NULL
 * @return as l4vio_block_add
 */
int l4vio_block_submit(struct l4vio_block *block, uint32_t queue,
                       struct l4vio_block_request *request, struct l4vio_error *error);

/**
 * Takes completions, sends next parts, calls `done` of finished requests. Never blocks.
 * @param block set up
 * @param queue queue
 * @param max   most used entries to take
 * @return number of requests finished, or L4VIO_EBADPROTO
 */
int l4vio_block_poll(struct l4vio_block *block, uint32_t queue, unsigned max);

/**
 * Polls and sleeps until `request` is finished.
 * @param block       set up
 * @param request     submitted
 * @param deadline_ns absolute deadline
 * @return 0 when it is finished (its own outcome is in `result`), L4VIO_ETIMEDOUT (still in flight),
 *         L4VIO_EPIPE (with `reconnect_ns`: it did not come back in time), L4VIO_EIO (device needs reset),
 *         L4VIO_EBADPROTO; with `reconnect_ns` also as l4vio_block_reconnect
 */
int l4vio_block_wait(struct l4vio_block *block, struct l4vio_block_request *request,
                     uint64_t deadline_ns);

/**
 * Polls and sleeps until at least one request of the queue finished or there is room for one part.
 * @param block       set up
 * @param queue       queue
 * @param deadline_ns absolute deadline
 * @return number of requests finished (0: there is room), or an error as l4vio_block_wait
 */
int l4vio_block_wait_room(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns);

/**
 * Polls and sleeps until nothing is in flight on the queue.
 * @param block       set up
 * @param queue       queue
 * @param deadline_ns absolute deadline
 * @return 0 or an error as l4vio_block_wait
 */
int l4vio_block_drain(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns);

/**
 * Identity of the device after a successful GET_ID.
 * @param request a finished GET_ID request
 * @param id      filled, always terminated
 */
void l4vio_block_request_id(const struct l4vio_block_request *request,
                            char id[VIRTIO_BLK_ID_BYTES + 1]);

/**
 * Switches the cache mode (CONFIG_WCE). For this connection only: other clients of the same image keep
 * theirs. Write-through: a write is durable when it completes. Write-back: after the next flush.
 * @param block     set up
 * @param writeback true: write-back
 * @param error     filled on failure, may be NULL
 * @return 0 or L4VIO_ENOSYS if CONFIG_WCE is not negotiated
 */
int l4vio_block_set_writeback(struct l4vio_block *block, bool writeback, struct l4vio_error *error);

/**
 * Reads the cache mode.
 * @param block set up
 * @return 1 write-back, 0 write-through, or a negative code
 */
int l4vio_block_get_writeback(struct l4vio_block *block);

/**
 * Recovers from DEVICE_NEEDS_RESET or a broken queue on the same connection: resets, finishes every
 * request in flight with L4VIO_ECANCELED (`done` is called and may submit again once this returns: until
 * then submitting gives L4VIO_EAGAIN), restarts, attaches the queues again, sets DRIVER_OK.
 * @param block set up
 * @param error filled on failure, may be NULL
 * @return 0 or as l4vio_driver_reset, l4vio_driver_restart
 */
int l4vio_block_recover(struct l4vio_block *block, struct l4vio_error *error);

/**
 * Reconnects to a device that is gone, stopped answering, or does not finish its reset, whoever serves it
 * then. Waits until the deadline for somebody to be there, tries again if the device dies meanwhile, and goes
 * on where it was: queues and memory are set up as before, the same features are accepted (of the class'
 * those that are still there), the cache mode that was chosen is chosen again, `info` is read afresh. Requests
 * in flight stay in flight and keep their identity; `done` is called once for each, when it is finished:
 *
 * - what the last device had completed is taken first;
 * - if the device has a record of requests in flight (`tracks_in_flight` of the transport), the rings stay
 *   as they are and it goes on by its record: it repeats what the last one had begun and not completed;
 * - else every part that was in flight is sent again, in the order of its submission, on its queue. Each
 *   may have been carried out before, in part or in full;
 * - requests that the device that came back does not take (it is smaller, read-only, or has larger blocks)
 *   finish with an error that says so.
 *
 * Doing a request twice is no harm, whoever repeats it: its data may not be touched while it is in flight, no
 * order holds between requests that are in flight together, and the last time gives what one time would. A FLUSH
 * is repeated because nobody knows whether it came to its end.
 *
 * `reconnects` counts all of it.
 *
 * What no driver can know: writes that completed before, and were not flushed, were in the cache of a device
 * that is no more. VIRTIO promises nothing of them (a FLUSH that completed covers what had completed before
 * it was sent, at the same device): a later FLUSH, sent to the device that came back, says nothing of them
 * either. They are there as long as their host kept them, as it does if only a process died that wrote to
 * a plain file; an image format with a cache of its own may lose them. Who must know compares
 * `reconnects.count` from before the first write with that from after the FLUSH: if it changed, the
 * writes in between are to be done again, or write-through chosen in the first place.
 *
 * Of the old peer see l4vio_driver_reconnect: one that hangs and is not dead may still carry out what is
 * sent again here.
 *
 * No other thread may be in a call of this driver, waiting ones included: who uses queues from several
 * threads lets one of them reconnect while the others stand still. `done` of any queue's requests is called
 * from here at the end, and may submit.
 *
 * @param block       set up
 * @param deadline_ns absolute deadline
 * @param error       filled on failure, may be NULL
 * @retval L4VIO_OK        it runs again
 * @retval L4VIO_ETIMEDOUT it did not come back in time; requests stay in flight: call again, or close
 * @retval L4VIO_ENODEV    what came back is another device: as l4vio_driver_reconnect
 * @retval L4VIO_EBUSY     called while requests are being cancelled
 * @retval L4VIO_EPIPE     closed
 * @return else as l4vio_driver_reconnect, l4vio_driver_restart, l4vio_driver_attach_queue; requests stay in
 *         flight
 */
int l4vio_block_reconnect(struct l4vio_block *block, uint64_t deadline_ns,
                          struct l4vio_error *error);

/**
 * Resets one queue and starts it again while the others go on, e.g. to take back requests that a slow
 * store does not finish: every request in flight on it is finished with L4VIO_ECANCELED (`done` is called
 * and may submit again once this returns: until then submitting gives L4VIO_EAGAIN). Waits until the
 * device has let go of the queue's memory, at most the time for a control call.
 *
 * Called by the queue's thread; the others need not stop.
 * @param block set up
 * @param queue queue
 * @param error filled on failure, may be NULL
 * @retval L4VIO_OK        it runs again, empty
 * @retval L4VIO_ERANGE    no such queue
 * @retval L4VIO_EBUSY     called while requests are being cancelled
 * @retval L4VIO_ENOSYS    the device cannot: l4vio_block_recover
 * @retval L4VIO_ETIMEDOUT the device did not confirm: nothing was taken back, try again
 * @return else as l4vio_driver_reset_queue or, with the requests finished but the queue not running,
 *         l4vio_driver_attach_queue
 */
int l4vio_block_reset_queue(struct l4vio_block *block, uint32_t queue, struct l4vio_error *error);

/**
 * Disconnects; requests in flight are finished with L4VIO_ECANCELED. Safe to call twice.
 * @param block any state after l4vio_block_setup
 */
void l4vio_block_close(struct l4vio_block *block);

#ifdef __cplusplus
}
#endif
#endif
