/* SPDX-License-Identifier: MIT */
/* Memory tables and regions that make no sense are refused, and what was in force before stays in force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_attacker.h"

#define KIB UINT64_C(1024)
#define TIB (KIB * KIB * KIB * KIB)

/* In the order of the wire. */
struct region {
    uint64_t guest, bytes, user, offset;
};

#define FAR_GUEST (ATTACK_GUEST + TIB)
#define FAR_USER  (ATTACK_USER + TIB)

/* None of these may come beside the region that is there, for a file of 1 MiB. */
static const struct region bad_regions[] = {
    {FAR_GUEST, 0, FAR_USER, 0},
    {FAR_GUEST, ATTACK_MEMORY_BYTES + 1, FAR_USER, 0},
    {FAR_GUEST, ATTACK_MEMORY_BYTES, FAR_USER, 1},
    {FAR_GUEST, 1, FAR_USER, ATTACK_MEMORY_BYTES},
    {FAR_GUEST, 4096, FAR_USER, UINT64_MAX - 4095},
    {FAR_GUEST, 4096, FAR_USER, UINT64_C(1) << 63},
    {FAR_GUEST, UINT64_C(1) << 63, FAR_USER, 0},
    {FAR_GUEST, UINT64_MAX, FAR_USER, 0},
    {FAR_GUEST, UINT64_MAX - 4095, FAR_USER, 4096},
    {UINT64_MAX - 4094, 4096, FAR_USER, 0},
    {FAR_GUEST, 4096, UINT64_MAX - 4094, 0},
    /* Where there is something already. */
    {ATTACK_GUEST, ATTACK_MEMORY_BYTES, ATTACK_USER, 0},
    {ATTACK_GUEST, 4096, FAR_USER, 0},
    {ATTACK_GUEST - 4095, 4096, FAR_USER, 0},
    {ATTACK_GUEST + ATTACK_MEMORY_BYTES - 1, 4096, FAR_USER, 0},
    {FAR_GUEST, 4096, ATTACK_USER, 0},
    {FAR_GUEST, 4096, ATTACK_USER - 4095, 0},
    {FAR_GUEST, 4096, ATTACK_USER + ATTACK_MEMORY_BYTES - 1, 0},
};

#define BAD_REGIONS (sizeof(bad_regions) / sizeof(bad_regions[0]))

static void live(struct vhost_attacker *attacker, struct socket_server *server)
{
    vhost_attacker_open(attacker, server);
    assert_int_equal(vhost_attacker_live(attacker), 0);
    assert_int_equal(vhost_attacker_do(attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
}

static void end(struct vhost_attacker *attacker, struct socket_server *server)
{
    assert_int_equal(vhost_attacker_do(attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(attacker);
    vhost_attacked_check(server);
    socket_server_end(server);
}

static int add(struct vhost_attacker *attacker, const struct region *region, int fd)
{
    return vhost_attacker_add_region(attacker, region->guest, region->bytes, region->user,
                                     region->offset, fd);
}

static void regions_that_make_no_sense(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    const struct usage before = usage_now();
    for (unsigned i = 0; i < BAD_REGIONS; i++) {
        if (add(&attacker, &bad_regions[i], attacker.memory_fd) != 1)
            fail_msg("region %u was taken", i);
    }
    assert_int_equal(usage_now().mappings, before.mappings);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    end(&attacker, &server);
}

static int set_table(struct vhost_attacker *attacker, const struct region *regions, uint32_t count,
                     uint32_t said, unsigned fds)
{
    uint64_t payload[1 + 4 * 16] = {said};
    int list[RAW_MESSAGE_FDS];
    struct raw_message reply;

    if (count)
        memcpy(payload + 1, regions, count * sizeof(*regions));
    for (unsigned i = 0; i < fds; i++)
        list[i] = attacker->memory_fd;
    if (!vhost_attacker_send(attacker, RAW_SET_MEM_TABLE, 1u | RAW_FLAG_NEED_REPLY, payload,
                             8 + 32 * count, list, fds) ||
        !raw_backend_receive(attacker->socket, &reply))
        return ATTACK_HUNG_UP;
    return reply.u.words[0] != 0;
}

/* A table takes the place of the old one only as a whole. */
static void tables_that_make_no_sense(void **state)
{
    const struct region good = {ATTACK_GUEST, ATTACK_MEMORY_BYTES, ATTACK_USER, 0};
    struct socket_server server;
    struct vhost_attacker attacker;
    struct region regions[2];

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    const struct usage before = usage_now();
    for (unsigned i = 0; i < BAD_REGIONS; i++) {
        regions[0] = good;
        regions[1] = bad_regions[i];
        if (set_table(&attacker, regions, 2, 2, 2) != 1)
            fail_msg("region %u was taken", i);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    }
    /* The first one of it can be mapped, the second one cannot. */
    regions[0] = (struct region){FAR_GUEST + TIB, 4096, FAR_USER + TIB, 0};
    regions[1] = (struct region){FAR_GUEST, 4096, FAR_USER, ATTACK_MEMORY_BYTES};
    assert_int_equal(set_table(&attacker, regions, 2, 2, 2), 1);
    assert_int_equal(usage_now().mappings, before.mappings);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(set_table(&attacker, &good, 1, 1, 1), 0);
    assert_int_equal(usage_now().mappings, before.mappings);
    end(&attacker, &server);
}

static void counts_that_do_not_fit(void **state)
{
    static const struct {
        uint32_t count, said;
        unsigned fds;
        int result;
    } tables[] = {
        {9, 9, 8, ATTACK_HUNG_UP},
        {9, 9, 9, ATTACK_HUNG_UP},
        {8, 9, 8, 1},
        {8, UINT32_MAX, 8, 1},
        {1, 1, 0, 1},
        {1, 1, 2, 1},
        {2, 2, 1, 1},
        {1, 1, 16, 1},
        {0, 0, 1, 1},
        {1, 2, 2, ATTACK_HUNG_UP},
        {0, 8, 8, ATTACK_HUNG_UP},
        /* Who always sends two may mean one. */
        {2, 1, 1, 0},
    };
    struct region regions[9];
    struct socket_server server;

    (void)state;
    vhost_attacked_start(&server);
    for (uint64_t i = 0; i < 9; i++)
        regions[i] = (struct region){FAR_GUEST + i * 65536, 4096, FAR_USER + i * 65536, 0};
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct vhost_attacker attacker;
        vhost_attacker_open(&attacker, &server);
        assert_int_equal(vhost_attacker_greet(&attacker), 0);
        int result = set_table(&attacker, regions, tables[i].count, tables[i].said, tables[i].fds);
        if (result != tables[i].result)
            fail_msg("table %u: %d", i, result);
        vhost_attacker_close(&attacker);
    }
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

/* Only a writable file is memory. */
static void what_is_no_memory(void **state)
{
    char path[] = "/tmp/l4vio-hostile-XXXXXX";
    struct socket_server server;
    struct vhost_attacker attacker;
    int pair[2], channel[2];

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(channel, O_CLOEXEC), 0);
    int file = mkstemp(path);
    assert_int_equal(ftruncate(file, 65536), 0);
    int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(sealed, 65536), 0);
    assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
    const int kinds[] = {
        pair[0],
        channel[0],
        channel[1],
        sealed,
        open("/dev/zero", O_RDWR | O_CLOEXEC),
        open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        eventfd(0, EFD_CLOEXEC),
        open(path, O_RDONLY | O_CLOEXEC),
        open(path, O_WRONLY | O_CLOEXEC),
        open(path, O_PATH | O_CLOEXEC),
        open("/proc/self/mem", O_RDWR | O_CLOEXEC),
        memfd_create("empty", MFD_CLOEXEC),
    };
    const struct region region = {FAR_GUEST, 4096, FAR_USER, 0};
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (add(&attacker, &region, kinds[i]) != 1)
            fail_msg("descriptor %u was taken for memory", i);
    }
    assert_int_equal(add(&attacker, &region, -1), 1);
    assert_int_equal(add(&attacker, &region, file), 0);
    for (unsigned i = 4; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        close(kinds[i]);
    close(file);
    close(sealed);
    close(pair[0]);
    close(pair[1]);
    close(channel[0]);
    close(channel[1]);
    unlink(path);
    end(&attacker, &server);
}

/* Sparse files cost nothing; what they would have us map does. */
static void huge_files_use_up_a_quota(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    int huge = memfd_create("huge", MFD_CLOEXEC);
    assert_int_equal(ftruncate(huge, (off_t)(8 * TIB)), 0);
    int taken = 0;
    for (uint64_t i = 0; i < 32; i++) {
        const struct region region = {FAR_GUEST + i * 16 * TIB, 8 * TIB, FAR_USER + i * 16 * TIB,
                                      0};
        taken += add(&attacker, &region, huge) == 0;
    }
    assert_int_equal(taken, 0);
    /* 16 GiB all together, unless the program says otherwise; there is 1 MiB already. */
    for (uint64_t i = 0; i < 20; i++) {
        const struct region region = {FAR_GUEST + i * TIB, KIB * KIB * KIB, FAR_USER + i * TIB, 0};
        taken += add(&attacker, &region, huge) == 0;
    }
    assert_int_equal(taken, 15);
    const struct region tables[2] = {
        {ATTACK_GUEST, 9 * KIB * KIB * KIB, ATTACK_USER, 0},
        {FAR_GUEST, 9 * KIB * KIB * KIB, FAR_USER, 0},
    };
    int saved = attacker.memory_fd;
    attacker.memory_fd = huge;
    assert_int_equal(set_table(&attacker, tables, 2, 2, 2), 1);
    attacker.memory_fd = saved;
    close(huge);
    end(&attacker, &server);
}

static void the_same_file_many_times(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;
    uint64_t slots = 0;
    uint64_t taken = 1;

    (void)state;
    vhost_attacked_start(&server);
    const struct usage before = usage_now();
    live(&attacker, &server);
    assert_true(vhost_attacker_ask(&attacker, RAW_GET_MAX_MEM_SLOTS, &slots));
    for (uint64_t i = 0; i < slots + 10; i++) {
        const struct region region = {FAR_GUEST + i * 4096, 4096, FAR_USER + i * 4096, 0};
        taken += add(&attacker, &region, attacker.memory_fd) == 0;
    }
    assert_int_equal(taken, slots);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    vhost_attacked_check(&server);
    assert_int_equal(usage_now().mappings, before.mappings);
    assert_int_equal(usage_now().descriptors, before.descriptors);
    socket_server_end(&server);
}

/* Rings in the hole between two regions, across their border, at the very end; not aligned. */
static void rings_where_they_cannot_be(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;
    static const uint64_t places[][3] = {
        {ATTACK_USER - 16, ATTACK_USER, ATTACK_USER},
        {ATTACK_USER + ATTACK_MEMORY_BYTES, ATTACK_USER, ATTACK_USER},
        {ATTACK_USER + ATTACK_MEMORY_BYTES - 16, ATTACK_USER, ATTACK_USER},
        {ATTACK_USER, ATTACK_USER + ATTACK_MEMORY_BYTES - 4, ATTACK_USER},
        {ATTACK_USER, ATTACK_USER, ATTACK_USER + ATTACK_MEMORY_BYTES - 4},
        {ATTACK_USER + 1, ATTACK_USER, ATTACK_USER},
        {ATTACK_USER, ATTACK_USER + 1, ATTACK_USER},
        {ATTACK_USER, ATTACK_USER, ATTACK_USER + 1},
        {UINT64_MAX - 15, ATTACK_USER, ATTACK_USER},
        {0, ATTACK_USER, ATTACK_USER},
        /* Across the border: what is next to it for the driver is not so here. */
        {FAR_USER + 4096 - 32, ATTACK_USER, ATTACK_USER},
    };

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    const struct region next[2] = {{FAR_GUEST, 4096, FAR_USER, 0},
                                   {FAR_GUEST + 4096, 4096, FAR_USER + 4096, 65536}};
    assert_int_equal(add(&attacker, &next[0], attacker.memory_fd), 0);
    assert_int_equal(add(&attacker, &next[1], attacker.memory_fd), 0);
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const uint64_t addresses[5] = {0, places[i][0], places[i][1], places[i][2], 0};
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        /* Refused, or the ring does not run; nothing is touched in any case. */
        vhost_attacker_tell(&attacker, RAW_SET_VRING_ADDR, addresses, sizeof(addresses), -1);
        vhost_attacker_kick(&attacker);
        assert_true(vhost_attacker_stop_ring(&attacker, 0, NULL));
        assert_int_equal(vhost_attacker_start_ring(&attacker), 0);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    }
    end(&attacker, &server);
}

/* Memory goes away under a ring that runs: the ring stops, and goes on where it was with memory again. */
static void memory_that_goes_away_under_a_ring(void **state)
{
    const uint64_t region[5] = {0, ATTACK_GUEST, ATTACK_MEMORY_BYTES, ATTACK_USER, 0};
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    live(&attacker, &server);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_REM_MEM_REG, region, sizeof(region), -1), 0);
        assert_int_equal(
            vhost_attacker_tell(&attacker, RAW_REM_MEM_REG, region, sizeof(region), -1), 1);
        vhost_attacker_submit(&attacker, VIRTIO_BLK_T_IN);
        assert_int_equal(vhost_attacker_share(&attacker), 0);
        assert_int_equal(vhost_attacker_await(&attacker), VIRTIO_BLK_S_OK);
    }
    assert_int_equal(set_table(&attacker, NULL, 0, 0, 0), 0);
    assert_int_equal(vhost_attacker_share(&attacker), 0);
    end(&attacker, &server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_that_make_no_sense),
        cmocka_unit_test(tables_that_make_no_sense),
        cmocka_unit_test(counts_that_do_not_fit),
        cmocka_unit_test(what_is_no_memory),
        cmocka_unit_test(huge_files_use_up_a_quota),
        cmocka_unit_test(the_same_file_many_times),
        cmocka_unit_test(rings_where_they_cannot_be),
        cmocka_unit_test(memory_that_goes_away_under_a_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
