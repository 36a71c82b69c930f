/* SPDX-License-Identifier: MIT */
/*
 * Inside of the block device: block.c offers it, block_request.c knows what a request means,
 * block_process.c moves requests between ring and store.
 */
#ifndef L4VIO_DEVICES_BLOCK_H
#define L4VIO_DEVICES_BLOCK_H

#include <l4vio/device_block.h>

/* What l4vio_block_request_prepare found. */
enum l4vio_block_step {
    L4VIO_BLOCK_STEP_ANSWER, /* `status` is set. */
    L4VIO_BLOCK_STEP_SUBMIT, /* `io` is ready for the store. */
    L4VIO_BLOCK_STEP_BROKEN, /* There is no place for an answer. */
};

/* Looks at a chain that was just taken: checks everything and prepares the first operation. */
enum l4vio_block_step l4vio_block_request_prepare(struct l4vio_device_block_request *request);

/* After an operation of the store: prepares the next one, or sets `status`. */
enum l4vio_block_step l4vio_block_request_continue(struct l4vio_device_block_request *request,
                                                   int result);

/* Bytes that a request which was prepared has the store move or change. */
uint64_t l4vio_block_request_work(const struct l4vio_device_block_request *request);
/* What to report in the used ring, and the counters, once `status` is set. */
uint32_t l4vio_block_request_account(const struct l4vio_device_block_request *request);

/* Puts the status byte back to the segments that it was taken off. */
void l4vio_block_request_return_status(struct l4vio_device_block_request *request);

/* Waits until the store has nothing of a queue any more; results are dropped. */
void l4vio_block_queue_stop(struct l4vio_device_block *block, uint32_t queue);

/* Forgets everything: all requests of a queue are free. */
void l4vio_block_queue_init(struct l4vio_device_block *block, uint32_t queue);

#endif
