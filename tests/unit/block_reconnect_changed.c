/* SPDX-License-Identifier: MIT */
/* What comes back is not the device that went: requests that it does not take, devices that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reconnect_fixture.h"

static void check_named_failures(struct reconnect_fixture *f, unsigned first, int result)
{
    reconnect_fixture_drain(f);
    for (unsigned i = 0; i < RECONNECT_REQUESTS; i++) {
        assert_int_equal(f->done[i], 1);
        assert_int_equal(f->requests[i].result, i < first ? 0 : result);
    }
    assert_int_equal(f->rig.block.reconnects.failed, RECONNECT_REQUESTS - first);
}

static void a_smaller_device_fails_what_is_past_its_end(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(2);
    (void)state;
    reconnect_fixture_die(f);
    assert_int_equal(truncate(f->rig.image, 10 * RECONNECT_PIECE), 0);
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->rig.block.info.capacity_sectors, 10 * RECONNECT_PIECE / 512);
    check_named_failures(f, 10, L4VIO_ERANGE);
    reconnect_fixture_free(f);
}

static void a_read_only_device_fails_writes(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(2);
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        f->requests[i].type = L4VIO_BLOCK_READ;
    reconnect_fixture_die(f);
    f->rig.options.read_only = true;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_true(f->rig.block.info.read_only);
    check_named_failures(f, 6, L4VIO_EROFS);
    reconnect_fixture_free(f);
}

static void larger_blocks_fail_what_does_not_fit_them(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    for (unsigned i = 8; i < RECONNECT_REQUESTS; i++)
        f->segments[i].length_bytes = 512;
    reconnect_fixture_die(f);
    f->rig.block_bytes = RECONNECT_PIECE;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    check_named_failures(f, 8, L4VIO_EINVAL);
    reconnect_fixture_free(f);
}

static void check_other_device(struct reconnect_fixture *f, const char *text, uint64_t value)
{
    struct l4vio_error error = {0};
    assert_int_equal(reconnect_fixture_come_back(f, &error), L4VIO_ENODEV);
    assert_string_equal(error.text, text);
    assert_int_equal(error.value, value);
    assert_int_equal(f->all_done, 0);
}

/* And when the right one is there in the end, all is well. */
static void fewer_queues_are_refused(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(3);
    (void)state;
    reconnect_fixture_die(f);
    f->rig.options.queue_count = 2;
    reconnect_rig_restart(&f->rig);
    check_other_device(f, "the device that came back has fewer queues than are in use", 2);
    reconnect_rig_kill(&f->rig);
    f->rig.options.queue_count = 4;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

static void a_feature_less_is_refused_and_one_more_is_not_taken(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_new(1);
    (void)state;
    f->rig.options.refused.word[0] = UINT32_C(1) << VIRTIO_BLK_F_DISCARD;
    reconnect_rig_replace(&f->rig);
    reconnect_rig_open(&f->rig);
    reconnect_fixture_make_requests(f);
    const struct l4vio_features accepted = l4vio_driver_features(&f->rig.block.driver);
    assert_false(l4vio_driver_feature_negotiated(&f->rig.block.driver, VIRTIO_BLK_F_DISCARD));
    reconnect_fixture_die(f);
    f->rig.options.refused.word[0] = 0;
    reconnect_rig_restart(&f->rig);
    l4vio_features_set(&f->rig.hidden, L4VIO_F_EVENT_IDX);
    check_other_device(f, "the device that came back lacks a feature that is in use",
                       L4VIO_F_EVENT_IDX);
    l4vio_features_clear(&f->rig.hidden, L4VIO_F_EVENT_IDX);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    const struct l4vio_features again = l4vio_driver_features(&f->rig.block.driver);
    assert_memory_equal(&accepted, &again, sizeof(accepted));
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

static void a_request_type_less_fails_those_requests(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    for (unsigned i = 12; i < RECONNECT_REQUESTS; i++) {
        f->requests[i].type = L4VIO_BLOCK_DISCARD;
        f->requests[i].sector_count = 8;
    }
    reconnect_fixture_die(f);
    f->rig.options.refused.word[0] = UINT32_C(1) << VIRTIO_BLK_F_DISCARD;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    check_named_failures(f, 12, L4VIO_ENOSYS);
    reconnect_fixture_free(f);
}

static void a_smaller_queue_is_refused(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    struct l4vio_error error = {0};
    (void)state;
    reconnect_fixture_die(f);
    f->rig.options.queue_size_max = 32;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, &error), L4VIO_EINVAL);
    assert_int_equal(error.value, 32);
    f->rig.options.queue_size_max = 0;
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    reconnect_fixture_finish(f);
    reconnect_fixture_free(f);
}

static void the_cache_mode_is_chosen_again(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    assert_int_equal(l4vio_block_get_writeback(&f->rig.block), 1);
    assert_int_equal(l4vio_block_set_writeback(&f->rig.block, false, NULL), 0);
    reconnect_rig_replace(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(l4vio_block_get_writeback(&f->rig.block), 0);
    assert_int_equal(l4vio_block_recover(&f->rig.block, NULL), 0);
    assert_int_equal(l4vio_block_get_writeback(&f->rig.block), 0);
    reconnect_fixture_free(f);
}

static void submit_more(struct l4vio_block_request *request, void *context)
{
    struct reconnect_fixture *f = context;
    reconnect_fixture_done(request, context);
    request->type = L4VIO_BLOCK_READ;
    request->done = reconnect_fixture_done;
    assert_int_equal(l4vio_block_submit(&f->rig.block, request->queue, request, NULL), 0);
}

/* `done` of a request that the new device does not take is called when the queue runs. */
static void done_may_submit(void **state)
{
    struct reconnect_fixture *f = reconnect_fixture_open(1);
    (void)state;
    f->requests[0].done = submit_more;
    reconnect_rig_freeze(&f->rig);
    assert_int_equal(l4vio_block_submit(&f->rig.block, 0, &f->requests[0], NULL), 0);
    reconnect_rig_kill(&f->rig);
    f->rig.options.read_only = true;
    reconnect_rig_restart(&f->rig);
    assert_int_equal(reconnect_fixture_come_back(f, NULL), 0);
    assert_int_equal(f->done[0], 1);
    reconnect_fixture_drain(f);
    assert_int_equal(f->done[0], 2);
    assert_int_equal(f->requests[0].result, 0);
    reconnect_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_smaller_device_fails_what_is_past_its_end),
        cmocka_unit_test(a_read_only_device_fails_writes),
        cmocka_unit_test(larger_blocks_fail_what_does_not_fit_them),
        cmocka_unit_test(fewer_queues_are_refused),
        cmocka_unit_test(a_feature_less_is_refused_and_one_more_is_not_taken),
        cmocka_unit_test(a_request_type_less_fails_those_requests),
        cmocka_unit_test(a_smaller_queue_is_refused),
        cmocka_unit_test(the_cache_mode_is_chosen_again),
        cmocka_unit_test(done_may_submit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
