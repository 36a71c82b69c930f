/* SPDX-License-Identifier: MIT */
/* The l4 socket end to end: driver core, client, server, block device, store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socket_driver.h"
#include "socket_server.h"
#include "usage.h"

static void write_then_read(struct socket_driver *driver, unsigned queue, unsigned seed)
{
    uint64_t sector = 8u * seed;

    memset(socket_driver_data(driver, queue, 0), (int)(seed & 0xff), SOCKET_DRIVER_DATA_BYTES);
    assert_int_equal(socket_driver_request(driver, queue, VIRTIO_BLK_T_OUT, sector), 0);
    memset(socket_driver_data(driver, queue, 0), 0, SOCKET_DRIVER_DATA_BYTES);
    assert_int_equal(socket_driver_request(driver, queue, VIRTIO_BLK_T_IN, sector), 0);
    for (unsigned i = 0; i < SOCKET_DRIVER_DATA_BYTES; i++)
        assert_int_equal(socket_driver_data(driver, queue, 0)[i], seed & 0xff);
}

static void one_client_writes_and_reads_back(void **state)
{
    struct socket_server server;
    struct socket_driver driver;
    unsigned descriptors = usage_now().descriptors;
    unsigned mappings = usage_now().mappings;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
    for (unsigned i = 1; i < 100; i++)
        write_then_read(&driver, 0, i);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_FLUSH, 0), 0);
    unsigned dataspaces = 0;
    unsigned notifications = 0;
    l4vio_linux_usage(driver.linux_platform, &dataspaces, &notifications);
    assert_int_equal(dataspaces, 2);
    assert_int_not_equal(notifications, 0);
    l4vio_driver_disconnect(&driver.driver);
    l4vio_linux_usage(driver.linux_platform, &dataspaces, &notifications);
    assert_int_equal(dataspaces, 0);
    assert_int_equal(notifications, 0);
    socket_driver_close(&driver);
    socket_server_end(&server);
    assert_int_equal(usage_now().descriptors, descriptors);
    assert_int_equal(usage_now().mappings, mappings);
}

/* One client of several, each with its own quarter of the store. */
struct worker {
    const char *path;
    unsigned number, queues, rounds;
    int result;
};

static int compare(struct socket_driver *driver, unsigned queue, unsigned value)
{
    for (unsigned n = 0; n < SOCKET_DRIVER_DEPTH; n++) {
        const unsigned char *data = socket_driver_data(driver, queue, n);
        for (unsigned i = 0; i < SOCKET_DRIVER_DATA_BYTES; i++) {
            if (data[i] != (unsigned char)(value + n))
                return -1;
        }
    }
    return 0;
}

/* A full batch of writes on every queue, then the same of reads. */
static int one_round(struct socket_driver *driver, const struct worker *worker, unsigned round,
                     uint32_t type)
{
    uint64_t base = worker->number * (SOCKET_STORE_BYTES / 512 / 4);

    for (unsigned queue = 0; queue < worker->queues; queue++) {
        for (unsigned n = 0; n < SOCKET_DRIVER_DEPTH; n++) {
            int fill = type == VIRTIO_BLK_T_OUT ? (int)(unsigned char)(round + queue + n) : 0;
            memset(socket_driver_data(driver, queue, n), fill, SOCKET_DRIVER_DATA_BYTES);
            uint64_t sector = base + (queue * SOCKET_DRIVER_DEPTH + n) * 8;
            if (socket_driver_start(driver, queue, n, type, sector) < 0)
                return -1;
        }
        l4vio_queue_publish(&driver->queues[queue]);
        if (l4vio_driver_notify(&driver->driver, &driver->queues[queue]) < 0)
            return -1;
    }
    for (unsigned queue = 0; queue < worker->queues; queue++) {
        if (socket_driver_finish(driver, queue) < 0)
            return -1;
        if (type == VIRTIO_BLK_T_IN && compare(driver, queue, round + queue) < 0)
            return -1;
    }
    return 0;
}

static void *client_thread(void *argument)
{
    struct worker *worker = argument;
    static _Thread_local struct socket_driver driver;

    worker->result = socket_driver_open(&driver, worker->path, worker->queues);
    for (unsigned round = 0; worker->result == 0 && round < worker->rounds; round++) {
        worker->result = one_round(&driver, worker, round, VIRTIO_BLK_T_OUT);
        if (worker->result == 0)
            worker->result = one_round(&driver, worker, round, VIRTIO_BLK_T_IN);
        /* A reset in between, while the others work. */
        if (worker->result == 0 && round % 8 == 7) {
            worker->result = l4vio_driver_reset(&driver.driver, NULL);
            if (worker->result == 0)
                worker->result = socket_driver_restart(&driver);
        }
    }
    socket_driver_close(&driver);
    return NULL;
}

static void several_clients(struct socket_server *server, unsigned queues, unsigned rounds)
{
    struct worker workers[4];
    pthread_t threads[4];

    socket_server_start(server);
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){server->path, i, queues, rounds, -1};
        assert_int_equal(pthread_create(&threads[i], NULL, client_thread, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].result, 0);
    }
}

static void several_clients_and_queues_in_one_event_loop(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.block.queue_count = 4;
    several_clients(&server, 4, 24);
    socket_server_end(&server);
}

static void several_clients_with_a_thread_per_queue(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.block.queue_count = 4;
    server.config.thread_per_queue = true;
    several_clients(&server, 4, 24);
    socket_server_end(&server);
}

static void spinning_server_serves_and_sleeps(void **state)
{
    struct socket_server server;

    (void)state;
    socket_server_init(&server);
    server.block.queue_count = 2;
    server.config.spin_ns = 200000;
    several_clients(&server, 2, 16);
    socket_server_end(&server);
}

static void serve_a_file(bool threads)
{
    struct socket_server server;
    struct l4vio_block_backend file;
    char image[96];

    socket_server_init(&server);
    snprintf(image, sizeof(image), "%s/image", server.folder);
    int fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)SOCKET_STORE_BYTES), 0);
    close(fd);
    assert_int_equal(l4vio_file_backend_open(image, false, L4VIO_FILE_ENGINE_AUTO, &file, NULL), 0);
    server.block.backend = file;
    server.block.queue_count = 2;
    server.config.thread_per_queue = threads;
    several_clients(&server, 2, 16);
    socket_server_stop(&server);
    l4vio_file_backend_close(&file);
    unlink(image);
    socket_server_end(&server);
}

/* Completions come later here, some after their client has asked for a reset. */
static void file_is_served_to_several_clients(void **state)
{
    (void)state;
    serve_a_file(false);
    serve_a_file(true);
}

static void command_register_brings_a_device_up(void **state)
{
    struct socket_server server;
    struct socket_driver driver;

    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        socket_server_init(&server);
        server.config.cmd_mode = true;
        server.config.thread_per_queue = threads;
        socket_server_start(&server);
        assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
        assert_true(l4vio_driver_feature_negotiated(&driver.driver, L4VIO_F_L4_CMD_CONFIG));
        for (unsigned i = 1; i < 20; i++)
            write_then_read(&driver, 0, i);
        assert_int_equal(l4vio_driver_reset(&driver.driver, NULL), 0);
        assert_int_equal(socket_driver_restart(&driver), 0);
        write_then_read(&driver, 0, 21);
        socket_driver_close(&driver);
        socket_server_end(&server);
    }
}

static void one_queue_is_reset_while_the_other_works(void **state)
{
    struct socket_server server;
    struct socket_driver driver;

    (void)state;
    socket_server_init(&server);
    server.block.queue_count = 2;
    socket_server_start(&server);
    assert_int_equal(socket_driver_open(&driver, server.path, 2), 0);
    write_then_read(&driver, 1, 5);
    assert_int_equal(l4vio_driver_reset_queue(&driver.driver, &driver.queues[1], NULL), 0);
    write_then_read(&driver, 0, 6);
    assert_int_equal(l4vio_queue_initialize_rings(&driver.queues[1]), 0);
    assert_int_equal(l4vio_driver_attach_queue(&driver.driver, &driver.queues[1], NULL), 0);
    write_then_read(&driver, 1, 7);
    socket_driver_close(&driver);
    socket_server_end(&server);
}

static void memory_is_taken_back_while_connected(void **state)
{
    struct socket_server server;
    struct socket_driver driver;
    struct l4vio_region region;

    (void)state;
    socket_server_init(&server);
    server.config.quotas.regions = 2;
    socket_server_start(&server);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
    unsigned mappings = usage_now().mappings;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(l4vio_driver_allocate(&driver.driver, 8192, &region, NULL), 0);
        assert_int_equal(l4vio_driver_release(&driver.driver, &region, NULL), 0);
    }
    assert_int_equal(usage_now().mappings, mappings);
    assert_true(l4vio_driver_release(&driver.driver, &driver.region, NULL) < 0);
    write_then_read(&driver, 0, 3);
    socket_driver_close(&driver);
    socket_server_end(&server);
}

/* In a process of its own: works until it is killed. */
static pid_t start_victim(const char *path)
{
    pid_t child = fork();

    if (child == 0) {
        static struct socket_driver driver;
        struct worker worker = {path, 0, 2, 1, 0};
        alarm(60);
        if (socket_driver_open(&driver, path, 2) != 0)
            _exit(1);
        for (unsigned round = 0;; round++)
            one_round(&driver, &worker, round, VIRTIO_BLK_T_OUT);
    }
    assert_true(child > 0);
    return child;
}

/* The death of a client is noticed a little later. */
static bool settles_at(unsigned descriptors, unsigned mappings)
{
    for (int i = 0; i < 5000; i++) {
        if (usage_now().descriptors == descriptors && usage_now().mappings == mappings)
            return true;
        usleep(1000);
    }
    return false;
}

static void killed_client_leaves_nothing_behind(void **state)
{
    struct socket_server server;
    struct l4vio_server_counters counters;

    (void)state;
    socket_server_init(&server);
    server.block.queue_count = 2;
    pid_t server_child;
    int stop[2];
    int report[2];

    /* Fork and threads do not mix: the server runs here, the clients come from a child made before. */
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(pipe(report), 0);
    server_child = fork();
    if (server_child == 0) {
        char byte;
        for (int i = 0; i < 10 && read(stop[0], &byte, 1) == 1; i++) {
            pid_t victim = start_victim(server.path);
            usleep((useconds_t)(1000 * (i + 1)));
            kill(victim, SIGKILL);
            waitpid(victim, NULL, 0);
            if (write(report[1], "k", 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    socket_server_start(&server);
    assert_true(socket_server_has_clients(&server, 0));
    unsigned descriptors = usage_now().descriptors;
    unsigned mappings = usage_now().mappings;
    for (int i = 0; i < 10; i++) {
        char byte;
        assert_int_equal(write(stop[1], "g", 1), 1);
        assert_int_equal(read(report[0], &byte, 1), 1);
        assert_true(settles_at(descriptors, mappings));
    }
    assert_true(socket_server_has_clients(&server, 0));
    waitpid(server_child, NULL, 0);
    l4vio_server_counters_read(server.server, &counters);
    assert_int_equal(counters.clients_accepted, counters.clients_gone);
    for (int i = 0; i < 2; i++) {
        close(stop[i]);
        close(report[i]);
    }
    socket_server_end(&server);
}

static void stopped_server_ends_calls_and_waits(void **state)
{
    struct socket_server server;
    struct socket_driver driver;
    struct l4vio_error error = {0};
    int result;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
    socket_server_stop(&server);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_IN, 0), L4VIO_EPIPE);
    do {
        result = l4vio_driver_wait(&driver.driver, 0, L4VIO_FOREVER);
    } while (result == L4VIO_OK);
    assert_int_equal(result, L4VIO_EPIPE);
    assert_int_equal(l4vio_driver_reset(&driver.driver, &error), L4VIO_EPIPE);
    socket_driver_close(&driver);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_client_leaves_nothing_behind),
        cmocka_unit_test(one_client_writes_and_reads_back),
        cmocka_unit_test(several_clients_and_queues_in_one_event_loop),
        cmocka_unit_test(several_clients_with_a_thread_per_queue),
        cmocka_unit_test(spinning_server_serves_and_sleeps),
        cmocka_unit_test(file_is_served_to_several_clients),
        cmocka_unit_test(command_register_brings_a_device_up),
        cmocka_unit_test(one_queue_is_reset_while_the_other_works),
        cmocka_unit_test(memory_is_taken_back_while_connected),
        cmocka_unit_test(stopped_server_ends_calls_and_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
