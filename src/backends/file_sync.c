/* SPDX-License-Identifier: MIT */
/* The file store by pread and pwrite. Every operation is done when submit returns. */
#include "backends/file.h"

/* The kernel keeps all state: the store is its own lane. */
static int sync_lane_open(void *self, struct l4vio_block_lane **lane, struct l4vio_error *error)
{
    (void)error;
    *lane = self;
    return L4VIO_OK;
}

static void sync_lane_close(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    (void)lane;
}

static void sync_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    (void)lane;
    l4vio_file_start(io);
    io->done(io, l4vio_file_run(self, io));
}

const struct l4vio_block_backend_ops l4vio_file_sync_ops = {
    .info = l4vio_file_info,
    .lane_open = sync_lane_open,
    .lane_close = sync_lane_close,
    .submit = sync_submit,
};
