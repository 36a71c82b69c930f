/* SPDX-License-Identifier: MIT */
/*
 * The file store by io_uring: one ring per lane. What does not fit into the ring waits in a list, so
 * that completions can never overflow: at most RING_ENTRIES operations are at the kernel, half of what
 * the completion ring holds.
 */
#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>

#include "backends/file.h"

#define RING_ENTRIES 128u
/* Where struct l4vio_block_io keeps the next one of the list. */
#define NEXT_IO 1
/* Tries to hand entries to a kernel that is short of memory, before the next poll tries again. */
#define SUBMIT_TRIES 100
/* The kernel transfers no more at once. */
#define SINGLE_BYTES_MAX 0x40000000u

/* Where the ring's registered files are. */
enum { REGISTERED_BUFFERED, REGISTERED_DIRECT };

struct l4vio_block_lane {
    struct io_uring ring;
    bool has_files; /* Registered. */
    bool in_batch;  /* Something was submitted since the last flush_submissions. */
    struct l4vio_fixed_table fixed;
    struct l4vio_file_counters counters; /* Written by the lane's thread, read by any. */
    struct l4vio_block_lane *next;       /* In the file's list. */
    bool has_ring;                       /* Otherwise every operation is done by submit. */
    unsigned at_kernel;                  /* Entries in use: prepared or submitted, not completed. */
    struct l4vio_block_io *first;        /* Waiting for an entry. */
    struct l4vio_block_io *last;
};

/* Segments go to the kernel as they are. */
#if __SIZEOF_POINTER__ == 8
_Static_assert(sizeof(struct l4vio_device_segment) == sizeof(struct iovec), "segment is an iovec");
_Static_assert(offsetof(struct l4vio_device_segment, base) == offsetof(struct iovec, iov_base),
               "segment is an iovec");
_Static_assert(offsetof(struct l4vio_device_segment, length_bytes) ==
                   offsetof(struct iovec, iov_len),
               "segment is an iovec");
#define SEGMENT_IS_IOVEC true
#else
#define SEGMENT_IS_IOVEC false
#endif

int l4vio_file_uring_probe(void)
{
    struct io_uring ring;
    if (!SEGMENT_IS_IOVEC || io_uring_queue_init(1, &ring, 0) != 0)
        return L4VIO_ENOSYS;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    bool usable = probe && io_uring_opcode_supported(probe, IORING_OP_READV) &&
                  io_uring_opcode_supported(probe, IORING_OP_WRITEV) &&
                  io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
                  io_uring_opcode_supported(probe, IORING_OP_FALLOCATE);
    if (probe)
        io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return usable ? L4VIO_OK : L4VIO_ENOSYS;
}

static int uring_lane_open(void *self, struct l4vio_block_lane **out, struct l4vio_error *error)
{
    struct l4vio_file *file = self;
    struct l4vio_block_lane *lane = calloc(1, sizeof(*lane));
    if (!lane)
        return l4vio_fail(error, L4VIO_ENOMEM, "no memory for a lane", 0);
    int result = io_uring_queue_init(RING_ENTRIES, &lane->ring, 0);
    lane->has_ring = result == 0;
    if (!lane->has_ring && !file->automatic) {
        free(lane);
        return l4vio_fail(error, L4VIO_ENOMEM, "the kernel gives no further ring",
                          (uint64_t)-result);
    }
    if (lane->has_ring) {
        int files[] = {file->ring_fd, file->direct_fd};
        lane->has_files =
            file->ring_fd >= 0 &&
            io_uring_register_files(&lane->ring, files, file->direct_fd < 0 ? 1 : 2) == 0;
        l4vio_fixed_open(&lane->fixed, &file->fixed, &lane->ring);
    }
    pthread_mutex_lock(&file->fixed.lock);
    lane->next = file->lanes;
    file->lanes = lane;
    pthread_mutex_unlock(&file->fixed.lock);
    *out = lane;
    return L4VIO_OK;
}

static void add_counters(struct l4vio_file_counters *sum, const struct l4vio_block_lane *lane)
{
    const struct l4vio_file_counters *own = &lane->counters;
    sum->ring_requests += __atomic_load_n(&own->ring_requests, __ATOMIC_RELAXED);
    sum->ring_submits += __atomic_load_n(&own->ring_submits, __ATOMIC_RELAXED);
    sum->fixed_requests += __atomic_load_n(&own->fixed_requests, __ATOMIC_RELAXED);
    sum->direct_requests += __atomic_load_n(&own->direct_requests, __ATOMIC_RELAXED);
    sum->buffers_registered += __atomic_load_n(&lane->fixed.registered, __ATOMIC_RELAXED);
    sum->buffers_refused += __atomic_load_n(&lane->fixed.refused, __ATOMIC_RELAXED);
}

void l4vio_file_uring_counters(struct l4vio_file *file, struct l4vio_file_counters *counters)
{
    pthread_mutex_lock(&file->fixed.lock);
    *counters = file->counters;
    for (const struct l4vio_block_lane *lane = file->lanes; lane; lane = lane->next)
        add_counters(counters, lane);
    pthread_mutex_unlock(&file->fixed.lock);
}

static void uring_lane_close(void *self, struct l4vio_block_lane *lane)
{
    struct l4vio_file *file = self;
    if (!lane)
        return;
    pthread_mutex_lock(&file->fixed.lock);
    struct l4vio_block_lane **link = &file->lanes;
    while (*link != lane)
        link = &(*link)->next;
    *link = lane->next;
    add_counters(&file->counters, lane);
    pthread_mutex_unlock(&file->fixed.lock);
    if (lane->has_ring) {
        l4vio_fixed_close(&lane->fixed);
        io_uring_queue_exit(&lane->ring);
    }
    free(lane);
}

/* Whether what is left of a transfer may go past the page cache. */
static bool goes_direct(const struct l4vio_file *file, const struct l4vio_device_segment *segments,
                        uint32_t count, uint64_t offset)
{
    if (file->direct_fd < 0 || __atomic_load_n(&file->direct_lost, __ATOMIC_RELAXED) ||
        offset % file->direct_offset)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t where = (uintptr_t)segments[i].base | segments[i].length_bytes;
        if (where % file->direct_memory || segments[i].length_bytes % file->direct_offset)
            return false;
    }
    return true;
}

static void use_file(const struct l4vio_file *file, const struct l4vio_block_lane *lane,
                     struct io_uring_sqe *sqe, bool direct)
{
    if (lane->has_files) {
        sqe->fd = direct ? REGISTERED_DIRECT : REGISTERED_BUFFERED;
        sqe->flags |= IOSQE_FIXED_FILE;
    } else {
        sqe->fd = direct ? file->direct_fd : file->fd;
    }
}

/* One segment: the kernel needs no vector, and may know the memory already. */
static void prepare_single(struct l4vio_block_lane *lane, struct io_uring_sqe *sqe, bool read,
                           const struct l4vio_device_segment *segment, uint64_t offset)
{
    unsigned bytes = segment->length_bytes > SINGLE_BYTES_MAX ? SINGLE_BYTES_MAX
                                                              : (unsigned)segment->length_bytes;
    int buffer = l4vio_fixed_find(&lane->fixed, segment->base, bytes);
    if (buffer >= 0) {
        l4vio_fixed_count(&lane->counters.fixed_requests);
        if (read)
            io_uring_prep_read_fixed(sqe, -1, segment->base, bytes, offset, buffer);
        else
            io_uring_prep_write_fixed(sqe, -1, segment->base, bytes, offset, buffer);
    } else if (read) {
        io_uring_prep_read(sqe, -1, segment->base, bytes, offset);
    } else {
        io_uring_prep_write(sqe, -1, segment->base, bytes, offset);
    }
}

static void prepare_transfer(struct l4vio_file *file, struct l4vio_block_lane *lane,
                             struct io_uring_sqe *sqe, struct l4vio_block_io *io)
{
    uint64_t offset = io->offset_bytes + io->progress_bytes;
    bool read = io->op == L4VIO_BLOCK_OP_READ;
    uint32_t count;
    const struct l4vio_device_segment *segments = l4vio_file_segments(io, &count);
    const struct iovec *vectors = (const struct iovec *)(const void *)segments;
    if (count > L4VIO_FILE_SEGMENTS_PER_CALL)
        count = L4VIO_FILE_SEGMENTS_PER_CALL;
    if (count == 1)
        prepare_single(lane, sqe, read, segments, offset);
    else if (read)
        io_uring_prep_readv(sqe, -1, vectors, count, offset);
    else
        io_uring_prep_writev(sqe, -1, vectors, count, offset);
    bool direct = goes_direct(file, segments, count, offset);
    if (direct)
        l4vio_fixed_count(&lane->counters.direct_requests);
    use_file(file, lane, sqe, direct);
}

static void prepare(struct l4vio_file *file, struct l4vio_block_lane *lane,
                    struct io_uring_sqe *sqe, struct l4vio_block_io *io)
{
    switch (io->op) {
    case L4VIO_BLOCK_OP_READ:
    case L4VIO_BLOCK_OP_WRITE:
        prepare_transfer(file, lane, sqe, io);
        break;
    case L4VIO_BLOCK_OP_FLUSH:
        io_uring_prep_fsync(sqe, -1, IORING_FSYNC_DATASYNC);
        use_file(file, lane, sqe, false);
        break;
    case L4VIO_BLOCK_OP_DISCARD:
    case L4VIO_BLOCK_OP_ZERO:
        io_uring_prep_fallocate(sqe, -1, l4vio_file_fallocate_mode(file, io),
                                (off_t)io->offset_bytes, (off_t)io->length_bytes);
        use_file(file, lane, sqe, false);
        break;
    }
    io_uring_sqe_set_data(sqe, io);
    l4vio_fixed_count(&lane->counters.ring_requests);
}

static void put_in_ring(struct l4vio_file *file, struct l4vio_block_lane *lane,
                        struct l4vio_block_io *io)
{
    struct io_uring_sqe *sqe = NULL;
    if (!lane->first && lane->at_kernel < RING_ENTRIES)
        sqe = io_uring_get_sqe(&lane->ring);
    if (sqe) {
        prepare(file, lane, sqe, io);
        lane->at_kernel++;
        return;
    }
    io->reserved[NEXT_IO] = 0;
    if (lane->first)
        lane->last->reserved[NEXT_IO] = (uintptr_t)io;
    else
        lane->first = io;
    lane->last = io;
}

/* Moves what waits into entries that have become free. */
static void refill(struct l4vio_file *file, struct l4vio_block_lane *lane)
{
    while (lane->first && lane->at_kernel < RING_ENTRIES) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&lane->ring);
        if (!sqe)
            return;
        struct l4vio_block_io *io = lane->first;
        lane->first = (struct l4vio_block_io *)(uintptr_t)io->reserved[NEXT_IO];
        prepare(file, lane, sqe, io);
        lane->at_kernel++;
    }
}

/* What the kernel does not take now stays in the ring for the next call. */
static void submit_ring(struct l4vio_block_lane *lane)
{
    for (int i = 0; i < SUBMIT_TRIES && io_uring_sq_ready(&lane->ring) != 0; i++) {
        int result = io_uring_submit(&lane->ring);
        l4vio_fixed_count(&lane->counters.ring_submits);
        if (result == -EAGAIN || result == -EBUSY)
            sched_yield();
        else if (result < 0 && result != -EINTR)
            return;
    }
    if (io_uring_sq_ready(&lane->ring) == 0)
        l4vio_fixed_submitted(&lane->fixed);
}

/* Whether the operation needs the kernel at all, and may go there by the ring. */
static bool wants_ring(struct l4vio_file *file, const struct l4vio_block_io *io)
{
    switch (io->op) {
    case L4VIO_BLOCK_OP_FLUSH:
        return true;
    case L4VIO_BLOCK_OP_READ:
        return io->length_bytes != 0;
    case L4VIO_BLOCK_OP_WRITE:
        return io->length_bytes != 0 && !file->read_only;
    case L4VIO_BLOCK_OP_DISCARD:
    case L4VIO_BLOCK_OP_ZERO:
        break;
    }
    return io->length_bytes != 0 && !file->read_only && l4vio_file_fallocate_mode(file, io) != 0;
}

/*
 * One read by itself is cheaper without the ring, several at once are cheaper with it: the first of a
 * batch is tried at once unless the ring is in use anyway.
 */
static bool cheaper_now(struct l4vio_block_lane *lane, const struct l4vio_block_io *io)
{
    bool first = !lane->in_batch && lane->at_kernel == 0;
    lane->in_batch = true;
    return first || io->op != L4VIO_BLOCK_OP_READ;
}

static void uring_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    struct l4vio_file *file = self;
    l4vio_file_start(io);
    if (!lane || !lane->has_ring || !wants_ring(file, io)) {
        io->done(io, l4vio_file_run(file, io));
        return;
    }
    int result;
    if (file->automatic && cheaper_now(lane, io) && l4vio_file_try_now(file, io, &result))
        io->done(io, result);
    else
        put_in_ring(file, lane, io);
}

static void uring_flush_submissions(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    if (!lane || !lane->has_ring)
        return;
    lane->in_batch = false;
    submit_ring(lane);
}

/* Takes one completion in; false if the operation goes on. */
static bool complete(struct l4vio_file *file, struct l4vio_block_lane *lane,
                     struct l4vio_block_io *io, int result)
{
    bool transfers = io->op == L4VIO_BLOCK_OP_READ || io->op == L4VIO_BLOCK_OP_WRITE;
    int code = result < 0 ? l4vio_file_code(-result) : L4VIO_OK;
    /* Not what the alignment promised: by way of the page cache from now on. */
    if (transfers && result == -EINVAL && file->direct_fd >= 0 &&
        !__atomic_exchange_n(&file->direct_lost, 1, __ATOMIC_RELAXED))
        result = -EAGAIN;
    if (result == -EINTR || result == -EAGAIN) {
        put_in_ring(file, lane, io);
        return false;
    }
    if (io->op == L4VIO_BLOCK_OP_FLUSH)
        code = l4vio_file_flush_result(file, code);
    if (!transfers && (result == -EOPNOTSUPP || result == -ENOSYS))
        code = l4vio_file_run(file, io);
    if (transfers && result == 0)
        code = L4VIO_EIO;
    if (transfers && result > 0) {
        l4vio_file_advance(io, (uint64_t)result);
        if (io->progress_bytes < io->length_bytes) {
            put_in_ring(file, lane, io);
            return false;
        }
    }
    if (transfers && code)
        l4vio_file_restore(io);
    io->done(io, code);
    return true;
}

/* `done` may submit: the entry is given back before it is called. */
static unsigned take_completions(struct l4vio_file *file, struct l4vio_block_lane *lane)
{
    struct io_uring_cqe *cqe;
    unsigned count = 0;
    while (io_uring_peek_cqe(&lane->ring, &cqe) == 0) {
        struct l4vio_block_io *io = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&lane->ring, cqe);
        lane->at_kernel--;
        if (complete(file, lane, io, result))
            count++;
    }
    return count;
}

static unsigned uring_poll(void *self, struct l4vio_block_lane *lane, bool wait)
{
    struct l4vio_file *file = self;
    if (!lane || !lane->has_ring)
        return 0;
    unsigned count = take_completions(file, lane);
    for (;;) {
        refill(file, lane);
        submit_ring(lane);
        if (!wait || count != 0 || lane->at_kernel == 0)
            return count;
        struct io_uring_cqe *cqe;
        (void)io_uring_wait_cqe(&lane->ring, &cqe);
        count = take_completions(file, lane);
    }
}

static void uring_region_added(void *self, void *base, uint64_t size_bytes)
{
    l4vio_fixed_region_added(&((struct l4vio_file *)self)->fixed, base, size_bytes);
}

static void uring_region_removed(void *self, void *base, uint64_t size_bytes)
{
    l4vio_fixed_region_removed(&((struct l4vio_file *)self)->fixed, base, size_bytes);
}

static intptr_t uring_lane_handle(void *self, struct l4vio_block_lane *lane)
{
    (void)self;
    return lane && lane->has_ring ? lane->ring.ring_fd : -1;
}

const struct l4vio_block_backend_ops l4vio_file_uring_ops = {
    .info = l4vio_file_info,
    .lane_open = uring_lane_open,
    .lane_close = uring_lane_close,
    .submit = uring_submit,
    .flush_submissions = uring_flush_submissions,
    .poll = uring_poll,
    .lane_handle = uring_lane_handle,
    .region_added = uring_region_added,
    .region_removed = uring_region_removed,
};
