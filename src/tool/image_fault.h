/* SPDX-License-Identifier: MIT */
/* Images that are mapped and cut short while they are served: requests fail, the server lives. */
#ifndef L4VIO_TOOL_IMAGE_FAULT_H
#define L4VIO_TOOL_IMAGE_FAULT_H

#include <l4vio/block_backend.h>

/* Handles SIGBUS in the image's mapping from here on. `store` stays; NULL: no longer. */
void image_fault_guard(const struct l4vio_block_backend *store);

#endif
