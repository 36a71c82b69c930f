/* SPDX-License-Identifier: MIT */
/* The file store by io_uring: memory registered with the ring, and requests past the page cache. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <l4vio/backends.h>

#define BLOCK       4096u
#define IMAGE_BYTES (256u * BLOCK)
#define WINDOW      ((size_t)2 << 20)
/* More than makes a window worth registering. */
#define OFTEN 100u
#define BATCH 32u

struct fixture {
    char path[64];
    struct l4vio_block_backend store;
    struct l4vio_block_lane *lane;
};

/* Block n of the image is full of the byte n. */
static int make_image(char *path, size_t path_bytes)
{
    const char *folder = getenv("TMPDIR");
    unsigned char data[BLOCK];
    snprintf(path, path_bytes, "%s/l4vio-fixed-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(path);
    for (unsigned i = 0; fd >= 0 && i < IMAGE_BYTES / BLOCK; i++) {
        memset(data, (int)i, sizeof(data));
        if (write(fd, data, sizeof(data)) != (ssize_t)sizeof(data))
            return -1;
    }
    return fd < 0 ? -1 : close(fd);
}

static int set_up_engine(void **state, enum l4vio_file_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    if (make_image(fixture->path, sizeof(fixture->path)) != 0)
        return -1;
    int result = l4vio_file_backend_open(fixture->path, false, engine, &fixture->store, NULL);
    if (result == L4VIO_ENOSYS) {
        fixture->store.ops = NULL;
        return 0;
    }
    return result ? result
                  : fixture->store.ops->lane_open(fixture->store.self, &fixture->lane, NULL);
}

static int set_up(void **state)
{
    return set_up_engine(state, L4VIO_FILE_ENGINE_URING);
}

static int set_up_direct(void **state)
{
    return set_up_engine(state, L4VIO_FILE_ENGINE_DIRECT);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->store.ops) {
        fixture->store.ops->lane_close(fixture->store.self, fixture->lane);
        l4vio_file_backend_close(&fixture->store);
    }
    unlink(fixture->path);
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

static unsigned char *map_at(void *address, size_t bytes)
{
    int flags = MAP_SHARED | MAP_ANONYMOUS | (address ? MAP_FIXED : 0);
    unsigned char *memory = mmap(address, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void add(const struct fixture *fixture, void *base, size_t bytes)
{
    fixture->store.ops->region_added(fixture->store.self, base, bytes);
}

static void take_away(const struct fixture *fixture, void *base, size_t bytes)
{
    fixture->store.ops->region_removed(fixture->store.self, base, bytes);
}

static struct l4vio_file_counters counters(const struct fixture *fixture)
{
    struct l4vio_file_counters counters;
    l4vio_file_backend_counters_read(&fixture->store, &counters);
    return counters;
}

static void done(struct l4vio_block_io *io, int result)
{
    unsigned *good = io->context;
    *good += result == 0;
}

/* One batch of reads or writes, block i from or to where[i]; returns how many succeeded. */
static unsigned batch(const struct l4vio_block_backend *store, struct l4vio_block_lane *lane,
                      enum l4vio_block_op op, unsigned char *const *where, unsigned count,
                      uint64_t length)
{
    struct l4vio_device_segment segments[BATCH];
    struct l4vio_block_io ios[BATCH];
    unsigned good = 0;
    unsigned left = count;
    for (unsigned i = 0; i < count; i++) {
        segments[i] = (struct l4vio_device_segment){where[i], length};
        ios[i] = (struct l4vio_block_io){
            .op = op,
            .segments = &segments[i],
            .segment_count = 1,
            .offset_bytes = i * UINT64_C(4096),
            .length_bytes = length,
            .done = done,
            .context = &good,
        };
        store->ops->submit(store->self, lane, &ios[i]);
    }
    store->ops->flush_submissions(store->self, lane);
    while (left) {
        unsigned taken = store->ops->poll(store->self, lane, true);
        if (taken == 0)
            break;
        left -= taken;
    }
    return good;
}

/* Reads block 0 to one place, again and again; whether it arrives. */
static bool read_often(const struct fixture *fixture, unsigned char *to, uint64_t length)
{
    bool good = true;
    for (unsigned i = 0; i < OFTEN; i++) {
        memset(to, 0xaa, length);
        good = good && batch(&fixture->store, fixture->lane, L4VIO_BLOCK_OP_READ, &to, 1, length);
        good = good && to[0] == 0 && memcmp(to, to + 1, length - 1) == 0;
    }
    return good;
}

static void memory_that_is_used_often_is_registered(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char *memory = map_at(NULL, WINDOW);
    add(fixture, memory, WINDOW);
    assert_true(read_often(fixture, memory + BLOCK, BLOCK));
    if (counters(fixture).buffers_refused)
        skip(); /* No right to pin memory here. */
    assert_true(counters(fixture).buffers_registered >= 1);
    assert_true(counters(fixture).fixed_requests > 0);
    uint64_t before = counters(fixture).fixed_requests;
    memset(memory + BLOCK, 0x42, BLOCK);
    unsigned char *from = memory + BLOCK;
    assert_int_equal(batch(&fixture->store, fixture->lane, L4VIO_BLOCK_OP_WRITE, &from, 1, BLOCK),
                     1);
    assert_int_equal(counters(fixture).fixed_requests, before + 1);
    unsigned char byte = 0;
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, BLOCK - 1), 1);
    close(fd);
    assert_int_equal(byte, 0x42);
    take_away(fixture, memory, WINDOW);
    munmap(memory, WINDOW);
}

static void memory_of_no_region_is_not_registered(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char *memory = map_at(NULL, WINDOW);
    assert_true(read_often(fixture, memory, BLOCK));
    assert_int_equal(counters(fixture).buffers_registered, 0);
    assert_int_equal(counters(fixture).fixed_requests, 0);
    munmap(memory, WINDOW);
}

/* A buffer that stayed registered would fill the pages that were there before. */
static void new_memory_at_an_old_address_gets_the_data(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char *memory = map_at(NULL, WINDOW);
    for (unsigned i = 0; i < 3; i++) {
        add(fixture, memory, WINDOW);
        assert_true(read_often(fixture, memory, BLOCK));
        take_away(fixture, memory, WINDOW);
        map_at(memory, WINDOW);
        assert_true(read_often(fixture, memory, BLOCK));
    }
    munmap(memory, WINDOW);
}

/* Three pages across the border of two windows, with nothing behind. */
static void a_region_may_be_small_and_lie_anywhere(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char *space = map_at(NULL, 3 * WINDOW);
    unsigned char *border = (unsigned char *)(((uintptr_t)space / WINDOW + 1) * WINDOW);
    unsigned char *region = border - BLOCK;
    munmap(space, (size_t)(region - space));
    munmap(region + 3 * BLOCK, (size_t)(space + 3 * WINDOW - region - 3 * BLOCK));
    add(fixture, region, 3 * BLOCK);
    for (unsigned i = 0; i < 3; i++)
        assert_true(read_often(fixture, region + i * BLOCK, BLOCK));
    assert_true(read_often(fixture, border - 512, 1024)); /* In both windows. */
    assert_int_equal(counters(fixture).buffers_refused, 0);
    take_away(fixture, region, 3 * BLOCK);
    munmap(region, 3 * BLOCK);
}

/* Windows are in each other's way, also within a batch: whichever way a read goes, it arrives. */
static void more_windows_than_slots_are_served(void **state)
{
    enum { windows = 256 };
    struct fixture *fixture = get(state);
    unsigned char *space =
        mmap(NULL, windows * WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(space != MAP_FAILED);
    for (unsigned i = 0; i < windows; i++)
        add(fixture, map_at(space + i * WINDOW, BLOCK), BLOCK);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned char *where[BATCH];
        for (unsigned i = 0; i < BATCH; i++)
            where[i] = space + (round / 150 * 37 + i * (1 + round / 300)) % windows * WINDOW;
        assert_int_equal(
            batch(&fixture->store, fixture->lane, L4VIO_BLOCK_OP_READ, where, BATCH, 512), BATCH);
        for (unsigned i = 0; i < BATCH; i++)
            assert_int_equal(where[i][511], i);
    }
    assert_true(counters(fixture).buffers_registered > 64);
    for (unsigned i = 0; i < windows; i++)
        take_away(fixture, space + i * WINDOW, BLOCK);
    munmap(space, windows * WINDOW);
}

/* In a child: without the right to pin memory, everything goes the usual way. */
static int serve_without_rights(struct fixture *fixture)
{
    struct rlimit little = {256 << 10, 256 << 10}; /* Enough for the ring itself. */
    struct l4vio_block_lane *lane = NULL;
    unsigned char *space = map_at(NULL, 2 * WINDOW);
    unsigned char *memory = space + (WINDOW - (uintptr_t)space % WINDOW) % WINDOW;
    bool good = true;
    if (setrlimit(RLIMIT_MEMLOCK, &little) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        return 2;
    if (fixture->store.ops->lane_open(fixture->store.self, &lane, NULL) != 0)
        return 2;
    add(fixture, memory, WINDOW);
    for (unsigned i = 0; i < 50 * OFTEN; i++)
        good = batch(&fixture->store, lane, L4VIO_BLOCK_OP_READ, &memory, 1, BLOCK) == 1 && good;
    struct l4vio_file_counters seen = counters(fixture);
    return good && seen.fixed_requests == 0 && seen.buffers_refused > 0 && seen.buffers_refused < 20
               ? 0
               : 1;
}

static void without_the_right_to_pin_memory_requests_go_the_usual_way(void **state)
{
    struct fixture *fixture = get(state);
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(serve_without_rights(fixture));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void only_aligned_requests_go_past_the_page_cache(void **state)
{
    struct fixture *fixture = get(state);
    unsigned char *memory = map_at(NULL, WINDOW);
    add(fixture, memory, WINDOW);
    assert_true(read_often(fixture, memory, BLOCK));
    assert_int_equal(counters(fixture).direct_requests, OFTEN);
    assert_true(read_often(fixture, memory + 1, BLOCK));
    assert_int_equal(counters(fixture).direct_requests, OFTEN);
    /* What was written the one way is read the other. */
    unsigned char *odd = memory + 1;
    memset(odd, 0x17, BLOCK);
    assert_int_equal(batch(&fixture->store, fixture->lane, L4VIO_BLOCK_OP_WRITE, &odd, 1, BLOCK),
                     1);
    memset(memory, 0, BLOCK);
    assert_int_equal(batch(&fixture->store, fixture->lane, L4VIO_BLOCK_OP_READ, &memory, 1, BLOCK),
                     1);
    assert_int_equal(memory[BLOCK - 1], 0x17);
    take_away(fixture, memory, WINDOW);
    munmap(memory, WINDOW);
}

struct reader {
    const struct fixture *fixture;
    unsigned char *memory;
    bool good;
    pthread_t thread;
};

static void *reader_main(void *self)
{
    struct reader *reader = self;
    const struct l4vio_block_backend *store = &reader->fixture->store;
    struct l4vio_block_lane *lane = NULL;
    unsigned char *where[BATCH];
    reader->good = store->ops->lane_open(store->self, &lane, NULL) == 0;
    for (unsigned i = 0; i < BATCH; i++)
        where[i] = reader->memory + i * BLOCK;
    for (unsigned round = 0; reader->good && round < 50; round++) {
        reader->good = batch(store, lane, L4VIO_BLOCK_OP_READ, where, BATCH, BLOCK) == BATCH;
        for (unsigned i = 0; i < BATCH; i++)
            reader->good = reader->good && where[i][7] == i;
    }
    if (lane)
        store->ops->lane_close(store->self, lane);
    return NULL;
}

/* Lanes of other threads work while memory of other drivers comes and goes. */
static void regions_come_and_go_while_lanes_work(void **state)
{
    struct fixture *fixture = get(state);
    struct reader readers[2];
    unsigned char *memory = map_at(NULL, WINDOW);
    for (unsigned i = 0; i < 2; i++) {
        readers[i] = (struct reader){.fixture = fixture, .memory = map_at(NULL, BATCH * BLOCK)};
        add(fixture, readers[i].memory, BATCH * BLOCK);
        assert_int_equal(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        add(fixture, memory, WINDOW);
        assert_true(read_often(fixture, memory, BLOCK));
        (void)counters(fixture);
        take_away(fixture, memory, WINDOW);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].good);
        take_away(fixture, readers[i].memory, BATCH * BLOCK);
        munmap(readers[i].memory, BATCH * BLOCK);
    }
    munmap(memory, WINDOW);
    assert_true(counters(fixture).ring_requests >= 2 * 50 * BATCH);
}

#define URING(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        URING(memory_that_is_used_often_is_registered),
        URING(memory_of_no_region_is_not_registered),
        URING(new_memory_at_an_old_address_gets_the_data),
        URING(a_region_may_be_small_and_lie_anywhere),
        URING(more_windows_than_slots_are_served),
        URING(without_the_right_to_pin_memory_requests_go_the_usual_way),
        cmocka_unit_test_setup_teardown(only_aligned_requests_go_past_the_page_cache, set_up_direct,
                                        tear_down),
        URING(regions_come_and_go_while_lanes_work),
    };
    return cmocka_run_group_tests_name("backend_fixed", tests, NULL, NULL);
}
