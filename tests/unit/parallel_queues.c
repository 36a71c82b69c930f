/* SPDX-License-Identifier: MIT */
/*
 * The queues of one client, each with a thread of its own on both sides of a socket: they work at the
 * same time, and do not touch each other.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <l4vio/session.h>

#include "socket_server.h"

enum { queue_count = 4, depth = 8, data_bytes = 4096, rounds = 60, patience_s = 30 };

/* A store whose first request of each lane stays until there is one of every lane. */
struct meeting {
    struct l4vio_block_backend store;
    struct l4vio_block_backend_ops ops;
    pthread_mutex_t lock;
    pthread_cond_t all_here;
    unsigned expected;
    struct l4vio_block_lane *lanes[queue_count];
    unsigned here;
    bool failed;
};

static void info(void *self, struct l4vio_block_backend_info *out)
{
    const struct meeting *meeting = self;
    meeting->store.ops->info(meeting->store.self, out);
}

static int lane_open(void *self, struct l4vio_block_lane **lane, struct l4vio_error *error)
{
    const struct meeting *meeting = self;
    return meeting->store.ops->lane_open(meeting->store.self, lane, error);
}

static void lane_close(void *self, struct l4vio_block_lane *lane)
{
    const struct meeting *meeting = self;
    meeting->store.ops->lane_close(meeting->store.self, lane);
}

static unsigned poll_lane(void *self, struct l4vio_block_lane *lane, bool wait)
{
    const struct meeting *meeting = self;
    return meeting->store.ops->poll(meeting->store.self, lane, wait);
}

static bool is_new(const struct meeting *meeting, const struct l4vio_block_lane *lane)
{
    for (unsigned i = 0; i < meeting->here; i++) {
        if (meeting->lanes[i] == lane)
            return false;
    }
    return meeting->here < meeting->expected;
}

static void submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    struct meeting *meeting = self;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += patience_s;
    pthread_mutex_lock(&meeting->lock);
    if (is_new(meeting, lane)) {
        meeting->lanes[meeting->here++] = lane;
        pthread_cond_broadcast(&meeting->all_here);
        while (meeting->here < meeting->expected && !meeting->failed)
            meeting->failed = pthread_cond_timedwait(&meeting->all_here, &meeting->lock, &end) != 0;
    }
    pthread_mutex_unlock(&meeting->lock);
    meeting->store.ops->submit(meeting->store.self, lane, io);
}

/* One queue and its thread on the driver's side. */
struct user {
    struct l4vio_block *block;
    const struct l4vio_region *region;
    uint32_t queue;
    const char *failure;
    pthread_t thread;
    struct l4vio_block_request requests[depth];
    struct l4vio_block_segment segments[depth];
};

static unsigned char *data_of(const struct user *user, unsigned slot)
{
    return (unsigned char *)user->region->base + user->segments[slot].offset_bytes;
}

static void lay_out(struct user *user)
{
    for (unsigned i = 0; i < depth; i++) {
        uint64_t place = user->queue * UINT64_C(8) + i;
        l4vio_block_request_init(&user->requests[i], user->region,
                                 place * L4VIO_BLOCK_SHARED_BYTES);
        user->segments[i] = (struct l4vio_block_segment){
            .region = user->region,
            .offset_bytes = (place + 1) * data_bytes,
            .length_bytes = data_bytes,
        };
        user->requests[i].segments = &user->segments[i];
        user->requests[i].segment_count = 1;
        user->requests[i].sector = place * (data_bytes / 512);
    }
}

static const char *transfer(struct user *user, enum l4vio_block_type type)
{
    for (unsigned i = 0; i < depth; i++) {
        user->requests[i].type = type;
        if (l4vio_block_add(user->block, user->queue, &user->requests[i], NULL) < 0)
            return "adding";
    }
    if (l4vio_block_kick(user->block, user->queue) < 0)
        return "kicking";
    for (unsigned i = 0; i < depth; i++) {
        if (l4vio_block_wait(user->block, &user->requests[i], L4VIO_FOREVER) < 0)
            return "waiting";
        if (user->requests[i].result < 0)
            return "request";
    }
    return NULL;
}

static const char *one_round(struct user *user, unsigned round)
{
    for (unsigned i = 0; i < depth; i++)
        memset(data_of(user, i), (int)(round + user->queue * 17 + i), data_bytes);
    const char *failure = transfer(user, L4VIO_BLOCK_WRITE);
    for (unsigned i = 0; i < depth; i++)
        memset(data_of(user, i), 0, data_bytes);
    if (!failure)
        failure = transfer(user, L4VIO_BLOCK_READ);
    for (unsigned i = 0; i < depth && !failure; i++) {
        const unsigned char *data = data_of(user, i);
        if (data[0] != (unsigned char)(round + user->queue * 17 + i) ||
            memcmp(data, data + 1, data_bytes - 1) != 0)
            failure = "data";
    }
    return failure;
}

static void *user_main(void *self)
{
    struct user *user = self;
    for (unsigned i = 0; i < rounds && !user->failure; i++)
        user->failure = one_round(user, i);
    return NULL;
}

static void run_users(const char *path, enum l4vio_spin_mode spin_mode)
{
    static struct user users[queue_count];
    struct l4vio_session_options options = {.queue_count = queue_count, .spin_mode = spin_mode};
    struct l4vio_session *session;
    struct l4vio_region region;
    struct l4vio_error error = {0, "", 0};
    char uri[100];
    snprintf(uri, sizeof(uri), "l4:%s", path);
    assert_int_equal(l4vio_session_open_block(uri, &options, &session, &error), 0);
    struct l4vio_block *block = l4vio_session_block(session);
    assert_int_equal(block->queue_count, queue_count);
    assert_int_equal(l4vio_driver_allocate(&block->driver,
                                           (uint64_t)(queue_count * depth + 1) * data_bytes,
                                           &region, &error),
                     0);
    for (unsigned i = 0; i < queue_count; i++) {
        users[i] = (struct user){.block = block, .region = &region, .queue = i};
        lay_out(&users[i]);
        assert_int_equal(pthread_create(&users[i].thread, NULL, user_main, &users[i]), 0);
    }
    for (unsigned i = 0; i < queue_count; i++) {
        pthread_join(users[i].thread, NULL);
        if (users[i].failure)
            fail_msg("queue %u: %s", i, users[i].failure);
    }
    l4vio_session_close(session);
}

static void queues_of_one_client_work_at_the_same_time(void **state)
{
    struct socket_server server;
    struct meeting meeting = {
        .ops = {info, lane_open, lane_close, submit, NULL, poll_lane, NULL, NULL, NULL},
        .expected = queue_count,
    };
    (void)state;
    pthread_mutex_init(&meeting.lock, NULL);
    pthread_cond_init(&meeting.all_here, NULL);
    socket_server_init(&server);
    meeting.store = server.block.backend;
    server.block.backend = (struct l4vio_block_backend){&meeting.ops, &meeting};
    server.block.queue_count = queue_count;
    server.config.thread_per_queue = true;
    socket_server_start(&server);
    run_users(server.path, 0);
    socket_server_end(&server);
    assert_int_equal(meeting.here, queue_count);
    assert_false(meeting.failed);
    pthread_cond_destroy(&meeting.all_here);
    pthread_mutex_destroy(&meeting.lock);
}

static void queues_of_one_client_stay_apart(enum l4vio_spin_mode spin_mode)
{
    struct socket_server server;
    socket_server_init(&server);
    server.block.queue_count = queue_count;
    server.config.thread_per_queue = true;
    server.config.spin_mode = spin_mode;
    socket_server_start(&server);
    run_users(server.path, spin_mode);
    socket_server_end(&server);
}

static void data_of_parallel_queues_is_kept_apart(void **state)
{
    (void)state;
    queues_of_one_client_stay_apart(0);
}

static void so_it_is_while_both_sides_learn_to_wait(void **state)
{
    (void)state;
    queues_of_one_client_stay_apart(L4VIO_SPIN_AUTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_of_one_client_work_at_the_same_time),
        cmocka_unit_test(data_of_parallel_queues_is_kept_apart),
        cmocka_unit_test(so_it_is_while_both_sides_learn_to_wait),
    };
    return cmocka_run_group_tests_name("parallel_queues", tests, NULL, NULL);
}
