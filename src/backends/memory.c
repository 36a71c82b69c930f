/* SPDX-License-Identifier: MIT */
/* A store in anonymous memory. Every operation is done when submit returns. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <l4vio/backends.h>

struct memory_store {
    unsigned char *bytes;
    uint64_t size_bytes;
    uint64_t page_bytes;
};

static void memory_info(void *self, struct l4vio_block_backend_info *info)
{
    const struct memory_store *store = self;
    *info = (struct l4vio_block_backend_info){
        .size_bytes = store->size_bytes,
        .discard = true,
        .zero_unmaps = true,
        .block_bytes = (uint32_t)store->page_bytes,
    };
}

/* There is no state per thread: the store is its own lane. */
static int memory_lane_open(void *self, struct l4vio_block_lane **lane, struct l4vio_error *error)
{
    (void)error;
    *lane = self;
    return L4VIO_OK;
}

static void memory_lane_close(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    (void)lane;
}

static void read_segments(const struct memory_store *store, const struct l4vio_block_io *io)
{
    const unsigned char *from = store->bytes + io->offset_bytes;
    for (uint32_t i = 0; i < io->segment_count; i++) {
        memcpy(io->segments[i].base, from, (size_t)io->segments[i].length_bytes);
        from += io->segments[i].length_bytes;
    }
}

static void write_segments(struct memory_store *store, const struct l4vio_block_io *io)
{
    unsigned char *to = store->bytes + io->offset_bytes;
    for (uint32_t i = 0; i < io->segment_count; i++) {
        memcpy(to, io->segments[i].base, (size_t)io->segments[i].length_bytes);
        to += io->segments[i].length_bytes;
    }
}

/* Gives whole pages back to the system, which makes them zeroes; the edges are cleared by hand. */
static void release_range(struct memory_store *store, uint64_t offset, uint64_t length)
{
    uint64_t mask = store->page_bytes - 1;
    uint64_t first = (offset + mask) & ~mask;
    uint64_t last = (offset + length) & ~mask;
    if (first >= last) {
        memset(store->bytes + offset, 0, (size_t)length);
        return;
    }
    memset(store->bytes + offset, 0, (size_t)(first - offset));
    memset(store->bytes + last, 0, (size_t)(offset + length - last));
    if (madvise(store->bytes + first, (size_t)(last - first), MADV_DONTNEED) != 0)
        memset(store->bytes + first, 0, (size_t)(last - first));
}

static void memory_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    struct memory_store *store = self;
    (void)lane;
    switch (io->op) {
    case L4VIO_BLOCK_OP_READ:
        read_segments(store, io);
        break;
    case L4VIO_BLOCK_OP_WRITE:
        write_segments(store, io);
        break;
    case L4VIO_BLOCK_OP_FLUSH:
        break;
    case L4VIO_BLOCK_OP_DISCARD:
        release_range(store, io->offset_bytes, io->length_bytes);
        break;
    case L4VIO_BLOCK_OP_ZERO:
        if (io->unmap)
            release_range(store, io->offset_bytes, io->length_bytes);
        else
            memset(store->bytes + io->offset_bytes, 0, (size_t)io->length_bytes);
        break;
    }
    io->done(io, L4VIO_OK);
}

static const struct l4vio_block_backend_ops memory_ops = {
    .info = memory_info,
    .lane_open = memory_lane_open,
    .lane_close = memory_lane_close,
    .submit = memory_submit,
};

int l4vio_memory_backend_open(uint64_t size_bytes, struct l4vio_block_backend *backend,
                              struct l4vio_error *error)
{
    if (size_bytes == 0 || size_bytes % 512 != 0)
        return l4vio_fail(error, L4VIO_EINVAL, "size is not a multiple of 512 bytes", size_bytes);
    if (size_bytes > SIZE_MAX / 2)
        return l4vio_fail(error, L4VIO_ENOMEM, "size is above the address space", size_bytes);
    struct memory_store *store = malloc(sizeof(*store));
    if (!store)
        return l4vio_fail(error, L4VIO_ENOMEM, "no memory for the store", size_bytes);
    store->size_bytes = size_bytes;
    store->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    store->bytes = mmap(NULL, (size_t)size_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (store->bytes == MAP_FAILED) {
        free(store);
        return l4vio_fail(error, L4VIO_ENOMEM, "no address space for the store", size_bytes);
    }
    backend->ops = &memory_ops;
    backend->self = store;
    return L4VIO_OK;
}

void *l4vio_memory_backend_bytes(const struct l4vio_block_backend *backend)
{
    const struct memory_store *store = backend->self;
    return store->bytes;
}

void l4vio_memory_backend_close(struct l4vio_block_backend *backend)
{
    struct memory_store *store = backend->self;
    if (!store)
        return;
    munmap(store->bytes, (size_t)store->size_bytes);
    free(store);
    backend->self = NULL;
    backend->ops = NULL;
}
