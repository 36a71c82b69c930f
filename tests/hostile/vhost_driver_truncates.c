/* SPDX-License-Identifier: MIT */
/*
 * A driver that cuts its memory file short at any time: the program that serves survives by handing the fault
 * to the library, the device needs a reset, memory that is told anew is served again, and so is the next
 * client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_attacker.h"

#define IMAGE_BYTES (8 << 20)

/* Over a file too, because its requests are carried out by the kernel. */
struct rig {
    struct socket_server server;
    struct l4vio_block_backend file;
    char path[32];
    bool with_file;
};

static void start(struct rig *rig, bool with_file, bool threads)
{
    socket_server_init(&rig->server);
    rig->with_file = with_file;
    if (with_file) {
        strcpy(rig->path, "/tmp/l4vio-image-XXXXXX");
        int fd = mkstemp(rig->path);
        assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
        close(fd);
        assert_int_equal(
            l4vio_file_backend_open(rig->path, false, L4VIO_FILE_ENGINE_AUTO, &rig->file, NULL), 0);
        rig->server.block.backend = rig->file;
    }
    rig->server.config.thread_per_queue = threads;
    vhost_attacked_run(&rig->server);
}

static void finish(struct rig *rig)
{
    socket_server_end(&rig->server);
    if (!rig->with_file)
        return;
    l4vio_file_backend_close(&rig->file);
    unlink(rig->path);
}

/* Without telling it of faults of our own: a mapping of what stays. */
static void cut(struct vhost_attacker *attacker, off_t bytes)
{
    assert_int_equal(ftruncate(attacker->memory_fd, bytes), 0);
}

static void restore(struct vhost_attacker *attacker)
{
    const uint64_t region[5] = {0, ATTACK_GUEST, ATTACK_MEMORY_BYTES, ATTACK_USER, 0};

    cut(attacker, ATTACK_MEMORY_BYTES);
    assert_int_equal(vhost_attacker_tell(attacker, RAW_REM_MEM_REG, region, sizeof(region), -1), 0);
    assert_int_equal(vhost_attacker_share(attacker), 0);
}

static void begin_anew(struct vhost_attacker *attacker)
{
    restore(attacker);
    assert_int_equal(vhost_attacker_tell(attacker, RAW_RESET_DEVICE, NULL, 0, -1), 0);
    assert_int_equal(vhost_attacker_set_features(attacker), 0);
    assert_int_equal(vhost_attacker_start_ring(attacker), 0);
    assert_int_equal(vhost_attacker_do(attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
}

static void live(struct vhost_attacker *attacker, struct rig *rig, uint64_t features)
{
    vhost_attacker_open(attacker, &rig->server);
    attacker->features |= features;
    assert_int_equal(vhost_attacker_live(attacker), 0);
    assert_int_equal(vhost_attacker_do(attacker, VIRTIO_BLK_T_OUT), VIRTIO_BLK_S_OK);
}

static void rings_are_cut_off(bool with_file, bool threads, uint64_t features)
{
    struct rig rig;
    struct vhost_attacker attacker;

    start(&rig, with_file, threads);
    live(&attacker, &rig, features);
    for (int i = 0; i < 3; i++) {
        cut(&attacker, 0);
        vhost_attacker_kick(&attacker);
        assert_true(vhost_attacker_fails(&attacker));
        begin_anew(&attacker);
    }
    cut(&attacker, 0);
    vhost_attacker_kick(&attacker);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&rig.server);
    finish(&rig);
}

static void rings_in_the_part_that_is_cut_off(void **state)
{
    (void)state;
    rings_are_cut_off(false, false, 0);
    rings_are_cut_off(false, true, 0);
    rings_are_cut_off(false, false, ATTACK_F_PACKED);
    rings_are_cut_off(true, true, ATTACK_F_PACKED);
}

/* Rings stay, headers and data are cut off: an error of the request, or a device that needs a reset. */
static void data_is_cut_off(bool with_file, bool threads, uint32_t type)
{
    struct rig rig;
    struct vhost_attacker attacker;

    start(&rig, with_file, threads);
    live(&attacker, &rig, 0);
    for (int i = 0; i < 3; i++) {
        const uint32_t header[4] = {type, 0, 0, 0};
        /* The header and the status stay where they are, the data is elsewhere. */
        const struct raw_piece pieces[] = {
            {ATTACK_GUEST + ATTACK_HEADER, 16, RAW_READ},
            {ATTACK_GUEST + 0x80000, ATTACK_DATA_BYTES,
             type == VIRTIO_BLK_T_IN ? RAW_WRITE : RAW_READ},
            {ATTACK_GUEST + ATTACK_STATUS, 1, RAW_WRITE},
        };
        memcpy(attacker.memory + ATTACK_HEADER, header, sizeof(header));
        attacker.memory[ATTACK_STATUS] = 0xee;
        raw_ring_publish(&attacker.ring, 4, pieces, 3);
        cut(&attacker, 0x80000);
        vhost_attacker_kick(&attacker);
        struct raw_used used;
        while (!raw_ring_get_used(&attacker.ring, &used) && !vhost_attacker_fails(&attacker)) {}
        begin_anew(&attacker);
    }
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&rig.server);
    finish(&rig);
}

static void data_in_the_part_that_is_cut_off(void **state)
{
    (void)state;
    data_is_cut_off(false, false, VIRTIO_BLK_T_IN);
    data_is_cut_off(false, true, VIRTIO_BLK_T_OUT);
    data_is_cut_off(true, false, VIRTIO_BLK_T_IN);
    data_is_cut_off(true, true, VIRTIO_BLK_T_OUT);
}

struct cutter {
    int fd;
    atomic_bool stop;
};

static void *cut_again_and_again(void *argument)
{
    struct cutter *cutter = argument;

    for (unsigned i = 0; !atomic_load(&cutter->stop); i++) {
        (void)!ftruncate(cutter->fd, i % 3 ? 0x8000 : 0);
        (void)!ftruncate(cutter->fd, ATTACK_MEMORY_BYTES);
    }
    return NULL;
}

/* Our own view of the memory must not fault: everything is written by system calls. */
static void write_request(struct vhost_attacker *attacker, uint16_t index)
{
    const struct virtq_desc desc[3] = {
        {ATTACK_GUEST + ATTACK_HEADER, 16, VIRTQ_DESC_F_NEXT, 1},
        {ATTACK_GUEST + ATTACK_DATA, ATTACK_DATA_BYTES, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2},
        {ATTACK_GUEST + ATTACK_STATUS, 1, VIRTQ_DESC_F_WRITE, 0},
    };
    const uint16_t avail[2 + ATTACK_QUEUE_SIZE] = {0, index};

    (void)!pwrite(attacker->memory_fd, desc, sizeof(desc), ATTACK_DESC);
    (void)!pwrite(attacker->memory_fd, avail, sizeof(avail), ATTACK_AVAIL);
}

static void cut_during_requests(bool with_file, bool threads)
{
    struct rig rig;
    struct cutter cutter = {0};
    pthread_t thread;

    start(&rig, with_file, threads);
    for (int round = 0; round < 20; round++) {
        struct vhost_attacker attacker;
        live(&attacker, &rig, 0);
        cutter.fd = attacker.memory_fd;
        atomic_store(&cutter.stop, false);
        assert_int_equal(pthread_create(&thread, NULL, cut_again_and_again, &cutter), 0);
        for (uint16_t i = 2; i < 200; i++) {
            write_request(&attacker, i);
            vhost_attacker_kick(&attacker);
        }
        atomic_store(&cutter.stop, true);
        pthread_join(thread, NULL);
        vhost_attacker_close(&attacker);
    }
    vhost_attacked_check(&rig.server);
    finish(&rig);
}

static void cut_at_any_time(void **state)
{
    (void)state;
    cut_during_requests(false, false);
    cut_during_requests(true, false);
    cut_during_requests(true, true);
}

/* Nobody touches it while nothing is asked for; a message that has us look at it finds out. */
static void cut_while_idle(void **state)
{
    struct rig rig;
    struct vhost_attacker attacker;
    uint64_t number = 0;

    (void)state;
    start(&rig, false, false);
    live(&attacker, &rig, ATTACK_F_PACKED);
    cut(&attacker, 0);
    assert_true(vhost_attacker_ask(&attacker, RAW_GET_FEATURES, &number));
    assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
    /* Set up in memory that is not there: our own ring is not touched by us, so by hand. */
    assert_int_equal(vhost_attacker_tell_state(&attacker, RAW_SET_VRING_BASE, 0, 0), 0);
    assert_int_equal(vhost_attacker_tell_number(&attacker, RAW_SET_VRING_KICK, 0, attacker.kick),
                     0);
    vhost_attacker_kick(&attacker);
    assert_true(vhost_attacker_ask(&attacker, RAW_GET_FEATURES, &number));
    begin_anew(&attacker);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&rig.server);
    finish(&rig);
}

/* A fault that is none of a client's memory is not ours to handle. */
static void faults_of_others_are_not_taken(void **state)
{
    struct rig rig;
    int local = 0;

    (void)state;
    start(&rig, false, false);
    assert_false(l4vio_server_memory_fault(rig.server.server, &local));
    assert_false(l4vio_server_memory_fault(rig.server.server, NULL));
    finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_in_the_part_that_is_cut_off),
        cmocka_unit_test(data_in_the_part_that_is_cut_off),
        cmocka_unit_test(cut_at_any_time),
        cmocka_unit_test(cut_while_idle),
        cmocka_unit_test(faults_of_others_are_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
