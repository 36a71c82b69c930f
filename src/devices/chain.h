/* SPDX-License-Identifier: MIT */
/* The chain walker, for the device queue. */
#ifndef L4VIO_DEVICES_CHAIN_H
#define L4VIO_DEVICES_CHAIN_H

#include <l4vio/device_queue.h>

/*
 * Walks the chain that begins at `head` (checked), translates it into `chain->segments`, at most
 * `segments_max`. Returns 0 or L4VIO_EBADPROTO with the reason in `error`.
 */
int l4vio_device_chain_walk(const struct l4vio_device_queue *queue, uint16_t head,
                            struct l4vio_device_chain *chain, unsigned segments_max,
                            struct l4vio_error *error);

#endif
