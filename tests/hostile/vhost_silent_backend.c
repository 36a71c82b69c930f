/* SPDX-License-Identifier: MIT */
/*
 * A back end that falls silent at a message, or hangs up there, or sends an answer that never ends: every
 * call has its deadline, the connection is dead afterwards, and nothing is left of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_rig.h"

#define SHORT_NS UINT64_C(50000000)
/* A call of the driver is a handful of messages, and after the first silence there are no more. */
#define LONG_NS UINT64_C(2000000000)

struct end {
    unsigned at; /* Message of the connection, from 1. */
    bool reached;
    bool trickle; /* Else nothing comes at all. */
};

static uint64_t now_ns(const struct vhost_rig *rig)
{
    return rig->platform.ops->now_ns(rig->platform.self);
}

static enum raw_verdict fall_silent(struct raw_backend *backend, struct raw_message *message)
{
    struct end *end = backend->script_self;
    const uint32_t header[3] = {message->request, 1u | RAW_FLAG_REPLY, 8};

    if (backend->state.received < end->at)
        return RAW_DEFAULT;
    if (backend->state.received == end->at && end->trickle)
        raw_backend_send_bytes(backend->state.socket, header, sizeof(header), NULL, 0);
    end->reached = true;
    return RAW_SILENT;
}

static int life(struct vhost_rig *rig)
{
    int result = vhost_rig_bring_up(rig, 1, NULL);

    if (result == L4VIO_OK)
        result = l4vio_driver_reset(&rig->driver, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_release(&rig->driver, &rig->region, NULL);
    return result;
}

/* Whether there was an end before everything was done. A machine that is busy makes one, too. */
static bool silent_at(unsigned at, bool trickle, uint64_t protocol_features)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct end end = {.at = at, .trickle = trickle};

    rig->backend->script = fall_silent;
    rig->backend->script_self = &end;
    rig->backend->protocol_features = protocol_features;
    rig->options.timeout_ns = SHORT_NS;
    rig->control_timeout_ns = SHORT_NS;
    const uint64_t start = now_ns(rig);
    int result = life(rig);
    assert_true(now_ns(rig) - start < LONG_NS);
    raw_backend_lock(rig->backend);
    bool reached = end.reached;
    raw_backend_unlock(rig->backend);
    if (reached || result)
        assert_int_equal(result, L4VIO_ETIMEDOUT);
    if (result && rig->connection)
        assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
    vhost_rig_free(rig);
    return result != L4VIO_OK;
}

static void silence_at_every_message_is_bounded(void **state)
{
    const struct usage before = usage_now();
    unsigned at = 1;

    (void)state;
    while (silent_at(at, false, RAW_P_ALL))
        at++;
    assert_true(at > 20);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
}

static void an_answer_that_never_ends_is_bounded(void **state)
{
    (void)state;
    assert_true(silent_at(1, true, RAW_P_ALL));
    assert_true(silent_at(8, true, RAW_P_ALL));
    assert_true(silent_at(20, true, RAW_P_ALL));
}

/* Without the answer of GET_FEATURES nothing that was said before it is taken for done. */
static void silence_is_bounded_without_acknowledgements(void **state)
{
    unsigned at = 1;

    (void)state;
    while (silent_at(at, false, RAW_P_CONFIG | RAW_P_STATUS))
        at += 3;
    assert_true(at > 10);
}

static bool hangs_up_at(unsigned at)
{
    struct vhost_rig *rig = vhost_rig_new();

    rig->backend->hang_up_after = (int)at;
    rig->backend->protocol_features = RAW_P_ALL;
    const uint64_t start = now_ns(rig);
    int result = life(rig);
    assert_true(now_ns(rig) - start < LONG_NS);
    bool reached = result != L4VIO_OK;
    if (reached)
        assert_int_equal(result, L4VIO_EPIPE);
    if (reached && rig->driving) {
        l4vio_driver_disconnect(&rig->driver);
        rig->driving = false;
    }
    vhost_rig_free(rig);
    return reached;
}

static void hanging_up_at_every_message_is_noticed_at_once(void **state)
{
    const struct usage before = usage_now();
    unsigned at = 0;

    (void)state;
    while (hangs_up_at(at))
        at++;
    assert_true(at > 20);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
}

/* It takes the socket, and neither reads nor answers: what we send piles up, but not for ever. */
static void nobody_reads(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct end end = {.at = 1};

    (void)state;
    rig->backend->script = fall_silent;
    rig->backend->script_self = &end;
    rig->options.timeout_ns = SHORT_NS;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_ETIMEDOUT);
    /* Another one gets nothing of the first one's either. */
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_ETIMEDOUT);
    vhost_rig_free(rig);
}

/* Completions that never come: a wait has its deadline, and its request stays the device's. */
static void no_completion_ever(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], now_ns(rig) + SHORT_NS),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_queue_in_flight(&rig->queues[0]), 1);
    assert_int_equal(l4vio_driver_release(&rig->driver, &rig->region, NULL), L4VIO_EBUSY);
    vhost_rig_free(rig);
}

/* Calls without any completion, all the time. */
static void calls_about_nothing(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    const uint64_t many = UINT64_C(0xfffffffffffffffe);

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    for (int i = 0; i < 3; i++) {
        (void)!write(raw_backend_look(rig->backend).rings[0].call, &many, sizeof(many));
        assert_int_equal(
            l4vio_driver_wait_used(&rig->driver, &rig->queues[0], now_ns(rig) + SHORT_NS),
            L4VIO_ETIMEDOUT);
    }
    vhost_rig_free(rig);
}

/* The kick is an eventfd that the back end has filled: who kicks does not wait for it. */
static void a_kick_that_is_full(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    const uint64_t many = UINT64_C(0xfffffffffffffffe);

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(write(raw_backend_look(rig->backend).rings[0].kick, &many, sizeof(many)),
                     sizeof(many));
    for (int i = 0; i < 8; i++)
        assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    vhost_rig_free(rig);
}

/* The err descriptor is shared by all rings, and full from the beginning. */
static void an_error_descriptor_that_is_full(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    const uint64_t many = UINT64_C(0xfffffffffffffffe);

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    assert_int_equal(write(raw_backend_look(rig->backend).rings[0].err, &many, sizeof(many)),
                     sizeof(many));
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_EIO);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    vhost_rig_free(rig);
}

/*
 * More than a user without privileges may have under way: everything fails that sends one more. The privileges
 * of this thread alone are given up, the others are not to be interrupted.
 */
static void use_up_descriptors_under_way(void)
{
    const struct rlimit limit = {64, 64};
    int fds[RAW_MESSAGE_FDS];
    int pair[2];

    if (setrlimit(RLIMIT_NOFILE, &limit) ||
        (geteuid() == 0 && syscall(SYS_setresuid, 65534, 65534, 65534)) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        _exit(2);
    for (unsigned i = 0; i < RAW_MESSAGE_FDS; i++)
        fds[i] = STDERR_FILENO;
    while (raw_backend_send_bytes(pair[0], "x", 1, fds, RAW_MESSAGE_FDS)) {}
}

static void life_without_descriptors(void)
{
    struct vhost_rig *rig = vhost_rig_new();

    rig->backend->protocol_features = RAW_P_MQ;
    if (vhost_rig_drive(rig, NULL))
        _exit(3);
    /* Nobody else cleans up. */
    if (unlink(rig->backend->path) || rmdir(rig->backend->folder))
        _exit(4);
    use_up_descriptors_under_way();
    rig->driver.control_timeout_ns = SHORT_NS;
    const uint64_t start = now_ns(rig);
    int result = l4vio_driver_allocate(&rig->driver, 4096, &rig->region, NULL);
    _exit(result == L4VIO_ETIMEDOUT && now_ns(rig) - start < LONG_NS ? 0 : 1);
}

/* There is room in the socket, but not for descriptors: nothing tells when there will be. */
static void descriptors_that_cannot_be_sent(void **state)
{
    int status = -1;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        life_without_descriptors();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_at_every_message_is_bounded),
        cmocka_unit_test(an_answer_that_never_ends_is_bounded),
        cmocka_unit_test(silence_is_bounded_without_acknowledgements),
        cmocka_unit_test(hanging_up_at_every_message_is_noticed_at_once),
        cmocka_unit_test(nobody_reads),
        cmocka_unit_test(no_completion_ever),
        cmocka_unit_test(calls_about_nothing),
        cmocka_unit_test(a_kick_that_is_full),
        cmocka_unit_test(an_error_descriptor_that_is_full),
        cmocka_unit_test(descriptors_that_cannot_be_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
