/* SPDX-License-Identifier: MIT */
/* A store in memory: of its own, or a dataspace of the caller's. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <l4vio/backends.h>

#include "backends/ahead.h"

struct memory_store {
    unsigned char *bytes;
    uint64_t size_bytes;
    uint64_t page_bytes;
    bool own; /* Mapped here, and private: MADV_DONTNEED makes zeroes. */
    bool read_only;
};

static void memory_info(void *self, struct l4vio_block_backend_info *info)
{
    const struct memory_store *store = self;
    *info = (struct l4vio_block_backend_info){
        .size_bytes = store->size_bytes,
        .read_only = store->read_only,
        .discard = !store->read_only,
        .zero_unmaps = !store->read_only,
        .block_bytes = (uint32_t)store->page_bytes,
    };
}

/* Gives whole pages back to the system, which makes them zeroes; the edges are cleared by hand. */
static void release_range(struct memory_store *store, uint64_t offset, uint64_t length)
{
    uintptr_t mask = (uintptr_t)store->page_bytes - 1;
    unsigned char *begin = store->bytes + offset;
    unsigned char *end = begin + length;
    /* By address: a dataspace need not begin where a page does. */
    unsigned char *first = begin + (-(uintptr_t)begin & mask);
    unsigned char *last = end - ((uintptr_t)end & mask);
    if (first >= last) {
        memset(begin, 0, (size_t)length);
        return;
    }
    memset(begin, 0, (size_t)(first - begin));
    memset(last, 0, (size_t)(end - last));
    /* Of shared memory, MADV_DONTNEED would only drop this mapping of it. */
    if (madvise(first, (size_t)(last - first), store->own ? MADV_DONTNEED : MADV_REMOVE) != 0)
        memset(first, 0, (size_t)(last - first));
}

static void run(void *self, struct l4vio_block_io *io)
{
    struct memory_store *store = self;
    unsigned char *image = store->bytes + io->offset_bytes;
    bool changes = io->op != L4VIO_BLOCK_OP_READ && io->op != L4VIO_BLOCK_OP_FLUSH;
    if (changes && store->read_only) {
        io->done(io, L4VIO_EROFS);
        return;
    }
    switch (io->op) {
    case L4VIO_BLOCK_OP_READ:
        l4vio_ahead_read(io, image);
        break;
    case L4VIO_BLOCK_OP_WRITE:
        l4vio_ahead_write(io, image);
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
            memset(image, 0, (size_t)io->length_bytes);
        break;
    }
    io->done(io, L4VIO_OK);
}

static void memory_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    const struct memory_store *store = self;
    bool transfer = io->op == L4VIO_BLOCK_OP_READ || io->op == L4VIO_BLOCK_OP_WRITE;
    l4vio_ahead_submit(self, lane, io, transfer ? store->bytes + io->offset_bytes : NULL, run);
}

static unsigned memory_poll(void *self, struct l4vio_block_lane *lane, bool wait)
{
    (void)wait;
    return l4vio_ahead_poll(self, lane, run);
}

static const struct l4vio_block_backend_ops memory_ops = {
    .info = memory_info,
    .lane_open = l4vio_ahead_lane_open,
    .lane_close = l4vio_ahead_lane_close,
    .submit = memory_submit,
    .poll = memory_poll,
};

static int make_store(const struct memory_store *content, struct l4vio_block_backend *backend,
                      struct l4vio_error *error)
{
    struct memory_store *store = malloc(sizeof(*store));
    if (!store)
        return l4vio_fail(error, L4VIO_ENOMEM, "no memory for the store", content->size_bytes);
    *store = *content;
    store->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    backend->ops = &memory_ops;
    backend->self = store;
    return L4VIO_OK;
}

int l4vio_memory_backend_open(uint64_t size_bytes, struct l4vio_block_backend *backend,
                              struct l4vio_error *error)
{
    if (size_bytes == 0 || size_bytes % 512 != 0)
        return l4vio_fail(error, L4VIO_EINVAL, "size is not a multiple of 512 bytes", size_bytes);
    if (size_bytes > SIZE_MAX / 2)
        return l4vio_fail(error, L4VIO_ENOMEM, "size is above the address space", size_bytes);
    struct memory_store store = {.size_bytes = size_bytes, .own = true};
    store.bytes = mmap(NULL, (size_t)size_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (store.bytes == MAP_FAILED)
        return l4vio_fail(error, L4VIO_ENOMEM, "no address space for the store", size_bytes);
    /* With small pages, finding the page is a third of the time of a read from a random place.
     * Advice, so it does not matter whether it is followed. */
    (void)madvise(store.bytes, (size_t)size_bytes, MADV_HUGEPAGE);
    int result = make_store(&store, backend, error);
    if (result != L4VIO_OK)
        munmap(store.bytes, (size_t)size_bytes);
    return result;
}

int l4vio_dataspace_backend_open(const struct l4vio_dataspace *dataspace, bool read_only,
                                 struct l4vio_block_backend *backend, struct l4vio_error *error)
{
    if (!dataspace->base)
        return l4vio_fail(error, L4VIO_EINVAL, "the dataspace is not mapped", 0);
    if (dataspace->size_bytes == 0 || dataspace->size_bytes % 512 != 0)
        return l4vio_fail(error, L4VIO_EINVAL, "size is not a multiple of 512 bytes",
                          dataspace->size_bytes);
    struct memory_store store = {
        .bytes = dataspace->base,
        .size_bytes = dataspace->size_bytes,
        .read_only = read_only,
    };
    return make_store(&store, backend, error);
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
    if (store->own)
        munmap(store->bytes, (size_t)store->size_bytes);
    free(store);
    backend->self = NULL;
    backend->ops = NULL;
}
