/* SPDX-License-Identifier: MIT */
/*
 * A lane for stores that copy from and to mapped memory. It keeps one transfer back: while the one
 * before it is copied, the memory of the next is on its way into the cache, which for requests to
 * random places is a quarter of their time. What is kept back is done by the next `submit` or `poll`.
 */
#ifndef L4VIO_BACKENDS_AHEAD_H
#define L4VIO_BACKENDS_AHEAD_H

#include <l4vio/block_backend.h>

struct l4vio_block_lane {
    struct l4vio_block_io *kept; /* Or NULL. */
};

/* struct l4vio_block_backend_ops.lane_open and lane_close. */
int l4vio_ahead_lane_open(void *self, struct l4vio_block_lane **lane, struct l4vio_error *error);
void l4vio_ahead_lane_close(void *self, struct l4vio_block_lane *lane);

/* Does an operation and calls `done`. */
typedef void l4vio_ahead_run(void *self, struct l4vio_block_io *io);

/* `image`: where the operation's first byte is, if it is a transfer; NULL: it cannot be kept back. */
void l4vio_ahead_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io,
                        const unsigned char *image, l4vio_ahead_run *run);
unsigned l4vio_ahead_poll(void *self, struct l4vio_block_lane *lane, l4vio_ahead_run *run);

/* Copy the segments of a READ or WRITE. */
void l4vio_ahead_read(const struct l4vio_block_io *io, const unsigned char *image);
void l4vio_ahead_write(const struct l4vio_block_io *io, unsigned char *image);

#endif
