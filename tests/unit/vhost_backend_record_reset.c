/* SPDX-License-Identifier: MIT */
/* A record of requests in flight while the device is reset: the driver begins anew, whatever was written there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "raw_frontend.h"

static struct vhost_user_inflight record;
static int record_fd;

static void get_record(struct raw_frontend *front)
{
    record =
        (struct vhost_user_inflight){.num_queues = FRONT_QUEUES, .queue_size = FRONT_QUEUE_SIZE};
    front_send(front, VHOST_USER_GET_INFLIGHT_FD, 0, &record, sizeof(record), NULL, 0);
    struct l4vio_vhost_message *answer = front_receive(front, VHOST_USER_GET_INFLIGHT_FD);
    record = answer->u.inflight;
    record_fd = l4vio_socket_take_fd(&answer->fds);
    assert_true(record_fd >= 0);
}

static uint64_t set_record(struct raw_frontend *front)
{
    return front_ask(front, VHOST_USER_SET_INFLIGHT_FD, &record, sizeof(record), &record_fd, 1);
}

/* The rings go on somewhere else than where the record has them. */
static void drivers_begin_anew_after_a_reset(void **state)
{
    struct raw_frontend *front = *state;

    front_negotiate(front);
    get_record(front);
    assert_int_equal(set_record(front), 0);
    front_share(front);
    for (unsigned turn = 0; turn < 4; turn++) {
        for (uint32_t i = 0; i < FRONT_QUEUES; i++)
            front_ring(front, i);
        for (unsigned i = 0; i <= turn; i++)
            front_expect_works(front, i % FRONT_QUEUES);
        assert_int_equal(front_ask(front, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
        for (uint32_t i = 0; i < FRONT_QUEUES; i++)
            front_fresh_ring(front, i);
        front_negotiate(front);
        if (turn % 2)
            assert_int_equal(set_record(front), 0);
    }
    close(record_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_EVERY(drivers_begin_anew_after_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
