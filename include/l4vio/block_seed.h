/* SPDX-License-Identifier: MIT */
/**
 * @file block_seed.h
 * The seed's block API as a thin layer on block.h: start a request, add blocks, send it (asynchronous,
 * with a callback) or process it (synchronous), free it. Handles go stale safely: one that was freed
 * answers L4VIO_EINVAL for ever, also after its place was used again.
 *
 * Threads: one thread at a time per object.
 */
#ifndef L4VIO_BLOCK_SEED_H
#define L4VIO_BLOCK_SEED_H

#include "block.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Blocks (data pieces) per request. */
#define L4VIO_BLOCK_SEED_BLOCKS_MAX 32u

/** Names a request. Plain data; {0, 0} names none. */
struct l4vio_block_handle {
    uint32_t index;      /**< Place. */
    uint32_t generation; /**< Changes each time the place is freed; 0 is never valid. */
};

struct l4vio_block_seed;

/** Callback of l4vio_block_send_request: result 0 or a negative code, bytes that were done. */
typedef void l4vio_block_callback(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                                  int result, uint64_t done_bytes, void *context);

/** Record of one request. Caller-allocated memory, private content. */
struct l4vio_block_seed_request {
    struct l4vio_block_request request;                               /**< The request. */
    struct l4vio_block_segment segments[L4VIO_BLOCK_SEED_BLOCKS_MAX]; /**< Its data. */
    struct l4vio_block_seed *seed;                                    /**< Owner. */
    l4vio_block_callback *callback;                                   /**< Or NULL. */
    void *context;                                                    /**< Its last argument. */
    uint32_t generation;                                              /**< See the handle. */
    uint32_t state;       /**< Free, open, sent, done. */
    uint64_t reserved[4]; /**< Room to grow. */
};

/** The layer. Caller-allocated; private. */
struct l4vio_block_seed {
    struct l4vio_block *block;                 /**< The block driver. */
    uint32_t queue;                            /**< Its queue. */
    uint32_t count;                            /**< Records. */
    struct l4vio_block_seed_request *requests; /**< Caller-owned records. */
    struct l4vio_region shared;                /**< Shared parts. */
    uint64_t reserved[4];                      /**< Room to grow. */
};

/**
 * Sets the layer up.
 * @param seed     caller-allocated
 * @param block    set up
 * @param queue    queue to use
 * @param requests `count` records, caller-owned, outlive the layer
 * @param count    at least 1
 * @param error    filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL no records, L4VIO_ERANGE no such queue, or as l4vio_driver_allocate
 */
int l4vio_block_seed_init(struct l4vio_block_seed *seed, struct l4vio_block *block, uint32_t queue,
                          struct l4vio_block_seed_request *requests, uint32_t count,
                          struct l4vio_error *error);

/**
 * Begins a request.
 * @param seed     the layer
 * @param sector   first sector
 * @param type     request type
 * @param callback called on completion, may be NULL; may start and send other requests (B3)
 * @param context  its last argument
 * @param handle   filled
 * @return 0 or L4VIO_EAGAIN if all records are in use
 */
int l4vio_block_start_request(struct l4vio_block_seed *seed, uint64_t sector,
                              enum l4vio_block_type type, l4vio_block_callback *callback,
                              void *context, struct l4vio_block_handle *handle);

/**
 * Adds a piece of data. For DISCARD and WRITE_ZEROES the sum of the pieces is the length of the range;
 * the memory is not looked at.
 * @param seed         the layer
 * @param handle       from l4vio_block_start_request
 * @param region       registered memory
 * @param offset_bytes first byte
 * @param length_bytes number of bytes
 * @return 0; L4VIO_EINVAL stale handle or already sent; L4VIO_EFAULT outside the region;
 *         L4VIO_E2BIG too many pieces
 */
int l4vio_block_add_block(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                          const struct l4vio_region *region, uint64_t offset_bytes,
                          uint64_t length_bytes);

/**
 * Sends the request; the callback is called by l4vio_block_process_used_queue.
 * @param seed   the layer
 * @param handle from l4vio_block_start_request
 * @param error  filled on failure, may be NULL
 * @return 0; L4VIO_EINVAL stale handle; else as l4vio_block_submit
 */
int l4vio_block_send_request(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                             struct l4vio_error *error);

/**
 * Sends the request, waits for it and returns its outcome. The callback is not called; free the
 * request afterwards.
 * @param seed        the layer
 * @param handle      from l4vio_block_start_request
 * @param deadline_ns absolute deadline
 * @param error       filled on failure, may be NULL
 * @return the request's result; L4VIO_EINVAL stale handle; L4VIO_ETIMEDOUT still in flight
 */
int l4vio_block_process_request(struct l4vio_block_seed *seed, struct l4vio_block_handle handle,
                                uint64_t deadline_ns, struct l4vio_error *error);

/**
 * Frees a request; its handle is stale from then on.
 * @param seed   the layer
 * @param handle from l4vio_block_start_request
 * @return 0; L4VIO_EINVAL stale handle; L4VIO_EBUSY the device owns it
 */
int l4vio_block_free_request(struct l4vio_block_seed *seed, struct l4vio_block_handle handle);

/**
 * Takes completions and calls callbacks. Requests with a callback are freed after it; those without
 * stay until l4vio_block_free_request.
 * @param seed the layer
 * @return number of requests finished, or L4VIO_EBADPROTO
 */
int l4vio_block_process_used_queue(struct l4vio_block_seed *seed);

/**
 * Gives the shared memory of the layer back.
 * @param seed  the layer
 * @param error filled on failure, may be NULL
 * @return 0 or L4VIO_EBUSY while a request is in flight
 */
int l4vio_block_seed_release(struct l4vio_block_seed *seed, struct l4vio_error *error);

#ifdef __cplusplus
}
#endif
#endif
