/* SPDX-License-Identifier: MIT */
/*
 * The file store by mapping: for images that are memory already (tmpfs, memfd). Data is copied once,
 * without a system call. Every operation is done when submit or poll returns.
 *
 * Only chunks without holes are used by way of the mapping: to touch a hole would allocate the page,
 * even to read it, and a full file system answers that with SIGBUS. The rest goes by system calls.
 *
 * If a fault was caught nevertheless, because somebody has cut the file short, the mapping is no
 * longer used (l4vio_file_backend_fault), and what was under way is done again by system calls.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fcntl.h>
#include <linux/magic.h>

#include "backends/ahead.h"
#include "backends/file.h"

#define CHUNK_BYTES (UINT64_C(2) << 20)
/* What is known of a chunk: LOOK, transfers until the next look if it had holes, or FULL. */
#define LOOK        0u
#define LOOK_PERIOD 64u
#define FULL        255u

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static bool on_tmpfs(int fd)
{
    struct statfs file_system;
    return fstatfs(fd, &file_system) == 0 && file_system.f_type == TMPFS_MAGIC;
}

bool l4vio_file_map_safe(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) && on_tmpfs(fd);
}

int l4vio_file_map(struct l4vio_file *file, uint64_t size_bytes, struct l4vio_error *error)
{
    int protection = file->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    uint64_t chunks = size_bytes / CHUNK_BYTES + 1;
    if (file->block_device || !on_tmpfs(file->fd))
        return l4vio_fail(error, L4VIO_ENOSYS, "only images on a tmpfs can be mapped", 0);
    if (size_bytes > SIZE_MAX / 2)
        return l4vio_fail(error, L4VIO_ENOMEM, "size is above the address space", size_bytes);
    file->chunks = calloc((size_t)chunks, 1);
    if (!file->chunks)
        return l4vio_fail(error, L4VIO_ENOMEM, "no memory for the store", chunks);
    void *map = mmap(NULL, (size_t)size_bytes, protection, MAP_SHARED, file->fd, 0);
    if (map == MAP_FAILED)
        return l4vio_fail(error, L4VIO_ENOMEM, "the image cannot be mapped", size_bytes);
    file->map = map;
    file->map_bytes = size_bytes;
    return L4VIO_OK;
}

void l4vio_file_unmap(struct l4vio_file *file)
{
    if (file->map)
        munmap(file->map, (size_t)file->map_bytes);
    free(file->chunks);
    file->map = NULL;
    file->chunks = NULL;
}

/* Whether the mapping may be used. Behind a copy, it tells whether the copy counts. */
static bool intact(const struct l4vio_file *file)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !__atomic_load_n(&file->map_lost, __ATOMIC_RELAXED);
}

static uint8_t chunk_look(struct l4vio_file *file, uint64_t chunk)
{
    uint64_t begin = chunk * CHUNK_BYTES;
    uint64_t end = begin + CHUNK_BYTES < file->map_bytes ? begin + CHUNK_BYTES : file->map_bytes;
    off_t hole = lseek(file->fd, (off_t)begin, SEEK_HOLE);
    if (hole < 0 || (uint64_t)hole < end)
        return LOOK_PERIOD;
    /* One call instead of many page faults; advice. */
    (void)madvise(file->map + begin, (size_t)(end - begin), MADV_POPULATE_READ);
    return FULL;
}

/* Looks again after some transfers, or after one that may have filled the chunk. */
static uint8_t chunk_pass(uint8_t state, uint64_t length_bytes)
{
    uint64_t weight = 1 + length_bytes / (CHUNK_BYTES / LOOK_PERIOD);
    return weight < state ? (uint8_t)(state - weight) : LOOK;
}

/* Several lanes may come to the same chunk: each finds what is true, and one byte says it. */
static bool chunk_full(struct l4vio_file *file, uint64_t chunk, uint64_t length_bytes)
{
    uint8_t state = __atomic_load_n(&file->chunks[chunk], __ATOMIC_RELAXED);
    if (state == FULL)
        return true;
    state = state == LOOK ? chunk_look(file, chunk) : chunk_pass(state, length_bytes);
    __atomic_store_n(&file->chunks[chunk], state, __ATOMIC_RELAXED);
    return state == FULL;
}

static bool mapped(struct l4vio_file *file, const struct l4vio_block_io *io)
{
    if (io->length_bytes == 0 || io->offset_bytes > file->map_bytes ||
        io->length_bytes > file->map_bytes - io->offset_bytes || !intact(file))
        return false;
    uint64_t last = (io->offset_bytes + io->length_bytes - 1) / CHUNK_BYTES;
    bool full = true;
    for (uint64_t i = io->offset_bytes / CHUNK_BYTES; i <= last; i++)
        full = chunk_full(file, i, io->length_bytes) && full;
    return full;
}

/* After blocks were released. */
static void forget(struct l4vio_file *file, const struct l4vio_block_io *io)
{
    uint64_t chunks = file->map_bytes / CHUNK_BYTES + 1;
    uint64_t end = (io->offset_bytes + io->length_bytes) / CHUNK_BYTES + 1;
    for (uint64_t i = io->offset_bytes / CHUNK_BYTES; i < end && i < chunks; i++)
        __atomic_store_n(&file->chunks[i], LOOK, __ATOMIC_RELAXED);
}

static bool copied(struct l4vio_file *file, const struct l4vio_block_io *io)
{
    if ((io->op == L4VIO_BLOCK_OP_WRITE && file->read_only) || !mapped(file, io))
        return false;
    if (io->op == L4VIO_BLOCK_OP_READ)
        l4vio_ahead_read(io, file->map + io->offset_bytes);
    else
        l4vio_ahead_write(io, file->map + io->offset_bytes);
    return intact(file);
}

static void run(void *self, struct l4vio_block_io *io)
{
    struct l4vio_file *file = self;
    int result = L4VIO_OK;
    switch (io->op) {
    case L4VIO_BLOCK_OP_READ:
    case L4VIO_BLOCK_OP_WRITE:
        if (!copied(file, io))
            result = l4vio_file_run(file, io);
        break;
    case L4VIO_BLOCK_OP_FLUSH: /* There is nothing behind the memory. */
        break;
    case L4VIO_BLOCK_OP_DISCARD:
    case L4VIO_BLOCK_OP_ZERO:
        result = l4vio_file_run(file, io);
        forget(file, io);
        break;
    }
    io->done(io, result);
}

static void map_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    const struct l4vio_file *file = self;
    bool transfer = io->op == L4VIO_BLOCK_OP_READ || io->op == L4VIO_BLOCK_OP_WRITE;
    l4vio_file_start(io);
    l4vio_ahead_submit(self, lane, io, transfer ? file->map + io->offset_bytes : NULL, run);
}

static unsigned map_poll(void *self, struct l4vio_block_lane *lane, bool wait)
{
    (void)wait;
    return l4vio_ahead_poll(self, lane, run);
}

const struct l4vio_block_backend_ops l4vio_file_map_ops = {
    .info = l4vio_file_info,
    .lane_open = l4vio_ahead_lane_open,
    .lane_close = l4vio_ahead_lane_close,
    .submit = map_submit,
    .poll = map_poll,
};

/* In a signal handler: nothing but atomic accesses and system calls. */
bool l4vio_file_backend_fault(const struct l4vio_block_backend *backend, const void *address)
{
    struct l4vio_file *file = backend->self;
    if (backend->ops != &l4vio_file_map_ops ||
        (uintptr_t)address - (uintptr_t)file->map >= file->map_bytes)
        return false;
    /* First: whoever reads the page that is put there finds it said. */
    __atomic_store_n(&file->map_lost, 1, __ATOMIC_SEQ_CST);
    uintptr_t page = (uintptr_t)address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    return mmap((void *)page, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0) != MAP_FAILED;
}
