/* SPDX-License-Identifier: MIT */
/**
 * @file block_backend.h
 * What a block device serves: the interface between device_block.h and a backing store (memory, file).
 * One store may serve several devices (clients) at once.
 *
 * A lane is one thread's way into the store: submissions and completions of a lane stay on one thread.
 */
#ifndef L4VIO_BLOCK_BACKEND_H
#define L4VIO_BLOCK_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "device_queue.h"
#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What to do. */
enum l4vio_block_op {
    L4VIO_BLOCK_OP_READ,    /**< Fill the segments. */
    L4VIO_BLOCK_OP_WRITE,   /**< Store the segments. */
    L4VIO_BLOCK_OP_FLUSH,   /**< Make completed writes durable. */
    L4VIO_BLOCK_OP_DISCARD, /**< Contents no longer needed. */
    L4VIO_BLOCK_OP_ZERO,    /**< Read as zeroes afterwards. */
};

/** One operation. Caller-owned; must stay until `done` was called. Ranges are checked by the caller. */
struct l4vio_block_io {
    enum l4vio_block_op op; /**< What to do. */
    bool unmap;             /**< ZERO: may release blocks. */
    uint32_t segment_count; /**< READ, WRITE. */
    uint64_t offset_bytes;  /**< First byte in the store. */
    uint64_t length_bytes;  /**< Number of bytes; READ, WRITE: sum of the segments. */
    struct l4vio_device_segment *
        segments; /**< READ, WRITE; the store may modify the array, but it is as it was when `done` is called. */
    /** Called exactly once, from submit or poll of the same lane. 0 or a negative code. */
    void (*done)(struct l4vio_block_io *io, int result);
    void *context;           /**< The caller's. */
    uint64_t progress_bytes; /**< The store's own: bytes done (short transfers). */
    uint64_t reserved[2];    /**< The store's own. */
};

/** What a store is. */
struct l4vio_block_backend_info {
    uint64_t size_bytes;       /**< A multiple of 512. */
    bool read_only;            /**< No WRITE, DISCARD, ZERO. */
    bool discard;              /**< DISCARD does something useful. */
    bool zero_unmaps;          /**< ZERO with unmap may release blocks. */
    uint32_t block_bytes;      /**< Preferred block size, 512 or more. */
    uint32_t optimal_io_bytes; /**< 0: unknown. */
};

struct l4vio_block_lane;

/** Functions of a store. */
struct l4vio_block_backend_ops {
    /** Fills `info`; may be asked again at any time. */
    void (*info)(void *self, struct l4vio_block_backend_info *info);
    /** Opens a lane for the calling thread. Freestanding stores return the store itself. */
    int (*lane_open)(void *self, struct l4vio_block_lane **lane, struct l4vio_error *error);
    /** Closes a lane; nothing is in flight on it. */
    void (*lane_close)(void *self, struct l4vio_block_lane *lane);
    /** Starts an operation; may call `done`, of this one or earlier ones, before it returns. `poll`
     *  follows, at the latest after the last one of a batch. */
    void (*submit)(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io);
    /** Optional: sends what was submitted on its way (end of a batch). */
    void (*flush_submissions)(void *self, struct l4vio_block_lane *lane);
    /** Optional: calls `done` of what completed; blocks for at least one if `wait`. Returns number. */
    unsigned (*poll)(void *self, struct l4vio_block_lane *lane, bool wait);
    /** Optional: what becomes readable when `poll` has something, or -1. */
    intptr_t (*lane_handle)(void *self, struct l4vio_block_lane *lane);
    /** Optional: segments of coming operations may lie here. Control calls, as is the next: no lane
     *  works on operations of the device whose memory it is. */
    void (*region_added)(void *self, void *base, uint64_t size_bytes);
    /** Optional: they will no longer; nothing that lies here is in flight. The memory goes away. */
    void (*region_removed)(void *self, void *base, uint64_t size_bytes);
};

/** A store: functions and their first argument. Copied by value. */
struct l4vio_block_backend {
    const struct l4vio_block_backend_ops *ops; /**< Functions. */
    void *self;                                /**< First argument. */
};

#ifdef __cplusplus
}
#endif
#endif
