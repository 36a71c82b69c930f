/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user back end that is killed again and again under load, at any time, and its successor, which gets the same
 * record of what is in flight: every request is used once, is done by then, and nothing that was written is lost. The
 * front end is written by hand, so that nothing of the library's is at both ends; ring features by chance.
 *
 * Usage: vhost_inflight_kill [KILLS [SEED]]   (40)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "block_server.h"
#include "raw_frontend.h"

enum {
    per_queue = 5,   /* Requests of three descriptors in a ring of 16... */
    id_distance = 3, /* ...which are heads as well. */
    image_bytes = 1 << 20,
    limit_s = 10,
};

static unsigned kills = 40;
static unsigned seed = 1;

struct request {
    uint16_t id;
    bool read;
};

struct queue {
    struct request out[per_queue]; /* In the order of publishing. */
    unsigned out_count;
    uint64_t stamps[per_queue]; /* By id: what was written last. */
    uint64_t published, used;
};

static struct {
    struct raw_frontend *front;
    struct block_server server;
    struct block_server_options options;
    char image[64];
    struct vhost_user_inflight record;
    int record_fd;
    struct queue queues[FRONT_QUEUES];
    uint64_t stamp;
} rig;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t sector_of(uint32_t queue, uint16_t id)
{
    return (queue * FRONT_QUEUE_SIZE + id) * (FRONT_DATA_BYTES / 512u);
}

static void fill(unsigned char *data, uint64_t stamp)
{
    for (unsigned i = 0; i < FRONT_DATA_BYTES; i += sizeof(stamp))
        memcpy(data + i, &stamp, sizeof(stamp));
}

static void expect_filled(const unsigned char *data, uint64_t stamp)
{
    unsigned char expected[FRONT_DATA_BYTES];
    fill(expected, stamp);
    assert_memory_equal(data, expected, sizeof(expected));
}

/* As a driver that keeps the rules: an id that is free, one write or read at a time of what belongs to it. */
static bool publish(uint32_t index)
{
    struct queue *queue = &rig.queues[index];
    bool busy[per_queue] = {false};
    unsigned which = (unsigned)rand() % per_queue;
    for (unsigned i = 0; i < queue->out_count; i++)
        busy[queue->out[i].id / id_distance] = true;
    if (queue->out_count == per_queue)
        return false;
    while (busy[which])
        which = (which + 1) % per_queue;

    struct request request = {(uint16_t)(which * id_distance), rand() % 2};
    unsigned char *data = front_data(rig.front, index, request.id);
    if (request.read) {
        memset(data, 0xa5, FRONT_DATA_BYTES);
    } else {
        queue->stamps[which] = ++rig.stamp;
        fill(data, rig.stamp);
    }
    queue->out[queue->out_count++] = request;
    queue->published++;
    front_publish(rig.front, index, request.id, request.read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT,
                  sector_of(index, request.id));
    return true;
}

static void retire(uint32_t index, unsigned at)
{
    struct queue *queue = &rig.queues[index];
    struct request request = queue->out[at];
    assert_int_equal(front_status_byte(rig.front, index, request.id), VIRTIO_BLK_S_OK);
    if (request.read)
        expect_filled(front_data(rig.front, index, request.id),
                      queue->stamps[request.id / id_distance]);
    queue->out_count--;
    queue->used++;
    memmove(&queue->out[at], &queue->out[at + 1], (queue->out_count - at) * sizeof(queue->out[0]));
}

/* What is used has to be outstanding; in order, it stands for all before it as well. */
static unsigned collect(uint32_t index)
{
    struct queue *queue = &rig.queues[index];
    struct raw_ring *ring = &rig.front->rings[index];
    struct raw_used used;
    unsigned before = queue->out_count;
    while (raw_ring_get_used(ring, &used)) {
        unsigned at = 0;
        while (at < queue->out_count && queue->out[at].id != used.id)
            at++;
        if (at == queue->out_count)
            fail_msg("queue %u: id %u is used, which is not out", index, used.id);
        if (rig.front->features & (UINT64_C(1) << L4VIO_F_IN_ORDER)) {
            for (unsigned i = at; i; i--)
                retire(index, 0);
            raw_ring_skip_used(ring, at, 3 * at);
            at = 0;
        }
        retire(index, at);
    }
    return before - queue->out_count;
}

/* Where the driver's side stands: the record knows better. */
static void set_bases(void)
{
    for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
        const struct raw_ring *ring = &rig.front->rings[i];
        uint32_t used = ring->used_index;
        if (ring->packed) {
            used |= (uint32_t)ring->used_round << VIRTQ_EVENT_WRAP_SHIFT;
            used |= used << 16;
        }
        rig.front->bases[i] = used;
    }
}

static void get_record(void)
{
    struct raw_frontend *front = rig.front;
    rig.record =
        (struct vhost_user_inflight){.num_queues = FRONT_QUEUES, .queue_size = FRONT_QUEUE_SIZE};
    front_send(front, VHOST_USER_GET_INFLIGHT_FD, 0, &rig.record, sizeof(rig.record), NULL, 0);
    struct l4vio_vhost_message *answer = front_receive(front, VHOST_USER_GET_INFLIGHT_FD);
    rig.record = answer->u.inflight;
    rig.record_fd = l4vio_socket_take_fd(&answer->fds);
    assert_true(rig.record_fd >= 0);
}

static void attach(void)
{
    front_connect(rig.front);
    front_negotiate(rig.front);
    front_share(rig.front);
    if (rig.record_fd < 0)
        get_record();
    assert_int_equal(front_ask(rig.front, VHOST_USER_SET_INFLIGHT_FD, &rig.record,
                               sizeof(rig.record), &rig.record_fd, 1),
                     0);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
        front_ring(rig.front, i);
        front_kick(rig.front, i);
    }
}

static void start(uint64_t features)
{
    static const char pattern[] = "/tmp/l4vio-inflight-XXXXXX";
    memset(&rig, 0, sizeof(rig));
    memcpy(rig.image, pattern, sizeof(pattern));
    int image = mkstemp(rig.image);
    assert_true(image >= 0);
    assert_int_equal(ftruncate(image, image_bytes), 0);
    close(image);
    rig.record_fd = -1;
    rig.options = (struct block_server_options){
        .vhost_user = true, .image = rig.image, .queue_count = FRONT_QUEUES};
    rig.options.thread_per_queue = rand() % 2;
    block_server_start(&rig.server, &rig.options);
    rig.front = front_new(features);
    assert_true(strlen(rig.server.path) < sizeof(rig.front->server.path));
    memcpy(rig.front->server.path, rig.server.path, strlen(rig.server.path) + 1);
    attach();
}

static void end(void)
{
    front_hang_up(rig.front);
    block_server_stop(&rig.server);
    unlink(rig.image);
    close(rig.record_fd);
    /* The server of its own that the front end has not started. */
    socket_server_end(&rig.front->server);
    front_free(rig.front);
}

/* Everything that is out comes back, and then something new does. */
static void expect_all(void)
{
    uint64_t deadline = clock_ns() + limit_s * UINT64_C(1000000000);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
        struct queue *queue = &rig.queues[i];
        publish(i);
        front_kick(rig.front, i);
        while (queue->out_count) {
            if (!collect(i) && clock_ns() > deadline)
                fail_msg("queue %u: %u requests are lost", i, queue->out_count);
            usleep(10);
        }
        assert_int_equal(queue->used, queue->published);
    }
}

/* Load for a while, of more turns or less. */
static void load(unsigned turns)
{
    for (unsigned turn = 0; turn < turns; turn++) {
        uint32_t index = (uint32_t)rand() % FRONT_QUEUES;
        unsigned published = 0;
        for (unsigned i = (unsigned)rand() % per_queue; i; i--)
            published += publish(index);
        if (published)
            front_kick(rig.front, index);
        for (unsigned i = (unsigned)rand() % 200; i; i--)
            collect((uint32_t)rand() % FRONT_QUEUES);
    }
}

static void a_killed_back_end_leaves_its_requests_to_the_next_one(void **state)
{
    static const uint64_t formats[] = {FRONT_SPLIT, FRONT_PACKED, FRONT_SPLIT_IN_ORDER,
                                       FRONT_PACKED_IN_ORDER};
    const unsigned rounds = sizeof(formats) / sizeof(formats[0]);
    uint64_t left = 0;
    (void)state;
    srand(seed);
    for (unsigned round = 0; round < rounds; round++) {
        start(formats[round]);
        for (unsigned i = 0; i < (kills + rounds - 1) / rounds; i++) {
            load(1 + (unsigned)rand() % 40);
            block_server_kill(&rig.server);
            front_hang_up(rig.front);
            for (uint32_t q = 0; q < FRONT_QUEUES; q++) {
                /* What the driver does while nobody is there. */
                if (rand() % 2)
                    collect(q);
                if (rand() % 2)
                    publish(q);
                left += rig.queues[q].out_count;
            }
            set_bases();
            block_server_restart(&rig.server, &rig.options);
            attach();
            if (rand() % 2)
                expect_all();
        }
        expect_all();
        end();
    }
    printf("%u kills, %llu requests were left to the next one\n", kills, (unsigned long long)left);
    assert_true(left > kills);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_back_end_leaves_its_requests_to_the_next_one),
    };
    if (argc > 1)
        kills = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = (unsigned)strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
