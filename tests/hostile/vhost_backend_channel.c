/* SPDX-License-Identifier: MIT */
/* What a back end may send over its own channel, and what it may not: our side goes on in any case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_rig.h"

#define CONFIG_CHANGE 2u
#define FLOOD         200000u

static struct vhost_rig *start(void)
{
    struct vhost_rig *rig = vhost_rig_new();

    /* STATUS is asked for after a change; here it is the channel that counts. */
    rig->backend->protocol_features = RAW_P_ALL & ~RAW_P_STATUS;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    return rig;
}

static void say(int channel, uint32_t request, uint32_t flags, uint32_t size, unsigned fds)
{
    struct raw_message message = {
        .request = request, .flags = flags, .size = size, .fd_count = fds};

    for (unsigned i = 0; i < fds; i++)
        message.fds[i] = STDERR_FILENO;
    raw_backend_send(channel, &message);
}

static void check_answers(struct vhost_rig *rig)
{
    uint32_t word = 0;

    assert_int_equal(l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, NULL),
                     L4VIO_OK);
}

/* The driver's own calls still work. */
static void check_alive(struct vhost_rig *rig)
{
    check_answers(rig);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
}

/* Whether we hang the channel up, after at most so many answers. */
static bool is_hung_up(int channel)
{
    struct raw_message answer;

    for (int i = 0; i < 64; i++) {
        if (!raw_backend_receive(channel, &answer))
            return true;
        raw_message_close_fds(&answer);
    }
    return false;
}

static void a_flood_of_changes(void **state)
{
    struct vhost_rig *rig = start();
    const int channel = raw_backend_channel(rig->backend);
    const uint32_t before = rig->transport.ops->generation(rig->transport.self);

    (void)state;
    for (unsigned i = 0; i < FLOOD; i++)
        say(channel, CONFIG_CHANGE, 1, 0, 0);
    check_alive(rig);
    assert_true(rig->transport.ops->generation(rig->transport.self) != before);
    vhost_rig_free(rig);
}

static void answers_that_nobody_takes(void **state)
{
    struct vhost_rig *rig = start();
    const int channel = raw_backend_channel(rig->backend);
    const uint32_t header[3] = {CONFIG_CHANGE, 1u | RAW_FLAG_NEED_REPLY, 0};
    unsigned sent = 0;

    (void)state;
    /* Until our end is closed, because its answers pile up. */
    while (sent < FLOOD && send(channel, header, sizeof(header), MSG_NOSIGNAL) == sizeof(header))
        sent++;
    assert_true(sent < FLOOD);
    check_alive(rig);
    vhost_rig_free(rig);
}

static void what_is_no_request_ends_the_channel(void **state)
{
    static const struct {
        uint32_t request, flags, size;
    } messages[] = {
        {CONFIG_CHANGE, 1u | RAW_FLAG_REPLY, 0},
        {CONFIG_CHANGE, 2, 0},
        {CONFIG_CHANGE, 0, 0},
        {1, 1u | RAW_FLAG_REPLY, 8},
    };
    const struct usage before = usage_now();

    (void)state;
    for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct vhost_rig *rig = start();
        const int channel = raw_backend_channel(rig->backend);
        say(channel, messages[i].request, messages[i].flags, messages[i].size, 0);
        assert_true(is_hung_up(channel));
        check_alive(rig);
        vhost_rig_free(rig);
    }
    assert_int_equal(usage_now().descriptors, before.descriptors);
}

static void a_length_without_end_ends_the_channel(void **state)
{
    struct vhost_rig *rig = start();
    const int channel = raw_backend_channel(rig->backend);
    const uint32_t header[3] = {CONFIG_CHANGE, 1, UINT32_MAX};

    (void)state;
    assert_true(raw_backend_send_bytes(channel, header, sizeof(header), NULL, 0));
    assert_true(is_hung_up(channel));
    check_alive(rig);
    vhost_rig_free(rig);
}

/* Refused with an answer, and the channel goes on; their descriptors are closed. */
static void what_we_do_not_know_is_refused(void **state)
{
    static const uint32_t requests[] = {0, 1, 3, 4, 5, 6, 7, 8, 9, 77, UINT32_MAX};
    const struct usage before = usage_now();
    struct vhost_rig *rig = start();
    const struct usage live = usage_now();
    const int channel = raw_backend_channel(rig->backend);
    struct raw_message answer;

    (void)state;
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        say(channel, requests[i], 1u | RAW_FLAG_NEED_REPLY, 24, i);
        assert_true(raw_backend_receive(channel, &answer));
        assert_int_equal(answer.request, requests[i]);
        assert_int_equal(answer.flags & RAW_FLAG_REPLY, RAW_FLAG_REPLY);
        assert_int_equal(answer.size, 8);
        assert_true(answer.u.words[0] != 0);
    }
    /* A change is refused too if there is something with it. */
    say(channel, CONFIG_CHANGE, 1u | RAW_FLAG_NEED_REPLY, 8, 0);
    assert_true(raw_backend_receive(channel, &answer) && answer.u.words[0] != 0);
    say(channel, CONFIG_CHANGE, 1u | RAW_FLAG_NEED_REPLY, 0, 1);
    assert_true(raw_backend_receive(channel, &answer) && answer.u.words[0] != 0);
    say(channel, CONFIG_CHANGE, 1u | RAW_FLAG_NEED_REPLY, 0, 0);
    assert_true(raw_backend_receive(channel, &answer) && answer.u.words[0] == 0);
    assert_int_equal(usage_now().descriptors, live.descriptors);
    check_alive(rig);
    vhost_rig_free(rig);
    assert_int_equal(usage_now().descriptors, before.descriptors);
}

/* Half a message stays half a message; nothing waits for its end. */
static void half_a_request(void **state)
{
    struct vhost_rig *rig = start();
    const int channel = raw_backend_channel(rig->backend);
    const uint32_t header[3] = {CONFIG_CHANGE, 1, 4096};

    (void)state;
    assert_true(raw_backend_send_bytes(channel, header, 5, NULL, 0));
    check_answers(rig);
    assert_true(raw_backend_send_bytes(channel, (const char *)header + 5, 7, NULL, 0));
    check_alive(rig);
    vhost_rig_free(rig);
}

/* Each change makes us ask for the status; the answers are bad, or do not come. */
static enum raw_verdict no_status(struct raw_backend *backend, struct raw_message *message)
{
    return message->request == RAW_GET_STATUS && backend->script_self ? RAW_SILENT : RAW_DEFAULT;
}

static void a_status_that_is_asked_for_and_never_told(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    uint32_t word = 0;

    (void)state;
    rig->options.timeout_ns = UINT64_C(50000000);
    rig->backend->script = no_status;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    const int channel = raw_backend_channel(rig->backend);
    raw_backend_lock(rig->backend);
    rig->backend->script_self = rig;
    /* With the lock: it is closed as soon as the front end has given up. */
    say(channel, CONFIG_CHANGE, 1, 0, 0);
    raw_backend_unlock(rig->backend);
    /* Whoever waits hears that nothing more is to be had. */
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, NULL),
                     L4VIO_EPIPE);
    vhost_rig_free(rig);
}

static void changes_with_status_do_not_starve_the_driver(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    uint32_t word = 0;

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    const int channel = raw_backend_channel(rig->backend);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 100; i++)
            say(channel, CONFIG_CHANGE, 1, 0, 0);
        assert_int_equal(l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, NULL),
                         L4VIO_OK);
        raw_backend_clear_log(rig->backend);
    }
    check_alive(rig);
    vhost_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_changes),
        cmocka_unit_test(answers_that_nobody_takes),
        cmocka_unit_test(what_is_no_request_ends_the_channel),
        cmocka_unit_test(a_length_without_end_ends_the_channel),
        cmocka_unit_test(what_we_do_not_know_is_refused),
        cmocka_unit_test(half_a_request),
        cmocka_unit_test(a_status_that_is_asked_for_and_never_told),
        cmocka_unit_test(changes_with_status_do_not_starve_the_driver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
