/* SPDX-License-Identifier: MIT */
/* Synchronous calls through a bounce pool: bytes, order, how far a failure got, quarantine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

#define BUFFERS      4u
#define BUFFER_BYTES 4096u

struct fixture {
    struct scripted_disk *rig;
    struct l4vio_block_pool pool;
    struct l4vio_block_bounce bounces[BUFFERS];
    uint8_t user[RIG_DISK_BYTES];
    /* Device side: answers are kept and given in another order. */
    uint16_t heads[16];
    uint32_t lengths[16];
    unsigned held;
    uint64_t bad_sector; /* Fails requests at this sector; UINT64_MAX: none. */
};

static struct fixture fixture;

static int setup(void **state)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.rig = rig_started();
    fixture.rig->test = &fixture;
    fixture.bad_sector = UINT64_MAX;
    assert_int_equal(0, l4vio_block_pool_init(&fixture.pool, &fixture.rig->block, 1,
                                              fixture.bounces, BUFFERS, BUFFER_BYTES, NULL));
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rig_free(f->rig);
    return 0;
}

static void read_and_write_move_any_number_of_sectors(void **state)
{
    struct fixture *f = *state;
    static const uint64_t lengths[] = {0, 512, 4096, 4608, 65536, RIG_DISK_BYTES};
    uint64_t done;

    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint64_t offset = lengths[i] == RIG_DISK_BYTES ? 0 : 1536;
        memset(f->user, 0, sizeof(f->user));
        done = 1;
        assert_int_equal(0, l4vio_block_pool_read(&f->pool, offset, f->user, lengths[i],
                                                  rig_soon(f->rig), &done, NULL));
        assert_int_equal(lengths[i], done);
        if (lengths[i])
            assert_memory_equal(f->user, f->rig->disk + offset, lengths[i]);
        for (uint64_t k = 0; k < lengths[i]; k++)
            f->user[k] ^= 0xff;
        assert_int_equal(0, l4vio_block_pool_write(&f->pool, offset, f->user, lengths[i],
                                                   rig_soon(f->rig), &done, NULL));
        assert_int_equal(lengths[i], done);
        if (lengths[i])
            assert_memory_equal(f->user, f->rig->disk + offset, lengths[i]);
    }
}

/* Holds answers back until the driver has nothing more to send, then gives the last one first. */
static void serve_backwards(struct scripted_disk *rig, uint32_t queue,
                            const struct l4vio_device_chain *chain)
{
    struct fixture *f = rig->test;
    uint8_t status;

    f->heads[f->held] = chain->head;
    f->lengths[f->held++] = rig_carry_out(rig, queue, chain, &status);
    if (rig->log[(rig->logged - 1) % RIG_LOG_ENTRIES].sector == f->bad_sector)
        status = VIRTIO_BLK_S_IOERR;
    rig_set_status(chain, status);
    if (l4vio_device_queue_has_avail(l4vio_device_queue(&rig->device, queue)))
        return;
    while (f->held) {
        f->held--;
        rig_answer(rig, queue, f->heads[f->held], f->lengths[f->held]);
    }
}

static void several_buffers_are_in_flight_and_may_finish_in_any_order(void **state)
{
    struct fixture *f = *state;
    uint64_t done;

    f->rig->serve = serve_backwards;
    assert_int_equal(0, l4vio_block_pool_read(&f->pool, 0, f->user, sizeof(f->user),
                                              rig_soon(f->rig), &done, NULL));
    assert_int_equal(sizeof(f->user), done);
    assert_memory_equal(f->user, f->rig->disk, sizeof(f->user));
}

static void done_bytes_ends_where_the_first_failure_is(void **state)
{
    struct fixture *f = *state;
    struct l4vio_error error = {0};
    uint64_t done = 0;

    /* The device finishes the last first: what is behind the bad sector has succeeded already. */
    f->rig->serve = serve_backwards;
    f->bad_sector = 5 * BUFFER_BYTES / 512;
    assert_int_equal(L4VIO_EIO, l4vio_block_pool_read(&f->pool, 0, f->user, 64 * 1024,
                                                      rig_soon(f->rig), &done, &error));
    assert_int_equal(5 * BUFFER_BYTES, done);
    assert_int_equal(L4VIO_EIO, error.code);
    assert_memory_equal(f->user, f->rig->disk, 5 * BUFFER_BYTES);

    f->bad_sector = UINT64_MAX;
    assert_int_equal(
        0, l4vio_block_pool_read(&f->pool, 0, f->user, 64 * 1024, rig_soon(f->rig), &done, &error));
    assert_memory_equal(f->user, f->rig->disk, 64 * 1024);
}

static void part_of_a_buffer_counts_too(void **state)
{
    struct fixture *f = *state;
    struct l4vio_block_pool pool;
    struct l4vio_block_bounce bounce;
    uint64_t done = 0;

    /* One buffer of two parts (8 * 4096 bytes each), the second fails. */
    f->rig->serve = serve_backwards;
    f->bad_sector = 64;
    assert_int_equal(0, l4vio_block_pool_init(&pool, &f->rig->block, 0, &bounce, 1, 65536, NULL));
    assert_int_equal(
        L4VIO_EIO, l4vio_block_pool_read(&pool, 0, f->user, 65536, rig_soon(f->rig), &done, NULL));
    assert_int_equal(32768, done);
    assert_memory_equal(f->user, f->rig->disk, 32768);
    assert_int_equal(0, l4vio_block_pool_release(&pool, NULL));
}

static void wrong_ranges_are_refused(void **state)
{
    struct fixture *f = *state;
    struct l4vio_error error = {0};
    uint64_t done = 1;

    assert_int_equal(L4VIO_EINVAL,
                     l4vio_block_pool_read(&f->pool, 0, f->user, 100, 0, &done, &error));
    assert_int_equal(0, done);
    assert_int_equal(L4VIO_EINVAL,
                     l4vio_block_pool_read(&f->pool, 100, f->user, 512, 0, &done, &error));
    assert_int_equal(L4VIO_ERANGE, l4vio_block_pool_read(&f->pool, RIG_DISK_BYTES - 512, f->user,
                                                         1024, 0, &done, &error));
    assert_int_equal(L4VIO_ERANGE, l4vio_block_pool_write(&f->pool, UINT64_MAX - 511, f->user, 512,
                                                          0, &done, &error));
    assert_int_equal(L4VIO_ERANGE, l4vio_block_pool_zero(&f->pool, 512, UINT64_MAX - 511, false, 0,
                                                         &done, &error));
    assert_int_equal(0, f->rig->logged);
    struct l4vio_block_pool pool;
    assert_int_equal(L4VIO_EINVAL, l4vio_block_pool_init(&pool, &f->rig->block, 0, f->bounces,
                                                         BUFFERS, 100, &error));
    assert_int_equal(L4VIO_EINVAL,
                     l4vio_block_pool_init(&pool, &f->rig->block, 0, f->bounces, 0, 512, &error));
    assert_int_equal(L4VIO_ERANGE, l4vio_block_pool_init(&pool, &f->rig->block, 99, f->bounces,
                                                         BUFFERS, 512, &error));
}

static void flush_id_discard_and_zero_do_what_they_say(void **state)
{
    struct fixture *f = *state;
    char id[VIRTIO_BLK_ID_BYTES + 1];
    uint64_t done = 0;

    assert_int_equal(0, l4vio_block_pool_flush(&f->pool, rig_soon(f->rig), NULL));
    assert_int_equal(VIRTIO_BLK_T_FLUSH, f->rig->log[0].type);
    assert_int_equal(0, l4vio_block_pool_id(&f->pool, id, rig_soon(f->rig), NULL));
    assert_string_equal("twenty characters id", id);
    assert_int_equal(
        0, l4vio_block_pool_discard(&f->pool, 512, 100 * 512, rig_soon(f->rig), &done, NULL));
    assert_int_equal(100 * 512, done);
    assert_int_equal(
        0, l4vio_block_pool_zero(&f->pool, 65536, 65536, true, rig_soon(f->rig), &done, NULL));
    assert_int_equal(65536, done);
    memset(f->user, 0, sizeof(f->user));
    assert_memory_equal(f->rig->disk + 512, f->user, 100 * 512);
    assert_memory_equal(f->rig->disk + 65536, f->user, 65536);
    assert_int_not_equal(0, f->rig->disk[131072 + 1]);
}

static void after_a_timeout_late_answers_touch_nothing_of_the_user(void **state)
{
    struct fixture *f = *state;
    struct l4vio_error error = {0};
    uint64_t done = 1;

    f->rig->stalled = 1;
    memset(f->user, 0x11, sizeof(f->user));
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_pool_read(&f->pool, 0, f->user, 2 * BUFFER_BYTES,
                                                            rig_soon(f->rig), &done, &error));
    assert_int_equal(0, done);
    assert_int_equal(L4VIO_EBUSY, l4vio_block_pool_release(&f->pool, &error));
    /* The other two buffers work on, the two in quarantine stay away. */
    f->rig->stalled = 0;
    uint8_t other[4 * BUFFER_BYTES];
    assert_int_equal(0, l4vio_block_pool_read(&f->pool, 65536, other, sizeof(other),
                                              rig_soon(f->rig), &done, &error));
    assert_memory_equal(other, f->rig->disk + 65536, sizeof(other));
    for (unsigned i = 0; i < 2 * BUFFER_BYTES; i++)
        assert_int_equal(0x11, f->user[i]);
    assert_int_equal(0, l4vio_block_pool_release(&f->pool, &error));
    assert_int_equal(0, l4vio_block_pool_release(&f->pool, &error));
}

static void pool_whose_buffers_are_all_in_quarantine_waits_for_one(void **state)
{
    struct fixture *f = *state;
    uint64_t done;

    f->rig->stalled = 1;
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_pool_read(&f->pool, 0, f->user, 65536,
                                                            rig_soon(f->rig), &done, NULL));
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_pool_flush(&f->pool, rig_soon(f->rig), NULL));
    f->rig->stalled = 0;
    assert_int_equal(
        0, l4vio_block_pool_read(&f->pool, 0, f->user, 65536, rig_soon(f->rig), &done, NULL));
    assert_memory_equal(f->user, f->rig->disk, 65536);
}

static void recovery_ends_the_quarantine(void **state)
{
    struct fixture *f = *state;
    uint64_t done;

    f->rig->stalled = 1;
    assert_int_equal(L4VIO_ETIMEDOUT, l4vio_block_pool_write(&f->pool, 0, f->user, 65536,
                                                             rig_soon(f->rig), &done, NULL));
    assert_int_equal(0, l4vio_block_recover(&f->rig->block, NULL));
    f->rig->stalled = 0;
    assert_int_equal(
        0, l4vio_block_pool_read(&f->pool, 0, f->user, 65536, rig_soon(f->rig), &done, NULL));
    assert_memory_equal(f->user, f->rig->disk, 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(read_and_write_move_any_number_of_sectors, setup, teardown),
        cmocka_unit_test_setup_teardown(several_buffers_are_in_flight_and_may_finish_in_any_order,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(done_bytes_ends_where_the_first_failure_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(part_of_a_buffer_counts_too, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_ranges_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_id_discard_and_zero_do_what_they_say, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(after_a_timeout_late_answers_touch_nothing_of_the_user,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(pool_whose_buffers_are_all_in_quarantine_waits_for_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(recovery_ends_the_quarantine, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
