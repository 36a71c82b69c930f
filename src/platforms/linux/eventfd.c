/* SPDX-License-Identifier: MIT */
#include "platforms/linux/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <l4vio/error.h>

/* Operations in flight that we ask room for; the kernel's completion ring holds about eight times more. */
#define AIO_OPERATIONS 16

/* Completions taken out of the ring at once. */
#define AIO_REAP 64

int l4vio_eventfd_create(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/*
 * write() cannot be made safe: between our look at O_NONBLOCK and the counter and the write itself the
 * peer may change both, and eventfd has no write with RWF_NOWAIT. But an asynchronous operation that
 * names a result eventfd has the kernel add the event when it completes, and that addition saturates
 * instead of blocking. The operation is the cheapest one that needs no file of anybody's and is complete
 * when io_submit returns: a read of nothing (its result, an error, is of no interest), or, on kernels
 * that read eventfds in no other way than by read(), a poll for room.
 */
static int submit(const struct l4vio_eventfd_signaller *signaller, int fd)
{
    uint64_t nothing;
    struct iocb operation;
    struct iocb *list[1] = {&operation};

    memset(&operation, 0, sizeof(operation));
    operation.aio_lio_opcode = signaller->operation;
    operation.aio_fildes = (uint32_t)signaller->ready_fd;
    operation.aio_buf = POLLOUT;
    if (signaller->operation == IOCB_CMD_PREAD)
        operation.aio_buf = (uint64_t)(uintptr_t)&nothing;
    operation.aio_flags = IOCB_FLAG_RESFD;
    operation.aio_resfd = (uint32_t)fd;
    return syscall(SYS_io_submit, signaller->context, 1L, list) == 1;
}

void l4vio_eventfd_signaller_open(struct l4vio_eventfd_signaller *signaller)
{
    memset(signaller, 0, sizeof(*signaller));
    atomic_init(&signaller->usable, false);
    signaller->ready_fd = l4vio_eventfd_create();
    if (signaller->ready_fd < 0 || syscall(SYS_io_setup, AIO_OPERATIONS, &signaller->context))
        return;
    signaller->operation = IOCB_CMD_PREAD;
    if (!submit(signaller, signaller->ready_fd) || !l4vio_eventfd_drain(signaller->ready_fd))
        signaller->operation = IOCB_CMD_POLL;
    atomic_store(&signaller->usable, true);
}

void l4vio_eventfd_signaller_close(struct l4vio_eventfd_signaller *signaller)
{
    if (signaller->context)
        syscall(SYS_io_destroy, signaller->context);
    if (signaller->ready_fd >= 0)
        close(signaller->ready_fd);
    signaller->context = 0;
    signaller->ready_fd = -1;
    atomic_store(&signaller->usable, false);
}

/* Completions are of no interest; they are thrown away when the ring is full. */
static void reap(const struct l4vio_eventfd_signaller *signaller)
{
    struct io_event events[AIO_REAP];
    struct timespec none = {0, 0};

    syscall(SYS_io_getevents, signaller->context, 0L, (long)AIO_REAP, events, &none);
}

/* Returns 1 done, 0 this way does not work. */
static int trigger_by_kernel(const struct l4vio_eventfd_signaller *signaller, int fd)
{
    /* Other threads may fill the ring again; each round some thread gets through. */
    for (int attempt = 0; attempt < 100; attempt++) {
        if (submit(signaller, fd))
            return 1;
        if (errno != EAGAIN)
            return 0;
        reap(signaller);
    }
    return 0;
}

/*
 * Where the kernel has no asynchronous I/O for us (a sandbox forbids it, the system-wide limit is used
 * up, or after a fork). The peer could still make the write block, in the window between our last look
 * and the write.
 */
static int trigger_by_write(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    uint64_t one = 1;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return L4VIO_EINVAL;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return L4VIO_EINVAL;
    if (poll(&poll_fd, 1, 0) == 0)
        return L4VIO_OK; /* The counter is full: an event is pending anyway. */
    if (write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
        return L4VIO_OK;
    return errno == EAGAIN || errno == EINTR ? L4VIO_OK : L4VIO_EINVAL;
}

int l4vio_eventfd_trigger(struct l4vio_eventfd_signaller *signaller, int fd)
{
    if (fd < 0)
        return L4VIO_EINVAL;
    if (atomic_load_explicit(&signaller->usable, memory_order_relaxed) &&
        trigger_by_kernel(signaller, fd))
        return L4VIO_OK;
    return trigger_by_write(fd);
}

/* For kernels without RWF_NOWAIT on eventfds (before 5.8). */
static int drain_by_read(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint64_t count;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return 0;
    if (poll(&poll_fd, 1, 0) != 1)
        return 0;
    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

int l4vio_eventfd_drain(int fd)
{
    uint64_t count;
    struct iovec iovec = {.iov_base = &count, .iov_len = sizeof(count)};

    if (fd < 0)
        return 0;
    if (preadv2(fd, &iovec, 1, -1, RWF_NOWAIT) == (ssize_t)sizeof(count))
        return 1;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
        return drain_by_read(fd);
    return 0;
}
