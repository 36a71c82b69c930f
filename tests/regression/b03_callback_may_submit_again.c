/* SPDX-License-Identifier: MIT */
/* B3: a callback may submit the same request or start another one; nothing is overwritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

#define ROUNDS 500u

struct chain {
    struct scripted_disk *rig;
    struct l4vio_block_seed *seed;
    unsigned called;
    unsigned depth;
    unsigned depth_max;
    struct l4vio_block_handle expected;
};

static void submit_again(struct l4vio_block_request *request, void *context)
{
    struct chain *chain = context;

    chain->depth++;
    if (chain->depth > chain->depth_max)
        chain->depth_max = chain->depth;
    assert_false(request->in_flight);
    assert_int_equal(0, request->result);
    if (++chain->called < ROUNDS) {
        request->sector = chain->called % 64;
        assert_int_equal(0, l4vio_block_submit(&chain->rig->block, 0, request, NULL));
        assert_true(request->in_flight);
        rig_pump(chain->rig);
    }
    chain->depth--;
}

static void request_submits_itself_from_its_callback(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    struct chain chain = {.rig = rig};

    rig_prepare(rig, &request, 0, &segment, L4VIO_BLOCK_READ, 0, 0, 512);
    request.done = submit_again;
    request.context = &chain;
    assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
    assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
    assert_int_equal(ROUNDS, chain.called);
    /* The answer is there before the callback returns, and even so nothing recurses. */
    assert_int_equal(1, chain.depth_max);
    assert_int_equal(ROUNDS, rig->logged);
    rig_free(rig);
}

static void start_next(struct l4vio_block_seed *seed, struct l4vio_block_handle handle, int result,
                       uint64_t done_bytes, void *context)
{
    struct chain *chain = context;
    struct l4vio_block_handle next;

    assert_int_equal(0, result);
    assert_int_equal(512, done_bytes);
    assert_int_equal(chain->expected.index, handle.index);
    assert_int_equal(chain->expected.generation, handle.generation);
    if (++chain->called == ROUNDS)
        return;
    /* Freeing it here already is allowed: the new request then gets the same place. */
    if (chain->called % 2)
        assert_int_equal(0, l4vio_block_free_request(seed, handle));
    assert_int_equal(0, l4vio_block_start_request(seed, chain->called % 64, L4VIO_BLOCK_READ,
                                                  start_next, chain, &next));
    assert_int_equal(0, l4vio_block_add_block(seed, next, &chain->rig->data, 0, 512));
    assert_int_equal(0, l4vio_block_send_request(seed, next, NULL));
    chain->expected = next;
    if (chain->called == 1)
        assert_int_equal(handle.index, next.index);
    assert_false(handle.index == next.index && handle.generation == next.generation);
}

static void seed_callback_starts_the_next_request(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    struct l4vio_block_seed seed;
    struct l4vio_block_seed_request records[2];
    struct l4vio_block_handle handle;
    struct chain chain = {.rig = rig, .seed = &seed};

    assert_int_equal(0, l4vio_block_seed_init(&seed, &rig->block, 0, records, 2, NULL));
    assert_int_equal(
        0, l4vio_block_start_request(&seed, 0, L4VIO_BLOCK_READ, start_next, &chain, &handle));
    assert_int_equal(0, l4vio_block_add_block(&seed, handle, &rig->data, 0, 512));
    assert_int_equal(0, l4vio_block_send_request(&seed, handle, NULL));
    chain.expected = handle;
    for (unsigned turn = 0; chain.called < ROUNDS; turn++) {
        assert_true(turn < ROUNDS);
        rig_pump(rig);
        assert_true(l4vio_block_process_used_queue(&seed) >= 0);
    }
    assert_int_equal(0, l4vio_block_seed_release(&seed, NULL));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_submits_itself_from_its_callback),
        cmocka_unit_test(seed_callback_starts_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
