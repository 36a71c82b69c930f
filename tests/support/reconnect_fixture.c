/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reconnect_fixture.h"

void reconnect_fixture_done(struct l4vio_block_request *request, void *context)
{
    struct reconnect_fixture *f = context;
    unsigned i = (unsigned)(request - f->requests);
    f->done[i]++;
    f->order[f->all_done++ % RECONNECT_REQUESTS] = i;
}

void reconnect_fixture_make_requests(struct reconnect_fixture *f)
{
    struct l4vio_driver *driver = &f->rig.block.driver;
    assert_int_equal(
        l4vio_driver_allocate(driver, RECONNECT_REQUESTS * RECONNECT_PIECE, &f->data, NULL), 0);
    assert_int_equal(l4vio_driver_allocate(driver, 4096, &f->shared, NULL), 0);
    for (unsigned i = 0; i < RECONNECT_REQUESTS; i++) {
        struct l4vio_block_request *request = &f->requests[i];
        assert_int_equal(
            l4vio_block_request_init(request, &f->shared, (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES),
            0);
        f->segments[i] =
            (struct l4vio_block_segment){&f->data, (uint64_t)i * RECONNECT_PIECE, RECONNECT_PIECE};
        request->type = L4VIO_BLOCK_WRITE;
        request->segments = &f->segments[i];
        request->segment_count = 1;
        request->sector = (uint64_t)i * (RECONNECT_PIECE / 512);
        request->done = reconnect_fixture_done;
        request->context = f;
        memset((uint8_t *)f->data.base + (size_t)i * RECONNECT_PIECE, (int)(i + 1),
               RECONNECT_PIECE);
    }
}

struct reconnect_fixture *reconnect_fixture_new(uint32_t queues)
{
    struct reconnect_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    reconnect_rig_start(&f->rig, queues);
    return f;
}

struct reconnect_fixture *reconnect_fixture_open(uint32_t queues)
{
    struct reconnect_fixture *f = reconnect_fixture_new(queues);
    reconnect_rig_open(&f->rig);
    reconnect_fixture_make_requests(f);
    return f;
}

void reconnect_fixture_free(struct reconnect_fixture *f)
{
    reconnect_rig_end(&f->rig);
    free(f);
}

void reconnect_fixture_submit(struct reconnect_fixture *f)
{
    for (unsigned i = 0; i < RECONNECT_REQUESTS; i++)
        assert_int_equal(
            l4vio_block_submit(&f->rig.block, i % f->rig.block.queue_count, &f->requests[i], NULL),
            0);
}

int reconnect_fixture_come_back(struct reconnect_fixture *f, struct l4vio_error *error)
{
    return l4vio_block_reconnect(&f->rig.block, reconnect_rig_deadline(&f->rig, RECONNECT_LONG_MS),
                                 error);
}

void reconnect_fixture_drain(struct reconnect_fixture *f)
{
    for (uint32_t q = 0; q < f->rig.block.queue_count; q++)
        assert_int_equal(
            l4vio_block_drain(&f->rig.block, q, reconnect_rig_deadline(&f->rig, RECONNECT_LONG_MS)),
            0);
}

void reconnect_fixture_check(struct reconnect_fixture *f)
{
    for (unsigned i = 0; i < RECONNECT_REQUESTS; i++) {
        assert_int_equal(f->done[i], 1);
        assert_int_equal(f->requests[i].result, 0);
        assert_int_equal(f->requests[i].done_bytes, RECONNECT_PIECE);
        assert_int_equal(reconnect_rig_image_byte(&f->rig, i * RECONNECT_PIECE), i + 1);
    }
}
void reconnect_fixture_die(struct reconnect_fixture *f)
{
    reconnect_rig_freeze(&f->rig);
    reconnect_fixture_submit(f);
    reconnect_rig_kill(&f->rig);
}

void reconnect_fixture_finish(struct reconnect_fixture *f)
{
    reconnect_fixture_drain(f);
    reconnect_fixture_check(f);
}
