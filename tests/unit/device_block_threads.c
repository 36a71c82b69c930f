/* SPDX-License-Identifier: MIT */
/* A thread per queue over one file, by both engines: each has its own lane and its own sectors. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block_rig.h"

#define ROUNDS  200u
#define SECTORS 16u /* Per request. */
#define BYTES   (SECTORS * 512u)

struct worker {
    struct block_rig *rig;
    struct l4vio_block_backend store;
    uint32_t queue;
    const char *failure;
};

/* The parts of a request of this queue: [status][header] ... [data]. */
static uint32_t place(const struct worker *worker)
{
    return RIG_OUT + worker->queue * 0x10000u;
}

static const char *request(struct worker *worker, struct l4vio_block_lane *lane, uint32_t type,
                           uint64_t sector)
{
    struct block_rig *rig = worker->rig;
    uint32_t at = place(worker), queue = worker->queue;
    const struct l4vio_block_backend_ops *ops = worker->store.ops;
    bool read = type == VIRTIO_BLK_T_IN;
    rig->memory[at] = RIG_POISON;
    block_rig_header(rig, at + 16, type, sector);
    block_rig_piece(rig, queue, at + 16, 16, false);
    if (type != VIRTIO_BLK_T_FLUSH)
        block_rig_piece(rig, queue, at + 512, BYTES, read);
    block_rig_piece(rig, queue, at, 1, true);
    block_rig_publish(rig, queue);
    l4vio_device_block_process(&rig->block, queue, 4);
    while (!block_rig_used(rig, queue, NULL)) {
        struct pollfd wait = {.fd = (int)ops->lane_handle(worker->store.self, lane),
                              .events = POLLIN};
        if (poll(&wait, 1, 30000) != 1)
            return "no completion";
        l4vio_device_block_process(&rig->block, queue, 4);
    }
    return rig->memory[at] == VIRTIO_BLK_S_OK ? NULL : "status";
}

static const char *round_trip(struct worker *worker, struct l4vio_block_lane *lane, unsigned round)
{
    unsigned char *data = worker->rig->memory + place(worker) + 512;
    uint64_t sector = worker->queue * (RIG_SECTORS / 2) + round % 32u * SECTORS;
    int byte = (int)((round * 2u + worker->queue) & 0xffu);
    memset(data, byte, BYTES);
    const char *failure = request(worker, lane, VIRTIO_BLK_T_OUT, sector);
    memset(data, 0, BYTES);
    if (!failure && round % 16u == 0)
        failure = request(worker, lane, VIRTIO_BLK_T_FLUSH, 0);
    if (!failure)
        failure = request(worker, lane, VIRTIO_BLK_T_IN, sector);
    if (!failure && (data[0] != byte || memcmp(data, data + 1, BYTES - 1) != 0))
        failure = "data";
    return failure;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct l4vio_block_lane *lane = NULL;
    if (worker->store.ops->lane_open(worker->store.self, &lane, NULL) != 0) {
        worker->failure = "lane";
        return NULL;
    }
    l4vio_device_block_set_lane(&worker->rig->block, worker->queue, lane);
    for (unsigned i = 0; i < ROUNDS && !worker->failure; i++)
        worker->failure = round_trip(worker, lane, i);
    worker->store.ops->lane_close(worker->store.self, lane);
    l4vio_device_block_set_lane(&worker->rig->block, worker->queue, NULL);
    return NULL;
}

static void run_threads(enum l4vio_file_engine engine)
{
    const char *folder = getenv("TMPDIR");
    char path[64];
    struct l4vio_block_backend store;
    struct worker workers[RIG_QUEUES];
    pthread_t threads[RIG_QUEUES];
    snprintf(path, sizeof(path), "%s/l4vio-threads-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, RIG_STORE_BYTES), 0);
    close(fd);
    int result = l4vio_file_backend_open(path, false, engine, &store, NULL);
    unlink(path);
    if (result == L4VIO_ENOSYS)
        skip();
    assert_int_equal(result, 0);

    struct block_rig *rig = block_rig_new();
    rig->config.backend = store;
    block_rig_start(rig);
    block_rig_live(rig);
    for (uint32_t i = 0; i < RIG_QUEUES; i++) {
        workers[i] = (struct worker){.rig = rig, .store = store, .queue = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < RIG_QUEUES; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < RIG_QUEUES; i++)
        assert_null(workers[i].failure);
    struct l4vio_device_block_counters counters;
    l4vio_device_block_counters_read(&rig->block, &counters);
    assert_int_equal(counters.reads, RIG_QUEUES * ROUNDS);
    assert_int_equal(counters.written_bytes, RIG_QUEUES * ROUNDS * BYTES);
    assert_int_equal(counters.errors, 0);
    block_rig_free(rig);
    l4vio_file_backend_close(&store);
}

static void queues_in_threads_do_not_disturb_each_other_sync(void **state)
{
    (void)state;
    run_threads(L4VIO_FILE_ENGINE_SYNC);
}

static void queues_in_threads_do_not_disturb_each_other_uring(void **state)
{
    (void)state;
    run_threads(L4VIO_FILE_ENGINE_URING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_in_threads_do_not_disturb_each_other_sync),
        cmocka_unit_test(queues_in_threads_do_not_disturb_each_other_uring),
    };
    return cmocka_run_group_tests_name("device_block_threads", tests, NULL, NULL);
}
