/* SPDX-License-Identifier: MIT */
/* The Linux platform: dataspaces, notifications, waiting, checks of what a peer hands over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <l4vio/linux.h>

#define MILLISECOND UINT64_C(1000000)

struct fixture {
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    *state = &fixture;
    return l4vio_linux_open(&fixture.linux_platform, &fixture.platform, NULL);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    unsigned dataspaces = 1;
    unsigned notifications = 1;

    l4vio_linux_usage(fixture->linux_platform, &dataspaces, &notifications);
    l4vio_linux_close(fixture->linux_platform);
    return dataspaces || notifications;
}

static int sealed_memfd(uint64_t bytes, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_not_equal(fcntl(fd, F_ADD_SEALS, seals), -1);
    return fd;
}

static void allocated_dataspace_is_zeroed_and_cannot_change_size(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_dataspace dataspace;
    struct l4vio_error error = {0};
    uint64_t size = 0;

    assert_int_equal(platform->ops->dataspace_allocate(platform->self, 5000, &dataspace, &error),
                     0);
    assert_true(dataspace.size_bytes >= 8192);
    assert_int_equal(dataspace.size_bytes % (uint64_t)sysconf(_SC_PAGESIZE), 0);
    for (uint64_t i = 0; i < dataspace.size_bytes; i++)
        assert_int_equal(((unsigned char *)dataspace.base)[i], 0);
    assert_int_equal(ftruncate((int)dataspace.handle, 0), -1);
    assert_int_equal(ftruncate((int)dataspace.handle, 1 << 20), -1);
    assert_int_equal(l4vio_linux_check_memfd((int)dataspace.handle, &size, NULL), 0);
    assert_int_equal(size, dataspace.size_bytes);
    assert_true(fcntl((int)dataspace.handle, F_GETFD) & FD_CLOEXEC);
    platform->ops->dataspace_free(platform->self, &dataspace);
    assert_null(dataspace.base);
    assert_int_equal(dataspace.handle, L4VIO_NO_HANDLE);
}

static void impossible_sizes_are_refused(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_dataspace dataspace;

    assert_int_equal(platform->ops->dataspace_allocate(platform->self, 0, &dataspace, NULL),
                     L4VIO_EINVAL);
    assert_int_equal(
        platform->ops->dataspace_allocate(platform->self, UINT64_MAX, &dataspace, NULL),
        L4VIO_EINVAL);
    assert_true(
        platform->ops->dataspace_allocate(platform->self, UINT64_C(1) << 60, &dataspace, NULL) < 0);
}

static int try_map(const struct l4vio_platform *platform, int fd, uint64_t offset, uint64_t size)
{
    struct l4vio_dataspace dataspace = {.handle = fd};
    int result = platform->ops->dataspace_map(platform->self, &dataspace, offset, size, NULL);

    if (result == L4VIO_OK)
        platform->ops->dataspace_free(platform->self, &dataspace);
    else
        close(fd);
    return result;
}

static void memory_that_can_be_taken_away_is_not_mapped(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    const int both = F_SEAL_SHRINK | F_SEAL_GROW;
    int pipes[2];

    assert_int_equal(try_map(platform, sealed_memfd(8192, both), 0, 8192), 0);
    assert_int_equal(try_map(platform, sealed_memfd(8192, 0), 0, 8192), L4VIO_EINVAL);
    assert_int_equal(try_map(platform, sealed_memfd(8192, F_SEAL_SHRINK), 0, 8192), L4VIO_EINVAL);
    assert_int_equal(try_map(platform, sealed_memfd(8192, F_SEAL_GROW), 0, 8192), L4VIO_EINVAL);
    assert_int_equal(try_map(platform, sealed_memfd(8192, both | F_SEAL_WRITE), 0, 8192),
                     L4VIO_EINVAL);
    assert_int_equal(try_map(platform, open("/dev/zero", O_RDWR | O_CLOEXEC), 0, 4096),
                     L4VIO_EINVAL);
    assert_int_equal(try_map(platform, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), 0, 4096),
                     L4VIO_EINVAL);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    close(pipes[1]);
    assert_int_equal(try_map(platform, pipes[0], 0, 4096), L4VIO_EINVAL);
}

static void read_only_descriptor_is_refused(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    int fd = sealed_memfd(4096, F_SEAL_SHRINK | F_SEAL_GROW);
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int read_only = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read_only >= 0);
    close(fd);
    assert_int_equal(try_map(platform, read_only, 0, 4096), L4VIO_EINVAL);
}

static void huge_pages_are_refused(void **state)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    uint64_t size = 0;

    (void)state;
    if (fd < 0)
        skip();
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_not_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), -1);
    assert_int_equal(l4vio_linux_check_memfd(fd, &size, NULL), L4VIO_EINVAL);
    close(fd);
}

static void window_past_the_end_is_refused(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    const int both = F_SEAL_SHRINK | F_SEAL_GROW;

    assert_int_equal(try_map(platform, sealed_memfd(8192, both), 0, 8193), L4VIO_ERANGE);
    assert_int_equal(try_map(platform, sealed_memfd(8192, both), 4096, 8192), L4VIO_ERANGE);
    assert_int_equal(try_map(platform, sealed_memfd(8192, both), UINT64_MAX, 2), L4VIO_ERANGE);
    assert_int_equal(try_map(platform, sealed_memfd(8192, both), 4096, 0), L4VIO_EINVAL);
}

/* On hosts with pages of 16 or 64 KiB a config page lies in the middle of one. */
static void window_may_begin_inside_a_page(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    int fd = sealed_memfd(16384, F_SEAL_SHRINK | F_SEAL_GROW);
    struct l4vio_dataspace dataspace = {.handle = fd};

    assert_int_equal(pwrite(fd, "l4vio", 5, 4096 + 512), 5);
    assert_int_equal(
        platform->ops->dataspace_map(platform->self, &dataspace, 4096 + 512, 4096, NULL), 0);
    assert_memory_equal(dataspace.base, "l4vio", 5);
    assert_int_equal(dataspace.size_bytes, 4096);
    platform->ops->dataspace_free(platform->self, &dataspace);
}

static void triggers_collapse_until_drained(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification notification;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(platform->ops->notification_trigger(platform->self, &notification), 0);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 1);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 0);
    platform->ops->notification_destroy(platform->self, &notification);
    assert_int_equal(platform->ops->notification_trigger(platform->self, &notification),
                     L4VIO_EINVAL);
}

static void *trigger_many(void *argument)
{
    const struct l4vio_platform *platform = ((void **)argument)[0];
    const struct l4vio_notification *notification = ((void **)argument)[1];

    for (int i = 0; i < 20000; i++) {
        if (platform->ops->notification_trigger(platform->self, notification) != 0)
            return argument;
    }
    return NULL;
}

static void several_threads_trigger_at_once(void **state)
{
    struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification notification;
    void *arguments[2] = {platform, &notification};
    pthread_t threads[4];
    void *failed = NULL;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, trigger_many, arguments), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 1);
    platform->ops->notification_destroy(platform->self, &notification);
}

static void wait_returns_at_the_deadline(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification notification;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    uint64_t deadline = platform->ops->now_ns(platform->self) + 20 * MILLISECOND;
    assert_int_equal(
        platform->ops->wait(platform->self, &notification, 1, L4VIO_NO_HANDLE, deadline),
        L4VIO_ETIMEDOUT);
    assert_true(platform->ops->now_ns(platform->self) >= deadline);
    assert_int_equal(platform->ops->wait(platform->self, &notification, 1, L4VIO_NO_HANDLE, 0),
                     L4VIO_ETIMEDOUT);
    platform->ops->notification_destroy(platform->self, &notification);
}

static void wait_sees_the_last_of_many_notifications(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification many[120];

    for (unsigned i = 0; i < 120; i++)
        many[i].handle = L4VIO_NO_HANDLE;
    assert_int_equal(platform->ops->notification_create(platform->self, &many[119], NULL), 0);
    assert_int_equal(platform->ops->wait(platform->self, many, 120, L4VIO_NO_HANDLE, 0),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(platform->ops->notification_trigger(platform->self, &many[119]), 0);
    assert_int_equal(platform->ops->wait(platform->self, many, 120, L4VIO_NO_HANDLE, L4VIO_FOREVER),
                     0);
    platform->ops->notification_destroy(platform->self, &many[119]);
}

static void wait_returns_when_the_peer_dies_but_not_when_it_speaks(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(send(sockets[1], "x", 1, 0), 1);
    assert_int_equal(platform->ops->wait(platform->self, NULL, 0, sockets[0], 0), L4VIO_ETIMEDOUT);
    close(sockets[1]);
    assert_int_equal(platform->ops->wait(platform->self, NULL, 0, sockets[0], L4VIO_FOREVER), 0);
    close(sockets[0]);
}

static void wait_on_a_closed_descriptor_is_an_error(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification closed;

    closed.handle = dup(0);
    close((int)closed.handle);
    assert_int_equal(
        platform->ops->wait(platform->self, &closed, 1, L4VIO_NO_HANDLE, L4VIO_FOREVER),
        L4VIO_EINVAL);
}

/* A waiter for two notifications and the end of a socket, of which [1] is the peer's. */
static struct l4vio_waiter open_waiter(const struct l4vio_platform *platform,
                                       struct l4vio_notification both[2], int sockets[2])
{
    struct l4vio_waiter waiter = {.handle = L4VIO_NO_HANDLE};

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(platform->ops->notification_create(platform->self, &both[i], NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(platform->ops->waiter_open(platform->self, both, 2, sockets[0], &waiter), 0);
    assert_true(fcntl((int)waiter.handle, F_GETFD) & FD_CLOEXEC);
    return waiter;
}

static void close_waiter(const struct l4vio_platform *platform, struct l4vio_waiter *waiter,
                         struct l4vio_notification both[2], int sockets[2])
{
    for (unsigned i = 0; i < 2; i++)
        platform->ops->notification_destroy(platform->self, &both[i]);
    platform->ops->waiter_close(platform->self, waiter);
    assert_int_equal(waiter->handle, L4VIO_NO_HANDLE);
    platform->ops->waiter_close(platform->self, waiter);
    close(sockets[0]);
    if (sockets[1] >= 0)
        close(sockets[1]);
}

/* At once, or not at all. */
static int wait_now(const struct l4vio_platform *platform, const struct l4vio_waiter *waiter)
{
    return platform->ops->waiter_wait(platform->self, waiter, 0);
}

static void every_trigger_ends_one_sleep_of_a_waiter_undrained(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification both[2];
    int sockets[2];
    struct l4vio_waiter waiter = open_waiter(platform, both, sockets);

    assert_int_equal(wait_now(platform, &waiter), L4VIO_ETIMEDOUT);
    for (unsigned i = 0; i < 1000; i++) {
        platform->ops->notification_trigger(platform->self, &both[i % 2]);
        assert_int_equal(platform->ops->waiter_wait(platform->self, &waiter, L4VIO_FOREVER), 0);
        assert_int_equal(wait_now(platform, &waiter), L4VIO_ETIMEDOUT);
    }
    /* Who reads the counter does not take the event along. */
    assert_int_equal(platform->ops->notification_drain(platform->self, &both[0]), 1);
    platform->ops->notification_trigger(platform->self, &both[0]);
    assert_int_equal(wait_now(platform, &waiter), 0);
    close_waiter(platform, &waiter, both, sockets);
}

static void waiter_hears_of_what_came_before_it(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification notification;
    struct l4vio_waiter waiter;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    platform->ops->notification_trigger(platform->self, &notification);
    assert_int_equal(
        platform->ops->waiter_open(platform->self, &notification, 1, L4VIO_NO_HANDLE, &waiter), 0);
    assert_int_equal(wait_now(platform, &waiter), 0);
    assert_int_equal(wait_now(platform, &waiter), L4VIO_ETIMEDOUT);
    platform->ops->waiter_close(platform->self, &waiter);
    platform->ops->notification_destroy(platform->self, &notification);
}

static void waiter_returns_at_the_deadline(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification both[2];
    int sockets[2];
    struct l4vio_waiter waiter = open_waiter(platform, both, sockets);
    uint64_t deadline = platform->ops->now_ns(platform->self) + 20 * MILLISECOND;

    assert_int_equal(platform->ops->waiter_wait(platform->self, &waiter, deadline),
                     L4VIO_ETIMEDOUT);
    assert_true(platform->ops->now_ns(platform->self) >= deadline);
    close_waiter(platform, &waiter, both, sockets);
}

static void waiter_returns_when_the_peer_dies_but_not_when_it_speaks(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification both[2];
    int sockets[2];
    struct l4vio_waiter waiter = open_waiter(platform, both, sockets);

    assert_int_equal(write(sockets[1], "x", 1), 1);
    assert_int_equal(wait_now(platform, &waiter), L4VIO_ETIMEDOUT);
    close(sockets[1]);
    sockets[1] = -1;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(platform->ops->waiter_wait(platform->self, &waiter, L4VIO_FOREVER), 0);
    close_waiter(platform, &waiter, both, sockets);
}

static void waiter_of_a_closed_descriptor_is_not_made(void **state)
{
    const struct l4vio_platform *platform = &((struct fixture *)*state)->platform;
    struct l4vio_notification notification = {.handle = 100000};
    struct l4vio_waiter waiter = {.handle = L4VIO_NO_HANDLE};

    assert_true(
        platform->ops->waiter_open(platform->self, &notification, 1, L4VIO_NO_HANDLE, &waiter) < 0);
    assert_int_equal(waiter.handle, L4VIO_NO_HANDLE);
}

static void only_eventfds_pass_as_eventfds(void **state)
{
    int pipes[2];
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    int memory = sealed_memfd(4096, F_SEAL_SHRINK | F_SEAL_GROW);
    int event = eventfd(0, 0);

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(l4vio_linux_check_eventfd(pipes[1], NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_linux_check_eventfd(timer, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_linux_check_eventfd(memory, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_linux_check_eventfd(-1, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_linux_check_eventfd(event, NULL), 0);
    assert_true(fcntl(event, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(event, F_GETFD) & FD_CLOEXEC);
    close(event);
    assert_int_equal(l4vio_linux_check_eventfd(event, NULL), L4VIO_EINVAL);
    close(pipes[0]);
    close(pipes[1]);
    close(timer);
    close(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocated_dataspace_is_zeroed_and_cannot_change_size),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(memory_that_can_be_taken_away_is_not_mapped),
        cmocka_unit_test(read_only_descriptor_is_refused),
        cmocka_unit_test(huge_pages_are_refused),
        cmocka_unit_test(window_past_the_end_is_refused),
        cmocka_unit_test(window_may_begin_inside_a_page),
        cmocka_unit_test(triggers_collapse_until_drained),
        cmocka_unit_test(several_threads_trigger_at_once),
        cmocka_unit_test(wait_returns_at_the_deadline),
        cmocka_unit_test(wait_sees_the_last_of_many_notifications),
        cmocka_unit_test(wait_returns_when_the_peer_dies_but_not_when_it_speaks),
        cmocka_unit_test(wait_on_a_closed_descriptor_is_an_error),
        cmocka_unit_test(every_trigger_ends_one_sleep_of_a_waiter_undrained),
        cmocka_unit_test(waiter_hears_of_what_came_before_it),
        cmocka_unit_test(waiter_returns_at_the_deadline),
        cmocka_unit_test(waiter_returns_when_the_peer_dies_but_not_when_it_speaks),
        cmocka_unit_test(waiter_of_a_closed_descriptor_is_not_made),
        cmocka_unit_test(only_eventfds_pass_as_eventfds),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
