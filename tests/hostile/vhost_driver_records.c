/* SPDX-License-Identifier: MIT */
/*
 * The records that a front end shares besides its memory, with hostile content: requests in flight, and the
 * log of pages written. What does not fit is refused, or the ring does not run; it runs again without it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_attacker.h"

#define RECORD_BYTES 65536u

struct told {
    uint64_t size, offset;
    uint16_t queues, queue_size;
    uint32_t padding;
};

static void open_client(struct vhost_attacker *attacker, struct socket_server *server,
                        uint64_t features)
{
    vhost_attacker_open(attacker, server);
    attacker->features |= features;
    attacker->protocol_features |= ATTACK_P_LOG;
    assert_int_equal(vhost_attacker_greet(attacker), 0);
    assert_int_equal(vhost_attacker_set_features(attacker), 0);
    assert_int_equal(vhost_attacker_share(attacker), 0);
}

static int record_of(uint64_t bytes)
{
    int fd = memfd_create("record", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

static void absurd_records_are_refused(void **state)
{
    static const struct told all[] = {
        {RECORD_BYTES, 0, 0, ATTACK_QUEUE_SIZE, 0},
        {RECORD_BYTES, 0, ATTACK_QUEUES + 1, ATTACK_QUEUE_SIZE, 0},
        {RECORD_BYTES, 0, 65535, 65535, 0},
        {RECORD_BYTES, 0, 1, 0, 0},
        {RECORD_BYTES, 0, 1, 32768, 0},
        {0, 0, 1, ATTACK_QUEUE_SIZE, 0},
        {16, 0, 1, ATTACK_QUEUE_SIZE, 0},
        {UINT64_MAX, RECORD_BYTES, 1, ATTACK_QUEUE_SIZE, 0},
        {RECORD_BYTES, 1, 1, ATTACK_QUEUE_SIZE, 0},
        {RECORD_BYTES, RECORD_BYTES - 64, 1, ATTACK_QUEUE_SIZE, 0},
        {RECORD_BYTES, UINT64_MAX - 63, 1, ATTACK_QUEUE_SIZE, 0},
    };
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    open_client(&attacker, &server, 0);
    int fd = record_of(RECORD_BYTES);
    const struct usage before = usage_now();
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &all[i], sizeof(all[i]), fd) != 1)
            fail_msg("record %u was taken", i);
        if (i < 5) {
            /* An answer without payload. */
            struct raw_message reply;
            assert_true(vhost_attacker_send(&attacker, RAW_GET_INFLIGHT_FD, 1, &all[i],
                                            sizeof(all[i]), NULL, 0));
            assert_true(raw_backend_receive(attacker.socket, &reply));
            assert_int_equal(reply.fd_count, 0);
        }
    }
    const struct told good = {RECORD_BYTES, 0, 1, ATTACK_QUEUE_SIZE, 0};
    const int others[] = {-1, attacker.kick, attacker.socket};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &good, sizeof(good), others[i]), 1);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
    assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    close(fd);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Nearly good: version and size are right, the rest is anything. */
static void fill_record(unsigned char *record, uint32_t seed, bool packed)
{
    const uint16_t head[2] = {1, ATTACK_QUEUE_SIZE};

    for (unsigned i = 0; i < 4096; i++)
        record[i] = next(&seed) % 4 ? (unsigned char)(next(&seed) % 20) : (unsigned char)seed;
    memset(record, 0, 8);
    memcpy(record + 8, head, sizeof(head));
    if (next(&seed) % 2 && !packed)
        memset(record + 12, 0, 4);
}

static void records_with_any_content(uint64_t features)
{
    const struct told told = {RECORD_BYTES, 0, 1, ATTACK_QUEUE_SIZE, 0};
    struct socket_server server;

    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    for (uint32_t seed = 1; seed < 60; seed++) {
        struct vhost_attacker attacker;
        int fd = record_of(RECORD_BYTES);
        open_client(&attacker, &server, features);
        unsigned char *record = mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(record != MAP_FAILED);
        fill_record(record, seed * 2654435761u, features & ATTACK_F_PACKED);
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &told, sizeof(told), fd), 0);
        /* What it finds in the ring may be anything, too. */
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        vhost_attacker_submit(&attacker, VIRTIO_BLK_T_IN);
        memset(record, (int)seed, 4096);
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        /* A new record is as good as none. */
        memset(record, 0, 4096);
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &told, sizeof(told), fd), 0);
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
        /* Later it is only written. */
        memset(record, 0xff, 4096);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
        munmap(record, RECORD_BYTES);
        close(fd);
        vhost_attacker_close(&attacker);
    }
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
    socket_server_end(&server);
}

static void split_records_with_any_content(void **state)
{
    (void)state;
    records_with_any_content(0);
}

static void packed_records_with_any_content(void **state)
{
    (void)state;
    records_with_any_content(ATTACK_F_PACKED);
}

/* Told for split rings, and then the rings are packed, whose records are larger. */
static void a_record_of_the_other_format(void **state)
{
    const struct told told = {512, 0, ATTACK_QUEUES, ATTACK_QUEUE_SIZE, 0};
    struct told larger = {4096, 0, ATTACK_QUEUES, ATTACK_QUEUE_SIZE, 0};
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    open_client(&attacker, &server, 0);
    int fd = record_of(4096);
    assert_int_equal(vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &told, sizeof(told), fd),
                     1);
    assert_int_equal(
        vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &larger, sizeof(larger), fd), 0);
    attacker.features |= ATTACK_F_PACKED;
    assert_int_equal(vhost_attacker_set_features(&attacker), 0);
    assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
    vhost_attacker_submit(&attacker, VIRTIO_BLK_T_IN);
    assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
    close(fd);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static void a_record_that_is_cut_short(void **state)
{
    const struct told told = {RECORD_BYTES, 0, 1, ATTACK_QUEUE_SIZE, 0};
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    open_client(&attacker, &server, 0);
    int fd = record_of(RECORD_BYTES);
    assert_int_equal(vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &told, sizeof(told), fd),
                     0);
    assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    assert_int_equal(ftruncate(fd, 0), 0);
    vhost_attacker_submit(&attacker, VIRTIO_BLK_T_IN);
    assert_true(vhost_attacker_fails(&attacker));
    close(fd);
    /* With another one it goes on. */
    fd = record_of(RECORD_BYTES);
    assert_int_equal(vhost_attacker_tell(&attacker, RAW_RESET_DEVICE, NULL, 0, -1), 0);
    assert_int_equal(vhost_attacker_set_features(&attacker), 0);
    assert_int_equal(vhost_attacker_tell(&attacker, RAW_SET_INFLIGHT_FD, &told, sizeof(told), fd),
                     0);
    assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    close(fd);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static int set_log(struct vhost_attacker *attacker, uint64_t bytes, uint64_t offset, int fd)
{
    const uint64_t log[2] = {bytes, offset};

    return vhost_attacker_tell(attacker, ATTACK_SET_LOG_BASE, log, sizeof(log), fd);
}

/* Shorter than memory, beyond its file, cut short while it is written, of nothing. */
static void logs_that_are_too_short(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    open_client(&attacker, &server, ATTACK_F_LOG);
    int fd = record_of(4096);
    assert_int_equal(set_log(&attacker, 0, 0, fd), 1);
    assert_int_equal(set_log(&attacker, 4097, 0, fd), 1);
    assert_int_equal(set_log(&attacker, 4096, 1, fd), 1);
    assert_int_equal(set_log(&attacker, UINT64_MAX, 0, fd), 1);
    assert_int_equal(set_log(&attacker, UINT64_MAX, UINT64_MAX, fd), 1);
    assert_int_equal(set_log(&attacker, 1, 0, attacker.kick), 1);
    assert_int_equal(set_log(&attacker, 1, 0, -1), 1);
    /* One byte is eight pages; the memory begins far behind them. */
    assert_int_equal(set_log(&attacker, 1, 0, fd), 0);
    assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    /* The ring's own place in the log is anywhere. */
    const uint64_t places[] = {0, 4096, UINT64_MAX, UINT64_MAX - 4095, UINT64_C(1) << 63};
    for (unsigned i = 0; i < 5; i++) {
        const uint64_t addresses[5] = {UINT64_C(1) << 32, ATTACK_USER + ATTACK_DESC,
                                       ATTACK_USER + ATTACK_USED, ATTACK_USER + ATTACK_AVAIL,
                                       places[i]};
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_SET_VRING_ADDR, addresses, sizeof(addresses), -1),
            0);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    }
    assert_int_equal(set_log(&attacker, 4096, 0, fd), 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    /* The log of the first pages: those of the ring, which says that it lies there. */
    const uint64_t addresses[5] = {UINT64_C(1) << 32, ATTACK_USER + ATTACK_DESC,
                                   ATTACK_USER + ATTACK_USED, ATTACK_USER + ATTACK_AVAIL, 0};
    assert_int_equal(
        vhost_attacker_tell(&attacker, RAW_SET_VRING_ADDR, addresses, sizeof(addresses), -1), 0);
    vhost_attacker_submit(&attacker, VIRTIO_BLK_T_IN);
    assert_true(vhost_attacker_fails(&attacker));
    vhost_attacker_close(&attacker);
    close(fd);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absurd_records_are_refused),
        cmocka_unit_test(split_records_with_any_content),
        cmocka_unit_test(packed_records_with_any_content),
        cmocka_unit_test(a_record_of_the_other_format),
        cmocka_unit_test(a_record_that_is_cut_short),
        cmocka_unit_test(logs_that_are_too_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
