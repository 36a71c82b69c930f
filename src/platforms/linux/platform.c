/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "platforms/linux/eventfd.h"
#include "platforms/linux/linux.h"

/* Notifications waited for without allocating: 64 queues, and some. */
#define WAIT_WITHOUT_HEAP 80u

struct l4vio_linux {
    struct l4vio_eventfd_signaller signaller;
    pthread_mutex_t lock;
    atomic_uint dataspaces;    /* Mapped now. */
    atomic_uint notifications; /* Created or adopted, not destroyed. */
};

static uint64_t now_ns(void *self)
{
    struct timespec now;

    (void)self;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t l4vio_linux_deadline(uint64_t span_ns)
{
    uint64_t now = now_ns(NULL);

    return span_ns > L4VIO_FOREVER - now ? L4VIO_FOREVER : now + span_ns;
}

const struct timespec *l4vio_linux_timeout(uint64_t deadline_ns, struct timespec *storage)
{
    if (deadline_ns == L4VIO_FOREVER)
        return NULL;
    uint64_t now = now_ns(NULL);
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    storage->tv_sec = (time_t)(left / UINT64_C(1000000000));
    storage->tv_nsec = (long)(left % UINT64_C(1000000000));
    return storage;
}

static int dataspace_allocate(void *self, uint64_t size_bytes, struct l4vio_dataspace *out,
                              struct l4vio_error *error)
{
    struct l4vio_linux *linux_platform = self;
    int fd = -1;
    int result = l4vio_memfd_create(&size_bytes, &fd, error);

    if (result < 0)
        return result;
    result = l4vio_memfd_map(fd, 0, size_bytes, &out->base, error);
    if (result < 0) {
        close(fd);
        return result;
    }
    out->size_bytes = size_bytes;
    out->handle = fd;
    atomic_fetch_add(&linux_platform->dataspaces, 1);
    return L4VIO_OK;
}

static int dataspace_map(void *self, struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                         uint64_t size_bytes, struct l4vio_error *error)
{
    struct l4vio_linux *linux_platform = self;
    uint64_t available = 0;
    int fd = (int)dataspace->handle;
    int result = l4vio_linux_check_memfd(fd, &available, error);

    if (result < 0)
        return result;
    if (offset_bytes > available || size_bytes > available - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "window past the end of the dataspace", available);
    result = l4vio_memfd_map(fd, offset_bytes, size_bytes, &dataspace->base, error);
    if (result < 0)
        return result;
    dataspace->size_bytes = size_bytes;
    atomic_fetch_add(&linux_platform->dataspaces, 1);
    return L4VIO_OK;
}

static void dataspace_free(void *self, struct l4vio_dataspace *dataspace)
{
    struct l4vio_linux *linux_platform = self;

    if (dataspace->base) {
        l4vio_memfd_unmap(dataspace->base, dataspace->size_bytes);
        atomic_fetch_sub(&linux_platform->dataspaces, 1);
    }
    if (dataspace->handle >= 0)
        close((int)dataspace->handle);
    dataspace->base = NULL;
    dataspace->size_bytes = 0;
    dataspace->handle = L4VIO_NO_HANDLE;
}

static int notification_create(void *self, struct l4vio_notification *out,
                               struct l4vio_error *error)
{
    struct l4vio_linux *linux_platform = self;
    int fd = l4vio_eventfd_create();

    if (fd < 0)
        return l4vio_fail(error, L4VIO_ENOMEM, "eventfd cannot be created", (uint64_t)errno);
    out->handle = fd;
    atomic_fetch_add(&linux_platform->notifications, 1);
    return L4VIO_OK;
}

static void notification_destroy(void *self, struct l4vio_notification *notification)
{
    struct l4vio_linux *linux_platform = self;

    if (notification->handle < 0)
        return;
    close((int)notification->handle);
    notification->handle = L4VIO_NO_HANDLE;
    atomic_fetch_sub(&linux_platform->notifications, 1);
}

static int notification_trigger(void *self, const struct l4vio_notification *notification)
{
    struct l4vio_linux *linux_platform = self;

    return l4vio_eventfd_trigger(&linux_platform->signaller, (int)notification->handle);
}

static int notification_drain(void *self, const struct l4vio_notification *notification)
{
    (void)self;
    return l4vio_eventfd_drain((int)notification->handle);
}

static int wait_on(struct pollfd *fds, unsigned count, uint64_t deadline_ns)
{
    struct timespec storage;
    int ready = ppoll(fds, count, l4vio_linux_timeout(deadline_ns, &storage), NULL);

    if (ready == 0)
        return L4VIO_ETIMEDOUT;
    if (ready < 0)
        return errno == EINTR ? L4VIO_OK : L4VIO_EINVAL;
    for (unsigned i = 0; i < count; i++) {
        if (fds[i].revents & POLLNVAL)
            return L4VIO_EINVAL; /* A closed descriptor would make the caller spin. */
    }
    return L4VIO_OK;
}

static int wait_notifications(void *self, const struct l4vio_notification *notifications,
                              unsigned count, intptr_t peer_handle, uint64_t deadline_ns)
{
    struct pollfd few[WAIT_WITHOUT_HEAP + 1];
    struct pollfd *fds = few;

    (void)self;
    if (count > WAIT_WITHOUT_HEAP) {
        fds = malloc(((size_t)count + 1) * sizeof(*fds));
        if (!fds)
            return L4VIO_ENOMEM;
    }
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = (int)notifications[i].handle, .events = POLLIN};
    /* Hang-up only: replies to calls of other threads make the socket readable. */
    fds[count] = (struct pollfd){.fd = (int)peer_handle, .events = POLLRDHUP};
    int result = wait_on(fds, count + 1, deadline_ns);
    if (fds != few)
        free(fds);
    return result;
}

static int watch(int epoll, intptr_t handle, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, (int)handle, &event);
}

/*
 * Every write to an eventfd is an event of its own, whatever the counter says, so nothing has to be read.
 * The peer's end stays to be told of.
 */
static int waiter_open(void *self, const struct l4vio_notification *notifications, unsigned count,
                       intptr_t peer_handle, struct l4vio_waiter *out)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int result = epoll;

    (void)self;
    for (unsigned i = 0; result >= 0 && i < count; i++)
        result = watch(epoll, notifications[i].handle, EPOLLIN | EPOLLET);
    if (result >= 0 && peer_handle != L4VIO_NO_HANDLE)
        result = watch(epoll, peer_handle, EPOLLRDHUP);
    if (result >= 0) {
        out->handle = epoll;
        return L4VIO_OK;
    }
    if (epoll >= 0)
        close(epoll);
    return L4VIO_ENOMEM;
}

/* Rounded up: too late is better than again and again. */
static int milliseconds(const struct timespec *time)
{
    if (time->tv_sec > 1000000)
        return 1000000000;
    return (int)(time->tv_sec * 1000 + (time->tv_nsec + 999999) / 1000000);
}

static int waiter_wait(void *self, const struct l4vio_waiter *waiter, uint64_t deadline_ns)
{
    struct epoll_event events[L4VIO_WAITER_NOTIFICATIONS + 1];
    struct timespec storage;
    const struct timespec *left = l4vio_linux_timeout(deadline_ns, &storage);
    int epoll = (int)waiter->handle;
    int most = L4VIO_WAITER_NOTIFICATIONS + 1;
    int ready = 0;

    (void)self;
    if (!left)
        ready = epoll_wait(epoll, events, most, -1);
    else
        ready = epoll_pwait2(epoll, events, most, left, NULL);
    if (ready < 0 && errno == ENOSYS) /* Linux before 5.11 counts in milliseconds. */
        ready = epoll_wait(epoll, events, most, milliseconds(left));
    if (ready == 0)
        return L4VIO_ETIMEDOUT;
    return ready > 0 || errno == EINTR ? L4VIO_OK : L4VIO_EINVAL;
}

static void waiter_close(void *self, struct l4vio_waiter *waiter)
{
    (void)self;
    if (waiter->handle >= 0)
        close((int)waiter->handle);
    waiter->handle = L4VIO_NO_HANDLE;
}

static void lock(void *self)
{
    struct l4vio_linux *linux_platform = self;
    pthread_mutex_lock(&linux_platform->lock);
}

static void unlock(void *self)
{
    struct l4vio_linux *linux_platform = self;
    pthread_mutex_unlock(&linux_platform->lock);
}

static const struct l4vio_platform_ops ops = {
    .now_ns = now_ns,
    .dataspace_allocate = dataspace_allocate,
    .dataspace_map = dataspace_map,
    .dataspace_free = dataspace_free,
    .notification_create = notification_create,
    .notification_destroy = notification_destroy,
    .notification_trigger = notification_trigger,
    .notification_drain = notification_drain,
    .wait = wait_notifications,
    .lock = lock,
    .unlock = unlock,
    .waiter_open = waiter_open,
    .waiter_wait = waiter_wait,
    .waiter_close = waiter_close,
};

int l4vio_linux_open(struct l4vio_linux **out, struct l4vio_platform *platform,
                     struct l4vio_error *error)
{
    struct l4vio_linux *linux_platform = calloc(1, sizeof(*linux_platform));

    if (!linux_platform)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    pthread_mutex_init(&linux_platform->lock, NULL);
    l4vio_eventfd_signaller_open(&linux_platform->signaller);
    platform->ops = &ops;
    platform->self = linux_platform;
    *out = linux_platform;
    return L4VIO_OK;
}

void l4vio_linux_close(struct l4vio_linux *platform)
{
    if (!platform)
        return;
    l4vio_eventfd_signaller_close(&platform->signaller);
    pthread_mutex_destroy(&platform->lock);
    free(platform);
}

void l4vio_linux_usage(const struct l4vio_linux *platform, unsigned *dataspaces,
                       unsigned *notifications)
{
    *dataspaces = atomic_load(&platform->dataspaces);
    *notifications = atomic_load(&platform->notifications);
}

void l4vio_linux_adopt_notification(const struct l4vio_platform *platform)
{
    if (platform->ops != &ops)
        return;
    struct l4vio_linux *linux_platform = platform->self;
    atomic_fetch_add(&linux_platform->notifications, 1);
}

int l4vio_linux_check_eventfd(int fd, struct l4vio_error *error)
{
    static const char kind[] = "anon_inode:[eventfd]";
    char path[40];
    char target[sizeof(kind)];

    if (fd < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "not a descriptor", 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

    /* Without /proc nobody can tell what it is: refused. */
    ssize_t got = readlink(path, target, sizeof(target));
    if (got < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "kind of a descriptor cannot be told: no /proc",
                          (uint64_t)errno);
    if (got != (ssize_t)strlen(kind) || memcmp(target, kind, strlen(kind)) != 0)
        return l4vio_fail(error, L4VIO_EINVAL, "descriptor is not an eventfd", 0);

    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "descriptor cannot be made non-blocking",
                          (uint64_t)errno);
    return L4VIO_OK;
}
