/* SPDX-License-Identifier: MIT */
/* What the synchronous calls share. */
#ifndef L4VIO_BLOCK_POOL_H
#define L4VIO_BLOCK_POOL_H

#include <l4vio/block_sync.h>

#include "drivers/block_private.h"

/* Waits until a buffer is free; at the beginning of a call none is in use but those in quarantine. */
int l4vio_block_pool_wait_free(struct l4vio_block_pool *pool, uint64_t deadline_ns);
/* No buffer of ours is in flight and none can be added: others fill the queue. */
int l4vio_block_pool_wait_room(struct l4vio_block_pool *pool, uint64_t deadline_ns,
                               struct l4vio_error *error);
/* Whole sectors, within the device. */
int l4vio_block_pool_check_range(const struct l4vio_block_pool *pool, uint64_t offset_bytes,
                                 uint64_t length_bytes, struct l4vio_error *error);
/* Why a finished request, or a wait, failed, in words; returns the code. */
int l4vio_block_request_failure(const struct l4vio_block_request *request,
                                struct l4vio_error *error);
int l4vio_block_wait_failure(int result, struct l4vio_error *error);

#endif
