/* SPDX-License-Identifier: MIT */
/* Operations on an open image by plain system calls. The io_uring engine falls back on them. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backends/file.h"

/* Where struct l4vio_block_io keeps how far it is: index of the first segment that is not done, and bytes of
 * that one that are. */
#define PLACE            0
#define PLACE_BYTES_BITS 32

int l4vio_file_code(int error_number)
{
    switch (error_number) {
    case 0:
        return L4VIO_OK;
    case ENOSPC:
    case EDQUOT:
        return L4VIO_ENOSPC;
    case ENOMEM:
        return L4VIO_ENOMEM;
    case EROFS:
        return L4VIO_EROFS;
    default:
        return L4VIO_EIO;
    }
}

static uint32_t place_index(const struct l4vio_block_io *io)
{
    return (uint32_t)(io->reserved[PLACE] >> PLACE_BYTES_BITS);
}

void l4vio_file_start(struct l4vio_block_io *io)
{
    io->progress_bytes = 0;
    io->reserved[PLACE] = 0;
}

/* Returns the bytes that were taken off. */
static uint64_t make_whole(struct l4vio_block_io *io)
{
    uint64_t bytes = (uint32_t)io->reserved[PLACE];
    if (bytes) {
        struct l4vio_device_segment *segment = &io->segments[place_index(io)];
        segment->base = (unsigned char *)segment->base - bytes;
        segment->length_bytes += bytes;
    }
    return bytes;
}

void l4vio_file_restore(struct l4vio_block_io *io)
{
    make_whole(io);
    io->reserved[PLACE] = 0;
}

void l4vio_file_advance(struct l4vio_block_io *io, uint64_t bytes)
{
    uint32_t index = place_index(io);
    io->progress_bytes += bytes;
    bytes += make_whole(io);
    while (index < io->segment_count && bytes >= io->segments[index].length_bytes)
        bytes -= io->segments[index++].length_bytes;
    if (index < io->segment_count) {
        io->segments[index].base = (unsigned char *)io->segments[index].base + bytes;
        io->segments[index].length_bytes -= bytes;
    }
    io->reserved[PLACE] = (uint64_t)index << PLACE_BYTES_BITS | bytes;
}

struct l4vio_device_segment *l4vio_file_segments(const struct l4vio_block_io *io, uint32_t *count)
{
    uint32_t index = place_index(io);
    *count = io->segment_count - index;
    return io->segments + index;
}

static ssize_t transfer(struct l4vio_file *file, const struct l4vio_block_io *io, int flags)
{
    struct iovec vectors[L4VIO_FILE_SEGMENTS_PER_CALL];
    off_t offset = (off_t)(io->offset_bytes + io->progress_bytes);
    uint32_t count;
    const struct l4vio_device_segment *segments = l4vio_file_segments(io, &count);
    if (count > L4VIO_FILE_SEGMENTS_PER_CALL)
        count = L4VIO_FILE_SEGMENTS_PER_CALL;
    for (uint32_t i = 0; i < count; i++) {
        vectors[i].iov_base = segments[i].base;
        vectors[i].iov_len = (size_t)segments[i].length_bytes;
    }
    if (io->op == L4VIO_BLOCK_OP_READ)
        return preadv2(file->fd, vectors, (int)count, offset, flags);
    return pwritev2(file->fd, vectors, (int)count, offset, flags);
}

static int transfer_all(struct l4vio_file *file, struct l4vio_block_io *io)
{
    while (io->progress_bytes < io->length_bytes) {
        ssize_t bytes = transfer(file, io, 0);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return l4vio_file_code(errno);
        /* A read of nothing: the image was cut short while it is served. */
        if (bytes == 0)
            return L4VIO_EIO;
        l4vio_file_advance(io, (uint64_t)bytes);
    }
    return L4VIO_OK;
}

static int run_transfer(struct l4vio_file *file, struct l4vio_block_io *io)
{
    int result = transfer_all(file, io);
    if (result)
        l4vio_file_restore(io);
    return result;
}

bool l4vio_file_try_now(struct l4vio_file *file, struct l4vio_block_io *io, int *result)
{
    if (io->op == L4VIO_BLOCK_OP_WRITE) {
        *result = run_transfer(file, io);
        return true;
    }
    if (io->op != L4VIO_BLOCK_OP_READ || __atomic_load_n(&file->cannot_try, __ATOMIC_RELAXED))
        return false;
    ssize_t bytes = transfer(file, io, RWF_NOWAIT);
    if (bytes < 0 && errno == EOPNOTSUPP)
        __atomic_store_n(&file->cannot_try, 1, __ATOMIC_RELAXED);
    if (bytes > 0)
        l4vio_file_advance(io, (uint64_t)bytes);
    *result = L4VIO_OK;
    return io->progress_bytes == io->length_bytes;
}

int l4vio_file_flush_result(struct l4vio_file *file, int result)
{
    if (result != L4VIO_OK)
        __atomic_store_n(&file->flush_error, result, __ATOMIC_RELAXED);
    return __atomic_load_n(&file->flush_error, __ATOMIC_RELAXED);
}

static int run_flush(struct l4vio_file *file)
{
    int result;
    do {
        result = fdatasync(file->fd);
    } while (result != 0 && errno == EINTR);
    return l4vio_file_flush_result(file, result == 0 ? L4VIO_OK : l4vio_file_code(errno));
}

int l4vio_file_fallocate_mode(struct l4vio_file *file, const struct l4vio_block_io *io)
{
    if (io->op == L4VIO_BLOCK_OP_DISCARD || io->unmap)
        return file->punches_holes ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
    if (__atomic_load_n(&file->cannot_zero, __ATOMIC_RELAXED))
        return 0;
    return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

/* For file systems that cannot zero a range by themselves. */
static int write_zeroes(struct l4vio_file *file, struct l4vio_block_io *io)
{
    static const unsigned char zeroes[4096];
    struct iovec vectors[L4VIO_FILE_SEGMENTS_PER_CALL];
    while (io->progress_bytes < io->length_bytes) {
        uint64_t left = io->length_bytes - io->progress_bytes;
        int count = 0;
        for (; left != 0 && count < (int)L4VIO_FILE_SEGMENTS_PER_CALL; count++) {
            uint64_t bytes = left < sizeof(zeroes) ? left : sizeof(zeroes);
            /* The cast drops const: pwritev only reads. */
            vectors[count].iov_base = (void *)(uintptr_t)zeroes;
            vectors[count].iov_len = (size_t)bytes;
            left -= bytes;
        }
        ssize_t done =
            pwritev(file->fd, vectors, count, (off_t)(io->offset_bytes + io->progress_bytes));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return l4vio_file_code(errno);
        if (done == 0)
            return L4VIO_EIO;
        io->progress_bytes += (uint64_t)done;
    }
    return L4VIO_OK;
}

static int run_fallocate(struct l4vio_file *file, struct l4vio_block_io *io)
{
    int mode = l4vio_file_fallocate_mode(file, io);
    int result = -1;
    errno = EOPNOTSUPP;
    if (mode != 0) {
        do {
            result = fallocate(file->fd, mode, (off_t)io->offset_bytes, (off_t)io->length_bytes);
        } while (result != 0 && errno == EINTR);
    }
    if (result == 0)
        return L4VIO_OK;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return l4vio_file_code(errno);
    /* A discard is advice: a file system that cannot release blocks keeps them. */
    if (io->op == L4VIO_BLOCK_OP_DISCARD)
        return L4VIO_OK;
    if (mode & FALLOC_FL_ZERO_RANGE)
        __atomic_store_n(&file->cannot_zero, 1, __ATOMIC_RELAXED);
    return write_zeroes(file, io);
}

int l4vio_file_run(struct l4vio_file *file, struct l4vio_block_io *io)
{
    if (io->op == L4VIO_BLOCK_OP_FLUSH)
        return run_flush(file);
    if (io->length_bytes == 0)
        return L4VIO_OK;
    if (io->op == L4VIO_BLOCK_OP_READ)
        return run_transfer(file, io);
    if (file->read_only)
        return L4VIO_EROFS;
    if (io->op == L4VIO_BLOCK_OP_WRITE)
        return run_transfer(file, io);
    return run_fallocate(file, io);
}
