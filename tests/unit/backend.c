/* SPDX-License-Identifier: MIT */
/* The stores of a block device: memory, and files by both engines, against the same expectations. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
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

#define SIZE_BYTES UINT64_C(1048576)
#define IN_FLIGHT  300

/* The tmpfs of /dev/shm cannot zero a range by itself: there the stores write zeroes. */
enum kind {
    MEMORY,
    DATASPACE,
    FILE_SYNC,
    FILE_AUTO,
    FILE_URING,
    FILE_DIRECT,
    TMPFS_SYNC,
    TMPFS_URING,
    TMPFS_MAP
};

struct fixture {
    struct l4vio_block_backend store;
    struct l4vio_block_lane *lane;
    char path[64];
    struct l4vio_dataspace dataspace;
};

static const enum kind kind_memory = MEMORY;
static const enum kind kind_dataspace = DATASPACE;
static const enum kind kind_tmpfs_map = TMPFS_MAP;
static const enum kind kind_sync = FILE_SYNC;
static const enum kind kind_auto = FILE_AUTO;
static const enum kind kind_uring = FILE_URING;
static const enum kind kind_direct = FILE_DIRECT;
static const enum kind kind_tmpfs_sync = TMPFS_SYNC;
static const enum kind kind_tmpfs_uring = TMPFS_URING;

static const char *usual_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder ? folder : "/tmp";
}

static int make_image(const char *folder, char *path, size_t path_bytes, off_t size)
{
    snprintf(path, path_bytes, "%s/l4vio-image-XXXXXX", folder);
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, size) != 0)
        return -1;
    return close(fd);
}

/* One that does not begin where a page does. */
static int open_dataspace(struct fixture *fixture)
{
    unsigned char *base =
        mmap(NULL, SIZE_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return -1;
    fixture->dataspace = (struct l4vio_dataspace){base + 512, SIZE_BYTES, L4VIO_NO_HANDLE};
    return l4vio_dataspace_backend_open(&fixture->dataspace, false, &fixture->store, NULL);
}

static int open_store(struct fixture *fixture, enum kind kind)
{
    bool tmpfs = kind >= TMPFS_SYNC;
    enum l4vio_file_engine engine = L4VIO_FILE_ENGINE_URING;
    if (kind == FILE_SYNC || kind == TMPFS_SYNC)
        engine = L4VIO_FILE_ENGINE_SYNC;
    if (kind == FILE_AUTO)
        engine = L4VIO_FILE_ENGINE_AUTO;
    if (kind == FILE_DIRECT)
        engine = L4VIO_FILE_ENGINE_DIRECT;
    if (kind == TMPFS_MAP)
        engine = L4VIO_FILE_ENGINE_MAP;
    if (kind == MEMORY)
        return l4vio_memory_backend_open(SIZE_BYTES, &fixture->store, NULL);
    if (kind == DATASPACE)
        return open_dataspace(fixture);
    if (make_image(tmpfs ? "/dev/shm" : usual_folder(), fixture->path, sizeof(fixture->path),
                   (off_t)SIZE_BYTES) != 0)
        return tmpfs ? L4VIO_ENOSYS : -1;
    return l4vio_file_backend_open(fixture->path, false, engine, &fixture->store, NULL);
}

static int set_up(void **state)
{
    enum kind kind = *(const enum kind *)*state;
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    int result = open_store(fixture, kind);
    if (result == L4VIO_ENOSYS && kind >= FILE_URING)
        return 0;
    if (result != 0)
        return result;
    return fixture->store.ops->lane_open(fixture->store.self, &fixture->lane, NULL);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->store.ops) {
        fixture->store.ops->lane_close(fixture->store.self, fixture->lane);
        if (fixture->path[0])
            l4vio_file_backend_close(&fixture->store);
        else
            l4vio_memory_backend_close(&fixture->store);
    }
    if (fixture->path[0])
        unlink(fixture->path);
    if (fixture->dataspace.base)
        munmap((unsigned char *)fixture->dataspace.base - 512, SIZE_BYTES + 4096);
    free(fixture);
    return 0;
}

static struct fixture *get(void **state)
{
    struct fixture *fixture = *state;
    if (!fixture->store.ops)
        skip();
    return fixture;
}

struct waiting {
    int result;
    unsigned done;
};

static void done(struct l4vio_block_io *io, int result)
{
    struct waiting *waiting = io->context;
    waiting->done++;
    waiting->result = result;
}

/* Starts an operation and waits for it. */
static int run(struct fixture *fixture, struct l4vio_block_io *io)
{
    const struct l4vio_block_backend_ops *ops = fixture->store.ops;
    struct waiting waiting = {0};
    io->done = done;
    io->context = &waiting;
    ops->submit(fixture->store.self, fixture->lane, io);
    if (ops->flush_submissions)
        ops->flush_submissions(fixture->store.self, fixture->lane);
    while (ops->poll && waiting.done == 0)
        ops->poll(fixture->store.self, fixture->lane, true);
    assert_int_equal(waiting.done, 1);
    return waiting.result;
}

static int transfer(struct fixture *fixture, enum l4vio_block_op op, uint64_t offset, void *data,
                    uint64_t length)
{
    struct l4vio_device_segment segment = {data, length};
    struct l4vio_block_io io = {
        .op = op,
        .offset_bytes = offset,
        .length_bytes = length,
        .segments = &segment,
        .segment_count = 1,
    };
    return run(fixture, &io);
}

static int range(struct fixture *fixture, enum l4vio_block_op op, bool unmap, uint64_t offset,
                 uint64_t length)
{
    struct l4vio_block_io io = {
        .op = op, .unmap = unmap, .offset_bytes = offset, .length_bytes = length};
    return run(fixture, &io);
}

static void fill(struct fixture *fixture, int byte)
{
    void *data = malloc(SIZE_BYTES);
    memset(data, byte, SIZE_BYTES);
    assert_int_equal(transfer(fixture, L4VIO_BLOCK_OP_WRITE, 0, data, SIZE_BYTES), 0);
    free(data);
}

/* Whether all bytes in a range of the store have this value. */
static bool holds(struct fixture *fixture, uint64_t offset, uint64_t length, int byte)
{
    unsigned char *data = malloc(length);
    bool same = true;
    assert_int_equal(transfer(fixture, L4VIO_BLOCK_OP_READ, offset, data, length), 0);
    for (uint64_t i = 0; i < length; i++)
        same = same && data[i] == byte;
    free(data);
    return same;
}

static void new_store_reads_as_zeroes(void **state)
{
    struct fixture *fixture = get(state);
    assert_true(holds(fixture, 0, SIZE_BYTES, 0));
}

static void written_segments_read_back_cut_differently(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char out[4096], in[4096] = {0};
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (unsigned char)(i * 7u + i / 256u);
    struct l4vio_device_segment cut[] = {{out, 1}, {out + 1, 0}, {out + 1, 511}, {out + 512, 3584}};
    struct l4vio_block_io io = {.op = L4VIO_BLOCK_OP_WRITE,
                                .offset_bytes = 5 * 512,
                                .length_bytes = sizeof(out),
                                .segments = cut,
                                .segment_count = 4};
    assert_int_equal(run(fixture, &io), 0);
    struct l4vio_device_segment other[] = {{in, 4095}, {in + 4095, 1}};
    struct l4vio_block_io read = {.op = L4VIO_BLOCK_OP_READ,
                                  .offset_bytes = 5 * 512,
                                  .length_bytes = sizeof(in),
                                  .segments = other,
                                  .segment_count = 2};
    assert_int_equal(run(fixture, &read), 0);
    assert_memory_equal(in, out, sizeof(in));
    assert_true(holds(fixture, 0, 5 * 512, 0));
}

static void flush_succeeds(void **state)
{
    struct fixture *fixture = get(state);
    assert_int_equal(range(fixture, L4VIO_BLOCK_OP_FLUSH, false, 0, 0), 0);
}

static void zeroed_range_reads_as_zeroes_to_the_byte(void **state)
{
    struct fixture *fixture = get(state);
    for (int unmap = 0; unmap < 2; unmap++) {
        fill(fixture, 0xa5);
        assert_int_equal(range(fixture, L4VIO_BLOCK_OP_ZERO, unmap, 512, 512), 0);
        assert_int_equal(range(fixture, L4VIO_BLOCK_OP_ZERO, unmap, 8192 - 512, 20480), 0);
        assert_true(holds(fixture, 0, 512, 0xa5));
        assert_true(holds(fixture, 512, 512, 0));
        assert_true(holds(fixture, 1024, 8192 - 512 - 1024, 0xa5));
        assert_true(holds(fixture, 8192 - 512, 20480, 0));
        assert_true(holds(fixture, 8192 - 512 + 20480, 4096, 0xa5));
    }
}

static void discard_leaves_neighbours_alone(void **state)
{
    struct fixture *fixture = get(state);
    fill(fixture, 0x5a);
    assert_int_equal(range(fixture, L4VIO_BLOCK_OP_DISCARD, false, 4096, 65536), 0);
    assert_true(holds(fixture, 0, 4096, 0x5a));
    assert_true(holds(fixture, 4096 + 65536, 4096, 0x5a));
}

static void nothing_to_transfer_succeeds(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char none[1];
    assert_int_equal(transfer(fixture, L4VIO_BLOCK_OP_READ, 0, none, 0), 0);
    assert_int_equal(range(fixture, L4VIO_BLOCK_OP_ZERO, false, 0, 0), 0);
}

static void more_operations_than_the_ring_holds_all_complete(void **state)
{
    struct fixture *fixture = get(state);
    const struct l4vio_block_backend_ops *ops = fixture->store.ops;
    static unsigned char data[IN_FLIGHT][512];
    static struct l4vio_device_segment segments[IN_FLIGHT];
    static struct l4vio_block_io ios[IN_FLIGHT];
    struct waiting waiting = {0};
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        memset(data[i], (int)i, 512);
        segments[i] = (struct l4vio_device_segment){data[i], 512};
        ios[i] = (struct l4vio_block_io){.op = L4VIO_BLOCK_OP_WRITE,
                                         .offset_bytes = 512 * i,
                                         .length_bytes = 512,
                                         .segments = &segments[i],
                                         .segment_count = 1,
                                         .done = done,
                                         .context = &waiting};
        ops->submit(fixture->store.self, fixture->lane, &ios[i]);
    }
    if (ops->flush_submissions)
        ops->flush_submissions(fixture->store.self, fixture->lane);
    while (ops->poll && waiting.done < IN_FLIGHT)
        assert_true(ops->poll(fixture->store.self, fixture->lane, true) > 0);
    assert_int_equal(waiting.done, IN_FLIGHT);
    assert_int_equal(waiting.result, 0);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        assert_true(holds(fixture, 512 * i, 512, (unsigned char)i));
    if (ops->poll)
        assert_int_equal(ops->poll(fixture->store.self, fixture->lane, true), 0);
}

static void store_works_without_a_lane(void **state)
{
    struct fixture *fixture = get(state);
    struct l4vio_block_lane *lane = fixture->lane;
    fixture->lane = NULL;
    fill(fixture, 0x11);
    assert_true(holds(fixture, 512, 512, 0x11));
    assert_int_equal(range(fixture, L4VIO_BLOCK_OP_FLUSH, false, 0, 0), 0);
    if (fixture->store.ops->poll)
        assert_int_equal(fixture->store.ops->poll(fixture->store.self, NULL, true), 0);
    fixture->lane = lane;
}

static void info_tells_size_and_blocks(void **state)
{
    struct fixture *fixture = get(state);
    struct l4vio_block_backend_info info;
    fixture->store.ops->info(fixture->store.self, &info);
    assert_int_equal(info.size_bytes, SIZE_BYTES);
    assert_false(info.read_only);
    assert_true(info.block_bytes >= 512);
}

static void truncated_image_is_an_io_error(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char data[8192];
    fill(fixture, 1);
    assert_int_equal(truncate(fixture->path, 4096), 0);
    assert_int_equal(transfer(fixture, L4VIO_BLOCK_OP_READ, 0, data, 8192), L4VIO_EIO);
    assert_int_equal(transfer(fixture, L4VIO_BLOCK_OP_READ, 65536, data, 512), L4VIO_EIO);
    assert_true(holds(fixture, 0, 4096, 1));
}

static void written_data_is_in_the_file(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char byte = 0;
    fill(fixture, 0x77);
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, (off_t)SIZE_BYTES - 1), 1);
    close(fd);
    assert_int_equal(byte, 0x77);
}

static void discard_releases_blocks(void **state)
{
    struct fixture *fixture = get(state);
    struct l4vio_block_backend_info info;
    struct stat before, after;
    fixture->store.ops->info(fixture->store.self, &info);
    if (!info.discard)
        skip();
    fill(fixture, 0x77);
    assert_int_equal(range(fixture, L4VIO_BLOCK_OP_FLUSH, false, 0, 0), 0);
    assert_int_equal(stat(fixture->path, &before), 0);
    assert_int_equal(range(fixture, L4VIO_BLOCK_OP_DISCARD, false, 0, SIZE_BYTES / 2), 0);
    assert_int_equal(stat(fixture->path, &after), 0);
    assert_true(after.st_blocks < before.st_blocks);
    assert_int_equal(after.st_size, before.st_size);
}

static void second_writer_is_refused(void **state)
{
    struct fixture *fixture = get(state);
    struct l4vio_block_backend second = {0};
    struct l4vio_error error = {0};
    assert_int_equal(
        l4vio_file_backend_open(fixture->path, false, L4VIO_FILE_ENGINE_AUTO, &second, &error),
        L4VIO_EBUSY);
    assert_int_equal(error.code, L4VIO_EBUSY);
    assert_int_equal(
        l4vio_file_backend_open(fixture->path, true, L4VIO_FILE_ENGINE_AUTO, &second, NULL),
        L4VIO_EBUSY);
}

static enum l4vio_file_engine engine_of(const struct l4vio_block_backend *store)
{
    const char *name = l4vio_file_backend_engine(store);
    if (strcmp(name, "map") == 0)
        return L4VIO_FILE_ENGINE_MAP;
    if (strcmp(name, "direct") == 0)
        return L4VIO_FILE_ENGINE_DIRECT;
    return strcmp(name, "sync") == 0 ? L4VIO_FILE_ENGINE_SYNC : L4VIO_FILE_ENGINE_URING;
}

static void read_only_store_refuses_to_write(void **state)
{
    struct fixture *fixture = get(state);
    struct l4vio_block_backend first = fixture->store;
    struct fixture readers[2] = {0};
    enum l4vio_file_engine engine = engine_of(&first);
    unsigned char data[512] = {0};
    first.ops->lane_close(first.self, fixture->lane);
    fixture->lane = NULL;
    l4vio_file_backend_close(&first);
    first.ops = fixture->store.ops;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            l4vio_file_backend_open(fixture->path, true, engine, &readers[i].store, NULL), 0);
        struct l4vio_block_backend_info info;
        readers[i].store.ops->info(readers[i].store.self, &info);
        assert_true(info.read_only);
        assert_false(info.discard);
        assert_int_equal(
            readers[i].store.ops->lane_open(readers[i].store.self, &readers[i].lane, NULL), 0);
        assert_int_equal(transfer(&readers[i], L4VIO_BLOCK_OP_READ, 0, data, 512), 0);
        assert_int_equal(transfer(&readers[i], L4VIO_BLOCK_OP_WRITE, 0, data, 512), L4VIO_EROFS);
        assert_int_equal(range(&readers[i], L4VIO_BLOCK_OP_ZERO, false, 0, 512), L4VIO_EROFS);
        assert_int_equal(range(&readers[i], L4VIO_BLOCK_OP_DISCARD, false, 0, 512), L4VIO_EROFS);
    }
    for (unsigned i = 0; i < 2; i++) {
        readers[i].store.ops->lane_close(readers[i].store.self, readers[i].lane);
        l4vio_file_backend_close(&readers[i].store);
    }
    assert_int_equal(l4vio_file_backend_open(fixture->path, false, engine, &fixture->store, NULL),
                     0);
    assert_int_equal(fixture->store.ops->lane_open(fixture->store.self, &fixture->lane, NULL), 0);
}

static void lane_handle_becomes_readable(void **state)
{
    struct fixture *fixture = get(state);
    const struct l4vio_block_backend_ops *ops = fixture->store.ops;
    struct waiting waiting = {0};
    struct l4vio_block_io io = {.op = L4VIO_BLOCK_OP_FLUSH, .done = done, .context = &waiting};
    struct pollfd readable = {
        .fd = (int)ops->lane_handle(fixture->store.self, fixture->lane),
        .events = POLLIN,
    };
    assert_int_equal(ops->lane_handle(fixture->store.self, NULL), -1);
    assert_int_equal(poll(&readable, 1, 0), 0);
    ops->submit(fixture->store.self, fixture->lane, &io);
    ops->flush_submissions(fixture->store.self, fixture->lane);
    assert_int_equal(poll(&readable, 1, 10000), 1);
    assert_int_equal(ops->poll(fixture->store.self, fixture->lane, false), 1);
    assert_int_equal(waiting.done, 1);
    assert_int_equal(waiting.result, 0);
}

/* An image of this size opened by path; returns the code. */
static int open_sized(off_t size, struct l4vio_error *error)
{
    char path[64];
    struct l4vio_block_backend store = {0};
    assert_int_equal(make_image(usual_folder(), path, sizeof(path), size), 0);
    int result = l4vio_file_backend_open(path, false, L4VIO_FILE_ENGINE_AUTO, &store, error);
    if (result == 0)
        l4vio_file_backend_close(&store);
    unlink(path);
    return result;
}

static void odd_sizes_are_refused_with_the_value(void **state)
{
    struct l4vio_error error = {0};
    struct l4vio_block_backend store;
    (void)state;
    assert_int_equal(open_sized(512, &error), 0);
    assert_int_equal(open_sized(0, &error), L4VIO_EINVAL);
    assert_int_equal(open_sized(1000, &error), L4VIO_EINVAL);
    assert_int_equal(error.value, 1000);
    assert_non_null(error.text);
    assert_int_equal(l4vio_memory_backend_open(1000, &store, &error), L4VIO_EINVAL);
    assert_int_equal(l4vio_memory_backend_open(0, &store, &error), L4VIO_EINVAL);
    assert_int_equal(l4vio_memory_backend_open(UINT64_MAX & ~UINT64_C(511), &store, &error),
                     L4VIO_ENOMEM);
}

static void paths_that_are_no_image_are_refused(void **state)
{
    struct l4vio_block_backend store;
    struct l4vio_error error = {0};
    char folder[64], fifo[80];
    (void)state;
    snprintf(folder, sizeof(folder), "%s/l4vio-XXXXXX", usual_folder());
    assert_non_null(mkdtemp(folder));
    snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (int read_only = 0; read_only < 2; read_only++) {
        assert_int_equal(
            l4vio_file_backend_open(folder, read_only, L4VIO_FILE_ENGINE_AUTO, &store, &error),
            L4VIO_EINVAL);
        assert_int_equal(
            l4vio_file_backend_open(fifo, read_only, L4VIO_FILE_ENGINE_AUTO, &store, &error),
            L4VIO_EINVAL);
        assert_int_equal(
            l4vio_file_backend_open("/dev/zero", read_only, L4VIO_FILE_ENGINE_AUTO, &store, NULL),
            L4VIO_EINVAL);
    }
    unlink(fifo);
    rmdir(folder);
    assert_int_equal(l4vio_file_backend_open(folder, false, L4VIO_FILE_ENGINE_AUTO, &store, &error),
                     L4VIO_ENOENT);
    assert_int_equal(error.code, L4VIO_ENOENT);
}

static void engine_is_named(void **state)
{
    struct fixture *fixture = get(state);
    const struct l4vio_block_backend_ops *ops = fixture->store.ops;
    const char *name = ops->lane_handle ? "io_uring" : ops->poll ? "map" : "sync";
    assert_string_equal(l4vio_file_backend_engine(&fixture->store), name);
}

#define CASE(test, kind)                                                          \
    {                                                                             \
#test "_" #kind, test, set_up, tear_down, (void *)(uintptr_t)&kind_##kind \
    }
#define TMPFS(test) CASE(test, tmpfs_sync), CASE(test, tmpfs_uring)
#define MAP(test)   CASE(test, tmpfs_map)
#define FILES(test) CASE(test, sync), CASE(test, auto), CASE(test, uring), CASE(test, direct)
#define ALL(test)   CASE(test, memory), CASE(test, dataspace), FILES(test), MAP(test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(new_store_reads_as_zeroes),
        ALL(written_segments_read_back_cut_differently),
        ALL(flush_succeeds),
        ALL(zeroed_range_reads_as_zeroes_to_the_byte),
        TMPFS(zeroed_range_reads_as_zeroes_to_the_byte),
        ALL(discard_leaves_neighbours_alone),
        TMPFS(discard_leaves_neighbours_alone),
        ALL(nothing_to_transfer_succeeds),
        ALL(more_operations_than_the_ring_holds_all_complete),
        ALL(store_works_without_a_lane),
        ALL(info_tells_size_and_blocks),
        FILES(truncated_image_is_an_io_error),
        FILES(written_data_is_in_the_file),
        MAP(written_data_is_in_the_file),
        FILES(discard_releases_blocks),
        MAP(discard_releases_blocks),
        FILES(second_writer_is_refused),
        MAP(second_writer_is_refused),
        FILES(read_only_store_refuses_to_write),
        MAP(read_only_store_refuses_to_write),
        CASE(lane_handle_becomes_readable, uring),
        CASE(engine_is_named, sync),
        CASE(engine_is_named, auto),
        CASE(engine_is_named, uring),
        MAP(engine_is_named),
        cmocka_unit_test(odd_sizes_are_refused_with_the_value),
        cmocka_unit_test(paths_that_are_no_image_are_refused),
    };
    return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
