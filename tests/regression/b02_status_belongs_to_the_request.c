/* SPDX-License-Identifier: MIT */
/*
 * B2: the status byte is the request's own: an I/O error is reported for the request that had it, in
 * whatever order and from whatever ring entries requests complete.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

#define REQUESTS 12u

struct held {
    uint16_t heads[REQUESTS];
    unsigned count;
};

/* Every third sector is bad; answers come in reverse once all requests are there. */
static void serve(struct scripted_disk *rig, uint32_t queue, const struct l4vio_device_chain *chain)
{
    struct held *held = rig->test;
    uint8_t status;

    rig_carry_out(rig, queue, chain, &status);
    if (rig->log[(rig->logged - 1) % RIG_LOG_ENTRIES].sector % 3 == 0)
        status = VIRTIO_BLK_S_IOERR;
    rig_set_status(chain, status);
    held->heads[held->count++] = chain->head;
    while (held->count && !l4vio_device_queue_has_avail(l4vio_device_queue(&rig->device, queue)))
        rig_answer(rig, queue, held->heads[--held->count], 1024 + 1);
}

static void each_request_has_its_own_outcome(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_request requests[REQUESTS];
    struct l4vio_block_segment segments[REQUESTS];
    struct held held = {.count = 0};

    rig->serve = serve;
    rig->test = &held;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < REQUESTS; i++) {
            rig_prepare(rig, &requests[i], i, &segments[i], L4VIO_BLOCK_READ, i + round, i * 1024,
                        1024);
            assert_int_equal(0, l4vio_block_add(&rig->block, 0, &requests[i], NULL));
        }
        assert_int_equal(0, l4vio_block_kick(&rig->block, 0));
        assert_int_equal(0, l4vio_block_drain(&rig->block, 0, rig_soon(rig)));
        for (unsigned i = 0; i < REQUESTS; i++)
            assert_int_equal((i + round) % 3 == 0 ? L4VIO_EIO : 0, requests[i].result);
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_request_has_its_own_outcome)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
