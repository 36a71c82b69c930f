/* SPDX-License-Identifier: MIT */
/* Images that are memory already: what is mapped, and what happens when the memory goes away. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <l4vio/backends.h>
#include <l4vio/linux.h>

#define CHUNK      (UINT64_C(2) << 20)
#define SIZE_BYTES (3 * CHUNK)

struct image {
    int fd;
    struct l4vio_block_backend store;
    struct l4vio_block_lane *lane;
};

/* The store that the handler of SIGBUS asks. */
static struct l4vio_block_backend *volatile guarded;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (!guarded || !l4vio_file_backend_fault(guarded, info->si_addr))
        signal(number, SIG_DFL);
}

/* In the test: the test library has a handler of its own for it. */
static void catch_faults(struct l4vio_block_backend *store)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    guarded = store;
}

static void open_image(struct image *image, int seals, enum l4vio_file_engine engine,
                       int expected_code)
{
    char path[64];
    image->fd = memfd_create("l4vio-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(image->fd >= 0);
    assert_int_equal(ftruncate(image->fd, (off_t)SIZE_BYTES), 0);
    assert_int_equal(fcntl(image->fd, F_ADD_SEALS, seals), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
    assert_int_equal(l4vio_file_backend_open(path, false, engine, &image->store, NULL),
                     expected_code);
    if (expected_code == 0)
        assert_int_equal(image->store.ops->lane_open(image->store.self, &image->lane, NULL), 0);
}

static void close_image(struct image *image)
{
    image->store.ops->lane_close(image->store.self, image->lane);
    l4vio_file_backend_close(&image->store);
    close(image->fd);
}

struct outcome {
    int result;
    bool done;
};

static void done(struct l4vio_block_io *io, int result)
{
    struct outcome *outcome = io->context;
    outcome->result = result;
    outcome->done = true;
}

static int run(const struct image *image, enum l4vio_block_op op, uint64_t offset, void *data,
               uint64_t length)
{
    struct outcome outcome = {0};
    struct l4vio_device_segment segment = {data, length};
    struct l4vio_block_io io = {
        .op = op,
        .offset_bytes = offset,
        .length_bytes = length,
        .segments = &segment,
        .segment_count = 1,
        .done = done,
        .context = &outcome,
    };
    image->store.ops->submit(image->store.self, image->lane, &io);
    if (!outcome.done)
        image->store.ops->poll(image->store.self, image->lane, true);
    assert_true(outcome.done);
    return outcome.result;
}

static void fill(const struct image *image, uint64_t offset, uint64_t length, int byte)
{
    void *data = malloc(length);
    memset(data, byte, length);
    assert_int_equal(run(image, L4VIO_BLOCK_OP_WRITE, offset, data, length), 0);
    free(data);
}

static bool holds(const struct image *image, uint64_t offset, uint64_t length, int byte)
{
    unsigned char *data = malloc(length);
    bool same = true;
    assert_int_equal(run(image, L4VIO_BLOCK_OP_READ, offset, data, length), 0);
    for (uint64_t i = 0; i < length; i++)
        same = same && data[i] == byte;
    free(data);
    return same;
}

/* Fills the image and has the store find out that it has no holes any more. */
static void fill_all(const struct image *image, int byte)
{
    fill(image, 0, SIZE_BYTES, byte);
    for (unsigned i = 0; i < 3; i++)
        assert_true(holds(image, 0, SIZE_BYTES, byte));
}

static blkcnt_t blocks(const struct image *image)
{
    struct stat status;
    assert_int_equal(fstat(image->fd, &status), 0);
    return status.st_blocks;
}

static void only_a_memfd_that_cannot_shrink_is_mapped_unasked(void **state)
{
    struct image image;
    (void)state;
    open_image(&image, F_SEAL_SHRINK, L4VIO_FILE_ENGINE_AUTO, 0);
    assert_string_equal(l4vio_file_backend_engine(&image.store), "map");
    close_image(&image);
    open_image(&image, F_SEAL_GROW, L4VIO_FILE_ENGINE_AUTO, 0);
    assert_string_not_equal(l4vio_file_backend_engine(&image.store), "map");
    close_image(&image);
}

static void an_image_that_is_not_memory_is_not_mapped(void **state)
{
    const char *folder = getenv("TMPDIR");
    struct l4vio_block_backend store = {0};
    struct l4vio_error error = {0};
    char path[64];
    (void)state;
    snprintf(path, sizeof(path), "%s/l4vio-mapped-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
    int result = l4vio_file_backend_open(path, false, L4VIO_FILE_ENGINE_MAP, &store, &error);
    if (result == 0) /* The folder is on a tmpfs. */
        l4vio_file_backend_close(&store);
    else
        assert_int_equal(result, L4VIO_ENOSYS);
    close(fd);
    unlink(path);
}

/* To touch a hole through a mapping allocates its page, even to read it. */
static void reading_holes_allocates_nothing(void **state)
{
    struct image image;
    (void)state;
    open_image(&image, F_SEAL_SHRINK, L4VIO_FILE_ENGINE_AUTO, 0);
    fill(&image, CHUNK, 4096, 7);
    blkcnt_t before = blocks(&image);
    for (unsigned i = 0; i < 200; i++)
        assert_true(holds(&image, 0, 4096, 0));
    assert_true(holds(&image, CHUNK + 4096, CHUNK - 4096, 0));
    assert_true(holds(&image, CHUNK, 4096, 7));
    assert_int_equal(blocks(&image), before);
    close_image(&image);
}

/* The data goes the same way, whether a chunk is full, has holes, or is filled meanwhile. */
static void filled_chunks_read_back(void **state)
{
    struct image image;
    (void)state;
    open_image(&image, F_SEAL_SHRINK, L4VIO_FILE_ENGINE_AUTO, 0);
    assert_true(holds(&image, 0, SIZE_BYTES, 0));
    for (unsigned i = 0; i < 512; i++)
        fill(&image, i * UINT64_C(4096), 4096, (int)(i % 251));
    for (unsigned i = 0; i < 1024; i++)
        assert_true(holds(&image, i % 512 * UINT64_C(4096), 4096, (int)(i % 512 % 251)));
    fill(&image, CHUNK - 512, 1024, 0xee); /* Full on one side, a hole on the other. */
    assert_true(holds(&image, CHUNK - 512, 1024, 0xee));
    assert_true(holds(&image, CHUNK + 512, CHUNK, 0));
    close_image(&image);
}

static void a_discarded_chunk_is_a_hole_again(void **state)
{
    struct image image;
    (void)state;
    open_image(&image, F_SEAL_SHRINK, L4VIO_FILE_ENGINE_AUTO, 0);
    fill_all(&image, 5);
    assert_int_equal(run(&image, L4VIO_BLOCK_OP_DISCARD, CHUNK, NULL, CHUNK), 0);
    blkcnt_t before = blocks(&image);
    assert_true(holds(&image, CHUNK, CHUNK, 0));
    assert_int_equal(blocks(&image), before);
    assert_true(holds(&image, 2 * CHUNK, CHUNK, 5));
    close_image(&image);
}

/* Somebody cuts the file short: requests fail, the process lives, and what is left is served. */
static void a_truncated_image_fails_requests_not_the_process(void **state)
{
    struct image image;
    unsigned char data[8192];
    (void)state;
    open_image(&image, F_SEAL_GROW, L4VIO_FILE_ENGINE_MAP, 0);
    fill_all(&image, 9);
    catch_faults(&image.store);
    assert_int_equal(ftruncate(image.fd, (off_t)CHUNK), 0);
    assert_int_equal(run(&image, L4VIO_BLOCK_OP_READ, CHUNK - 4096, data, 8192), L4VIO_EIO);
    assert_int_equal(run(&image, L4VIO_BLOCK_OP_READ, 2 * CHUNK, data, 512), L4VIO_EIO);
    assert_true(holds(&image, 0, CHUNK, 9));
    fill(&image, 0, 4096, 1);
    assert_true(holds(&image, 0, 4096, 1));
    guarded = NULL;
    close_image(&image);
}

static void a_write_that_meets_a_cut_is_done_again(void **state)
{
    struct image image;
    unsigned char byte = 0;
    (void)state;
    open_image(&image, F_SEAL_SEAL, L4VIO_FILE_ENGINE_MAP, 0);
    fill_all(&image, 9);
    catch_faults(&image.store);
    assert_int_equal(ftruncate(image.fd, (off_t)CHUNK), 0);
    fill(&image, CHUNK - 4096, 8192, 3); /* By a system call, which makes the file longer. */
    assert_int_equal(pread(image.fd, &byte, 1, (off_t)CHUNK + 4095), 1);
    assert_int_equal(byte, 3);
    guarded = NULL;
    close_image(&image);
}

static void faults_elsewhere_are_not_the_stores(void **state)
{
    struct image image;
    struct l4vio_block_backend memory;
    (void)state;
    open_image(&image, F_SEAL_SHRINK, L4VIO_FILE_ENGINE_AUTO, 0);
    assert_false(l4vio_file_backend_fault(&image.store, &image));
    assert_false(l4vio_file_backend_fault(&image.store, NULL));
    close_image(&image);
    assert_int_equal(l4vio_memory_backend_open(4096, &memory, NULL), 0);
    assert_false(l4vio_file_backend_fault(&memory, l4vio_memory_backend_bytes(&memory)));
    l4vio_memory_backend_close(&memory);
}

/* The bytes of a dataspace are the image, both ways, and released pages read as zeroes. */
static void a_dataspace_is_served_in_place(void **state)
{
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_dataspace dataspace;
    struct image image = {0};
    struct l4vio_error error;
    (void)state;
    assert_int_equal(l4vio_linux_open(&linux_platform, &platform, &error), 0);
    assert_int_equal(
        platform.ops->dataspace_allocate(platform.self, SIZE_BYTES, &dataspace, &error), 0);
    image.fd = (int)dataspace.handle;
    memset(dataspace.base, 4, SIZE_BYTES);
    assert_int_equal(l4vio_dataspace_backend_open(&dataspace, false, &image.store, &error), 0);
    assert_int_equal(image.store.ops->lane_open(image.store.self, &image.lane, NULL), 0);
    assert_ptr_equal(l4vio_memory_backend_bytes(&image.store), dataspace.base);
    assert_true(holds(&image, 0, SIZE_BYTES, 4));
    fill(&image, 4096, 4096, 8);
    assert_int_equal(((unsigned char *)dataspace.base)[4096], 8);
    blkcnt_t before = blocks(&image);
    assert_int_equal(run(&image, L4VIO_BLOCK_OP_DISCARD, CHUNK, NULL, CHUNK), 0);
    assert_true(blocks(&image) < before);
    assert_true(holds(&image, CHUNK, CHUNK, 0));
    image.store.ops->lane_close(image.store.self, image.lane);
    l4vio_memory_backend_close(&image.store);
    assert_int_equal(((unsigned char *)dataspace.base)[0], 4); /* Still the caller's. */
    platform.ops->dataspace_free(platform.self, &dataspace);
    l4vio_linux_close(linux_platform);
}

static void a_read_only_dataspace_is_not_written(void **state)
{
    static _Alignas(512) unsigned char bytes[4096];
    struct l4vio_dataspace dataspace = {bytes, sizeof(bytes), L4VIO_NO_HANDLE};
    struct l4vio_block_backend_info info;
    struct image image = {0};
    (void)state;
    assert_int_equal(l4vio_dataspace_backend_open(&dataspace, true, &image.store, NULL), 0);
    image.store.ops->info(image.store.self, &info);
    assert_true(info.read_only);
    assert_int_equal(run(&image, L4VIO_BLOCK_OP_WRITE, 0, (unsigned char[512]){1}, 512),
                     L4VIO_EROFS);
    assert_int_equal(run(&image, L4VIO_BLOCK_OP_DISCARD, 0, NULL, 512), L4VIO_EROFS);
    assert_int_equal(bytes[0], 0);
    l4vio_memory_backend_close(&image.store);
}

static void odd_dataspaces_are_refused(void **state)
{
    static unsigned char bytes[1000];
    struct l4vio_block_backend store;
    struct l4vio_dataspace dataspace = {NULL, 4096, L4VIO_NO_HANDLE};
    (void)state;
    assert_int_equal(l4vio_dataspace_backend_open(&dataspace, false, &store, NULL), L4VIO_EINVAL);
    dataspace = (struct l4vio_dataspace){bytes, sizeof(bytes), L4VIO_NO_HANDLE};
    assert_int_equal(l4vio_dataspace_backend_open(&dataspace, false, &store, NULL), L4VIO_EINVAL);
    dataspace.size_bytes = 0;
    assert_int_equal(l4vio_dataspace_backend_open(&dataspace, false, &store, NULL), L4VIO_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_memfd_that_cannot_shrink_is_mapped_unasked),
        cmocka_unit_test(an_image_that_is_not_memory_is_not_mapped),
        cmocka_unit_test(reading_holes_allocates_nothing),
        cmocka_unit_test(filled_chunks_read_back),
        cmocka_unit_test(a_discarded_chunk_is_a_hole_again),
        cmocka_unit_test(a_truncated_image_fails_requests_not_the_process),
        cmocka_unit_test(a_write_that_meets_a_cut_is_done_again),
        cmocka_unit_test(faults_elsewhere_are_not_the_stores),
        cmocka_unit_test(a_dataspace_is_served_in_place),
        cmocka_unit_test(a_read_only_dataspace_is_not_written),
        cmocka_unit_test(odd_dataspaces_are_refused),
    };
    return cmocka_run_group_tests_name("backend_mapped", tests, NULL, NULL);
}
