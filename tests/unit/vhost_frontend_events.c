/* SPDX-License-Identifier: MIT */
/* What a vhost-user back end says without being asked: changes of the configuration, errors. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#include "usage.h"
#include "vhost_rig.h"

#define CONFIG_CHANGE 2u
#define HOST_NOTIFIER 3u

static struct usage before;

static int set_up(void **state)
{
    before = usage_now();
    *state = vhost_rig_new();
    return 0;
}

static int tear_down(void **state)
{
    vhost_rig_free(*state);
    struct usage after = usage_now();
    return before.descriptors == after.descriptors && before.mappings == after.mappings ? 0 : -1;
}

static const struct l4vio_notification *config_notification(const struct vhost_rig *rig)
{
    return l4vio_driver_notification(&rig->driver, rig->driver.config_notify_index);
}

/* Waits for the config notification and takes it. */
static void await_config(struct vhost_rig *rig)
{
    const struct l4vio_platform *platform = &rig->platform;
    const struct l4vio_notification *notification = config_notification(rig);

    assert_int_equal(platform->ops->wait(platform->self, notification, 1, L4VIO_NO_HANDLE,
                                         vhost_rig_deadline(rig)),
                     L4VIO_OK);
    platform->ops->notification_drain(platform->self, notification);
}

/* Says that the configuration has changed, and wants no answer. */
static void send_change(struct vhost_rig *rig)
{
    const struct raw_message message = {.request = CONFIG_CHANGE, .flags = 1};
    const int channel = raw_backend_channel(rig->backend);

    /* The thread closes the channel at the end of the connection. */
    raw_backend_lock(rig->backend);
    assert_true(raw_backend_send(channel, &message));
    raw_backend_unlock(rig->backend);
}

/* Whether the front end has closed the channel, or does within 5 s. */
static bool channel_ends(int channel)
{
    struct pollfd poll_fd = {.fd = channel, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 5000) == 1;
}

/* Sends a request over the channel and returns what is answered. */
static uint64_t ask_front_end(struct vhost_rig *rig, uint32_t request, int fd)
{
    int channel = raw_backend_channel(rig->backend);
    struct raw_message message = {.request = request, .flags = 1 | RAW_FLAG_NEED_REPLY};
    struct raw_message reply;

    if (fd >= 0) {
        message.fds[0] = fd;
        message.fd_count = 1;
    }
    assert_true(raw_backend_send(channel, &message));
    assert_true(raw_backend_receive(channel, &reply));
    assert_int_equal(reply.request, request);
    assert_int_equal(reply.flags, 1 | RAW_FLAG_REPLY);
    assert_int_equal(reply.size, 8);
    return reply.u.words[0];
}

static void a_change_of_the_configuration_is_heard(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_false(l4vio_driver_config_changed(&rig->driver));
    assert_int_equal(ask_front_end(rig, CONFIG_CHANGE, -1), 0);
    await_config(rig);
    assert_true(l4vio_driver_config_changed(&rig->driver));
    assert_false(l4vio_driver_config_changed(&rig->driver));
    assert_int_equal(rig->transport.ops->acknowledge(rig->transport.self),
                     L4VIO_INTERRUPT_RING | L4VIO_INTERRUPT_CONFIG);
    assert_int_equal(rig->transport.ops->acknowledge(rig->transport.self), L4VIO_INTERRUPT_RING);
}

static void a_change_needs_no_answer(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    send_change(rig);
    await_config(rig);
    assert_true(l4vio_driver_config_changed(&rig->driver));
}

static void what_is_not_known_is_refused_politely(void **state)
{
    struct vhost_rig *rig = *state;
    int passed = eventfd(0, EFD_CLOEXEC);

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    for (uint32_t request = 1; request < 12; request++) {
        uint64_t expected = request == CONFIG_CHANGE ? 0 : 1;
        assert_int_equal(ask_front_end(rig, request, -1), expected);
    }
    /* A descriptor with it is not kept: the count of them tells. */
    assert_int_equal(ask_front_end(rig, HOST_NOTIFIER, passed), 1);
    assert_int_equal(ask_front_end(rig, CONFIG_CHANGE, passed), 1);
    close(passed);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_OK);
}

/* The front end waits for an answer that comes only after it has given one itself. */
static enum raw_verdict ask_first(struct raw_backend *backend, struct raw_message *message)
{
    struct raw_message request = {.request = CONFIG_CHANGE, .flags = 1 | RAW_FLAG_NEED_REPLY};
    struct raw_message reply;

    if (backend->state.channel < 0 || message->request == RAW_SET_BACKEND_REQ_FD)
        return RAW_DEFAULT;
    if (!raw_backend_send(backend->state.channel, &request) ||
        !raw_backend_receive(backend->state.channel, &reply))
        return RAW_HANG_UP;
    return RAW_DEFAULT;
}

static void a_back_end_that_asks_before_it_answers_gets_its_answer(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->script = ask_first;
    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    assert_true(l4vio_driver_config_changed(&rig->driver));
}

static void signal_error(struct vhost_rig *rig, unsigned queue)
{
    const uint64_t one = 1;

    assert_int_equal(write(raw_backend_look(rig->backend).rings[queue].err, &one, sizeof(one)),
                     sizeof(one));
}

static void an_error_of_a_ring_wakes_who_waits(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 1), L4VIO_OK);
    signal_error(rig, 0);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[1], vhost_rig_deadline(rig)),
                     L4VIO_EIO);
    assert_true(l4vio_driver_fail_state(&rig->driver));
}

static void a_reset_ends_an_error(void **state)
{
    struct vhost_rig *rig = *state;
    uint32_t status = 0;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    signal_error(rig, 0);
    await_config(rig);
    assert_int_equal(rig->transport.ops->get_status(rig->transport.self, &status), L4VIO_OK);
    assert_int_equal(status, 15 | VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(rig->transport.ops->get_status(rig->transport.self, &status), L4VIO_OK);
    assert_int_equal(status, 0);
    assert_int_equal(l4vio_driver_restart(&rig->driver, NULL), L4VIO_OK);
}

static void a_status_that_needs_a_reset_is_looked_up(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    raw_backend_lock(rig->backend);
    rig->backend->state.status |= VIRTIO_STATUS_NEEDS_RESET;
    raw_backend_unlock(rig->backend);
    send_change(rig);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_EIO);
}

/* The status is asked for by the front end itself: who does not answer that is as dead as any other. */
static enum raw_verdict hide_status(struct raw_backend *backend, struct raw_message *message)
{
    (void)backend;
    return message->request == RAW_GET_STATUS ? RAW_SILENT : RAW_DEFAULT;
}

static void a_status_that_does_not_come_ends_the_connection(void **state)
{
    struct vhost_rig *rig = *state;

    rig->options.timeout_ns = UINT64_C(500000000);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    raw_backend_lock(rig->backend);
    rig->backend->script = hide_status;
    raw_backend_unlock(rig->backend);
    send_change(rig);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_EPIPE);
}

static void closing_does_not_wait_for_a_status(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    raw_backend_clear_log(rig->backend);
    raw_backend_lock(rig->backend);
    rig->backend->script = hide_status;
    raw_backend_unlock(rig->backend);
    send_change(rig);
    assert_true(raw_backend_await(rig->backend, RAW_GET_STATUS, 1));
    const uint64_t begin = rig->platform.ops->now_ns(rig->platform.self);
    rig->transport.ops->close(rig->transport.self);
    assert_true(rig->platform.ops->now_ns(rig->platform.self) - begin < VHOST_RIG_TIMEOUT_NS / 2);
}

static void garbage_on_the_channel_ends_the_channel_only(void **state)
{
    static const unsigned char garbage[12] = {2, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    int channel = raw_backend_channel(rig->backend);
    assert_true(raw_backend_send_bytes(channel, garbage, sizeof(garbage), NULL, 0));
    assert_true(channel_ends(channel));
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
}

static void an_answer_that_nobody_asked_for_ends_the_channel_only(void **state)
{
    struct vhost_rig *rig = *state;
    struct raw_message message = {.request = CONFIG_CHANGE, .flags = 1 | RAW_FLAG_REPLY};

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    int channel = raw_backend_channel(rig->backend);
    assert_true(raw_backend_send(channel, &message));
    assert_true(channel_ends(channel));
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
}

/* Requests without end, and answers that nobody takes: the channel is given up, the front end goes on. */
static void a_back_end_that_takes_no_answers_loses_its_channel(void **state)
{
    struct vhost_rig *rig = *state;
    struct raw_message message = {.request = CONFIG_CHANGE, .flags = 1 | RAW_FLAG_NEED_REPLY};
    unsigned sent = 0;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    int channel = raw_backend_channel(rig->backend);
    while (sent < 100000 && raw_backend_send(channel, &message))
        sent++;
    assert_true(sent < 100000);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
}

static void the_back_ends_end_of_the_channel_blocks(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    assert_int_equal(fcntl(raw_backend_channel(rig->backend), F_GETFL) & O_NONBLOCK, 0);
}

static void without_a_channel_errors_are_heard_all_the_same(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features &= ~RAW_P_CHANNEL;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_SET_BACKEND_REQ_FD), 0);
    signal_error(rig, 0);
    await_config(rig);
    assert_true(l4vio_driver_fail_state(&rig->driver));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_of_the_configuration_is_heard),
        TEST(a_change_needs_no_answer),
        TEST(what_is_not_known_is_refused_politely),
        TEST(a_back_end_that_asks_before_it_answers_gets_its_answer),
        TEST(an_error_of_a_ring_wakes_who_waits),
        TEST(a_reset_ends_an_error),
        TEST(a_status_that_needs_a_reset_is_looked_up),
        TEST(a_status_that_does_not_come_ends_the_connection),
        TEST(closing_does_not_wait_for_a_status),
        TEST(garbage_on_the_channel_ends_the_channel_only),
        TEST(an_answer_that_nobody_asked_for_ends_the_channel_only),
        TEST(a_back_end_that_takes_no_answers_loses_its_channel),
        TEST(the_back_ends_end_of_the_channel_blocks),
        TEST(without_a_channel_errors_are_heard_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
