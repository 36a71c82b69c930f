/* SPDX-License-Identifier: MIT */
/*
 * The peer holds the same eventfd: it fills the counter, empties it, and makes it blocking, at any
 * moment. Neither triggering nor draining blocks; an alarm ends the test if one does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/linux.h>

#define TRIGGERS      100000
#define ALARM_SECONDS 60
#define BLOCKED_MS    10000

struct attack {
    int fd;
    atomic_bool end;
    atomic_bool blocked; /* The victim stood still. */
    atomic_uint progress;
};

static void fill(int fd)
{
    uint64_t most = UINT64_MAX - 1;
    ssize_t written = write(fd, &most, sizeof(most));
    (void)written;
}

/* The watchdog: SIGALRM ends the process. */
static int open_platform(void **state)
{
    static struct l4vio_platform platform;
    static struct l4vio_linux *linux_platform;

    alarm(ALARM_SECONDS);
    *state = &platform;
    return l4vio_linux_open(&linux_platform, &platform, NULL);
}

static int close_platform(void **state)
{
    const struct l4vio_platform *platform = *state;

    l4vio_linux_close(platform->self);
    alarm(0);
    return 0;
}

static void full_and_blocking_counter_does_not_stop_the_trigger(void **state)
{
    const struct l4vio_platform *platform = *state;
    struct l4vio_notification notification;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    fill((int)notification.handle);
    assert_int_not_equal(fcntl((int)notification.handle, F_SETFL, 0), -1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(platform->ops->notification_trigger(platform->self, &notification), 0);
    /* Still pending, and seen so by whoever waits. */
    assert_int_equal(platform->ops->wait(platform->self, &notification, 1, L4VIO_NO_HANDLE, 0), 0);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 1);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 0);
    platform->ops->notification_destroy(platform->self, &notification);
}

/* A counter that is full stays so, yet each trigger wakes whoever has a waiter. */
static void full_counter_does_not_make_a_waiter_deaf(void **state)
{
    const struct l4vio_platform *platform = *state;
    struct l4vio_notification notification;
    struct l4vio_waiter waiter;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    assert_int_equal(
        platform->ops->waiter_open(platform->self, &notification, 1, L4VIO_NO_HANDLE, &waiter), 0);
    fill((int)notification.handle);
    assert_int_equal(platform->ops->waiter_wait(platform->self, &waiter, 0), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(platform->ops->waiter_wait(platform->self, &waiter, 0), L4VIO_ETIMEDOUT);
        assert_int_equal(platform->ops->notification_trigger(platform->self, &notification), 0);
        assert_int_equal(platform->ops->waiter_wait(platform->self, &waiter, 0), 0);
    }
    platform->ops->waiter_close(platform->self, &waiter);
    platform->ops->notification_destroy(platform->self, &notification);
}

static void empty_and_blocking_counter_does_not_stop_the_drain(void **state)
{
    const struct l4vio_platform *platform = *state;
    struct l4vio_notification notification;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    assert_int_not_equal(fcntl((int)notification.handle, F_SETFL, 0), -1);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 0);
    platform->ops->notification_destroy(platform->self, &notification);
}

/* Leaves the counter full and the descriptor blocking until the other side has moved on. */
static bool leave_full(struct attack *attack)
{
    const struct timespec pause = {0, 1000000};
    unsigned before = atomic_load(&attack->progress);

    for (int i = 0; i < BLOCKED_MS + 1000; i++) {
        if (atomic_load(&attack->progress) != before || atomic_load(&attack->end))
            return true;
        if (i >= 1000)
            nanosleep(&pause, NULL);
    }
    return false;
}

static void *toggle(void *argument)
{
    struct attack *attack = argument;
    uint64_t count;

    while (!atomic_load(&attack->end)) {
        fcntl(attack->fd, F_SETFL, O_NONBLOCK);
        ssize_t got = read(attack->fd, &count, sizeof(count));
        (void)got;
        fill(attack->fd);
        fcntl(attack->fd, F_SETFL, 0);
        if (!leave_full(attack))
            atomic_store(&attack->blocked, true);
    }
    return NULL;
}

static void counter_toggled_meanwhile_never_blocks(void **state)
{
    const struct l4vio_platform *platform = *state;
    struct l4vio_notification notification;
    struct attack attack;
    pthread_t thread;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    attack.fd = (int)notification.handle;
    atomic_init(&attack.end, false);
    atomic_init(&attack.blocked, false);
    atomic_init(&attack.progress, 0);
    assert_int_equal(pthread_create(&thread, NULL, toggle, &attack), 0);
    for (int i = 0; i < TRIGGERS && !atomic_load(&attack.blocked); i++) {
        assert_int_equal(platform->ops->notification_trigger(platform->self, &notification), 0);
        if (i % 8 == 0)
            platform->ops->notification_drain(platform->self, &notification);
        atomic_fetch_add(&attack.progress, 1);
    }
    atomic_store(&attack.end, true);
    pthread_join(thread, NULL);
    assert_false(atomic_load(&attack.blocked));
    platform->ops->notification_destroy(platform->self, &notification);
}

static void trigger_works_in_a_child_of_fork(void **state)
{
    const struct l4vio_platform *platform = *state;
    struct l4vio_notification notification;
    int status = 0;

    assert_int_equal(platform->ops->notification_create(platform->self, &notification, NULL), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(platform->ops->notification_trigger(platform->self, &notification) == 0 ? 0 : 1);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(platform->ops->notification_drain(platform->self, &notification), 1);
    platform->ops->notification_destroy(platform->self, &notification);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_and_blocking_counter_does_not_stop_the_trigger),
        cmocka_unit_test(full_counter_does_not_make_a_waiter_deaf),
        cmocka_unit_test(empty_and_blocking_counter_does_not_stop_the_drain),
        cmocka_unit_test(counter_toggled_meanwhile_never_blocks),
        cmocka_unit_test(trigger_works_in_a_child_of_fork),
    };

    return cmocka_run_group_tests(tests, open_platform, close_platform);
}
