/* SPDX-License-Identifier: MIT */
/* The front end's memory over vhost-user: tables and slots, those that are refused, those that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_frontend.h"

#define PAGE 4096u

static int memory_of(uint64_t size_bytes)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size_bytes), 0);
    return fd;
}

static uint64_t ask_table(struct raw_frontend *front, const struct vhost_user_memory *table,
                          const int *fds, unsigned count)
{
    return front_ask(front, VHOST_USER_SET_MEM_TABLE, table, 8 + 32 * table->nregions, fds, count);
}

static uint64_t ask_region(struct raw_frontend *front, uint32_t request,
                           struct vhost_user_memory_region region, int fd)
{
    struct vhost_user_single_memory_region single = {.region = region};

    return front_ask(front, request, &single, sizeof(single), &fd, fd >= 0);
}

static const struct vhost_user_memory_region whole = {FRONT_GUEST, FRONT_MEMORY_BYTES, FRONT_USER,
                                                      0};

static void slots_make_a_table(void **state)
{
    struct raw_frontend *front = *state;
    const uint64_t half = FRONT_MEMORY_BYTES / 2;
    struct vhost_user_memory_region low = {FRONT_GUEST, half, FRONT_USER, 0};
    struct vhost_user_memory_region high = {FRONT_GUEST + half, half, FRONT_USER + half, half};

    front_negotiate(front);
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, low, front->memory_fd), 0);
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, high, front->memory_fd), 0);
    front_ring(front, 0);
    front_expect_works(front, 0);
    /* The one that has the rings: it goes on when they are told anew. */
    assert_int_equal(ask_region(front, VHOST_USER_REM_MEM_REG, low, -1), 0);
    front_publish(front, 0, 6, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 0);
    assert_false(front_completes(front, 0));
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, low, front->memory_fd), 0);
    assert_int_equal(front_complete(front, 0), 6);
    front_expect_works(front, 0);
}

static void slots_that_are_wrong_are_refused(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_memory_region other = whole;

    front_negotiate(front);
    front_share(front);
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, whole, front->memory_fd), 1);
    other.guest_phys_addr += FRONT_MEMORY_BYTES;
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, other, front->memory_fd), 1);
    other.userspace_addr += FRONT_MEMORY_BYTES;
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, other, -1), 1);
    assert_int_equal(ask_region(front, VHOST_USER_REM_MEM_REG, other, -1), 1);
    assert_int_equal(ask_region(front, VHOST_USER_ADD_MEM_REG, other, front->memory_fd), 0);
    other.memory_size--;
    assert_int_equal(ask_region(front, VHOST_USER_REM_MEM_REG, other, -1), 1);
    other.memory_size++;
    /* Some send a descriptor along. */
    assert_int_equal(ask_region(front, VHOST_USER_REM_MEM_REG, other, front->memory_fd), 0);
    front_ring(front, 0);
    front_expect_works(front, 0);
}

static void slots_end_with_the_quota(void **state)
{
    struct raw_frontend *front = *state;
    int fd = memory_of(PAGE);
    struct vhost_user_memory_region region = {0, PAGE, 0, 0};
    unsigned count = 0;

    front_negotiate(front);
    do {
        region.guest_phys_addr = region.userspace_addr = (uint64_t)count * PAGE;
    } while (ask_region(front, VHOST_USER_ADD_MEM_REG, region, fd) == 0 && ++count < 100);
    assert_int_equal(count, front_get_u64(front, VHOST_USER_GET_MAX_MEM_SLOTS));
    close(fd);
    front_share(front); /* In their place. */
    front_ring(front, 0);
    front_expect_works(front, 0);
}

/* Each is refused, and what was there before stays. */
static void tables_that_are_wrong_are_refused(void **state)
{
    struct raw_frontend *front = *state;
    const struct {
        const char *what;
        unsigned count;
        struct vhost_user_memory_region regions[2];
    } cases[] = {
        {"no byte", 1, {{0, 0, 0, 0}}},
        {"guest addresses wrap", 1, {{UINT64_MAX - 4095, 8192, 0, 0}}},
        {"user addresses wrap", 1, {{0, 8192, UINT64_MAX - 4095, 0}}},
        {"the offset wraps", 1, {{0, 8192, 0, UINT64_MAX - 4095}}},
        {"beyond the file", 1, {{0, 8192, 0, FRONT_MEMORY_BYTES - 4096}}},
        {"far beyond", 1, {{0, UINT64_C(1) << 40, 0, 0}}},
        {"larger than can be", 1, {{0, UINT64_MAX, 0, 0}}},
        {"guest addresses twice", 2, {{0, 8192, 0, 0}, {4096, 8192, 65536, 0}}},
        {"user addresses twice", 2, {{0, 8192, 4096, 0}, {65536, 8192, 0, 0}}},
        {"the first is right", 2, {{0, 8192, 0, 0}, {65536, 8192, 65536, FRONT_MEMORY_BYTES}}},
    };
    const int fds[2] = {front->memory_fd, front->memory_fd};

    front_up(front);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vhost_user_memory table = {.nregions = cases[i].count};
        memcpy(table.regions, cases[i].regions, sizeof(cases[i].regions));
        if (ask_table(front, &table, fds, table.nregions) != 1)
            fail_msg("taken: %s", cases[i].what);
        front_expect_works(front, 0);
    }
    struct vhost_user_memory table = {.nregions = 1, .regions = {whole}};
    assert_int_equal(ask_table(front, &table, fds, 2), 1);
    assert_int_equal(ask_table(front, &table, NULL, 0), 1);
    table.nregions = 9;
    assert_int_equal(front_ask(front, VHOST_USER_SET_MEM_TABLE, &table, sizeof(table), fds, 1), 1);
    front_expect_works(front, 0);
}

static void only_files_of_memory_are_taken(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_memory table = {.nregions = 1, .regions = {{0, PAGE, 0, 0}}};
    int pair[2], ends[2];
    int fds[] = {-1, -1, -1, -1, -1};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(ends), 0);
    fds[0] = pair[0];
    fds[1] = ends[1];
    fds[2] = eventfd(0, 0);
    fds[3] = open("/dev/zero", O_RDWR);
    fds[4] = open("/proc/self/exe", O_RDONLY);
    front_up(front);
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        assert_true(fds[i] >= 0);
        assert_int_equal(ask_table(front, &table, &fds[i], 1), 1);
        close(fds[i]);
    }
    close(pair[1]);
    close(ends[0]);
    front_expect_works(front, 0);
}

/* As QEMU does below 4 GiB: the offset is no multiple of a page. */
static void a_region_may_begin_anywhere_in_its_file(void **state)
{
    struct raw_frontend *front = *state;
    const uint64_t shift = 0x200;
    struct vhost_user_memory table = {
        .nregions = 2,
        .regions = {{FRONT_GUEST + shift, FRONT_MEMORY_BYTES - shift, FRONT_USER + shift, shift},
                    {FRONT_GUEST, shift, FRONT_USER, 0}}};
    const int fds[2] = {front->memory_fd, front->memory_fd};

    front_negotiate(front);
    assert_int_equal(ask_table(front, &table, fds, 2), 0);
    front_ring(front, 1); /* Its memory begins behind the small one. */
    front_expect_works(front, 1);
}

static void a_file_on_a_disk_may_be_memory(void **state)
{
    struct raw_frontend *front = *state;
    char path[sizeof(front->server.folder) + 8];
    struct vhost_user_memory table = {.nregions = 1, .regions = {whole}};

    snprintf(path, sizeof(path), "%s/memory", front->server.folder);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(fd, FRONT_MEMORY_BYTES), 0);
    assert_ptr_equal(mmap(front->memory, FRONT_MEMORY_BYTES, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED, fd, 0),
                     front->memory);
    front_negotiate(front);
    assert_int_equal(ask_table(front, &table, &fd, 1), 0);
    close(fd);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
        front_fresh_ring(front, i);
        front_ring(front, i);
        front_expect_works(front, i);
    }
}

/* Memory that is plugged in: the rings go on. */
static void a_table_may_grow_while_rings_run(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_memory table = {.nregions = 2,
                                      .regions = {whole, {0, PAGE, FRONT_USER * 2, 0}}};
    int fds[2] = {front->memory_fd, memory_of(PAGE)};

    front_up(front);
    for (int i = 0; i < 5; i++) {
        front_expect_works(front, 0);
        table.nregions = (uint32_t)(1 + i % 2);
        assert_int_equal(ask_table(front, &table, fds, table.nregions), 0);
        front_expect_works(front, 1);
    }
    close(fds[1]);
}

static void requests_in_flight_are_waited_for(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_memory table = {.nregions = 1, .regions = {{0, PAGE, 0, 0}}};

    front_up(front);
    for (uint16_t id = 0; id < 15; id += 3)
        front_publish(front, 0, id, VIRTIO_BLK_T_IN, id);
    front_kick(front, 0);
    assert_int_equal(ask_table(front, &table, &front->memory_fd, 1), 0);
    /* Whatever was taken is done, the rest is never touched. */
    unsigned char *pages = malloc(FRONT_MEMORY_BYTES);
    assert_non_null(pages);
    memcpy(pages, front->memory, FRONT_MEMORY_BYTES);
    front_sync(front);
    assert_memory_equal(pages, front->memory, FRONT_MEMORY_BYTES);
    free(pages);
    front_share(front); /* It goes on. */
    for (uint16_t id = 0; id < 15; id += 3)
        assert_int_equal(front_complete(front, 0), id);
    front_expect_works(front, 0);
}

static void addresses_outside_start_no_ring(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_vring_addr addresses = {.index = 0,
                                              .desc_user_addr = FRONT_USER + FRONT_MEMORY_BYTES,
                                              .avail_user_addr = FRONT_USER,
                                              .used_user_addr = FRONT_USER};

    front_up(front);
    assert_int_equal(
        front_ask(front, VHOST_USER_SET_VRING_ADDR, &addresses, sizeof(addresses), NULL, 0), 0);
    front_publish(front, 0, 0, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 0);
    assert_false(front_completes(front, 0));
    assert_true(socket_server_logged(&front->server, "ring 0 cannot run"));
    /* Not aligned. */
    addresses.desc_user_addr = FRONT_USER + 8;
    assert_int_equal(
        front_ask(front, VHOST_USER_SET_VRING_ADDR, &addresses, sizeof(addresses), NULL, 0), 0);
    /* The last bytes are outside. */
    addresses.desc_user_addr = FRONT_USER + FRONT_MEMORY_BYTES - 16;
    assert_int_equal(
        front_ask(front, VHOST_USER_SET_VRING_ADDR, &addresses, sizeof(addresses), NULL, 0), 0);
    front_expect_works(front, 1);
    assert_int_equal(front_ask_addresses(front, 0, 0, 0), 0);
    assert_int_equal(front_complete(front, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_EVERY(slots_make_a_table),
        FRONT_ONE(slots_that_are_wrong_are_refused),
        FRONT_ONE(slots_end_with_the_quota),
        FRONT_ONE(tables_that_are_wrong_are_refused),
        FRONT_ONE(only_files_of_memory_are_taken),
        FRONT_ONE(a_region_may_begin_anywhere_in_its_file),
        FRONT_EVERY(a_file_on_a_disk_may_be_memory),
        FRONT_EVERY(a_table_may_grow_while_rings_run),
        FRONT_WITH("split: ", requests_in_flight_are_waited_for, front_setup),
        FRONT_WITH("packed: ", requests_in_flight_are_waited_for, front_setup_packed),
        FRONT_EVERY(addresses_outside_start_no_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
