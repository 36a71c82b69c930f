/* SPDX-License-Identifier: MIT */
#include "backends/ahead.h"

#include <stdlib.h>
#include <string.h>

/* The rest of a long transfer the processor fetches by itself. */
#define PREFETCH_BYTES 512u
#define LINE_BYTES     64u

int l4vio_ahead_lane_open(void *self, struct l4vio_block_lane **lane, struct l4vio_error *error)
{
    (void)self;
    *lane = calloc(1, sizeof(**lane));
    return *lane ? L4VIO_OK : l4vio_fail(error, L4VIO_ENOMEM, "no memory for a lane", 0);
}

void l4vio_ahead_lane_close(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    free(lane);
}

static void prefetch(const unsigned char *image, uint64_t length_bytes)
{
    uint64_t bytes = length_bytes < PREFETCH_BYTES ? length_bytes : PREFETCH_BYTES;
    for (uint64_t at = 0; at < bytes; at += LINE_BYTES)
        __builtin_prefetch(image + at, 0, 2);
}

void l4vio_ahead_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io,
                        const unsigned char *image, l4vio_ahead_run *run)
{
    struct l4vio_block_io *before = lane ? lane->kept : NULL;
    if (lane && image) {
        prefetch(image, io->length_bytes);
        lane->kept = io;
        if (before)
            run(self, before);
        return;
    }
    /* Order is kept. What `before` goes on with does not wait either, so this does not nest. */
    if (before) {
        lane->kept = NULL;
        run(self, before);
    }
    run(self, io);
}

unsigned l4vio_ahead_poll(void *self, struct l4vio_block_lane *lane, l4vio_ahead_run *run)
{
    unsigned count = 0;
    for (; lane && lane->kept; count++) {
        struct l4vio_block_io *io = lane->kept;
        lane->kept = NULL;
        run(self, io);
    }
    return count;
}

void l4vio_ahead_read(const struct l4vio_block_io *io, const unsigned char *image)
{
    for (uint32_t i = 0; i < io->segment_count; i++) {
        memcpy(io->segments[i].base, image, (size_t)io->segments[i].length_bytes);
        image += io->segments[i].length_bytes;
    }
}

void l4vio_ahead_write(const struct l4vio_block_io *io, unsigned char *image)
{
    for (uint32_t i = 0; i < io->segment_count; i++) {
        memcpy(image, io->segments[i].base, (size_t)io->segments[i].length_bytes);
        image += io->segments[i].length_bytes;
    }
}
