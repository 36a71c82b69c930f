/* SPDX-License-Identifier: MIT */
/**
 * @file block_sync.h
 * Synchronous block calls on ordinary memory, through an explicit pool of bounce buffers. Each call is
 * the asynchronous one plus a wait with a deadline; large transfers keep several buffers in flight.
 *
 * Threads: a pool belongs to one queue and one thread at a time.
 */
#ifndef L4VIO_BLOCK_SYNC_H
#define L4VIO_BLOCK_SYNC_H

#include "block.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One bounce buffer: a request, its shared part and data, all in the pool's region. Private. */
struct l4vio_block_bounce {
    struct l4vio_block_request request; /**< The request. */
    struct l4vio_block_segment segment; /**< Its data. */
    void *user;                         /**< Where the data goes to, or comes from. */
    bool busy;                          /**< In use, or quarantined after a timeout. */
};

/** A bounce pool. Caller-allocated; private. */
struct l4vio_block_pool {
    struct l4vio_block *block;          /**< The block driver. */
    uint32_t queue;                     /**< The queue. */
    uint32_t buffer_bytes;              /**< Data bytes per buffer. */
    uint32_t buffer_count;              /**< Buffers. */
    struct l4vio_block_bounce *buffers; /**< Caller-owned records. */
    struct l4vio_region region;         /**< Shared memory of the pool. */
    uint64_t reserved[4];               /**< Room to grow. */
};

/**
 * Allocates and registers the pool's memory: buffer_count * (buffer_bytes + 64) bytes.
 * @param pool         caller-allocated
 * @param block        set up
 * @param queue        queue that the pool submits to
 * @param buffers      `buffer_count` records, caller-owned, outlive the pool
 * @param buffer_count at least 1
 * @param buffer_bytes multiple of 512
 * @param error        filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL, L4VIO_ERANGE no such queue, or as l4vio_driver_allocate
 */
int l4vio_block_pool_init(struct l4vio_block_pool *pool, struct l4vio_block *block, uint32_t queue,
                          struct l4vio_block_bounce *buffers, uint32_t buffer_count,
                          uint32_t buffer_bytes, struct l4vio_error *error);

/**
 * Gives the pool's memory back.
 * @param pool  the pool
 * @param error filled on failure, may be NULL
 * @return 0, or L4VIO_EBUSY while the device may own some of it: reset or disconnect first
 */
int l4vio_block_pool_release(struct l4vio_block_pool *pool, struct l4vio_error *error);

/**
 * Reads bytes. On failure *done_bytes tells how far it got: everything before is valid.
 *
 * @param pool         the pool
 * @param offset_bytes first byte on the device, multiple of 512
 * @param data         filled
 * @param length_bytes multiple of 512
 * @param deadline_ns  absolute deadline of the whole transfer
 * @param done_bytes   filled, may be NULL
 * @param error        filled on failure, may be NULL
 * @return 0, or as l4vio_block_add, l4vio_block_wait, or the request's result. After
 *         L4VIO_ETIMEDOUT the buffers in flight stay in quarantine until they complete or the
 *         device is reset; `data` is never written after the call returned.
 */
int l4vio_block_pool_read(struct l4vio_block_pool *pool, uint64_t offset_bytes, void *data,
                          uint64_t length_bytes, uint64_t deadline_ns, uint64_t *done_bytes,
                          struct l4vio_error *error);

/**
 * Writes bytes.
 * @param pool         the pool
 * @param offset_bytes first byte on the device, multiple of 512
 * @param data         read
 * @param length_bytes multiple of 512
 * @param deadline_ns  absolute deadline of the whole transfer
 * @param done_bytes   filled, may be NULL: everything before was written
 * @param error        filled on failure, may be NULL
 * @return as l4vio_block_pool_read
 */
int l4vio_block_pool_write(struct l4vio_block_pool *pool, uint64_t offset_bytes, const void *data,
                           uint64_t length_bytes, uint64_t deadline_ns, uint64_t *done_bytes,
                           struct l4vio_error *error);

/**
 * Makes earlier writes durable.
 * @param pool        the pool
 * @param deadline_ns absolute deadline
 * @param error       filled on failure, may be NULL
 * @return as l4vio_block_pool_read; 0 at once if the device has no FLUSH (its writes are durable)
 */
int l4vio_block_pool_flush(struct l4vio_block_pool *pool, uint64_t deadline_ns,
                           struct l4vio_error *error);

/**
 * Reads the identity of the device.
 * @param pool        the pool
 * @param id          filled, terminated
 * @param deadline_ns absolute deadline
 * @param error       filled on failure, may be NULL
 * @return as l4vio_block_pool_read
 */
int l4vio_block_pool_id(struct l4vio_block_pool *pool, char id[VIRTIO_BLK_ID_BYTES + 1],
                        uint64_t deadline_ns, struct l4vio_error *error);

/**
 * Discards a range: its contents are undefined afterwards.
 * @param pool         the pool
 * @param offset_bytes multiple of 512
 * @param length_bytes multiple of 512
 * @param deadline_ns  absolute deadline
 * @param done_bytes   filled, may be NULL
 * @param error        filled on failure, may be NULL
 * @return as l4vio_block_pool_read
 */
int l4vio_block_pool_discard(struct l4vio_block_pool *pool, uint64_t offset_bytes,
                             uint64_t length_bytes, uint64_t deadline_ns, uint64_t *done_bytes,
                             struct l4vio_error *error);

/**
 * Writes zeroes to a range.
 * @param pool         the pool
 * @param offset_bytes multiple of 512
 * @param length_bytes multiple of 512
 * @param unmap        the device may release the blocks
 * @param deadline_ns  absolute deadline
 * @param done_bytes   filled, may be NULL
 * @param error        filled on failure, may be NULL
 * @return as l4vio_block_pool_read
 */
int l4vio_block_pool_zero(struct l4vio_block_pool *pool, uint64_t offset_bytes,
                          uint64_t length_bytes, bool unmap, uint64_t deadline_ns,
                          uint64_t *done_bytes, struct l4vio_error *error);

#ifdef __cplusplus
}
#endif
#endif
