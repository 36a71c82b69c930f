/* SPDX-License-Identifier: MIT */
/* The seed's block API: start, add, send or process, free; handles that go stale safely. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

#define RECORDS 3u

struct fixture {
    struct scripted_disk *rig;
    struct l4vio_block_seed seed;
    struct l4vio_block_seed_request records[RECORDS];
    unsigned called;
    int result;
    uint64_t done_bytes;
    struct l4vio_block_handle seen;
    struct l4vio_block_handle next;
};

static struct fixture fixture;

static int setup(void **state)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.rig = rig_started();
    assert_int_equal(0, l4vio_block_seed_init(&fixture.seed, &fixture.rig->block, 0,
                                              fixture.records, RECORDS, NULL));
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rig_free(f->rig);
    return 0;
}

static struct l4vio_block_handle start(struct fixture *f, uint64_t sector,
                                       enum l4vio_block_type type, l4vio_block_callback *callback)
{
    struct l4vio_block_handle handle = {0};
    assert_int_equal(0, l4vio_block_start_request(&f->seed, sector, type, callback, f, &handle));
    assert_int_equal(
        0, l4vio_block_add_block(&f->seed, handle, &f->rig->data, sector % 64 * 512, 512));
    return handle;
}

static void remember(struct l4vio_block_seed *seed, struct l4vio_block_handle handle, int result,
                     uint64_t done_bytes, void *context)
{
    struct fixture *f = context;
    (void)seed;
    f->called++;
    f->seen = handle;
    f->result = result;
    f->done_bytes = done_bytes;
}

static void process_request_waits_and_returns_the_outcome(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle = start(f, 4, L4VIO_BLOCK_READ, remember);

    assert_int_equal(0, l4vio_block_add_block(&f->seed, handle, &f->rig->data, 8192, 1024));
    assert_int_equal(0, l4vio_block_process_request(&f->seed, handle, rig_soon(f->rig), NULL));
    assert_memory_equal((uint8_t *)f->rig->data.base + 2048, f->rig->disk + 2048, 512);
    assert_memory_equal((uint8_t *)f->rig->data.base + 8192, f->rig->disk + 2560, 1024);
    assert_int_equal(0, f->called);
    assert_int_equal(0, l4vio_block_free_request(&f->seed, handle));
}

static void send_request_calls_back_once_and_frees(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle = start(f, 1, L4VIO_BLOCK_READ, remember);

    assert_int_equal(0, l4vio_block_send_request(&f->seed, handle, NULL));
    assert_int_equal(L4VIO_EBUSY, l4vio_block_free_request(&f->seed, handle));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_send_request(&f->seed, handle, NULL));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add_block(&f->seed, handle, &f->rig->data, 0, 512));
    assert_int_equal(L4VIO_EBUSY, l4vio_block_seed_release(&f->seed, NULL));
    rig_pump(f->rig);
    assert_int_equal(1, l4vio_block_process_used_queue(&f->seed));
    assert_int_equal(0, l4vio_block_process_used_queue(&f->seed));
    assert_int_equal(1, f->called);
    assert_int_equal(0, f->result);
    assert_int_equal(512, f->done_bytes);
    assert_int_equal(handle.generation, f->seen.generation);
    assert_int_equal(L4VIO_EINVAL, l4vio_block_free_request(&f->seed, handle));
    assert_int_equal(0, l4vio_block_seed_release(&f->seed, NULL));
}

static void stale_handle_stays_stale_after_its_place_was_used_again(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle old = start(f, 1, L4VIO_BLOCK_READ, NULL);
    static const struct l4vio_block_handle none = {0, 0};
    struct l4vio_block_handle outside = {.index = RECORDS, .generation = 1};

    assert_int_equal(0, l4vio_block_free_request(&f->seed, old));
    struct l4vio_block_handle new = start(f, 2, L4VIO_BLOCK_READ, NULL);
    assert_int_equal(old.index, new.index);
    assert_int_equal(L4VIO_EINVAL, l4vio_block_free_request(&f->seed, old));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_add_block(&f->seed, old, &f->rig->data, 0, 512));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_send_request(&f->seed, old, NULL));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_process_request(&f->seed, old, 0, NULL));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_free_request(&f->seed, none));
    assert_int_equal(L4VIO_EINVAL, l4vio_block_free_request(&f->seed, outside));
    assert_int_equal(0, l4vio_block_send_request(&f->seed, new, NULL));
}

static void all_records_in_use_says_again(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle;

    for (unsigned i = 0; i < RECORDS; i++)
        start(f, i, L4VIO_BLOCK_READ, NULL);
    assert_int_equal(L4VIO_EAGAIN,
                     l4vio_block_start_request(&f->seed, 0, L4VIO_BLOCK_READ, NULL, NULL, &handle));
}

static void too_many_blocks_or_a_bad_place_is_refused(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle = start(f, 0, L4VIO_BLOCK_READ, NULL);

    assert_int_equal(L4VIO_EFAULT,
                     l4vio_block_add_block(&f->seed, handle, &f->rig->data, 256 * 1024, 512));
    for (unsigned i = 1; i < L4VIO_BLOCK_SEED_BLOCKS_MAX; i++)
        assert_int_equal(0, l4vio_block_add_block(&f->seed, handle, &f->rig->data, i * 512, 512));
    assert_int_equal(L4VIO_E2BIG, l4vio_block_add_block(&f->seed, handle, &f->rig->data, 0, 512));
    assert_int_equal(0, l4vio_block_process_request(&f->seed, handle, rig_soon(f->rig), NULL));
    assert_memory_equal(f->rig->data.base, f->rig->disk, L4VIO_BLOCK_SEED_BLOCKS_MAX * 512);
}

static void request_without_callback_stays_until_it_is_freed(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle = start(f, 0, L4VIO_BLOCK_WRITE, NULL);

    assert_int_equal(0, l4vio_block_send_request(&f->seed, handle, NULL));
    rig_pump(f->rig);
    assert_int_equal(1, l4vio_block_process_used_queue(&f->seed));
    assert_int_equal(0, l4vio_block_free_request(&f->seed, handle));
}

static void process_request_that_times_out_may_be_freed_once_it_is_done(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle = start(f, 0, L4VIO_BLOCK_READ, remember);

    f->rig->stalled = 1;
    assert_int_equal(L4VIO_ETIMEDOUT,
                     l4vio_block_process_request(&f->seed, handle, rig_soon(f->rig), NULL));
    assert_int_equal(L4VIO_EBUSY, l4vio_block_free_request(&f->seed, handle));
    f->rig->stalled = 0;
    rig_pump(f->rig);
    assert_int_equal(1, l4vio_block_process_used_queue(&f->seed));
    assert_int_equal(0, f->called);
    assert_int_equal(0, l4vio_block_free_request(&f->seed, handle));
}

static void lengths_of_blocks_are_the_range_of_a_discard(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_handle handle = start(f, 2, L4VIO_BLOCK_DISCARD, NULL);

    assert_int_equal(0, l4vio_block_add_block(&f->seed, handle, &f->rig->data, 0, 1024));
    assert_int_equal(0, l4vio_block_process_request(&f->seed, handle, rig_soon(f->rig), NULL));
    assert_int_equal(2, l4vio_swap64(f->rig->log[0].range.sector));
    assert_int_equal(3, l4vio_swap32(f->rig->log[0].range.num_sectors));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(process_request_waits_and_returns_the_outcome, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(send_request_calls_back_once_and_frees, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_handle_stays_stale_after_its_place_was_used_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(all_records_in_use_says_again, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_blocks_or_a_bad_place_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(request_without_callback_stays_until_it_is_freed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(process_request_that_times_out_may_be_freed_once_it_is_done,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(lengths_of_blocks_are_the_range_of_a_discard, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
