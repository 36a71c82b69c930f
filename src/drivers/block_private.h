/* SPDX-License-Identifier: MIT */
/*
 * What the files of the block driver share.
 */
#ifndef L4VIO_BLOCK_PRIVATE_H
#define L4VIO_BLOCK_PRIVATE_H

#include <l4vio/block.h>

/* Where things lie in the L4VIO_BLOCK_SHARED_BYTES of a request. */
enum {
    BLOCK_HEADER_OFFSET = 0,  /* struct virtio_blk_req_header */
    BLOCK_RANGE_OFFSET = 16,  /* struct virtio_blk_range */
    BLOCK_ID_OFFSET = 32,     /* VIRTIO_BLK_ID_BYTES of identity */
    BLOCK_STATUS_OFFSET = 63, /* status byte, by the device */
};

/* Header and status besides the data. */
#define BLOCK_EXTRA_BUFFERS 2u
/* Buffers of a part are gathered on the stack: 2 KiB. */
#define BLOCK_BUFFERS_MAX 128u
/* A status that no device writes: tells that none was written. */
#define BLOCK_STATUS_POISON 0xffu
/* A chain has to stay below 2^32 bytes; a power of two keeps parts aligned to any block size. */
#define BLOCK_PART_BYTES_MAX (UINT64_C(1) << 31)

/* block_config.c */

/* Reads the device configuration and checks it; `info` is unchanged on failure. */
int l4vio_block_read_info(struct l4vio_block *block, struct l4vio_block_info *info,
                          struct l4vio_error *error);
/* After a reset: the cache mode that the caller chose. */
int l4vio_block_restore_cache_mode(struct l4vio_block *block, struct l4vio_error *error);
/* Data buffers per part under these limits, or L4VIO_E2BIG if a part cannot hold one sector. */
int l4vio_block_part_buffers(const struct l4vio_block_info *info, uint16_t queue_size,
                             struct l4vio_error *error);

/* block_part.c */

/* Checks what the caller filled in. */
int l4vio_block_check(const struct l4vio_block *block, const struct l4vio_block_request *request,
                      struct l4vio_error *error);
/* Adds the next part to the queue, unpublished. L4VIO_EAGAIN: no room, nothing has changed. */
int l4vio_block_add_part(struct l4vio_block *block, struct l4vio_block_request *request,
                         struct l4vio_error *error);
/* Tells whether every part of the request was added. */
bool l4vio_block_all_added(const struct l4vio_block_request *request);
/* The part that was added last is none any more: the next one begins where it began. */
void l4vio_block_take_back_part(struct l4vio_block_request *request);

/* block.c */

/* After a reset or the end of the connection: finishes everything with L4VIO_ECANCELED. */
void l4vio_block_cancel(struct l4vio_block *block);
/* The same for one queue that was reset. */
void l4vio_block_cancel_queue(struct l4vio_block *block, uint32_t queue);

/* Takes a part's outcome into account. Returns whether the request is finished by it, with `result`. */
bool l4vio_block_part_done(struct l4vio_block_request *request,
                           const struct l4vio_completion *completion, int *result);
/* Puts a request behind those of its queue whose next part found no room. */
void l4vio_block_wait_for_room(struct l4vio_block *block, struct l4vio_block_request *request);
/* Calls `done`. */
void l4vio_block_finish(struct l4vio_block_request *request, int result);

/* block_setup.c */

/* Makes the initialised queues known and the device live. */
int l4vio_block_go_live(struct l4vio_block *block, struct l4vio_error *error);

/* block_reconnect.c */

/* For calls that wait and find the device gone: brings it back if that was asked for. `finished` requests
 * had their end meanwhile. L4VIO_EPIPE: no, or not in time; L4VIO_ETIMEDOUT: the caller's deadline. */
int l4vio_block_come_back(struct l4vio_block *block, uint64_t deadline_ns, unsigned *finished);

/* block_wait.c */

/* Polls and sleeps until at least one request of the queue finished; their number, or an error. */
int l4vio_block_wait_finished(struct l4vio_block *block, uint32_t queue, uint64_t deadline_ns);

static inline bool l4vio_block_expired(const struct l4vio_block *block, uint64_t deadline_ns)
{
    const struct l4vio_platform *platform = &block->driver.platform;
    return deadline_ns != L4VIO_FOREVER && platform->ops->now_ns(platform->self) >= deadline_ns;
}

static inline uint64_t l4vio_block_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
