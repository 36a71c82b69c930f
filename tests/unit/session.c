/* SPDX-License-Identifier: MIT */
/* Sessions: a device by its URI, against a server in a thread of this process. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/session.h>
#include <l4vio/wire/status.h>

#include "socket_server.h"
#include "usage.h"

#define SECOND_NS UINT64_C(1000000000)

struct fixture {
    struct socket_server server;
    char uri[100];
    unsigned descriptors;
    unsigned mappings;
};

static int setup(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    socket_server_init(&fixture.server);
    fixture.server.block.queue_count = 3;
    socket_server_start(&fixture.server);
    snprintf(fixture.uri, sizeof fixture.uri, "l4:%s", fixture.server.path);
    fixture.descriptors = usage_now().descriptors;
    fixture.mappings = usage_now().mappings;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    socket_server_end(&fixture->server);
    return 0;
}

static uint64_t deadline(struct l4vio_session *session, uint64_t span_ns)
{
    return l4vio_driver_deadline(l4vio_session_driver(session), span_ns);
}

/* A write of one sector, not yet sent. */
struct sector_write {
    struct l4vio_region region;
    struct l4vio_block_segment segment;
    struct l4vio_block_request request;
};

static void prepare(struct l4vio_session *session, struct sector_write *write)
{
    struct l4vio_block *block = l4vio_session_block(session);
    memset(write, 0, sizeof *write);
    assert_int_equal(l4vio_driver_allocate(&block->driver, 4096, &write->region, NULL), 0);
    assert_int_equal(l4vio_block_request_init(&write->request, &write->region, 0), 0);
    write->segment = (struct l4vio_block_segment){&write->region, 512, 512};
    write->request.type = L4VIO_BLOCK_WRITE;
    write->request.segments = &write->segment;
    write->request.segment_count = 1;
}

static void opens_a_block_device_and_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session_options options = {.queue_count = 8, .queue_size = 16};
    struct l4vio_session *session;
    assert_int_equal(l4vio_session_open_block(fixture->uri, &options, &session, NULL), 0);
    struct l4vio_block *block = l4vio_session_block(session);
    assert_non_null(block);
    assert_int_equal(block->queue_count, 3);
    assert_int_equal(block->queue_size, 16);
    assert_int_equal(block->info.capacity_sectors, SOCKET_STORE_BYTES / 512);
    l4vio_session_close(session);
    assert_true(socket_server_has_clients(&fixture->server, 0));
    assert_int_equal(usage_now().descriptors, fixture->descriptors);
    assert_int_equal(usage_now().mappings, fixture->mappings);
}

static void opens_a_device_of_any_class_without_settling_it(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session *session;
    assert_int_equal(l4vio_session_open_any(fixture->uri, NULL, &session, NULL), 0);
    assert_null(l4vio_session_block(session));
    struct l4vio_driver *driver = l4vio_session_driver(session);
    assert_int_equal(driver->identity.device_id, VIRTIO_ID_BLOCK);
    uint32_t status = 0;
    assert_int_equal(driver->transport.ops->get_status(driver->transport.self, &status), 0);
    assert_int_equal(status, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    assert_int_equal(l4vio_session_queue_fd(session, 0), L4VIO_ERANGE);
    l4vio_session_close(session);
}

static void refuses_what_is_not_a_uri(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "l4:", "/tmp/x", "l4", "http://x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        struct l4vio_session *session = NULL;
        struct l4vio_error error = {0};
        assert_int_equal(l4vio_session_open_block(texts[i], NULL, &session, &error), L4VIO_EINVAL);
        assert_int_equal(error.code, L4VIO_EINVAL);
        assert_null(session);
    }
    assert_true(l4vio_session_is_uri("l4:x"));
    assert_false(l4vio_session_is_uri("./l4:x"));
}

static void failed_open_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session *session;
    struct l4vio_session_options options = {.queue_count = L4VIO_BLOCK_QUEUES_MAX + 1};
    assert_int_equal(l4vio_session_open_block("l4:/nowhere/x", NULL, &session, NULL), L4VIO_ENOENT);
    assert_int_equal(l4vio_session_open_block(fixture->uri, &options, &session, NULL),
                     L4VIO_EINVAL);
    options.queue_count = 1;
    options.queue_size = 1; /* No request fits: the connection is made and given up. */
    assert_true(l4vio_session_open_block(fixture->uri, &options, &session, NULL) < 0);
    assert_true(socket_server_has_clients(&fixture->server, 0));
    assert_int_equal(usage_now().descriptors, fixture->descriptors);
    assert_int_equal(usage_now().mappings, fixture->mappings);
}

static void completion_makes_the_queue_descriptor_readable(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session_options options = {.queue_count = 2};
    struct l4vio_session *session;
    struct sector_write write;
    assert_int_equal(l4vio_session_open_block(fixture->uri, &options, &session, NULL), 0);
    struct l4vio_block *block = l4vio_session_block(session);
    assert_int_equal(l4vio_session_queue_fd(session, 2), L4VIO_ERANGE);
    int fds[2] = {l4vio_session_queue_fd(session, 0), l4vio_session_queue_fd(session, 1)};
    assert_true(fds[0] >= 0 && fds[1] >= 0 && fds[0] != fds[1]);

    prepare(session, &write);
    assert_false(l4vio_queue_arm(&block->queues[1]));
    assert_int_equal(l4vio_block_submit(block, 1, &write.request, NULL), 0);
    struct pollfd ready = {.fd = fds[1], .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    l4vio_session_drain(session, 1);
    assert_int_equal(poll(&ready, 1, 0), 0);
    assert_int_equal(l4vio_block_poll(block, 1, 8), 1);
    assert_int_equal(write.request.result, 0);
    l4vio_session_close(session);
}

static void waits_for_any_of_several_sessions(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session *sessions[2];
    struct sector_write write;
    for (unsigned spin = 0; spin < 2; ++spin) {
        struct l4vio_session_options options = {.spin_ns = spin * SECOND_NS};
        for (int i = 0; i < 2; ++i)
            assert_int_equal(l4vio_session_open_block(fixture->uri, &options, &sessions[i], NULL),
                             0);
        assert_int_equal(l4vio_session_wait(sessions, 2, deadline(sessions[0], 1000000)),
                         L4VIO_ETIMEDOUT);
        prepare(sessions[1], &write);
        struct l4vio_block *block = l4vio_session_block(sessions[1]);
        assert_int_equal(l4vio_block_submit(block, 0, &write.request, NULL), 0);
        uint64_t end = deadline(sessions[0], 10 * SECOND_NS);
        while (write.request.in_flight) {
            assert_int_equal(l4vio_session_wait(sessions, 2, end), 0);
            assert_true(l4vio_block_poll(block, 0, 8) >= 0);
        }
        assert_int_equal(write.request.result, 0);
        l4vio_session_close(sessions[0]);
        l4vio_session_close(sessions[1]);
    }
    assert_int_equal(l4vio_session_wait(sessions, 0, 0), L4VIO_EINVAL);
    assert_int_equal(l4vio_session_wait(sessions, L4VIO_SESSION_WAIT_MAX + 1, 0), L4VIO_EINVAL);
}

static void wait_returns_when_the_peer_dies(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session *session;
    assert_int_equal(l4vio_session_open_block(fixture->uri, NULL, &session, NULL), 0);
    socket_server_stop(&fixture->server);
    uint64_t end = deadline(session, 10 * SECOND_NS);
    int result;
    do {
        result = l4vio_session_wait(&session, 1, end);
    } while (result == 0);
    assert_int_equal(result, L4VIO_EPIPE);
    l4vio_session_abandon(session);
}

/* What a poll loop of one's own needs: no events while the device lives, one when it ends. */
static void end_of_the_peer_shows_on_its_handle(void **state)
{
    struct fixture *fixture = *state;
    struct l4vio_session *session;
    struct sector_write write;
    assert_int_equal(l4vio_session_open_block(fixture->uri, NULL, &session, NULL), 0);
    struct l4vio_driver *driver = l4vio_session_driver(session);
    struct pollfd peer = {.fd = (int)l4vio_driver_peer_handle(driver), .events = POLLRDHUP};
    prepare(session, &write);
    assert_int_equal(poll(&peer, 1, 0), 0);
    assert_false(l4vio_driver_fail_state(driver));
    socket_server_stop(&fixture->server);
    assert_int_equal(poll(&peer, 1, 10000), 1);
    assert_true(l4vio_driver_fail_state(driver));
    l4vio_driver_disconnect(driver);
    assert_int_equal(l4vio_driver_peer_handle(driver), L4VIO_NO_HANDLE);
    l4vio_session_abandon(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_a_block_device_and_leaves_nothing_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(opens_a_device_of_any_class_without_settling_it, setup,
                                        teardown),
        cmocka_unit_test(refuses_what_is_not_a_uri),
        cmocka_unit_test_setup_teardown(failed_open_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(completion_makes_the_queue_descriptor_readable, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(waits_for_any_of_several_sessions, setup, teardown),
        cmocka_unit_test_setup_teardown(wait_returns_when_the_peer_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_the_peer_shows_on_its_handle, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
