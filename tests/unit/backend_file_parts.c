/* SPDX-License-Identifier: MIT */
/* Parts of the file store that the kernel rarely lets one see: short transfers, failed flushes. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/file.h"

static void short_transfer_goes_on_at_the_next_byte(void **state)
{
    unsigned char bytes[100];
    struct l4vio_device_segment segments[] = {{bytes, 10}, {bytes + 10, 0}, {bytes + 10, 90}};
    struct l4vio_block_io io = {.segments = segments, .segment_count = 3, .length_bytes = 100};
    uint32_t count;
    (void)state;
    l4vio_file_start(&io);
    assert_ptr_equal(l4vio_file_segments(&io, &count), segments);
    assert_int_equal(count, 3);
    l4vio_file_advance(&io, 4);
    assert_ptr_equal(l4vio_file_segments(&io, &count)->base, bytes + 4);
    assert_int_equal(l4vio_file_segments(&io, &count)->length_bytes, 6);
    l4vio_file_advance(&io, 7);
    assert_ptr_equal(l4vio_file_segments(&io, &count)->base, bytes + 11);
    assert_int_equal(count, 1);
    assert_int_equal(io.progress_bytes, 11);
    l4vio_file_advance(&io, 89);
    l4vio_file_segments(&io, &count);
    assert_int_equal(count, 0);
}

/* The kernel reports lost writes once; who is told later must not believe that all is well. */
static void failed_flush_stays_failed(void **state)
{
    struct l4vio_file file = {0};
    (void)state;
    assert_int_equal(l4vio_file_flush_result(&file, L4VIO_OK), L4VIO_OK);
    assert_int_equal(l4vio_file_flush_result(&file, L4VIO_ENOSPC), L4VIO_ENOSPC);
    assert_int_equal(l4vio_file_flush_result(&file, L4VIO_OK), L4VIO_ENOSPC);
}

static void full_disk_is_told_apart(void **state)
{
    (void)state;
    assert_int_equal(l4vio_file_code(ENOSPC), L4VIO_ENOSPC);
    assert_int_equal(l4vio_file_code(EDQUOT), L4VIO_ENOSPC);
    assert_int_equal(l4vio_file_code(EFAULT), L4VIO_EIO);
}

static int result_of;
static unsigned calls;

static void done(struct l4vio_block_io *io, int result)
{
    (void)io;
    result_of = result;
    calls++;
}

/* A file size limit cuts a write short, and fails the rest of it. */
static void write_up_to_the_size_limit_fails(enum l4vio_file_engine engine)
{
    char path[64];
    static unsigned char data[8192];
    struct l4vio_device_segment segment = {data, sizeof(data)};
    struct l4vio_block_io io = {.op = L4VIO_BLOCK_OP_WRITE,
                                .length_bytes = sizeof(data),
                                .segments = &segment,
                                .segment_count = 1,
                                .done = done};
    struct l4vio_block_backend store;
    struct l4vio_block_lane *lane;
    struct rlimit old, small;
    snprintf(path, sizeof(path), "%s/l4vio-limit-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    int fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, 8192), 0);
    close(fd);
    int result = l4vio_file_backend_open(path, false, engine, &store, NULL);
    unlink(path);
    if (result == L4VIO_ENOSYS)
        skip();
    assert_int_equal(result, 0);
    assert_int_equal(store.ops->lane_open(store.self, &lane, NULL), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    calls = 0;
    store.ops->submit(store.self, lane, &io);
    if (store.ops->flush_submissions)
        store.ops->flush_submissions(store.self, lane);
    while (calls == 0)
        store.ops->poll(store.self, lane, true);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(calls, 1);
    assert_int_equal(result_of, L4VIO_EIO);
    assert_int_equal(io.progress_bytes, 4096);
    store.ops->lane_close(store.self, lane);
    l4vio_file_backend_close(&store);
}

static void write_up_to_the_size_limit_fails_sync(void **state)
{
    (void)state;
    write_up_to_the_size_limit_fails(L4VIO_FILE_ENGINE_SYNC);
}

static void write_up_to_the_size_limit_fails_uring(void **state)
{
    (void)state;
    write_up_to_the_size_limit_fails(L4VIO_FILE_ENGINE_URING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_transfer_goes_on_at_the_next_byte),
        cmocka_unit_test(failed_flush_stays_failed),
        cmocka_unit_test(full_disk_is_told_apart),
        cmocka_unit_test(write_up_to_the_size_limit_fails_sync),
        cmocka_unit_test(write_up_to_the_size_limit_fails_uring),
    };
    return cmocka_run_group_tests_name("backend_file_parts", tests, NULL, NULL);
}
